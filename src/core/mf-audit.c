/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of keys in open addressing, a window on them, and a list of those that are suspect. */
#include "mf-audit.h"

#include "mf-units.h"

#define FIRST_CAPACITY 1024u
/* Odd, near 2^64 divided by the golden ratio: multiplying by it spreads neighbours, and loses none.
 */
#define SPREAD      G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)
#define WINDOWS_END (G_GUINT64_CONSTANT(1) << 32)
#define SHOWN_MAX   G_MAXUINT32

typedef struct {
    guint64 key; /* 0: free */
    guint32 party;
    guint32 shown_count; /* once suspects are listed: the place in the list */
} Entry;

typedef struct {
    guint group; /* 0: nobody else's */
    MfU64 number;
    gboolean is_judged;
    guint64 violation_pages;
} Party;

/* What the first look finds out of a key beside its entry, kept as bits of party. */
#define PARTY_CROSS   (1u << 31)
#define PARTY_UNKNOWN (1u << 30) /* not mapped as often as it was shown */
#define PARTY_MASK    (PARTY_UNKNOWN - 1)

struct _MfAudit {
    guint keys_max_count;
    guint pairs_max_count;
    GArray *parties;    /* of Party */
    GHashTable *groups; /* name -> number, from 1 */

    Entry *entries;
    guint capacity;
    guint count;
    guint64 window_start; /* of the upper half of a spread key */
    guint64 window_end;
    guint64 window_length;
    gboolean is_restless; /* a page was on its way and could not be told */

    GArray *suspects; /* of MfAuditSuspect */
    GArray *pairs;    /* of MfAuditPair */
    MfAuditCounts counts;
};

MfAudit *
mf_audit_new(guint keys_max_count, guint pairs_max_count)
{
    MfAudit *audit = g_new0(MfAudit, 1);

    audit->keys_max_count = keys_max_count;
    audit->pairs_max_count = pairs_max_count;
    audit->parties = g_array_new(FALSE, FALSE, sizeof(Party));
    audit->groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    audit->suspects = g_array_new(FALSE, FALSE, sizeof(MfAuditSuspect));
    audit->pairs = g_array_new(FALSE, FALSE, sizeof(MfAuditPair));
    audit->window_length = WINDOWS_END;
    return audit;
}

void
mf_audit_free(MfAudit *audit)
{
    if (audit) {
        g_array_unref(audit->pairs);
        g_array_unref(audit->suspects);
        g_hash_table_unref(audit->groups);
        g_array_unref(audit->parties);
        g_free(audit->entries);
        g_free(audit);
    }
}

guint
mf_audit_add_party(MfAudit *audit, const char *group, MfU64 number, gboolean is_judged)
{
    Party party = {.number = number, .is_judged = is_judged};

    if (group) {
        party.group = GPOINTER_TO_UINT(g_hash_table_lookup(audit->groups, group));
        if (party.group == 0) {
            party.group = g_hash_table_size(audit->groups) + 1;
            g_hash_table_insert(audit->groups, g_strdup(group), GUINT_TO_POINTER(party.group));
        }
    }
    g_array_append_val(audit->parties, party);
    return audit->parties->len - 1;
}

static gboolean
are_apart(const MfAudit *audit, guint a, guint b)
{
    const Party *one = &g_array_index(audit->parties, Party, a);
    const Party *two = &g_array_index(audit->parties, Party, b);

    if (a == b) {
        return FALSE;
    }
    return one->group == 0 || one->group != two->group ||
           (one->number.known && two->number.known && one->number.value != two->number.value);
}

static guint64
spread(guint64 key)
{
    guint64 mixed = key * SPREAD;

    return (mixed ^ (mixed >> 32)) * SPREAD;
}

static gboolean
is_in_window(const MfAudit *audit, guint64 mixed)
{
    guint64 place = mixed >> 32;

    return place >= audit->window_start && place < audit->window_end;
}

