/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that execute CPUID to see whether the processor has VMX or SVM before they open /dev/kvm
 * (kvmtool on x86 does). On a host without, they would give up. Faulting CPUID (arch_prctl(ARCH_CPUID))
 * would be the way, but few hosts have it, virtual ones least. So the main program's CPUID instructions
 * are made to trap:
 *
 *	0f a2 cpuid   ->   cc a2      int3; the handler does what CPUID does, sets the one bit, goes on behind
 *
 * That is safe where one byte of an instruction is replaced, and nowhere else: only sites that insn.c
 * proves to be instructions are. Nothing moves, a site keeps its length, other threads see the old or the
 * new byte, and both work. Done once, before the main program runs; its text is written through a private
 * mapping.
 *
 * Not touched: libraries; the program's own checks through <cpuid.h> are inlined into it and thus found. A
 * host whose CPUID shows the extension; KUSE_CPUID=native. Where the text cannot be made writable, nothing
 * is done.
 */
#include "preload/preload.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include "preload/insn.h"
#include "virt/sys.h"

#define SITES_MAX 64
#define INT3 0xcc

static const uint8_t *sites[SITES_MAX];
static unsigned n_sites;
static struct sigaction next_trap;

static bool is_site(const uint8_t *p)
{
	for (unsigned i = 0; i < n_sites; i++)
		if (sites[i] == p)
			return true;
	return false;
}

/* Async-signal-safe. The trap is reported behind the one byte of int3. */
static void on_trap(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	unsigned int r[4];

	if (si->si_code <= 0 || !is_site((const uint8_t *)g[REG_RIP] - 1)) {
		next_trap.sa_sigaction(sig, si, ctx);
		return;
	}
	kuse_cpuid(r, (unsigned int)g[REG_RAX], (unsigned int)g[REG_RCX]);
	g[REG_RAX] = r[0];
	g[REG_RBX] = r[1];
	g[REG_RCX] = r[2];
	g[REG_RDX] = r[3];
	g[REG_RIP]++;
}

static void find_sites(const struct function_table *t)
{
	static const uint8_t cpuid[2] = { 0x0f, 0xa2 };
	const uint8_t *p = t->text;

	while (n_sites < SITES_MAX && (p = memmem(p, (size_t)(t->text_end - p), cpuid, sizeof(cpuid)))) {
		if (insn_is_proven(t, p))
			sites[n_sites++] = p;
		p++;
	}
}

/* True where the byte has been replaced. */
static bool patch(const uint8_t *site)
{
	uintptr_t page = (uintptr_t)site & ~4095ul;

	if (NEXT(syscall)(SYS_mprotect, page, 4096ul, PROT_READ | PROT_WRITE))
		return false;
	*(volatile uint8_t *)(uintptr_t)site = INT3;
	NEXT(syscall)(SYS_mprotect, page, 4096ul, PROT_READ | PROT_EXEC);
	return true;
}

static int main_program(struct dl_phdr_info *info, size_t size, void *data)
{
	struct function_table t = { 0 };

	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME &&
		    !function_table_init(&t, info->dlpi_addr + info->dlpi_phdr[i].p_vaddr))
			t.n = 0;
	for (unsigned i = 0; i < info->dlpi_phnum && t.n; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || ph->p_flags != (PF_R | PF_X))
			continue;
		t.text = (const uint8_t *)(info->dlpi_addr + ph->p_vaddr);
		t.text_end = t.text + ph->p_filesz;
		find_sites(&t);
	}
	return 1; /* the first object is the main program */
}

void preload_cpuid_init(void)
{
	struct sigaction act = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	const char *wish = getenv("KUSE_CPUID");
	unsigned n;

	if ((wish && !strcmp(wish, "native")) || !kuse_cpuid_hides_kvm())
		return;
	dl_iterate_phdr(main_program, NULL);
	if (!n_sites || __wrap_sigaction(SIGTRAP, &act, &next_trap))
		return;
	preload_open_faults_everywhere();
	for (n = 0; n < n_sites && patch(sites[n]);)
		n++;
	n_sites = n;
}
