// http1.mjs - a strict HTTP/1.1 parser for tests, both directions.
//
// It refuses whatever RFC 9110 and 9112 do not allow a sender to send, so that
// bytes which pass here are safe for the laxest and the strictest reader. It
// shares nothing with the program under test.

/** The peer sent bytes that are no HTTP/1.1. */
export class ProtocolError extends Error {}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{1,5})?$/;
const MAX_LINE = 1 << 20;
// Fields that decide framing, routing or authority never belong in trailers.
const NEVER_TRAILERS = new Set(['content-length', 'transfer-encoding', 'host', 'trailer',
    'authorization', 'content-encoding', 'content-type', 'connection', 'te', 'upgrade']);

/** One request or response, complete or on its way. */
export class Message {
    fields = [];
    trailers = [];
    chunks = [];
    bodyLength = 0;
    framing = 'none'; // none, length, chunked, close
    complete = false;
    interim = []; // of a response: the 1xx that came before it

    /** All values of a field, in order. */
    values(name) {
        return this.fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v);
    }

    /** The values of a field joined by ", ", or undefined. */
    header(name) {
        const all = this.values(name);

        return all.length ? all.join(', ') : undefined;
    }

    get body() {
        return Buffer.concat(this.chunks);
    }

    get text() {
        return this.body.toString();
    }

    get json() {
        return JSON.parse(this.text);
    }
}

/**
 * Feed bytes with push(), the end with eof(); messages come out of the
 * call-backs onHead(message) and onMessage(message).
 *
 * For responses, `expect` is a queue of {method, version} of the requests sent:
 * HEAD and HTTP/1.0 change how an answer must look. Bodies are kept up to
 * keepBody bytes; bodyLength always counts all of them.
 */
export class Parser {
    expect = [];
    truncated = false;
    tunnel = null; // bytes after a 101

    constructor(kind, { onHead, onMessage, onData, keepBody = 4 << 20 } = {}) {
        this.kind = kind;
        this.onHead = onHead ?? (() => {});
        this.onMessage = onMessage ?? (() => {});
        this.onData = onData ?? (() => {});
        this.keepBody = keepBody;
        this.buffer = Buffer.alloc(0);
        this.state = 'start';
        this.scanned = 0;
    }

    /** True when nothing of a message has arrived since the last one ended. */
    get idle() {
        return this.state === 'start' && this.buffer.length === 0;
    }

    push(bytes) {
        this.buffer = this.buffer.length ? Buffer.concat([this.buffer, bytes]) : bytes;
        while (this.step())
            ;
    }

    eof() {
        if (this.state === 'body-close')
            this.finish();
        else if (!this.idle && this.state !== 'tunnel')
            this.truncated = true;
    }

    /** One step; false when more bytes are needed. */
    step() {
        switch (this.state) {
        case 'start':
            return this.line((text) => this.startLine(text));
        case 'fields':
            return this.line((text) => (text ? this.field(text) : this.headEnd()));
        case 'body-length':
        case 'chunk-data':
            return this.counted();
        case 'body-close':
            return this.taken(this.buffer.length);
        case 'chunk-size':
            return this.line((text) => this.chunkSize(text));
        case 'chunk-end':
            return this.line((text) => this.chunkEnd(text));
        case 'trailers':
            return this.line((text) => (text ? this.trailer(text) : this.finish()));
        case 'tunnel':
            this.tunnel = Buffer.concat([this.tunnel, this.buffer]);
            this.buffer = Buffer.alloc(0);
            return false;
        default:
            throw new Error(`no such state: ${this.state}`);
        }
    }

    /** Takes a line that ends in CRLF and holds no other CR or LF. */
    line(use) {
        const end = this.buffer.indexOf(10, this.scanned);

        if (end < 0) {
            const cr = this.buffer.indexOf(13, this.scanned);

            if (cr >= 0 && cr < this.buffer.length - 1)
                throw new ProtocolError(`a bare CR (${this.state})`);
            if (this.buffer.length > MAX_LINE)
                throw new ProtocolError(`a line over ${MAX_LINE} bytes (${this.state})`);
            this.scanned = cr >= 0 ? cr : this.buffer.length;
            return false;
        }
        if (end === 0 || this.buffer[end - 1] !== 13)
            throw new ProtocolError(`a bare LF (${this.state})`);
        const text = this.buffer.latin1Slice(0, end - 1);

        if (text.includes('\r'))
            throw new ProtocolError(`a bare CR (${this.state})`);
        this.buffer = this.buffer.subarray(end + 1);
        this.scanned = 0;
        use(text);
        return true;
    }

    startLine(text) {
        this.message = new Message();
        this.message.startLine = text;
        if (this.kind === 'request')
            this.requestLine(text);
        else
            this.statusLine(text);
        this.state = 'fields';
    }

    requestLine(text) {
        const found = /^([^ ]+) ([\x21-\x7e]+) HTTP\/1\.1$/.exec(text);

        if (!found || !TOKEN.test(found[1]))
            throw new ProtocolError(`a bad request line: ${JSON.stringify(text.slice(0, 200))}`);
        const [, method, target] = found;

        if (!target.startsWith('/') && !(target === '*' && method === 'OPTIONS'))
            throw new ProtocolError(`a target that is not in origin form: ${target.slice(0, 200)}`);
        if (target.includes('#'))
            throw new ProtocolError('a fragment in a target');
        Object.assign(this.message, { method, target });
    }

