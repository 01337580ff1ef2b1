// refusals.test.mjs - every refusal of src/gateway/refusal.c, made by a call,
// with status, code and texts as the table has them; and each code is in the
// manual. Who adds a refusal adds the call that shows it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openapi } from './lib/document.mjs';
import { assertError, run, startGateway } from './lib/gateway.mjs';
import { Issuer, bearer } from './lib/jwt.mjs';
import { call, connect } from './lib/raw.mjs';
import { Authority } from './lib/tls.mjs';
import { Upstream, freePort } from './lib/upstream.mjs';
import { patience, pause, until } from './lib/wait.mjs';

process.setMaxListeners(50);

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const SOURCE = fs.readFileSync(path.join(ROOT, 'src/gateway/refusal.c'), 'utf8');

/** Whether anything refuses so. */
function isUsed(name) {
    return fs.readdirSync(path.join(ROOT, 'src'), { recursive: true })
        .some((file) => file.endsWith('.c') && !file.endsWith('gateway/refusal.c') && fs.readFileSync(path.join(ROOT, 'src', file), 'utf8').includes(`&${name}`));
}

/** {refusal_x or status_n: {status, code, message, description}} */
function readTable() {
    const table = {};
    let text = SOURCE;

    for (const [, name, value] of SOURCE.matchAll(/^#define ([A-Z]+) (".*)$/gm))
        text = text.replaceAll(new RegExp(`\\b${name}\\);`, 'g'), `${value});`);
    const strings = (rest) => [...rest.replace(/"\s+"/g, '').matchAll(/"([^"]*)"/g)].map(([, s]) => s);

    for (const [, name, status, rest] of text.matchAll(/^REFUSAL\((\w+), (\d+),([^]*?)\);$/gm)) {
        const [code, message, description] = strings(rest);

        if (name === 'refusal_memory' || name === 'refusal_bad_request' || isUsed(name)) // these two by status
            table[name] = { status: Number(status), code, message, description };
    }
    const rows = /of_status\[\] = \{\n([^;]*)\};/.exec(text)[1];

    for (const [, status, rest] of rows.matchAll(/\{ (\d+),([^{}]*)\}/g)) {
        const [code, message, description] = strings(rest);

        table[`status_${status}`] = { status: Number(status), code, message, description };
    }
    return table;
}

const TABLE = readTable();
const issuer = new Issuer();
const authority = new Authority(), server = authority.issue('server');
let gateway, upstream, mute, backends;

const schemes = {
    token: { type: 'oauth2', flows: {} }, key: { type: 'apiKey', in: 'header', name: 'X-Key' }, basic: { type: 'http', scheme: 'basic' }, cert: { type: 'mutualTLS' },
};
const document = (name, extra) => openapi({ title: name, version: '1', context: `/${name}`, endpoints: upstream.url, paths: { '/x': 'get post' }, components: { securitySchemes: schemes }, ...extra });
const secured = (...security) => ({ security });
const under = (tier, extra) => ({ 'x-wso2-throttling-tier': tier, ...extra });

const TIERS = `tiers:
  - {name: One, limits: [{requests: 1, window: 1d}]}
  - {name: Short, limits: [{requests: 9, window: 1d}], burst_control: {requests: 1, window: 1d}}
`;

before(async () => {
    upstream = await new Upstream().listen();
    mute = await new Upstream({ stream: () => {} }).listen();
    const closing = net.createServer((socket) => socket.on('error', () => {}).on('data', () => socket.destroy())).listen(0, '127.0.0.1');
    const garbage = net.createServer((socket) => socket.on('error', () => {}).on('data', () => socket.end('SSH-2.0-x\r\n\r\n'))).listen(0, '127.0.0.1');

    await until(() => closing.listening && garbage.listening);
    backends = [closing, garbage];
    const nowhere = await freePort();

    gateway = await startGateway({
        documents: {
            'plain.json': document('plain'),
            'secure.json': document('secure', { 'x-wso2-transports': ['https'] }),
            'clear.json': document('clear', { 'x-wso2-transports': ['http'] }),
            'gone.json': document('gone', { endpoints: `http://127.0.0.1:${nowhere}` }),
            'nameless.json': document('nameless', { endpoints: 'http://nobody.invalid' }),
            'mute.json': document('mute', { endpoints: mute.url }),
            'closing.json': document('closing', { endpoints: `http://127.0.0.1:${closing.address().port}` }),
            'garbage.json': document('garbage', { endpoints: `http://127.0.0.1:${garbage.address().port}` }),
            'two.json': document('two', { endpoints: `h2c://127.0.0.1:${nowhere}` }),
            'token.json': document('token', secured({ token: ['admin'] })),
            'unread.json': document('unread', secured({ token: [] })),
            'app.json': document('app', { paths: { '/x': { get: { responses: {}, security: [{ token: [] }], 'x-auth-type': 'Application' } } } }),
            'key.json': document('key', secured({ key: [] })),
            'basic.json': document('basic', secured({ basic: [] })),
            'cert.json': document('cert', secured({ cert: [] })),
            'any.json': document('any', secured({ token: [] }, { key: [] })),
            'tier.json': document('tier', under('One')),
            'op.json': document('op', { paths: { '/x': { get: { responses: {}, 'x-wso2-throttling-tier': 'One' } } } }),
            'tps.json': document('tps'),
        },
        apis: ['plain', 'secure', 'clear', 'gone', 'nameless', 'mute', 'closing', 'garbage', 'two', 'app', 'key', 'basic', 'cert', 'any', 'tier', 'op'].map((name) => `${name}.json`)
            .concat([{ path: 'token.json', issuers: ['good'] }, { path: 'unread.json', issuers: ['unread'] }, { path: 'tps.json', maxTps: 1 }]),
        files: { 'keys.json': issuer.jwks, 'tiers.yaml': TIERS },
        issuers: [
            { name: 'good', issuer: issuer.issuer, jwks: 'keys.json', audiences: ['https://api.test'] },
            { name: 'unread', issuer: 'https://unread.test', jwks: `http://127.0.0.1:${nowhere}/` },
        ],
        outbound: { allow: ['127.0.0.1'] },
        users: [{ name: 'ann', password: '@sha256:{2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}' }],
        policies: 'tiers.yaml',
        tls: { certificate: server.certificate, key: server.key, clientCa: authority.certificate, clientVerify: 'optional' },
        authentication: { failures: 0 },
        upstreams: { firstByteMs: 300, connectMs: 500, retries: 0, suspendMs: 0, dns: { timeoutMs: 1000 } },
        timeouts: { headMs: 500 },
        limits: { bodySize: 1000, headSize: 2048, targetSize: 500 },
    });
});
after(async () => {
    await gateway?.stop();
    backends?.forEach((b) => b.close());
    await Promise.all([upstream?.close(), mute?.close()]);
});

const get = (target, options) => gateway.call(target, options);
const raw = async (text, at = gateway) => {
    const client = await connect(at.port);

    await client.write(text);
    return client.response().finally(() => client.destroy());
};
const token = (claims) => bearer(issuer.token({ aud: 'https://api.test', ...claims }));

/** The second call, which is one too many. */
async function second(target, options, at = gateway) {
    assert.equal((await at.call(target, options)).status, 200);
    return at.call(target, options);
}

/** A gateway of one API for one refusal. */
async function withGateway(extra, options, use) {
    const own = await startGateway({ documents: { 'a.json': document('a', extra) }, files: { 'tiers.yaml': TIERS }, policies: 'tiers.yaml', ...options });

    try {
        return await use(own);
    } finally {
        await own.stop();
    }
}

async function key(at, ...more) {
    return { 'X-Key': (await at.newKey('--name', 'x', ...more)).key };
}

/** The first answer that is not 401: the key was read. */
async function withKey(at, target, headers) {
    let answer;

    await until(async () => (answer = await at.call(target, { headers })).status !== 401, { what: 'the key to be read' });
    return answer;
}

/** A port whose queue is full: it neither accepts nor refuses. */
async function deafPort(use) {
    const program = 'import socket, sys\ns = socket.socket()\ns.bind(("127.0.0.1", 0))\ns.listen(0)\nprint(s.getsockname()[1], flush=True)\nsys.stdin.read()\n';
    const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    const port = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
    const fill = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));

    await pause(200);
    try {
        return await use(port);
    } finally {
        fill.forEach((socket) => socket.destroy());
        child.stdin.end();
    }
}

