/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_CAP_XEN_HVM: configuration, attributes, hypercalls, event channels, errors included. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/ioctl/ioctl.h"

#define MSR 0x40000200u
#define SHINFO 0x100000u    /* the pages of guest memory these tests use */
#define VCPU_INFO 0x101000u
#define RUNSTATE 0x102000u
#define NOWHERE (~0ull)
#define PRIO KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL
#define PENDING 0x800
#define MASK(lm) ((lm) ? 0xa00 : 0x880)
#define INTERDOMAIN 2
#define IPI 5

static struct machine m;

static int up(void **state) { return machine_up(&m, IRQCHIP); }

static int down(void **state)
{
	machine_down(&m);
	return 0;
}

static void configure(uint32_t flags)
{
	struct kvm_xen_hvm_config c = { .flags = flags, .msr = MSR };

	ok(IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
}

static int set_vm(uint16_t type, uint64_t value)
{
	struct kvm_xen_hvm_attr a = { .type = type };

	memcpy(&a.u, &value, sizeof(value));
	return IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a);
}

static uint64_t get_vm(uint16_t type)
{
	struct kvm_xen_hvm_attr a = { .type = type };

	ok(IOCTL(m.vm, KVM_XEN_HVM_GET_ATTR, &a));
	return a.u.shared_info.gfn;
}

static int set_vcpu(uint16_t type, uint64_t value)
{
	struct kvm_xen_vcpu_attr a = { .type = type };

	a.u.gpa = value;
	return IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a);
}

static uint64_t get_vcpu(uint16_t type)
{
	struct kvm_xen_vcpu_attr a = { .type = type };

	ok(IOCTL(m.vcpu, KVM_XEN_VCPU_GET_ATTR, &a));
	return a.u.gpa;
}

static int send(uint32_t port, uint32_t vcpu, uint32_t priority)
{
	struct kvm_irq_routing_xen_evtchn e = { port, vcpu, priority };

	return IOCTL(m.vm, KVM_XEN_HVM_EVTCHN_SEND, &e);
}

static uint64_t *word(uint64_t gpa)
{
	return (uint64_t *)(m.mem + gpa);
}

static void capability(void **state)
{
	int caps = IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM);

	assert_int_equal(caps & 0x1b7, 0x1b7);
	assert_int_equal(caps & ~0x1ff, 0);
	/* run states, where the host counts run delays */
	assert_true((caps & 0x48) == 0x48 || (caps & 0x48) == 0);
}

static void config(void **state)
{
	struct kvm_xen_hvm_config c = { .flags = KVM_XEN_HVM_CONFIG_SHARED_INFO, .msr = MSR };

	fails(EFAULT, IOCTL(m.vm, KVM_XEN_HVM_CONFIG, BAD_POINTER));
	fails(EINVAL, IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
	c.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
	c.blob_size_64 = 1; /* KVM makes the page itself */
	fails(EINVAL, IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
	c.blob_size_64 = 0;
	ok(IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
	c = (struct kvm_xen_hvm_config){ 0 };
	ok(IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
}

static void vm_attributes(void **state)
{
	struct kvm_xen_hvm_attr a = { .type = 0x77 };

	fails(ENOENT, IOCTL(m.vm, KVM_XEN_HVM_GET_ATTR, &a));
	fails(ENOENT, IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a));
	fails(EFAULT, IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, BAD_POINTER));
	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, 7));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_LONG_MODE), 1);
	fails(EINVAL, set_vm(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0xf));
	ok(set_vm(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0x10));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR), 0x10);
	ok(set_vm(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0));
	ok(set_vm(KVM_XEN_ATTR_TYPE_XEN_VERSION, 4 << 16 | 17));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_XEN_VERSION), 4 << 16 | 17);
	ok(set_vm(KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG, 1));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG), 1);
}

