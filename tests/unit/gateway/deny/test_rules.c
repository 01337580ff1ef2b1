/* test_rules.c - deny rules: the file, and which of them blocks a call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/whole_file.h"
#include "gateway/deny/rules.h"
#include "http/message.h"
#include "temp_folder.h"
#include "traffic/tier_conditions.h"

static struct arena *a;
static struct problems ps;
static char folder[TEMP_FOLDER_PATH];
static struct str path;

static int begin(void **state)
{
    (void)state;
    a = arena_new();
    problems_init(&ps, a);
    temp_folder_make(folder);
    path = arena_printf(a, "%s/deny.yaml", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(a);
    return 0;
}

static struct deny_rules *parse(const char *text)
{
    struct deny_rules *r = NULL;

    if (deny_rules_parse(str_z(text), STR("deny.yaml"), &ps, &r))
        fail_msg("%.*s", STR_ARG(problem_line(a, ps.first)));
    return r;
}

/* A call of alice's application shop, by GET of /orders/1.0/items. */
static struct deny_call a_call(void)
{
    static struct header fields[] = {
        { .name = { "X-Client", 8 }, .value = { "spider-7", 8 } },
        { .name = { "Accept", 6 }, .value = { "*/*", 3 } },
    };
    static struct message m = { .headers = fields, .count = 2 };
    static const struct str apis[] = { { "Orders", 6 },
                                       { "Orders:1.0", 10 },
                                       { "/orders/1.0", 11 } };
    static const uint8_t ip[16] = { [10] = 0xff, [11] = 0xff, 10, 1, 2, 3 };

    return (struct deny_call) { .apis = apis,
                                .api_count = 3,
                                .method = STR("GET"),
                                .path = STR("/orders/1.0/items"),
                                .ip = ip,
                                .request = &m,
                                .application = STR("shop"),
                                .user = STR("alice"),
                                .now_s = 1000 };
}

static const struct deny_rule *find(const struct deny_rules *r,
                                    const struct deny_call *c)
{
    const struct deny_rule *rule = deny_rules_find(r, DENY_EARLY, c);

    return rule ? rule : deny_rules_find(r, DENY_LATE, c);
}

static bool blocks(const char *text)
{
    struct deny_rules *r = parse(text);
    struct deny_call c = a_call();
    bool found = find(r, &c) != NULL;

    deny_rules_free(r);
    return found;
}

/* ---- parts ---- */

static void each_part_blocks_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    assert_true(blocks("- api: Orders"));
    assert_true(blocks("- api: 'Orders:1.0'"));
    assert_true(blocks("- api: /orders/1.0"));
    assert_true(blocks("- api: [Other, Orders]"));
    assert_true(blocks("- api: /orders/*"));
    assert_false(blocks("- api: 'Orders:1.1'"));
    assert_false(blocks("- api: orders"));
    assert_false(blocks("- api: /orders"));
    assert_true(blocks("- application: shop"));
    assert_true(blocks("- application: s*p"));
    assert_false(blocks("- application: sho"));
    assert_true(blocks("- user: alice"));
    assert_true(blocks("- user: a*"));
    assert_false(blocks("- user: alicia"));
    assert_true(blocks("- address: 10.1.2.3"));
    assert_true(blocks("- address: 10.0.0.0/8"));
    assert_true(blocks("- address: 10.1.2.1-10.1.2.4"));
    assert_false(blocks("- address: ['10.1.2.4', '::/0']"));
    assert_true(blocks("- not_address: 10.1.2.4"));
    assert_false(blocks("- not_address: 10.0.0.0/8"));
    assert_true(blocks("- method: get"));
    assert_false(blocks("- method: [POST, PUT]"));
    assert_true(blocks("- path: /orders/*/items"));
    assert_false(blocks("- path: /items"));
    assert_true(blocks("- header: x-client"));
    assert_true(blocks("- header: X-Client=spider-*"));
    assert_false(blocks("- header: X-Client=spider"));
    assert_false(blocks("- header: X-Other"));
}

static void a_rule_holds_when_all_its_parts_do(void **state)
{
    (void)state;
    assert_true(blocks("- {api: Orders, method: GET, address: 10.0.0.0/8, "
                       "header: X-Client, user: alice, application: shop, "
                       "path: /orders/*}"));
    assert_false(blocks("- {api: Other, method: GET, address: 10.0.0.0/8}"));
    assert_false(blocks("- {api: Orders, method: POST, address: 10.0.0.0/8}"));
    assert_false(blocks("- {user: alice, address: 10.9.0.0/16}"));
    assert_false(blocks("- {user: bob, application: shop}"));
    assert_true(blocks("- {user: alice, not_address: 10.9.0.0/16}"));
    assert_false(blocks("- {address: 10.0.0.0/8, not_address: 10.1.0.0/16}"));
}

