// h2_upstream.test.mjs - HTTP/2 towards backends: many calls on a connection,
// goodbyes and refusals without a lost call, and backends that misbehave.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, assertError, startGateway } from './lib/gateway.mjs';
import { ERROR, FLAG, TYPE, block, frame } from './lib/h2raw.mjs';
import { startH2Upstream } from './lib/h2upstream.mjs';
import { Load } from './lib/load.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

let ca;
let server;
const open = [];

before(() => {
    ca = new Authority();
    server = ca.issue('server');
});
after(async () => {
    for (const thing of open.reverse())
        await (thing.stop ?? thing.close).call(thing);
});

async function upstream(options) {
    const it = await startH2Upstream(options);

    open.push(it);
    return it;
}

async function gatewayTo(endpoint, options = {}, advance) {
    const it = await startGateway({
        documents: { 'api.json': openapi({ context: '/api', endpoints: endpoint, advance }) },
        upstreams: { suspendMs: 50, tls: { ca: ca.certificate }, ...options.upstreams }, ...Object.fromEntries(Object.entries(options).filter(([k]) => k !== 'upstreams')),
    });

    open.push(it);
    return it;
}

const h2c = (it) => `h2c://127.0.0.1:${it.port}`;

describe('Calls share connections', () => {
    test('of many clients at once, on one connection', async () => {
        const up = await upstream({ handler: (stream) => setTimeout(() => stream.respond({ ':status': 200 }) ?? stream.end('slow'), 50) });
        const gateway = await gatewayTo(h2c(up));
        const answers = await Promise.all(Array.from({ length: 80 }, (_, i) => gateway.call(`/api/${i}`)));

        assert.ok(answers.every((a) => a.status === 200 && a.text === 'slow'));
        assert.equal(up.connections, 1);
    });

    test('up to what the backend allows, then on another one', async () => {
        let most = 0;
        const up = await upstream({
            settings: { maxConcurrentStreams: 10 },
            handler: (stream) => {
                const busy = up.busy = (up.busy ?? 0) + 1;

                most = Math.max(most, busy);
                setTimeout(() => {
                    up.busy--;
                    stream.respond({ ':status': 200 });
                    stream.end('x');
                }, 100);
            },
        });
        const gateway = await gatewayTo(h2c(up));

        assert.equal((await gateway.call('/api/first')).status, 200);
        const answers = await Promise.all(Array.from({ length: 35 }, () => gateway.call('/api/x')));

        assert.ok(answers.every((a) => a.status === 200), answers.map((a) => a.status).join());
        assert.ok(up.connections >= 4 && up.connections <= 6, `${up.connections} connections`);
    });

    test('one stream at a time, and a ceiling of connections: calls wait in line', async () => {
        const up = await upstream({ settings: { maxConcurrentStreams: 1 }, handler: (stream) => setTimeout(() => stream.respond({ ':status': 200 }) ?? stream.end('x'), 10) });
        const gateway = await gatewayTo(h2c(up), { upstreams: { maxConnections: 2 } });

        assert.equal((await gateway.call('/api/first')).status, 200);
        const answers = await Promise.all(Array.from({ length: 30 }, () => gateway.call('/api/x')));

        assert.ok(answers.every((a) => a.status === 200), answers.map((a) => a.status).join());
        assert.ok(up.connections <= 2, `${up.connections} connections`);
    });

    test('what ALPN agrees on decides for https://; h2:// insists', async () => {
        const tls = { cert: server.certificatePem, key: server.keyPem };
        const two = await upstream({ tls });
        const one = await startUpstream({ tls, handler: (req, res) => res.end(req.httpVersion) });

        open.push(one);
        assert.equal((await (await gatewayTo(`https://127.0.0.1:${two.port}`)).call('/api/x')).status, 200);
        assert.equal((await (await gatewayTo(`https://127.0.0.1:${one.port}`)).call('/api/x')).text, '1.1');
        const refused = await (await gatewayTo(`h2://127.0.0.1:${one.port}`)).call('/api/x');

        assertError(refused, 500, '101503');
        const off = await gatewayTo(`https://127.0.0.1:${two.port}`, { upstreams: { http2: false } });

        assert.notEqual((await off.call('/api/x')).status, 200, 'a backend with HTTP/2 only');
    });

    test('an unused connection is closed with GOAWAY after upstreams.idle', async () => {
        const up = await upstream();
        const gateway = await gatewayTo(h2c(up), { upstreams: { idleMs: 300 } });
        let goaway;

        await gateway.call('/api/x');
        [...up.sessions][0].on('goaway', (code) => (goaway = code));
        await until(() => up.sessions.size === 0, { what: 'the connection to be closed' });
        assert.equal(goaway, 0);
        assert.equal((await gateway.call('/api/x')).status, 200);
    });
});

