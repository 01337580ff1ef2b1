// clients.test.mjs - the clients people really use, plain and over TLS.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { after, before, describe, test } from 'node:test';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';

import { EventSource } from 'eventsource';
import { Agent, Client, fetch, request } from 'undici';

import { ALL, openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { patience, pause, until, within } from './lib/wait.mjs';

const MIB = 1 << 20;
const BIG = 100 * MIB;
const BLOCK = Buffer.from(Array.from({ length: MIB }, (_, i) => (i * 131 + (i >> 8)) & 255));

let ca;
let upstream;
let gateway;
let agent; // trusts our authority

before(async () => {
    ca = new Authority();
    const server = ca.issue('server');

    upstream = await startUpstream({ stream: serve });
    gateway = await startGateway({
        documents: { 'api.json': openapi({ context: '/api', endpoints: `${upstream.url}/up`, paths: { '/*': ALL } }) },
        tls: { certificate: server.certificate, key: server.key },
        timeouts: { drainMs: 2000 },
    });
    agent = new Agent({ connect: { ca: ca.pem } });
});

after(async () => {
    await agent?.close();
    await gateway?.stop();
    await upstream?.close();
});

/** The backend: big downloads, event streams, and an echo for the rest. */
function serve(req, res) {
    const { pathname, searchParams } = new URL(req.url, 'http://x');

    if (pathname === '/up/down')
        return down(res, Number(searchParams.get('bytes')));
    if (pathname === '/up/count')
        return count(req, res);
    if (pathname === '/up/events')
        return events(req, res, Number(searchParams.get('n') ?? 1000));
    const chunks = [];

    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
        const body = Buffer.concat(chunks);

        res.setHeader('Content-Type', 'application/json');
        res.end(JSON.stringify({
            method: req.method, url: req.url, headers: req.headers, trailers: req.trailers,
            body: body.toString('latin1'),
        }));
    });
}

async function down(res, left) {
    res.setHeader('Content-Type', 'application/octet-stream');
    res.setHeader('Content-Length', left);
    await pipeline(Readable.from(blocks(left)), res).catch(() => {});
}

function* blocks(left) {
    for (; left > 0; left -= BLOCK.length)
        yield BLOCK.subarray(0, Math.min(left, BLOCK.length));
}

async function count(req, res) {
    const hash = createHash('sha256');
    let bytes = 0;

    for await (const chunk of req) {
        bytes += chunk.length;
        hash.update(chunk);
    }
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({ bytes, sha256: hash.digest('hex'), chunked: 'transfer-encoding' in req.headers }));
}

const streams = new Set();

/** n events, each only when the test asks for it, then silence. */
function events(req, res, n) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    res.write(': hello\n\n');
    const stream = { sent: 0, next: () => stream.sent < n && res.write(`id: ${stream.sent}\ndata: event ${stream.sent++}\n\n`) };

    streams.add(stream);
    res.on('close', () => streams.delete(stream));
}

function checksum(bytes) {
    const hash = createHash('sha256');

    for (const block of blocks(bytes))
        hash.update(block);
    return hash.digest('hex');
}

const urls = { plain: () => gateway.url, TLS: () => gateway.tlsUrl };