const handshake = (target, fields) => get(target, {
    headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...fields },
});

/** A gRPC call without an answer yet, whose API goes away: as an answer, what its status says. */
async function changedUnderway() {
    const streams = [], deaf = http2.createServer().on('stream', (stream) => streams.push(stream.on('error', () => {}))).listen(0, '127.0.0.1');

    await until(() => deaf.listening);
    const at = (name) => document('a', { endpoints: `h2c://127.0.0.1:${deaf.address().port}`, paths: { [name]: 'post' } });

    return withGateway({}, { documents: { 'a.json': at('/a.B/C') }, timeouts: { drainMs: 300 } }, async (own) => {
        const session = http2.connect(own.url);
        const stream = session.request({ ':method': 'POST', ':path': '/a/a.B/C', 'content-type': 'application/grpc', te: 'trailers' });
        const headers = new Promise((resolve, reject) => stream.on('response', resolve).on('error', reject));

        stream.end(Buffer.alloc(5));
        await until(() => streams.length, { what: 'the call at the backend' });
        own.write('a.json', at('/a.B/D'));
        await own.mustReload();
        const { 'grpc-status': status, 'grpc-message': message } = await headers;

        session.close();
        assert.equal(status, '14');
        streams.forEach((s) => s.session?.destroy());
        deaf.close();
        return { grpc: message };
    });
}

