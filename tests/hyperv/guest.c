/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hyperv/guest.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#define GDT 0x5000
#define IDT 0x6000
#define STUBS 0x7000 /* 256 handlers of 8 bytes */
#define CODE 0x9000
#define HANDLER 0xa000
#define TSS 0xb000
#define STACK 0x4000
#define PORT_DONE 0x99
#define MAX_LEAVES 300

struct machine m;
static struct kvm_cpuid2 *cpuid;

/* ---- set-up ---- */

static void write_handler(unsigned vector, uint32_t at, const uint8_t *code, size_t len)
{
	uint32_t gate[2] = { 8u << 16 | (at & 0xffff), (at & 0xffff0000) | 0x8e00 };

	memcpy(m.mem + IDT + vector * 8, gate, sizeof(gate));
	memcpy(m.mem + at, code, len);
}

void guest_set_handler(unsigned vector, const uint8_t *code, size_t len)
{
	write_handler(vector, HANDLER, code, len);
}

static void write_gate(unsigned vector)
{
	/* mov al,vector; out PORT_VECTOR,al; iretd */
	const uint8_t stub[] = { 0xb0, (uint8_t)vector, 0xe6, PORT_VECTOR, 0xcf };

	write_handler(vector, STUBS + vector * 8, stub, sizeof(stub));
}

void guest_enable_apic(void)
{
	assert_int_equal(host_set_msr(0x1b, 0xfee00d00), 1); /* x2APIC mode */
	assert_int_equal(host_set_msr(0x80f, 0x1ff), 1);     /* spurious vector register: enabled */
}

static void write_tables(void)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };

	memcpy(m.mem + GDT, gdt, sizeof(gdt));
	for (unsigned v = 0; v < 256; v++)
		write_gate(v);
}

static void protected_mode(void)
{
	struct kvm_segment code = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_sregs s;

	data.selector = 16;
	data.type = 3;
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.cs = code;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.gdt.base = GDT;
	s.gdt.limit = 23;
	s.idt.base = IDT;
	s.idt.limit = 0x7ff;
	s.cr0 |= 1;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
}

static void add_leaves(struct kvm_cpuid2 *to, const struct kvm_cpuid2 *from, bool hypervisor)
{
	for (uint32_t i = 0; i < from->nent; i++)
		if ((from->entries[i].function >> 24 == 0x40) == hypervisor)
			to->entries[to->nent++] = from->entries[i];
}

static void hyperv_cpuid(void)
{
	size_t size = sizeof(*cpuid) + MAX_LEAVES * sizeof(cpuid->entries[0]);
	struct kvm_cpuid2 *all = calloc(1, size);

	all->nent = 256;
	ok(IOCTL(m.kvm, KVM_GET_SUPPORTED_CPUID, all));
	add_leaves(cpuid, all, false);
	all->nent = 256;
	ok(IOCTL(m.vcpu, KVM_GET_SUPPORTED_HV_CPUID, all));
	add_leaves(cpuid, all, true);
	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, cpuid));
	free(all);
}

void guest_user_mode(void)
{
	uint32_t tss[26] = { [1] = STACK, [2] = 16 }; /* ESP0, SS0 */
	struct kvm_sregs s;

	memcpy(m.mem + TSS, tss, sizeof(tss));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.tr = (struct kvm_segment){ .base = TSS, .limit = sizeof(tss) - 1, .selector = 32, .type = 11, .present = 1 };
	s.cs.dpl = s.ss.dpl = 3;
	s.cs.selector |= 3;
	s.ss.selector |= 3;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
}

void guest_up(int irqchip, bool hyperv)
{
	machine_up(&m, irqchip);
	cpuid = calloc(1, sizeof(*cpuid) + MAX_LEAVES * sizeof(cpuid->entries[0]));
	if (hyperv)
		hyperv_cpuid();
	write_tables();
	protected_mode();
}

void guest_down(void)
{
	free(cpuid);
	machine_down(&m);
}

void guest_set_leaf(uint32_t function, uint32_t eax, uint32_t ebx, uint32_t edx)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function != function)
			continue;
		e->eax = eax;
		e->ebx = ebx;
		e->edx = edx;
	}
	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, cpuid));
}

void guest_enable_cap(uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args[0] = arg };

	ok(IOCTL(m.vcpu, KVM_ENABLE_CAP, &c));
}

/* ---- running ---- */

static void on_alarm(int sig)
{
	(void)sig;
	kuse_signal_notify();
}

/* A guest that does not come out is interrupted; again where the machine was too busy to get us into it. */
static int run_for(unsigned ms)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct timeval t = { ms / 1000, (ms % 1000) * 1000 };
	struct itimerval it = { t, t }, off = { { 0, 0 }, { 0, 0 } };
	int ret;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	ret = machine_run(&m);
	setitimer(ITIMER_REAL, &off, NULL);
	return ret;
}

