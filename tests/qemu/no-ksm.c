/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel without KSM, as far as a process sees it by madvise(): built as a library that is loaded
 * before all others.  mm/madvise.c knows neither advice unless CONFIG_KSM is set, and says EINVAL
 * whatever the range.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int
madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_MERGEABLE || advice == MADV_UNMERGEABLE) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}
