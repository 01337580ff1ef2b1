// explain.test.mjs - why a call was refused, told afterwards to who asks.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream } from './lib/upstream.mjs';

const issuer = new Issuer();
const secured = (scopes = []) => ({ get: { responses: {}, security: [{ token: scopes }] } });
let upstream, gateway;

before(async () => {
    upstream = await new Upstream().listen();
    const more = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' } } } };

    const ca = new Authority();
    const { certificate, key } = ca.issue('server');
    const server = { certificate, key };

    gateway = await startGateway({
        documents: {
            'shop.json': openapi({
                title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url,
                paths: { '/orders/{id}': secured(['admin']), '/any': secured(), '/key': { get: { responses: {}, security: [{ key: [] }] } } }, ...more,
            }),
            'gone.json': openapi({ title: 'Gone', version: '1', context: '/gone', endpoints: 'http://127.0.0.1:1', paths: { '/x': 'get' } }),
            'cert.json': openapi({ title: 'Cert', version: '1', context: '/cert', endpoints: upstream.url, paths: { '/x': 'get' }, 'x-wso2-mutual-ssl': 'mandatory' }),
        },
        files: { 'keys.json': issuer.jwks },
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json', audiences: ['shop'] }],
        trustedProxies: ['127.0.0.1'],
        tls: { ...server, clientCa: ca.certificate, clientVerify: 'optional' },
        authentication: { failures: 0 },
        upstreams: { retries: 0 },
    });
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

const tool = (...args) => run(['explain', ...args, '--state-dir', gateway.stateDir]);
const token = (claims, header) => bearer(issuer.token({ aud: 'shop', ...claims }, header));

async function explained(target, headers) {
    const answer = await gateway.call(target, { headers });
    const id = answer.header('activityid');
    const result = await tool(id);

    assert.equal(result.code, 0, result.output);
    const json = JSON.parse((await tool(id, '--json')).stdout);

    assert.equal(json.status, answer.status);
    return { answer, text: result.stdout, json, last: json.decisions.at(-1) };
}

describe('A refused call', () => {
    const now = Math.floor(Date.now() / 1000);
    const cases = [
        ['an expired token', '/shop/any', () => token({ exp: now - 100 }), 'token_expired', /get a new token from the issuer/],
        ['a missing scope', '/shop/orders/7', () => token({ scope: 'read' }), 'scope_missing', /a token with the scope "admin"/],
        ['a wrong audience', '/shop/any', () => token({ aud: 'other' }), 'token_audience', /audiences/],
        ['an unknown issuer', '/shop/any', () => bearer(new Issuer({ issuer: 'https://nobody.test' }).token()), 'token_issuer', /https:\/\/nobody\.test[^]*gateway\.issuers/],
        ['an unknown key', '/shop/any', () => token({}, { kid: 'k77' }), 'token_key', /key set/],
        ['a bad signature', '/shop/any', () => ({ Authorization: `${token().Authorization.slice(0, -9)}AAAAAAAAA` }), 'token_signature', /unchanged/],
        ['no credential', '/shop/any', () => ({}), 'no_credential', /brings nothing for "token"/],
        ['no API key that is known', '/shop/key', () => ({ 'X-Key': 'x' }), 'key_malformed', /tollgate apikey new/],
        ['no endpoint', '/gone/x', () => ({}), 'endpoint_failed', /backend runs/],
        ['no certificate', '/cert/x', () => ({}), 'no_credential', /brings nothing for "mutualTLS"/],
        ['no such path', '/shop/nothing', () => ({}), 'no_operation', /OpenAPI document/],
        ['no such API', '/nothing', () => ({}), 'no_route', /config check/],
    ];

    for (const [what, target, headers, reason, fix] of cases)
        test(`is explained: ${what}`, async () => {
            const { text, last, json, answer } = await explained(target, headers());

            assert.equal(last.reason, reason, text);
            assert.equal(last.verdict, 'refused');
            assert.match(text, /^Call \S+ was refused with \d+ \(code \d+\)$/m);
            assert.match(text, /To make it pass:/);
            assert.match(text, fix);
            assert.equal(json.code, JSON.parse(answer.text).code);
            assert.ok(!text.includes('eyJ'), 'no token is in it');
        });

    test('says all decisions in order', async () => {
        const { json, text } = await explained('/shop/orders/7', token({ scope: 'read' }));

        assert.deepEqual(json.decisions.map((d) => [d.step, d.verdict]), [['route', 'passed'], ['token', 'passed'], ['scope', 'refused']]);
        assert.equal(json.operation, '/orders/{id}');
        assert.equal(json.caller, 'alice');
        assert.match(text, /ok route +the call is for GET \/orders\/\{id\} of Shop 1\.0/);
        assert.match(text, /NO scope +the scope "admin" is missing/);
    });
});

describe('A call that passed', () => {
    test('is not kept unless it is marked', async () => {
        const answer = await gateway.call('/shop/any', { headers: token() });
        const result = await tool(answer.header('activityid'));

        assert.equal(answer.status, 200);
        assert.equal(result.code, 1);
        assert.match(result.stderr, /nothing is known of call .*explain grant/);
        assert.equal(answer.header('x-tollgate-explain'), undefined);
    });

    test('is explained in its answer to who has a grant for the API', async () => {
        const grant = async (api, ...more) => (await tool('grant', '--api', api, ...more)).stdout.trim().split(': ')[1];
        const ask = async (value, target = '/shop/any') => gateway.call(target, { headers: { ...token(), 'X-Tollgate-Explain': value } });
        const answer = await ask(await grant('Shop'));

        assert.equal(answer.status, 200);
        assert.match(answer.header('x-tollgate-explain'), /^route=routed token=token_(good|known) endpoint=endpoint endpoint=answered$/);
        assert.equal(upstream.requests.at(-1).headers['x-tollgate-explain'], undefined);
        const kept = JSON.parse((await tool(answer.header('activityid'), '--json')).stdout);

        assert.ok(kept.total_us > 0 && kept.decisions.every((d) => d.at_us >= 0));
        assert.ok((await ask(await grant('Shop:1.0'))).header('x-tollgate-explain'));
        const refused = await ask(await grant('Shop'), '/shop/orders/1');

        assert.equal(refused.status, 403);
        assert.match(refused.header('x-tollgate-explain'), /scope=scope_missing!$/);
    });

    test('is not explained to others', async () => {
        const line = async (...args) => (await tool('grant', ...args)).stdout.trim().split(': ')[1];
        const good = await line('--api', 'Shop'), short = await line('--api', 'Shop', '--for', '1s');

        await new Promise((resolve) => setTimeout(resolve, 2100));
        for (const value of [await line('--api', 'Gone'), await line('--api', 'Shop:2.0'), short, `${good.slice(0, -1)}${good.endsWith('A') ? 'E' : 'A'}`, good.replace('v1', 'v2'), 'x', 'v1...', '.'.repeat(2000)])
            assert.equal((await gateway.call('/shop/any', { headers: { ...token(), 'X-Tollgate-Explain': value } })).header('x-tollgate-explain'), undefined, value);
    });
});

describe('The list of calls', () => {
    test('is newest first, by API', async () => {
        await gateway.call('/gone/x');
        await gateway.call('/shop/any');
        const all = (await tool('list', '--n', '2')).stdout.trim().split('\n');

        assert.match(all[0], /401 {2}Shop 1\.0 {2}GET \/shop\/any/);
        assert.match(all[1], /\d+ {2}Gone 1 {2}GET \/gone\/x/);
        const shop = (await tool('list', '--api', 'Gone', '--refused', '--json')).stdout.trim().split('\n').map((l) => JSON.parse(l));

        assert.ok(shop.length > 0 && shop.every((x) => x.api === 'Gone'));
    });

    test('survives the process', async () => {
        const answer = await gateway.call('/shop/any');

        process.kill(gateway.pid, 'SIGKILL');
        const result = await tool(answer.header('activityid'));

        assert.match(result.stdout, /was refused with 401/);
        gateway.stopped = true;
    });
});

describe('The command', () => {
    for (const [args, code, text] of [
        [[], 2, /name one call by its id/],
        [['grant'], 2, /--api NAME/],
        [['grant', '--api', 'x', '--for', '9d'], 2, /--for wants a time from 1s to 7d/],
        [['list', '--n', 'x'], 2, /--n wants a number/],
        [['x', '--state-dir', '/nowhere'], 1, /there is no \/nowhere\/explain\.ring/],
        [['grant', '--api', 'x', '--state-dir', '/nowhere'], 1, /\/nowhere\/explain\.key cannot be read/],
    ])
        test(`says what is wrong with: ${args.join(' ')}`, async () => {
            const result = await run(['explain', ...args]);

            assert.equal(result.code, code);
            assert.match(result.stderr, text);
        });
});
