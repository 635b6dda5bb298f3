/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hyper-V interface as far as KVM offers it: registers, bits and structures of the Hypervisor Top-Level
 * Functional Specification (TLFS). The synthetic debugger's are not in the TLFS; KDNET and Linux know them.
 */
#ifndef KUSE_ARCH_X86_HYPERV_TLFS_H
#define KUSE_ARCH_X86_HYPERV_TLFS_H

#include "lib/types.h"

/* ---- CPUID leaves ---------------------------------------------------------------------------- */
#define HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS 0x40000000u
#define HYPERV_CPUID_INTERFACE 0x40000001u
#define HYPERV_CPUID_VERSION 0x40000002u
#define HYPERV_CPUID_FEATURES 0x40000003u
#define HYPERV_CPUID_ENLIGHTMENT_INFO 0x40000004u
#define HYPERV_CPUID_IMPLEMENT_LIMITS 0x40000005u
#define HYPERV_CPUID_NESTED_FEATURES 0x4000000au
#define HYPERV_CPUID_SYNDBG_VENDOR_AND_MAX_FUNCTIONS 0x40000080u
#define HYPERV_CPUID_SYNDBG_INTERFACE 0x40000081u
#define HYPERV_CPUID_SYNDBG_PLATFORM_CAPABILITIES 0x40000082u
#define HYPERV_CPUID_SIGNATURE_EAX 0x31237648u    /* "Hv#1" */
#define HYPERV_VS_INTERFACE_EAX_SIGNATURE 0x31235356u /* "VS#1" */

/* FEATURES.EAX: which registers the partition may use */
#define HV_MSR_VP_RUNTIME_AVAILABLE BIT(0)
#define HV_MSR_TIME_REF_COUNT_AVAILABLE BIT(1)
#define HV_MSR_SYNIC_AVAILABLE BIT(2)
#define HV_MSR_SYNTIMER_AVAILABLE BIT(3)
#define HV_MSR_APIC_ACCESS_AVAILABLE BIT(4)
#define HV_MSR_HYPERCALL_AVAILABLE BIT(5)
#define HV_MSR_VP_INDEX_AVAILABLE BIT(6)
#define HV_MSR_RESET_AVAILABLE BIT(7)
#define HV_MSR_REFERENCE_TSC_AVAILABLE BIT(9)
#define HV_ACCESS_FREQUENCY_MSRS BIT(11)
#define HV_ACCESS_REENLIGHTENMENT BIT(13)
#define HV_ACCESS_TSC_INVARIANT BIT(15)
/* FEATURES.EBX: which hypercalls */
#define HV_POST_MESSAGES BIT(4)
#define HV_SIGNAL_EVENTS BIT(5)
#define HV_DEBUGGING BIT(11)
#define HV_ENABLE_EXTENDED_HYPERCALLS BIT(20)
/* FEATURES.EDX: what else there is */
#define HV_X64_GUEST_DEBUGGING_AVAILABLE BIT(1)
#define HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE BIT(4)
#define HV_FEATURE_FREQUENCY_MSRS_AVAILABLE BIT(8)
#define HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE BIT(10)
#define HV_FEATURE_DEBUG_MSRS_AVAILABLE BIT(11)
#define HV_FEATURE_EXT_GVA_RANGES_FLUSH BIT(14)
#define HV_STIMER_DIRECT_MODE_AVAILABLE BIT(19)
/* ENLIGHTMENT_INFO.EAX: what the guest had better do */
#define HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED BIT(2)
#define HV_X64_APIC_ACCESS_RECOMMENDED BIT(3)
#define HV_X64_RELAXED_TIMING_RECOMMENDED BIT(5)
#define HV_DEPRECATING_AEOI_RECOMMENDED BIT(9)
#define HV_X64_CLUSTER_IPI_RECOMMENDED BIT(10)
#define HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED BIT(11)
#define HV_X64_NO_NONARCH_CORESHARING BIT(18)
/* NESTED_FEATURES */
#define HV_X64_NESTED_DIRECT_FLUSH BIT(17)
#define HV_X64_NESTED_MSR_BITMAP BIT(19)
#define HV_X64_NESTED_EVMCS1_PERF_GLOBAL_CTRL BIT(0)
/* SYNDBG_PLATFORM_CAPABILITIES.EAX */
#define HV_X64_SYNDBG_CAP_ALLOW_KERNEL_DEBUGGING BIT(1)

