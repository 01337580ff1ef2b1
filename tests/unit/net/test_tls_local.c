/* test_tls_local.c - the certificates of a first start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "net/tls.h"
#include "tls_certs.h"

#define DAY ((int64_t)86400)

static struct arena *arena;
static struct problems problems;
static int64_t today;

static enum err run(const char *host, int64_t now)
{
    struct str cert, key;
    enum err e;

    problems_init(&problems, arena);
    e = tls_local_certificate_at(str_z(folder), str_z(host), now, &problems,
                                 &cert, &key, arena);
    if (!e) {
        assert_true(str_is(cert, path_of("server-cert.pem")));
        assert_true(str_is(key, path_of("server-key.pem")));
    }
    return e;
}

static X509 *load(const char *file)
{
    FILE *f = open_file(file, "r");
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);

    assert_non_null(x);
    fclose(f);
    return x;
}

/* Serial number of a certificate file, to see whether it is a new one. */
static long serial_of(const char *file)
{
    X509 *x = load(file);
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    long low;

    BN_mask_bits(n, 62);
    low = (long)BN_get_word(n);
    BN_free(n);
    X509_free(x);
    return low;
}

static bool server_covers(const char *host)
{
    X509 *x = load("server-cert.pem");
    bool yes = X509_check_host(x, host, 0, 0, NULL) == 1 ||
               X509_check_ip_asc(x, host, 0) == 1;

    X509_free(x);
    return yes;
}

static mode_t mode_of(const char *file)
{
    struct stat st;

    assert_int_equal(stat(path_of(file), &st), 0);
    return st.st_mode & 0777;
}

static void the_first_start_makes_all_four_files(void **state)
{
    X509 *ca, *x;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *sc = X509_STORE_CTX_new();
    int days, seconds;
    (void)state;

    assert_int_equal(run("gate.example", today), ERR_OK);
    assert_int_equal(mode_of("ca-key.pem"), 0600);
    assert_int_equal(mode_of("server-key.pem"), 0600);
    assert_int_equal(mode_of("ca-cert.pem"), 0644);
    assert_int_equal(mode_of("server-cert.pem"), 0644);
    assert_true(server_covers("gate.example"));
    assert_true(server_covers("localhost"));
    assert_true(server_covers("127.0.0.1"));
    assert_true(server_covers("::1"));
    assert_false(server_covers("other.example"));
    ca = load("ca-cert.pem");
    x = load("server-cert.pem");
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x),
                   X509_get0_notAfter(x));
    assert_int_equal(days, 824); /* 825 with the last second counted */
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(sc, store, x, NULL);
    X509_STORE_CTX_set_purpose(sc, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(sc),
                                X509_V_FLAG_X509_STRICT);
    if (X509_verify_cert(sc) != 1)
        fail_msg("%s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(sc)));
    X509_STORE_CTX_free(sc);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(x);
}

static void a_listener_takes_them(void **state)
{
    struct tls_server_conf conf = { .max_version = 1 };
    struct tls_context *c = NULL;
    (void)state;

    conf.certificate = str_z(path_of("server-cert.pem"));
    conf.key = str_z(path_of("server-key.pem"));
    assert_int_equal(tls_server_new(&conf, STR(""), STR(""), &problems, &c),
                     ERR_OK);
    assert_int_equal(problems.warnings, 0);
    tls_context_unref(c);
}

static void the_next_start_keeps_them(void **state)
{
    long ca = serial_of("ca-cert.pem"), server = serial_of("server-cert.pem");
    (void)state;

    assert_int_equal(run("GATE.example.", today + 790 * DAY), ERR_OK);
    assert_int_equal(serial_of("server-cert.pem"), server);
    assert_int_equal(serial_of("ca-cert.pem"), ca);
}

static void a_certificate_is_renewed_in_its_last_month(void **state)
{
    long ca = serial_of("ca-cert.pem"), server = serial_of("server-cert.pem");
    (void)state;

    assert_int_equal(run("gate.example", today + 800 * DAY), ERR_OK);
    assert_int_not_equal(serial_of("server-cert.pem"), server);
    assert_int_equal(serial_of("ca-cert.pem"), ca);
    assert_int_equal(run("gate.example", today), ERR_OK);
}

