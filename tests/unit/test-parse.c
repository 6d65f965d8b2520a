/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's texts as captured from a real host, and as a broken or hostile one might print them.
 */
#include <string.h>

#include "../../src/core/mf-parse.h"
#include "mf-test.h"

static void
test_numbers(void)
{
    static const struct {
        const char *text;
        gboolean is_u64;
        guint64 u64;
        gboolean is_i64;
        gint64 i64;
    } cases[] = {
        {"0\n", TRUE, 0, TRUE, 0},
        {" 42 ", TRUE, 42, TRUE, 42},
        {"007", TRUE, 7, TRUE, 7},
        {"18446744073709551615", TRUE, G_MAXUINT64, FALSE, 0},
        {"18446744073709551616", FALSE, 0, FALSE, 0},
        {"99999999999999999999999999", FALSE, 0, FALSE, 0},
        {"9223372036854775807", TRUE, G_MAXINT64, TRUE, G_MAXINT64},
        {"9223372036854775808", TRUE, G_GUINT64_CONSTANT(9223372036854775808), FALSE, 0},
        {"-9223372036854775808", FALSE, 0, TRUE, G_MININT64},
        {"-9223372036854775809", FALSE, 0, FALSE, 0},
        {"-1", FALSE, 0, TRUE, -1},
        {"-0", FALSE, 0, FALSE, 0},
        {"--1", FALSE, 0, FALSE, 0},
        {"+1", FALSE, 0, FALSE, 0},
        {"1 2", FALSE, 0, FALSE, 0},
        {"1x", FALSE, 0, FALSE, 0},
        {"0x10", FALSE, 0, FALSE, 0},
        {"", FALSE, 0, FALSE, 0},
        {" \n", FALSE, 0, FALSE, 0},
        {"-", FALSE, 0, FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        guint64 u64 = 77;
        gint64 i64 = 77;
        gsize length_bytes = strlen(cases[i].text);
        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_parse_u64(cases[i].text, length_bytes, &u64, &error), ==,
                        cases[i].is_u64);
        g_assert_cmpuint(u64, ==, cases[i].is_u64 ? cases[i].u64 : 77);
        g_assert_cmpint(error != NULL, ==, !cases[i].is_u64);
        g_clear_error(&error);
        g_assert_cmpint(mf_parse_i64(cases[i].text, length_bytes, &i64, &error), ==,
                        cases[i].is_i64);
        g_assert_cmpint(i64, ==, cases[i].is_i64 ? cases[i].i64 : 77);
    }
}

/* The length rules, not a NUL. */
static void
test_number_length(void)
{
    guint64 value = 0;
    g_autoptr(GError) error = NULL;

    g_assert_true(mf_parse_u64("1234", 2, &value, &error));
    g_assert_cmpuint(value, ==, 12);
    g_assert_false(mf_parse_u64("12\0", 3, &value, &error));
    g_assert_false(mf_parse_u64(NULL, 0, &value, NULL));
}

static void
test_meminfo(void)
{
    gsize length_bytes;
    g_autofree char *text = mf_test_data("meminfo", &length_bytes);
    g_autoptr(GError) error = NULL;
    MfHost host = {0};

    g_assert_true(mf_parse_meminfo(text, length_bytes, &host, &error));
    g_assert_cmpuint(host.mem_total_bytes.value, ==, G_GUINT64_CONSTANT(24684084) * 1024);
    g_assert_true(host.mem_available_bytes.known);
    g_assert_cmpuint(host.mem_available_bytes.value, <, host.mem_total_bytes.value);
    g_assert_cmpuint(host.mem_available_bytes.value, >, 0);
    g_assert_true(host.swap_free_bytes.known);
    g_assert_cmpuint(host.swap_free_bytes.value, ==, 0);
    g_assert_false(host.hardware_corrupted_bytes.known);
}

