/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfold.conf: one table says all keys, their ranges and their units. */
#include "mf-config.h"

#include <string.h>

#include "mf-error.h"
#include "mf-text.h"

#define URI_MAX_BYTES 1024

typedef enum {
    KEY_NUMBER,
    KEY_BOOLEAN,
    KEY_CHOICE,
    KEY_TEXT,
} KeyKind;

typedef struct {
    const char *group;
    const char *name;
    KeyKind kind;
    gsize offset;
    guint min; /* KEY_NUMBER */
    guint max;
    const char *unit;
    const char *const *choices; /* KEY_CHOICE: by value of the enum, NULL-terminated */
} Key;

static const char *const default_group_names[] = {
    [MF_DEFAULT_GROUP_ISOLATED] = "isolated", [MF_DEFAULT_GROUP_SHARED] = "shared", NULL};
static const char *const setting_names[] = {
    [MF_SETTING_KEEP] = "keep", [MF_SETTING_ON] = "on", [MF_SETTING_OFF] = "off", NULL};

static const char *const index_names[] = {[MF_INDEX_KEEP] = "keep",
                                          [MF_INDEX_CHECKSUM] = "checksum",
                                          [MF_INDEX_CONTENTS] = "contents",
                                          NULL};
static const char *const admission_names[] = {[MF_ADMISSION_OFF] = "off",
                                              [MF_ADMISSION_WARN] = "warn",
                                              [MF_ADMISSION_ENFORCE] = "enforce",
                                              NULL};

#define NUMBER(g, n, field, lo, hi, u)                                                             \
    {                                                                                              \
        .group = (g), .name = (n), .kind = KEY_NUMBER, .offset = G_STRUCT_OFFSET(MfConfig, field), \
        .min = (lo), .max = (hi), .unit = (u)                                                      \
    }
#define OTHER(g, n, k, field, list)                                                                \
    {                                                                                              \
        .group = (g), .name = (n), .kind = (k), .offset = G_STRUCT_OFFSET(MfConfig, field),        \
        .choices = (list)                                                                          \
    }

static const Key keys[] = {
    OTHER("merge", "default-group", KEY_CHOICE, default_group, default_group_names),
    NUMBER("merge", "coverage-permyriad", coverage_permyriad, 0, 100000,
           "1/10000 of what a storm would take"),
    NUMBER("merge", "reserve-permyriad", reserve_permyriad, 0, 9000, "1/10000 of RAM"),
    OTHER("admission", "admission", KEY_CHOICE, admission, admission_names),
    OTHER("admission", "refuse-without-daemon", KEY_BOOLEAN, admission_refuses, NULL),
    NUMBER("storm", "horizon-msec", storm_horizon_msec, 1000, 3600000, "milliseconds"),
    OTHER("storm", "reclaim", KEY_BOOLEAN, storm_reclaim, NULL),
    OTHER("storm", "balloon", KEY_BOOLEAN, storm_balloon, NULL),
    OTHER("storm", "suspend", KEY_BOOLEAN, storm_suspend, NULL),
    OTHER("ksmd", "manage", KEY_BOOLEAN, manage, NULL),
    NUMBER("ksmd", "cpu-budget-permyriad", cpu_budget_permyriad, 1, 10000, "1/10000 of one CPU"),
    NUMBER("ksmd", "boost-cpu-budget-permyriad", boost_cpu_budget_permyriad, 1, 10000,
           "1/10000 of one CPU"),
    NUMBER("ksmd", "rest-cpu-budget-permyriad", rest_cpu_budget_permyriad, 1, 10000,
           "1/10000 of one CPU"),
    NUMBER("ksmd", "converged-permyriad", converged_permyriad, 0, 10000,
           "1/10000 of the memory looked at"),
    NUMBER("ksmd", "wait-permyriad", wait_permyriad, 0, 10000, "1/10000 of time"),
    NUMBER("ksmd", "pressure-permyriad", pressure_permyriad, 0, 10000, "1/10000 of RAM"),
    NUMBER("ksmd", "min-pages-to-scan", min_pages_to_scan_pages, 1, 10000000, "pages"),
    NUMBER("ksmd", "max-pages-to-scan", max_pages_to_scan_pages, 1, 10000000, "pages"),
    NUMBER("ksmd", "sleep-msec", sleep_msec, 1, 10000, "milliseconds"),
    OTHER("ksmd", "use-zero-pages", KEY_CHOICE, use_zero_pages, setting_names),
    OTHER("ksmd", "smart-scan", KEY_CHOICE, smart_scan, setting_names),
    OTHER("ksmd", "index", KEY_CHOICE, index, index_names),
    NUMBER("ksmd", "skip-unwritten", skip_unwritten_count, 0, 1000, "scans"),
    NUMBER("daemon", "tick-msec", tick_msec, 100, 60000, "milliseconds"),
    NUMBER("daemon", "accounting-interval-msec", accounting_interval_msec, 500, 3600000,
           "milliseconds"),
    OTHER("daemon", "libvirt-uri", KEY_TEXT, libvirt_uri, NULL),
};

