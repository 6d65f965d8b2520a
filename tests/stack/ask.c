/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks a test guest on its console (tests/guest/protocol.h).
 *
 *   ask SOCKET SECONDS WORD COMMAND
 *
 * Says COMMAND and prints the first line that begins with WORD, or with ERROR, which is a failure.
 * A guest that is still starting loses what came before it listened: while READY is waited for,
 * COMMAND is said again each second. SECONDS is the limit of all.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

static double
now_sec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        exit(2);
    }
    return fd;
}

/* Reads on, until there is an answer (then exits) or nothing comes for a while. */
static void
read_answer(int fd, const char *word, int patience_msec)
{
    static char line[LINE_BYTES];
    static size_t length;
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    char byte;

    while (poll(&poller, 1, patience_msec) > 0 && read(fd, &byte, 1) == 1) {
        if (byte != '\n' && length < sizeof line - 1) {
            line[length++] = byte;
            continue;
        }
        line[length] = '\0';
        length = 0;
        if (strncmp(line, word, strlen(word)) == 0) {
            puts(line);
            exit(0);
        }
        if (strncmp(line, "ERROR", 5) == 0 && !strstr(line, "unknown command")) {
            puts(line);
            exit(1);
        }
    }
}

int
main(int argc, char **argv)
{
    double end_sec;
    int again;
    int fd;

    if (argc != 5) {
        fputs("usage: ask SOCKET SECONDS WORD COMMAND\n", stderr);
        return 2;
    }
    end_sec = now_sec() + strtod(argv[2], NULL);
    again = strcmp(argv[3], "READY") == 0;
    fd = connect_to(argv[1]);
    do {
        int left_msec = (int)((end_sec - now_sec()) * 1000);

        /* First the end of a line that an earlier asker may have begun, and not ended. */
        dprintf(fd, "\n%s\n", argv[4]);
        read_answer(fd, argv[3], again && left_msec > 1000 ? 1000 : left_msec);
    } while (again && now_sec() < end_sec);
    fprintf(stderr, "no answer within %s s\n", argv[2]);
    return 1;
}