/* ---- MSRs -------------------------------------------------------------------------------------- */
#define HV_X64_MSR_GUEST_OS_ID 0x40000000u
#define HV_X64_MSR_HYPERCALL 0x40000001u
#define HV_X64_MSR_VP_INDEX 0x40000002u
#define HV_X64_MSR_RESET 0x40000003u
#define HV_X64_MSR_VP_RUNTIME 0x40000010u
#define HV_X64_MSR_TIME_REF_COUNT 0x40000020u
#define HV_X64_MSR_REFERENCE_TSC 0x40000021u
#define HV_X64_MSR_TSC_FREQUENCY 0x40000022u
#define HV_X64_MSR_APIC_FREQUENCY 0x40000023u
#define HV_X64_MSR_EOI 0x40000070u
#define HV_X64_MSR_ICR 0x40000071u
#define HV_X64_MSR_TPR 0x40000072u
#define HV_X64_MSR_VP_ASSIST_PAGE 0x40000073u
#define HV_X64_MSR_SCONTROL 0x40000080u
#define HV_X64_MSR_SVERSION 0x40000081u
#define HV_X64_MSR_SIEFP 0x40000082u
#define HV_X64_MSR_SIMP 0x40000083u
#define HV_X64_MSR_EOM 0x40000084u
#define HV_X64_MSR_SINT0 0x40000090u
#define HV_X64_MSR_SINT15 0x4000009fu
#define HV_X64_MSR_STIMER0_CONFIG 0x400000b0u
#define HV_X64_MSR_STIMER3_COUNT 0x400000b7u
#define HV_X64_MSR_SYNDBG_CONTROL 0x400000f1u
#define HV_X64_MSR_SYNDBG_STATUS 0x400000f2u
#define HV_X64_MSR_SYNDBG_SEND_BUFFER 0x400000f3u
#define HV_X64_MSR_SYNDBG_RECV_BUFFER 0x400000f4u
#define HV_X64_MSR_SYNDBG_PENDING_BUFFER 0x400000f5u
#define HV_X64_MSR_SYNDBG_OPTIONS 0x400000ffu
#define HV_X64_MSR_CRASH_P0 0x40000100u
#define HV_X64_MSR_CRASH_P4 0x40000104u
#define HV_X64_MSR_CRASH_CTL 0x40000105u
#define HV_X64_MSR_REENLIGHTENMENT_CONTROL 0x40000106u
#define HV_X64_MSR_TSC_EMULATION_CONTROL 0x40000107u
#define HV_X64_MSR_TSC_EMULATION_STATUS 0x40000108u
#define HV_X64_MSR_TSC_INVARIANT_CONTROL 0x40000118u

#define HV_MSR_PAGE_ENABLE BIT_ULL(0) /* HYPERCALL, REFERENCE_TSC, VP_ASSIST_PAGE, SIEFP, SIMP: with a page's address */
#define HV_CRASH_CTL_CRASH_NOTIFY BIT_ULL(63)
#define HV_EXPOSE_INVARIANT_TSC BIT_ULL(0)
#define HV_X64_SYNDBG_OPTION_USE_HCALLS BIT_ULL(2)
#define HV_CRASH_PARAMS 5

/* The page of HV_X64_MSR_REFERENCE_TSC: time in 100 ns = (TSC * scale >> 64) + offset; sequence 0: not
 * valid. */
struct hv_reference_tsc_page {
	u32 sequence;
	u32 reserved;
	u64 scale;
	u64 offset;
};
_Static_assert(sizeof(struct hv_reference_tsc_page) == 24, "TLFS 12.7");

/* ---- SynIC and synthetic timers ------------------------------------------------------------------- */
#define HV_SYNIC_SINT_COUNT 16
#define HV_SYNIC_VERSION_1 1
#define HV_SYNIC_FIRST_VALID_VECTOR 16
#define HV_SYNIC_CONTROL_ENABLE BIT_ULL(0)
#define HV_SYNIC_SINT_VECTOR_MASK 0xffull
#define HV_SYNIC_SINT_MASKED BIT_ULL(16)
#define HV_SYNIC_SINT_AUTO_EOI BIT_ULL(17)

#define HV_SYNIC_STIMER_COUNT 4
#define HV_STIMER_ENABLE BIT_ULL(0)
#define HV_STIMER_PERIODIC BIT_ULL(1)
#define HV_STIMER_LAZY BIT_ULL(2)
#define HV_STIMER_AUTO_ENABLE BIT_ULL(3)
#define HV_STIMER_APIC_VECTOR(config) ((config) >> 4 & 0xff)
#define HV_STIMER_DIRECT_MODE BIT_ULL(12)
#define HV_STIMER_SINTX(config) ((u32)((config) >> 16 & 0xf))

