/* fault.h - why a token is not good, in one word and in one sentence.
 *
 * The same vocabulary for JWS, JWT and DPoP proofs: whoever refuses a call
 * turns it into a status, a log line and an explanation.
 */
#ifndef TG_JOSE_FAULT_H
#define TG_JOSE_FAULT_H

enum jwt_fault {
    JWT_OK = 0,
    JWT_MALFORMED,      /* not the form it must have; `what` says where */
    JWT_TOO_LONG,       /* more bytes than the caller takes */
    JWT_CRITICAL,       /* its header has "crit", or "b64": false */
    JWT_ALG_REFUSED,    /* not allowed here, or not what the key is for */
    JWT_UNKNOWN_KEY,    /* no such kid: a newer key set may have it */
    JWT_BAD_SIGNATURE,  /* the keys that fit say no */
    JWT_WRONG_TYPE,     /* its typ is another kind of token's */
    JWT_WRONG_ISSUER,   /* iss is not the one that was expected */
    JWT_WRONG_AUDIENCE, /* aud names none of ours */
    JWT_EXPIRED,        /* exp has passed; DPoP: iat is too old */
    JWT_NOT_YET,        /* nbf, or iat by far, lies ahead */
    JWT_MISSING_CLAIM,  /* one that must be there is not */
    JWT_WRONG_KEY,      /* DPoP: jwk unusable, or not the key it should be */
    JWT_WRONG_METHOD,   /* DPoP: htm */
    JWT_WRONG_URI,      /* DPoP: htu */
    JWT_WRONG_TOKEN,    /* DPoP: ath is of another access token */
    JWT_FAULTS,
};

/* "ok", "malformed", "unknown_key", …: for logs, metrics, rules. */
const char *jwt_fault_name(enum jwt_fault fault);
/* A sentence without full stop, for a person. */
const char *jwt_fault_text(enum jwt_fault fault);

#endif
