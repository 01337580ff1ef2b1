// deny.test.mjs - deny rules: who is blocked, from when, and for how long.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { assertError, run, startGateway } from './lib/gateway.mjs';
import { PATHS, gathered, grpc, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { Load } from './lib/load.mjs';
import { countryDatabase } from './lib/mmdb.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { SLOW, patience, pause, until } from './lib/wait.mjs';

const issuer = new Issuer();
const SOON_MS = SLOW ? 6000 : 1500; // a second, and what the machine needs to tell it
let upstream, echo, gateway, file;

before(async () => {
    upstream = await startUpstream({
        stream(req, res) {
            req.resume();
            if (!req.url.includes('events')) {
                res.end('hello');
                return;
            }
            res.writeHead(200, { 'Content-Type': 'text/event-stream' });
            const timer = setInterval(() => res.write('data: tick\n\n'), 50);

            res.on('close', () => clearInterval(timer));
        },
    });
    new WebSocketServer({ server: upstream.server }).on('connection', (ws) => ws.on('error', () => {}).on('message', (m) => ws.send(String(m))));
    echo = await startGrpcServer();
    const open = (title, context, version = '1.0') => openapi({ title, version, context, endpoints: upstream.url, paths: { '/*': 'get post' } });
    const token = { components: { securitySchemes: { token: { type: 'oauth2', flows: {} } } }, security: [{ token: [] }] };

    gateway = await startGateway({
        documents: {
            'shop.json': open('Shop', '/shop'), 'other.json': open('Other', '/other'),
            'safe.json': openapi({ title: 'Safe', version: '1', context: '/safe', endpoints: upstream.url, paths: { '/*': 'get' }, ...token }),
            'echo.json': openapi({ title: 'Echo', version: '1', context: '/', endpoints: `h2c://127.0.0.1:${echo.port}`, paths: PATHS, ...token }),
        },
        files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], trustedProxies: ['127.0.0.1'], threads: 2,
        events: { to: 'file' },
    });
    file = `${gateway.stateDir}/deny.yaml`;
});
after(async () => {
    await gateway?.stop();
    echo?.stop();
    await upstream?.close();
});

const deny = (...args) => run(['deny', ...args, '--state-dir', gateway.stateDir]);

/** Adds a rule, runs body with its id, takes it back. */
async function denied(args, body) {
    const added = await deny('add', ...args);

    assert.equal(added.code, 0, added.output);
    const id = added.stdout.trim();

    try {
        await body(id);
    } finally {
        assert.equal((await deny('remove', id)).code, 0);
        await pause(patience(400)); // it holds for a moment more
    }
}

/** What metrics say of a file that is watched. */
async function told(name) {
    const metrics = await gateway.metrics();

    return Object.fromEntries(['entries', 'stale', 'failures_total'].map((what) => [what, metrics.sum(`tollgate_file_${what}`, { file: name })]));
}

const from = (address) => ({ 'X-Forwarded-For': address });
const of = (claims) => bearer(issuer.token(claims));

async function becomes(status, target, options) {
    const began = Date.now();

    await until(async () => (await gateway.call(target, options)).status === status, { ms: 5000, what: `${status} for ${target}` });
    assert.ok(Date.now() - began < SOON_MS, `after ${Date.now() - began} ms`);
}

