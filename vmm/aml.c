/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/aml.h"

#include <string.h>

#define NAME_OP 0x08
#define BYTE_PREFIX 0x0a
#define WORD_PREFIX 0x0b
#define DWORD_PREFIX 0x0c
#define STRING_PREFIX 0x0d
#define SCOPE_OP 0x10
#define BUFFER_OP 0x11
#define PACKAGE_OP 0x12
#define EXT_OP 0x5b
#define DEVICE_OP 0x82
#define PKG_LENGTH_BYTES 3u

static void put(struct aml *aml, const void *data, size_t len)
{
	if (len > aml->max - aml->len) {
		aml->overflow = true;
		return;
	}
	memcpy(aml->buf + aml->len, data, len);
	aml->len += len;
}

static void put8(struct aml *aml, u8 value)
{
	put(aml, &value, 1);
}

static void put16(struct aml *aml, u16 value)
{
	put8(aml, value);
	put8(aml, value >> 8);
}

static void put32(struct aml *aml, u32 value)
{
	put16(aml, value);
	put16(aml, value >> 16);
}

/* NameSeg: four characters, padded with '_'. */
static void put_name(struct aml *aml, const char *name)
{
	char seg[4] = {'_', '_', '_', '_'};

	memcpy(seg, name, MIN(strlen(name), sizeof(seg)));
	put(aml, seg, sizeof(seg));
}

/* Room for a PkgLength; returns where it starts. */
static size_t begin(struct aml *aml)
{
	size_t mark = aml->len;

	put(aml, "\0\0\0", PKG_LENGTH_BYTES);
	return mark;
}

void aml_end(struct aml *aml, size_t mark)
{
	size_t len = aml->len - mark;

	if (aml->overflow || mark + PKG_LENGTH_BYTES > aml->max)
		return;
	aml->buf[mark] = 2 << 6 | (len & 0xf); /* two more bytes */
	aml->buf[mark + 1] = len >> 4;
	aml->buf[mark + 2] = len >> 12;
}

size_t aml_scope(struct aml *aml, const char *root_name)
{
	size_t mark;

	put8(aml, SCOPE_OP);
	mark = begin(aml);
	put8(aml, '\\');
	put_name(aml, root_name);
	return mark;
}

/* EISAID("PNP0501"): three letters in five bits each, four hex digits, stored big-endian. */
static u32 eisa_id(const char *id)
{
	u32 letters = (id[0] - 0x40) << 10 | (id[1] - 0x40) << 5 | (id[2] - 0x40);
	u32 digits = 0;

	for (int i = 3; i < 7; i++)
		digits = digits << 4 | (id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
	return __builtin_bswap32(letters << 16 | digits);
}

size_t aml_device(struct aml *aml, const char *name, const char *hid)
{
	size_t mark;

	put8(aml, EXT_OP);
	put8(aml, DEVICE_OP);
	mark = begin(aml);
	put_name(aml, name);
	if (strlen(hid) == 7) {
		aml_name_int(aml, "_HID", eisa_id(hid));
		return mark;
	}
	put8(aml, NAME_OP);
	put_name(aml, "_HID");
	put8(aml, STRING_PREFIX);
	put(aml, hid, strlen(hid) + 1);
	return mark;
}

void aml_name_int(struct aml *aml, const char *name, u32 value)
{
	put8(aml, NAME_OP);
	put_name(aml, name);
	put8(aml, DWORD_PREFIX);
	put32(aml, value);
}

void aml_name_package(struct aml *aml, const char *name, const u8 *values, u8 count)
{
	size_t mark;

	put8(aml, NAME_OP);
	put_name(aml, name);
	put8(aml, PACKAGE_OP);
	mark = begin(aml);
	put8(aml, count);
	for (u8 i = 0; i < count; i++) {
		put8(aml, BYTE_PREFIX);
		put8(aml, values[i]);
	}
	aml_end(aml, mark);
}

size_t aml_resources(struct aml *aml)
{
	size_t mark;

	put8(aml, NAME_OP);
	put_name(aml, "_CRS");
	put8(aml, BUFFER_OP);
	mark = begin(aml);
	put8(aml, WORD_PREFIX);
	put16(aml, 0); /* the buffer's size, patched at the end */
	return mark;
}

void aml_resource_io(struct aml *aml, u16 port, u8 len)
{
	put8(aml, 0x47); /* I/O port descriptor, 7 bytes */
	put8(aml, 1);    /* 16-bit decode */
	put16(aml, port);
	put16(aml, port);
	put8(aml, 1); /* alignment */
	put8(aml, len);
}

void aml_resource_irq(struct aml *aml, u8 irq)
{
	put8(aml, 0x22); /* IRQ descriptor, 2 bytes: edge-triggered, active high */
	put16(aml, 1u << irq);
}

void aml_resources_end(struct aml *aml, size_t mark)
{
	size_t start = mark + PKG_LENGTH_BYTES + 3, len;

	put8(aml, 0x79); /* end tag, checksum not used */
	put8(aml, 0);
	len = aml->len - start;
	if (!aml->overflow) {
		aml->buf[start - 2] = len;
		aml->buf[start - 1] = len >> 8;
	}
	aml_end(aml, mark);
}