static void
test_pressure(void)
{
    static const struct {
        const char *text;
        gboolean valid;
        guint64 permyriad;
    } cases[] = {
        {"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=1.00 avg60=0.00\n", TRUE, 0},
        {"full avg10=9.99\nsome avg10=12.34 avg60=0.00 avg300=0.00 total=5\n", TRUE, 1234},
        {"some avg10=100.00", TRUE, 10000},
        {"some avg10=100.99", TRUE, 10000},
        {"some avg10=101.00", FALSE, 0},
        {"some avg10=1.5", FALSE, 0},
        {"some avg10=15", FALSE, 0},
        {"some avg10=.50", FALSE, 0},
        {"some avg10=-1.50", FALSE, 0},
        {"some avg60=1.50", FALSE, 0},
        {"some avg10=", FALSE, 0},
        {"some", FALSE, 0},
        {"full avg10=1.00", FALSE, 0},
        {"", FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfHost host = {0};
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_parse_pressure(cases[i].text, strlen(cases[i].text), &host, &error), ==,
                        cases[i].valid);
        g_assert_cmpint(host.memory_waits_permyriad.known, ==, cases[i].valid);
        g_assert_cmpuint(host.memory_waits_permyriad.value, ==, cases[i].permyriad);
        if (!cases[i].valid) {
            mf_assert_error(error, MF_ERROR_INVALID, "pressure/memory");
        }
    }
}

static void
test_meminfo_odd(void)
{
    static const struct {
        const char *text;
        gboolean valid;
        gboolean total_known;
        guint64 total_bytes;
    } cases[] = {
        {"", TRUE, FALSE, 0},
        {"MemFree: 5 kB\n", TRUE, FALSE, 0},
        {"MemTotal: 5 kB", TRUE, TRUE, 5120},
        {"MemTotal:5 kB\n", TRUE, FALSE, 0},
        {"\n\n  MemTotal:\t5 kB  \n", TRUE, TRUE, 5120},
        {"MemTotal: 5\n", FALSE, FALSE, 0},
        {"MemTotal: 5 MB\n", FALSE, FALSE, 0},
        {"MemTotal: 5 kB 6\n", FALSE, FALSE, 0},
        {"MemTotal: -5 kB\n", FALSE, FALSE, 0},
        {"MemTotal: 18014398509481984 kB\n", FALSE, FALSE, 0}, /* 2^64 bytes */
        {"MemTotal: 18014398509481983 kB\n", TRUE, TRUE, G_MAXUINT64 - 1023},
        {"MemTotal:", FALSE, FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfHost host = {.mem_available_bytes = MF_U64(99)};
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_parse_meminfo(cases[i].text, strlen(cases[i].text), &host, &error), ==,
                        cases[i].valid);
        g_assert_cmpint(host.mem_total_bytes.known, ==, cases[i].total_known);
        g_assert_cmpuint(host.mem_total_bytes.value, ==, cases[i].total_bytes);
        /* An answer that is refused touches nothing; one without the line says absent. */
        g_assert_cmpint(host.mem_available_bytes.known, ==, !cases[i].valid);
        if (!cases[i].valid) {
            mf_assert_error(error, MF_ERROR_INVALID, "meminfo");
        }
    }
}

static void
test_vmstat(void)
{
    static const char text[] = "nr_free_pages 77\ncow_ksm 12\nksm_swpin_copy 3\nswap_ra 1 2\n";
    static const char *const bad[] = {"cow_ksm\n", "cow_ksm 1 2\n", "ksm_swpin_copy -1\n"};
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    MfHost *host = &snapshot->host;

    g_assert_true(mf_parse_vmstat(text, strlen(text), host, NULL));
    g_assert_cmpuint(host->cow_breaks_count.value, ==, 12);
    g_assert_cmpuint(host->swap_in_copies_count.value, ==, 3);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(mf_parse_vmstat(bad[i], strlen(bad[i]), host, &error));
        mf_assert_error(error, MF_ERROR_INVALID, "vmstat");
        g_assert_cmpuint(host->cow_breaks_count.value, ==, 12);
    }
    g_assert_true(mf_parse_vmstat("", 0, host, NULL));
    g_assert_false(host->cow_breaks_count.known || host->swap_in_copies_count.known);
}

