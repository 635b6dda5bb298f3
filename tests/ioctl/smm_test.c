/* SPDX-License-Identifier: Apache-2.0 */
/* System management mode: KVM_SMI, the two save areas, RSM, what waits meanwhile, address space 1. */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

#define MSR_SMBASE 0x9e
#define MSR_SMI_COUNT 0x34
#define SMBASE 0x30000
#define SLOT_SMM(n) (1u << 16 | (n))

static struct machine m;

/* Address space 1 has the same memory as 0, in slot 0; size 0 takes it away. */
static void map_smm(uint64_t size)
{
	struct kvm_userspace_memory_region r = { .slot = SLOT_SMM(0), .memory_size = size, .userspace_addr = (uintptr_t)m.mem };

	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
}

static int up(void **state)
{
	machine_up(&m, NO_IRQCHIP);
	map_smm(MEM_SIZE);
	return 0;
}

static int up_irqchip(void **state)
{
	machine_up(&m, IRQCHIP);
	map_smm(MEM_SIZE);
	return 0;
}

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

#define BYTES(at, ...)                                         \
	do {                                                   \
		static const uint8_t bytes[] = { __VA_ARGS__ };\
		memcpy((at), bytes, sizeof(bytes));            \
	} while (0)

/* At 0x1000: mov al,1; out 0x42,al; mov al,2; out 0x43,al; hlt. In SMM: in al,0x99; rsm */
static void program(void)
{
	static const uint8_t code[] = { 0xb0, 1, 0xe6, 0x42, 0xb0, 2, 0xe6, 0x43, 0xf4 };

	machine_code(&m, code, sizeof(code));
	BYTES(m.mem + SMBASE + 0x8000, 0xe4, 0x99, 0x0f, 0xaa);
}

static void run_to_port(unsigned port)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, port);
}

static bool in_smm(void)
{
	return m.run->flags & KVM_RUN_X86_SMM;
}

static struct kvm_vcpu_events events(void)
{
	struct kvm_vcpu_events ev;

	ok(IOCTL(m.vcpu, KVM_GET_VCPU_EVENTS, &ev));
	return ev;
}

static uint64_t get_msr(uint32_t index)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } io = { .head.nmsrs = 1, .e.index = index };

	assert_int_equal(IOCTL(m.vcpu, KVM_GET_MSRS, &io), 1);
	return io.e.data;
}

static void set_msr(uint32_t index, uint64_t data)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } io = { .head.nmsrs = 1, .e = { .index = index, .data = data } };

	assert_int_equal(IOCTL(m.vcpu, KVM_SET_MSRS, &io), 1);
}

static uint64_t saved(unsigned at)
{
	uint64_t v;

	memcpy(&v, m.mem + SMBASE + at, 8);
	return v;
}

