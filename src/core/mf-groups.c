/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-groups.h"

#include <string.h>

#include "mf-account.h"
#include "mf-units.h"

#define DEFAULT_NUMBER 0 /* the kernel's group of all that are in no other */

/* Who a domain belongs to: a name of groups, or itself alone.  Names have no colon. */
static char *
owner_of(const MfConfig *config, const MfDomain *domain)
{
    const char *name = mf_config_group_of(config, domain->policy);

    return g_str_equal(name, MF_GROUP_ISOLATED) ? g_strconcat("alone:", domain->uuid, NULL)
                                                : g_strdup(name);
}

/* Nobody knows what the domain asks for: the default policy that it has is not its own. */
static gboolean
is_unread(const MfDomain *domain)
{
    return domain->memory_kind == MF_MEMORY_UNKNOWN;
}

static gboolean
is_shared(const char *owner)
{
    return g_str_equal(owner, MF_GROUP_SHARED);
}

static gboolean
is_alone(const char *owner)
{
    return strchr(owner, ':') != NULL;
}

static guint64 *
dup_number(guint64 number)
{
    return g_memdup2(&number, sizeof number);
}

void
mf_groups_init(MfGroups *groups)
{
    groups->owners = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    groups->homes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void
mf_groups_clear(MfGroups *groups)
{
    g_clear_pointer(&groups->owners, g_hash_table_unref);
    g_clear_pointer(&groups->homes, g_hash_table_unref);
}

void
mf_groups_copy(const MfGroups *src, MfGroups *dest)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;

    mf_groups_init(dest);
    g_hash_table_iter_init(&iter, src->owners);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_hash_table_insert(dest->owners, dup_number(*(guint64 *)key), g_strdup(value));
    }
    g_hash_table_iter_init(&iter, src->homes);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_hash_table_insert(dest->homes, g_strdup(key), dup_number(*(guint64 *)value));
    }
}

/* One domain more in a number.  "" is nobody: those in it do not belong together, and whose it was
 * is not known, or one of them can't be moved out.  One that is unread is taken for whose the
 * number was. */
static void
take_occupant(const MfConfig *config, const MfGroups *before, GHashTable *owners,
              const MfDomain *domain)
{
    guint64 number = domain->ksm_group_number.value;
    const char *remembered = g_hash_table_lookup(before->owners, &number);
    const char *present = g_hash_table_lookup(owners, &number);
    g_autofree char *owner = is_unread(domain) ? g_strdup(remembered) : owner_of(config, domain);

    if (owner == NULL) {
        return;
    }
    if (present == NULL) {
        present = remembered != NULL ? remembered : owner;
        g_hash_table_insert(owners, dup_number(number), g_strdup(present));
    }
    if (!g_str_equal(present, owner) && (remembered == NULL || domain->group_error != NULL)) {
        g_hash_table_insert(owners, dup_number(number), g_strdup(""));
    }
}

/* Of several numbers of one name, as when domains started while nobody put them together, the
 * lowest. */
static void
find_homes(MfGroups *groups)
{
    GHashTableIter iter;
    gpointer number;
    gpointer owner;

    g_hash_table_remove_all(groups->homes);
    g_hash_table_iter_init(&iter, groups->owners);
    while (g_hash_table_iter_next(&iter, &number, &owner)) {
        const guint64 *home = g_hash_table_lookup(groups->homes, owner);

        if (*(char *)owner != '\0' && !is_alone(owner) &&
            (home == NULL || *(guint64 *)number < *home)) {
            g_hash_table_insert(groups->homes, g_strdup(owner), dup_number(*(guint64 *)number));
        }
    }
}

void
mf_groups_note(const MfConfig *config, const MfSnapshot *snapshot, MfGroups *groups)
{
    g_autoptr(GHashTable) owners =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);

    if (!snapshot->host.has_groups) {
        return;
    }
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);

        if (domain->ksm_group_number.known && domain->ksm_group_number.value != DEFAULT_NUMBER) {
            take_occupant(config, groups, owners, domain);
        }
    }
    g_hash_table_unref(groups->owners);
    groups->owners = g_steal_pointer(&owners);
    find_homes(groups);
}

