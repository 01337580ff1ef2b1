/* test_hpack_vectors.c - header blocks of a public set, through our sessions.
 *
 * Each story is a connection: its blocks come as HEADERS frames, cut into
 * CONTINUATION where they are long, to a server session (requests) or a client
 * session with that many streams open (replies), and what on_head() is given is
 * held against the list. A list that HTTP/2 forbids (connection-specific
 * fields are in some) is refused above HPACK; its block still counts for the
 * compression's state, so a mistake in it shows in those that follow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "format/json.h"
#include "http/h2.h"

enum { FRAME_MAX = 500 };

static struct arena *arena;
static struct loop *loop;
static struct conn conn;
static int peer;
static struct h2 h2;
static struct h2_stream *sent; /* of the client */
static struct json *expected;  /* list of the block in hand */
static unsigned compared, heads;

static void nothing(struct conn *c)
{
    (void)c;
}

static const struct conn_ops conn_ops = { .on_open = nothing,
                                          .on_closed = nothing };

/* The next field of the list that is no pseudo-field, nor a further crumb. */
static struct json *next_field(struct json *f, bool *cookie)
{
    for (; f; f = f->next) {
        struct str name = f->first->key;

        if (name.p[0] == ':' || (*cookie && str_is(name, "cookie")))
            continue;
        *cookie |= h2.server && str_is(name, "cookie");
        return f;
    }
    return NULL;
}

static struct str pseudo(const char *name)
{
    for (struct json *f = expected->first; f; f = f->next)
        if (str_is(f->first->key, name))
            return json_str(f->first);
    return STR_NULL;
}

static struct str cookies(void)
{
    struct buf b;
    struct str out;

    buf_init(&b, 1 << 20);
    for (struct json *f = expected->first; f; f = f->next)
        if (str_is(f->first->key, "cookie"))
            assert_int_equal(buf_printf(&b, "%s%.*s", b.len ? "; " : "",
                                        STR_ARG(json_str(f->first))),
                             ERR_OK);
    out = arena_copy(arena, buf_view(&b));
    buf_done(&b);
    return out;
}

static void compare(const struct message *m)
{
    bool cookie = false;
    struct json *f = next_field(expected->first, &cookie);

    for (uint32_t i = 0; i < m->count; i++, f = next_field(f->next, &cookie)) {
        const struct header *h = &m->headers[i];
        struct str value;

        assert_non_null(f);
        assert_true(str_eq_nocase(h->name, f->first->key));
        value = h2.server && str_is(f->first->key, "cookie")
                    ? cookies()
                    : json_str(f->first);
        assert_true(str_eq(h->value, value));
    }
    assert_null(f);
    compared++;
}

static void on_head(struct h2 *h, struct h2_stream *s, struct message *m,
                    unsigned refuse, bool end)
{
    (void)s;
    (void)end;
    heads++;
    if (refuse)
        return;
    if (h->server) {
        assert_true(str_eq(m->method_text, pseudo(":method")));
        assert_true(str_eq(m->target, pseudo(":path")));
        assert_true(str_eq(m->authority, pseudo(":authority")));
    } else {
        char status[8];

        snprintf(status, sizeof(status), "%u", m->status);
        assert_true(str_is(pseudo(":status"), status));
    }
    compare(m);
}

static struct h2_stream *on_begin(struct h2 *h, int32_t id)
{
    struct h2_stream *s = arena_alloc(arena, sizeof(*s));

    h2_stream_init(h, s, id);
    return s;
}

static void on_data(struct h2 *h, struct h2_stream *s, char *p, size_t n,
                    bool end)
{
    (void)h;
    (void)s;
    (void)p;
    (void)n;
    (void)end;
}

static void on_end(struct h2 *h, struct h2_stream *s, struct str trailers)
{
    (void)h;
    (void)s;
    (void)trailers;
}

static void on_any(struct h2 *h, struct h2_stream *s)
{
    (void)h;
    (void)s;
}

static const struct h2_ops ops = { .on_begin = on_begin,
                                   .on_head = on_head,
                                   .on_data = on_data,
                                   .on_end = on_end,
                                   .on_drained = on_any,
                                   .on_closed = on_any };

static void feed(uint8_t type, uint8_t flags, uint32_t id, const char *p,
                 size_t n)
{
    char frame[9 + FRAME_MAX] = {
        0,           (char)(n >> 8),   (char)n,          (char)type,
        (char)flags, (char)(id >> 24), (char)(id >> 16), (char)(id >> 8),
        (char)id
    };
    enum err e;

    if (n)
        memcpy(frame + 9, p, n);
    e = h2_receive(&h2, frame, 9 + n);
    if (e)
        fail_msg("%s", h2.why);
    loop_turn(loop, 0);
}

static void feed_block(uint32_t id, const char *p, size_t n)
{
    uint8_t type = NGHTTP2_HEADERS, flags = 0;

    do {
        size_t k = n < FRAME_MAX ? n : FRAME_MAX;

        if (k == n)
            flags |= NGHTTP2_FLAG_END_HEADERS;
        feed(type, flags, id, p, k);
        p += k;
        n -= k;
        type = NGHTTP2_CONTINUATION;
        flags = 0;
    } while (n);
}

