/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures and reasons as the daemon sent them, looked into when asked. */
#include "mf-figures.h"

struct _MemfoldFigures {
    GVariant *values; /* a{sv} */
    GVariant *texts;  /* a(sss), which the strings of reasons point into */
    GArray *reasons;  /* of MemfoldReason */
};

/* Takes its own references. */
MemfoldFigures *
mf_figures_new(GVariant *values, GVariant *texts)
{
    MemfoldFigures *figures = g_new0(MemfoldFigures, 1);
    MemfoldReason reason;
    GVariantIter iter;

    figures->values = g_variant_ref(values);
    figures->texts = g_variant_ref(texts);
    figures->reasons = g_array_new(FALSE, FALSE, sizeof(MemfoldReason));
    g_variant_iter_init(&iter, texts);
    while (g_variant_iter_next(&iter, "(&s&s&s)", &reason.code, &reason.text, &reason.remedy)) {
        if (reason.remedy[0] == '\0') {
            reason.remedy = NULL;
        }
        g_array_append_val(figures->reasons, reason);
    }
    return figures;
}

void
mf_figures_free(gpointer data)
{
    MemfoldFigures *figures = data;

    g_variant_unref(figures->values);
    g_variant_unref(figures->texts);
    g_array_unref(figures->reasons);
    g_free(figures);
}

/* Of a(a{sv}a(sss)). */
GPtrArray *
mf_figures_of_several(GVariant *domains)
{
    GPtrArray *figures = g_ptr_array_new_with_free_func(mf_figures_free);

    for (gsize i = 0; i < g_variant_n_children(domains); i++) {
        g_autoptr(GVariant) of_domain = NULL;
        g_autoptr(GVariant) why = NULL;

        g_variant_get_child(domains, i, "(@a{sv}@a(sss))", &of_domain, &why);
        g_ptr_array_add(figures, mf_figures_new(of_domain, why));
    }
    return figures;
}

/* Of aa{sv}. */
GPtrArray *
mf_figures_of_plain(GVariant *several)
{
    g_autoptr(GVariant) no_texts = g_variant_ref_sink(g_variant_new("a(sss)", NULL));
    GPtrArray *figures = g_ptr_array_new_with_free_func(mf_figures_free);

    for (gsize i = 0; i < g_variant_n_children(several); i++) {
        g_autoptr(GVariant) of_one = g_variant_get_child_value(several, i);

        g_ptr_array_add(figures, mf_figures_new(of_one, no_texts));
    }
    return figures;
}

gboolean
memfold_figures_get_uint64(const MemfoldFigures *figures, const char *key, guint64 *ret_value)
{
    guint32 narrow;

    if (g_variant_lookup(figures->values, key, "u", &narrow)) {
        *ret_value = narrow;
        return TRUE;
    }
    return g_variant_lookup(figures->values, key, "t", ret_value);
}

gboolean
memfold_figures_get_int64(const MemfoldFigures *figures, const char *key, gint64 *ret_value)
{
    gint32 narrow;

    if (g_variant_lookup(figures->values, key, "i", &narrow)) {
        *ret_value = narrow;
        return TRUE;
    }
    return g_variant_lookup(figures->values, key, "x", ret_value);
}

gboolean
memfold_figures_get_boolean(const MemfoldFigures *figures, const char *key, gboolean *ret_value)
{
    return g_variant_lookup(figures->values, key, "b", ret_value);
}

const char *
memfold_figures_get_string(const MemfoldFigures *figures, const char *key)
{
    const char *text = NULL;

    return g_variant_lookup(figures->values, key, "&s", &text) ? text : NULL;
}

GVariant *
memfold_figures_get_values(const MemfoldFigures *figures)
{
    return figures->values;
}

gsize
memfold_figures_get_n_reasons(const MemfoldFigures *figures)
{
    return figures->reasons->len;
}

const MemfoldReason *
memfold_figures_get_reason(const MemfoldFigures *figures, gsize index)
{
    g_return_val_if_fail(index < figures->reasons->len, NULL);
    return &g_array_index(figures->reasons, MemfoldReason, index);
}
