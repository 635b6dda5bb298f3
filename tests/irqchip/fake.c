/* SPDX-License-Identifier: Apache-2.0 */
/* The small machine of fake.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/irqchip/fake.h"

#define MAX_DEVS 16
#define MAX_ROUTES 64

struct fake_log fake;
u8 fake_ram[FAKE_GUEST_RAM];
u64 fake_now;

static struct {
	gpa_t addr;
	int len;
	struct kvm_io_device *dev;
} devs[KVM_NR_BUSES][MAX_DEVS];
static struct list_head timers;
static struct x86_state state;

/* ---- time ------------------------------------------------------------------------------------ */

u64 kvm_clock_monotonic_ns(void)
{
	return fake_now;
}

void kvm_timer_init(struct kvm_timer *timer, struct kvm *kvm, kvm_timer_fn fn, void *ctx)
{
	memset(timer, 0, sizeof(*timer));
	timer->fn = fn;
	timer->ctx = ctx;
}

bool kvm_timer_cancel(struct kvm_timer *timer)
{
	bool armed = timer->queued;

	if (armed)
		list_del(&timer->link);
	timer->queued = false;
	return armed;
}

void kvm_timer_start(struct kvm_timer *timer, u64 deadline_ns)
{
	kvm_timer_cancel(timer);
	timer->deadline_ns = deadline_ns;
	timer->queued = true;
	list_add_tail(&timer->link, &timers);
}

static struct kvm_timer *first_timer(u64 until)
{
	struct kvm_timer *best = NULL, *t;

	list_for_each_entry(t, &timers, link)
		if (t->deadline_ns <= until && (!best || t->deadline_ns < best->deadline_ns))
			best = t;
	return best;
}

void fake_advance(u64 ns)
{
	u64 until = fake_now + ns;
	struct kvm_timer *t;

	while ((t = first_timer(until))) {
		fake_now = MAX(fake_now, t->deadline_ns);
		kvm_timer_cancel(t);
		t->fn(t, t->ctx);
	}
	fake_now = until;
}

unsigned fake_timers_armed(void)
{
	struct kvm_timer *t;
	unsigned n = 0;

	list_for_each_entry(t, &timers, link)
		n++;
	return n;
}

u64 kvm_read_l1_tsc(struct kvm_vcpu *vcpu)
{
	return fake_now * FAKE_TSC_PER_NS;
}

u64 kvm_guest_tsc_to_monotonic(struct kvm_vcpu *vcpu, u64 tsc)
{
	return (tsc + FAKE_TSC_PER_NS - 1) / FAKE_TSC_PER_NS;
}

/* ---- requests, vCPUs ------------------------------------------------------------------------- */

void kvm_make_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	vcpu->requests |= BIT_ULL(req);
}

bool kvm_check_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	bool set = vcpu->requests & BIT_ULL(req);

	vcpu->requests &= ~BIT_ULL(req);
	return set;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	fake.kicks[vcpu->vcpu_idx]++;
}

void kvm_make_all_cpus_request(struct kvm *kvm, unsigned int req)
{
	for (u32 i = 0; i < kvm->online_vcpus; i++) {
		kvm_make_request(req, kvm->vcpus[i]);
		kvm_vcpu_kick(kvm->vcpus[i]);
	}
}

void kvm_inject_nmi(struct kvm_vcpu *vcpu)
{
	fake.nmis[vcpu->vcpu_idx]++;
}

void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init_event)
{
	assert_true(init_event);
	fake.resets[vcpu->vcpu_idx]++;
	kvm_lapic_reset(vcpu, init_event);
}

void kvm_vcpu_deliver_sipi_vector(struct kvm_vcpu *vcpu, u8 vector)
{
	fake.sipi[vcpu->vcpu_idx] = vector;
}

struct x86_state *hyp_x86_state(struct hyp_cpu *cpu)
{
	return &state;
}

