"""calls.py - rows that compare CPU time per call, under load.

The proxy has one core, load generator and backend the other. At 64
connections the load core is the limit, so a proxy's cost does not show in its
rate but in the time its process used: read before and after, divided by the
calls that were answered. Programs take turns in every round; a ratio is taken
within a round, where both met the same weather.
"""

import dataclasses
import ssl
import statistics

import client
import documents
import load
import policies
import programs
from report import Budget, Part, Result

CONNECTIONS = 64
FEW_US = 500000  # /proc counts in 10 ms: below this a tick is 2 %

ALL = ("tollgate", "nginx", "haproxy")
WALL = ALL + ("relay",)
CLOSE = ("Connection: close",)
HEADERS_30 = tuple(
    "X-Request-Field-%02d: a value of some length %02d" % (i, i)
    for i in range(30)
)


@dataclasses.dataclass
class Row:
    name: str
    title: str
    programs: tuple = ALL  # the first one is judged, against each other
    size: int = 100
    door: str = "plain"
    headers: tuple = ()
    post: int = 0
    new_session: bool = False  # never resume a TLS session
    both_cores: bool = False
    connections: int = CONNECTIONS
    streams: int = 0  # on each connection: HTTP/2, by h2load
    grpc: bool = False
    tokens: str = ""  # one; or in turn known, rs256, es256: see policies.py
    budgets: tuple = ()  # for each of the others, None where there is none

    def __post_init__(self):
        if self.post:
            self.door = "upload"

    @property
    def url(self):
        secure = self.door.startswith("tls") or self.door == "h2"
        scheme = "https" if secure else "http"
        return scheme + "://localhost:%d" + self.path

    @property
    def path(self):
        up = self.post or self.grpc
        context = documents.UPLOAD if up else documents.MEASURED
        return "%s/bytes/%d" % (context, self.size)

    def is_own(self):
        return any(b and b.own for b in self.budgets)


def own(must, aim):
    return Budget(must, aim)


def near(must, aim):
    """The budget table has no such row: the limit of the nearest one."""
    return Budget(must, aim, own=False)


SMALL = (own(0.90, 0.80), own(0.85, 0.75), None)
LIKE_SMALL = (near(0.90, 0.80), near(0.85, 0.75))
MEDIUM = (own(0.90, 0.83), None, None)
LIKE_MEDIUM = (near(0.90, 0.83), None)
LARGE = (own(0.60, 0.52), None, None)
LIKE_LARGE = (near(0.60, 0.52), None)

