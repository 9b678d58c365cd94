/* SPDX-License-Identifier: Apache-2.0 */
/* iface_ring.c - requests of a worker's ifaces.
 *
 * When a feed runs dry the standing requests end (ENOBUFS) and are made again at the next wait,
 * which is all the flow control there is: what is not read waits in the device's queue.
 *
 * Writes do not block (RWF_NOWAIT) and so end inside the system call that submits them. Only
 * failures make a result; a write that the kernel has taken and that did not fail has succeeded.
 */
#include "iface_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "iface_feed.h"

enum {
	REQUESTS = 512,
	RESULTS = 4096,
};

/* What a result is about: the low bits of its user data. */
enum tag { TAG_RECEIVE, TAG_WRITE, TAG_WAKE, TAG_CANCEL };

enum { TAG_BITS = 3, TAG_MASK = (1 << TAG_BITS) - 1 };

struct pending {
	struct iface *iface;
	struct packet *packet;
	uint32_t request; /* its number */
	int error;
};

struct iface_ring {
	struct uring *uring;
	struct packet_pool *pool;
	struct iface_feed feeds[FEED_COUNT];
	struct ready_list *ready;
	struct iface *unarmed; /* their standing requests are to be made */
	struct pending *pending;
	uint32_t pending_mask;
	uint32_t pending_head;
	uint32_t pending_tail;
	bool retiring;
};

static uint64_t data_of(const void *object, enum tag tag)
{
	return (uintptr_t)object | (uint64_t)tag;
}

int iface_ring_new(struct iface_ring **out, struct packet_pool *pool, unsigned packets)
{
	struct iface_ring *r = calloc(1, sizeof(*r));
	uint32_t room = 1;
	int error;

	if (!r)
		return -ENOMEM;
	while (room < packets)
		room *= 2;
	r->pool = pool;
	r->pending_mask = room - 1;
	r->pending = calloc(room, sizeof(*r->pending));
	error = r->pending ? uring_new(&r->uring, REQUESTS, RESULTS) : -ENOMEM;
	if (!error)
		error = iface_feed_init(&r->feeds[FEED_TUN], r->uring, FEED_TUN, packets / 2,
					packets / 4);
	if (!error)
		error = iface_feed_init(&r->feeds[FEED_UDP], r->uring, FEED_UDP, packets / 8,
					packets / 4);
	if (error) {
		iface_ring_free(r);
		return error;
	}
	*out = r;
	return 0;
}

void iface_ring_free(struct iface_ring *r)
{
	if (!r)
		return;
	assert(r->pending_head == r->pending_tail);
	uring_free(r->uring); /* first: the kernel lets go of the packets */
	for (unsigned n = 0; n < FEED_COUNT; n++)
		iface_feed_release(&r->feeds[n], r->pool);
	free(r->pending);
	free(r);
}

static void enter(struct iface_ring *r, uint64_t timeout_ns);

static struct io_uring_sqe *request(struct iface_ring *r)
{
	struct io_uring_sqe *sqe = uring_request(r->uring);

	while (!sqe) {
		(void)uring_enter(r->uring, 0);
		sqe = uring_request(r->uring);
	}
	return sqe;
}

int iface_ring_enable(struct iface_ring *r, int event_fd, struct ready_list *ready)
{
	int error = uring_enable(r->uring);
	struct io_uring_sqe *sqe;

	if (error)
		return error;
	r->ready = ready;
	sqe = request(r);
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = event_fd;
	sqe->len = IORING_POLL_ADD_MULTI;
	sqe->poll32_events = POLLIN;
	sqe->user_data = TAG_WAKE;
	return 0;
}

