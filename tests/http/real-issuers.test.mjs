// real-issuers.test.mjs - two authorization servers that others wrote, both at
// once: their signed tokens by key set, their tokens by introspection, keys
// that change and servers that go away while calls go on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { Glewlwyd, OidcProvider } from './lib/issuers.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Load } from './lib/load.mjs';
import { Upstream } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

process.setMaxListeners(50);

const TOKEN = { securitySchemes: { token: { type: 'oauth2', flows: {} } } };
const operation = (scopes) => ({ get: { responses: {}, security: [{ token: scopes }] } });
const paths = { '/any': operation([]), '/read': operation(['read']), '/write': operation(['write']) };

const oidc = new OidcProvider(), glewlwyd = new Glewlwyd();
const both = [oidc, glewlwyd];
let upstream;

before(async () => {
    assert.ok(!Glewlwyd.missing, Glewlwyd.missing);
    upstream = await new Upstream().listen();
    await Promise.all(both.map((issuer) => issuer.start()));
});
after(() => Promise.all([upstream?.close(), ...both.map((issuer) => issuer.child && issuer.stop())]));

const document = (context) => openapi({ title: context.slice(1), version: '1', context, endpoints: upstream.url, paths, components: TOKEN });
const ask = (gateway, token, target) => gateway.call(target, { headers: bearer(token) });

/** /signed trusts both issuers, /first one of them, /asked the word of both servers. */
function start(options = {}) {
    const { keys, questions, ...rest } = options;

    return startGateway({
        documents: { 'signed.json': document('/signed'), 'first.json': document('/first'), 'asked.json': document('/asked') },
        files: Object.fromEntries(both.map((i) => [`${i.name}.secret`, i.gateway.secret])),
        apis: [
            { path: 'signed.json', issuers: both.map((i) => i.name) },
            { path: 'first.json', issuers: [oidc.name] },
            { path: 'asked.json', issuers: both.map((i) => `ask ${i.name}`) },
        ],
        issuers: both.map((i) => ({
            name: i.name, issuer: i.issuer, jwks: i.jwks, unknownKeyIntervalMs: 300,
            ...(i === oidc && { audiences: ['https://api.test'] }), ...keys,
        })),
        introspection: both.map((i) => ({
            name: `ask ${i.name}`, url: i.introspection, clientId: i.gateway.clientId, clientSecretFile: `${i.name}.secret`, ...questions,
        })),
        outbound: { allow: ['127.0.0.1'] },
        authentication: { failures: 0 },
        threads: 2,
        ...rest,
    });
}

/** Calls with the tokens of a list that may grow; every answer must be 200. */
const callWith = (gateway, tokens, target, rate = 300, connections = 8) =>
    new Load(gateway.port, { rate, connections, request: (n) => ({ path: target, headers: bearer(tokens[n % tokens.length]) }) }).start();

function assertAllWell(load, least) {
    assert.deepEqual(load.failures.slice(0, 5), [], `${load.failures.length} of ${load.issued} calls`);
    assert.ok(load.done >= least, `${load.done} calls`);
}

describe('Tokens of oidc-provider and glewlwyd', () => {
    let gateway;

    before(async () => (gateway = await start()));
    after(() => gateway.stop());

    test('are verified with the keys of their issuers', async () => {
        for (const issuer of both)
            for (let i = 0; i < 3; i++)
                assert.equal((await ask(gateway, await issuer.token(), '/signed/any')).status, 200, issuer.name);
    });

    test('are asked about where an API wants that', async () => {
        for (const token of [await oidc.opaqueToken(), await glewlwyd.token()])
            for (let i = 0; i < 3; i++)
                assert.equal((await ask(gateway, token, '/asked/any')).status, 200);
    });

    test('need the scopes of the operation', async () => {
        for (const [target, get] of [
            ['/signed', (scope) => oidc.token(scope)], ['/signed', (scope) => glewlwyd.token(scope)],
            ['/asked', (scope) => oidc.opaqueToken(scope)], ['/asked', (scope) => glewlwyd.token(scope)],
        ]) {
            const read = await get('read'), all = await get('read write');

            assert.equal((await ask(gateway, read, `${target}/read`)).status, 200);
            assertError(await ask(gateway, read, `${target}/write`), 403, '900910');
            assert.equal((await ask(gateway, all, `${target}/write`)).status, 200);
        }
    });

    test('are good only where their issuer is trusted', async () => {
        assert.equal((await ask(gateway, await oidc.token(), '/first/any')).status, 200);
        assertError(await ask(gateway, await glewlwyd.token(), '/first/any'), 401, '900901');
    });

    test('of a third issuer are refused, whatever they say they are', async () => {
        const third = new Issuer({ issuer: 'https://third.test' });
        const audience = { aud: 'https://api.test' };
        const imitations = both.map((i) => new Issuer({ issuer: i.issuer, alg: i.keys[0].alg, kid: i.keys[0].kid }).token(audience));

        for (const token of [third.token(audience), ...imitations])
            assertError(await ask(gateway, token, '/signed/any'), 401, '900901');
        for (const token of ['nobody-has-this', third.token(audience)])
            assertError(await ask(gateway, token, '/asked/any'), 401, '900901');
    });

    test('that was signed and has another signature is refused', async () => {
        for (const issuer of both) {
            const [one, other] = [await issuer.token(), await issuer.token('write')].map((t) => t.split('.'));

            assertError(await ask(gateway, `${one[0]}.${one[1]}.${other[2]}`, '/signed/any'), 401, '900901');
        }
    });

    test('that are taken back are refused when they are asked about again', async () => {
        const short = await start({ questions: { cacheMs: 500 } });
        const token = await oidc.opaqueToken();

        assert.equal((await ask(short, token, '/asked/any')).status, 200);
        await oidc.revoke(token);
        await until(async () => (await ask(short, token, '/asked/any')).status === 401, { ms: 3000, every: 50, what: 'the refusal' });
        await short.stop();
    });
});

