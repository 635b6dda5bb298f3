/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No write is lost: two vCPUs write every page of a slot over and over while the client copies what the dirty
 * log or the rings name, as a migration does. When they have been stopped and the rest is copied, the
 * copy must be the memory. A vCPU that is out for a full ring waits for the client to make room.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "tests/ioctl/ioctl.h"

#define NVCPU 2
#define RING_BYTES 4096u
#define RING_ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define LOG_GPA 0x400000u
#define PAGES 512u
#define LOG_SIZE (PAGES * 4096u)
#define ROUNDS_MS 600

static int kvm, vm;
static bool use_ring, stop;
static uint8_t *low, *mem, *copy;

static struct writer {
	int fd;
	struct kvm_run *run;
	struct kvm_dirty_gfn *ring;
	unsigned fetched;
	pthread_t thread;
	bool failed;
} w[NVCPU];

static void on_signal(int sig)
{
	kuse_signal_notify();
}

/* mov edi,LOG_GPA+4*n; l: inc dword [edi]; add edi,4096; cmp edi,end; jb l; jmp start */
static void put_code(unsigned n)
{
	uint32_t start = LOG_GPA + 4 * n, end = LOG_GPA + LOG_SIZE;
	uint8_t code[] = { 0xbf, 0, 0, 0, 0, 0xff, 0x07, 0x81, 0xc7, 0, 0x10, 0,
			   0, 0x81, 0xff, 0, 0, 0, 0, 0x72, 0xf0, 0xeb, 0xe9 };

	memcpy(code + 1, &start, 4);
	memcpy(code + 15, &end, 4);
	memcpy(low + 0x1000 + 0x100 * n, code, sizeof(code));
}

static void set_registers(unsigned n)
{
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_regs regs = { .rip = 0x1000 + 0x100 * n, .rsp = 0x8000, .rflags = 2 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs s;

	ok(IOCTL(w[n].fd, KVM_GET_SREGS, &s));
	s.cr0 |= 1;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	ok(IOCTL(w[n].fd, KVM_SET_SREGS, &s));
	ok(IOCTL(w[n].fd, KVM_SET_REGS, &regs));
	ok(IOCTL(w[n].fd, KVM_SET_MP_STATE, &runnable));
}

static void add_writer(unsigned n)
{
	w[n] = (struct writer){ .fd = IOCTL(vm, KVM_CREATE_VCPU, n) };
	ok(w[n].fd);
	w[n].run = k_mmap((size_t)IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), w[n].fd, 0);
	if (use_ring)
		w[n].ring = k_mmap(RING_BYTES, w[n].fd, KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
	put_code(n);
	set_registers(n);
}

static void up(bool ring)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args[0] = RING_BYTES };
	struct kvm_userspace_memory_region r = { 0, 0, 0, 0x10000, 0 };

	use_ring = ring;
	stop = false;
	kvm = k_open();
	vm = IOCTL(kvm, KVM_CREATE_VM, 0);
	if (ring)
		ok(IOCTL(vm, KVM_ENABLE_CAP, &cap));
	low = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	copy = calloc(1, LOG_SIZE);
	r.userspace_addr = (uintptr_t)low;
	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r));
	r = (struct kvm_userspace_memory_region){ 1, KVM_MEM_LOG_DIRTY_PAGES, LOG_GPA, LOG_SIZE, (uintptr_t)mem };
	ok(IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &r));
	for (unsigned n = 0; n < NVCPU; n++)
		add_writer(n);
}

static void down(void)
{
	for (unsigned n = 0; n < NVCPU; n++) {
		munmap(w[n].run, (size_t)IOCTL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
		if (use_ring)
			munmap(w[n].ring, RING_BYTES);
		ok(k_close(w[n].fd));
	}
	ok(k_close(vm));
	ok(k_close(kvm));
	munmap(low, 0x10000);
	munmap(mem, LOG_SIZE);
	free(copy);
}

/* What KVM_RUN may end with here: a signal, a full ring. */
static void *writer_main(void *arg)
{
	struct writer *self = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (!IOCTL(self->fd, KVM_RUN, 0)) {
			self->failed |= self->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL;
			sched_yield();
		} else {
			self->failed |= errno != EINTR;
		}
		if (self->failed)
			break;
	}
	return NULL;
}

static void copy_page(unsigned page)
{
	memcpy(copy + page * 4096, mem + page * 4096, 4096);
}

/* Bits of what is dirty, and armed again when this returns. */
static void collect_rings(uint64_t *bits)
{
	for (unsigned n = 0; n < NVCPU; n++)
		for (;; w[n].fetched++) {
			struct kvm_dirty_gfn *e = &w[n].ring[w[n].fetched % RING_ENTRIES];

			if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
				break;
			bits[e->offset / 64] |= 1ull << e->offset % 64;
			__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		}
	assert_return_code(IOCTL(vm, KVM_RESET_DIRTY_RINGS, 0), errno);
}

static unsigned round_of_copies(void)
{
	uint64_t bits[PAGES / 64] = { 0 };
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };
	unsigned n = 0;

	if (use_ring)
		collect_rings(bits);
	else
		ok(IOCTL(vm, KVM_GET_DIRTY_LOG, &log));
	for (unsigned i = 0; i < PAGES; i++)
		if (bits[i / 64] >> i % 64 & 1) {
			copy_page(i);
			n++;
		}
	return n;
}

static unsigned ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned)(ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

static void stop_writers(void)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (unsigned n = 0; n < NVCPU; n++)
		__atomic_store_n(&w[n].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	for (unsigned n = 0; n < NVCPU; n++) {
		pthread_kill(w[n].thread, SIGUSR1);
		pthread_join(w[n].thread, NULL);
		assert_false(w[n].failed);
	}
}

static void migrate(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned from = ms(), pages = 0;

	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned n = 0; n < NVCPU; n++)
		ok(pthread_create(&w[n].thread, NULL, writer_main, &w[n]));
	while (ms() - from < ROUNDS_MS)
		pages += round_of_copies();
	stop_writers();
	while (round_of_copies())
		;
	assert_true(pages > PAGES); /* it went on while they wrote */
	assert_memory_equal(copy, mem, LOG_SIZE);
}

static void by_log(void **state)
{
	up(false);
	migrate();
	down();
}

static void by_ring(void **state)
{
	up(true);
	migrate();
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(by_log), cmocka_unit_test(by_ring) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
