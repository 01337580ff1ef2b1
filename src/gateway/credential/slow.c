/* slow.c - see slow.h. */
#include "gateway/credential/slow.h"

#include <pthread.h>
#include <signal.h>

#include "base/arena.h"
#include "base/log.h"

struct slow {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct slow_job *first, **last;
    size_t count, most;
    bool ending;
};

static void to_loop(struct task *t)
{
    struct slow_job *job = (struct slow_job *)t;

    job->end(job);
}

static struct slow_job *next_job(struct slow *s)
{
    struct slow_job *job;

    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->ending)
        pthread_cond_wait(&s->more, &s->lock);
    job = s->ending ? NULL : s->first;
    if (job) {
        s->first = job->next;
        if (!s->first)
            s->last = &s->first;
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return job;
}

static void *run(void *arg)
{
    struct slow_job *job;

    while ((job = next_job(arg))) {
        job->work(job);
        job->task.run = to_loop;
        loop_post(job->loop, &job->task);
    }
    return NULL;
}

struct slow *slow_new(size_t line)
{
    struct slow *s = x_new(sizeof(*s));
    sigset_t all, old;

    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    s->last = &s->first;
    s->most = line;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    must(pthread_create(&s->thread, NULL, run, s) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_setname_np(s->thread, "slow");
    return s;
}

enum err slow_start(struct slow *s, struct loop *loop, struct slow_job *job)
{
    enum err e = ERR_LIMIT;

    pthread_mutex_lock(&s->lock);
    if (s->count < s->most) {
        job->loop = loop;
        job->next = NULL;
        *s->last = job;
        s->last = &job->next;
        s->count++;
        pthread_cond_signal(&s->more);
        e = ERR_OK;
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

void slow_free(struct slow *s)
{
    struct slow_job *job;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while ((job = s->first)) {
        s->first = job->next;
        job->drop(job);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->more);
    x_free(s);
}
