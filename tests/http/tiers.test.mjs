// tiers.test.mjs - conditions, levels and kinds of limits, one by one, through
// the whole gateway; and a table of counters that is full.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';
import { pause, until } from './lib/wait.mjs';

process.setMaxListeners(50);

const issuer = new Issuer();
let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const TOKEN = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }, {}] };
const KEY = { components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Key' } } }, security: [{ key: [] }] };
const document = (name, extra) => openapi({ title: name, version: '1', context: `/${name}`, endpoints: upstream.url, paths: { '/x': 'get post', '/y': 'get' }, ...extra });
const under = (tier, extra) => ({ 'x-wso2-throttling-tier': tier, ...extra });

/** No burst of a test may meet the end of a window. */
async function awayFromTheEnd(seconds) {
    const left = seconds - ((Date.now() / 1000) % seconds);

    if (left < 8)
        await pause((left + 0.1) * 1000);
}

async function start(documents, policies, options = {}) {
    await awayFromTheEnd(3600);
    return startGateway({
        documents: Object.fromEntries(Object.entries(documents).map(([name, extra]) => [`${name}.json`, document(name, extra)])),
        files: { 'policies.yaml': policies, 'keys.json': issuer.jwks }, policies: 'policies.yaml',
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], trustedProxies: ['127.0.0.1'], threads: 2, ...options,
    });
}

/** How many of n calls at once pass; the others get status and code. */
async function passing(gateway, target, { n = 12, status = 429, code, ...options } = {}) {
    const answers = await Promise.all(Array.from({ length: n }, () => gateway.call(target, options)));

    for (const answer of answers)
        if (answer.status !== 200)
            assertError(answer, status, code);
    return answers.filter((a) => a.status === 200).length;
}

async function apiKey(gateway, tier) {
    const { key } = await gateway.newKey('--name', 'x', '--tier', tier);

    return key;
}

describe('A condition', () => {
    const from = (address) => ({ headers: { 'X-Forwarded-For': address } });
    const claims = (more) => ({ headers: bearer(issuer.token(more)) });
    const plain = {};
    // name, condition, calls under it, calls that are not
    const cases = [
        ['address', '{ip: 10.1.2.3}', from('10.1.2.3'), from('10.1.2.4')],
        ['network', '{ip: 10.2.0.0/16}', from('10.2.255.1'), from('10.3.0.1')],
        ['range', '{ip: 10.4.0.5-10.4.0.9}', from('10.4.0.9'), from('10.4.0.10')],
        ['network6', "{ip: '2001:db8::/32'}", from('2001:db8:7::1'), from('2001:db9::1')],
        ['range6', "{ip: '2001:db8::1-2001:db8::5'}", from('2001:db8::5'), from('2001:db8::6')],
        ['header', '{header: X-Plan, value: gold}', { headers: { 'X-Plan': 'gold' } }, { headers: { 'X-Plan': 'golden' } }],
        ['agent', "{header: User-Agent, regex: '[Bb]ot'}", { headers: { 'User-Agent': 'a robot' } }, { headers: { 'User-Agent': 'curl' } }],
        ['query', "{query: plan, value: '1'}", { query: 'a=2&plan=1' }, { query: 'plan=11' }],
        ['claim', '{claim: plan, regex: "^g"}', claims({ plan: 'gold' }), claims({ plan: 'silver' })],
        ['not', '{header: X-Plan, value: gold, invert: true}', plain, { headers: { 'X-Plan': 'gold' } }],
        ['both', '{header: X-Plan, value: gold}, {query: a}', { headers: { 'X-Plan': 'gold' }, query: 'a=' }, { headers: { 'X-Plan': 'gold' } }],
    ];
    let gateway;

    before(async () => {
        gateway = await start(
            Object.fromEntries(cases.map(([name]) => [name, under(name, TOKEN)])),
            `tiers:\n${cases.map(([name, when]) => `  - name: ${name}
    limits: [{requests: 5, window: 1h, per: [all]}]
    conditions: [{when: [${when}], limits: [{requests: 2, window: 1h, per: [all]}]}]`).join('\n')}
`);
    });
    after(() => gateway.stop());

    for (const [name, when, within, outside] of cases)
        test(`${when} has a limit of its own`, async () => {
            const target = ({ query }) => `/${name}/x${query ? `?${query}` : ''}`;

            assert.equal(await passing(gateway, target(within), { ...within, code: '900800' }), 2);
            assert.equal(await passing(gateway, target(outside), { ...outside, code: '900800' }), 5);
            assert.equal(await passing(gateway, target(within), within), 0);
        });
});

