/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - as much of HTTP/1.1 (RFC 9112) as answering needs: a request head in, a reply head out.
 *
 * Pure: bytes in, bytes out; nothing is read beyond the length given.
 */
#ifndef ANSWERER_HTTP_H
#define ANSWERER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX  8192    /* a longer request head is refused */
#define HTTP_BODY_MAX  1048576 /* so is a longer body; bodies are not looked at */
#define HTTP_REPLY_MAX 256     /* of a reply's head */

/**
 * struct http_request - what matters of a request head
 * @head_len:	bytes of the head, blank line included
 * @body_len:	bytes of body that follow it
 * @target:	path and query, in the bytes that were parsed
 * @target_len:	its length
 * @keep_alive:	the client wants to use the connection again
 * @is_head:	a HEAD request: the reply has no body
 * @status:	0, or the status to refuse the request with; the connection then ends
 */
struct http_request {
	size_t head_len;
	size_t body_len;
	const char *target;
	size_t target_len;
	bool keep_alive;
	bool is_head;
	int status;
};

/**
 * http_parse() - Parse the request head at the beginning of some bytes
 * @data:	the bytes
 * @len:	how many
 * @request:	what they say; complete only if true is returned
 *
 * Return: true if the head is complete or can only be refused (@request->status), false if more
 *	   bytes are needed.
 */
bool http_parse(const char *data, size_t len, struct http_request *request);

/**
 * http_reply() - Make the head of a reply
 * @out:	HTTP_REPLY_MAX bytes
 * @status:	its status
 * @body_len:	bytes of body to follow
 * @keep_alive:	the connection stays open afterwards
 *
 * Return: the head's length.
 */
size_t http_reply(char *out, int status, size_t body_len, bool keep_alive);

#endif