static uint8_t io_byte(void)
{
	return *((uint8_t *)m.run + m.run->io.data_offset);
}

static int outcome(void)
{
	if (m.run->exit_reason != KVM_EXIT_IO)
		return OTHER_EXIT;
	return m.run->io.port == PORT_DONE ? NONE : io_byte();
}

int guest_continue(void)
{
	ok(run_for(10000));
	return outcome();
}

static int run_code(const uint8_t *code, size_t len, struct kvm_regs *regs)
{
	static const uint8_t done[] = { 0xe6, PORT_DONE };

	memcpy(m.mem + CODE, code, len);
	memcpy(m.mem + CODE + len, done, sizeof(done));
	regs->rip = CODE;
	regs->rsp = STACK;
	regs->rflags = 2;
	ok(IOCTL(m.vcpu, KVM_SET_REGS, regs));
	return guest_continue();
}

static struct kvm_regs get_regs(void)
{
	struct kvm_regs r;

	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	return r;
}

static uint64_t edx_eax(void)
{
	struct kvm_regs r = get_regs();

	return r.rdx << 32 | (uint32_t)r.rax;
}

int guest_wrmsr(uint32_t msr, uint64_t val)
{
	static const uint8_t code[] = { 0x0f, 0x30 };
	struct kvm_regs r = { .rcx = msr, .rax = (uint32_t)val, .rdx = val >> 32 };

	return run_code(code, sizeof(code), &r);
}

int guest_rdmsr(uint32_t msr, uint64_t *val)
{
	static const uint8_t code[] = { 0x0f, 0x32 };
	struct kvm_regs r = { .rcx = msr };
	int ret = run_code(code, sizeof(code), &r);

	*val = edx_eax();
	return ret;
}

uint64_t guest_rdtsc(void)
{
	static const uint8_t code[] = { 0x0f, 0x31 };
	struct kvm_regs r = { 0 };

	assert_int_equal(run_code(code, sizeof(code), &r), NONE);
	return edx_eax();
}

uint32_t guest_cpuid_edx(uint32_t leaf)
{
	static const uint8_t code[] = { 0x0f, 0xa2 };
	struct kvm_regs r = { .rax = leaf };

	assert_int_equal(run_code(code, sizeof(code), &r), NONE);
	return (uint32_t)get_regs().rdx;
}

static bool amd(void)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0)
			return cpuid->entries[i].ebx == 0x68747541 || cpuid->entries[i].ebx == 0x6f677948;
	return false;
}

int guest_hypercall(uint64_t input, uint64_t a, uint64_t b, uint64_t *result)
{
	const uint8_t code[] = { 0x0f, 0x01, amd() ? 0xd9 : 0xc1 };
	struct kvm_regs r = { .rax = (uint32_t)input, .rdx = input >> 32, .rcx = (uint32_t)a, .rbx = a >> 32,
			      .rsi = (uint32_t)b, .rdi = b >> 32 };
	int ret = run_code(code, sizeof(code), &r);

	*result = edx_eax();
	return ret;
}

uint64_t guest_hypercall_result(void)
{
	return edx_eax();
}

/* sti; hlt; cli */
static int take_interrupt(unsigned ms)
{
	static const uint8_t code[] = { 0xfb, 0xf4, 0xfa, 0xe6, PORT_DONE };
	struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	int vector;

	memcpy(m.mem + CODE, code, sizeof(code));
	ok(IOCTL(m.vcpu, KVM_SET_REGS, &r));
	if (run_for(ms)) {
		struct kvm_mp_state awake = { KVM_MP_STATE_RUNNABLE };

		ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &awake));
		return NONE;
	}
	vector = outcome();
	if (vector >= 0 && vector < 256)
		assert_int_equal(guest_continue(), NONE);
	return vector;
}

int guest_take_interrupt(void)
{
	return take_interrupt(10000);
}

int guest_interrupt_now(void)
{
	return take_interrupt(60);
}

/* ---- the host's side ---- */

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry e;
};

uint64_t host_get_msr(uint32_t msr)
{
	struct one_msr one = { .head.nmsrs = 1, .e.index = msr };

	assert_int_equal(IOCTL(m.vcpu, KVM_GET_MSRS, &one), 1);
	return one.e.data;
}

int host_set_msr(uint32_t msr, uint64_t val)
{
	struct one_msr one = { .head.nmsrs = 1, .e = { .index = msr, .data = val } };

	return IOCTL(m.vcpu, KVM_SET_MSRS, &one);
}