#define HV_MESSAGE_SIZE 256
#define HV_MESSAGE_PENDING BIT(0) /* in flags: another message waits, write EOM */
#define HVMSG_NONE 0u
#define HVMSG_TIMER_EXPIRED 0x80000010u

/* A slot of the message page: one per SINT, HV_MESSAGE_SIZE apart. */
struct hv_timer_message {
	u32 message_type;
	u8 payload_size;
	u8 message_flags;
	u8 reserved[2];
	u64 sender;
	u32 timer_index;
	u32 payload_reserved;
	u64 expiration_time;
	u64 delivery_time;
};
_Static_assert(sizeof(struct hv_timer_message) == 40, "TLFS 11.8: a header of 16 bytes, a payload of 24");

/* ---- hypercalls --------------------------------------------------------------------------------- */
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE 0x0002
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST 0x0003
#define HVCALL_NOTIFY_LONG_SPIN_WAIT 0x0008
#define HVCALL_SEND_IPI 0x000b
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX 0x0013
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX 0x0014
#define HVCALL_SEND_IPI_EX 0x0015
#define HVCALL_POST_MESSAGE 0x005c
#define HVCALL_SIGNAL_EVENT 0x005d
#define HVCALL_POST_DEBUG_DATA 0x0069
#define HVCALL_RETRIEVE_DEBUG_DATA 0x006a
#define HVCALL_RESET_DEBUG_SESSION 0x006b
#define HV_EXT_CALL_QUERY_CAPABILITIES 0x8001
#define HV_EXT_CALL_MAX (HV_EXT_CALL_QUERY_CAPABILITIES + 64) /* one for each bit of its answer */

/* The input value: bits of its fields. */
#define HV_HYPERCALL_CODE(v) ((u16)(v))
#define HV_HYPERCALL_FAST_BIT BIT_ULL(16)
#define HV_HYPERCALL_VARHEAD(v) ((u16)((v) >> 17 & 0x3ff))
#define HV_HYPERCALL_REP_COUNT(v) ((u16)((v) >> 32 & 0xfff))
#define HV_HYPERCALL_REP_START(v) ((u16)((v) >> 48 & 0xfff))
#define HV_HYPERCALL_REP_COMP_OFFSET 32 /* "reps completed" in the result */
#define HV_HYPERCALL_RSVD_MASK (GENMASK_ULL(31, 27) | GENMASK_ULL(47, 44) | GENMASK_ULL(63, 60))
#define HV_HYPERCALL_MAX_XMM_REGISTERS 6

#define HV_STATUS_SUCCESS 0
#define HV_STATUS_INVALID_HYPERCALL_CODE 2
#define HV_STATUS_INVALID_HYPERCALL_INPUT 3
#define HV_STATUS_INVALID_ALIGNMENT 4
#define HV_STATUS_INVALID_PARAMETER 5
#define HV_STATUS_ACCESS_DENIED 6
#define HV_STATUS_OPERATION_DENIED 8
#define HV_STATUS_INVALID_PORT_ID 17

#define HV_FLUSH_ALL_PROCESSORS BIT_ULL(0)
#define HV_GENERIC_SET_SPARSE_4K 0ull
#define HV_GENERIC_SET_ALL 1ull
#define HV_VCPUS_PER_SPARSE_BANK 64
#define HV_MAX_SPARSE_VCPU_BANKS 64
#define HV_IPI_LOW_VECTOR 0x10u
#define HV_IPI_HIGH_VECTOR 0xffu

/* A set of virtual processors: bank_contents (64 processors each) of the banks in valid_bank_mask follow. */
struct hv_vpset {
	u64 format; /* HV_GENERIC_SET_* */
	u64 valid_bank_mask;
};

struct hv_tlb_flush {
	u64 address_space;
	u64 flags;
	u64 processor_mask;
};

struct hv_tlb_flush_ex {
	u64 address_space;
	u64 flags;
	struct hv_vpset vp_set;
};

struct hv_send_ipi {
	u32 vector;
	u32 reserved;
	u64 cpu_mask;
};

struct hv_send_ipi_ex {
	u32 vector;
	u32 reserved;
	struct hv_vpset vp_set;
};

#endif
