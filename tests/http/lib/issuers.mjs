// issuers.mjs - real authorization servers, each a process of its own:
// oidc-provider (npm) and glewlwyd (Debian).
//
// Both have a client "app", which gets tokens with the scopes read and write by
// client credentials, and answer introspection. start(), token(), rotate() and
// stop() are alike; start() after stop() is the same issuer again.
import { spawn, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporary } from './gateway.mjs';
import { freePort } from './upstream.mjs';
import { until, within } from './wait.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const PAIRS = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }] };

/** A private key as both programs take it. */
function newKey(alg, kid) {
    const { privateKey } = crypto.generateKeyPairSync(...PAIRS[alg]);

    return { ...privateKey.export({ format: 'jwk' }), alg, kid, use: 'sig' };
}

const basic = (id, secret) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

class Server {
    count = 0;

    launch(command, args, options) {
        this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
        this.output = '';
        for (const stream of [this.child.stdout, this.child.stderr])
            stream.setEncoding('utf8').on('data', (text) => (this.output += text));
        this.child.stdin.on('error', () => {});
        const { child } = this;

        this.exited = new Promise((resolve) => child.on('close', resolve));
        this.child.on('error', (error) => (this.output += error.message));
        process.on('exit', () => child.kill('SIGKILL'));
    }

    /** The port must be the same after a pause; nobody else asks for it here. */
    async place() {
        this.port ??= await freePort();
        this.url = `http://127.0.0.1:${this.port}`;
    }

    async answers(target) {
        await until(async () => (await fetch(this.url + target).catch(() => null))?.ok,
            { ms: 15000, every: 50, what: `${this.name} to answer; it said: ${this.output}` });
    }

    async stop() {
        this.child.kill('SIGKILL');
        await within(this.exited, 5000, `end of ${this.name}`);
    }

    async askToken(target, body) {
        const response = await fetch(this.url + target, {
            method: 'POST', headers: { Authorization: basic('app', this.secret) },
            body: new URLSearchParams({ grant_type: 'client_credentials', ...body }),
        });
        const answer = await response.json();

        if (!answer.access_token)
            throw new Error(`${this.name} gave no token: ${response.status} ${JSON.stringify(answer)}`);
        return answer.access_token;
    }
}

export class OidcProvider extends Server {
    name = 'oidc-provider';
    secret = 'secret-of-app-that-is-long-enough';
    gateway = { clientId: 'gateway', secret: 'secret-of-gateway-that-is-long-enough' };
    keys = [newKey('ES256', 'o1')];

    async start() {
        await this.place();
        this.issuer = this.url;
        this.jwks = `${this.url}/jwks`;
        this.introspection = `${this.url}/token/introspection`;
        this.launch(process.execPath, [path.join(HERE, 'oidc_provider.mjs'), String(this.port), this.issuer]);
        await this.takeKeys();
        await this.answers('/jwks');
        return this;
    }

    async takeKeys() {
        const before = this.output.split('ready').length;

        this.child.stdin.write(`${JSON.stringify({ keys: this.keys })}\n`);
        await until(() => this.output.split('ready').length > before, { ms: 15000, what: `oidc-provider to take its keys: ${this.output}` });
    }

    /** Signs with a new key; those before stay in the set. */
    async rotate() {
        this.keys = [newKey('ES256', `o${this.keys.length + 1}`), ...this.keys];
        await this.takeKeys();
    }

    /** Signed, for https://api.test. */
    token(scope = 'read') {
        return this.askToken('/token', { scope, resource: 'https://api.test' });
    }

    opaqueToken(scope = 'read') {
        return this.askToken('/token', { scope });
    }

    async revoke(token) {
        const response = await fetch(`${this.url}/token/revocation`, {
            method: 'POST', headers: { Authorization: basic('app', this.secret) }, body: new URLSearchParams({ token }),
        });

        if (!response.ok)
            throw new Error(`not revoked: ${response.status} ${await response.text()}`);
    }
}

const SCHEMA = '/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3';
const LOAD = 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())';