bool take_event(struct kvm_vcpu *vcpu)
{
	return kvm_check_request(KVM_REQ_EVENT, vcpu);
}

/* ---- guest memory, srcu ---------------------------------------------------------------------- */

int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len)
{
	if (gpa + len > FAKE_GUEST_RAM)
		return -EFAULT;
	memcpy(data, fake_ram + gpa, len);
	return 0;
}

int kvm_write_guest(struct kvm *kvm, gpa_t gpa, const void *data, unsigned long len)
{
	if (gpa + len > FAKE_GUEST_RAM)
		return -EFAULT;
	memcpy(fake_ram + gpa, data, len);
	return 0;
}

/* With one thread, waiting for readers while being one never ends. */
void synchronize_srcu(struct srcu_struct *ssp)
{
	assert_int_equal(ssp->readers[0] + ssp->readers[1], 0);
}

/* ---- buses ----------------------------------------------------------------------------------- */

int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus bus, gpa_t addr, int len, struct kvm_io_device *dev)
{
	if (!fake.reg_failures)
		return -ENOSPC;
	if (fake.reg_failures != ~0u)
		fake.reg_failures--;
	for (unsigned i = 0; i < MAX_DEVS; i++) {
		if (devs[bus][i].dev)
			continue;
		devs[bus][i].addr = addr;
		devs[bus][i].len = len;
		devs[bus][i].dev = dev;
		return 0;
	}
	return -ENOSPC;
}

int kvm_io_bus_unregister_dev(struct kvm *kvm, enum kvm_bus bus, struct kvm_io_device *dev)
{
	for (unsigned i = 0; i < MAX_DEVS; i++)
		if (devs[bus][i].dev == dev)
			devs[bus][i].dev = NULL;
	return 0;
}

static int bus_access(struct kvm *kvm, enum kvm_bus bus, gpa_t addr, int len, void *data, bool write)
{
	for (unsigned i = 0; i < MAX_DEVS; i++) {
		struct kvm_io_device *dev = devs[bus][i].dev;
		int r;

		if (!dev || addr < devs[bus][i].addr || addr + len > devs[bus][i].addr + devs[bus][i].len)
			continue;
		r = write ? dev->ops->write(kvm->vcpus[0], dev, addr, len, data)
			  : dev->ops->read(kvm->vcpus[0], dev, addr, len, data);
		if (r != -EOPNOTSUPP)
			return r;
	}
	return -EOPNOTSUPP;
}

int fake_pio(struct kvm *kvm, u16 port, int len, void *data, bool write)
{
	return bus_access(kvm, KVM_PIO_BUS, port, len, data, write);
}

void outb(struct kvm *kvm, u16 port, u8 val)
{
	assert_int_equal(fake_pio(kvm, port, 1, &val, true), 0);
}

u8 inb(struct kvm *kvm, u16 port)
{
	u8 val = 0xa5;

	assert_int_equal(fake_pio(kvm, port, 1, &val, false), 0);
	return val;
}

void mmio_write32(struct kvm *kvm, gpa_t addr, u32 val)
{
	assert_int_equal(bus_access(kvm, KVM_MMIO_BUS, addr, 4, &val, true), 0);
}

u32 mmio_read32(struct kvm *kvm, gpa_t addr)
{
	u32 val = 0xa5a5a5a5;

	assert_int_equal(bus_access(kvm, KVM_MMIO_BUS, addr, 4, &val, false), 0);
	return val;
}

/* ---- routing --------------------------------------------------------------------------------- */

