// claims.test.mjs - what is asked of a caller's claims, beside issuer and scopes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, run, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const issuer = new Issuer();
let upstream, gateway;

const components = { securitySchemes: { token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } };
const wants = (claims, extra = {}) => ({ get: { responses: {}, security: [{ token: [] }], 'x-tollgate-claims': claims, ...extra } });
const document = (context, paths, extra = {}) => openapi({ title: context.slice(1), version: '1', context, endpoints: upstream.url, paths, components, ...extra });

before(async () => {
    upstream = await new Upstream().listen();
    gateway = await startGateway({
        documents: {
            'shop.json': document('/shop', {
                '/equals': wants([{ claim: 'plan', equals: 'gold' }]),
                '/oneof': wants([{ claim: 'plan', one_of: ['gold', 'silver', 7, true] }]),
                '/contains': wants([{ claim: 'groups', contains: 'admins' }]),
                '/matches': wants([{ claim: 'email', matches: '^[a-z]+@example\\.com$' }]),
                '/there': wants([{ claim: 'tenant' }]),
                '/deep': wants([{ claim: '/address/country', equals: 'DE' }, { claim: '/roles/0', equals: 'first' }]),
                '/url': wants([{ claim: 'http://wso2.org/claims/role', equals: 'x' }]),
                '/several': wants([{ claim: 'plan', equals: 'gold' }, { claim: 'email_verified', equals: true }]),
                '/slow': wants([{ claim: 'email', matches: '^(a+)+$' }]),
                '/either': wants([{ claim: 'plan', equals: 'gold' }], { security: [{ token: [] }, { key: [] }] }),
                '/scope': wants([{ claim: 'plan', equals: 'gold' }], { security: [{ token: ['admin'] }] }),
            }),
            'all.json': document('/all', {
                '/a': { get: { responses: {}, security: [{ token: [] }] } },
                '/b': wants([{ claim: 'plan', equals: 'gold' }]),
                '/open': { get: { responses: {}, security: [] } },
                '/perhaps': { get: { responses: {}, security: [{ token: [] }, {}] } },
            }, { 'x-tollgate-claims': [{ claim: 'tenant', one_of: ['t1', 't2'] }] }),
            'set.json': document('/set', { '/a': { get: { responses: {}, security: [{ token: [] }] } } }),
        },
        files: { 'keys.json': issuer.jwks },
        apis: ['shop.json', 'all.json', { path: 'set.json', claims: [
            { claim: 'plan', oneOf: ['gold', 'silver'] }, { claim: 'groups', contains: 'staff' }, { claim: 'email', matches: '@example[.]com$$' }, { claim: 'tenant' },
        ] }],
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
        authentication: { failures: 0 },
    });
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

const ask = (target, claims, more = {}) => gateway.call(target, { headers: { ...bearer(issuer.token(claims)), ...more } });

for (const [target, good, bad] of [
    ['/shop/equals', [{ plan: 'gold' }], [{}, { plan: 'silver' }, { plan: 'Gold' }, { plan: ['gold'] }, { plan: null }, { plan: { gold: 1 } }, { plan: 'gold ' }]],
    ['/shop/oneof', [{ plan: 'gold' }, { plan: 'silver' }, { plan: 7 }, { plan: '7' }, { plan: true }], [{}, { plan: 'bronze' }, { plan: 7.5 }, { plan: false }, { plan: ['gold'] }]],
    ['/shop/contains', [{ groups: ['users', 'admins'] }, { groups: 'users admins' }, { groups: 'admins' }], [{}, { groups: [] }, { groups: ['admin', 'adminss'] }, { groups: 'superadmins' }, { groups: { admins: true } }, { groups: [['admins']] }]],
    ['/shop/matches', [{ email: 'ann@example.com' }, { email: ['x', 'bob@example.com'] }], [{}, { email: 'ann@example.com.evil.test' }, { email: 'ann@exampleXcom' }, { email: { a: 'ann@example.com' } }, { email: Array.from({ length: 65 }, (_, i) => (i === 64 ? 'bob@example.com' : 'x')) }]],
    ['/shop/there', [{ tenant: 'x' }, { tenant: false }, { tenant: 0 }, { tenant: '' }], [{}, { tenant: null }]],
    ['/shop/deep', [{ address: { country: 'DE' }, roles: ['first', 'second'] }], [{ '/address/country': 'DE', roles: ['first'] }, { address: { country: 'DE' }, roles: ['second', 'first'] }, { address: 'DE', roles: ['first'] }]],
    ['/shop/url', [{ 'http://wso2.org/claims/role': 'x' }], [{ 'http:': { 'wso2.org': 'x' } }]],
    ['/shop/several', [{ plan: 'gold', email_verified: true }, { plan: 'gold', email_verified: 'true' }], [{ plan: 'gold' }, { email_verified: true }, { plan: 'gold', email_verified: false }]],
    ['/all/a', [{ tenant: 't1' }], [{}, { tenant: 't3' }]],
    ['/all/b', [{ tenant: 't2', plan: 'gold' }], [{ plan: 'gold' }, { tenant: 't1' }]],
    ['/set/a', [{ plan: 'gold', groups: ['staff'], email: 'a@example.com', tenant: 'x' }],
        [{}, { plan: 'bronze', groups: ['staff'], email: 'a@example.com', tenant: 'x' }, { plan: 'gold', groups: [], email: 'a@example.com', tenant: 'x' },
            { plan: 'gold', groups: ['staff'], email: 'a@example.org', tenant: 'x' }, { plan: 'gold', groups: ['staff'], email: 'a@example.com' }]],
])
    test(`${target} takes tokens with the claims it wants, and no others`, async () => {
        for (let i = 0; i < 2; i++) {
            for (const claims of good)
                assert.equal((await ask(target, claims)).status, 200, JSON.stringify(claims));
            for (const claims of bad)
                assertError(await ask(target, claims), 403, '900910');
        }
    });

describe('A claim', () => {
    test('is asked of whoever was found, whatever credential he has', async () => {
        const { key } = await gateway.newKey('--name', 'x');
        const { apikey: signed } = await gateway.newKey('--signed', '--name', 'x');

        await until(async () => (await gateway.call('/shop/either', { headers: { 'X-Key': key } })).status === 403, { what: 'the key to be known' });
        assertError(await gateway.call('/shop/either', { headers: { 'X-Key': signed } }), 403, '900910');
        assert.equal((await ask('/shop/either', { plan: 'gold' })).status, 200);
        assertError(await gateway.call('/shop/either'), 401);
    });

    test('does not stand in for a scope, nor a scope for it', async () => {
        assertError(await ask('/shop/scope', { plan: 'gold' }), 403, '900910');
        assertError(await ask('/shop/scope', { scope: 'admin' }), 403, '900910');
        assert.equal((await ask('/shop/scope', { scope: 'admin', plan: 'gold' })).status, 200);
    });

    test('of an API is not asked of operations that are open', async () => {
        assert.equal((await gateway.call('/all/open')).status, 200);
        assert.equal((await gateway.call('/all/perhaps')).status, 200);
        assertError(await ask('/all/perhaps', {}), 403, '900910');
    });

    test('that takes an expression ages is refused in a moment', async () => {
        const began = Date.now();

        assertError(await ask('/shop/slow', { email: `${'a'.repeat(5000)}b` }), 403, '900910');
        assert.ok(Date.now() - began < 1000);
    });

    test('is explained by its name, not by its value', async () => {
        const other = await gateway.explain(await ask('/shop/equals', { plan: 'secret-plan' }));
        const missing = await gateway.explain(await ask('/shop/equals', {}));

        assert.match(other, /the claim "plan" has a value that is not wanted here/);
        assert.doesNotMatch(other, /secret-plan|gold/);
        assert.match(missing, /the claim "plan" is asked for, and the credential does not have it/);
    });

    test('is shown by a check of the configuration', async () => {
        const { stdout } = await run(['config', 'check', '--config', gateway.file('tollgate.yaml')]);

        assert.match(stdout, /GET +\/several +requires token \(oauth2\), with claims plan, email_verified/);
        assert.match(stdout, /GET +\/a +requires token \(oauth2\), with claims tenant/);
        assert.match(stdout, /GET +\/b +requires token \(oauth2\), with claims tenant, plan/);
        assert.match(stdout, /GET +\/a +requires token \(oauth2\), with claims plan, groups, email, tenant/);
        assert.match(stdout, /GET +\/open +OPEN\n/);
    });

    test('changes with a reload', async () => {
        const claims = { plan: 'gold', groups: ['staff'], email: 'a@example.com', tenant: 'x' };

        assert.equal((await ask('/set/a', claims)).status, 200);
        gateway.configure({ apis: [gateway.file('shop.json'), gateway.file('all.json'), { path: gateway.file('set.json'), claims: [{ claim: 'plan', equals: 'iron' }] }] });
        await gateway.mustReload();
        assertError(await ask('/set/a', claims), 403, '900910');
        assert.equal((await ask('/set/a', { plan: 'iron' })).status, 200);
    });
});

describe('A mistake', () => {
    const refused = async (claims, text, { at = 'operation', security = [{ token: [] }], apiClaims } = {}) => {
        const operation = { responses: {}, ...(security && { security }), ...(at === 'operation' && { 'x-tollgate-claims': claims }) };
        const item = { get: operation, ...(at === 'path' && { 'x-tollgate-claims': claims }) };
        const options = {
            documents: { 'a.json': document('/a', { '/x': item }, at === 'root' ? { 'x-tollgate-claims': claims } : {}) },
            files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
            ...(apiClaims && { apis: [{ path: 'a.json', claims: apiClaims }] }),
        };

        await assert.rejects(startGateway(options), text);
    };

    for (const [what, claims, text, more] of [
        ['no list', { claim: 'x' }, /x-tollgate-claims must be a list/],
        ['no name', [{ equals: 'x' }], /x-tollgate-claims must be a list of \{claim: NAME\}/],
        ['two tests', [{ claim: 'x', equals: 'y', contains: 'z' }], /"contains" is one too many/],
        ['an unknown test', [{ claim: 'x', equal: 'y' }], /"equal" is unknown/],
        ['an empty list', [{ claim: 'x', one_of: [] }], /a list of 1 to 64 values/],
        ['a list where there is one value', [{ claim: 'x', equals: ['y'] }], /equals of a claim must be one value/],
        ['an object for a value', [{ claim: 'x', equals: {} }], /compared with a text/],
        ['a broken expression', [{ claim: 'x', matches: '(' }], /matches of the claim "x" is no regular expression/],
        ['too many', Array.from({ length: 33 }, () => ({ claim: 'x' })), /at most 32/],
        ['a root without a list', 'plan=gold', /x-tollgate-claims must be a list/, { at: 'root' }],
        ['a path where it does not belong', [{ claim: 'x' }], /x-tollgate-claims of \/x is not enforced yet/, { at: 'path' }],
        ['an operation that is open', [{ claim: 'x' }], /GET \/x wants claims \(x-tollgate-claims\), and may be called without a credential/, { security: [] }],
        ['an operation that says nothing', [{ claim: 'x' }], /may be called without a credential/, { security: null }],
        ['an operation that may be called by nobody', [{ claim: 'x' }], /may be called without a credential/, { security: [{ token: [] }, {}] }],
        ['two tests in an entry', [], /gateway\.apis\[\]\.claims: each has a claim, and one of/, { apiClaims: [{ claim: 'x', equals: 'a', matches: 'b' }] }],
        ['a broken expression in an entry', [], /matches of the claim "x" is no regular expression/, { apiClaims: [{ claim: 'x', matches: '[' }] }],
    ])
        test(`is refused: ${what}`, () => refused(claims, text, more));

    test('in the key itself is refused', async () => {
        await assert.rejects(startGateway({
            documents: { 'a.json': document('/a', { '/x': { get: { responses: {}, security: [{ token: [] }], 'x-tollgate-claim': [{ claim: 'x' }] } } }) },
            files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
        }), /x-tollgate-claim of GET \/x is not enforced yet/);
    });
});
