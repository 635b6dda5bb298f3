# SPDX-License-Identifier: Apache-2.0
"""Clients other than QEMU: a Python program and a C program, written to the KVM API alone."""
import os
import sys

from case import case
from images import HERE, run


@case("a client in Python (fcntl, mmap)", seconds=30, short=True, accels=("kuse", "kvm"))
def python(c):
    p = c.process([sys.executable, os.path.join(HERE, "tiny.py")], "python")
    p.expect("hello from the guest\n")
    p.finish()


@case("a client in C, no irqchip: PIO, MMIO, HLT", seconds=30, short=True, accels=("kuse", "kvm"))
def small(c):
    run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", "-o", c.path("tiny"), os.path.join(HERE, "tiny.c")])
    p = c.process([c.path("tiny")], "tiny")
    p.expect("tiny: ok\n")
    p.finish()
