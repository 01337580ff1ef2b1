// h2raw.mjs - an HTTP/2 client that sends exactly the frames it is told to.
//
// Header lists go out as literals without indexing (or whatever bytes a test
// makes); those that come are decoded by a small decoder of our own: literals,
// the static table by what tests look at, Huffman.
import net from 'node:net';
import tls from 'node:tls';

import { until } from './wait.mjs';

export const TYPE = { DATA: 0, HEADERS: 1, PRIORITY: 2, RST_STREAM: 3, SETTINGS: 4, PUSH_PROMISE: 5, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8, CONTINUATION: 9 };
export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 };
export const ERROR = { NO_ERROR: 0, PROTOCOL_ERROR: 1, INTERNAL_ERROR: 2, FLOW_CONTROL_ERROR: 3, STREAM_CLOSED: 5, FRAME_SIZE_ERROR: 6, REFUSED_STREAM: 7, CANCEL: 8, COMPRESSION_ERROR: 9, ENHANCE_YOUR_CALM: 11 };
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export function frame(type, flags, stream, payload = Buffer.alloc(0)) {
    const head = Buffer.alloc(9);

    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}

function integer(prefix, first, value) {
    const max = (1 << prefix) - 1;

    if (value < max)
        return [first | value];
    const out = [first | max];

    for (value -= max; value >= 128; value = Math.floor(value / 128))
        out.push((value % 128) | 128);
    return [...out, value];
}

function text(string) {
    const bytes = Buffer.from(string, 'latin1');

    return Buffer.concat([Buffer.from(integer(7, 0, bytes.length)), bytes]);
}

/** A header list; strings are bytes. indexed: into the dynamic table. */
export function block(fields, { indexed = false } = {}) {
    return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([indexed ? 0x40 : 0x00]), text(name), text(value)])));
}

/** A reference to an entry of either table. */
export const reference = (index) => Buffer.from(integer(7, 0x80, index));

const u32 = (...values) => {
    const out = Buffer.alloc(4 * values.length);

    values.forEach((v, i) => out.writeUInt32BE(v >>> 0, 4 * i));
    return out;
};

export class H2Raw {
    frames = []; // {type, flags, stream, payload}
    ended = false;
    failure = null;
    buffer = Buffer.alloc(0);
    sent = 0;

    constructor(socket) {
        this.socket = socket;
        socket.on('data', (chunk) => this.arrived(chunk));
        socket.on('end', () => (this.ended = true)).on('close', () => (this.ended = true));
        socket.on('error', (error) => (this.failure = error));
    }

    arrived(chunk) {
        this.buffer = this.buffer.length ? Buffer.concat([this.buffer, chunk]) : chunk;
        while (this.buffer.length >= 9) {
            const length = this.buffer.readUIntBE(0, 3);

            if (this.buffer.length < 9 + length)
                return;
            const f = { type: this.buffer[3], flags: this.buffer[4], stream: this.buffer.readUInt32BE(5) & 0x7fffffff, payload: this.buffer.subarray(9, 9 + length) };

            this.buffer = this.buffer.subarray(9 + length);
            this.frames.push(f);
            if (f.type === TYPE.SETTINGS && !(f.flags & FLAG.ACK) && !this.silent)
                this.send(frame(TYPE.SETTINGS, FLAG.ACK, 0));
            this.onFrame?.(f);
        }
    }

    send(...buffers) {
        const all = buffers.length === 1 ? buffers[0] : Buffer.concat(buffers);

        this.sent += all.length;
        return this.socket.destroyed ? false : this.socket.write(all);
    }

    frame(type, flags, stream, payload) {
        return this.send(frame(type, flags, stream, payload));
    }

    /** HEADERS of a request; fields: extra ones, or the whole list. */
    headers(stream, fields, { end = true, whole = false, path = '/', method = 'GET', flags = FLAG.END_HEADERS } = {}) {
        const list = whole ? fields : [[':method', method], [':scheme', 'http'], [':authority', 'a'], [':path', path], ...(fields ?? [])];

        return this.frame(TYPE.HEADERS, flags | (end ? FLAG.END_STREAM : 0), stream, Buffer.isBuffer(list) ? list : block(list));
    }

    data(stream, payload, { end = false } = {}) {
        return this.frame(TYPE.DATA, end ? FLAG.END_STREAM : 0, stream, Buffer.from(payload, 'latin1'));
    }

