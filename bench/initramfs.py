# SPDX-License-Identifier: Apache-2.0
"""Writes initramfs archives (cpio, format `newc`)."""
import glob
import os
import re
import stat

FOLDERS = ("bin", "dev", "proc", "sys", "tmp")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def cpio_entry(name, mode, data=b"", rdev=(0, 0), inode=0, mtime=0):
    """One member of a `newc` archive."""
    name = name.encode() + b"\0"
    fields = [inode, mode, 0, 0, 1, mtime, len(data), 0, 0, rdev[0], rdev[1], len(name), 0]
    header = b"070701" + b"".join(b"%08x" % f for f in fields)
    pad = lambda b: b + b"\0" * (-len(b) % 4)
    return pad(header + name) + pad(data)


def parents(files):
    """The folders above the files, upper ones first."""
    out = set()
    for name in files:
        while name := os.path.dirname(name):
            out.add(name)
    return sorted(out)


def write_initramfs(path, files, mtimes=None):
    """files: {name: contents}; each may be executed. mtimes: {name: seconds} where it matters."""
    folders = list(dict.fromkeys((*FOLDERS, *parents(files))))
    with open(path, "wb") as out:
        for number, folder in enumerate(folders, 1):
            out.write(cpio_entry(folder, stat.S_IFDIR | 0o755, inode=number))
        first = len(folders) + 1
        out.write(cpio_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1), inode=first))
        for number, (name, data) in enumerate(files.items(), first + 1):
            out.write(cpio_entry(name, stat.S_IFREG | 0o755, data, inode=number, mtime=(mtimes or {}).get(name, 0)))
        out.write(cpio_entry("TRAILER!!!", 0))


def module_order(tree, wanted):
    """Paths of kernel modules and of what they depend on, in the order of loading."""
    paths = {os.path.basename(p)[:-3].replace("-", "_"): p for p in glob.glob(f"{tree}/**/*.ko", recursive=True)}
    order = []

    def add(name):
        depends = re.search(rb"\0depends=([^\0]*)\0", read(paths[name])).group(1).decode()
        for other in filter(None, depends.split(",")):
            add(other.replace("-", "_"))
        if paths[name] not in order:
            order.append(paths[name])
    for name in wanted:
        add(name)
    return order
