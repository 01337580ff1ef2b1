// attack.mjs - runs an attack beside a probe, and looks at what is left.
import assert from 'node:assert/strict';

import { MEMORY_COUNTS } from './gateway.mjs';
import { LONG, SLOW, until } from './wait.mjs';

/** What a probe must see while others attack, in milliseconds. */
export const P99_MS = LONG && !SLOW ? 100 : SLOW ? 10000 : 1000;

/**
 * Runs attack() while the probe asks; then everything must be as before
 * within 10 s: descriptors, and memory but for 64 MiB.
 */
export async function underAttack(t, { gateway, probe, path, fresh, attack, cleanUp }) {
    const before = { fds: gateway.fds(), rss: gateway.rss() };
    let peak = 0;
    const timer = setInterval(() => (peak = Math.max(peak, gateway.rss())), 50);
    let report;

    await probe.begin(gateway.port, path, { fresh });
    try {
        await attack();
    } finally {
        clearInterval(timer);
        report = await probe.end();
        await cleanUp?.();
    }
    t.diagnostic(`${report.done} probes, p50 ${report.p50.toFixed(1)} ms, p99 ${report.p99.toFixed(1)} ms, ` +
        `peak memory ${(peak / 1048576).toFixed(0)} MiB`);
    assert.deepEqual(report.failures.slice(0, 5), [], `${report.failures.length} probes failed`);
    assert.ok(report.done > 3, `only ${report.done} probes were answered`);
    assert.ok(report.p99 < P99_MS, `p99 ${report.p99} ms`);
    // Kept backend connections and the probe's own may stay for a while.
    await until(() => gateway.fds() <= before.fds + 16, { ms: 10000, what: `descriptors to come back to ${before.fds} (now ${gateway.fds()})` });
    if (MEMORY_COUNTS)
        await until(() => gateway.rss() < before.rss + (64 << 20), { ms: 10000, what: 'memory to come back' });
    gateway.check();
    return { ...report, peak };
}
