/* signals.c - see signals.h. */
#include "cmd/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void ready(struct io *io, uint32_t events)
{
    struct signals *s = (struct signals *)io;
    struct signalfd_siginfo info;

    (void)events;
    while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        s->on(s, (int)info.ssi_signo);
}

enum err signals_begin(struct signals *s, struct loop *l, const int *numbers,
                       void (*on)(struct signals *s, int number))
{
    sigset_t set;

    sigemptyset(&set);
    while (*numbers)
        sigaddset(&set, *numbers++);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->io.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    s->io.ready = ready;
    s->on = on;
    if (s->io.fd < 0)
        return ERR_IO;
    return loop_watch(l, &s->io, EPOLLIN);
}

void signals_end(struct signals *s, struct loop *l)
{
    loop_unwatch(l, &s->io);
    close(s->io.fd);
}
