/* server.c - connections from clients, whatever protocol they speak: how they
 * come, how room is made, how they go. What they say is read by h1_server.c
 * and h2_server.c.
 */
#include <arpa/inet.h>

#include "base/log.h"
#include "http/client.h"
#include "http/h2.h"
#include "http/server_internal.h"

/* Shared things */

struct http_server *http_server_ref(struct http_server *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void http_server_unref(struct http_server *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        s->on_free(s);
}

void client_address_set(struct client_address *a, const struct sockaddr *sa)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;

    memset(a, 0, sizeof(*a));
    if (sa->sa_family == AF_INET) {
        a->ip[10] = a->ip[11] = 0xff;
        memcpy(a->ip + 12, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        inet_ntop(AF_INET, &v4->sin_addr, a->text, sizeof(a->text));
    } else if (sa->sa_family == AF_INET6) {
        memcpy(a->ip, &v6->sin6_addr, 16);
        a->port = ntohs(v6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, a->ip + 12, a->text, sizeof(a->text));
        else
            inet_ntop(AF_INET6, a->ip, a->text, sizeof(a->text));
    } else {
        a->unix_socket = true;
        memcpy(a->text, "unix:", 6);
    }
    a->text_len = (uint8_t)strlen(a->text);
}

struct loop *http_conn_loop(const struct http_conn *c)
{
    return c->conn.loop;
}

const struct http_server *http_conn_server(const struct http_conn *c)
{
    return c->server;
}

const struct client_address *http_conn_peer(const struct http_conn *c)
{
    return &c->peer;
}

bool http_conn_trusted(const struct http_conn *c)
{
    return c->trusted;
}

struct tls *http_conn_tls(const struct http_conn *c)
{
    return c->conn.tls;
}

/* Replies, by protocol */

void http_respond(struct http_stream *s, const struct http_reply *r)
{
    s->conn->protocol->respond(s, r);
}

void http_inform(struct http_stream *s, unsigned status,
                 const struct message *from, uint64_t skip)
{
    s->conn->protocol->inform(s, status, from, skip);
}

static void tell_answered(struct http_stream *s, size_t n)
{
    const struct http_handler *h = s->conn->server->handler;

    if (s->answered || !h->on_answered)
        return;
    s->answered = true;
    h->on_answered(s, n);
}

void http_body(struct http_stream *s, const void *p, size_t n)
{
    must(s->reply_started && !s->reply_done);
    if (s->reply_body == BODY_LENGTH && n == s->reply_left && n)
        tell_answered(s, n);
    s->conn->protocol->body(s, p, n);
}

void http_finish(struct http_stream *s, const void *p, size_t n,
                 struct str trailers)
{
    must(s->reply_started && !s->reply_done);
    tell_answered(s, n);
    s->conn->protocol->finish(s, p, n, trailers);
}

void http_reply_text(struct http_stream *s, unsigned status,
                     struct str content_type, struct str body,
                     const struct header *extra, size_t extras)
{
    struct header all[16];
    struct http_reply r = {
        .status = status,
        .extra = all,
        .body = BODY_LENGTH,
        .length = body.len,
    };

    must(extras < 15);
    if (content_type.len)
        all[r.extras++] = (struct header) { .name = STR("Content-Type"),
                                            .value = content_type };
    for (size_t i = 0; i < extras; i++)
        all[r.extras++] = extra[i];
    http_respond(s, &r);
    http_finish(s, body.p, body.len, STR_NULL);
}

bool http_unsend(struct http_stream *s)
{
    if (s->answered)
        return false;
    return s->conn->protocol->unsend(s);
}

void http_cut(struct http_stream *s)
{
    s->conn->protocol->cut(s, 0);
}

void http_cut_with(struct http_stream *s, uint32_t code)
{
    s->conn->protocol->cut(s, code);
}

void http_pause(struct http_stream *s)
{
    s->conn->protocol->pause(s);
}

void http_resume(struct http_stream *s)
{
    s->conn->protocol->resume(s);
}

size_t http_unsent(const struct http_stream *s)
{
    return s->conn->protocol->unsent(s);
}

/* Life */

void http_conn_tell_end(struct http_conn *c)
{
    if (!c->told && c->server->on_conn_end)
        c->server->on_conn_end(c->server->arg, c->socket_ip, c->conn.in_bytes,
                               c->conn.out_bytes);
    c->told = true;
}

void http_conn_free(struct http_conn *c)
{
    timer_clear(&c->timer);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        c->all->last = c->prev;
    c->all->count--;
    atomic_store_explicit(&c->all->shared_count, c->all->count,
                          memory_order_relaxed);
    http_conn_tell_end(c);
    http_server_unref(c->server);
    x_free(c);
}

void http_accept(struct http_conns *all, struct http_server *server, int fd,
                 const struct address *peer)
{
    const struct sockaddr *sa = (const struct sockaddr *)&peer->sa;
    const struct conn_ops *ops;
    struct http_conn *c = h1_conn_new(&ops);
    struct tls *tls = NULL;
    bool proxy;

    c->all = all;
    c->server = http_server_ref(server);
    client_address_set(&c->peer, sa);
    memcpy(c->socket_ip, c->peer.ip, sizeof(c->socket_ip));
    c->trusted = server->trusted && server->trusted(server->trusted_arg, sa);
    proxy = server->proxy_protocol && c->trusted;
    if (proxy)
        h1_expect_proxy(c);
    else if (server->tls)
        tls = tls_accept(server->tls);
    if (conn_accept(&c->conn, all->loop, fd, tls, ops)) {
        if (server->on_conn_end)
            server->on_conn_end(server->arg, c->socket_ip, 0, 0);
        http_server_unref(server);
        x_free(c);
        return;
    }
    c->prev = all->first ? all->last : &all->first;
    *c->prev = c;
    all->last = &c->next;
    all->count++;
    atomic_store_explicit(&all->shared_count, all->count, memory_order_relaxed);
    h1_begin(c);
}

void http_drain(struct http_conns *all)
{
    struct http_conn *c, *next;

    all->draining = true;
    for (c = all->first; c; c = next) {
        next = c->next;
        if (c->conn.state != CONN_CLOSED)
            c->protocol->drain(c);
    }
}

void http_goodbye(struct http_conns *all)
{
    struct http_conn *c, *next;

    for (c = all->first; c; c = next) {
        next = c->next;
        if (c->conn.state != CONN_CLOSED)
            c->protocol->goodbye(c);
    }
}

unsigned http_shed(struct http_conns *all, unsigned n, const uint8_t *ip)
{
    unsigned shed = 0;

    while (shed < n) {
        struct http_conn *best = NULL;
        int rank = 0;

        for (struct http_conn *c = all->first; c; c = c->next) {
            int r = 0;

            if (c->conn.state != CONN_CLOSED)
                r = c->protocol->shed_rank(c);
            if (r < rank || !r || (ip && memcmp(c->socket_ip, ip, 16) != 0))
                continue;
            if (r == rank && c->since_ms > best->since_ms)
                continue;
            best = c;
            rank = r;
        }
        if (!best)
            break;
        log_debug("http", "%s: closed to make room", best->peer.text);
        best->protocol->end(best, true);
        http_conn_tell_end(best);
        shed++;
    }
    return shed;
}

void http_close_all(struct http_conns *all)
{
    struct http_conn *c, *next;

    for (c = all->first; c; c = next) {
        next = c->next;
        if (c->conn.state != CONN_CLOSED)
            c->protocol->end(c, false);
    }
}

void http_thread_done(void)
{
    h1_thread_done();
    http_client_thread_done();
    h2_thread_done();
    conn_thread_done();
    arena_thread_done();
}
