/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue pair goes from one worker to another. What waits stays where it is, in its lane and in the guest's rings, and
 * others go on putting into both. Its two directions move together: the consumer of its lane changes, and a producer
 * of others' lanes. Each of these has put all that it took before the next one takes anything.
 */
#include "internal.h"

#include "pool.h"

struct settling {
	struct dt_guest *guest;
	unsigned int pair;
};

static void
settle(void *arg, struct dt_worker *worker)
{
	const struct settling *settling = arg;
	struct dt_guest_pair *pair = &settling->guest->pairs[settling->pair];

	dt_guest_detach(settling->guest, settling->pair);
	pair->worker = worker;
	dt_guest_attach(settling->guest, settling->pair);
	pair->pair->pool = dt_pool_of(dt_worker_memory(worker));
}

void
dt_guest_say_moved(const struct dt_guest *guest, struct dt_worker *from, struct dt_worker *to)
{
	if (guest->place.moved != NULL)
		guest->place.moved(guest->place.self, from, to);
}

int
dt_guest_hand_over(struct dt_guest *guest, unsigned int i, struct dt_worker *to)
{
	struct settling settling = { .guest = guest, .pair = i };
	struct dt_worker *from = guest->pairs[i].worker;
	int err = dt_worker_hand_over(from, to, &dt_pair_polled, guest->pairs[i].pair, settle, &settling);

	if (err != 0)
		return err;
	dt_guest_say_moved(guest, from, to);
	dt_guest_follow(guest, i);
	return 0;
}

int
dt_guest_move(struct dt_guest *guest, unsigned int i, struct dt_worker *worker, struct dt_worker **ret_from)
{
	struct dt_worker *from;
	int err = 0;

	pthread_mutex_lock(&guest->lock);
	from = guest->pairs[i].worker;
	if (worker != from)
		err = dt_guest_hand_over(guest, i, worker);
	pthread_mutex_unlock(&guest->lock);
	if (err == 0)
		*ret_from = from;
	return err;
}
