/* err.h - the one vocabulary of failure.
 *
 * A function that can fail returns enum err and writes its result to a last
 * argument, which it leaves alone on failure. Who handles an error logs it,
 * once; who passes it up is silent.
 */
#ifndef TG_BASE_ERR_H
#define TG_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_INVALID,     /* the input is wrong; a problem says where */
    ERR_NOT_FOUND,   /* no such thing, or none the caller may see */
    ERR_LIMIT,       /* a ceiling we set was reached */
    ERR_AGAIN,       /* not now; the loop will call back */
    ERR_PEER,        /* the other side broke its protocol or left */
    ERR_IO,          /* the system refused; errno or the log says why */
    ERR_CONFLICT,    /* two things that cannot both be */
    ERR_TIMEOUT,     /* it took longer than was allowed */
    ERR_UNSUPPORTED, /* valid, but not something this program does */
};

/* A short lower-case word: "invalid", "limit", … Never NULL. */
const char *err_name(enum err e);

#endif
