# SPDX-License-Identifier: Apache-2.0
"""Clients other than QEMU: a Python program and a C program, written to the KVM API alone."""
import os
import shutil
import sys

from case import Skipped, case
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


@case("guestfish (libguestfs, direct backend, force_kvm) on the Debian disk", seconds=240, accels=("kuse", "kvm"))
def guestfish(c):
    """It looks for KVM itself, starts QEMU three times, and boots an appliance made of the host's packages."""
    if not shutil.which("guestfish"):
        raise Skipped("libguestfs-tools is not installed (113 packages)")
    if not os.path.isdir("/lib/modules"):
        raise Skipped("supermin wants a folder /lib/modules on the host")
    kernel, release, modules = c.images.whole_kernel()
    environment = {"SUPERMIN_KERNEL": kernel, "SUPERMIN_KERNEL_VERSION": release, "SUPERMIN_MODULES": modules,
                   "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_kvm",
                   "LIBGUESTFS_CACHEDIR": c.images.folder}
    p = c.process(["guestfish", "--ro", "-a", f"{c.images.debian()}/disk.raw", "run", ":", "vfs-type", "/dev/sda1", ":",
                   "mount-ro", "/dev/sda1", "/", ":", "cat", "/etc/hostname", ":", "debug", "sh", "dmesg"],
                  "guestfish", environment)
    p.expect(r"(?m)^ext4$")
    p.expect(r"(?m)^kuse$")
    p.expect("Hypervisor detected: KVM")
    p.finish()
