/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System registers: the functions that the rows of sys_regs_table.c name, the exit that brings a guest's
 * access here, and user space's way to them.
 */
#include "arch/arm64/sys_regs.h"

#include <stdlib.h>

#define OSLSR_OSLK BIT_ULL(1)
#define CTR_EL0 ARM64_SYS(3, 3, 0, 0, 1)
#define MIDR_EL1 ARM64_SYS(3, 0, 0, 0, 0)
#define MPIDR_EL1 ARM64_SYS(3, 0, 0, 0, 5)
#define CSSELR_EL1 ARM64_SYS(3, 2, 0, 0, 0)
#define LORID_EL1 ARM64_SYS(3, 0, 10, 4, 7)
#define ID_AA64MMFR1_EL1 ARM64_SYS(3, 0, 0, 7, 1)
#define CSSELR_MAX 14u /* seven levels, data and instructions */

static u64 cpu_reg(struct kvm_vcpu *vcpu, u32 sys)
{
	u64 val = 0;

	hyp_arm64_get_sr(vcpu->hyp, sys, &val);
	return val;
}

/* ---- the guest's accesses --------------------------------------------------------------------------------
 * */

bool access_cpu(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return !(p->write ? hyp_arm64_set_sr(vcpu->hyp, r->sys, p->val)
			  : hyp_arm64_get_sr(vcpu->hyp, r->sys, &p->val));
}

/* Breakpoint and watchpoint registers reach the CPU when it runs next (kvm_arm_setup_debug). */
static void write_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	vcpu->arch.sys_regs[r->slot] = val;
	if (r->slot < KVM_SR_MDCCINT) /* those come first */
		vcpu->arch.debug_stale = true;
}

bool access_slot(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (p->write)
		write_slot(vcpu, r, p->val);
	else
		p->val = vcpu->arch.sys_regs[r->slot];
	return true;
}

bool access_undef(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return false;
}

bool access_raz_wi(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	p->val = 0;
	return true;
}

/* Read-only, of value 0. */
bool access_write_ignored(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	p->val = 0;
	return !p->write;
}

bool access_actlr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return p->write || access_cpu(vcpu, p, r);
}

/* Guest memory is as coherent as the client's: there is nothing to clean. */
bool access_set_way(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return p->write;
}

/* OSLSR_EL1 is set to val; the CPU hears of the lock. */
static void write_oslsr(struct kvm_vcpu *vcpu, u64 val)
{
	vcpu->arch.sys_regs[KVM_SR_OSLSR] = val;
	arm64s(vcpu)->os_lock = val & OSLSR_OSLK;
	hyp_arm64_state_changed(vcpu->hyp);
}

bool access_oslar(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	u64 oslsr = vcpu->arch.sys_regs[KVM_SR_OSLSR];

	if (!p->write)
		return false;
	write_oslsr(vcpu, (oslsr & ~OSLSR_OSLK) | (p->val & 1 ? OSLSR_OSLK : 0));
	return true;
}

bool access_oslsr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return !p->write && access_slot(vcpu, p, r);
}

/* Non-secure invasive and non-invasive debug: implemented, disabled, as Linux passes on what its host says.
 * */
bool access_dbgauthstatus(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	p->val = 0xa;
	return !p->write;
}

/* LORegions: registers without regions, where ID_AA64MMFR1_EL1.LO says there are any. */
bool access_lor(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!(kvm_read_id_reg(vcpu->kvm, ID_AA64MMFR1_EL1) >> 16 & 15) || (p->write && r->sys == LORID_EL1))
		return false;
	return access_raz_wi(vcpu, p, r);
}

bool access_timer(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return kvm_timer_access(vcpu, r->sys, p->write, &p->val);
}

bool access_gic(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return vgic_v3_access_sysreg(vcpu, r->sys, p->write, &p->val);
}

/* ---- caches: log2 of the smallest line in bytes, from CTR_EL0
 * ---------------------------------------------- */

static u32 min_line_log2(struct kvm_vcpu *vcpu, bool icache)
{
	u64 ctr = kvm_id_reg_limit(vcpu->kvm, CTR_EL0);

	return (u32)(icache ? ctr & 15 : ctr >> 16 & 15) + 2;
}

