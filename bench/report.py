"""report.py - what a row gave, the verdict on it, and RESULTS.md."""

import dataclasses
import datetime
import os
import platform
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
RANKS = ["-", "aim", "must", "OVER"]


@dataclasses.dataclass
class Budget:
    """At most this; own says the design sets it for this very row."""

    must: float
    aim: float
    own: bool = True


@dataclasses.dataclass
class Part:
    """One number of a row, and what it may be."""

    value: float
    budget: Budget | None = None
    unit: str = ""
    digits: int = 0
    against: str = ""
    spread: str = ""

    def text(self, value):
        number = "{:,.{}f}".format(value, self.digits)
        if self.unit == "%":
            number = "{:+.{}f}".format(value, self.digits)
        unit = self.unit if self.unit in ("", "%") else " " + self.unit
        return number + unit

    def verdict(self):
        """Judged as printed: 0.804 is 0.80."""
        if not self.budget:
            return "-"
        value = round(self.value, self.digits)
        if value <= self.budget.aim:
            return "aim"
        return "must" if value <= self.budget.must else "OVER"

    def limit(self, value):
        star = "" if self.budget.own else "*"
        of = " of " + self.against if self.against else ""
        return self.text(value) + star + of

    def measured(self):
        of = " " + self.against if self.against else ""
        return self.text(self.value) + of + self.spread


@dataclasses.dataclass
class Result:
    name: str
    title: str
    parts: list
    remark: str = ""  # what a reader must know to trust the number
    calls: dict | None = None  # the samples behind a row of CPU per call

    def verdict(self):
        return max((p.verdict() for p in self.parts), key=RANKS.index)

    def cells(self):
        judged = [p for p in self.parts if p.budget]
        return [
            "`%s`" % self.name,
            self.title,
            " / ".join(p.limit(p.budget.must) for p in judged) or "-",
            " / ".join(p.limit(p.budget.aim) for p in judged) or "-",
            " / ".join(p.measured() for p in self.parts),
            self.verdict(),
        ]


def table(head, rows):
    """Markdown that also reads well on a terminal."""
    widths = [
        max(len(str(r[i])) for r in [head] + rows) for i in range(len(head))
    ]

    def line(cells):
        padded = (str(c).ljust(w) for c, w in zip(cells, widths))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([line(head), rule] + [line(r) for r in rows])


def verdicts(results):
    head = ["row", "what", "must", "aim", "measured", "verdict"]
    return table(head, [r.cells() for r in results])


def costs(results):
    """The samples behind the ratios, medians over the rounds."""
    head = ["row", "program", "us/call", "min-max", "in user space"]
    head += ["faults/call", "calls/s", "p50 us", "p99 us", "proxy busy"]
    head += ["load core busy", "others"]
    rows = []
    for r in results:
        for name, sample in (r.calls or {}).items():
            rows.append(
                [
                    "`%s`" % r.name,
                    name,
                    "%.2f" % sample["cost"],
                    "%.2f-%.2f" % sample["spread"],
                    "%.2f" % sample["user"],
                    "%.2f" % sample["faults"],
                    "{:,.0f}".format(sample["rate"]),
                    "{:,.0f}".format(sample["p50_us"]),
                    "{:,.0f}".format(sample["p99_us"]),
                    "%.0f %%" % sample["busy"],
                    "%.0f %%" % sample["load"],
                    "%.0f %%" % sample["others"],
                ]
            )
    return table(head, rows)


# --- notes.md: what separates us from aim, written by hand ---


def notes():
    """Sections '## row' of notes.md; the text under each, on one line."""
    with open(os.path.join(HERE, "notes.md")) as f:
        sections = re.split(r"^## +`?([^\s`]+)`?\n", f.read(), flags=re.M)
    texts = map(lambda t: " ".join(t.split()), sections[2::2])
    return dict(zip(sections[1::2], texts))


def distances(results):
    said = notes()
    lines = []
    for r in results:
        if r.verdict() in ("must", "OVER"):
            text = said.get(r.name, "*not explained yet, see notes.md*")
            lines.append("- `%s` (%s): %s" % (r.name, r.verdict(), text))
    return "\n".join(lines) or "Every row with a budget is at its aim."


# --- the machine ---


def first_line(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return "?"
    lines = (done.stdout + done.stderr).strip().split("\n")
    return lines[0].strip()


def read(path, pattern):
    with open(path) as f:
        found = re.search(pattern, f.read())
    return found[1].strip() if found else "?"


def commit():
    name = first_line("git", "-C", HERE, "rev-parse", "--short", "HEAD")
    changes = first_line(
        "git", "-C", HERE, "status", "--porcelain", "--", "../src"
    )
    return name + (" with changes" if changes else "")


def facts(stage, settings):
    """Where and with what it was measured, one fact a line."""
    memory = int(read("/proc/meminfo", r"MemTotal:\s+(\d+)")) // 1024 // 1024
    now = datetime.datetime.now().astimezone()
    haproxy = first_line("haproxy", "-v").split(" - ")[0]
    return [
        "Date: " + now.strftime("%Y-%m-%d %H:%M %Z"),
        "Machine: %s, %d CPUs, %d GiB, Linux %s, %s"
        % (
            read("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
            len(os.sched_getaffinity(0)),
            memory + 1,
            ".".join(platform.release().split(".")[:2]),
            read("/etc/os-release", r'PRETTY_NAME="(.*)"'),
        ),
        "Measured: %s, commit %s"
        % (first_line(stage.tollgate, "version"), commit()),
        "Against: %s; %s"
        % (first_line("nginx", "-v").split(": ")[-1], haproxy),
        "With: %s; %s; %s"
        % (
            first_line("wrk", "-v").split(" Copyright")[0],
            first_line("valgrind", "--version"),
            first_line("openssl", "version").split(" (")[0],
        ),
        "Settings: " + settings,
    ]


LEGEND = """\
CPU rows are ratios of CPU time per call, ours to the other program's: the
median of the ratios of interleaved rounds, lowest and highest in brackets.
*must* is the line no change may cross, *aim* what we are here for; a star
marks a limit taken from the nearest row of the budget table, which has no row
of its own for this. *relay* is a program that moves bytes and looks at none:
the kernel's part, below which no proxy of this kind can be. The verdict is
*aim*, *must* (between the two) or *OVER*.
`README.md` says how each row is measured."""

COSTS = """\
Medians over the rounds. A fault is a page of memory the kernel had to bring.
*proxy busy* and *load core busy* are shares of one core: ratios count where
the load core is the limit. *others* is what programs that do not belong to the
measurement took of the cores: rates and latencies mean little when it is not
near zero, and beyond about 20 % costs per call are only a hint."""


def markdown(results, facts_lines):
    return "\n".join(
        [
            "# Results\n",
            "Written by `make bench`. By hand only `notes.md`, where the"
            " explanations come from.\n",
            "\n".join("- " + line for line in facts_lines),
            "\n## Budgets\n",
            LEGEND + "\n",
            verdicts(results),
            "\n## What separates us from aim\n",
            distances(results),
            "\n## CPU per call\n",
            COSTS + "\n",
            costs(results),
        ]
        + remarks(results)
    ) + "\n"


def remarks(results):
    lines = ["- `%s`: %s" % (r.name, r.remark) for r in results if r.remark]
    return ["\n## Remarks on this run\n", "\n".join(lines)] if lines else []
