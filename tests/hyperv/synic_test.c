/* SPDX-License-Identifier: Apache-2.0 */
/* SynIC, synthetic timers, the VP assist page. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/hyperv/guest.h"

#define VECTOR 0x60
#define SINT 2
#define GSI 5
#define MS 10000ull /* in 100 ns */

static void synic_up(uint32_t cap)
{
	guest_up(IRQCHIP, true);
	guest_enable_cap(cap, 0);
	guest_enable_apic();
}

static int up(void **state)
{
	synic_up(KVM_CAP_HYPERV_SYNIC2);
	return 0;
}

static int down(void **state)
{
	guest_down();
	return 0;
}

static uint32_t slot_type(unsigned sint)
{
	return *(uint32_t *)(m.mem + PAGE_A + sint * HV_MESSAGE_SIZE);
}

static const struct hv_timer_message *slot(unsigned sint)
{
	return (void *)(m.mem + PAGE_A + sint * HV_MESSAGE_SIZE);
}

static void expect_synic_exit(uint32_t msr)
{
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERV);
	assert_int_equal(m.run->hyperv.type, KVM_EXIT_HYPERV_SYNIC);
	assert_int_equal(m.run->hyperv.u.synic.msr, msr);
	assert_int_equal(guest_continue(), NONE);
}

static void message_page(void)
{
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SIMP, PAGE_A | HV_MSR_PAGE_ENABLE), OTHER_EXIT);
	assert_int_equal(m.run->hyperv.u.synic.msg_page, PAGE_A | HV_MSR_PAGE_ENABLE);
	expect_synic_exit(HV_X64_MSR_SIMP);
}

static void set_sint(unsigned sint, uint64_t val)
{
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SINT0 + sint, val), NONE);
}

static void eoi(void)
{
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOI, 0), NONE);
}

/* ---- registers ---- */

static void inactive(void **state)
{
	uint64_t val;

	guest_up(IRQCHIP, true);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_SCONTROL, &val), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SINT0, VECTOR), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG, 0), GP);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_STIMER0_CONFIG, &val), NONE);
	assert_int_equal(host_set_msr(HV_X64_MSR_SIMP, 0), 1); /* what a migration writes */
	assert_int_equal(host_set_msr(HV_X64_MSR_SIMP, PAGE_A), 0);
	assert_int_equal(host_get_msr(HV_X64_MSR_SVERSION), 1);
	guest_down();
}

static void registers(void **state)
{
	uint64_t val;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_SCONTROL, 1), OTHER_EXIT);
	assert_int_equal(m.run->hyperv.u.synic.control, 1);
	expect_synic_exit(HV_X64_MSR_SCONTROL);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SIEFP, PAGE_B | 1), OTHER_EXIT);
	assert_int_equal(m.run->hyperv.u.synic.evt_page, PAGE_B | 1);
	expect_synic_exit(HV_X64_MSR_SIEFP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SVERSION, 1), GP);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_SINT0 + 15, &val), NONE);
	assert_int_equal(val, HV_SYNIC_SINT_MASKED);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SINT0, 15), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SINT0, 15 | HV_SYNIC_SINT_MASKED), NONE);
	assert_int_equal(host_set_msr(HV_X64_MSR_SINT0, 15), 1);
	assert_int_equal(guest_rdmsr(HV_X64_MSR_EOM, &val), NONE);
}

/* KVM_CAP_HYPERV_SYNIC clears the pages, SYNIC2 does not. */
static void pages_cleared(void **state)
{
	m.mem[PAGE_A + 100] = 1;
	message_page();
	assert_int_equal(m.mem[PAGE_A + 100], 1);
	guest_down();
	synic_up(KVM_CAP_HYPERV_SYNIC);
	m.mem[PAGE_A + 100] = 1;
	message_page();
	assert_int_equal(m.mem[PAGE_A + 100], 0);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SIMP, MEM_SIZE | HV_MSR_PAGE_ENABLE), GP);
}

/* ---- interrupts from outside ---- */

static void route(unsigned vp, unsigned sint)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} r = { .head.nr = 1, .e = { .gsi = GSI, .type = KVM_IRQ_ROUTING_HV_SINT } };

	r.e.u.hv_sint.vcpu = vp;
	r.e.u.hv_sint.sint = sint;
	ok(IOCTL(m.vm, KVM_SET_GSI_ROUTING, &r));
}

