// dpop.test.mjs - tokens that are bound to a key, and the proofs that come with
// them (RFC 9449).
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { call } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream } from './lib/upstream.mjs';
import { patience, pause } from './lib/wait.mjs';

const issuer = new Issuer();
const authority = new Authority(), certificate = authority.issue('server');
const now = () => Math.floor(Date.now() / 1000);

/** A client's key; RFC 7638 names it. */
class Holder extends Issuer {
    get bare() {
        const { kty, crv, x, y, n, e } = this.publicKey.export({ format: 'jwk' });

        return Object.fromEntries(Object.entries({ crv, e, kty, n, x, y }).filter(([, v]) => v !== undefined));
    }

    get thumbprint() {
        return crypto.createHash('sha256').update(JSON.stringify(this.bare)).digest('base64url');
    }

    proof(method, uri, token, claims = {}, header = {}) {
        const ath = crypto.createHash('sha256').update(token).digest('base64url');

        return this.token({ iss: undefined, sub: undefined, azp: undefined, exp: undefined,
            jti: crypto.randomUUID(), htm: method, htu: uri, iat: now(), ath, ...claims }, { typ: 'dpop+jwt', kid: undefined, jwk: this.bare, ...header });
    }

    bound(claims = {}) {
        return issuer.token({ cnf: { jkt: this.thumbprint }, ...claims });
    }
}

const holder = new Holder(), other = new Holder();
let upstream, gateway;

const document = (extra = {}) => openapi({
    title: 'Shop', version: '1', context: '/shop', endpoints: upstream.url,
    paths: {
        '/a': { get: { responses: {}, security: [{ token: [] }] }, post: { responses: {}, security: [{ token: [] }] } },
        '/scope': { get: { responses: {}, security: [{ token: ['admin'] }] } },
        '/open': { get: { responses: {}, security: [] } },
        '/either': { get: { responses: {}, security: [{ token: [] }, { key: [] }] } },
    },
    components: { securitySchemes: { token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } },
    ...extra,
});

const options = (more = {}) => ({
    documents: { 'shop.json': document() }, files: { 'keys.json': issuer.jwks },
    issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
    tls: { certificate: certificate.certificate, key: certificate.key },
    authentication: { failures: 0 }, ...more,
});

