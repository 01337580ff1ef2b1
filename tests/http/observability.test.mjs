// observability.test.mjs - health, readiness, metrics, access log, ids.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { freePort, startUpstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const DOCUMENT = (url, more) => openapi({ title: 'Pets', version: '1.2.3', context: '/obs', endpoints: url, paths: { '/pets': 'get post', '/pets/{id}': 'get' }, ...more });

let upstream;

before(async () => (upstream = await startUpstream()));
after(() => upstream.close());

async function gatewayFor(t, options = {}) {
    const gateway = await startGateway({ documents: { 'api.json': DOCUMENT(upstream.url) }, ...options });

    t.after(() => gateway.stop());
    return gateway;
}

describe('The private listener', () => {
    test('answers /health and /ready with 200 when the snapshot is served', async (t) => {
        const gateway = await gatewayFor(t);

        for (const path of ['/health', '/ready']) {
            const answer = await gateway.adminCall(path);

            assert.equal(answer.status, 200, path);
            assert.ok(answer.bodyLength > 0);
        }
        assert.equal((await gateway.adminCall('/health', { method: 'HEAD' })).bodyLength, 0);
    });

    test('has nothing else, and only answers GET', async (t) => {
        const gateway = await gatewayFor(t);

        assert.equal((await gateway.adminCall('/')).status, 404);
        assert.equal((await gateway.adminCall('/metrics/x')).status, 404);
        assert.equal((await gateway.adminCall('/health', { method: 'POST', body: 'x' })).status, 405);
    });

    test('shows nothing on the public one', async (t) => {
        const gateway = await gatewayFor(t);

        for (const path of ['/metrics', '/ready'])
            assert.equal((await gateway.call(path)).status, 404, path);
    });

    test('reads requests as strictly as the public one', async (t) => {
        const gateway = await gatewayFor(t);
        const client = await connect(gateway.adminPort);

        await client.send('GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n');
        assert.equal((await client.response()).status, 400);
        client.destroy();
    });

    test('says no longer ready while draining', async (t) => {
        const slow = await startUpstream({ stream: (req, res) => setTimeout(() => res.end('ok'), 1500) });
        const gateway = await startGateway({ documents: { 'api.json': DOCUMENT(slow.url) } });

        t.after(() => slow.close());
        const client = await connect(gateway);

        await client.request({ path: '/obs/pets' });
        await until(() => slow.count, { what: 'the call to be in flight' });
        gateway.signal('SIGTERM');
        await until(async () => {
            const answer = await gateway.adminCall('/ready').catch(() => null);

            return !answer || answer.status === 503;
        }, { what: '/ready to change' });
        assert.equal((await client.response()).status, 200);
        client.destroy();
        await gateway.stop();
    });
});

