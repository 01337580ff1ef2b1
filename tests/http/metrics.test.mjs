// metrics.test.mjs - where the time of calls goes; why calls are refused, and
// what is remembered of credentials.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { startCollector } from './lib/otlp.mjs';
import { connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { pause, until } from './lib/wait.mjs';

const issuer = new Issuer();
const SECURED = { responses: {}, security: [{ token: [] }], 'x-wso2-throttling-tier': 'Plenty' };
const COMPONENTS = { securitySchemes: { token: { type: 'oauth2', flows: {} } } };
const PHASES = ['request_body', 'authentication', 'limits', 'policies', 'backend', 'response_body'];

let upstream;

before(async () => (upstream = await startUpstream()));
after(() => upstream.close());

const documents = () => ({
    'open.json': openapi({ title: 'Open', version: '1', context: '/open', endpoints: upstream.url, paths: { '/x': 'get' } }),
    'safe.json': openapi({ title: 'Safe', version: '1', context: '/safe', endpoints: upstream.url, paths: { '/x': { post: SECURED } }, components: COMPONENTS }),
    'gone.json': openapi({ title: 'Gone', version: '1', context: '/gone', endpoints: 'http://127.0.0.1:1', paths: { '/x': 'get' } }),
});

async function gatewayFor(t, options) {
    const gateway = await startGateway({
        documents: documents(),
        files: { 'keys.json': issuer.jwks, 'policies.yaml': 'tiers:\n  - {name: Plenty, limits: [{requests: 1000, window: 1h}]}\n' },
        policies: 'policies.yaml',
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
        authentication: { failures: 0 },
        upstreams: { retries: 0, suspendMs: 0 },
        ...options,
    });

    t.after(() => gateway.stop());
    return gateway;
}

describe('Phases of calls', () => {
    const seconds = (m, phase) => m.sum('tollgate_phase_duration_seconds_sum', { phase });
    const counts = (m) => Object.fromEntries(PHASES.map((phase) => [phase, m.sum('tollgate_phase_duration_seconds_count', { phase })]));
    const total = (m) => m.sum('tollgate_http_request_duration_seconds_count');

    /** The metrics when that many calls are over. */
    const settled = (gateway, calls) => until(async () => {
        const m = await gateway.metrics();

        return total(m) === calls && m;
    }, { what: `${calls} calls` });

    test('are timed of one call in 64 of a thread', async (t) => {
        const gateway = await gatewayFor(t);
        const client = await connect(gateway);

        for (let i = 0; i < 130; i++) {
            await client.request({ path: '/open/x' });
            assert.equal((await client.response()).status, 200);
        }
        client.destroy();
        const m = await settled(gateway, 130);
        const { backend, response_body: body, request_body: none, authentication } = counts(m);

        assert.deepEqual({ backend, body, none, authentication }, { backend: 3, body: 3, none: 0, authentication: 0 });
        for (const phase of PHASES) {
            const buckets = m.find('tollgate_phase_duration_seconds_bucket', { phase });

            assert.equal(buckets.at(-1).labels.le, '+Inf');
            assert.equal(buckets.at(-1).value, counts(m)[phase]);
            for (let i = 1; i < buckets.length; i++) {
                assert.ok(i === buckets.length - 1 || Number(buckets[i].labels.le) > Number(buckets[i - 1].labels.le), 'bounds grow');
                assert.ok(buckets[i].value >= buckets[i - 1].value, 'counts grow');
            }
        }
    });

    test('of a sampled call are always timed, and together take no longer than it', async (t) => {
        const collector = await startCollector();

        t.after(() => collector.close());
        const gateway = await gatewayFor(t, { tracing: { collector: collector.url, intervalMs: 20 } });
        const headers = bearer(issuer.token());

        upstream.handler = (req, res) => setTimeout(() => res.write('begin', () => setTimeout(() => res.end('end'), 40)), 60);
        t.after(() => (upstream.handler = null));
        for (let i = 0; i < 5; i++)
            assert.equal((await gateway.call('/safe/x', { method: 'POST', body: 'x', headers })).status, 200);
        const m = await settled(gateway, 5);

        assert.deepEqual(counts(m), { request_body: 5, authentication: 5, limits: 5, policies: counts(m).policies, backend: 5, response_body: 5 });
        assert.ok(seconds(m, 'backend') >= 5 * 0.055, `${seconds(m, 'backend')} s`);
        assert.ok(seconds(m, 'response_body') >= 5 * 0.035, `${seconds(m, 'response_body')} s`);
        for (const phase of ['authentication', 'limits'])
            assert.ok(seconds(m, phase) > 0, phase);
        const all = PHASES.reduce((sum, phase) => sum + seconds(m, phase), 0) - seconds(m, 'request_body');

        // The whole is measured by the clock of the loop's turns.
        assert.ok(all <= m.sum('tollgate_http_request_duration_seconds_sum') + 0.1, `${all} s in phases`);
    });

    test('that a call did not have are not counted', async (t) => {
        const collector = await startCollector();

        t.after(() => collector.close());
        const gateway = await gatewayFor(t, { tracing: { collector: collector.url, intervalMs: 20 } });

        assert.equal((await gateway.call('/safe/x', { method: 'POST' })).status, 401);
        assert.equal((await gateway.call('/nowhere')).status, 404);
        let { authentication, limits, backend, response_body: body } = counts(await settled(gateway, 2));

        assert.deepEqual({ authentication, limits, backend, body }, { authentication: 1, limits: 0, backend: 0, body: 0 });
        assert.equal((await gateway.call('/gone/x')).status, 500);
        ({ backend, response_body: body } = counts(await settled(gateway, 3)));
        assert.deepEqual({ backend, body }, { backend: 1, body: 0 }, 'the try that failed took its time');
    });

    test('a refused call is timed until it was refused, not until its body is here', async (t) => {
        const gateway = await gatewayFor(t);
        const client = await connect(gateway);

        await client.send('POST /safe/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab');
        await pause(300);
        await client.send('cd');
        assert.equal((await client.response()).status, 401);
        client.destroy();
        const m = await settled(gateway, 1);

        assert.equal(counts(m).authentication, 1);
        assert.ok(seconds(m, 'authentication') < 0.2, `${seconds(m, 'authentication')} s`);
    });
});

describe('Refusals', () => {
    const refusals = (m) => Object.fromEntries(m.find('tollgate_refusals_total').map((s) => [s.labels.reason, s.value]));

    test('are counted by reason, and nothing else is', async (t) => {
        const gateway = await gatewayFor(t, {
            documents: {
                ...documents(),
                'either.json': openapi({
                    title: 'Either', version: '1', context: '/either', endpoints: upstream.url,
                    paths: { '/x': { get: { responses: {}, security: [{ token: ['read'] }, { key: [] }], 'x-wso2-throttling-tier': 'One' } } },
                    components: { securitySchemes: { ...COMPONENTS.securitySchemes, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } },
                }),
            },
            files: { 'keys.json': issuer.jwks, 'policies.yaml': 'tiers:\n  - {name: Plenty, limits: [{requests: 1000, window: 1h}]}\n  - {name: One, limits: [{requests: 1, window: 1h}]}\n' },
            threads: 2,
        });
        const many = async (n, status, target, options) => {
            for (let i = 0; i < n; i++)
                assert.equal((await gateway.call(target, options)).status, status, target);
        };

        await many(3, 200, '/open/x');
        await many(2, 404, '/nowhere');
        await many(1, 404, '/open/y');
        await many(1, 405, '/open/x', { method: 'PUT' });
        await many(3, 401, '/safe/x', { method: 'POST' });
        await many(2, 401, '/safe/x', { method: 'POST', headers: bearer('x.y.z') });
        await many(4, 401, '/safe/x', { method: 'POST', headers: bearer(issuer.token({ exp: 1000 })) });
        await many(1, 401, '/either/x', { headers: bearer(issuer.token({ exp: 1000 })) }); // and no key, which says less
        await many(1, 403, '/either/x', { headers: bearer(issuer.token()) });
        await many(1, 200, '/either/x', { headers: bearer(issuer.token({ scope: 'read' })) });
        await many(2, 429, '/either/x', { headers: bearer(issuer.token({ scope: 'read' })) });
        await many(1, 500, '/gone/x');
        upstream.handler = (req, res) => res.writeHead(418).end();
        t.after(() => (upstream.handler = null));
        await many(1, 418, '/open/x');
        const expected = {
            no_route: 2, no_operation: 1, no_method: 1, no_credential: 3, token_malformed: 2, token_expired: 5, scope_missing: 1, limit_reached: 2,
            endpoint_failed: 1,
        };

        await until(async () => (await gateway.metrics()).sum('tollgate_http_requests_total') === 23, { what: 'all calls to be over' });
        assert.deepEqual(refusals(await gateway.metrics()), expected);
    });
});

describe('Look-ups of credentials', () => {
    const certificates = new Authority();
    const client = certificates.issue('client', { client: true }), server = certificates.issue('server');
    const scheme = { token: COMPONENTS.securitySchemes.token, user: { type: 'http', scheme: 'basic' }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } };
    const op = (name) => ({ get: { responses: {}, security: [{ [name]: [] }] } });
    let judge, gateway;

    before(async () => {
        judge = await startUpstream({ handler: (req, res, body) => res.setHeader('Content-Type', 'application/json')
            .end(JSON.stringify({ active: /good/.test(body), client_id: 'app' })) });
        gateway = await startGateway({
            documents: {
                'a.json': openapi({
                    title: 'A', version: '1', context: '/a', endpoints: upstream.url, paths: { '/token': op('token'), '/user': op('user'), '/key': op('key') },
                    components: { securitySchemes: scheme },
                }),
                'b.json': openapi({ title: 'B', version: '1', context: '/b', endpoints: upstream.url, paths: { '/x': 'get' }, 'x-wso2-mutual-ssl': 'mandatory' }),
            },
            files: { 'keys.json': issuer.jwks, secret: 'x' },
            issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
            introspection: [{ url: judge.url, tokenFile: 'secret' }],
            outbound: { allow: ['127.0.0.1'] },
            users: [{ name: 'ann', password: `@sha256:{${createHash('sha256').update('pass').digest('hex')}}` }],
            tls: { certificate: server.certificate, key: server.key },
            trustedProxies: ['127.0.0.1'],
            authentication: { failures: 0, certificateCa: certificates.certificate },
        });
    });
    after(async () => {
        await gateway.stop();
        await judge.close();
    });

    /** What was looked up in a cache while something was done. */
    async function looked(cache, work) {
        const now = async () => Object.fromEntries((await gateway.metrics()).find('tollgate_token_cache_lookups_total', { cache }).map((s) => [s.labels.result, s.value]));
        const first = await now();

        await work();
        return Object.fromEntries(Object.entries(await now()).map(([result, n]) => [result, n - first[result]]));
    }

    async function calls(n, status, target, headers) {
        for (let i = 0; i < n; i++) {
            const answer = await gateway.call(target, { headers });

            assert.equal(answer.status, status, answer.text);
        }
    }

    test('of signed tokens', async () => {
        const [good, old] = [bearer(issuer.token()), bearer(issuer.token({ exp: 1000 }))];

        assert.deepEqual(await looked('jwt', () => calls(5, 200, '/a/token', good)), { hit: 4, bad: 0, miss: 1 });
        assert.deepEqual(await looked('jwt', () => calls(3, 401, '/a/token', old)), { hit: 0, bad: 2, miss: 1 });
        assert.deepEqual(await looked('opaque', () => calls(2, 200, '/a/token', good)), { hit: 0, bad: 0, miss: 0 });
    });

    test('of opaque tokens', async () => {
        assert.deepEqual(await looked('opaque', () => calls(4, 200, '/a/token', bearer('good'))), { hit: 3, bad: 0, miss: 1 });
        assert.deepEqual(await looked('opaque', () => calls(3, 401, '/a/token', bearer('wrong'))), { hit: 0, bad: 2, miss: 1 });
        assert.deepEqual(await looked('jwt', () => calls(1, 200, '/a/token', bearer('good'))), { hit: 0, bad: 0, miss: 0 });
    });

    test('of passwords', async () => {
        const basic = (pair) => ({ Authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

        assert.deepEqual(await looked('basic', () => calls(3, 200, '/a/user', basic('ann:pass'))), { hit: 2, bad: 0, miss: 1 });
        assert.deepEqual(await looked('basic', () => calls(3, 401, '/a/user', basic('ann:no'))), { hit: 0, bad: 2, miss: 1 });
    });

    test('of signed API keys', async () => {
        const { stdout } = await run(['apikey', 'new', '--signed', '--name', 'app', '--json', '--state-dir', gateway.stateDir]);
        const key = JSON.parse(stdout).apikey;
        const cut = key.slice(0, -4);

        assert.deepEqual(await looked('api_key', () => calls(3, 200, '/a/key', { 'X-Key': key })), { hit: 2, bad: 0, miss: 1 });
        assert.deepEqual(await looked('api_key', () => calls(3, 401, '/a/key', { 'X-Key': cut })), { hit: 0, bad: 2, miss: 1 });
    });

    test('of certificates that a balancer passes on', async () => {
        const headers = { 'X-WSO2-CLIENT-CERTIFICATE': encodeURIComponent(client.certificatePem) };

        assert.deepEqual(await looked('certificate', () => calls(3, 200, '/b/x', headers)), { hit: 2, bad: 0, miss: 1 });
    });

    test('of assertions for backends', async () => {
        const headers = bearer(issuer.token());

        gateway.configure({ backendJwt: { enabled: true, algorithm: 'ES256' } });
        await gateway.mustReload();
        assert.deepEqual(await looked('assertion', () => calls(3, 200, '/a/token', headers)), { hit: 2, bad: 0, miss: 1 });
    });
});

describe('The table of limits', () => {
    test('shows how full it is', async (t) => {
        const gateway = await gatewayFor(t, { counters: { slots: 2048 } });
        const look = async () => {
            const m = await gateway.metrics();

            return { slots: m.sum('tollgate_limit_slots'), live: m.sum('tollgate_limit_slots_live'), begun: m.sum('tollgate_limit_slots_begun_total') };
        };

        assert.deepEqual(await look(), { slots: 2048, live: 0, begun: 0 });
        for (let i = 0; i < 3; i++)
            assert.equal((await gateway.call('/safe/x', { method: 'POST', headers: bearer(issuer.token()) })).status, 200);
        assert.deepEqual(await look(), { slots: 2048, live: 1, begun: 1 });
    });
});
