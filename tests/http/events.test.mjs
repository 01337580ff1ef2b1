// events.test.mjs - one event per call, whatever happens to the process, the
// file and the receiver.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { Receiver, account, nameOf, parseLines, readEvents } from './lib/events.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { h2connect } from './lib/h2raw.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Load } from './lib/load.mjs';
import { connect } from './lib/raw.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { LONG, SLOW, patience, pause, until } from './lib/wait.mjs';

const issuer = new Issuer();
const KILLS = LONG ? 20 : 4;
const RATE = SLOW ? 150 : LONG ? 2000 : 500;
let upstream;

before(async () => {
    upstream = await startUpstream({ stream: serve });
    new WebSocketServer({ server: upstream.server }).on('connection', (ws) => ws.on('error', () => {}).on('message', (m) => ws.send(String(m))));
});
after(() => upstream.close());

function serve(req, res) {
    req.resume();
    if (req.url.includes('/never'))
        return;
    if (req.url.includes('/cut')) {
        res.writeHead(200, { 'Content-Length': 100 });
        res.write('half');
        setTimeout(() => res.socket.destroy(), 50);
        return;
    }
    if (req.url.includes('/teapot'))
        res.writeHead(418, { 'Content-Type': 'text/plain; charset=utf-8' });
    else if (req.url.includes('/empty'))
        return res.writeHead(204).end();
    req.on('end', () => res.end('hello, world'));
}

const shop = () => openapi({ title: 'Shop', version: '1.2', context: '/shop', endpoints: upstream.url, paths: { '/items/{id}': 'get post', '/*': 'get post put' } });
const token = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }] };
const safe = () => openapi({ title: 'Safe', version: '1', context: '/safe', endpoints: upstream.url, paths: { '/x': 'get' }, ...token });

function start(options = {}) {
    return startGateway({
        documents: { 'shop.json': shop(), 'safe.json': safe() }, files: { 'keys.json': issuer.jwks },
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], threads: 2, outbound: { allow: ['127.0.0.1'] },
        events: { to: 'file' }, ...options,
    });
}

const fileOf = (gateway) => path.join(gateway.stateDir, 'events.ndjson');

/** The file's events, once there are so many. */
async function eventsOf(gateway, count, file = fileOf(gateway)) {
    await until(() => readEvents(file).length >= count, { ms: 10000, what: `${count} events` });
    return readEvents(file);
}

async function settled(gateway) {
    let sums;

    await until(async () => {
        sums = account(await gateway.metrics());
        return sums.waiting === 0;
    }, { ms: 10000, what: 'no event to wait' });
    assert.equal(sums.accepted, sums.delivered + sums.spooled + sums.dropped);
    return sums;
}

function assertOnce(events) {
    const names = events.map(nameOf);

    assert.equal(new Set(names).size, names.length, 'an event is there twice');
}

async function killed(gateway) {
    gateway.state.child.kill('SIGKILL');
    await gateway.state.exited;
}

const again = (gateway) => gateway.start(['gateway', '--config', gateway.file('tollgate.yaml')], {});

