/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An audit of a host whose page tables are files: what the bits of pagemap and of the two tables of
 * frames mean, who is asked, and what can't be read. */
#include <string.h>
#include <unistd.h>

#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-audit-run.h"
#include "../unit/mf-test.h"
#include "fakeroot.h"

#define UUID_A        "a1111111-1111-4111-8111-111111111111"
#define UUID_B        "b1111111-1111-4111-8111-111111111111"
#define PID_A         4711
#define PID_B         4712
#define PID_STRANGER  4713
#define PAGES         16
#define FRAMES        64
#define PATIENCE_MSEC 60000
#define FIRST_PAGE    G_GUINT64_CONSTANT(0x100)

#define BIT(n)    (G_GUINT64_CONSTANT(1) << (n))
#define PRESENT   BIT(63)
#define SWAPPED   BIT(62)
#define FILE_PAGE BIT(61)
#define EXCLUSIVE BIT(56)
#define KSM       BIT(21)
#define ZERO_PAGE BIT(24)

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfConfig *config;
    GPtrArray *domains;
    guint64 flags[FRAMES];
    guint64 counts[FRAMES];
    guint done_permyriad;
} Scene;

static void
write_words(const Scene *scene, const char *path, guint64 skipped, const guint64 *words,
            gsize words_count)
{
    g_autofree char *full = g_build_filename(fake_root_get_path(scene->fake), path, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree guint64 *file = g_new0(guint64, skipped + words_count);

    memcpy(file + skipped, words, words_count * sizeof(words[0]));
    g_file_set_contents(full, (const char *)file,
                        (gssize)((skipped + words_count) * sizeof(words[0])), &error);
    g_assert_no_error(error);
}

static void
write_frames(const Scene *scene)
{
    fake_root_set_file(scene->fake, "proc/kpageflags", "");
    fake_root_set_file(scene->fake, "proc/kpagecount", "");
    write_words(scene, "proc/kpageflags", 0, scene->flags, FRAMES);
    write_words(scene, "proc/kpagecount", 0, scene->counts, FRAMES);
}

/* What a process has in its one private area; what it has in a shared one is not looked at. */
static void
map_pages(const Scene *scene, gint64 pid, const guint64 *entries)
{
    guint64 page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    g_autofree char *maps = g_strdup_printf("proc/%" G_GINT64_FORMAT "/maps", pid);
    g_autofree char *smaps = g_strdup_printf("proc/%" G_GINT64_FORMAT "/smaps", pid);
    g_autofree char *pagemap = g_strdup_printf("proc/%" G_GINT64_FORMAT "/pagemap", pid);
    g_autofree char *area =
        g_strdup_printf("%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x rw-p 00000000 00:00 0",
                        FIRST_PAGE * page_size_bytes, (FIRST_PAGE + PAGES) * page_size_bytes);
    g_autofree char *maps_text =
        g_strdup_printf("%s\n7f0000000000-7f0000001000 rw-s 00000000 00:01 7  /memfd\n"
                        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n",
                        area);
    g_autofree char *smaps_text = g_strdup_printf(
        "%s\nSize: 64 kB\nRss: 64 kB\nPss: 32 kB\nKSM: 32 kB\nVmFlags: rd wr mr mw me ac mg\n",
        area);

    fake_root_set_file(scene->fake, maps, maps_text);
    fake_root_set_file(scene->fake, smaps, smaps_text);
    fake_root_set_file(scene->fake, pagemap, "");
    write_words(scene, pagemap, FIRST_PAGE, entries, PAGES);
}

static void
add_domain(Scene *scene, const char *name, const char *uuid, gint64 pid, const char *group)
{
    const FakeDomain fake = {.name = name, .uuid = uuid, .pid = pid, .zero_pages = 3};
    MfDomain *domain = mf_domain_new(uuid, name);

    fake_root_add_domain(scene->fake, &fake);
    domain->pid = pid;
    domain->policy->group = g_strdup(group);
    g_ptr_array_add(scene->domains, domain);
}

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const char *const nobody[] = {"nobody", NULL};
    const guint64 nothing[PAGES] = {0};

    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
    scene->config = mf_config_new();
    scene->domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    add_domain(scene, "a", UUID_A, PID_A, "tenant-a");
    add_domain(scene, "b", UUID_B, PID_B, "tenant-b");
    fake_root_add_process(scene->fake, PID_STRANGER, "nobody", nobody);
    map_pages(scene, PID_A, nothing);
    map_pages(scene, PID_B, nothing);
    map_pages(scene, PID_STRANGER, nothing);
    write_frames(scene);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_ptr_array_unref(scene->domains);
    mf_config_free(scene->config);
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

static void
on_progress(guint done_permyriad, gpointer data)
{
    Scene *scene = data;

    g_assert_cmpuint(done_permyriad, >=, scene->done_permyriad);
    scene->done_permyriad = done_permyriad;
}

static MfAuditReport *
audit(Scene *scene, GHashTable *judged, gboolean knows_all)
{
    g_autoptr(GError) error = NULL;
    scene->done_permyriad = 0;
    MfAuditReport *report =
        mf_audit_run(scene->root, scene->config, scene->domains, judged, knows_all, PATIENCE_MSEC,
                     on_progress, scene, NULL, &error);

    g_assert_no_error(error);
    return report;
}

/* One page each of a and b, and whether it is a violation. */
static void
test_what_counts_as_shared(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *what;
        guint64 entries[2];
        guint64 flags;
        guint64 merged_pages;
        guint64 violation_pages;
    } cases[] = {
        {"merged", {PRESENT | 7, PRESENT | 7}, KSM, 2, 1},
        {"not KSM's", {PRESENT | 7, PRESENT | 7}, 0, 0, 0},
        {"of a file", {PRESENT | FILE_PAGE | 7, PRESENT | FILE_PAGE | 7}, KSM, 0, 0},
        {"of one alone", {PRESENT | EXCLUSIVE | 7, 0}, KSM, 0, 0},
        {"the zero page", {PRESENT | 7, PRESENT | 7}, ZERO_PAGE, 0, 0},
        {"soft-dirty", {PRESENT | BIT(55) | 7, PRESENT | 7}, KSM, 2, 1},
        {"in swap", {SWAPPED | 7 << 5, SWAPPED | 7 << 5}, 0, 0, 1},
        {"in swap, apart", {SWAPPED | 7 << 5, SWAPPED | 8 << 5}, 0, 0, 0},
        {"on another device", {SWAPPED | 7 << 5, SWAPPED | 7 << 5 | 1}, 0, 0, 0},
        {"a mark, no page", {SWAPPED | 31, SWAPPED | 31}, 0, 0, 0},
        {"in memory and in swap", {PRESENT | 7, SWAPPED | 7}, KSM, 1, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 mapped =
            (cases[i].entries[0] & PRESENT ? 1 : 0) + (cases[i].entries[1] & PRESENT ? 1 : 0);

        mf_test_case(cases[i].what);
        scene->flags[7] = cases[i].flags;
        scene->counts[7] = mapped;
        write_frames(scene);
        for (guint k = 0; k < 2; k++) {
            guint64 entries[PAGES] = {0};
            entries[k + 3] = cases[i].entries[k];
            map_pages(scene, k == 0 ? PID_A : PID_B, entries);
        }
        g_autoptr(MfAuditReport) report = audit(scene, NULL, TRUE);
        const MfAuditDomain *a = mf_audit_report_get_domain(report, 0);
        const MfAuditDomain *b = mf_audit_report_get_domain(report, 1);
        g_assert_cmpuint(report->counts.violation_pages, ==, cases[i].violation_pages);
        g_assert_cmpuint(report->counts.unexplained_pages, ==, 0);
        g_assert_cmpuint(a->merged_pages + b->merged_pages, ==, cases[i].merged_pages);
        g_assert_cmpuint(a->looked_pages, ==, 1);
        g_assert_cmpuint(a->violation_pages, ==, cases[i].violation_pages);
        g_assert_cmpint(report->verdict, ==,
                        cases[i].violation_pages > 0 ? MF_AUDIT_VIOLATED : MF_AUDIT_CLEAN);
        g_assert_cmpuint(scene->done_permyriad, ==, 10000);
    }
}

/* The page is mapped twice, and one of these is not a domain. */
static void
test_others(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *group;
        MfDefaultGroup default_group;
        gboolean is_found;
        MfAuditVerdict verdict;
    } cases[] = {
        {"tenant-a", MF_DEFAULT_GROUP_ISOLATED, TRUE, MF_AUDIT_VIOLATED},
        {"tenant-a", MF_DEFAULT_GROUP_SHARED, TRUE, MF_AUDIT_VIOLATED},
        {MF_GROUP_SHARED, MF_DEFAULT_GROUP_ISOLATED, TRUE, MF_AUDIT_VIOLATED},
        {MF_GROUP_SHARED, MF_DEFAULT_GROUP_SHARED, TRUE, MF_AUDIT_CLEAN},
        {NULL, MF_DEFAULT_GROUP_SHARED, TRUE, MF_AUDIT_CLEAN},
        {NULL, MF_DEFAULT_GROUP_SHARED, FALSE, MF_AUDIT_NOT_PROVEN},
    };
    const guint64 page[PAGES] = {[2] = PRESENT | 7};
    const guint64 nothing[PAGES] = {0};

    scene->flags[7] = KSM;
    scene->counts[7] = 2;
    write_frames(scene);
    map_pages(scene, PID_A, page);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfDomain *domain = scene->domains->pdata[0];

        g_test_message("case %u", i);
        for (guint k = 0; k < scene->domains->len; k++) {
            MfDomain *other = scene->domains->pdata[k];
            domain = g_str_equal(other->uuid, UUID_A) ? other : domain;
        }
        g_free(domain->policy->group);
        domain->policy->group = g_strdup(cases[i].group);
        scene->config->default_group = cases[i].default_group;
        map_pages(scene, PID_STRANGER, cases[i].is_found ? page : nothing);
        g_autoptr(MfAuditReport) report = audit(scene, NULL, TRUE);
        g_assert_cmpint(report->verdict, ==, cases[i].verdict);
        g_assert_cmpuint(report->counts.unexplained_pages, ==, cases[i].is_found ? 0 : 1);
        g_assert_cmpuint(report->pairs->len, ==, cases[i].verdict == MF_AUDIT_VIOLATED ? 1 : 0);
        if (report->pairs->len > 0) {
            const MfAuditPair *pair = &g_array_index(report->pairs, MfAuditPair, 0);
            const MfAuditOther *other = mf_audit_report_get_other(report, pair->other_party);
            g_assert_cmpstr(other->name, ==, "nobody");
            g_assert_cmpint(other->pid, ==, PID_STRANGER);
        }
    }
}

