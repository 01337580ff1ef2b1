/* openapi_find.c - which files of a folder are documents.
 *
 * Thousands of files may lie in a folder, and some are only referred to, so a
 * file is not parsed here: its text is scanned for the two keys at the root,
 * the first few KiB first, as most documents begin with one of them. What the
 * scan makes of a broken file does not matter: with the key it is loaded, and
 * then told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/openapi_internal.h"

enum {
    DEPTH_MAX = 8,
    FOUND_MAX = 100 * 1000,
    ENTRIES_MAX = 1000 * 1000,
    HEAD_BYTES = 8 * 1024,
};

enum answer { NO, YES, UNCLEAR };

struct item {
    struct str path;
    struct item *next;
};

struct search {
    struct arena *a, *scratch;
    struct problems *ps;
    struct map *seen; /* folders by device and number: links may be circular */
    struct item *first, **last;
    size_t count, entries;
};

static bool is_mark(struct str key)
{
    return str_is(key, "openapi") || str_is(key, "swagger");
}

/* The end of a string that begins at i with a quote, or s.len. */
static size_t string_end(struct str s, size_t i)
{
    for (i++; i < s.len && s.p[i] != '"'; i++)
        if (s.p[i] == '\\')
            i++;
    return i < s.len ? i : s.len;
}

/* JSON: a key at depth one. */
static enum answer scan_json(struct str s)
{
    struct str last = STR_NULL; /* the string before this place, if any */
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];

        if (c == '"') {
            size_t end = string_end(s, i);

            last = depth == 1 ? str_from(s.p + i + 1, end - i - 1) : STR_NULL;
            i = end;
        } else if (c == ':' && last.p) {
            if (is_mark(last))
                return YES;
            last = STR_NULL;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && (!depth || !--depth)) {
            return NO;
        }
    }
    return UNCLEAR;
}

/* YAML: a line that begins with a key. */
static enum answer scan_yaml(struct str s)
{
    while (s.p) {
        struct str line = str_cut(&s, '\n');
        struct str key = str_trim(str_head(line, str_find(line, ':')));

        if (key.len == line.len || key.p != line.p)
            continue;
        if (key.len > 2 && (key.p[0] == '"' || key.p[0] == '\'') &&
            key.p[key.len - 1] == key.p[0])
            key = str_from(key.p + 1, key.len - 2);
        if (is_mark(key))
            return YES;
    }
    return UNCLEAR;
}

static enum answer scan(struct str s)
{
    if (str_starts(s, STR("\xef\xbb\xbf")))
        s = str_skip(s, 3);
    while (s.len && strchr(" \t\r\n", s.p[0]) && s.p[0])
        s = str_skip(s, 1);
    return str_starts(s, STR("{")) ? scan_json(s) : scan_yaml(s);
}

static bool read_exactly(int fd, char *p, size_t from, size_t to)
{
    while (from < to) {
        ssize_t n = read(fd, p + from, to - from);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += (size_t)n;
    }
    return true;
}

/* Reads the head, and the rest only when the head does not tell. */
static enum err scan_file(int fd, bool *yes)
{
    struct stat st;
    size_t size, head;
    enum answer answer;
    char *p;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return ERR_IO;
    if (st.st_size > OAS_FILE_BYTES)
        return ERR_LIMIT;
    size = (size_t)st.st_size;
    head = size < HEAD_BYTES ? size : HEAD_BYTES;
    p = x_array(size + 1, 1);
    if (!read_exactly(fd, p, 0, head)) {
        x_free(p);
        return ERR_IO;
    }
    answer = scan(str_from(p, head));
    if (answer == UNCLEAR && head < size) {
        if (!read_exactly(fd, p, head, size)) {
            x_free(p);
            return ERR_IO;
        }
        answer = scan(str_from(p, size));
    }
    x_free(p);
    *yes = answer == YES;
    return ERR_OK;
}

static void add_file(struct search *s, struct str path)
{
    struct item *i = arena_alloc(s->scratch, sizeof(*i));

    i->path = path;
    *s->last = i;
    s->last = &i->next;
    s->count++;
}

