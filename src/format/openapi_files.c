/* openapi_files.c - the files of a document, each read and parsed once. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/openapi_internal.h"
#include "format/yaml.h"

static enum err read_all(int fd, struct arena *a, struct str *text)
{
    struct stat st;
    size_t size, n = 0;
    char *p;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return ERR_IO;
    if (st.st_size > OAS_FILE_BYTES)
        return ERR_LIMIT;
    size = (size_t)st.st_size;
    p = arena_raw(a, size + 1);
    while (n < size) {
        ssize_t got = read(fd, p + n, size - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_IO;
        if (!got)
            break; /* it became shorter meanwhile */
        n += (size_t)got;
    }
    *text = str_from(p, n);
    return ERR_OK;
}

static enum err read_file(void *arg, struct arena *a, struct str path,
                          struct str *text)
{
    int fd;
    enum err e;

    (void)arg;
    if (memchr(path.p, 0, path.len))
        return ERR_NOT_FOUND;
    /* Not blocking, in case it is a pipe that nobody writes to. */
    fd = open(arena_copy(a, path).p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
    e = read_all(fd, a, text);
    close(fd);
    return e;
}

const struct oas_source oas_files = { read_file, NULL };

static const char *read_failure(enum err e)
{
    switch (e) {
    case ERR_NOT_FOUND:
        return "there is no such file";
    case ERR_LIMIT:
        return "it is larger than 64 MiB";
    default:
        return "it is no regular file that may be read";
    }
}

static void parse(struct oas_load *l, struct oas_file *f, struct str text)
{
    struct json_error error = { 0 };

    if (!document_parse(l->scratch, text, &json_default_limits, &f->root,
                        &error))
        return;
    f->root = NULL;
    f->why = "it is no valid JSON or YAML";
    (l->lenient ? problem_warn : problem_error)(
        l->ps, f->path, error.line, "column %u: %s", error.column, error.what);
}

static void load_file(struct oas_load *l, struct oas_file *f)
{
    struct str text;
    enum err e = l->source->read(l->source->arg, l->scratch, f->path, &text);

    if (e) {
        f->why = read_failure(e);
        return;
    }
    l->bytes += text.len;
    if (l->bytes > OAS_ALL_BYTES) {
        f->why = "all files together are larger than 256 MiB";
        return;
    }
    l->out->content = hash_content(l->out->content, text.p, text.len);
    parse(l, f, text);
}

/* A file that failed keeps its place, so that it is not read again for every
 * reference to it. */
static struct oas_file *file_of(struct oas_load *l, struct str rel)
{
    struct oas_file *f;

    for (size_t i = 0; i < l->file_count; i++)
        if (str_eq(l->files[i].rel, rel))
            return &l->files[i];
    if (l->file_count == OAS_FILES_MAX)
        return NULL;
    f = &l->files[l->file_count++];
    f->rel = arena_copy(l->scratch, rel);
    f->path = arena_printf(l->a, "%.*s%.*s", STR_ARG(l->folder), STR_ARG(rel));
    load_file(l, f);
    return f;
}

const struct oas_file *oas_open_first(struct oas_load *l, struct str rel)
{
    size_t errors = l->ps->errors;
    const struct oas_file *f = file_of(l, rel);

    must(f);
    if (f->root)
        return f;
    /* A mistake in its text was said already, with its place. */
    if (l->ps->errors == errors)
        problem_error(l->ps, f->path, 0, "cannot be used: %s", f->why);
    return NULL;
}

const struct oas_file *oas_open(struct oas_load *l, struct oas_at ref,
                                struct str rel)
{
    const struct oas_file *f = file_of(l, rel);

    if (f && f->root)
        return f;
    if (f)
        oas_ref_problem(l, ref, "cannot use %.*s: %s", STR_ARG(f->path),
                        f->why);
    else
        oas_ref_problem(l, ref,
                        "a document may be spread over at most %d "
                        "files; %.*s would be one more",
                        OAS_FILES_MAX, STR_ARG(rel));
    return NULL;
}
