// vectors.test.mjs - tests/data/http1/vectors.json through a real gateway.
//
// What the fields of an expectation mean is in README.md beside the vectors.
// "The upstream sees N requests" counts complete requests: a gateway streams,
// so the head of a request may be on its way before its body proves broken;
// such a request must then be cut, and never be completed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { call, connect } from './lib/raw.mjs';
import { assertNothingMalformed, assertNothingMalformedSince, startStrict } from './lib/strict.mjs';
import { pause } from './lib/wait.mjs';

const PREFIX = '/api'; // {P}
const HOST = 'api.test'; // {H}
const { vectors } = JSON.parse(fs.readFileSync(new URL('../data/http1/vectors.json', import.meta.url)));

let upstream;
let other;
let gateway;

before(async () => {
    upstream = await startStrict({ name: 'api' });
    other = await startStrict({ name: 'other' });
    gateway = await startGateway({
        documents: {
            'api.json': openapi({ context: PREFIX, endpoints: `${upstream.url}/base` }),
            'other.json': openapi({ title: 'Other', context: '/__other', endpoints: `${other.url}/elsewhere` }),
        },
        timeouts: { headMs: 2000, idleMs: 5000 },
    });
});

after(async () => {
    await gateway?.stop();
    await upstream?.close();
    await other?.close();
});

/** Puts the path and the host in place of {P} and {H}. */
function filled(raw) {
    const fill = (text) => text.replaceAll('{P}', PREFIX).replaceAll('{H}', HOST);

    if (typeof raw === 'string')
        return fill(raw);
    return raw.map((part) => Object.fromEntries(Object.entries(part).map(([k, v]) => [k, typeof v === 'string' ? fill(v) : v])));
}

/** Python's inline flags, as the vectors write them, to JavaScript's. */
function pattern(text) {
    const flags = /^\(\?([a-z]+)\)/.exec(text);

    return flags ? new RegExp(text.slice(flags[0].length), flags[1]) : new RegExp(text);
}

/** Sends one vector and waits until its outcome is settled. */
async function play(vector) {
    const { expect } = vector;
    const raw = filled(vector.raw);
    const first = typeof raw === 'string' ? raw : raw.map((p) => p.s ?? p.split ?? '').join('');
    const client = await connect(gateway);
    const answers = expect.statuses?.length ?? (expect.kind === 'accept' ? expect.upstream : 1);

    client.expecting(/^HEAD /.test(first) ? 'HEAD' : 'GET', / HTTP\/1\.0\r/.test(first) ? '1.0' : '1.1');
    await client.send(raw);
    if (expect.half_close)
        client.end();
    await client.when((c) => c.responses.length >= answers || c.error || c.over, 5000);
    if (expect.must_close)
        await client.when((c) => c.over, 2000);
    else
        await client.when((c) => c.over, 5);
    await pause(10); // what else it would send upstream, it sends now
    return client;
}

function checkClient(vector, client) {
    const { expect } = vector;
    const statuses = client.responses.map((r) => r.status);
    const sawH2 = expect.h2_preface_ok && client.firstBytes?.[3] === 4; // a SETTINGS frame

    if (sawH2)
        return statuses;
    assert.equal(client.error, null, `the answer is malformed: ${client.error?.message}`);
    assert.ok(!client.truncated, 'the answer is cut off');
    if (statuses.length === 0 && expect.close_without_response_ok) {
        assert.ok(client.over, 'neither an answer nor a close');
        return statuses;
    }
    assert.ok(statuses.length > 0, `no answer${client.failure ? ` (${client.failure.code})` : ''}`);
    assert.ok(!statuses.some((s) => s === 500 || s === 502), `status ${statuses}`);
    if (expect.statuses)
        assert.deepEqual(statuses, expect.statuses);
    else if (expect.kind === 'accept')
        assert.ok(statuses.length === expect.upstream && statuses.every((s) => expect.status.includes(s)), `statuses ${statuses}`);
    else
        assert.ok(expect.status.includes(statuses[0]), `status ${statuses[0]}, expected one of ${expect.status}`);
    if (expect.kind === 'reject' && expect.must_close)
        assert.equal(statuses.length, 1, `more than one answer: ${statuses}`);
    if (expect.must_close)
        assert.ok(client.over, 'the connection stays open');
    if (expect.no_body)
        assert.equal(client.responses[0].bodyLength, 0, 'the answer has a body');
    if (expect.forbid_response)
        for (const r of client.responses)
            assert.ok(!JSON.stringify([r.startLine, r.fields, r.text]).includes(expect.forbid_response), 'the answer echoes a secret');
    for (const r of client.responses.filter((x) => x.status === 400)) {
        assert.equal(r.json.code, '400');
        assert.equal(r.json.type, 'Status report');
        assert.equal(r.json.message, 'Bad Request');
        assert.equal(typeof r.json.description, 'string');
    }
    return statuses;
}

