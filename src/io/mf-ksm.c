/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KSM's files under /sys/kernel/mm/ksm, and ksmd's CPU time under /proc. */
#include "mf-ksm.h"

#include <string.h>
#include <unistd.h>

#include "../core/mf-account.h"
#include "../core/mf-error.h"
#include "../core/mf-parse.h"
#include "../core/mf-text.h"
#include "../core/mf-units.h"

#define KSM_DIR        "sys/kernel/mm/ksm"
#define SCANNED        "/pages_scanned"
#define KNOB_BYTES     256
#define STAT_BYTES     4096
#define BOOST_PATH     KSM_DIR "/boost"
#define CHILDREN_PATH  "proc/2/task/2/children" /* of kthreadd */
#define CHILDREN_MAX   (256 * 1024)
#define KTHREADD_PID   2
#define SKIP_MAX_SCANS 1000 /* ksm_skip_unwritten of our kernel */

static gboolean
knob_path(MfKnob knob, char *path, gsize path_bytes)
{
    return (guint)knob < MF_KNOB_N && (gsize)g_snprintf(path, (gulong)path_bytes, KSM_DIR "/%s",
                                                        mf_knob_to_string(knob)) < path_bytes;
}

MfU64
mf_ksm_read_scanned(MfRoot *root)
{
    guint64 pages;

    return mf_root_read_u64(root, KSM_DIR SCANNED, &pages, NULL) ? MF_U64(pages) : MF_U64_ABSENT;
}

/* Keeps the first error that is not a missing file. */
static void
keep_first_error(GError **kept, GError *error)
{
    if (*kept == NULL && !mf_error_is_gone(error)) {
        *kept = error;
    } else {
        g_error_free(error);
    }
}

static void
read_numbers(MfRoot *root, MfHost *host, GError **kept)
{
    static const struct {
        const char *path;
        gsize offset;
    } numbers[] = {
        {KSM_DIR "/run", G_STRUCT_OFFSET(MfHost, run)},
        {KSM_DIR "/pages_to_scan", G_STRUCT_OFFSET(MfHost, pages_to_scan_pages)},
        {KSM_DIR "/sleep_millisecs", G_STRUCT_OFFSET(MfHost, sleep_msec)},
        {KSM_DIR "/pages_shared", G_STRUCT_OFFSET(MfHost, pages_shared_pages)},
        {KSM_DIR "/pages_sharing", G_STRUCT_OFFSET(MfHost, pages_sharing_pages)},
        {KSM_DIR "/pages_unshared", G_STRUCT_OFFSET(MfHost, pages_unshared_pages)},
        {KSM_DIR SCANNED, G_STRUCT_OFFSET(MfHost, pages_scanned_pages)},
        {KSM_DIR "/ksm_zero_pages", G_STRUCT_OFFSET(MfHost, zero_pages)},
        {KSM_DIR "/full_scans", G_STRUCT_OFFSET(MfHost, full_scans_count)},
        {KSM_DIR "/use_zero_pages", G_STRUCT_OFFSET(MfHost, use_zero_pages)},
        {KSM_DIR "/smart_scan", G_STRUCT_OFFSET(MfHost, smart_scan)},
        {KSM_DIR "/cpu_max_permyriad", G_STRUCT_OFFSET(MfHost, cpu_max_permyriad)},
        {KSM_DIR "/skip_unwritten", G_STRUCT_OFFSET(MfHost, skip_unwritten)},
        {KSM_DIR "/pages_volatile", G_STRUCT_OFFSET(MfHost, pages_volatile_pages)},
        {KSM_DIR "/merge_across_nodes", G_STRUCT_OFFSET(MfHost, merge_across_nodes)},
        {KSM_DIR "/max_page_sharing", G_STRUCT_OFFSET(MfHost, max_page_sharing_pages)},
        {KSM_DIR "/stable_node_chains", G_STRUCT_OFFSET(MfHost, stable_node_chains_count)},
        {KSM_DIR "/stable_node_dups", G_STRUCT_OFFSET(MfHost, stable_node_dups_pages)},
        {KSM_DIR "/huge_min_pages", G_STRUCT_OFFSET(MfHost, huge_min_pages)},
        {KSM_DIR "/pages_unsplit", G_STRUCT_OFFSET(MfHost, pages_unsplit_pages)},
    };

    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
        MfU64 *field = (MfU64 *)((char *)host + numbers[i].offset);
        GError *error = NULL;
        guint64 value;
        if (mf_root_read_u64(root, numbers[i].path, &value, &error)) {
            *field = MF_U64(value);
        } else {
            *field = MF_U64_ABSENT;
            keep_first_error(kept, error);
        }
    }
}

