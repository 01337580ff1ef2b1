// time.mjs - how the minutes of a soak are shared, and one line now and then.

/** All of tests/soak together take this long. */
export const MINUTES = Number(process.env.SOAK_MINUTES ?? 30);

/** A share of them in milliseconds. */
export function share(part) {
    return MINUTES * 60000 * part;
}

/** Prints at once; a diagnostic of node:test would come at the end. */
export function say(text) {
    console.log(`# ${new Date().toISOString().slice(11, 19)} ${text}`);
}
