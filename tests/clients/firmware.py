# SPDX-License-Identifier: Apache-2.0
"""SeaBIOS booting disks through GRUB, and OVMF. What the firmware loads comes by the client's DMA."""
import hashlib
import os
import shutil

from case import case
from images import DATA_OFFSET, DATA_SIZE

OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"
FREE = DATA_OFFSET + DATA_SIZE


def disk_boot(c, machine, device, node, cpus=2):
    """GRUB from the MBR, kernel and initramfs from the disk; then Linux reads and writes it, and runs code from it."""
    master, digest = c.images.bios_disk()
    disk = c.path("disk.raw")
    shutil.copyfile(master, disk)
    q = c.qemu("-smp", cpus, "-m", 512, "-drive", f"file={disk},format=raw,if=none,id=d", "-device", device, machine=machine)
    q.shell()
    c.check_linux(q, cpus)
    q.need(f"dd if={node} bs=1M skip={DATA_OFFSET >> 20} count={DATA_SIZE >> 20} 2>/dev/null | sha256sum", digest)
    q.run(f"dd if={node} of={node} bs=1M skip={DATA_OFFSET >> 20} seek={(FREE >> 20) + 1} count=4 conv=fsync 2>/dev/null")
    q.power_off()
    with open(disk, "rb") as f:
        f.seek(DATA_OFFSET)
        want = f.read(4 << 20)
        f.seek(FREE + (1 << 20))
        assert hashlib.sha256(f.read(4 << 20)).digest() == hashlib.sha256(want).digest(), "what the guest wrote is wrong"


@case("SeaBIOS, GRUB, virtio-blk (q35)", seconds=90, short=True)
def virtio(c):
    disk_boot(c, "q35", "virtio-blk-pci,drive=d", "/dev/vda")


@case("SeaBIOS, GRUB, AHCI (q35)", seconds=90)
def ahci(c):
    disk_boot(c, "q35", "ide-hd,drive=d", "/dev/sda")


@case("SeaBIOS, GRUB, IDE (pc)", seconds=90)
def ide(c):
    disk_boot(c, "pc", "ide-hd,drive=d", "/dev/sda")


@case("SeaBIOS, GRUB, virtio-blk, kernel-irqchip=off (pc)", seconds=120, accels=("kuse", "kvm"))
def virtio_off(c):
    disk_boot(c, "pc,kernel-irqchip=off", "virtio-blk-pci,drive=d", "/dev/vda", cpus=1)


@case("disk DMA over code that has run (virtio-blk, I/O thread)", seconds=90)
def iothread(c):
    code_from_disk(c, "virtio-blk-pci,drive=d,iothread=t,num-queues=2", "/dev/vda")


@case("disk DMA over code that has run (AHCI)", seconds=90)
def ahci_code(c):
    code_from_disk(c, "ide-hd,drive=d", "/dev/sda")


def code_from_disk(c, device, node):
    master, digest = c.images.bios_disk()
    q = c.qemu("-smp", 2, "-m", 512, "-snapshot", "-object", "iothread,id=t", "-drive", f"file={master},format=raw,if=none,id=d",
               "-device", device)
    q.shell()
    q.need(f"dd if={node} bs=1M skip={DATA_OFFSET >> 20} count={DATA_SIZE >> 20} 2>/dev/null | sha256sum", digest)
    q.need(f"dmacode {node} {FREE} 500", "dmacode: ok")
    q.power_off()


# ---- UEFI

def ovmf(c, *arguments, cpus=1, flash=OVMF.format("CODE"), machine="q35"):
    variables = c.path("vars.fd")
    shutil.copyfile(OVMF.format("VARS"), variables)
    return c.qemu("-smp", cpus, "-m", 512, *arguments, "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={flash}",
                  "-drive", f"if=pflash,format=raw,unit=1,file={variables}", machine=machine)


@case("OVMF to its shell", seconds=120)
def ovmf_shell(c):
    q = ovmf(c, "-net", "none")
    q.expect(r"Shell> ?")
    q.send("ver\r")
    q.expect(r"UEFI Interactive Shell v[\d.]+")
    q.expect(r"Shell> ?")
    q.send("reset -s\r")
    q.finish()


@case("OVMF, its shell, a kernel from FAT", seconds=180)
def ovmf_kernel(c):
    folder = c.path("esp")
    os.mkdir(folder)
    shutil.copyfile(c.images.kernel(), os.path.join(folder, "vmlinuz.efi"))
    shutil.copyfile(c.images.initramfs(), os.path.join(folder, "initrd"))
    with open(os.path.join(folder, "startup.nsh"), "w", encoding="ascii") as script:
        script.write("fs0:\r\nvmlinuz.efi initrd=\\initrd console=ttyS0 quiet panic=-1\r\n")
    q = ovmf(c, "-drive", f"file=fat:{folder},format=raw,if=none,id=d,readonly=on", "-device", "virtio-blk-pci,drive=d", cpus=2)
    q.shell()
    c.check_linux(q, 2)
    q.need("ls -d /sys/firmware/efi", "efi")
    q.power_off()


@case("OVMF with -kernel", seconds=120)
def ovmf_direct(c):
    q = ovmf(c, *c.direct(), cpus=2)
    q.shell()
    c.check_linux(q, 2)
    q.need("ls -d /sys/firmware/efi", "efi")
    q.power_off()


@case("OVMF with SMM, variables behind it, to a kernel", seconds=150)
def ovmf_smm(c):
    """The build that keeps its variables where only SMM may write: every store to them is an SMI on every vCPU."""
    q = ovmf(c, *c.direct(), "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
             cpus=2, flash="/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", machine="q35,smm=on")
    q.shell()
    c.check_linux(q, 2)
    q.need("ls -d /sys/firmware/efi", "efi")
    q.power_off()