/* The wall clock goes where the guest's width has it: 0x900 or 0xc00. */
static void shared_info(void **state)
{
	uint32_t *wc32 = (uint32_t *)(m.mem + SHINFO + 0x900), *wc64 = (uint32_t *)(m.mem + SHINFO + 0xc00);

	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO), NOWHERE);
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA), 0);
	fails(EFAULT, set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, 0x12345));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHINFO >> 12));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO), SHINFO >> 12);
	assert_int_equal(wc32[0], 2);
	assert_true(wc32[1] > 1500000000u);
	assert_int_equal(wc64[0], 0);
	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, 1));
	assert_int_equal(wc64[0], 2);
	fails(EINVAL, set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, (uintptr_t)m.mem + 8));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, (uintptr_t)m.mem + SHINFO));
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO), NOWHERE);
	assert_int_equal(get_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA), (uintptr_t)m.mem + SHINFO);
	assert_int_equal(wc64[0], 4);
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, 0));
	fails(EFAULT, set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, BAD_POINTER));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, NOWHERE));
}

static void vcpu_attributes(void **state)
{
	struct kvm_xen_vcpu_attr a = { .type = 0x77 };

	fails(ENOENT, IOCTL(m.vcpu, KVM_XEN_VCPU_GET_ATTR, &a));
	fails(ENOENT, IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a));
	fails(EFAULT, IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, BAD_POINTER));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO), NOWHERE);
	fails(ENXIO, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO + 2));
	fails(EINVAL, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO + 4096 - 32));
	fails(EFAULT, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, 0x40000000));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO), VCPU_INFO);
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, (uintptr_t)m.mem + VCPU_INFO));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO), NOWHERE);
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, 0));
	fails(EINVAL, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, VCPU_INFO + 4096 - 16));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO, VCPU_INFO + 4096 - 33));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, 5));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID) & 0xffffffff, 5);
	fails(EINVAL, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, 1 << 20));
	fails(EINVAL, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, 3));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR, 0x31));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR) & 0xff, 0x31);
	a = (struct kvm_xen_vcpu_attr){ .type = KVM_XEN_VCPU_ATTR_TYPE_TIMER, .u.timer = { .port = 3, .priority = 1 } };
	fails(EINVAL, IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a));
}

/* Run states may lie at any address. */
static uint64_t value(uint64_t gpa)
{
	uint64_t v;

	memcpy(&v, m.mem + gpa, sizeof(v));
	return v;
}

static void run_states(void **state)
{
	struct kvm_xen_vcpu_attr a = { .type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA };

	if (!(IOCTL(m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM) & KVM_XEN_HVM_CONFIG_RUNSTATE))
		skip();
	a.u.runstate.state_entry_time = 100;
	fails(EINVAL, IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a)); /* does not add up */
	a.u.runstate.time_running = 60;
	a.u.runstate.time_blocked = 40;
	ok(IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a));
	a.u.runstate.state = 4;
	fails(EINVAL, IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a));
	fails(ENOENT, IOCTL(m.vcpu, KVM_XEN_VCPU_GET_ATTR, &(struct kvm_xen_vcpu_attr){
			      .type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR }));
	fails(EFAULT, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, MEM_SIZE - 8)); /* reaches beyond RAM */
	/* across pages, 32-bit layout */
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, RUNSTATE + 4096 - 14));
	assert_int_equal(value(RUNSTATE + 4096 - 14 + 4), 100);
	assert_int_equal(value(RUNSTATE + 4096 - 14 + 12), 60);
	assert_int_equal(value(RUNSTATE + 4096 - 14 + 28), 40);
	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, 1));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR, RUNSTATE + 3));
	assert_int_equal(value(RUNSTATE + 3 + 8), 100);
	assert_int_equal(value(RUNSTATE + 3 + 16), 60);
	fails(EINVAL, set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT, 4));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT, 2));
	assert_int_equal(get_vcpu(KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT), 2);
	assert_int_equal(value(RUNSTATE + 3) & 0xffffffff, 2);
	assert_int_equal(value(RUNSTATE + 3 + 8), value(RUNSTATE + 3 + 16) + value(RUNSTATE + 3 + 24) + 40);
	a = (struct kvm_xen_vcpu_attr){ .type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST };
	fails(EINVAL, IOCTL(m.vcpu, KVM_XEN_VCPU_GET_ATTR, &a));
	a.u.runstate.state = ~0ull;
	a.u.runstate.time_blocked = 5;
	a.u.runstate.time_offline = -5ull;
	ok(IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &a));
	assert_int_equal(value(RUNSTATE + 3 + 32), 45);
}

