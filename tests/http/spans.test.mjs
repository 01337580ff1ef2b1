// spans.test.mjs - what a collector is told of sampled calls.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { PATHS, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Collector } from './lib/otlp.mjs';
import { fields, startUpstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const issuer = new Issuer();
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
let upstream, echo;

before(async () => {
    upstream = await startUpstream({
        stream(req, res) {
            req.resume();
            if (req.url.includes('/broken'))
                return res.writeHead(500).end('no');
            req.on('end', () => res.end('hello'));
        },
    });
    new WebSocketServer({ server: upstream.server }).on('connection', (ws) => ws.on('error', () => {}).on('message', (m) => ws.send(String(m))));
    echo = await startGrpcServer();
});
after(async () => {
    echo?.stop();
    await upstream?.close();
});

function start(collector, more = {}) {
    const token = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }] };

    return startGateway({
        documents: {
            'shop.json': openapi({ title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url, paths: { '/pets/{id}': 'get put', '/broken': 'get', '/ws': 'get' } }),
            'safe.json': openapi({ title: 'Safe', version: '1', context: '/safe', endpoints: upstream.url, paths: { '/x': 'get' }, ...token }),
            'gone.json': openapi({ title: 'Gone', version: '1', context: '/gone', endpoints: ['http://127.0.0.1:1', upstream.url], type: 'failover', paths: { '/x': 'get' } }),
            'echo.json': openapi({ title: 'Echo', version: '1', context: '/', endpoints: `h2c://127.0.0.1:${echo.port}`, paths: PATHS }),
        },
        files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], threads: 2,
        ...more, tracing: { collector: collector.url, interval: '100ms', ...more.tracing },
    });
}

async function told(collector, id) {
    let found;

    await until(() => (found = collector.of(id)), { ms: 10000, what: 'the spans of the call' });
    collector.check();
    return found;
}

