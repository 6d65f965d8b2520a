/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memfold-hook: libvirt's QEMU hook that tells memfoldd what happens to a domain.
 *
 * libvirt starts it with the domain's XML on stdin and waits for it, holding the domain's lock and
 * without a time limit of its own.  So everything here stands under one monotonic deadline, a timer
 * stands behind the deadline, and the hook never calls libvirt.  It writes nothing on stdout, since
 * for `migrate` and `restore` libvirt takes that for a new domain XML.  It exits 0 whatever
 * happens, since a failing `reconnect` or `started` hook makes libvirt kill a guest that runs; with
 * one exception: `prepare`, of a domain that must not start.  That is when memfoldd says so, or
 * when it can't be asked and memfold.conf says that nothing starts then; the hook reads that by
 * itself. What went wrong is one line on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "../src/core/mf-config.h"
#include "../src/core/mf-error.h"
#include "../src/core/mf-names.h"
#include "../src/core/mf-text.h"
#include "../src/io/mf-configfile.h"
#include "mf-build.h"
#include "mf-hook-args.h"

/* Of MF_HOOK_BUDGET_MSEC: what is kept for process start and exit on a busy host, and the part of
 * it that the timer leaves, which ends what does not watch the deadline itself (parsing). */
#define RESERVE_MSEC       100
#define TIMER_RESERVE_MSEC 30
#define ANSWER_MAX_BYTES   4096

#define GOES_ON "the domain goes on"
#define STAYS_OFF                                                                                  \
    "the domain is not started, as memfold.conf asks: start memfoldd, or set "                     \
    "refuse-without-daemon=false there"

/* Whether the one line on stderr is written. */
static volatile sig_atomic_t complained;

/* Whether a domain starts although nobody could be asked; what the handler below goes by. */
static volatile sig_atomic_t starts_unasked = TRUE;

/* Ends the process the way libvirt must see it.  Asks the kernel itself: it may interrupt anything,
 * the sanitizers' own code, whose locks they take in write() and _exit(), included. */
__attribute__((no_sanitize("address", "undefined"))) static void
leave_at_once(int signal_number)
{
    static const char late[] = "memfold-hook: out of time";
    static const char fault[] = "memfold-hook: internal error";
    static const char open_end[] = "; the domain goes on without memfoldd knowing\n";
    static const char closed_end[] = "; " STAYS_OFF "\n";
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    const struct timespec now = {0};

    /* A stderr that nobody reads must not hold what is to end here. */
    if (!complained && syscall(SYS_ppoll, &room, 1, &now, NULL, 0) == 1 &&
        (room.revents & POLLOUT) != 0) {
        if (signal_number == SIGALRM) {
            syscall(SYS_write, STDERR_FILENO, late, sizeof late - 1);
        } else {
            syscall(SYS_write, STDERR_FILENO, fault, sizeof fault - 1);
        }
        if (starts_unasked) {
            syscall(SYS_write, STDERR_FILENO, open_end, sizeof open_end - 1);
        } else {
            syscall(SYS_write, STDERR_FILENO, closed_end, sizeof closed_end - 1);
        }
    }
    syscall(SYS_exit_group, starts_unasked ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* A crash is an exit 0 too, also one with the stack used up; and time runs out even inside a
 * library. */
static void
guard_process(void)
{
    static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS,  SIGABRT,
                                  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS};
    static char stack_memory[16384];
    const stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory};
    const struct sigaction action = {.sa_handler = leave_at_once, .sa_flags = SA_ONSTACK};
    const struct itimerval timer = {
        .it_value = {.tv_usec = (MF_HOOK_BUDGET_MSEC - TIMER_RESERVE_MSEC) * 1000}};

    sigaltstack(&stack, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    setitimer(ITIMER_REAL, &timer, NULL);

    /* A descriptor that the caller closed must not become our socket. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
            leave_at_once(SIGABRT);
        }
    }
}

static gint64
remaining_msec(gint64 deadline_usec)
{
    return MAX(0, (deadline_usec - g_get_monotonic_time()) / 1000);
}

/* Waits until fd is ready for events.  Errors: MF_ERROR_TIMEOUT, MF_ERROR_FAILED. */
static gboolean
wait_for(int fd, short events, gint64 deadline_usec, const char *what, GError **error)
{
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = events};
        int n = poll(&pfd, 1, (int)remaining_msec(deadline_usec));

        if (n > 0) {
            return TRUE;
        }
        if (n == 0) {
            g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT, "%s", what);
            return FALSE;
        }
        if (errno != EINTR) {
            g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "poll: %s", g_strerror(errno));
            return FALSE;
        }
    }
}

