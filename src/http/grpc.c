/* grpc.c - see grpc.h. */
#include "http/grpc.h"

bool grpc_is_type(struct str type)
{
    static const struct str grpc = { "application/grpc", 16 };

    if (!str_eq_nocase(str_head(type, grpc.len), grpc))
        return false;
    return type.len == grpc.len || type.p[grpc.len] == '+' ||
           type.p[grpc.len] == ';' || type.p[grpc.len] == ' ';
}

enum err grpc_timeout_parse(struct str value, uint64_t *ms)
{
    uint64_t n;

    if (value.len < 2 || value.len > 9 ||
        str_to_u64(str_head(value, value.len - 1), 99999999, &n))
        return ERR_INVALID;
    switch (value.p[value.len - 1]) {
    case 'H':
        *ms = n * 3600000;
        return ERR_OK;
    case 'M':
        *ms = n * 60000;
        return ERR_OK;
    case 'S':
        *ms = n * 1000;
        return ERR_OK;
    case 'm':
        *ms = n;
        return ERR_OK;
    case 'u':
        *ms = (n + 999) / 1000;
        return ERR_OK;
    case 'n':
        *ms = (n + 999999) / 1000000;
        return ERR_OK;
    default:
        return ERR_INVALID;
    }
}

/* 401, 403, 404, 429 and 500 are the model's; the others follow the gRPC
 * project's table, or what the gateway means by them. */
enum grpc_code grpc_code_of_status(unsigned status)
{
    switch (status) {
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
    case 405: /* no such method, here */
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 408: /* it came too slowly: as good as gone */
        return GRPC_CANCELLED;
    case 413: /* too large */
    case 429:
    case 431:
        return GRPC_RESOURCE_EXHAUSTED;
    case 500:
        return GRPC_UNKNOWN;
    case 502:
    case 503:
        return GRPC_UNAVAILABLE;
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    default:
        return status < 500 ? GRPC_INTERNAL : GRPC_UNKNOWN;
    }
}

size_t grpc_message_encode(struct str text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c >= ' ' && c <= '~' && c != '%') {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return n;
}

enum err grpc_frames_follow(struct grpc_frames *f, const char *p, size_t n,
                            uint32_t max)
{
    const char *end = p + n;

    while (p < end) {
        size_t rest = (size_t)(end - p);

        if (f->have == sizeof(f->prefix)) {
            uint32_t take = f->left < rest ? f->left : (uint32_t)rest;

            f->left -= take;
            p += take;
        } else {
            f->prefix[f->have++] = (uint8_t)*p++;
            if (f->prefix[0] > 1)
                return ERR_INVALID;
            if (f->have < sizeof(f->prefix))
                continue;
            f->left = (uint32_t)f->prefix[1] << 24 |
                      (uint32_t)f->prefix[2] << 16 |
                      (uint32_t)f->prefix[3] << 8 | f->prefix[4];
            if (max && f->left > max)
                return ERR_LIMIT;
        }
        if (f->have == sizeof(f->prefix) && !f->left) {
            f->messages++;
            f->have = 0;
        }
    }
    return ERR_OK;
}
