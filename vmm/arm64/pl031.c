/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PrimeCell real-time clock PL031 (Arm DDI 0224): seconds, one match register, one interrupt. The time is
 * the host's plus what the guest loaded; the match fires from a host timer.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/arm64/fdt.h"
#include "vmm/vm.h"

enum { RTC_DR = 0x00, RTC_MR = 0x04, RTC_LR = 0x08, RTC_CR = 0x0c, RTC_IMSC = 0x10, RTC_RIS = 0x14, RTC_MIS = 0x18,
       RTC_ICR = 0x1c, RTC_ID = 0xfe0 };

struct pl031 {
	struct vm *vm;
	pthread_mutex_t lock;
	timer_t timer;
	u32 offset; /* added to the host's seconds */
	u32 match, load, mask, raw;
	bool irq;
};

static u32 now(const struct pl031 *rtc)
{
	return (u32)time(NULL) + rtc->offset;
}

static void update_irq(struct pl031 *rtc)
{
	bool irq = rtc->raw & rtc->mask;

	if (irq == rtc->irq)
		return;
	rtc->irq = irq;
	vm_irq_line(rtc->vm, RTC_IRQ, irq);
}

/* The timer goes off when the second begins in which the clock equals MR. */
static void arm(struct pl031 *rtc)
{
	struct itimerspec when = {.it_value.tv_sec = time(NULL) + (u32)(rtc->match - now(rtc))};

	timer_settime(rtc->timer, TIMER_ABSTIME, &when, NULL);
}

static void matched(union sigval v)
{
	struct pl031 *rtc = v.sival_ptr;

	pthread_mutex_lock(&rtc->lock);
	if (now(rtc) == rtc->match)
		rtc->raw = 1;
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static u32 reg_read(const struct pl031 *rtc, u64 reg)
{
	static const u8 id[] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

	switch (reg) {
	case RTC_DR: return now(rtc);
	case RTC_MR: return rtc->match;
	case RTC_LR: return rtc->load;
	case RTC_CR: return 1;
	case RTC_IMSC: return rtc->mask;
	case RTC_RIS: return rtc->raw;
	case RTC_MIS: return rtc->raw & rtc->mask;
	default: return reg >= RTC_ID ? id[(reg - RTC_ID) / 4 % sizeof(id)] : 0;
	}
}

static void reg_write(struct pl031 *rtc, u64 reg, u32 value)
{
	switch (reg) {
	case RTC_MR:
		rtc->match = value;
		arm(rtc);
		break;
	case RTC_LR:
		rtc->load = value;
		rtc->offset = value - (u32)time(NULL);
		arm(rtc);
		break;
	case RTC_IMSC:
		rtc->mask = value & 1;
		break;
	case RTC_ICR:
		rtc->raw &= ~value;
		break;
	}
}

static void pl031_read(void *dev, u64 offset, u8 *data, u32 size)
{
	struct pl031 *rtc = dev;
	u32 value;

	pthread_mutex_lock(&rtc->lock);
	value = reg_read(rtc, offset & 0xffc) >> 8 * (offset & 3);
	pthread_mutex_unlock(&rtc->lock);
	memset(data, 0, size);
	memcpy(data, &value, MIN(size, sizeof(value)));
}

static void pl031_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct pl031 *rtc = dev;
	u32 value = 0;

	memcpy(&value, data, MIN(size, sizeof(value)));
	pthread_mutex_lock(&rtc->lock);
	reg_write(rtc, offset & 0xfff, value);
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static int pl031_init(struct vm *vm, void **state)
{
	struct pl031 *rtc = calloc(1, sizeof(*rtc));
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = matched, .sigev_value.sival_ptr = rtc};

	if (!rtc)
		return -1;
	rtc->vm = vm;
	if (timer_create(CLOCK_REALTIME, &event, &rtc->timer)) {
		free(rtc);
		return -1;
	}
	pthread_mutex_init(&rtc->lock, NULL);
	*state = rtc;
	return io_add_mmio(vm, &(struct io_range){GPA_RTC, PAGE_SIZE, pl031_read, pl031_write, rtc});
}

static void pl031_exit(struct vm *vm, void *state)
{
	struct pl031 *rtc = state;

	timer_delete(rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static void pl031_fdt(struct fdt *f)
{
	const u64 reg[] = {GPA_RTC, PAGE_SIZE};

	dt_node_at(f, "rtc", GPA_RTC);
	dt_bytes(f, "compatible", "arm,pl031\0arm,primecell", sizeof("arm,pl031\0arm,primecell"));
	dt_reg(f, reg, 1);
	dt_u32(f, "clocks", FDT_PHANDLE_CLOCK);
	dt_string(f, "clock-names", "apb_pclk");
	dt_interrupt(f, FDT_IRQ_SPI, RTC_IRQ, FDT_IRQ_HIGH);
	dt_end(f);
}

const struct device_type pl031_device = {
	.name = "PL031 RTC",
	.init = pl031_init,
	.exit = pl031_exit,
	.fdt = pl031_fdt,
};
