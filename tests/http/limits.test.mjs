// limits.test.mjs - tiers of APIs, operations and callers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const issuer = new Issuer();
let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

// Windows of an hour: no test runs into the next one but by chance once in a while, so it waits then.
const POLICIES = `
tiers:
  - {name: Five, limits: [{requests: 5, window: 1h}]}
  - {name: FiveEach, limits: [{requests: 5, window: 1h, per: [user]}]}
  - {name: FivePerAddress, limits: [{requests: 5, window: 1h, per: [ip]}]}
  - {name: FivePerHeader, limits: [{requests: 5, window: 1h, per: ['header:X-Tenant']}]}
  - {name: FivePerClaim, limits: [{requests: 5, window: 1h, per: ['claim:plan']}]}
  - {name: Two, limits: [{requests: 3, window: 1h}, {requests: 5, window: 1d}]}
  - {name: Kilobyte, limits: [{bytes: 1k, window: 1h}]}
  - {name: OneAtOnce, concurrency: 1}
resourcePolicies:
  - 7PerHour: {count: 7, unitTime: 1, timeUnit: hour}
`;

async function awayFromTheHour() {
    const left = 3600 - (Math.floor(Date.now() / 1000) % 3600);

    if (left < 20)
        await new Promise((resolve) => setTimeout(resolve, (left + 1) * 1000));
}

const one = (context, tier, extra) => openapi({
    title: context.slice(1), version: '1', context, endpoints: upstream.url, paths: { '/x': 'get post', '/y': 'get' },
    'x-wso2-throttling-tier': tier, ...extra,
});
const token = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }] };

async function start(documents, options = {}) {
    await awayFromTheHour();
    return startGateway({
        documents, files: { 'policies.yaml': POLICIES, 'keys.json': issuer.jwks }, policies: 'policies.yaml',
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], trustedProxies: ['127.0.0.1'], ...options,
    });
}

/** Statuses of n calls at once, counted. */
async function burst(gateway, target, n, headers = {}) {
    const answers = await Promise.all(Array.from({ length: n }, () => gateway.call(target, { headers })));
    const count = {};

    for (const { status } of answers)
        count[status] = (count[status] ?? 0) + 1;
    return { count, refused: answers.find((a) => a.status !== 200) };
}

