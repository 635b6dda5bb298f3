/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profiler. One thread wakes hz times a second and looks at every vCPU: asleep in kvm_vcpu_block, it is
 * idle and is left in peace; otherwise its thread gets SIGPROF, whose handler says what was interrupted
 * (hyp_cpu_sample) in the vCPU's slot. At the next turn the answer is counted. No answer by then: the host
 * had no CPU for that thread.
 *
 * So all counting is done by one thread, in a hash table of its own that may grow, and the vCPU's threads
 * pay for the signal only. Off, a KVM_RUN pays one load. The handler is KVM's own: no client's handler runs,
 * and KVM_RUN does not end, but for one that was just falling asleep, which ends with EINTR as by any signal.
 *
 * Slots are never given back to the system: a late signal may still write to one.
 */
#include "virt/profile.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "virt/sys.h"
#include "virt/worker.h"

#define SLOTS 1024
#define FIRST_BITS 12

enum { ANSWER_NONE, ANSWER_ASKED, ANSWER_THERE };

struct slot {
	struct kvm_vcpu *vcpu; /* under lock; NULL: none */
	pid_t tid;             /* atomic */
	u32 phase;             /* atomic, ANSWER_* */
	struct kuse_profile_sample answer;
};

bool kvm_profiling;
static struct slot slots[SLOTS];
static unsigned n_slots;
static __thread struct slot *here __attribute__((tls_model("initial-exec")));
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static bool stopping;
static u64 period_ns;
static struct sigaction old_action;

/* What was counted; open addressing by all of a sample but its count, which is 0 in a free entry. */
static struct kuse_profile_sample *counts;
static size_t n_counts;
static unsigned bits;

static const char *const state_names[KUSE_PROFILE_NR] = {
	[KUSE_PROFILE_CODE] = "translated code",
	[KUSE_PROFILE_DIRECT] = "directly executed user code",
	[KUSE_PROFILE_TRANSLATE] = "translating",
	[KUSE_PROFILE_TLB] = "soft-TLB miss, page walk",
	[KUSE_PROFILE_HELPER] = "helper",
	[KUSE_PROFILE_INTERP] = "interpreter",
	[KUSE_PROFILE_DISPATCH] = "dispatch, events",
	[KUSE_PROFILE_KVM] = "exit handling (KVM)",
	[KUSE_PROFILE_VMM] = "user space (VMM)",
	[KUSE_PROFILE_IDLE] = "idle",
	[KUSE_PROFILE_WAITING] = "waiting for a host CPU",
};
_Static_assert((int)KUSE_PROFILE_CODE == HYP_IN_CODE && (int)KUSE_PROFILE_DIRECT == HYP_IN_DIRECT &&
		       (int)KUSE_PROFILE_TRANSLATE == HYP_TRANSLATES &&
		       (int)KUSE_PROFILE_TLB == HYP_FILLS_TLB && (int)KUSE_PROFILE_HELPER == HYP_HELPS &&
		       (int)KUSE_PROFILE_INTERP == HYP_INTERPRETS &&
		       (int)KUSE_PROFILE_DISPATCH == HYP_DISPATCHES && (int)KUSE_PROFILE_KVM == HYP_OUTSIDE,
	       "on_sample copies it");

const char *kuse_profile_state_name(enum kuse_profile_state state)
{
	return (unsigned)state < KUSE_PROFILE_NR ? state_names[state] : NULL;
}

/* ---- on the vCPU's thread ----------------------------------------------------------------------------- */

static void on_sample(int sig, siginfo_t *si, void *ctx)
{
	struct kvm_vcpu *vcpu = kvm_get_running_vcpu();
	struct slot *s = here;
	struct hyp_sample h;

	if (!s || __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE) != ANSWER_ASKED)
		return;
	s->answer = (struct kuse_profile_sample){ .state = KUSE_PROFILE_VMM };
	if (vcpu) {
		hyp_cpu_sample(vcpu->hyp, ctx, &h);
		s->answer = (struct kuse_profile_sample){ .pc = h.pc, .root = h.user ? h.root : 0, .user = h.user,
							  .state = (unsigned char)h.doing };
	}
	__atomic_store_n(&s->phase, ANSWER_THERE, __ATOMIC_RELEASE);
}

static struct slot *slot_of(struct kvm_vcpu *vcpu)
{
	for (unsigned i = 0; i < n_slots; i++)
		if (slots[i].vcpu == vcpu)
			return &slots[i];
	if (n_slots == SLOTS)
		return NULL;
	slots[n_slots].vcpu = vcpu;
	return &slots[n_slots++];
}

void kvm_profile_enter(struct kvm_vcpu *vcpu)
{
	if (here && here->vcpu == vcpu)
		return;
	pthread_mutex_lock(&lock);
	here = slot_of(vcpu);
	if (here)
		__atomic_store_n(&here->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

void kvm_profile_forget(struct kvm_vcpu *vcpu)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n_slots; i++)
		if (slots[i].vcpu == vcpu)
			slots[i].vcpu = NULL;
	pthread_mutex_unlock(&lock);
}

void kvm_profile_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