static void
test_ksm_stat(void)
{
    static const char *const names[] = {"ksm_stat-6.18", "ksm_stat-6.12"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize length_bytes;
        g_autofree char *text = mf_test_data(names[i], &length_bytes);
        g_autoptr(GError) error = NULL;
        MfKsmStat stat;
        g_assert_true(mf_parse_ksm_stat(text, length_bytes, &stat, &error));
        g_assert_true(stat.rmap_items_pages.known && stat.zero_pages.known);
        g_assert_cmpuint(stat.rmap_items_pages.value, ==, 148);
        g_assert_cmpuint(stat.zero_pages.value, ==, 33);
        g_assert_cmpuint(stat.merging_pages.value, ==, 138);
        g_assert_cmpint(stat.profit_bytes.value, ==, 690944);
    }
}

static void
test_ksm_stat_odd(void)
{
    static const struct {
        const char *text;
        gboolean valid;
    } cases[] = {
        {"", TRUE},
        {"ksm_merge_any: yes\nksm_group 7\n", TRUE},
        {"ksm_process_profit -4096", TRUE},
        {"ksm_process_profit -\n", FALSE},
        {"ksm_zero_pages -1\n", FALSE},
        {"ksm_zero_pages\n", FALSE},
        {"ksm_zero_pages 1 2\n", FALSE},
        {"ksm_zero_pages 18446744073709551616\n", FALSE},
        {"ksm_rmap_items 12ksm_zero_pages 4\n", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfKsmStat stat = {.zero_pages = MF_U64(5)};
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_parse_ksm_stat(cases[i].text, strlen(cases[i].text), &stat, &error), ==,
                        cases[i].valid);
        g_assert_cmpint(stat.zero_pages.known, ==, !cases[i].valid);
        g_assert_cmpint(error == NULL, ==, cases[i].valid);
    }

    MfKsmStat stat;
    g_assert_true(mf_parse_ksm_stat("ksm_process_profit -4096", 24, &stat, NULL));
    g_assert_cmpint(stat.profit_bytes.value, ==, -4096);
    g_assert_false(stat.rmap_items_pages.known);
    g_assert_false(stat.cow_breaks_count.known);

    static const char ours[] = "ksm_cow_breaks 5\nksm_swpin_copies 6\nksm_pages_scanned 7\n";
    g_assert_true(mf_parse_ksm_stat(ours, strlen(ours), &stat, NULL));
    g_assert_cmpuint(stat.cow_breaks_count.value, ==, 5);
    g_assert_cmpuint(stat.swap_in_copies_count.value, ==, 6);
    g_assert_cmpuint(stat.scanned_pages.value, ==, 7);
}

/* Sums taken from the file by another program. */
static void
test_smaps(void)
{
    gsize length_bytes;
    g_autofree char *text = mf_test_data("smaps-qemu-6.18", &length_bytes);
    g_autoptr(GError) error = NULL;
    MfArea area;

    g_assert_true(mf_parse_smaps(text, length_bytes, &area, &error));
    g_assert_cmpuint(area.size_bytes, ==, 35332 * 1024);
    g_assert_cmpuint(area.resident_bytes, ==, 592 * 1024);
    g_assert_cmpuint(area.proportional_bytes, ==, 260 * 1024);
    g_assert_true(area.merged_bytes.known);
    g_assert_cmpuint(area.merged_bytes.value, ==, 552 * 1024);
}

