// basic.test.mjs - user names and passwords.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, PROGRAM, assertError, startGateway } from './lib/gateway.mjs';
import { Upstream } from './lib/upstream.mjs';

const hash = (password) => execFileSync(PROGRAM, ['password'], { input: `${password}\n`, encoding: 'utf8' }).trim();
const digest = (algorithm, text) => createHash(algorithm).update(text).digest('hex');
const basic = (name, password) => ({ Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });
const documents = (upstream) => ({
    'a.json': openapi({
        title: 'A', version: '1', context: '/a', endpoints: upstream.url, paths: {
            '/any': { get: { responses: {}, security: [{ user: [] }] }, post: { responses: {}, security: [{ user: [] }] } },
            '/admin': { get: { responses: {}, security: [{ user: ['admin'] }] } },
        },
        components: { securitySchemes: { user: { type: 'http', scheme: 'basic' } } },
    }),
});

let upstream, gateway;

before(async () => {
    upstream = await new Upstream().listen();
    gateway = await startGateway({
        documents: documents(upstream),
        users: [
            { name: 'ann', password: hash('correct horse: battery'), scopes: ['admin'] },
            { name: 'old', password: digest('sha1', 'one') },
            { name: 'newer', password: `@sha256:{${digest('sha256', 'two')}}` },
            { name: 'newest@example.com', password: `@sha512:{${digest('sha512', 'three')}}` },
        ],
        authentication: { failures: 1000 },
    });
});
after(async () => {
    await gateway.stop();
    await upstream.close();
});

const ask = (name, password, target = '/a/any') => gateway.call(target, { headers: basic(name, password) });

describe('A user', () => {
    test('with the right password passes, whatever its hash', async () => {
        for (const [name, password] of [['ann', 'correct horse: battery'], ['old', 'one'], ['newer', 'two'], ['newest@example.com', 'three']])
            for (let i = 0; i < 2; i++)
                assert.equal((await ask(name, password)).status, 200, name);
        assert.equal(upstream.requests.at(-1).headers.authorization, undefined);
    });

    test('waits with a body as well as without', async () => {
        const answer = await gateway.call('/a/any', { method: 'POST', headers: basic('ann', 'correct horse: battery'), body: 'x'.repeat(50000) });

        assert.equal(answer.status, 200);
        assert.equal(upstream.requests.at(-1).body.length, 50000);
    });

    test('is not told whether name or password was wrong', async () => {
        const answers = [await ask('ann', 'wrong'), await ask('nobody', 'wrong'), await ask('old', 'two'), await ask('', ''), await ask('ann', 'x'.repeat(1000))];

        for (const answer of answers) {
            assertError(answer, 401, '900914');
            assert.equal(answer.text, answers[0].text);
            assert.equal(answer.header('www-authenticate'), 'Basic realm="Tollgate"');
        }
        for (const value of ['Basic', 'Basic !!!', 'Basic YTpi\u00e4', `Basic ${Buffer.from('no colon').toString('base64')}`, `Basic ${'QUFB'.repeat(1000)}`]) {
            const answer = await gateway.call('/a/any', { headers: { Authorization: value } });

            assert.ok(answer.status === 401, `${value.slice(0, 30)}: ${answer.status}`);
        }
    });

    test('who sends nothing gets 900913', async () => {
        assertError(await gateway.call('/a/any'), 401, '900913');
    });

    test('may only do what the scopes say', async () => {
        assert.equal((await ask('ann', 'correct horse: battery', '/a/admin')).status, 200);
        assertError(await ask('old', 'one', '/a/admin'), 403, '900910');
    });

    test('takes as long when there is no such user', async () => {
        const time = async (name) => {
            const times = [];

            for (let i = 0; i < 7; i++) {
                const start = process.hrtime.bigint();

                await ask(name, `wrong ${name} ${i}`);
                times.push(Number(process.hrtime.bigint() - start) / 1e6);
            }
            return times.sort((a, b) => a - b)[3];
        };
        const known = await time('ann'), unknown = await time('nobody');

        assert.ok(unknown > known / 4 && unknown < known * 4, `${known} ms and ${unknown} ms`);
    });

    test('leaving while the password is compared harms nobody', async () => {
        const { connect } = await import('node:net');

        for (let i = 0; i < 20; i++) {
            const socket = connect(gateway.port, '127.0.0.1', () => {
                socket.write(`GET /a/any HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('ann', `gone ${i}`).Authorization}\r\n\r\n`);
                setTimeout(() => socket.destroy(), 5);
            });

            socket.on('error', () => {});
        }
        await new Promise((resolve) => setTimeout(resolve, 300));
        assert.equal((await ask('ann', 'correct horse: battery')).status, 200);
    });
});

describe('Users in the settings', () => {
    for (const [what, users, text] of [
        ['none', [], /there are no users.*users: \[\{name: NAME/],
        ['a password in the clear', [{ name: 'a', password: 'secret' }], /users\[0\]\.password must be a hash: `tollgate password`/],
        ['a hash that costs too much', [{ name: 'a', password: '$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$AAAA' }], /more than 256 MiB/],
        ['a colon', [{ name: 'a:b', password: digest('sha1', 'x') }], /users\[0\]\.name must not be empty or have a colon/],
        ['a name twice', [{ name: 'a', password: digest('sha1', 'x') }, { name: 'a', password: digest('sha1', 'y') }], /users\[1\]\.name is there twice/],
    ])
        test(`are refused: ${what}`, async () => {
            const error = await startGateway({ documents: documents(upstream), users }).then((g) => g.stop(), (e) => e);

            assert.ok(error instanceof GatewayRefused);
            assert.match(error.stderr, text);
            assert.ok(!error.stderr.includes('secret'));
        });
});
