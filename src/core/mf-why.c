/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-why.h"

#include "mf-units.h"
#include "mf-why-private.h"

#define WORTH_PERMYRIAD 1000

gboolean
mf_why_is_worth(const MfDomain *domain, guint64 bytes)
{
    return bytes >= MF_WHY_WORTH_BYTES && domain->resident_bytes.known &&
           bytes >= mf_mul_div(domain->resident_bytes.value, WORTH_PERMYRIAD, MF_PERMYRIAD);
}

static gboolean
block_has(const MfBlock *block, const char *blocker)
{
    return block->blockers != NULL &&
           g_strv_contains((const char *const *)block->blockers, blocker);
}

static gboolean
some_block_has(const MfDomain *domain, const char *blocker)
{
    for (guint i = 0; domain->blocks != NULL && i < domain->blocks->len; i++) {
        if (block_has(g_ptr_array_index(domain->blocks, i), blocker)) {
            return TRUE;
        }
    }
    return FALSE;
}

static MfReason *
guest_private(const MfEvidence *evidence)
{
    const MfDomain *domain = evidence->domain;
    const char *remedy =
        "remove <launchSecurity> and start the domain again, if its guest need not "
        "be protected from the host";

    if (domain->launch_security != NULL) {
        return mf_reason_new(
            MF_REASON_GUEST_PRIVATE, remedy,
            "its memory is encrypted for the guest alone (<launchSecurity> of type "
            "\"%s\"): no two pages are equal to the host",
            domain->launch_security);
    }
    if (some_block_has(domain, "guest-private")) {
        return mf_reason_new(MF_REASON_GUEST_PRIVATE, remedy,
                             "QEMU says that the host does not see what the guest has in its "
                             "memory: nothing equal is found there");
    }
    return NULL;
}

static MfReason *
pinned(const MfEvidence *evidence)
{
    const MfDomain *domain = evidence->domain;
    const char *remedy = "use emulated or virtio devices instead of passed-through ones and start "
                         "the domain again";

    if (domain->passthrough_count > 0) {
        return mf_reason_new(MF_REASON_PINNED, remedy,
                             "its RAM is pinned, since %u passed-through %s may write to any of it "
                             "(VFIO): ksmd skips pinned pages",
                             domain->passthrough_count,
                             domain->passthrough_count == 1 ? "device" : "devices");
    }
    if (some_block_has(domain, "pinned")) {
        return mf_reason_new(MF_REASON_PINNED, remedy,
                             "QEMU says that a device has access to guest memory which the host "
                             "can't interrupt: ksmd skips pinned pages");
    }
    return NULL;
}

/* Whether a block that counts is not marked.  What keeps its contents private is told elsewhere,
 * and secrets (keys, variables of the firmware) are meant to stay unmarked. */
static gboolean
is_unmarked(const MfBlock *block)
{
    return block->size_bytes >= MF_WHY_WORTH_BYTES &&
           (block->mode == MF_MODE_OFF || (block->mergeable_known && !block->mergeable)) &&
           !block_has(block, "guest-private") && !block_has(block, "pinned") &&
           !block_has(block, "secret");
}

