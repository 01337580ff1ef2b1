/* snapshot.h - everything a loop thread needs to serve, behind one pointer.
 *
 * Built on the main thread, published by one store, picked up by each thread
 * at the beginning of its next turn. An exchange pins the API it uses and
 * keeps no other pointer into the snapshot across a wait.
 */
#ifndef TG_GATEWAY_SNAPSHOT_H
#define TG_GATEWAY_SNAPSHOT_H

#include "gateway/access_log.h"
#include "gateway/api.h"
#include "gateway/trust.h"
#include "http/server.h"

struct credentials;
struct listener;

struct snapshot {
    uint64_t number;
    struct arena *arena; /* of the snapshot itself, and its settings */
    const struct settings *settings;
    struct router *router;
    struct api **apis;
    size_t api_count, operation_count, open_count; /* open: to anybody */
    struct credentials *credentials;               /* held */
    struct trust *trusted_proxies;
    struct access_log_format *log_format; /* NULL: off */
    bool log_wants_reply;
    const struct tracing_conf *tracing; /* NULL: off */
    struct access_file *log_file;
    /* What new connections of a listener get, by the listener's id. */
    struct http_server **servers;
    size_t server_count;
    struct str via_2; /* for what came by HTTP/2 */
    struct str via;   /* ", 1.1 tollgate" without the comma; empty: none */
};

#endif
