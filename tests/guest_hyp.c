/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_hyp [--expect-shutdown] [--timeout S] [--engine E] [--max COUNTER=N]... [--min COUNTER=N]...
 *           guest.elf
 *
 * Runs one of tests/guests on a bare hyp_cpu, without KVM: what the silicon alone must get right. This
 * file plays the hypervisor: serial port, debug exit, the MSRs that are only registers, CPUID of
 * the host with what hyp needs to know about it. No interrupt controllers: guests that need them run
 * under guest_run. Exit status as there; 119 where a counter of hyp/stats.inc is above its
 * maximum or below its minimum.
 */
#include <cpuid.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/direct/x86/stub.h"
#include "hyp/hyp.h"
#include "hyp/sys/x86/state.h"
#include "tests/guest_elf.h"

#define RAM_SIZE (64ul << 20)

static bool expect_shutdown;
static struct limit {
	const char *name; /* up to '=' */
	u64 value;
	bool least; /* it is the minimum */
} limits[8];
static unsigned n_limits;
static struct hyp_cpu *cpu;
static struct x86_state *s;

static u64 counter(const struct limit *m)
{
	const struct hyp_stat_desc *desc;
	const u64 *values;
	size_t n = hyp_stats(cpu, &desc, &values);

	for (size_t i = 0; i < n; i++)
		if (!strncmp(desc[i].name, m->name, strlen(desc[i].name)) &&
		    m->name[strlen(desc[i].name)] == '=')
			return values[i];
	return m->least ? 0 : ~0ull;
}

static bool within_limits(void)
{
	bool good = true;

	for (unsigned i = 0; i < n_limits; i++) {
		u64 v = counter(&limits[i]);

		if (limits[i].least ? v >= limits[i].value : v <= limits[i].value)
			continue;
		printf("%s than %s: %llu\n", limits[i].least ? "less" : "more", limits[i].name,
		       (unsigned long long)v);
		good = false;
	}
	return good;
}

static void add_limit(const char *arg, bool least)
{
	const char *eq = strchr(arg, '=');

	if (!eq || n_limits == ARRAY_SIZE(limits))
		exit(120);
	limits[n_limits++] = (struct limit){ arg, strtoull(eq + 1, NULL, 0), least };
}

static _Noreturn void stop(int status)
{
	if (!status && !within_limits())
		status = 119;
	fflush(stdout);
	_exit(status);
}

/* ---- registers ---------------------------------------------------------------------------------- */

/* What the host has, but for what guests get nowhere: PKRU, AMX, CET (and MPX). */
static u64 host_xcr0(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo & 0xe7;
}

/* Bytes of the standard XSAVE image of these components. */
static u32 xsave_size(u64 xcr0)
{
	u32 a, b, c, d, size = 576;

	for (u32 i = 2; i < 8; i++) {
		__cpuid_count(0xd, i, a, b, c, d);
		if (xcr0 >> i & 1)
			size = MAX(size, a + b);
	}
	return size;
}

static void set_features(void)
{
	s->cr0_valid = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |
		       X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG;
	s->cr4_valid = 0x7ff | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE |
		       X86_CR4_SMEP | X86_CR4_SMAP;
	s->efer_valid = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
	s->xcr0_valid = host_xcr0();
	s->xcr0 = 1;
	s->maxphyaddr = 40;
	s->maxlinaddr = 48;
	s->is_amd = true;
	s->has_rdtscp = s->has_rdpid = s->has_invpcid = s->has_gbpages = s->has_umip = s->has_erms = true;
}

/* PVH */
static void set_registers(u32 entry)
{
	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct x86_seg){ 0, 0xffffffff, 0xc093, 0x18 };
	s->seg[X86_CS] = (struct x86_seg){ 0, 0xffffffff, 0xc09b, 0x10 };
	s->seg[X86_TR] = (struct x86_seg){ 0, 0x67, 0x8b, 0 };
	s->seg[X86_LDTR] = (struct x86_seg){ 0, 0, X86_AR_UNUSABLE, 0 };
	s->cr0 = X86_CR0_PE | X86_CR0_ET;
	s->rip = entry;
	s->rflags = 2;
	s->gpr[X86_RBX] = 0x6000;
	hyp_x86_state_changed(cpu);
}

