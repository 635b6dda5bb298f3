/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual CPU's life on arm64: creation, KVM_ARM_VCPU_INIT, reset, power states, and the dispatch of its
 * ioctls. */
#include <stdlib.h>
#include <string.h>
#include "arch/arm64/arm64.h"

#define FEATURE(f) (1u << KVM_ARM_VCPU_##f)
#define FEATURES_KNOWN (BIT(KVM_ARM_VCPU_HAS_EL2 + 1) - 1)

bool kvm_vcpu_initialized(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.initialized;
}

bool vcpu_has_run_once(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.has_run_once, __ATOMIC_ACQUIRE);
}

/* ---- who is it ------------------------------------------------------------------------------------- */

/* Aff0 has 16 values, as GICv3's SGI registers name targets by a mask of 16. */
u64 kvm_default_mpidr(u32 id)
{
	return BIT_ULL(31) | (id & 15) | (u64)(id >> 4 & 255) << 8 | (u64)(id >> 12 & 255) << 16;
}

#define MPIDR_HWID_BITMASK 0xff00ffffffull

u64 kvm_vcpu_get_mpidr_aff(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.mpidr, __ATOMIC_RELAXED) & MPIDR_HWID_BITMASK;
}

/* The number that kvm_default_mpidr gives is tried first; user space may have set others. */
struct kvm_vcpu *kvm_mpidr_to_vcpu(struct kvm *kvm, u64 mpidr)
{
	u64 aff = mpidr & MPIDR_HWID_BITMASK;
	struct kvm_vcpu *vcpu = kvm_get_vcpu(kvm, (u32)((aff & 15) | (aff >> 8 & 255) << 4));
	u32 i;

	if (vcpu && kvm_vcpu_get_mpidr_aff(vcpu) == aff)
		return vcpu;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (kvm_vcpu_get_mpidr_aff(vcpu) == aff)
			return vcpu;
	return NULL;
}

/* ---- creation -------------------------------------------------------------------------------------- */

int kvm_arch_vcpu_precreate(struct kvm *kvm, unsigned id)
{
	if (irqchip_in_kernel(kvm) && vgic_initialized(kvm))
		return -EBUSY;
	return id >= kvm->max_vcpus ? -EINVAL : 0;
}

int kvm_arch_vcpu_create(struct kvm_vcpu *vcpu)
{
	int err;

	pthread_mutex_init(&vcpu->arch.mp_state_lock, NULL);
	vcpu->arch.mpidr = kvm_default_mpidr((u32)vcpu->vcpu_id);
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	kvm_timer_vcpu_init(vcpu);
	kvm_pmu_vcpu_init(vcpu);
	kvm_arm_pvtime_vcpu_init(vcpu);
	err = kvm_vgic_vcpu_init(vcpu);
	if (err)
		kvm_arch_vcpu_destroy(vcpu);
	return err;
}

void kvm_arch_vcpu_postcreate(struct kvm_vcpu *vcpu)
{
}

void kvm_arch_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	kvm_timer_vcpu_terminate(vcpu);
	kvm_pmu_vcpu_destroy(vcpu);
	kvm_vgic_vcpu_destroy(vcpu);
	free(vcpu->arch.ccsidr);
	vcpu->arch.ccsidr = NULL;
	pthread_mutex_destroy(&vcpu->arch.mp_state_lock);
}

/* ---- reset ------------------------------------------------------------------------------------------ */

static struct vcpu_reset_state take_reset_state(struct kvm_vcpu *vcpu)
{
	struct vcpu_reset_state rs;

	pthread_mutex_lock(&vcpu->arch.mp_state_lock);
	rs = vcpu->arch.reset_state;
	vcpu->arch.reset_state.reset = false;
	pthread_mutex_unlock(&vcpu->arch.mp_state_lock);
	return rs;
}

static void reset_core(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);

	hyp_arm64_reset(vcpu->hyp);
	memset(s->x, 0, sizeof(s->x));
	memset(s->v, 0, sizeof(s->v));
	s->pc = 0;
	s->fpcr = s->fpsr = 0;
	s->pstate = ARM64_PSR_EL(1) | ARM64_PSR_SP | ARM64_PSR_DAIF;
	s->vi = s->vf = s->vse = false;
	s->pa_bits = vcpu->kvm->arch.ipa_bits;
	s->hcr = ARM64_HCR_TWI | ARM64_HCR_TSC;
	memset(vcpu->arch.spsr32, 0, sizeof(vcpu->arch.spsr32));
	vcpu->mmio_needed = false;
}

