/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration: what it takes, what it refuses, and that each refusal names place, fault and remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "feature.h"
#include "setting.h"

#define MAX_ARGS 16

/* Files are written here, and it is the current directory: "dptap.conf" in messages is what the user typed. */
static char directory[] = "/tmp/test_conf.XXXXXX";

static int
parse_array(const char *const args[], char *error, struct dt_conf **ret_conf)
{
	int n = 0;

	while (args[n] != NULL)
		n++;
	memset(error, 'X', DT_ERROR_SIZE);
	error[DT_ERROR_SIZE - 1] = '\0';
	return dt_conf_parse(n, (char *const *)(uintptr_t)args, error, ret_conf);
}

static struct dt_conf *
accept_array(const char *const args[])
{
	char error[DT_ERROR_SIZE];
	struct dt_conf *conf = NULL;

	if (parse_array(args, error, &conf) != 0)
		fail_msg("refused: %s", error);
	assert_non_null(conf);
	return conf;
}

static void
refuse_array(int expected_ret, const char *expected_error, const char *const args[])
{
	char error[DT_ERROR_SIZE];
	struct dt_conf *conf = (struct dt_conf *)&error; /* must stay untouched */
	int ret = parse_array(args, error, &conf);

	if (ret == 0)
		fail_msg("accepted, but expected: %s", expected_error);
	assert_string_equal(error, expected_error);
	assert_int_equal(ret, expected_ret);
	assert_ptr_equal(conf, &error);
}

#define ARGS(...)             ((const char *const[]){ __VA_ARGS__, NULL })
#define ACCEPT(...)           accept_array(ARGS(__VA_ARGS__))
#define REFUSE(expected, ...) refuse_array(-EINVAL, expected, ARGS(__VA_ARGS__))

