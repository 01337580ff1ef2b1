// token_servers.test.mjs - what the gateway asks others about tokens: key sets
// by URL, and introspection.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream, freePort } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

process.setMaxListeners(50); // each gateway has a folder that goes at the end

const TOKEN = { securitySchemes: { token: { type: 'oauth2', flows: {} } } };
const operation = (scopes = []) => ({ get: { responses: {}, security: [{ token: scopes }] } });
const paths = { '/any': operation(), '/read': operation(['read']) };

let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const document = (context = '/a') => openapi({ title: context.slice(1), version: '1', context, endpoints: upstream.url, paths, components: TOKEN });
const start = (options) => startGateway({ documents: { 'a.json': document() }, authentication: { failures: 0 }, threads: 2, ...options });
const ask = (gateway, token, target = '/a/any') => gateway.call(target, { headers: bearer(token) });

/** Answers with a key set that tests change. */
async function keyServer(issuers, options) {
    const server = new Upstream(options);

    server.issuers = issuers;
    server.handler = (req, res) => res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ keys: server.issuers.map((i) => i.jwk) }));
    return server.listen(options?.at ?? 0);
}

describe('A key set at a URL', () => {
    const one = new Issuer(), next = new Issuer({ kid: 'k2' }), stranger = new Issuer({ kid: 'k3' });
    const authority = new Authority();
    let keys, gateway;

    before(async () => {
        keys = await keyServer([one], { tls: { cert: authority.issue('keys').certificatePem, key: fs.readFileSync(path.join(authority.dir, 'keys-key.pem')) } });
        gateway = await start({
            files: { 'ca.pem': authority.pem },
            issuers: [{ issuer: one.issuer, jwks: `https://localhost:${keys.port}/jwks`, unknownKeyIntervalMs: 500 }],
            outbound: { allow: ['localhost'], tls: { ca: 'ca.pem' } },
        });
    });
    after(async () => {
        await gateway.stop();
        await keys.close();
    });

    test('is there for the first call', async () => {
        assert.equal((await ask(gateway, one.token())).status, 200);
        assert.equal(keys.count, 1);
        assert.equal(keys.requests[0].headers.accept, 'application/jwk-set+json, application/json');
    });

    test('is fetched once when an issuer begins to use a new key, and no call is refused for it', async () => {
        await pause(patience(600));
        keys.issuers = [one, next];
        const before = keys.count;
        const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => ask(gateway, next.token({ n }))));

        for (const answer of answers)
            assert.equal(answer.status, 200);
        assert.equal(keys.count, before + 1);
    });

    test('is not fetched for every token with an unknown key id', async () => {
        await pause(patience(600));
        const before = keys.count, begin = Date.now();

        for (let i = 0; i < 3; i++)
            for (const answer of await Promise.all(Array.from({ length: 20 }, (_, n) => ask(gateway, stranger.token({ n: 20 * i + n })))))
                assertError(answer, 401, '900901');
        assert.ok(keys.count <= before + 2 + (Date.now() - begin) / patience(500), `${keys.count - before} fetches`);
    });

    test('that lost a key refuses what it signed, also where it was known', async () => {
        const token = next.token();

        assert.equal((await ask(gateway, token)).status, 200);
        keys.issuers = [one];
        await pause(patience(600));
        await ask(gateway, stranger.token({ n: 'look' }));
        for (let i = 0; i < 6; i++)
            assertError(await ask(gateway, token), 401, '900901');
        assert.equal((await ask(gateway, one.token())).status, 200);
    });

    test('stays through an outage and a reload', async () => {
        keys.handler = (req, res) => res.writeHead(500).end();
        await pause(patience(600));
        assertError(await ask(gateway, stranger.token({ n: 'out' })), 401, '900901');
        assert.equal((await ask(gateway, one.token({ n: 1 }))).status, 200);
        gateway.configure({ limits: { headers: 90 } }); // all that is compiled is made anew
        await gateway.mustReload();
        assert.equal((await ask(gateway, one.token({ n: 2 }))).status, 200);
        assert.match(gateway.stderr, /it answered 500; the keys read before stay/);
        const metrics = await gateway.metrics();
        const of = (name) => metrics.find(name).find((s) => s.labels.keys === `https://localhost:${keys.port}/jwks`).value;

        assert.equal(of('tollgate_keyset_keys'), 1);
        assert.ok(of('tollgate_keyset_failures') >= 1);
        assert.ok(of('tollgate_keyset_age_seconds') < 60);
    });
});

