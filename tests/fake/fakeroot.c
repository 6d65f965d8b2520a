/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the files of a host that does not exist; see the header. */
#include "fakeroot.h"

#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY_UID 65534
#define KSM_DIR    "sys/kernel/mm/ksm"
#define KSMD_PID   39

struct _FakeRoot {
    char *path;
};

static char *
full_path(const FakeRoot *fake, const char *path)
{
    return g_build_filename(fake->path, path, NULL);
}

static void
write_bytes(FakeRoot *fake, const char *path, const char *bytes, gsize length_bytes)
{
    g_autofree char *full = full_path(fake, path);
    g_autofree char *parent = g_path_get_dirname(full);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    /* Written over, a longer text would keep its end. */
    g_unlink(full);
    g_file_set_contents_full(full, bytes, (gssize)length_bytes, G_FILE_SET_CONTENTS_NONE, 0644,
                             &error);
    g_assert_no_error(error);
}

G_GNUC_PRINTF(3, 4)
static void
write_text(FakeRoot *fake, const char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    write_bytes(fake, path, text, strlen(text));
}

static int
remove_entry(const char *path, const struct stat *status G_GNUC_UNUSED, int kind G_GNUC_UNUSED,
             struct FTW *where G_GNUC_UNUSED)
{
    return remove(path);
}

