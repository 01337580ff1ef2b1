/* openapi_fixture.h - documents for tests, from text instead of files.
 *
 * Everything the loader was given is freed before a test looks at the model,
 * so that a pointer the model should not hold is found by the sanitizers.
 */
#ifndef TG_TESTS_OPENAPI_FIXTURE_H
#define TG_TESTS_OPENAPI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "format/openapi.h"

struct text_file {
    const char *path;
    const char *text;
};

struct fixture {
    struct arena *model, *words;
    struct problems ps;
    struct openapi *api; /* NULL after a failure */
    const struct text_file *files;
};

static enum err fixture_read(void *arg, struct arena *a, struct str path,
                             struct str *text)
{
    const struct fixture *f = arg;

    for (const struct text_file *t = f->files; t->path; t++) {
        if (!str_is(path, t->path))
            continue;
        *text = arena_copy(a, str_z(t->text));
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->model = arena_new();
    f->words = arena_new();
    problems_init(&f->ps, f->words);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_free(f->model);
    arena_free(f->words);
    free(f);
    return 0;
}

/* The first file is the document. */
static inline struct openapi *load_files(struct fixture *f,
                                         const struct text_file *files)
{
    struct oas_source source = { fixture_read, f };
    struct arena *scratch = arena_new();
    enum err e;

    problems_init(&f->ps, f->words);
    f->files = files;
    f->api = NULL;
    e = openapi_load(f->model, scratch, &source, str_z(files->path), &f->ps,
                     &f->api);
    arena_free(scratch);
    arena_thread_done();
    assert_int_equal(e, f->ps.errors ? ERR_INVALID : ERR_OK);
    assert_int_equal(!e, f->api != NULL);
    return f->api;
}

static inline struct openapi *load(struct fixture *f, const char *text)
{
    const struct text_file files[] = { { "api.yaml", text }, { 0 } };

    return load_files(f, files);
}

/* A document with this at its root, and no path. */
static inline struct openapi *load_root(struct fixture *f, const char *more)
{
    return load(f, arena_printf(f->words,
                                "openapi: 3.0.0\n"
                                "info: {title: T, version: 1.0.0}\n"
                                "paths: {}\n"
                                "%s\n",
                                more)
                       .p);
}

/* A document whose paths are these lines, which begin in line 4. */
static inline struct openapi *load_paths(struct fixture *f, const char *paths)
{
    return load(f, arena_printf(f->words,
                                "openapi: 3.0.0\n"
                                "info: {title: T, version: 1.0.0}\n"
                                "paths:\n"
                                "%s\n",
                                paths)
                       .p);
}

static inline void show(const struct fixture *f)
{
    for (const struct problem *p = f->ps.first; p; p = p->next)
        print_message("  %s\n", problem_line(f->words, p).p);
}

/* Loaded without a word. */
static inline struct openapi *fine(struct fixture *f, struct openapi *api)
{
    if (!api || f->ps.warnings) {
        show(f);
        fail_msg("the document was not loaded without a word");
    }
    return api;
}

static inline bool says(const struct fixture *f, enum problem_kind kind,
                        const char *line)
{
    for (const struct problem *p = f->ps.first; p; p = p->next)
        if (p->kind == kind && strstr(problem_line(f->words, p).p, line))
            return true;
    return false;
}

/* The document was refused, and one of the reasons has these words. */
static inline void refused(struct fixture *f, const char *words)
{
    if (says(f, PROBLEM_ERROR, words))
        return;
    show(f);
    fail_msg("no error says: %s", words);
}

static inline void warned(struct fixture *f, const char *words)
{
    if (f->api && says(f, PROBLEM_WARNING, words))
        return;
    show(f);
    fail_msg("no warning says: %s", words);
}

#define assert_text(s, z) assert_string_equal(arena_copy(f->words, s).p, z)

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

#endif
