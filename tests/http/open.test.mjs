// open.test.mjs - no configuration leaves an operation open against its
// document and says nothing. Each case is refused (by `config check`, at start
// and at a reload), or stays closed, or is open and said to be: in `config
// check`, at start, and in /ready.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { GatewayRefused, run, startGateway, temporary } from './lib/gateway.mjs';
import { Issuer } from './lib/jwt.mjs';
import { Upstream } from './lib/upstream.mjs';

process.setMaxListeners(200);

const issuer = new Issuer();
let upstream;

before(async () => (upstream = await new Upstream().listen()));
after(() => upstream.close());

const SCHEMES = {
    token: { type: 'oauth2', flows: {} },
    key: { type: 'apiKey', in: 'header', name: 'X-Key' },
    user: { type: 'http', scheme: 'basic' },
    cert: { type: 'mutualTLS' },
    digest: { type: 'http', scheme: 'digest' },
    odd: { type: 'telepathy' },
    lost: { $ref: '#/components/securitySchemes/nowhere' },
    body: { type: 'apiKey', in: 'body', name: 'k' },
};
const DEFINITIONS = {
    token: { type: 'oauth2', flow: 'application', tokenUrl: 'https://idp.test/token', scopes: {} },
    key: SCHEMES.key, user: { type: 'basic' }, odd: SCHEMES.odd,
};

const operation = (extra) => ({ responses: { 200: { description: 'x' } }, ...extra });
const tidy = (extra, item) => ({ info: { title: 'a', version: '1' }, 'x-wso2-basePath': '/a', paths: { '/x': { get: operation(extra), ...item } } });

/** root, operation and path item of a document, in three versions of OpenAPI. */
const v30 = (root = {}, extra = {}, item = {}) => ({ openapi: '3.0.3', ...tidy(extra, item), components: { securitySchemes: SCHEMES }, ...root });
const v31 = (root = {}, extra = {}, item = {}) => ({ ...v30(root, extra, item), openapi: '3.1.0' });
const v20 = (root = {}, extra = {}, item = {}) => ({ swagger: '2.0', ...tidy(extra, item), securityDefinitions: DEFINITIONS, ...root });
const VERSIONS = { '3.0': v30, '3.1': v31, '2.0': v20 };

const wants = (...security) => ({ security });
const KEYS = { files: { 'keys.json': issuer.jwks }, issuers: [{ issuer: issuer.issuer, jwks: 'keys.json' }] };

const REFUSED = {}, OPEN = {}, CLOSED = {};

