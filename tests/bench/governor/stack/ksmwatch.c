/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at ksmd and at who sets its rate four times a second, and prints what it saw.
 *
 *   ksmwatch SECONDS SESSION-FILE
 *
 * A line a look: milliseconds since the first one, pages saved, ksmd's CPU time in nanoseconds,
 * that of the manager in ticks of 10 ms, pages that ksmd has looked at.  The manager is the session
 * whose leader's process id is in SESSION-FILE, which may come later.  All of a look is read by one
 * program, for a shell would need more than ksmd.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MSEC    250
#define NSEC_PER_MSEC    1000000
#define MEMBERS_MAX      64
#define LOOKS_TO_MEMBERS 8 /* from one search for the session's processes to the next */

static int64_t
now_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NSEC_PER_MSEC;
}

/* The beginning of a file as text, "" when there is none. */
static const char *
text_of(const char *path)
{
    static char text[1024];
    FILE *file = fopen(path, "r");
    size_t length = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file != NULL) {
        fclose(file);
    }
    text[length] = '\0';
    return text;
}

static uint64_t
number_of(const char *path)
{
    return strtoull(text_of(path), NULL, 10);
}

/* What follows the name in /proc/PID/stat: the state, and numbers; NULL when it is gone. */
static const char *
stat_of(int pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *end = strrchr(text_of(path), ')');
    return end != NULL ? end + 2 : NULL;
}

/* User and system time of a process, and of its children that it has waited for; 0 when it is gone.
 */
static uint64_t
cpu_ticks(int pid)
{
    uint64_t user = 0, kernel = 0, child_user = 0, child_kernel = 0;
    const char *words = stat_of(pid);

    if (words != NULL) {
        sscanf(words,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64,
               &user, &kernel, &child_user, &child_kernel);
    }
    return user + kernel + child_user + child_kernel;
}

static int
session_of(int pid)
{
    int session = 0;
    const char *words = stat_of(pid);

    if (words != NULL) {
        sscanf(words, "%*c %*d %*d %d", &session);
    }
    return session;
}

/* The processes for which holds() is true, at most MEMBERS_MAX; returns how many. */
static int
find(bool (*holds)(int pid, int of), int of, int pids[MEMBERS_MAX])
{
    DIR *folder = opendir("/proc");
    int count = 0;

    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        int pid = (int)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && count < MEMBERS_MAX && holds(pid, of)) {
            pids[count++] = pid;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

static bool
in_session(int pid, int session)
{
    return session_of(pid) == session;
}

static bool
is_ksmd(int pid, int unused)
{
    char path[64];

    (void)unused;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    return strcmp(text_of(path), "ksmd\n") == 0;
}

static uint64_t
manager_ticks(const char *session_file)
{
    static int members[MEMBERS_MAX];
    static int count, looks;
    uint64_t sum_ticks = 0;

    if (count == 0 || looks++ % LOOKS_TO_MEMBERS == 0) {
        int session = (int)number_of(session_file);
        count = session > 0 ? find(in_session, session, members) : 0;
    }
    for (int i = 0; i < count; i++) {
        sum_ticks += cpu_ticks(members[i]);
    }
    return sum_ticks;
}

int
main(int argc, char **argv)
{
    int ksmd[MEMBERS_MAX];
    char schedstat[64];

    if (argc != 3 || find(is_ksmd, 0, ksmd) != 1) {
        fputs("usage: ksmwatch SECONDS SESSION-FILE, where there is a ksmd\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* somebody reads along */
    snprintf(schedstat, sizeof schedstat, "/proc/%d/schedstat", ksmd[0]);
    int64_t began_msec = now_msec(), end_msec = began_msec + strtol(argv[1], NULL, 10) * 1000;
    for (int64_t next_msec = began_msec; next_msec <= end_msec; next_msec += INTERVAL_MSEC) {
        int64_t left_msec = next_msec - now_msec();
        if (left_msec > 0) {
            usleep((useconds_t)left_msec * 1000);
        }
        printf("%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
               now_msec() - began_msec, number_of("/sys/kernel/mm/ksm/pages_sharing"),
               number_of(schedstat), manager_ticks(argv[2]),
               number_of("/sys/kernel/mm/ksm/pages_scanned"));
    }
    return 0;
}
