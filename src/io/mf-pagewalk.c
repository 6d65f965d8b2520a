/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of pagemap, and a look at the flags of what somebody else maps, too. */
#include "mf-pagewalk.h"

#include <errno.h>
#include <unistd.h>

#include "../core/mf-audit.h"
#include "../core/mf-error.h"
#include "../core/mf-parse.h"
#include "../core/mf-units.h"
#include "mf-proc.h"

#define PIECE_PAGES 4096

/* Documentation/admin-guide/mm/pagemap.rst, include/uapi/linux/kernel-page-flags.h */
#define PAGEMAP_PRESENT   (G_GUINT64_CONSTANT(1) << 63)
#define PAGEMAP_SWAPPED   (G_GUINT64_CONSTANT(1) << 62)
#define PAGEMAP_FILE      (G_GUINT64_CONSTANT(1) << 61)
#define PAGEMAP_EXCLUSIVE (G_GUINT64_CONSTANT(1) << 56)
#define PAGEMAP_WHERE     ((G_GUINT64_CONSTANT(1) << 55) - 1)
#define FLAG_KSM          (G_GUINT64_CONSTANT(1) << 21)
#define FLAG_ZERO_PAGE    (G_GUINT64_CONSTANT(1) << 24)
/* Of a slot in swap the lowest five bits are the device; the kernel keeps the last ones for pages
 * that are being moved, and for marks (include/linux/swap.h, MAX_SWAPFILES). */
#define SWAP_DEVICE      0x1f
#define SWAP_DEVICES_MAX 23

/* A pagemap that is kept open for the next look. */
typedef struct {
    gint64 pid;
    int fd;
} Kept;

struct _MfPagewalk {
    MfRoot *root;
    int flags;
    int counts;
    guint64 page_size_bytes;
    Kept kept[2];
};

typedef int AutoFd;

static void
auto_close(AutoFd *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AutoFd, auto_close)

/* One process while it is looked at. */
typedef struct {
    MfPagewalk *walk;
    int pagemap;
    const MfPagewalkSink *sink;
    gpointer user_data;
    GCancellable *cancellable;
    MfPagewalkCounts counts;
} Reading;

static int
open_table(MfRoot *root, const char *path, GError **error)
{
    g_autoptr(GError) cause = NULL;
    int fd = mf_root_open(root, path, &cause);

    if (fd < 0 && mf_error_is_gone(cause)) {
        g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                    "this kernel has no /%s (CONFIG_PROC_PAGE_MONITOR)", path);
    } else if (fd < 0) {
        g_propagate_error(error, g_steal_pointer(&cause));
    }
    return fd;
}

MfPagewalk *
mf_pagewalk_new(MfRoot *root, GError **error)
{
    g_autoptr(MfPagewalk) walk = g_new0(MfPagewalk, 1);

    walk->root = mf_root_ref(root);
    walk->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    walk->kept[0].fd = -1;
    walk->kept[1].fd = -1;
    walk->counts = -1;
    walk->flags = open_table(root, "proc/kpageflags", error);
    if (walk->flags >= 0) {
        walk->counts = open_table(root, "proc/kpagecount", error);
    }
    return walk->counts >= 0 ? g_steal_pointer(&walk) : NULL;
}

void
mf_pagewalk_free(MfPagewalk *walk)
{
    if (walk != NULL) {
        auto_close(&walk->kept[0].fd);
        auto_close(&walk->kept[1].fd);
        auto_close(&walk->counts);
        auto_close(&walk->flags);
        mf_root_unref(walk->root);
        g_free(walk);
    }
}

static gboolean
read_word(int fd, guint64 number, guint64 *ret_word)
{
    return TEMP_FAILURE_RETRY(pread(fd, ret_word, sizeof(*ret_word),
                                    (off_t)(number * sizeof(*ret_word)))) == sizeof(*ret_word);
}

/* Whether the entry is of a page that may be shared, and its key: 0 when that can't be told, since
 * the page is on its way somewhere else. */
static gboolean
find_key(const MfPagewalk *walk, guint64 entry, guint64 *ret_key)
{
    guint64 flags = 0;

    *ret_key = 0;
    if ((entry & PAGEMAP_SWAPPED) != 0) {
        if ((entry & SWAP_DEVICE) < SWAP_DEVICES_MAX) {
            *ret_key = (entry & PAGEMAP_WHERE) | MF_AUDIT_KEY_SWAP;
        }
        return TRUE;
    }
    if ((entry & PAGEMAP_PRESENT) == 0 || (entry & (PAGEMAP_FILE | PAGEMAP_EXCLUSIVE)) != 0) {
        return FALSE;
    }
    if (!read_word(walk->flags, entry & PAGEMAP_WHERE, &flags)) {
        return TRUE;
    }
    *ret_key = (flags & FLAG_KSM) != 0 ? entry & PAGEMAP_WHERE : 0;
    return (flags & FLAG_ZERO_PAGE) == 0;
}

static gboolean
look_at(Reading *reading, guint64 address_bytes, guint64 entry, GError **error)
{
    guint64 key;

    if ((entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) == 0) {
        return TRUE;
    }
    /* The kernel hides where pages are by zeroes, and none is in frame 0, or there in swap. */
    if ((entry & PAGEMAP_WHERE) == 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_DENIED,
                    "the kernel hides page frames from who has no CAP_SYS_ADMIN");
        return FALSE;
    }
    reading->counts.looked_pages++;
    if (!find_key(reading->walk, entry, &key)) {
        return TRUE;
    }
    if ((key & MF_AUDIT_KEY_SWAP) != 0) {
        reading->counts.swapped_pages++;
    } else if (key != 0) {
        reading->counts.merged_pages++;
    }
    reading->sink->page(address_bytes, key, reading->user_data);
    return TRUE;
}

