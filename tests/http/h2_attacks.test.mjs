// h2_attacks.test.mjs - HTTP/2 used as a weapon: who does it is cut off, the
// others are served meanwhile, and nothing is left behind.
//
// The figures are those of the threat model. TOLLGATE_LONG=1 asserts the
// probe's p99 as it is meant, see lib/attack.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { underAttack } from './lib/attack.mjs';
import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, startGateway } from './lib/gateway.mjs';
import { ERROR, FLAG, TYPE, block, frame, h2connect, reference } from './lib/h2raw.mjs';
import { startProbe } from './lib/probe.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { pause, until } from './lib/wait.mjs';

const ELSEWHERE = { localAddress: '127.0.0.2' };
const CROWD = 4; // attackers, one after the other's cut

let ca;
let probe;
let upstream;
let gateway;
let working = 0; // calls the upstream has in hand

before(async () => {
    ca = new Authority();
    const server = ca.issue('server');

    probe = await startProbe();
    upstream = await startUpstream({ stream: serve });
    gateway = await startGateway({
        documents: {
            'target.json': openapi({ title: 'target', context: '/target', endpoints: upstream.url }),
            'probe.json': openapi({ title: 'probe', context: '/probe', endpoints: probe.url }),
        },
        tls: { certificate: server.certificate, key: server.key },
        timeouts: { headMs: 1500, rateMs: 1500, idleMs: 4000, handshakeMs: 1500 },
    });
});
after(async () => {
    await probe?.close();
    await gateway?.stop();
    await upstream?.close();
});

function serve(req, res) {
    working++;
    res.on('close', () => working--);
    if (req.url.includes('/big'))
        res.end(Buffer.alloc(1 << 20, 'x'));
    else if (req.url.includes('/hang'))
        req.resume();
    else
        req.on('end', () => res.end('ok')).resume();
}

/** Runs one attack a few times, beside the probe; every client must be cut. */
const attack = (name, one, { codes = [ERROR.ENHANCE_YOUR_CALM], tls = true, connect = {} } = {}) => {
    for (const secure of tls ? [false, true] : [false])
        test(`${name}${secure ? ', over TLS' : ''}`, async (t) => {
            const rss = gateway.rss();
            const { peak } = await underAttack(t, {
                gateway, probe, path: '/probe/x',
                attack: async () => {
                    for (let i = 0; i < CROWD; i++) {
                        const client = await h2connect(secure ? gateway.tlsPort : gateway.port,
                            { ...ELSEWHERE, tls: secure && { ca: ca.pem }, ...connect });

                        // Our ACK must not come between the frames of an attack.
                        await client.next((f) => f.type === TYPE.SETTINGS && !(f.flags & FLAG.ACK));
                        await one(client, t);
                        const code = await client.cut();

                        if (code !== undefined)
                            assert.ok(codes.includes(code), `GOAWAY with ${code}`);
                        await until(() => client.ended, { ms: 10000, what: 'the end of the connection' });
                        client.close();
                    }
                },
            });

            if (MEMORY_COUNTS)
                assert.ok(peak - rss < (48 << 20), `memory grew by ${(peak - rss) >> 20} MiB`);
            await until(() => working === 0, { ms: 5000, what: 'the upstream to be left alone' });
        });
};

/** Sends what make(n) gives until the connection ends, at most `most` times; how many there were. */
async function flood(client, make, most) {
    let n = 0;

    while (n < most && !client.ended && !client.goaway()?.code) {
        const parts = [];

        for (let i = 0; i < 20 && n < most; i++)
            parts.push(make(n++));
        if (!client.send(Buffer.concat(parts)))
            await pause(1);
        else if (n % 200 === 0)
            await pause(0);
    }
    return n;
}