/* Wherever the text is cut, the answer is an error or a sum of whole areas, never more. */
static void
test_smaps_guest(void)
{
    static const char *const refused[] = {"7f00 rw-p 0 00:00 0 a-b\n", "7f00-7f10 rw-p 0 00:00\n",
                                          "7f10-7f00 rw-p 0 00:00 0\n", "7f00- rw-p 0 00:00 0\n",
                                          "7f0000000000000000-8 rw-p 0 00:00 0\n"};
    static const char odd[] = "7f00-7f10 rw-s 0 00:00 0\nVmFlags: dc\n"
                              "7f10-7f20 rw-p 0 00:00 77 /a\nVmFlags: dc mg\n"
                              "7f20-7f30 rw-p 0 00:00 0\nVmFlags: dc ht\n"
                              "7f30-7f40 rw-p 0 00:00 0\nVmFlags: rd wr\n"
                              "7f40-7f50 rw-p 0 00:00 0 [anon:ram]\nVmFlags: rd dc\n";
    gsize length_bytes;
    g_autofree char *text = mf_test_data("smaps-qemu-6.18", &length_bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) of_qemu = mf_parse_smaps_guest(text, length_bytes, &error);
    g_autoptr(GArray) of_odd = mf_parse_smaps_guest(odd, strlen(odd), &error);

    g_assert_no_error(error);
    g_assert_cmpuint(of_qemu->len, ==, 8);
    const MfStretch *ram = &g_array_index(of_qemu, MfStretch, 0);
    g_assert_cmphex(ram->start_bytes, ==, G_GUINT64_CONSTANT(0x7facfee00000));
    g_assert_cmphex(ram->end_bytes, ==, G_GUINT64_CONSTANT(0x7facffe00000));
    g_assert_cmpuint(of_odd->len, ==, 1);
    g_assert_cmphex(g_array_index(of_odd, MfStretch, 0).start_bytes, ==, 0x7f40);
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        mf_test_case(refused[i]);
        g_assert_null(mf_parse_smaps_guest(refused[i], strlen(refused[i]), &error));
        mf_assert_error(error, MF_ERROR_INVALID, "smaps");
    }
}

static void
test_smaps_cut(void)
{
    gsize length_bytes;
    g_autofree char *text = mf_test_data("smaps-qemu-6.18", &length_bytes);
    guint accepted_count = 0;

    for (gsize cut = 0; cut < length_bytes; cut++) {
        g_autofree char *copy = g_memdup2(text, MAX(cut, 1));
        MfArea area;
        if (mf_parse_smaps(copy, cut, &area, NULL)) {
            accepted_count++;
            g_assert_cmpuint(area.resident_bytes, <=, 592 * 1024);
        }
    }
    g_assert_cmpuint(accepted_count, >, 0);
    g_assert_cmpuint(accepted_count, <, length_bytes / 4);
}

#define HEAD "7f00-7f10 rw-p 00000000 00:00 0 \n"

static void
test_smaps_odd(void)
{
    static const struct {
        const char *text;
        gboolean valid;
        guint64 resident_bytes;
    } cases[] = {
        {"", TRUE, 0},
        {HEAD "Size: 8 kB\nRss: 4 kB\nPss: 4 kB\nVmFlags: rd wr \n", TRUE, 0},
        {HEAD "Size: 8 kB\nRss: 4 kB\nPss: 2 kB\nKSM: 4 kB\nVmFlags: rd mg", TRUE, 4096},
        {HEAD "Size: 8 kB\nRss: 4 kB\nPss: 2 kB\nVmFlags: mg\n" HEAD
              "Size: 8 kB\nRss: 8 kB\nPss: 2 kB\nVmFlags: mg\n",
         TRUE, 3 * 4096},
        {"7f00-7f10 rw-p 0 00:00 0  /a b: mg\nSize: 8 kB\nRss: 4 kB\nPss: 2 kB\nVmFlags: rd\n",
         TRUE, 0},
        {HEAD "Rss: 4 kB\nPss: 2 kB\nVmFlags: mg\n", FALSE, 0}, /* no Size */
        {HEAD "Size: 8 kB\nRss: 4 kB\nPss: 2 kB\n", FALSE, 0},  /* cut short */
        {HEAD "Size: 8 kB\n" HEAD "VmFlags: rd\n", FALSE, 0},   /* an area without flags */
        {"Size: 8 kB\nVmFlags: mg\n", FALSE, 0},                /* no area */
        {HEAD "Size: 8 kB\nRss: 4 MB\nPss: 2 kB\nVmFlags: mg\n", FALSE, 0},
        {HEAD "Size: 8 kB\nRss: -4 kB\nPss: 2 kB\nVmFlags: mg\n", FALSE, 0},
        {HEAD "Size: 8 kB\nRss: 99999999999999999999 kB\nPss: 2 kB\nVmFlags: mg\n", FALSE, 0},
        {HEAD "\nVmFlags: mg\n", FALSE, 0},
        {HEAD "VmFlags: rd\nVmFlags: mg\n", FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfArea area = {.size_bytes = 99};
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_parse_smaps(cases[i].text, strlen(cases[i].text), &area, &error), ==,
                        cases[i].valid);
        g_assert_cmpuint(area.resident_bytes, ==, cases[i].resident_bytes);
        if (!cases[i].valid) {
            g_assert_cmpuint(area.size_bytes, ==, 99);
            mf_assert_error(error, MF_ERROR_INVALID, "smaps");
        }
    }
}

