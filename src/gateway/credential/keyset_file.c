/* keyset_file.c - see keyset_file.h. */
#include "gateway/credential/keyset_file.h"

#include <stdio.h>

#include "base/log.h"
#include "format/openapi.h"
#include "jose/b64.h"

static struct jwks *of_set(struct str path, struct str text,
                           char why[KEYSET_WHY])
{
    struct jwks_report report;
    struct jwks *set = NULL;

    if (jwks_parse(text, 0, &set, &report))
        snprintf(why, KEYSET_WHY,
                 "names %.*s, which is no key set to verify with: %s",
                 STR_ARG(path), report.why);
    return set;
}

static struct jwks *of_pem(struct str path, struct str text,
                           char why[KEYSET_WHY])
{
    const char *what = "";
    struct jwk *key = NULL;

    if (!jwk_from_pem(text, STR_NULL, JOSE_NONE, &key, &what))
        return jwks_new(&key, 1);
    snprintf(why, KEYSET_WHY, "names %.*s, which has no usable key: %s",
             STR_ARG(path), what);
    return NULL;
}

static struct jwks *of_secret(struct arena *a, struct str path, struct str text,
                              char why[KEYSET_WHY])
{
    struct jwks_report report;
    struct jwks *set = NULL;
    struct str key;
    struct buf b;

    while (text.len &&
           (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    buf_init(&b, 8192);
    key = b64url_encode_in(a, text);
    if (buf_printf(&b, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%.*s\"}]}",
                   STR_ARG(key)) ||
        jwks_parse(buf_view(&b), JWK_ALLOW_SECRET, &set, &report))
        snprintf(why, KEYSET_WHY,
                 "names %.*s, which is no secret to verify with: 32 to %d "
                 "bytes are wanted",
                 STR_ARG(path), JWK_SECRET_MAX);
    buf_done(&b);
    return set;
}

enum err keyset_file_read(enum keyset_kind kind, struct str path,
                          struct jwks **out, char why[KEYSET_WHY])
{
    struct arena *a = arena_new();
    struct jwks *set = NULL;
    struct str text;
    enum err e = oas_files.read(oas_files.arg, a, path, &text);

    must(kind != KEYSET_URL);
    if (e)
        snprintf(why, KEYSET_WHY, "names %.*s, which cannot be read (%s)",
                 STR_ARG(path), err_name(e));
    else if (kind == KEYSET_FILE)
        set = of_set(path, text, why);
    else if (kind == KEYSET_PEM)
        set = of_pem(path, text, why);
    else
        set = of_secret(a, path, text, why);
    arena_free(a);
    if (e)
        return e;
    if (!set)
        return ERR_INVALID;
    *out = set;
    return ERR_OK;
}