for (const [version, of] of Object.entries(VERSIONS)) {
    REFUSED[`${version}: a scheme that is not defined`] = [of(wants({ tokn: [] })), /security asks for \\?"tokn\\?", which is not in/];
    REFUSED[`${version}: of an operation, likewise`] = [of({}, wants({ token: [] }, { kye: [] })), /security asks for \\?"kye\\?"/];
    REFUSED[`${version}: a kind of scheme that nobody knows`] = [of(wants({ odd: [] })), /requires odd \(unknown\/telepathy\)|telepathy/];
    REFUSED[`${version}: such a scheme beside a good one`] = [of(wants({ key: [], odd: [] })), /telepathy/];
    REFUSED[`${version}: or as the other way`] = [of(wants({ key: [] }, { odd: [] })), /telepathy/];
    REFUSED[`${version}: tokens, and nobody's are configured`] = [of(wants({ token: [] })), /requires token \(oauth2\), and no issuer is configured/];
    REFUSED[`${version}: users, and there are none`] = [of(wants({ user: [] })), /there are no users/];
    REFUSED[`${version}: security that is no list`] = [of({ security: { key: [] } }), /security must be an array/];
    REFUSED[`${version}: a requirement that is a name`] = [of(wants('key')), /a security requirement must be an object/];
    REFUSED[`${version}: scopes that are no list`] = [of(wants({ key: 'read' })), /scopes of a security requirement must be an array/];
    REFUSED[`${version}: application security of a kind that nobody knows`] = [of({ 'x-wso2-application-security': { 'security-types': ['voodoo'] } }), /not \\?"voodoo/];
    REFUSED[`${version}: application security with a key written wrongly`] = [of({ 'x-wso2-application-security': { 'security-type': ['oauth2'] } }), /unknown key \\?"security-type\\?"/];
    REFUSED[`${version}: mutual TLS written wrongly`] = [of({ 'x-wso2-mutual-ssl': 'manditory' }), /must be mandatory or optional/];
    REFUSED[`${version}: scopes by users, which nothing enforces`] = [of(wants({ key: [] }), { 'x-basic-auth-scopes': ['a'] }), /x-basic-auth-scopes.* is not enforced yet/];
    REFUSED[`${version}: the word security written wrongly`] = [of({ securty: [{ key: [] }] }), /securty is not enforced yet; to serve the API without it: `gateway\.ignore: \[securty\]`/];
    REFUSED[`${version}: in an operation`] = [of({}, { Security: [{ key: [] }] }), /Security of GET \/x is not enforced/];
    REFUSED[`${version}: security of a path, where OpenAPI knows none`] = [of({}, {}, { security: [{ key: [] }] }), /security of \/x is not enforced/];
    REFUSED[`${version}: an extension about who may call, written wrongly`] = [of({ 'x-wso2-aplication-security': { 'security-types': ['oauth2'] } }), /x-wso2-aplication-security is not enforced/];
    REFUSED[`${version}: scopes written wrongly`] = [of({}, { 'x-scopess': ['a'] }), /x-scopess of GET \/x is not enforced/];
    REFUSED[`${version}: an x-auth-type that there is not`] = [of({}, { 'x-auth-type': 'Nonee' }), /x-auth-type must be Any/];
    REFUSED[`${version}: a switch that is neither true nor false`] = [of({ ...wants({ key: [] }), 'x-wso2-disable-security': 'perhaps' }), /x-wso2-disable-security must be/];

    OPEN[`${version}: no security at all`] = [of(), {}];
    OPEN[`${version}: an empty list that overrides the document's`] = [of(wants({ key: [] }), wants()), {}];
    OPEN[`${version}: a way that asks for nothing`] = [of(wants({ key: [] }, {})), {}];
    OPEN[`${version}: only that way`] = [of(wants({})), {}];
    OPEN[`${version}: security switched off by the document`] = [of({ ...wants({ key: [] }), 'x-wso2-disable-security': true }), { check: /OPEN \(security disabled\)/ }];
    OPEN[`${version}: or for the operation`] = [of(wants({ key: [] }), { 'x-wso2-disable-security': true }), { check: /OPEN \(security disabled\)/ }];
    OPEN[`${version}: x-auth-type None`] = [of(wants({ key: [] }), { 'x-auth-type': 'None' }), {}];
    OPEN[`${version}: application security that is optional`] = [of({ 'x-wso2-application-security': { 'security-types': ['api_key'], optional: true } }), {}];
    OPEN[`${version}: a word written wrongly that the configuration ignores`] = [of({ securty: [{ key: [] }] }), { options: { ignore: ['securty'] }, said: /gateway\.ignore: securty is not enforced/ }];
    OPEN[`${version}: an extension that the configuration ignores`] = [of({}, { 'x-basic-auth-scopes': ['a'] }), { options: { ignore: ['x-basic-auth-scopes'] }, said: /gateway\.ignore: x-basic-auth-scopes is not enforced/ }];

    for (const [what, options] of Object.entries({ 'in the configuration': { security: 'off' }, 'on the command line': { args: ['--security', 'off'] }, 'in the environment': { env: { TOLLGATE_GATEWAY_SECURITY: 'off' } } }))
        OPEN[`${version}: security off ${what}`] = [of(wants({ key: [] })), { options, off: true, check: /security is off: 1 operations that require something are open/ }];

    CLOSED[`${version}: a key that disables security, written wrongly`] = [of({ ...wants({ key: [] }), 'x-wso2-disable-securty': true }), /\\?"x-wso2-disable-securty\\?" is ignored/];
    CLOSED[`${version}: a switch of a path, where there is none`] = [of(wants({ key: [] }), {}, { 'x-wso2-disable-security': true }), /\\?"x-wso2-disable-security\\?" is ignored here/];
    CLOSED[`${version}: a switch that is false`] = [of({ ...wants({ key: [] }), 'x-wso2-disable-security': false })];
    CLOSED[`${version}: default_security for what says nothing`] = [of(), undefined, { defaultSecurity: 'api_key' }];
    CLOSED[`${version}: an extension ignored leaves the rest as it is`] = [of(wants({ key: [] }), { 'x-basic-auth-scopes': ['a'] }), /is not enforced/, { ignore: ['x-basic-auth-scopes'] }];
}
for (const [version, of] of [['3.0', v30], ['3.1', v31]]) {
    REFUSED[`${version}: a scheme of HTTP that nobody knows`] = [of(wants({ digest: [] })), /http\/digest/];
    REFUSED[`${version}: a reference that leads nowhere`] = [of(wants({ lost: [] })), /nowhere|unresolved/];
    REFUSED[`${version}: a key in the body`] = [of(wants({ body: [] })), /sent in header, query or cookie, not in \\?"body/];
    REFUSED[`${version}: certificates, and no listener asks for them`] = [of(wants({ cert: [] })), /no listener asks for a certificate/];
    REFUSED[`${version}: mandatory mutual TLS, likewise`] = [of({ 'x-wso2-mutual-ssl': 'mandatory' }), /no listener asks for a certificate/];
    REFUSED[`${version}: issuers, none of which the API trusts`] = [of(wants({ token: [] })), /no issuer is configured that gateway\.apis\[\]\.issuers names|issuers names/, { ...KEYS, apis: [{ path: 'a.json', issuers: ['another'] }] }];
    REFUSED[`${version}: one route twice, once without security`] = [of({ paths: { '/x': { get: operation(wants({ key: [] })) }, '/x?open': { get: operation() } } }), /their security differs/];
    REFUSED[`${version}: default_security that nothing can check`] = [of(), /no issuer is configured/, { defaultSecurity: 'oauth2' }];
    REFUSED[`${version}: default_security written wrongly`] = [of(), /default_security/, { defaultSecurity: 'api-kee' }];
    REFUSED[`${version}: security written twice`] = [`openapi: '${version}.0'\ninfo: {title: a, version: '1'}\nx-wso2-basePath: /a\nsecurity: [{key: []}]\nsecurity: []\npaths: {/x: {get: {responses: {}}}}\n`, /this key is already in the map/];
}

const documentOf = (document) => ({ 'a.json': typeof document === 'string' ? document : JSON.stringify({ ...document, 'x-wso2-production-endpoints': { urls: [upstream.url] } }) });
const start = (document, options) => startGateway({ documents: documentOf(document), ...options });
const check = (gateway, args = [], env) => run(['config', 'check', '--config', gateway.file('tollgate.yaml'), ...args], { cwd: gateway.dir, env });

describe('It does not load:', () => {
    let serving;

    before(async () => (serving = await start(v30(wants({ key: [] })))));
    after(() => serving.stop());

    for (const [what, [document, message, options = {}]] of Object.entries(REFUSED))
        test(what, async () => {
            const error = await start(document, options).then(async (gateway) => {
                await gateway.stop();
                assert.fail('it was served');
            }, (e) => e);

            assert.ok(error instanceof GatewayRefused, String(error));
            assert.match(error.stderr, message, 'at start');
            // The same for `config check`, and for a gateway that serves another one.
            for (const [name, text] of Object.entries({ ...documentOf(document), ...options.files }))
                serving.write(name, text);
            const { files, apis = ['a.json'], ...rest } = options;
            const usual = { issuers: undefined, defaultSecurity: undefined };

            serving.configure({ ...usual, ...rest, apis: apis.map((a) => (typeof a === 'string' ? serving.file(a) : { ...a, path: serving.file(a.path) })) });
            const checked = await check(serving), reloaded = await serving.reload();

            assert.equal(checked.code, 1, checked.output);
            assert.match(checked.output, message, 'by config check');
            assert.equal(reloaded.code, 1, reloaded.output);
            assert.equal((await serving.call('/a/x')).status, 401, 'what was served is served on');
        });
});

describe('It is open, and that is said:', () => {
    for (const [what, [document, { options = {}, check: line = /\bGET +\/x .*OPEN/, said, off }]] of Object.entries(OPEN))
        test(what, async () => {
            const { args, env, ...rest } = options;
            const gateway = await start(document, options);

            try {
                assert.equal((await gateway.call('/a/x')).status, 200, 'it is open');
                const checked = await check(gateway, args, env);
                const ready = (await gateway.adminCall('/ready')).json;

                assert.equal(checked.code, 0, checked.output);
                assert.match(checked.stdout, line);
                assert.match(gateway.stderr, off ? /security is off: every operation is open to anybody/ : /1 of 1 operations are open to anybody: GET \/x/);
                if (said)
                    for (const text of /ignore/.test(JSON.stringify(rest)) ? [gateway.stderr] : [gateway.stderr, checked.output])
                        assert.match(text, said);
                assert.equal(ready.open, 1);
                assert.equal(ready.security, off ? 'off' : 'on');
                if (!off)
                    assert.match(checked.stdout, /1 of 1 operations are OPEN to anybody/);
            } finally {
                await gateway.stop();
            }
        });
});

describe('It stays closed:', () => {
    for (const [what, [document, said, options]] of Object.entries(CLOSED))
        test(what, async () => {
            const gateway = await start(document, options);

            try {
                assert.equal((await gateway.call('/a/x')).status, 401);
                const checked = await check(gateway);

                assert.match(checked.stdout, /GET +\/x +requires/);
                assert.doesNotMatch(checked.stdout, /OPEN/);
                assert.equal((await gateway.adminCall('/ready')).json.open, 0);
                if (said)
                    assert.match(gateway.stderr, said);
            } finally {
                await gateway.stop();
            }
        });
});

test('What a way is missing of is said without a gateway too', async () => {
    const dir = temporary();

    fs.writeFileSync(path.join(dir, 'a.json'), documentOf(v30(wants({ token: [] })))['a.json']);
    const result = await run(['config', 'check', 'a.json'], { cwd: dir });

    assert.equal(result.code, 1);
    assert.match(result.output, /issuers: \[\{issuer:/, 'the lines to add');
    assert.match(result.output, /--security off/);
});