describe('a rule blocks', () => {
    for (const [what, args, blocked, passing] of [
        ['an API by its name', ['--api', 'Shop'], [['/shop/a']], [['/other/a'], ['/safe/a', of({ sub: 'ann' })]]],
        ['a version of it', ['--api', 'Shop:1.0'], [['/shop/a']], [['/other/a']]],
        ['a context', ['--api', '/other'], [['/other/a']], [['/shop/a']]],
        ['a user', ['--user', 'ann'], [['/safe/a', of({ sub: 'ann' })]], [['/safe/a', of({ sub: 'bob' })], ['/shop/a']]],
        ['users by a pattern', ['--user', '*@example.com'], [['/safe/a', of({ sub: 'ann@example.com' })]], [['/safe/a', of({ sub: 'ann@example.org' })]]],
        ['an application', ['--application', 'badapp'], [['/safe/a', of({ sub: 'x', azp: 'badapp' })]], [['/safe/a', of({ sub: 'x', azp: 'goodapp' })]]],
        ['an address', ['--address', '10.1.2.3'], [['/shop/a', from('10.1.2.3')]], [['/shop/a', from('10.1.2.4')], ['/shop/a']]],
        ['a range', ['--address', '10.1.0.0/16'], [['/shop/a', from('10.1.255.255')], ['/other/a', from('10.1.0.0')]], [['/shop/a', from('10.2.0.0')], ['/shop/a', from('10.0.255.255')]]],
        ['addresses from one to another', ['--address', '10.1.2.5-10.1.2.9'], [['/shop/a', from('10.1.2.5')], ['/shop/a', from('10.1.2.9')]], [['/shop/a', from('10.1.2.4')], ['/shop/a', from('10.1.2.10')]]],
        ['an IPv6 range', ['--address', '2001:db8::/32'], [['/shop/a', from('2001:db8:1::1')]], [['/shop/a', from('2001:db9::1')]]],
        ['all of IPv6 and nothing of IPv4', ['--address', '::/0'], [['/shop/a', from('2001:db8::1')], ['/shop/a', from('::1')]], [['/shop/a', from('10.1.2.3')], ['/shop/a']]],
        ['all but a range', ['--not-address', '127.0.0.0/8'], [['/shop/a', from('10.1.2.3')]], [['/shop/a']]],
        ['a path', ['--path', '/shop/admin/*'], [['/shop/admin/x'], ['/shop/%61dmin/x']], [['/shop/x']]],
        ['a field', ['--header', 'X-Bad=yes*'], [['/shop/a', { 'x-bad': 'yes, it is' }]], [['/shop/a', { 'x-bad': 'no' }], ['/shop/a']]],
        ['all parts together', ['--api', 'Shop', '--address', '10.1.2.3', '--method', 'get'], [['/shop/a', from('10.1.2.3')]], [['/other/a', from('10.1.2.3')], ['/shop/a', from('10.1.2.4')]]],
    ])
        test(what, () => denied(args, async () => {
            await becomes(403, blocked[0][0], { headers: blocked[0][1] });
            for (const [target, headers] of blocked) {
                const seen = upstream.count;

                assertError(await gateway.call(target, { headers }), 403, '900805');
                assert.equal(upstream.count, seen, 'the backend was not called');
            }
            for (const [target, headers] of passing)
                assert.equal((await gateway.call(target, { headers })).status, 200, `${target} ${JSON.stringify(headers ?? {})}`);
        }));

    test('until its time is over', async () => {
        const added = await deny('add', '--api', 'Shop', '--for', '3s');

        assert.equal(added.code, 0, added.output);
        await becomes(403, '/shop/a');
        await until(async () => (await gateway.call('/shop/a')).status === 200, { ms: 6000, what: 'the end of it' });
        assert.match((await deny('list')).stdout, /^over /m);
        await deny('remove', added.stdout.trim());
    });

    test('until it is taken back, within a second', async () => {
        await denied(['--api', 'Shop'], () => becomes(403, '/shop/a'));
        await becomes(200, '/shop/a');
    });

    test('before a credential is looked at', () => denied(['--address', '10.9.9.9'], async () => {
        await becomes(403, '/safe/a', { headers: from('10.9.9.9') });
        assertError(await gateway.call('/safe/a', { headers: { ...from('10.9.9.9'), ...bearer('nonsense') } }), 403, '900805');
        assertError(await gateway.call('/safe/a'), 401, '900902');
    }));
});

