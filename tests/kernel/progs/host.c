/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files, memory cgroups and swap areas; see host.h.
 */
#define _GNU_SOURCE

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <time.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

enum {
    STEP_BYTES = 4 * MIB_BYTES,
    IDLE_STEPS = 40,
    LINE_LENGTH = 256,
};

int
host_write(const char *path, const char *format, ...)
{
    char text[LINE_LENGTH];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }

    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);

    int status = write(fd, text, strlen(text)) < 0 ? -errno : 0;

    close(fd);
    return status;
}

long
host_read(const char *path, const char *key)
{
    char line[LINE_LENGTH];
    long value = -1;
    size_t length = key == NULL ? 0 : strlen(key);
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (key != NULL &&
            (strncmp(line, key, length) != 0 || strchr(": \t", line[length]) == NULL)) {
            continue;
        }
        if (sscanf(line + length + (line[length] == ':'), "%ld", &value) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

void
host_pause(long usec)
{
    struct timespec span = {.tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000};

    nanosleep(&span, NULL);
}

long
host_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
memcg_make(struct memcg *group, const char *name)
{
    if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) != 0 &&
        mount("cgroup2", CGROUP_ROOT, "cgroup2", 0, NULL) != 0) {
        return false;
    }
    if (host_write(CGROUP_ROOT "/cgroup.subtree_control", "+memory") != 0) {
        return false;
    }
    snprintf(group->path, sizeof(group->path), CGROUP_ROOT "/%s", name);
    return mkdir(group->path, 0755) == 0 || errno == EEXIST;
}

int
memcg_set(const struct memcg *group, const char *file, const char *value)
{
    char path[PATH_LENGTH + 64];

    snprintf(path, sizeof(path), "%s/%s", group->path, file);
    return host_write(path, "%s", value);
}

long
memcg_read(const struct memcg *group, const char *file, const char *key)
{
    char path[PATH_LENGTH + 64];

    snprintf(path, sizeof(path), "%s/%s", group->path, file);
    return host_read(path, key);
}

long
memcg_reclaim_to(const struct memcg *group, long want_usage_bytes)
{
    char step[32];
    long usage = memcg_read(group, "memory.current", NULL);

    snprintf(step, sizeof(step), "%d", STEP_BYTES);
    for (int idle = 0; usage > want_usage_bytes && idle < IDLE_STEPS; idle++) {
        if (idle > 0) {
            host_write("/proc/sys/vm/drop_caches", "1");
        }
        memcg_set(group, "memory.reclaim", step);
        memcg_read(group, "memory.stat", "anon");

        long now = memcg_read(group, "memory.current", NULL);

        if (now < usage - PAGE_BYTES) {
            idle = 0;
        }
        usage = now;
    }
    return usage;
}

void
memcg_remove(struct memcg *group)
{
    memcg_set(group, "cgroup.kill", "1");
    for (int i = 0; i < 2000 && rmdir(group->path) != 0 && errno == EBUSY; i++) {
        host_pause(5000);
    }
}

/* The header that mkswap writes: version, last page, and the magic at the page's end. */
static int
write_swap_header(const char *path)
{
    uint32_t page[PAGE_BYTES / sizeof(uint32_t)] = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }

    off_t bytes = lseek(fd, 0, SEEK_END);

    page[1024 / sizeof(uint32_t)] = 1;
    page[1024 / sizeof(uint32_t) + 1] = (uint32_t)(bytes / PAGE_BYTES) - 1;
    memcpy((char *)page + PAGE_BYTES - 10, "SWAPSPACE2", 10);

    int status = 0;

    if (bytes < 16 * PAGE_BYTES) {
        status = -ENODEV;
    } else if (pwrite(fd, page, sizeof(page), 0) != sizeof(page) || fsync(fd) != 0) {
        status = -errno;
    }
    close(fd);
    return status;
}

int
swap_on(const char *device, long mib)
{
    char path[PATH_LENGTH];

    if (strcmp(device, "zram") == 0) {
        if (host_read("/sys/block/zram0/disksize", NULL) == 0) {
            host_write("/sys/block/zram0/disksize", "%ldM", mib);
        }
        device = "zram0";
    }
    snprintf(path, sizeof(path), "/dev/%s", device);
    if (access(path, F_OK) != 0) {
        return -ENODEV;
    }

    int status = write_swap_header(path);

    if (status != 0) {
        return status;
    }
    return swapon(path, 0) != 0 ? -errno : 0;
}

int
swap_off(const char *device)
{
    char path[PATH_LENGTH];

    snprintf(path, sizeof(path), "/dev/%s", strcmp(device, "zram") == 0 ? "zram0" : device);
    return swapoff(path) != 0 ? -errno : 0;
}
