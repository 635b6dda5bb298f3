/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic timer (DDI 0487, D11): EL1's virtual and physical timers. The CPU reads the counters by itself
 * (arm64_state.cntvoff, cntpoff); the timers' registers leave the guest and are kept here.
 *
 * A timer's output is ENABLE && !IMASK && CVAL <= counter: it changes when the guest writes a register, which
 * it does under our eyes, or when time passes, for which a host timer is armed. That one asks for
 * KVM_REQ_TIMER; the vCPU's own thread then looks and tells the interrupt controller, in KVM or, by kvm_run,
 * in user space.
 *
 * Example: the guest writes CNTV_CVAL 1 ms ahead and waits with WFI. kvm_timer_access stores CVAL, finds the
 * output low and arms the host timer; kvm_vcpu_wfi sleeps. The service thread's callback makes the requests
 * TIMER and UNBLOCK and wakes the vCPU, whose loop calls kvm_timer_update: the output is high, PPI 27 becomes
 * pending, the CPU takes it.
 */
#include "arch/arm64/arm64.h"

#define CTL_ENABLE 1u
#define CTL_IMASK 2u
#define CTL_ISTATUS 4u

#define NS_PER_SEC 1000000000ull
#define MAX_SLEEP_NS (3600 * NS_PER_SEC) /* looked at again then */

/* ---- counters ---------------------------------------------------------------------------------------- */

static u64 vm_offset(struct kvm *kvm, enum kvm_arch_timers timer)
{
	return __atomic_load_n(&kvm->arch.timer.offset[timer], __ATOMIC_RELAXED);
}

u64 kvm_timer_vm_counter(struct kvm *kvm, enum kvm_arch_timers timer)
{
	return hyp_arm64_counter() - vm_offset(kvm, timer);
}

static enum kvm_arch_timers timer_index(const struct arch_timer_context *ctx)
{
	return (enum kvm_arch_timers)(ctx - ctx->vcpu->arch.timer);
}

static u64 counter_of(const struct arch_timer_context *ctx)
{
	return kvm_timer_vm_counter(ctx->vcpu->kvm, timer_index(ctx));
}

/* The CPU's copies of the offsets; another vCPU's ioctl may have changed them. */
static void load_offsets(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u64 v = vm_offset(vcpu->kvm, TIMER_VTIMER), p = vm_offset(vcpu->kvm, TIMER_PTIMER);

	if (s->cntvoff == v && s->cntpoff == p)
		return;
	s->cntvoff = v;
	s->cntpoff = p;
	hyp_arm64_state_changed(vcpu->hyp);
}

/* ---- outputs ------------------------------------------------------------------------------------------- */

static bool can_fire(const struct arch_timer_context *ctx)
{
	return (ctx->ctl & (CTL_ENABLE | CTL_IMASK)) == CTL_ENABLE;
}

static bool should_fire(const struct arch_timer_context *ctx)
{
	return can_fire(ctx) && ctx->cval <= counter_of(ctx);
}

u64 kvm_timer_ticks_to_ns(u64 ticks)
{
	unsigned __int128 ns = (unsigned __int128)ticks * NS_PER_SEC / hyp_arm64_counter_hz();

	/* Rounded up: not before its time. */
	return ns >= MAX_SLEEP_NS ? MAX_SLEEP_NS : (u64)ns + 1;
}

static void timer_expired(struct kvm_timer *timer, void *opaque)
{
	struct arch_timer_context *ctx = opaque;

	kvm_make_request(KVM_REQ_TIMER, ctx->vcpu);
	kvm_make_request(KVM_REQ_UNBLOCK, ctx->vcpu);
	kvm_vcpu_kick(ctx->vcpu);
}

static void arm_host_timer(struct arch_timer_context *ctx)
{
	u64 now = counter_of(ctx);

	if (!can_fire(ctx) || ctx->level || ctx->cval == ~0ull) {
		if (kvm_timer_active(&ctx->hrtimer))
			kvm_timer_try_cancel(&ctx->hrtimer);
		return;
	}
	kvm_timer_start(&ctx->hrtimer,
			kvm_clock_monotonic_ns() +
				(ctx->cval > now ? kvm_timer_ticks_to_ns(ctx->cval - now) : 0));
}

static void set_level(struct arch_timer_context *ctx, bool level)
{
	struct kvm_vcpu *vcpu = ctx->vcpu;

	if (ctx->level == level)
		return;
	ctx->level = level;
	if (irqchip_in_kernel(vcpu->kvm))
		kvm_vgic_inject_irq(vcpu->kvm, vcpu, vcpu->kvm->arch.timer.ppi[timer_index(ctx)], level, ctx);
}

