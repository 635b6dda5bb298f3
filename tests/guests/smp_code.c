/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2. One CPU changes what the other executes and translates: code written on CPU 1 and run on CPU 0
 * after a flag, an instruction patched by way of INT3 while CPU 0 runs it, a page remapped with an IPI, and
 * the same with the IPI's handler reloading CR3. The patched page also is one that CPU 0 has changed many
 * times itself.
 */
#include "guest/lib/guest.h"

#define V_FLUSH 0x62
#define VA GUEST_VA
#define ROUNDS 2000u

static u8 *code;
static volatile u32 ap_up, want, have, turn, stop, flushes, traps;
static volatile bool by_cr3;

static void serialize(void) { cpuid(0, 0); }

static void write_code(volatile u8 *p, u32 imm)
{
	p[0] = 0xb8;
	*(volatile u32 *)(p + 1) = imm;
	p[5] = 0xc3;
}

static u32 run(void) { return ((u32(*)(void))code)(); }

/* ---- CPU 1 -------------------------------------------------------------------------------------- */

static void on_flush(struct frame *f)
{
	if (by_cr3)
		WRITE_CR(3, READ_CR(3));
	else
		invlpg(VA);
	flushes++;
	apic_write(APIC_EOI, 0);
}

/* turn 1: write code number `want`. 2: read VA into `have` and answer IPIs. 3: patch by INT3 for ever,
 * 4: no more. */
static void ap(void)
{
	apic_enable();
	ap_up = 1;
	while (!stop) {
		if (turn == 1) {
			write_code(code, want);
			turn = 0;
		} else if (turn == 2) {
			have = *(volatile u32 *)VA;
			asm volatile("sti; nop; nop; cli" : : : "memory");
		} else if (turn == 3) {
			code[0] = 0xcc;
			*(volatile u32 *)(code + 1) = (u8)(code[1] + 1) * 0x01010101u;
			code[0] = 0xb8;
		} else if (turn == 4) {
			turn = 0;
		}
		pause();
	}
	for (;;)
		asm volatile("cli; hlt");
}

/* ---- CPU 0 -------------------------------------------------------------------------------------- */

static void code_from_the_other(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		want = i;
		turn = 1;
		while (turn)
			pause();
		serialize();
		CHECK_EQ(run(), i);
	}
}

static void send_flush(void)
{
	u32 before = flushes;

	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, 0x4000 | V_FLUSH);
	while (flushes == before)
		pause();
}

static void shoot_down(void)
{
	u64 a = page_alloc(), b = page_alloc(), cr3 = READ_CR(3);

	*(u32 *)a = 'a';
	*(u32 *)b = 'b';
	page_map(cr3, VA, a, PTE_P | PTE_W, 12);
	turn = 2;
	for (u32 i = 0; i < ROUNDS; i++) {
		by_cr3 = i & 1;
		page_map(cr3, VA, i & 2 ? a : b, PTE_P | PTE_W, 12);
		send_flush();
		have = 0;
		while (!have)
			pause();
		CHECK_EQ(have, i & 2 ? 'a' : 'b');
	}
	turn = 0;
}

/* The writer is in the middle: wait until it is not, and try again. */
static void on_bp(struct frame *f)
{
	f->rip--;
	traps++;
}

static void change_often(void)
{
	for (u32 i = 0; i < 200; i++) {
		write_code(code, i);
		CHECK_EQ(run(), i);
	}
}

/* Whatever is executed is either INT3 or a whole immediate with four equal bytes. */
static void patched_under_us(bool changed_before)
{
	u32 torn = 0;

	trap_handler(V_BP, on_bp);
	code = (u8 *)page_alloc() + 59; /* the immediate is aligned: 59 + 1 = 60 */
	if (changed_before)
		change_often();
	write_code(code, 0);
	turn = 3;
	for (u32 i = 0; i < 20 * ROUNDS; i++) {
		u32 v = run();

		torn += v != (v & 0xff) * 0x01010101u;
	}
	turn = 4;
	while (turn == 4)
		pause();
	trap_handler(V_BP, NULL);
	CHECK_EQ(torn, 0);
}

int guest_main(void)
{
	trap_handler(V_FLUSH, on_flush);
	code = (u8 *)page_alloc();
	write_code(code, 0);
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (!ap_up)
		return 0;
	code_from_the_other();
	shoot_down();
	patched_under_us(false);
	patched_under_us(true);
	stop = 1;
	return 0;
}
