// spans.test.mjs - what a collector is told of sampled calls, and how it may
// behave.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { PATHS, SERVICE, grpc, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { startCollector } from './lib/otlp.mjs';
import { connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { FORM, PARENT, SPAN, TRACE, traced } from './lib/traces.mjs';
import { Upstream, fields, freePort } from './lib/upstream.mjs';
import { pause, until } from './lib/wait.mjs';

let upstream;

before(async () => {
    upstream = await new Upstream().listen();
});
after(() => upstream.close());

const shop = () => ({
    'shop.json': openapi({ title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url, paths: { '/pets/{id}': 'get put' } }),
});

const seen = (gateway, headers) => traced(gateway, upstream, '/shop/pets/7', headers);

const KIND = { internal: 1, server: 2, client: 3 };
const ERROR = 2;
const names = (spans) => spans.map((s) => s.name);
const named = (spans, name) => spans.filter((s) => s.name === name);

/** Every moment accounts for every span. */
async function account(gateway) {
    const m = await gateway.metrics();
    const all = Object.fromEntries(['accepted', 'sent', 'dropped', 'failures'].map((n) => [n, m.sum(`tollgate_spans_${n}_total`)]));

    all.queued = m.sum('tollgate_spans_queued');
    all.reasons = Object.fromEntries(m.find('tollgate_spans_dropped_total').map((s) => [s.labels.reason, s.value]));
    assert.equal(all.accepted, all.sent + all.dropped + all.queued, JSON.stringify(all));
    return all;
}

const tracing = (collector, more) => ({ collector: collector.url, intervalMs: 20, ...more });

describe('A sampled call', () => {
    const issuer = new Issuer();
    let collector, gateway;

    before(async () => {
        const secured = { get: { responses: {}, security: [{ token: [] }], 'x-wso2-throttling-tier': 'Two' } };

        collector = await startCollector();
        gateway = await startGateway({
            documents: {
                ...shop(),
                'safe.json': openapi({
                    title: 'Safe', version: '2', context: '/safe', endpoints: upstream.url, paths: { '/x': secured },
                    components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } },
                }),
                'gone.json': openapi({ title: 'Gone', version: '1', context: '/gone', endpoints: 'http://127.0.0.1:1', paths: { '/x': 'get' } }),
            },
            files: { 'keys.json': issuer.jwks, 'policies.yaml': 'tiers:\n  - {name: Two, limits: [{requests: 2, window: 1h}]}\n' },
            policies: 'policies.yaml',
            issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
            authentication: { failures: 0 },
            upstreams: { retries: 0, suspendMs: 0 },
            tracing: tracing(collector, { serviceName: 'edge', resource: ['deployment.environment.name=test'], headers: [{ name: 'X-Key', value: 'k' }] }),
        });
    });
    after(async () => {
        await gateway.stop();
        await collector.close();
        assert.deepEqual(collector.problems, []);
    });

    /** Calls, and gives the spans: the call's own, then its children. */
    async function traced(target, options) {
        const answer = await gateway.call(target, options);

        return { answer, spans: await collector.of(answer.header('activityid')) };
    }

    test('has a span, and one for the try of its backend', async () => {
        const { spans: [root, ...inner] } = await traced('/shop/pets/7?apikey=secret', { headers: { 'User-Agent': 'test/1', traceparent: 'no' } });
        const [attempt] = named(inner, 'GET');
        const parent = FORM.exec(fields(upstream.last, 'traceparent')[0]);

        assert.equal(root.name, 'GET /shop/pets/{id}');
        assert.equal(root.kind, KIND.server);
        assert.equal(root.parentSpanId, undefined);
        assert.equal(root.flags & 1, 1);
        assert.deepEqual(root.status, {});
        const { 'tollgate.activityid': id, 'server.port': port, ...rest } = root.attributes;

        assert.ok(id);
        assert.equal(port, gateway.port);
        assert.deepEqual(rest, {
            'http.request.method': 'GET', 'http.route': '/shop/pets/{id}', 'url.path': '/shop/pets/7', 'url.scheme': 'http',
            'http.response.status_code': 200, 'server.address': '127.0.0.1', 'client.address': '127.0.0.1',
            'network.peer.address': '127.0.0.1', 'network.protocol.version': '1.1', 'user_agent.original': 'test/1',
            'tollgate.api': 'Shop', 'tollgate.version': '1.0',
        });
        assert.equal(attempt.kind, KIND.client);
        assert.deepEqual(attempt.attributes, {
            'http.request.method': 'GET', 'server.address': '127.0.0.1', 'server.port': upstream.port,
            'url.full': `${upstream.url}/pets/7`, 'http.response.status_code': 200,
        });
        assert.deepEqual([parent[1], parent[2], parent[3]], [root.traceId, attempt.spanId, '3'], 'the backend is told of the try');
        for (const span of inner)
            assert.ok(span.start >= root.start && span.end <= root.end, `${span.name} is within the call`);
    });

    test('is of the trace it brings, with its state', async () => {
        const { spans: [root, ...inner] } = await traced('/shop/pets/7', { headers: [['traceparent', PARENT], ['tracestate', 'a=1'], ['tracestate', 'b=2,a=3,']] });
        const [attempt] = named(inner, 'GET');

        assert.deepEqual([root.traceId, root.parentSpanId, root.traceState], [TRACE, SPAN, 'a=1,b=2']);
        assert.equal(root.flags, 0x301, 'sampled, and its parent is remote');
        assert.equal(attempt.flags, 0x101, 'its parent is here');
        assert.deepEqual(fields(upstream.last, 'traceparent'), [`00-${TRACE}-${attempt.spanId}-01`]);
        assert.deepEqual(fields(upstream.last, 'tracestate'), ['a=1,b=2']);
    });

    test('has none when its trace is not sampled', async () => {
        const parent = `00-${TRACE}-${SPAN}-00`;
        const answer = await gateway.call('/shop/pets/7', { headers: { traceparent: parent } });

        assert.deepEqual(fields(upstream.last, 'traceparent'), [parent]);
        await traced('/shop/pets/7'); // what came before it would be there by now
        assert.ok(!collector.spans.some((s) => s.attributes['tollgate.activityid'] === answer.header('activityid')));
    });

    test('has spans of bodies, and times that follow each other', async () => {
        const client = await connect(gateway.port);

        upstream.stream = (req, res) => {
            req.resume().on('end', async () => {
                res.write('one');
                await pause(60);
                res.end('two');
            });
        };
        client.socket.write('PUT /shop/pets/7 HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc');
        await pause(60);
        client.socket.write('def');
        const answer = await client.response();

        upstream.stream = null;
        client.destroy();
        const spans = await collector.of(answer.header('activityid'));
        const [up] = named(spans, 'request body'), [down] = named(spans, 'response body'), [attempt] = named(spans, 'PUT');

        assert.deepEqual([up.attributes['http.request.body.size'], down.attributes['http.response.body.size']], [6, 6]);
        assert.ok(up.end - up.start >= 50000, `${up.end - up.start} us`);
        assert.ok(down.end - down.start >= 50000);
        assert.ok(down.start >= up.end && attempt.start <= down.start && attempt.end <= spans[0].end);
    });

    test('has one for each phase of the chain', async () => {
        const { spans } = await traced('/safe/x', { headers: bearer(issuer.token({ sub: 'p' })) });
        const phases = spans.filter((s) => s.kind === KIND.internal && !s.name.endsWith('body'));

        assert.ok(names(phases).includes('authentication') && names(phases).includes('limits'), names(spans).join());
        for (let i = 1; i < phases.length; i++)
            assert.ok(phases[i].start >= phases[i - 1].end);
        assert.ok(phases.every((s) => s.status.code === undefined));
        assert.equal(spans[0].attributes['tollgate.application'], 'app-1');
    });

    test('tells why it was refused', async () => {
        const now = Math.floor(Date.now() / 1000);
        const expired = await traced('/safe/x', { headers: bearer(issuer.token({ exp: now - 100 })) });
        const [phase] = named(expired.spans, 'authentication');

        assert.equal(expired.answer.status, 401);
        assert.deepEqual([phase.status, phase.attributes['error.type']], [{ code: ERROR, message: 'token_expired' }, 'token_expired']);
        assert.equal(expired.spans[0].attributes['error.type'], expired.answer.json.code);
        assert.deepEqual(expired.spans[0].status, {}, 'the mistake of a caller is no failure of a server');
        assert.deepEqual(named(expired.spans, 'GET'), []);

        let last;

        for (let i = 0; i < 3; i++)
            last = await traced('/safe/x', { headers: bearer(issuer.token()) });
        assert.equal(last.answer.status, 429);
        assert.equal(named(last.spans, 'limits')[0].status.code, ERROR);
        assert.equal(named(last.spans, 'authentication')[0].status.code, undefined);
    });

    test('that matches nothing is named by its method', async () => {
        const { spans: [root, ...inner] } = await traced('/nothing/here', { method: 'PATCH' });

        assert.equal(root.name, 'PATCH');
        assert.equal(root.attributes['http.route'], undefined);
        assert.equal(root.attributes['http.response.status_code'], 404);
        assert.deepEqual(inner, []);
        const odd = await traced('/shop/pets/1', { method: 'BREW' });

        assert.equal(odd.spans[0].name, 'HTTP');
        assert.deepEqual([odd.spans[0].attributes['http.request.method'], odd.spans[0].attributes['http.request.method_original']], ['_OTHER', 'BREW']);
    });

    test('whose backend is away has failed', async () => {
        const { answer, spans: [root, ...inner] } = await traced('/gone/x');
        const [attempt] = named(inner, 'GET');

        assert.ok(answer.status >= 500);
        assert.equal(root.status.code, ERROR);
        assert.equal(root.attributes['error.type'], answer.json.code);
        assert.equal(attempt.status.code, ERROR);
        assert.ok(attempt.attributes['error.type']);
        upstream.handler = (req, res) => res.writeHead(500).end();
        const bad = await traced('/shop/pets/1');

        upstream.handler = null;
        assert.deepEqual([bad.spans[0].status.code, bad.spans[0].attributes['error.type']], [ERROR, '500']);
        assert.equal(named(bad.spans, 'GET')[0].attributes['error.type'], '500');
    });

    test('may be hostile: what it says stays text', async () => {
        const client = await connect(gateway.port);

        client.socket.write(Buffer.from('GET /shop/pets/%22%7d%E2%82 HTTP/1.1\r\nHost: x"y\r\nUser-Agent: "}\\ \xff\xfe\r\nConnection: close\r\n\r\n', 'latin1'));
        const refused = await client.response();

        client.destroy();
        assert.ok(refused.status);
        const long = await traced(`/shop/pets/${'%22'.repeat(2000)}`, { headers: [['User-Agent', `"\xff${'"'.repeat(8000)}`]] });

        assert.ok(long.spans[0].attributes['user_agent.original'].length <= 1024);
        assert.ok(long.spans[0].attributes['url.path'].length <= 1024);
    });

    test('is told to who is configured, in the form that is configured', async () => {
        const [{ url, headers, body }] = collector.requests;
        const { resource, scopeSpans: [{ scope }] } = body.resourceSpans[0];
        const attributes = Object.fromEntries(resource.attributes.map((a) => [a.key, a.value.stringValue]));

        assert.equal(url, '/v1/traces');
        assert.equal(headers['x-key'], 'k');
        assert.equal(attributes['service.name'], 'edge');
        assert.equal(attributes['deployment.environment.name'], 'test');
        assert.match(attributes['service.instance.id'], /^[0-9a-f-]{36}$/);
        assert.equal(scope.name, 'tollgate');
        assert.ok(!JSON.stringify(collector.requests).includes('secret'), 'no query is told');
        await until(async () => (await account(gateway)).queued === 0, { what: 'all spans to be sent' });
        assert.equal((await account(gateway)).sent, collector.spans.length);
    });
});

