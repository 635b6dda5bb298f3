/* SPDX-License-Identifier: Apache-2.0 */
/* Integer work in user mode: what an engine does with straight code, branches, calls and indirect jumps. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "work.h"

/* ---- vm: a bytecode interpreter ------------------------------------------------------------- */

enum vm_op { VM_PUSH, VM_ADD, VM_XOR, VM_MUL, VM_DUP, VM_SWAP, VM_SHR,
	     VM_LOAD, VM_STORE, VM_DEC_JNZ, VM_HALT };

/* while (r0--) r1 = ((r1 + 7) * r2 ^ (r1 >> 3)), r2 += 3 */
static const uint8_t vm_program[] = {
	VM_LOAD, 1, VM_DUP, VM_PUSH, 7, VM_ADD, VM_LOAD, 2, VM_MUL, VM_SWAP, VM_PUSH, 3, VM_SHR, VM_XOR,
	VM_STORE, 1, VM_LOAD, 2, VM_PUSH, 3, VM_ADD, VM_STORE, 2, VM_DEC_JNZ, 0, 0, VM_HALT,
};

static uint64_t vm_run(const uint8_t *code, uint64_t *reg)
{
	static const void *const label[] = {
		[VM_PUSH] = &&push, [VM_ADD] = &&add, [VM_XOR] = &&xor, [VM_MUL] = &&mul,
		[VM_DUP] = &&dup, [VM_SWAP] = &&swap, [VM_SHR] = &&shr,
		[VM_LOAD] = &&load, [VM_STORE] = &&store,
		[VM_DEC_JNZ] = &&dec_jnz, [VM_HALT] = &&halt,
	};
	uint64_t stack[16], *sp = stack, t;
	const uint8_t *pc = code;

#define NEXT goto *label[*pc++]
	NEXT;
push:	*sp++ = *pc++; NEXT;
add:	sp--; sp[-1] += sp[0]; NEXT;
xor:	sp--; sp[-1] ^= sp[0]; NEXT;
mul:	sp--; sp[-1] *= sp[0]; NEXT;
dup:	sp[0] = sp[-1]; sp++; NEXT;
swap:	t = sp[-1]; sp[-1] = sp[-2]; sp[-2] = t; NEXT;
shr:	sp--; sp[-1] >>= sp[0] & 63; NEXT;
load:	*sp++ = reg[*pc++]; NEXT;
store:	reg[*pc++] = *--sp; NEXT;
dec_jnz:
	t = *pc++;
	if (--reg[t])
		pc = code + *pc;
	else
		pc++;
	NEXT;
halt:
	return reg[1];
#undef NEXT
}

static uint64_t work_vm(unsigned rounds)
{
	uint64_t reg[4] = { (uint64_t)rounds * 1000, 1, 5, 0 };

	return vm_run(vm_program, reg);
}

/* ---- icall ----------------------------------------------------------------------------------- */

#define ICALL(n, expression) \
	static __attribute__((noinline)) uint64_t icall_##n(uint64_t v) { return expression; }
ICALL(0, v + 0x9e3779b97f4a7c15ull)
ICALL(1, v ^ (v >> 29))
ICALL(2, v * 5 + 1)
ICALL(3, v - (v << 3))
ICALL(4, (v << 7) | (v >> 57))
ICALL(5, ~v)
ICALL(6, v ^ 0x5555)
ICALL(7, v + (v >> 3))

static uint64_t work_icall(unsigned rounds)
{
	static uint64_t (*const volatile table[])(uint64_t) = { icall_0, icall_1, icall_2, icall_3,
								icall_4, icall_5, icall_6, icall_7 };
	uint64_t v = 1;

	for (uint64_t i = 0; i < (uint64_t)rounds * 10000; i++)
		v = table[(v ^ i) & 7](v);
	return v;
}

/* ---- smc: code that rewrites itself ---------------------------------------------------------- */

static uint64_t work_smc(unsigned rounds)
{
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	uint32_t (*call)(uint32_t) = (uint32_t(*)(uint32_t))(uintptr_t)code;
	uint64_t sum = WORK_SUM;

	if (code == MAP_FAILED)
		work_fail("mmap of executable memory");
	for (uint32_t i = 0; i < rounds * 100; i++) {
		work_adder(code, i);
		__builtin___clear_cache((char *)code, (char *)code + 16);
		__asm__ volatile("" ::: "memory");
		sum = work_mix(sum, call(i >> 3));
	}
	munmap(code, 4096);
	return sum;
}

/* ---- sha256, scalar --------------------------------------------------------------------------- */

static const uint32_t sha_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t v, int n)
{
	return (v >> n) | (v << (32 - n));
}

static void sha_schedule(uint32_t *w, const uint8_t *block)
{
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 |
		       block[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ (a >> 3)) +
		       (ror(b, 17) ^ ror(b, 19) ^ (b >> 10));
	}
}

/* FIPS 180-4, section 6.2.2 */
static void sha_block(uint32_t *state, const uint8_t *block)
{
	uint32_t w[64], s[8];

	sha_schedule(w, block);
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) +
			      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(s[0]));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

static uint64_t work_sha256(unsigned rounds)
{
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	uint8_t block[64];

	for (int i = 0; i < 64; i++)
		block[i] = i;
	for (uint64_t r = 0; r < (uint64_t)rounds * 1000; r++) {
		block[r & 63] ^= state[0];
		sha_block(state, block);
	}
	return (uint64_t)state[0] << 32 | state[1];
}

/* ---- qsort ------------------------------------------------------------------------------------- */

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t work_qsort(unsigned rounds)
{
	size_t n = 100000;
	uint32_t *keys = malloc(n * sizeof(*keys));
	uint64_t seed = WORK_SEED, sum = WORK_SUM;

	if (!keys)
		work_fail("qsort");
	for (unsigned r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++)
			keys[i] = work_random(&seed) >> 32;
		qsort(keys, n, sizeof(*keys), compare_u32);
		for (size_t i = 0; i < n; i += 997)
			sum = work_mix(sum, keys[i]);
	}
	free(keys);
	return sum;
}

const struct workload cpu_workloads[] = {
	{ "int", "list, matrix, state machine, CRC", work_int, 5000 },
	{ "vm", "a bytecode interpreter", work_vm, 10000 },
	{ "calls", "deep recursive calls", work_calls, 7500 },
	{ "icall", "calls through function pointers", work_icall, 18000 },
	{ "smc", "a program that rewrites its own code", work_smc, 1800 },
	{ "sha256", "scalar C", work_sha256, 500 },
	{ "qsort", "4-byte keys", work_qsort, 50 },
	{ NULL },
};
