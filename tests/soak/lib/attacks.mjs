// attacks.mjs - short attacks for a soak, some seconds each, from an address
// of their own. What they must not do is judged by lib/attack.mjs.
import { bytes, call, connect } from '../../http/lib/raw.mjs';
import { pause } from '../../http/lib/wait.mjs';

const FROM = { localAddress: '127.0.0.2', ms: 10000 };
const TARGET = '/api01/t/attack';

function crowd(n, attacker) {
    return Promise.all(Array.from({ length: n }, (_, i) => attacker(i)));
}

/** Feeds a connection until the gateway ends it, or 9 s are over. */
async function untilCut(client, feed) {
    const timer = feed && setInterval(() => client.write(feed), 100);
    const cut = await client.when((c) => c.over, 9000);

    clearInterval(timer);
    client.destroy();
    if (!cut)
        throw new Error('an attacker was not cut within 9 s');
}

/** name -> attack({port, tlsPort}) */
export const attacks = {
    'heads a byte at a time': ({ port }) => crowd(40, async () => {
        const client = await connect(port, FROM);

        await client.write(`GET ${TARGET} HTTP/1.1\r\nHost: x\r\nX-A: `);
        await untilCut(client, 'a');
    }),
    'churn': async ({ port }) => {
        for (let i = 0; i < 60; i++) {
            await Promise.all([crowd(15, () => call(port, TARGET, FROM)), pause(40)]);
        }
    },
    'TLS handshakes that stop half way': ({ tlsPort }) => crowd(40, async (i) => {
        const client = await connect(tlsPort, FROM);

        client.arrived = () => {}; // whatever it says is no HTTP
        await client.write(i % 2 ? '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' : '');
        await untilCut(client, i % 2 ? '\0' : '');
    }),
    'large answers that nobody reads': ({ port }) => crowd(16, async () => {
        const client = await connect(port, FROM);

        client.socket.pause();
        for (let i = 0; i < 16; i++) // more than any socket's buffers
            await client.request({ path: '/api01/big/t/attack' });
        await pause(5000);
        client.reset();
    }),
    'connections that reset at once': async ({ port }) => {
        for (let i = 0; i < 100; i++) {
            await crowd(10, async (n) => {
                const client = await connect(port, FROM).catch(() => null);

                if (n % 2)
                    await client?.request({ path: '/api01/big/t/attack' });
                client?.reset();
            });
            await pause(30);
        }
    },
    'bodies slower than the least rate': ({ port }) => crowd(40, async () => {
        const client = await connect(port, FROM);

        await client.write(`POST ${TARGET} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`);
        await untilCut(client, 'x');
    }),
    'pipelining without reading': ({ port }) => crowd(8, async () => {
        const client = await connect(port, FROM);
        const flood = bytes(`GET ${TARGET} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(200));
        const end = Date.now() + 4000;

        client.socket.pause();
        while (!client.closed && Date.now() < end)
            await Promise.all([Promise.race([client.write(flood), pause(100)]), pause(100)]);
        client.reset();
    }),
    'refused bodies that go on': ({ port }) => crowd(8, async () => {
        const client = await connect(port, FROM);
        const end = Date.now() + 5000;

        await client.write('POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n');
        while (!client.closed && Date.now() < end && (await Promise.race([client.write('x'.repeat(65536)), pause(500)])) !== false)
            await pause(5);
        client.destroy();
    }),
    'heads that are too large': ({ port }) => crowd(20, async () => {
        for (let i = 0; i < 10; i++) {
            const client = await connect(port, FROM);

            await client.write(`GET ${TARGET} HTTP/1.1\r\nHost: x\r\n${`X-A: ${'v'.repeat(300)}\r\n`.repeat(200)}\r\n`);
            const answer = await client.response(10000);

            client.destroy();
            if (answer.status !== 431)
                throw new Error(`${answer.status} instead of 431`);
        }
    }),
    'connections that say nothing': ({ port }) => crowd(60, async () => untilCut(await connect(port, FROM))),
};
