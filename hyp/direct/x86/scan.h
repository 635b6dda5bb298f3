/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of guest user code may run directly (scan.c). */
#ifndef KUSE_HYP_DIRECT_X86_SCAN_H
#define KUSE_HYP_DIRECT_X86_SCAN_H

#include "lib/types.h"

/* The guest has CR4.FSGSBASE off: RDFSBASE and its like must fault there. */
#define SCAN_NO_FSGSBASE BIT(0)
/* The guest has CR4.OSXSAVE off, or another XCR0 than the host: XSAVE and its like would show it. */
#define SCAN_NO_XSAVE BIT(1)
/* In the stub RDTSC and RDTSCP fault (PR_SET_TSC), CPUID does (ARCH_SET_CPUID): no reason to refuse. */
#define SCAN_TSC_FAULTS BIT(2)
#define SCAN_CPUID_FAULTS BIT(3)
/* The guest's TSC is the host's: RDTSC may run as it is. */
#define SCAN_SAME_TSC BIT(4)

/*
 * May this page of 64-bit user code be mapped executable in the stub? False where an instruction seems to
 * begin in it that the host would execute with another result than the guest's CPU.
 *
 * prev, next: the pages at the neighbouring linear addresses, NULL where they are not known. Code of prev
 * is only looked at to tell what begins in the first bytes of this page, that of next to see how the last
 * instruction goes on. In doubt the page is refused: of the pages of real programs 0.2 % that need not be,
 * one per cent without prev, three without next. Takes a microsecond, and two to four for every place that
 * looks like such an instruction (every second page has one).
 */
#define HYP_SCAN_PATCHES 32
struct hyp_scan_patch {
	unsigned n;
	u16 at[HYP_SCAN_PATCHES]; /* offsets of 0F or CD */
};

/*
 * With patch: instructions that are ones beyond reasonable doubt do not make the page refused, but are
 * listed. A copy of the page that has UD2 (0F 0B) at each of these offsets may be mapped executable.
 */
bool hyp_scan_page_between(const u8 *prev, const u8 *page, const u8 *next, unsigned flags,
			   struct hyp_scan_patch *patch);

static inline bool hyp_scan_page(const u8 *page, unsigned flags)
{
	return hyp_scan_page_between(NULL, page, NULL, flags, NULL);
}

#endif
