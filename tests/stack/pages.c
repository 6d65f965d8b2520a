/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames processes have in common, as the kernel's page tables say: the judge that no counter
 * can fool.
 *
 *   pages PID...
 *
 * For each process "PID ksm=N anonymous=N zero=N", for each two of them that have any "PID PID
 * common=N first=FRAME", the lowest of them.  What is looked at is all private writable memory; the
 * one zero page of the kernel, which all may have, is counted apart. Sources:
 * Documentation/admin-guide/mm/pagemap.rst.  Needs CAP_SYS_ADMIN.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE_BYTES 4096ULL
#define PRESENT    (1ULL << 63)
#define FRAME      ((1ULL << 55) - 1)
#define KPF_ANON   (1ULL << 12)
#define KPF_KSM    (1ULL << 21)
#define KPF_ZERO   (1ULL << 24)
#define BATCH      512

struct process {
    const char *pid;
    uint64_t *frames;
    size_t count, room;
    size_t ksm, zero;
};

static int flags_fd;

static FILE *
open_of(const char *pid, const char *name)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
    file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void
take_frame(struct process *process, uint64_t frame)
{
    uint64_t flags;

    if (frame == 0 ||
        pread(flags_fd, &flags, sizeof flags, (off_t)(frame * sizeof flags)) != sizeof flags) {
        fputs("pages: frames can't be read: this needs CAP_SYS_ADMIN\n", stderr);
        exit(1);
    }
    process->ksm += (flags & KPF_KSM) != 0;
    process->zero += (flags & KPF_ZERO) != 0;
    if (!(flags & (KPF_ANON | KPF_KSM)) || (flags & KPF_ZERO))
        return;
    if (process->count == process->room) {
        process->room = process->room ? 2 * process->room : 4096;
        process->frames = realloc(process->frames, process->room * sizeof *process->frames);
        if (!process->frames)
            abort();
    }
    process->frames[process->count++] = frame;
}

static void
take_area(struct process *process, int pagemap_fd, uint64_t start, uint64_t end)
{
    uint64_t entries[BATCH];

    for (uint64_t at = start; at < end; at += BATCH * PAGE_BYTES) {
        uint64_t pages = (end - at) / PAGE_BYTES < BATCH ? (end - at) / PAGE_BYTES : BATCH;
        ssize_t got = pread(pagemap_fd, entries, pages * sizeof *entries,
                            (off_t)(at / PAGE_BYTES * sizeof *entries));

        for (ssize_t i = 0; i < got / (ssize_t)sizeof *entries; i++) {
            if (entries[i] & PRESENT)
                take_frame(process, entries[i] & FRAME);
        }
    }
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void
look(struct process *process)
{
    FILE *maps = open_of(process->pid, "maps");
    FILE *pagemap = open_of(process->pid, "pagemap");
    uint64_t start, end;
    char rights[5], line[1024];

    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, rights) == 3 &&
            rights[1] == 'w' && rights[3] == 'p')
            take_area(process, fileno(pagemap), start, end);
    }
    fclose(maps);
    fclose(pagemap);
    qsort(process->frames, process->count, sizeof *process->frames, compare);
    printf("%s ksm=%zu anonymous=%zu zero=%zu\n", process->pid, process->ksm, process->count,
           process->zero);
}

/* How many of a's pages have a frame that b has, too; first is the lowest of these. */
static size_t
common(const struct process *a, const struct process *b, uint64_t *first)
{
    size_t found = 0, at = 0;

    for (size_t i = 0; i < a->count; i++) {
        while (at < b->count && b->frames[at] < a->frames[i])
            at++;
        if (at < b->count && b->frames[at] == a->frames[i] && found++ == 0)
            *first = a->frames[i];
    }
    return found;
}

int
main(int argc, char **argv)
{
    struct process *processes = calloc((size_t)argc, sizeof *processes);

    flags_fd = open("/proc/kpageflags", O_RDONLY);
    if (!processes || flags_fd < 0) {
        perror("/proc/kpageflags");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        processes[i].pid = argv[i];
        look(&processes[i]);
        for (int other = 1; other < i; other++) {
            uint64_t first = 0;
            size_t pages = common(&processes[i], &processes[other], &first);

            if (pages)
                printf("%s %s common=%zu first=%#" PRIx64 "\n", argv[other], argv[i], pages, first);
        }
    }
    return 0;
}
