/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_hyp_arm64 [--timeout S] [--engine E] [--cpus N] [--dirty] guest.bin
 *
 * Runs one of tests/guests_arm64 on bare hyp_cpus, without KVM: what the silicon alone must get right.
 * This file plays the hypervisor. All CPUs start at the first byte of the image, RAM_BASE, with x0 = their
 * number. Devices (tests/guests_arm64/machine.h has the addresses): a console, the end, this CPU's interrupt
 * lines, a register that remembers. --dirty: the first write to every page is logged and makes the CPU leave
 * before it, as a full dirty ring does; at the end every page that was written is in the log, once.
 *
 * Exit status: what the guest said; 119 the log is wrong, 120 bad use, 122 an exit that nobody asked for,
 * 123 out of time.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hyp/sys/arm64/state.h"
#include "tests/guests_arm64/machine.h"

static struct hyp_as *as;
static struct hyp_cpu *cpus[MAX_CPUS];
static unsigned n_cpus = 1;
static bool log_dirty;
static u8 dirty[RAM_SIZE >> PAGE_SHIFT];
static u8 *ram_hva;
static u64 scratch; /* DEV_SCRATCH */
static pthread_mutex_t big_lock = PTHREAD_MUTEX_INITIALIZER;

static bool mark_dirty(void *opaque, struct hyp_cpu *cpu, u32 region, gpa_t gpa)
{
	dirty[(gpa - RAM_BASE) >> PAGE_SHIFT]++;
	return true;
}

/* RAM behind the image was zero: a page that is not has been written, and is in the log exactly once. */
static bool log_is_right(size_t image)
{
	static const u8 zero[PAGE_SIZE];
	unsigned written = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirty); i++) {
		bool changed = i * PAGE_SIZE >= image && memcmp(ram_hva + i * PAGE_SIZE, zero, PAGE_SIZE);

		written += changed;
		if (dirty[i] > 1 || (changed && !dirty[i])) {
			printf("page %zu: written %d, logged %u times\n", i, changed, dirty[i]);
			return false;
		}
	}
	return written > 0;
}

static size_t image_size;

static _Noreturn void stop(int status)
{
	if (!status && log_dirty && !log_is_right(image_size))
		status = 119;
	fflush(stdout);
	_exit(status);
}

static _Noreturn void unexpected(const struct arm64_state *s, enum hyp_exit e)
{
	fflush(stdout);
	fprintf(stderr, "guest_hyp_arm64: exit %u at pc %llx pstate %x sp %llx esr %llx far %llx elr %llx", e,
		(unsigned long long)s->pc, s->pstate, (unsigned long long)s->x[31],
		(unsigned long long)s->sr[ARM64_SR_ESR_EL1], (unsigned long long)s->sr[ARM64_SR_FAR_EL1],
		(unsigned long long)s->sr[ARM64_SR_ELR_EL1]);
	if (e == HYP_EXIT_MMIO)
		fprintf(stderr, " gpa %llx esr %llx", (unsigned long long)s->exit.mmio.gpa,
			(unsigned long long)s->exit.mmio.esr);
	if (e == HYP_EXIT_INTERNAL)
		fprintf(stderr, " %s", s->exit.internal.what);
	fprintf(stderr, "\n");
	stop(122);
}

static u64 exit_data(const struct arm64_state *s)
{
	u64 v;

	memcpy(&v, s->exit.mmio.data, 8);
	return v;
}

static void device_write(struct arm64_state *s)
{
	u64 v = exit_data(s);

	switch (s->exit.mmio.gpa) {
	case DEV_CONSOLE: putchar((int)v); break;
	case DEV_EXIT: stop((int)v);
	case DEV_LINES:
		s->vi = v & LINE_IRQ;
		s->vf = v & LINE_FIQ;
		s->vse = v & LINE_SERROR;
		s->vsesr = v >> 32;
		break;
	case DEV_SCRATCH: scratch = v; break;
	default: unexpected(s, HYP_EXIT_MMIO);
	}
}

static void device_read(struct arm64_state *s)
{
	u64 v = s->exit.mmio.gpa == DEV_SCRATCH ? scratch : n_cpus;

	if (s->exit.mmio.gpa != DEV_SCRATCH && s->exit.mmio.gpa != DEV_CPUS)
		unexpected(s, HYP_EXIT_MMIO);
	memcpy(s->exit.mmio.data, &v, 8);
}

static void do_mmio(struct hyp_cpu *cpu, struct arm64_state *s)
{
	if (!s->exit.mmio.len) { /* KVM_EXIT_ARM_NISV: the guest asks for an external abort */
		hyp_arm64_inject_sync(cpu, NISV_ESR, s->exit.mmio.far);
		return;
	}
	pthread_mutex_lock(&big_lock);
	if (s->exit.mmio.write)
		device_write(s);
	else
		device_read(s);
	pthread_mutex_unlock(&big_lock);
	hyp_arm64_complete_mmio(cpu);
}

/* DBGBVR<n>, BCR, WVR, WCR are written to where the CPU looks. */
static bool write_debug(struct hyp_cpu *cpu, struct arm64_state *s)
{
	u64 *const bank[] = { s->dbg.bvr, s->dbg.bcr, s->dbg.wvr, s->dbg.wcr };
	u32 sys = s->exit.sysreg.sys, kind = (sys & 7) - 4;

	if (!s->exit.sysreg.write || sys >> 7 != ARM64_SYS(2, 0, 0, 0, 0) >> 7 || kind > 3)
		return false;
	bank[kind][sys >> 3 & 15] = s->exit.sysreg.rt == 31 ? 0 : s->x[s->exit.sysreg.rt];
	hyp_arm64_skip(cpu);
	hyp_arm64_state_changed(cpu);
	return true;
}