static void
write_bytes(const char *content, size_t len)
{
	FILE *file = fopen("dptap.conf", "w");

	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct dt_conf *
accept_file(const char *content)
{
	write_bytes(content, strlen(content));
	return ACCEPT("--config", "dptap.conf");
}

static void
refuse_file(const char *expected, const char *content)
{
	write_bytes(content, strlen(content));
	REFUSE(expected, "--config", "dptap.conf");
}

static void
refuse_check(const char *expected, struct dt_conf *conf)
{
	char error[DT_ERROR_SIZE] = "";
	int ret = dt_conf_check(conf, error);

	if (ret == 0)
		fail_msg("accepted, but expected: %s", expected);
	assert_string_equal(error, expected);
	assert_int_equal(ret, -EINVAL);
	dt_conf_free(conf);
}

static void
assert_check_passes(struct dt_conf *conf)
{
	char error[DT_ERROR_SIZE] = "";

	if (dt_conf_check(conf, error) != 0)
		fail_msg("refused: %s", error);
}

static char *
repeat(char c, size_t n)
{
	char *text = malloc(n + 1);

	assert_non_null(text);
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* What is accepted */

static void
no_argument_at_all_gives_an_empty_configuration(void **state)
{
	char *none[] = { NULL };
	char error[DT_ERROR_SIZE];
	struct dt_conf *conf = NULL;

	assert_int_equal(dt_conf_parse(0, none, error, &conf), 0);

	assert_int_equal(conf->n_uplinks, 0);
	assert_int_equal(conf->n_guests, 0);
	assert_true(conf->no_uplinks_given);
	assert_false(conf->check_only);
	assert_int_equal(conf->mbufs, 0);
	assert_int_equal(conf->idle, DT_IDLE_POLL);
	assert_false(conf->rebalance);
	assert_string_equal(conf->source, "command line");
	dt_conf_free(conf);
}

static void
an_uplink_without_keys_has_the_documented_defaults(void **state)
{
	struct dt_conf *conf = ACCEPT("--uplink", "net_null0");
	const struct dt_conf_uplink *uplink = &conf->uplinks[0];

	assert_int_equal(conf->n_uplinks, 1);
	assert_false(conf->no_uplinks_given);
	assert_string_equal(uplink->name, "net_null0");
	assert_string_equal(uplink->device, "net_null0");
	assert_int_equal(uplink->mode, DT_MODE_BRIDGE);
	assert_int_equal(uplink->mtu, 0);
	assert_int_equal(uplink->n_queues, 1);
	assert_true(uplink->promiscuous);
	assert_false(uplink->lro);
	assert_false(uplink->gro);
	assert_int_equal(uplink->offloads_off, 0);
	assert_int_equal(uplink->rx_desc, 1024);
	assert_int_equal(uplink->tx_desc, 1024);
	assert_int_equal(uplink->queue_len, 1000);
	dt_conf_free(conf);
}

static void
an_uplink_takes_every_key(void **state)
{
	struct dt_conf *conf = ACCEPT("--uplink=wan,device=0000:01:00.0,mode=passthru,mtu=9000,queues=4,"
				      "promiscuous=off,lro=on,gro=on,offloads_off=tso+rss_hash,rx_desc=512,tx_desc=256,"
				      "queue_len=2000");
	const struct dt_conf_uplink *uplink = &conf->uplinks[0];

	assert_string_equal(uplink->name, "wan");
	assert_string_equal(uplink->device, "0000:01:00.0");
	assert_int_equal(uplink->mode, DT_MODE_PASSTHRU);
	assert_int_equal(uplink->mtu, 9000);
	assert_int_equal(uplink->n_queues, 4);
	assert_false(uplink->promiscuous);
	assert_true(uplink->lro);
	assert_true(uplink->gro);
	assert_int_equal(uplink->offloads_off, DT_OFFLOAD_TSO | DT_OFFLOAD_RSS_HASH);
	assert_int_equal(uplink->rx_desc, 512);
	assert_int_equal(uplink->tx_desc, 256);
	assert_int_equal(uplink->queue_len, 2000);
	dt_conf_free(conf);
}

static void
a_guest_with_only_a_socket_has_the_documented_defaults(void **state)
{
	struct dt_conf *conf = ACCEPT("--guest", "vm0,socket=/run/dptap/vm0.sock");
	const struct dt_conf_guest *guest = &conf->guests[0];

	assert_int_equal(conf->n_guests, 1);
	assert_string_equal(guest->name, "vm0");
	assert_string_equal(guest->socket, "/run/dptap/vm0.sock");
	assert_int_equal(guest->socket_mode, DT_SOCKET_SERVER);
	assert_false(guest->has_mac);
	assert_string_equal(guest->uplink_name, "");
	assert_int_equal(guest->uplink, -1);
	assert_int_equal(guest->n_queues, 1);
	assert_int_equal(guest->features_off, 0);
	assert_int_equal(guest->queue_len, 1000);
	dt_conf_free(conf);
}

static void
a_guest_takes_every_key(void **state)
{
	struct dt_conf *conf =
		ACCEPT("--guest", "vm0,socket=/x.sock,socket_mode=client,mac=52:54:00:aB:Cd:01,uplink=wan,"
				  "queues=16,queue_len=64,features_off=csum+packed+guest_uso4");
	const struct dt_conf_guest *guest = &conf->guests[0];
	const struct rte_ether_addr mac = { { 0x52, 0x54, 0x00, 0xab, 0xcd, 0x01 } };

	assert_int_equal(guest->socket_mode, DT_SOCKET_CLIENT);
	assert_true(guest->has_mac);
	assert_memory_equal(&guest->mac, &mac, sizeof(mac));
	assert_string_equal(guest->uplink_name, "wan");
	assert_int_equal(guest->n_queues, 16);
	assert_int_equal(guest->features_off, 1ULL << 0 | 1ULL << 34 | 1ULL << 54);
	assert_int_equal(guest->queue_len, 64);
	dt_conf_free(conf);
}

static void
a_file_says_the_same_as_arguments(void **state)
{
	struct dt_conf *conf = accept_file("# a bridge\n"
					   "[dptap]\n"
					   "mbufs = 65536\n"
					   "\n"
					   "  [ uplink   wan ]   # the NIC\r\n"
					   "\tdevice=0000:01:00.0 # by its address\n"
					   "mode\t=\tpassthru\r\n"
					   "promiscuous = off\n"
					   "   # vm0 comes next\n"
					   "[guest\tvm0]\n"
					   "socket = /run/with space=and \\ [brackets],comma;semicolon\n"
					   "mac = 52:54:00:00:00:01\n"
					   "[guest vm1]\n"
					   "socket = /vm1.sock"); /* and no newline at the end */

	assert_string_equal(conf->source, "dptap.conf");
	assert_int_equal(conf->mbufs, 65536);
	assert_int_equal(conf->n_uplinks, 1);
	assert_string_equal(conf->uplinks[0].name, "wan");
	assert_string_equal(conf->uplinks[0].device, "0000:01:00.0");
	assert_int_equal(conf->uplinks[0].mode, DT_MODE_PASSTHRU);
	assert_false(conf->uplinks[0].promiscuous);
	assert_int_equal(conf->n_guests, 2);
	assert_string_equal(conf->guests[0].socket, "/run/with space=and \\ [brackets],comma;semicolon");
	assert_true(conf->guests[0].has_mac);
	assert_string_equal(conf->guests[1].socket, "/vm1.sock");
	dt_conf_free(conf);
}

static void
file_and_arguments_add_up(void **state)
{
	struct dt_conf *conf;

	write_bytes("[uplink a]\n[guest b]\nsocket=/b\n", strlen("[uplink a]\n[guest b]\nsocket=/b\n"));
	conf = ACCEPT("--uplink", "c", "--config=dptap.conf", "--guest=d,socket=/d", "--check-config");

	assert_true(conf->check_only);
	assert_string_equal(conf->source, "dptap.conf");
	assert_int_equal(conf->n_uplinks, 2);
	assert_string_equal(conf->uplinks[0].name, "c");
	assert_string_equal(conf->uplinks[1].name, "a");
	assert_int_equal(conf->n_guests, 2);
	assert_string_equal(conf->guests[0].name, "b");
	assert_string_equal(conf->guests[1].name, "d");
	dt_conf_free(conf);
}

static void
settings_of_the_process_may_be_arguments(void **state)
{
	struct dt_conf *conf = ACCEPT("--set", "mbufs=65536,idle=pause,rebalance=auto");

	assert_int_equal(conf->mbufs, 65536);
	assert_int_equal(conf->idle, DT_IDLE_PAUSE);
	assert_true(conf->rebalance);
	assert_true(conf->no_uplinks_given);
	dt_conf_free(conf);

	write_bytes("[dptap]\nidle=pause\n", strlen("[dptap]\nidle=pause\n"));
	conf = ACCEPT("--set=mbufs=65536", "--config", "dptap.conf"); /* neither undoes the other */
	assert_int_equal(conf->mbufs, 65536);
	assert_int_equal(conf->idle, DT_IDLE_PAUSE);
	dt_conf_free(conf);

	conf = ACCEPT("--config", "dptap.conf", "--set", "mbufs=65536");
	assert_int_equal(conf->mbufs, 65536);
	assert_int_equal(conf->idle, DT_IDLE_PAUSE);
	dt_conf_free(conf);

	conf = ACCEPT("--set", "idle=sleep");
	assert_int_equal(conf->idle, DT_IDLE_SLEEP);
	dt_conf_free(conf);

	REFUSE("--set: mbufs: given twice; keep one", "--set", "mbufs=65536", "--set", "mbufs=65536");
	REFUSE("--set: mtu: unknown key; [dptap] takes mbufs, idle, rebalance", "--set", "mtu=1500");
	REFUSE("--set: mbufs: no value, want key=value", "--set", "mbufs");
	REFUSE("--set: rebalance = on: want one of auto|off", "--set", "rebalance=on");
	REFUSE("--set: nothing follows it, want --set key=value...", "--set");
	write_bytes("[dptap]\nmbufs=65536\n", strlen("[dptap]\nmbufs=65536\n"));
	REFUSE("--set: mbufs: given twice; keep one", "--config", "dptap.conf", "--set", "mbufs=65536");
	REFUSE("dptap.conf: [dptap] mbufs: given twice; keep one", "--set", "mbufs=65536", "--config", "dptap.conf");
}

static void
a_file_may_hold_more_sections_than_the_library_allocates_at_once(void **state)
{
	char content[8192] = "", name[DT_NAME_SIZE];
	struct dt_conf *conf;

	for (unsigned int i = 0; i < 100; i++)
		sprintf(content + strlen(content), "[guest vm%u]\nsocket = /vm%u.sock\nqueue_len = %u\n", i, i, 64 + i);
	conf = accept_file(content);

	assert_int_equal(conf->n_guests, 100);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		assert_string_equal(conf->guests[i].name, name);
		assert_int_equal(conf->guests[i].queue_len, 64 + i);
	}
	dt_conf_free(conf);
}

static void *
feed_pipe(void *arg)
{
	const char content[] = "[guest vm0]\nsocket = /vm0.sock\n";
	FILE *file = fdopen(*(int *)arg, "w");

	fwrite(content, 1, sizeof(content) - 1, file);
	fclose(file);
	return NULL;
}

static void
a_file_may_be_a_pipe(void **state)
{
	char path[32];
	struct dt_conf *conf;
	pthread_t thread;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pthread_create(&thread, NULL, feed_pipe, &ends[1]), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	conf = ACCEPT("--config", path);
	pthread_join(thread, NULL);
	close(ends[0]);

	assert_int_equal(conf->n_guests, 1);
	assert_string_equal(conf->guests[0].socket, "/vm0.sock");
	dt_conf_free(conf);
}

static void
the_longest_of_everything_fits(void **state)
{
	char *name = repeat('n', DT_NAME_SIZE - 1), *socket = repeat('s', DT_SOCKET_SIZE - 1);
	char *device = repeat('d', DT_DEVICE_SIZE - 1), *blanks = repeat(' ', 200);
	char argument[512], content[1024];
	struct dt_conf *conf;

	snprintf(argument, sizeof(argument), "%s,socket=%s", name, socket);
	conf = ACCEPT("--guest", argument);
	assert_string_equal(conf->guests[0].name, name);
	assert_string_equal(conf->guests[0].socket, socket);
	dt_conf_free(conf);

	snprintf(content, sizeof(content), "[uplink %s]\ndevice = %s\n[guest vm0]\n%ssocket = %s", name, device, blanks,
		socket);
	strcat(content, "    "); /* the last line now has the 322 bytes that the library can take */
	assert_int_equal(strlen(strrchr(content, '\n') + 1), 200 + strlen("socket = ") + DT_SOCKET_SIZE - 1 + 4);
	strcat(content, "  ");
	assert_int_equal(strlen(strrchr(content, '\n') + 1), 322);
	conf = accept_file(content);
	assert_string_equal(conf->uplinks[0].name, name);
	assert_string_equal(conf->uplinks[0].device, device);
	assert_string_equal(conf->guests[0].socket, socket);
	dt_conf_free(conf);

	strcat(content, " ");
	refuse_file("dptap.conf: line 4: longer than 322 bytes; break it up", content);
	free(name);
	free(socket);
	free(device);
	free(blanks);
}

/* Values */

/* A section of the kind with one setting; a guest also gets the socket that it needs. */
static void
write_setting(const struct dt_conf_setting *row, const char *value, char argument[static 512])
{
	static const char *const headings[] = {
		[DT_CONF_DPTAP] = "[dptap]\n",
		[DT_CONF_UPLINK] = "[uplink p]\n",
		[DT_CONF_GUEST] = "[guest p]\nsocket = /p\n",
	};
	char content[1024];

	snprintf(content, sizeof(content), "%s%s = %s\n", headings[row->kind], row->key, value);
	write_bytes(content, strlen(content));
	snprintf(argument, 512, "--%s=p,%s%s=%s", row->kind == DT_CONF_UPLINK ? "uplink" : "guest",
		row->kind == DT_CONF_GUEST ? "socket=/p," : "", row->key, value);
}

static uint32_t
number_of(const struct dt_conf *conf, const struct dt_conf_setting *row)
{
	const char *object = (const char *)conf;
	uint32_t number;

	if (row->kind == DT_CONF_UPLINK)
		object = (const char *)&conf->uplinks[0];
	if (row->kind == DT_CONF_GUEST)
		object = (const char *)&conf->guests[0];
	assert_int_equal(row->size, sizeof(number));
	memcpy(&number, object + row->offset, sizeof(number));
	return number;
}

static void
accept_number(const struct dt_conf_setting *row, const char *value, uint32_t expected)
{
	char argument[512];
	struct dt_conf *conf;

	write_setting(row, value, argument);
	conf = ACCEPT("--config", "dptap.conf");
	assert_int_equal(number_of(conf, row), expected);
	dt_conf_free(conf);
	if (row->kind == DT_CONF_DPTAP)
		return;
	conf = ACCEPT(argument);
	assert_int_equal(number_of(conf, row), expected);
	dt_conf_free(conf);
}

/* By file and by argument, with the same words. */
static void
refuse_value(const struct dt_conf_setting *row, const char *value, const char *why)
{
	static const char *const words[] = { "dptap", "uplink p", "guest p" };
	char argument[512], expected[DT_ERROR_SIZE];

	write_setting(row, value, argument);
	snprintf(expected, sizeof(expected), "dptap.conf: [%s] %s = %s: %s", words[row->kind], row->key, value, why);
	REFUSE(expected, "--config", "dptap.conf");
	if (row->kind == DT_CONF_DPTAP)
		return;
	snprintf(expected, sizeof(expected), "--%s: %s = %s: %s", words[row->kind], row->key, value, why);
	REFUSE(expected, argument);
}

static void
each_number_is_taken_from_its_minimum_to_its_maximum(void **state)
{
	unsigned int n_numbers = 0;

	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char value[32], why[DT_CONF_WHY_SIZE];

		if (row->type != DT_CONF_NUMBER)
			continue;
		n_numbers++;
		snprintf(value, sizeof(value), "%u", row->min);
		accept_number(row, value, row->min);
		snprintf(value, sizeof(value), "0%u", row->max); /* decimal, whatever stands in front */
		accept_number(row, value, row->max);
		if (row->zero != NULL)
			accept_number(row, "0", 0);

		snprintf(why, sizeof(why), "out of range, %u to %u %s%s%s%s", row->min, row->max, row->unit,
			row->zero ? " (or 0: " : "", row->zero ? row->zero : "", row->zero ? ")" : "");
		snprintf(value, sizeof(value), "%u", row->max + 1);
		refuse_value(row, value, why);
		refuse_value(row, "4294967296", why);
		refuse_value(row, "18446744073709551616", why); /* 2 to the 64th: 0 if it wrapped */
		refuse_value(row, "18446744073709552616", why); /* and 1000 more */
		if (row->min == 1 && row->zero != NULL)
			continue;
		snprintf(value, sizeof(value), "%u", row->min - 1);
		refuse_value(row, value, why);
	}
	assert_int_equal(n_numbers, 8);
}

