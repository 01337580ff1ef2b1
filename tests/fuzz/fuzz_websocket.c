/* fuzz_websocket.c - any bytes as frames, in any pieces: the parser, which
 * takes messages apart, and the tracker, which only follows, agree on where
 * the framing is broken, and neither depends on how the bytes were cut.
 *
 * An input is a byte of options, a byte that says how to cut, and frames.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FROM_CLIENT = 1,
    EXTENSIONS = 2,
    LIMITED = 4, /* messages of at most 1,000 bytes */
};

struct heard {
    struct ws_parser w; /* first */
    uint64_t hash;      /* of all that was said, however it was cut */
    uint64_t messages, controls;
    bool inside;
};

static void mix(struct heard *h, const void *p, size_t n)
{
    const uint8_t *b = p;

    for (size_t i = 0; i < n; i++)
        h->hash = (h->hash ^ b[i]) * 1099511628211u;
}

static void on_piece(struct ws_parser *w, enum ws_opcode opcode, char *p,
                     size_t n, bool first, bool last)
{
    struct heard *h = (struct heard *)w;
    uint8_t op = (uint8_t)opcode;

    must(opcode == WS_TEXT || opcode == WS_BINARY || opcode == WS_CLOSE ||
         opcode == WS_PING || opcode == WS_PONG);
    if (opcode >= WS_CLOSE) {
        must(first && last && n <= 125);
        h->controls++;
        return;
    }
    must(first == !h->inside);
    h->inside = !last;
    if (first)
        mix(h, &op, 1);
    if (n)
        mix(h, p, n);
    if (last) {
        h->messages++;
        mix(h, "\xff", 1);
    }
}

static const struct ws_parser_ops ops = { .on_piece = on_piece };

/* Feeds in pieces of 1 to step bytes; 0: in one. */
static enum err parse(struct heard *h, unsigned options, unsigned step,
                      const uint8_t *data, size_t size)
{
    enum err e = ERR_OK;
    unsigned turn = 0;

    memset(h, 0, sizeof(*h));
    ws_parser_init(&h->w, &ops, options & FROM_CLIENT, options & EXTENSIONS,
                   options & LIMITED ? 1000 : 0);
    while (size && !e) {
        size_t n = step ? 1 + turn++ % step : size;
        char *piece;

        if (n > size)
            n = size;
        piece = malloc(n); /* of exactly this size */
        must(piece != NULL);
        memcpy(piece, data, n);
        e = ws_parser_feed(&h->w, piece, n);
        free(piece);
        data += n;
        size -= n;
    }
    if (e)
        must((e == ERR_INVALID || e == ERR_LIMIT) && h->w.why &&
             h->w.code >= 1000 && h->w.code != WS_NO_CODE);
    return e;
}

/* What comes behind a Close frame the tracker does not look at. */
static enum err track(struct ws_track *t, unsigned options, unsigned step,
                      const uint8_t *data, size_t size, uint64_t *boundary)
{
    uint64_t at = 0;
    enum err e = ERR_OK;
    unsigned turn = 0;

    *boundary = 0;
    ws_track_init(t, options & FROM_CLIENT, options & EXTENSIONS);
    while (at < size && !e && !t->closed) {
        size_t n = step ? 1 + turn++ % step : size, last = 0;

        if (n > size - at)
            n = size - at;
        e = ws_track_follow(t, (const char *)data + at, n, &last);
        must(last <= n);
        if (last)
            *boundary = at + last;
        if (!e && !t->closed)
            must(ws_track_between(t) == (*boundary == at + n));
        at += n;
    }
    if (e)
        must(e == ERR_INVALID && t->why);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole, cut;
    struct ws_track one, many;
    uint64_t one_boundary, many_boundary;
    unsigned options, step;
    enum err e, te;

    if (size < 2 || size > 65536)
        return 0;
    options = data[0];
    step = 1 + data[1] % 17;
    data += 2;
    size -= 2;
    e = parse(&whole, options, 0, data, size);
    must(parse(&cut, options, step, data, size) == e);
    must(whole.w.code == cut.w.code && whole.messages == cut.messages &&
         whole.controls == cut.controls);
    /* A message that was not told whole may have been told as far as it was
     * good, which depends on the cut. */
    if (!e)
        must(whole.hash == cut.hash);
    te = track(&one, options, 0, data, size, &one_boundary);
    must(track(&many, options, step, data, size, &many_boundary) == te);
    must(one_boundary == many_boundary && one.closed == many.closed);
    must(one.code == many.code || !one.closed);
    /* The tracker lets pass what only who reads payloads can see; a Close
     * frame it looks at as it comes, the parser when it is whole. */
    if (!e && !whole.w.left && !whole.w.header.have)
        must(te == ERR_OK);
    return 0;
}
