/* problem.h - what is wrong with an input, collected for a person.
 *
 * Each problem names its place and says the way out, in one line:
 *   pets.yaml:14: quota.window must be between 1s and 366d, got "2y"
 * Loading goes on after a problem where it can, so that one run shows all.
 * A list keeps at most PROBLEMS_MAX entries and counts the rest.
 */
#ifndef TG_BASE_PROBLEM_H
#define TG_BASE_PROBLEM_H

#include "base/arena.h"

#define PROBLEMS_MAX 100

enum problem_kind { PROBLEM_ERROR, PROBLEM_WARNING };

struct problem {
    enum problem_kind kind;
    struct str file; /* as the user wrote it; empty when there is none */
    uint32_t line;   /* from 1; 0 when unknown */
    struct str text;
    struct problem *next;
};

struct problems {
    struct arena *arena;
    struct problem *first, *last;
    size_t errors, warnings; /* all of them, also those not kept */
    size_t kept;
};

void problems_init(struct problems *ps, struct arena *a);
void problem_error(struct problems *ps, struct str file, uint32_t line,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void problem_warn(struct problems *ps, struct str file, uint32_t line,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* "file:line: text", "file: text" or "text", in the arena. */
struct str problem_line(struct arena *a, const struct problem *p);

#endif
