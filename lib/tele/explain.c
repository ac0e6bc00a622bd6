/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void
dt_tele_add_causes(struct rte_tel_data *data, const char *name, enum dt_drop_reason reason)
{
	struct rte_tel_data *causes = rte_tel_data_alloc();

	if (causes == NULL)
		return;
	rte_tel_data_start_array(causes, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++)
		if (dt_cause_reason((enum dt_cause)i) == reason)
			rte_tel_data_add_array_string(causes, dt_cause_name((enum dt_cause)i));
	rte_tel_data_add_dict_container(data, name, causes, 0);
}

static void
add_reason(struct rte_tel_data *data, enum dt_drop_reason reason)
{
	rte_tel_data_add_dict_uint(data, "code", reason);
	rte_tel_data_add_dict_string(data, "meaning", dt_reason_meaning(reason));
	dt_tele_add_causes(data, "causes", reason);
}

/* {"NO_SOCKET": {"code": 1, "meaning": "...", "causes": ["guest_not_connected", ...]}, ...} */
void
dt_tele_reasons(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	(void)path;
	(void)params;
	rte_tel_data_start_dict(data);
	for (unsigned int i = 0; i < DT_REASON_MAX; i++) {
		struct rte_tel_data *one = rte_tel_data_alloc();

		if (one == NULL)
			return;
		rte_tel_data_start_dict(one);
		add_reason(one, (enum dt_drop_reason)i);
		rte_tel_data_add_dict_container(data, dt_reason_name((enum dt_drop_reason)i), one, 0);
	}
}

/* {"name": "hdr_gso_size", "kind": "cause", "reason": "DEV_HDR", "what": "...", "culprit": "...", "remedy": "..."} */
void
dt_tele_explain(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	const char *name = params == NULL ? "" : params;
	enum dt_drop_reason reason = dt_reason_by_name(name);
	enum dt_cause cause = dt_cause_by_name(name);

	(void)path;
	if (cause != DT_CAUSE_MAX) {
		rte_tel_data_start_dict(data);
		rte_tel_data_add_dict_string(data, "name", name);
		rte_tel_data_add_dict_string(data, "kind", "cause");
		rte_tel_data_add_dict_string(data, "reason", dt_reason_name(dt_cause_reason(cause)));
		rte_tel_data_add_dict_string(data, "what", dt_cause_what(cause));
		rte_tel_data_add_dict_string(data, "culprit", dt_cause_culprit(cause));
		rte_tel_data_add_dict_string(data, "remedy", dt_cause_remedy(cause));
	} else if (reason != DT_REASON_MAX) {
		rte_tel_data_start_dict(data);
		rte_tel_data_add_dict_string(data, "name", name);
		rte_tel_data_add_dict_string(data, "kind", "reason");
		add_reason(data, reason);
	} else if (name[0] == '\0') {
		dt_tele_error(data, "explain what? give a reason or cause behind a comma; /dptap/reasons lists them");
	} else {
		dt_tele_error(data, "'%.40s' is neither reason nor cause; /dptap/reasons lists them", name);
	}
}