static void
a_number_is_whole_decimal_and_without_rubbish(void **state)
{
	static const char *const bad[] = { "-1", "+64", "64k", "0x40", "1e3", "100.0", "100 0", "many", "1_000",
		"\xd9\xa3" };

	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char why[DT_CONF_WHY_SIZE];

		if (row->type != DT_CONF_NUMBER)
			continue;
		snprintf(why, sizeof(why), "not a whole number, want %u to %u %s", row->min, row->max, row->unit);
		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
			refuse_value(row, bad[k], why);
	}
}

static void
the_range_messages_read_as_documented(void **state)
{
	refuse_file("dptap.conf: [guest vm0] queue_len = 12: out of range, 64 to 65536 packets",
		"[guest vm0]\nsocket = /x\nqueue_len = 12\n");
	REFUSE("--guest vm0: queue_len = 12: out of range, 64 to 65536 packets", "--guest",
		"vm0,socket=/x,queue_len=12");
	refuse_file("dptap.conf: [dptap] mbufs = 1023: out of range, 1024 to 16777215 packets (or 0: as many as the "
		    "ports need)",
		"[dptap]\nmbufs = 1023\n");
}

static void
choices_and_switches_take_their_words_only(void **state)
{
	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char why[DT_CONF_WHY_SIZE], most[64];

		if (row->type != DT_CONF_SWITCH && row->type != DT_CONF_CHOICE)
			continue;
		snprintf(why, sizeof(why), "want one of %s", row->form);
		snprintf(most, sizeof(most), "%.*s", (int)strcspn(row->form, "|") - 1, row->form);
		refuse_value(row, most, why); /* a part of a word */
		refuse_value(row, row->form, why); /* all of them at once */
		refuse_value(row, "|", why);
		refuse_value(row, "yes", why);
		refuse_value(row, "1", why);
		refuse_value(row, "ON", why);
	}
}

static void
several_words_are_joined_by_plus_signs(void **state)
{
	const struct dt_conf_setting *row = dt_conf_setting_find(DT_CONF_UPLINK, "offloads_off");
	struct dt_conf_uplink uplink = { 0 };
	char why[DT_CONF_WHY_SIZE];

	assert_int_equal(dt_conf_value_set(row, &uplink, "tx_csum", why), 0);
	assert_int_equal(uplink.offloads_off, DT_OFFLOAD_TX_CSUM);
	assert_int_equal(dt_conf_value_set(row, &uplink, "none", why), 0);
	assert_int_equal(uplink.offloads_off, 0);
	assert_int_equal(dt_conf_value_set(row, &uplink, "rss_hash+multi_segs+rx_csum+multi_segs", why), 0);
	assert_int_equal(uplink.offloads_off, DT_OFFLOAD_RSS_HASH | DT_OFFLOAD_MULTI_SEGS | DT_OFFLOAD_RX_CSUM);

#define WORDS " is no such word, want some of tx_csum|tso|multi_segs|rx_csum|rss_hash, joined by +"
	refuse_value(row, "tso+csum", "csum" WORDS);
	refuse_value(row, "tso+", WORDS);
	refuse_value(row, "+tso", WORDS);
	refuse_value(row, "ts", "ts" WORDS);
	refuse_value(row, "tso|rx_csum", "tso|rx_csum" WORDS);
	refuse_value(row, "tso rx_csum", "tso rx_csum" WORDS);
	refuse_value(row, "none+tso", "none" WORDS);
	REFUSE("--uplink u: offloads_off = TSO: TSO" WORDS, "--uplink", "u,offloads_off=TSO");
#undef WORDS
}

static void
a_malformed_mac_is_refused(void **state)
{
	static const char *const bad[] = { "52:54:00:", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
		"52:54:00:12:34:56:78", "52-54-00-12-34-56", "525400123456", "52:54:00:12:34:5g", "52:54:0:12:34:56",
		"5254.0012.3456", "5254:0012:3456", "52:54:00:12:34: 6", "+2:54:00:12:34:56", "0x:54:00:12:34:56",
		"none" };
	const struct dt_conf_setting *row = dt_conf_setting_find(DT_CONF_GUEST, "mac");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_value(row, bad[i], "not a MAC address, want six bytes like 52:54:00:12:34:56");
	REFUSE("--guest vm0: mac = 52:54:00:: not a MAC address, want six bytes like 52:54:00:12:34:56", "--guest",
		"vm0,socket=/x,mac=52:54:00:");
}

