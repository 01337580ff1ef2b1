/* websocket.c - see websocket.h. */
#include "http/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

enum { CONTROL_MAX = 125, REASON_MAX = 123, KEY_LEN = 24 };

/* The handshake */

static bool lists(struct str value, struct str element)
{
    while (value.p)
        if (str_eq_nocase(str_trim(str_cut(&value, ',')), element))
            return true;
    return false;
}

bool websocket_wanted(const struct message *m)
{
    return m->upgrade &&
           lists(message_value(m, FIELD_UPGRADE), STR("websocket"));
}

static struct str value_of(const struct message *m, struct str name)
{
    const struct header *h = message_find(m, name);

    return h ? h->value : STR_NULL;
}

/* The base64 of 16 bytes: 22 digits and "==". */
static bool good_key(struct str key)
{
    if (key.len != KEY_LEN || key.p[22] != '=' || key.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return false;
    }
    return strchr("AQgw", key.p[21]) != NULL; /* the last digit has 2 bits */
}

enum err websocket_check_request(const struct message *m, unsigned *status)
{
    struct str version = value_of(m, STR("Sec-WebSocket-Version"));

    *status = 400;
    if (m->method != METHOD_GET || m->body != BODY_NONE ||
        !good_key(value_of(m, STR("Sec-WebSocket-Key"))))
        return ERR_INVALID;
    if (!str_is(version, "13")) {
        *status = 426;
        return ERR_INVALID;
    }
    return ERR_OK;
}

void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[KEY_LEN + sizeof(guid)], hash[SHA_DIGEST_LENGTH];
    unsigned char base64[WEBSOCKET_ACCEPT_LEN + 1];
    size_t n = key.len < KEY_LEN ? key.len : KEY_LEN;

    memcpy(text, key.p, n);
    memcpy(text + n, guid, sizeof(guid) - 1);
    SHA1(text, n + sizeof(guid) - 1, hash);
    EVP_EncodeBlock(base64, hash, sizeof(hash));
    memcpy(out, base64, WEBSOCKET_ACCEPT_LEN);
}

bool websocket_good_reply(const struct message *reply, struct str key)
{
    char accept[WEBSOCKET_ACCEPT_LEN];

    websocket_accept(key, accept);
    return reply->status == 101 && reply->upgrade &&
           str_eq_nocase(message_value(reply, FIELD_UPGRADE),
                         STR("websocket")) &&
           str_eq(value_of(reply, STR("Sec-WebSocket-Accept")),
                  str_from(accept, sizeof(accept)));
}

/* Headers of frames */

static uint8_t header_size(const struct ws_header *h)
{
    uint8_t n = 2, length = h->bytes[1] & 127;

    if (length == 126)
        n += 2;
    else if (length == 127)
        n += 8;
    return (uint8_t)(n + (h->bytes[1] & 128 ? 4 : 0));
}

static const char *header_read(struct ws_header *h)
{
    uint8_t short_length = h->bytes[1] & 127, at = 2;

    h->fin = h->bytes[0] & 128;
    h->reserved = h->bytes[0] & 112;
    h->opcode = h->bytes[0] & 15;
    h->masked = h->bytes[1] & 128;
    h->length = short_length;
    if (short_length >= 126) {
        unsigned n = short_length == 126 ? 2 : 8;

        h->length = 0;
        for (unsigned i = 0; i < n; i++)
            h->length = h->length << 8 | h->bytes[at++];
        if (h->length < (n == 2 ? 126u : 65536u))
            return "a length that is longer than it needs to be";
        if (h->length >> 63)
            return "a length that cannot be";
    }
    if (h->masked)
        memcpy(h->mask, h->bytes + at, 4);
    return NULL;
}

/* Takes bytes of a header; true when it is whole. */
static bool header_take(struct ws_header *h, const char **p, const char *end)
{
    if (!h->have)
        h->need = 2;
    while (*p < end && h->have < h->need) {
        h->bytes[h->have++] = (uint8_t) * (*p)++;
        if (h->have == 2)
            h->need = header_size(h);
    }
    return h->have == h->need;
}

