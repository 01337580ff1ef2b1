// cli.test.mjs - what a person meets on the command line.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { spawn } from 'node:child_process';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, PROGRAM, run, startGateway, startGatewayByFlags, temporary } from './lib/gateway.mjs';
import { call } from './lib/raw.mjs';
import { freePort, startUpstream } from './lib/upstream.mjs';
import { until, within } from './lib/wait.mjs';

const COMMANDS = ['gateway', 'reload', 'config check', 'config show', 'config reference', 'echo', 'version'];
const URL_OF_NOBODY = 'http://127.0.0.1:9';

/** A folder with these files. */
function folder(files = {}) {
    const dir = temporary();

    for (const [name, content] of Object.entries(files))
        fs.writeFileSync(path.join(dir, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
    return dir;
}

const GOOD = openapi({ context: '/api', endpoints: URL_OF_NOBODY, paths: { '/x': 'get post' } });

describe('Help', () => {
    test('without a command lists the commands', async () => {
        const result = await run([]);

        for (const command of COMMANDS)
            assert.match(result.output, new RegExp(`\\b${command}\\b`));
    });

    for (const args of [['help'], ['--help'], ['-h']])
        test(`tollgate ${args[0]} goes to standard output and is a success`, async () => {
            const result = await run(args);

            assert.equal(result.code, 0);
            for (const command of COMMANDS)
                assert.match(result.stdout, new RegExp(`\\b${command}\\b`));
            assert.equal(result.stderr, '');
        });

    for (const command of COMMANDS)
        test(`tollgate ${command} --help says what it is for`, async () => {
            const result = await run([...command.split(' '), '--help']);

            assert.equal(result.code, 0);
            assert.ok(result.stdout.includes(`tollgate ${command}`), result.stdout);
            assert.equal(result.stderr, '');
            for (const line of result.stdout.split('\n'))
                assert.ok(line.length <= 80, `a line of ${line.length} columns: ${line}`);
        });

    test('of the gateway names every flag', async () => {
        const { stdout } = await run(['gateway', '--help']);

        for (const flag of ['--config', '--http', '--https', '--admin', '--upstream', '--threads', '--security', '--state-dir'])
            assert.ok(stdout.includes(flag), `${flag} is missing`);
    });
});

describe('Mistakes', () => {
    const cases = [
        [['gatway'], /gateway/],
        [['nonsense'], /help/],
        [['gateway', '--upstrem', 'http://x'], /--upstream/],
        [['gateway', '--treads=2', 'x.yaml'], /--threads/],
        [['gateway', '--threads', 'many', 'x.yaml'], /threads/],
        [['gateway', '--security', 'maybe', 'x.yaml'], /on\|off|on or off/],
        [['gateway', '--http', 'nowhere', 'x.yaml'], /--http/],
        [['gateway', '--upstream', 'not a url', 'x.yaml'], /--upstream/],
        [['gateway', '--config'], /--config/],
        [['config'], /check/],
        [['config', 'chek'], /check/],
        [['echo', '--listen', 'here'], /listen/],
        [['version', 'please'], /version/],
    ];

    for (const [args, hint] of cases)
        test(`tollgate ${args.join(' ')} ends with 2 and a hint`, async () => {
            const result = await run(args, { cwd: temporary() });

            assert.equal(result.code, 2, result.output);
            assert.match(result.stderr, hint);
        });

    test('a gateway with nothing to serve says so', async () => {
        const result = await run(['gateway'], { cwd: temporary() });

        assert.notEqual(result.code, 0);
        assert.match(result.stderr, /FILE|document|--config/);
    });

    test('a document that is not there is named', async () => {
        const result = await run(['gateway', '--state-dir', temporary(), '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', 'missing.yaml'], { cwd: temporary() });

        assert.equal(result.code, 1);
        assert.match(result.stderr, /missing\.yaml/);
    });

    test('a port that is taken is named', async () => {
        const taken = await startUpstream();
        const dir = folder({ 'api.json': GOOD });
        const result = await run(['gateway', '--state-dir', path.join(dir, 'state'), '--http', `127.0.0.1:${taken.port}`, '--admin', '127.0.0.1:0', 'api.json'], { cwd: dir });

        await taken.close();
        assert.equal(result.code, 1);
        assert.match(result.stderr, new RegExp(String(taken.port)));
        assert.match(result.stderr, /in use/i);
    });
});

test('tollgate version prints the version on one line', async () => {
    const result = await run(['version']);

    assert.equal(result.code, 0);
    assert.match(result.stdout, /^tollgate \d+\.\d+\.\d+.*\n$/);
});

describe('tollgate config check', () => {
    test('of good files ends with 0 and tells what they are', async () => {
        const dir = folder({ 'api.json': GOOD });
        const result = await run(['config', 'check', 'api.json'], { cwd: dir });

        assert.equal(result.code, 0, result.output);
        assert.match(result.stdout, /2 operations/);
        assert.match(result.stdout, /\/api/);
        assert.match(result.stdout, /\/x/);
    });

    test('reads tollgate.yaml of the working folder', async () => {
        const dir = folder({ 'api.json': GOOD, 'tollgate.yaml': 'gateway:\n  apis: [api.json]\n' });
        const result = await run(['config', 'check'], { cwd: dir });

        assert.equal(result.code, 0, result.output);
        assert.match(result.stdout, /2 operations/);
    });

    const bad = [
        ['an unknown key', 'gateway:\n  threds: 2\n', /tollgate\.yaml:2: .*threads/s],
        ['a number out of bounds', 'gateway:\n  threads: 100000\n', /tollgate\.yaml:2: .*64/s],
        ['a duration without a unit that makes sense', 'gateway:\n  timeouts:\n    head: soon\n', /tollgate\.yaml:3: .*head/s],
        ['a listener without an address', 'gateway:\n  listeners:\n    - tls: {certificate: a.pem, key: b.pem}\n', /tollgate\.yaml:3: .*address/s],
        ['a certificate that is not there', 'gateway:\n  listeners:\n    - address: 127.0.0.1:0\n      tls: {certificate: nope.pem, key: nope.pem}\n', /nope\.pem/],
        ['a range that is none', 'gateway:\n  trusted_proxies: [10.0.0.0/99]\n', /tollgate\.yaml:2: .*10\.0\.0\.0\/99/s],
        ['text that is no YAML', 'gateway: [unclosed\n', /tollgate\.yaml:[12]/],
        ['a key given twice', 'gateway:\n  threads: 1\n  threads: 2\n', /tollgate\.yaml:3/],
        ['a format without meaning', 'gateway:\n  access_log: {file: x.log, format: "%Z"}\n', /tollgate\.yaml:2: .*%Z/s],
    ];

    for (const [what, text, message] of bad)
        test(`of ${what} ends with 1 and names the place`, async () => {
            const dir = folder({ 'api.json': GOOD, 'tollgate.yaml': text });
            const result = await run(['config', 'check', '--config', 'tollgate.yaml', 'api.json'], { cwd: dir });

            assert.equal(result.code, 1, result.output);
            assert.match(result.stderr, message);
        });

    test('shows all mistakes of a file at once', async () => {
        const dir = folder({ 'tollgate.yaml': 'gateway:\n  threds: 2\n  timeouts:\n    haed: 3s\n' });
        const result = await run(['config', 'check', '--config', 'tollgate.yaml'], { cwd: dir });

        assert.match(result.stderr, /tollgate\.yaml:2:/);
        assert.match(result.stderr, /tollgate\.yaml:4:/);
    });

    test('of a document names its line', async () => {
        const dir = folder({ 'api.yaml': `openapi: 3.0.3\ninfo: {title: X, version: "1"}\nservers: [{url: "${URL_OF_NOBODY}"}]\npaths:\n  no-slash:\n    get: {responses: {default: {description: any}}}\n` });
        const result = await run(['config', 'check', 'api.yaml'], { cwd: dir });

        assert.equal(result.code, 1);
        assert.match(result.stderr, /api\.yaml:5: .*\//s);
    });

    test('starts nothing and leaves nothing behind', async () => {
        const dir = folder({ 'api.json': GOOD });

        await run(['config', 'check', '--state-dir', path.join(dir, 'state'), 'api.json'], { cwd: dir });
        assert.deepEqual(fs.readdirSync(dir), ['api.json']);
    });
});

describe('tollgate config show and reference', () => {
    test('show prints settings that can be read again', async () => {
        const dir = folder({ 'api.json': GOOD, 'tollgate.yaml': 'gateway:\n  threads: 3\n  apis: [api.json]\n  timeouts: {head: 7s}\n' });
        const shown = await run(['config', 'show', '--config', 'tollgate.yaml'], { cwd: dir });

        assert.equal(shown.code, 0, shown.output);
        assert.match(shown.stdout, /threads: 3/);
        assert.match(shown.stdout, /head: 7s/);
        fs.writeFileSync(path.join(dir, 'again.yaml'), shown.stdout);
        const again = await run(['config', 'show', '--config', 'again.yaml'], { cwd: dir });

        assert.equal(again.stdout, shown.stdout);
    });

    test('the environment overrides the file', async () => {
        const dir = folder({ 'tollgate.yaml': 'gateway:\n  threads: 3\n' });
        const { stdout } = await run(['config', 'show', '--config', 'tollgate.yaml'], { cwd: dir, env: { TOLLGATE_GATEWAY_THREADS: '5' } });

        assert.match(stdout, /threads: 5/);
    });

    test('${NAME} is filled in, and a missing one is an error', async () => {
        const dir = folder({ 'tollgate.yaml': 'gateway:\n  via: ${MY_NAME}\n' });

        assert.match((await run(['config', 'show', '--config', 'tollgate.yaml'], { cwd: dir, env: { MY_NAME: 'edge' } })).stdout, /via: "?edge/);
        const result = await run(['config', 'show', '--config', 'tollgate.yaml'], { cwd: dir });

        assert.equal(result.code, 1);
        assert.match(result.stderr, /tollgate\.yaml:2: .*MY_NAME/s);
    });

    test('reference describes every section with units and defaults', async () => {
        const { code, stdout } = await run(['config', 'reference']);

        assert.equal(code, 0);
        for (const word of ['listeners', 'apis', 'threads', 'trusted_proxies', 'timeouts', 'limits', 'upstreams', 'access_log', 'state_dir', 'client_ca', '60s', '32k'])
            assert.ok(stdout.includes(word), `${word} is missing`);
    });
});

describe('tollgate gateway', () => {
    let upstream;

    before(async () => (upstream = await startUpstream()));
    after(() => upstream.close());

    test('serves a document with flags alone', async (t) => {
        const dir = folder({ 'api.json': GOOD });
        const gateway = await startGatewayByFlags(['--upstream', upstream.url, '--threads=2', 'api.json'], { dir });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/api/x')).status, 200);
    });

    test('serves HTTPS with a certificate of its own making', async (t) => {
        const dir = folder({ 'api.json': GOOD });
        const gateway = await startGatewayByFlags(['--upstream', upstream.url, '--https', '127.0.0.1:0', 'api.json'], { dir });

        t.after(() => gateway.stop());
        const ca = fs.readdirSync(gateway.stateDir, { recursive: true }).find((name) => /ca.*cert.*\.pem$/.test(name));
        const pem = fs.readFileSync(path.join(gateway.stateDir, ca), 'utf8');
        const answer = await call(gateway.tlsPort, '/api/x', { tls: { ca: pem } });

        assert.equal(answer.status, 200);
        const key = fs.readdirSync(gateway.stateDir, { recursive: true }).filter((name) => /key\.pem$/.test(name));

        for (const name of key)
            assert.equal(fs.statSync(path.join(gateway.stateDir, name)).mode & 0o077, 0, `${name} can be read by others`);
    });

    test('listens on a Unix socket', async (t) => {
        const dir = folder({ 'api.json': GOOD });
        const at = path.join(dir, 'gw.sock');
        const gateway = await startGatewayByFlags(['--upstream', upstream.url, '--http', `unix:${at}`, 'api.json'], { dir });

        t.after(() => gateway.stop());
        const { request } = await import('node:http');
        const status = await new Promise((resolve, reject) =>
            request({ socketPath: at, path: '/api/x', agent: false }, (res) => resolve(res.resume().statusCode)).on('error', reject).end());

        assert.equal(status, 200);
    });

    test('does not share its state folder: the second one is told who has it', async (t) => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        t.after(() => gateway.stop());
        const result = await run(['gateway', '--state-dir', gateway.stateDir, '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', gateway.file('api.json')], { cwd: gateway.dir });

        assert.equal(result.code, 1);
        assert.match(result.stderr, new RegExp(`\\b${gateway.pid}\\b`));
        assert.equal((await gateway.call('/api/x', {})).status >= 200, true, 'the first one goes on');
    });

    test('takes over a state folder whose owner was killed', async () => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        gateway.signal('SIGKILL');
        await gateway.state.exited;
        const again = await startGatewayByFlags([gateway.file('api.json')], { dir: gateway.dir });

        assert.notEqual(again.pid, gateway.pid);
        assert.ok((await again.adminCall('/ready')).status === 200);
        await again.stop();
    });

    test('started by root becomes somebody else once it listens', { skip: process.getuid() !== 0 && 'not root' }, async () => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD }, env: { TOLLGATE_GATEWAY_USER: 'nobody' } });
        const status = fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8');

        assert.match(status, /^Uid:\t(?!0\t)\d+\t/m);
        gateway.write('more.json', openapi({ title: 'More', context: '/more', endpoints: URL_OF_NOBODY }));
        gateway.configure({ apis: [...gateway.options.apis, gateway.file('more.json')] });
        await gateway.mustReload(); // files root may read can still be read
        assert.notEqual((await gateway.call('/more/x')).status, 404);
        await gateway.stop();
    });

    test('ends with 0 on SIGINT as on SIGTERM, and cleans up', async () => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        gateway.signal('SIGINT');
        const exit = await within(gateway.state.exited, 10000, 'end after SIGINT');

        assert.equal(exit.code, 0);
        await gateway.stop();
        await assert.rejects(gateway.adminCall('/health'));
    });

    test('writes nothing to standard output', async () => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        await gateway.stop();
        assert.equal(gateway.state.stdout, '');
    });

    test('refuses a configuration that is wrong with the lines a check shows', async () => {
        const dir = folder({ 'api.json': GOOD, 'tollgate.yaml': 'gateway:\n  threds: 2\n' });

        await assert.rejects(startGatewayByFlags(['--config', 'tollgate.yaml', 'api.json'], { dir }), (error) =>
            error instanceof GatewayRefused && error.code === 1 && /tollgate\.yaml:2/.test(error.stderr));
    });
});