void kvm_reset_vcpu(struct kvm_vcpu *vcpu)
{
	struct vcpu_reset_state rs = take_reset_state(vcpu);
	struct arm64_state *s = arm64s(vcpu);

	reset_core(vcpu);
	kvm_reset_sys_regs(vcpu);
	if (rs.reset) {
		s->pc = rs.pc;
		s->x[0] = rs.r0;
		if (rs.be)
			s->sr[ARM64_SR_SCTLR_EL1] |= BIT(25); /* EE: as the one that switched it on */
	}
	kvm_timer_vcpu_reset(vcpu);
	kvm_pmu_vcpu_reset(vcpu);
	hyp_arm64_state_changed(vcpu->hyp);
}

/* ---- KVM_ARM_VCPU_INIT --------------------------------------------------------------------------------- */

u32 kvm_system_supported_vcpu_features(void)
{
	u32 features = FEATURE(POWER_OFF) | FEATURE(PSCI_0_2) | FEATURE(PMU_V3);
	u64 isar1 = hyp_arm64_id_max(ARM64_SYS(3, 0, 0, 6, 1));

	/* APA or API, with the generic code's GPA or GPI. */
	if ((isar1 >> 4 & 0xff) && (isar1 >> 24 & 0xff))
		features |= FEATURE(PTRAUTH_ADDRESS) | FEATURE(PTRAUTH_GENERIC);
	return features;
}

static int check_features(const struct kvm_vcpu_init *init)
{
	u32 features = init->features[0];

	if (features & ~FEATURES_KNOWN)
		return -ENOENT;
	for (size_t i = 1; i < ARRAY_SIZE(init->features); i++)
		if (init->features[i])
			return -ENOENT;
	if (features & ~kvm_system_supported_vcpu_features())
		return -EINVAL;
	/* Both halves of pointer authentication, or none. */
	return !(features & FEATURE(PTRAUTH_ADDRESS)) == !(features & FEATURE(PTRAUTH_GENERIC)) ? 0 : -EINVAL;
}

/* The first vCPU decides for the VM. config_lock held. */
static int set_features(struct kvm *kvm, u32 features)
{
	if (kvm->arch.vcpu_features_configured)
		return kvm->arch.vcpu_features == features ? 0 : -EINVAL;
	kvm->arch.vcpu_features = features;
	kvm->arch.vcpu_features_configured = true;
	kvm_init_id_regs(kvm);
	kvm_pmu_init_vm(kvm);
	return 0;
}

static int vcpu_set_target(struct kvm_vcpu *vcpu, const struct kvm_vcpu_init *init, u32 features)
{
	struct kvm *kvm = vcpu->kvm;
	int err;

	if (init->target != KVM_ARM_TARGET_GENERIC_V8)
		return -EINVAL;
	err = check_features(init);
	if (err)
		return err;
	pthread_mutex_lock(&kvm->arch.config_lock);
	err = set_features(kvm, features);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	if (err)
		return err;
	kvm_reset_vcpu(vcpu);
	vcpu->arch.initialized = true;
	return 0;
}

static void vcpu_power_off_locked(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->arch.mp_state, KVM_MP_STATE_STOPPED, __ATOMIC_SEQ_CST);
	kvm_make_request(KVM_REQ_SLEEP, vcpu);
	kvm_vcpu_kick(vcpu);
}

static long vcpu_init(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	const struct kvm_vcpu_init *init = data;
	u32 features = init->features[0] & ~FEATURE(POWER_OFF); /* of this call only */
	int err = vcpu_set_target(vcpu, init, features);

	if (err)
		return err;
	if (vcpu_has_run_once(vcpu))
		hyp_arm64_ic_all(vcpu->hyp); /* a machine that is started anew has other code */
	pthread_mutex_lock(&vcpu->arch.mp_state_lock);
	if (init->features[0] & FEATURE(POWER_OFF))
		vcpu_power_off_locked(vcpu);
	else
		__atomic_store_n(&vcpu->arch.mp_state, KVM_MP_STATE_RUNNABLE, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&vcpu->arch.mp_state_lock);
	return 0;
}