describe('A limit', () => {
    let gateway;

    before(async () => {
        gateway = await start({
            'five.json': one('/five', 'Five'),
            'model.json': one('/model', '7PerHour'),
            'op.json': one('/op', 'Five', {
                paths: { '/x': { get: { responses: {}, 'x-wso2-throttling-tier': 'Two' } }, '/y': { get: { responses: {} } }, '/z': { get: { responses: {} } } },
            }),
            'user.json': one('/user', 'FiveEach', token),
            'ip.json': one('/ip', 'FivePerAddress'),
            'header.json': one('/header', 'FivePerHeader'),
            'claim.json': one('/claim', 'FivePerClaim', token),
            'bytes.json': one('/bytes', 'Kilobyte'),
            'free.json': one('/free', 'Unlimited'),
        }, { threads: 2 });
    });
    after(() => gateway.stop());

    test('admits as many as it says, whatever the number of threads', async () => {
        const { count, refused } = await burst(gateway, '/five/x', 20);

        assert.deepEqual(count, { 200: 5, 429: 15 });
        assertError(refused, 429, '900800');
        const body = refused.json;

        assert.match(body.nextAccessTime, /^\d{4}-[A-Z][a-z]{2}-\d\d \d\d:00:00\+0000 UTC$/);
        assert.ok(new Date(refused.header('retry-after')).getMinutes() === 0);
        assert.equal(refused.header('ratelimit-policy'), '"Five";q=5;w=3600');
        assert.match(refused.header('ratelimit'), /^"Five";r=0;t=\d+$/);
    });

    test('tells every caller what is left, when asked to', async () => {
        const telling = await start({ 'two.json': one('/two', 'Two'), 'once.json': one('/once', 'OneAtOnce') }, { rateLimitFields: 'always' });
        const told = async (target) => {
            const answer = await telling.call(target);

            return [answer.status, answer.header('ratelimit-policy'), answer.header('ratelimit')?.replace(/t=\d+$/, 't=N'), answer.header('retry-after')];
        };

        assert.deepEqual(await told('/two/x'), [200, '"Two";q=3;w=3600', '"Two";r=2;t=N', undefined]);
        assert.deepEqual(await told('/two/x'), [200, '"Two";q=3;w=3600', '"Two";r=1;t=N', undefined]);
        assert.deepEqual(await told('/two/y'), [200, '"Two";q=3;w=3600', '"Two";r=0;t=N', undefined]);
        assert.deepEqual((await told('/two/x')).slice(0, 3), [429, '"Two";q=3;w=3600', '"Two";r=0;t=N']);
        assert.deepEqual(await told('/once/x'), [200, undefined, undefined, undefined]);
        await telling.stop();
    });

    test('of the model is read as the model has it', async () => {
        assert.deepEqual((await burst(gateway, '/model/x', 10)).count, { 200: 7, 429: 3 });
        assert.deepEqual((await burst(gateway, '/free/x', 30)).count, { 200: 30 });
    });

    test('of an operation holds instead of the API\'s, which the others share', async () => {
        const own = await burst(gateway, '/op/x', 6);

        assert.deepEqual(own.count, { 200: 3, 429: 3 });
        assertError(own.refused, 429, '900802');
        assert.deepEqual((await burst(gateway, '/op/y', 3)).count, { 200: 3 });
        const rest = await burst(gateway, '/op/z', 4);

        assert.deepEqual(rest.count, { 200: 2, 429: 2 });
        assertError(rest.refused, 429, '900800');
    });

    test('counts by user, address, header or claim', async () => {
        const as = (claims) => bearer(issuer.token(claims));

        for (const who of ['ann', 'bob'])
            assert.deepEqual((await burst(gateway, '/user/x', 7, as({ sub: who }))).count, { 200: 5, 429: 2 });
        for (const address of ['10.0.0.1', '10.0.0.2'])
            assert.deepEqual((await burst(gateway, '/ip/x', 7, { 'X-Forwarded-For': address })).count, { 200: 5, 429: 2 });
        for (const tenant of ['a', 'b'])
            assert.deepEqual((await burst(gateway, '/header/x', 7, { 'X-Tenant': tenant })).count, { 200: 5, 429: 2 });
        for (const plan of ['gold', 'silver'])
            assert.deepEqual((await burst(gateway, '/claim/x', 7, as({ plan }))).count, { 200: 5, 429: 2 });
    });

    test('of bytes ends when they have flowed', async () => {
        let n = 0;

        for (; n < 20; n++) {
            const answer = await gateway.call('/bytes/x', { method: 'POST', body: 'b'.repeat(300) });

            if (answer.status === 429)
                break;
            assert.equal(answer.status, 200);
        }
        assert.ok(n >= 1 && n <= 3, `${n} calls of more than 300 bytes`);
    });

    test('is explained', async () => {
        await burst(gateway, '/five/x', 6);
        const answer = await gateway.call('/five/x');
        const stdout = await gateway.explain(answer);

        assert.match(stdout, /NO limit +the limit Five \(5 in 1h\) is used up/);
        assert.match(stdout, /To make it pass:\n {2}- wait until its window is over/);
    });
});

describe('Counters', () => {
    test('go on after kill -9, a restart and an upgrade', async () => {
        const gateway = await start({ 'five.json': one('/five', 'Five'), 'model.json': one('/model', '7PerHour') });

        assert.deepEqual((await burst(gateway, '/five/x', 3)).count, { 200: 3 });
        assert.deepEqual((await burst(gateway, '/model/x', 3)).count, { 200: 3 });
        process.kill(gateway.pid, 'SIGKILL');
        await gateway.state.exited;
        await gateway.start(['gateway', '--config', gateway.file('tollgate.yaml')], {});
        assert.deepEqual((await burst(gateway, '/five/x', 4)).count, { 200: 2, 429: 2 });
        assert.equal((await gateway.upgrade()).code, 0);
        assert.deepEqual((await burst(gateway, '/five/x', 2)).count, { 429: 2 });
        assert.deepEqual((await burst(gateway, '/model/x', 6)).count, { 200: 4, 429: 2 });
        await gateway.stop();
    });

    test('stay when policies are read again, and new limits hold', async () => {
        const gateway = await start({ 'five.json': one('/five', 'Five') });

        assert.deepEqual((await burst(gateway, '/five/x', 5)).count, { 200: 5 });
        gateway.write('policies.yaml', POLICIES.replace('requests: 5, window: 1h}]}', 'requests: 8, window: 1h}]}'));
        await gateway.mustReload();
        assert.deepEqual((await burst(gateway, '/five/x', 5)).count, { 200: 3, 429: 2 });
        gateway.write('policies.yaml', 'tiers: [{name: Five, limit: 3}]\n');
        const result = await gateway.reload();

        assert.equal(result.code, 1);
        assert.match(result.output, /policies\.yaml:1: unknown key tiers\[0\]\.limit; did you mean limits/);
        await gateway.stop();
    });
});

