/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-cover.h"

#include "mf-units.h"

#define RELIEF_PERMYRIAD 500 /* growth goes on when so much more is covered than has to be */

MfCover
mf_cover_measure(const MfHost *host)
{
    MfCover cover = {.need_bytes = host->saved_bytes};

    if (host->mem_available_bytes.known && host->swap_free_bytes.known) {
        cover.have_bytes =
            MF_U64(mf_add_sat(host->mem_available_bytes.value, host->swap_free_bytes.value));
    }
    if (cover.need_bytes.known && cover.have_bytes.known) {
        cover.covered_permyriad =
            MF_U64(cover.need_bytes.value == 0
                       ? G_MAXUINT64
                       : mf_mul_div(cover.have_bytes.value, MF_PERMYRIAD, cover.need_bytes.value));
    }
    return cover;
}

gboolean
mf_cover_forbids_growth(const MfConfig *config, const MfCover *cover, gboolean *uncovered)
{
    guint64 limit_permyriad = config->coverage_permyriad;

    if (limit_permyriad == 0) {
        *uncovered = FALSE;
    } else if (cover->covered_permyriad.known) {
        limit_permyriad += *uncovered ? RELIEF_PERMYRIAD : 0;
        *uncovered = cover->covered_permyriad.value < limit_permyriad;
    }
    return *uncovered;
}

MfReason *
mf_cover_reason(const MfConfig *config, const MfCover *cover)
{
    g_autofree char *need = mf_format_bytes(cover->need_bytes.value);
    g_autofree char *have = mf_format_bytes(cover->have_bytes.value);
    g_autofree char *limit = mf_format_permyriad(config->coverage_permyriad);

    return mf_reason_new(MF_REASON_UNCOVERED,
                         "add swap, stop or migrate a domain, or lower coverage-permyriad in "
                         "memfold.conf",
                         "if all merged memory were written now it would take %s, and %s are "
                         "available or free in swap (coverage-permyriad asks for %s of the need): "
                         "nothing more is merged",
                         need, have, limit);
}