static void
features_are_named_as_in_the_specification(void **state)
{
	/* no such name; one of the front end's own; nothing between two; case counts */
	static const char *const bad[] = { "tso", "ctrl_vq", "", "csum+", "CSUM", "log_all", "csum packed" };
	const struct dt_conf_setting *row = dt_conf_setting_find(DT_CONF_GUEST, "features_off");
	struct dt_conf_guest guest = { .features_off = 7 };
	char why[DT_CONF_WHY_SIZE];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(dt_conf_value_set(row, &guest, bad[i], why), -EINVAL);
	assert_int_equal(guest.features_off, 7);
	REFUSE("--guest vm0: features_off = csum+tso: 'tso' is no feature that can be off; see the list in dptap "
	       "--help",
		"--guest", "vm0,socket=/x,features_off=csum+tso");

	for (unsigned int bit = 0; bit < 64; bit++) {
		if (dt_feature_name(bit) == NULL)
			continue;
		assert_int_equal(dt_feature_bit(dt_feature_name(bit), strlen(dt_feature_name(bit))), bit);
		if (!dt_feature_can_be_off(bit))
			continue;
		assert_int_equal(dt_conf_value_set(row, &guest, dt_feature_name(bit), why), 0);
		assert_int_equal(guest.features_off, 1ULL << bit);
	}
	assert_null(dt_feature_name(4));
	assert_null(dt_feature_name(64));
}

static void
a_feature_that_is_off_takes_its_dependants_with_it(void **state)
{
	const uint64_t guest_csum = 1ULL << 1, guest_tso4 = 1ULL << 7, guest_tso6 = 1ULL << 8, guest_ecn = 1ULL << 9,
		       guest_ufo = 1ULL << 10, guest_uso = 3ULL << 54, csum = 1ULL << 0, host_tso = 3ULL << 11,
		       host_ecn = 1ULL << 13, host_ufo = 1ULL << 14, host_uso = 1ULL << 56, packed = 1ULL << 34,
		       in_order = 1ULL << 35, version_1 = 1ULL << 32;
	const uint64_t guests = guest_csum | guest_tso4 | guest_tso6 | guest_ecn | guest_ufo | guest_uso;
	const uint64_t hosts = csum | host_tso | host_ecn | host_ufo | host_uso,
		       all = guests | hosts | packed | in_order;

	assert_int_equal(dt_feature_sound(all | version_1), all | version_1);
	assert_int_equal(dt_feature_sound((all | version_1) & ~guest_csum), hosts | packed | in_order | version_1);
	assert_int_equal(dt_feature_sound((all | version_1) & ~csum), guests | packed | in_order | version_1);
	assert_int_equal(dt_feature_sound(all), guests | hosts);
	assert_int_equal(dt_feature_sound(guests & ~guest_tso4), guests & ~guest_tso4);
	assert_int_equal(dt_feature_sound(guests & ~guest_tso4 & ~guest_tso6), guest_csum | guest_ufo | guest_uso);
	assert_int_equal(dt_feature_sound(hosts & ~host_tso), csum | host_ufo | host_uso);
}

static void
a_text_that_does_not_fit_is_refused(void **state)
{
	char *socket = repeat('s', DT_SOCKET_SIZE), *device = repeat('d', DT_DEVICE_SIZE);
	char argument[512], expected[DT_ERROR_SIZE];

	snprintf(argument, sizeof(argument), "vm0,socket=%s", socket);
	snprintf(expected, sizeof(expected), "--guest vm0: socket = %.60s...: too long: 108 bytes, at most 107 fit",
		socket);
	REFUSE(expected, "--guest", argument);
	snprintf(argument, sizeof(argument), "[uplink u]\ndevice = %s\n", device);
	snprintf(expected, sizeof(expected),
		"dptap.conf: [uplink u] device = %.60s...: too long: 64 bytes, at most 63 fit", device);
	refuse_file(expected, argument);
	free(socket);
	free(device);
}

static void
a_message_is_one_line_whatever_the_value_holds(void **state)
{
	REFUSE("--guest vm0: socket = /a?b: a control character in it, want a PATH", "--guest", "vm0,socket=/a\nb");
	refuse_file("dptap.conf: [guest vm0] queue_len = ?[31mred: not a whole number, want 64 to 65536 packets",
		"[guest vm0]\nsocket=/x\nqueue_len=\033[31mred\n");
}

static void
empty_values_and_outer_blanks_are_refused(void **state)
{
	REFUSE("--guest vm0: socket = : empty, want socket=PATH", "--guest", "vm0,socket=,mac=52:54:00:00:00:01");
	REFUSE("--guest vm0: queue_len = : empty, want queue_len=N", "--guest", "vm0,socket=/x,queue_len=");
	REFUSE("--guest vm0: socket =  /x: a blank before or behind the value, want socket=PATH", "--guest",
		"vm0,socket= /x");
	REFUSE("--guest vm0: socket = /x : a blank before or behind the value, want socket=PATH", "--guest",
		"vm0,socket=/x ");
}

static void
a_name_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "v m", "vm/0", "vm%", "v\xc3\xa4", "vm0;", "\"vm0\"", "vm0]" };
	char *name = repeat('n', DT_NAME_SIZE), argument[512], expected[DT_ERROR_SIZE];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(argument, sizeof(argument), "%s,socket=/x", bad[i]);
		snprintf(expected, sizeof(expected),
			"--guest %s: '%s' is not a name, want 1 to 31 characters of A-Z a-z 0-9 _ . : -", bad[i],
			bad[i]);
		REFUSE(expected, "--guest", argument);
	}
	snprintf(argument, sizeof(argument), "%s,socket=/x", name);
	snprintf(expected, sizeof(expected),
		"--guest %s,socket=/x: the name is too long, want 1 to 31 characters of A-Z a-z 0-9 _ . : -", name);
	REFUSE(expected, "--guest", argument);
	snprintf(argument, sizeof(argument), "[uplink %s]\n", name);
	snprintf(expected, sizeof(expected),
		"dptap.conf: [uplink %s]: '%s' is not a name, want 1 to 31 characters of A-Z a-z 0-9 _ . : -", name,
		name);
	refuse_file(expected, argument);
	refuse_file("dptap.conf: [guest a b]: 'a b' is not a name, want 1 to 31 characters of A-Z a-z 0-9 _ . : -",
		"[guest a b]\nsocket=/x\n");
	refuse_value(dt_conf_setting_find(DT_CONF_GUEST, "uplink"), "no/name",
		"not a name, want 1 to 31 characters of A-Z a-z 0-9 _ . : -");
	free(name);
}

/* Sections and keys */

static void
an_unknown_key_is_refused_with_the_known_ones(void **state)
{
	REFUSE("--guest vm0: colour: unknown key; a guest takes socket, socket_mode, mac, uplink, queues, "
	       "queue_len, features_off",
		"--guest", "vm0,socket=/x,colour=red");
	REFUSE("--uplink u: socket: unknown key; an uplink takes device, mode, mtu, queues, promiscuous, lro, "
	       "gro, offloads_off, rx_desc, tx_desc, queue_len",
		"--uplink", "u,socket=/x");
	refuse_file("dptap.conf: [dptap] colour: unknown key; [dptap] takes mbufs, idle, rebalance",
		"[dptap]\ncolour = red\n");
	refuse_file("dptap.conf: [guest vm0] Socket: unknown key; a guest takes socket, socket_mode, mac, uplink, "
		    "queues, queue_len, features_off",
		"[guest vm0]\nSocket = /x\n");
}

static void
a_key_given_twice_is_refused(void **state)
{
	REFUSE("--guest vm0: socket: given twice; keep one", "--guest", "vm0,socket=/x,socket=/y");
	refuse_file(
		"dptap.conf: [uplink u] mtu: given twice; keep one", "[uplink u]\nmtu=1500\nmode=bridge\nmtu=1500\n");
}

static void
a_guest_without_a_socket_is_refused(void **state)
{
	REFUSE("--guest vm0: socket is missing; add socket=PATH", "--guest", "vm0");
	REFUSE("--guest vm0: socket is missing; add socket=PATH", "--guest", "vm0,mac=52:54:00:00:00:01");
	refuse_file("dptap.conf: [guest vm0]: socket is missing; add socket=PATH", "[guest vm0]\n");
}

