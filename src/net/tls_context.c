/* tls_context.c - settings and certificates become a context.
 *
 * A context holds one SSL_CTX with its first certificate; further ones are
 * put into a connection when the server name is known. One SSL_CTX for each
 * certificate was rejected: 13 KB each, and a change of contexts in the middle
 * of a handshake mixes up whose rules for client certificates hold.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/sha.h>

#include "base/log.h"

/* AES first: x86 and ARM servers have instructions for it. */
#define CIPHERS_12                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* All the suites clients have; AES-128 first because its SHA-256 is done in
 * hardware where SHA-384 is not, which a handshake feels. */
#define SUITES_13                                    \
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
    "TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
#define GROUPS_CLIENT "X25519:P-256:P-384:P-521"
#define CHAIN_DEPTH 8
#define PEER_CERTS_MAX_BYTES (64 << 10)

static const char *const version_names[] = { "1.2", "1.3", NULL };
static const char *const verify_names[] = { "none", "optional", "required",
                                            NULL };

static const struct conf_field pair_fields[] = {
    { .name = "certificate",
      .type = CONF_STRING,
      .at = offsetof(struct tls_pair, certificate),
      .required = true,
      .help = "PEM file: the certificate first, then those between it and "
              "the root." },
    { .name = "key",
      .type = CONF_STRING,
      .at = offsetof(struct tls_pair, key),
      .help = "PEM file with the private key, without passphrase. Default: "
              "the file of the certificate." },
    { 0 },
};

const struct conf_field tls_server_fields[] = {
    { .name = "certificate",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, certificate),
      .help = "PEM file: the server's certificate first, then those between "
              "it and the root. It is shown to clients that ask for a name no "
              "certificate covers, or for none." },
    { .name = "key",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, key),
      .help = "PEM file with the private key, without passphrase. Default: "
              "the file of the certificate." },
    { .name = "certificates",
      .type = CONF_SECTIONS,
      .at = offsetof(struct tls_server_conf, more),
      .fields = pair_fields,
      .item_size = sizeof(struct tls_pair),
      .scalar_field = "certificate",
      .help = "Further certificates, chosen by the server name a client asks "
              "for: exact names first, then wildcards of one label. Names are "
              "taken from subjectAltName. An RSA and an EC certificate for "
              "the same names may stand side by side." },
    { .name = "client_ca",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, client_ca),
      .help = "PEM bundle of the authorities whose client certificates are "
              "accepted. Needs client_verify." },
    { .name = "client_verify",
      .type = CONF_ENUM,
      .at = offsetof(struct tls_server_conf, client_verify),
      .choices = verify_names,
      .def = "none",
      .help = "Whether clients are asked for a certificate: none; optional "
              "(a client without one is served, one with a wrong one is "
              "not); required." },
    { .name = "min_version",
      .type = CONF_ENUM,
      .at = offsetof(struct tls_server_conf, min_version),
      .choices = version_names,
      .def = "1.2",
      .help = "Oldest TLS version accepted." },
    { .name = "max_version",
      .type = CONF_ENUM,
      .at = offsetof(struct tls_server_conf, max_version),
      .choices = version_names,
      .def = "1.3",
      .help = "Newest TLS version accepted." },
    { .name = "ciphers",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, ciphers),
      .help = "Ciphers for TLS 1.2, best first, by their OpenSSL names with "
              "colons between. Default: ECDHE with AES-GCM or "
              "ChaCha20-Poly1305." },
    { .name = "ciphersuites",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, ciphersuites),
      .help = "Cipher suites for TLS 1.3, best first, with colons between. "
              "Default: " SUITES_13 "." },
    { .name = "groups",
      .type = CONF_STRING,
      .at = offsetof(struct tls_server_conf, groups),
      .help = "Groups for the key exchange, best first, with colons between. "
              "Default: " GROUPS "." },
    { .name = "tickets",
      .type = CONF_U64,
      .at = offsetof(struct tls_server_conf, tickets),
      .max = 4,
      .def = "1",
      .help = "Session tickets sent in a TLS 1.3 handshake. A returning "
              "client uses one for each connection; each costs some CPU. 0 "
              "turns resumption off, for TLS 1.2 too." },
    { .name = "strict_sni",
      .type = CONF_BOOL,
      .at = offsetof(struct tls_server_conf, strict_sni),
      .def = "false",
      .help = "Refuse clients that ask for a name no certificate covers. A "
              "client that asks for none gets the first certificate." },
    { 0 },
};