/* Both layouts of the shared info page. */
static void check_events(bool lm)
{
	uint64_t sel = VCPU_INFO + (lm ? 8 : 4);

	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, lm));
	fails(EINVAL, send(70, 0, PRIO)); /* no shared info page */
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHINFO >> 12));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO));
	fails(EINVAL, send(0, 0, PRIO));
	fails(EINVAL, send(lm ? 4096 : 1024, 0, PRIO));
	fails(EINVAL, send(70, 0, 0));
	fails(EINVAL, send(70, 9, PRIO)); /* no such vCPU */
	ok(send(70, 0, PRIO));
	assert_int_equal(word(SHINFO + PENDING)[1], 1ull << 6);
	assert_int_equal(*(uint32_t *)(m.mem + sel), lm ? 2 : 4);
	assert_int_equal(m.mem[VCPU_INFO], 1);
	m.mem[VCPU_INFO] = 0;
	word(SHINFO + MASK(lm))[1] = 1 << 7;
	ok(send(71, 0, PRIO)); /* masked: pending, but nobody is told */
	assert_int_equal(word(SHINFO + PENDING)[1], 3ull << 6);
	assert_int_equal(m.mem[VCPU_INFO], 0);
}

static void events_32(void **state)
{
	check_events(false);
}

static void events_64(void **state)
{
	check_events(true);
}

/* Pages that the client takes away are an error, not its end. */
static void pages_taken_away(void **state)
{
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, 1));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA, (uintptr_t)page));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA, (uintptr_t)page + 4096));
	ok(send(5, 0, PRIO));
	assert_int_equal(*(uint32_t *)(page + PENDING), 1 << 5);
	assert_int_equal(page[4096], 1);
	ok(munmap(page + 4096, 4096));
	ok(send(70, 0, PRIO)); /* kept until vcpu_info is back */
	ok(munmap(page, 4096));
	fails(EFAULT, send(6, 0, PRIO));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, NOWHERE));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, NOWHERE));
}

static void routes(void **state)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e; } r = { .head.nr = 1 };
	struct kvm_irq_level line = { .irq = 40, .level = 1 };

	ok(set_vm(KVM_XEN_ATTR_TYPE_LONG_MODE, 1));
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHINFO >> 12));
	r.e.gsi = 40;
	r.e.type = KVM_IRQ_ROUTING_XEN_EVTCHN;
	r.e.u.xen_evtchn = (struct kvm_irq_routing_xen_evtchn){ 5, 0, 1 };
	fails(EINVAL, IOCTL(m.vm, KVM_SET_GSI_ROUTING, &r));
	r.e.u.xen_evtchn.priority = PRIO;
	ok(IOCTL(m.vm, KVM_SET_GSI_ROUTING, &r));
	ok(IOCTL(m.vm, KVM_IRQ_LINE_STATUS, &line));
	assert_int_equal(line.status, 1);
	assert_int_equal(word(SHINFO + PENDING)[0], 1 << 5);
	line.irq = 40; /* status is in its place */
	ok(IOCTL(m.vm, KVM_IRQ_LINE_STATUS, &line));
	assert_int_equal(line.status, 0); /* still pending */
}

static int bind(uint32_t flags, uint32_t port, uint32_t type, uint32_t to)
{
	struct kvm_xen_hvm_attr a = { .type = KVM_XEN_ATTR_TYPE_EVTCHN };

	a.u.evtchn.send_port = port;
	a.u.evtchn.type = type;
	a.u.evtchn.flags = flags;
	a.u.evtchn.deliver.port.port = to;
	a.u.evtchn.deliver.port.priority = PRIO;
	return IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a);
}