describe('HTTP/2 as a weapon', () => {
    attack('rapid reset: cut after at most 1,000 resets', async (client) => {
        let resets = 0;
        const request = [[':method', 'GET'], [':scheme', 'http'], [':authority', 'a'], [':path', '/target/hang']];

        for (let id = 1; resets < 1500 && !client.ended && !client.goaway()?.code; id += 2) {
            client.send(frame(TYPE.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, id, block(request)), frame(TYPE.RST_STREAM, 0, id, Buffer.from([0, 0, 0, 8])));
            if (++resets % 50 === 0)
                await pause(1);
        }
        await until(() => client.ended || client.goaway()?.code, { ms: 5000, what: 'the cut' });
        // What the gateway had read when it cut: our writes run ahead of that.
        assert.ok(client.goaway() === undefined || client.goaway().last <= 2 * 1000 + 1, `${client.goaway()?.last} was still taken`);
    });

    attack('made you reset: our own resets count as well', async (client) => {
        // Each stream is broken by its client: a WINDOW_UPDATE of nothing.
        for (let id = 1, n = 0; n < 3000 && !client.ended && !client.goaway()?.code; id += 2, n++) {
            client.headers(id, [], { path: '/target/hang' });
            client.window(id, 0);
            if (n % 50 === 49)
                await pause(1);
        }
    }, { codes: [ERROR.ENHANCE_YOUR_CALM, ERROR.PROTOCOL_ERROR] });

    attack('a flood of CONTINUATION is cut at the header limit', async (client) => {
        const piece = block([['x-filler', 'y'.repeat(1000)]]);

        client.headers(1, [], { flags: 0, path: '/target/x' });
        await flood(client, () => frame(TYPE.CONTINUATION, 0, 1, piece), 5000);
        assert.ok(client.sent < (1 << 20), `${client.sent} bytes were taken`);
    }, { codes: [ERROR.ENHANCE_YOUR_CALM, ERROR.INTERNAL_ERROR] });

    attack('empty CONTINUATION frames', async (client) => {
        client.headers(1, [], { flags: 0, path: '/target/x' });
        assert.ok(await flood(client, () => frame(TYPE.CONTINUATION, 0, 1), 100000) < 100000);
    }, { codes: [ERROR.ENHANCE_YOUR_CALM, ERROR.INTERNAL_ERROR] });

    attack('a header list that never ends', async (client) => {
        client.headers(1, [], { flags: 0, path: '/target/x' });
    });

    attack('SETTINGS, answers unread', async (client) => {
        client.silent = true;
        client.socket.pause();
        await flood(client, () => frame(TYPE.SETTINGS, 0, 0), 3000);
        client.socket.resume();
        await client.cut();
        const answers = client.frames.filter((f) => f.type === TYPE.SETTINGS && f.flags & FLAG.ACK).length;

        assert.ok(answers <= 1000, `${answers} were answered`);
    });

    attack('PING, answers unread', async (client) => {
        client.socket.pause();
        await flood(client, () => frame(TYPE.PING, 0, 0, Buffer.alloc(8)), 3000);
        client.socket.resume();
        await client.cut();
        const answers = client.frames.filter((f) => f.type === TYPE.PING).length;

        assert.ok(answers <= 1000, `${answers} were answered`);
    });

    attack('a bomb of references to one large entry', async (client) => {
        const entry = block([[':method', 'GET'], [':scheme', 'http'], [':authority', 'a'], [':path', '/target/x']]);
        const bomb = Buffer.concat([entry, block([['x-bomb', 'b'.repeat(3900)]], { indexed: true }), ...Array(16000).fill(reference(62))]);

        client.frame(TYPE.HEADERS, FLAG.END_STREAM, 1, bomb.subarray(0, 16000));
        client.frame(TYPE.CONTINUATION, FLAG.END_HEADERS, 1, bomb.subarray(16000, 32000));
    });

    attack('100 streams without a window are cut by the send time-out', async (client) => {
        for (let id = 1; id < 200; id += 2)
            client.headers(id, [], { path: '/target/big' });
    }, { connect: { settings: [[4, 0]] }, tls: false });

    attack('empty DATA: cut after at most 1,000', async (client) => {
        client.headers(1, [], { end: false, method: 'POST', path: '/target/x' });
        assert.ok(await flood(client, () => frame(TYPE.DATA, 0, 1), 100000) < 100000);
    });

    attack('PRIORITY without end', async (client) => {
        assert.ok(await flood(client, (n) => frame(TYPE.PRIORITY, 0, 2 * n + 1, Buffer.from([0, 0, 0, 0, 16])), 100000) < 100000);
    });

    test('a body that comes too slowly is 408, and the stream is over', async () => {
        const client = await h2connect(gateway.port);

        client.headers(1, [], { end: false, method: 'POST', path: '/target/x' });
        client.data(1, 'x');
        const timer = setInterval(() => client.data(1, 'x'), 300);
        const answer = await client.answer(1, { ms: 10000 });

        clearInterval(timer);
        assert.equal(answer.status, 408);
        client.close();
    });

    test('many honest streams, resets among them, are no attack', async () => {
        const client = await h2connect(gateway.port);

        for (let round = 0, id = 1; round < 30; round++) {
            const first = id;

            for (let n = 0; n < 40; n++, id += 2) {
                client.headers(id, [], { path: n % 4 ? '/target/x' : '/target/hang' });
                if (n % 4 === 0)
                    client.reset(id);
            }
            for (let k = first; k < id; k += 2)
                if (((k - first) / 2) % 4)
                    assert.equal((await client.answer(k)).status, 200);
        }
        assert.equal(client.goaway(), undefined);
        client.close();
    });
});
