/* fuzz_proxy_protocol.c - any bytes as a PROXY header: what arrives in parts
 * is judged as it is when it is whole.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err parse(const uint8_t *p, size_t n, struct proxy_header *out)
{
    char *copy = malloc(n ? n : 1); /* of exactly this size */
    enum err e;

    must(copy != NULL);
    memcpy(copy, p, n);
    e = proxy_header_parse(copy, n, out);
    free(copy);
    return e;
}

static void check_taken(const struct proxy_header *h, size_t size)
{
    must(h->length > 0 && h->length <= size && h->length <= PROXY_HEADER_MAX);
    if (h->local)
        return;
    must(h->source.ss_family == AF_INET || h->source.ss_family == AF_INET6);
    must(h->source.ss_family == h->destination.ss_family);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole = { 0 }, part = { 0 };
    enum err e = parse(data, size, &whole), f;
    size_t n;

    must(e == ERR_OK || e == ERR_AGAIN || e == ERR_INVALID);
    must(e != ERR_AGAIN || size < PROXY_HEADER_MAX);
    if (e == ERR_OK)
        check_taken(&whole, size);
    for (n = 0; n < size && n < 2 * PROXY_HEADER_MAX; n++) {
        f = parse(data, n, &part);
        if (f == ERR_OK)
            must(e == ERR_OK && n >= whole.length &&
                 part.length == whole.length);
        if (f == ERR_INVALID)
            must(e == ERR_INVALID);
        if (f == ERR_AGAIN && e == ERR_OK)
            must(n < whole.length);
    }
    return 0;
}