/* One set, one way: guests that clean by set and way are soon through. */
static u32 get_ccsidr(struct kvm_vcpu *vcpu, u32 csselr)
{
	u32 line;

	if (vcpu->arch.ccsidr)
		return vcpu->arch.ccsidr[csselr];
	line = min_line_log2(vcpu, csselr & 1);
	return MIN(line - 4, 7u);
}

static int set_ccsidr(struct kvm_vcpu *vcpu, u32 csselr, u32 val)
{
	u32 *all;

	if (val & 0xf0000000 || (val & 7) < MIN(min_line_log2(vcpu, csselr & 1) - 4, 7u))
		return -EINVAL;
	if (vcpu->arch.ccsidr) {
		vcpu->arch.ccsidr[csselr] = val;
		return 0;
	}
	if (val == get_ccsidr(vcpu, csselr))
		return 0;
	all = malloc(CSSELR_MAX * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (u32 i = 0; i < CSSELR_MAX; i++)
		all[i] = get_ccsidr(vcpu, i);
	all[csselr] = val;
	vcpu->arch.ccsidr = all;
	return 0;
}

bool access_ccsidr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	u64 csselr = cpu_reg(vcpu, CSSELR_EL1) & 15;

	p->val = csselr < CSSELR_MAX ? get_ccsidr(vcpu, (u32)csselr) : 0;
	return !p->write;
}

bool access_clidr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	return !p->write && access_slot(vcpu, p, r);
}

#define CLIDR_CTYPE(level, type) ((u64)(type) << (3 * ((level)-1)))
#define CACHE_INST 1
#define CACHE_DATA 2
#define CACHE_UNIFIED 4
#define CTR_DIC BIT_ULL(29)
#define CTR_IDC BIT_ULL(28)

/* What has to be cleaned or invalidated for instructions to be seen, and no more. */
void reset_clidr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	u64 ctr = kvm_id_reg_limit(vcpu->kvm, CTR_EL0), clidr = 0, loc = 1;

	if (ctr & CTR_IDC) {
		loc = ctr & CTR_DIC ? 1 : 2;
		clidr |= CLIDR_CTYPE(loc, CACHE_UNIFIED);
	} else {
		clidr |= CLIDR_CTYPE(1, CACHE_DATA) | 1ull << 21 | 1ull << 27; /* LoUIS, LoUU */
	}
	if (!(ctr & CTR_DIC))
		clidr |= CLIDR_CTYPE(1, CACHE_INST);
	vcpu->arch.sys_regs[r->slot] = clidr | loc << 24; /* LoC */
}

/* ---- reset
 * -------------------------------------------------------------------------------------------------- */

void reset_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	vcpu->arch.sys_regs[r->slot] = r->val;
}

void reset_oslsr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	write_oslsr(vcpu, r->val);
}

void reset_cpu(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	hyp_arm64_set_sr(vcpu->hyp, r->sys, r->val);
}

void reset_mpidr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	u32 id = (u32)vcpu->vcpu_id;
	u64 mpidr = kvm_default_mpidr(id);

	__atomic_store_n(&vcpu->arch.mpidr, mpidr, __ATOMIC_RELAXED);
	hyp_arm64_set_sr(vcpu->hyp, MPIDR_EL1, mpidr);
}

void reset_ctr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	hyp_arm64_set_sr(vcpu->hyp, CTR_EL0, vcpu->kvm->arch.ctr_el0);
}

void reset_midr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r)
{
	hyp_arm64_set_sr(vcpu->hyp, MIDR_EL1, hyp_arm64_id_max(MIDR_EL1));
}

void kvm_reset_sys_regs(struct kvm_vcpu *vcpu)
{
	for (size_t i = 0; i < nr_sys_regs; i++)
		if (sys_reg_table[i].reset)
			sys_reg_table[i].reset(vcpu, &sys_reg_table[i]);
	vcpu->arch.debug_stale = true;
}

/* ---- user space's accesses
 * ------------------------------------------------------------------------------------ */

