/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU processes by their PIDs.
 *
 * A PID can be given to another process at any time.  So figures are read first and the command
 * line after them: when it names the domain, the figures were the domain's.
 */
#include "mf-proc.h"

#include <string.h>

#include "../core/mf-account.h"
#include "../core/mf-error.h"
#include "../core/mf-parse.h"
#include "../core/mf-text.h"
#include "../core/mf-units.h"

#define PID_FILE_BYTES  64
#define CMDLINE_BYTES   (2 * 1024 * 1024)
#define KSM_STAT_BYTES  4096
#define CGROUP_BYTES    (64 * 1024)
#define STAT_BYTES      4096
#define STATM_BYTES     256
#define MAPS_BYTES      (16 * 1024 * 1024)
#define COMM_BYTES      256
#define SMAPS_BYTES     (256 * 1024 * 1024)
#define NUMA_BYTES      (64 * 1024 * 1024)
#define KSM_GROUP_BYTES 64
#define KSM_FLAGS_BYTES 256

char *
mf_proc_read_file(MfRoot *root, gint64 pid, const char *file, gsize max_bytes,
                  gsize *ret_length_bytes, GError **error)
{
    g_autofree char *directory = g_strdup_printf("proc/%" G_GINT64_FORMAT, pid);
    g_autofree char *path = g_strconcat(directory, "/", file, NULL);
    g_autoptr(GError) cause = NULL;
    char *text = mf_root_read(root, path, max_bytes, ret_length_bytes, &cause);

    if (text != NULL) {
        return text;
    }
    if (mf_error_is_gone(cause) && mf_root_exists(root, directory) && !mf_root_exists(root, path)) {
        g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED, "this kernel has no /proc/PID/%s", file);
    } else {
        g_propagate_error(error, g_steal_pointer(&cause));
    }
    return NULL;
}

/* Whether pid is the QEMU of uuid; else GONE, or what reading gave. */
static gboolean
verify_pid(MfRoot *root, gint64 pid, const char *uuid, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, pid, "cmdline", CMDLINE_BYTES, &length_bytes, error);

    if (text == NULL) {
        return FALSE;
    }
    if (!mf_parse_cmdline_has_uuid(text, length_bytes, uuid)) {
        g_set_error(error, MF_ERROR, MF_ERROR_GONE,
                    "process %" G_GINT64_FORMAT " is not the QEMU of domain %s", pid, uuid);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_proc_read_pid_file(MfRoot *root, const char *name, gint64 *ret_pid, GError **error)
{
    gsize length_bytes;
    gint64 pid;

    if (name[0] == '\0' || strchr(name, '/') != NULL) {
        g_autofree char *quoted = mf_text_quote(name);
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s is no domain name", quoted);
        return FALSE;
    }
    g_autofree char *path = g_strdup_printf("run/libvirt/qemu/%s.pid", name);
    g_autofree char *text = mf_root_read(root, path, PID_FILE_BYTES, &length_bytes, error);
    if (text == NULL) {
        return FALSE;
    }
    if (!mf_parse_i64(text, length_bytes, &pid, error)) {
        g_prefix_error(error, "%s: ", path);
        return FALSE;
    }
    if (pid <= 0 || pid > G_MAXINT32) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: %" G_GINT64_FORMAT " is no PID", path,
                    pid);
        return FALSE;
    }
    *ret_pid = pid;
    return TRUE;
}

gboolean
mf_proc_find_pid(MfRoot *root, const char *name, const char *uuid, gint64 *ret_pid, GError **error)
{
    gint64 pid;

    if (!mf_proc_read_pid_file(root, name, &pid, error) || !verify_pid(root, pid, uuid, error)) {
        return FALSE;
    }
    *ret_pid = pid;
    return TRUE;
}

static gboolean
read_ksm_stat(MfRoot *root, gint64 pid, MfKsmStat *ret_stat, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, pid, "ksm_stat", KSM_STAT_BYTES, &length_bytes, error);

    return text != NULL && mf_parse_ksm_stat(text, length_bytes, ret_stat, error);
}

