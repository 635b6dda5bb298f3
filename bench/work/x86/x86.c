/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only x86 has: string instructions, x87, sets beyond the baseline (AES-NI, AVX2, FMA). A workload of
 * a set that is not there fails.
 */
#include <errno.h>
#include <immintrin.h>
#include <string.h>
#include "../work.h"

void work_relax(void)
{
	__builtin_ia32_pause();
}

/* Writes a function that adds a constant. mov eax, imm; add eax, edi; ret */
void work_adder(void *code, uint32_t imm)
{
	static const uint8_t body[] = { 0xb8, 0, 0, 0, 0, 0x01, 0xf8, 0xc3 };

	if (!imm)
		memcpy(code, body, sizeof(body));
	memcpy((uint8_t *)code + 1, &imm, sizeof(imm));
}

static void need(int has, const char *what)
{
	if (has)
		return;
	errno = ENOTSUP;
	work_fail(what);
}

/* ---- aes: AES-128 in counter mode, eight blocks at a time -------------------------------------- */

#define AES_ROUNDS 10
#define AES_LANES 8

__attribute__((target("aes,sse2"))) static __m128i aes_expand(__m128i key, __m128i assist)
{
	assist = _mm_shuffle_epi32(assist, 0xff);
	for (int i = 0; i < 3; i++)
		key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
	return _mm_xor_si128(key, assist);
}

/* FIPS 197, section 5.2. The round constant is an immediate. */
#define AES_KEY(i, rcon) k[i] = aes_expand(k[i - 1], _mm_aeskeygenassist_si128(k[i - 1], rcon))
__attribute__((target("aes,sse2"))) static void aes_schedule(__m128i *k)
{
	AES_KEY(1, 0x01);
	AES_KEY(2, 0x02);
	AES_KEY(3, 0x04);
	AES_KEY(4, 0x08);
	AES_KEY(5, 0x10);
	AES_KEY(6, 0x20);
	AES_KEY(7, 0x40);
	AES_KEY(8, 0x80);
	AES_KEY(9, 0x1b);
	AES_KEY(10, 0x36);
}

__attribute__((target("aes,sse2"))) static __m128i aes_eight(const __m128i *k, __m128i count)
{
	__m128i b[AES_LANES], sum = _mm_setzero_si128();

	for (int i = 0; i < AES_LANES; i++)
		b[i] = _mm_xor_si128(_mm_add_epi64(count, _mm_set_epi64x(0, i)), k[0]);
	for (int r = 1; r < AES_ROUNDS; r++)
		for (int i = 0; i < AES_LANES; i++)
			b[i] = _mm_aesenc_si128(b[i], k[r]);
	for (int i = 0; i < AES_LANES; i++)
		sum = _mm_xor_si128(sum, _mm_aesenclast_si128(b[i], k[AES_ROUNDS]));
	return sum;
}

__attribute__((target("aes,sse2"))) static uint64_t work_aes(unsigned rounds)
{
	__m128i k[AES_ROUNDS + 1], sum = _mm_setzero_si128(), count = _mm_set_epi64x(7, 1);

	need(__builtin_cpu_supports("aes"), "AES-NI");
	k[0] = _mm_set_epi64x(0x0123456789abcdef, 0x1032547698badcfe);
	aes_schedule(k);
	for (uint64_t i = 0; i < (uint64_t)rounds * 1000; i++) {
		sum = _mm_xor_si128(_mm_slli_epi64(sum, 1), aes_eight(k, count));
		count = _mm_add_epi64(count, _mm_set_epi64x(0, AES_LANES));
	}
	return work_mix(work_mix(WORK_SUM, (uint64_t)sum[0]), (uint64_t)sum[1]);
}

/* ---- avx2: integer lanes, gathers, permutations ------------------------------------------------- */

__attribute__((target("avx2"))) static uint64_t work_avx2(unsigned rounds)
{
	static uint32_t table[1024] __attribute__((aligned(32)));
	__m256i sum = _mm256_set1_epi32(1), turn = _mm256_set_epi32(0, 7, 6, 5, 4, 3, 2, 1);
	uint64_t seed = WORK_SEED, out = WORK_SUM;

	need(__builtin_cpu_supports("avx2"), "AVX2");
	for (int i = 0; i < 1024; i++)
		table[i] = (uint32_t)(work_random(&seed) >> 32);
	for (uint64_t r = 0; r < rounds; r++)
		for (int i = 0; i < 1024; i += 8) {
			__m256i v = _mm256_load_si256((const __m256i *)(table + i));
			__m256i at = _mm256_and_si256(sum, _mm256_set1_epi32(1023));

			v = _mm256_mullo_epi32(_mm256_xor_si256(v, sum), _mm256_set1_epi32(0x9e3779b1));
			v = _mm256_add_epi32(v, _mm256_i32gather_epi32((const int *)table, at, 4));
			sum = _mm256_permutevar8x32_epi32(_mm256_alignr_epi8(v, sum, 4), turn);
		}
	for (int i = 0; i < 4; i++)
		out = work_mix(out, (uint64_t)sum[i]);
	return out;
}

/* ---- fma ---------------------------------------------------------------------------------------- */

__attribute__((target("avx2,fma"))) static uint64_t work_fma(unsigned rounds)
{
	__m256d acc[8], a = _mm256_set1_pd(0.99951171875), sum = _mm256_setzero_pd();
	uint64_t out = WORK_SUM;

	need(__builtin_cpu_supports("fma"), "FMA");
	for (int i = 0; i < 8; i++)
		acc[i] = _mm256_set_pd(i, i + 1, i + 2, i + 3);
	for (uint64_t r = 0; r < (uint64_t)rounds * 1000; r++)
		for (int i = 0; i < 8; i++)
			acc[i] = _mm256_fmadd_pd(acc[i], a, _mm256_set1_pd(0.125));
	for (int i = 0; i < 8; i++)
		sum = _mm256_add_pd(sum, acc[i]);
	for (int i = 0; i < 4; i++)
		out = work_mix(out, work_bits(sum[i]));
	return out;
}

/* ---- repmovs: rep movsb and rep stosb ------------------------------------------------------------ */

#define REP_SIZE (64ul * 1024)

static uint64_t work_repmovs(unsigned rounds)
{
	static uint8_t a[REP_SIZE] __attribute__((aligned(4096))), b[REP_SIZE] __attribute__((aligned(4096)));
	uint64_t sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++) {
		void *d = a, *s = b;
		size_t n = REP_SIZE / 2;

		__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(r & 0xff) : "memory");
		d = b;
		s = a;
		n = REP_SIZE;
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		sum = work_mix(sum, b[r % REP_SIZE] + b[REP_SIZE - 1]);
	}
	return sum;
}

/* ---- x87 ------------------------------------------------------------------------------------------ */

static uint64_t work_x87(unsigned rounds)
{
	volatile long double step = 1.0L / 3;
	long double v = 1;

	for (uint64_t i = 1; i <= (uint64_t)rounds * 1000; i++)
		v = v * 0.999L + step / (i & 1023 ? i & 1023 : 1);
	return work_bits((double)v);
}

const struct workload arch_workloads[] = {
	{ "repmovs", "rep movsb and rep stosb", work_repmovs, 30000 },
	{ "x87", "long double", work_x87, 12000 },
	{ "aes", "AES-128-CTR with AES-NI", work_aes, 3000 },
	{ "avx2", "AVX2 integers, gather, permute", work_avx2, 60000 },
	{ "fma", "FMA, packed double", work_fma, 4000 },
	{ NULL },
};
