// otlp.mjs - a collector that takes OTLP over HTTP in JSON, and nothing else:
// each name and type is looked at, so a wrong one fails the test.
import assert from 'node:assert/strict';
import http from 'node:http';

const ID = { trace: /^[0-9a-f]{32}$/, span: /^[0-9a-f]{16}$/ };
const NANOS = /^[1-9][0-9]{18}$/;

function only(object, names) {
    for (const name of Object.keys(object))
        assert.ok(names.includes(name), `"${name}" is no member here: ${JSON.stringify(object).slice(0, 300)}`);
}

function attributes(list) {
    const out = {};

    assert.ok(Array.isArray(list));
    for (const item of list) {
        only(item, ['key', 'value']);
        assert.ok(!(item.key in out), `${item.key} is there twice`);
        const [[type, value], ...more] = Object.entries(item.value);

        assert.equal(more.length, 0);
        assert.ok(['stringValue', 'intValue', 'boolValue', 'doubleValue'].includes(type), type);
        if (type === 'intValue')
            assert.match(value, /^-?\d+$/); // 64-bit numbers are text
        out[item.key] = type === 'intValue' ? Number(value) : value;
    }
    return out;
}

function readSpan(span) {
    only(span, ['traceId', 'spanId', 'traceState', 'parentSpanId', 'flags', 'name', 'kind', 'startTimeUnixNano', 'endTimeUnixNano', 'attributes', 'links', 'status']);
    assert.match(span.traceId, ID.trace);
    assert.match(span.spanId, ID.span);
    if (span.parentSpanId !== undefined)
        assert.match(span.parentSpanId, ID.span);
    assert.ok([1, 2, 3].includes(span.kind), `kind ${span.kind}`);
    assert.match(span.startTimeUnixNano, NANOS);
    assert.match(span.endTimeUnixNano, NANOS);
    assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano), 'it ends after it began');
    if (span.flags !== undefined)
        assert.equal(typeof span.flags, 'number');
    if (span.status) {
        only(span.status, ['code', 'message']);
        assert.ok([0, 1, 2].includes(span.status.code ?? 0));
    }
    for (const link of span.links ?? []) {
        only(link, ['traceId', 'spanId', 'traceState', 'attributes', 'flags']);
        assert.match(link.traceId, ID.trace);
        assert.match(link.spanId, ID.span);
    }
    return { ...span, attributes: attributes(span.attributes ?? []), ms: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6 };
}

export class Collector {
    spans = [];
    resources = [];
    requests = 0;
    wrong = null; // the first thing that was
    answer = () => [200, '{}'];

    async listen(port = 0) {
        this.server = http.createServer((req, res) => {
            const chunks = [];

            req.on('data', (c) => chunks.push(c)).on('error', () => {});
            req.on('end', () => this.take(req, res, Buffer.concat(chunks).toString()));
        });
        await new Promise((resolve, reject) => this.server.once('error', reject).listen(port, '127.0.0.1', resolve));
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}`;
        return this;
    }

    take(req, res, text) {
        this.requests++;
        this.last = req;
        let spans = [];

        try {
            spans = this.read(req, text);
        } catch (error) {
            this.wrong ??= error;
        }
        const [status, body, headers] = this.answer(spans);

        if (status === 200)
            this.spans.push(...spans);
        res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body);
    }

    read(req, text) {
        assert.equal(req.method, 'POST');
        assert.equal(req.url, '/v1/traces');
        assert.equal(req.headers['content-type'], 'application/json');
        const message = JSON.parse(text);

        only(message, ['resourceSpans']);
        return message.resourceSpans.flatMap((r) => {
            only(r, ['resource', 'scopeSpans', 'schemaUrl']);
            only(r.resource, ['attributes']);
            this.resources.push(attributes(r.resource.attributes));
            return r.scopeSpans.flatMap((s) => {
                only(s, ['scope', 'spans', 'schemaUrl']);
                only(s.scope, ['name', 'version']);
                return s.spans.map(readSpan);
            });
        });
    }

    /** The spans of a call, by its activityid: {server, children}. */
    of(id) {
        const server = this.spans.find((s) => s.kind === 2 && s.attributes['tollgate.activityid'] === id);

        return server && { server, children: this.spans.filter((s) => s.parentSpanId === server.spanId) };
    }

    check() {
        if (this.wrong)
            throw this.wrong;
    }

    async close() {
        this.server.closeAllConnections();
        await new Promise((resolve) => this.server.close(resolve));
    }
}
