/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kuse doctor [--json]: every start-up step of KUSE's KVM in Linux's order with its verdict and, where it
 * fails, the remedy; then what `kuse run` needs besides. Exit status 0 when a guest could run, else 1.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "virt/sys.h"

enum verdict { VERDICT_OK, VERDICT_NOTE, VERDICT_FAIL, VERDICT_SKIPPED };
static const char *const verdict_names[] = {
	[VERDICT_OK] = "ok",
	[VERDICT_NOTE] = "note",
	[VERDICT_FAIL] = "fail",
	[VERDICT_SKIPPED] = "not reached",
};

struct finding {
	const char *group, *name, *text, *remedy;
	enum verdict verdict;
	unsigned long ns;
};

/* Findings are printed as they come, or gathered for --json. */
struct report {
	json_t *array; /* NULL: text */
	const char *group;
	bool failed;
};

static void put_text(struct report *r, const struct finding *f)
{
	if (!r->group || strcmp(r->group, f->group) != 0)
		printf("%s%s:\n", r->group ? "\n" : "", f->group);
	r->group = f->group;
	printf("  %-11s %-28s %s", verdict_names[f->verdict], f->name, f->text ?: "");
	if (f->ns)
		printf(" (%lu us)", f->ns / 1000);
	printf("\n");
	if (f->remedy && f->verdict != VERDICT_OK)
		printf("  %-11s %-28s remedy: %s\n", "", "", f->remedy);
}

static void put(struct report *r, struct finding f)
{
	r->failed |= f.verdict == VERDICT_FAIL;
	if (!r->array) {
		put_text(r, &f);
		return;
	}
	json_array_append_new(r->array,
			      json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:I}", "group", f.group, "step", f.name,
					"verdict", verdict_names[f.verdict], "text", f.text, "remedy",
					f.verdict == VERDICT_OK ? NULL : f.remedy, "ns", (json_int_t)f.ns));
}

static void report_kuse(struct report *r)
{
	const struct kuse_init_step *steps;
	size_t n;

	kuse_init();
	n = kuse_init_report(&steps);
	for (size_t i = 0; i < n; i++) {
		const struct kuse_init_step *s = &steps[i];

		put(r, (struct finding){
			.group = "KUSE's KVM, start-up",
			.name = s->name,
			.text = s->verdict ?: (s->error < 0 ? strerror(-s->error) : NULL),
			.remedy = s->remedy,
			.verdict = s->error < 0 ? VERDICT_FAIL : s->error > 0 ? VERDICT_SKIPPED : VERDICT_OK,
			.ns = s->ns,
		});
	}
}

/* Not having the host's KVM is no failure: it is what KUSE is for. */
static void report_host_kvm(struct report *r)
{
	char why[200] = "a test guest runs on it (real mode and long mode)";
	bool works = accel_probe_host(why, sizeof(why));

	put(r, (struct finding){
		.group = "the host's KVM",
		.name = "/dev/kvm",
		.text = works ? "a test guest runs on it (real mode and long mode)" : why,
		.remedy = "none needed: --accel auto uses KUSE's KVM",
		.verdict = works ? VERDICT_OK : VERDICT_NOTE,
	});
}

static void report_files(struct report *r)
{
	const char *busybox = cache_busybox();
	char path[4096];
	bool have = cache_path(path, sizeof(path), "kernels/" MACHINE_ARCH "/vmlinuz") == 0 &&
		    access(path, R_OK) == 0;

	put(r, (struct finding){
		.group = "kuse run without --kernel",
		.name = "kernel",
		.text = have ? path : "the stock Debian kernel is not in the cache yet",
		.remedy = "none needed: the first `kuse run` fetches it with apt-get; or give --kernel FILE",
		.verdict = have ? VERDICT_OK : VERDICT_NOTE,
	});
	put(r, (struct finding){
		.group = "kuse run without --kernel",
		.name = "busybox",
		.text = busybox ?: "no static busybox on this host",
		.remedy = "apt-get install busybox-static",
		.verdict = busybox ? VERDICT_OK : VERDICT_NOTE,
	});
}

static int doctor_options(int argc, char **argv, bool *json)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			*json = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			printf("usage: kuse doctor [--json]\n\n"
			       "Every start-up step with its verdict and, where it fails, the remedy.\n"
			       "Status 1 if a guest cannot run.\n");
			exit(STATUS_OK);
		} else {
			return complain(STATUS_USAGE, "unknown option '%s'; `kuse doctor --help` lists them",
					argv[i]);
		}
	}
	return STATUS_OK;
}

int cmd_doctor(int argc, char **argv)
{
	struct report report = {0};
	bool json = false;
	int status = doctor_options(argc, argv, &json);

	if (status != STATUS_OK)
		return status;
	if (json)
		report.array = json_array();
	report_host_kvm(&report); /* forks: before KUSE starts threads */
	report_kuse(&report);
	report_files(&report);
	if (report.array) {
		json_t *all = json_pack("{s:b, s:o}", "ok", !report.failed, "steps", report.array);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	}
	return report.failed ? STATUS_FAILURE : STATUS_OK;
}
