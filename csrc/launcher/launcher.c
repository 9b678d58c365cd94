/* SPDX-License-Identifier: Apache-2.0 */
/* launcher.c - starts the programs of a lab, for init.
 *
 * init is a Python process with thousands of descriptors: forking it takes long, and while a child
 * of vfork is on its way to its program, init can do nothing. This one is small, holds nothing, and
 * is told what to start by messages on the socket that is its standard input. Its children are
 * init's (CLONE_PARENT), which reaps them.
 *
 * A message is a struct request, then strings, each with its NUL: the working directory, the
 * arguments, the variables. Descriptors come along: those that become the program's 0, 1, 2, ...;
 * a pipe; namespaces, to be entered in order, the mount namespace last. The pipe tells "PID", then,
 * if the program could not be run, " ERRNO PROGRAM: TEXT". It ends when the program runs. The
 * program is looked for in the sandbox, on the PATH of its environment if it has no slash.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH     "/bin:/usr/bin"
#define PATH_BYTES_MAX   4096
#define NOT_RUN          127
#define MESSAGE_BYTES    ((size_t)256 * 1024)
#define FDS_MAX          253 /* the kernel's SCM_MAX_FD */
#define FIRST_INTERNAL   32
#define SIGNAL_SET_BYTES 8

struct request {
	uint32_t fds, namespaces, arguments, variables;
};

/* What came with a message. */
struct received {
	int fds[FDS_MAX];
	uint32_t count;
};

static void report(int pipe, const char *text, int length, size_t room)
{
	if (length > 0) {
		size_t size = (size_t)length < room ? (size_t)length : room - 1;
		ssize_t written = write(pipe, text, size);

		(void)written; /* init is gone: then so are we */
	}
}

static void report_pid(int pipe)
{
	char text[32];

	report(pipe, text, snprintf(text, sizeof(text), "%d", (int)getpid()), sizeof(text));
}

/* Report errno and end. */
static _Noreturn void fail(int pipe, const char *program)
{
	char text[PATH_BYTES_MAX];
	int length = snprintf(text, sizeof(text), " %d %s: %s", errno, program, strerror(errno));

	report(pipe, text, length, sizeof(text));
	_exit(NOT_RUN);
}

/* Execute what one directory of a path has, "" being the current one; returns with errno. */
static void execute_in(const char *directory, size_t length, char **argv)
{
	char path[PATH_BYTES_MAX];
	int size = snprintf(path, sizeof(path), "%.*s%s%s", (int)length, directory,
			    length ? "/" : "", argv[0]);

	errno = ENAMETOOLONG;
	if (size > 0 && (size_t)size < sizeof(path))
		execve(path, argv, environ);
}

/* As execvp, but what is no program is not given to a shell; returns with errno if it fails. */
static void execute(char **argv)
{
	const char *path = getenv("PATH");
	int first = ENOENT;

	if (strchr(argv[0], '/') || !argv[0][0]) {
		execve(argv[0], argv, environ);
		return;
	}
	for (const char *at = path ? path : DEFAULT_PATH, *end; at; at = end ? end + 1 : NULL) {
		end = strchr(at, ':');
		execute_in(at, end ? (size_t)(end - at) : strlen(at), argv);
		if (first == ENOENT && errno != ENOTDIR)
			first = errno;
	}
	errno = first;
}

/* glibc's posix_spawn leaves its own signals ignored, and its sigaction does not touch them. */
static void reset_internal_signals(void)
{
	static const unsigned long by_default[8]; /* the kernel's struct sigaction, or more */

	for (int internal = FIRST_INTERNAL; internal < SIGRTMIN; internal++)
		syscall(SYS_rt_sigaction, internal, by_default, NULL, SIGNAL_SET_BYTES);
}

/* Put descriptors where they should be, out of one another's way first; the pipe moves, too. */
static void place(const struct request *r, struct received *with)
{
	for (uint32_t i = 0; i < with->count; i++)
		if (with->fds[i] < (int)r->fds)
			with->fds[i] = fcntl(with->fds[i], F_DUPFD_CLOEXEC, (int)r->fds);
	for (uint32_t i = 0; i < r->fds; i++)
		dup2(with->fds[i], (int)i);
}

/* The next @count strings, and NULL; NULL if there are not as many, with errno. */
static char **strings(char **at, const char *end, uint32_t count)
{
	char **found = calloc((size_t)count + 1, sizeof(*found));

	for (uint32_t i = 0; found && i < count; i++) {
		found[i] = *at;
		*at += strlen(*at) + 1;
		if (*at > end) {
			free(found);
			errno = EINVAL;
			return NULL;
		}
	}
	return found;
}

/* In the child: become the program. */
static _Noreturn void become(char *message, size_t size, struct received *with)
{
	const struct request *r = (const struct request *)message;
	char *at = message + sizeof(*r), **directory, **argv;
	int pipe;

	if (size < sizeof(*r) || with->count != r->fds + 1 + r->namespaces)
		_exit(NOT_RUN);
	place(r, with);
	pipe = with->fds[r->fds];
	report_pid(pipe);
	directory = strings(&at, message + size, 1);
	argv = strings(&at, message + size, r->arguments);
	environ = strings(&at, message + size, r->variables);
	if (!directory || !argv || !argv[0] || !environ)
		fail(pipe, "launcher");
	setsid();
	for (uint32_t i = r->fds + 1; i < with->count; i++)
		if (setns(with->fds[i], 0) < 0)
			fail(pipe, argv[0]);
	if (chdir(directory[0]) == 0)
		execute(argv);
	fail(pipe, argv[0]);
}

/* The next message; 0 when init is gone. */
static size_t receive(char *message, size_t room, struct received *with)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec into = {.iov_base = message, .iov_len = room};
	struct msghdr header = {.msg_iov = &into,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	ssize_t size = recvmsg(STDIN_FILENO, &header, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *part = size > 0 ? CMSG_FIRSTHDR(&header) : NULL;

	with->count = 0;
	if (part && part->cmsg_type == SCM_RIGHTS) {
		size_t bytes = part->cmsg_len - CMSG_LEN(0);

		memcpy(with->fds, CMSG_DATA(part), bytes);
		with->count = (uint32_t)(bytes / sizeof(int));
	}
	return size > 0 ? (size_t)size : 0;
}

int main(void)
{
	static _Alignas(struct request) char message[MESSAGE_BYTES + 1];
	static struct received with;
	size_t size;

	fcntl(STDIN_FILENO, F_SETFD, FD_CLOEXEC);
	reset_internal_signals();
	while ((size = receive(message, MESSAGE_BYTES, &with)) > 0) {
		message[size] = '\0';
		/* If there can be no child, the pipe ends without a word. */
		if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL) == 0)
			become(message, size, &with);
		for (uint32_t i = 0; i < with.count; i++)
			close(with.fds[i]);
	}
	return 0;
}
