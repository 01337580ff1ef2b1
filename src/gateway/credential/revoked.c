/* revoked.c - see revoked.h. */
#include "gateway/credential/revoked.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/whole_file.h"
#include "format/json.h"

enum {
    ENTRIES_MAX = 1000000,
    LINE_MAX_BYTES = 4096,
    FILE_MAX_BYTES = 512 << 20,
};
enum { LEEWAY_S = 24 * 3600 }; /* clocks differ, and issuers' keys have skew */

struct entry {
    struct str id;
    uint64_t revoked_s, expires_s;
};

struct revoked {
    struct arena *arena;
    uint64_t number;
    struct str path;
    struct map *by_id; /* struct entry */
};

/* ---- reading ---- */

static bool read_time(const struct json *line, struct str name, uint64_t *out)
{
    const struct json *j = json_get(line, name);

    return !j || !json_u64(j, UINT32_MAX * 1000ull, out);
}

/* What is wrong with a line, or NULL. */
static const char *read_line(struct revoked *r, struct str text)
{
    const struct json_limits limits = { LINE_MAX_BYTES, 2, 16, false };
    struct arena *scratch = arena_new();
    struct json_error error = { 0 };
    const char *wrong = NULL;
    struct entry *e = arena_alloc(r->arena, sizeof(*e));
    struct json *j;

    if (json_parse(scratch, text, &limits, &j, &error)) {
        wrong = error.what;
    } else {
        e->id = arena_copy(r->arena, json_str(json_at(j, "id")));
        if (!e->id.len || e->id.len > REVOKED_ID_MAX)
            wrong = "is no revoked key: an object with id is wanted";
        else if (!read_time(j, STR("revoked"), &e->revoked_s) ||
                 !read_time(j, STR("expires"), &e->expires_s))
            wrong = "a time is seconds since 1970";
        else
            map_set(r->by_id, e->id, e);
    }
    arena_free(scratch);
    return wrong;
}

static bool read_lines(struct revoked *r, struct str text, struct problems *ps)
{
    const char *wrong = NULL;

    for (uint32_t line = 1; text.p; line++) {
        struct str one = str_trim(str_cut(&text, '\n'));

        if (!one.len)
            continue;
        wrong = map_count(r->by_id) < ENTRIES_MAX
                    ? read_line(r, one)
                    : "there are more than a million revoked keys";
        if (wrong) {
            problem_error(ps, r->path, line, "%s", wrong);
            return false;
        }
    }
    return true;
}

enum err revoked_load(struct str path, struct problems *ps,
                      struct revoked **out)
{
    static _Atomic uint64_t numbers;
    struct arena *a = arena_new();
    struct revoked *r = arena_alloc(a, sizeof(*r));
    struct str text = STR("");
    enum err e;

    r->arena = a;
    r->number = 1 + atomic_fetch_add(&numbers, 1);
    r->path = arena_copy(a, path);
    r->by_id = map_new(a);
    e = whole_file_read(a, r->path, FILE_MAX_BYTES, ps, &text);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK; /* there are none yet */
    if (!e && !read_lines(r, text, ps))
        e = ERR_INVALID;
    if (e) {
        revoked_free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void revoked_free(void *table)
{
    struct revoked *r = table;

    if (r)
        arena_free(r->arena);
}

size_t revoked_count(const struct revoked *r)
{
    return map_count(r->by_id);
}

uint64_t revoked_number(const struct revoked *r)
{
    return r->number;
}

bool revoked_has(const struct revoked *r, struct str id)
{
    return map_get(r->by_id, id) != NULL;
}

/* ---- writing ---- */

static enum err write_entry(struct buf *b, const struct entry *e)
{
    enum err bad = buf_z(b, "{\"id\":");

    if (!bad)
        bad = json_write_str(b, e->id);
    if (!bad && e->revoked_s)
        bad = buf_printf(b, ",\"revoked\":%llu",
                         (unsigned long long)e->revoked_s);
    if (!bad && e->expires_s)
        bad = buf_printf(b, ",\"expires\":%llu",
                         (unsigned long long)e->expires_s);
    return bad ? bad : buf_z(b, "}\n");
}

static enum err write_all(const struct revoked *r, uint64_t now_s,
                          struct problems *ps)
{
    struct buf b;
    struct str id;
    void *value;
    size_t at = 0;
    enum err e = ERR_OK;

    buf_init(&b, FILE_MAX_BYTES);
    while (!e && map_next(r->by_id, &at, &id, &value)) {
        const struct entry *one = value;

        if (!one->expires_s || now_s < one->expires_s + LEEWAY_S)
            e = write_entry(&b, one);
    }
    if (e)
        problem_error(ps, r->path, 0, "there is no room for more");
    else
        e = whole_file_replace(r->path, buf_view(&b), ps);
    buf_done(&b);
    return e;
}

static enum err add(struct str path, const struct entry *more,
                    struct problems *ps)
{
    struct revoked *r;
    enum err e = revoked_load(path, ps, &r);

    if (e)
        return e;
    if (!map_get(r->by_id, more->id)) {
        map_set(r->by_id, more->id, (void *)(uintptr_t)more);
        e = write_all(r, more->revoked_s, ps);
    }
    revoked_free(r);
    return e;
}

enum err revoked_add(struct str path, struct str id, uint64_t expires_s,
                     uint64_t now_s, struct problems *ps)
{
    struct entry more = { id, now_s, expires_s };
    enum err e = ERR_IO;
    int lock;

    if (!id.len || id.len > REVOKED_ID_MAX)
        return ERR_LIMIT;
    lock = whole_file_lock(path, ps);
    if (lock >= 0) {
        e = add(path, &more, ps);
        close(lock);
    }
    return e;
}
