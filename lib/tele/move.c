/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* A number, and behind it a comma or nothing. @return where the next one begins; NULL: it is none */
static const char *
take_number(const char *text, unsigned int *ret_number)
{
	unsigned long number;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return NULL;
	number = strtoul(text, &end, 10);
	if ((*end != ',' && *end != '\0') || number > UINT32_MAX)
		return NULL;
	*ret_number = (unsigned int)number;
	return *end == ',' ? end + 1 : end;
}

/* {"name": "vm0", "pair": 1, "from_lcore": 1, "lcore": 2, "moved": "yes"} */
void
dt_tele_move(struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	char name[DT_NAME_SIZE] = "", error[DT_ERROR_SIZE];
	const char *rest = params != NULL ? strchr(params, ',') : NULL;
	unsigned int pair, lcore, from;
	int port;

	if (rest != NULL && (size_t)(rest - params) < sizeof(name))
		memcpy(name, params, (size_t)(rest - params));
	rest = take_number(rest != NULL ? rest + 1 : NULL, &pair);
	rest = take_number(rest, &lcore);
	if (rest == NULL || *rest != '\0') {
		dt_tele_error(data,
			"what shall go where? /dptap/move,NAME,PAIR,LCORE: a port's name, the number of one "
			"of its queue pairs (/dptap/port,NAME), a worker's lcore (/dptap/lcores)");
		return;
	}
	port = dt_tele_port_param(path, name, data);
	if (port < 0)
		return;
	if (dt_path_move(path, (unsigned int)port, pair, lcore, &from, error) != 0) {
		dt_tele_error(data, "%s", error);
		return;
	}
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "name", name);
	rte_tel_data_add_dict_uint(data, "pair", pair);
	rte_tel_data_add_dict_uint(data, "from_lcore", from);
	rte_tel_data_add_dict_uint(data, "lcore", lcore);
	rte_tel_data_add_dict_string(data, "moved", from != lcore ? "yes" : "no");
}
