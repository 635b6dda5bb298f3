/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw mode while the guest runs. It is undone on the ordinary way out, at exit, and by handlers for the
 * fatal signals, which then let the signal have its usual effect. The saved state is the one file-scope
 * variable: there is one terminal per process.
 */
#include "vmm/term.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t raw;

const char term_help[] = "\r\nCtrl-A x       end the guest and quit\r\n"
			 "Ctrl-A h       this help\r\n"
			 "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

bool term_is_raw(void)
{
	return raw;
}

/* Async-signal-safe. */
static void term_restore(void)
{
	if (!raw)
		return;
	raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

/* May be called by a handler installed later (KUSE's has a use for these signals): that one goes, too. */
static void fatal_handler(int sig)
{
	term_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

void term_catch_fatal(void)
{
	static const int fatal[] = {
		SIGABRT, SIGQUIT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGXCPU,
	};
	struct sigaction old, sa = {.sa_handler = fatal_handler};

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(fatal[i], &sa, NULL);
}

int term_init(struct vm *vm)
{
	struct termios t;

	if (!vm->cfg->escape || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved) < 0)
		return 0;
	atexit(term_restore);
	t = saved;
	cfmakeraw(&t);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
	return 0;
}

void term_exit(struct vm *vm)
{
	term_restore();
}

#define CTRL_A 1

enum term_key term_escape(int *state, u8 byte)
{
	if (!*state) {
		*state = byte == CTRL_A;
		return *state ? TERM_SWALLOW : TERM_SEND;
	}
	*state = 0;
	switch (byte) {
	case CTRL_A:
		return TERM_SEND;
	case 'x':
		return TERM_QUIT;
	case 'h':
		return TERM_HELP;
	default:
		return TERM_SWALLOW;
	}
}