static void capabilities(void **state)
{
	struct kvm_userspace_memory_region r = { .slot = 2u << 16, .memory_size = 4096, .userspace_addr = (uintptr_t)m.mem };

	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM), 1);
	assert_int_equal(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
	assert_int_equal(IOCTL(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
	fails(EINVAL, IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
}

static void msrs(void **state)
{
	assert_int_equal(get_msr(MSR_SMBASE), SMBASE);
	set_msr(MSR_SMBASE, 0xa0000);
	assert_int_equal(get_msr(MSR_SMBASE), 0xa0000);
	assert_int_equal(get_msr(MSR_SMI_COUNT), 0);
}

/* mov ecx,0x9e; rdmsr; hlt, with a #GP handler */
static void smbase_is_not_the_guests(void **state)
{
	static const uint8_t code[] = { 0x66, 0xb9, 0x9e, 0, 0, 0, 0x0f, 0x32, 0xf4 };

	machine_code(&m, code, sizeof(code));
	BYTES(m.mem + 0x1800, 0xe6, 0x77);
	*(uint32_t *)(m.mem + 4 * 13) = 0x1800;
	run_to_port(0x77);
}

static void entry_and_rsm(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	program();
	run_to_port(0x42);
	assert_false(in_smm());
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	assert_int_equal(events().smi.pending, 1);
	assert_int_equal(events().smi.smm, 0);
	run_to_port(0x99);
	assert_true(in_smm());
	assert_int_equal(events().smi.smm, 1);
	assert_int_equal(events().smi.pending, 0);
	assert_int_equal(events().nmi.masked, 1);
	assert_int_equal(events().smi.smm_inside_nmi, 0);
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	assert_int_equal(r.rip, 0x8000);
	assert_int_equal(r.rflags, 2);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	assert_int_equal(s.cs.base, SMBASE);
	assert_int_equal(s.cs.selector, SMBASE >> 4);
	assert_int_equal(s.cs.limit, 0xffffffff);
	assert_int_equal(s.ds.limit, 0xffffffff);
	assert_int_equal(s.ss.base, 0);
	assert_int_equal(s.cr4, 0);
	assert_int_equal(s.cr0 & 0x8000000d, 0);
	assert_int_equal(s.idt.limit, 0);
	assert_int_equal(saved(0xfefc) & 0xffffffff, 0x20064);
	assert_int_equal(saved(0xff00) & 0xffffffff, SMBASE);
	assert_int_equal(saved(0xff78), 0x1004);     /* RIP */
	assert_int_equal(saved(0xfff8) & 0xff, 1);   /* RAX */
	assert_int_equal(saved(0xffd8), 0x8000);     /* RSP */
	assert_int_equal(saved(0xff58), 0x60000010); /* CR0 */
	run_to_port(0x43);
	assert_false(in_smm());
	assert_int_equal(events().smi.smm, 0);
	assert_int_equal(events().nmi.masked, 0);
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	assert_int_equal(s.cs.base, 0);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.idt.limit, 0xffff);
	assert_int_equal(get_msr(MSR_SMI_COUNT), 1);
}

/* The handler moves SMBASE in the save area and loads other registers. */
static void relocation(void **state)
{
	program();
	/* cs: mov dword [0xff00],0x40000; mov dword [0xfff8],0x55 (RAX) ; out 0x99,al; rsm */
	BYTES(m.mem + SMBASE + 0x8000, 0x2e, 0x66, 0xc7, 0x06, 0x00, 0xff, 0x00, 0x00, 0x04,
	      0x00, /* smbase */
	      0x2e, 0x66, 0xc7, 0x06, 0xf8, 0xff, 0x55, 0x00, 0x00, 0x00, 0xe6, 0x99, 0x0f, 0xaa);
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	m.mem[0x1004] = m.mem[0x1005] = 0x90; /* AL as RSM left it goes out */
	run_to_port(0x43);
	assert_int_equal(*((uint8_t *)m.run + m.run->io.data_offset), 0x55);
	assert_int_equal(get_msr(MSR_SMBASE), 0x40000);
}

/* The handler's 16-bit code runs beyond 64 KiB, as OVMF's does: mov eax,0x20000; jmp eax */
static void code_beyond_64k(void **state)
{
	struct kvm_regs r;

	program();
	BYTES(m.mem + SMBASE + 0x8000, 0x66, 0xb8, 0x00, 0x00, 0x02, 0x00, 0x66, 0xff, 0xe0);
	BYTES(m.mem + SMBASE + 0x20000, 0x90, 0xe4, 0x99, 0x90, 0xeb, 0x00, 0x0f, 0xaa);
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	assert_int_equal(r.rip, 0x20001);
	if (kvm_is_real())
		/* QEMU's TCG, where Linux's KVM was asked, keeps EIP in what follows; the SDM (JMP) does not
		 * */
		return;
	/* A branch of 16 bits cuts EIP. */
	BYTES(m.mem + SMBASE + 0x6, 0xe6, 0x98, 0x0f, 0xaa);
	run_to_port(0x98);
	run_to_port(0x43);
}

/* A processor without long mode has the older layout. */
static void save_area_32(void **state)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	ok(IOCTL(m.kvm, KVM_GET_SUPPORTED_CPUID, c));
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000001)
			c->entries[i].edx &= ~(1u << 29);
	ok(IOCTL(m.vcpu, KVM_SET_CPUID2, c));
	free(c);
	program();
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	assert_int_equal(saved(0xfefc) & 0xffffffff, 0x20000);
	assert_int_equal(saved(0xfef8) & 0xffffffff, SMBASE);
	assert_int_equal(saved(0xfff0) & 0xffffffff, 0x1004);
	assert_int_equal(saved(0xffe0) & 0xffffffff, 0x8000); /* ESP */
	run_to_port(0x43);
	assert_false(in_smm());
}

