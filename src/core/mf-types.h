/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plain values that the layers hand to each other.
 *
 * A snapshot is what could be read of the host and its domains at one moment.  It is filled by
 * collect, never changed afterwards, and read by decide.  A figure that could not be read is absent
 * (MfU64.known is FALSE) and never zero.  Units are in the names; pages are host base pages.
 */
#pragma once

#include <glib.h>

#include "mf-policy.h"

/* A figure that may be absent. */
typedef struct {
    gboolean known;
    guint64 value;
} MfU64;

typedef struct {
    gboolean known;
    gint64 value;
} MfI64;

#define MF_U64(v)     ((MfU64){TRUE, (v)})
#define MF_I64(v)     ((MfI64){TRUE, (v)})
#define MF_U64_ABSENT ((MfU64){FALSE, 0})
#define MF_I64_ABSENT ((MfI64){FALSE, 0})

/* How QEMU says that a domain's memory is marked now. */
typedef enum {
    MF_MODE_UNKNOWN, /* not asked yet, or it gave no answer */
    MF_MODE_OFF,
    MF_MODE_ON,
    MF_MODE_FROZEN,
    MF_MODE_MIXED, /* blocks differ */
} MfMode;

/* What stands behind a domain's RAM, from its XML. */
typedef enum {
    MF_MEMORY_UNKNOWN,
    MF_MEMORY_ANONYMOUS, /* private anonymous memory: can merge */
    MF_MEMORY_SHARED,    /* memfd or file, access shared: can't merge */
    MF_MEMORY_HUGEPAGES, /* hugetlb: can't merge */
    MF_MEMORY_FILE,      /* private file mapping: only written pages can merge */
} MfMemoryKind;

/* What the domain's QEMU can do, probed and never guessed from versions. */
typedef enum {
    MF_CAP_PROBED = 1 << 0,        /* the other bits are answers, not ignorance */
    MF_CAP_SET_MERGE = 1 << 1,     /* set-memory-merge and query-memory-merge */
    MF_CAP_BACKEND_MERGE = 1 << 2, /* `merge` property of memory backends */
    MF_CAP_FREEZE = 1 << 3,        /* it can set `frozen` on this host */
    MF_CAP_GROUP = 1 << 4,         /* it is kept apart now: the kernel has it in a group */
} MfCaps;

/* One RAMBlock, as query-memory-merge reports it. */
typedef struct {
    char *id;
    guint64 size_bytes;
    guint64 page_size_bytes;
    MfMode mode;
    gboolean mergeable_known;
    gboolean mergeable;
    char **blockers; /* NULL-terminated, QAPI names of MemoryMergeBlocker */
} MfBlock;

typedef struct {
    char *uuid; /* lower case, with dashes */
    char *name;
    gint64 pid;            /* of QEMU; 0 while unknown */
    gboolean nosharepages; /* libvirt's <nosharepages/>: always wins */
    MfMemoryKind memory_kind;
    MfPolicy *policy;   /* what the domain asks for; never NULL */
    char *policy_error; /* why its metadata was refused, or NULL */

    guint caps; /* MfCaps */
    MfMode mode;
    GPtrArray *blocks;  /* of MfBlock; NULL when QEMU has not told */
    gboolean switching; /* no switch is to be started now: one is under way or failed lately */
    char *switch_error; /* why QEMU's last answer failed or is overdue, or NULL */

    MfU64 mergeable_bytes;  /* VMAs marked VM_MERGEABLE ("mg" in VmFlags) */
    MfU64 resident_bytes;   /* Rss of those VMAs */
    MfU64 merged_bytes;     /* "KSM:" of smaps: mapped KSM pages, zero pages apart */
    MfU64 zero_bytes;       /* ksm_zero_pages of ksm_stat */
    MfU64 saved_bytes;      /* the domain's share of the host's saving, see mf-account.h */
    MfU64 rmap_items_pages; /* pages that ksmd tracks for it */
    MfI64 profit_bytes;     /* ksm_process_profit: the kernel's own, over-counting figure */
} MfDomain;

typedef struct {
    guint64 page_size_bytes;
    MfU64 mem_total_bytes;
    MfU64 mem_available_bytes;
    MfU64 swap_free_bytes;
    MfU64 memory_waits_permyriad; /* of the last 10 s, somebody waited for memory (PSI "some") */

    /* /sys/kernel/mm/ksm: absent where the kernel has no such file */
    MfU64 run;
    MfU64 pages_to_scan_pages;
    MfU64 sleep_msec;
    MfU64 pages_shared_pages;
    MfU64 pages_sharing_pages;
    MfU64 pages_unshared_pages;
    MfU64 pages_scanned_pages;
    MfU64 zero_pages;
    MfU64 full_scans_count;
    MfU64 use_zero_pages;
    MfU64 smart_scan;
    MfU64 max_page_sharing_pages;
    MfI64 general_profit_bytes;
    MfU64 ksmd_cpu_usec; /* CPU time of ksmd since boot */
    char *advisor_mode;  /* "none", "scan-time"; NULL when absent */
    char *other_manager; /* name of a process that also writes the knobs, or NULL */

    MfU64 other_saved_bytes; /* saving of processes that are no domains of ours */
    MfU64 saved_bytes;       /* what merging saves on the whole host, from KSM's own counters */
} MfHost;

typedef struct {
    gint64 taken_usec; /* monotonic */
    MfHost host;
    GPtrArray *domains; /* of MfDomain */
} MfSnapshot;

MfBlock *mf_block_new(void);
MfBlock *mf_block_copy(const MfBlock *block);
void mf_block_free(MfBlock *block);

/* A domain with everything absent and the default policy. */
MfDomain *mf_domain_new(const char *uuid, const char *name);
MfDomain *mf_domain_copy(const MfDomain *domain);
void mf_domain_free(MfDomain *domain);

/* A snapshot with everything absent and no domains. */
MfSnapshot *mf_snapshot_new(void);
void mf_snapshot_free(MfSnapshot *snapshot);

/* Finds by UUID; NULL when there is none.  The snapshot keeps ownership. */
const MfDomain *mf_snapshot_find(const MfSnapshot *snapshot, const char *uuid);

/* Text of an enum value ("on", "frozen", "shared", ...), and back; the latter answer FALSE and
 * leave the out-parameter alone when the text is none of them. */
const char *mf_mode_to_string(MfMode mode);
gboolean mf_mode_from_string(const char *text, MfMode *ret_mode);
const char *mf_memory_kind_to_string(MfMemoryKind kind);
gboolean mf_memory_kind_from_string(const char *text, MfMemoryKind *ret_kind);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfBlock, mf_block_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfDomain, mf_domain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfSnapshot, mf_snapshot_free)
