/* clock.h - time and randomness, through one door.
 *
 * Code that decides by time takes the time as an argument; only loops and
 * main programs read clocks. The loop reads once per turn.
 */
#ifndef TG_BASE_CLOCK_H
#define TG_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic microseconds; never goes back, unrelated to the wall. */
uint64_t clock_mono_us(void);
/* The same clock in nanoseconds, for what takes less than one. */
uint64_t clock_mono_ns(void);
/* Microseconds since 1970-01-01 UTC. */
uint64_t clock_wall_us(void);
/* Cryptographic bytes; ends the process when the kernel has none. */
void random_bytes(void *p, size_t n);

/* A small fast generator for ids and balancing, never for secrets
 * (wyrand). Seed it once per thread from random_bytes(). */
struct rng {
    uint64_t state;
};
void rng_seed(struct rng *r);
uint64_t rng_next(struct rng *r);
/* Evenly in [0, n); n > 0. */
uint32_t rng_below(struct rng *r, uint32_t n);

/* "2026-11-21T08:00:00.123Z" into out (25 bytes with NUL). */
void clock_iso8601(uint64_t wall_us, char out[25]);
/* "Sat, 21 Nov 2026 08:00:00 GMT" into out (30 bytes with NUL), RFC 9110
 * section 5.6.7. */
void clock_http_date(uint64_t wall_us, char out[30]);

#endif
