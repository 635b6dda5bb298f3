/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls: their input's checks, results, and those that user space answers. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "tests/hyperv/guest.h"

#define FAST HV_HYPERCALL_FAST_BIT
#define VAR(n) ((uint64_t)(n) << 17)
#define REPS(n) ((uint64_t)(n) << 32)
#define START(n) ((uint64_t)(n) << 48)
#define VECTOR 0x61

static int up(void **state)
{
	guest_up(IRQCHIP, true);
	assert_int_equal(host_set_msr(HV_X64_MSR_GUEST_OS_ID, OS_ID), 1);
	return 0;
}

static int down(void **state)
{
	guest_down();
	return 0;
}

/* The status of a call that KVM answers by itself. */
static uint64_t call(uint64_t input, uint64_t a, uint64_t b)
{
	uint64_t result;

	assert_int_equal(guest_hypercall(input, a, b, &result), NONE);
	return result;
}

static uint64_t slow(uint64_t input, const void *data, size_t len)
{
	memcpy(m.mem + HCALL_IN, data, len);
	return call(input, HCALL_IN, HCALL_OUT);
}

/* ---- the input value ---- */

static void input_value(void **state)
{
	assert_int_equal(call(0xbeef, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
	assert_int_equal(call(0, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | FAST, 0, 0), HV_STATUS_SUCCESS);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | 1u << 27, 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | 1ull << 44, 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | 1ull << 60, 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | REPS(1), 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT | VAR(1), 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* Before the guest has an identity the instruction is KVM's own hypercall; without CPUID for ever. */
static void not_enabled(void **state)
{
	uint64_t result;

	assert_int_equal(guest_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0), NONE);
	assert_int_equal(guest_hypercall(0xbeef, 0, 0, &result), NONE);
	assert_int_equal((int32_t)result, -KVM_ENOSYS);
}

static void enforced(void **state)
{
	guest_set_leaf(HYPERV_CPUID_FEATURES, ~0u, 0, 0);
	guest_set_leaf(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, ~0u, 0);
	guest_enable_cap(KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	assert_int_equal(call(HVCALL_NOTIFY_LONG_SPIN_WAIT, 0, 0), HV_STATUS_ACCESS_DENIED); /* ~0: never notify */
	assert_int_equal(call(HVCALL_SEND_IPI, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(HVCALL_POST_MESSAGE, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(HVCALL_SIGNAL_EVENT, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(HVCALL_RESET_DEBUG_SESSION, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(HV_EXT_CALL_QUERY_CAPABILITIES, 0, 0), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(call(0xbeef, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

static void enforced_flush(void **state)
{
	uint64_t result;

	guest_set_leaf(HYPERV_CPUID_FEATURES, ~0u, 0, 0);
	guest_set_leaf(HYPERV_CPUID_ENLIGHTMENT_INFO, HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED, 0, 0);
	guest_enable_cap(KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, HCALL_IN, 0), HV_STATUS_SUCCESS);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, 0, 0), HV_STATUS_ACCESS_DENIED);
	/* XMM input that CPUID does not offer */
	assert_int_equal(guest_hypercall(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | FAST, 0, 0, &result), UD);
}

static void user_mode(void **state)
{
	uint64_t result;

	guest_user_mode();
	assert_int_equal(guest_hypercall(HVCALL_NOTIFY_LONG_SPIN_WAIT, 0, 0, &result), UD);
}

static uint64_t any(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t any_input(uint64_t *seed)
{
	static const uint16_t codes[] = { HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST,
					  HVCALL_SEND_IPI, HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX,
					  HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX, HVCALL_SEND_IPI_EX, HVCALL_SIGNAL_EVENT };
	uint64_t r = any(seed);

	return codes[r % 7] | (r >> 8 & 1 ? FAST : 0) | (r >> 9 & 1 ? VAR(r >> 10 & 0x7f) : 0) |
	       (r >> 20 & 1 ? REPS(r >> 21 & 0x1f) : 0) | (r >> 30 & 7 ? 0 : any(seed));
}

/* Whatever the input, the answer is one of the TLFS's, or goes to user space. */
static void random_input(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15, result;
	int done = 0, refused = 0;

	guest_enable_apic();
	for (int i = 0; i < 4000; i++) {
		uint64_t input = any_input(&seed),
			 gpa = any(&seed) % 3 ? HCALL_IN : any(&seed) % (2 * MEM_SIZE);
		int ret;

		for (unsigned j = 0; j < 16; j++)
			((uint64_t *)(m.mem + HCALL_IN))[j] = any(&seed) & (any(&seed) % 2 ? 0xff : ~0ull);
		ret = guest_hypercall(input, gpa, any(&seed) % 4, &result);
		if (ret == OTHER_EXIT) {
			assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERV);
			ret = guest_continue();
		} else {
			*(result & 0xffff ? &refused : &done) += 1;
			assert_true((result & 0xffff) <= HV_STATUS_INVALID_PORT_ID);
			assert_true(!(result >> 32) || result >> 32 == HV_HYPERCALL_REP_COUNT(input));
		}
		assert_int_equal(ret, NONE);
	}
	assert_true(done > 400 && refused > 400);
}

/* ---- flushes, IPIs ---- */

static void flush(void **state)
{
	uint64_t in[20] = { 0, 0, 1, 0x1000 };

	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | FAST, 0, HV_FLUSH_ALL_PROCESSORS),
			 HV_STATUS_SUCCESS);
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REPS(1), in, sizeof(in)), REPS(1));
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REPS(17), in, sizeof(in)), REPS(17));
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, MEM_SIZE, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, HCALL_IN, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | REPS(2) | START(1), HCALL_IN, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE | VAR(1), HCALL_IN, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	/* fast: 12 words of XMM, one of them the mask: 11 addresses fit */
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | FAST | REPS(11), 0, 1), REPS(11));
	assert_int_equal(call(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST | FAST | REPS(12), 0, 1),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void flush_ex(void **state)
{
	uint64_t in[20] = { 0, 0, HV_GENERIC_SET_SPARSE_4K, 1, 1, 0x1000 };

	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX | VAR(1), in, sizeof(in)),
			 HV_STATUS_SUCCESS);
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX | VAR(1) | REPS(1), in, sizeof(in)),
			 REPS(1));
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX | VAR(2), in, sizeof(in)),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	in[3] = 3;
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX | VAR(1), in, sizeof(in)),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	in[2] = HV_GENERIC_SET_ALL;
	in[3] = 0;
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, in, sizeof(in)), HV_STATUS_SUCCESS);
	in[2] = HV_GENERIC_SET_SPARSE_4K;
	assert_int_equal(slow(HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX | REPS(3), in, sizeof(in)), REPS(3)); /* nobody */
}

