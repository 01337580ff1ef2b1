/* test_tls.c - TLS between two ends in one process, no socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "net/tls.h"
#include "tls_certs.h"

/* One end of a connection and what came out of it. */
struct end {
    struct tls *t;
    struct buf got;
    enum err state; /* of the last handshake or read */
    bool open;
};

static struct arena *arena;
static struct problems problems;

static const char *first_problem(void)
{
    return problems.first ? problem_line(arena, problems.first).p : "none";
}

static struct str full(const char *file)
{
    return arena_copy(arena, str_z(path_of(file)));
}

static struct tls_context *server_of(struct tls_server_conf conf,
                                     const char *alpn)
{
    struct tls_context *c = NULL;

    if (!conf.certificate.len) {
        conf.certificate = full("server.pem");
        conf.key = full("server.key");
    }
    if (!conf.max_version)
        conf.max_version = conf.min_version ? 1 : conf.max_version;
    if (tls_server_new(&conf, str_z(alpn), STR("gate.yaml"), &problems, &c))
        fail_msg("%s", first_problem());
    return c;
}

/* TLS 1.3, one ticket. */
static struct tls_context *plain_server(void)
{
    return server_of(
        (struct tls_server_conf) { .max_version = 1, .tickets = 1 }, "");
}

static struct tls_context *client_of(struct tls_client_conf conf,
                                     const char *alpn)
{
    struct tls_context *c = NULL;

    if (!conf.ca.len && !conf.insecure)
        conf.ca = full("ca.pem");
    if (tls_client_new(&conf, str_z(alpn), STR("gate.yaml"), &problems, &c))
        fail_msg("%s", first_problem());
    return c;
}

static struct tls_context *plain_client(void)
{
    return client_of((struct tls_client_conf) { 0 }, "");
}

static void end_init(struct end *e, struct tls *t)
{
    memset(e, 0, sizeof(*e));
    e->t = t;
    buf_init(&e->got, 64 << 20);
}

static void end_done(struct end *e)
{
    tls_free(e->t);
    buf_done(&e->got);
}

/* Lets an end use what it was fed: handshake, then data. */
static void work(struct end *e)
{
    char out[5000];
    size_t n;

    if (!e->open) {
        e->state = tls_handshake(e->t);
        if (e->state)
            return;
        e->open = true;
    }
    while ((e->state = tls_read(e->t, out, sizeof(out), &n)) == ERR_OK)
        assert_int_equal(buf_add(&e->got, out, n), ERR_OK);
}

/* Carries what one end has to send to the other, step bytes at a time. */
static bool carry(struct end *from, struct end *to, size_t step)
{
    struct str s = tls_pending(from->t);
    char piece[70000];
    size_t n = s.len < step ? s.len : step;

    if (!n)
        return false;
    memcpy(piece, s.p, n);
    tls_sent(from->t, n);
    tls_feed(to->t, piece, n);
    work(to);
    return true;
}

static void talk(struct end *c, struct end *s, size_t step)
{
    bool more;

    work(c);
    do {
        more = carry(c, s, step);
        more = carry(s, c, step) || more;
    } while (more);
}

static void meet(struct end *c, struct end *s, struct tls_context *client,
                 struct tls_context *server, const char *name)
{
    end_init(c, tls_connect(client, str_z(name)));
    end_init(s, tls_accept(server));
    talk(c, s, 65536);
}

static void part(struct end *c, struct end *s)
{
    end_done(c);
    end_done(s);
}

static void expect_open(struct end *c, struct end *s)
{
    if (!c->open || !s->open)
        fail_msg("client: %s; server: %s", tls_reason(c->t), tls_reason(s->t));
}

static void expect_reason(struct end *e, const char *words)
{
    assert_int_equal(e->state, ERR_PEER);
    if (!strstr(tls_reason(e->t), words))
        fail_msg("\"%s\" is not in \"%s\"", words, tls_reason(e->t));
}

static void expect_text(struct end *e, const char *text)
{
    assert_int_equal(e->got.len, strlen(text));
    assert_memory_equal(e->got.p, text, strlen(text));
}

/* A client of OpenSSL itself, for what ours does not do: it keeps sessions
 * and chooses protocols freely. */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};
static SSL_SESSION *kept_session;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept_session);
    kept_session = session;
    return 1;
}

static void raw_init(struct raw *r, const char *cert, int version)
{
    r->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(r->ctx, SSL_SESS_CACHE_CLIENT |
                                               SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(r->ctx, keep_session);
    SSL_CTX_set_max_proto_version(r->ctx, version);
    if (cert) {
        char key[64];

        snprintf(key, sizeof(key), "%s.key", cert);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(r->ctx, path_of(key), SSL_FILETYPE_PEM),
            1);
        snprintf(key, sizeof(key), "%s.pem", cert);
        assert_int_equal(
            SSL_CTX_use_certificate_chain_file(r->ctx, path_of(key)), 1);
    }
    r->ssl = SSL_new(r->ctx);
    r->in = BIO_new(BIO_s_mem());
    r->out = BIO_new(BIO_s_mem());
    SSL_set_bio(r->ssl, r->in, r->out);
    SSL_set_connect_state(r->ssl);
    if (kept_session)
        SSL_set_session(r->ssl, kept_session);
}

