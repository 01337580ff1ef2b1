// probe.mjs - a well-behaved client, 50 calls a second, in a thread of its own.
//
// The attacker keeps the main thread busy; its delays must not be taken for
// the gateway's. The probe brings its own upstream for the same reason.
//
//   const probe = await startProbe();        // probe.url: its upstream
//   probe.begin(port, '/probe/x'); …attack…; const report = await probe.end();
//
// Every second call opens a connection, unless {fresh: false}.
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { percentile } from './wait.mjs';

export async function startProbe() {
    const worker = new Worker(fileURLToPath(import.meta.url));
    const next = () => new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
    });
    const { url } = await next();

    worker.unref();
    return {
        url,
        async begin(port, path, { rate = 50, fresh = true } = {}) {
            worker.postMessage({ begin: { port, path, rate, fresh } });
            await next(); // it holds its kept connections
        },
        /** {done, failures, p50, p99, max} in milliseconds. */
        async end() {
            const answer = next();

            worker.postMessage({ end: true });
            return answer;
        },
        close: () => worker.terminate(),
    };
}

async function inWorker() {
    const { startUpstream } = await import('./upstream.mjs');
    const { Load } = await import('./load.mjs');
    const upstream = await startUpstream({ name: 'probe', stream: (req, res) => res.end('probe') });
    let loads = [];

    parentPort.on('message', async (message) => {
        if (message.begin) {
            const { port, path, rate, fresh } = message.begin;
            const right = (answer) => answer.status === 200 && answer.text === 'probe';
            const kept = new Load(port, { rate: fresh ? rate / 2 : rate, connections: 2, path, right });

            loads = [kept.start()];
            if (fresh)
                loads.push(new Load(port, { rate: rate / 2, connections: 4, right, request: () => ({ path, close: true }) }).start());
            const end = Date.now() + 3000;

            while (kept.done < 2 && Date.now() < end)
                await new Promise((r) => setTimeout(r, 5));
            parentPort.postMessage({});
        } else if (message.end) {
            await Promise.all(loads.map((load) => load.stop()));
            const latencies = loads.flatMap((load) => load.latencies);

            parentPort.postMessage({
                done: latencies.length,
                failures: loads.flatMap((load) => load.failures),
                p50: percentile(latencies, 0.5),
                p99: percentile(latencies, 0.99),
                max: Math.max(0, ...latencies),
            });
        }
    });
    parentPort.postMessage({ url: upstream.url });
}

if (!isMainThread && parentPort)
    await inWorker();