describe('a sampled call', () => {
    let collector, gateway;

    before(async () => {
        collector = await new Collector().listen();
        gateway = await start(collector, { tracing: { serviceName: 'front', resource: ['deployment.environment.name=test'], headers: [{ name: 'X-Token', value: 'letmein' }] } });
    });
    after(async () => {
        await gateway.stop();
        await collector.close();
        collector.check();
    });

    const spansOf = async (target, options) => {
        const answer = await gateway.call(target, options);

        return { answer, ...(await told(collector, answer.header('activityid'))) };
    };

    test('is a server span with its route, and a client span that the backend knows', async () => {
        const { server, children } = await spansOf('/shop/pets/7?secret=1', { method: 'PUT', body: 'abc', headers: { 'User-Agent': 'the-client/1' } });

        assert.equal(server.name, 'PUT /shop/pets/{id}');
        assert.equal(server.parentSpanId, undefined);
        for (const [key, value] of Object.entries({
            'http.request.method': 'PUT', 'http.route': '/shop/pets/{id}', 'url.path': '/shop/pets/7', 'http.response.status_code': 200, 'url.scheme': 'http',
            'client.address': '127.0.0.1', 'user_agent.original': 'the-client/1', 'tollgate.api': 'Shop', 'tollgate.version': '1.0', 'network.protocol.version': '1.1',
        }))
            assert.equal(server.attributes[key], value, key);
        assert.ok(!JSON.stringify(server).includes('secret'), 'no query');
        const call = children.find((c) => c.kind === 3);

        assert.equal(call.attributes['server.address'], '127.0.0.1');
        assert.equal(call.attributes['server.port'], upstream.port);
        assert.equal(call.attributes['http.response.status_code'], 200);
        assert.equal(fields(upstream.last, 'traceparent')[0], `00-${server.traceId}-${call.spanId}-03`);
        assert.ok(children.every((c) => c.traceId === server.traceId));
        assert.ok(children.every((c) => BigInt(c.startTimeUnixNano) >= BigInt(server.startTimeUnixNano) && BigInt(c.endTimeUnixNano) <= BigInt(server.endTimeUnixNano)), 'within the call');
        assert.deepEqual([collector.resources.at(-1)['service.name'], collector.resources.at(-1)['deployment.environment.name']], ['front', 'test']);
        assert.equal(collector.last.headers['x-token'], 'letmein');
    });

    test('has a phase for authentication, which a refusal ends', async () => {
        const good = await spansOf('/safe/x', { headers: bearer(issuer.token({ sub: 'ann', azp: 'app' })) });

        assert.ok(good.children.some((c) => c.name === 'authentication' && !c.status?.code), JSON.stringify(good.children.map((c) => c.name)));
        assert.equal(good.server.attributes['tollgate.application'], 'app');
        const bad = await spansOf('/safe/x', { headers: bearer('nonsense') });

        assert.equal(bad.server.attributes['error.type'], '900901');
        assert.equal(bad.server.attributes['http.response.status_code'], 401);
        assert.ok((bad.server.status?.code ?? 0) !== 2, "a caller's mistake is no failure of ours");
        const phase = bad.children.find((c) => c.name === 'authentication');

        assert.equal(phase.status.code, 2);
        assert.match(phase.attributes['error.type'], /^token_/);
        assert.ok(!bad.children.some((c) => c.kind === 3), 'no backend was asked');
    });

    test('shows each try of a backend', async () => {
        const { answer, children } = await spansOf('/gone/x');
        const tries = children.filter((c) => c.kind === 3);

        assert.equal(answer.status, 200);
        assert.equal(tries.length, 2);
        assert.equal(tries.filter((c) => c.status?.code === 2).length, 1);
        assert.equal(tries.find((c) => !c.status?.code).attributes['server.port'], upstream.port);
    });

    test('failed when the backend did', async () => {
        const { server, children } = await spansOf('/shop/broken');

        assert.equal(server.status.code, 2);
        assert.equal(server.attributes['error.type'], '500');
        assert.equal(children.find((c) => c.kind === 3).attributes['error.type'], '500');
    });

    test('continues the trace that it came with', async () => {
        const { server } = await spansOf('/shop/pets/1', { headers: { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=b' } });

        assert.deepEqual([server.traceId, server.parentSpanId, server.traceState], [TRACE, SPAN, 'a=b']);
    });

    test('is none when who began the trace did not want it', async () => {
        const answer = await gateway.call('/shop/pets/1', { headers: { traceparent: `00-${TRACE}-${SPAN}-00` } });

        await spansOf('/shop/pets/2');
        assert.equal(collector.of(answer.header('activityid')), undefined);
    });

    test('by gRPC, and a WebSocket', async () => {
        const client = grpcClient(gateway.port);

        assert.equal((await client.call('unary', 'x')).code, 0);
        client.close();
        await until(() => collector.spans.some((s) => s.kind === 2 && s.attributes['http.route'] === '/demo.Echo/Unary'), { ms: 10000, what: 'the span' });
        const rpc = collector.spans.find((s) => s.attributes['http.route'] === '/demo.Echo/Unary');

        assert.equal(rpc.attributes['rpc.system'], 'grpc');
        const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/shop/ws`, { headers: { activityid: 'the-socket' } });

        await new Promise((resolve) => ws.on('open', resolve));
        ws.close();
        await new Promise((resolve) => ws.on('close', resolve));
        const { server, children } = await told(collector, 'the-socket');

        assert.equal(server.attributes['http.response.status_code'], 101);
        assert.ok(children.some((c) => c.name === 'tunnel'));
    });
});

const sums = async (gateway) => {
    const m = await gateway.metrics();

    return Object.fromEntries(['accepted_total', 'sent_total', 'queued', 'dropped_total', 'failures_total'].map((n) => [n.replace('_total', ''), m.sum(`tollgate_spans_${n}`)]));
};

async function settled(gateway) {
    let s;

    await until(async () => (s = await sums(gateway)).queued === 0, { ms: 20000, what: 'no span to wait' });
    assert.equal(s.accepted, s.sent + s.dropped);
    return s;
}

describe('the collector', () => {
    const calls = async (gateway, n) => {
        for (let i = 0; i < n; i++)
            assert.equal((await gateway.call('/shop/pets/1')).status, 200);
    };

    test('that is busy gets them later, each once', async () => {
        const collector = await new Collector().listen();
        const gateway = await start(collector);

        collector.answer = () => [503, '{}', { 'Retry-After': '1' }];
        await calls(gateway, 20);
        await until(() => collector.requests > 0, { what: 'a request' });
        collector.answer = () => [200, '{}'];
        const s = await settled(gateway);

        assert.equal(s.dropped, 0);
        assert.ok(s.failures > 0);
        assert.equal(collector.spans.length, s.sent);
        assert.equal(new Set(collector.spans.map((x) => x.spanId)).size, s.sent);
        assert.equal(collector.spans.filter((x) => x.kind === 2).length, 20);
        await gateway.stop();
        await collector.close();
        collector.check();
    });

    test('that rejects them is believed, and it is counted', async () => {
        const collector = await new Collector().listen();
        const gateway = await start(collector);

        collector.answer = (spans) => [200, JSON.stringify({ partialSuccess: { rejectedSpans: String(spans.length), errorMessage: 'not today' } })];
        await calls(gateway, 5);
        const partial = await settled(gateway);

        assert.equal(partial.sent, 0);
        assert.ok(gateway.logs().some((l) => /not today/.test(l.message)));
        collector.answer = () => [400, 'what is this'];
        await calls(gateway, 5);
        const refused = await settled(gateway);

        assert.ok(refused.dropped > partial.dropped);
        await gateway.stop();
        await collector.close();
    });

    test('that is not there holds up no call; the queue is bounded', async () => {
        const collector = await new Collector().listen();

        await collector.close();
        const gateway = await start(collector, { tracing: { queue: 100, batch: 50 }, threads: 1 });

        await calls(gateway, 200);
        const s = await sums(gateway);

        assert.ok(s.dropped > 0 && s.sent === 0, JSON.stringify(s));
        assert.equal(s.accepted, s.queued + s.dropped);
        await gateway.stop();
    });

    test('gets the share that is sampled', async () => {
        const collector = await new Collector().listen();
        const gateway = await start(collector, { tracing: { sample: 0.25 } });

        await calls(gateway, 400);
        await settled(gateway);
        const n = collector.spans.filter((x) => x.kind === 2).length;

        assert.ok(n > 50 && n < 160, `${n} of 400`); // five deviations each way
        await gateway.stop();
        await collector.close();
        collector.check();
    });
});
