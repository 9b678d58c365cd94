/* SPDX-License-Identifier: Apache-2.0 */
/* capture.c - the ring between a worker and a file, and the thread that empties it.
 *
 * The thread gathers blocks in a buffer and writes when the ring is empty or the buffer full. While
 * it waits it polls its event descriptor, the packet socket if there is one, and the output, whose
 * error is how a reader says that it has gone. Output is written in pieces of PIPE_BUF bytes, each
 * after poll() said that they fit, unless it is a file: the descriptor may be shared with a
 * terminal, so it is not made nonblocking, and still capture_end() never waits for long.
 */
#include "capture.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture_socket.h"
#include "pcapng.h"
#include "ring.h"

enum {
	RING_BYTES = 8 << 20,
	BUFFER_BYTES = 256 * 1024,
	SNAPLEN_MAX = 262144,
	END_PATIENCE_MS = 2000,
};

struct capture {
	struct capture *next; /* of the same iface; its worker's own */
	struct ring *ring;
	uint32_t snaplen;
	const uint64_t *clock;
	_Atomic uint64_t offered; /* packets seen while the reader was there */
	_Alignas(CACHE_LINE) atomic_bool asleep;
	atomic_bool gone; /* the reader went: nothing is copied any more */
	atomic_bool ending;

	int fd;
	int event_fd;
	struct capture_socket *socket; /* NULL for an iface */
	bool is_file;
	uint64_t start_ns;
	uint64_t received; /* from the socket */
	uint64_t written;
	unsigned pending; /* packets in buffer */
	size_t len;       /* used of buffer */
	pthread_t thread;
	uint8_t buffer[BUFFER_BYTES];
};

struct record {
	uint64_t time_ns;
	uint32_t original;
	uint32_t flags;
};

