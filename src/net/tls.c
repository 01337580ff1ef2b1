/* tls.c - one TLS connection between two pieces of memory.
 *
 * OpenSSL reads from the bytes that were fed and writes into the pending
 * output; a small BIO stands between. The output lives in a buffer borrowed
 * from the thread for as long as something waits to be sent, so a connection
 * that rests holds none.
 */
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>

#include "base/log.h"

enum {
    PENDING_MAX = 1 << 20,     /* what tls_write() may make wait */
    OUTPUT_MAX = 17 << 16,     /* that, with room for records and alerts */
    OUTPUT_FIRST = 4096,       /* the smallest buffer */
    SPARE_BYTES_MAX = 1 << 19, /* kept by a thread */
    SPARE_ONE_MAX = 1 << 17,   /* the largest one worth keeping */
    RECORD_OVERHEAD = 64, /* header, tag, type, nonce: 22 to 29 in practice */
    RECORD_BYTES = 16384,
    NAME_MAX_BYTES = 255,
};

/* Why a connection broke; the text is made when somebody asks. */
enum why {
    WHY_NOTHING,
    WHY_TEXT,   /* as it stands */
    WHY_ALERT,  /* the peer said so */
    WHY_VERIFY, /* its certificate */
};

struct tls {
    SSL *ssl;
    struct tls_context *context;
    const char *in; /* fed, not yet read */
    size_t in_len;
    char *out; /* borrowed from the thread, or NULL */
    size_t out_at, out_end, out_cap;
    char *sni; /* lower case, or NULL */
    const char *why_text;
    enum why why;
    bool done;   /* the handshake is */
    bool eof;    /* nothing will be fed any more */
    bool closed; /* the peer said close_notify */
    bool broken;
    bool has_peer_sha256;
    unsigned char peer_sha256[32];
};

/* Output buffers nobody uses, last in first out: the next one is warm. */
struct spare {
    struct spare *next;
    size_t cap;
};
static _Thread_local struct {
    struct spare *first;
    size_t bytes;
} spares;

static char *borrow(size_t least, size_t *cap)
{
    struct spare *s = spares.first;

    if (s && s->cap >= least) {
        spares.first = s->next;
        spares.bytes -= s->cap;
        *cap = s->cap;
        return (char *)s;
    }
    for (*cap = OUTPUT_FIRST; *cap < least;)
        *cap *= 2;
    return x_resize(NULL, *cap);
}

static void give_back(char *p, size_t cap)
{
    struct spare *s = (struct spare *)(void *)p;

    if (!p)
        return;
    if (cap > SPARE_ONE_MAX || spares.bytes + cap > SPARE_BYTES_MAX) {
        x_free(p);
        return;
    }
    s->next = spares.first;
    s->cap = cap;
    spares.first = s;
    spares.bytes += cap;
}

void tls_thread_done(void)
{
    struct spare *s;

    while ((s = spares.first)) {
        spares.first = s->next;
        x_free(s);
    }
    spares.bytes = 0;
}

/* Makes room for n more bytes at out_end; false above the ceiling. */
static bool out_reserve(struct tls *t, size_t n)
{
    size_t have = t->out_end - t->out_at, cap;
    char *p;

    if (t->out_end + n <= t->out_cap)
        return true;
    if (have + n > OUTPUT_MAX)
        return false;
    if (have + n <= t->out_cap && t->out_at >= t->out_cap / 2) {
        memmove(t->out, t->out + t->out_at, have);
    } else {
        p = borrow(have + n, &cap);
        if (have)
            memcpy(p, t->out + t->out_at, have);
        give_back(t->out, t->out_cap);
        t->out = p;
        t->out_cap = cap;
    }
    t->out_at = 0;
    t->out_end = have;
    return true;
}

static void out_forget(struct tls *t)
{
    give_back(t->out, t->out_cap);
    t->out = NULL;
    t->out_at = t->out_end = t->out_cap = 0;
}

/* The BIO */

