// signed-keys.test.mjs - API keys that are signed tokens: those of the gateway
// itself, and those of configured issuers.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, run, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const issuer = new Issuer({ issuer: 'https://idp.test' }); // of access tokens, and of the model's keys
const other = new Issuer({ issuer: 'https://apim.test', alg: 'RS256', kid: 'gateway_certificate_alias' });
let upstream, gateway;

const from = { 'X-Forwarded-For': '10.1.1.1', Referer: 'https://a.example.com/x' };
const call = (key, target = '/shop/a', headers = {}) => gateway.call(target, { headers: { ...from, [target.startsWith('/old') ? 'ApiKey' : 'X-Key']: key, ...headers } });
const b64 = (x) => Buffer.from(JSON.stringify(x)).toString('base64url');
const decode = (token, part) => JSON.parse(Buffer.from(token.split('.')[part], 'base64url'));

const newKey = (...more) => gateway.newKey('--signed', '--name', 'shop app', ...more);

/** Signed with the gateway's own key, whatever stands in it. */
function own(claims = {}, header = {}, sign = (input, key) => crypto.sign('sha256', input, { key, dsaEncoding: 'ieee-p1363' })) {
    const pem = fs.readFileSync(path.join(gateway.stateDir, 'apikey-ES256.pem'), 'utf8');
    const good = newest;
    const input = `${b64({ ...decode(good, 0), ...header })}.${b64({ ...decode(good, 1), jti: crypto.randomUUID(), ...claims })}`;

    return `${input}.${sign(Buffer.from(input), pem).toString('base64url')}`;
}

let newest;
const now = () => Math.floor(Date.now() / 1000);

const documents = () => ({
    'shop.json': openapi({
        title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url,
        paths: {
            '/a': { get: { responses: {}, security: [{ key: [] }] } },
            '/admin': { get: { responses: {}, security: [{ key: ['admin'] }] } },
            '/token': { get: { responses: {}, security: [{ token: [] }] } },
            '/query': { get: { responses: {}, security: [{ inQuery: [] }] } },
        },
        components: { securitySchemes: {
            key: { type: 'apiKey', in: 'header', name: 'X-Key' },
            inQuery: { type: 'apiKey', in: 'query', name: 'key' },
            token: { type: 'http', scheme: 'bearer' },
        } },
    }),
    'old.json': openapi({
        title: 'Old', version: '2.0', context: '/old', endpoints: upstream.url, paths: { '/a': 'get' },
        'x-wso2-application-security': { 'security-types': ['api_key'] },
    }),
});

before(async () => {
    upstream = await new Upstream().listen();
    gateway = await startGateway({
        documents: documents(),
        files: { 'keys.json': issuer.jwks, 'apim.json': other.jwks, 'apim.pem': other.publicKey.export({ type: 'spki', format: 'pem' }) },
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }, { issuer: other.issuer, jwks: 'apim.json' }],
        apiKeys: { issuers: [{ issuer: other.issuer, certificate: 'apim.pem' }] },
        backendJwt: { enabled: true, algorithm: 'ES256' },
        trustedProxies: ['127.0.0.1'],
        authentication: { failures: 0 },
    });
    newest = (await newKey()).apikey;
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