describe('it is told', () => {
    test('why, with what would have made it pass', () => denied(['--address', '10.7.0.0/16', '--note', 'ticket 17'], async (id) => {
        await becomes(403, '/shop/a', { headers: from('10.7.1.1') });
        const answer = await gateway.call('/shop/a', { headers: from('10.7.1.1') });
        const told = await run(['explain', answer.header('activityid'), '--state-dir', gateway.stateDir]);

        assert.equal(told.code, 0, told.output);
        assert.match(told.stdout, new RegExp(id));
        assert.match(told.stdout, /ticket 17/);
        assert.match(told.stdout, /tollgate deny remove/);
        assert.ok(!answer.text.includes('ticket'), 'the caller does not see the note');
    }));

    test('as an event', () => denied(['--api', 'Other'], async () => {
        await becomes(403, '/other/a');
        const id = (await gateway.call('/other/a')).header('activityid');
        let event;

        await until(() => (event = fs.readFileSync(`${gateway.stateDir}/events.ndjson`, 'utf8').split('\n').filter(Boolean).map(JSON.parse).find((e) => e.correlationId === id)), { what: 'the event' });
        assert.deepEqual([event.errorCode, event.errorType, event.errorMessage], [900805, 'THROTTLED', 'BLOCKED']);
    }));

    test('in a list', () => denied(['--user', 'ann', '--note', 'why not'], async (id) => {
        assert.match((await deny('list')).stdout, new RegExp(`^blocks +rule ${id} \\(user: ann\\): why not$`, 'm'));
    }));
});