/* Gives how many pages were looked at, or -1. */
static gssize
look_at_piece(Reading *reading, guint64 start_bytes, guint64 pages, GError **error)
{
    guint64 page_size_bytes = reading->walk->page_size_bytes;
    guint64 entries[PIECE_PAGES];
    gsize wanted_bytes = MIN(pages, PIECE_PAGES) * sizeof(entries[0]);
    ssize_t got_bytes =
        TEMP_FAILURE_RETRY(pread(reading->pagemap, entries, wanted_bytes,
                                 (off_t)(start_bytes / page_size_bytes * sizeof(entries[0]))));

    if (g_cancellable_set_error_if_cancelled(reading->cancellable, error)) {
        return -1;
    }
    if (got_bytes < (ssize_t)sizeof(entries[0])) {
        int saved_errno = got_bytes < 0 ? errno : ESRCH;
        g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno), "its pagemap: %s",
                    g_strerror(saved_errno));
        return -1;
    }
    gssize entry_count = got_bytes / (gssize)sizeof(entries[0]);
    for (gssize i = 0; i < entry_count; i++) {
        if (!look_at(reading, start_bytes + (guint64)i * page_size_bytes, entries[i], error)) {
            return -1;
        }
    }
    return entry_count;
}

static gboolean
look_at_all(Reading *reading, const GArray *stretches, GError **error)
{
    guint64 page_size_bytes = reading->walk->page_size_bytes;
    guint64 total_pages = 0;
    guint64 done_pages = 0;

    for (guint i = 0; i < stretches->len; i++) {
        const MfStretch *stretch = &g_array_index(stretches, MfStretch, i);
        total_pages += (stretch->end_bytes - stretch->start_bytes) / page_size_bytes;
    }
    for (guint i = 0; i < stretches->len; i++) {
        const MfStretch *stretch = &g_array_index(stretches, MfStretch, i);
        guint64 at_bytes = stretch->start_bytes;

        while (at_bytes < stretch->end_bytes) {
            gssize pages = look_at_piece(reading, at_bytes,
                                         (stretch->end_bytes - at_bytes) / page_size_bytes, error);
            if (pages < 0) {
                return FALSE;
            }
            at_bytes += (guint64)pages * page_size_bytes;
            done_pages += (guint64)pages;
            reading->sink->advance((guint)mf_mul_div(done_pages, MF_PERMYRIAD, total_pages),
                                   reading->user_data);
        }
    }
    return TRUE;
}

static int
open_pagemap(MfPagewalk *walk, gint64 pid, GError **error)
{
    g_autofree char *path = g_strdup_printf("proc/%" G_GINT64_FORMAT "/pagemap", pid);

    return mf_root_open(walk->root, path, error);
}

gboolean
mf_pagewalk_read(MfPagewalk *walk, const MfDomain *domain, const MfPagewalkSink *sink,
                 gpointer user_data, MfPagewalkCounts *counts, GCancellable *cancellable,
                 GError **error)
{
    g_auto(AutoFd) pagemap = open_pagemap(walk, domain->pid, error);
    /* Opened before the PID is verified, the file stays that of the process that had it. */
    g_autoptr(GArray) stretches =
        pagemap >= 0 ? mf_proc_read_private_memory(walk->root, domain, error) : NULL;
    Reading reading = {walk, pagemap, sink, user_data, cancellable, {0}};
    gboolean is_done = stretches != NULL && look_at_all(&reading, stretches, error);

    if (counts != NULL) {
        *counts = reading.counts;
    }
    return is_done;
}

gboolean
mf_pagewalk_read_other(MfPagewalk *walk, gint64 pid, const MfPagewalkSink *sink, gpointer user_data,
                       GCancellable *cancellable, GError **error)
{
    g_auto(AutoFd) pagemap = open_pagemap(walk, pid, error);
    g_autoptr(GArray) stretches =
        pagemap >= 0 ? mf_proc_read_mergeable(walk->root, pid, error) : NULL;
    Reading reading = {walk, pagemap, sink, user_data, cancellable, {0}};

    return stretches != NULL && look_at_all(&reading, stretches, error);
}

MfU64
mf_pagewalk_count_mappings(MfPagewalk *walk, guint64 frame)
{
    guint64 count;

    return read_word(walk->counts, frame, &count) ? MF_U64(count) : MF_U64_ABSENT;
}

gboolean
mf_pagewalk_has_key(MfPagewalk *walk, guint slot, MfPagePlace place, guint64 wanted_key)
{
    Kept *kept = &walk->kept[slot];
    guint64 entry;
    guint64 key;

    if (kept->fd < 0 || kept->pid != place.pid) {
        auto_close(&kept->fd);
        kept->fd = open_pagemap(walk, place.pid, NULL);
        kept->pid = place.pid;
    }
    return kept->fd >= 0 &&
           read_word(kept->fd, place.address_bytes / walk->page_size_bytes, &entry) &&
           find_key(walk, entry, &key) && key == wanted_key;
}