describe('A call', () => {
    test('in several groups is under the limits of all of them, and consumes nothing when one refuses', async () => {
        const gateway = await start({ groups: under('Groups') }, `
tiers:
  - name: Groups
    limits: [{requests: 9, window: 1h, per: [all]}]
    conditions:
      - {when: [{header: A}], limits: [{requests: 4, window: 1h, per: [all]}]}
      - {when: [{header: B}], limits: [{requests: 6, window: 1h, per: [all]}]}
      - {when: [{header: C}]}
`);

        assert.equal(await passing(gateway, '/groups/x', { headers: { A: '1', B: '1' } }), 4);
        assert.equal(await passing(gateway, '/groups/x', { headers: { B: '1' } }), 2, 'the refused ones took nothing of B');
        assert.equal(await passing(gateway, '/groups/x', { headers: { C: '1' }, n: 30 }), 30, 'a group without a limit');
        assert.equal(await passing(gateway, '/groups/x'), 9);
        await gateway.stop();
    });

    test('is under the API\'s tier or its operation\'s, never both, and under its caller\'s besides', async () => {
        const paths = { '/x': { get: { responses: {}, 'x-wso2-throttling-tier': 'Six' } }, '/y': { get: { responses: {} } } };
        const gateway = await start({ api: under('Three', { ...KEY, paths }) }, `
tiers:
  - {name: Three, limits: [{requests: 3, window: 1h, per: [all]}]}
  - {name: Six, limits: [{requests: 6, window: 1h, per: [all]}]}
  - {name: Four, limits: [{requests: 4, window: 1h}]}
`);
        const headers = { 'X-Key': await apiKey(gateway, 'Four') }, more = { 'X-Key': await apiKey(gateway, 'Four') };

        await until(async () => (await gateway.call('/api/y', { headers: more })).status === 200, { what: 'the keys to be read' });
        assert.equal(await passing(gateway, '/api/x', { headers, code: '900803' }), 4, 'of six the key has four');
        assert.equal(await passing(gateway, '/api/x', { headers: more, code: '900802' }), 2, 'the operation has two left');
        assert.equal(await passing(gateway, '/api/y', { headers: more, n: 1 }), 1, 'and the key one, the API two');
        assert.equal(await passing(gateway, '/api/y', { headers: more, code: '900803' }), 0);
        await gateway.stop();
    });
});

describe('A tier of the model', () => {
    test('of an application counts by the minute', async () => {
        const gateway = await start({ a: under('Unlimited', KEY) }, 'tiers: []\n');
        const headers = { 'X-Key': await apiKey(gateway, '10PerMin') };

        let passed = 0;

        await awayFromTheEnd(60);
        await until(async () => (await gateway.call('/a/x', { headers })).status === 200 && ++passed, { what: 'the key to be read' });
        assert.equal(passed + await passing(gateway, '/a/x', { headers, n: 40, code: '900803' }), 10);
        await gateway.stop();
    });

    test('of its policies file holds as written there', async () => {
        const gateway = await start({ a: under('5PerHour', KEY), b: under('Unlimited') }, `
resourcePolicies:
  - 5PerHour: {count: 5, unitTime: 1, timeUnit: hour}
applicationPolicies:
  - 3PerDay: {count: 3, unitTime: 1, timeUnit: day}
subscriptionPolicies:
  - Guest: {count: 4, unitTime: 1, timeUnit: hour}
`, { unauthenticatedTier: 'Guest' });
        const headers = { 'X-Key': await apiKey(gateway, '3PerDay') };

        assert.equal(await passing(gateway, '/b/x', { code: '900804' }), 4);
        let passed = 0;

        await until(async () => (await gateway.call('/a/x', { headers })).status === 200 && ++passed, { what: 'the key to be read' });
        assert.equal(passed + await passing(gateway, '/a/x', { headers, code: '900803' }), 3);
        await gateway.stop();
    });
});

