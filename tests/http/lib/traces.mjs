// traces.mjs - W3C Trace Context as tests send it and backends see it.
import assert from 'node:assert/strict';

import { fields } from './upstream.mjs';

export const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
export const SPAN = '00f067aa0ba902b7';
/** The example of the recommendation. */
export const PARENT = `00-${TRACE}-${SPAN}-01`;
export const FORM = /^00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])$/;

/** The fields of a trace that the backend saw of a call of the target. */
export async function traced(gateway, upstream, target, headers) {
    const answer = await gateway.call(target, { headers });

    assert.equal(answer.status, 200, answer.text);
    return { parent: fields(upstream.last, 'traceparent'), state: fields(upstream.last, 'tracestate') };
}
