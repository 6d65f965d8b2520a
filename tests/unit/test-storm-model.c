/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A storm in a model: all guests rewrite all they share, on a host that has too little for it.
 *
 * The model has memory, swap, and guests that write for as long as they are not paused; it carries
 * out what the plans say.  Without that, memory is exhausted; with it, never, and every guest ends
 * what it began once there is room.
 */
#include "mf-storm-scene.h"

#define GUESTS     6
#define SHARED_MIB 512 /* of each guest, the same in all */
#define WRITE_MIB  20  /* of each guest and tick */
#define ENDS_TICKS 400

typedef struct {
    Scene scene;
    MfDomain *guests[GUESTS];
    guint64 left_mib[GUESTS]; /* to be rewritten */
    gboolean paused[GUESTS];
    gint64 available_mib;
    gint64 swap_mib;
    gboolean exhausted;
    guint pauses_count;
} Model;

static void
model_open(Model *model, gint64 available_mib, gint64 swap_mib)
{
    memset(model, 0, sizeof(*model));
    scene_open(&model->scene, NULL);
    model->available_mib = available_mib;
    model->swap_mib = swap_mib;
    model->scene.config->storm_horizon_msec = 20000;
    model->scene.config->storm_suspend = TRUE;
    model->scene.host->saved_bytes = MF_U64((GUESTS - 1) * SHARED_MIB * MIB);
    for (guint i = 0; i < GUESTS; i++) {
        g_autofree char *name = g_strdup_printf("guest%u", i);
        model->guests[i] = scene_add(&model->scene, name, 10 * i);
        model->left_mib[i] = SHARED_MIB;
    }
}

/* One tick of the guests. */
static void
write_all(Model *model)
{
    for (guint i = 0; i < GUESTS; i++) {
        guint64 mib = model->paused[i] ? 0 : MIN(model->left_mib[i], WRITE_MIB);

        model->left_mib[i] -= mib;
        scene_write(&model->scene, model->guests[i], mib);
        model->guests[i]->merged_bytes = MF_U64(model->left_mib[i] * MIB);
        model->available_mib -= (gint64)mib;
    }
    /* Where nothing is available any more, the kernel swaps by itself. */
    gint64 short_mib = MIN(MAX(-model->available_mib, 0), model->swap_mib);
    model->available_mib += short_mib;
    model->swap_mib -= short_mib;
    model->exhausted |= model->available_mib < 0;
}

static void
carry_out(Model *model)
{
    for (guint i = 0; i < GUESTS; i++) {
        const MfAction *reclaim = scene_action(&model->scene, MF_ACTION_RECLAIM, model->guests[i]);

        if (reclaim != NULL) {
            gint64 mib = MIN((gint64)(reclaim->bytes / MIB), model->swap_mib);
            model->available_mib += mib;
            model->swap_mib -= mib;
            scene_done(&model->scene, MF_ACTION_RECLAIM, model->guests[i], TRUE);
        }
        if (scene_action(&model->scene, MF_ACTION_SUSPEND, model->guests[i])) {
            model->paused[i] = TRUE;
            model->pauses_count++;
            scene_done(&model->scene, MF_ACTION_SUSPEND, model->guests[i], TRUE);
        }
        if (scene_action(&model->scene, MF_ACTION_RESUME, model->guests[i])) {
            model->paused[i] = FALSE;
            scene_done(&model->scene, MF_ACTION_RESUME, model->guests[i], TRUE);
        }
    }
}

static guint
count_ready(const Model *model)
{
    guint count = 0;

    for (guint i = 0; i < GUESTS; i++) {
        count += model->left_mib[i] == 0;
    }
    return count;
}

/* So many ticks, or until memory is exhausted or all guests are ready. */
static void
run(Model *model, guint ticks, gboolean guarded)
{
    for (guint i = 0; i < ticks && !model->exhausted && count_ready(model) < GUESTS; i++) {
        write_all(model);
        model->scene.host->mem_available_bytes = MF_U64(MAX(model->available_mib, 0) * MIB);
        model->scene.host->swap_free_bytes = MF_U64(model->swap_mib * MIB);
        scene_tick(&model->scene, SCENE_TICK_USEC);
        if (guarded) {
            carry_out(model);
        }
    }
}

static void
test_is_lost_without(void)
{
    Model model;

    model_open(&model, 1000, 300);
    run(&model, ENDS_TICKS, FALSE);
    g_assert_true(model.exhausted);
    scene_close(&model.scene, NULL);
}

static void
test_is_survived(void)
{
    Model model;

    model_open(&model, 1000, 300);
    run(&model, ENDS_TICKS, TRUE);
    g_assert_false(model.exhausted);
    g_assert_cmpuint(model.pauses_count, >, 0);
    g_test_message("%u of %d ready, %u pauses, %d MiB left", count_ready(&model), GUESTS,
                   model.pauses_count, (int)model.available_mib);
    /* Nobody of a higher priority stands still while a lower one goes on. */
    for (guint i = 1; i < GUESTS; i++) {
        g_assert_false(model.paused[i] && !model.paused[i - 1] && model.left_mib[i - 1] > 0);
    }
    g_assert_cmpuint(count_ready(&model), <, GUESTS);

    /* A guest that is ready ends, and gives back what it has: the others go on, to their end. */
    model.available_mib += 2000;
    run(&model, ENDS_TICKS, TRUE);
    g_assert_false(model.exhausted);
    g_assert_cmpuint(count_ready(&model), ==, GUESTS);
    scene_close(&model.scene, NULL);
}

/* What fits is let pass. */
static void
test_what_fits_is_left_alone(void)
{
    Model model;

    model_open(&model, GUESTS * SHARED_MIB, 0);
    run(&model, ENDS_TICKS, TRUE);
    g_assert_cmpuint(model.pauses_count, ==, 0);
    g_assert_cmpuint(count_ready(&model), ==, GUESTS);
    scene_close(&model.scene, NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storm-model/lost", test_is_lost_without);
    g_test_add_func("/storm-model/survived", test_is_survived);
    g_test_add_func("/storm-model/fits", test_what_fits_is_left_alone);
    return g_test_run();
}
