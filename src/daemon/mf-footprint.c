/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-footprint.h"

#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENAS_MAX      2
#define MMAP_FROM_BYTES (128 * 1024)
#define FIRST_TRIM_SEC  5
#define TRIM_SEC        60

void
mf_footprint_limit(void)
{
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    /* Setting it keeps glibc from raising it: a big smaps text is unmapped when it is freed. */
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
    mallopt(M_TRIM_THRESHOLD, MMAP_FROM_BYTES);
}

/* Segments that are never written hold nothing that is not in their file. */
static int
drop_clean_segments(struct dl_phdr_info *info, G_GNUC_UNUSED size_t size_bytes,
                    G_GNUC_UNUSED void *data)
{
    guintptr page_bytes = (guintptr)sysconf(_SC_PAGESIZE);

    if (strstr(info->dlpi_name, "vdso")) {
        return 0;
    }
    for (guint i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        guintptr begin = info->dlpi_addr + segment->p_vaddr;
        guintptr end = begin + segment->p_filesz;

        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) {
            continue;
        }
        begin -= begin % page_bytes;
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

static gboolean
on_trim(G_GNUC_UNUSED gpointer data)
{
    malloc_trim(0);
    dl_iterate_phdr(drop_clean_segments, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_first_trim(gpointer data)
{
    on_trim(data);
    g_timeout_add_seconds(TRIM_SEC, on_trim, NULL);
    return G_SOURCE_REMOVE;
}

void
mf_footprint_keep_small(void)
{
    g_timeout_add_seconds(FIRST_TRIM_SEC, on_first_trim, NULL);
}