/* Before Linux 6.7 there is no "KSM:" line: then what is merged is absent, and not zero. */
static void
test_smaps_old_kernel(void)
{
    static const char text[] = HEAD "Size: 8 kB\nRss: 4 kB\nPss: 2 kB\nVmFlags: mg\n";
    MfArea area;

    g_assert_true(mf_parse_smaps(text, strlen(text), &area, NULL));
    g_assert_false(area.merged_bytes.known);
    g_assert_true(mf_parse_smaps("", 0, &area, NULL));
    g_assert_true(area.merged_bytes.known);
    g_assert_cmpuint(area.merged_bytes.value, ==, 0);
}

static void
test_stat(void)
{
    gsize length_bytes;
    g_autofree char *ksmd = mf_test_data("stat-ksmd", &length_bytes);
    g_autoptr(GError) error = NULL;
    MfProcStat stat;

    g_assert_true(mf_parse_stat(ksmd, length_bytes, &stat, &error));
    g_assert_cmpstr(stat.comm, ==, "ksmd");
    g_assert_cmpint(stat.parent_pid, ==, 2);
    g_assert_cmpint(stat.state, ==, 'S');
    g_assert_cmpuint(stat.cpu_ticks, ==, 9663);
    g_assert_cmpuint(stat.start_ticks, ==, 24);

    g_autofree char *qemu = mf_test_data("stat-qemu", &length_bytes);
    g_assert_true(mf_parse_stat(qemu, length_bytes, &stat, &error));
    g_assert_cmpstr(stat.comm, ==, "qemu-system-x86");
    g_assert_cmpuint(stat.cpu_ticks, ==, 11);
}

static void
test_stat_odd(void)
{
    static const char nasty[] = "9 (a) S 1 (\n) S 7 9 9 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 55 0 0";
    static const char *const bad[] = {
        "",
        "9",
        "9 (a",
        "9 )a( S 1",
        "9 (a) S",
        "9 (a) S x 9 9 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 55",
        "9 (a) S 7 9 9 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0",
        "9 (a) S 7 9 9 0 -1 0 0 0 0 0 -3 4 0 0 20 0 1 0 55",
    };
    g_autofree char *name = g_strnfill(500, 'n');
    g_autofree char *wide =
        g_strdup_printf("9 (%s) S 7 9 9 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 55 0", name);
    MfProcStat stat;

    g_assert_true(mf_parse_stat(nasty, strlen(nasty), &stat, NULL));
    g_assert_cmpstr(stat.comm, ==, "a) S 1 (\n");
    g_assert_cmpint(stat.parent_pid, ==, 7);
    g_assert_cmpuint(stat.cpu_ticks, ==, 7);
    g_assert_cmpuint(stat.start_ticks, ==, 55);
    g_assert_true(mf_parse_stat(wide, strlen(wide), &stat, NULL));
    g_assert_cmpuint(strlen(stat.comm), ==, sizeof(stat.comm) - 1);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(mf_parse_stat(bad[i], strlen(bad[i]), &stat, &error));
        mf_assert_error(error, MF_ERROR_INVALID, "stat");
    }
}

