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
    MF_MEMORY_SHARED,    /* memory or file, access shared: can't merge */
    MF_MEMORY_HUGEPAGES, /* hugetlb: can't merge */
    MF_MEMORY_FILE,      /* private file mapping: only written pages can merge */
    MF_MEMORY_MEMFD,     /* memfd, which is shared unless it says otherwise: can't merge */
} MfMemoryKind;

/* What the domain's QEMU can do, probed and never guessed from versions. */
typedef enum {
    MF_CAP_PROBED = 1 << 0,        /* the other bits are answers, not ignorance */
    MF_CAP_SET_MERGE = 1 << 1,     /* set-memory-merge and query-memory-merge */
    MF_CAP_BACKEND_MERGE = 1 << 2, /* `merge` property of memory backends */
    MF_CAP_FREEZE = 1 << 3,        /* it can set `frozen` on this host */
    MF_CAP_GROUP = 1 << 4,         /* it is kept apart now: the kernel has it in a group */
} MfCaps;

/* Either of these switches merging while the domain runs. */
#define MF_CAPS_SWITCH (MF_CAP_SET_MERGE | MF_CAP_BACKEND_MERGE)

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
    gboolean is_unread; /* nor could its XML be read: the policy only stands in for its own */
    MfU64 memory_bytes; /* <memory> of its XML; only of a domain that the hook tells of */

    /* From its XML; the hook does not tell them. */
    char *launch_security;   /* type of <launchSecurity>: memory is the guest's alone; or NULL */
    guint passthrough_count; /* devices that reach all of its RAM (VFIO, vDPA), which pins it */

    guint caps; /* MfCaps */
    MfMode mode;
    GPtrArray *blocks;     /* of MfBlock, which copies share; NULL when QEMU has not told */
    gboolean switching;    /* no switch is to be started now: one is under way or failed lately */
    gboolean is_unmerging; /* of these: QEMU was asked to, and has not answered yet */
    char *switch_error;    /* why QEMU's last answer failed or is overdue, or NULL */

    gint64 accounts_usec;  /* when what smaps tells began to be read, maybe long ago; 0: not yet */
    MfU64 mergeable_bytes; /* VMAs marked VM_MERGEABLE ("mg" in VmFlags) */
    MfU64 resident_bytes;  /* Rss of those VMAs */
    MfU64 merged_bytes;    /* "KSM:" of smaps: mapped KSM pages, zero pages apart */
    MfU64 counted_bytes;   /* mf_account_counted_bytes() of then */
    MfU64 counted_scanned_pages; /* the host's pages_scanned before that */
    MfU64 scanned_since_bytes;   /* by ksmd, of everybody, from then until now */
    MfU64 zero_bytes;            /* ksm_zero_pages of ksm_stat */
    MfU64 saved_bytes;           /* the domain's share of the host's saving, see mf-account.h */
    MfU64 rmap_items_pages;      /* pages that ksmd tracks for it */
    MfI64 profit_bytes;          /* ksm_process_profit: the kernel's own, over-counting figure */

    /* Since its QEMU started, from our kernel's ksm_stat; absent on others. */
    MfU64 cow_breaks_count;     /* merged pages that were written */
    MfU64 swap_in_copies_count; /* merged pages that came back from swap as copies */
    MfU64 scanned_pages;

    /* What may keep its mergeable memory from merging, of one moment with merged_bytes. */
    MfU64 huge_bytes;       /* of it, in transparent huge pages */
    MfU64 swapped_bytes;    /* of it, in swap */
    MfU64 main_node;        /* NUMA node that has most; read only where nodes do not merge */
    MfU64 other_node_bytes; /* on the other nodes together */
    MfU64 ksm_group_number; /* of our kernel's: see MfKsmGroup; absent while it is in none */
    MfU64 zero_only; /* 1: our kernel merges its pages of zeroes and no others; absent on others */
    gboolean regrouping; /* not to be moved now: it is being, or could not be lately */
    gboolean is_moving;  /* of these: it is being moved */
    char *group_error;   /* why the last move failed, or NULL */
} MfDomain;

/* One of our kernel's groups: only its members have merged pages in common.  0 is for all who are
 * in no group of their own. */
typedef struct {
    guint64 number;
    guint64 pages_shared_pages;
    guint64 pages_sharing_pages;
    MfU64 members_count; /* processes, also such that are no domains; nobody counts those of 0 */
} MfKsmGroup;

typedef struct {
    guint64 page_size_bytes;
    MfU64 mem_total_bytes;
    MfU64 mem_available_bytes;
    MfU64 swap_free_bytes;
    MfU64 hardware_corrupted_bytes; /* memory that failed and is out of use */
    MfU64 memory_waits_permyriad;   /* of the last 10 s, somebody waited for memory (PSI "some") */

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
    MfU64 pages_volatile_pages;
    MfU64 merge_across_nodes;
    MfU64 ksmd_cpu_usec; /* CPU time of ksmd since boot */
    /* Our kernel's, absent on others. */
    MfU64 cpu_max_permyriad; /* of one CPU: ksmd's limit */
    gboolean has_boost;      /* it scans a process out of turn when asked to */
    MfU64 skip_unwritten;    /* scans in which a page that was not written is passed over */
    char *index;             /* "contents", "checksum"; NULL when absent */
    gboolean has_groups;     /* it has merge groups */
    char *group_default;     /* whom new programs merge with: "shared", "isolated"; or NULL */

    char *advisor_mode;  /* "none", "scan-time"; NULL when absent */
    char *other_manager; /* name of a process that also writes the knobs, or NULL */

    /* Since boot, of the whole host (/proc/vmstat). */
    MfU64 cow_breaks_count;     /* merged pages that were written */
    MfU64 swap_in_copies_count; /* merged pages that came back from swap as copies */

    /* What keeps pages apart, also from /sys/kernel/mm/ksm. */
    MfU64 stable_node_chains_count; /* merged pages that have come to max_page_sharing */
    MfU64 stable_node_dups_pages;   /* copies of these, the first included */
    MfU64 huge_min_pages;           /* our kernel's: equal pages that split a huge one */
    MfU64 pages_unsplit_pages;      /* our kernel's: left alone because of it */

    MfU64 other_saved_bytes; /* saving of processes that are no domains of ours */
    MfU64 saved_bytes;       /* what merging saves on the whole host, from KSM's own counters */
} MfHost;

typedef struct {
    gint64 taken_usec; /* monotonic */
    MfHost host;
    GPtrArray *domains; /* of MfDomain */
    GPtrArray *groups;  /* of MfKsmGroup, by number; NULL: not read, or this kernel has none */
} MfSnapshot;

MfBlock *mf_block_new(void);
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

/* The UUIDs of all domains, as a set, for who asks for many of them: the caller's, with keys of the
 * snapshot. */
GHashTable *mf_snapshot_uuids(const MfSnapshot *snapshot);

/* Of a table by UUID (lower case), removes whatever is kept of domains that the snapshot lacks. */
void mf_snapshot_drop_gone(const MfSnapshot *snapshot, GHashTable *by_uuid);

/* Text of an enum value ("on", "frozen", "shared", ...), and back; the latter answer FALSE and
 * leave the out-parameter alone when the text is none of them. */
const char *mf_mode_to_string(MfMode mode);
gboolean mf_mode_from_string(const char *text, MfMode *ret_mode);
const char *mf_memory_kind_to_string(MfMemoryKind kind);
gboolean mf_memory_kind_from_string(const char *text, MfMemoryKind *ret_kind);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfBlock, mf_block_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfDomain, mf_domain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfSnapshot, mf_snapshot_free)
