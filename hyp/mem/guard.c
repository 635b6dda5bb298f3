/* SPDX-License-Identifier: Apache-2.0 */
/* Guards (see guard.h). Guest-live. */
#include "hyp/mem/guard.h"
#include <errno.h>

__thread struct hyp_guard *hyp_guard_top __attribute__((tls_model("initial-exec")));

static bool in_region(const struct hyp_region *r, u64 hva)
{
	return hva - (u64)r->hva < r->size || (r->private_hva && hva - (u64)r->private_hva < r->size);
}

bool hyp_as_is_ram(struct hyp_as *as, u64 hva)
{
	for (unsigned v = 0; v < HYP_AS_VIEWS; v++) {
		const struct hyp_map *map = __atomic_load_n(&as->map[v], __ATOMIC_SEQ_CST);

		for (u32 c = 0; c < map->n; c++)
			for (u32 i = 0; i < map->chunk[c]->n; i++)
				if (in_region(&map->chunk[c]->r[i], hva))
					return true;
	}
	return false;
}

void hyp_memory_fault(struct hyp_cpu *cpu, gpa_t gpa)
{
	cpu->s.exit.reason = HYP_EXIT_MEMORY_FAULT;
	cpu->s.exit.insn_len = 0;
	cpu->s.exit.memory_fault.gpa = gpa;
	hyp_guard_top->hva = 0;
	__builtin_longjmp(hyp_guard_top->place, 1);
}

int hyp_as_guarded(struct hyp_as *as, int (*fn)(void *arg), void *arg)
{
	struct hyp_guard g;
	int ret;

	if (HYP_GUARD(&g, as))
		return -EFAULT;
	ret = fn(arg);
	hyp_guard_end(&g);
	return ret;
}