describe('Tries of a backend', () => {
    test('have a span each', async () => {
        const collector = await startCollector();
        let n = 0;
        const shaky = await new Upstream({ stream: (req, res, self) => {
            if (n++ % 2 === 0)
                return req.socket.destroy();
            self.requests.at(-1).body = Buffer.alloc(0);
            res.end('ok');
        } }).listen();
        const gateway = await startGateway({
            documents: { 'a.json': openapi({ title: 'A', context: '/a', endpoints: shaky.url, paths: { '/x': 'get' } }) },
            upstreams: { retries: 2, suspendMs: 0 }, tracing: tracing(collector),
        });
        const answer = await gateway.call('/a/x');
        const spans = await collector.of(answer.header('activityid'));
        const tries = named(spans, 'GET');

        assert.equal(answer.status, 200);
        assert.equal(tries.length, 2, names(spans).join());
        assert.equal(tries[0].status.code, ERROR);
        assert.equal(tries[0].attributes['http.request.resend_count'], undefined);
        assert.deepEqual([tries[1].status, tries[1].attributes['http.request.resend_count'], tries[1].attributes['http.response.status_code']], [{}, 1, 200]);
        assert.ok(tries[1].start >= tries[0].end);
        assert.deepEqual(shaky.requests.map((r) => FORM.exec(r.headers.traceparent)[2]), tries.map((s) => s.spanId));
        assert.deepEqual(spans[0].status, {});
        await gateway.stop();
        await shaky.close();
        await collector.close();
        assert.deepEqual(collector.problems, []);
    });
});