/* The entry of key, or the free one where it belongs. */
static Entry *
find_entry(const MfAudit *audit, guint64 key, guint64 mixed)
{
    guint mask = audit->capacity - 1;
    guint at = (guint)mixed & mask;

    while (audit->entries[at].key != 0 && audit->entries[at].key != key) {
        at = (at + 1) & mask;
    }
    return &audit->entries[at];
}

/* Another table of that capacity, with what lies in the window. */
static void
rebuild(MfAudit *audit, guint capacity)
{
    g_autofree Entry *old = audit->entries;
    guint old_capacity = audit->capacity;

    audit->entries = g_new0(Entry, capacity);
    audit->capacity = capacity;
    audit->count = 0;
    for (guint i = 0; i < old_capacity; i++) {
        guint64 mixed = spread(old[i].key);

        if (old[i].key != 0 && is_in_window(audit, mixed)) {
            *find_entry(audit, old[i].key, mixed) = old[i];
            audit->count++;
        }
    }
}

gboolean
mf_audit_next_window(MfAudit *audit)
{
    if (audit->window_end >= WINDOWS_END) {
        return FALSE;
    }
    audit->window_start = audit->window_end;
    audit->window_end = MIN(audit->window_start + audit->window_length, WINDOWS_END);
    audit->is_restless = FALSE;
    g_array_set_size(audit->suspects, 0);
    g_clear_pointer(&audit->entries, g_free);
    audit->capacity = 0;
    rebuild(audit, MIN(FIRST_CAPACITY, audit->keys_max_count));
    return TRUE;
}

void
mf_audit_get_window(const MfAudit *audit, guint *ret_start_permyriad, guint *ret_end_permyriad)
{
    *ret_start_permyriad = (guint)mf_mul_div(audit->window_start, MF_PERMYRIAD, WINDOWS_END);
    *ret_end_permyriad = (guint)mf_mul_div(audit->window_end, MF_PERMYRIAD, WINDOWS_END);
}

/* Room for one more: by a larger table, or by a smaller window. */
static void
make_room(MfAudit *audit)
{
    while (audit->count >= audit->capacity / 4 * 3) {
        if (audit->capacity < audit->keys_max_count) {
            rebuild(audit, audit->capacity * 2);
        } else {
            audit->window_length /= 2;
            audit->window_end = audit->window_start + audit->window_length;
            rebuild(audit, audit->capacity);
        }
    }
}

void
mf_audit_show(MfAudit *audit, guint party, guint64 key)
{
    guint64 mixed = spread(key);
    Entry *entry = NULL;

    audit->is_restless = audit->is_restless || key == 0;
    if (key == 0 || !is_in_window(audit, mixed)) {
        return;
    }
    entry = find_entry(audit, key, mixed);
    if (entry->key == 0) {
        if (!g_array_index(audit->parties, Party, party).is_judged) {
            return;
        }
        make_room(audit);
        if (!is_in_window(audit, mixed)) {
            return;
        }
        entry = find_entry(audit, key, mixed);
        *entry = (Entry){.key = key, .party = party};
        audit->count++;
    }
    if (are_apart(audit, entry->party & PARTY_MASK, party)) {
        entry->party |= PARTY_CROSS;
    }
    entry->shown_count += entry->shown_count < SHOWN_MAX ? 1 : 0;
}

gboolean
mf_audit_next_frame(const MfAudit *audit, guint *cursor, guint64 *ret_frame)
{
    while (*cursor < audit->capacity) {
        guint64 key = audit->entries[(*cursor)++].key;

        if (key != 0 && (key & MF_AUDIT_KEY_SWAP) == 0) {
            *ret_frame = key;
            return TRUE;
        }
    }
    return FALSE;
}

void
mf_audit_set_mapped(MfAudit *audit, guint64 frame, guint64 mapped_count)
{
    Entry *entry = find_entry(audit, frame, spread(frame));

    if (entry->key != 0 && mapped_count != entry->shown_count) {
        entry->party |= PARTY_UNKNOWN;
    }
}