describe('A signed key', () => {
    test('is taken at once, by its place in the call, and does not reach the backend', async () => {
        const { apikey, id } = await newKey();

        assert.equal(decode(apikey, 0).typ, 'apikey+jwt');
        assert.equal(decode(apikey, 1).jti, id);
        assert.equal(decode(apikey, 1).token_type, 'apiKey');
        for (const target of ['/shop/a', '/old/a', `/shop/query?key=${apikey}`]) {
            const answer = target.includes('?') ? await gateway.call(target) : await call(apikey, target);
            const { url, headers } = upstream.requests.at(-1);

            assert.equal(answer.status, 200, answer.text);
            assert.ok(!JSON.stringify({ url, headers }).includes(apikey.slice(0, 80)));
        }
        const said = upstream.requests.at(-1).headers['x-jwt-assertion'];

        assert.equal(decode(said, 1)['http://wso2.org/claims/applicationname'], 'shop app');
    });

    test('is bound to APIs, addresses and pages', async () => {
        const { apikey } = await newKey('--api', 'Shop:1.0', '--ip', '10.0.0.0/8', '--ip', '::1', '--referer', '*.example.com/*');

        assert.equal((await call(apikey)).status, 200);
        for (let i = 0; i < 2; i++) { // known and not
            assertError(await call(apikey, '/old/a'), 403, '900908');
            assertError(await call(apikey, '/shop/a', { 'X-Forwarded-For': '11.1.1.1' }), 403, '900908');
            assertError(await call(apikey, '/shop/a', { Referer: 'https://example.org/' }), 403, '900908');
        }
        assertError(await call((await newKey('--api', 'Shop:2.0')).apikey), 403, '900908');
    });

    test('has scopes', async () => {
        assertError(await call(newest, '/shop/admin'), 403, '900910');
        assert.equal((await call((await newKey('--scope', 'admin', '--scope', 'more')).apikey, '/shop/admin')).status, 200);
    });

    test('expires', async () => {
        const { apikey } = await newKey('--expires', '2s');

        assert.equal((await call(apikey)).status, 200);
        await until(async () => (await call(apikey)).status === 401, { ms: 6000, what: 'the end of the key' });
    });

    test('is refused within a second of being revoked, while calls go on, and after a restart', async () => {
        const kept = await newKey(), gone = await newKey(), whole = await newKey();
        let going = true, failed = 0, refusedAt;
        const others = (async () => {
            while (going)
                failed += (await call(kept.apikey)).status !== 200;
        })();

        assert.equal((await call(gone.apikey)).status, 200);
        assert.equal((await call(whole.apikey)).status, 200);
        const result = await run(['apikey', 'revoke', gone.id, whole.apikey, '--state-dir', gateway.stateDir]);

        assert.equal(result.code, 0, result.output);
        const began = Date.now();

        await until(async () => (await call(gone.apikey)).status === 401 && (await call(whole.apikey)).status === 401, { ms: 3000, what: 'the keys to be refused' });
        refusedAt = Date.now() - began;
        going = false;
        await others;
        assert.ok(refusedAt < 1500 || process.env.TOLLGATE_SLOW, `refused after ${refusedAt} ms`);
        assert.equal(failed, 0);
        assertError(await call(gone.apikey), 401, '900901');
        await gateway.mustReload();
        assertError(await call(gone.apikey), 401, '900901');
        assert.equal((await gateway.upgrade()).code, 0);
        assertError(await call(gone.apikey), 401, '900901');
        assertError(await call(whole.apikey), 401, '900901');
        assert.equal((await call(kept.apikey)).status, 200);
    });

    test('that is revoked stays so when the list goes away', async () => {
        const { apikey, id } = await newKey();
        const list = path.join(gateway.stateDir, 'apikeys.revoked');

        assert.equal((await run(['apikey', 'revoke', id, '--state-dir', gateway.stateDir])).code, 0);
        await until(async () => (await call(apikey)).status === 401, { what: 'the key to be refused' });
        fs.renameSync(list, `${list}.away`);
        await until(() => /apikeys\.revoked: is not there any more.*the revoked keys read before stay/.test(gateway.stderr), { what: 'a word about it' });
        assertError(await call(apikey), 401, '900901');
        fs.renameSync(`${list}.away`, list);
    });
});

