# SPDX-License-Identifier: Apache-2.0
"""What bench runs: the program, the initramfs, and the contenders that take them.

A guest's /init prints `BENCH init` when it starts, runs the workloads that the kernel command line names (kuse.work=),
prints `BENCH done`, and powers off; with kuse.idle=1 it prints `BENCH idle` and sleeps.
"""
import glob
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HERTZ = os.sysconf("SC_CLK_TCK")
COMMAND_LINE = "console=ttyS0 quiet panic=-1"
RESULT = re.compile(r"^(\w+) (\d+\.\d+) ([0-9a-f]{16})\s*$", re.M)

INIT = r"""#!/bin/busybox sh
b=/bin/busybox
echo BENCH init
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b mkdir -p /dev/shm
$b mount -t tmpfs tmpfs /dev/shm
for word in $($b cat /proc/cmdline); do
	case $word in
	kuse.work=*) work=${word#*=} ;;
	kuse.work32=*) work32=${word#*=} ;;
	kuse.scale=*) scale=${word#*=} ;;
	kuse.idle=1) echo BENCH idle; $b sleep 100000 ;;
	esac
done
[ -z "$work" ] || /bin/work $work $scale
[ -z "$work32" ] || /bin/work32 $work32 $scale
echo BENCH done
$b poweroff -f
"""


# 32-bit programs: workloads of bin/work32. All others are bin/work's.
WORK32 = ["int32", "calls32", "int80"]
FREESTANDING32 = ["-m32", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns",
                  "-static", "-nostdlib"]


class Failed(Exception):
    pass


def by_program(workloads):
    """[workloads of work, workloads of work32]"""
    return [w for w in workloads if w not in WORK32], [w for w in workloads if w in WORK32]


# ---- inputs ------------------------------------------------------------------------------------

def cpio_entry(name, mode, data=b"", rdev=(0, 0), inode=0):
    """One member of a `newc` archive."""
    name = name.encode() + b"\0"
    fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0]
    header = b"070701" + b"".join(b"%08x" % f for f in fields)
    pad = lambda b: b + b"\0" * (-len(b) % 4)
    return pad(header + name) + pad(data)


def write_initramfs(path, files):
    with open(path, "wb") as out:
        for number, folder in enumerate(("bin", "dev", "proc", "sys", "tmp"), 1):
            out.write(cpio_entry(folder, stat.S_IFDIR | 0o755, inode=number))
        out.write(cpio_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1), inode=10))
        for number, (name, data) in enumerate(files.items(), 20):
            out.write(cpio_entry(name, stat.S_IFREG | 0o755, data, inode=number))
        out.write(cpio_entry("TRAILER!!!", 0))


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Inputs:
    """kernel, initrd and work: paths."""

    @classmethod
    def prepare(cls, args):
        self = cls()
        self.scale = args.scale
        folder = os.path.join(os.path.abspath(args.build), "bench")
        os.makedirs(folder, exist_ok=True)
        self.work = os.path.join(folder, "work")
        self.work32 = os.path.join(folder, "work32")
        cls.compile(self.work, ["-static"], sorted(glob.glob(os.path.join(ROOT, "bench/work/*.c"))))
        cls.compile(self.work32, FREESTANDING32, [os.path.join(ROOT, "bench", f)
                                                  for f in ("work32/work32.c", "work/int.c")])
        self.kernel = args.kernel or cls.cached_kernel()
        busybox = shutil.which("busybox")
        if not busybox:
            raise Failed("busybox is missing (tools/deps bench)")
        self.initrd = os.path.join(folder, "initramfs.cpio")
        write_initramfs(self.initrd, {"bin/busybox": read(busybox), "bin/work": read(self.work),
                                      "bin/work32": read(self.work32), "init": INIT.encode()})
        return self

    @staticmethod
    def compile(program, flags, sources):
        done = subprocess.run([os.environ.get("CC", "gcc"), "-O2", *flags, "-o", program, *sources])
        if done.returncode:
            raise Failed("the workloads do not compile")

    @staticmethod
    def cached_kernel():
        done = subprocess.run([os.path.join(ROOT, "tools/fetch-kernel"), "--print"], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed("no kernel")
        return done.stdout.strip()


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


def adjacent_runs(pid):
    """Merges neighbouring mappings of one backing: [start, end, backing, resident]."""
    runs = []
    for start, end, backing, resident in mappings(pid):
        if runs and runs[-1][1] == start and runs[-1][2] == backing:
            runs[-1][1] = end
            runs[-1][3] += resident
        else:
            runs.append([start, end, backing, resident])
    return runs


def memory_beyond_ram(pid, ram):
    """Resident bytes of the process tree without guest RAM: the run of mappings of RAM's size, and whatever else maps
    the same file or memfd."""
    runs = [r for p in process_tree(pid) for r in adjacent_runs(p)]
    holds_ram = [r for r in runs if 0.98 * ram <= r[1] - r[0] <= 1.05 * ram]
    if not holds_ram:
        raise Failed("cannot tell which of its memory is guest RAM")
    ram_backing = {r[2] for r in holds_ram if r[2]}
    return sum(r[3] for r in runs if r not in holds_ram and r[2] not in ram_backing)


class Result:
    def __init__(self):
        self.to_init = self.wall = self.others = 0.0
        self.programs, self.output, self.status = {}, "", None


class Watched:
    """A running child with its output on a pipe, and the clock started just before it was."""

    def __init__(self, command, timeout, pin=False):
        self.command, self.result = command, Result()
        self.busy = busy_ticks()
        self.began = time.monotonic()
        self.end = self.began + timeout
        pinned = (lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})) if pin else None
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, preexec_fn=pinned, start_new_session=True)

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


