# SPDX-License-Identifier: Apache-2.0
"""gdb attached through QEMU's stub to a running stock kernel: breakpoints, watchpoints, single steps."""
import re

from case import Failed, case

NUMBER = r"0x[0-9a-f]+"


class Gdb:
    """gdb without symbols; addresses come from the guest's kallsyms."""

    def __init__(self, c, guest):
        self.process = c.process_here(["gdb", "-q", "-nx", "-ex", "set pagination off", "-ex", "set confirm off",
                                       "-ex", "set architecture i386:x86-64"], "gdb")
        self.guest = guest
        self.process.expect(r"\(gdb\) ")
        self.do(f"target remote {c.path('gdb')}", r"in \?\?")

    def do(self, line, pattern=""):
        self.process.send(line + "\n")
        self.process.expect(r"\(gdb\) ")
        output = self.process.before
        if not re.search(pattern, output):
            raise Failed(f"gdb: `{line}` gives {output[-300:]!r}, not {pattern!r}")
        return output

    def go(self):
        self.process.send("continue\n")
        self.process.expect(r"Continuing\.")

    def stops(self, pattern):
        self.process.expect(pattern)
        self.process.expect(r"\(gdb\) ")

    def value(self, expression):
        return int(re.search(NUMBER, self.do(f"printf \"%#lx\\n\", {expression}")).group(), 16)


def symbol(q, name):
    line = q.run(f"grep -w {name} /proc/kallsyms | head -n 1")
    return "0x" + line.split()[0]


def start(c, cpus=1):
    q = c.qemu("-smp", cpus, "-m", 512, *c.direct("nokaslr"), "-chardev", f"socket,id=g,path={c.path('gdb')},server=on,wait=off",
               "-gdb", "chardev:g")
    q.shell()
    return q


def breakpoint_case(c, kind, cpus):
    """Stops three times in sethostname(2), with the argument's length in RDI's registers, and goes on."""
    q = start(c, cpus)
    address = symbol(q, "__x64_sys_sethostname")
    gdb = Gdb(c, q)
    gdb.do(f"{kind} *{address}", "reakpoint 1 at")
    for name in ("a", "bc", "def"):
        gdb.go()
        q.send(f"hostname {name}\n")
        gdb.stops(r"Breakpoint 1, ")
        if gdb.value("$rip") != int(address, 16):
            raise Failed("stopped elsewhere")
        # struct pt_regs of the system call: si, the length, is its 14th word
        if gdb.value("*(long *)($rdi + 13 * 8)") != len(name):
            raise Failed("the system call's second argument is wrong")
        gdb.process.send("")
    gdb.do("delete 1")
    gdb.go()
    q.need("hostname", "def")
    q.power_off()


@case("gdb: software breakpoints", seconds=60)
def software(c):
    breakpoint_case(c, "break", 1)


@case("gdb: hardware breakpoints, 2 vCPU", seconds=60)
def hardware(c):
    breakpoint_case(c, "hbreak", 2)


@case("gdb: software breakpoints, 2 vCPU", seconds=60)
def software_smp(c):
    breakpoint_case(c, "break", 2)


@case("gdb: watchpoint on a kernel variable", seconds=60)
def watch(c):
    q = start(c)
    address = symbol(q, "panic_timeout")
    gdb = Gdb(c, q)
    gdb.do(f"watch *(int *){address}", "atchpoint 1")
    gdb.go()
    q.send("echo 17 >/proc/sys/kernel/panic\n")
    gdb.stops(r"(?s)atchpoint 1.*Old value = -1.*New value = 17")
    gdb.do("delete 1")
    gdb.do(f"rwatch *(int *){address}", "atchpoint 2")
    gdb.go()
    q.send("cat /proc/sys/kernel/panic\n")
    gdb.stops(r"(?s)atchpoint 2.*Value = 17")
    gdb.do("delete 2")
    gdb.go()
    q.need("cat /proc/sys/kernel/panic", "17")
    q.power_off()


@case("gdb: single steps", seconds=60)
def steps(c):
    """Two hundred steps from a system call's entry: each moves RIP by an instruction's length or by a branch that gdb decodes."""
    q = start(c)
    address = symbol(q, "__x64_sys_sethostname")
    gdb = Gdb(c, q)
    gdb.do(f"hbreak *{address}", "reakpoint 1 at")
    gdb.go()
    q.send("hostname stepped\n")
    gdb.stops("Breakpoint 1, ")
    gdb.do("delete 1")
    branches = 0
    for number in range(200):
        text = gdb.do("x/2i $rip")
        here, after = (int(a, 16) for a in re.findall(rf"(?m)^(?:=>)?\s*({NUMBER}):", text)[:2])
        gdb.do("stepi")
        rip = gdb.value("$rip")
        branch = re.search(r":\s*(?:cs |ds |bnd |repz |repnz )*(j|call|ret|iret|loop|rep|sysret|int)", text.splitlines()[0])
        branches += bool(branch)
        if rip != after and not branch:
            raise Failed(f"step {number}: {text.splitlines()[0]} went to {rip:#x}, not {after:#x}")
        if rip == here and not branch:
            raise Failed(f"step {number}: stays at {here:#x}")
    c.note(f"200 steps, {branches} branches")
    gdb.go()
    q.expect("kuse# ")
    q.need("hostname", "stepped")
    q.power_off()
