/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The features of a virtio-net device by name, as the specification calls them, in lower case and without prefix.
 */
#ifndef DT_FEATURE_H
#define DT_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The name of a feature bit, NULL: it has none. */
const char *dt_feature_name(unsigned int bit);

/** The bit of the name that the first @p len bytes of @p name are, -1: there is none. */
int dt_feature_bit(const char *name, size_t len);

/** Whether a device may be configured not to offer it: all but those of the protocol behind it. */
bool dt_feature_can_be_off(unsigned int bit);

/** @p features without those that need another one which is not among them (virtio 1.2, 5.1.3.1 and 6). */
uint64_t dt_feature_sound(uint64_t features);

#endif