describe('No key is', () => {
    const none = (input) => Buffer.alloc(0, input.length && 0);
    const hostile = {
        'one whose signature has another last byte': () => `${newest.slice(0, -1)}${newest.at(-1) === 'A' ? 'Q' : 'A'}`,
        'one without a signature': () => `${newest.split('.').slice(0, 2).join('.')}.`,
        'one with alg none': () => own({}, { alg: 'none' }, none),
        'one signed with the public key as a secret': () => own({}, { alg: 'HS256' }, (input, pem) =>
            crypto.createHmac('sha256', crypto.createPublicKey(pem).export({ type: 'spki', format: 'pem' })).update(input).digest()),
        'one signed by somebody else under our kid': () => own({}, {}, (input) => crypto.sign('sha256', input, { key: issuer.privateKey, dsaEncoding: 'ieee-p1363' })),
        'an access token': () => issuer.token(),
        'an access token with the claims of a key': () => issuer.token({ token_type: 'apiKey', jti: 'x' }),
        'one of ours that says it is a token': () => own({}, { typ: 'JWT' }),
        'one of ours without typ': () => own({}, { typ: undefined }),
        'one of ours with another token_type': () => own({ token_type: 'InternalKey' }),
        'one of ours without jti': () => own({ jti: undefined }),
        'one of ours with a broken address': () => own({ permittedIP: '10.0.0.0/99' }),
        'one of ours with a list that is none': () => own({ subscribedAPIs: { name: 'Shop' } }),
        'one that has expired': () => own({ exp: now() - 10 }),
        'one that is not good yet': () => own({ nbf: now() + 100 }),
        'one with an embedded key': () => own({}, { jwk: issuer.jwk }, (input) => crypto.sign('sha256', input, { key: issuer.privateKey, dsaEncoding: 'ieee-p1363' })),
        'one with crit': () => own({}, { crit: ['exp'] }),
        'two dots': () => '..',
        'a long text with dots': () => `${'a'.repeat(17000)}.b.c`,
    };

    for (const [what, make] of Object.entries(hostile))
        test(what, async () => {
            for (let i = 0; i < 2; i++)
                assertError(await call(make()), 401, '900901');
        });

    test('an assertion that the gateway made for a backend', async () => {
        await call(newest);
        assertError(await call(upstream.requests.at(-1).headers['x-jwt-assertion']), 401, '900901');
    });

    test('one megabyte', async () => {
        assert.ok([414, 431].includes((await call(`${'a'.repeat(1 << 20)}.b.c`)).status));
        assert.ok([414, 431].includes((await call('x', `/shop/query?key=${'a'.repeat(1 << 20)}.b.c`)).status));
        assert.equal((await call(newest)).status, 200);
    });

    test('a token either', async () => {
        const keyOfModel = other.token({ token_type: 'apiKey', jti: 'k', subscribedAPIs: [] });

        for (const key of [newest, keyOfModel, other.token({ token_type: 'InternalKey' })])
            assertError(await gateway.call('/shop/token', { headers: bearer(key) }), 401, '900901');
        assert.equal((await gateway.call('/shop/token', { headers: bearer(other.token()) })).status, 200);
    });
});

describe('A key of the model', () => {
    const model = (claims = {}, header = {}) => other.token({
        sub: 'admin@carbon.super', jti: crypto.randomUUID(), token_type: 'apiKey', keytype: 'PRODUCTION', exp: -1,
        application: { owner: 'admin', tier: 'Unlimited', name: 'old app', id: 1, uuid: 'u-1' },
        subscribedAPIs: [{ name: 'Shop', context: '/shop', version: '1.0', subscriptionTier: 'Gold', publisher: 'admin' }],
        permittedReferer: '', permittedIP: '', ...claims,
    }, header);

    test('is good for the APIs it is subscribed to', async () => {
        const answer = await call(model());

        assert.equal(answer.status, 200, answer.text);
        assertError(await call(model(), '/old/a'), 403, '900908');
        assertError(await call(model({ subscribedAPIs: undefined })), 403, '900908');
        assertError(await call(model({ subscribedAPIs: [] })), 403, '900908');
        assert.equal((await call(model({ subscribedAPIs: undefined, allowedAPIs: [{ name: 'Shop', versions: '*' }] }))).status, 200);
        assert.equal((await call(model({ subscribedAPIs: undefined, allowedAPIs: [{ name: 'Shop', versions: ['0.9', '1.0'] }] }))).status, 200);
        assertError(await call(model({ subscribedAPIs: [{ name: 'Shop', version: '1.1' }] })), 403, '900908');
    });

    test('keeps what it is bound to, and its end', async () => {
        assert.equal((await call(model({ permittedIP: '10.0.0.0/8, 192.0.2.1' }))).status, 200);
        assertError(await call(model({ permittedIP: '192.0.2.1' })), 403, '900908');
        assertError(await call(model({ permittedReferer: 'sub.cds.com/*' })), 403, '900908');
        assert.equal((await call(model({ permittedReferer: '*.example.com/*' }))).status, 200);
        assertError(await call(model({ exp: now() - 60 })), 401, '900901');
        assert.equal((await call(model({ exp: now() + 60 }))).status, 200);
        assert.equal((await call(model({ exp: undefined }))).status, 200);
    });

    test('must be of its issuer, and a key', async () => {
        assertError(await call(model({ iss: 'https://elsewhere.test' })), 401, '900901');
        assertError(await call(model({ token_type: undefined })), 401, '900901');
        assertError(await call(model({ jti: '' })), 401, '900901');
        assertError(await call(model({}, { typ: 'at+jwt' })), 401, '900901');
    });

    test('can be revoked', async () => {
        const jti = crypto.randomUUID(), key = model({ jti });

        assert.equal((await call(key)).status, 200);
        assert.equal((await run(['apikey', 'revoke', jti, '--state-dir', gateway.stateDir])).code, 0);
        await until(async () => (await call(key)).status === 401, { what: 'the key to be refused' });
    });
});

