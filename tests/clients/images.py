# SPDX-License-Identifier: Apache-2.0
"""What guests are made of: kernels, initramfs, disks. Downloads are kept in the cache, the rest in build/clients/.

The cloud kernel has no AHCI driver, so disks carry Debian's generic kernel with a few of its modules.
"""
import functools
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench"))
os.environ["PATH"] += ":/usr/sbin:/sbin"  # mke2fs, sfdisk, e2fsck
from initramfs import module_order, read, write_initramfs  # noqa: E402
from machine import Failed, SHELL_PROMPT  # noqa: E402

MODULES = ["virtio_pci", "virtio_blk", "ahci", "ata_piix", "sd_mod"]
DATA_OFFSET, DATA_SIZE, DISK_SIZE = 192 << 20, 8 << 20, 208 << 20  # the data and free space follow the partition

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mount -t tmpfs tmp /tmp
export PATH=/bin HOME=/ PS1='{SHELL_PROMPT}'
for m in /bin/*.ko; do [ ! -f $m ] || insmod $m; done
stty -echo </dev/console
echo "CLIENT init $(uname -r) cpus=$(nproc)"
exec setsid cttyhack sh
"""


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode:
        raise Failed(f"{os.path.basename(command[0])}: {done.stdout[-300:]}")
    return done.stdout


def cache():
    base = os.environ.get("KUSE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "kuse")
    folder = os.path.join(base, "clients")
    os.makedirs(folder, exist_ok=True)
    return folder


class Images:
    """Each is made when it is first asked for."""

    def __init__(self, build):
        self.folder = os.path.join(os.path.abspath(build), "clients")
        os.makedirs(self.folder, exist_ok=True)

    @functools.lru_cache(maxsize=None)
    def kernel(self):
        return run([os.path.join(ROOT, "tools/fetch-kernel"), "--print"]).strip().splitlines()[-1]

    @staticmethod
    def unpack_generic_kernel(work):
        """Downloads Debian's generic kernel and unpacks the whole package into work/x."""
        depends = run(["apt-cache", "depends", "linux-image-amd64"])
        package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
        print(f"clients: downloading {package}", file=sys.stderr)
        run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=work)
        run(["dpkg-deb", "-x", glob.glob(f"{work}/*.deb")[0], f"{work}/x"])

    @functools.lru_cache(maxsize=None)
    def whole_kernel(self):
        """(vmlinuz, release, folder of all modules) of the generic kernel: 400 MB in the cache."""
        folder = os.path.join(cache(), "kernel")
        if not os.path.exists(folder):
            with tempfile.TemporaryDirectory(dir=cache()) as work:
                self.unpack_generic_kernel(work)
                release = os.listdir(f"{work}/x/lib/modules")[0]
                run(["busybox", "depmod", "-b", f"{work}/x", release])
                os.rename(f"{work}/x", folder)
        release = os.listdir(f"{folder}/lib/modules")[0]
        return f"{folder}/boot/vmlinuz-{release}", release, f"{folder}/lib/modules/{release}"

    @functools.lru_cache(maxsize=None)
    def generic_kernel(self):
        """The folder with vmlinuz and modules/NN-name.ko of Debian's generic kernel."""
        folder = os.path.join(cache(), "generic")
        if os.path.exists(os.path.join(folder, "vmlinuz")):
            return folder
        with tempfile.TemporaryDirectory(dir=cache()) as work:
            self.unpack_generic_kernel(work)
            os.makedirs(f"{work}/new/modules")
            for number, path in enumerate(module_order(f"{work}/x/lib/modules", MODULES)):
                shutil.copy(path, f"{work}/new/modules/{number:02}-{os.path.basename(path)}")
            shutil.copy(glob.glob(f"{work}/x/boot/vmlinuz-*")[0], f"{work}/new/vmlinuz")
            os.rename(f"{work}/new", folder)
        return folder

    @functools.lru_cache(maxsize=None)
    def programs(self):
        """{name: path} of the programs that run in the guest."""
        out = {}
        for source in glob.glob(os.path.join(HERE, "guest/*.c")):
            name = os.path.basename(source)[:-2]
            out[name] = os.path.join(self.folder, name)
            run([os.environ.get("CC", "gcc"), "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o", out[name], source])
        return out

    def write_initramfs(self, path, modules):
        busybox = shutil.which("busybox")
        if not busybox:
            raise Failed("busybox is missing (tools/deps clients)")
        files = {"bin/busybox": read(busybox), "init": INIT.encode()}
        files.update({f"bin/{name}": read(p) for name, p in self.programs().items()})
        files.update({f"bin/{os.path.basename(p)}": read(p) for p in modules})
        write_initramfs(path, files)
        return path

    @functools.lru_cache(maxsize=None)
    def initramfs(self):
        return self.write_initramfs(os.path.join(self.folder, "initramfs.cpio"), [])

    @functools.lru_cache(maxsize=None)
    def disk_initramfs(self):
        modules = sorted(glob.glob(os.path.join(self.generic_kernel(), "modules/*.ko")))
        return self.write_initramfs(os.path.join(self.folder, "disk-initramfs.cpio"), modules)

    @functools.lru_cache(maxsize=None)
    def bios_disk(self):
        """(path, SHA-256 of its data area): GRUB, a partition with the generic kernel, then 8 MiB of data, then free space."""
        path = os.path.join(self.folder, "bios.raw")
        data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(DATA_SIZE // 32))
        with tempfile.TemporaryDirectory(dir=self.folder) as work, open(path, "wb") as disk:
            disk.truncate(DISK_SIZE)
            disk.seek(DATA_OFFSET)
            disk.write(data)
            disk.flush()
            os.mkdir(f"{work}/root")
            shutil.copy(os.path.join(self.generic_kernel(), "vmlinuz"), f"{work}/root/vmlinuz")
            shutil.copy(self.disk_initramfs(), f"{work}/root/initrd.img")
            with open(f"{work}/grub.cfg", "w", encoding="ascii") as config:
                config.write("serial --unit=0 --speed=115200\nterminal_output serial\nset root=(hd0,msdos1)\n"
                             "linux /vmlinuz console=ttyS0 quiet panic=-1\ninitrd /initrd.img\nboot\n")
            megabytes = (DATA_OFFSET >> 20) - 1
            run(["mke2fs", "-q", "-t", "ext4", "-E", "offset=1048576", "-d", f"{work}/root", path, f"{megabytes}M"])
            run(["sfdisk", "-q", path], input=f"2048,{megabytes * 2048},83,*\n")
            run([os.path.join(HERE, "grub-mbr"), path, f"{work}/grub.cfg"])
        return path, hashlib.sha256(data).hexdigest()

    @functools.lru_cache(maxsize=None)
    def debian(self):
        """The folder of a whole Debian 12."""
        return run([os.path.join(HERE, "debian-image")]).strip().splitlines()[-1]
