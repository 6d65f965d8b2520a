/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said to QEMU, word for word, and what is not believed of its answers. */
#include <string.h>

#include "../unit/mf-test.h"
#include "fakeqmp.h"

#define UUID        "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define COMMANDS    "{\"execute\":\"query-commands\"}"
#define QUERY       "{\"execute\":\"query-memory-merge\"}"
#define LIST        "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/objects\"}}"
#define LIST_OF(id) "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/objects/" id "\"}}"
#define GET(id)                                                                                    \
    "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/objects/" id "\",\"property\":\"merge\"}" \
    "}"
#define SET(id, value)                                                                             \
    "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/objects/" id                              \
    "\",\"property\":\"merge\",\"value\":" value "}}"
#define OK_ANSWER "{\"return\":{},\"id\":\"libvirt-17\"}"
#define BLOCK(id, mode, blockers)                                                                  \
    "{\"id\":\"" id "\",\"size\":16777216,\"page-size\":4096,\"mode\":\"" mode                     \
    "\",\"blockers\":[" blockers "]}"
#define INFO(members) "{\"return\":{\"supported\":true," members "},\"id\":\"libvirt-3\"}"
#define NAME(name)    "{\"name\":\"" name "\"}"
#define STOCK_COMMANDS                                                                             \
    "{\"return\":[" NAME("query-commands") "," NAME("qom-list") "," NAME("stop") "]}"
#define OUR_COMMANDS                                                                               \
    "{\"return\":[" NAME("query-memory-merge") "," NAME("stop") "," NAME("set-memory-merge") "]}"
#define PROPERTY(name, type) "{\"name\":\"" name "\",\"type\":\"" type "\"}"
#define OBJECTS                                                                                    \
    "{\"return\":[" PROPERTY("type", "string") "," PROPERTY(                                       \
        "pc.ram",                                                                                  \
        "child<memory-backend-ram>") "," PROPERTY("objrng0",                                       \
                                                  "child<rng-random>") "," PROPERTY("dimm0",       \
                                                                                    "child<"       \
                                                                                    "memory-"      \
                                                                                    "backend-"     \
                                                                                    "file>") "]}"
#define MERGE_PROPERTY "{\"return\":[" PROPERTY("size", "int") "," PROPERTY("merge", "bool") "]}"

typedef struct {
    FakeQmp *fake;
    MfQmp qmp;
    MfDomain *domain;
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_qmp_new();
    scene->qmp = fake_qmp_get(scene->fake);
    scene->domain = mf_domain_new(UUID, "vm1");
    scene->error = NULL;
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_no_error(scene->error);
    mf_domain_free(scene->domain);
    fake_qmp_free(scene->fake);
}

static void
test_probe_ours(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *info;
        guint caps;
    } cases[] = {
        {INFO("\"mode\":\"on\",\"blocks\":[]"), 0},
        {INFO("\"mode\":\"on\",\"blocks\":[],\"modes\":[\"off\",\"on\"]"), 0},
        {INFO("\"mode\":\"on\",\"blocks\":[],\"modes\":[\"off\",\"on\",\"frozen\"]"),
         MF_CAP_FREEZE},
        {INFO("\"mode\":\"on\",\"blocks\":[],\"group\":7"), MF_CAP_GROUP},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint caps = 0;
        fake_qmp_expect(scene->fake, COMMANDS, OUR_COMMANDS);
        fake_qmp_expect(scene->fake, QUERY, cases[i].info);
        g_assert_true(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
        g_assert_cmpuint(caps, ==, MF_CAP_PROBED | MF_CAP_SET_MERGE | cases[i].caps);
    }
}

