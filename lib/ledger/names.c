/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <string.h>

#include <rte_telemetry.h>

static const struct {
	const char *name;
	enum dt_drop_reason reason;
	const char *what;
	const char *culprit;
	const char *remedy;
} causes[] = {
#define X(NAME, name, reason, what, culprit, remedy)                                                                   \
	[DT_CAUSE_##NAME] = { #name, DT_REASON_##reason, what, culprit, remedy },
	DT_CAUSE_LIST(X)
#undef X
};

static const struct {
	const char *name;
	const char *meaning;
} reasons[] = {
#define X(code, name, meaning) [code] = { #name, meaning },
	DT_REASON_LIST(X)
#undef X
};

/* Telemetry carries a text in one string or not at all. */
#define X(NAME, name, reason, what, culprit, remedy)                                                                   \
	_Static_assert(sizeof(what) <= RTE_TEL_MAX_STRING_LEN && sizeof(culprit) <= RTE_TEL_MAX_STRING_LEN &&          \
			       sizeof(remedy) <= RTE_TEL_MAX_STRING_LEN,                                               \
		"text too long: " #name);
DT_CAUSE_LIST(X)
#undef X

enum dt_drop_reason
dt_cause_reason(enum dt_cause cause)
{
	return causes[cause].reason;
}

const char *
dt_cause_name(enum dt_cause cause)
{
	return causes[cause].name;
}

const char *
dt_cause_what(enum dt_cause cause)
{
	return causes[cause].what;
}

const char *
dt_cause_culprit(enum dt_cause cause)
{
	return causes[cause].culprit;
}

const char *
dt_cause_remedy(enum dt_cause cause)
{
	return causes[cause].remedy;
}

const char *
dt_reason_name(enum dt_drop_reason reason)
{
	return reasons[reason].name;
}

const char *
dt_reason_meaning(enum dt_drop_reason reason)
{
	return reasons[reason].meaning;
}

enum dt_cause
dt_cause_by_name(const char *name)
{
	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++)
		if (strcmp(causes[i].name, name) == 0)
			return (enum dt_cause)i;
	return DT_CAUSE_MAX;
}

enum dt_drop_reason
dt_reason_by_name(const char *name)
{
	for (unsigned int i = 0; i < DT_REASON_MAX; i++)
		if (strcmp(reasons[i].name, name) == 0)
			return (enum dt_drop_reason)i;
	return DT_REASON_MAX;
}
