/* SPDX-License-Identifier: Apache-2.0 */
/* Start, console, end. */
#include "tests/guests_arm64/lib.h"

void guest_main(u64 cpu)
{
	puts_("hello from arm64\n");
	register u64 x0 __asm__("x0") = 35;
	__asm__ volatile("hvc #7" : "+r"(x0));
	check_eq(x0, 42);
	check_eq(mrs(CurrentEL), 4);
	write64(DEV_SCRATCH, 0x1122334455667788);
	check_eq(read64(DEV_SCRATCH), 0x1122334455667788);
	done();
}
