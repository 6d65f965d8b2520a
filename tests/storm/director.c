/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has all guests of a host rewrite what they share, at once, and tells what becomes of them.
 *
 *     director SECONDS SHARED-PAGES LEAVE-MIB NAME...
 *
 * It starts them, which speak as those of tests/guest/protocol.h do.  First it waits
 * until they have merged, and takes what that has saved, but for LEAVE-MIB that stay available;
 * then all are told to rewrite.  Guests that are ready while others make no
 * progress take their rewriting back, which lets ksmd make room; so all come to their end where
 * nobody is lost.  At last each verifies every page.  One line for each thing that happens, and
 * "RESULT name=value" for what counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GUESTS_MAX  16
#define LINE_BYTES  512
#define STILL_SEC   3 /* nobody has come to an end for so long: those that are ready make room */
#define MERGING_SEC 90

typedef struct {
    const char *name;
    int fd; /* -1: it is lost */
    char line[LINE_BYTES];
    size_t length;
    int rewritten;
    int restoring;
    int verified;
    int bad;
} Guest;

static Guest guests[GUESTS_MAX];
static int guests_count;
static time_t begun;

static time_t
now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void __attribute__((format(printf, 1, 2))) tell(const char *format, ...)
{
    va_list args;

    printf("%3ld s ", (long)(now() - begun));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* A number of a file such as /proc/vmstat, after key; of the whole file for an empty key. */
static long
read_number(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[LINE_BYTES];
    long value = -1;

    while (file && value < 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtol(line + strlen(key), NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return value;
}

static int
write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    int written = file && fputs(text, file) >= 0;

    if ((file && fclose(file) != 0) || !written) {
        tell("%s: %s", path, strerror(errno));
        return 0;
    }
    return 1;
}

static void
say(Guest *guest, const char *text)
{
    if (guest->fd >= 0 && send(guest->fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
        tell("%s: %s", guest->name, strerror(errno));
    }
}

static void
say_all(const char *text)
{
    for (int i = 0; i < guests_count; i++) {
        say(&guests[i], text);
    }
}

/* Starts one in a control group of its own, as libvirt does, with the command line of a QEMU. */
static int
start_guest(Guest *guest, int number)
{
    char uuid[64];
    char folder[128];
    char path[256];
    char text[32];
    int pair[2];
    pid_t pid = 0;

    snprintf(uuid, sizeof(uuid), "%d1111111-1111-4111-8111-111111111111", number);
    snprintf(folder, sizeof(folder), "/sys/fs/cgroup/machine/qemu-%d-%s.libvirt-qemu", number,
             guest->name);
    if (mkdir(folder, 0755) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
        (pid = fork()) < 0) {
        tell("%s: %s", guest->name, strerror(errno));
        return 0;
    }
    if (pid == 0) {
        dup2(pair[1], STDIN_FILENO);
        execl("./guest", "qemu-system-test", "-name", guest->name, "-uuid", uuid, NULL);
        _exit(127);
    }
    close(pair[1]);
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    guest->fd = pair[0];
    snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    if (!write_text(path, text)) {
        return 0;
    }
    snprintf(path, sizeof(path), "/run/libvirt/qemu/%s.pid", guest->name);
    return write_text(path, text);
}

static void
take_line(Guest *guest)
{
    if (strncmp(guest->line, "DIRTY", 5) == 0) {
        guest->rewritten = 1;
        tell("%s: has rewritten all", guest->name);
    } else if (strncmp(guest->line, "RESTORED", 8) == 0) {
        tell("%s: has taken it back", guest->name);
    } else if (strncmp(guest->line, "VERIFY", 6) == 0) {
        const char *bad = strstr(guest->line, "bad=");
        guest->verified = 1;
        guest->bad = bad ? (int)strtol(bad + 4, NULL, 10) : -1;
        tell("%s: %s", guest->name, guest->line);
    } else if (strncmp(guest->line, "ERROR", 5) == 0) {
        tell("%s: %s", guest->name, guest->line);
    }
}

static void
hear(Guest *guest)
{
    char bytes[LINE_BYTES];
    ssize_t got = recv(guest->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        tell("%s: LOST", guest->name);
        close(guest->fd);
        guest->fd = -1;
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (bytes[i] == '\n' || guest->length == LINE_BYTES - 1) {
            guest->line[guest->length] = '\0';
            guest->length = 0;
            take_line(guest);
        } else if (bytes[i] != '\r') {
            guest->line[guest->length++] = bytes[i];
        }
    }
}

/* Hears all guests for up to a second. */
static void
listen_once(void)
{
    struct pollfd fds[GUESTS_MAX];

    for (int i = 0; i < guests_count; i++) {
        fds[i] = (struct pollfd){.fd = guests[i].fd, .events = POLLIN};
    }
    poll(fds, (nfds_t)guests_count, 1000);
    for (int i = 0; i < guests_count; i++) {
        if (guests[i].fd >= 0 && fds[i].revents) {
            hear(&guests[i]);
        }
    }
}

static int
count_lost(void)
{
    int count = 0;

    for (int i = 0; i < guests_count; i++) {
        count += guests[i].fd < 0;
    }
    return count;
}

static int
count_rewritten(void)
{
    int count = 0;

    for (int i = 0; i < guests_count; i++) {
        count += guests[i].rewritten;
    }
    return count;
}

static int
wait_merged(long wanted_pages)
{
    long pages = 0;

    for (time_t end = now() + MERGING_SEC; now() < end; sleep(1)) {
        pages = read_number("/sys/kernel/mm/ksm/pages_sharing", "");
        if (pages >= wanted_pages) {
            tell("%ld pages are merged", pages);
            return 1;
        }
    }
    tell("only %ld pages are merged, %ld are wanted", pages, wanted_pages);
    return 0;
}

/* Uses memory for good until so much of it is available; the kernel is not to kill us for that. */
static int
take_memory(long leave_mib)
{
    long taken_mib = 0;

    if (!write_text("/proc/self/oom_score_adj", "-1000")) {
        return 0;
    }
    while (read_number("/proc/meminfo", "MemAvailable:") / 1024 > leave_mib) {
        char *bytes = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (bytes == MAP_FAILED || mlock(bytes, 1 << 20) < 0) {
            return 0;
        }
        taken_mib++;
    }
    tell("%ld MiB are taken by others", taken_mib);
    return 1;
}

/* All rewrite; who is ready makes room when nobody else gets on. */
static void
rewrite(time_t end)
{
    time_t progress = now();
    int rewritten = 0;

    say_all("dirty\n");
    while (now() < end && count_rewritten() + count_lost() < guests_count) {
        listen_once();
        if (count_rewritten() != rewritten) {
            rewritten = count_rewritten();
            progress = now();
        }
        if (now() - progress < STILL_SEC) {
            continue;
        }
        tell("nobody gets on; %ld MiB are available",
             read_number("/proc/meminfo", "MemAvailable:") / 1024);
        for (int i = 0; i < guests_count; i++) {
            if (guests[i].rewritten && !guests[i].restoring) {
                guests[i].restoring = 1;
                say(&guests[i], "restore\n");
            }
        }
        progress = now();
    }
}

static void
verify(time_t end)
{
    int waiting = 1;

    say_all("verify\n");
    while (now() < end && waiting) {
        listen_once();
        waiting = 0;
        for (int i = 0; i < guests_count; i++) {
            waiting |= guests[i].fd >= 0 && !guests[i].verified;
        }
    }
}

int
main(int argc, char **argv)
{
    time_t end = 0;
    int verified = 0;

    begun = now();
    if (argc < 5 || argc - 4 > GUESTS_MAX) {
        fprintf(stderr, "usage: director SECONDS SHARED-PAGES LEAVE-MIB NAME...\n");
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        guests[guests_count] = (Guest){.name = argv[i], .fd = -1};
        guests_count++;
        if (!start_guest(&guests[guests_count - 1], guests_count)) {
            return 1;
        }
    }
    if (!wait_merged(atol(argv[2])) || !take_memory(atol(argv[3]))) {
        return 1;
    }
    end = now() + atol(argv[1]);
    tell("all rewrite now; %ld MiB are available",
         read_number("/proc/meminfo", "MemAvailable:") / 1024);
    rewrite(end);
    verify(end);
    for (int i = 0; i < guests_count; i++) {
        verified += guests[i].verified && guests[i].bad == 0;
    }
    printf("RESULT guests=%d\nRESULT lost=%d\nRESULT rewritten=%d\nRESULT verified=%d\n",
           guests_count, count_lost(), count_rewritten(), verified);
    printf("RESULT oom_kills=%ld\n", read_number("/proc/vmstat", "oom_kill "));
    return 0;
}
