/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of `memfold top`: what is known of each domain, in which order, and how it changes.  All
 * texts are printable. */
#pragma once

#include "mf-types.h"

typedef enum {
    MF_TOP_BY_NAME,
    MF_TOP_BY_SAVED,
    MF_TOP_BY_MERGED,
    MF_TOP_BY_CHANGE,
} MfTopSort;

typedef struct {
    char *uuid;
    char *name;
    char *mode;
    char *group;
    MfU64 resident_bytes;
    MfU64 merged_bytes;
    MfU64 saved_bytes;
    MfU64 zero_bytes;
    MfI64 change_bytes_per_sec; /* of saved_bytes */
    gint64 taken_msec;          /* when its figures were read; any clock that goes on */
    GPtrArray *facts;           /* of char *: what its details say of it, a line each */
    GPtrArray *reasons;         /* of char *: a line each, remedies among them */
} MfTopRow;

typedef struct {
    GPtrArray *header;       /* of char *: lines with figures of the host */
    GPtrArray *host_reasons; /* of char *: indented lines, each one reason with its remedy */
    GPtrArray *rows;         /* of MfTopRow */
} MfTopData;

MfTopData *mf_top_data_new_empty(void);
void mf_top_data_free(MfTopData *data);
MfTopRow *mf_top_row_new(const char *uuid, const char *name);
void mf_top_row_free(MfTopRow *row);

/* Sets the change of saved_bytes since before, an earlier row of the same domain.  Figures that
 * were read but once keep the change that they had. */
void mf_top_row_compare(MfTopRow *row, const MfTopRow *before);

/* The sort key of that name ("name", "saved", "merged", "change"); FALSE when it is none. */
gboolean mf_top_sort_from_string(const char *text, MfTopSort *ret_sort);

/* Names rise, figures fall; what is absent comes last, and names decide between equals. */
void mf_top_sort(GPtrArray *rows, MfTopSort sort);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfTopData, mf_top_data_free)
