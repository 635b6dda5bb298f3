# SPDX-License-Identifier: Apache-2.0
"""Whole machine state: savevm/loadvm, and migration between two processes, the guest's memory witness as the judge."""
import os
import socket
import time

from case import Failed, case
from images import run

MIGRATION_END = ("completed", "failed", "cancelled")


def snapshot(monitor, line):
    answer = monitor.human(line)
    if answer:
        raise Failed(f"{line}: {answer}")


@case("savevm and loadvm, memory witness running", seconds=120)
def savevm(c):
    run(["qemu-img", "create", "-q", "-f", "qcow2", c.path("state.qcow2"), "1G"])
    q = c.qemu("-smp", 2, "-m", 256, *c.direct(), "-drive", f"file={c.path('state.qcow2')},if=none,id=s,format=qcow2")
    monitor = c.monitor()
    q.shell()
    q.send("judge 32 2 8\n")
    q.expect(r"judge: second 1 ")
    snapshot(monitor, "savevm first")
    q.expect(r"judge: second 4 ")
    snapshot(monitor, "loadvm first")
    q.expect(r"judge: second [23] ")  # time went back to the snapshot's
    q.expect(r"judge: ok")
    q.expect("kuse# ")
    snapshot(monitor, "loadvm first")
    q.expect(r"judge: ok")
    q.expect("kuse# ")
    q.power_off()


def migrate(monitor, c, uri):
    monitor.do("migrate", uri=uri)
    while True:
        status = monitor.do("query-migrate")
        if status.get("status") in MIGRATION_END:
            break
        if time.monotonic() > c.end:
            raise Failed(f"migration does not end: {status}")
        time.sleep(0.1)
    if status["status"] != "completed":
        raise Failed(f"migration: {status['status']}: {status.get('error-desc')}")
    return status


def migration(c, *arguments, accel="", machine="q35"):
    """A guest with two vCPUs that write memory moves to another process, and from there to a third."""
    common = ["-smp", 2, "-m", 512, *c.direct(), *arguments]
    q = c.qemu(*common, name="first", machine=machine, accel=accel)
    q.shell()
    source, guest = c.monitor("first"), q
    q.send("judge 32 2 14\n")
    q.expect(r"judge: second 1 ")
    for name in ("second", "third"):
        port = free_port()
        target = c.qemu(*common, "-incoming", "defer", name=name, machine=machine, accel=accel)
        monitor = c.monitor(name)
        for m in (source, monitor):
            m.do("migrate-set-parameters", **{"downtime-limit": 500, "max-bandwidth": 1 << 31})
        monitor.do("migrate-incoming", uri=f"tcp:127.0.0.1:{port}")
        status = migrate(source, c, f"tcp:127.0.0.1:{port}")
        c.note(f"to the {name}: {status['ram']['dirty-sync-count']} passes, down {status['downtime']} ms")
        source.do("quit")
        guest.finish()
        if "MISMATCH" in guest.log:
            raise Failed(guest.tail())
        source, guest = monitor, target
        target.expect(r"judge: second \d+ ")
    guest.expect(r"judge: (ok|MISMATCH.*)")
    if "MISMATCH" in guest.log:
        raise Failed(guest.tail())
    guest.expect("kuse# ")
    guest.need("nproc", "^2$")
    c.check_quiet(guest)
    guest.power_off()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@case("live migration on loopback, twice (q35)", seconds=150)
def live(c):
    migration(c)


@case("live migration, kernel-irqchip=split (q35)", seconds=150, accels=("kuse", "kvm"))
def live_split(c):
    migration(c, accel="kernel-irqchip=split")


@case("live migration with the dirty ring (q35)", seconds=150, accels=("kuse", "kvm"))
def live_ring(c):
    migration(c, accel="dirty-ring-size=4096")


@case("migration to a file and back", seconds=90)
def to_file(c):
    common = ["-smp", 2, "-m", 256, *c.direct()]
    q = c.qemu(*common, name="first")
    q.shell()
    monitor = c.monitor("first")
    q.send("judge 32 2 6\n")
    q.expect(r"judge: second 1 ")
    migrate(monitor, c, f"exec:cat >{c.path('state')}")
    monitor.do("quit")
    q.finish()
    c.note(f"{os.path.getsize(c.path('state')) >> 20} MiB")
    q = c.qemu(*common, "-incoming", f"exec:cat {c.path('state')}", name="second")
    q.expect(r"judge: ok")
    q.expect("kuse# ")
    q.power_off()
