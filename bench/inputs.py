# SPDX-License-Identifier: Apache-2.0
"""What bench runs: programs, kernel, initramfs, disk.

A guest's /init prints `BENCH init`, runs the workloads that the kernel command line names one by one, each after a line
`BENCH start NAME` and under a time limit, says `BENCH failed NAME STATUS` where one fails, then `BENCH done`, and powers
off. With kuse.idle=1 it prints `BENCH idle` and sleeps.
"""
import glob
import os
import re
import shutil
import subprocess
import tempfile

import appdata
from initramfs import module_order, read, write_initramfs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DISK_MIB = 64

INIT = r"""#!/bin/busybox sh
b=/bin/busybox
echo BENCH init
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b mkdir -p /dev/shm
$b mount -t tmpfs tmpfs /dev/shm
for word in $($b cat /proc/cmdline); do
	case $word in
	kuse.program=*) program=${word#*=} ;;
	kuse.work=*) work=${word#*=} ;;
	kuse.scale=*) scale=${word#*=} ;;
	kuse.limit=*) limit=${word#*=} ;;
	kuse.data=*) data=${word#*=} ;;
	kuse.idle=1) echo BENCH idle; $b sleep 100000 ;;
	esac
done
[ -z "$work" ] || $b ip link set lo up
for module in /modules/*.ko; do
	[ ! -f $module ] || $b insmod $module
done
IFS=,
for name in $work; do
	echo "BENCH start $name"
	$b timeout -s KILL $limit /bin/$program $name $scale ${data:+"$data"} || echo "BENCH failed $name $?"
done
echo BENCH done
$b poweroff -f
"""

FREESTANDING32 = ["-m32", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns",
                  "-static", "-nostdlib"]
# No contraction to fused operations, which A64 has in its baseline: results agree between architectures.
WORK = ["-D_GNU_SOURCE", "-static", "-pthread", "-ffp-contract=off"]
# architecture: {program: (flags, sources, libraries)}
SOURCES = {
    "amd64": {
        "work": (WORK, ["work/*.c", "work/x86/*.c"], ["-lm"]),
        "work32": (FREESTANDING32, ["work32/work32.c", "work/int.c"], []),
        "apps": (["-D_GNU_SOURCE", "-static"], ["apps/*.c"], []),
    },
    "arm64": {
        "work": (WORK, ["work/*.c", "work/arm64/*.c"], ["-lm"]),
    },
}
CROSS_CC = "aarch64-linux-gnu-gcc"


class Failed(Exception):
    pass


def compile_program(path, arch, name):
    flags, patterns, libraries = SOURCES[arch][name]
    compiler = os.environ.get("CC", "gcc") if arch == "amd64" else CROSS_CC
    if not shutil.which(compiler):
        raise Failed(f"{compiler} is missing (tools/deps bench)")
    sources = [f for p in patterns for f in sorted(glob.glob(os.path.join(ROOT, "bench", p)))]
    done = subprocess.run([compiler, "-O2", *flags, "-o", path, *sources, *libraries], cwd=ROOT)
    if done.returncode:
        raise Failed("the workloads do not compile")


def output_of(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{os.path.basename(command[0])} failed")
    return done.stdout.strip()


class Inputs:
    """programs: {name: path}, the host's; kernel, initrd, data: paths. disk and the other archives are made when first
    asked for."""

    def __init__(self, args):
        self.scale, self.own_kernel, self.arch = args.scale, args.kernel, args.arch
        self.folder = os.path.join(os.path.abspath(args.build), "bench" if args.arch == "amd64" else f"bench-{args.arch}")
        os.makedirs(self.folder, exist_ok=True)
        self.programs = self.compile("amd64")
        guests = self.programs if args.arch == "amd64" else self.compile(args.arch)
        self.kernel = args.kernel or self.fetch()
        busybox = shutil.which("busybox") if args.arch == "amd64" else \
            os.path.join(os.path.dirname(self.fetch()), "busybox")
        if not busybox:
            raise Failed("busybox is missing (tools/deps bench)")
        self.initrd = self.path("initramfs.cpio")
        files = {f"bin/{name}": read(path) for name, path in guests.items()}
        write_initramfs(self.initrd, {"bin/busybox": read(busybox), **files, "init": INIT.encode()})
        self.data, self.made = None, {}

    def fetch(self):
        """The cached kernel; a foreign one has its busybox beside it."""
        return output_of(os.path.join(ROOT, "tools/fetch-kernel"), "--arch", self.arch, "--print")

    def compile(self, arch):
        programs = {name: self.path(f"{name}-{arch}" if arch != "amd64" else name) for name in SOURCES[arch]}
        for name, path in programs.items():
            compile_program(path, arch, name)
        return programs

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self, groups):
        """Makes what these groups need beyond the programs."""
        if any(g.program == "apps" for g in groups):
            try:
                folder = appdata.prepare()
            except appdata.Missing as missing:
                raise Failed(str(missing)) from missing
            self.data = os.path.join(folder, "data")
            self.made["apps"] = self.join("initramfs-apps.cpio", os.path.join(folder, "apps.cpio"))
        if any(g.disk for g in groups):
            self.made["disk"] = self.join("initramfs-disk.cpio", self.modules())
            self.disk = self.make_disk()

    def join(self, name, more):
        """Archives one behind another are one to the kernel."""
        with open(self.path(name), "wb") as out:
            for part in (self.initrd, more):
                with open(part, "rb") as f:
                    shutil.copyfileobj(f, out)
                out.write(b"\0" * (-out.tell() % 512))
        return self.path(name)

    def initrd_of(self, group):
        return self.made["apps" if group.program == "apps" else "disk"] if group.program == "apps" or group.disk \
            else self.initrd

    def modules(self):
        """An archive with the kernel's virtio-blk, from its package."""
        if self.own_kernel:
            raise Failed("the disk group needs the modules of the cached Debian kernel: leave out --kernel or disk")
        with open(os.path.join(os.path.dirname(self.kernel), "version"), encoding="ascii") as f:
            release, package = re.match(r"(\S+)\n.*?(linux-image-\S+)", f.read()).groups()
        deb = output_of(os.path.join(ROOT, "tools/fetch-deb"), package)
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            output_of("dpkg-deb", "-x", deb, work)
            tree = os.path.join(work, "lib/modules", release)
            order = module_order(tree, ["virtio_pci", "virtio_blk"])
            write_initramfs(self.path("modules.cpio"), {f"modules/{n:02}-{os.path.basename(p)}": read(p)
                                                        for n, p in enumerate(order)})
        return self.path("modules.cpio")

    def make_disk(self):
        path = self.path("disk.img")
        with open(path, "wb") as f:
            for mib in range(DISK_MIB):
                f.write(b"".join((mib << 12 | i).to_bytes(8, "little") * 32 for i in range(4096)))
        return path
