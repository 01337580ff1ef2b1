// docs.test.mjs - what the documentation says is so.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openapi } from './lib/document.mjs';
import { PROGRAM, run, startGateway } from './lib/gateway.mjs';
import { Issuer } from './lib/jwt.mjs';
import { Authority } from './lib/tls.mjs';
import { startUpstream } from './lib/upstream.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const PAGES = ['README.md', 'CONTRIBUTING.md', ...fs.readdirSync(path.join(ROOT, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

/** How many rows each part of the feature table has. */
const ROWS = { PUB: 60, PRD: 7, DEV: 32, GW: 67, KM: 33, TM: 23, AN: 18, ST: 16, AD: 30, GOV: 6, MON: 6, CLI: 15, MG: 52, XC: 10 };

function read(page) {
    return fs.readFileSync(path.join(ROOT, page), 'utf8');
}

function below(folder, wanted) {
    return fs.readdirSync(path.join(ROOT, folder), { recursive: true }).filter(wanted).map((name) => path.join(folder, name));
}

/** The pages without their examples. */
function prose(page) {
    return read(page).replace(/^```[\s\S]*?^```$/gm, '').replace(/^ {4}.*$/gm, '');
}

/** What a heading is called in a link. */
function anchorsOf(page) {
    return prose(page).split('\n').filter((line) => /^#+ /.test(line))
        .map((line) => line.replace(/^#+ /, '').toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));
}

describe('Links', () => {
    for (const page of PAGES)
        test(`of ${page} lead somewhere`, () => {
            for (const [, target] of prose(page).matchAll(/\]\(([^)\s]+)\)/g)) {
                if (/^[a-z]+:/.test(target))
                    continue;
                const [file, anchor] = target.split('#');
                const to = file ? path.join(path.dirname(page), file) : page;

                assert.ok(fs.existsSync(path.join(ROOT, to)), `${target} is missing`);
                assert.ok(!to.startsWith('..'), `${target} leaves the repository`);
                if (anchor)
                    assert.ok(anchorsOf(to).includes(anchor), `${to} has no heading for #${anchor}`);
            }
        });

    test('from the README reach every page', () => {
        for (const page of PAGES.filter((name) => name !== 'README.md'))
            assert.ok(read('README.md').includes(`](${page})`), `${page} is not linked`);
    });
});

describe('docs/architecture.md', () => {
    const sources = below('src', (name) => /\.[ch]$/.test(name));
    const code = sources.map(read).join('\n');
    const text = read('docs/architecture.md');

    test('names functions that exist', () => {
        const names = new Set([...text.matchAll(/`(\w+)\(\)`/g)].map(([, name]) => name));

        assert.ok(names.size > 80, `${names.size} functions`);
        for (const name of names)
            assert.match(code, new RegExp(`\\b${name}\\(`), `${name}() is not in src/`);
    });

    test('names files and folders that exist', () => {
        for (const [, name] of text.matchAll(/`([\w/]+\.[ch])`/g))
            assert.ok(sources.some((file) => file.endsWith(`/${name}`)), `${name} is not in src/`);
        for (const [, name] of text.matchAll(/`((?:src|tests|tools|bench)\/[\w/]*)`/g))
            assert.ok(fs.existsSync(path.join(ROOT, name)), `${name} is missing`);
        for (const folder of fs.readdirSync(path.join(ROOT, 'src')))
            assert.ok(text.includes(`\`src/${folder}/\``), `src/${folder} is not described`);
    });
});

describe('docs/observability.md', () => {
    test('has the metrics that there are, all of them', async (t) => {
        const upstream = await startUpstream();
        const leaf = new Authority().issue('server');
        const gateway = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: upstream.url }) },
            tls: { certificate: leaf.certificate, key: leaf.key },
            files: { 'keys.json': new Issuer().jwks },
            issuers: [{ issuer: 'https://idp.test', jwks: 'keys.json' }],
        });

        t.after(() => upstream.close());
        t.after(() => gateway.stop());
        await gateway.call('/api/x');
        const metrics = await gateway.metrics();
        const told = new Map([...read('docs/observability.md').matchAll(/^\| `((?:tollgate|process)_\w+)` \| (\w+) \|/gm)].map(([, name, type]) => [name, type]));

        assert.deepEqual([...told.keys()].sort(), [...metrics.types.keys()].sort());
        for (const [name, type] of told)
            assert.equal(metrics.types.get(name), type, name);
    });

    test('has the tokens that an access log may have', async () => {
        const told = [...read('docs/observability.md').matchAll(/`(%[^`]+)`/g)].map(([, token]) => token);
        const format = told.join(' ').replaceAll('{what}x', '{refusal}x').replaceAll('{Name}', '{Server}');
        const upstream = await startUpstream();
        const gateway = await startGateway({
            documents: { 'api.json': openapi({ context: '/api', endpoints: upstream.url }) },
            accessLog: { file: '/dev/null', format },
        });

        await gateway.stop();
        upstream.close();
    });
});

describe('docs/configuration.md', () => {
    test('is what the program prints', () => {
        const build = path.dirname(PROGRAM);

        if (path.dirname(build) === ROOT && path.basename(PROGRAM) === 'tollgate')
            execFileSync(path.join(ROOT, 'tools/reference.sh'), ['--check'], { env: { ...process.env, BUILD: path.basename(build) } });
        else
            assert.equal(execFileSync(PROGRAM, ['config', 'reference'], { encoding: 'utf8' }), read('docs/configuration.md'));
    });

    test('has every setting that other pages name', () => {
        const sections = new Map();
        let section = '';

        for (const line of read('docs/configuration.md').split('\n')) {
            section = /^## (.*)/.exec(line)?.[1] ?? section;
            const key = /^\| `(\w+)` \|/.exec(line)?.[1];

            if (key)
                sections.set(`${section ? `${section}.` : ''}${key}`.replaceAll('[]', ''), true);
        }
        for (const page of PAGES)
            for (const [, name] of prose(page).matchAll(/`((?:gateway|memory|log)\.\w[\w.]*)(?::[^`]*)?`/g)) {
                if (!/\.(c|h)$/.test(name))
                    assert.ok(sections.has(name), `${page} names ${name}`);
            }
    });
});