const struct conf_field tls_client_fields[] = {
    { .name = "insecure",
      .type = CONF_BOOL,
      .at = offsetof(struct tls_client_conf, insecure),
      .def = "false",
      .help = "Do not verify the backend's certificate. For development; "
              "logged at every start. A pin is still checked." },
    { .name = "ca",
      .type = CONF_STRING,
      .at = offsetof(struct tls_client_conf, ca),
      .help = "PEM bundle of the authorities, or of the very certificates, to "
              "trust. Default: those of the system." },
    { .name = "pin",
      .type = CONF_STRING,
      .at = offsetof(struct tls_client_conf, pin),
      .help = "sha256/ and the base64 of the SHA-256 of the backend's public "
              "key (its SubjectPublicKeyInfo). Checked in addition to the "
              "certificate; with insecure, instead of it." },
    { .name = "certificate",
      .type = CONF_STRING,
      .at = offsetof(struct tls_client_conf, certificate),
      .help = "PEM file with the certificate to show to backends that ask for "
              "one." },
    { .name = "key",
      .type = CONF_STRING,
      .at = offsetof(struct tls_client_conf, key),
      .help = "PEM file with its private key, without passphrase. Default: "
              "the file of the certificate." },
    { .name = "server_name",
      .type = CONF_STRING,
      .at = offsetof(struct tls_client_conf, server_name),
      .help = "Name to ask for and to verify. Default: the host of the URL." },
    { .name = "min_version",
      .type = CONF_ENUM,
      .at = offsetof(struct tls_client_conf, min_version),
      .choices = version_names,
      .def = "1.2",
      .help = "Oldest TLS version accepted." },
    { 0 },
};

static struct tls_context *new_context(bool server, struct str alpn)
{
    struct tls_context *c = x_new(sizeof(*c));