static int raise_gsi(void)
{
	struct kvm_irq_level l = { .irq = GSI, .level = 1 };

	ok(IOCTL(m.vm, KVM_IRQ_LINE_STATUS, &l));
	return (int)l.status;
}

static void routed(void **state)
{
	route(0, SINT);
	assert_true(raise_gsi() < 0); /* masked */
	set_sint(SINT, VECTOR);
	assert_int_equal(raise_gsi(), 1);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	raise_gsi();
	assert_int_equal(guest_interrupt_now(), NONE); /* in service */
	eoi();
	assert_int_equal(guest_take_interrupt(), VECTOR);
	eoi();
	route(1, SINT); /* nobody's */
	assert_true(raise_gsi() < 0);
	route(0, 16);
	assert_true(raise_gsi() < 0);
}

static void by_vp_index(void **state)
{
	assert_int_equal(host_set_msr(HV_X64_MSR_VP_INDEX, 9), 1);
	set_sint(SINT, VECTOR);
	route(9, SINT);
	assert_int_equal(raise_gsi(), 1);
	assert_int_equal(guest_take_interrupt(), VECTOR);
}

static void auto_eoi(void **state)
{
	route(0, SINT);
	set_sint(SINT, VECTOR | HV_SYNIC_SINT_AUTO_EOI);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(raise_gsi(), 1);
		assert_int_equal(guest_take_interrupt(), VECTOR);
	}
	set_sint(SINT, VECTOR);
	raise_gsi();
	assert_int_equal(guest_take_interrupt(), VECTOR);
	raise_gsi();
	assert_int_equal(guest_interrupt_now(), NONE);
}

/* The EOI of a SINT is told to the resampler of the irqfd that feeds it. */
static void irqfd_resample(void **state)
{
	struct kvm_irqfd fd = { .gsi = GSI, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	uint64_t n = 1;

	route(0, SINT);
	set_sint(SINT, VECTOR);
	fd.fd = (uint32_t)eventfd(0, EFD_CLOEXEC);
	fd.resamplefd = (uint32_t)eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ok(IOCTL(m.vm, KVM_IRQFD, &fd));
	assert_int_equal(write((int)fd.fd, &n, 8), 8);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_int_equal(read((int)fd.resamplefd, &n, 8), -1);
	route(0, SINT); /* the routing is known to a SynIC that is there */
	eoi();
	assert_int_equal(read((int)fd.resamplefd, &n, 8), 8);
	close((int)fd.fd);
	close((int)fd.resamplefd);
}

/* ---- timers ---- */

static void start_timer(unsigned t, uint64_t config, uint64_t count)
{
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG + 2 * t, config), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG + 2 * t + 1, count), NONE);
}

static uint64_t config_of(unsigned t)
{
	return host_get_msr(HV_X64_MSR_STIMER0_CONFIG + 2 * t);
}

static uint64_t now(void)
{
	return host_get_msr(HV_X64_MSR_TIME_REF_COUNT);
}

static void one_shot_message(void **state)
{
	uint64_t when;

	message_page();
	set_sint(SINT, VECTOR);
	when = now() + 200 * MS; /* later than what follows, on a busy machine too */
	start_timer(1, HV_STIMER_AUTO_ENABLE | (uint64_t)SINT << 16, when);
	assert_true(config_of(1) & HV_STIMER_ENABLE);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_int_equal(slot_type(SINT), HVMSG_TIMER_EXPIRED);
	assert_int_equal(slot(SINT)->payload_size, 24);
	assert_int_equal(slot(SINT)->timer_index, 1);
	assert_int_equal(slot(SINT)->expiration_time, when);
	assert_true(slot(SINT)->delivery_time >= when);
	assert_false(config_of(1) & HV_STIMER_ENABLE);
}