static void ports(void **state)
{
	struct kvm_xen_hvm_attr a = { .type = KVM_XEN_ATTR_TYPE_EVTCHN };

	fails(EINVAL, bind(0, 0, INTERDOMAIN, 3));
	fails(EINVAL, bind(0, 1024, INTERDOMAIN, 3)); /* 32-bit guests have 1024 */
	fails(EINVAL, bind(0, 2, 1, 3));              /* unbound */
	fails(EINVAL, bind(0, 2, IPI, 3));            /* an IPI comes back at its own port */
	fails(EINVAL, bind(8, 2, INTERDOMAIN, 3));
	ok(bind(0, 2, INTERDOMAIN, 3));
	fails(EEXIST, bind(0, 2, INTERDOMAIN, 3));
	fails(ENOENT, bind(KVM_XEN_EVTCHN_UPDATE, 4, INTERDOMAIN, 3));
	fails(EINVAL, bind(KVM_XEN_EVTCHN_UPDATE, 2, INTERDOMAIN, 4)); /* only the vCPU may change */
	ok(bind(KVM_XEN_EVTCHN_UPDATE, 2, INTERDOMAIN, 3));
	ok(bind(KVM_XEN_EVTCHN_DEASSIGN, 2, INTERDOMAIN, 3));
	fails(ENOENT, bind(KVM_XEN_EVTCHN_DEASSIGN, 2, INTERDOMAIN, 3));
	a.u.evtchn.send_port = 2;
	a.u.evtchn.type = INTERDOMAIN;
	a.u.evtchn.deliver.eventfd.fd = -1;
	fails(EBADF, IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a));
	ok(bind(0, 2, IPI, 2));
	a.u.evtchn.flags = KVM_XEN_EVTCHN_RESET;
	ok(IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a));
	ok(bind(0, 2, IPI, 2));
}

/* ---- with a guest, in real mode: 32-bit hypercalls ---------------------------------------------------- */

static void run_until(unsigned reason)
{
	ok(machine_run(&m));
	assert_int_equal(m.run->exit_reason, reason);
}

/* wrmsr of the page's address, then mov ecx,0x2222; call page + nr * 32; out 0x42,al */
static void hypercall_guest(uint32_t nr, uint32_t ebx, uint32_t ecx)
{
	uint8_t code[] = { 0x66, 0xb9, 0, 2, 0, 0x40,                     /* mov ecx,0x40000200 */
			   0x66, 0xb8, 0, 0x30, 0, 0,                     /* mov eax,0x3000 */
			   0x66, 0x31, 0xd2, 0x0f, 0x30,                  /* xor edx,edx; wrmsr */
			   0x66, 0xbb, 0, 0, 0, 0, 0x66, 0xb9, 0, 0, 0, 0, /* mov ebx,..; mov ecx,.. */
			   0x66, 0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xd9,      /* mov eax,nr; vmmcall */
			   0x66, 0xe7, 0x42, 0xf4 };                      /* out 0x42,eax */

	memcpy(code + 19, &ebx, 4);
	memcpy(code + 25, &ecx, 4);
	memcpy(code + 31, &nr, 4);
	machine_code(&m, code, sizeof(code));
}

static uint32_t out_value(void)
{
	uint32_t v;

	assert_int_equal(m.run->exit_reason, KVM_EXIT_IO);
	memcpy(&v, (uint8_t *)m.run + m.run->io.data_offset, 4);
	return v;
}

static void hypercall_exit(void **state)
{
	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
	hypercall_guest(17, 0, 0x2222);
	run_until(KVM_EXIT_XEN);
	assert_int_equal(m.mem[0x3000 + 32 * 17], 0xb8);
	assert_int_equal(m.mem[0x3000 + 32 * 17 + 1], 17);
	assert_int_equal(m.mem[0x3000 + 32 * 17 + 8], 0xc3);
	assert_int_equal(m.mem[0x3000 + 32 * 17 + 9], 0xcc);
	assert_int_equal(m.run->xen.type, KVM_EXIT_XEN_HCALL);
	assert_int_equal(m.run->xen.u.hcall.longmode, 0);
	assert_int_equal(m.run->xen.u.hcall.cpl, 0);
	assert_int_equal(m.run->xen.u.hcall.input, 17);
	assert_int_equal(m.run->xen.u.hcall.params[0], 0);
	assert_int_equal(m.run->xen.u.hcall.params[1], 0x2222);
	m.run->xen.u.hcall.result = 0x1234;
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), 0x1234);
}

static void version(void **state)
{
	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
	ok(set_vm(KVM_XEN_ATTR_TYPE_XEN_VERSION, 0x40011));
	hypercall_guest(17, 0, 0);
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), 0x40011);
}

/* Without interception the client's pages are copied. */
static void blob(void **state)
{
	uint8_t *pages = aligned_alloc(4096, 8192);
	struct kvm_xen_hvm_config c = { .msr = MSR, .blob_addr_32 = (uintptr_t)pages, .blob_size_32 = 1 };

	memset(pages, 0x5a, 4096);
	ok(IOCTL(m.vm, KVM_XEN_HVM_CONFIG, &c));
	hypercall_guest(17, 0, 0);
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.mem[0x3000], 0x5a);
	assert_int_equal(m.mem[0x3fff], 0x5a);
	assert_int_equal(m.mem[0x4000], 0);
	free(pages);
}

