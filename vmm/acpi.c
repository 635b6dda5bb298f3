/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables (ACPI 6.4, chapter 5): enough for a guest to find its CPUs and interrupt controllers
 * (MADT), to power off and reset (FADT, \_S5), and to find the devices (DSDT, one node per row of
 * device_types that has one). They lie at 0xe0000, where a BIOS would have them.
 */
#include "vmm/acpi.h"

#include <string.h>

#include "vmm/aml.h"
#include "vmm/boot.h"
#include "vmm/hw/power.h"

#define TABLE_ALIGN 64u

struct __attribute__((packed)) acpi_header {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem_id[6], oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
};

struct __attribute__((packed)) acpi_rsdp {
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum, reserved[3];
};

struct __attribute__((packed)) acpi_gas {
	u8 space, bits, offset, access;
	u64 address;
};

struct __attribute__((packed)) acpi_fadt {
	struct acpi_header head;
	u32 facs, dsdt;
	u8 reserved0, profile;
	u16 sci;
	u32 smi_command;
	u8 acpi_enable, acpi_disable, s4bios, pstate;
	u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	u8 pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len, gpe0_len, gpe1_len, gpe1_base, cst;
	u16 c2_latency, c3_latency, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alarm, month_alarm, century;
	u16 boot_arch;
	u8 reserved1;
	u32 flags;
	struct acpi_gas reset_register;
	u8 reset_value;
	u16 arm_boot_arch;
	u8 minor;
	u64 x_facs, x_dsdt;
	struct acpi_gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer;
	struct acpi_gas x_gpe0, x_gpe1, sleep_control, sleep_status;
	u64 hypervisor;
};

struct __attribute__((packed)) acpi_facs {
	char signature[4];
	u32 length, hardware_signature, waking_vector, global_lock, flags;
	u64 x_waking_vector;
	u8 version, reserved[31];
};

_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4, table 5.4");
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.4, table 5.3");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.4, table 5.9");
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 6.4, table 5.12");

enum { GAS_SYSTEM_IO = 1 };
#define BOOT_ARCH_LEGACY 0x0001u /* there are ISA devices; bit 1, the 8042, stays clear */
#define BOOT_ARCH_NO_VGA 0x0004u
#define BOOT_ARCH_NO_ASPM 0x0010u
#define FADT_WBINVD 0x0001u
#define FADT_C1 0x0004u
#define FADT_NO_FIXED_POWER_BUTTON 0x0010u
#define FADT_NO_FIXED_SLEEP_BUTTON 0x0020u
#define FADT_NO_FIXED_RTC_WAKE 0x0040u
#define FADT_RESET_REGISTER 0x0400u
#define MADT_PCAT 1u

struct tables {
	u8 *buf;
	size_t len, max;
	gpa_t base;
	bool overflow;
};

/* Room for a table, zeroed; NULL when there is none. */
static void *table_new(struct tables *t, size_t size)
{
	size_t at = ALIGN_UP(t->len, (size_t)TABLE_ALIGN);

	if (at > t->max || size > t->max - at) {
		t->overflow = true;
		return NULL;
	}
	memset(t->buf + t->len, 0, at + size - t->len);
	t->len = at + size;
	return t->buf + at;
}

static gpa_t table_gpa(const struct tables *t, const void *table)
{
	return t->base + ((const u8 *)table - t->buf);
}

static u8 checksum(const void *data, size_t len)
{
	const u8 *p = data;
	u8 sum = 0;

	while (len-- > 0)
		sum += *p++;
	return -sum;
}

static void table_seal(struct acpi_header *head, const char *signature, u32 length, u8 revision)
{
	memcpy(head->signature, signature, 4);
	head->length = length;
	head->revision = revision;
	memcpy(head->oem_id, "KUSE  ", 6);
	memcpy(head->oem_table_id, "KUSEVM  ", 8);
	head->oem_revision = 1;
	memcpy(head->creator_id, "KUSE", 4);
	head->creator_revision = 1;
	head->checksum = 0;
	head->checksum = checksum(head, length);
}

static void dsdt_body(struct aml *aml)
{
	static const u8 s5[] = {POWER_SLP_TYP_S5, 0, 0, 0};
	size_t scope;

	aml_name_package(aml, "_S5", s5, sizeof(s5));
	scope = aml_scope(aml, "_SB");
	for (u32 i = 0; device_types[i]; i++)
		if (device_types[i]->aml)
			device_types[i]->aml(aml);
	aml_end(aml, scope);
}

static gpa_t build_dsdt(struct tables *t)
{
	struct acpi_header *head = table_new(t, sizeof(*head));
	struct aml aml;

	if (!head)
		return 0;
	aml = (struct aml){.buf = (u8 *)(head + 1), .max = t->max - t->len};
	dsdt_body(&aml);
	t->overflow |= aml.overflow;
	t->len += aml.len;
	table_seal(head, "DSDT", sizeof(*head) + aml.len, 2);
	return table_gpa(t, head);
}

static gpa_t build_facs(struct tables *t)
{
	struct acpi_facs *facs = table_new(t, sizeof(*facs));

	if (!facs)
		return 0;
	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return table_gpa(t, facs);
}

static struct acpi_gas io_register(u64 port, u8 bits)
{
	return (struct acpi_gas){
		.space = GAS_SYSTEM_IO,
		.bits = bits,
		.access = bits > 16 ? 3 : bits / 8,
		.address = port,
	};
}

