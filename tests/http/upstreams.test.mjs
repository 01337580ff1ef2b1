// upstreams.test.mjs - backends that come, go, stall and come back.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { ALL, openapi } from './lib/document.mjs';
import { assertError, startGateway, temporary } from './lib/gateway.mjs';
import { connect } from './lib/raw.mjs';
import { assertNothingMalformed, startStrict } from './lib/strict.mjs';
import { Authority } from './lib/tls.mjs';
import { freePort, startUpstream } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

const SAME = /^(101\d{3}|303\d{3})$/;

/** A gateway for one API; closes its things when the test ends. */
async function gatewayFor(t, endpoints, { type, advance, ...options } = {}) {
    const gateway = await startGateway({
        documents: { 'api.json': openapi({ context: '/api', endpoints, type, advance, paths: { '/*': ALL } }) },
        ...options,
    });

    t.after(() => gateway.stop());
    return gateway;
}

async function upstreamFor(t, options) {
    const upstream = await startUpstream(options);

    t.after(() => upstream.close());
    return upstream;
}

/** n calls one after the other; the names of the upstreams that answered. */
async function namesOf(gateway, n, target = '/api/x') {
    const names = [];

    for (let i = 0; i < n; i++) {
        const answer = await gateway.call(target);

        names.push(answer.status === 200 ? answer.json.upstream : answer.status);
    }
    return names;
}

describe('Connections to a backend', () => {
    test('are kept and used again', async (t) => {
        const upstream = await upstreamFor(t);
        const gateway = await gatewayFor(t, upstream.url);

        assert.deepEqual(await namesOf(gateway, 50), Array(50).fill('upstream'));
        assert.equal(upstream.connections, 1);
    });

    test('are as many as there are calls at once, and then kept', async (t) => {
        const upstream = await upstreamFor(t, { stream: (req, res) => setTimeout(() => res.end('{}'), patience(100)) });
        const gateway = await gatewayFor(t, upstream.url);
        const round = () => Promise.all(Array.from({ length: 10 }, () => gateway.call('/api/x')));

        for (const answer of [...await round(), ...await round(), ...await round()])
            assert.equal(answer.status, 200);
        assert.ok(upstream.connections >= 10 && upstream.connections <= 12, `${upstream.connections} connections`);
    });

    test('that the backend closed while idle cost no call', async (t) => {
        const upstream = await upstreamFor(t);
        const gateway = await gatewayFor(t, upstream.url);

        for (let i = 0; i < 20; i++) {
            assert.equal((await gateway.call('/api/x', { method: i % 2 ? 'POST' : 'GET' })).status, 200, `round ${i}`);
            for (const socket of upstream.sockets)
                socket.destroy();
            await pause(5);
        }
    });

    test('go to a name as well as to an address', async (t) => {
        const upstream = await upstreamFor(t);
        const gateway = await gatewayFor(t, `http://localhost:${upstream.port}/named`);
        const { url, headers } = (await gateway.call('/api/x')).json;

        assert.equal(url, '/named/x');
        assert.equal(headers.host, `localhost:${upstream.port}`);
    });

    test('to a name that cannot be resolved fail cleanly', async (t) => {
        const upstream = await upstreamFor(t);
        const gateway = await startGateway({
            documents: {
                'api.json': openapi({ context: '/api', endpoints: 'http://does-not-exist.invalid:81' }),
                'good.json': openapi({ title: 'Good', context: '/good', endpoints: upstream.url }),
            },
            upstreams: { dns: { timeoutMs: 500 } },
        });

        t.after(() => gateway.stop());
        assertError(await gateway.call('/api/x', { ms: 10000 }), [500, 502, 503], SAME);
        assert.equal((await gateway.call('/good/x')).status, 200);
    });

    test('go through a Unix socket', async (t) => {
        const at = path.join(temporary(), 'backend.sock');
        const upstream = await upstreamFor(t, { at });
        const gateway = await gatewayFor(t, `unix:${at}`);
        const got = await gateway.call('/api/x?y=1');

        assert.equal(got.status, 200);
        assert.equal(got.json.url, '/x?y=1');
        assert.equal(upstream.count, 1);
    });
});

