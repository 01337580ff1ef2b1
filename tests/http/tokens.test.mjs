// tokens.test.mjs - signed tokens, scopes and client certificates.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { call } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream } from './lib/upstream.mjs';

const DATA = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../data');
const TOKEN = { securitySchemes: { token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } };

const operation = (security, extra) => ({ get: { responses: {}, security, ...extra } });
const api = (context, paths, extra) => openapi({ title: context.slice(1), version: '1', context, endpoints: upstream.url, paths, components: TOKEN, ...extra });

let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const one = new Issuer(), two = new Issuer({ issuer: 'https://two.test', alg: 'RS256', kid: 'r' });
const hmac = new Issuer({ issuer: 'hmac', alg: 'HS256', secret: 'x'.repeat(40) });

describe('A token', () => {
    let gateway;
    const ask = (target, token, headers) => gateway.call(target, { headers: { ...(token && bearer(token)), ...headers } });

    before(async () => {
        gateway = await startGateway({
            documents: {
                'a.json': api('/a', {
                    '/any': operation([{ token: [] }]),
                    '/both': operation([{ token: ['read', 'write'] }]),
                    '/some': operation([{ token: [] }], { 'x-scopes': ['read', 'write'] }),
                    '/or': operation([{ token: ['admin'] }, { key: [] }]),
                    '/open': operation([{ token: [] }, {}]),
                    '/app': operation([{ token: [] }], { 'x-auth-type': 'Application' }),
                    '/user': operation([{ token: [] }], { 'x-auth-type': 'Application User' }),
                    '/free': operation([]),
                }),
                'b.json': api('/b', { '/x': operation([{ token: [] }]) }, { 'x-wso2-auth-header': 'X-Auth' }),
            },
            files: { 'one.json': one.jwks, 'two.json': two.jwks, secret: `${hmac.secret}\n` },
            apis: ['a.json', { path: 'b.json', issuers: ['second'] }],
            issuers: [
                { issuer: one.issuer, jwks: 'one.json', audiences: ['https://api.test', 'other'], claims: ['sub', 'plan=gold'] },
                { name: 'second', issuer: two.issuer, jwks: 'two.json', scopesClaim: 'permissions' },
                { issuer: hmac.issuer, secretFile: 'secret' },
            ],
            authentication: { failures: 0 },
            threads: 2,
        });
    });
    after(() => gateway.stop());

    const good = (claims, header) => one.token({ aud: 'https://api.test', plan: 'gold', ...claims }, header);

    test('of a configured issuer passes, and the backend does not see it', async () => {
        for (let i = 0; i < 5; i++)
            assert.equal((await ask('/a/any', good({ n: i % 2 }))).status, 200);
        assert.equal(upstream.requests.at(-1).headers.authorization, undefined);
        assert.equal((await ask('/a/any', two.token())).status, 200);
        assert.equal((await ask('/a/any', hmac.token())).status, 200);
    });

    test('that is missing or of another kind gets 900902', async () => {
        for (const headers of [{}, { Authorization: 'Basic YTpi' }, { Authorization: 'Bearer' }]) {
            const answer = await ask('/a/any', null, headers);

            assertError(answer, 401, '900902');
            assert.equal(answer.header('www-authenticate'), 'Bearer realm="Tollgate"');
        }
    });

    test('that is no good gets 900901, the first time and again', async () => {
        const other = new Issuer();
        const t = good();
        const wrong = {
            expired: good({ exp: Math.floor(Date.now() / 1000) - 60 }),
            'not yet valid': good({ nbf: Math.floor(Date.now() / 1000) + 3600 }),
            'of an unknown issuer': new Issuer({ issuer: 'https://nobody.test' }).token(),
            'signed by somebody else': other.token({ aud: 'other', plan: 'gold' }),
            'of an unknown key': good({}, { kid: 'k9' }),
            tampered: t.slice(0, -8) + 'AAAAAAAA',
            'without a claim that must be there': good({ sub: undefined }),
            'with another value of it': good({ plan: 'silver' }),
            'of another type': good({}, { typ: 'dpop+jwt' }),
            'not one': 'x.y.z',
            'too long': good({ pad: 'p'.repeat(15000) }),
        };

        for (const [what, token] of Object.entries(wrong))
            for (let i = 0; i < 3; i++) {
                const answer = await ask('/a/any', token);

                assertError(answer, 401, '900901');
                assert.match(answer.header('www-authenticate'), /^Bearer realm="Tollgate", error="invalid_token", error_description="/, what);
                assert.ok(!answer.text.includes(token.slice(0, 20)), 'nothing is echoed');
            }
        assert.match((await ask('/a/any', wrong.expired)).header('www-authenticate'), /expired/);
    });

    test('for another audience gets 403', async () => {
        assertError(await ask('/a/any', good({ aud: ['x', 'y'] })), 403, '900914');
        assert.equal((await ask('/a/any', good({ aud: ['x', 'other'] }))).status, 200);
    });

    test('needs all scopes of security, or any of x-scopes', async () => {
        const status = async (target, scope) => (await ask(target, good({ scope }))).status;

        assert.equal(await status('/a/both', 'write read'), 200);
        assert.equal(await status('/a/both', ['read', 'write']), 200);
        assert.equal(await status('/a/some', 'write'), 200);
        const answer = await ask('/a/both', good({ scope: 'read' }));

        assertError(answer, 403, '900910');
        assert.match(answer.header('www-authenticate'), /error="insufficient_scope"/);
        assertError(await ask('/a/some', good({ scope: 'reader' })), 403, '900910');
        assert.equal((await ask('/a/both', two.token({ permissions: ['read', 'write'] }))).status, 200);
    });

    test('is one of several ways', async () => {
        assertError(await ask('/a/or', good()), 403, '900910');
        assertError(await ask('/a/or', null, { 'X-Key': 'nonsense' }), 401, '900901');
        assertError(await ask('/a/or', 'a.b.c', { 'X-Key': 'nonsense' }), 401, '900912');
        assertError(await ask('/a/or'), 401, '900902');
        assert.equal((await ask('/a/open')).status, 200);
        assertError(await ask('/a/open', 'a.b.c'), 401, '900901');
        assert.equal((await ask('/a/free', 'a.b.c')).status, 200);
    });

    test('may have to be for an application, or for a user', async () => {
        const app = good({ sub: 'app-1' }), user = good();

        assert.equal((await ask('/a/app', app)).status, 200);
        assertError(await ask('/a/app', user), 401, '900905');
        assert.equal((await ask('/a/user', user)).status, 200);
        assertError(await ask('/a/user', app), 401, '900905');
        assert.equal((await ask('/a/app', good({ aut: 'APPLICATION' }))).status, 200);
    });

    test('is trusted per API, and may come in another header', async () => {
        const x = (token) => ask('/b/x', null, { 'X-Auth': `Bearer ${token}` });

        assert.equal((await x(two.token())).status, 200);
        assert.equal(upstream.requests.at(-1).headers['x-auth'], undefined);
        assertError(await x(good()), 401, '900901');
        assert.equal((await ask('/a/any', good())).status, 200);
        assertError(await ask('/b/x', two.token()), 401, '900902');
    });

    test('is asked for again when the clock says so', async () => {
        const token = good({ exp: Math.floor(Date.now() / 1000) - 2 }); // within the skew of 5 s

        assert.equal((await ask('/a/any', token)).status, 200);
        await new Promise((resolve) => setTimeout(resolve, 4500));
        assertError(await ask('/a/any', token), 401, '900901');
    });
});

describe('Forged tokens', () => {
    const { policy, vectors } = JSON.parse(fs.readFileSync(path.join(DATA, 'jose/attacks.json')));

    test('are refused, and good ones taken', async (t) => {
        const gateway = await startGateway({
            documents: { 'a.json': api('/a', { '/x': operation([{ token: [] }]) }) },
            files: { 'keys.json': policy.jwks },
            issuers: [{
                issuer: policy.issuer, jwks: 'keys.json', audiences: [policy.audience], algorithms: policy.algorithms,
                skewMs: policy.clock_skew_s * 1000, claims: policy.required,
            }],
            authentication: { failures: 0 },
        });

        t.after(() => gateway.stop());
        let sent = 0;

        for (const { id, token, expect } of vectors) {
            if (/[^\x21-\x7e]/.test(token))
                continue; // cannot stand in a header
            const { status } = await gateway.call('/a/x', { headers: bearer(token) });

            sent++;
            if (expect === 'accept')
                assert.equal(status, 200, id);
            else if (expect === 'reject')
                assert.ok(status === 401 || status === 403 || status === 431, `${id}: ${status}`);
            else
                assert.ok(status < 500, `${id}: ${status}`);
        }
        assert.ok(sent > 70, `${sent} of ${vectors.length} were sent`);
    });
});

describe('Failed attempts', () => {
    test('of one address end in 429, while good tokens go on', async (t) => {
        const gateway = await startGateway({
            documents: { 'a.json': api('/a', { '/x': operation([{ token: [] }, { key: [] }]) }) },
            files: { 'one.json': one.jwks },
            issuers: [{ issuer: one.issuer, jwks: 'one.json' }],
            authentication: { failures: 20, window: '1h' },
            trustedProxies: ['127.0.0.1'],
        });
        const from = (address, token) => gateway.call('/a/x', { headers: { ...bearer(token), 'X-Forwarded-For': address } });
        const known = one.token();

        t.after(() => gateway.stop());
        assert.equal((await from('10.0.0.1', known)).status, 200);
        for (let i = 0; i < 20; i++)
            assertError(await from('10.0.0.1', one.token({ iss: 'no', i })), 401, '900901');
        const answer = await from('10.0.0.1', one.token({ i: 21 }));

        assertError(answer, 429, '429');
        assert.ok(Number(answer.header('retry-after')) > 0);
        assert.equal((await from('10.0.0.1', known)).status, 200, 'what is known to be good goes on');
        assert.equal((await from('10.0.0.2', one.token({ i: 22 }))).status, 200, 'others do not feel it');
    });
});

describe('A client certificate', () => {
    const authority = new Authority(), stranger = new Authority('Another CA');
    const server = authority.issue('server');
    const known = authority.issue('known', { client: true }), other = authority.issue('other', { client: true });
    let gateway;

    const ask = (target, certificate, headers) => call({ host: '127.0.0.1', port: gateway.tlsPort }, target, {
        tls: { ca: authority.pem, servername: 'localhost', ...(certificate && { cert: certificate.certificatePem, key: certificate.keyPem }) }, headers,
    });

    before(async () => {
        gateway = await startGateway({
            documents: {
                'any.json': api('/any', { '/x': 'get' }, { 'x-wso2-mutual-ssl': 'mandatory' }),
                'pin.json': api('/pin', { '/x': 'get' }, { 'x-wso2-mutual-ssl': 'mandatory' }),
                'or.json': api('/or', { '/x': operation([{ token: [] }]) }, { 'x-wso2-mutual-ssl': 'optional' }),
                'and.json': api('/and', { '/x': operation([{ token: [] }]) }, { 'x-wso2-mutual-ssl': 'mandatory' }),
            },
            files: { 'one.json': one.jwks, 'known.pem': known.certificatePem },
            apis: ['any.json', { path: 'pin.json', certificates: ['known.pem'] }, 'or.json', 'and.json'],
            issuers: [{ issuer: one.issuer, jwks: 'one.json' }],
            tls: { certificate: server.certificate, key: server.key, clientCa: authority.certificate, clientVerify: 'optional' },
        });
    });
    after(() => gateway.stop());

    test('is asked for', async () => {
        assert.equal((await ask('/any/x', known)).status, 200);
        assertError(await ask('/any/x'), 401, '900911');
        assertError(await gateway.call('/any/x'), 401, '900911');
        await assert.rejects(ask('/any/x', stranger.issue('evil', { client: true })));
    });

    test('may have to be a certain one', async () => {
        assert.equal((await ask('/pin/x', known)).status, 200);
        assertError(await ask('/pin/x', other), 401, '900911');
    });

    test('is enough, or asked for beside a token', async () => {
        assert.equal((await ask('/or/x', other)).status, 200);
        assert.equal((await ask('/or/x', null, bearer(one.token()))).status, 200);
        assertError(await ask('/or/x'), 401, '900902');
        assert.equal((await ask('/and/x', known, bearer(one.token()))).status, 200);
        assertError(await ask('/and/x', null, bearer(one.token())), 401, '900911');
        assertError(await ask('/and/x', known), 401, '900902');
    });

    test('must be the one a token is bound to', async () => {
        const thumbprint = crypto.createHash('sha256').update(new crypto.X509Certificate(known.certificatePem).raw).digest('base64url');
        const token = one.token({ cnf: { 'x5t#S256': thumbprint } });

        for (let i = 0; i < 2; i++) {
            assert.equal((await ask('/or/x', known, bearer(token))).status, 200);
            assertError(await ask('/and/x', other, bearer(token)), 401, '900901');
            assertError(await ask('/or/x', null, bearer(token)), 401, '900901');
        }
    });
});

describe('What nothing can check', () => {
    const refused = async (options, text) => {
        const error = await startGateway(options).then((g) => g.stop(), (e) => e);

        assert.ok(error instanceof GatewayRefused, 'it must not be served');
        assert.match(error.stderr, text);
    };

    test('is not served, and the message says what to write', async () => {
        const documents = { 'a.json': api('/a', { '/x': operation([{ token: [] }]) }) };

        await refused({ documents }, /GET \/x requires token \(oauth2\), and no issuer is configured.*issuers: \[\{issuer: https:\/\/idp\.example\.com, jwks:/);
        await refused({ documents: { 'a.json': api('/a', { '/x': 'get' }, { 'x-wso2-mutual-ssl': 'mandatory' }) } }, /no listener asks for a certificate.*client_ca/);
    });

    test('is found in settings too', async () => {
        const documents = { 'a.json': api('/a', { '/x': 'get' }) };
        const issuer = (conf) => ({ documents, files: { 'one.json': one.jwks, bad: '{"keys":[]}', short: 'short' }, issuers: [{ issuer: 'x', ...conf }] });

        await refused(issuer({}), /gateway\.issuers\[0\]\.jwks is missing: say where its keys are/);
        await refused(issuer({ jwks: 'one.json', certificate: 'one.json' }), /stands beside/);
        await refused(issuer({ jwks: 'nowhere.json' }), /nowhere\.json, which cannot be read/);
        await refused(issuer({ jwks: 'bad' }), /bad, which is no key set/);
        await refused(issuer({ secretFile: 'short' }), /short, which is no secret/);
        await refused(issuer({ jwks: 'one.json', algorithms: ['HS256'] }), /"HS256", which is none for public keys/);
        await refused(issuer({ jwks: 'one.json', algorithms: ['none'] }), /"none"/);
    });
});
