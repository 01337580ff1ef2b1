// passed-certificates.test.mjs - client certificates that a balancer passes on
// in a field: believed from trusted_proxies, from nobody else.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { NGINX, Nginx } from './lib/nginx.mjs';
import { call } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream } from './lib/upstream.mjs';

const FIELD = 'X-WSO2-CLIENT-CERTIFICATE';
const authority = new Authority(), stranger = new Authority('Another CA');
const server = authority.issue('server');
const known = authority.issue('known', { client: true }), other = authority.issue('other', { client: true });
const evil = stranger.issue('evil', { client: true }), pinned = stranger.issue('pinned', { client: true });
const issuer = new Issuer();

const der = ({ certificatePem }) => new crypto.X509Certificate(certificatePem).raw;
/** A list is sent as several fields. */
const fields = (headers) => Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
const escaped = (c) => encodeURIComponent(c.certificatePem);
const thumbprint = (c) => crypto.createHash('sha256').update(der(c)).digest('base64url');
const bound = (c, claims = {}) => bearer(issuer.token({ cnf: { 'x5t#S256': thumbprint(c) }, ...claims }));

let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const api = (context, extra, paths = { '/x': 'get' }) => openapi({ title: context.slice(1), version: '1', context, endpoints: upstream.url, paths, ...extra });

function options(more = {}) {
    return {
        documents: {
            'any.json': api('/any', { 'x-wso2-mutual-ssl': 'mandatory' }),
            'pin.json': api('/pin', { 'x-wso2-mutual-ssl': 'mandatory' }),
            'token.json': api('/token', { components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } } },
                { '/x': { get: { responses: {}, security: [{ token: [] }] } } }),
            'open.json': api('/open', {}, { '/x': { get: { responses: {}, security: [] } } }),
        },
        files: { 'pinned.pem': pinned.certificatePem, 'keys.json': issuer.jwks },
        apis: ['any.json', { path: 'pin.json', certificates: ['pinned.pem'] }, 'token.json', 'open.json'],
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
        tls: { certificate: server.certificate, key: server.key, clientCa: authority.certificate, clientVerify: 'optional' },
        trustedProxies: ['127.0.0.1'],
        authentication: { certificateCa: authority.certificate, failures: 0 },
        ...more,
    };
}

const seen = () => upstream.requests.at(-1).headers;

