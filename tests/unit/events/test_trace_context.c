/* test_trace_context.c - traceparent and tracestate, read to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "events/trace_context.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"

enum { FIELDS = 64 };

static struct header fields[FIELDS];
static struct message m;

static int set_up(void **state)
{
    (void)state;
    memset(&m, 0, sizeof(m));
    m.headers = fields;
    m.capacity = FIELDS;
    return 0;
}

static void add(const char *name, struct str value)
{
    struct header *h = &fields[m.count++];

    assert_true(m.count <= FIELDS);
    *h = (struct header) { .name = str_z(name), .value = value };
    h->id = (uint16_t)field_id(h->name);
    if (!m.first[h->id])
        m.first[h->id] = (uint8_t)m.count;
}

static void add_z(const char *name, const char *value)
{
    add(name, str_z(value));
}

/* ---- traceparent ---- */

static enum err parse(const char *text, struct trace_context *out)
{
    return trace_parent_parse(str_z(text), out);
}

static void a_parent_is_read(void **state)
{
    static const uint8_t trace[16] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3,
                                       0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d,
                                       0x0e, 0x0e, 0x47, 0x36 };
    static const uint8_t span[8] = { 0x00, 0xf0, 0x67, 0xaa,
                                     0x0b, 0xa9, 0x02, 0xb7 };
    struct trace_context c;
    (void)state;

    assert_int_equal(parse(PARENT, &c), ERR_OK);
    assert_memory_equal(c.trace_id, trace, 16);
    assert_memory_equal(c.span_id, span, 8);
    assert_int_equal(c.flags, TRACE_SAMPLED);
}

static void what_is_written_reads_back(void **state)
{
    char text[TRACE_PARENT_BYTES];
    struct trace_context c, again;
    (void)state;

    assert_int_equal(parse("00-" TRACE "-" SPAN "-03", &c), ERR_OK);
    trace_parent_format(&c, text);
    assert_memory_equal(text, "00-" TRACE "-" SPAN "-03", sizeof(text));
    assert_int_equal(trace_parent_parse(str_from(text, sizeof(text)), &again),
                     ERR_OK);
    assert_memory_equal(&again, &c, sizeof(c));
}

static void flags_nobody_knows_are_dropped(void **state)
{
    struct trace_context c;
    (void)state;

    for (unsigned flags = 0; flags < 256; flags++) {
        char text[] = "00-" TRACE "-" SPAN "-00";
        uint8_t byte = (uint8_t)flags;

        trace_hex(&byte, 1, text + 53);
        assert_int_equal(parse(text, &c), ERR_OK);
        assert_int_equal(c.flags, flags & 3);
        text[1] = '1'; /* in a later version only one has a meaning */
        assert_int_equal(parse(text, &c), ERR_OK);
        assert_int_equal(c.flags, flags & 1);
    }
}

/* At each place each byte: what is taken is what may stand there. */
static void every_byte_at_every_place(void **state)
{
    static const char good[] = PARENT;
    struct trace_context c;
    (void)state;

    for (size_t at = 0; at < sizeof(good) - 1; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[sizeof(good)], ch = (char)byte;
            bool dash = good[at] == '-', hex, want;

            memcpy(text, good, sizeof(good));
            text[at] = ch;
            hex = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f');
            want = dash ? ch == '-' : hex;
            /* "0f" is a version to come; none of these is "ff". */
            if ((trace_parent_parse(str_from(text, 55), &c) == ERR_OK) != want)
                fail_msg("byte %u at %zu", byte, at);
        }
}

static void every_length_but_one_is_wrong(void **state)
{
    static const char text[] = PARENT "-00-and-more";
    struct trace_context c;
    (void)state;

    for (size_t n = 0; n < sizeof(text); n++)
        assert_int_equal(trace_parent_parse(str_from(text, n), &c) == ERR_OK,
                         n == 55);
    assert_int_equal(trace_parent_parse(STR_NULL, &c), ERR_INVALID);
}

