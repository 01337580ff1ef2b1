// matrix.test.mjs - every client through the gateway to every kind of backend:
// HTTP/1.1 and HTTP/2, clear text and TLS, on both sides.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { after, before, describe, test } from 'node:test';

import { Agent, Client, request } from 'undici';

import { openapi } from './lib/document.mjs';
import { startGateway, temporary } from './lib/gateway.mjs';
import { startH2Upstream } from './lib/h2upstream.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';

const exec = promisify(execFile);
const BIG = 3 << 20;
const BACKENDS = ['h1', 'h1-tls', 'h2', 'h2-tls', 'h2-forced'];

let ca;
let gateway;
let files;
const upstreams = {};

function serve(req, res, body) {
    const bytes = /\/bytes\/(\d+)/.exec(req.url);

    if (bytes)
        return res.end(Buffer.alloc(Number(bytes[1]), 'x'));
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ method: req.method, url: req.url, length: body.length }));
}

before(async () => {
    ca = new Authority();
    const { certificate, key, certificatePem, keyPem } = ca.issue('server');
    const tls = { cert: certificatePem, key: keyPem };

    upstreams.h1 = await startUpstream({ handler: serve });
    upstreams['h1-tls'] = await startUpstream({ handler: serve, tls });
    upstreams.h2 = await startH2Upstream();
    upstreams['h2-tls'] = await startH2Upstream({ tls });
    upstreams['h2-forced'] = await startH2Upstream({ tls });
    const at = (name, scheme) => `${scheme}://127.0.0.1:${upstreams[name].port}`;
    const endpoints = { h1: at('h1', 'http'), 'h1-tls': at('h1-tls', 'https'), h2: at('h2', 'h2c'), 'h2-tls': at('h2-tls', 'https'), 'h2-forced': at('h2-forced', 'h2') };

    gateway = await startGateway({
        documents: Object.fromEntries(BACKENDS.map((b) => [`${b}.json`, openapi({ title: b, context: `/${b}`, endpoints: endpoints[b] })])),
        tls: { certificate, key }, threads: 2, upstreams: { tls: { ca: ca.certificate } },
    });
    files = temporary();
    fs.writeFileSync(path.join(files, 'big'), Buffer.alloc(BIG, 'y'));
    fs.writeFileSync(path.join(files, 'small'), 'hello');
});
after(async () => {
    await gateway?.stop();
    for (const upstream of Object.values(upstreams))
        await upstream.close();
});

const origin = (tls) => (tls ? `https://localhost:${gateway.tlsPort}` : `http://localhost:${gateway.port}`);

/** name: {tls, version, get(url), post(url, file)} giving {status, body, version}. */
const CLIENTS = {};

for (const [name, flag, tls, version] of [['curl, HTTP/1.1', '--http1.1', false, '1.1'], ['curl, HTTP/1.1 over TLS', '--http1.1', true, '1.1'],
    ['curl, HTTP/2 by prior knowledge', '--http2-prior-knowledge', false, '2'], ['curl, HTTP/2 over TLS', '--http2', true, '2'],
    ['curl, asking to upgrade to h2c', '--http2', false, '1.1']]) {
    const run = async (url, ...more) => {
        const { stdout } = await exec('curl', ['-sS', flag, '--cacert', ca.certificate, '--max-time', '20', '-w', '\n%{http_code} %{http_version}', ...more, url], { maxBuffer: 64 << 20 });
        const end = stdout.lastIndexOf('\n');
        const [status, spoken] = stdout.slice(end + 1).split(' ');

        return { status: Number(status), body: stdout.slice(0, end), version: spoken };
    };

    CLIENTS[name] = { tls, version, get: run, post: (url, file) => run(url, '-H', 'Expect:', '--data-binary', `@${file}`) };
}

for (const tls of [false, true]) {
    const run = async (url, ...more) => {
        const { stdout } = await exec('nghttp', ['--no-dep', ...more, url], { maxBuffer: 64 << 20 });

        return { status: 200, body: stdout, version: '2' };
    };

    CLIENTS[`nghttp${tls ? ', TLS' : ''}`] = { tls, version: '2', get: run, post: (url, file) => run(url, '-d', file) };
}

for (const [name, tls, allowH2] of [['undici', false, false], ['undici over TLS', true, false], ['undici, HTTP/2 over TLS', true, true]]) {
    const run = async (url, options) => {
        const dispatcher = allowH2 ? new Client(new URL(url).origin, { allowH2, connect: { ca: ca.pem } }) : new Agent({ connect: { ca: ca.pem } });

        try {
            const answer = await request(url, { dispatcher, ...options });

            return { status: answer.statusCode, body: await answer.body.text(), version: allowH2 ? '2' : '1.1' };
        } finally {
            await dispatcher.close();
        }
    };

    CLIENTS[name] = { tls, version: allowH2 ? '2' : '1.1', get: (url) => run(url), post: (url, file) => run(url, { method: 'POST', body: fs.readFileSync(file) }) };
}

for (const tls of [false, true]) {
    const run = (url, body) => new Promise((resolve, reject) => {
        const session = http2.connect(new URL(url).origin, { ca: ca.pem });
        const stream = session.request({ ':path': new URL(url).pathname, ':method': body ? 'POST' : 'GET' });
        const out = { body: '', version: '2' };

        session.on('error', reject);
        stream.on('error', reject).on('response', (h) => (out.status = h[':status'])).on('data', (d) => (out.body += d));
        stream.on('close', () => {
            session.close();
            resolve(out);
        });
        stream.end(body);
    });

    CLIENTS[`node:http2${tls ? ' over TLS' : ''}`] = { tls, version: '2', get: (url) => run(url), post: (url, file) => run(url, fs.readFileSync(file)) };
}

for (const [name, client] of Object.entries(CLIENTS))
    describe(name, () => {
        for (const backend of BACKENDS)
            test(`to ${backend}`, async () => {
                const base = `${origin(client.tls)}/${backend}`;
                const answer = await client.get(`${base}/thing`);

                assert.deepEqual([answer.status, answer.version], [200, client.version]);
                assert.deepEqual(JSON.parse(answer.body), { method: 'GET', url: '/thing', length: 0 });
                assert.equal((await client.get(`${base}/bytes/0`)).body, '');
                assert.equal((await client.get(`${base}/bytes/${BIG}`)).body.length, BIG);
                for (const [file, length] of [['small', 5], ['big', BIG]])
                    assert.deepEqual(JSON.parse((await client.post(`${base}/up`, path.join(files, file))).body), { method: 'POST', url: '/up', length });
            });
    });

describe('h2load', () => {
    for (const tls of [false, true])
        for (const backend of BACKENDS)
            test(`${tls ? 'over TLS ' : ''}to ${backend}: 2,000 calls, 8 connections of 16 streams`, async () => {
                const { stdout } = await exec('h2load', ['-n2000', '-c8', '-m16', `${origin(tls)}/${backend}/x`]);

                assert.match(stdout, /2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
                assert.match(stdout, /status codes: 2000 2xx/);
            });

    test('HTTP/2 backends were reached by few connections', () => {
        for (const name of ['h2', 'h2-tls', 'h2-forced'])
            assert.ok(upstreams[name].connections < 60, `${upstreams[name].connections} connections to ${name} for ${upstreams[name].count} calls`);
    });
});