    atomic_init(&c->refs, 1);
    c->server = server;
    c->arena = arena_new();
    c->alpn = arena_copy(c->arena, alpn);
    c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    must(c->ssl);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_clear_options(c->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF |
                                      SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(c->ssl, 0);
    SSL_CTX_set_max_cert_list(c->ssl, PEER_CERTS_MAX_BYTES);
    SSL_CTX_set_verify_depth(c->ssl, CHAIN_DEPTH);
    return c;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    size_t i;

    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(c->ssl);
    for (i = 0; i < c->cert_count; i++)
        tls_cert_done(&c->certs[i]);
    arena_free(c->arena);
    x_free(c);
}

uint64_t tls_context_content(const struct tls_context *c)
{
    return c->content;
}

int64_t tls_context_expiry(const struct tls_context *c)
{
    return c->expiry;
}

static int version_number(int choice)
{
    return choice ? TLS1_3_VERSION : TLS1_2_VERSION;
}

/* Ciphers, suites and groups */

static bool cipher_known(SSL_CTX *ctx, const char *name)
{
    return strchr("!-+@", name[0]) || SSL_CTX_set_cipher_list(ctx, name);
}

/* By hand: OpenSSL skips suites it does not know without a word. */
static bool suite_known(SSL_CTX *ctx, const char *name)
{
    static const char *const suites[] = {
        "TLS_AES_128_GCM_SHA256",       "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    };
    size_t i;

    (void)ctx;
    for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
        if (!strcmp(name, suites[i]))
            return true;
    return false;
}

/* The macro of OpenSSL casts const away. */
static int set_groups(SSL_CTX *ctx, const char *names)
{
    char *copy = x_strdup(str_z(names));
    long ok = SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, copy);

    x_free(copy);
    return ok == 1;
}

static bool group_known(SSL_CTX *ctx, const char *name)
{
    return *name && set_groups(ctx, name);
}

/* Three settings of the same kind: names with colons between. */
static const struct name_list {
    const char *what, *setting, *way_out;
    bool (*known)(SSL_CTX *ctx, const char *name);
} list_ciphers = { "cipher", "ciphers", "openssl ciphers -v lists them",
                   cipher_known },
  list_suites = { "cipher suite", "ciphersuites", "the default is " SUITES_13,
                  suite_known },
  list_groups = { "group", "groups", "the default is " GROUPS, group_known };

static enum err check_names(struct tls_load *ld, SSL_CTX *ctx,
                            const struct name_list *list, struct str names)
{
    enum err e = ERR_OK;

    while (names.p) {
        char *name = x_strdup(str_cut(&names, ':'));

        if (!list->known(ctx, name)) {
            problem_error(ld->ps, ld->file, 0,
                          "unknown %s in tls.%s: \"%s\"; %s", list->what,
                          list->setting, name, list->way_out);
            e = ERR_INVALID;
        }
        x_free(name);
    }
    ERR_clear_error();
    return e;
}

static enum err set_names(struct tls_load *ld, SSL_CTX *ctx,
                          const struct name_list *list, struct str names,
                          const char *def, int (*set)(SSL_CTX *, const char *))
{
    char *text;
    enum err e = ERR_OK;

    tls_content_add(ld, names);
    if (!names.len) {
        must(set(ctx, def) == 1);
        return ERR_OK;
    }
    e = check_names(ld, ctx, list, names);
    if (e)
        return e;
    text = x_strdup(names);
    if (set(ctx, text) != 1) {
        problem_error(ld->ps, ld->file, 0, "tls.%s: %s; %s", list->setting,
                      tls_openssl_reason(), list->way_out);
        e = ERR_INVALID;
    }
    x_free(text);
    return e;
}

static enum err set_algorithms(struct tls_load *ld, SSL_CTX *ctx,
                               const struct tls_server_conf *conf)
{
    enum err e = set_names(ld, ctx, &list_ciphers, conf->ciphers, CIPHERS_12,
                           SSL_CTX_set_cipher_list);
    enum err e2 = set_names(ld, ctx, &list_suites, conf->ciphersuites,
                            SUITES_13, SSL_CTX_set_ciphersuites);
    enum err e3 =
        set_names(ld, ctx, &list_groups, conf->groups, GROUPS, set_groups);

    return e ? e : e2 ? e2 : e3;
}

static enum err set_versions(struct tls_load *ld, SSL_CTX *ctx, int min,
                             int max)
{
    int choices[] = { min, max };

    ld->content = hash_content(ld->content, choices, sizeof(choices));
    if (min > max) {
        problem_error(ld->ps, ld->file, 0,
                      "tls.min_version %s is newer than tls.max_version %s; "
                      "raise the one or lower the other",
                      version_names[min], version_names[max]);
        return ERR_INVALID;
    }
    must(SSL_CTX_set_min_proto_version(ctx, version_number(min)));
    must(SSL_CTX_set_max_proto_version(ctx, version_number(max)));
    return ERR_OK;
}

/* Certificates of a server */

static enum err load_cert(struct tls_load *ld, struct tls_context *c,
                          struct str certificate, struct str key)
{
    struct tls_cert *cert = &c->certs[c->cert_count];
    enum err e = tls_pem_cert(ld, certificate, key, cert, &c->expiry);
    SSL *probe;

    if (e)
        return e;
    c->cert_count++;
    /* What OpenSSL would refuse in a handshake is refused here. */
    probe = SSL_new(c->ssl);
    must(probe);
    if (SSL_use_cert_and_key(probe, cert->leaf, cert->key, cert->chain, 1) !=
        1) {
        problem_error(ld->ps, ld->file, 0,
                      "%.*s cannot be used: %s; make a new one (EC P-256, or "
                      "RSA with 2048 bits or more, and SHA-256)",
                      STR_ARG(certificate), tls_openssl_reason());
        e = ERR_INVALID;
    }
    SSL_free(probe);
    if (!e)
        tls_names_add(&c->names, c->arena, cert);
    return e;
}

/* The first certificate, and those of other types for the same name. */
static void set_default_cert(struct tls_context *c)
{
    struct str name = tls_names_first(c->arena, &c->certs[0]);
    bool wild = name.len && name.p[0] == '*';
    struct tls_cert_set only = { { &c->certs[0] }, 1 };
    const struct tls_cert_set *set = &only;
    size_t i;

    if (name.len)
        set = map_get(wild ? c->names.wild : c->names.exact,
                      wild ? str_skip(name, 1) : name);
    must(set && set->count && set->certs[0] == &c->certs[0]);
    for (i = 0; i < set->count; i++)
        must(SSL_CTX_use_cert_and_key(c->ssl, set->certs[i]->leaf,
                                      set->certs[i]->key, set->certs[i]->chain,
                                      1) == 1);
}

static enum err load_certs(struct tls_load *ld, struct tls_context *c,
                           const struct tls_server_conf *conf)
{
    const struct tls_pair *more = conf->more.items;
    enum err e = ERR_OK, e2;
    size_t i;

    if (!conf->certificate.len && !conf->more.count) {
        problem_error(ld->ps, ld->file, 0,
                      "tls.certificate is missing; name a PEM file");
        return ERR_INVALID;
    }
    /* One array that never moves: the sets point into it. */
    c->certs =
        arena_alloc(c->arena, (conf->more.count + 1) * sizeof(*c->certs));
    tls_names_init(&c->names, c->arena);
    if (conf->certificate.len)
        e = load_cert(ld, c, conf->certificate, conf->key);
    for (i = 0; i < conf->more.count; i++) {
        e2 = load_cert(ld, c, more[i].certificate, more[i].key);
        e = e ? e : e2;
    }
    if (!e)
        set_default_cert(c);
    return e;
}

/* Sessions resume only where clients are verified by the same rules: the id
 * context is part of a ticket and covers mode and authorities. */
static void set_session_context(SSL_CTX *ctx, int verify, uint64_t ca)
{
    struct {
        char product[8];
        uint64_t verify, ca;
    } id = { "tollgat", (uint64_t)verify, ca };

    must(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)&id,
                                        sizeof(id)));
}

