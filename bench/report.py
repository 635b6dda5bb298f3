# SPDX-License-Identifier: Apache-2.0
"""The table that bench prints, and the facts about the machine that it was measured on."""
import math
import os
import platform
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# measure, its line in the table, unit, scale
WHOLE = [
    ("boot", "start to /init", "s", 1),
    ("whole", "start to power-off", "s", 1),
    ("true", "kuse run -- true", "s", 1),
    ("idle", "CPU while idle", "%", 100),
    ("rss", "memory beyond guest RAM (512 MiB guest)", "MiB", 1 / 1048576),
]
USER_INTEGER = ["int", "vm", "calls", "icall", "sha256", "qsort"]


def first_line(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              cwd=ROOT).stdout.split("\n")[0].strip()
    except OSError:
        return ""


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")


def machine(inputs, args):
    version = os.path.join(os.path.dirname(inputs.kernel), "version")
    guest_kernel = inputs.kernel
    if os.path.exists(version):
        with open(version) as f:
            guest_kernel = f.readline().strip()
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "host_kernel": platform.release(),
        "guest_kernel": guest_kernel,
        "qemu": first_line("qemu-system-x86_64", "--version"),
        "gcc": first_line("gcc", "--version"),
        "revision": first_line("git", "describe", "--always", "--dirty"),
        "load": os.getloadavg(),
        "rounds": args.rounds,
        "scale": args.scale,
    }


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def cell(values, scale=1):
    if not values:
        return "-"
    values = [v * scale for v in values]
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}-{number(max(values))})"


def ratio(a, b):
    return statistics.median(a) / statistics.median(b) if a and b and statistics.median(b) > 0 else None


def show(value):
    return "-" if value is None else f"{value:.3g}"


def mean(ratios):
    ratios = [r for r in ratios if r]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


class Columns:
    def __init__(self, bench):
        self.samples = bench.samples
        self.names = [c.name for c in bench.contenders]

    def get(self, contender, measure):
        return self.samples.get((contender, measure), [])

    def ratios(self, measure):
        """tcg/native, kuse/native, tcg/kuse"""
        return [ratio(self.get(a, measure), self.get(b, measure))
                for a, b in (("tcg", "native"), ("kuse", "native"), ("tcg", "kuse"))]


def line(name, cells, ratios):
    print(f"{name:<14}" + "".join(f"{c:>25}" for c in cells) + "".join(f"{r:>13}" for r in ratios))


def workloads(columns, groups):
    line("seconds", columns.names, ["tcg/native", "kuse/native", "tcg/kuse"])
    for group, names in groups.items():
        names = [n for n in names if any(columns.get(c, n) for c in columns.names)]
        for name in names:
            line(name, [cell(columns.get(c, name)) for c in columns.names], map(show, columns.ratios(name)))
        if names:
            means = [mean(rs) for rs in zip(*(columns.ratios(n) for n in names))]
            line(f"= {group}", [""] * len(columns.names), map(show, means))


def whole(columns):
    for measure, title, unit, scale in WHOLE:
        got = [(c, columns.get(c, measure)) for c in columns.names if columns.get(c, measure)]
        if got:
            print(f"{title + ', ' + unit:<46}" + "   ".join(f"{c} {cell(v, scale)}" for c, v in got))


def against_tcg(columns, name):
    """Yields (what, wanted, got or None, good) of a contender on KUSE's CPU."""
    for measure in ("boot", "whole"):
        r = ratio(columns.get(name, measure), columns.get("tcg", measure))
        yield f"{name}/tcg, {dict((w[0], w[1]) for w in WHOLE)[measure]}", "<= 1 (aim 0.5)", r, r is not None and r <= 1
    r = mean(ratio(columns.get("tcg", n), columns.get(name, n)) for n in USER_INTEGER)
    yield f"tcg/{name}, user-mode integer work", ">= 3", r, r is not None and r >= 3


def targets(columns):
    for name in ("kuse", "qemu"):
        if name in columns.names:
            yield from against_tcg(columns, name)
    if "kuse" not in columns.names:
        return
    for measure, wanted, limit, scale in (("true", "< 3 s", 3, 1), ("idle", "< 1 %", 1, 100),
                                          ("rss", "<= 64 MiB", 64, 1 / 1048576)):
        values = columns.get("kuse", measure)
        got = statistics.median(values) * scale if values else None
        yield dict((w[0], w[1]) for w in WHOLE)[measure], wanted, got, got is not None and got <= limit


def table(bench, result, groups):
    columns = Columns(bench)
    m = result["machine"]
    print(f"{m['cpus']} x {m['cpu']}, Linux {m['host_kernel']}; guest Linux {m['guest_kernel']}; {m['qemu']}; {m['gcc']}")
    print(f"revision {m['revision']}, {m['date']}, {m['rounds']} rounds, scale {m['scale']} %, load {m['load'][0]:.1f}; "
          "medians (min-max)")
    print()
    workloads(columns, groups)
    print()
    whole(columns)
    if {"kuse", "qemu"} & set(columns.names):
        print()
        for what, wanted, got, good in targets(columns):
            verdict = "not measured" if got is None else "met" if good else "MISSED"
            print(f"target {what:<46} {wanted:<16} {show(got):>8}  {verdict}")
    for key, text in (("disagreements", "RESULTS DISAGREE"), ("failures", "FAILED"), ("disturbed", "disturbed")):
        for item in result[key]:
            print(f"{text}: {item}")
