// mix.mjs - the traffic of a soak: about 300 calls a second of every sort.
import { call, connect, requestBytes } from '../../http/lib/raw.mjs';
import { pause } from '../../http/lib/wait.mjs';
import { BIG, large } from './backends.mjs';
import { ANSWER_MS, Refused, Wrong, ask, freshToken, nextAnswer, verify } from './traffic.mjs';

const BODY = Buffer.alloc(20000, 'body of a call ').toString();
const MEGABYTE = Buffer.alloc(BIG, 'megabyte ').toString();

/** What may stand where an answer of a broken backend was due. */
const CUT = /the connection ended|no answer head/;

/** The chunked form of a body, in pieces of odd sizes, with a trailer. */
function chunked(body) {
    let text = '';

    for (let at = 0, n = 1; at < body.length; at += n, n = (n * 7) % 4099 + 1) {
        const piece = body.slice(at, at + n);

        text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
    }
    return `${text}0\r\nX-Sum: 1\r\n\r\n`;
}

async function postChunked(client, path, body) {
    const token = freshToken();

    await client.request({ method: 'POST', path: `${path}/chunks/t/${token}`, headers: { 'Transfer-Encoding': 'chunked' }, body: chunked(body) });
    verify(await nextAnswer(client), { token, method: 'POST', body });
}

/** Eight requests in one write; eight answers in their order. */
async function pipeline(client, path) {
    const asked = Array.from({ length: 8 }, (_, i) => ({ token: freshToken(), method: ['GET', 'POST', 'HEAD', 'PUT'][i % 4], body: i % 2 ? `body ${i}` : undefined }));

    for (const { method } of asked)
        client.expecting(method);
    await client.write(Buffer.concat(asked.map(({ token, method, body }) => requestBytes({ method, path: `${path}/t/${token}`, host: client.host, body }))));
    for (const one of asked)
        verify(await nextAnswer(client), one);
}

/** Slow, but above the least rate and within every time-out. */
const slow = {
    async head(client, path) {
        const token = freshToken();
        const text = requestBytes({ method: 'GET', path: `${path}/t/${token}`, host: client.host }).toString('latin1');

        client.expecting('GET');
        for (let at = 0; at < text.length; at += 8) {
            await client.write(text.slice(at, at + 8));
            await pause(150);
        }
        verify(await nextAnswer(client), { token });
    },
    async body(client, path) {
        const token = freshToken();
        const body = BODY.slice(0, 12000);

        client.expecting('POST');
        await client.write(`POST ${path}/t/${token} HTTP/1.1\r\nHost: ${client.host}\r\nContent-Length: ${body.length}\r\n\r\n`);
        for (let at = 0; at < body.length; at += 1500) {
            await pause(500);
            await client.write(body.slice(at, at + 1500));
        }
        verify(await nextAnswer(client), { token, method: 'POST', body });
    },
    async reader(client, path) {
        const token = freshToken();
        const timer = setInterval(() => {
            client.socket.resume();
            setTimeout(() => client.socket.pause(), 2);
        }, 60);

        try {
            await client.request({ path: `${path}/big/t/${token}` });
            verify(await nextAnswer(client, 2 * ANSWER_MS), { token, text: large(token) });
        } finally {
            clearInterval(timer);
            client.socket.resume();
        }
    },
    async backend(client, path) {
        await ask(client, `${path}/wait/2000`);
    },
};

/** Clients that leave; nothing is owed to them, others must not notice. */
const leaving = {
    async head(client) {
        await client.write('GET /api00/t/gone HTTP/1.1\r\nHost: x\r\nX-Half');
    },
    async body(client) {
        await client.write(`POST /api00/t/gone HTTP/1.1\r\nHost: x\r\nContent-Length: ${BIG}\r\n\r\n${BODY}`);
        await pause(50);
    },
    async chunk(client) {
        await client.write(`POST /api00/t/gone HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n${BODY}`);
        await pause(20);
    },
    async waiting(client) {
        await client.request({ path: '/api00/wait/400/t/gone' });
        await pause(100);
    },
    async reading(client) {
        await client.request({ path: '/api00/big/t/gone' });
        await client.when((c) => c.received > 100000, 2000);
    },
    async atOnce(client) {
        await client.request({ path: '/api00/t/gone' });
    },
};

async function leave(port, tls, n) {
    const client = await connect(port, { tls });
    const ways = Object.values(leaving);

    await ways[n % ways.length](client);
    if (Math.floor(n / ways.length) % 2)
        client.reset();
    else
        client.destroy();
}

/** Who shuts the sending side has asked all the same. */
async function halfClose(port, path) {
    const client = await connect(port);
    const token = freshToken();

    try {
        await client.request({ path: `${path}/t/${token}` });
        client.end();
        verify(await nextAnswer(client), { token });
    } finally {
        client.destroy();
    }
}

/** A call that a hostile backend answers well, or the gateway with an error. */
async function ownOfHostile(client) {
    const token = freshToken();

    await client.request({ path: `/hostile/own/${token}` });
    const answer = await nextAnswer(client);

    if (answer.status >= 500)
        throw new Refused(`${answer.status}`);
    if (answer.status !== 200 || answer.text !== token)
        throw new Wrong(`${answer.status} "${answer.text.slice(0, 100)}" instead of ${token}`);
}

