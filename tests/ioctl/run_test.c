/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_RUN: small real-mode guests and every way out of them. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include "tests/ioctl/ioctl.h"

static struct machine m;

static int up(void **state) { return machine_up(&m, NO_IRQCHIP); }
static int up_irqchip(void **state) { return machine_up(&m, IRQCHIP); }

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

#define CODE(...)                                                   \
	do {                                                        \
		static const uint8_t code[] = { __VA_ARGS__ };      \
		machine_code(&m, code, sizeof(code));               \
	} while (0)

static void *io_data(void)
{
	return (uint8_t *)m.run + m.run->io.data_offset;
}

static void run_until(unsigned reason)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, reason);
}

static struct kvm_regs get_regs(void)
{
	struct kvm_regs r;

	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	return r;
}

/* A real-mode handler for vector `v` at 0x1800: out 0x99,al; iret */
static void handler(unsigned v)
{
	static const uint8_t code[] = { 0xe6, 0x99, 0xcf };

	memcpy(m.mem + 0x1800, code, sizeof(code));
	*(uint32_t *)(m.mem + 4 * v) = 0x1800;
}

static void expect_handler(void)
{
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, 0x99);
}

static void out_in_hlt(void **state)
{
	/* mov al,0x5a; out 0x42,al; in al,0x43; mov dx,0x1234; in ax,dx; hlt */
	CODE(0xb0, 0x5a, 0xe6, 0x42, 0xe4, 0x43, 0xba, 0x34, 0x12, 0xed, 0xf4);
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.direction, KVM_EXIT_IO_OUT);
	assert_int_equal(m.run->io.port, 0x42);
	assert_int_equal(m.run->io.size, 1);
	assert_int_equal(m.run->io.count, 1);
	assert_int_equal(*(uint8_t *)io_data(), 0x5a);
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.direction, KVM_EXIT_IO_IN);
	assert_int_equal(m.run->io.port, 0x43);
	*(uint8_t *)io_data() = 0x77;
	run_until(KVM_EXIT_IO);
	assert_int_equal(get_regs().rax & 0xff, 0x77);
	assert_int_equal(m.run->io.port, 0x1234);
	assert_int_equal(m.run->io.size, 2);
	*(uint16_t *)io_data() = 0xbeef;
	run_until(KVM_EXIT_HLT);
	assert_int_equal(get_regs().rax & 0xffff, 0xbeef);
	assert_int_equal(get_regs().rip, 0x100b);
}

static void string_io(void **state)
{
	unsigned n = 0;

	memcpy(m.mem + 0x2000, "hello", 5);
	/* mov si,0x2000; mov cx,5; mov dx,0x3f8; cld; rep outsb; hlt */
	CODE(0xbe, 0x00, 0x20, 0xb9, 0x05, 0x00, 0xba, 0xf8, 0x03, 0xfc, 0xf3, 0x6e, 0xf4);
	for (;;) {
		ok(machine_run(&m));
		if (m.run->exit_reason != KVM_EXIT_IO)
			break;
		for (unsigned i = 0; i < m.run->io.count; i++)
			assert_int_equal(((char *)io_data())[i], "hello"[n++]);
	}
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(n, 5);
}

static void mmio(void **state)
{
	/* mov ax,0xf000... ds: base 0x300000 is set below: mov [0x10],al ; mov bx,[0x20]; hlt */
	struct kvm_sregs s;

	CODE(0xb0, 0xa5, 0xa2, 0x10, 0x00, 0x8b, 0x1e, 0x20, 0x00, 0xf4);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = 0x300000;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	run_until(KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, 0x300010);
	assert_int_equal(m.run->mmio.is_write, 1);
	assert_int_equal(m.run->mmio.len, 1);
	assert_int_equal(m.run->mmio.data[0], 0xa5);
	run_until(KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, 0x300020);
	assert_int_equal(m.run->mmio.is_write, 0);
	assert_int_equal(m.run->mmio.len, 2);
	m.run->mmio.data[0] = 0xcd;
	m.run->mmio.data[1] = 0xab;
	run_until(KVM_EXIT_HLT);
	assert_int_equal(get_regs().rbx & 0xffff, 0xabcd);
}

