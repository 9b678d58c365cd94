/* SPDX-License-Identifier: Apache-2.0 */
/* launcher.c - what a program's process does before it is the program.
 *
 *	launcher FDS NAMESPACES DIRECTORY PROGRAM [ARGUMENT...]
 *
 * init starts this with posix_spawn: a fork of init itself, a Python process, would take ten times
 * as long. Descriptors 0 to FDS - 1 are the program's. The next one is a pipe on which a failure is
 * reported as "ERRNO PROGRAM: TEXT"; it closes when the program runs. After it come NAMESPACES
 * descriptors of namespaces, which are entered in order, the mount namespace last. PROGRAM is then
 * looked for there, on the PATH of the environment if it has no slash.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH     "/bin:/usr/bin"
#define PATH_BYTES_MAX   4096
#define ARGUMENTS_MIN    5
#define NOT_RUN          127
#define FIRST_INTERNAL   32
#define SIGNAL_SET_BYTES 8

/* Report errno and end. */
static _Noreturn void fail(int report, const char *program)
{
	char text[PATH_BYTES_MAX];
	int length = snprintf(text, sizeof(text), "%d %s: %s", errno, program, strerror(errno));

	if (length > 0) {
		size_t size = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
		ssize_t written = write(report, text, size);

		(void)written; /* init is gone: then so are we */
	}
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

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
	int report, namespaces;
	char **program = argv + ARGUMENTS_MIN - 1;

	if (argc < ARGUMENTS_MIN)
		return NOT_RUN;
	report = number(argv[1]);
	namespaces = number(argv[2]);
	fcntl(report, F_SETFD, FD_CLOEXEC);
	reset_internal_signals();
	setsid();
	prctl(PR_SET_PDEATHSIG,
	      SIGKILL); /* init is PID 1: with it all of its namespace ends anyway */
	for (int fd = report + 1; fd <= report + namespaces; fd++) {
		if (setns(fd, 0) < 0)
			fail(report, program[0]);
		close(fd);
	}
	if (chdir(argv[3]) == 0)
		execute(program);
	fail(report, program[0]);
}
