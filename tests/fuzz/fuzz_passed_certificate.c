/* fuzz_passed_certificate.c - what a balancer says its client's certificate
 * is. */
#include "base/log.h"
#include "gateway/credential/passed_certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str value = str_from((const char *)data, size);
    struct str more[PASSED_CHAIN_MAX], der;
    struct certificate c;
    size_t n = 0;

    (void)passed_certificate_chain(a, value, more, &n);
    must(n <= PASSED_CHAIN_MAX);
    if (!passed_certificate_der(a, value, &der)) {
        must(der.len && der.len <= size);
        if (!certificate_read(a, der, more, n, NULL, 1800000000, &c))
            must(!c.chained && c.subject.len < 512);
    }
    arena_free(a);
    return 0;
}
