/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * org.memfold1 as the daemon serves it: its real handlers, engine and authority, connected to a bus
 * of this process and to libvirt's test driver.
 *
 * The input is a line "METHOD CALLER [DOMAIN]" (CALLER: root, user, allowed, nobody, or odd, for
 * whom polkit answers nonsense), and then the call's arguments in GVariant's own notation, of the
 * right type or not.  Each call has one answer: a result of the interface's type, or an error that
 * has a name of ours, or one of D-Bus's.  A policy changes only for who may change it.
 */
#include <libvirt-glib/libvirt-glib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/core/mf-names.h"
#include "../../src/daemon/mf-bus.h"
#include "../../src/daemon/mf-control.h"
#include "mf-fuzz-bus.h"
#include "mf-fuzz.h"

/* libvirt's test driver has this one. */
#define NAME       "test"
#define UUID       "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define PATH       MF_OBJECT_DOMAINS "/6695eb01_f6a4_8304_79aa_97f2502e193f"
#define KSM        "sys/kernel/mm/ksm/"
#define NOBODY     65534u
#define WAIT_USEC  (300 * G_USEC_PER_SEC)
#define PAGE_BYTES 4096
#define PAGES      4

static MfFuzzFolder *folder;
static MfFuzzBus *bus;
static MfEngine *engine;
static MfControl *control;

static const struct {
    const char *path;
    const char *text;
} files[] = {
    {"proc/sys/kernel/random/boot_id", "boot-1\n"},
    {"proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\nSwapTotal: 0 kB\n"
                     "SwapFree: 0 kB\n"},
    {KSM "run", "0\n"},
    {KSM "pages_to_scan", "100\n"},
    {KSM "sleep_millisecs", "20\n"},
    {KSM "pages_shared", "5\n"},
    {KSM "pages_sharing", "9\n"},
    {KSM "general_profit", "4096\n"},
    {"run/libvirt/qemu/" NAME ".pid", "4711\n"},
    {"proc/4711/comm", "qemu\n"},
    {"proc/4711/ksm_stat", "ksm_rmap_items 4\nksm_merging_pages 2\nksm_process_profit 1\n"},
    {"proc/4711/smaps", "100000-104000 rw-p 00000000 00:00 0\nSize: 16 kB\nRss: 16 kB\n"
                        "Pss: 12 kB\nKSM: 8 kB\nVmFlags: rd wr mr mw me dc ac mg sd\n"},
    {"run/memfold/lock", ""},
};

static void
make_host(void)
{
    static const char cmdline[] = "qemu\0-uuid\0" UUID;
    static const guint8 memory[PAGES * PAGE_BYTES] = {1};
    guint64 pagemap[PAGES];

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        mf_fuzz_folder_write(folder, files[i].path, files[i].text, strlen(files[i].text));
    }
    for (guint i = 0; i < PAGES; i++) {
        pagemap[i] = G_GUINT64_CONSTANT(1) << 63;
    }
    mf_fuzz_folder_write(folder, "proc/4711/cmdline", cmdline, sizeof cmdline);
    mf_fuzz_folder_write(folder, "proc/4711/mem", memory, sizeof memory);
    mf_fuzz_folder_write(folder, "proc/4711/pagemap", pagemap, sizeof pagemap);
}

static void
do_nothing(G_GNUC_UNUSED gpointer data)
{
}

/* Configurations have a target of their own. */
static gboolean
reload(G_GNUC_UNUSED gpointer data, G_GNUC_UNUSED GError **error)
{
    return TRUE;
}

int
LLVMFuzzerInitialize(G_GNUC_UNUSED int *argc, G_GNUC_UNUSED char ***argv)
{
    static const MfControlHandlers handlers = {do_nothing, do_nothing, reload};
    MfRoot *host = NULL;
    MfRoot *runtime = NULL;
    g_autofree char *run_path = NULL;
    g_autoptr(MfConfig) config = mf_config_new();
    gint64 end_usec = g_get_monotonic_time() + WAIT_USEC;

    mf_fuzz_quiet();
    folder = mf_fuzz_folder_new();
    make_host();
    run_path = g_build_filename(mf_fuzz_folder_get_path(folder), "run/memfold", NULL);
    host = mf_root_new(mf_fuzz_folder_get_path(folder), NULL);
    runtime = mf_root_new(run_path, NULL);
    g_free(config->libvirt_uri);
    config->libvirt_uri = g_strdup("test:///default");
    config->tick_msec = 60000;
    gvir_event_register();
    bus = mf_fuzz_bus_new(mf_fuzz_folder_get_path(folder));
    engine = mf_engine_new(host, mf_journal_new(runtime, host), config);
    mf_engine_start(engine);
    control = mf_control_new(engine, &handlers, NULL);
    g_assert_nonnull(control);
    mf_fuzz_bus_wait_for_name(bus);
    while (mf_engine_get(engine, UUID) == NULL) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_usec);
        g_main_context_iteration(NULL, TRUE);
    }
    return 0;
}

