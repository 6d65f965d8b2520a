/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt that is slow to open, to list its domains, and to describe one, for LD_PRELOAD, and a
 * watch over how the process ends.
 *
 * A worker that is held up between what it reads of a domain and what it says of it is a matter of
 * luck.  Here the one that finds the file $HOLD_XML removes it, and waits for $HOLD_XML.go.  And
 * who asks whether a domain runs, and finds the file $CUT_ACTIVE, removes it: its connection is
 * cut.
 *
 * What really goes wrong, libcrypto's exit handler freeing what an opening uses, is a matter of
 * microseconds.  Here the opening takes $SLOW_LIBVIRT_MSEC longer, and exit handlers that run
 * meanwhile end the process with SIGABRT.  A list takes as long as the file $SLOW_LIBVIRT_LIST is
 * there.
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_int openings_count;
static _Atomic(virConnectPtr) cut;

static void
on_exit_handlers(void)
{
    if (openings_count > 0) {
        abort();
    }
}

virConnectPtr
virConnectOpen(const char *uri)
{
    virConnectPtr (*real)(const char *) = dlsym(RTLD_NEXT, "virConnectOpen");
    const char *slow_text = getenv("SLOW_LIBVIRT_MSEC");
    long slow_msec = slow_text != NULL ? atol(slow_text) : 0;
    struct timespec slow = {slow_msec / 1000, slow_msec % 1000 * 1000000};
    virConnectPtr connection = NULL;

    openings_count++;
    atexit(on_exit_handlers);
    nanosleep(&slow, NULL);
    connection = real(uri);
    openings_count--;
    return connection;
}

int
virConnectListAllDomains(virConnectPtr connection, virDomainPtr **domains, unsigned int flags)
{
    int (*real)(virConnectPtr, virDomainPtr **, unsigned int) =
        dlsym(RTLD_NEXT, "virConnectListAllDomains");
    const char *sign = getenv("SLOW_LIBVIRT_LIST");
    const struct timespec pause = {0, 10000000};

    while (sign != NULL && access(sign, F_OK) == 0) {
        nanosleep(&pause, NULL);
    }
    return real(connection, domains, flags);
}

char *
virDomainGetXMLDesc(virDomainPtr domain, unsigned int flags)
{
    char *(*real)(virDomainPtr, unsigned int) = dlsym(RTLD_NEXT, "virDomainGetXMLDesc");
    const char *hold = getenv("HOLD_XML");
    struct timespec a_moment = {0, 5000000};
    char *text = real(domain, flags);
    char go[4096] = "";

    if (hold && unlink(hold) == 0) {
        snprintf(go, sizeof go, "%s.go", hold);
        while (unlink(go) != 0) {
            nanosleep(&a_moment, NULL);
        }
    }
    return text;
}

int
virDomainIsActive(virDomainPtr domain)
{
    int (*real)(virDomainPtr) = dlsym(RTLD_NEXT, "virDomainIsActive");
    const char *sign = getenv("CUT_ACTIVE");

    if (sign && unlink(sign) == 0) {
        cut = virDomainGetConnect(domain);
        return -1;
    }
    return real(domain);
}

int
virConnectIsAlive(virConnectPtr connection)
{
    int (*real)(virConnectPtr) = dlsym(RTLD_NEXT, "virConnectIsAlive");

    return connection == cut ? 0 : real(connection);
}
