/* SPDX-License-Identifier: Apache-2.0 */
/* Circular doubly linked lists threaded through the objects they hold. */
#ifndef KUSE_LIB_LIST_H
#define KUSE_LIB_LIST_H

#include "lib/types.h"

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name) { &(name), &(name) }

static inline void list_init(struct list_head *h)
{
	h->next = h->prev = h;
}

static inline void list_insert_between(struct list_head *e, struct list_head *prev, struct list_head *next)
{
	e->next = next;
	e->prev = prev;
	next->prev = e;
	prev->next = e;
}

static inline void list_add(struct list_head *e, struct list_head *head)
{
	list_insert_between(e, head, head->next);
}

static inline void list_add_tail(struct list_head *e, struct list_head *head)
{
	list_insert_between(e, head->prev, head);
}

/* Unlinks e and leaves it an empty list, so that a second list_del is harmless. */
static inline void list_del(struct list_head *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

static inline bool list_empty(const struct list_head *h)
{
	return h->next == h;
}

#define list_entry(p, type, member) container_of(p, type, member)
#define list_for_each_entry(pos, head, member)                                   \
	for (pos = list_entry((head)->next, __typeof__(*pos), member);           \
	     &pos->member != (head);                                             \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))
#define list_for_each_entry_safe(pos, n, head, member)                           \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),           \
	    n = list_entry(pos->member.next, __typeof__(*pos), member);          \
	     &pos->member != (head);                                             \
	     pos = n, n = list_entry(n->member.next, __typeof__(*n), member))

#endif