static void
test_probe_stock(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    guint caps = 0;

    fake_qmp_expect(scene->fake, COMMANDS, STOCK_COMMANDS);
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect(scene->fake, LIST_OF("pc.ram"), MERGE_PROPERTY);
    fake_qmp_expect(scene->fake, LIST_OF("dimm0"), MERGE_PROPERTY);
    g_assert_true(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    g_assert_cmpuint(caps, ==, MF_CAP_PROBED | MF_CAP_BACKEND_MERGE);

    /* One that has no such property: not all of the memory could be switched. */
    fake_qmp_expect(scene->fake, COMMANDS, STOCK_COMMANDS);
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect(scene->fake, LIST_OF("pc.ram"), "{\"return\":[" PROPERTY("size", "int") "]}");
    g_assert_true(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    g_assert_cmpuint(caps, ==, MF_CAP_PROBED);

    /* No backend at all, and no QOM at all. */
    static const char *const nothing[] = {
        "{\"return\":[]}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no qom-list\"}}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(nothing); i++) {
        fake_qmp_expect(scene->fake, COMMANDS, STOCK_COMMANDS);
        fake_qmp_expect(scene->fake, LIST, nothing[i]);
        g_assert_true(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
        g_assert_cmpuint(caps, ==, MF_CAP_PROBED);
    }
}

static void
test_probe_fails(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    guint caps = 99;

    fake_qmp_expect_failure(scene->fake, COMMANDS, MF_ERROR_TIMEOUT);
    g_assert_false(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_TIMEOUT, "transport");
    fake_qmp_expect(scene->fake, COMMANDS, "{\"return\":{}}");
    g_assert_false(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "no array");
    fake_qmp_expect(scene->fake, COMMANDS, STOCK_COMMANDS);
    fake_qmp_expect_failure(scene->fake, LIST, MF_ERROR_GONE);
    g_assert_false(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "transport");
    fake_qmp_expect(scene->fake, COMMANDS, OUR_COMMANDS);
    fake_qmp_expect_failure(scene->fake, QUERY, MF_ERROR_BUSY);
    g_assert_false(mf_qmp_probe(&scene->qmp, &caps, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_BUSY, "transport");
    g_assert_cmpuint(caps, ==, 99);
}

static void
test_query_ours(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene->domain;

    fake_qmp_expect(
        scene->fake, QUERY,
        INFO("\"active\":true,\"mode\":\"on\",\"process\":{\"merged\":8192,\"zero\":4096,"
             "\"tracked\":70,\"profit\":-512},\"blocks\":[{\"id\":\"pc.ram\",\"memdev\":\"pc.ram\","
             "\"size\":67108864,\"page-size\":4096,\"mode\":\"on\",\"mergeable\":true,"
             "\"blockers\":[]}," BLOCK("0000:00:02.0/vga.vram", "off",
                                       "\"policy\",\"huge-pages\"") "]"));
    g_assert_true(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, domain, &scene->error));
    g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
    g_assert_cmpuint(domain->blocks->len, ==, 2);
    const MfBlock *ram = g_ptr_array_index(domain->blocks, 0);
    const MfBlock *vga = g_ptr_array_index(domain->blocks, 1);
    g_assert_cmpstr(ram->id, ==, "pc.ram");
    g_assert_cmpuint(ram->size_bytes, ==, 67108864);
    g_assert_cmpuint(ram->page_size_bytes, ==, 4096);
    g_assert_true(ram->mergeable_known && ram->mergeable);
    g_assert_cmpint(vga->mode, ==, MF_MODE_OFF);
    g_assert_false(vga->mergeable_known);
    g_assert_cmpstr(vga->blockers[1], ==, "huge-pages");
    g_assert_cmpuint(domain->zero_bytes.value, ==, 4096);
    g_assert_cmpuint(domain->rmap_items_pages.value, ==, 70);
    g_assert_cmpint(domain->profit_bytes.value, ==, -512);
    g_assert_false(domain->merged_bytes.known);
}

/* What the kernel said of the process stands; QEMU's own figures only fill what is absent. */
static void
test_query_keeps_figures(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene->domain;

    domain->zero_bytes = MF_U64(11);
    domain->rmap_items_pages = MF_U64(22);
    domain->profit_bytes = MF_I64(33);
    fake_qmp_expect(scene->fake, QUERY,
                    INFO("\"mode\":\"on\",\"blocks\":[],\"process\":{\"merged\":1,\"zero\":2,"
                         "\"tracked\":3,\"profit\":4}"));
    g_assert_true(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, domain, &scene->error));
    g_assert_cmpuint(domain->zero_bytes.value, ==, 11);
    g_assert_cmpuint(domain->rmap_items_pages.value, ==, 22);
    g_assert_cmpint(domain->profit_bytes.value, ==, 33);
}

static void
test_mixed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *info;
        MfMode mode;
    } cases[] = {
        {INFO("\"mode\":\"off\",\"blocks\":[]"), MF_MODE_OFF},
        {INFO("\"mode\":\"frozen\",\"blocks\":[" BLOCK("a", "frozen", "") "]"), MF_MODE_FROZEN},
        {INFO("\"mode\":\"on\",\"blocks\":[" BLOCK("a", "on", "") "," BLOCK("b", "off", "") "]"),
         MF_MODE_MIXED},
        {INFO("\"mode\":\"on\",\"blocks\":[" BLOCK("a", "off", "\"shared\"") "]"), MF_MODE_ON},
        {INFO("\"mode\":\"off\",\"blocks\":[" BLOCK("a", "on", "") "]"), MF_MODE_MIXED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_qmp_expect(scene->fake, QUERY, cases[i].info);
        g_assert_true(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, scene->domain, &scene->error));
        g_assert_cmpint(scene->domain->mode, ==, cases[i].mode);
    }
}