function checkUpstream(vector, statuses, seen) {
    const { expect } = vector;
    const count = seen.requests.length;

    if (expect.kind === 'either')
        assert.ok(count <= expect.upstream_max, `${count} requests upstream, at most ${expect.upstream_max} allowed`);
    else
        assert.equal(count, expect.upstream, 'requests upstream');
    if (expect.complete_upstream_max !== undefined)
        assert.ok(count <= expect.complete_upstream_max, `${count} complete requests upstream`);
    if (expect.body_len !== undefined && statuses[0] === 200)
        assert.equal(seen.requests[0]?.bodyLength, expect.body_len, 'body bytes upstream');
    if (expect.forbid_upstream_bytes !== undefined)
        assert.ok(!seen.bytes.includes(expect.forbid_upstream_bytes), `bytes upstream: ${JSON.stringify(seen.bytes)}`);
    if (expect.require_upstream_bytes !== undefined && count)
        assert.ok(seen.bytes.includes(expect.require_upstream_bytes), `bytes upstream: ${JSON.stringify(seen.bytes)}`);
    if (expect.forbid_upstream_re !== undefined)
        assert.doesNotMatch(seen.bytes, pattern(expect.forbid_upstream_re));
    if (expect.forbid_upstream_path !== undefined)
        for (const r of seen.requests)
            assert.doesNotMatch(r.target.replace(/^\/(base|elsewhere)/, ''), pattern(expect.forbid_upstream_path));
    if (expect.max_upstream_cl !== undefined)
        for (const r of seen.requests)
            assert.ok(r.values('content-length').length <= expect.max_upstream_cl);
    for (const r of seen.requests)
        assert.match(r.target, /^\/(base|elsewhere)(\/|$|\?)/, 'a target outside the endpoint\'s base path');
}

describe('Every raw request has the outcome a strict gateway must show', () => {
    for (const vector of vectors)
        test(`${vector.id}: ${vector.note}`, async () => {
            const marks = [upstream.mark(), other.mark()];
            const client = await play(vector);

            try {
                const parts = [upstream.since(marks[0]), other.since(marks[1])];
                const seen = {
                    requests: parts.flatMap((p) => p.requests),
                    bytes: parts.map((p) => p.bytes).join(''),
                };

                checkUpstream(vector, checkClient(vector, client), seen);
            } finally {
                client.destroy();
            }
            const next = await call(gateway, `${PREFIX}/next`, { host: HOST });

            assert.equal(next.status, 200, 'the gateway answers the next connection');
            assertNothingMalformedSince();
        });
});

describe('However its bytes are cut, a request means the same', () => {
    const request = `POST ${PREFIX}/cut HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '5\r\nhello\r\n7\r\n, world\r\n0\r\nX-Trailer: 1\r\n\r\n';

    test('one byte per write', async () => {
        const client = await connect(gateway);
        const mark = upstream.mark();

        await client.send([{ split: request }]);
        assert.equal((await client.response()).status, 200);
        assert.equal(upstream.since(mark).requests[0].text, 'hello, world');
        client.destroy();
    });

    test('cut in two at every place', async () => {
        const client = await connect(gateway);

        for (let at = 1; at < request.length; at++) {
            const mark = upstream.mark();

            await client.write(request.slice(0, at));
            await new Promise((resolve) => setImmediate(resolve));
            await client.write(request.slice(at));
            assert.equal((await client.response()).status, 200, `cut at ${at}`);
            assert.equal(upstream.since(mark).requests[0].text, 'hello, world', `cut at ${at}`);
        }
        client.destroy();
    });
});

describe('After all of this', () => {
    test('nothing malformed was sent upstream', () => {
        assertNothingMalformed();
    });

    test('no connection of a client is left behind', async () => {
        const fds = gateway.fds();

        assert.ok(fds < 200, `${fds} descriptors are open`);
        gateway.check();
    });
});