static void
a_name_given_twice_is_refused(void **state)
{
	REFUSE("--guest a: the name a is already that of a guest; give each port its own", "--guest", "a,socket=/a",
		"--guest", "a,socket=/b");
	REFUSE("--guest a: the name a is already that of an uplink; give each port its own", "--uplink", "a", "--guest",
		"a,socket=/b");
	REFUSE("--uplink a: the name a is already that of a guest; give each port its own", "--guest", "a,socket=/b",
		"--uplink", "a");
	refuse_file("dptap.conf: [uplink  a]: the name a is already that of an uplink; give each port its own",
		"[uplink a]\n[uplink  a]\n");
	write_bytes("[uplink a]\n", strlen("[uplink a]\n"));
	REFUSE("dptap.conf: [uplink a]: the name a is already that of an uplink; give each port its own", "--uplink",
		"a", "--config", "dptap.conf");
}

static void
a_section_that_is_none_is_refused(void **state)
{
	refuse_file("dptap.conf: [uplinks]: unknown section; there are [dptap], [uplink NAME] and [guest NAME]",
		"[uplinks]\n");
	refuse_file("dptap.conf: [Guest vm0]: unknown section; there are [dptap], [uplink NAME] and [guest NAME]",
		"[Guest vm0]\nsocket=/x\n");
	refuse_file("dptap.conf: [up]: unknown section; there are [dptap], [uplink NAME] and [guest NAME]", "[up]\n");
	refuse_file("dptap.conf: []: unknown section; there are [dptap], [uplink NAME] and [guest NAME]", "[]\n");
	refuse_file("dptap.conf: []: unknown section; there are [dptap], [uplink NAME] and [guest NAME]", "[ \t]\n");
	refuse_file("dptap.conf: [guest]: the name is missing, want [guest NAME]", "[guest]\nsocket=/x\n");
	refuse_file("dptap.conf: [uplink]: the name is missing, want [uplink NAME]", "[ uplink ]\n");
	refuse_file("dptap.conf: [dptap x]: this section takes no name, want [dptap]", "[dptap x]\n");
	refuse_file("dptap.conf: [dptap]: given twice; keep one", "[dptap]\nmbufs=0\n[uplink u]\n[dptap]\n");
}

/* What the libraries would lose in silence */

static void
a_line_that_the_library_would_skip_is_refused(void **state)
{
	refuse_file("dptap.conf: line 2: neither [section] nor key = value; a comment begins with #",
		"[guest vm0]\nsocket /x\n");
	refuse_file("dptap.conf: line 1: neither [section] nor key = value; a comment begins with #", "guest vm0]\n");
	refuse_file("dptap.conf: line 1: neither [section] nor key = value; a comment begins with #",
		"\xef\xbb\xbf[guest vm0]\nsocket=/x\n"); /* a byte order mark */
	refuse_file("dptap.conf: line 3: a comment begins with #", "[uplink u]\n\n; mtu = 1500\n");
	refuse_file("dptap.conf: line 2: text behind the ']'; a setting goes on a line of its own",
		"\n[uplink u] mtu = 1500\n");
	refuse_file("dptap.conf: line 1: text behind the ']'; a setting goes on a line of its own", "[uplink u]]\n");
	refuse_file("dptap.conf: line 1: the ']' of the section's name is missing", "[uplink u\nmtu = 1500\n");
}

static void
a_setting_that_the_library_would_mangle_is_refused(void **state)
{
	const char *hash =
		"a # inside a word would begin a comment; put a blank before the comment, or give a value with # "
		"as an argument";
	char expected[DT_ERROR_SIZE], content[1024], *long_key = repeat('k', 64), *long_value = repeat('v', 256);
	struct dt_conf *conf;

	refuse_file("dptap.conf: line 1: a setting before the first [section]", "mtu = 1500\n[uplink u]\n");
	refuse_file("dptap.conf: line 2: no key in front of the '='", "[uplink u]\n = 1500\n");
	refuse_file("dptap.conf: line 2: no value behind the '='; leave the line out for the default",
		"[uplink u]\nmtu =\n");
	refuse_file("dptap.conf: line 2: no value behind the '='; leave the line out for the default",
		"[uplink u]\nmtu = # 1500\n");

	snprintf(expected, sizeof(expected), "dptap.conf: line 2: %s", hash);
	refuse_file(expected, "[guest vm0]\nsocket = /run/vm#0\n");
	refuse_file(expected, "[guest vm0]\nsocket = /run/vm\\#0\n");
	conf = ACCEPT("--guest", "vm0,socket=/run/vm#0"); /* the remedy works */
	assert_string_equal(conf->guests[0].socket, "/run/vm#0");
	dt_conf_free(conf);

	snprintf(content, sizeof(content), "[uplink u]\n%s = 1\n", long_key);
	refuse_file("dptap.conf: line 2: the key is too long to be one", content);
	snprintf(content, sizeof(content), "[uplink u]\ndevice = %s\n", long_value);
	refuse_file("dptap.conf: line 2: the value is too long to be one", content);
	snprintf(content, sizeof(content), "[uplink %s]\n", long_key);
	refuse_file(
		"dptap.conf: line 1: the section's name is too long, want 1 to 31 characters of A-Z a-z 0-9 _ . : -",
		content);
	snprintf(content, sizeof(content), "[uplink u]\n#%s%s\n", long_value, long_key);
	conf = accept_file(content); /* a comment of 321 bytes */
	dt_conf_free(conf);
	snprintf(content, sizeof(content), "[uplink u]\n#%s%sxx\n", long_value, long_key);
	refuse_file("dptap.conf: line 2: longer than 322 bytes; break it up", content);
	free(long_key);
	free(long_value);
}

static void
a_nul_byte_does_not_hide_the_rest_of_its_line(void **state)
{
	const char content[] = "[uplink u]\nmtu = 150\0"
			       "0\n";

	write_bytes(content, sizeof(content) - 1);
	REFUSE("dptap.conf: line 2: a NUL byte: this is no text file", "--config", "dptap.conf");
	REFUSE("/dev/zero: line 1: a NUL byte: this is no text file", "--config", "/dev/zero");
}

static void
pairs_that_the_library_would_drop_or_join_are_refused(void **state)
{
	char many[1024] = "vm0";

	REFUSE("--guest vm0: nothing between two commas or behind the last, want key=value", "--guest", "vm0,");
	REFUSE("--guest vm0: nothing between two commas or behind the last, want key=value", "--guest",
		"vm0,,socket=/x");
	REFUSE("--guest vm0: nothing between two commas or behind the last, want key=value", "--guest",
		"vm0,socket=/x,");
	REFUSE("--guest vm0: mac: no value, want key=value", "--guest", "vm0,socket=/x,mac");
	REFUSE("--guest vm0: socket: no value, want key=value", "--guest", "vm0,socket,mac=52:54:00:00:00:01");
	REFUSE("--guest vm0: =/x: no key, want key=value", "--guest", "vm0,=/x");
	REFUSE("--guest vm0: mac=socket=/x: a second '='; a value with '=' needs a file, see --config", "--guest",
		"vm0,mac=socket=/x");
	REFUSE("--guest vm0: socket=/x=: a second '='; a value with '=' needs a file, see --config", "--guest",
		"vm0,socket=/x=,mac=52:54:00:00:00:01");
	REFUSE("--guest vm0: 'socket=/[x,queue_len=100': brackets group commas here; values with [ or ] need a file, "
	       "see "
	       "--config",
		"--guest", "vm0,socket=/[x,queue_len=100");
	for (int i = 0; i < 33; i++)
		strcat(many, ",mac=52:54:00:00:00:01");
	REFUSE("--guest vm0: more than 32 settings", "--guest", many);
}

/* Options */

