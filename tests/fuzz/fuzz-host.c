/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole tick on a host whose files hold anything: sysfs, procfs and libvirt's PID file, read by
 * the code that opens them, collected, decided on.  The input is a folder as head(1) prints one.
 */
#include <string.h>

#include "../../src/core/mf-decide.h"
#include "../../src/engine/mf-collect.h"
#include "../../src/io/mf-cgroup.h"
#include "../../src/io/mf-host.h"
#include "../../src/io/mf-ksm-groups.h"
#include "../../src/io/mf-ksm.h"
#include "../../src/io/mf-proc.h"
#include "../../src/io/mf-sampler.h"
#include "mf-fuzz.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define KSM  "sys/kernel/mm/ksm/"
#define PID  4711

static const char *const known[] = {"proc/meminfo",
                                    "proc/vmstat",
                                    "proc/pressure/memory",
                                    "proc/2/task/2/children",
                                    "proc/39/comm",
                                    "proc/39/stat",
                                    "proc/39/status",
                                    "proc/39/cmdline",
                                    "proc/39/ksm_stat",
                                    "proc/39/smaps",
                                    "proc/4711/comm",
                                    "proc/4711/stat",
                                    "proc/4711/status",
                                    "proc/4711/cmdline",
                                    "proc/4711/ksm_stat",
                                    "proc/4711/ksm_group",
                                    "proc/4711/smaps",
                                    "proc/4711/statm",
                                    "proc/4711/numa_maps",
                                    "proc/4711/cgroup",
                                    "proc/4711/pagemap",
                                    "proc/4711/mem",
                                    "run/libvirt/qemu/vm1.pid",
                                    KSM "run",
                                    KSM "pages_to_scan",
                                    KSM "sleep_millisecs",
                                    KSM "pages_shared",
                                    KSM "pages_sharing",
                                    KSM "pages_unshared",
                                    KSM "pages_scanned",
                                    KSM "pages_volatile",
                                    KSM "ksm_zero_pages",
                                    KSM "full_scans",
                                    KSM "use_zero_pages",
                                    KSM "smart_scan",
                                    KSM "advisor_mode",
                                    KSM "index",
                                    KSM "cpu_max_permyriad",
                                    KSM "skip_unwritten",
                                    KSM "boost",
                                    KSM "merge_across_nodes",
                                    KSM "max_page_sharing",
                                    KSM "stable_node_chains",
                                    KSM "stable_node_dups",
                                    KSM "huge_min_pages",
                                    KSM "pages_unsplit",
                                    KSM "general_profit",
                                    KSM "groups/0/pages_shared",
                                    KSM "groups/0/pages_sharing",
                                    KSM "groups/0/members",
                                    KSM "groups/7/pages_shared",
                                    KSM "groups/7/pages_sharing",
                                    KSM "groups/7/members",
                                    "sys/fs/cgroup/machine.slice/machine-qemu.scope/memory.reclaim",
                                    NULL};

static MfFuzzFolder *folder;
static MfRoot *root;

int
LLVMFuzzerInitialize(G_GNUC_UNUSED int *argc, G_GNUC_UNUSED char ***argv)
{
    g_autoptr(GError) error = NULL;

    mf_fuzz_quiet();
    folder = mf_fuzz_folder_new();
    root = mf_root_new(mf_fuzz_folder_get_path(folder), &error);
    g_assert_no_error(error);
    return 0;
}

static void
take_page(G_GNUC_UNUSED guint64 hash, G_GNUC_UNUSED gboolean is_zero, gpointer data)
{
    (*(guint *)data)++;
}

static void
take_advance(guint done_permyriad, G_GNUC_UNUSED gpointer data)
{
    g_assert_cmpuint(done_permyriad, <=, 10000);
}

/* It takes longer than all the rest, so that only inputs with some memory have it read. */
static void
read_memory(const MfDomain *domain)
{
    static const MfSamplerSink sink = {take_page, take_advance};
    g_autoptr(MfSampler) sampler = mf_sampler_new(root, G_MAXUINT32, NULL);
    guint pages_count = 0;

    mf_sampler_read(sampler, domain, &sink, &pages_count, NULL, NULL);
}

/* Memory is given back only by a file of that name in a control group. */
static void
read_guest(MfDomain *domain)
{
    g_autofree char *group = mf_proc_read_cgroup(root, domain, NULL);
    guint64 taken_bytes = 1;

    if (mf_root_exists(root, "proc/4711/mem")) {
        read_memory(domain);
    }
    if (!mf_cgroup_reclaim(root, domain, 4096, 1, &taken_bytes, NULL)) {
        g_assert_cmpuint(taken_bytes, ==, 0);
    }
    if (group != NULL) {
        g_assert_cmpint(group[0], !=, '/');
        g_assert_cmpint(group[0], !=, '\0');
        g_assert_null(strstr(group, "../"));
    }
    mf_proc_read_ksm_group(root, domain);
}

/* Decides three times, since it goes by what changed.  What it wants is what may be written. */
static void
tick(const MfConfig *config, MfDomain *domain)
{
    g_autoptr(MfMemory) memory = mf_memory_new();

    for (guint i = 0; i < 3; i++) {
        g_autoptr(GPtrArray) domains =
            g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
        g_autoptr(MfSnapshot) snapshot = NULL;
        g_autoptr(MfPlan) plan = NULL;

        g_ptr_array_add(domains, mf_domain_copy(domain));
        snapshot = mf_collect(root, domains, TRUE, NULL);
        snapshot->taken_usec += i * G_USEC_PER_SEC;
        plan = mf_decide(config, snapshot, memory);
        for (guint k = 0; k < plan->actions->len; k++) {
            const MfAction *action = plan->actions->pdata[k];
            g_autofree char *line = mf_action_to_string(action);

            g_assert_nonnull(action->reason);
            g_assert_true(g_utf8_validate(line, -1, NULL));
            if (action->kind == MF_ACTION_KNOB && action->knob == MF_KNOB_RUN) {
                g_assert_true(g_str_equal(action->to, "0") || g_str_equal(action->to, "1"));
            }
            if (action->kind == MF_ACTION_KNOB) {
                mf_ksm_write_knob(root, action->knob, action->to, NULL);
            }
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(MfDomain) domain = mf_domain_new(UUID, "vm1");
    g_autoptr(GPtrArray) groups = NULL;
    g_autoptr(GError) error = NULL;

    mf_fuzz_folder_fill(folder, known, data, size);
    if (!mf_proc_find_pid(root, domain->name, domain->uuid, &domain->pid, &error)) {
        g_assert_nonnull(error);
        domain->pid = PID;
    }
    groups = mf_ksm_read_groups(root, NULL);
    for (guint i = 1; groups != NULL && i < groups->len; i++) {
        g_assert_cmpuint(((MfKsmGroup *)groups->pdata[i - 1])->number, <,
                         ((MfKsmGroup *)groups->pdata[i])->number);
    }
    read_guest(domain);
    domain->pid = 0;
    domain->policy->merge = MF_MERGE_ON;
    domain->policy->group = g_strdup(MF_GROUP_SHARED);
    tick(config, domain);
    return 0;
}
