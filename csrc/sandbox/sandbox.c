/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c - one sandbox is one walk through steps[]; the first that fails ends it.
 *
 * sysctls are written through a procfs of our own, mounted nowhere and made anew for every call:
 * the kernel keeps the names below /proc/sys of all network namespaces side by side, and looks
 * through them one by one, so that with the machine's /proc a thousand pods would cost a million
 * comparisons. Files are those of one tmpfs, which nobody finds by name: each is unlinked once it
 * is bound. To let go of a file system the kernel waits for all processors, so a call has one of
 * each.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FSOPEN_CLOSES      1u /* FSOPEN_CLOEXEC, which sys/mount.h has or has not */
#define FSCONFIG_CREATES   6u
#define FSMOUNT_CLOSES     1u
#define OPEN_TREE_CLONES   1u
#define MOVE_MOUNT_FROM_FD 4u
#define TUN_F_USO4_        0x20u
#define TUN_F_USO6_        0x40u
#define TUN_OFFLOADS       (TUN_F_CSUM | TUN_F_TSO4)
#define TUN_OFFLOADS_USO   (TUN_OFFLOADS | TUN_F_USO4_ | TUN_F_USO6_) /* both, or neither */
#define PATH_BYTES         128
#define VNET_HEADER_BYTES  10
#define FILE_MODE          0644
#define SYSFS_FLAGS        (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* One call of sandbox_make(). */
struct call {
	int home;       /* mount namespace that sandboxes begin with */
	int proc;       /* root of our procfs */
	int files;      /* root of a tmpfs */
	int namespaces; /* /proc/thread-self/ns */
};

static int negative_errno(int result)
{
	return result < 0 ? -errno : result;
}

/* A new file system, mounted nowhere: a descriptor of its root. */
static int detached_mount(const char *type)
{
	int context = negative_errno((int)syscall(SYS_fsopen, type, FSOPEN_CLOSES));
	int root;

	if (context < 0)
		return context;
	root = negative_errno((int)syscall(SYS_fsconfig, context, FSCONFIG_CREATES, NULL, NULL, 0));
	if (root == 0)
		root = negative_errno((int)syscall(SYS_fsmount, context, FSMOUNT_CLOSES, 0));
	close(context);
	return root;
}

static int write_at(int directory, const char *path, int flags, const char *text)
{
	size_t size = strlen(text);
	int fd = openat(directory, path, flags | O_WRONLY | O_CLOEXEC, FILE_MODE);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, size) != (ssize_t)size)
		error = errno ? -errno : -EIO;
	close(fd);
	return error;
}

/* Bind the file @name of a detached mount over that of /etc; which has none: leave it so. */
static int bind_over_etc(int root, const char *name)
{
	char target[PATH_BYTES];
	int tree =
	    negative_errno((int)syscall(SYS_open_tree, root, name, OPEN_TREE_CLONES | O_CLOEXEC));
	int error;

	if (tree < 0)
		return tree;
	(void)snprintf(target, sizeof(target), "/etc/%s", name);
	error = negative_errno(
	    (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_FROM_FD));
	close(tree);
	return error == -ENOENT ? 0 : error;
}

static int enter_new(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	int fresh = CLONE_NEWNS;

	(void)s;
	if (setns(call->home, CLONE_NEWNS) < 0)
		return -errno;
	if (r->net < 0)
		fresh |= CLONE_NEWNET;
	else if (setns(r->net, CLONE_NEWNET) < 0)
		return -errno;
	if (r->uts < 0)
		fresh |= CLONE_NEWUTS;
	else if (setns(r->uts, CLONE_NEWUTS) < 0)
		return -errno;
	return negative_errno(unshare(fresh));
}

static int set_hostname(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	(void)call, (void)s;
	if (r->uts >= 0)
		return 0;
	return negative_errno(sethostname(r->hostname, strlen(r->hostname)));
}

static int mount_sys(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	(void)call, (void)r, (void)s;
	return negative_errno(mount("sysfs", "/sys", "sysfs", SYSFS_FLAGS, NULL));
}

static int bind_files(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	for (const struct sandbox_text *file = r->files; file->name; file++) {
		int error = write_at(call->files, file->name, O_CREAT, file->text);

		s->what = file->name;
		if (error == 0)
			error = bind_over_etc(call->files, file->name);
		unlinkat(call->files, file->name, 0);
		if (error < 0)
			return error;
	}
	return 0;
}

