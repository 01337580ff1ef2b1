// protected-streams.test.mjs - gRPC, WebSockets and event streams want
// credentials like every call, and end within a second when these do.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { PATHS, gathered, grpc, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream, startUpstream } from './lib/upstream.mjs';
import { SLOW, patience, pause, until } from './lib/wait.mjs';

const issuer = new Issuer();
const SCHEMES = {
    token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'x-key' }, query: { type: 'apiKey', in: 'query', name: 'key' },
    cookie: { type: 'apiKey', in: 'cookie', name: 'sid' },
};
const EITHER = [{ token: [] }, { key: [] }, { query: [] }, { cookie: [] }];
// A second, and what the machine needs to tell it.
const SOON_MS = SLOW ? 6000 : 1500;
let upstream, echo, gateway, keys, judge;

before(async () => {
    upstream = await startUpstream({
        stream(req, res) {
            res.writeHead(200, { 'Content-Type': 'text/event-stream' });
            const timer = setInterval(() => res.write('data: tick\n\n'), 50);

            res.on('close', () => clearInterval(timer));
        },
    });
    new WebSocketServer({ server: upstream.server }).on('connection', (ws, req) => {
        ws.on('error', () => {});
        ws.on('message', (m) => ws.send(`${m} ${req.headers.authorization ?? '-'} ${req.headers['x-key'] ?? '-'} ${req.url}`));
    });
    echo = await startGrpcServer();
    judge = new Upstream();
    judge.active = new Set(['opaque-1', 'opaque-2', 'opaque-3']);
    judge.handler = (req, res, body) => {
        const token = new URLSearchParams(String(body)).get('token');

        res.statusCode = judge.broken ? 500 : 200;
        res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ active: judge.active.has(token), sub: token, client_id: 'app' }));
    };
    await judge.listen();
    gateway = await startGateway({
        documents: {
            'echo.json': openapi({
                title: 'Echo', version: '1', context: '/', endpoints: `h2c://127.0.0.1:${echo.port}`, paths: PATHS, components: { securitySchemes: SCHEMES }, security: EITHER,
            }),
            'scoped.json': openapi({
                title: 'Scoped', version: '1', context: '/scoped', endpoints: `h2c://127.0.0.1:${echo.port}`, components: { securitySchemes: SCHEMES },
                paths: { '/demo.Echo/Unary': { post: { responses: {}, security: [{ token: ['admin'] }] } } },
            }),
            'live.json': live(),
            'few.json': openapi({
                title: 'Few', version: '1', context: '/few', endpoints: `h2c://127.0.0.1:${echo.port}`, paths: { '/demo.Echo/Unary': 'post' },
                'x-wso2-throttling-tier': 'Two',
            }),
        },
        files: { secret: 'secret', 'keys.json': issuer.jwks, 'policies.yaml': 'tiers:\n  - {name: Two, limits: [{requests: 2, window: 1d}]}\n' },
        policies: 'policies.yaml', issuers: [{ issuer: issuer.issuer, jwks: 'keys.json', skewMs: 0 }], apiKeys: { file: 'keys' }, threads: 2,
        introspection: [{ name: 'judge', url: judge.url, clientId: 'gateway', clientSecretFile: 'secret', cacheMs: 1000, timeoutMs: 500 }], outbound: { allow: ['127.0.0.1'] },
        authentication: { failures: 0 }, events: { to: 'file' }, backendJwt: { enabled: true },
    });
    keys = gateway.file('keys');
});
after(async () => {
    await gateway?.stop();
    echo?.stop();
    await judge?.close();
    await upstream?.close();
});

const live = (description) => openapi({
    title: 'Live', version: '1', description, context: '/live', endpoints: upstream.url, paths: { '/ws': 'get', '/events': 'get' }, components: { securitySchemes: SCHEMES }, security: EITHER,
});

