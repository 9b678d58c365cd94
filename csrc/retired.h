/* SPDX-License-Identifier: Apache-2.0 */
/* retired.h - memory that was replaced but that readers may still see. Rank 0.
 *
 * The header is the first member of what it retires. tables.c frees it after a quiet point; whoever
 * has no readers uses retired_free() at once.
 */
#ifndef NETSIM_RETIRED_H
#define NETSIM_RETIRED_H

#include <stdlib.h>

#include "base.h"

struct retired {
	struct retired *next;
	uint64_t generation;                /* in which it went; tables.c's own */
	void (*release)(struct retired *r); /* NULL: free() of the header frees it all */
};

static inline void retired_push(struct retired **list, struct retired *r)
{
	r->next = *list;
	*list = r;
}

/**
 * retired_free() - Free a list of retired memory
 * @list:	first piece or NULL; no reader may see any of them
 */
static inline void retired_free(struct retired *list)
{
	while (list) {
		struct retired *next = list->next;

		if (list->release)
			list->release(list);
		else
			free(list);
		list = next;
	}
}

#endif
