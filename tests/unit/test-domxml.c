/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nine facts of a domain's XML, as libvirt writes it and as nobody should. */
#include <string.h>

#include "../../src/io/mf-domxml.h"
#include "mf-test.h"

#define UUID            "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define HEAD            "<name>vm1</name><uuid>" UUID "</uuid>"
#define DOMAIN(inside)  "<domain type='kvm'>" HEAD inside "</domain>"
#define BACKING(inside) DOMAIN("<memoryBacking>" inside "</memoryBacking>")
#define CELL(access)    "<cell id='0' cpus='0' memory='64'" access "/>"
#define CELLS(backing, cells)                                                                      \
    DOMAIN("<memoryBacking>" backing "</memoryBacking><cpu><numa>" cells "</numa></cpu>")

static MfDomxml *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    MfDomxml *domxml = mf_domxml_parse(text, strlen(text), &error);

    g_assert_no_error(error);
    return domxml;
}

static void
test_plain(void)
{
    g_autoptr(MfDomxml) domxml = parse("<?xml version='1.0'?>\n<!-- libvirt -->\n"
                                       "<domain type='kvm' id='3'>\n  <name>a &amp; b</name>\n"
                                       "  <uuid>C7A5FDBD-EDAF-9455-926A-D65C16DB1809</uuid>\n"
                                       "  <devices><emulator>/usr/bin/qemu</emulator></devices>\n"
                                       "</domain>\n");

    g_assert_cmpstr(domxml->name, ==, "a & b");
    g_assert_cmpstr(domxml->uuid, ==, UUID);
    g_assert_false(domxml->nosharepages);
    g_assert_cmpint(domxml->memory_kind, ==, MF_MEMORY_ANONYMOUS);
    g_assert_null(domxml->policy_xml);
    g_assert_false(domxml->memory_bytes.known);
}

/* libvirt writes KiB; people write what they like, and libvirt scales it. */
static void
test_memory_bytes(void)
{
    static const struct {
        const char *xml;
        gboolean known;
        guint64 bytes;
    } cases[] = {
        {DOMAIN("<memory unit='KiB'>65536</memory><currentMemory>1</currentMemory>"), TRUE,
         1 << 26},
        {DOMAIN("<memory>65536</memory>"), TRUE, 1 << 26},
        {DOMAIN("<memory unit='MiB'> 64\n</memory>"), TRUE, 1 << 26},
        {DOMAIN("<memory unit='M'>64</memory>"), TRUE, 1 << 26},
        {DOMAIN("<memory unit='g'>1</memory>"), TRUE, 1 << 30},
        {DOMAIN("<memory unit='MB'>2</memory>"), TRUE, 2000000},
        {DOMAIN("<memory unit='b'>4096</memory>"), TRUE, 4096},
        {DOMAIN("<memory unit='bytes'>4096</memory>"), TRUE, 4096},
        {DOMAIN("<memory unit='TiB'>1</memory>"), TRUE, G_GUINT64_CONSTANT(1) << 40},
        {DOMAIN("<memory unit='EiB'>99</memory>"), TRUE, G_MAXUINT64},
        {DOMAIN("<memory unit='MiBs'>64</memory>"), FALSE, 0},
        {DOMAIN("<memory unit=''>64</memory>"), FALSE, 0},
        {DOMAIN("<memory unit='stone'>64</memory>"), FALSE, 0},
        {DOMAIN("<memory>-1</memory>"), FALSE, 0},
        {DOMAIN("<memory>64 MiB</memory>"), FALSE, 0},
        {DOMAIN("<memory/>"), FALSE, 0},
        {DOMAIN("<devices><memory model='dimm'>64</memory></devices>"), FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].xml);
        g_autoptr(MfDomxml) domxml = parse(cases[i].xml);
        g_assert_cmpint(domxml->memory_bytes.known, ==, cases[i].known);
        g_assert_cmpuint(domxml->memory_bytes.value, ==, cases[i].bytes);
    }
}