describe('Several endpoints', () => {
    let three;

    before(async () => (three = await Promise.all(['a', 'b', 'c'].map((name) => startUpstream({ name })))));
    after(() => Promise.all(three.map((u) => u.close())));

    test('take turns', async (t) => {
        const gateway = await gatewayFor(t, three.map((u) => u.url));
        const names = await namesOf(gateway, 9);

        for (const name of ['a', 'b', 'c'])
            assert.equal(names.filter((n) => n === name).length, 3, `${names}`);
        assert.notEqual(names[0], names[1]);
    });

    test('without one that is down lose no call', async (t) => {
        const dead = `http://127.0.0.1:${await freePort()}`;
        const gateway = await gatewayFor(t, [three[0].url, dead, three[1].url]);
        const names = await namesOf(gateway, 12);

        assert.ok(names.every((n) => n === 'a' || n === 'b'), `${names}`);
    });

    test('in failover order are used one after the other', async (t) => {
        const first = await startUpstream({ name: 'first' });
        const { port } = first;
        const gateway = await gatewayFor(t, [first.url, three[1].url], { type: 'failover', upstreams: { suspendMs: 300, suspendMaxMs: 300 } });

        assert.deepEqual(await namesOf(gateway, 3), ['first', 'first', 'first']);
        await first.close();
        assert.deepEqual(await namesOf(gateway, 3), ['b', 'b', 'b']);
        const back = await startUpstream({ name: 'first', at: port });

        t.after(() => back.close());
        await until(async () => (await namesOf(gateway, 1))[0] === 'first', { what: 'the first endpoint to be used again', every: 100 });
    });

    test('that are all down give one clean error', async (t) => {
        const dead = await Promise.all([freePort(), freePort()]);
        const gateway = await gatewayFor(t, dead.map((port) => `http://127.0.0.1:${port}`));

        for (let i = 0; i < 3; i++)
            assertError(await gateway.call('/api/x'), [500, 502, 503], SAME);
    });

    test('are balanced by weight when they have one', async (t) => {
        const gateway = await gatewayFor(t, { urls: [{ url: three[0].url, weight: 3 }, { url: three[1].url, weight: 1 }] }, { upstreams: { balance: 'weighted' } });
        const names = await namesOf(gateway, 40);
        const a = names.filter((n) => n === 'a').length;

        assert.ok(a >= 24 && a <= 36, `${a} of 40 went to the one of weight 3`);
    });

    test('get the next call by least outstanding when told so', async (t) => {
        const held = []; // answers the slow one owes
        const slow = await upstreamFor(t, { name: 'slow', stream: (req, res) => held.push(res) });
        const gateway = await gatewayFor(t, [slow.url, three[0].url], { upstreams: { balance: 'least_outstanding' } });
        const calls = [];
        let answered = 0;

        await until(() => {
            calls.push(gateway.call('/api/x').then(() => answered++));
            return held.length > 0;
        }, { what: 'a call at the slow one' });
        await until(() => answered + held.length === calls.length, { what: 'the other calls to end' });
        assert.deepEqual(await namesOf(gateway, 6), Array(6).fill('a'));
        for (const res of held)
            res.end('{}');
        await Promise.all(calls);
    });
});