# ---- contenders ---------------------------------------------------------------------------------

class Contender:
    boots, runs_commands = True, False

    def __init__(self, args):
        self.args = args

    def parameters(self, inputs, workloads, extra=""):
        words = [COMMAND_LINE, extra]
        for name, part in zip(("work", "work32"), by_program(workloads)):
            if part:
                words.append(f"kuse.{name}={','.join(part)} kuse.scale={inputs.scale}")
        return " ".join(w for w in words if w)

    def boot(self, inputs, workloads):
        watched = Watched(self.command(inputs, self.parameters(inputs, workloads), 1024), self.args.timeout)
        try:
            if watched.read_until("BENCH init"):
                watched.result.to_init = time.monotonic() - watched.began
            result = watched.finish()
        finally:
            watched.stop()
        if "BENCH done" not in result.output or result.status:
            raise Failed(f"status {result.status}; last output: {watched.tail()}")
        self.read_programs(result)
        return result

    @staticmethod
    def read_programs(result):
        text = result.output.replace("\r", "")
        result.programs = {m[0]: (float(m[1]), m[2]) for m in RESULT.findall(text)}

    def idle(self, inputs, seconds):
        """Returns (fraction of a core, bytes beyond guest RAM) of a 512 MiB guest that sleeps."""
        ram = 512
        watched = Watched(self.command(inputs, self.parameters(inputs, [], "kuse.idle=1"), ram), self.args.timeout)
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
    """The programs on the host, on one CPU as in the guests."""
    name, boots = "native", False

    def boot(self, inputs, workloads):
        parts = [self.run(program, part, inputs.scale)
                 for program, part in zip((inputs.work, inputs.work32), by_program(workloads)) if part]
        for part in parts[1:]:
            parts[0].programs.update(part.programs)
        parts[0].others = max(part.others for part in parts)
        return parts[0]

    def run(self, program, workloads, scale):
        watched = Watched([program, ",".join(workloads), str(scale)], self.args.timeout, pin=True)
        try:
            result = watched.finish()
        finally:
            watched.stop()
        if result.status:
            raise Failed(f"status {result.status}: {watched.tail()}")
        self.read_programs(result)
        return result


class Tcg(Contender):
    name, accel = "tcg", "tcg,thread=multi"

    def command(self, inputs, parameters, ram):
        return ["qemu-system-x86_64", "-accel", self.accel, "-M", "q35", "-smp", "1", "-m", f"{ram}M",
                "-kernel", inputs.kernel, "-initrd", inputs.initrd, "-append", parameters,
                "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]


class Kuse(Contender):
    name, runs_commands = "kuse", True

    def program(self):
        return os.path.join(os.path.abspath(self.args.build), "kuse")

    def command(self, inputs, parameters, ram):
        return [self.program(), "run", "--accel", "kuse", "-k", inputs.kernel, "-i", inputs.initrd, "-m", str(ram),
                "-c", "1", "-p", parameters]

    def run_true(self):
        watched = Watched([self.program(), "run", "--accel", "kuse", "--", "true"], self.args.timeout)
        try:
            result = watched.finish()
        finally:
            watched.stop()
        if result.status:
            raise Failed(f"status {result.status}: {watched.tail()}")
        return result


class Qemu(Tcg):
    """The same unmodified QEMU on KUSE's /dev/kvm."""
    name, accel = "qemu", "kvm"

    def command(self, inputs, parameters, ram):
        program = os.path.join(os.path.abspath(self.args.build), "kuse")
        return [program, "exec", "--"] + super().command(inputs, parameters, ram)


def contenders(args, inputs):
    known = {c.name: c for c in (Native, Tcg, Kuse, Qemu)}
    out = []
    for name in args.contenders.split(","):
        if name not in known:
            raise Failed(f"no contender {name}")
        contender = known[name](args)
        if name in ("tcg", "qemu") and not shutil.which("qemu-system-x86_64"):
            raise Failed("qemu-system-x86_64 is missing (tools/deps bench)")
        if name in ("kuse", "qemu") and not os.access(os.path.join(args.build, "kuse"), os.X_OK):
            raise Failed(f"{args.build}/kuse is not built")
        out.append(contender)
    return out
