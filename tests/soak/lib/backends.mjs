// backends.mjs - what stands behind the gateway during a soak.
//
// Unlike the upstreams of tests/http these remember nothing: a soak makes
// more calls than anybody wants to keep. A path ends in /t/TOKEN; the answer
// names the token, so that a caller can tell whether it is its own.
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import http from 'node:http';

export const BIG = 1 << 20;

/** What the backend says about a call it understood. */
export function told({ token, method, body = '' }) {
    return `${token} ${method} ${Buffer.byteLength(body)} ${createHash('sha256').update(body).digest('hex')}`;
}

/** The large answer for a token: begins and ends with it. */
export function large(token) {
    const body = Buffer.alloc(BIG, '.');

    body.write(token, 0);
    body.write(token, BIG - token.length);
    return body;
}

export class Backend {
    malformed = []; // what the gateway sent that is no HTTP

    constructor(name) {
        this.name = name;
        this.sockets = new Set();
    }

    listen(port = 0, host = '127.0.0.1') {
        this.server = http.createServer((req, res) => this.serve(req, res));
        Object.assign(this.server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, timeout: 0 });
        this.server.on('connection', (socket) => {
            this.sockets.add(socket);
            socket.on('close', () => this.sockets.delete(socket));
        });
        this.server.on('clientError', (error, socket) => {
            // A request that stops in the middle is a client's who left.
            if (/^HPE_/.test(error.code) && error.code !== 'HPE_INVALID_EOF_STATE')
                this.malformed.push(`${this.name}: ${error.code} ${error.rawPacket?.toString('latin1').slice(0, 200)}`);
            socket.destroy();
        });
        return new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.unref();
            this.server.listen(port, host, () => {
                this.port = this.server.address().port;
                this.url = `http://${host}:${this.port}`;
                resolve(this);
            });
        });
    }

    serve(req, res) {
        const token = /\/t\/([^/?]+)/.exec(req.url)?.[1] ?? 'none';

        req.on('error', () => {});
        res.on('error', () => {});
        res.setHeader('X-Token', token);
        res.setHeader('X-Path', req.url);
        if (req.url.includes('/events/'))
            return this.events(req, res, token);
        const hash = createHash('sha256');
        let length = 0;

        req.on('data', (chunk) => {
            hash.update(chunk);
            length += chunk.length;
        });
        req.on('end', () => this.answer(req, res, token, `${token} ${req.method} ${length} ${hash.digest('hex')}`));
    }

    answer(req, res, token, text) {
        const wait = /\/wait\/(\d+)\//.exec(req.url);

        if (req.url.includes('/big/')) {
            res.end(large(token));
        } else if (req.url.includes('/chunks/')) {
            res.setHeader('Trailer', 'X-Sum');
            for (const piece of text.match(/.{1,16}/g))
                res.write(piece);
            res.addTrailers({ 'X-Sum': token });
            res.end();
        } else {
            res.setHeader('Content-Type', 'text/plain');
            setTimeout(() => res.end(text), Number(wait?.[1] ?? 0));
        }
    }

    /** Numbered events until the reader leaves. */
    events(req, res, token) {
        let n = 0;

        req.resume();
        res.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const timer = setInterval(() => res.write(`data: ${token} ${n++}\n\n`), 200);

        res.on('close', () => clearInterval(timer));
    }

    close() {
        for (const socket of this.sockets)
            socket.destroy();
        return new Promise((resolve) => this.server.close(() => resolve()));
    }
}

/** A backend that is away for `downMs` every `everyMs`. */
export class Restarting extends Backend {
    restarts = 0;
    away = []; // [from, to] in which callers may be disappointed

    constructor(name, { everyMs, downMs, graceMs }) {
        super(name);
        Object.assign(this, { everyMs, downMs, graceMs });
    }

    begin() {
        this.timer = setInterval(() => this.restart(), this.everyMs);
    }

    async restart() {
        const { port } = this;
        const span = [Date.now(), Infinity];

        this.away = [...this.away.slice(-2), span];
        await this.close();
        await new Promise((resolve) => setTimeout(resolve, this.downMs));
        await this.listen(port);
        span[1] = Date.now() + this.graceMs; // until the suspension is over
        this.restarts++;
    }

    /** Was it away at some time of this span? */
    wasAway(from, to) {
        return this.away.some(([begin, end]) => begin <= to && end >= from);
    }

    end() {
        clearInterval(this.timer);
    }
}

/**
 * A name server for one name. `addresses` may change; while `silent` nobody
 * gets an answer. TTL is one second, so names are asked for again and again.
 */
export async function startNameServer(name, addresses) {
    const socket = dgram.createSocket('udp4');
    const server = { addresses, silent: false, asked: 0, close: () => socket.close() };

    socket.on('message', (query, peer) => {
        server.asked++;
        if (!server.silent)
            socket.send(reply(query, name, server.addresses), peer.port, peer.address);
    });
    await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
    socket.unref();
    server.at = `127.0.0.1:${socket.address().port}`;
    return server;
}

function reply(query, name, addresses) {
    const labels = [];
    let at = 12;

    for (; query[at]; at += query[at] + 1)
        labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    const question = query.subarray(12, at + 5);
    const type = query.readUInt16BE(at + 1);
    const known = labels.join('.').toLowerCase() === name;
    const records = known && type === 1 ? addresses.map(record) : [];
    const head = Buffer.alloc(12);

    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(known ? 0x8580 : 0x8583, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    return Buffer.concat([head, question, ...records]);
}

function record(address) {
    return Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split('.').map(Number)]);
}
