/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection that is cut when libvirtd has done what it was asked and before it says so, for
 * LD_PRELOAD.
 *
 * The next pause, or wish of a balloon, after the file $LOST_ANSWER was made is done, and fails.
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <unistd.h>

static virConnectPtr cut; /* its connection from then on */

/* TRUE once for each time that the file was made. */
static int
is_lost(virDomainPtr domain)
{
    if (unlink(getenv("LOST_ANSWER")) != 0) {
        return 0;
    }
    cut = virDomainGetConnect(domain);
    return 1;
}

int
virDomainSuspend(virDomainPtr domain)
{
    int (*real)(virDomainPtr) = dlsym(RTLD_NEXT, "virDomainSuspend");
    int status = real(domain);

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