static void
test_what_can_not_be_looked_at(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const guint64 hidden[PAGES] = {[0] = PRESENT};
    g_autofree char *maps = g_strdup_printf("proc/%d/maps", PID_B);
    g_autoptr(GError) error = NULL;

    g_autoptr(MfAuditReport) well = audit(scene, NULL, TRUE);
    g_assert_cmpint(well->verdict, ==, MF_AUDIT_CLEAN);
    g_autoptr(MfAuditReport) unsure = audit(scene, NULL, FALSE);
    g_assert_cmpint(unsure->verdict, ==, MF_AUDIT_NOT_PROVEN);

    map_pages(scene, PID_B, hidden);
    g_autoptr(MfAuditReport) denied = audit(scene, NULL, TRUE);
    g_assert_cmpint(denied->verdict, ==, MF_AUDIT_NOT_PROVEN);
    g_assert_cmpuint(denied->failed_count, ==, 1);
    g_assert_null(mf_audit_report_get_domain(denied, 0)->trouble);
    const MfReason *trouble = mf_audit_report_get_domain(denied, 1)->trouble;
    g_assert_cmpint(trouble->code, ==, MF_REASON_AUDIT_FAILED);
    g_assert_nonnull(strstr(trouble->text, "CAP_SYS_ADMIN"));

    fake_root_set_file(scene->fake, maps, "nonsense\n");
    g_autoptr(MfAuditReport) garbled = audit(scene, NULL, TRUE);
    g_assert_cmpint(garbled->verdict, ==, MF_AUDIT_NOT_PROVEN);

    /* One that has ended shares nothing; one that never was found may share anything. */
    fake_root_end_process(scene->fake, PID_B);
    g_autoptr(MfAuditReport) ended = audit(scene, NULL, TRUE);
    g_assert_cmpint(ended->verdict, ==, MF_AUDIT_CLEAN);
    for (guint i = 0; i < scene->domains->len; i++) {
        ((MfDomain *)scene->domains->pdata[i])->pid = 0;
    }
    g_autoptr(MfAuditReport) lost = audit(scene, NULL, TRUE);
    g_assert_cmpint(lost->verdict, ==, MF_AUDIT_NOT_PROVEN);

    fake_root_remove_file(scene->fake, "proc/kpagecount");
    g_assert_null(mf_audit_run(scene->root, scene->config, scene->domains, NULL, TRUE,
                               PATIENCE_MSEC, on_progress, scene, NULL, &error));
    mf_assert_error(error, MF_ERROR_UNSUPPORTED, "/proc/kpagecount");
}

