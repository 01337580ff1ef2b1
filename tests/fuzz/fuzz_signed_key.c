/* fuzz_signed_key.c - claims of an API key whose signature was good. */
#include "base/log.h"
#include "gateway/credential/signed_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ip[16];
    const struct json_limits limits = { 1 << 16, 32, 4096, false };
    struct key_use use = { .api = STR("A"), .version = STR("1"), .ip = ip };
    struct arena *a = arena_new();
    struct json_error error;
    struct api_key key;
    struct json *claims;
    const char *what = NULL;
    struct jwt t;

    if (!json_parse(a, str_from((const char *)data, size), &limits, &claims,
                    &error) &&
        claims->type == JSON_OBJECT && !jwt_of_claims(a, claims, &t, &what)) {
        enum err e = signed_key_read(a, &t, 5, size % 2, &key, &what);

        must(!e == !what);
        if (!e) {
            must(key.id.len && key.ips.count <= 256 && key.apis.count <= 256);
            use.referer = key.name;
            (void)api_key_judge(&key, &use);
        }
    }
    arena_free(a);
    return 0;
}
