// raw.mjs - a client that sends exactly the bytes it is told to.
//
// Answers are read by the strict parser of http1.mjs; a connection remembers
// everything that happened to it, so a test can ask after the fact.
import net from 'node:net';
import tls from 'node:tls';

import { Parser, ProtocolError } from './http1.mjs';
import { patience, pause } from './wait.mjs';

/** Strings are bytes: U+0000..U+00FF. */
export function bytes(text) {
    return Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1');
}

export class RawClient {
    responses = []; // complete ones, in order
    heads = []; // heads seen, complete or not
    error = null; // a ProtocolError: the peer sent malformed bytes
    failure = null; // a socket error (ECONNRESET and the like)
    ended = false; // the peer sent FIN
    closed = false; // the socket is gone
    received = 0;
    taken = 0; // responses handed out by response()
    waiters = new Set();

    constructor(socket) {
        this.socket = socket;
        this.parser = new Parser('response', {
            onHead: (m) => this.heads.push(m),
            onMessage: (m) => this.responses.push(m),
            onData: (chunk, m) => this.onData?.(chunk, m),
        });
        socket.setNoDelay(true);
        socket.on('data', (chunk) => this.arrived(chunk));
        socket.on('end', () => this.note(() => {
            this.ended = true;
            if (!this.error)
                this.parser.eof();
        }));
        socket.on('error', (error) => this.note(() => (this.failure = error)));
        socket.on('close', () => this.note(() => {
            if (!this.ended && !this.error && !this.parser.idle)
                this.parser.truncated = true; // a reset ends no body
            this.closed = true;
        }));
    }

    arrived(chunk) {
        this.received += chunk.length;
        this.firstBytes ??= chunk;
        if (this.error)
            return;
        this.note(() => {
            try {
                this.parser.push(chunk);
            } catch (error) {
                if (!(error instanceof ProtocolError))
                    throw error;
                this.error = error;
            }
        });
    }

    note(change) {
        change();
        for (const waiter of [...this.waiters])
            waiter();
    }

    /** The peer ended the connection, one way or the other. */
    get over() {
        return this.ended || this.closed;
    }

    /** The answer under way was cut off. */
    get truncated() {
        return this.parser.truncated;
    }

    /** The 1xx answers that arrived and belong to no final one yet. */
    get interim() {
        return this.parser.interim ?? [];
    }

    /** True when check(this) holds within `ms`; never throws. */
    when(check, ms = 5000) {
        if (check(this))
            return Promise.resolve(true);
        return new Promise((resolve) => {
            const done = (result) => {
                clearTimeout(timer);
                this.waiters.delete(look);
                resolve(result);
            };
            const look = () => check(this) && done(true);
            const timer = setTimeout(() => done(false), patience(ms));

            this.waiters.add(look);
        });
    }

    /** Writes bytes; resolves when the kernel took them or the socket died. */
    write(data) {
        if (this.closed || this.socket.destroyed || this.socket.writableEnded)
            return Promise.resolve(false);
        return new Promise((resolve) => {
            this.socket.write(bytes(data), (error) => resolve(!error));
        });
    }

    /**
     * Sends text, a Buffer, or parts as the vectors have them:
     * {s}, {rep, n}, {pause}, {split}.
     */
    async send(raw) {
        for (const part of Array.isArray(raw) ? raw : [{ s: raw }]) {
            if (part.pause !== undefined)
                await pause(part.pause);
            else if (part.rep !== undefined)
                await this.write(bytes(part.rep.repeat(part.n)));
            else if (part.split !== undefined)
                for (const byte of bytes(part.split))
                    await this.write(Buffer.of(byte));
            else
                await this.write(part.s);
        }
        return this;
    }

    /** Tells the parser which request comes next; plain GETs need no word. */
    expecting(method, version = '1.1') {
        this.parser.expect.push({ method, version });
        return this;
    }

