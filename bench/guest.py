# SPDX-License-Identifier: Apache-2.0
"""The contenders: how each boots a guest or runs the programs itself, and what a watched process did."""
import glob
import os
import re
import select
import shutil
import signal
import subprocess
import time

from inputs import Failed

HERTZ = os.sysconf("SC_CLK_TCK")
COMMAND_LINE = "quiet panic=-1"
RESULT = re.compile(r"^([\w-]+) (\d+\.\d+) ([0-9a-f]{16})\s*$", re.M)
FAILURE = re.compile(r"^BENCH failed ([\w-]+) (\d+)\s*$", re.M)
START = re.compile(r"^BENCH start ([\w-]+)\s*$", re.M)


# ---- watching a process -------------------------------------------------------------------------

def busy_ticks():
    """CPU time of the whole machine, idle and I/O wait left out, in ticks."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, f.readline().split()[1:8])
    return user + nice + system + irq + softirq


def process_tree(pid):
    out = [pid]
    for child in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(child) as f:
                for c in f.read().split():
                    out += process_tree(int(c))
        except OSError:
            pass
    return out


def cpu_ticks(pid):
    total = 0
    for p in process_tree(pid):
        try:
            with open(f"/proc/{p}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total


def mappings(pid):
    """Yields (start, end, backing, resident bytes)."""
    start = end = backing = None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            m = re.match(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) (\d+)", line)
            if m:
                start, end = int(m.group(1), 16), int(m.group(2), 16)
                backing = (m.group(3), m.group(4)) if m.group(4) != "0" else None
            elif line.startswith("Rss:"):
                yield start, end, backing, int(line.split()[1]) * 1024


def size_of_ram(start, end, ram):
    return 0.98 * ram <= end - start <= 1.05 * ram


def adjacent_runs(pid, ram):
    """Merges neighbouring mappings of one backing, [start, end, backing, resident], but not what is RAM by itself."""
    runs = []
    for start, end, backing, resident in mappings(pid):
        apart = not runs or size_of_ram(start, end, ram) or size_of_ram(*runs[-1][:2], ram)
        if not apart and runs[-1][1] == start and runs[-1][2] == backing:
            runs[-1][1] = end
            runs[-1][3] += resident
        else:
            runs.append([start, end, backing, resident])
    return runs


def memory_beyond_ram(pid, ram):
    """Resident bytes of the process tree without guest RAM: the run of mappings of RAM's size, and whatever else maps
    the same file or memfd."""
    runs = [r for p in process_tree(pid) for r in adjacent_runs(p, ram)]
    holds_ram = [r for r in runs if size_of_ram(*r[:2], ram)]
    if not holds_ram:
        raise Failed("cannot tell which of its memory is guest RAM")
    ram_backing = {r[2] for r in holds_ram if r[2]}
    return sum(r[3] for r in runs if r not in holds_ram and r[2] not in ram_backing)


class Result:
    """programs: {name: (seconds, checksum)}; failed: {name: why}."""

    def __init__(self):
        self.to_init = self.wall = self.others = 0.0
        self.programs, self.failed, self.output, self.status = {}, {}, "", None

    def read_programs(self):
        text = self.output.replace("\r", "")
        self.programs = {m[0]: (float(m[1]), m[2]) for m in RESULT.findall(text)}
        self.failed = {name: f"status {status}{self.reason(text, name)}" for name, status in FAILURE.findall(text)}

    @staticmethod
    def reason(text, name):
        """What the workload said before it failed."""
        said = text.split(f"BENCH failed {name} ")[0].split(f"BENCH start {name}\n")[-1].strip().split("\n")[-3:]
        return ": " + " | ".join(said) if any(said) else ""

    def started(self):
        return START.findall(self.output.replace("\r", ""))


class Watched:
    """A running child with its output on a pipe, and the clock started just before it was."""

    def __init__(self, command, timeout, cpus=None, environment=None):
        self.command, self.result = command, Result()
        self.busy = busy_ticks()
        self.began = time.monotonic()
        self.end = self.began + timeout
        pinned = (lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cpus:])) if cpus else None
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, preexec_fn=pinned, start_new_session=True,
                                      env={**os.environ, **(environment or {})})

    def read_until(self, marker):
        """Reads until the marker (True) or the end of output (False)."""
        while marker is None or marker not in self.result.output:
            left = self.end - time.monotonic()
            ready, _, _ = select.select([self.child.stdout], [], [], max(0, left))
            if not ready:
                self.stop()
                raise Failed(f"not done in time; last output: {self.tail()}")
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                return False
            self.result.output += data.decode(errors="replace")
        return True

    def tail(self):
        return " | ".join(self.result.output.splitlines()[-6:])

    def stop(self):
        if self.child.returncode is not None:
            return
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, sig)
                self.child.wait(timeout=5)
                break
            except (subprocess.TimeoutExpired, ProcessLookupError):
                pass

    def finish(self):
        """Waits for the end; fills wall time, status, and what others used meanwhile."""
        self.read_until(None)
        _, status, usage = os.wait4(self.child.pid, 0)
        result = self.result
        result.wall = time.monotonic() - self.began
        result.status = self.child.returncode = os.waitstatus_to_exitcode(status)
        own = usage.ru_utime + usage.ru_stime
        result.others = max(0.0, (busy_ticks() - self.busy) / HERTZ - own) / result.wall
        return result


def watch(command, timeout, cpus=None, environment=None):
    """Runs the command to its end; Failed after the timeout."""
    watched = Watched(command, timeout, cpus, environment)
    try:
        return watched.finish()
    finally:
        watched.stop()


# ---- contenders ---------------------------------------------------------------------------------

class Machine:
    """What a guest consists of."""

    def __init__(self, inputs, group=None, ram=1024):
        self.kernel, self.ram = inputs.kernel, ram
        self.initrd = inputs.initrd_of(group) if group else inputs.initrd
        self.cpus, self.model = (group.cpus, group.model) if group else (1, None)
        self.disk = inputs.disk if group and group.disk else None


class Contender:
    boots, runs_commands, console = True, False, "ttyS0"

    def __init__(self, args):
        self.args = args

    def command_line(self):
        return f"console={self.console} {COMMAND_LINE}"

    def parameters(self, inputs, group):
        words = [self.command_line(), f"kuse.program={group.program}", f"kuse.work={','.join(group.workloads)}",
                 f"kuse.scale={inputs.scale}", f"kuse.limit={self.args.limit}"]
        return " ".join(words + (["kuse.data=/bench/data"] if group.program == "apps" else []))

    def boot(self, inputs):
        """Boots to /init and off again."""
        watched = Watched(self.command(Machine(inputs), self.command_line()), self.args.timeout)
        try:
            if watched.read_until("BENCH init"):
                watched.result.to_init = time.monotonic() - watched.began
            result = watched.finish()
        finally:
            watched.stop()
        if "BENCH done" not in result.output or result.status:
            raise Failed(f"status {result.status}; last output: {watched.tail()}")
        return result

    def run_group(self, inputs, group):
        """One guest for the group. The workload in which the guest ended or hung is in failed; those after it are in
        neither list."""
        watched = Watched(self.command(Machine(inputs, group), self.parameters(inputs, group)), self.args.timeout)
        try:
            result = watched.finish()
            why = None if "BENCH done" in result.output and not result.status else \
                f"the guest ended, status {result.status}; last output: {watched.tail()}"
        except Failed as failure:
            result, why = watched.result, str(failure)
        finally:
            watched.stop()
        result.read_programs()
        if why:
            open_ones = [w for w in group.workloads if w not in result.programs and w not in result.failed]
            started = [w for w in result.started() if w in open_ones]
            result.failed.update({w: why for w in started or open_ones})
        return result

    def idle(self, inputs, seconds):
        """Returns (fraction of a core, bytes beyond guest RAM) of a 512 MiB guest that sleeps."""
        ram = 512
        watched = Watched(self.command(Machine(inputs, ram=ram), f"{self.command_line()} kuse.idle=1"), self.args.timeout)
        try:
            if not watched.read_until("BENCH idle"):
                raise Failed(f"ended early: {watched.tail()}")
            time.sleep(3)
            before, began = cpu_ticks(watched.child.pid), time.monotonic()
            time.sleep(seconds)
            used = (cpu_ticks(watched.child.pid) - before) / HERTZ / (time.monotonic() - began)
            if watched.child.poll() is not None:
                raise Failed(f"ended while idle: {watched.tail()}")
            return used, memory_beyond_ram(watched.child.pid, ram << 20)
        finally:
            watched.stop()


class Native(Contender):
    """The programs on the host, on as many CPUs as the guests have."""
    name, boots = "native", False

    def run_group(self, inputs, group):
        total = Result()
        for workload in group.workloads:
            try:
                one = self.run(inputs, group, workload)
            except Failed as failure:
                total.failed[workload] = str(failure)
                continue
            total.programs.update(one.programs)
            total.others = max(total.others, one.others)
            if workload not in one.programs:
                total.failed[workload] = f"status {one.status}: {' | '.join(one.output.splitlines()[-3:])}"
        return total

    def run(self, inputs, group, workload):
        command = [inputs.programs[group.program], workload, str(inputs.scale)]
        environment = {"KUSE_BENCH_DISK": inputs.disk} if group.disk else {}
        if group.program == "apps":
            command.append(inputs.data)
        result = watch(command, self.args.limit, group.cpus, environment)
        result.read_programs()
        return result


class Tcg(Contender):
    name, accel, emulator, board, model = "tcg", "tcg,thread=multi", "qemu-system-x86_64", "q35", None

    def command(self, machine, parameters):
        command = [self.emulator, "-accel", self.accel, "-M", self.board, "-smp", str(machine.cpus),
                   "-m", f"{machine.ram}M", "-kernel", machine.kernel, "-initrd", machine.initrd, "-append", parameters,
                   "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]
        model = machine.model or self.model
        if model:
            command += ["-cpu", model]
        if machine.disk:
            command += ["-drive", f"if=virtio,format=raw,readonly=on,cache=none,file={machine.disk}"]
        return command


class TcgArm64(Tcg):
    emulator, board, model, console = "qemu-system-aarch64", "virt", "cortex-a72", "ttyAMA0"


class TcgArm64Max(TcgArm64):
    name, model = "tcg-max", "max"


class Qemu(Tcg):
    """The same unmodified QEMU on KUSE's /dev/kvm."""
    name, accel = "qemu", "kvm"

    def command(self, machine, parameters):
        program = os.path.join(os.path.abspath(self.args.build), "kuse")
        return [program, "exec", "--"] + super().command(machine, parameters)


