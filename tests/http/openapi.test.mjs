// openapi.test.mjs - documents of real products, served as they are.
//
// CONFORMANCE_DIR names the folder of test data that holds openapi/manifest.json.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openapi } from './lib/document.mjs';
import { GatewayRefused, run, startGateway, startGatewayByFlags, temporary } from './lib/gateway.mjs';
import { startUpstream } from './lib/upstream.mjs';

const FOLDER = process.env.CONFORMANCE_DIR && path.join(process.env.CONFORMANCE_DIR, 'openapi');
const skip = FOLDER && fs.existsSync(path.join(FOLDER, 'manifest.json')) ? false
    : 'CONFORMANCE_DIR is not set (or holds no openapi/manifest.json)';
const manifest = skip ? [] : JSON.parse(fs.readFileSync(path.join(FOLDER, 'manifest.json')));
const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']);

// Served and called. The largest by bytes and by operations come first.
const SERVED = ['openai.yaml', 'twilio_api_v2010.json', 'discord.json', 'slack_web_v2.json', 'netlify_v2.yml', 'tmf620_v2.json',
    'figma.yaml', 'azure_starwars.json', 'azure_todo.json', 'oas-examples_3.0_star-trek.json', 'oas-examples_3.0_uspto.json',
    'oas-examples_2.0_petstore.json', 'oas-examples_3.1_petstore.json', 'oai_v3.0_petstore-expanded.yaml', 'twilio_verify_v2.yaml'];

let upstream;

before(async () => (upstream = await startUpstream()));
after(() => upstream.close());

/** {base, operations: [[method, template]]} of a document. */
function outline(file) {
    const text = fs.readFileSync(path.join(FOLDER, file), 'utf8');

    return file.endsWith('.json') ? outlineOfJson(JSON.parse(text)) : outlineOfYaml(text);
}

function outlineOfJson(document) {
    const server = document.servers?.[0];
    let base = document.basePath ?? server?.url ?? '';

    for (const [name, { default: value }] of Object.entries(server?.variables ?? {}))
        base = base.replaceAll(`{${name}}`, value);
    const operations = Object.entries(document.paths ?? {}).flatMap(([template, item]) =>
        Object.keys(item).filter((key) => METHODS.has(key)).map((method) => [method.toUpperCase(), template]));

    return { base: pathOf(base), operations };
}