static enum err load_client_ca(struct tls_load *ld, struct tls_context *c,
                               const struct tls_server_conf *conf)
{
    struct tls_load own = { ld->file, ld->ps, HASH_CONTENT_START };
    STACK_OF(X509_NAME) * names;
    X509_STORE *store;
    enum err e;

    e = tls_pem_store(&own, conf->client_ca, &store, &names);
    if (e)
        return e;
    SSL_CTX_set_cert_store(c->ssl, store);
    SSL_CTX_set_client_CA_list(c->ssl, names);
    SSL_CTX_set_verify(c->ssl,
                       SSL_VERIFY_PEER |
                           (conf->client_verify == TLS_VERIFY_REQUIRED
                                ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                : 0),
                       NULL);
    set_session_context(c->ssl, conf->client_verify, own.content);
    ld->content = hash_content(ld->content, &own.content, sizeof(own.content));
    return ERR_OK;
}

static enum err set_client_verify(struct tls_load *ld, struct tls_context *c,
                                  const struct tls_server_conf *conf)
{
    bool asked = conf->client_verify != TLS_VERIFY_NONE;

    c->client_verify = conf->client_verify;
    ld->content = hash_content(ld->content, &conf->client_verify,
                               sizeof(conf->client_verify));
    if (asked != (conf->client_ca.len > 0)) {
        problem_error(ld->ps, ld->file, 0,
                      asked ? "tls.client_verify needs tls.client_ca: a PEM "
                              "bundle of the authorities to accept"
                            : "tls.client_ca does nothing without "
                              "tls.client_verify: set it to optional or "
                              "required");
        return ERR_INVALID;
    }
    if (asked)
        return load_client_ca(ld, c, conf);
    set_session_context(c->ssl, TLS_VERIFY_NONE, 0);
    return ERR_OK;
}

static void set_tickets(struct tls_load *ld, struct tls_context *c,
                        uint64_t tickets)
{
    ld->content = hash_content(ld->content, &tickets, sizeof(tickets));
    must(SSL_CTX_set_num_tickets(c->ssl, tickets));
    if (tickets)
        tls_ticket_setup(c->ssl);
    else
        SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
}

enum err tls_server_new(const struct tls_server_conf *conf, struct str alpn,
                        struct str file, struct problems *ps,
                        struct tls_context **out)
{
    struct tls_load ld = { file, ps, HASH_CONTENT_START };
    struct tls_context *c = new_context(true, alpn);
    enum err e, all;

    all = set_versions(&ld, c->ssl, conf->min_version, conf->max_version);
    e = set_algorithms(&ld, c->ssl, conf);
    all = all ? all : e;
    e = load_certs(&ld, c, conf);
    all = all ? all : e;
    e = set_client_verify(&ld, c, conf);
    all = all ? all : e;
    if (all) {
        tls_context_unref(c);
        return all;
    }
    set_tickets(&ld, c, conf->tickets);
    c->strict_sni = conf->strict_sni;
    SSL_CTX_set_tlsext_servername_callback(c->ssl, tls_on_server_name);
    SSL_CTX_set_tlsext_servername_arg(c->ssl, c);
    if (alpn.len)
        SSL_CTX_set_alpn_select_cb(c->ssl, tls_on_alpn, c);
    tls_content_add(&ld, alpn);
    ld.content = hash_content(ld.content, &conf->strict_sni, 1);
    c->content = ld.content;
    *out = c;
    return ERR_OK;
}

