// h2load.mjs - HTTP/2 clients that never retry: the counterpart of load.mjs.
//
// A session that was told GOAWAY gets no further call; the next one goes to a
// new session. A call that was sent must be answered. Node refuses by itself
// what it had queued and not sent when it reads a GOAWAY (REFUSED_STREAM on a
// session that is leaving): such a call is sent now, for the first time.
import http2 from 'node:http2';

import { patience, pause, percentile } from './wait.mjs';

export class H2Load {
    done = 0;
    issued = 0;
    failures = [];
    latencies = [];
    reconnects = 0;
    unsent = 0;
    calls = new Set();

    constructor(url, { rate = 500, sessions = 4, request, right, ca, answerMs = 5000 }) {
        Object.assign(this, { url, rate, request, right, ca, answerMs, width: sessions });
        this.sessions = [];
    }

    start() {
        this.running = true;
        this.begun = performance.now();
        this.pacer = this.pace();
        return this;
    }

    async pace() {
        while (this.running) {
            while (this.begun + (this.issued * 1000) / this.rate <= performance.now()) {
                const n = this.issued++;
                const call = this.one(n).finally(() => this.calls.delete(call));

                this.calls.add(call);
            }
            await pause(2);
        }
    }

    session(n) {
        const at = n % this.width;
        let session = this.sessions[at];

        if (session && !session.closed && !session.destroyed && !session.leaving)
            return session;
        if (session)
            this.reconnects++;
        session = this.sessions[at] = http2.connect(this.url, { ca: this.ca });
        session.on('goaway', () => (session.leaving = true));
        session.on('error', (error) => (session.failure = error));
        return session;
    }

    one(n) {
        const begin = performance.now();

        return new Promise((resolve) => {
            const fail = (why) => {
                this.failures.push(`call ${n} after ${Math.round(begin - this.begun)} ms: ${why}`);
                resolve();
            };
            const { headers, body } = this.request(n);
            const session = this.session(n);
            let stream;

            try {
                stream = session.request(headers, { endStream: !body });
            } catch (error) {
                return fail(`could not be sent: ${error.message}`);
            }
            const timer = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), patience(this.answerMs));
            let status;
            let text = '';

            stream.on('response', (h) => (status = h[':status']));
            stream.on('data', (d) => (text += d));
            stream.on('error', (error) => (stream.failure = error));
            stream.on('close', () => {
                clearTimeout(timer);
                if (stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM && session.leaving && !status) {
                    this.unsent++;
                    return this.one(n).then(resolve);
                }
                if (stream.failure || stream.rstCode)
                    return fail(`${stream.failure?.message ?? 'reset'} (code ${stream.rstCode}; ${session.failure?.message ?? 'session well'})`);
                if (!this.right({ status, text }, n))
                    return fail(`a wrong answer: ${status} ${text.slice(0, 200)}`);
                this.done++;
                this.latencies.push(performance.now() - begin);
                resolve();
            });
            if (body)
                stream.end(body);
        });
    }

    async stop() {
        this.running = false;
        await this.pacer;
        await Promise.race([Promise.all(this.calls), pause(patience(this.answerMs + 1000))]);
        this.sessions.forEach((session) => session.destroy());
        return this;
    }

    quantile(p) {
        return percentile(this.latencies, p);
    }
}
