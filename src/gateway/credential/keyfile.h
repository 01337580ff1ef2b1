/* keyfile.h - API keys: what they look like, and the file with their hashes.
 *
 * A key is text, "tg_ID_SECRETCHECK": ten characters that name it, 43 of a
 * secret with 256 bits, and six that catch a typing error and let scanners
 * for leaked keys be sure. The file has no secrets, only SHA-256 of the whole
 * text; one JSON object per line:
 *
 *   {"id":"…","hash":"…","name":"orders","apis":["Shop:1.0"],"created":N, …}
 *
 * Times are seconds since 1970. A table is immutable; a changed file is a new
 * table. Threads: any may look up; who writes takes the file's lock.
 */
#ifndef TG_GATEWAY_CREDENTIAL_KEYFILE_H
#define TG_GATEWAY_CREDENTIAL_KEYFILE_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/problem.h"

#define API_KEY_ID 10
#define API_KEY_SECRET 43
#define API_KEY_CHECK 6
#define API_KEY_TEXT (3 + API_KEY_ID + 1 + API_KEY_SECRET + API_KEY_CHECK)

struct trust;

struct api_key {
    struct str id;
    unsigned char hash[32];
    struct str name;              /* of the application */
    struct conf_strings apis;     /* NAME or NAME:VERSION; none: all */
    struct conf_strings ips;      /* addresses and ranges; none: any */
    struct conf_strings referers; /* with *; none: any */
    struct conf_strings scopes;
    struct str tier;                          /* empty: none of its own */
    uint64_t created_s, expires_s, revoked_s; /* 0: never */
    const struct trust *addresses;            /* of ips */
    /* Of signed keys (signed_key.h) only: */
    struct str owner; /* the user it was issued to */
    bool apis_hold;   /* also when apis is empty: then it is for none */
};

struct keyfile;

/* Where a call comes from, for what a key is bound to. */
struct key_use {
    struct str api, version;
    const uint8_t *ip; /* 16 bytes */
    struct str referer;
    uint64_t now_s;
};

enum key_verdict {
    KEY_GOOD,
    KEY_MALFORMED, /* not the form of a key */
    KEY_UNKNOWN,   /* no such key, or another secret */
    KEY_REVOKED,
    KEY_EXPIRED,
    KEY_OTHER_API,
    KEY_OTHER_ADDRESS,
    KEY_OTHER_REFERER,
};

/* Reads the file; one that is not there is an empty table. ERR_INVALID, ERR_IO
 * with a problem that names file and line. */
enum err keyfile_load(struct str path, struct problems *ps,
                      struct keyfile **out);
void keyfile_free(struct keyfile *k); /* NULL is fine */
size_t keyfile_count(const struct keyfile *k);
/* In the file's order. */
const struct api_key *keyfile_at(const struct keyfile *k, size_t i);

/* Whether a key that is known to be genuine may be used so. */
enum key_verdict api_key_judge(const struct api_key *key,
                               const struct key_use *use);
/* *out is set for all but the first two failures. Unknown ids and wrong
 * secrets take the same way. NULL knows no key. */
enum key_verdict keyfile_check(const struct keyfile *k, struct str text,
                               const struct key_use *use,
                               const struct api_key **out);

/* The key of that id, or NULL. */
const struct api_key *keyfile_find(const struct keyfile *k, struct str id);

/* A new key: text gets API_KEY_TEXT characters and a NUL, the only copy of
 * the secret; id and hash of *key are set, the rest is the caller's. */
void api_key_make(struct arena *a, struct api_key *key,
                  char text[API_KEY_TEXT + 1]);
/* Appends a key to the file, or marks one as revoked: under its lock, and so
 * that a reader sees the old file or the new one, also when the machine stops
 * in between. Makes the file (0600). ERR_NOT_FOUND: no such id. Else with a
 * problem. */
enum err keyfile_add(struct str path, const struct api_key *key,
                     struct problems *ps);
enum err keyfile_revoke(struct str path, struct str id, uint64_t now_s,
                        struct problems *ps);

/* One key as a line of the file, without the line end. */
enum err api_key_write(struct buf *b, const struct api_key *key);
/* Whether text ends up at pattern, in which * stands for anything; letters
 * count alike. */
bool referer_matches(struct str pattern, struct str referer);

#endif
