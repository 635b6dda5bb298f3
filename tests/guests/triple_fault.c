/* SPDX-License-Identifier: Apache-2.0 */
/* expect: shutdown. An exception without an IDT: #DF without an IDT: shutdown. */
#include "guest/lib/guest.h"

int guest_main(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
	return 1;
}
