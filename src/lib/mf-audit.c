/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer of an audit, as the daemon sent it. */
#include "mf-call.h"
#include "mf-figures.h"
#include "mf-names.h"

#define REPLY_TYPE "(a{sv}a(sss)a(a{sv}a(sss))aa{sv})"

struct _MemfoldAudit {
    MemfoldFigures *host;
    GPtrArray *domains;    /* of MemfoldFigures */
    GPtrArray *violations; /* of MemfoldFigures */
};

MemfoldAudit *
memfold_client_audit(MemfoldClient *client, const char *const *domains, MemfoldProgress progress,
                     gpointer user_data, GError **error)
{
    const char *const nobody[] = {NULL};
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) values = NULL;
    g_autoptr(GVariant) texts = NULL;
    g_autoptr(GVariant) of_domains = NULL;
    g_autoptr(GVariant) violations = NULL;
    MemfoldAudit *audit;

    g_return_val_if_fail(client != NULL, NULL);
    if (!mf_call_check_words(domains, error)) {
        return NULL;
    }
    reply =
        mf_call_long(client, "Audit", g_variant_new("(^as)", domains != NULL ? domains : nobody),
                     REPLY_TYPE, MF_SIGNAL_AUDIT, progress, user_data, error);
    if (reply == NULL) {
        return NULL;
    }
    g_variant_get(reply, "(@a{sv}@a(sss)@a(a{sv}a(sss))@aa{sv})", &values, &texts, &of_domains,
                  &violations);
    audit = g_new0(MemfoldAudit, 1);
    audit->host = mf_figures_new(values, texts);
    audit->domains = mf_figures_of_several(of_domains);
    audit->violations = mf_figures_of_plain(violations);
    return audit;
}

void
memfold_audit_free(MemfoldAudit *audit)
{
    if (audit != NULL) {
        mf_figures_free(audit->host);
        g_ptr_array_unref(audit->domains);
        g_ptr_array_unref(audit->violations);
        g_free(audit);
    }
}

const MemfoldFigures *
memfold_audit_get_host(const MemfoldAudit *audit)
{
    return audit->host;
}

gsize
memfold_audit_get_n_domains(const MemfoldAudit *audit)
{
    return audit->domains->len;
}

const MemfoldFigures *
memfold_audit_get_domain(const MemfoldAudit *audit, gsize index)
{
    g_return_val_if_fail(index < audit->domains->len, NULL);
    return g_ptr_array_index(audit->domains, index);
}

gsize
memfold_audit_get_n_violations(const MemfoldAudit *audit)
{
    return audit->violations->len;
}

const MemfoldFigures *
memfold_audit_get_violation(const MemfoldAudit *audit, gsize index)
{
    g_return_val_if_fail(index < audit->violations->len, NULL);
    return g_ptr_array_index(audit->violations, index);
}
