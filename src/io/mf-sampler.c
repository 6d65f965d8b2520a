/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of a guest: ask what is there, read that, hash it, wipe it, wait. */
#include "mf-sampler.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "../core/mf-error.h"
#include "../core/mf-parse.h"
#include "../core/mf-units.h"
#include "mf-proc.h"

#define PIECE_BYTES     (1024 * 1024)
#define PIECE_PAGES_MAX 256 /* no host has pages below 4 KiB */
#define KEY_BYTES       192
#define NAP_USEC        (50 * 1000)
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (G_GUINT64_CONSTANT(1) << 63)

/* What must not be seen from outside, and stands in no core dump. */
typedef struct {
    guint8 piece[PIECE_BYTES];
    guint8 key[KEY_BYTES];
} Secret;

struct _MfSampler {
    MfRoot *root;
    Secret *secret;
    guint64 rate_bytes;
    guint64 page_size_bytes;
    gint64 due_usec; /* not to read on before */
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

/* One domain while it is read. */
typedef struct {
    MfSampler *sampler;
    const MfSamplerSink *sink;
    gpointer user_data;
    GCancellable *cancellable;
    int memory;
    int pagemap;
    guint64 total_bytes;
    guint64 done_bytes;
} Reading;

static gboolean
fill_key(MfSampler *sampler, GError **error)
{
    gsize got_bytes = 0;

    while (got_bytes < KEY_BYTES) {
        ssize_t more_bytes = TEMP_FAILURE_RETRY(
            getrandom(sampler->secret->key + got_bytes, KEY_BYTES - got_bytes, 0));
        if (more_bytes < 0) {
            int saved_errno = errno;
            g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "no random key: %s",
                        g_strerror(saved_errno));
            return FALSE;
        }
        got_bytes += (gsize)more_bytes;
    }
    return TRUE;
}

MfSampler *
mf_sampler_new(MfRoot *root, guint64 rate_bytes, GError **error)
{
    void *secret =
        mmap(NULL, sizeof(Secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (secret == MAP_FAILED || madvise(secret, sizeof(Secret), MADV_DONTDUMP) != 0) {
        int saved_errno = errno;
        g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "no memory to read guests into: %s",
                    g_strerror(saved_errno));
        if (secret != MAP_FAILED) {
            munmap(secret, sizeof(Secret));
        }
        return NULL;
    }
    g_autoptr(MfSampler) sampler = g_new0(MfSampler, 1);
    sampler->root = mf_root_ref(root);
    sampler->secret = secret;
    sampler->rate_bytes = rate_bytes;
    sampler->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    return fill_key(sampler, error) ? g_steal_pointer(&sampler) : NULL;
}

void
mf_sampler_free(MfSampler *sampler)
{
    if (sampler != NULL) {
        explicit_bzero(sampler->secret, sizeof(Secret));
        munmap(sampler->secret, sizeof(Secret));
        mf_root_unref(sampler->root);
        g_free(sampler);
    }
}

/* Waits until so much may have been read.  What was not used of the rate is not made up for. */
static gboolean
pace(Reading *reading, guint64 read_bytes, GError **error)
{
    MfSampler *sampler = reading->sampler;
    gint64 now_usec = g_get_monotonic_time();

    sampler->due_usec = MAX(sampler->due_usec, now_usec) +
                        (gint64)mf_mul_div(read_bytes, G_USEC_PER_SEC, sampler->rate_bytes);
    while (now_usec < sampler->due_usec && !g_cancellable_is_cancelled(reading->cancellable)) {
        g_usleep((gulong)MIN(sampler->due_usec - now_usec, NAP_USEC));
        now_usec = g_get_monotonic_time();
    }
    return !g_cancellable_set_error_if_cancelled(reading->cancellable, error);
}

static gboolean
fail(GError **error, const char *what, int saved_errno)
{
    g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno), "%s of its QEMU: %s", what,
                g_strerror(saved_errno));
    return FALSE;
}

static void
hash_pages(const Reading *reading, gsize length_bytes)
{
    const Secret *secret = reading->sampler->secret;
    gsize page_size_bytes = reading->sampler->page_size_bytes;

    for (gsize at = 0; at + page_size_bytes <= length_bytes; at += page_size_bytes) {
        const guint8 *page = secret->piece + at;
        gboolean is_zero = page[0] == 0 && memcmp(page, page + 1, page_size_bytes - 1) == 0;
        guint64 hash =
            is_zero ? 0 : XXH3_64bits_withSecret(page, page_size_bytes, secret->key, KEY_BYTES);

        reading->sink->page(hash, is_zero, reading->user_data);
    }
}