static void readonly_slot(void **state)
{
	uint8_t *rom = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = { 1, KVM_MEM_READONLY, 0x300000, 4096, (uintptr_t)rom };
	struct kvm_sregs s;

	rom[0x20] = 0x34;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	CODE(0x8a, 0x1e, 0x20, 0x00, 0x88, 0x1e, 0x10, 0x00, 0xf4); /* mov bl,[0x20]; mov [0x10],bl; hlt */
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = 0x300000;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	run_until(KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.is_write, 1);
	assert_int_equal(m.run->mmio.data[0], 0x34);
	run_until(KVM_EXIT_HLT);
	assert_int_equal(rom[0x10], 0);
	munmap(rom, 4096);
}

static void run_argument(void **state)
{
	fails(EINVAL, IOCTL(m.vcpu, KVM_RUN, 1));
}

static void immediate_exit(void **state)
{
	CODE(0xe4, 0x43, 0xf4); /* in al,0x43; hlt */
	m.run->immediate_exit = 1;
	fails(EINTR, machine_run(&m));
	assert_int_equal(get_regs().rip, 0x1000);
	m.run->immediate_exit = 0;
	run_until(KVM_EXIT_IO);
	*(uint8_t *)io_data() = 0x11;
	m.run->immediate_exit = 1;
	fails(EINTR, machine_run(&m)); /* but the IN has been finished */
	assert_int_equal(get_regs().rip, 0x1002);
	assert_int_equal(get_regs().rax & 0xff, 0x11);
	m.run->immediate_exit = 0;
	run_until(KVM_EXIT_HLT);
}

static void on_alarm(int sig)
{
	(void)sig;
	kuse_signal_notify();
}

/* A signal after ms milliseconds, and again where the machine was too busy to get us into KVM_RUN by then. */
static void arm(unsigned ms)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { .it_value.tv_usec = ms * 1000, .it_interval.tv_usec = ms ? 500000 : 0 };

	sigaction(SIGALRM, &sa, NULL);
	ok(setitimer(ITIMER_REAL, &it, NULL));
}

static void run_until_signal(void)
{
	arm(30);
	fails(EINTR, machine_run(&m));
	arm(0);
}

static void signal_ends_a_loop(void **state)
{
	CODE(0xeb, 0xfe); /* jmp . */
	run_until_signal();
	assert_int_equal(m.run->exit_reason, KVM_EXIT_INTR);
	assert_int_equal(get_regs().rip, 0x1000);
}

static void signal_ends_a_halt(void **state)
{
	CODE(0xf4, 0xf4); /* with an in-kernel LAPIC HLT sleeps in KVM_RUN */
	run_until_signal();
	assert_int_equal(m.run->exit_reason, KVM_EXIT_INTR);
}

/* KVM_X86_DISABLE_EXITS_HLT: no exit even without an in-kernel LAPIC; only a signal or an event ends it. */
static void halt_without_exit(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = KVM_X86_DISABLE_EXITS_HLT };

	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	handler(2);
	CODE(0xf4, 0xf4);
	run_until_signal();
	ok(IOCTL(m.vcpu, KVM_NMI, 0));
	expect_handler();
}

/* The run mask lets the signal through that is blocked outside of KVM_RUN. */
static void signal_mask(void **state)
{
	struct { struct kvm_signal_mask head; uint8_t set[8]; } mask = { .head.len = 8 };
	sigset_t block, old;

	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	ok(IOCTL(m.vcpu, KVM_SET_SIGNAL_MASK, &mask));
	CODE(0xeb, 0xfe);
	run_until_signal();
	pthread_sigmask(SIG_SETMASK, NULL, &block);
	assert_true(sigismember(&block, SIGALRM));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void triple_fault(void **state)
{
	struct kvm_sregs s;

	CODE(0x0f, 0x0b); /* ud2 */
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.idt.limit = 0;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	run_until(KVM_EXIT_SHUTDOWN);
}

static void interrupt_window(void **state)
{
	struct kvm_interrupt i = { .irq = 0x40 };

	handler(0x40);
	CODE(0xe6, 0x10, 0xfb, 0x90, 0x90, 0xf4); /* out 0x10,al; sti; nop; nop; hlt */
	m.run->request_interrupt_window = 1;
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, 0x10);
	assert_int_equal(m.run->ready_for_interrupt_injection, 0);
	assert_int_equal(m.run->if_flag, 0);
	run_until(KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(m.run->ready_for_interrupt_injection, 1);
	assert_int_equal(m.run->if_flag, 1);
	m.run->request_interrupt_window = 0;
	ok(IOCTL(m.vcpu, KVM_INTERRUPT, &i));
	expect_handler();
	run_until(KVM_EXIT_HLT);
}

static void nmi(void **state)
{
	handler(2);
	CODE(0x90, 0xf4);
	ok(IOCTL(m.vcpu, KVM_NMI, 0));
	expect_handler();
	run_until(KVM_EXIT_HLT);
}

static void injected_exception(void **state)
{
	struct kvm_vcpu_events e;

	handler(6);
	CODE(0x90, 0xf4);
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 6;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &e));
	expect_handler();
	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &e));
	assert_int_equal(e.exception.injected, 0);
	run_until(KVM_EXIT_HLT);
}

