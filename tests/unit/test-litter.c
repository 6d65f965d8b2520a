/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ksmd keeps of domains that merge no longer. */
#include "governor-scene.h"

/* The last domain was un-merged: ksmd drops what it keeps of it, and stops then. */
static void
test_drops(Scene *scene, gconstpointer ends)
{
    scene->host->full_scans_count = MF_U64(10);
    scene->host->pages_shared_pages = MF_U64(500);
    tick(scene, 2000, 0);
    g_assert_null(written(scene, MF_KNOB_RUN));

    scene->config->default_group = MF_DEFAULT_GROUP_ISOLATED;
    tick(scene, 2000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0"); /* it could still merge */
    scene->host->run = MF_U64(0);
    scene->domain->mode = MF_MODE_OFF;
    tick(scene, 2000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "1");
    scene->host->run = MF_U64(1);
    scene->host->full_scans_count.value++;
    tick(scene, 2000, 0);
    g_assert_null(written(scene, MF_KNOB_RUN));

    if (g_str_equal(ends, "start")) {
        mf_memory_hold(scene->memory, "other", scene->snapshot->taken_usec + 5 * G_USEC_PER_SEC);
    } else if (g_str_equal(ends, "sweep")) {
        scene->host->full_scans_count.value++;
    } else if (g_str_equal(ends, "empty")) {
        scene->host->pages_shared_pages = MF_U64(0);
    } else {
        tick(scene, 58000, 0);
    }
    tick(scene, 2000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0");
    scene->host->run = MF_U64(0);
    tick(scene, 6000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, g_str_equal(ends, "start") ? "1" : NULL);
}

#define ADD(path) g_test_add("/litter/" path, Scene, path, scene_open, test_drops, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("start");
    ADD("sweep");
    ADD("empty");
    ADD("time");
    return g_test_run();
}
