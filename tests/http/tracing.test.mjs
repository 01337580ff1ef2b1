// tracing.test.mjs - which trace a call belongs to, and what backends and
// collectors are told of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { run, startGateway, temporary } from './lib/gateway.mjs';
import { FORM, PARENT, SPAN, TRACE, traced } from './lib/traces.mjs';
import { Upstream, fields } from './lib/upstream.mjs';

let upstream;

before(async () => {
    upstream = await new Upstream().listen();
});
after(() => upstream.close());

const shop = (more) => ({
    'shop.json': openapi({ title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url, paths: { '/pets/{id}': 'get put' }, ...more }),
});

const seen = (gateway, headers) => traced(gateway, upstream, '/shop/pets/7', headers);

describe('Without tracing', () => {
    let gateway;

    before(async () => {
        gateway = await startGateway({ documents: shop() });
    });
    after(() => gateway.stop());

    test('fields of traces pass as they came, whatever is in them', async () => {
        assert.deepEqual(await seen(gateway), { parent: [], state: [] });
        assert.deepEqual(await seen(gateway, [['traceparent', PARENT], ['traceparent', 'x'], ['tracestate', '=,=']]),
            { parent: [PARENT, 'x'], state: ['=,='] });
    });
});

describe('With propagation', () => {
    let gateway;

    before(async () => {
        gateway = await startGateway({ documents: shop(), tracing: { propagation: 'w3c' } });
    });
    after(() => gateway.stop());

    test('a call without a trace begins one', async () => {
        const ids = new Set();

        for (let i = 0; i < 20; i++) {
            const { parent, state } = await seen(gateway);
            const [, trace, span, flags] = FORM.exec(parent[0]);

            assert.equal(parent.length, 1);
            assert.deepEqual(state, []);
            assert.equal(flags, '3', 'sampled, and the id is random');
            assert.notEqual(trace, '0'.repeat(32));
            ids.add(trace).add(span);
        }
        assert.equal(ids.size, 40);
    });

    test('a trace goes on as it is', async () => {
        for (const parent of [PARENT, `00-${TRACE}-${SPAN}-00`, `cc-${TRACE}-${SPAN}-01-of-the-future`])
            assert.deepEqual(await seen(gateway, { traceparent: parent, tracestate: 'a=1,b=2' }), { parent: [parent], state: ['a=1,b=2'] });
    });

    test('what is no trace begins another, and its state goes', async () => {
        const bad = ['', 'x', PARENT.toUpperCase(), `ff-${TRACE}-${SPAN}-01`, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `${PARENT}-more`];

        for (const parent of bad) {
            const got = await seen(gateway, [['traceparent', parent], ['tracestate', 'a=1'], ['tracestate', 'b=1']]);

            assert.equal(got.parent.length, 1, parent);
            assert.match(got.parent[0], FORM);
            assert.ok(!got.parent[0].includes(TRACE));
            assert.deepEqual(got.state, []);
        }
        const twice = await seen(gateway, [['traceparent', PARENT], ['Traceparent', PARENT]]);

        assert.equal(twice.parent.length, 1);
        assert.ok(!twice.parent[0].includes(TRACE), 'neither counts');
    });

    test('a state without a trace goes', async () => {
        assert.deepEqual((await seen(gateway, { tracestate: 'a=1' })).state, []);
    });
});

describe('Who begins a trace decides', () => {
    test('whether it is sampled: a share of them', async () => {
        const gateway = await startGateway({ documents: shop(), tracing: { propagation: 'w3c', sample: 0.5 } });
        let sampled = 0;

        for (let i = 0; i < 200; i++)
            sampled += Number(FORM.exec((await seen(gateway)).parent[0])[3]) & 1;
        assert.ok(sampled > 60 && sampled < 140, `${sampled} of 200 at one half`);
        gateway.configure({ tracing: { propagation: 'w3c', sample: 0 } });
        await gateway.mustReload();
        for (let i = 0; i < 20; i++)
            assert.equal(FORM.exec((await seen(gateway)).parent[0])[3], '2');
        await gateway.stop();
    });

    test('unless nobody but proxies is believed', async () => {
        const gateway = await startGateway({ documents: shop(), tracing: { propagation: 'w3c', continue: 'trusted_proxies' } });
        const begun = async (headers) => !(await seen(gateway, headers)).parent[0].includes(TRACE);

        assert.ok(await begun({ traceparent: PARENT }));
        gateway.configure({ trustedProxies: ['127.0.0.1'] });
        await gateway.mustReload();
        assert.ok(!await begun({ traceparent: PARENT }));
        gateway.configure({ tracing: { propagation: 'w3c', continue: 'none' } });
        await gateway.mustReload();
        assert.ok(await begun({ traceparent: PARENT }));
        await gateway.stop();
    });
});

describe('Settings of tracing', () => {
    test('are bounded', async () => {
        const dir = temporary();
        const fs = await import('node:fs');

        for (const [line, message] of [
            ['sample: 1.5', /gateway\.tracing\.sample must be between 0 and 1, got "1\.5"/],
            ['sample: often', /gateway\.tracing\.sample must be a ratio such as 0\.01, between 0 and 1, got "often"/],
            ['collector: "collector:4318"', /gateway\.tracing\.collector must be a URL such as http:/],
            ['collector: 10.0.0.1:4318', /gateway\.tracing\.collector must be a URL such as http:\/\/127\.0\.0\.1:4318, got/],
            ['collector: https://user:secret@collector.test', /gateway\.tracing\.collector must be a URL/],
            ['resource: [plain]', /gateway\.tracing\.resource must list KEY=VALUE, got "plain"/],
            ['headers: [{name: "a b", value: x}]', /gateway\.tracing\.headers\[0\]\.name must be the name of a field/],
            ['propagation: b3', /gateway\.tracing\.propagation must be one of auto, w3c, none, got "b3"/],
        ]) {
            fs.writeFileSync(`${dir}/t.yaml`, `gateway:\n  tracing:\n    ${line}\n`);
            const { code, output } = await run(['config', 'check', '--config', `${dir}/t.yaml`]);

            assert.notEqual(code, 0);
            assert.match(output, message);
            assert.match(output, /t\.yaml:3/);
        }
    });
});