MfConfig *
mf_config_new(void)
{
    MfConfig *config = g_new0(MfConfig, 1);

    config->default_group = MF_DEFAULT_GROUP_ISOLATED;
    config->coverage_permyriad = 10000;
    config->reserve_permyriad = 500;
    config->admission = MF_ADMISSION_WARN;
    config->storm_horizon_msec = 30000;
    config->storm_reclaim = TRUE;
    config->manage = TRUE;
    config->cpu_budget_permyriad = 1000;
    config->boost_cpu_budget_permyriad = 8000;
    config->rest_cpu_budget_permyriad = 50;
    config->converged_permyriad = 10;
    config->wait_permyriad = 1000;
    config->pressure_permyriad = 2000;
    config->min_pages_to_scan_pages = 100;
    config->max_pages_to_scan_pages = 200000;
    config->sleep_msec = 20;
    config->use_zero_pages = MF_SETTING_KEEP;
    config->smart_scan = MF_SETTING_OFF;
    config->index = MF_INDEX_CHECKSUM;
    config->skip_unwritten_count = 8;
    config->tick_msec = 2000;
    config->accounting_interval_msec = 10000;
    config->libvirt_uri = g_strdup("qemu:///system");
    return config;
}

MfConfig *
mf_config_copy(const MfConfig *config)
{
    MfConfig *copy = g_new0(MfConfig, 1);

    *copy = *config;
    copy->libvirt_uri = g_strdup(config->libvirt_uri);
    return copy;
}

void
mf_config_free(MfConfig *config)
{
    if (config == NULL) {
        return;
    }
    g_free(config->libvirt_uri);
    g_free(config);
}

/* What key allows, as a person reads it.  Free with g_free(). */
static char *
describe_allowed(const Key *key)
{
    switch (key->kind) {
    case KEY_NUMBER:
        return g_strdup_printf("%u to %u (%s)", key->min, key->max, key->unit);
    case KEY_BOOLEAN:
        return g_strdup("true, false");
    case KEY_CHOICE:
        return g_strjoinv(", ", (char **)key->choices);
    case KEY_TEXT:
        break;
    }
    return g_strdup_printf("1 to %d printable characters", URI_MAX_BYTES);
}

