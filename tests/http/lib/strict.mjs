// strict.mjs - an upstream that trusts nobody.
//
// It keeps every byte of every connection, reads requests by the strict parser
// and answers 200 once a request is whole. A connection that carries anything
// malformed is marked and dropped. All strict upstreams of a test file are in
// one registry, so that the file can end with assertNothingMalformed().
//
// A request that stops in the middle because the gateway closed the connection
// is not malformed: a gateway that streams has no other way to say "the client
// broke off". Such requests are listed in `cut`, never in `requests`.
import assert from 'node:assert/strict';
import net from 'node:net';

import { Parser, ProtocolError } from './http1.mjs';

const registry = [];

export class StrictUpstream {
    connections = [];
    requests = []; // complete ones
    cut = []; // heads (or less) whose request never became complete

    constructor(name, answer, continues) {
        this.name = name;
        this.answer = answer;
        this.continues = continues; // sends 100 to those who ask
        this.server = net.createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
        registry.push(this);
    }

    listen() {
        return new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.unref(); // a failed test must not keep the process alive
            this.server.listen(0, '127.0.0.1', () => {
                this.port = this.server.address().port;
                this.url = `http://127.0.0.1:${this.port}`;
                resolve(this);
            });
        });
    }

    accept(socket) {
        const c = { id: this.connections.length, socket, chunks: [], length: 0, malformed: null, heads: 0 };
        const parser = new Parser('request', {
            onHead: (m) => {
                c.heads++;
                if (this.continues && /^100-continue$/i.test(m.header('expect') ?? ''))
                    socket.write('HTTP/1.1 100 Continue\r\n\r\n');
                this.onHead?.(m, c);
            },
            onMessage: (m) => {
                m.connection = c;
                this.requests.push(m);
                (this.answer ?? answerOk)(m, c, this);
            },
        });

        c.parser = parser;
        this.connections.push(c);
        socket.setNoDelay(true);
        socket.unref();
        socket.on('data', (chunk) => {
            c.chunks.push(chunk);
            c.length += chunk.length;
            if (c.malformed)
                return;
            try {
                parser.push(chunk);
            } catch (error) {
                if (!(error instanceof ProtocolError))
                    throw error;
                c.malformed = error.message;
                socket.destroy();
            }
        });
        socket.on('end', () => socket.end());
        socket.on('error', () => {});
        socket.on('close', () => {
            c.closed = true;
            if (!parser.idle && !c.malformed)
                this.cut.push(parser.message ?? { startLine: parser.buffer.toString('latin1') });
        });
    }

    /** Where we are now; since(mark) tells what came after. */
    mark() {
        return { requests: this.requests.length, lengths: this.connections.map((c) => c.length) };
    }

    since(mark) {
        const bytes = this.connections.map((c) => {
            const all = c.chunks.length === 1 ? c.chunks[0] : Buffer.concat(c.chunks);

            if (c.chunks.length > 1)
                c.chunks = [all];
            return all.latin1Slice(mark.lengths[c.id] ?? 0);
        });

        return { requests: this.requests.slice(mark.requests), bytes: bytes.filter(Boolean).join('\n---\n') };
    }

    malformed(which = () => true) {
        return this.connections.filter((c) => c.malformed && which(c)).map((c) =>
            `${this.name}: ${c.malformed} in ${JSON.stringify(Buffer.concat(c.chunks).toString('latin1').slice(-300))}`);
    }

    close() {
        for (const c of this.connections)
            c.socket.destroy();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

/** The plain answer: says which request it belongs to. */
export function answerOk(request, connection, upstream) {
    const body = `${upstream.name} ${upstream.requests.length}\n`;
    const close = /(^|,)\s*close\s*(,|$)/i.test(request.header('connection') ?? '');

    connection.socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n' +
        `Content-Length: ${body.length}\r\n${close ? 'Connection: close\r\n' : ''}\r\n` +
        (request.method === 'HEAD' ? '' : body));
    if (close)
        connection.socket.end();
}

export function startStrict({ name = 'strict', answer, continues = true } = {}) {
    return new StrictUpstream(name, answer, continues).listen();
}

/** No strict upstream of this process was ever sent a malformed byte. */
export function assertNothingMalformed() {
    assert.deepEqual(registry.flatMap((u) => u.malformed()), [], 'malformed bytes reached an upstream');
}

/** The same for what came since the last call, so that one test is blamed. */
export function assertNothingMalformedSince() {
    const fresh = registry.flatMap((u) => u.malformed((c) => !c.blamed));

    for (const c of registry.flatMap((u) => u.connections))
        c.blamed ||= Boolean(c.malformed);
    assert.deepEqual(fresh, [], 'malformed bytes reached an upstream');
}