describe('Burst control', () => {
    const POLICIES = `
tiers:
  - {name: Short, limits: [{requests: 8, window: 1h}], burst_control: {requests: 3, window: 1h}}
`;

    test('of who brings no credential is 900807', async () => {
        const gateway = await start({ a: {} }, POLICIES, { unauthenticatedTier: 'Short' });

        assert.equal(await passing(gateway, '/a/x', { code: '900807' }), 3);
        await gateway.stop();
    });

    test('of a key is 900809', async () => {
        const gateway = await start({ a: KEY }, POLICIES);
        const headers = { 'X-Key': await apiKey(gateway, 'Short') };
        let passed = 0;

        await until(async () => (await gateway.call('/a/x', { headers })).status === 200 && ++passed, { what: 'the key to be read' });
        assert.equal(passed + await passing(gateway, '/a/x', { headers, code: '900809' }), 3);
        await gateway.stop();
    });
});

describe('Limits that do not stop', () => {
    test('count and let pass; burst control stops all the same', async () => {
        const gateway = await start({ soft: under('Soft'), hard: under('SoftShort') }, `
tiers:
  - {name: Soft, limits: [{requests: 3, window: 1h}], stop_on_quota: false}
  - {name: SoftShort, limits: [{requests: 3, window: 1h}], stop_on_quota: false, burst_control: {requests: 7, window: 1h}}
`);

        assert.equal(await passing(gateway, '/soft/x', { n: 20 }), 20);
        assert.equal(await passing(gateway, '/hard/x', { n: 20 }), 7);
        await gateway.stop();
    });
});

describe('Bytes', () => {
    test('of requests and replies count, each call until none are left', async () => {
        const gateway = await start({ a: under('Bytes') }, 'tiers: [{name: Bytes, limits: [{bytes: 4k, window: 1h, per: [all]}]}]\n');
        const body = 'b'.repeat(1500); // comes back inside the reply

        assert.equal((await gateway.call('/a/x', { method: 'POST', body })).status, 200);
        assert.equal((await gateway.call('/a/x', { method: 'POST', body })).status, 200, 'some were left when it began');
        assertError(await gateway.call('/a/x', { method: 'POST', body }), 429, '900800');
        assertError(await gateway.call('/a/y'), 429, '900800');
        await gateway.stop();
    });
});

describe('A full table of counters', () => {
    const POLICIES = 'tiers: [{name: Each, limits: [{requests: 2, window: 1h, per: [ip]}]}]\n';
    const from = (n) => ({ headers: { 'X-Forwarded-For': `10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}` } });

    /** Statuses of one call from each of these addresses. */
    async function crowd(gateway, first, last) {
        const statuses = [];

        for (let n = first; n < last; n += 50)
            statuses.push(...await Promise.all(Array.from({ length: Math.min(50, last - n) }, (_, i) => gateway.call('/a/x', from(n + i)))));
        return statuses;
    }

    test('refuses who has no counter yet with 900801, and counts on for the others', async () => {
        const gateway = await start({ a: under('Each') }, POLICIES, { counters: { slots: 1024 } });
        const answers = await crowd(gateway, 0, 1300);
        const refused = answers.filter((a) => a.status !== 200);

        assert.ok(refused.length >= 1300 - 1024 && refused.length < 900, `${refused.length} refused`);
        for (const answer of refused)
            assertError(answer, 503, '900801');
        const known = answers.findIndex((a) => a.status === 200);

        assert.equal((await gateway.call('/a/x', from(known))).status, 200);
        assertError(await gateway.call('/a/x', from(known)), 429, '900800');
        const stdout = await gateway.explain(refused[0]);

        assert.match(stdout, /counters/);
        const metrics = await gateway.metrics();

        assert.equal(metrics.sum('tollgate_limit_slots_full_total', { result: 'refused' }), refused.length);
        assert.equal(metrics.sum('tollgate_refusals_total', { reason: 'limit_table' }), refused.length);
        assert.equal(metrics.sum('tollgate_limit_slots_live'), answers.length - refused.length);
        await gateway.stop();
    });

    test('lets pass what it cannot count where that is wanted', async () => {
        const gateway = await start({ a: under('Each') }, POLICIES, { counters: { slots: 1024, full: 'pass' } });
        const answers = await crowd(gateway, 0, 1300);

        assert.ok(answers.every((a) => a.status === 200));
        assert.ok((await gateway.metrics()).sum('tollgate_limit_slots_full_total', { result: 'passed' }) >= 1300 - 1024);
        assert.equal(await passing(gateway, '/a/x', { ...from(0), n: 5, code: '900800' }), 1, 'what is counted is');
        await gateway.stop();
    });
});
