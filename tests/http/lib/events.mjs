// events.mjs - what the gateway says happened: files of lines, and a receiver.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

/** All events of a file and of those it was renamed to; torn lines throw. */
export function readEvents(file) {
    const dir = path.dirname(file), base = path.basename(file);

    if (!fs.existsSync(dir))
        return [];
    return fs.readdirSync(dir).filter((name) => name === base || name.startsWith(`${base}.`)).sort()
        .flatMap((name) => parseLines(fs.readFileSync(path.join(dir, name), 'utf8')));
}

export function parseLines(text) {
    const lines = text.split('\n');

    if (lines.pop() !== '')
        throw new Error('the last line is not whole');
    return lines.map((line) => JSON.parse(line));
}

/** What makes an event unique. */
export function nameOf(event) {
    return `${event.gateway}/${event.boot}/${event.thread}/${event.n}`;
}

/** A receiver of batches. answer: status to give, or a function of the events. */
export class Receiver {
    batches = [];
    requests = [];
    answer = 200;

    async listen(port = 0) {
        this.server = http.createServer((req, res) => {
            const chunks = [];

            req.on('data', (chunk) => chunks.push(chunk));
            req.on('end', () => this.take(req, res, Buffer.concat(chunks).toString()));
            req.on('error', () => {});
        });
        await new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.listen(port, '127.0.0.1', resolve);
        });
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}/events`;
        return this;
    }

    take(req, res, text) {
        const events = parseLines(text);
        const status = typeof this.answer === 'function' ? this.answer(events) : this.answer;

        this.requests.push({ method: req.method, url: req.url, headers: req.headers, count: events.length, status });
        if (status === null)
            return; // never answered
        if (status < 300)
            this.batches.push(events);
        res.writeHead(status).end();
    }

    get events() {
        return this.batches.flat();
    }

    async close() {
        this.server.closeAllConnections();
        await new Promise((resolve) => this.server.close(resolve));
    }
}

/** accepted = delivered + spooled + waiting + dropped; returns all of them. */
export function account(metrics) {
    const value = (name) => metrics.sum(`tollgate_events_${name}`);

    return {
        accepted: value('accepted_total'), delivered: value('delivered_total'), spooled: value('spooled'),
        waiting: value('waiting'), dropped: value('dropped_total'), failures: value('failures_total'),
    };
}