    settings(...pairs) {
        const payload = Buffer.alloc(6 * pairs.length);

        pairs.forEach(([id, value], i) => {
            payload.writeUInt16BE(id, 6 * i);
            payload.writeUInt32BE(value, 6 * i + 2);
        });
        return this.frame(TYPE.SETTINGS, 0, 0, payload);
    }

    reset(stream, code = ERROR.CANCEL) {
        return this.frame(TYPE.RST_STREAM, 0, stream, u32(code));
    }

    window(stream, increment) {
        return this.frame(TYPE.WINDOW_UPDATE, 0, stream, u32(increment));
    }

    /** The first frame, from index on, that fits; or null when the connection ended without. */
    async next(fits, { ms = 5000, what = 'a frame' } = {}) {
        let found;

        await until(() => (found = this.frames.find(fits)) || this.ended, { ms, what });
        return found ?? null;
    }

    /** The answer on a stream: {status, fields, body, reset, trailers}. */
    async answer(stream, { ms = 5000 } = {}) {
        const out = { body: Buffer.alloc(0), heads: [] };
        const over = () => this.frames.some((f) => f.stream === stream && (f.type === TYPE.RST_STREAM || ((f.type === TYPE.DATA || f.type === TYPE.HEADERS) && f.flags & FLAG.END_STREAM)));

        await until(() => over() || this.ended, { ms, what: `the answer on stream ${stream}` });
        for (const f of this.frames.filter((g) => g.stream === stream)) {
            if (f.type === TYPE.HEADERS)
                out.heads.push(status(f));
            else if (f.type === TYPE.DATA)
                out.body = Buffer.concat([out.body, f.payload]);
            else if (f.type === TYPE.RST_STREAM)
                out.reset = f.payload.readUInt32BE(0);
        }
        out.status = out.heads.find((s) => s >= 200) ?? out.heads[0];
        return out;
    }

    goaway() {
        const f = this.frames.findLast((g) => g.type === TYPE.GOAWAY);

        return f && { last: f.payload.readUInt32BE(0) & 0x7fffffff, code: f.payload.readUInt32BE(4) };
    }

    /** Waits until the connection is at its end; the last GOAWAY's code, if any. */
    async cut({ ms = 10000 } = {}) {
        await until(() => this.ended || this.goaway()?.code, { ms, what: 'the connection to be cut' });
        return this.goaway()?.code;
    }

    close() {
        this.socket.destroy();
    }
}

const STATIC = { 8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500 };

/** :status of a header block: our gateway sends it first. */
function status(f) {
    let p = f.payload;

    if (f.flags & FLAG.PADDED)
        p = p.subarray(1);
    while ((p[0] & 0xe0) === 0x20) // table size updates
        p = p.subarray(1);
    if (p[0] & 0x80)
        return STATIC[p[0] & 0x7f];
    // A literal with an indexed name: digits, or their Huffman code (5 or 6 bits).
    const at = (p[0] & 0x40 ? p[0] & 0x3f : p[0] & 0x0f) >= (p[0] & 0x40 ? 63 : 15) ? 2 : 1;
    const length = p[at] & 0x7f;
    const raw = p.subarray(at + 1, at + 1 + length);

    if (!(p[at] & 0x80))
        return Number(raw.toString());
    const bits = [...raw].map((b) => b.toString(2).padStart(8, '0')).join('');
    const codes = { '00000': 0, '00001': 1, '00010': 2, '011001': 3, '011010': 4, '011011': 5, '011100': 6, '011101': 7, '011110': 8, '011111': 9 };
    let digits = '';
    let code = '';

    for (const bit of bits) {
        code += bit;
        if (code in codes) {
            digits += codes[code];
            code = '';
        }
    }
    return Number(digits.slice(0, 3));
}

/** Connects and says hello. settings: pairs; hello: false sends nothing. */
export async function h2connect(port, { tls: secure, settings = [], hello = true, localAddress } = {}) {
    const socket = await new Promise((resolve, reject) => {
        const s = secure ? tls.connect({ port, host: '127.0.0.1', localAddress, servername: 'localhost', ALPNProtocols: ['h2'], ...secure }, () => resolve(s))
            : net.connect({ port, host: '127.0.0.1', localAddress }, () => resolve(s));

        s.once('error', reject);
    });

    socket.setNoDelay(true);
    const client = new H2Raw(socket);

    if (hello) {
        client.send(Buffer.from(PREFACE, 'latin1'));
        client.settings([1, 0], ...settings); // no table: answers are easy to read
    }
    return client;
}