static void update_timer(struct arch_timer_context *ctx)
{
	if (!ctx->vcpu->arch.timer_enabled)
		return;
	set_level(ctx, should_fire(ctx));
	arm_host_timer(ctx);
}

void kvm_timer_update(struct kvm_vcpu *vcpu)
{
	load_offsets(vcpu);
	for (int i = 0; i < NR_KVM_TIMERS; i++)
		update_timer(&vcpu->arch.timer[i]);
}

/* ---- user-space irqchip -------------------------------------------------------------------------------- */

static u64 run_levels(struct kvm_vcpu *vcpu)
{
	struct arch_timer_context *t = vcpu->arch.timer;

	return (should_fire(&t[TIMER_VTIMER]) ? KVM_ARM_DEV_EL1_VTIMER : 0) |
	       (should_fire(&t[TIMER_PTIMER]) ? KVM_ARM_DEV_EL1_PTIMER : 0);
}

#define RUN_LEVELS (KVM_ARM_DEV_EL1_VTIMER | KVM_ARM_DEV_EL1_PTIMER)

bool kvm_timer_should_notify_user(struct kvm_vcpu *vcpu)
{
	u64 told = __atomic_load_n(&vcpu->run->s.regs.device_irq_level, __ATOMIC_RELAXED);

	return (told & RUN_LEVELS) != run_levels(vcpu);
}

void kvm_timer_update_run(struct kvm_vcpu *vcpu)
{
	u64 told = vcpu->run->s.regs.device_irq_level & ~(u64)RUN_LEVELS;

	vcpu->run->s.regs.device_irq_level = told | run_levels(vcpu);
}

/* ---- registers --------------------------------------------------------------------------------------------
 * */

enum timer_reg { TIMER_REG_CNT, TIMER_REG_CVAL, TIMER_REG_TVAL, TIMER_REG_CTL };

static u64 read_timer(struct arch_timer_context *ctx, enum timer_reg reg)
{
	switch (reg) {
	case TIMER_REG_CNT:
		return counter_of(ctx);
	case TIMER_REG_CVAL:
		return ctx->cval;
	case TIMER_REG_TVAL:
		return (u32)(ctx->cval - counter_of(ctx));
	default: /* ISTATUS is UNKNOWN while disabled; it is what the comparison says, as on Linux */
		return ctx->ctl | (ctx->cval <= counter_of(ctx) ? CTL_ISTATUS : 0);
	}
}

static void write_timer(struct arch_timer_context *ctx, enum timer_reg reg, u64 val)
{
	switch (reg) {
	case TIMER_REG_CVAL:
		ctx->cval = val;
		break;
	case TIMER_REG_TVAL:
		ctx->cval = counter_of(ctx) + (u64)(s64)(s32)val;
		break;
	case TIMER_REG_CTL:
		ctx->ctl = (u32)val & (CTL_ENABLE | CTL_IMASK);
		break;
	default:
		return; /* the counters are read-only */
	}
}

static const struct {
	u32 sys;
	u8 timer, reg;
} timer_regs[] = {
	{ ARM64_SYS(3, 3, 14, 0, 1), TIMER_PTIMER, TIMER_REG_CNT },  /* CNTPCT_EL0 */
	{ ARM64_SYS(3, 3, 14, 0, 5), TIMER_PTIMER, TIMER_REG_CNT },  /* CNTPCTSS_EL0 */
	{ ARM64_SYS(3, 3, 14, 2, 0), TIMER_PTIMER, TIMER_REG_TVAL }, /* CNTP_TVAL_EL0 */
	{ ARM64_SYS(3, 3, 14, 2, 1), TIMER_PTIMER, TIMER_REG_CTL },  /* CNTP_CTL_EL0 */
	{ ARM64_SYS(3, 3, 14, 2, 2), TIMER_PTIMER, TIMER_REG_CVAL }, /* CNTP_CVAL_EL0 */
	{ ARM64_SYS(3, 3, 14, 0, 2), TIMER_VTIMER, TIMER_REG_CNT },  /* CNTVCT_EL0 */
	{ ARM64_SYS(3, 3, 14, 0, 6), TIMER_VTIMER, TIMER_REG_CNT },  /* CNTVCTSS_EL0 */
	{ ARM64_SYS(3, 3, 14, 3, 0), TIMER_VTIMER, TIMER_REG_TVAL }, /* CNTV_TVAL_EL0 */
	{ ARM64_SYS(3, 3, 14, 3, 1), TIMER_VTIMER, TIMER_REG_CTL },  /* CNTV_CTL_EL0 */
	{ ARM64_SYS(3, 3, 14, 3, 2), TIMER_VTIMER, TIMER_REG_CVAL }, /* CNTV_CVAL_EL0 */
};