static void
test_query_stock(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *answers[2];
        MfMode mode;
    } cases[] = {
        {{"{\"return\":true}", "{\"return\":true}"}, MF_MODE_ON},
        {{"{\"return\":false}", "{\"return\":false}"}, MF_MODE_OFF},
        {{"{\"return\":true}", "{\"return\":false}"}, MF_MODE_MIXED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_qmp_expect(scene->fake, LIST, OBJECTS);
        fake_qmp_expect(scene->fake, GET("pc.ram"), cases[i].answers[0]);
        fake_qmp_expect(scene->fake, GET("dimm0"), cases[i].answers[1]);
        g_assert_true(
            mf_qmp_query(&scene->qmp, MF_CAP_BACKEND_MERGE, scene->domain, &scene->error));
        g_assert_cmpint(scene->domain->mode, ==, cases[i].mode);
        g_assert_null(scene->domain->blocks);
    }
    scene->domain->mode = MF_MODE_FROZEN;
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect(scene->fake, GET("pc.ram"), "{\"return\":1}");
    g_assert_false(mf_qmp_query(&scene->qmp, MF_CAP_BACKEND_MERGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "pc.ram is no boolean");
    g_assert_false(mf_qmp_query(&scene->qmp, MF_CAP_PROBED, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "does not tell");
    g_assert_cmpint(scene->domain->mode, ==, MF_MODE_FROZEN);
}

static void
test_set_ours(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const MfMode modes[] = {MF_MODE_OFF, MF_MODE_ON, MF_MODE_FROZEN};

    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *command =
            g_strdup_printf("{\"execute\":\"set-memory-merge\",\"arguments\":{\"mode\":\"%s\"}}",
                            mf_mode_to_string(modes[i]));
        fake_qmp_expect(scene->fake, command, OK_ANSWER);
        g_assert_true(mf_qmp_set_mode(&scene->qmp, MF_CAP_SET_MERGE, modes[i], &scene->error));
        fake_qmp_expect(scene->fake, command,
                        "{\"error\":{\"class\":\"GenericError\",\"desc\":"
                        "\"mode 'frozen' is not supported by this host\"}}");
        g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_SET_MERGE, modes[i], &scene->error));
        mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "not supported by this host");
        fake_qmp_expect(
            scene->fake, command,
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no memory\\u001b[1m\"}}");
        g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_SET_MERGE, modes[i], &scene->error));
        g_assert_null(strchr(scene->error->message, '\033'));
        mf_assert_error(scene->error, MF_ERROR_FAILED, "set-memory-merge: QEMU says: no memory");
    }
}

static void
test_set_stock(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect(scene->fake, SET("pc.ram", "false"), OK_ANSWER);
    fake_qmp_expect(scene->fake, SET("dimm0", "false"), OK_ANSWER);
    g_assert_true(mf_qmp_set_mode(&scene->qmp, MF_CAP_BACKEND_MERGE, MF_MODE_OFF, &scene->error));

    /* One that fails does not leave the others merged. */
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect(scene->fake, SET("pc.ram", "false"),
                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"first\"}}");
    fake_qmp_expect(scene->fake, SET("dimm0", "false"), OK_ANSWER);
    g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_BACKEND_MERGE, MF_MODE_OFF, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_FAILED, "first");
    fake_qmp_expect(scene->fake, LIST, OBJECTS);
    fake_qmp_expect_failure(scene->fake, SET("pc.ram", "true"), MF_ERROR_TIMEOUT);
    fake_qmp_expect_failure(scene->fake, SET("dimm0", "true"), MF_ERROR_GONE);
    g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_BACKEND_MERGE, MF_MODE_ON, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_TIMEOUT, "transport");
    g_assert_false(
        mf_qmp_set_mode(&scene->qmp, MF_CAP_BACKEND_MERGE, MF_MODE_FROZEN, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "frozen");
}

static void
test_set_refused(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_PROBED, MF_MODE_OFF, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "off");
    g_assert_false(mf_qmp_set_mode(&scene->qmp, MF_CAP_SET_MERGE, MF_MODE_MIXED, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "mixed");
}

