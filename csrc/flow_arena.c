/* SPDX-License-Identifier: Apache-2.0 */
/* flow_arena.c - chunks of a shared file, each with a header that says whose it is.
 *
 * Theory: the whole of max_bytes is mapped once; pages past the end of the file are not touched
 * until the file has been extended over them. fallocate() extends and never shrinks, so workers
 * that race to extend do no harm, and it takes the memory there and then: a full tmpfs is an error
 * here and not a SIGBUS later. A chunk is claimed by a compare-and-swap of its owner and counts
 * once its magic is written; a process killed in between leaves a chunk without magic, which the
 * next open makes free again.
 */
#include "flow_arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_MAGIC = 0x4e534c46, /* "NSLF" */ PAGE = 4096 };

struct chunk {
	_Atomic uint32_t magic; /* written last, cleared first */
	uint32_t version;
	_Atomic uint64_t owner; /* 0: free */
	uint8_t pad[FLOW_CHUNK_HEADER - 16];
	uint8_t memory[FLOW_CHUNK_BYTES - FLOW_CHUNK_HEADER];
};
static_assert(sizeof(struct chunk) == FLOW_CHUNK_BYTES, "chunks lie side by side");
static_assert(offsetof(struct chunk, memory) == FLOW_CHUNK_HEADER, "as the header promises");

struct flow_arena {
	struct chunk *chunks;
	size_t max;              /* chunks */
	_Atomic size_t used;     /* chunks that lie inside the file */
	_Atomic size_t released; /* about how many of them are free */
	int fd;
};

/* Counts the free chunks of a file and frees half-claimed ones. */
static int chunks_check(struct flow_arena *a)
{
	for (size_t i = 0; i < a->used; i++) {
		struct chunk *c = &a->chunks[i];

		if (c->magic == CHUNK_MAGIC) {
			if (c->version != FLOW_ARENA_VERSION || c->owner == 0)
				return -EINVAL;
			continue;
		}
		if (c->magic != 0)
			return -EINVAL;
		memset(c->memory, 0, sizeof(c->memory));
		c->owner = 0;
		a->released++;
	}
	return 0;
}

static int file_attach(struct flow_arena *a, int fd)
{
	struct stat st;

	a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (a->fd < 0 || fstat(a->fd, &st) < 0)
		return -errno;
	if (st.st_size % FLOW_CHUNK_BYTES)
		return -EINVAL;
	a->used = (size_t)st.st_size / FLOW_CHUNK_BYTES;
	if (a->max < a->used)
		a->max = a->used;
	return 0;
}

int flow_arena_open(struct flow_arena **out, int fd, size_t max_bytes)
{
	int flags = MAP_NORESERVE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
	struct flow_arena *a;
	void *memory;
	int err;

	if (max_bytes < FLOW_CHUNK_BYTES)
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->fd = -1;
	a->max = max_bytes / FLOW_CHUNK_BYTES;
	err = fd < 0 ? 0 : file_attach(a, fd);
	if (err)
		goto fail;
	memory = mmap(NULL, a->max * FLOW_CHUNK_BYTES, PROT_READ | PROT_WRITE, flags, a->fd, 0);
	if (memory == MAP_FAILED) {
		err = -errno;
		goto fail;
	}
	a->chunks = memory;
	/* a huge page would be zeroed on the packet path, and make an idle node heavy */
	(void)madvise(memory, a->max * FLOW_CHUNK_BYTES, MADV_NOHUGEPAGE);
	err = chunks_check(a);
	if (err)
		goto fail;
	*out = a;
	return 0;
fail:
	flow_arena_close(a);
	return err;
}

void flow_arena_close(struct flow_arena *a)
{
	if (!a)
		return;
	if (a->chunks)
		munmap(a->chunks, a->max * FLOW_CHUNK_BYTES);
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static bool chunk_claim(struct chunk *c, uint64_t owner)
{
	uint64_t nobody = 0;

	if (!atomic_compare_exchange_strong(&c->owner, &nobody, owner))
		return false;
	c->version = FLOW_ARENA_VERSION;
	atomic_store_explicit(&c->magic, CHUNK_MAGIC, memory_order_release);
	return true;
}

/* The pages of chunk number @chunk exist, whether it is new or its hole was punched. */
static bool file_fill(struct flow_arena *a, size_t chunk)
{
	return a->fd < 0 ||
	       fallocate(a->fd, 0, (off_t)(chunk * FLOW_CHUNK_BYTES), FLOW_CHUNK_BYTES) == 0;
}

static struct chunk *chunk_reuse(struct flow_arena *a, uint64_t owner)
{
	size_t used = atomic_load(&a->used);

	if (atomic_load_explicit(&a->released, memory_order_relaxed) == 0)
		return NULL;
	for (size_t i = 0; i < used; i++) {
		if (atomic_load_explicit(&a->chunks[i].owner, memory_order_relaxed) == 0 &&
		    file_fill(a, i) && chunk_claim(&a->chunks[i], owner)) {
			atomic_fetch_sub(&a->released, 1);
			return &a->chunks[i];
		}
	}
	return NULL;
}

static struct chunk *chunk_append(struct flow_arena *a, uint64_t owner)
{
	for (;;) {
		size_t n = atomic_load(&a->used), next = n;

		if (n >= a->max || !file_fill(a, n))
			return NULL;
		if (atomic_compare_exchange_strong(&a->used, &next, n + 1) &&
		    chunk_claim(&a->chunks[n], owner))
			return &a->chunks[n];
	}
}

void *flow_arena_chunk_new(struct flow_arena *a, uint64_t owner)
{
	struct chunk *c = chunk_reuse(a, owner);

	if (!c)
		c = chunk_append(a, owner);
	return c ? c->memory : NULL;
}

void *flow_arena_chunk_next(struct flow_arena *a, uint64_t owner, const void *after)
{
	size_t i = 0;

	if (after)
		i = (size_t)((const uint8_t *)after - (const uint8_t *)a->chunks) /
			FLOW_CHUNK_BYTES +
		    1;
	for (; i < atomic_load(&a->used); i++) {
		struct chunk *c = &a->chunks[i];

		if (atomic_load(&c->owner) == owner && atomic_load(&c->magic) == CHUNK_MAGIC)
			return c->memory;
	}
	return NULL;
}

/* Zeroes a chunk's memory and gives its pages back, except the one that holds the header. */
static void chunk_clear(struct flow_arena *a, struct chunk *c)
{
	uint8_t *start = (uint8_t *)c;
	off_t offset = (off_t)(c - a->chunks) * FLOW_CHUNK_BYTES + PAGE;
	size_t len = FLOW_CHUNK_BYTES - PAGE;
	int err;

	memset(c->memory, 0, PAGE - FLOW_CHUNK_HEADER);
	if (a->fd < 0)
		err = madvise(start + PAGE, len, MADV_DONTNEED);
	else
		err = fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				(off_t)len);
	if (err)
		memset(start + PAGE, 0, len);
}

void flow_arena_release(struct flow_arena *a, uint64_t owner)
{
	for (size_t i = 0; i < atomic_load(&a->used); i++) {
		struct chunk *c = &a->chunks[i];

		if (atomic_load(&c->owner) != owner)
			continue;
		atomic_store(&c->magic, 0);
		chunk_clear(a, c);
		atomic_store(&c->owner, 0);
		atomic_fetch_add(&a->released, 1);
	}
}
