// init.test.mjs - from an empty folder to a protected, limited call.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { Gateway, assertError, run, temporary } from './lib/gateway.mjs';
import { Upstream } from './lib/upstream.mjs';
import { patience } from './lib/wait.mjs';

let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const keyOf = (output) => /ApiKey: (tg_\w+)/.exec(output)[1];

/** Ports of its own instead of the usual ones. */
function elsewhere(dir) {
    const file = path.join(dir, 'tollgate.yaml');
    const text = fs.readFileSync(file, 'utf8').replace(/127\.0\.0\.1:82(80|43)/g, '127.0.0.1:0');

    fs.writeFileSync(file, `${text}  admin: {address: "127.0.0.1:0"}\n`);
}

describe('tollgate init', () => {
    test('leads to calls that need a key and have a limit, within seconds', async () => {
        const dir = temporary(), started = Date.now();
        const made = await run(['init'], { cwd: dir });

        assert.equal(made.code, 0, made.output);
        elsewhere(dir);
        fs.writeFileSync(path.join(dir, 'apis/hello.yaml'), fs.readFileSync(path.join(dir, 'apis/hello.yaml'), 'utf8').replace('http://127.0.0.1:8290', upstream.url));
        const gateway = await new Gateway(dir, path.join(dir, 'state')).start(['gateway'], {});
        const key = keyOf(made.stdout), ask = (headers) => gateway.call('/hello/world', { headers });

        assertError(await ask(), 401, '900902');
        assertError(await ask({ ApiKey: `${key.slice(0, -1)}_` }), 401, '900901');
        while (60 - (Math.floor(Date.now() / 1000) % 60) < 5) // ten calls of one minute
            await new Promise((resolve) => setTimeout(resolve, 500));
        const waited = Date.now();

        for (let i = 0; i < 10; i++)
            assert.equal((await ask({ ApiKey: key })).status, 200);
        const refused = await ask({ ApiKey: key });

        assertError(refused, 429, '900800');
        assert.equal(upstream.requests.at(-1).url, '/hello/world');
        assert.ok(Date.now() - waited < patience(5000) && waited - started < patience(20000));
        const why = await run(['explain', refused.header('activityid')], { cwd: dir });

        assert.match(why.stdout, /the limit Starter \(10 in 1m\) is used up/);
        await gateway.stop();
    });

    test('takes a document, and has config check say what each operation requires', async () => {
        const dir = temporary();

        fs.writeFileSync(path.join(dir, 'shop.json'), JSON.stringify(openapi({
            title: 'Shop', context: '/shop', paths: { '/a': 'get', '/b': { get: { responses: {}, security: [] } } },
        })));
        const made = await run(['init', 'project', '--from', 'shop.json', '--upstream', upstream.url], { cwd: dir });

        assert.equal(made.code, 0, made.output);
        assert.match(made.stdout, /cd project\n[^]*http:\/\/127\.0\.0\.1:8280\/shop\/a$/m);
        const check = await run(['config', 'check'], { cwd: path.join(dir, 'project') });

        assert.equal(check.code, 0, check.output);
        assert.match(check.stdout, /GET +\/a +requires api_key/);
        assert.match(check.stdout, /GET +\/b +OPEN\n +1 of 2 operations are OPEN to anybody/);
    });

    test('overwrites nothing', async () => {
        const dir = temporary();

        assert.equal((await run(['init'], { cwd: dir })).code, 0);
        const again = await run(['init'], { cwd: dir });

        assert.equal(again.code, 1);
        assert.match(again.stderr, /there is a tollgate\.yaml in \. already/);
    });

    test('says what is wrong with a document', async () => {
        const dir = temporary();

        fs.writeFileSync(path.join(dir, 'x.yaml'), 'a: 1\n');
        const result = await run(['init', 'p', '--from', 'x.yaml'], { cwd: dir });

        assert.equal(result.code, 1);
        assert.match(result.stderr, /this is no OpenAPI document/);
        assert.ok(!fs.existsSync(path.join(dir, 'p')));
        assert.match((await run(['init', 'p', '--from', 'nowhere.yaml'], { cwd: dir })).stderr, /nowhere\.yaml/);
    });
});