describe('A certificate in the field of a balancer', () => {
    let gateway;
    const ask = (target, value, headers = {}) => gateway.call(target, { headers: fields({ ...(value !== undefined && { [FIELD]: value }), ...headers }) });

    before(async () => (gateway = await startGateway(options())));
    after(() => gateway.stop());

    for (const [form, make] of Object.entries({
        'PEM with escapes (nginx)': escaped,
        'PEM with escapes, in lower case': (c) => escaped(c).replace(/%[0-9A-F]{2}/g, (x) => x.toLowerCase()),
        'PEM with escapes and plus signs': (c) => escaped(c).replaceAll('%20', '+'),
        'PEM with spaces where lines ended (Apache)': (c) => c.certificatePem.trim().replaceAll('\n', ' '),
        'DER in base64 (HAProxy)': (c) => der(c).toString('base64'),
        'PEM in base64': (c) => Buffer.from(c.certificatePem).toString('base64'),
        'DER in base64 with escapes': (c) => encodeURIComponent(der(c).toString('base64')),
    }))
        test(`is taken as ${form}, and does not reach the backend`, async () => {
            for (let i = 0; i < 2; i++) { // new, and known
                const answer = await ask('/any/x', make(known));

                assert.equal(answer.status, 200, answer.text);
                assert.equal(seen()[FIELD.toLowerCase()], undefined);
                assertError(await ask('/any/x', make(evil)), 401, '900911');
            }
        });

    test('is held against the ones an API names', async () => {
        assert.equal((await ask('/pin/x', escaped(pinned))).status, 200);
        assertError(await ask('/pin/x', escaped(known)), 401, '900911');
        assertError(await ask('/any/x', escaped(pinned)), 401, '900911');
        assertError(await ask('/any/x', escaped(server)), 401, '900911'); // not for clients
    });

    for (const [what, value] of Object.entries({
        'nothing at all': '', garbage: 'garbage', 'half an escape': `${escaped(known).slice(0, 60)}%2`,
        'two certificates': escaped({ certificatePem: known.certificatePem + other.certificatePem }),
        'a certificate and more': `${escaped(known)}x`,
        'DER and more': Buffer.concat([der(known), Buffer.from('x')]).toString('base64'),
        'DER cut off': der(known).subarray(0, 200).toString('base64'),
        'an end alone': '-----BEGIN CERTIFICATE-----END CERTIFICATE-----',
        'an empty one': '-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----',
        'a key': encodeURIComponent(known.keyPem),
        'an altered byte': der(known).map((b, i) => (i === 300 ? b ^ 1 : b)).toString('base64'),
        'NUL bytes': '%00'.repeat(100),
    }))
        test(`is not ${what}`, async () => {
            assertError(await ask('/any/x', value), 401, '900911');
        });

    test('is not a megabyte, nor sent twice', async () => {
        assert.equal((await ask('/any/x', 'a'.repeat(1 << 20))).status, 431);
        assertError(await ask('/any/x', 'a'.repeat(20000)), 401, '900911');
        assertError(await ask('/any/x', [escaped(known), escaped(known)]), 401, '900911');
        assertError(await ask('/any/x', [escaped(known), escaped(evil)]), 401, '900911');
        assertError(await ask('/any/x', `${escaped(known)}, ${escaped(other)}`), 401, '900911');
    });

    test('is what a bound token must be bound to', async () => {
        assert.equal((await ask('/token/x', escaped(known), bound(known))).status, 200);
        assert.equal(seen()[FIELD.toLowerCase()], undefined);
        // A balancer has seen that the client has the key; who signed it does not matter.
        assert.equal((await ask('/token/x', escaped(evil), bound(evil))).status, 200);
        assertError(await ask('/token/x', escaped(other), bound(known)), 401, '900901');
        assertError(await ask('/token/x', undefined, bound(known)), 401, '900901');
        assertError(await ask('/token/x', 'garbage', bound(known)), 401, '900901');
        assertError(await ask('/token/x', [escaped(known), escaped(known)], bound(known)), 401, '900901');
    });

    test('is all that counts: what the balancer shows itself is not its client\'s', async () => {
        const tls = { ca: authority.pem, servername: 'localhost', cert: known.certificatePem, key: known.keyPem };
        const over = (headers) => call({ host: '127.0.0.1', port: gateway.tlsPort }, '/any/x', { tls, headers });

        assertError(await over({}), 401, '900911');
        assert.equal((await over({ [FIELD]: escaped(other) })).status, 200);
        assertError(await over({ [FIELD]: escaped(evil) }), 401, '900911');
    });

    test('never reaches backends, nor does what looks like it', async () => {
        await ask('/open/x', escaped(known), { 'Client-Cert': ':YQ==:', 'Client-Cert-Chain': ':YQ==:', X_WSO2_CLIENT_CERTIFICATE: 'x', 'client_cert': 'y' });
        assert.deepEqual(Object.keys(seen()).filter((name) => /cert/i.test(name)), []);
    });

    test('that failed is explained', async () => {
        const answer = await ask('/any/x', 'garbage');
        const stdout = await gateway.explain(answer);

        assert.match(stdout, /what the balancer passes on in X-WSO2-CLIENT-CERTIFICATE is not one client certificate/);
    });
});

