/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share. One file per command; commands.c has the table. */
#ifndef KUSE_CLI_CLI_H
#define KUSE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/exit_status.h"
#include "lib/ksyms.h"
#include "vmm/vm.h"

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit status */
};

extern const struct command commands[]; /* ends with a NULL name */

/* arch.c: takes --arch out of the arguments; does not return where another program has to go on. Exit
 * status. */
int arch_choose(int *argc, char **argv);

int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* accel_kuse.c: KUSE's own KVM. */
extern const struct accel accel_kuse;

/* cache.c: paths under $KUSE_CACHE, or ${XDG_CACHE_HOME:-~/.cache}/kuse. 0 or -1 (too long, no home). */
int cache_path(char *buf, size_t len, const char *name);
/* The stock kernel, fetched when it is not there. Returns an exit status; STATUS_OK fills buf. */
int cache_kernel(char *buf, size_t len);
/* The built-in initramfs, made from the host's static busybox and cached; *data is malloc'd. Exit status. */
int cache_initramfs(void **data, size_t *len);
/* Where busybox is, or NULL; a dynamically linked one does not count. */
const char *cache_busybox(void);

/* options.c: run's options, shared with trace. */
enum accel_choice { ACCEL_AUTO, ACCEL_KVM, ACCEL_KUSE };
struct run_options {
	struct vm_config vm;
	const char *params;     /* -p, may be NULL */
	enum accel_choice accel;
	char *const *command;   /* after --; NULL: none */
	bool profile;
	const char *profile_file; /* NULL: stderr */
	bool perf_map;
	const char *symbols;      /* a System.map, or NULL */
	bool help;
};
/* Prints one line and returns STATUS_USAGE for what it does not understand, else STATUS_OK. */
int options_parse(int argc, char **argv, struct run_options *opt);
void options_help(void);

/* symbols.c: syms is filled until vm_run returns. Exit status; ksyms_free in any case. */
int symbols_begin(struct run_options *opt, struct ksyms *syms);

/* profile.c, perf_map.c: around vm_run, for --profile and --perf-map. Exit statuses. */
struct profile;
int profile_begin(struct run_options *opt, const struct ksyms *syms, struct profile **p);
void profile_end(struct profile *p);
int perf_map_begin(void);
void perf_map_end(const struct ksyms *syms);

/* run.c: after options_parse. Returns an exit status. */
int run_guest(struct run_options *opt);

/* "kuse: " + text + newline on stderr; returns status. */
int complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
