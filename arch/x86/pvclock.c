/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmclock. The guest computes time as
 *	system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32
 * from a page that KVM fills. All vCPUs use one pair (master_kernel_ns, master_cycle_now), taken when the VM
 * was made or its clock set, so that with equal TSC offsets the clock is the same function of the
 * host's TSC on each of them: PVCLOCK_TSC_STABLE_BIT, and the guest need not synchronize readings.
 */
#include <string.h>
#include <time.h>
#include <x86intrin.h>
#include "arch/x86/hyperv.h"
#include "arch/x86/xen.h"

/* Documentation/virt/kvm/x86/msr.rst; asm/pvclock-abi.h is not installed. */
struct pvclock_vcpu_time_info {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad[2];
} __attribute__((packed));
_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "pvclock ABI");

struct pvclock_wall_clock {
	u32 version, sec, nsec;
} __attribute__((packed));

#define PVCLOCK_TSC_STABLE_BIT (1u << 0)
#define PVCLOCK_GUEST_STOPPED (1u << 1)

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

/* Linux: get_kvmclock_base_ns: the raw clock, counting suspend. */
static u64 base_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_RAW);
}

/* A reading of the base clock and the host's TSC that belong together. */
static void base_and_cycles(u64 *ns, u64 *cycles)
{
	u64 best = ~0ull;

	for (int i = 0; i < 8; i++) {
		u64 t0 = __rdtsc(), n = base_ns(), t1 = __rdtsc();

		if (t1 - t0 < best) {
			best = t1 - t0;
			*ns = n;
			*cycles = t0 + (t1 - t0) / 2;
		}
	}
}

static u64 cycles_to_ns(u64 cycles)
{
	return (u64)((unsigned __int128)cycles * 1000000u / kvm_host_tsc_khz());
}

/* tsc_write_lock held. */
static u64 kvmclock_at(struct kvm *kvm, u64 host_tsc)
{
	return kvm->arch.master_kernel_ns + cycles_to_ns(host_tsc - kvm->arch.master_cycle_now) +
	       (u64)kvm->arch.kvmclock_offset;
}

static bool vcpus_agree(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (__atomic_load_n(&vcpu->arch.l1_tsc_offset, __ATOMIC_RELAXED) !=
		    kvm->vcpus[0]->arch.l1_tsc_offset)
			return false;
	return true;
}

void kvm_clock_init_vm(struct kvm *kvm)
{
	pthread_mutex_init(&kvm->arch.tsc_write_lock, NULL);
	base_and_cycles(&kvm->arch.master_kernel_ns, &kvm->arch.master_cycle_now);
	kvm->arch.kvmclock_offset = -(s64)kvm->arch.master_kernel_ns;
	kvm->arch.use_master_clock = true;
}

void kvm_update_masterclock(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	bool agree, tsc_page = kvm_hv_request_tsc_page_update(kvm);
	u32 i;

	pthread_mutex_lock(&kvm->arch.tsc_write_lock);
	agree = vcpus_agree(kvm);
	if (agree == kvm->arch.use_master_clock && !tsc_page) {
		pthread_mutex_unlock(&kvm->arch.tsc_write_lock);
		return;
	}
	kvm->arch.use_master_clock = agree;
	pthread_mutex_unlock(&kvm->arch.tsc_write_lock);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
		kvm_vcpu_kick(vcpu);
	}
}

u64 kvm_get_kvmclock_ns(struct kvm *kvm)
{
	u64 ns;

	pthread_mutex_lock(&kvm->arch.tsc_write_lock);
	ns = kvmclock_at(kvm, __rdtsc());
	pthread_mutex_unlock(&kvm->arch.tsc_write_lock);
	return ns;
}

/* ---- the shared pages ---- */

/* mul and shift such that ns = (cycles << shift) * mul >> 32 at khz. */
void kvm_get_time_scale(u32 khz, u32 *mul, s8 *shift)
{
	u64 hz = (u64)khz * 1000, scaled = 1000000000ull;

	*shift = 0;
	while (hz > scaled * 2) {
		hz >>= 1;
		(*shift)--;
	}
	while (hz <= scaled) {
		hz <<= 1;
		(*shift)++;
	}
	/* hz is in (scaled, 2 * scaled]: the quotient fits 32 bits. Recomputed from khz: no bit was lost. */
	if (*shift < 0)
		*mul = (u32)(((unsigned __int128)scaled << (32 - *shift)) / ((u64)khz * 1000));
	else
		*mul = (u32)((scaled << 32 >> *shift) / ((u64)khz * 1000));
}

/* version is odd while the rest changes; the guest retries then. Only this vCPU's thread writes it. */
static void publish(struct kvm_vcpu *vcpu, struct pvclock_vcpu_time_info *t)
{
	gpa_t gpa = vcpu->arch.pv_time.gpa;
	u32 version = vcpu->arch.pvclock_version;

	t->version = version + 1;
	if (kvm_write_guest(vcpu->kvm, gpa, &t->version, sizeof(t->version)))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	kvm_write_guest(vcpu->kvm, gpa + 4, (u8 *)t + 4, sizeof(*t) - 4);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	t->version = version + 2;
	kvm_write_guest(vcpu->kvm, gpa, &t->version, sizeof(t->version));
	vcpu->arch.pvclock_version = version + 2;
}

