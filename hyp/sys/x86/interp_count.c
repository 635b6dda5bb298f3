/* SPDX-License-Identifier: Apache-2.0 */
/* How often which instruction was interpreted: counted by each CPU, added up when CPUs end (--profile). */
#include <Zydis/Zydis.h>

#include "hyp/hyp.h"
#include "hyp/sys/x86/interp.h"

_Static_assert(X86_MNEMONICS > ZYDIS_MNEMONIC_MAX_VALUE, "struct x86_interp, counts");

static u64 totals[X86_MNEMONICS];

void x86_counts_add(const struct x86_interp *it)
{
	for (unsigned i = 0; i < X86_MNEMONICS; i++)
		if (it->counts[i])
			__atomic_fetch_add(&totals[i], it->counts[i], __ATOMIC_RELAXED);
}

size_t hyp_interpreted(struct hyp_insn_count *top, size_t n)
{
	size_t used = 0, at;

	for (unsigned i = 0; i < X86_MNEMONICS; i++) {
		u64 count = __atomic_load_n(&totals[i], __ATOMIC_RELAXED);

		if (!count)
			continue;
		for (at = MIN(used, n); at > 0 && top[at - 1].n < count; at--)
			if (at < n)
				top[at] = top[at - 1];
		if (at < n)
			top[at] = (struct hyp_insn_count){ ZydisMnemonicGetString((ZydisMnemonic)i), count };
		used += used < n;
	}
	return used;
}
