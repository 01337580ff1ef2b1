/* introspection.c - see introspection.h. */
#include "gateway/credential/introspection.h"

#include <stdatomic.h>

#include "base/conf_units.h"
#include "base/log.h"
#include "format/openapi.h"
#include "format/uri.h"
#include "jose/b64.h"

#define AT(member) offsetof(struct introspection_conf, member)

enum { SECRET_MAX = 4096 };

static const char *const tokens_names[] = { "opaque", "all", NULL };

const struct conf_field introspection_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = AT(name),
      .help = "A short name, for messages and for gateway.apis[].issuers. "
              "Default: the host of url." },
    { .name = "url",
      .type = CONF_STRING,
      .at = AT(url),
      .required = true,
      .help = "Where to ask (RFC 7662): https://idp.example.com/introspect. "
              "gateway.outbound says which addresses may be asked." },
    { .name = "client_id",
      .type = CONF_STRING,
      .at = AT(client_id),
      .help = "Who asks, with client_secret_file (HTTP Basic)." },
    { .name = "client_secret_file",
      .type = CONF_STRING,
      .at = AT(client_secret_file),
      .help = "A file with the secret of client_id; a last line end does not "
              "count." },
    { .name = "token_file",
      .type = CONF_STRING,
      .at = AT(token_file),
      .help = "Instead: a file with a bearer token that the server takes." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = AT(tls),
      .fields = tls_client_fields,
      .help = "TLS towards this server, instead of gateway.outbound.tls. With "
              "certificate it can know us by that." },
    { .name = "tokens",
      .type = CONF_ENUM,
      .at = AT(tokens),
      .choices = tokens_names,
      .def = "opaque",
      .help = "Which tokens it is asked about. opaque: those that are no "
              "signed token of one of the issuers the API trusts. all: those "
              "too, instead of verifying them here." },
    { .name = "issuer",
      .type = CONF_STRING,
      .at = AT(issuer),
      .help = "What its answers must have in iss. Empty: not looked at." },
    { .name = "audiences",
      .type = CONF_STRINGS,
      .at = AT(audiences),
      .help = "Its answers must name one of these in aud. Empty: not looked "
              "at." },
    { .name = "claims",
      .type = CONF_STRINGS,
      .at = AT(claims),
      .help = "Members that must be in its answers: NAME, or NAME=VALUE." },
    { .name = "scopes_claim",
      .type = CONF_STRING,
      .at = AT(scopes_claim),
      .def = "scope",
      .help = "The member with the scopes." },
    { .name = "application_claim",
      .type = CONF_STRING,
      .at = AT(application_claim),
      .def = "client_id",
      .help = "The member that names the client. Where it is missing: sub." },
    { .name = "user_claim",
      .type = CONF_STRING,
      .at = AT(user_claim),
      .def = "username",
      .help = "The member that names the user. Where it is missing: sub." },
    { .name = "skew",
      .type = CONF_DURATION_MS,
      .at = AT(skew_ms),
      .max = HOUR,
      .def = "5s",
      .help = "How far its clock may differ from ours." },
    { .name = "cache",
      .type = CONF_DURATION_MS,
      .at = AT(cache_ms),
      .max = 24 * HOUR,
      .def = "15m",
      .help = "How long an active token is taken without asking again; never "
              "longer than it is valid. Also how long a token that was taken "
              "back may still be good here. 0: every call asks." },
    { .name = "refused_cache",
      .type = CONF_DURATION_MS,
      .at = AT(refused_cache_ms),
      .max = HOUR,
      .def = "1m",
      .help = "How long a token that is not active is refused without asking "
              "again." },
    { .name = "timeout",
      .type = CONF_DURATION_MS,
      .at = AT(timeout_ms),
      .min = 10,
      .max = MINUTE,
      .def = "3s",
      .help = "How long a call waits for the answer." },
    { .name = "failures",
      .type = CONF_U64,
      .at = AT(failures),
      .min = 1,
      .max = 1000,
      .def = "5",
      .help = "After so many failures in a row (time-outs, no answer, none "
              "that makes sense) a thread asks no more for pause; tokens it "
              "does not know get 500 at once." },
    { .name = "pause",
      .type = CONF_DURATION_MS,
      .at = AT(pause_ms),
      .min = 100,
      .max = HOUR,
      .def = "10s",
      .help = "For how long. Then one request tries." },
    { 0 },
};

struct making {
    struct introspection *to;
    const struct introspection_conf *conf;
    size_t index;
    struct str file;
    struct problems *ps;
};

__attribute__((format(printf, 3, 4))) static void
complain(const struct making *m, const char *key, const char *fmt, ...)
{
    struct str text;
    va_list ap;

    va_start(ap, fmt);
    text = arena_vprintf(m->ps->arena, fmt, ap);
    va_end(ap);
    problem_error(m->ps, m->file, 0, "gateway.introspection[%zu].%s %.*s",
                  m->index, key, STR_ARG(text));
}

/* A secret: one line of visible characters. */
static bool read_secret(const struct making *m, const char *key,
                        struct str path, struct str *out)
{
    enum err e = oas_files.read(oas_files.arg, m->to->arena, path, out);