describe('A key server', () => {
    const issuer = new Issuer();
    const from = (url, extra) => ({ issuers: [{ issuer: issuer.issuer, jwks: url, unknownKeyWaitMs: 300 }], ...extra });
    const allowed = { outbound: { allow: ['127.0.0.1'] } };

    async function refused(url, extra, words) {
        const gateway = await start(from(url, extra));

        try {
            assertError(await ask(gateway, issuer.token()), 500, '900900');
            await until(() => words.test(gateway.stderr), { what: `${words} in ${gateway.stderr}` });
        } finally {
            await gateway.stop();
        }
    }

    test('at a private address is not asked unless outbound.allow names it', async () => {
        const keys = await keyServer([issuer]);

        await refused(`${keys.url}/jwks`, {}, /127\.0\.0\.1:\d+.*refused: it is a loopback address, and outbound\.allow does not name it/);
        await refused(`http://localhost:${keys.port}/jwks`, { outbound: { allow: ['10.0.0.0/8', 'other.test'] } }, /refused: it is a loopback address/);
        assert.equal(keys.connections, 0);
        await keys.close();
    });

    test('that is the gateway itself is not asked, even within an allowed range', async () => {
        const port = await freePort();

        await refused(`http://127.0.0.1:${port}/metrics`, { outbound: { allow: ['127.0.0.0/8'] }, admin: { address: `127.0.0.1:${port}` } },
            /refused: it is a listener of this gateway/);
    });

    test('that redirects to another host is not followed', async () => {
        const keys = await keyServer([issuer]), first = await new Upstream({ handler: (req, res) => res.writeHead(302, { Location: `${keys.url}/jwks` }).end() }).listen();

        await refused(`${first.url}/jwks`, allowed, /redirects to another host, port or scheme/);
        assert.equal(keys.count, 0);
        await Promise.all([keys.close(), first.close()]);
    });

    test('that redirects in a circle, sends garbage, or too much, is no source of keys', async () => {
        let answer;
        const keys = await new Upstream({ handler: (req, res) => answer(res) }).listen();

        answer = (res) => res.writeHead(302, { Location: '/jwks' }).end();
        await refused(`${keys.url}/jwks`, allowed, /redirects too often/);
        answer = (res) => res.end('<html>');
        await refused(`${keys.url}/jwks`, allowed, /no key set to verify with/);
        answer = (res) => res.end(Buffer.alloc(2 << 20, 0x20));
        await refused(`${keys.url}/jwks`, allowed, /more than 1048576 bytes/);
        answer = (res) => res.socket.end('SSH-2.0-x\r\n\r\n');
        await refused(`${keys.url}/jwks`, allowed, /invalid reply/);
        await keys.close();
    });

    test('that never answers holds up nobody for long', async () => {
        const mute = net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');

        await until(() => mute.listening);
        mute.unref();
        await refused(`http://127.0.0.1:${mute.address().port}/`, { outbound: { allow: ['127.0.0.1'], timeoutMs: 600 } }, /no answer from 127\.0\.0\.1/);
        mute.close();
    });

    test('that comes up later is found', async () => {
        const port = await freePort();
        const gateway = await start(from(`http://127.0.0.1:${port}/jwks`, allowed));

        assertError(await ask(gateway, issuer.token()), 500, '900900');
        const keys = await keyServer([issuer], { at: port });

        await until(async () => (await ask(gateway, issuer.token())).status === 200, { ms: 10000, every: 100, what: 'the keys' });
        await gateway.stop();
        await keys.close();
    });

    test('may speak HTTP/2', async () => {
        const authority = new Authority(), { certificatePem, keyPem } = authority.issue('keys');
        let version;
        const server = http2.createSecureServer({ cert: certificatePem, key: keyPem, allowHTTP1: true }, (req, res) => {
            version = req.httpVersion;
            res.end(JSON.stringify(issuer.jwks));
        }).listen(0, '127.0.0.1');
        const sessions = new Set();

        server.on('session', (s) => sessions.add(s));
        await until(() => server.listening);
        const gateway = await start(from(`https://127.0.0.1:${server.address().port}/jwks`,
            { files: { 'ca.pem': authority.pem }, outbound: { allow: ['127.0.0.1'], tls: { ca: 'ca.pem' } } }));

        assert.equal((await ask(gateway, issuer.token())).status, 200);
        assert.equal(version, '2.0');
        await gateway.stop();
        sessions.forEach((s) => s.destroy());
        server.close();
    });

    test('with a certificate nobody here trusts is not believed', async () => {
        const authority = new Authority(), other = new Authority(), { certificatePem, keyPem } = authority.issue('keys');
        const keys = await keyServer([issuer], { tls: { cert: certificatePem, key: keyPem } });

        await refused(`${keys.url}/jwks`, { files: { 'ca.pem': other.pem }, outbound: { allow: ['127.0.0.1'], tls: { ca: 'ca.pem' } } },
            /connect to 127\.0\.0\.1:\d+ failed: .*certificate/);
        assert.equal(keys.count, 0);
        await keys.close();
    });
});