/* The child has neither the sampling thread nor the threads that the slots are of. */
void kvm_profile_after_fork(bool child)
{
	if (child) {
		kvm_profiling = false;
		here = NULL;
		memset(slots, 0, n_slots * sizeof(slots[0]));
		n_slots = 0;
		free(counts);
		counts = NULL;
	}
	pthread_mutex_unlock(&lock);
}

/* ---- the sampling thread ------------------------------------------------------------------------------ */

static size_t hash(const struct kuse_profile_sample *s)
{
	u64 h = (s->pc ^ s->root << 20 ^ (u64)s->state << 50) * 0x9e3779b97f4a7c15ull;

	return h >> (64 - bits);
}

static struct kuse_profile_sample *find(const struct kuse_profile_sample *s)
{
	size_t i = hash(s);

	for (;; i = (i + 1) & ((1ul << bits) - 1)) {
		struct kuse_profile_sample *c = &counts[i];

		if (!c->count ||
		    (c->pc == s->pc && c->root == s->root && c->state == s->state && c->user == s->user))
			return c;
	}
}

static bool grow(void)
{
	struct kuse_profile_sample *old = counts, *now = calloc(2ul << bits, sizeof(*now));
	size_t n = 1ul << bits;

	if (!now)
		return false;
	counts = now;
	bits++;
	for (size_t i = 0; i < n; i++)
		if (old[i].count)
			*find(&old[i]) = old[i];
	free(old);
	return true;
}

static void count(const struct kuse_profile_sample *s)
{
	struct kuse_profile_sample *c;

	if (n_counts * 2 > 1ul << bits && !grow() && n_counts + 1 >= 1ul << bits)
		return;
	c = find(s);
	if (!c->count) {
		*c = *s;
		c->count = 0;
		n_counts++;
	}
	c->count++;
}

static void look_at(struct slot *s)
{
	static const struct kuse_profile_sample idle = { .state = KUSE_PROFILE_IDLE },
						waiting = { .state = KUSE_PROFILE_WAITING };
	u32 phase = __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE);

	if (phase == ANSWER_THERE) {
		count(&s->answer);
		__atomic_store_n(&s->phase, ANSWER_NONE, __ATOMIC_RELEASE);
	} else if (phase == ANSWER_ASKED) {
		count(&waiting);
		return;
	}
	if (!s->vcpu)
		return;
	if (__atomic_load_n(&s->vcpu->wait, __ATOMIC_RELAXED)) {
		count(&idle);
		return;
	}
	__atomic_store_n(&s->phase, ANSWER_ASKED, __ATOMIC_RELEASE);
	if (syscall(SYS_tgkill, getpid(), s->tid, SIGPROF))
		__atomic_store_n(&s->phase, ANSWER_NONE, __ATOMIC_RELEASE); /* that thread is gone */
}

static void *sampler(void *arg)
{
	u64 next = kvm_clock_monotonic_ns();

	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		struct timespec ts;

		next += period_ns;
		ts = (struct timespec){ (time_t)(next / 1000000000ull), (long)(next % 1000000000ull) };
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		if (kvm_clock_monotonic_ns() > next + 100 * period_ns)
			next = kvm_clock_monotonic_ns(); /* stopped meanwhile: no burst */
		pthread_mutex_lock(&lock);
		for (unsigned i = 0; i < n_slots; i++)
			look_at(&slots[i]);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* ---- the client's calls ---- */

int kuse_profile_start(unsigned int hz)
{
	struct sigaction sa = { .sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
	int err;

	if (!hz || hz > 100000)
		return -EINVAL;
	if (kvm_profiling)
		return -EBUSY;
	counts = calloc(1ul << FIRST_BITS, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	bits = FIRST_BITS;
	n_counts = 0;
	period_ns = 1000000000ull / hz;
	stopping = false;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGPROF, &sa, &old_action);
	err = kvm_worker_create(&thread, "kuse-profile", sampler, NULL);
	if (err) {
		sigaction(SIGPROF, &old_action, NULL);
		free(counts);
		return err;
	}
	__atomic_store_n(&kvm_profiling, true, __ATOMIC_RELEASE);
	return 0;
}

/* The handler stays where the action was the default one: a signal may still be on its way. */
long kuse_profile_stop(struct kuse_profile_sample **samples)
{
	size_t n = 0;

	*samples = NULL;
	if (!kvm_profiling)
		return -EINVAL;
	__atomic_store_n(&kvm_profiling, false, __ATOMIC_RELEASE);
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	if (old_action.sa_handler != SIG_DFL)
		sigaction(SIGPROF, &old_action, NULL);
	for (size_t i = 0; i < 1ul << bits; i++)
		if (counts[i].count)
			counts[n++] = counts[i];
	*samples = counts;
	counts = NULL;
	return (long)n;
}

unsigned long kuse_profile_interpreted(struct kuse_profile_insn *top, unsigned long n)
{
	struct hyp_insn_count rows[64];
	size_t used = hyp_interpreted(rows, MIN(n, ARRAY_SIZE(rows)));

	for (size_t i = 0; i < used; i++)
		top[i] = (struct kuse_profile_insn){ rows[i].name, rows[i].n };
	return used;
}
