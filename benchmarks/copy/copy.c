/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - packets from one TUN to another and back, bare: the least that a data plane can do.
 *
 * Usage: copy io_uring|epoll FD FD. With either method as csrc/ uses it: standing reads into
 * provided buffers and one system call per round, or one read and one write per packet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "uring.h"

enum {
	BUFFERS = 256,
	BUFFER_BYTES = 65536 + 64,
	REQUESTS = 512,
	RESULTS = 4096,
	ROUND = 64,
	FORWARDED = 2, /* user data of writes; of reads it is the iface's number */
};

static int fds[2];
static uint8_t *memory;

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	(void)fprintf(stderr, "copy: %s: %s\n", what, strerror(errno ? errno : -result));
	exit(1);
}

static void copy_epoll(void)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[2];

	must(epoll_fd, "epoll_create1");
	for (unsigned n = 0; n < 2; n++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = n};

		must(fcntl(fds[n], F_SETFL, fcntl(fds[n], F_GETFL) | O_NONBLOCK), "fcntl");
		must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[n], &e), "epoll_ctl");
	}
	for (;;) {
		int ready = epoll_wait(epoll_fd, events, 2, -1);

		for (int k = 0; k < ready; k++) {
			unsigned from = events[k].data.u32;

			for (unsigned n = 0; n < ROUND; n++) {
				ssize_t len = read(fds[from], memory, BUFFER_BYTES);

				if (len <= 0)
					break;
				(void)!write(fds[!from], memory, (size_t)len);
			}
		}
	}
}

struct copier {
	struct uring *uring;
	struct io_uring_buf_ring *ring;
	uint16_t tail;
	uint16_t used[BUFFERS]; /* to be given back once their writes have ended */
	unsigned used_count;
	bool unarmed[2];
};

static void give(struct copier *c, uint16_t id)
{
	struct io_uring_buf *b = &c->ring->bufs[c->tail++ & (BUFFERS - 1)];

	b->addr = (uintptr_t)(memory + (size_t)id * BUFFER_BYTES);
	b->len = BUFFER_BYTES;
	b->bid = id;
}

static void arm(struct copier *c)
{
	for (unsigned n = 0; n < 2; n++) {
		struct io_uring_sqe *sqe;

		if (!c->unarmed[n])
			continue;
		c->unarmed[n] = false;
		sqe = uring_request(c->uring);
		sqe->opcode = URING_OP_READ_MULTISHOT;
		sqe->flags = IOSQE_BUFFER_SELECT;
		sqe->fd = fds[n];
		sqe->off = (uint64_t)-1;
		sqe->user_data = n;
	}
}

static void forward(struct copier *c, unsigned from, const struct io_uring_cqe *e)
{
	uint16_t id = (uint16_t)(e->flags >> IORING_CQE_BUFFER_SHIFT);
	struct io_uring_sqe *sqe =
	    uring_request(c->uring); /* as many requests as buffers at least */

	sqe->opcode = IORING_OP_WRITE;
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->rw_flags = RWF_NOWAIT;
	sqe->fd = fds[!from];
	sqe->off = (uint64_t)-1;
	sqe->addr = (uintptr_t)(memory + (size_t)id * BUFFER_BYTES);
	sqe->len = (uint32_t)e->res;
	sqe->user_data = FORWARDED;
	c->used[c->used_count++] = id;
}

static void round_of(struct copier *c)
{
	const struct io_uring_cqe *e;

	__atomic_store_n(&c->ring->tail, c->tail, __ATOMIC_RELEASE);
	arm(c);
	must(uring_enter(c->uring, UINT64_MAX), "io_uring_enter");
	while (c->used_count)
		give(c, c->used[--c->used_count]);
	for (; (e = uring_result(c->uring)) != NULL; uring_next(c->uring)) {
		if (e->user_data == FORWARDED)
			continue;
		if (e->flags & IORING_CQE_F_BUFFER)
			forward(c, (unsigned)e->user_data, e);
		if (!(e->flags & IORING_CQE_F_MORE))
			c->unarmed[e->user_data] = true;
	}
}

static void copy_uring(void)
{
	struct copier c = {.unarmed = {true, true}};

	for (unsigned n = 0; n < 2; n++)
		must(fcntl(fds[n], F_SETFL, fcntl(fds[n], F_GETFL) & ~O_NONBLOCK), "fcntl");
	must(uring_new(&c.uring, REQUESTS, RESULTS), "io_uring");
	must(uring_enable(c.uring), "io_uring");
	c.ring = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(c.ring == MAP_FAILED ? -1 : 0, "mmap");
	must(uring_buffers(c.uring, c.ring, BUFFERS, 0), "provided buffers");
	for (unsigned n = 0; n < BUFFERS; n++)
		give(&c, (uint16_t)n);
	for (;;)
		round_of(&c);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	fds[0] = (int)strtol(argv[2], NULL, 10);
	fds[1] = (int)strtol(argv[3], NULL, 10);
	memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
	if (!memory)
		return 1;
	if (strcmp(argv[1], "epoll") == 0)
		copy_epoll();
	else
		copy_uring();
	return 0;
}
