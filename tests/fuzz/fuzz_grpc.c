/* fuzz_grpc.c - any bytes as grpc-timeout, as text for grpc-message, as a
 * content type, and as messages, in any pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_timeout(struct str value)
{
    uint64_t ms = 0;

    if (grpc_timeout_parse(value, &ms))
        return;
    must(value.len >= 2 && value.len <= 9);
    must(ms <= 99999999ull * 3600 * 1000);
    must(strchr("HMSmun", value.p[value.len - 1]));
    for (size_t i = 0; i + 1 < value.len; i++)
        must(value.p[i] >= '0' && value.p[i] <= '9');
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Decoded again it is what it was. */
static void check_message(struct str text)
{
    char *out = malloc(3 * text.len + 1);
    size_t n, at = 0;

    must(out != NULL);
    n = grpc_message_encode(text, out);
    must(n <= 3 * text.len);
    for (size_t i = 0; i < n; i++, at++) {
        char c = out[i];

        must(c >= ' ' && c <= '~' && at < text.len);
        if (c == '%') {
            must(i + 2 < n);
            c = (char)(hex(out[i + 1]) * 16 + hex(out[i + 2]));
            i += 2;
        }
        must(c == text.p[at]);
    }
    must(at == text.len);
    free(out);
}

static enum err follow(struct grpc_frames *f, const uint8_t *data, size_t size,
                       size_t step)
{
    enum err e = ERR_OK;

    memset(f, 0, sizeof(*f));
    while (size && !e) {
        size_t n = step < size ? step : size;

        e = grpc_frames_follow(f, (const char *)data, n, 100000);
        data += n;
        size -= n;
    }
    return e;
}

/* Counts by the book. */
static uint64_t count(const uint8_t *data, size_t size)
{
    uint64_t out = 0;

    while (size >= 5) {
        size_t n = (size_t)data[1] << 24 | (size_t)data[2] << 16 |
                   (size_t)data[3] << 8 | data[4];

        if (size - 5 < n)
            break;
        out++;
        data += 5 + n;
        size -= 5 + n;
    }
    return out;
}

static void check_frames(const uint8_t *data, size_t size, size_t step)
{
    struct grpc_frames whole, cut;
    enum err e = follow(&whole, data, size, size);

    must(e == ERR_OK || e == ERR_INVALID || e == ERR_LIMIT);
    must(follow(&cut, data, size, step) == e);
    must(whole.messages == cut.messages);
    if (e)
        return;
    must(whole.messages == count(data, size));
    must(grpc_frames_between(&whole) == grpc_frames_between(&cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text;
    char *p;

    if (!size || size > 65536)
        return 0;
    p = malloc(size); /* of exactly this size */
    must(p != NULL);
    memcpy(p, data + 1, size - 1);
    text = str_from(p, size - 1);
    check_timeout(text);
    check_message(text);
    (void)grpc_is_type(text);
    check_frames(data + 1, size - 1, 1 + data[0] % 31);
    free(p);
    return 0;
}
