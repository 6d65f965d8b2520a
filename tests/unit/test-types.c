/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain values: every name there and back, deep copies, plans and their lines, foreign text. */
#include <string.h>

#include "../../src/core/mf-plan.h"
#include "../../src/core/mf-text.h"
#include "../../src/core/mf-types.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"

static void
test_names(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int i = MF_MODE_UNKNOWN; i <= MF_MODE_MIXED; i++) {
        MfMode mode = MF_MODE_UNKNOWN;
        g_assert_true(mf_mode_from_string(mf_mode_to_string(i), &mode));
        g_assert_cmpint(mode, ==, i);
    }
    for (int i = MF_MEMORY_UNKNOWN; i <= MF_MEMORY_MEMFD; i++) {
        MfMemoryKind kind = MF_MEMORY_UNKNOWN;
        g_assert_true(mf_memory_kind_from_string(mf_memory_kind_to_string(i), &kind));
        g_assert_cmpint(kind, ==, i);
    }
    for (int i = MF_MERGE_AUTO; i <= MF_MERGE_ZERO; i++) {
        MfMerge merge = MF_MERGE_AUTO;
        g_assert_true(mf_merge_from_string(mf_merge_to_string(i), &merge));
        g_assert_cmpint(merge, ==, i);
    }
    for (int i = 0; i < MF_KNOB_N; i++) {
        MfKnob knob = MF_KNOB_RUN;
        g_assert_true(mf_knob_from_string(mf_knob_to_string(i), &knob));
        g_assert_cmpint(knob, ==, i);
    }
    for (int i = 0; i < MF_REASON_N_CODES; i++) {
        MfReasonCode code = MF_REASON_POLICY;
        const char *name = mf_reason_code_to_string(i);
        g_assert_nonnull(name);
        g_assert_true(g_hash_table_add(seen, (gpointer)name));
        g_assert_true(mf_reason_code_from_string(name, &code));
        g_assert_cmpint(code, ==, i);
    }
}

static void
test_unknown_names(void)
{
    MfMode mode = MF_MODE_ON;
    MfKnob knob = MF_KNOB_SLEEP_MSEC;
    MfReasonCode code = MF_REASON_BUDGET;

    g_assert_false(mf_mode_from_string("ON", &mode));
    g_assert_false(mf_mode_from_string("", &mode));
    g_assert_false(mf_mode_from_string(NULL, &mode));
    g_assert_cmpint(mode, ==, MF_MODE_ON);
    g_assert_false(mf_knob_from_string("run ", &knob));
    g_assert_cmpint(knob, ==, MF_KNOB_SLEEP_MSEC);
    g_assert_false(mf_reason_code_from_string("nothing", &code));
    g_assert_cmpstr(mf_mode_to_string((MfMode)99), ==, "invalid");
}

static void
test_domain_copy(void)
{
    g_autoptr(MfDomain) domain = mf_domain_new("C7A5FDBD-EDAF-9455-926A-D65C16DB1809", "vm1");
    MfBlock *block = mf_block_new();

    g_assert_cmpstr(domain->uuid, ==, UUID);
    g_assert_false(domain->saved_bytes.known);
    block->id = g_strdup("pc.ram");
    block->blockers = g_strsplit("policy,shared", ",", -1);
    domain->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)mf_block_free);
    g_ptr_array_add(domain->blocks, block);
    domain->policy->group = g_strdup("tenant-a");
    domain->policy_error = g_strdup("bad");
    domain->switch_error = g_strdup("late");
    domain->saved_bytes = MF_U64(4096);

    g_autoptr(MfDomain) copy = mf_domain_copy(domain);
    g_clear_pointer(&domain, mf_domain_free);
    const MfBlock *copied = g_ptr_array_index(copy->blocks, 0);
    g_assert_cmpstr(copy->uuid, ==, UUID);
    g_assert_cmpstr(copy->name, ==, "vm1");
    g_assert_cmpstr(copy->policy->group, ==, "tenant-a");
    g_assert_cmpstr(copy->policy_error, ==, "bad");
    g_assert_cmpstr(copy->switch_error, ==, "late");
    g_assert_cmpuint(copy->saved_bytes.value, ==, 4096);
    g_assert_cmpuint(copy->blocks->len, ==, 1);
    g_assert_cmpstr(copied->id, ==, "pc.ram");
    g_assert_cmpstr(copied->blockers[1], ==, "shared");
}

