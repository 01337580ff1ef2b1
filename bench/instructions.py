"""instructions.py - rows of user instructions per call, counted by callgrind.

The real program runs under valgrind, which counts only once everything is
loaded. Two runs of known length are counted; the difference of the counts by
the difference of the lengths is one call, free of what happens once. The
number is exact, whatever else the machine does.
"""

import os
import re
import subprocess

import calls
import client
import documents
import policies
from programs import Trouble
from report import Budget, Part, Result

CONNECTIONS = 8
SHORT = 500
PLAIN = ("User-Agent: bench", "Accept: */*")
MORE = Budget(10, 3)
NEAR = Budget(10000, 5000, own=False)
ALL = Budget(16000, 9000)

# name, what, variant of tollgate, fields, bytes of body, budget
CASES = [
    ("ir-get", "GET, 100 B back", "", (), 0, Budget(10000, 5000)),
    ("ir-post", "POST, 1 KiB up", "", (), 1024, NEAR),
    ("ir-headers-30", "30 more request fields", "", calls.HEADERS_30, 0, NEAR),
    ("ir-log", "access log on", "log", (), 0, NEAR),
    ("ir-all", "with all policies", "all", (), 0, ALL),
    ("ir-routes-50000", "50,000 routes against one", "routes", (), 0, MORE),
]


def control(pid, *words):
    done = subprocess.run(
        ["callgrind_control", *words, str(pid)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode or "OK" not in done.stdout:
        said = done.stdout + done.stderr
        raise Trouble("callgrind_control: " + said[-200:])


def count(p):
    """Instructions since the last count."""
    p.dumps += 1
    control(p.pid, "-d")
    with open("%s.%d" % (p.out, p.dumps)) as f:
        return int(re.search(r"^totals: (\d+)", f.read(), re.M)[1])


def per_call(p, fields, body, length):
    context = documents.UPLOAD if body else documents.MEASURED
    message = client.request(
        context + "/bytes/100",
        "POST" if body else "GET",
        PLAIN + tuple(fields),
        b"x" * body,
    )
    address = ("127.0.0.1", p.doors["plain"])
    peers = [client.Connection(address) for _ in range(CONNECTIONS)]
    try:
        client.run(peers, message, 400)
        control(p.pid, "-i", "on")
        client.run(peers, message, 100)
        count(p)
        client.run(peers, message, SHORT)
        short = count(p)
        client.run(peers, message, length)
        return (count(p) - short) / (length - SHORT)
    except client.Failed as e:
        raise Trouble("under callgrind: %s" % e) from e
    finally:
        for c in peers:
            c.close()


def under_callgrind(stage, variant):
    """tollgate-VARIANT of the stage under callgrind, alone on it."""
    name = "callgrind-" + variant
    stage.keep_only({name})
    if name not in stage.running:
        out = stage.path(name + ".counts")
        argv = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        argv += ["--callgrind-out-file=" + out]
        # callgrind_control speaks to it through pipes that belong to us.
        env = {"TOLLGATE_GATEWAY_USER": "root"} if os.geteuid() == 0 else {}
        p = stage.start_tollgate(name, variant, argv, env)
        p.out, p.dumps = out, 0
    return stage.running[name]


def row_of(stage, case, length):
    name, title, variant, fields, body, budget = case

    if variant == "all":
        fields = (*fields, stage.tokens.field())

    def count(variant):
        p = under_callgrind(stage, variant)
        return per_call(p, fields, body, length)

    value = count(variant)
    title = "instructions: " + title
    if variant != "routes":
        remark = ""
        if variant == "all" and not policies.has_events(stage):
            remark = policies.NO_EVENT
        return Result(name, title, [Part(value, budget)], remark)
    one = count("one")
    part = Part(100 * (value / one - 1), budget, unit="%", digits=1)
    part.spread = " ({:,.0f} to {:,.0f})".format(value, one)
    return Result(name, title, [part])
