// pool.test.mjs - a ceiling on connections to a backend, which all threads
// share: who waits gets its turn, whoever had the connections.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { ALL, openapi } from './lib/document.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { patience } from './lib/wait.mjs';

async function both(t, { upstream: options, advance, settings }) {
    const upstream = await startUpstream(options);
    const gateway = await startGateway({
        documents: {
            'api.json': openapi({ context: '/api', endpoints: upstream.url, advance, paths: { '/*': ALL } }),
        },
        ...settings,
    });

    t.after(() => upstream.close());
    t.after(() => gateway.stop());
    return { upstream, gateway };
}

/** n calls at once; how often each status came. */
async function statuses(gateway, n, options) {
    const counts = {};

    for (const answer of await Promise.all(Array.from({ length: n }, () => gateway.call('/api/x', options))))
        counts[answer.status] = (counts[answer.status] ?? 0) + 1;
    return counts;
}

describe('With a ceiling on connections', () => {
    const advance = { poolConfig: { maxActiveConnections: 2, waitTimeInMillis: patience(10000) } };

    test('who waits is served when a connection ends instead of coming back', async (t) => {
        const { upstream, gateway } = await both(t, {
            advance,
            upstream: {
                handler: (req, res) => setTimeout(() => res.setHeader('Connection', 'close').end('{}'), 10),
            },
            settings: { threads: 1 },
        });

        assert.deepEqual(await statuses(gateway, 30), { 200: 30 });
        assert.equal(upstream.connections, 30);
    });

    test('a thread gets what another one keeps idle', async (t) => {
        const { upstream, gateway } = await both(t, {
            advance,
            upstream: { handler: (req, res) => setTimeout(() => res.end('{}'), 5) },
            settings: { threads: 4 },
        });
        const start = Date.now();

        for (let i = 0; i < 5; i++)
            assert.deepEqual(await statuses(gateway, 20), { 200: 20 });
        assert.ok(Date.now() - start < patience(4000), 'nobody waits until a connection grows old');
        assert.ok(upstream.connections >= 2);
    });

    test('the ceiling holds', async (t) => {
        let now = 0, most = 0;
        const { gateway } = await both(t, {
            advance,
            upstream: {
                handler: (req, res) => {
                    most = Math.max(most, ++now);
                    setTimeout(() => {
                        now--;
                        res.end('{}');
                    }, 20);
                },
            },
            settings: { threads: 1 },
        });

        assert.deepEqual(await statuses(gateway, 20), { 200: 20 });
        assert.equal(most, 2);
    });
});

describe('A status that is worth another try', () => {
    test('is passed on when there is no other', async (t) => {
        const { upstream, gateway } = await both(t, {
            advance: { retryConfig: { count: 3, statusCodes: [503] } },
            upstream: {
                handler: (req, res) => {
                    res.statusCode = 503;
                    res.end('in maintenance until noon');
                },
            },
            // No budget: the first calls use up what a new API has.
            settings: { upstreams: { retryPercent: 0 } },
        });

        for (let i = 0; i < 15; i++) {
            const answer = await gateway.call('/api/x');

            assert.equal(answer.status, 503);
            assert.equal(answer.text, 'in maintenance until noon');
        }
        assert.ok(upstream.count <= 15 + 10);
    });
});
