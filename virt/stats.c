/* SPDX-License-Identifier: Apache-2.0 */
#include "virt/stats.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "virt/file.h"

#define NAME_SIZE 48
#define STATS_SIZE 4096
#define COUNTER (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define TIME_NS (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10) /* exponent: -9 */

struct stat_desc {
	const char *name;
	u32 offset; /* in struct kvm_vcpu_stat / kvm_vm_stat */
	bool ns;
};

static const struct stat_desc vcpu_stats[] = {
#define STAT(name, help) { #name, offsetof(struct kvm_vcpu_stat, name), false },
#define STAT_NS(name, help) { #name, offsetof(struct kvm_vcpu_stat, name), true },
#include "virt/vcpu_stats.inc"
#undef STAT
};
static const struct stat_desc vm_stats[] = {
	{ "memslot_updates", offsetof(struct kvm_vm_stat, memslot_updates), false },
};

struct wire_desc {
	struct kvm_stats_desc d;
	char name[NAME_SIZE];
} __attribute__((packed));

struct stats_source {
	const struct stat_desc *desc;
	u32 n;
	const void *values;
};

#define ID_OFFSET sizeof(struct kvm_stats_header)
#define DESC_OFFSET (ID_OFFSET + NAME_SIZE)

static u32 data_offset(u32 n)
{
	return (u32)ALIGN_UP(DESC_OFFSET + n * sizeof(struct wire_desc), 8);
}

static void write_values(u8 *map, const struct stats_source *src)
{
	u64 *out = (u64 *)(map + data_offset(src->n));

	for (u32 i = 0; i < src->n; i++)
		out[i] = *(const u64 *)((const u8 *)src->values + src->desc[i].offset);
}

static void write_layout(u8 *map, const char *id, const struct stats_source *src)
{
	struct kvm_stats_header *h = (void *)map;
	struct wire_desc *w = (void *)(map + DESC_OFFSET);

	*h = (struct kvm_stats_header){ .name_size = NAME_SIZE, .num_desc = src->n, .id_offset = ID_OFFSET,
					.desc_offset = DESC_OFFSET, .data_offset = data_offset(src->n) };
	snprintf((char *)map + ID_OFFSET, NAME_SIZE, "%s", id);
	for (u32 i = 0; i < src->n; i++) {
		w[i].d = (struct kvm_stats_desc){ .flags = src->desc[i].ns ? TIME_NS : COUNTER,
						  .exponent = src->desc[i].ns ? -9 : 0, .size = 1, .offset = i * 8 };
		snprintf(w[i].name, NAME_SIZE, "%s", src->desc[i].name);
	}
}

/* The map stays for later refreshes; *fd is the client's. */
static int stats_create(const char *id, const struct stats_source *src, u8 **map, int *fd)
{
	_Static_assert(DESC_OFFSET + 40 * sizeof(struct wire_desc) + 40 * 8 < STATS_SIZE,
		       "statistics fit one page");
	*fd = kvm_memfd("kvm-stats", data_offset(src->n) + src->n * 8, true);
	if (*fd < 0)
		return *fd;
	*map = mmap(NULL, STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (*map == MAP_FAILED) {
		*map = NULL;
		close(*fd);
		return -ENOMEM;
	}
	write_layout(*map, id, src);
	write_values(*map, src);
	return 0;
}

long kvm_vm_ioctl_get_stats_fd(struct kvm *kvm)
{
	struct stats_source src = { vm_stats, ARRAY_SIZE(vm_stats), &kvm->stat };
	char id[NAME_SIZE];
	u8 *map;
	int fd, err;

	snprintf(id, sizeof(id), "kvm-%d", (int)getpid());
	err = stats_create(id, &src, &map, &fd);
	if (err)
		return err;
	munmap(map, STATS_SIZE);
	return fd;
}

static struct stats_source vcpu_source(struct kvm_vcpu *vcpu)
{
	return (struct stats_source){ vcpu_stats, ARRAY_SIZE(vcpu_stats), vcpu->stat };
}

long kvm_vcpu_ioctl_get_stats_fd(struct kvm_vcpu *vcpu)
{
	struct stats_source src = vcpu_source(vcpu);
	char id[NAME_SIZE];
	int fd, err;

	kvm_vcpu_stats_free(vcpu);
	snprintf(id, sizeof(id), "kvm-%d/vcpu-%d", (int)getpid(), vcpu->vcpu_id);
	err = stats_create(id, &src, &vcpu->stats_map, &fd);
	return err ? err : fd;
}

void kvm_vcpu_stats_publish(struct kvm_vcpu *vcpu)
{
	struct stats_source src;

	if (!vcpu->stats_map)
		return;
	src = vcpu_source(vcpu);
	write_values(vcpu->stats_map, &src);
}

void kvm_vcpu_stats_free(struct kvm_vcpu *vcpu)
{
	if (vcpu->stats_map)
		munmap(vcpu->stats_map, STATS_SIZE);
	vcpu->stats_map = NULL;
}
