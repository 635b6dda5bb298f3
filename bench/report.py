# SPDX-License-Identifier: Apache-2.0
"""The table that bench prints, and the facts about the machine that it was measured on."""
import math
import os
import platform
import statistics
import subprocess
import time

import micro

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# measure, its line in the table, unit, scale
WHOLE = [
    ("boot", "start to /init", "s", 1),
    ("whole", "start to power-off", "s", 1),
    ("true", "kuse run -- true", "s", 1),
    ("idle", "CPU while idle", "%", 100),
    ("rss", "memory beyond guest RAM (512 MiB guest)", "MiB", 1 / 1048576),
]
TITLE = {measure: title for measure, title, _, _ in WHOLE}

# group, tcg/ours at least, ours/native at most (issues 4 and 5)
GROUP_TARGETS = {
    "amd64": [("cpu", 5, 2.0), ("apps", 4, 2.5), ("kern", 2, None)],
    "arm64": [("cpu", 2, None), ("kern", 1.5, None), ("fp", 3, None)],
}
WHOLE_TARGETS = {"true": 3, "idle": 1, "rss": 64}
# No contender: of several TCGs the one that is faster in this measure.
BEST, BEST_OF = "best", ("tcg", "tcg-max")


# ---- the machine --------------------------------------------------------------------------------

def first_line(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              cwd=ROOT).stdout.split("\n")[0].strip()
    except OSError:
        return ""


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")


def memory_mib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


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
        "memory_mib": memory_mib(),
        "host_kernel": platform.release(),
        "guest_kernel": guest_kernel,
        "qemu": first_line("qemu-system-x86_64" if args.arch == "amd64" else "qemu-system-aarch64", "--version"),
        "gcc": first_line("gcc", "--version"),
        "revision": first_line("git", "describe", "--always", "--dirty"),
        "load": os.getloadavg(),
        "rounds": args.rounds,
        "scale": args.scale,
    }


# ---- figures ------------------------------------------------------------------------------------

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
    """ours: the contender whose ratios are shown, KUSE's own VMM or, without it, QEMU on KUSE."""

    def __init__(self, bench):
        self.samples, self.failed, self.arch = bench.samples, bench.failed, bench.args.arch
        self.names = [c.name for c in bench.contenders]
        self.ours = "qemu" if "qemu" in self.names and "kuse" not in self.names else "kuse"
        self.tcg = BEST if self.arch == "arm64" else "tcg"
        self.pairs = ((self.tcg, "native"), (self.ours, "native"), (self.tcg, self.ours))

    def get(self, contender, measure):
        if contender == BEST:
            return min((self.get(c, measure) for c in BEST_OF if self.get(c, measure)), key=statistics.median, default=[])
        return self.samples.get((contender, measure), [])

    def cell(self, contender, measure):
        values = self.get(contender, measure)
        if (contender, measure) in self.failed:
            return f"FAILED, {cell(values)}" if values else "FAILED"
        return cell(values)

    def present(self, names):
        return [n for n in names if any(self.get(c, n) or (c, n) in self.failed for c in self.names)]

    def ratio(self, a, b, measure):
        return ratio(self.get(a, measure), self.get(b, measure))

    def ratio_of(self, contender, a, b):
        """Of two measures of one contender."""
        return ratio(self.get(contender, a), self.get(contender, b))

    def ratios(self, measure):
        return [self.ratio(a, b, measure) for a, b in self.pairs]

    def group_mean(self, a, b, group):
        return mean(self.ratio(a, b, w) for w in group.workloads)

    def as_json(self, groups):
        """{"tcg/native": {workload or "= group": ratio}, ...}"""
        out = {}
        for a, b in self.pairs:
            one = {w: self.ratio(a, b, w) for g in groups for w in g.workloads}
            one.update({f"= {g.name}": self.group_mean(a, b, g) for g in groups})
            out[f"{a}/{b}"] = {k: round(v, 4) for k, v in one.items() if v}
        return out


# ---- the table ----------------------------------------------------------------------------------

def line(name, cells, ratios):
    return f"{name:<14}" + "".join(f"{c:>25}" for c in cells) + "".join(f"{r:>13}" for r in ratios)


def workloads(columns, groups):
    yield line("seconds", columns.names, [f"{a}/{b}" for a, b in columns.pairs])
    for group in groups:
        names = columns.present(group.workloads)
        for name in names:
            yield line(name, [columns.cell(c, name) for c in columns.names], map(show, columns.ratios(name)))
        if len(names) > 1:
            means = [mean(rs) for rs in zip(*(columns.ratios(n) for n in names))]
            yield line(f"= {group.name}", [""] * len(columns.names), map(show, means))


