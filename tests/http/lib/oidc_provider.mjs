// oidc_provider.mjs - the program that issuers.mjs starts: oidc-provider with
// the client credentials grant, signed tokens for a resource and opaque ones
// without, and introspection. Lines of JSON on standard input give it its
// keys: {"keys": [private JWK, …]}, the first signs; it says "ready" each time.
import http from 'node:http';
import readline from 'node:readline';

import { Provider } from 'oidc-provider';

const [port, issuer] = process.argv.slice(2);
const stored = new Map(); // outlives a change of keys

class Memory {
    constructor(kind) {
        this.kind = kind;
    }

    async upsert(id, payload) {
        stored.set(`${this.kind} ${id}`, payload);
    }

    async find(id) {
        return stored.get(`${this.kind} ${id}`);
    }

    async destroy(id) {
        stored.delete(`${this.kind} ${id}`);
    }

    async consume() {}
    async findByUserCode() {}
    async findByUid() {}
    async revokeByGrantId() {}
}

const client = (id, alg) => ({
    client_id: id, client_secret: `secret-of-${id}-that-is-long-enough`,
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: 'read write',
    id_token_signed_response_alg: alg, // of which there must be a key
});

function provider(keys) {
    return new Provider(issuer, {
        adapter: Memory,
        jwks: { keys },
        clients: ['app', 'gateway'].map((id) => client(id, keys[0].alg)),
        scopes: ['read', 'write'],
        ttl: { ClientCredentials: 3600 },
        features: {
            devInteractions: { enabled: false },
            clientCredentials: { enabled: true },
            introspection: { enabled: true },
            revocation: { enabled: true },
            resourceIndicators: {
                enabled: true,
                defaultResource: () => undefined,
                getResourceServerInfo: (_, resource) => ({
                    scope: 'read write', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 3600,
                    jwt: { sign: { alg: keys[0].alg } },
                }),
            },
        },
    }).callback();
}

let answer;

http.createServer((req, res) => answer(req, res)).listen(Number(port), '127.0.0.1');
for await (const line of readline.createInterface(process.stdin)) {
    answer = provider(JSON.parse(line).keys);
    console.log('ready');
}
process.exit(); // whoever started it has gone
