/* SPDX-License-Identifier: Apache-2.0 */
#include "hyp/opt/opt.h"

void opt_block(struct ir_block *b, const u8 *page)
{
	b->look.from = b->look.to = 0;
	opt_forward(b);
	opt_dead(b, page);
}
