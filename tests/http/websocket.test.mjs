// websocket.test.mjs - tunnels: `ws` on both sides, and raw frames where a
// client misbehaves.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { Authority } from './lib/tls.mjs';
import { LONG, SLOW, pause, until, within } from './lib/wait.mjs';

let ca;
let backend;
let gateway;

/** A backend: echoes, and does what the path says. */
async function startBackend() {
    const server = http.createServer((req, res) => res.writeHead(req.url.startsWith('/refused') ? 403 : 200).end('plain'));
    const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 }, maxPayload: 1 << 28, handleProtocols: (set) => [...set][1] ?? [...set][0] });
    const self = { server, closes: [], open: new Set(), heads: [] };

    server.on('upgrade', (req, socket, head) => {
        self.heads.push(req.headers);
        socket.on('error', () => {});
        if (req.url.startsWith('/refused'))
            return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\n\r\nno');
        if (req.url.startsWith('/liar'))
            return socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
                'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
        sockets.handleUpgrade(req, socket, head, (ws) => {
            self.open.add(ws);
            ws.on('error', () => {});
            ws.on('close', (code, reason) => {
                self.open.delete(ws);
                self.closes.push([code, String(reason)]);
            });
            ws.on('message', (data, binary) => {
                const text = binary ? '' : String(data);

                if (text.startsWith('close '))
                    ws.close(Number(text.split(' ')[1]), text.split(' ')[2] ?? '');
                else if (text === 'die')
                    socket.destroy();
                else if (text === 'broken')
                    socket.write(Buffer.from([0x83, 0x00])); // a reserved opcode
                else if (text === 'flood')
                    for (let i = 0; i < 400; i++)
                        ws.send(Buffer.alloc(65536, i), { compress: false });
                else
                    ws.send(data, { binary });
            });
        });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    self.url = `http://127.0.0.1:${server.address().port}`;
    return self;
}

before(async () => {
    ca = new Authority();
    const { certificate, key } = ca.issue('server');

    backend = await startBackend();
    gateway = await start({ tls: { certificate, key } });
});

after(async () => {
    await gateway?.stop();
    backend?.open.forEach((ws) => ws.terminate());
    backend?.server.closeAllConnections();
    backend?.server.close();
});

const start = (options = {}) => startGateway({
    documents: { 'ws.json': openapi({ context: '/ws', endpoints: backend.url }) }, ...options,
});

/** Opens a WebSocket through the gateway. */
async function open(path = '/ws/echo', { at = gateway, tls = false, protocols = [], ...options } = {}) {
    const url = tls ? `wss://localhost:${at.tlsPort}${path}` : `ws://127.0.0.1:${at.port}${path}`;
    const ws = new WebSocket(url, protocols, { ca: ca.pem, perMessageDeflate: false, ...options });

    ws.messages = [];
    ws.on('message', (data, binary) => ws.messages.push(binary ? data : String(data)));
    ws.on('error', (error) => (ws.failure = error));
    ws.closed = once(ws, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
    await within(Promise.race([once(ws, 'open'), ws.closed.then(() => Promise.reject(ws.failure ?? new Error('closed')))]), 5000, 'open WebSocket');
    return ws;
}

const got = (ws, n) => until(() => ws.messages.length >= n, { ms: 10000, what: `${n} messages` });
const closed = (ws) => within(ws.closed, 10000, 'end of the WebSocket');

describe('A WebSocket passes through', () => {
    for (const tls of [false, true])
        test(`text, binary, empty and large messages, pings${tls ? ', over TLS' : ''}`, async () => {
            const ws = await open('/ws/echo', { tls });
            const large = randomBytes(1 << 20);

            ws.send('hello');
            ws.send(Buffer.from([1, 2, 3]));
            ws.send('');
            ws.send(large);
            await got(ws, 4);
            assert.equal(ws.messages[0], 'hello');
            assert.deepEqual(ws.messages[1], Buffer.from([1, 2, 3]));
            assert.equal(ws.messages[2], '');
            assert.ok(large.equals(ws.messages[3]));
            const pong = once(ws, 'pong');

            ws.ping('are you there');
            assert.equal(String((await within(pong, 5000, 'pong'))[0]), 'are you there');
            ws.close(1000, 'bye');
            assert.deepEqual(await closed(ws), { code: 1000, reason: 'bye' });
        });

    test('messages in fragments, with a ping between them', async () => {
        const ws = await open();

        ws.send('one ', { fin: false });
        ws.ping();
        ws.send('two ', { fin: false });
        ws.send('three', { fin: true });
        await got(ws, 1);
        assert.deepEqual(ws.messages, ['one two three']);
        ws.terminate();
    });

    test('compression and subprotocols as both sides agree', async () => {
        const ws = await open('/ws/echo', { perMessageDeflate: true, protocols: ['a', 'b'] });

        assert.match(ws.extensions, /permessage-deflate/);
        assert.equal(ws.protocol, 'b');
        ws.send('again and again '.repeat(1000));
        await got(ws, 1);
        assert.equal(ws.messages[0], 'again and again '.repeat(1000));
        ws.close();
        await closed(ws);
    });

    test('close codes and reasons of the client', async () => {
        for (const [code, reason] of [[1000, ''], [1001, 'leaving'], [3000, 'registered'], [4999, 'private']]) {
            const ws = await open();
            const before = backend.closes.length;

            ws.close(code, reason);
            assert.deepEqual(await closed(ws), { code, reason });
            await until(() => backend.closes.length > before, { what: 'the close to arrive' });
            assert.deepEqual(backend.closes.at(-1), [code, reason]);
        }
    });

    test('close codes and reasons of the backend', async () => {
        for (const [code, reason] of [[1000, ''], [1011, 'oops'], [3001, 'x'], [4000, 'y']]) {
            const ws = await open();

            ws.send(`close ${code} ${reason}`);
            assert.deepEqual(await closed(ws), { code, reason });
        }
    });

    test('a backend that dies, and a client that dies', async () => {
        const ws = await open();

        ws.send('die');
        assert.equal((await closed(ws)).code, 1006);
        const other = await open();
        const before = backend.open.size;

        other.terminate();
        await until(() => backend.open.size < before, { what: 'the backend to hear of it' });
    });

    test('what the request says reaches the backend, but for hop-by-hop fields', async () => {
        const ws = await open('/ws/echo?x=1', { headers: { 'X-Mine': 'yes', Cookie: 'a=b' } });
        const head = backend.heads.at(-1);

        assert.equal(head['x-mine'], 'yes');
        assert.equal(head.cookie, 'a=b');
        assert.equal(head['x-forwarded-for'], '127.0.0.1');
        assert.equal(head.upgrade, 'websocket');
        ws.terminate();
    });

    test('a slow reader holds the backend up, not the gateway\'s memory', async () => {
        const ws = await open();
        const rss = gateway.rss();

        ws._socket.pause();
        ws.send('flood'); // 25 MiB
        await pause(700);
        if (MEMORY_COUNTS)
            assert.ok(gateway.rss() < rss + (12 << 20), `memory grew by ${(gateway.rss() - rss) >> 20} MiB`);
        ws._socket.resume();
        await until(() => ws.messages.length === 400, { ms: 20000, what: 'all messages' });
        assert.ok(ws.messages.every((m, i) => m.length === 65536 && m[0] === i % 256));
        ws.terminate();
    });
});

describe('A handshake that is none', () => {
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    const fields = (more) => ({ Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key, ...more });

    /** The answer of plain HTTP: {status, headers, body}. */
    function ask(path, headers, method = 'GET') {
        return new Promise((resolve, reject) => {
            const req = http.request({ port: gateway.port, path, headers, method, agent: false });

            req.on('response', (res) => {
                let body = '';

                res.on('data', (d) => (body += d)).on('end', () => resolve({ status: res.statusCode, headers: res.headers, body }));
            });
            req.on('upgrade', (res, socket) => {
                socket.destroy();
                resolve({ status: 101, headers: res.headers });
            });
            req.on('error', reject).end();
        });
    }

    test('the sample of RFC 6455 section 1.3 is answered as it says', async () => {
        const answer = await ask('/ws/echo', fields());

        assert.equal(answer.status, 101);
        assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    });

    test('another version is told which one there is', async () => {
        const answer = await ask('/ws/echo', fields({ 'Sec-WebSocket-Version': '8' }));

        assert.equal(answer.status, 426);
        assert.equal(answer.headers['sec-websocket-version'], '13');
    });

    test('a bad key, or none, is refused', async () => {
        for (const bad of ['', 'short', 'dGhlIHNhbXBsZSBub25jZR==', 'dGhlIHNhbXBsZSBub25jZQ=', 'dGhlIHNhbXBsZSBub25jZQ==x'])
            assert.equal((await ask('/ws/echo', fields({ 'Sec-WebSocket-Key': bad }))).status, 400, bad);
        assert.equal((await ask('/ws/echo', fields(), 'POST')).status, 400);
    });

    test('an unknown path is 404', async () => {
        assert.equal((await ask('/nowhere', fields())).status, 404);
    });

    test('an Upgrade without Connection, or to something else, is a plain call', async () => {
        assert.equal((await ask('/ws/x', { Upgrade: 'websocket' })).body, 'plain');
        assert.equal((await ask('/ws/x', { Connection: 'Upgrade', Upgrade: 'h2c' })).body, 'plain');
    });

    test('a backend that refuses is passed on', async () => {
        const answer = await ask('/ws/refused', fields());

        assert.deepEqual([answer.status, answer.headers['x-why'], answer.body], [403, 'no', 'no']);
    });

    test('a backend that accepts another key is not believed', async () => {
        assert.equal((await ask('/ws/liar', fields({ 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' }))).status, 502);
    });
});

/** A client that sends what it likes. */
async function raw(at = gateway) {
    const socket = net.connect(at.port, '127.0.0.1');
    const key = randomBytes(16).toString('base64');
    let bytes = Buffer.alloc(0);
    const self = {
        socket,
        ended: false,
        send: (...parts) => socket.write(Buffer.concat(parts.map((p) => Buffer.from(p)))),
        /** The next frame of the server: {opcode, payload}. */
        async frame() {
            await until(() => self.whole() || self.ended, { ms: 8000, what: 'a frame' });
            const f = self.whole();

            if (!f)
                return null;
            bytes = bytes.subarray(f.size);
            return f;
        },
        whole() {
            if (bytes.length < 2 || (bytes[1] & 127) > 125 || bytes.length < 2 + bytes[1])
                return null;
            return { opcode: bytes[0] & 15, payload: bytes.subarray(2, 2 + bytes[1]), size: 2 + bytes[1] };
        },
    };

    socket.on('error', () => {}).on('close', () => (self.ended = true)).on('end', () => (self.ended = true));
    socket.on('data', (d) => (bytes = Buffer.concat([bytes, d])));
    socket.write(`GET /ws/echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
    await until(() => bytes.includes('\r\n\r\n'), { what: 'the 101' });
    const end = bytes.indexOf('\r\n\r\n') + 4;
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

    assert.ok(String(bytes.subarray(0, end)).includes(accept));
    bytes = bytes.subarray(end);
    return self;
}

const masked = (first, payload) => {
    const mask = [1, 2, 3, 4];

    return [first, 0x80 | payload.length, ...mask, ...[...Buffer.from(payload)].map((b, i) => b ^ mask[i & 3])];
};

describe('Broken framing ends the tunnel with 1002', () => {
    const cases = {
        'a frame without a mask': [0x81, 0x02, 0x68, 0x69],
        'a reserved opcode': masked(0x83, 'x'),
        'a reserved bit nobody agreed on': masked(0xc1, 'x'),
        'a ping in fragments': masked(0x09, 'x'),
        'the rest of no message': masked(0x80, 'x'),
        'a message inside another one': [...masked(0x01, 'a'), ...masked(0x81, 'b')],
        'a length longer than it needs to be': [0x81, 0xfe, 0, 5, 1, 2, 3, 4],
        'a control frame that is too long': [0x89, 0xfe, 0, 200, 1, 2, 3, 4],
        'half a close code': masked(0x88, 'x'),
    };

    for (const [name, bytes] of Object.entries(cases))
        test(name, async () => {
            const client = await raw();
            const before = backend.closes.length;

            client.send(masked(0x81, 'good'), bytes);
            let frame;

            while ((frame = await client.frame()) && frame.opcode !== 8)
                assert.equal(String(frame.payload), frame.opcode === 1 ? 'good' : '');
            assert.ok(frame, 'a Close frame came');
            assert.equal(frame.payload.readUInt16BE(0), 1002);
            client.socket.end();
            await until(() => backend.closes.length > before, { ms: 8000, what: 'the backend to hear of it' });
            assert.equal(backend.closes.at(-1)[0], 1002);
        });

    test('a backend that breaks it is a 1011', async () => {
        const ws = await open();

        ws.send('broken');
        assert.equal((await closed(ws)).code, 1011);
    });

    test('frames may come byte by byte', async () => {
        const client = await raw();

        for (const byte of [...masked(0x01, 'slow '), ...masked(0x80, 'one')]) {
            client.send([byte]);
            await pause(2);
        }
        assert.equal(String((await client.frame()).payload), 'slow one');
        client.socket.destroy();
    });
});

describe('A tunnel ends', () => {
    test('when nothing moves for timeouts.tunnel_idle', async () => {
        const at = await start({ timeouts: { tunnelIdleMs: 400 } });
        const ws = await open('/ws/echo', { at });

        for (let i = 0; i < 4; i++) { // moving keeps it
            await pause(150);
            ws.send('x');
        }
        await got(ws, 4);
        assert.deepEqual(await closed(ws), { code: 1001, reason: 'idle for too long' });
        await at.stop();
    });

    test('when timeouts.tunnel is over, whatever moves', async () => {
        const at = await start({ timeouts: { tunnelMs: 500 } });
        const ws = await open('/ws/echo', { at });
        const timer = setInterval(() => ws.send('x'), 50);

        assert.equal((await closed(ws)).code, 1001);
        clearInterval(timer);
        await at.stop();
    });

    test('with 1001 when the gateway ends, and its drain is nearly over', async () => {
        const at = await start({ timeouts: { drainMs: 2500 } });
        const [one, two] = [await open('/ws/echo', { at }), await open('/ws/echo', { at })];
        const before = backend.closes.length;

        two.send('half a ', { fin: false }); // the message is not over: at the next frame's end
        await pause(50);
        at.signal('SIGTERM');
        await pause(700);
        one.send('still here');
        await got(one, 1);
        for (const ws of [one, two])
            assert.deepEqual(await closed(ws), { code: 1001, reason: 'the gateway is going away' });
        await until(() => backend.closes.length >= before + 2, { what: 'the backend to hear of it' });
        assert.deepEqual(backend.closes.slice(-2).map((c) => c[0]), [1001, 1001]);
        await at.stop();
    });
});

describe('Tunnels over change', () => {
    const document = (version, more = {}) => openapi({ title: 'ws', version: `${version}.0.0`, context: '/ws', endpoints: backend.url, ...more });
    const COUNT = LONG || SLOW ? 1000 : 100;
    const CHANGES = LONG ? 1000 : SLOW ? 200 : 60;

    test(`${COUNT} tunnels live on over ${CHANGES} changes of their API, in flat memory`, async (t) => {
        const at = await startGateway({ documents: { 'ws.json': document(0), 'other.json': openapi({ title: 'other', context: '/other', endpoints: backend.url }) }, threads: 2 });
        const all = [];
        let rss;

        while (all.length < COUNT)
            all.push(...await Promise.all(Array.from({ length: 50 }, () => open('/ws/echo', { at }))));
        for (let n = 1; n <= CHANGES; n++) {
            at.write('ws.json', document(n));
            await at.mustReload();
            if (n === Math.ceil(CHANGES / 3))
                rss = at.rss();
        }
        for (const ws of all)
            ws.send('still there?');
        await Promise.all(all.map((ws) => got(ws, 1)));
        t.diagnostic(`memory ${(rss / 1048576).toFixed(1)} MiB, at the end ${(at.rss() / 1048576).toFixed(1)} MiB`);
        if (MEMORY_COUNTS)
            assert.ok(at.rss() < rss + (4 << 20), `memory grew from ${rss} to ${at.rss()}`);
        all.forEach((ws) => ws.terminate());
        await at.stop();
    });

    test('one whose endpoint or API goes is closed with 1001, others are not', async () => {
        const elsewhere = await startBackend();
        const at = await startGateway({ documents: { 'ws.json': document(1), 'kept.json': openapi({ title: 'kept', context: '/kept', endpoints: backend.url }) } });
        const [moved, kept] = [await open('/ws/echo', { at }), await open('/kept/echo', { at })];

        at.write('ws.json', document(2, { 'x-wso2-production-endpoints': { urls: [elsewhere.url] } }));
        await at.mustReload();
        assert.deepEqual(await closed(moved), { code: 1001, reason: 'the API has changed' });
        const again = await open('/ws/echo', { at });

        again.send('new home');
        await got(again, 1);
        assert.equal(elsewhere.open.size, 1);
        kept.send('mine');
        await got(kept, 1);
        at.configure({ apis: [at.file('kept.json')] });
        await at.mustReload();
        assert.equal((await closed(again)).code, 1001);
        kept.send('mine');
        await got(kept, 2);
        kept.terminate();
        await at.stop();
        elsewhere.server.closeAllConnections();
        elsewhere.server.close();
    });
});
