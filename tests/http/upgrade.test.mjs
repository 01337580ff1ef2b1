// upgrade.test.mjs - another program takes over: no call lost, nobody refused.
//
// The clients here never retry. TOLLGATE_LONG=1: 2,000 calls/s, 200 reloads and
// three upgrades; else a tenth of that. The program is a copy in a temporary
// folder, so that it can be replaced while it runs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import WebSocket, { WebSocketServer } from 'ws';

import { openapi } from './lib/document.mjs';
import { PROGRAM, startGateway, temporary } from './lib/gateway.mjs';
import { PATHS, gathered, grpc, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { H2Load } from './lib/h2load.mjs';
import { Load } from './lib/load.mjs';
import { call, connect } from './lib/raw.mjs';
import { openStream, startSlowUpstream } from './lib/streams.mjs';
import { Authority } from './lib/tls.mjs';
import { LONG, SLOW, patience, pause, until } from './lib/wait.mjs';

const RATE = SLOW ? 150 : LONG ? 2000 : 400;
const RELOADS = LONG ? 200 : 20;
const UPGRADES = LONG ? 3 : 2;

let ca;
let server;
let upstream;
let echo;
let sockets;

before(async () => {
    ca = new Authority();
    server = ca.issue('server');
    upstream = await startSlowUpstream();
    sockets = new WebSocketServer({ server: upstream.server });
    sockets.on('connection', (ws) => ws.on('error', () => {}).on('message', (m) => ws.send(String(m))));
    echo = await startGrpcServer();
});
after(async () => {
    echo?.stop();
    sockets?.clients.forEach((ws) => ws.terminate());
    await upstream?.close();
});

const api = (name, version = 1) => openapi({ title: name, version: `${version}.0.0`, context: `/${name}`, endpoints: `${upstream.url}/v${version}` });

/** A copy of the program that tests may replace. */
function copy() {
    const at = path.join(temporary(), 'tollgate');

    fs.copyFileSync(PROGRAM, at);
    return at;
}

function replace(program, content, mode = 0o755) {
    fs.writeFileSync(`${program}.new`, content, { mode });
    fs.renameSync(`${program}.new`, program);
}

async function start(options = {}) {
    const program = copy();
    const gateway = await startGateway({
        documents: { 'still.json': api('still'), 'moving.json': api('moving') },
        tls: { certificate: server.certificate, key: server.key },
        threads: 2, program, timeouts: { drainMs: 20000 }, ...options,
    });

    return Object.assign(gateway, { program });
}

const right = (answer) => answer.status === 200 && /^\/v\d+\/x\?/.test(answer.text);

function loads(gateway, rate) {
    const secure = { ca: ca.pem };
    const h2 = (n) => ({ headers: { ':path': `/still/x?${n}`, ':method': n % 5 ? 'GET' : 'POST' }, body: n % 5 ? undefined : 'data' });

    return [
        new Load(gateway.port, { rate: rate * 0.35, connections: 12, right, request: (n) => ({ path: `/${n % 3 ? 'still' : 'moving'}/x?${n}` }) }),
        new Load(gateway.port, { rate: rate * 0.1, connections: 4, right, request: (n) => ({ path: `/still/x?${n}`, close: true }) }),
        new Load(gateway.tlsPort, { rate: rate * 0.1, connections: 4, tls: secure, right, request: (n) => ({ path: `/still/x?${n}`, method: 'POST', body: 'data' }) }),
        new H2Load(gateway.url, { rate: rate * 0.35, right, request: h2 }),
        new H2Load(`https://localhost:${gateway.tlsPort}`, { rate: rate * 0.1, ca: ca.pem, sessions: 2, right, request: h2 }),
    ].map((load) => load.start());
}

async function finish(all) {
    await Promise.all(all.map((load) => load.stop()));
    for (const load of all)
        assert.deepEqual(load.failures.slice(0, 5), [], `${load.failures.length} of ${load.issued} calls of a ${load.constructor.name} failed`);
    assert.equal(all.reduce((n, l) => n + l.done, 0), all.reduce((n, l) => n + l.issued, 0), 'calls without an answer');
}

async function openSocket(gateway) {
    const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/still/socket`);

    ws.answers = 0;
    ws.on('message', () => ws.answers++).on('error', () => {}).on('close', (code, reason) => (ws.ended = `${code} ${reason}`));
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    ws.alive = async () => {
        const { answers } = ws;

        ws.send('x');
        await until(() => ws.answers > answers || ws.ended, { what: 'an answer of the WebSocket' });
        assert.equal(ws.ended, undefined);
    };
    return ws;
}

function openChat(gateway) {
    const client = grpcClient(gateway.port);
    const call = client.client.chat();
    const chat = { answers: 0, client, call, end: gathered(call) };

    call.on('data', () => chat.answers++);
    chat.end.then((end) => (chat.ended = end));
    chat.alive = async () => {
        const { answers } = chat;

        call.write(Buffer.from('x'));
        await until(() => chat.answers > answers || chat.ended, { what: 'an answer of the gRPC stream' });
        assert.equal(chat.ended, undefined);
    };
    return chat;
}

describe('Under load', () => {
    test(`${RELOADS} reloads, ${UPGRADES} upgrades and a broken one lose nothing at ${RATE} calls/s`, async (t) => {
        const gateway = await start({
            documents: { 'still.json': api('still'), 'moving.json': api('moving'),
                'echo.json': openapi({ title: 'echo', context: '/', endpoints: `h2c://127.0.0.1:${echo.port}`, paths: PATHS }) },
            // Longer than this test: no stream may be closed in it.
            timeouts: { drainMs: LONG || SLOW ? 600000 : 120000 },
        });
        const first = gateway.pid;
        const load = loads(gateway, RATE);
        const open = [];
        const chats = [];
        const events = [];
        const more = async () => {
            open.push(await openSocket(gateway));
            chats.push(openChat(gateway));
            events.push(await openStream(gateway.port, '/still/events'), await openStream(gateway.tlsPort, '/still/events', { ca: ca.pem }));
        };
        const alive = async () => {
            for (const one of [...open, ...chats])
                await one.alive();
            for (const stream of events) {
                const seen = stream.events;

                assert.ok(!stream.over && !stream.error, 'an event stream of an unchanged API ended');
                assert.ok(await stream.when((c) => c.events > seen), 'events still come');
            }
        };

        await more();
        let version = 1;

        for (let round = 0; round <= UPGRADES; round++) {
            for (let n = 0; n < RELOADS / (UPGRADES + 1); n++) {
                gateway.write('moving.json', api('moving', ++version));
                await gateway.mustReload();
                await until(async () => (await gateway.call('/moving/x')).text === `/v${version}/x`, { what: `version ${version}` });
                await pause(20);
            }
            await alive();
            if (round === 1) { // nothing happens
                const { pid } = gateway;
                const good = fs.readFileSync(gateway.program);

                replace(gateway.program, '#!/bin/sh\nexit 7\n');
                const result = await gateway.upgrade();

                assert.equal(result.code, 1);
                assert.match(result.output, /ended with code 7/);
                assert.match(result.output, new RegExp(`process ${pid} serves on`));
                assert.equal(gateway.pid, pid);
                replace(gateway.program, good);
            }
            if (round < UPGRADES) {
                const before = gateway.pid;
                const result = await gateway.upgrade();

                assert.equal(result.code, 0, result.output);
                assert.notEqual(gateway.pid, before);
                await more();
            }
            await alive();
        }
        await until(() => gateway.logs().filter((l) => /has taken over for good/.test(l.message)).length === UPGRADES,
            { ms: 20000, what: 'the upgrades to be final' });
        await alive();
        await finish(load);
        t.diagnostic(`${load.reduce((n, l) => n + l.done, 0)} calls, ${load.map((l) => l.reconnects).join('+')} new connections`);
        open.forEach((ws) => ws.terminate());
        chats.forEach((chat) => {
            chat.call.cancel();
            chat.client.close();
        });
        events.forEach((stream) => stream.destroy());
        await until(() => !fs.existsSync(`/proc/${first}/fd/0`), { ms: 20000, what: 'the first process to end' });
        await gateway.stop();
    });
});

