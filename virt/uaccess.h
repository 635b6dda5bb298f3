/* SPDX-License-Identifier: Apache-2.0 */
/* Access to the client's memory: the only functions that follow an ioctl's pointer. */
#ifndef KUSE_VIRT_UACCESS_H
#define KUSE_VIRT_UACCESS_H

#include "lib/types.h"

/* Installs the fault fixup (SIGSEGV, SIGBUS), chained in front of what is there. 0 or -errno. */
int uaccess_init(void);
void uaccess_exit(void);

/* 0, or -EFAULT where the client's memory cannot be read / written. Nothing else is touched. */
int copy_from_client(void *dst, unsigned long src, size_t len);
int copy_to_client(unsigned long dst, const void *src, size_t len);

/* Atomic, on one aligned 32-bit word: OR; the bit's old value. -EFAULT. */
int client_or32(unsigned long addr, u32 mask);
int client_test_and_set_bit(unsigned long addr, u32 bit);

/* True where [addr, addr + size) lies in the user half of the address space (Linux: access_ok). */
bool client_access_ok(unsigned long addr, u64 size);

#endif
