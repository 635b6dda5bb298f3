/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that the client writes into guest memory (a device's DMA) over code that has just run in ring 3,
 * with no TLB flush, no CR3 load and no store of the guest in between; then once more over code that the
 * guest has changed many times itself. Port 0xf8 takes a guest-physical address, port 0xf9 the word that
 * guest_run stores there.
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

static void check_code(u32 value)
{
	CHECK_EQ(user_call(run_code, (u64)code), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, value);
}

/* The immediate, and the instruction. */
static void client_changes_code(void)
{
	for (u32 i = 1; i < TOLD; i++) {
		client_writes((u64)&code[1], i * 0x10001);
		check_code(i * 0x10001);
	}
	client_writes((u64)&code[0], 0x90c333b0); /* mov al, 0x33; ret */
	CHECK_EQ(user_call(run_code, (u64)code), V_USER_RETURN);
	CHECK_EQ((u8)trap.f.rax, 0x33);
	client_writes((u64)&code[0], 0xb8);
	client_writes((u64)&code[4], 0xc300);
}

int guest_main(void)
{
	client_changes_code();
	for (u32 i = 0; i < TOLD; i++) {
		*(volatile u32 *)&code[1] = i;
		check_code(i);
	}
	client_changes_code();
	return 0;
}
