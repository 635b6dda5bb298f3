/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop, on the caller's thread: terminal in and out, signals that end us, and the stuck check.
 * It sleeps in poll; an idle guest costs one wake-up every stuck_ms.
 *
 * Stuck check: when the vCPU threads used no CPU time for a whole period (or a halted one may spin), every
 * vCPU is asked (by a kick) whether it is halted with interrupts off. If all are, twice in a row and without
 * CPU time in between (but for those that spin), nothing can wake the guest any more. A vCPU that waits for
 * SIPI counts as halted.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/serial.h"
#include "vmm/term.h"
#include "vmm/vcpu.h"

#define STUCK_IDLE_NS 500000 /* CPU time per period that still counts as none */
#define STUCK_ANSWER_MS 200
#define GATHER_NS 500000  /* output is gathered this long before it is written */
#define DRAIN_MS 2000     /* at the end, a stalled reader of stdout is given up after this */
#define IN_QUEUE 4096
#define OUT_CHUNK 4096    /* a pipe that polls writable takes this much without blocking */

struct loop {
	struct vm *vm;
	int signal_fd;
	int escape;          /* term_escape's state */
	bool stdin_open, stdout_open;
	u8 in[IN_QUEUE];     /* typed, not yet received by the serial port */
	u32 in_at, in_len;
	bool line_open;      /* the last byte queued was not a newline */
	u8 out[OUT_CHUNK];   /* taken from the serial port, not yet written */
	u32 out_at, out_len;
	u64 next_check_ms;
	u64 cpu_time;        /* at the last check, ns */
	bool asked;          /* this round's question is out until next_check_ms */
	int strikes;
};

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

/* ---- output ---- */

static bool output_pending(struct loop *loop)
{
	return loop->out_at < loop->out_len || serial_has_output(loop->vm->serial);
}

/* Writes one chunk; without a reader the output is dropped, the guest goes on. */
static void output_write(struct loop *loop)
{
	ssize_t n;

	if (loop->out_at == loop->out_len) {
		loop->out_at = 0;
		loop->out_len = serial_take(loop->vm->serial, loop->out, sizeof(loop->out));
	}
	if (!loop->stdout_open) {
		loop->out_at = loop->out_len;
		return;
	}
	n = write(STDOUT_FILENO, loop->out + loop->out_at, loop->out_len - loop->out_at);
	if (n >= 0)
		loop->out_at += n;
	else if (errno != EAGAIN && errno != EINTR)
		loop->stdout_open = false;
}

static void output_drain(struct loop *loop)
{
	u64 give_up = now_ms() + DRAIN_MS;
	struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};

	while (output_pending(loop) && now_ms() < give_up)
		if (!loop->stdout_open || poll(&pfd, 1, 100) > 0)
			output_write(loop);
}

/* ---- input ---- */

/* On a full queue typed bytes are lost, as on a PC; but Ctrl-A x must get through, so all are read. */
static void input_queue(struct loop *loop, u8 byte)
{
	if (loop->in_len == IN_QUEUE)
		return;
	loop->in[(loop->in_at + loop->in_len++) % IN_QUEUE] = byte;
	loop->line_open = byte != '\n';
}

static void input_key(struct loop *loop, u8 byte)
{
	enum term_key key = loop->vm->cfg->escape ? term_escape(&loop->escape, byte) : TERM_SEND;

	if (key == TERM_SEND)
		input_queue(loop, byte);
	else if (key == TERM_QUIT)
		vm_end(loop->vm, VM_END_QUIT, 0, "%s", "");
	else if (key == TERM_HELP && write(STDERR_FILENO, term_help, strlen(term_help)) < 0)
		loop->escape = 0;
}

/* The end of input is no exit; a CMD in the guest gets it as its terminal's end-of-file character. */
static void input_end(struct loop *loop)
{
	const u8 eof = 4;

	loop->stdin_open = false;
	if (!loop->vm->cfg->command || loop->vm->cfg->escape)
		return;
	if (loop->line_open)
		input_queue(loop, eof); /* in the midst of a line it only passes the line on */
	input_queue(loop, eof);
}

/* A file or pipe waits until the guest has taken what is queued (with room left for the end of file). */
static bool input_wanted(const struct loop *loop)
{
	return loop->stdin_open && (loop->vm->cfg->escape || loop->in_len < IN_QUEUE / 2);
}

static void input_read(struct loop *loop)
{
	u8 buf[IN_QUEUE / 4];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		input_end(loop);
	for (ssize_t i = 0; i < n; i++)
		input_key(loop, buf[i]);
}

/* A CMD's input from a file or pipe waits for /init, and then obeys hardware flow control. */
static bool input_held(const struct loop *loop)
{
	struct vm *vm = loop->vm;

	if (!vm->cfg->command || vm->cfg->escape)
		return false;
	return !__atomic_load_n(&vm->command_input, __ATOMIC_ACQUIRE) || !serial_wants_input(vm->serial);
}

