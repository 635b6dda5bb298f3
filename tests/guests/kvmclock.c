/* SPDX-License-Identifier: Apache-2.0 */
/* kvmclock: runs at the TSC's pace, never backwards, and knows the time of day. */
#include "guest/lib/guest.h"

int guest_main(void)
{
	u64 a, b, t, last = 0, back = 0;

	if (!kvm_has(3))
		guest_skip("no KVM_FEATURE_CLOCKSOURCE2");
	kvmclock_enable();
	a = kvmclock_ns();
	t = rdtsc();
	while (rdtsc() - t < tsc_hz() / 10)
		pause();
	b = kvmclock_ns();
	CHECK(b - a > 80000000);
	CHECK(b - a < 1000000000);
	for (int i = 0; i < 100000; i++) {
		u64 now = kvmclock_ns();

		back += now < last;
		last = now;
	}
	CHECK_EQ(back, 0);
	CHECK(kvmclock_wall_ns() > 1600000000ull * 1000000000ull);
	CHECK(kvm_hypercall(9999, 0, 0, 0, 0) == -1000); /* KVM_ENOSYS */
	return 0;
}
