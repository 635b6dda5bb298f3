/* SPDX-License-Identifier: Apache-2.0 */
/* Hyper-V enlightenments: life, CPUID, KVM_HYPERV_EVENTFD. The map of the files is in hyperv.h. */
#include "arch/x86/hyperv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86/cpuid.h"

#define CONN_ID_MASK 0x00ffffffu

/* ---- life --------------------------------------------------------------------------------------- */

void kvm_hv_init_vm(struct kvm *kvm)
{
	pthread_mutex_init(&to_kvm_hv(kvm)->lock, NULL);
	list_init(&to_kvm_hv(kvm)->connections);
}

int kvm_hv_vcpu_init(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	if (hv)
		return 0;
	hv = calloc(1, sizeof(*hv));
	if (!hv)
		return -ENOMEM;
	hv->vcpu = vcpu;
	hv->vp_index = (u32)vcpu->vcpu_idx;
	kvm_hv_synic_init(&hv->synic);
	kvm_hv_stimers_init(hv);
	__atomic_store_n(&vcpu->arch.hyperv, hv, __ATOMIC_RELEASE);
	return 0;
}

void kvm_hv_vcpu_uninit(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	if (!hv)
		return;
	kvm_hv_stimers_free(hv);
	vcpu->arch.hyperv = NULL;
	free(hv);
}

/* ---- what the guest's CPUID allows ----------------------------------------------------------------- */

bool kvm_cpuid_has_hyperv(const struct kvm_cpuid_entry2 *entries, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (entries[i].function == HYPERV_CPUID_INTERFACE)
			return entries[i].eax == HYPERV_CPUID_SIGNATURE_EAX;
	return false;
}

static struct cpuid_regs leaf(struct kvm_vcpu *vcpu, u32 function)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid_entry(vcpu, function, 0);

	return e ? (struct cpuid_regs){ e->eax, e->ebx, e->ecx, e->edx } : (struct cpuid_regs){ 0 };
}

/* Whoever sets such a CPUID has made the kvm_vcpu_hv before. */
void kvm_hv_set_cpuid(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);
	struct cpuid_regs features, hints;

	vcpu->arch.hyperv_enabled = kvm_cpuid_has_hyperv(vcpu->arch.cpuid_entries,
							 (u32)vcpu->arch.cpuid_nent);
	if (!hv)
		return;
	memset(&hv->cpuid, 0, sizeof(hv->cpuid));
	if (!vcpu->arch.hyperv_enabled)
		return;
	features = leaf(vcpu, HYPERV_CPUID_FEATURES);
	hints = leaf(vcpu, HYPERV_CPUID_ENLIGHTMENT_INFO);
	hv->cpuid.features_eax = features.eax;
	hv->cpuid.features_ebx = features.ebx;
	hv->cpuid.features_edx = features.edx;
	hv->cpuid.enlightenments_eax = hints.eax;
	hv->cpuid.enlightenments_ebx = hints.ebx;
	hv->cpuid.syndbg_eax = leaf(vcpu, HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES).eax;
}

int kvm_hv_set_enforce_cpuid(struct kvm_vcpu *vcpu, bool enforce)
{
	int err = enforce ? kvm_hv_vcpu_init(vcpu) : 0;

	if (!err && to_hv_vcpu(vcpu))
		to_hv_vcpu(vcpu)->enforce_cpuid = enforce;
	return err;
}

bool kvm_hv_invtsc_suppressed(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = to_hv_vcpu(vcpu);

	if (!hv || !(hv->cpuid.features_eax & HV_ACCESS_TSC_INVARIANT))
		return false;
	return !(__atomic_load_n(&to_kvm_hv(vcpu->kvm)->invtsc_control, __ATOMIC_RELAXED) &
		 HV_EXPOSE_INVARIANT_TSC);
}

bool kvm_hv_syndbg_enabled(const struct kvm_vcpu_hv *hv)
{
	return hv->cpuid.syndbg_eax & HV_X64_SYNDBG_CAP_ALLOW_KERNEL_DEBUGGING;
}

/* ---- exits to user space ----------------------------------------------------------------------------- */

void kvm_hv_request_exit(struct kvm_vcpu_hv *hv, const struct kvm_hyperv_exit *exit)
{
	hv->exit = *exit;
	kvm_make_request(KVM_REQ_HV_EXIT, hv->vcpu);
}

/* What the debugger in user space has to say about a control register's write is what the guest reads as
 * status. */