describe('tollgate reload', () => {
    test('when nothing runs says so and ends with 1', async () => {
        const dir = temporary();
        const result = await run(['reload', '--state-dir', dir]);

        assert.equal(result.code, 1);
        assert.ok(result.stderr.includes(dir), result.stderr);
    });

    test('after the owner was killed says so, too', async () => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        gateway.signal('SIGKILL');
        await gateway.state.exited;
        const result = await gateway.reload();

        assert.equal(result.code, 1);
        assert.match(result.stderr, /\S/);
    });

    test('of a running gateway ends with 0 when the new configuration is served', async (t) => {
        const gateway = await startGateway({ documents: { 'api.json': GOOD } });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/more/x')).status, 404);
        gateway.write('more.json', openapi({ title: 'More', context: '/more', endpoints: URL_OF_NOBODY }));
        gateway.configure({ apis: [...gateway.options.apis, gateway.file('more.json')] });
        const result = await gateway.reload();

        assert.equal(result.code, 0, result.output);
        assert.notEqual((await gateway.call('/more/x')).status, 404);
    });
});

describe('tollgate echo', () => {
    test('answers with JSON about what it received, and ends on SIGTERM', async () => {
        const port = await freePort();
        const child = spawn(PROGRAM, ['echo', '--listen', `127.0.0.1:${port}`], { stdio: 'ignore' });
        const exited = new Promise((resolve) => child.on('exit', (code) => resolve(code)));

        try {
            const answer = await until(() => call(port, '/some/path?q=1', { method: 'POST', body: 'hello', headers: { 'X-A': 'b' } }).catch(() => null), { what: 'echo to answer' });

            assert.equal(answer.status, 200);
            assert.match(answer.header('content-type'), /^application\/json/);
            const text = JSON.stringify(answer.json);

            for (const part of ['POST', '/some/path', 'q=1', 'hello', 'b'])
                assert.ok(text.includes(part), `${part} is missing in ${text}`);
        } finally {
            child.kill('SIGTERM');
        }
        assert.equal(await within(exited, 5000, 'end of echo'), 0);
    });
});
