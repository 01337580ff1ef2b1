// gateway.mjs - one gateway for a long time, under everything at once.
//
// About 300 calls a second of many kinds, a change every 5 s, an attack every
// minute, a backend that restarts, one that is hostile, a name that moves. At
// the end every call must have had its own answer, but those whose backend was
// away or hostile, and the process must look as it did in the beginning.
// Three quarters of SOAK_MINUTES; kill.mjs has the fourth.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { underAttack } from '../http/lib/attack.mjs';
import { openapi } from '../http/lib/document.mjs';
import { startGateway } from '../http/lib/gateway.mjs';
import { Hostile } from '../http/lib/hostile.mjs';
import { startProbe } from '../http/lib/probe.mjs';
import { Authority } from '../http/lib/tls.mjs';
import { pause, until, within } from '../http/lib/wait.mjs';
import { attacks } from './lib/attacks.mjs';
import { Backend, Restarting, startNameServer } from './lib/backends.mjs';
import { Changes } from './lib/changes.mjs';
import { cases } from './lib/hostilities.mjs';
import { addMix } from './lib/mix.mjs';
import { say, share } from './lib/time.mjs';
import { HeldStream, Traffic, ask } from './lib/traffic.mjs';
import { Watch } from './lib/watch.mjs';

const TOTAL_MS = share(3 / 4);
const ATTACK_MS = Math.min(60000, TOTAL_MS / 12); // a short soak has all kinds, too
const CHANGE_MS = 5000;
const THREADS = 2;
const NAME = 'backend.soak.test';
const APIS = Array.from({ length: 44 }, (_, i) => `/api${String(i).padStart(2, '0')}`);

let steady;
let second; // the same port at the other address of NAME
let restarting;
let hostile;
let names;
let probe;
let ca;
let certificates;
let gateway;
let changes;
let traffic;
let watch;
const streams = [];

before(async () => {
    ca = new Authority();
    certificates = ['first', 'second', 'third'].map((name) => ca.issue(name));
    steady = await new Backend('steady').listen();
    second = await new Backend('second').listen(steady.port, '127.0.0.3');
    restarting = await new Restarting('restarting', { everyMs: 20000, downMs: 2000, graceMs: 4000 }).listen();
    hostile = await new Hostile(cases).start();
    names = await startNameServer(NAME, ['127.0.0.1']);
    probe = await startProbe();
    gateway = await start();
    changes = new Changes(gateway, { url: steady.url, ca, certificates });
});

after(async () => {
    await probe?.close();
    await Promise.all([steady, second, restarting, hostile].map((backend) => backend?.close()));
    names?.close();
    await gateway?.stop();
});

function start() {
    const api = (name, endpoints, more) => [`apis/${name}.json`, openapi({ title: name, context: `/${name}`, endpoints, ...more })];

    return startGateway({
        files: Object.fromEntries([
            ...APIS.map((context) => api(context.slice(1), `${steady.url}/base`)),
            api('moving', `${steady.url}/v1`),
            api('name', `http://${NAME}:${steady.port}`),
            api('pair', [steady.url, restarting.url], { type: 'load_balance' }),
            api('restarting', restarting.url),
            api('hostile', hostile.url),
            api('probe', probe.url),
            ['cert.pem', certificates[0].certificatePem],
            ['key.pem', certificates[0].keyPem],
        ]),
        apis: ['apis'],
        tls: { certificate: 'cert.pem', key: 'key.pem' },
        threads: THREADS,
        accessLog: { file: 'access.log' },
        timeouts: { handshakeMs: 3000, headMs: 5000, rateMs: 2000, drainMs: 4000 },
        upstreams: { firstByteMs: 5000, stallMs: 5000, dns: { servers: names.at } },
    });
}

