// byte-limits.test.mjs - bytes are counted while they flow, each once.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { SLOW, pause, until } from './lib/wait.mjs';

const POLICIES = `
tiers:
  - {name: Half, limits: [{bytes: 500k, window: 1d, per: [all]}]}
  - {name: Up, limits: [{bytes: 500k, window: 1d, per: [all]}]}
  - {name: Few, limits: [{bytes: 4k, window: 1d, per: [all]}]}
  - {name: Socket, limits: [{bytes: 4k, window: 1d, per: [all]}]}
  - {name: Whole, limits: [{bytes: 1m, window: 1d, per: [all]}]}
  - {name: Left, limits: [{bytes: 500k, window: 1d, per: [all]}]}
  - {name: Once, limits: [{requests: 1, window: 1d, per: [all]}]}
`;
const SOON_MS = SLOW ? 6000 : 1500;
const K = 1024;
let upstream, gateway;
const held = []; // what ends the replies that wait

const under = (name, tier, description) => openapi({
    title: name, version: '1', description, context: `/${name}`, endpoints: upstream.url, paths: { '/{any}': 'get post' }, 'x-wso2-throttling-tier': tier,
});

const answers = {
    /** 300 KiB, and when it is released as much again. */
    slow(req, res) {
        res.writeHead(200, { 'Content-Type': 'application/octet-stream' });
        res.write(Buffer.alloc(300 * K));
        held.push(() => res.end(Buffer.alloc(300 * K)));
    },
    /** Reads all of it, and says how much. */
    count(req, res) {
        let n = 0;

        req.on('data', (d) => (n += d.length)).on('end', () => res.end(String(n)));
    },
    events(req, res) {
        res.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const timer = setInterval(() => res.write(`data: ${'x'.repeat(200)}\n\n`), 20);

        res.on('close', () => clearInterval(timer));
    },
};

before(async () => {
    upstream = await startUpstream({ stream: (req, res) => answers[req.url.slice(1)](req, res) });
    new WebSocketServer({ server: upstream.server }).on('connection', (ws) => {
        ws.on('error', () => {});
        ws.on('message', (m) => ws.send(String(m)));
    });
    gateway = await startGateway({
        documents: {
            'half.json': under('half', 'Half'), 'up.json': under('up', 'Up'), 'few.json': under('few', 'Few'), 'socket.json': under('socket', 'Socket'),
            'whole.json': under('whole', 'Whole'), 'left.json': under('left', 'Left'), 'once.json': under('once', 'Once'),
        },
        files: { 'policies.yaml': POLICIES }, policies: 'policies.yaml', threads: 2,
    });
});
after(async () => {
    await gateway?.stop();
    await upstream?.close();
});

/** A download that is under way: its bytes so far, and its end. */
function download(path) {
    const seen = { bytes: 0 };

    seen.end = new Promise((resolve) => {
        seen.request = http.get(`${gateway.url}${path}`, { agent: false }, (res) => {
            seen.status = res.statusCode;
            res.on('data', (d) => (seen.bytes += d.length)).on('close', () => resolve(res.complete));
        }).on('error', () => resolve(false));
    });
    return seen;
}

const release = () => held.splice(0).forEach((end) => end());

describe('A limit of bytes', () => {
    test('counts a download while it flows, which itself ends in peace', async () => {
        const one = download('/half/slow'), two = download('/half/slow');

        await until(() => one.bytes === 300 * K && two.bytes === 300 * K, { what: 'the first halves' });
        assertError(await gateway.call('/half/count'), 429, '900800');
        release();
        assert.deepEqual(await Promise.all([one.end, two.end]), [true, true]);
        assert.equal(one.bytes, 600 * K);
    });

    test('counts an upload while it flows', async () => {
        const request = http.request(`${gateway.url}/up/count`, { method: 'POST', agent: false });
        const answer = new Promise((resolve) => request.on('response', (res) => {
            let text = '';

            res.on('data', (d) => (text += d)).on('end', () => resolve(text));
        }));

        request.write(Buffer.alloc(600 * K));
        await until(async () => (await gateway.call('/up/count')).status === 429, { what: 'the limit to be reached' });
        request.end();
        assert.equal(await answer, String(600 * K));
    });

    test('counts each byte once', async () => {
        const one = download('/whole/slow');

        await until(() => one.bytes === 300 * K, { what: 'the first half' });
        release();
        assert.equal(await one.end, true);
        assert.equal((await gateway.call('/whole/count', { method: 'POST', body: 'b'.repeat(400 * K) })).status, 200, '600 KiB of 1 MiB');
        // 1,000 KiB and three bytes are counted: some room is left.
        assert.equal((await gateway.call('/whole/count', { method: 'POST', body: 'b'.repeat(20 * K) })).status, 200, '1,000 KiB of 1 MiB');
        assert.equal((await gateway.call('/whole/count', { method: 'POST', body: 'b'.repeat(20 * K) })).status, 200, '1,020 KiB of 1 MiB');
        assertError(await gateway.call('/whole/count'), 429, '900800');
    });

    test('counts what had flowed when a client leaves', async () => {
        const one = download('/left/slow'), two = download('/left/slow');

        await until(() => one.bytes === 300 * K && two.bytes === 300 * K, { what: 'the first halves' });
        one.request.destroy();
        two.request.destroy();
        await until(async () => (await gateway.call('/left/count')).status === 429, { what: 'the limit to be reached' });
        held.length = 0;
    });

    test('ends an event stream when nothing is left', async () => {
        const stream = download('/few/events');
        const whole = await Promise.race([stream.end, pause(SOON_MS * 3).then(() => 'it goes on')]);

        assert.equal(whole, false, 'cut');
        assert.equal(stream.status, 200);
        assert.ok(stream.bytes >= 4 * K && stream.bytes < 4 * K + SOON_MS / 20 * 250, `${stream.bytes} bytes`);
        assertError(await gateway.call('/few/count'), 429, '900800');
    });

    test('ends a WebSocket when nothing is left, with its code', async () => {
        const ws = new WebSocket(`${gateway.url.replace('http', 'ws')}/socket/x`);
        const closed = new Promise((resolve) => ws.on('close', (code) => resolve(code)));

        await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
        const timer = setInterval(() => ws.readyState === WebSocket.OPEN && ws.send('m'.repeat(200)), 20);

        assert.equal(await Promise.race([closed, pause(SOON_MS * 3).then(() => 'it goes on')]), 1008);
        clearInterval(timer);
        assertError(await gateway.call('/socket/count'), 429, '900800');
    });
});

describe('A stream whose API changes', () => {
    test('is not counted again', async () => {
        const ws = new WebSocket(`${gateway.url.replace('http', 'ws')}/once/x`), heard = [];
        let code;

        ws.on('close', (c) => (code = c)).on('message', (m) => heard.push(String(m)));
        await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
        gateway.write('once.json', JSON.stringify(under('once', 'Once', 'another one')));
        await gateway.mustReload();
        await pause(700);
        ws.send('still there');
        await until(() => heard.length || code, { what: 'an echo' });
        assert.deepEqual(heard, ['still there'], `closed with ${code}`);
        assertError(await gateway.call('/once/count'), 429, '900800');
        ws.close();
    });
});