static void another_host_gets_another_certificate(void **state)
{
    long ca = serial_of("ca-cert.pem");
    (void)state;

    assert_int_equal(run("other.example", today), ERR_OK);
    assert_true(server_covers("other.example"));
    assert_int_equal(run("10.1.2.3", today), ERR_OK);
    assert_true(server_covers("10.1.2.3"));
    assert_int_equal(run("[fd00::7]", today), ERR_OK);
    assert_true(server_covers("fd00::7"));
    assert_int_equal(run("localhost", today), ERR_OK);
    assert_int_equal(run("", today), ERR_OK);
    assert_true(server_covers("localhost"));
    assert_int_equal(serial_of("ca-cert.pem"), ca);
}

static void a_start_that_was_cut_off_is_repaired(void **state)
{
    long ca = serial_of("ca-cert.pem");
    struct made stray = make((struct wish) { .name = "stray" });
    (void)state;

    save_text("server-cert.pem.new", "half a certifica");
    unlink(path_of("server-cert.pem"));
    assert_int_equal(run("gate.example", today), ERR_OK);
    assert_int_equal(access(path_of("server-cert.pem.new"), F_OK), -1);
    /* A key that does not belong to the certificate. */
    save("server-key", stray, NULL);
    rename(path_of("server-key.key"), path_of("server-key.pem"));
    assert_int_equal(run("gate.example", today), ERR_OK);
    a_listener_takes_them(state);
    save_text("server-cert.pem", "garbage");
    assert_int_equal(run("gate.example", today), ERR_OK);
    assert_true(server_covers("gate.example"));
    assert_int_equal(serial_of("ca-cert.pem"), ca);
    unmake(stray);
}

static void a_certificate_of_somebody_else_is_replaced(void **state)
{
    struct made foreign = make(
        (struct wish) { .name = "x", .alt = "DNS:localhost,DNS:gate.example" });
    (void)state;

    save("foreign", foreign, NULL);
    rename(path_of("foreign.pem"), path_of("server-cert.pem"));
    rename(path_of("foreign.key"), path_of("server-key.pem"));
    assert_int_equal(run("gate.example", today), ERR_OK);
    assert_true(server_covers("127.0.0.1"));
    unmake(foreign);
}

static void a_lost_authority_key_matters_only_when_it_must_sign(void **state)
{
    (void)state;

    assert_int_equal(run("gate.example", today), ERR_OK);
    rename(path_of("ca-key.pem"), path_of("away"));
    assert_int_equal(run("gate.example", today), ERR_OK);
    assert_int_not_equal(run("other.example", today), ERR_OK);
    assert_int_equal(problems.errors, 2);
    assert_non_null(
        strstr(problem_line(arena, problems.last).p, "to have a new one made"));
    rename(path_of("away"), path_of("ca-key.pem"));
    assert_int_equal(run("other.example", today), ERR_OK);
}

static void an_authority_near_its_end_is_made_anew(void **state)
{
    long ca = serial_of("ca-cert.pem");
    (void)state;

    assert_int_equal(run("gate.example", today + 3630 * DAY), ERR_OK);
    assert_int_not_equal(serial_of("ca-cert.pem"), ca);
}

static void odd_host_names_are_refused(void **state)
{
    static const char *const odd[] = {
        "a,DNS:bank.example", "a b", "a\nb", "*", "a/b",
    };
    size_t i;
    (void)state;

    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_int_equal(run(odd[i], today), ERR_INVALID);
        assert_int_equal(problems.errors, 1);
    }
}

static void a_folder_that_cannot_be_is_a_problem(void **state)
{
    struct str cert, key;
    (void)state;

    problems_init(&problems, arena);
    assert_int_equal(tls_local_certificate(STR("/proc/none"), STR("a"),
                                           &problems, &cert, &key, arena),
                     ERR_IO);
    assert_int_equal(problems.errors, 1);
}

static int open_group(void **state)
{
    (void)state;
    temp_folder_make(folder);
    arena = arena_new();
    today = (int64_t)time(NULL);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    arena_free(arena);
    arena_thread_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_start_makes_all_four_files),
        cmocka_unit_test(a_listener_takes_them),
        cmocka_unit_test(the_next_start_keeps_them),
        cmocka_unit_test(a_certificate_is_renewed_in_its_last_month),
        cmocka_unit_test(another_host_gets_another_certificate),
        cmocka_unit_test(a_start_that_was_cut_off_is_repaired),
        cmocka_unit_test(a_certificate_of_somebody_else_is_replaced),
        cmocka_unit_test(a_lost_authority_key_matters_only_when_it_must_sign),
        cmocka_unit_test(an_authority_near_its_end_is_made_anew),
        cmocka_unit_test(odd_host_names_are_refused),
        cmocka_unit_test(a_folder_that_cannot_be_is_a_problem),
    };

    return cmocka_run_group_tests(tests, open_group, close_group);
}
