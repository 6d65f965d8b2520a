/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's XML, read for nine facts and forgotten. */
#include "mf-domxml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "../core/mf-error.h"
#include "../core/mf-text.h"
#include "../core/mf-units.h"

#define NAME_MAX_BYTES 1024
#define SECURITY_BYTES 32
#define UUID_BYTES     36

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlParserCtxt, xmlFreeParserCtxt)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlBuffer, xmlBufferFree)

static gboolean
is_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns == NULL &&
           g_str_equal((const char *)node->name, name);
}

/* The next child of that name after previous (NULL: the first). */
static xmlNode *
find_child(const xmlNode *parent, const xmlNode *previous, const char *name)
{
    xmlNode *node = previous != NULL ? previous->next : parent->children;

    while (node != NULL && !is_element(node, name)) {
        node = node->next;
    }
    return node;
}

/* Text of a child element; NULL when it is missing.  Free with g_free(). */
static char *
child_text(const xmlNode *parent, const char *name)
{
    const xmlNode *child = find_child(parent, NULL, name);
    xmlChar *content = child != NULL ? xmlNodeGetContent(child) : NULL;
    char *text = g_strdup((const char *)content);

    xmlFree(content);
    return text;
}

/* Whether node (NULL: no) has the attribute with that value. */
static gboolean
attribute_is(const xmlNode *node, const char *attribute, const char *value)
{
    xmlChar *found = node != NULL ? xmlGetNoNsProp(node, (const xmlChar *)attribute) : NULL;
    gboolean equal = found != NULL && g_str_equal((const char *)found, value);

    xmlFree(found);
    return equal;
}

/* How a piece of RAM is accessed: as it says itself, else as the domain says. */
static MfMemoryKind
access_kind(const xmlNode *node, const char *attribute, MfMemoryKind otherwise)
{
    if (attribute_is(node, attribute, "shared")) {
        return otherwise == MF_MEMORY_MEMFD ? otherwise : MF_MEMORY_SHARED;
    }
    return attribute_is(node, attribute, "private") ? MF_MEMORY_FILE : otherwise;
}

/*
 * libvirt takes memory-backend-ram, anonymous memory, until the XML names an access mode or a file:
 * then it is a mapping of a file, and a memfd's is shared unless it says "private" (QEMU's default
 * for that backend).  A domain with NUMA cells is what all of its cells are, and else the kind that
 * can merge most.
 */
static MfMemoryKind
memory_kind(const xmlNode *domain, const xmlNode *backing)
{
    const xmlNode *cpu = find_child(domain, NULL, "cpu");
    const xmlNode *numa = cpu != NULL ? find_child(cpu, NULL, "numa") : NULL;
    const xmlNode *cell = numa != NULL ? find_child(numa, NULL, "cell") : NULL;
    MfMemoryKind kind = MF_MEMORY_ANONYMOUS;

    if (backing != NULL) {
        const xmlNode *source = find_child(backing, NULL, "source");
        if (find_child(backing, NULL, "hugepages") != NULL) {
            return MF_MEMORY_HUGEPAGES;
        }
        if (attribute_is(source, "type", "memfd")) {
            kind = MF_MEMORY_MEMFD;
        } else if (attribute_is(source, "type", "file")) {
            kind = MF_MEMORY_FILE;
        }
        kind = access_kind(find_child(backing, NULL, "access"), "mode", kind);
    }
    if (cell == NULL) {
        return kind;
    }

    gboolean file = FALSE;
    gboolean anonymous = FALSE;
    for (; cell != NULL; cell = find_child(numa, cell, "cell")) {
        MfMemoryKind cell_kind = access_kind(cell, "memAccess", kind);
        file = file || cell_kind == MF_MEMORY_FILE;
        anonymous = anonymous || cell_kind == MF_MEMORY_ANONYMOUS;
    }
    if (anonymous) {
        return MF_MEMORY_ANONYMOUS;
    }
    if (file) {
        return MF_MEMORY_FILE;
    }
    return kind == MF_MEMORY_MEMFD ? kind : MF_MEMORY_SHARED;
}

