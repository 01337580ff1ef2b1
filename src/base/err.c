/* err.c - names of failures, for logs and messages. */
#include "base/err.h"

const char *err_name(enum err e)
{
    /* No default: the compiler names the value somebody forgot. */
    switch (e) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_LIMIT:
        return "limit";
    case ERR_AGAIN:
        return "again";
    case ERR_PEER:
        return "peer";
    case ERR_IO:
        return "io";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNSUPPORTED:
        return "unsupported";
    }
    return "unknown";
}
