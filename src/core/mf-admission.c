/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-admission.h"

#include "mf-text.h"
#include "mf-units.h"

#define QEMU_BYTES     (G_GUINT64_CONSTANT(32) << 20)
#define SPENT_BYTES    80   /* of kernel memory */
#define SPENT_ON_BYTES 4096 /* of the guest's */
#define NAME_MAX_BYTES 256
#define MIB            (G_GUINT64_CONSTANT(1) << 20)

typedef struct {
    guint64 needs_bytes;
    guint64 touched_bytes;
    gint64 until_usec;
} Promise;

struct _MfPromises {
    GHashTable *by_uuid; /* uuid in lower case -> Promise */
};

MfPromises *
mf_promises_new(void)
{
    MfPromises *promises = g_new0(MfPromises, 1);

    promises->by_uuid = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return promises;
}

void
mf_promises_free(MfPromises *promises)
{
    if (promises != NULL) {
        g_hash_table_unref(promises->by_uuid);
        g_free(promises);
    }
}

void
mf_promises_make(MfPromises *promises, const char *uuid, guint64 bytes, gint64 now_usec)
{
    Promise *promise = g_new0(Promise, 1);

    promise->needs_bytes = bytes;
    promise->until_usec = now_usec + MF_PROMISE_USEC;
    g_hash_table_replace(promises->by_uuid, g_ascii_strdown(uuid, -1), promise);
}

static Promise *
find_promise(const MfPromises *promises, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    return g_hash_table_lookup(promises->by_uuid, key);
}

void
mf_promises_end(MfPromises *promises, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    g_hash_table_remove(promises->by_uuid, key);
}

gboolean
mf_promises_has(const MfPromises *promises, const char *uuid)
{
    return find_promise(promises, uuid) != NULL;
}

void
mf_promises_note_resident(MfPromises *promises, const char *uuid, guint64 resident_bytes)
{
    Promise *promise = find_promise(promises, uuid);

    if (promise != NULL) {
        promise->touched_bytes = MAX(promise->touched_bytes, resident_bytes);
    }
}

guint64
mf_promises_sum_bytes(MfPromises *promises, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer value;
    guint64 sum_bytes = 0;

    g_hash_table_iter_init(&iter, promises->by_uuid);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Promise *promise = value;
        guint64 left_bytes = mf_sub_clamp(promise->needs_bytes, promise->touched_bytes);
        if (left_bytes == 0 || promise->until_usec <= now_usec) {
            g_hash_table_iter_remove(&iter);
        } else {
            sum_bytes = mf_add_sat(sum_bytes, left_bytes);
        }
    }
    return sum_bytes;
}

MfU64
mf_admission_need_bytes(const MfDomain *domain)
{
    guint64 memory_bytes = domain->memory_bytes.value;

    if (!domain->memory_bytes.known) {
        return MF_U64_ABSENT;
    }
    if (domain->memory_kind == MF_MEMORY_HUGEPAGES) {
        return MF_U64(QEMU_BYTES);
    }
    return MF_U64(mf_add_sat(mf_add_sat(memory_bytes, QEMU_BYTES),
                             mf_mul_div(memory_bytes, SPENT_BYTES, SPENT_ON_BYTES)));
}

/* What stands against each other, all known. */
typedef struct {
    guint64 need_bytes;
    guint64 have_bytes;
    guint64 storm_bytes;
    guint64 reserve_bytes;
    guint64 promised_bytes;
} Balance;

