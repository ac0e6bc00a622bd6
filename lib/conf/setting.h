/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside of the configuration module: the table of settings, and how a section is filled from it.
 *
 * Private to lib/conf and its unit test. The file parser (file.c) and the argument parser (args.c) open a section,
 * assign to it key by key, and close it; both get the same judgement and differ only in how a message begins.
 */
#ifndef DT_CONF_SETTING_H
#define DT_CONF_SETTING_H

#include "conf.h"

enum dt_conf_kind {
	DT_CONF_DPTAP, /* [dptap], --set: the process; goes into struct dt_conf */
	DT_CONF_UPLINK, /* [uplink NAME], --uplink: goes into struct dt_conf_uplink */
	DT_CONF_GUEST, /* [guest NAME], --guest: goes into struct dt_conf_guest */
};

enum dt_conf_type {
	DT_CONF_NUMBER, /* uint32_t: a whole decimal number */
	DT_CONF_SWITCH, /* bool: the first of the two words in .form is true */
	DT_CONF_CHOICE, /* an enum: one of the words in .form, in the order of the enum */
	DT_CONF_WORDS, /* uint32_t: a bit for each word in .words, in their order; given as "one+two", "none" */
	DT_CONF_TEXT, /* char[size]: anything that fits */
	DT_CONF_NAME, /* char[DT_NAME_SIZE]: the name of a port */
	DT_CONF_FEATURES, /* uint64_t: a bit for each of some names of features, joined by '+' */
	DT_CONF_MAC, /* struct rte_ether_addr of a guest, whose has_mac becomes true */
};

/** A row of the table: everything there is to know about one setting. */
struct dt_conf_setting {
	enum dt_conf_kind kind;
	enum dt_conf_type type;
	const char *key;
	const char *form; /* the value's shape, for people; for a choice also its words: "bridge|passthru" */
	const char *words; /* of a DT_CONF_WORDS: "one|two|three", at most 32 */
	size_t offset; /* where in the section's structure the value goes */
	size_t size; /* of the value there, in bytes; a text's NUL included */
	uint32_t min, max; /* range of a number, in unit */
	const char *unit; /* of a number */
	const char *zero; /* what the number 0 means although it is out of range; NULL: it is refused */
	const char *initial; /* the default as one would type it; NULL: there is none, see initial_text */
	const char *initial_text; /* what happens without the setting, where no value can say it */
	bool required;
	const char *help; /* one line, no full stop */
};

extern const struct dt_conf_setting dt_conf_settings[];
extern const unsigned int dt_conf_n_settings;

/** Room for dt_conf_setting_range()'s text. */
#define DT_CONF_RANGE_SIZE 128

/** "64 to 65536 packets, default 1000", "required", ...: what --help and the man page say behind the help text. */
void dt_conf_setting_range(const struct dt_conf_setting *row, char text[static DT_CONF_RANGE_SIZE]);

/** Print the settings of a kind of section, one a line. */
void dt_conf_setting_help(enum dt_conf_kind kind, FILE *out);

/** Print the names that a value of features may consist of. */
void dt_conf_features_help(FILE *out);

/** The row of a key, NULL if that kind of section has none such. */
const struct dt_conf_setting *dt_conf_setting_find(enum dt_conf_kind kind, const char *key);

/** Room for the text that says why a value was refused. */
#define DT_CONF_WHY_SIZE 160

/**
 * Turn a value into its binary form and store it.
 *
 * @param object  the section's structure; written only on success
 * @param why     receives the fault and the remedy
 * @return 0; -EINVAL with @p why filled.
 */
int dt_conf_value_set(
	const struct dt_conf_setting *row, void *object, const char *value, char why[static DT_CONF_WHY_SIZE]);

/** What a name of a port is made of: 1 to 31 characters of [A-Za-z0-9_.:-]. */
bool dt_conf_name_is_valid(const char *name);

/** The same for people, in messages. */
#define DT_CONF_NAME_FORM "1 to 31 characters of A-Z a-z 0-9 _ . : -"

/** A section while it is being read. */
struct dt_conf_section {
	const char *where; /* how messages begin: "dptap.conf: [guest vm0]" or "--guest vm0" */
	const char *gap; /* between where and a key: " " or ": " */
	enum dt_conf_kind kind;
	void *object; /* valid until the next section is opened */
	uint32_t seen; /* the rows that were assigned to, a bit each */
};

/**
 * Begin a section: make its port (not for DT_CONF_DPTAP, which may be opened again) and give all settings their
 * defaults.
 *
 * The caller has filled @p section's where, gap and kind.
 *
 * @param name  of the port; for DT_CONF_DPTAP ignored
 * @return 0; -EINVAL: not a name, or a port has it already; -ENOMEM.
 */
int dt_conf_section_open(
	struct dt_conf *conf, struct dt_conf_section *section, const char *name, char error[static DT_ERROR_SIZE]);

/** Judge and store one setting. @return 0; -EINVAL: unknown key, second time, bad value. */
int dt_conf_section_set(
	struct dt_conf_section *section, const char *key, const char *value, char error[static DT_ERROR_SIZE]);

/** End a section: nothing required may be missing. @return 0; -EINVAL. */
int dt_conf_section_close(struct dt_conf_section *section, char error[static DT_ERROR_SIZE]);

/** Read a configuration file into @p conf. @return as dt_conf_parse(). */
int dt_conf_file_read(struct dt_conf *conf, const char *path, char error[static DT_ERROR_SIZE]);

/**
 * Write an error message as one line: what does not print becomes '?'.
 *
 * @return -EINVAL, so that a function can end in it.
 */
int dt_conf_error(char error[static DT_ERROR_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A foreign text inside a message, cut so that the remedy behind it survives: printf("%.*s%s", DT_CONF_CLIP(s)). */
#define DT_CONF_CLIP_LEN 60
#define DT_CONF_CLIP(s)  DT_CONF_CLIP_LEN, (s), strlen(s) > DT_CONF_CLIP_LEN ? "..." : ""

#endif
