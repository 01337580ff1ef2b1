/* fuzz_json.c - any bytes: no crash, and what is taken is written and read
 * back the same. Also writes the bytes as a string and reads that.
 */
#include <stdlib.h>

#include "base/log.h"
#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json *parse(struct arena *a, struct str text, bool duplicates)
{
    struct json_limits limits = json_default_limits;
    struct json_error error = { 0 };
    struct json *j = NULL;
    enum err e;

    limits.duplicate_keys = duplicates;
    e = json_parse(a, text, &limits, &j, &error);
    must(!e == (j != NULL));
    must(!e || (error.what && error.line && error.column));
    return j;
}

/* Members must be found by name and by the pointers made of their names. */
static void check_members(const struct json *j, size_t depth)
{
    const struct json *last = NULL;
    size_t count = 0;

    must(j->line > 0);
    for (const struct json *m = j->first; m; m = m->next) {
        if (j->type == JSON_OBJECT)
            must(json_get(j, m->key) == m);
        if (depth < 50)
            check_members(m, depth + 1);
        last = m;
        count++;
    }
    must(last == j->last && count == j->count);
}

static void check_round_trip(struct arena *a, struct json *j)
{
    struct buf once, twice;
    struct json *again;

    buf_init(&once, 1 << 26);
    buf_init(&twice, 1 << 26);
    must(!json_write(&once, j));
    again = parse(a, buf_view(&once), false);
    must(again);
    must(!json_write(&twice, again));
    must(str_eq(buf_view(&once), buf_view(&twice)));
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str text = str_from((const char *)data, size);
    struct json *strict = parse(a, text, false), *lax = parse(a, text, true);
    struct buf b;

    must(!strict || lax);
    if (lax) {
        check_members(lax, 0);
        check_round_trip(a, lax);
        json_pointer(lax, text);
    }
    buf_init(&b, 8 * size + 2);
    must(!json_write_str(&b, text));
    must(json_str(parse(a, buf_view(&b), false)).p);
    buf_done(&b);
    arena_free(a);
    return 0;
}
