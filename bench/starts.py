"""starts.py - rows of the time from exec to the first answered call.

A client asks again and again, a millisecond apart, until it gets its 200 from
the backend. Documents come from the page cache: the first start does not
count.
"""

import statistics
import time

import client
import documents
from programs import Trouble, free_ports
from report import Budget, Part, Result
from stage import DOORS

CALL = client.request(documents.MEASURED + "/bytes/100")
PATIENCE = 30

# name, APIs in the folder, starts (quick), budget in ms
CASES = [
    ("start-1", 1, (7, 3), None),
    ("start-100", 100, (7, 3), Budget(200, 50)),
    ("start-1000", 1000, (7, 3), None),
    ("start-10000", 10000, (3, 2), Budget(2000, 500)),
]


def answered(port):
    try:
        c = client.Connection(("127.0.0.1", port), 5)
        try:
            c.call(CALL)
        finally:
            c.close()
    except (client.Failed, OSError):
        return False
    return True


def start_ms(stage, apis):
    stage.keep_only(())
    doors = dict(zip(DOORS, free_ports(len(DOORS))))
    argv = stage.tollgate_argv("start", apis, doors, threads=0)
    begin = time.monotonic()
    p = stage.start("start", argv, None)
    while not answered(doors["plain"]):
        p.must_live()
        if time.monotonic() - begin > PATIENCE:
            raise Trouble("no answer within %d s" % PATIENCE)
        time.sleep(0.001)
    took = (time.monotonic() - begin) * 1000
    stage.end("start")
    return took


def row_of(stage, case, quick):
    name, count, starts, budget = case
    apis = stage.apis(count - 1)
    wanted = starts[1 if quick else 0]
    counted = [start_ms(stage, apis) for _ in range(1 + wanted)][1:]
    part = Part(statistics.median(counted), budget, "ms", 0)
    part.spread = " [%.0f-%.0f]" % (min(counted), max(counted))
    plural = "" if count == 1 else "s"
    title = "start to first answered call: {:,} API{}".format(count, plural)
    return Result(name, title, [part])