describe('the file', () => {
    after(() => fs.rmSync(file, { force: true }));

    test('may be written by hand, and keeps its comments', async () => {
        gateway.write('state/deny.yaml', '# who was rude\n- {user: mallory}   # 2026\n- api: Other\n  method: POST\n');
        await becomes(403, '/other/a', { method: 'POST' });
        assert.equal((await gateway.call('/other/a')).status, 200);
        await denied(['--address', '10.1.1.1'], async () => {
            await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
            assert.match(fs.readFileSync(file, 'utf8'), /# who was rude\n- \{user: mallory\} {3}# 2026\n/);
        });
        assert.equal(fs.readFileSync(file, 'utf8'), '# who was rude\n- {user: mallory}   # 2026\n- api: Other\n  method: POST\n');
    });

    test('that is broken leaves the rules as they were, and says so', async () => {
        gateway.write('state/deny.yaml', '- {user: mallory}\n- {api: Other}\n');
        await becomes(403, '/other/a');
        gateway.write('state/deny.yaml', '- {user: mallory}\n- {colour: green}\n');
        await until(() => gateway.logs().some((l) => /deny\.yaml:2: .*colour/.test(l.message)), { what: 'a word about it' });
        assert.equal((await gateway.call('/other/a')).status, 403, 'the old rules hold');
        assert.deepEqual(await told('deny'), { entries: 2, stale: 1, failures_total: 1 });
        fs.rmSync(file);
        await until(async () => (await told('deny')).failures_total === 2, { what: 'its absence to be noticed' });
        assert.equal((await gateway.call('/other/a')).status, 403, 'no file is not no rules');
        gateway.write('state/deny.yaml', '');
        await becomes(200, '/other/a');
        assert.deepEqual(await told('deny'), { entries: 0, stale: 0, failures_total: 2 });
    });

    test('with 10,000 rules costs no more than one', async () => {
        const rules = Array.from({ length: 10000 }, (_, i) => (i % 2 ? `- {user: user${i}}` : `- {address: 10.${i >> 8}.${i & 255}.0/24}`));
        const time = async () => {
            const load = new Load(gateway.port, { rate: 1e6, connections: 4, path: '/safe/a', request: () => ({ path: '/safe/a', headers: of({ sub: 'nobody' }) }) }).start();

            await pause(500);
            await load.stop();
            assert.deepEqual(load.failures, []);
            return load.done;
        };
        const few = await time();

        gateway.write('state/deny.yaml', `${rules.join('\n')}\n`);
        await becomes(403, '/shop/a', { headers: from('10.39.14.1') });
        const many = await time();

        assert.ok(many > few / 3, `${few} calls with one rule, ${many} with 10,000`);
        gateway.write('state/deny.yaml', '');
        await becomes(200, '/shop/a', { headers: from('10.39.14.1') });
    });

    test('that settings name must be there', async () => {
        gateway.configure({ access: { denyFile: `${gateway.dir}/missing.yaml` } });
        const refused = await gateway.reload();

        assert.equal(refused.code, 1);
        assert.match(refused.output, /missing\.yaml is not there; `tollgate deny add` makes it/);
        gateway.write('missing.yaml', '- {api: Shop}\n');
        await gateway.mustReload();
        assert.equal((await gateway.call('/shop/a')).status, 403);
        gateway.configure({ access: {} });
        await gateway.mustReload();
        assert.equal((await gateway.call('/shop/a')).status, 200);
    });

    test('changes under load block those it names and nobody else', async () => {
        const good = new Load(gateway.port, { rate: SLOW ? 100 : 400, connections: 8, path: '/other/a' }).start();

        for (let i = 0; i < 5; i++)
            await denied(['--api', 'Shop'], () => becomes(403, '/shop/a'));
        await good.stop();
        assert.deepEqual(good.failures, []);
        assert.ok(good.done > 50);
    });
});

describe('countries', () => {
    const put = (countries) => {
        fs.writeFileSync(`${gateway.dir}/countries.new`, countryDatabase(countries));
        fs.renameSync(`${gateway.dir}/countries.new`, `${gateway.dir}/countries.mmdb`);
    };

    before(async () => {
        put({ '10.0.0.0/8': 'DE', '192.0.2.0/24': 'FR', '2001:db8::/32': 'DE' });
        gateway.configure({ access: { countryFile: `${gateway.dir}/countries.mmdb` } });
        await gateway.mustReload();
    });

    test('are blocked, by IPv4 and IPv6', () => denied(['--country', 'de'], async () => {
        await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
        assertError(await gateway.call('/shop/a', { headers: from('2001:db8::7') }), 403, '900805');
        for (const address of ['192.0.2.1', '11.0.0.1', '2001:db9::1'])
            assert.equal((await gateway.call('/shop/a', { headers: from(address) })).status, 200, address);
    }));

    test('all but some, for one API: who is nowhere is not in one of them', () => denied(['--api', 'Shop', '--not-country', 'FR'], async () => {
        await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
        assert.equal((await gateway.call('/shop/a')).status, 403);
        assert.equal((await gateway.call('/shop/a', { headers: from('192.0.2.1') })).status, 200);
        assert.equal((await gateway.call('/other/a', { headers: from('10.1.1.1') })).status, 200);
    }));

    test('by a database that is replaced', () => denied(['--country', 'DE'], async () => {
        await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
        put({ '10.0.0.0/8': 'AT' });
        await becomes(200, '/shop/a', { headers: from('10.1.1.1') });
        fs.writeFileSync(`${gateway.dir}/countries.new`, 'no database');
        fs.renameSync(`${gateway.dir}/countries.new`, `${gateway.dir}/countries.mmdb`);
        await until(() => gateway.logs().some((l) => /countries\.mmdb.* is no database of countries/.test(l.message)), { what: 'a word about it' });
        assert.equal((await gateway.call('/shop/a', { headers: from('10.1.1.1') })).status, 200);
    }));

    test('by a database that somebody overwrites in place', () => denied(['--country', 'DE'], async () => {
        const path = `${gateway.dir}/countries.mmdb`;

        put({ '10.0.0.0/8': 'DE' });
        await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
        fs.truncateSync(path, 0); // what cp does first
        for (let i = 0; i < 10; i++) {
            assert.equal((await gateway.call('/shop/a', { headers: from('10.1.1.1') })).status, 403);
            await pause(50);
        }
        fs.writeFileSync(path, countryDatabase({ '10.0.0.0/8': 'AT' }));
        await becomes(200, '/shop/a', { headers: from('10.1.1.1') });
        assert.equal((await told('countries')).stale, 0);
    }));

    test('want one that knows countries, not another kind of database', async () => {
        put({ '10.0.0.0/8': 'Not a code' });
        assert.match((await gateway.reload()).output, /countries\.mmdb: is no database of countries: it has no country\.iso_code/);
        put({ '10.0.0.0/8': 'DE' });
        await gateway.mustReload();
    });

    test('are asked for by the settings in use, not by some that were refused', () => denied(['--country', 'DE'], async () => {
        put({ '10.0.0.0/8': 'DE', '192.0.2.0/24': 'FR' });
        await becomes(403, '/shop/a', { headers: from('10.1.1.1') });
        gateway.configure({ access: {} }); // which the rule does not allow
        assert.match((await gateway.reload()).output, /asks for a country/);
        await denied(['--country', 'FR'], () => becomes(403, '/shop/a', { headers: from('192.0.2.1') }));
        gateway.configure({ access: { countryFile: `${gateway.dir}/countries.mmdb` } });
    }));

    test('want a database, and are countries', async () => {
        gateway.configure({ access: { countryFile: `${gateway.dir}/nothing.mmdb` } });
        assert.match((await gateway.reload()).output, /nothing\.mmdb: is no database of countries: No such file/);
        gateway.configure({ access: {} });
        await gateway.mustReload();
        assert.match((await deny('add', '--country', 'Germany')).output, /is no country, such as DE/);
        gateway.write('state/deny.yaml', '- {country: DE}\n');
        assert.match((await gateway.reload()).output, /asks for a country, and nothing knows those/);
        gateway.write('state/deny.yaml', '');
        await gateway.mustReload();
    });
});

describe('open streams end within a second', () => {
    test('gRPC', async () => {
        const client = grpcClient(gateway.port);
        const metadata = new grpc.Metadata();

        metadata.set('authorization', `Bearer ${issuer.token({ sub: 'carol' })}`);
        const chat = client.client.chat(metadata);
        const all = gathered(chat);

        chat.write(Buffer.from('one'));
        await pause(patience(200));
        await denied(['--user', 'carol'], async () => {
            const began = Date.now();
            const out = await all;

            assert.equal(out.code, grpc.status.PERMISSION_DENIED, out.details);
            assert.ok(Date.now() - began < SOON_MS);
        });
        client.close();
    });

    test('WebSockets, those of others stay', async () => {
        const open = async (sub) => {
            const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/safe/ws`, { headers: of({ sub }) });
            const closed = new Promise((resolve) => ws.on('close', (code) => resolve({ code, at: Date.now() })));

            await new Promise((resolve) => ws.on('open', resolve));
            return { ws, closed };
        };
        const [one, two] = [await open('dave'), await open('eve')];

        await denied(['--user', 'dave'], async () => {
            const began = Date.now();
            const { code, at } = await one.closed;

            assert.equal(code, 1008);
            assert.ok(at - began < SOON_MS, `${at - began} ms`);
            two.ws.send('here');
            await new Promise((resolve) => two.ws.on('message', resolve));
        });
        two.ws.close();
    });

    test('event streams', async () => {
        const response = await new Promise((resolve, reject) => http.get(`${gateway.url}/shop/events`, { agent: false }, resolve).on('error', reject));
        const closed = new Promise((resolve) => response.on('close', () => resolve(Date.now())));

        response.on('error', () => {}).resume();
        await denied(['--api', 'Shop'], async () => {
            const began = Date.now();

            assert.ok((await closed) - began < SOON_MS);
        });
    });
});

describe('the command', () => {
    test('refuses what would block nothing, or is none', async () => {
        for (const [args, expected] of [
            [['add'], /names no api, application, user/],
            [['add', '--address', '10.1.2.300'], /10\.1\.2\.300/],
            [['add', '--method', 'G T'], /is no method/],
            [['add', '--api', 'x', '--for', 'ever'], /--for wants a time/],
            [['remove', 'nothere'], /there is no rule nothere/],
        ]) {
            const result = await deny(...args);

            assert.notEqual(result.code, 0);
            assert.match(result.output, expected);
        }
    });
});