describe('docs/features.md', () => {
    const rows = [...read('docs/features.md').matchAll(/^\| ([A-Z]+)-(\d+)(?: \(S\))? \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$/gm)]
        .map(([, group, number, what, state, shown]) => ({ group, number: Number(number), id: `${group}-${number}`, what, state, shown: shown.trim() }));

    test('has every row once', () => {
        assert.equal(new Set(rows.map((row) => row.id)).size, rows.length, 'a row is there twice');
        for (const [group, count] of Object.entries(ROWS))
            assert.deepEqual(rows.filter((row) => row.group === group).map((row) => row.number), Array.from({ length: count }, (_, i) => i + 1), group);
        assert.equal(rows.length, Object.values(ROWS).reduce((sum, n) => sum + n));
    });

    test('says of each how far it is, and where that is shown', () => {
        for (const { id, state, shown } of rows) {
            assert.match(state, /^(done|partly|not yet)(: .+)?$/, id);
            assert.equal(shown === '', state === 'not yet', `${id}: ${state}, shown by "${shown}"`);
            for (const one of shown ? shown.split(', ') : [])
                assert.match(one, /^\[([\w-]+)\]\(\.\.\/tests\/http\/\1\.test\.mjs\)$/, id);
        }
    });
});

describe('The README', () => {
    test('names commands that there are', async () => {
        const help = (await run(['help'])).stdout;

        for (const [, command] of read('README.md').matchAll(/build\/tollgate ((?:config )?[a-z]+)/g))
            assert.match(help, new RegExp(`^ +${command} `, 'm'), command);
    });

    test('names verbs that the Makefile has', () => {
        const makefile = read('Makefile');

        for (const page of PAGES)
            for (const [, verb] of read(page).matchAll(/(?:`| {4})make ([a-z][a-z-]*)/g))
                assert.match(makefile, new RegExp(`^${verb}:`, 'm'), `${page} says make ${verb}`);
    });

    test('has a licence to point to', () => {
        assert.match(read('LICENSE'), /Apache License\s+Version 2\.0/);
    });
});
