/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic and text of quantities.
 *
 * Counters of a host can be stale, wrap or be written by others: sums saturate, differences clamp
 * at zero, and a ratio has 128 bits between multiplication and division.
 */
#pragma once

#include <glib.h>

#define MF_PERMYRIAD 10000

guint64 mf_add_sat(guint64 a, guint64 b);
guint64 mf_sub_clamp(guint64 a, guint64 b);
guint64 mf_mul_sat(guint64 a, guint64 b);

/* a * b / c without overflow in between, saturating; c of 0 gives 0. */
guint64 mf_mul_div(guint64 a, guint64 b, guint64 c);

/* The square root of a * b, rounded down; the product has 128 bits. */
guint64 mf_sqrt_mul(guint64 a, guint64 b);

/* "512 B", "1.5 KiB", "37.2 MiB": binary units, one decimal, rounded.  Free with g_free(). */
char *mf_format_bytes(guint64 bytes);

/* "12.34 %".  Free with g_free(). */
char *mf_format_permyriad(guint64 permyriad);
