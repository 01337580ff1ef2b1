/* attempts.h - failed authentications per client address.
 *
 * Guessing is slowed down, and work that bad credentials cause is bounded:
 * an address that failed too often within a window is refused before anything
 * costly is done. IPv6 counts by /64. Any thread; no locks: a table of fixed
 * size, in which a newcomer may take the place of an older address.
 */
#ifndef TG_GATEWAY_ATTEMPTS_H
#define TG_GATEWAY_ATTEMPTS_H

#include <stdbool.h>
#include <stdint.h>

struct attempts;

struct attempts *attempts_new(void);
void attempts_free(struct attempts *a);
/* At most failures in window_ms; failures 0: no limit. */
void attempts_set_limit(struct attempts *a, uint64_t failures,
                        uint64_t window_ms);
/* Whether the address may try. now_ms: monotonic. */
bool attempts_allow(const struct attempts *a, const uint8_t ip[16],
                    uint64_t now_ms);
void attempts_failed(struct attempts *a, const uint8_t ip[16], uint64_t now_ms);
/* Seconds until the address may try again, at least 1. */
uint32_t attempts_wait_s(const struct attempts *a, uint64_t now_ms);

#endif
