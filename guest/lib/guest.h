/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A freestanding library for tiny guests: start-up by PVH, console on COM1, exit through the debug
 * port, exceptions that can be expected, page tables, ring 3, interrupts, a second CPU, and what a
 * guest can find out about its hypervisor. A guest is one C file with guest_main(); it returns 0,
 * or the number of failed checks. Memory: 64 MiB are assumed; see guest.ld.
 */
#ifndef KUSE_GUEST_H
#define KUSE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

int guest_main(void);

/* Code and data for ring 3: linked to the user page. Such functions call only such functions. */
#define USER_TEXT __attribute__((section(".user.text"), noinline, used))
#define USER_DATA __attribute__((section(".user.data"), used))
/* The same as USER_TEXT, in pages of its own: for what tells of the CPU (CPUID, RDTSC). */
#define USER_SPECIAL __attribute__((section(".user.special"), noinline, used))

/* ---- console and verdict (console.c) ------------------------------------------------------- */
#define DEBUG_EXIT_PORT 0xf4
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %c %d %u %x %lx %p */
_Noreturn void guest_exit(u32 code);
/* Ends the guest as skipped (77, as Meson has it), saying what is missing here. */
_Noreturn void guest_skip(const char *why);
extern int guest_failed;
void check_equal(u64 got, u64 want, const char *what, int line);
#define CHECK_EQ(got, want) check_equal((u64)(got), (u64)(want), #got " == " #want, __LINE__)
#define CHECK(cond) check_equal(!!(cond), 1, #cond, __LINE__)

/* ---- instructions ------------------------------------------------------------------------------ */
static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

struct cpuid { u32 a, b, c, d; };
static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
	return r;
}

#define READ_CR(n) ({ u64 v_; asm volatile("mov %%cr" #n ", %0" : "=r"(v_) : : "memory"); v_; })
#define WRITE_CR(n, v) asm volatile("mov %0, %%cr" #n : : "r"((u64)(v)) : "memory")
#define CR0_TS 0x8ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR4_PGE 0x80ull
#define CR4_FSGSBASE 0x10000ull
#define CR4_PCIDE 0x20000ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull

static inline void invlpg(u64 va) { asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static inline void sti_hlt(void) { asm volatile("sti; hlt; cli" : : : "memory"); }
static inline void pause(void) { asm volatile("pause" : : : "memory"); }

#define MSR_APIC_BASE 0x1b
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_SFMASK 0xc0000084u
#define MSR_TSC_DEADLINE 0x6e0

/* ---- exceptions and interrupts (trap.c) ------------------------------------------------------------ */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};
enum { V_DE = 0, V_DB = 1, V_BP = 3, V_OF = 4, V_UD = 6, V_NM = 7, V_DF = 8, V_TS = 10, V_NP = 11,
       V_SS = 12, V_GP = 13, V_PF = 14, V_MF = 16, V_AC = 17, V_XM = 19, V_USER_RETURN = 0x41, V_SYSTEM_CALL = 0x42 };
/* The last exception caught by trap_call. */
struct trap { struct frame f; u64 cr2; };
extern struct trap trap;
/* Runs fn(arg); an exception in it ends it. True if so, details in `trap`. */
bool trap_call(void (*fn)(u64), u64 arg);
/* The vector fn(arg) ended with, or -1. */
int trap_of(void (*fn)(u64), u64 arg);
/* A handler for one vector; it may change the frame, then the interrupted code goes on. NULL: none. */
void trap_handler(u8 vector, void (*fn)(struct frame *));
/* Vector uses this stack (IST slot 1..7); 0: none. */
void trap_ist(u8 vector, u8 slot, u64 stack_top);
/*
 * V_SYSTEM_CALL's gate is open to ring 3, too. INT 0x80 has a meaning on some hosts: its own test has that.
 */
/* Runs fn(arg) in ring 3 on a stack of its own. It ends by user_return(v) or an exception: the
 * vector (V_USER_RETURN for the first), details in `trap` (user_return's v is trap.f.rax). */
int user_call(void (*fn)(u64), u64 arg);
extern u64 user_rflags; /* ring 3 begins with these flags; 2 */
/*
 * From now on ring 3 is what it is under an operating system: interrupts are on, its code cannot be written
 * and its data not executed, all of XCR0 and the FSGSBASE instructions are enabled.
 */
void user_as_os(void);
#define user_return(v) asm volatile("int $0x41" : : "a"((u64)(v)) : "memory")
struct tss64 {
	u32 reserved0;
	u64 rsp[3], reserved1, ist[7], reserved2;
	u16 reserved3, iomap;
} __attribute__((packed));
extern struct tss64 tss;
extern u64 boot_gdt[];
extern u64 boot_pml4[];
struct gate { u64 lo, hi; };
extern struct gate idt[256];

/* ---- memory (paging.c) ------------------------------------------------------------------------------ */
#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
u64 page_alloc(void); /* 4 KiB, zeroed, mapped one to one */
/* Maps one page of 1 << shift bytes (12, 21, 30) in the tables at cr3; upper levels P|W|U. */
void page_map(u64 cr3, u64 va, u64 pa, u64 flags, unsigned shift);
/* The entry for va at the level whose pages are 1 << shift; NULL if an upper one is missing. */
u64 *page_entry(u64 cr3, u64 va, unsigned shift);
#define GUEST_VA 0x8000000000ull /* above what the start-up maps: for tests */

/* ---- interrupt controllers, time, a second CPU (apic.c) --------------------------------------------- */
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ICR 0x300
#define APIC_ICR2 0x310
#define APIC_LVTT 0x320
#define APIC_TMICT 0x380
#define APIC_TMCCT 0x390
#define APIC_TDCR 0x3e0
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 v);
void apic_enable(void);
void pic_init(u8 base, u16 unmasked); /* both 8259s: vectors from base, IRQs of the mask let through */
/* Starts CPU 1; it runs fn on its own stack and then halts with interrupts off. */
void ap_start(void (*fn)(void));
/* Waits with HLT and interrupts on until *word != old, or about `ms` milliseconds by TSC. */
bool wait_change(volatile u32 *word, u32 old, u32 ms);
u64 tsc_hz(void); /* measured against the PIT, once */

/* ---- the hypervisor (hypervisor.c) --------------------------------------------------------------------- */
enum hypervisor { HV_NONE, HV_ACRN, HV_JAILHOUSE, HV_KVM, HV_VMWARE, HV_HYPERV, HV_XEN, HV_UNKNOWN };
/* Looks for all signatures in all leaves; the highest priority wins. *base: its first CPUID leaf. */
enum hypervisor hypervisor_detect(u32 *base);
const char *hypervisor_name(enum hypervisor hv);
bool kvm_has(u32 feature_bit); /* KVM_FEATURE_* */
s64 kvm_hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d);
void kvmclock_enable(void);
u64 kvmclock_ns(void);
u64 kvmclock_wall_ns(void); /* at boot, since the epoch */

#endif