describe('New keys', () => {
    test('cost no call that brings a token of them, nor one with an older token', async () => {
        // As often as it may be, and at once: also right after keys were fetched.
        const gateway = await start({ keys: { unknownKeyIntervalMs: undefined } });
        const tokens = [await oidc.token(), await glewlwyd.token()];
        const load = callWith(gateway, tokens, '/signed/read', 300, 40);

        try {
            for (let round = 0; round < 3; round++) {
                for (const issuer of both) {
                    await issuer.rotate();
                    for (let i = 0; i < 5; i++)
                        tokens.push(await issuer.token());
                }
            }
            await pause(patience(3000));
        } finally {
            await load.stop();
        }
        assertAllWell(load, 500);
        const kids = new Set(tokens.map((t) => JSON.parse(Buffer.from(t.split('.')[0], 'base64url')).kid));

        assert.deepEqual([...kids].sort(), ['g1', 'g2', 'g3', 'g4', 'o1', 'o2', 'o3', 'o4']);
        await gateway.stop();
    });

    test('make those good for nothing that are no longer in the set', async () => {
        const gateway = await start({ keys: { refreshMs: 1000 } });
        const old = [await oidc.token(), await glewlwyd.token()];

        for (const token of old)
            assert.equal((await ask(gateway, token, '/signed/any')).status, 200);
        for (const issuer of both) {
            await issuer.rotate();
            issuer.keys = issuer.keys.slice(0, 1);
        }
        await oidc.takeKeys();
        await glewlwyd.administer('PUT', '/mod/plugin/oidc', glewlwyd.plugin());
        await glewlwyd.administer('PUT', '/mod/plugin/oidc/reset');
        for (const token of old)
            await until(async () => (await ask(gateway, token, '/signed/any')).status === 401, { ms: 4000, every: 50, what: 'the refusal' });
        for (const issuer of both)
            assert.equal((await ask(gateway, await issuer.token(), '/signed/any')).status, 200);
        await gateway.stop();
    });
});

describe('An issuer that is gone', () => {
    test('costs no call with a token of its keys, seen before or not', async () => {
        const gateway = await start({ keys: { refreshMs: 1000 } });
        const tokens = await Promise.all(both.flatMap((issuer) => Array.from({ length: 3 }, () => issuer.token())));
        const later = await Promise.all(both.flatMap((issuer) => Array.from({ length: 60 }, () => issuer.token())));
        const load = callWith(gateway, tokens, '/signed/read');

        try {
            await pause(300);
            await Promise.all(both.map((issuer) => issuer.stop()));
            while (later.length) { // none of these was ever shown before
                tokens.push(...later.splice(0, 4));
                await pause(patience(80));
            }
            for (const issuer of both)
                await until(() => gateway.stderr.includes(`127.0.0.1:${issuer.port}`), { what: 'the complaint about its keys' });
            await Promise.all(both.map((issuer) => issuer.start()));
            tokens.push(await oidc.token(), await glewlwyd.token());
            await pause(300);
            await until(() => load.done >= 500, { what: '500 calls' });
        } finally {
            await load.stop();
        }
        assertAllWell(load, 500);
        await gateway.stop();
    });

    test('leaves good what it had said, and the rest gets 500: nobody is refused for its absence', async () => {
        const gateway = await start({ questions: { failures: 3, pauseMs: 500, timeoutMs: 1000 } });
        const known = [await oidc.opaqueToken(), await glewlwyd.token()], unknown = [await oidc.opaqueToken(), await glewlwyd.token()];

        for (const token of known) // each thread asks for itself
            for (let i = 0; i < 12; i++)
                assert.equal((await ask(gateway, token, '/asked/any')).status, 200);
        const load = callWith(gateway, known, '/asked/read', 200);

        try {
            await oidc.stop();
            for (let i = 0; i < 8; i++) {
                assertError(await ask(gateway, unknown[0], '/asked/any'), 500, '900900');
                assertError(await ask(gateway, `nobody-has-this-${i}`, '/asked/any'), 500, '900900');
            }
            assert.equal((await ask(gateway, unknown[1], '/asked/any')).status, 200, 'the other server knows it');
            await glewlwyd.stop();
            for (let i = 0; i < 8; i++)
                assertError(await ask(gateway, `not-this-either-${i}`, '/asked/any'), 500, '900900');
            await pause(patience(300));
            await Promise.all(both.map((issuer) => issuer.start()));
            const fresh = [await oidc.opaqueToken(), await glewlwyd.token()];

            for (const token of fresh)
                await until(async () => (await ask(gateway, token, '/asked/any')).status === 200, { ms: 8000, every: 100, what: 'the servers to be asked again' });
            assertError(await ask(gateway, 'nobody-has-this', '/asked/any'), 401, '900901');
            await until(() => load.done >= 200, { what: '200 calls' });
        } finally {
            await load.stop();
        }
        assertAllWell(load, 200);
        await gateway.stop();
    });
});