int kvm_set_irq_routing(struct kvm *kvm, const struct kvm_irq_routing_entry *ue, unsigned nr, unsigned flags)
{
	struct kvm_irq_routing_table *t = calloc(1, sizeof(*t) + nr * sizeof(t->entry[0]));
	u32 n = 0, max = 0;

	memset(t->chip, 0xff, sizeof(t->chip));
	for (unsigned i = 0; i < nr; i++)
		max = MAX(max, ue[i].gsi + 1);
	t->nr_rt_entries = max;
	t->gsi_start = calloc(max + 1, sizeof(u32));
	for (u32 gsi = 0; gsi < max; gsi++) {
		t->gsi_start[gsi] = n;
		for (unsigned i = 0; i < nr; i++) {
			struct kvm_kernel_irq_routing_entry *e = &t->entry[n];

			if (ue[i].gsi != gsi)
				continue;
			e->gsi = gsi;
			e->type = ue[i].type;
			if (kvm_set_routing_entry(kvm, e, &ue[i])) {
				free(t->gsi_start);
				free(t);
				return -EINVAL;
			}
			if (e->type == KVM_IRQ_ROUTING_IRQCHIP)
				t->chip[e->irqchip.irqchip][e->irqchip.pin] = gsi;
			n++;
		}
	}
	t->gsi_start[max] = t->nr_entries = n;
	kvm_free_irq_routing(kvm);
	kvm->irq_routing = t;
	kvm_arch_post_irq_routing_update(kvm);
	return 0;
}

void kvm_free_irq_routing(struct kvm *kvm)
{
	if (kvm->irq_routing)
		free(kvm->irq_routing->gsi_start);
	free(kvm->irq_routing);
	kvm->irq_routing = NULL;
}

int kvm_set_irq(struct kvm *kvm, int irq_source_id, u32 gsi, int level, bool line_status)
{
	struct kvm_irq_routing_table *t = kvm->irq_routing;
	int ret = -1;

	if (gsi >= t->nr_rt_entries)
		return -1;
	for (u32 i = t->gsi_start[gsi + 1]; i-- > t->gsi_start[gsi];) {
		int r = t->entry[i].set(&t->entry[i], kvm, irq_source_id, level, line_status);

		if (r >= 0)
			ret = r + (ret < 0 ? 0 : ret);
	}
	return ret;
}

int kvm_irq_map_chip_pin(struct kvm *kvm, unsigned irqchip, unsigned pin)
{
	return kvm->irq_routing->chip[irqchip][pin];
}

void kvm_register_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian)
{
	list_add_tail(&kian->link, &kvm->irq_ack_notifier_list);
}

void kvm_unregister_irq_ack_notifier(struct kvm *kvm, struct kvm_irq_ack_notifier *kian)
{
	list_del(&kian->link);
}

void kvm_notify_acked_irq(struct kvm *kvm, unsigned irqchip, unsigned pin)
{
	struct kvm_irq_ack_notifier *kian;
	int gsi = kvm_irq_map_chip_pin(kvm, irqchip, pin);

	fake.acks[irqchip][pin]++;
	list_for_each_entry(kian, &kvm->irq_ack_notifier_list, link)
		if ((int)kian->gsi == gsi)
			kian->irq_acked(kian);
}

/* ---- the machine ----------------------------------------------------------------------------- */

struct kvm_vcpu *fake_add_vcpu(struct kvm *kvm, int id)
{
	struct kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	vcpu->stat = calloc(1, sizeof(*vcpu->stat));
	vcpu->kvm = kvm;
	vcpu->vcpu_id = id;
	vcpu->vcpu_idx = kvm->online_vcpus;
	vcpu->arch.pending_external_vector = -1;
	vcpu->arch.mp_state = id == kvm->arch.bsp_vcpu_id ? KVM_MP_STATE_RUNNABLE
							  : KVM_MP_STATE_UNINITIALIZED;
	vcpu->arch.guest_has_x2apic = vcpu->arch.guest_has_tsc_deadline = true;
	assert_int_equal(kvm_create_lapic(vcpu), 0);
	kvm_lapic_reset(vcpu, false);
	kvm->vcpus[kvm->online_vcpus++] = vcpu;
	return vcpu;
}

