// wait.mjs - time in tests: one place that knows how patient to be.
//
// TOLLGATE_SLOW=1 (`make test-long`: sanitizers) multiplies every time-out by
// six and asks for the long loops. TOLLGATE_LONG=1 is for the shipped build:
// long loops, full rates, and the bounds as they are meant.

export const SLOW = process.env.TOLLGATE_SLOW === '1';
export const LONG = process.env.TOLLGATE_LONG === '1';
const SCALE = SLOW ? 6 : 1;

/** A time-out in milliseconds, stretched on slow builds. */
export function patience(ms) {
    return ms * SCALE;
}

/** Pauses for exactly this long; for pacing, never for hoping. */
export function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves with the first truthy result of check(); fails after `ms`. */
export async function until(check, { ms = 5000, what = 'a condition', every = 10 } = {}) {
    const end = Date.now() + patience(ms);

    for (;;) {
        const result = await check();

        if (result)
            return result;
        if (Date.now() > end)
            throw new Error(`waited ${patience(ms)} ms in vain for ${what}`);
        await pause(every);
    }
}

/** The promise, or an error after `ms`. */
export function within(promise, ms, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no ${what} within ${patience(ms)} ms`)),
            patience(ms));
    });

    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The value below which the share p (0..1) of the numbers lies. */
export function percentile(numbers, p) {
    const sorted = [...numbers].sort((a, b) => a - b);

    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] : 0;
}