void kvm_guest_time_update(struct kvm_vcpu *vcpu)
{
	struct kvm_arch *ka = &vcpu->kvm->arch;
	struct pvclock_vcpu_time_info t = { 0 };
	u64 host_tsc, ns;
	u32 mul;
	s8 shift;

	if (!vcpu->arch.pv_time.active && !kvm_hv_tsc_page_wanted(vcpu->kvm) && !kvm_xen_time_wanted(vcpu))
		return;
	pthread_mutex_lock(&ka->tsc_write_lock);
	host_tsc = ka->use_master_clock ? ka->master_cycle_now : __rdtsc();
	ns = kvmclock_at(vcpu->kvm, host_tsc);
	t.flags = ka->use_master_clock ? PVCLOCK_TSC_STABLE_BIT : 0;
	pthread_mutex_unlock(&ka->tsc_write_lock);
	t.tsc_timestamp = kvm_scale_tsc(vcpu, host_tsc) + vcpu->arch.l1_tsc_offset;
	t.system_time = ns;
	kvm_hv_setup_tsc_page(vcpu, t.flags & PVCLOCK_TSC_STABLE_BIT, t.tsc_timestamp, ns);
	kvm_get_time_scale(vcpu->arch.virtual_tsc_khz, &mul, &shift);
	t.tsc_to_system_mul = mul;
	t.tsc_shift = shift;
	kvm_xen_update_time(vcpu, &t);
	if (!vcpu->arch.pv_time.active)
		return;
	if (vcpu->arch.pvclock_set_guest_stopped_request) {
		t.flags |= PVCLOCK_GUEST_STOPPED;
		vcpu->arch.pvclock_set_guest_stopped_request = false;
	}
	publish(vcpu, &t);
}

/* MSR_KVM_SYSTEM_TIME(_NEW): bit 0 enables. */
int kvm_set_system_time_msr(struct kvm_vcpu *vcpu, u64 data, bool old_msr)
{
	(void)old_msr;
	vcpu->arch.time = data;
	vcpu->arch.pv_time.active = data & 1;
	vcpu->arch.pv_time.gpa = data & ~1ull;
	kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	return 0;
}

/* The wall clock at the moment where kvmclock was 0. */
u64 kvm_get_wall_clock_epoch(struct kvm *kvm)
{
	return clock_ns(CLOCK_REALTIME) - kvm_get_kvmclock_ns(kvm);
}

void kvm_write_wall_clock(struct kvm *kvm, gpa_t gpa)
{
	struct pvclock_wall_clock wc;
	u64 boot_ns = kvm_get_wall_clock_epoch(kvm);
	u32 version;

	if (!gpa || kvm_read_guest(kvm, gpa, &version, sizeof(version)))
		return;
	wc.version = (version | 1) + 2 - (version & 1); /* the next odd one */
	kvm_write_guest(kvm, gpa, &wc.version, sizeof(wc.version));
	wc.sec = (u32)(boot_ns / 1000000000ull);
	wc.nsec = (u32)(boot_ns % 1000000000ull);
	wc.version++;
	kvm_write_guest(kvm, gpa + 4, &wc.sec, 8);
	kvm_write_guest(kvm, gpa, &wc.version, sizeof(wc.version));
}

/* ---- KVM_GET_CLOCK, KVM_SET_CLOCK, KVM_KVMCLOCK_CTRL ---- */

int kvm_get_clock(struct kvm *kvm, struct kvm_clock_data *data)
{
	memset(data, 0, sizeof(*data));
	pthread_mutex_lock(&kvm->arch.tsc_write_lock);
	data->host_tsc = __rdtsc();
	data->realtime = clock_ns(CLOCK_REALTIME);
	data->clock = kvmclock_at(kvm, data->host_tsc);
	data->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	if (kvm->arch.use_master_clock)
		data->flags |= KVM_CLOCK_TSC_STABLE;
	pthread_mutex_unlock(&kvm->arch.tsc_write_lock);
	return 0;
}

int kvm_set_clock(struct kvm *kvm, const struct kvm_clock_data *data)
{
	struct kvm_arch *ka = &kvm->arch;
	u64 clock = data->clock;

	/* TSC_STABLE and HOST_TSC only come out of KVM_GET_CLOCK; Linux takes them back without complaint. */
	if (data->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	pthread_mutex_lock(&ka->tsc_write_lock);
	base_and_cycles(&ka->master_kernel_ns, &ka->master_cycle_now);
	if (data->flags & KVM_CLOCK_REALTIME) {
		u64 now = clock_ns(CLOCK_REALTIME);

		if (now > data->realtime) /* never backwards */
			clock += now - data->realtime;
	}
	ka->kvmclock_offset = (s64)(clock - ka->master_kernel_ns);
	pthread_mutex_unlock(&ka->tsc_write_lock);
	kvm_hv_request_tsc_page_update(kvm);
	kvm_make_all_cpus_request(kvm, KVM_REQ_CLOCK_UPDATE);
	return 0;
}

int kvm_set_guest_paused(struct kvm_vcpu *vcpu)
{
	if (!vcpu->arch.pv_time.active)
		return -EINVAL;
	vcpu->arch.pvclock_set_guest_stopped_request = true;
	kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	return 0;
}

/* ---- KVM_HC_CLOCK_PAIRING ---- */

struct clock_pairing {
	s64 sec, nsec;
	u64 tsc;
	u32 flags;
	u32 pad[9];
};

int kvm_pv_clock_pairing(struct kvm_vcpu *vcpu, gpa_t gpa, u64 type)
{
	struct clock_pairing p = { 0 };
	struct timespec ts;
	u64 host_tsc;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK)
		return -KVM_EOPNOTSUPP;
	if (!vcpu->kvm->arch.use_master_clock)
		return -KVM_EOPNOTSUPP;
	clock_gettime(CLOCK_REALTIME, &ts);
	host_tsc = __rdtsc();
	p.sec = ts.tv_sec;
	p.nsec = ts.tv_nsec;
	p.tsc = kvm_scale_tsc(vcpu, host_tsc) + vcpu->arch.l1_tsc_offset;
	return kvm_write_guest(vcpu->kvm, gpa, &p, sizeof(p)) ? -KVM_EFAULT : 0;
}
