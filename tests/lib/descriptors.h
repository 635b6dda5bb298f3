/* SPDX-License-Identifier: Apache-2.0 */
/* How many file descriptors this process has, and a few for looking: only differences tell something. */
#ifndef KUSE_TESTS_DESCRIPTORS_H
#define KUSE_TESTS_DESCRIPTORS_H

#include <dirent.h>
#include <stdlib.h>

static inline int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (!d)
		abort();
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
