// clock.test.mjs - what holds when somebody sets the clock.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Clock, NO_CLOCK } from './lib/clock.mjs';
import { openapi } from './lib/document.mjs';
import { assertError, startGateway, temporary } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Load } from './lib/load.mjs';
import { Upstream } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

process.setMaxListeners(50);

const HOUR = 3600, DAY = 24 * HOUR;
const LIMIT = 25;
const UNITS = { second: '1s', minute: '1m', hour: '1h', day: '1d', week: '1w', month: '1month', year: '1y' };
// Where all of them end at once: a Sunday.
const NEW_YEAR = Date.UTC(2029, 0, 1) / 1000;

const POLICIES = `
tiers:
${Object.entries(UNITS).map(([name, window]) => `  - {name: ${name}, limits: [{requests: ${LIMIT}, window: ${window}}]}`).join('\n')}
  - {name: even, limits: [{requests: 15, window: 1m, burst: ${LIMIT}}]}
  - {name: fifty, limits: [{requests: 50, window: 1h}]}
  - {name: two, limits: [{requests: ${LIMIT}, window: 1h}, {requests: 40, window: 1d}]}
`;
const TIERS = [...Object.keys(UNITS), 'even', 'fifty', 'two'];
const TOKEN = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }] };

let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const document = (name, extra) => openapi({ title: name, version: '1', context: `/${name}`, endpoints: upstream.url, paths: { '/x': 'get' }, ...extra });

/** A gateway with one API for each tier, /second and so on, under a clock. */
async function start({ documents, ...options } = {}) {
    const clock = new Clock(path.join(temporary(), 'clock'));
    const gateway = await startGateway({
        documents: documents ?? Object.fromEntries(TIERS.map((tier) => [`${tier}.json`, document(tier, { 'x-wso2-throttling-tier': tier })])),
        policies: 'policies.yaml', env: clock.env, threads: 2,
        ...options,
        files: { 'policies.yaml': POLICIES, ...options.files },
    });

    return { gateway, clock };
}

async function restart(gateway, clock, signal) {
    gateway.signal(signal);
    await gateway.state.exited;
    gateway.ending = false;
    await gateway.start(['gateway', '--config', gateway.file('tollgate.yaml')], { env: clock.env });
}

/** How many of n calls at once were admitted; the others must get 429. */
async function admitted(gateway, tier, n = 4 * LIMIT) {
    const answers = await Promise.all(Array.from({ length: n }, () => gateway.call(`/${tier}/x`)));

    for (const answer of answers)
        if (answer.status !== 200)
            assertError(answer, 429, '900800');
    return answers.filter((a) => a.status === 200).length;
}

describe('A clock that is set', { skip: NO_CLOCK }, () => {
    test('back opens no window again, forward begins the one it shows', async () => {
        const { gateway, clock } = await start();
        const begin = Math.ceil(Date.now() / 1000 / HOUR) * HOUR;
        const steps = [ // hours, and what passes then
            [0, LIMIT], [-0.5, 0], [-3, 0], [0, 0], [1, LIMIT], [0, 0], [1, 0], [30, LIMIT], [2, 0], [30, 0], [31, LIMIT],
        ];

        for (const [hours, expected] of steps) {
            await clock.set(begin + (hours + 0.3) * HOUR);
            assert.equal(await admitted(gateway, 'hour'), expected, `at ${hours} h`);
        }
        await gateway.stop();
    });

    test('admits no more than there are windows, under load while it jumps', async () => {
        const { gateway, clock } = await start();
        const begin = Math.ceil(Date.now() / 1000 / HOUR) * HOUR;
        const hours = [0, 1, -2, 1, 2, 0, 2, 5, 4, 5];
        const windows = hours.filter((h, i) => h > Math.max(-1, ...hours.slice(0, i))).length;
        let passed = 0;

        await clock.set(begin + 0.3 * HOUR);
        const load = new Load(gateway.port, {
            rate: 250, path: '/fifty/x',
            right: ({ status }) => (status === 200 ? ++passed : status === 429),
        }).start();

        for (const h of hours) {
            await clock.set(begin + (h + 0.3) * HOUR);
            await pause(patience(300));
        }
        await load.stop();
        assert.deepEqual(load.failures.slice(0, 5), []);
        assert.equal(passed, windows * 50, `${windows} windows of 50`);
        await gateway.stop();
    });

    test('back refills no rate, forward fills it to its burst', async () => {
        const { gateway, clock } = await start();

        await clock.freeze(NEW_YEAR);
        assert.equal(await admitted(gateway, 'even'), LIMIT);
        await clock.freeze(NEW_YEAR - DAY);
        assert.equal(await admitted(gateway, 'even'), 0);
        await clock.freeze(NEW_YEAR + 10); // one in four seconds
        assert.equal(await admitted(gateway, 'even'), 2);
        await clock.freeze(NEW_YEAR + DAY);
        assert.equal(await admitted(gateway, 'even'), LIMIT);
        await gateway.stop();
    });

    test('back while nothing runs opens no window either', async () => {
        const { gateway, clock } = await start();

        await clock.freeze(NEW_YEAR);
        for (const tier of ['hour', 'day', 'year'])
            assert.equal(await admitted(gateway, tier, LIMIT + 5), LIMIT);
        await clock.freeze(NEW_YEAR - 3 * DAY);
        await restart(gateway, clock, 'SIGKILL');
        for (const tier of ['hour', 'day', 'year'])
            assert.equal(await admitted(gateway, tier), 0, tier);
        await gateway.stop();
    });
});

