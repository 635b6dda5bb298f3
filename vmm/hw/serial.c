/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A UART (National Semiconductor PC16550D data sheet). Transmission takes no time:
 * THRE and TEMT are always set, and a byte written lies in a ring that the event loop empties into stdout.
 * The loop is woken for the first byte only and gathers for a moment, so a byte costs no system call; the
 * vCPU waits when the ring is full, so nothing is lost. Input comes from the event loop, never more than
 * serial_room. The interrupt line follows the IIR.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/serial.h"
#include "vmm/vm.h"

#define SERIAL_FIFO 16u
#define SERIAL_RING (64u << 10)

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REG_COUNT };

#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define LCR_DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_READY 0x01
#define LSR_OVERRUN 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

struct serial {
	struct vm *vm;
	pthread_mutex_t lock;
	pthread_cond_t room; /* the ring has room again, or nobody empties it any more */
	u8 ier, fcr, lcr, mcr, scr, dll, dlm;
	u8 overrun;   /* LSR_OVERRUN until the LSR is read */
	u8 msr_delta; /* low nibble of the MSR until it is read */
	bool thre_pending;
	bool irq;
	u8 rx[SERIAL_FIFO];
	u32 rx_head, rx_count;
	u8 *ring;
	u32 out_head, out_count;
	bool announced; /* the loop knows of output */
	bool released;
	u32 panic_at; /* how much of panic_line was just printed */
	bool panic;
};

static const char panic_line[] = "Kernel panic - not syncing";

/* ---- interrupt ---- */

static u32 rx_trigger(const struct serial *s)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* Sources in order of priority. Below the trigger level the FIFO's timeout tells of data, at once. */
static u8 iir_source(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->rx_count)
		return s->rx_count >= rx_trigger(s) ? IIR_RX : IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MODEM) && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct serial *s)
{
	bool irq = iir_source(s) != IIR_NONE;

	if (irq == s->irq)
		return;
	s->irq = irq;
	vm_irq_line(s->vm, SERIAL_IRQ, irq);
}

/* ---- receiver ---- */

static void rx_push(struct serial *s, u8 byte)
{
	u32 depth = s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;

	if (s->rx_count >= depth) {
		s->overrun = LSR_OVERRUN;
		return;
	}
	s->rx[(s->rx_head + s->rx_count++) % SERIAL_FIFO] = byte;
}

static u8 rx_pop(struct serial *s)
{
	u8 byte;

	if (!s->rx_count)
		return 0;
	byte = s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % SERIAL_FIFO;
	if (--s->rx_count == 0)
		vm_wake(s->vm); /* more input may follow */
	return byte;
}

/* ---- transmitter ---- */

static void watch_panic(struct serial *s, u8 byte)
{
	if (byte != (u8)panic_line[s->panic_at])
		s->panic_at = 0;
	if (byte == (u8)panic_line[s->panic_at] && panic_line[++s->panic_at] == 0) {
		s->panic = true;
		s->panic_at = 0;
	}
}

static void tx_push(struct serial *s, u8 byte)
{
	watch_panic(s, byte);
	while (s->out_count == SERIAL_RING && !s->released)
		pthread_cond_wait(&s->room, &s->lock);
	if (s->out_count == SERIAL_RING)
		return;
	s->ring[(s->out_head + s->out_count++) % SERIAL_RING] = byte;
	if (!s->announced) {
		s->announced = true;
		vm_wake(s->vm);
	}
}

static void transmit(struct serial *s, u8 byte)
{
	if (s->mcr & MCR_LOOP)
		rx_push(s, byte);
	else
		tx_push(s, byte);
	s->thre_pending = true;
}

/* ---- registers ---- */

/* In loopback the modem's inputs are our own outputs. */
static u8 modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static u8 read_iir(struct serial *s)
{
	u8 source = iir_source(s);

	if (source == IIR_THRE)
		s->thre_pending = false;
	return source | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct serial *s)
{
	u8 lsr = LSR_THRE | LSR_TEMT | s->overrun | (s->rx_count ? LSR_READY : 0);

	s->overrun = 0;
	return lsr;
}

static u8 read_msr(struct serial *s)
{
	u8 msr = modem_lines(s) | s->msr_delta;

	s->msr_delta = 0;
	return msr;
}

