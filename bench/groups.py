# SPDX-License-Identifier: Apache-2.0
"""The workloads, in groups: what one boot of a guest runs, and what one geometric mean is taken over. Each
architecture has its own list."""


class Group:
    """program: what runs the workloads, of bench/work, work32 or apps. cpus: of the guest; natively, the programs may use
    as many. model: QEMU's -cpu. disk: the guest has a virtio-blk disk."""

    def __init__(self, name, workloads, program="work", cpus=1, model=None, disk=False):
        self.name, self.workloads = name, workloads.split()
        self.program, self.cpus, self.model, self.disk = program, cpus, model, disk

    def only(self, workloads):
        """This group without the workloads that are not among these."""
        return Group(self.name, " ".join(w for w in self.workloads if w in workloads), self.program, self.cpus,
                     self.model, self.disk)


AMD64 = [
    Group("cpu", "int vm calls icall smc sha256 qsort"),
    Group("mem", "memcpy repmovs triad chase"),
    Group("fp", "nbody mandel saxpy fpmisc x87"),
    Group("vec", "aes avx2 fma", model="max"),
    Group("x32", "int32 calls32 int80", program="work32"),
    Group("kern", "getpid signal pipe ctxsw fork forkexec fault mmap mprotect file tcp clock timer"),
    Group("apps", "shell gzip gunzip xz unxz sslsha sslgcm pystart python sqlite lua gcc", program="apps"),
    Group("smp", "smp-par smp-atomic smp-pingpong smp-spin", cpus=2),
    Group("smp1", "smp-par1"),
    Group("disk", "blk1m blk4k", disk=True),
]
ARM64 = [
    Group("cpu", "int vm calls icall smc sha256 qsort"),
    Group("mem", "memcpy triad chase"),
    Group("fp", "nbody mandel saxpy fpmisc fma"),
    Group("vec", "aes"),
    Group("kern", "getpid signal pipe ctxsw fork forkexec fault mmap mprotect file tcp clock timer"),
    Group("smp", "smp-par smp-atomic smp-pingpong smp-spin", cpus=2),
    Group("smp1", "smp-par1"),
]
OF_ARCH = {"amd64": AMD64, "arm64": ARM64}


def select(groups, names):
    """Of these groups what a list of groups' and workloads' names leaves; the names that are none."""
    workloads = [w for g in groups for w in g.workloads]
    by_name = {g.name: g.workloads for g in groups}
    wanted = [w for n in names for w in by_name.get(n, [n])]
    left = [g.only(wanted) for g in groups]
    return [g for g in left if g.workloads], [w for w in wanted if w not in workloads]
