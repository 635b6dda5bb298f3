/* SPDX-License-Identifier: Apache-2.0 */
/* Integer work that needs no library: in `work` as 64-bit code, in `work32` as 32-bit code. */
#include "work.h"

/* ---- int: list, matrix, state machine, CRC ------------------------------------------------- */

#define LIST_NODES 512
#define MATRIX_N 24

struct node {
	struct node *next;
	uint32_t value;
};

static uint64_t int_list(struct node *nodes, uint32_t salt)
{
	struct node *head = NULL;
	uint64_t sum = WORK_SUM;

	for (int i = 0; i < LIST_NODES; i++) {
		struct node **at = &head;

		nodes[i].value = (uint32_t)(i * 2654435761u) ^ salt;
		for (int steps = 0; *at && steps < 12 && (*at)->value < nodes[i].value; steps++)
			at = &(*at)->next;
		nodes[i].next = *at;
		*at = &nodes[i];
	}
	for (struct node *n = head; n; n = n->next)
		sum = work_mix(sum, n->value);
	return sum;
}

static uint64_t int_matrix(uint32_t salt)
{
	static uint32_t a[MATRIX_N][MATRIX_N], b[MATRIX_N][MATRIX_N];
	uint64_t sum = WORK_SUM;

	for (int i = 0; i < MATRIX_N * MATRIX_N; i++) {
		a[i / MATRIX_N][i % MATRIX_N] = i + salt;
		b[i / MATRIX_N][i % MATRIX_N] = i ^ salt;
	}
	for (int i = 0; i < MATRIX_N; i++)
		for (int j = 0; j < MATRIX_N; j++) {
			uint32_t dot = 0;

			for (int k = 0; k < MATRIX_N; k++)
				dot += a[i][k] * b[k][j];
			sum = work_mix(sum, dot);
		}
	return sum;
}

enum scan_state { SCAN_START, SCAN_SIGN, SCAN_INT, SCAN_FRACTION, SCAN_EXPONENT, SCAN_BAD, SCAN_STATES };

static enum scan_state scan_step(enum scan_state state, char c)
{
	if (c == ',')
		return SCAN_START;
	switch (state) {
	case SCAN_START:
		return c == '+' || c == '-' ? SCAN_SIGN : c >= '0' && c <= '9' ? SCAN_INT : SCAN_BAD;
	case SCAN_SIGN:
	case SCAN_INT:
		return c >= '0' && c <= '9' ? SCAN_INT : c == '.' ? SCAN_FRACTION : SCAN_BAD;
	case SCAN_FRACTION:
		return c >= '0' && c <= '9' ? SCAN_FRACTION : c == 'e' ? SCAN_EXPONENT : SCAN_BAD;
	case SCAN_EXPONENT:
		return c >= '0' && c <= '9' ? SCAN_EXPONENT : SCAN_BAD;
	default:
		return SCAN_BAD;
	}
}

static uint64_t int_scan(uint32_t salt)
{
	static const char text[] = "12,-3.25e7,x1,+99,4.5,7e1,0.125e3,-8,1234567,3..1,2.e9,-,+5.5,";
	uint32_t count[SCAN_STATES] = { 0 };
	enum scan_state state = SCAN_START;
	uint64_t sum = salt;

	for (int pass = 0; pass < 16; pass++)
		for (const char *c = text; *c; c++) {
			state = scan_step(state, *c);
			count[state]++;
		}
	for (int i = 0; i < SCAN_STATES; i++)
		sum = work_mix(sum, count[i]);
	return sum;
}

static uint64_t int_crc(uint64_t value)
{
	uint32_t crc = ~0u;

	for (int byte = 0; byte < 8; byte++) {
		crc ^= (value >> (8 * byte)) & 0xff;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

uint64_t work_int(unsigned rounds)
{
	static struct node nodes[LIST_NODES];
	uint64_t sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++) {
		sum = work_mix(sum, int_crc(int_list(nodes, r)));
		sum = work_mix(sum, int_crc(int_matrix(r)));
		for (int i = 0; i < 8; i++)
			sum = work_mix(sum, int_crc(int_scan(r + i)));
	}
	return sum;
}

/* ---- calls: deep recursion ------------------------------------------------------------------- */

static __attribute__((noinline, noclone)) uint64_t calls_tak(int x, int y, int z)
{
	uint64_t n = 1;

	__asm__ volatile(""); /* a call stays a call */
	if (y >= x)
		return z;
	n += calls_tak(x - 1, y, z);
	n += calls_tak(y - 1, z, x);
	return n + calls_tak(z - 1, x, y);
}

static __attribute__((noinline, noclone)) uint64_t calls_fib(unsigned n)
{
	__asm__ volatile("");
	return n < 2 ? n : calls_fib(n - 1) + calls_fib(n - 2);
}

uint64_t work_calls(unsigned rounds)
{
	uint64_t sum = WORK_SUM;

	for (unsigned r = 0; r < rounds; r++) {
		sum = work_mix(sum, calls_fib(20 + r % 3));
		sum = work_mix(sum, calls_tak(8 + r % 3, 4, 0));
	}
	return sum;
}