ROWS = [
    Row("get-100", "GET, 100 B back", WALL, budgets=SMALL),
    Row("get-333", "GET, 333 B back", size=333, budgets=SMALL),
    Row("get-1k", "GET, 1 KiB back", WALL, size=1024, budgets=SMALL),
    Row("get-5k", "GET, 5 KiB back", size=5120, budgets=LIKE_MEDIUM),
    Row("get-10k", "GET, 10 KiB back", WALL, 10240, budgets=MEDIUM),
    Row("get-37k", "GET, 37 KiB back", size=37888, budgets=LIKE_MEDIUM),
    Row("get-100k", "GET, 100 KiB back", WALL, 102400, budgets=LARGE),
    Row("get-1m", "GET, 1 MiB back", size=1048576, budgets=LIKE_LARGE),
    Row("post-1k", "POST, 1 KiB up", post=1024, budgets=LIKE_SMALL),
    Row("post-10k", "POST, 10 KiB up", post=10240, budgets=LIKE_MEDIUM),
    Row("post-100k", "POST, 100 KiB up", post=102400, budgets=LIKE_MEDIUM),
    Row(
        "headers-30",
        "GET with 30 more request fields",
        headers=HEADERS_30,
        budgets=LIKE_SMALL,
    ),
    Row(
        "access-log",
        "GET, access log on (JSON against buffered combined)",
        programs=("tollgate-log", "nginx"),
        door="log",
        budgets=(near(0.90, 0.80),),
    ),
    Row(
        "threads-2",
        "GET, 2 threads on both cores",
        programs=("tollgate-2", "nginx-2", "haproxy-2"),
        both_cores=True,
        budgets=LIKE_SMALL,
    ),
    Row(
        "tls-kept",
        "TLS 1.3, kept connections",
        door="tls",
        budgets=(own(0.90, 0.82), None),
    ),
    Row(
        "tls-handshake",
        "TLS 1.3, a full handshake per call",
        door="tls",
        headers=CLOSE,
        new_session=True,
        budgets=(own(1.00, 0.85), None),
    ),
    Row(
        "tls-handshake-bare",
        "the same, nginx without session tickets",
        programs=("tollgate", "nginx"),
        door="tls-bare",
        headers=CLOSE,
        new_session=True,
        budgets=(near(1.00, 0.85),),
    ),
    Row(
        "tls-resumed",
        "TLS 1.3, a resumed session per call",
        door="tls",
        headers=CLOSE,
        budgets=(near(1.00, 0.85), None),
    ),
    Row(
        "connection-1",
        "GET on one connection: wake-ups, not work",
        connections=1,
        budgets=(near(1.00, 0.92), near(1.00, 0.92)),
    ),
    Row(
        "h2-in",
        "HTTP/2 in, HTTP/1.1 out: 8 connections of 16 streams",
        door="h2c",
        connections=8,
        streams=16,
        budgets=(own(0.75, 0.60), None),
    ),
    Row(
        "h2-in-16x16",
        "HTTP/2 in, HTTP/1.1 out: 16 connections of 16 streams",
        door="h2c",
        connections=16,
        streams=16,
        budgets=(near(0.75, 0.60), None),
    ),
    Row(
        "h2-tls",
        "HTTP/2 over TLS in, HTTP/1.1 out",
        door="h2",
        connections=8,
        streams=16,
        budgets=(near(0.75, 0.60), None),
    ),
    Row(
        "h2-both",
        "HTTP/2 on both sides; the others have HTTP/1.1 out",
        programs=("tollgate-h2", "nginx", "haproxy"),
        door="h2c",
        connections=8,
        streams=16,
        budgets=(own(0.75, 0.40), None),
    ),
    Row(
        "grpc-unary",
        "gRPC unary echo, 100 B, HTTP/2 on both sides",
        programs=("tollgate-h2", "nginx", "haproxy"),
        door="grpc",
        connections=8,
        streams=16,
        grpc=True,
        budgets=(near(0.75, 0.40), None),
    ),
    Row(
        "policies",
        "known JWT, scope, three limits, event; nginx has none of it",
        programs=("tollgate-all", "nginx", "nginx-lua"),
        tokens="one",
        budgets=(own(1.00, 0.88), own(0.65, 0.55)),
    ),
    Row(
        "policies-1000",
        "the same, 1,000 tokens in turn",
        programs=("tollgate-all", "nginx", "nginx-lua"),
        tokens="known",
        budgets=(near(1.00, 0.88), near(0.65, 0.55)),
    ),
    Row(
        "routes-50000",
        "GET, 50,000 routes against one API",
        programs=("tollgate-routes", "tollgate-one"),
        budgets=(own(1.10, 1.03),),
    ),
]


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def try_once(stage, row, port):
    """One call by hand, so that no row measures refusals. Gives the cipher."""
    if row.streams:
        return load.h2load(
            row.url % port, [0], 1, 1, 0, row.grpc
        )["cipher"]
    tls = unverified() if row.door.startswith("tls") else None
    message = client.request(
        row.path,
        "POST" if row.post else "GET",
        [h for h in row.headers if h not in CLOSE]
        + ([stage.tokens.field()] if row.tokens else []),
        b"x" * row.post,
    )
    c = client.Connection(("127.0.0.1", port), 10, tls)
    try:
        c.call(message)
        return " ".join(c.sock.cipher()[1::-1]) if tls else ""
    except (client.Failed, OSError) as e:
        raise programs.Trouble("a first call failed: %s" % e) from e
    finally:
        c.close()


