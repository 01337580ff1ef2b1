// reload.test.mjs - change under load: no call lost, no connection cut.
//
// The clients here never retry. `make test` does 20 reloads at 500 calls/s,
// TOLLGATE_LONG=1 200 at 2,000, and a sanitized build 200 at 200.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { Load } from './lib/load.mjs';
import { connect } from './lib/raw.mjs';
import { openStream, startSlowUpstream } from './lib/streams.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { LONG, SLOW, patience, pause, until, within } from './lib/wait.mjs';

const ROUNDS = LONG || SLOW ? 200 : 20;
const RATE = SLOW ? 200 : LONG ? 2000 : 500;

let upstream;

before(async () => (upstream = await startSlowUpstream()));
after(() => upstream.close());

const api = (name, version = 1, more = {}) => openapi({
    title: name, version: `${version}.0.0`, context: `/${name}`, endpoints: `${upstream.url}/v${version}`, ...more,
});

describe('Reloads under steady load', () => {
    let ca;
    let first;
    let gateway;

    before(async () => {
        ca = new Authority();
        first = ca.issue('first');
        gateway = await startGateway({
            files: {
                'apis/still.json': api('still'),
                'apis/moving.json': api('moving', 1),
                'cert.pem': first.certificatePem,
                'key.pem': first.keyPem,
            },
            apis: ['apis'],
            tls: { certificate: 'cert.pem', key: 'key.pem' },
            threads: 2,
            timeouts: { drainMs: 2000 },
        });
    });
    after(() => gateway?.stop());

    const secure = () => ({ ca: ca.pem });

    /** Adds, changes and removes APIs; each is checked to be served (or not). */
    async function change(n) {
        gateway.write('apis/moving.json', api('moving', n + 1));
        if (n % 2)
            gateway.write('apis/guest.json', api('guest', n + 1));
        else
            gateway.remove('apis/guest.json');
        if (n % 5 === 4)
            gateway.signal('SIGHUP');
        else
            await gateway.mustReload();
        await until(async () => (await gateway.call('/moving/x')).text === `/v${n + 1}/x`, { what: `version ${n + 1} to be served` });
        const guest = await gateway.call('/guest/x');

        assert.equal(guest.status, n % 2 ? 200 : 404);
    }

    test(`${ROUNDS} of them and one new certificate lose nothing at ${RATE} calls/s`, async (t) => {
        const right = (answer) => answer.status === 200 && /^\/v\d+\/x\?/.test(answer.text);
        const plain = new Load(gateway.port, { rate: RATE * 0.8, connections: 12, right, request: (n) => ({ path: `/${n % 3 ? 'still' : 'moving'}/x?${n}` }) });
        const fresh = new Load(gateway.port, { rate: RATE * 0.1, connections: 4, right, request: (n) => ({ path: `/still/x?${n}`, close: true }) });
        const tls = new Load(gateway.tlsPort, { rate: RATE * 0.1, connections: 4, tls: secure(), right, request: (n) => ({ path: `/still/x?${n}`, method: 'POST', body: 'data' }) });
        const begin = Date.now();
        const loads = [plain, fresh, tls].map((load) => load.start());
        const open = [...await Promise.all([1, 2, 3].map(() => openStream(gateway.port, '/still/events'))),
            await openStream(gateway.tlsPort, '/still/events', secure())];
        let rss = 0;

        for (let n = 1; n <= ROUNDS; n++) {
            await change(n);
            if (n === Math.ceil(ROUNDS / 4))
                rss = gateway.rss();
            if (n === Math.ceil(ROUNDS / 2))
                await replaceCertificate();
            await pause(100); // so that there is load between two of them, too
        }
        await Promise.all(loads.map((load) => load.stop()));

        for (const load of loads)
            assert.deepEqual(load.failures.slice(0, 5), [], `${load.failures.length} of ${load.issued} calls failed`);
        const seconds = (Date.now() - begin) / 1000;
        const [done, due] = ['done', 'issued'].map((what) => loads.reduce((sum, load) => sum + load[what], 0));

        assert.equal(done, due, 'calls without an answer');
        // A reload closes no connection: only the fresh clients ever open new ones.
        assert.equal(plain.reconnects, 0, 'kept connections were closed');
        assert.equal(tls.reconnects, 0, 'kept TLS connections were closed');
        for (const stream of open) {
            const { events } = stream;

            assert.ok(!stream.over && !stream.error, 'an event stream of an unchanged API ended');
            assert.ok(await stream.when((c) => c.events > events), 'events still come');
            stream.destroy();
        }
        const grown = gateway.rss() - rss;

        t.diagnostic(`${done} calls, ${(done / seconds).toFixed(0)}/s, p99 ${plain.quantile(0.99).toFixed(1)} ms, memory ${(grown / 1048576).toFixed(1)} MiB`);
        if (MEMORY_COUNTS)
            assert.ok(grown < 16 << 20, `memory grew by ${grown / 1048576} MiB`);
        gateway.check();
    });

    async function replaceCertificate() {
        const second = ca.issue('second');
        const before = await connect(gateway.tlsPort, { tls: secure() });

        assert.equal(before.socket.getPeerCertificate().subject.CN, 'first');
        gateway.write('cert.pem', second.certificatePem);
        gateway.write('key.pem', second.keyPem);
        await gateway.mustReload();
        const fresh = await connect(gateway.tlsPort, { tls: secure() });

        assert.equal(fresh.socket.getPeerCertificate().subject.CN, 'second', 'new handshakes get the new certificate');
        await before.request({ path: '/still/x' });
        assert.equal((await before.response()).status, 200, 'the old connection goes on');
        before.destroy();
        fresh.destroy();
    }

    test('an API that is removed under a call still answers that call', async () => {
        gateway.write('apis/gone.json', api('gone'));
        await gateway.mustReload();
        const client = await connect(gateway);

        await client.request({ path: '/gone/slow/500' });
        await until(() => upstream.requests.some((r) => r.url.includes('/slow/500')), { what: 'the call to reach the backend' });
        gateway.remove('apis/gone.json');
        await gateway.mustReload();
        assert.equal((await client.response()).text, 'slow');
        await client.request({ path: '/gone/x' });
        assert.equal((await client.response()).status, 404, 'the next one does not');
        client.destroy();
    });

    test('a key that does not fit its certificate is refused, and the old pair stays', async () => {
        const other = ca.issue('other');

        gateway.write('key.pem', other.keyPem);
        const result = await gateway.reload();

        assert.equal(result.code, 1);
        assert.match(result.stderr, /key\.pem|cert\.pem/);
        const client = await connect(gateway.tlsPort, { tls: secure() });

        await client.request({ path: '/still/x' });
        assert.equal((await client.response()).status, 200);
        client.destroy();
        gateway.write('key.pem', fs.readFileSync(ca.issue('third').key, 'utf8'));
        gateway.write('cert.pem', fs.readFileSync(`${ca.dir}/third.pem`, 'utf8'));
        await gateway.mustReload();
    });
});

