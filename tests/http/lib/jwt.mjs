// jwt.mjs - signed tokens from node's crypto, for tests.
import crypto from 'node:crypto';

const b64 = (x) => Buffer.from(typeof x === 'string' || Buffer.isBuffer(x) ? x : JSON.stringify(x)).toString('base64url');

const HASH = { 256: 'sha256', 384: 'sha384', 512: 'sha512' };

function pair(alg) {
    if (/^[RP]S/.test(alg))
        return crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
    if (alg === 'EdDSA')
        return crypto.generateKeyPairSync('ed25519');
    return crypto.generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] });
}

function signature(alg, key, input) {
    const hash = HASH[alg.slice(2)];

    if (alg.startsWith('HS'))
        return crypto.createHmac(hash, key).update(input).digest();
    if (alg === 'EdDSA')
        return crypto.sign(null, input, key);
    if (alg.startsWith('PS'))
        return crypto.sign(hash, input, { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST });
    return crypto.sign(hash, input, alg.startsWith('ES') ? { key, dsaEncoding: 'ieee-p1363' } : key);
}

/** An issuer of tokens with a key of its own. */
export class Issuer {
    constructor({ issuer = 'https://issuer.test', alg = 'ES256', kid = 'k1', secret } = {}) {
        Object.assign(this, { issuer, alg, kid, secret });
        if (!secret)
            Object.assign(this, pair(alg));
    }

    get jwk() {
        return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, alg: this.alg, use: 'sig' };
    }

    get jwks() {
        return { keys: [this.jwk] };
    }

    /** A token with these claims; undefined takes one of the usual ones away. */
    token(claims = {}, header = {}) {
        const now = Math.floor(Date.now() / 1000);
        const input = `${b64({ alg: this.alg, typ: 'JWT', kid: this.kid, ...header })}.${b64({
            iss: this.issuer, sub: 'alice', azp: 'app-1', iat: now, exp: now + 600, ...claims,
        })}`;

        return `${input}.${b64(signature(this.alg, this.secret ?? this.privateKey, Buffer.from(input)))}`;
    }
}

export const bearer = (token) => ({ Authorization: `Bearer ${token}` });
