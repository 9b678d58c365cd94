/* SPDX-License-Identifier: Apache-2.0 */
/* uring.c - a ring of io_uring, by raw system calls.
 *
 * The submission queue's indirection is set once, entry n to request n. Positions only grow; the
 * kernel reads ours after a release, and we its after an acquire.
 */
#include "uring.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PROBED_OPS = 64,
	ENTER_NO_IOWAIT = 1 << 7, /* Linux 6.15: waiting is idle time, not waiting for a disk */
	FEAT_NO_IOWAIT = 1 << 17,
};

static const uint8_t needed[] = {IORING_OP_WRITE, IORING_OP_RECVMSG, IORING_OP_POLL_ADD,
				 IORING_OP_ASYNC_CANCEL, URING_OP_READ_MULTISHOT};

struct uring {
	int fd;
	unsigned enter_flags;
	struct io_uring_sqe *sqes;
	uint32_t sq_entries;
	uint32_t tail; /* requests prepared */
	_Atomic uint32_t *sq_head;
	_Atomic uint32_t *sq_tail;
	_Atomic uint32_t *cq_head;
	_Atomic uint32_t *cq_tail;
	const struct io_uring_cqe *cqes;
	uint32_t cq_mask;
	uint8_t *rings;
	size_t rings_bytes;
	size_t sqes_bytes;
};

static int ring_register(const struct uring *u, unsigned what, void *arg, unsigned count)
{
	return syscall(__NR_io_uring_register, u->fd, what, arg, count) < 0 ? -errno : 0;
}

/* Whether every operation that we use is there. */
static int probe_ops(const struct uring *u)
{
	struct io_uring_probe *p =
	    calloc(1, sizeof(*p) + PROBED_OPS * sizeof(struct io_uring_probe_op));
	int error;

	if (!p)
		return -ENOMEM;
	error = ring_register(u, IORING_REGISTER_PROBE, p, PROBED_OPS);
	for (size_t n = 0; n < ARRAY_SIZE(needed) && !error; n++)
		if (needed[n] >= p->ops_len || !(p->ops[needed[n]].flags & IO_URING_OP_SUPPORTED))
			error = -EOPNOTSUPP;
	free(p);
	return error;
}

static int map(struct uring *u, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	uint32_t *array;

	u->rings_bytes = sq > cq ? sq : cq;
	u->rings = mmap(NULL, u->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			u->fd, (off_t)IORING_OFF_SQ_RING);
	if (u->rings == MAP_FAILED)
		return -errno;
	u->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
	u->sqes = mmap(NULL, u->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       u->fd, (off_t)IORING_OFF_SQES);
	if (u->sqes == MAP_FAILED)
		return -errno;
	u->sq_entries = p->sq_entries;
	u->sq_head = (void *)(u->rings + p->sq_off.head);
	u->sq_tail = (void *)(u->rings + p->sq_off.tail);
	u->cq_head = (void *)(u->rings + p->cq_off.head);
	u->cq_tail = (void *)(u->rings + p->cq_off.tail);
	u->cqes = (const void *)(u->rings + p->cq_off.cqes);
	u->cq_mask = p->cq_entries - 1;
	array = (void *)(u->rings + p->sq_off.array);
	for (uint32_t n = 0; n < p->sq_entries; n++)
		array[n] = n;
	return 0;
}

int uring_new(struct uring **out, unsigned entries, unsigned results)
{
	struct io_uring_params p = {
	    .flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
		     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    .cq_entries = results,
	};
	struct uring *u = calloc(1, sizeof(*u));
	int error;

	if (!u)
		return -ENOMEM;
	u->rings = MAP_FAILED;
	u->sqes = MAP_FAILED;
	u->fd = (int)syscall(__NR_io_uring_setup, entries, &p);
	if (u->fd < 0) /* a flag that the kernel does not know is EINVAL */
		error = errno == EINVAL ? -EOPNOTSUPP : -errno;
	else if (!(p.features & IORING_FEAT_SINGLE_MMAP) || !(p.features & IORING_FEAT_EXT_ARG))
		error = -EOPNOTSUPP;
	else
		error = probe_ops(u);
	if (!error)
		error = map(u, &p);
	if (error) {
		uring_free(u);
		return error;
	}
	u->enter_flags = p.features & FEAT_NO_IOWAIT ? ENTER_NO_IOWAIT : 0;
	*out = u;
	return 0;
}

void uring_free(struct uring *u)
{
	if (!u)
		return;
	if (u->sqes != MAP_FAILED)
		munmap(u->sqes, u->sqes_bytes);
	if (u->rings != MAP_FAILED)
		munmap(u->rings, u->rings_bytes);
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

int uring_enable(struct uring *u)
{
	return ring_register(u, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int uring_buffers(struct uring *u, struct io_uring_buf_ring *ring, unsigned entries, uint16_t group)
{
	struct io_uring_buf_reg r = {
	    .ring_addr = (uintptr_t)ring,
	    .ring_entries = entries,
	    .bgid = group,
	};

	return ring_register(u, IORING_REGISTER_PBUF_RING, &r, 1);
}

struct io_uring_sqe *uring_request(struct uring *u)
{
	struct io_uring_sqe *sqe;

	if (u->tail - uring_taken(u) == u->sq_entries)
		return NULL;
	sqe = &u->sqes[u->tail++ & (u->sq_entries - 1)];
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

uint32_t uring_prepared(const struct uring *u)
{
	return u->tail;
}

uint32_t uring_taken(const struct uring *u)
{
	return atomic_load_explicit(u->sq_head, memory_order_acquire);
}

int uring_enter(struct uring *u, uint64_t timeout_ns)
{
	struct __kernel_timespec t = {
	    .tv_sec = (long long)(timeout_ns / NS_PER_S),
	    .tv_nsec = (long long)(timeout_ns % NS_PER_S),
	};
	struct io_uring_getevents_arg arg = {
	    .ts = timeout_ns && timeout_ns != UINT64_MAX ? (uintptr_t)&t : 0,
	};
	unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | u->enter_flags;
	long n;

	atomic_store_explicit(u->sq_tail, u->tail, memory_order_release);
	n = syscall(__NR_io_uring_enter, u->fd, u->tail - uring_taken(u), timeout_ns ? 1 : 0, flags,
		    &arg, sizeof(arg));
	return n >= 0 || errno == ETIME || errno == EINTR ? 0 : -errno;
}

const struct io_uring_cqe *uring_result(const struct uring *u)
{
	uint32_t head = atomic_load_explicit(u->cq_head, memory_order_relaxed);

	if (head == atomic_load_explicit(u->cq_tail, memory_order_acquire))
		return NULL;
	return &u->cqes[head & u->cq_mask];
}

void uring_next(struct uring *u)
{
	uint32_t head = atomic_load_explicit(u->cq_head, memory_order_relaxed);

	atomic_store_explicit(u->cq_head, head + 1, memory_order_release);
}
