/* utf8.h - well-formed UTF-8, for what writes text for others to read. */
#ifndef TG_BASE_UTF8_H
#define TG_BASE_UTF8_H

#include "base/str.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the character s begins with (1 to 4), *code its number. 0 when
 * there is none: s is empty, cut short, overlong, a surrogate, above
 * U+10FFFF. */
size_t utf8_next(struct str s, uint32_t *code);
/* Whether all of s is well formed. */
bool utf8_valid(struct str s);

#endif