static u8 reg_read(struct serial *s, u32 reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? s->dll : rx_pop(s);
	case REG_IER:
		return dlab ? s->dlm : s->ier;
	case REG_IIR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(s);
	case REG_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

/* Enabling the THRE interrupt while the holding register is empty raises it. */
static void write_ier(struct serial *s, u8 value)
{
	if ((value & IER_THRE) && !(s->ier & IER_THRE))
		s->thre_pending = true;
	s->ier = value & 0x0f;
}

/* A change of FCR0 clears both FIFOs, too. */
static void write_fcr(struct serial *s, u8 value)
{
	if ((value & FCR_CLEAR_RX) || ((value ^ s->fcr) & FCR_ENABLE))
		s->rx_count = 0;
	s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
	vm_wake(s->vm);
}

static void write_mcr(struct serial *s, u8 value)
{
	u8 before = modem_lines(s), changed;

	if (value & ~s->mcr & MCR_RTS)
		vm_wake(s->vm);
	s->mcr = value & 0x1f;
	changed = before ^ modem_lines(s);
	s->msr_delta |= changed >> 4 & ~(MSR_RI >> 4);
	if ((changed & MSR_RI) && (before & MSR_RI))
		s->msr_delta |= MSR_RI >> 4; /* trailing edge only */
}

static void reg_write(struct serial *s, u32 reg, u8 value)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			transmit(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			write_ier(s, value);
		break;
	case REG_IIR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value);
		break;
	case REG_SCR:
		s->scr = value;
		break;
	}
}

static void serial_read(void *dev, u64 offset, u8 *data, u32 size)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	data[0] = reg_read(s, offset);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

static void serial_write(void *dev, u64 offset, const u8 *data, u32 size)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	reg_write(s, offset, data[0]);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the event loop's side ---- */

u32 serial_room(struct serial *s)
{
	u32 room;

	pthread_mutex_lock(&s->lock);
	room = (s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1);
	room = s->rx_count < room && !(s->mcr & MCR_LOOP) ? room - s->rx_count : 0;
	pthread_mutex_unlock(&s->lock);
	return room;
}

bool serial_wants_input(struct serial *s)
{
	bool rts;

	pthread_mutex_lock(&s->lock);
	rts = s->mcr & MCR_RTS;
	pthread_mutex_unlock(&s->lock);
	return rts;
}

void serial_receive(struct serial *s, const u8 *data, u32 len)
{
	pthread_mutex_lock(&s->lock);
	for (u32 i = 0; i < len; i++)
		rx_push(s, data[i]);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

u32 serial_take(struct serial *s, u8 *buf, u32 max)
{
	u32 n;

	pthread_mutex_lock(&s->lock);
	n = MIN(max, s->out_count);
	for (u32 i = 0; i < n; i++)
		buf[i] = s->ring[(s->out_head + i) % SERIAL_RING];
	s->out_head = (s->out_head + n) % SERIAL_RING;
	s->out_count -= n;
	if (s->out_count == 0)
		s->announced = false;
	pthread_cond_broadcast(&s->room);
	pthread_mutex_unlock(&s->lock);
	return n;
}

bool serial_has_output(struct serial *s)
{
	bool has;

	pthread_mutex_lock(&s->lock);
	has = s->out_count > 0;
	pthread_mutex_unlock(&s->lock);
	return has;
}

bool serial_saw_panic(struct serial *s)
{
	return s && __atomic_load_n(&s->panic, __ATOMIC_RELAXED);
}

void serial_release(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->released = true;
	pthread_cond_broadcast(&s->room);
	pthread_mutex_unlock(&s->lock);
}

/* ---- device ---- */

void serial_exit(struct vm *vm, void *state)
{
	struct serial *s = state;

	vm->serial = NULL;
	pthread_cond_destroy(&s->room);
	pthread_mutex_destroy(&s->lock);
	free(s->ring);
	free(s);
}

int serial_init(struct vm *vm, void **state)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	s->ring = malloc(SERIAL_RING);
	if (!s->ring) {
		free(s);
		return -1;
	}
	s->vm = vm;
	s->thre_pending = true;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->room, NULL);
	vm->serial = *state = s;
	return serial_add_range(vm, &(struct io_range){SERIAL_BASE, REG_COUNT, serial_read, serial_write, s});
}