/* Reads pages that were there a moment ago.  What can't be read any more (the area was unmapped) is
 * none of the guest's now. */
static gboolean
read_run(const Reading *reading, guint64 start_bytes, gsize length_bytes, GError **error)
{
    Secret *secret = reading->sampler->secret;
    ssize_t got_bytes =
        TEMP_FAILURE_RETRY(pread(reading->memory, secret->piece, length_bytes, (off_t)start_bytes));

    if (got_bytes < 0 && errno != EIO && errno != EFAULT) {
        return fail(error, "memory", errno);
    }
    if (got_bytes == 0) {
        return fail(error, "memory", ESRCH);
    }
    if (got_bytes > 0) {
        hash_pages(reading, (gsize)got_bytes);
        explicit_bzero(secret->piece, (gsize)got_bytes);
    }
    return TRUE;
}

static gboolean
read_piece(Reading *reading, guint64 start_bytes, gsize length_bytes, GError **error)
{
    guint64 page_size_bytes = reading->sampler->page_size_bytes;
    guint64 entries[PIECE_PAGES_MAX];
    gsize wanted_bytes = length_bytes / page_size_bytes * sizeof(entries[0]);
    ssize_t got_bytes =
        TEMP_FAILURE_RETRY(pread(reading->pagemap, entries, wanted_bytes,
                                 (off_t)(start_bytes / page_size_bytes * sizeof(entries[0]))));
    guint64 read_bytes = 0;

    if (got_bytes <= 0) {
        return fail(error, "pagemap", got_bytes < 0 ? errno : ESRCH);
    }
    gsize entry_count = (gsize)got_bytes / sizeof(entries[0]);
    for (gsize first = 0; first < entry_count; first++) {
        gsize end = first;
        while (end < entry_count && (entries[end] & PAGEMAP_PRESENT) != 0) {
            end++;
        }
        if (end > first) {
            gsize run_bytes = (end - first) * page_size_bytes;
            if (!read_run(reading, start_bytes + first * page_size_bytes, run_bytes, error)) {
                return FALSE;
            }
            read_bytes += run_bytes;
            first = end;
        }
    }
    return pace(reading, read_bytes, error);
}

static gboolean
read_stretch(Reading *reading, const MfStretch *stretch, GError **error)
{
    guint64 at_bytes = stretch->start_bytes;

    while (at_bytes < stretch->end_bytes) {
        guint64 length_bytes = MIN(stretch->end_bytes - at_bytes, PIECE_BYTES);
        if (!read_piece(reading, at_bytes, length_bytes, error)) {
            return FALSE;
        }
        at_bytes += length_bytes;
        reading->done_bytes += length_bytes;
        reading->sink->advance(
            (guint)mf_mul_div(reading->done_bytes, MF_PERMYRIAD, reading->total_bytes),
            reading->user_data);
    }
    return TRUE;
}

gboolean
mf_sampler_read(MfSampler *sampler, const MfDomain *domain, const MfSamplerSink *sink,
                gpointer user_data, GCancellable *cancellable, GError **error)
{
    g_autofree char *memory_path = g_strdup_printf("proc/%" G_GINT64_FORMAT "/mem", domain->pid);
    g_autofree char *pagemap_path =
        g_strdup_printf("proc/%" G_GINT64_FORMAT "/pagemap", domain->pid);
    g_auto(AutoFd) memory = mf_root_open(sampler->root, memory_path, error);
    g_auto(AutoFd) pagemap = memory >= 0 ? mf_root_open(sampler->root, pagemap_path, error) : -1;
    /* Opened before the PID is verified, the files stay those of the process that had it. */
    g_autoptr(GArray) stretches =
        pagemap >= 0 ? mf_proc_read_guest_memory(sampler->root, domain, error) : NULL;
    Reading reading = {sampler, sink, user_data, cancellable, memory, pagemap, 0, 0};

    if (stretches == NULL) {
        return FALSE;
    }
    for (guint i = 0; i < stretches->len; i++) {
        const MfStretch *stretch = &g_array_index(stretches, MfStretch, i);
        reading.total_bytes += stretch->end_bytes - stretch->start_bytes;
    }
    for (guint i = 0; i < stretches->len; i++) {
        if (!read_stretch(&reading, &g_array_index(stretches, MfStretch, i), error)) {
            return FALSE;
        }
    }
    return TRUE;
}
