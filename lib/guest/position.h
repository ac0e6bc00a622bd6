/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: positions in packed rings, kept in a file that outlives dptap.
 *
 * A split ring tells itself how far its device has come; a packed one does not, and a front end whose back end died
 * hands out the start position. So each guest has a file in EAL's runtime directory, mapped, in which the worker keeps
 * where its packed rings stand. After a restart that counts again, for a ring that is in the same place, of the same
 * size and features, and not fresh. Control opens and reads; a ring's worker writes its position (see vq.h).
 */
#ifndef DT_GUEST_POSITION_H
#define DT_GUEST_POSITION_H

struct dt_guest;
struct dt_positions;
struct dt_vq;

/** Open the guest's file, or make it; without one, positions are lost with the process, and that is told. */
void dt_positions_open(struct dt_guest *guest);

/** Close it; it stays if a ring in it was not stopped by its front end. */
void dt_positions_close(struct dt_guest *guest);

/**
 * Let a packed ring that is about to start keep its position; and if it starts where all do, but had come further
 * before, start it there. With the guest's lock.
 *
 * @param vq  with all of "set before it runs" filled; base and position may be changed
 */
void dt_positions_find(struct dt_guest *guest, unsigned int ring, struct dt_vq *vq);

/** The front end has stopped the ring, and was told where. With the guest's lock. */
void dt_positions_forget(struct dt_guest *guest, unsigned int ring);

#endif
