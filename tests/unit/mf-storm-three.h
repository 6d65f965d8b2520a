/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scene of three domains of different priorities, and a storm of them all. */
#pragma once

#include "mf-storm-scene.h"

typedef struct {
    Scene scene;
    MfDomain *low;
    MfDomain *middle;
    MfDomain *high;
} Three;

static inline void
three_open(Three *three, gconstpointer unused)
{
    scene_open(&three->scene, unused);
    three->high = scene_add(&three->scene, "high", 300);
    three->low = scene_add(&three->scene, "low", 10);
    three->middle = scene_add(&three->scene, "middle", 200);
    scene_tick(&three->scene, 0);
}

static inline void
three_close(Three *three, gconstpointer unused)
{
    scene_close(&three->scene, unused);
}

/* All write so much in one second. */
static inline void
storm(Three *three, guint64 mib_each)
{
    scene_write(&three->scene, three->low, mib_each);
    scene_write(&three->scene, three->middle, mib_each);
    scene_write(&three->scene, three->high, mib_each);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(&three->scene)->raging);
}
