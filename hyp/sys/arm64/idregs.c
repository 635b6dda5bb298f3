/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ID registers: the largest value of every field that this engine executes (hyp_arm64_id_max). KVM makes of
 * it what a guest sees. A field that is not written here is 0: not there. DDI 0487, D17.2, has the encodings.
 */
#include "hyp/sys/arm64/state.h"

#define FIELD(value, shift) ((u64)(value) << (shift))

static const struct {
	u16 sys;
	u64 val;
} ids[] = {
	/* ID_AA64PFR0_EL1: EL0, EL1 AArch64 only; FP and AdvSIMD with half precision; DIT, CSV2, CSV3 */
	{ ARM64_SYS(3, 0, 0, 4, 0), FIELD(1, 0) | FIELD(1, 4) | FIELD(1, 16) | FIELD(1, 20) | FIELD(1, 48) | FIELD(1, 56) |
					    FIELD(1, 60) },
	/* ID_AA64PFR1_EL1: SSBS with MSR */
	{ ARM64_SYS(3, 0, 0, 4, 1), FIELD(2, 4) },
	/* ID_AA64DFR0_EL1: Armv8 debug, 6 breakpoints, 4 watchpoints, 2 context-aware */
	{ ARM64_SYS(3, 0, 0, 5, 0), FIELD(6, 0) | FIELD(5, 12) | FIELD(3, 20) | FIELD(1, 28) },
	/*
	 * ID_AA64ISAR0_EL1: AES with PMULL, SHA-1, SHA-256, SHA-512, CRC32, LSE, RDM, SHA-3, dot product, FlagM2,
	 * TLBI OS and range
	 */
	{ ARM64_SYS(3, 0, 0, 6, 0), FIELD(2, 4) | FIELD(1, 8) | FIELD(2, 12) | FIELD(1, 16) | FIELD(2, 20) | FIELD(1, 28) |
					    FIELD(1, 32) | FIELD(1, 44) | FIELD(2, 52) | FIELD(2, 56) },
	/* ID_AA64ISAR1_EL1: DC CVAP, FJCVTZS, LDAPR and LDAPUR, SB */
	{ ARM64_SYS(3, 0, 0, 6, 1), FIELD(1, 0) | FIELD(1, 12) | FIELD(2, 20) | FIELD(1, 36) },
	/* ID_AA64MMFR0_EL1: 48 bits PA, 16 bits ASID, little endian, all granules */
	{ ARM64_SYS(3, 0, 0, 7, 0), FIELD(5, 0) | FIELD(2, 4) | FIELD(1, 20) },
	/* ID_AA64MMFR1_EL1: HAFDBS, 16 bits VMID, HPDS, PAN3 */
	{ ARM64_SYS(3, 0, 0, 7, 1), FIELD(2, 0) | FIELD(2, 4) | FIELD(1, 12) | FIELD(3, 20) },
	/* ID_AA64MMFR2_EL1: CnP, UAO, TTL, E0PD */
	{ ARM64_SYS(3, 0, 0, 7, 2), FIELD(1, 0) | FIELD(1, 4) | FIELD(1, 48) | FIELD(1, 60) },
	/* MIDR_EL1: implementer 0 (software), architecture by ID registers */
	{ ARM64_SYS(3, 0, 0, 0, 0), 0x000f4b50 },
	/* CTR_EL0: DminLine 64 bytes, IminLine 4 KiB (IC works by page), PIPT, ERG and CWG 64 bytes, IDC */
	{ ARM64_SYS(3, 3, 0, 0, 1), FIELD(1, 31) | FIELD(1, 28) | FIELD(4, 24) | FIELD(4, 20) | FIELD(4, 16) |
					    FIELD(3, 14) | 10 },
	/* DCZID_EL0: 64 bytes */
	{ ARM64_SYS(3, 3, 0, 0, 7), 4 },
};

u64 hyp_arm64_id_max(u32 sys)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		if (ids[i].sys == sys)
			return ids[i].val;
	return 0;
}

unsigned hyp_arm64_ipa_bits(void)
{
	return 48; /* of hyp/mem */
}
