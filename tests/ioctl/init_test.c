/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up: unwinding, modes, handlers. */
#include <stdlib.h>
#include "tests/ioctl/ioctl.h"

static void device_is_visible_last(void **state)
{
	const struct kuse_init_step *steps;
	size_t n = kuse_init_report(&steps);

	assert_string_equal(steps[n - 1].name, "misc_register");
}

static void mode_none_refuses(void **state)
{
	const struct kuse_init_step *steps;
	size_t n;

	kuse_exit();
	setenv("KUSE_MODE", "none", 1);
	fails(ENODEV, k_open());
	n = kuse_init_report(&steps);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(steps[i].name, "kvm_get_mode")) {
			assert_int_equal(steps[i].error, -ENODEV);
			assert_non_null(steps[i].remedy);
		}
	unsetenv("KUSE_MODE");
}

static void unknown_mode_refuses(void **state)
{
	kuse_exit();
	setenv("KUSE_MODE", "nonsense", 1);
	fails(EINVAL, k_open());
	unsetenv("KUSE_MODE");
}

static void init_is_idempotent(void **state)
{
	ok(kuse_init());
	ok(kuse_init());
}

/* Both ways to survive a bad pointer: our fault handler, and the host's copy where another is in front. */
static void bad_pointer_with_our_handler_first(void **state)
{
	static const char read_only[16] = "";
	int kvm;

	kuse_exit(); /* cmocka has put its handler in front of ours */
	kvm = k_open();
	ok(kvm);
	kuse_handlers_wrapped(true); /* no fallback now */
	fails(EFAULT, IOCTL(kvm, KVM_GET_SUPPORTED_CPUID, BAD_POINTER));
	fails(EFAULT, IOCTL(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, read_only));
	fails(EFAULT, IOCTL(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, 0xffff800000000000ul));
	kuse_handlers_wrapped(false);
	ok(k_close(kvm));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_can_fail), cmocka_unit_test(device_is_visible_last),
		cmocka_unit_test(mode_none_refuses), cmocka_unit_test(unknown_mode_refuses),
		cmocka_unit_test(init_is_idempotent), cmocka_unit_test(bad_pointer_with_our_handler_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
