/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/vgic/fake.h"

#include <stdlib.h>
#include <string.h>

#include "virt/vm.h"

struct fake_log fake;
u8 fake_ram[FAKE_RAM_SIZE];

static __thread struct kvm_vcpu *current;
static struct arm64_state states[FAKE_MAX_VCPUS];
static struct kvm_vcpu_stat stats[FAKE_MAX_VCPUS];
static struct kvm_run runs[FAKE_MAX_VCPUS];
static const struct kvm_device_ops *types[KVM_DEV_TYPE_MAX];

/* ---- what virt/, hyp/ and arch/arm64 would do ---- */

struct kvm_vcpu *kvm_get_running_vcpu(void)
{
	return current;
}

struct kvm_vcpu *kvm_get_vcpu_by_id(struct kvm *kvm, int id)
{
	return kvm_get_vcpu(kvm, (u32)id);
}

struct arm64_state *hyp_arm64_state(struct hyp_cpu *cpu)
{
	return (struct arm64_state *)cpu;
}

void hyp_as_client_ran(struct hyp_as *as)
{
}

static u8 *ram_range(gpa_t gpa, unsigned long len)
{
	return gpa >= FAKE_RAM_BASE && gpa + len <= FAKE_RAM_BASE + FAKE_RAM_SIZE
		       ? &fake_ram[gpa - FAKE_RAM_BASE]
		       : NULL;
}

int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len)
{
	u8 *p = ram_range(gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(data, p, len);
	return 0;
}

int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, unsigned long len)
{
	u8 *p = ram_range(gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	return 0;
}

int copy_from_client(void *dst, unsigned long src, size_t len)
{
	if (src == BAD_POINTER)
		return -EFAULT;
	memcpy(dst, (void *)src, len);
	return 0;
}

int copy_to_client(unsigned long dst, const void *src, size_t len)
{
	if (dst == BAD_POINTER)
		return -EFAULT;
	memcpy((void *)dst, src, len);
	return 0;
}

void kvm_vm_dead(struct kvm *kvm)
{
	fake.dead++;
}

int kvm_register_device_ops(const struct kvm_device_ops *ops, u32 type)
{
	if (types[type])
		return -EEXIST;
	types[type] = ops;
	return 0;
}

void kvm_unregister_device_ops(u32 type)
{
	types[type] = NULL;
}

u64 kvm_vcpu_get_mpidr_aff(struct kvm_vcpu *vcpu)
{
	return (u64)(vcpu->vcpu_id & 0xf) | (u64)(vcpu->vcpu_id >> 4) << 8;
}

struct kvm_vcpu *kvm_mpidr_to_vcpu(struct kvm *kvm, u64 mpidr)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (kvm_vcpu_get_mpidr_aff(vcpu) == mpidr)
			return vcpu;
	return NULL;
}

bool vcpu_has_run_once(struct kvm_vcpu *vcpu)
{
	return fake.ran_once;
}

u32 kvm_phys_shift(struct kvm *kvm)
{
	return 40;
}

int vcpu_interrupt_line(struct kvm_vcpu *vcpu, unsigned number, bool level)
{
	fake.cpu_lines++;
	return 0;
}

static void count_ack(struct kvm_irq_ack_notifier *kian)
{
	__atomic_add_fetch(&fake.acks[kian->gsi], 1, __ATOMIC_RELAXED);
}

/* ---- the machine ---- */

struct kvm_vcpu *fake_add_vcpu(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	u32 n = kvm->online_vcpus;

	vcpu->kvm = kvm;
	vcpu->vcpu_id = vcpu->vcpu_idx = (int)n;
	vcpu->hyp = (struct hyp_cpu *)&states[n];
	vcpu->stat = &stats[n];
	vcpu->run = &runs[n];
	memset(&states[n], 0, sizeof(states[n]));
	pthread_mutex_init(&vcpu->mutex, NULL);
	kvm->created_vcpus++;
	assert_int_equal(kvm_vgic_vcpu_init(vcpu), 0);
	kvm->vcpus[n] = vcpu;
	kvm->online_vcpus++;
	return vcpu;
}

