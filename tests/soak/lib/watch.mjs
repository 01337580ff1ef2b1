// watch.mjs - looks at memory, descriptors and the loops of a gateway.
import { percentile } from '../../http/lib/wait.mjs';

export const GROWTH = 32 << 20; // above the median of the first quarter

const mib = (bytes) => (bytes / 1048576).toFixed(1);

export class Watch {
    samples = []; // {at, rss, fds}, one a second
    lag = 0;
    dropped = 0;

    constructor(gateway, totalMs) {
        this.gateway = gateway;
        this.begun = Date.now();
        this.quarter = this.begun + totalMs / 4;
    }

    sample() {
        this.samples.push({ at: Date.now(), rss: this.gateway.rss(), fds: this.gateway.fds() });
    }

    async scrape() {
        const metrics = await this.gateway.metrics();

        this.lag = Math.max(this.lag, ...metrics.find('tollgate_loop_lag_seconds').map((s) => s.value));
        this.dropped = metrics.sum('tollgate_access_log_dropped_total');
        return metrics;
    }

    /** {median, peak}: of the first quarter, and the most since then. */
    get memory() {
        const first = this.samples.filter((s) => s.at <= this.quarter);
        const rest = this.samples.filter((s) => s.at > this.quarter);

        return { median: percentile(first.map((s) => s.rss), 0.5), peak: Math.max(0, ...rest.map((s) => s.rss)) };
    }

    /** The usual number of descriptors in the last ten seconds. */
    get level() {
        return percentile(this.samples.slice(-10).map((s) => s.fds), 0.5);
    }

    /** What went out of bounds, or null. */
    check() {
        const { median, peak } = this.memory;

        if (peak > median + GROWTH)
            return `memory is at ${mib(peak)} MiB, its median in the first quarter was ${mib(median)} MiB`;
        if (this.lag >= 1)
            return `a turn of a loop took ${this.lag.toFixed(2)} s`;
        if (this.dropped > 0)
            return `${this.dropped} lines of the access log were dropped`;
        return null;
    }

    get line() {
        const last = this.samples.at(-1) ?? { rss: 0, fds: 0 };

        return `${mib(last.rss)} MiB (median at first ${mib(this.memory.median)}), ${last.fds} descriptors, lag ${(this.lag * 1000).toFixed(0)} ms`;
    }
}
