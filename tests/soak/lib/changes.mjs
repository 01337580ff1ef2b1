// changes.mjs - what an operator does to a gateway all day, one every 5 s.
//
// Each change is checked: it is served when it is good; when it is bad the
// message names the place, and everything is as before.
import assert from 'node:assert/strict';
import fs from 'node:fs';

import { openapi } from '../../http/lib/document.mjs';
import { connect } from '../../http/lib/raw.mjs';
import { until } from '../../http/lib/wait.mjs';

const GUESTS = 10;

const BROKEN = 'openapi: 3.0.3\ninfo: {title: X, version: "1"}\npaths:\n  /x:\n   get: [unclosed\n';

export class Changes {
    made = 0;
    lines = 0; // of access logs that were moved away and read
    moving = { served: 1, loading: 1 };
    guest = 0;
    certificate = 0;

    constructor(gateway, { url, ca, certificates }) {
        Object.assign(this, { gateway, url, ca, certificates });
        this.steps = [this.changeApi, this.addApi, this.giveBadDocument, this.rotateLog, this.replaceCertificate,
            this.removeApi, this.giveBadSettings, this.changeApiBySignal, this.giveWrongKey, this.rotateLog];
    }

    async next() {
        await this.steps[this.made % this.steps.length].call(this);
        this.made++;
    }

    writeMoving(version) {
        this.moving.loading = version;
        this.gateway.write('apis/moving.json', openapi({ title: 'Moving', context: '/moving', endpoints: `${this.url}/v${version}` }));
    }

    async changeApi() {
        this.writeMoving(this.moving.served + 1);
        await this.gateway.mustReload();
        this.moving.served = this.moving.loading;
    }

    async changeApiBySignal() {
        this.writeMoving(this.moving.served + 1);
        this.gateway.signal('SIGHUP');
        await until(async () => (await this.gateway.call('/moving/t/x')).header('x-path')?.startsWith(`/v${this.moving.loading}/`), { what: 'the new version to be served' });
        this.moving.served = this.moving.loading;
    }

    async addApi() {
        const name = `guest${++this.guest % GUESTS}`;

        this.gateway.write(`apis/${name}.json`, openapi({ title: name, context: `/${name}`, endpoints: this.url }));
        this.gateway.signal('SIGHUP');
        await until(async () => (await this.gateway.call(`/${name}/t/x`)).status === 200, { what: 'the new API to be served' });
    }

    async removeApi() {
        const name = `guest${this.guest % GUESTS}`;

        this.gateway.remove(`apis/${name}.json`);
        await this.gateway.mustReload();
        assert.equal((await this.gateway.call(`/${name}/t/x`)).status, 404, `${name} is served on`);
    }

    /** A reload that must be refused, with a message like this. */
    async mustRefuse(message) {
        const { version } = (await this.gateway.adminCall('/ready')).json;
        const result = await this.gateway.reload();

        assert.equal(result.code, 1, 'a bad configuration was taken');
        assert.match(result.stderr, message);
        const ready = await this.gateway.adminCall('/ready');

        assert.deepEqual([ready.status, ready.json.version], [200, version]);
    }

    async giveBadDocument() {
        this.gateway.write('apis/broken.yaml', BROKEN);
        this.gateway.write('apis/extra.json', openapi({ title: 'Extra', context: '/extra', endpoints: this.url }));
        try {
            await this.mustRefuse(/broken\.yaml:[5-7]/);
            assert.equal((await this.gateway.call('/extra/t/x')).status, 404, 'a part of it is served');
        } finally {
            this.gateway.remove('apis/broken.yaml');
            this.gateway.remove('apis/extra.json');
        }
    }

    async giveBadSettings() {
        const good = fs.readFileSync(this.gateway.file('tollgate.yaml'), 'utf8');

        this.gateway.write('tollgate.yaml', `${good}  thread: 3\n`);
        try {
            await this.mustRefuse(/tollgate\.yaml:\d+.*threads/s);
        } finally {
            this.gateway.write('tollgate.yaml', good);
        }
    }

    writeCertificate({ certificatePem, keyPem }) {
        this.gateway.write('cert.pem', certificatePem);
        this.gateway.write('key.pem', keyPem);
    }

    current() {
        return this.certificates[this.certificate % this.certificates.length];
    }

    async shown() {
        const client = await connect(this.gateway.tlsPort, { tls: { ca: this.ca.pem } });

        try {
            return client.socket.getPeerCertificate().subject.CN;
        } finally {
            client.destroy();
        }
    }

    async replaceCertificate() {
        this.certificate++;
        this.writeCertificate(this.current());
        await this.gateway.mustReload();
        assert.equal(await this.shown(), this.current().name);
    }

    async giveWrongKey() {
        const other = this.certificates[(this.certificate + 1) % this.certificates.length];

        this.gateway.write('key.pem', other.keyPem);
        try {
            await this.mustRefuse(/key\.pem|cert\.pem/);
            assert.equal(await this.shown(), this.current().name);
        } finally {
            this.writeCertificate(this.current());
        }
    }

    /** Moves the access log away; the one moved before is complete by now. */
    async rotateLog() {
        const log = this.gateway.file('access.log');

        this.readRotated();
        fs.renameSync(log, `${log}.1`);
        await this.gateway.mustReload();
        await until(() => fs.existsSync(log) && fs.statSync(log).size > 0, { what: 'lines in the new access log' });
    }

    readRotated() {
        const old = this.gateway.file('access.log.1');

        if (fs.existsSync(old)) {
            this.lines += countLines(old);
            fs.rmSync(old);
        }
    }

    /** All lines that were ever written, each looked at. */
    countAll() {
        this.readRotated();
        return this.lines + countLines(this.gateway.file('access.log'));
    }
}

function countLines(file) {
    const lines = fs.readFileSync(file, 'utf8').split('\n');

    assert.equal(lines.pop(), '', `${file} ends inside a line`);
    for (const line of lines) {
        const { target, status, activityid } = JSON.parse(line);

        assert.ok(typeof target === 'string' && status >= 0 && activityid, `a line without its values: ${line}`);
    }
    return lines.length;
}
