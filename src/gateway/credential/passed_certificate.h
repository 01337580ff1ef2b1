/* passed_certificate.h - the client's certificate out of a field that a
 * balancer sent (authentication.certificate_header).
 *
 * It is believed from trusted_proxies only. From them it is all that counts:
 * a certificate that such a peer shows itself is the balancer's, not the
 * client's. Forms: PEM, as it is or with %XX escapes, base64 of PEM or DER,
 * and the byte sequence of RFC 9440 (whose Client-Cert-Chain is read too).
 */
#ifndef TG_GATEWAY_CREDENTIAL_PASSED_CERTIFICATE_H
#define TG_GATEWAY_CREDENTIAL_PASSED_CERTIFICATE_H

#include "gateway/credential/credential_conf.h"
#include "gateway/exchange.h"
#include "net/certificate.h"

struct token_entry;
struct worker;

struct passed_conf {
    struct str name; /* of the field; empty: none is read */
    enum field id;
    struct certificate_store *store; /* NULL: none is trusted by its issuer */
    uint32_t source;                 /* issuer_id() */
    bool other_name;                 /* than those that have an id */
};

/* In the arena, which lets go of it. ERR_INVALID with problems. */
enum err passed_certificate_init(struct arena *a,
                                 const struct authentication_conf *conf,
                                 struct str file, struct problems *ps,
                                 struct passed_conf *out);

/* What RFC 9440 wants of whoever ends TLS: no such field of a client comes to
 * a backend, nor one from a balancer unless `keep`. */
void passed_certificate_hide(struct exchange *x, const struct passed_conf *c,
                             bool keep);

/* Whether there is anything to hide. Beyond 255 fields nobody knows. */
static inline bool passed_certificate_there(const struct message *m,
                                            const struct passed_conf *c)
{
    return (m->first[FIELD_CLIENT_CERT] | m->first[FIELD_CLIENT_CERT_CHAIN] |
            m->first[FIELD_X_WSO2_CLIENT_CERTIFICATE] | c->other_name) ||
           m->count > UINT8_MAX;
}

/* Whether a field is what counts for this call. */
static inline bool passed_certificate_counts(const struct exchange *x,
                                             const struct passed_conf *c)
{
    return x->believed && c->name.len;
}

/* The text that stands for it. ERR_NOT_FOUND: no field; ERR_INVALID: several.
 */
enum err passed_certificate_text(struct exchange *x,
                                 const struct passed_conf *c, struct str *out);
/* What this thread knows of it, or NULL. Valid while the entry is held, and in
 * this turn. */
const struct certificate *passed_certificate_known(struct worker *w,
                                                   const struct passed_conf *c,
                                                   struct str text);
/* Reads it, and remembers it. NULL: it is none. */
const struct certificate *passed_certificate_read(struct exchange *x,
                                                  const struct passed_conf *c,
                                                  struct str text);

/* A field's value to DER, in the arena. ERR_INVALID: not one certificate in
 * any of the forms. */
enum err passed_certificate_der(struct arena *a, struct str value,
                                struct str *der);
/* The list of Client-Cert-Chain. */
#define PASSED_CHAIN_MAX 8
enum err passed_certificate_chain(struct arena *a, struct str value,
                                  struct str out[PASSED_CHAIN_MAX],
                                  size_t *count);

#endif
