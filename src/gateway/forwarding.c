/* forwarding.c - see forwarding.h. */
#include "gateway/forwarding.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "gateway/trust.h"

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1", also in
 * quotes. False: no address (unknown, _hidden, garbage). */
static bool parse_address(struct str text, struct client_address *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    char z[64];
    size_t end;

    text = str_trim(text);
    if (text.len >= 2 && text.p[0] == '"' && text.p[text.len - 1] == '"')
        text = str_from(text.p + 1, text.len - 2);
    if (text.len && text.p[0] == '[') {
        end = str_find(text, ']');
        if (end == text.len || (end + 1 < text.len && text.p[end + 1] != ':'))
            return false;
        text = str_from(text.p + 1, end - 1);
    } else if (str_find(text, ':') == str_rfind(text, ':')) {
        text = str_head(text, str_find(text, ':'));
    }
    if (text.len == 0 || text.len >= sizeof(z))
        return false;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    if (inet_pton(AF_INET, z, &v4.sin_addr) == 1)
        client_address_set(out, (const struct sockaddr *)&v4);
    else if (inet_pton(AF_INET6, z, &v6.sin6_addr) == 1)
        client_address_set(out, (const struct sockaddr *)&v6);
    else
        return false;
    return true;
}

/* Where the last element of a list begins. A Host may hold commas and is
 * quoted in Forwarded, so there a comma counts outside of quotes only. They
 * are found from the right: what a client wrote, broken quotes or not, stands
 * left of what a proxy appended. */
static size_t last_element(struct str list, bool quotes)
{
    bool quoted = false;
    size_t at = list.len;

    while (at > 0) {
        char c = list.p[at - 1];
        size_t slashes = 0;

        if (c == ',' && !quoted)
            break;
        at--;
        while (c == '"' && slashes < at && list.p[at - 1 - slashes] == '\\')
            slashes++;
        if (quotes && c == '"' && slashes % 2 == 0)
            quoted = !quoted;
    }
    return at;
}

/* Cuts the next "name=value" off an element: up to a ';' outside of quotes. */
static struct str cut_pair(struct str *element)
{
    struct str all = *element;
    bool quoted = false;

    for (size_t i = 0; i < all.len; i++) {
        if (quoted && all.p[i] == '\\') {
            i++;
        } else if (all.p[i] == '"') {
            quoted = !quoted;
        } else if (all.p[i] == ';' && !quoted) {
            *element = str_skip(all, i + 1);
            return str_head(all, i);
        }
    }
    *element = STR_NULL;
    return all;
}

/* What one element of Forwarded says about name ("for="). */
static struct str forwarded_value(struct str element, struct str name)
{
    while (element.p) {
        struct str pair = str_trim(cut_pair(&element));

        if (pair.len > name.len &&
            str_eq_nocase(str_head(pair, name.len), name))
            return str_skip(pair, name.len);
    }
    return STR_NULL;
}

/* Walks the list from the right over trusted addresses. */
static bool walk(struct exchange *x, const struct trust *trusted,
                 struct str list, bool rfc7239)
{
    unsigned hops = 0;

    while (list.len && hops++ < 64) {
        size_t at = last_element(list, rfc7239);
        struct str part = str_skip(list, at);
        struct client_address address;

        if (rfc7239)
            part = forwarded_value(part, STR("for="));
        if (!parse_address(part, &address))
            return true; /* what is left of it says nothing either */
        x->client = address;
        if (!trust_has(trusted, address.ip))
            return true;
        list = at ? str_head(list, at - 1) : STR_NULL;
    }
    return false;
}

void forwarding_client(struct exchange *x, const struct trust *trusted)
{
    const struct message *m = &x->s.request;
    const struct header *h = m->headers + m->count;
    const struct client_address *peer = http_conn_peer(x->s.conn);
    bool rfc = !message_get(m, FIELD_X_FORWARDED_FOR);

    x->client = *peer;
    if (!http_conn_trusted(x->s.conn))
        return;
    if (peer->unix_socket ? !trust_has_unix(trusted)
                          : !trust_has(trusted, peer->ip))
        return; /* a PROXY header named somebody else */
    x->believed = true;
    while (h-- > m->headers) {
        if (h->id != (rfc ? FIELD_FORWARDED : FIELD_X_FORWARDED_FOR))
            continue;
        if (walk(x, trusted, h->value, rfc))
            return;
    }
}