describe('The tier of a caller', () => {
    test('counts for the key, whatever it calls', async () => {
        const secured = { security: [{ key: [] }], components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Key' } } } };
        const gateway = await start({ 'a.json': one('/a', 'Unlimited', secured), 'b.json': one('/b', 'Unlimited', secured) });
        const make = async (tier) => {
            const { key } = await gateway.newKey('--name', 'x', '--tier', tier);

            await until(async () => (await gateway.call('/a/none', { headers: { 'X-Key': key } })).status === 404, { what: 'a moment' });
            return key;
        };
        const first = await make('Five'), second = await make('Five'), odd = await make('Unheard-of');

        await until(async () => (await gateway.call('/a/x', { headers: { 'X-Key': odd } })).status === 500, { what: 'the keys to be read' });
        assert.deepEqual((await burst(gateway, '/a/x', 3, { 'X-Key': first })).count, { 200: 3 });
        const rest = await burst(gateway, '/b/x', 4, { 'X-Key': first });

        assert.deepEqual(rest.count, { 200: 2, 429: 2 });
        assertError(rest.refused, 429, '900803');
        assert.deepEqual((await burst(gateway, '/a/x', 5, { 'X-Key': second })).count, { 200: 5 });
        assertError(await gateway.call('/a/x', { headers: { 'X-Key': odd } }), 500, '900900');
        await gateway.stop();
    });
});

describe('Other limits', () => {
    test('of a backend in a second answer 503', async () => {
        const gateway = await start({ 'a.json': one('/a', 'Unlimited') }, { apis: [{ path: 'a.json', maxTps: 10 }] });
        const statuses = (await Promise.all(Array.from({ length: 50 }, () => gateway.call('/a/x'))));
        const refused = statuses.find((a) => a.status !== 200);

        assertError(refused, 503, '900801');
        const passed = statuses.filter((a) => a.status === 200).length;

        assert.ok(passed === 10 || passed === 20, `${passed}: two seconds at most`);
        await gateway.stop();
    });

    test('of calls at once are given back', async () => {
        const slow = await new Upstream({ handler: (req, res) => setTimeout(() => res.end('ok'), 400) }).listen();
        const gateway = await start({ 'a.json': openapi({ title: 'a', version: '1', context: '/a', endpoints: slow.url, paths: { '/x': 'get' }, 'x-wso2-throttling-tier': 'OneAtOnce' }) });

        for (let i = 0; i < 2; i++)
            assert.deepEqual((await burst(gateway, '/a/x', 3)).count, { 200: 1, 429: 2 });
        await gateway.stop();
        await slow.close();
    });

    test('hold for who brings no credential', async () => {
        const gateway = await start({ 'a.json': one('/a', 'Unlimited') }, { unauthenticatedTier: 'Five' });
        const { count, refused } = await burst(gateway, '/a/x', 8);

        assert.deepEqual(count, { 200: 5, 429: 3 });
        assertError(refused, 429, '900804');
        await gateway.stop();
    });

    test('that nobody knows are refused at load, with the nearest', async () => {
        const error = await start({ 'a.json': one('/a', 'Fivee') }).then((g) => g.stop(), (e) => e);

        assert.ok(error instanceof GatewayRefused);
        assert.match(error.stderr, /there is no tier \\?"Fivee\\?"; the nearest is \\?"Five\\?"/);
    });
});
