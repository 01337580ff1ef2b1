/* tls_internal.h - what the files of TLS share; nobody else includes it.
 *
 * tls_pem.c reads files, tls_names.c picks a certificate by name,
 * tls_ticket.c keeps the keys of session tickets, tls_context.c puts contexts
 * together and tls.c runs connections.
 */
#ifndef TG_NET_TLS_INTERNAL_H
#define TG_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "base/map.h"
#include "net/tls.h"

/* A certificate with what belongs to it. */
struct tls_cert {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* without the leaf; may be empty */
};

/* Certificates that cover one name: at most one for each type of key (RSA,
 * EC, Edwards), so that old and new clients each get one they can check. */
#define TLS_KEY_TYPES 4
struct tls_cert_set {
    const struct tls_cert *certs[TLS_KEY_TYPES];
    size_t count;
};

struct tls_names {
    struct map *exact; /* "www.example.org" to struct tls_cert_set */
    struct map *wild;  /* ".example.org", for "*.example.org" */
};

struct tls_context {
    atomic_uint refs;
    bool server;
    SSL_CTX *ssl;
    struct arena *arena; /* owns names, sets and text */
    struct str alpn;
    uint64_t content;
    int64_t expiry;

    /* server */
    struct tls_cert *certs;
    size_t cert_count;
    struct tls_names names;
    bool strict_sni;
    int client_verify; /* enum tls_verify */

    /* client */
    bool insecure;
    bool pinned;
    unsigned char pin[32]; /* SHA-256 of the public key */
    struct str server_name;
};

/* What is at hand while a context is made. */
struct tls_load {
    struct str file; /* the configuration, for problems */
    struct problems *ps;
    uint64_t content; /* grows with everything that was looked at */
};

/* tls_pem.c */

/* All of a file, at most 4 MiB, NUL-terminated; x_free() it (tls_pem_wipe()
 * when a key may be in it). */
enum err tls_pem_read(struct tls_load *ld, struct str path, struct str *out);
void tls_pem_wipe(struct str text);
/* A certificate with chain and key. Warns about one that is not valid today;
 * *expiry becomes the earlier of itself and the leaf's end (0: none yet). */
enum err tls_pem_cert(struct tls_load *ld, struct str cert_path,
                      struct str key_path, struct tls_cert *out,
                      int64_t *expiry);
void tls_cert_done(struct tls_cert *c);
/* Certificates to trust. names: NULL, or where their subjects are listed. */
enum err tls_pem_store(struct tls_load *ld, struct str path, X509_STORE **out,
                       STACK_OF(X509_NAME) * *names);
/* The system's, loaded once and again when the file changed; counted. */
enum err tls_system_store(struct tls_load *ld, X509_STORE **out);
/* Mixes text into the content, with its length. */
void tls_content_add(struct tls_load *ld, struct str text);
int64_t tls_asn1_seconds(const ASN1_TIME *t);
/* Why OpenSSL refused, and its queue is empty again. Never NULL. */
const char *tls_openssl_reason(void);

/* tls_names.c */

void tls_names_init(struct tls_names *n, struct arena *a);
/* Under all DNS names of the certificate; cert must outlive n. */
void tls_names_add(struct tls_names *n, struct arena *a,
                   const struct tls_cert *cert);
/* name in lower case. NULL when nothing covers it. */
const struct tls_cert_set *tls_names_find(const struct tls_names *n,
                                          struct str name);
/* The first name of a certificate, lower case, in the arena; or empty. */
struct str tls_names_first(struct arena *a, const struct tls_cert *cert);

/* tls_ticket.c */

/* Lets ctx use the tickets of the process. */
void tls_ticket_setup(SSL_CTX *ctx);

/* tls.c: callbacks that contexts set */

int tls_on_server_name(SSL *ssl, int *alert, void *context);
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                const unsigned char *in, unsigned in_len, void *context);
int tls_on_verify_server(X509_STORE_CTX *sc, void *context);

#endif
