"""load.py - wrk and h2load, and what their reports say."""

import os
import re
import resource
import subprocess
import tempfile
import time

from programs import Trouble

POST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "post.lua")
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


def wrk(url, cores, connections, seconds, headers=(), script=(), env=None):
    """One run; calls is how many were answered in full. script: a file of Lua
    and its words."""
    argv = ["taskset", "-c", ",".join(map(str, cores)), "wrk"]
    argv += ["-t%d" % len(cores), "-c%d" % connections, "-d%ds" % seconds]
    argv += ["--latency"]
    for header in headers:
        argv += ["-H", header]
    if script:
        argv += ["-s", script[0], url, "--", *script[1:]]
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


def h2load(url, cores, connections, streams, seconds, grpc=False):
    """HTTP/2; seconds 0: one call. grpc: a unary call with a message."""
    argv = ["taskset", "-c", ",".join(map(str, cores)), "h2load"]
    argv += ["-c%d" % connections, "-m%d" % streams]
    argv += ["-D%d" % seconds, "--warm-up-time=0"] if seconds else ["-n1"]
    if grpc:
        argv += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        argv += ["-d", _message()]
    cpu = _children_us()
    start = time.monotonic()
    done = subprocess.run(
        argv + [url], capture_output=True, text=True, timeout=seconds + 60
    )
    text = done.stdout + done.stderr
    calls = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    codes = re.search(r"status codes: (\d+) 2xx", text)
    rate = re.search(r"finished in [\d.]+[mun]?s, ([\d.]+) req/s", text)
    if not calls or calls[1] == "0" or not codes or codes[1] == "0":
        raise Trouble("h2load had no answer: " + " ".join(text.split())[-300:])
    cipher = re.search(r"Cipher: (\S+)", text)
    took = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", text)
    return {
        "seconds": time.monotonic() - start,
        "own_us": _children_us() - cpu,
        "calls": int(calls[1]),
        "rate": float(rate[1]),
        "p50_us": _us(took[2]),  # the mean: it tells no more
        "p99_us": _us(took[1]),  # the longest
        "bad": int(calls[2]),
        "errors": "" if calls[3] == "0" else calls[3] + " errored",
        "cipher": cipher[1] if cipher else "",
    }


def _us(text):
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * UNITS[unit]


def _message():
    """A file with one gRPC message of 100 bytes."""
    path = os.path.join(tempfile.gettempdir(), "tollgate-bench-message")
    with open(path, "wb") as f:
        f.write(b"\0\0\0\0\x64" + b"x" * 100)
    return path


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
