/* SPDX-License-Identifier: Apache-2.0 */
/* Loads one of tests/guests: an ELF64 with a PVH entry note. */
#ifndef KUSE_TESTS_GUEST_ELF_H
#define KUSE_TESTS_GUEST_ELF_H

#include "lib/types.h"

/* Copies the segments to ram and returns the entry point (32-bit protected mode). Exits with 120 where it
 * cannot. */
u32 guest_elf_load(const char *path, u8 *ram, size_t ram_size);

#endif
