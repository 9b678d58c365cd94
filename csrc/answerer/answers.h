/* SPDX-License-Identifier: Apache-2.0 */
/* answers.h - what the answerer says: the paths and words of the Kubernetes e2e test image.
 *
 * Pure: text in, text out.
 */
#ifndef ANSWERER_ANSWERS_H
#define ANSWERER_ANSWERS_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/types.h>

/* Longest answer to a path: an echo of (nearly) the longest request head. */
#define ANSWER_MAX 8192

/**
 * struct asker - who asks whom
 * @hostname:	our name
 * @from:	where the question came from
 */
struct asker {
	const char *hostname;
	struct sockaddr_in from;
};

/**
 * answer_path() - Answer an HTTP request target (path and query)
 * @asker:	who asks whom
 * @target:	the target, not terminated
 * @len:	its length
 * @out:	ANSWER_MAX bytes for the answer, not terminated
 * @out_len:	the answer's length
 *
 * Return: the HTTP status: 200, or 404 for a path that we do not know.
 */
int answer_path(const struct asker *asker, const char *target, size_t len, char *out,
		size_t *out_len);

/**
 * answer_datagram() - Answer a UDP datagram: hostname, clientip, echo TEXT
 * @asker:	who asks whom
 * @text:	the datagram; line ends after it do not matter
 * @len:	its length
 * @out:	room for the answer, not terminated
 * @size:	at least ANSWER_MAX, and @len
 *
 * Return: the answer's length, -1 if there is none (as agnhost: unknown words get silence).
 */
ssize_t answer_datagram(const struct asker *asker, const char *text, size_t len, char *out,
			size_t size);

#endif
