/* SPDX-License-Identifier: Apache-2.0 */
/* AES, SHA-1, SHA-2, SHA-3: one round step an instruction, as the pseudocode has it. */
#include "hyp/ir/interp.h"
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

#define W_OPC(w) ((w) >> 12 & 31)

/* ---- AES ---- */

/* opcode 4 AESE, 5 AESD, 6 AESMC, 7 AESIMC */
static unsigned aes_step(unsigned opcode)
{
	return (opcode < 6 ? IR_AES_SUB : IR_AES_MIX) | (opcode & 1 ? IR_AES_INVERSE : 0);
}

/* Hosts without AES instructions. */
static u64 helper_aes(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v *d = &cpu->s.v[W_RD(w)], n = cpu->s.v[W_RN(w)];

	if (W_OPC(w) < 6) {
		n.d[0] ^= d->d[0];
		n.d[1] ^= d->d[1];
	}
	ir_aes(aes_step(W_OPC(w)), (u8 *)&n);
	*d = n;
	return 0;
}

bool lift_aes(struct lift *l, const struct a64_insn *i)
{
	unsigned opcode = W_OPC(i->raw);
	u16 v;

	if (!__builtin_cpu_supports("aes"))
		return vec_call(l, i, helper_aes);
	v = lift_getv(l, F(i, Rn));
	if (opcode < 6)
		v = lift_vop(l, IR_VXOR, 3, lift_getv(l, F(i, Rd)), v);
	lift_setv(l, F(i, Rd), lift_cc_op(l, IR_VAES, IR_V128, (u8)aes_step(opcode), v));
	return true;
}

/* ---- SHA-1 ---- */

static u32 rol(u32 x, unsigned by)
{
	return x << by | x >> (32 - by);
}

static u32 choose(u32 x, u32 y, u32 z)
{
	return ((y ^ z) & x) ^ z;
}

static u32 majority(u32 x, u32 y, u32 z)
{
	return (x & y) | ((x | y) & z);
}

/* Four rounds. opcode 0 SHA1C, 1 SHA1P, 2 SHA1M */
static u64 helper_sha1(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u32 x[4], k[4], y = (u32)cpu->s.v[W_RN(w)].d[0];
	unsigned op = w >> 12 & 7;

	memcpy(x, &cpu->s.v[W_RD(w)], 16);
	memcpy(k, &cpu->s.v[W_RM(w)], 16);
	for (unsigned e = 0; e < 4; e++) {
		u32 t = op == 0   ? choose(x[1], x[2], x[3])
			: op == 1 ? x[1] ^ x[2] ^ x[3]
				  : majority(x[1], x[2], x[3]);
		y += rol(x[0], 5) + t + k[e];
		x[1] = rol(x[1], 30);
		t = y;
		y = x[3];
		x[3] = x[2];
		x[2] = x[1];
		x[1] = x[0];
		x[0] = t;
	}
	memcpy(&cpu->s.v[W_RD(w)], x, 16);
	return 0;
}

bool lift_sha1(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha1);
}

static u64 helper_sha1su0(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v *d = &cpu->s.v[W_RD(w)];
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)];
	struct arm64_v r = { { d->d[1] ^ d->d[0] ^ m->d[0], n->d[0] ^ d->d[1] ^ m->d[1] } };

	*d = r;
	return 0;
}

bool lift_sha1su0(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha1su0);
}

static u64 helper_sha1h(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	cpu->s.v[W_RD(w)] = (struct arm64_v){ { rol((u32)cpu->s.v[W_RN(w)].d[0], 30), 0 } };
	return 0;
}

bool lift_sha1h(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha1h);
}

static u64 helper_sha1su1(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u32 d[4], n[4];

	memcpy(d, &cpu->s.v[W_RD(w)], 16);
	memcpy(n, &cpu->s.v[W_RN(w)], 16);
	for (unsigned e = 0; e < 4; e++)
		d[e] = rol(d[e] ^ (e < 3 ? n[e + 1] : 0), 1);
	d[3] ^= rol(d[0], 1);
	memcpy(&cpu->s.v[W_RD(w)], d, 16);
	return 0;
}

bool lift_sha1su1(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha1su1);
}

/* ---- SHA-256 ---- */

static u32 ror(u32 x, unsigned by)
{
	return rol(x, 32 - by);
}

/* SHA256H, SHA256H2 (bit 12): four rounds over two halves of the state; the second gives the other half. */
static u64 helper_sha256h(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	bool second = w >> 12 & 1;
	u32 x[4], y[4], k[4];

	memcpy(x, &cpu->s.v[second ? W_RN(w) : W_RD(w)], 16);
	memcpy(y, &cpu->s.v[second ? W_RD(w) : W_RN(w)], 16);
	memcpy(k, &cpu->s.v[W_RM(w)], 16);
	for (unsigned e = 0; e < 4; e++) {
		u32 s1 = ror(y[0], 6) ^ ror(y[0], 11) ^ ror(y[0], 25),
		    s0 = ror(x[0], 2) ^ ror(x[0], 13) ^ ror(x[0], 22);
		u32 t = y[3] + s1 + choose(y[0], y[1], y[2]) + k[e], up = x[3] + t;
		u32 top = t + s0 + majority(x[0], x[1], x[2]);
		memmove(y + 1, y, 12);
		memmove(x + 1, x, 12);
		y[0] = up;
		x[0] = top;
	}
	memcpy(&cpu->s.v[W_RD(w)], second ? y : x, 16);
	return 0;
}