/** Enough of YAML for well-indented documents: keys by their indentation. */
function outlineOfYaml(text) {
    const operations = [];
    let section = '';
    let template = null;
    let depth = 0;
    let base = /^basePath:\s*['"]?([^'"\s]+)/m.exec(text)?.[1];

    base ??= /^servers:\s*\n\s*-\s+url:\s*['"]?([^'"\s]+)/m.exec(text)?.[1] ?? '';
    for (const line of text.split('\n')) {
        const found = /^( *)(['"]?)([^\s'"#][^'"]*?)\2:\s*(&\S+)?$/.exec(line);

        if (/^[a-zA-Z]/.test(line))
            section = line.split(':')[0];
        if (!found || section !== 'paths' || found[1].length === 0)
            continue;
        if (found[3].startsWith('/')) {
            template = found[3];
            depth = found[1].length;
        } else if (template && METHODS.has(found[3]) && found[1].length > depth && found[1].length <= depth + 4) {
            operations.push([found[3].toUpperCase(), template]);
        }
    }
    return { base: pathOf(base), operations };
}

function pathOf(url) {
    return url.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/+$/, '');
}

/** A template with something in the place of its parameters, no query. */
function filled(template) {
    return template.split(/[?#]/)[0].replace(/\{[^}]+\}/g, 'v1');
}

/** Up to n of a list, from all over it. */
function spread(list, n) {
    return list.length <= n ? list : Array.from({ length: n }, (_, i) => list[Math.floor((i * (list.length - 1)) / (n - 1))]);
}

async function serve(t, ...args) {
    const gateway = await startGatewayByFlags(args);

    t.after(() => gateway.stop());
    return gateway;
}

describe('The public pet store document', { skip }, () => {
    const file = () => path.join(FOLDER, 'petstore3.yaml');

    test('is proxied with security switched off', async (t) => {
        const gateway = await serve(t, '--security', 'off', '--upstream', `http://127.0.0.1:${upstream.port}/base`, file());

        for (const [method, target, expected] of [
            ['GET', '/api/v3/pet/1', '/base/pet/1'],
            ['GET', '/api/v3/pet/findByStatus?status=sold', '/base/pet/findByStatus?status=sold'],
            ['POST', '/api/v3/pet', '/base/pet'],
            ['PUT', '/api/v3/pet', '/base/pet'],
            ['DELETE', '/api/v3/store/order/7', '/base/store/order/7'],
            ['GET', '/api/v3/user/login?username=a&password=b', '/base/user/login?username=a&password=b'],
        ]) {
            const answer = await gateway.call(target, { method, body: method[0] === 'P' ? '{"id":1}' : undefined });

            assert.equal(answer.status, 200, `${method} ${target}: ${answer.text.slice(0, 200)}`);
            assert.deepEqual([answer.json.method, answer.json.url], [method, expected]);
        }
        assert.equal((await gateway.call('/api/v3/nothing')).status, 404);
        assert.equal((await gateway.call('/api/v3/pet', { method: 'DELETE' })).status, 405);
        assert.equal((await gateway.call('/pet/1')).status, 404);
    });

    test('works with an upstream without a path, as people type it', async (t) => {
        const gateway = await serve(t, '--security', 'off', '--upstream', upstream.url, file());

        assert.equal((await gateway.call('/api/v3/pet/1')).json.url, '/pet/1');
    });

    test('is refused without the switch, and the message names it', async () => {
        await assert.rejects(startGatewayByFlags(['--upstream', upstream.url, file()]), (error) => {
            assert.ok(error instanceof GatewayRefused);
            assert.notEqual(error.code, 0);
            assert.match(error.stderr, /petstore3\.yaml/);
            assert.match(error.stderr, /petstore_auth|api_key/);
            assert.match(error.stderr, /--security off/);
            return true;
        });
    });

    test('shows in /ready that security is off', async (t) => {
        const gateway = await serve(t, '--security', 'off', '--upstream', upstream.url, file());
        const answer = await gateway.adminCall('/ready');

        assert.equal(answer.status, 200);
        assert.match(answer.text, /security/i);
    });
});

describe('Every document of the collection loads with its number of operations', { skip }, () => {
    const refused = [];

    for (const { file, operations } of manifest)
        test(`${file}: ${operations} operations`, async () => {
            const result = await run(['config', 'check', '--security', 'off', '--upstream', upstream.url, path.join(FOLDER, file)], { cwd: temporary() });

            if (result.code === 0) {
                const found = /\b(\d+) operations?\b/.exec(result.stdout);

                assert.ok(found, `no line with "N operations":\n${result.output.slice(0, 1000)}`);
                assert.equal(Number(found[1]), operations);
            } else {
                refused.push(file);
                assert.equal(result.code, 1);
                assert.ok(result.stderr.includes(file), `the message does not name the file: ${result.stderr.slice(0, 500)}`);
                assert.match(result.stderr, /:\d+: \S/, 'the message names no line');
            }
        });

    test('hardly any of them is refused', () => {
        assert.ok(refused.length <= 4, `refused: ${refused}`);
    });
});

describe('Documents with security are refused without the switch', { skip }, () => {
    for (const file of ['camara_qod.yaml', 'discord.json', 'oas-examples_3.0_security.json', 'slack_web_v2.json'])
        test(file, async () => {
            const result = await run(['config', 'check', '--upstream', upstream.url, path.join(FOLDER, file)], { cwd: temporary() });

            assert.equal(result.code, 1);
            assert.ok(result.stderr.includes(file));
            assert.match(result.stderr, /--security off/);
        });
});

describe('Calls to operations of', { skip }, () => {
    for (const file of SERVED)
        test(file, async (t) => {
            const { base, operations } = outline(file);
            const wanted = manifest.find((entry) => entry.file === file).operations;

            assert.equal(operations.length, wanted, 'this test reads the document rightly');
            const gateway = await serve(t, '--security', 'off', '--upstream', `http://127.0.0.1:${upstream.port}/base`, path.join(FOLDER, file));

            for (const [method, template] of spread(operations, 8)) {
                const target = filled(template);
                const answer = await gateway.call(`${base}${target}?a=b`, { method, body: /^P/.test(method) ? '{}' : undefined });

                assert.equal(answer.status, 200, `${method} ${base}${target}: ${answer.text.slice(0, 200)}`);
                if (method !== 'HEAD')
                    assert.deepEqual([answer.json.method, answer.json.url], [method, `/base${target}?a=b`]);
            }
            assert.equal((await gateway.call(`${base}/no/such/path/here/at/all`)).status, 404);
        });
});

describe('A folder of documents', () => {
    test('is served as a whole, YAML and JSON, and other files are left alone', async (t) => {
        const gateway = await startGateway({
            files: {
                'apis/one.json': openapi({ context: '/one', endpoints: upstream.url }),
                'apis/two.yaml': `openapi: 3.1.0\ninfo: {title: Two, version: "1"}\nservers:\n  - url: ${upstream.url}/two\npaths:\n  /x:\n    get: {responses: {default: {description: any}}}\n`,
                'apis/old.yml': `swagger: "2.0"\ninfo: {title: Old, version: "1"}\nhost: 127.0.0.1:${upstream.port}\nschemes: [http]\nbasePath: /old\npaths:\n  /x:\n    get: {responses: {200: {description: any}}}\n`,
                'apis/notes.txt': 'not a document',
                'apis/other.json': '{"just": "data"}',
            },
            apis: ['apis'],
        });

        t.after(() => gateway.stop());
        for (const target of ['/one/x', '/two/x', '/old/x'])
            assert.equal((await gateway.call(target)).status, 200, target);
    });

    test('with two APIs on the same path is refused, and both are named', async () => {
        await assert.rejects(startGateway({
            documents: {
                'one.json': openapi({ title: 'One', context: '/same', endpoints: upstream.url }),
                'two.json': openapi({ title: 'Two', context: '/same', endpoints: upstream.url }),
            },
        }), (error) => error instanceof GatewayRefused && /one\.json/.test(error.stderr) && /two\.json/.test(error.stderr));
    });

    test('that refers to a part in another file finds it', async (t) => {
        const gateway = await startGateway({
            files: {
                'main.yaml': `openapi: 3.0.3\ninfo: {title: Split, version: "1"}\nservers: [{url: "${upstream.url}/split"}]\npaths:\n  /x:\n    $ref: parts/x.yaml#/item\n`,
                'parts/x.yaml': 'item:\n  get:\n    responses: {default: {description: any}}\n',
            },
            apis: ['main.yaml'],
        });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/split/x')).json.url, '/split/x');
    });
});

describe('Extensions', () => {
    const check = async (extra, ...args) => {
        const dir = temporary();

        fs.writeFileSync(path.join(dir, 'api.json'), JSON.stringify(openapi({ context: '/api', endpoints: upstream.url, paths: { '/x': 'get' }, ...extra }), null, 2));
        return run(['config', 'check', ...args, 'api.json'], { cwd: dir });
    };

    test('that nobody knows are a warning that names them', async () => {
        const result = await check({ 'x-wso2-unheard-of': true });

        assert.equal(result.code, 0, result.output);
        assert.match(result.output, /x-wso2-unheard-of/);
    });

    test('of other makers are none of our business', async () => {
        const result = await check({ 'x-amazon-apigateway-importexport-version': '1.0' });

        assert.equal(result.code, 0);
        assert.doesNotMatch(result.output, /amazon/);
    });

    test('that are known but not enforced make the load fail, with the line to add', async () => {
        const result = await check({ 'x-wso2-response-cache': { enabled: true } });

        assert.equal(result.code, 1, 'an API must not be served more openly than its document says');
        assert.match(result.stderr, /api\.json:\d+/);
        assert.match(result.stderr, /x-wso2-response-cache/);
        assert.match(result.stderr, /ignore/);
    });

    test('named in gateway.ignore may go unenforced, and that is logged', async (t) => {
        const gateway = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: upstream.url, paths: { '/x': 'get' }, 'x-wso2-response-cache': { enabled: true } }) },
            ignore: ['x-wso2-response-cache'],
        });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/api/x')).status, 200);
        assert.match(gateway.stderr, /x-wso2-response-cache/);
    });

    test('endpoints by reference are found', async (t) => {
        const gateway = await startGateway({
            documents: {
                'api.json': openapi({
                    context: '/api',
                    endpoints: '#/x-wso2-endpoints/mine',
                    paths: { '/x': 'get' },
                    'x-wso2-endpoints': [{ other: { urls: ['http://127.0.0.1:9/'] } }, { mine: { urls: [`${upstream.url}/mine`] } }],
                    'x-wso2-production-endpoints': '#/x-wso2-endpoints/mine',
                }),
            },
        });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/api/x')).json.url, '/mine/x');
    });

    test('x-wso2-disable-security opens an operation that asks for security', async (t) => {
        const gateway = await startGateway({
            documents: {
                'api.json': openapi({
                    context: '/api', endpoints: upstream.url, paths: { '/x': 'get' }, 'x-wso2-disable-security': true,
                    security: [{ key: [] }], components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'k' } } },
                }),
            },
        });

        t.after(() => gateway.stop());
        assert.equal((await gateway.call('/api/x')).status, 200);
    });
});

test('a generated document of 5,000 operations loads in well under a second', async (t) => {
    const paths = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`/group${i % 50}/{id}/item${i}`, 'get post']));
    const begin = performance.now();
    const gateway = await startGateway({ documents: { 'big.json': openapi({ context: '/big', endpoints: upstream.url, paths }) } });
    const took = performance.now() - begin;

    t.after(() => gateway.stop());
    assert.equal((await gateway.call('/big/group49/7/item2499')).json.url, '/group49/7/item2499');
    t.diagnostic(`ready after ${Math.round(took)} ms`);
    assert.ok(took < (process.env.TOLLGATE_SLOW ? 30000 : 2000), `ready after ${Math.round(took)} ms`);
});