class Kuse(Contender):
    """kuse run; where the guest needs a disk, which that has not, QEMU on KUSE."""
    name, runs_commands, arch = "kuse", True, "amd64"

    def program(self):
        return os.path.join(os.path.abspath(self.args.build), "kuse")

    def command(self, machine, parameters):
        if machine.disk:
            return Qemu(self.args).command(machine, parameters)
        return [self.program(), "run", "--arch", self.arch, "--accel", "kuse", "-k", machine.kernel, "-i", machine.initrd,
                "-m", str(machine.ram), "-c", str(machine.cpus), "-p", parameters]

    def run_true(self):
        result = watch([self.program(), "run", "--arch", self.arch, "--accel", "kuse", "--", "true"], self.args.timeout)
        if result.status:
            raise Failed(f"status {result.status}: {' | '.join(result.output.splitlines()[-6:])}")
        return result


class KuseArm64(Kuse):
    arch = "arm64"


KNOWN = {"amd64": (Native, Tcg, Kuse, Qemu), "arm64": (Native, TcgArm64, TcgArm64Max, KuseArm64)}
DEFAULT = {"amd64": "native,tcg,kuse", "arm64": "native,tcg,tcg-max,kuse"}


def contenders(args):
    known = {c.name: c for c in KNOWN[args.arch]}
    out = []
    for name in args.contenders.split(","):
        if name not in known:
            raise Failed(f"no contender {name}")
        contender = known[name](args)
        if isinstance(contender, Tcg) and not shutil.which(contender.emulator):
            raise Failed(f"{contender.emulator} is missing (tools/deps bench)")
        program = "kuse" if args.arch == "amd64" else "kuse-arm64"
        if name in ("kuse", "qemu") and not os.access(os.path.join(args.build, program), os.X_OK):
            raise Failed(f"{args.build}/{program} is not built")
        out.append(contender)
    return out