bool lift_sha256h(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha256h);
}

static u64 helper_sha256su0(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u32 d[5], n[4];

	memcpy(d, &cpu->s.v[W_RD(w)], 16);
	memcpy(n, &cpu->s.v[W_RN(w)], 16);
	d[4] = n[0];
	for (unsigned e = 0; e < 4; e++)
		d[e] += ror(d[e + 1], 7) ^ ror(d[e + 1], 18) ^ d[e + 1] >> 3;
	memcpy(&cpu->s.v[W_RD(w)], d, 16);
	return 0;
}

bool lift_sha256su0(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha256su0);
}

static u64 helper_sha256su1(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u32 d[4], n[4], m[4];

	memcpy(d, &cpu->s.v[W_RD(w)], 16);
	memcpy(n, &cpu->s.v[W_RN(w)], 16);
	memcpy(m, &cpu->s.v[W_RM(w)], 16);
	for (unsigned e = 0; e < 4; e++) {
		u32 t = e < 2 ? m[e + 2] : d[e - 2];
		d[e] += (ror(t, 17) ^ ror(t, 19) ^ t >> 10) + (e < 3 ? n[e + 1] : m[0]);
	}
	memcpy(&cpu->s.v[W_RD(w)], d, 16);
	return 0;
}

bool lift_sha256su1(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_sha256su1);
}

/* ---- SHA-512 ---- */

static u64 ror64(u64 x, unsigned by)
{
	return by ? x >> by | x << (64 - by) : x;
}

static u64 helper_sha512h(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v x = cpu->s.v[W_RN(w)], y = cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	u64 s1 = ror64(y.d[1], 14) ^ ror64(y.d[1], 18) ^ ror64(y.d[1], 41);
	u64 hi = d->d[1] + s1 + ((y.d[1] & x.d[0]) ^ (~y.d[1] & x.d[1]));
	u64 t = hi + y.d[0];
	u64 lo = d->d[0] + (ror64(t, 14) ^ ror64(t, 18) ^ ror64(t, 41)) + ((t & y.d[1]) ^ (~t & x.d[0]));

	*d = (struct arm64_v){ { lo, hi } };
	return 0;
}

static u64 helper_sha512h2(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v x = cpu->s.v[W_RN(w)], y = cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	u64 s0 = ror64(y.d[0], 28) ^ ror64(y.d[0], 34) ^ ror64(y.d[0], 39);
	u64 hi = d->d[1] + s0 + ((x.d[0] & y.d[1]) ^ (x.d[0] & y.d[0]) ^ (y.d[1] & y.d[0]));
	u64 lo = d->d[0] + (ror64(hi, 28) ^ ror64(hi, 34) ^ ror64(hi, 39)) +
		 ((hi & y.d[0]) ^ (hi & y.d[1]) ^ (y.d[1] & y.d[0]));

	*d = (struct arm64_v){ { lo, hi } };
	return 0;
}

static u64 helper_sha512su0(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u64 n = cpu->s.v[W_RN(w)].d[0];
	struct arm64_v *d = &cpu->s.v[W_RD(w)];

	d->d[0] += ror64(d->d[1], 1) ^ ror64(d->d[1], 8) ^ d->d[1] >> 7;
	d->d[1] += ror64(n, 1) ^ ror64(n, 8) ^ n >> 7;
	return 0;
}

static u64 helper_sha512su1(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v n = cpu->s.v[W_RN(w)], m = cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];

	for (unsigned e = 0; e < 2; e++)
		d->d[e] += (ror64(n.d[e], 19) ^ ror64(n.d[e], 61) ^ n.d[e] >> 6) + m.d[e];
	return 0;
}

bool lift_sha512h(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_sha512h); }
bool lift_sha512h2(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_sha512h2); }
bool lift_sha512su0(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_sha512su0); }
bool lift_sha512su1(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_sha512su1); }

/* ---- SHA-3 ---- */

#define W_RA(w) ((w) >> 10 & 31)

/* EOR3: n ^ m ^ a; BCAX (bit 21): n ^ (m & ~a) */
static u64 helper_eor3(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v n = cpu->s.v[W_RN(w)], m = cpu->s.v[W_RM(w)], a = cpu->s.v[W_RA(w)];

	for (unsigned e = 0; e < 2; e++)
		cpu->s.v[W_RD(w)].d[e] = n.d[e] ^ (w >> 21 & 1 ? m.d[e] & ~a.d[e] : m.d[e] ^ a.d[e]);
	return 0;
}

/* RAX1: n ^ rol(m, 1); XAR (bit 23): ror(n ^ m, imm6) */
static u64 helper_rax1(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct arm64_v n = cpu->s.v[W_RN(w)], m = cpu->s.v[W_RM(w)];

	for (unsigned e = 0; e < 2; e++)
		cpu->s.v[W_RD(w)].d[e] = w >> 23 & 1 ? ror64(n.d[e] ^ m.d[e], w >> 10 & 63)
						     : n.d[e] ^ ror64(m.d[e], 63);
	return 0;
}

bool lift_eor3(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_eor3); }
bool lift_rax1(struct lift *l, const struct a64_insn *i) { return vec_call(l, i, helper_rax1); }
