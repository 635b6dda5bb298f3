# SPDX-License-Identifier: Apache-2.0
"""The engine's micro-benchmarks: bench/micro (a bare CPU, beside the host running the same bytes) and bench/exit (a KVM
client under kuse exec)."""
import json
import os
import subprocess

from inputs import Failed

TRANSLATION = "million instructions per second"


def run(command, timeout):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Failed(f"status {done.returncode}: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired as late:
        raise Failed("not done in time") from late
    except (OSError, ValueError) as error:
        raise Failed(str(error)) from error


def measure(build, timeout, failed):
    """{"cases": ..., "translation": ..., "exits": ...}; what fails is told to failed(name, why)."""
    program = lambda name: os.path.join(os.path.abspath(build), name)
    parts = {"micro": [program("bench_micro"), "--json", "--unit", program("bench_unit")],
             "exits": [program("kuse"), "exec", program("bench_exit"), "--json"]}
    out = {}
    for name, command in parts.items():
        try:
            result = run(command, timeout)
        except Failed as failure:
            failed(name, failure)
            continue
        out.update(result if name == "micro" else {name: result})
    return out


def lines(figures):
    if "cases" in figures:
        yield f"{'ns for one operation':<32}{'native':>10}{'user':>10}{'kernel':>10}"
        for name, by in figures["cases"].items():
            yield f"{name:<32}" + "".join(f"{by[c]:10.2f}" if c in by else f"{'-':>10}" for c in ("native", "user", "kernel"))
    if "exits" in figures:
        yield "exits through KVM, ns: " + "   ".join(f"{name} {ns:.0f}" for name, ns in figures["exits"].items())
    for name, value in figures.get("translation", {}).items():
        yield f"translation, {name:<60}{value:>10.2f}"
