/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of tests/storm: a process with the command line of a QEMU, whose memory is mergeable and
 * holds what all others hold, until it is told to rewrite it.
 *
 * It obeys `dirty`, `restore` and `verify` on its standard input, as tests/guest/protocol.h says.
 * It writes no faster than RATE_MIB a second, so that a storm is the same on a fast host.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SHARED_MIB 64
#define RATE_MIB   6
#define PAGE_BYTES 4096
#define MIB_PAGES  256
#define PAGES      (SHARED_MIB * MIB_PAGES)
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

/* The words of a page follow from its number and salt: 0 in all guests, or their own. */
static uint64_t
word_of(uint64_t page, uint64_t salt, uint64_t word)
{
    uint64_t x = (page + 1) * 0x9e3779b97f4a7c15ull ^ salt * 0xbf58476d1ce4e5b9ull ^ word << 40;

    x ^= x >> 31;
    return x * 0x94d049bb133111ebull;
}

static void
fill(uint64_t *memory, uint64_t salt, int limited)
{
    const struct timespec pause = {0, 1000000000L / RATE_MIB};

    for (uint64_t page = 0; page < PAGES; page++) {
        for (uint64_t word = 0; word < PAGE_WORDS; word++) {
            memory[page * PAGE_WORDS + word] = word_of(page, salt, word);
        }
        if (limited && page % MIB_PAGES == 0) {
            nanosleep(&pause, NULL);
        }
    }
}

static unsigned
count_bad(const uint64_t *memory, uint64_t salt)
{
    unsigned bad = 0;

    for (uint64_t page = 0; page < PAGES; page++) {
        int good = 1;

        for (uint64_t word = 0; word < PAGE_WORDS; word++) {
            good &= memory[page * PAGE_WORDS + word] == word_of(page, salt, word);
        }
        bad += !good;
    }
    return bad;
}

int
main(void)
{
    uint64_t *memory = mmap(NULL, (size_t)PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t salt = 0;
    char line[64];
    FILE *input = fdopen(STDIN_FILENO, "r");

    if (memory == MAP_FAILED || madvise(memory, (size_t)PAGES * PAGE_BYTES, MADV_MERGEABLE) != 0) {
        return 1;
    }
    fill(memory, salt, 0);
    while (fgets(line, sizeof(line), input)) {
        if (strcmp(line, "dirty\n") == 0) {
            salt = (uint64_t)getpid();
            fill(memory, salt, 1);
            dprintf(STDIN_FILENO, "DIRTY pages=%d\n", PAGES);
        } else if (strcmp(line, "restore\n") == 0) {
            salt = 0;
            fill(memory, salt, 1);
            dprintf(STDIN_FILENO, "RESTORED pages=%d\n", PAGES);
        } else if (strcmp(line, "verify\n") == 0) {
            dprintf(STDIN_FILENO, "VERIFY pages=%d bad=%u\n", PAGES, count_bad(memory, salt));
        }
    }
    return 0;
}
