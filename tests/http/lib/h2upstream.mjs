// h2upstream.mjs - an upstream on node:http2, plain or TLS; counts, echoes.
import http2 from 'node:http2';

export class H2Upstream {
    requests = []; // {method, url, headers, body}
    sessions = new Set();
    connections = 0;
    handler = null; // (stream, headers, body, upstream): instead of the echo
    stream = null; // (stream, headers, upstream): before the body

    constructor({ tls, handler, stream, settings } = {}) {
        this.handler = handler ?? null;
        this.stream = stream ?? null;
        this.tls = !!tls;
        this.server = tls ? http2.createSecureServer({ ...tls, settings, allowHTTP1: false }) : http2.createServer({ settings });
        this.server.on('session', (session) => {
            this.connections++;
            this.sessions.add(session);
            session.on('close', () => this.sessions.delete(session)).on('error', () => {});
        });
        this.server.on('sessionError', () => {});
        this.server.on('stream', (stream, headers) => this.serve(stream, headers));
    }

    listen() {
        return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => {
            this.port = this.server.address().port;
            this.server.unref();
            resolve(this);
        }));
    }

    serve(stream, headers) {
        const seen = { method: headers[':method'], url: headers[':path'], headers };

        this.requests.push(seen);
        stream.on('error', () => {});
        if (this.stream)
            return this.stream(stream, headers, this);
        const chunks = [];

        stream.on('data', (chunk) => chunks.push(chunk));
        stream.on('end', () => {
            seen.body = Buffer.concat(chunks);
            if (stream.destroyed)
                return;
            if (this.handler)
                return this.handler(stream, headers, seen.body, this);
            if (seen.url.includes('/bytes/')) {
                stream.respond({ ':status': 200 });
                stream.end(Buffer.alloc(Number(seen.url.split('/bytes/')[1]), 'x'));
                return;
            }
            const text = JSON.stringify({ method: seen.method, url: seen.url, length: seen.body.length });

            stream.respond({ ':status': 200, 'content-type': 'application/json' });
            stream.end(text);
        });
    }

    get count() {
        return this.requests.length;
    }

    get last() {
        return this.requests.at(-1);
    }

    close() {
        for (const session of this.sessions)
            session.destroy();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

export const startH2Upstream = (options) => new H2Upstream(options).listen();