def measure(stage, row, name, seconds):
    p = stage.get(name)
    cores = [stage.load_core]
    if row.both_cores:
        cores.insert(0, stage.proxy_core)
    used = sorted({stage.proxy_core, stage.load_core})

    def state():
        busy = sum(map(programs.busy_us, used))
        load_busy = programs.busy_us(stage.load_core)
        return *p.spent(), stage.backend_us(), busy, load_busy

    url = row.url % p.doors[row.door]
    headers, script = list(row.headers), []
    if row.post:
        script = [load.POST, str(row.post)]
    elif row.tokens == "one":
        headers.append(stage.tokens.field())
    elif row.tokens:
        script = stage.tokens.script(row.tokens)
    before = state()
    if row.streams:
        run = load.h2load(
            url, cores, row.connections, row.streams, seconds, row.grpc
        )
    else:
        run = load.wrk(
            url,
            cores,
            row.connections,
            seconds,
            headers,
            script,
            {"LD_PRELOAD": stage.new_session} if row.new_session else None,
        )
    user, system, faults, backend, busy, load_busy = (
        after - b for after, b in zip(state(), before)
    )
    p.must_live()
    stage.tokens.were_sent(row.tokens, run["calls"])
    proxy = user + system
    wall = run["seconds"] * 1e6
    run["user"] = user / run["calls"]
    run["faults"] = faults / run["calls"]
    run["cost"] = proxy / run["calls"]
    run["few"] = proxy < FEW_US
    run["busy"] = 100 * proxy / wall
    run["load"] = 100 * load_busy / wall
    run["others"] = 100 * max(0, busy - proxy - backend - run["own_us"]) / wall
    return run


def interleave(stage, row, rounds, seconds):
    samples = {name: [] for name in row.programs}
    order = list(row.programs)
    for _ in range(rounds):
        for name in order:
            samples[name].append(measure(stage, row, name, seconds))
        order.append(order.pop(0))
    return samples


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def ratio(row, samples, other, budget):
    """The judged program's cost in the other's, from round to round."""
    pairs = zip(samples[row.programs[0]], samples[other])
    ratios = [a["cost"] / b["cost"] for a, b in pairs]
    return Part(
        statistics.median(ratios),
        budget,
        digits=2,
        against="one API" if other == "tollgate-one" else other.split("-")[0],
        spread=" [%.2f-%.2f]" % (min(ratios), max(ratios)),
    )


def doubts(row, samples):
    found = []
    for name, runs in samples.items():
        bad = sum(run["bad"] for run in runs)
        errors = {run["errors"] for run in runs if run["errors"]}
        if bad:
            found.append("%s: %d answers were not 2xx" % (name, bad))
        if errors:
            found.append("%s: socket errors %s" % (name, "; ".join(errors)))
        if any(run["few"] for run in runs):
            found.append("%s used little CPU, raise SECS" % name)
    if not row.both_cores:
        for name, runs in samples.items():
            if max(median(runs, "load"), median(runs, "busy")) < 85:
                found.append("%s: neither core was busy throughout" % name)
    return found


def summary(samples):
    """For the table of costs."""
    keys = ("cost", "user", "faults", "rate", "p50_us", "p99_us")
    keys += ("busy", "load", "others")
    calls = {}
    for name, runs in samples.items():
        costs = [run["cost"] for run in runs]
        calls[name] = {key: median(runs, key) for key in keys}
        calls[name]["spread"] = (min(costs), max(costs))
    return calls


def row_of(stage, row, rounds, seconds):
    stage.keep_only({*WALL, *row.programs})
    remarks = []
    for name in row.programs:
        cipher = try_once(stage, row, stage.get(name).doors[row.door])
        if cipher:
            remarks.append("%s: %s" % (name, cipher))
    if not row.is_own():
        rounds = max(2, -(-rounds * 3 // 5))
    samples = interleave(stage, row, rounds, seconds)
    parts = []
    for other, budget in zip(row.programs[1:], row.budgets):
        parts.append(ratio(row, samples, other, budget))
    if row.tokens and not policies.has_events(stage):
        remarks.append(policies.NO_EVENT)
    remark = "; ".join(remarks + doubts(row, samples))
    return Result(row.name, row.title, parts, remark, summary(samples))