static void
read_profit(MfRoot *root, MfHost *host, GError **kept)
{
    GError *error = NULL;
    gsize length_bytes;
    g_autofree char *text =
        mf_root_read(root, KSM_DIR "/general_profit", KNOB_BYTES, &length_bytes, &error);
    gint64 value;

    host->general_profit_bytes = MF_I64_ABSENT;
    if (text != NULL && mf_parse_i64(text, length_bytes, &value, &error)) {
        host->general_profit_bytes = MF_I64(value);
    } else {
        keep_first_error(kept, error);
    }
}

/* A choice file's chosen word, into *ret_word. */
static void
read_choice(MfRoot *root, MfKnob knob, char **ret_word, GError **kept)
{
    GError *error = NULL;

    g_free(*ret_word);
    *ret_word = mf_ksm_read_knob(root, knob, &error);
    if (*ret_word == NULL) {
        keep_first_error(kept, error);
    }
}

/* Reads the stat of pid; FALSE unless it is ksmd: a child of kthreadd of that name. */
static gboolean
is_ksmd(MfRoot *root, const char *pid, MfProcStat *ret_stat)
{
    g_autofree char *comm_path = g_strdup_printf("proc/%s/comm", pid);
    g_autofree char *stat_path = g_strdup_printf("proc/%s/stat", pid);
    g_autofree char *comm = mf_root_read(root, comm_path, KNOB_BYTES, NULL, NULL);
    gsize length_bytes;

    if (comm == NULL || !g_str_equal(g_strchomp(comm), "ksmd")) {
        return FALSE;
    }
    g_autofree char *text = mf_root_read(root, stat_path, STAT_BYTES, &length_bytes, NULL);
    return text != NULL && mf_parse_stat(text, length_bytes, ret_stat, NULL) &&
           ret_stat->parent_pid == KTHREADD_PID;
}

/* ksmd is made at boot, so it stands near the head of kthreadd's children: some forty short reads.
 * A kernel without that file (CONFIG_PROC_CHILDREN) costs a look at all of /proc. */
