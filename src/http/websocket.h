/* websocket.h - WebSocket (RFC 6455): the handshake, frames that pass, and
 * messages taken apart.
 *
 * Two readers of the same bytes. A tunnel that only passes them on follows
 * with struct ws_track: it looks at each frame's header and skips the rest, so
 * that broken framing is found and the gateway knows where it may put in a
 * frame of its own. Who must see messages uses struct ws_parser, which
 * unmasks in place and hands out pieces. No allocation, no threads.
 */
#ifndef TG_HTTP_WEBSOCKET_H
#define TG_HTTP_WEBSOCKET_H

#include "http/message.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Close codes (section 7.4.1). */
enum ws_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_NO_CODE = 1005, /* a Close frame without one; never sent */
    WS_INVALID_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011,
};

/* Does it ask for a WebSocket? (section 4.1: Upgrade, whatever the rest) */
bool websocket_wanted(const struct message *m);
/* ERR_OK: a request that may be answered with 101. Else *status is what to
 * answer: 400, or 426 for a version other than 13. */
enum err websocket_check_request(const struct message *m, unsigned *status);
/* Sec-WebSocket-Accept for a key (section 4.2.2). */
#define WEBSOCKET_ACCEPT_LEN 28
void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_LEN]);
/* Is it a 101 that answers key (section 4.1)? */
bool websocket_good_reply(const struct message *reply, struct str key);

/* A frame's header while it comes in. */
struct ws_header {
    uint64_t length; /* of the payload */
    uint8_t bytes[14];
    uint8_t have, need; /* bytes; 0: not begun */
    uint8_t opcode;
    bool fin, masked, reserved; /* reserved: an RSV bit is set */
    uint8_t mask[4];
};

struct ws_track {
    struct ws_header header;
    uint64_t left;     /* payload bytes of the frame in hand */
    uint64_t messages; /* data messages begun */
    bool masked;       /* what frames must be: a client's */
    bool extensions;   /* agreed: RSV bits may be set */
    bool fragmented;   /* inside a message of several frames */
    bool closed;       /* a Close frame has passed whole */
    bool closing;      /* ... is under way */
    uint16_t code;     /* of the Close frame; WS_NO_CODE */
    uint8_t code_have;
    const char *why; /* of an error */
};
void ws_track_init(struct ws_track *t, bool from_client, bool extensions);
/* Follows p[0..n). *boundary: how many of the bytes are up to the last end of
 * a frame in them; 0 when there is none. After a Close frame nothing may come
 * (what does is not counted: *boundary ends behind the Close). ERR_INVALID:
 * broken framing, t->why; the frames up to *boundary are good. */
enum err ws_track_follow(struct ws_track *t, const char *p, size_t n,
                         size_t *boundary);
/* Is it between two frames? */
static inline bool ws_track_between(const struct ws_track *t)
{
    return !t->left && !t->header.have;
}

#define WS_CLOSE_MAX 131
/* A Close frame with code and reason (at most 123 bytes are used). mask: a
 * client's frame; NULL: a server's. Returns its length. */
size_t ws_close_frame(char out[WS_CLOSE_MAX], uint16_t code, struct str reason,
                      const uint8_t mask[4]);

struct ws_parser;
struct ws_parser_ops {
    /* A piece of a data message, or a whole control frame; bytes unmasked.
     * opcode: of the message, also in its later frames. first: of the message;
     * last: the message is whole. */
    void (*on_piece)(struct ws_parser *w, enum ws_opcode opcode, char *p,
                     size_t n, bool first, bool last);
};
struct ws_parser {
    struct ws_header header;
    const struct ws_parser_ops *ops;
    uint64_t left, at; /* payload bytes to come, and passed */
    uint64_t max;      /* of a message; 0: any */
    uint64_t size;     /* of the message in hand */
    uint32_t utf8;     /* state of a text's check */
    uint16_t code;     /* to close with, after an error */
    const char *why;
    bool from_client, extensions, plain; /* plain: texts can be checked */
    bool inside;                         /* a message of several frames */
    bool begun;                          /* its first piece was handed out */
    bool closed;
    uint8_t opcode; /* of the message */
    uint8_t control[125], control_len;
};
void ws_parser_init(struct ws_parser *w, const struct ws_parser_ops *ops,
                    bool from_client, bool extensions, uint64_t max);
/* Takes p[0..n) apart, in place. ERR_INVALID or ERR_LIMIT: w->code and w->why
 * say what to close with; nothing more may be fed. */
enum err ws_parser_feed(struct ws_parser *w, char *p, size_t n);

#endif