describe('A certificate in the field of anybody else', () => {
    let gateway;

    before(async () => (gateway = await startGateway(options({ trustedProxies: ['192.0.2.1'] }))));
    after(() => gateway.stop());

    test('means nothing, and is taken out', async () => {
        const headers = { [FIELD]: escaped(known), 'Client-Cert': ':YQ==:', x_wso2_client_certificate: 'x' };
        const answer = await gateway.call('/any/x', { headers });

        assertError(answer, 401, '900911');
        const stdout = await gateway.explain(answer);

        assert.match(stdout, /X-WSO2-CLIENT-CERTIFICATE is not believed: it came from none of trusted_proxies/);
        assertError(await gateway.call('/token/x', { headers: { ...headers, ...bound(known) } }), 401, '900901');
        assert.equal((await gateway.call('/open/x', { headers })).status, 200);
        assert.deepEqual(Object.keys(seen()).filter((name) => /cert/i.test(name)), []);
    });

    test('does not stand beside his own', async () => {
        const tls = { ca: authority.pem, servername: 'localhost', cert: known.certificatePem, key: known.keyPem };
        const answer = await call({ host: '127.0.0.1', port: gateway.tlsPort }, '/pin/x', { tls, headers: { [FIELD]: escaped(pinned) } });

        assertError(answer, 401, '900911');
    });

    test('is taken out although 300 fields come before it', async () => {
        const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`a-${i}`, '1']));

        gateway.configure({ limits: { headers: 1000 } });
        await gateway.mustReload();
        const answer = await gateway.call('/open/x', { headers: { ...many, [FIELD]: escaped(known), 'Client-Cert': ':YQ==:' } });

        assert.equal(answer.status, 200, answer.text);
        assert.equal(seen()['a-299'], '1');
        assert.deepEqual(Object.keys(seen()).filter((name) => /cert/i.test(name)), []);
    });
});

describe('The field', () => {
    test('may be that of RFC 9440, with the certificates between', async () => {
        const between = authority.issue('between', { ca: true });
        const below = between.authority.issue('below', { client: true });
        const gateway = await startGateway(options({ authentication: { certificateCa: authority.certificate, certificateHeader: 'Client-Cert', failures: 0 } }));
        const sf = (c) => `:${der(c).toString('base64')}:`;
        const ask = (headers) => gateway.call('/any/x', { headers: fields(headers) });

        assert.equal((await ask({ 'Client-Cert': sf(known) })).status, 200);
        assertError(await ask({ 'Client-Cert': sf(below) }), 401, '900911');
        assert.equal((await ask({ 'Client-Cert': sf(below), 'Client-Cert-Chain': sf(between) })).status, 200);
        assert.equal((await ask({ 'Client-Cert': sf(below), 'Client-Cert-Chain': `${sf(other)}, ${sf(between)}` })).status, 200);
        assert.equal((await ask({ 'Client-Cert': sf(below), 'Client-Cert-Chain': [sf(other), sf(between)] })).status, 200, 'a list may be several fields');
        for (const headers of [
            { 'Client-Cert': escaped(known) }, { 'Client-Cert': `${sf(known)};a=1` }, { 'Client-Cert': '::' },
            { 'Client-Cert': `${sf(known)}, ${sf(other)}` }, { 'Client-Cert': [sf(known), sf(known)] },
            { 'Client-Cert': sf(known), 'Client-Cert-Chain': 'x' },
            { 'Client-Cert': sf(known), 'Client-Cert-Chain': Array.from({ length: 9 }, () => ':YQ==:').join(', ') },
            { [FIELD]: escaped(known) },
        ])
            assert.equal((await ask(headers)).status, 401, JSON.stringify(headers).slice(0, 3000));
        await gateway.stop();
    });

    test('may have another name, which is then taken out as well', async () => {
        const gateway = await startGateway(options({ authentication: { certificateCa: authority.certificate, certificateHeader: 'X-Cert' } }));

        assert.equal((await gateway.call('/any/x', { headers: { 'x-cert': escaped(known), x_cert: 'x', [FIELD]: 'y' } })).status, 200);
        assert.deepEqual(Object.keys(seen()).filter((name) => /cert/i.test(name)), []);
        await gateway.stop();
    });

    test('is passed on when credentials are, of a balancer alone', async () => {
        const gateway = await startGateway(options({ authentication: { certificateCa: authority.certificate, forward: true } }));

        assert.equal((await gateway.call('/any/x', { headers: { [FIELD]: escaped(known) } })).status, 200);
        assert.equal(seen()[FIELD.toLowerCase()], escaped(known));
        gateway.configure({ trustedProxies: ['192.0.2.1'] });
        await gateway.mustReload();
        await gateway.call('/open/x', { headers: { [FIELD]: escaped(known) } });
        assert.equal(seen()[FIELD.toLowerCase()], undefined);
        await gateway.stop();
    });

    test('that is none leaves the certificates of peers as they are', async () => {
        const gateway = await startGateway(options({ authentication: { certificateHeader: '' } }));
        const tls = { ca: authority.pem, servername: 'localhost', cert: known.certificatePem, key: known.keyPem };

        assert.equal((await call({ host: '127.0.0.1', port: gateway.tlsPort }, '/any/x', { tls })).status, 200);
        assertError(await gateway.call('/any/x', { headers: { [FIELD]: escaped(known) } }), 401, '900911');
        await gateway.stop();
    });

    test('is counted when it is no good', async () => {
        const gateway = await startGateway(options({ authentication: { certificateCa: authority.certificate, failures: 3, window: '1h' } }));
        const ask = (value) => gateway.call('/any/x', { headers: { [FIELD]: value } });

        assert.equal((await ask(escaped(known))).status, 200);
        for (const bad of ['x', 'y', escaped(evil)])
            assertError(await ask(bad), 401, '900911');
        assertError(await ask(escaped(other)), 429);
        assert.equal((await ask(escaped(known))).status, 200);
        await gateway.stop();
    });

    test('without authorities or certificates named is a mistake', async () => {
        const listeners = [{ address: '127.0.0.1:0' }];

        await assert.rejects(startGateway({ ...options({ authentication: {} }), tls: undefined, listeners }), /no listener asks for a certificate.*certificate_ca/);
        await assert.rejects(startGateway(options({ authentication: { certificateCa: '/nowhere.pem' } })), /nowhere\.pem: no such file/);
        await assert.rejects(startGateway(options({ authentication: { certificateHeader: 'a b' } })), /certificate_header must be the name of a field/);
    });

    test('follows the file of authorities at a reload', async () => {
        const gateway = await startGateway({ ...options(), files: { ...options().files, 'ca.pem': stranger.pem }, authentication: { certificateCa: 'ca.pem' } });
        const ask = (c) => gateway.call('/any/x', { headers: { [FIELD]: escaped(c) } });

        assertError(await ask(known), 401, '900911');
        assert.equal((await ask(evil)).status, 200);
        gateway.write('ca.pem', authority.pem);
        await gateway.mustReload();
        assert.equal((await ask(known)).status, 200);
        assertError(await ask(evil), 401, '900911');
        await gateway.stop();
    });
});