static void
a_port_option_without_a_name_is_refused(void **state)
{
	REFUSE("--guest: nothing follows it, want --guest NAME,key=value...", "--guest");
	REFUSE("--guest: nothing follows it, want --guest NAME,key=value...", "--guest", "--check-config");
	REFUSE("--guest: nothing follows it, want --guest NAME,key=value...", "--guest", "");
	REFUSE("--guest: nothing follows it, want --guest NAME,key=value...", "--guest=");
	REFUSE("--guest socket=/x: no name in front of the keys, want --guest NAME,key=value...", "--guest",
		"socket=/x");
	REFUSE("--guest ,socket=/x: no name in front of the keys, want --guest NAME,key=value...", "--guest",
		",socket=/x");
	REFUSE("--uplink: nothing follows it, want --uplink NAME[,key=value...]", "--uplink");
	REFUSE("--uplink mode=bridge: no name in front of the keys, want --uplink NAME[,key=value...]",
		"--uplink=mode=bridge");
}

static void
an_unknown_option_is_refused(void **state)
{
	REFUSE("--colour: unknown option; see dptap --help, and mind that EAL's options stand before \"--\"",
		"--colour");
	REFUSE("--gues: unknown option; see dptap --help, and mind that EAL's options stand before \"--\"", "--gues",
		"vm0,socket=/x");
	REFUSE("-l: unknown option; see dptap --help, and mind that EAL's options stand before \"--\"", "-l", "0-1");
	REFUSE("vm0: unknown option; see dptap --help, and mind that EAL's options stand before \"--\"", "vm0");
	REFUSE("--: unknown option; see dptap --help, and mind that EAL's options stand before \"--\"", "--");
	REFUSE(": unknown option; see dptap --help, and mind that EAL's options stand before \"--\"", "");
	REFUSE("--check-config: takes no value", "--check-config=yes");
	REFUSE("--help: does not go with other options; give it alone", "--help");
	REFUSE("--version: does not go with other options; give it alone", "--version");
	REFUSE("--list-reasons: does not go with other options; give it alone", "--list-reasons");
}

static void
a_file_that_cannot_be_read_is_refused(void **state)
{
	char *path = repeat('p', 256), expected[DT_ERROR_SIZE];

	REFUSE("--config: nothing follows it, want --config FILE", "--config");
	refuse_array(
		-ENOENT, "missing.conf: cannot be read: No such file or directory", ARGS("--config", "missing.conf"));
	refuse_array(-EISDIR, ".: cannot be read: Is a directory", ARGS("--config", "."));
	refuse_array(-ENOTDIR, "/dev/null/x: cannot be read: Not a directory", ARGS("--config", "/dev/null/x"));
	write_bytes("[uplink u]\n", strlen("[uplink u]\n"));
	REFUSE("--config other.conf: there is one already, dptap.conf; keep one file", "--config", "dptap.conf",
		"--config", "other.conf");
	snprintf(expected, sizeof(expected), "--config %.60s...: the path is too long, at most 255 bytes fit", path);
	REFUSE(expected, "--config", path);
	free(path);
}

/* Relations */

static void
a_guest_without_an_uplink_gets_the_first(void **state)
{
	struct dt_conf *conf = ACCEPT(
		"--guest", "vm0,socket=/0", "--guest", "vm1,socket=/1,uplink=b", "--uplink", "a", "--uplink", "b");

	assert_check_passes(conf);

	assert_int_equal(conf->guests[0].uplink, 0);
	assert_int_equal(conf->guests[1].uplink, 1);
	dt_conf_free(conf);
}

static void
guests_alone_are_a_bridge_without_uplink(void **state)
{
	struct dt_conf *conf = ACCEPT("--guest", "vm0,socket=/0", "--guest", "vm1,socket=/1");

	assert_check_passes(conf);

	assert_int_equal(conf->guests[0].uplink, -1);
	assert_int_equal(conf->guests[1].uplink, -1);
	dt_conf_free(conf);
}

static void
an_uplink_that_eal_probed_can_be_added(void **state)
{
	struct dt_conf *conf = ACCEPT("--guest", "vm0,socket=/0,uplink=0000:01:00.0");
	char error[DT_ERROR_SIZE] = "";
	int ret;

	ret = dt_conf_add_uplink(conf, "0000:01:00.0", error);

	assert_int_equal(ret, 0);
	assert_int_equal(conf->n_uplinks, 1);
	assert_string_equal(conf->uplinks[0].name, "0000:01:00.0");
	assert_string_equal(conf->uplinks[0].device, "0000:01:00.0");
	assert_int_equal(conf->uplinks[0].queue_len, 1000);
	assert_true(conf->uplinks[0].promiscuous);
	assert_check_passes(conf);
	assert_int_equal(conf->guests[0].uplink, 0);
	dt_conf_free(conf);
}

static void
a_probed_device_whose_name_cannot_serve_is_refused(void **state)
{
	struct dt_conf *conf = ACCEPT("--guest", "net_null0,socket=/0");
	char error[DT_ERROR_SIZE] = "";

	assert_int_equal(dt_conf_add_uplink(conf, "7ad35d50-c05b-47ab-b3a0-56a9a845852b", error), -EINVAL);
	assert_string_equal(error,
		"device 7ad35d50-c05b-47ab-b3a0-56a9a845852b: cannot serve as a port's name (1 to 31 "
		"characters of A-Z a-z 0-9 _ . : -); name it with --uplink NAME,device=DEVICE");
	assert_int_equal(dt_conf_add_uplink(conf, "net_null0", error), -EINVAL);
	assert_string_equal(
		error, "device net_null0: the name net_null0 is already that of a guest; give each port its own");
	assert_int_equal(conf->n_uplinks, 0);
	dt_conf_free(conf);
}

static void
a_mac_that_is_taken_or_nobodys_is_refused(void **state)
{
	refuse_check("guest vm1: mac 52:54:00:00:00:0a is already that of guest vm0; give each its own",
		ACCEPT("--guest", "vm0,socket=/0,mac=52:54:00:00:00:0a", "--guest",
			"vm1,socket=/1,mac=52:54:00:00:00:0A"));
	refuse_check("guest vm0: mac 00:00:00:00:00:00 is nobody's; give it the address that QEMU's mac= says",
		ACCEPT("--guest", "vm0,socket=/0,mac=00:00:00:00:00:00"));
	refuse_check("guest vm0: mac 53:54:00:00:00:01 is a group's address; the first byte must be even",
		ACCEPT("--guest", "vm0,socket=/0,mac=53:54:00:00:00:01"));
	refuse_check("guest vm0: mac ff:ff:ff:ff:ff:ff is a group's address; the first byte must be even",
		ACCEPT("--guest", "vm0,socket=/0,mac=ff:ff:ff:ff:ff:ff"));
}

static void
a_socket_or_device_that_is_taken_is_refused(void **state)
{
	refuse_check("guest vm1: socket /x is already that of guest vm0; give each its own",
		ACCEPT("--guest", "vm0,socket=/x", "--guest", "vm1,socket=/x,socket_mode=client"));
	refuse_check("uplink b: device net_null0 is already that of uplink a; give each its own",
		ACCEPT("--uplink", "a,device=net_null0", "--uplink", "b,device=net_null0"));
	refuse_check("uplink net_null0: device net_null0 is already that of uplink a; give each its own",
		ACCEPT("--uplink", "a,device=net_null0", "--uplink", "net_null0"));
}

static void
an_uplink_that_nobody_defines_is_refused(void **state)
{
	refuse_check("guest vm0: uplink lan: no uplink has that name; add [uplink lan] or --uplink lan",
		ACCEPT("--uplink", "wan", "--guest", "vm0,socket=/x,uplink=lan"));
	refuse_check("guest vm0: uplink lan: no uplink has that name; add [uplink lan] or --uplink lan",
		ACCEPT("--guest", "vm0,socket=/x,uplink=lan"));
	refuse_check("guest vm0: uplink vm1: no uplink has that name; add [uplink vm1] or --uplink vm1",
		ACCEPT("--guest", "vm1,socket=/y", "--guest", "vm0,socket=/x,uplink=vm1"));
}