/* The slot is taken: the flag asks for EOM, which brings the message. */
static void slot_is_taken(void **state)
{
	struct hv_timer_message *s = (void *)(m.mem + PAGE_A + SINT * HV_MESSAGE_SIZE);

	message_page();
	set_sint(SINT, VECTOR);
	s->message_type = 1;
	start_timer(0, HV_STIMER_AUTO_ENABLE | (uint64_t)SINT << 16, 1);
	assert_int_equal(guest_interrupt_now(), NONE);
	assert_int_equal(s->message_flags, HV_MESSAGE_PENDING);
	assert_int_equal(s->message_type, 1);
	assert_true(config_of(0) & HV_STIMER_ENABLE);
	s->message_type = HVMSG_NONE;
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOM, 0), NONE);
	assert_int_equal(slot_type(SINT), HVMSG_TIMER_EXPIRED);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_false(config_of(0) & HV_STIMER_ENABLE);
}

static void direct(void **state)
{
	start_timer(3, HV_STIMER_AUTO_ENABLE | HV_STIMER_DIRECT_MODE | (uint64_t)(VECTOR + 1) << 4,
		    now() + 3 * MS);
	assert_int_equal(guest_take_interrupt(), VECTOR + 1);
	eoi();
	assert_int_equal(guest_interrupt_now(), NONE);
}

static void periodic(void **state)
{
	uint64_t from = now(), took;

	start_timer(0, HV_STIMER_PERIODIC | HV_STIMER_DIRECT_MODE | (uint64_t)VECTOR << 4 | HV_STIMER_ENABLE,
		    5 * MS);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(guest_take_interrupt(), VECTOR);
		eoi();
	}
	took = now() - from;
	assert_true(took >= 25 * MS);
	assert_true(config_of(0) & HV_STIMER_ENABLE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG + 1, 0), NONE); /* count 0 stops it */
	assert_false(config_of(0) & HV_STIMER_ENABLE);
	while (guest_interrupt_now() == VECTOR)
		eoi();
}

/* Without direct mode SINT 0 disables a timer that is enabled. */
static void sint0_disables(void **state)
{
	start_timer(2, HV_STIMER_ENABLE | (uint64_t)SINT << 16, now() + 100000 * MS);
	assert_true(config_of(2) & HV_STIMER_ENABLE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG + 4, HV_STIMER_ENABLE), NONE);
	assert_false(config_of(2) & HV_STIMER_ENABLE);
}

static void direct_mode_enforced(void **state)
{
	guest_set_leaf(HYPERV_CPUID_FEATURES, ~0u, ~0u, ~(uint32_t)HV_STIMER_DIRECT_MODE_AVAILABLE);
	guest_enable_cap(KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG, HV_STIMER_DIRECT_MODE), GP);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_STIMER0_CONFIG, 0), NONE);
}

/* ---- VP assist page ---- */

/* In service, nothing pending: the guest may end the interrupt by clearing the bit. */
static void apic_assist(void **state)
{
	/* mov eax,[PAGE_B]; mov dword [PAGE_B],0; out PORT_VECTOR,al; iretd */
	static const uint8_t handler[] = { 0xa1, 0x00, 0x30, 0x01, 0x00, 0xc7, 0x05, 0x00, 0x30, 0x01, 0x00, 0, 0, 0, 0,
					   0xe6, PORT_VECTOR, 0xcf };
	uint32_t *assist = (uint32_t *)(m.mem + PAGE_B);

	guest_set_handler(VECTOR, handler, sizeof(handler));
	*assist = 0xffffffff;
	assert_int_equal(guest_wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, PAGE_B | HV_MSR_PAGE_ENABLE), NONE);
	assert_int_equal(*assist, 0);
	route(0, SINT);
	set_sint(SINT, VECTOR);
	for (int i = 0; i < 2; i++) {
		raise_gsi();
		assert_int_equal(guest_take_interrupt(), 1); /* the assist word as the handler saw it */
	}
	assert_int_equal(*assist, 0);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, 0), NONE);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, MEM_SIZE | HV_MSR_PAGE_ENABLE), GP);
	assert_int_equal(host_get_msr(HV_X64_MSR_VP_ASSIST_PAGE), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inactive), T(registers), T(pages_cleared), T(routed), T(by_vp_index), T(auto_eoi),
		T(irqfd_resample), T(one_shot_message), T(slot_is_taken), T(direct), T(periodic), T(sint0_disables),
		T(direct_mode_enforced), T(apic_assist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