/* What libvirt 9.0 makes of each was asked of its domxml-to-native. */
static void
test_memory_kind(void)
{
    static const struct {
        const char *xml;
        MfMemoryKind kind;
    } cases[] = {
        {DOMAIN(""), MF_MEMORY_ANONYMOUS},
        {BACKING("<source type='anonymous'/>"), MF_MEMORY_ANONYMOUS},
        {BACKING("<access mode='shared'/>"), MF_MEMORY_SHARED},
        {BACKING("<access mode='private'/>"), MF_MEMORY_FILE},
        {BACKING("<source type='anonymous'/><access mode='shared'/>"), MF_MEMORY_SHARED},
        {BACKING("<source type='memfd'/>"), MF_MEMORY_MEMFD},
        {BACKING("<source type='memfd'/><access mode='shared'/>"), MF_MEMORY_MEMFD},
        {BACKING("<source type='memfd'/><access mode='private'/>"), MF_MEMORY_FILE},
        {BACKING("<source type='file'/>"), MF_MEMORY_FILE},
        {BACKING("<source type='file'/><access mode='shared'/>"), MF_MEMORY_SHARED},
        {BACKING("<hugepages/>"), MF_MEMORY_HUGEPAGES},
        {BACKING("<hugepages><page size='2048' unit='KiB'/></hugepages><source type='memfd'/>"),
         MF_MEMORY_HUGEPAGES},
        {BACKING("<locked/><discard/>"), MF_MEMORY_ANONYMOUS},
        {CELLS("", CELL("")), MF_MEMORY_ANONYMOUS},
        {CELLS("", CELL(" memAccess='shared'")), MF_MEMORY_SHARED},
        {CELLS("", CELL(" memAccess='private'")), MF_MEMORY_FILE},
        {CELLS("", CELL(" memAccess='shared'") CELL("")), MF_MEMORY_ANONYMOUS},
        {CELLS("", CELL(" memAccess='shared'") CELL(" memAccess='shared'")), MF_MEMORY_SHARED},
        {CELLS("<source type='memfd'/>", CELL("")), MF_MEMORY_MEMFD},
        {CELLS("<source type='memfd'/>", CELL(" memAccess='private'")), MF_MEMORY_FILE},
        {CELLS("<access mode='shared'/>", CELL("")), MF_MEMORY_SHARED},
        {CELLS("<source type='memfd'/>", CELL(" memAccess='shared'")), MF_MEMORY_MEMFD},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].xml);
        g_autoptr(MfDomxml) domxml = parse(cases[i].xml);
        g_assert_cmpint(domxml->memory_kind, ==, cases[i].kind);
    }
}

static void
test_nosharepages(void)
{
    g_autoptr(MfDomxml) set = parse(BACKING("<nosharepages/>"));
    g_autoptr(MfDomxml) elsewhere = parse(DOMAIN("<nosharepages/>"));
    g_autoptr(MfDomxml) foreign = parse(BACKING("<x:nosharepages xmlns:x='urn:x'/>"));

    g_assert_true(set->nosharepages);
    g_assert_false(elsewhere->nosharepages);
    g_assert_false(foreign->nosharepages);
}

#define NS "urn:memfold:policy:1"

/* Wherever the declaration stands, the policy reads back through the strict reader. */
static void
test_policy(void)
{
    static const char *const metadata[] = {
        "<memfold:policy xmlns:memfold='" NS "' merge='off' group='a'/>",
        "<policy xmlns='" NS "' merge='off' group='a'/>",
        "<other xmlns='urn:x'/>\n<m:policy xmlns:m='" NS "' group='a' merge='off'/><!-- c -->",
        "<memfold:policy xmlns:memfold='" NS "' merge='off' group='a'></memfold:policy>",
    };

    for (guint i = 0; i < G_N_ELEMENTS(metadata); i++) {
        g_autofree char *xml = g_strdup_printf(DOMAIN("<metadata>%s</metadata>"), metadata[i]);
        g_autoptr(MfDomxml) domxml = parse(xml);
        g_autoptr(GError) error = NULL;
        g_autoptr(MfPolicy) policy = mf_policy_from_xml(domxml->policy_xml, &error);
        g_assert_no_error(error);
        g_assert_cmpint(policy->merge, ==, MF_MERGE_OFF);
        g_assert_cmpstr(policy->group, ==, "a");
    }

    g_autoptr(MfDomxml) above =
        parse("<domain xmlns:memfold='" NS "'><name>vm1</name><uuid>" UUID "</uuid><metadata>"
              "<memfold:policy merge='zero'/></metadata></domain>");
    g_autoptr(MfPolicy) policy = mf_policy_from_xml(above->policy_xml, NULL);
    g_assert_cmpint(policy->merge, ==, MF_MERGE_ZERO);
}

