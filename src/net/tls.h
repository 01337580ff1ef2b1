/* tls.h - TLS on OpenSSL, apart from sockets: bytes in, bytes out.
 *
 * A connection feeds ciphertext it received and takes ciphertext it has to
 * send, so that one receive and one send per loop turn stay the rule. No
 * system calls here but reading certificate files.
 *
 * Contexts are immutable and counted: a new certificate is a new context;
 * connections keep the one they began with. Threads: contexts may be shared;
 * a struct tls belongs to one thread.
 */
#ifndef TG_NET_TLS_H
#define TG_NET_TLS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/conf.h"

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

/* Settings of a listener's `tls:` section; see tls_server_fields. */
struct tls_server_conf {
    struct str certificate; /* PEM file: leaf first, then the chain */
    struct str key;         /* PEM file; may be the certificate's file */
    struct conf_list more;  /* struct tls_pair: further certificates, by SNI */
    struct str client_ca;   /* PEM bundle that signs client certificates */
    int client_verify;      /* enum tls_verify */
    int min_version, max_version; /* 0: 1.2, 1: 1.3 */
    struct str ciphers;           /* TLS 1.2 list; empty: a modern default */
    struct str ciphersuites;      /* TLS 1.3 */
    struct str groups;            /* X25519 first by default */
    uint64_t tickets;             /* TLS 1.3 tickets per handshake; 0 … 4 */
    bool strict_sni;              /* refuse names no certificate covers */
};
struct tls_pair {
    struct str certificate, key;
};
extern const struct conf_field tls_server_fields[];

/* Settings of the connection to a backend; see tls_client_fields. */
struct tls_client_conf {
    bool insecure;  /* do not verify; logged at every start */
    struct str ca;  /* PEM bundle; empty: the system's store */
    struct str pin; /* "sha256/BASE64" of the leaf's public key (SPKI) */
    struct str certificate, key; /* our client certificate */
    struct str server_name; /* SNI and the name to verify; empty: the host */
    int min_version;        /* 0: 1.2, 1: 1.3 */
};
extern const struct conf_field tls_client_fields[];

struct tls_context; /* counted */

/* ERR_INVALID or ERR_IO with a problem that names file and way out (missing
 * file, key that does not fit, expired certificate is a warning, …). alpn: a
 * list in wire form ("\x08http/1.1"), empty for none. */
enum err tls_server_new(const struct tls_server_conf *conf, struct str alpn,
                        struct str file, struct problems *ps,
                        struct tls_context **out);
enum err tls_client_new(const struct tls_client_conf *conf, struct str alpn,
                        struct str file, struct problems *ps,
                        struct tls_context **out);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);
/* Hash over all that decides the context (settings and file contents), to
 * know whether a reload changed anything. */
uint64_t tls_context_content(const struct tls_context *c);
/* Seconds since 1970 when the first of its certificates expires; 0: none. */
int64_t tls_context_expiry(const struct tls_context *c);

struct tls; /* one connection's state */

struct tls *tls_accept(struct tls_context *c);
/* name: for SNI and verification when the context has no server_name; an IP
 * address (brackets allowed) is verified as such and sends no SNI. Without any
 * name tls_handshake() fails, unless the context is insecure. */
struct tls *tls_connect(struct tls_context *c, struct str name);
/* Instead of the context's ALPN list, in wire form; before the handshake. */
void tls_offer(struct tls *t, struct str alpn);
void tls_free(struct tls *t);

/* Gives ciphertext that arrived. It is used in place: p must stay valid until
 * tls_handshake() or tls_read() said ERR_AGAIN or the connection ends; only
 * then more may be fed. */
void tls_feed(struct tls *t, const char *p, size_t n);
/* The transport ended: nothing more will be fed. Without a close_notify the
 * next tls_handshake() or tls_read() that finds all bytes used says ERR_PEER,
 * "closed without close_notify": what came may be cut short. */
