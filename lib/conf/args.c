/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

enum option_id { OPTION_CONFIG, OPTION_SET, OPTION_UPLINK, OPTION_GUEST, OPTION_CHECK_CONFIG, OPTION_OF_MAIN };

/* The options, for the parser and for --help; those of main() answer before there is a configuration. */
static const struct option {
	const char *name;
	const char *form; /* the value's shape, NULL: it takes none */
	enum option_id id;
	const char *help;
} options[] = {
	{ "--config", "FILE", OPTION_CONFIG, "read settings from FILE" },
	{ "--set", "key=value...", OPTION_SET, "settings of dptap itself; may be repeated" },
	{ "--uplink", "NAME[,key=value...]", OPTION_UPLINK, "add an uplink; may be repeated" },
	{ "--guest", "NAME,key=value...", OPTION_GUEST, "add a guest; may be repeated" },
	{ "--check-config", NULL, OPTION_CHECK_CONFIG, "judge the configuration, start nothing" },
	{ "--list-reasons", NULL, OPTION_OF_MAIN, "print the reasons and causes of drops" },
	{ "--help", NULL, OPTION_OF_MAIN, "print this" },
	{ "--version", NULL, OPTION_OF_MAIN, "print the version" },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

void
dt_conf_help(FILE *out)
{
	fputs("usage: dptap [EAL options] -- [options]\n"
	      "       dptap --help | --version | --list-reasons\n"
	      "\n"
	      "EAL's main lcore controls, every other lcore forwards: at least two are needed, such as -l 0-1.\n"
	      "Without an uplink in the options or the file, every device that EAL probed becomes one.\n"
	      "\noptions:\n",
		out);
	for (size_t i = 0; i < N_OPTIONS; i++)
		fprintf(out, "  %s %-*s %s\n", options[i].name, (int)(28 - strlen(options[i].name)),
			options[i].form ? options[i].form : "", options[i].help);
	fputs("\nkeys of --uplink NAME, or of [uplink NAME] in the file:\n", out);
	dt_conf_setting_help(DT_CONF_UPLINK, out);
	fputs("\nkeys of --guest NAME, or of [guest NAME] in the file:\n", out);
	dt_conf_setting_help(DT_CONF_GUEST, out);
	fputs("\nkeys of --set, or of [dptap] in the file:\n", out);
	dt_conf_setting_help(DT_CONF_DPTAP, out);
	fputs("\na NAME has " DT_CONF_NAME_FORM "\n", out);
	fputs("\nfeatures, for features_off:\n", out);
	dt_conf_features_help(out);
}

/*
 * Refuse what rte_kvargs would take in silence: empty settings and keys without a value are skipped, of "a=b=c"
 * it keeps b=c, and a '[' swallows all commas up to its ']'.
 */
static int
check_pairs(const char *where, const char *pairs, char error[static DT_ERROR_SIZE])
{
	unsigned int n = 0;

	if (strpbrk(pairs, "[]") != NULL)
		return dt_conf_error(error,
			"%s: '%.*s%s': brackets group commas here; values with [ or ] need a file, "
			"see --config",
			where, DT_CONF_CLIP(pairs));

	for (const char *pair = pairs;; pair++) {
		size_t len = strcspn(pair, ",");
		const char *equals = memchr(pair, '=', len);
		int shown = len < DT_CONF_CLIP_LEN ? (int)len : DT_CONF_CLIP_LEN;

		if (len == 0)
			return dt_conf_error(
				error, "%s: nothing between two commas or behind the last, want key=value", where);
		if (equals == NULL)
			return dt_conf_error(error, "%s: %.*s: no value, want key=value", where, shown, pair);
		if (equals == pair)
			return dt_conf_error(error, "%s: %.*s: no key, want key=value", where, shown, pair);
		if (memchr(equals + 1, '=', len - (size_t)(equals + 1 - pair)) != NULL)
			return dt_conf_error(error,
				"%s: %.*s: a second '='; a value with '=' needs a file, see --config", where, shown,
				pair);
		if (++n > RTE_KVARGS_MAX)
			return dt_conf_error(error, "%s: more than %u settings", where, RTE_KVARGS_MAX);
		pair += len;
		if (*pair == '\0')
			return 0;
	}
}

struct assignment {
	struct dt_conf_section *section;
	char *error;
	int ret;
};

static int
assign(const char *key, const char *value, void *opaque)
{
	struct assignment *a = opaque;

	a->ret = dt_conf_section_set(a->section, key, value, a->error);
	return a->ret;
}

static int
assign_pairs(struct dt_conf_section *section, const char *pairs, char error[static DT_ERROR_SIZE])
{
	struct assignment a = { .section = section, .error = error };
	struct rte_kvargs *list;
	int ret = check_pairs(section->where, pairs, error);

	if (ret != 0)
		return ret;
	list = rte_kvargs_parse(pairs, NULL);
	if (list == NULL) {
		dt_conf_error(error, "%s: out of memory", section->where);
		return -ENOMEM;
	}
	rte_kvargs_process(list, NULL, assign, &a);
	rte_kvargs_free(list);
	return a.ret;
}

/* NAME[,key=value...] */
static int
parse_port(struct dt_conf *conf, const struct option *option, const char *value, char error[static DT_ERROR_SIZE])
{
	char name[DT_NAME_SIZE], where[DT_NAME_SIZE + 16];
	struct dt_conf_section section = { .where = where, .gap = ": " };
	size_t len = strcspn(value, ",");
	int ret;

	section.kind = option->id == OPTION_UPLINK ? DT_CONF_UPLINK : DT_CONF_GUEST;
	if (len == 0 || memchr(value, '=', len) != NULL)
		return dt_conf_error(error, "%s %.*s%s: no name in front of the keys, want %s %s", option->name,
			DT_CONF_CLIP(value), option->name, option->form);
	if (len >= sizeof(name))
		return dt_conf_error(error, "%s %.*s%s: the name is too long, want " DT_CONF_NAME_FORM, option->name,
			DT_CONF_CLIP(value));
	memcpy(name, value, len);
	name[len] = '\0';
	snprintf(where, sizeof(where), "%s %s", option->name, name);

	ret = dt_conf_section_open(conf, &section, name, error);
	if (ret == 0 && value[len] == ',')
		ret = assign_pairs(&section, value + len + 1, error);
	if (ret == 0)
		ret = dt_conf_section_close(&section, error);
	return ret;
}

/* key=value... */
static int
parse_set(struct dt_conf *conf, const struct option *option, const char *value, char error[static DT_ERROR_SIZE])
{
	struct dt_conf_section section = { .where = option->name, .gap = ": ", .kind = DT_CONF_DPTAP };
	int ret = dt_conf_section_open(conf, &section, NULL, error);

	if (ret == 0)
		ret = assign_pairs(&section, value, error);
	if (ret == 0)
		ret = dt_conf_section_close(&section, error);
	return ret;
}

static int
parse_config(struct dt_conf *conf, const char *path, char error[static DT_ERROR_SIZE])
{
	if (conf->source[0] != '\0')
		return dt_conf_error(error, "--config %.*s%s: there is one already, %.*s%s; keep one file",
			DT_CONF_CLIP(path), DT_CONF_CLIP(conf->source));
	if (strlen(path) >= sizeof(conf->source))
		return dt_conf_error(error, "--config %.*s%s: the path is too long, at most %zu bytes fit",
			DT_CONF_CLIP(path), sizeof(conf->source) - 1);
	snprintf(conf->source, sizeof(conf->source), "%s", path);
	return dt_conf_file_read(conf, path, error);
}

/* The option that an argument names, as "--guest" or "--guest=...". */
static const struct option *
find_option(const char *arg)
{
	size_t len = strcspn(arg, "=");

	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, arg, len) == 0)
			return &options[i];
	return NULL;
}