static int bio_read(BIO *b, char *p, size_t cap, size_t *n)
{
    struct tls *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (!t->in_len) {
        if (!t->eof)
            BIO_set_retry_read(b);
        return 0;
    }
    *n = cap < t->in_len ? cap : t->in_len;
    memcpy(p, t->in, *n);
    t->in += *n;
    t->in_len -= *n;
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t len, size_t *n)
{
    struct tls *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (!out_reserve(t, len))
        return 0; /* no retry: a peer that makes us talk without end */
    memcpy(t->out + t->out_end, p, len);
    t->out_end += len;
    *n = len;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    struct tls *t = BIO_get_data(b);

    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF)
        return t->eof && !t->in_len;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    must(method && BIO_meth_set_read_ex(method, bio_read) &&
         BIO_meth_set_write_ex(method, bio_write) &&
         BIO_meth_set_ctrl(method, bio_ctrl));
}

/* Life */

static struct tls *new_tls(struct tls_context *c)
{
    struct tls *t = x_new(sizeof(*t));
    BIO *bio;

    pthread_once(&method_once, make_method);
    t->context = tls_context_ref(c);
    t->ssl = SSL_new(c->ssl);
    bio = BIO_new(method);
    must(t->ssl && bio);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    return t;
}

static void break_with(struct tls *t, enum why why, const char *text)
{
    t->broken = true;
    t->in_len = 0;
    t->why = why;
    t->why_text = text;
}

struct tls *tls_accept(struct tls_context *c)
{
    struct tls *t;

    must(c->server);
    t = new_tls(c);
    SSL_set_accept_state(t->ssl);
    return t;
}

static bool is_address(const char *name)
{
    struct in6_addr a;

    return inet_pton(AF_INET, name, &a) == 1 ||
           inet_pton(AF_INET6, name, &a) == 1;
}

/* Brackets of an IPv6 address and the dot of a full name are no part of what
 * certificates hold. */
static size_t plain_name(struct str name, char out[NAME_MAX_BYTES + 1])
{
    if (name.len > 2 && name.p[0] == '[' && name.p[name.len - 1] == ']')
        name = str_from(name.p + 1, name.len - 2);
    if (name.len > 1 && name.p[name.len - 1] == '.')
        name.len--;
    if (!name.len || name.len > NAME_MAX_BYTES ||
        str_find(name, '\0') < name.len)
        return 0;
    memcpy(out, name.p, name.len);
    out[name.len] = 0;
    return name.len;
}

struct tls *tls_connect(struct tls_context *c, struct str name)
{
    struct tls *t;
    char host[NAME_MAX_BYTES + 1];
    bool ok = true;

    must(!c->server);
    t = new_tls(c);
    SSL_set_connect_state(t->ssl);
    if (!plain_name(c->server_name.len ? c->server_name : name, host))
        ok = c->insecure; /* unverified names would be a silent hole */
    else if (is_address(host))
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host);
    else
        ok = SSL_set1_host(t->ssl, host) &&
             SSL_set_tlsext_host_name(t->ssl, host);
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!ok)
        break_with(t, WHY_TEXT, "no name to verify the certificate with");
    return t;
}

void tls_offer(struct tls *t, struct str alpn)
{
    must(SSL_set_alpn_protos(t->ssl, (const unsigned char *)alpn.p,
                             (unsigned)alpn.len) == 0);
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    out_forget(t);
    SSL_free(t->ssl);
    tls_context_unref(t->context);
    x_free(t->sni);
    x_free(t);
}

/* Failure */

static enum err break_by_queue(struct tls *t)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    const char *text = ERR_reason_error_string(e);
    long verify = SSL_get_verify_result(t->ssl);

    if (ERR_GET_LIB(e) != ERR_LIB_SSL)
        break_with(t, WHY_TEXT,
                   text     ? text
                   : t->eof ? "closed without close_notify"
                            : "the connection was broken before");
    else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        break_with(t, WHY_TEXT,
                   t->done ? "closed without close_notify"
                           : "closed during the handshake");
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
        break_with(t, WHY_VERIFY,
                   verify == X509_V_ERR_APPLICATION_VERIFICATION
                       ? "its public key is not the pinned one"
                       : X509_verify_cert_error_string(verify));
    else if (reason > SSL_AD_REASON_OFFSET)
        break_with(t, WHY_ALERT,
                   SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    else
        break_with(t, WHY_TEXT, text ? text : "protocol error");
    ERR_clear_error();
    return ERR_PEER;
}

/* What a call of OpenSSL that returned result <= 0 means. */
static enum err after(struct tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        t->closed = true;
        t->in_len = 0;
        return ERR_NOT_FOUND;
    default:
        return break_by_queue(t);
    }
}

