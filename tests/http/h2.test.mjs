// h2.test.mjs - HTTP/2 towards clients: what RFC 9113 asks, where others fail,
// and that nothing gets from it into HTTP/1.1 that HTTP/1.1 would refuse.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { ERROR, FLAG, TYPE, block, frame, h2connect } from './lib/h2raw.mjs';
import { connect } from './lib/raw.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

let upstream;
let gateway;
const ended = []; // paths whose calls the client of the upstream gave up

before(async () => {
    upstream = await startUpstream({ stream: serve });
    gateway = await startGateway({
        documents: { 'api.json': openapi({ context: '/', endpoints: upstream.url }) },
        limits: { streams: 20, bodySize: 3000000 }, timeouts: { idleMs: 3000, drainMs: 5000 },
    });
});
after(async () => {
    await gateway?.stop();
    await upstream?.close();
});

function serve(req, res) {
    const { url } = req;

    res.on('close', () => !res.writableFinished && ended.push(url));
    if (url.startsWith('/hang'))
        return req.resume();
    if (url.startsWith('/trailers')) {
        req.resume().on('end', () => {
            res.writeHead(200, { Trailer: 'X-Sum' });
            res.write('body');
            res.addTrailers({ 'X-Sum': '4', 'X-Got': String(req.trailers['x-mine'] ?? '') });
            res.end();
        });
        return undefined;
    }
    if (url.startsWith('/early'))
        return res.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => res.end('after hints'));
    if (url.startsWith('/status/'))
        return res.writeHead(Number(url.slice(8)), { 'X-A': 'b' }).end();
    if (url.startsWith('/big')) {
        res.writeHead(200);
        let left = 400;
        const more = () => {
            while (left-- > 0)
                if (!res.write(Buffer.alloc(65536, 'z')))
                    return res.once('drain', more);
            return res.end();
        };

        return more();
    }
    let size = 0;

    req.on('data', (d) => (size += d.length)).on('end', () => res.end(JSON.stringify({ url, method: req.method, headers: req.headers, size, rawHeaders: req.rawHeaders })));
    return undefined;
}

/** Both sides' SETTINGS have been seen: no ACK comes between what a test sends. */
async function open(options) {
    const client = await h2connect(gateway.port, options);

    if (options?.hello !== false) {
        await client.next((f) => f.type === TYPE.SETTINGS && !(f.flags & FLAG.ACK));
        await client.next((f) => f.type === TYPE.SETTINGS && f.flags & FLAG.ACK);
    }
    return client;
}

/** A connection error: GOAWAY with one of the codes, then the end. */
async function connectionError(client, ...codes) {
    const code = await client.cut({ ms: 4000 });

    if (code !== undefined)
        assert.ok(codes.includes(code), `GOAWAY with ${code}, expected ${codes}`);
    await until(() => client.ended, { ms: 5000, what: 'the end' });
}

async function streamError(client, stream, ...codes) {
    const f = await client.next((g) => (g.type === TYPE.RST_STREAM && g.stream === stream) || (g.type === TYPE.GOAWAY && g.payload.readUInt32BE(4)), { what: 'RST_STREAM' });

    if (f?.type === TYPE.RST_STREAM)
        assert.ok(codes.includes(f.payload.readUInt32BE(0)), `RST_STREAM with ${f.payload.readUInt32BE(0)}`);
    else if (f)
        assert.ok(codes.includes(f.payload.readUInt32BE(4)), `GOAWAY with ${f.payload.readUInt32BE(4)}`);
}

const good = [[':method', 'GET'], [':scheme', 'http'], [':authority', 'a'], [':path', '/x']];
const without = (name) => good.filter(([n]) => n !== name);
const withValue = (name, value) => good.map(([n, v]) => [n, n === name ? value : v]);