describe('Other protocols', () => {
    let collector;

    before(async () => (collector = await startCollector()));
    after(async () => {
        await collector.close();
        assert.deepEqual(collector.problems, []);
    });

    test('HTTP/2', async () => {
        const gateway = await startGateway({ documents: shop(), tracing: tracing(collector) });
        const session = http2.connect(gateway.url);
        const ids = await Promise.all(Array.from({ length: 10 }, async (_, i) => {
            const stream = session.request({ ':path': `/shop/pets/${i}`, traceparent: `00-${TRACE}-${SPAN.slice(0, 15)}${i}-01` });
            const [headers] = await once(stream, 'response');

            stream.resume();
            await once(stream, 'end');
            return headers.activityid;
        }));

        for (const [i, id] of ids.entries()) {
            const [root] = await collector.of(id);

            assert.equal(root.attributes['network.protocol.version'], '2');
            assert.deepEqual([root.traceId, root.parentSpanId], [TRACE, `${SPAN.slice(0, 15)}${i}`]);
        }
        session.close();
        await gateway.stop();
    });

    test('gRPC', async () => {
        const server = await startGrpcServer();
        const gateway = await startGateway({
            documents: {
                'echo.json': openapi({ title: 'Echo', context: '/', endpoints: `h2c://127.0.0.1:${server.port}`, paths: PATHS }),
                'gone.json': openapi({ title: 'gone', context: '/gone', endpoints: 'h2c://127.0.0.1:1', paths: { '/x.Y/Z': 'post' } }),
            }, tracing: tracing(collector),
        });
        const client = grpcClient(gateway.port);
        const metadata = new grpc.Metadata();

        metadata.set('activityid', 'grpc-call');
        assert.equal((await client.call('unary', 'hi', { metadata })).code, 0);
        const [root, ...inner] = await collector.of('grpc-call');

        assert.equal(root.name, `POST ${SERVICE.unary.path}`);
        assert.deepEqual(root.status, {});
        assert.equal(root.attributes['rpc.system'], 'grpc');
        assert.equal(named(inner, 'POST')[0].kind, KIND.client);
        const gone = new (grpc.makeGenericClientConstructor({ z: { ...SERVICE.unary, path: '/gone/x.Y/Z' } }, 'Gone'))(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure());

        metadata.set('activityid', 'grpc-gone');
        await new Promise((resolve) => gone.z(Buffer.from('hi'), metadata, resolve));
        const [failed] = await collector.of('grpc-gone');

        assert.equal(failed.attributes['http.response.status_code'], 200);
        assert.equal(failed.status.code, ERROR, 'whatever the status of HTTP says');
        gone.close();
        client.close();
        await gateway.stop();
        server.stop();
    });

    test('a WebSocket: one span for all its life', async () => {
        const backend = http.createServer();

        backend.on('upgrade', async (req, socket) => {
            const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

            backend.parent = req.headers.traceparent;
            socket.on('error', () => {}).on('end', () => socket.end());
            socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
        });
        await new Promise((resolve) => backend.listen(0, '127.0.0.1', resolve));
        const gateway = await startGateway({
            documents: { 'ws.json': openapi({ title: 'Ws', context: '/ws', endpoints: `http://127.0.0.1:${backend.address().port}`, paths: { '/x': 'get' } }) },
            tracing: tracing(collector),
        });
        const client = await connect(gateway.port);

        client.socket.write('GET /ws/x HTTP/1.1\r\nHost: x\r\nactivityid: tunnel-1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
        assert.equal((await client.head()).status, 101);
        await pause(100);
        assert.ok(!collector.spans.some((s) => s.attributes['tollgate.activityid'] === 'tunnel-1'), 'it is not over');
        client.destroy();
        const [root, ...inner] = await collector.of('tunnel-1');

        assert.equal(root.attributes['http.response.status_code'], 101);
        assert.ok(named(inner, 'tunnel')[0].end - named(inner, 'tunnel')[0].start >= 90000);
        assert.equal(FORM.exec(backend.parent)[2], named(inner, 'GET')[0].spanId);
        await gateway.stop();
        backend.closeAllConnections();
        backend.close();
    });

    test('TLS to the collector', async () => {
        const ca = new Authority();
        const { certificate, key } = ca.issue('collector');
        const seen = [];
        const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, (req, res) => {
            seen.push(req.url);
            req.resume().on('end', () => res.end('{}'));
        });

        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        const gateway = await startGateway({
            documents: shop(), tracing: { collector: `https://localhost:${server.address().port}/otlp/v1/traces`, intervalMs: 20, tls: { ca: ca.certificate } },
        });

        await gateway.call('/shop/pets/1');
        await until(() => seen.length, { what: 'a request over TLS' });
        assert.equal(seen[0], '/otlp/v1/traces');
        await gateway.stop();
        server.closeAllConnections();
        server.close();
    });
});

