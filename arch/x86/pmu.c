/* SPDX-License-Identifier: Apache-2.0 */
/* No PMU is offered, as with Linux's enable_pmu=0. What is left then is the check of event filters. */
#include <stdlib.h>
#include "arch/x86/x86.h"

#define PMU_FILTER_MAX_EVENTS 300
#define PMU_FLAG_MASKED_EVENTS 1u
#define PMU_EVENT_SELECT_INTEL GENMASK_ULL(7, 0)
#define PMU_EVENT_SELECT_AMD (GENMASK_ULL(7, 0) | GENMASK_ULL(35, 32))
/* Of a masked entry: the mask and match of the unit mask, and the exclude bit. */
#define PMU_MASKED_ENTRY (GENMASK_ULL(63, 56) | GENMASK_ULL(15, 8) | BIT_ULL(55))

static long check_events(const u64 *events, u32 n, u32 flags)
{
	u64 known = PMU_MASKED_ENTRY |
		    (kvm_vendor_amd_host() ? PMU_EVENT_SELECT_AMD : PMU_EVENT_SELECT_INTEL);

	for (u32 i = 0; (flags & PMU_FLAG_MASKED_EVENTS) && i < n; i++)
		if (events[i] & ~known)
			return -EINVAL;
	return 0;
}

long kvm_vm_ioctl_set_pmu_event_filter(unsigned long arg)
{
	struct kvm_pmu_event_filter head;
	u64 *events;
	long ret;

	if (copy_from_client(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.action > KVM_PMU_EVENT_DENY || (head.flags & ~PMU_FLAG_MASKED_EVENTS))
		return -EINVAL;
	if (head.nevents > PMU_FILTER_MAX_EVENTS)
		return -E2BIG;
	events = malloc(PMU_FILTER_MAX_EVENTS * sizeof(*events));
	if (!events)
		return -ENOMEM;
	ret = copy_from_client(events, arg + sizeof(head), head.nevents * sizeof(*events));
	if (!ret)
		ret = check_events(events, head.nevents, head.flags);
	free(events);
	return ret;
}
