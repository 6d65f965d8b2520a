/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `memfold audit`: whether pages are shared across groups, by the kernel's own page tables. */
#include <stdio.h>

#include "mf-cli-json.h"
#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-table.h"
#include "mf-text.h"
#include "mf-units.h"

#define VIOLATIONS_MAX 64 /* what memfoldd tells at most, see org.memfold1.xml */

static const MfColumn columns[] = {
    {"DOMAIN", 24, FALSE}, {"GROUP", 16, FALSE}, {"LOOKED AT", 0, TRUE},
    {"MERGED", 0, TRUE},   {"SWAPPED", 0, TRUE}, {"ACROSS GROUPS", 0, TRUE},
};

static MemfoldAudit *
ask(char **names, GError **error)
{
    MfCliWait wait;
    MemfoldProgress progress = mf_cli_wait_begin(&wait, "looking at page tables");
    g_autoptr(MemfoldClient) client = memfold_client_new(error);
    MemfoldAudit *audit = NULL;

    if (client != NULL) {
        audit = memfold_client_audit(client, (const char *const *)names, progress, &wait, error);
        mf_cli_wait_end(&wait);
    }
    return audit;
}

static guint64
count(const MemfoldFigures *figures, const char *key)
{
    guint64 value = 0;

    memfold_figures_get_uint64(figures, key, &value);
    return value;
}

/* Pages as memory; "-" when absent. */
static char *
pages_mib(const MemfoldFigures *figures, const char *key, guint64 page_size_bytes)
{
    guint64 pages;

    if (!memfold_figures_get_uint64(figures, key, &pages)) {
        return g_strdup("-");
    }
    return mf_format_bytes(mf_mul_sat(pages, page_size_bytes));
}

static void
print_domains(const MemfoldAudit *audit)
{
    static const char *const keys[] = {"looked_pages", "merged_pages", "swapped_pages",
                                       "violation_pages"};
    guint64 page_size_bytes = count(memfold_audit_get_host(audit), "page_size_bytes");
    g_autoptr(MfTable) table = mf_table_new(columns, G_N_ELEMENTS(columns));
    g_autofree char *text = NULL;

    for (gsize i = 0; i < memfold_audit_get_n_domains(audit); i++) {
        const MemfoldFigures *domain = memfold_audit_get_domain(audit, i);
        g_auto(GStrv) sizes = g_new0(char *, G_N_ELEMENTS(keys) + 1);
        const char *cells[G_N_ELEMENTS(columns)] = {mf_cli_word(domain, "name"),
                                                    mf_cli_word(domain, "group")};

        for (guint k = 0; k < G_N_ELEMENTS(keys); k++) {
            sizes[k] = pages_mib(domain, keys[k], page_size_bytes);
            cells[2 + k] = sizes[k];
        }
        mf_table_add(table, cells);
    }
    text = mf_table_render(table, mf_cli_width());
    printf("%s\n", text);
    for (gsize i = 0; i < memfold_audit_get_n_domains(audit); i++) {
        const MemfoldFigures *domain = memfold_audit_get_domain(audit, i);
        g_autofree char *name = mf_text_printable(mf_cli_word(domain, "name"), 256);
        g_autofree char *label = g_strdup_printf("%s: ", name);

        mf_cli_print_reason_lines(label, domain);
    }
}

/* "vm1" (tenant-a), or "program" (process 17). */
static char *
party_text(const MemfoldFigures *violation, const char *prefix)
{
    g_autofree char *name = g_strconcat(prefix, "name", NULL);
    g_autofree char *group = g_strconcat(prefix, "group", NULL);
    g_autofree char *pid = g_strconcat(prefix, "pid", NULL);
    const char *in_group = memfold_figures_get_string(violation, group);
    gint64 number = 0;

    if (in_group != NULL) {
        return g_strdup_printf("\"%s\" (%s)", mf_cli_word(violation, name), in_group);
    }
    memfold_figures_get_int64(violation, pid, &number);
    return g_strdup_printf("\"%s\" (process %" G_GINT64_FORMAT ", no domain)",
                           mf_cli_word(violation, name), number);
}

