/* SPDX-License-Identifier: BSD-3-Clause */
#include "early.h"

#include <stdio.h>
#include <string.h>

#include <rte_common.h>
#include <rte_version.h>

#include "conf.h"
#include "ledger.h"

int
dt_early_own_args(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i + 1;
	return argc;
}

const char *
dt_early_misplaced(int argc, char *const argv[])
{
	static const char *const own[] = { "--config", "--set", "--uplink", "--guest", "--check-config" };

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		for (unsigned int k = 0; k < RTE_DIM(own); k++)
			if (strncmp(argv[i], own[k], strlen(own[k])) == 0)
				return argv[i];
	return NULL;
}

/* As Markdown, which README.md shows as it is. A reason that nothing raises yet has a row without a cause. */
static void
list_causes(enum dt_drop_reason reason)
{
	bool any = false;

	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
		enum dt_cause cause = (enum dt_cause)i;

		if (dt_cause_reason(cause) != reason)
			continue;
		any = true;
		printf("| %s | `%s` | %s | %s | %s |\n", dt_reason_name(reason), dt_cause_name(cause),
			dt_cause_what(cause), dt_cause_culprit(cause), dt_cause_remedy(cause));
	}
	if (!any)
		printf("| %s | | %s | | |\n", dt_reason_name(reason), dt_reason_meaning(reason));
}

static void
list_reasons(void)
{
	printf("| reason | cause | what happened | usual culprit | what to do |\n|---|---|---|---|---|\n");
	for (unsigned int reason = 0; reason < DT_REASON_MAX; reason++)
		list_causes((enum dt_drop_reason)reason);
}

bool
dt_early_answer(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			dt_conf_help(stdout);
		else if (strcmp(argv[i], "--version") == 0)
			printf("dptap %s, %s\n", DT_VERSION, rte_version());
		else if (strcmp(argv[i], "--list-reasons") == 0)
			list_reasons();
		else
			continue;
		return true;
	}
	return false;
}
