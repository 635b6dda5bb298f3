/* SPDX-License-Identifier: Apache-2.0 */
#include "virt/ioctl.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include "virt/uaccess.h"

#define IOCTL_DATA_MAX 4160 /* the largest fixed-size argument is struct kvm_xsave, 4096 bytes */

const struct kvm_ioctl_row *kvm_ioctl_find(const struct kvm_ioctl_row *rows, size_t n, unsigned int cmd)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].cmd == cmd)
			return &rows[i];
	return NULL;
}

long kvm_ioctl_call(const struct kvm_ioctl_row *row, void *obj, unsigned long arg)
{
	u8 data[IOCTL_DATA_MAX] __attribute__((aligned(64)));
	size_t size = _IOC_SIZE(row->cmd);
	long ret;

	if (!(row->flags & (ARG_IN | ARG_OUT)))
		return row->fn(obj, NULL, arg);
	if (size > sizeof(data))
		return -EINVAL;
	if (!(row->flags & ARG_IN))
		memset(data, 0, size);
	else if (copy_from_client(data, arg, size))
		return -EFAULT;
	ret = row->fn(obj, data, arg);
	if (ret >= 0 && (row->flags & ARG_OUT) && copy_to_client(arg, data, size))
		return -EFAULT;
	return ret;
}
