/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, kicks and blocking: how one thread gets another vCPU's attention.
 *
 * The protocol is Linux's (Documentation/virt/kvm/vcpu-requests.rst). The requester sets the bit, then
 * looks at vcpu->mode; the vCPU sets mode = IN_GUEST_MODE, then looks at the requests. Both are
 * sequentially consistent, so at least one of them sees the other, and a request is never left pending
 * while translated code runs on.
 *
 * Blocking: vcpu->wait is a futex word. The vCPU stores KVM_WAIT_SLEEPS (KVM_WAIT_POLLS where it only looks
 * at the word, halt.c) and then checks every reason to be awake; a waker makes its reason visible and then
 * swaps in 0.
 */
#include "virt/futex.h"
#include "virt/kvm_arch.h"
#include "virt/kvm_host.h"

void kvm_make_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->requests, BIT_ULL(req), __ATOMIC_SEQ_CST);
}

bool kvm_request_pending(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST) != 0;
}

bool kvm_test_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & BIT_ULL(req);
}

void kvm_clear_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	__atomic_fetch_and(&vcpu->requests, ~BIT_ULL(req), __ATOMIC_RELAXED);
}

bool kvm_check_request(unsigned int req, struct kvm_vcpu *vcpu)
{
	if (!kvm_test_request(req, vcpu))
		return false;
	__atomic_fetch_and(&vcpu->requests, ~BIT_ULL(req), __ATOMIC_SEQ_CST);
	return true;
}

void kvm_make_all_cpus_request(struct kvm *kvm, unsigned int req)
{
	struct kvm_vcpu *vcpu;
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(req, vcpu);
		kvm_vcpu_kick(vcpu);
	}
}

bool kvm_vcpu_wake_up(struct kvm_vcpu *vcpu)
{
	u32 was = __atomic_exchange_n(&vcpu->wait, 0, __ATOMIC_SEQ_CST);

	if (was == KVM_WAIT_SLEEPS)
		futex_wake(&vcpu->wait);
	return was;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	u32 expected = IN_GUEST_MODE;

	if (kvm_vcpu_wake_up(vcpu))
		return;
	if (__atomic_compare_exchange_n(&vcpu->mode, &expected, EXITING_GUEST_MODE, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		hyp_cpu_kick(vcpu->hyp);
}

int kvm_vcpu_check_block(struct kvm_vcpu *vcpu)
{
	if (kvm_arch_vcpu_runnable(vcpu))
		return 1;
	if (__atomic_load_n(&vcpu->signal_pending, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_RELAXED))
		return -EINTR;
	return kvm_check_request(KVM_REQ_UNBLOCK, vcpu) || kvm_test_request(KVM_REQ_VM_DEAD, vcpu);
}

int kvm_vcpu_block(struct kvm_vcpu *vcpu)
{
	int ret;

	kvm_arch_vcpu_blocking(vcpu);
	for (;;) {
		__atomic_store_n(&vcpu->wait, KVM_WAIT_SLEEPS, __ATOMIC_SEQ_CST);
		ret = kvm_vcpu_check_block(vcpu);
		if (ret)
			break;
		ret = futex_wait_until(&vcpu->wait, KVM_WAIT_SLEEPS, FUTEX_NO_DEADLINE);
		if (ret == -EINTR)
			break;
		vcpu->stat->halt_wakeup++;
	}
	__atomic_store_n(&vcpu->wait, 0, __ATOMIC_SEQ_CST);
	return ret == -EINTR ? ret : 0;
}
