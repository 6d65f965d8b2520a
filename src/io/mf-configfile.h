/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memfold.conf and its drop-ins, from disk to one configuration.
 *
 * The file comes first, then FILE.d/NAME.conf in the order of the names, each on top of what came
 * before.  A missing file, and a missing directory, stand for the shipped defaults.
 */
#pragma once

#include "../core/mf-config.h"

/* Reads path and its drop-ins and validates the whole.  NULL with MF_ERROR_INVALID (what is written
 * there is wrong; the message names the file) or another code when a file can't be read.  Blocks.
 */
MfConfig *mf_configfile_load(const char *path, GError **error);
