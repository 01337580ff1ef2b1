/* credential_conf.c - keys of gateway.issuers, gateway.authentication
 * and gateway.api_keys. */
#include "gateway/credential/credential_conf.h"

#include "base/conf_units.h"
#include "jose/jws.h"

#define AT(member) offsetof(struct issuer_conf, member)

const struct conf_field issuer_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = AT(name),
      .help = "A short name, for messages and for gateway.apis[].issuers. "
              "Default: the issuer." },
    { .name = "issuer",
      .type = CONF_STRING,
      .at = AT(issuer),
      .required = true,
      .help = "The claim iss of its tokens, to the letter: "
              "https://idp.example.com/realms/main." },
    { .name = "jwks",
      .type = CONF_STRING,
      .at = AT(jwks),
      .help = "Its key set (JWKS): a URL, or a file." },
    { .name = "certificate",
      .type = CONF_STRING,
      .at = AT(certificate),
      .help = "Instead of jwks: a PEM file with its certificate or public "
              "key." },
    { .name = "secret_file",
      .type = CONF_STRING,
      .at = AT(secret_file),
      .help = "Instead of jwks: a file with a shared secret, for HS256, HS384 "
              "and HS512. Whoever has it can issue tokens." },
    { .name = "audiences",
      .type = CONF_STRINGS,
      .at = AT(audiences),
      .help = "A token must name one of these in aud. Empty: not looked at." },
    { .name = "algorithms",
      .type = CONF_STRINGS,
      .at = AT(algorithms),
      .help = "Signature algorithms that are taken. Empty: all of RS256, "
              "RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and "
              "EdDSA; with secret_file HS256, HS384 and HS512." },
    { .name = "types",
      .type = CONF_STRINGS,
      .at = AT(types),
      .help = "Values of the header's typ that are taken. Empty: JWT, at+jwt "
              "and none." },
    { .name = "claims",
      .type = CONF_STRINGS,
      .at = AT(claims),
      .help = "Claims that must be there: NAME, or NAME=VALUE (the value, or "
              "a list with it)." },
    { .name = "scopes_claim",
      .type = CONF_STRING,
      .at = AT(scopes_claim),
      .def = "scope",
      .help = "The claim with the scopes: names with spaces between them, or "
              "a list." },
    { .name = "application_claim",
      .type = CONF_STRING,
      .at = AT(application_claim),
      .def = "azp",
      .help = "The claim that names the client. Where it is missing: "
              "client_id, then sub." },
    { .name = "user_claim",
      .type = CONF_STRING,
      .at = AT(user_claim),
      .def = "sub",
      .help = "The claim that names the user." },
    { .name = "skew",
      .type = CONF_DURATION_MS,
      .at = AT(skew_ms),
      .max = HOUR,
      .def = "5s",
      .help = "How far its clock may differ from ours." },
    { .name = "refresh",
      .type = CONF_DURATION_MS,
      .at = AT(refresh_ms),
      .min = SECOND,
      .max = DAY,
      .def = "10m",
      .help = "How often jwks is fetched again when it is a URL. An answer's "
              "Cache-Control may ask for more (at most once a minute). After "
              "a failure it is tried again after 1s, 2s, 4s and so on; the "
              "keys fetched before stay. Files are read again within a second "
              "of a change." },
    { .name = "unknown_key_interval",
      .type = CONF_DURATION_MS,
      .at = AT(unknown_key_ms),
      .min = 100,
      .max = HOUR,
      .def = "2s",
      .help = "A token with an unknown key id has jwks fetched at once, but "
              "no more often than this." },
    { .name = "unknown_key_wait",
      .type = CONF_DURATION_MS,
      .at = AT(unknown_key_wait_ms),
      .max = MINUTE,
      .def = "4s",
      .help = "How long a call with such a token waits for that, the time "
              "until it may be fetched again included." },
    { .name = "tls",
      .type = CONF_SECTION,
      .at = AT(tls),
      .fields = tls_client_fields,
      .help = "TLS towards jwks, instead of gateway.outbound.tls." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct dpop_conf, member)