for (const threads of [2, 4]) {
    describe(`A limit with ${threads} threads`, { skip: NO_CLOCK }, () => {
        let gateway, clock;

        before(async () => {
            ({ gateway, clock } = await start({ threads }));
            await clock.freeze(NEW_YEAR - 1);
        });
        after(() => gateway.stop());

        test('admits exactly as many as it says in every kind of window, over restart and upgrade', async () => {
            for (const tier of [...Object.keys(UNITS), 'even'])
                assert.equal(await admitted(gateway, tier, 10), 10, tier);
            await restart(gateway, clock, 'SIGTERM');
            await clock.seen();
            for (const tier of [...Object.keys(UNITS), 'even'])
                assert.equal(await admitted(gateway, tier), LIMIT - 10, tier);
            assert.equal((await gateway.upgrade()).code, 0);
            for (const tier of [...Object.keys(UNITS), 'even'])
                assert.equal(await admitted(gateway, tier), 0, `${tier}, after the upgrade`);
        });

        test('does so again when the next window begins, and in it no matter how the clock goes', async () => {
            await clock.freeze(NEW_YEAR);
            for (const tier of Object.keys(UNITS))
                assert.equal(await admitted(gateway, tier), LIMIT, tier);
            await clock.freeze(NEW_YEAR - 1);
            for (const tier of Object.keys(UNITS))
                assert.equal(await admitted(gateway, tier), 0, tier);
        });

        test('over an upgrade under load, with old and new process counting', async () => {
            let passed = 0;
            const load = new Load(gateway.port, {
                rate: 150, path: '/fifty/x', right: ({ status }) => (status === 200 ? ++passed : status === 429),
            });

            await clock.freeze(NEW_YEAR + 5 * HOUR);
            load.start();
            const upgrade = gateway.upgrade();

            assert.equal((await upgrade).code, 0);
            await pause(patience(500));
            await load.stop();
            assert.deepEqual(load.failures.slice(0, 5), []);
            assert.ok(load.done > 60, `${load.done} calls`);
            assert.equal(passed, 50);
        });

        test('takes several windows all or none', async () => {
            await clock.freeze(NEW_YEAR + 7 * HOUR);
            assert.equal(await admitted(gateway, 'two'), LIMIT);
            await clock.freeze(NEW_YEAR + 8 * HOUR);
            assert.equal(await admitted(gateway, 'two'), 40 - LIMIT, 'what the day leaves');
            await clock.freeze(NEW_YEAR + 9 * HOUR);
            assert.equal(await admitted(gateway, 'two'), 0);
        });
    });
}

describe('kill -9 in the middle of a burst', { skip: NO_CLOCK }, () => {
    test('never admits one more, and loses no more than the calls in flight', async () => {
        const { gateway, clock } = await start();

        for (let round = 0; round < 5; round++) {
            const at = NEW_YEAR + round * HOUR;
            let passed = 0, lost = 0;
            const burst = async (n) => {
                await Promise.all(Array.from({ length: n }, async () => {
                    const answer = await gateway.call('/fifty/x').catch(() => null);

                    if (!answer)
                        lost++;
                    else if (answer.status === 200)
                        passed++;
                    else
                        assertError(answer, 429, '900800');
                }));
            };

            await clock.freeze(at);
            const before = upstream.count;
            const begun = burst(200);

            await until(() => upstream.count >= before + 10 * round || passed >= 10 * round, { every: 1, what: 'the burst to begin' });
            process.kill(gateway.pid, 'SIGKILL');
            await begun;
            await gateway.state.exited;
            await gateway.start(['gateway', '--config', gateway.file('tollgate.yaml')], { env: clock.env });
            await clock.seen();
            const inFlight = lost;

            await burst(200);
            assert.equal(lost, inFlight, 'nothing is lost after the restart');
            assert.ok(passed <= 50, `${passed} passed, round ${round}`);
            assert.ok(passed + inFlight >= 50, `${passed} passed and ${inFlight} had no answer, round ${round}`);
            assert.ok(upstream.count - before <= 50, `${upstream.count - before} reached the backend, round ${round}`);
        }
        await gateway.stop();
    });
});

