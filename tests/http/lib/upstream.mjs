// upstream.mjs - a friendly upstream on node:http: counts, echoes, obeys.
//
// The default answer is JSON about the request as received. Set `handler` for
// anything else: handler(req, res, body, upstream) with the whole body, or
// `stream(req, res)` to get the request before its body.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';

export class Upstream {
    requests = []; // {method, url, headers, rawHeaders, body, connection}
    connections = 0;
    sockets = new Set();
    handler = null;
    stream = null;

    constructor({ name = 'upstream', tls, handler, stream } = {}) {
        this.name = name;
        this.handler = handler ?? null;
        this.stream = stream ?? null;
        this.server = tls ? https.createServer(tls, (q, s) => this.serve(q, s))
            : http.createServer((q, s) => this.serve(q, s));
        this.scheme = tls ? 'https' : 'http';
        // A test decides when connections end, not a timer.
        Object.assign(this.server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, timeout: 0 });
        this.server.on(tls ? 'secureConnection' : 'connection', (socket) => {
            socket.number = ++this.connections;
            this.sockets.add(socket);
            socket.unref(); // a failed test must not keep the process alive
            socket.on('error', () => {});
            socket.on('close', () => this.sockets.delete(socket));
        });
        this.server.on('tlsClientError', () => {});
    }

    /** Listens on a free port of 127.0.0.1, the port, or a socket path. */
    listen(at = 0) {
        return new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.unref();
            const ready = () => {
                this.port = typeof at === 'string' ? undefined : this.server.address().port;
                this.url = typeof at === 'string' ? `unix:${at}` : `${this.scheme}://127.0.0.1:${this.port}`;
                resolve(this);
            };

            if (typeof at === 'string') {
                fs.rmSync(at, { force: true });
                this.server.listen(at, ready);
            } else {
                this.server.listen(at, '127.0.0.1', ready);
            }
        });
    }

    get count() {
        return this.requests.length;
    }

    get last() {
        return this.requests.at(-1);
    }

    serve(req, res) {
        const seen = {
            method: req.method, url: req.url, version: req.httpVersion, headers: req.headers,
            rawHeaders: req.rawHeaders, connection: req.socket.number, at: Date.now(),
        };

        this.requests.push(seen);
        req.on('error', () => {});
        res.on('error', () => {});
        if (this.stream)
            return this.stream(req, res, this);
        const chunks = [];

        req.on('data', (chunk) => chunks.push(chunk));
        req.on('end', () => {
            const body = Buffer.concat(chunks);

            Object.assign(seen, { body, trailers: req.trailers });
            if (this.handler)
                this.handler(req, res, body, this);
            else
                res.setHeader('Content-Type', 'application/json').end(this.echo(seen));
        });
    }

    echo({ method, url, headers, rawHeaders, body, trailers, connection }) {
        return JSON.stringify({
            upstream: this.name, method, url, headers, rawHeaders, trailers, connection,
            length: body.length, sha256: createHash('sha256').update(body).digest('hex'),
            body: body.length <= 65536 ? body.toString('latin1') : undefined,
        });
    }

    /** All values of a field in a request record, in order. */
    static fields(record, name) {
        const raw = record.rawHeaders;

        return raw.filter((_, i) => i % 2 === 1 && raw[i - 1].toLowerCase() === name.toLowerCase());
    }

    reset() {
        this.requests = [];
    }

    /** Closes the door and every connection. */
    close() {
        for (const socket of this.sockets)
            socket.destroy();
        return new Promise((resolve) => this.server.close(() => resolve()));
    }
}

export const fields = Upstream.fields;

export function startUpstream(options = {}) {
    return new Upstream(options).listen(options.at ?? 0);
}

/** A port on which nobody listens (right now). */
export async function freePort() {
    const upstream = await startUpstream();
    const { port } = upstream;

    await upstream.close();
    return port;
}