static void cpuid_instruction(void **state)
{
	CODE(0x66, 0xb8, 0, 0, 0, 0x40, 0x0f, 0xa2, 0xf4); /* mov eax,0x40000000; cpuid; hlt */
	run_until(KVM_EXIT_HLT);
	assert_int_equal((uint32_t)get_regs().rbx, 0x4b4d564b); /* "KVMK" */
}

static void rdmsr_unknown_is_gp(void **state)
{
	handler(13);
	CODE(0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0xf4); /* mov ecx,0x12345678; rdmsr */
	expect_handler();
}

static void msr_exits(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = KVM_MSR_EXIT_REASON_UNKNOWN };

	ok(IOCTL(m.vm, KVM_ENABLE_CAP, &cap));
	handler(13);
	/* mov ecx,0x12345678; rdmsr; wrmsr; hlt */
	CODE(0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0x0f, 0x30, 0xf4);
	run_until(KVM_EXIT_X86_RDMSR);
	assert_int_equal(m.run->msr.index, 0x12345678);
	assert_int_equal(m.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	m.run->msr.data = 0x1122334455667788ull;
	run_until(KVM_EXIT_X86_WRMSR);
	assert_int_equal(m.run->msr.data, 0x1122334455667788ull);
	m.run->msr.error = 1;
	expect_handler();
}

static void sync_regs(void **state)
{
	CODE(0xe6, 0x10, 0xf4);
	m.run->kvm_valid_regs = 1ull << 20;
	fails(EINVAL, machine_run(&m));
	m.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->s.regs.regs.rip, get_regs().rip);
	m.run->s.regs.regs.rbx = 0xbad1dea;
	m.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	run_until(KVM_EXIT_HLT);
	assert_int_equal(get_regs().rbx, 0xbad1dea);
	assert_int_equal(m.run->s.regs.regs.rbx, 0xbad1dea);
}

static void single_step(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	CODE(0x90, 0x90, 0xf4);
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	for (unsigned rip = 0x1001; rip <= 0x1002; rip++) {
		run_until(KVM_EXIT_DEBUG);
		assert_int_equal(m.run->debug.arch.exception, 1);
		assert_int_equal(m.run->debug.arch.pc, rip);
		assert_true(m.run->debug.arch.dr6 & (1 << 14));
	}
}

static void software_breakpoint(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };

	CODE(0x90, 0xcc, 0xf4);
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	run_until(KVM_EXIT_DEBUG);
	assert_int_equal(m.run->debug.arch.exception, 3);
	assert_int_equal(m.run->debug.arch.pc, 0x1001);
}

static void hardware_breakpoint(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };

	CODE(0x90, 0x90, 0x90, 0xf4);
	d.arch.debugreg[0] = 0x1002;
	d.arch.debugreg[7] = 0x401;
	ok(IOCTL(m.vcpu, KVM_SET_GUEST_DEBUG, &d));
	run_until(KVM_EXIT_DEBUG);
	assert_int_equal(m.run->debug.arch.pc, 0x1002);
	assert_true(m.run->debug.arch.dr6 & 1);
	/* the one in effect: QEMU reads the kind of breakpoint from it */
	assert_int_equal(m.run->debug.arch.dr7, 0x401);
}

