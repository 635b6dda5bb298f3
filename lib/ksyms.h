/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux kernel's symbols: from the tables it carries in its own memory (CONFIG_KALLSYMS), which are right
 * wherever KASLR put it, or from a System.map. Only code (types t, T, w, W) is kept.
 */
#ifndef KUSE_LIB_KSYMS_H
#define KUSE_LIB_KSYMS_H

#include "lib/types.h"

struct ksym {
	u64 addr;
	u32 name; /* offset in names */
};

struct ksyms {
	struct ksym *sym; /* ascending by address */
	size_t n, max;
	char *names;
	size_t names_len, names_max;
	u64 end; /* first address behind the code */
};

/* Looks for the tables in [mem, mem+len), which holds the kernel's image as it was loaded. The layouts of
 * Linux 6.1 to 6.12. 0, -ENOENT (none there), -ENOMEM. */
int ksyms_from_memory(struct ksyms *k, const void *mem, size_t len);

/* Text of lines "address type name", as System.map and /proc/kallsyms have them. 0, -EINVAL (no such line),
 * -ENOMEM. */
int ksyms_from_map(struct ksyms *k, const char *text, size_t len);

/* Name of the symbol that addr lies in, and how far; NULL: in none. */
const char *ksyms_find(const struct ksyms *k, u64 addr, u64 *offset);
/* Address of a name; 0: unknown. */
u64 ksyms_address(const struct ksyms *k, const char *name);
/* Adds to all addresses. */
void ksyms_move(struct ksyms *k, u64 by);
void ksyms_free(struct ksyms *k);

#endif