/* Names that could become another path, or break out of their string, are never sent. */
static void
test_hostile_names(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const names[] = {
        "../machine", "a/b", "a\\\"b", "a\\nb", "", "0ram", "a b", "ram\\u0000x", "r\\u00e4m",
    };
    g_autofree char *many = g_strnfill(300, 'r');

    for (guint i = 0; i <= G_N_ELEMENTS(names); i++) {
        const char *name = i < G_N_ELEMENTS(names) ? names[i] : many;
        g_autofree char *answer = g_strdup_printf(
            "{\"return\":[{\"name\":\"%s\",\"type\":\"child<memory-backend-ram>\"}]}", name);
        mf_test_case(name);
        fake_qmp_expect(scene->fake, LIST, answer);
        g_assert_false(
            mf_qmp_set_mode(&scene->qmp, MF_CAP_BACKEND_MERGE, MF_MODE_OFF, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "QEMU's answer");
    }
}

#define BAD(members) INFO("\"mode\":\"on\",\"blocks\":[{" members "}]")
#define GOOD_REST    "\"page-size\":4096,\"mode\":\"on\",\"blockers\":[]"

/* Each leaves the domain as it was. */
static const char *const bad_answers[] = {
    "",
    "nonsense",
    "{\"return\":",
    "{\"return\":{\"mode\":\"on\",\"blocks\":[",
    "[]",
    "7",
    "null",
    "\"return\"",
    "{}",
    "{\"event\":\"STOP\"}",
    "{\"return\":[]}",
    "{\"return\":null}",
    "{\"return\":{}}",
    "{\"error\":7}",
    "{\"error\":{\"class\":\"GenericError\"}}",
    "{\"error\":{\"class\":1,\"desc\":2}}",
    INFO("\"mode\":\"on\""),
    INFO("\"blocks\":[]"),
    INFO("\"mode\":\"mixed\",\"blocks\":[]"),
    INFO("\"mode\":\"unknown\",\"blocks\":[]"),
    INFO("\"mode\":7,\"blocks\":[]"),
    INFO("\"mode\":null,\"blocks\":[]"),
    INFO("\"mode\":\"on\",\"blocks\":{}"),
    INFO("\"mode\":\"on\",\"blocks\":[7]"),
    INFO("\"mode\":\"on\",\"blocks\":[null]"),
    INFO("\"mode\":\"on\",\"blocks\":[[]]"),
    INFO("\"mode\":\"on\",\"blocks\":[],\"modes\":7"),
    INFO("\"mode\":\"on\",\"blocks\":[],\"modes\":[7]"),
    INFO("\"mode\":\"on\",\"blocks\":[],\"process\":[]"),
    INFO("\"mode\":\"on\",\"blocks\":[],\"process\":{\"zero\":-1}"),
    INFO("\"mode\":\"on\",\"blocks\":[],\"process\":{\"profit\":\"1\"}"),
    BAD("\"size\":4096," GOOD_REST),
    BAD("\"id\":7,\"size\":4096," GOOD_REST),
    BAD("\"id\":\"\",\"size\":4096," GOOD_REST),
    BAD("\"id\":\"a\\nb\",\"size\":4096," GOOD_REST),
    BAD("\"id\":\"a\\u0000b\\u001b\",\"size\":4096," GOOD_REST),
    BAD("\"id\":\"a\"," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":-1," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":1.5," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":\"4096\"," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":18446744073709551615," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":1e30," GOOD_REST),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":0,\"mode\":\"on\",\"blockers\":[]"),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":5000,\"mode\":\"on\",\"blockers\":[]"),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":4096,\"mode\":\"on\""),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":4096,\"mode\":\"on\",\"blockers\":[7]"),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":4096,\"mode\":\"on\",\"blockers\":[\"\\n\"]"),
    BAD("\"id\":\"a\",\"size\":4096,\"page-size\":4096,\"mode\":\"no\",\"blockers\":[]"),
    BAD("\"id\":\"a\",\"size\":4096,\"mergeable\":\"yes\"," GOOD_REST),
};

static void
test_bad_answers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->mode = MF_MODE_FROZEN;
    for (guint i = 0; i < G_N_ELEMENTS(bad_answers); i++) {
        mf_test_case(bad_answers[i]);
        fake_qmp_expect(scene->fake, QUERY, bad_answers[i]);
        g_assert_false(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, scene->domain, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "QEMU's answer");
        g_assert_cmpint(scene->domain->mode, ==, MF_MODE_FROZEN);
        g_assert_null(scene->domain->blocks);
        g_assert_false(scene->domain->zero_bytes.known);
    }
}

