/* refusals.h - what both server fuzzers say about a message nobody can read, and
 * the server that is no heap's.
 */
#ifndef TG_FUZZ_REFUSALS_H
#define TG_FUZZ_REFUSALS_H

#include "http/server.h"

static void on_refused(struct http_conn *c, unsigned status,
                       const struct message *m, struct http_stream *s,
                       struct str *body, struct str *content_type,
                       struct header *field)
{
    (void)c;
    (void)m;
    (void)s;
    (void)content_type;
    (void)field;
    must(status >= 400 && status < 600);
    *body = STR("refused");
}

static void never_freed(struct http_server *s)
{
    (void)s;
}

#endif
