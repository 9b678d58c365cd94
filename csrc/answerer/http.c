/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - request heads line by line, reply heads from a table of statuses. */
#include "http.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *at;
	size_t len;
};

struct status {
	int number;
	const char *text;
};

static const struct status statuses[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {505, "HTTP Version Not Supported"},
};

/* Take the next line, without its end, from the front of @rest; false if it is not complete. */
static bool take_line(struct span *rest, struct span *line)
{
	const char *end = memchr(rest->at, '\n', rest->len);

	if (!end)
		return false;
	line->at = rest->at;
	line->len = (size_t)(end - rest->at);
	rest->len -= line->len + 1;
	rest->at = end + 1;
	if (line->len > 0 && line->at[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* Take what is before the first @separator, or everything, from the front of @rest. */
static struct span take_until(struct span *rest, char separator)
{
	const char *end = memchr(rest->at, separator, rest->len);
	struct span taken = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
	size_t used = taken.len + (end ? 1 : 0);

	rest->at += used;
	rest->len -= used;
	return taken;
}

static struct span trim(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool is(struct span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

/* "http://host/path" is what proxies are sent; only the path matters. */
static struct span origin_form(struct span target)
{
	static const char scheme[] = "http://";
	const size_t scheme_len = sizeof(scheme) - 1;

	if (target.len >= scheme_len && strncasecmp(target.at, scheme, scheme_len) == 0) {
		const char *end = target.at + target.len;
		const char *path = memchr(target.at + scheme_len, '/', target.len - scheme_len);

		if (!path)
			return (struct span){"/", 1};
		return (struct span){path, (size_t)(end - path)};
	}
	return target;
}

static int parse_request_line(struct span line, struct http_request *r)
{
	struct span method = take_until(&line, ' ');
	struct span target = origin_form(take_until(&line, ' '));

	if (method.len == 0 || target.len == 0 || memchr(line.at, ' ', line.len))
		return 400;
	if (line.len != 8 || memcmp(line.at, "HTTP/1.", 7) != 0)
		return line.len > 5 && memcmp(line.at, "HTTP/", 5) == 0 ? 505 : 400;
	r->keep_alive = line.at[7] != '0';
	r->is_head = is(method, "HEAD");
	r->target = target.at;
	r->target_len = target.len;
	return r->is_head || is(method, "GET") || is(method, "POST") || is(method, "PUT") ? 0 : 405;
}

static int parse_content_length(struct span value, struct http_request *r)
{
	uint64_t n = 0;

	if (value.len == 0 || value.len > 18)
		return 400;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 400;
		n = n * 10 + (uint64_t)(value.at[i] - '0');
	}
	if (n > HTTP_BODY_MAX)
		return 413;
	if (r->body_len != 0 && r->body_len != n)
		return 400; /* two lengths: RFC 9112 section 6.3 */
	r->body_len = (size_t)n;
	return 0;
}

static int parse_field(struct span line, struct http_request *r)
{
	struct span name = take_until(&line, ':');
	struct span value = trim(line);

	if (is(name, "Content-Length"))
		return parse_content_length(value, r);
	if (is(name, "Transfer-Encoding"))
		return 501;
	if (is(name, "Connection")) {
		while (value.len > 0) {
			struct span option = trim(take_until(&value, ','));

			if (is(option, "close"))
				r->keep_alive = false;
			else if (is(option, "keep-alive"))
				r->keep_alive = true;
		}
	}
	return 0;
}

bool http_parse(const char *data, size_t len, struct http_request *r)
{
	struct span rest = {data, len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX};
	struct span line;
	bool begun = false;

	memset(r, 0, sizeof(*r));
	while (take_line(&rest, &line)) {
		if (line.len == 0 && begun) {
			r->head_len = (size_t)(rest.at - data);
			return true;
		}
		if (line.len == 0)
			continue; /* blank lines before a request: RFC 9112 section 2.2 */
		r->status = begun ? parse_field(line, r) : parse_request_line(line, r);
		begun = true;
		if (r->status)
			return true;
	}
	if (len >= HTTP_HEAD_MAX)
		r->status = 431;
	return r->status != 0;
}

size_t http_reply(char *out, int status, size_t body_len, bool keep_alive)
{
	const char *text = "";

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (statuses[i].number == status)
			text = statuses[i].text;
	}
	return (size_t)snprintf(out, HTTP_REPLY_MAX,
				"HTTP/1.1 %d %s\r\n"
				"Content-Type: text/plain; charset=utf-8\r\n"
				"Content-Length: %zu\r\n"
				"%s\r\n",
				status, text, body_len, keep_alive ? "" : "Connection: close\r\n");
}
