/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/cgroup: which control group is a domain's own. */
#include <string.h>

#include "mf-error.h"
#include "mf-parse.h"
#include "mf-span.h"

#define UNIFIED "0::/"

/* With systemd "machine-qemu\x2d1\x2dNAME.scope", without it "qemu-1-NAME.libvirt-qemu". */
static gboolean
is_of_one_domain(const char *name)
{
    return (g_str_has_prefix(name, "machine-qemu") && g_str_has_suffix(name, ".scope")) ||
           (g_str_has_prefix(name, "qemu-") && g_str_has_suffix(name, ".libvirt-qemu"));
}

/* The path down to the domain's group; NULL when there is none in it, or it is no plain path. */
static char *
cut_at_domain(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    gsize length_bytes = 0;

    for (guint i = 0; names[i] != NULL; i++) {
        if (names[i][0] == '\0' || g_str_equal(names[i], ".") || g_str_equal(names[i], "..")) {
            return NULL;
        }
        if (is_of_one_domain(names[i])) {
            return g_strndup(path, length_bytes + strlen(names[i]));
        }
        length_bytes += strlen(names[i]) + 1;
    }
    return NULL;
}

char *
mf_parse_cgroup_of_domain(const char *text, gsize length_bytes, GError **error)
{
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        if (line.length_bytes < strlen(UNIFIED) || memcmp(line.text, UNIFIED, strlen(UNIFIED))) {
            continue;
        }
        g_autofree char *path =
            g_strndup(line.text + strlen(UNIFIED), line.length_bytes - strlen(UNIFIED));
        char *own = cut_at_domain(path);
        if (own == NULL) {
            g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                        "its QEMU is in no control group of its own");
        }
        return own;
    }
    g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED, "this host has no cgroup v2");
    return NULL;
}
