/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 real-time clock and CMOS memory at 0x70/0x71. The clock is the host's (UTC) plus what the guest
 * set it to; the CMOS holds the memory sizes a PC's firmware leaves there. No interrupts: its ACPI node
 * names no IRQ, so Linux offers no alarms.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/aml.h"
#include "vmm/vm.h"

#define RTC_PORT 0x70u

enum {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WDAY = 0x06,
	RTC_MDAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_CENTURY = 0x32,
};

#define RTC_B_SET 0x80
#define RTC_B_BINARY 0x04
#define RTC_B_24H 0x02

struct rtc {
	pthread_mutex_t lock;
	u8 index;
	u8 cmos[128];
	time_t offset; /* guest's clock minus host's, s */
};

static u8 encode(const struct rtc *rtc, int value)
{
	return rtc->cmos[RTC_B] & RTC_B_BINARY ? value : (value / 10 % 10) << 4 | value % 10;
}

static int decode(const struct rtc *rtc, u8 value)
{
	return rtc->cmos[RTC_B] & RTC_B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static int decode_year(const struct rtc *rtc)
{
	return decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 + decode(rtc, rtc->cmos[RTC_YEAR]);
}

static u8 encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[RTC_B] & RTC_B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *rtc, u8 value)
{
	if (rtc->cmos[RTC_B] & RTC_B_24H)
		return decode(rtc, value);
	return decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

/* The registers take the present time, unless the guest holds them (SET). */
static void latch_time(struct rtc *rtc)
{
	time_t now = time(NULL) + rtc->offset;
	struct tm tm;

	if ((rtc->cmos[RTC_B] & RTC_B_SET) || !gmtime_r(&now, &tm))
		return;
	rtc->cmos[RTC_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[RTC_MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[RTC_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[RTC_WDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[RTC_MDAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[RTC_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[RTC_YEAR] = encode(rtc, tm.tm_year % 100);
	rtc->cmos[RTC_CENTURY] = encode(rtc, 19 + tm.tm_year / 100);
}

static void adopt_time(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[RTC_SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[RTC_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[RTC_HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[RTC_MDAY]),
		.tm_mon = decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
		.tm_year = decode_year(rtc) - 1900,
	};

	rtc->offset = timegm(&tm) - time(NULL);
}

static bool is_time(u8 index)
{
	return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WDAY && index <= RTC_YEAR) || index == RTC_CENTURY;
}

static void rtc_store(struct rtc *rtc, u8 index, u8 value)
{
	u8 before = rtc->cmos[RTC_B];

	if (index == RTC_C || index == RTC_D)
		return;
	if (is_time(index))
		latch_time(rtc);
	rtc->cmos[index] = index == RTC_A ? value & 0x7f : value;
	if (is_time(index) ? !(before & RTC_B_SET) : index == RTC_B && (before & ~value & RTC_B_SET))
		adopt_time(rtc);
}

static void rtc_read(void *dev, u64 offset, u8 *data, u32 size)
{
	struct rtc *rtc = dev;

	if (offset == 0)
		return; /* the index is write-only */
	pthread_mutex_lock(&rtc->lock);
	if (is_time(rtc->index))
		latch_time(rtc);
	data[0] = rtc->cmos[rtc->index];
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct rtc *rtc = dev;

	pthread_mutex_lock(&rtc->lock);
	if (offset == 0)
		rtc->index = data[0] & 0x7f;
	else
		rtc_store(rtc, rtc->index, data[0]);
	pthread_mutex_unlock(&rtc->lock);
}

static void put_le(u8 *to, u64 value, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		to[i] = value >> (8 * i);
}

/* Memory sizes where firmware and old kernels look: KiB below 1 MiB, KiB above, 64 KiB units above 16 MiB. */
static void cmos_memory(struct rtc *rtc, const struct vm_memory *mem)
{
	u64 above_1m = mem->low > BIT(20) ? (mem->low - BIT(20)) >> 10 : 0;
	u64 above_16m = mem->low > BIT(24) ? (mem->low - BIT(24)) >> 16 : 0;

	put_le(&rtc->cmos[0x15], 640, 2);
	put_le(&rtc->cmos[0x17], MIN(above_1m, 0xffffu), 2);
	put_le(&rtc->cmos[0x30], MIN(above_1m, 0xffffu), 2);
	put_le(&rtc->cmos[0x34], MIN(above_16m, 0xffffu), 2);
	put_le(&rtc->cmos[0x5b], mem->high >> 16, 3);
}

static int rtc_init(struct vm *vm, void **state)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return -1;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->cmos[RTC_A] = 0x26; /* 32768 Hz, 1024 Hz periodic */
	rtc->cmos[RTC_B] = RTC_B_24H;
	rtc->cmos[RTC_D] = 0x80; /* battery good */
	cmos_memory(rtc, &vm->mem);
	*state = rtc;
	return io_add_ports(vm, &(struct io_range){RTC_PORT, 2, rtc_read, rtc_write, rtc});
}

static void rtc_exit(struct vm *vm, void *state)
{
	struct rtc *rtc = state;

	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static void rtc_aml(struct aml *aml)
{
	size_t dev = aml_device(aml, "RTC0", "PNP0B00");
	size_t crs = aml_resources(aml);

	aml_resource_io(aml, RTC_PORT, 2);
	aml_resources_end(aml, crs);
	aml_end(aml, dev);
}

const struct device_type rtc_device = {
	.name = "RTC",
	.init = rtc_init,
	.exit = rtc_exit,
	.aml = rtc_aml,
};
