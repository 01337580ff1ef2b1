// backend-jwt.test.mjs - what backends are told of who called.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const issuer = new Issuer();
let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));

/** The claims, when one of these keys has signed them. */
function verified(token, { keys }) {
    const [header, claims, signature] = token.split('.');
    const { alg, kid, typ } = decode(header);
    const key = keys.find((k) => k.kid === kid);

    assert.ok(key && key.alg === alg && typ === 'JWT');
    assert.ok(crypto.verify('sha256', Buffer.from(`${header}.${claims}`),
        { key: crypto.createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
    return decode(claims);
}

for (const algorithm of ['RS256', 'ES256'])
    describe(`An assertion (${algorithm})`, () => {
        let gateway;
        const ask = async (target, headers) => {
            const answer = await gateway.call(target, { headers });

            assert.equal(answer.status, 200, answer.text);
            return upstream.requests.at(-1).headers['x-jwt-assertion'];
        };
        const keys = async () => (await gateway.call('/jwks')).json;

        before(async () => {
            gateway = await startGateway({
                documents: {
                    'shop.json': openapi({
                        title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url,
                        paths: {
                            '/token': { get: { responses: {}, security: [{ token: [] }] } },
                            '/key': { get: { responses: {}, security: [{ key: [] }] } },
                            '/open': { get: { responses: {}, security: [] } },
                        },
                        components: { securitySchemes: { token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } },
                    }),
                },
                files: { 'keys.json': issuer.jwks },
                issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
                backendJwt: { enabled: true, algorithm, claims: ['roles', 'nothing'], audience: 'backends' },
            });
        });
        after(() => gateway.stop());

        test('says who called, with a token', async () => {
            const before = Math.floor(Date.now() / 1000);
            const claims = verified(await ask('/shop/token', bearer(issuer.token({ roles: ['a', 'b'] }))), await keys());

            assert.equal(claims.iss, 'wso2.org/products/am');
            assert.equal(claims.aud, 'backends');
            assert.equal(claims.sub, 'alice');
            assert.equal(claims['http://wso2.org/claims/enduser'], 'alice');
            assert.equal(claims['http://wso2.org/claims/applicationname'], 'app-1');
            assert.equal(claims['http://wso2.org/claims/apiname'], 'Shop');
            assert.equal(claims['http://wso2.org/claims/apicontext'], '/shop');
            assert.equal(claims['http://wso2.org/claims/version'], '1.0');
            assert.equal(claims['http://wso2.org/claims/usertype'], 'Application_User');
            assert.deepEqual(claims.roles, ['a', 'b']);
            assert.ok(!('nothing' in claims));
            assert.ok(claims.exp - claims.iat === 900 && claims.iat >= before);
        });

        test('says who called, with a key, or that nobody did', async () => {
            const { key } = await gateway.newKey('--name', 'app "x"');

            await until(async () => (await gateway.call('/shop/key', { headers: { 'X-Key': key } })).status === 200, { what: 'the key' });
            const claims = verified(await ask('/shop/key', { 'X-Key': key }), await keys());

            assert.equal(claims['http://wso2.org/claims/applicationname'], 'app "x"');
            assert.equal(claims['http://wso2.org/claims/usertype'], 'Application');
            const nobody = verified(await ask('/shop/open'), await keys());

            assert.ok(!('sub' in nobody));
        });

        test('is made once for a caller, and is not that of another', async () => {
            const token = bearer(issuer.token());
            const first = await ask('/shop/token', token);

            assert.equal(await ask('/shop/token', token), first);
            assert.notEqual(await ask('/shop/token', bearer(issuer.token({ sub: 'bob' }))), first);
        });

        test('that a client makes up does not pass', async () => {
            const seen = await ask('/shop/open', { 'X-JWT-Assertion': 'forged', 'x-jwt-assertion': 'again' });

            assert.equal(seen.split('.').length, 3);
        });

        test('that a client makes up does not pass behind 300 other fields either', async () => {
            const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`a-${i}`, '1']));

            gateway.configure({ limits: { headers: 1000 } });
            await gateway.mustReload();
            const seen = await ask('/shop/open', { ...many, 'X-JWT-Assertion': 'forged' });

            assert.equal(seen.split('.').length, 3);
            assert.doesNotMatch(seen, /forged/);
        });

        test('is signed by a key that stays', async () => {
            const { keys: [key] } = await keys();

            await gateway.mustReload();
            assert.deepEqual((await keys()).keys, [key]);
            assert.ok(!('d' in key) && key.use === 'sig');
        });
    });
