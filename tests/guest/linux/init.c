/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole user space of the real Linux guest: process 1 of a distribution's kernel.
 *
 * It loads the modules of a memory balloon, fills anonymous memory with the shares named on the
 * kernel command line, says READY on the console and obeys the same lines as the tiny guest; its
 * answer to `info` also has what memory the kernel has now, and what of it is available. One more
 * line: `touch N` writes N MiB and frees them, so that the host has them, and nobody needs them.
 * Kernel text, page tables, slabs and free pages around the shares are whatever the kernel makes of
 * them; that part has no known answer and is what makes this guest worth having.
 */
#include "../protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#define MODULES "/modules"

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

/* What the kernel would give to programs; 0 if it does not say. */
static uint32_t
available_pages(void)
{
    static const char name[] = "\nMemAvailable:";
    char text[2048];
    const char *at;

    file_read("/proc/meminfo", text, sizeof text);
    at = strstr(text, name);
    return at ? (uint32_t)(strtoul(at + sizeof name - 1, NULL, 10) / (PATTERN_PAGE_BYTES / 1024))
              : 0;
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
    say_field("available_pages", available_pages());
}

static void
guest_off(void)
{
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
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

static void
module_load(const char *name)
{
    char path[300];
    int fd;

    snprintf(path, sizeof path, MODULES "/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0) {
        say("ERROR a module can't be loaded: ");
        say(name);
        say("\n");
    }
    if (fd >= 0)
        close(fd);
}

/* Loads what the initramfs carries, in the order of the names. */
static void
modules_init(void)
{
    struct dirent **entries;
    int count = scandir(MODULES, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            module_load(entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
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

/* Has the host back so many MiB of memory that nobody in the guest needs. */
static void
memory_touch(uint32_t mib)
{
    size_t bytes = (size_t)mib << 20;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED) {
        say("ERROR there is not so much memory\n");
        return;
    }
    memset(base, 0x5a, bytes);
    munmap(base, bytes);
    say("TOUCHED");
    say_field("mib", mib);
    say("\n");
}

int
main(void)
{
    struct layout layout = {0};
    volatile uint32_t *base;
    char line[80];
    uint32_t mib;

    console_init();
    modules_init();
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
        if (strncmp(line, "touch ", 6) == 0 && text_number(line + 6, &mib))
            memory_touch(mib);
        else
            obey(&layout, base, line);
    }
}