/* ---- exits ------------------------------------------------------------------------------------------- */

static void do_cpuid(void)
{
	u32 leaf = (u32)s->gpr[X86_RAX], a = 0, b = 0, c = 0, d = 0;

	if (leaf < 0x40000000 || leaf >= 0x80000000)
		__cpuid_count(leaf, (u32)s->gpr[X86_RCX], a, b, c, d);
	if (leaf == 1) {
		b &= 0xffffff;
		c = (c & ~(1u << 27 | 1u << 24 | 1u << 21)) | (s->cr4 & X86_CR4_OSXSAVE ? 1u << 27 : 0) |
		    1u << 31;
	}
	if (leaf == 0xd && !(u32)s->gpr[X86_RCX]) {
		a = (u32)s->xcr0_valid, d = 0;
		b = xsave_size(s->xcr0), c = xsave_size(s->xcr0_valid);
	}
	s->gpr[X86_RAX] = a;
	s->gpr[X86_RBX] = b;
	s->gpr[X86_RCX] = c;
	s->gpr[X86_RDX] = d;
	hyp_x86_skip(cpu);
}

static u64 *msr_slot(u32 msr)
{
	switch (msr) {
	case 0xc0000080: return &s->efer;
	case 0xc0000081: return &s->star;
	case 0xc0000082: return &s->lstar;
	case 0xc0000083: return &s->cstar;
	case 0xc0000084: return &s->sfmask;
	case 0xc0000100: return &s->seg[X86_FS].base;
	case 0xc0000101: return &s->seg[X86_GS].base;
	case 0xc0000102: return &s->kernel_gs_base;
	case 0xc0000103: return &s->tsc_aux;
	case 0x174: return &s->sysenter_cs;
	case 0x175: return &s->sysenter_esp;
	case 0x176: return &s->sysenter_eip;
	default: return NULL;
	}
}

static bool canonical(u64 v)
{
	return (u64)((s64)(v << 16) >> 16) == v;
}

static bool write_refused(u32 msr, u64 v)
{
	if (msr == 0xc0000080)
		return (v & ~s->efer_valid) || ((v ^ s->efer) & X86_EFER_LME && s->cr0 & X86_CR0_PG);
	return msr >= 0xc0000100 && msr <= 0xc0000102 && !canonical(v);
}

static void do_msr(bool write)
{
	u32 msr = (u32)s->gpr[X86_RCX];
	u64 *slot = msr_slot(msr), v = (u32)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32;

	if (!slot || (write && write_refused(msr, v))) {
		hyp_x86_queue_exception(cpu, X86_GP, true, 0);
		return;
	}
	if (write) {
		*slot = msr == 0xc0000080 ? (v & ~(u64)X86_EFER_LMA) | (s->efer & X86_EFER_LMA) : v;
		hyp_x86_state_changed(cpu);
	} else {
		s->gpr[X86_RAX] = (u32)*slot;
		s->gpr[X86_RDX] = *slot >> 32;
	}
	hyp_x86_skip(cpu);
}

static void do_io(void)
{
	if (s->exit.io.in) {
		s->exit.io.data = s->exit.io.port == 0x3fd ? 0x60 : ~0u;
		memset(s->ins_data, 0xff, sizeof(s->ins_data));
		hyp_x86_complete_io(cpu);
		return;
	}
	if (s->exit.io.port == 0x3f8)
		putchar((u8)s->exit.io.data);
	if (s->exit.io.port == 0xf4)
		stop(expect_shutdown ? 121 : (int)s->exit.io.data);
}

static bool xcr0_ok(u64 v)
{
	const u64 avx512 = v & 0xe0;

	return v & 1 && !(v & ~s->xcr0_valid) && (!(v & 4) || v & 2) &&
	       (!avx512 || (avx512 == 0xe0 && v & 4));
}

static void do_xsetbv(void)
{
	u64 v = (u32)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32;

	if ((u32)s->gpr[X86_RCX] || !xcr0_ok(v)) {
		hyp_x86_queue_exception(cpu, X86_GP, true, 0);
		return;
	}
	s->xcr0 = v;
	hyp_x86_state_changed(cpu);
	hyp_x86_skip(cpu);
}

