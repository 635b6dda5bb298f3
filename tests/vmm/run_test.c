/* SPDX-License-Identifier: Apache-2.0 */
/* vm_run on a scripted KVM: every way a guest ends, and the unwinding after every failing call. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/vmm/fake_kvm.h"
#include "tests/vmm/test.h"
#include "vmm/vcpu.h"

static char kernel[] = "/tmp/kuse-test-flat-XXXXXX";
static struct vm vm;

static struct vm_config config(void)
{
	return (struct vm_config){
		.name = "test",
		.kernel = kernel,
		.cmdline = "",
		.memory = 64 << 20,
		.cpus = 1,
		.format = BOOT_FLAT,
		.stuck_ms = 50,
	};
}

/* The guest's console output must not get into the test's. */
static enum vm_end run_config(const struct vm_config *cfg)
{
	int saved = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY);
	enum vm_end end;

	dup2(null, STDOUT_FILENO);
	end = vm_run(&vm, cfg, &accel_fake);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(null);
	assert_int_equal(fake.open_fds, 0);
	assert_int_equal(fake.mappings, 0);
	return end;
}

static enum vm_end play(const struct fake_exit *script, size_t len, struct vm_config cfg)
{
	fake_reset();
	fake.script = script;
	fake.script_len = len;
	return run_config(&cfg);
}

#define PLAY(...) play((const struct fake_exit[]){__VA_ARGS__}, \
		       sizeof((const struct fake_exit[]){__VA_ARGS__}) / sizeof(struct fake_exit), config())
#define OUT(port, bytes, v) {.reason = KVM_EXIT_IO, .write = true, .addr = port, .size = bytes, .value = v}
#define IN(port, bytes) {.reason = KVM_EXIT_IO, .addr = port, .size = bytes}
#define STORE(gpa, v) {.reason = KVM_EXIT_MMIO, .write = true, .addr = gpa, .size = 4, .value = v}
#define LOAD(gpa) {.reason = KVM_EXIT_MMIO, .addr = gpa, .size = 4}
#define POWEROFF OUT(0x604, 2, 0x2000 | 5 << 10)

static void test_poweroff(void **state)
{
	assert_int_equal(PLAY(POWEROFF), VM_END_POWEROFF);
	assert_string_equal(vm.end_text, "");
	/* another sleep type, or no enable bit, is no power-off */
	assert_int_equal(PLAY(OUT(0x604, 2, 0x2000 | 1 << 10), OUT(0x604, 2, 5 << 10), OUT(0xf4, 1, 3)),
			 VM_END_DEBUG_EXIT);
}

static void test_reset(void **state)
{
	assert_int_equal(PLAY(OUT(0xcf9, 1, 2), OUT(0xcf9, 1, 6)), VM_END_RESET);
	assert_int_equal(PLAY(OUT(0x64, 1, 0xfe)), VM_END_RESET);
	assert_int_equal(PLAY(OUT(0x64, 1, 0xd1), OUT(0x60, 1, 0xfe)), VM_END_RESET);
}

static void test_debug_exit(void **state)
{
	assert_int_equal(PLAY(OUT(0xf4, 1, 0)), VM_END_DEBUG_EXIT);
	assert_int_equal(vm.end_value, 1);
	assert_int_equal(PLAY(OUT(0xf4, 1, 0x10)), VM_END_DEBUG_EXIT);
	assert_int_equal(vm.end_value, 0x21);
	assert_int_equal(PLAY(OUT(0xf4, 1, 0xff)), VM_END_DEBUG_EXIT);
	assert_int_equal(vm.end_value, 0xff);
}

static void test_panic(void **state)
{
	static const char text[] = "Kernel panic - not syncing: VFS\n";
	struct fake_exit script[sizeof(text)];

	assert_int_equal(PLAY(OUT(0x505, 1, 1)), VM_END_PANIC);
	assert_non_null(strstr(vm.end_text, "panic"));
	/* a loaded crash kernel goes on */
	assert_int_equal(PLAY(OUT(0x505, 1, 2), POWEROFF), VM_END_POWEROFF);
	/* without the driver: the console tells, once the guest resets */
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		script[i] = (struct fake_exit)OUT(0x3f8, 1, text[i]);
	script[sizeof(text) - 1] = (struct fake_exit)OUT(0x64, 1, 0xfe);
	assert_int_equal(play(script, sizeof(text), config()), VM_END_PANIC);
	script[sizeof(text) - 1] = (struct fake_exit)POWEROFF;
	assert_int_equal(play(script, sizeof(text), config()), VM_END_POWEROFF);
}

static void test_command(void **state)
{
	const struct fake_exit done[] = {STORE(GPA_COMMAND, 42), POWEROFF}, lost[] = {POWEROFF};
	struct vm_config cfg = config();

	cfg.command = true;
	assert_int_equal(play(done, 2, cfg), VM_END_COMMAND);
	assert_int_equal(vm.end_value, 42);
	assert_int_equal(play(lost, 1, cfg), VM_END_NO_COMMAND);
	assert_int_equal(PLAY(LOAD(GPA_COMMAND), POWEROFF), VM_END_POWEROFF);
	assert_int_equal(PLAY(LOAD(GPA_COMMAND), { .reason = KVM_EXIT_SHUTDOWN }), VM_END_TRIPLE_FAULT);
	assert_int_equal(fake.last_read, 0x6b757365);
}

