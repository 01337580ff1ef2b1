/* hand_loop.h - a loop that a test turns by hand, on the clock of fake_time.h,
 * and a place for it to connect to.
 *
 * Included by one file of a program each, so everything is static.
 */
#ifndef TG_TESTS_HAND_LOOP_H
#define TG_TESTS_HAND_LOOP_H

#include "net/address_class.h"
#include "net/fake_time.h"
#include "net/loop.h"
#include "net/sock.h"

static struct loop *loop; /* the test makes and frees it */

static inline void turn(unsigned times)
{
    while (times--)
        loop_turn(loop, 0);
}

/* Lets time pass, in steps, so that what is due in between happens. */
static inline void pass(uint64_t ms)
{
    while (ms) {
        uint64_t step = ms < 10 ? ms : 10;

        fake_pass(step);
        turn(1);
        ms -= step;
    }
}

/* Listens on a free port of 127.0.0.1. */
static inline int listen_here(unsigned *port)
{
    struct address at;
    int fd;

    assert_int_equal(sock_parse(STR("127.0.0.1:0"), &at), ERR_OK);
    assert_int_equal(sock_listen(&at, 16, false, &fd), ERR_OK);
    assert_int_equal(sock_local(fd, &at), ERR_OK);
    *port = address_port((const struct sockaddr *)&at.sa);
    return fd;
}

#endif
