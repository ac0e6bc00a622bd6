/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <rte_common.h>

#include "feature.h"

/* Without the locale's opinion: names travel to telemetry, logs and file names. */
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"

bool
dt_conf_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len < DT_NAME_SIZE && strspn(name, NAME_CHARACTERS) == len;
}

static int
set_number(const struct dt_conf_setting *row, uint32_t *number, const char *value, char *why)
{
	uint64_t n = 0;

	if (value[strspn(value, "0123456789")] != '\0') {
		snprintf(why, DT_CONF_WHY_SIZE, "not a whole number, want %u to %u %s", row->min, row->max, row->unit);
		return -EINVAL;
	}
	for (const char *digit = value; *digit != '\0'; digit++) {
		n = n * 10 + (uint64_t)(*digit - '0');
		if (n > UINT32_MAX) /* and stay there, whatever follows: no row goes that far */
			n = UINT32_MAX;
	}
	if ((n < row->min || n > row->max) && !(n == 0 && row->zero != NULL)) {
		snprintf(why, DT_CONF_WHY_SIZE, "out of range, %u to %u %s%s%s%s", row->min, row->max, row->unit,
			row->zero ? " (or 0: " : "", row->zero ? row->zero : "", row->zero ? ")" : "");
		return -EINVAL;
	}
	*number = (uint32_t)n;
	return 0;
}

/* The position of a word of @p len characters in "one|two|three", -1 if it is none of them. */
static int
find_word(const char *words, const char *word, size_t len)
{
	for (int i = 0;; i++) {
		size_t n = strcspn(words, "|");

		if (n == len && strncmp(words, word, n) == 0)
			return i;
		if (words[n] == '\0')
			return -1;
		words += n + 1;
	}
}

_Static_assert(sizeof(enum dt_mode) == sizeof(unsigned int) && sizeof(enum dt_socket_mode) == sizeof(unsigned int) &&
		       sizeof(enum dt_idle) == sizeof(unsigned int),
	"set_word() stores an enum as an unsigned int");

static int
set_word(const struct dt_conf_setting *row, void *at, const char *value, char *why)
{
	int i = find_word(row->form, value, strlen(value));

	if (i < 0) {
		snprintf(why, DT_CONF_WHY_SIZE, "want one of %s", row->form);
		return -EINVAL;
	}
	if (row->type == DT_CONF_SWITCH)
		*(bool *)at = i == 0;
	else
		*(unsigned int *)at = (unsigned int)i;
	return 0;
}

static int
set_words(const struct dt_conf_setting *row, uint32_t *bits, const char *value, char *why)
{
	uint32_t found = 0;

	if (strcmp(value, "none") == 0) {
		*bits = 0;
		return 0;
	}
	for (const char *word = value;; word++) {
		size_t len = strcspn(word, "+");
		int i = find_word(row->words, word, len);

		if (i < 0) {
			snprintf(why, DT_CONF_WHY_SIZE, "%.*s is no such word, want some of %s, joined by +",
				(int)RTE_MIN(len, (size_t)DT_CONF_CLIP_LEN), word, row->words);
			return -EINVAL;
		}
		found |= UINT32_C(1) << i;
		word += len;
		if (*word == '\0')
			break;
	}
	*bits = found;
	return 0;
}

static int
set_text(const struct dt_conf_setting *row, char *text, const char *value, char *why)
{
	size_t len = strlen(value);

	if (len >= row->size) {
		snprintf(why, DT_CONF_WHY_SIZE, "too long: %zu bytes, at most %zu fit", len, row->size - 1);
		return -EINVAL;
	}
	for (const char *c = value; *c != '\0'; c++) {
		if (iscntrl((unsigned char)*c)) {
			snprintf(why, DT_CONF_WHY_SIZE, "a control character in it, want a %s", row->form);
			return -EINVAL;
		}
	}
	memcpy(text, value, len + 1);
	return 0;
}

static int
set_name(char *text, const char *value, char *why)
{
	if (!dt_conf_name_is_valid(value)) {
		snprintf(why, DT_CONF_WHY_SIZE, "not a name, want " DT_CONF_NAME_FORM);
		return -EINVAL;
	}
	memcpy(text, value, strlen(value) + 1);
	return 0;
}

/* Six pairs of hexadecimal digits; rte_ether_unformat_addr() alone also takes 1:2:3:4:5:6, signs and three words. */
static bool
has_mac_shape(const char *value)
{
	const size_t len = sizeof("xx:xx:xx:xx:xx:xx") - 1;

	if (strlen(value) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (i % 3 == 2 ? value[i] != ':' : !isxdigit((unsigned char)value[i]))
			return false;
	return true;
}

static int
set_mac(struct dt_conf_guest *guest, const char *value, char *why)
{
	if (!has_mac_shape(value) || rte_ether_unformat_addr(value, &guest->mac) != 0) {
		snprintf(why, DT_CONF_WHY_SIZE, "not a MAC address, want six bytes like 52:54:00:12:34:56");
		return -EINVAL;
	}
	guest->has_mac = true;
	return 0;
}

static int
set_features(uint64_t *features, const char *value, char *why)
{
	uint64_t set = 0;

	for (const char *name = value;; name++) {
		size_t len = strcspn(name, "+");
		int bit = dt_feature_bit(name, len), shown = len < DT_CONF_CLIP_LEN ? (int)len : DT_CONF_CLIP_LEN;

		if (bit < 0 || !dt_feature_can_be_off((unsigned int)bit)) {
			snprintf(why, DT_CONF_WHY_SIZE,
				"'%.*s' is no feature that can be off; see the list in dptap --help", shown, name);
			return -EINVAL;
		}
		set |= 1ULL << bit;
		name += len;
		if (*name == '\0')
			break;
	}
	*features = set;
	return 0;
}

int
dt_conf_value_set(const struct dt_conf_setting *row, void *object, const char *value, char why[static DT_CONF_WHY_SIZE])
{
	void *at = (char *)object + row->offset;
	size_t len = strlen(value);

	if (len == 0) {
		snprintf(why, DT_CONF_WHY_SIZE, "empty, want %s=%s", row->key, row->form);
		return -EINVAL;
	}
	/* The file's parser strips blanks, the shell's quotes keep them. */
	if (isspace((unsigned char)value[0]) || isspace((unsigned char)value[len - 1])) {
		snprintf(why, DT_CONF_WHY_SIZE, "a blank before or behind the value, want %s=%s", row->key, row->form);
		return -EINVAL;
	}

	switch (row->type) {
	case DT_CONF_NUMBER:
		return set_number(row, at, value, why);
	case DT_CONF_SWITCH:
	case DT_CONF_CHOICE:
		return set_word(row, at, value, why);
	case DT_CONF_WORDS:
		return set_words(row, at, value, why);
	case DT_CONF_TEXT:
		return set_text(row, at, value, why);
	case DT_CONF_NAME:
		return set_name(at, value, why);
	case DT_CONF_FEATURES:
		return set_features(at, value, why);
	case DT_CONF_MAC:
		return set_mac(object, value, why);
	}
	return -EINVAL; /* not reached: every type stands above */
}
