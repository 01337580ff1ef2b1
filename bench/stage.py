"""stage.py - the programs that rows compare, started when first asked for.

Every proxy has the same doors, each a port: plain, upload (before the backend
that reads bodies), tls, tls-bare (TLS without session tickets, where the proxy
can be told so), log (with an access log), h2c and h2 (HTTP/2, clear and TLS) and
grpc (before the backend that speaks HTTP/2).
"""

import os
import shutil
import subprocess

import documents
import policies
from programs import Program, Trouble, free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = [100, 333, 1024, 5120, 10240, 37888, 102400, 1048576]
APIS = 1000
KEPT = 100000000  # calls on one connection: as good as no limit
DOORS = ("plain", "upload", "tls", "tls-bare", "log", "h2c", "h2", "grpc")

NGINX_BASE = """\
{modules}daemon off;
{user}
pid {dir}/{name}.pid;
error_log {dir}/{name}.err;
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    server_tokens off;
    default_type application/json;
    keepalive_requests {kept};
    keepalive_timeout 600s;
    client_body_temp_path {dir}/{name}-body;
    proxy_temp_path {dir}/{name}-proxy;
    fastcgi_temp_path {dir}/{name}-fastcgi;
    uwsgi_temp_path {dir}/{name}-uwsgi;
    scgi_temp_path {dir}/{name}-scgi;
{rest}
}}
"""

NGINX_PROXY = """\
    client_max_body_size 0;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive 256;
        keepalive_requests {kept};
        keepalive_timeout 600s;
    }}
    upstream uploads {{
        server 127.0.0.1:{uploads};
        keepalive 256;
        keepalive_requests {kept};
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        location / {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{log} backlog=4096;
        access_log {dir}/{name}.log combined buffer=256k flush=5s;
        location / {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{upload} backlog=4096;
        proxy_request_buffering off;
        location / {{ proxy_pass http://uploads; }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl backlog=4096;
        location / {{ proxy_pass http://backend; }}
    }}
    http2_max_concurrent_streams 1000;
    server {{
        listen 127.0.0.1:{h2c} http2 backlog=4096;
        location / {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{h2} ssl http2 backlog=4096;
        location / {{ proxy_pass http://backend; }}
    }}
    upstream speaks_h2 {{
        server 127.0.0.1:{backend_h2};
        keepalive 256;
        keepalive_requests {kept};
    }}
    server {{
        listen 127.0.0.1:{grpc} http2 backlog=4096;
        location / {{ grpc_pass grpc://speaks_h2; }}
    }}
    server {{
        listen 127.0.0.1:{tls-bare} ssl backlog=4096;
        ssl_session_tickets off;
        ssl_session_cache off;
        location / {{ proxy_pass http://backend; }}
    }}
"""

HAPROXY = """\
global
    nbthread {threads}
    maxconn 8000
defaults
    mode http
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    timeout http-keep-alive 600s
    http-reuse always
frontend plain
    bind 127.0.0.1:{plain} backlog 4096
    default_backend backend
frontend upload
    bind 127.0.0.1:{upload} backlog 4096
    default_backend uploads
frontend tls
    bind 127.0.0.1:{tls} ssl crt {dir}/both.pem alpn http/1.1 backlog 4096
    default_backend backend
frontend h2c
    bind 127.0.0.1:{h2c} proto h2 backlog 4096
    default_backend backend
frontend h2
    bind 127.0.0.1:{h2} ssl crt {dir}/both.pem alpn h2 backlog 4096
    default_backend backend
frontend grpc
    bind 127.0.0.1:{grpc} proto h2 backlog 4096
    default_backend speaks_h2
backend speaks_h2
    server one 127.0.0.1:{backend_h2} proto h2
backend backend
    server one 127.0.0.1:{backend}
backend uploads
    server one 127.0.0.1:{uploads}
"""

TOLLGATE = """\
state_dir: {dir}/{name}.state
gateway:
  threads: {threads}
  listeners:
    - 127.0.0.1:{plain}
    - address: 127.0.0.1:{tls}
      tls: {{ certificate: {dir}/cert.pem, key: {dir}/key.pem }}
  admin: {{ address: '127.0.0.1:{admin}' }}
  apis: [ {apis} ]
"""