static gboolean
find_ksmd(MfRoot *root, MfProcStat *ret_stat)
{
    g_autofree char *children = mf_root_read(root, CHILDREN_PATH, CHILDREN_MAX, NULL, NULL);
    g_auto(GStrv) pids = NULL;

    if (children != NULL) {
        pids = g_strsplit(g_strchomp(children), " ", -1);
    } else {
        pids = mf_root_list(root, "proc", NULL);
    }
    for (guint i = 0; pids != NULL && pids[i] != NULL; i++) {
        if (g_ascii_isdigit(pids[i][0]) && is_ksmd(root, pids[i], ret_stat)) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mf_ksm_read(MfRoot *root, MfHost *host, GError **error)
{
    GError *kept = NULL;
    MfProcStat stat;
    long ticks_per_sec = sysconf(_SC_CLK_TCK);

    read_numbers(root, host, &kept);
    read_profit(root, host, &kept);
    read_choice(root, MF_KNOB_ADVISOR_MODE, &host->advisor_mode, &kept);
    read_choice(root, MF_KNOB_INDEX, &host->index, &kept);
    read_choice(root, MF_KNOB_GROUP_DEFAULT, &host->group_default, &kept);
    host->has_groups = mf_ksm_has_groups(root);
    host->has_boost = mf_root_exists(root, BOOST_PATH);
    host->saved_bytes = mf_account_host_saved_bytes(host);
    host->ksmd_cpu_usec = MF_U64_ABSENT;
    if (ticks_per_sec > 0 && find_ksmd(root, &stat)) {
        host->ksmd_cpu_usec =
            MF_U64(mf_mul_div(stat.cpu_ticks, G_USEC_PER_SEC, (guint64)ticks_per_sec));
    }

    if (kept == NULL && !host->run.known) {
        g_set_error_literal(&kept, MF_ERROR, MF_ERROR_UNSUPPORTED,
                            "this kernel has no KSM (CONFIG_KSM)");
    }
    if (kept != NULL) {
        g_propagate_error(error, kept);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_ksm_has_groups(MfRoot *root)
{
    return mf_root_exists(root, KSM_DIR "/groups");
}

gboolean
mf_ksm_merges_across_nodes(MfRoot *root)
{
    guint64 across;

    return !mf_root_read_u64(root, KSM_DIR "/merge_across_nodes", &across, NULL) || across != 0;
}

char *
mf_ksm_read_knob(MfRoot *root, MfKnob knob, GError **error)
{
    char path[128];
    gsize length_bytes;

    if (!knob_path(knob, path, sizeof(path))) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "no knob has the number %d", knob);
        return NULL;
    }
    g_autofree char *text = mf_root_read(root, path, KNOB_BYTES, &length_bytes, error);
    if (text == NULL) {
        return NULL;
    }
    if (knob == MF_KNOB_ADVISOR_MODE || knob == MF_KNOB_INDEX || knob == MF_KNOB_GROUP_DEFAULT) {
        return mf_parse_choice(text, length_bytes, error);
    }
    guint64 value;
    if (!mf_parse_u64(text, length_bytes, &value, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT, value);
}

/* What may be written: what a kernel takes, less un-merging everything. */
static gboolean
value_is_allowed(MfKnob knob, const char *value)
{
    guint64 number;
    gboolean is_number = mf_parse_u64(value, strlen(value), &number, NULL);

    switch (knob) {
    case MF_KNOB_RUN:
    case MF_KNOB_USE_ZERO_PAGES:
    case MF_KNOB_SMART_SCAN:
        return is_number && number <= 1;
    case MF_KNOB_PAGES_TO_SCAN:
    case MF_KNOB_SLEEP_MSEC:
    case MF_KNOB_BOOST_NEW:
        return is_number && number <= G_MAXUINT32;
    case MF_KNOB_ADVISOR_MODE:
        return g_str_equal(value, "none") || g_str_equal(value, "scan-time");
    case MF_KNOB_CPU_MAX:
        return is_number && number >= 1 && number <= MF_PERMYRIAD;
    case MF_KNOB_SKIP_UNWRITTEN:
        return is_number && number <= SKIP_MAX_SCANS;
    case MF_KNOB_INDEX:
        return g_str_equal(value, "contents") || g_str_equal(value, "checksum");
    case MF_KNOB_GROUP_DEFAULT:
        return g_str_equal(value, "shared") || g_str_equal(value, "isolated");
    case MF_KNOB_N:
        break;
    }
    return FALSE;
}

gboolean
mf_ksm_write_knob(MfRoot *root, MfKnob knob, const char *value, GError **error)
{
    char path[128];

    if (!knob_path(knob, path, sizeof(path)) || !value_is_allowed(knob, value)) {
        g_autofree char *quoted = mf_text_quote(value);
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "memfold does not write %s to %s", quoted,
                    mf_knob_to_string(knob));
        return FALSE;
    }
    return mf_root_write(root, path, value, error);
}

gboolean
mf_ksm_boost(MfRoot *root, gint64 pid, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, pid);

    return mf_root_write(root, BOOST_PATH, text, error);
}
