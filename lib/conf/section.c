/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int
dt_conf_error(char error[static DT_ERROR_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, DT_ERROR_SIZE, format, args);
	va_end(args);
	for (char *c = error; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return -EINVAL;
}

void
dt_conf_free(struct dt_conf *conf)
{
	if (conf == NULL)
		return;
	free(conf->uplinks);
	free(conf->guests);
	free(conf);
}

/* Uplinks and guests share one name space: what has this name already, NULL if nothing has. */
static const char *
find_port(const struct dt_conf *conf, const char *name)
{
	for (unsigned int i = 0; i < conf->n_uplinks; i++)
		if (strcmp(conf->uplinks[i].name, name) == 0)
			return "an uplink";
	for (unsigned int i = 0; i < conf->n_guests; i++)
		if (strcmp(conf->guests[i].name, name) == 0)
			return "a guest";
	return NULL;
}

/* Make an array one zeroed element longer. Returns that element, NULL without memory. */
static void *
append(void *array, unsigned int *n, size_t size)
{
	char *start = *(void **)array;
	char *grown = realloc(start, (*n + 1) * size);

	if (grown == NULL)
		return NULL;
	*(void **)array = grown;
	return memset(grown + (*n)++ * size, 0, size);
}

static void *
add_port(struct dt_conf *conf, enum dt_conf_kind kind, const char *name)
{
	struct dt_conf_uplink *uplink;
	struct dt_conf_guest *guest;

	if (kind == DT_CONF_UPLINK) {
		uplink = append(&conf->uplinks, &conf->n_uplinks, sizeof(*uplink));
		if (uplink != NULL)
			memcpy(uplink->name, name, strlen(name) + 1);
		return uplink;
	}
	guest = append(&conf->guests, &conf->n_guests, sizeof(*guest));
	if (guest != NULL) {
		memcpy(guest->name, name, strlen(name) + 1);
		guest->uplink = -1;
	}
	return guest;
}

int
dt_conf_section_open(
	struct dt_conf *conf, struct dt_conf_section *section, const char *name, char error[static DT_ERROR_SIZE])
{
	const char *taken;

	section->seen = section->kind == DT_CONF_DPTAP ? conf->given : 0;
	section->object = conf;
	if (section->kind != DT_CONF_DPTAP) {
		if (!dt_conf_name_is_valid(name))
			return dt_conf_error(error, "%s: '%.*s%s' is not a name, want " DT_CONF_NAME_FORM,
				section->where, DT_CONF_CLIP(name));
		taken = find_port(conf, name);
		if (taken != NULL)
			return dt_conf_error(error, "%s: the name %s is already that of %s; give each port its own",
				section->where, name, taken);
		section->object = add_port(conf, section->kind, name);
		if (section->object == NULL) {
			dt_conf_error(error, "%s: out of memory", section->where);
			return -ENOMEM;
		}
	}

	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char why[DT_CONF_WHY_SIZE];

		if (row->kind != section->kind || row->initial == NULL || (section->seen & UINT32_C(1) << i) != 0)
			continue;
		if (dt_conf_value_set(row, section->object, row->initial, why) != 0)
			return dt_conf_error(error, "default of %s = %s: %s", row->key, row->initial, why);
	}
	return 0;
}

static int
unknown_key(const struct dt_conf_section *section, const char *key, char error[static DT_ERROR_SIZE])
{
	static const char *const who[] = {
		[DT_CONF_DPTAP] = "[dptap]",
		[DT_CONF_UPLINK] = "an uplink",
		[DT_CONF_GUEST] = "a guest",
	};
	char keys[256] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < dt_conf_n_settings && len < sizeof(keys); i++)
		if (dt_conf_settings[i].kind == section->kind)
			len += (size_t)snprintf(
				keys + len, sizeof(keys) - len, "%s%s", len > 0 ? ", " : "", dt_conf_settings[i].key);
	return dt_conf_error(error, "%s%s%.*s%s: unknown key; %s takes %s", section->where, section->gap,
		DT_CONF_CLIP(key), who[section->kind], keys);
}

int
dt_conf_section_set(
	struct dt_conf_section *section, const char *key, const char *value, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_setting *row = dt_conf_setting_find(section->kind, key);
	char why[DT_CONF_WHY_SIZE];
	uint32_t bit;

	if (row == NULL)
		return unknown_key(section, key, error);
	bit = UINT32_C(1) << (row - dt_conf_settings);
	if (section->seen & bit)
		return dt_conf_error(error, "%s%s%s: given twice; keep one", section->where, section->gap, key);
	section->seen |= bit;

	if (dt_conf_value_set(row, section->object, value, why) != 0)
		return dt_conf_error(
			error, "%s%s%s = %.*s%s: %s", section->where, section->gap, key, DT_CONF_CLIP(value), why);
	return 0;
}

int
dt_conf_section_close(struct dt_conf_section *section, char error[static DT_ERROR_SIZE])
{
	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];

		if (row->kind == section->kind && row->required && !(section->seen & (UINT32_C(1) << i)))
			return dt_conf_error(
				error, "%s: %s is missing; add %s=%s", section->where, row->key, row->key, row->form);
	}
	if (section->kind == DT_CONF_DPTAP)
		((struct dt_conf *)section->object)->given = section->seen;
	if (section->kind == DT_CONF_UPLINK) {
		struct dt_conf_uplink *uplink = section->object;

		if (uplink->device[0] == '\0')
			memcpy(uplink->device, uplink->name, sizeof(uplink->name));
	}
	return 0;
}

int
dt_conf_add_uplink(struct dt_conf *conf, const char *device, char error[static DT_ERROR_SIZE])
{
	char where[DT_DEVICE_SIZE + 16];
	struct dt_conf_section section = { .where = where, .gap = ": ", .kind = DT_CONF_UPLINK };
	int ret;

	snprintf(where, sizeof(where), "device %s", device);
	if (!dt_conf_name_is_valid(device))
		return dt_conf_error(error,
			"%s: cannot serve as a port's name (" DT_CONF_NAME_FORM
			"); name it with --uplink NAME,device=DEVICE",
			where);
	ret = dt_conf_section_open(conf, &section, device, error);
	if (ret != 0)
		return ret;
	return dt_conf_section_close(&section, error);
}