/* ksmd's zero pages are everybody's, and forbidden only where the configuration says so. */
static void
test_zero_pages(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfSetting setting;
        guint64 pages;
    } cases[] = {{MF_SETTING_KEEP, 0}, {MF_SETTING_ON, 0}, {MF_SETTING_OFF, 6}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        scene->config->use_zero_pages = cases[i].setting;
        g_autoptr(MfAuditReport) report = audit(scene, NULL, TRUE);
        g_assert_cmpuint(report->zero_violation_pages, ==, cases[i].pages);
        g_assert_cmpint(report->verdict, ==,
                        cases[i].pages > 0 ? MF_AUDIT_VIOLATED : MF_AUDIT_CLEAN);
        g_assert_cmpuint(mf_audit_report_get_domain(report, 0)->zero_pages.value, ==, 3);
    }
}

/* What the kernel places and does not count is not proven to be nothing. */
static void
test_uncounted_zero_pages(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *what;
        MfSetting setting;
        const char *ksm_stat; /* of b; NULL: the kernel has none */
        gboolean is_placed;
        const char *group;
        MfAuditVerdict verdict;
    } cases[] = {
        {"counted", MF_SETTING_OFF, "ksm_zero_pages 0\n", TRUE, "tenant-b", MF_AUDIT_CLEAN},
        {"not counted", MF_SETTING_OFF, "ksm_rmap_items 9\n", TRUE, "tenant-b",
         MF_AUDIT_NOT_PROVEN},
        {"garbled", MF_SETTING_OFF, "ksm_zero_pages few\n", TRUE, "tenant-b", MF_AUDIT_NOT_PROVEN},
        {"no ksm_stat", MF_SETTING_OFF, NULL, TRUE, "tenant-b", MF_AUDIT_NOT_PROVEN},
        {"shared by all", MF_SETTING_OFF, NULL, TRUE, MF_GROUP_SHARED, MF_AUDIT_CLEAN},
        {"allowed", MF_SETTING_KEEP, NULL, TRUE, "tenant-b", MF_AUDIT_CLEAN},
        {"never placed", MF_SETTING_OFF, NULL, FALSE, "tenant-b", MF_AUDIT_CLEAN},
    };
    g_autofree char *of_a = g_strdup_printf("proc/%d/ksm_stat", PID_A);
    g_autofree char *of_b = g_strdup_printf("proc/%d/ksm_stat", PID_B);

    fake_root_set_file(scene->fake, of_a, "ksm_zero_pages 0\n");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].what);
        scene->config->use_zero_pages = cases[i].setting;
        fake_root_set_file(scene->fake, of_b, cases[i].ksm_stat ? cases[i].ksm_stat : "");
        if (!cases[i].ksm_stat) {
            fake_root_remove_file(scene->fake, of_b);
        }
        if (!cases[i].is_placed) {
            fake_root_remove_ksm(scene->fake, "use_zero_pages");
        }
        for (guint k = 0; k < scene->domains->len; k++) {
            MfDomain *domain = scene->domains->pdata[k];

            if (g_str_equal(domain->uuid, UUID_B)) {
                g_free(domain->policy->group);
                domain->policy->group = g_strdup(cases[i].group);
            }
        }
        g_autoptr(MfAuditReport) report = audit(scene, NULL, TRUE);
        gboolean is_proven = cases[i].verdict == MF_AUDIT_CLEAN;
        g_assert_cmpint(report->verdict, ==, cases[i].verdict);
        g_assert_cmpuint(report->failed_count, ==, is_proven ? 0 : 1);
        for (guint k = 0; k < report->domains->len; k++) {
            const MfAuditDomain *entry = mf_audit_report_get_domain(report, k);

            g_assert_cmpint(entry->trouble != NULL, ==,
                            !is_proven && g_str_equal(entry->name, "b"));
        }
    }
}

