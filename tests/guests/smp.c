/* SPDX-License-Identifier: Apache-2.0 */
/* cpus: 2. Starts CPU 1; IPIs both ways; LOCK, XCHG and CMPXCHG16B are atomic between them. */
#include "guest/lib/guest.h"

#define V_IPI 0x61
#define ROUNDS 100000u

static volatile u32 ap_up, ipis, ap_ipis, go, done;
static volatile u64 counter, guarded;
static volatile u32 lock;
static volatile struct {
	u64 a, b;
} pair __attribute__((aligned(16)));

static void on_ipi(struct frame *f)
{
	if (apic_read(APIC_ID) >> 24)
		ap_ipis++;
	else
		ipis++;
	apic_write(APIC_EOI, 0);
}

static void send(u32 apic)
{
	apic_write(APIC_ICR2, apic << 24);
	apic_write(APIC_ICR, 0x4000 | V_IPI);
}

static void add_pair(void)
{
	u64 a = pair.a, b = pair.b;
	bool ok;

	do
		asm volatile("lock cmpxchg16b %1" : "=@ccz"(ok), "+m"(pair), "+a"(a), "+d"(b)
			     : "b"(a + 1), "c"(b + 2) : "memory");
	while (!ok);
}

static void hammer(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		u32 l = 1;

		asm volatile("lock incq %0" : "+m"(counter));
		do {
			l = 1;
			asm volatile("xchg %0, %1" : "+r"(l), "+m"(lock));
		} while (l && (pause(), 1));
		guarded++;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		add_pair();
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static void ap(void)
{
	apic_enable();
	ap_up = 1;
	while (!ap_ipis)
		sti_hlt();
	send(0);
	while (!go)
		pause();
	hammer();
	for (;;)
		asm volatile("cli; hlt");
}

int guest_main(void)
{
	trap_handler(V_IPI, on_ipi);
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (!ap_up)
		return 0;
	send(1);
	CHECK(wait_change(&ipis, 0, 5000));
	CHECK_EQ(ap_ipis, 1);
	go = 1;
	hammer();
	CHECK(wait_change(&done, 1, 20000));
	CHECK_EQ(counter, 2 * ROUNDS);
	CHECK_EQ(guarded, 2 * ROUNDS);
	CHECK_EQ(pair.a, 2 * ROUNDS);
	CHECK_EQ(pair.b, 4 * ROUNDS);
	return 0;
}