/* A good answer, cut at each of its bytes. */
static void
test_cut_answers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char whole[] = INFO("\"mode\":\"on\",\"blocks\":[" BLOCK("pc.ram", "on", "") "]");

    for (gsize cut = 0; cut < strlen(whole); cut++) {
        g_autofree char *piece = g_strndup(whole, cut);
        fake_qmp_expect(scene->fake, QUERY, piece);
        g_assert_false(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, scene->domain, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "QEMU's answer");
        g_assert_null(scene->domain->blocks);
    }
}

static void
test_huge_answers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *spaces = g_strnfill(MF_QMP_MAX_BYTES, ' ');
    g_autofree char *long_text = g_strconcat(spaces, "{\"return\":{}}", NULL);
    g_autofree char *brackets = g_strnfill(MF_QMP_MAX_BYTES - 10, '[');
    g_autofree char *nested = g_strconcat("{\"return\":", brackets, NULL);
    g_autoptr(GString) blocks = g_string_new("{\"return\":{\"mode\":\"on\",\"blocks\":[");
    static const char block[] = BLOCK("a", "on", "");

    for (int i = 0; i < 10000; i++) {
        g_string_append_printf(blocks, "%s%s", i > 0 ? "," : "", block);
    }
    g_string_append(blocks, "]}}");
    const struct {
        const char *answer;
        const char *part;
    } cases[] = {
        {long_text, "longer than 1 MiB"},
        {nested, "nested too deeply"},
        {blocks->str, "too many elements"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_qmp_expect(scene->fake, QUERY, cases[i].answer);
        g_assert_false(mf_qmp_query(&scene->qmp, MF_CAP_SET_MERGE, scene->domain, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, cases[i].part);
    }
}

/* As many blocks as are allowed, and one more. */
static void
test_block_limit(void)
{
    static const char block[] = BLOCK("a", "on", "");

    for (guint count = MF_QMP_MAX_BLOCKS; count <= MF_QMP_MAX_BLOCKS + 1; count++) {
        g_autoptr(GString) text = g_string_new("{\"return\":{\"mode\":\"on\",\"blocks\":[");
        g_autoptr(MfDomain) domain = mf_domain_new(UUID, "vm1");
        g_autoptr(GError) error = NULL;
        for (guint i = 0; i < count; i++) {
            g_string_append_printf(text, "%s%s", i > 0 ? "," : "", block);
        }
        g_string_append(text, "]}}");
        gboolean parsed = mf_qmp_parse_memory_merge(text->str, text->len, domain, &error);
        g_assert_cmpint(parsed, ==, count <= MF_QMP_MAX_BLOCKS);
        if (!parsed) {
            mf_assert_error(error, MF_ERROR_INVALID, "blocks has too many elements");
        }
    }
}

static void
test_no_text(void)
{
    static const char nul[] = "{\"return\":{\"mode\":\"on\",\"blocks\":[]}}\0x";
    static const char latin[] = "{\"return\":\"\xe4\"}";
    g_autoptr(MfDomain) domain = mf_domain_new(UUID, "vm1");
    g_autoptr(GError) error = NULL;
    guint caps = 99;

    g_assert_false(mf_qmp_parse_memory_merge(nul, sizeof(nul) - 1, domain, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "UTF-8");
    g_assert_false(mf_qmp_parse_commands(latin, sizeof(latin) - 1, &caps, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "UTF-8");
    g_assert_cmpuint(caps, ==, 99);
}

#define ADD(path, function) g_test_add("/qmp/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("probe-ours", test_probe_ours);
    ADD("probe-stock", test_probe_stock);
    ADD("probe-fails", test_probe_fails);
    ADD("query-ours", test_query_ours);
    ADD("query-keeps-figures", test_query_keeps_figures);
    ADD("mixed", test_mixed);
    ADD("query-stock", test_query_stock);
    ADD("set-ours", test_set_ours);
    ADD("set-stock", test_set_stock);
    ADD("set-refused", test_set_refused);
    ADD("hostile-names", test_hostile_names);
    ADD("bad-answers", test_bad_answers);
    ADD("cut-answers", test_cut_answers);
    ADD("huge-answers", test_huge_answers);
    g_test_add_func("/qmp/block-limit", test_block_limit);
    g_test_add_func("/qmp/no-text", test_no_text);
    return g_test_run();
}