describe('A key file', () => {
    test('is read again when it changes, without a reload', async () => {
        const one = new Issuer(), two = new Issuer({ kid: 'k2' });
        const gateway = await start({ files: { 'keys.json': one.jwks }, issuers: [{ issuer: one.issuer, jwks: 'keys.json' }] });

        assert.equal((await ask(gateway, one.token())).status, 200);
        assertError(await ask(gateway, two.token()), 401, '900901');
        fs.writeFileSync(path.join(gateway.dir, 'keys.json'), JSON.stringify({ keys: [one.jwk, two.jwk] }));
        await until(async () => (await ask(gateway, two.token())).status === 200, { ms: 4000, every: 50, what: 'the new key' });
        fs.writeFileSync(path.join(gateway.dir, 'keys.json'), '{');
        await until(() => /the keys read before stay/.test(gateway.stderr), { what: 'the complaint' });
        assert.equal((await ask(gateway, two.token())).status, 200);
        await gateway.stop();
    });
});

/** An introspection server: tokens is what it knows. */
async function introspector(tokens, options) {
    const server = new Upstream(options);

    server.tokens = tokens;
    server.handler = (req, res, body) => {
        const token = new URLSearchParams(body.toString()).get('token');

        res.setHeader('Content-Type', 'application/json').end(JSON.stringify(server.tokens[token] ?? { active: false }));
    };
    return server.listen();
}

