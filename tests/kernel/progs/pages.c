/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames, nodes and memory blocks; see pages.h.
 */
#define _GNU_SOURCE

#include "pages.h"

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_DIR "/sys/devices/system/memory/"

unsigned long
page_frame(pid_t pid, unsigned long address)
{
    const uint64_t present = 1ULL << 63;
    const uint64_t frame = (1ULL << 55) - 1;
    char path[PATH_LENGTH];
    uint64_t entry = 0;

    snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);

    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    if (pread(fd, &entry, sizeof(entry), (off_t)(address / PAGE_BYTES * sizeof(entry))) !=
        sizeof(entry)) {
        entry = 0;
    }
    close(fd);
    return (entry & present) != 0 ? entry & frame : 0;
}

long
pages_move(pid_t pid, unsigned long address, size_t pages, int node)
{
    void **addresses = calloc(pages, sizeof(*addresses));
    int *nodes = calloc(pages, sizeof(*nodes));
    int *status = calloc(pages, sizeof(*status));
    long there = 0;

    for (size_t i = 0; i < pages; i++) {
        addresses[i] = (void *)(address + i * PAGE_BYTES);
        nodes[i] = node;
    }
    if (syscall(SYS_move_pages, pid, pages, addresses, nodes, status, MPOL_MF_MOVE_ALL) < 0) {
        there = -errno;
    }
    for (size_t i = 0; i < pages && there >= 0; i++) {
        there += status[i] == node;
    }
    free(addresses);
    free(nodes);
    free(status);
    return there;
}

bool
pages_bind(int node)
{
    unsigned long mask = node < 0 ? 0 : 1UL << node;

    return syscall(SYS_set_mempolicy, node < 0 ? MPOL_DEFAULT : MPOL_BIND, node < 0 ? NULL : &mask,
                   node < 0 ? 0 : 64) == 0;
}

unsigned long
memory_block_bytes(void)
{
    unsigned long bytes = 0;
    FILE *file = fopen(MEMORY_DIR "block_size_bytes", "re");

    if (file != NULL) {
        if (fscanf(file, "%lx", &bytes) != 1) {
            bytes = 0;
        }
        fclose(file);
    }
    return bytes;
}

bool
memory_block_movable(unsigned long block)
{
    char path[PATH_LENGTH];
    char zone[32] = "";

    snprintf(path, sizeof(path), MEMORY_DIR "memory%lu/valid_zones", block);

    FILE *file = fopen(path, "re");

    if (file != NULL) {
        if (fgets(zone, sizeof(zone), file) == NULL) {
            zone[0] = '\0';
        }
        fclose(file);
    }
    return strcmp(zone, "Movable\n") == 0;
}

int
memory_block_set(unsigned long block, bool online)
{
    char path[PATH_LENGTH];

    snprintf(path, sizeof(path), MEMORY_DIR "memory%lu/state", block);
    return host_write(path, online ? "online_movable" : "offline");
}
