/* conf_read.h - settings from a tree into the struct their table describes.
 *
 * Where a value comes from, the later winning:
 *   1. the default of its table (also for `name:` with nothing behind it);
 *   2. the tree of the file; a text in it may hold ${NAME} or
 *      ${NAME:-default}, the latter also for a NAME that is empty; $$ is a
 *      dollar;
 *   3. the environment: TOLLGATE_GATEWAY_THREADS for gateway.threads. Lists of
 *      texts are comma-separated there; what stands in a list of sections has
 *      no name and so cannot be set.
 * A section is demanded only by .required; the required fields inside one
 * that nobody mentions are not missed.
 * The .def of SECTIONS with .scalar_field is comma-separated: one item each.
 */
#ifndef TG_FORMAT_CONF_READ_H
#define TG_FORMAT_CONF_READ_H

#include "base/conf.h"
#include "format/json.h"

/* Fills *out, all of whose texts are NUL-terminated copies in the arena.
 *
 * tree may be NULL (no file). path_prefix ("gateway." or "") goes before the
 * names in messages and in names of environment variables; env_prefix
 * ("TOLLGATE_") may be NULL for no environment overrides.
 * ERR_INVALID when problems of kind error were added to ps; *out is complete
 * all the same, with defaults where something was wrong. */
enum err conf_read(struct arena *a, const struct conf_field *fields,
                   const struct json *tree, struct str file,
                   const char *path_prefix, const char *env_prefix, void *out,
                   struct problems *ps);

/* The settings as YAML that conf_read() reads back to the same values, each
 * line behind indent spaces. ERR_LIMIT when the buffer is full. */
enum err conf_show(struct buf *b, const struct conf_field *fields,
                   const void *conf, unsigned indent);

/* The manual as Markdown: a table for the fields of this section, then one
 * for each section inside it. */
enum err conf_reference(struct buf *b, const struct conf_field *fields,
                        const char *path_prefix);

#endif