async function hostileCase(client, { name, method = 'GET' }) {
    await client.request({ method, path: `/hostile/case/${name}`, body: method === 'POST' ? 'data' : undefined });
    await nextAnswer(client);
}

/**
 * Adds everything to `traffic`. gateway: {port, tlsPort}; secure: TLS options;
 * apis: contexts of unchanged APIs; cases: of the hostile backend; restarting:
 * the backend behind /restarting and, half of the time, /pair; moving:
 * {served, loading}, the versions that /moving may have now.
 */
export function addMix(traffic, { gateway, secure, apis, cases, restarting, moving }) {
    const { port, tlsPort } = gateway;
    const api = (n) => apis[n % apis.length];
    const away = (begin, end, error) => (error instanceof Refused || CUT.test(error.message)) && restarting.wasAway(begin, end);
    const broken = (begin, end, error) => error instanceof Refused || CUT.test(error.message);
    const tls = { port: tlsPort, tls: secure };

    traffic.add('get', { port, rate: 85, width: 10, run: (c, n) => ask(c, `${api(n)}/x`) });
    traffic.add('get-tls', { ...tls, rate: 35, width: 4, run: (c, n) => ask(c, `${api(n)}/x`) });
    traffic.add('get-fresh', { port, rate: 15, life: 1, run: (c, n) => ask(c, `${api(n)}/x`) });
    traffic.add('get-fresh-tls', { ...tls, rate: 4, life: 1, run: (c, n) => ask(c, `${api(n)}/x`) });
    traffic.add('get-chunked', { port, rate: 10, run: (c, n) => ask(c, `${api(n)}/chunks`) });
    traffic.add('post', { port, rate: 25, width: 4, run: (c, n) => ask(c, api(n), { method: 'POST', body: BODY.slice(0, (n * 131) % BODY.length) }) });
    traffic.add('post-tls', { ...tls, rate: 10, run: (c, n) => ask(c, api(n), { method: 'POST', body: BODY.slice(0, (n * 131) % BODY.length) }) });
    traffic.add('post-continue', { port, rate: 2, run: (c, n) => ask(c, api(n), { method: 'POST', body: BODY, headers: { Expect: '100-continue' } }) });
    traffic.add('post-chunked', { port, rate: 8, run: (c, n) => postChunked(c, api(n), BODY.slice(0, (n * 977) % BODY.length)) });
    traffic.add('post-1m', { port, rate: 1, run: (c, n) => ask(c, api(n), { method: 'POST', body: MEGABYTE }) });
    traffic.add('post-1m-tls', { ...tls, rate: 0.5, width: 1, run: (c, n) => ask(c, api(n), { method: 'POST', body: MEGABYTE }) });
    traffic.add('get-1m', { port, rate: 1, run: (c, n) => ask(c, `${api(n)}/big`, { text: large }) });
    traffic.add('get-1m-tls', { ...tls, rate: 0.5, width: 1, run: (c, n) => ask(c, `${api(n)}/big`, { text: large }) });
    traffic.add('head', { port, rate: 12, run: (c, n) => ask(c, api(n), { method: 'HEAD' }) });
    traffic.add('pipelined', { port, rate: 3, calls: 8, run: (c, n) => pipeline(c, api(n)) });
    traffic.add('pipelined-tls', { ...tls, rate: 1, calls: 8, run: (c, n) => pipeline(c, api(n)) });
    for (const [name, run] of Object.entries(slow))
        traffic.add(`slow-${name}`, { port, rate: 1, life: 3, run: (c, n) => run(c, api(n)) });
    traffic.add('half-close', { port, rate: 2, bare: true, run: (n) => halfClose(port, api(n)) });
    traffic.add('leaving', { rate: 8, bare: true, run: (n) => leave(port, undefined, n) });
    traffic.add('leaving-tls', { rate: 2, bare: true, run: (n) => leave(tlsPort, secure, n) });
    traffic.add('name', { port, rate: 10, run: (c) => ask(c, '/name') });
    traffic.add('pair', { port, rate: 10, width: 3, run: (c) => ask(c, '/pair') });
    traffic.add('pair-post', { port, rate: 5, excuse: away, run: (c) => ask(c, '/pair', { method: 'POST', body: 'data' }) });
    traffic.add('restarting', { port, rate: 10, width: 3, excuse: away, run: (c) => ask(c, '/restarting') });
    traffic.add('hostile', { port, rate: 6, width: 4, excuse: broken, run: (c, n) => hostileCase(c, cases[n % cases.length]) });
    traffic.add('hostile-own', { port, rate: 6, width: 4, excuse: broken, run: (c) => ownOfHostile(c) });
    traffic.add('moving', {
        port, rate: 15, width: 3, run: async (c) => {
            const lowest = moving.served;
            const answer = await ask(c, '/moving');
            const version = Number(/^\/v(\d+)\//.exec(answer.header('x-path'))?.[1]);

            if (!(version >= lowest && version <= moving.loading))
                throw new Wrong(`version ${version} is served, ${lowest} to ${moving.loading} may be`);
        },
    });
    traffic.add('nowhere', {
        port, rate: 2, bare: true, run: async () => {
            const answer = await call(port, '/nowhere/x');

            if (answer.status !== 404)
                throw new Wrong(`${answer.status} instead of 404`);
        },
    });
    return traffic;
}
