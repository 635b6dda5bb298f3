/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the devices as a driver sees them, through the port table. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/vmm/fake_kvm.h"
#include "tests/vmm/test.h"
#include "vmm/serial.h"
#include "vmm/vm.h"

#define COM 0x3f8

static struct vm vm;
static struct vm_config cfg = {.name = "test"};

static u8 in(u16 port)
{
	u8 value;

	io_port(&vm, port, &value, 1, false);
	return value;
}

static void out(u16 port, u8 value)
{
	io_port(&vm, port, &value, 1, true);
}

static int machine_up(void **state)
{
	memset(&vm, 0, sizeof(vm));
	fake_reset();
	vm.cfg = &cfg;
	vm.accel = &accel_fake;
	vm.wake_fd = -1;
	vm.command_status = -1;
	vm.mem.low = 512 << 20;
	vm.mem.high = 3ull << 30;
	pthread_mutex_init(&vm.end_lock, NULL);
	return devices_init(&vm);
}

static int machine_down(void **state)
{
	devices_exit(&vm);
	pthread_mutex_destroy(&vm.end_lock);
	return 0;
}

static void receive(const char *text)
{
	serial_receive(vm.serial, (const u8 *)text, strlen(text));
}

/* ---- serial ---- */

/* What Linux's 8250 driver asks to tell a 16550A from its relatives. */
static void test_serial_autoconfig(void **state)
{
	out(COM + 1, 0x0f);
	assert_int_equal(in(COM + 1), 0x0f);
	out(COM + 1, 0xff);
	assert_int_equal(in(COM + 1), 0x0f); /* no UUE, no sleep mode */
	out(COM + 1, 0);
	out(COM + 4, 0x1a); /* loop, RTS, OUT2 */
	assert_int_equal(in(COM + 6) & 0xf0, 0x90);
	out(COM + 4, 0);
	out(COM + 3, 0);
	out(COM + 2, 0x01);
	assert_int_equal(in(COM + 2) & 0xc0, 0xc0); /* FIFO: 16550A */
	out(COM + 2, 0x21);
	assert_int_equal(in(COM + 2) & 0x20, 0); /* no 64-byte FIFO */
	out(COM + 7, 0xa5);
	assert_int_equal(in(COM + 7), 0xa5);
}

static void test_serial_divisor(void **state)
{
	out(COM + 3, 0x80);
	out(COM, 0x34);
	out(COM + 1, 0x12);
	assert_int_equal(in(COM), 0x34);
	assert_int_equal(in(COM + 1), 0x12);
	out(COM + 3, 0x03);
	assert_int_equal(in(COM + 1), 0);
	assert_false(serial_has_output(vm.serial));
}

static void test_serial_transmit(void **state)
{
	u8 buf[8];

	assert_int_equal(in(COM + 5) & 0x60, 0x60);
	out(COM, 'h');
	out(COM, 'i');
	assert_int_equal(in(COM + 5) & 0x60, 0x60);
	assert_int_equal(serial_take(vm.serial, buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "hi", 2);
}

static void test_serial_thre_interrupt(void **state)
{
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 0);
	out(COM + 1, 2); /* the holding register is empty: at once */
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 1);
	assert_int_equal(in(COM + 2) & 0x0f, 0x02);
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 0); /* reading the IIR takes it back */
	assert_int_equal(in(COM + 2) & 0x0f, 0x01);
	out(COM, 'x');
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 1);
	out(COM + 1, 0);
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 0);
	out(COM + 1, 2);
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 1);
}

static void test_serial_receive(void **state)
{
	out(COM + 2, 0x81); /* FIFO on, trigger at 8 */
	out(COM + 1, 1);
	assert_int_equal(serial_room(vm.serial), 16);
	receive("abc");
	assert_int_equal(serial_room(vm.serial), 13);
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 1);
	assert_int_equal(in(COM + 2) & 0x0f, 0x0c); /* below the trigger: timeout */
	receive("defgh");
	assert_int_equal(in(COM + 2) & 0x0f, 0x04);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(in(COM + 5) & 1, 1);
		assert_int_equal(in(COM), 'a' + i);
	}
	assert_int_equal(in(COM + 5) & 1, 0);
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 0);
}