static int complete_syndbg(struct kvm_vcpu *vcpu)
{
	struct kvm_hv *hv = to_kvm_hv(vcpu->kvm);

	if (vcpu->run->hyperv.u.syndbg.msr == HV_X64_MSR_SYNDBG_CONTROL) {
		pthread_mutex_lock(&hv->lock);
		hv->syndbg.status = vcpu->run->hyperv.u.syndbg.status;
		pthread_mutex_unlock(&hv->lock);
	}
	return 1;
}

int kvm_hv_leave(struct kvm_vcpu *vcpu)
{
	const struct kvm_hyperv_exit *exit = &to_hv_vcpu(vcpu)->exit;

	return kvm_exit_hyperv(vcpu, exit, exit->type == KVM_EXIT_HYPERV_SYNDBG ? complete_syndbg : NULL);
}

/* ---- KVM_GET_SUPPORTED_HV_CPUID ------------------------------------------------------------------------ */

/* Bits that are offered only where the vCPU (or the system: any vCPU may) has an in-kernel LAPIC. */
#define FEATURES_EAX                                                                                         \
	(HV_MSR_VP_RUNTIME_AVAILABLE | HV_MSR_TIME_REF_COUNT_AVAILABLE | HV_MSR_SYNIC_AVAILABLE |            \
	 HV_MSR_SYNTIMER_AVAILABLE | HV_MSR_APIC_ACCESS_AVAILABLE | HV_MSR_HYPERCALL_AVAILABLE |             \
	 HV_MSR_VP_INDEX_AVAILABLE | HV_MSR_RESET_AVAILABLE | HV_MSR_REFERENCE_TSC_AVAILABLE |               \
	 HV_ACCESS_FREQUENCY_MSRS | HV_ACCESS_REENLIGHTENMENT | HV_ACCESS_TSC_INVARIANT)
#define FEATURES_EBX (HV_POST_MESSAGES | HV_SIGNAL_EVENTS | HV_DEBUGGING | HV_ENABLE_EXTENDED_HYPERCALLS)
#define FEATURES_EDX                                                                                         \
	(HV_X64_GUEST_DEBUGGING_AVAILABLE | HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE |                           \
	 HV_FEATURE_FREQUENCY_MSRS_AVAILABLE | HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE |                        \
	 HV_FEATURE_DEBUG_MSRS_AVAILABLE | HV_FEATURE_EXT_GVA_RANGES_FLUSH)
#define FEATURES_EDX_LAPIC HV_STIMER_DIRECT_MODE_AVAILABLE
#define HINTS_EAX                                                                                            \
	(HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_APIC_ACCESS_RECOMMENDED |                              \
	 HV_X64_RELAXED_TIMING_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED)
#define HINTS_EAX_LAPIC HV_X64_CLUSTER_IPI_RECOMMENDED
#define SPINLOCK_RETRIES 0xfff          /* Hyper-V 2016's */
#define VERSION_BUILD 0x3839            /* 14393: Hyper-V 2016 */
#define VERSION_MAJOR_MINOR 0x000a0000u /* 10.0 */
#define MAX_LOGICAL_PROCESSORS 64       /* Hyper-V 2016's */

static struct kvm_cpuid_entry2 signature_leaf(u32 function, u32 max_leaf)
{
	struct kvm_cpuid_entry2 e = { .function = function, .eax = max_leaf };

	memcpy(&e.ebx, "Linux KVM Hv", 12); /* EBX ECX EDX: our personality's */
	return e;
}

/* Linux: cpu_smt_possible. Where the host does not tell, it may be. */
static bool smt_possible(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/smt/control", "re");
	char line[32] = "";

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
	}
	return strcmp(line, "notsupported\n") && strcmp(line, "forceoff\n");
}