static void
only_looking_at_the_configuration_does_not_ask_for_what_eal_probes(void **state)
{
	struct dt_conf *conf = ACCEPT("--check-config", "--guest", "vm0,socket=/x,uplink=net_null0");

	assert_check_passes(conf);
	assert_int_equal(conf->guests[0].uplink, -1);
	dt_conf_free(conf);

	refuse_check("guest vm0: uplink lan: no uplink has that name; add [uplink lan] or --uplink lan",
		ACCEPT("--check-config", "--uplink", "wan", "--guest", "vm0,socket=/x,uplink=lan"));
}

static void
a_pass_through_uplink_serves_one_guest(void **state)
{
	struct dt_conf *conf = ACCEPT("--uplink", "a,mode=passthru", "--uplink", "b,mode=passthru", "--uplink", "c",
		"--guest", "vm0,socket=/0", "--guest", "vm1,socket=/1,uplink=b", "--guest", "vm2,socket=/2,uplink=c",
		"--guest", "vm3,socket=/3,uplink=c");

	assert_check_passes(conf);
	dt_conf_free(conf);

	refuse_check("guest vm1: uplink a is in passthru mode and already that of guest vm0; use mode=bridge or "
		     "another uplink",
		ACCEPT("--uplink", "a,mode=passthru", "--guest", "vm0,socket=/0", "--guest", "vm1,socket=/1,uplink=a"));
}

static struct dt_conf *
many_guests(unsigned int n)
{
	struct dt_conf *conf;
	char *content = calloc(n + 1, 64);

	assert_non_null(content);
	for (unsigned int i = 0; i < n; i++)
		sprintf(content + strlen(content), "[guest vm%u]\nsocket = /vm%u.sock\n", i, i);
	conf = accept_file(content);
	free(content);
	return conf;
}

static void
the_number_of_ports_is_at_least_one_and_limited(void **state)
{
	struct dt_conf *conf = many_guests(DT_CONF_PORTS_MAX);

	assert_check_passes(conf);
	dt_conf_free(conf);

	refuse_check("241 uplinks and guests; one process serves at most 240", many_guests(DT_CONF_PORTS_MAX + 1));
	refuse_check("no uplink and no guest; name them with --config, --uplink or --guest, or give EAL a device (-a "
		     "or --vdev)",
		accept_file("# nothing\n"));
}

static void
an_error_that_does_not_fit_is_cut_but_stays_a_string(void **state)
{
	char *path = repeat('p', 255), *key = repeat('k', 63), content[256], error[DT_ERROR_SIZE + 1];
	struct dt_conf *conf = NULL;
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	snprintf(content, sizeof(content), "[guest %.31s]\n%s = 1\n", key, key);
	assert_true(fputs(content, file) >= 0);
	assert_int_equal(fclose(file), 0);
	error[DT_ERROR_SIZE] = 'Z';

	assert_int_equal(parse_array(ARGS("--config", path), error, &conf), -EINVAL);

	assert_memory_equal(error, path, strlen(path));
	assert_non_null(strstr(error, "unknown key; a guest takes socket, socket_mode, mac, uplink, queues, "));
	assert_in_range(strlen(error), 1, DT_ERROR_SIZE - 1);
	assert_int_equal(error[DT_ERROR_SIZE], 'Z');
	unlink(path);
	free(path);
	free(key);
}

static void
freeing_nothing_is_allowed(void **state)
{
	dt_conf_free(NULL);
}

/* The table and what is read from it */

static void
every_row_of_the_table_is_complete_and_its_default_valid(void **state)
{
	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		union {
			struct dt_conf process;
			struct dt_conf_uplink uplink;
			struct dt_conf_guest guest;
		} object = { 0 };
		char why[DT_CONF_WHY_SIZE];

		assert_ptr_equal(dt_conf_setting_find(row->kind, row->key), row); /* no second one of that name */
		assert_non_null(row->form);
		assert_non_null(row->help);
		assert_in_range(strlen(row->help), 1, 80);
		assert_int_not_equal(row->size, 0);
		/* exactly one of: required, a default, a text that says what happens without */
		assert_int_equal((row->initial != NULL) + (row->initial_text != NULL) + row->required, 1);
		if (row->type == DT_CONF_NUMBER) {
			assert_non_null(row->unit);
			assert_true(row->min < row->max);
		}
		if (row->initial != NULL && dt_conf_value_set(row, &object, row->initial, why) != 0)
			fail_msg("default of %s: %s", row->key, why);
	}
}

static char *
read_source(const char *path)
{
	const char *root = getenv("DT_SOURCE_DIR");
	char full[PATH_MAX], *text = calloc(1, 65536);
	FILE *file;

	if (root == NULL)
		fail_msg("DT_SOURCE_DIR must name the source tree");
	snprintf(full, sizeof(full), "%s/%s", root, path);
	file = fopen(full, "r");
	if (file == NULL)
		fail_msg("%s: %s", full, strerror(errno));
	assert_non_null(text);
	assert_in_range(fread(text, 1, 65535, file), 1, 65534);
	fclose(file);
	return text;
}

static void
help_shows_every_setting_with_its_range_and_default(void **state)
{
	static const char *const headings[] = { "\nkeys of --set", "\nkeys of --uplink", "\nkeys of --guest" };
	static const char *const options[] = { "--config FILE", "--set key=value...", "--uplink NAME[,key=value...]",
		"--guest NAME,key=value...", "--check-config", "--list-reasons", "--help", "--version" };
	char help[16384] = "";
	FILE *file = fmemopen(help, sizeof(help) - 1, "w");

	assert_non_null(file);
	dt_conf_help(file);
	assert_int_equal(fclose(file), 0);

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strstr(help, options[i]) == NULL)
			fail_msg("%s is missing", options[i]);
	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char range[DT_CONF_RANGE_SIZE], key[64], *at;

		dt_conf_setting_range(row, range);
		snprintf(key, sizeof(key), "\n  %s=%s ", row->key, row->form);
		at = strstr(help, headings[row->kind]);
		assert_non_null(at);
		at = strstr(at, key);
		if (at == NULL)
			fail_msg("%s is missing", row->key);
		at = strchr(at + 1, '\n'); /* the range is on the next line, in brackets */
		assert_non_null(at);
		at += strspn(at, "\n (");
		if (strncmp(at, range, strlen(range)) != 0)
			fail_msg("%s: help says %.60s, not %s", row->key, at, range);
	}
	for (char *line = strtok(help, "\n"); line != NULL; line = strtok(NULL, "\n"))
		if (strlen(line) > 110)
			fail_msg("too long for a terminal: %s", line);
}

static void
ranges_read_as_documented(void **state)
{
	char range[DT_CONF_RANGE_SIZE];

	dt_conf_setting_range(dt_conf_setting_find(DT_CONF_GUEST, "queue_len"), range);
	assert_string_equal(range, "64 to 65536 packets, default 1000");
	dt_conf_setting_range(dt_conf_setting_find(DT_CONF_GUEST, "socket"), range);
	assert_string_equal(range, "required");
	dt_conf_setting_range(dt_conf_setting_find(DT_CONF_GUEST, "uplink"), range);
	assert_string_equal(range, "default: the first uplink");
	dt_conf_setting_range(dt_conf_setting_find(DT_CONF_UPLINK, "mtu"), range);
	assert_string_equal(range, "68 to 9710 bytes, default 0: 1500, or less if the device takes no more");
}