static void the_default_organization_may_be_left_out(void **state)
{
    struct deny_rules *r = parse("- user: alice");
    struct deny_call c = a_call();
    (void)state;

    c.user = STR("alice@carbon.super");
    assert_non_null(find(r, &c));
    c.user = STR("alice@other.org");
    assert_null(find(r, &c));
    deny_rules_free(r);
    assert_true(blocks("- user: alice@carbon.super"));
    assert_true(blocks("- user: '*@carbon.super'"));
    assert_false(blocks("- user: alice@other.org"));
}

static void who_is_not_known_is_no_user_and_no_application(void **state)
{
    struct deny_rules *r = parse("- user: '*'\n- application: '*'");
    struct deny_call c = a_call();
    (void)state;

    c.user = c.application = STR("");
    assert_null(find(r, &c));
    deny_rules_free(r);
}

static void rules_without_users_are_the_early_ones(void **state)
{
    struct deny_rules *r = parse("- user: bob\n- address: 10.1.2.3");
    struct deny_call c = a_call();
    (void)state;

    assert_true(deny_rules_any(r, DENY_EARLY));
    assert_true(deny_rules_any(r, DENY_LATE));
    assert_non_null(deny_rules_find(r, DENY_EARLY, &c));
    assert_null(deny_rules_find(r, DENY_LATE, &c));
    deny_rules_free(r);
    r = parse("");
    assert_false(deny_rules_any(r, DENY_EARLY));
    assert_false(deny_rules_any(r, DENY_LATE));
    deny_rules_free(r);
    assert_false(deny_rules_any(NULL, DENY_EARLY));
}

static void a_rule_ends_at_its_time(void **state)
{
    struct deny_rules *r = parse("- {api: Orders, until: 2026-02-28}");
    struct deny_call c = a_call();
    uint64_t until = deny_rules_at(r, 0)->until_s;
    (void)state;

    assert_int_equal(until, 1772236800);
    c.now_s = until - 1;
    assert_non_null(find(r, &c));
    c.now_s = until;
    assert_null(find(r, &c));
    deny_rules_free(r);
    r = parse("- {api: Orders, until: 2024-02-29T23:59:59Z}");
    assert_int_equal(deny_rules_at(r, 0)->until_s, 1709251199);
    deny_rules_free(r);
}

static void one_that_is_not_enabled_blocks_nobody(void **state)
{
    (void)state;
    assert_false(blocks("- {api: Orders, enabled: false}"));
    assert_false(blocks("- {user: alice, enabled: false}"));
    assert_true(blocks("- {user: alice, enabled: true}"));
}

static void the_reason_says_what_kind_of_rule_it_is(void **state)
{
    static const struct {
        const char *text;
        enum explain_reason reason;
    } all[] = {
        { "- api: A", REASON_DENIED_API },
        { "- application: A", REASON_DENIED_APPLICATION },
        { "- user: A", REASON_DENIED_USER },
        { "- address: ::1", REASON_DENIED_ADDRESS },
        { "- not_address: ::1", REASON_DENIED_ADDRESS },
        { "- header: A", REASON_DENIED_CONDITION },
        { "- {api: A, user: B}", REASON_DENIED_CONDITION },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct deny_rules *r = parse(all[i].text);

        assert_int_equal(deny_rules_at(r, 0)->reason, all[i].reason);
        deny_rules_free(r);
    }
}

static void a_rule_is_told_in_words(void **state)
{
    struct deny_rules *r =
        parse("- {id: ab12, user: alice, method: [GET, PUT], until: "
              "2030-01-01, note: ticket 17}\n- api: A");
    (void)state;

    assert_string_equal(deny_rules_at(r, 0)->text.p,
                        "rule ab12 (user: alice; method: GET, …; until "
                        "2030-01-01): ticket 17");
    assert_string_equal(deny_rules_at(r, 1)->text.p, "rule in line 2 (api: A)");
    deny_rules_free(r);
}

/* ---- the file ---- */