static int get_cpu(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	return hyp_arm64_get_sr(vcpu->hyp, r->sys, val);
}

static int set_cpu(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	int err = hyp_arm64_set_sr(vcpu->hyp, r->sys, val);

	hyp_arm64_state_changed(vcpu->hyp);
	return err;
}

static int get_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = vcpu->arch.sys_regs[r->slot];
	return 0;
}

static int set_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	write_slot(vcpu, r, val);
	return 0;
}

/* Only the lock bit can be changed. */
static int set_oslsr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	if ((val ^ r->val) & ~OSLSR_OSLK)
		return -EINVAL;
	write_oslsr(vcpu, val);
	return 0;
}

#define CLIDR_RES0 (~((1ull << 47) - 1))

static int set_clidr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	u64 ctr = kvm_id_reg_limit(vcpu->kvm, CTR_EL0);
	bool idc = !(val >> 24 & 7) || (!(val >> 21 & 7) && !(val >> 27 & 7));

	if (val & CLIDR_RES0 || (!(ctr & CTR_IDC) && idc))
		return -EINVAL;
	return set_slot(vcpu, r, val);
}

static int set_mpidr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	__atomic_store_n(&vcpu->arch.mpidr, val, __ATOMIC_RELAXED);
	return set_cpu(vcpu, r, val);
}

static int get_invariant(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = hyp_arm64_id_max(r->sys);
	return 0;
}

static int set_invariant(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	return val == hyp_arm64_id_max(r->sys) ? 0 : -EINVAL;
}

static bool no_ptrauth(struct kvm_vcpu *vcpu)
{
	return !vcpu_has_feature(vcpu, KVM_ARM_VCPU_PTRAUTH_ADDRESS);
}

const struct sys_reg_user user_cpu = { get_cpu, set_cpu, NULL };
const struct sys_reg_user user_slot = { get_slot, set_slot, NULL };
const struct sys_reg_user user_mpidr = { get_cpu, set_mpidr, NULL };
const struct sys_reg_user user_oslsr = { get_slot, set_oslsr, NULL };
const struct sys_reg_user user_clidr = { get_slot, set_clidr, NULL };
const struct sys_reg_user user_invariant = { get_invariant, set_invariant, NULL };
const struct sys_reg_user user_ptrauth = { get_cpu, set_cpu, no_ptrauth };

/* KVM_REG_ARM_DEMUX: CCSIDR_EL1 for each value of CSSELR_EL1. Its place, or -ENOENT. */
static int demux_index(u64 id)
{
	u64 csselr = id & KVM_REG_ARM_DEMUX_VAL_MASK;

	if (id & ~(KVM_REG_ARCH_MASK | KVM_REG_SIZE_MASK | KVM_REG_ARM_COPROC_MASK | 0xffffull))
		return -ENOENT;
	if ((id & KVM_REG_ARM_DEMUX_ID_MASK) != KVM_REG_ARM_DEMUX_ID_CCSIDR ||
	    KVM_REG_SIZE(id) != sizeof(u32))
		return -ENOENT;
	return csselr < CSSELR_MAX ? (int)csselr : -ENOENT;
}

static long demux_get(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	int i = demux_index(reg->id);
	u32 val;

	if (i < 0)
		return i;
	val = get_ccsidr(vcpu, (u32)i);
	return copy_to_client(reg->addr, &val, sizeof(val));
}

static long demux_set(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	int i = demux_index(reg->id);
	u32 val;

	if (i < 0)
		return i;
	return copy_from_client(&val, reg->addr, sizeof(val)) ? -EFAULT : set_ccsidr(vcpu, (u32)i, val);
}

#define SYSREG_ID_BITS \
	(KVM_REG_ARCH_MASK | KVM_REG_SIZE_MASK | KVM_REG_ARM_COPROC_MASK | 0xffffull)

/* The row behind an id, if this vCPU has the register. */
static const struct sys_reg_desc *user_reg(struct kvm_vcpu *vcpu, u64 id)
{
	const struct sys_reg_desc *r;

	if ((id & KVM_REG_ARM_COPROC_MASK) != KVM_REG_ARM64_SYSREG || id & ~SYSREG_ID_BITS ||
	    (id & KVM_REG_SIZE_MASK) != KVM_REG_SIZE_U64)
		return NULL;
	r = find_sys_reg(id & 0xffff);
	return r && r->user && !(r->user->hidden && r->user->hidden(vcpu)) ? r : NULL;
}