/* Of the ID registers and those the CPU does not hold: read what hyp offers, all else is UNDEFINED. */
static void do_sysreg(struct hyp_cpu *cpu, struct arm64_state *s)
{
	u64 v = hyp_arm64_id_max(s->exit.sysreg.sys);

	if (write_debug(cpu, s))
		return;
	if (s->exit.sysreg.write || (!v && s->exit.sysreg.sys >> 7 != ARM64_SYS(3, 0, 0, 0, 0) >> 7)) {
		hyp_arm64_inject_sync(cpu, 1u << 25, 0);
		return;
	}
	if (s->exit.sysreg.rt != 31)
		s->x[s->exit.sysreg.rt] = v;
	hyp_arm64_skip(cpu);
}

/* HVC: the answer is the immediate plus x0, so that guests see what came. SMC: -1. */
static void do_call(struct hyp_cpu *cpu, struct arm64_state *s, enum hyp_exit e)
{
	s->x[0] = e == HYP_EXIT_HVC ? s->x[0] + s->exit.call.imm : ~0ull;
	if (e == HYP_EXIT_SMC)
		hyp_arm64_skip(cpu);
}

static void dispatch(struct hyp_cpu *cpu, struct arm64_state *s, enum hyp_exit e)
{
	switch (e) {
	case HYP_EXIT_INTR: break;
	case HYP_EXIT_MMIO: do_mmio(cpu, s); break;
	case HYP_EXIT_SYSREG: do_sysreg(cpu, s); break;
	case HYP_EXIT_HVC:
	case HYP_EXIT_SMC: do_call(cpu, s, e); break;
	case HYP_EXIT_WFX: /* time passes, an interrupt comes */
		s->vi = true;
		hyp_arm64_skip(cpu);
		break;
	default: unexpected(s, e);
	}
}

static void *run_cpu(void *arg)
{
	struct hyp_cpu *cpu = arg;

	for (;;)
		dispatch(cpu, hyp_arm64_state(cpu), hyp_cpu_run(cpu));
	return NULL;
}

static void on_alarm(int sig)
{
	static const char text[] = "\nguest_hyp_arm64: out of time\n";

	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(124);
	if (getenv("GUEST_DEBUG"))
		unexpected(hyp_arm64_state(cpus[0]), HYP_EXIT_INTR);
	_exit(123);
}

static const char *parse(int argc, char **argv)
{
	static const struct option opt[] = { { "timeout", 1, 0, 't' }, { "engine", 1, 0, 'e' },
					     { "cpus", 1, 0, 'c' }, { "dirty", 0, 0, 'd' },
					     { 0 } };
	int k, seconds = 20;

	while ((k = getopt_long(argc, argv, "", opt, NULL)) != -1) {
		switch (k) {
		case 't': seconds = atoi(optarg); break;
		case 'e': setenv("KUSE_HYP_ENGINE", optarg, 1); break;
		case 'd': log_dirty = true; break;
		case 'c': n_cpus = (unsigned)atoi(optarg); break;
		default: exit(120);
		}
	}
	if (optind >= argc || !n_cpus || n_cpus > MAX_CPUS)
		exit(120);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	alarm((unsigned)seconds);
	return argv[optind];
}

static bool load(const char *path, u8 *ram)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(ram, 1, RAM_SIZE, f) : 0;

	if (f)
		fclose(f);
	image_size = n;
	return n > 0 && n < RAM_SIZE;
}

static bool make_cpu(unsigned i)
{
	struct arm64_state *s;

	cpus[i] = hyp_cpu_create(as, i);
	if (!cpus[i])
		return false;
	s = hyp_arm64_state(cpus[i]);
	s->pa_bits = IPA_BITS;
	s->hcr = ARM64_HCR_TWI | ARM64_HCR_TSC;
	s->pc = RAM_BASE;
	s->x[0] = i;
	hyp_arm64_set_sr(cpus[i], ARM64_SYS(3, 0, 0, 0, 5), 0x80000000 | i);
	hyp_arm64_state_changed(cpus[i]);
	return true;
}

int main(int argc, char **argv)
{
	static const struct hyp_as_ops ops = { .mark_dirty = mark_dirty };
	struct hyp_region ram = { .gpa = RAM_BASE, .size = RAM_SIZE }, rom = { .gpa = ROM_BASE, .size = PAGE_SIZE,
									       .flags = HYP_REGION_READONLY, .id = 1 };
	const char *path = parse(argc, argv);
	pthread_t thread;

	ram.hva = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ram.hva == MAP_FAILED || !load(path, ram.hva) || hyp_init() || !(as = hyp_as_create(&ops, NULL)))
		return 120;
	ram_hva = ram.hva;
	ram.flags = log_dirty ? HYP_REGION_LOG_DIRTY : 0;
	rom.hva = ram.hva + RAM_SIZE - PAGE_SIZE;
	if (hyp_as_replace(as, 0, NULL, &ram) || hyp_as_replace(as, 0, NULL, &rom))
		return 120;
	for (unsigned i = 0; i < n_cpus; i++)
		if (!make_cpu(i))
			return 120;
	for (unsigned i = 1; i < n_cpus; i++)
		pthread_create(&thread, NULL, run_cpu, cpus[i]);
	run_cpu(cpus[0]);
	return 0;
}