async function newKey(...more) {
    const key = await gateway.newKey('--name', 'app', '--file', keys, ...more);

    await until(() => new Promise((resolve) => http.get(`${gateway.url}/live/events`, { headers: { 'x-key': key.key } }, (res) => {
        res.destroy();
        resolve(res.statusCode === 200);
    }).on('error', () => resolve(false))), { what: 'the key to be known' });
    return key;
}

/** A token that is good for so many seconds of the clock. */
const short = (seconds) => {
    const exp = Math.floor(Date.now() / 1000) + seconds;

    return { token: issuer.token({ sub: 'ann', exp }), ends: exp * 1000 };
};

/** A token that is bound to a key, with the proof for one call of this path. */
function withProof(path) {
    const holder = new Issuer(), sha256 = (text) => crypto.createHash('sha256').update(text).digest('base64url');
    const { crv, kty, x, y } = holder.publicKey.export({ format: 'jwk' });
    const token = issuer.token({ sub: 'ann', cnf: { jkt: sha256(JSON.stringify({ crv, kty, x, y })) } });
    const claims = { jti: crypto.randomUUID(), htm: 'GET', htu: `${gateway.url}${path}`, ath: sha256(token), iss: undefined, sub: undefined, azp: undefined, exp: undefined };

    return { Authorization: `DPoP ${token}`, DPoP: holder.token(claims, { typ: 'dpop+jwt', kid: undefined, jwk: { crv, kty, x, y } }) };
}

function metadata(fields) {
    const m = new grpc.Metadata();

    for (const [name, value] of Object.entries(fields))
        m.set(name, value);
    return m;
}

describe('gRPC', () => {
    let client;

    before(() => (client = grpcClient(gateway.port)));
    after(() => client.close());

    const unary = (fields) => client.call('unary', 'hello', { metadata: metadata(fields) });

    test('with a token, or with a key', async () => {
        for (const fields of [{ authorization: `Bearer ${issuer.token({ sub: 'ann' })}` }, { 'x-key': (await newKey()).key }]) {
            const out = await unary(fields);

            assert.equal(out.code, grpc.status.OK, out.details);
            assert.equal(String(out.value), 'hello');
            assert.equal(echo.metadata.at(-1).authorization, undefined, 'the service does not see it');
            assert.equal(echo.metadata.at(-1)['x-key'], undefined);
        }
    });

    test('without, or with bad ones: UNAUTHENTICATED', async () => {
        for (const fields of [{}, { authorization: 'Bearer nonsense' }, { 'x-key': 'tg_nonsense' }, { authorization: `Bearer ${issuer.token({ exp: 1000 })}` }]) {
            const seen = echo.metadata.length;
            const out = await unary(fields);

            assert.equal(out.code, grpc.status.UNAUTHENTICATED, JSON.stringify(fields));
            assert.match(out.details, /\S/);
            assert.equal(echo.metadata.length, seen, 'the service was not called');
        }
    });

    test('without the scope: PERMISSION_DENIED; over a limit: RESOURCE_EXHAUSTED', async () => {
        const call = (path, fields) => new Promise((resolve) => client.client.makeUnaryRequest(path, (b) => b, (b) => b, Buffer.from('x'),
            metadata(fields), (error) => resolve(error?.code ?? 0)));
        const token = (claims) => ({ authorization: `Bearer ${issuer.token(claims)}` });

        assert.equal(await call('/scoped/demo.Echo/Unary', token({ scope: 'other' })), grpc.status.PERMISSION_DENIED);
        const codes = [];

        for (let i = 0; i < 3; i++)
            codes.push(await call('/few/demo.Echo/Unary', {}));
        assert.deepEqual(codes, [grpc.status.OK, grpc.status.OK, grpc.status.RESOURCE_EXHAUSTED]);
    });

    test('a stream ends when its token does', async () => {
        const { token, ends } = short(2);
        const chat = client.client.chat(metadata({ authorization: `Bearer ${token}` }));
        const all = gathered(chat);

        chat.write(Buffer.from('one'));
        const out = await all;
        const late = Date.now() - ends;

        assert.equal(out.code, grpc.status.UNAUTHENTICATED, out.details);
        assert.deepEqual(out.messages.map(String), ['one']);
        assert.ok(late > -50 && late < SOON_MS, `${late} ms after`);
    });

    test('a stream ends when its key is revoked', async () => {
        const { key, id } = await newKey();
        const chat = client.client.chat(metadata({ 'x-key': key }));
        const all = gathered(chat);

        chat.write(Buffer.from('one'));
        await pause(300);
        assert.equal((await run(['apikey', 'revoke', id, '--file', keys])).code, 0);
        const began = Date.now();
        const out = await all;

        assert.equal(out.code, grpc.status.UNAUTHENTICATED, out.details);
        assert.ok(Date.now() - began < SOON_MS, `${Date.now() - began} ms after`);
    });
});