    statusLine(text) {
        const found = /^HTTP\/1\.1 ([1-9][0-9]{2}) (.*)$/s.exec(text);

        if (!found || !VALUE.test(found[2]))
            throw new ProtocolError(`a bad status line: ${JSON.stringify(text.slice(0, 200))}`);
        this.message.status = Number(found[1]);
        this.message.reason = found[2];
        this.message.interim = this.interim ?? [];
    }

    splitField(text) {
        const colon = text.indexOf(':');
        const name = text.slice(0, Math.max(colon, 0));
        const value = text.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');

        if (/^[ \t]/.test(text))
            throw new ProtocolError('a line that begins with white space (obs-fold)');
        if (colon < 0)
            throw new ProtocolError('a field line without a colon');
        if (!TOKEN.test(name))
            throw new ProtocolError(`a bad field name: ${JSON.stringify(name.slice(0, 100))}`);
        if (!VALUE.test(value))
            throw new ProtocolError(`a control byte in the value of ${name}`);
        return [name, value];
    }

    field(text) {
        this.message.fields.push(this.splitField(text));
    }

    headEnd() {
        const m = this.message;
        const lengths = m.values('content-length');
        const codings = m.values('transfer-encoding');

        if (lengths.length > 1)
            throw new ProtocolError('more than one Content-Length');
        if (lengths.length && !/^[0-9]{1,18}$/.test(lengths[0]))
            throw new ProtocolError(`a bad Content-Length: ${JSON.stringify(lengths[0])}`);
        if (codings.length && lengths.length)
            throw new ProtocolError('Content-Length beside Transfer-Encoding');
        if (codings.length > 1 || (codings.length && codings[0].toLowerCase() !== 'chunked'))
            throw new ProtocolError(`a transfer coding other than one "chunked": ${codings.join(' / ')}`);
        if (lengths.length)
            m.length = Number(lengths[0]);
        if (this.kind === 'request')
            this.requestHead(m, lengths, codings);
        else
            this.responseHead(m, lengths, codings);
    }

    requestHead(m, lengths, codings) {
        const hosts = m.values('host');

        if (hosts.length !== 1 || !HOST.test(hosts[0]))
            throw new ProtocolError(`not exactly one good Host: ${JSON.stringify(hosts)}`);
        this.onHead(m);
        this.bodyBegins(codings.length ? 'chunked' : lengths.length ? 'length' : 'none');
    }

    responseHead(m, lengths, codings) {
        const asked = this.expect[0] ?? { method: 'GET', version: '1.1' };

        if (m.status === 101) {
            this.expect.shift();
            m.framing = 'tunnel';
            this.tunnel = Buffer.alloc(0);
            this.onHead(m);
            this.complete(m);
            this.state = 'tunnel';
            return;
        }
        if ((m.status < 200 || m.status === 204) && (lengths.length || codings.length))
            throw new ProtocolError(`a ${m.status} with a framing field`);
        if (codings.length && asked.version === '1.0')
            throw new ProtocolError('Transfer-Encoding in the answer to an HTTP/1.0 request');
        if (m.status < 200) {
            this.interim = [...(this.interim ?? []), m];
            this.state = 'start';
            return;
        }
        this.interim = [];
        this.expect.shift();
        this.onHead(m);
        if (asked.method === 'HEAD' || m.status === 204 || m.status === 304)
            this.bodyBegins('none');
        else
            this.bodyBegins(codings.length ? 'chunked' : lengths.length ? 'length' : 'close');
    }

    bodyBegins(framing) {
        this.message.framing = framing;
        if (framing === 'none' || (framing === 'length' && this.message.length === 0))
            return this.finish();
        this.left = this.message.length;
        this.state = { chunked: 'chunk-size', length: 'body-length', close: 'body-close' }[framing];
    }

    counted() {
        if (this.buffer.length === 0)
            return false;
        const n = Math.min(this.left, this.buffer.length);

        this.left -= n;
        this.taken(n);
        if (this.left === 0) {
            if (this.state === 'body-length')
                this.finish();
            else
                this.state = 'chunk-end';
        }
        return true;
    }

    /** Moves n bytes of body into the message. */
    taken(n) {
        if (n === 0)
            return false;
        const bytes = this.buffer.subarray(0, n);

        this.buffer = this.buffer.subarray(n);
        this.message.bodyLength += n;
        if (this.message.bodyLength <= this.keepBody)
            this.message.chunks.push(Buffer.from(bytes));
        this.onData(bytes, this.message);
        return true;
    }

    chunkSize(text) {
        if (!/^[0-9A-Fa-f]{1,12}$/.test(text))
            throw new ProtocolError(`a bad chunk size line: ${JSON.stringify(text.slice(0, 100))}`);
        this.left = parseInt(text, 16);
        this.state = this.left ? 'chunk-data' : 'trailers';
    }

    chunkEnd(text) {
        if (text)
            throw new ProtocolError('bytes after the data of a chunk');
        this.state = 'chunk-size';
    }

    trailer(text) {
        const [name, value] = this.splitField(text);

        if (NEVER_TRAILERS.has(name.toLowerCase()))
            throw new ProtocolError(`${name} in a trailer`);
        this.message.trailers.push([name, value]);
    }

    finish() {
        const m = this.message;

        this.state = 'start';
        this.complete(m);
    }

    complete(m) {
        m.complete = true;
        this.message = null;
        this.onMessage(m);
    }
}