static void
print_violations(const MemfoldAudit *audit)
{
    for (gsize i = 0; i < memfold_audit_get_n_violations(audit); i++) {
        const MemfoldFigures *violation = memfold_audit_get_violation(audit, i);
        g_autofree char *first = party_text(violation, "");
        g_autofree char *other = party_text(violation, "other_");
        g_autofree char *line = g_strdup_printf("%s and %s: %" G_GUINT64_FORMAT " pages", first,
                                                other, count(violation, "violation_pages"));
        mf_cli_print_line("  - ", line);
    }
    if (memfold_audit_get_n_violations(audit) == VIOLATIONS_MAX) {
        printf("  - and perhaps more: the %d largest are shown\n", VIOLATIONS_MAX);
    }
}

/* What the verdict is and what it rests on. */
static void
print_verdict(const MemfoldAudit *audit)
{
    const MemfoldFigures *host = memfold_audit_get_host(audit);
    const char *verdict = mf_cli_word(host, "verdict");

    if (g_str_equal(verdict, "clean")) {
        printf("proven: no page is shared across groups (%" G_GUINT64_FORMAT
               " domains, %" G_GUINT64_FORMAT " pages looked at, %" G_GUINT64_FORMAT
               " merged ones inside groups)\n",
               count(host, "domains_count"), count(host, "looked_pages"),
               count(host, "within_pages"));
        return;
    }
    if (g_str_equal(verdict, "violated")) {
        printf("VIOLATED: %" G_GUINT64_FORMAT " pages are shared across groups\n",
               count(host, "violation_pages"));
        print_violations(audit);
    } else {
        printf("not proven: no page was found that is shared across groups, but not all could be "
               "looked at\n");
    }
    if (count(host, "zero_violation_pages") > 0) {
        printf("  - ksmd's zero page is mapped %" G_GUINT64_FORMAT
               " times, which use-zero-pages=off forbids\n",
               count(host, "zero_violation_pages"));
    }
    if (count(host, "failed_count") > 0) {
        printf("  - %" G_GUINT64_FORMAT " domains could not be looked at\n",
               count(host, "failed_count"));
    }
    if (count(host, "unexplained_pages") > 0) {
        printf("  - %" G_GUINT64_FORMAT " pages are mapped by somebody who was not found; try "
               "again when ksmd rests\n",
               count(host, "unexplained_pages"));
    }
    mf_cli_print_reason_lines("  - ", host);
}

static void
print_json(const MemfoldAudit *audit)
{
    JsonObject *object = json_object_new();
    JsonArray *domains = json_array_new();
    JsonArray *violations = json_array_new();

    for (gsize i = 0; i < memfold_audit_get_n_domains(audit); i++) {
        json_array_add_object_element(domains,
                                      mf_cli_json_figures(memfold_audit_get_domain(audit, i)));
    }
    for (gsize i = 0; i < memfold_audit_get_n_violations(audit); i++) {
        json_array_add_object_element(violations,
                                      mf_cli_json_figures(memfold_audit_get_violation(audit, i)));
    }
    json_object_set_object_member(object, "host",
                                  mf_cli_json_figures(memfold_audit_get_host(audit)));
    json_object_set_array_member(object, "domains", domains);
    json_object_set_array_member(object, "violations", violations);
    mf_cli_json_print(object);
}

static MfExit
run(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a JSON object", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(MemfoldAudit) audit = NULL;
    g_autoptr(GError) error = NULL;

    if (!mf_cli_parse(&mf_command_audit, entries, 0, -1, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    audit = ask(argv + 1, &error);
    if (audit == NULL) {
        return mf_cli_fail(error);
    }
    if (json) {
        print_json(audit);
    } else {
        print_domains(audit);
        print_verdict(audit);
    }
    return g_str_equal(mf_cli_word(memfold_audit_get_host(audit), "verdict"), "clean")
               ? MF_EXIT_OK
               : MF_EXIT_FAILED;
}

const MfCommand mf_command_audit = {
    .name = "audit",
    .arguments = "[DOMAIN...]",
    .summary = "Prove that no page is shared across groups",
    .details = "Looks at the page tables of all domains, and counts who maps each merged page; "
               "needs permission.\n"
               "Ends with 0 when it is proven, and with 1 when pages are shared across groups, or "
               "when not all\n"
               "could be looked at: the last lines tell which.",
    .run = run,
};