/* A register that only reads: the counters. */
static bool timer_access(struct arch_timer_context *ctx, enum timer_reg reg, bool write, u64 *val)
{
	if (!write) {
		*val = read_timer(ctx, reg);
		return true;
	}
	if (reg == TIMER_REG_CNT)
		return false;
	write_timer(ctx, reg, *val);
	update_timer(ctx);
	return true;
}

bool kvm_timer_access(struct kvm_vcpu *vcpu, u32 sys, bool write, u64 *val)
{
	for (size_t i = 0; i < ARRAY_SIZE(timer_regs); i++)
		if (timer_regs[i].sys == sys)
			return timer_access(&vcpu->arch.timer[timer_regs[i].timer], timer_regs[i].reg, write,
					    val);
	return false;
}

/* KVM_GET/SET_ONE_REG. The encodings of KVM_REG_ARM_TIMER_CNT and _CVAL are swapped by their ABI's history.
 * */
static const struct {
	u64 id;
	u8 timer, reg;
} user_regs[] = {
	{ KVM_REG_ARM_TIMER_CTL, TIMER_VTIMER, TIMER_REG_CTL },
	{ KVM_REG_ARM_TIMER_CNT, TIMER_VTIMER, TIMER_REG_CNT },
	{ KVM_REG_ARM_TIMER_CVAL, TIMER_VTIMER, TIMER_REG_CVAL },
	{ KVM_REG_ARM_PTIMER_CTL, TIMER_PTIMER, TIMER_REG_CTL },
	{ KVM_REG_ARM_PTIMER_CNT, TIMER_PTIMER, TIMER_REG_CNT },
	{ KVM_REG_ARM_PTIMER_CVAL, TIMER_PTIMER, TIMER_REG_CVAL },
};

static int user_reg(u64 id)
{
	for (size_t i = 0; i < ARRAY_SIZE(user_regs); i++)
		if (user_regs[i].id == id)
			return (int)i;
	return -1;
}

bool kvm_arm_is_timer_reg(u64 id)
{
	return user_reg(id) >= 0;
}

void kvm_arm_copy_timer_indices(struct reg_list_out *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(user_regs); i++)
		reg_list_put(out, user_regs[i].id);
}

u64 kvm_arm_timer_get_reg(struct kvm_vcpu *vcpu, u64 id)
{
	int i = user_reg(id);

	return i < 0 ? ~0ull : read_timer(&vcpu->arch.timer[user_regs[i].timer], user_regs[i].reg);
}

/* The counter belongs to the whole VM, and to KVM_ARM_SET_COUNTER_OFFSET alone where that was called. */
static void set_counter(struct kvm *kvm, enum kvm_arch_timers timer, u64 val)
{
	pthread_mutex_lock(&kvm->arch.config_lock);
	if (!kvm->arch.timer.counter_offset_set)
		__atomic_store_n(&kvm->arch.timer.offset[timer], hyp_arm64_counter() - val, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&kvm->arch.config_lock);
}

int kvm_arm_timer_set_reg(struct kvm_vcpu *vcpu, u64 id, u64 val)
{
	int i = user_reg(id);

	if (i < 0)
		return -ENOENT;
	if (user_regs[i].reg == TIMER_REG_CNT)
		set_counter(vcpu->kvm, user_regs[i].timer, val);
	else
		write_timer(&vcpu->arch.timer[user_regs[i].timer], user_regs[i].reg, val);
	kvm_timer_update(vcpu);
	return 0;
}

/* ---- KVM_ARM_SET_COUNTER_OFFSET
 * ------------------------------------------------------------------------------ */

