// clock.mjs - a wall clock that tests set while the gateway runs (faketime).
//
// The program reads the time from a file as often as it asks for it. Timers
// run on the other clock, which nobody sets.
import fs from 'node:fs';

import { patience, pause } from './wait.mjs';

const LIBRARIES = ['x86_64', 'aarch64'].map((cpu) => `/usr/lib/${cpu}-linux-gnu/faketime/libfaketimeMT.so.1`);
const library = LIBRARIES.find((file) => fs.existsSync(file));

/** Why the clock cannot be set, or false. */
export const NO_CLOCK = !library && 'faketime is missing: tools/setup.sh test';

export class Clock {
    constructor(file) {
        this.file = file;
        this.env = {
            LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1', TZ: 'UTC',
            // ASan wants to be the first library, and works as the second.
            ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
        };
        this.write('+0');
    }

    write(text) {
        fs.writeFileSync(`${this.file}.new`, `${text}\n`);
        fs.renameSync(`${this.file}.new`, this.file);
    }

    /** A thread looks at the clock twice a second. */
    seen() {
        return pause(patience(650));
    }

    /** It goes on from so many seconds away from the true time. */
    async shift(seconds) {
        this.offset = seconds;
        this.write(`${seconds < 0 ? '' : '+'}${seconds}`);
        await this.seen();
    }

    /** It goes on from there: seconds since 1970. */
    set(seconds) {
        return this.shift(Math.round(seconds - Date.now() / 1000));
    }

    /** It stands still there, but for the half second between two looks. */
    async freeze(seconds) {
        this.write(new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' '));
        await this.seen();
    }

    /** What it shows, in seconds since 1970, after shift() or set(). */
    get now() {
        return Date.now() / 1000 + (this.offset ?? 0);
    }
}
