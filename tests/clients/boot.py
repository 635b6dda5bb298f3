# SPDX-License-Identifier: Apache-2.0
"""QEMU booting a kernel directly: machines, numbers of vCPUs, interrupt controllers, CPU models; vCPUs that come and go."""
from case import case

MICROVM = "microvm,rtc=on"


def boot(c, *arguments, machine="q35", accel="", cpus=1, extra=""):
    q = c.qemu("-smp", cpus, "-m", 512, *c.direct(extra), *arguments, machine=machine, accel=accel)
    q.shell()
    c.check_linux(q, cpus)
    q.need("sha256sum /bin/busybox | cut -c1-64 | wc -c", "65")
    q.power_off()


def boots(name, seconds=60, short=False, accels=("kuse", "tcg", "kvm"), **settings):
    """A case that is one boot."""
    case(name, seconds, short, accels)(lambda c: boot(c, *settings.pop("arguments", ()), **settings))


for cpus in (1, 2, 4, 8):
    boots(f"q35, {cpus} vCPU", short=cpus == 2, cpus=cpus)
for cpus in (1, 2, 8):
    boots(f"pc, {cpus} vCPU", machine="pc", cpus=cpus)
# QEMU 7.2 with two vCPUs and the irqchip off spins on a SIPI that it never takes off its list: docs/clients.md.
for mode, cpus in (("split", 2), ("off", 1)):
    for machine in ("q35", "pc"):
        boots(f"{machine}, {cpus} vCPU, kernel-irqchip={mode}", machine=machine, accel=f"kernel-irqchip={mode}", cpus=cpus,
              accels=("kuse", "kvm"))
for model in ("host", "max", "qemu64", "kvm64", "Nehalem", "EPYC"):
    boots(f"q35, 2 vCPU, -cpu {model}", arguments=("-cpu", model), cpus=2, accels=("kuse", "kvm"))
for title, arguments in {
        "HLT and MWAIT not intercepted (cpu-pm)": ("-overcommit", "cpu-pm=on"),
        "invariant TSC": ("-cpu", "host,migratable=off,+invtsc"),
        "QEMU's seccomp sandbox": ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        "RAM in a shared memfd": ("-object", "memory-backend-memfd,id=m,size=512M,share=on", "-machine", "memory-backend=m"),
        "no kvm-clock, no x2APIC": ("-cpu", "qemu64,-kvmclock,-kvmclock-stable-bit,-x2apic"),
}.items():
    case(f"q35, 2 vCPU, {title}", accels=("kuse", "kvm"))(lambda c, arguments=arguments: variant(c, arguments))


def variant(c, arguments):
    q = c.qemu("-smp", 2, "-m", 512, *c.direct(), *arguments)
    q.shell()
    c.note(q.run("dmesg | grep 'Hypervisor detected' | cut -d] -f2").strip() + ", clock " +
           q.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"))
    q.need("judge 16 2 2", "judge: ok")
    c.check_quiet(q)
    q.power_off()


@case("microvm, 1 vCPU")
def microvm(c):
    microvm_boot(c, 1)


@case("microvm, 4 vCPU")
def microvm_4(c):
    microvm_boot(c, 4)


def microvm_boot(c, cpus):
    """It has no ACPI power-off that this kernel uses: a reset, by triple fault, ends QEMU by -no-reboot. The kernel's own
    choice is a jump to the BIOS without a reset, which qboot survives or not: docs/clients.md."""
    q = c.qemu("-smp", cpus, "-m", 512, *c.direct("reboot=t"), "-no-reboot", machine=MICROVM)
    q.shell()
    c.check_linux(q, cpus)
    q.send("reboot -f\n")
    q.finish()


@case("q35: reset from the guest and from the monitor", seconds=90)
def reset(c):
    q = c.qemu("-smp", 2, "-m", 512, *c.direct())
    monitor = c.monitor()
    q.shell()
    q.send("reboot -f\n")
    q.shell()
    c.check_linux(q, 2)
    monitor.do("system_reset")
    q.shell()
    c.check_linux(q, 2)
    monitor.do("system_powerdown")
    monitor.do("quit")
    q.finish()


@case("q35, 4 vCPU: taken off and on again from the guest", seconds=120)
def hotplug(c):
    q = c.qemu("-smp", 4, "-m", 512, *c.direct())
    q.shell()
    for _ in range(3):
        for cpu in (1, 2, 3):
            q.run(f"echo 0 >/sys/devices/system/cpu/cpu{cpu}/online")
        q.need("nproc", "^1$")
        for cpu in (3, 1, 2):
            q.run(f"echo 1 >/sys/devices/system/cpu/cpu{cpu}/online")
        q.need("nproc", "^4$")
    q.need("taskset 4 sha256sum /bin/busybox | wc -l", "^1$")
    c.check_quiet(q)
    q.power_off()


@case("q35: vCPUs added and removed by the monitor", seconds=90)
def plug(c):
    """ACPI CPU hot-plug: KVM_CREATE_VCPU while the others run; an unplugged one is parked and taken again."""
    q = c.qemu("-smp", "1,sockets=1,cores=4,maxcpus=4", "-m", 512, *c.direct())
    monitor = c.monitor()
    q.shell()
    for _ in range(2):
        for core in (1, 2):
            place = {"socket-id": 0, "core-id": core, "thread-id": 0}
            monitor.do("device_add", driver="qemu64-x86_64-cpu", id=f"cpu{core}", **place)
            q.need(f"n=0; until [ -e /sys/devices/system/cpu/cpu{core} ] || [ $n = 100 ]; do usleep 100000; n=$((n+1)); done;"
                   f"cd /sys/devices/system/cpu/cpu{core}; grep -q 1 online || echo 1 >online; cd /; nproc", rf"(?m)^{core + 1}$")
        for core in (1, 2):
            monitor.do("device_del", id=f"cpu{core}")
            q.need(f"n=0; while [ -e /sys/devices/system/cpu/cpu{core} ] && [ $n -lt 100 ]; do usleep 100000; n=$((n+1)); done;"
                   "nproc", rf"(?m)^{3 - core}$")
    c.check_quiet(q)
    q.power_off()


@case("q35, 6 GiB: RAM on both sides of the hole", seconds=90)
def large(c):
    q = c.qemu("-smp", 2, "-m", "6G", *c.direct())
    q.shell()
    q.need("grep MemTotal /proc/meminfo", "MemTotal: *[56][0-9]{6} kB")
    q.need("judge 64 2 2", "judge: ok")
    q.power_off()


@case("q35, 8 vCPU: memory witness on every vCPU", seconds=90)
def busy(c):
    q = c.qemu("-smp", 8, "-m", 512, *c.direct())
    q.shell()
    q.need("judge 64 8 5", "judge: ok")
    q.power_off()


@case("q35: stop, continue and pmemsave from the monitor")
def stop_cont(c):
    q = c.qemu("-smp", 2, "-m", 512, *c.direct())
    monitor = c.monitor()
    q.shell()
    q.send("judge 16 2 3; echo '<<'$?'>>'\n")
    for _ in range(10):
        monitor.do("stop")
        monitor.do("cont")
    q.expect("judge: ok")
    q.expect("kuse# ")
    q.power_off()
