"""policies.py - what the gateway and nginx with Lua do in rows with policies.

Both take a token they know from its bytes, look at its expiry and scope, count
the call three times (application, user, API; a minute, a day, an hour), take
the token out of the call and leave a record of it. Ours is configured as
anybody would; nginx runs a script of our own that does as little as it can.
"""

import concurrent.futures
import os
import subprocess

from programs import Trouble

ISSUER = "https://idp.example.com/%s"
SCOPE = "bytes:read"
KNOWN = 1000  # tokens that a cached row uses in turn
FRESH = 50000  # more than a thread remembers, several times
MOST = 1000000000  # limits that nobody reaches

# What the measured document says besides paths.
DOCUMENT = """\
x-wso2-throttling-tier: Bench
security:
  - idp: [ "%s" ]
components:
  securitySchemes:
    idp:
      type: oauth2
      flows:
        clientCredentials:
          tokenUrl: https://idp.example.com/token
          scopes: { "%s": Read bytes }
""" % (SCOPE, SCOPE)

TIERS = """\
tiers:
  - name: Bench
    limits:
      - {{ requests: {most}, window: 1m, per: [key] }}
      - {{ requests: {most}, window: 1d, per: [user] }}
      - {{ requests: {most}, window: 1h, per: [api] }}
""".format(most=MOST)

TOLLGATE = """\
  policies: {tiers}
  issuers:
    - {{ issuer: "{rs256}", certificate: {dir}/rs256.pub,
        audiences: [ "https://api.example.com" ] }}
    - {{ issuer: "{es256}", certificate: {dir}/es256.pub,
        audiences: [ "https://api.example.com" ] }}
"""

NO_EVENT = "without events: the program has none"
EVENTS = "  events: { to: file }\n"

# Tokens are known from the start: what it would do with others is not here.
LUA = """\
    lua_shared_dict tokens 16m;
    lua_shared_dict counters 16m;
    lua_shared_dict records 64m;
    lua_package_path "/usr/share/lua/5.1/?.lua;;";
    init_by_lua_block {{
        local tokens = ngx.shared.tokens
        local n = 0
        for token in io.lines("{tokens}") do
            tokens:set(token, (ngx.time() + 86400) .. " app-" .. n .. " user-"
                .. n .. "@example.com  openid profile bytes:read bytes:write ")
            n = n + 1
        end
    }}
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive 256;
        keepalive_requests {kept};
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        location / {{
            access_by_lua_block {{
                local tokens, counters = ngx.shared.tokens, ngx.shared.counters
                local field = ngx.var.http_authorization
                if not field or field:sub(1, 7) ~= "Bearer " then
                    return ngx.exit(401)
                end
                local known = tokens:get(field:sub(8))
                if not known then
                    return ngx.exit(401)
                end
                local ends, app, user, scopes =
                    known:match("^(%d+) (%S+) (%S+) (.*)$")
                local now = ngx.time()
                if tonumber(ends) <= now then
                    return ngx.exit(401)
                end
                if not scopes:find(" {scope} ", 1, true) then
                    return ngx.exit(403)
                end
                local function over(key, window)
                    local begin = now - now % window
                    return counters:incr(key .. begin, 1, 0, window) > {most}
                end
                if over("k" .. app, 60) or over("u" .. user, 86400)
                        or over("a", 3600) then
                    return ngx.exit(429)
                end
                ngx.ctx.app, ngx.ctx.user = app, user
            }}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
            proxy_pass http://backend;
            log_by_lua_block {{
                local records, var = ngx.shared.records, ngx.var
                local count = records:rpush("records", table.concat({{
                    '{{"time":', ngx.now(), ',"method":"', var.request_method,
                    '","uri":"', var.uri, '","status":', var.status,
                    ',"app":"', ngx.ctx.app or "", '","user":"',
                    ngx.ctx.user or "", '","client":"', var.remote_addr,
                    '","bytes":', var.bytes_sent, ',"took":',
                    var.request_time, ',"backend":',
                    var.upstream_response_time, '}}' }}))
                if count and count > 10000 then
                    records:lpop("records")
                end
            }}
        }}
    }}
"""

MODULES = "/usr/lib/nginx/modules/"
LUA_MODULES = (
    "load_module " + MODULES + "ndk_http_module.so;\n"
    "load_module " + MODULES + "ngx_http_lua_module.so;\n"
)


class Tokens:
    """Keys of two issuers, and files of tokens, made when first asked for."""

    def __init__(self, stage):
        self.stage = stage
        self.files = {}
        self.sent = {}
        for alg, kind in (
            ("rs256", "RSA -pkeyopt rsa_keygen_bits:2048"),
            ("es256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ):
            self.openssl("genpkey -algorithm %s -out %s", kind, self.key(alg))
            self.openssl("pkey -in %s -pubout -out %s.pub", self.key(alg),
                         stage.path(alg))
        self.program = stage.compile("tokens", libraries=["-lcrypto"])

    def openssl(self, command, *words):
        argv = ["openssl"] + (command % words).split()
        subprocess.run(argv, check=True, capture_output=True)

    def key(self, alg):
        return self.stage.path(alg + ".key")

    def file(self, kind):
        """kind: known, rs256 or es256, these two many."""
        if kind not in self.files:
            alg, count = ("rs256", KNOWN) if kind == "known" else (kind, FRESH)
            # Half of them on each core.
            half = count // 2
            with concurrent.futures.ThreadPoolExecutor(2) as two:
                texts = two.map(lambda at: self.make(alg, at, half), (0, half))
            self.files[kind] = self.stage.write(kind + ".tokens",
                                                "".join(texts))
        return self.files[kind]

    def make(self, alg, first, count):
        argv = [self.program, alg.upper(), self.key(alg), ISSUER % alg]
        argv += [str(first), str(count)]
        return subprocess.run(
            argv, check=True, capture_output=True, text=True
        ).stdout

    def field(self):
        """Authorization with the first of those that are known."""
        with open(self.file("known")) as f:
            return "Authorization: Bearer " + f.readline().strip()

    def script(self, kind):
        """wrk's script with its words: each run goes on where the last one
        ended, so that none of many comes again while it is remembered."""
        here = os.path.dirname(os.path.abspath(__file__))
        first = self.sent.get(kind, 0)
        return [os.path.join(here, "tokens.lua"), self.file(kind), str(first)]

    def were_sent(self, kind, count):
        self.sent[kind] = self.sent.get(kind, 0) + count


def tollgate(stage, name):
    """The lines of tollgate.yaml, below gateway."""
    text = TOLLGATE.format(
        dir=stage.dir,
        tiers=stage.write("tiers.yaml", TIERS),
        rs256=ISSUER % "rs256",
        es256=ISSUER % "es256",
    )
    if has_events(stage):
        text += EVENTS
    return text


def has_events(stage):
    argv = [stage.tollgate, "config", "reference"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True)
    return "\n## gateway.events\n" in said.stdout


def must_have_lua():
    if not os.path.exists(MODULES + "ngx_http_lua_module.so"):
        raise Trouble("nginx has no Lua: tools/setup.sh bench")


def lua(stage, port, backend, kept):
    return LUA.format(
        tokens=stage.tokens.file("known"),
        backend=backend,
        plain=port,
        kept=kept,
        scope=SCOPE,
        most=MOST,
    )
