// hostile.mjs - an upstream that answers as a case tells it to.
//
// Requests are read by the strict parser (what the gateway sends must be right
// even here). The path decides: .../case/<name> plays that case, anything else
// is answered well, with the last path segment as the body, so that a caller
// can tell whether an answer is its own.
import { startStrict } from './strict.mjs';
import { bytes } from './raw.mjs';
import { pause } from './wait.mjs';

/** What a case may do to the connection. */
export class Stage {
    constructor(request, connection) {
        this.request = request;
        this.connection = connection;
        this.socket = connection.socket;
    }

    send(text) {
        if (this.socket.destroyed)
            return Promise.resolve(false);
        return new Promise((resolve) => this.socket.write(bytes(text), (error) => resolve(!error)));
    }

    /** Sends as much as the peer takes, at most n times; false when it left. */
    async flood(text, n) {
        for (let i = 0; i < n; i++)
            if (!(await this.send(text)))
                return false;
        return true;
    }

    /** One piece every `ms`. */
    async drip(pieces, ms) {
        for (const piece of pieces) {
            if (!(await this.send(piece)))
                return;
            await pause(ms);
        }
    }

    close() {
        this.socket.end();
    }

    reset() {
        this.socket.resetAndDestroy();
    }

    wait(ms) {
        return pause(ms);
    }
}

export class Hostile {
    played = new Map(); // name -> how often

    constructor(cases) {
        this.cases = cases;
    }

    async start() {
        this.upstream = await startStrict({ name: 'hostile', continues: false, answer: (m, c) => this.answer(m, c) });
        // Cases that answer before the body is read begin at the head.
        this.upstream.onHead = (m, c) => {
            const found = this.caseOf(m);

            if (found?.continues)
                c.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
            if (found?.early)
                this.play(found, m, c);
        };
        this.port = this.upstream.port;
        this.url = this.upstream.url;
        return this;
    }

    caseOf(message) {
        const name = /\/case\/([^/?]+)/.exec(message.target)?.[1];

        return name && this.cases.get(decodeURIComponent(name));
    }

    answer(message, connection) {
        const found = this.caseOf(message);

        if (!found) {
            const token = message.target.split(/[/?]/).filter(Boolean).at(-1);

            connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${token.length}\r\n\r\n${message.method === 'HEAD' ? '' : token}`);
        } else if (!found.early) {
            this.play(found, message, connection);
        }
    }

    play(found, message, connection) {
        this.played.set(found.name, (this.played.get(found.name) ?? 0) + 1);
        const stage = new Stage(message, connection);

        if (typeof found.answer === 'function')
            Promise.resolve(found.answer(stage)).catch(() => {});
        else
            stage.send(found.answer).then(() => found.close && stage.close());
    }

    close() {
        return this.upstream.close();
    }
}