/* Memory that only SMM sees, over the same addresses. */
static void second_address_space(void **state)
{
	struct kvm_userspace_memory_region r = { .slot = SLOT_SMM(1), .guest_phys_addr = SMBASE, .memory_size = 0x10000 };
	uint8_t *smram = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	program();
	map_smm(0);
	memset(m.mem + SMBASE, 0xcc, 0x10000);
	BYTES(smram + 0x8000, 0xe6, 0x98, 0x0f, 0xaa);
	r.userspace_addr = (uintptr_t)smram;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x98);
	assert_int_equal(*(uint64_t *)(smram + 0xff78), 0x1004);
	assert_int_equal(saved(0xff78), 0xccccccccccccccccull);
	run_to_port(0x43);
	r.memory_size = 0;
	ok(IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &r));
	munmap(smram, 0x10000);
}

/* A second SMI and an NMI wait until RSM; the SMI goes first. */
static void held_back(void **state)
{
	program();
	BYTES(m.mem + 0x1800, 0xe6, 0x77, 0xcf); /* NMI: out 0x77,al; iret */
	*(uint32_t *)(m.mem + 4 * 2) = 0x1800;
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	ok(IOCTL(m.vcpu, KVM_NMI, 0));
	run_to_port(0x99);
	assert_true(in_smm());
	assert_int_equal(saved(0xff78), 0x1004);
	run_to_port(0x77);
	assert_false(in_smm());
	run_to_port(0x43);
	assert_int_equal(get_msr(MSR_SMI_COUNT), 2);
}

/* An SMI inside an NMI handler leaves NMIs blocked at RSM. */
static void inside_nmi(void **state)
{
	program();
	BYTES(m.mem + 0x1800, 0xe6, 0x77, 0xe6, 0x78, 0xcf);
	*(uint32_t *)(m.mem + 4 * 2) = 0x1800;
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_NMI, 0));
	run_to_port(0x77);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	assert_int_equal(events().smi.smm_inside_nmi, 1);
	run_to_port(0x78);
	assert_int_equal(events().nmi.masked, 1);
	assert_int_equal(events().smi.smm_inside_nmi, 0);
	run_to_port(0x43);
	assert_int_equal(events().nmi.masked, 0);
}

/* Pending and active travel through KVM_SET_VCPU_EVENTS. */
static void events_round_trip(void **state)
{
	struct kvm_vcpu_events ev;

	program();
	run_to_port(0x42);
	ev = events();
	assert_true(ev.flags & KVM_VCPUEVENT_VALID_SMM);
	ev.smi.pending = 1;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
	run_to_port(0x99);
	ev = events();
	ev.smi.smm = 0;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
	assert_int_equal(events().smi.smm, 0);
	ev.smi.smm = 1;
	ev.smi.smm_inside_nmi = 1;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
	assert_int_equal(events().smi.smm, 1);
	assert_int_equal(events().smi.smm_inside_nmi, 1);
	run_to_port(0x43);
	assert_int_equal(events().nmi.masked, 1);
	ev.flags = 0; /* not told: nothing changes */
	ev.smi.pending = 1;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
	assert_int_equal(events().smi.pending, 0);
}

