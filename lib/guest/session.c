/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the library reports, on its thread, or for a client's first connection in dt_guest_start().
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include <rte_vhost.h>

#include "gmem.h"
#include "message.h"
#include "socket.h"

#define VIDS_MAX 1024 /* as many connections as the library knows */

/* Main thread writes before start and after stop; the library's thread reads. */
static struct dt_guest *guests[DT_CONF_PORTS_MAX];
static unsigned int n_guests;

/* The library's thread writes and reads. */
static struct dt_guest *by_vid[VIDS_MAX];

int
dt_guest_enlist(struct dt_guest *guest)
{
	if (n_guests == DT_CONF_PORTS_MAX)
		return -ENOSPC;
	guests[n_guests++] = guest;
	return 0;
}

void
dt_guest_delist(struct dt_guest *guest)
{
	for (unsigned int i = 0; i < n_guests; i++)
		if (guests[i] == guest)
			guests[i--] = guests[--n_guests];
}

struct dt_guest *
dt_guest_by_vid(int vid)
{
	return vid >= 0 && vid < VIDS_MAX ? __atomic_load_n(&by_vid[vid], __ATOMIC_ACQUIRE) : NULL;
}

void
dt_guest_forget_vid(struct dt_guest *guest, int vid)
{
	/* The number may be another guest's connection by now. */
	if (vid >= 0)
		__atomic_compare_exchange_n(
			&by_vid[vid], &(struct dt_guest *){ guest }, NULL, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static void
begin_session(struct dt_guest *guest, int vid)
{
	guest->vid = vid;
	guest->connections++;
	guest->frozen = false;
	guest->vanished = false;
	guest->features = 0;
	dt_fit_set(&guest->fit, 0);
	guest->request = 0;
	guest->mtu = 0;
	guest->told_running = false;
	guest->doubted = false;
	memset(guest->ring, 0, sizeof(guest->ring));
	__atomic_store_n(&by_vid[vid], guest, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < guest->n_pairs; i++)
		dt_pair_close(guest->pairs[i].pair, guest->pairs[i].worker, DT_CAUSE_GUEST_NOT_READY);
}

static int
new_connection(int vid)
{
	char path[DT_SOCKET_SIZE];
	struct dt_guest *guest = NULL;
	int result = -1;

	if (vid < 0 || vid >= VIDS_MAX || rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return -1;
	for (unsigned int i = 0; i < n_guests; i++)
		if (strcmp(guests[i]->conf->socket, path) == 0)
			guest = guests[i];
	if (guest == NULL)
		return -1;
	pthread_mutex_lock(&guest->lock);
	if (guest->vid >= 0) {
		GUEST_SAY(guest, ERR, "a second front end connected to %s: refused, the first is still there", path);
	} else if (!guest->stopping && dt_guest_hook(guest, vid) == 0) {
		guest->fd = dt_socket_bound_waits(path);
		if (guest->fd < 0)
			GUEST_SAY(guest, WARNING, "cannot bound how long its front end may hold up the control plane");
		begin_session(guest, vid);
		GUEST_SAY(guest, INFO, "front end connected");
		result = 0;
	}
	pthread_mutex_unlock(&guest->lock);
	return result;
}

static void
destroy_connection(int vid)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);

	dt_gmem_guard(NULL);
	if (guest == NULL)
		return;
	pthread_mutex_lock(&guest->lock);
	dt_guest_stop_rings(guest, DT_STOP_CLOSE, DT_CAUSE_GUEST_NOT_CONNECTED);
	dt_guest_drop_memory(guest);
	dt_guest_drop_log(guest);
	__atomic_store_n(&by_vid[vid], NULL, __ATOMIC_RELEASE);
	guest->vid = -1;
	guest->fd = -1;
	guest->features = 0;
	guest->mtu = 0;
	dt_fit_set(&guest->fit, 0);
	for (unsigned int i = 0; i < guest->n_pairs; i++)
		if (guest->pairs[i].gone != NULL)
			dt_worker_call(guest->pairs[i].worker, guest->pairs[i].gone, guest->pairs[i].gone_arg);
	GUEST_SAY(guest, INFO, "front end disconnected");
	pthread_mutex_unlock(&guest->lock);
}

/*
 * With features of our own new_device may never come, nor destroy_device then; vring_state_changed(), the hook and
 * destroy_connection tell all there is. The library wants both.
 */
static int
new_device(int vid)
{
	(void)vid;
	return 0;
}

static void
destroy_device(int vid)
{
	(void)vid;
}

static int
vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);

	if (guest == NULL || ring >= guest->n_rings)
		return 0;
	pthread_mutex_lock(&guest->lock);
	/* One that becomes unready is dealt with where that begins: in the hook. */
	guest->ring[ring].ready = enable != 0;
	if (enable) {
		guest->ring[ring].lingers = false;
		dt_guest_resume(guest);
	}
	pthread_mutex_unlock(&guest->lock);
	return 0;
}

const struct rte_vhost_device_ops dt_guest_callbacks = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
};