static void raw_done(struct raw *r)
{
    /* Else OpenSSL takes the session for a bad one. */
    SSL_set_shutdown(r->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
}

static void raw_talk(struct raw *r, struct end *s)
{
    char bytes[16384];
    struct str out;
    int n, i;

    for (i = 0; i < 10; i++) {
        if (SSL_do_handshake(r->ssl) == 1)
            (void)SSL_read(r->ssl, bytes, 1); /* tickets */
        n = BIO_read(r->out, bytes, sizeof(bytes));
        if (n > 0) {
            tls_feed(s->t, bytes, (size_t)n);
            work(s);
        }
        out = tls_pending(s->t);
        BIO_write(r->in, out.p, (int)out.len);
        tls_sent(s->t, out.len);
    }
}

/* Handshakes with a raw client; whether the session resumed. */
static bool raw_meet(struct tls_context *server, const char *cert, int version,
                     bool *served)
{
    struct raw r;
    struct end s;
    bool resumed;

    raw_init(&r, cert, version);
    end_init(&s, tls_accept(server));
    raw_talk(&r, &s);
    resumed = s.open && tls_resumed(s.t);
    *served = s.open && s.state == ERR_AGAIN;
    end_done(&s);
    raw_done(&r);
    return resumed;
}

static void forget_session(void)
{
    SSL_SESSION_free(kept_session);
    kept_session = NULL;
}

/* Tests */

static void both_versions_shake_hands(void **state)
{
    const char *const versions[] = { "TLSv1.2", "TLSv1.3" };
    struct tls_context *client = plain_client();
    int v;
    (void)state;

    for (v = 0; v < 2; v++) {
        struct tls_context *server = server_of(
            (struct tls_server_conf) { .min_version = v, .max_version = v },
            "");
        struct end c, s;

        meet(&c, &s, client, server, "shop.test");
        expect_open(&c, &s);
        assert_string_equal(tls_version(c.t), versions[v]);
        assert_string_equal(tls_version(s.t), versions[v]);
        assert_string_equal(tls_cipher(s.t),
                            v ? "TLS_AES_128_GCM_SHA256"
                              : "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        assert_true(str_is(tls_sni(s.t), "shop.test"));
        assert_true(tls_peer_verified(c.t));
        assert_false(tls_peer_verified(s.t));
        assert_int_equal(tls_write(c.t, "hello", 5), ERR_OK);
        assert_int_equal(tls_write(s.t, "welcome", 7), ERR_OK);
        talk(&c, &s, 65536);
        expect_text(&s, "hello");
        expect_text(&c, "welcome");
        part(&c, &s);
        tls_context_unref(server);
    }
    tls_context_unref(client);
}

static void a_client_that_is_too_old_is_refused(void **state)
{
    struct tls_context *server = server_of(
        (struct tls_server_conf) { .min_version = 1, .max_version = 1 }, "");
    struct raw r;
    struct end s;
    (void)state;

    raw_init(&r, NULL, TLS1_2_VERSION);
    end_init(&s, tls_accept(server));
    raw_talk(&r, &s);
    expect_reason(&s, "unsupported protocol");
    end_done(&s);
    raw_done(&r);
    tls_context_unref(server);
}

static void one_byte_at_a_time_is_enough(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    struct end c, s;
    (void)state;

    end_init(&c, tls_connect(client, STR("shop.test")));
    end_init(&s, tls_accept(server));
    talk(&c, &s, 1);
    expect_open(&c, &s);
    assert_int_equal(tls_write(c.t, "drop by drop", 12), ERR_OK);
    talk(&c, &s, 1);
    expect_text(&s, "drop by drop");
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void send_odd(struct end *from, struct end *to, const char *data,
                     size_t size)
{
    size_t at, n;

    for (at = 0; at < size; at += n) {
        n = at % 3 ? 1 + at % 60000 : 33333;
        n = n < size - at ? n : size - at;
        assert_int_equal(tls_write(from->t, data + at, n), ERR_OK);
        while (carry(from, to, 1 + at % 7777))
            ;
    }
}

static void a_mebibyte_goes_both_ways_in_odd_pieces(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    size_t size = 1 << 20, i;
    char *data = x_new(size);
    struct end c, s;
    (void)state;

    for (i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    meet(&c, &s, client, server, "shop.test");
    send_odd(&c, &s, data, size);
    send_odd(&s, &c, data, size);
    assert_int_equal(s.got.len, size);
    assert_memory_equal(s.got.p, data, size);
    assert_int_equal(c.got.len, size);
    assert_memory_equal(c.got.p, data, size);
    part(&c, &s);
    x_free(data);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void output_that_nobody_sends_has_a_ceiling(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    size_t size = 1 << 20;
    char *data = x_new(size);
    struct end c, s;
    (void)state;

    meet(&c, &s, client, server, "shop.test");
    assert_int_equal(tls_write(s.t, data, size), ERR_OK); /* the whole of it */
    assert_int_equal(tls_write(s.t, data, 1), ERR_LIMIT);
    assert_string_equal(tls_reason(s.t), "more than 1 MiB waits to be sent");
    talk(&c, &s, 65536);
    assert_int_equal(c.got.len, size); /* nothing was lost or doubled */
    assert_int_equal(tls_write(s.t, data, 1), ERR_OK);
    part(&c, &s);
    x_free(data);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void nothing_pending_holds_no_memory(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    struct end c, s;
    (void)state;

    meet(&c, &s, client, server, "shop.test");
    assert_null(tls_pending(s.t).p);
    assert_null(tls_pending(c.t).p);
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void an_orderly_end_is_told_from_a_cut(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    struct end c, s;
    (void)state;

    meet(&c, &s, client, server, "shop.test");
    assert_int_equal(tls_write(c.t, "all", 3), ERR_OK);
    tls_shutdown(c.t);
    talk(&c, &s, 65536);
    expect_text(&s, "all");
    assert_int_equal(s.state, ERR_NOT_FOUND);
    assert_int_equal(tls_write(s.t, "still", 5), ERR_OK); /* half closed */
    talk(&c, &s, 65536);
    expect_text(&c, "still");
    part(&c, &s);

    meet(&c, &s, client, server, "shop.test");
    assert_int_equal(tls_write(c.t, "half", 4), ERR_OK);
    talk(&c, &s, 65536);
    tls_eof(s.t);
    work(&s);
    expect_text(&s, "half");
    expect_reason(&s, "closed without close_notify");
    assert_int_equal(tls_write(s.t, "x", 1), ERR_PEER);
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void an_end_in_the_handshake_is_told(void **state)
{
    struct tls_context *server = plain_server();
    struct end s;
    (void)state;

    end_init(&s, tls_accept(server));
    work(&s);
    assert_int_equal(s.state, ERR_AGAIN);
    tls_eof(s.t);
    work(&s);
    expect_reason(&s, "closed during the handshake");
    end_done(&s);
    tls_context_unref(server);
}

static void garbage_is_refused(void **state)
{
    static const char *const junk[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\xff\xff this is no hello at all",
        "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00 a hello of a server",
    };
    struct tls_context *client = plain_client(), *server = plain_server();
    struct end c, s;
    size_t i;
    (void)state;

    for (i = 0; i < 3; i++) {
        end_init(&s, tls_accept(server));
        tls_feed(s.t, junk[i], 27);
        work(&s);
        assert_int_equal(s.state, ERR_PEER);
        assert_true(strlen(tls_reason(s.t)) > 0);
        work(&s); /* and stays so */
        assert_int_equal(s.state, ERR_PEER);
        end_done(&s);
    }
    meet(&c, &s, client, server, "shop.test");
    tls_feed(s.t, "\x17\x03\x03\x00\x14 not sealed by any key", 25);
    work(&s);
    expect_reason(&s, "bad record");
    talk(&c, &s, 65536);
    expect_reason(&c, "the peer refused: bad record mac");
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void one_broken_connection_leaves_others_alone(void **state)
{
    struct tls_context *client = plain_client(), *server = plain_server();
    struct end c, s, bad;
    (void)state;

    meet(&c, &s, client, server, "shop.test");
    end_init(&bad, tls_accept(server));
    tls_feed(bad.t, "rubbish rubbish", 15);
    work(&bad);
    ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR); /* left by somebody else */
    work(&s);
    assert_int_equal(s.state, ERR_AGAIN);
    assert_int_equal(tls_write(c.t, "fine", 4), ERR_OK);
    talk(&c, &s, 65536);
    expect_text(&s, "fine");
    end_done(&bad);
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

/* Names */

static struct tls_context *server_of_many(bool strict)
{
    static struct tls_pair more[4];

    more[0] = (struct tls_pair) { full("exact.pem"), full("exact.key") };
    more[1] = (struct tls_pair) { full("wild.pem"), full("wild.key") };
    more[2] = (struct tls_pair) { full("common.pem"), full("common.key") };
    more[3] = (struct tls_pair) { full("rsa.pem"), full("rsa.key") };
    return server_of((struct tls_server_conf) { .max_version = 1,
                                                .more = { more, 4 },
                                                .strict_sni = strict },
                     "");
}

static void expect_cert(struct tls_context *client, struct tls_context *server,
                        const char *name, const char *subject)
{
    char out[100];
    struct end c, s;

    meet(&c, &s, client, server, name);
    expect_open(&c, &s);
    assert_true(tls_peer_subject(c.t, out, sizeof(out)) > 0);
    assert_string_equal(out, subject);
    part(&c, &s);
}

static void the_certificate_follows_the_name(void **state)
{
    struct tls_context *server = server_of_many(false);
    struct tls_context *client =
        client_of((struct tls_client_conf) { .insecure = true }, "");
    (void)state;

    expect_cert(client, server, "shop.test", "CN=server");
    expect_cert(client, server, "www.exact.test", "CN=exact");
    expect_cert(client, server, "WWW.Exact.Test.", "CN=exact");
    expect_cert(client, server, "a.wild.test", "CN=wild");
    expect_cert(client, server, "b.wild.test", "CN=wild");
    expect_cert(client, server, "exact.wild.test", "CN=exact");
    expect_cert(client, server, "common.test", "CN=common.test");
    /* One label, not two, not none; a name in CN beside a SAN is none. */
    expect_cert(client, server, "a.b.wild.test", "CN=server");
    expect_cert(client, server, "wild.test", "CN=server");
    expect_cert(client, server, "exact", "CN=server");
    expect_cert(client, server, "unknown.test", "CN=server");
    expect_cert(client, server, "127.0.0.1", "CN=server");
    expect_cert(client, server, "", "CN=server");
    tls_context_unref(client);
    tls_context_unref(server);
}

static void an_rsa_twin_serves_clients_without_ec(void **state)
{
    struct tls_context *server = server_of_many(false);
    struct raw r;
    struct end s;
    char subject[64];
    (void)state;

    raw_init(&r, NULL, TLS1_2_VERSION);
    SSL_set_cipher_list(r.ssl, "ECDHE-RSA-AES256-GCM-SHA384");
    SSL_set_tlsext_host_name(r.ssl, "a.wild.test");
    end_init(&s, tls_accept(server));
    raw_talk(&r, &s);
    assert_true(s.open);
    X509_NAME_oneline(X509_get_subject_name(SSL_get0_peer_certificate(r.ssl)),
                      subject, sizeof(subject));
    assert_string_equal(subject, "/CN=rsa");
    end_done(&s);
    raw_done(&r);
    forget_session();
    tls_context_unref(server);
}

static void strict_sni_refuses_unknown_names_only(void **state)
{
    struct tls_context *server = server_of_many(true);
    struct tls_context *client =
        client_of((struct tls_client_conf) { .insecure = true }, "");
    struct end c, s;
    (void)state;

    expect_cert(client, server, "www.exact.test", "CN=exact");
    expect_cert(client, server, "", "CN=server");
    meet(&c, &s, client, server, "unknown.test");
    expect_reason(&c, "unrecognized name");
    assert_int_equal(s.state, ERR_PEER);
    part(&c, &s);
    tls_context_unref(client);
    tls_context_unref(server);
}

/* Resumption */

static void sessions_resume_across_contexts_and_one_rotation(void **state)
{
    int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION }, v;
    bool served;
    (void)state;

    for (v = 0; v < 2; v++) {
        struct tls_context *server = plain_server();

        assert_false(raw_meet(server, NULL, versions[v], &served));
        assert_true(served);
        assert_true(raw_meet(server, NULL, versions[v], &served));
        tls_context_unref(server);
        server = plain_server(); /* as after a reload */
        assert_true(raw_meet(server, NULL, versions[v], &served));
        tls_ticket_rotate();
        assert_true(raw_meet(server, NULL, versions[v], &served));
        tls_ticket_rotate();
        tls_ticket_rotate(); /* the key of that session is gone */
        assert_false(raw_meet(server, NULL, versions[v], &served));
        assert_true(served);
        forget_session();
        tls_context_unref(server);
    }
}

static void without_tickets_nothing_resumes(void **state)
{
    struct tls_context *server = server_of(
        (struct tls_server_conf) { .max_version = 1, .tickets = 0 }, "");
    bool served;
    (void)state;

    assert_false(raw_meet(server, NULL, TLS1_3_VERSION, &served));
    assert_null(kept_session);
    assert_false(raw_meet(server, NULL, TLS1_2_VERSION, &served));
    assert_false(raw_meet(server, NULL, TLS1_2_VERSION, &served));
    assert_true(served);
    forget_session();
    tls_context_unref(server);
}

/* Client certificates */

static struct tls_context *verifying(int mode, const char *ca)
{
    return server_of((struct tls_server_conf) { .max_version = 1,
                                                .tickets = 1,
                                                .client_ca = full(ca),
                                                .client_verify = mode },
                     "");
}

static void resumption_is_no_way_around_client_certificates(void **state)
{
    int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION }, v;
    struct tls_context *open = plain_server();
    struct tls_context *optional = verifying(TLS_VERIFY_OPTIONAL, "ca.pem");
    struct tls_context *required = verifying(TLS_VERIFY_REQUIRED, "ca.pem");
    struct tls_context *other = verifying(TLS_VERIFY_REQUIRED, "other-ca.pem");
    bool served;
    (void)state;

    for (v = 0; v < 2; v++) {
        raw_meet(open, NULL, versions[v], &served);
        assert_true(served);
        assert_false(raw_meet(required, NULL, versions[v], &served));
        assert_false(served);
        forget_session();
        raw_meet(optional, NULL, versions[v], &served);
        assert_true(served);
        assert_false(raw_meet(required, NULL, versions[v], &served));
        assert_false(served);
        forget_session();
        raw_meet(required, "client", versions[v], &served);
        assert_true(served);
        assert_true(raw_meet(required, "client", versions[v], &served));
        assert_false(raw_meet(other, "client", versions[v], &served));
        assert_false(served);
        forget_session();
    }
    tls_context_unref(open);
    tls_context_unref(optional);
    tls_context_unref(required);
    tls_context_unref(other);
}

static void expect_client(struct tls_context *server,
                          struct tls_context *client, const char *refusal,
                          const char *subject)
{
    char out[100] = "";
    struct end c, s;

    meet(&c, &s, client, server, "shop.test");
    if (refusal) {
        expect_reason(&s, refusal);
    } else {
        expect_open(&c, &s);
        tls_peer_subject(s.t, out, sizeof(out));
        assert_string_equal(out, subject);
        assert_int_equal(tls_peer_verified(s.t), *subject != 0);
    }
    part(&c, &s);
}

static void client_certificates_are_asked_for_and_checked(void **state)
{
    struct tls_context *server[] = { plain_server(),
                                     verifying(TLS_VERIFY_OPTIONAL, "ca.pem"),
                                     verifying(TLS_VERIFY_REQUIRED, "ca.pem") };
    struct tls_context *none = plain_client();
    struct tls_context *good =
        client_of((struct tls_client_conf) { .certificate = full("client.pem"),
                                             .key = full("client.key") },
                  "");
    struct tls_context *wrong = client_of(
        (struct tls_client_conf) { .certificate = full("stranger.pem"),
                                   .key = full("stranger.key") },
        "");
    struct tls_context *expired =
        client_of((struct tls_client_conf) { .certificate = full("expired.pem"),
                                             .key = full("expired.key") },
                  "");
    int i;
    (void)state;

    expect_client(server[0], none, NULL, "");
    expect_client(server[0], good, NULL, "");
    expect_client(server[1], none, NULL, "");
    expect_client(server[1], good, NULL, "CN=client");
    expect_client(server[1], wrong, "self-signed certificate", NULL);
    expect_client(server[2], none, "did not return a certificate", NULL);
    expect_client(server[2], good, NULL, "CN=client");
    expect_client(server[2], wrong, "certificate refused: ", NULL);
    expect_client(server[2], expired, "certificate has expired", NULL);
    for (i = 0; i < 3; i++)
        tls_context_unref(server[i]);
    tls_context_unref(none);
    tls_context_unref(good);
    tls_context_unref(wrong);
    tls_context_unref(expired);
}

/* Backends */

static struct tls_context *server_with(const char *name)
{
    char pem[64], key[64];

    snprintf(pem, sizeof(pem), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return server_of((struct tls_server_conf) { .certificate = full(pem),
                                                .key = full(key),
                                                .max_version = 1 },
                     "");
}

static void expect_backend(const char *server_name, struct tls_client_conf conf,
                           const char *host, const char *refusal)
{
    struct tls_context *server = server_with(server_name);
    struct tls_context *client = client_of(conf, "");
    struct end c, s;

    meet(&c, &s, client, server, host);
    if (refusal)
        expect_reason(&c, refusal);
    else
        expect_open(&c, &s);
    part(&c, &s);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void a_backend_must_prove_its_name(void **state)
{
    struct tls_client_conf plain = { 0 };
    struct tls_client_conf other = { .ca = full("other-ca.pem") };
    struct tls_client_conf named = { .server_name = STR("shop.test") };
    struct tls_client_conf insecure = { .insecure = true };
    (void)state;

    expect_backend("server", plain, "shop.test", NULL);
    expect_backend("server", plain, "SHOP.test.", NULL);
    expect_backend("server", plain, "127.0.0.1", NULL);
    expect_backend("server", plain, "[::1]", NULL);
    expect_backend("wild", plain, "x.wild.test", NULL);
    expect_backend("chained", plain, "chained.test", NULL);
    expect_backend("server", named, "10.0.0.1", NULL);
    expect_backend("server", plain, "bank.test",
                   "hostname mismatch: not for bank.test");
    expect_backend("server", plain, "127.0.0.2", "IP address mismatch");
    expect_backend("server", plain, "", "no name to verify");
    expect_backend("server", other, "shop.test",
                   "unable to get local issuer certificate");
    expect_backend("stranger", plain, "stranger", "self-signed certificate");
    expect_backend("expired", plain, "expired.test", "certificate has expired");
    expect_backend("expired", insecure, "bank.test", NULL);
    expect_backend("stranger", insecure, "", NULL);
}

static void what_is_listed_is_trusted_root_or_not(void **state)
{
    struct tls_client_conf self = { .ca = full("stranger.pem") };
    struct tls_client_conf between = { .ca = full("between.pem") };
    (void)state;

    expect_backend("stranger", self, "stranger", NULL);
    expect_backend("chained", between, "chained.test", NULL);
}

static struct str pin_of(struct made m)
{
    unsigned char *der = NULL, hash[32], text[64];
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(m.x), &der);

    SHA256(der, (size_t)len, hash);
    OPENSSL_free(der);
    EVP_EncodeBlock(text, hash, 32);
    return arena_printf(arena, "sha256/%s", text);
}

static struct made the_server, the_client;

static void a_pin_is_checked_on_top(void **state)
{
    struct tls_client_conf good = { .pin = pin_of(the_server) };
    struct tls_client_conf bad = { .pin = pin_of(the_client) };
    struct tls_client_conf only = { .pin = good.pin, .insecure = true };
    struct tls_client_conf only_bad = { .pin = bad.pin, .insecure = true };
    (void)state;

    expect_backend("server", good, "shop.test", NULL);
    expect_backend("server", good, "bank.test", "hostname mismatch");
    expect_backend("server", bad, "shop.test", "not the pinned one");
    expect_backend("server", only, "bank.test", NULL);
    expect_backend("server", only_bad, "shop.test", "not the pinned one");
}

static void the_system_store_is_used_without_ca(void **state)
{
    struct tls_client_conf conf = { 0 };
    struct tls_context *client = NULL, *again = NULL, *server = plain_server();
    struct end c, s;
    (void)state;

    setenv("SSL_CERT_FILE", path_of("ca.pem"), 1);
    assert_int_equal(
        tls_client_new(&conf, STR(""), STR(""), &problems, &client), ERR_OK);
    meet(&c, &s, client, server, "shop.test");
    expect_open(&c, &s);
    part(&c, &s);
    setenv("SSL_CERT_FILE", path_of("other-ca.pem"), 1);
    assert_int_equal(tls_client_new(&conf, STR(""), STR(""), &problems, &again),
                     ERR_OK);
    assert_true(tls_context_content(again) != tls_context_content(client));
    meet(&c, &s, again, server, "shop.test");
    expect_reason(&c, "unable to get local issuer certificate");
    part(&c, &s);
    tls_context_unref(again);
    setenv("SSL_CERT_FILE", path_of("nowhere.pem"), 1);
    assert_int_not_equal(
        tls_client_new(&conf, STR(""), STR(""), &problems, &again), ERR_OK);
    assert_non_null(strstr(first_problem(), "ca-certificates"));
    unsetenv("SSL_CERT_FILE");
    tls_context_unref(client);
    tls_context_unref(server);
}

/* Protocols */

static void expect_alpn(const char *ours, const char *theirs, const char *want)
{
    struct tls_context *server =
        server_of((struct tls_server_conf) { .max_version = 1 }, ours);
    struct tls_context *client =
        client_of((struct tls_client_conf) { 0 }, theirs);
    struct end c, s;

    meet(&c, &s, client, server, "shop.test");
    if (want) {
        expect_open(&c, &s);
        assert_true(str_is(tls_alpn(s.t), want));
        assert_true(str_is(tls_alpn(c.t), want));
    } else {
        expect_reason(&c, "the peer refused: no application protocol");
        assert_int_equal(s.state, ERR_PEER);
    }
    part(&c, &s);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void the_server_prefers_its_first_protocol(void **state)
{
    (void)state;

    expect_alpn("\x02h2\x08http/1.1", "\x08http/1.1\x02h2", "h2");
    expect_alpn("\x08http/1.1", "\x02h2\x08http/1.1", "http/1.1");
    expect_alpn("\x02h2\x08http/1.1", "", "");
    expect_alpn("", "\x02h2", "");
    expect_alpn("\x08http/1.1", "\x02h2\x08http/1.0", NULL);
}

/* Reload */

static void old_connections_outlive_their_context(void **state)
{
    struct tls_context *old = server_with("server");
    struct tls_context *new = server_with("exact");
    struct tls_context *client =
        client_of((struct tls_client_conf) { .insecure = true }, "");
    struct end c, s, c2, s2;
    char subject[64];
    (void)state;

    assert_true(tls_context_content(old) != tls_context_content(new));
    meet(&c, &s, client, old, "shop.test");
    tls_context_unref(old);
    meet(&c2, &s2, client, new, "shop.test");
    tls_context_unref(new);
    tls_context_unref(client);
    assert_int_equal(tls_write(c.t, "old", 3), ERR_OK);
    assert_int_equal(tls_write(c2.t, "new", 3), ERR_OK);
    talk(&c, &s, 65536);
    talk(&c2, &s2, 65536);
    expect_text(&s, "old");
    expect_text(&s2, "new");
    tls_peer_subject(c.t, subject, sizeof(subject));
    assert_string_equal(subject, "CN=server");
    tls_peer_subject(c2.t, subject, sizeof(subject));
    assert_string_equal(subject, "CN=exact");
    assert_int_equal(tls_peer_subject(c2.t, subject, 4), 0); /* no half name */
    part(&c, &s);
    part(&c2, &s2);
}

static void the_same_settings_have_the_same_content(void **state)
{
    struct tls_context *a = plain_server(), *b = plain_server();
    struct tls_context *c = server_of(
        (struct tls_server_conf) { .max_version = 1, .tickets = 2 }, "");
    int64_t end = tls_context_expiry(a) - (int64_t)time(NULL);
    (void)state;

    assert_true(tls_context_content(a) == tls_context_content(b));
    assert_true(tls_context_content(a) != tls_context_content(c));
    assert_true(end > 89 * 86400 && end <= 90 * 86400);
    tls_context_unref(a);
    tls_context_unref(b);
    tls_context_unref(c);
}

/* Settings that do not work */

static void expect_problem(struct tls_server_conf conf, const char *words)
{
    struct tls_context *c = NULL;

    problems_init(&problems, arena);
    if (!conf.certificate.len) {
        conf.certificate = full("server.pem");
        conf.key = full("server.key");
    }
    assert_int_not_equal(
        tls_server_new(&conf, STR(""), STR("gate.yaml"), &problems, &c),
        ERR_OK);
    assert_null(c);
    assert_true(problems.errors > 0);
    if (!strstr(first_problem(), words))
        fail_msg("\"%s\" is not in \"%s\"", words, first_problem());
}

static void expect_pair_problem(const char *cert, const char *key,
                                const char *words)
{
    expect_problem((struct tls_server_conf) { .certificate = full(cert),
                                              .key = full(key),
                                              .max_version = 1 },
                   words);
}

static void unusable_files_are_named(void **state)
{
    (void)state;

    expect_pair_problem("none.pem", "server.key", "none.pem: no such file");
    expect_pair_problem("server.pem", "none.key", "none.key: no such file");
    expect_pair_problem("server.pem", "client.key",
                        "client.key does not belong to ");
    expect_pair_problem("empty.pem", "server.key", "no certificate in it");
    expect_pair_problem("broken.pem", "server.key",
                        "broken.pem: certificate 1 cannot be read");
    expect_pair_problem("server.pem", "ca.pem", "no private key in it");
    expect_pair_problem("server.pem", "locked.key", "openssl pkey -in ");
    expect_pair_problem("weak.pem", "weak.key", "weak.pem cannot be used: ");
    expect_problem((struct tls_server_conf) { .client_verify = 2,
                                              .max_version = 1,
                                              .client_ca = full("empty.pem") },
                   "empty.pem: no certificate in it");
}

static void settings_that_do_not_fit_say_the_way_out(void **state)
{
    struct tls_server_conf conf = { .max_version = 1 };
    (void)state;

    conf.ciphers = STR("ECDHE-RSA-AES128-GCM-SHA256:NULL-MAGIC");
    expect_problem(conf, "unknown cipher in tls.ciphers: \"NULL-MAGIC\"");
    conf.ciphers = STR_NULL;
    conf.ciphersuites = STR("TLS_MAGIC");
    expect_problem(conf,
                   "unknown cipher suite in tls.ciphersuites: \"TLS_MAGIC\"");
    conf.ciphersuites = STR_NULL;
    conf.groups = STR("X25519::P-256");
    expect_problem(conf, "unknown group in tls.groups: \"\"");
    conf.groups = STR_NULL;
    conf.client_ca = full("ca.pem");
    expect_problem(conf, "tls.client_ca does nothing without");
    conf.client_ca = STR_NULL;
    conf.client_verify = TLS_VERIFY_REQUIRED;
    expect_problem(conf, "tls.client_verify needs tls.client_ca");
    conf.client_verify = TLS_VERIFY_NONE;
    conf.min_version = 1;
    conf.max_version = 0;
    expect_problem(conf, "tls.min_version 1.3 is newer than");
}

static void lists_of_algorithms_are_obeyed(void **state)
{
    struct tls_context *server = server_of(
        (struct tls_server_conf) { .max_version = 1,
                                   .ciphersuites =
                                       STR("TLS_CHACHA20_POLY1305_SHA256"),
                                   .ciphers = STR("ECDHE+AESGCM:!aNULL"),
                                   .groups = STR("P-384:X25519") },
        "");
    struct tls_context *client = plain_client();
    struct end c, s;
    (void)state;

    meet(&c, &s, client, server, "shop.test");
    expect_open(&c, &s);
    assert_string_equal(tls_cipher(s.t), "TLS_CHACHA20_POLY1305_SHA256");
    part(&c, &s);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void an_expired_certificate_is_a_warning(void **state)
{
    struct tls_context *c;
    (void)state;

    problems_init(&problems, arena);
    c = server_with("expired");
    assert_int_equal(problems.errors, 0);
    assert_int_equal(problems.warnings, 1);
    assert_non_null(strstr(first_problem(), "has expired"));
    tls_context_unref(c);
}

static void expect_client_problem(struct tls_client_conf conf,
                                  const char *words)
{
    struct tls_context *c = NULL;

    problems_init(&problems, arena);
    assert_int_not_equal(
        tls_client_new(&conf, STR(""), STR("gate.yaml"), &problems, &c),
        ERR_OK);
    assert_null(c);
    if (!strstr(first_problem(), words))
        fail_msg("\"%s\" is not in \"%s\"", words, first_problem());
}

static void settings_for_backends_are_checked(void **state)
{
    struct tls_client_conf conf = { .insecure = true };
    (void)state;

    conf.pin = STR("sha256/tooshort");
    expect_client_problem(conf, "tls.pin must be sha256/");
    conf.pin = STR("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!");
    expect_client_problem(conf, "tls.pin must be sha256/");
    conf.pin = STR_NULL;
    conf.key = full("client.key");
    expect_client_problem(conf, "tls.key is of no use");
    conf.certificate = full("server.pem");
    expect_client_problem(conf, "does not belong to");
    conf = (struct tls_client_conf) { .ca = full("none.pem") };
    expect_client_problem(conf, "none.pem: no such file");
    conf.ca = full("empty.pem");
    expect_client_problem(conf, "empty.pem: no certificate in it");
}

/* Files */

static void save_odd_files(struct made server)
{
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    X509 *x = X509_dup(server.x);
    FILE *f;

    save_text("empty.pem", "nothing\n");
    save_text("broken.pem", "-----BEGIN CERTIFICATE-----\n"
                            "bm8gY2VydGlmaWNhdGU=\n"
                            "-----END CERTIFICATE-----\n");
    f = open_file("locked.key", "w");
    PEM_write_PrivateKey(f, server.key, EVP_aes_128_cbc(),
                         (const unsigned char *)"secret", 6, NULL, NULL);
    fclose(f);
    X509_set_pubkey(x, weak);
    X509_sign(x, weak, EVP_sha256());
    save("weak", (struct made) { x, weak }, NULL);
    X509_free(x);
    EVP_PKEY_free(weak);
}

static void save_and_unmake(const char *file, struct wish w)
{
    struct made m = make(w);

    save(file, m, NULL);
    unmake(m);
}

static int make_files(void **state)
{
    struct made ca = make((struct wish) { .name = "ca", .ca = true });
    struct made other = make((struct wish) { .name = "other", .ca = true });
    struct made between =
        make((struct wish) { .name = "between", .issuer = &ca, .ca = true });
    struct made chained = make((struct wish) {
        .name = "chained", .alt = "DNS:chained.test", .issuer = &between });
    (void)state;

    the_server =
        make((struct wish) { .name = "server",
                             .alt = "DNS:shop.test,IP:127.0.0.1,IP:::1",
                             .issuer = &ca });
    the_client = make((struct wish) { .name = "client", .issuer = &ca });
    save("ca", ca, NULL);
    save("other-ca", other, NULL);
    save("between", between, NULL);
    save("chained", chained, &between);
    save("server", the_server, NULL);
    save("client", the_client, NULL);
    save_and_unmake("exact", (struct wish) { .name = "exact",
                                             .alt = "DNS:www.exact.test,"
                                                    "DNS:exact.wild.test",
                                             .issuer = &ca });
    save_and_unmake("wild", (struct wish) { .name = "wild",
                                            .alt = "DNS:*.wild.test",
                                            .issuer = &ca });
    save_and_unmake("rsa", (struct wish) { .name = "rsa",
                                           .alt = "DNS:*.wild.test",
                                           .issuer = &ca,
                                           .rsa = true });
    save_and_unmake("common",
                    (struct wish) { .name = "common.test", .issuer = &ca });
    save_and_unmake("stranger", (struct wish) { .name = "stranger",
                                                .alt = "DNS:stranger" });
    save_and_unmake("expired", (struct wish) { .name = "expired",
                                               .alt = "DNS:expired.test",
                                               .issuer = &ca,
                                               .from_days = -20,
                                               .to_days = -10 });
    save_odd_files(the_server);
    unmake(ca);
    unmake(other);
    unmake(between);
    unmake(chained);
    return 0;
}

static int open_group(void **state)
{
    temp_folder_make(folder);
    arena = arena_new();
    return make_files(state);
}

static int close_group(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    unmake(the_server);
    unmake(the_client);
    arena_free(arena);
    arena_thread_done();
    tls_thread_done();
    return 0;
}

static int before(void **state)
{
    (void)state;
    problems_init(&problems, arena);
    return 0;
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, before)
    const struct CMUnitTest tests[] = {
        TEST(both_versions_shake_hands),
        TEST(a_client_that_is_too_old_is_refused),
        TEST(one_byte_at_a_time_is_enough),
        TEST(a_mebibyte_goes_both_ways_in_odd_pieces),
        TEST(output_that_nobody_sends_has_a_ceiling),
        TEST(nothing_pending_holds_no_memory),
        TEST(an_orderly_end_is_told_from_a_cut),
        TEST(an_end_in_the_handshake_is_told),
        TEST(garbage_is_refused),
        TEST(one_broken_connection_leaves_others_alone),
        TEST(the_certificate_follows_the_name),
        TEST(an_rsa_twin_serves_clients_without_ec),
        TEST(strict_sni_refuses_unknown_names_only),
        TEST(sessions_resume_across_contexts_and_one_rotation),
        TEST(without_tickets_nothing_resumes),
        TEST(resumption_is_no_way_around_client_certificates),
        TEST(client_certificates_are_asked_for_and_checked),
        TEST(a_backend_must_prove_its_name),
        TEST(what_is_listed_is_trusted_root_or_not),
        TEST(a_pin_is_checked_on_top),
        TEST(the_system_store_is_used_without_ca),
        TEST(the_server_prefers_its_first_protocol),
        TEST(old_connections_outlive_their_context),
        TEST(the_same_settings_have_the_same_content),
        TEST(unusable_files_are_named),
        TEST(settings_that_do_not_fit_say_the_way_out),
        TEST(lists_of_algorithms_are_obeyed),
        TEST(an_expired_certificate_is_a_warning),
        TEST(settings_for_backends_are_checked),
    };

    return cmocka_run_group_tests(tests, open_group, close_group);
}