static const struct conf_field dpop_fields[] = {
    { .name = "required",
      .type = CONF_BOOL,
      .at = AT(required),
      .help = "Take no tokens but those that are bound to a key. (One that is "
              "bound is never taken without its proof.)" },
    { .name = "max_age",
      .type = CONF_DURATION_MS,
      .at = AT(max_age_ms),
      .min = SECOND,
      .max = 10 * MINUTE,
      .def = "60s",
      .help = "How long ago a proof may have been made (its iat)." },
    { .name = "skew",
      .type = CONF_DURATION_MS,
      .at = AT(skew_ms),
      .max = 5 * MINUTE,
      .def = "5s",
      .help = "How far clients' clocks may differ from ours." },
    { .name = "replays",
      .type = CONF_U64,
      .at = AT(replays),
      .min = 4096,
      .max = 64 * 1024 * 1024,
      .def = "262144",
      .help = "Proofs that are remembered, so that none is taken twice; 16 "
              "bytes each, for about twice max_age. When there is no room, or "
              "one key has made a quarter of them in a minute, calls get 500 "
              "(900900). Takes effect with the next start." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct authentication_conf, member)

const struct conf_field authentication_fields[] = {
    { .name = "header",
      .type = CONF_STRING,
      .at = AT(header),
      .def = "Authorization",
      .help = "The field with tokens and passwords. A document may name "
              "another (x-wso2-auth-header)." },
    { .name = "forward",
      .type = CONF_BOOL,
      .at = AT(forward),
      .help = "Pass credentials on to backends. Else those that were checked "
              "are taken out." },
    { .name = "cache",
      .type = CONF_U64,
      .at = AT(cache),
      .min = 16,
      .max = 1000000,
      .def = "10000",
      .help = "Verified tokens that each thread remembers." },
    { .name = "token_size",
      .type = CONF_SIZE,
      .at = AT(token_size),
      .min = 256,
      .max = 64 * 1024,
      .def = "16k",
      .help = "Longer tokens are refused." },
    { .name = "failures",
      .type = CONF_U64,
      .at = AT(failures),
      .max = 60000,
      .def = "200",
      .help = "Failed authentications of one address (IPv6: of one /64) "
              "within window. Beyond that only what is known to be good "
              "already is taken from there; the rest gets 429 before it is "
              "looked at. 0: no limit." },
    { .name = "window",
      .type = CONF_DURATION_MS,
      .at = AT(window_ms),
      .min = SECOND,
      .max = HOUR,
      .def = "1m",
      .help = "The span over which failures are counted." },
    { .name = "certificate_header",
      .type = CONF_STRING,
      .at = AT(certificate_header),
      .def = "X-WSO2-CLIENT-CERTIFICATE",
      .help = "The field in which trusted_proxies that end TLS pass on the "
              "client's certificate: PEM, as it is or with %XX escapes, or "
              "PEM or DER in base64; Client-Cert means RFC 9440. For calls "
              "from them it is all that counts, not what they show as their "
              "own. From others it means nothing. It does not reach backends "
              "(but see forward). Empty: none is read." },
    { .name = "certificate_ca",
      .type = CONF_STRING,
      .at = AT(certificate_ca),
      .help = "PEM bundle of those who sign certificates in that field. "
              "Empty: only certificates that an API names are taken." },
    { .name = "dpop",
      .type = CONF_SECTION,
      .at = AT(dpop),
      .fields = dpop_fields,
      .help = "Tokens that are bound to a key of the client (DPoP, RFC "
              "9449)." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct key_issuer_conf, member)

const struct conf_field key_issuer_fields[] = {
    { .name = "issuer",
      .type = CONF_STRING,
      .at = AT(issuer),
      .help = "The claim iss of its keys, to the letter. Empty: not looked "
              "at." },
    { .name = "certificate",
      .type = CONF_STRING,
      .at = AT(certificate),
      .help = "PEM file with its certificate or public key." },
    { .name = "jwks",
      .type = CONF_STRING,
      .at = AT(jwks),
      .help = "Instead of certificate: a file with its key set." },
    { .name = "check_apis",
      .type = CONF_BOOL,
      .at = AT(check_apis),
      .def = "true",
      .help = "A key is good for the APIs it names (subscribedAPIs or "
              "allowedAPIs), and for none when it names none. false: such a "
              "key is good for all." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct api_keys_conf, member)

static const char *const key_algorithms[] = { "ES256", "RS256", NULL };

const struct conf_field api_keys_fields[] = {
    { .name = "file",
      .type = CONF_STRING,
      .at = AT(file),
      .help = "The file with the hashes of API keys, as `tollgate apikey new` "
              "writes it. It is read again within a second of a change. "
              "Default: apikeys in state_dir." },
    { .name = "header",
      .type = CONF_STRING,
      .at = AT(header),
      .def = "ApiKey",
      .help = "The field with the key where a document does not name one "
              "(x-wso2-application-security with api_key)." },
    { .name = "query",
      .type = CONF_STRING,
      .at = AT(query),
      .def = "apikey",
      .help = "The query parameter with the key, likewise. Empty: none." },
    { .name = "signed",
      .type = CONF_BOOL,
      .at = AT(take_signed),
      .def = "true",
      .help = "Take keys that this gateway has signed (`tollgate apikey new "
              "--signed`, gateway.apikey_issuer). They are kept nowhere, so "
              "any gateway with the same key takes them." },
    { .name = "algorithm",
      .type = CONF_ENUM,
      .at = AT(algorithm),
      .choices = key_algorithms,
      .help = "How they are signed." },
    { .name = "key",
      .type = CONF_STRING,
      .at = AT(key),
      .help = "PEM file with the private key that signs them, and nothing "
              "else. Default: apikey-ALGORITHM.pem in state_dir, made when it "
              "is missing." },
    { .name = "issuer",
      .type = CONF_STRING,
      .at = AT(issuer),
      .def = "tollgate/apikey",
      .help = "Their claim iss." },
    { .name = "revoked",
      .type = CONF_STRING,
      .at = AT(revoked),
      .help = "The file with the ids (jti) of signed keys that were taken "
              "back, as `tollgate apikey revoke` writes it. It is read again "
              "within a second of a change. Default: apikeys.revoked in "
              "state_dir." },
    { .name = "issuers",
      .type = CONF_SECTIONS,
      .at = AT(issuers),
      .fields = key_issuer_fields,
      .item_size = sizeof(struct key_issuer_conf),
      .help = "Who else may sign keys, such as the platform that issued them "
              "before. They must have token_type apiKey and a jti." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct apikey_issuer_conf, member)

const struct conf_field apikey_issuer_fields[] = {
    { .name = "enabled",
      .type = CONF_BOOL,
      .at = AT(enabled),
      .help = "Issue keys. Needs gateway.api_keys.signed." },
    { .name = "path",
      .type = CONF_STRING,
      .at = AT(path),
      .def = "/apikey",
      .help = "Where: GET or POST with the user's name and password (Basic), "
              "on every listener." },
    { .name = "http",
      .type = CONF_BOOL,
      .at = AT(plain_http),
      .help = "Also on listeners without TLS, where passwords and keys can be "
              "read by who is on the way: behind a balancer that ends TLS." },
    { .name = "validity",
      .type = CONF_DURATION_MS,
      .at = AT(validity_ms),
      .max = 36500 * DAY,
      .def = "0",
      .help = "How long a key is good that was asked for without "
              "validityTime. 0: for ever." },
    { .name = "validity_max",
      .type = CONF_DURATION_MS,
      .at = AT(validity_max_ms),
      .max = 36500 * DAY,
      .def = "0",
      .help = "No key is good for longer, whatever was asked for. 0: no "
              "ceiling." },
    { .name = "apis",
      .type = CONF_STRINGS,
      .at = AT(apis),
      .help = "APIs it issues keys for: NAME or NAME:VERSION (title and "
              "version of their documents). A key that was asked for without "
              "apis is for these. Empty: all." },
    { .name = "scope",
      .type = CONF_STRING,
      .at = AT(scope),
      .help = "A scope that users need to get a key. Empty: none." },
    { .name = "tier",
      .type = CONF_STRING,
      .at = AT(tier),
      .help = "The limit for calls with these keys, by name, counted for each "
              "user. Empty: none of their own." },
    { 0 },
};

#undef AT
#define AT(member) offsetof(struct backend_jwt_conf, member)

static const char *const signing_names[] = { "RS256", "ES256", NULL };

const struct conf_field backend_jwt_fields[] = {
    { .name = "enabled",
      .type = CONF_BOOL,
      .at = AT(enabled),
      .help = "Tell backends who called." },
    { .name = "header",
      .type = CONF_STRING,
      .at = AT(header),
      .def = "X-JWT-Assertion",
      .help = "The field it is sent in. What clients send there never "
              "passes." },
    { .name = "issuer",
      .type = CONF_STRING,
      .at = AT(issuer),
      .def = "wso2.org/products/am",
      .help = "Its claim iss." },
    { .name = "audience",
      .type = CONF_STRING,
      .at = AT(audience),
      .help = "Its claim aud. Empty: none." },
    { .name = "dialect",
      .type = CONF_STRING,
      .at = AT(dialect),
      .def = "http://wso2.org/claims/",
      .help = "What names of the claims about caller and API begin with." },
    { .name = "claims",
      .type = CONF_STRINGS,
      .at = AT(claims),
      .help = "Claims of the caller's own token that are copied." },
    { .name = "algorithm",
      .type = CONF_ENUM,
      .at = AT(algorithm),
      .choices = signing_names,
      .help = "How it is signed." },
    { .name = "ttl",
      .type = CONF_DURATION_MS,
      .at = AT(ttl_ms),
      .min = 2 * MINUTE,
      .max = DAY,
      .def = "15m",
      .help = "How long it is good. It is made once for a caller and used "
              "until a minute before." },
    { .name = "key",
      .type = CONF_STRING,
      .at = AT(key),
      .help = "PEM file with the private key. Default: signing-ALGORITHM.pem "
              "in state_dir, made when it is missing. Its public half is "
              "served at /jwks on every listener." },
    { 0 },
};