describe('Failures', () => {
    test('are explained', async () => {
        const { apikey } = await newKey('--api', 'Elsewhere');
        // Another signature whatever it was: one that ends with AA is this one again.
        const other = `${newest.slice(0, -10)}${newest.at(-10) === 'A' ? 'B' : 'A'}${newest.slice(-9)}`;
        const answers = [await call(other), await call(own({}, { typ: 'JWT' })), await call(apikey)];
        const texts = await Promise.all(answers.map((a) => gateway.explain(a)));

        assert.match(texts[0], /signed by nobody whose keys are taken here/);
        assert.match(texts[1], /signed by nobody whose keys are taken here|of another kind than an API key/);
        assert.match(texts[2], /is for other APIs/);
    });

    test('of an address are counted before a signature is looked at', async () => {
        const strict = await startGateway({ documents: documents(), files: { 'keys.json': issuer.jwks },
            issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], authentication: { failures: 3, window: '1h' } });
        const { apikey } = await strict.newKey('--signed', '--name', 'x');
        const ask = (key) => strict.call('/shop/a', { headers: { 'X-Key': key } });

        assert.equal((await ask(apikey)).status, 200);
        for (let i = 0; i < 3; i++)
            assertError(await ask(`${apikey.slice(0, -3)}${i}AA`), 401, '900901');
        assertError(await ask(`${apikey.slice(0, -3)}xAA`), 429);
        assert.equal((await ask(apikey)).status, 200, 'what is known to be good passes');
        await strict.stop();
    });
});

describe('Commands about signed keys', () => {
    for (const [args, code, text] of [
        [['new', '--signed'], 2, /--name NAME/],
        [['new', '--signed', '--name', 'x', '--file', '/tmp/x'], 2, /--file is for keys that are not signed/],
        [['new', '--signed', '--name', 'x', ...Array.from({ length: 200 }, (_, i) => ['--referer', `${'x'.repeat(80)}${i}/*`]).flat()], 1, /no room for so much/],
        [['revoke', 'a.b.c'], 1, /no signed key/],
        [['revoke', 'x'.repeat(300)], 1, /no key has an id like this/],
    ])
        test(`say what is wrong with ${args.slice(0, 4).join(' ').slice(0, 60)}`, async () => {
            const result = await run(['apikey', ...args, ...(args.includes('--file') ? [] : ['--state-dir', gateway.stateDir])]);

            assert.equal(result.code, code, result.output);
            assert.match(result.stderr, text);
        });
});

