/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control: a reader with a mistake of the kind that the others are searched for, one byte
 * written behind a buffer, by an input that no seed holds.  A hunt that does not find this one
 * proves nothing of the others.
 */
#include <string.h>

#include "mf-fuzz.h"

#define NAME_BYTES 8

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "name=";
    g_autofree char *name = g_malloc(NAME_BYTES);
    gsize length_bytes = 0;

    if (size < sizeof head || memcmp(data, head, sizeof head - 1) != 0) {
        return 0;
    }
    data += sizeof head - 1;
    size -= sizeof head - 1;
    while (length_bytes < size && length_bytes < NAME_BYTES && data[length_bytes] != '\n') {
        name[length_bytes] = (char)data[length_bytes];
        length_bytes++;
    }
    /* The mistake: a name of NAME_BYTES has no room for its end. */
    name[length_bytes] = '\0';
    return 0;
}
