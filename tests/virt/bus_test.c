/* SPDX-License-Identifier: Apache-2.0 */
/* The io bus: which device gets an access, devices coming and going under readers; srcu. */
#include <pthread.h>
#include "tests/virt/test.h"
#include "virt/kvm_host.h"
#include "virt/vm.h"

static struct kvm kvm;
static struct kvm_vcpu vcpu;

struct dev {
	struct kvm_io_device io;
	int reads, writes, destroyed;
	int refuse; /* says "not mine" */
	u32 last;
};

static int dev_read(struct kvm_vcpu *v, struct kvm_io_device *io, gpa_t addr, int len, void *val)
{
	struct dev *d = container_of(io, struct dev, io);

	if (d->refuse)
		return -EOPNOTSUPP;
	__atomic_fetch_add(&d->reads, 1, __ATOMIC_RELAXED);
	assert_false(__atomic_load_n(&d->destroyed, __ATOMIC_SEQ_CST));
	memset(val, 0x5a, (size_t)len);
	return 0;
}

static int dev_write(struct kvm_vcpu *v, struct kvm_io_device *io, gpa_t addr, int len, const void *val)
{
	struct dev *d = container_of(io, struct dev, io);

	if (d->refuse)
		return -EOPNOTSUPP;
	d->writes++;
	memcpy(&d->last, val, (size_t)MIN(len, 4));
	return 0;
}

static void dev_destroy(struct kvm_io_device *io)
{
	__atomic_store_n(&container_of(io, struct dev, io)->destroyed, 1, __ATOMIC_SEQ_CST);
}

static const struct kvm_io_device_ops ops = { dev_read, dev_write, dev_destroy };
static const struct kvm_io_device_ops write_only = { NULL, dev_write, NULL };

static int up(void **state)
{
	memset(&kvm, 0, sizeof(kvm));
	vcpu.kvm = &kvm;
	init_srcu_struct(&kvm.srcu);
	return kvm_io_buses_init(&kvm);
}

static int down(void **state)
{
	kvm_io_buses_destroy(&kvm);
	cleanup_srcu_struct(&kvm.srcu);
	return 0;
}

static void add(struct dev *d, gpa_t addr, int len)
{
	*d = (struct dev){ .io.ops = &ops };
	assert_int_equal(kvm_io_bus_register_dev(&kvm, KVM_MMIO_BUS, addr, len, &d->io), 0);
}

static int rd(gpa_t addr, int len)
{
	u64 val = 0;

	return kvm_io_bus_read(&vcpu, KVM_MMIO_BUS, addr, len, &val);
}

static int wr(gpa_t addr, int len, u32 val)
{
	return kvm_io_bus_write(&vcpu, KVM_MMIO_BUS, addr, len, &val);
}

static void whole_access_inside(void **state)
{
	static struct dev a;

	add(&a, 0x1000, 8);
	assert_int_equal(rd(0x1000, 8), 0);
	assert_int_equal(rd(0x1004, 4), 0);
	assert_int_equal(rd(0x1006, 4), -EOPNOTSUPP);
	assert_int_equal(rd(0xffe, 4), -EOPNOTSUPP);
	assert_int_equal(rd(0x1008, 1), -EOPNOTSUPP);
	assert_int_equal(a.reads, 2);
}

static void other_buses_are_apart(void **state)
{
	static struct dev a;
	u32 v;

	add(&a, 0x60, 1);
	assert_int_equal(kvm_io_bus_read(&vcpu, KVM_PIO_BUS, 0x60, 1, &v), -EOPNOTSUPP);
}

/* Overlapping ranges: the first that takes it, whatever the order of registration. */
static void a_device_may_pass_it_on(void **state)
{
	static struct dev a, b; /* the teardown's destructors still reach them */

	add(&a, 0x2000, 0x100);
	add(&b, 0x2010, 4);
	assert_int_equal(wr(0x2010, 4, 7), 0);
	assert_int_equal(a.writes + b.writes, 1);
	a.refuse = 1;
	assert_int_equal(wr(0x2010, 4, 9), 0);
	assert_int_equal(b.last, 9);
	b.refuse = 1;
	assert_int_equal(wr(0x2010, 4, 9), -EOPNOTSUPP);
}

static void length_zero_is_any_length(void **state)
{
	static struct dev a;

	add(&a, 0x3000, 0);
	assert_int_equal(wr(0x3000, 1, 0), 0);
	assert_int_equal(wr(0x3000, 8, 0), 0);
	assert_int_equal(wr(0x3001, 1, 0), -EOPNOTSUPP);
}

static void write_only_device(void **state)
{
	static struct dev a = { .io.ops = &write_only };

	assert_int_equal(kvm_io_bus_register_dev(&kvm, KVM_MMIO_BUS, 0x4000, 4, &a.io), 0);
	assert_int_equal(rd(0x4000, 4), -EOPNOTSUPP);
	assert_int_equal(wr(0x4000, 4, 3), 0);
}

static void unregister_destroys_once(void **state)
{
	static struct dev a, b; /* the teardown's destructors still reach them */

	add(&a, 0x5000, 4);
	add(&b, 0x6000, 4);
	assert_int_equal(kvm_io_bus_unregister_dev(&kvm, KVM_MMIO_BUS, &a.io), 0);
	assert_true(a.destroyed);
	assert_int_equal(rd(0x5000, 4), -EOPNOTSUPP);
	assert_int_equal(rd(0x6000, 4), 0);
	assert_int_equal(kvm_io_bus_unregister_dev(&kvm, KVM_MMIO_BUS, &a.io), 0); /* not there: nothing */
	assert_false(b.destroyed);
}

static void limit_of_devices(void **state)
{
	static struct dev d[1001];

	for (int i = 0; i < 1000; i++)
		add(&d[i], 0x10000 + 16 * (gpa_t)i, 4);
	d[1000].io.ops = &ops;
	assert_int_equal(kvm_io_bus_register_dev(&kvm, KVM_MMIO_BUS, 0, 4, &d[1000].io), -ENOSPC);
	assert_int_equal(rd(0x10000 + 16 * 999, 4), 0);
}

static int stop;

static void *reader(void *arg)
{
	long hits = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		hits += !rd(0x7000, 4);
	return (void *)hits;
}

/* When unregister returns no reader is in the device: dev_read would see `destroyed`. */
static void devices_come_and_go(void **state)
{
	struct dev a;
	pthread_t t[2];
	void *hits = NULL, *more = NULL;

	stop = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, reader, NULL);
	for (int i = 0; i < 300; i++) {
		add(&a, 0x7000, 4);
		if (i % 16 == 0)
			usleep(200);
		kvm_io_bus_unregister_dev(&kvm, KVM_MMIO_BUS, &a.io);
		memset(&a, 0xff, sizeof(a)); /* a late reader would fall over this */
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t[0], &hits);
	pthread_join(t[1], &more);
	assert_true((long)hits + (long)more > 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole_access_inside), T(other_buses_are_apart), T(a_device_may_pass_it_on), T(length_zero_is_any_length),
		T(write_only_device), T(unregister_destroys_once), T(limit_of_devices), T(devices_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
