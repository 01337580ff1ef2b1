"""memory.py - rows of memory: idle gateways, and what a connection adds.

The gateway runs as it does when nobody sets anything: one thread for each CPU.
Proportional set size is read after the first answered call and half a second
of rest.
"""

import time

import client
import documents
from calls import unverified
from programs import Trouble, free_ports
from report import Budget, Part, Result
from stage import DOORS

REST = 0.5
CALL = client.request(documents.MEASURED + "/bytes/100")

ROUTES = Budget(60, 30)  # MB
LIKE_ROUTES = Budget(60, 30, own=False)
PLAIN = Budget(1, 0.5)  # KB
TLS = Budget(18, 12)

# name, what, other APIs, path pairs in each
IDLE = [
    ("idle-1", "1 API", 0, 1, Budget(12, 6)),
    ("idle-1000-apis", "1,000 APIs of 5 operations", 1000, 1, LIKE_ROUTES),
    ("idle-5000-routes", "100 APIs of 50 operations", 100, 10, ROUTES),
    ("idle-50000-routes", "1,000 APIs of 50 operations", 1000, 10, None),
]

# name, what, door, how many (quick)
CONNECTIONS = [
    ("connection-plain", "idle connection", "plain", (5000, 1000), PLAIN),
    ("connection-tls", "idle TLS connection", "tls", (2000, 300), TLS),
]


def gateway(stage, others, nouns):
    """An answering gateway with defaults, alone beside the backends."""
    stage.keep_only(())
    doors = dict(zip(DOORS, free_ports(len(DOORS))))
    apis = stage.apis(others, nouns)
    argv = stage.tollgate_argv("memory", apis, doors, threads=0)
    p = stage.start("memory", argv, None)
    p.doors = doors
    p.wait_port(doors["plain"])
    c = client.Connection(("127.0.0.1", doors["plain"]))
    c.call(CALL)
    c.close()
    time.sleep(REST)
    return p


def idle_row(stage, case):
    name, title, others, nouns, budget = case
    p = gateway(stage, others, nouns)
    part = Part(p.memory_kib() / 1024, budget, "MB", 1)
    part.spread = " (%.1f resident)" % (p.memory_kib("Rss") / 1024)
    return Result(name, "memory idle: " + title, [part])


def connection_row(stage, case, quick):
    name, title, door, counts, budget = case
    wanted = counts[1 if quick else 0]
    p = gateway(stage, 0, 1)
    tls = unverified() if door == "tls" else None
    before = p.memory_kib()
    peers = []
    try:
        for _ in range(wanted):
            c = client.Connection(("127.0.0.1", p.doors[door]), 10, tls)
            peers.append(c)
            c.call(CALL)
        time.sleep(REST)
        added = p.memory_kib() - before
    except (client.Failed, OSError) as e:
        text = "connection %d: %s" % (len(peers) + 1, e)
        raise Trouble(text) from e
    finally:
        for c in peers:
            c.close()
    part = Part(added / wanted, budget, "KB", 2)
    return Result(name, "memory of an %s, of %d" % (title, wanted), [part])