describe('The issuer of keys', () => {
    const SHA = (text) => `@sha256:{${crypto.createHash('sha256').update(text).digest('hex')}}`;
    const basic = (name, password) => ({ Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });
    const ann = basic('ann', 'secret');
    let own;

    const ask = (target = '/apikey', headers = ann, options = {}) => own.call(target, { headers, ...options });
    const claimsOf = (answer) => {
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(Object.keys(answer.json), ['apikey']);
        assert.equal(answer.header('cache-control'), 'no-store');
        assert.match(answer.header('content-type'), /^application\/json/);
        return decode(answer.json.apikey, 1);
    };
    const use = (key, target = '/shop/a', headers = {}) => own.call(target, { headers: { 'X-Key': key, ApiKey: key, ...headers } });
    const settings = {
        issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }],
        users: [{ name: 'ann', password: SHA('secret'), scopes: ['keys', 'admin'] }, { name: 'bob', password: SHA('bob') }],
        apikeyIssuer: { enabled: true, http: true, scope: 'keys', apis: ['Shop'], validityMax: '1d', tier: 'Gold' },
        authentication: { failures: 5, window: '1h' },
        trustedProxies: ['127.0.0.1'],
    };

    before(async () => (own = await startGateway({ documents: documents(), files: { 'keys.json': issuer.jwks }, ...settings })));
    after(() => own.stop());

    test('gives a key that is good at once', async () => {
        const answer = await ask();
        const claims = claimsOf(answer);

        assert.equal(claims.sub, 'ann');
        assert.deepEqual(claims.application, { name: 'ann', owner: 'ann', tier: 'Gold' });
        assert.deepEqual(claims.subscribedAPIs, [{ name: 'Shop' }]);
        assert.equal(claims.exp - claims.iat, 24 * 3600, 'never longer than validity_max');
        assert.equal((await use(answer.json.apikey)).status, 200);
        assertError(await use(answer.json.apikey, '/old/a'), 403, '900908');
        assertError(await use(answer.json.apikey, '/shop/admin'), 403, '900910');
        assert.notEqual(claimsOf(await ask()).jti, claims.jti);
    });

    const wish = { validityTime: 60, permittedIP: '10.0.0.0/8,::1', permittedReferer: '*.example.com/*', apis: 'Shop:1.0', scope: 'admin' };
    const asForm = new URLSearchParams(Object.entries(wish).map(([k, v]) => [k, String(v)])).toString();
    const forms = {
        'the query': () => ask(`/apikey?${asForm}`),
        'a form in a GET': () => ask('/apikey', ann, { body: asForm }),
        'a form in a POST': () => ask('/apikey', { ...ann, 'Content-Type': 'application/x-www-form-urlencoded' }, { method: 'POST', body: asForm }),
        'JSON in a GET': () => ask('/apikey', { ...ann, 'Content-Type': 'application/json' }, { body: JSON.stringify(wish) }),
        'JSON with lists': () => ask('/apikey', ann, { method: 'POST', body: JSON.stringify({ ...wish, validityTime: '60', apis: ['Shop:1.0'], permittedIP: ['10.0.0.0/8', '::1'] }) }),
    };

    for (const [where, send] of Object.entries(forms))
        test(`does what is asked in ${where}`, async () => {
            const answer = await send();
            const claims = claimsOf(answer);

            assert.equal(claims.exp - claims.iat, 60);
            assert.equal(claims.permittedIP, '10.0.0.0/8,::1');
            assert.equal(claims.permittedReferer, '*.example.com/*');
            assert.equal(claims.scope, 'admin');
            assert.deepEqual(claims.subscribedAPIs, [{ name: 'Shop', version: '1.0' }]);
            assert.equal((await use(answer.json.apikey, '/shop/admin', from)).status, 200);
            assertError(await use(answer.json.apikey, '/shop/admin', { ...from, 'X-Forwarded-For': '11.0.0.1' }), 403, '900908');
        });

    for (const [what, query] of [
        ['a time that is none', 'validityTime=soon'], ['no time at all', 'validityTime=0'], ['a time of ages', 'validityTime=99999999999'],
        ['another API', 'apis=Old'], ['one more API', 'apis=Shop,Old'], ['a name that only begins alike', 'apis=Shopping'],
        ['a scope nobody gave the user', 'scope=admin+root'], ['a broken address', 'permittedIP=10.0.0.0/99'],
        ['a line break', 'permittedReferer=a%0D%0Ab'], ['too many', `apis=${Array.from({ length: 65 }, () => 'Shop').join(',')}`],
    ])
        test(`refuses ${what}`, async () => {
            const answer = await ask(`/apikey?${query}`);

            assertError(answer, 400);
            assert.equal(answer.header('cache-control'), 'no-store');
            const stdout = await own.explain(answer);

            assert.match(stdout, new RegExp(`no API key like this can be issued: ${query.split('=')[0]}`));
        });

    test('refuses a body that is too long, or broken JSON', async () => {
        assertError(await ask('/apikey', ann, { method: 'POST', body: `apis=${'x'.repeat(40000)}` }), 413);
        assertError(await ask('/apikey', ann, { method: 'POST', body: '{"validityTime":' }), 400);
        assertError(await ask('/apikey', ann, { method: 'POST', body: '{"validityTime":[60]}' }), 400);
        assertError(await ask('/apikey', ann, { method: 'POST', body: '{"apis":[7]}' }), 400);
    });

    test('gives none to others, to no other method, and to no page of another site', async () => {
        assertError(await ask('/apikey', {}), 401, '900913');
        assertError(await ask('/apikey', basic('bob', 'bob')), 403, '900910');
        assertError(await ask('/apikey', basic('ann', 'wrong')), 401, '900914');
        assertError(await ask('/apikey', basic('nobody', 'secret')), 401, '900914');
        assertError(await ask('/apikey', bearer((await ask()).json.apikey)), 401);
        assertError(await ask('/apikey', ann, { method: 'DELETE' }), 405);
        const page = await ask('/apikey', { Origin: 'https://evil.test', 'Access-Control-Request-Method': 'GET' }, { method: 'OPTIONS' });

        assertError(page, 405);
        assert.equal(page.header('access-control-allow-origin'), undefined);
    });

    test('limits guesses by address, for whom else nothing changes', async () => {
        const guess = (i) => ask('/apikey', { ...basic('ann', `guess${i}`), 'X-Forwarded-For': '192.0.2.7' });

        for (let i = 0; i < 5; i++)
            assertError(await guess(i), 401, '900914');
        const answer = await guess(9);

        assertError(answer, 429);
        assert.ok(answer.header('retry-after'));
        claimsOf(await ask());
    });

    test('stays through a reload and goes when it is switched off', async () => {
        await own.mustReload();
        const { apikey } = (await ask()).json;

        own.configure({ apikeyIssuer: { enabled: false } });
        await own.mustReload();
        assertError(await ask(), 404);
        assert.equal((await use(apikey)).status, 200, 'its keys stay good');
        own.configure({ apikeyIssuer: settings.apikeyIssuer });
        await own.mustReload();
        claimsOf(await ask());
    });

    test('answers over TLS alone unless told otherwise, and at the path that is set', async () => {
        own.configure({ apikeyIssuer: { enabled: true, path: '/keys/new', validity: '1h' } });
        await own.mustReload();
        assertError(await ask(), 404);
        const answer = await ask('/keys/new');

        assertError(answer, 403);
        assert.match(answer.text, /Unsupported Transport/);
        own.configure({ apikeyIssuer: { enabled: true, http: true, path: '/keys/new', validity: '1h' } });
        await own.mustReload();
        const claims = claimsOf(await ask('/keys/new'));

        assert.equal(claims.exp - claims.iat, 3600);
        assert.ok(!('subscribedAPIs' in claims) && !('tier' in claims.application));
        assert.equal(claimsOf(await ask('/keys/new?validityTime=-1')).exp, undefined);
        own.configure({ apikeyIssuer: settings.apikeyIssuer });
        await own.mustReload();
    });

    test('is checked before it starts', async () => {
        const refused = async (options, text) => {
            own.configure(options);
            const result = await run(['config', 'check', '--config', own.file('tollgate.yaml')]);

            own.configure({ ...settings, users: settings.users, apiKeys: undefined });
            assert.equal(result.code, 1, result.output);
            assert.match(result.output, text);
        };

        await refused({ users: [] }, /apikey_issuer.*there are no users/);
        await refused({ apiKeys: { signed: false } }, /gateway\.apikey_issuer issues signed keys/);
        await refused({ apikeyIssuer: { enabled: true, path: '/shop' } }, /is served at \/shop/);
        await refused({ apikeyIssuer: { ...settings.apikeyIssuer, tier: 'Nosuch' } }, /gateway\.apikey_issuer\.tier.*"Nosuch"/);
        await refused({ apikeyIssuer: { ...settings.apikeyIssuer, path: 'apikey' } }, /gateway\.apikey_issuer\.path/);
    });
});