gboolean
mf_audit_list_suspects(MfAudit *audit)
{
    for (guint i = 0; i < audit->capacity; i++) {
        Entry *entry = &audit->entries[i];

        if (entry->key == 0) {
            continue;
        }
        if ((entry->party & (PARTY_CROSS | PARTY_UNKNOWN)) == 0) {
            /* A swap slot that only one has need not be of a merged page. */
            audit->counts.within_pages +=
                (entry->key & MF_AUDIT_KEY_SWAP) == 0 || entry->shown_count > 1 ? 1 : 0;
            entry->shown_count = MF_AUDIT_NO_PARTY;
            continue;
        }
        MfAuditSuspect suspect = {.key = entry->key, .is_cross = (entry->party & PARTY_CROSS) != 0};
        entry->shown_count = audit->suspects->len;
        g_array_append_val(audit->suspects, suspect);
    }
    return audit->suspects->len > 0 || audit->is_restless;
}

void
mf_audit_begin_look(MfAudit *audit)
{
    audit->is_restless = FALSE;
    for (guint i = 0; i < audit->suspects->len; i++) {
        MfAuditSuspect *suspect = &g_array_index(audit->suspects, MfAuditSuspect, i);

        suspect->first_party = MF_AUDIT_NO_PARTY;
        suspect->other_party = MF_AUDIT_NO_PARTY;
        suspect->shown_count = 0;
    }
}

/* What a judged party has now and nobody had at the first look: it moved there, or was merged
 * since.
 */
static void
add_suspect(MfAudit *audit, guint64 key)
{
    MfAuditSuspect suspect = {
        .key = key, .first_party = MF_AUDIT_NO_PARTY, .other_party = MF_AUDIT_NO_PARTY};
    Entry *entry = NULL;

    /* The window can't change now: the last quarter of a full table is for this. */
    if (audit->count >= audit->capacity / 4 * 3 && audit->capacity < audit->keys_max_count) {
        rebuild(audit, audit->capacity * 2);
    }
    if (audit->count >= audit->capacity / 8 * 7) {
        audit->counts.unexplained_pages++;
        return;
    }
    entry = find_entry(audit, key, spread(key));
    *entry = (Entry){.key = key, .shown_count = audit->suspects->len};
    audit->count++;
    g_array_append_val(audit->suspects, suspect);
}

/* NULL when it is none. */
static MfAuditSuspect *
find_suspect(const MfAudit *audit, guint64 key)
{
    guint64 mixed = spread(key);
    const Entry *entry = NULL;

    if (key == 0 || !is_in_window(audit, mixed)) {
        return NULL;
    }
    entry = find_entry(audit, key, mixed);
    return entry->key != 0 && entry->shown_count < audit->suspects->len
               ? &g_array_index(audit->suspects, MfAuditSuspect, entry->shown_count)
               : NULL;
}

gboolean
mf_audit_is_suspect(const MfAudit *audit, guint64 key)
{
    return find_suspect(audit, key) != NULL;
}

void
mf_audit_show_again(MfAudit *audit, guint party, guint64 key, guint64 address_bytes)
{
    guint64 mixed = spread(key);
    MfAuditSuspect *suspect = NULL;

    if (key != 0 && is_in_window(audit, mixed) && find_entry(audit, key, mixed)->key == 0 &&
        g_array_index(audit->parties, Party, party).is_judged) {
        add_suspect(audit, key);
    }
    suspect = find_suspect(audit, key);
    if (!suspect) {
        return;
    }
    suspect->shown_count += suspect->shown_count < SHOWN_MAX ? 1 : 0;
    if (suspect->first_party == MF_AUDIT_NO_PARTY) {
        suspect->first_party = party;
        suspect->first_address_bytes = address_bytes;
    } else if (suspect->other_party == MF_AUDIT_NO_PARTY &&
               are_apart(audit, suspect->first_party, party)) {
        suspect->other_party = party;
        suspect->other_address_bytes = address_bytes;
    }
}

