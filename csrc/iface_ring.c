/* SPDX-License-Identifier: Apache-2.0 */
/* iface_ring.c - requests of a worker's ifaces.
 *
 * A feed is a ring of provided buffers. How many packets lie in it follows their size: enough for
 * FEED_BYTES, so that the kernel fills packets that are still in the cache, yet takes many small
 * ones at once. When a feed runs dry the standing requests end (ENOBUFS) and are made again at the
 * next wait, which is all the flow control there is: what is not read waits in the device's queue.
 *
 * Writes do not block (RWF_NOWAIT) and so end inside the system call that submits them. Only
 * failures make a result; a write that the kernel has taken and that did not fail has succeeded.
 */
#include "iface_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "uring.h"

enum {
	REQUESTS = 512,
	RESULTS = 4096,
	FEED_ENTRIES = 256,
	FEED_MIN = 16,
	FEED_BYTES = 512 * 1024,
	READ_BYTES = 65535,
	SIZE_SHIFT = 4, /* weight of the newest packet in the mean: a sixteenth */
};

/* What a result is about: the low bits of its user data. */
enum tag { TAG_RECEIVE, TAG_WRITE, TAG_WAKE, TAG_CANCEL, TAG_BITS = 3, TAG_MASK = 7 };

struct feed {
	struct io_uring_buf_ring *ring;
	struct packet *packets[FEED_ENTRIES]; /* by buffer id; NULL: not with the kernel */
	uint16_t ids[FEED_ENTRIES];           /* unused ones, a stack */
	unsigned unused;
	unsigned given;
	unsigned max;
	uint32_t mean_bytes; /* times 2^SIZE_SHIFT */
	uint16_t tail;
	uint16_t before; /* bytes in front of data that the kernel fills too */
};

struct pending {
	struct iface *iface;
	struct packet *packet;
	uint32_t request; /* its number */
	int error;
};

struct iface_ring {
	struct uring *uring;
	struct packet_pool *pool;
	struct feed feeds[FEED_COUNT];
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

static int feed_init(struct feed *f, struct uring *u, enum iface_feed group, unsigned packets)
{
	size_t bytes = FEED_ENTRIES * sizeof(struct io_uring_buf);
	void *memory =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	f->ring = memory;
	f->max = packets < FEED_ENTRIES ? packets : FEED_ENTRIES;
	f->before = group == FEED_TUN ? sizeof(struct vnet_hdr) : sizeof(struct recv_head);
	for (unsigned n = 0; n < FEED_ENTRIES; n++)
		f->ids[f->unused++] = (uint16_t)n;
	return uring_buffers(u, f->ring, FEED_ENTRIES, (uint16_t)group);
}

/* Packets for about FEED_BYTES of what came lately. */
static unsigned feed_wanted(const struct feed *f)
{
	uint32_t mean = f->mean_bytes >> SIZE_SHIFT;
	unsigned wanted = FEED_BYTES / (mean + 1);

	if (wanted < FEED_MIN)
		wanted = FEED_MIN;
	return wanted < f->max ? wanted : f->max;
}

static void feed_fill(struct feed *f, struct packet_pool *pool)
{
	unsigned wanted = feed_wanted(f);
	struct packet *p;

	if (f->given >= wanted)
		return;
	while (f->given < wanted && (p = packet_take(pool)) != NULL) {
		uint16_t id = f->ids[--f->unused];
		struct io_uring_buf *b = &f->ring->bufs[f->tail++ & (FEED_ENTRIES - 1)];

		f->packets[id] = p;
		f->given++;
		b->addr = (uintptr_t)(p->data - f->before);
		b->len = (uint32_t)f->before + READ_BYTES;
		b->bid = id;
	}
	__atomic_store_n(&f->ring->tail, f->tail, __ATOMIC_RELEASE);
}

static struct packet *feed_take(struct feed *f, uint32_t cqe_flags)
{
	uint16_t id = (uint16_t)(cqe_flags >> IORING_CQE_BUFFER_SHIFT);
	struct packet *p = f->packets[id];

	f->packets[id] = NULL;
	f->ids[f->unused++] = id;
	f->given--;
	return p;
}

static void feed_release(struct feed *f, struct packet_pool *pool)
{
	for (unsigned n = 0; n < FEED_ENTRIES; n++)
		if (f->packets[n])
			packet_give(pool, f->packets[n]);
	if (f->ring)
		munmap(f->ring, FEED_ENTRIES * sizeof(struct io_uring_buf));
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
		error = feed_init(&r->feeds[FEED_TUN], r->uring, FEED_TUN, packets / 2);
	if (!error)
		error = feed_init(&r->feeds[FEED_UDP], r->uring, FEED_UDP, packets / 8);
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
		feed_release(&r->feeds[n], r->pool);
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
		struct feed *f = &r->feeds[i->ops->feed];
		struct packet *p = feed_take(f, c->flags);

		p->len = c->res > 0 ? (uint32_t)c->res : 0;
		f->mean_bytes += p->len - (f->mean_bytes >> SIZE_SHIFT);
		packet_list_push(&i->arrived, p);
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
		feed_fill(&r->feeds[n], r->pool);
	if (r->unarmed)
		arm(r);
	/* who is not armed waits for packets that come back without a result to wait for */
	enter(r, r->unarmed ? 0 : timeout_ns);
}