/* SSL_get_error() looks at the thread's queue of errors: what others left
 * there must not be taken for ours. */
static void clean_queue(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

const char *tls_reason(const struct tls *t)
{
    static _Thread_local char text[384];
    const char *host;

    switch (t->why) {
    case WHY_NOTHING:
        return "";
    case WHY_TEXT:
        return t->why_text;
    case WHY_ALERT:
        snprintf(text, sizeof(text), "the peer refused: %s", t->why_text);
        return text;
    case WHY_VERIFY:
        break;
    }
    host = X509_VERIFY_PARAM_get0_host(SSL_get0_param(t->ssl), 0);
    if (SSL_get_verify_result(t->ssl) == X509_V_ERR_HOSTNAME_MISMATCH && host)
        snprintf(text, sizeof(text), "certificate refused: %s: not for %s",
                 t->why_text, host);
    else
        snprintf(text, sizeof(text), "certificate refused: %s", t->why_text);
    return text;
}

/* Work */

void tls_feed(struct tls *t, const char *p, size_t n)
{
    must(!t->in_len);
    if (t->broken || t->closed)
        return;
    t->in = p;
    t->in_len = n;
}

void tls_eof(struct tls *t)
{
    t->eof = true;
}

enum err tls_handshake(struct tls *t)
{
    int result;

    if (t->broken)
        return ERR_PEER;
    if (t->done)
        return ERR_OK;
    clean_queue();
    result = SSL_do_handshake(t->ssl);
    if (result == 1) {
        t->done = true;
        return ERR_OK;
    }
    if (after(t, result) == ERR_AGAIN)
        return ERR_AGAIN;
    if (!t->broken)
        break_with(t, WHY_TEXT, "closed during the handshake");
    return ERR_PEER;
}

enum err tls_read(struct tls *t, char *out, size_t cap, size_t *n)
{
    size_t got = 0, k;
    int result;

    must(t->done || t->broken);
    /* Asking OpenSSL once more just to hear "no" costs as much as a record;
     * without input it can have something only when it says so. */
    while (got < cap && !t->broken && !t->closed &&
           (t->in_len || t->eof || SSL_has_pending(t->ssl))) {
        clean_queue();
        result = SSL_read_ex(t->ssl, out + got, cap - got, &k);
        if (result == 1)
            got += k;
        else if (after(t, result) == ERR_AGAIN)
            break;
    }
    if (got) { /* an end is told by the next call */
        *n = got;
        return ERR_OK;
    }
    return t->broken ? ERR_PEER : t->closed ? ERR_NOT_FOUND : ERR_AGAIN;
}

enum err tls_write(struct tls *t, const char *p, size_t n)
{
    size_t k;
    int result;

    must(t->done || t->broken);
    if (t->broken)
        return ERR_PEER;
    if (!n)
        return ERR_OK;
    if (t->out_end - t->out_at + n > PENDING_MAX) {
        t->why = WHY_TEXT;
        t->why_text = "more than 1 MiB waits to be sent";
        return ERR_LIMIT;
    }
    /* Room at once for all records; the ceiling above leaves some. */
    must(out_reserve(t, n + (n / RECORD_BYTES + 1) * RECORD_OVERHEAD));
    clean_queue();
    result = SSL_write_ex(t->ssl, p, n, &k);
    if (result != 1) {
        (void)after(t, result);
        if (!t->broken)
            break_with(t, WHY_TEXT, "written after the end");
        return ERR_PEER;
    }
    must(k == n);
    return ERR_OK;
}

void tls_shutdown(struct tls *t)
{
    if (!t->done || t->broken)
        return;
    clean_queue();
    if (SSL_shutdown(t->ssl) < 0)
        ERR_clear_error();
}

struct str tls_pending(const struct tls *t)
{
    if (!t->out)
        return STR_NULL;
    return str_from(t->out + t->out_at, t->out_end - t->out_at);
}

void tls_sent(struct tls *t, size_t k)
{
    must(k <= t->out_end - t->out_at);
    t->out_at += k;
    if (t->out_at == t->out_end)
        out_forget(t);
}

/* What was agreed */

struct str tls_alpn(const struct tls *t)
{
    const unsigned char *p;
    unsigned n;

    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return str_from((const char *)p, n);
}

const char *tls_version(const struct tls *t)
{
    return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
    const char *name = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));

    return name ? name : "";
}