/* Fills balance.  Returns what is not known, in words, or NULL. */
static const char *
weigh(const MfConfig *config, const MfHost *host, const MfCover *cover, guint64 promised_bytes,
      const MfDomain *domain, Balance *balance)
{
    MfU64 need = mf_admission_need_bytes(domain);

    if (!need.known) {
        return "its XML told no <memory>";
    }
    if (!cover->have_bytes.known) {
        return "the host's available memory and free swap could not be read";
    }
    if (config->reserve_permyriad > 0 && !host->mem_total_bytes.known) {
        return "the host's RAM could not be read";
    }
    if (config->coverage_permyriad > 0 && !cover->need_bytes.known) {
        return "what merging saves could not be read";
    }
    *balance = (Balance){
        .need_bytes = need.value,
        .have_bytes = cover->have_bytes.value,
        .storm_bytes =
            mf_mul_div(cover->need_bytes.value, config->coverage_permyriad, MF_PERMYRIAD),
        .reserve_bytes =
            mf_mul_div(host->mem_total_bytes.value, config->reserve_permyriad, MF_PERMYRIAD),
        .promised_bytes = promised_bytes,
    };
    return NULL;
}

static guint64
taken_bytes(const Balance *balance)
{
    return mf_add_sat(mf_add_sat(balance->storm_bytes, balance->reserve_bytes),
                      balance->promised_bytes);
}

/* What is missing; 0 when the domain is covered. */
static guint64
missing_bytes(const Balance *balance)
{
    return mf_sub_clamp(mf_add_sat(taken_bytes(balance), balance->need_bytes), balance->have_bytes);
}

static MfReason *
uncovered_reason(const Balance *balance, const char *name, gboolean refused)
{
    g_autofree char *need = mf_format_bytes(balance->need_bytes);
    g_autofree char *left =
        mf_format_bytes(mf_sub_clamp(balance->have_bytes, taken_bytes(balance)));
    g_autofree char *have = mf_format_bytes(balance->have_bytes);
    g_autofree char *storm = mf_format_bytes(balance->storm_bytes);
    g_autofree char *reserve = mf_format_bytes(balance->reserve_bytes);
    g_autofree char *promised = mf_format_bytes(balance->promised_bytes);
    guint64 missing = missing_bytes(balance);
    /* Rounded up, so that it is enough. */
    g_autofree char *remedy =
        g_strdup_printf("free %" G_GUINT64_FORMAT " MiB%s", missing / MIB + (missing % MIB > 0),
                        refused ? ", or set admission=warn in memfold.conf"
                                : "; with admission=enforce it would not start");

    return mf_reason_new(MF_REASON_ADMISSION, remedy,
                         "domain \"%s\" is %s: it needs %s, and %s are left (%s available or free "
                         "in swap, less %s that merged memory may take back, %s of reserve and %s "
                         "promised to domains that have just started)",
                         name, refused ? "not started" : "started uncovered", need, left, have,
                         storm, reserve, promised);
}

gboolean
mf_admission_judge(const MfConfig *config, const MfHost *host, const MfCover *cover,
                   guint64 promised_bytes, const MfDomain *domain, MfReason **ret_reason)
{
    g_autofree char *name = mf_text_printable(domain->name, NAME_MAX_BYTES);
    gboolean enforce = config->admission == MF_ADMISSION_ENFORCE;
    const char *unknown;
    Balance balance;

    *ret_reason = NULL;
    if (config->admission == MF_ADMISSION_OFF) {
        return TRUE;
    }
    /* Under warn, policy-invalid tells of it. */
    if (enforce && domain->policy_error != NULL) {
        *ret_reason = mf_reason_new(MF_REASON_ADMISSION,
                                    "correct the policy in its <metadata>, or set admission=warn "
                                    "in memfold.conf",
                                    "domain \"%s\" is not started: its policy is refused: %s", name,
                                    domain->policy_error);
        return FALSE;
    }
    unknown = weigh(config, host, cover, promised_bytes, domain, &balance);
    if (unknown != NULL) {
        *ret_reason =
            mf_reason_new(MF_REASON_ADMISSION, NULL,
                          "domain \"%s\" is started unchecked: %s, so that nobody knows whether "
                          "it is covered",
                          name, unknown);
        return TRUE;
    }
    if (missing_bytes(&balance) == 0) {
        return TRUE;
    }
    *ret_reason = uncovered_reason(&balance, name, enforce);
    return !enforce;
}