describe('Sampling', () => {
    test('takes its share, whole calls', async () => {
        const collector = await startCollector();
        const gateway = await startGateway({ documents: shop(), threads: 2, tracing: tracing(collector, { sample: 0.25 }) });

        for (let i = 0; i < 200; i++)
            await gateway.call('/shop/pets/1');
        await gateway.stop(); // sends what is left
        const roots = collector.spans.filter((s) => s.kind === KIND.server);

        assert.ok(roots.length > 20 && roots.length < 90, `${roots.length} of 200 at a quarter`);
        for (const root of roots)
            assert.equal(named(collector.spans.filter((s) => s.parentSpanId === root.spanId), 'GET').length, 1);
        await collector.close();
        assert.deepEqual(collector.problems, []);
    });

    test('of nothing still says so to backends, and records traces that others began', async () => {
        const collector = await startCollector();
        const gateway = await startGateway({ documents: shop(), tracing: tracing(collector, { sample: 0 }) });

        assert.match((await seen(gateway)).parent[0], /-02$/);
        assert.match((await seen(gateway, { traceparent: PARENT })).parent[0], new RegExp(`^00-${TRACE}-(?!${SPAN}).*-01$`));
        await gateway.stop();
        assert.deepEqual(collector.spans.filter((s) => s.kind === KIND.server).map((s) => s.parentSpanId), [SPAN]);
        await collector.close();
    });

    test('of who is not believed begins another trace, with a link', async () => {
        const collector = await startCollector();
        const gateway = await startGateway({ documents: shop(), tracing: tracing(collector, { continue: 'none' }) });
        const { parent, state } = await seen(gateway, { traceparent: PARENT, tracestate: 'a=1' });

        await gateway.stop();
        const root = collector.spans.find((s) => s.kind === KIND.server);

        assert.notEqual(root.traceId, TRACE);
        assert.deepEqual(root.links.map((l) => [l.traceId, l.spanId]), [[TRACE, SPAN]]);
        assert.ok(parent[0].includes(root.traceId));
        assert.deepEqual(state, []);
        await collector.close();
        assert.deepEqual(collector.problems, []);
    });

    test('without propagation leaves the fields alone', async () => {
        const collector = await startCollector();
        const gateway = await startGateway({ documents: shop(), tracing: tracing(collector, { propagation: 'none' }) });

        assert.deepEqual(await seen(gateway, { traceparent: 'x', tracestate: 'y' }), { parent: ['x'], state: ['y'] });
        await gateway.stop();
        assert.equal(collector.spans.filter((s) => s.kind === KIND.server).length, 1);
        await collector.close();
    });
});

