// nginx.mjs - a real nginx in front of the gateway, as a balancer that ends TLS.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { temporary } from './gateway.mjs';
import { until } from './wait.mjs';

export const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((at) => fs.existsSync(at));

function freePort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer().on('error', reject).listen(0, '127.0.0.1', () => {
            const { port } = server.address();

            server.close(() => resolve(port));
        });
    });
}

function connects(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));

        socket.on('connect', () => socket.destroy());
    });
}

export class Nginx {
    /** server: lines of its server block, given the port to listen on. */
    async start(server) {
        const dir = temporary('tollgate-nginx-');
        const conf = path.join(dir, 'nginx.conf');
        const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${dir}/${what};`).join(' ');

        this.port = await freePort();
        fs.writeFileSync(conf, `${process.getuid() === 0 ? 'user root;' : ''} daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
            events { worker_connections 64; }
            http { access_log off; ${places} server { ${server(this.port)} } }`);
        this.child = spawn(NGINX, ['-c', conf, '-p', dir, '-e', `${dir}/error.log`], { stdio: 'ignore' });
        process.on('exit', () => this.child.kill('SIGKILL'));
        await until(() => connects(this.port), { what: `nginx (${dir}/error.log)` });
        return this;
    }

    stop() {
        return new Promise((resolve) => {
            this.child.once('exit', resolve);
            this.child.kill('SIGTERM');
        });
    }
}
