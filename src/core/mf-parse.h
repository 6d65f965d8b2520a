/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that the kernel prints, to numbers.
 *
 * Pure functions over buffers of a known length (no NUL needed inside the length).  Strict where the
 * kernel is strict: a number is the whole field, overflow is an error, and a missing field is absent.
 */
#pragma once

#include <glib.h>

#include "mf-account.h"
#include "mf-types.h"

/* An unsigned or signed decimal number with nothing around it but white space. */
gboolean mf_parse_u64(const char *text, gsize length_bytes, guint64 *ret_value, GError **error);
gboolean mf_parse_i64(const char *text, gsize length_bytes, gint64 *ret_value, GError **error);

/* /proc/meminfo (proc(5)): fills the three mem_ and swap_ fields of host. */
gboolean mf_parse_meminfo(const char *text, gsize length_bytes, MfHost *host, GError **error);

/* /proc/PID/ksm_stat (Documentation/filesystems/proc.rst): fills zero_bytes, rmap_items_pages and
 * profit_bytes; lines it does not know are passed over. */
gboolean mf_parse_ksm_stat(const char *text, gsize length_bytes, guint64 page_size_bytes,
                           MfDomain *domain, GError **error);

/* /proc/PID/smaps (proc(5)): totals over the areas whose VmFlags hold "mg".  A text without one such
 * area gives zeroes, which is an answer. */
gboolean mf_parse_smaps(const char *text, gsize length_bytes, MfArea *ret_area, GError **error);

/* /proc/PID/stat: utime + stime in clock ticks, starttime in clock ticks, and comm.  ret_comm is
 * allocated; any out-parameter may be NULL. */
gboolean mf_parse_stat(const char *text, gsize length_bytes, char **ret_comm, guint64 *ret_cpu_ticks,
                       guint64 *ret_start_ticks, GError **error);

/* A kernel choice file such as "[none] scan-time": the bracketed word, allocated. */
char *mf_parse_choice(const char *text, gsize length_bytes, GError **error);

/* /proc/PID/cmdline holds the argument pair "-uuid", uuid (case-insensitive). */
gboolean mf_parse_cmdline_has_uuid(const char *text, gsize length_bytes, const char *uuid);