describe('Connections that break the protocol end', () => {
    const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, STREAM_CLOSED, FLOW_CONTROL_ERROR, COMPRESSION_ERROR } = ERROR;
    const cases = {
        'a frame larger than agreed': [(c) => c.frame(TYPE.DATA, 0, 1, Buffer.alloc(16385)), FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        'a PING of seven bytes': [(c) => c.frame(TYPE.PING, 0, 0, Buffer.alloc(7)), FRAME_SIZE_ERROR],
        'a PING on a stream': [(c) => c.frame(TYPE.PING, 0, 1, Buffer.alloc(8)), PROTOCOL_ERROR],
        'SETTINGS of five bytes': [(c) => c.frame(TYPE.SETTINGS, 0, 0, Buffer.alloc(5)), FRAME_SIZE_ERROR],
        'a window above the maximum': [(c) => c.settings([4, 0x80000000]), FLOW_CONTROL_ERROR],
        'ENABLE_PUSH of two': [(c) => c.settings([2, 2]), PROTOCOL_ERROR],
        'a maximal frame size below the least': [(c) => c.settings([5, 100]), PROTOCOL_ERROR],
        'DATA on a stream nobody opened': [(c) => c.data(5, 'x'), PROTOCOL_ERROR],
        'RST_STREAM on a stream nobody opened': [(c) => c.reset(5), PROTOCOL_ERROR],
        'WINDOW_UPDATE of zero on the connection': [(c) => c.window(0, 0), PROTOCOL_ERROR],
        'a connection window that overflows': [(c) => c.window(0, 0x7fffffff), FLOW_CONTROL_ERROR],
        'HEADERS with an even id': [(c) => c.headers(2), PROTOCOL_ERROR],
        'HEADERS that go back': [(c) => (c.headers(5), c.headers(3)), PROTOCOL_ERROR, STREAM_CLOSED],
        'HEADERS on stream 0': [(c) => c.headers(0), PROTOCOL_ERROR],
        'CONTINUATION after nothing': [(c) => c.frame(TYPE.CONTINUATION, FLAG.END_HEADERS, 1, block(good)), PROTOCOL_ERROR],
        'another frame inside a header list': [(c) => (c.headers(1, [], { flags: 0 }), c.frame(TYPE.PING, 0, 0, Buffer.alloc(8))), PROTOCOL_ERROR],
        'PUSH_PROMISE from a client': [(c) => c.frame(TYPE.PUSH_PROMISE, FLAG.END_HEADERS, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), block(good)])), PROTOCOL_ERROR],
        'a header block that is none': [(c) => c.frame(TYPE.HEADERS, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])), COMPRESSION_ERROR],
        'an index of no entry': [(c) => c.frame(TYPE.HEADERS, 5, 1, Buffer.from([0xfe])), COMPRESSION_ERROR],
        'padding longer than the frame': [(c) => (c.headers(1, [], { end: false, method: 'POST' }), c.frame(TYPE.DATA, FLAG.PADDED, 1, Buffer.from([9, 1, 2]))), PROTOCOL_ERROR],
        'GOAWAY on a stream': [(c) => c.frame(TYPE.GOAWAY, 0, 1, Buffer.alloc(8)), PROTOCOL_ERROR],
    };

    for (const [name, [act, ...codes]] of Object.entries(cases))
        test(name, async () => {
            const client = await open();

            client.silent = true; // our ACK is not to mix in
            await act(client);
            await connectionError(client, ...codes);
            client.close();
        });

    test('unknown frames and settings, and a peer\'s GOAWAY, are passed over', async () => {
        const client = await open();

        client.frame(0x42, 0xff, 7, Buffer.from('what'));
        client.settings([0x4242, 1]);
        client.frame(TYPE.PING, 0, 0, Buffer.from('12345678'));
        client.headers(1, [], { path: '/x' });
        assert.equal((await client.answer(1)).status, 200);
        const pong = await client.next((f) => f.type === TYPE.PING && f.flags & FLAG.ACK);

        assert.equal(String(pong.payload), '12345678');
        client.close();
    });
});