static MfFuzzCaller
caller_of(const char *word)
{
    MfFuzzCaller caller = {.known = TRUE, .uid = NOBODY};

    if (g_str_equal(word, "root")) {
        caller.uid = 0;
    } else if (g_str_equal(word, "allowed") || g_str_equal(word, "user")) {
        caller.polkit = g_variant_new("((bba{ss}))", word[0] == 'a', FALSE, NULL);
    } else if (g_str_equal(word, "odd")) {
        caller.polkit = g_variant_new("(s)", "yes");
    } else {
        caller.known = !g_str_equal(word, "stranger");
    }
    if (caller.polkit != NULL) {
        g_variant_ref_sink(caller.polkit);
    }
    return caller;
}

static gboolean
may_change(const MfFuzzCaller *caller)
{
    gboolean allowed = FALSE;

    if (caller->polkit != NULL &&
        g_variant_is_of_type(caller->polkit, G_VARIANT_TYPE("((bba{ss}))"))) {
        g_variant_get(caller->polkit, "((bba{ss}))", &allowed, NULL, NULL);
    }
    return caller->known && (caller->uid == 0 || caller->uid == getuid() || allowed);
}

/* The method as the interface has it, and where it is called. */
static const GDBusMethodInfo *
find_method(const char *name, const char **ret_path, const char **ret_interface)
{
    GDBusInterfaceInfo *of_host = mf_bus_host_interface_info();
    GDBusInterfaceInfo *of_domain = mf_bus_domain_interface_info();
    gboolean is_domains = g_str_has_prefix(name, "Domain.");

    *ret_path = is_domains ? PATH : MF_OBJECT_HOST;
    *ret_interface = is_domains ? MF_INTERFACE_DOMAIN : MF_INTERFACE_HOST;
    return g_dbus_interface_info_lookup_method(is_domains ? of_domain : of_host,
                                               is_domains ? strchr(name, '.') + 1 : name);
}

static void
check_answer(GDBusMessage *answer, const GDBusMethodInfo *method, const MfFuzzCaller *caller)
{
    static const char *const guarded[] = {"SetPolicy", "Reload", "Estimate", "Audit", NULL};
    const char *error = g_dbus_message_get_error_name(answer);
    GVariant *body = g_dbus_message_get_body(answer);
    g_autoptr(GString) type = g_string_new("(");

    if (error != NULL) {
        g_assert_true(g_str_has_prefix(error, MF_BUS_NAME ".Error.") ||
                      g_str_has_prefix(error, "org.freedesktop.DBus.Error."));
        return;
    }
    for (guint i = 0; method->out_args != NULL && method->out_args[i] != NULL; i++) {
        g_string_append(type, method->out_args[i]->signature);
    }
    g_string_append_c(type, ')');
    g_assert_cmpstr(body != NULL ? g_variant_get_type_string(body) : "()", ==, type->str);
    g_assert_true(may_change(caller) || !g_strv_contains(guarded, method->name));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *line = mf_fuzz_take_line(&data, &size);
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    const char *path = NULL;
    const char *interface = NULL;
    const GDBusMethodInfo *method = NULL;
    g_autoptr(GVariant) arguments = NULL;
    g_autoptr(GDBusMessage) call = NULL;
    g_autoptr(GDBusMessage) answer = NULL;
    MfFuzzCaller caller;

    if (g_strv_length(words) != 2) {
        return 0;
    }
    method = find_method(words[0], &path, &interface);
    arguments = mf_fuzz_wire_value(data, size);
    if (method == NULL || (arguments == NULL && size > 0)) {
        return 0;
    }
    call = g_dbus_message_new_method_call(MF_BUS_NAME, path, interface, method->name);
    if (arguments != NULL) {
        g_dbus_message_set_body(call, arguments);
    }
    caller = caller_of(words[1]);
    answer = mf_fuzz_bus_call(bus, call, &caller);
    if (answer != NULL) {
        check_answer(answer, method, &caller);
    }
    g_clear_pointer(&caller.polkit, g_variant_unref);
    return 0;
}