describe('A bad configuration', () => {
    let gateway;

    before(async () => {
        gateway = await startGateway({ files: { 'apis/good.json': api('good') }, apis: ['apis'] });
    });
    after(() => gateway?.stop());

    const bad = {
        'a document that is no YAML': ['broken.yaml', 'openapi: 3.0.3\ninfo: {title: X, version: "1"}\npaths:\n  /x:\n   get: [unclosed\n', /broken\.yaml:[5-7]/],
        'a document with a wrong reference': ['broken.yaml', `openapi: 3.0.3\ninfo: {title: X, version: "1"}\nservers: [{url: "http://127.0.0.1:9/x"}]\npaths:\n  /x:\n    $ref: "#/nothing"\n`, /broken\.yaml:[56]/],
        'a document without an endpoint': ['broken.yaml', 'openapi: 3.0.3\ninfo: {title: X, version: "1"}\npaths:\n  /x:\n    get: {responses: {default: {description: any}}}\n', /broken\.yaml/],
        'two templates that differ only by a name': ['broken.yaml', 'openapi: 3.0.3\ninfo: {title: X, version: "1"}\nservers: [{url: "http://127.0.0.1:9/x"}]\npaths:\n  /a/{x}:\n    get: {responses: {default: {description: any}}}\n  /a/{y}:\n    get: {responses: {default: {description: any}}}\n', /broken\.yaml:[5-8]/],
        'an operation whose security cannot be checked': ['broken.yaml', 'openapi: 3.0.3\ninfo: {title: X, version: "1"}\nservers: [{url: "http://127.0.0.1:9/x"}]\nsecurity: [{k: []}]\ncomponents: {securitySchemes: {k: {type: openIdConnect, openIdConnectUrl: x}}}\npaths:\n  /x:\n    get: {responses: {default: {description: any}}}\n', /broken\.yaml.*(--security off|\bk\b)/s],
    };

    for (const [what, [name, text, message]] of Object.entries(bad))
        test(`because of ${what} is refused whole, and the old one goes on`, async () => {
            gateway.write(`apis/${name}`, text);
            gateway.write('apis/extra.json', api('extra'));
            const result = await gateway.reload();

            gateway.remove(`apis/${name}`);
            gateway.remove('apis/extra.json');
            assert.equal(result.code, 1);
            assert.match(result.stderr, message);
            assert.equal((await gateway.call('/good/x')).status, 200);
            assert.equal((await gateway.call('/extra/x')).status, 404, 'nothing of it is served');
            assert.equal((await gateway.adminCall('/ready')).status, 200);
        });

    test('because of an unknown key names the line and the nearest known one', async () => {
        const good = fs.readFileSync(gateway.file('tollgate.yaml'), 'utf8');

        gateway.write('tollgate.yaml', `${good}  thread: 3\n`);
        const result = await gateway.reload();

        gateway.write('tollgate.yaml', good);
        assert.equal(result.code, 1);
        assert.match(result.stderr, new RegExp(`tollgate\\.yaml:${good.split('\n').length}\\b`));
        assert.match(result.stderr, /threads/);
    });

    test('given by SIGHUP is logged with file and line, and the old one goes on', async () => {
        gateway.write('apis/broken.yaml', bad['a document that is no YAML'][1]);
        gateway.signal('SIGHUP');
        await until(() => /broken\.yaml:[5-7]/.test(gateway.stderr), { what: 'the log to name file and line' });
        gateway.remove('apis/broken.yaml');
        assert.equal((await gateway.call('/good/x')).status, 200);
    });

    test('does not stand in the way of the next good one', async () => {
        gateway.write('apis/next.json', api('next'));
        await gateway.mustReload();
        assert.equal((await gateway.call('/next/x')).status, 200);
    });

    test('at the start ends the program with exit code 1', async () => {
        await assert.rejects(startGateway({ documents: { 'broken.yaml': bad['a document that is no YAML'][1] } }), (error) => {
            assert.equal(error.code, 1);
            assert.match(error.stderr, /broken\.yaml:[5-7]/);
            return true;
        });
    });
});