describe('An endpoint that cannot be reached', () => {
    test('is 101503 first, then 303001 while it is suspended, then tried again', async (t) => {
        const port = await freePort();
        const gateway = await gatewayFor(t, `http://127.0.0.1:${port}`, { upstreams: { suspendMs: 1000, retries: 0 } });

        assertError(await gateway.call('/api/x'), [500, 502, 503], '101503');
        assertError(await gateway.call('/api/x'), [500, 503], '303001');
        const back = await startUpstream({ at: port });

        t.after(() => back.close());
        assertError(await gateway.call('/api/x'), [500, 503], '303001');
        assert.equal(back.count, 0, 'a suspended endpoint is left alone');
        await until(async () => (await gateway.call('/api/x')).status === 200, { what: 'the endpoint to be used again', every: 100 });
        assert.equal((await gateway.call('/api/x')).status, 200);
    });

    test('is suspended longer each time it fails again', async (t) => {
        const port = await freePort();
        const gateway = await gatewayFor(t, `http://127.0.0.1:${port}`, { upstreams: { suspendMs: 100, suspendFactor: 3, retries: 0 } });
        const tries = []; // when it was really tried
        const end = Date.now() + patience(1500);

        while (Date.now() < end) {
            if ((await gateway.call('/api/x')).json.code === '101503')
                tries.push(Date.now());
            await pause(10);
        }
        assert.ok(tries.length >= 2 && tries.length <= 4, `${tries.length} tries`);
        if (tries.length >= 3)
            assert.ok(tries[2] - tries[1] > 1.5 * (tries[1] - tries[0]), 'the periods grow');
    });

    test('is never suspended when that is switched off', async (t) => {
        const gateway = await gatewayFor(t, `http://127.0.0.1:${await freePort()}`, { upstreams: { suspendMs: 0, retries: 0 } });

        for (let i = 0; i < 5; i++)
            assert.equal((await gateway.call('/api/x')).json.code, '101503');
    });
});

describe('Active checks', () => {
    test('take an endpoint out and bring it back without costing a call', async (t) => {
        let well = true;
        const make = (name) => upstreamFor(t, {
            name,
            stream: (req, res) => {
                res.statusCode = req.url === '/healthz' && name === 'b' && !well ? 500 : 200;
                res.end(JSON.stringify({ upstream: name }));
            },
        });
        const [a, b] = [await make('a'), await make('b')];
        const gateway = await gatewayFor(t, [a.url, b.url], { upstreams: { health: { path: '/healthz', intervalMs: 100, timeoutMs: 100, healthy: 1, unhealthy: 2 } } });

        assert.ok((await namesOf(gateway, 6)).includes('b'));
        well = false;
        await until(async () => !(await namesOf(gateway, 4)).includes('b'), { what: 'b to be taken out', every: 50 });
        well = true;
        await until(async () => (await namesOf(gateway, 4)).includes('b'), { what: 'b to come back', every: 50 });
    });
});

describe('Retries', () => {
    /** Drops the connection of the first `bad` requests, then answers. */
    async function flaky(t, bad) {
        const upstream = await startStrict({
            name: 'flaky',
            answer: (request, c, self) => {
                if (self.requests.length <= bad)
                    c.socket.destroy();
                else
                    c.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
            },
        });

        t.after(() => upstream.close());
        return upstream;
    }

    for (const method of ['GET', 'PUT', 'DELETE'])
        test(`repeat ${method}, which changes nothing more the second time`, async (t) => {
            const upstream = await flaky(t, 1);
            const gateway = await gatewayFor(t, upstream.url, { upstreams: { suspendMs: 0, retries: 2 } });
            const answer = await gateway.call('/api/x', { method, body: method === 'PUT' ? 'data' : undefined });

            assert.equal(answer.status, 200);
            assert.equal(upstream.requests.length, 2);
        });

    for (const method of ['POST', 'PATCH'])
        test(`never repeat ${method} once the backend may have seen it`, async (t) => {
            const upstream = await flaky(t, 1);
            const gateway = await gatewayFor(t, upstream.url, { upstreams: { suspendMs: 0, retries: 2 } });

            assertError(await gateway.call('/api/x', { method, body: 'data' }), [500, 502, 503], /^1015\d\d$/);
            assert.equal(upstream.requests.length, 1);
        });

    test('stop at the number that is set', async (t) => {
        const upstream = await flaky(t, 100);
        const gateway = await gatewayFor(t, upstream.url, { upstreams: { suspendMs: 0, retries: 2 } });

        assertError(await gateway.call('/api/x'), [500, 502, 503], /^1015\d\d$/);
        assert.equal(upstream.requests.length, 3);
    });

    test('have a budget: a backend in trouble is not asked several times as often', async (t) => {
        const upstream = await flaky(t, 1e9);
        const gateway = await gatewayFor(t, upstream.url, { upstreams: { suspendMs: 0, retries: 3, retryPercent: 10 } });

        for (let i = 0; i < 300; i++)
            await gateway.call('/api/x');
        assert.ok(upstream.requests.length < 300 * 1.1 + 150, `${upstream.requests.length} requests for 300 calls`);
    });

    test('follow retryConfig: listed statuses are tried again, others not', async (t) => {
        const statuses = [503, 503, 200, 500];
        const upstream = await upstreamFor(t, { handler: (req, res, body, self) => res.writeHead(statuses[self.count - 1] ?? 200).end('{}') });
        const gateway = await gatewayFor(t, upstream.url, { advance: { retryConfig: { count: 3, intervalInMillis: 20, backOffFactor: 1, maxWaitIntervalInMillis: 50, statusCodes: [503] } } });

        assert.equal((await gateway.call('/api/x')).status, 200);
        assert.equal(upstream.count, 3);
        assert.equal((await gateway.call('/api/x')).status, 500);
        assert.equal(upstream.count, 4);
    });
});

