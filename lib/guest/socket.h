/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: whether a socket path can be listened on. */
#ifndef DT_GUEST_SOCKET_H
#define DT_GUEST_SOCKET_H

#include <stdbool.h>

#include "conf.h"

/**
 * Make way for a listening socket: a stale one, that nobody listens on, is removed.
 *
 * @param error  receives what is in the way and what to do
 * @return 0; -EADDRINUSE: somebody listens; -EEXIST: the path is no socket; -ENOENT, -EACCES, ...: the folder
 */
int dt_socket_prepare(const char *guest, const char *path, char error[static DT_ERROR_SIZE]);

/**
 * Bound how long a connection's peer can make us wait in mid-message. librte_vhost reads and answers with blocking
 * calls, on one thread for all guests, and keeps the descriptor to itself: it is found by its path.
 *
 * @return the descriptor; -ENOENT: there is no such connection; -errno
 */
int dt_socket_bound_waits(const char *path);

/** Whether the peer of a connection has stopped reading: much of what we sent is still there. */
bool dt_socket_stalled(int fd);

#endif
