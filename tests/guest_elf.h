/* SPDX-License-Identifier: Apache-2.0 */
/* What runs one of tests/guests needs: its RAM, and an ELF64 with a PVH entry note in it. */
#ifndef KUSE_TESTS_GUEST_ELF_H
#define KUSE_TESTS_GUEST_ELF_H

#include "lib/types.h"

/* A memfd, shared, as clients of KVM make it that want to share the guest's memory. Exits with 120 where it
 * cannot. */
u8 *guest_ram(size_t size);

/* Copies the segments to ram and returns the entry point (32-bit protected mode). Exits with 120 where it
 * cannot. */
u32 guest_elf_load(const char *path, u8 *ram, size_t ram_size);

#endif