static void
the_man_page_says_what_the_table_says(void **state)
{
	static const char *const sections[] = { "\n.SS [dptap]\n", "\n.SS [uplink NAME]\n", "\n.SS [guest NAME]\n" };
	char *page = read_source("config/dptap.8");
	unsigned int n_entries = 0;

	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char range[DT_CONF_RANGE_SIZE], heading[128], expected[DT_CONF_RANGE_SIZE + 8], *entry;

		snprintf(heading, sizeof(heading), "\n.TP\n.BI %s= %s\n", row->key, row->form);
		entry = strstr(page, sections[row->kind]);
		assert_non_null(entry);
		entry = strstr(entry, heading);
		if (entry == NULL)
			fail_msg("%s%s is missing", sections[row->kind], row->key);
		entry = strdup(entry + 1);
		entry[strcspn(entry + 4, "\0") + 4] = '\0';
		for (char *end = entry + 4; *end != '\0'; end++)
			if (strncmp(end, "\n.TP", 4) == 0 || strncmp(end, "\n.S", 3) == 0)
				*end-- = '\0';
		dt_conf_setting_range(row, range);
		snprintf(expected, sizeof(expected), "\n(%s).", range);
		if (strstr(entry, expected) == NULL)
			fail_msg("%s: no (%s). in: %s", row->key, range, entry);
		free(entry);
	}
	/* and has no key that the table has not */
	for (const char *at = page; (at = strstr(at, "\n.BI ")) != NULL; at++)
		n_entries += at[5 + strcspn(at + 5, "= \n")] == '=';
	assert_int_equal(n_entries, dt_conf_n_settings);
	free(page);
}

static struct dt_conf *
accept_sample(const char *path)
{
	char full[PATH_MAX];
	const char *root = getenv("DT_SOURCE_DIR");
	struct dt_conf *conf;

	if (root == NULL)
		fail_msg("DT_SOURCE_DIR must name the source tree");
	snprintf(full, sizeof(full), "%s/%s", root, path);
	conf = ACCEPT("--config", full);
	assert_check_passes(conf);
	return conf;
}

static void
the_sample_configurations_load(void **state)
{
	struct dt_conf *conf = accept_sample("config/dptap.conf");

	assert_int_equal(conf->n_uplinks, 1);
	assert_int_equal(conf->uplinks[0].mode, DT_MODE_BRIDGE);
	assert_int_equal(conf->n_guests, 2);
	assert_int_equal(conf->guests[1].uplink, 0);
	dt_conf_free(conf);

	conf = accept_sample("config/passthru.conf");
	assert_int_equal(conf->n_uplinks, 1);
	assert_int_equal(conf->uplinks[0].mode, DT_MODE_PASSTHRU);
	assert_int_equal(conf->n_guests, 1);
	assert_int_equal(conf->guests[0].socket_mode, DT_SOCKET_CLIENT);
	dt_conf_free(conf);
}

/* What the sample shows commented out is the default: with the signs removed, nothing may change. */
static void
the_sample_shows_the_defaults(void **state)
{
	char *text = read_source("config/dptap.conf"), *end;
	struct dt_conf *plain = accept_sample("config/dptap.conf"), *shown;
	unsigned int n_shown = 0;

	for (char *line = text; line != NULL; line = *end ? end + 1 : NULL) {
		char key[64];

		end = strchrnul(line, '\n');
		if (sscanf(line, "# %63[a-z_] = ", key) == 1 && strncmp(line + 2 + strlen(key), " = ", 3) == 0) {
			line[0] = ' ';
			n_shown++;
		}
	}
	shown = accept_file(text);
	assert_check_passes(shown);

	assert_int_equal(n_shown, 3 + 10 + 4);
	assert_int_equal(shown->mbufs, plain->mbufs);
	assert_int_equal(shown->idle, plain->idle);
	assert_int_equal(shown->rebalance, plain->rebalance);
	assert_memory_equal(shown->uplinks, plain->uplinks, sizeof(*plain->uplinks));
	assert_string_equal(shown->guests[0].uplink_name, "wan");
	memset(shown->guests[0].uplink_name, 0, sizeof(shown->guests[0].uplink_name));
	assert_memory_equal(shown->guests, plain->guests, 2 * sizeof(*plain->guests));
	dt_conf_free(shown);
	dt_conf_free(plain);
	free(text);
}

static int
enter_directory(void **state)
{
	return mkdtemp(directory) == NULL || chdir(directory) != 0;
}

static int
leave_directory(void **state)
{
	unlink("dptap.conf");
	return chdir("/") != 0 || rmdir(directory) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_argument_at_all_gives_an_empty_configuration),
		cmocka_unit_test(an_uplink_without_keys_has_the_documented_defaults),
		cmocka_unit_test(an_uplink_takes_every_key),
		cmocka_unit_test(a_guest_with_only_a_socket_has_the_documented_defaults),
		cmocka_unit_test(a_guest_takes_every_key),
		cmocka_unit_test(a_file_says_the_same_as_arguments),
		cmocka_unit_test(file_and_arguments_add_up),
		cmocka_unit_test(settings_of_the_process_may_be_arguments),
		cmocka_unit_test(a_file_may_hold_more_sections_than_the_library_allocates_at_once),
		cmocka_unit_test(a_file_may_be_a_pipe),
		cmocka_unit_test(the_longest_of_everything_fits),
		cmocka_unit_test(each_number_is_taken_from_its_minimum_to_its_maximum),
		cmocka_unit_test(a_number_is_whole_decimal_and_without_rubbish),
		cmocka_unit_test(the_range_messages_read_as_documented),
		cmocka_unit_test(choices_and_switches_take_their_words_only),
		cmocka_unit_test(several_words_are_joined_by_plus_signs),
		cmocka_unit_test(a_malformed_mac_is_refused),
		cmocka_unit_test(features_are_named_as_in_the_specification),
		cmocka_unit_test(a_feature_that_is_off_takes_its_dependants_with_it),
		cmocka_unit_test(a_text_that_does_not_fit_is_refused),
		cmocka_unit_test(a_message_is_one_line_whatever_the_value_holds),
		cmocka_unit_test(empty_values_and_outer_blanks_are_refused),
		cmocka_unit_test(a_name_that_is_none_is_refused),
		cmocka_unit_test(an_unknown_key_is_refused_with_the_known_ones),
		cmocka_unit_test(a_key_given_twice_is_refused),
		cmocka_unit_test(a_guest_without_a_socket_is_refused),
		cmocka_unit_test(a_name_given_twice_is_refused),
		cmocka_unit_test(a_section_that_is_none_is_refused),
		cmocka_unit_test(a_line_that_the_library_would_skip_is_refused),
		cmocka_unit_test(a_setting_that_the_library_would_mangle_is_refused),
		cmocka_unit_test(a_nul_byte_does_not_hide_the_rest_of_its_line),
		cmocka_unit_test(pairs_that_the_library_would_drop_or_join_are_refused),
		cmocka_unit_test(a_port_option_without_a_name_is_refused),
		cmocka_unit_test(an_unknown_option_is_refused),
		cmocka_unit_test(a_file_that_cannot_be_read_is_refused),
		cmocka_unit_test(a_guest_without_an_uplink_gets_the_first),
		cmocka_unit_test(guests_alone_are_a_bridge_without_uplink),
		cmocka_unit_test(an_uplink_that_eal_probed_can_be_added),
		cmocka_unit_test(a_probed_device_whose_name_cannot_serve_is_refused),
		cmocka_unit_test(a_mac_that_is_taken_or_nobodys_is_refused),
		cmocka_unit_test(a_socket_or_device_that_is_taken_is_refused),
		cmocka_unit_test(an_uplink_that_nobody_defines_is_refused),
		cmocka_unit_test(only_looking_at_the_configuration_does_not_ask_for_what_eal_probes),
		cmocka_unit_test(a_pass_through_uplink_serves_one_guest),
		cmocka_unit_test(the_number_of_ports_is_at_least_one_and_limited),
		cmocka_unit_test(an_error_that_does_not_fit_is_cut_but_stays_a_string),
		cmocka_unit_test(freeing_nothing_is_allowed),
		cmocka_unit_test(every_row_of_the_table_is_complete_and_its_default_valid),
		cmocka_unit_test(help_shows_every_setting_with_its_range_and_default),
		cmocka_unit_test(ranges_read_as_documented),
		cmocka_unit_test(the_man_page_says_what_the_table_says),
		cmocka_unit_test(the_sample_configurations_load),
		cmocka_unit_test(the_sample_shows_the_defaults),
	};

	return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