/* EVTCHNOP_send to an eventfd; an unknown port is for user space. */
static void send_to_eventfd(void **state)
{
	struct kvm_xen_hvm_attr a = { .type = KVM_XEN_ATTR_TYPE_EVTCHN };
	int fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t count = 0;

	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
	a.u.evtchn.send_port = 21;
	a.u.evtchn.type = INTERDOMAIN;
	a.u.evtchn.deliver.eventfd.fd = fd;
	ok(IOCTL(m.vm, KVM_XEN_HVM_SET_ATTR, &a));
	*(uint32_t *)(m.mem + 0x5000) = 21;
	hypercall_guest(32, 4, 0x5000);
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), 0);
	ok(eventfd_read(fd, &count));
	assert_int_equal(count, 1);
	*(uint32_t *)(m.mem + 0x5000) = 22;
	hypercall_guest(32, 4, 0x5000);
	run_until(KVM_EXIT_XEN);
	close(fd);
}

/* The timer's port comes after its time; its interrupt ends the poll. */
static void timer_ends_poll(void **state)
{
	struct kvm_xen_vcpu_attr t = { .type = KVM_XEN_VCPU_ATTR_TYPE_TIMER, .u.timer = { .port = 13, .priority = PRIO } };
	struct kvm_clock_data clock;
	struct { uint32_t ports, n; uint64_t timeout; } poll = { 0x5100, 1, 0 };

	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | KVM_XEN_HVM_CONFIG_EVTCHN_SEND);
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHINFO >> 12));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO));
	ok(IOCTL(m.vm, KVM_GET_CLOCK, &clock));
	word(SHINFO + MASK(0))[0] = 1 << 13;
	t.u.timer.expires_ns = clock.clock + 50 * 1000000;
	ok(IOCTL(m.vcpu, KVM_XEN_VCPU_SET_ATTR, &t));
	*(uint32_t *)(m.mem + 0x5100) = 13;
	memcpy(m.mem + 0x5000, &poll, sizeof(poll));
	hypercall_guest(29, 3, 0x5000);
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), 0);
	assert_int_equal(word(SHINFO + PENDING)[0], 1 << 13);
	ok(IOCTL(m.vcpu, KVM_XEN_VCPU_GET_ATTR, &t));
	assert_int_equal(t.u.timer.expires_ns, 0);
	assert_int_equal(t.u.timer.port, 13);
	ok(IOCTL(m.vm, KVM_GET_CLOCK, &clock));
	poll.n = 129; /* more than Xen takes */
	memcpy(m.mem + 0x5000, &poll, sizeof(poll));
	hypercall_guest(29, 3, 0x5000);
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), (uint32_t)-EINVAL);
	poll.n = 0;
	poll.timeout = 20 * 1000000;
	memcpy(m.mem + 0x5000, &poll, sizeof(poll));
	hypercall_guest(29, 3, 0x5000);
	run_until(KVM_EXIT_IO);
	assert_int_equal(out_value(), 0);
}

/* The HVM-wide vector is injected as long as evtchn_upcall_pending stands. */
static void upcall(void **state)
{
	static const uint8_t code[] = { 0xfb, 0x90, 0xeb, 0xfd };              /* sti; nop; jmp nop */
	static const uint8_t handler[] = { 0xe6, 0x77, 0xf4 };

	configure(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
	ok(set_vm(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHINFO >> 12));
	ok(set_vcpu(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO));
	ok(set_vm(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0x40));
	memcpy(m.mem + 0x1800, handler, sizeof(handler));
	*(uint32_t *)(m.mem + 4 * 0x40) = 0x1800;
	machine_code(&m, code, sizeof(code));
	ok(send(9, 0, PRIO));
	run_until(KVM_EXIT_IO);
	assert_int_equal(m.run->io.port, 0x77);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
	static const struct CMUnitTest tests[] = {
		T(capability), T(config), T(vm_attributes), T(shared_info), T(vcpu_attributes), T(run_states),
		T(events_32), T(events_64), T(pages_taken_away), T(routes), T(ports),
		T(hypercall_exit), T(version), T(blob), T(send_to_eventfd), T(timer_ends_poll), T(upcall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
