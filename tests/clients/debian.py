# SPDX-License-Identifier: Apache-2.0
"""A whole Debian 12 from a disk: GRUB, initramfs, systemd, a login on the serial console, a compiler, a clean end."""
import re
import shutil
import subprocess

from case import Failed, case
from images import run

PARTITION = "offset=1048576"


def disk_of(c):
    disk = c.path("disk.raw")
    run(["cp", "--sparse=always", "--reflink=auto", f"{c.images.debian()}/disk.raw", disk])
    return disk


def login(q):
    q.expect(r"kuse login: ")
    q.send("root\n")
    q.expect(r"Password: ")
    q.send("kuse\n")
    q.expect(r"root@kuse:~# ")
    q.send("bind 'set enable-bracketed-paste off'; stty cols 200\n")
    q.expect(r"cols 200\n")
    q.expect(r"root@kuse:~# ")


def command(q, line, pattern):
    q.send(line + "; echo \"<<\"$?\">>\"\n")
    q.expect(r"\"<<\"\$\?\">>\"\n")  # the echo of what was typed
    m = q.expect(r"<<(\d+)>>")
    output = q.before
    q.expect(r"root@kuse:~# ")
    if m.group(1) != "0" or not re.search(pattern, output):
        raise Failed(f"`{line}`: status {m.group(1)}, {output[-300:]!r}, not {pattern!r}")


def work(q, cpus):
    """What a logged-in user does."""
    command(q, "nproc", rf"(?m)^{cpus}$")
    command(q, "dmesg | grep Hypervisor; systemd-detect-virt || true", "")
    command(q, "dmesg | grep -E 'segfault|traps:|general protection|BUG' | head -n 5; echo quiet", r"^\s*quiet")
    command(q, "systemctl --failed --no-legend --plain; echo none", r"^\s*none")
    command(q, "printf '#include <stdio.h>\\nint main(void){int s=0;for(int i=1;i<=100;i++)s+=i;printf(\"sum %%d\\\\n\",s);}' >a.c",
            "")
    command(q, "gcc -O2 -Wall -o a a.c && ./a", r"(?m)^sum 5050$")
    command(q, "dd if=/dev/urandom of=/root/blob bs=1M count=32 2>/dev/null && sha256sum blob >sum && sync && "
               "echo 3 >/proc/sys/vm/drop_caches && sha256sum -c sum", "blob: OK")


def clean(disk):
    """The file system of the partition after a clean end."""
    with open(disk, "rb") as whole, open(disk + ".part", "wb") as part:
        whole.seek(1 << 20)
        shutil.copyfileobj(whole, part, 1 << 22)
    done = subprocess.run(["e2fsck", "-f", "-n", disk + ".part"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        raise Failed(f"e2fsck: {done.returncode}: {done.stdout[-300:]}")


def whole(c, cpus, *arguments, machine="q35", device="virtio-blk-pci,drive=d"):
    disk = disk_of(c)
    q = c.qemu("-smp", cpus, "-m", 1024, "-drive", f"file={disk},format=raw,if=none,id=d", "-device", device, *arguments,
               machine=machine)
    login(q)
    work(q, cpus)
    q.send("poweroff\n")
    q.finish()
    clean(disk)


@case("Debian 12 from its disk, systemd, login, gcc, e2fsck (q35, 2 vCPU)", seconds=240)
def debian(c):
    whole(c, 2, "-device", "virtio-rng-pci")


@case("Debian 12 from its disk (q35, 4 vCPU, -cpu host)", seconds=240)
def debian_host(c):
    whole(c, 4, "-cpu", "host")


@case("Debian 12 by -kernel and -initrd (q35, 4 vCPU)", seconds=180)
def debian_direct(c):
    folder = c.images.debian()
    disk = disk_of(c)
    q = c.qemu("-smp", 4, "-m", 1024, "-drive", f"file={disk},format=raw,if=virtio", "-kernel", f"{folder}/vmlinuz",
               "-initrd", f"{folder}/initrd.img", "-append", "root=LABEL=root console=ttyS0 quiet")
    login(q)
    work(q, 4)
    q.send("poweroff\n")
    q.finish()
    clean(disk)