static uint64_t clock_now(const struct capture *c)
{
	struct timespec t;

	if (c->clock)
		return *c->clock;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void writer_wake(struct capture *c)
{
	uint64_t one = 1;

	(void)!write(c->event_fd, &one, sizeof(one));
}

void capture_attach(struct iface *i, struct capture *c)
{
	c->next = i->capture;
	i->capture = c;
}

void capture_detach(struct iface *i, struct capture *c)
{
	struct capture **link = &i->capture;

	while (*link && *link != c)
		link = &(*link)->next;
	if (*link)
		*link = c->next;
}

static void copy_in(struct capture *c, enum capture_direction direction, const void *data,
		    uint32_t len)
{
	uint32_t kept = len < c->snaplen ? len : c->snaplen;
	struct record *r;

	if (atomic_load_explicit(&c->gone, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&c->offered, 1, memory_order_relaxed);
	r = ring_reserve(c->ring, sizeof(*r) + kept);
	if (!r)
		return; /* missed: offered and never written */
	*r = (struct record){clock_now(c), len, direction};
	memcpy(r + 1, data, kept);
	ring_commit(c->ring);
	if (atomic_load(&c->asleep) && atomic_exchange(&c->asleep, false))
		writer_wake(c);
}

void capture_packet(struct capture *c, enum capture_direction direction, const void *data,
		    uint32_t len)
{
	for (; c; c = c->next)
		copy_in(c, direction, data, len);
}

/* Waits until the output takes bytes. False when the reader has gone, or for too long away. */
static bool output_ready(struct capture *c)
{
	struct pollfd p[2] = {{.fd = c->fd, .events = POLLOUT},
			      {.fd = c->event_fd, .events = POLLIN}};

	for (;;) {
		bool ending = atomic_load(&c->ending);
		int n = poll(p, ending ? 1 : 2, ending ? END_PATIENCE_MS : -1);

		if (p[0].revents & (POLLERR | POLLNVAL))
			return false;
		if (p[0].revents & POLLOUT)
			return true;
		if (ending && n == 0)
			return false;
		if (p[1].revents) {
			uint64_t count;

			(void)!read(c->event_fd, &count, sizeof(count));
		}
	}
}

static void flush(struct capture *c)
{
	size_t done = 0;

	while (done < c->len && !atomic_load(&c->gone)) {
		size_t piece = c->len - done;
		ssize_t n;

		if (!c->is_file) {
			piece = piece < PIPE_BUF ? piece : PIPE_BUF;
			if (!output_ready(c)) {
				atomic_store(&c->gone, true);
				break;
			}
		}
		n = write(c->fd, c->buffer + done, piece);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			atomic_store(&c->gone, true);
	}
	if (done == c->len)
		c->written += c->pending;
	c->pending = 0;
	c->len = 0;
}

static void append(struct capture *c, const struct pcapng_packet *packet, const void *data)
{
	size_t room = sizeof(c->buffer) - c->len;

	if (room < packet->captured + PCAPNG_OVERHEAD) {
		flush(c);
		room = sizeof(c->buffer);
	}
	c->len += pcapng_packet(c->buffer + c->len, room, packet, data);
	c->pending++;
}

static void drain_ring(struct capture *c)
{
	const struct record *r;
	size_t len;

	while ((r = ring_peek(c->ring, &len)) != NULL) {
		struct pcapng_packet packet = {
		    .time_ns = r->time_ns,
		    .captured = (uint32_t)(len - sizeof(*r)),
		    .original = r->original,
		    .flags = r->flags,
		};

		append(c, &packet, r + 1);
		ring_release(c->ring);
	}
}

static void drain_socket(struct capture *c)
{
	struct pcapng_packet packet;
	const void *data;

	while ((data = capture_socket_read(c->socket, c->snaplen, &packet)) != NULL) {
		append(c, &packet, data);
		c->received++;
	}
	atomic_store_explicit(&c->offered, c->received + capture_socket_missed(c->socket),
			      memory_order_relaxed);
}

static void drain(struct capture *c)
{
	if (c->socket)
		drain_socket(c);
	else
		drain_ring(c);
	flush(c);
}

/* Sleeps until there is something to do; notices that the reader has gone. */
static void writer_wait(struct capture *c)
{
	struct pollfd p[3] = {
	    {.fd = c->event_fd, .events = POLLIN},
	    {.fd = c->fd, .events = 0},
	    {.fd = c->socket ? capture_socket_fd(c->socket) : -1, .events = POLLIN},
	};
	uint64_t count;

	atomic_store(&c->asleep, true);
	if (ring_empty(c->ring) && !atomic_load(&c->ending))
		(void)poll(p, ARRAY_SIZE(p), -1);
	atomic_store(&c->asleep, false);
	if (p[0].revents)
		(void)!read(c->event_fd, &count, sizeof(count));
	if (!c->is_file && p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		atomic_store(&c->gone, true);
}

static void write_statistics(struct capture *c)
{
	uint64_t offered = atomic_load(&c->offered);
	struct pcapng_stats stats = {
	    .time_ns = clock_now(c),
	    .start_ns = c->start_ns,
	    .received = offered,
	    .dropped = offered - c->written,
	};

	c->len = pcapng_statistics(c->buffer, sizeof(c->buffer), &stats);
	flush(c);
}

static void *writer(void *context)
{
	struct capture *c = context;

	pthread_setname_np(pthread_self(), "netsim-capture");
	flush(c); /* the head */
	while (!atomic_load(&c->gone)) {
		bool ending = atomic_load(&c->ending);

		drain(c);
		if (ending) {
			write_statistics(c);
			break;
		}
		writer_wait(c);
	}
	return NULL;
}

static int writer_start(struct capture *c)
{
	sigset_t all, before;
	int error;

	sigfillset(&all); /* SIGPIPE too: a reader that goes is an error of write() */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&c->thread, NULL, writer, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

static void capture_free(struct capture *c)
{
	capture_socket_free(c->socket);
	ring_free(c->ring);
	if (c->event_fd >= 0)
		close(c->event_fd);
	close(c->fd);
	free(c);
}

static struct capture *capture_alloc(const struct capture_config *config)
{
	struct capture *c = aligned_alloc(CACHE_LINE, sizeof(*c));
	struct stat st;

	if (!c) {
		close(config->fd);
		return NULL;
	}
	memset(c, 0, offsetof(struct capture, buffer));
	c->fd = config->fd;
	c->clock = config->clock;
	c->snaplen = config->snaplen ? config->snaplen : SNAPLEN_MAX;
	c->is_file = fstat(c->fd, &st) == 0 && S_ISREG(st.st_mode);
	c->start_ns = clock_now(c);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0 || ring_new(&c->ring, RING_BYTES)) {
		capture_free(c);
		return NULL;
	}
	return c;
}

static int capture_start(struct capture **out, struct capture *c,
			 const struct capture_config *config, uint16_t linktype)
{
	int error;

	c->len = pcapng_head(c->buffer, sizeof(c->buffer), config->name, config->description,
			     linktype, c->snaplen);
	error = writer_start(c);
	if (error) {
		capture_free(c);
		return error;
	}
	*out = c;
	return 0;
}

int capture_new(struct capture **out, const struct capture_config *config)
{
	struct capture *c = capture_alloc(config);

	return c ? capture_start(out, c, config, LINKTYPE_RAW) : -ENOMEM;
}

int capture_new_socket(struct capture **out, const struct capture_config *config, int packet_fd)
{
	struct capture *c = capture_alloc(config);
	int error;

	if (!c) {
		close(packet_fd);
		return -ENOMEM;
	}
	error = capture_socket_new(&c->socket, packet_fd);
	if (error) {
		capture_free(c);
		return error;
	}
	return capture_start(out, c, config, LINKTYPE_ETHERNET);
}

void capture_end(struct capture *c, uint64_t *captured, uint64_t *missed)
{
	atomic_store(&c->ending, true);
	writer_wake(c);
	pthread_join(c->thread, NULL);
	if (captured)
		*captured = c->written;
	if (missed)
		*missed = atomic_load(&c->offered) - c->written;
	capture_free(c);
}
