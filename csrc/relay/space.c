/* SPDX-License-Identifier: Apache-2.0 */
/* space.c - sockets in the nodes' network namespaces.
 *
 * We are in one for one system call only: who is in a node's namespace when that is given up is
 * killed (netsim/lab/init_keeper.py).
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int home = -1;

int space_init(void)
{
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return home < 0 ? -errno : 0;
}

int space_socket(int space, int type)
{
	int fd, error;

	if (setns(space, CLONE_NEWNET) < 0)
		return -errno;
	fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	error = errno;
	if (setns(home, CLONE_NEWNET) < 0) { /* we would work in the wrong place from now on */
		perror("relay: setns");
		exit(1);
	}
	return fd < 0 ? -error : fd;
}

bool is_exhausted(struct node *n, int error)
{
	static uint64_t told_ns;

	if (error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ENOBUFS &&
	    error != -ENOSPC) /* of epoll: watches */
		return false;
	n->counts.exhausted++;
	if (told_ns == 0 || loop_now_ns() - told_ns > UINT64_C(1000000000)) {
		told_ns = loop_now_ns();
		(void)fprintf(stderr,
			      "relay: out of descriptors or memory: connections are lost\n");
	}
	return true;
}
