/* h1.h - HTTP/1.1 messages from bytes: our own strict parser, both sides.
 *
 * RFC 9112 read strictly: what is ambiguous is refused, never repaired.
 * Refused, among others: bare LF or CR, obs-fold, white space before a colon,
 * any byte outside the grammar, a second Host, Content-Length beside
 * Transfer-Encoding, Content-Length that is not 1*DIGIT up to 2^63-1 or that
 * is repeated (also as a list, also when equal), a transfer coding other than
 * one single "chunked", Transfer-Encoding in HTTP/1.0, HTTP/1.1 without Host.
 *
 * The functions keep nothing; a connection keeps the small structs. No
 * allocation. Threads: none.
 */
#ifndef TG_HTTP_H1_H
#define TG_HTTP_H1_H

#include "http/message.h"

/* Why a message was refused: the status a server answers with (400, 413, 414,
 * 431, 501, 505, 417) and a static phrase for the log that echoes nothing the
 * peer sent. */
struct h1_error {
    uint16_t status;
    bool alien; /* nothing says that it is meant to be HTTP */
    const char *what;
};

/* Looks for the end of a head in bytes that arrive in pieces.
 *
 *   struct h1_scan s = { 0 };
 *   each time bytes were added to p[0..len): h1_scan_head(&s, p, len, max, …)
 *
 * Returns ERR_OK and *head_len (with the empty line) when the head is whole;
 * ERR_AGAIN when more is needed; ERR_INVALID at the first line that does not
 * end in CRLF or at a first line that cannot begin a message (checked as soon
 * as its bytes are there: method token, or "HTTP/" for a response), ERR_LIMIT
 * when the head is longer than max. Each byte is looked at once over all
 * calls. Up to two empty lines before a request are skipped (RFC 9112 2.2):
 * *start says where the message begins, and head_len counts from there; before
 * a response none is. */
struct h1_scan {
    uint32_t at;    /* bytes looked at */
    uint32_t start; /* where the message begins */
    bool first_done;
};
enum err h1_scan_head(struct h1_scan *s, bool request, const char *p,
                      size_t len, size_t max, size_t *start, size_t *head_len,
                      struct h1_error *error);

/* Parses one whole head p[0..len), its last four bytes CR LF CR LF. m->headers
 * and m->capacity say where fields go and how many there may be (more: 431);
 * everything else in *m is set. Views point into p. The target's path is NOT
 * normalised (format/uri.h does that), but target bytes are visible ASCII. */
enum err h1_parse_request(const char *p, size_t len, struct message *m,
                          struct h1_error *error);
/* The same for a response to a request with method `method` (HEAD and the
 * status decide whether there is a body, RFC 9112 section 6.3). 1xx have no
 * body. A 101 is returned like any other; who did not ask refuses it. */
enum err h1_parse_response(const char *p, size_t len, enum method method,
                           struct message *m, struct h1_error *error);

/* N of "Keep-Alive: timeout=N" in seconds, at most a day; 0: not said. */
unsigned h1_keep_alive_timeout(const struct message *m);

/* Chunked bodies, decoded in place. */
struct h1_chunks {
    uint64_t left;      /* of the current chunk */
    uint64_t total;     /* data bytes so far */
    uint32_t extension; /* extension bytes so far, over all chunks */
    uint32_t trailer;   /* trailer bytes so far */
    uint8_t state;      /* private; 0 at the start */
    uint8_t digits;
};
struct h1_chunk_limits {
    uint32_t extension; /* bytes of extensions over a whole body: 16 KiB */
    uint32_t trailer;   /* bytes of trailers: 8 KiB */
};
/* Eats p[0..n): moves the data bytes together to p[0..*data) and says in *used
 * how many bytes of p were taken (all of them unless the body ended). Trailer
 * lines are validated like fields and copied, as whole lines with CRLF, into
 * trailers when it is not NULL (a struct buf with its own ceiling).
 * ERR_OK: the body ended; ERR_AGAIN: more to come; ERR_INVALID, ERR_LIMIT. */
struct buf;
enum err h1_chunks_decode(struct h1_chunks *c,
                          const struct h1_chunk_limits *limits, char *p,
                          size_t n, size_t *used, size_t *data,
                          struct buf *trailers, struct h1_error *error);

#endif
