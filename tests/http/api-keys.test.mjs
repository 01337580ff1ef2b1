// api-keys.test.mjs - keys made by `tollgate apikey`, and calls that bring them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, run, startGateway } from './lib/gateway.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const SCHEMES = {
    header: { type: 'apiKey', in: 'header', name: 'X-Key' },
    query: { type: 'apiKey', in: 'query', name: 'key' },
    cookie: { type: 'apiKey', in: 'cookie', name: 'sid' },
};

function secured(name, extra = {}) {
    return { get: { responses: {}, security: [{ [name]: [] }], ...extra } };
}

let upstream, gateway, file;

before(async () => {
    upstream = await new Upstream().listen();
    gateway = await startGateway({
        documents: {
            'shop.json': openapi({
                title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url,
                paths: {
                    '/header': secured('header'), '/query': secured('query'), '/cookie': secured('cookie'),
                    '/either': { get: { responses: {}, security: [{ header: [] }, { query: [] }] } },
                    '/scope': secured('header', { security: [{ header: ['admin'] }] }),
                },
                components: { securitySchemes: SCHEMES },
            }),
            'wso2.json': openapi({
                title: 'Old', version: '2.0', context: '/old', endpoints: upstream.url, paths: { '/a': 'get' },
                'x-wso2-application-security': { 'security-types': ['api_key'] },
            }),
        },
        apiKeys: { file: 'keys' },
        trustedProxies: ['127.0.0.1'],
        authentication: { failures: 0 },
    });
    file = gateway.file('keys');
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

async function newKey(...more) {
    const key = await gateway.newKey('--name', 'shop app', '--file', file, ...more);

    // The gateway looks at the file once in a while.
    await until(async () => (await gateway.call('/shop/header', { headers: { 'X-Key': key.key, 'X-Forwarded-For': '10.1.1.1', Referer: 'https://a.example.com/x' } })).status !== 401, { what: 'the key to be known' });
    return key;
}

describe('An API key', () => {
    test('is taken where the document says, and does not reach the backend', async () => {
        const { key } = await newKey();
        const seen = async (target, headers) => {
            const answer = await gateway.call(target, { headers });

            assert.equal(answer.status, 200, answer.text);
            return upstream.requests.at(-1);
        };

        assert.equal((await seen('/shop/header', { 'X-Key': key })).headers['x-key'], undefined);
        assert.equal((await seen(`/shop/query?a=1&key=${key}&b=2`)).url, '/query?a=1&b=2');
        assert.equal((await seen(`/shop/query?key=${key}&b=2`)).url, '/query?b=2');
        assert.equal((await seen(`/shop/query?key=${key}`)).url, '/query');
        assert.equal((await seen('/shop/cookie', { Cookie: `a=1; sid=${key}; b=2` })).headers.cookie, 'a=1; b=2');
        assert.equal((await seen('/shop/cookie', { Cookie: `sid=${key}` })).headers.cookie, undefined);
        assert.equal((await seen(`/shop/either?key=${key}`)).url, '/either');
        await seen('/old/a', { ApiKey: key });
        await seen(`/old/a?apikey=${key}`);
    });

    test('may come from a script of another origin, as its pre-flight says', async () => {
        const origin = { Origin: 'https://app.test' };
        const sendable = async (path) => {
            const answer = await gateway.call(path, { method: 'OPTIONS', headers: { ...origin, 'Access-Control-Request-Method': 'GET' } });

            assert.equal(answer.status, 200, path);
            return answer.header('access-control-allow-headers').toLowerCase().split(',');
        };

        assert.ok((await sendable('/shop/header')).includes('x-key'));
        assert.ok((await sendable('/old/a')).includes('apikey'));
        assert.ok(!(await sendable('/old/a')).includes('x-key'), 'of another API');
        assert.ok(!(await sendable('/shop/header')).includes('sid'), 'no field');
        const refused = await gateway.call('/shop/header', { headers: origin });

        assert.equal(refused.status, 401);
        assert.equal(refused.header('access-control-allow-origin'), '*');
    });

    test('that is missing, wrong by a byte, unknown or no key at all gets 401', async () => {
        const { key } = await newKey();
        const other = key.slice(0, -1) + (key.at(-1) === 'a' ? 'b' : 'a');
        const guess = `tg_${'a'.repeat(10)}_${'b'.repeat(49)}`;

        assertError(await gateway.call('/shop/header'), 401, '900902');
        for (const wrong of [other, guess, 'x', 'k'.repeat(4000)])
            assertError(await gateway.call('/shop/header', { headers: { 'X-Key': wrong } }), 401, '900901');
        assertError(await gateway.call('/shop/query?key='), 401, '900901');
        const answer = await gateway.call('/shop/header');

        assert.match(answer.header('www-authenticate'), /^ApiKey realm=/);
        assert.deepEqual(Object.keys(JSON.parse(answer.text)), ['code', 'message', 'description']);
    });

    test('is bound to what it was made for', async () => {
        const { key } = await newKey('--api', 'Shop:1.0', '--ip', '10.0.0.0/8', '--referer', '*.example.com/*');
        const call = (target, headers) => gateway.call(target, { headers: { 'X-Key': key, ApiKey: key, 'X-Forwarded-For': '10.1.1.1', Referer: 'https://a.example.com/x', ...headers } });

        assert.equal((await call('/shop/header')).status, 200);
        assertError(await call('/old/a'), 403, '900908');
        assertError(await call('/shop/header', { 'X-Forwarded-For': '11.1.1.1' }), 403, '900908');
        assertError(await call('/shop/header', { Referer: 'https://example.org/' }), 403, '900908');
    });

    test('needs the scopes that are asked for', async () => {
        const plain = await newKey(), admin = await newKey('--scope', 'admin', '--scope', 'more');

        assertError(await gateway.call('/shop/scope', { headers: { 'X-Key': plain.key } }), 403, '900910');
        assert.equal((await gateway.call('/shop/scope', { headers: { 'X-Key': admin.key } })).status, 200);
    });

    test('is refused within a second of being revoked', async () => {
        const { key, id } = await newKey();
        const headers = { 'X-Key': key };

        assert.equal((await gateway.call('/shop/header', { headers })).status, 200);
        assert.equal((await run(['apikey', 'revoke', id, '--file', file])).code, 0);
        await until(async () => (await gateway.call('/shop/header', { headers })).status === 401, { ms: 2000, what: 'the key to be refused' });
        const list = await run(['apikey', 'list', '--file', file]);

        assert.match(list.stdout, new RegExp(`^${id}  revoked`, 'm'));
        assert.ok(!list.stdout.includes(key) && !fs.readFileSync(file, 'utf8').includes(key), 'the secret is kept nowhere');
    });

    test('expires', async () => {
        const { key } = await newKey('--expires', '2s');

        await until(async () => (await gateway.call('/shop/header', { headers: { 'X-Key': key } })).status === 401, { ms: 6000, what: 'the end of the key' });
    });
});

describe('A file of keys', () => {
    test('that is broken leaves the keys as they were, and says so', async () => {
        const { key } = await newKey();
        const good = fs.readFileSync(file, 'utf8');

        fs.writeFileSync(file, `${good}{"id":"x"}\n`);
        await until(() => /keys:\d+: is no API key.*the keys read before stay/.test(gateway.stderr), { what: 'a word about it' });
        assert.equal((await gateway.call('/shop/header', { headers: { 'X-Key': key } })).status, 200);
        fs.writeFileSync(file, good);
    });

    test('survives many writers at once', async () => {
        const before = fs.readFileSync(file, 'utf8').trim().split('\n').length;

        await Promise.all(Array.from({ length: 10 }, (_, i) => run(['apikey', 'new', '--name', `n${i}`, '--file', file])));
        assert.equal(fs.readFileSync(file, 'utf8').trim().split('\n').length, before + 10);
    });
});

describe('Commands about keys', () => {
    for (const [args, text] of [
        [['new'], /--name NAME/],
        [['new', '--name', 'x', '--ip', '10.0.0.0/99'], /--ip wants an address.*10\.0\.0\.0\/99/],
        [['new', '--name', 'x', '--expires', 'soon'], /--expires wants a time.*soon/],
        [['new', '--name', 'x', '--scope', 'a b'], /--scope wants/],
        [['revoke'], /say which/],
    ])
        test(`say what is wrong with ${args.join(' ')}`, async () => {
            const result = await run(['apikey', ...args, '--file', file]);

            assert.equal(result.code, 2);
            assert.match(result.stderr, text);
        });

    test('know when there is no such key', async () => {
        const result = await run(['apikey', 'revoke', 'nosuchkey0', '--file', file]);

        assert.equal(result.code, 1);
        assert.match(result.stderr, /there is no key nosuchkey0 in .*apikey list/);
    });
});
