"""bench.py - measure every row, print the verdicts, write RESULTS.md.

Environment:
  ROUNDS   interleaved rounds of a CPU row (5); rows without a budget of their
           own take three fifths of them
  SECS     seconds of load per program and round (2)
  ROWS     only these rows; names, or beginnings of names with a star: get-*
  QUICK=1  two rounds of one second, fewer calls and connections
  OUT      where to write the results; bench/RESULTS.md for a full run, else
           nothing is written
"""

import fnmatch
import os
import signal
import sys
import tempfile
import time

import calls
import instructions
import memory
import policies
import programs
import report
import starts
import uncached
from stage import Stage, must_have


def number(name, default):
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        sys.exit("bench: %s must be between 1 and 1000, got %r" % (name, text))
    return int(text)


QUICK = os.environ.get("QUICK", "") not in ("", "0")
ROUNDS = number("ROUNDS", 2 if QUICK else 5)
SECS = number("SECS", 1 if QUICK else 2)
ROWS = os.environ.get("ROWS", "").replace(",", " ").split()
LENGTH = 1500 if QUICK else 4500


def plan():
    """(name, function of the stage) for every row, in order.

    Memory and starts first: what the proxies of the CPU rows share with the
    gateway, such as libssl, would make its share of the pages smaller.
    """
    rows = []

    def add(table, name_of, row_of, *more):
        for case in table:
            rows.append(
                (name_of(case), lambda s, c=case: row_of(s, c, *more))
            )

    add(memory.IDLE, first, memory.idle_row)
    add(memory.CONNECTIONS, first, memory.connection_row, QUICK)
    add(starts.CASES, first, starts.row_of, QUICK)
    add(instructions.CASES, first, instructions.row_of, LENGTH)
    add(uncached.CASES, first, uncached.row_of, ROUNDS, SECS)
    add(calls.ROWS, lambda row: row.name, calls.row_of, ROUNDS, SECS)
    chosen = [r for r in rows if wanted(r[0])]
    if not chosen:
        names = " ".join(r[0] for r in rows)
        raise programs.Trouble("ROWS matches none of: " + names)
    return chosen


def first(case):
    return case[0]


def wanted(name):
    return not ROWS or any(fnmatch.fnmatch(name, row) for row in ROWS)


def measure(stage, rows):
    """Results of all rows; one that fails says so and hinders no other."""
    results, failed = [], []
    for name, row_of in rows:
        begin = time.monotonic()
        try:
            result = row_of(stage)
        except (programs.Trouble, OSError) as e:
            failed.append("%s: %s" % (name, e))
            print("%-20s FAILED: %s" % (name, e), flush=True)
            continue
        results.append(result)
        measured = " / ".join(p.measured() for p in result.parts)
        took = time.monotonic() - begin
        line = "%-20s %-5s %-38s %3.0f s"
        print(line % (name, result.verdict(), measured, took), flush=True)
    return results, failed


def cores():
    """One for the proxy, one for load and backend."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("bench: needs two CPUs, for the proxy and for the load")
    return allowed[:2]


def write(results, failed, facts):
    out = os.environ.get("OUT")
    if not out and not (QUICK or ROWS):
        out = os.path.join(report.HERE, "RESULTS.md")
    if not out:
        return
    facts = facts + ["Failed: " + text for text in failed]
    with open(out, "w") as f:
        f.write(report.markdown(results, facts))
    print("\nwritten to " + os.path.relpath(out))


def run(folder):
    proxy, load = cores()
    stage = Stage(folder, sys.argv[1], proxy, load)
    settings = "%d rounds of %d s, proxy on core %d, load and backend on %d"
    settings = settings % (ROUNDS, SECS, proxy, load)
    if QUICK:
        settings += ", QUICK"
    try:
        facts = report.facts(stage, settings)
        print("\n".join(facts) + "\n", flush=True)
        results, failed = measure(stage, plan())
    finally:
        stage.end()
    print("\n%s\n\n%s" % (report.verdicts(results), report.costs(results)))
    print("\n" + report.distances(results))
    print("\n".join(report.remarks(results)))
    write(results, failed, facts)
    return 1 if failed else 0


def main():
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(143))
    programs.may_open_many_files()
    must_have("nginx", "haproxy", "wrk", "h2load", "nghttpd", "valgrind")
    must_have("openssl", "taskset")
    policies.must_have_lua()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench.") as folder:
        return run(folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except programs.Trouble as e:
        sys.exit("bench: %s" % e)
    except KeyboardInterrupt:
        sys.exit(130)
