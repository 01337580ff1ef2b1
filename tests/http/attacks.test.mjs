// attacks.test.mjs - slow, greedy and rude clients; the others are served.
//
// Time-outs are set short, so that a cut happens within a test. The bounds are
// those of the threat model; TOLLGATE_LONG=1 makes them as tight as they are
// meant, and attacks last longer.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { underAttack } from './lib/attack.mjs';
import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { startProbe } from './lib/probe.mjs';
import { bytes, call, connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { LONG, SLOW, patience, pause, until } from './lib/wait.mjs';

const SECONDS = LONG ? 9 : 3;
const CROWD = 40; // attackers at once
const ELSEWHERE = { localAddress: '127.0.0.2' }; // the attackers' address

let ca;
let probe;
let upstream;
let gateway;

before(async () => {
    ca = new Authority();
    const server = ca.issue('server');

    probe = await startProbe();
    upstream = await startUpstream({ stream: serve });
    gateway = await start({ tls: { certificate: server.certificate, key: server.key } });
});

after(async () => {
    await probe?.close();
    await gateway?.stop();
    await upstream?.close();
});

const BIG = Buffer.alloc(1 << 20, 'x');

/** Big answers, bodies swallowed, and bodies left unread. */
function serve(req, res) {
    if (req.url.startsWith('/down')) {
        let left = 64;

        res.writeHead(200, { 'Content-Length': left * BIG.length });
        const more = () => {
            while (left-- > 0)
                if (!res.write(BIG))
                    return res.once('drain', more);
            res.end();
        };

        more();
    } else if (req.url.startsWith('/unread')) {
        setTimeout(() => req.resume(), patience(SECONDS * 1000));
        req.on('end', () => res.end());
    } else {
        req.resume();
        req.on('end', () => res.end('ok'));
    }
}

function start(options = {}) {
    return startGateway({
        documents: {
            'api.json': openapi({ context: '/api', endpoints: upstream.url }),
            'probe.json': openapi({ title: 'Probe', context: '/probe', endpoints: probe.url, paths: { '/*': 'get' } }),
        },
        timeouts: { handshakeMs: 1500, headMs: 1500, idleMs: 2000, rateMs: 1000, lingerMs: 500 },
        limits: { rate: 500 },
        upstreams: { stallMs: 20000, idleMs: 2000 },
        ...options,
    });
}

/** `n` attackers, each on a connection of its own; ends when all are done. */
function crowd(n, attacker) {
    return Promise.all(Array.from({ length: n }, (_, i) => attacker(i)));
}

/** How long it takes until the gateway ends the connection; fails if it never does. */
async function cutAfter(client, ms, feed) {
    const begin = Date.now();
    const timer = feed && setInterval(() => client.write(feed), patience(100));

    try {
        assert.ok(await client.when((c) => c.over, ms), `not cut within ${patience(ms)} ms`);
    } finally {
        clearInterval(timer);
        client.destroy();
    }
    return Date.now() - begin;
}

describe('The probe is answered and the attackers are cut', () => {
    const attack = (t, options) => underAttack(t, { gateway, probe, path: '/probe/x', ...options });

    test('when heads come one byte at a time', async (t) => {
        await attack(t, {
            attack: () => crowd(CROWD, async () => {
                const client = await connect(gateway, ELSEWHERE);

                await client.write('GET /api/x HTTP/1.1\r\nHost: x\r\nX-A: ');
                await cutAfter(client, 5000, 'a');
            }),
        });
    });

    test('when nothing at all comes after the connection', async (t) => {
        await attack(t, {
            attack: () => crowd(CROWD, async () => cutAfter(await connect(gateway, ELSEWHERE), 5000)),
        });
    });

    test('when connections idle after a call', async (t) => {
        await attack(t, {
            attack: () => crowd(CROWD, async () => {
                const client = await connect(gateway, ELSEWHERE);

                await client.request({ path: '/api/x' });
                assert.equal((await client.response()).status, 200);
                await cutAfter(client, 6000);
            }),
        });
    });

    test('when bodies come slower than the least rate', async (t) => {
        await attack(t, {
            attack: () => crowd(CROWD, async (i) => {
                const client = await connect(gateway, ELSEWHERE);

                if (i % 2) {
                    await client.write('POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n');
                    await cutAfter(client, 8000, 'x');
                } else {
                    await client.write('POST /api/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
                    await cutAfter(client, 8000, '1\r\nx\r\n');
                }
            }),
        });
    });

    test('when answers are read slower than the least rate', async (t) => {
        await attack(t, {
            attack: () => crowd(16, async () => {
                const client = await connect(gateway, ELSEWHERE);

                client.socket.pause();
                await client.request({ path: '/api/down' });
                await pause(patience(4500)); // longer than any buffer lasts at 500 B/s
                let bytesRead = 0;

                client.onData = (chunk) => (bytesRead += chunk.length);
                client.socket.resume();
                assert.ok(await client.when((c) => c.over || c.responses.length, 10000), 'neither cut nor answered');
                assert.equal(client.responses.length, 0, 'all of it was sent to somebody who did not read');
                client.destroy();
            }),
        });
    });

    test('when TLS handshakes stop half way', async (t) => {
        const hello = '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03';

        await attack(t, {
            attack: () => crowd(CROWD, async (i) => {
                const client = await connect(gateway.tlsPort, ELSEWHERE);

                client.arrived = () => {}; // whatever it says is no HTTP
                await client.write(i % 2 ? hello : '');
                await cutAfter(client, 5000, i % 2 ? '\0' : '');
            }),
        });
    });

    test(`when clients connect, ask and leave ${SLOW ? 200 : 1250} times a second`, async (t) => {
        const rate = SLOW ? 200 : 1250;
        const failures = [];
        let done = 0;

        await attack(t, {
            attack: async () => {
                const begin = performance.now();
                const tasks = [];

                for (let n = 0; n < rate * SECONDS; n++) {
                    const due = begin + (n * 1000) / rate;

                    if (due - performance.now() > 1)
                        await pause(due - performance.now());
                    tasks.push(call(gateway, '/api/x', { ...ELSEWHERE, ms: 10000 }).then((answer) => {
                        if (answer.status === 200)
                            done++;
                        else
                            failures.push(answer.status);
                    }, (error) => failures.push(error.message)));
                }
                await Promise.all(tasks);
            },
        });
        t.diagnostic(`${done} calls on connections of their own`);
        assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${rate * SECONDS} calls failed`);
    });

    test('when clients connect and reset at once', async (t) => {
        await attack(t, {
            attack: async () => {
                const end = Date.now() + SECONDS * 500;

                while (Date.now() < end) {
                    await crowd(20, async (i) => {
                        const client = await connect(gateway, ELSEWHERE).catch(() => null);

                        if (i % 2)
                            await client?.request({ path: '/api/down' });
                        client?.reset();
                    });
                    await pause(10);
                }
            },
        });
    });

    test('when requests are refused and the client goes on sending', async (t) => {
        await attack(t, {
            attack: () => crowd(8, async () => {
                const client = await connect(gateway, ELSEWHERE);
                const end = Date.now() + patience(6000);

                await client.write('POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n');
                while (!client.closed && Date.now() < end && (await Promise.race([client.write(BIG), pause(patience(500))])) !== false)
                    ;
                assert.ok(await client.when((c) => c.over, 6000), 'not cut');
                client.destroy();
            }),
        });
    });

    test('when thousands of requests are pipelined and no answer is read', async (t) => {
        await attack(t, {
            attack: () => crowd(8, async () => {
                const client = await connect(gateway, ELSEWHERE);
                const flood = bytes('GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500));
                const end = Date.now() + SECONDS * 1000;

                client.socket.pause();
                while (!client.closed && Date.now() < end)
                    await Promise.race([client.write(flood), pause(100)]);
                client.reset();
            }),
        });
    });

    test('when heads are as large as they may be', async (t) => {
        await attack(t, {
            attack: () => crowd(CROWD, async () => {
                for (let i = 0; i < 10; i++) {
                    const client = await connect(gateway, ELSEWHERE);

                    await client.write(`GET /api/x HTTP/1.1\r\nHost: x\r\n${`X-A: ${'v'.repeat(300)}\r\n`.repeat(200)}\r\n`);
                    assert.equal((await client.response()).status, 431);
                    client.destroy();
                }
            }),
        });
    });
});

describe('Descriptors', () => {
    test('run out without harm: those who are connected are served, and all are when it is over', async (t) => {
        const own = await start({ wrapper: ['prlimit', '--nofile=128:128'] });

        t.after(() => own.stop());
        const held = [];

        await underAttack(t, {
            gateway: own,
            probe,
            path: '/probe/x',
            fresh: false,
            attack: async () => {
                const end = Date.now() + SECONDS * 1000;

                while (Date.now() < end) {
                    for (let i = 0; i < 50 && held.filter((c) => !c.closed).length < 400; i++)
                        held.push(await connect(own, { ...ELSEWHERE, ms: 500 }).catch(() => ({ closed: true, destroy: () => {} })));
                    await pause(100);
                }
            },
            cleanUp: () => held.forEach((client) => client.destroy()),
        });
        const answer = await until(() => call(own, '/probe/x').catch(() => null), { ms: 10000, what: 'a fresh connection to be served' });

        assert.equal(answer.status, 200);
    });

    test('of one address are limited, those of others are not', async (t) => {
        const own = await start({ limits: { rate: 500, connectionsPerAddress: 10 } });

        t.after(() => own.stop());
        const gone = { over: true, destroy: () => {} }; // turned away by a reset
        const held = await crowd(30, () => connect(own, ELSEWHERE).catch(() => gone));

        await until(() => held.filter((c) => c.over).length >= 20, { ms: 1000, what: 'those above ten to be turned away' }).catch(() => {});
        const alive = held.filter((c) => !c.over).length;

        assert.ok(alive <= 10, `${alive} connections of one address are open`);
        assert.equal((await call(own, '/probe/x')).status, 200);
        for (const client of held)
            client.destroy();
        await until(async () => (await call(own, '/probe/x', ELSEWHERE).catch(() => ({}))).status === 200, { what: 'the address to be served again' });
    });
});

describe('Memory', () => {
    test('of 256 MiB is enough against many slow large bodies', async (t) => {
        const own = await start({ memory: { limit: '256m' }, timeouts: { rateMs: 20000, idleMs: 5000 } });
        const clients = [];

        t.after(() => own.stop());
        const { peak } = await underAttack(t, {
            gateway: own,
            probe,
            path: '/probe/x',
            attack: async () => {
                const end = Date.now() + SECONDS * 1000;

                // Spread out: it is the gateway that is measured, not this machine.
                await crowd(150, async (n) => {
                    await pause(n * 5);
                    const client = await connect(own, ELSEWHERE);

                    clients.push(client);
                    await client.write(`POST /api/unread HTTP/1.1\r\nHost: x\r\nContent-Length: ${8 * BIG.length}\r\n\r\n`);
                    for (let i = 0; i < 32 && !client.over && Date.now() < end; i++) {
                        await Promise.race([client.write(BIG.subarray(0, BIG.length / 4)), pause(1000)]);
                        await pause(250);
                    }
                });
                await pause(Math.max(0, end - Date.now()));
            },
            cleanUp: () => clients.forEach((client) => client.destroy()),
        });

        if (MEMORY_COUNTS)
            assert.ok(peak < 256 << 20, `${peak >> 20} MiB resident`);
    });

    test('of 256 MiB is enough against many large answers that nobody reads', async (t) => {
        const own = await start({ memory: { limit: '256m' }, timeouts: { rateMs: 20000 } });
        const clients = [];

        t.after(() => own.stop());
        const { peak } = await underAttack(t, {
            gateway: own,
            probe,
            path: '/probe/x',
            attack: async () => {
                await crowd(64, async (n) => {
                    await pause(n * 5);
                    const client = await connect(own, ELSEWHERE);

                    clients.push(client);
                    client.socket.pause();
                    await client.request({ path: '/api/down' });
                });
                await pause(SECONDS * 1000);
            },
            cleanUp: () => clients.forEach((client) => client.reset()),
        });

        if (MEMORY_COUNTS)
            assert.ok(peak < 256 << 20, `${peak >> 20} MiB resident`);
    });
});
