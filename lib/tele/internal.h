/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: handlers, and what they share. */
#ifndef DT_TELE_INTERNAL_H
#define DT_TELE_INTERNAL_H

#include "tele.h"

#include <stdbool.h>

#include "compat.h"

/* A handler: look, and fill @p data, of which nothing is begun yet. */
typedef void (*dt_tele_fn)(const struct dt_path *path, const char *params, struct rte_tel_data *data);

/* The same for one that changes something. */
typedef void (*dt_tele_act)(struct dt_path *path, const char *params, struct rte_tel_data *data);

void dt_tele_ports(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_port(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_drops(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_lcores(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_numa(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_reasons(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_explain(const struct dt_path *path, const char *params, struct rte_tel_data *data);
void dt_tele_move(struct dt_path *path, const char *params, struct rte_tel_data *data);

/** Answer {"error": text}. */
void dt_tele_error(struct rte_tel_data *data, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The library answers in one message of at most 16 KiB, and knows arrays of plain values only. So long lists are
 * dictionaries with the elements' numbers as keys, and go on where an answer says {"next": number}: ask again with
 * that as the parameter.
 */

/**
 * Where an answer begins: @p params is a number, or nothing for 0.
 * @return false: it is something else, and @p data says so
 */
bool dt_tele_first(const char *params, struct rte_tel_data *data, unsigned int *ret_first);

/** Bytes of JSON that one answer may take up, with some to spare. */
#define DT_TELE_ROOM 15000

/** Add an element; @p one is the answer's from then on. */
void dt_tele_add_numbered(struct rte_tel_data *data, unsigned int number, struct rte_tel_data *one);

/** The port that @p params names, -1: none, and @p data says so. */
int dt_tele_port_param(const struct dt_path *path, const char *params, struct rte_tel_data *data);

/** Add {"REASON": {"cause": packets, ...}, ...} for what @p account dropped; zero counts are left out. */
void dt_tele_add_drops(struct rte_tel_data *data, const struct dt_account *account);

/** Add @p name: an array of the names of the causes of @p reason. */
void dt_tele_add_causes(struct rte_tel_data *data, const char *name, enum dt_drop_reason reason);

#endif