/* Appends one read(2) to out; ret_end tells the end of the stream. */
static gboolean
read_some(int fd, GString *out, gboolean *ret_end, GError **error)
{
    char buffer[65536];
    gssize n = read(fd, buffer, sizeof buffer);

    *ret_end = n == 0;
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "read: %s", g_strerror(errno));
        return FALSE;
    }
    g_string_append_len(out, buffer, MAX(n, 0));
    return TRUE;
}

/* The whole of stdin. */
static GString *
read_xml(gint64 deadline_usec, GError **error)
{
    g_autoptr(GString) xml = g_string_sized_new(65536);
    gboolean end = FALSE;

    while (!end) {
        if (!wait_for(STDIN_FILENO, POLLIN, deadline_usec,
                      "the domain XML on stdin did not end in time", error) ||
            !read_some(STDIN_FILENO, xml, &end, error)) {
            return NULL;
        }
        if (xml->len > MF_DOMXML_MAX_BYTES) {
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "the domain XML on stdin has more than %d bytes", MF_DOMXML_MAX_BYTES);
            return NULL;
        }
    }
    return g_steal_pointer(&xml);
}

/* Connects within the deadline: connect(2) to a Unix socket whose queue is full waits for
 * SO_SNDTIMEO, and can't be polled for.  Returns the descriptor or -1. */
static int
connect_daemon(const char *path, gint64 deadline_usec, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gint64 left_msec = MAX(1, remaining_msec(deadline_usec));
    const struct timeval timeout = {.tv_usec = left_msec * 1000};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "socket path %s is too long", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int saved_errno = errno;

        if (fd >= 0) {
            close(fd);
        }
        if (saved_errno == ENOENT || saved_errno == ECONNREFUSED) {
            g_set_error(error, MF_ERROR, MF_ERROR_GONE,
                        "memfoldd is not running (nobody listens at %s)", path);
        } else if (saved_errno == EAGAIN) {
            g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT, "memfoldd does not accept at %s", path);
        } else {
            g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno), "connecting to %s: %s",
                        path, g_strerror(saved_errno));
        }
        return -1;
    }
    return fd;
}

static gboolean
send_all(int fd, const char *text, gint64 deadline_usec, GError **error)
{
    gsize length_bytes = strlen(text);

    while (length_bytes > 0) {
        gssize n;

        if (!wait_for(fd, POLLOUT, deadline_usec, "memfoldd does not read", error)) {
            return FALSE;
        }
        n = send(fd, text, length_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "sending to memfoldd: %s",
                        g_strerror(errno));
            return FALSE;
        }
        text += MAX(n, 0);
        length_bytes -= (gsize)MAX(n, 0);
    }
    return TRUE;
}

/* Reads the daemon's line and understands it. */
static gboolean
receive_answer(int fd, gint64 deadline_usec, char **ret_refusal, GError **error)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    gboolean end = FALSE;

    while (!end && answer->len <= ANSWER_MAX_BYTES && strchr(answer->str, '\n') == NULL) {
        if (!wait_for(fd, POLLIN, deadline_usec, "memfoldd did not answer in time", error) ||
            !read_some(fd, answer, &end, error)) {
            return FALSE;
        }
    }
    return mf_hook_answer_check(answer->str, strcspn(answer->str, "\n"), ret_refusal, error);
}

