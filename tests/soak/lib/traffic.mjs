// traffic.mjs - many kinds of calls at bounded rates, for as long as it takes.
//
// A kind is a function that makes one call (or one burst) on a connection and
// throws when the answer is not its own. What it throws is a lost call unless
// the kind excuses it; a Wrong answer or malformed bytes are never excused.
import assert from 'node:assert/strict';

import { ProtocolError } from '../../http/lib/http1.mjs';
import { connect } from '../../http/lib/raw.mjs';
import { patience, pause } from '../../http/lib/wait.mjs';
import { told } from './backends.mjs';

/** An answer that is somebody else's, or none at all in its place. */
export class Wrong extends Error {}

/** The gateway answered that it could not: a JSON error of its own. */
export class Refused extends Error {}

export const ANSWER_MS = 10000;

let tokens = 0;

export function freshToken() {
    return `k${(++tokens).toString(36)}x${Math.random().toString(36).slice(2, 8)}`;
}

/** Fails unless the answer is the backend's, about this very call. */
export function verify(answer, { token, method = 'GET', body, text }) {
    if (answer.status >= 500 && answer.header('x-token') === undefined)
        throw new Refused(`${answer.status} ${answer.text.slice(0, 200)}`);
    if (answer.status !== 200 || answer.header('x-token') !== token)
        throw new Wrong(`${answer.status} for ${answer.header('x-token')}, asked as ${token}: ${answer.text.slice(0, 200)}`);
    const expected = method === 'HEAD' ? '' : text ?? told({ token, method, body });

    if (!answer.body.equals(Buffer.from(expected)))
        throw new Wrong(`the body is not that of ${token}: ${answer.bodyLength} bytes, ${answer.text.slice(0, 200)}`);
}

/** The next answer; what came before it is forgotten, connections live long. */
export async function nextAnswer(client, ms = ANSWER_MS) {
    const answer = await client.response(ms);

    if (client.taken === client.responses.length) {
        client.responses.length = 0;
        client.heads.length = 0;
        client.taken = 0;
    }
    if (/close/i.test(answer.header('connection') ?? ''))
        client.closing = true; // nothing more may be asked on it
    return answer;
}

/** One call to PATH/t/TOKEN, verified; gives the answer. */
export async function ask(client, path, { method = 'GET', body, headers, text, ms } = {}) {
    const token = freshToken();

    await client.request({ method, path: `${path}/t/${token}`, body, headers });
    const answer = await nextAnswer(client, ms);

    verify(answer, { token, method, body, text: text?.(token) });
    return answer;
}

export class Traffic {
    done = 0;
    lost = []; // calls without their answer, and no excuse
    wrong = []; // wrong answers, malformed bytes
    excused = 0;
    reconnects = 0;
    byKind = new Map();

    constructor() {
        this.begun = Date.now();
        this.workers = [];
        this.running = true;
    }

    /**
     * Calls run(client, n) `rate` times a second over `width` connections to
     * `port`; calls: how many calls one run makes; life: runs on one
     * connection; bare: run(n) opens its connections itself.
     */
    add(name, { port, tls, rate, width = 2, life = 200, bare = false, calls = 1, excuse = () => false, run }) {
        const kind = { name, port, tls, rate, life, bare, calls, excuse, run, issued: 0, done: 0, excused: 0, begun: performance.now() };

        this.byKind.set(name, kind);
        for (let i = 0; i < width; i++)
            this.workers.push(this.work(kind));
        return this;
    }

    async work(kind) {
        let client = null;

        while (this.running) {
            const late = performance.now() - kind.begun - (kind.issued * 1000) / kind.rate;

            if (late < 0) {
                await pause(Math.min(200, Math.max(1, -late)));
                continue;
            }
            if (late > 1000) // a rate is a rate: nothing is caught up in a burst
                kind.begun += late;
            client = await this.one(kind, kind.issued++, client);
        }
        client?.destroy();
    }

    /** One run; gives back the connection when it may be used again. */
    async one(kind, n, client) {
        const begin = Date.now();

        if (client?.over) {
            client.destroy();
            client = null;
            this.reconnects++;
        }
        try {
            if (kind.bare) {
                await kind.run(n);
            } else {
                client ??= await connect(kind.port, { tls: kind.tls });
                await kind.run(client, n);
            }
            this.done += kind.calls;
            kind.done += kind.calls;
        } catch (error) {
            this.failed(kind, n, begin, error);
            client?.destroy();
            return null;
        }
        if (client && (client.closing || (client.runs = (client.runs ?? 0) + 1) >= kind.life)) {
            client.destroy();
            return null;
        }
        return client;
    }

    failed(kind, n, begin, error) {
        const end = Date.now();
        const what = `${kind.name} ${n}, ${((begin - this.begun) / 1000).toFixed(1)} s to ${((end - this.begun) / 1000).toFixed(1)} s: ${error.message}`;

        if (error instanceof Wrong || error instanceof ProtocolError || error instanceof assert.AssertionError) {
            this.wrong.push(what);
        } else if (kind.excuse(begin, end, error)) {
            this.excused++;
            kind.excused++;
        } else {
            this.lost.push(what);
        }
    }

    get problems() {
        return [...this.wrong, ...this.lost];
    }

    /** Ends when the calls under way have ended, each by its own time-out. */
    async stop() {
        this.running = false;
        await Promise.all(this.workers);
    }
}

/**
 * An event stream that is held open; every event is looked at. It ends by
 * close() alone; anything else, or a gap in the numbers, is a problem.
 */
export class HeldStream {
    problem = null;
    events = 0;

    static async open(port, path, { tls } = {}) {
        const held = new HeldStream();
        const token = freshToken();

        held.client = await connect(port, { tls });
        held.path = path;
        held.token = token;
        held.rest = '';
        held.client.onData = (chunk, message) => {
            message.chunks.length = 0; // days of it would fit no memory
            held.take(chunk.toString('latin1'));
        };
        await held.client.request({ path: `${path}/events/t/${token}` });
        const head = await held.client.head(0, ANSWER_MS);

        if (head.status !== 200 || head.header('x-token') !== token)
            throw new Wrong(`${head.status} for an event stream at ${path}`);
        held.last = Date.now();
        return held;
    }

    take(text) {
        const lines = (this.rest + text).split('\n\n');

        this.rest = lines.pop();
        this.last = Date.now();
        for (const line of lines) {
            if (line !== `data: ${this.token} ${this.events}`)
                this.problem ??= `event ${this.events} of ${this.token} at ${this.path} was "${line}"`;
            this.events++;
        }
    }

    /** What is wrong with it, or null. */
    check() {
        if (!this.problem && (this.client.over || this.client.error))
            this.problem = `the event stream at ${this.path} ended after ${this.events} events`;
        else if (!this.problem && Date.now() - this.last > patience(5000))
            this.problem = `the event stream at ${this.path} is silent after ${this.events} events`;
        return this.problem;
    }

    close() {
        this.client.destroy();
    }
}