/** The first thing that is wrong, or null. */
function trouble() {
    if (gateway.state.exit)
        return `the gateway ended: ${JSON.stringify(gateway.state.exit)}\n${gateway.stderr.slice(-4000)}`;
    return traffic.problems[0] ?? watch.check() ?? streams.map((s) => s.check()).find(Boolean) ??
        [steady, second, restarting].flatMap((b) => b.malformed)[0] ?? hostile.upstream.malformed()[0] ?? null;
}

/** Runs all tasks until the time is over or one of them finds something. */
async function together(tasks) {
    const end = Date.now() + TOTAL_MS;
    const found = [];
    const goesOn = () => Date.now() < end && !found.length;

    await Promise.all(tasks.map(async (task) => {
        try {
            await task(goesOn);
        } catch (error) {
            found.push(error);
        }
    }));
    if (found.length)
        throw found[0];
}

/** A task that does something every so many milliseconds. */
function every(ms, doIt) {
    return async (goesOn) => {
        let next = Date.now() + ms;

        while (goesOn()) {
            if (Date.now() < next) {
                await pause(Math.min(250, next - Date.now()));
                continue;
            }
            next += ms;
            await doIt();
        }
    };
}

async function holdStreams() {
    const secure = { tls: { ca: ca.pem } };

    for (const path of ['/api00', '/api01', '/api02', '/moving', '/name'])
        streams.push(await HeldStream.open(gateway.port, path));
    for (const path of ['/api00', '/api01'])
        streams.push(await HeldStream.open(gateway.tlsPort, path, secure));
}

/** Two of the streams are new ones now and then. */
async function renewStreams() {
    for (const stream of streams.splice(0, 2)) {
        assert.equal(stream.check(), null);
        stream.close();
        streams.push(await HeldStream.open(gateway.port, stream.path));
    }
}

let attacked = 0;

async function attackOnce() {
    const [name, attack] = Object.entries(attacks)[attacked++ % Object.keys(attacks).length];
    const { level } = watch;

    await underAttack({ diagnostic: (text) => say(`attack, ${name}: ${text}`) }, { gateway, probe, path: '/probe/x', attack: () => Promise.all([attack(gateway), pause(2000)]) })
        .catch((error) => {
            throw new Error(`under attack by ${name}: ${error.message}`);
        });
    await until(() => gateway.fds() <= level + 16, { ms: 15000, what: `descriptors to come back to ${level} after ${name} (now ${gateway.fds()})` });
}

let turns = 0;

/** The name moves, and every tenth time nobody says where it is. */
function moveName() {
    turns++;
    names.addresses = [['127.0.0.1'], ['127.0.0.1', '127.0.0.3'], ['127.0.0.3']][turns % 3];
    names.silent = turns % 10 === 9;
}

/** What the strict upstream below the hostile one keeps is of no use here. */
function forgetHostilities() {
    hostile.upstream.requests.length = 0;
    hostile.upstream.cut.length = 0;
    for (const c of hostile.upstream.connections)
        if (!c.malformed)
            c.chunks.length = 0;
}

function progress() {
    const { done, excused, lost, wrong } = traffic;

    say(`${done} calls, ${lost.length} lost, ${wrong.length} wrong, ${excused} of broken backends; ${watch.line}; ` +
        `${changes.made} changes, ${attacked} attacks, ${restarting.restarts} restarts`);
}