describe('curl', () => {
    const curl = async (...args) => {
        const { stdout } = await promisify(execFile)('curl', ['-sS', '--max-time', String(patience(20) | 0), '--cacert', ca.certificate, ...args], { encoding: 'utf8' });

        return stdout;
    };

    for (const [kind, url] of Object.entries(urls)) {
        test(`gets over ${kind}`, async () => {
            const seen = JSON.parse(await curl(`${url()}/api/pets?limit=2`));

            assert.equal(seen.method, 'GET');
            assert.equal(seen.url, '/up/pets?limit=2');
        });

        test(`posts JSON over ${kind}`, async () => {
            const seen = JSON.parse(await curl('-H', 'Content-Type: application/json', '-d', '{"a":1}', `${url()}/api/pets`));

            assert.deepEqual([seen.method, seen.body, seen.headers['content-type']], ['POST', '{"a":1}', 'application/json']);
        });
    }

    test('sends a large body with Expect: 100-continue', async () => {
        const file = gateway.write('body.bin', 'x'.repeat(3 * MIB));
        const begin = Date.now();
        const seen = JSON.parse(await curl('-H', 'Expect: 100-continue', '--expect100-timeout', '30', '--data-binary', `@${file}`, `${gateway.url}/api/count`));

        assert.equal(seen.bytes, 3 * MIB);
        assert.ok(Date.now() - begin < patience(10000), 'curl did not have to wait for its own time-out');
    });

    test('sends several parts as multipart', async () => {
        const seen = JSON.parse(await curl('-F', 'a=1', '-F', 'b=two words', `${gateway.url}/api/form`));

        assert.match(seen.headers['content-type'], /^multipart\/form-data; boundary=/);
        assert.match(seen.body, /name="b"\r\n\r\ntwo words\r\n/);
    });

    test('asks with HEAD and gets no body', async () => {
        const head = await curl('-I', `${gateway.url}/api/down?bytes=1000`);

        assert.match(head, /^HTTP\/1\.1 200/);
        assert.match(head, /content-length: 1000\r/i);
    });

    test('speaks HTTP/1.0 and sees the connection close', async () => {
        const text = await curl('-0', '-i', `${gateway.url}/api/old`);

        assert.match(text, /^HTTP\/1\.1 200/);
        assert.doesNotMatch(text, /transfer-encoding/i);
        assert.equal(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))).url, '/up/old');
    });

    test('uses the gateway as a proxy (absolute form)', async () => {
        const seen = JSON.parse(await curl('-x', gateway.url, 'http://some.test/api/abs?q=1'));

        assert.equal(seen.url, '/up/abs?q=1');
    });

    test('reuses one connection for several calls', async () => {
        const text = await curl('-w', '%{num_connects}\n', '-o', '/dev/null', `${gateway.url}/api/1`, '-o', '/dev/null', `${gateway.url}/api/2`, '-o', '/dev/null', `${gateway.url}/api/3`);

        assert.deepEqual(text.trim().split('\n'), ['1', '0', '0']);
    });

    test('works with TLS 1.2 as with TLS 1.3', async () => {
        for (const version of ['1.2', '1.3'])
            assert.equal(JSON.parse(await curl('--tls-max', version, `${gateway.tlsUrl}/api/v`)).url, '/up/v');
    });
});

describe('undici', () => {
    for (const [kind, url] of Object.entries(urls)) {
        test(`fetches over ${kind}`, async () => {
            const answer = await fetch(`${url()}/api/fetch`, { method: 'PUT', body: 'data', dispatcher: agent });

            assert.equal(answer.status, 200);
            assert.equal((await answer.json()).body, 'data');
        });

        test(`pipelines ten requests over ${kind} and gets the answers in order`, async () => {
            const client = new Client(url(), { pipelining: 10, connect: { ca: ca.pem } });
            const seen = await Promise.all(Array.from({ length: 30 }, async (_, i) => {
                const { body } = await client.request({ path: `/api/pipe/${i}`, method: 'GET' });

                return (await body.json()).url;
            }));

            assert.deepEqual(seen, seen.map((_, i) => `/up/pipe/${i}`));
            await client.close();
        });
    }

    test('keeps one connection over a hundred calls', async () => {
        const client = new Client(gateway.url);
        let connects = 0;

        client.on('connect', () => connects++);
        for (let i = 0; i < 100; i++) {
            const { statusCode, body } = await client.request({ path: '/api/keep', method: 'GET' });

            assert.equal(statusCode, 200);
            await body.dump();
        }
        assert.equal(connects, 1);
        await client.close();
    });

    test('streams a chunked body up', async () => {
        const { body } = await request(`${gateway.url}/api/count`, {
            method: 'POST', dispatcher: agent, body: Readable.from([Buffer.from('one'), Buffer.from('two'), Buffer.alloc(200000, 'x')]),
        });
        const seen = await body.json();

        assert.deepEqual([seen.bytes, seen.chunked], [200006, true]);
    });
});