static gboolean
in_place(const MfGroups *groups, const MfDomain *domain, const char *owner)
{
    guint64 number = domain->ksm_group_number.value;

    if (!domain->ksm_group_number.known) {
        return FALSE;
    }
    if (is_shared(owner)) {
        return number == DEFAULT_NUMBER;
    }
    const char *whose = g_hash_table_lookup(groups->owners, &number);
    const guint64 *home = g_hash_table_lookup(groups->homes, owner);
    return whose != NULL && g_str_equal(whose, owner) &&
           (is_alone(owner) || (home != NULL && *home == number));
}

gboolean
mf_groups_in_place(const MfConfig *config, const MfGroups *groups, const MfDomain *domain)
{
    g_autofree char *owner = owner_of(config, domain);

    return in_place(groups, domain, owner);
}

void
mf_groups_judge(const MfConfig *config, const MfGroups *groups, const MfDomain *domain,
                MfVerdict *verdict)
{
    if (verdict->want == MF_MODE_OFF || verdict->want == MF_MODE_UNKNOWN ||
        mf_groups_in_place(config, groups, domain)) {
        return;
    }
    const char *name = mf_config_group_of(config, domain->policy);
    if (domain->group_error != NULL && !g_str_equal(name, MF_GROUP_SHARED)) {
        verdict->want = MF_MODE_OFF;
        g_ptr_array_set_size(verdict->reasons, 0); /* "policy auto: merged" */
        g_ptr_array_add(verdict->reasons,
                        mf_reason_new(MF_REASON_GROUP_UNENFORCED,
                                      "see that memfoldd may write /proc/PID/ksm_group "
                                      "(CAP_SYS_RESOURCE and CAP_SYS_PTRACE)",
                                      "it can't be kept in group \"%s\", so that it is not "
                                      "merged: %s",
                                      name, domain->group_error));
        return;
    }
    verdict->want = MF_MODE_UNKNOWN;
    if (domain->group_error != NULL) {
        mf_verdict_tell_first(verdict,
                              mf_reason_new(MF_REASON_WAITING, NULL,
                                            "it could not be moved to group \"%s\", which is tried "
                                            "again: left as it is until then: %s",
                                            name, domain->group_error));
        return;
    }
    mf_verdict_tell_first(
        verdict,
        mf_reason_new(MF_REASON_WAITING, NULL,
                      "it is being moved to group \"%s\": left as it is until then", name));
}

static MfReason *
no_room_reason(MfU64 cost, gboolean storms)
{
    if (storms) {
        return mf_reason_new(MF_REASON_WAITING, NULL,
                             "it is moved to its group when the storm is over");
    }
    if (!cost.known) {
        return mf_reason_new(MF_REASON_WAITING, NULL,
                             "it is moved to its group when it is known what that takes");
    }
    g_autofree char *cost_text = mf_format_bytes(cost.value);
    return mf_reason_new(MF_REASON_NO_HEADROOM, "free memory on the host",
                         "moving it to its group takes %s for what it shares now, which is not "
                         "there",
                         cost_text);
}

/* Un-merging is what moving takes; a domain whose number is not known has not been with others.
 * What it takes is the next one's no longer. */
static gboolean
fits(const MfDomain *domain, MfU64 *headroom, gboolean storms, MfVerdict *verdict)
{
    MfU64 cost = mf_account_move_cost_bytes(domain);

    if (!domain->ksm_group_number.known || (cost.known && cost.value == 0)) {
        return TRUE;
    }
    if (cost.known && headroom->known && cost.value <= headroom->value && !storms) {
        headroom->value -= cost.value;
        return TRUE;
    }
    mf_verdict_tell_first(verdict, no_room_reason(cost, storms));
    return FALSE;
}

/* Whether the domain goes on merging in a number that is somebody else's. */
static gboolean
is_stranger(const MfConfig *config, const MfGroups *groups, const MfDomain *domain)
{
    g_autofree char *owner = owner_of(config, domain);
    const char *whose = domain->ksm_group_number.known
                            ? g_hash_table_lookup(groups->owners, &domain->ksm_group_number.value)
                            : NULL;

    return whose != NULL && !g_str_equal(whose, owner) && !is_unread(domain) &&
           domain->mode != MF_MODE_OFF && domain->mode != MF_MODE_FROZEN;
}

