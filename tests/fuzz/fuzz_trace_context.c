/* fuzz_trace_context.c - any bytes as traceparent; any as tracestate, in
 * several fields, one a line.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "events/trace_context.h"

enum { FIELDS = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken has its form, and what is made of it is taken. */
static void check_parent(struct str s)
{
    char text[TRACE_PARENT_BYTES];
    struct trace_context c, again;

    if (trace_parent_parse(s, &c))
        return;
    must(s.len >= TRACE_PARENT_BYTES);
    must(!(c.flags & ~(TRACE_SAMPLED | TRACE_RANDOM)));
    trace_parent_format(&c, text);
    must(memcmp(text + 2, s.p + 2, 51) == 0);
    must(!trace_parent_parse(str_from(text, sizeof(text)), &again));
    must(memcmp(&c, &again, sizeof(c)) == 0);
}

static void read_state(struct str *values, uint32_t count,
                       struct trace_state *out, enum err *e)
{
    struct header fields[FIELDS];
    struct message m = { .headers = fields, .count = count };

    for (uint32_t i = 0; i < count; i++)
        fields[i] = (struct header) { .name = STR("tracestate"),
                                      .value = values[i],
                                      .id = FIELD_TRACESTATE };
    m.first[FIELD_TRACESTATE] = count > 0;
    *e = trace_state_read(&m, out);
}

static void check_state(struct str s)
{
    struct str values[FIELDS], one;
    struct trace_state first, second;
    uint32_t n = 0;
    size_t members = 0;
    enum err e;

    while (s.p && n < FIELDS)
        values[n++] = str_trim(str_cut(&s, '\n'));
    read_state(values, n, &first, &e);
    must(first.len <= TRACE_STATE_BYTES);
    must(!e || !first.len);
    /* What is passed on is taken by the next one as it is. */
    one = str_from(first.text, first.len);
    read_state(&one, 1, &second, &e);
    must(!e && second.len == first.len);
    must(memcmp(first.text, second.text, first.len) == 0);
    for (struct str rest = one; rest.len; members++) {
        struct str member = str_cut(&rest, ',');

        must(member.len >= 3 && member.len <= 256 + 1 + 256);
        must(str_find(member, '=') == str_rfind(member, '='));
    }
    must(members <= TRACE_STATE_MEMBERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *p;

    if (!size || size > 65536)
        return 0;
    p = malloc(size); /* of exactly this size */
    must(p != NULL);
    memcpy(p, data, size);
    check_parent(str_from(p, size));
    check_state(str_from(p, size));
    free(p);
    return 0;
}