static void
test_choice(void)
{
    gsize length_bytes;
    g_autofree char *captured = mf_test_data("advisor_mode", &length_bytes);
    g_autofree char *none = mf_parse_choice(captured, length_bytes, NULL);
    g_autofree char *other = mf_parse_choice("none [scan-time]", 16, NULL);
    static const char *const bad[] = {"", "none", "[]", "[a] [b]", "[a", "a]", "[ a ]"};

    g_assert_cmpstr(none, ==, "none");
    g_assert_cmpstr(other, ==, "scan-time");
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(mf_parse_choice(bad[i], strlen(bad[i]), &error));
        mf_assert_error(error, MF_ERROR_INVALID, "choice");
    }
    g_assert_null(mf_parse_choice("[a\0b]", 5, NULL));
}

static void
test_cmdline(void)
{
    static const char uuid[] = "c7a5fdbd-edaf-9455-926a-d65c16db1801";
    gsize length_bytes;
    g_autofree char *captured = mf_test_data("cmdline-qemu", &length_bytes);
    static const char upper[] = "q\0-uuid\0C7A5FDBD-EDAF-9455-926A-D65C16DB1801";
    static const char name[] = "q\0-name\0c7a5fdbd-edaf-9455-926a-d65c16db1801\0";
    static const char longer[] = "q\0-uuid\0c7a5fdbd-edaf-9455-926a-d65c16db1801x\0";
    static const char joined[] = "q\0-uuid c7a5fdbd-edaf-9455-926a-d65c16db1801\0";

    g_assert_true(mf_parse_cmdline_has_uuid(captured, length_bytes, uuid));
    g_assert_true(mf_parse_cmdline_has_uuid(upper, sizeof(upper) - 1, uuid));
    g_assert_false(mf_parse_cmdline_has_uuid(upper, sizeof(upper) - 2, uuid));
    g_assert_false(mf_parse_cmdline_has_uuid(name, sizeof(name), uuid));
    g_assert_false(mf_parse_cmdline_has_uuid(longer, sizeof(longer), uuid));
    g_assert_false(mf_parse_cmdline_has_uuid(joined, sizeof(joined), uuid));
    g_assert_false(mf_parse_cmdline_has_uuid("-uuid\0", 6, uuid));
    g_assert_false(mf_parse_cmdline_has_uuid("-uuid\0\0", 7, ""));
    g_assert_false(mf_parse_cmdline_has_uuid("", 0, uuid));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parse/numbers", test_numbers);
    g_test_add_func("/parse/number-length", test_number_length);
    g_test_add_func("/parse/meminfo", test_meminfo);
    g_test_add_func("/parse/pressure", test_pressure);
    g_test_add_func("/parse/meminfo-odd", test_meminfo_odd);
    g_test_add_func("/parse/vmstat", test_vmstat);
    g_test_add_func("/parse/ksm-stat", test_ksm_stat);
    g_test_add_func("/parse/ksm-stat-odd", test_ksm_stat_odd);
    g_test_add_func("/parse/smaps", test_smaps);
    g_test_add_func("/parse/smaps-guest", test_smaps_guest);
    g_test_add_func("/parse/smaps-cut", test_smaps_cut);
    g_test_add_func("/parse/smaps-odd", test_smaps_odd);
    g_test_add_func("/parse/smaps-old-kernel", test_smaps_old_kernel);
    g_test_add_func("/parse/stat", test_stat);
    g_test_add_func("/parse/stat-odd", test_stat_odd);
    g_test_add_func("/parse/choice", test_choice);
    g_test_add_func("/parse/cmdline", test_cmdline);
    return g_test_run();
}
