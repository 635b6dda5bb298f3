/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge MIB THREADS SECONDS: the guest's own witness that its memory stays what it was.
 *
 * Each thread owns a part of an anonymous mapping. Every page holds words that are a function of its number
 * and its generation; a round checks a page whole, then writes its next generation. Generations live in a
 * table elsewhere, so a page that a migration lost, brought back old or mixed from two is told from one that
 * is right.
 * One line a second tells pages; the last line is `judge: ok` or, at once, `judge: MISMATCH`.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE_WORDS 512u

struct part {
	pthread_t thread;
	uint64_t *words;
	uint32_t *generations;
	size_t first, pages;
};

static atomic_bool stop;
static atomic_ulong pages_done;

static uint64_t word_of(size_t page, uint32_t generation, unsigned int i)
{
	uint64_t x = (page << 20 ^ (uint64_t)generation << 10 ^ i) * 0x9e3779b97f4a7c15u;

	return x ^ x >> 29;
}

static void check_page(const struct part *p, size_t page)
{
	const uint64_t *w = p->words + page * PAGE_WORDS;

	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		if (w[i] != word_of(page, p->generations[page], i)) {
			printf("judge: MISMATCH page %zu word %u generation %u: %lx\n", page, i,
			       p->generations[page], w[i]);
			exit(1);
		}
}

static void write_page(struct part *p, size_t page, uint32_t generation)
{
	p->generations[page] = generation;
	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		p->words[page * PAGE_WORDS + i] = word_of(page, generation, i);
}

static void *work(void *arg)
{
	struct part *p = arg;

	for (size_t page = p->first; page < p->first + p->pages; page++)
		write_page(p, page, 1);
	for (uint32_t round = 2; !stop; round++)
		for (size_t page = p->first; page < p->first + p->pages && !stop; page++) {
			check_page(p, page);
			write_page(p, page, round);
			pages_done++;
		}
	for (size_t page = p->first; page < p->first + p->pages; page++)
		check_page(p, page);
	return NULL;
}

int main(int argc, char **argv)
{
	size_t pages = (argc > 1 ? atoi(argv[1]) : 16) * 256ul;
	int threads = argc > 2 ? atoi(argv[2]) : 1, seconds = argc > 3 ? atoi(argv[3]) : 5;
	uint64_t *words = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
	uint32_t *generations = calloc(pages, sizeof(*generations));
	struct part parts[16];

	setvbuf(stdout, NULL, _IONBF, 0);
	if (words == MAP_FAILED || !generations || threads < 1 || threads > 16)
		return 2;
	for (int i = 0; i < threads; i++) {
		parts[i] = (struct part){0, words, generations, pages / threads * i, pages / threads};
		pthread_create(&parts[i].thread, NULL, work, &parts[i]);
	}
	for (int i = 0; i < seconds; i++) {
		sleep(1);
		printf("judge: second %d pages %lu\n", i, pages_done);
	}
	stop = true;
	for (int i = 0; i < threads; i++)
		pthread_join(parts[i].thread, NULL);
	puts("judge: ok");
	return 0;
}