/* What protects the guest's memory from the host; NULL when nothing does.  Free with g_free(). */
static char *
launch_security(const xmlNode *domain)
{
    const xmlNode *node = find_child(domain, NULL, "launchSecurity");
    xmlChar *type = node != NULL ? xmlGetNoNsProp(node, (const xmlChar *)"type") : NULL;
    gboolean named = type != NULL && mf_text_is_printable((const char *)type, SECURITY_BYTES);
    char *text = node == NULL ? NULL : g_strdup(named ? (const char *)type : "unknown");

    xmlFree(type);
    return text;
}

/* Devices of that element whose type is one of these. */
static guint
count_devices(const xmlNode *devices, const char *element, const char *const *types)
{
    guint count = 0;

    for (xmlNode *node = find_child(devices, NULL, element); node != NULL;
         node = find_child(devices, node, element)) {
        for (guint i = 0; types[i] != NULL; i++) {
            count += attribute_is(node, "type", types[i]) ? 1 : 0;
        }
    }
    return count;
}

/* Devices for which QEMU pins all guest RAM, since they may reach any of it: PCI and NVMe by VFIO,
 * vDPA.  A mediated device pins what its driver asks for, which is not known here. */
static guint
passthrough_count(const xmlNode *domain)
{
    static const char *const hostdevs[] = {"pci", NULL};
    static const char *const interfaces[] = {"hostdev", "vdpa", NULL};
    static const char *const disks[] = {"nvme", "vhostvdpa", NULL};
    const xmlNode *devices = find_child(domain, NULL, "devices");

    return devices == NULL ? 0
                           : count_devices(devices, "hostdev", hostdevs) +
                                 count_devices(devices, "interface", interfaces) +
                                 count_devices(devices, "disk", disks);
}

/* What one of a unit is (libvirt: docs/formatdomain, "Memory Allocation"); 0: no unit. */
static guint64
unit_bytes(const char *unit)
{
    static const char letters[] = "kmgtpe";
    const char *letter = unit[0] != '\0' ? strchr(letters, g_ascii_tolower(unit[0])) : NULL;
    guint64 bytes = 1;
    guint64 step = 0;

    if (g_ascii_strcasecmp(unit, "b") == 0 || g_ascii_strcasecmp(unit, "bytes") == 0) {
        return 1;
    }
    if (letter == NULL) {
        return 0;
    }
    if (unit[1] == '\0' || g_ascii_strcasecmp(unit + 1, "ib") == 0) {
        step = 1024;
    } else if (g_ascii_strcasecmp(unit + 1, "b") == 0) {
        step = 1000;
    }
    for (const char *p = letters; p <= letter; p++) {
        bytes = mf_mul_sat(bytes, step);
    }
    return bytes;
}

static MfU64
memory_bytes(const xmlNode *domain)
{
    const xmlNode *memory = find_child(domain, NULL, "memory");
    g_autofree char *text = child_text(domain, "memory");
    xmlChar *unit = memory != NULL ? xmlGetNoNsProp(memory, (const xmlChar *)"unit") : NULL;
    guint64 one_bytes = unit_bytes(unit != NULL ? (const char *)unit : "KiB");
    guint64 number = 0;

    xmlFree(unit);
    if (text == NULL || one_bytes == 0 ||
        !g_ascii_string_to_unsigned(g_strstrip(text), 10, 0, G_MAXUINT64, &number, NULL)) {
        return MF_U64_ABSENT;
    }
    return MF_U64(mf_mul_sat(number, one_bytes));
}

/* The first element of our namespace within <metadata>, as text that declares its namespace itself;
 * NULL when there is none.  Free with g_free(). */
static char *
policy_text(const xmlNode *domain)
{
    const xmlNode *metadata = find_child(domain, NULL, "metadata");
    xmlNode *node = metadata != NULL ? metadata->children : NULL;

    while (node != NULL && (node->type != XML_ELEMENT_NODE || node->ns == NULL ||
                            !g_str_equal((const char *)node->ns->href, MF_POLICY_NS))) {
        node = node->next;
    }
    if (node == NULL) {
        return NULL;
    }

    /* A copy carries the declarations that it needs and that stood further up. */
    g_autoptr(xmlDoc) alone = xmlNewDoc((const xmlChar *)"1.0");
    g_autoptr(xmlBuffer) buffer = xmlBufferCreate();
    xmlNode *copy = xmlDocCopyNode(node, alone, 1);
    xmlDocSetRootElement(alone, copy);
    xmlNodeDump(buffer, alone, copy, 0, 0);
    return g_strdup((const char *)xmlBufferContent(buffer));
}

