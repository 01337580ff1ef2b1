/* password.c - see password.h. */
#include "gateway/credential/password.h"

#include <argon2.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/clock.h"
#include "base/log.h"

enum { SALT = 16, HASH = 32, MEMORY_KIB = 19456, PASSES = 2, LANES = 1 };
enum { MEMORY_KIB_MAX = 256 * 1024, PASSES_MAX = 16, LANES_MAX = 16 };
enum { TEXT_MAX = 512 };

/* ---- forms ---- */

static int hex_digit(char c)
{
    c = char_lower(c);
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool read_hex(struct str s, unsigned char *out, size_t n)
{
    if (s.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* The digest a SHA form holds; NULL: it is none. */
static const EVP_MD *read_sha(struct str s, unsigned char out[64], size_t *n)
{
    static const struct {
        struct str before;
        size_t bytes;
    } forms[] = { { { "@sha256:{", 9 }, 32 }, { { "@sha512:{", 9 }, 64 } };

    *n = 20;
    if (read_hex(s, out, 20))
        return EVP_sha1();
    for (int i = 0; i < 2; i++) {
        struct str hex = str_skip(s, forms[i].before.len);

        if (!str_starts(s, forms[i].before) || !str_ends(hex, STR("}")))
            continue;
        *n = forms[i].bytes;
        if (read_hex(str_head(hex, hex.len - 1), out, *n))
            return i ? EVP_sha512() : EVP_sha256();
    }
    return NULL;
}

/* "m=19456," from *rest: the number. */
static bool number(struct str *rest, const char *name, char end, uint64_t max)
{
    struct str one = str_cut(rest, end);
    uint64_t n;

    return str_starts(one, str_z(name)) &&
           !str_to_u64(str_skip(one, strlen(name)), max, &n) && n > 0;
}

static bool bounded_argon2(struct str s)
{
    struct str rest = str_skip(s, 10);

    return str_starts(s, STR("$argon2id$")) && number(&rest, "v=", '$', 19) &&
           number(&rest, "m=", ',', MEMORY_KIB_MAX) &&
           number(&rest, "t=", ',', PASSES_MAX) &&
           number(&rest, "p=", '$', LANES_MAX) && rest.len > 0;
}

enum err password_check_form(struct str hash, enum password_form *form,
                             const char **why)
{
    unsigned char bytes[64];
    size_t n;

    if (hash.len < TEXT_MAX && str_starts(hash, STR("$argon2id$"))) {
        *form = PASSWORD_ARGON2ID;
        *why = "asks for more than 256 MiB, 16 passes or 16 lanes, or is no "
               "argon2id hash";
        return bounded_argon2(hash) ? ERR_OK : ERR_INVALID;
    }
    *form = PASSWORD_SHA;
    *why = "must be a hash: `tollgate password` makes one; @sha256:{hex}, "
           "@sha512:{hex} and hex of SHA-1 are taken as well";
    return hash.len < TEXT_MAX && read_sha(hash, bytes, &n) ? ERR_OK
                                                            : ERR_INVALID;
}

/* ---- comparing ---- */

static bool sha_matches(struct str hash, struct str password)
{
    unsigned char want[64], have[64];
    unsigned len = sizeof(have);
    size_t n;
    const EVP_MD *md = read_sha(hash, want, &n);

    if (!md || !EVP_Digest(password.p ? password.p : "", password.len, have,
                           &len, md, NULL))
        return false;
    return CRYPTO_memcmp(want, have, n) == 0;
}

bool password_matches(struct str hash, struct str password)
{
    if (password.len > PASSWORD_MAX)
        return false;
    if (!str_starts(hash, STR("$argon2id$")))
        return sha_matches(hash, password);
    return argon2id_verify(hash.p, password.p ? password.p : "",
                           password.len) == ARGON2_OK;
}

enum err password_hash(struct arena *a, struct str password, struct str *out)
{
    unsigned char salt[SALT];
    size_t room =
        argon2_encodedlen(PASSES, MEMORY_KIB, LANES, SALT, HASH, Argon2_id);
    char *text = arena_raw(a, room);

    if (password.len > PASSWORD_MAX)
        return ERR_LIMIT;
    random_bytes(salt, sizeof(salt));
    if (argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password.p,
                              password.len, salt, SALT, HASH, text,
                              room) != ARGON2_OK)
        return ERR_IO;
    *out = str_z(text);
    return ERR_OK;
}

struct str password_nobody(void)
{
    return STR("$argon2id$v=19$m=19456,t=2,p=1$dG9sbGdhdGUubm9ib2R5"
               "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
}
