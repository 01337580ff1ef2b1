// tls.mjs - a certificate authority for one test file, by the openssl command.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

function openssl(...args) {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class Authority {
    constructor(name = 'Test CA', issued) {
        if (issued) {
            Object.assign(this, issued);
            this.pem = fs.readFileSync(this.certificate, 'utf8');
            return;
        }
        this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-tls-'));
        process.on('exit', () => fs.rmSync(this.dir, { recursive: true, force: true }));
        this.certificate = path.join(this.dir, 'ca.pem');
        this.key = path.join(this.dir, 'ca-key.pem');
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-subj', `/CN=${name}`, '-days', '30', '-keyout', this.key, '-out', this.certificate,
            '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
        this.pem = fs.readFileSync(this.certificate, 'utf8');
    }

    /**
     * A leaf certificate; names: DNS names and IP addresses. ca: one between, with
     * `authority` to issue others by.
     */
    issue(name, { names = ['localhost', '127.0.0.1'], client = false, ca = false } = {}) {
        const at = (suffix) => path.join(this.dir, `${name}${suffix}`);
        const alt = names.map((n) => (/^[0-9.]+$|:/.test(n) ? `IP:${n}` : `DNS:${n}`)).join(',');

        fs.writeFileSync(at('.ext'), ca ? 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' : `extendedKeyUsage=${client ? 'clientAuth' : 'serverAuth'}\n` +
            `basicConstraints=CA:FALSE\n${client ? '' : `subjectAltName=${alt}\n`}`);
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-subj', `/CN=${name}`, '-keyout', at('-key.pem'), '-out', at('.csr'));
        openssl('x509', '-req', '-in', at('.csr'), '-CA', this.certificate, '-CAkey', this.key,
            '-CAcreateserial', '-days', '20', '-extfile', at('.ext'), '-out', at('.pem'));
        return {
            name,
            certificate: at('.pem'),
            key: at('-key.pem'),
            certificatePem: fs.readFileSync(at('.pem'), 'utf8'),
            keyPem: fs.readFileSync(at('-key.pem'), 'utf8'),
            ...(ca && { authority: new Authority(name, { dir: this.dir, certificate: at('.pem'), key: at('-key.pem') }) }),
        };
    }
}