static void test_serial_overrun(void **state)
{
	out(COM + 1, 4);
	receive("ab"); /* without FIFO one byte fits */
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 1);
	assert_int_equal(in(COM + 2) & 0x0f, 0x06);
	assert_int_equal(in(COM + 5) & 0x03, 0x03);
	assert_int_equal(in(COM + 5) & 0x03, 0x01); /* the error is told once */
	assert_int_equal(in(COM), 'a');
	assert_int_equal(fake.irq_level[SERIAL_IRQ], 0);
}

static void test_serial_loopback(void **state)
{
	out(COM + 4, 0x10);
	out(COM, 'z');
	assert_false(serial_has_output(vm.serial));
	assert_int_equal(in(COM), 'z');
	assert_int_equal(in(COM + 6) & 0xf0, 0);
	out(COM + 4, 0x1f);
	assert_int_equal(in(COM + 6) & 0xf0, 0xf0);
}

static void test_serial_modem_delta(void **state)
{
	out(COM + 1, 8);
	in(COM + 6);
	out(COM + 4, 0x10); /* CTS, DSR, DCD fall */
	assert_int_equal(in(COM + 2) & 0x0f, 0x00);
	assert_int_equal(in(COM + 6), 0x0b);
	assert_int_equal(in(COM + 6), 0x00);
	assert_int_equal(in(COM + 2) & 0x0f, 0x01);
}

/* 64 KiB fit; then the guest waits until somebody takes them or goes away. */
static void test_serial_released(void **state)
{
	static u8 buf[128 << 10];

	for (int i = 0; i < 64 << 10; i++)
		out(COM, i);
	serial_release(vm.serial);
	out(COM, 'x');
	assert_int_equal(serial_take(vm.serial, buf, sizeof(buf)), 64 << 10);
	for (int i = 0; i < 64 << 10; i++)
		assert_int_equal(buf[i], (u8)i);
}

static void test_serial_panic_line(void **state)
{
	static const char text[] = "KernelKernel panic - not syncing: x";

	for (size_t i = 0; i < sizeof(text) - 4; i++)
		out(COM, text[i]);
	assert_true(serial_saw_panic(vm.serial));
}

/* ---- clock ---- */

static u8 cmos(u8 index)
{
	out(0x70, index);
	return in(0x71);
}

static void cmos_set(u8 index, u8 value)
{
	out(0x70, index);
	out(0x71, value);
}

static int bcd(u8 v)
{
	return (v >> 4) * 10 + (v & 15);
}

static time_t rtc_time(void)
{
	struct tm tm = {
		.tm_sec = bcd(cmos(0)),
		.tm_min = bcd(cmos(2)),
		.tm_hour = bcd(cmos(4)),
		.tm_mday = bcd(cmos(7)),
		.tm_mon = bcd(cmos(8)) - 1,
		.tm_year = bcd(cmos(0x32)) * 100 + bcd(cmos(9)) - 1900,
	};

	return timegm(&tm);
}

static void test_rtc_time(void **state)
{
	time_t before = time(NULL), rtc = rtc_time();

	assert_int_equal(cmos(0x0d), 0x80);
	assert_int_equal(cmos(0x0a) & 0x80, 0);
	assert_true(rtc >= before - 1 && rtc <= time(NULL) + 1);
}

static void test_rtc_modes(void **state)
{
	cmos_set(0x0b, 0x82); /* hold */
	cmos_set(4, 0x23);
	cmos_set(0x0b, 0x02);
	assert_int_equal(cmos(4), 0x23);
	cmos_set(0x0b, 0x06);
	assert_int_equal(cmos(4), 23); /* binary */
	cmos_set(0x0b, 0x00);
	assert_int_equal(cmos(4), 0x91); /* 11 PM */
}

