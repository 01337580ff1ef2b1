/* yaml.h - YAML text to the tree of json.h, on libyaml's parser events.
 *
 * YAML 1.2 with the core schema, whatever libyaml's own habits: `no`, `1:30`
 * and `0o17` behave as in JSON Schema's world (no and 1:30 are strings; 0o17
 * and 0x1f are numbers, written in decimal in the tree). Quoted scalars are
 * strings. Keys are strings: a key that looks like a number keeps its text
 * ("200", "1.0"). Aliases are expanded under max_nodes, so a bomb is refused
 * (ERR_LIMIT); merge keys ("<<") are supported; duplicate keys are refused;
 * tags other than the core ones are refused; exactly one document.
 */
#ifndef TG_FORMAT_YAML_H
#define TG_FORMAT_YAML_H

#include "format/json.h"

enum err yaml_parse(struct arena *a, struct str text,
                    const struct json_limits *limits, struct json **out,
                    struct json_error *error);

/* JSON when the first character that is not white space is { or [, else YAML
 * (a JSON text that starts with something else is YAML too). */
enum err document_parse(struct arena *a, struct str text,
                        const struct json_limits *limits, struct json **out,
                        struct json_error *error);

#endif
