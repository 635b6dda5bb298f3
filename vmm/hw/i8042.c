/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The i8042 keyboard controller at 0x60/0x64, without keyboard or mouse: it answers its self-tests at
 * once, so a probe does not wait, tells of a timeout for bytes sent to the missing devices, and resets the
 * machine on command 0xfe. The FADT says that there is none, so Linux uses it for reboot only.
 */
#include <pthread.h>
#include <stdlib.h>

#include "vmm/vm.h"

#define DATA_PORT 0x60u
#define COMMAND_PORT 0x64u

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX 0x20
#define STATUS_TIMEOUT 0x40
#define RESEND 0xfe
#define OUTPUT_PORT_NO_RESET 0x01

enum {
	CMD_READ_CTR = 0x20,
	CMD_WRITE_CTR = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_KBD_LOOP = 0xd2,
	CMD_AUX_LOOP = 0xd3,
	CMD_AUX_SEND = 0xd4,
	CMD_RESET = 0xfe,
};

struct i8042 {
	struct vm *vm;
	pthread_mutex_t lock;
	u8 ctr;     /* command byte */
	u8 status;
	u8 output;
	u8 command; /* waits for its data byte, or 0 */
};

static void answer(struct i8042 *kbc, u8 value, u8 flags)
{
	kbc->output = value;
	kbc->status = (kbc->status & ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_OUTPUT_FULL | flags;
}

static void command(struct i8042 *kbc, u8 value)
{
	kbc->status |= STATUS_COMMAND;
	kbc->command = 0;
	switch (value) {
	case CMD_READ_CTR:
		answer(kbc, kbc->ctr, 0);
		break;
	case CMD_SELF_TEST:
		answer(kbc, 0x55, 0);
		break;
	case CMD_KBD_TEST:
		answer(kbc, 0x00, 0);
		break;
	case CMD_AUX_TEST:
		answer(kbc, 0x04, 0); /* data line stuck: no such port */
		break;
	case CMD_READ_OUTPUT:
		answer(kbc, OUTPUT_PORT_NO_RESET, 0);
		break;
	case CMD_WRITE_CTR:
	case CMD_WRITE_OUTPUT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_AUX_SEND:
		kbc->command = value;
		break;
	case CMD_RESET:
		vm_guest_reset(kbc->vm);
		break;
	}
}

static void data(struct i8042 *kbc, u8 value)
{
	u8 pending = kbc->command;

	kbc->command = 0;
	kbc->status &= ~STATUS_COMMAND;
	switch (pending) {
	case CMD_WRITE_CTR:
		kbc->ctr = value;
		break;
	case CMD_WRITE_OUTPUT:
		if (!(value & OUTPUT_PORT_NO_RESET))
			vm_guest_reset(kbc->vm);
		break;
	case CMD_KBD_LOOP:
		answer(kbc, value, 0);
		break;
	case CMD_AUX_LOOP: /* no auxiliary port: what comes back does not look like one */
		answer(kbc, value, STATUS_TIMEOUT);
		break;
	case CMD_AUX_SEND:
		answer(kbc, RESEND, STATUS_AUX | STATUS_TIMEOUT);
		break;
	default:
		answer(kbc, RESEND, STATUS_TIMEOUT);
		break;
	}
}

static void data_read(void *dev, u64 offset, u8 *to, u32 size)
{
	struct i8042 *kbc = dev;

	pthread_mutex_lock(&kbc->lock);
	to[0] = kbc->output;
	kbc->status &= ~(STATUS_OUTPUT_FULL | STATUS_AUX | STATUS_TIMEOUT);
	pthread_mutex_unlock(&kbc->lock);
}

static void data_write(void *dev, u64 offset, const u8 *from, u32 size)
{
	struct i8042 *kbc = dev;

	pthread_mutex_lock(&kbc->lock);
	data(kbc, from[0]);
	pthread_mutex_unlock(&kbc->lock);
}

static void status_read(void *dev, u64 offset, u8 *to, u32 size)
{
	struct i8042 *kbc = dev;

	pthread_mutex_lock(&kbc->lock);
	to[0] = kbc->status;
	pthread_mutex_unlock(&kbc->lock);
}

static void command_write(void *dev, u64 offset, const u8 *from, u32 size)
{
	struct i8042 *kbc = dev;

	pthread_mutex_lock(&kbc->lock);
	command(kbc, from[0]);
	pthread_mutex_unlock(&kbc->lock);
}

static int i8042_init(struct vm *vm, void **state)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));

	if (!kbc)
		return -1;
	kbc->vm = vm;
	kbc->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	kbc->ctr = 0x74; /* both ports off, translation, system flag */
	pthread_mutex_init(&kbc->lock, NULL);
	*state = kbc;
	if (io_add_ports(vm, &(struct io_range){DATA_PORT, 1, data_read, data_write, kbc}) < 0)
		return -1;
	return io_add_ports(vm, &(struct io_range){COMMAND_PORT, 1, status_read, command_write, kbc});
}

static void i8042_exit(struct vm *vm, void *state)
{
	struct i8042 *kbc = state;

	pthread_mutex_destroy(&kbc->lock);
	free(kbc);
}

const struct device_type i8042_device = {
	.name = "i8042",
	.init = i8042_init,
	.exit = i8042_exit,
};