static long vcpu_finalize(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	int what;

	if (!kvm_vcpu_initialized(vcpu))
		return -ENOEXEC;
	if (copy_from_client(&what, arg, sizeof(what)))
		return -EFAULT;
	return -EINVAL; /* SVE alone would have to be finalized */
}

/* ---- power states ---------------------------------------------------------------------------------------
 * */

bool kvm_arm_vcpu_stopped(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.mp_state, __ATOMIC_SEQ_CST) == KVM_MP_STATE_STOPPED;
}

bool kvm_arm_vcpu_suspended(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->arch.mp_state, __ATOMIC_SEQ_CST) == KVM_MP_STATE_SUSPENDED;
}

void kvm_arm_vcpu_power_off(struct kvm_vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->arch.mp_state_lock);
	vcpu_power_off_locked(vcpu);
	pthread_mutex_unlock(&vcpu->arch.mp_state_lock);
}

static long get_mpstate(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;

	*(struct kvm_mp_state *)data =
		(struct kvm_mp_state){ __atomic_load_n(&vcpu->arch.mp_state, __ATOMIC_SEQ_CST) };
	return 0;
}

/* mp_state_lock held. */
static long set_mpstate_locked(struct kvm_vcpu *vcpu, u32 state)
{
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		__atomic_store_n(&vcpu->arch.mp_state, state, __ATOMIC_SEQ_CST);
		return 0;
	case KVM_MP_STATE_STOPPED:
		vcpu_power_off_locked(vcpu);
		return 0;
	case KVM_MP_STATE_SUSPENDED:
		__atomic_store_n(&vcpu->arch.mp_state, state, __ATOMIC_SEQ_CST);
		kvm_make_request(KVM_REQ_SUSPEND, vcpu);
		kvm_vcpu_kick(vcpu);
		return 0;
	}
	return -EINVAL;
}

static long set_mpstate(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	long ret;

	pthread_mutex_lock(&vcpu->arch.mp_state_lock);
	ret = set_mpstate_locked(vcpu, ((struct kvm_mp_state *)data)->mp_state);
	pthread_mutex_unlock(&vcpu->arch.mp_state_lock);
	return ret;
}

/* ---- events: SError, external abort ----------------------------------------------------------------------
 * */

static bool has_ras(struct kvm_vcpu *vcpu)
{
	return kvm_vm_ioctl_check_extension(vcpu->kvm, KVM_CAP_ARM_INJECT_SERROR_ESR);
}

static long get_events(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	struct kvm_vcpu_events e = { 0 };

	if (!kvm_vcpu_initialized(vcpu))
		return -ENOEXEC;
	e.exception.serror_pending = arm64s(vcpu)->vse;
	e.exception.serror_has_esr = has_ras(vcpu);
	if (e.exception.serror_pending && e.exception.serror_has_esr)
		e.exception.serror_esr = arm64s(vcpu)->vsesr & 0x1ffffff;
	return copy_to_client(arg, &e, sizeof(e));
}

static bool all_zero(const void *p, size_t len)
{
	const u8 *b = p;

	while (len--)
		if (*b++)
			return false;
	return true;
}

static long set_serror(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	if (!e->exception.serror_pending)
		return 0;
	if (!e->exception.serror_has_esr) {
		kvm_inject_serror(vcpu, 0);
		return 0;
	}
	if (!has_ras(vcpu) || e->exception.serror_esr & ~0x1ffffffull)
		return -EINVAL;
	kvm_inject_serror(vcpu, e->exception.serror_esr);
	return 0;
}

static long set_events(void *obj, void *data, unsigned long arg)
{
	struct kvm_vcpu *vcpu = obj;
	struct kvm_vcpu_events e;
	long err;

	if (!kvm_vcpu_initialized(vcpu))
		return -ENOEXEC;
	if (copy_from_client(&e, arg, sizeof(e)))
		return -EFAULT;
	if (!all_zero(e.reserved, sizeof(e.reserved)) || !all_zero(e.exception.pad, sizeof(e.exception.pad)))
		return -EINVAL;
	err = set_serror(vcpu, &e);
	if (!err && e.exception.ext_dabt_pending)
		kvm_inject_dabt(vcpu, vcpu->arch.hfar);
	return err;
}