describe('An opaque token', () => {
    const issuer = new Issuer();
    const good = { active: true, client_id: 'app', username: 'jane', sub: 'u1', scope: 'read write' };
    let server, gateway;

    before(async () => {
        server = await introspector({ good, poor: { active: true, client_id: 'app' }, old: { active: true, exp: 1000 }, ['a+b/c=']: good });
        gateway = await start({
            files: { secret: 'pass word\n', 'keys.json': issuer.jwks },
            issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
            introspection: [{ name: 'judge', url: `${server.url}/introspect`, clientId: 'gateway', clientSecretFile: 'secret', failures: 2, pauseMs: 1000, timeoutMs: 500 }],
            outbound: { allow: ['127.0.0.1'] },
            authentication: { failures: 12 },
            threads: 1, // each has a breaker of its own
        });
    });
    after(async () => {
        await gateway.stop();
        await server.close();
    });

    test('that is active passes, is asked about once per thread, and the backend does not see it', async () => {
        server.reset();
        for (let i = 0; i < 20; i++)
            assert.equal((await ask(gateway, 'good')).status, 200);
        assert.ok(server.count >= 1 && server.count <= 2, `${server.count} questions`);
        assert.equal(upstream.last.headers.authorization, undefined);
        const { method, url, headers, body } = server.requests[0];

        assert.equal(`${method} ${url}`, 'POST /introspect');
        assert.equal(headers.authorization, `Basic ${Buffer.from('gateway:pass%20word').toString('base64')}`);
        assert.equal(body.toString(), 'token_type_hint=access_token&token=good');
    });

    test('may have any characters', async () => {
        assert.equal((await ask(gateway, 'a+b/c=')).status, 200);
    });

    test('that is not active, or has expired, gets 900901', async () => {
        for (const token of ['bad', 'bad', 'old']) {
            const answer = await ask(gateway, token);

            assertError(answer, 401, '900901');
            assert.match(answer.header('www-authenticate'), /error="invalid_token"/);
        }
    });

    test('needs the scopes of the operation', async () => {
        assert.equal((await ask(gateway, 'good', '/a/read')).status, 200);
        assertError(await ask(gateway, 'poor', '/a/read'), 403, '900910');
    });

    test('is asked about once, however many calls bring it at the same time', async () => {
        server.tokens.many = good;
        server.reset();
        const answers = await Promise.all(Array.from({ length: 60 }, () => ask(gateway, 'many')));

        for (const answer of answers)
            assert.equal(answer.status, 200);
        assert.ok(server.count <= 2, `${server.count} questions`);
    });

    test('beside signed ones, which are not asked about', async () => {
        server.reset();
        assert.equal((await ask(gateway, issuer.token())).status, 200);
        assert.equal(server.count, 0);
        server.tokens[new Issuer({ issuer: 'elsewhere' }).token()] = good;
        assert.equal((await ask(gateway, Object.keys(server.tokens).at(-1))).status, 200); // signed by somebody unknown
        assert.equal(server.count, 1);
    });

    test('whose server fails gets 900900, known ones stay good, and no address is held back', async () => {
        const answers = server.handler;

        server.handler = (req, res) => res.writeHead(503).end();
        for (let i = 0; i < 20; i++)
            assertError(await ask(gateway, `new${i}`), 500, '900900');
        assert.equal((await ask(gateway, 'good')).status, 200);
        assert.match(gateway.stderr, /judge: it answered 503; 2 failures in a row, it is asked again in/);
        server.reset();
        for (let i = 0; i < 8; i++)
            assertError(await ask(gateway, `newer${i}`), 500, '900900');
        assert.equal(server.count, 0); // it is left alone
        server.handler = answers;
        server.tokens.after = good;
        await until(async () => (await ask(gateway, 'after')).status === 200, { ms: 5000, every: 100, what: 'the breaker to close' });
        assertError(await ask(gateway, 'later'), 401, '900901');
    });

    test('whose server stalls waits no longer than configured, and a client may leave before', async () => {
        const answers = server.handler;
        const held = [];

        server.handler = (req, res) => held.push(res);
        const impatient = net.connect(gateway.port, '127.0.0.1');

        impatient.write('GET /a/any HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer slow\r\n\r\n');
        await until(() => held.length === 1, { what: 'the question' });
        impatient.destroy();
        const began = Date.now();

        assertError(await ask(gateway, 'slower'), 500, '900900');
        assert.ok(Date.now() - began >= 400);
        server.handler = answers;
        await until(async () => (await ask(gateway, 'good')).status === 200);
    });

    test('whose server sends garbage, or another host, gets 900900', async () => {
        const answers = server.handler;
        const other = await introspector({});
        let asked = 0;
        const cases = [
            (res) => res.end('<html>'),
            (res) => res.end('{"active":"true"}'),
            (res) => res.end('{"active":true,"active":false}'),
            (res) => res.end(`{"active":true,"x":"${'x'.repeat(70000)}"}`),
            (res) => res.writeHead(307, { Location: `${other.url}/introspect` }).end(),
            (res) => res.writeHead(401).end(),
            (res) => res.socket.destroy(),
        ];

        for (const [n, answer] of cases.entries()) {
            server.handler = (req, res, body) => (body.includes('fine') ? res.end(JSON.stringify(good)) : answer(res));
            await until(async () => (await ask(gateway, `fine${n}-${++asked}`)).status === 200, { every: 50, what: 'a closed breaker' });
            assertError(await ask(gateway, `odd${n}`), 500, '900900');
        }
        assert.equal(other.count, 0);
        server.handler = answers;
        await other.close();
    });
});

