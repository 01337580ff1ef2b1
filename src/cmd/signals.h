/* signals.h - signals as events of a loop.
 *
 * They are blocked in the calling thread and in all it makes afterwards, so
 * begin before any thread is started.
 */
#ifndef TG_CMD_SIGNALS_H
#define TG_CMD_SIGNALS_H

#include "net/loop.h"

struct signals {
    struct io io; /* first */
    void (*on)(struct signals *s, int number);
};

/* numbers ends with 0. ERR_IO with errno. */
enum err signals_begin(struct signals *s, struct loop *l, const int *numbers,
                       void (*on)(struct signals *s, int number));
void signals_end(struct signals *s, struct loop *l);

#endif