static void parents_that_are_none(void **state)
{
    static const char *const bad[] = {
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "ff-" TRACE "-" SPAN "-01",
        "FF-" TRACE "-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-" TRACE "-" SPAN "-0A",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-",
        "00-" TRACE "-" SPAN "-1",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01.",
        "00-" TRACE "-" SPAN "-01-02",
        "00" TRACE SPAN "01",
        "00_" TRACE "_" SPAN "_01",
        " 0-" TRACE "-" SPAN "-01",
        "0-" TRACE "-" SPAN "-01 ",
        "000-" TRACE "-" SPAN "-01",
        "00-" TRACE "0-" SPAN "-1",
        "00-" TRACE "-" SPAN "0-1",
        "ff-" TRACE "-" SPAN "-01-more",
        "01-" TRACE "-" SPAN "-01more",
        "cc-" TRACE "-" SPAN "-01.what-the-future-will-be-like",
        "",
    };
    struct trace_context c, before;
    (void)state;

    memset(&before, 0x5a, sizeof(before));
    c = before;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (parse(bad[i], &c) != ERR_INVALID)
            fail_msg("taken: %s", bad[i]);
    assert_memory_equal(&c, &before, sizeof(c));
}

static void later_versions_are_read_as_far_as_known(void **state)
{
    static const char *const good[] = {
        "01-" TRACE "-" SPAN "-01",
        "cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like",
        "cc-" TRACE "-" SPAN "-01-",
        "fe-" TRACE "-" SPAN "-01-",
    };
    char text[TRACE_PARENT_BYTES];
    struct trace_context c;
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(parse(good[i], &c), ERR_OK);
        trace_parent_format(&c, text);
        assert_memory_equal(text, PARENT, sizeof(text)); /* ours is 00 */
    }
}

static void a_second_parent_makes_both_void(void **state)
{
    struct trace_context c;
    (void)state;

    assert_int_equal(trace_parent_read(&m, &c), ERR_NOT_FOUND);
    add_z("Accept", "*/*");
    add_z("TraceParent", PARENT);
    assert_int_equal(trace_parent_read(&m, &c), ERR_OK);
    add_z("x-other", PARENT);
    assert_int_equal(trace_parent_read(&m, &c), ERR_OK);
    add_z("traceparent", PARENT);
    assert_int_equal(trace_parent_read(&m, &c), ERR_INVALID);
}

static void names_are_one_word(void **state)
{
    struct trace_context c;
    (void)state;

    add_z("trace-parent", PARENT);
    add_z("trace_parent", PARENT);
    add_z("trace.parent", PARENT);
    assert_int_equal(trace_parent_read(&m, &c), ERR_NOT_FOUND);
}

/* ---- tracestate ---- */

static void assert_state(const char *want)
{
    struct trace_state s;

    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.text, want, s.len);
}

static void state_of(const char *value, const char *want)
{
    set_up(NULL);
    add_z("tracestate", value);
    assert_state(want);
}

static void a_state_is_passed_on_in_order(void **state)
{
    (void)state;

    assert_state("");
    state_of("foo=1", "foo=1");
    state_of("foo=1,bar=2", "foo=1,bar=2");
    state_of("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3");
    state_of("foo=1,", "foo=1");
    state_of(",,foo=1,,,bar=2,", "foo=1,bar=2");
    state_of("", "");
    state_of(" , ", "");
    state_of("foo=1,bar=2,foo=3", "foo=1,bar=2");
}

static void several_fields_are_one_list(void **state)
{
    (void)state;

    add_z("tracestate", "foo=1");
    add_z("Accept", "*/*");
    add_z("tracestate", "");
    add_z("Tracestate", "bar=2,rojo=00f067");
    assert_state("foo=1,bar=2,rojo=00f067");
}

static void keys_and_values_have_their_letters(void **state)
{
    (void)state;

    state_of("abcdefghijklmnopqrstuvwxyz0123456789_-*/=1",
             "abcdefghijklmnopqrstuvwxyz0123456789_-*/=1");
    state_of("0vendor@system=1", "0vendor@system=1");
    state_of("a= !\"#$%&'()*+-./:;<>?@[\\]^_`{|}~ x",
             "a= !\"#$%&'()*+-./:;<>?@[\\]^_`{|}~ x");
}

static void one_bad_member_voids_all(void **state)
{
    static const char *const bad[] = {
        "foo",          "foo=",     "=1",        "foo=1,bar",
        "foo=1,bar=",   "FOO=1",    "foo.bar=1", "foo =1",
        "@foo=1",       "_foo=1",   "-a=1",      "foo=bar=x",
        "foo=1;bar=2",  "foo=\x01", "foo=\x7f",  "foo=\xc3\xa9",
        "f\xc3\xb6o=1", "foo=a\tb",
    };
    struct trace_state s;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        set_up(NULL);
        add_z("tracestate", "good=1");
        add_z("tracestate", bad[i]);
        /* A semicolon may be in a value, "=" may not. */
        if (trace_state_read(&m, &s) != ERR_INVALID || s.len)
            fail_msg("taken: %s", bad[i]);
    }
}