static _Noreturn void unexpected(enum hyp_exit e)
{
	if (e == HYP_EXIT_SHUTDOWN && expect_shutdown)
		stop(0);
	fflush(stdout);
	fprintf(stderr, "guest_hyp: exit %u at rip %llx cs %x rsp %llx cr2 %llx", e,
		(unsigned long long)s->rip, s->seg[X86_CS].sel, (unsigned long long)s->gpr[X86_RSP],
		(unsigned long long)s->cr2);
	if (e == HYP_EXIT_EMULATION)
		for (unsigned i = 0; i < s->exit.emulation.len; i++)
			fprintf(stderr, " %02x", s->exit.emulation.bytes[i]);
	if (e == HYP_EXIT_INTERNAL)
		fprintf(stderr, " %s", s->exit.internal.what);
	fprintf(stderr, "\n");
	stop(122);
}

static void dispatch(enum hyp_exit e)
{
	switch (e) {
	case HYP_EXIT_INTR:
		break;
	case HYP_EXIT_IO:
		do_io();
		break;
	case HYP_EXIT_MMIO:
		if (!s->exit.mmio.write) {
			memset(s->exit.mmio.data, 0xff, 8);
			hyp_x86_complete_mmio(cpu);
		}
		break;
	case HYP_EXIT_CPUID:
		do_cpuid();
		break;
	case HYP_EXIT_RDMSR:
	case HYP_EXIT_WRMSR:
		do_msr(e == HYP_EXIT_WRMSR);
		break;
	case HYP_EXIT_XSETBV:
		do_xsetbv();
		break;
	case HYP_EXIT_CR8:
		break;
	default:
		unexpected(e);
	}
}

static void on_alarm(int sig)
{
	static const char text[] = "\nguest_hyp: out of time\n";

	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(124);
	_exit(123);
}

static const char *parse(int argc, char **argv)
{
	static const struct option opt[] = { { "expect-shutdown", 0, 0, 'x' }, { "timeout", 1, 0, 't' },
					     { "engine", 1, 0, 'e' }, { "max", 1, 0, 'm' },
					     { "min", 1, 0, 'l' },	{ 0 } };
	int k, seconds = 20;

	while ((k = getopt_long(argc, argv, "", opt, NULL)) != -1) {
		switch (k) {
		case 'x': expect_shutdown = true; break;
		case 't': seconds = atoi(optarg); break;
		case 'e': setenv("KUSE_HYP_ENGINE", optarg, 1); break;
		case 'm': add_limit(optarg, false); break;
		case 'l': add_limit(optarg, true); break;
		default: exit(120);
		}
	}
	if (optind >= argc)
		exit(120);
	signal(SIGALRM, on_alarm);
	alarm(seconds);
	return argv[optind];
}

/* Where the host cannot run user code directly, a guest that is to show that it does shows nothing. */
static void need_direct(void)
{
	const char *engine = getenv("KUSE_HYP_ENGINE");
	struct hyp_stub *stub;

	if (!engine || strcmp(engine, "direct"))
		return;
	stub = hyp_stub_create();
	if (!stub) {
		printf("SKIP: no direct execution on this host: %s\n", strerror(errno));
		exit(77);
	}
	hyp_stub_destroy(stub);
}

int main(int argc, char **argv)
{
	static const struct hyp_as_ops ops;
	struct hyp_region ram = { .size = RAM_SIZE };
	const char *path = parse(argc, argv);
	struct hyp_as *as;

	need_direct();
	ram.hva = guest_ram(RAM_SIZE);
	if (hyp_init() || !(as = hyp_as_create(&ops, NULL)) || hyp_as_replace(as, 0, NULL, &ram))
		return 120;
	cpu = hyp_cpu_create(as, 0);
	if (!cpu)
		return 120;
	s = hyp_x86_state(cpu);
	set_features();
	set_registers(guest_elf_load(path, ram.hva, RAM_SIZE));
	for (;;)
		dispatch(hyp_cpu_run(cpu));
}
