/* SPDX-License-Identifier: Apache-2.0 */
/* The true random number generator's firmware interface (DEN0098), version 1.0. */
#include <string.h>
#include <sys/random.h>
#include "arch/arm64/arm64.h"

#define TRNG_VERSION 0x84000050u
#define TRNG_FEATURES 0x84000051u
#define TRNG_GET_UUID 0x84000052u
#define TRNG_RND32 0x84000053u
#define TRNG_RND64 0xc4000053u

#define TRNG_SUCCESS 0ull
#define TRNG_NOT_SUPPORTED (~0ull)
#define TRNG_INVALID_PARAMETER (~1ull)
#define TRNG_NO_ENTROPY (~2ull)

/* Which implementation it is: 0d21e000-4384-11eb-8070-5244554e5a4c, as KVM says. */
static const u8 trng_uuid[16] = { 0x0d, 0x21, 0xe0, 0x00, 0x43, 0x84, 0x11, 0xeb,
				  0x80, 0x70, 0x52, 0x44, 0x55, 0x4e, 0x5a, 0x4c };

static bool is_trng_call(u32 fn)
{
	return (fn >= TRNG_VERSION && fn <= TRNG_RND32) || fn == TRNG_RND64;
}

/* The lowest `bits` bits of n words are random, the others 0. */
static bool random_bits(u64 *words, u32 n, u32 bits)
{
	memset(words, 0, n * sizeof(*words));
	if (getrandom(words, (bits + 7) / 8, 0) < 0)
		return false;
	if (bits % 64)
		words[bits / 64] &= BIT_ULL(bits % 64) - 1;
	return true;
}

static int do_rnd(struct kvm_vcpu *vcpu, u32 word_bits)
{
	u32 bits = (u32)arm64s(vcpu)->x[1];
	u64 w[3];

	if (bits > 3 * word_bits)
		smccc_set_retval(vcpu, TRNG_INVALID_PARAMETER, 0, 0, 0);
	else if (!random_bits(w, 3, bits))
		smccc_set_retval(vcpu, TRNG_NO_ENTROPY, 0, 0, 0);
	else if (word_bits == 32)
		smccc_set_retval(vcpu, TRNG_SUCCESS, (u32)w[1], w[0] >> 32, (u32)w[0]);
	else
		smccc_set_retval(vcpu, TRNG_SUCCESS, w[2], w[1], w[0]);
	return 1;
}

static int get_uuid(struct kvm_vcpu *vcpu)
{
	u32 w[4];

	memcpy(w, trng_uuid, sizeof(w));
	smccc_set_retval(vcpu, w[0], w[1], w[2], w[3]);
	return 1;
}

int kvm_trng_call(struct kvm_vcpu *vcpu)
{
	u64 ret = TRNG_NOT_SUPPORTED;

	switch ((u32)arm64s(vcpu)->x[0]) {
	case TRNG_VERSION:
		ret = 0x10000;
		break;
	case TRNG_FEATURES:
		ret = is_trng_call((u32)arm64s(vcpu)->x[1]) ? TRNG_SUCCESS : TRNG_NOT_SUPPORTED;
		break;
	case TRNG_GET_UUID:
		return get_uuid(vcpu);
	case TRNG_RND32:
		return do_rnd(vcpu, 32);
	case TRNG_RND64:
		return do_rnd(vcpu, 64);
	}
	smccc_set_retval(vcpu, ret, 0, 0, 0);
	return 1;
}
