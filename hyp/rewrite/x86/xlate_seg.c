/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FS and GS. 64-bit code adds the base, and that is all. In 32-bit code the offset must also be inside the
 * segment (TLS has 4 GiB, Windows' thread block a page), and the linear address wraps. The base, and where
 * the segment ends (cpu->seg_end), are read each time: loading FS or GS needs no other translation.
 */
#include "hyp/rewrite/x86/xlate.h"

/* S1 = offset: an access that is not wholly inside the segment is the interpreter's. */
static void check_end(struct xlate *x, const struct insn *in, bool gs)
{
	bool save = in->live_in && !x->flags_held;
	struct cold *c;

	e_lea(&x->e, true, S2, S1, NO_REG, 1, MAX(in->mem_size, 1) - 1);
	if (save)
		x_save_flags(x);
	e_gs(&x->e, true, 0x3b, S2, OFF(seg_end) + (gs ? 8 : 0)); /* cmp */
	e_bytes(&x->e, "\x0f\x83\0\0\0\0", 6);         /* jae */
	c = x_cold(x, SITE_INTERP, x_here(x) - 4);
	c->site = x_site(x, SITE_INTERP, in);
	c->site.size = in->len;
	c->site.write = true; /* does not come back here */
	c->restore_flags = in->live_in;
	if (save)
		x_restore_flags(x);
}

void x_segment_base(struct xlate *x, ZydisRegister seg)
{
	bool gs = seg == ZYDIS_REGISTER_GS;

	if (!x_has_segment_base(seg))
		return;
	x->s2_check = -1;
	e_load_gs(&x->e, S2, gs ? OFF(s.seg[X86_GS].base) : OFF(s.seg[X86_FS].base));
	e_lea(&x->e, x_is64(x), S1, S1, S2, 1, 0);
}

void x_segment(struct xlate *x, const struct insn *in)
{
	ZydisRegister seg = in->op[in->mem_idx].mem.segment;

	if (!x_is64(x) && x_has_segment_base(seg))
		check_end(x, in, seg == ZYDIS_REGISTER_GS);
	x_segment_base(x, seg);
}