describe('Trailers and framing', () => {
    test('trailers pass in both directions', async () => {
        const backend = await startUpstream({
            handler: (req, res, body) => {
                res.writeHead(200, { Trailer: 'X-Checksum' });
                res.write('part one, ');
                res.addTrailers({ 'X-Checksum': `${body.length}-${req.trailers['x-sum'] ?? 'none'}` });
                res.end('part two');
            },
        });
        const own = await startGateway({ documents: { 'api.json': openapi({ context: '/api', endpoints: backend.url }) } });
        const client = await connect(own);

        await client.send('POST /api/t HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n');
        const answer = await client.response();

        assert.equal(answer.text, 'part one, part two');
        assert.equal(backend.last.trailers['x-sum'], '42', 'the request\'s trailer');
        assert.deepEqual(answer.trailers.map(([n, v]) => [n.toLowerCase(), v]), [['x-checksum', '5-42']]);
        client.destroy();
        await own.stop();
        await backend.close();
    });

    test('a chunked answer of unknown length is chunked for 1.1 and ends by close for 1.0', async () => {
        const client = await connect(gateway);

        await client.request({ path: '/api/x' });
        const framing = (await client.response()).framing;

        assert.ok(['chunked', 'length'].includes(framing));
        client.destroy();
        const old = await connect(gateway);

        old.expecting('GET', '1.0');
        await old.send('GET /api/x HTTP/1.0\r\nHost: x\r\n\r\n');
        assert.equal((await old.response()).status, 200);
        assert.ok(await old.when((c) => c.over), 'the connection closes');
        old.destroy();
    });

    test('HTTP/1.0 with keep-alive may go on', async () => {
        const client = await connect(gateway);

        client.expecting('HEAD', '1.0');
        await client.send('HEAD /api/down?bytes=10 HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n');
        const answer = await client.response();

        assert.equal(answer.header('content-length'), '10');
        if (!/keep-alive/i.test(answer.header('connection') ?? ''))
            assert.ok(await client.when((c) => c.over), 'not kept and not closed');
        client.destroy();
    });

    test('Expect: 100-continue is answered before the body is sent', async () => {
        const client = await connect(gateway);

        await client.send('POST /api/e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
        assert.ok(await client.when((c) => c.interim.length), 'no 100 came');
        assert.equal(client.interim[0].status, 100);
        await client.send('data');
        assert.equal((await client.response()).json.body, 'data');
        client.destroy();
    });

    test('an unknown API is refused before the body is sent', async () => {
        const client = await connect(gateway);

        await client.send('POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n');
        const answer = await client.response();

        assert.equal(answer.status, 404);
        assert.equal(answer.interim.length, 0, 'a 100 came first');
        client.destroy();
    });

    test('OPTIONS reaches the backend when the document has it and CORS is off', async () => {
        const own = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: `${upstream.url}/up` }) },
            cors: { enabled: false },
        });

        for (const headers of [{}, { 'Origin': 'https://app.test', 'Access-Control-Request-Method': 'GET' }])
            assert.equal((await own.call('/api/o', { method: 'OPTIONS', headers })).json.method, 'OPTIONS');
        await own.stop();
    });

    test('OPTIONS * is answered without asking a backend', async () => {
        const client = await connect(gateway);
        const before = upstream.count;

        await client.request({ method: 'OPTIONS', path: '*' });
        const answer = await client.response();

        assert.ok([200, 204, 400, 404].includes(answer.status), `status ${answer.status}`);
        assert.equal(upstream.count, before);
        client.destroy();
    });
});