class Stage:
    """Owns a temporary folder and everything that runs in it."""

    def __init__(self, folder, tollgate, proxy_core, load_core):
        self.dir = folder
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.running = {}
        self.folders = {}
        # The binary may be built anew while we measure: keep this one.
        self.tollgate = shutil.copy2(tollgate, self.path("tollgate"))
        os.chmod(folder, 0o755)
        self.make_certificate()
        self.backends = free_ports(2)
        self.backend_h2 = free_ports(1)[0]
        self.start_backends()
        self.new_session = self.compile("new-session", "-shared", "-fPIC")
        self.tokens = policies.Tokens(self)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def make_certificate(self):
        key, cert = self.path("key.pem"), self.path("cert.pem")
        for argv in (
            "ecparam -name prime256v1 -genkey -noout -out " + key,
            "req -x509 -new -subj /CN=localhost -days 7"
            " -addext subjectAltName=DNS:localhost"
            " -key %s -out %s" % (key, cert),
        ):
            subprocess.run(
                ["openssl"] + argv.split(), check=True, capture_output=True
            )
        with open(cert) as c, open(key) as k:
            self.write("both.pem", c.read() + k.read())

    def start(self, name, argv, cores, env=None):
        log = self.path(name + ".out")
        p = self.running[name] = Program(argv, log, cores, env)
        return p

    def end(self, *names):
        for name in names or reversed(list(self.running)):
            p = self.running.pop(name, None)
            if p:
                p.end()

    def keep_only(self, names):
        """End what the next row has no use for; backends stay."""
        for name in list(self.running):
            if name not in names and not name.startswith("backend"):
                self.end(name)

    def compile(self, name, *options, libraries=()):
        """The path of what bench/NAME.c becomes."""
        out = self.path(name)
        source = os.path.join(HERE, name + ".c")
        cc = [os.environ.get("CC", "cc"), "-O2", "-D_GNU_SOURCE"]
        cc += [*options, "-o", out, source, *libraries]
        subprocess.run(cc, check=True)
        return out

    # --- backends ---

    def start_backends(self):
        content, uploads = self.backends
        os.makedirs(self.path("www", documents.MEASURED[1:], "bytes"))
        places = []
        for size in SIZES:
            target = "%s/bytes/%d" % (documents.MEASURED, size)
            if size <= 2048:
                places.append(
                    "        location = %s { return 200 '%s'; }"
                    % (target, "x" * size)
                )
            self.write("www" + target, "x" * size)
        rest = (
            "    sendfile on; tcp_nopush on; open_file_cache max=100;\n"
            "    server {\n        listen 127.0.0.1:%d backlog=4096;\n"
            "        root %s;\n%s\n    }"
            % (content, self.path("www"), "\n".join(places))
        )
        conf = self.nginx_conf("backend", 1, rest)
        self.start("backend", self.nginx_argv(conf), [self.load_core])
        program = self.compile("uploads")
        self.start(
            "backend-uploads", [program, str(uploads)], [self.load_core]
        )
        argv = ["nghttpd", "--no-tls", "-n1", "--echo-upload"]
        argv += ["-m1000", "-d", self.path("www"), str(self.backend_h2)]
        self.start("backend-h2", argv, [self.load_core])
        self.running["backend"].wait_port(content)
        self.running["backend-h2"].wait_port(self.backend_h2)
        self.running["backend-uploads"].wait_port(uploads)

    def backend_us(self):
        return sum(
            sum(p.spent()[:2])
            for name, p in self.running.items()
            if name.startswith("backend")
        )

    # --- proxies; a name is program[-variant] ---

    def get(self, name):
        """The running program; its doors are ports by name."""
        if name not in self.running:
            program, _, variant = name.partition("-")
            start = {
                "nginx": self.start_nginx,
                "haproxy": self.start_haproxy,
                "relay": self.start_relay,
                "tollgate": self.start_tollgate,
            }[program]
            start(name, variant)
        p = self.running[name]
        p.must_live()
        return p

    def cores_for(self, variant):
        if variant == "2":
            return [self.proxy_core, self.load_core]
        return [self.proxy_core]

    def nginx_argv(self, conf):
        return ["nginx", "-p", self.dir, "-e", conf + ".err", "-c", conf]

    def nginx_conf(self, name, workers, rest, modules=""):
        text = NGINX_BASE.format(
            modules=modules,
            user="user root;" if os.geteuid() == 0 else "",
            dir=self.dir,
            name=name,
            workers=workers,
            files=20000,
            connections=19000,
            kept=KEPT,
            rest=rest,
        )
        return self.write(name + ".conf", text)

    def start_nginx(self, name, variant):
        """Variants: 2 (workers), lua (rows with policies; one door)."""
        if variant == "lua":
            self.start_nginx_lua(name)
            return
        doors = dict(zip(DOORS, free_ports(len(DOORS))))
        rest = NGINX_PROXY.format(
            dir=self.dir,
            name=name,
            kept=KEPT,
            backend=self.backends[0],
            uploads=self.backends[1],
            backend_h2=self.backend_h2,
            **doors,
        )
        conf = self.nginx_conf(name, 2 if variant == "2" else 1, rest)
        p = self.start(name, self.nginx_argv(conf), self.cores_for(variant))
        p.doors = doors
        p.wait_port(doors["plain"])

    def start_nginx_lua(self, name):
        port = free_ports(1)[0]
        rest = policies.lua(self, port, self.backends[0], KEPT)
        conf = self.nginx_conf(name, 1, rest, policies.LUA_MODULES)
        p = self.start(name, self.nginx_argv(conf), [self.proxy_core])
        p.doors = {"plain": port}
        p.wait_port(port)

    def start_haproxy(self, name, variant):
        doors = dict(zip(DOORS, free_ports(len(DOORS))))
        conf = self.write(
            name + ".conf",
            HAPROXY.format(
                dir=self.dir,
                threads=2 if variant == "2" else 1,
                backend=self.backends[0],
                uploads=self.backends[1],
                backend_h2=self.backend_h2,
                **doors,
            ),
        )
        argv = ["haproxy", "-db", "-f", conf]
        p = self.start(name, argv, self.cores_for(variant))
        p.doors = doors
        p.wait_port(doors["plain"])

    def start_relay(self, name, _):
        port = free_ports(1)[0]
        argv = [self.compile("relay"), str(port), str(self.backends[0])]
        p = self.start(name, argv, [self.proxy_core])
        p.doors = {"plain": port}
        p.wait_port(port)

    def apis(self, others, nouns=1, h2=False, more=""):
        """A folder of documents, made once; more: for the measured one."""
        key = "apis-%d-%d-%d-%d" % (others, nouns, h2, bool(more))
        if key not in self.folders:
            ports = [self.backend_h2] * 2 if h2 else self.backends
            self.folders[key] = documents.folder(
                self.path(key),
                *("127.0.0.1:%d" % port for port in ports),
                others,
                nouns,
                "h2c" if h2 else "http",
                more,
            )
        return self.folders[key]

    def tollgate_argv(self, name, apis, doors, threads=1, more=""):
        conf = TOLLGATE.format(
            dir=self.dir,
            name=name,
            threads=threads,
            apis=apis,
            admin=free_ports(1)[0],
            **doors,
        )
        path = self.write(name + ".yaml", conf + more)
        return [self.tollgate, "gateway", "--config", path]

    def start_tollgate(self, name, variant, under=(), env=None):
        """Variants: log, 2 (threads), one (API), routes (50,000), h2 (a
        backend that speaks HTTP/2), all (policies)."""
        doors = dict(zip(DOORS, free_ports(len(DOORS))))
        doors.update(upload=doors["plain"], log=doors["plain"])
        doors["tls-bare"] = doors["h2"] = doors["tls"]
        doors["h2c"] = doors["grpc"] = doors["plain"]
        apis = self.apis(
            {"one": 0}.get(variant, APIS),
            {"routes": 10}.get(variant, 1),
            variant == "h2",
            policies.DOCUMENT if variant == "all" else "",
        )
        more = ""
        if variant == "log":
            more = "  access_log: { file: %s.log }\n" % self.path(name)
        if variant == "all":
            more = policies.tollgate(self, name)
        argv = self.tollgate_argv(
            name, apis, doors, 2 if variant == "2" else 1, more
        )
        cores = None if under else self.cores_for(variant)
        p = self.start(name, list(under) + argv, cores, env)
        p.doors = doors
        p.wait_port(doors["plain"], 120 if under else 30)
        return p


def must_have(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Trouble("%s is missing: tools/setup.sh bench" % program)
