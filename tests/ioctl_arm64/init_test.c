/* SPDX-License-Identifier: Apache-2.0 */
/* KVM/arm64's start-up: Linux's order, unwinding, modes. */
#include <stdlib.h>
#include "tests/ioctl_arm64/arm64.h"

static int step(const char *name)
{
	const struct kuse_init_step *steps;
	size_t n = kuse_init_report(&steps);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(steps[i].name, name))
			return (int)i;
	fail_msg("no step %s", name);
	return -1;
}

/* kvm_arm_init's, then kvm_init's. */
static void steps_in_linux_order(void **state)
{
	static const char *const order[] = { "is_hyp_mode_available", "kvm_get_mode", "kvm_sys_reg_table_init",
					     "kvm_set_ipa_limit", "kvm_arm_init_sve", "kvm_arm_vmid_alloc_init",
					     "init_hyp_mode", "kvm_init_vector_slots", "cpu_hyp_init",
					     "hyp_cpu_pm_init", "kvm_vgic_hyp_init", "kvm_timer_hyp_init",
					     "kvm_vcpu_cache", "kvm_irqfd_init", "misc_register",
					     "finalize_init_hyp_mode" };

	for (size_t i = 1; i < sizeof(order) / sizeof(order[0]); i++)
		assert_true(step(order[i - 1]) < step(order[i]));
}

static void mode(const char *name, int err)
{
	const struct kuse_init_step *steps;

	kuse_exit();
	setenv("KUSE_MODE", name, 1);
	fails(err, k_open());
	kuse_init_report(&steps);
	assert_int_equal(steps[step("kvm_get_mode")].error, -err);
	assert_non_null(steps[step("kvm_get_mode")].remedy);
	assert_int_equal(steps[step("kvm_sys_reg_table_init")].error, 1); /* not reached */
	unsetenv("KUSE_MODE");
	ok(kuse_init());
}

static void modes(void **state)
{
	mode("none", ENODEV);
	mode("nvhe", EOPNOTSUPP);
	mode("protected", EOPNOTSUPP);
	mode("nested", EOPNOTSUPP);
	mode("nonsense", EINVAL);
	kuse_exit();
	setenv("KUSE_MODE", "vhe", 1);
	ok(kuse_init());
	unsetenv("KUSE_MODE");
}

/* The device types are registered again after each start. */
static void stop_and_start(void **state)
{
	for (int i = 0; i < 50; i++) {
		struct machine m;

		machine_up(&m, IRQCHIP);
		machine_down(&m);
		kuse_exit();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_in_linux_order),
		cmocka_unit_test(every_step_can_fail),
		cmocka_unit_test(modes),
		cmocka_unit_test(stop_and_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
