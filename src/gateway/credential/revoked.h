/* revoked.h - signed API keys that were taken back, by their id (jti).
 *
 * A signed key is kept nowhere, so what is kept is who is refused: a file with
 * one JSON object per line, {"id":"…","revoked":N,"expires":N}, times in
 * seconds since 1970. An entry whose key has expired a day ago goes when the
 * file is written the next time; of a key whose end nobody knew it stays for
 * ever.
 *
 * A table is immutable; a changed file is a new table. Threads: any may look
 * up; who writes takes the file's lock.
 */
#ifndef TG_GATEWAY_CREDENTIAL_REVOKED_H
#define TG_GATEWAY_CREDENTIAL_REVOKED_H

#include "base/problem.h"

#define REVOKED_ID_MAX 256 /* bytes of an id; keys with longer ones are none */

struct revoked;

/* Reads the file; one that is not there is an empty table. ERR_INVALID, ERR_IO
 * with a problem that names file and line. */
enum err revoked_load(struct str path, struct problems *ps,
                      struct revoked **out);
void revoked_free(void *table); /* NULL is fine */
size_t revoked_count(const struct revoked *r);
/* Never the same twice in this process. */
uint64_t revoked_number(const struct revoked *r);
bool revoked_has(const struct revoked *r, struct str id);

/* Adds an id; one that is there already stays as it is. expires_s 0: not
 * known, or never. ERR_LIMIT: an id that no key can have. Else with a
 * problem. */
enum err revoked_add(struct str path, struct str id, uint64_t expires_s,
                     uint64_t now_s, struct problems *ps);

#endif