/* Between a read from MMIO and its answer there is no instruction boundary. */
static void smi_amid_mmio(void **state)
{
	/* mov bl,[0x20] with DS at 0x300000; out 0x43,al */
	static const uint8_t code[] = { 0x8a, 0x1e, 0x20, 0x00, 0xe6, 0x43, 0xf4 };
	struct kvm_sregs s;
	struct kvm_regs r;

	program();
	machine_code(&m, code, sizeof(code));
	ok(IOCTL(m.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = 0x300000;
	ok(IOCTL(m.vcpu, KVM_SET_SREGS, &s));
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_MMIO);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	m.run->mmio.data[0] = 0x5a;
	run_to_port(0x99);
	assert_int_equal(saved(0xff78), 0x1004);
	run_to_port(0x43);
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	assert_int_equal(r.rbx & 0xff, 0x5a);
}

static void rsm_of_nonsense(void **state)
{
	program();
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	*(uint64_t *)(m.mem + SMBASE + 0xff58) = 0x80000000; /* CR0: paging without protection */
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

static void rsm_outside(void **state)
{
	static const uint8_t code[] = { 0x0f, 0xaa, 0xf4 };

	machine_code(&m, code, sizeof(code));
	BYTES(m.mem + 0x1800, 0xe6, 0x77, 0xf4);
	*(uint32_t *)(m.mem + 4 * 6) = 0x1800;
	run_to_port(0x77);
}

/* Nowhere to save the state to: the machine is gone. */
static void no_smram(void **state)
{
	program();
	run_to_port(0x42);
	set_msr(MSR_SMBASE, 0x40000000);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	fails(EIO, machine_run(&m));
	fails(EIO, IOCTL(m.vcpu, KVM_SMI, 0));
}

/* Linux looks anew for who has which APIC id when an APIC is enabled or set. */
static void enable_apic(void)
{
	struct kvm_lapic_state lapic;

	ok(IOCTL(m.vcpu, KVM_GET_LAPIC, &lapic));
	lapic.regs[0xf1] |= 1; /* SPIV bit 8 */
	ok(IOCTL(m.vcpu, KVM_SET_LAPIC, &lapic));
}

static void smi_message(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x200 };

	program();
	enable_apic();
	run_to_port(0x42);
	assert_int_equal(IOCTL(m.vm, KVM_SIGNAL_MSI, &msi), 1);
	assert_int_equal(events().smi.pending, 1);
	run_to_port(0x99);
	run_to_port(0x43);
}

/* INIT waits for RSM; a processor in SMM can not be put to wait for SIPI. */
static void init_is_latched(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x500 };
	struct kvm_mp_state mp = { KVM_MP_STATE_INIT_RECEIVED };
	struct kvm_vcpu_events ev;
	struct kvm_regs r;

	program();
	enable_apic();
	run_to_port(0x42);
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	assert_int_equal(IOCTL(m.vm, KVM_SIGNAL_MSI, &msi), 1);
	assert_int_equal(events().smi.latched_init, 1);
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_MP_STATE, &mp));
	memset(m.mem + 0x1004, 0xf4, 8);
	ok(IOCTL(m.vcpu, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(events().smi.latched_init, 1);
	/* After RSM the boot processor starts at the reset vector, where no memory is. */
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_false(in_smm());
	ok(IOCTL(m.vcpu, KVM_GET_REGS, &r));
	assert_int_equal(r.rip, 0xfff0);
	mp.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &mp));
	ev = events();
	ev.smi.pending = 1;
	fails(EINVAL, IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
}

/* HLT in the kernel's keeping ends with an SMI; RSM goes on behind the HLT. */
static void wakes_from_hlt(void **state)
{
	static const uint8_t code[] = { 0xf4, 0xe6, 0x43, 0xf4 };
	struct kvm_vcpu_events ev;
	struct kvm_mp_state mp;

	program();
	machine_code(&m, code, sizeof(code));
	ok(IOCTL(m.vcpu, KVM_SMI, 0));
	run_to_port(0x99);
	mp.mp_state = KVM_MP_STATE_HALTED;
	ok(IOCTL(m.vcpu, KVM_SET_MP_STATE, &mp));
	ev = events();
	ev.smi.smm = 0;
	ev.smi.pending = 1;
	ok(IOCTL(m.vcpu, KVM_SET_VCPU_EVENTS, &ev));
	run_to_port(0x99); /* taken though halted */
	assert_true(in_smm());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
#define TI(name) cmocka_unit_test_setup_teardown(name, up_irqchip, down)
	const struct CMUnitTest tests[] = {
		T(capabilities), T(msrs), T(smbase_is_not_the_guests), T(entry_and_rsm), T(relocation),
		T(code_beyond_64k), T(save_area_32), T(second_address_space), T(held_back), T(inside_nmi),
		T(events_round_trip), T(smi_amid_mmio), T(rsm_of_nonsense), T(rsm_outside), T(no_smram),
		TI(smi_message), TI(init_is_latched), TI(wakes_from_hlt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