struct kvm *fake_vm(unsigned nr)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));

	memset(&fake, 0, sizeof(fake));
	memset(fake_ram, 0, sizeof(fake_ram));
	current = NULL;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->irq_lock, NULL);
	init_srcu_struct(&kvm->srcu);
	init_srcu_struct(&kvm->irq_srcu);
	list_init(&kvm->irq_ack_notifier_list);
	list_init(&kvm->devices);
	assert_int_equal(kvm_init_irq_routing(kvm), 0);
	assert_int_equal(kvm_io_buses_init(kvm), 0);
	kvm_vgic_early_init(kvm);
	if (!types[KVM_DEV_TYPE_ARM_VGIC_V3])
		assert_int_equal(kvm_vgic_hyp_init(), 0);
	for (unsigned i = 0; i < nr; i++)
		fake_add_vcpu(kvm);
	return kvm;
}

static struct kvm_irq_ack_notifier notifiers[988];

static void watch_acks(struct kvm *kvm)
{
	for (u32 i = 0; i < 64; i++) {
		notifiers[i] = (struct kvm_irq_ack_notifier){ .gsi = i, .irq_acked = count_ack };
		kvm_register_irq_ack_notifier(kvm, &notifiers[i]);
	}
}

struct kvm *fake_gic_vm(unsigned nr, u32 type)
{
	struct kvm *kvm = fake_vm(nr);
	int err;
	struct kvm_device *dev = fake_device(kvm, type, &err);
	bool v3 = type == KVM_DEV_TYPE_ARM_VGIC_V3;
	u32 group = KVM_DEV_ARM_VGIC_GRP_ADDR;

	assert_int_equal(err, 0);
	assert_int_equal(dev_set(dev, group, v3 ? KVM_VGIC_V3_ADDR_TYPE_DIST : KVM_VGIC_V2_ADDR_TYPE_DIST,
				 GICD),
			 0);
	if (v3)
		assert_int_equal(dev_set(dev, group, KVM_VGIC_V3_ADDR_TYPE_REDIST, GICR(0)), 0);
	else
		assert_int_equal(dev_set(dev, group, KVM_VGIC_V2_ADDR_TYPE_CPU, GICC), 0);
	assert_int_equal(dev_set(dev, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0), 0);
	assert_int_equal(kvm_vgic_map_resources(kvm), 0);
	watch_acks(kvm);
	on(kvm->vcpus[0]);
	w32(GICD, v3 ? 2 : 1);
	for (unsigned i = 0; i < nr; i++)
		told(kvm->vcpus[i]);
	on(NULL);
	return kvm;
}

void fake_vm_free(struct kvm *kvm)
{
	struct kvm_device *dev, *next;

	current = NULL;
	for (u32 i = 0; i < kvm->online_vcpus; i++) {
		kvm_vgic_vcpu_destroy(kvm->vcpus[i]);
		free(kvm->vcpus[i]);
	}
	kvm->online_vcpus = 0;
	kvm_vgic_destroy(kvm);
	list_for_each_entry_safe(dev, next, &kvm->devices, vm_node)
		dev->ops->destroy(dev);
	for (unsigned bus = 0; bus < KVM_NR_BUSES; bus++)
		assert_int_equal(kvm->buses[bus]->dev_count, 0);
	kvm_io_buses_destroy(kvm);
	kvm_free_irq_routing(kvm);
	free(kvm);
}

void on(struct kvm_vcpu *vcpu)
{
	current = vcpu;
}

/* ---- accesses
 * ---------------------------------------------------------------------------------------------------------
 * */

static void mmio_write(gpa_t addr, int len, u64 val)
{
	assert_int_equal(kvm_io_bus_write(current, KVM_MMIO_BUS, addr, len, &val), 0);
}

static u64 mmio_read(gpa_t addr, int len)
{
	u64 val = 0xa5a5a5a5a5a5a5a5ull;

	assert_int_equal(kvm_io_bus_read(current, KVM_MMIO_BUS, addr, len, &val), 0);
	return len == 8 ? val : val & ((1ull << 8 * len) - 1);
}