const CALLS = {
    refusal_bad_request: () => raw('GET /plain/../../x HTTP/1.1\r\nHost: x\r\n\r\n'),
    refusal_not_found: () => get('/plain/nothing'),
    refusal_method: () => get('/plain/x', { method: 'DELETE' }),
    refusal_http_not_allowed: () => get('/secure/x'),
    refusal_https_not_allowed: () => call({ port: gateway.tlsPort }, '/clear/x', { tls: { ca: authority.pem } }),
    refusal_connect: () => get('/gone/x'),
    refusal_connect_timeout: () => deafPort((port) =>
        withGateway({ endpoints: `http://127.0.0.1:${port}` }, { upstreams: { connectMs: 300, retries: 0 } }, (own) => own.call('/a/x'))),
    refusal_timeout: () => get('/mute/x'),
    refusal_closed: () => get('/closing/x'),
    refusal_protocol: () => get('/garbage/x'),
    refusal_suspended: () => get('/nameless/x'),
    refusal_busy: () => withGateway({ endpoints: mute.url }, { upstreams: { maxConnections: 1, waitMs: 200, firstByteMs: 2000 } }, async (own) => {
        const first = own.call('/a/x').catch(() => {});

        await pause(200);
        const answer = await own.call('/a/x');

        await first;
        return answer;
    }),
    refusal_memory: () => withGateway({ endpoints: mute.url }, { memory: { limit: '1m' } }, async (own) => {
        const clients = [];
        let answer;

        try {
            for (let i = 0; i < 60 && !answer; i++) { // bodies that nobody reads
                const client = await connect(own.port);

                clients.push(client);
                await client.write(`POST /a/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n${'b'.repeat(15000)}`);
                const probe = await own.call('/a/nothing', { ms: 3000 });

                answer = probe.status === 503 ? probe : undefined;
            }
        } finally {
            clients.forEach((client) => client.reset());
        }
        return answer;
    }),
    refusal_websocket_version: () => handshake('/plain/x', { 'Sec-WebSocket-Version': '8' }),
    refusal_websocket_backend: () => handshake('/two/x'),
    refusal_changed: () => changedUnderway(),

    refusal_auth_unavailable: () => get('/unread/x', { headers: bearer(new Issuer({ issuer: 'https://unread.test' }).token()) }),
    refusal_invalid: () => get('/token/x', { headers: bearer('a.b.c') }),
    refusal_missing: () => get('/token/x'),
    refusal_token_kind: () => get('/app/x', { headers: token({ sub: 'ann', azp: 'app-1' }) }),
    refusal_key_elsewhere: async () => withKey(gateway, '/key/x', await key(gateway, '--api', 'other')),
    refusal_scope: () => get('/token/x', { headers: token({ scope: 'read' }) }),
    refusal_claim: () => withGateway({ ...secured({ token: [] }), 'x-tollgate-claims': [{ claim: 'plan', equals: 'gold' }] }, {
        files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], policies: undefined,
    }, (own) => own.call('/a/x', { headers: bearer(issuer.token({ plan: 'silver' })) })),
    refusal_certificate: () => get('/cert/x'),
    refusal_all_failed: () => get('/any/x', { headers: { ...bearer('a.b.c'), 'X-Key': 'nonsense' } }),
    refusal_basic_missing: () => get('/basic/x'),
    refusal_basic_invalid: () => get('/basic/x', { headers: { Authorization: `Basic ${btoa('ann:wrong')}` } }),
    refusal_audience: () => get('/token/x', { headers: token({ aud: 'elsewhere' }) }),
    refusal_denied: () => withGateway({}, {}, async (own) => {
        assert.equal((await run(['deny', 'add', '--api', 'a', '--state-dir', own.stateDir])).code, 0);
        await until(async () => (await own.call('/a/x')).status !== 200, { what: 'the rule to hold' });
        return own.call('/a/x');
    }),
    refusal_attempts: () => withGateway(secured({ token: [] }), {
        files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }], policies: undefined, authentication: { failures: 1 },
    }, async (own) => {
        await own.call('/a/x', { headers: bearer('a.b.c') });
        return own.call('/a/x', { headers: bearer('a.b.d') });
    }),

    refusal_limit_api: () => second('/tier/x'),
    refusal_limit_backend: async () => {
        const answers = await Promise.all(Array.from({ length: 8 }, () => get('/tps/x')));

        return answers.find((a) => a.status !== 200);
    },
    refusal_limit_operation: () => second('/op/x'),
    refusal_limit_application: async () => {
        const headers = await key(gateway, '--tier', 'One');

        assert.equal((await withKey(gateway, '/key/x', headers)).status, 200);
        return get('/key/x', { headers });
    },
    refusal_limit_subscription: () => withGateway({}, { unauthenticatedTier: 'One' }, (own) => second('/a/x', {}, own)),
    refusal_burst_subscription: () => withGateway({}, { unauthenticatedTier: 'Short' }, (own) => second('/a/x', {}, own)),
    refusal_burst_application: async () => {
        const headers = await key(gateway, '--tier', 'Short');

        assert.equal((await withKey(gateway, '/key/x', headers)).status, 200);
        return get('/key/x', { headers });
    },
    refusal_limit_unknown: async () => withKey(gateway, '/key/x', await key(gateway, '--tier', 'Unheard-of')),

    status_408: () => raw('GET /plain/x HTTP/1.1\r\nHost:'),
    status_413: () => get('/plain/x', { method: 'POST', body: 'b'.repeat(1001) }),
    status_414: () => get(`/plain/x?${'q'.repeat(500)}`),
    status_417: () => get('/plain/x', { headers: { Expect: 'the best' } }),
    status_431: () => get('/plain/x', { headers: { 'X-Long': 'l'.repeat(2048) } }),
    status_501: () => get('/plain/x', { method: 'POST', headers: { 'Transfer-Encoding': 'gzip, chunked' }, body: '0\r\n\r\n' }),
    status_505: () => raw('GET /plain/x HTTP/1.2\r\nHost: x\r\n\r\n'),
};