def notes(columns):
    if columns.arch == "arm64":
        yield "best: the faster of tcg (-cpu cortex-a72) and tcg-max (-cpu max); native: the x86 build, for reference"
    if columns.present(["sslsha", "sslgcm"]):
        yield "sslsha, sslgcm: seconds for 1 GiB"
    if columns.arch == "amd64" and columns.present(["aes", "avx2", "fma"]):
        yield "aes, avx2, fma: QEMU with -cpu max; elsewhere its default CPU"
    if "kuse" in columns.names and columns.present(["blk1m", "blk4k"]):
        yield "blk1m, blk4k: kuse is QEMU's virtio-blk on KUSE (kuse exec); native reads the image file, all O_DIRECT"
    if columns.present(["smp-par1"]):
        gains = [(c, columns.ratio_of(c, "smp-par1", "smp-par")) for c in columns.names]
        yield "two CPUs against one (smp-par1 / smp-par): " + "   ".join(f"{c} {show(g)}" for c, g in gains)


def whole(columns):
    for measure, title, unit, scale in WHOLE:
        got = [(c, columns.get(c, measure)) for c in columns.names if columns.get(c, measure)]
        if got:
            yield f"{title + ', ' + unit:<46}" + "   ".join(f"{c} {cell(v, scale)}" for c, v in got)


# ---- targets ------------------------------------------------------------------------------------

def at_least(what, limit, got):
    return what, f">= {limit}", got, got is not None and got >= limit


def at_most(what, limit, got):
    return what, f"<= {limit}", got, got is not None and got <= limit


def group_targets(columns, groups):
    ours, tcg, by_name = columns.ours, columns.tcg, {g.name: g for g in groups}
    for name, faster, slower in GROUP_TARGETS[columns.arch]:
        yield at_least(f"{tcg}/{ours}, {name}", faster, columns.group_mean(tcg, ours, by_name[name]))
        if slower:
            yield at_most(f"{ours}/native, {name}", slower, columns.group_mean(ours, "native", by_name[name]))


def worst(columns, a, b, names):
    """The largest ratio of these workloads, and which that is."""
    found = [(r, n) for n in names if (r := columns.ratio(a, b, n))]
    return max(found) if found else (None, "none")


def targets(columns, result, groups):
    """Yields (what, wanted, got or None, good)."""
    ours, tcg = columns.ours, columns.tcg
    for measure in ("boot", "whole") if columns.arch == "amd64" else ("boot",):
        limit = 0.5 if columns.arch == "amd64" else 0.7
        yield at_most(f"{ours}/{tcg}, {TITLE[measure]}", limit, columns.ratio(ours, tcg, measure))
    yield from group_targets(columns, groups)
    slowest, name = worst(columns, ours, tcg, [w for g in groups for w in g.workloads])
    yield at_most(f"{ours}/{tcg}, worst workload: {name}", 1, slowest)
    yield from amd64_targets(columns, result, groups) if columns.arch == "amd64" else whole_targets(columns, ("idle",))


def amd64_targets(columns, result, groups):
    ours = columns.ours
    smp = next(g for g in groups if g.name == "smp").workloads
    slowest, name = worst(columns, ours, "native", smp)
    yield at_most(f"{ours}/native, worst of smp: {name}", 1.5, slowest)
    yield at_least("two CPUs against one, smp-par", 1.8, columns.ratio_of(ours, "smp-par1", "smp-par"))
    translated = result["micro"].get("translation", {}).get(micro.TRANSLATION)
    yield at_least("translation, million instructions per second", 1, translated)
    yield from whole_targets(columns, WHOLE_TARGETS)


def whole_targets(columns, measures):
    for measure in measures:
        values, limit = columns.get("kuse", measure), WHOLE_TARGETS[measure]
        unit, scale = next(w[2:] for w in WHOLE if w[0] == measure)
        yield at_most(f"{TITLE[measure]}, {unit}", limit, statistics.median(values) * scale if values else None)


def verdicts(columns, result, groups):
    for what, wanted, got, good in targets(columns, result, groups):
        verdict = "not measured" if got is None else "met" if good else "MISSED"
        yield f"target {what:<52} {wanted:<8} {show(got):>8}  {verdict}"


# ---- all of it ----------------------------------------------------------------------------------

def header(m):
    yield (f"{m['cpus']} x {m['cpu']}, {m['memory_mib']} MiB, Linux {m['host_kernel']}; guest Linux {m['guest_kernel']}; "
           f"{m['qemu']}; {m['gcc']}")
    yield (f"revision {m['revision']}, {m['date']}, {m['rounds']} rounds, scale {m['scale']} %, load {m['load'][0]:.1f}; "
           "medians (min-max)")


def complaints(result):
    for item in result["disagreements"]:
        yield f"RESULTS DISAGREE: {item}"
    for what, why in result["failures"].items():
        yield f"FAILED: {what}: {why}"
    for item in result["disturbed"]:
        yield f"disturbed: {item}"


def table(columns, result, groups):
    parts = [header(result["machine"]), workloads(columns, groups), notes(columns), whole(columns),
             micro.lines(result["micro"])]
    if columns.ours in columns.names:
        parts.append(verdicts(columns, result, groups))
    parts.append(complaints(result))
    return "\n\n".join(text for text in ("\n".join(part) for part in parts) if text)