static void dirty_log(void **state)
{
	struct kvm_userspace_memory_region r = { 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MEM_SIZE, (uintptr_t)m.mem };
	uint64_t bits[8];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };

	/* mov [0x3000],al; out 0x10,al; mov [0x3000],al; mov [0x5004],al; hlt */
	CODE(0xa2, 0x00, 0x30, 0xe6, 0x10, 0xa2, 0x00, 0x30, 0xa2, 0x04, 0x50, 0xf4);
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	run_until(KVM_EXIT_IO);
	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 1 << 3);
	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 0);
	run_until(KVM_EXIT_HLT);
	ok(IOCTL(m.vm, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 1 << 3 | 1 << 5);
}

static uint64_t count(int ev)
{
	uint64_t n = 0;

	return read(ev, &n, 8) == 8 ? n : 0;
}

static void ioeventfd(void **state)
{
	int any = eventfd(0, EFD_NONBLOCK), match = eventfd(0, EFD_NONBLOCK);
	struct kvm_ioeventfd a = { .addr = 0x500, .len = 2, .fd = any, .flags = KVM_IOEVENTFD_FLAG_PIO };
	struct kvm_ioeventfd b = { .addr = 0x600, .len = 1, .fd = match, .datamatch = 7,
				   .flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH };

	ok(IOCTL(m.vm, KVM_IOEVENTFD, &a));
	ok(IOCTL(m.vm, KVM_IOEVENTFD, &b));
	/* mov dx,0x500; out dx,ax; mov dx,0x600; mov al,7; out dx,al; mov al,8; out dx,al; hlt */
	CODE(0xba, 0x00, 0x05, 0xef, 0xba, 0x00, 0x06, 0xb0, 0x07, 0xee, 0xb0, 0x08, 0xee, 0xf4);
	run_until(KVM_EXIT_IO); /* only the 8 gets out */
	assert_int_equal(m.run->io.port, 0x600);
	assert_int_equal(*(uint8_t *)io_data(), 8);
	assert_int_equal(count(any), 1);
	assert_int_equal(count(match), 1);
	run_until(KVM_EXIT_HLT);
	close(any);
	close(match);
}

static void coalesced_ring(void **state)
{
	struct kvm_coalesced_mmio_zone z = { .addr = 0x70, .size = 2, .pio = 1 };
	struct kvm_coalesced_mmio_ring *ring = (void *)((char *)m.run + 2 * 4096);

	ok(IOCTL(m.vm, KVM_REGISTER_COALESCED_MMIO, &z));
	/* mov al,0xf; out 0x70,al; mov al,0x21; out 0x71,al */
	CODE(0xb0, 0x0f, 0xe6, 0x70, 0xb0, 0x21, 0xe6, 0x71, 0xf4);
	run_until(KVM_EXIT_HLT);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0x70);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 0x0f);
	assert_int_equal(ring->coalesced_mmio[1].phys_addr, 0x71);
	assert_int_equal(ring->coalesced_mmio[1].pio, 1);
}

/* The ring is the VM's: each vCPU's mapping shows the same page. */
static void coalesced_ring_is_shared(void **state)
{
	int other = IOCTL(m.vm, KVM_CREATE_VCPU, 1);
	char *run2 = k_mmap(12288, other, 0);

	assert_ptr_not_equal(run2, MAP_FAILED);
	((char *)m.run)[2 * 4096 + 4000] = 0x5a;
	assert_int_equal(run2[2 * 4096 + 4000], 0x5a);
	assert_int_not_equal(run2[4000], 0x5a);
	munmap(run2, 12288);
	ok(k_close(other));
}

/* An eventfd raises IRQ 5 through the default routing: PIC at its reset base... programmed to 0x20. */
static void irqfd_wakes_a_halted_guest(void **state)
{
	int ev = eventfd(0, 0);
	struct kvm_irqfd a = { .fd = (__u32)ev, .gsi = 5 };
	uint64_t one = 1;

	handler(0x25);
	/* ICW1-4 to the master PIC, unmask all, sti, hlt, hlt */
	CODE(0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21,
	     0xb0, 0x00, 0xe6, 0x21, 0xe6, 0x10, 0xfb, 0xf4, 0xe6, 0x11, 0xf4);
	ok(IOCTL(m.vm, KVM_IRQFD, &a));
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, 0x10);
	assert_int_equal(write(ev, &one, 8), 8);
	expect_handler(); /* delivered at the HLT, or while it sleeps */
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, 0x11);
	close(ev);
}

