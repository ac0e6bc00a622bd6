/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* @return -@p err, with the message written */
static int __attribute__((format(printf, 3, 4))) fail(char error[static DT_ERROR_SIZE], int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(error, DT_ERROR_SIZE, fmt, args);
	va_end(args);
	return -err;
}

/* @return 0: somebody accepts; else errno of the attempt */
static int
try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return errno;
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	err = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 ? 0 : errno;
	close(fd);
	return err;
}

static int
check_folder(const char *guest, const char *path, char error[static DT_ERROR_SIZE])
{
	char copy[DT_SOCKET_SIZE];
	const char *folder;
	struct stat st;
	int err;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	err = stat(folder, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
	if (err != 0)
		return fail(error, err, "guest '%s': socket %s: the folder %s cannot be reached: %s; create it", guest,
			path, folder, strerror(err));
	if (access(folder, W_OK | X_OK) != 0)
		return fail(error, errno,
			"guest '%s': socket %s: the folder %s is not writable: %s; choose another or change "
			"its owner",
			guest, path, folder, strerror(errno));
	return 0;
}

int
dt_socket_prepare(const char *guest, const char *path, char error[static DT_ERROR_SIZE])
{
	struct stat st;
	int err = check_folder(guest, path, error);

	if (err != 0)
		return err;
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0
				       : fail(error, errno, "guest '%s': socket %s: %s", guest, path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(error, EEXIST,
			"guest '%s': socket %s: exists and is not a socket; remove it or choose another path", guest,
			path);
	err = try_connect(path);
	if (err == 0 || err == EAGAIN)
		return fail(error, EADDRINUSE,
			"guest '%s': socket %s: in use by a live process; stop that one (another "
			"dptap?) or choose another path",
			guest, path);
	if (err != ECONNREFUSED)
		return fail(error, err, "guest '%s': socket %s: %s", guest, path, strerror(err));
	if (unlink(path) != 0)
		return fail(error, errno,
			"guest '%s': socket %s: left over by a dead process, and cannot be removed: %s", guest, path,
			strerror(errno));
	return 0;
}

/* A front end sends a message in one piece and reads each answer; a tenth of a second is for a very busy host. */
#define PEER_WAIT_US 100000

/* Whether a descriptor is a connection on that path: accepted there (our end has it) or made to it (the peer's). */
static bool
is_connection(int fd, const char *path)
{
	struct sockaddr_un ours = { 0 }, peers = { 0 };
	socklen_t ours_len = sizeof(ours) - 1, peers_len = sizeof(peers) - 1; /* a path may have no NUL */

	if (getsockname(fd, (struct sockaddr *)&ours, &ours_len) != 0 ||
		getpeername(fd, (struct sockaddr *)&peers, &peers_len) != 0) /* a listening socket has no peer */
		return false;
	return ours.sun_family == AF_UNIX && (strcmp(ours.sun_path, path) == 0 || strcmp(peers.sun_path, path) == 0);
}

int
dt_socket_bound_waits(const char *path)
{
	const struct timeval wait = { .tv_usec = PEER_WAIT_US };
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	int result = -ENOENT;

	if (folder == NULL)
		return -errno;
	while ((entry = readdir(folder)) != NULL) {
		int fd = atoi(entry->d_name); /* "." and ".." are no socket either */

		if (!is_connection(fd, path))
			continue;
		if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0)
			result = -errno;
		else
			result = fd;
	}
	closedir(folder);
	return result;
}

/* Bytes of answers that a front end may leave unread: a hundred or so. */
#define UNREAD_MAX 32768

bool
dt_socket_stalled(int fd)
{
	int unread;

	return fd >= 0 && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > UNREAD_MAX;
}