describe('An introspection server', () => {
    const good = { active: true, client_id: 'app' };

    test('may know the gateway by its certificate', async () => {
        const authority = new Authority(), { certificatePem, keyPem } = authority.issue('judge');
        const client = authority.issue('gateway', { client: true });
        const server = await introspector({ good }, { tls: { cert: certificatePem, key: keyPem, ca: authority.pem, requestCert: true, rejectUnauthorized: true } });
        const gateway = await start({
            files: { 'ca.pem': authority.pem, 'own.pem': client.certificatePem, 'own-key.pem': client.keyPem },
            introspection: [{ url: server.url, tls: { ca: 'ca.pem', certificate: 'own.pem', key: 'own-key.pem' } }],
            outbound: { allow: ['127.0.0.1'] },
        });

        assert.equal((await ask(gateway, 'good')).status, 200);
        assertError(await ask(gateway, 'bad'), 401, '900901');
        await gateway.stop();
        await server.close();
    });

    test('is asked before the next one, and one that fails does not decide', async () => {
        const one = await introspector({ first: good }), two = await introspector({ second: good });
        const gateway = await start({
            files: { secret: 'x' },
            introspection: [one, two].map((s, n) => ({ name: `s${n}`, url: s.url, tokenFile: 'secret' })),
            outbound: { allow: ['127.0.0.1'] },
            threads: 1,
        });

        assert.equal((await ask(gateway, 'first')).status, 200);
        assert.equal((await ask(gateway, 'second')).status, 200);
        assert.deepEqual([one.count, two.count], [2, 1]);
        assertError(await ask(gateway, 'third'), 401, '900901');
        await one.close();
        assertError(await ask(gateway, 'fourth'), 500, '900900');
        two.tokens.fifth = good;
        assert.equal((await ask(gateway, 'fifth')).status, 200);
        await gateway.stop();
        await two.close();
    });

    test('may judge signed tokens too', async () => {
        const issuer = new Issuer(), token = issuer.token();
        const server = await introspector({ [token]: good });
        const gateway = await start({
            files: { secret: 'x', 'keys.json': issuer.jwks },
            issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
            introspection: [{ url: server.url, tokenFile: 'secret', tokens: 'all' }],
            outbound: { allow: ['127.0.0.1'] },
        });

        assert.equal((await ask(gateway, token)).status, 200);
        assertError(await ask(gateway, issuer.token({ n: 2 })), 401, '900901');
        await gateway.stop();
        await server.close();
    });

    test('that is configured badly does not load', async () => {
        const bad = async (introspection, outbound, words) => assert.rejects(start({ introspection: [introspection], outbound }), (error) => {
            assert.ok(error instanceof GatewayRefused, String(error));
            assert.match(error.message + (error.stderr ?? ''), words);
            return true;
        });

        await bad({ url: 'http://127.0.0.1/' }, undefined, /introspection\[0\]\.client_id is missing/);
        await bad({ url: 'nowhere', tokenFile: 'x' }, undefined, /introspection\[0\]\.url must be/);
        await bad({ url: 'https://idp.test/', clientId: 'x' }, undefined, /client_id needs client_secret_file/);
        await bad({ url: 'https://idp.test/', tokenFile: 'missing' }, undefined, /cannot be read/);
        await bad({ url: 'https://idp.test/', tokenFile: 'missing' }, { allow: ['10.0.0.0/99'] }, /outbound\.allow lists "10\.0\.0\.0\/99"/);
    });
});
