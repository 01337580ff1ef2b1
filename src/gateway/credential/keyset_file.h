/* keyset_file.h - the keys of an issuer out of a file.
 */
#ifndef TG_GATEWAY_CREDENTIAL_KEYSET_FILE_H
#define TG_GATEWAY_CREDENTIAL_KEYSET_FILE_H

#include "jose/jwks.h"

enum keyset_kind {
    KEYSET_URL,    /* a JWKS document, by HTTP */
    KEYSET_FILE,   /* the same in a file */
    KEYSET_PEM,    /* certificate or public key */
    KEYSET_SECRET, /* the bytes of a shared secret but for a last line end */
};

#define KEYSET_WHY 384

/* ERR_INVALID or ERR_IO, with the way out in why ("names x.json, which …"). */
enum err keyset_file_read(enum keyset_kind kind, struct str path,
                          struct jwks **out, char why[KEYSET_WHY]);

#endif
