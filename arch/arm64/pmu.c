/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The performance monitor, PMUv3 (DDI 0487, D13): counting and the overflow interrupt.
 *
 * What is counted is what can be: time inside the guest in ticks of the host's time-stamp counter (the
 * cycle counter, CPU_CYCLES), exceptions, exception returns, and what the guest increments itself
 * (SW_INCR, CHAIN). The CPU keeps sums by exception level (arm64_state.pmu) while a counter is in use;
 * without one it does not look. The counters themselves are the register slots: kvm_pmu_count() adds
 * the sums to those that are enabled and takes them from the CPU. So it comes before every look at a
 * counter and before every change of what the registers say, and kvm_pmu_reconfigure() after that.
 *
 * A counter that is to interrupt must be looked at when it overflows. Of events, the CPU is told after
 * how many it is to leave (soon). Of time, a host timer is armed for when the counter overflows if it
 * counts all the time; it may be early, as the guest sleeps or EL0 is not counted. Then it is armed
 * again.
 *
 * Example: PMCCNTR_EL0 = -1000000, PMINTENSET_EL1 bit 31, PMCR_EL0.E. The timer runs out 1000000 ticks
 * later and asks for KVM_REQ_PMU; the vCPU leaves, kvm_pmu_sync() finds 990000 ticks in the guest and
 * arms the timer again; the next time the sum overflows, PMOVSSET_EL0 gets bit 31 and the interrupt
 * line goes up.
 */
#include <string.h>
#include "arch/arm64/sys_regs.h"

#define PMU_SKID_NS 10000 /* an overflow is noticed that late: the guest must get somewhere in between */

/* ---- what the registers say ------------------------------------------------------------------------- */

static u64 *slot(struct kvm_vcpu *vcpu, unsigned which)
{
	return &vcpu->arch.sys_regs[which];
}

static u32 pmuver(struct kvm *kvm)
{
	return kvm_read_id_reg(kvm, ID_AA64DFR0_EL1) >> PMUVER_SHIFT & 15;
}

u32 kvm_pmu_event_mask(struct kvm *kvm)
{
	u32 ver = pmuver(kvm);

	return ver >= PMUVER_V3P1 ? 0xffff : ver == PMUVER_IMP ? 0x3ff : 0;
}

u64 kvm_vcpu_read_pmcr(struct kvm_vcpu *vcpu)
{
	u8 n = __atomic_load_n(&vcpu->kvm->arch.pmu.n, __ATOMIC_RELAXED);

	return *slot(vcpu, KVM_SR_PMCR) | (u64)n << PMCR_N_SHIFT;
}

u64 kvm_pmu_valid_counter_mask(struct kvm_vcpu *vcpu)
{
	return (BIT_ULL(kvm_vcpu_read_pmcr(vcpu) >> PMCR_N_SHIFT) - 1) | BIT_ULL(PMU_CYCLE_IDX);
}

bool kvm_pmu_counter_is_64bit(struct kvm_vcpu *vcpu, u32 idx)
{
	return idx == PMU_CYCLE_IDX || pmuver(vcpu->kvm) >= PMUVER_V3P5;
}

static bool has_64bit_overflow(struct kvm_vcpu *vcpu, u32 idx)
{
	return *slot(vcpu, KVM_SR_PMCR) & (idx == PMU_CYCLE_IDX ? PMCR_LC : PMCR_LP);
}

static u64 enabled_counters(struct kvm_vcpu *vcpu)
{
	if (!(*slot(vcpu, KVM_SR_PMCR) & PMCR_E))
		return 0;
	return *slot(vcpu, KVM_SR_PMCNTEN) & kvm_pmu_valid_counter_mask(vcpu);
}

static u32 event_of(struct kvm_vcpu *vcpu, u32 idx)
{
	if (idx == PMU_CYCLE_IDX)
		return PMU_CPU_CYCLES;
	return (u32)*slot(vcpu, KVM_SR_PMEVTYPER0 + idx) & kvm_pmu_event_mask(vcpu->kvm);
}

/* An even counter, and the odd one behind it that counts its overflows. */
static bool is_chained(struct kvm_vcpu *vcpu, u32 idx)
{
	return !(idx & 1) && idx + 1 < PMU_CYCLE_IDX && !has_64bit_overflow(vcpu, idx) &&
	       enabled_counters(vcpu) & BIT_ULL(idx + 1) && event_of(vcpu, idx + 1) == PMU_CHAIN;
}

/*
 * ---- what the CPU has counted
 * ---------------------------------------------------------------------------
 */

static const struct {
	u16 event;
	u8 count;
} sources[] = {
	{ PMU_EXC_TAKEN, ARM64_PMU_EXC_TAKEN },
	{ PMU_EXC_RETURN, ARM64_PMU_EXC_RETURN },
	{ PMU_CPU_CYCLES, ARM64_PMU_CYCLES },
};

/* The sum that a counter is fed from, or -1: one of the guest's own, an unknown event, or a filtered one. */
static int source_of(struct kvm_vcpu *vcpu, u32 idx)
{
	const u64 *filter = __atomic_load_n(&vcpu->kvm->arch.pmu.filter, __ATOMIC_ACQUIRE);
	u32 event = event_of(vcpu, idx);

	if (filter && !(filter[event / 64] >> event % 64 & 1))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i].event == event)
			return sources[i].count;
	return -1;
}

