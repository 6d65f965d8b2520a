/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What decide wants done and why, and what it thinks of each domain.
 *
 * A plan is an ordered list of actions.  Apply carries them out from first to last; each stands for
 * itself, so that one that fails does not void the rest.  A verdict is the standing judgement on a
 * domain: the mode that it should have and every reason that a person should know.
 */
#pragma once

#include <glib.h>

#include "mf-types.h"

/* The codes are stable names (mf_reason_code_to_string()), used in JSON and by `memfold why`. */
typedef enum {
    MF_REASON_POLICY,        /* the domain's policy asks for it */
    MF_REASON_NOSHAREPAGES,  /* <nosharepages/> wins over the policy */
    MF_REASON_MEMORY_SHARED, /* RAM is shared (memfd, virtiofs, vhost-user) */
    MF_REASON_MEMORY_HUGEPAGES,
    MF_REASON_MEMORY_FILE,
    MF_REASON_GROUP_UNENFORCED, /* this host can't keep groups apart: not merged */
    MF_REASON_FREEZE_UNSUPPORTED,
    MF_REASON_ZERO_UNSUPPORTED,
    MF_REASON_SWITCH_UNSUPPORTED, /* this QEMU's memory can't be switched while it runs */
    MF_REASON_POLICY_INVALID,     /* metadata was refused, the default applies */
    MF_REASON_MODE_UNKNOWN,       /* QEMU has not answered */
    MF_REASON_SWITCH_FAILED,      /* QEMU refused the last switch, or failed to answer */
    MF_REASON_NO_HEADROOM,        /* un-merging would take more memory than is available */
    MF_REASON_WAITING,            /* it is done later: another domain comes first, say */
    MF_REASON_KSM_MISSING,        /* kernel without KSM */
    MF_REASON_KSM_OFF,            /* ksmd does not run, and memfold may not start it */
    MF_REASON_OTHER_MANAGER,      /* ksmtuned runs: memfold stands back */
    MF_REASON_UNMANAGED,          /* configuration: manage=false */
    MF_REASON_NEWCOMERS_MERGE,    /* domains are in the shared group until they are moved */
    MF_REASON_NO_DOMAINS,         /* nothing mergeable runs: ksmd stops */
    MF_REASON_DOMAINS,            /* something mergeable runs: ksmd starts */
    MF_REASON_BUDGET,             /* pages_to_scan follows the CPU budget */
    MF_REASON_BOOST,              /* ksmd works hard: gains are likely */
    MF_REASON_STEADY,             /* ksmd works at its usual share of a CPU */
    MF_REASON_RESTING,            /* ksmd has found what there is */
    MF_REASON_UNCOVERED,          /* not everything could be given back: nothing more is merged */
    MF_REASON_STORM,              /* merged memory is written faster than the host can bear */
    MF_REASON_GIVES_WAY,          /* in a storm, this domain's memory is reclaimed */
    MF_REASON_SUSPENDED,          /* in a storm, it was paused as the last resort */
    MF_REASON_ADMISSION,          /* it was started although, or refused because, uncovered */
    MF_REASON_NOT_WORTH,          /* merge=auto: it costs more than it saves, for now */
    MF_REASON_NOT_SCANNED,        /* ksmd has not looked at it twice yet */
    MF_REASON_VOLATILE,           /* its pages change between two looks, or are written again */
    MF_REASON_HUGE_PAGES,         /* transparent huge pages that are not split */
    MF_REASON_OTHER_NODE,         /* equal pages on other NUMA nodes, which do not merge */
    MF_REASON_SHARING_LIMIT,      /* max_page_sharing: copies of what is shared most */
    MF_REASON_SWAPPED_IN,         /* merged pages came back from swap as copies */
    MF_REASON_GUEST_PRIVATE,      /* memory that is the guest's alone (SEV, TDX) */
    MF_REASON_PINNED,             /* pages that a device reaches (VFIO) */
    MF_REASON_BLOCK_UNMARKED,     /* a RAMBlock that QEMU did not mark */
    MF_REASON_START_HOLD,         /* a domain that must not merge is starting */
    MF_REASON_AUDIT_HOLD,         /* an audit looks at page tables: ksmd waits */
    MF_REASON_CONFIG,             /* the configuration asks for this value */
    MF_REASON_ESTIMATE_FAILED,    /* its memory could not be read for an estimate */
    MF_REASON_KNOB_FAILED,        /* a knob of ksmd could not be written */
    MF_REASON_AUDIT_FAILED,       /* its page tables could not be looked at for an audit */
    MF_REASON_HARDWARE_POISONED,  /* memory of the host has failed */
    MF_REASON_N_CODES
} MfReasonCode;

typedef struct {
    MfReasonCode code;
    char *text;   /* one sentence with the figures */
    char *remedy; /* what a person can do about it, or NULL */
} MfReason;