/* kvm->lock held. */
static int set_both_offsets(struct kvm *kvm, u64 offset)
{
	if (!lock_all_vcpus(kvm))
		return -EBUSY;
	pthread_mutex_lock(&kvm->arch.config_lock);
	kvm->arch.timer.counter_offset_set = true;
	for (int i = 0; i < NR_KVM_TIMERS; i++)
		__atomic_store_n(&kvm->arch.timer.offset[i], offset, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	unlock_all_vcpus(kvm);
	return 0;
}

int kvm_vm_ioctl_set_counter_offset(struct kvm *kvm, const struct kvm_arm_counter_offset *offset)
{
	int ret;

	if (offset->reserved)
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	ret = set_both_offsets(kvm, offset->counter_offset);
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}

/* ---- life
 * ------------------------------------------------------------------------------------------------------- */

int kvm_timer_hyp_init(const char **verdict, const char **remedy)
{
	if (!hyp_arm64_counter_hz()) {
		*verdict = "the host's time-stamp counter has no known frequency";
		return -ENODEV;
	}
	*verdict = "virtual and physical timer; the counter is the host's";
	return 0;
}

/* What Linux takes where user space says nothing. */
void kvm_timer_init_vm(struct kvm *kvm)
{
	kvm->arch.timer.ppi[TIMER_PTIMER] = 30;
	kvm->arch.timer.ppi[TIMER_VTIMER] = 27;
	kvm->arch.timer.ppi[TIMER_HPTIMER] = 26;
	kvm->arch.timer.ppi[TIMER_HVTIMER] = 28;
}

void kvm_timer_vcpu_init(struct kvm_vcpu *vcpu)
{
	for (int i = 0; i < NR_KVM_TIMERS; i++) {
		struct arch_timer_context *ctx = &vcpu->arch.timer[i];

		ctx->vcpu = vcpu;
		kvm_timer_init(&ctx->hrtimer, vcpu->kvm, timer_expired, ctx);
	}
	/* The virtual counter starts at 0 with the (last) vCPU made; the physical one is the host's. */
	set_counter(vcpu->kvm, TIMER_VTIMER, 0);
}

void kvm_timer_vcpu_reset(struct kvm_vcpu *vcpu)
{
	for (int i = 0; i < NR_KVM_TIMERS; i++) {
		struct arch_timer_context *ctx = &vcpu->arch.timer[i];

		ctx->ctl = 0;
		update_timer(ctx);
		if (vcpu->arch.timer_enabled && irqchip_in_kernel(vcpu->kvm))
			kvm_vgic_reset_mapped_irq(vcpu, vcpu->kvm->arch.timer.ppi[i]);
	}
}

void kvm_timer_vcpu_terminate(struct kvm_vcpu *vcpu)
{
	for (int i = 0; i < NR_KVM_TIMERS; i++)
		kvm_timer_cancel(&vcpu->arch.timer[i].hrtimer);
}

/* Numbers that differ, and are nobody else's. From here on they do not change. config_lock held. */
static int claim_ppis(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;

	if (kvm->arch.timer.ppi[TIMER_VTIMER] == kvm->arch.timer.ppi[TIMER_PTIMER])
		return -EINVAL;
	for (int i = 0; i < NR_KVM_TIMERS; i++)
		if (kvm_vgic_set_owner(vcpu, kvm->arch.timer.ppi[i], &vcpu->arch.timer[i]))
			return -EINVAL;
	kvm->arch.timer.immutable_ppis = true;
	return 0;
}

int kvm_timer_enable(struct kvm_vcpu *vcpu)
{
	int ret = 0;

	if (vcpu->arch.timer_enabled)
		return 0;
	if (irqchip_in_kernel(vcpu->kvm)) {
		pthread_mutex_lock(&vcpu->kvm->arch.config_lock);
		ret = claim_ppis(vcpu);
		pthread_mutex_unlock(&vcpu->kvm->arch.config_lock);
	}
	if (ret)
		return ret;
	vcpu->arch.timer_enabled = true;
	kvm_timer_update(vcpu);
	return 0;
}

/* ---- attributes: the interrupt numbers
 * -------------------------------------------------------------------------- */

static int timer_set_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	struct kvm *kvm = vcpu->kvm;
	int irq, ret = 0;

	if (!irqchip_in_kernel(kvm))
		return -EINVAL;
	if (copy_from_client(&irq, attr->addr, sizeof(irq)))
		return -EFAULT;
	if (irq < 0 || !irq_is_ppi((u32)irq))
		return -EINVAL;
	pthread_mutex_lock(&kvm->arch.config_lock);
	if (kvm->arch.timer.immutable_ppis)
		ret = -EBUSY;
	else if (attr->attr >= NR_KVM_PPIS)
		ret = -ENXIO;
	else
		kvm->arch.timer.ppi[attr->attr] = (u8)irq;
	pthread_mutex_unlock(&kvm->arch.config_lock);
	return ret;
}

static int timer_get_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	int irq;

	if (attr->attr >= NR_KVM_PPIS)
		return -ENXIO;
	irq = vcpu->kvm->arch.timer.ppi[attr->attr];
	return copy_to_client(attr->addr, &irq, sizeof(irq));
}

static int timer_has_attr(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	return attr->attr < NR_KVM_PPIS ? 0 : -ENXIO;
}

const struct vcpu_attr_group kvm_timer_attrs = { KVM_ARM_VCPU_TIMER_CTRL, timer_set_attr, timer_get_attr,
						 timer_has_attr };
