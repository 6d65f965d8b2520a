/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt's test driver does not do, for LD_PRELOAD: a domain that is suspended stands still.
 *
 * Its domains are of air, and here each has a process, by libvirt's PID file.
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

static int
pid_of(virDomainPtr domain)
{
    char path[256];
    FILE *file = NULL;
    int pid = 0;

    snprintf(path, sizeof(path), "/run/libvirt/qemu/%s.pid", virDomainGetName(domain));
    file = fopen(path, "r");
    if (!file || fscanf(file, "%d", &pid) != 1) {
        pid = 0;
    }
    if (file) {
        fclose(file);
    }
    return pid;
}

static int
signal_domain(virDomainPtr domain, int number)
{
    int pid = pid_of(domain);

    return pid > 0 ? kill(pid, number) : -1;
}

/* By the third word of /proc/PID/stat; the second one, in brackets, has no blank here. */
static int
is_stopped(virDomainPtr domain)
{
    char path[64];
    char state = '?';
    FILE *file = NULL;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid_of(domain));
    file = fopen(path, "r");
    if (file && fscanf(file, "%*d %*s %c", &state) != 1) {
        state = '?';
    }
    if (file) {
        fclose(file);
    }
    return state == 'T';
}

/* Each connection to the test driver has a node of its own, which knows nothing of what another one
 * did: the process tells how it is. */
int
virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags)
{
    int (*real)(virDomainPtr, int *, int *, unsigned int) =
        (int (*)(virDomainPtr, int *, int *, unsigned int))dlsym(RTLD_NEXT, "virDomainGetState");
    int status = real(domain, state, reason, flags);

    if (status == 0 && state) {
        *state = is_stopped(domain) ? VIR_DOMAIN_PAUSED : VIR_DOMAIN_RUNNING;
    }
    return status;
}

int
virDomainSuspend(virDomainPtr domain)
{
    int (*real)(virDomainPtr) = (int (*)(virDomainPtr))dlsym(RTLD_NEXT, "virDomainSuspend");

    real(domain);
    return signal_domain(domain, SIGSTOP);
}

int
virDomainResume(virDomainPtr domain)
{
    int (*real)(virDomainPtr) = (int (*)(virDomainPtr))dlsym(RTLD_NEXT, "virDomainResume");

    real(domain);
    return signal_domain(domain, SIGCONT);
}
