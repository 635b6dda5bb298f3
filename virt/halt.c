/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Halting: what HLT and WFI come to. To sleep and to be woken costs two passes through the host's scheduler
 * and, where the host is a virtual machine itself, an interrupt between its processors: tens of microseconds,
 * as much as a disk needs for 4 KiB. So a vCPU that was woken soon the last times looks at its wake-up word
 * for a while before it sleeps (Documentation/virt/kvm/halt-polling.rst, whose rules and numbers hold here):
 *
 *	woken while polling                        the interval stays
 *	slept, and the halt was shorter than max   it grows: 10 us, doubled up to max
 *	the halt was longer than max               it is halved, and below 10 us given up
 *
 * So an idle guest, whose halts are long, does not poll at all. max is 200 us (arm64: 500), or what
 * KVM_CAP_HALT_POLL says; a guest that polls by itself turns it off (MSR_KVM_POLL_CONTROL).
 *
 * The kernel polls while no other task wants its CPU. That cannot be seen from here; so now and then the
 * poll yields, and gives up where the yield took long: somebody else has run. The next halts then sleep at
 * once, since who is woken comes before who yields: 16 of them, twice as many each time it happens again.
 * A client under seccomp may not know sched_yield: there nothing polls.
 */
#include <sched.h>
#include "virt/kvm_arch.h"
#include "virt/kvm_host.h"
#include "virt/sys.h"

#define GROW 2
#define GROW_START_NS 10000u
#define SHRINK 2
#define SPINS 32           /* between two looks at the clock: half a microsecond to two */
#define YIELD_LOST_NS 5000 /* a yield to nobody takes a tenth of that */
#define LOST_HALTS 16      /* that sleep at once when others have run */
#define LOST_MAX 6         /* doublings, if that goes on */

static bool confined; /* sched_yield may kill this process */

void kvm_set_max_halt_poll_ns(struct kvm *kvm, u32 ns)
{
	__atomic_store_n(&kvm->max_halt_poll_ns, ns, __ATOMIC_RELAXED);
}

static bool woken(struct kvm_vcpu *vcpu)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (__atomic_load_n(&vcpu->wait, __ATOMIC_ACQUIRE) != KVM_WAIT_POLLS)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void lost(struct kvm_vcpu *vcpu)
{
	vcpu->halt_poll_skip = LOST_HALTS << vcpu->halt_poll_lost;
	vcpu->halt_poll_lost += vcpu->halt_poll_lost < LOST_MAX;
}

/* True: woken. False: the time is up, or others want the CPU. */
static bool spin_until(struct kvm_vcpu *vcpu, u64 stop)
{
	u64 now, then;

	do {
		if (woken(vcpu))
			return true;
		now = kvm_clock_monotonic_ns();
		sched_yield();
		then = kvm_clock_monotonic_ns();
		if (then - now > YIELD_LOST_NS) {
			lost(vcpu);
			return false;
		}
		vcpu->halt_poll_lost = 0;
	} while (then < stop && !__atomic_load_n(&confined, __ATOMIC_RELAXED));
	return false;
}

/* As kvm_vcpu_check_block; 0: it has to sleep. */
static int poll_until(struct kvm_vcpu *vcpu, u64 stop)
{
	int ret;

	do {
		__atomic_store_n(&vcpu->wait, KVM_WAIT_POLLS, __ATOMIC_SEQ_CST);
		ret = kvm_vcpu_check_block(vcpu);
	} while (!ret && spin_until(vcpu, stop)); /* woken, but perhaps for nothing */
	__atomic_store_n(&vcpu->wait, 0, __ATOMIC_SEQ_CST);
	return ret;
}

bool kvm_set_confined(bool yes)
{
	return __atomic_exchange_n(&confined, yes, __ATOMIC_SEQ_CST);
}

/* Linux polls only where nothing else is to run. */
static bool may_poll(struct kvm_vcpu *vcpu)
{
	if (__atomic_load_n(&confined, __ATOMIC_RELAXED))
		return false;
	if (vcpu->halt_poll_skip) {
		vcpu->halt_poll_skip--;
		return false;
	}
	return vcpu->halt_poll_ns;
}

/* True: there is no need to sleep. */
static bool poll(struct kvm_vcpu *vcpu, u64 start, int *ret)
{
	struct kvm_vcpu_stat *stat = vcpu->stat;
	u64 ns;

	*ret = poll_until(vcpu, start + vcpu->halt_poll_ns);
	ns = kvm_clock_monotonic_ns() - start;
	stat->halt_attempted_poll++;
	if (*ret) {
		stat->halt_successful_poll++;
		stat->halt_poll_success_ns += ns;
	} else {
		stat->halt_poll_fail_ns += ns;
	}
	return *ret;
}

static u32 grown(u32 ns, u32 max)
{
	return MIN(MAX(ns * GROW, GROW_START_NS), max);
}

static u32 shrunk(u32 ns)
{
	return ns / SHRINK < GROW_START_NS ? 0 : ns / SHRINK;
}

static void adapt(struct kvm_vcpu *vcpu, u64 halt_ns, u32 max)
{
	if (halt_ns <= vcpu->halt_poll_ns)
		return;
	if (halt_ns > max)
		vcpu->halt_poll_ns = shrunk(vcpu->halt_poll_ns);
	else if (halt_ns < max)
		vcpu->halt_poll_ns = grown(vcpu->halt_poll_ns, max);
}

int kvm_vcpu_halt(struct kvm_vcpu *vcpu)
{
	u64 start = kvm_clock_monotonic_ns(), slept_at;
	u32 max = __atomic_load_n(&vcpu->kvm->max_halt_poll_ns, __ATOMIC_RELAXED);
	bool allowed = !kvm_arch_no_poll(vcpu);
	int ret = 0;

	vcpu->stat->halt_exits++;
	vcpu->halt_poll_ns = MIN(vcpu->halt_poll_ns, max);
	if (!allowed || !may_poll(vcpu) || !poll(vcpu, start, &ret)) {
		slept_at = kvm_clock_monotonic_ns();
		ret = kvm_vcpu_block(vcpu);
		vcpu->stat->halt_wait_ns += kvm_clock_monotonic_ns() - slept_at;
	}
	if (allowed)
		adapt(vcpu, kvm_clock_monotonic_ns() - start, max);
	return ret == -EINTR ? ret : 0;
}