static const char *
remedy_for_block(const MfBlock *block)
{
    static const struct {
        const char *blocker;
        const char *remedy;
    } known[] = {
        {"shared", "give it memory that is not shared and start the domain again"},
        {"huge-pages", "give it memory without <hugepages/> and start the domain again"},
        {"device", NULL},
        {"pmem", NULL},
        {"snapshot", "wait: it is marked when the background snapshot is complete"},
        {"host", "look into QEMU's log for what the kernel refused"},
        {"policy", "switch it on with QMP: set-memory-merge, mode \"on\", id as above"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        if (block_has(block, known[i].blocker)) {
            return known[i].remedy;
        }
    }
    return "switch it on with QMP: set-memory-merge, mode \"on\", id as above";
}

static MfReason *
block_unmarked(const MfEvidence *evidence)
{
    const GPtrArray *blocks = evidence->domain->blocks;
    const MfBlock *first = NULL;
    guint unmarked_count = 0;
    gboolean some_marked = FALSE;

    for (guint i = 0; blocks != NULL && i < blocks->len; i++) {
        const MfBlock *block = g_ptr_array_index(blocks, i);
        if (is_unmarked(block)) {
            unmarked_count++;
            first = first == NULL || block->size_bytes > first->size_bytes ? block : first;
        } else {
            some_marked = some_marked || (block->mode == MF_MODE_ON &&
                                          (block->mergeable || !block->mergeable_known));
        }
    }
    if (first == NULL || !some_marked) {
        return NULL;
    }
    g_autofree char *size = mf_format_bytes(first->size_bytes);
    g_autofree char *blockers =
        first->blockers != NULL ? g_strjoinv(", ", first->blockers) : g_strdup("");
    g_autofree char *more = unmarked_count > 1
                                ? g_strdup_printf("; %u more are not, either", unmarked_count - 1)
                                : g_strdup("");
    return mf_reason_new(MF_REASON_BLOCK_UNMARKED, remedy_for_block(first),
                         "block \"%s\" (%s) of its memory is not marked for merging (%s)%s",
                         first->id, size, blockers[0] != '\0' ? blockers : "mode off", more);
}

/* Whether it is somebody else's to start ksmd. */
static gboolean
stands_back(const MfPlan *plan)
{
    for (guint i = 0; i < plan->host_reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(plan->host_reasons, i);
        if (reason->code == MF_REASON_UNMANAGED || reason->code == MF_REASON_OTHER_MANAGER) {
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean
somebody_should_merge(const MfPlan *plan)
{
    for (guint i = 0; i < plan->verdicts->len; i++) {
        const MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        if (verdict->want == MF_MODE_ON) {
            return TRUE;
        }
    }
    return FALSE;
}

static void
tell_host(const MfSnapshot *snapshot, MfPlan *plan)
{
    const MfHost *host = &snapshot->host;

    if (host->run.known && host->run.value == 0 && stands_back(plan) &&
        somebody_should_merge(plan)) {
        g_ptr_array_add(plan->host_reasons,
                        mf_reason_new(MF_REASON_KSM_OFF,
                                      "write 1 to /sys/kernel/mm/ksm/run, or let memfold govern it",
                                      "ksmd does not run (run=0), and memfold may not start it: "
                                      "nothing more is merged"));
    }
}

/* The place before the policy that a domain is merged by, which is last. */
static guint
place_of_new(const MfVerdict *verdict)
{
    guint last = verdict->reasons->len;

    if (verdict->want == MF_MODE_ON && last > 0) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, last - 1);
        return reason->code == MF_REASON_POLICY ? last - 1 : last;
    }
    return last;
}

static void
tell_domain(const MfEvidence *evidence, MfVerdict *verdict)
{
    typedef MfReason *(*Find)(const MfEvidence *evidence);
    /* From the ground up: what can't merge at all, what is not marked, what is not merged yet. */
    static const struct {
        Find find;
        gboolean of_memory; /* also told of a domain that is kept from merging by its policy */
    } all[] = {
        {guest_private, TRUE},      {pinned, TRUE},
        {block_unmarked, FALSE},    {mf_why_not_scanned, FALSE},
        {mf_why_volatile, FALSE},   {mf_why_huge_pages, FALSE},
        {mf_why_other_node, FALSE}, {mf_why_sharing_limit, FALSE},
        {mf_why_swapped_in, FALSE},
    };
    guint place = place_of_new(verdict);

    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        MfReason *reason =
            all[i].of_memory || verdict->want == MF_MODE_ON ? all[i].find(evidence) : NULL;
        if (reason != NULL) {
            g_ptr_array_insert(verdict->reasons, (gint)place++, reason);
        }
    }
}

void
mf_why_tell(const MfSnapshot *snapshot, const MfWatch *watch, MfPlan *plan)
{
    MfEvidence evidence = {snapshot, watch, plan, NULL, TRUE};

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        evidence.domain = g_ptr_array_index(snapshot->domains, i);
        g_autoptr(MfReason) unscanned =
            verdict->want == MF_MODE_ON ? mf_why_not_scanned(&evidence) : NULL;
        evidence.settled = evidence.settled && unscanned == NULL;
    }
    for (guint i = 0; i < snapshot->domains->len; i++) {
        evidence.domain = g_ptr_array_index(snapshot->domains, i);
        tell_domain(&evidence, g_ptr_array_index(plan->verdicts, i));
    }
    tell_host(snapshot, plan);
}
