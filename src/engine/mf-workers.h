/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded number of threads for calls that block.
 *
 * GTask's own pool grows when its threads block, and a frozen QEMU or libvirtd blocks for as long
 * as it likes.  Here what is over the limit waits its turn.
 */
#pragma once

#include <gio/gio.h>

typedef struct _MfWorkers MfWorkers;

MfWorkers *mf_workers_new(guint max_threads_count);

/* Drops what has not begun (its tasks never return), and leaves the threads to finish by
 * themselves. */
void mf_workers_free(MfWorkers *workers);

/* Runs function(data of task) in a worker; the task returns on the context that it was made on. */
void mf_workers_run(MfWorkers *workers, GTask *task, GTaskThreadFunc function);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfWorkers, mf_workers_free)