describe('Requests that break the rules are reset or refused, and reach no backend', () => {
    const bad = {
        'no :method': without(':method'), 'no :path': without(':path'), 'no :scheme': without(':scheme'),
        'no :authority, no Host': without(':authority'), 'two :path': [...good, [':path', '/y']],
        'an unknown pseudo-field': [...good, [':evil', '1']], 'a pseudo-field behind others': [['x', 'y'], ...good],
        ':status in a request': [...good, [':status', '200']], 'a name in capitals': [...good, ['X-Up', '1']],
        'connection': [...good, ['connection', 'close']], 'transfer-encoding': [...good, ['transfer-encoding', 'chunked']],
        'keep-alive': [...good, ['keep-alive', '5']], 'upgrade': [...good, ['upgrade', 'websocket']], 'te: gzip': [...good, ['te', 'gzip']],
        'CR LF in a value': [...good, ['x', 'a\r\nEvil: 1']], 'LF in a value': [...good, ['x', 'a\nEvil: 1']], 'NUL in a value': [...good, ['x', 'a\0b']],
        'CR LF in a name': [...good, ['x\r\ny', '1']], 'a space in a name': [...good, ['x y', '1']], 'a colon in a name': [...good, ['x:y', '1']], 'an empty name': [...good, ['', '1']],
        'a path with a space': withValue(':path', '/x HTTP/1.1\r\nEvil: 1'), 'a path that begins with nothing': withValue(':path', 'x'), 'an empty path': withValue(':path', ''),
        'a path of an absolute form': withValue(':path', 'http://b/x'), 'a fragment in the path': withValue(':path', '/x#y'), 'a NUL in the path': withValue(':path', '/x\0'),
        'a star for GET': withValue(':path', '*'), 'a path above the root': withValue(':path', '/../x'), 'an encoded NUL': withValue(':path', '/%00'),
        'userinfo in the authority': withValue(':authority', 'user@a'), 'a space in the authority': withValue(':authority', 'a b'), 'a slash in the authority': withValue(':authority', 'a/b'),
        'another Host': [...good, ['host', 'b']], 'two Hosts': [...without(':authority'), ['host', 'a'], ['host', 'a']],
        'a scheme of its own': withValue(':scheme', 'ftp'), 'a method with a space': withValue(':method', 'GET /evil'), 'a method with CR LF': withValue(':method', 'GET\r\n'),
        'two content-lengths': [...withValue(':method', 'POST'), ['content-length', '1'], ['content-length', '1']],
        'a content-length that is none': [...withValue(':method', 'POST'), ['content-length', '+1']],
        'a content-length for nothing': [...withValue(':method', 'POST'), ['content-length', '5']],
        'an expectation nobody knows': [...good, ['expect', 'wonders']],
    };

    for (const [name, fields] of Object.entries(bad))
        test(name, async () => {
            const client = await open();
            const before = upstream.count;

            client.headers(1, fields, { whole: true });
            const answer = await client.answer(1);

            assert.ok([ERROR.PROTOCOL_ERROR, undefined].includes(answer.reset) || client.goaway(), `reset with ${answer.reset}`);
            assert.ok(answer.reset !== undefined || client.goaway() || [400, 417, 501].includes(answer.status), `status ${answer.status}`);
            assert.equal(upstream.count, before, 'nothing went upstream');
            client.close();
        });

    test('a body shorter or longer than its content-length never arrives whole', async () => {
        for (const [sent, said] of [['abc', '5'], ['abcdef', '5']]) {
            const client = await open();
            const before = ended.length + upstream.count;

            client.headers(1, [['content-length', said]], { end: false, method: 'POST', path: '/hang/length' });
            client.data(1, sent, { end: true });
            await streamError(client, 1, ERROR.PROTOCOL_ERROR);
            await pause(30);
            assert.ok(upstream.count <= before + 1);
            client.close();
        }
    });

    test('CONNECT is 501', async () => {
        const client = await open();

        client.headers(1, [[':method', 'CONNECT'], [':authority', 'a:443']], { whole: true, end: false });
        assert.equal((await client.answer(1)).status, 501);
        client.close();
    });

    test('trailers with a pseudo-field', async () => {
        const client = await open();

        client.headers(1, [], { end: false, method: 'POST', path: '/hang/t' });
        client.data(1, 'x');
        client.headers(1, [[':path', '/y']], { whole: true });
        await streamError(client, 1, ERROR.PROTOCOL_ERROR);
        client.close();
    });

    test('a header list above the limit is 431, far above it the connection ends', async () => {
        const client = await open();
        const large = block([...good, ...Array.from({ length: 50 }, (_, i) => [`x-${i}`, 'v'.repeat(900)])]);

        for (let at = 0; at < large.length; at += 16000)
            client.frame(at ? TYPE.CONTINUATION : TYPE.HEADERS, (at ? 0 : FLAG.END_STREAM) | (at + 16000 >= large.length ? FLAG.END_HEADERS : 0), 1, large.subarray(at, at + 16000));
        assert.equal((await client.answer(1)).status, 431);
        client.headers(3, [], { path: '/x' });
        assert.equal((await client.answer(3)).status, 200, 'the connection goes on');
        client.headers(5, Array.from({ length: 101 }, (_, i) => [`y-${i}`, 'v']));
        assert.equal((await client.answer(5)).status, 431);
        client.headers(7, [], { path: `/${'p'.repeat(9000)}` });
        assert.equal((await client.answer(7)).status, 414);
        client.close();
    });

    test('a body above limits.body_size is 413', async () => {
        const client = await open();

        client.headers(1, [['content-length', '4000000']], { end: false, method: 'POST' });
        assert.equal((await client.answer(1)).status, 413);
        client.close();
    });
});

