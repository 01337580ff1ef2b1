// grpc.test.mjs - gRPC through the gateway, with @grpc/grpc-js on both sides.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { PATHS, gathered, grpc, grpcClient, startGrpcServer } from './lib/grpc.mjs';
import { Authority } from './lib/tls.mjs';
import { patience, pause, until } from './lib/wait.mjs';

let ca;
let servers;
let gateway;

before(async () => {
    ca = new Authority();
    const { certificate, key } = ca.issue('server');
    const credentials = grpc.ServerCredentials.createSsl(null,
        [{ private_key: fs.readFileSync(key), cert_chain: fs.readFileSync(certificate) }]);

    servers = { plain: await startGrpcServer(), tls: await startGrpcServer(credentials) };
    const document = (name, endpoint) => openapi({ title: name, context: '/', endpoints: endpoint, paths: PATHS });

    gateway = {};
    for (const [name, endpoint] of [['plain', `h2c://127.0.0.1:${servers.plain.port}`], ['tls', `https://127.0.0.1:${servers.tls.port}`]])
        gateway[name] = await startGateway({
            documents: { 'echo.json': document(name, endpoint), 'gone.json': openapi({ title: 'gone', context: '/gone', endpoints: 'h2c://127.0.0.1:1', paths: { '/x.Y/Z': 'post' } }) },
            tls: { certificate, key }, threads: 2, upstreams: { tls: { ca: ca.certificate } },
        });
});

after(async () => {
    for (const g of Object.values(gateway ?? {}))
        await g.stop();
    for (const s of Object.values(servers ?? {}))
        s.stop();
});

const secure = () => grpc.credentials.createSsl(Buffer.from(ca.pem));

for (const inward of ['plain', 'tls'])
    for (const outward of ['plain', 'tls'])
        describe(`${inward} in, ${outward} out`, () => {
            let client;
            let server;

            before(() => {
                const g = gateway[outward];

                server = servers[outward];
                client = inward === 'tls' ? grpcClient(g.tlsPort, secure()) : grpcClient(g.port);
            });
            after(() => client.close());

            test('unary, with metadata and trailers', async () => {
                const metadata = new grpc.Metadata();

                metadata.set('x-mine', 'yes');
                metadata.set('x-bytes-bin', Buffer.from([1, 0, 254]));
                const out = await client.call('unary', 'hello', { metadata });

                assert.equal(String(out.value), 'hello');
                assert.equal(out.trailers['x-size'], '5');
                assert.deepEqual(out.trailers['x-data-bin'], Buffer.from([0, 1, 255]));
                assert.equal(server.metadata.at(-1)['x-mine'], 'yes');
                assert.deepEqual(server.metadata.at(-1)['x-bytes-bin'], Buffer.from([1, 0, 254]));
            });

            test('messages of 0 bytes and of 8 MiB', async () => {
                const big = randomBytes(8 << 20);

                assert.equal((await client.call('unary', '')).value.length, 0);
                assert.ok(big.equals((await client.call('unary', big)).value));
            });

            test('client, server and bidirectional streams', async () => {
                const sum = new Promise((resolve, reject) => {
                    const call = client.client.collect((error, value) => (error ? reject(error) : resolve(String(value))));

                    for (let i = 0; i < 200; i++)
                        call.write(Buffer.alloc(1000));
                    call.end();
                });

                assert.equal(await sum, '200000');
                const expanded = await gathered(client.client.expand(Buffer.from('300')));

                assert.deepEqual([expanded.code, expanded.messages.length, String(expanded.messages.at(-1))], [0, 300, '299']);
                const chat = client.client.chat();
                const answers = [];

                chat.on('data', (m) => answers.push(String(m)));
                for (let i = 0; i < 20; i++) { // each waits for its answer: nothing may be held back
                    chat.write(Buffer.from(`m${i}`));
                    await until(() => answers.length === i + 1, { what: `answer ${i}` });
                }
                chat.end();
                assert.equal((await gathered(chat)).code, 0);
            });

            test('status and text of a failure', async () => {
                for (const code of [1, 3, 5, 9, 16]) {
                    const out = await client.call('fail', String(code));

                    assert.deepEqual([out.code, out.details], [code, 'as asked: ä%']);
                }
            });

            test('a deadline ends the call here and there', async () => {
                const before = server.cancelled;
                const out = await client.call('slow', '60000', { deadline: Date.now() + 300 });

                assert.equal(out.code, grpc.status.DEADLINE_EXCEEDED);
                await until(() => server.cancelled > before, { what: 'the server to hear of it' });
            });

            test('a client that cancels', async () => {
                const before = server.cancelled;
                const call = client.client.chat();
                const end = gathered(call);

                call.write(Buffer.from('x'));
                await new Promise((resolve) => call.once('data', resolve));
                call.cancel();
                assert.equal((await end).code, grpc.status.CANCELLED);
                await until(() => server.cancelled > before, { what: 'the server to hear of it' });
            });

            test('a server that ends a stream in the middle', async () => {
                const call = client.client.chat();
                const end = gathered(call);

                call.write(Buffer.from('a'));
                call.write(Buffer.from('fail'));
                const out = await end;

                assert.deepEqual([out.messages.map(String), out.code, out.details], [['a'], 9, 'enough']);
            });

            test('fifty calls at once', async () => {
                const all = await Promise.all(Array.from({ length: 50 }, (_, i) => client.call('unary', `n${i}`)));

                assert.deepEqual(all.map((o) => String(o.value)), Array.from({ length: 50 }, (_, i) => `n${i}`));
            });
        });

