#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The smallest client: Python's own open, ioctl and mmap. A real-mode guest writes a line to port 0x10 and halts."""
import ctypes
import fcntl
import mmap
import os
import struct

GET_API_VERSION, CREATE_VM, GET_VCPU_MMAP_SIZE, CREATE_VCPU, RUN = 0xAE00, 0xAE01, 0xAE04, 0xAE41, 0xAE80
SET_USER_MEMORY_REGION, SET_REGS, GET_SREGS, SET_SREGS = 0x4020AE46, 0x4090AE82, 0x8138AE83, 0x4138AE84
EXIT_IO, EXIT_HLT = 2, 5
CS_BASE, CS_SELECTOR = 0, 12  # offsets in struct kvm_sregs, whose first segment is CS
ORIGIN = 0x1000
TEXT = b"hello from the guest\n"
CODE = (b"\xbe\x0d\x10"    # mov si, ORIGIN + 13
        b"\xac"            # next: lodsb
        b"\x84\xc0"        # test al, al
        b"\x74\x04"        # jz end
        b"\xe6\x10"        # out 0x10, al
        b"\xeb\xf7"        # jmp next
        b"\xf4")           # end: hlt


def main():
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    assert fcntl.ioctl(kvm, GET_API_VERSION, 0) == 12
    vm = fcntl.ioctl(kvm, CREATE_VM, 0)
    memory = mmap.mmap(-1, 0x10000)
    program = CODE + TEXT + b"\0"
    memory[ORIGIN:ORIGIN + len(program)] = program
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, 0x10000, address))
    vcpu = fcntl.ioctl(vm, CREATE_VCPU, 0)
    run = mmap.mmap(vcpu, fcntl.ioctl(kvm, GET_VCPU_MMAP_SIZE, 0))
    sregs = bytearray(312)
    fcntl.ioctl(vcpu, GET_SREGS, sregs)
    struct.pack_into("<Q", sregs, CS_BASE, 0)
    struct.pack_into("<H", sregs, CS_SELECTOR, 0)
    fcntl.ioctl(vcpu, SET_SREGS, sregs)
    fcntl.ioctl(vcpu, SET_REGS, struct.pack("<18Q", *[0] * 16, ORIGIN, 2))
    while True:
        fcntl.ioctl(vcpu, RUN, 0)
        reason = struct.unpack_from("<I", run, 8)[0]
        if reason == EXIT_HLT:
            break
        assert reason == EXIT_IO, reason
        port, _count, offset = struct.unpack_from("<HIQ", run, 34)
        assert port == 0x10
        print(chr(run[offset]), end="", flush=True)


if __name__ == "__main__":
    main()