static void keys_and_values_end_at_256(void **state)
{
    char text[600];
    struct trace_state s;
    (void)state;

    memset(text, 'k', sizeof(text));
    text[256] = '=';
    add("tracestate", str_from(text, 258));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 258);
    set_up(NULL);
    text[256] = 'k';
    text[257] = '=';
    add("tracestate", str_from(text, 259));
    assert_int_equal(trace_state_read(&m, &s), ERR_INVALID);

    memset(text, 'v', sizeof(text));
    text[1] = '=';
    set_up(NULL);
    add("tracestate", str_from(text, 2 + 256));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 258);
    set_up(NULL);
    add("tracestate", str_from(text, 2 + 257));
    assert_int_equal(trace_state_read(&m, &s), ERR_INVALID);
}

/* n members of 5 bytes: k00=1 … */
static struct str members(char *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *p = out + 6 * i;

        memcpy(p, "k00=1,", 6);
        p[1] = (char)('0' + i / 10);
        p[2] = (char)('0' + i % 10);
    }
    return str_from(out, 6 * n - 1);
}

static void there_may_be_thirty_two(void **state)
{
    char text[6 * 40];
    struct trace_state s;
    (void)state;

    add("tracestate", members(text, 32));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 6 * 32 - 1);
    add_z("tracestate", " ,");
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    add_z("tracestate", "k00=1"); /* one that is there counts as well */
    assert_int_equal(trace_state_read(&m, &s), ERR_INVALID);
    assert_int_equal(s.len, 0);
}

/* A member of len bytes. */
static size_t member(char *out, char key, size_t len)
{
    out[0] = key;
    out[1] = '=';
    memset(out + 2, key, len - 2);
    out[len] = ',';
    return len + 1;
}

static void what_is_too_long_loses_long_members_first(void **state)
{
    char text[2048];
    struct trace_state s;
    size_t n = 0;
    (void)state;

    n += member(text + n, 'a', 100);
    n += member(text + n, 'b', 200); /* goes second */
    n += member(text + n, 'c', 128);
    n += member(text + n, 'd', 129); /* goes first */
    n += member(text + n, 'e', 120);
    n += member(text + n, 'f', 60);
    add("tracestate", str_from(text, n - 1));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 100 + 1 + 128 + 1 + 120 + 1 + 60);
    assert_int_equal(s.text[0], 'a');
    assert_int_equal(s.text[101], 'c');
    assert_int_equal(s.text[230], 'e');
    assert_int_equal(s.text[351], 'f');
}

static void then_members_at_the_end(void **state)
{
    char text[2048];
    struct trace_state s;
    size_t n = 0;
    (void)state;

    for (char key = 'a'; key < 'i'; key++)
        n += member(text + n, key, 100);
    add("tracestate", str_from(text, n - 1));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 5 * 100 + 4);
    assert_int_equal(s.text[404], 'e');
}

static void five_hundred_and_twelve_bytes_fit(void **state)
{
    char text[2048];
    struct trace_state s;
    size_t n = 0;
    (void)state;

    for (char key = 'a'; key < 'e'; key++)
        n += member(text + n, key, key == 'd' ? 125 : 128);
    assert_int_equal(n - 1, 512);
    add("tracestate", str_from(text, 512));
    assert_int_equal(trace_state_read(&m, &s), ERR_OK);
    assert_int_equal(s.len, 512);
    assert_memory_equal(s.text, text, 512);
}

#define a_test(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        a_test(a_parent_is_read),
        a_test(what_is_written_reads_back),
        a_test(flags_nobody_knows_are_dropped),
        a_test(every_byte_at_every_place),
        a_test(every_length_but_one_is_wrong),
        a_test(parents_that_are_none),
        a_test(later_versions_are_read_as_far_as_known),
        a_test(a_second_parent_makes_both_void),
        a_test(names_are_one_word),
        a_test(a_state_is_passed_on_in_order),
        a_test(several_fields_are_one_list),
        a_test(keys_and_values_have_their_letters),
        a_test(one_bad_member_voids_all),
        a_test(keys_and_values_end_at_256),
        a_test(there_may_be_thirty_two),
        a_test(what_is_too_long_loses_long_members_first),
        a_test(then_members_at_the_end),
        a_test(five_hundred_and_twelve_bytes_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
