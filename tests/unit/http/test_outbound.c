/* test_outbound.c - whom we may connect to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/outbound.h"
#include "net/sock.h"

static struct arena *arena;
static struct problems problems;
static struct outbound *rules;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    problems_init(&problems, arena);
    rules = NULL;
    return 0;
}

static int end(void **state)
{
    (void)state;
    outbound_set_own(NULL, 0);
    outbound_unref(rules);
    arena_free(arena);
    arena_thread_done();
    return 0;
}

/* allow: comma-separated; own: a listener, or NULL. */
static enum err make(const char *allow, const char *own)
{
    struct outbound_conf conf = { .connections = 1, .waiting = 1 };
    struct str items[16], rest = str_z(allow);
    struct address here = { 0 };

    conf.allow.items = items;
    while (rest.p && rest.len)
        items[conf.allow.count++] = str_cut(&rest, ',');
    if (own)
        assert_int_equal(sock_parse(str_z(own), &here), ERR_OK);
    outbound_unref(rules);
    rules = NULL;
    outbound_set_own(&here, own ? 1 : 0);
    return outbound_new(&conf, STR("t.yaml"), &problems, &rules);
}

static const char *ask(const char *host, const char *address)
{
    struct address to;

    assert_int_equal(sock_parse(str_z(address), &to), ERR_OK);
    return outbound_refuses(rules, str_z(host), &to);
}

static void without_a_word_only_public_addresses_pass(void **state)
{
    (void)state;

    assert_int_equal(make("", NULL), ERR_OK);
    assert_null(ask("a.test", "1.2.3.4:443"));
    assert_null(ask("a.test", "[2606:4700::1]:443"));
    assert_string_equal(ask("a.test", "127.0.0.1:443"), "a loopback address");
    assert_string_equal(ask("a.test", "10.0.0.1:443"), "a private address");
    assert_string_equal(ask("a.test", "169.254.169.254:80"),
                        "the metadata service of a cloud");
    assert_non_null(ask("a.test", "[::1]:443"));
    assert_non_null(ask("a.test", "[fd00::1]:443"));
    assert_non_null(ask("a.test", "[::ffff:192.168.0.1]:443"));
    assert_non_null(ask("a.test", "0.0.0.0:443"));
    assert_non_null(ask("a.test", "unix:/run/x.sock"));
}

static void a_range_lets_what_is_in_it_pass(void **state)
{
    (void)state;

    assert_int_equal(make("10.0.0.0/8,169.254.169.254", NULL), ERR_OK);
    assert_null(ask("a.test", "10.9.9.9:1"));
    assert_null(ask("a.test", "[::ffff:10.9.9.9]:1"));
    assert_null(ask("a.test", "169.254.169.254:80"));
    assert_non_null(ask("a.test", "192.168.0.1:1"));
    assert_non_null(ask("a.test", "169.254.169.253:80"));
}

static void an_address_with_a_port_is_for_that_port(void **state)
{
    (void)state;

    assert_int_equal(make("127.0.0.1:8080,[fd00::1]:443", NULL), ERR_OK);
    assert_null(ask("a.test", "127.0.0.1:8080"));
    assert_non_null(ask("a.test", "127.0.0.1:8081"));
    assert_non_null(ask("a.test", "127.0.0.2:8080"));
    assert_null(ask("a.test", "[fd00::1]:443"));
    assert_non_null(ask("a.test", "[fd00::1]:80"));
}

static void a_host_covers_private_addresses_and_no_metadata(void **state)
{
    (void)state;

    assert_int_equal(make("IdP.internal,*.corp.test,b.test:8443", NULL),
                     ERR_OK);
    assert_null(ask("idp.internal", "10.0.0.1:443"));
    assert_null(ask("idp.internal.", "127.0.0.1:443"));
    assert_non_null(ask("idp.internal", "169.254.169.254:443"));
    assert_non_null(ask("idp.internal", "169.254.1.1:443"));
    assert_non_null(ask("idp.internal", "224.0.0.1:443"));
    assert_non_null(ask("x.idp.internal", "10.0.0.1:443"));
    assert_non_null(ask("xidp.internal", "10.0.0.1:443"));
    assert_null(ask("a.b.corp.test", "10.0.0.1:443"));
    assert_non_null(ask("corp.test", "10.0.0.1:443"));
    assert_non_null(ask("evilcorp.test", "10.0.0.1:443"));
    assert_null(ask("b.test", "10.0.0.1:8443"));
    assert_non_null(ask("b.test", "10.0.0.1:443"));
}

static void our_own_listeners_need_their_port_named(void **state)
{
    (void)state;

    assert_int_equal(make("127.0.0.0/8,localhost", "127.0.0.1:9797"), ERR_OK);
    assert_null(ask("localhost", "127.0.0.1:80"));
    assert_string_equal(ask("localhost", "127.0.0.1:9797"),
                        "a listener of this gateway");
    assert_int_equal(make("127.0.0.0/8", ":9797"), ERR_OK);
    assert_non_null(ask("localhost", "127.0.0.1:9797"));
    assert_non_null(ask("localhost", "127.0.0.5:9797"));
    assert_null(ask("localhost", "127.0.0.5:9798"));
    assert_null(ask("a.test", "1.2.3.4:9797"));
    assert_int_equal(make("127.0.0.1:9797", ":9797"), ERR_OK);
    assert_null(ask("localhost", "127.0.0.1:9797"));
}

static void a_public_address_of_ours_is_no_exception(void **state)
{
    (void)state;

    assert_int_equal(make("", "1.2.3.4:8443"), ERR_OK);
    assert_non_null(ask("a.test", "1.2.3.4:8443"));
    assert_null(ask("a.test", "1.2.3.4:443"));
}

static void what_no_entry_can_mean_is_a_problem(void **state)
{
    static const char *const all[] = {
        "10.0.0.0/33", "http://a.test", "a b",      "*",
        "*.10.0.0.1",  "a.test/x",      "10.0.0",   ".internal",
        "a..b",        "user@a.test",   "a.test:x",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        size_t before = problems.errors;

        if (!make(all[i], NULL))
            fail_msg("\"%s\" was taken", all[i]);
        assert_int_equal(problems.errors, before + 1);
    }
    assert_non_null(strstr(problem_line(arena, problems.first).p,
                           "t.yaml: outbound.allow lists \"10.0.0.0/33\""));
}

static void tls_that_cannot_be_is_a_problem(void **state)
{
    struct outbound_conf conf = { .tls.ca = STR("/nowhere/ca.pem") };
    (void)state;

    assert_true(outbound_tls_given(&conf.tls));
    assert_int_not_equal(outbound_new(&conf, STR("t.yaml"), &problems, &rules),
                         ERR_OK);
    assert_true(problems.errors > 0);
    rules = NULL;
}

static void tls_by_default_is_made_once(void **state)
{
    (void)state;

    assert_int_equal(make("", NULL), ERR_OK);
    assert_non_null(outbound_tls(rules));
    assert_ptr_equal(outbound_tls(rules), outbound_tls(rules));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_word_only_public_addresses_pass),
        TEST(a_range_lets_what_is_in_it_pass),
        TEST(an_address_with_a_port_is_for_that_port),
        TEST(a_host_covers_private_addresses_and_no_metadata),
        TEST(our_own_listeners_need_their_port_named),
        TEST(a_public_address_of_ours_is_no_exception),
        TEST(what_no_entry_can_mean_is_a_problem),
        TEST(tls_that_cannot_be_is_a_problem),
        TEST(tls_by_default_is_made_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
