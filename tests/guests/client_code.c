/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that the client writes into guest memory (a device's DMA) over code that has just run in ring 3, with
 * no TLB flush, no CR3 load and no store of the guest in between. Port 0xf8 takes a guest-physical address,
 * port 0xf9 the word that guest_run stores there.
 */
#include "guest/lib/guest.h"

#define TOLD 200u

/* mov eax, imm32; ret */
static USER_DATA u8 code[16] = { 0xb8, 0, 0, 0, 0, 0xc3 };

static USER_TEXT void run_code(u64 address)
{
	u32 got;

	asm volatile("call *%1" : "=a"(got) : "r"(address) : "memory");
	user_return(got);
}

static void client_writes(u64 gpa, u32 word)
{
	asm volatile("out %0, %1" : : "a"((u32)gpa), "d"((u16)0xf8));
	asm volatile("out %0, %1" : : "a"(word), "d"((u16)0xf9));
}

int guest_main(void)
{
	for (u32 i = 1; i < TOLD; i++) {
		client_writes((u64)&code[1], i * 0x10001);
		CHECK_EQ(user_call(run_code, (u64)code), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, i * 0x10001);
	}
	return 0;
}