describe('Requests as they should be', () => {
    const ask = (path, headers = {}, body, options = {}) => new Promise((resolve, reject) => {
        const session = http2.connect(gateway.url);
        const out = { body: '', hints: [] };
        const stream = session.request({ ':path': path, ...headers }, { endStream: body === undefined, ...options });

        session.on('error', reject);
        stream.on('headers', (h) => out.hints.push(h)).on('response', (h) => (out.headers = h)).on('trailers', (t) => (out.trailers = t));
        stream.on('data', (d) => (out.body += d)).on('error', reject).on('close', () => {
            session.close();
            resolve(out);
        });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-mine': 'T' }));
        if (body !== undefined)
            stream.end(body);
    });

    test('arrive as HTTP/1.1 with one Host, cookies in one piece, a length or chunks', async () => {
        const client = await open();

        client.headers(1, [['cookie', 'a=1'], ['cookie', 'b=2'], ['x-mine', 'yes']], { path: '/x?q=%20' });
        const seen = JSON.parse((await client.answer(1)).body);

        assert.equal(seen.url, '/x?q=%20');
        assert.equal(seen.headers.cookie, 'a=1; b=2');
        assert.equal(seen.headers['x-mine'], 'yes');
        assert.equal(seen.headers['x-forwarded-host'], 'a');
        assert.match(seen.headers.via, /^2\.0 tollgate$/);
        assert.equal(seen.rawHeaders.filter((h) => /^host$/i.test(h)).length, 1);
        client.close();
        const sized = JSON.parse((await ask('/x', { ':method': 'POST', 'content-length': '5' }, 'hello')).body);

        assert.deepEqual([sized.size, sized.headers['content-length'], sized.headers['transfer-encoding']], [5, '5', undefined]);
        const open_ = JSON.parse((await ask('/x', { ':method': 'POST' }, 'hello')).body);

        assert.deepEqual([open_.size, open_.headers['transfer-encoding']], [5, 'chunked']);
    });

    test('trailers pass both ways', async () => {
        const out = await ask('/trailers', { ':method': 'POST', te: 'trailers' }, 'x', { waitForTrailers: true });

        assert.equal(out.body, 'body');
        assert.deepEqual([out.trailers['x-sum'], out.trailers['x-got']], ['4', 'T']);
    });

    test('HEAD, 204, 304 and informational answers', async () => {
        assert.deepEqual([(await ask('/x', { ':method': 'HEAD' })).body, (await ask('/status/204')).headers[':status'], (await ask('/status/304')).headers['x-a']], ['', 204, 'b']);
        const early = await ask('/early');

        assert.equal(early.body, 'after hints');
        assert.equal(early.hints[0][':status'], 103);
        assert.match(early.hints[0].link, /style\.css/);
    });

    test('as many at once as limits.streams: one more is refused, or, once that is agreed, the end', async () => {
        const client = await h2connect(gateway.port);

        client.silent = true; // it has not agreed
        const settings = await client.next((f) => f.type === TYPE.SETTINGS && !(f.flags & FLAG.ACK));

        assert.equal(settings.payload.readUInt16BE(0), 3);
        assert.equal(settings.payload.readUInt32BE(2), 20);
        for (let id = 1; id <= 39; id += 2)
            client.headers(id, [], { path: '/hang' });
        client.headers(41, [], { path: '/x' });
        assert.equal((await client.answer(41)).reset, ERROR.REFUSED_STREAM);
        for (let id = 1; id <= 39; id += 2)
            client.reset(id);
        client.headers(43, [], { path: '/x' });
        assert.equal((await client.answer(43)).status, 200);
        client.close();
        const other = await open();

        for (let id = 1; id <= 41; id += 2)
            other.headers(id, [], { path: '/hang' });
        assert.equal(await other.cut(), ERROR.PROTOCOL_ERROR);
        other.close();
    });

    test('a reset ends the call upstream; others on the connection go on', async () => {
        const client = await open();

        client.headers(1, [], { path: '/hang/reset' });
        await until(() => upstream.last?.url === '/hang/reset', { what: 'the call upstream' });
        client.reset(1);
        await until(() => ended.includes('/hang/reset'), { what: 'the upstream to hear of it' });
        client.headers(3, [], { path: '/x' });
        assert.equal((await client.answer(3)).status, 200);
        client.close();
    });

    test('a reader without windows holds the upstream up, not our memory; then all comes', async () => {
        const client = await open();
        const rss = gateway.rss();
        let size = 0;

        client.onFrame = (f) => (size += f.type === TYPE.DATA ? f.payload.length : 0);
        client.headers(1, [], { path: '/big' });
        await until(() => size === 65535, { what: 'the first window' });
        await pause(200);
        assert.equal(size, 65535);
        if (MEMORY_COUNTS)
            assert.ok(gateway.rss() - rss < (8 << 20), `memory grew by ${gateway.rss() - rss}`);
        const before = size;

        client.window(1, 400 * 65536);
        client.window(0, 400 * 65536);
        await until(() => size === 400 * 65536, { ms: 15000, what: 'the rest' });
        assert.ok(size > before);
        client.close();
    });

    test('an upgrade to h2c is passed over: HTTP/1.1 answers', async () => {
        const client = await connect(gateway.port);

        await client.request({ path: '/x', headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' } });
        const answer = await client.response();

        assert.equal(answer.status, 200);
        assert.equal(answer.json.headers.upgrade, undefined);
        assert.equal(answer.json.headers['http2-settings'], undefined);
        client.destroy();
    });

    test('a preface may come byte by byte; a half one is 408 or the end', async () => {
        const client = await open({ hello: false });

        client.silent = true; // our ACK is not to come inside
        for (const byte of Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')) {
            client.send(Buffer.from([byte]));
            await pause(1);
        }
        client.settings();
        client.headers(1, [], { path: '/x' });
        assert.equal((await client.answer(1)).status, 200);
        client.close();
        const post = await connect(gateway.port); // begins alike, is HTTP/1.1

        await post.request({ method: 'POST', path: '/x', body: 'x' });
        assert.equal((await post.response()).status, 200);
        post.destroy();
    });

    test('gateway.http2: false leaves HTTP/1.1 alone', async () => {
        const plain = await startGateway({ documents: { 'api.json': openapi({ context: '/', endpoints: upstream.url }) }, http2: false });
        const client = await connect(plain.port);

        client.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
        const answer = await client.response();

        assert.equal(answer.status, 505);
        client.destroy();
        await plain.stop();
    });
});

describe('A drain', () => {
    test('says GOAWAY twice, serves what comes between, lets streams finish', async () => {
        const at = await startGateway({ documents: { 'api.json': openapi({ context: '/', endpoints: upstream.url }) }, timeouts: { drainMs: 8000 } });
        const client = await h2connect(at.port);

        client.headers(1, [], { path: '/x' });
        await client.answer(1);
        at.signal('SIGTERM');
        const first = await client.next((f) => f.type === TYPE.GOAWAY);

        assert.equal(first.payload.readUInt32BE(0), 0x7fffffff);
        client.headers(3, [], { path: '/x' });
        assert.equal((await client.answer(3)).status, 200, 'it was under way');
        await until(() => client.goaway().last === 3, { ms: 5000, what: 'the last GOAWAY' });
        assert.equal(client.goaway().code, 0);
        await until(() => client.ended, { ms: 5000, what: 'the end' });
        await at.stop();
    });

    test('an idle connection is told goodbye after timeouts.idle', async () => {
        const client = await open();

        client.headers(1, [], { path: '/x' });
        await client.answer(1);
        await until(() => client.ended, { ms: patience(7000), what: 'the end' });
        assert.equal(client.goaway().code, 0);
    });
});
