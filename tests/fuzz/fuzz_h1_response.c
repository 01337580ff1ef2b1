/* fuzz_h1_response.c - any bytes as the head of a response; what we take
 * llhttp must take alike (llhttp_oracle.h).
 */
#include "h1_check.h"
#include "llhttp_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_as_answer_to_head(const char *p, size_t len)
{
    struct header headers[40];
    struct message m = { .headers = headers, .capacity = 40 };
    struct h1_error error;

    must(h1_parse_response(p, len, METHOD_HEAD, &m, &error) == ERR_OK);
    must(m.body == BODY_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header headers[40];
    struct message m = { .headers = headers, .capacity = 40 };
    struct h1_error error = { 0 };
    const char *p = (const char *)data;
    size_t start = 0, len = 0;
    char *head;

    if (check_scan(false, p, size, &start, &len, &error) != ERR_OK)
        return 0;
    must(start == 0);
    head = malloc(len); /* of exactly this size */
    must(head != NULL);
    memcpy(head, p, len);
    if (h1_parse_response(head, len, METHOD_GET, &m, &error)) {
        must(error.status >= 400 && error.status < 600 && error.what);
    } else {
        check_message(&m, head, len);
        check_inside(m.reason, head, len);
        check_all(m.reason, H1_VALUE);
        must(m.status >= 100 && m.status <= 599);
        must(m.body != BODY_CLOSE || !m.keep_alive);
        must(h1_keep_alive_timeout(&m) <= 86400);
        check_as_answer_to_head(head, len);
        oracle_response(head, len, &m);
    }
    free(head);
    return 0;
}