/* ret_refusal: see mf_hook_answer_check(). */
static gboolean
tell_daemon(const MfHookArgs *args, gint64 deadline_usec, char **ret_refusal, GError **error)
{
    g_autoptr(GString) xml = NULL;
    g_autoptr(MfDomxml) domxml = NULL;
    g_autofree char *message = NULL;
    gboolean told;
    int fd;

    xml = read_xml(deadline_usec, error);
    if (xml == NULL) {
        return FALSE;
    }
    domxml = mf_domxml_parse(xml->str, xml->len, error);
    if (domxml == NULL) {
        return FALSE;
    }
    message = mf_hook_message_new(args, domxml, error);
    if (message == NULL) {
        return FALSE;
    }
    fd = connect_daemon(args->socket_path, deadline_usec, error);
    if (fd < 0) {
        return FALSE;
    }
    told = send_all(fd, message, deadline_usec, error) &&
           receive_answer(fd, deadline_usec, ret_refusal, error);
    close(fd);
    return told;
}

/* Whether memfold.conf says that nothing starts while memfoldd can't be asked.  A file that can't
 * be read, or is wrong, says nothing. */
static gboolean
may_start_unasked(const char *config_path, GError **error)
{
    g_autoptr(MfConfig) config = mf_configfile_load(config_path, error);

    return config == NULL || config->admission != MF_ADMISSION_ENFORCE ||
           !config->admission_refuses;
}

/* One line on stderr and in the system's log: libvirt shows stderr only of a hook that fails. */
static void
complain(const char *text)
{
    g_autofree char *line = mf_text_printable(text, 2048);

    complained = TRUE;
    fprintf(stderr, "memfold-hook: %s\n", line);
    openlog("memfold-hook", LOG_PID, LOG_DAEMON);
    syslog(LOG_WARNING, "%s", line);
}

static void
complain_of(const MfHookArgs *args, const char *problem, const char *consequence)
{
    g_autofree char *name = mf_text_printable(args->name, 256);
    g_autofree char *operation = mf_text_printable(args->operation, 32);
    g_autofree char *cut = mf_text_printable(problem, 1024);
    g_autofree char *text =
        g_strdup_printf("domain \"%s\", %s: %s; %s", name, operation, cut, consequence);

    complain(text);
}

/* memfoldd could not be asked.  Returns the exit status. */
static int
end_unasked(const MfHookArgs *args, const GError *problem, const GError *config_problem)
{
    if (!starts_unasked) {
        complain_of(args, problem->message, STAYS_OFF);
        return EXIT_FAILURE;
    }
    if (config_problem != NULL) {
        g_autofree char *both = g_strdup_printf("%s; the configuration can't be read either (%s)",
                                                problem->message, config_problem->message);
        complain_of(args, both, GOES_ON);
    } else {
        complain_of(args, problem->message, GOES_ON);
    }
    return EXIT_SUCCESS;
}

/* Tells the daemon.  Returns the exit status. */
static int
serve(const MfHookArgs *args, gint64 deadline_usec)
{
    gboolean may_refuse = mf_hook_operation_may_refuse(args->operation);
    g_autofree char *refusal = NULL;
    g_autoptr(GError) config_error = NULL;
    g_autoptr(GError) error = NULL;

    if (may_refuse) {
        starts_unasked = may_start_unasked(args->config_path, &config_error);
    }
    if (!tell_daemon(args, deadline_usec, &refusal, &error)) {
        return end_unasked(args, error, config_error);
    }
    if (refusal != NULL && may_refuse) {
        starts_unasked = FALSE;
        complain(refusal);
        return EXIT_FAILURE;
    }
    if (refusal != NULL) {
        complain_of(args, refusal, GOES_ON);
    }
    /* Whatever happens from here on, memfoldd was asked. */
    starts_unasked = TRUE;
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    gint64 deadline_usec =
        g_get_monotonic_time() + (MF_HOOK_BUDGET_MSEC - RESERVE_MSEC) * G_TIME_SPAN_MILLISECOND;
    MfHookArgs args = {.name = "-", .operation = "-"};
    g_autoptr(GError) error = NULL;

    guard_process();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("memfold-hook %s\n", MF_VERSION);
        return EXIT_SUCCESS;
    }
    if (!mf_hook_args_parse(argc, argv, MF_RUNTIME_DIR "/" MF_HOOK_SOCKET_NAME, MF_CONFIG_FILE,
                            &args, &error)) {
        complain_of(&args, error->message, GOES_ON);
        return EXIT_SUCCESS;
    }
    return mf_hook_operation_is_forwarded(args.operation) ? serve(&args, deadline_usec)
                                                          : EXIT_SUCCESS;
}