static void input_feed(struct loop *loop)
{
	u32 room = loop->in_len && !input_held(loop) ? serial_room(loop->vm->serial) : 0;

	for (; room > 0 && loop->in_len > 0; room--, loop->in_len--) {
		serial_receive(loop->vm->serial, &loop->in[loop->in_at], 1);
		loop->in_at = (loop->in_at + 1) % IN_QUEUE;
	}
}

/* ---- signals ---- */

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void loop_block_signals(void)
{
	sigset_t set;

	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void signals_begin(struct loop *loop)
{
	sigset_t set;

	end_signals(&set);
	loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void signals_read(struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info))
		vm_end(loop->vm, VM_END_SIGNAL, info.ssi_signo, "stopped by SIG%s (%s)",
		       sigabbrev_np(info.ssi_signo), strsignal(info.ssi_signo));
}

/* ---- the stuck check ---- */

static u32 stuck_period(const struct vm *vm)
{
	return vm->cfg->stuck_ms ?: VM_STUCK_MS;
}

static void stuck_ask(struct loop *loop)
{
	struct vm *vm = loop->vm;

	__atomic_store_n(&vm->inspected, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&vm->halted_off, 0, __ATOMIC_RELEASE);
	__atomic_add_fetch(&vm->inspect, 1, __ATOMIC_ACQ_REL);
	vcpus_kick(vm);
	loop->asked = true;
	loop->next_check_ms = now_ms() + STUCK_ANSWER_MS;
}

static void stuck_answer(struct loop *loop)
{
	struct vm *vm = loop->vm;
	u32 off = __atomic_load_n(&vm->halted_off, __ATOMIC_ACQUIRE);

	loop->asked = false;
	loop->cpu_time = vcpus_cpu_time(vm);
	loop->next_check_ms = now_ms() + stuck_period(vm);
	loop->strikes = off == vm->vcpus_up ? loop->strikes + 1 : 0;
	if (loop->strikes == 2)
		vm_end(vm, VM_END_STUCK, 0,
		       "the guest is stuck: every vCPU is halted with interrupts off, nothing can wake it; "
		       "see the guest's log above");
}

static void stuck_check(struct loop *loop)
{
	u64 cpu;

	if (now_ms() < loop->next_check_ms)
		return;
	if (loop->asked) {
		stuck_answer(loop);
		return;
	}
	cpu = vcpus_cpu_time(loop->vm);
	loop->next_check_ms = now_ms() + stuck_period(loop->vm);
	if (MACHINE_HALT_SPINS || cpu - loop->cpu_time < STUCK_IDLE_NS)
		stuck_ask(loop);
	else
		loop->strikes = 0;
	loop->cpu_time = cpu;
}

/* ---- the loop ---- */

enum { FD_WAKE, FD_SIGNAL, FD_INPUT, FD_OUTPUT, FD_COUNT };

static int time_left(const struct loop *loop)
{
	u64 now = now_ms();

	return loop->next_check_ms > now ? loop->next_check_ms - now : 0;
}

static void loop_turn(struct loop *loop)
{
	const struct timespec gather = {.tv_nsec = GATHER_NS};
	bool output = output_pending(loop);
	struct pollfd fds[FD_COUNT] = {
		[FD_WAKE] = {.fd = loop->vm->wake_fd, .events = POLLIN},
		[FD_SIGNAL] = {.fd = loop->signal_fd, .events = POLLIN},
		[FD_INPUT] = {.fd = input_wanted(loop) ? STDIN_FILENO : -1, .events = POLLIN},
		[FD_OUTPUT] = {.fd = output && loop->stdout_open ? STDOUT_FILENO : -1, .events = POLLOUT},
	};
	u64 count;

	poll(fds, FD_COUNT, output && !loop->stdout_open ? 0 : time_left(loop));
	if ((fds[FD_WAKE].revents & POLLIN) && read(loop->vm->wake_fd, &count, sizeof(count)) > 0 &&
	    !loop->in_len)
		nanosleep(&gather, NULL); /* not while the guest takes input, 16 bytes a turn */
	if (fds[FD_SIGNAL].revents & POLLIN)
		signals_read(loop);
	if (fds[FD_INPUT].revents)
		input_read(loop);
	input_feed(loop);
	if (output && (fds[FD_OUTPUT].revents || !loop->stdout_open))
		output_write(loop);
	stuck_check(loop);
}

void loop_run(struct vm *vm)
{
	struct loop loop = {
		.vm = vm,
		.stdin_open = true,
		.stdout_open = true,
		.next_check_ms = now_ms() + stuck_period(vm),
	};

	signals_begin(&loop);
	while (!vm_ended(vm))
		loop_turn(&loop);
	output_drain(&loop);
	close(loop.signal_fd);
}
