/* SPDX-License-Identifier: Apache-2.0 */
/* The library itself: console, an expected exception, ring 3 and back. */
#include "guest/lib/guest.h"

static void ud2(u64 arg) { asm volatile("ud2"); }
static USER_TEXT void in_user(u64 arg) { user_return(arg + 1); }
static USER_TEXT void user_hlt(u64 arg) { asm volatile("hlt"); }

int guest_main(void)
{
	u32 base;

	print("hello from a guest; hypervisor: %s\n", hypervisor_name(hypervisor_detect(&base)));
	CHECK_EQ(trap_of(ud2, 0), V_UD);
	CHECK_EQ(user_call(in_user, 41), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 42);
	CHECK_EQ(trap.f.cs, 0x33);
	CHECK_EQ(user_call(user_hlt, 0), V_GP);
	return 0;
}
