/* SPDX-License-Identifier: Apache-2.0 */
/* no_segment.c - a kernel that can not cut datagrams: loaded before the C library (LD_PRELOAD), it
 * answers a sendmsg() that asks for UDP_SEGMENT with the errno in the variable NO_SEGMENT. A
 * seccomp filter can not: what is asked lies behind two pointers.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static int asks_to_cut(const struct msghdr *m)
{
	struct msghdr own = *m;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&own); c; c = CMSG_NXTHDR(&own, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			return 1;
	return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static ssize_t (*real)(int, const struct msghdr *, int);
	const char *error = getenv("NO_SEGMENT");
	static int told;

	if (asks_to_cut(message)) {
		if (!told++)
			(void)fputs("refused UDP_SEGMENT\n", stderr);
		errno = error ? (int)strtol(error, NULL, 10) : EIO;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
	return real(fd, message, flags);
}
