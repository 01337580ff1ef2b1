// routing.test.mjs - which call goes where, and what is said to whom.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { assertError, startGateway } from './lib/gateway.mjs';
import { call, connect } from './lib/raw.mjs';
import { assertNothingMalformed, startStrict } from './lib/strict.mjs';
import { Authority } from './lib/tls.mjs';
import { fields, freePort, startUpstream } from './lib/upstream.mjs';
import { until } from './lib/wait.mjs';

const ID = /^[A-Za-z0-9._-]{1,64}$/;

let upstream; // endpoint with base path /base
let second; // another backend, to tell operations and APIs apart
let strict; // sees raw bytes
let gateway;
let ca;

before(async () => {
    ca = new Authority();
    upstream = await startUpstream({ name: 'first' });
    second = await startUpstream({ name: 'second' });
    strict = await startStrict();
    const server = ca.issue('server');
    const dead = `http://127.0.0.1:${await freePort()}`;
    const to = (url) => ({ 'x-wso2-production-endpoints': { urls: [url] }, responses: { default: { description: 'any' } } });
    const cors = (extra) => ({ corsConfigurationEnabled: true, accessControlAllowMethods: ['GET', 'POST', 'PUT'], ...extra });

    gateway = await startGateway({
        documents: {
            'shop.json': openapi({
                context: '/shop',
                endpoints: `${upstream.url}/base`,
                paths: {
                    '/pets': 'get post',
                    '/pets/{id}': 'get put delete',
                    '/pets/mine': { get: to(`${second.url}/mine`) },
                    '/pets/{id}/toys/{toy}': 'get',
                    '/pets/{id}/toys/best': { get: to(`${second.url}/best`) },
                    '/item/{id}.json': 'get',
                    '/files/*': 'get put',
                    '/files/special': { get: to(`${second.url}/special`) },
                    '/redirect': 'get',
                    '/dead': { get: to(dead), post: to(dead) },
                    '/raw/*': { get: to(`${strict.url}/raw`), post: to(`${strict.url}/raw`) },
                },
            }),
            'cors.json': openapi({
                context: '/cors',
                endpoints: upstream.url,
                paths: { '/pets': 'get post', '/pets/{id}': 'get', '/dead': { get: to(dead) } },
                'x-wso2-cors': cors({ accessControlAllowOrigins: ['https://app.test', 'https://two.test'], accessControlAllowHeaders: ['X-Token', 'Content-Type'], accessControlAllowCredentials: true }),
            }),
            'star.json': openapi({
                context: '/star',
                endpoints: upstream.url,
                paths: { '/pets': 'get' },
                'x-wso2-cors': cors({ accessControlAllowOrigins: ['*'], accessControlAllowHeaders: ['X-Token'], accessControlAllowCredentials: false }),
            }),
            'secure.json': openapi({ context: '/secure', endpoints: upstream.url, paths: { '/x': 'get' }, 'x-wso2-transports': ['https'] }),
            'store1.json': openapi({ title: 'Store', version: '1.0.0', context: '/store/{version}', endpoints: `${upstream.url}/one` }),
            'store2.json': openapi({ title: 'Store', version: '2.0.0', context: '/store/{version}', endpoints: `${upstream.url}/two` }),
            'middle.json': openapi({ version: '2.1.0', context: '/v/{version}/in', endpoints: `${upstream.url}/middle` }),
            'a.json': openapi({ title: 'A', context: '/site', endpoints: `${upstream.url}/a` }),
            'b.json': openapi({ title: 'B', context: '/site', endpoints: `${second.url}/b` }),
            'moved.json': openapi({ title: 'Moved', context: '/old', endpoints: upstream.url }),
            'servers.json': openapi({ title: 'Servers', servers: [{ url: `${upstream.url}/sv/{v}`, variables: { v: { default: 'v9' } } }], paths: { '/x': 'get' } }),
        },
        apis: ['shop.json', 'cors.json', 'star.json', 'secure.json', { path: 'store1.json', default: true }, 'store2.json', 'middle.json',
            { path: 'a.json', hosts: ['a.test', 'www.a.test'] }, { path: 'b.json', hosts: ['b.test'] },
            { path: 'moved.json', context: '/moved', upstream: `${second.url}/else` }, 'servers.json'],
        tls: { certificate: server.certificate, key: server.key },
    });
});

