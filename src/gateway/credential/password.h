/* password.h - hashes of passwords: argon2id (RFC 9106), and for those who
 * come from the model its SHA forms.
 *
 *   $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH   as `tollgate password` makes it
 *   @sha256:{hex}  @sha512:{hex}  hex of SHA-1, 40 digits
 */
#ifndef TG_GATEWAY_CREDENTIAL_PASSWORD_H
#define TG_GATEWAY_CREDENTIAL_PASSWORD_H

#include "base/arena.h"

#define PASSWORD_MAX 1024 /* bytes of a password */

enum password_form { PASSWORD_ARGON2ID, PASSWORD_SHA };

/* Whether text is one of these, and not too costly (256 MiB, 16 passes, 16
 * lanes at most); *why is a static sentence else. */
enum err password_check_form(struct str hash, enum password_form *form,
                             const char **why);
/* Compares without telling by its time where they differ. hash: of a good
 * form, NUL-terminated. Argon2 takes milliseconds: not on a loop thread. */
bool password_matches(struct str hash, struct str password);
/* A new argon2id hash, with a random salt. ERR_LIMIT: longer than
 * PASSWORD_MAX. */
enum err password_hash(struct arena *a, struct str password, struct str *out);
/* Of no password that anybody has: what unknown users are compared with. */
struct str password_nobody(void);

#endif
