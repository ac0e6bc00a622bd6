/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file. rte_cfgfile parses it, but loses much in silence: lines without '=', what stands behind a
 * ']', keys, values and section names beyond its buffers, values behind a '#', a second section of one name, and
 * all line numbers. So each line is judged first, and the library reads a copy of just these lines: the file
 * may be a pipe, and cannot change in between.
 */
#include "setting.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cfgfile.h>

#define COMMENT '#'

/* What rte_cfgfile's line buffer holds besides newline and NUL. */
#define LINE_MAX_LEN (CFG_NAME_LEN + CFG_VALUE_LEN + 2)

/* What the judged lines amount to, to be compared with what the library made of them. */
struct tally {
	const char *path;
	unsigned int line;
	int n_sections;
	int n_settings;
};

static int
line_error(const struct tally *tally, const char *fault, char error[static DT_ERROR_SIZE])
{
	return dt_conf_error(error, "%s: line %u: %s", tally->path, tally->line, fault);
}

/* Cut blanks at both ends. */
static char *
strip(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int
judge_heading(struct tally *tally, char *line, char error[static DT_ERROR_SIZE])
{
	char *end = strchr(line, ']');

	if (end == NULL)
		return line_error(tally, "the ']' of the section's name is missing", error);
	if (end[1] != '\0')
		return line_error(tally, "text behind the ']'; a setting goes on a line of its own", error);
	*end = '\0';
	if (strlen(strip(line + 1)) >= CFG_NAME_LEN)
		return line_error(tally, "the section's name is too long, want " DT_CONF_NAME_FORM, error);
	tally->n_sections++;
	return 0;
}

static int
judge_setting(struct tally *tally, char *line, char error[static DT_ERROR_SIZE])
{
	char *equals = strchr(line, '=');

	if (*line == ';')
		return line_error(tally, "a comment begins with #", error);
	if (equals == NULL)
		return line_error(tally, "neither [section] nor key = value; a comment begins with #", error);
	*equals = '\0';
	if (*strip(line) == '\0')
		return line_error(tally, "no key in front of the '='", error);
	if (strlen(strip(line)) >= CFG_NAME_LEN)
		return line_error(tally, "the key is too long to be one", error);
	if (*strip(equals + 1) == '\0')
		return line_error(tally, "no value behind the '='; leave the line out for the default", error);
	if (strlen(strip(equals + 1)) >= CFG_VALUE_LEN)
		return line_error(tally, "the value is too long to be one", error);
	if (tally->n_sections == 0)
		return line_error(tally, "a setting before the first [section]", error);
	tally->n_settings++;
	return 0;
}

/* Judge a line of @p len bytes, its newline included; it is cut into pieces by that. */
static int
judge_line(struct tally *tally, char *line, size_t len, char error[static DT_ERROR_SIZE])
{
	char *comment;

	if (strlen(line) != len)
		return line_error(tally, "a NUL byte: this is no text file", error);
	if (len > LINE_MAX_LEN && line[len - 1] != '\n')
		return dt_conf_error(error, "%s: line %u: longer than %d bytes; break it up", tally->path, tally->line,
			LINE_MAX_LEN);

	comment = strchr(line, COMMENT);
	if (comment != NULL) {
		if (comment != line && !isspace((unsigned char)comment[-1]))
			return line_error(tally,
				"a # inside a word would begin a comment; put a blank before the "
				"comment, or give a value with # as an argument",
				error);
		*comment = '\0';
	}
	line = strip(line);
	if (*line == '\0')
		return 0;
	return *line == '[' ? judge_heading(tally, line, error) : judge_setting(tally, line, error);
}

static int
system_error(const char *path, int error_number, char error[static DT_ERROR_SIZE])
{
	dt_conf_error(error, "%s: cannot be read: %s", path, strerror(error_number));
	return -error_number;
}

/* Read a line with its newline, or as much as fits. Returns its length, 0 at the end of the file or after an error. */
static size_t
read_line(FILE *in, char line[static LINE_MAX_LEN + 2])
{
	size_t len = 0;
	int c;

	while (len < LINE_MAX_LEN + 1 && (c = getc(in)) != EOF) {
		line[len++] = (char)c;
		if (c == '\n')
			break;
	}
	line[len] = '\0';
	return len;
}

/* Copy a file, line by line and each judged. */
static int
copy_judged(struct tally *tally, FILE *in, FILE *out, char error[static DT_ERROR_SIZE])
{
	char line[LINE_MAX_LEN + 2];
	size_t len;
	int ret = 0;

	while (ret == 0 && (len = read_line(in, line)) > 0) {
		tally->line++;
		if (fwrite(line, 1, len, out) != len)
			ret = system_error(tally->path, errno, error);
		else
			ret = judge_line(tally, line, len, error);
	}
	if (ret == 0 && (ferror(in) || fflush(out) != 0))
		ret = system_error(tally->path, errno, error);
	return ret;
}

static int
load(struct tally *tally, FILE *in, struct rte_cfgfile **ret_cfg, char error[static DT_ERROR_SIZE])
{
	const struct rte_cfgfile_parameters params = { .comment_character = COMMENT };
	int fd = memfd_create("dptap.conf", MFD_CLOEXEC);
	FILE *copy = fd >= 0 ? fdopen(fd, "w") : NULL;
	char copy_path[32];
	int ret;

	if (copy == NULL) {
		ret = system_error(tally->path, errno, error);
		if (fd >= 0)
			close(fd);
		return ret;
	}
	ret = copy_judged(tally, in, copy, error);
	if (ret == 0) {
		snprintf(copy_path, sizeof(copy_path), "/proc/self/fd/%d", fd);
		*ret_cfg = rte_cfgfile_load_with_params(copy_path, 0, &params);
		if (*ret_cfg == NULL)
			ret = dt_conf_error(error, "%s: the DPDK library refused it", tally->path);
	}
	fclose(copy);
	return ret;
}

/* Tell what kind of section a heading names, and whose. */
static int
parse_heading(struct dt_conf_section *section, char *heading, char **ret_name, char error[static DT_ERROR_SIZE])
{
	static const char *const words[] = {
		[DT_CONF_DPTAP] = "dptap",
		[DT_CONF_UPLINK] = "uplink",
		[DT_CONF_GUEST] = "guest",
	};
	size_t len = strcspn(heading, " \t");
	char *name = strip(heading + len);
	unsigned int kind;

	for (kind = 0; kind < sizeof(words) / sizeof(words[0]); kind++)
		if (strlen(words[kind]) == len && strncmp(words[kind], heading, len) == 0)
			break;
	if (kind == sizeof(words) / sizeof(words[0]))
		return dt_conf_error(error, "%s: unknown section; there are [dptap], [uplink NAME] and [guest NAME]",
			section->where);
	if (kind == DT_CONF_DPTAP && *name != '\0')
		return dt_conf_error(error, "%s: this section takes no name, want [dptap]", section->where);
	if (kind != DT_CONF_DPTAP && *name == '\0')
		return dt_conf_error(error, "%s: the name is missing, want [%s NAME]", section->where, words[kind]);
	section->kind = kind;
	*ret_name = name;
	return 0;
}

static int
read_section(struct dt_conf *conf, const char *path, struct rte_cfgfile *cfg, int index, bool *seen_dptap,
	char error[static DT_ERROR_SIZE])
{
	char heading[CFG_NAME_LEN], again[CFG_NAME_LEN], where[sizeof(conf->source) + CFG_NAME_LEN + 8], *name = NULL;
	struct dt_conf_section section = { .where = where, .gap = " " };
	int n = rte_cfgfile_section_num_entries_by_index(cfg, heading, index);
	struct rte_cfgfile_entry *entries;
	int ret;

	snprintf(where, sizeof(where), "%s: [%s]", path, heading);
	ret = parse_heading(&section, heading, &name, error);
	if (ret != 0)
		return ret;
	if (section.kind == DT_CONF_DPTAP && *seen_dptap)
		return dt_conf_error(error, "%s: given twice; keep one", where);
	*seen_dptap |= section.kind == DT_CONF_DPTAP;

	entries = calloc((size_t)n + 1, sizeof(*entries));
	if (entries == NULL)
		return system_error(path, ENOMEM, error);
	rte_cfgfile_section_entries_by_index(cfg, index, again, entries, n);
	ret = dt_conf_section_open(conf, &section, name, error);
	for (int i = 0; ret == 0 && i < n; i++)
		ret = dt_conf_section_set(&section, entries[i].name, entries[i].value, error);
	if (ret == 0)
		ret = dt_conf_section_close(&section, error);
	free(entries);
	return ret;
}

/* The library drops on the floor what it finds no memory for. */
static bool
is_complete(const struct tally *tally, struct rte_cfgfile *cfg)
{
	int n_sections = rte_cfgfile_num_sections(cfg, NULL, 0), n_settings = 0;
	char heading[CFG_NAME_LEN];

	for (int i = 0; i < n_sections; i++)
		n_settings += rte_cfgfile_section_num_entries_by_index(cfg, heading, i);
	return n_sections == tally->n_sections && n_settings == tally->n_settings;
}

int
dt_conf_file_read(struct dt_conf *conf, const char *path, char error[static DT_ERROR_SIZE])
{
	struct tally tally = { .path = path };
	struct rte_cfgfile *cfg = NULL;
	bool seen_dptap = false;
	FILE *in = fopen(path, "re");
	int ret;

	if (in == NULL)
		return system_error(path, errno, error);
	ret = load(&tally, in, &cfg, error);
	fclose(in);
	if (ret == 0 && !is_complete(&tally, cfg))
		ret = system_error(path, ENOMEM, error);
	for (int i = 0; ret == 0 && i < tally.n_sections; i++)
		ret = read_section(conf, path, cfg, i, &seen_dptap, error);
	if (cfg != NULL)
		rte_cfgfile_close(cfg);
	return ret;
}
