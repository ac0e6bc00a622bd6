/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