after(async () => {
    await gateway?.stop();
    await upstream?.close();
    await second?.close();
    await strict?.close();
});

/** What the backend saw of a call; fails when there was no 200. */
async function seen(path, options) {
    const answer = await gateway.call(path, options);

    assert.equal(answer.status, 200, `${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
    return { ...answer.json, answer };
}

/** Paths that must come out as [upstream, url]. */
function matrix(rows) {
    for (const [path, name, url] of rows)
        test(`${path} goes to ${name}${url}`, async () => {
            const got = await seen(path);

            assert.deepEqual([got.upstream, got.url], [name, url]);
        });
}

describe('An operation is found by its path', () => {
    matrix([
        ['/shop/pets', 'first', '/base/pets'],
        ['/shop/pets/7', 'first', '/base/pets/7'],
        ['/shop/pets/mine', 'second', '/mine/pets/mine'], // literal before template
        ['/shop/pets/7/toys/8', 'first', '/base/pets/7/toys/8'],
        ['/shop/pets/7/toys/best', 'second', '/best/pets/7/toys/best'],
        ['/shop/pets/mine/toys/8', 'first', '/base/pets/mine/toys/8'], // back out of the literal
        ['/shop/item/42.json', 'first', '/base/item/42.json'],
        ['/shop/item/a.b.json', 'first', '/base/item/a.b.json'],
        ['/shop/files/a', 'first', '/base/files/a'],
        ['/shop/files/a/b/c.txt', 'first', '/base/files/a/b/c.txt'],
        ['/shop/files/a//b', 'first', '/base/files/a//b'],
        ['/shop/files/special', 'second', '/special/files/special'],
        ['/shop/files/special/x', 'first', '/base/files/special/x'],
        ['/moved/any/thing', 'second', '/else/any/thing'], // context and upstream of the configuration
        ['/sv/v9/x', 'first', '/sv/v9/x'], // path of the first server, variables filled in
    ]);

    for (const path of ['/shop/pets/', '/shop/pets/7/', '/shop/pets/mine/'])
        test(`${path} is the same as without its trailing slash`, async () => {
            const bare = await seen(path.slice(0, -1));

            assert.equal((await seen(path)).upstream, bare.upstream);
        });
});

describe('A path has one normal form, matched and forwarded', () => {
    matrix([
        ['/shop/./pets', 'first', '/base/pets'],
        ['/shop/x/../pets', 'first', '/base/pets'],
        ['/shop/x/%2e%2e/pets', 'first', '/base/pets'],
        ['/shop/%70ets/7', 'first', '/base/pets/7'],
        ['/shop/pets/%7euser', 'first', '/base/pets/~user'],
        ['/shop/pets/a%2fb', 'first', '/base/pets/a%2Fb'], // %2f is data
        ['/shop/pets/a%20b', 'first', '/base/pets/a%20b'],
        ['/shop/pets/caf%c3%a9', 'first', '/base/pets/caf%C3%A9'],
        ['/shop/pets/a%3Fb%23c', 'first', '/base/pets/a%3Fb%23c'],
        ['/shop/pets/a;v=1', 'first', '/base/pets/a;v=1'],
        ['/shop/pets/%6dine', 'second', '/mine/pets/mine'],
        ['/shop/files/../pets/mine', 'second', '/mine/pets/mine'],
    ]);

    for (const path of ['/SHOP/pets', '/shop/Pets', '/shop//pets', '//shop/pets', '/shop/pets;v=1', '/shop/pets%2F7/toys', '/shoppets', '/shop', '/'])
        test(`${path} is no path of the API`, async () => {
            assertError(await gateway.call(path), 404, '404');
        });

    for (const path of ['/../etc', '/shop/../../x', '/shop/pets/%00', '/shop/pets/%0d%0aX:%201', '/shop/pets/%', '/shop/pets/%g1', '/shop/files/..%2fpets', '/shop/files/%2e%2e%2fpets', '/shop/pets\\7', '/shop/pets/%5c'])
        test(`${JSON.stringify(path)} is refused or leads nowhere else`, async () => {
            const marks = [upstream.count, second.count];
            const answer = await gateway.call(path);

            assert.ok([200, 400, 404].includes(answer.status), `status ${answer.status}`);
            assert.equal(second.count, marks[1]);
            if (answer.status !== 200)
                assert.equal(upstream.count, marks[0]);
            else
                assert.match(answer.json.url, /^\/base\/(pets|files)\//);
        });
});

describe('What is not there is said in the documented words', () => {
    test('an unknown path is 404 with the whole body', async () => {
        const answer = await gateway.call('/shop/secret-name?token=secret-query');

        assert.equal(answer.status, 404);
        assert.match(answer.header('content-type'), /^application\/json/);
        assert.deepEqual(answer.json, {
            code: '404', type: 'Status report', message: 'Not Found',
            description: 'The requested resource is not available.',
        });
        assert.doesNotMatch(JSON.stringify([answer.fields, answer.text]), /secret-name|secret-query/);
    });

    test('an unknown host and an unknown context are 404 likewise', async () => {
        assertError(await gateway.call('/nowhere'), 404, '404');
        assertError(await gateway.call('/site/x', { host: 'c.test' }), 404, '404');
    });

    for (const [method, path, verbs, others] of [
        ['DELETE', '/shop/pets', ['GET', 'POST'], ['PUT', 'DELETE']],
        ['POST', '/shop/pets/7', ['GET', 'PUT', 'DELETE'], ['POST']],
        ['PATCH', '/shop/files/a/b', ['GET', 'PUT'], ['PATCH', 'POST']],
        ['get', '/shop/pets', null, null],
        ['BREW', '/shop/pets', null, null],
    ])
        test(`${method} ${path} is not among the verbs of the resource`, async () => {
            const count = upstream.count;
            const answer = await gateway.call(path, { method });

            if (verbs) {
                assertError(answer, 405, '405');
                const allow = (answer.header('allow') ?? '').split(/\s*,\s*/);

                for (const verb of verbs)
                    assert.ok(allow.includes(verb), `Allow has no ${verb}: ${allow}`);
                for (const verb of others)
                    assert.ok(!allow.includes(verb), `Allow has ${verb}: ${allow}`);
            } else {
                assert.ok([400, 404, 405, 501].includes(answer.status), `status ${answer.status}`);
            }
            assert.equal(upstream.count, count);
        });

    test('HEAD where the document only has GET is a bodiless GET, or 405 with Allow', async () => {
        const answer = await gateway.call('/shop/pets', { method: 'HEAD' });

        assert.equal(answer.bodyLength, 0);
        if (answer.status === 405)
            assert.match(answer.header('allow') ?? '', /GET/);
        else
            assert.equal(answer.status, 200);
    });

    test('OPTIONS where the document has none never reaches the backend', async () => {
        const count = upstream.count;
        const answer = await gateway.call('/shop/pets', { method: 'OPTIONS' });

        assert.ok([200, 204, 405].includes(answer.status), `status ${answer.status}`);
        assert.match(answer.header('allow') ?? '', /GET/);
        assert.equal(upstream.count, count);
    });

    test('the gateway goes on after an error on a kept connection', async () => {
        const client = await connect(gateway);

        await client.request({ path: '/nowhere' });
        assert.equal((await client.response()).status, 404);
        await client.request({ path: '/shop/pets', method: 'DELETE' });
        assert.equal((await client.response()).status, 405);
        await client.request({ path: '/shop/pets', method: 'POST', body: '{}' });
        assert.equal((await client.response()).status, 200);
        client.destroy();
    });
});

describe('Versions', () => {
    matrix([
        ['/store/1.0.0/pets', 'first', '/one/pets'],
        ['/store/2.0.0/pets', 'first', '/two/pets'],
        ['/store/pets', 'first', '/one/pets'], // the default version
        ['/v/2.1.0/in/x', 'first', '/middle/x'],
    ]);

    test('a version that is not served is not found, or a path of the default version', async () => {
        const answer = await gateway.call('/store/3.0.0/pets');

        if (answer.status === 200)
            assert.equal(answer.json.url, '/one/3.0.0/pets');
        else
            assertError(answer, 404, '404');
    });
});

describe('Virtual hosts', () => {
    for (const [host, name] of [['a.test', 'first'], ['www.a.test', 'first'], ['b.test', 'second'], ['A.TEST', 'first'], ['b.test:8080', 'second']])
        test(`${host} is served by ${name}`, async () => {
            assert.equal((await seen('/site/x', { host })).upstream, name);
        });

    test('an API without hosts is served under every name', async () => {
        for (const host of ['a.test', 'b.test', 'unknown.test', '127.0.0.1', '[::1]:80'])
            assert.equal((await seen('/shop/pets', { host })).upstream, 'first');
    });

    test('the authority of an absolute target counts, not the Host field', async () => {
        const client = await connect(gateway);

        await client.send('GET http://b.test/site/x HTTP/1.1\r\nHost: a.test\r\n\r\n');
        const answer = await client.response();

        if (answer.status === 200)
            assert.equal(answer.json.upstream, 'second');
        else
            assert.equal(answer.status, 400);
        client.destroy();
    });
});

describe('The query is kept byte for byte', () => {
    for (const query of ['?a=1&b=2', '?', '??', '?a=%20b+c&&=;x', '?%zz=%', '?u=http://x/y?z', '?x[]=1&{y}="z"', '?a=%E9&b=%e9', '?q=../../x', `?long=${'v'.repeat(4000)}`])
        test(`${query.slice(0, 40)} arrives as it was sent`, async () => {
            assert.equal((await seen(`/shop/pets${query}`)).url, `/base/pets${query}`);
        });
});

describe('Redirects of the backend', () => {
    const rows = {
        'absolute, below the base': [() => `${upstream.url}/base/pets/9?x=1`, /^(http:\/\/[^/]+)?\/shop\/pets\/9\?x=1$/],
        'a path below the base': [() => '/base/pets/9', /^(http:\/\/[^/]+)?\/shop\/pets\/9$/],
        'absolute, elsewhere': [() => 'https://elsewhere.test/base/x', /^https:\/\/elsewhere\.test\/base\/x$/],
        'relative': [() => '../pets/9', /^\.\.\/pets\/9$|\/shop\/pets\/9$/],
    };

    for (const [kind, [location, expected]] of Object.entries(rows))
        test(`that are ${kind} lead through the gateway, or away as they said`, async () => {
            upstream.handler = (req, res) => res.writeHead(302, { Location: location() }).end();
            try {
                const answer = await gateway.call('/shop/redirect', { host: 'shop.test:8080' });

                assert.equal(answer.status, 302);
                assert.match(answer.header('location'), expected);
                assert.ok(!answer.header('location').includes(String(upstream.port)), 'the backend\'s address shows');
            } finally {
                upstream.handler = null;
            }
        });
});

describe('Cross-origin requests', () => {
    const preflight = (path, origin, method, more) => gateway.call(path, {
        method: 'OPTIONS', headers: { Origin: origin, ...(method && { 'Access-Control-Request-Method': method }), ...more },
    });

    test('a pre-flight is answered by the gateway', async () => {
        const count = upstream.count;
        const answer = await preflight('/cors/pets', 'https://app.test', 'POST', { 'Access-Control-Request-Headers': 'x-token' });

        assert.equal(answer.status, 200);
        assert.equal(answer.header('access-control-allow-origin'), 'https://app.test');
        assert.equal(answer.header('access-control-allow-credentials'), 'true');
        assert.match(answer.header('access-control-allow-headers'), /x-token/i);
        assert.match(answer.header('vary') ?? '', /origin/i);
        assert.equal(upstream.count, count, 'the backend was asked');
    });

    test('it lists only the verbs the resource has', async () => {
        const verbs = async (path) => (await preflight(path, 'https://app.test', 'GET')).header('access-control-allow-methods').split(/\s*,\s*/).filter((v) => !['HEAD', 'OPTIONS'].includes(v)).sort();

        assert.deepEqual(await verbs('/cors/pets'), ['GET', 'POST']);
        assert.deepEqual(await verbs('/cors/pets/7'), ['GET']);
    });

    test('an origin that is not allowed gets no allow-origin', async () => {
        for (const origin of ['https://evil.test', 'https://app.test.evil.test', 'http://app.test', 'null']) {
            const answer = await preflight('/cors/pets', origin, 'GET');

            assert.equal(answer.header('access-control-allow-origin'), undefined, origin);
            assert.equal((await gateway.call('/cors/pets', { headers: { Origin: origin } })).header('access-control-allow-origin'), undefined, origin);
        }
    });

    test('OPTIONS without a requested method is 405', async () => {
        assertError(await preflight('/cors/pets', 'https://app.test'), 405, '405');
    });

    test('an ordinary answer carries only allow-origin and credentials', async () => {
        const answer = await gateway.call('/cors/pets', { headers: { Origin: 'https://two.test' } });

        assert.equal(answer.status, 200);
        assert.equal(answer.header('access-control-allow-origin'), 'https://two.test');
        assert.equal(answer.header('access-control-allow-credentials'), 'true');
        assert.equal(answer.header('access-control-allow-methods'), undefined);
    });

    test('the gateway\'s own errors carry them too', async () => {
        const answer = await gateway.call('/cors/dead', { headers: { Origin: 'https://app.test' } });

        assertError(answer, [500, 502, 503], /^(101\d{3}|303\d{3})$/);
        assert.equal(answer.header('access-control-allow-origin'), 'https://app.test');
    });

    test('a star stays a star, without credentials', async () => {
        const answer = await gateway.call('/star/pets', { headers: { Origin: 'https://any.test' } });

        assert.equal(answer.header('access-control-allow-origin'), '*');
        assert.notEqual(answer.header('access-control-allow-credentials'), 'true');
    });

    test('the backend\'s own CORS fields do not double the gateway\'s', async () => {
        upstream.handler = (req, res) => res.writeHead(200, { 'Access-Control-Allow-Origin': '*' }).end();
        try {
            const answer = await gateway.call('/cors/pets', { headers: { Origin: 'https://app.test' } });

            assert.deepEqual(answer.values('access-control-allow-origin'), ['https://app.test']);
        } finally {
            upstream.handler = null;
        }
    });
});

describe('Transports', () => {
    test('an API for https only refuses http and says so', async () => {
        const body = assertError(await gateway.call('/secure/x'), 403);

        assert.match(body.description, /http/i);
    });

    test('and is served over https', async () => {
        const answer = await call(gateway.tlsPort, '/secure/x', { tls: { ca: ca.pem } });

        assert.equal(answer.status, 200);
        assert.equal(answer.json.headers['x-forwarded-proto'], 'https');
    });
});

describe('Fields on the way to the backend', () => {
    test('hop-by-hop fields and those Connection names stay behind', async () => {
        const mark = strict.mark();

        await gateway.call('/shop/raw/x', {
            headers: [['Connection', 'X-Mine, close'], ['X-Mine', '1'], ['Keep-Alive', 'timeout=5'], ['Proxy-Connection', 'keep-alive'],
                ['Proxy-Authorization', 'Basic eA=='], ['TE', 'gzip'], ['Upgrade', 'foo'], ['X-Kept', 'yes']],
        });
        const { bytes } = strict.since(mark);

        assert.match(bytes, /\r\nX-Kept: yes\r\n/i);
        assert.doesNotMatch(bytes, /\r\n(x-mine|keep-alive|proxy-connection|proxy-authorization|te|upgrade):/i);
    });

    test('Connection cannot take away what the gateway needs to say', async () => {
        const mark = strict.mark();

        await gateway.call('/shop/raw/x', { headers: { Connection: 'close, X-Forwarded-For, activityid, Host, Via' } });
        const { bytes } = strict.since(mark);

        for (const name of ['host', 'x-forwarded-for', 'activityid', 'via'])
            assert.match(bytes, new RegExp(`\\r\\n${name}:`, 'i'));
    });

    test('Host is the endpoint\'s, and the asked one is told apart', async () => {
        const { headers } = await seen('/shop/pets', { host: 'shop.test:81' });

        assert.equal(headers.host, `127.0.0.1:${upstream.port}`);
        assert.equal(headers['x-forwarded-host'], 'shop.test:81');
        assert.equal(headers['x-forwarded-proto'], 'http');
    });

    test('Via names the gateway after those before it', async () => {
        assert.match((await seen('/shop/pets')).headers.via, /^1\.1 \S+$/);
        assert.match((await seen('/shop/pets', { headers: { Via: '1.0 fred' } })).headers.via, /^1\.0 fred, 1\.1 \S+$/);
    });

    test('nobody outside can pretend to be a proxy', async () => {
        const { headers } = await seen('/shop/pets', {
            headers: { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.test', 'Forwarded': 'for=6.6.6.6', 'X-Real-IP': '6.6.6.6', 'Proxy': 'http://evil.test', 'X_Forwarded_For': '6.6.6.6' },
        });

        assert.equal(headers['x-forwarded-for'], '127.0.0.1');
        assert.equal(headers['x-forwarded-proto'], 'http');
        assert.doesNotMatch(JSON.stringify(headers), /6\.6\.6\.6|evil\.test/);
    });

    test('everything else passes in order, repeated fields included', async () => {
        const got = await seen('/shop/pets', { headers: [['X-A', '1'], ['Cookie', 'a=b'], ['X-A', '2, 3'], ['Accept', '*/*'], ['User-Agent', 'tests']] });

        assert.deepEqual(fields(got, 'x-a'), ['1', '2, 3']);
        assert.deepEqual([got.headers.cookie, got.headers.accept, got.headers['user-agent']], ['a=b', '*/*', 'tests']);
    });

    test('the answer shows nothing of the backend\'s address', async () => {
        const { answer } = await seen('/shop/pets');

        assert.ok(!JSON.stringify(answer.fields).includes(String(upstream.port)));
        assert.equal(answer.values('date').length, 1);
        assert.equal(answer.values('content-type').length, 1);
    });
});

describe('The correlation id', () => {
    test('is made when there is none, and told to both sides', async () => {
        const got = await seen('/shop/pets');
        const [id] = fields(got, 'activityid');

        assert.match(id, ID);
        assert.deepEqual(got.answer.values('activityid'), [id]);
        assert.notEqual((await seen('/shop/pets')).headers.activityid, id, 'it is new each time');
    });

    test('is kept when it is given', async () => {
        const got = await seen('/shop/pets', { headers: { activityid: 'My-Id_1.2' } });

        assert.deepEqual(fields(got, 'activityid'), ['My-Id_1.2']);
        assert.deepEqual(got.answer.values('activityid'), ['My-Id_1.2']);
    });

    test('comes with errors, too', async () => {
        assert.equal((await gateway.call('/nowhere', { headers: { activityid: 'lost' } })).header('activityid'), 'lost');
        assert.match((await gateway.call('/nowhere')).header('activityid'), ID);
    });

    for (const bad of ['a b', 'x'.repeat(65), '"><script>', 'a,b', 'caf\xe9', '${jndi:x}', ''])
        test(`${JSON.stringify(bad.slice(0, 20))} is replaced`, async () => {
            const got = await seen('/shop/pets', { headers: { activityid: bad } });
            const ids = fields(got, 'activityid');

            assert.equal(ids.length, 1);
            assert.match(ids[0], ID);
            assert.notEqual(ids[0], bad);
            assert.deepEqual(got.answer.values('activityid'), ids);
        });

    test('two of them become one', async () => {
        const got = await seen('/shop/pets', { headers: [['activityid', 'one'], ['activityid', 'two']] });

        assert.equal(fields(got, 'activityid').length, 1);
        assert.equal(got.answer.values('activityid').length, 1);
    });
});

describe('SOAP', () => {
    const soap = { 'Content-Type': 'text/xml; charset=utf-8', 'SOAPAction': '"urn:x"' };
    const envelope = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>';

    test('passes untouched', async () => {
        const got = await seen('/shop/pets', { method: 'POST', headers: soap, body: envelope });

        assert.deepEqual([got.body, got.headers.soapaction], [envelope, '"urn:x"']);
    });

    test('gets its errors as a fault', async () => {
        const answer = await gateway.call('/shop/dead', { method: 'POST', headers: soap, body: envelope });

        assert.ok(answer.status >= 500, `status ${answer.status}`);
        assert.match(answer.header('content-type'), /^text\/xml/);
        assert.match(answer.text, /http:\/\/schemas\.xmlsoap\.org\/soap\/envelope\//);
        assert.match(answer.text, /<faultcode>[^<]*Server<\/faultcode>/);
        assert.match(answer.text, /<faultstring[^>]*>[^<]+<\/faultstring>/);
        assert.match(answer.text, /101\d{3}|303\d{3}/);
    });

    test('SOAP 1.2 requests do, too', async () => {
        const answer = await gateway.call('/shop/dead', { method: 'POST', headers: { 'Content-Type': 'application/soap+xml' }, body: '<x/>' });

        assert.match(answer.header('content-type'), /xml/);
        assert.match(answer.text, /Fault>/);
    });

    test('JSON clients get JSON from the same operation', async () => {
        assertError(await gateway.call('/shop/dead'), [500, 502, 503], /^(101\d{3}|303\d{3})$/);
    });
});

describe('Behind a trusted balancer', () => {
    let behind;
    const log = () => behind.file('access.log');

    before(async () => {
        behind = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: upstream.url }) },
            trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'],
        });
        behind.configure({ accessLog: { file: log(), format: '%h %{activityid}x' } });
        await behind.mustReload();
    });
    after(() => behind?.stop());

    test('X-Forwarded-For grows by the balancer\'s address', async () => {
        const { headers } = (await behind.call('/api/x', { headers: { 'X-Forwarded-For': '1.2.3.4, 10.0.0.1', 'X-Forwarded-Proto': 'https' } })).json;

        assert.match(headers['x-forwarded-for'], /1\.2\.3\.4/);
        assert.match(headers['x-forwarded-for'], /127\.0\.0\.1$/);
        assert.equal(headers['x-forwarded-proto'], 'https');
    });

    test('the client is the right-most address that is not trusted', async () => {
        const clientOf = async (list) => {
            const id = `id-${list.length}`;

            await behind.call('/api/x', { headers: { 'X-Forwarded-For': list, activityid: id } });
            return until(() => new RegExp(`^(\\S+) ${id}$`, 'm').exec(fs.existsSync(log()) ? fs.readFileSync(log(), 'utf8') : '')?.[1], { what: 'a line in the access log' });
        };

        assert.equal(await clientOf('9.9.9.9, 1.2.3.4, 10.0.0.1'), '1.2.3.4');
        assert.equal(await clientOf('5.6.7.8'), '5.6.7.8');
        assert.equal(await clientOf('1.2.3.4, <script>, 10.0.0.1'), '10.0.0.1'); // no address: the one before it
        assert.equal(await clientOf('2001:db8::1'), '2001:db8::1');
    });

    test('a PROXY header gives the client\'s address, versions 1 and 2', async () => {
        const own = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: upstream.url }) },
            trustedProxies: ['127.0.0.0/8'],
            listeners: [{ address: '127.0.0.1:0', proxyProtocol: true }],
        });
        const v2 = Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), Buffer.from([0x21, 0x11, 0, 12, 9, 8, 7, 6, 127, 0, 0, 1, 0x10, 0, 0, 80])]);

        for (const [head, address] of [['PROXY TCP4 9.8.7.6 127.0.0.1 4096 80\r\n', '9.8.7.6'], [v2, '9.8.7.6']]) {
            const client = await connect(own);

            await client.write(head);
            await client.request({ path: '/api/x' });
            assert.match((await client.response()).json.headers['x-forwarded-for'], new RegExp(address.replaceAll('.', '\\.')));
            client.destroy();
        }
        const bare = await connect(own);

        await bare.request({ path: '/api/x' });
        assert.ok(await bare.when((c) => c.over), 'a trusted peer without the header is turned away');
        assert.ok(bare.responses.every((r) => r.status === 400));
        bare.destroy();
        await own.stop();
    });
});

test('nothing malformed was sent upstream', () => {
    assertNothingMalformed();
});