describe('nginx as the balancer', { skip: !NGINX && 'nginx is not installed (nginx-light)' }, () => {
    let gateway, nginx;
    const ask = (target, certificate, headers) => call({ host: '127.0.0.1', port: nginx.port }, target, {
        tls: { ca: authority.pem, servername: 'localhost', ...(certificate && { cert: certificate.certificatePem, key: certificate.keyPem }) }, headers,
    });

    before(async () => {
        gateway = await startGateway(options());
        nginx = await new Nginx().start((port) => `listen 127.0.0.1:${port} ssl;
            ssl_certificate ${server.certificate}; ssl_certificate_key ${server.key}; ssl_verify_client optional_no_ca;
            location / { proxy_pass http://127.0.0.1:${gateway.port}; proxy_set_header ${FIELD} $ssl_client_escaped_cert;
                proxy_set_header X-Forwarded-For $remote_addr; }`);
    });
    after(async () => {
        await nginx.stop();
        await gateway.stop();
    });

    test('passes on what its client showed', async () => {
        const answer = await ask('/any/x', known);

        assert.equal(answer.status, 200, answer.text);
        assertError(await ask('/any/x'), 401, '900911');
        assertError(await ask('/any/x', evil), 401, '900911');
        assert.equal((await ask('/pin/x', pinned)).status, 200);
        assertError(await ask('/pin/x', other), 401, '900911');
        assert.equal((await ask('/token/x', known, bound(known))).status, 200);
        assertError(await ask('/token/x', other, bound(known)), 401, '900901');
    });

    test('lets nobody smuggle a field past it', async () => {
        for (const name of [FIELD, FIELD.toLowerCase(), 'X_WSO2_CLIENT_CERTIFICATE'])
            assertError(await ask('/any/x', null, { [name]: escaped(known) }), 401, '900911');
        assertError(await ask('/any/x', null, { [FIELD]: escaped(known), Connection: FIELD }), 401, '900911');
    });
});
