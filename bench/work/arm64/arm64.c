/* SPDX-License-Identifier: Apache-2.0 */
/* NEON: AES-128 with the crypto extension, fused multiply-add; the results are those of the x86 workloads. */
#include <arm_neon.h>
#include <string.h>
#include "../work.h"

void work_relax(void)
{
	__asm__ volatile("yield");
}

/* Writes a function that adds a constant. movz w8, imm; movk w8, imm, lsl 16; add w0, w0, w8; ret */
void work_adder(void *code, uint32_t imm)
{
	uint32_t body[] = { 0x52800008 | (imm & 0xffff) << 5, 0x72a00008 | (imm >> 16) << 5, 0x0b080000, 0xd65f03c0 };

	memcpy(code, body, sizeof(body));
}

/* ---- aes: AES-128 in counter mode, eight blocks at a time -------------------------------------- */

#define AES_ROUNDS 10
#define AES_LANES 8
#define AES_CODE __attribute__((target("+crypto")))

/* SubWord of FIPS 197: with all columns alike, AESE's ShiftRows changes nothing. */
AES_CODE static uint32_t aes_sub_word(uint32_t w)
{
	uint8x16_t columns = vreinterpretq_u8_u32(vdupq_n_u32(w));

	return vgetq_lane_u32(vreinterpretq_u32_u8(vaeseq_u8(columns, vdupq_n_u8(0))), 0);
}

/* FIPS 197, section 5.2. */
AES_CODE static void aes_schedule(uint8x16_t *k)
{
	uint32_t rcon = 1, w[4];

	vst1q_u32(w, vreinterpretq_u32_u8(k[0]));
	for (int i = 1; i <= AES_ROUNDS; i++) {
		uint32_t t = aes_sub_word(w[3]);

		w[0] ^= (t >> 8 | t << 24) ^ rcon;
		for (int j = 1; j < 4; j++)
			w[j] ^= w[j - 1];
		k[i] = vreinterpretq_u8_u32(vld1q_u32(w));
		rcon = rcon << 1 ^ (rcon & 0x80 ? 0x11b : 0);
	}
}

AES_CODE static uint8x16_t aes_eight(const uint8x16_t *k, uint64x2_t count)
{
	uint8x16_t b[AES_LANES], sum = vdupq_n_u8(0);

	for (uint64_t i = 0; i < AES_LANES; i++)
		b[i] = vreinterpretq_u8_u64(vaddq_u64(count, vcombine_u64(vcreate_u64(i), vcreate_u64(0))));
	for (int r = 0; r < AES_ROUNDS - 1; r++)
		for (int i = 0; i < AES_LANES; i++)
			b[i] = vaesmcq_u8(vaeseq_u8(b[i], k[r]));
	for (int i = 0; i < AES_LANES; i++)
		sum = veorq_u8(sum, veorq_u8(vaeseq_u8(b[i], k[AES_ROUNDS - 1]), k[AES_ROUNDS]));
	return sum;
}

AES_CODE static uint64_t work_aes(unsigned rounds)
{
	uint64x2_t sum = vdupq_n_u64(0), count = vcombine_u64(vcreate_u64(1), vcreate_u64(7));
	uint64x2_t key = vcombine_u64(vcreate_u64(0x1032547698badcfe), vcreate_u64(0x0123456789abcdef));
	uint8x16_t k[AES_ROUNDS + 1];

	k[0] = vreinterpretq_u8_u64(key);
	aes_schedule(k);
	for (uint64_t i = 0; i < (uint64_t)rounds * 1000; i++) {
		sum = veorq_u64(vshlq_n_u64(sum, 1), vreinterpretq_u64_u8(aes_eight(k, count)));
		count = vaddq_u64(count, vcombine_u64(vcreate_u64(AES_LANES), vcreate_u64(0)));
	}
	return work_mix(work_mix(WORK_SUM, vgetq_lane_u64(sum, 0)), vgetq_lane_u64(sum, 1));
}

/* ---- fma ---------------------------------------------------------------------------------------- */

#define FMA_LANES 4
#define FMA_REGS 16 /* of two lanes: eight sums of four */

static uint64_t work_fma(unsigned rounds)
{
	float64x2_t acc[FMA_REGS], a = vdupq_n_f64(0.99951171875), add = vdupq_n_f64(0.125);
	double lanes[2 * FMA_REGS];
	uint64_t out = WORK_SUM;

	for (int i = 0; i < 2 * FMA_REGS; i++)
		lanes[i] = i / FMA_LANES + FMA_LANES - 1 - i % FMA_LANES;
	for (int i = 0; i < FMA_REGS; i++)
		acc[i] = vld1q_f64(lanes + 2 * i);
	for (uint64_t r = 0; r < (uint64_t)rounds * 1000; r++)
		for (int i = 0; i < FMA_REGS; i++)
			acc[i] = vfmaq_f64(add, acc[i], a);
	for (int i = 0; i < FMA_REGS; i++)
		vst1q_f64(lanes + 2 * i, acc[i]);
	for (int j = 0; j < FMA_LANES; j++) {
		double sum = 0;

		for (int i = j; i < 2 * FMA_REGS; i += FMA_LANES)
			sum += lanes[i];
		out = work_mix(out, work_bits(sum));
	}
	return out;
}

const struct workload arch_workloads[] = {
	{ "aes", "AES-128-CTR with the crypto extension", work_aes, 3000 },
	{ "fma", "fused multiply-add, packed double", work_fma, 4000 },
	{ NULL },
};
