/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole user space of the real Linux guest: process 1 of a distribution's kernel.
 *
 * It fills anonymous memory with the shares named on the kernel command line, says READY on the
 * console and obeys the same lines as the tiny guest. Kernel text, page tables, slabs and free
 * pages around it are whatever the kernel makes of them; that part has no known answer and is
 * what makes this guest worth having.
 */
#include "../protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

static void
guest_write(const char *bytes, uint32_t length)
{
    while (length) {
        ssize_t done = write(STDOUT_FILENO, bytes, length);

        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (done > 0) {
            bytes += done;
            length -= (uint32_t)done;
        }
    }
}

static void
guest_describe(void)
{
    struct utsname name;
    struct sysinfo info;

    say(" kind=linux");
    if (uname(&name) == 0) {
        say(" release=");
        say(name.release);
    }
    if (sysinfo(&info) == 0)
        say_field("ram_pages", (uint32_t)(info.totalram / PATTERN_PAGE_BYTES * info.mem_unit));
}

static void
guest_off(void)
{
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

/* Reads a small file whole into `text`; a file that cannot be read is empty. */
static void
file_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

    text[length > 0 ? length : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void
console_init(void)
{
    struct termios mode;

    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
        open("/dev/console", O_RDWR);
    }
    if (tcgetattr(STDIN_FILENO, &mode) == 0) {
        mode.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSANOW, &mode);
    }
}

/* The machine's UUID tells guests apart unless the command line says salt=. */
static uint32_t
salt_from_uuid(void)
{
    char uuid[64];
    uint32_t salt = 0;

    file_read("/sys/class/dmi/id/product_uuid", uuid, sizeof uuid);
    for (const char *at = uuid; *at; at++)
        salt = pattern_mix(salt ^ (uint8_t)*at);
    return salt;
}

/* Returns the filled layout's first page, or NULL after saying why not. */
static volatile uint32_t *
memory_init(struct layout *l)
{
    char args[4096];
    size_t bytes;
    void *base;

    l->seed = 1;
    l->salt = salt_from_uuid();
    file_read("/proc/cmdline", args, sizeof args);
    if (!layout_parse(l, args)) {
        say("ERROR a value on the kernel command line is not a number in range\n");
        return NULL;
    }
    bytes = (size_t)layout_pages(l) * PATTERN_PAGE_BYTES;
    base = mmap(NULL, bytes + PATTERN_PAGE_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        say("ERROR the shares need more memory than there is\n");
        return NULL;
    }
    layout_fill(l, base, 0, layout_pages(l));
    return base;
}

int
main(void)
{
    struct layout layout = {0};
    volatile uint32_t *base;
    char line[80];

    console_init();
    base = memory_init(&layout);
    if (base)
        say_ready(&layout);
    else
        layout = (struct layout){0};
    for (;;) {
        if (!fgets(line, sizeof line, stdin)) {
            clearerr(stdin);
            sleep(1);
            continue;
        }
        line[strcspn(line, "\r\n")] = '\0';
        obey(&layout, base, line);
    }
}