static void test_rtc_set(void **state)
{
	cmos_set(0x0b, 0x82);
	cmos_set(0, 0x00);
	cmos_set(2, 0x30);
	cmos_set(4, 0x12);
	cmos_set(7, 0x28);
	cmos_set(8, 0x02);
	cmos_set(9, 0x01);
	cmos_set(0x32, 0x20);
	cmos_set(0x0b, 0x02);
	assert_in_range(rtc_time(), 983363400, 983363402); /* 2001-02-28 12:30:00 UTC */
}

static void test_cmos_memory(void **state)
{
	assert_int_equal(cmos(0x15) | cmos(0x16) << 8, 640);
	assert_int_equal(cmos(0x34) | cmos(0x35) << 8, (512 - 16) * 16);
	assert_int_equal(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16, 3 << 14);
}

/* ---- keyboard controller, power ---- */

static void test_i8042_self_test(void **state)
{
	assert_int_equal(in(0x64) & 3, 0);
	out(0x64, 0xaa);
	assert_int_equal(in(0x64) & 1, 1);
	assert_int_equal(in(0x60), 0x55);
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0x60);
	out(0x60, 0x47);
	out(0x64, 0x20);
	assert_int_equal(in(0x60), 0x47);
	out(0x60, 0xff); /* no keyboard: a timeout, at once */
	assert_int_equal(in(0x64) & 0x41, 0x41);
	assert_int_equal(in(0x60), 0xfe);
}

static u32 pci_config(u32 address)
{
	u32 value;

	io_port(&vm, 0xcf8, (u8 *)&address, 4, true);
	io_port(&vm, 0xcfc, (u8 *)&value, 4, false);
	return value;
}

/* As Linux checks for mechanism #1, and that nothing but the bridge is there. */
static void test_pci(void **state)
{
	u32 value = 0x80000000;
	u8 half[2];

	out(0xcfb, 1);
	io_port(&vm, 0xcf8, (u8 *)&value, 4, true);
	value = 0;
	io_port(&vm, 0xcf8, (u8 *)&value, 4, false);
	assert_int_equal(value, 0x80000000);
	assert_int_equal(pci_config(0x80000000), 0x00081b36);
	assert_int_equal(pci_config(0x80000008) >> 16, 0x0600);
	io_port(&vm, 0xcfe, half, 2, false);
	assert_int_equal(half[0] | half[1] << 8, 0x0600);
	assert_int_equal(pci_config(0x80000100), 0xffffffff);
	assert_int_equal(pci_config(0x80000800), 0xffffffff);
	assert_int_equal(pci_config(0x80010000), 0xffffffff);
	assert_int_equal(pci_config(0), 0xffffffff);
	out(0xcf9, 2);
	assert_int_equal(vm.end, VM_END_NONE);
	out(0xcf9, 6);
	assert_int_equal(vm.end, VM_END_RESET);
}

static void test_pm1(void **state)
{
	u8 word[2] = {0x20, 0x01};

	io_port(&vm, 0x602, word, 2, true);
	io_port(&vm, 0x602, word, 2, false);
	assert_int_equal(word[0] | word[1] << 8, 0x120);
	io_port(&vm, 0x600, word, 2, false);
	assert_int_equal(word[0] | word[1] << 8, 0);
	io_port(&vm, 0x604, word, 2, false);
	assert_int_equal(word[0] & 1, 1); /* SCI_EN */
	assert_int_equal(vm.end, VM_END_NONE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, machine_up, machine_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_serial_autoconfig),
		T(test_serial_divisor),
		T(test_serial_transmit),
		T(test_serial_thre_interrupt),
		T(test_serial_receive),
		T(test_serial_overrun),
		T(test_serial_loopback),
		T(test_serial_modem_delta),
		T(test_serial_released),
		T(test_serial_panic_line),
		T(test_rtc_time),
		T(test_rtc_modes),
		T(test_rtc_set),
		T(test_cmos_memory),
		T(test_i8042_self_test),
		T(test_pci),
		T(test_pm1),
	};

	return cmocka_run_group_tests_name("vmm_device", tests, NULL, NULL);
}
