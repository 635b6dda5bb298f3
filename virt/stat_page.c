/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters that another process can watch. They are not copied anywhere: the page they are counted in is a
 * memfd's, which `kuse stat` opens as /proc/PID/fd/N, for reading. So it costs the VM nothing to be watched,
 * nor not to be; no thread, no system call after KVM_CREATE_VM; and with the process the page is gone.
 *
 * The page says itself what is in it: how many counters, their names, where each vCPU's are.
 */
#include "virt/stat_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "virt/file.h"
#include "virt/sys.h"

#define MAX_COUNTERS 128u

struct kvm_stat_page {
	struct kuse_stat_page *map;
	size_t size;
	int fd;
	ino_t ino; /* of the memfd: the client may have closed the number */
	u32 slots; /* atomic: handed out */
};

_Static_assert(sizeof(struct kuse_stat_slot) == 16, "counters follow it");

/* ---- names ---- */

static void add_name(struct kuse_stat_page *page, const char *prefix, const char *name, const char *help)
{
	struct kuse_stat_name *n = (struct kuse_stat_name *)((u8 *)page + page->names) + page->n_counters;

	if (page->n_counters == MAX_COUNTERS)
		return;
	snprintf(n->name, sizeof(n->name), "%s%s", prefix, name);
	snprintf(n->help, sizeof(n->help), "%s", help);
	page->n_counters++;
}

/* In the order in which they lie in a slot: struct kvm_vcpu_stat, then the CPU's. */
static void add_names(struct kuse_stat_page *page, struct hyp_cpu *cpu)
{
	const struct hyp_stat_desc *desc;
	const u64 *values;
	size_t n = hyp_stats(cpu, &desc, &values);

#define STAT(name, help) add_name(page, "", #name, help);
#include "virt/vcpu_stats.inc"
#undef STAT
	for (unsigned i = 0; i < HYP_EXIT_NR; i++)
		add_name(page, "exit_", kvm_arch_exit_name(i), "exits of this kind");
	for (size_t i = 0; i < n; i++)
		add_name(page, "cpu_", desc[i].name, desc[i].help);
}

/* ---- the page ---- */

static size_t slot_size(void)
{
	return ALIGN_UP(sizeof(struct kuse_stat_slot) + MAX_COUNTERS * 8, 128);
}

static void write_head(struct kuse_stat_page *page)
{
	page->names = (u32)ALIGN_UP(sizeof(*page), 64);
	page->slots = (u32)ALIGN_UP(page->names + MAX_COUNTERS * sizeof(struct kuse_stat_name), PAGE_SIZE);
	page->slot_size = (u32)slot_size();
	page->started = kvm_clock_monotonic_ns();
	page->magic = KUSE_STAT_MAGIC;
}

int kvm_stat_page_create(struct kvm *kvm)
{
	struct kvm_stat_page *p = calloc(1, sizeof(*p));
	struct stat st;

	if (!p)
		return -ENOMEM;
	p->size = ALIGN_UP(sizeof(struct kuse_stat_page), 64) + MAX_COUNTERS * sizeof(struct kuse_stat_name);
	p->size = ALIGN_UP(p->size, PAGE_SIZE) + ALIGN_UP(KVM_MAX_VCPUS * slot_size(), PAGE_SIZE);
	p->fd = kvm_memfd(KUSE_STAT_NAME, p->size, true);
	p->map = MAP_FAILED;
	if (p->fd >= 0 && !fstat(p->fd, &st))
		p->map = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
	if (p->map == MAP_FAILED) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return 0;
	}
	p->ino = st.st_ino;
	write_head(p->map);
	kvm->stat_page = p;
	return 0;
}

void kvm_stat_page_destroy(struct kvm *kvm)
{
	struct kvm_stat_page *p = kvm->stat_page;
	struct stat st;

	if (!p)
		return;
	munmap(p->map, p->size);
	if (!fstat(p->fd, &st) && st.st_ino == p->ino)
		close(p->fd);
	free(p);
	kvm->stat_page = NULL;
}

/* ---- a vCPU's place ---- */

static struct kuse_stat_slot *new_slot(struct kvm *kvm)
{
	struct kvm_stat_page *p = kvm->stat_page;
	u32 i = p ? __atomic_fetch_add(&p->slots, 1, __ATOMIC_RELAXED) : KVM_MAX_VCPUS;

	return i < KVM_MAX_VCPUS ? (struct kuse_stat_slot *)((u8 *)p->map + p->map->slots + i * slot_size())
				 : NULL;
}

/* The names are told by the first vCPU: they depend on the engine. */
static void show(struct kvm_vcpu *vcpu, struct kuse_stat_slot *slot)
{
	struct kvm_stat_page *p = vcpu->kvm->stat_page;

	pthread_mutex_lock(&vcpu->kvm->lock);
	if (!p->map->n_counters)
		add_names(p->map, vcpu->hyp);
	pthread_mutex_unlock(&vcpu->kvm->lock);
	slot->id = (u32)vcpu->vcpu_id;
	__atomic_store_n(&slot->used, 1, __ATOMIC_RELEASE);
}

int kvm_stat_page_add(struct kvm_vcpu *vcpu)
{
	struct kuse_stat_slot *slot = new_slot(vcpu->kvm);

	if (!slot) {
		vcpu->stat = calloc(1, sizeof(*vcpu->stat));
		return vcpu->stat ? 0 : -ENOMEM;
	}
	vcpu->stat_slot = slot;
	vcpu->stat = (struct kvm_vcpu_stat *)(slot + 1);
	hyp_stats_move(vcpu->hyp, (u64 *)(vcpu->stat + 1));
	show(vcpu, slot);
	return 0;
}

/* The CPU is gone already, or never was given the slot. */
void kvm_stat_page_del(struct kvm_vcpu *vcpu)
{
	if (vcpu->stat_slot)
		__atomic_store_n(&vcpu->stat_slot->used, 0, __ATOMIC_RELEASE);
	else
		free(vcpu->stat);
}
