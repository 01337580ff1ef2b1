/* countries.h - which country an address is in, by a database in MaxMind's
 * format (GeoLite2-Country, DB-IP, …).
 *
 * What is mapped is a copy that nobody can change: to write into a mapped file,
 * or to cut it, as cp does, would end the process. Threads: any may look up.
 */
#ifndef TG_GATEWAY_DENY_COUNTRIES_H
#define TG_GATEWAY_DENY_COUNTRIES_H

#include "base/problem.h"

struct countries;

/* ERR_NOT_FOUND, ERR_INVALID, ERR_LIMIT, ERR_IO with a problem. */
enum err countries_load(struct str path, struct problems *ps,
                        struct countries **out);
void countries_free(struct countries *c); /* NULL is fine */
/* ISO 3166-1 code of two letters; false: nobody knows. ip: 16 bytes. */
bool countries_find(const struct countries *c, const uint8_t ip[16],
                    char out[2]);

#endif