describe('Server-sent events', () => {
    /** A client that left silently is noticed when something is sent to it. */
    const allGone = () => until(() => {
        for (const stream of streams)
            stream.next();
        return streams.size === 0;
    }, { what: 'the backend to see that the client left' });

    test('arrive one by one, unbuffered, on a stream that stays open', async () => {
        const got = [];
        const source = new EventSource(`${gateway.url}/api/events`);

        source.onmessage = (event) => got.push(event.data);
        try {
            await within(new Promise((resolve) => (source.onopen = resolve)), 5000, 'open event stream');
            const [stream] = streams;

            for (let i = 0; i < 5; i++) {
                stream.next();
                await until(() => got.length === i + 1, { what: `event ${i}` });
                assert.equal(got[i], `event ${i}`);
            }
            await pause(300);
            assert.equal(source.readyState, 1, 'the stream is still open');
            assert.equal(got.length, 5);
            stream.next();
            await until(() => got.length === 6, { what: 'an event after silence' });
        } finally {
            source.close();
        }
        await allGone();
    });

    test('pass over TLS too', async () => {
        const answer = await fetch(`${gateway.tlsUrl}/api/events`, { dispatcher: agent });
        const reader = answer.body.getReader();
        const decoder = new TextDecoder();
        let text = decoder.decode((await within(reader.read(), 5000, 'first bytes')).value);

        assert.match(text, /: hello/);
        [...streams].at(-1).next();
        text = decoder.decode((await within(reader.read(), 5000, 'an event')).value);
        assert.match(text, /data: event 0/);
        await reader.cancel();
        await allGone();
    });
});

describe('A hundred MiB', () => {
    const expected = checksum(BIG);
    let before;

    /** Runs a transfer and watches the gateway's memory meanwhile. */
    async function watched(transfer) {
        let peak = 0;
        const timer = setInterval(() => (peak = Math.max(peak, gateway.rss())), 20);

        before ??= gateway.rss();
        try {
            await within(transfer, 60000, 'end of the transfer');
        } finally {
            clearInterval(timer);
        }
        if (MEMORY_COUNTS)
            assert.ok(peak - before < 32 * MIB, `memory grew by ${(peak - before) / MIB} MiB`);
    }

    function open(kind, path, options = {}) {
        const module = kind === 'TLS' ? https : http;

        return module.request(`${urls[kind]()}${path}`, { agent: false, ca: ca.pem, ...options });
    }

    const answered = (req) => new Promise((resolve, reject) => req.on('response', resolve).on('error', reject));

    for (const kind of ['plain', 'TLS']) {
        test(`come down over ${kind} as they were sent`, async () => {
            await watched((async () => {
                const req = open(kind, `/api/down?bytes=${BIG}`).end();
                const hash = createHash('sha256');
                let bytes = 0;

                for await (const chunk of await answered(req)) {
                    bytes += chunk.length;
                    hash.update(chunk);
                }
                assert.equal(bytes, BIG);
                assert.equal(hash.digest('hex'), expected);
            })());
        });

        for (const framing of ['a length', 'chunks'])
            test(`go up over ${kind} with ${framing}`, async () => {
                await watched((async () => {
                    const headers = framing === 'a length' ? { 'Content-Length': BIG } : { 'Transfer-Encoding': 'chunked' };
                    const req = open(kind, '/api/count', { method: 'POST', headers });
                    const answer = answered(req);

                    await pipeline(Readable.from(blocks(BIG)), req);
                    let text = '';

                    for await (const chunk of await answer)
                        text += chunk;
                    assert.deepEqual(JSON.parse(text), { bytes: BIG, sha256: expected, chunked: framing === 'chunks' });
                })());
            });
    }

    test('a reader that pauses holds back the backend, not memory', async () => {
        const start = gateway.rss();
        const req = open('plain', `/api/down?bytes=${BIG}`).end();
        const res = await answered(req);

        await pause(500); // nothing is read: the gateway must stop reading, too
        if (MEMORY_COUNTS)
            assert.ok(gateway.rss() - start < 32 * MIB, `memory grew by ${(gateway.rss() - start) / MIB} MiB`);
        let bytes = 0;

        for await (const chunk of res)
            bytes += chunk.length;
        assert.equal(bytes, BIG);
    });
});
