// gateway.mjs - real processes of the program under test.
//
// startGateway() writes documents and tollgate.yaml into a folder of its own,
// starts `tollgate gateway` and resolves when the state directory says that it
// serves. stop() is part of every test: it sends SIGTERM and fails when the
// exit code is not 0 or stderr holds a broken invariant or a sanitizer report.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { config } from './config.mjs';
import { parseMetrics } from './metrics.mjs';
import { call } from './raw.mjs';
import { SLOW, patience, until, within } from './wait.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** The program: $TOLLGATE, or what `make build` leaves behind. */
export const PROGRAM = path.resolve(process.env.TOLLGATE ?? path.join(ROOT, 'build/tollgate'));

/** Memory is only judged where no sanitizer multiplies it. */
export const MEMORY_COUNTS = !SLOW && !process.env.TOLLGATE_SANITIZED;

const ALARM = /AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|MemorySanitizer|runtime error:|"area":"bug"|must hold and does not|assertion failed/i;

const running = new Set();
const followed = new Set(); // process numbers of successors

function kill(pid) {
    try {
        process.kill(pid, 'SIGKILL');
    } catch {
        // it has ended
    }
}

process.on('exit', () => {
    for (const child of running)
        child.kill('SIGKILL');
    followed.forEach(kill);
});

function environment(extra) {
    // What is meant for the tests must not look like settings (TOLLGATE_…).
    const own = Object.entries(process.env).filter(([name]) => !/^TOLLGATE($|_(SLOW|LONG|SANITIZED)$)/.test(name));

    return {
        ...Object.fromEntries(own),
        // Started by root it would become nobody, who may not enter our folders.
        ...(process.getuid() === 0 && { TOLLGATE_GATEWAY_USER: 'root' }),
        TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? 'halt_on_error=0 second_deadlock_stack=1',
        UBSAN_OPTIONS: process.env.UBSAN_OPTIONS ?? 'print_stacktrace=1',
        ...extra,
    };
}

/** A folder that goes away with the test process. */
export function temporary(name = 'tollgate-test-') {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), name));

    process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
    return dir;
}

