/* map.h - string keys to pointers; seeded hash, so that who chooses keys
 * cannot choose collisions.
 *
 * Keys are not copied: they must live as long as the map. Insertion order is
 * kept for iteration. Threads: readers may share a map nobody changes.
 */
#ifndef TG_BASE_MAP_H
#define TG_BASE_MAP_H

#include "base/arena.h"

struct map;

/* In the arena when one is given (then never freed by hand), else malloc. */
struct map *map_new(struct arena *a);
/* Only for maps without an arena. NULL is fine. */
void map_free(struct map *m);
/* NULL when there is none. */
void *map_get(const struct map *m, struct str key);
/* Sets or replaces; returns the value that was there, or NULL. value must not
 * be NULL. */
void *map_set(struct map *m, struct str key, void *value);
/* Removes; returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct str key);
size_t map_count(const struct map *m);
/* Visits in insertion order: start with *at = 0; false at the end. The map
 * must not change meanwhile. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* Seeded hash of bytes (SipHash-1-3), the seed drawn once per process. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same with a case-folded (ASCII) view of the bytes. */
uint64_t hash_nocase(const void *p, size_t n);
/* Unseeded 64-bit FNV-1a: for content that is compared over time (has this
 * file changed), never for tables that strangers fill. */
uint64_t hash_content(uint64_t h, const void *p, size_t n);
#define HASH_CONTENT_START 0xcbf29ce484222325ull

#endif