static void test_unclaimed(void **state)
{
	PLAY(IN(0xcfc, 4), { .reason = KVM_EXIT_SHUTDOWN });
	assert_int_equal(fake.last_read, 0xffffffff);
	PLAY(IN(0x80, 1), { .reason = KVM_EXIT_SHUTDOWN });
	assert_int_equal(fake.last_read, 0xff);
	PLAY(LOAD(0xfed00000), { .reason = KVM_EXIT_SHUTDOWN });
	assert_int_equal(fake.last_read, 0xffffffff);
}

static void test_failures(void **state)
{
	assert_int_equal(PLAY({ .reason = KVM_EXIT_SHUTDOWN }), VM_END_TRIPLE_FAULT);
	assert_int_equal(PLAY({ .reason = KVM_EXIT_INTERNAL_ERROR }), VM_END_KVM_ERROR);
	assert_int_equal(PLAY({ .reason = KVM_EXIT_FAIL_ENTRY }), VM_END_KVM_ERROR);
	assert_int_equal(PLAY({ .reason = 9999 }), VM_END_KVM_ERROR);
	assert_int_equal(PLAY({ .error = ENOMEM }), VM_END_HOST_MEMORY);
	assert_int_equal(PLAY({ .error = EIO }), VM_END_KVM_ERROR);
	assert_int_equal(PLAY({ .error = EINTR }, POWEROFF), VM_END_POWEROFF);
}

static void *end_later(void *seconds)
{
	usleep(600000);
	vm_end(&vm, VM_END_QUIT, 0, "%s", "");
	return NULL;
}

/* Halted with interrupts off is stuck; with interrupts on, a guest may sleep for ever. */
static void test_stuck(void **state)
{
	struct vm_config cfg = config();
	pthread_t thread;

	cfg.cpus = 3; /* the others wait for SIPI */
	fake_reset();
	fake.rflags = 2;
	assert_int_equal(run_config(&cfg), VM_END_STUCK);
	fake_reset();
	pthread_create(&thread, NULL, end_later, NULL);
	assert_int_equal(run_config(&cfg), VM_END_QUIT);
	pthread_join(thread, NULL);
}

static void *kill_later(void *sig)
{
	usleep(100000);
	kill(getpid(), (int)(long)sig);
	return NULL;
}

static void test_signals(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct vm_config cfg = config();
	pthread_t thread;

	loop_block_signals();
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		fake_reset();
		pthread_create(&thread, NULL, kill_later, (void *)(long)signals[i]);
		assert_int_equal(run_config(&cfg), VM_END_SIGNAL);
		assert_int_equal(vm.end_value, signals[i]);
		pthread_join(thread, NULL);
	}
}

/* Each call of the start fails once: a verdict with a text, and nothing left open or mapped. */
static void test_unwind(void **state)
{
	const struct fake_exit script[] = {POWEROFF};
	struct vm_config cfg = config();
	int n;

	cfg.cpus = 2;
	for (n = 1; n < 200; n++) {
		enum vm_end end;

		fake_reset();
		fake.script = script;
		fake.script_len = 1;
		fake.fail_at = n;
		fake.fail_errno = n & 1 ? ENOMEM : EIO;
		end = run_config(&cfg);
		if (fake.calls < n)
			break;
		if (end == VM_END_POWEROFF) /* a call whose failure a guest survives (MSRs, options) */
			continue;
		assert_int_not_equal(end, VM_END_NONE);
		assert_true(strlen(vm.end_text) > 10);
		assert_null(strchr(vm.end_text, '\n'));
	}
	assert_true(n > 30 && n < 200);
}

static void test_bad_files(void **state)
{
	struct vm_config cfg = config();

	fake_reset();
	cfg.kernel = "/nonexistent";
	assert_int_equal(run_config(&cfg), VM_END_KERNEL);
	cfg.kernel = "/tmp";
	assert_int_equal(run_config(&cfg), VM_END_KERNEL);
	cfg = config();
	cfg.initrd = "/nonexistent";
	assert_int_equal(run_config(&cfg), VM_END_INITRD);
	cfg.initrd = NULL;
	cfg.initrd_data = kernel;
	cfg.initrd_size = 65 << 20;
	assert_int_equal(run_config(&cfg), VM_END_INITRD);
	cfg = config();
	cfg.memory = 1 << 16;
	assert_int_equal(run_config(&cfg), VM_END_MEMORY);
	cfg.memory = 1ull << 60;
	assert_int_equal(run_config(&cfg), VM_END_HOST_MEMORY);
}

static int make_kernel(void **state)
{
	int fd = mkstemp(kernel);

	return fd < 0 || write(fd, "\xf4", 1) != 1 || close(fd) < 0;
}

static int remove_kernel(void **state)
{
	return unlink(kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_poweroff),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_debug_exit),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_unclaimed),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_unwind),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests_name("vmm_run", tests, make_kernel, remove_kernel);
}