static gboolean
read_area(MfRoot *root, gint64 pid, MfArea *ret_area, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, pid, "smaps", SMAPS_BYTES, &length_bytes, error);

    return text != NULL && mf_parse_smaps(text, length_bytes, ret_area, error);
}

gboolean
mf_proc_read_ksm_stat(MfRoot *root, guint64 page_size_bytes, MfDomain *domain, GError **error)
{
    MfKsmStat stat;

    if (!read_ksm_stat(root, domain->pid, &stat, error) ||
        !verify_pid(root, domain->pid, domain->uuid, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return FALSE;
    }
    domain->zero_bytes = stat.zero_pages.known
                             ? MF_U64(mf_mul_sat(stat.zero_pages.value, page_size_bytes))
                             : MF_U64_ABSENT;
    domain->rmap_items_pages = stat.rmap_items_pages;
    domain->profit_bytes = stat.profit_bytes;
    domain->cow_breaks_count = stat.cow_breaks_count;
    domain->swap_in_copies_count = stat.swap_in_copies_count;
    domain->scanned_pages = stat.scanned_pages;
    return TRUE;
}

MfU64
mf_proc_read_ksm_group(MfRoot *root, const MfDomain *domain)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "ksm_group", KSM_GROUP_BYTES, &length_bytes, NULL);
    guint64 number;

    /* "unused" is no number. */
    if (text == NULL || !mf_parse_u64(text, length_bytes, &number, NULL) ||
        !verify_pid(root, domain->pid, domain->uuid, NULL)) {
        return MF_U64_ABSENT;
    }
    return MF_U64(number);
}

MfU64
mf_proc_read_zero_only(MfRoot *root, const MfDomain *domain)
{
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "ksm_flags", KSM_FLAGS_BYTES, NULL, NULL);
    g_auto(GStrv) words = text != NULL ? g_strsplit_set(text, " \n", -1) : NULL;

    if (text == NULL || !verify_pid(root, domain->pid, domain->uuid, NULL)) {
        return MF_U64_ABSENT;
    }
    return MF_U64(g_strv_contains((const char *const *)words, "zero") ? 1 : 0);
}

typedef struct {
    MfRoot *root;
    const MfDomain *domain;
} Owner;

static gboolean
is_still_the_domains(gpointer data, GError **error)
{
    const Owner *owner = data;

    return verify_pid(owner->root, owner->domain->pid, owner->domain->uuid, error);
}

/* Open before the command line is looked at: a process that had the PID before the domain's QEMU is
 * gone by then, and nothing can be written to it. */