long kvm_arm_sys_reg_get_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	const struct sys_reg_desc *r;
	u64 val;
	int err;

	if ((reg->id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_DEMUX)
		return demux_get(vcpu, reg);
	r = user_reg(vcpu, reg->id);
	if (!r)
		return -ENOENT;
	err = r->user->get(vcpu, r, &val);
	return err ? err : copy_to_client(reg->addr, &val, sizeof(val));
}

long kvm_arm_sys_reg_set_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	const struct sys_reg_desc *r;
	u64 val;

	if ((reg->id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_DEMUX)
		return demux_set(vcpu, reg);
	if (copy_from_client(&val, reg->addr, sizeof(val)))
		return -EFAULT;
	r = user_reg(vcpu, reg->id);
	return r ? r->user->set(vcpu, r, val) : -ENOENT;
}

/* CCSIDRs of levels that CLIDR_EL1 knows. */
static bool cache_exists(u64 clidr, u32 csselr)
{
	u32 type = clidr >> (csselr >> 1) * 3 & 7;

	return csselr & 1 ? type == 1 || type == 3 : type >= 2;
}

void kvm_arm_copy_sys_reg_indices(struct kvm_vcpu *vcpu, struct reg_list_out *out)
{
	u64 clidr = vcpu->arch.sys_regs[KVM_SR_CLIDR];

	for (size_t i = 0; i < nr_sys_regs; i++) {
		u64 id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | sys_reg_table[i].sys;

		if (user_reg(vcpu, id))
			reg_list_put(out, id);
	}
	for (u32 i = 0; i < CSSELR_MAX; i++)
		if (cache_exists(clidr, i))
			reg_list_put(out, KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX |
						  KVM_REG_ARM_DEMUX_ID_CCSIDR | i);
}

/* ---- the exit, the table
 * ---------------------------------------------------------------------------------------- */

const struct sys_reg_desc *find_sys_reg(u32 sys)
{
	size_t lo = 0, hi = nr_sys_regs;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sys_reg_table[mid].sys == sys)
			return &sys_reg_table[mid];
		if (sys_reg_table[mid].sys < sys)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

int kvm_handle_sys_reg(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	struct sys_reg_params p = { .write = s->exit.sysreg.write };
	const struct sys_reg_desc *r = find_sys_reg(s->exit.sysreg.sys);
	u8 rt = s->exit.sysreg.rt;

	p.val = vcpu_get_reg(vcpu, rt);
	if (!r || !r->access || !r->access(vcpu, &p, r)) {
		kvm_inject_undefined(vcpu);
		return 1;
	}
	if (!p.write)
		vcpu_set_reg(vcpu, rt, p.val);
	hyp_arm64_skip(vcpu->hyp);
	return 1;
}

static const char *row_fault(const struct sys_reg_desc *r, const struct sys_reg_desc *prev)
{
	if (prev && prev->sys >= r->sys)
		return "system register table: not sorted, or a register twice";
	if (!r->access)
		return "system register table: a row without the guest's access";
	if (r->user && (!r->user->get || !r->user->set))
		return "system register table: a row with half of user space's access";
	if (r->user == &user_slot && !r->reset)
		return "system register table: a register that KVM holds is never reset";
	return NULL;
}

int kvm_sys_reg_table_init(const char **verdict, const char **remedy)
{
	for (size_t i = 0; i < nr_sys_regs; i++) {
		const char *fault = row_fault(&sys_reg_table[i], i ? &sys_reg_table[i - 1] : NULL);

		if (fault) {
			*verdict = fault;
			*remedy = "this is a fault of the build: report it";
			return -EINVAL;
		}
	}
	if (!hyp_arm64_id_max(MIDR_EL1)) {
		*verdict = "the software CPU has no identity (MIDR_EL1)";
		return -EINVAL;
	}
	return 0;
}
