/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KSM's counters have not noticed yet, and what all that is merged would take without it. */
#include "mf-storm-scene.h"

static guint64
need_mib(const Scene *scene)
{
    return mf_storm_cover(scene_storm(scene), scene->host).need_bytes.value / MIB;
}

/* KSM's counters notice what was written only when ksmd comes by. */
static void
test_what_ksmd_has_not_noticed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    scene_write(scene, domain, 300);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 1748);

    scene->host->saved_bytes.value -= 100 * MIB;
    scene->host->full_scans_count.value += 1;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 1748);

    scene->host->full_scans_count.value += 1;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 1948);
}

/* Guests that write all the time, and ksmd that merges as much again: what is not noticed is never
 * more than what two sweeps saw written, also when a sweep ends in no tick or in each of them. */
static void
test_writing_without_end(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint ticks, ticks_per_sweep, sweeps;
        guint64 least_mib, most_mib; /* not noticed */
    } cases[] = {
        {400, 10, 1, 10, 20},
        {400, 1, 1, 2, 2},
        {400, 1, 3, 1, 1}, /* more than one sweep a tick */
        {100, 1000, 1, 1, 100},
    };
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene->config->coverage_permyriad = 10000;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        scene->host->full_scans_count.value += 2;
        scene_tick(scene, G_USEC_PER_SEC);
        for (guint tick = 1; tick <= cases[i].ticks; tick++) {
            scene_write(scene, domain, 1);
            scene->host->mem_available_bytes = MF_U64(1024 * MIB);
            if (tick % cases[i].ticks_per_sweep == 0) {
                scene->host->full_scans_count.value += cases[i].sweeps;
            }
            scene_tick(scene, G_USEC_PER_SEC);
            g_assert_cmpuint(need_mib(scene), >=, 2048 - cases[i].most_mib);
            if (tick > 2 * cases[i].ticks_per_sweep) {
                g_assert_cmpuint(need_mib(scene), <=, 2048 - cases[i].least_mib);
            }
        }
        g_assert_true(scene->memory->uncovered);
        g_assert_true(scene_storm(scene)->exposed);
    }
}

/* What is noticed is of the older ones first. */
static void
test_falls_are_of_what_is_older(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    scene_write(scene, domain, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    scene->host->full_scans_count.value += 1;
    scene_write(scene, domain, 30);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 130);
    scene->host->saved_bytes.value -= 110 * MIB;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 130);
    scene->host->full_scans_count.value += 1;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 130); /* 20 of the 30 are in the next sweep's */
    scene->host->full_scans_count.value += 1;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 110);
}

/* A host that was read later than the last tick: what its counters have noticed since is not taken
 * off them twice. */
static void
test_a_newer_host(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    scene_write(scene, domain, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 100);
    scene->host->saved_bytes.value -= 60 * MIB;
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 100);
    scene->host->full_scans_count.value += 2;
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 60);
    scene->host->saved_bytes = MF_U64_ABSENT;
    g_assert_false(mf_storm_cover(scene_storm(scene), scene->host).need_bytes.known);
}

/* ksmd stands still since what is merged is not covered: the end of a domain is the remedy,
 * although no counter notices it.  Each way that a domain goes counts once. */
static void
test_a_domain_ends(Scene *scene, gconstpointer way)
{
    enum { VANISHES, IS_TOLD, IS_TOLD_EARLY, IS_REPLACED };
    MfDomain *stays = scene_add(scene, "stays", 100);
    MfDomain *ends = scene_add(scene, "ends", 100);
    int how = GPOINTER_TO_INT(way);

    scene->config->coverage_permyriad = 10000;
    stays->pid = 10;
    ends->pid = 20;
    ends->zero_bytes = MF_U64(50 * MIB);
    scene_tick(scene, 0);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_true(scene->memory->uncovered);
    if (how == IS_TOLD || how == IS_TOLD_EARLY) {
        mf_storm_forget(&scene->memory->storm, ends->uuid);
        g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    }
    if (how == IS_TOLD_EARLY) {
        scene_tick(scene, G_USEC_PER_SEC);
        scene_tick(scene, G_USEC_PER_SEC);
        g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    }
    if (how == IS_REPLACED) {
        ends->pid = 21;
        ends->saved_bytes = MF_U64(0);
        ends->zero_bytes = MF_U64(0);
    } else {
        g_assert_true(g_ptr_array_remove(scene->snapshot->domains, ends));
    }
    scene->host->mem_available_bytes = MF_U64(1800 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    g_assert_false(scene->memory->uncovered);

    /* The counters notice it, all at once or by and by. */
    scene->host->saved_bytes.value -= 100 * MIB;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    scene->host->saved_bytes.value -= 250 * MIB;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
    scene->host->full_scans_count.value += 2;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 350);
}

/* That the counters notice it later, while something else takes memory, is no writing: neither
 * where the kernel counts what is written, nor elsewhere. */
static void
test_an_end_is_noticed_late(Scene *scene, gconstpointer counted)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    if (!GPOINTER_TO_INT(counted)) {
        scene->host->cow_breaks_count = MF_U64_ABSENT;
    }
    scene_tick(scene, 0);
    g_assert_true(g_ptr_array_remove(scene->snapshot->domains, domain));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 400);
    scene->host->saved_bytes.value -= 250 * MIB;
    scene->host->mem_available_bytes.value -= 250 * MIB;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_storm(scene)->written_rate_bytes.value, ==, 0);
    g_assert_false(scene_storm(scene)->raging);
}

/* What it wrote before its end is not there to be given back once more. */
static void
test_a_writer_ends(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    scene_write(scene, domain, 50);
    domain->saved_bytes.value -= 50 * MIB;
    domain->accounts_usec = scene->snapshot->taken_usec; /* they are new */
    scene_tick(scene, G_USEC_PER_SEC);
    for (guint i = 0; i < 4; i++) {
        domain->zero_bytes.value += 4096; /* read at each tick, and no new accounts */
        scene_write(scene, domain, 25);
        scene_tick(scene, G_USEC_PER_SEC);
    }
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 150);
    g_assert_true(g_ptr_array_remove(scene->snapshot->domains, domain));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(need_mib(scene), ==, 2048 - 150 - 250);
}

#define SCENE(path, function)                                                                      \
    g_test_add("/storm-unseen/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    static const char *const ways[] = {"vanishes", "told", "told-early", "replaced"};

    g_test_init(&argc, &argv, NULL);
    SCENE("noticed", test_what_ksmd_has_not_noticed);
    SCENE("without-end", test_writing_without_end);
    SCENE("older-first", test_falls_are_of_what_is_older);
    SCENE("newer-host", test_a_newer_host);
    SCENE("writer-ends", test_a_writer_ends);
    g_test_add("/storm-unseen/late/counted", Scene, GINT_TO_POINTER(TRUE), scene_open,
               test_an_end_is_noticed_late, scene_close);
    g_test_add("/storm-unseen/late/stock", Scene, GINT_TO_POINTER(FALSE), scene_open,
               test_an_end_is_noticed_late, scene_close);
    for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
        g_autofree char *path = g_strconcat("/storm-unseen/ends/", ways[way], NULL);
        g_test_add(path, Scene, GINT_TO_POINTER(way), scene_open, test_a_domain_ends, scene_close);
    }
    return g_test_run();
}