struct str tls_sni(const struct tls *t)
{
    return str_z(t->sni);
}

bool tls_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl);
}

bool tls_peer_verified(const struct tls *t)
{
    return t->done && !t->context->insecure &&
           SSL_get0_peer_certificate(t->ssl) &&
           SSL_get_verify_result(t->ssl) == X509_V_OK;
}

bool tls_peer_sha256(struct tls *t, unsigned char out[32])
{
    X509 *x = t->done ? SSL_get0_peer_certificate(t->ssl) : NULL;
    unsigned n = sizeof(t->peer_sha256);

    if (!x)
        return false;
    if (!t->has_peer_sha256) {
        must(X509_digest(x, EVP_sha256(), t->peer_sha256, &n));
        t->has_peer_sha256 = true;
    }
    memcpy(out, t->peer_sha256, sizeof(t->peer_sha256));
    return true;
}

size_t tls_peer_subject(const struct tls *t, char *out, size_t cap)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    BIO *bio;
    const char *p;
    size_t n = 0;

    if (!x)
        return 0;
    bio = BIO_new(BIO_s_mem());
    must(bio);
    if (X509_NAME_print_ex(bio, X509_get_subject_name(x), 0,
                           XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        n = (size_t)BIO_get_mem_data(bio, &p);
        n = n < cap ? n : 0;
        memcpy(out, p, n);
    }
    if (cap)
        out[n] = 0;
    BIO_free(bio);
    ERR_clear_error();
    return n;
}

/* Callbacks of contexts */

static bool use_set(SSL *ssl, const struct tls_context *c,
                    const struct tls_cert_set *set)
{
    size_t i;

    if (set->count == 1 && set->certs[0] == &c->certs[0] &&
        SSL_get_certificate(ssl) == c->certs[0].leaf)
        return true; /* already there */
    SSL_certs_clear(ssl);
    for (i = 0; i < set->count; i++)
        if (SSL_use_cert_and_key(ssl, set->certs[i]->leaf, set->certs[i]->key,
                                 set->certs[i]->chain, 1) != 1)
            return false;
    return true;
}

int tls_on_server_name(SSL *ssl, int *alert, void *context)
{
    struct tls_context *c = context;
    struct tls *t = SSL_get_app_data(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_cert_set *set;
    struct str name = str_z(asked);
    char *p;

    if (!t || !name.len)
        return SSL_TLSEXT_ERR_NOACK;
    if (name.len > 1 && name.p[name.len - 1] == '.')
        name.len--;
    x_free(t->sni); /* a second hello may come */
    t->sni = x_strdup(name);
    for (p = t->sni; *p; p++)
        *p = char_lower(*p);
    set = tls_names_find(&c->names, str_z(t->sni));
    if (!set && c->strict_sni) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (!set)
        return SSL_TLSEXT_ERR_NOACK; /* the first certificate serves */
    if (use_set(ssl, c, set))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The first of ours that the client offers. */
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                const unsigned char *in, unsigned in_len, void *context)
{
    const struct tls_context *c = context;
    const unsigned char *ours = (const unsigned char *)c->alpn.p;
    size_t i, k;

    (void)ssl;
    for (i = 0; i < c->alpn.len; i += 1u + ours[i])
        for (k = 0; k < in_len; k += 1u + in[k])
            if (ours[i] == in[k] && k + 1u + in[k] <= in_len &&
                !memcmp(ours + i + 1, in + k + 1, ours[i])) {
                *out = in + k + 1;
                *out_len = in[k];
                return SSL_TLSEXT_ERR_OK;
            }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool has_pinned_key(const struct tls_context *c, const X509 *x)
{
    unsigned char hash[SHA256_DIGEST_LENGTH], *der = NULL;
    int len = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : -1;
    bool same;

    if (len <= 0)
        return false;
    SHA256(der, (size_t)len, hash);
    same = !memcmp(hash, c->pin, sizeof(hash));
    OPENSSL_free(der);
    return same;
}

int tls_on_verify_server(X509_STORE_CTX *sc, void *context)
{
    const struct tls_context *c = context;

    if (!c->insecure && X509_verify_cert(sc) <= 0)
        return 0;
    if (c->pinned && !has_pinned_key(c, X509_STORE_CTX_get0_cert(sc))) {
        X509_STORE_CTX_set_error(sc, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}
