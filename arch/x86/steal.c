/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steal time and the "preempted" flag. KVM tells the guest how long its vCPU could have run but did not,
 * and whether it is out of the guest now. A guest with PV TLB flush does not interrupt a preempted vCPU
 * but sets KVM_VCPU_FLUSH_TLB in the flag; the flush is done before that vCPU runs again.
 *
 * Stolen time is the kernel's run delay of the thread, /proc/thread-self/schedstat: how long it was
 * runnable and did not run, inside KVM_RUN or not. Reading that costs some microseconds. So there are
 * three sieves: the TSC says whether it is time to look (STEAL_PERIOD, and RETURN_PERIOD for a vCPU that
 * comes back from user space), the clocks whether the thread was off its CPU for STEAL_MIN_NS meanwhile,
 * and schedstat how much of that it did not want. Nothing is lost in between, it is a sum. Without such a
 * file, time off the CPU within KVM_RUN counts.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "arch/x86/xen.h"

struct kvm_steal_time_page {
	u64 steal;
	u32 version, flags;
	u8 preempted;
	u8 u8_pad[3];
	u32 pad[11];
};
_Static_assert(sizeof(struct kvm_steal_time_page) == 64, "steal time ABI");

#define VCPU_PREEMPTED 1u
#define VCPU_FLUSH_TLB 2u
#define STEAL_PERIOD (1u << 26)  /* TSC cycles, some 20 ms */
#define RETURN_PERIOD (1u << 18) /* some 100 us */
#define STEAL_MIN_NS 100000
#define VALID_BITS (~63ull)

int kvm_set_steal_time_msr(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & ~(VALID_BITS | 1)) /* bits 5:1 are reserved */
		return 1;
	vcpu->arch.st.msr_val = data;
	vcpu->arch.st.preempted = false;
	if (data & 1)
		kvm_make_request(KVM_REQ_STEAL_UPDATE, vcpu);
	return 0;
}

/* Caller holds kvm->srcu for reading as long as it uses the page. */
static struct kvm_steal_time_page *steal_page(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->arch.st.msr_val & 1))
		return NULL;
	return (struct kvm_steal_time_page *)hyp_as_hva(vcpu->kvm->as, vcpu->arch.st.msr_val & VALID_BITS,
							true);
}

static void written(struct kvm_vcpu *vcpu)
{
	hyp_as_mark_written(vcpu->kvm->as, vcpu->arch.st.msr_val & VALID_BITS,
			    sizeof(struct kvm_steal_time_page));
}

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

/* Another thread than last time has a sum of its own. */
static u64 delay_since(struct kvm_vcpu *vcpu, u64 delay)
{
	u64 last = vcpu->arch.st.run_delay;
	bool same = vcpu->arch.st.thread == pthread_self();

	vcpu->arch.st.thread = pthread_self();
	vcpu->arch.st.run_delay = delay;
	return same && delay > last ? delay - last : 0;
}

/* Time since the last look in which the thread was not on a CPU. */
static u64 off_cpu_ns(struct kvm_vcpu *vcpu, u64 wall, u64 cpu)
{
	u64 passed = wall - vcpu->arch.st.wall_ns, used = cpu - vcpu->arch.st.cpu_ns;

	return vcpu->arch.st.thread == pthread_self() && passed > used ? passed - used : 0;
}

static u64 stolen_ns(struct kvm_vcpu *vcpu)
{
	u64 wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), delay;
	u64 off = off_cpu_ns(vcpu, wall, cpu);

	if (vcpu->arch.st.thread == pthread_self() && off < STEAL_MIN_NS)
		return 0;
	vcpu->arch.st.wall_ns = wall;
	vcpu->arch.st.cpu_ns = cpu;
	delay = kvm_run_delay_ns(vcpu);
	if (vcpu->sched_stat.tid)
		return delay_since(vcpu, delay);
	vcpu->arch.st.thread = pthread_self();
	return vcpu->arch.st.preempted ? 0 : off; /* in user space it may have slept */
}

/* The guest may see it running again; a flush that was left to us is made. */
static void clear_preempted(struct kvm_vcpu *vcpu, struct kvm_steal_time_page *st)
{
	if (__atomic_exchange_n(&st->preempted, 0, __ATOMIC_SEQ_CST) & VCPU_FLUSH_TLB)
		hyp_x86_flush_tlb(vcpu->hyp);
	vcpu->arch.st.preempted = false;
}

static void account(struct kvm_vcpu *vcpu, struct kvm_steal_time_page *st)
{
	st->version |= 1; /* odd while it changes */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	st->steal += vcpu->arch.st.owed;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	st->version++;
	vcpu->arch.st.owed = 0;
}

struct steal_access {
	struct kvm_vcpu *vcpu;
	void (*fn)(struct kvm_vcpu *vcpu, struct kvm_steal_time_page *st);
};

static int access_page(void *arg)
{
	struct steal_access *a = arg;
	struct kvm_steal_time_page *st = steal_page(a->vcpu);

	if (st) {
		a->fn(a->vcpu, st);
		written(a->vcpu);
	}
	return 0;
}

/* Where there is no memory, or the client has taken it away, nothing happens. */
static void with_steal_page(struct kvm_vcpu *vcpu,
			    void (*fn)(struct kvm_vcpu *, struct kvm_steal_time_page *))
{
	struct steal_access a = { vcpu, fn };
	int idx = srcu_read_lock(&vcpu->kvm->srcu);

	hyp_as_guarded(vcpu->kvm->as, access_page, &a);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
}

static void record(struct kvm_vcpu *vcpu, struct kvm_steal_time_page *st)
{
	clear_preempted(vcpu, st);
	account(vcpu, st);
}

/* Xen guests are told by their run states. */
void kvm_record_steal_time(struct kvm_vcpu *vcpu)
{
	if (kvm_xen_msr_enabled(vcpu->kvm)) {
		kvm_xen_update_runstate(vcpu, XEN_RUNSTATE_RUNNING);
		return;
	}
	vcpu->arch.st.owed += stolen_ns(vcpu);
	vcpu->arch.st.last_tsc = __rdtsc();
	with_steal_page(vcpu, record);
}

static void set_preempted(struct kvm_vcpu *vcpu, struct kvm_steal_time_page *st)
{
	vcpu->arch.st.preempted = true;
	__atomic_store_n(&st->preempted, VCPU_PREEMPTED, __ATOMIC_SEQ_CST);
}

/* Leaving the guest for long: asleep, or back in user space. */
void kvm_steal_time_set_preempted(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->arch.st.msr_val & 1) || vcpu->arch.st.preempted)
		return;
	with_steal_page(vcpu, set_preempted);
}

/* Before each entry. The clocks are looked at now and then only: one of them is a system call. */
void kvm_steal_time_tick(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->arch.st.msr_val & 1))
		return;
	if (__rdtsc() - vcpu->arch.st.last_tsc > (vcpu->arch.st.preempted ? RETURN_PERIOD : STEAL_PERIOD))
		kvm_record_steal_time(vcpu);
	else if (vcpu->arch.st.preempted)
		with_steal_page(vcpu, clear_preempted);
}