static void
test_snapshot_find(void)
{
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    MfDomain *domain = mf_domain_new(UUID, "vm1");

    g_ptr_array_add(snapshot->domains, domain);
    g_assert_true(mf_snapshot_find(snapshot, "C7A5FDBD-edaf-9455-926A-d65c16db1809") == domain);
    g_assert_null(mf_snapshot_find(snapshot, "vm1"));
    g_autoptr(GHashTable) uuids = mf_snapshot_uuids(snapshot);
    g_assert_cmpuint(g_hash_table_size(uuids), ==, snapshot->domains->len);
    g_assert_true(g_hash_table_contains(uuids, domain->uuid));
    g_autoptr(GHashTable) kept = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(kept, domain->uuid);
    g_hash_table_add(kept, (gpointer) "00000000-0000-4000-8000-000000000000");
    mf_snapshot_drop_gone(snapshot, kept);
    g_assert_cmpuint(g_hash_table_size(kept), ==, 1);
    g_assert_true(g_hash_table_contains(kept, domain->uuid));
}

static void
test_plan_lines(void)
{
    g_autoptr(MfPlan) plan = mf_plan_new();
    g_autoptr(MfDomain) domain = mf_domain_new(UUID, "vm1");

    domain->mode = MF_MODE_ON;
    mf_plan_add_knob(plan, MF_KNOB_RUN, "0", "1",
                     mf_reason_new(MF_REASON_DOMAINS, NULL, "%d domains can merge", 2));
    mf_plan_add_knob(plan, MF_KNOB_SLEEP_MSEC, NULL, "20",
                     mf_reason_new(MF_REASON_CONFIG, NULL, "sleep-msec=20"));
    mf_plan_add_domain_mode(plan, domain, MF_MODE_OFF,
                            mf_reason_new(MF_REASON_POLICY, "none", "policy merge=off"));
    static const char *const lines[] = {
        "ksm run: 0 -> 1 (2 domains can merge)",
        "ksm sleep_millisecs: unknown -> 20 (sleep-msec=20)",
        "domain vm1: on -> off (policy merge=off)",
    };
    g_assert_cmpuint(plan->actions->len, ==, G_N_ELEMENTS(lines));
    for (guint i = 0; i < plan->actions->len; i++) {
        g_autofree char *line = mf_action_to_string(g_ptr_array_index(plan->actions, i));
        g_assert_cmpstr(line, ==, lines[i]);
    }

    const MfAction *last = g_ptr_array_index(plan->actions, 2);
    g_autoptr(MfReason) copy = mf_reason_copy(last->reason);
    g_assert_cmpstr(copy->remedy, ==, "none");
    g_assert_null(mf_plan_find(plan, UUID));
}

static void
test_foreign_text(void)
{
    g_autofree char *nasty = mf_text_quote("a\"b\n\033[2J\xff");
    g_autofree char *many = g_strnfill(1000, 'x');
    g_autofree char *cut = mf_text_quote(many);
    g_autofree char *shown = mf_text_printable("vm\033[1m\n\xff", 64);

    for (const char *p = nasty; *p != '\0'; p++) {
        g_assert_true(g_ascii_isprint(*p));
    }
    g_assert_true(g_str_has_prefix(nasty, "\"a\\\"b\\n"));
    g_assert_cmpuint(strlen(cut), ==, 64 + 5);
    g_assert_true(g_str_has_suffix(cut, "...\""));
    g_assert_null(strchr(shown, '\033'));
    g_assert_null(strchr(shown, '\n'));
    g_assert_true(mf_text_is_printable("pc.ram", 6));
    g_assert_false(mf_text_is_printable("pc.ram", 5));
    g_assert_false(mf_text_is_printable("", 5));
    g_assert_false(mf_text_is_printable("a\tb", 5));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/types/names", test_names);
    g_test_add_func("/types/unknown-names", test_unknown_names);
    g_test_add_func("/types/domain-copy", test_domain_copy);
    g_test_add_func("/types/snapshot-find", test_snapshot_find);
    g_test_add_func("/types/plan-lines", test_plan_lines);
    g_test_add_func("/types/foreign-text", test_foreign_text);
    return g_test_run();
}