function launch(args, { cwd, env, wrapper = [], program = PROGRAM } = {}) {
    if (!fs.existsSync(program))
        throw new Error(`${program} is missing: run \`make build\`, or set TOLLGATE`);
    const [command, ...rest] = [...wrapper, program, ...args];
    const child = spawn(command, rest, { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    const state = { child, stdout: '', stderr: '' };

    running.add(child);
    child.stdout.setEncoding('utf8').on('data', (text) => (state.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (state.stderr += text));
    state.exited = new Promise((resolve) => {
        child.on('error', (error) => resolve({ code: null, error }));
        child.on('close', (code, signal) => {
            running.delete(child);
            resolve({ code, signal });
        });
    });
    state.exited.then((exit) => (state.exit = exit));
    return state;
}

/** Runs the program to its end: {code, stdout, stderr, output}. */
export async function run(args, { ms = 20000, ...options } = {}) {
    const state = launch(args, options);

    try {
        const { code, signal, error } = await within(state.exited, ms, `end of tollgate ${args.join(' ')}`);

        if (error)
            throw error;
        assert.doesNotMatch(state.stderr, ALARM);
        return { code, signal, stdout: state.stdout, stderr: state.stderr, output: state.stdout + state.stderr };
    } catch (error) {
        state.child.kill('SIGKILL');
        throw error;
    }
}

function portOf(address) {
    return Number(address.slice(address.lastIndexOf(':') + 1));
}

export class Gateway {
    constructor(dir, stateDir) {
        this.dir = dir;
        this.stateDir = stateDir;
    }

    async start(args, options) {
        fs.rmSync(path.join(this.stateDir, 'addresses.json'), { force: true });
        this.state = launch(args, { cwd: this.dir, ...options });
        this.pid = this.state.child.pid;
        await until(() => this.ready(), { ms: options.startMs ?? 15000, what: 'the gateway to serve' })
            .catch((error) => {
                this.state.child.kill('SIGKILL');
                if (error instanceof GatewayRefused)
                    throw error;
                throw new Error(`${error.message}\n${this.stderr.slice(-4000)}`);
            });
        return this;
    }

    /** Reads addresses.json; throws when the process is gone. */
    ready() {
        if (this.state.exit)
            throw new GatewayRefused(this.state.exit.code, this.stderr);
        let addresses;

        try {
            addresses = JSON.parse(fs.readFileSync(path.join(this.stateDir, 'addresses.json'), 'utf8'));
        } catch {
            return false; // not there yet, or half written
        }
        this.http = addresses.http ?? [];
        this.https = addresses.https ?? [];
        this.admin = addresses.admin ?? [];
        this.port = this.http.length ? portOf(this.http[0]) : undefined;
        this.tlsPort = this.https.length ? portOf(this.https[0]) : undefined;
        this.adminPort = this.admin.length ? portOf(this.admin[0]) : undefined;
        return true;
    }

    get stderr() {
        return this.state.stderr;
    }

    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    get tlsUrl() {
        return `https://localhost:${this.tlsPort}`;
    }

    /** The lines of stderr that are JSON. */
    logs() {
        return this.stderr.split('\n').flatMap((line) => {
            try {
                return line ? [JSON.parse(line)] : [];
            } catch {
                return [];
            }
        });
    }

    /** One call on a fresh connection. */
    call(target, options) {
        return call(this.port, target, options);
    }

    adminCall(target, options) {
        return call(this.adminPort, target, options);
    }

    async metrics() {
        const answer = await this.adminCall('/metrics');

        assert.equal(answer.status, 200);
        return parseMetrics(answer.text);
    }

    /** Resident memory in bytes. */
    rss() {
        const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');

        return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024;
    }

    /** Open descriptors. */
    fds() {
        return fs.readdirSync(`/proc/${this.pid}/fd`).length;
    }

    file(name) {
        return path.join(this.dir, name);
    }

    /** Writes a document (object or text) or any other file, whole at once. */
    write(name, content) {
        const at = this.file(name);

        fs.mkdirSync(path.dirname(at), { recursive: true });
        fs.writeFileSync(`${at}.new`, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
        fs.renameSync(`${at}.new`, at);
        return at;
    }

    remove(name) {
        fs.rmSync(this.file(name));
    }

    /** Replaces tollgate.yaml; what is not given stays as it was. */
    configure(options) {
        this.options = { ...this.options, ...options };
        this.write('tollgate.yaml', config(this.options));
    }

    /** `tollgate reload`: {code, stdout, stderr, output}. */
    reload() {
        return run(['reload', '--state-dir', this.stateDir], { cwd: this.dir });
    }

    async mustReload() {
        const result = await this.reload();

        assert.equal(result.code, 0, `reload was refused:\n${result.output}`);
    }

    /** `tollgate apikey new …args`, which must work: what it prints with --json. */
    async newKey(...args) {
        const made = await run(['apikey', 'new', '--json', '--state-dir', this.stateDir, ...args]);

        assert.equal(made.code, 0, made.output);
        return JSON.parse(made.stdout);
    }

    /** What `tollgate explain` tells of the answer. */
    async explain(answer) {
        return (await run(['explain', answer.header('activityid'), '--state-dir', this.stateDir])).stdout;
    }

    /** `tollgate upgrade`; this object is the successor afterwards, when there is one. */
    async upgrade() {
        const result = await run(['upgrade', '--state-dir', this.stateDir], { cwd: this.dir, ms: 90000 });

        this.follow();
        return result;
    }

    /** Looks who owns the state folder now. */
    follow() {
        this.pid = Number(fs.readFileSync(path.join(this.stateDir, 'pid'), 'utf8'));
        followed.add(this.pid);
        this.ready();
    }

    signal(name) {
        this.ending ||= name === 'SIGTERM' || name === 'SIGINT';
        process.kill(this.pid, name);
    }

    /** Ends the process in the orderly way and looks at what it left. */
    async stop({ ms = 40000 } = {}) {
        if (this.stopped)
            return;
        this.stopped = true;
        if (!this.state.exit && !this.ending) // a second signal would mean: at once
            this.signal('SIGTERM');
        let exit; // of the first process; its pipes close with the last one

        try {
            exit = await within(this.state.exited, ms, 'end of the gateway after SIGTERM');
        } finally {
            this.state.child.kill('SIGKILL');
            kill(this.pid);
        }
        this.check();
        assert.deepEqual([exit.code, exit.signal], [0, null], `the gateway ended badly:\n${this.stderr.slice(-4000)}`);
    }

    /** No broken invariant, no sanitizer report so far. */
    check() {
        const alarm = ALARM.exec(this.stderr);

        assert.ok(!alarm, `stderr holds an alarm:\n${this.stderr.slice(Math.max(0, (alarm?.index ?? 0) - 500)).slice(0, 6000)}`);
    }
}

/** The gateway ended before it served. */
export class GatewayRefused extends Error {
    constructor(code, stderr) {
        super(`the gateway did not start (exit ${code}):\n${stderr.slice(-4000)}`);
        this.code = code;
        this.stderr = stderr;
    }
}

/**
 * Starts a gateway. documents: {name: object or text}; tls: {certificate, key,
 * clientCa, clientVerify} adds a TLS listener; apis: default one per document;
 * args, env, wrapper: of the process; everything else goes to config.mjs.
 */
export async function startGateway({ documents = {}, files = {}, apis, tls, listeners, args = [], env, wrapper, program, startMs, ...options } = {}) {
    const dir = temporary();
    const gateway = new Gateway(dir, path.join(dir, 'state'));

    for (const [name, content] of Object.entries({ ...documents, ...files }))
        gateway.write(name, content);
    gateway.configure({
        stateDir: gateway.stateDir,
        listeners: listeners ?? [{ address: '127.0.0.1:0' }, ...(tls ? [{ address: '127.0.0.1:0', tls }] : [])],
        apis: (apis ?? Object.keys(documents)).map((api) => absolute(dir, api)),
        threads: 1,
        admin: { address: '127.0.0.1:0' },
        ...options,
    });
    return gateway.start(['gateway', '--config', gateway.file('tollgate.yaml'), ...args], { env, wrapper, program, startMs });
}

function absolute(dir, api) {
    if (typeof api === 'string')
        return path.resolve(dir, api);
    return { ...api, path: path.resolve(dir, api.path) };
}

/** Starts a gateway by flags alone: `tollgate gateway …args`. */
export function startGatewayByFlags(args, { dir = temporary(), ...options } = {}) {
    const stateDir = path.join(dir, 'state');
    const gateway = new Gateway(dir, stateDir);

    return gateway.start(['gateway', '--state-dir', stateDir, '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', ...args], options);
}

/** Fails unless the answer is a documented JSON error of the gateway. */
export function assertError(answer, status, code) {
    assert.ok([status].flat().includes(answer.status), `status ${answer.status}, expected ${status}: ${answer.text.slice(0, 300)}`);
    assert.match(answer.header('content-type') ?? '', /^application\/json/);
    const body = answer.json;

    assert.equal(typeof body.code, 'string', 'code is a string');
    if (code instanceof RegExp)
        assert.match(body.code, code);
    else if (code !== undefined)
        assert.ok([code].flat().includes(body.code), `code ${body.code}, expected ${code}`);
    for (const key of ['message', 'description'])
        assert.equal(typeof body[key], 'string', `${key} is a string`);
    return body;
}
