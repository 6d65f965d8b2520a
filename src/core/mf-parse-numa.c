/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/numa_maps: a line for each area, of words such as "anon=512", "N0=400", "N1=112",
 * "kernelpagesize_kB=4".  The counts are pages of that size, which stands behind them.
 */
#include <string.h>

#include "mf-error.h"
#include "mf-parse.h"
#include "mf-span.h"
#include "mf-units.h"

#define NODES_MAX 1024 /* the largest CONFIG_NODES_SHIFT that distributions build */

/* What follows prefix in word; FALSE when it begins otherwise. */
static gboolean
cut_prefix(MfSpan word, const char *prefix, MfSpan *ret_rest)
{
    gsize prefix_bytes = strlen(prefix);

    if (word.length_bytes < prefix_bytes || memcmp(word.text, prefix, prefix_bytes) != 0) {
        return FALSE;
    }
    *ret_rest = (MfSpan){word.text + prefix_bytes, word.length_bytes - prefix_bytes};
    return TRUE;
}

/* "N1=112" to 1 and 112; FALSE when it is no such word. */
static gboolean
read_node(MfSpan word, guint64 *ret_node, guint64 *ret_pages)
{
    const char *equals = memchr(word.text, '=', word.length_bytes);
    MfSpan rest;

    if (equals == NULL || !cut_prefix(word, "N", &rest)) {
        return FALSE;
    }
    MfSpan node = {rest.text, (gsize)(equals - rest.text)};
    MfSpan pages = {equals + 1, word.length_bytes - (gsize)(equals + 1 - word.text)};
    return mf_span_to_u64(node, ret_node) && *ret_node < NODES_MAX &&
           mf_span_to_u64(pages, ret_pages);
}

/* Size of the pages of an area that counts; 0 when it does not count, FALSE when that can't be
 * told. */
static gboolean
read_page_size(MfSpan line, guint64 *ret_bytes)
{
    gboolean anonymous = FALSE;
    gboolean other = FALSE;
    guint64 kib = 0;
    MfSpan word;
    MfSpan rest;

    while (mf_span_next_word(&line, &word)) {
        anonymous = anonymous || cut_prefix(word, "anon=", &rest);
        other = other || cut_prefix(word, "file=", &rest) || mf_span_is(word, "huge");
        if (cut_prefix(word, "kernelpagesize_kB=", &rest) && !mf_span_to_u64(rest, &kib)) {
            return FALSE;
        }
    }
    *ret_bytes = anonymous && !other ? mf_mul_sat(kib, 1024) : 0;
    return !anonymous || other || kib > 0;
}

gboolean
mf_parse_numa_maps(const char *text, gsize length_bytes, MfNodes *ret_nodes, GError **error)
{
    g_autofree guint64 *node_bytes = g_new0(guint64, NODES_MAX);
    guint64 sum_bytes = 0;
    guint64 main_node = 0;
    MfSpan whole = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&whole, &line)) {
        guint64 page_bytes;
        MfSpan rest = line;
        MfSpan word;
        if (!read_page_size(line, &page_bytes)) {
            return mf_span_refuse(error, "bad line of numa_maps", line);
        }
        while (page_bytes > 0 && mf_span_next_word(&rest, &word)) {
            guint64 node;
            guint64 pages;
            if (read_node(word, &node, &pages)) {
                guint64 bytes = mf_mul_sat(pages, page_bytes);
                node_bytes[node] = mf_add_sat(node_bytes[node], bytes);
                sum_bytes = mf_add_sat(sum_bytes, bytes);
            }
        }
    }
    for (guint64 node = 1; node < NODES_MAX; node++) {
        main_node = node_bytes[node] > node_bytes[main_node] ? node : main_node;
    }
    *ret_nodes = (MfNodes){.main_node = sum_bytes > 0 ? MF_U64(main_node) : MF_U64_ABSENT,
                           .other_bytes = mf_sub_clamp(sum_bytes, node_bytes[main_node])};
    return TRUE;
}