static void what_is_wrong_is_said_with_its_line(void **state)
{
    static const struct {
        const char *rule, *words;
    } all[] = {
        { "- adress: 10.0.0.1", "did you mean" },
        { "- address: 10.0.0.1/40", "no address" },
        { "- not_address: x", "no address" },
        { "- {id: a b, user: x}", "id has" },
        { "- {id: first, user: x}", "there twice" },
        { "- {note: nothing}", "blocks nothing" },
        { "- {}", "blocks nothing" },
        { "- {user: ''}", "between 1 and" },
        { "- {user: x, until: tomorrow}", "until wants" },
        { "- {user: x, until: 2026-02-30}", "until wants" },
        { "- {user: x, until: 2026-13-01}", "until wants" },
        { "- {user: x, until: 2026-01-01T24:00:00Z}", "until wants" },
        { "- {header: 'a b'}", "no NAME" },
        { "- {method: 'G T'}", "no method" },
        { "- {user: x, enabled: maybe}", "enabled" },
        { "- alice", "is no rule" },
        { "- {user: [x, [y]]}", "user" },
        { "  : :", "" },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct deny_rules *r;
        struct str text =
            arena_printf(a, "- {id: first, api: A}\n# why\n%s\n", all[i].rule);

        problems_init(&ps, a);
        assert_int_not_equal(deny_rules_parse(text, path, &ps, &r), ERR_OK);
        assert_int_equal(ps.first->line, 3);
        if (!strstr(ps.first->text.p, all[i].words))
            fail_msg("%s: %s", all[i].rule, ps.first->text.p);
    }
}

static void a_file_that_is_no_list_is_refused(void **state)
{
    struct deny_rules *r;
    (void)state;

    assert_int_equal(deny_rules_parse(STR("user: x"), path, &ps, &r),
                     ERR_INVALID);
    assert_int_equal(deny_rules_parse(STR("7"), path, &ps, &r), ERR_INVALID);
    assert_int_equal(ps.errors, 2);
    assert_int_equal(deny_rules_load(path, &ps, &r), ERR_OK);
    assert_int_equal(deny_rules_count(r), 0);
    deny_rules_free(r);
}

static void too_many_patterns_are_refused(void **state)
{
    struct deny_rules *r;
    struct buf b;
    (void)state;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1001; i++)
        assert_int_equal(buf_printf(&b, "- user: '*%d'\n", i), ERR_OK);
    assert_int_equal(deny_rules_parse(buf_view(&b), path, &ps, &r), ERR_LIMIT);
    assert_int_equal(ps.first->line, 1001);
    buf_done(&b);
}

static void what_is_written_is_read_back(void **state)
{
    struct deny_rules *r =
        parse("- {id: x-1, api: [A, 'B:1'], application: q\"uo, user: u$$x, "
              "address: [10.0.0.0/8, '::1'], not_address: 10.0.0.9, method: "
              "GET, path: /a*, header: [A, B=c d], until: 2031-05-06, note: "
              "\"ä: #\", enabled: false}");
    struct deny_rules *again;
    struct buf one, two;
    (void)state;

    buf_init(&one, 4096);
    buf_init(&two, 4096);
    assert_string_equal(deny_rules_at(r, 0)->users.items[0].p, "u$x");
    assert_int_equal(deny_rule_write(&one, deny_rules_at(r, 0)), ERR_OK);
    again = parse(arena_copy(a, buf_view(&one)).p);
    assert_int_equal(deny_rule_write(&two, deny_rules_at(again, 0)), ERR_OK);
    assert_true(str_eq(buf_view(&one), buf_view(&two)));
    assert_int_equal(deny_rules_at(again, 0)->addresses.count, 2);
    assert_false(deny_rules_at(again, 0)->enabled);
    buf_done(&one);
    buf_done(&two);
    deny_rules_free(r);
    deny_rules_free(again);
}

static const char *contents(void)
{
    struct str text = STR("");

    assert_int_equal(whole_file_read(a, path, 1 << 20, &ps, &text), ERR_OK);
    return text.p;
}

static struct deny_rule a_rule(const char *id)
{
    static struct str user = { "alice", 5 };

    return (struct deny_rule) { .id = str_z(id),
                                .users = { &user, 1 },
                                .enabled = true };
}

static void rules_come_and_go_and_comments_stay(void **state)
{
    static const char before[] = "# whom we do not serve\n"
                                 "\n"
                                 "- id: a\n"
                                 "  user: x\n"
                                 "  # within\n"
                                 "  note: y\n"
                                 "\n"
                                 "# of the second\n"
                                 "- {id: b, user: z}";
    struct deny_rule rule = a_rule("c");
    (void)state;

    assert_int_equal(whole_file_replace(path, str_z(before), &ps), ERR_OK);
    assert_int_equal(deny_file_add(path, &rule, &ps), ERR_OK);
    assert_string_equal(
        contents(),
        arena_printf(a, "%s\n- {id: \"c\", user: \"alice\"}\n", before).p);
    assert_int_equal(deny_file_remove(path, STR("a"), &ps), ERR_OK);
    assert_string_equal(contents(), "# whom we do not serve\n"
                                    "\n"
                                    "\n"
                                    "# of the second\n"
                                    "- {id: b, user: z}\n"
                                    "- {id: \"c\", user: \"alice\"}\n");
    assert_int_equal(deny_file_remove(path, STR("c"), &ps), ERR_OK);
    assert_int_equal(deny_file_remove(path, STR("b"), &ps), ERR_OK);
    assert_string_equal(contents(), "# whom we do not serve\n"
                                    "\n"
                                    "\n"
                                    "# of the second\n");
    assert_int_equal(deny_file_remove(path, STR("b"), &ps), ERR_NOT_FOUND);
    assert_int_equal(deny_file_add(path, &rule, &ps), ERR_OK);
    assert_int_equal(ps.errors, 0);
}

