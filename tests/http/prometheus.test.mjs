// prometheus.test.mjs - Debian's Prometheus scrapes the gateway, and what it
// says is what happened.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { startGateway, temporary } from './lib/gateway.mjs';
import { freePort, startUpstream } from './lib/upstream.mjs';
import { patience, until } from './lib/wait.mjs';

let upstream, gateway, prometheus, url;

before(async () => {
    upstream = await startUpstream();
    gateway = await startGateway({
        documents: { 'shop.json': openapi({ title: 'Shop', version: '1.0', context: '/shop', endpoints: upstream.url, paths: { '/pets/{id}': 'get', '/orders': 'post' } }) },
        threads: 2, events: { to: 'file' },
    });
    const dir = temporary('tollgate-prometheus-');
    const port = await freePort();

    fs.writeFileSync(`${dir}/prometheus.yml`, JSON.stringify({
        global: { scrape_interval: '1s' },
        scrape_configs: [{ job_name: 'tollgate', static_configs: [{ targets: [`127.0.0.1:${gateway.adminPort}`] }] }],
    }));
    prometheus = spawn('prometheus', [`--config.file=${dir}/prometheus.yml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`],
        { stdio: ['ignore', 'ignore', 'pipe'] });
    prometheus.log = '';
    prometheus.on('error', (error) => (prometheus.log += error.message));
    prometheus.stderr.setEncoding('utf8').on('data', (text) => (prometheus.log += text));
    process.on('exit', () => prometheus.kill('SIGKILL'));
    url = `http://127.0.0.1:${port}`;
    await until(() => fetch(`${url}/-/ready`).then((r) => r.ok, () => false), { ms: 30000, what: 'Prometheus to be ready' })
        .catch((error) => { throw new Error(`${error.message}\n${prometheus.log.slice(-2000)}`); });
});
after(async () => {
    prometheus?.kill('SIGTERM');
    await gateway?.stop();
    await upstream?.close();
});

/** The value of an expression; NaN: no such series. */
async function ask(query) {
    const answer = await (await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`)).json();

    assert.equal(answer.status, 'success', JSON.stringify(answer));
    return answer.data.result.length ? Number(answer.data.result[0].value[1]) : NaN;
}

const becomes = (query, value) => until(async () => (await ask(query)) === value, { ms: 20000, every: 200, what: `${query} to be ${value}` });

test('the text is as promtool wants it', async () => {
    assert.equal((await gateway.call('/nothing')).status, 404);
    const { text } = await gateway.adminCall('/metrics');
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8', timeout: patience(20000) });

    assert.equal(checked.status, 0, `${checked.stdout}${checked.stderr}`);
});

test('it is up, and knows the calls, their operations, and the events', async () => {
    for (let i = 0; i < 37; i++)
        assert.equal((await gateway.call(`/shop/pets/${i}`)).status, 200);
    for (let i = 0; i < 5; i++)
        assert.equal((await gateway.call('/shop/orders', { method: 'POST', body: 'x' })).status, 200);
    for (let i = 0; i < 3; i++)
        assert.equal((await gateway.call('/nothing')).status, 404);
    await becomes('up{job="tollgate"}', 1);
    await becomes('sum(tollgate_http_requests_total)', 46);
    await becomes('sum(tollgate_http_requests_total{api="Shop",path="/pets/{id}"})', 37);
    await becomes('sum(tollgate_http_requests_total{status="4xx"})', 4);
    await becomes('tollgate_refusals_total{reason="no_route"}', 4);
    await becomes('tollgate_events_accepted_total', 46);
    await becomes('tollgate_events_delivered_total', 46);
    await becomes('sum(tollgate_http_request_duration_seconds_count{api="Shop"})', 42);
    assert.ok((await ask('histogram_quantile(0.99, sum by (le) (tollgate_http_request_duration_seconds_bucket))')) > 0);
});