describe('Metrics', () => {
    let gateway;
    let dead;

    before(async () => {
        dead = `http://127.0.0.1:${await freePort()}`;
        const ca = new Authority();
        const leaf = ca.issue('server');

        gateway = await startGateway({
            documents: {
                'api.json': DOCUMENT(upstream.url),
                'dead.json': openapi({ title: 'Dead "one"\\', context: '/dead', endpoints: dead, paths: { '/x': 'get' } }),
            },
            tls: { certificate: leaf.certificate, key: leaf.key },
            threads: 2,
            upstreams: { retries: 0 },
        });
        for (let i = 0; i < 7; i++)
            await gateway.call('/obs/pets');
        for (let i = 0; i < 3; i++)
            await gateway.call('/obs/pets/7', { method: 'GET' });
        await gateway.call('/obs/pets', { method: 'POST', body: 'x'.repeat(1000) });
        upstream.handler = (req, res) => res.writeHead(404).end();
        await gateway.call('/obs/pets');
        upstream.handler = null;
        await gateway.call('/dead/x');
    });
    after(() => gateway?.stop());

    test('are Prometheus text', async () => {
        const answer = await gateway.adminCall('/metrics');

        assert.equal(answer.status, 200);
        assert.match(answer.header('content-type'), /^text\/plain; version=0\.0\.4/);
        const metrics = await gateway.metrics();

        for (const { name } of metrics.samples) {
            const family = name.replace(/_(bucket|sum|count)$/, '');

            assert.ok(metrics.types.has(name) || metrics.types.has(family), `${name} has no TYPE`);
            assert.ok(metrics.helps.has(name) || metrics.helps.has(family), `${name} has no HELP`);
        }
    });

    /** The count settles when the last answer was handed to the kernel. */
    const counted = (labels, expected) => until(async () => (await gateway.metrics()).sum('tollgate_http_requests_total', labels) === expected, {
        what: `${expected} calls with ${JSON.stringify(labels)}`,
    });

    test('count calls by API, operation and status class, over all threads', async () => {
        await counted({ api: 'Pets', version: '1.2.3', method: 'GET', path: '/pets' }, 8);
        await counted({ api: 'Pets', path: '/pets/{id}' }, 3);
        await counted({ api: 'Pets', method: 'POST' }, 1);
        const [sample] = (await gateway.metrics()).find('tollgate_http_requests_total', { path: '/pets', method: 'GET' });
        const byClass = Object.entries(sample.labels).find(([name]) => !['api', 'version', 'method', 'path'].includes(name));

        assert.ok(byClass, 'no label for the status class');
        await counted({ path: '/pets', method: 'GET', [byClass[0]]: /^2/ }, 7);
        await counted({ path: '/pets', method: 'GET', [byClass[0]]: /^4/ }, 1);
        await counted({ path: '/x', [byClass[0]]: /^5/ }, 1);
    });

    test('show latencies as a histogram that adds up', async () => {
        await counted({ api: 'Pets', path: '/pets/{id}' }, 3);
        const metrics = await gateway.metrics();
        const labels = { api: 'Pets', path: '/pets/{id}' };
        const buckets = metrics.find('tollgate_http_request_duration_seconds_bucket', labels);
        const bound = (s) => (s.labels.le === '+Inf' ? Infinity : Number(s.labels.le));

        assert.equal(metrics.types.get('tollgate_http_request_duration_seconds'), 'histogram');
        assert.ok(buckets.length > 5);
        for (let i = 1; i < buckets.length; i++) {
            assert.ok(bound(buckets[i]) > bound(buckets[i - 1]), 'bounds grow');
            assert.ok(buckets[i].value >= buckets[i - 1].value, 'counts grow');
        }
        assert.equal(buckets.at(-1).labels.le, '+Inf');
        assert.equal(buckets.at(-1).value, 3);
        assert.equal(metrics.sum('tollgate_http_request_duration_seconds_count', labels), 3);
        assert.ok(metrics.sum('tollgate_http_request_duration_seconds_sum', labels) > 0);
    });

    test('show the state of every endpoint', async () => {
        const metrics = await gateway.metrics();
        const up = (url) => metrics.find('tollgate_upstream_up', { endpoint: new RegExp(url.replace(/^http:\/\//, '').replaceAll('.', '\\.')) })[0];

        assert.equal(up(upstream.url).value, 1);
        assert.ok(up(dead), 'the dead endpoint is listed');
        assert.ok(metrics.sum('tollgate_upstream_failures_total') >= 1);
        assert.ok(metrics.sum('tollgate_upstream_connects_total') >= 1);
        assert.ok(metrics.sum('tollgate_upstream_reused_total') >= 1);
    });

    test('show connections, memory, loop lag, version and certificates', async () => {
        const client = await connect(gateway);

        await client.request({ path: '/obs/pets' });
        await client.response();
        const metrics = await gateway.metrics();

        assert.ok(metrics.sum('tollgate_connections') >= 1);
        assert.ok(metrics.sum(/^(tollgate_|process_)resident_memory_bytes$/) > 1 << 20);
        assert.ok(metrics.find('tollgate_loop_lag_seconds').length >= 1);
        assert.match(metrics.find('tollgate_build_info')[0].labels.version, /^\d+\.\d+\.\d+/);
        assert.ok(metrics.find('tollgate_certificate_expiry_timestamp_seconds').some((s) => s.value * 1000 > Date.now()));
        assert.equal(metrics.sum('tollgate_apis'), 2);
        client.destroy();
    });

    test('do not change by being read', async () => {
        const total = async () => (await gateway.metrics()).sum('tollgate_http_requests_total');
        const first = await total();

        assert.equal(await total(), first);
    });

    test('survive a reload', async () => {
        const total = async () => (await gateway.metrics()).sum('tollgate_http_requests_total', { api: 'Pets', path: '/pets/{id}' });
        const first = await total();

        gateway.write('api.json', DOCUMENT(upstream.url, { 'x-changed': 1 }));
        await gateway.mustReload();
        await gateway.call('/obs/pets/8');
        await until(async () => await total() === first + 1, { what: 'the count to go on' });
    });
});

describe('The access log', () => {
    const lines = (gateway, n) => until(() => {
        const found = fs.existsSync(gateway.file('access.log')) ? fs.readFileSync(gateway.file('access.log'), 'utf8').split('\n').slice(0, -1) : [];

        return found.length >= n && found;
    }, { what: `${n} lines in the access log` });

    /** A gateway that logs in this format; file is relative to its folder. */
    async function logging(t, format) {
        const gateway = await gatewayFor(t);

        gateway.configure({ accessLog: { file: gateway.file('access.log'), format } });
        await gateway.mustReload();
        return gateway;
    }

    test('as JSON has one object per call with the things one asks for', async (t) => {
        const gateway = await logging(t, 'json');

        await gateway.call('/obs/pets?limit=2', { headers: { activityid: 'find-me', 'User-Agent': 'tests' } });
        await gateway.call('/nowhere');
        await gateway.call('/obs/pets/1', { method: 'DELETE' });
        const [good, lost, wrong] = (await lines(gateway, 3)).map((line) => JSON.parse(line));

        assert.deepEqual([good.client, good.method, good.status, good.activityid, good.api, good.version],
            ['127.0.0.1', 'GET', 200, 'find-me', 'Pets', '1.2.3']);
        assert.match(good.target, /^\/obs\/pets\?limit=2$/);
        assert.match(good.operation, /\/pets/);
        assert.ok(good.duration_us > 0 && good.bytes_out > 0);
        assert.equal(lost.status, 404);
        assert.equal(wrong.status, 405);
    });

    test('in the common format can be read by everybody\'s tools', async (t) => {
        const gateway = await logging(t, 'common');

        await gateway.call('/obs/pets?x=1');
        const [line] = await lines(gateway, 1);

        assert.match(line, /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET \/obs\/pets\?x=1 HTTP\/1\.1" 200 \d+$/);
    });

    test('follows a format string', async (t) => {
        const gateway = await logging(t, '%m %U %s %{User-Agent}i %{activityid}x');

        await gateway.call('/obs/pets', { headers: { 'User-Agent': 'agent "x"', activityid: 'abc' } });
        assert.match((await lines(gateway, 1))[0], /^GET \/obs\/pets 200 agent \\?.*x.* abc$/);
    });

    test('is refused with an unknown token', async (t) => {
        const gateway = await gatewayFor(t);

        gateway.configure({ accessLog: { file: gateway.file('access.log'), format: '%h %Z' } });
        const result = await gateway.reload();

        assert.equal(result.code, 1);
        assert.match(result.stderr, /tollgate\.yaml:\d+: .*%Z/);
    });

    test('cannot be forged by a caller, and holds no secret', async (t) => {
        const gateway = await logging(t, 'common');

        await gateway.call('/obs/pets?access_token=s3cr3t&x="%0a127.0.0.1', { headers: { Authorization: 'Bearer s3cr3t' } });
        await gateway.call('/obs/pets?q=\\"end');
        const found = await lines(gateway, 2);

        assert.equal(found.length, 2);
        assert.doesNotMatch(found.join('\n'), /s3cr3t/);
        for (const line of found)
            assert.match(line, /^127\.0\.0\.1 - - \[[^\]]+\] "(?:[^"\\]|\\.)*" 200 \d+$/);
    });

    test('goes on in a new file after the old one was moved and a reload', async (t) => {
        const gateway = await logging(t, '%U');

        await gateway.call('/obs/pets/1');
        await lines(gateway, 1);
        fs.renameSync(gateway.file('access.log'), gateway.file('access.old'));
        await gateway.mustReload();
        await gateway.call('/obs/pets/2');
        assert.deepEqual(await lines(gateway, 1), ['/obs/pets/2']);
    });

    test('is not written unless it is asked for', async (t) => {
        const gateway = await gatewayFor(t);

        await gateway.call('/obs/pets', { headers: { activityid: 'unlogged' } });
        assert.ok(!fs.existsSync(gateway.file('access.log')));
        assert.doesNotMatch(gateway.stderr, /unlogged/);
    });
});

describe('The log on stderr', () => {
    test('is JSON lines, and says when and where it serves', async (t) => {
        const gateway = await gatewayFor(t);
        const line = await until(() => gateway.logs().find((l) => /^serving/.test(l.message)), { what: 'a line "serving …"' });
        const texts = gateway.stderr.split('\n').filter(Boolean);

        assert.ok(texts.length >= 1);
        assert.equal(gateway.logs().length, texts.length, 'a line is no JSON');
        for (const key of ['time', 'level', 'area'])
            assert.equal(typeof line[key], 'string', key);
        assert.ok(JSON.stringify(line).includes(String(gateway.port)));
    });

    test('tells of a failed backend with the call\'s activityid', async (t) => {
        const dead = `http://127.0.0.1:${await freePort()}`;
        const gateway = await gatewayFor(t, { documents: { 'api.json': DOCUMENT(dead) }, log: { level: 'debug' } });

        await gateway.call('/obs/pets', { headers: { activityid: 'who-was-it' } });
        await until(() => gateway.logs().some((l) => l.activityid === 'who-was-it'), { what: 'a line with the id' });
    });

    test('never holds what a caller called its secret', async (t) => {
        const gateway = await gatewayFor(t, { log: { level: 'debug' } });
        const client = await connect(gateway);

        await gateway.call('/obs/pets', { headers: { Authorization: 'Bearer s3cr3t', Cookie: 'sid=s3cr3t', apikey: 's3cr3t' } });
        await client.send('GET /obs/pets HTTP/1.1\r\nHost: x\r\nAuthorization: s3cr3t\r\nBroken s3cr3t\r\n\r\n');
        await client.response();
        client.destroy();
        assert.doesNotMatch(gateway.stderr, /s3cr3t/);
    });
});

test('`config check` lists what is open to everybody', async () => {
    const gateway = await startGateway({ documents: { 'api.json': DOCUMENT(upstream.url) } });
    const result = await run(['config', 'check', '--config', gateway.file('tollgate.yaml')], { cwd: gateway.dir });

    assert.equal(result.code, 0, result.output);
    assert.match(result.stdout, /3 operations/);
    assert.match(result.stdout, /open/i);
    await gateway.stop();
});