describe('No call is lost', () => {
    test('when the backend says goodbye again and again under load', async () => {
        const up = await upstream();
        const gateway = await gatewayTo(h2c(up));
        const load = new Load(gateway.port, { rate: 300, connections: 8, path: '/api/x' }).start();

        for (let i = 0; i < 15; i++) {
            await pause(80);
            for (const session of up.sessions)
                session.close(); // GOAWAY, streams finish
        }
        await load.stop();
        assert.deepEqual(load.failures.slice(0, 3), []);
        assert.ok(up.connections >= 10, `${up.connections} connections`);
    });

    for (const method of ['GET', 'POST'])
        test(`a ${method} refused with REFUSED_STREAM is sent again, once`, async () => {
            let refuse = 1;
            const up = await upstream({
                stream(stream) {
                    if (refuse-- > 0)
                        return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
                    stream.respond({ ':status': 200 });
                    stream.end('second');
                    return undefined;
                },
            });
            const gateway = await gatewayTo(h2c(up));
            const answer = await gateway.call('/api/x', { method, body: method === 'POST' ? 'data' : undefined });

            assert.deepEqual([answer.status, answer.text, up.count], [200, 'second', 2]);
            refuse = 100;
            const second = await gateway.call('/api/x', { method, body: method === 'POST' ? 'data' : undefined });

            assertError(second, 502, '101505');
            assert.equal(up.count, 4, 'once more and not again');
        });

    test('streams above the last one of a GOAWAY are sent again', async () => {
        const raw = await rawBackend((peer) => {
            if (peer.number > 1)
                return (f) => f.type === TYPE.HEADERS && peer.reply(f.stream, 'after');
            return (f) => f.type === TYPE.HEADERS && peer.send(frame(TYPE.GOAWAY, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0])));
        });
        const gateway = await gatewayTo(`h2c://127.0.0.1:${raw.port}`);
        const answer = await gateway.call('/api/x', { method: 'POST', body: 'data' });

        assert.deepEqual([answer.status, answer.text], [200, 'after']);
    });
});

/** A backend of bare frames: make(peer) gives what to do with each. */
async function rawBackend(make) {
    let number = 0;
    const sockets = new Set();
    const listener = net.createServer((socket) => {
        let buffer = Buffer.alloc(0);
        let greeted = false;
        const peer = {
            number: ++number, socket,
            send: (...b) => socket.destroyed || socket.write(Buffer.concat(b)),
            reply: (stream, text, fields = [[':status', '200']]) => peer.send(frame(TYPE.HEADERS, FLAG.END_HEADERS, stream, block(fields)), frame(TYPE.DATA, FLAG.END_STREAM, stream, Buffer.from(text))),
        };
        const act = make(peer);

        sockets.add(socket);
        socket.on('error', () => {}).on('close', () => sockets.delete(socket));
        socket.on('data', (chunk) => {
            buffer = Buffer.concat([buffer, chunk]);
            if (!greeted && buffer.length >= 24) {
                greeted = true;
                buffer = buffer.subarray(24);
                peer.send(frame(TYPE.SETTINGS, 0, 0));
            }
            while (greeted && buffer.length >= 9 && buffer.length >= 9 + buffer.readUIntBE(0, 3)) {
                const size = 9 + buffer.readUIntBE(0, 3);
                const f = { type: buffer[3], flags: buffer[4], stream: buffer.readUInt32BE(5), payload: buffer.subarray(9, size) };

                buffer = buffer.subarray(size);
                if (f.type === TYPE.SETTINGS && !(f.flags & 1))
                    peer.send(frame(TYPE.SETTINGS, 1, 0));
                act(f);
            }
        });
    });

    await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const it = { port: listener.address().port, close: () => (sockets.forEach((s) => s.destroy()), new Promise((r) => listener.close(r))) };

    open.push(it);
    return it;
}