/* The group of one whose XML could not be read is anybody's guess. */
static void
test_unread_domain(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *b = scene->domains->pdata[1];

    b->is_unread = TRUE;
    g_autoptr(MfAuditReport) unread = audit(scene, NULL, TRUE);
    g_assert_cmpint(unread->verdict, ==, MF_AUDIT_NOT_PROVEN);
    g_assert_cmpuint(unread->failed_count, ==, 1);
    g_assert_nonnull(strstr(mf_audit_report_get_domain(unread, 1)->trouble->text, "its XML"));

    fake_root_end_process(scene->fake, PID_B);
    g_autoptr(MfAuditReport) ended = audit(scene, NULL, TRUE);
    g_assert_cmpint(ended->verdict, ==, MF_AUDIT_CLEAN);
}

/* Who is named is asked about, with all that it shares; what only others have is not. */
static void
test_named_domains(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const guint64 of_a[PAGES] = {[1] = PRESENT | 7, [3] = SWAPPED | 9 << 5};
    const guint64 of_b[PAGES] = {[1] = PRESENT | 7, [2] = PRESENT | 8, [5] = SWAPPED | 9 << 5};
    const guint64 of_stranger[PAGES] = {[9] = PRESENT | 8};
    g_autoptr(GHashTable) judged = g_hash_table_new(g_str_hash, g_str_equal);

    scene->flags[7] = scene->flags[8] = KSM;
    scene->counts[7] = scene->counts[8] = 2;
    write_frames(scene);
    map_pages(scene, PID_A, of_a);
    map_pages(scene, PID_B, of_b);
    map_pages(scene, PID_STRANGER, of_stranger);
    g_hash_table_add(judged, UUID_A);
    g_autoptr(MfAuditReport) of_first = audit(scene, judged, TRUE);
    g_assert_cmpuint(of_first->counts.violation_pages, ==, 2);
    g_hash_table_remove(judged, UUID_A);
    g_hash_table_add(judged, UUID_B);
    g_autoptr(MfAuditReport) of_second = audit(scene, judged, TRUE);
    g_assert_cmpuint(of_second->counts.violation_pages, ==, 3);
    g_assert_cmpstr(mf_audit_report_get_domain(of_second, 0)->name, ==, "b");
    g_autoptr(MfAuditReport) of_all = audit(scene, NULL, TRUE);
    g_assert_cmpuint(of_all->counts.violation_pages, ==, 3);
}

static void
test_cancel(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_null(mf_audit_run(scene->root, scene->config, scene->domains, NULL, TRUE,
                               PATIENCE_MSEC, on_progress, scene, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

#define ADD(path, function) g_test_add((path), Scene, NULL, scene_open, (function), scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/audit-run/what-counts-as-shared", test_what_counts_as_shared);
    ADD("/audit-run/others", test_others);
    ADD("/audit-run/what-can-not-be-looked-at", test_what_can_not_be_looked_at);
    ADD("/audit-run/zero-pages", test_zero_pages);
    ADD("/audit-run/uncounted-zero-pages", test_uncounted_zero_pages);
    ADD("/audit-run/unread-domain", test_unread_domain);
    ADD("/audit-run/named-domains", test_named_domains);
    ADD("/audit-run/cancel", test_cancel);
    return g_test_run();
}
