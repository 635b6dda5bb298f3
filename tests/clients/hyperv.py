# SPDX-License-Identifier: Apache-2.0
"""A Linux guest that believes to be on Hyper-V: its clock source, timers, IPIs and TLB flushes are Hyper-V's."""
from case import case
from state import migration

ENLIGHTENMENTS = ("relaxed", "vapic", "vpindex", "time", "runtime", "synic", "stimer", "stimer-direct", "frequencies",
                  "reenlightenment", "reset", "crash", "tlbflush", "ipi", "xmm-input", "spinlocks=0xfff", "enforce-cpuid")
MODEL = "qemu64,kvm=off,+x2apic," + ",".join("hv-" + name for name in ENLIGHTENMENTS)
KVM = ("kuse", "kvm")


def check_hyperv(q, cpus):
    q.need("nproc", rf"^{cpus}$")
    q.need("dmesg | grep 'Hypervisor detected'", "Microsoft Hyper-V")
    q.need("cat /sys/devices/system/clocksource/clocksource0/current_clocksource", "hyperv_clocksource_tsc_page")
    q.need("cat /sys/devices/system/clockevents/clockevent0/current_device", "Hyper-V clockevent")
    q.need("dmesg | grep -c -e 'hypercall for remote TLB flush' -e 'Using IPI hypercalls'", "^2$")


@case("q35, 4 vCPU, Hyper-V enlightenments", seconds=90, accels=KVM)
def hyperv(c):
    q = c.qemu("-smp", 4, "-m", 512, *c.direct(), "-cpu", MODEL)
    q.shell()
    check_hyperv(q, 4)
    q.need("judge 32 4 4", "judge: ok")
    for cpu in (1, 2, 3, 2, 1):
        q.run(f"echo 0 >/sys/devices/system/cpu/cpu{cpu}/online; echo 1 >/sys/devices/system/cpu/cpu{cpu}/online")
    # Time: two seconds are two seconds.
    q.need("a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime); echo $((b - a))", "^[234]$")
    c.check_quiet(q)
    q.power_off()


@case("live migration with Hyper-V enlightenments (q35)", seconds=150, accels=KVM)
def live(c):
    migration(c, "-cpu", MODEL)