/* All values of a field as one list, and the peer behind them. */
static struct str append_peer(struct exchange *x, enum field id,
                              struct str peer)
{
    const struct message *m = &x->s.request;
    struct buf b;
    struct str out;

    if (!x->believed || !message_get(m, id))
        return peer;
    buf_init(&b, 64 * 1024);
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->headers[i].id != id || !m->headers[i].value.len)
            continue;
        (void)buf_str(&b, m->headers[i].value);
        (void)buf_z(&b, ", ");
    }
    (void)buf_str(&b, peer);
    out = arena_copy(x->s.arena, buf_view(&b));
    buf_done(&b);
    return out;
}

static struct str forwarded_element(struct exchange *x, struct str peer)
{
    struct str host = x->s.request.authority;
    bool v6 = memchr(peer.p, ':', peer.len) != NULL;

    return arena_printf(x->s.arena, "for=%s%.*s%s;host=\"%.*s\";proto=%s",
                        v6 ? "\"[" : "", STR_ARG(peer), v6 ? "]\"" : "",
                        STR_ARG(host), x->tls ? "https" : "http");
}

/* The last element of a list, which is the nearest peer's word. */
static struct str last_of(struct str list)
{
    return str_trim(str_skip(list, last_element(list, false)));
}

static struct str unquoted(struct str s)
{
    return s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"'
               ? str_from(s.p + 1, s.len - 2)
               : s;
}

/* Scheme and host as a trusted peer saw them; what it does not say stays. */
static void original(struct exchange *x, struct str *scheme, struct str *host)
{
    const struct message *m = &x->s.request;
    struct str list = message_value(m, FIELD_FORWARDED), last, s, h, port;

    if (!x->believed)
        return;
    s = last_of(message_value(m, FIELD_X_FORWARDED_PROTO));
    h = last_of(message_value(m, FIELD_X_FORWARDED_HOST));
    port = last_of(message_value(m, FIELD_X_FORWARDED_PORT));
    if (list.p && !message_get(m, FIELD_X_FORWARDED_FOR)) {
        last = str_skip(list, last_element(list, true));
        s = unquoted(forwarded_value(last, STR("proto=")));
        h = unquoted(forwarded_value(last, STR("host=")));
        port = STR_NULL;
    }
    if (s.len)
        *scheme = s;
    if (h.len)
        *host = h;
    if (port.len && str_rfind(*host, ':') >= str_rfind(*host, ']') &&
        str_rfind(*host, ':') == host->len)
        *host = arena_printf(x->s.arena, "%.*s:%.*s", STR_ARG(*host),
                             STR_ARG(port));
}

struct str forwarding_uri(struct exchange *x)
{
    const struct message *m = &x->s.request;
    struct str scheme = x->tls ? STR("https") : STR("http");
    struct str host = m->authority;

    original(x, &scheme, &host);
    return arena_printf(x->s.arena, "%.*s://%.*s%.*s", STR_ARG(scheme),
                        STR_ARG(host), STR_ARG(m->path));
}

size_t forwarding_fields(struct exchange *x, enum forwarded how,
                         struct header *fields)
{
    const struct message *m = &x->s.request;
    const struct client_address *c = http_conn_peer(x->s.conn);
    struct str peer = str_from(c->text, c->text_len), v;
    size_t n = 0;

    if (c->unix_socket)
        peer = STR("unknown");
    if (how == FORWARDED_X || how == FORWARDED_BOTH) {
        fields[n].name = STR("X-Forwarded-For");
        fields[n++].value = append_peer(x, FIELD_X_FORWARDED_FOR, peer);
        v = x->believed ? message_value(m, FIELD_X_FORWARDED_PROTO) : STR_NULL;
        fields[n].name = STR("X-Forwarded-Proto");
        fields[n++].value = v.len ? v : x->tls ? STR("https") : STR("http");
        v = x->believed ? message_value(m, FIELD_X_FORWARDED_HOST) : STR_NULL;
        if (!v.len)
            v = m->authority;
        if (v.len) {
            fields[n].name = STR("X-Forwarded-Host");
            fields[n++].value = v;
        }
    }
    if (how == FORWARDED_RFC || how == FORWARDED_BOTH) {
        fields[n].name = STR("Forwarded");
        fields[n++].value =
            append_peer(x, FIELD_FORWARDED, forwarded_element(x, peer));
    }
    return n;
}
