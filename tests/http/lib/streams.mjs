// streams.mjs - a backend whose answers take their time, and a client that stays.
import assert from 'node:assert/strict';

import { connect } from './raw.mjs';
import { startUpstream } from './upstream.mjs';
import { patience } from './wait.mjs';

/** Small answers that name the path, slow ones (/slow/MS), and endless event streams (/events). */
function serve(req, res) {
    const slow = /\/slow\/(\d+)/.exec(req.url);

    if (req.url.includes('/events')) {
        res.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const timer = setInterval(() => res.write('data: tick\n\n'), 50);

        res.on('close', () => clearInterval(timer));
    } else if (slow) {
        req.resume();
        setTimeout(() => res.end('slow'), patience(Number(slow[1])));
    } else {
        req.resume();
        res.end(req.url);
    }
}

export const startSlowUpstream = () => startUpstream({ stream: serve });

/** An open event stream: counts what arrives, knows when it ended. */
export async function openStream(port, path, tls) {
    const client = await connect(port, { tls });

    client.events = 0;
    client.onData = () => client.events++;
    await client.request({ path });
    assert.equal((await client.head()).status, 200);
    await client.when((c) => c.events > 0);
    return client;
}