/** All its tokens are signed; it answers questions about them as well. */
export class Glewlwyd extends Server {
    name = 'glewlwyd';
    secret = 'secret-of-app';
    gateway = { clientId: 'app', secret: this.secret };
    keys = [newKey('RS256', 'g1')];

    static get missing() {
        return !fs.existsSync('/usr/bin/glewlwyd') && 'glewlwyd is missing: tools/setup.sh test';
    }

    configuration() {
        return `port=${this.port}
bind_address="127.0.0.1"
external_url="${this.url}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="ERROR"
cookie_secure=0
session_key="SESSION"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA512"
database = { type = "sqlite3"; path = "${this.dir}/database" };
`;
    }

    async start() {
        const first = !this.dir;

        await this.place();
        this.issuer = `${this.url}/api/oidc`;
        this.jwks = `${this.issuer}/jwks`;
        this.introspection = `${this.issuer}/introspect`;
        if (first)
            this.makeDatabase();
        this.launch('/usr/bin/glewlwyd', [`--config-file=${this.dir}/glewlwyd.conf`]);
        await this.answers('/config');
        if (first)
            await this.setUp();
        await this.answers('/api/oidc/jwks');
        return this;
    }

    makeDatabase() {
        this.dir = temporary();
        const made = spawnSync('python3', ['-c', LOAD, `${this.dir}/database`, SCHEMA], { encoding: 'utf8' });

        if (made.status !== 0)
            throw new Error(`no database for glewlwyd: ${made.stderr}`);
        fs.writeFileSync(`${this.dir}/glewlwyd.conf`, this.configuration());
    }

    /** A call of its administration, as the administrator its schema knows. */
    async administer(method, target, body) {
        const headers = { 'Content-Type': 'application/json' };
        const logged = await fetch(`${this.url}/api/auth/`, { method: 'POST', headers, body: JSON.stringify({ username: 'admin', password: 'password' }) });

        headers.Cookie = logged.headers.getSetCookie()[0].split(';')[0];
        const response = await fetch(`${this.url}/api${target}`, { method, headers, body: body && JSON.stringify(body) });

        if (!response.ok)
            throw new Error(`glewlwyd, ${method} ${target}: ${response.status} ${await response.text()}`);
    }

    plugin() {
        return {
            module: 'oidc', name: 'oidc', display_name: 'oidc', enabled: true,
            parameters: {
                iss: this.issuer, 'jwks-private': JSON.stringify({ keys: this.keys }), 'jwks-show': true, 'jwt-type': 'rsa', 'jwt-key-size': '256',
                'access-token-duration': 3600, 'refresh-token-duration': 3600, 'code-duration': 600, 'refresh-token-rolling': false, 'allow-non-oidc': true,
                'auth-type-code-enabled': false, 'auth-type-token-enabled': false, 'auth-type-id-token-enabled': true, 'auth-type-password-enabled': false,
                'auth-type-client-enabled': true, 'auth-type-device-enabled': false, 'auth-type-refresh-enabled': false, 'subject-type': 'public',
                'introspection-revocation-allowed': true, 'introspection-revocation-allow-target-client': true, 'resource-allowed': false,
            },
        };
    }

    async setUp() {
        for (const name of ['read', 'write'])
            await this.administer('POST', '/scope', { name, display_name: name, description: name, password_required: false, scheme: {} });
        await this.administer('POST', '/mod/plugin/', this.plugin());
        await this.administer('POST', '/client/', {
            client_id: 'app', name: 'app', confidential: true, client_secret: this.secret, enabled: true,
            authorization_type: ['client_credentials'], token_endpoint_auth_method: ['client_secret_basic'], scope: ['read', 'write'],
        });
    }

    async rotate() {
        this.keys = [newKey('RS256', `g${this.keys.length + 1}`), ...this.keys];
        await this.administer('PUT', '/mod/plugin/oidc', this.plugin());
        await this.administer('PUT', '/mod/plugin/oidc/reset');
    }

    token(scope = 'read') {
        return this.askToken('/api/oidc/token', { scope });
    }
}