/* Clients */

static enum err set_pin(struct tls_load *ld, struct tls_context *c,
                        struct str pin)
{
    unsigned char raw[48];
    struct str text = str_skip(pin, sizeof("sha256/") - 1);

    tls_content_add(ld, pin);
    if (!pin.len)
        return ERR_OK;
    /* 32 bytes are 43 characters and one "=", decoded to 33 with a zero. */
    if (!str_starts(pin, STR("sha256/")) || text.len != 44 ||
        text.p[43] != '=' || text.p[42] == '=' ||
        EVP_DecodeBlock(raw, (const unsigned char *)text.p, 44) != 33) {
        problem_error(ld->ps, ld->file, 0,
                      "tls.pin must be sha256/ and 44 characters of base64; "
                      "get it with: openssl x509 -in backend.pem -noout "
                      "-pubkey | openssl pkey -pubin -outform der | openssl "
                      "dgst -sha256 -binary | base64");
        return ERR_INVALID;
    }
    memcpy(c->pin, raw, sizeof(c->pin));
    c->pinned = true;
    return ERR_OK;
}

static enum err set_trust(struct tls_load *ld, struct tls_context *c,
                          const struct tls_client_conf *conf)
{
    X509_STORE *store = NULL;
    enum err e;

    c->insecure = conf->insecure;
    ld->content = hash_content(ld->content, &conf->insecure, 1);
    SSL_CTX_set_cert_verify_callback(c->ssl, tls_on_verify_server, c);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    if (conf->insecure)
        return ERR_OK;
    e = conf->ca.len ? tls_pem_store(ld, conf->ca, &store, NULL)
                     : tls_system_store(ld, &store);
    if (!e)
        SSL_CTX_set_cert_store(c->ssl, store);
    return e;
}

static enum err set_own_cert(struct tls_load *ld, struct tls_context *c,
                             const struct tls_client_conf *conf)
{
    struct tls_cert cert;
    enum err e;

    if (!conf->certificate.len) {
        if (!conf->key.len)
            return ERR_OK;
        problem_error(ld->ps, ld->file, 0,
                      "tls.key is of no use without tls.certificate; name "
                      "the certificate's file");
        return ERR_INVALID;
    }
    e = tls_pem_cert(ld, conf->certificate, conf->key, &cert, &c->expiry);
    if (e)
        return e;
    if (SSL_CTX_use_cert_and_key(c->ssl, cert.leaf, cert.key, cert.chain, 1) !=
        1) {
        problem_error(ld->ps, ld->file, 0, "%.*s cannot be used: %s",
                      STR_ARG(conf->certificate), tls_openssl_reason());
        e = ERR_INVALID;
    }
    tls_cert_done(&cert);
    return e;
}

enum err tls_client_new(const struct tls_client_conf *conf, struct str alpn,
                        struct str file, struct problems *ps,
                        struct tls_context **out)
{
    struct tls_load ld = { file, ps, HASH_CONTENT_START };
    struct tls_context *c = new_context(false, alpn);
    enum err e, all;

    all = set_versions(&ld, c->ssl, conf->min_version, 1);
    e = set_trust(&ld, c, conf);
    all = all ? all : e;
    e = set_pin(&ld, c, conf->pin);
    all = all ? all : e;
    e = set_own_cert(&ld, c, conf);
    all = all ? all : e;
    if (all) {
        tls_context_unref(c);
        return all;
    }
    must(set_groups(c->ssl, GROUPS_CLIENT));
    must(SSL_CTX_set_ciphersuites(c->ssl, SUITES_13));
    /* Connections to backends are kept, so sessions are not: no ticket is
     * asked for in TLS 1.2, and those of TLS 1.3 are let go. */
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
    if (alpn.len)
        must(!SSL_CTX_set_alpn_protos(c->ssl, (const unsigned char *)alpn.p,
                                      (unsigned)alpn.len));
    c->server_name = arena_copy(c->arena, conf->server_name);
    tls_content_add(&ld, conf->server_name);
    tls_content_add(&ld, alpn);
    c->content = ld.content;
    *out = c;
    return ERR_OK;
}
