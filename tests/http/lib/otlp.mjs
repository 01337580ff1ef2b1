// otlp.mjs - a collector: takes OTLP/HTTP in JSON and looks at every member.
//
// What a request may hold is written down here from the protobuf definitions
// (opentelemetry.proto.collector.trace.v1) and the JSON mapping of OTLP:
// lowerCamelCase, ids in lower-case hexadecimal, 64-bit integers as text,
// enumerations as numbers. Anything else fails the test that looks at
// `problems`.
import http from 'node:http';

import { until } from './wait.mjs';

const hex = (n) => (v) => typeof v === 'string' && new RegExp(`^[0-9a-f]{${n}}$`).test(v) && !/^0+$/.test(v);
const text = (v) => typeof v === 'string' && v.isWellFormed();
const decimal = (v) => typeof v === 'string' && /^(0|[1-9]\d{0,19})$/.test(v);
const signed = (v) => typeof v === 'string' && /^-?\d{1,19}$/.test(v);
const u32 = (v) => Number.isInteger(v) && v >= 0 && v < 2 ** 32;
const list = (of) => (v, at, bad) => (Array.isArray(v) ? v.forEach((item, i) => check(of, item, `${at}[${i}]`, bad)) : bad(`${at} is no list`));

const VALUE = { stringValue: text, boolValue: (v) => typeof v === 'boolean', intValue: signed, doubleValue: (v) => typeof v === 'number' };
const KEY_VALUE = { key: (v) => text(v) && v !== '', value: VALUE };
const ATTRIBUTES = { attributes: list(KEY_VALUE), droppedAttributesCount: u32 };
const LINK = { traceId: hex(32), spanId: hex(16), traceState: text, flags: u32, ...ATTRIBUTES };
const EVENT = { timeUnixNano: decimal, name: text, ...ATTRIBUTES };
const SPAN = {
    traceId: hex(32), spanId: hex(16), parentSpanId: hex(16), traceState: text, flags: u32,
    name: (v) => text(v) && v !== '', kind: (v) => [1, 2, 3, 4, 5].includes(v),
    startTimeUnixNano: decimal, endTimeUnixNano: decimal, ...ATTRIBUTES,
    events: list(EVENT), droppedEventsCount: u32, links: list(LINK), droppedLinksCount: u32,
    status: { message: text, code: (v) => [0, 1, 2].includes(v) },
};
const SCOPE_SPANS = { scope: { name: text, version: text, ...ATTRIBUTES }, spans: list(SPAN), schemaUrl: text };
const REQUEST = { resourceSpans: list({ resource: ATTRIBUTES, scopeSpans: list(SCOPE_SPANS), schemaUrl: text }) };

function check(form, value, at, bad) {
    if (typeof form === 'function') {
        if (form(value, at, bad) === false)
            bad(`${at} is ${JSON.stringify(value)}`);
        return;
    }
    if (value === null || typeof value !== 'object' || Array.isArray(value))
        return bad(`${at} is no object`);
    for (const [name, inner] of Object.entries(value))
        if (Object.hasOwn(form, name))
            check(form[name], inner, `${at}.${name}`, bad);
        else
            bad(`${at} has a member ${name}`);
    if (form === SPAN)
        wholeSpan(value, at, bad);
    if (form === KEY_VALUE && Object.keys(value.value ?? {}).length !== 1)
        bad(`${at}.value is no value`);
}

function wholeSpan(span, at, bad) {
    for (const name of ['traceId', 'spanId', 'name', 'kind', 'startTimeUnixNano', 'endTimeUnixNano', 'flags'])
        if (!(name in span))
            bad(`${at} has no ${name}`);
    if (BigInt(span.endTimeUnixNano) < BigInt(span.startTimeUnixNano))
        bad(`${at} ends before it begins`);
    const keys = (span.attributes ?? []).map((a) => a.key);

    if (new Set(keys).size !== keys.length)
        bad(`${at} has an attribute twice: ${keys}`);
}

const plain = (attributes = []) => Object.fromEntries(attributes.map(({ key, value }) =>
    [key, 'intValue' in value ? Number(value.intValue) : Object.values(value)[0]]));

/** A span as tests like it: attributes as an object, times as numbers in µs. */
function friendly(span) {
    return {
        ...span, attributes: plain(span.attributes), status: span.status ?? {},
        start: Number(BigInt(span.startTimeUnixNano) / 1000n), end: Number(BigInt(span.endTimeUnixNano) / 1000n),
    };
}

export class Collector {
    problems = [];
    requests = []; // {method, url, headers, body, spans}
    spans = []; // of requests that were answered with 2xx
    ids = new Set();
    answer = null; // (req, res, spans): instead of 200 and {}

    constructor() {
        this.server = http.createServer((req, res) => {
            const chunks = [];

            req.on('data', (chunk) => chunks.push(chunk));
            req.on('end', () => this.take(req, res, Buffer.concat(chunks)));
        });
        this.server.keepAliveTimeout = 0;
        this.server.on('connection', (socket) => {
            socket.unref();
            this.sockets.add(socket);
            socket.on('error', () => {});
            socket.on('close', () => this.sockets.delete(socket));
        });
    }

    sockets = new Set();

    listen(port = 0) {
        return new Promise((resolve, reject) => {
            this.server.once('error', reject);
            this.server.unref();
            this.server.listen(port, '127.0.0.1', () => {
                this.port = this.server.address().port;
                this.url = `http://127.0.0.1:${this.port}`;
                resolve(this);
            });
        });
    }

    take(req, res, bytes) {
        const bad = (what) => this.problems.push(what);
        let body;

        try {
            body = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
            check(REQUEST, body, 'request', bad);
        } catch (error) {
            bad(`no JSON: ${error.message}`);
        }
        if (req.method !== 'POST' || req.headers['content-type'] !== 'application/json')
            bad(`${req.method} of ${req.headers['content-type']}`);
        if (bytes.length > 1 << 20)
            bad(`${bytes.length} bytes`);
        const spans = (body?.resourceSpans ?? []).flatMap((r) => r.scopeSpans ?? []).flatMap((s) => s.spans ?? []).map(friendly);

        if (!spans.length)
            bad('a request without spans');
        this.requests.push({ method: req.method, url: req.url, headers: req.headers, body, spans });
        if (this.answer)
            return this.answer(req, res, spans);
        this.keep(spans);
        res.setHeader('Content-Type', 'application/json').end('{}');
    }

    /** Counts as taken. */
    keep(spans) {
        for (const span of spans) {
            const id = `${span.traceId}/${span.spanId}`;

            if (this.ids.has(id))
                this.problems.push(`${span.name} ${id} came twice`);
            this.ids.add(id);
            this.spans.push(span);
        }
    }

    /** The spans of the call with that activityid, the server's first. */
    async of(activityid) {
        const root = await until(() => this.spans.find((s) => s.attributes['tollgate.activityid'] === activityid),
            { what: `the spans of ${activityid}` });

        return [root, ...this.spans.filter((s) => s.traceId === root.traceId && s.parentSpanId === root.spanId)];
    }

    close() {
        for (const socket of this.sockets)
            socket.destroy();
        return new Promise((resolve) => this.server.close(() => resolve()));
    }
}

export const startCollector = (port) => new Collector().listen(port);