static void fadt_power(struct acpi_fadt *fadt)
{
	fadt->sci = POWER_SCI;
	fadt->pm1a_event = POWER_PM1A_EVENT;
	fadt->pm1_event_len = 4;
	fadt->x_pm1a_event = io_register(POWER_PM1A_EVENT, 32);
	fadt->pm1a_control = POWER_PM1A_CONTROL;
	fadt->pm1_control_len = 2;
	fadt->x_pm1a_control = io_register(POWER_PM1A_CONTROL, 16);
	fadt->reset_register = io_register(POWER_RESET, 8);
	fadt->reset_value = POWER_RESET_VALUE;
}

static gpa_t build_fadt(struct tables *t, gpa_t facs, gpa_t dsdt)
{
	struct acpi_fadt *fadt = table_new(t, sizeof(*fadt));

	if (!fadt)
		return 0;
	fadt->facs = facs;
	fadt->dsdt = dsdt;
	fadt->x_dsdt = dsdt;
	fadt->c2_latency = 0xffff; /* no C2, no C3 */
	fadt->c3_latency = 0xffff;
	fadt->century = 0x32;
	fadt->boot_arch = BOOT_ARCH_LEGACY | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM;
	fadt->flags = FADT_WBINVD | FADT_C1 | FADT_NO_FIXED_POWER_BUTTON | FADT_NO_FIXED_SLEEP_BUTTON |
		      FADT_NO_FIXED_RTC_WAKE | FADT_RESET_REGISTER;
	fadt->minor = 4;
	memcpy(&fadt->hypervisor, "KUSE", 4);
	fadt_power(fadt);
	table_seal(&fadt->head, "FACP", sizeof(*fadt), 6);
	return table_gpa(t, fadt);
}

static void madt_put(struct tables *t, const void *entry, u8 len)
{
	if (len > t->max - t->len) {
		t->overflow = true;
		return;
	}
	memcpy(t->buf + t->len, entry, len);
	t->len += len;
}

static void madt_override(struct tables *t, u8 irq, u8 gsi, u8 flags)
{
	const u8 entry[10] = {2, 10, 0, irq, gsi, 0, 0, 0, flags, 0};

	madt_put(t, entry, sizeof(entry));
}

/* Above APIC id 254 the x2APIC form is needed. */
static void madt_cpu(struct tables *t, u32 id)
{
	const u8 lapic[8] = {0, 8, id, id, 1};
	const u8 x2apic[16] = {
		9, 16, 0, 0, id, id >> 8, id >> 16, id >> 24, 1, 0, 0, 0, id, id >> 8, id >> 16, id >> 24,
	};

	if (id < 255)
		madt_put(t, lapic, sizeof(lapic));
	else
		madt_put(t, x2apic, sizeof(x2apic));
}

static gpa_t build_madt(struct tables *t, u32 cpus, bool irq_override)
{
	static const u32 common[2] = {GPA_LAPIC, MADT_PCAT};
	static const u8 ioapic[12] = {1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0};
	static const u8 nmi[6] = {4, 6, 0xff, 0, 0, 1}; /* LINT1 of every CPU */
	struct acpi_header *head = table_new(t, sizeof(*head));

	if (!head)
		return 0;
	madt_put(t, common, sizeof(common));
	for (u32 id = 0; id < cpus; id++)
		madt_cpu(t, id);
	madt_put(t, ioapic, sizeof(ioapic));
	if (irq_override)
		madt_override(t, 0, 2, 0);
	madt_override(t, POWER_SCI, POWER_SCI, 0xd); /* level, active high */
	madt_put(t, nmi, sizeof(nmi));
	table_seal(head, "APIC", t->buf + t->len - (u8 *)head, 4);
	return table_gpa(t, head);
}

static gpa_t build_xsdt(struct tables *t, gpa_t fadt, gpa_t madt)
{
	const u64 entries[2] = {fadt, madt};
	struct acpi_header *head = table_new(t, sizeof(*head) + sizeof(entries));

	if (!head)
		return 0;
	memcpy(head + 1, entries, sizeof(entries));
	table_seal(head, "XSDT", sizeof(*head) + sizeof(entries), 1);
	return table_gpa(t, head);
}

size_t acpi_build(u8 *buf, size_t max, gpa_t base, u32 cpus, bool irq_override)
{
	struct tables t = {.buf = buf, .max = max, .base = base};
	struct acpi_rsdp *rsdp = table_new(&t, sizeof(*rsdp));
	gpa_t dsdt = build_dsdt(&t), facs = build_facs(&t);
	gpa_t fadt = build_fadt(&t, facs, dsdt), madt = build_madt(&t, cpus, irq_override);

	if (!rsdp)
		return 0;
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "KUSE  ", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = build_xsdt(&t, fadt, madt);
	rsdp->checksum = checksum(rsdp, 20);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	return t.overflow ? 0 : t.len;
}

int firmware_init(struct vm *vm)
{
	u8 *at = memory_at(vm, BOOT_ACPI, BOOT_ACPI_END - BOOT_ACPI);

	if (!at)
		return vm_end(vm, VM_END_MEMORY, 0, "--mem is too small for a PC; use --mem 64M or more");
	if (!acpi_build(at, BOOT_ACPI_END - BOOT_ACPI, BOOT_ACPI, vm->cfg->cpus, vm->machine.irq_override))
		return vm_end(vm, VM_END_KVM_ERROR, 0, "the ACPI tables do not fit; use fewer --cpus");
	vm->boot.rsdp = BOOT_ACPI;
	return 0;
}