/* PMEVTYPER<n>_EL0: P, U, and what turns them round where there is an EL3 (user space alone can set that). */
static bool counts_at(struct kvm_vcpu *vcpu, u32 idx, unsigned el)
{
	u64 typer = *slot(vcpu, KVM_SR_PMEVTYPER0 + idx);

	return (typer >> (30 + el) & 1) == (typer >> (28 + el) & 1);
}

static u64 counted(struct kvm_vcpu *vcpu, u32 idx)
{
	const struct arm64_pmu *cpu = &arm64s(vcpu)->pmu;
	int source = source_of(vcpu, idx);
	u64 sum = 0;

	for (unsigned el = 0; el < 2 && source >= 0; el++)
		if (counts_at(vcpu, idx, el))
			sum += cpu->n[source][el];
	return sum;
}

/* n is far from 2^64: a counter wraps once, its lower half perhaps several times. */
static u64 add_and_count_wraps(struct kvm_vcpu *vcpu, u32 idx, u64 n)
{
	u64 *counter = slot(vcpu, KVM_SR_PMEVCNTR0 + idx), old = *counter;

	*counter = kvm_pmu_counter_is_64bit(vcpu, idx) ? old + n : (u32)(old + n);
	return has_64bit_overflow(vcpu, idx) ? old + n < old : ((u32)old + n) >> 32;
}

static void counter_add(struct kvm_vcpu *vcpu, u32 idx, u64 n)
{
	u64 wraps = add_and_count_wraps(vcpu, idx, n);

	if (!wraps)
		return;
	*slot(vcpu, KVM_SR_PMOVS) |= BIT_ULL(idx);
	if (is_chained(vcpu, idx) && add_and_count_wraps(vcpu, idx + 1, wraps))
		*slot(vcpu, KVM_SR_PMOVS) |= BIT_ULL(idx + 1);
}

void kvm_pmu_count(struct kvm_vcpu *vcpu)
{
	struct arm64_pmu *cpu = &arm64s(vcpu)->pmu;

	if (!cpu->on)
		return;
	for (u64 left = enabled_counters(vcpu); left; left &= left - 1) {
		u32 idx = (u32)__builtin_ctzll(left);

		counter_add(vcpu, idx, counted(vcpu, idx));
	}
	memset(cpu->n, 0, sizeof(cpu->n));
}

void kvm_pmu_software_increment(struct kvm_vcpu *vcpu, u64 mask)
{
	for (u64 left = mask & enabled_counters(vcpu) & ~BIT_ULL(PMU_CYCLE_IDX); left; left &= left - 1) {
		u32 idx = (u32)__builtin_ctzll(left);

		if (event_of(vcpu, idx) == PMU_SW_INCR)
			counter_add(vcpu, idx, 1);
	}
}

/*
 * ---- the interrupt
 * ----------------------------------------------------------------------------------------
 */

static void update_level(struct kvm_vcpu *vcpu)
{
	struct kvm_pmu *pmu = &vcpu->arch.pmu;
	bool level = *slot(vcpu, KVM_SR_PMCR) & PMCR_E &&
		     *slot(vcpu, KVM_SR_PMOVS) & *slot(vcpu, KVM_SR_PMINTEN);

	if (pmu->irq_level == level)
		return;
	pmu->irq_level = level;
	if (irqchip_in_kernel(vcpu->kvm))
		kvm_vgic_inject_irq(vcpu->kvm, vcpu, (unsigned)pmu->irq_num, level, pmu);
}

/* How often a counter must be counted up for it to overflow; ~0: more often than ever happens. */
static u64 until_overflow(struct kvm_vcpu *vcpu, u32 idx)
{
	u64 val = *slot(vcpu, KVM_SR_PMEVCNTR0 + idx);

	if (!has_64bit_overflow(vcpu, idx))
		return (1ull << 32) - (u32)val;
	return val ? -val : ~0ull;
}

/* The same for the next interrupt, its own or of the counter chained to it. */
static u64 until_interrupt(struct kvm_vcpu *vcpu, u32 idx)
{
	u64 inten = *slot(vcpu, KVM_SR_PMINTEN), own = until_overflow(vcpu, idx), chained;

	if (inten & BIT_ULL(idx))
		return own;
	if (!(inten & BIT_ULL(idx) << 1) || !is_chained(vcpu, idx))
		return ~0ull;
	chained = until_overflow(vcpu, idx + 1) - 1;
	return chained >> 32 ? ~0ull : own + (chained << 32);
}

/* Earlier than need be is as good, so that reading a counter does not move the timer. */
static void arm_timer(struct kvm_vcpu *vcpu, u64 ticks)
{
	struct kvm_pmu *pmu = &vcpu->arch.pmu;
	bool active = kvm_timer_active(&pmu->timer);
	u64 at;

	if (ticks == ~0ull) {
		if (active)
			kvm_timer_try_cancel(&pmu->timer);
		return;
	}
	at = kvm_clock_monotonic_ns() + MAX(kvm_timer_ticks_to_ns(ticks), PMU_SKID_NS);
	if (active && pmu->deadline <= at)
		return;
	pmu->deadline = at;
	kvm_timer_start(&pmu->timer, at);
}