describe('A collector', () => {
    /** A gateway whose collector does what `answer` says. */
    async function start(answer, more, options) {
        const collector = await startCollector();

        collector.answer = answer;
        return { collector, gateway: await startGateway({ documents: shop(), tracing: tracing(collector, more), ...options }) };
    }

    async function end({ gateway, collector }) {
        await gateway.stop();
        await collector.close();
        assert.deepEqual(collector.problems, []);
    }

    const warnings = (gateway) => gateway.logs().filter((l) => l.area === 'tracing').map((l) => l.message);

    test('that is away gets the spans when it is back, each once', async () => {
        const port = await freePort();
        const gateway = await startGateway({ documents: shop(), tracing: { collector: `http://127.0.0.1:${port}`, intervalMs: 20 } });
        const ids = [];

        for (let i = 0; i < 10; i++)
            ids.push((await gateway.call('/shop/pets/1')).header('activityid'));
        await until(async () => (await account(gateway)).failures >= 1, { what: 'a failure' });
        const collector = await startCollector(port);

        for (const id of ids)
            await collector.of(id);
        await until(async () => (await account(gateway)).queued === 0, { what: 'all of them' });
        const all = await account(gateway);

        assert.equal(all.sent, collector.spans.length);
        assert.equal(all.dropped, 0);
        assert.match(warnings(gateway).join('\n'), /spans wait: .*127\.0\.0\.1[^]*the collector takes spans again/);
        await end({ gateway, collector });
    });

    test('says when to come again', async () => {
        const at = [];
        const it = await start((req, res, spans) => {
            at.push(Date.now());
            if (at.length === 1)
                return res.writeHead(429, { 'Retry-After': '1' }).end();
            if (at.length === 2)
                return res.writeHead(503, { 'Retry-After': '1' }).end('not now');
            it.collector.keep(spans);
            res.end('{}');
        });

        await it.gateway.call('/shop/pets/1');
        await until(() => it.collector.spans.length, { ms: 10000, what: 'spans at last' });
        assert.ok(at[1] - at[0] >= 950 && at[2] - at[1] >= 950, `${at[1] - at[0]} and ${at[2] - at[1]} ms`);
        assert.equal((await account(it.gateway)).failures, 2);
        await end(it);
    });

    test('that refuses is not asked about the same again', async () => {
        const it = await start((req, res) => res.writeHead(400, { 'Content-Type': 'application/json' }).end('{"message":"no"}'));

        await it.gateway.call('/shop/pets/1');
        await until(async () => (await account(it.gateway)).reasons.rejected > 0, { what: 'spans to be dropped' });
        assert.equal(it.collector.requests.length, 1);
        assert.match(warnings(it.gateway).join('\n'), /the collector answers 400; \d+ spans are dropped/);
        await end(it);
    });

    test('may reject some', async () => {
        const it = await start((req, res, spans) => {
            it.collector.keep(spans);
            res.end(JSON.stringify({ partialSuccess: { rejectedSpans: '1', errorMessage: 'too old' } }));
        });

        await it.gateway.call('/shop/pets/1');
        await until(async () => (await account(it.gateway)).queued === 0 && it.collector.spans.length, { what: 'an answer' });
        const all = await account(it.gateway);

        assert.equal(all.reasons.rejected, it.collector.requests.length);
        assert.match(warnings(it.gateway).join('\n'), /rejects 1 of \d+ spans: too old/);
        await end(it);
    });

    test('may talk garbage: calls and the process go on', async () => {
        let turn = 0;
        const garbage = [
            (res) => res.socket.end('\x00\xff\xfegarbage\r\n\r\n'),
            (res) => res.socket.end('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'),
            (res) => res.socket.destroy(),
            (res) => res.writeHead(200, { 'Content-Length': 1e9 }) && res.write('{'),
            (res) => res.end('<html>hello</html>'),
            (res) => res.end('{"partialSuccess":{"rejectedSpans":"many"}}'),
            (res) => res.end('['.repeat(60000)),
            (res) => res.writeHead(302, { Location: 'http://169.254.169.254/' }).end(),
        ];
        const it = await start((req, res) => garbage[Math.min(turn++, garbage.length - 1)](res), { giveUpMs: 1500 });

        for (let i = 0; turn < garbage.length; i++) {
            assert.equal((await it.gateway.call('/shop/pets/1')).status, 200);
            await account(it.gateway);
            await pause(50);
            assert.ok(i < 1000, `${turn} answers in all this time`);
        }
        assert.match(warnings(it.gateway).join('\n'), /is no JSON of OTLP/);
        await end(it);
    });

    test('that is slow delays no call; what is too much is dropped', async () => {
        const it = await start((req, res, spans) => setTimeout(() => {
            it.collector.keep(spans);
            res.end('{}');
        }, 700), { queue: 64, batch: 8 });
        const calls = 100;
        let slowest = 0;

        for (let i = 0; i < calls; i++) {
            const at = Date.now();

            await it.gateway.call('/shop/pets/1');
            slowest = Math.max(slowest, Date.now() - at);
        }
        assert.ok(slowest < 600, `a call took ${slowest} ms`);
        await until(async () => (await account(it.gateway)).queued === 0, { ms: 20000, what: 'the rest to go' });
        const all = await account(it.gateway);

        assert.ok(all.reasons.full > 0);
        assert.equal(all.sent, it.collector.spans.length);
        await end(it);
    });

    test('that never answers is left in the end', async () => {
        const it = await start(() => {}, { timeoutMs: 100, giveUpMs: 300 });

        await it.gateway.call('/shop/pets/1');
        await until(async () => (await account(it.gateway)).reasons.gave_up > 0, { what: 'it to give up' });
        await end(it);
    });

    test('may be changed, and left out, by a reload', async () => {
        const it = await start(null);
        const other = await startCollector();

        await it.gateway.call('/shop/pets/1');
        await until(() => it.collector.spans.length, { what: 'spans' });
        it.gateway.configure({ tracing: tracing(other) });
        await it.gateway.mustReload();
        const answer = await it.gateway.call('/shop/pets/1');

        await other.of(answer.header('activityid'));
        it.gateway.configure({ tracing: {} });
        await it.gateway.mustReload();
        const before = (await account(it.gateway)).accepted;

        assert.deepEqual((await seen(it.gateway, { traceparent: 'x' })).parent, ['x']);
        assert.equal((await account(it.gateway)).accepted, before);
        it.gateway.configure({ tracing: tracing(other) });
        await it.gateway.mustReload();
        await other.of((await it.gateway.call('/shop/pets/1')).header('activityid'));
        await end(it);
        await other.close();
        assert.deepEqual(other.problems, []);
    });

    test('gets the last spans before the process ends', async () => {
        const it = await start(null, { intervalMs: 10000, batch: 10000 });

        for (let i = 0; i < 30; i++)
            await it.gateway.call('/shop/pets/1');
        assert.equal(it.collector.spans.length, 0);
        await it.gateway.stop();
        assert.equal(it.collector.spans.filter((s) => s.kind === KIND.server).length, 30);
        await it.collector.close();
    });

    test('on a closed port does not hold up the end', async () => {
        const gateway = await startGateway({ documents: shop(), tracing: { collector: `http://127.0.0.1:${await freePort()}`, interval: '10s' } });

        await gateway.call('/shop/pets/1');
        const at = Date.now();

        await gateway.stop();
        assert.ok(Date.now() - at < 2000, `${Date.now() - at} ms`);
        assert.match(gateway.stderr, /spans were not sent before the end/);
    });
});
