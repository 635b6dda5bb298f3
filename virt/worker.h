/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUSE_VIRT_WORKER_H
#define KUSE_VIRT_WORKER_H

#include <pthread.h>

/* Starts one of KVM's own threads, named for ps, with every asynchronous signal blocked: the client's
 * signals are the client's threads' business. 0 or -errno. */
int kvm_worker_create(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg);

#endif
