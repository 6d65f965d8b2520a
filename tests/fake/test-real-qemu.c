/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same words to real QEMUs: ours, and one that knows nothing of us.
 *
 * What QEMU answers is checked against what the kernel says of its memory.  Nothing is merged and
 * no knob is touched: a mark on memory is all that changes.
 */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../../src/io/mf-proc.h"
#include "../../src/io/mf-qmp.h"
#include "../unit/mf-test.h"

#define UUID         "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define PAGE         4096
#define RAM_BYTES    (G_GUINT64_CONSTANT(64) << 20)
#define DEADLINE_SEC 60

typedef struct {
    char *directory;
    GPid pid;
    GSocketConnection *connection;
    GDataInputStream *input;
    MfRoot *root;
    MfDomain *domain;
    MfQmp qmp;
    guint caps;
} Machine;

/* Reads lines until the answer comes; events in between are passed over. */
static char *
read_answer(Machine *machine)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autofree char *line = g_data_input_stream_read_line(machine->input, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_nonnull(line);
        if (strstr(line, "\"event\"") == NULL) {
            return g_steal_pointer(&line);
        }
    }
}

static char *
call(gpointer data, const char *command, GError **error)
{
    Machine *machine = data;
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(machine->connection));

    return g_output_stream_write_all(output, command, strlen(command), NULL, NULL, error)
               ? read_answer(machine)
               : NULL;
}

static void
connect_to(Machine *machine, const char *path)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    gint64 deadline_usec = g_get_monotonic_time() + DEADLINE_SEC * G_USEC_PER_SEC;

    g_socket_client_set_timeout(client, DEADLINE_SEC);
    while (machine->connection == NULL && g_get_monotonic_time() < deadline_usec) {
        machine->connection =
            g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
        if (machine->connection == NULL) {
            g_usleep(20000);
        }
    }
    g_assert_nonnull(machine->connection);
    machine->input =
        g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(machine->connection)));
    g_autofree char *greeting = read_answer(machine);
    g_autofree char *answer = call(machine, "{\"execute\":\"qmp_capabilities\"}", NULL);
    g_assert_nonnull(strstr(greeting, "QMP"));
    g_assert_nonnull(strstr(answer, "return"));
}

