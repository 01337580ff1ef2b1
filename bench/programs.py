"""programs.py - start programs on chosen cores, read what they cost, end them.

Numbers come from /proc: CPU time of a program and all its children, and memory
as proportional set size, where a page that two processes share counts half.
"""

import os
import resource
import signal
import socket
import subprocess
import time

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """A row cannot be measured; the text says why."""


def may_open_many_files():
    """For us and, inherited, for every program: as many as we are allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_ports(count):
    """Ports nobody listens on now. All are taken before one is given back."""
    socks = [socket.socket() for _ in range(count)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def read_stat(pid):
    """The fields of /proc/PID/stat from the third on, None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root):
    """root and its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        stat = read_stat(int(name)) if name.isdigit() else None
        if stat:
            children.setdefault(int(stat[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def busy_us(core):
    """How long a core has worked since the machine started."""
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith("cpu%d " % core):
                user, nice, system, _, _, irq, soft = line.split()[1:8]
                ticks = sum(map(int, (user, nice, system, irq, soft)))
                return ticks * TICK_US
    return 0.0


class Program:
    """A running program. end() it, always."""

    def __init__(self, argv, log, cores=None, env=None):
        self.name = os.path.basename(argv[0])
        self.log = log
        pin = None
        if cores:
            pin = ["taskset", "-c", ",".join(map(str, cores))]
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                (pin or []) + argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self):
        return self.child.pid

    def spent(self):
        """User time and system time in us, and pages that were missing."""
        user = system = faults = 0
        for pid in tree(self.pid):
            stat = read_stat(pid)
            if stat:
                user += int(stat[11])
                system += int(stat[12])
                faults += int(stat[7])
        return user * TICK_US, system * TICK_US, faults

    def memory_kib(self, kind="Pss"):
        """Pss: pages that others use too count in part; Rss: in full."""
        total = 0
        for pid in tree(self.pid):
            try:
                with open("/proc/%d/smaps_rollup" % pid) as f:
                    lines = f.read().splitlines()
            except OSError:
                continue
            for line in lines:
                if line.startswith(kind + ":"):
                    total += int(line.split()[1])
        return total

    def must_live(self):
        if self.child.poll() is not None:
            raise Trouble(
                "%s ended with status %d: %s"
                % (self.name, self.child.returncode, self.last_words())
            )

    def last_words(self):
        with open(self.log, errors="replace") as f:
            return " / ".join(f.read().splitlines()[-3:])[-400:]

    def wait_port(self, port, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                self.must_live()
                time.sleep(0.02)
        raise Trouble("%s does not listen on %d" % (self.name, port))

    def end(self, patience=8):
        """Ask; whoever is still there after a while is not asked again."""
        if self.child.poll() is not None:
            return
        family = tree(self.pid)
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(patience)
        except subprocess.TimeoutExpired:
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait()