describe('What the gateway says itself', () => {
    /** One call with a raw HTTP/2 client: {headers, trailers, body}. */
    function ask(path, headers = {}) {
        return new Promise((resolve, reject) => {
            const session = http2.connect(gateway.plain.url);
            const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers });
            const out = { body: '' };

            session.on('error', reject);
            stream.on('response', (h, flags) => Object.assign(out, { headers: h, ended: (flags & 1) === 1 }));
            stream.on('trailers', (t) => (out.trailers = t));
            stream.on('data', (d) => (out.body += d));
            stream.on('error', reject);
            stream.on('close', () => {
                session.close();
                resolve(out);
            });
            stream.end();
        });
    }

    test('an unknown method is UNIMPLEMENTED, in one head and nothing else', async () => {
        const out = await ask('/demo.Other/Thing');

        assert.equal(out.headers[':status'], 200);
        assert.equal(out.headers['content-type'], 'application/grpc');
        assert.equal(out.headers['grpc-status'], '12');
        assert.equal(out.headers['grpc-message'], 'The requested resource is not available.');
        assert.ok(out.ended, 'the head ends the stream');
        assert.equal(out.trailers, undefined);
    });

    test('no backend is UNKNOWN at first (500 in HTTP), UNAVAILABLE while it is suspended', async () => {
        assert.equal((await ask('/gone/x.Y/Z')).headers['grpc-status'], '2');
        assert.equal((await ask('/gone/x.Y/Z')).headers['grpc-status'], '14');
    });

    test('a bad grpc-timeout is INTERNAL', async () => {
        for (const bad of ['5', 'S', '123456789S', '-1S', '5x', '1.5S'])
            assert.equal((await ask('/demo.Echo/Unary', { 'grpc-timeout': bad })).headers['grpc-status'], '13', bad);
    });

    test('the gateway keeps the deadline where the backend does not', async () => {
        const begin = Date.now();
        const session = http2.connect(gateway.plain.url);
        const stream = session.request({ ':method': 'POST', ':path': '/demo.Echo/Chat', 'content-type': 'application/grpc', te: 'trailers', 'grpc-timeout': `${patience(300)}m` });
        const status = await new Promise((resolve) => {
            stream.on('response', (h) => h['grpc-status'] && resolve(h['grpc-status']));
            stream.on('trailers', (t) => resolve(t['grpc-status']));
            stream.on('error', () => {});
        });

        assert.equal(status, '4');
        assert.ok(Date.now() - begin >= patience(250));
        session.destroy();
    });

    test('who does not speak HTTP/2 gets JSON', async () => {
        const answer = await gateway.plain.call('/demo.Other/Thing', { method: 'POST', headers: { 'Content-Type': 'application/grpc' } });

        assert.equal(answer.status, 404);
        assert.equal(answer.json.code, '404');
    });

    test('an idle stream stays open, longer than any call may', async () => {
        const client = grpcClient(gateway.plain.port);
        const chat = client.client.chat();
        const answers = [];

        chat.on('data', (m) => answers.push(String(m))).on('error', () => {});
        chat.write(Buffer.from('a'));
        await until(() => answers.length === 1);
        await pause(patience(1500));
        chat.write(Buffer.from('b'));
        await until(() => answers.length === 2);
        chat.end();
        assert.equal((await gathered(chat)).code, 0);
        client.close();
    });
});