describe('An upgrade', () => {
    test('lets calls in flight finish, and streams until timeouts.drain', async () => {
        const gateway = await start({ timeouts: { drainMs: 13000 } });
        const slow = gateway.call('/still/slow/3000', { ms: 20000 });
        const ws = await openSocket(gateway);
        const stream = await openStream(gateway.port, '/still/events');

        await pause(100);
        assert.equal((await gateway.upgrade()).code, 0);
        assert.equal((await slow).text, 'slow');
        await ws.alive();
        await until(() => ws.ended, { ms: 20000, what: 'the end of the WebSocket' });
        assert.equal(ws.ended, '1001 the gateway is going away');
        await until(() => stream.over, { ms: 20000, what: 'the end of the event stream' });
        await gateway.stop();
    });

    test('may change threads, listeners and documents on the way', async () => {
        const gateway = await start({ threads: 1 });
        const port = gateway.port;
        const load = loads(gateway, 100);

        await pause(300);
        gateway.write('guest.json', api('guest'));
        gateway.configure({ threads: 3, listeners: [...gateway.options.listeners, { address: '127.0.0.1:0' }],
            apis: [...gateway.options.apis, gateway.file('guest.json')] });
        assert.equal((await gateway.upgrade()).code, 0);
        assert.equal(gateway.http.length, 2);
        assert.equal(gateway.port, port);
        assert.equal((await gateway.call('/guest/x')).status, 200);
        await pause(300);
        gateway.configure({ threads: 1, listeners: gateway.options.listeners.slice(0, 2) });
        await until(async () => (await gateway.upgrade()).code === 0, { ms: 15000, every: 1000, what: 'the next upgrade' });
        assert.equal(gateway.http.length, 1);
        await pause(300);
        await finish(load);
        await gateway.stop();
    });

    test('serves what comes to a listener that it takes away, until it is final', async () => {
        const gateway = await start();
        const listeners = [...gateway.options.listeners];

        gateway.configure({ listeners: [...listeners, { address: '127.0.0.2:0' }] });
        await gateway.mustReload();
        gateway.ready();
        const [, leaving] = gateway.http;

        gateway.configure({ listeners });
        assert.equal((await gateway.upgrade()).code, 0);
        assert.equal(gateway.http.length, 1);
        const answer = await call(leaving, '/still/x', { ms: 5000 });

        assert.equal(answer.status, 200);
        assert.equal((await gateway.call('/still/x')).status, 200);
        await gateway.stop();
    });

    test('leaves the old process its calls when somebody ends it as well', async () => {
        const gateway = await start({ timeouts: { drainMs: 120000 } });
        const { pid } = gateway;
        // Longer than it takes to be final, shorter than upstreams wait.
        const slow = gateway.call(`/still/slow/${Math.round((SLOW ? 40000 : 13000) / patience(1))}`, { ms: 60000 });
        let over = false;

        slow.finally(() => (over = true)).catch(() => {});

        await pause(100);
        assert.equal((await gateway.upgrade()).code, 0);
        await until(() => gateway.logs().some((l) => /has taken over for good/.test(l.message)),
            { ms: 20000, what: 'the upgrade to be final' });
        assert.equal(over, false);
        process.kill(pid, 'SIGTERM');
        assert.equal((await slow).text, 'slow');
        await gateway.stop();
    });

    test('keeps TLS sessions: clients resume with the successor', async () => {
        const tls = await import('node:tls');
        const gateway = await start();
        const once = (session) => new Promise((resolve, reject) => {
            let reused;
            const socket = tls.connect({ port: gateway.tlsPort, ca: ca.pem, servername: 'localhost', session }, () => {
                reused = socket.isSessionReused();
                socket.write('GET /still/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
            });
            let ticket;

            socket.on('session', (s) => (ticket = s)).on('error', reject).on('data', () => {});
            socket.on('close', () => resolve({ ticket, reused }));
        });
        const { ticket } = await once();

        assert.ok(ticket);
        assert.equal((await gateway.upgrade()).code, 0);
        assert.equal((await once(ticket)).reused, true);
        await gateway.stop();
    });

    test('by SIGUSR2, and the tools speak to the successor', async () => {
        const gateway = await start();
        const before = gateway.pid;

        gateway.signal('SIGUSR2');
        await until(() => {
            gateway.follow();
            return gateway.pid !== before;
        }, { ms: 10000, what: 'the successor' });
        await gateway.mustReload();
        assert.equal((await gateway.call('/still/x')).status, 200);
        await gateway.stop();
    });

    test('to what is no program, or to settings that are refused, changes nothing', async () => {
        const gateway = await start();
        const { pid } = gateway;
        const good = fs.readFileSync(gateway.program);

        replace(gateway.program, 'garbage');
        let result = await gateway.upgrade();

        assert.deepEqual([result.code, gateway.pid], [1, pid]);
        assert.match(result.output, /cannot be started/);
        replace(gateway.program, good);
        gateway.write('still.json', '{"openapi": "3.0.3"');
        result = await gateway.upgrade();
        assert.deepEqual([result.code, gateway.pid], [1, pid]);
        assert.match(result.output, /still\.json:1/);
        assert.equal((await gateway.call('/still/x')).status, 200);
        gateway.write('still.json', api('still'));
        assert.equal((await gateway.upgrade()).code, 0);
        await gateway.stop();
    });

    test('whose new process dies within ten seconds is taken back', async () => {
        const gateway = await start();
        const load = loads(gateway, 50);
        const { pid } = gateway;
        const ws = await openSocket(gateway);

        assert.equal((await gateway.upgrade()).code, 0);
        const successor = gateway.pid;

        await finish(load); // calls that the successor has when it is killed are lost
        process.kill(successor, 'SIGKILL');
        await until(() => {
            gateway.follow();
            return gateway.pid === pid;
        }, { ms: 10000, what: 'the old process to serve again' });
        assert.equal((await gateway.call('/still/x')).status, 200);
        await ws.alive();
        const again = loads(gateway, 50);

        await pause(500);
        await finish(again);
        await gateway.mustReload();
        assert.equal((await gateway.upgrade()).code, 0);
        ws.terminate();
        await gateway.stop();
    });

    test('is refused while another one, and a reload while an upgrade, is under way', async () => {
        const gateway = await start();
        const good = fs.readFileSync(gateway.program);

        replace(gateway.program, '#!/bin/sh\nsleep 3\nexit 1\n');
        const slow = gateway.upgrade();

        await pause(500);
        const second = await gateway.upgrade();

        assert.equal(second.code, 1);
        assert.match(second.output, /under way already/);
        const reload = await gateway.reload();

        assert.equal(reload.code, 1);
        assert.match(reload.output, /an upgrade is under way/);
        assert.equal((await slow).code, 1);
        replace(gateway.program, good);
        assert.equal((await gateway.upgrade()).code, 0);
        await gateway.stop();
    });
});

describe('systemd', () => {
    test('is told about the new main process', async () => {
        // Node has no Unix datagrams: a small Python plays systemd.
        const dir = temporary();
        const at = path.join(dir, 'notify');
        const { spawn } = await import('node:child_process');
        const script = 'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\n' +
            'while True: print(s.recv(4096).decode().replace("\\n","|"),flush=True)';
        const manager = spawn('python3', ['-c', script, at], { stdio: ['ignore', 'pipe', 'inherit'] });
        let told = '';

        manager.stdout.on('data', (d) => (told += d));
        await until(() => fs.existsSync(at), { what: 'the socket' });
        const gateway = await start({ env: { NOTIFY_SOCKET: at } });

        await until(() => /READY=1/.test(told), { what: 'READY=1' });
        assert.equal((await gateway.upgrade()).code, 0);
        await until(() => told.includes(`MAINPID=${gateway.pid}`) && told.match(/READY=1/g).length === 2, { what: 'MAINPID' });
        await gateway.stop();
        assert.match(told, /STOPPING=1/);
        manager.kill();
    });

    test('finds nothing wrong with deploy/tollgate.service', (t) => {
        const unit = path.resolve(import.meta.dirname, '../../deploy/tollgate.service');
        const text = fs.readFileSync(unit, 'utf8');

        for (const line of ['Type=notify', 'NotifyAccess=all', 'ExecReload=', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'StateDirectory=tollgate'])
            assert.ok(text.includes(line), line);
        let verify;

        try {
            verify = execFileSync('sh', ['-c', 'command -v systemd-analyze'], { encoding: 'utf8' }).trim();
        } catch {
            return t.diagnostic('no systemd-analyze here: only the text was looked at');
        }
        const dir = temporary();
        const there = path.join(dir, 'tollgate.service');

        fs.writeFileSync(there, text.replaceAll('/usr/bin/tollgate', PROGRAM));
        execFileSync(verify, ['verify', there], { stdio: 'pipe' });
        const report = execFileSync('sh', ['-c', `${verify} security --offline=true ${there} || true`], { encoding: 'utf8' });
        const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(report) ?? [];

        if (exposure)
            assert.ok(Number(exposure) < 3, `exposure ${exposure}`);
    });
});
