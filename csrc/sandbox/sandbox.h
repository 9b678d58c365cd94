/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - new namespaces with what a node or a pod needs in them, many in one call.
 *
 * Apart from the data plane: control calls this without the interpreter's lock, because the kernel
 * takes a millisecond for a sandbox. What a sandbox holds is the caller's choice (netsim/lab/
 * sandbox.py); nothing of it reaches the host.
 */
#ifndef NETSIM_SANDBOX_H
#define NETSIM_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#define SANDBOX_FILES_MAX   4
#define SANDBOX_SYSCTLS_MAX 8
#define SANDBOX_REPLY_BYTES 1024

struct sandbox_text {
	const char *name; /* of the file; NULL after the last one */
	const char *text;
};

/* What to make. Strings and requests are the caller's, until the call returns. */
struct sandbox_recipe {
	int net, uts;         /* those of another sandbox, to be shared; -1: new ones */
	const char *hostname; /* of new ones */
	struct sandbox_text files[SANDBOX_FILES_MAX + 1];     /* bound over those of /etc */
	struct sandbox_text sysctls[SANDBOX_SYSCTLS_MAX + 1]; /* below /proc/sys/net */
	const char *tun;       /* name of a TUN device, empty for none */
	uint32_t tun_index;    /* the device's */
	const void *requests;  /* rtnetlink messages, the last one acknowledged */
	size_t requests_bytes; /* 0: none */
};

/* What was made: descriptors, or all of them -1 and what went wrong. */
struct sandbox {
	int net, uts, mnt, tun;
	int error;        /* negative errno, 0 for success */
	const char *step; /* that failed, in static memory */
	const char *what; /* the step's object, of the recipe; NULL: none */
	size_t reply_bytes;
	char reply[SANDBOX_REPLY_BYTES]; /* what rtnetlink said, when it was that */
};

/**
 * sandbox_make() - Make @count sandboxes, in the calling thread; it ends up in the last one
 * @recipes:	what each should be
 * @made:	what became of it
 * @home:	descriptor of the thread's mount namespace, a copy of which each sandbox begins with
 *
 * The thread needs a working directory of its own (CLONE_FS). Mounts of @home must not propagate.
 *
 * Return: 0, or a negative errno when none could be begun; then @made is as it was.
 */
int sandbox_make(const struct sandbox_recipe *recipes, struct sandbox *made, size_t count,
		 int home);

#endif
