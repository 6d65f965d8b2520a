/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share.
 *
 * A target is one function that libFuzzer calls with one input again and again.  What an input
 * stands for is in the target's first comment; inputs are text wherever they can be, so that those
 * of the corpus can be read and reviewed.
 */
#pragma once

#include <gio/gio.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* From now on nothing is logged, which takes longer than the target itself, and a critical message
 * of GLib's, which tells of a call that must not have been made, is a crash. */
void mf_fuzz_quiet(void);

/* A host and a runtime directory of plain files, which go when the process exits by itself. */
typedef struct _MfFuzzFolder MfFuzzFolder;

MfFuzzFolder *mf_fuzz_folder_new(void);
const char *mf_fuzz_folder_get_path(const MfFuzzFolder *folder);

/* Writes, or writes over, one file below the folder. */
void mf_fuzz_folder_write(MfFuzzFolder *folder, const char *path, const void *data, gsize size);

/* Text of a file, to g_free(); NULL when there is none. */
char *mf_fuzz_folder_read(const MfFuzzFolder *folder, const char *path);

/* Makes the files of an input, and removes those of the input before.  The input is what head(1)
 * prints of several files:
 *
 *     ==> proc/meminfo <==
 *     MemTotal: ...
 *
 * Paths that are not in known (NULL-terminated) are passed over: an input chooses contents, and not
 * where they are written. */
void mf_fuzz_folder_fill(MfFuzzFolder *folder, const char *const *known, const uint8_t *data,
                         size_t size);

/* Takes the first line off an input: its text without the newline, to g_free().  What is left of
 * the input is in data and size. */
char *mf_fuzz_take_line(const uint8_t **data, size_t *size);

/* The value that a text in GVariant's own notation stands for, after a way through D-Bus's wire
 * format, so that it is one that a peer can send.  A tuple; NULL for all else. */
GVariant *mf_fuzz_wire_value(const uint8_t *data, size_t size);
