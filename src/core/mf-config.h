/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memfold.conf: what the host's operator asks for.
 *
 * A GKeyFile with three groups.  Reading is strict: an unknown group or key, or a value out of
 * range, refuses the file, and the message names file, key, value, range and unit.  A configuration
 * is immutable once made and is swapped whole.
 */
#pragma once

#include <glib.h>

#include "mf-policy.h"

typedef enum {
    MF_DEFAULT_GROUP_ISOLATED,
    MF_DEFAULT_GROUP_SHARED,
} MfDefaultGroup;

/* What becomes of a knob of the kernel's that is on or off. */
typedef enum {
    MF_SETTING_KEEP, /* leave it as it is */
    MF_SETTING_ON,
    MF_SETTING_OFF,
} MfSetting;

/* How our kernel's ksmd finds equal pages. */
typedef enum {
    MF_INDEX_KEEP,
    MF_INDEX_CHECKSUM,
    MF_INDEX_CONTENTS,
} MfIndex;

/* What becomes of a domain that starts and could not be covered. */
typedef enum {
    MF_ADMISSION_OFF,
    MF_ADMISSION_WARN,
    MF_ADMISSION_ENFORCE, /* it does not start */
} MfAdmission;

typedef struct {
    /* [merge] */
    MfDefaultGroup default_group; /* default-group, isolated */
    guint coverage_permyriad; /* coverage-permyriad, 10000: of a storm's need, to be at hand; 0: any
                               */
    guint reserve_permyriad;  /* reserve-permyriad, 500: of RAM, kept free by un-merging */

    /* [admission] */
    MfAdmission admission;      /* admission, warn */
    gboolean admission_refuses; /* refuse-without-daemon, FALSE: under enforce, nothing starts while
                                   memfoldd can't be asked */

    /* [storm] */
    guint storm_horizon_msec; /* horizon-msec, 30000: the headroom lasting less is a storm */
    gboolean storm_reclaim;   /* reclaim, true: memory.reclaim of the lowest priorities */
    gboolean storm_balloon;   /* balloon, false: take what balloons give */
    gboolean storm_suspend;   /* suspend, false: at last, pause the lowest priority */

    /* [ksmd] */
    gboolean manage;                  /* manage, true: FALSE leaves every knob alone */
    guint cpu_budget_permyriad;       /* cpu-budget-permyriad of one CPU, 1..10000, 1000 */
    guint boost_cpu_budget_permyriad; /* boost-cpu-budget-permyriad, 8000: while gains are likely */
    guint rest_cpu_budget_permyriad;  /* rest-cpu-budget-permyriad, 50: when all is merged */
    guint converged_permyriad; /* converged-permyriad, 10: a sweep that gains less is the last */
    guint wait_permyriad; /* wait-permyriad, 1000: of time, somebody waits for memory: wakes it */
    guint pressure_permyriad;      /* pressure-permyriad, 2000: less RAM available wakes ksmd */
    guint min_pages_to_scan_pages; /* min-pages-to-scan, 100 */
    guint max_pages_to_scan_pages; /* max-pages-to-scan, 200000 */
    guint sleep_msec;              /* sleep-msec, 1..10000, 20 */
    MfSetting use_zero_pages;      /* use-zero-pages, keep */
    MfSetting smart_scan;          /* smart-scan, off: see memfold.conf */
    MfIndex index;                 /* index, checksum */
    guint skip_unwritten_count;    /* skip-unwritten, 8: scans, 0..1000 */

    /* [daemon] */
    guint tick_msec;                /* tick-msec, 100..60000, 2000 */
    guint accounting_interval_msec; /* accounting-interval-msec, 500..3600000, 10000 */
    char *libvirt_uri;              /* libvirt-uri, qemu:///system */
} MfConfig;

MfConfig *mf_config_new(void); /* the shipped defaults */
MfConfig *mf_config_copy(const MfConfig *config);
void mf_config_free(MfConfig *config);

/* Applies the text of one file on top of base (drop-ins are applied in turn) and returns a new
 * configuration.  source names the text in messages.  MF_ERROR_INVALID on anything wrong. */
MfConfig *mf_config_apply(const MfConfig *base, const char *text, gsize length_bytes,
                          const char *source, GError **error);

/* The group that the policy asks for, or the default: MF_GROUP_SHARED, MF_GROUP_ISOLATED or a name.
 * Belongs to policy, or is static. */
const char *mf_config_group_of(const MfConfig *config, const MfPolicy *policy);

/* "off", "warn" or "enforce". */
const char *mf_admission_to_string(MfAdmission admission);

/* Checks what can only be seen in the whole (min <= max).  MF_ERROR_INVALID. */
gboolean mf_config_validate(const MfConfig *config, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfConfig, mf_config_free)
