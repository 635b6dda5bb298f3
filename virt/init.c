/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up of KVM: runs the architecture's table of named steps (Linux's module_init chain) in order,
 * undoes them in reverse on failure, and keeps a report of what happened for kuse doctor.
 *
 * KUSE_FAIL_INIT=<step> makes that step fail with -EIO: tests walk the whole table with it.
 */
#include "virt/init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "virt/process.h"
#include "virt/sys.h"
#include "virt/trace.h"
#include "virt/uaccess.h"

#define INIT_STEPS_MAX 48
#define STEP_NOT_REACHED 1

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned init_users;
static struct kuse_init_step report[INIT_STEPS_MAX];
static size_t nr_report;
static bool device_visible;

static void report_reset(void)
{
	nr_report = MIN(kvm_arch_nr_init_steps, (size_t)INIT_STEPS_MAX);
	for (size_t i = 0; i < nr_report; i++)
		report[i] = (struct kuse_init_step){ .name = kvm_arch_init_steps[i].name, .error = STEP_NOT_REACHED,
						     .verdict = "not reached" };
}

static int run_step(const struct kvm_init_step *step, struct kuse_init_step *out)
{
	const char *inject = getenv("KUSE_FAIL_INIT");
	u64 start = kvm_clock_monotonic_ns();

	out->verdict = "ok";
	out->remedy = NULL;
	if (inject && !strcmp(inject, step->name)) {
		out->error = -EIO;
		out->verdict = "failure injected by KUSE_FAIL_INIT";
		out->remedy = "unset KUSE_FAIL_INIT";
	} else {
		out->error = step->init(&out->verdict, &out->remedy);
	}
	out->ns = kvm_clock_monotonic_ns() - start;
	kvm_trace(KVM_TRACE_INIT, "init", { "step", 0, step->name }, { "error", (u64)-out->error, NULL },
		  { "ns", out->ns, NULL });
	return out->error;
}

static void unwind(size_t done)
{
	while (done--)
		if (kvm_arch_init_steps[done].exit)
			kvm_arch_init_steps[done].exit();
}

static int run_chain(void)
{
	report_reset();
	for (size_t i = 0; i < nr_report; i++) {
		int err = run_step(&kvm_arch_init_steps[i], &report[i]);

		if (err) {
			unwind(i);
			return err;
		}
	}
	return 0;
}

void kvm_init_before_fork(void)
{
	pthread_mutex_lock(&init_lock);
}

void kvm_init_after_fork(void)
{
	pthread_mutex_unlock(&init_lock);
}

int kuse_init(void)
{
	int err = 0;

	pthread_mutex_lock(&init_lock);
	if (!init_users)
		err = kvm_process_init();
	if (!init_users && !err)
		err = run_chain();
	if (!err)
		init_users = 1;
	pthread_mutex_unlock(&init_lock);
	return err;
}

void kuse_exit(void)
{
	pthread_mutex_lock(&init_lock);
	if (init_users) {
		init_users = 0;
		unwind(nr_report);
	}
	pthread_mutex_unlock(&init_lock);
}

size_t kuse_init_report(const struct kuse_init_step **steps)
{
	pthread_mutex_lock(&init_lock);
	if (!nr_report)
		report_reset();
	pthread_mutex_unlock(&init_lock);
	*steps = report;
	return nr_report;
}

/* ---- generic steps --------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int error;
	const char *verdict;
} modes_refused[] = {
	{ "none", -ENODEV, "mode none: KVM was switched off by KUSE_MODE" },
	{ "nvhe", -EOPNOTSUPP, "mode nvhe: KVM and its CPU in a process of their own: not yet" },
	{ "protected", -EOPNOTSUPP, "mode protected: nvhe with memory the client does not see: not yet" },
	{ "nested", -EOPNOTSUPP, "mode nested: guests that have EL2: not yet" },
};

/* Linux: early_kvm_mode_cfg / kvm_get_mode. */
int kvm_mode_check(const char **verdict, const char **remedy)
{
	const char *mode = getenv("KUSE_MODE");

	if (!mode || !*mode || !strcmp(mode, "vhe")) {
		*verdict = "vhe: KVM and its CPU live in the client's process";
		return 0;
	}
	*remedy = "unset KUSE_MODE, or set it to vhe";
	for (size_t i = 0; i < ARRAY_SIZE(modes_refused); i++) {
		if (!strcmp(mode, modes_refused[i].name)) {
			*verdict = modes_refused[i].verdict;
			return modes_refused[i].error;
		}
	}
	*verdict = "KUSE_MODE names no mode (none, vhe, nvhe, protected, nested)";
	return -EINVAL;
}

int kvm_hyp_available(const char **verdict, const char **remedy)
{
	struct hyp_host_report r = { 0 };
	int err = hyp_host_check(&r);

	if (err) {
		*verdict = r.what;
		*remedy = r.remedy;
	}
	return err;
}

int kvm_hyp_enable(const char **verdict, const char **remedy)
{
	int err = hyp_init();

	if (err)
		*verdict = "the software CPU could not be started";
	return err;
}

void kvm_hyp_disable(void)
{
	hyp_exit();
}

int kvm_uaccess_setup(const char **verdict, const char **remedy)
{
	int err = uaccess_init();

	if (err)
		*verdict = "no handler for faults on client memory could be installed";
	return err;
}

void kvm_uaccess_teardown(void)
{
	uaccess_exit();
}

int kvm_vcpu_cache_init(const char **verdict, const char **remedy)
{
	void *p = NULL;

	/* What the cache guarantees on Linux: alignment of the FPU state, and memory at all. */
	if (posix_memalign(&p, _Alignof(struct kvm_vcpu), sizeof(struct kvm_vcpu))) {
		*verdict = "no memory for a vCPU";
		*remedy = "free memory or raise the memory limit";
		return -ENOMEM;
	}
	free(p);
	return 0;
}

int kvm_kick_mask_init(const char **verdict, const char **remedy)
{
	*verdict = "kicks are bits in each vCPU's attention word";
	return 0;
}

int kvm_irqfd_init(const char **verdict, const char **remedy)
{
	*verdict = "one poll thread per VM, started with its first irqfd";
	return 0;
}

int kvm_async_pf_init(const char **verdict, const char **remedy)
{
	*verdict = "asynchronous page faults are not offered: the host pages guest RAM in place";
	return 0;
}

int kvm_ops_init(const char **verdict, const char **remedy)
{
	return 0;
}

int kvm_vfio_ops_init(const char **verdict, const char **remedy)
{
	*verdict = "VFIO devices are not offered";
	return 0;
}

int kvm_dev_register(const char **verdict, const char **remedy)
{
	__atomic_store_n(&device_visible, true, __ATOMIC_RELEASE);
	*verdict = "/dev/kvm is visible to the client";
	return 0;
}

void kvm_dev_deregister(void)
{
	__atomic_store_n(&device_visible, false, __ATOMIC_RELEASE);
}

bool kvm_dev_visible(void)
{
	return __atomic_load_n(&device_visible, __ATOMIC_ACQUIRE);
}