/* Runs in the child: a test that fails leaves no QEMU behind. */
static void
die_with_test(gpointer unused G_GNUC_UNUSED)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void
machine_start(Machine *machine, const char *program)
{
    g_autoptr(GError) error = NULL;

    machine->directory = g_dir_make_tmp("memfold-words-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(machine->directory, "qmp", NULL);
    g_autofree char *monitor = g_strdup_printf("unix:%s,server=on,wait=off", path);
    const char *argv[] = {program,
                          "-accel",
                          "tcg",
                          "-machine",
                          "pc,memory-backend=pc.ram",
                          "-m",
                          "64",
                          "-object",
                          "memory-backend-ram,id=pc.ram,size=64M",
                          "-nodefaults",
                          "-display",
                          "none",
                          "-S",
                          "-uuid",
                          UUID,
                          "-qmp",
                          monitor,
                          NULL};

    g_spawn_async(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_test, NULL,
                  &machine->pid, &error);
    g_assert_no_error(error);
    connect_to(machine, path);
    machine->root = mf_root_new("/", &error);
    machine->domain = mf_domain_new(UUID, "vm");
    machine->domain->pid = machine->pid;
    machine->qmp = (MfQmp){call, machine};
    g_assert_true(mf_qmp_probe(&machine->qmp, &machine->caps, &error));
    g_assert_no_error(error);
}

static void
machine_stop(Machine *machine)
{
    g_autofree char *path = g_build_filename(machine->directory, "qmp", NULL);

    g_assert_cmpint(kill(machine->pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(machine->pid, NULL, 0), ==, machine->pid);
    g_object_unref(machine->input);
    g_object_unref(machine->connection);
    mf_root_unref(machine->root);
    mf_domain_free(machine->domain);
    g_unlink(path);
    g_rmdir(machine->directory);
    g_free(machine->directory);
}

static void
set_mode(Machine *machine, MfMode mode)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(mf_qmp_set_mode(&machine->qmp, machine->caps, mode, &error));
    g_assert_no_error(error);
}

/* What QEMU says and what the kernel says of the same memory. */
static void
look(Machine *machine, MfMode mode, guint64 min_mergeable_bytes, guint64 max_mergeable_bytes)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(mf_qmp_query(&machine->qmp, machine->caps, machine->domain, &error));
    g_assert_no_error(error);
    g_assert_cmpint(machine->domain->mode, ==, mode);
    g_assert_true(mf_proc_read_smaps(machine->root, PAGE, machine->domain, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(machine->domain->mergeable_bytes.value, >=, min_mergeable_bytes);
    g_assert_cmpuint(machine->domain->mergeable_bytes.value, <=, max_mergeable_bytes);
}

static const char *
emulator(const char *variable)
{
    const char *path = g_getenv(variable);

    if (path == NULL || !g_file_test(path, G_FILE_TEST_IS_EXECUTABLE)) {
        g_autofree char *reason = g_strdup_printf("%s names no QEMU", variable);
        g_test_skip(reason);
        return NULL;
    }
    return path;
}

static void
test_ours(void)
{
    const char *path = emulator("MEMFOLD_QEMU");
    Machine machine = {0};

    if (path == NULL) {
        return;
    }
    machine_start(&machine, path);
    g_assert_cmpuint(machine.caps & MF_CAP_PROBED, !=, 0);
    g_assert_cmpuint(machine.caps & MF_CAP_SET_MERGE, !=, 0);
    look(&machine, MF_MODE_ON, RAM_BYTES, G_MAXUINT64);
    gboolean ram_found = FALSE;
    for (guint i = 0; i < machine.domain->blocks->len; i++) {
        const MfBlock *block = g_ptr_array_index(machine.domain->blocks, i);
        ram_found = ram_found || (g_str_equal(block->id, "pc.ram") &&
                                  block->size_bytes == RAM_BYTES && block->mode == MF_MODE_ON);
    }
    g_assert_true(ram_found);
    set_mode(&machine, MF_MODE_OFF);
    look(&machine, MF_MODE_OFF, 0, 0);
    set_mode(&machine, MF_MODE_ON);
    look(&machine, MF_MODE_ON, RAM_BYTES, G_MAXUINT64);
    machine_stop(&machine);
}

/* Firmware, ROMs and video RAM are not behind a backend: a stock QEMU leaves them marked. */
static void
test_stock(void)
{
    const char *path = emulator("MEMFOLD_STOCK_QEMU");
    Machine machine = {0};

    if (path == NULL) {
        return;
    }
    machine_start(&machine, path);
    g_assert_cmpuint(machine.caps, ==, MF_CAP_PROBED | MF_CAP_BACKEND_MERGE);
    look(&machine, MF_MODE_ON, RAM_BYTES, G_MAXUINT64);
    set_mode(&machine, MF_MODE_OFF);
    look(&machine, MF_MODE_OFF, 0, RAM_BYTES - 1);
    set_mode(&machine, MF_MODE_ON);
    look(&machine, MF_MODE_ON, RAM_BYTES, G_MAXUINT64);

    g_autoptr(GError) error = NULL;
    g_assert_false(mf_qmp_set_mode(&machine.qmp, machine.caps, MF_MODE_FROZEN, &error));
    mf_assert_error(error, MF_ERROR_UNSUPPORTED, "frozen");
    machine_stop(&machine);
}

/* A real QEMU that dies between two questions. */
static void
test_death(void)
{
    const char *path = emulator("MEMFOLD_STOCK_QEMU");
    Machine machine = {0};
    g_autoptr(GError) error = NULL;
    siginfo_t info;

    if (path == NULL) {
        return;
    }
    machine_start(&machine, path);
    look(&machine, MF_MODE_ON, RAM_BYTES, G_MAXUINT64);
    g_assert_cmpint(kill(machine.pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitid(P_PID, (id_t)machine.pid, &info, WEXITED | WNOWAIT), ==, 0);
    g_assert_false(mf_proc_read_smaps(machine.root, PAGE, machine.domain, &error));
    mf_assert_error(error, MF_ERROR_GONE, "domain vm");
    machine_stop(&machine);
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/real-qemu/ours", test_ours);
    g_test_add_func("/real-qemu/stock", test_stock);
    g_test_add_func("/real-qemu/death", test_death);
    return g_test_run();
}
