/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether pages are shared by those that must be kept apart: the reckoning of `memfold audit`.
 *
 * A page is a key: its frame, or its slot in swap.  Parties (domains, and other processes that
 * turned up) show the keys that they map, and two parties of different groups with one key are
 * suspect.  So is a key that the kernel says is mapped more or less often than it was shown: that
 * count is what makes "clean" a proof, since nobody can map a page and not be in it.  Guests go on
 * meanwhile, and pages move: so suspects are looked at again, with what is new, and only what is
 * seen to be shared at one moment is a violation.
 *
 * Memory is bounded: 21 bytes a merged page, and at most keys_max_count pages at a time.  With more
 * of them the keys are gone through in windows, each with a look of its own at everybody.
 */
#pragma once

#include "mf-types.h"

/* Keys: a frame by its number, a swap slot by the kernel's word for it and this bit.  0 is none. */
#define MF_AUDIT_KEY_SWAP (G_GUINT64_CONSTANT(1) << 63)

/* 64 MiB, for 12 GiB of merged pages in one window. */
#define MF_AUDIT_KEYS_MAX_COUNT (1u << 22)
/* Pairs of parties that are told by name; the count of pages is exact beyond it. */
#define MF_AUDIT_PAIRS_MAX_COUNT 64
#define MF_AUDIT_NO_PARTY        G_MAXUINT32

typedef enum {
    MF_AUDIT_CLEAN,      /* all was looked at, and nothing is shared across groups */
    MF_AUDIT_VIOLATED,   /* pages are */
    MF_AUDIT_NOT_PROVEN, /* nothing was found, but not all could be looked at */
} MfAuditVerdict;

/* Two that share; a page that more have in common counts once, for the two that were seen first. */
typedef struct {
    guint first_party;
    guint other_party;
    guint64 pages;
    guint64 key; /* of one of them */
} MfAuditPair;

typedef struct {
    guint64 within_pages;      /* merged pages (each once) that only one group has */
    guint64 violation_pages;   /* that are shared across groups */
    guint64 transient_pages;   /* that seemed so, and were not when looked at again */
    guint64 unexplained_pages; /* mapped by somebody who was not found, or elsewhere at each look */
} MfAuditCounts;

/* One that is looked at again. */
typedef struct {
    guint64 key;
    guint64 first_address_bytes; /* where first_party maps it */
    guint64 other_address_bytes;
    guint32 first_party; /* MF_AUDIT_NO_PARTY: not seen again */
    guint32 other_party; /* one that is to be kept apart from it; MF_AUDIT_NO_PARTY: none */
    guint32 shown_count;
    gboolean is_cross; /* it is here because of two parties, not because of the kernel's count */
} MfAuditSuspect;

typedef struct _MfAudit MfAudit;

/* keys_max_count: a power of two, of which three quarters are used. */
MfAudit *mf_audit_new(guint keys_max_count, guint pairs_max_count);
void mf_audit_free(MfAudit *audit);

/* group NULL: nobody else's.  number: of the kernel's group, where there is such; parties that the
 * kernel keeps apart are apart, whatever their group.  Pages are judged that one of the judged
 * parties has.  Returns the party's number, from 0. */
guint mf_audit_add_party(MfAudit *audit, const char *group, MfU64 number, gboolean is_judged);

/* Begins the next window; FALSE when all keys have been gone through. */
gboolean mf_audit_next_window(MfAudit *audit);

/* How much lies before the window, and before its end. */
void mf_audit_get_window(const MfAudit *audit, guint *ret_start_permyriad,
                         guint *ret_end_permyriad);

/* The first look: party maps key; 0 where there is a page on its way that can't be told.  Judged
 * parties come first. */
void mf_audit_show(MfAudit *audit, guint party, guint64 key);

/* Then each frame in turn, to be given its count of mappings.  cursor begins with 0. */
gboolean mf_audit_next_frame(const MfAudit *audit, guint *cursor, guint64 *ret_frame);
void mf_audit_set_mapped(MfAudit *audit, guint64 frame, guint64 mapped_count);

/* Makes a list of the suspects.  TRUE when another look is needed. */
gboolean mf_audit_list_suspects(MfAudit *audit);

/* Another look: forgets where suspects were seen, then each party shows what it maps, judged ones
 * first.  What they have and nobody had at the first look becomes suspect, too. */
void mf_audit_begin_look(MfAudit *audit);
gboolean mf_audit_is_suspect(const MfAudit *audit, guint64 key);
void mf_audit_show_again(MfAudit *audit, guint party, guint64 key, guint64 address_bytes);

/* Of the suspects that are left; valid until one is settled. */
guint mf_audit_get_n_suspects(const MfAudit *audit);
const MfAuditSuspect *mf_audit_get_suspect(const MfAudit *audit, guint index);

/* After a look, of each suspect from the last to the first: whether both were seen to map it at one
 * moment, or, where no two are apart, how often it is mapped now (of a swap slot that is not
 * known).  What is in doubt stays. */
void mf_audit_settle(MfAudit *audit, guint index, gboolean is_shared, MfU64 mapped_count);

/* After the last look: those that are left are unexplained. */
void mf_audit_end_looks(MfAudit *audit);

MfAuditCounts mf_audit_get_counts(const MfAudit *audit);
guint64 mf_audit_get_violations_of(const MfAudit *audit, guint party); /* pages */
/* Of MfAuditPair, most pages first; it stays the audit's. */
const GArray *mf_audit_get_pairs(MfAudit *audit);

/* zero_pages: of ksmd's zero pages, which everybody has, those where the configuration forbids
 * them.  failed_count: who could not be looked at. */
MfAuditVerdict mf_audit_judge(const MfAuditCounts *counts, guint64 zero_pages, guint failed_count);
const char *mf_audit_verdict_to_string(MfAuditVerdict verdict); /* "clean", "not-proven", ... */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfAudit, mf_audit_free)