guint
mf_audit_get_n_suspects(const MfAudit *audit)
{
    return audit->suspects->len;
}

const MfAuditSuspect *
mf_audit_get_suspect(const MfAudit *audit, guint index)
{
    return &g_array_index(audit->suspects, MfAuditSuspect, index);
}

/* The last of the list takes the place of the one that goes. */
static void
remove_suspect(MfAudit *audit, guint index)
{
    guint last = audit->suspects->len - 1;
    guint64 key = g_array_index(audit->suspects, MfAuditSuspect, index).key;
    guint64 last_key = g_array_index(audit->suspects, MfAuditSuspect, last).key;

    find_entry(audit, key, spread(key))->shown_count = MF_AUDIT_NO_PARTY;
    if (index != last) {
        find_entry(audit, last_key, spread(last_key))->shown_count = index;
    }
    g_array_remove_index_fast(audit->suspects, index);
}

static void
add_violation(MfAudit *audit, const MfAuditSuspect *suspect)
{
    MfAuditPair pair = {suspect->first_party, suspect->other_party, 1, suspect->key};

    audit->counts.violation_pages++;
    g_array_index(audit->parties, Party, pair.first_party).violation_pages++;
    g_array_index(audit->parties, Party, pair.other_party).violation_pages++;
    for (guint i = 0; i < audit->pairs->len; i++) {
        MfAuditPair *known = &g_array_index(audit->pairs, MfAuditPair, i);

        if (known->first_party == pair.first_party && known->other_party == pair.other_party) {
            known->pages++;
            return;
        }
    }
    if (audit->pairs->len < audit->pairs_max_count) {
        g_array_append_val(audit->pairs, pair);
    }
}

void
mf_audit_settle(MfAudit *audit, guint index, gboolean is_shared, MfU64 mapped_count)
{
    const MfAuditSuspect *suspect = &g_array_index(audit->suspects, MfAuditSuspect, index);
    gboolean all_shown = (suspect->key & MF_AUDIT_KEY_SWAP) != 0 ||
                         (mapped_count.known && mapped_count.value <= suspect->shown_count);

    if (suspect->other_party != MF_AUDIT_NO_PARTY) {
        if (is_shared) {
            add_violation(audit, suspect);
            remove_suspect(audit, index);
        }
    } else if (all_shown) {
        if (suspect->is_cross) {
            audit->counts.transient_pages++;
        } else if (suspect->shown_count > 0) {
            audit->counts.within_pages++;
        }
        remove_suspect(audit, index);
    }
}

void
mf_audit_end_looks(MfAudit *audit)
{
    audit->counts.unexplained_pages += audit->suspects->len;
    g_array_set_size(audit->suspects, 0);
}

MfAuditCounts
mf_audit_get_counts(const MfAudit *audit)
{
    return audit->counts;
}

guint64
mf_audit_get_violations_of(const MfAudit *audit, guint party)
{
    return g_array_index(audit->parties, Party, party).violation_pages;
}

static gint
compare_pairs(gconstpointer a, gconstpointer b)
{
    const MfAuditPair *one = a;
    const MfAuditPair *two = b;

    return one->pages > two->pages ? -1 : one->pages < two->pages;
}

const GArray *
mf_audit_get_pairs(MfAudit *audit)
{
    g_array_sort(audit->pairs, compare_pairs);
    return audit->pairs;
}

MfAuditVerdict
mf_audit_judge(const MfAuditCounts *counts, guint64 zero_pages, guint failed_count)
{
    if (counts->violation_pages > 0 || zero_pages > 0) {
        return MF_AUDIT_VIOLATED;
    }
    return counts->unexplained_pages > 0 || failed_count > 0 ? MF_AUDIT_NOT_PROVEN : MF_AUDIT_CLEAN;
}

const char *
mf_audit_verdict_to_string(MfAuditVerdict verdict)
{
    static const char *const names[] = {"clean", "violated", "not-proven"};

    return names[verdict];
}
