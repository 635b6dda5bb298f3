/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "tests/hyp_direct/stub_guest.h"

bool stub_guest_init(struct stub_guest *g)
{
	memset(g, 0, sizeof(*g));
	g->stub = hyp_stub_create();
	if (!g->stub && (errno == ENOSYS || errno == EPERM || errno == EACCES))
		return false;
	assert_non_null(g->stub);
	g->ram = memfd_create("stub-test", MFD_CLOEXEC);
	assert_true(g->ram >= 0);
	assert_return_code(ftruncate(g->ram, RAM_PAGES * 4096), errno);
	g->code = mmap(NULL, RAM_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g->ram, 0);
	assert_ptr_not_equal(g->code, MAP_FAILED);
	g->data = g->code + 4096;
	assert_true(hyp_stub_map(g->stub, CODE, 4096, PROT_READ | PROT_EXEC, g->ram, 0, true));
	assert_true(hyp_stub_map(g->stub, DATA, 4096, PROT_READ | PROT_WRITE, g->ram, 4096, true));
	assert_int_equal(hyp_stub_flush(g->stub), 0);
	g->r.gpr[RSP] = DATA + 4096;
	return true;
}

void stub_guest_exit(struct stub_guest *g)
{
	hyp_stub_destroy(g->stub);
	munmap(g->code, RAM_PAGES * 4096);
	close(g->ram);
}

int stub_guest_go(struct stub_guest *g)
{
	int ret;

	hyp_stub_set_regs(g->stub, &g->r);
	ret = hyp_stub_run(g->stub, &g->stop);
	hyp_stub_get_regs(g->stub, &g->r);
	return ret;
}

int stub_guest_run(struct stub_guest *g, const void *code, size_t size)
{
	memcpy(g->code, code, size);
	g->r.rip = CODE;
	return stub_guest_go(g);
}
