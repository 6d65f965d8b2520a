/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host made of plain files in a temporary directory.
 *
 * It speaks of memory, knobs, domains and processes; where those stand in /proc and /sys is its own
 * business.  Plain files do not react to writes as the kernel does: tests of that use the real one.
 */
#pragma once

#include "../../src/io/mf-root.h"

typedef struct _FakeRoot FakeRoot;

/* A domain with a running QEMU.  Figures as the kernel would print them. */
typedef struct {
    const char *name;
    const char *uuid;
    gint64 pid;
    guint64 mergeable_kib;
    guint64 resident_kib;
    guint64 proportional_kib;
    guint64 merged_kib;
    guint64 merging_pages;
    guint64 zero_pages;
    guint64 rmap_items_pages;
    gint64 profit_bytes;
} FakeDomain;

/* A host with 8 GiB, KSM at its kernel's defaults, ksmd, and nothing that runs. */
FakeRoot *fake_root_new(void);
void fake_root_free(FakeRoot *fake); /* and its files */

/* The same tree as the code under test sees it; unref it. */
MfRoot *fake_root_open(const FakeRoot *fake);
const char *fake_root_get_path(const FakeRoot *fake);

void fake_root_set_memory(FakeRoot *fake, guint64 total_kib, guint64 available_kib);

/* Files of /sys/kernel/mm/ksm by name. */
void fake_root_set_ksm(FakeRoot *fake, const char *name, const char *value);
char *fake_root_get_ksm(const FakeRoot *fake, const char *name); /* g_free() */
void fake_root_remove_ksm(FakeRoot *fake, const char *name);     /* NULL: all of KSM */
void fake_root_chmod_ksm(FakeRoot *fake, const char *name, guint mode);

/* ksmd's CPU time since boot; FALSE: the kernel has no list of kthreadd's children. */
void fake_root_set_ksmd(FakeRoot *fake, guint64 cpu_msec, gboolean with_children);

void fake_root_add_domain(FakeRoot *fake, const FakeDomain *domain);
/* A process; arguments are joined by '\0' as they come. */
void fake_root_add_process(FakeRoot *fake, gint64 pid, const char *comm,
                           const char *const *arguments);
/* What a process saves (see FakeDomain); for one that is no domain. */
void fake_root_set_process_ksm(FakeRoot *fake, const FakeDomain *figures);
/* The process ends; libvirt's PID file stays, as it may. */
void fake_root_end_process(FakeRoot *fake, gint64 pid);

/* Any other file or link, by its path below the root. */
void fake_root_set_file(FakeRoot *fake, const char *path, const char *text);
void fake_root_remove_file(FakeRoot *fake, const char *path);
void fake_root_chmod_file(FakeRoot *fake, const char *path, guint mode);
void fake_root_set_link(FakeRoot *fake, const char *path, const char *target);

/* While nobody, file modes mean what they say even to a test that root runs. */
void fake_root_be_nobody(gboolean nobody);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeRoot, fake_root_free)
