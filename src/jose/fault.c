/* fault.c - the words of fault.h. */
#include "jose/fault.h"

static const struct {
    const char *name, *text;
} faults[JWT_FAULTS] = {
    [JWT_OK] = { "ok", "the token is valid" },
    [JWT_MALFORMED] = { "malformed", "this is not a well-formed token" },
    [JWT_TOO_LONG] = { "too_long", "the token is longer than is allowed" },
    [JWT_CRITICAL] = { "critical",
                       "the token's header demands an extension that is not "
                       "supported" },
    [JWT_ALG_REFUSED] = { "alg_refused",
                          "the token's algorithm is not allowed here, or not "
                          "the one its key is for" },
    [JWT_UNKNOWN_KEY] = { "unknown_key",
                          "the issuer's key set has no key for this token" },
    [JWT_BAD_SIGNATURE] = { "bad_signature", "the token's signature is wrong" },
    [JWT_WRONG_TYPE] = { "wrong_type",
                         "the token's typ is that of another kind of token" },
    [JWT_WRONG_ISSUER] = { "wrong_issuer", "the token is from another issuer" },
    [JWT_WRONG_AUDIENCE] = { "wrong_audience",
                             "the token is meant for another audience" },
    [JWT_EXPIRED] = { "expired", "the token has expired" },
    [JWT_NOT_YET] = { "not_yet", "the token is not valid yet" },
    [JWT_MISSING_CLAIM] = { "missing_claim",
                            "the token lacks a claim that it must have" },
    [JWT_WRONG_KEY] = { "wrong_key",
                        "the proof's key cannot be used, or the token is "
                        "bound to another one" },
    [JWT_WRONG_METHOD] = { "wrong_method", "the proof is for another method" },
    [JWT_WRONG_URI] = { "wrong_uri", "the proof is for another URI" },
    [JWT_WRONG_TOKEN] = { "wrong_token",
                          "the proof is for another access token" },
};

const char *jwt_fault_name(enum jwt_fault fault)
{
    return (unsigned)fault < JWT_FAULTS ? faults[fault].name : "unknown";
}

const char *jwt_fault_text(enum jwt_fault fault)
{
    return (unsigned)fault < JWT_FAULTS ? faults[fault].text : "unknown";
}