struct kvm *fake_vm(enum kvm_irqchip_mode mode, unsigned nr, int first_id)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));

	memset(&fake, 0, sizeof(fake));
	memset(fake.sipi, 0xff, sizeof(fake.sipi));
	memset(fake_ram, 0, sizeof(fake_ram));
	memset(devs, 0, sizeof(devs));
	fake.reg_failures = ~0u;
	fake_now = 1000000000;
	list_init(&timers);
	memset(&state, 0, sizeof(state));
	state.maxphyaddr = 46;
	list_init(&kvm->irq_ack_notifier_list);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->irq_lock, NULL);
	pthread_mutex_init(&kvm->arch.apic_map_lock, NULL);
	kvm->arch.bsp_vcpu_id = first_id;
	kvm->arch.irqchip_mode = mode;
	kvm->arch.nr_reserved_ioapic_pins = 24;
	if (mode == KVM_IRQCHIP_KERNEL) {
		assert_int_equal(kvm_pic_init(kvm), 0);
		assert_int_equal(kvm_ioapic_init(kvm), 0);
		assert_int_equal(kvm_setup_default_irq_routing(kvm), 0);
	} else if (mode == KVM_IRQCHIP_SPLIT) {
		assert_int_equal(kvm_setup_empty_irq_routing(kvm), 0);
	}
	for (unsigned i = 0; i < nr; i++)
		fake_add_vcpu(kvm, first_id + i);
	return kvm;
}

void fake_vm_free(struct kvm *kvm)
{
	kvm_free_pit(kvm);
	for (u32 i = 0; i < kvm->online_vcpus; i++) {
		kvm_free_lapic(kvm->vcpus[i]);
		free(kvm->vcpus[i]->stat);
		free(kvm->vcpus[i]);
	}
	kvm_ioapic_destroy(kvm);
	kvm_pic_destroy(kvm);
	kvm_apic_map_destroy(kvm);
	kvm_free_irq_routing(kvm);
	assert_int_equal(fake_timers_armed(), 0);
	assert_int_equal(kvm->arch.vapics_in_nmi_mode, 0);
	assert_int_equal(kvm->irq_srcu.readers[0] + kvm->irq_srcu.readers[1], 0);
	for (unsigned bus = 0; bus < KVM_NR_BUSES; bus++)
		for (unsigned i = 0; i < MAX_DEVS; i++)
			assert_null(devs[bus][i].dev);
	free(kvm);
}

void xapic_write(struct kvm_vcpu *vcpu, u32 reg, u32 val)
{
	assert_int_equal(kvm_lapic_mmio_write(vcpu, APIC_DEFAULT_PHYS_BASE + reg, 4, &val), 0);
}

u32 xapic_read(struct kvm_vcpu *vcpu, u32 reg)
{
	u32 val = 0xa5a5a5a5;

	assert_int_equal(kvm_lapic_mmio_read(vcpu, APIC_DEFAULT_PHYS_BASE + reg, 4, &val), 0);
	return val;
}

void xapic_enable(struct kvm_vcpu *vcpu)
{
	xapic_write(vcpu, APIC_SPIV, APIC_SPIV_APIC_ENABLED | 0xff);
}

void x2apic_enable(struct kvm_vcpu *vcpu)
{
	assert_int_equal(kvm_set_apic_base(vcpu, vcpu->arch.apic_base | X2APIC_ENABLE, false), 0);
	x2apic_write(vcpu, APIC_SPIV, APIC_SPIV_APIC_ENABLED | 0xff);
}

void x2apic_write(struct kvm_vcpu *vcpu, u32 reg, u64 val)
{
	assert_int_equal(kvm_x2apic_msr_write(vcpu, APIC_BASE_MSR + reg / 16, val), 0);
}

u64 x2apic_read(struct kvm_vcpu *vcpu, u32 reg)
{
	u64 val = ~0ull;

	assert_int_equal(kvm_x2apic_msr_read(vcpu, APIC_BASE_MSR + reg / 16, &val), 0);
	return val;
}

/* No guest code runs here. */
void hyp_as_client_ran(struct hyp_as *as)
{
}
