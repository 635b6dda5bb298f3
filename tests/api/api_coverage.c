/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints docs/api-coverage.md: every ioctl and capability of Linux 6.12's KVM for x86, and what KUSE does
 * with it. Nothing is looked up in a list of claims: whether an ioctl exists is read from the tables that
 * the code itself dispatches by, and confirmed by calling it; what a capability says is what
 * KVM_CHECK_EXTENSION and KVM_ENABLE_CAP answer on fresh VMs. Only the reasons for what is absent are
 * written down (api.inc).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "uapi/kuse_kvm.h"
#include "virt/ioctl.h"
#include "virt/sys.h"

enum absence { NOTYET, OTHER_ARCH, OLD, NESTED, SEV, SGX, PMU, HARDWARE };

static const char *const absence_text[] = {
	[NOTYET] = "**not yet**",
	[OLD] = "refused: Linux 6.12 has only the name left and refuses it as well",
	[NESTED] = "refused, as with `nested=0`: nested virtualization is not offered",
	[SEV] = "refused, as on a host without SEV",
	[SGX] = "refused, as without CONFIG_X86_SGX_KVM",
	[PMU] = "refused, as with `enable_pmu=0`",
	[HARDWARE] = "refused, as on a host CPU without the feature",
};

struct api_ioctl {
	const char *name;
	unsigned int cmd;
	const char *levels;
	enum absence absence;
};

struct api_cap {
	const char *name;
	int cap;
	enum absence absence;
};

