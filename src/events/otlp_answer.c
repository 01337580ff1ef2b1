/* otlp_answer.c - what a collector says of spans it took
 * (ExportTraceServiceResponse).
 */
#include "events/otlp.h"
#include "format/json.h"

static const struct json_limits limits = { .max_bytes = 64 * 1024,
                                           .max_depth = 32,
                                           .max_nodes = 4096 };

/* An int64 of protobuf is text in JSON; numbers are taken too. */
static bool read_count(const struct json *j, uint64_t *out)
{
    *out = 0;
    if (!j)
        return true;
    if (j->type != JSON_STRING && j->type != JSON_NUMBER)
        return false;
    return str_to_u64(j->text, INT64_MAX, out) == ERR_OK;
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\r')
            return false;
    return true;
}

uint64_t otlp_read_answer(struct arena *a, struct str body, uint64_t of,
                          struct str *why, bool *bad)
{
    const struct json *part;
    struct json *tree;
    struct json_error error;
    uint64_t n;

    *why = STR_NULL;
    *bad = false;
    if (is_blank(body))
        return 0;
    *bad = true;
    if (json_parse(a, body, &limits, &tree, &error) ||
        tree->type != JSON_OBJECT)
        return 0;
    part = json_at(tree, "partialSuccess");
    if (part && part->type != JSON_OBJECT && part->type != JSON_NULL)
        return 0;
    if (!read_count(json_at(part, "rejectedSpans"), &n))
        return 0;
    *bad = false;
    *why = json_str(json_at(part, "errorMessage"));
    return n < of ? n : of;
}