    /** Sends one well-formed request. */
    async request({ method = 'GET', path = '/', host, headers = {}, body, close = false } = {}) {
        this.expecting(method);
        await this.write(requestBytes({ method, path, host: host ?? this.host, headers, body, close }));
        return this;
    }

    /** The next complete answer; throws when it is malformed, cut or late. */
    async response(ms = 5000) {
        const wanted = this.taken + 1;

        await this.when((c) => c.responses.length >= wanted || c.error || c.over, ms);
        if (this.responses.length >= wanted)
            return this.responses[this.taken++];
        if (this.error)
            throw this.error;
        if (this.over)
            throw new Error(`the connection ended ${this.truncated ? 'inside' : 'before'} the answer` +
                (this.failure ? ` (${this.failure.code})` : ''));
        throw new Error(`no answer within ${patience(ms)} ms`);
    }

    /** The next head (its body may still be coming). */
    async head(index = 0, ms = 5000) {
        await this.when((c) => c.heads.length > index || c.error || c.over, ms);
        if (this.heads.length > index)
            return this.heads[index];
        throw this.error ?? new Error('no answer head');
    }

    /** Half close: no more bytes from us. */
    end() {
        this.socket.end();
    }

    destroy() {
        this.socket.destroy();
    }

    /** Resets the connection instead of closing it. */
    reset() {
        if (this.socket.resetAndDestroy && !(this.socket instanceof tls.TLSSocket))
            this.socket.resetAndDestroy();
        else
            this.socket.destroy();
    }
}

/** Joins a head and a body; a body gets its Content-Length unless framed. */
export function requestBytes({ method, path, host, headers = {}, body, close }) {
    const fields = Array.isArray(headers) ? headers : Object.entries(headers);
    const names = new Set(fields.map(([n]) => n.toLowerCase()));
    const lines = [`${method} ${path} HTTP/1.1`];

    if (!names.has('host'))
        lines.push(`Host: ${host}`);
    for (const [name, value] of fields)
        lines.push(`${name}: ${value}`);
    if (body !== undefined && !names.has('content-length') && !names.has('transfer-encoding'))
        lines.push(`Content-Length: ${bytes(body).length}`);
    if (close)
        lines.push('Connection: close');
    return Buffer.concat([bytes(`${lines.join('\r\n')}\r\n\r\n`), bytes(body ?? '')]);
}

/** A port number, "host:port", or an object with a port. */
function target(where) {
    if (typeof where === 'number')
        return { host: '127.0.0.1', port: where };
    if (typeof where === 'string') {
        const colon = where.lastIndexOf(':');

        return { host: where.slice(0, colon), port: Number(where.slice(colon + 1)) };
    }
    return { host: '127.0.0.1', port: where.port };
}

/** Connects; options: tls ({ca, cert, key, servername, …}), localAddress. */
export function connect(where, { tls: secure, localAddress, ms = 5000 } = {}) {
    const { host, port } = target(where);

    return new Promise((resolve, reject) => {
        const plain = net.connect({ host, port, localAddress, allowHalfOpen: true });
        const socket = secure
            ? tls.connect({ socket: plain, ALPNProtocols: ['http/1.1'], servername: 'localhost', ...secure })
            : plain;
        const timer = setTimeout(() => fail(new Error(`no connection to ${host}:${port} in time`)),
            patience(ms));
        const fail = (error) => {
            clearTimeout(timer);
            plain.destroy();
            reject(error);
        };

        plain.on('error', fail);
        socket.once('error', fail);
        socket.once(secure ? 'secureConnect' : 'connect', () => {
            clearTimeout(timer);
            socket.off('error', fail);
            const client = new RawClient(socket);

            client.host = `${secure ? 'localhost' : host}:${port}`;
            resolve(client);
        });
    });
}

/** One call on a connection of its own. */
export async function call(where, path, options = {}) {
    const { ms, tls: secure, localAddress, ...request } = options;
    const client = await connect(where, { tls: secure, localAddress, ms });

    try {
        await client.request({ path, close: true, ...request });
        return await client.response(ms);
    } finally {
        client.destroy();
    }
}