describe('what an event says', () => {
    let gateway;
    let seen = 0;

    before(async () => (gateway = await start()));
    after(() => gateway.stop());

    /** The one event that call() makes. */
    async function eventOf(call) {
        const before = seen;

        await call();
        const events = await eventsOf(gateway, before + 1);

        await pause(50);
        assert.equal(readEvents(fileOf(gateway)).length, before + 1, 'exactly one event');
        seen = before + 1;
        return events.sort((a, b) => (a.requestTimestamp < b.requestTimestamp ? -1 : 1)).at(-1);
    }

    test('a call that went well', async () => {
        const began = Date.now();
        let answer;
        const event = await eventOf(async () => {
            answer = await gateway.call('/shop/items/7?secret=1', {
                method: 'POST', body: 'abc', headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36' },
            });
        });

        assert.equal(event.correlationId, answer.header('activityid'));
        assert.ok(Math.abs(Date.parse(event.requestTimestamp) - began) < patience(5000));
        for (const [member, value] of Object.entries({
            eventType: 'response', apiId: 'Shop:1.2', apiName: 'Shop', apiVersion: '1.2', apiContext: '/shop', apiType: 'HTTP', apiMethod: 'POST',
            apiResourceTemplate: '/items/{id}', proxyResponseCode: 200, targetResponseCode: 200, requestSize: 3, responseSize: 12,
            destination: upstream.url, userIp: '127.0.0.1', userAgent: 'Chrome', platform: 'Linux', keyType: 'PRODUCTION', regionId: 'default',
            configuration: 1,
        }))
            assert.equal(event[member], value, member);
        assert.ok(event.responseMicros >= event.backendMicros && event.backendMicros > 0);
        assert.match(event.gateway, /^[0-9a-f]{16}$/);
        assert.ok(!JSON.stringify(event).includes('secret'), 'no query');
        for (const absent of ['errorCode', 'errorType', 'reason'])
            assert.ok(!(absent in event), absent);
    });

    test('what the backend answered, with its type', async () => {
        const event = await eventOf(() => gateway.call('/shop/teapot'));

        assert.deepEqual([event.proxyResponseCode, event.targetResponseCode, event.responseContentType, event.eventType],
            [418, 418, 'text/plain; charset=utf-8', 'response']);
    });

    test('an answer without a body', async () => {
        const event = await eventOf(() => gateway.call('/shop/empty'));

        assert.deepEqual([event.proxyResponseCode, event.responseSize], [204, 0]);
        assert.equal((await eventOf(() => gateway.call('/shop/x', { method: 'HEAD' }))).responseSize, 0);
    });

    test('who called', async () => {
        const event = await eventOf(() => gateway.call('/safe/x', { headers: bearer(issuer.token({ sub: 'ann"\n', azp: 'the-client' })) }));

        assert.equal(event.userName, 'ann"\n');
        assert.equal(event.applicationName, 'the-client');
        assert.equal(event.applicationId, `${issuer.issuer}|the-client`);
        assert.equal(event.proxyResponseCode, 200);
    });

    for (const [what, target, options, expected] of [
        ['no credentials', '/safe/x', {}, { proxyResponseCode: 401, errorCode: 900902, errorType: 'AUTH', errorMessage: 'AUTHENTICATION_FAILURE' }],
        ['a bad token', '/safe/x', { headers: bearer('nonsense') }, { proxyResponseCode: 401, errorCode: 900901, errorType: 'AUTH' }],
        ['no such API', '/nothing', {}, { proxyResponseCode: 404, errorType: 'OTHER', errorMessage: 'RESOURCE_NOT_FOUND' }],
        ['no such method', '/safe/x', { method: 'PUT' }, { proxyResponseCode: 405, errorType: 'OTHER', errorMessage: 'METHOD_NOT_ALLOWED' }],
    ])
        test(`a refusal: ${what}`, async () => {
            const event = await eventOf(() => gateway.call(target, options));

            assert.equal(event.eventType, 'faulty');
            for (const [member, value] of Object.entries(expected))
                assert.equal(event[member], value, member);
            assert.ok(event.reason, 'a reason');
            assert.ok(!('targetResponseCode' in event));
        });

    test('an answer that is cut, a client that leaves, a request nobody can read', async () => {
        const cut = await eventOf(() => gateway.call('/shop/cut').catch(() => {}));

        assert.deepEqual([cut.eventType, cut.proxyResponseCode, cut.reason], ['faulty', 200, 'answer_cut']);
        const left = await eventOf(async () => {
            const client = await connect(gateway.port);

            client.socket.write('GET /shop/never HTTP/1.1\r\nHost: x\r\n\r\n');
            await pause(100);
            client.socket.destroy();
        });

        assert.deepEqual([left.eventType, left.proxyResponseCode, left.reason], ['faulty', 499, 'client_left']);
        const unreadable = await eventOf(async () => {
            const client = await connect(gateway.port);

            client.socket.write('GET /shop/x HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n');
            await client.response();
        });

        assert.deepEqual([unreadable.eventType, unreadable.proxyResponseCode], ['faulty', 400]);
    });

    test('HTTP/2 and WebSockets', async () => {
        const h2 = await h2connect(gateway.port);
        const event = await eventOf(async () => {
            h2.headers(1, [], { path: '/shop/items/2' });
            assert.equal((await h2.answer(1)).status, 200);
        });

        assert.deepEqual([event.apiMethod, event.proxyResponseCode, event.responseSize], ['GET', 200, 12]);
        h2.close();
        const socket = await eventOf(async () => {
            const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/shop/ws`);

            await new Promise((resolve) => ws.on('open', resolve));
            ws.send('hi');
            await new Promise((resolve) => ws.on('message', resolve));
            ws.close();
            await new Promise((resolve) => ws.on('close', resolve));
        });

        assert.deepEqual([socket.apiType, socket.proxyResponseCode], ['WS', 101]);
    });

    test('their number is the number of calls', async () => {
        const sums = await settled(gateway);
        const metrics = await gateway.metrics();

        assert.equal(sums.accepted, seen);
        assert.equal(sums.accepted, metrics.sum('tollgate_http_requests_total') + metrics.sum('tollgate_requests_refused_total'));
        assert.equal(sums.dropped, 0);
        assertOnce(readEvents(fileOf(gateway)));
    });
});

describe('nothing is lost, nothing is there twice', () => {
    async function complete(gateway, ms) {
        const ids = [];
        const load = new Load(gateway.port, {
            rate: RATE, connections: 16, path: '/shop/items/1',
            right: (answer) => answer.status === 200 && ids.push(answer.header('activityid')),
        }).start();

        await pause(ms);
        return { ids, load };
    }

    test(`over ${KILLS} kills under load every whole answer has one event`, async () => {
        const gateway = await start();
        const answered = [];

        for (let i = 0; i < KILLS; i++) {
            const { ids, load } = await complete(gateway, patience(300 + 170 * (i % 4)));

            await killed(gateway);
            await load.stop();
            assert.ok(ids.length > 20, 'there was load');
            answered.push(...ids);
            await again(gateway);
        }
        const sums = await settled(gateway);
        const events = readEvents(fileOf(gateway));
        const count = new Map();

        for (const { correlationId } of events)
            count.set(correlationId, (count.get(correlationId) ?? 0) + 1);
        assert.deepEqual(answered.filter((id) => count.get(id) !== 1), []);
        assertOnce(events);
        assert.equal(sums.delivered, events.length);
        // Killed between being counted and being there, or not at all: not more than were under way.
        assert.ok(sums.dropped <= 16 * KILLS, `${sums.dropped} dropped`);
        assert.equal(new Set(events.map((e) => e.boot)).size, KILLS, 'each process has its number');
        await gateway.stop();
        assert.deepEqual(fs.readdirSync(path.join(gateway.stateDir, 'events')).filter((n) => n.startsWith('ring-')), [], 'no rings are left');
    });

    test('over a restart and an upgrade', async () => {
        const gateway = await start();
        const first = await complete(gateway, patience(300));

        assert.equal((await gateway.upgrade()).code, 0);
        await pause(patience(500));
        await first.load.stop();
        assert.deepEqual(first.load.failures, []);
        const sums = await settled(gateway);

        assert.equal(sums.delivered, first.ids.length);
        const events = readEvents(fileOf(gateway));

        assert.deepEqual(events.map((e) => e.correlationId).sort(), [...first.ids].sort());
        assert.ok(new Set(events.map((e) => e.boot)).size === 2, 'both processes made some');
        assert.equal(new Set(events.map((e) => e.gateway)).size, 1, 'the gateway stays the same');
        await gateway.stop();
    });

    test('files are renamed when they are large, and kept to a number', async () => {
        const gateway = await start({ events: { to: 'file', rotate_size: '64k', keep: 3 } });
        const { ids, load } = await complete(gateway, patience(1500));

        await load.stop();
        await settled(gateway);
        const names = fs.readdirSync(gateway.stateDir).filter((n) => n.startsWith('events.ndjson'));

        assert.ok(names.length >= 3 && names.length <= 4, `${names}`);
        for (const name of names)
            assert.ok(name === 'events.ndjson' || /^events\.ndjson\.\d{8}T\d{6}Z(-\d{3})?$/.test(name), name);
        const events = readEvents(fileOf(gateway));

        assertOnce(events);
        assert.ok(events.every((e) => ids.includes(e.correlationId)));
        await gateway.stop();
    });

    test('a file that somebody else renames is begun anew', async () => {
        const gateway = await start();

        await gateway.call('/shop/items/1');
        await eventsOf(gateway, 1);
        fs.renameSync(fileOf(gateway), `${fileOf(gateway)}.old`);
        await gateway.call('/shop/items/2');
        await until(() => fs.existsSync(fileOf(gateway)), { what: 'a new file' });
        assert.equal((await eventsOf(gateway, 2)).length, 2);
        await gateway.stop();
    });

    test('standard output', async () => {
        const gateway = await start({ events: { to: 'stdout' } });

        for (let i = 0; i < 50; i++)
            await gateway.call('/shop/items/1');
        await gateway.stop();
        const events = parseLines(gateway.state.stdout);

        assert.equal(events.length, 50);
        assertOnce(events);
    });

    test('a disk that is full: calls go on, events wait, then are dropped and counted', async () => {
        const gateway = await start({ events: { to: 'file', file: '/dev/full', ring: '64k' }, threads: 1 });

        for (let i = 0; i < 200; i++)
            assert.equal((await gateway.call('/shop/items/1')).status, 200);
        const sums = account(await gateway.metrics());

        assert.equal(sums.accepted, 200);
        assert.equal(sums.delivered, 0);
        assert.ok(sums.dropped > 0 && sums.waiting > 0 && sums.failures > 0, JSON.stringify(sums));
        assert.equal(sums.accepted, sums.waiting + sums.dropped);
        assert.ok(sums.failures < 40, `${sums.failures} tries: not one for each call`);
        assert.equal(gateway.logs().filter((l) => l.area === 'events' && /cannot be written/.test(l.message)).length, 1, 'said once');
        // A place that works: what waited goes there.
        gateway.configure({ events: { to: 'file', ring: '64k' } });
        await gateway.mustReload();
        const { delivered, dropped } = await settled(gateway);

        assert.equal(delivered + dropped, 200);
        assert.equal((await eventsOf(gateway, delivered)).length, delivered);
        await gateway.stop();
    });
});

describe('a receiver', () => {
    const http = (receiver, more) => ({ to: 'http', url: receiver.url, interval: '50ms', ...more });

    async function calls(gateway, n) {
        const ids = [];

        for (let i = 0; i < n; i++)
            ids.push((await gateway.call('/shop/items/1')).header('activityid'));
        return ids;
    }

    const ids = (receiver) => receiver.events.map((e) => e.correlationId);

    test('gets batches of lines', async () => {
        const receiver = await new Receiver().listen();
        const gateway = await start({ events: http(receiver, { authorization: 'Bearer letmein', batch: 10 }) });
        const sent = await calls(gateway, 35);

        await until(() => receiver.events.length === 35, { what: 'all events' });
        assert.deepEqual(ids(receiver).sort(), sent.sort());
        const [request] = receiver.requests;

        assert.deepEqual([request.method, request.url, request.headers['content-type'], request.headers.authorization],
            ['POST', '/events', 'application/x-ndjson', 'Bearer letmein']);
        assert.equal(request.headers['tollgate-gateway'], receiver.events[0].gateway);
        assert.ok(receiver.batches.every((b) => b.length <= 10));
        assert.equal((await settled(gateway)).delivered, 35);
        await gateway.stop();
        await receiver.close();
    });

    test('that is away: they wait on disk, over a kill, and come in order', async () => {
        const receiver = await new Receiver().listen();
        const gateway = await start({ events: http(receiver), threads: 1 });
        const sent = await calls(gateway, 5);

        await until(() => receiver.events.length === 5, { what: 'the first' });
        receiver.answer = 503;
        sent.push(...await calls(gateway, 30));
        await until(async () => account(await gateway.metrics()).spooled === 30, { ms: 10000, what: 'events on disk' });
        await killed(gateway);
        await again(gateway);
        sent.push(...await calls(gateway, 10));
        await until(async () => account(await gateway.metrics()).spooled === 40, { ms: 10000, what: 'more of them' });
        receiver.answer = 200;
        await until(() => receiver.events.length === 45, { ms: 40000, what: 'all events' });
        assert.deepEqual(ids(receiver), sent, 'in their order');
        assertOnce(receiver.events);
        const sums = await settled(gateway);

        assert.deepEqual([sums.accepted, sums.delivered, sums.spooled, sums.dropped], [45, 45, 0, 0]);
        await gateway.stop();
        await receiver.close();
    });

    test('that is not there at all, and a spool that is full', async () => {
        const receiver = await new Receiver().listen();

        await receiver.close();
        const gateway = await start({ events: http(receiver, { spool: '20k' }), threads: 1 });

        await calls(gateway, 100);
        await until(async () => {
            const { spooled, dropped } = account(await gateway.metrics());

            return spooled + dropped === 100;
        }, { ms: 10000, what: 'all of them on disk or dropped' });
        const sums = await settled(gateway);

        assert.ok(sums.spooled > 10 && sums.dropped > 10, JSON.stringify(sums));
        await receiver.listen(receiver.port);
        await until(() => receiver.events.length === sums.spooled, { ms: 40000, what: 'what was kept' });
        await gateway.stop();
        await receiver.close();
    });

    test('that refuses one event gets the others', async () => {
        const receiver = await new Receiver().listen();

        receiver.answer = (events) => (events.some((e) => e.apiMethod === 'PUT') ? 400 : 200);
        const gateway = await start({ events: http(receiver, { interval: '300ms' }), threads: 1 });
        const sent = await calls(gateway, 20);

        await gateway.call('/shop/items', { method: 'PUT', body: 'x' });
        sent.push(...await calls(gateway, 20));
        await until(() => receiver.events.length === 40, { ms: 15000, what: 'the others' });
        assert.deepEqual(ids(receiver), sent);
        const sums = await settled(gateway);

        assert.deepEqual([sums.delivered, sums.dropped], [40, 1]);
        await gateway.stop();
        await receiver.close();
    });

    test('that never answers holds up no call', async () => {
        const receiver = await new Receiver().listen();

        receiver.answer = null;
        const gateway = await start({ events: http(receiver, { timeout: '300ms' }), threads: 1 });
        const sent = await calls(gateway, 50);

        await until(async () => account(await gateway.metrics()).spooled === 50, { ms: 15000, what: 'events on disk' });
        receiver.answer = 200;
        await until(() => receiver.events.length === 50, { ms: 40000, what: 'all events' });
        assert.deepEqual(ids(receiver), sent);
        await gateway.stop();
        await receiver.close();
    });

    test('at the end of the process what is left is sent, or kept for the next', async () => {
        const receiver = await new Receiver().listen();
        const gateway = await start({ events: http(receiver, { interval: '60s' }), threads: 1 });
        const sent = await calls(gateway, 1);

        await until(() => receiver.events.length === 1, { what: 'the first' });
        sent.push(...await calls(gateway, 7));
        await gateway.stop();
        assert.deepEqual(ids(receiver), sent);
        await receiver.close();
    });

    test('on and off by a reload', async () => {
        const receiver = await new Receiver().listen();
        const gateway = await start({ events: { to: 'off' } });

        await calls(gateway, 3);
        assert.equal((await gateway.metrics()).find('tollgate_events_accepted_total').length, 0);
        gateway.configure({ events: http(receiver) });
        await gateway.mustReload();
        const sent = await calls(gateway, 3);

        await until(() => receiver.events.length === 3, { what: 'three' });
        gateway.configure({ events: { to: 'file' } });
        await gateway.mustReload();
        await calls(gateway, 2);
        await eventsOf(gateway, 2);
        assert.deepEqual(ids(receiver).sort(), sent.sort());
        await gateway.stop();
        await receiver.close();
    });
});

test('settings that cannot work are refused with the way out', async () => {
    const gateway = await start();

    gateway.configure({ events: { to: 'http' } });
    assert.match((await gateway.reload()).output, /gateway\.events\.url: `to: http` needs an address/);
    gateway.configure({ events: { to: 'file', file: gateway.dir } });
    assert.match((await gateway.reload()).output, /is a folder; name a file/);
    gateway.configure({ events: { to: 'nowhere' } });
    assert.match((await gateway.reload()).output, /events\.to/);
    await gateway.stop();
    assert.equal((await run(['gateway', '--config', gateway.file('tollgate.yaml')])).code, 1);
});