describe('Time-outs', () => {
    test('timeoutInMillis of the document ends a call with 1015xx', async (t) => {
        const upstream = await upstreamFor(t, { stream: () => {} });
        const gateway = await gatewayFor(t, upstream.url, { advance: { timeoutInMillis: patience(300) } });
        const begin = Date.now();
        const answer = await gateway.call('/api/x', { method: 'POST', body: 'x' });

        assertError(answer, [500, 504], /^101504$|^10150[5-9]$|^10151\d$/);
        const took = Date.now() - begin;

        assert.ok(took >= patience(250) && took < patience(2500), `it took ${took} ms`);
    });

    test('the first byte of an answer has its time-out', async (t) => {
        const upstream = await upstreamFor(t, { stream: () => {} });
        const gateway = await gatewayFor(t, upstream.url, { upstreams: { firstByteMs: 300 } });

        assertError(await gateway.call('/api/x', { method: 'POST', body: 'x' }), [500, 504], /^1015\d\d$/);
    });

    test('one stalled endpoint does not slow another API', async (t) => {
        const stalled = await upstreamFor(t, { stream: () => {} });
        const good = await upstreamFor(t);
        const gateway = await startGateway({
            documents: {
                'bad.json': openapi({ context: '/bad', endpoints: stalled.url }),
                'good.json': openapi({ title: 'Good', context: '/good', endpoints: good.url }),
            },
            upstreams: { firstByteMs: 3000 },
        });

        t.after(() => gateway.stop());
        const waiting = [];

        for (let i = 0; i < 200; i++) {
            const client = await connect(gateway);

            await client.request({ path: '/bad/x' });
            waiting.push(client);
        }
        const times = [];

        for (let i = 0; i < 50; i++) {
            const begin = performance.now();

            assert.equal((await gateway.call('/good/x')).status, 200);
            times.push(performance.now() - begin);
        }
        times.sort((a, b) => a - b);
        assert.ok(times[45] < patience(100), `9 in 10 took up to ${times[45]} ms`);
        // A client that resets takes its call with it (one that only says it has
        // nothing more to send does not: it may wait for its answer).
        for (const client of waiting)
            client.reset();
        await until(() => stalled.sockets.size === 0, { ms: 4000, what: 'the stalled calls to be given up' });
    });
});

