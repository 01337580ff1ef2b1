/* h1_chunks.c - chunked bodies, in whatever pieces they arrive.
 *
 *   SIZE -> SIZE_MORE -> [EXTENSION ->] SIZE_LF -> DATA -> DATA_CR -> DATA_LF
 *     ^                                    |                             |
 *     +------------------------------------|-----------------------------+
 *                              size was 0: v
 *   TRAILER <-> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF
 *     |
 *     +-> END_LF -> DONE
 *
 * Every state but DATA takes one byte at a time; they are few beside the data.
 * Line ends are CR LF, nothing else: what one reader takes for the end of a
 * chunk line and another does not is the other half of request smuggling.
 */
#include "http/h1.h"

#include "base/buf.h"
#include "base/log.h"
#include "http/h1_chars.h"

#define DIGITS_MAX 64 /* with leading zeros */

enum state {
    SIZE = 0, /* its first digit */
    SIZE_MORE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* the first byte of a line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
};

static enum err refuse(struct h1_error *error, uint16_t status,
                       const char *what)
{
    error->status = status;
    error->what = what;
    return status == 400 ? ERR_INVALID : ERR_LIMIT;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum err take_size(struct h1_chunks *c, char byte,
                          const struct h1_chunk_limits *limits,
                          struct h1_error *error)
{
    int digit = hex_digit(byte);

    if (digit >= 0) {
        if (++c->digits > DIGITS_MAX)
            return refuse(error, 400, "a chunk size with too many digits");
        if (c->left >> 59) /* times 16 would pass 2^63-1 */
            return refuse(error, 400, "a chunk size that is too large");
        c->left = c->left << 4 | (unsigned)digit;
        c->state = SIZE_MORE;
        return ERR_OK;
    }
    if (c->state == SIZE_MORE && byte == '\r') {
        c->state = SIZE_LF;
        return ERR_OK;
    }
    if (c->state == SIZE_MORE && byte == ';') {
        if (++c->extension > limits->extension)
            return refuse(error, 413, "too many chunk extensions");
        c->state = EXTENSION;
        return ERR_OK;
    }
    return refuse(error, 400, "a bad chunk size");
}

/* What an extension means is nobody's business here; it is skipped. */
static enum err take_extension(struct h1_chunks *c, char byte,
                               const struct h1_chunk_limits *limits,
                               struct h1_error *error)
{
    if (byte == '\r') {
        c->state = SIZE_LF;
        return ERR_OK;
    }
    if (!h1_is(byte, H1_VALUE))
        return refuse(error, 400, "a bad byte in a chunk extension");
    if (++c->extension > limits->extension)
        return refuse(error, 413, "too many chunk extensions");
    return ERR_OK;
}

/* The byte wanted, or what. */
static enum err take_exactly(struct h1_chunks *c, char byte, char wanted,
                             enum state next, const char *what,
                             struct h1_error *error)
{
    if (byte != wanted)
        return refuse(error, 400, what);
    c->state = (uint8_t)next;
    return ERR_OK;
}

static enum err take_trailer(struct h1_chunks *c, char byte,
                             struct h1_error *error)
{
    if (c->state == TRAILER && byte == '\r') {
        c->state = END_LF;
        return ERR_OK;
    }
    if (c->state == TRAILER_VALUE) {
        if (byte == '\r')
            c->state = TRAILER_LF;
        else if (!h1_is(byte, H1_VALUE))
            return refuse(error, 400, "a bad byte in a trailer value");
        return ERR_OK;
    }
    if (h1_is(byte, H1_TOKEN)) {
        c->state = TRAILER_NAME;
        return ERR_OK;
    }
    if (c->state == TRAILER_NAME && byte == ':') {
        c->state = TRAILER_VALUE;
        return ERR_OK;
    }
    return refuse(error, 400, "a bad trailer line");
}

static enum err take_byte(struct h1_chunks *c, char byte,
                          const struct h1_chunk_limits *limits,
                          struct h1_error *error)
{
    switch ((enum state)c->state) {
    case SIZE:
    case SIZE_MORE:
        return take_size(c, byte, limits, error);
    case EXTENSION:
        return take_extension(c, byte, limits, error);
    case SIZE_LF:
        c->digits = 0;
        return take_exactly(c, byte, '\n', c->left ? DATA : TRAILER,
                            "a chunk size that does not end in CR LF", error);
    case DATA_CR:
        return take_exactly(c, byte, '\r', DATA_LF,
                            "a chunk that does not end in CR LF", error);
    case DATA_LF:
        return take_exactly(c, byte, '\n', SIZE,
                            "a chunk that does not end in CR LF", error);
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return take_trailer(c, byte, error);
    case TRAILER_LF:
        return take_exactly(c, byte, '\n', TRAILER,
                            "a trailer line that does not end in CR LF", error);
    case END_LF:
        return take_exactly(c, byte, '\n', DONE,
                            "a body that does not end in CR LF", error);
    case DATA:
    case DONE:
        break;
    }
    must(c->state != DATA && c->state != DONE);
    return ERR_INVALID;
}

/* Bytes of trailer lines from p on, as many as there are; *taken. */
static enum err take_trailer_lines(struct h1_chunks *c,
                                   const struct h1_chunk_limits *limits,
                                   const char *p, size_t n, size_t *taken,
                                   struct buf *trailers, struct h1_error *error)
{
    size_t i = 0;

    for (; i < n; i++) {
        enum err e = take_byte(c, p[i], limits, error);

        if (e)
            return e;
        if (c->state == END_LF)
            break; /* the CR of the empty line: taken, but not copied */
        if (++c->trailer > limits->trailer)
            return refuse(error, 431, "too many trailers");
    }
    if (trailers && buf_add(trailers, p, i))
        return refuse(error, 431, "too many trailers");
    *taken = c->state == END_LF ? i + 1 : i;
    return ERR_OK;
}

/* As much of the current chunk as there is, moved to p[to]. */
static size_t take_data(struct h1_chunks *c, char *p, size_t to, size_t from,
                        size_t n)
{
    size_t take = n - from;

    if (take > c->left)
        take = (size_t)c->left;
    if (to != from)
        memmove(p + to, p + from, take);
    c->left -= take;
    c->total += take;
    if (c->left == 0)
        c->state = DATA_CR;
    return take;
}

enum err h1_chunks_decode(struct h1_chunks *c,
                          const struct h1_chunk_limits *limits, char *p,
                          size_t n, size_t *used, size_t *data,
                          struct buf *trailers, struct h1_error *error)
{
    size_t from = 0, to = 0, taken;
    enum err e;

    while (from < n && c->state != DONE) {
        if (c->state == DATA) {
            taken = take_data(c, p, to, from, n);
            to += taken;
        } else if (c->state >= TRAILER && c->state < END_LF) {
            e = take_trailer_lines(c, limits, p + from, n - from, &taken,
                                   trailers, error);
            if (e)
                return e;
        } else {
            e = take_byte(c, p[from], limits, error);
            if (e)
                return e;
            taken = 1;
        }
        from += taken;
    }
    *used = from;
    *data = to;
    return c->state == DONE ? ERR_OK : ERR_AGAIN;
}