/* ---- attributes ------------------------------------------------------------------------------------------
 * */

static const struct vcpu_attr_group *attr_group(const struct kvm_device_attr *attr)
{
	static const struct vcpu_attr_group *const groups[] = { &kvm_timer_attrs, &kvm_pvtime_attrs,
								&kvm_pmu_attrs };

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (groups[i]->group == attr->group)
			return groups[i];
	return NULL;
}

static long has_attr(void *obj, void *data, unsigned long arg)
{
	const struct vcpu_attr_group *g = attr_group(data);

	return g ? g->has(obj, data) : -ENXIO;
}

static long get_attr(void *obj, void *data, unsigned long arg)
{
	const struct vcpu_attr_group *g = attr_group(data);

	return g ? g->get(obj, data) : -ENXIO;
}

static long set_attr(void *obj, void *data, unsigned long arg)
{
	const struct vcpu_attr_group *g = attr_group(data);

	return g ? g->set(obj, data) : -ENXIO;
}

/* ---- registers --------------------------------------------------------------------------------------------
 * */

static long one_reg(struct kvm_vcpu *vcpu, unsigned long arg,
		    long (*fn)(struct kvm_vcpu *, const struct kvm_one_reg *))
{
	struct kvm_one_reg reg;

	if (!kvm_vcpu_initialized(vcpu))
		return -ENOEXEC;
	if (copy_from_client(&reg, arg, sizeof(reg)))
		return -EFAULT;
	/* A reset that PSCI owes comes before what user space sets. */
	if (kvm_check_request(KVM_REQ_VCPU_RESET, vcpu))
		kvm_reset_vcpu(vcpu);
	return fn(vcpu, &reg);
}

static long get_one_reg(void *obj, void *data, unsigned long arg)
{
	return one_reg(obj, arg, kvm_arm_get_reg);
}

static long set_one_reg(void *obj, void *data, unsigned long arg)
{
	return one_reg(obj, arg, kvm_arm_set_reg);
}

static long get_reg_list(void *obj, void *data, unsigned long arg)
{
	return kvm_vcpu_initialized(obj) ? kvm_arm_get_reg_list(obj, arg) : -ENOEXEC;
}

static long set_guest_debug(void *obj, void *data, unsigned long arg)
{
	return kvm_arch_vcpu_ioctl_set_guest_debug(obj, data);
}

static const struct kvm_ioctl_row vcpu_ioctls[] = {
	IOCTL_ROW(KVM_ARM_VCPU_INIT, ARG_IN, vcpu_init),
	IOCTL_ROW(KVM_ARM_VCPU_FINALIZE, ARG_PLAIN, vcpu_finalize),
	IOCTL_ROW(KVM_GET_ONE_REG, ARG_PLAIN, get_one_reg),
	IOCTL_ROW(KVM_SET_ONE_REG, ARG_PLAIN, set_one_reg),
	IOCTL_ROW(KVM_GET_REG_LIST, ARG_PLAIN, get_reg_list),
	IOCTL_ROW(KVM_GET_MP_STATE, ARG_OUT, get_mpstate),
	IOCTL_ROW(KVM_SET_MP_STATE, ARG_IN, set_mpstate),
	IOCTL_ROW(KVM_GET_VCPU_EVENTS, ARG_PLAIN, get_events),
	IOCTL_ROW(KVM_SET_VCPU_EVENTS, ARG_PLAIN, set_events),
	IOCTL_ROW(KVM_SET_GUEST_DEBUG, ARG_IN, set_guest_debug),
	IOCTL_ROW(KVM_HAS_DEVICE_ATTR, ARG_IN, has_attr),
	IOCTL_ROW(KVM_GET_DEVICE_ATTR, ARG_IN, get_attr),
	IOCTL_ROW(KVM_SET_DEVICE_ATTR, ARG_IN, set_attr),
};
IOCTL_TABLE('C', vcpu_ioctls);

long kvm_arch_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long arg)
{
	const struct kvm_ioctl_row *row = kvm_ioctl_find(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), ioctl);

	return row ? kvm_ioctl_call(row, vcpu, arg) : -EINVAL;
}
