/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for calls that block, and the wait for them when the process ends.
 *
 * GTask's own pool grows when its threads block, and a frozen QEMU or libvirtd blocks for as long
 * as it likes.  Here what is over a limit waits its turn.
 *
 * All are counted, since the process must not end by exit() beside one of them: exit handlers and
 * destructors of libvirt's libraries (libcrypto's frees its locks) pull down what the thread is
 * using, and it dies of SIGSEGV.
 */
#pragma once

#include <gio/gio.h>

typedef struct _MfWorkers MfWorkers;

MfWorkers *mf_workers_new(guint max_threads_count);

/* Leaves the threads to finish by themselves what they were given.  Does not block. */
void mf_workers_free(MfWorkers *workers);

/* Runs function(data of task) in a worker; the task returns on the context that it was made on. */
void mf_workers_run(MfWorkers *workers, GTask *task, GTaskThreadFunc function);

/* The same, at once, however many run: for what must not wait its turn. */
void mf_workers_run_now(GTask *task, GTaskThreadFunc function);

/* Calls call(data) at once in a worker, for who waits without a main context. */
typedef void (*MfWorkersCall)(gpointer data);
void mf_workers_call_now(MfWorkersCall call, gpointer data);

/* Runs the main context until everything given to any worker is done and its task has returned, or
 * wait_msec have passed.  Returns how many functions are not done; if any, the process can only
 * leave by _exit(). */
guint mf_workers_wait(guint wait_msec);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfWorkers, mf_workers_free)