/* "policy auto: merged" is not what is done with the domain; "policy merge=freeze" is. */
static void
drop_policy_to_merge(const MfDomain *domain, MfVerdict *verdict)
{
    for (guint i = verdict->reasons->len; i > 0 && domain->policy->merge != MF_MERGE_FREEZE; i--) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, i - 1);

        if (reason->code == MF_REASON_POLICY) {
            g_ptr_array_remove_index(verdict->reasons, i - 1);
        }
    }
}

/* Who has to stay with those he is not to be with shares no more with them than he does.  Where he
 * can't be kept from it the number is nobody's: those whose it was leave it, and none comes. */
static void
keep_apart_until_moved(const MfConfig *config, MfGroups *groups, const MfDomain *domain,
                       MfVerdict *verdict)
{
    guint64 number = domain->ksm_group_number.value;
    gboolean shared = g_str_equal(mf_config_group_of(config, domain->policy), MF_GROUP_SHARED);

    if (!shared && (domain->caps & MF_CAP_FREEZE)) {
        if (verdict->want == MF_MODE_UNKNOWN && domain->mode == MF_MODE_ON) {
            verdict->want = MF_MODE_FROZEN;
            drop_policy_to_merge(domain, verdict);
        }
    } else if (is_stranger(config, groups, domain)) {
        g_hash_table_insert(groups->owners, dup_number(number), g_strdup(""));
        find_homes(groups);
    }
}

/* What this tick's moves have to mind. */
typedef struct {
    GHashTable
        *begun;       /* set of owners that get their number by a move of this or an earlier tick */
    GHashTable *shut; /* set of numbers with a stranger: nobody is moved there before he has left */
} Moves;

static void
moves_clear(Moves *moves)
{
    g_hash_table_unref(moves->begun);
    g_hash_table_unref(moves->shut);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Moves, moves_clear)

static void
moves_init(Moves *moves, const MfConfig *config, const MfSnapshot *snapshot, const MfGroups *groups)
{
    moves->begun = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    moves->shut = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);

        if (domain->regrouping && domain->group_error == NULL) {
            g_hash_table_add(moves->begun, owner_of(config, domain));
        }
        if (is_stranger(config, groups, domain)) {
            g_hash_table_add(moves->shut, dup_number(domain->ksm_group_number.value));
        }
    }
}

/* Where the domain is to be moved now; NULL: it stays, or waits.  Free with g_free(). */
static char *
destination(const MfConfig *config, const MfGroups *groups, const Moves *moves,
            const MfDomain *domain)
{
    g_autofree char *owner = owner_of(config, domain);
    const guint64 *home = g_hash_table_lookup(groups->homes, owner);

    if (domain->pid <= 0 || domain->regrouping || is_unread(domain) ||
        in_place(groups, domain, owner)) {
        return NULL;
    }
    if (is_shared(owner)) {
        return g_strdup_printf("%d", DEFAULT_NUMBER);
    }
    if (home != NULL) {
        return g_hash_table_contains(moves->shut, home)
                   ? NULL
                   : g_strdup_printf("%" G_GUINT64_FORMAT, *home);
    }
    return is_alone(owner) || !g_hash_table_contains(moves->begun, owner) ? g_strdup("new") : NULL;
}

void
mf_groups_decide(const MfConfig *config, const MfSnapshot *snapshot, MfGroups *groups,
                 MfU64 *headroom, gboolean storms, MfPlan *plan)
{
    g_auto(Moves) moves = {0};

    moves_init(&moves, config, snapshot, groups);
    for (guint i = 0; snapshot->host.has_groups && i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        g_autofree char *to = destination(config, groups, &moves, domain);
        MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);

        if (to == NULL) {
            continue;
        }
        if (!fits(domain, headroom, storms, verdict)) {
            keep_apart_until_moved(config, groups, domain, verdict);
            continue;
        }
        g_hash_table_add(moves.begun, owner_of(config, domain));
        mf_plan_add_group(plan, domain, to,
                          mf_reason_new(MF_REASON_POLICY, NULL, "its group is \"%s\"",
                                        mf_config_group_of(config, domain->policy)));
    }
}
