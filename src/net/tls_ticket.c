/* tls_ticket.c - the keys of session tickets, one set for the process.
 *
 * A ticket is the session itself, sealed with a key only this process knows,
 * so resumption costs the server no memory, works on every thread and
 * survives a new certificate. A key seals for 12 hours and opens for another
 * 12; then what was recorded under it stays closed for good.
 */
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"

#define ROTATE_US (12ull * 3600 * 1000000)

struct ticket_key {
    unsigned char name[16];
    unsigned char aes[32];
    unsigned char mac[32];
    uint64_t made_us; /* 0: none */
};

static struct {
    pthread_mutex_t lock;
    struct ticket_key current, previous;
} keys = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_CIPHER *cipher; /* fetched once: looking it up is slow */

static void fetch_cipher(void)
{
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    must(cipher);
}

/* Under the lock. */
static void rotate(uint64_t now_us)
{
    keys.previous = keys.current;
    random_bytes(keys.current.name, sizeof(keys.current.name));
    random_bytes(keys.current.aes, sizeof(keys.current.aes));
    random_bytes(keys.current.mac, sizeof(keys.current.mac));
    keys.current.made_us = now_us;
}

/* Under the lock. A process that slept long forgets both. */
static void keep_fresh(uint64_t now_us)
{
    if (!keys.current.made_us || now_us - keys.current.made_us >= ROTATE_US)
        rotate(now_us);
    if (keys.previous.made_us &&
        now_us - keys.previous.made_us >= 2 * ROTATE_US)
        OPENSSL_cleanse(&keys.previous, sizeof(keys.previous));
}

/* A copy of the key to seal with (name NULL) or of the one with that name. */
static bool take_key(const unsigned char *name, struct ticket_key *out,
                     bool *old)
{
    bool found = true;

    pthread_mutex_lock(&keys.lock);
    keep_fresh(clock_mono_us());
    *old = false;
    if (!name || !memcmp(name, keys.current.name, sizeof(keys.current.name))) {
        *out = keys.current;
    } else if (keys.previous.made_us &&
               !memcmp(name, keys.previous.name, sizeof(keys.previous.name))) {
        *out = keys.previous;
        *old = true;
    } else {
        found = false;
    }
    pthread_mutex_unlock(&keys.lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac,
                                          sizeof(k->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* What OpenSSL asks: -1 error, 0 not ours (full handshake), 1 done, 2 done
 * but hand out a new ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac, int sealing)
{
    struct ticket_key k;
    bool old, ok;

    if (!take_key(sealing ? NULL : name, &k, &old))
        return 0;
    if (sealing) {
        memcpy(name, k.name, sizeof(k.name));
        ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) == 1 &&
             EVP_EncryptInit_ex2(c, cipher, k.aes, iv, NULL) == 1;
    } else {
        ok = EVP_DecryptInit_ex2(c, cipher, k.aes, iv, NULL) == 1;
    }
    ok = ok && set_mac(mac, &k);
    OPENSSL_cleanse(&k, sizeof(k));
    if (!ok)
        return -1;
    /* A client of TLS 1.3 uses a ticket once, so it needs the next one. */
    return old || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

void tls_ticket_rotate(void)
{
    pthread_mutex_lock(&keys.lock);
    rotate(clock_mono_us());
    pthread_mutex_unlock(&keys.lock);
}

struct ticket_keys {
    char format[8];
    struct ticket_key current, previous;
};
_Static_assert(sizeof(struct ticket_keys) <= TLS_TICKET_KEYS, "more room");
static const char ticket_format[8] = "keys-1";

void tls_ticket_export(unsigned char out[TLS_TICKET_KEYS], size_t *n)
{
    struct ticket_keys k = { 0 };

    memcpy(k.format, ticket_format, sizeof(k.format));
    pthread_mutex_lock(&keys.lock);
    k.current = keys.current;
    k.previous = keys.previous;
    pthread_mutex_unlock(&keys.lock);
    memcpy(out, &k, sizeof(k));
    *n = sizeof(k);
    OPENSSL_cleanse(&k, sizeof(k));
}

enum err tls_ticket_import(const unsigned char *p, size_t n)
{
    struct ticket_keys k;

    if (n != sizeof(k))
        return ERR_INVALID;
    memcpy(&k, p, sizeof(k));
    if (memcmp(k.format, ticket_format, sizeof(k.format)) != 0 ||
        k.current.made_us > clock_mono_us() ||
        k.previous.made_us > k.current.made_us)
        return ERR_INVALID;
    pthread_mutex_lock(&keys.lock);
    keys.current = k.current;
    keys.previous = k.previous;
    pthread_mutex_unlock(&keys.lock);
    OPENSSL_cleanse(&k, sizeof(k));
    return ERR_OK;
}

void tls_ticket_setup(SSL_CTX *ctx)
{
    pthread_once(&fetched, fetch_cipher);
    pthread_mutex_lock(&keys.lock);
    keep_fresh(clock_mono_us());
    pthread_mutex_unlock(&keys.lock);
    must(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1);
}
