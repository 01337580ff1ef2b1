// metrics.mjs - Prometheus text, read strictly.
import assert from 'node:assert/strict';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;
const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped']);

export class Metrics {
    samples = [];
    types = new Map();
    helps = new Map();

    /** Samples whose name matches and whose labels include these. */
    find(name, labels = {}) {
        return this.samples.filter((s) => (name instanceof RegExp ? name.test(s.name) : s.name === name) &&
            Object.entries(labels).every(([k, v]) => (v instanceof RegExp ? v.test(s.labels[k] ?? '') : s.labels[k] === v)));
    }

    sum(name, labels) {
        return this.find(name, labels).reduce((total, s) => total + s.value, 0);
    }
}

function parseLabels(text, line) {
    const labels = {};
    let rest = text.slice(1);

    while (!rest.startsWith('}')) {
        const found = LABEL.exec(rest);

        assert.ok(found, `a bad label in: ${line}`);
        assert.ok(!(found[1] in labels), `a repeated label in: ${line}`);
        labels[found[1]] = found[2].replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
        rest = rest.slice(found[0].length).replace(/^,/, '');
    }
    return [labels, rest.slice(1)];
}

function parseSample(line) {
    const name = NAME.exec(line)?.[0];

    assert.ok(name, `no metric name in: ${line}`);
    let rest = line.slice(name.length);
    let labels = {};

    if (rest.startsWith('{'))
        [labels, rest] = parseLabels(rest, line);
    const found = /^ +(\S+)( -?\d+)?$/.exec(rest);

    assert.ok(found, `no value in: ${line}`);
    const value = { '+Inf': Infinity, '-Inf': -Infinity, NaN }[found[1]] ?? Number(found[1]);

    assert.ok(found[1] === 'NaN' || !Number.isNaN(value), `a bad value in: ${line}`);
    return { name, labels, value };
}

/** Parses and checks: one TYPE per family, before its samples, no doubles. */
export function parseMetrics(text) {
    const metrics = new Metrics();
    const seen = new Set();

    assert.ok(text.endsWith('\n'), 'the text ends with a line feed');
    for (const line of text.split('\n')) {
        if (line === '')
            continue;
        const comment = /^# (TYPE|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) ?(.*)$/.exec(line);

        if (comment) {
            const [, kind, name, rest] = comment;
            const into = kind === 'TYPE' ? metrics.types : metrics.helps;

            assert.ok(!into.has(name), `two ${kind} lines for ${name}`);
            if (kind === 'TYPE')
                assert.ok(TYPES.has(rest), `a bad type in: ${line}`);
            into.set(name, rest);
            continue;
        }
        if (line.startsWith('#'))
            continue;
        const sample = parseSample(line);
        const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`;

        assert.ok(!seen.has(key), `a series appears twice: ${line}`);
        seen.add(key);
        metrics.samples.push(sample);
    }
    return metrics;
}