static void look_at_file(struct search *s, struct str path)
{
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool yes = false;
    enum err e = fd < 0 ? ERR_IO : scan_file(fd, &yes);

    if (fd >= 0)
        close(fd);
    if (e == ERR_LIMIT)
        problem_error(s->ps, path, 0, "is larger than 64 MiB");
    else if (e)
        problem_error(s->ps, path, 0, "cannot be read");
    else if (yes)
        add_file(s, path);
}

static bool has_ending(struct str name)
{
    return str_ends(name, STR(".json")) || str_ends(name, STR(".yaml")) ||
           str_ends(name, STR(".yml"));
}

/* Whether this folder was not visited yet. */
static bool is_new(struct search *s, const struct stat *st)
{
    char *key = arena_alloc(s->scratch, 2 * sizeof(uint64_t));
    uint64_t parts[2] = { st->st_dev, st->st_ino };

    memcpy(key, parts, sizeof(parts));
    return !map_set(s->seen, str_from(key, sizeof(parts)), s);
}

static void look_into(struct search *s, struct str path, int depth);

static void look_at(struct search *s, struct str folder, const char *name,
                    int depth)
{
    struct stat st;
    struct str path;
    const char *slash = str_ends(folder, STR("/")) ? "" : "/";

    path = arena_printf(s->a, "%.*s%s%s", STR_ARG(folder), slash, name);
    if (stat(path.p, &st)) {
        if (has_ending(path))
            problem_error(s->ps, path, 0, "cannot be read");
    } else if (S_ISDIR(st.st_mode)) {
        if (is_new(s, &st))
            look_into(s, path, depth + 1);
    } else if (has_ending(path)) {
        look_at_file(s, path);
    }
}

static bool too_many(struct search *s, struct str path)
{
    if (s->count < FOUND_MAX && s->entries < ENTRIES_MAX)
        return false;
    problem_error(s->ps, path, 0,
                  "has too many files: at most %d documents "
                  "and %d entries are read",
                  FOUND_MAX, ENTRIES_MAX);
    return true;
}

static void look_into(struct search *s, struct str path, int depth)
{
    struct dirent *entry;
    DIR *dir;

    if (depth > DEPTH_MAX) {
        problem_error(s->ps, path, 0,
                      "folders may lie in each other at most "
                      "%d deep",
                      DEPTH_MAX);
        return;
    }
    dir = opendir(path.p);
    if (!dir) {
        problem_error(s->ps, path, 0, "the folder cannot be read");
        return;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (too_many(s, path))
            break;
        s->entries++;
        look_at(s, path, entry->d_name, depth);
    }
    closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void collect(struct search *s, struct conf_strings *files)
{
    size_t n = 0;

    files->items = arena_alloc(s->a, s->count * sizeof(*files->items));
    files->count = s->count;
    for (struct item *i = s->first; i; i = i->next)
        files->items[n++] = i->path;
    if (n)
        qsort(files->items, n, sizeof(*files->items), by_name);
}

static void search(struct search *s, struct str path)
{
    struct stat st;

    if (!path.len || memchr(path.p, 0, path.len) || stat(path.p, &st)) {
        problem_error(s->ps, path, 0, "there is no such file or folder");
    } else if (!S_ISDIR(st.st_mode)) {
        add_file(s, path);
    } else {
        (void)is_new(s, &st);
        look_into(s, path, 0);
        if (!s->count)
            problem_warn(s->ps, path, 0,
                         "no OpenAPI document is in this "
                         "folder");
    }
}

enum err openapi_find(struct arena *a, struct str path, struct problems *ps,
                      struct conf_strings *files)
{
    struct search s = { .a = a, .ps = ps };
    size_t errors = ps->errors;

    s.scratch = arena_new();
    s.seen = map_new(s.scratch);
    s.last = &s.first;
    search(&s, arena_copy(a, path));
    if (ps->errors == errors)
        collect(&s, files);
    arena_free(s.scratch);
    return ps->errors == errors ? ERR_OK : ERR_INVALID;
}
