/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libkuse-preload.so: an unmodified KVM client sees a /dev/kvm that is ours.
 *
 * `kuse exec` starts the client with this library in LD_PRELOAD. The dynamic linker then binds the client's
 * open, ioctl, mmap, close ... to the functions of that name here. Each asks virt/sys.h one question (is the
 * descriptor, or the name, ours?) and either hands the call to KVM or passes it on to whatever comes after
 * us. KVM itself (virt/, arch/, hyp/) is linked into this library. All knowledge is there; nothing here
 * knows an ioctl. One worked example: QEMU calls open64("/dev/kvm", O_RDWR | O_CLOEXEC); open.c finds that
 * the name is ours; kuse_openat starts KVM up and returns the number of a memfd; ioctl(number,
 * KVM_CREATE_VM, 0) finds the number in KVM's table and goes to kuse_ioctl.
 *
 * Rules for living in a foreign process:
 *
 *  1. What is not ours costs one look into an array, takes no lock and reaches the next library with the
 *     same arguments, the same errno, and as a cancellation point where it was one. "Next" is
 *     dlsym(RTLD_NEXT), not the system call, so that other preloaded libraries keep working.
 *  2. A call that POSIX lets signal handlers make stays allowed there: no lock, no malloc, no stdio on the
 *     way of a call that is not ours. dlsym is neither, so all names are looked up in the constructor;
 *     only a call from a constructor that runs before ours looks them up itself.
 *  3. Nothing is done until the client opens /dev/kvm, but for rule 2, for wrapping signal handlers, and for
 *     CPUID (cpuid.c). A program that never touches KVM runs as before.
 *  4. KVM's own use of these calls must not come back to us: a close inside of KVM is not the client's close.
 *     The link editor's --wrap sends every such reference in virt/, arch/ and hyp/ to __wrap_<name> below,
 *     which jumps to the next library. (A flag "inside KVM" would fail in signal handlers.)
 *  5. We export the names of calls.inc and no other. KUSE's own symbols, and libraries linked in, stay
 *     hidden.
 *  6. The client's signal handlers are its own: it gets them back from sigaction as it set them, they see
 *     every signal that is not KVM's, and they run with the mask and flags it chose (signal.c).
 *  7. After start-up KVM makes no new kind of system call, so seccomp filters installed after it opened
 *     /dev/kvm and made its vCPUs need to know only futex and what they knew for the client's own sake. What
 *     KVM does besides (sched_yield) ends when the client sets a filter: prctl and seccomp are ours too.
 *  8. No output, no exit, no abort; errors are errno. What cannot be done in this process fails as a Linux
 *     without it would fail.
 *  9. vfork: the child shares our table. A close there is the child's descriptor only, so KVM is not told
 *     (virt/sys.c looks at the process id).
 */
#include "preload/preload.h"

#include <dlfcn.h>
#include <string.h>
#include "virt/sys.h"

/*
 * next_<name>, and rule 4's way there for KVM itself: a jump, which leaves every argument where it is. Before
 * anything was looked up (rule 2) it goes over resolve_and_retry, which saves what may hold arguments and
 * comes back to the stub's start.
 */
#define CALL_OWN(name) void *next_##name;
#define CALL(name)                                                                  \
	CALL_OWN(name)                                                              \
	__asm__(".text\n.hidden __wrap_" #name "\n.globl __wrap_" #name "\n"        \
		".type __wrap_" #name ", @function\n"                               \
		"__wrap_" #name ":\n"                                               \
		"	mov next_" #name "(%rip), %r11\n"                             \
		"	test %r11, %r11\n"                                           \
		"	lea __wrap_" #name "(%rip), %r10\n"                           \
		"	jz resolve_and_retry\n"                                      \
		"	jmp *%r11\n"                                                 \
		".size __wrap_" #name ", . - __wrap_" #name "\n");
#include "preload/calls.inc"
#undef CALL
#undef CALL_OWN

__asm__(".text\n.type resolve_and_retry, @function\n"
	"resolve_and_retry:\n"
	"	push %rdi\n	push %rsi\n	push %rdx\n	push %rcx\n"
	"	push %r8\n	push %r9\n	push %rax\n	push %r10\n"
	"	sub $8, %rsp\n" /* nine words and the return address: aligned */
	"	call preload_resolve_all\n"
	"	add $8, %rsp\n"
	"	pop %r10\n	pop %rax\n	pop %r9\n	pop %r8\n"
	"	pop %rcx\n	pop %rdx\n	pop %rsi\n	pop %rdi\n"
	"	jmp *%r10\n"
	".size resolve_and_retry, . - resolve_and_retry\n");

static const struct {
	void **slot;
	const char *name;
} calls[] = {
#define CALL(name) { &next_##name, #name },
#define CALL_OWN CALL
#include "preload/calls.inc"
#undef CALL
#undef CALL_OWN
};

__attribute__((used, visibility("hidden"))) void preload_resolve_all(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!__atomic_load_n(calls[i].slot, __ATOMIC_RELAXED))
			__atomic_store_n(calls[i].slot, dlsym(RTLD_NEXT, calls[i].name), __ATOMIC_RELAXED);
}

void *preload_resolve(void **slot)
{
	preload_resolve_all();
	return __atomic_load_n(slot, __ATOMIC_RELAXED);
}

/* KUSE_TRACE=CLASSES[:FILE] as `kuse exec --trace` sets it. */
static void trace_init(void)
{
	const char *text = getenv("KUSE_TRACE"), *file;
	char classes[64];
	int fd = STDERR_FILENO;

	if (!text || !*text)
		return;
	file = strchr(text, ':');
	snprintf(classes, sizeof(classes), "%.*s", file ? (int)(file - text) : (int)strlen(text), text);
	if (file)
		fd = NEXT(open)(file + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd >= 0)
		kuse_trace(classes, fd, false);
}

__attribute__((constructor)) static void preload_init(void)
{
	preload_resolve_all();
	kuse_descriptors_wrapped(true);
	preload_signal_init();
	preload_cpuid_init();
	trace_init();
}