/* Knobs that memfold may write, all under /sys/kernel/mm/ksm. */
typedef enum {
    MF_KNOB_RUN,
    MF_KNOB_PAGES_TO_SCAN,
    MF_KNOB_SLEEP_MSEC,
    MF_KNOB_USE_ZERO_PAGES,
    MF_KNOB_SMART_SCAN,
    MF_KNOB_ADVISOR_MODE,
    MF_KNOB_CPU_MAX, /* the last five: our kernel's */
    MF_KNOB_INDEX,
    MF_KNOB_SKIP_UNWRITTEN,
    MF_KNOB_BOOST_NEW, /* put back only: journals of earlier versions may have it */
    MF_KNOB_GROUP_DEFAULT,
    MF_KNOB_N
} MfKnob;

typedef enum {
    MF_ACTION_KNOB,
    MF_ACTION_DOMAIN_MODE,
    MF_ACTION_RECLAIM, /* have the kernel move so much of the domain's memory to swap */
    MF_ACTION_BALLOON, /* have its balloon take so much more; 0: give all back */
    MF_ACTION_SUSPEND,
    MF_ACTION_RESUME, /* what memfold suspended */
    MF_ACTION_GROUP,  /* move the domain's QEMU to a merge group of the kernel's */
    MF_ACTION_FLAGS,  /* tell the kernel what may be merged of its QEMU */
    MF_ACTION_BOOST,  /* have ksmd scan its QEMU now, before all others */
    MF_ACTION_N_KINDS
} MfActionKind;

typedef struct {
    MfActionKind kind;
    MfKnob knob; /* MF_ACTION_KNOB */
    char *from;  /* text of the value, mode or state before; NULL when unknown */
    char *to;    /* text of the one wanted; NULL for those that have bytes.  A group's number, or
                  * "new";    MF_ACTION_BOOST: the PID */
    char *uuid;  /* all but MF_ACTION_KNOB */
    char *name;
    MfMode mode;      /* MF_ACTION_DOMAIN_MODE: OFF, ON or FROZEN */
    guint64 bytes;    /* MF_ACTION_RECLAIM, MF_ACTION_BALLOON */
    MfReason *reason; /* never NULL */
} MfAction;

typedef struct {
    char *uuid;
    MfMode want;        /* UNKNOWN: leave it as it is */
    GPtrArray *reasons; /* of MfReason, most telling first */
} MfVerdict;

typedef struct {
    GPtrArray *actions;      /* of MfAction */
    GPtrArray *verdicts;     /* of MfVerdict, one a domain of the snapshot */
    GPtrArray *host_reasons; /* of MfReason */
    gboolean governs;        /* the knobs are memfold's to write */
} MfPlan;

MfPlan *mf_plan_new(void);
void mf_plan_free(MfPlan *plan);
const MfVerdict *mf_plan_find(const MfPlan *plan, const char *uuid);

MfReason *mf_reason_new(MfReasonCode code, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
MfReason *mf_reason_copy(const MfReason *reason);
void mf_reason_free(MfReason *reason);
MfVerdict *mf_verdict_new(const char *uuid);
void mf_verdict_free(MfVerdict *verdict);

/* Puts a reason, which is taken, before those that are there: it says why a domain is not as it is
 * wanted. */
void mf_verdict_tell_first(MfVerdict *verdict, MfReason *reason);

/* Appends an action; the plan takes ownership of reason. */
void mf_plan_add_knob(MfPlan *plan, MfKnob knob, const char *from, const char *to,
                      MfReason *reason);
void mf_plan_add_domain_mode(MfPlan *plan, const MfDomain *domain, MfMode mode, MfReason *reason);

/* Moves the domain to a group: a number, or "new". */
void mf_plan_add_group(MfPlan *plan, const MfDomain *domain, const char *to, MfReason *reason);

/* Writes a word to the ksm_flags of its QEMU, such as "+zero". */
void mf_plan_add_flags(MfPlan *plan, const MfDomain *domain, const char *word, MfReason *reason);

/* Has ksmd scan its QEMU now, before all others. */
void mf_plan_add_boost(MfPlan *plan, const MfDomain *domain, MfReason *reason);

/* Of MF_ACTION_RECLAIM and what follows it, up to MF_ACTION_RESUME. */
void mf_plan_add_relief(MfPlan *plan, MfActionKind kind, const MfDomain *domain, guint64 bytes,
                        MfReason *reason);

/* One line for the log, such as "ksm run: 0 -> 1 (2 domains can merge)".  Free with g_free(). */
char *mf_action_to_string(const MfAction *action);

const char *mf_reason_code_to_string(MfReasonCode code); /* "memory-shared", ... */
gboolean mf_reason_code_from_string(const char *text, MfReasonCode *ret_code);
const char *mf_action_kind_to_string(MfActionKind kind); /* "domain-mode", "reclaim", ... */
const char *mf_knob_to_string(MfKnob knob);              /* the file's name */
gboolean mf_knob_from_string(const char *text, MfKnob *ret_knob);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfPlan, mf_plan_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfReason, mf_reason_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfVerdict, mf_verdict_free)
