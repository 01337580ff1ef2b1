/* fuzz_yaml.c - any bytes: no crash, no explosion, and what is taken can be
 * written as JSON.
 */
#include <stdlib.h>

#include "base/log.h"
#include "format/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits limits = json_default_limits;
    struct arena *a = arena_new();
    struct json_error error = { 0 };
    struct json *j = NULL, *again = NULL;
    struct buf once, twice;
    enum err e;

    limits.max_depth = 100;
    limits.max_nodes = 20000;
    limits.max_bytes = 1 << 20;
    e = yaml_parse(a, str_from((const char *)data, size), &limits, &j, &error);
    must(!e == (j != NULL));
    must(!e || (error.what && error.line && error.column));
    if (j) {
        buf_init(&once, 1 << 26);
        buf_init(&twice, 1 << 26);
        must(!json_write(&once, j));
        must(!json_parse(a, buf_view(&once), &json_default_limits, &again,
                         &error));
        must(!json_write(&twice, again));
        must(str_eq(buf_view(&once), buf_view(&twice)));
        buf_done(&once);
        buf_done(&twice);
    }
    arena_free(a);
    return 0;
}
