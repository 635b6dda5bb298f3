/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions on device memory: the local APIC's registers with read-modify-write, exchange,
 * string, conditional, stack and SSE-free widths; and addresses where nothing is.
 */
#include "guest/lib/guest.h"

#define APIC 0xfee00000ull
#define NOTHING 0xd0000000ull

static void read_modify_write(void)
{
	volatile u32 *tpr = (u32 *)(APIC + APIC_TPR);
	u32 v = 0x30;
	bool z;

	*tpr = 0x10;
	asm volatile("orl $0x20, %0" : "+m"(*tpr));
	CHECK_EQ(*tpr, 0x30);
	asm volatile("andl $0x20, %0" : "+m"(*tpr));
	CHECK_EQ(*tpr, 0x20);
	asm volatile("addl $0x15, %0" : "+m"(*tpr));
	CHECK_EQ(*tpr, 0x35);
	asm volatile("xchg %0, %1" : "+r"(v), "+m"(*tpr));
	CHECK_EQ(v, 0x35);
	CHECK_EQ(*tpr, 0x30);
	v = 0x40;
	asm volatile("lock xadd %0, %1" : "+r"(v), "+m"(*tpr));
	CHECK_EQ(v, 0x30);
	CHECK_EQ(*tpr, 0x70);
	v = 0x70;
	asm volatile("lock cmpxchg %3, %1" : "+a"(v), "+m"(*tpr), "=@ccz"(z) : "r"(0x20));
	CHECK(z);
	CHECK_EQ(*tpr, 0x20);
	asm volatile("btsl $6, %0" : "+m"(*tpr));
	CHECK_EQ(*tpr, 0x60);
	asm volatile("cmpl $0x60, %1" : "=@ccz"(z) : "m"(*tpr));
	CHECK(z);
	asm volatile("shrl $1, %0" : "+m"(*tpr));
	CHECK_EQ(*tpr, 0x30);
	*tpr = 0;
}

static void through_stack_and_strings(void)
{
	volatile u32 *tpr = (u32 *)(APIC + APIC_TPR);
	u32 buf = 0x50;
	void *s = &buf, *d = (void *)tpr;

	asm volatile("movsl" : "+S"(s), "+D"(d) : : "memory");
	CHECK_EQ(*tpr, 0x50);
	s = (void *)tpr, d = &buf;
	buf = 0;
	asm volatile("movsl" : "+S"(s), "+D"(d) : : "memory");
	CHECK_EQ(buf, 0x50);
	*tpr = 0;
}

/* All ones on a PC; QEMU has zeros. Never what was written. */
static u64 absent;

static void nothing_there(void)
{
	volatile u64 *p = (u64 *)(NOTHING + 0xffc); /* crosses a page */
	u64 popped;

	absent = *(volatile u64 *)NOTHING;
	CHECK(!absent || !~absent);
	*p = 0x1122334455667788;
	CHECK_EQ(*p, absent);
	CHECK_EQ(*(volatile u8 *)NOTHING, absent & 0xff);
	asm volatile("incl %0" : "+m"(*(volatile u32 *)NOTHING));
	CHECK_EQ(*(volatile u32 *)NOTHING, (u32)absent);
	asm volatile("pushq %1; popq %0" : "=r"(popped) : "m"(*p) : "memory");
	CHECK_EQ(popped, absent);
}

static void sse(void)
{
	u64 out[2] = { 0, 0 };

	asm volatile("movdqu %1, %%xmm3; movdqu %%xmm3, %0; movdqu %%xmm3, %1"
		     : "=m"(out) : "m"(*(volatile u8 *)(NOTHING + 8)) : "memory");
	CHECK_EQ(out[0], absent);
	CHECK_EQ(out[1], absent);
}

int guest_main(void)
{
	apic_enable();
	read_modify_write();
	through_stack_and_strings();
	nothing_there();
	sse();
	return 0;
}
