"""uncached.py - what a call costs whose token nobody has seen before.

Each brings a token of its own, out of more than a thread remembers. The
yardstick is a call with a known token, plus one verification by OpenSSL alone
(`openssl speed` on the same core): there is no cheaper way with that library.
The three are measured in turn in every round.
"""

import re
import statistics
import subprocess

import calls
from programs import Trouble
from report import Budget, Part, Result

# name, what, kind of tokens, what `openssl speed` calls it
CASES = [
    ("rs256", "GET, a new RS256 token each", "rs256", "rsa2048"),
    ("es256", "GET, a new ES256 token each", "es256", "ecdsap256"),
]
PROGRAM = "tollgate-all"
NEAR = Budget(1.25, 1.10, own=False)


def verify_us(stage, what):
    """CPU time of one verification, alone."""
    argv = ["taskset", "-c", str(stage.proxy_core)]
    argv += ["openssl", "speed", "-seconds", "1", what]
    done = subprocess.run(argv, capture_output=True, text=True)
    # ... sign verify sign/s verify/s
    found = re.search(
        r"^ *(?:rsa )? ?2(?:048|56) bits.* ([\d.]+)$", done.stdout, re.M
    )
    if not found:
        raise Trouble("openssl speed said: " + done.stdout[-200:])
    return 1e6 / float(found[1])


def row_of(stage, case, rounds, seconds):
    name, title, kind, what = case
    known = calls.Row(name, title, (PROGRAM,), tokens="one")
    fresh = calls.Row(name, title, (PROGRAM,), tokens=kind)
    stage.keep_only({PROGRAM})
    calls.try_once(stage, known, stage.get(PROGRAM).doors["plain"])
    # The first ones find free memory, later ones what an older one leaves.
    calls.measure(stage, fresh, PROGRAM, max(2, seconds))
    samples = {"known token": [], "new tokens": []}
    ratios, alone = [], []
    for _ in range(max(2, -(-rounds * 3 // 5))):
        a = calls.measure(stage, known, PROGRAM, seconds)
        b = calls.measure(stage, fresh, PROGRAM, seconds)
        alone.append(verify_us(stage, what))
        ratios.append(b["cost"] / (a["cost"] + alone[-1]))
        samples["known token"].append(a)
        samples["new tokens"].append(b)
    part = Part(
        statistics.median(ratios),
        NEAR,
        digits=2,
        against="known token + verify",
        spread=" [%.2f-%.2f]" % (min(ratios), max(ratios)),
    )
    cost = Part(
        statistics.median(run["cost"] for run in samples["new tokens"]),
        unit="us",
        digits=1,
    )
    remark = "OpenSSL's verification alone: %.1f us" % statistics.median(alone)
    doubts = calls.doubts(fresh, {PROGRAM: samples["new tokens"]})
    return Result(
        name,
        title,
        [part, cost],
        "; ".join([remark] + doubts),
        calls.summary(samples),
    )
