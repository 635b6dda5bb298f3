# SPDX-License-Identifier: Apache-2.0
"""The cases: a table that the other files fill through @case, and what a case is given when it runs."""
import os
import re
import shutil
import tempfile
import time

from machine import Failed, Guest, Monitor, Process, Skipped

COMMAND_LINE = "console=ttyS0 quiet panic=-1"
CASES = []


def case(name, seconds=60, short=False, accels=("kuse", "tcg", "kvm")):
    """Registers function(c). short: belongs to the selection that `make test` runs."""
    def register(function):
        CASES.append({"name": name, "seconds": seconds, "short": short, "accels": accels, "run": function})
        return function
    return register


class Case:
    """What a running case may use. folder is its own and gone afterwards."""

    def __init__(self, entry, options, images):
        self.entry, self.options, self.images = entry, options, images
        self.processes, self.monitors, self.notes = [], [], []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="kuse-client.")
        self.end = time.monotonic() + self.entry["seconds"] * self.options.patience
        return self

    def __exit__(self, failure, *_):
        if failure:
            self.post_mortem()
        for process in self.processes:
            process.kill()
        self.keep_logs()
        shutil.rmtree(self.folder, ignore_errors=True)

    def post_mortem(self):
        """What QEMU says of its vCPUs goes into the log of a case that failed."""
        self.end = time.monotonic() + 10
        for monitor in self.monitors:
            for line in ("info status", "info registers -a", "info lapic", "info pic"):
                try:
                    answer = monitor.human(line)
                except (Failed, OSError, ValueError) as problem:
                    answer = str(problem)
                self.processes[-1].log += f"\n==== {line}\n{answer}\n"

    def keep_logs(self):
        slug = re.sub(r"\W+", "-", self.entry["name"]).strip("-")
        with open(os.path.join(self.options.logs, slug + ".log"), "w", encoding="utf-8") as out:
            for p in self.processes:
                out.write(f"==== {p.name}: {' '.join(p.command)}\n{p.log}\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def note(self, text):
        """Goes into the table's last column when the case passes."""
        self.notes.append(text)

    # ---- commands

    def client(self, command):
        """The command of an unmodified client, so that it sees our /dev/kvm."""
        return [self.options.kuse, "exec", "--"] + command if self.options.accel == "kuse" else command

    def process_here(self, command, name):
        """A program of ours next to the client."""
        return Process(self, command, name)

    def process(self, command, name="client", environment=None):
        return Process(self, self.client(command), name, environment)

    def qemu(self, *arguments, machine="q35", accel="", name="qemu"):
        """Starts QEMU with its serial port on our pipe. accel: properties, such as kernel-irqchip=off."""
        kvm = self.options.accel != "tcg"
        chosen = "kvm" + ("," + accel if accel else "") if kvm else "tcg,thread=multi"
        arguments = [a if kvm or a != "host" else "max" for a in map(str, arguments)]
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-accel", chosen, "-M", machine, "-display", "none",
                   "-serial", "stdio", "-qmp", f"unix:{self.path(name)}.qmp,server=on,wait=off"] + arguments
        return Guest(self, self.client(command), name)

    def monitor(self, name="qemu"):
        self.monitors.append(Monitor(self, self.path(name) + ".qmp"))
        return self.monitors[-1]

    def direct(self, extra=""):
        """Arguments that boot the cloud kernel into our initramfs."""
        return ["-kernel", self.images.kernel(), "-initrd", self.images.initramfs(), "-append", f"{COMMAND_LINE} {extra}".strip()]

    # ---- what every Linux guest is asked

    def check_linux(self, guest, cpus=1):
        guest.need("nproc", rf"^{cpus}$")
        if self.options.accel == "tcg":
            return
        guest.need("dmesg | grep 'Hypervisor detected'", "KVM")
        guest.need("cat /sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock|tsc")

    def check_quiet(self, guest):
        guest.need("dmesg | grep -cE 'BUG:|Oops|WARNING|self-detected stall|lockup' || true", "^0$")


__all__ = ["CASES", "COMMAND_LINE", "Case", "Failed", "Skipped", "case"]