static void lapic_set(struct kvm_lapic_state *l, unsigned reg, uint32_t value)
{
	memcpy(l->regs + reg, &value, 4);
}

/* As after a migration: the timer restored by KVM_SET_LAPIC expires before the first KVM_RUN, into a guest
 * that never leaves by itself. */
static void timer_expired_before_the_run(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct kvm_lapic_state l;

	handler(0x25);
	CODE(0xfb, 0xeb, 0xfe); /* sti; jmp $ */
	ok(IOCTL(m.vcpu, KVM_GET_LAPIC, &l));
	lapic_set(&l, 0xf0, 0x1ff);
	lapic_set(&l, 0x320, 0x25);
	lapic_set(&l, 0x3e0, 0xb);
	lapic_set(&l, 0x380, 1000);
	lapic_set(&l, 0x390, 1);
	ok(IOCTL(m.vcpu, KVM_SET_LAPIC, &l));
	usleep(20000);
	sigaction(SIGALRM, &sa, NULL);
	alarm(5);
	expect_handler();
	alarm(0);
}

static void cpuid_is_fixed_after_run(void **state)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	CODE(0xf4);
	run_until(KVM_EXIT_HLT);
	c->nent = 256;
	ok(IOCTL(m.vcpu, KVM_GET_CPUID2, c));
	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, c)); /* the same again is fine */
	c->entries[0].ebx ^= 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_CPUID2, c));
	free(c);
}

static void slot_removed_under_the_guest(void **state)
{
	struct kvm_userspace_memory_region r = { 5, 0, 0x300000, 4096, 0 };
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_sregs s;

	r.userspace_addr = (uintptr_t)page;
	page[0] = 0x42;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	CODE(0xa0, 0, 0, 0xe6, 0x10, 0xa0, 0, 0, 0xf4); /* mov al,[0]; out 0x10,al; mov al,[0]; hlt */
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = 0x300000;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	run_until(KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)io_data(), 0x42);
	r.memory_size = 0;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	munmap(page, 4096);
	run_until(KVM_EXIT_MMIO);
	assert_int_equal(m.run->mmio.phys_addr, 0x300000);
}

/* Slots change while a vCPU runs on another thread. */
static void *run_loop(void *arg)
{
	long *ret = arg;

	*ret = machine_run(&m);
	return NULL;
}

static void slots_change_while_running(void **state)
{
	struct kvm_userspace_memory_region r = { 7, 0, 0x400000, 4096, (uintptr_t)m.mem };
	pthread_t t;
	long ret = -2;

	CODE(0x80, 0x3e, 0x00, 0x20, 0x01, 0x75, 0xf9, 0xf4); /* 1: cmp byte [0x2000],1; jne 1b; hlt */
	pthread_create(&t, NULL, run_loop, &ret);
	for (int i = 0; i < 200; i++) {
		r.memory_size = i & 1 ? 0 : 4096;
		ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	}
	*(volatile uint8_t *)(m.mem + 0x2000) = 1;
	pthread_join(t, NULL);
	assert_int_equal(ret, 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
#define TI(f) cmocka_unit_test_setup_teardown(f, up_irqchip, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(out_in_hlt), T(string_io), T(mmio), T(readonly_slot), T(run_argument), T(immediate_exit),
		T(signal_ends_a_loop), TI(signal_ends_a_halt), T(halt_without_exit), T(signal_mask), T(triple_fault),
		T(interrupt_window), T(nmi),
		T(injected_exception), T(cpuid_instruction), T(rdmsr_unknown_is_gp), T(msr_exits), T(sync_regs),
		T(single_step), T(software_breakpoint), T(hardware_breakpoint), T(dirty_log), T(ioeventfd),
		T(coalesced_ring), T(coalesced_ring_is_shared), TI(irqfd_wakes_a_halted_guest),
		TI(timer_expired_before_the_run), T(cpuid_is_fixed_after_run),
		T(slot_removed_under_the_guest), T(slots_change_while_running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