static void timer_expired(struct kvm_timer *timer, void *opaque)
{
	struct kvm_vcpu *vcpu = opaque;

	kvm_make_request(KVM_REQ_PMU, vcpu);
	kvm_vcpu_kick(vcpu);
}

void kvm_pmu_reconfigure(struct kvm_vcpu *vcpu)
{
	struct arm64_pmu *cpu = &arm64s(vcpu)->pmu;
	u64 ticks = ~0ull, events = ~0ull;
	bool on = false;

	if (!vcpu->arch.pmu.running)
		return;
	for (u64 left = enabled_counters(vcpu); left; left &= left - 1) {
		u32 idx = (u32)__builtin_ctzll(left);
		int source = source_of(vcpu, idx);
		u64 *nearest = source == ARM64_PMU_CYCLES ? &ticks : &events;

		if (source < 0 || (!counts_at(vcpu, idx, 0) && !counts_at(vcpu, idx, 1)))
			continue;
		on = true;
		*nearest = MIN(*nearest, until_interrupt(vcpu, idx));
	}
	cpu->on = on;
	cpu->soon = events == ~0ull ? 0 : events;
	arm_timer(vcpu, ticks);
	update_level(vcpu);
}

void kvm_pmu_sync(struct kvm_vcpu *vcpu)
{
	kvm_pmu_count(vcpu);
	kvm_pmu_reconfigure(vcpu);
}

/* A GIC in user space hears of the output by kvm_run. */
bool kvm_pmu_should_notify_user(struct kvm_vcpu *vcpu)
{
	u64 told = __atomic_load_n(&vcpu->run->s.regs.device_irq_level, __ATOMIC_RELAXED);

	return vcpu->arch.pmu.irq_level != !!(told & KVM_ARM_DEV_PMU);
}

void kvm_pmu_update_run(struct kvm_vcpu *vcpu)
{
	u64 told = vcpu->run->s.regs.device_irq_level & ~(u64)KVM_ARM_DEV_PMU;

	vcpu->run->s.regs.device_irq_level = told | (vcpu->arch.pmu.irq_level ? KVM_ARM_DEV_PMU : 0);
}

/*
 * ---- PMCR_EL0, life
 * ---------------------------------------------------------------------------------------
 */

/* Counted until now. P and C are deeds, not state. */
void kvm_pmu_handle_pmcr(struct kvm_vcpu *vcpu, u64 val)
{
	if (pmuver(vcpu->kvm) < PMUVER_V3P5)
		val &= ~PMCR_LP;
	*slot(vcpu, KVM_SR_PMCR) = val & PMCR_WRITABLE & ~(PMCR_C | PMCR_P);
	if (val & PMCR_C)
		*slot(vcpu, KVM_SR_PMCCNTR) = 0;
	for (u32 idx = 0; val & PMCR_P && idx < PMU_CYCLE_IDX; idx++)
		if (kvm_pmu_valid_counter_mask(vcpu) & BIT_ULL(idx))
			*slot(vcpu, KVM_SR_PMEVCNTR0 + idx) = 0;
	kvm_pmu_reconfigure(vcpu);
}

void kvm_pmu_vcpu_init(struct kvm_vcpu *vcpu)
{
	kvm_timer_init(&vcpu->arch.pmu.timer, vcpu->kvm, timer_expired, vcpu);
}

void kvm_pmu_vcpu_reset(struct kvm_vcpu *vcpu)
{
	memset(&arm64s(vcpu)->pmu, 0, sizeof(arm64s(vcpu)->pmu));
	kvm_pmu_reconfigure(vcpu);
}

void kvm_pmu_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	kvm_timer_cancel(&vcpu->arch.pmu.timer);
}

/* An interrupt and a GIC in KVM, or neither. */
static bool irq_fits(struct kvm_vcpu *vcpu)
{
	u32 irq = (u32)vcpu->arch.pmu.irq_num;

	if (!irqchip_in_kernel(vcpu->kvm))
		return !kvm_arm_pmu_irq_initialized(vcpu);
	return irq_is_ppi(irq) || vgic_valid_spi(vcpu->kvm, irq);
}

/* What user space has set since meets the number of counters and the version that are final now. */
int kvm_arm_pmu_v3_enable(struct kvm_vcpu *vcpu)
{
	static const enum kvm_sys_reg_slot masked[] = { KVM_SR_PMOVS, KVM_SR_PMINTEN, KVM_SR_PMCNTEN };

	if (!kvm_vcpu_has_pmu(vcpu))
		return 0;
	if (!vcpu->arch.pmu.created || !irq_fits(vcpu))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
		*slot(vcpu, masked[i]) &= kvm_pmu_valid_counter_mask(vcpu);
	vcpu->arch.pmu.running = true;
	kvm_pmu_handle_pmcr(vcpu, kvm_vcpu_read_pmcr(vcpu));
	return 0;
}