describe('The circuit breaker', () => {
    test('opens after failures, leaves the backend alone, tries again, and closes', async (t) => {
        let broken = true;
        const upstream = await upstreamFor(t, { handler: (req, res) => res.writeHead(broken ? 500 : 200).end('{}') });
        const reset = patience(700);
        const gateway = await gatewayFor(t, upstream.url, {
            advance: {
                circuitBreaker: {
                    rollingWindow: { requestVolumeThreshold: 5, timeWindowInMillis: 10000, bucketSizeInMillis: 1000 },
                    failureThreshold: 0.5, resetTimeInMillis: reset, statusCodes: [500],
                },
            },
        });
        let own; // the gateway's own answer

        for (let i = 0; i < 20 && !own; i++) {
            const answer = await gateway.call('/api/x');

            if (answer.text !== '{}')
                own = answer;
        }
        assert.ok(own, 'it never opened');
        assertError(own, [500, 503], SAME);
        const { count } = upstream;

        assert.ok(count >= 5 && count <= 10, `${count} calls before it opened`);
        assertError(await gateway.call('/api/x'), [500, 503], SAME);
        assert.equal(upstream.count, count, 'the backend was asked while the breaker was open');
        await pause(reset + 100);
        assert.equal((await gateway.call('/api/x')).text, '{}'); // the one that looks
        assert.equal(upstream.count, count + 1);
        assertError(await gateway.call('/api/x'), [500, 503], SAME);
        broken = false;
        await pause(reset + 100);
        for (let i = 0; i < 5; i++)
            assert.equal((await gateway.call('/api/x')).status, 200);
    });

    test('looks at every endpoint by itself', async (t) => {
        const bad = await upstreamFor(t, { handler: (req, res) => res.writeHead(500).end('{"upstream":"bad"}') });
        const good = await upstreamFor(t, { name: 'good' });
        const gateway = await gatewayFor(t, [bad.url, good.url], {
            advance: {
                circuitBreaker: {
                    rollingWindow: { requestVolumeThreshold: 3, timeWindowInMillis: 10000, bucketSizeInMillis: 1000 },
                    failureThreshold: 0.5, resetTimeInMillis: 60000, statusCodes: [500],
                },
            },
        });

        await namesOf(gateway, 12);
        const { count } = bad;

        assert.deepEqual(await namesOf(gateway, 6), Array(6).fill('good'));
        assert.equal(bad.count, count);
    });
});

describe('TLS to a backend', () => {
    let ca;
    let upstream;

    before(async () => {
        ca = new Authority();
        const leaf = ca.issue('backend', { names: ['localhost', '127.0.0.1'] });

        upstream = await startUpstream({ name: 'tls', tls: { cert: leaf.certificatePem, key: leaf.keyPem } });
    });
    after(() => upstream.close());

    test('is verified by default: an unknown authority is refused', async (t) => {
        const gateway = await gatewayFor(t, upstream.url);

        assertError(await gateway.call('/api/x'), [500, 502, 503], '101503');
        assert.equal(upstream.count, 0);
        assert.match(gateway.stderr, /certificate/i, 'the log says why');
    });

    test('is accepted with the authority that is configured', async (t) => {
        const gateway = await gatewayFor(t, upstream.url, { upstreams: { tls: { ca: ca.certificate } } });

        assert.equal((await gateway.call('/api/x')).json.upstream, 'tls');
    });

    test('is refused for a name the certificate does not have', async (t) => {
        const other = ca.issue('other', { names: ['other.test'] });
        const wrong = await upstreamFor(t, { tls: { cert: other.certificatePem, key: other.keyPem } });
        const gateway = await gatewayFor(t, wrong.url, { upstreams: { tls: { ca: ca.certificate } } });

        assertError(await gateway.call('/api/x'), [500, 502, 503], '101503');
        assert.equal(wrong.count, 0);
    });

    test('shows a client certificate when it has one', async (t) => {
        const leaf = ca.issue('mutual');
        const mine = ca.issue('gateway', { client: true });
        const mutual = await upstreamFor(t, {
            tls: { cert: leaf.certificatePem, key: leaf.keyPem, ca: ca.pem, requestCert: true, rejectUnauthorized: true },
            handler: (req, res) => res.end(JSON.stringify(req.socket.getPeerCertificate().subject)),
        });
        const gateway = await gatewayFor(t, mutual.url, { upstreams: { tls: { ca: ca.certificate, certificate: mine.certificate, key: mine.key } } });

        assert.equal((await gateway.call('/api/x')).json.CN, 'gateway');
    });

    test('keeps its connections, too', async (t) => {
        const gateway = await gatewayFor(t, upstream.url, { upstreams: { tls: { ca: ca.certificate } } });
        const start = upstream.connections;

        await namesOf(gateway, 10);
        assert.equal(upstream.connections - start, 1);
    });
});

test('nothing malformed was sent upstream', () => {
    assertNothingMalformed();
});
