/* budget.h - one process-wide allowance for the memory that strangers make us
 * hold: buffered bodies, half-read heads, unsent output.
 *
 * Each thread draws in slices, so that a call touches no shared line. Over
 * the limit takes still succeed (what is in flight must finish), but
 * budget_tight() tells the server to refuse new exchanges.
 */
#ifndef TG_BASE_BUDGET_H
#define TG_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bytes 0: no limit. */
void budget_set_limit(uint64_t bytes);
uint64_t budget_limit(void);
/* Bytes taken, to within a slice (64 KiB) per thread. */
uint64_t budget_used(void);
void budget_take(size_t n);
void budget_give(size_t n);
/* More than 90 % of the limit is taken. */
bool budget_tight(void);
/* Bytes the process may use: cgroup v2 or v1 limit, else physical memory. */
uint64_t budget_machine_bytes(void);
/* CPUs the process may use: affinity and cgroup quota, rounded up, at least
 * 1. */
unsigned budget_machine_cpus(void);

/* malloc and free that are counted; budget_alloc() ends the process when
 * memory is out. */
void *budget_alloc(size_t n);
void budget_free(void *p, size_t n);

#endif
