/* SPDX-License-Identifier: Apache-2.0 */
/* answers.c - one function per answer, found by path or word in a table.
 *
 * An answer never exceeds ANSWER_MAX: names and addresses are short, and an echo is not longer
 * than what it repeats.
 */
#include "answers.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef size_t answer_fn(const struct asker *asker, const char *query, size_t len, char *out);

struct answer {
	const char *path;
	answer_fn *make;
};

static size_t copy(char *out, const char *text)
{
	return (size_t)(stpcpy(out, text) - out);
}

static size_t say_hostname(const struct asker *asker, const char *query, size_t len, char *out)
{
	(void)query;
	(void)len;
	return copy(out, asker->hostname);
}

static size_t say_clientip(const struct asker *asker, const char *query, size_t len, char *out)
{
	char address[INET_ADDRSTRLEN] = "";

	(void)query;
	(void)len;
	inet_ntop(AF_INET, &asker->from.sin_addr, address, sizeof(address));
	return (size_t)snprintf(out, ANSWER_MAX, "%s:%u", address,
				(unsigned)ntohs(asker->from.sin_port));
}

static size_t say_ok(const struct asker *asker, const char *query, size_t len, char *out)
{
	(void)asker;
	(void)query;
	(void)len;
	return copy(out, "ok");
}

static size_t say_now(const struct asker *asker, const char *query, size_t len, char *out)
{
	struct timespec now;
	struct tm parts;
	size_t n;

	(void)asker;
	(void)query;
	(void)len;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &parts);
	n = strftime(out, ANSWER_MAX, "NOW: %Y-%m-%d %H:%M:%S", &parts);
	n += (size_t)snprintf(out + n, ANSWER_MAX - n, ".%09ld +0000 UTC", now.tv_nsec);
	return n;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo URL encoding; an escape that is none stays as it is. */
static size_t url_decode(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
		int low = i + 2 < len ? hex_value(text[i + 2]) : -1;

		if (text[i] == '%' && high >= 0 && low >= 0) {
			out[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[n++] = (char)(text[i] == '+' ? ' ' : text[i]);
		}
	}
	return n;
}

static size_t say_echo(const struct asker *asker, const char *query, size_t len, char *out)
{
	static const char key[] = "msg=";
	const size_t key_len = sizeof(key) - 1;

	(void)asker;
	while (len > 0) {
		const char *end = memchr(query, '&', len);
		size_t part = end ? (size_t)(end - query) : len;

		if (part >= key_len && memcmp(query, key, key_len) == 0)
			return url_decode(query + key_len, part - key_len, out);
		part += end ? 1 : 0;
		query += part;
		len -= part;
	}
	return 0;
}

static const struct answer answers[] = {
    {"/hostname", say_hostname}, {"/hostName", say_hostname}, /* agnhost has both */
    {"/clientip", say_clientip}, {"/echo", say_echo},         {"/healthz", say_ok}, {"/", say_now},
};

int answer_path(const struct asker *asker, const char *target, size_t len, char *out,
		size_t *out_len)
{
	const char *mark = memchr(target, '?', len);
	size_t path_len = mark ? (size_t)(mark - target) : len;
	const char *query = mark ? mark + 1 : target + len;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (strlen(answers[i].path) == path_len &&
		    memcmp(answers[i].path, target, path_len) == 0) {
			*out_len =
			    answers[i].make(asker, query, (size_t)(target + len - query), out);
			return 200;
		}
	}
	*out_len = copy(out, "404 page not found\n");
	return 404;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

ssize_t answer_datagram(const struct asker *asker, const char *text, size_t len, char *out,
			size_t size)
{
	static const char echo[] = "echo ";
	const size_t echo_len = sizeof(echo) - 1;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (is_word(text, len, "hostname"))
		return (ssize_t)say_hostname(asker, "", 0, out);
	if (is_word(text, len, "clientip"))
		return (ssize_t)say_clientip(asker, "", 0, out);
	if (len < echo_len || len > size || memcmp(text, echo, echo_len) != 0)
		return -1;
	memcpy(out, text + echo_len, len - echo_len);
	return (ssize_t)(len - echo_len);
}