describe('Settings that a reload changes', () => {
    test('listeners come and go without touching the others', async (t) => {
        const gateway = await startGateway({ documents: { 'api.json': api('api') } });

        t.after(() => gateway.stop());
        const client = await connect(gateway);
        const extra = await startUpstream();
        const { port } = extra;

        await extra.close();
        const [listener] = gateway.options.listeners;

        gateway.configure({ listeners: [listener, { address: `127.0.0.1:${port}` }] });
        await gateway.mustReload();
        const second = await connect(port);

        await second.request({ path: '/api/x' });
        assert.equal((await second.response()).status, 200);
        await client.request({ path: '/api/x' });
        assert.equal((await client.response()).status, 200, 'the first listener\'s connection lives on');
        second.destroy();
        client.destroy();
    });

    test('limits hold for what comes afterwards', async (t) => {
        const gateway = await startGateway({ documents: { 'api.json': api('api') } });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/api/x', { method: 'POST', body: 'x'.repeat(2000) })).status, 200);
        gateway.configure({ limits: { bodySize: 1000 } });
        await gateway.mustReload();
        assert.equal((await gateway.call('/api/x', { method: 'POST', body: 'x'.repeat(2000) })).status, 413);
    });
});

describe('SIGTERM', () => {
    test('lets calls in flight finish, then ends with 0', async () => {
        const gateway = await startGateway({ documents: { 'api.json': api('api') }, timeouts: { drainMs: 5000 } });
        const clients = [];

        for (let i = 0; i < 20; i++) {
            const client = await connect(gateway);

            await client.request({ path: `/api/slow/${300 + i}` });
            clients.push(client);
        }
        const idle = await connect(gateway);

        await until(() => upstream.requests.filter((r) => /\/slow\/3\d\d/.test(r.url)).length >= 20, { what: 'the calls to be in flight' });
        gateway.signal('SIGTERM');
        for (const client of clients) {
            const answer = await client.response();

            assert.deepEqual([answer.status, answer.text], [200, 'slow']);
            assert.match(answer.header('connection') ?? '', /close/i);
            client.destroy();
        }
        idle.destroy();
        await gateway.stop();
    });

    test('ends open event streams when the drain time is over', async () => {
        const gateway = await startGateway({ documents: { 'api.json': api('api') }, timeouts: { drainMs: 500 } });
        const stream = await openStream(gateway.port, '/api/events');
        const begin = Date.now();

        await gateway.stop();
        assert.ok(Date.now() - begin < patience(5000), 'it took too long');
        assert.ok(await stream.when((c) => c.over), 'the stream ended');
        stream.destroy();
    });

    test('under load fails no call that was accepted', async () => {
        const gateway = await startGateway({ documents: { 'api.json': api('api') } });
        const load = new Load(gateway.port, { rate: 300, connections: 8, request: (n) => ({ path: `/api/x?${n}` }) }).start();

        await until(() => load.done > 100, { what: 'load' });
        gateway.signal('SIGTERM');
        await within(gateway.state.exited, 10000, 'end of the process');
        await load.stop();
        // Once the door is shut, new connections are refused; nothing else may fail.
        const lost = load.failures.filter((f) => !/ECONNREFUSED/.test(f));

        assert.deepEqual(lost.slice(0, 5), [], `${lost.length} calls failed`);
        await gateway.stop();
    });
});