static gboolean
write_pid_file(MfRoot *root, const MfDomain *domain, const char *file, const char *text,
               GError **error)
{
    g_autofree char *path = g_strdup_printf("proc/%" G_GINT64_FORMAT "/%s", domain->pid, file);
    Owner owner = {root, domain};

    if (!mf_root_write_checked(root, path, text, is_still_the_domains, &owner, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_proc_write_ksm_group(MfRoot *root, const MfDomain *domain, const char *group, GError **error)
{
    return write_pid_file(root, domain, "ksm_group", group, error);
}

gboolean
mf_proc_write_ksm_flags(MfRoot *root, const MfDomain *domain, const char *word, GError **error)
{
    return write_pid_file(root, domain, "ksm_flags", word, error);
}

gboolean
mf_proc_read_smaps(MfRoot *root, guint64 page_size_bytes, MfDomain *domain, GError **error)
{
    MfArea area;
    MfU64 zero_pages = MF_U64_ABSENT;

    if (!read_area(root, domain->pid, &area, error) ||
        !verify_pid(root, domain->pid, domain->uuid, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return FALSE;
    }
    if (domain->zero_bytes.known && page_size_bytes > 0) {
        zero_pages = MF_U64(domain->zero_bytes.value / page_size_bytes);
    }
    domain->mergeable_bytes = MF_U64(area.size_bytes);
    domain->resident_bytes = MF_U64(area.resident_bytes);
    domain->merged_bytes = area.merged_bytes;
    domain->saved_bytes = mf_account_saved_bytes(TRUE, &area, zero_pages, page_size_bytes);
    domain->huge_bytes = area.huge_bytes;
    domain->swapped_bytes = area.swapped_bytes;
    return TRUE;
}

gboolean
mf_proc_read_nodes(MfRoot *root, MfDomain *domain, GError **error)
{
    gsize length_bytes;
    g_autoptr(GError) cause = NULL;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "numa_maps", NUMA_BYTES, &length_bytes, &cause);
    MfNodes nodes = {0};

    domain->main_node = MF_U64_ABSENT;
    domain->other_node_bytes = MF_U64_ABSENT;
    if (text == NULL && mf_error_is_unsupported(cause)) {
        return TRUE;
    }
    if (text == NULL || !mf_parse_numa_maps(text, length_bytes, &nodes, &cause) ||
        !verify_pid(root, domain->pid, domain->uuid, &cause)) {
        g_propagate_prefixed_error(error, g_steal_pointer(&cause), "domain %s: ", domain->name);
        return FALSE;
    }
    domain->main_node = nodes.main_node;
    if (nodes.main_node.known) {
        domain->other_node_bytes = MF_U64(nodes.other_bytes);
    }
    return TRUE;
}

gboolean
mf_proc_read_resident(MfRoot *root, guint64 page_size_bytes, const MfDomain *domain,
                      guint64 *ret_resident_bytes, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "statm", STATM_BYTES, &length_bytes, error);
    guint64 resident_pages;

    if (text == NULL || !mf_parse_statm(text, length_bytes, &resident_pages, error) ||
        !verify_pid(root, domain->pid, domain->uuid, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return FALSE;
    }
    *ret_resident_bytes = mf_mul_sat(resident_pages, page_size_bytes);
    return TRUE;
}

gboolean
mf_proc_is_stopped(MfRoot *root, gint64 pid)
{
    gsize length_bytes;
    g_autofree char *text = mf_proc_read_file(root, pid, "stat", STAT_BYTES, &length_bytes, NULL);
    MfProcStat stat;

    return text != NULL && mf_parse_stat(text, length_bytes, &stat, NULL) &&
           (stat.state == 'T' || stat.state == 't');
}

GArray *
mf_proc_read_private_memory(MfRoot *root, const MfDomain *domain, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "maps", MAPS_BYTES, &length_bytes, error);
    g_autoptr(GArray) stretches =
        text != NULL ? mf_parse_maps_private(text, length_bytes, error) : NULL;

    if (stretches == NULL || !verify_pid(root, domain->pid, domain->uuid, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return NULL;
    }
    return g_steal_pointer(&stretches);
}

GArray *
mf_proc_read_mergeable(MfRoot *root, gint64 pid, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, pid, "smaps", SMAPS_BYTES, &length_bytes, error);

    return text != NULL ? mf_parse_smaps_mergeable(text, length_bytes, error) : NULL;
}

char *
mf_proc_read_comm(MfRoot *root, gint64 pid)
{
    g_autofree char *text = mf_proc_read_file(root, pid, "comm", COMM_BYTES, NULL, NULL);

    return text != NULL ? mf_text_printable(g_strchomp(text), COMM_BYTES) : g_strdup("?");
}

GArray *
mf_proc_read_guest_memory(MfRoot *root, const MfDomain *domain, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "smaps", SMAPS_BYTES, &length_bytes, error);
    g_autoptr(GArray) stretches =
        text != NULL ? mf_parse_smaps_guest(text, length_bytes, error) : NULL;

    if (stretches == NULL || !verify_pid(root, domain->pid, domain->uuid, error)) {
        g_prefix_error(error, "domain %s: ", domain->name);
        return NULL;
    }
    return g_steal_pointer(&stretches);
}

char *
mf_proc_read_cgroup(MfRoot *root, const MfDomain *domain, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(root, domain->pid, "cgroup", CGROUP_BYTES, &length_bytes, error);
    g_autofree char *path =
        text != NULL ? mf_parse_cgroup_of_domain(text, length_bytes, error) : NULL;

    if (path == NULL || !verify_pid(root, domain->pid, domain->uuid, error)) {
        return NULL;
    }
    return g_steal_pointer(&path);
}
