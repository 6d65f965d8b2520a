/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirtd has done, and its answer is lost or late, for LD_PRELOAD.
 *
 * The next pause, or wish of a balloon, after the file $LOST_ANSWER was made is done, and fails, as
 * if the connection had been cut.  A pause is done, and takes as long as the file $LATE_ANSWER is
 * there.
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static virConnectPtr cut; /* its connection from then on */

/* TRUE once for each time that the file was made. */
static int
is_lost(virDomainPtr domain)
{
    const char *sign = getenv("LOST_ANSWER");

    if (sign == NULL || unlink(sign) != 0) {
        return 0;
    }
    cut = virDomainGetConnect(domain);
    return 1;
}

int
virDomainSuspend(virDomainPtr domain)
{
    int (*real)(virDomainPtr) = dlsym(RTLD_NEXT, "virDomainSuspend");
    const char *late = getenv("LATE_ANSWER");
    const struct timespec pause = {0, 10000000};
    int status = real(domain);

    while (late != NULL && access(late, F_OK) == 0) {
        nanosleep(&pause, NULL);
    }

    return is_lost(domain) ? -1 : status;
}

int
virDomainSetMemoryFlags(virDomainPtr domain, unsigned long kib, unsigned int flags)
{
    int (*real)(virDomainPtr, unsigned long, unsigned int) =
        dlsym(RTLD_NEXT, "virDomainSetMemoryFlags");
    int status = real(domain, kib, flags);

    return is_lost(domain) ? -1 : status;
}

int
virConnectIsAlive(virConnectPtr connection)
{
    int (*real)(virConnectPtr) = dlsym(RTLD_NEXT, "virConnectIsAlive");

    return connection == cut ? 0 : real(connection);
}