#define API_IOCTL(name, cmd, levels, absence) { #name, cmd, levels, absence },
#define API_CAP(name, nr, absence)
static const struct api_ioctl ioctls[] = {
#include "tests/api/api.inc"
};
#undef API_IOCTL
#undef API_CAP
#define API_IOCTL(name, cmd, levels, absence)
#define API_CAP(name, nr, absence) { #name, nr, absence },
static const struct api_cap caps[] = {
#include "tests/api/api.inc"
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What a reader should know besides "implemented". */
static const struct {
	const char *name, *text;
} notes[] = {
	{ "KVM_CREATE_DEVICE", "no device type exists: -ENODEV, as without CONFIG_KVM_VFIO" },
	{ "KVM_SET_NR_MMU_PAGES", "checked; there are no shadow pages to limit" },
	{ "KVM_CAP_X86_BUS_LOCK_EXIT", "enabling is checked and has no effect, as on a host CPU without the feature" },
	{ "KVM_CAP_VM_DISABLE_NX_HUGE_PAGES", "needs CAP_SYS_BOOT; there are no huge pages to split" },
};

static const char *note_on(const char *name)
{
	for (size_t i = 0; i < COUNT(notes); i++)
		if (!strcmp(notes[i].name, name))
			return notes[i].text;
	return "";
}

/* ---- asking the code ---------------------------------------------------------------------------------- */

extern const struct kvm_ioctl_table *const __start_kuse_ioctls[], *const __stop_kuse_ioctls[];

static bool has_row(char level, unsigned int cmd)
{
	for (const struct kvm_ioctl_table *const *t = __start_kuse_ioctls; t < __stop_kuse_ioctls; t++)
		if ((*t)->level == level && kvm_ioctl_find((*t)->rows, (*t)->n, cmd))
			return true;
	return false;
}

static int must(int ret, const char *what)
{
	if (ret < 0) {
		perror(what);
		exit(2);
	}
	return ret;
}

struct trial {
	int kvm, vm, vcpu;
};

static struct trial trial_up(bool irqchip, bool with_vcpu)
{
	struct trial t = { .kvm = must(kuse_open(0), "open"), .vcpu = -1 };

	t.vm = must(kuse_ioctl(t.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (irqchip)
		must(kuse_ioctl(t.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	if (with_vcpu)
		t.vcpu = must(kuse_ioctl(t.vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	return t;
}

static void trial_down(struct trial *t)
{
	if (t->vcpu >= 0)
		kuse_close(t->vcpu);
	kuse_close(t->vm);
	kuse_close(t->kvm);
}

/* A row may exist only to give a particular errno. */
static bool refuses(char level, unsigned int cmd)
{
	struct trial t = trial_up(true, true);
	int fd = level == 'D' ? t.kvm : level == 'V' ? t.vm : t.vcpu, ret, err;

	if (cmd == KVM_RUN || cmd == KVM_CREATE_VM) {
		trial_down(&t);
		return false;
	}
	errno = 0;
	ret = kuse_ioctl(fd, cmd, 1); /* a bad address, and a small number */
	err = errno;
	if (ret > 2 && (cmd == KVM_CREATE_VCPU || cmd == KVM_GET_STATS_FD))
		kuse_close(ret);
	trial_down(&t);
	return ret < 0 && err == ENOTTY;
}

static bool enables(const struct api_cap *c, bool vcpu, unsigned long arg, bool irqchip)
{
	struct trial t = trial_up(irqchip, vcpu);
	struct kvm_enable_cap cap = { .cap = (unsigned)c->cap, .args[0] = arg };
	int ret = kuse_ioctl(vcpu ? t.vcpu : t.vm, KVM_ENABLE_CAP, (unsigned long)&cap), err = errno;

	trial_down(&t);
	return !ret || err == EPERM;
}

static bool can_enable(const struct api_cap *c, bool vcpu)
{
	static const unsigned long args[] = { 0, 1, 4096 };

	for (size_t i = 0; i < COUNT(args); i++)
		if (enables(c, vcpu, args[i], false) || enables(c, vcpu, args[i], true))
			return true;
	return false;
}

/* ---- printing ---- */

static const char *level_name(char level)
{
	return level == 'D' ? "/dev/kvm" : level == 'V' ? "VM" : level == 'C' ? "vCPU" : "device";
}

static unsigned print_ioctl_level(const struct api_ioctl *api, char level)
{
	bool there = level != 'X' && has_row(level, api->cmd) && !refuses(level, api->cmd);

	if (level == 'X')
		printf("| `%s` | device | refused: no device type exists |\n", api->name);
	else if (there)
		printf("| `%s` | %s | implemented%s%s |\n", api->name, level_name(level),
		       *note_on(api->name) ? "; " : "", note_on(api->name));
	else
		printf("| `%s` | %s | %s |\n", api->name, level_name(level), absence_text[api->absence]);
	return there;
}

static void print_ioctls(void)
{
	unsigned there = 0, all = 0;

	printf("## Ioctls\n\n| ioctl | on | state |\n|---|---|---|\n");
	for (size_t i = 0; i < COUNT(ioctls); i++)
		for (const char *l = ioctls[i].levels; *l; l++, all++)
			there += print_ioctl_level(&ioctls[i], *l);
	printf("\n%u of %u implemented.\n\n", there, all);
}

/* Values that differ from host to host are not written into a document. */
static bool of_the_host(int cap)
{
	return cap == KVM_CAP_NR_VCPUS || cap == KVM_CAP_XSAVE2;
}

static unsigned print_cap(const struct api_cap *c, const struct trial *t)
{
	int value = kuse_ioctl(t->kvm, KVM_CHECK_EXTENSION, (unsigned long)c->cap);
	int on_vm = kuse_ioctl(t->vm, KVM_CHECK_EXTENSION, (unsigned long)c->cap);
	bool vm = can_enable(c, false), vcpu = can_enable(c, true);
	char text[64];

	snprintf(text, sizeof(text), of_the_host(c->cap) ? "of the host" : value > 9 ? "%#x" : "%d", value);
	if (on_vm != value)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " (VM: %d)", on_vm);
	printf("| `%s` | %s | %s | ", c->name, text,
	       vm && vcpu ? "VM, vCPU"
	       : vm       ? "VM"
	       : vcpu     ? "vCPU"
			  : "");
	printf("%s%s%s |\n", value ? "offered" : absence_text[c->absence], *note_on(c->name) ? "; " : "",
	       note_on(c->name));
	return value != 0;
}

static void print_caps(void)
{
	struct trial t = trial_up(false, false);
	unsigned there = 0, all = 0;

	printf("## Capabilities\n\n| capability | KVM_CHECK_EXTENSION | KVM_ENABLE_CAP | state |\n");
	printf("|---|---|---|---|\n");
	for (size_t i = 0; i < COUNT(caps); i++) {
		if (caps[i].absence == OTHER_ARCH)
			continue;
		there += print_cap(&caps[i], &t);
		all++;
	}
	printf("\n%u of %u offered.\n\n", there, all);
	trial_down(&t);
}

/* Numbers are shared by all architectures: none of theirs may be answered here. */
static int print_others(void)
{
	struct trial t = trial_up(false, false);
	unsigned n = 0, bad = 0;

	for (size_t i = 0; i < COUNT(caps); i++) {
		if (caps[i].absence != OTHER_ARCH)
			continue;
		n++;
		bad += kuse_ioctl(t.kvm, KVM_CHECK_EXTENSION, (unsigned long)caps[i].cap) != 0;
	}
	trial_down(&t);
	printf("## Other architectures\n\n%u capabilities belong to other architectures; ", n);
	printf("%u of them are answered with anything but 0.\n", bad);
	return bad != 0;
}

static const char preamble[] =
	"# Coverage of the KVM API\n\n"
	"Made by `tools/api-coverage --write` from what the code answers; a test fails when it is stale.\n"
	"The personality is Linux 6.12 on x86-64. What is refused is refused with the errno and the\n"
	"KVM_CHECK_EXTENSION answer that Linux gives under the condition named.\n\n";

int main(void)
{
	fputs(preamble, stdout);
	print_ioctls();
	print_caps();
	return print_others();
}