describe('a WebSocket', () => {
    /** {ws, status, closed}: closed resolves to {code, reason, at}. */
    async function open(target, headers = {}) {
        const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}${target}`, { headers });
        const closed = new Promise((resolve) => ws.on('close', (code, reason) => resolve({ code, reason: String(reason), at: Date.now() })));
        const status = await new Promise((resolve) => {
            ws.on('open', () => resolve(101));
            ws.on('unexpected-response', (_, res) => {
                res.destroy();
                resolve(res.statusCode);
            });
            ws.on('error', () => {});
        });

        return { ws, status, closed };
    }

    const said = async (ws, text) => {
        ws.send(text);
        return new Promise((resolve) => ws.once('message', (m) => resolve(String(m))));
    };

    test('with a token, or with a key in header or query; the backend sees none of it', async () => {
        const { key } = await newKey();

        for (const [target, headers] of [['/live/ws', bearer(issuer.token({ sub: 'ann' }))], ['/live/ws', { 'x-key': key }], [`/live/ws?key=${key}`, {}]]) {
            const { ws, status } = await open(target, headers);

            assert.equal(status, 101);
            assert.equal(await said(ws, 'hi'), 'hi - - /ws');
            ws.close();
        }
    });

    test('without, or with bad ones, is refused before it begins', async () => {
        assert.equal((await open('/live/ws')).status, 401);
        assert.equal((await open('/live/ws', bearer('nonsense'))).status, 401);
        assert.equal((await open('/live/ws?key=tg_nonsense')).status, 401);
    });

    test('is closed with 1008 when its token ends', async () => {
        const { token, ends } = short(2);
        const { ws, closed } = await open('/live/ws', bearer(token));

        assert.match(await said(ws, 'hi'), /^hi/);
        const { code, reason, at } = await closed;

        assert.deepEqual([code, reason], [1008, 'Invalid Credentials']);
        assert.ok(at - ends > -50 && at - ends < SOON_MS, `${at - ends} ms after`);
    });

    test('is closed with 1008 when its key is revoked, and others are not', async () => {
        const [mine, other] = [await newKey(), await newKey()];
        const one = await open('/live/ws', { 'x-key': mine.key });
        const two = await open(`/live/ws?key=${other.key}`);

        assert.equal((await run(['apikey', 'revoke', mine.id, '--file', keys])).code, 0);
        const began = Date.now();
        const { code, at } = await one.closed;

        assert.equal(code, 1008);
        assert.ok(at - began < SOON_MS, `${at - began} ms after`);
        assert.match(await said(two.ws, 'still here'), /^still here/);
        two.ws.close();
    });

    test('lives on when its API has changed, whatever it was let in with', async () => {
        const { key } = await newKey();
        const all = [];

        for (const [target, headers] of [
            ['/live/ws', bearer(issuer.token({ sub: 'ann' }))], ['/live/ws', bearer('opaque-1')], ['/live/ws', withProof('/live/ws')], ['/live/ws', { 'x-key': key }], [`/live/ws?key=${key}`, {}], [`/live/ws?a=b&key=${key}`, {}],
            ['/live/ws', { cookie: `sid=${key}` }], ['/live/ws', { cookie: `a=b; sid=${key}` }],
        ]) {
            const one = await open(target, headers);

            assert.equal(one.status, 101, target);
            one.closed.then(({ code, reason }) => (one.over = `${code} ${reason}`));
            all.push([`${target} ${Object.keys(headers)}`, one]);
        }
        for (let i = 0; i < 10; i++) {
            gateway.write('live.json', live(`changed ${i}`));
            await gateway.mustReload();
            await pause(patience(i < 8 ? 50 : 1200)); // what was heard of opaque-1 is old by then
        }
        for (const [what, { ws, over }] of all) {
            assert.equal(over, undefined, what);
            assert.match(await said(ws, 'still here'), /^still here/);
            ws.close();
        }
    });

    test('is closed when its API wants more than it was let in with', async () => {
        const { key } = await newKey();
        const all = [await open(`/live/ws?key=${key}`), await open('/live/ws', bearer(issuer.token({ sub: 'ann' }))), await open('/live/ws', bearer('opaque-3'))];

        await pause(patience(1200));
        gateway.write('live.json', { ...live(), security: [{ token: ['admin'] }, { query: ['admin'] }] });
        await gateway.mustReload();
        for (const one of all)
            assert.equal((await one.closed).code, 1008);
        gateway.write('live.json', live());
        await gateway.mustReload();
    });

    test('of an opaque token is closed when its server has taken that back, not when it is away', async () => {
        const [one, two] = [await open('/live/ws', bearer('opaque-2')), await open('/live/ws', bearer('opaque-3'))];
        let over;

        one.closed.then(() => (over = true));
        judge.broken = true;
        await pause(patience(2500));
        assert.ok(!over, 'nobody could say that it is no good');
        judge.broken = false;
        judge.active.delete('opaque-2');
        assert.equal((await one.closed).code, 1008);
        assert.match(await said(two.ws, 'still here'), /^still here/);
        two.ws.close();
    });

    test('explains why it was closed', async () => {
        const { key, id } = await newKey();
        const { ws, closed } = await open('/live/ws', { 'x-key': key, activityid: 'the-closed-one' });

        await said(ws, 'hi');
        await run(['apikey', 'revoke', id, '--file', keys]);
        await closed;
        await pause(patience(200));
        const told = await run(['explain', 'the-closed-one', '--state-dir', gateway.stateDir]);

        assert.equal(told.code, 0, told.output);
        assert.match(told.stdout, new RegExp(`the API key ${id} was revoked`));
    });
});

describe('an event stream', () => {
    function open(headers) {
        return new Promise((resolve, reject) => http.get(`${gateway.url}/live/events`, { headers, agent: false }, (res) => {
            let events = 0;

            res.on('data', () => events++).on('error', () => {});
            resolve({ status: res.statusCode, events: () => events, closed: new Promise((done) => res.on('close', () => done(Date.now()))), end: () => res.destroy() });
        }).on('error', reject));
    }

    test('wants credentials', async () => {
        assert.equal((await open({})).status, 401);
        const { status, end } = await open(bearer(issuer.token({ sub: 'ann' })));

        assert.equal(status, 200);
        end();
    });

    test('ends when its token does, and not before', async () => {
        const { token, ends } = short(2);
        const lasting = await open(bearer(issuer.token({ sub: 'bob' })));
        const { status, events, closed } = await open(bearer(token));

        assert.equal(status, 200);
        const late = (await closed) - ends;

        assert.ok(late > -50 && late < SOON_MS, `${late} ms after`);
        assert.ok(events() > 5);
        const before = lasting.events();

        await until(() => lasting.events() > before, { what: 'the other to go on' });
        lasting.end();
    });

    test('ends when its key is revoked', async () => {
        const { key, id } = await newKey();
        const { closed } = await open({ 'x-key': key });

        await run(['apikey', 'revoke', id, '--file', keys]);
        const began = Date.now();

        assert.ok((await closed) - began < SOON_MS);
    });
});
