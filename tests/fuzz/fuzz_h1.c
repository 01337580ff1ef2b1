/* fuzz_h1.c - any bytes as the head of a request; what we take llhttp must
 * take alike (llhttp_oracle.h).
 */
#include "h1_check.h"
#include "llhttp_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(const struct message *m, const char *p, size_t len)
{
    check_inside(m->target, p, len);
    check_inside(m->query, p, len);
    check_inside(m->authority, p, len);
    must(m->target.len > 0);
    check_all(m->target, H1_TARGET);
    must(m->has_query || !m->query.p);
    must(m->has_query == (str_find(m->target, '?') < m->target.len));
    if (m->method == METHOD_CONNECT)
        must(m->path.len == 0 && m->authority.len > 0);
    else
        must(str_is(m->path, "*") || str_starts(m->path, STR("/")));
    must(m->authority.len > 0 || m->minor == 0);
    must(method_id(m->method_text) == m->method);
    must(m->body != BODY_CLOSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header headers[40];
    struct message m = { .headers = headers, .capacity = 40 };
    struct h1_error error = { 0 };
    const char *p = (const char *)data;
    size_t start = 0, len = 0;
    char *head;

    if (check_scan(true, p, size, &start, &len, &error) != ERR_OK)
        return 0;
    head = malloc(len); /* of exactly this size */
    must(head != NULL);
    memcpy(head, p + start, len);
    if (h1_parse_request(head, len, &m, &error)) {
        must(error.status >= 400 && error.status < 600 && error.what);
    } else {
        check_message(&m, head, len);
        check_target(&m, head, len);
        oracle_request(head, len, &m);
    }
    free(head);
    return 0;
}
