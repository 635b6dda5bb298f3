/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port's other side: what the event loop does with it. Thread-safe. */
#ifndef KUSE_VMM_SERIAL_H
#define KUSE_VMM_SERIAL_H

#include <stdbool.h>

#include "lib/types.h"

struct vm;
struct serial;

/* As of struct device_type; the machine says where it is. */
int serial_init(struct vm *vm, void **state);
void serial_exit(struct vm *vm, void *state);

/* Bytes the receiver can take now without overrun. */
u32 serial_room(struct serial *serial);
/* The guest asserts RTS: with hardware flow control, it wants input. */
bool serial_wants_input(struct serial *serial);
void serial_receive(struct serial *serial, const u8 *data, u32 len);
/* Moves up to max bytes of output into buf; lets the guest go on if it waited for room. */
u32 serial_take(struct serial *serial, u8 *buf, u32 max);
bool serial_has_output(struct serial *serial);
/* The guest printed Linux's panic line. */
bool serial_saw_panic(struct serial *serial);
/* Output is no longer consumed: a vCPU that waits for room goes on. */
void serial_release(struct serial *serial);

#endif
