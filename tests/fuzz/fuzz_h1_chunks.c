/* fuzz_h1_chunks.c - any bytes as a chunked body: however they are split, the
 * result is the same, and llhttp finds the same data (llhttp_oracle.h).
 *
 * The first byte says where the second way of reading splits.
 */
#include "base/buf.h"
#include "llhttp_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    enum err e;
    char *data;
    size_t len, used;
    struct buf trailers;
    struct h1_error error;
    struct h1_chunks chunks;
};

static struct result decode(const char *p, size_t n, size_t step)
{
    static const struct h1_chunk_limits limits = { 100, 200 };
    struct result r = { .e = ERR_AGAIN, .data = malloc(n + 1) };
    size_t from, take;

    must(r.data != NULL);
    buf_init(&r.trailers, 200);
    for (from = 0; from < n && r.e == ERR_AGAIN; from += take) {
        size_t used = 0, got = 0;
        char *piece;

        take = n - from < step ? n - from : step;
        piece = malloc(take); /* of exactly this size */
        must(piece != NULL);
        memcpy(piece, p + from, take);
        r.e = h1_chunks_decode(&r.chunks, &limits, piece, take, &used, &got,
                               &r.trailers, &r.error);
        must(got <= used && used <= take);
        must(r.e != ERR_AGAIN || used == take);
        memcpy(r.data + r.len, piece, got);
        r.len += got;
        r.used += used;
        free(piece);
    }
    return r;
}

static bool whole(const struct result *r)
{
    return r->e == ERR_OK || r->e == ERR_AGAIN;
}

static void check_same(const struct result *a, const struct result *b)
{
    must(a->e == b->e);
    if (!whole(a)) {
        must(a->error.status == b->error.status && a->error.what);
        return;
    }
    must(a->used == b->used && a->chunks.total == a->len);
    must(str_eq(str_from(a->data, a->len), str_from(b->data, b->len)));
    must(str_eq(buf_view(&a->trailers), buf_view(&b->trailers)));
    must(a->chunks.trailer == a->trailers.len);
}

static void done(struct result *r)
{
    buf_done(&r->trailers);
    free(r->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data + 1;
    struct result once, parts, bytes;

    if (size < 2)
        return 0;
    once = decode(p, size - 1, size);
    parts = decode(p, size - 1, 1 + data[0] % 32);
    bytes = decode(p, size - 1, 1);
    check_same(&once, &parts);
    check_same(&once, &bytes);
    if (once.e == ERR_OK && !once.chunks.extension && !once.chunks.trailer)
        oracle_chunks(p, once.used, str_from(once.data, once.len));
    done(&once);
    done(&parts);
    done(&bytes);
    return 0;
}