/* What sections 5.2, 5.4 and 5.5 ask of any frame. */
static const char *header_check(const struct ws_header *h, bool from_client,
                                bool extensions, bool fragmented)
{
    bool control = h->opcode & 8;

    if (h->opcode > WS_PONG || (h->opcode > WS_BINARY && h->opcode < WS_CLOSE))
        return "a frame of no known kind";
    if (h->masked != from_client)
        return from_client ? "a client's frame without a mask"
                           : "a server's frame with a mask";
    if (h->reserved && (!extensions || (control && (h->bytes[0] & 112))))
        return "a reserved bit";
    if (control && (!h->fin || h->length > CONTROL_MAX))
        return "a control frame in pieces, or too long";
    if (!control && fragmented != (h->opcode == WS_CONTINUATION))
        return fragmented ? "a new message inside another one"
                          : "the rest of no message";
    return NULL;
}

/* Following */

void ws_track_init(struct ws_track *t, bool from_client, bool extensions)
{
    *t = (struct ws_track) { .masked = from_client,
                             .extensions = extensions,
                             .code = WS_NO_CODE };
}

static enum err track_frame(struct ws_track *t)
{
    struct ws_header *h = &t->header;

    t->why = header_read(h);
    if (!t->why)
        t->why = header_check(h, t->masked, t->extensions, t->fragmented);
    if (!t->why && h->opcode == WS_CLOSE && h->length == 1)
        t->why = "half a close code";
    if (t->why)
        return ERR_INVALID;
    t->left = h->length;
    if (h->opcode == WS_CLOSE) {
        t->closing = true;
    } else if (!(h->opcode & 8)) {
        t->messages += h->opcode != WS_CONTINUATION;
        t->fragmented = !h->fin;
    }
    return ERR_OK;
}

/* The code of a Close frame, on its way. */
static void track_code(struct ws_track *t, const char *p, size_t n)
{
    for (size_t i = 0; i < n && t->code_have < 2; i++) {
        uint8_t byte = (uint8_t)p[i];

        if (t->header.masked)
            byte ^= t->header.mask[t->code_have];
        if (t->code_have++)
            t->code = (uint16_t)(t->code << 8 | byte);
        else
            t->code = byte;
    }
}

enum err ws_track_follow(struct ws_track *t, const char *p, size_t n,
                         size_t *boundary)
{
    const char *begin = p, *end = p + n;

    *boundary = 0;
    while (p < end && !t->closed) {
        if (!t->left) {
            if (!header_take(&t->header, &p, end))
                break;
            if (track_frame(t))
                return ERR_INVALID;
        }
        if (t->left) {
            size_t take = (size_t)(end - p);

            if (take > t->left)
                take = (size_t)t->left;
            if (t->closing)
                track_code(t, p, take);
            t->left -= take;
            p += take;
        }
        if (!t->left) {
            t->header.have = 0;
            t->closed = t->closing;
            *boundary = (size_t)(p - begin);
        }
    }
    return ERR_OK;
}

size_t ws_close_frame(char out[WS_CLOSE_MAX], uint16_t code, struct str reason,
                      const uint8_t mask[4])
{
    size_t n = reason.len < REASON_MAX ? reason.len : REASON_MAX, at = 2;

    out[0] = (char)(128 | WS_CLOSE);
    out[1] = (char)((mask ? 128 : 0) | (n + 2));
    if (mask) {
        memcpy(out + at, mask, 4);
        at += 4;
    }
    out[at] = (char)(code >> 8);
    out[at + 1] = (char)code;
    if (n)
        memcpy(out + at + 2, reason.p, n);
    for (size_t i = 0; mask && i < n + 2; i++)
        out[at + i] = (char)(out[at + i] ^ (char)mask[i & 3]);
    return at + 2 + n;
}

/* Taking apart */

void ws_parser_init(struct ws_parser *w, const struct ws_parser_ops *ops,
                    bool from_client, bool extensions, uint64_t max)
{
    *w = (struct ws_parser) { .ops = ops,
                              .from_client = from_client,
                              .extensions = extensions,
                              .max = max };
}

static enum err parser_fail(struct ws_parser *w, uint16_t code, const char *why)
{
    w->code = code;
    w->why = why;
    return code == WS_TOO_BIG ? ERR_LIMIT : ERR_INVALID;
}

/* UTF-8 piece by piece (RFC 3629): bits 0-7 bytes to come, 8-15 the least and
 * 16-23 the most the next one may be. */