/* What is in the namespace is handed on, right or wrong: whoever reads it says what is wrong. */
static void
test_policy_bad(void)
{
    g_autoptr(MfDomxml) other =
        parse(DOMAIN("<metadata><m:policies xmlns:m='" NS "' merge='off'/></metadata>"));
    g_autoptr(MfDomxml) child =
        parse(DOMAIN("<metadata><m:policy xmlns:m='" NS "'><m:merge/></m:policy></metadata>"));
    g_autoptr(MfDomxml) nested =
        parse(DOMAIN("<metadata><x><m:policy xmlns:m='" NS "'/></x></metadata>"));
    g_autoptr(MfDomxml) outside = parse(DOMAIN("<m:policy xmlns:m='" NS "'/>"));
    g_autoptr(GError) error = NULL;

    g_assert_null(mf_policy_from_xml(other->policy_xml, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "m:policies");
    g_assert_null(mf_policy_from_xml(child->policy_xml, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "m:merge");
    g_assert_null(nested->policy_xml);
    g_assert_null(outside->policy_xml);
}

static void
test_refused(void)
{
    static const struct {
        const char *xml;
        const char *part;
    } cases[] = {
        {"", "0 bytes"},
        {"hello", "domain XML, line 1"},
        {"\xff\xfe<\x01", "UTF-8"},
        {"<domain><name>\xe4</name><uuid>" UUID "</uuid></domain>", "UTF-8"},
        {"<domain>", "domain XML, line 1"},
        {"<domain><name>a</name><uuid>" UUID "</uuid>", "domain XML"},
        {"<network><name>a</name><uuid>" UUID "</uuid></network>", "not <domain>"},
        {"<domain xmlns='urn:x'><name>a</name><uuid>" UUID "</uuid></domain>", "not <domain>"},
        {"<domain><name>a</name></domain>", "<uuid>"},
        {"<domain><name>a</name><uuid>c7a5fdbd</uuid></domain>", "<uuid>"},
        {"<domain><name>a</name><uuid>g7a5fdbd-edaf-9455-926a-d65c16db1809</uuid></domain>",
         "<uuid>"},
        {"<domain><name>a</name><uuid>c7a5fdbdeedaf-9455-926a-d65c16db1809</uuid></domain>",
         "<uuid>"},
        {"<domain><uuid>" UUID "</uuid></domain>", "<name>"},
        {"<domain><name></name><uuid>" UUID "</uuid></domain>", "<name>"},
        {"<domain><name>../a</name><uuid>" UUID "</uuid></domain>", "<name>"},
        {"<domain><name>a\nb</name><uuid>" UUID "</uuid></domain>", "<name>"},
        {"<!DOCTYPE domain><domain><name>a</name><uuid>" UUID "</uuid></domain>", "document type"},
        {"<!DOCTYPE domain [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><domain><name>&e;</name>"
         "<uuid>" UUID "</uuid></domain>",
         "document type"},
        {DOMAIN("") DOMAIN(""), "domain XML, line 1"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].xml);
        g_assert_null(mf_domxml_parse(cases[i].xml, strlen(cases[i].xml), &error));
        mf_assert_error(error, MF_ERROR_INVALID, cases[i].part);
    }
}

/* A name is refused for what libvirt refuses, and for nothing else. */
static void
test_names(void)
{
    static const struct {
        const char *written;
        const char *name; /* or NULL */
    } cases[] = {
        {"a&#9;b", "a\tb"}, {"a&#13;b", "a\rb"}, {"a\x7f", "a\x7f"}, {"a\xc2\x9b", "a\xc2\x9b"},
        {" a ", " a "},     {"..", ".."},        {"a&#10;b", NULL},  {"a/b", NULL},
        {"a&#47;b", NULL},  {"a&#0;b", NULL},    {"a&#27;b", NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf(
            "<domain><name>%s</name><uuid>" UUID "</uuid></domain>", cases[i].written);
        g_autoptr(MfDomxml) domxml = NULL;

        mf_test_case(cases[i].written);
        domxml = mf_domxml_parse(xml, strlen(xml), NULL);
        g_assert_cmpint(domxml != NULL, ==, cases[i].name != NULL);
        if (domxml != NULL) {
            g_assert_cmpstr(domxml->name, ==, cases[i].name);
        }
    }
}

/* Entities that multiply cost nothing; too much text and too deep a tree are refused. */
static void
test_bombs(void)
{
    g_autoptr(GString) laughs = g_string_new("<!DOCTYPE domain [<!ENTITY a 'ha'>");
    g_autofree char *huge = g_malloc(MF_DOMXML_MAX_BYTES + 2);
    g_autoptr(GString) deep = g_string_new("<domain>");
    g_autoptr(GError) error = NULL;

    for (char c = 'b'; c <= 'z'; c++) {
        g_string_append_printf(laughs, "<!ENTITY %c '&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;'>", c, c - 1,
                               c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    }
    g_string_append(laughs, "]><domain type='&z;'><name>&z;</name></domain>");
    g_assert_null(mf_domxml_parse(laughs->str, laughs->len, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "domain XML");

    memset(huge, ' ', MF_DOMXML_MAX_BYTES + 1);
    g_assert_null(mf_domxml_parse(huge, MF_DOMXML_MAX_BYTES + 1, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "4194305 bytes");

    for (int i = 0; i < 100000; i++) {
        g_string_append(deep, "<a>");
    }
    g_assert_null(mf_domxml_parse(deep->str, deep->len, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "domain XML, line 1");
}

/* What makes memory the guest's alone, or pins it. */
static void
test_hardware(void)
{
    static const struct {
        const char *xml;
        const char *security;
        guint passthrough_count;
    } cases[] = {
        {DOMAIN(""), NULL, 0},
        {DOMAIN("<devices/>"), NULL, 0},
        {DOMAIN("<launchSecurity type='sev'><policy>0x3</policy></launchSecurity>"), "sev", 0},
        {DOMAIN("<launchSecurity type='tdx'/>"), "tdx", 0},
        {DOMAIN("<launchSecurity/>"), "unknown", 0},
        {DOMAIN("<launchSecurity type='s&#233;v'/>"), "unknown", 0},
        {DOMAIN("<launchSecurity type='a type that is longer than any that there is'/>"), "unknown",
         0},
        {DOMAIN("<devices><launchSecurity type='sev'/></devices>"), NULL, 0},
        {DOMAIN("<devices><hostdev mode='subsystem' type='pci' managed='yes'/>"
                "<hostdev mode='subsystem' type='usb'/><hostdev mode='subsystem' type='mdev'/>"
                "<hostdev mode='subsystem' type='pci'/></devices>"),
         NULL, 2},
        {DOMAIN("<devices><interface type='hostdev'/><interface type='network'/>"
                "<interface type='vdpa'/></devices>"),
         NULL, 2},
        {DOMAIN("<devices><disk type='nvme'/><disk type='file'/></devices>"), NULL, 1},
        {DOMAIN("<hostdev type='pci'/>"), NULL, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].xml);
        g_autoptr(MfDomxml) domxml = parse(cases[i].xml);
        g_assert_cmpstr(domxml->launch_security, ==, cases[i].security);
        g_assert_cmpuint(domxml->passthrough_count, ==, cases[i].passthrough_count);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/domxml/plain", test_plain);
    g_test_add_func("/domxml/memory-bytes", test_memory_bytes);
    g_test_add_func("/domxml/memory-kind", test_memory_kind);
    g_test_add_func("/domxml/hardware", test_hardware);
    g_test_add_func("/domxml/nosharepages", test_nosharepages);
    g_test_add_func("/domxml/policy", test_policy);
    g_test_add_func("/domxml/policy-bad", test_policy_bad);
    g_test_add_func("/domxml/refused", test_refused);
    g_test_add_func("/domxml/bombs", test_bombs);
    g_test_add_func("/domxml/names", test_names);
    return g_test_run();
}