static gboolean
set_value(MfConfig *config, const Key *key, const char *text)
{
    gpointer field = (char *)config + key->offset;
    guint64 number;
    guint choice;

    switch (key->kind) {
    case KEY_NUMBER:
        if (!g_ascii_string_to_unsigned(text, 10, key->min, key->max, &number, NULL)) {
            return FALSE;
        }
        *(guint *)field = (guint)number;
        return TRUE;
    case KEY_BOOLEAN:
        *(gboolean *)field = g_str_equal(text, "true");
        return *(gboolean *)field || g_str_equal(text, "false");
    case KEY_CHOICE:
        if (!mf_text_find(key->choices, g_strv_length((char **)key->choices), text, &choice)) {
            return FALSE;
        }
        *(guint *)field = choice;
        return TRUE;
    case KEY_TEXT:
        if (!mf_text_is_printable(text, URI_MAX_BYTES)) {
            return FALSE;
        }
        g_free(*(char **)field);
        *(char **)field = g_strdup(text);
        return TRUE;
    }
    return FALSE;
}

static const Key *
find_key(const char *group, const char *name, gboolean *ret_group_known)
{
    *ret_group_known = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (g_str_equal(keys[i].group, group)) {
            *ret_group_known = TRUE;
            if (name != NULL && g_str_equal(keys[i].name, name)) {
                return &keys[i];
            }
        }
    }
    return NULL;
}

static gboolean
apply_group(MfConfig *config, GKeyFile *file, const char *group, const char *source, GError **error)
{
    g_auto(GStrv) names = g_key_file_get_keys(file, group, NULL, NULL);
    gboolean group_known;

    find_key(group, NULL, &group_known);
    if (!group_known) {
        g_autofree char *quoted = mf_text_quote(group);
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "%s: unknown group %s; allowed: merge, admission, storm, ksmd, daemon", source,
                    quoted);
        return FALSE;
    }
    for (guint i = 0; names != NULL && names[i] != NULL; i++) {
        const Key *key = find_key(group, names[i], &group_known);
        if (key == NULL) {
            g_autofree char *quoted = mf_text_quote(names[i]);
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: [%s] has no key %s", source, group,
                        quoted);
            return FALSE;
        }
        g_autofree char *text = g_key_file_get_string(file, group, names[i], NULL);
        if (text == NULL || !set_value(config, key, g_strchomp(text))) {
            g_autofree char *quoted = mf_text_quote(text);
            g_autofree char *allowed = describe_allowed(key);
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: [%s] %s=%s; allowed: %s", source,
                        group, key->name, quoted, allowed);
            return FALSE;
        }
    }
    return TRUE;
}

MfConfig *
mf_config_apply(const MfConfig *base, const char *text, gsize length_bytes, const char *source,
                GError **error)
{
    g_autoptr(MfConfig) config = mf_config_copy(base);
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) cause = NULL;

    if (length_bytes == 0) {
        return g_steal_pointer(&config);
    }
    if (!g_utf8_validate_len(text, length_bytes, NULL)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: not UTF-8 text", source);
        return NULL;
    }
    /* With translations kept, a key[de] is seen, and refused. */
    if (!g_key_file_load_from_data(file, text, length_bytes, G_KEY_FILE_KEEP_TRANSLATIONS,
                                   &cause)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: %s", source, cause->message);
        return NULL;
    }

    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (guint i = 0; groups[i] != NULL; i++) {
        if (!apply_group(config, file, groups[i], source, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&config);
}

const char *
mf_config_group_of(const MfConfig *config, const MfPolicy *policy)
{
    if (policy->group != NULL) {
        return policy->group;
    }
    return config->default_group == MF_DEFAULT_GROUP_SHARED ? MF_GROUP_SHARED : MF_GROUP_ISOLATED;
}

const char *
mf_admission_to_string(MfAdmission admission)
{
    return mf_text_of(admission_names, G_N_ELEMENTS(admission_names) - 1, admission);
}

gboolean
mf_config_validate(const MfConfig *config, GError **error)
{
    if (config->min_pages_to_scan_pages > config->max_pages_to_scan_pages) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "[ksmd] min-pages-to-scan=%u is above max-pages-to-scan=%u (pages)",
                    config->min_pages_to_scan_pages, config->max_pages_to_scan_pages);
        return FALSE;
    }
    return TRUE;
}