static bool utf8_step(uint32_t *state, uint8_t c)
{
    uint32_t more = *state & 255, low = *state >> 8 & 255,
             high = *state >> 16 & 255;

    if (more) {
        if (c < low || c > high)
            return false;
        *state = more - 1 ? (more - 1) | 0x80 << 8 | 0xbf << 16 : 0;
        return true;
    }
    if (c < 0x80)
        return true;
    if (c < 0xc2 || c > 0xf4)
        return false;
    if (c < 0xe0)
        *state = 1 | 0x80 << 8 | 0xbf << 16;
    else if (c < 0xf0)
        *state = 2 | (c == 0xe0 ? 0xa0u : 0x80u) << 8 |
                 (c == 0xed ? 0x9fu : 0xbfu) << 16;
    else
        *state = 3 | (c == 0xf0 ? 0x90u : 0x80u) << 8 |
                 (c == 0xf4 ? 0x8fu : 0xbfu) << 16;
    return true;
}

static bool utf8_more(uint32_t *state, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!utf8_step(state, (uint8_t)p[i]))
            return false;
    return true;
}

static void unmask(char *p, size_t n, const uint8_t mask[4], uint64_t at)
{
    uint8_t turned[8];
    uint64_t key;
    size_t i = 0;

    for (unsigned k = 0; k < 8; k++)
        turned[k] = mask[(at + k) & 3];
    memcpy(&key, turned, 8);
    for (; i + 8 <= n; i += 8) {
        uint64_t word;

        memcpy(&word, p + i, 8);
        word ^= key;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] = (char)(p[i] ^ (char)turned[i & 7]);
}

static bool good_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
            code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static enum err control_whole(struct ws_parser *w)
{
    const uint8_t *c = w->control;
    size_t n = w->control_len;
    uint32_t utf8 = 0;

    if (w->header.opcode == WS_CLOSE) {
        if (n == 1 || (n && !good_code((unsigned)c[0] << 8 | c[1])))
            return parser_fail(w, WS_PROTOCOL_ERROR, "a bad close code");
        if (n > 2 && (!utf8_more(&utf8, (const char *)c + 2, n - 2) || utf8))
            return parser_fail(w, WS_INVALID_DATA, "a reason that is no text");
        w->closed = true;
    }
    w->ops->on_piece(w, (enum ws_opcode)w->header.opcode, (char *)w->control, n,
                     true, true);
    return ERR_OK;
}

static enum err parser_frame(struct ws_parser *w)
{
    struct ws_header *h = &w->header;
    const char *why = header_read(h);

    if (!why)
        why = header_check(h, w->from_client, w->extensions, w->inside);
    if (why)
        return parser_fail(w, WS_PROTOCOL_ERROR, why);
    w->left = h->length;
    w->at = 0;
    w->control_len = 0;
    if (h->opcode & 8)
        return ERR_OK;
    if (h->opcode != WS_CONTINUATION) {
        w->opcode = h->opcode;
        w->plain = h->opcode == WS_TEXT && !h->reserved;
        w->size = 0;
        w->utf8 = 0;
        w->begun = false;
    }
    w->inside = !h->fin;
    w->size += h->length;
    if (w->max && (w->size > w->max || w->size < h->length))
        return parser_fail(w, WS_TOO_BIG, "a message that is too big");
    return ERR_OK;
}

static enum err parser_payload(struct ws_parser *w, char *p, size_t n)
{
    bool first = !w->begun, last = w->header.fin && n == w->left;

    if (w->header.masked)
        unmask(p, n, w->header.mask, w->at);
    w->at += n;
    if (w->header.opcode & 8) {
        if (n)
            memcpy(w->control + w->control_len, p, n);
        w->control_len = (uint8_t)(w->control_len + n);
        return n == w->left ? control_whole(w) : ERR_OK;
    }
    if (w->plain && (!utf8_more(&w->utf8, p, n) || (last && (w->utf8 & 255))))
        return parser_fail(w, WS_INVALID_DATA, "a text that is no UTF-8");
    w->begun = true;
    if (n || last)
        w->ops->on_piece(w, (enum ws_opcode)w->opcode, p, n, first, last);
    else if (first)
        w->begun = false; /* an empty first frame: the next piece is first */
    return ERR_OK;
}

enum err ws_parser_feed(struct ws_parser *w, char *p, size_t n)
{
    const char *at = p, *end = p + n;
    enum err e;

    while (at < end && !w->closed) {
        size_t take;

        if (!w->left) {
            if (!header_take(&w->header, &at, end))
                break;
            e = parser_frame(w);
            if (e)
                return e;
        }
        take = (size_t)(end - at);
        if (take > w->left)
            take = (size_t)w->left;
        if (!take && w->left)
            break;
        e = parser_payload(w, p + (at - p), take);
        if (e)
            return e;
        at += take;
        w->left -= take;
        if (!w->left)
            w->header.have = 0;
    }
    return ERR_OK;
}