int kvm_ioctl_get_supported_hv_cpuid(struct kvm_vcpu *vcpu, unsigned long arg)
{
	bool lapic = !vcpu || lapic_in_kernel(vcpu);
	const struct kvm_cpuid_entry2 leaves[] = {
		signature_leaf(HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS, HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES),
		{ .function = HYPERV_CPUID_INTERFACE, .eax = HYPERV_CPUID_SIGNATURE_EAX },
		{ .function = HYPERV_CPUID_VERSION, .eax = VERSION_BUILD, .ebx = VERSION_MAJOR_MINOR },
		{ .function = HYPERV_CPUID_FEATURES, .eax = FEATURES_EAX, .ebx = FEATURES_EBX,
		  .edx = FEATURES_EDX | (lapic ? FEATURES_EDX_LAPIC : 0) },
		{ .function = HYPERV_CPUID_ENLIGHTMENT_INFO, .ebx = SPINLOCK_RETRIES,
		  .eax = HINTS_EAX | (lapic ? HINTS_EAX_LAPIC : 0) | (smt_possible() ? 0 : HV_X64_NO_NONARCH_CORESHARING) },
		{ .function = HYPERV_CPUID_IMPLEMENT_LIMITS, .eax = KVM_MAX_VCPUS, .ebx = MAX_LOGICAL_PROCESSORS },
		signature_leaf(HYPERV_CPUID_SYNDBG_VENDOR_AND_MAX_FUNCTIONS, 0),
		{ .function = HYPERV_CPUID_SYNDBG_INTERFACE, .eax = HYPERV_VS_INTERFACE_EAX_SIGNATURE },
		{ .function = HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES, .eax = HV_X64_SYNDBG_CAP_ALLOW_KERNEL_DEBUGGING },
		/* Of use to nested guests only; Linux says it whether there is nesting or not. */
		{ .function = HYPERV_CPUID_NESTED_FEATURES, .eax = HV_X64_NESTED_DIRECT_FLUSH | HV_X64_NESTED_MSR_BITMAP,
		  .ebx = HV_X64_NESTED_EVMCS1_PERF_GLOBAL_CTRL },
	};
	struct kvm_cpuid2 head;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent < ARRAY_SIZE(leaves))
		return -E2BIG;
	head.nent = ARRAY_SIZE(leaves);
	if (copy_to_client(arg + sizeof(head), leaves, sizeof(leaves)))
		return -EFAULT;
	return copy_to_client(arg, &head, sizeof(head));
}

/* ---- KVM_HYPERV_EVENTFD: connections that HvSignalEvent signals without user space ---- */

struct connection {
	struct list_head link; /* kvm_hv.connections; kvm_hv.lock */
	u32 id;
	struct kvm_eventfd eventfd;
};

/* kvm_hv.lock held. */
static struct connection *find_connection(struct kvm_hv *hv, u32 id)
{
	struct connection *c;

	list_for_each_entry(c, &hv->connections, link)
		if (c->id == id)
			return c;
	return NULL;
}

static void free_connection(struct connection *c)
{
	kvm_eventfd_put(&c->eventfd);
	free(c);
}

static int assign(struct kvm_hv *hv, u32 id, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	int err = c ? kvm_eventfd_get(&c->eventfd, fd) : -ENOMEM;

	if (err) {
		free(c);
		return err;
	}
	c->id = id;
	pthread_mutex_lock(&hv->lock);
	if (find_connection(hv, id))
		err = -EEXIST;
	else
		list_add(&c->link, &hv->connections);
	pthread_mutex_unlock(&hv->lock);
	if (err)
		free_connection(c);
	return err;
}

static int deassign(struct kvm_hv *hv, u32 id)
{
	struct connection *c;

	pthread_mutex_lock(&hv->lock);
	c = find_connection(hv, id);
	if (c)
		list_del(&c->link);
	pthread_mutex_unlock(&hv->lock);
	if (!c)
		return -ENOENT;
	free_connection(c);
	return 0;
}

int kvm_vm_ioctl_hv_eventfd(struct kvm *kvm, const struct kvm_hyperv_eventfd *args)
{
	if ((args->flags & ~(u32)KVM_HYPERV_EVENTFD_DEASSIGN) || (args->conn_id & ~CONN_ID_MASK))
		return -EINVAL;
	if (args->flags & KVM_HYPERV_EVENTFD_DEASSIGN)
		return deassign(to_kvm_hv(kvm), args->conn_id);
	return assign(to_kvm_hv(kvm), args->conn_id, args->fd);
}

bool kvm_hv_signal_connection(struct kvm *kvm, u32 conn_id)
{
	struct kvm_hv *hv = to_kvm_hv(kvm);
	struct connection *c;

	pthread_mutex_lock(&hv->lock);
	c = find_connection(hv, conn_id);
	if (c)
		kvm_eventfd_signal(&c->eventfd);
	pthread_mutex_unlock(&hv->lock);
	return c != NULL;
}

void kvm_hv_destroy_vm(struct kvm *kvm)
{
	struct kvm_hv *hv = to_kvm_hv(kvm);
	struct connection *c, *next;

	list_for_each_entry_safe(c, next, &hv->connections, link)
		free_connection(c);
	pthread_mutex_destroy(&hv->lock);
}