/* Lower case, or NULL when text is no UUID.  Free with g_free(). */
static char *
normal_uuid(const char *text)
{
    g_autofree char *stripped = g_strstrip(g_strdup(text));

    if (strlen(stripped) != UUID_BYTES) {
        return NULL;
    }
    for (int i = 0; i < UUID_BYTES; i++) {
        gboolean dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? stripped[i] != '-' : !g_ascii_isxdigit(stripped[i])) {
            return NULL;
        }
    }
    return g_ascii_strdown(stripped, -1);
}

/* What libvirt takes: a name may have a tab or the like in it, and whose XML were refused for that
 * would have no policy. */
static gboolean
name_is_sane(const char *name)
{
    return name[0] != '\0' && strlen(name) <= NAME_MAX_BYTES && strpbrk(name, "/\n") == NULL;
}

static xmlDoc *
read_document(const char *text, gsize length_bytes, GError **error)
{
    g_autoptr(xmlParserCtxt) context = xmlNewParserCtxt();
    g_autoptr(xmlDoc) document = NULL;

    if (length_bytes == 0 || length_bytes > MF_DOMXML_MAX_BYTES) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "domain XML of %" G_GSIZE_FORMAT " bytes; allowed: 1 to %d", length_bytes,
                    MF_DOMXML_MAX_BYTES);
        return NULL;
    }
    /* libvirt writes UTF-8; what a text says of its own encoding is not asked. */
    if (!g_utf8_validate_len(text, length_bytes, NULL)) {
        g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID, "domain XML: not UTF-8 text");
        return NULL;
    }
    document = xmlCtxtReadMemory(context, text, (int)length_bytes, "domain.xml", "UTF-8",
                                 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (document == NULL) {
        const xmlError *cause = xmlCtxtGetLastError(context);
        g_autofree char *message =
            g_strdup(cause != NULL && cause->message != NULL ? cause->message : "unknown error");
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "domain XML, line %d: %s",
                    cause != NULL ? cause->line : 0, g_strchomp(message));
        return NULL;
    }
    if (xmlGetIntSubset(document) != NULL) {
        g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID,
                            "domain XML: a document type is not allowed");
        return NULL;
    }
    return g_steal_pointer(&document);
}

MfDomxml *
mf_domxml_parse(const char *text, gsize length_bytes, GError **error)
{
    g_autoptr(xmlDoc) document = read_document(text, length_bytes, error);
    const xmlNode *domain = document != NULL ? xmlDocGetRootElement(document) : NULL;

    if (document == NULL) {
        return NULL;
    }
    if (domain == NULL || !is_element(domain, "domain")) {
        g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID,
                            "domain XML: its element is not <domain>");
        return NULL;
    }

    g_autofree char *name = child_text(domain, "name");
    g_autofree char *uuid_text = child_text(domain, "uuid");
    g_autofree char *uuid = uuid_text != NULL ? normal_uuid(uuid_text) : NULL;
    if (name == NULL || !name_is_sane(name) || uuid == NULL) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "domain XML: no usable <%s>",
                    uuid == NULL ? "uuid" : "name");
        return NULL;
    }

    const xmlNode *backing = find_child(domain, NULL, "memoryBacking");
    MfDomxml *domxml = g_new0(MfDomxml, 1);
    domxml->name = g_steal_pointer(&name);
    domxml->uuid = g_steal_pointer(&uuid);
    domxml->nosharepages = backing != NULL && find_child(backing, NULL, "nosharepages") != NULL;
    domxml->memory_kind = memory_kind(domain, backing);
    domxml->launch_security = launch_security(domain);
    domxml->passthrough_count = passthrough_count(domain);
    domxml->memory_bytes = memory_bytes(domain);
    domxml->policy_xml = policy_text(domain);
    return domxml;
}

void
mf_domxml_free(MfDomxml *domxml)
{
    if (domxml == NULL) {
        return;
    }
    g_free(domxml->name);
    g_free(domxml->uuid);
    g_free(domxml->launch_security);
    g_free(domxml->policy_xml);
    g_free(domxml);
}