static void set_nonblocking(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* A standing request on a descriptor that does not block would end when nothing is there. */
void iface_ring_attach(struct iface_ring *r, struct iface *i)
{
	if (i->fd < 0 || !i->up)
		return;
	set_nonblocking(i->fd, 0);
	i->ring = r;
	i->unarmed_next = r->unarmed;
	r->unarmed = i;
}

static void unarmed_remove(struct iface_ring *r, struct iface *i)
{
	struct iface **at = &r->unarmed;

	while (*at && *at != i)
		at = &(*at)->unarmed_next;
	if (*at)
		*at = i->unarmed_next;
}

void iface_ring_detach(struct iface_ring *r, struct iface *i)
{
	if (i->ring != r)
		return;
	unarmed_remove(r, i);
	if (i->armed) {
		struct io_uring_sqe *sqe = request(r);

		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = data_of(i, TAG_RECEIVE);
		sqe->user_data = TAG_CANCEL;
	}
	i->leaving = true;
	do
		enter(r, i->armed ? NS_PER_S : 0);
	while (i->armed || r->pending_head != r->pending_tail);
	i->leaving = false;
	i->ring = NULL;
	set_nonblocking(i->fd, 1);
}

void iface_ring_read(struct iface_ring *r, struct iface *i)
{
	struct io_uring_sqe *sqe = request(r);

	sqe->opcode = URING_OP_READ_MULTISHOT;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->fd = i->fd;
	sqe->off = (uint64_t)-1;
	sqe->buf_group = FEED_TUN;
	sqe->user_data = data_of(i, TAG_RECEIVE);
}

void iface_ring_recvmsg(struct iface_ring *r, struct iface *i, const struct msghdr *m)
{
	struct io_uring_sqe *sqe = request(r);

	sqe->opcode = IORING_OP_RECVMSG;
	sqe->flags = IOSQE_BUFFER_SELECT;
	sqe->ioprio = IORING_RECV_MULTISHOT;
	sqe->fd = i->fd;
	sqe->addr = (uintptr_t)m;
	sqe->buf_group = FEED_UDP;
	sqe->user_data = data_of(i, TAG_RECEIVE);
}

void iface_ring_write(struct iface_ring *r, struct iface *i, struct packet *p, const uint8_t *start,
		      uint32_t len)
{
	struct io_uring_sqe *sqe = uring_request(r->uring);
	struct pending *at;

	if (!sqe) {
		enter(r, 0);
		sqe = request(r);
	}
	sqe->opcode = IORING_OP_WRITE;
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->rw_flags = RWF_NOWAIT;
	sqe->fd = i->fd;
	sqe->off = (uint64_t)-1;
	sqe->addr = (uintptr_t)start;
	sqe->len = len;
	sqe->user_data = (uint64_t)r->pending_tail << TAG_BITS | TAG_WRITE;
	at = &r->pending[r->pending_tail++ & r->pending_mask];
	*at = (struct pending){i, p, uring_prepared(r->uring), 0};
}

/* Whether a standing request that ended like this is made again. A wire's socket never ends; a TUN
 * does when its device goes, a socket pair when its other end is closed.
 */
static bool goes_on(const struct iface *i, int result)
{
	if (i->leaving)
		return false;
	return i->ops->feed == FEED_UDP || result > 0 || result == -ENOBUFS || result == -EAGAIN ||
	       result == -EINTR || result == -ENOMEM;
}

static void take_received(struct iface_ring *r, struct iface *i, const struct io_uring_cqe *c)
{
	if (c->flags & IORING_CQE_F_BUFFER) {
		packet_list_push(&i->arrived,
				 iface_feed_take(&r->feeds[i->ops->feed], c->flags, c->res));
		ready_push(r->ready, i);
	}
	if (c->flags & IORING_CQE_F_MORE)
		return;
	i->armed = false;
	if (goes_on(i, c->res)) {
		i->unarmed_next = r->unarmed;
		r->unarmed = i;
	} else if (!i->leaving) {
		i->up = false;
	}
}

static void reap(struct iface_ring *r)
{
	const struct io_uring_cqe *c;

	for (; (c = uring_result(r->uring)) != NULL; uring_next(r->uring)) {
		uint64_t data = c->user_data;

		if ((data & TAG_MASK) == TAG_RECEIVE)
			/* NOLINTNEXTLINE(performance-no-int-to-ptr): it was one */
			take_received(r, (void *)(uintptr_t)data, c);
		else if ((data & TAG_MASK) == TAG_WRITE)
			r->pending[(data >> TAG_BITS) & r->pending_mask].error = c->res;
	}
}

/* Ends writes that the kernel has taken, after their failures were reaped. What an iface sends
 * instead of a packet that was refused is queued behind: each has a packet of the pool, for which
 * there is room.
 */
static void retire(struct iface_ring *r)
{
	uint32_t taken = uring_taken(r->uring);

	if (r->retiring)
		return;
	r->retiring = true;
	while (r->pending_head != r->pending_tail) {
		struct pending done = r->pending[r->pending_head & r->pending_mask];

		if ((int32_t)(taken - done.request) < 0)
			break;
		r->pending_head++;
		done.iface->ops->sent(done.iface, r->pool, done.packet, done.error);
	}
	r->retiring = false;
}

static void enter(struct iface_ring *r, uint64_t timeout_ns)
{
	(void)uring_enter(r->uring, timeout_ns);
	reap(r);
	retire(r);
}

struct packet *iface_take(struct iface *i, struct packet_pool *pool)
{
	struct packet *p = packet_take(pool);
	struct iface_ring *r = i->ring;

	if (LIKELY(p != NULL) || !r || r->pending_head == r->pending_tail)
		return p;
	enter(r, 0);
	return packet_take(pool);
}

static void arm(struct iface_ring *r)
{
	struct iface *i = r->unarmed;

	r->unarmed = NULL;
	while (i) {
		struct iface *next = i->unarmed_next;

		if (r->feeds[i->ops->feed].given) {
			i->armed = true;
			i->ops->arm(i);
		} else {
			i->unarmed_next = r->unarmed;
			r->unarmed = i;
		}
		i = next;
	}
}

void iface_ring_wait(struct iface_ring *r, uint64_t timeout_ns)
{
	for (unsigned n = 0; n < FEED_COUNT; n++)
		iface_feed_fill(&r->feeds[n], r->pool);
	if (r->unarmed)
		arm(r);
	/* who is not armed waits for packets that come back without a result to wait for */
	enter(r, r->unarmed ? 0 : timeout_ns);
}