describe('A backend that misbehaves', () => {
    const onHeaders = (act) => (peer) => (f) => f.type === TYPE.HEADERS && act(peer, f.stream);
    const cases = {
        'answers with garbage': [onHeaders((peer) => peer.send(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok-and-more-of-it'))), '101506'],
        'sends a head without a status': [onHeaders((peer, s) => peer.send(frame(TYPE.HEADERS, 5, s, block([['x', 'y']])))), '101506'],
        'sends a status that is none': [onHeaders((peer, s) => peer.send(frame(TYPE.HEADERS, 5, s, block([[':status', '99']])))), '101506'],
        'sends a field in capitals': [onHeaders((peer, s) => peer.reply(s, 'x', [[':status', '200'], ['X-Up', '1']])), '101506'],
        'sends connection fields': [onHeaders((peer, s) => peer.reply(s, 'x', [[':status', '200'], ['transfer-encoding', 'chunked']])), '101506'],
        'sends 101': [onHeaders((peer, s) => peer.reply(s, 'x', [[':status', '101']])), '101506'],
        'sends informational heads without end': [onHeaders((peer, s) => peer.send(...Array(40).fill(frame(TYPE.HEADERS, 4, s, block([[':status', '103']]))))), '101506'],
        'sends a huge head': [onHeaders((peer, s) => {
            const large = block([[':status', '200'], ...Array.from({ length: 400 }, (_, i) => [`x-${i}`, 'v'.repeat(900)])]);

            for (let at = 0; at < large.length; at += 16000)
                peer.send(frame(at ? TYPE.CONTINUATION : TYPE.HEADERS, at + 16000 >= large.length ? 4 : 0, s, large.subarray(at, at + 16000)));
        }), '101506'],
        'floods with PING': [onHeaders((peer) => peer.send(...Array(5000).fill(frame(TYPE.PING, 0, 0, Buffer.alloc(8))))), '101506'],
        'resets before its answer': [onHeaders((peer, s) => peer.send(frame(TYPE.RST_STREAM, 0, s, Buffer.from([0, 0, 0, 2])))), '101505'],
        'closes the connection': [onHeaders((peer) => peer.socket.destroy()), '101505'],
        'says nothing': [onHeaders(() => {}), '101504', 504],
    };

    for (const [name, [make, code, status = 502]] of Object.entries(cases))
        test(`${name}: ${status}, and the next one is served`, async () => {
            let well = false;
            const raw = await rawBackend((peer) => {
                const bad = make(peer);

                return (f) => (well ? f.type === TYPE.HEADERS && peer.reply(f.stream, 'well') : bad(f));
            });
            const gateway = await gatewayTo(`h2c://127.0.0.1:${raw.port}`, { upstreams: { firstByteMs: 400, retries: 0 } });

            assertError(await gateway.call('/api/x', { method: 'POST', body: 'x' }), status, code);
            well = true;
            await until(async () => (await gateway.call('/api/x')).text === 'well', { what: 'a good answer' });
        });

    test('resets in the middle: the client sees it cut', async () => {
        const raw = await rawBackend((peer) => (f) => f.type === TYPE.HEADERS && peer.send(
            frame(TYPE.HEADERS, 4, f.stream, block([[':status', '200'], ['content-length', '100']])), frame(TYPE.DATA, 0, f.stream, Buffer.from('part')),
            frame(TYPE.RST_STREAM, 0, f.stream, Buffer.from([0, 0, 0, 2]))));
        const gateway = await gatewayTo(`h2c://127.0.0.1:${raw.port}`);

        await assert.rejects(async () => {
            const answer = await gateway.call('/api/x');

            if (answer.status === 502)
                throw new Error('nothing of it had been sent: a refusal');
        });
    });

    test('a body longer or shorter than announced never passes as whole', async () => {
        for (const text of ['toolong', 'sh']) {
            const raw = await rawBackend((peer) => (f) => f.type === TYPE.HEADERS && peer.reply(f.stream, text, [[':status', '200'], ['content-length', '4']]));
            const gateway = await gatewayTo(`h2c://127.0.0.1:${raw.port}`);
            const answer = await gateway.call('/api/x').catch((error) => ({ status: 0, error }));

            assert.notEqual(answer.status === 200 && answer.text.length, 4);
            gateway.check();
        }
    });

    test('a reader that is slow holds the backend up, not our memory', async () => {
        let sent = 0;
        const up = await upstream({
            stream(stream) {
                // Node now and then ends with RST_STREAM(NO_ERROR) instead of
                // END_STREAM: only a length tells that this is not a cut.
                stream.respond({ ':status': 200, 'content-length': 400 * 65536 });
                const more = () => {
                    while (sent < 400 && stream.writable) {
                        sent++;
                        if (!stream.write(Buffer.alloc(65536, 'q')))
                            return stream.once('drain', more);
                    }
                    return stream.end();
                };

                more();
            },
        });
        const gateway = await gatewayTo(h2c(up));
        const rss = gateway.rss();
        const socket = net.connect(gateway.port, '127.0.0.1');

        socket.write('GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n');
        socket.pause();
        await pause(patience(500));
        if (MEMORY_COUNTS)
            assert.ok(gateway.rss() - rss < (10 << 20), `memory grew by ${gateway.rss() - rss}`);
        let size = 0;

        socket.on('data', (d) => (size += d.length));
        socket.resume();
        await until(() => size > 400 * 65536, { ms: 15000, what: 'all of it' });
        socket.destroy();
    });

    test('one call that is given up does not touch the others of its connection', async () => {
        const closed = [];
        const up = await upstream({
            stream(stream, headers) {
                stream.on('close', () => closed.push([headers[':path'], stream.rstCode]));
                if (headers[':path'] === '/hang')
                    return;
                setTimeout(() => stream.respond({ ':status': 200 }) ?? stream.end('well'), 300);
            },
        });
        const gateway = await gatewayTo(h2c(up));
        const other = gateway.call('/api/slow');
        const socket = net.connect(gateway.port, '127.0.0.1');

        socket.write('GET /api/hang HTTP/1.1\r\nHost: a\r\n\r\n');
        await until(() => up.requests.some((r) => r.url === '/hang'), { what: 'the call' });
        socket.resetAndDestroy();
        await until(() => closed.some(([path]) => path === '/hang'), { what: 'the backend to hear of it' });
        assert.equal(closed.find(([path]) => path === '/hang')[1], ERROR.CANCEL);
        assert.equal((await other).text, 'well');
        assert.equal(up.connections, 1);
    });
});

describe('Active checks', () => {
    test('work by HTTP/2 as well', async () => {
        let well = false;
        const up = await upstream({ handler: (stream, headers) => stream.respond({ ':status': headers[':path'] === '/up' && !well ? 503 : 200 }) ?? stream.end('x') });
        const gateway = await gatewayTo(h2c(up), { upstreams: { health: { path: '/up', intervalMs: 100, timeoutMs: 90, healthy: 1, unhealthy: 2 } } });

        await until(async () => (await gateway.call('/api/x')).status === 503, { what: 'it to be taken out' });
        well = true;
        await until(async () => (await gateway.call('/api/x')).status === 200, { what: 'it to be back' });
    });
});