static void ipi(void **state)
{
	struct hv_send_ipi in = { VECTOR, 0, 1 };

	guest_enable_apic();
	assert_int_equal(slow(HVCALL_SEND_IPI, &in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOI, 0), NONE);
	assert_int_equal(call(HVCALL_SEND_IPI | FAST, VECTOR, 2), HV_STATUS_SUCCESS); /* nobody there */
	assert_int_equal(guest_interrupt_now(), NONE);
	assert_int_equal(call(HVCALL_SEND_IPI | FAST, VECTOR, 1), HV_STATUS_SUCCESS);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_int_equal(call(HVCALL_SEND_IPI | FAST, VECTOR | 1ull << 32, 1),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_SEND_IPI | FAST, 15, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_SEND_IPI | FAST, 256, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HVCALL_SEND_IPI, MEM_SIZE, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* VP 70 is bit 6 of bank 1. */
static void ipi_ex(void **state)
{
	uint64_t in[4] = { VECTOR, HV_GENERIC_SET_SPARSE_4K, 2, 1 << 6 };

	guest_enable_apic();
	assert_int_equal(host_set_msr(HV_X64_MSR_VP_INDEX, 70), 1);
	assert_int_equal(slow(HVCALL_SEND_IPI_EX | VAR(1), in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_EOI, 0), NONE);
	in[2] = 1;
	assert_int_equal(slow(HVCALL_SEND_IPI_EX | VAR(1), in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(guest_interrupt_now(), NONE);
	in[1] = HV_GENERIC_SET_ALL;
	in[2] = 0;
	assert_int_equal(slow(HVCALL_SEND_IPI_EX, in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(guest_take_interrupt(), VECTOR);
	in[1] = HV_GENERIC_SET_SPARSE_4K;
	in[0] = 0; /* nobody: not even the vector is looked at */
	assert_int_equal(slow(HVCALL_SEND_IPI_EX, in, sizeof(in)), HV_STATUS_SUCCESS);
	assert_int_equal(slow(HVCALL_SEND_IPI_EX | VAR(65), in, sizeof(in)),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* ---- user space ---- */

static void answered(uint64_t input, uint64_t a, uint64_t b, uint64_t params0)
{
	uint64_t result;

	assert_int_equal(guest_hypercall(input, a, b, &result), OTHER_EXIT);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HYPERV);
	assert_int_equal(m.run->hyperv.type, KVM_EXIT_HYPERV_HCALL);
	assert_int_equal(m.run->hyperv.u.hcall.input, input);
	assert_int_equal(m.run->hyperv.u.hcall.params[0], params0);
	assert_int_equal(m.run->hyperv.u.hcall.params[1], b);
	m.run->hyperv.u.hcall.result = 0x500000012ull;
	assert_int_equal(guest_continue(), NONE);
	assert_int_equal(guest_hypercall_result(), 0x500000012ull);
}

static void post_message(void **state)
{
	assert_int_equal(call(HVCALL_POST_MESSAGE, HCALL_IN, 0), HV_STATUS_INVALID_HYPERCALL_INPUT); /* no SynIC */
	guest_enable_cap(KVM_CAP_HYPERV_SYNIC2, 0);
	answered(HVCALL_POST_MESSAGE, HCALL_IN, 0, HCALL_IN);
	answered(HVCALL_POST_MESSAGE | FAST, 1ull << 40 | 3, 1ull << 33, 1ull << 40 | 3);
	assert_int_equal(call(HVCALL_POST_MESSAGE | REPS(1), HCALL_IN, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void extended(void **state)
{
	answered(HV_EXT_CALL_QUERY_CAPABILITIES, HCALL_IN, HCALL_OUT, HCALL_IN);
	answered(HV_EXT_CALL_MAX, HCALL_IN, HCALL_OUT, HCALL_IN);
	assert_int_equal(call(HV_EXT_CALL_QUERY_CAPABILITIES | FAST, 0, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(call(HV_EXT_CALL_MAX + 1, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

static void debug_session(void **state)
{
	assert_int_equal(call(HVCALL_RESET_DEBUG_SESSION, 0, 0), HV_STATUS_OPERATION_DENIED);
	assert_int_equal(guest_wrmsr(HV_X64_MSR_SYNDBG_OPTIONS, HV_X64_SYNDBG_OPTION_USE_HCALLS), NONE);
	answered(HVCALL_RESET_DEBUG_SESSION, 0, 0, 0);
	answered(HVCALL_POST_DEBUG_DATA, HCALL_IN, HCALL_OUT, HCALL_IN);
	assert_int_equal(call(HVCALL_POST_DEBUG_DATA | FAST, 0, 0), HV_STATUS_INVALID_PARAMETER);
}

static void no_debugger(void **state)
{
	guest_set_leaf(HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES, 0, 0, 0);
	assert_int_equal(call(HVCALL_RESET_DEBUG_SESSION, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

/* ---- KVM_HYPERV_EVENTFD ---- */

static void signal_event(void **state)
{
	struct kvm_hyperv_eventfd e = { .conn_id = 0x1234, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	uint64_t n = 0, id = 0x1234;

	assert_int_equal(call(HVCALL_SIGNAL_EVENT | FAST, 0x1234, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
	ok(IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e));
	assert_int_equal(call(HVCALL_SIGNAL_EVENT | FAST, 0x1234, 0), HV_STATUS_SUCCESS);
	assert_int_equal(slow(HVCALL_SIGNAL_EVENT, &id, sizeof(id)), HV_STATUS_SUCCESS);
	assert_int_equal(read(e.fd, &n, 8), 8);
	assert_int_equal(n, 2);
	assert_int_equal(call(HVCALL_SIGNAL_EVENT, HCALL_IN + 4, 0), HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(call(HVCALL_SIGNAL_EVENT, MEM_SIZE, 0), HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(call(HVCALL_SIGNAL_EVENT | FAST, 0x1001234, 0), HV_STATUS_INVALID_HYPERCALL_INPUT);
	guest_enable_cap(KVM_CAP_HYPERV_SYNIC2, 0);
	answered(HVCALL_SIGNAL_EVENT | FAST, 0x1235, 0, 0x1235);
	answered(HVCALL_SIGNAL_EVENT | FAST, 1ull << 32 | 0x1234, 0, 1ull << 32 | 0x1234); /* a flag number */
	assert_int_equal(read(e.fd, &n, 8), -1);
	close(e.fd);
}

static void eventfd_errors(void **state)
{
	struct kvm_hyperv_eventfd e = { .conn_id = 1, .fd = eventfd(0, EFD_CLOEXEC) };
	struct kvm_hyperv_eventfd bad = { .conn_id = 1u << 24, .fd = e.fd };

	fails(EINVAL, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &bad));
	bad = (struct kvm_hyperv_eventfd){ .conn_id = 1, .fd = e.fd, .flags = 2 };
	fails(EINVAL, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &bad));
	bad = (struct kvm_hyperv_eventfd){ .conn_id = 1, .fd = 1000 };
	fails(EBADF, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &bad));
	bad = (struct kvm_hyperv_eventfd){ .conn_id = 1, .fd = m.kvm };
	fails(EINVAL, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &bad));
	ok(IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e));
	fails(EEXIST, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e));
	e.flags = KVM_HYPERV_EVENTFD_DEASSIGN;
	ok(IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e));
	fails(ENOENT, IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e));
	fails(EFAULT, IOCTL(m.vm, KVM_HYPERV_EVENTFD, BAD_POINTER));
	e.flags = 0;
	ok(IOCTL(m.vm, KVM_HYPERV_EVENTFD, &e)); /* left for the VM's end */
	close(e.fd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(input_value), T(not_enabled), T(enforced), T(enforced_flush), T(user_mode), T(random_input),
		T(flush), T(flush_ex), T(ipi),
		T(ipi_ex), T(post_message), T(extended), T(debug_session), T(no_debugger), T(signal_event), T(eventfd_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
