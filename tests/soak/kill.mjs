// kill.mjs - kill -9 under load, over and over, in the same state folder.
//
// Every 2 s the gateway is killed, now and then while it starts or reloads.
// Each time it must serve again within a second, with the certificate its
// clients know; what the dead one left behind must not be in the way, and no
// more of it each time. A quarter of SOAK_MINUTES, at least ten rounds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';

import { openapi } from '../http/lib/document.mjs';
import { PROGRAM, startGateway } from '../http/lib/gateway.mjs';
import { call } from '../http/lib/raw.mjs';
import { freePort } from '../http/lib/upstream.mjs';
import { patience, pause, until, within } from '../http/lib/wait.mjs';
import { Backend } from './lib/backends.mjs';
import { say, share } from './lib/time.mjs';
import { Refused, Traffic, ask } from './lib/traffic.mjs';

const EVERY_MS = 2000;
const ROUNDS = Math.max(10, Math.floor(share(1 / 4) / EVERY_MS));
const SERVES_MS = 1000;

let backend;
let gateway;
let ports;
let ca;
let args;
const dead = []; // [from, to]: spans without a gateway

before(async () => {
    backend = await new Backend('backend').listen();
    ports = [await freePort(), await freePort()];
    gateway = await startGateway({
        documents: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`api${i}.json`, openapi({ title: `Api ${i}`, context: `/api${i}`, endpoints: backend.url })])),
        listeners: [{ address: `127.0.0.1:${ports[0]}` }, { address: `127.0.0.1:${ports[1]}`, localCertificate: true }],
        threads: 2,
        accessLog: { file: 'access.log' },
    });
    ca = fs.readFileSync(`${gateway.stateDir}/ca-cert.pem`, 'utf8');
    args = ['gateway', '--config', gateway.file('tollgate.yaml')];
});

after(async () => {
    await gateway?.stop();
    await backend?.close();
});

function folder() {
    return fs.readdirSync(gateway.stateDir, { recursive: true }).sort();
}

async function kill() {
    gateway.check();
    gateway.state.child.kill('SIGKILL');
    dead.push([Date.now(), Infinity]);
    if (dead.length > 100)
        dead.shift();
    const exit = await within(gateway.state.exited, 5000, 'end of the killed gateway');

    assert.equal(exit.signal, 'SIGKILL', `it had ended before: ${JSON.stringify(exit)}\n${gateway.stderr.slice(-2000)}`);
}

/** A gateway that is killed before it is through with starting. */
async function killAtStart(ms) {
    const child = spawn(PROGRAM, args, { cwd: gateway.dir, stdio: 'ignore', env: { ...process.env, TOLLGATE_GATEWAY_USER: 'root' } });

    await pause(ms);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.on('close', resolve));
}

/** Starts it again; the milliseconds until a call was answered. */
async function startAgain() {
    const begin = performance.now();

    await gateway.start(args, { startMs: 5000 });
    await until(async () => (await call(ports[0], '/api0/t/first').catch(() => ({}))).status === 200, { what: 'a call to be answered', every: 5 });
    const took = performance.now() - begin;

    dead.at(-1)[1] = Date.now();
    return took;
}

/** Its own tools reach it, both listeners serve, the authority is the same. */
async function look() {
    assert.equal(fs.readFileSync(`${gateway.stateDir}/pid`, 'utf8').trim(), String(gateway.pid));
    await gateway.mustReload();
    assert.equal((await call(ports[1], '/api1/t/tls', { tls: { ca } })).status, 200);
    assert.equal(fs.readFileSync(`${gateway.stateDir}/ca-cert.pem`, 'utf8'), ca, 'there is another authority');
    assert.equal((await gateway.adminCall('/ready')).status, 200);
    gateway.check();
}

test(`A gateway that is killed ${ROUNDS} times serves again within a second`, async (t) => {
    const traffic = new Traffic();
    const wasDead = (begin, end, error) => !(error instanceof Refused) && dead.some(([from, to]) => from <= end && to >= begin);
    const api = (n) => `/api${n % 20}`;
    const [port, tlsPort] = ports;
    const times = [];
    let usual;
    let said = Date.now();

    await look();
    usual = folder();
    traffic.add('get', { port, rate: 150, width: 8, excuse: wasDead, run: (c, n) => ask(c, api(n)) });
    traffic.add('post', { port, rate: 50, width: 4, excuse: wasDead, run: (c, n) => ask(c, api(n), { method: 'POST', body: 'b'.repeat((n * 131) % 20000) }) });
    traffic.add('get-tls', { port: tlsPort, tls: { ca }, rate: 50, width: 4, excuse: wasDead, run: (c, n) => ask(c, api(n)) });
    traffic.add('waiting', { port, rate: 10, width: 4, excuse: wasDead, run: (c, n) => ask(c, `${api(n)}/wait/300`) });
    try {
        for (let n = 1; n <= ROUNDS; n++) {
            const next = Date.now() + EVERY_MS;
            const reload = n % 3 === 0 && gateway.reload().catch(() => {});

            if (reload)
                await pause(Math.random() * 20); // in the middle of it
            await kill();
            await reload;
            if (n % 2 === 0)
                await killAtStart(Math.random() * 40);
            times.push(await startAgain());
            assert.ok(times.at(-1) < patience(SERVES_MS), `it served after ${times.at(-1).toFixed(0)} ms`);
            await look();
            assert.deepEqual(folder(), usual, 'other files are in the state folder');
            assert.deepEqual(traffic.problems, []);
            if (Date.now() - said > 60000) {
                say(`${n} kills, ${traffic.done} calls`);
                said = Date.now();
            }
            await pause(Math.max(0, next - Date.now()));
        }
    } finally {
        await traffic.stop();
        t.diagnostic(`${times.length} starts, at most ${Math.max(...times).toFixed(0)} ms; ${traffic.done} calls, ${traffic.excused} cut by a kill`);
        for (const problem of traffic.problems.slice(0, 20))
            t.diagnostic(problem);
    }
    assert.deepEqual(traffic.problems, []);
    assert.ok(traffic.done > ROUNDS * 100, `only ${traffic.done} calls were answered`);
    assert.deepEqual(backend.malformed, []);
});

test('A gateway that was killed while it made its state folder makes it whole', async () => {
    const { stateDir } = gateway;

    await kill();
    for (let ms = 0; ms < 40; ms += 4) {
        fs.rmSync(stateDir, { recursive: true });
        await killAtStart(ms);
        if (!fs.existsSync(stateDir))
            fs.mkdirSync(stateDir);
    }
    assert.ok(await startAgain() < patience(SERVES_MS));
    ca = fs.readFileSync(`${stateDir}/ca-cert.pem`, 'utf8');
    await look();
    assert.deepEqual(folder().filter((name) => /new|tmp|~|\.[A-Za-z0-9]{6}$/.test(name)), [], 'temporary files are left');
});