void tls_eof(struct tls *t);
/* Runs the handshake. ERR_OK when it is done (fed bytes may be left: go on
 * with tls_read()), ERR_AGAIN: needs bytes, ERR_PEER: failed, tls_reason()
 * says why. Call after every tls_feed() until done, and once at the start as a
 * client. After each call, failed or not, send what is pending: an alert tells
 * the peer. */
enum err tls_handshake(struct tls *t);
/* Plaintext into out, of as many records as fit. ERR_OK with *n > 0;
 * ERR_AGAIN: all fed bytes are used; ERR_PEER: broken; ERR_NOT_FOUND: the peer
 * closed in an orderly way (close_notify). May leave something to send. */
enum err tls_read(struct tls *t, char *out, size_t cap, size_t *n);
/* Encrypts all of p[0..n) into the pending output. ERR_LIMIT, with nothing
 * taken, when that would grow over 1 MiB; ERR_PEER when the connection is
 * broken. */
enum err tls_write(struct tls *t, const char *p, size_t n);
/* Appends close_notify; nothing can be written afterwards. */
void tls_shutdown(struct tls *t);
/* Ciphertext to send; after sending k bytes: tls_sent(t, k). When everything
 * was sent the memory is given back to the thread. */
struct str tls_pending(const struct tls *t);
void tls_sent(struct tls *t, size_t k);

/* Agreed protocol by ALPN ("http/1.1", "h2") or empty. */
struct str tls_alpn(const struct tls *t);
/* "TLSv1.3" and "TLS_AES_128_GCM_SHA256". */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
bool tls_resumed(const struct tls *t);
/* Static or per-thread text for the log; why a handshake or read failed, for
 * verification errors with OpenSSL's reason ("self-signed certificate"). */
const char *tls_reason(const struct tls *t);
/* Server name the client asked for, lower case, or empty. */
struct str tls_sni(const struct tls *t);
/* The peer showed a certificate and it was verified (as a server: the
 * client's, also from the session it resumed). */
bool tls_peer_verified(const struct tls *t);
/* Subject of the peer's certificate, "CN=orders,O=Example" (RFC 4514), NUL-
 * terminated. Returns its length; 0 when there is none or it does not fit. */
size_t tls_peer_subject(const struct tls *t, char *out, size_t cap);

/* SHA-256 of the peer's certificate (DER), whether or not it was verified.
 * false: it showed none. */
bool tls_peer_sha256(struct tls *t, unsigned char out[32]);
/* The same of every certificate in a PEM file, at most room of them. ERR_IO:
 * it cannot be read; ERR_INVALID: it has none; ERR_LIMIT: too many. */
enum err tls_certificates_sha256(struct str path, unsigned char (*out)[32],
                                 size_t room, size_t *count);

/* New keys for session tickets now; those before are accepted once more. They
 * rotate by themselves every 12 hours. Any thread. */
void tls_ticket_rotate(void);
/* The keys of session tickets as opaque bytes, for a successor, so that its
 * clients resume; *n of out, which has room for TLS_TICKET_KEYS. The clock is
 * the machine's, so their ages stay true. Wipe the bytes afterwards. */
#define TLS_TICKET_KEYS 256
void tls_ticket_export(unsigned char out[TLS_TICKET_KEYS], size_t *n);
/* ERR_INVALID: not what tls_ticket_export() of this program makes. */
enum err tls_ticket_import(const unsigned char *p, size_t n);
/* Frees this thread's spare output buffers; call before a thread ends. */
void tls_thread_done(void);

/* Makes a private local certificate authority (when the folder has none yet)
 * and a certificate of it for host, localhost, 127.0.0.1 and ::1, in
 * folder/{ca,server}-{cert,key}.pem; keys 0600, EC P-256; 825 days; made anew
 * within 30 days of the end. */
enum err tls_local_certificate(struct str folder, struct str host,
                               struct problems *ps, struct str *cert_file,
                               struct str *key_file, struct arena *a);
/* The same at another time (tests), in seconds since 1970. */
enum err tls_local_certificate_at(struct str folder, struct str host,
                                  int64_t now_s, struct problems *ps,
                                  struct str *cert_file, struct str *key_file,
                                  struct arena *a);

#endif