describe('The refusal', () => {
    for (const [name, expected] of Object.entries(TABLE))
        test(`${name} (${expected.status}, ${expected.code}) is what its call gets`, async () => {
            assert.ok(CALLS[name], `no call here makes ${name}: add one to CALLS`);
            const answer = await CALLS[name]();

            assert.ok(answer, 'there is an answer');
            if (answer.grpc)
                return assert.equal(answer.grpc, expected.description);
            const { message, description } = assertError(answer, expected.status, expected.code);

            assert.deepEqual({ message, description }, { message: expected.message, description: expected.description });
        });
});

test('every call here is for a refusal that exists', () => {
    assert.deepEqual(Object.keys(CALLS).filter((name) => !TABLE[name]), []);
    assert.ok(Object.keys(TABLE).length > 40, 'the table was read');
});

test('every code is in the manual', () => {
    const manual = ['errors.md', 'authentication.md', 'rate-limits.md', 'http2-grpc-websocket.md'].map((name) => fs.readFileSync(path.join(ROOT, 'docs', name), 'utf8')).join('\n');
    const rows = manual.split('\n').filter((line) => line.startsWith('|'));

    for (const [name, { status, code }] of Object.entries(TABLE))
        assert.ok(rows.some((row) => new RegExp(`^\\| ${status} \\|.*\\b${code}\\b`).test(row)), `${name}: no row for ${status}, ${code}`);
});