/* Parse one option with its value. Returns how many arguments it took, or -errno. */
static int
parse_option(struct dt_conf *conf, int argc, char *const argv[], char error[static DT_ERROR_SIZE])
{
	const struct option *option = find_option(argv[0]);
	const char *value = strchr(argv[0], '=');
	int n_used = 1, ret = 0;

	if (option == NULL)
		return dt_conf_error(error,
			"%.*s%s: unknown option; see dptap --help, and mind that EAL's options stand "
			"before \"--\"",
			DT_CONF_CLIP(argv[0]));
	if (value != NULL)
		value++;
	if (option->form == NULL && value != NULL)
		return dt_conf_error(error, "%s: takes no value", option->name);
	if (option->form != NULL && value == NULL && argc > 1 && strncmp(argv[1], "--", 2) != 0) {
		value = argv[1];
		n_used = 2;
	}
	if (option->form != NULL && (value == NULL || *value == '\0'))
		return dt_conf_error(
			error, "%s: nothing follows it, want %s %s", option->name, option->name, option->form);

	switch (option->id) {
	case OPTION_CONFIG:
		ret = parse_config(conf, value, error);
		break;
	case OPTION_SET:
		ret = parse_set(conf, option, value, error);
		break;
	case OPTION_UPLINK:
	case OPTION_GUEST:
		ret = parse_port(conf, option, value, error);
		break;
	case OPTION_CHECK_CONFIG:
		conf->check_only = true;
		break;
	case OPTION_OF_MAIN:
		return dt_conf_error(error, "%s: does not go with other options; give it alone", option->name);
	}
	return ret != 0 ? ret : n_used;
}

int
dt_conf_parse(int argc, char *const argv[], char error[static DT_ERROR_SIZE], struct dt_conf **ret_conf)
{
	struct dt_conf_section defaults = { .where = "[dptap]", .gap = " ", .kind = DT_CONF_DPTAP };
	struct dt_conf *conf = calloc(1, sizeof(*conf));
	int n_used, ret;

	if (conf == NULL) {
		dt_conf_error(error, "out of memory");
		return -ENOMEM;
	}
	ret = dt_conf_section_open(conf, &defaults, NULL, error);
	for (int i = 0; ret == 0 && i < argc; i += n_used) {
		n_used = parse_option(conf, argc - i, &argv[i], error);
		if (n_used < 0)
			ret = n_used;
	}
	if (ret != 0) {
		dt_conf_free(conf);
		return ret;
	}
	if (conf->source[0] == '\0')
		snprintf(conf->source, sizeof(conf->source), "command line");
	conf->no_uplinks_given = conf->n_uplinks == 0;
	*ret_conf = conf;
	return 0;
}
