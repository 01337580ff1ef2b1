/* fuzz_explain.c - a record of the ring may be anything: it is only a file. */
#include <stdlib.h>

#include "base/log.h"
#include "format/json.h"
#include "gateway/explain_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct explained x = { 0 };
    struct json_error error;
    struct json *j = NULL;
    struct arena *a;
    struct buf b;

    if (explain_decode(str_from((const char *)data, size), &x))
        return 0;
    a = arena_new();
    buf_init(&b, 1 << 22);
    must(!explain_text(&b, &x, true));
    for (size_t i = 0; i < b.len; i++)
        must((unsigned char)b.p[i] >= ' ' || b.p[i] == '\n');
    b.len = 0;
    must(!explain_line(&b, &x));
    b.len = 0;
    must(!explain_json(&b, &x));
    must(!json_parse(a, buf_view(&b), &json_default_limits, &j, &error));
    buf_done(&b);
    arena_free(a);
    return 0;
}
