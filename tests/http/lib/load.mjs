// load.mjs - clients that never retry and forget nothing.
//
// A bounded rate is spread over kept connections. Whatever is not the right
// answer is a failure: a refused connection, a connection that ends with a
// call under way, a wrong status, a wrong body, a late answer. A connection
// that the server closed between calls is opened again, which is no failure.
import { connect } from './raw.mjs';
import { patience, pause, percentile } from './wait.mjs';

export class Load {
    done = 0;
    latencies = [];
    failures = [];
    reconnects = 0;

    /** request(n): what to send as n-th call; right(answer, n): truthy if it is the answer. */
    constructor(port, { rate = 500, connections = 8, request, right, tls, answerMs = 5000, path = '/' }) {
        Object.assign(this, { port, rate, tls, answerMs });
        this.request = request ?? (() => ({ path }));
        this.right = right ?? ((answer) => answer.status === 200);
        this.width = connections;
    }

    start() {
        this.running = true;
        this.begun = performance.now();
        this.issued = 0;
        this.workers = Array.from({ length: this.width }, () => this.work());
        return this;
    }

    async work() {
        let client = null;

        while (this.running) {
            const due = this.begun + (this.issued * 1000) / this.rate;
            const now = performance.now();

            if (due > now) {
                await pause(Math.max(1, due - now));
                continue;
            }
            const n = this.issued++;

            client = await this.one(n, client);
        }
        client?.destroy();
    }

    /** One call; gives back the connection when it may be used again. */
    async one(n, client) {
        const begin = performance.now();

        if (client?.over) {
            client.destroy();
            client = null;
            this.reconnects++;
        }
        try {
            client ??= await connect(this.port, { tls: this.tls });
            await client.request(this.request(n));
            const answer = await client.response(this.answerMs);

            if (!this.right(answer, n))
                throw new Error(`a wrong answer: ${answer.status} ${answer.text.slice(0, 200)}`);
            this.done++;
            this.latencies.push(performance.now() - begin);
            if (/close/i.test(answer.header('connection') ?? '')) {
                client.destroy();
                this.reconnects++;
                return null;
            }
            return client;
        } catch (error) {
            this.failures.push(`call ${n} after ${Math.round(begin - this.begun)} ms: ${error.message}`);
            client?.destroy();
            return null;
        }
    }

    async stop() {
        this.running = false;
        await Promise.race([Promise.all(this.workers), pause(patience(this.answerMs + 1000))]);
        return this;
    }

    /** Milliseconds below which the share p of the answers came. */
    quantile(p) {
        return percentile(this.latencies, p);
    }
}