before(async () => {
    upstream = await new Upstream().listen();
    gateway = await startGateway(options());
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

const uri = (path = '/shop/a') => `${gateway.url}${path}`;
const dpop = (token, proof) => ({ Authorization: `DPoP ${token}`, ...(proof !== undefined && { DPoP: proof }) });
const ask = (headers, target = '/shop/a', more = {}) => gateway.call(target, { headers, ...more });

/** A call as it should be, but for what is given. */
function ask2(token, claims = {}, header = {}, target = '/shop/a') {
    return ask(dpop(token, holder.proof('GET', uri('/shop/a'), token, claims, header)), target);
}

function refused(answer, error) {
    assertError(answer, 401, '900901');
    assert.match(answer.header('www-authenticate'), new RegExp(`DPoP realm="Tollgate", algs="ES256 .*RS512", error="${error}", error_description="[^"]+"`));
}

describe('A bound token', () => {
    test('is good with a proof of its key, known or not, and neither reaches the backend', async () => {
        const token = holder.bound();

        for (let i = 0; i < 3; i++) {
            const answer = await ask2(token);

            assert.equal(answer.status, 200, answer.text);
            assert.equal(upstream.requests.at(-1).headers.authorization, undefined);
            assert.equal(upstream.requests.at(-1).headers.dpop, undefined);
        }
        assert.equal((await ask({ authorization: `dpop ${token}`, DPoP: holder.proof('POST', uri(), token) }, '/shop/a', { method: 'POST' })).status, 200);
    });

    for (const alg of ['ES384', 'ES512', 'EdDSA', 'PS256', 'RS256'])
        test(`may be bound to a key of ${alg}`, async () => {
            const one = new Holder({ alg }), token = one.bound();

            assert.equal((await ask(dpop(token, one.proof('GET', uri(), token)))).status, 200);
        });

    test('is worth nothing as a bearer token, with a proof or without', async () => {
        const token = holder.bound();

        assert.equal((await ask2(token)).status, 200);
        refused(await ask(bearer(token)), 'invalid_token');
        refused(await ask({ ...bearer(token), DPoP: holder.proof('GET', uri(), token) }), 'invalid_token');
        refused(await ask(bearer(holder.bound())), 'invalid_token');
    });

    test('needs one proof, of its own key', async () => {
        const token = holder.bound();

        for (const headers of [
            dpop(token), dpop(token, ''), dpop(token, 'x'), dpop(token, '..'), dpop(token, token),
            dpop(token, other.proof('GET', uri(), token)),
            dpop(token, other.proof('GET', uri(), token, {}, { jwk: holder.bare })),
            [['Authorization', `DPoP ${token}`], ['DPoP', holder.proof('GET', uri(), token)], ['DPoP', holder.proof('GET', uri(), token)]],
            [['Authorization', `DPoP ${token}`], ['DPoP', `${holder.proof('GET', uri(), token)}, ${holder.proof('GET', uri(), token)}`]],
        ])
            refused(await ask(headers), 'invalid_dpop_proof');
    });

    for (const [what, claims, header] of [
        ['another method', { htm: 'POST' }], ['its method in small letters', { htm: 'get' }], ['no method', { htm: undefined }],
        ['another path', () => ({ htu: uri('/shop/b') })], ['another host', () => ({ htu: 'http://evil.test/shop/a' })],
        ['another scheme', () => ({ htu: uri().replace('http:', 'https:') })], ['another port', { htu: 'http://127.0.0.1:1/shop/a' }],
        ['no URI', { htu: undefined }], ['a path alone', { htu: '/shop/a' }], ['a path below', () => ({ htu: `${uri()}/..` })],
        ['no jti', { jti: undefined }], ['an empty jti', { jti: '' }], ['a long jti', { jti: 'x'.repeat(257) }], ['a jti that is a number', { jti: 7 }],
        ['no iat', { iat: undefined }], ['an old iat', () => ({ iat: now() - 70 })], ['an iat to come', () => ({ iat: now() + 30 })],
        ['no ath', { ath: undefined }], ['the ath of another token', { ath: crypto.createHash('sha256').update('x').digest('base64url') }],
        ['another typ', {}, { typ: 'JWT' }], ['no typ', {}, { typ: undefined }], ['alg none', {}, { alg: 'none' }], ['a secret', {}, { alg: 'HS256' }],
        ['no key', {}, { jwk: undefined }], ['a private key', {}, () => ({ jwk: holder.privateKey.export({ format: 'jwk' }) })],
        ['another key', {}, () => ({ jwk: other.bare })], ['crit', {}, { crit: ['exp'] }],
        ['more than 8 KiB', { more: 'x'.repeat(9000) }],
    ])
        test(`is refused with a proof that has ${what}`, async () => {
            const token = holder.bound(), value = (x) => (typeof x === 'function' ? x() : x);

            assert.equal((await ask2(token)).status, 200);
            refused(await ask2(token, value(claims), value(header)), 'invalid_dpop_proof');
        });

    test('is good with a URI in another spelling, and whatever the query', async () => {
        const token = holder.bound();

        for (const htu of [uri().replace('http:', 'HTTP:'), uri('/shop/%61'), uri('/shop/x/../a'), `${uri()}?q=1`, `${uri()}#f`])
            assert.equal((await ask2(token, { htu })).status, 200, htu);
        assert.equal((await ask2(token, {}, {}, '/shop/a?x=1&y=2')).status, 200);
    });

    test('has limits of time as they are set', async () => {
        const token = holder.bound();

        assert.equal((await ask2(token, { iat: now() - 50 })).status, 200);
        assert.equal((await ask2(token, { iat: now() + 3 })).status, 200);
    });

    test('may lack a scope, as others', async () => {
        const token = holder.bound({ scope: 'read' }), admin = holder.bound({ scope: 'admin' });
        const answer = await ask(dpop(token, holder.proof('GET', uri('/shop/scope'), token)), '/shop/scope');

        assertError(answer, 403, '900910');
        assert.match(answer.header('www-authenticate'), /DPoP realm="Tollgate", algs="[^"]+", error="insufficient_scope"/);
        assert.equal((await ask(dpop(admin, holder.proof('GET', uri('/shop/scope'), admin)), '/shop/scope')).status, 200);
    });

    test('needs its certificate as well when it is bound to both', async () => {
        const token = holder.bound({ cnf: { jkt: holder.thumbprint, 'x5t#S256': 'x'.repeat(43) } });

        assertError(await ask2(token), 401, '900901');
    });

    test('leaves other ways open', async () => {
        const { key } = await gateway.newKey('--name', 'x');
        const token = holder.bound();

        await pause(patience(1200));
        assert.equal((await ask({ ...dpop(token, 'x'), 'X-Key': key }, '/shop/either')).status, 200);
        assertError(await ask(dpop(token, 'x'), '/shop/either'), 401);
    });
});

describe('A proof', () => {
    test('is taken once', async () => {
        const token = holder.bound(), proof = holder.proof('GET', uri(), token);

        assert.equal((await ask(dpop(token, proof))).status, 200);
        for (let i = 0; i < 3; i++)
            refused(await ask(dpop(token, proof)), 'invalid_dpop_proof');
        const jti = 'mine';

        assert.equal((await ask2(token, { jti })).status, 200);
        refused(await ask2(token, { jti }), 'invalid_dpop_proof');
        const theirs = other.bound();

        assert.equal((await ask(dpop(theirs, other.proof('GET', uri(), theirs, { jti })))).status, 200, 'another key may use the same jti');
    });

    test('that failed was not used', async () => {
        const token = holder.bound(), jti = crypto.randomUUID();

        refused(await ask2(token, { jti, htm: 'POST' }), 'invalid_dpop_proof');
        assert.equal((await ask2(token, { jti })).status, 200);
    });

    test('is taken once by all threads together', async () => {
        const many = await startGateway(options({ threads: 4 }));
        const token = holder.bound(), at = `${many.url}/shop/a`;

        for (let round = 0; round < 10; round++) {
            const proof = holder.proof('GET', at, token);
            const answers = await Promise.all(Array.from({ length: 16 }, () => many.call('/shop/a', { headers: dpop(token, proof) })));

            assert.equal(answers.filter((a) => a.status === 200).length, 1);
            assert.equal(answers.filter((a) => a.status === 401).length, 15);
        }
        await many.stop();
    });

    test('of an open operation is the backend\'s business', async () => {
        assert.equal((await ask({ DPoP: 'x' }, '/shop/open')).status, 200);
        assert.equal(upstream.requests.at(-1).headers.dpop, 'x');
    });

    test('that was refused is explained', async () => {
        const token = holder.bound(), proof = holder.proof('GET', uri(), token);

        await ask(dpop(token, proof));
        assert.match(await gateway.explain(await ask(dpop(token, proof))), /this proof was used before/);
        assert.match(await gateway.explain(await ask2(token, { htu: 'http://x.test/' })), /the proof in the field DPoP is no good: htu is another URI/);
        assert.match(await gateway.explain(await ask2(token, { ath: undefined })), /the proof in the field DPoP is no good: ath is missing/);
        assert.match(await gateway.explain(await ask(dpop(token))), /there is no proof, or more than one/);
        assert.match(await gateway.explain(await ask(bearer(token))), /was sent as if it were not \(Bearer\)/);
        assert.match(await gateway.explain(await ask(dpop(issuer.token(), proof))), /the token is bound to no key/);
    });
});

describe('A token that is bound to nothing', () => {
    test('does not come with a proof', async () => {
        const token = issuer.token();

        assert.equal((await ask(bearer(token))).status, 200);
        refused(await ask(dpop(token, holder.proof('GET', uri(), token))), 'invalid_token');
        refused(await ask(dpop(token)), 'invalid_token');
        assert.equal((await ask({ ...bearer(token), DPoP: 'x' })).status, 200, 'a field that is not asked for changes nothing');
        const answer = await ask({});

        assert.match(answer.header('www-authenticate'), /^Bearer realm="Tollgate"$/);
    });

    test('is not taken where proofs are required', async () => {
        gateway.configure({ authentication: { failures: 0, dpop: { required: true } } });
        await gateway.mustReload();
        const token = holder.bound();

        refused(await ask(bearer(issuer.token())), 'invalid_token');
        assert.equal((await ask2(token)).status, 200);
        const answer = await ask({});

        assertError(answer, 401, '900902');
        assert.match(answer.header('www-authenticate'), /^DPoP realm="Tollgate", algs="[^"]+"$/);
        gateway.configure({ authentication: { failures: 0 } });
        await gateway.mustReload();
    });
});

describe('The URI of a proof', () => {
    test('is that of TLS where there is TLS', async () => {
        const token = holder.bound();
        const over = (htu) => call({ host: '127.0.0.1', port: gateway.tlsPort }, '/shop/a', {
            host: `localhost:${gateway.tlsPort}`, tls: { ca: authority.pem, servername: 'localhost' }, headers: dpop(token, holder.proof('GET', htu, token)),
        });

        assert.equal((await over(`https://localhost:${gateway.tlsPort}/shop/a`)).status, 200);
        refused(await over(`http://localhost:${gateway.tlsPort}/shop/a`), 'invalid_dpop_proof');
    });

    test('is that of HTTP/2 as well', async () => {
        const token = holder.bound(), session = http2.connect(gateway.tlsUrl, { ca: authority.pem });
        const ask = (proof) => new Promise((resolve, reject) => {
            session.request({ ':path': '/shop/a', ...dpop(token, proof) }).on('response', (h) => resolve(h[':status'])).on('error', reject).resume().end();
        });

        assert.equal(await ask(holder.proof('GET', `${gateway.tlsUrl}/shop/a`, token)), 200);
        assert.equal(await ask(holder.proof('GET', `${gateway.tlsUrl}/shop/b`, token)), 401);
        session.close();
    });

    test('is what the client saw, when a trusted balancer says so', async () => {
        const token = holder.bound();
        const ask = (htu, headers) => gateway.call('/shop/a', { headers: { ...dpop(token, holder.proof('GET', htu, token)), ...headers } });
        const as = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'api.example.com' };

        refused(await ask('https://api.example.com/shop/a', as), 'invalid_dpop_proof');
        gateway.configure({ trustedProxies: ['127.0.0.1'] });
        await gateway.mustReload();
        assert.equal((await ask('https://api.example.com/shop/a', as)).status, 200);
        assert.equal((await ask('https://api.example.com:443/shop/a', { ...as, 'X-Forwarded-Port': '443' })).status, 200);
        assert.equal((await ask('https://api.example.com:8443/shop/a', { ...as, 'X-Forwarded-Port': '8443' })).status, 200);
        assert.equal((await ask('https://api.example.com:8443/shop/a', { ...as, 'X-Forwarded-Host': 'api.example.com:8443', 'X-Forwarded-Port': '443' })).status, 200);
        assert.equal((await ask('https://api.example.com/shop/a', { Forwarded: 'for=192.0.2.1;host="api.example.com";proto=https' })).status, 200);
        assert.equal((await ask('https://api.example.com/shop/a', { ...as, 'X-Forwarded-Host': 'evil.test, api.example.com' })).status, 200, 'the nearest peer\'s word counts');
        refused(await ask('https://evil.test/shop/a', { ...as, 'X-Forwarded-Host': 'evil.test, api.example.com' }), 'invalid_dpop_proof');
        refused(await ask(uri(), as), 'invalid_dpop_proof');
        assert.equal((await ask(uri(), {})).status, 200, 'what it does not say stays');
    });
});

describe('An opaque token', () => {
    test('is bound to the key that its server names', async () => {
        const server = await new Upstream().listen();
        const tokens = { bound: { active: true, client_id: 'app', cnf: { jkt: holder.thumbprint } }, bare: { active: true, client_id: 'app' } };

        server.handler = (req, res, body) => res.setHeader('Content-Type', 'application/json')
            .end(JSON.stringify(tokens[new URLSearchParams(body.toString()).get('token')] ?? { active: false }));
        const asking = await startGateway(options({
            files: { secret: 'x' }, issuers: undefined, outbound: { allow: ['127.0.0.1'] },
            introspection: [{ url: server.url, clientId: 'gateway', clientSecretFile: 'secret' }],
        }));
        const ask = (headers) => asking.call('/shop/a', { headers }), at = `${asking.url}/shop/a`;

        for (let i = 0; i < 2; i++) { // asked about, and known
            const proof = holder.proof('GET', at, 'bound');

            assert.equal((await ask(dpop('bound', proof))).status, 200);
            refused(await ask(dpop('bound', proof)), 'invalid_dpop_proof');
            refused(await ask(bearer('bound')), 'invalid_token');
            refused(await ask(dpop('bound', other.proof('GET', at, 'bound'))), 'invalid_dpop_proof');
            refused(await ask(dpop('bare', holder.proof('GET', at, 'bare'))), 'invalid_token');
            assert.equal((await ask(bearer('bare'))).status, 200);
        }
        await asking.stop();
        await server.close();
    });
});

describe('Failed proofs', () => {
    test('of an address are counted', async () => {
        const strict = await startGateway(options({ authentication: { failures: 3, window: '1h' } }));
        const token = holder.bound(), at = `${strict.url}/shop/a`;
        const ask = (proof, one = token) => strict.call('/shop/a', { headers: dpop(one, proof) });

        assert.equal((await ask(holder.proof('GET', at, token))).status, 200);
        for (let i = 0; i < 3; i++)
            assertError(await ask('x'), 401, '900901');
        assertError(await ask('x', holder.bound()), 429);
        await strict.stop();
    });
});

describe('A table of proofs that is full', () => {
    test('takes none, and says that it is not the caller\'s fault', async () => {
        const small = await startGateway(options({ authentication: { failures: 0, dpop: { replays: 4096 } } }));
        const token = holder.bound(), at = `${small.url}/shop/a`;
        const jobs = Array.from({ length: 1100 }, (_, i) => i);
        const statuses = {};

        await Promise.all(Array.from({ length: 8 }, async () => {
            while (jobs.pop() !== undefined) {
                const { status } = await small.call('/shop/a', { headers: dpop(token, holder.proof('GET', at, token)) });

                statuses[status] = (statuses[status] ?? 0) + 1;
            }
        }));
        // A quarter of the table is one key's share in a minute; two minutes may be touched.
        assert.ok(statuses[200] >= 1000 && statuses[200] <= 1100, JSON.stringify(statuses));
        if (statuses[500] === undefined)
            return small.stop();
        assertError(await small.call('/shop/a', { headers: dpop(token, holder.proof('GET', at, token)) }), 500, '900900');
        const theirs = other.bound();

        assert.equal((await small.call('/shop/a', { headers: dpop(theirs, other.proof('GET', at, theirs)) })).status, 200, 'others are not harmed');
        await small.stop();
    });
});
