/* json.h - JSON text to a tree and back (RFC 8259), strictly.
 *
 * The tree is also what YAML is read into (yaml.h), so every reader of
 * documents and settings knows one form. Nodes live in an arena, know the
 * line they began on, and keep numbers as their text, so nothing loses
 * precision on the way through.
 *
 * Strict: one value, only white space around it, no comments, no trailing
 * commas, valid UTF-8 without lone surrogates, no control characters in
 * strings, no duplicate keys (ERR_INVALID unless allowed). A byte-order mark
 * is refused.
 */
#ifndef TG_FORMAT_JSON_H
#define TG_FORMAT_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/problem.h"

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json {
    enum json_type type;
    bool boolean;              /* BOOL */
    uint32_t line;             /* where it began, from 1 */
    uint32_t count;            /* ARRAY, OBJECT: members */
    struct str text;           /* STRING: decoded; NUMBER: as written */
    struct str key;            /* as a member of an object: its name, decoded */
    uint32_t key_line;         /* and the line of that name */
    struct json *first, *last; /* ARRAY, OBJECT: members in order */
    struct json *next;         /* the next member of the same parent */
    struct map *index; /* OBJECT with many members; private to json_get() */
};

struct json_limits {
    size_t max_bytes; /* of text */
    size_t max_depth; /* of nesting, at most 1000 */
    size_t max_nodes;
    bool duplicate_keys; /* allowed, the last one wins */
};
/* 64 MiB, depth 256, 10 million nodes, duplicates refused. */
extern const struct json_limits json_default_limits;

struct json_error {
    uint32_t line, column; /* from 1 */
    const char *what;      /* a static sentence fragment */
};

/* Parses all of text. The tree may point into text, which must live as long
 * as the arena. ERR_INVALID or ERR_LIMIT with *error filled. */
enum err json_parse(struct arena *a, struct str text,
                    const struct json_limits *limits, struct json **out,
                    struct json_error *error);

/* The member named key, or NULL; NULL also when o is NULL or no object. */
struct json *json_get(const struct json *o, struct str key);
#define json_at(o, literal) json_get(o, STR(literal))
/* The text of a string, or STR_NULL when it is none (or NULL). */
struct str json_str(const struct json *j);
/* true only for the boolean true. */
bool json_true(const struct json *j);
/* A whole number in [0, max] without fraction or exponent. */
enum err json_u64(const struct json *j, uint64_t max, uint64_t *out);
/* "object", "array", "string", "number", "boolean", "null". */
const char *json_type_name(const struct json *j);

/* Follows an RFC 6901 pointer ("/paths/~1pets/get"; "" is root). Percent
 * escapes must be decoded before. NULL when it leads nowhere. */
struct json *json_pointer(struct json *root, struct str pointer);

/* Building trees by hand. */
struct json *json_new(struct arena *a, enum json_type type);
struct json *json_new_str(struct arena *a, struct str s);
void json_append(struct json *array, struct json *item);
/* The key must not be in the object yet. */
void json_member(struct json *object, struct str key, struct json *value);
/* Makes json_get() fast on an object with many members that was built by
 * hand; parsed ones have it. Later members are kept in it. */
void json_index(struct arena *a, struct json *object);

/* Writes compact text. ERR_LIMIT when the buffer is full. */
enum err json_write(struct buf *b, const struct json *j);
/* Writes s as a JSON string with quotes; bytes that are not UTF-8 become
 * U+FFFD. */
enum err json_write_str(struct buf *b, struct str s);

#endif