void w32(gpa_t addr, u32 val)
{
	mmio_write(addr, 4, val);
}

u32 r32(gpa_t addr)
{
	return (u32)mmio_read(addr, 4);
}

void w64(gpa_t addr, u64 val)
{
	mmio_write(addr, 8, val);
}

u64 r64(gpa_t addr)
{
	return mmio_read(addr, 8);
}

void w8(gpa_t addr, u8 val)
{
	mmio_write(addr, 1, val);
}

u8 r8(gpa_t addr)
{
	return (u8)mmio_read(addr, 1);
}

void msr(u32 sys, u64 val)
{
	assert_true(vgic_v3_access_sysreg(current, sys, true, &val));
}

u64 mrs(u32 sys)
{
	u64 val = 0xa5a5a5a5a5a5a5a5ull;

	assert_true(vgic_v3_access_sysreg(current, sys, false, &val));
	return val;
}

bool undefined(u32 sys, bool write)
{
	u64 val = 0;

	return !vgic_v3_access_sysreg(current, sys, write, &val);
}

char line(struct kvm_vcpu *vcpu)
{
	struct arm64_state *state = hyp_arm64_state(vcpu->hyp);

	kvm_vgic_flush_hwstate(vcpu);
	assert_int_equal(state->vi || state->vf, kvm_vgic_vcpu_pending_irq(vcpu));
	assert_false(state->vi && state->vf);
	return state->vf ? 'f' : state->vi ? 'i' : '-';
}

bool told(struct kvm_vcpu *vcpu)
{
	bool requested = vcpu->requests & BIT_ULL(KVM_REQ_IRQ_PENDING);

	vcpu->requests = 0;
	fake.kicks[vcpu->vcpu_idx] = 0;
	return requested;
}

static void set_line(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid, bool level)
{
	struct kvm_vcpu *was = current;

	on(NULL); /* a device's thread */
	assert_int_equal(kvm_vgic_inject_irq(kvm, vcpu, intid, level, NULL), 0);
	on(was);
}

void raise(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid)
{
	set_line(kvm, vcpu, intid, true);
}

void lower(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid)
{
	set_line(kvm, vcpu, intid, false);
}

/* ---- devices ---- */

struct kvm_device *fake_device(struct kvm *kvm, u32 type, int *err)
{
	struct kvm_device *dev = calloc(1, sizeof(*dev));

	assert_non_null(types[type]);
	dev->ops = types[type];
	dev->kvm = kvm;
	pthread_mutex_lock(&kvm->lock);
	*err = dev->ops->create(dev, type);
	pthread_mutex_unlock(&kvm->lock);
	if (*err) {
		free(dev);
		return NULL;
	}
	list_add(&dev->vm_node, &kvm->devices);
	return dev;
}

struct kvm_device *fake_dev_of(struct kvm *kvm, u32 type)
{
	struct kvm_device *dev;

	list_for_each_entry(dev, &kvm->devices, vm_node)
		if (dev->ops == types[type])
			return dev;
	return NULL;
}

int dev_set(struct kvm_device *dev, u32 group, u64 attr, u64 val)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (u64)(uintptr_t)&val };

	return dev->ops->set_attr(dev, &a);
}

int dev_get(struct kvm_device *dev, u32 group, u64 attr, u64 *val)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (u64)(uintptr_t)val };

	return dev->ops->get_attr(dev, &a);
}

int dev_has(struct kvm_device *dev, u32 group, u64 attr)
{
	struct kvm_device_attr a = { .group = group, .attr = attr };

	return dev->ops->has_attr(dev, &a);
}

u8 *ram(gpa_t addr)
{
	return &fake_ram[addr - FAKE_RAM_BASE];
}

void ram_w64(gpa_t addr, u64 val)
{
	memcpy(ram(addr), &val, sizeof(val));
}

u64 ram_r64(gpa_t addr)
{
	u64 val;

	memcpy(&val, ram(addr), sizeof(val));
	return val;
}
