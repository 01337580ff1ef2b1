/* fake_time.h - the clock and the sleep of a test program, so that hours pass
 * in no time and no test depends on how busy the machine is.
 *
 * Included by one file of a program: it takes the place of the C library's
 * clock_gettime() and epoll_wait(). Time stands still but for fake_pass() and
 * for sleeps: an epoll_wait() that finds nothing ends at once and moves the
 * clock by its time-out. time_is_real gives the real ones back (threads).
 */
#ifndef TG_TESTS_FAKE_TIME_H
#define TG_TESTS_FAKE_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool time_is_real;
static uint64_t fake_us = 1000000000ull; /* since some start */
static int last_wait_ms;                 /* what epoll_wait() was asked for */

static inline void fake_pass(uint64_t ms)
{
    fake_us += ms * 1000;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    if (time_is_real || id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, out);
    out->tv_sec = (time_t)(fake_us / 1000000);
    out->tv_nsec = (long)(fake_us % 1000000) * 1000;
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    int n;

    last_wait_ms = timeout;
    n = (int)syscall(SYS_epoll_pwait, fd, events, max,
                     time_is_real ? timeout : 0, NULL, 8);
    if (n == 0 && timeout > 0 && !time_is_real)
        fake_pass((uint64_t)timeout);
    return n;
}

#endif
