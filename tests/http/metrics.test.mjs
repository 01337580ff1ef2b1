// metrics.test.mjs - where the time of calls goes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { startCollector } from './lib/otlp.mjs';
import { connect } from './lib/raw.mjs';
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
