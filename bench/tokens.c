/* tokens.c - signed tokens (JWT), one a line, each with a jti of its own, of a
 * thousand users and applications:
 *   tokens RS256|ES256 KEY.pem ISSUER FIRST COUNT
 *
 * The rows that check a signature at every call want tens of thousands of
 * them, and the openssl program makes one in the time it takes to start.
 */
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HALF = 32, MOST = 4096, CALLERS = 1000 };

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tokens: %s\n", what);
    exit(1);
}

/* Base64 as in URLs, without padding, behind to. */
static void add_base64(char *to, const unsigned char *bytes, size_t len)
{
    char *p = to + strlen(to);
    int n = EVP_EncodeBlock((unsigned char *)p, bytes, (int)len);

    while (n && p[n - 1] == '=')
        p[--n] = '\0';
    for (; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

/* r and s, each of 32 bytes: what JWS has instead of DER. */
static size_t without_der(unsigned char *signature, size_t len)
{
    const unsigned char *p = signature;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)len);

    must(s != NULL, "no ECDSA signature");
    BN_bn2binpad(ECDSA_SIG_get0_r(s), signature, HALF);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), signature + HALF, HALF);
    ECDSA_SIG_free(s);
    return 2 * HALF;
}

static void write_token(const char *alg, const char *issuer, EVP_PKEY *key,
                        long number)
{
    char json[512], token[MOST] = "";
    unsigned char signature[512];
    size_t len = sizeof(signature);
    long now = (long)time(NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    snprintf(json, sizeof(json), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
    add_base64(token, (unsigned char *)json, strlen(json));
    snprintf(json, sizeof(json),
             "{\"iss\":\"%s\",\"sub\":\"user-%ld@example.com\","
             "\"aud\":[\"https://api.example.com\"],\"iat\":%ld,\"exp\":%ld,"
             "\"jti\":\"5f0f35fc-e5bf-46d1-%012ld\",\"azp\":\"app-%ld\","
             "\"scope\":\"openid profile bytes:read bytes:write\"}",
             issuer, number % CALLERS, now, now + 86400, number,
             number % CALLERS);
    strcat(token, ".");
    add_base64(token, (unsigned char *)json, strlen(json));
    must(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
             EVP_DigestSign(ctx, signature, &len, (unsigned char *)token,
                            strlen(token)) == 1,
         "it cannot sign");
    if (!strcmp(alg, "ES256"))
        len = without_der(signature, len);
    strcat(token, ".");
    add_base64(token, signature, len);
    puts(token);
    EVP_MD_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    EVP_PKEY *key;
    FILE *f;

    must(argc == 6, "tokens RS256|ES256 KEY.pem ISSUER FIRST COUNT");
    f = fopen(argv[2], "r");
    must(f != NULL, "the key cannot be opened");
    key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    must(key != NULL, "the key cannot be read");
    fclose(f);
    for (long n = atol(argv[4]), end = n + atol(argv[5]); n < end; n++)
        write_token(argv[1], argv[3], key, n);
    EVP_PKEY_free(key);
    return 0;
}