    if (e) {
        complain(m, key, "names %.*s, which cannot be read (%s)", STR_ARG(path),
                 err_name(e));
        return false;
    }
    while (out->len &&
           (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
        out->len--;
    if (!out->len || out->len > SECRET_MAX) {
        complain(m, key, "names %.*s, which must hold 1 to %d bytes",
                 STR_ARG(path), SECRET_MAX);
        return false;
    }
    for (size_t i = 0; i < out->len; i++)
        if (out->p[i] < ' ' || out->p[i] == 0x7f) {
            complain(m, key, "names %.*s, which must hold one line of ASCII",
                     STR_ARG(path));
            return false;
        }
    return true;
}

/* As in a form (RFC 6749 section 2.3.1). */
static struct str escaped(struct arena *a, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_raw(a, s.len * 3 + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain =
            (c >= '0' && c <= '9') ||
            (char_lower((char)c) >= 'a' && char_lower((char)c) <= 'z') ||
            c == '-' || c == '.' || c == '_' || c == '~';

        if (plain) {
            p[n++] = (char)c;
        } else {
            p[n++] = '%';
            p[n++] = hex[c >> 4];
            p[n++] = hex[c & 15];
        }
    }
    return str_from(p, n);
}

static void set_basic(const struct making *m)
{
    struct introspection *to = m->to;
    struct str secret, pair;
    char *text;

    if (!read_secret(m, "client_secret_file", m->conf->client_secret_file,
                     &secret))
        return;
    pair = arena_printf(to->arena, "%.*s:%.*s",
                        STR_ARG(escaped(to->arena, m->conf->client_id)),
                        STR_ARG(escaped(to->arena, secret)));
    text = arena_raw(to->arena, b64_encoded(pair.len));
    to->authorization = arena_printf(
        to->arena, "Basic %.*s",
        STR_ARG(str_from(text, b64_encode(pair.p, pair.len, text))));
}

static void set_credentials(const struct making *m)
{
    const struct introspection_conf *c = m->conf;
    struct str token;

    if (!c->client_id.len != !c->client_secret_file.len)
        complain(m, c->client_id.len ? "client_id" : "client_secret_file",
                 "needs %s beside it",
                 c->client_id.len ? "client_secret_file" : "client_id");
    else if (c->client_id.len && c->token_file.len)
        complain(m, "token_file", "stands beside client_id; keep one");
    else if (c->client_id.len)
        set_basic(m);
    else if (c->token_file.len &&
             read_secret(m, "token_file", c->token_file, &token))
        m->to->authorization =
            arena_printf(m->to->arena, "Bearer %.*s", STR_ARG(token));
    else if (!c->token_file.len && !c->tls.certificate.len)
        complain(m, "client_id",
                 "is missing: a server tells only those it knows; give "
                 "client_id and client_secret_file, or token_file, or "
                 "tls.certificate");
}

static void set_url(const struct making *m)
{
    struct introspection *to = m->to;
    struct url u;

    to->url = arena_copy(to->arena, m->conf->url);
    if (url_parse(to->arena, to->url, &u) || u.userinfo.p || !u.host.len ||
        (!str_is(u.scheme, "https") && !str_is(u.scheme, "http"))) {
        complain(m, "url", "must be https://host/path, got \"%.*s\"",
                 STR_ARG(m->conf->url));
        return;
    }
    to->name =
        arena_copy(to->arena, m->conf->name.len ? m->conf->name : u.host);
    if (str_is(u.scheme, "http"))
        problem_warn(m->ps, m->file, 0,
                     "gateway.introspection[%zu].url is not https: who listens "
                     "on the way sees tokens and the client's secret",
                     m->index);
    else if (outbound_tls_given(&m->conf->tls))
        (void)outbound_tls_new(&m->conf->tls, m->file, m->ps, &to->tls);
    else
        (void)outbound_tls(to->outbound); /* read the system's store now */
}

static void set_rules(const struct making *m)
{
    const struct introspection_conf *c = m->conf;
    struct introspection *to = m->to;
    struct issuer *judge = &to->judge;

    judge->id = to->id;
    judge->name = to->name;
    judge->rules.issuer =
        c->issuer.len ? arena_copy(to->arena, c->issuer) : STR_NULL;
    judge->rules.audiences = strings_copy(to->arena, &c->audiences);
    judge->rules.audience_count = c->audiences.count;
    judge->rules.exp_optional = true;
    judge->rules.skew_s = (uint32_t)((c->skew_ms + 999) / 1000);
    judge->claims = claims_wanted(to->arena, &c->claims);
    judge->claim_count = c->claims.count;
    judge->scopes_claim = arena_copy(to->arena, c->scopes_claim);
    judge->application_claim = arena_copy(to->arena, c->application_claim);
    judge->user_claim = arena_copy(to->arena, c->user_claim);
    judge->sub_is_user = true;
}

enum err introspection_new(const struct introspection_conf *conf, size_t index,
                           struct outbound *outbound, struct str file,
                           struct problems *ps, struct introspection **out)
{
    struct arena *a = arena_new();
    struct introspection *to = arena_alloc(a, sizeof(*to));
    struct making m = { to, conf, index, file, ps };
    size_t errors = ps->errors;

    to->arena = a;
    to->refs = 1;
    to->id = issuer_id();
    to->outbound = outbound_ref(outbound);
    to->tokens = (enum introspection_tokens)conf->tokens;
    to->cache_ms = conf->cache_ms;
    to->refused_cache_ms = conf->refused_cache_ms;
    to->timeout_ms = conf->timeout_ms;
    to->failures = conf->failures;
    to->pause_ms = conf->pause_ms;
    set_url(&m);
    set_credentials(&m);
    set_rules(&m);
    if (ps->errors > errors) {
        introspection_unref(to);
        return ERR_INVALID;
    }
    *out = to;
    return ERR_OK;
}

struct introspection *introspection_ref(struct introspection *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void introspection_unref(struct introspection *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    outbound_unref(s->outbound);
    tls_context_unref(s->tls);
    arena_free(s->arena);
}
