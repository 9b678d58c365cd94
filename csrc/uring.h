/* SPDX-License-Identifier: Apache-2.0 */
/* uring.h - a ring of io_uring, by raw system calls. Rank 0.
 *
 * One thread submits and waits (IORING_SETUP_SINGLE_ISSUER); the kernel works for it only while it
 * is in uring_enter() (IORING_SETUP_DEFER_TASKRUN). Made by any thread, it belongs to the one that
 * calls uring_enable(). What the kernel's headers may be too old to name is defined here.
 */
#ifndef NETSIM_URING_H
#define NETSIM_URING_H

#include <linux/io_uring.h>

#include "base.h"

enum { URING_OP_READ_MULTISHOT = 49 }; /* Linux 6.7 */

struct uring;

/**
 * uring_new() - Make a ring that nothing can be submitted to yet
 * @out:	the ring, on success
 * @entries:	requests that can be prepared before they are submitted; a power of two
 * @results:	that the ring holds; the kernel keeps what is beyond them
 *
 * Return: 0, or what the kernel says; -EOPNOTSUPP if its io_uring has not what is needed.
 */
int uring_new(struct uring **out, unsigned entries, unsigned results);
void uring_free(struct uring *u);

/**
 * uring_enable() - From now on the calling thread submits
 */
int uring_enable(struct uring *u);

/**
 * uring_buffers() - Register a group of provided buffers
 * @ring:	page-aligned memory of @entries
 * @entries:	a power of two
 */
int uring_buffers(struct uring *u, struct io_uring_buf_ring *ring, unsigned entries,
		  uint16_t group);

/**
 * uring_request() - Room for a request, zeroed
 *
 * Return: NULL if uring_enter() must be called first.
 */
struct io_uring_sqe *uring_request(struct uring *u);

/**
 * uring_prepared() - Requests prepared so far, and uring_taken() how many of these the kernel took
 */
uint32_t uring_prepared(const struct uring *u);
uint32_t uring_taken(const struct uring *u);

/**
 * uring_enter() - Submit what was prepared; wait for a result
 * @timeout_ns:	0: only look; UINT64_MAX: as long as it takes
 *
 * Return: 0, or what the kernel says (a timeout is no error).
 */
int uring_enter(struct uring *u, uint64_t timeout_ns);

/**
 * uring_result() - The oldest result
 *
 * Return: NULL if there is none. It is valid until uring_next().
 */
const struct io_uring_cqe *uring_result(const struct uring *u);
void uring_next(struct uring *u);

#endif
