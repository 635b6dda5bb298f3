/* SPDX-License-Identifier: Apache-2.0 */
/* The VMID allocator: nobody shares a VMID with a loaded VM, over thousands of VMs and many generations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>
#include "arch/arm64/vmid.h"

#define THREADS 4
#define ROUNDS 20000

static void start(u32 bits)
{
	const char *verdict, *remedy;

	kvm_arm_vmid_bits = bits;
	assert_int_equal(kvm_arm_vmid_alloc_init(&verdict, &remedy), 0);
}

static void different_and_not_zero(void **state)
{
	struct kvm_vmid *v = calloc(200, sizeof(*v));
	bool used[256] = { false };

	start(8);
	for (int i = 0; i < 200; i++) {
		u16 id;

		kvm_arm_vmid_register(&v[i]);
		id = kvm_arm_vmid_update(&v[i]);
		assert_in_range(id, 1, 255);
		assert_false(used[id]);
		used[id] = true;
		assert_int_equal(kvm_arm_vmid_update(&v[i]), id); /* its second vCPU */
		kvm_arm_vmid_put(&v[i]);
		kvm_arm_vmid_put(&v[i]);
	}
	for (int i = 0; i < 200; i++)
		kvm_arm_vmid_unregister(&v[i]);
	kvm_arm_vmid_alloc_free();
	free(v);
}

/* 5000 VMs take turns; one of them stays loaded and keeps its VMID, and nobody else ever gets that. */
static void rollover_spares_who_is_loaded(u32 bits, int n)
{
	struct kvm_vmid *v = calloc((size_t)n, sizeof(*v)), stays;
	u16 mine;

	start(bits);
	kvm_arm_vmid_register(&stays);
	mine = kvm_arm_vmid_update(&stays);
	for (int i = 0; i < n; i++)
		kvm_arm_vmid_register(&v[i]);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < n; i++) {
			u16 id = kvm_arm_vmid_update(&v[i]);

			assert_int_not_equal(id, 0);
			assert_int_not_equal(id, mine);
			kvm_arm_vmid_put(&v[i]);
		}
	}
	assert_int_equal(kvm_arm_vmid_update(&stays), mine);
	for (int i = 0; i < n; i++)
		kvm_arm_vmid_unregister(&v[i]);
	kvm_arm_vmid_unregister(&stays);
	kvm_arm_vmid_alloc_free();
	free(v);
}

static void rollover_8_bits(void **state)
{
	rollover_spares_who_is_loaded(8, 5000);
}

static void rollover_16_bits(void **state)
{
	rollover_spares_who_is_loaded(16, 70000);
}

/* More loaded VMs than VMIDs: the others are told to keep nothing. */
static void exhausted(void **state)
{
	struct kvm_vmid *v = calloc(300, sizeof(*v));
	bool used[256] = { false };
	int none = 0;

	start(8);
	for (int i = 0; i < 300; i++) {
		u16 id;

		kvm_arm_vmid_register(&v[i]);
		id = kvm_arm_vmid_update(&v[i]);
		none += !id;
		assert_false(id && used[id]);
		used[id] = true;
	}
	assert_int_equal(none, 300 - 255);
	kvm_arm_vmid_put(&v[7]);
	assert_int_not_equal(kvm_arm_vmid_update(&v[299]), 0); /* one is free again */
	kvm_arm_vmid_alloc_free();
	for (int i = 0; i < 300; i++)
		kvm_arm_vmid_unregister(&v[i]);
	free(v);
}

/* Who is loaded, by VMID. */
static struct kvm_vmid *owner[256];
static struct kvm_vmid pool[THREADS][120];
static int clashes;

static void *load_and_put(void *arg)
{
	struct kvm_vmid *mine = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct kvm_vmid *v = &mine[i % 120];
		u16 id = kvm_arm_vmid_update(v);

		if (__atomic_exchange_n(&owner[id], v, __ATOMIC_SEQ_CST))
			__atomic_add_fetch(&clashes, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&owner[id], NULL, __ATOMIC_SEQ_CST);
		kvm_arm_vmid_put(v);
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t t[THREADS];

	start(8);
	clashes = 0;
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < 120; j++)
			kvm_arm_vmid_register(&pool[i][j]);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, load_and_put, pool[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(clashes, 0);
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < 120; j++)
			kvm_arm_vmid_unregister(&pool[i][j]);
	kvm_arm_vmid_alloc_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(different_and_not_zero),
		cmocka_unit_test(rollover_8_bits),
		cmocka_unit_test(rollover_16_bits),
		cmocka_unit_test(exhausted),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