static void
remove_tree(const FakeRoot *fake, const char *path)
{
    g_autofree char *full = full_path(fake, path);

    if (nftw(full, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        g_error("can't remove %s: %s", full, g_strerror(errno));
    }
}

FakeRoot *
fake_root_new(void)
{
    static const struct {
        const char *name;
        const char *value;
    } knobs[] = {
        {"run", "0"},
        {"pages_to_scan", "100"},
        {"sleep_millisecs", "20"},
        {"pages_shared", "0"},
        {"pages_sharing", "0"},
        {"pages_unshared", "0"},
        {"pages_scanned", "0"},
        {"ksm_zero_pages", "0"},
        {"full_scans", "0"},
        {"use_zero_pages", "0"},
        {"smart_scan", "1"},
        {"max_page_sharing", "256"},
        {"general_profit", "0"},
        {"advisor_mode", "[none] scan-time"},
    };
    FakeRoot *fake = g_new0(FakeRoot, 1);
    g_autoptr(GError) error = NULL;

    fake->path = g_dir_make_tmp("memfold-fake-XXXXXX", &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_chmod(fake->path, 0755), ==, 0);
    fake_root_set_memory(fake, 8 << 20, 6 << 20);
    for (guint i = 0; i < G_N_ELEMENTS(knobs); i++) {
        fake_root_set_ksm(fake, knobs[i].name, knobs[i].value);
    }
    fake_root_set_ksmd(fake, 0, TRUE);
    return fake;
}

void
fake_root_free(FakeRoot *fake)
{
    remove_tree(fake, "");
    g_free(fake->path);
    g_free(fake);
}

MfRoot *
fake_root_open(const FakeRoot *fake)
{
    g_autoptr(GError) error = NULL;
    MfRoot *root = mf_root_new(fake->path, &error);

    g_assert_no_error(error);
    return root;
}

const char *
fake_root_get_path(const FakeRoot *fake)
{
    return fake->path;
}

void
fake_root_set_memory(FakeRoot *fake, guint64 total_kib, guint64 available_kib)
{
    write_text(fake, "proc/meminfo",
               "MemTotal:       %8" G_GUINT64_FORMAT " kB\n"
               "MemFree:        %8" G_GUINT64_FORMAT " kB\n"
               "MemAvailable:   %8" G_GUINT64_FORMAT " kB\n"
               "SwapTotal:             0 kB\n"
               "SwapFree:              0 kB\n",
               total_kib, available_kib, available_kib);
}

void
fake_root_set_ksm(FakeRoot *fake, const char *name, const char *value)
{
    g_autofree char *path = g_build_filename(KSM_DIR, name, NULL);

    write_text(fake, path, "%s\n", value);
}

char *
fake_root_get_ksm(const FakeRoot *fake, const char *name)
{
    g_autofree char *full = g_build_filename(fake->path, KSM_DIR, name, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(full, &text, NULL, &error);
    g_assert_no_error(error);
    return g_strstrip(text);
}

void
fake_root_remove_ksm(FakeRoot *fake, const char *name)
{
    g_autofree char *path = g_build_filename(KSM_DIR, name, NULL);

    remove_tree(fake, path);
}

void
fake_root_chmod_ksm(FakeRoot *fake, const char *name, guint mode)
{
    g_autofree char *path = g_build_filename(KSM_DIR, name, NULL);

    fake_root_chmod_file(fake, path, mode);
}

/* A process without memory of its own; parent 2 makes a kernel thread. */
static void
write_process(FakeRoot *fake, gint64 pid, gint64 parent_pid, const char *comm, guint64 cpu_ticks,
              const char *cmdline, gsize cmdline_bytes)
{
    g_autofree char *directory = g_strdup_printf("proc/%" G_GINT64_FORMAT, pid);
    g_autofree char *comm_path = g_build_filename(directory, "comm", NULL);
    g_autofree char *stat_path = g_build_filename(directory, "stat", NULL);
    g_autofree char *cmdline_path = g_build_filename(directory, "cmdline", NULL);
    g_autofree char *ksm_stat_path = g_build_filename(directory, "ksm_stat", NULL);
    g_autofree char *smaps_path = g_build_filename(directory, "smaps", NULL);

    write_bytes(fake, ksm_stat_path, "", 0);
    write_bytes(fake, smaps_path, "", 0);
    write_text(fake, comm_path, "%s\n", comm);
    write_text(fake, stat_path,
               "%" G_GINT64_FORMAT " (%s) S %" G_GINT64_FORMAT " 0 0 0 -1 2097216 0 0 0 0 "
               "0 %" G_GUINT64_FORMAT " 0 0 25 5 1 0 24 0 0\n",
               pid, comm, parent_pid, cpu_ticks);
    write_bytes(fake, cmdline_path, cmdline, cmdline_bytes);
}

void
fake_root_set_ksmd(FakeRoot *fake, guint64 cpu_msec, gboolean with_children)
{
    guint64 ticks_per_sec = (guint64)sysconf(_SC_CLK_TCK);

    write_process(fake, 2, 0, "kthreadd", 0, "", 0);
    write_process(fake, 3, 2, "pool_workqueue_release", 0, "", 0);
    write_process(fake, KSMD_PID, 2, "ksmd", cpu_msec * ticks_per_sec / 1000, "", 0);
    remove_tree(fake, "proc/2/task");
    if (with_children) {
        write_text(fake, "proc/2/task/2/children", "3 %d 977 ", KSMD_PID);
    }
}

void
fake_root_add_process(FakeRoot *fake, gint64 pid, const char *comm, const char *const *arguments)
{
    g_autoptr(GString) cmdline = g_string_new(NULL);
    FakeDomain nothing = {.pid = pid};

    for (guint i = 0; arguments[i] != NULL; i++) {
        g_string_append_len(cmdline, arguments[i], (gssize)strlen(arguments[i]) + 1);
    }
    write_process(fake, pid, 1, comm, 7, cmdline->str, cmdline->len);
    fake_root_set_process_ksm(fake, &nothing);
}

void
fake_root_set_process_ksm(FakeRoot *fake, const FakeDomain *figures)
{
    g_autofree char *directory = g_strdup_printf("proc/%" G_GINT64_FORMAT, figures->pid);
    g_autofree char *ksm_stat_path = g_build_filename(directory, "ksm_stat", NULL);
    g_autofree char *smaps_path = g_build_filename(directory, "smaps", NULL);

    write_text(fake, ksm_stat_path,
               "ksm_rmap_items %" G_GUINT64_FORMAT "\n"
               "ksm_zero_pages %" G_GUINT64_FORMAT "\n"
               "ksm_merging_pages %" G_GUINT64_FORMAT "\n"
               "ksm_process_profit %" G_GINT64_FORMAT "\n",
               figures->rmap_items_pages, figures->zero_pages, figures->merging_pages,
               figures->profit_bytes);
    write_text(fake, smaps_path,
               "55d0e7b3f000-55d0e7f46000 r-xp 00000000 fe:00 77    /usr/bin/program\n"
               "Size:               4124 kB\nRss:                1284 kB\n"
               "Pss:                 666 kB\nKSM:                   0 kB\n"
               "VmFlags: rd ex mr mw me \n"
               "7f0000000000-7f0010000000 rw-p 00000000 00:00 0 \n"
               "Size: %" G_GUINT64_FORMAT " kB\nRss: %" G_GUINT64_FORMAT " kB\n"
               "Pss: %" G_GUINT64_FORMAT " kB\nKSM: %" G_GUINT64_FORMAT " kB\n"
               "VmFlags: rd wr mr mw me ac %s \n",
               figures->mergeable_kib, figures->resident_kib, figures->proportional_kib,
               figures->merged_kib, figures->mergeable_kib > 0 ? "mg" : "sd");
}

void
fake_root_add_domain(FakeRoot *fake, const FakeDomain *domain)
{
    g_autofree char *guest = g_strdup_printf("guest=%s,debug-threads=on", domain->name);
    g_autofree char *pid_path = g_strdup_printf("run/libvirt/qemu/%s.pid", domain->name);
    const char *arguments[] = {"/usr/bin/qemu-system-x86_64",
                               "-name",
                               guest,
                               "-S",
                               "-uuid",
                               domain->uuid,
                               "-no-user-config",
                               NULL};

    fake_root_add_process(fake, domain->pid, "qemu-system-x86", arguments);
    fake_root_set_process_ksm(fake, domain);
    write_text(fake, pid_path, "%" G_GINT64_FORMAT "\n", domain->pid);
}

void
fake_root_end_process(FakeRoot *fake, gint64 pid)
{
    g_autofree char *directory = g_strdup_printf("proc/%" G_GINT64_FORMAT, pid);

    remove_tree(fake, directory);
}

void
fake_root_set_file(FakeRoot *fake, const char *path, const char *text)
{
    write_bytes(fake, path, text, strlen(text));
}

void
fake_root_remove_file(FakeRoot *fake, const char *path)
{
    remove_tree(fake, path);
}

void
fake_root_chmod_file(FakeRoot *fake, const char *path, guint mode)
{
    g_autofree char *full = full_path(fake, path);

    g_assert_cmpint(g_chmod(full, (int)mode), ==, 0);
}

void
fake_root_set_link(FakeRoot *fake, const char *path, const char *target)
{
    g_autofree char *full = full_path(fake, path);
    g_autofree char *parent = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    g_assert_cmpint(symlink(target, full), ==, 0);
}

void
fake_root_be_nobody(gboolean nobody)
{
    if (getuid() == 0) {
        g_assert_cmpint(seteuid(nobody ? NOBODY_UID : 0), ==, 0);
    }
}