describe('Tokens under a clock that is set', { skip: NO_CLOCK }, () => {
    const issuer = new Issuer();
    let gateway, clock, server;
    const ask = (token, target = '/signed/x') => gateway.call(target, { headers: bearer(token) });

    before(async () => {
        server = await new Upstream({ handler: (req, res) => res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ active: server.active, client_id: 'app' })) }).listen();
        server.active = true;
        ({ gateway, clock } = await start({
            documents: { 'signed.json': document('signed', TOKEN), 'asked.json': document('asked', TOKEN) },
            apis: [{ path: 'signed.json', issuers: ['i'] }, { path: 'asked.json', issuers: ['judge'] }],
            files: { 'keys.json': issuer.jwks, secret: 's' },
            issuers: [{ name: 'i', issuer: issuer.issuer, jwks: 'keys.json' }],
            introspection: [{ name: 'judge', url: `${server.url}/`, clientId: 'gateway', clientSecretFile: 'secret', cacheMs: 1500 }],
            outbound: { allow: ['127.0.0.1'] },
            authentication: { failures: 0 },
            threads: 1,
        }));
    });
    after(async () => {
        await gateway.stop();
        await server.close();
    });

    test('expire by it, also when they are known, and are good again when it is right again', async () => {
        const token = issuer.token(); // ten minutes

        assert.equal((await ask(token)).status, 200);
        await clock.shift(HOUR);
        for (let i = 0; i < 3; i++) {
            const answer = await ask(token);

            assertError(answer, 401, '900901');
            assert.match(answer.header('www-authenticate'), /expired/);
        }
        await clock.shift(0);
        assert.equal((await ask(token)).status, 200);
    });

    test('that came first while it was wrong are not held to have expired afterwards', async () => {
        const token = issuer.token({ n: 'glitch' });

        await clock.shift(DAY);
        for (let i = 0; i < 2; i++)
            assertError(await ask(token), 401, '900901');
        await clock.shift(0);
        assert.equal((await ask(token)).status, 200);
    });

    test('are not good before their time, whichever way it went', async () => {
        const token = issuer.token({ nbf: Math.floor(Date.now() / 1000) + HOUR, exp: Math.floor(Date.now() / 1000) + 2 * HOUR });

        assertError(await ask(token), 401, '900901');
        await clock.shift(1.5 * HOUR);
        assert.equal((await ask(token)).status, 200);
        await clock.shift(0);
        assertError(await ask(token), 401, '900901');
    });

    test('are asked about as often as ever: what was said is old after its real time', async () => {
        server.active = true;
        assert.equal((await ask('opaque', '/asked/x')).status, 200);
        const asked = server.count;

        await clock.shift(-DAY);
        assert.equal((await ask('opaque', '/asked/x')).status, 200);
        server.active = false;
        await pause(patience(1600));
        assertError(await ask('opaque', '/asked/x'), 401, '900901');
        assert.ok(server.count > asked, 'it was asked again');
        await clock.shift(0);
    });
});

describe('Other things under a clock that is set', { skip: NO_CLOCK }, () => {
    test('time-outs, refreshes and pauses go by the clock nobody sets', async () => {
        const issuer = new Issuer();
        const keys = await new Upstream({ handler: (req, res) => res.end(JSON.stringify(issuer.jwks)) }).listen();
        const mute = await new Upstream({ handler: () => {} }).listen();
        const slow = await new Upstream({ handler: (req, res) => setTimeout(() => res.end('late'), patience(1200)) }).listen();
        const { gateway, clock } = await start({
            documents: { 'mute.json': document('mute', { endpoints: mute.url }), 'slow.json': document('slow', { endpoints: slow.url }), 'key.json': document('key', TOKEN) },
            issuers: [{ issuer: issuer.issuer, jwks: `${keys.url}/`, refreshMs: 1000 }],
            outbound: { allow: ['127.0.0.1'] },
            upstreams: { firstByteMs: 2000, retries: 0 },
        });

        for (const offset of [DAY, -DAY, 400 * DAY]) {
            const fetched = keys.count, begin = Date.now();
            const late = gateway.call('/slow/x'), never = gateway.call('/mute/x', { ms: 15000 });

            await clock.shift(offset);
            assert.equal((await late).status, 200, 'a jump is no time-out');
            assertError(await never, 504, '101504');
            const took = Date.now() - begin;

            assert.ok(took >= patience(1900) && took <= patience(4000), `${took} ms`);
            await until(() => keys.count > fetched, { ms: 3000, what: 'the keys to be fetched again' });
        }
        assert.equal((await gateway.call('/key/x', { headers: bearer(issuer.token({ exp: Math.floor(clock.now) + 600, iat: Math.floor(clock.now) })) })).status, 200);
        await gateway.stop();
        await Promise.all([keys, mute, slow].map((s) => s.close()));
    });

    test('API keys expire by it', async () => {
        const secured = { security: [{ key: [] }], components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Key' } } } };
        const { gateway, clock } = await start({ documents: { 'a.json': document('a', secured) } });
        const headers = { 'X-Key': (await gateway.newKey('--name', 'x', '--expires', '1h')).key };

        await until(async () => (await gateway.call('/a/x', { headers })).status === 200, { what: 'the key to be read' });
        await clock.shift(2 * HOUR);
        assertError(await gateway.call('/a/x', { headers }), 401, '900901');
        await clock.shift(0);
        assert.equal((await gateway.call('/a/x', { headers })).status, 200);
        await gateway.stop();
    });
});
