/* SPDX-License-Identifier: Apache-2.0 */
/* Is the byte at an address the first of an instruction? A proof, not a guess. */
#ifndef KUSE_PRELOAD_INSN_H
#define KUSE_PRELOAD_INSN_H

#include <stdbool.h>
#include <stdint.h>

/* Where an object keeps its functions: the sorted table of .eh_frame_hdr. */
struct function_table {
	uintptr_t header; /* .eh_frame_hdr, what the table's offsets are relative to */
	const int32_t (*row)[2];
	unsigned n;
	const uint8_t *text, *text_end; /* one executable segment */
};

/* False where the object has no table, or one of another encoding. */
bool function_table_init(struct function_table *t, uintptr_t eh_frame_hdr);
/* True only if `site` lies in a function whose bounds the unwind information gives; which decodes from its
 * first byte to exactly its end; all of whose direct branches lead to instructions or out of it; and where
 * `site` is an instruction that control flow reaches from the function's entry. */
bool insn_is_proven(const struct function_table *t, const uint8_t *site);

#endif
