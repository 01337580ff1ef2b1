/* tls_names.c - which certificate answers for a server name.
 *
 * Exact names go before wildcards, and a wildcard stands for one label
 * (RFC 6125 section 6.4.3). The common name counts only when a certificate
 * has no subjectAltName at all. Of several certificates for one name the
 * first of each type of key is kept; OpenSSL then picks by what the client
 * can check.
 */
#include "net/tls_internal.h"

#include <openssl/x509v3.h>

#include "base/log.h"

#define NAME_MAX_BYTES 253

void tls_names_init(struct tls_names *n, struct arena *a)
{
    n->exact = map_new(a);
    n->wild = map_new(a);
}

/* A host name in lower case, or empty when it is none: no bytes that a name
 * cannot have, no "*" but as the whole first label. */
static struct str clean_name(struct arena *a, const ASN1_STRING *s)
{
    struct str raw = str_from((const char *)ASN1_STRING_get0_data(s),
                              (size_t)ASN1_STRING_length(s));
    char *p;
    size_t i;

    if (raw.len && raw.p[raw.len - 1] == '.')
        raw.len--;
    if (!raw.len || raw.len > NAME_MAX_BYTES)
        return STR_NULL;
    p = arena_raw(a, raw.len);
    for (i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.p[i];

        if (c <= ' ' || c >= 0x7f ||
            (c == '*' && (i || raw.len < 3 || raw.p[1] != '.')))
            return STR_NULL;
        p[i] = char_lower((char)c);
    }
    return str_from(p, raw.len);
}

typedef void name_fn(void *arg, struct str name);

static void each_alt_name(struct arena *a, const GENERAL_NAMES *alts,
                          name_fn *fn, void *arg)
{
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(alts); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(alts, i);
        struct str name = STR_NULL;

        if (g->type == GEN_DNS)
            name = clean_name(a, g->d.dNSName);
        if (name.len)
            fn(arg, name);
    }
}

static void each_name(struct arena *a, const X509 *x, name_fn *fn, void *arg)
{
    GENERAL_NAMES *alts = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    const X509_NAME *subject = X509_get_subject_name(x);
    struct str name;
    int i;

    if (alts) {
        each_alt_name(a, alts, fn, arg);
        GENERAL_NAMES_free(alts);
        return;
    }
    i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (i < 0)
        return;
    name = clean_name(
        a, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (name.len)
        fn(arg, name);
}

/* RSA, EC and the like: what OpenSSL keeps one certificate of each for. */
static int key_type(const struct tls_cert *c)
{
    return EVP_PKEY_get_base_id(c->key);
}

static void set_add(struct tls_cert_set *set, const struct tls_cert *cert)
{
    size_t i;

    for (i = 0; i < set->count; i++)
        if (key_type(set->certs[i]) == key_type(cert))
            return; /* the first one stays */
    if (set->count < TLS_KEY_TYPES)
        set->certs[set->count++] = cert;
}

struct adding {
    struct tls_names *names;
    struct arena *arena;
    const struct tls_cert *cert;
};

static void add_name(void *arg, struct str name)
{
    struct adding *add = arg;
    bool wild = name.p[0] == '*';
    struct map *m = wild ? add->names->wild : add->names->exact;
    struct str key = wild ? str_skip(name, 1) : name;
    struct tls_cert_set *set = map_get(m, key);

    if (!set) {
        set = arena_alloc(add->arena, sizeof(*set));
        map_set(m, key, set);
    }
    set_add(set, add->cert);
}

void tls_names_add(struct tls_names *n, struct arena *a,
                   const struct tls_cert *cert)
{
    struct adding add = { n, a, cert };

    each_name(a, cert->leaf, add_name, &add);
}

const struct tls_cert_set *tls_names_find(const struct tls_names *n,
                                          struct str name)
{
    const struct tls_cert_set *set = map_get(n->exact, name);
    size_t dot;

    if (set)
        return set;
    dot = str_find(name, '.');
    return dot && dot < name.len ? map_get(n->wild, str_skip(name, dot)) : NULL;
}

static void keep_first(void *arg, struct str name)
{
    struct str *first = arg;

    if (!first->len)
        *first = name;
}

struct str tls_names_first(struct arena *a, const struct tls_cert *cert)
{
    struct str first = STR_NULL;

    each_name(a, cert->leaf, keep_first, &first);
    return first;
}
