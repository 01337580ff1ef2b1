// hostile.test.mjs - backends that break HTTP in every way we know.
//
// Each case is one answer, and the outcome a client may see:
//
//   pass   the answer, whole and right
//   error  a JSON error of the gateway (500, 502, 503, 504; codes 101xxx, 303xxx)
//   cut    the head passed, then the connection ends inside the body
//
// Never: malformed bytes, an answer that looks whole and is not, another
// caller's answer. After each case calls on fresh connections get their own
// answers, so a spoilt backend connection never goes back to the pool.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { MEMORY_COUNTS, assertError, startGateway } from './lib/gateway.mjs';
import { Hostile } from './lib/hostile.mjs';
import { call, connect } from './lib/raw.mjs';
import { assertNothingMalformed, assertNothingMalformedSince } from './lib/strict.mjs';
import { pause } from './lib/wait.mjs';

const OK = 'HTTP/1.1 200 OK\r\n';
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`;
const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const ERROR_CODE = /^(101\d{3}|303\d{3})$/; // facts: the backend's side

const cases = new Map();
let section;

/**
 * name; answer: bytes, or a function of the stage; outcomes: "pass", "error",
 * "cut" joined by "|"; more: {body, status, method, request (its body), headers,
 * continues: the backend sends 100 when it has the head, close:
 * the backend closes after the bytes, early: before the request's body,
 * settle: ms until the backend is through, check(answer, client)}.
 */
function add(name, answer, outcomes, more = {}) {
    assert.ok(!cases.has(name), `two cases are called ${name}`);
    cases.set(name, { name, section, answer, outcomes: outcomes.split('|'), body: 'hello', status: 200, settle: 0, ...more });
}

/** A response with these field lines and a five-byte body. */
function withFields(lines, body = 'hello') {
    return `${OK}${lines}\r\n\r\n${body}`;
}

/** A chunked response with this body, as is. */
function chunked(body) {
    return CHUNKED + body;
}

section = 'Content-Length';
add('cl-exact', HELLO, 'pass');
add('cl-more-than-sent', withFields('Content-Length: 10'), 'cut|error', { close: true });
add('cl-less-than-sent', withFields('Content-Length: 5', 'hello!!!!!'), 'pass|error');
add('cl-zero-with-body', withFields('Content-Length: 0'), 'pass|error', { body: '' });
for (const [name, value] of Object.entries({
    'cl-minus': '-5', 'cl-plus': '+5', 'cl-hex': '0x5', 'cl-letter': '5a', 'cl-exponent': '5e0',
    'cl-underscore': '1_0', 'cl-semicolon': '5;', 'cl-parameter': '5;a=b', 'cl-vertical-tab': '\x0b5',
    'cl-form-feed': '5\f', 'cl-arabic-digit': '\xd9\xa5', 'cl-inner-space': '5 5', 'cl-empty': '',
    'cl-trailing-comma': '5,', 'cl-list-differs': '5, 6', 'cl-2-63': '9223372036854775808',
    'cl-2-64-plus-5': '18446744073709551621', 'cl-hundred-digits': '9'.repeat(100), 'cl-decimal': '5.0',
    'cl-quoted': '"5"', 'cl-nul': '5\0',
}))
    add(name, withFields(`Content-Length: ${value}`), 'error', { close: true });
add('cl-2-32-plus-5', withFields('Content-Length: 4294967301'), 'cut|error', { close: true });
add('cl-leading-zeros', withFields('Content-Length: 0005'), 'pass|error');
add('cl-list-equal', withFields('Content-Length: 5, 5'), 'pass|error');
add('cl-twice-equal', withFields('Content-Length: 5\r\nContent-Length: 5'), 'pass|error');
add('cl-twice-differs', withFields('Content-Length: 5\r\nContent-Length: 4'), 'error');
add('cl-space-before-colon', withFields('Content-Length : 5'), 'error');
add('cl-tab-before-colon', withFields('Content-Length\t: 5'), 'error');
add('cl-folded', withFields('Content-Length:\r\n 5'), 'error');
add('cl-first-line-folded', withFields(' Content-Length: 5'), 'error');
add('cl-and-te', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, 'pass|error');
add('te-and-cl', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, 'pass|error');
add('cl-underscore-name', `${OK}Content_Length: 2\r\nContent-Length: 5\r\n\r\nhello`, 'pass|error');

section = 'Transfer-Encoding';
const HELLO_CHUNK = '5\r\nhello\r\n0\r\n\r\n';

add('te-plain', chunked(HELLO_CHUNK), 'pass');
add('te-any-case', withFields('transfer-ENCODING: ChUnKeD', HELLO_CHUNK), 'pass');
add('te-trailing-space', withFields('Transfer-Encoding: chunked \t', HELLO_CHUNK), 'pass');
for (const [name, value] of Object.entries({
    'te-identity': 'identity', 'te-identity-chunked': 'identity, chunked', 'te-chunked-identity': 'chunked, identity',
    'te-chunked-chunked': 'chunked, chunked', 'te-parameter': 'chunked;q=1', 'te-semicolon': 'chunked;',
    'te-inner-space': 'chun ked', 'te-suffix': 'chunkedx', 'te-prefix': 'xchunked', 'te-nul': 'chunked\0',
    'te-vertical-tab': '\x0bchunked', 'te-form-feed': '\fchunked', 'te-no-break-space': '\xa0chunked',
    'te-dot': 'chunked.', 'te-cow': 'cow', 'te-cow-chunked': 'cow, chunked', 'te-quoted': '"chunked"',
    'te-empty': '',
}))
    add(name, withFields(`Transfer-Encoding: ${value}`, HELLO_CHUNK), 'error', { close: true });
add('te-gzip-chunked', withFields('Transfer-Encoding: gzip, chunked', HELLO_CHUNK), 'error', { close: true });
add('te-empty-element', withFields('Transfer-Encoding: , chunked', HELLO_CHUNK), 'pass|error');
add('te-two-lines', withFields('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', HELLO_CHUNK), 'error');
add('te-two-lines-identity', withFields('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', HELLO_CHUNK), 'error');
add('te-space-before-colon', withFields('Transfer-Encoding : chunked', HELLO_CHUNK), 'error');
add('te-folded', withFields('Transfer-Encoding:\r\n chunked', HELLO_CHUNK), 'error');
add('te-in-http-1.0', `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${HELLO_CHUNK}`, 'pass|error', { close: true });
add('te-x-then-cl', withFields('Content-Length: 5\r\nTransfer-Encoding: x'), 'error');

section = 'Chunks';
for (const [name, body] of Object.entries({
    'chunk-hex-cases': `a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n`,
    'chunk-last-written-000': '5\r\nhello\r\n000\r\n\r\n',
    'chunk-extension': '5;a=b\r\nhello\r\n0\r\n\r\n',
    'chunk-extension-quoted': '5;a="b;c"\r\nhello\r\n0;x\r\n\r\n',
    'chunk-single-bytes': `${[...'hello'].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`,
    'chunk-trailer': '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
}))
    add(name, chunked(body), 'pass', { body: name === 'chunk-hex-cases' ? '01234567890123456789' : 'hello' });
add('chunk-many', (s) => s.send(chunked(`${'1\r\nx\r\n'.repeat(20000)}0\r\n\r\n`)), 'pass', { body: 'x'.repeat(20000) });
add('chunk-empty-body', chunked('0\r\n\r\n'), 'pass', { body: '' });
add('chunk-hundred-zeros', chunked(`${'0'.repeat(100)}5\r\nhello\r\n0\r\n\r\n`), 'pass|error|cut');
add('chunk-space-after-size', chunked('5 \r\nhello\r\n0\r\n\r\n'), 'pass|error|cut');
add('chunk-extensions-300k', (s) => s.send(chunked('')).then(() =>
    s.flood(`1;${'e'.repeat(58)}\r\nx\r\n`.repeat(50), 100)).then(() => s.send('0\r\n\r\n')), 'error|cut');
for (const [name, body] of Object.entries({
    'chunk-size-plus': '+5\r\nhello\r\n0\r\n\r\n',
    'chunk-size-minus': '-5\r\nhello\r\n0\r\n\r\n',
    'chunk-size-0x': '0x5\r\nhello\r\n0\r\n\r\n',
    'chunk-size-g': 'g\r\nhello\r\n0\r\n\r\n',
    'chunk-size-5g': '5g\r\nhello\r\n0\r\n\r\n',
    'chunk-size-missing': ';a=b\r\nhello\r\n0\r\n\r\n',
    'chunk-size-empty-line': '\r\nhello\r\n0\r\n\r\n',
    'chunk-size-leading-space': ' 5\r\nhello\r\n0\r\n\r\n',
    'chunk-size-nul': '5\0\r\nhello\r\n0\r\n\r\n',
    'chunk-size-bare-lf': '5\nhello\r\n0\r\n\r\n',
    'chunk-size-bare-cr': '5\rhello\r\n0\r\n\r\n',
    'chunk-size-cr-x': '5\rXhello\r\n0\r\n\r\n',
    'chunk-size-64-bits': 'FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n',
    'chunk-size-65-bits': '10000000000000005\r\nhello\r\n0\r\n\r\n',
    'chunk-size-63-bits': '7FFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n',
    'chunk-extension-lf': '5;a\nb\r\nhello\r\n0\r\n\r\n',
    'chunk-extension-70k': `5;${'e'.repeat(70000)}\r\nhello\r\n0\r\n\r\n`,
    'chunk-data-too-long': '5\r\nhello!\r\n0\r\n\r\n',
    'chunk-data-without-crlf': '5\r\nhello0\r\n\r\n',
    'chunk-data-then-lf': '5\r\nhello\n0\r\n\r\n',
    'chunk-data-then-xx': '5\r\nhelloXX0\r\n\r\n',
    'chunk-last-with-lf': '5\r\nhello\r\n0\n\r\n',
    'chunk-last-then-lf': '5\r\nhello\r\n0\r\n\n',
    'chunk-cut-in-size': '5\r\nhello\r\n1',
    'chunk-cut-in-data': '5\r\nhel',
    'chunk-cut-after-data': '5\r\nhello',
    'chunk-cut-before-last': '5\r\nhello\r\n',
    'chunk-cut-in-last': '5\r\nhello\r\n0',
    'chunk-cut-before-final-crlf': '5\r\nhello\r\n0\r\n',
    'chunk-cut-at-final-cr': '5\r\nhello\r\n0\r\n\r',
    'chunk-cut-in-trailer': '5\r\nhello\r\n0\r\nX-T: 1\r\n',
    'chunk-nothing-at-all': '',
    'trailer-without-colon': '5\r\nhello\r\n0\r\nBroken\r\n\r\n',
    'trailer-folded': '5\r\nhello\r\n0\r\nX-T: 1\r\n 2\r\n\r\n',
    'trailer-nul': '5\r\nhello\r\n0\r\nX-T: \0\r\n\r\n',
    'trailer-bare-lf': '5\r\nhello\r\n0\r\nX-T: 1\nX-U: 2\r\n\r\n',
    'trailer-bare-cr': '5\r\nhello\r\n0\r\nX-T: 1\rX-U: 2\r\n\r\n',
    'trailer-space-in-name': '5\r\nhello\r\n0\r\nX T: 1\r\n\r\n',
}))
    add(name, chunked(body), 'cut|error', { close: true });
add('trailer-framing', chunked('5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: x\r\n\r\n'), 'pass|cut|error');
add('trailer-endless', async (s) => {
    await s.send(chunked('5\r\nhello\r\n0\r\n'));
    await s.flood('X-T: 0123456789abcdef\r\n'.repeat(100), 500);
}, 'cut|error');
add('trailer-set-cookie', chunked('5\r\nhello\r\n0\r\nSet-Cookie: evil=1\r\n\r\n'), 'pass|cut|error', {
    check: (answer) => assert.equal(answer.header('set-cookie'), undefined),
});

section = 'Status lines';
for (const [name, line] of Object.entries({
    'status-http-2': 'HTTP/2.0 200 OK', 'status-http-0.9': 'HTTP/0.9 200 OK', 'status-lower-case': 'http/1.1 200 OK',
    'status-two-digits': 'HTTP/1.1 20 OK', 'status-four-digits': 'HTTP/1.1 2000 OK', 'status-1000': 'HTTP/1.1 1000 OK',
    'status-099': 'HTTP/1.1 099 OK', 'status-99': 'HTTP/1.1 99 OK', 'status-000': 'HTTP/1.1 000 OK',
    'status-letters': 'HTTP/1.1 OK', 'status-minus': 'HTTP/1.1 -20 OK', 'status-plus': 'HTTP/1.1 +20 OK',
    'status-inner-space': 'HTTP/1.1 2 00', 'status-nul': 'HTTP/1.1 20\0 OK', 'status-hex': 'HTTP/1.1 2a0 OK',
    'status-no-space': 'HTTP/1.1200 OK', 'status-two-spaces': 'HTTP/1.1  200 OK', 'status-tab': 'HTTP/1.1\t200\tOK',
    'status-leading-space': ' HTTP/1.1 200 OK', 'status-minor-10': 'HTTP/1.10 200 OK', 'status-major-01': 'HTTP/01.1 200 OK',
    'status-comma': 'HTTP/1,1 200 OK', 'status-icy': 'ICY 200 OK', 'status-empty-line': '', 'status-a-request': 'GET / HTTP/1.1',
    'status-garbage': '\x16\x03\x01\x02\x00\x01', 'status-reason-nul': 'HTTP/1.1 200 O\0K', 'status-reason-cr': 'HTTP/1.1 200 O\rK',
    'status-reason-control': 'HTTP/1.1 200 O\x01K', 'status-reason-100k': `HTTP/1.1 200 ${'x'.repeat(100000)}`,
}))
    add(name, `${line}\r\nContent-Length: 5\r\n\r\nhello`, 'error', { close: true });
add('status-600', 'HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\nhello', 'pass|error', { status: 600 });
add('status-999', 'HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello', 'pass|error', { status: 999 });
add('status-no-reason', 'HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello', 'pass');
add('status-no-reason-no-space', 'HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello', 'pass|error');
add('status-reason-high-bytes', 'HTTP/1.1 200 caf\xe9\r\nContent-Length: 5\r\n\r\nhello', 'pass');
add('status-unknown-299', 'HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello', 'pass', { status: 299 });
add('status-unknown-599', 'HTTP/1.1 599 Odd\r\nContent-Length: 5\r\n\r\nhello', 'pass', { status: 599 });
add('status-502-of-the-backend', 'HTTP/1.1 502 Mine\r\nContent-Length: 5\r\n\r\nhello', 'pass', { status: 502 });
add('status-minor-2', `HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello`, 'pass|error');
add('status-bare-lf', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello', 'error', { close: true });
add('status-leading-crlf', `\r\n${HELLO}`, 'pass|error', { close: true });
add('status-endless', async (s) => {
    await s.send('HTTP/1.1 200 ');
    await s.flood('x'.repeat(4096), 300);
}, 'error');

section = 'Interim answers';
add('interim-100-unasked', `HTTP/1.1 100 Continue\r\n\r\n${HELLO}`, 'pass');
add('interim-102', `HTTP/1.1 102 Processing\r\n\r\n${HELLO}`, 'pass');
add('interim-103', `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n${HELLO}`, 'pass');
add('interim-199', `HTTP/1.1 199 Odd\r\n\r\n${HELLO}`, 'pass');
add('interim-several', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${HELLO}`, 'pass');
add('interim-in-pieces', (s) => s.drip([...`HTTP/1.1 100 Continue\r\n\r\n${HELLO}`], 1), 'pass');
add('interim-flood', async (s) => {
    await s.flood('HTTP/1.1 100 Continue\r\n\r\n'.repeat(100), 100);
    await s.send(HELLO);
}, 'pass|error', { settle: 30 });
add('interim-103-flood', async (s) => {
    await s.flood(`HTTP/1.1 103 Early Hints\r\nLink: <${'a'.repeat(900)}>\r\n\r\n`.repeat(10), 1000);
    await s.send(HELLO);
}, 'pass|error', { settle: 30 });
add('interim-100-with-length', `HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n${HELLO}`, 'pass|error');
add('interim-100-with-te', `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n${HELLO}`, 'pass|error');
add('interim-then-close', 'HTTP/1.1 100 Continue\r\n\r\n', 'error', { close: true, method: 'POST' });
add('interim-broken', `HTTP/1.1 103 Early Hints\r\nBroken\r\n\r\n${HELLO}`, 'error', { close: true });
add('interim-101-unasked', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi', 'error', { close: true });
add('interim-101-bare', `HTTP/1.1 101 Switching Protocols\r\n\r\n${EVIL}`, 'error', { close: true });
add('interim-101-other-protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nbytes', 'error', {
    close: true, headers: { 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
});
add('interim-100-asked', HELLO, 'pass', {
    method: 'POST', request: 'data', headers: { Expect: '100-continue' }, continues: true,
});
add('interim-100-asked-final-at-once', 'HTTP/1.1 417 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello', 'pass', {
    method: 'POST', request: 'data', headers: { Expect: '100-continue' }, early: true, close: true, status: 417,
});

section = 'Late bytes on a kept connection';
add('late-answer-at-once', HELLO + EVIL, 'pass|error');
add('late-answer-soon', async (s) => {
    await s.send(HELLO);
    await s.wait(30);
    await s.send(EVIL);
}, 'pass', { settle: 60 });
add('late-garbage', async (s) => {
    await s.send(HELLO);
    await s.wait(20);
    await s.send('\0\0\0\0');
}, 'pass', { settle: 50 });
add('late-crlf', async (s) => {
    await s.send(HELLO);
    await s.wait(20);
    await s.send('\r\n');
}, 'pass', { settle: 50 });
add('late-100-continue', async (s) => {
    await s.send(HELLO);
    await s.wait(20);
    await s.send('HTTP/1.1 100 Continue\r\n\r\n');
}, 'pass', { settle: 50 });
add('late-408', async (s) => {
    await s.send(HELLO);
    await s.wait(20);
    await s.send('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    s.close();
}, 'pass', { settle: 50 });
add('late-after-chunks', chunked(HELLO_CHUNK) + EVIL, 'pass|error');
add('late-after-304', `HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n${EVIL}`, 'pass|error', { status: 304, body: '' });
add('late-after-204', `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`, 'pass|error', { status: 204, body: '' });
add('late-after-head', `${OK}Content-Length: 5\r\n\r\n${EVIL}`, 'pass|error', { method: 'HEAD', body: '' });
add('late-close', async (s) => {
    await s.send(HELLO);
    await s.wait(10);
    s.close();
}, 'pass', { settle: 30 });
add('late-reset', async (s) => {
    await s.send(HELLO);
    await s.wait(10);
    s.reset();
}, 'pass', { settle: 30 });
add('late-close-at-once', HELLO, 'pass', { close: true });
add('late-close-announced', withFields('Content-Length: 5\r\nConnection: close'), 'pass', { close: true });
add('late-close-announced-not-done', withFields('Content-Length: 5\r\nConnection: close'), 'pass');
add('late-flood', async (s) => {
    await s.send(HELLO);
    await s.flood('x'.repeat(65536), 64);
}, 'pass|error', { settle: 30 });

section = 'No answer, half an answer';
add('none-close', (s) => s.close(), 'error', { method: 'POST' });
add('none-reset', (s) => s.reset(), 'error', { method: 'POST' });
add('none-close-get', (s) => s.close(), 'error');
add('none-stall', () => {}, 'error', { method: 'POST', statuses: [500, 504], code: /^(1015\d\d|504)$/ });
add('half-status-line', 'HTTP/1.1 20', 'error', { close: true, method: 'POST' });
add('half-head', `${OK}Content-Le`, 'error', { close: true, method: 'POST' });
add('half-head-no-empty-line', `${OK}Content-Length: 5\r\n`, 'error', { close: true, method: 'POST' });
add('half-head-stall', `${OK}Content-Le`, 'error', { method: 'POST' });
add('half-head-reset', async (s) => {
    await s.send(OK);
    s.reset();
}, 'error', { method: 'POST' });
add('half-body-reset', async (s) => {
    await s.send(withFields('Content-Length: 100'));
    await s.wait(20);
    s.reset();
}, 'cut|error');
add('half-body-stall', (s) => s.send(withFields('Content-Length: 100')), 'cut|error');
add('half-chunked-stall', (s) => s.send(chunked('5\r\nhello\r\n')), 'cut|error');
add('close-delimited', withFields('X-A: b'), 'pass', { close: true });
add('close-delimited-empty', withFields('X-A: b', ''), 'pass', { close: true, body: '' });
add('close-delimited-slow', (s) => s.drip([`${OK}\r\n`, 'h', 'e', 'l', 'l', 'o'], 20).then(() => s.close()), 'pass');
add('close-delimited-reset', async (s) => {
    await s.send(`${OK}\r\nhel`);
    await s.wait(30);
    s.reset();
}, 'cut|error');
add('http-1.0', 'HTTP/1.0 200 OK\r\n\r\nhello', 'pass', { close: true });
add('http-1.0-length', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'pass', { close: true });
add('http-1.0-keep-alive', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello', 'pass');
add('http-0.9', 'hello', 'error', { close: true });
add('slow-drip', (s) => s.drip([...HELLO], 2), 'pass');

section = 'Size of the head';
add('head-8k', withFields(`X-Big: ${'v'.repeat(8000)}\r\nContent-Length: 5`), 'pass');
add('head-60-fields', withFields(`${Array.from({ length: 60 }, (_, i) => `X-${i}: v`).join('\r\n')}\r\nContent-Length: 5`), 'pass');
add('head-1m-field', (s) => s.send(withFields(`X-Big: ${'v'.repeat(1 << 20)}\r\nContent-Length: 5`)), 'error');
add('head-2000-fields', (s) => s.send(withFields(`${Array.from({ length: 2000 }, (_, i) => `X-${i}: v`).join('\r\n')}\r\nContent-Length: 5`)), 'error');
add('head-endless', async (s) => {
    await s.send(OK);
    await s.flood('X-A: 0123456789abcdef0123456789\r\n'.repeat(100), 1000);
}, 'error');
add('head-name-100k', (s) => s.send(withFields(`${'X'.repeat(100000)}: v\r\nContent-Length: 5`)), 'error');

section = 'HEAD, 204, 205, 304';
add('head-with-length', `${OK}Content-Length: 5\r\n\r\n`, 'pass', {
    method: 'HEAD', body: '', check: (answer) => assert.equal(answer.header('content-length'), '5'),
});
add('head-with-body', HELLO, 'pass|error', { method: 'HEAD', body: '' });
add('head-chunked', CHUNKED, 'pass', { method: 'HEAD', body: '' });
add('head-chunked-with-body', chunked(HELLO_CHUNK), 'pass|error', { method: 'HEAD', body: '' });
add('head-no-framing', `${OK}X-A: b\r\n\r\n`, 'pass', { method: 'HEAD', body: '' });
add('204-with-length', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello', 'pass|error', { status: 204, body: '' });
add('204-chunked', `HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n${HELLO_CHUNK}`, 'pass|error', { status: 204, body: '' });
add('204-length-zero', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', 'pass', { status: 204, body: '' });
add('304-with-length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 'pass', { status: 304, body: '' });
add('304-with-body', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello', 'pass|error', { status: 304, body: '' });
add('205-with-body', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello', 'pass|error', { status: 205 });

section = 'Answers before the request was read';
const BIG = 'b'.repeat(1 << 20);

add('early-413-then-close', async (s) => {
    await s.send('HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello');
    await s.wait(20);
    s.close();
}, 'pass|error|cut', { method: 'POST', request: BIG, early: true, status: 413 });
add('early-200-and-reading-on', HELLO, 'pass|error', { method: 'POST', request: BIG, early: true });
add('early-200-kept-open-unread', (s) => {
    s.socket.pause();
    return s.send(HELLO);
}, 'pass|error|cut', { method: 'POST', request: BIG.repeat(32), early: true }); // more than socket buffers hold
add('early-reset', (s) => s.reset(), 'error|cut', { method: 'POST', request: BIG, early: true });
add('early-close', (s) => s.socket.destroy(), 'error|cut', { method: 'POST', request: BIG, early: true });
add('early-answer-then-reset', async (s) => {
    await s.send(HELLO);
    await s.wait(10);
    s.reset();
}, 'pass|error|cut', { method: 'POST', request: BIG, early: true });

section = 'Field lines';
for (const [name, lines] of Object.entries({
    'field-bare-lf': 'X-A: b\nX-B: c', 'field-all-bare-lf': 'X-A: b\n', 'field-bare-cr': 'X-A: b\rc',
    'field-split-cookie-cr': 'X-A: b\rSet-Cookie: evil=1', 'field-split-cookie-lf': 'X-A: b\nSet-Cookie: evil=1',
    'field-split-framing': 'X-A: b\nTransfer-Encoding: chunked', 'field-nul-in-value': 'X-A: b\0c',
    'field-control-in-value': 'X-A: b\x01c', 'field-escape-in-value': 'X-A: \x1b[2J', 'field-del-in-value': 'X-A: b\x7fc',
    'field-nul-in-name': 'X\0A: b', 'field-control-in-name': 'X\x01A: b', 'field-high-byte-in-name': 'X\xe9: b',
    'field-space-in-name': 'X A: b', 'field-space-before-colon': 'X-A : b', 'field-empty-name': ': b',
    'field-no-colon': 'Broken', 'field-quote-in-name': '"X": b', 'field-folded': 'X-A: b\r\n c',
    'field-folded-tab': 'X-A: b\r\n\tc', 'field-folded-first': ' X-A: b', 'field-paren-in-name': 'X(A): b',
    'field-slash-in-name': 'X/A: b', 'field-a-status-line': 'HTTP/1.1 200 OK', 'field-nul-alone': '\0',
}))
    add(name, withFields(`${lines}\r\nContent-Length: 5`), 'error', { close: true });
add('field-head-ends-in-lf', `${OK}Content-Length: 5\r\n\nhello`, 'error', { close: true });
add('field-head-ends-in-lf-lf', `${OK}Content-Length: 5\n\nhello`, 'error', { close: true });
add('field-obs-text', withFields('X-A: caf\xe9\r\nContent-Length: 5'), 'pass', {
    check: (answer) => assert.equal(answer.header('x-a'), 'caf\xe9'),
});
add('field-empty-value', withFields('X-A:\r\nContent-Length: 5'), 'pass', { check: (answer) => assert.equal(answer.header('x-a'), '') });
add('field-white-space-around', withFields('X-A: \t b c \t\r\nContent-Length:5'), 'pass', {
    check: (answer) => assert.equal(answer.header('x-a'), 'b c'),
});
add('field-two-cookies', withFields('Set-Cookie: a=1, x\r\nSet-Cookie: b=2\r\nContent-Length: 5'), 'pass', {
    check: (answer) => assert.deepEqual(answer.values('set-cookie'), ['a=1, x', 'b=2']),
});
add('field-hop-by-hop', withFields('Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nContent-Length: 5'), 'pass', {
    check: (answer) => {
        for (const name of ['x-hop', 'keep-alive', 'proxy-connection'])
            assert.equal(answer.header(name), undefined, `${name} passed`);
    },
});
add('field-connection-names-length', withFields('Connection: Content-Length\r\nContent-Length: 5'), 'pass|error');
add('field-upgrade-offered', withFields('Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5'), 'pass', {
    check: (answer) => assert.equal(answer.header('upgrade'), undefined),
});
add('field-trailer-announced', `${OK}Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n`, 'pass');
add('field-gzip-garbage', withFields('Content-Encoding: gzip\r\nContent-Length: 5', '\x1f\x8b\0\xff!'), 'pass', {
    body: '\x1f\x8b\0\xff!', check: (answer) => assert.equal(answer.header('content-encoding'), 'gzip'),
});
add('field-location-splitting', `HTTP/1.1 302 Found\r\nLocation: /a%0d%0aSet-Cookie:%20evil=1\r\nContent-Length: 0\r\n\r\n`, 'pass', {
    status: 302, body: '', check: (answer) => assert.equal(answer.header('set-cookie'), undefined),
});
add('field-two-locations', `HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n`, 'pass|error', { status: 302, body: '' });
add('field-activityid-of-the-backend', withFields('activityid: evil\r\nContent-Length: 5'), 'pass', {
    check: (answer) => assert.equal(answer.values('activityid').length, 1),
});

let hostile;
let gateway;

before(async () => {
    hostile = await new Hostile(cases).start();
    gateway = await startGateway({
        documents: { 'api.json': openapi({ context: '/api', endpoints: `${hostile.url}/h` }) },
        upstreams: { connectMs: 1000, firstByteMs: 700, stallMs: 700, suspendMs: 0 },
    });
});

after(async () => {
    await gateway?.stop();
    await hostile?.close();
});

/** Sends the request of a case and waits for the end of the matter. */
async function play(one) {
    const client = await connect(gateway);

    // Not waited for: a backend that stops reading stops the client, too.
    client.request({
        method: one.method ?? 'GET',
        path: `/api/case/${encodeURIComponent(one.name)}`,
        headers: { activityid: `case-${one.name}`.slice(0, 60), ...one.headers },
        body: one.request ?? (one.method === 'POST' ? '' : undefined),
    });
    await client.when((c) => c.responses.length || c.error || c.over, 8000);
    await pause(one.settle);
    return client;
}

/** Names what happened; anything that must not happen fails here. */
function outcome(one, client) {
    assert.equal(client.error, null, `malformed bytes reached the client: ${client.error?.message}`);
    assert.ok(client.responses.length <= 1, 'more than one answer');
    const [answer] = client.responses;

    if (!answer) {
        assert.ok(client.over, 'neither an answer nor the end of the connection');
        assert.ok(client.heads.length === 1 && client.truncated, 'the connection ended without any answer');
        assert.equal(client.heads[0].status, one.status, 'the status of the answer that was cut');
        return ['cut'];
    }
    assert.ok(!answer.text.includes('evil'), 'foreign bytes in the answer');
    const passed = answer.status === one.status && answer.body.equals(Buffer.from(one.body, 'latin1'));

    if (passed) {
        one.check?.(answer, client);
        return ['pass', answer];
    }
    assert.equal(answer.header('content-type')?.split(';')[0], 'application/json',
        `neither the answer nor an error: ${answer.status} ${JSON.stringify(answer.text.slice(0, 200))}`);
    assertError(answer, one.statuses ?? [500, 502, 503, 504], one.code ?? ERROR_CODE);
    return ['error', answer];
}

/** A call gets its own answer; the token is new each time. */
let tokens = 0;

async function assertOwnAnswer(send) {
    const token = `token-${++tokens}`;
    const answer = await send(`/api/good/${token}`);

    assert.equal(answer.status, 200, `the next call: ${answer.status} ${answer.text.slice(0, 300)}`);
    assert.equal(answer.text, token, 'the next call got the answer of another');
}

for (const title of new Set([...cases.values()].map((c) => c.section)))
    describe(`A backend that is hostile by: ${title}`, () => {
        for (const one of [...cases.values()].filter((c) => c.section === title))
            test(`${one.name} ends in ${one.outcomes.join(' or ')}`, async () => {
                const client = await play(one);

                try {
                    const [what] = outcome(one, client);

                    assert.ok(one.outcomes.includes(what), `it ended in ${what}`);
                    assert.ok(hostile.played.has(one.name), 'the backend was never asked');
                    if (!client.over && what !== 'cut' && client.responses[0].header('connection') !== 'close') {
                        client.taken = client.responses.length;
                        await assertOwnAnswer(async (path) => {
                            await client.request({ path });
                            return client.response();
                        });
                    }
                } finally {
                    client.destroy();
                }
                await assertOwnAnswer((path) => call(gateway, path));
                await assertOwnAnswer((path) => call(gateway, path));
                assertNothingMalformedSince();
            });
    });

describe('After all hostile answers', () => {
    test('at least 110 of them were played', () => {
        assert.ok(hostile.played.size >= 110, `only ${hostile.played.size}`);
    });

    test('eight callers at once, among hostile answers, each get their own', async () => {
        // Not the late answers: one that comes while another call waits on the
        // connection cannot be told from that call's own.
        const worst = ['cl-less-than-sent', 'head-with-body', 'late-after-304', '204-with-length'];
        const callers = Array.from({ length: 8 }, async (_, caller) => {
            for (let i = 0; i < 25; i++) {
                if (caller % 2)
                    (await play({ ...cases.get(worst[(i + caller) % worst.length]), settle: 0 })).destroy();
                else
                    await assertOwnAnswer((path) => call(gateway, path));
            }
        });

        await Promise.all(callers);
    });

    test('the gateway stands, and its memory and descriptors are in bounds', async () => {
        gateway.check();
        assert.ok(gateway.fds() < 200, `${gateway.fds()} descriptors are open`);
        if (MEMORY_COUNTS)
            assert.ok(gateway.rss() < 128 << 20, `${gateway.rss() >> 20} MiB resident`);
        assertNothingMalformed();
    });
});
