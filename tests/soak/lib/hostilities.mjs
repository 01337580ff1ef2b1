// hostilities.mjs - the worst of tests/http/hostile.test.mjs, over and over.
//
// Not the late answers that are whole: one that comes while another call
// waits on the connection cannot be told from that call's own.
const OK = 'HTTP/1.1 200 OK\r\n';
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`;
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

const answers = {
    'length-more-than-sent': [`${OK}Content-Length: 10\r\n\r\nhello`, { close: true }],
    'length-less-than-sent': [`${OK}Content-Length: 5\r\n\r\nhello!!!!!`],
    'lengths-differ': [`${OK}Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello`],
    'length-and-chunked': [`${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`],
    'coding-unknown': [`${OK}Transfer-Encoding: cow\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, { close: true }],
    'chunk-size-broken': [`${CHUNKED}g\r\nhello\r\n0\r\n\r\n`],
    'chunk-cut': [`${CHUNKED}5\r\nhel`, { close: true }],
    'chunk-too-long': [`${CHUNKED}5\r\nhello!\r\n0\r\n\r\n`],
    'chunks-tiny': [(s) => s.send(`${CHUNKED}${'1\r\nx\r\n'.repeat(5000)}0\r\n\r\n`)],
    'trailers-endless': [async (s) => {
        await s.send(`${CHUNKED}5\r\nhello\r\n0\r\n`);
        await s.flood('X-T: 0123456789abcdef\r\n'.repeat(100), 100);
    }],
    'status-line-of-garbage': ['\x16\x03\x01\x02\x00\x01\r\n\r\n', { close: true }],
    'interim-flood': [(s) => s.flood('HTTP/1.1 100 Continue\r\n\r\n'.repeat(100), 20)],
    'interim-then-close': ['HTTP/1.1 100 Continue\r\n\r\n', { close: true, method: 'POST' }],
    'switch-unasked': ['HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi', { close: true }],
    'late-garbage': [async (s) => {
        await s.send(HELLO);
        await s.wait(20);
        await s.send('\0\0\0\0');
    }],
    'late-reset': [async (s) => {
        await s.send(HELLO);
        await s.wait(10);
        s.reset();
    }],
    'close-at-once': [(s) => s.close(), { method: 'POST' }],
    'reset-at-once': [(s) => s.reset(), { method: 'POST' }],
    'stall': [() => {}, { method: 'POST' }],
    'half-head': [`${OK}Content-Le`, { close: true }],
    'half-body-stall': [(s) => s.send(`${OK}Content-Length: 100\r\n\r\nhello`)],
    'half-body-reset': [async (s) => {
        await s.send(`${OK}Content-Length: 100\r\n\r\nhello`);
        await s.wait(20);
        s.reset();
    }],
    'head-endless': [async (s) => {
        await s.send(OK);
        await s.flood('X-A: 0123456789abcdef0123456789\r\n'.repeat(100), 200);
    }],
    'head-with-body': [HELLO, { method: 'HEAD' }],
    'nothing-with-body': ['HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
    'close-delimited-reset': [async (s) => {
        await s.send(`${OK}\r\nhel`);
        await s.wait(30);
        s.reset();
    }],
    'field-split': [`${OK}X-A: b\rSet-Cookie: evil=1\r\nContent-Length: 5\r\n\r\nhello`],
    'one-byte-at-a-time': [(s) => s.drip([...HELLO], 2)],
};

/** For lib/hostile.mjs: name -> case. */
export const cases = new Map(Object.entries(answers).map(([name, [answer, more]]) => [name, { name, answer, ...more }]));