test('A gateway answers every call right while all around it goes wrong', async (t) => {
    traffic = new Traffic();
    watch = new Watch(gateway, TOTAL_MS);
    await holdStreams();
    addMix(traffic, { gateway, secure: { ca: ca.pem }, apis: APIS, cases: [...cases.values()], restarting, moving: changes.moving });
    restarting.begin();
    try {
        await together([
            every(1000, () => {
                const found = trouble();

                if (found)
                    throw new Error(found);
                watch.sample();
            }),
            every(5000, () => watch.scrape()),
            every(CHANGE_MS, () => changes.next()),
            every(ATTACK_MS, attackOnce),
            every(30000, renewStreams),
            every(3000, moveName),
            every(10000, forgetHostilities),
            every(60000, progress),
        ]);
        assert.equal(trouble(), null);
    } finally {
        restarting.end();
        await traffic.stop();
        progress();
        for (const kind of traffic.byKind.values())
            t.diagnostic(`${kind.name}: ${kind.done} of ${kind.issued * kind.calls}, ${kind.excused} excused`);
        for (const problem of traffic.problems.slice(0, 20))
            t.diagnostic(problem);
    }
    assert.deepEqual(traffic.problems, []);
    for (const kind of traffic.byKind.values())
        assert.ok(kind.done > 0 || kind.name === 'hostile', `no call of kind ${kind.name} was answered`);
    assert.equal(hostile.played.size, cases.size, 'some hostile answers were never played');
    assert.ok(attacked >= Math.min(TOTAL_MS / ATTACK_MS, 12) / 2, `only ${attacked} attacks`);
    assert.ok(changes.made >= TOTAL_MS / CHANGE_MS / 2, `only ${changes.made} changes`);
    assert.ok(names.asked > TOTAL_MS / 10000, 'the name was hardly ever asked for');
});

test('When it is quiet again nothing is left over', async () => {
    for (const stream of streams)
        stream.close();
    const held = async () => {
        const m = await gateway.metrics();

        return {
            connections: m.sum('tollgate_connections'),
            outstanding: m.sum('tollgate_upstream_outstanding'),
            active: m.sum('tollgate_upstream_connections_active'),
            // Threads draw on the budget in slices of 64 KiB.
            budget: Math.max(0, m.sum('tollgate_memory_budget_used_bytes') - THREADS * 65536),
        };
    };
    let last;

    await until(async () => Object.values(last = await held()).every((n) => n === 0), { ms: 20000, every: 200, what: 'calls and connections to be given back' })
        .catch((error) => assert.fail(`${error.message}: ${JSON.stringify(last)}`));
});

test('The access log has one line for each call, through all rotations', async (t) => {
    await pause(2500); // lines are written within a second, when it is quiet
    const metrics = await gateway.metrics();

    assert.equal(metrics.sum('tollgate_access_log_dropped_total'), 0);
    assert.equal(changes.countAll(), metrics.sum('tollgate_access_log_lines_total'), 'lines in the files and lines counted');
    // Refused requests have a line as well; some of them were calls already.
    const calls = metrics.sum('tollgate_http_requests_total');
    const refused = metrics.sum('tollgate_requests_refused_total');
    const lines = metrics.sum('tollgate_access_log_lines_total');

    assert.ok(lines >= calls && lines <= calls + refused, `${lines} lines for ${calls} calls and ${refused} refused requests`);
    t.diagnostic(`${lines} lines for ${calls} calls and ${refused} refused requests`);
});

test('SIGTERM under load lets every call finish, and ends with 0', async () => {
    const final = new Traffic();
    const refused = (begin, end, error) => error.code === 'ECONNREFUSED';
    const stream = await HeldStream.open(gateway.port, '/api00');

    final.add('get', { port: gateway.port, rate: 100, width: 8, life: Infinity, excuse: refused, run: (c, n) => ask(c, APIS[n % APIS.length]) });
    final.add('get-tls', { port: gateway.tlsPort, tls: { ca: ca.pem }, rate: 40, width: 4, life: Infinity, excuse: refused, run: (c, n) => ask(c, APIS[n % APIS.length]) });
    final.add('slow', { port: gateway.port, rate: 2, width: 4, life: 1, excuse: refused, run: (c) => ask(c, '/api00/wait/1500') });
    await pause(3000);
    gateway.signal('SIGTERM');
    const exit = await within(gateway.state.exited, 8000, 'end of the gateway');

    await final.stop();
    assert.deepEqual(final.problems, []);
    assert.ok(final.done > 100, `only ${final.done} calls were made`);
    assert.deepEqual([exit.code, exit.signal], [0, null]);
    assert.ok(stream.client.over, 'an open stream outlived the process');
    stream.close();
    await gateway.stop();
});