static size_t from_hex(struct str hex, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < hex.len / 2; i++)
        out[i] = (char)((strchr(digits, hex.p[2 * i]) - digits) * 16 +
                        (strchr(digits, hex.p[2 * i + 1]) - digits));
    return hex.len / 2;
}

static void open_request(void)
{
    struct h2_stream *s = arena_alloc(arena, sizeof(*s));
    struct h2_head b;

    h2_stream_init(&h2, s, 0);
    h2_head_begin(&b);
    h2_head_pseudo(&b, ":method", STR("GET"));
    h2_head_pseudo(&b, ":scheme", STR("https"));
    h2_head_pseudo(&b, ":authority", STR("a"));
    h2_head_pseudo(&b, ":path", STR("/"));
    assert_true(h2_send_request(s, &b, false));
    sent = s;
}

/* A peer that reads nothing would stop us in the end. */
static void drain_peer(void)
{
    char got[65536];

    while (recv(peer, got, sizeof(got), MSG_DONTWAIT) > 0)
        ;
}

static void tell(const struct json *story, bool requests)
{
    static char block[1 << 20];
    const struct h2_limits limits = { .streams = 100,
                                      .window = 65535,
                                      .head_size = 1 << 19,
                                      .head_fields = 1000 };
    int fds[2];
    uint32_t id = 1;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    peer = fds[1];
    loop = loop_new();
    assert_int_equal(conn_accept(&conn, loop, fds[0], NULL, &conn_ops), ERR_OK);
    h2_init(&h2, &conn, requests, &limits, &ops);
    if (requests)
        assert_int_equal(h2_receive(&h2,
                                    (char *)(uintptr_t)NGHTTP2_CLIENT_MAGIC,
                                    NGHTTP2_CLIENT_MAGIC_LEN),
                         ERR_OK);
    feed(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    feed(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    for (struct json *c = json_at(story, "cases")->first; c; c = c->next) {
        struct str wire = json_str(json_at(c, "wire"));

        expected = json_at(c, "headers");
        if (!requests)
            open_request();
        assert_true(wire.len / 2 <= sizeof(block));
        feed_block(id, block, from_hex(wire, block));
        /* No body follows, whatever Content-Length says. */
        if (h2.streams)
            h2_reset(h2.streams, NGHTTP2_CANCEL);
        loop_turn(loop, 0);
        drain_peer();
        h2.allowance = 100; /* the resets are ours */
        id += 2;
    }
    h2_done(&h2);
    conn_close(&conn);
    loop_turn(loop, 0);
    loop_free(loop);
    close(peer);
    conn_thread_done();
    h2_thread_done();
}

static struct json *read_story(const char *folder, unsigned number)
{
    char path[512];
    struct json_error error;
    struct json *out = NULL;
    struct buf b;
    FILE *f;

    snprintf(path, sizeof(path), "%s/story_%02u.json", folder, number);
    f = fopen(path, "r");
    if (!f)
        return NULL;
    buf_init(&b, 4 << 20);
    for (;;) {
        assert_int_equal(buf_reserve(&b, 65536), ERR_OK);
        size_t n = fread(b.p + b.len, 1, 65536, f);

        b.len += n;
        if (!n)
            break;
    }
    fclose(f);
    assert_int_equal(json_parse(arena, arena_copy(arena, buf_view(&b)),
                                &json_default_limits, &out, &error),
                     ERR_OK);
    buf_done(&b);
    return out;
}

/* Are there fields in it that HTTP/2 has no place for? */
static bool is_forbidden(const struct json *list)
{
    static const char *const names[] = { "connection", "keep-alive",
                                         "proxy-connection", "upgrade",
                                         "transfer-encoding" };

    for (struct json *f = list->first; f; f = f->next)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (str_is(f->first->key, names[i]))
                return true;
    return false;
}

static unsigned count_good(const struct json *story)
{
    unsigned n = 0;

    for (struct json *c = json_at(story, "cases")->first; c; c = c->next)
        n += !is_forbidden(json_at(c, "headers"));
    return n;
}

static void every_story_is_decoded(void **state)
{
    const char *dir = getenv("CONFORMANCE_DIR");
    char folder[400];
    unsigned stories = 0, good = 0;
    (void)state;

    snprintf(folder, sizeof(folder), "%s/hpack/nghttp2-change-table-size",
             dir ? dir : "");
    if (!dir || access(folder, R_OK))
        snprintf(folder, sizeof(folder), "%s/hpack", TEST_DATA_DIR);
    compared = heads = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct json *story, *first;

        arena = arena_new();
        story = read_story(folder, i);
        if (story) {
            first = json_at(json_at(story, "cases")->first, "headers")->first;
            tell(story, !str_is(first->first->key, ":status"));
            stories++;
            good += count_good(story);
        }
        arena_free(arena);
    }
    print_message("%u stories, %u lists compared\n", stories, compared);
    assert_true(stories >= 4);
    assert_true(compared > 30);
    assert_int_equal(compared, good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_story_is_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
