/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMUs that answer what a test wants, for LD_PRELOAD beside libvirt's test driver, which has none,
 * and domains with names that libvirt would not take.
 *
 * The answer to a command is the file $HOSTILE_QEMU/UUID/COMMAND; without one, an empty success.
 * The name is that of UUID/name.
 */
#include <dlfcn.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (2 * 1024 * 1024)

/* The file's bytes, for free(); NULL when there is none. */
static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? calloc(1, ANSWER_MAX_BYTES) : NULL;

    if (text != NULL && fread(text, 1, ANSWER_MAX_BYTES - 1, file) == 0) {
        text[0] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

/* The text lives as long as the process: whoever asks for a name does not free it. */
const char *
virDomainGetName(virDomainPtr domain)
{
    const char *(*real)(virDomainPtr) = dlsym(RTLD_NEXT, "virDomainGetName");
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    char path[4096];
    const char *name = NULL;

    if (virDomainGetUUIDString(domain, uuid) == 0) {
        snprintf(path, sizeof path, "%s/%s/name", getenv("HOSTILE_QEMU"), uuid);
        name = read_file(path);
    }
    return name != NULL ? name : real(domain);
}

int
virDomainQemuMonitorCommand(virDomainPtr domain, const char *command, char **result,
                            unsigned int flags)
{
    static const char key[] = "\"execute\":\"";
    const char *name = strstr(command, key);
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    char path[4096];
    int length;

    (void)flags;
    if (name == NULL || virDomainGetUUIDString(domain, uuid) < 0) {
        return -1;
    }
    name += strlen(key);
    length = (int)strcspn(name, "\"");
    snprintf(path, sizeof path, "%s/%s/%.*s", getenv("HOSTILE_QEMU"), uuid, length, name);
    *result = read_file(path);
    if (*result == NULL) {
        *result = strdup("{\"return\":{}}");
    }
    return 0;
}
