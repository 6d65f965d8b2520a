/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that are written to and looked at without end; see writer.h.
 *
 * A page holds one of a few common contents, or, now and then, one that no other page has. All
 * contents but the zeroes are equal except in the first, the middle or the last word, so that
 * comparing two pages takes long, and one store is enough to make them differ or equal.
 */
#define _GNU_SOURCE

#include "writer.h"

#include "host.h"
#include "tally.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ksm_util.h"

enum {
    WORDS = PAGE_BYTES / sizeof(uint64_t),
    MARKS = 3,
    COMMON = MARKS + 1, /* contents 0, the zeroes, to 3 */
    UNIQUE_CHANCE = 16,
};

static const int marks[MARKS] = {0, WORDS / 2, WORDS - 1};

static unsigned int
below(struct writer *self, unsigned int limit)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random % limit;
}

static unsigned char *
page_at(const struct writer *self, size_t page)
{
    return self->memory + page * PAGE_BYTES;
}

/* A common content has one mark, a unique one has all. */
static void
draw(uint64_t *words, uint64_t content)
{
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = content == 0 ? 0 : (i + 1) * 0x9e3779b97f4a7c15ULL;
    }
    for (uint64_t i = 0; i < MARKS; i++) {
        if (content == i + 1 || content >= COMMON) {
            words[marks[i]] = content;
        }
    }
}

static uint64_t
choose(struct writer *self)
{
    if (below(self, UNIQUE_CHANCE) == 0) {
        return ((uint64_t)self->id + 1) << 48 | (COMMON + self->born++);
    }
    return below(self, COMMON);
}

static void
tell(const struct writer *self, size_t page, const uint64_t *wanted)
{
    const uint64_t *found = (const uint64_t *)page_at(self, page);

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = found[i];

        if (word != wanted[i]) {
            dprintf(STDOUT_FILENO, "# writer %u, page %zu, word %zu: 0x%llx instead of 0x%llx\n",
                    self->id, page, i, (unsigned long long)word, (unsigned long long)wanted[i]);
            return;
        }
    }
    dprintf(STDOUT_FILENO, "# writer %u, page %zu: wrong, and right when looked at again\n",
            self->id, page);
}

static bool
holds(const struct writer *self, size_t page, uint64_t content)
{
    uint64_t wanted[WORDS];

    draw(wanted, content);
    if (memcmp(page_at(self, page), wanted, PAGE_BYTES) == 0) {
        return true;
    }
    tell(self, page, wanted);
    return false;
}

/* Only what differs: one store, mostly. */
static int
write_words(struct writer *self, size_t page)
{
    volatile uint64_t *to = (volatile uint64_t *)page_at(self, page);
    const uint64_t *from = (const uint64_t *)self->image;
    uint64_t old[WORDS];

    draw(old, self->contents[page]);
    for (size_t i = 0; i < WORDS; i++) {
        if (old[i] != from[i]) {
            to[i] = from[i];
        }
    }
    return 0;
}

static int
write_page(struct writer *self, size_t page)
{
    memcpy(page_at(self, page), self->image, PAGE_BYTES);
    return 0;
}

static int
whole_page(ssize_t bytes)
{
    return bytes == PAGE_BYTES ? 0 : bytes < 0 ? -errno : -EIO;
}

static int
write_mem(struct writer *self, size_t page)
{
    return whole_page(pwrite(self->mem_fd, self->image, PAGE_BYTES, (off_t)page_at(self, page)));
}

static int
write_pipe(struct writer *self, size_t page)
{
    int status = whole_page(write(self->pipe[1], self->image, PAGE_BYTES));

    if (status != 0) {
        return status;
    }
    return whole_page(read(self->pipe[0], page_at(self, page), PAGE_BYTES));
}

static int
write_vm(struct writer *self, size_t page)
{
    struct iovec from = {.iov_base = self->image, .iov_len = PAGE_BYTES};
    struct iovec to = {.iov_base = page_at(self, page), .iov_len = PAGE_BYTES};

    return whole_page(process_vm_writev(getpid(), &from, 1, &to, 1, 0));
}

/* The disk writes to the page itself, which has to stay where it is for so long. */
static int
write_direct(struct writer *self, size_t page)
{
    off_t place = (off_t)self->id * PAGE_BYTES;

    if (self->disk_fd < 0) {
        return -ENODEV;
    }

    int status = whole_page(pwrite(self->disk_fd, self->image, PAGE_BYTES, place));

    if (status != 0) {
        return status;
    }
    return whole_page(pread(self->disk_fd, page_at(self, page), PAGE_BYTES, place));
}

/* What it maps stays mapped there, as the memory of a guest does. */
static int
write_mmu(struct writer *self, size_t page)
{
    if (self->mmu_fd < 0) {
        return -ENODEV;
    }
    return whole_page(pwrite(self->mmu_fd, self->image, PAGE_BYTES, (off_t)page_at(self, page)));
}

static int
write_protected(struct writer *self, size_t page)
{
    if (mprotect(page_at(self, page), PAGE_BYTES, PROT_READ) != 0 ||
        mprotect(page_at(self, page), PAGE_BYTES, PROT_READ | PROT_WRITE) != 0) {
        return -errno;
    }
    return write_words(self, page);
}

