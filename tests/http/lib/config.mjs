// config.mjs - tollgate.yaml from camelCase options: the one place in the
// end-to-end suites that knows how settings are spelled.
//
//   config({ stateDir, listeners: [{ address, tls: {…} }], apis: […],
//            threads, trustedProxies, upstream, security, ignore,
//            timeouts: { headMs, rateMs }, limits: { headSize, rate },
//            upstreams: { firstByteMs, stallMs, suspendMs, tls: { ca } },
//            accessLog: { file, format }, admin: { address },
//            memory: { limit } })
//
// A name is turned into snake_case unless NAMES says otherwise. A number whose
// name ends in Ms is a duration and is stretched on slow builds.
import { patience } from './wait.mjs';

/** Where the spelling is not just snake_case: "section.option" -> name. */
const NAMES = {
    'listeners.proxyProtocol': 'proxy_protocol',
    'timeouts.rateMs': 'rate', // the span over which limits.rate is looked at
    'upstreams.stallMs': 'stall', // between two pieces of a reply
};

const TOP = new Set(['stateDir', 'memory', 'log']); // not below `gateway:`

function spelled(section, option) {
    return NAMES[`${section}.${option}`] ?? option.replace(/Ms$/, '').replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

function translate(value, section) {
    if (Array.isArray(value))
        return value.map((item) => translate(item, section));
    if (value === null || typeof value !== 'object')
        return value;
    const out = {};

    for (const [key, inner] of Object.entries(value))
        if (inner !== undefined)
            out[spelled(section, key)] = typeof inner === 'number' && key.endsWith('Ms')
                ? `${Math.round(patience(inner))}ms` : translate(inner, key);
    return out;
}

/** A plain tree as block YAML; strings are quoted, so nothing is ambiguous. */
export function yaml(value, indent = '') {
    if (value === null || typeof value !== 'object')
        return typeof value === 'string' ? JSON.stringify(value) : String(value);
    const entries = Array.isArray(value) ? value.map((v) => ['- ', v]) : Object.entries(value).map(([k, v]) => [`${k}: `, v]);

    if (entries.length === 0)
        return Array.isArray(value) ? '[]' : '{}';
    return entries.map(([lead, inner]) => {
        const nested = inner !== null && typeof inner === 'object' && Object.keys(inner).length > 0;
        const text = yaml(inner, `${indent}  `);

        if (!nested)
            return `${indent}${lead}${text}\n`;
        return lead === '- ' ? `${indent}- ${text.trimStart()}` : `${indent}${lead.trimEnd()}\n${text}`;
    }).join('');
}

export function config(options) {
    const tree = {};
    const gateway = {};

    for (const [key, value] of Object.entries(options))
        if (value !== undefined)
            (TOP.has(key) ? tree : gateway)[spelled('', key)] = translate(value, key);
    tree.gateway = gateway;
    return yaml(tree);
}
