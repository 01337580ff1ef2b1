"""load.py - wrk, and what its report says."""

import os
import re
import resource
import subprocess
import time

from programs import Trouble

POST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "post.lua")
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def wrk(url, cores, connections, seconds, headers=(), post=0, env=None):
    """One run; calls is how many were answered in full."""
    argv = ["taskset", "-c", ",".join(map(str, cores)), "wrk"]
    argv += ["-t%d" % len(cores), "-c%d" % connections, "-d%ds" % seconds]
    argv += ["--latency"]
    for header in headers:
        argv += ["-H", header]
    if post:
        argv += ["-s", POST, url, "--", str(post)]
    else:
        argv += [url]
    cpu = _children_us()
    start = time.monotonic()
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        env={**os.environ, **(env or {})},
    )
    return {
        "seconds": time.monotonic() - start,
        "own_us": _children_us() - cpu,
        **_read(done.stdout + done.stderr),
    }


def _children_us():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (use.ru_utime + use.ru_stime) * 1e6


def _read(text):
    calls = re.search(r"(\d+) requests in", text)
    if not calls or calls[1] == "0":
        raise Trouble("wrk had no answer: " + " ".join(text.split())[-300:])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return {
        "calls": int(calls[1]),
        "rate": float(rate[1]),
        "p50_us": _latency(text, 50),
        "p99_us": _latency(text, 99),
        "bad": int(bad[1]) if bad else 0,
        "errors": errors[1] if errors else "",
    }


def _latency(text, percent):
    found = re.search(r"\n\s+%d%%\s+([\d.]+)([a-z]+)" % percent, text)
    return float(found[1]) * UNITS[found[2]] if found else 0.0