static void a_first_rule_makes_the_file(void **state)
{
    struct deny_rule rule = a_rule("c");
    (void)state;

    assert_int_equal(deny_file_add(path, &rule, &ps), ERR_OK);
    assert_string_equal(contents(), "- {id: \"c\", user: \"alice\"}\n");
    assert_int_equal(deny_file_add(path, &rule, &ps), ERR_CONFLICT);
    assert_non_null(strstr(ps.first->text.p, "already"));
}

static void a_file_that_a_program_cannot_change_stays_as_it_is(void **state)
{
    static const char *const all[] = {
        "[{id: a, user: x}, {id: b, user: y}]\n",
        "  - {id: a, user: x}\n",
        "- user: x\n- [\n",
    };
    struct deny_rule rule = a_rule("c");
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        problems_init(&ps, a);
        assert_int_equal(whole_file_replace(path, str_z(all[i]), &ps), ERR_OK);
        assert_int_not_equal(deny_file_add(path, &rule, &ps), ERR_OK);
        assert_int_equal(ps.errors, 1);
        assert_string_equal(contents(), all[i]);
    }
    assert_int_equal(whole_file_replace(path, str_z(all[0]), &ps), ERR_OK);
    assert_int_equal(deny_file_remove(path, STR("a"), &ps), ERR_INVALID);
    assert_string_equal(contents(), all[0]);
}

static void a_rule_that_is_wrong_is_not_written(void **state)
{
    static struct str address = { "10.0.0.300", 10 };
    struct deny_rule rule = { .id = STR("c"),
                              .addresses = { &address, 1 },
                              .enabled = true };
    (void)state;

    assert_int_equal(deny_file_add(path, &rule, &ps), ERR_INVALID);
    assert_non_null(strstr(ps.first->text.p, "10.0.0.300"));
    assert_int_equal(ps.first->file.len, 0);
}

/* ---- many ---- */

static void ten_thousand_rules_find_theirs(void **state)
{
    struct deny_call c = a_call();
    struct deny_rules *r;
    struct buf b;
    (void)state;

    buf_init(&b, 8 << 20);
    for (int i = 0; i < 2500; i++)
        assert_int_equal(buf_printf(&b,
                                    "- {id: u%d, user: user-%d}\n"
                                    "- {id: a%d, address: 10.%d.%d.0/24}\n"
                                    "- {id: p%d, application: app-%d}\n"
                                    "- {id: x%d, api: 'Api:%d'}\n",
                                    i, i, i, 100 + i / 256, i % 256, i, i, i,
                                    i),
                         ERR_OK);
    r = parse(arena_copy(a, buf_view(&b)).p);
    buf_done(&b);
    assert_int_equal(deny_rules_count(r), 10000);
    assert_null(find(r, &c));
    c.user = STR("user-2499");
    assert_string_equal(find(r, &c)->id.p, "u2499");
    c.user = STR("bob");
    c.application = STR("app-7");
    assert_string_equal(find(r, &c)->id.p, "p7");
    c.application = STR("none");
    c.apis = &STR("Api:1234");
    c.api_count = 1;
    assert_string_equal(find(r, &c)->id.p, "x1234");
    c.ip = (const uint8_t[16]) { [10] = 0xff, [11] = 0xff, 10, 101, 3, 200 };
    assert_string_equal(find(r, &c)->id.p, "a259");
    deny_rules_free(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_part_blocks_what_it_names_and_nothing_else),
        TEST(a_rule_holds_when_all_its_parts_do),
        TEST(the_default_organization_may_be_left_out),
        TEST(who_is_not_known_is_no_user_and_no_application),
        TEST(rules_without_users_are_the_early_ones),
        TEST(a_rule_ends_at_its_time),
        TEST(one_that_is_not_enabled_blocks_nobody),
        TEST(the_reason_says_what_kind_of_rule_it_is),
        TEST(a_rule_is_told_in_words),
        TEST(what_is_wrong_is_said_with_its_line),
        TEST(a_file_that_is_no_list_is_refused),
        TEST(too_many_patterns_are_refused),
        TEST(what_is_written_is_read_back),
        TEST(rules_come_and_go_and_comments_stay),
        TEST(a_first_rule_makes_the_file),
        TEST(a_file_that_a_program_cannot_change_stays_as_it_is),
        TEST(a_rule_that_is_wrong_is_not_written),
        TEST(ten_thousand_rules_find_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