/* There and back again, to the hole that it left. */
static int
write_moved(struct writer *self, size_t page)
{
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

    if (mremap(page_at(self, page), PAGE_BYTES, PAGE_BYTES, flags, self->scratch) == MAP_FAILED ||
        mremap(self->scratch, PAGE_BYTES, PAGE_BYTES, flags, page_at(self, page)) == MAP_FAILED) {
        return -errno;
    }
    return write_words(self, page);
}

static int
write_dropped(struct writer *self, size_t page)
{
    if (madvise(page_at(self, page), PAGE_BYTES, MADV_DONTNEED) != 0) {
        return -errno;
    }
    self->contents[page] = 0;
    return holds(self, page, 0) ? write_words(self, page) : -EBADMSG;
}

/* What a child does to its copies: its writes are its own, and so are those of its parent. */
static bool
child_right(struct writer *self, size_t page)
{
    uint64_t content = choose(self);
    size_t other = below(self, WRITER_PAGES);

    draw((uint64_t *)page_at(self, page), content);
    return holds(self, page, content) &&
           (other == page || holds(self, other, self->contents[other]));
}

static int
write_forked(struct writer *self, size_t page)
{
    int status = 0;
    pid_t child = fork_mortal();

    if (child < 0) {
        return -errno;
    }
    if (child == 0) {
        _exit(child_right(self, page) ? 0 : WRITER_WRONG);
    }
    write_words(self, page);
    if (waitpid(child, &status, 0) != child) {
        return -errno;
    }
    if (status != 0) {
        dprintf(STDOUT_FILENO, "# writer %u: a child ended with status 0x%x\n", self->id,
                (unsigned int)status);
    }
    return status == 0 ? 0 : -EBADMSG;
}

struct way {
    const char *name;
    unsigned int weight;
    int (*write)(struct writer *self, size_t page);
};

static const struct way ways[] = {
    {"stores", 256, write_words},        {"memcpy", 128, write_page},
    {"/proc/self/mem", 32, write_mem},   {"read", 32, write_pipe},
    {"process_vm_writev", 32, write_vm}, {"secondary MMU", 64, write_mmu},
    {"O_DIRECT", 8, write_direct},       {"after mprotect", 16, write_protected},
    {"after mremap", 16, write_moved},   {"after MADV_DONTNEED", 16, write_dropped},
    {"beside a child", 1, write_forked},
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static const struct way *
choose_way(struct writer *self)
{
    unsigned int sum = 0;

    for (int i = 0; i < WAYS; i++) {
        sum += ways[i].weight;
    }

    unsigned int left = below(self, sum);
    const struct way *way = ways;

    while (left >= way->weight) {
        left -= way->weight;
        way++;
    }
    return way;
}

/* What is refused has to leave the page as it was; -EBADMSG is what was found wrong. */
static bool
write_once(struct writer *self)
{
    size_t page = below(self, WRITER_PAGES);
    size_t other = below(self, WRITER_PAGES);
    uint64_t content = choose(self);
    const struct way *way = choose_way(self);

    draw((uint64_t *)self->image, content);

    int status = way->write(self, page);

    tally_add(way->name, status);
    if (status == 0) {
        self->contents[page] = content;
    }
    return status != -EBADMSG && holds(self, page, self->contents[page]) &&
           holds(self, other, self->contents[other]);
}

static bool
prepare(struct writer *self)
{
    const int prot = PROT_READ | PROT_WRITE;
    size_t bytes = (size_t)WRITER_PAGES * PAGE_BYTES;

    self->random = (self->id + 1) * 2654435761U;
    self->memory = ksm_map(WRITER_PAGES, prot);
    self->contents = ksm_map(1, prot);
    self->image = ksm_map(1, prot);
    self->scratch = ksm_map(1, prot);
    self->mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    self->mmu_fd = self->mmu != NULL ? open(self->mmu, O_WRONLY | O_CLOEXEC) : -1;
    return self->memory != NULL && self->contents != NULL && self->image != NULL &&
           self->scratch != NULL && self->mem_fd >= 0 && pipe2(self->pipe, O_CLOEXEC) == 0 &&
           madvise(self->memory, bytes, MADV_MERGEABLE) == 0;
}

static bool
all_right(const struct writer *self)
{
    for (size_t i = 0; i < WRITER_PAGES; i++) {
        if (!holds(self, i, self->contents[i])) {
            return false;
        }
    }
    return true;
}

void *
writer_run(void *writer)
{
    struct writer *self = writer;
    bool right = prepare(self);

    if (!right) {
        dprintf(STDOUT_FILENO, "# writer %u: can't begin: %s\n", self->id, strerror(errno));
    }
    for (long i = 0; right && i < self->writes && atomic_load(self->wrong) == 0; i++) {
        right = write_once(self);
    }
    if (!right || !all_right(self)) {
        atomic_fetch_add(self->wrong, 1);
    }
    return NULL;
}

static bool
way_exists(const struct way *way, bool with_disk)
{
    if (way->write == write_mmu) {
        return access(WRITER_MMU, F_OK) == 0;
    }
    return with_disk || way->write != write_direct;
}

bool
writer_ways_used(bool with_disk, const char **name)
{
    for (int i = 0; i < WAYS; i++) {
        *name = ways[i].name;
        if (tally_done(*name) == 0 && way_exists(&ways[i], with_disk)) {
            return false;
        }
    }
    return true;
}

long
writer_writes(void)
{
    long sum = 0;

    for (int i = 0; i < WAYS; i++) {
        sum += tally_done(ways[i].name);
    }
    return sum;
}
