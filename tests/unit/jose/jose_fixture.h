/* jose_fixture.h - an arena for each test, files of tests/data/jose, keys. */
#ifndef TG_UNIT_JOSE_FIXTURE_H
#define TG_UNIT_JOSE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "jose/jwt.h"

static struct arena *arena;

static inline int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static inline struct json *parse_json(struct str text)
{
    struct json_error error;
    struct json *j = NULL;

    assert_int_equal(json_parse(arena, text, &json_default_limits, &j, &error),
                     ERR_OK);
    return j;
}

/* name: a path below tests/data/jose. */
static inline struct json *load(const char *name)
{
    struct str path = arena_printf(arena, TEST_DATA_DIR "/jose/%s", name);
    FILE *f = fopen(path.p, "rb");
    char *p = arena_raw(arena, 1 << 20);
    size_t n;

    assert_non_null(f);
    n = fread(p, 1, 1 << 20, f);
    fclose(f);
    assert_in_range(n, 1, (1 << 20) - 1);
    return parse_json(str_from(p, n));
}

static inline struct str write_json(const struct json *j)
{
    struct str text;
    struct buf b;

    buf_init(&b, 1 << 20);
    assert_int_equal(json_write(&b, j), ERR_OK);
    text = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return text;
}

/* Makes a private key: "RSA" takes bits, "EC" a group. The caller frees. */
static inline EVP_PKEY *new_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);

    assert_non_null(key);
    return key;
}

static inline EVP_PKEY *new_ec(const char *group)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);

    assert_non_null(key);
    return key;
}

static inline EVP_PKEY *new_ed25519(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    assert_non_null(key);
    return key;
}

/* The public half as a JWK; the caller (or a set) frees. */
static inline struct jwk *jwk_of(EVP_PKEY *pkey, struct str kid,
                                 enum jose_alg alg)
{
    struct jwk *k = NULL;
    const char *why = "";

    assert_int_equal(jwk_from_pkey(pkey, kid, alg, &k, &why), ERR_OK);
    return k;
}

#endif
