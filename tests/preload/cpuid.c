/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that executes CPUID itself and opens /dev/kvm only where it finds VMX or SVM, as kvmtool does.
 * Bytes that look like CPUID and are not must stay as they are. Argument "native": KUSE_CPUID is native.
 */
#include "client.h"

#include <pthread.h>

static void cpuid(uint32_t r[4], uint32_t leaf, uint32_t subleaf)
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(subleaf));
}

static bool cpu_supports_vm(void)
{
	uint32_t r[4], base, bit;

	cpuid(r, 0, 0);
	if (r[1] == 0x756e6547) /* GenuineIntel */
		base = 0, bit = 5;
	else if (r[1] == 0x68747541) /* AuthenticAMD */
		base = 0x80000000, bit = 2;
	else
		return false;
	cpuid(r, base, 0);
	if (r[0] < base + 1)
		return false;
	cpuid(r, base + 1, 0);
	return r[2] >> bit & 1;
}

/* 0f a2 as an immediate, and as a displacement. */
static uint32_t not_an_instruction(void)
{
	uint32_t a;

	__asm__ volatile("mov $0x1122a20f, %0" : "=r"(a));
	return a;
}

static const uint8_t *code_of_immediate(void)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)not_an_instruction;

	return memmem(p, 32, "\x22\x11", 2);
}

/* Data between functions, with no unwind information about it. */
__asm__(".text\ndata_in_text: .byte 0x0f, 0xa2, 0x0f, 0xa2\n");
extern const uint8_t data_in_text[];

/* Data within a function: after a jump, never executed; what follows does not decode as the code it is. */
__asm__(".text\n.type odd_function, @function\nodd_function:\n.cfi_startproc\n"
	"	jmp 1f\n"
	"	.byte 0x0f, 0xa2, 0x48\n"
	"1:	mov $7, %eax\n"
	"	ret\n"
	".cfi_endproc\n.size odd_function, . - odd_function\n");
int odd_function(void);

static uint64_t flags_around_cpuid(void)
{
	uint64_t before, after;
	uint32_t a = 0, c = 0;

	__asm__ volatile("stc; pushfq; pop %0; cpuid; pushfq; pop %1"
			 : "=&r"(before), "=&r"(after), "+a"(a), "+c"(c)
			 :
			 : "rbx", "rdx", "cc");
	return before ^ after;
}

static void *in_thread(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	*(int *)arg = cpu_supports_vm();
	return NULL;
}

static bool opens_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR);
	bool ok = fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == 12;

	close(fd);
	return ok;
}

int main(int argc, char **argv)
{
	bool native = argc > 1;
	uint32_t a[4], b[4];
	pthread_t thread;
	int found = 0;

	CHECK("0f a2 in an immediate stays", not_an_instruction() == 0x1122a20f && code_of_immediate());
	CHECK("data in the text stays", data_in_text[0] == 0x0f && data_in_text[2] == 0x0f);
	CHECK("a function that does not decode stays",
	      ((uint8_t *)(uintptr_t)odd_function)[2] == 0x0f && odd_function() == 7);
	cpuid(a, 0, 0);
	CHECK("the vendor is the host's", a[1] == 0x756e6547 || a[1] == 0x68747541 || a[1]);
	cpuid(a, 7, 0);
	cpuid(b, 7, 1);
	CHECK("subleaves are told apart", memcmp(a, b, sizeof(a)) != 0);
	CHECK("CPUID changes no flags", flags_around_cpuid() == 0);
	if (native) {
		printf("# CPUID shows the extension: %d\n", cpu_supports_vm());
		return done();
	}
	CHECK("CPUID shows VMX or SVM", cpu_supports_vm());
	CHECK("so /dev/kvm is opened", cpu_supports_vm() && opens_kvm());
	CHECK("and afterwards too", cpu_supports_vm());
	pthread_create(&thread, NULL, in_thread, &found);
	pthread_join(thread, NULL);
	CHECK("on a thread that blocks all signals", found == 1);
	signal(SIGTRAP, SIG_IGN);
	CHECK("with SIGTRAP ignored", cpu_supports_vm());
	return done();
}