/* What this kernel does not have, because it is built without IPv6, needs no setting. */
static int set_sysctls(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	char path[PATH_BYTES];

	for (const struct sandbox_text *sysctl = r->sysctls; sysctl->name; sysctl++) {
		int error;

		s->what = sysctl->name;
		(void)snprintf(path, sizeof(path), "sys/net/%s", sysctl->name);
		error = write_at(call->proc, path, 0, sysctl->text);
		if (error < 0 && error != -ENOENT)
			return error;
	}
	return 0;
}

/* As netsim/linux/tun.py does it, which says why. */
static int open_tun(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	unsigned int index = r->tun_index;
	int header = VNET_HEADER_BYTES;

	(void)call;
	if (!r->tun[0])
		return 0;
	s->what = r->tun;
	s->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", r->tun);
	if (s->tun < 0 || ioctl(s->tun, TUNSETIFINDEX, &index) < 0 ||
	    ioctl(s->tun, TUNSETIFF, &request) < 0 || ioctl(s->tun, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	if (ioctl(s->tun, TUNSETOFFLOAD, TUN_OFFLOADS_USO) < 0 &&
	    ioctl(s->tun, TUNSETOFFLOAD, TUN_OFFLOADS) < 0)
		return -errno;
	return negative_errno(ioctl(s->tun, TUNSETPERSIST, 1));
}

/* The first error among the answers. */
static int first_error(const char *reply, size_t size)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr body;
	} message;

	for (size_t at = 0; at + sizeof(message) <= size;
	     at += NLMSG_ALIGN(message.head.nlmsg_len)) {
		memcpy(&message, reply + at, sizeof(message));
		if (message.head.nlmsg_type == NLMSG_ERROR && message.body.error != 0)
			return message.body.error;
		if (message.head.nlmsg_len == 0)
			break;
	}
	return 0;
}

/* The kernel answers before send() returns. */
static int request_links(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	int fd, on = 1, error = 0;
	ssize_t size = 0;

	(void)call;
	if (r->requests_bytes == 0)
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) < 0 ||
	    send(fd, r->requests, r->requests_bytes, 0) < 0)
		error = -errno;
	while (error == 0 && (size = recv(fd, s->reply, sizeof(s->reply), MSG_DONTWAIT)) > 0)
		error = first_error(s->reply, (size_t)size);
	s->reply_bytes = error < 0 && size > 0 ? (size_t)size : 0;
	close(fd);
	return error;
}

static int open_namespaces(const struct call *call, const struct sandbox_recipe *r,
			   struct sandbox *s)
{
	(void)r;
	s->net = openat(call->namespaces, "net", O_RDONLY | O_CLOEXEC);
	s->uts = openat(call->namespaces, "uts", O_RDONLY | O_CLOEXEC);
	s->mnt = openat(call->namespaces, "mnt", O_RDONLY | O_CLOEXEC);
	return s->net < 0 || s->uts < 0 || s->mnt < 0 ? -errno : 0;
}

static const struct step {
	const char *name;
	int (*run)(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s);
} steps[] = {
    {"new namespaces", enter_new},  {"hostname", set_hostname},       {"mount /sys", mount_sys},
    {"bind over /etc", bind_files}, {"sysctl", set_sysctls},          {"TUN", open_tun},
    {"netlink", request_links},     {"descriptors", open_namespaces},
};

static void close_if_open(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void make_one(const struct call *call, const struct sandbox_recipe *r, struct sandbox *s)
{
	*s = (struct sandbox){.net = -1, .uts = -1, .mnt = -1, .tun = -1};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		s->step = steps[i].name;
		s->what = NULL;
		s->error = steps[i].run(call, r, s);
		if (s->error < 0)
			break;
	}
	if (s->error >= 0)
		return;
	close_if_open(&s->net);
	close_if_open(&s->uts);
	close_if_open(&s->mnt);
	close_if_open(&s->tun);
}

static void close_call(struct call *call)
{
	close_if_open(&call->namespaces);
	close_if_open(&call->files);
	close_if_open(&call->proc);
}

int sandbox_make(const struct sandbox_recipe *recipes, struct sandbox *made, size_t count, int home)
{
	struct call call = {.home = home, .proc = -1, .files = -1, .namespaces = -1};
	int error;

	error = call.proc = detached_mount("proc");
	if (error >= 0)
		error = call.files = detached_mount("tmpfs");
	if (error >= 0)
		error = call.namespaces = negative_errno(
		    openat(call.proc, "thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
	for (size_t i = 0; i < count && error >= 0; i++)
		make_one(&call, &recipes[i], &made[i]);
	close_call(&call);
	return error < 0 ? error : 0;
}
