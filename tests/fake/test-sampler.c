/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a guest's memory: a process of our own plays QEMU, with pages that are known. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/core/mf-estimate.h"
#include "../../src/io/mf-sampler.h"
#include "../unit/mf-test.h"

#define UUID     "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define MIB      (1024 * 1024)
#define RATE_ANY (G_GUINT64_CONSTANT(1) << 40)

/* What the guest's area has, in this order; the rest of it was never touched. */
enum {
    UNIQUE_PAGES = 100,
    GIVEN_BACK_PAGES = 7, /* of the unique ones */
    EQUAL_PAGES = 100,
    ZERO_PAGES = 50,
    PAIRED_PAGES = 100,
    AREA_PAGES = 2048,
    PRESENT_PAGES = UNIQUE_PAGES - GIVEN_BACK_PAGES + EQUAL_PAGES + ZERO_PAGES + PAIRED_PAGES,
    SAVED_PAGES = EQUAL_PAGES - 1 + PAIRED_PAGES / 2,
};

static guint8 *
map_area(int flags, gboolean of_guest)
{
    gsize size_bytes = AREA_PAGES * (gsize)sysconf(_SC_PAGESIZE);
    guint8 *area = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    g_assert_true(area != MAP_FAILED);
    g_assert_cmpint(madvise(area, size_bytes, MADV_NOHUGEPAGE), ==, 0);
    if (of_guest) {
        g_assert_cmpint(madvise(area, size_bytes, MADV_DONTFORK), ==, 0);
    }
    return area;
}

/* Writes pages of contents that begin with word + index / copies. */
static guint8 *
write_pages(guint8 *at, guint pages, guint copies, guint32 word)
{
    gsize page_size_bytes = (gsize)sysconf(_SC_PAGESIZE);

    for (guint i = 0; i < pages; i++) {
        guint32 first = word == 0 ? 0 : word + i / copies;
        memset(at, 0, page_size_bytes);
        memcpy(at + 128, &first, sizeof(first));
        at += page_size_bytes;
    }
    return at;
}

/* The process that plays QEMU: fills its memory, says so, and waits for its end. */
static int
play_qemu(void)
{
    gsize page_size_bytes = (gsize)sysconf(_SC_PAGESIZE);
    guint8 *guest = map_area(MAP_PRIVATE, TRUE);
    guint8 *at = write_pages(guest, UNIQUE_PAGES, 1, 1000);

    at = write_pages(at, EQUAL_PAGES, EQUAL_PAGES, 2000);
    at = write_pages(at, ZERO_PAGES, 1, 0);
    write_pages(at, PAIRED_PAGES, 2, 3000);
    g_assert_cmpint(madvise(guest, GIVEN_BACK_PAGES * page_size_bytes, MADV_DONTNEED), ==, 0);
    /* None of the guest's: QEMU's own memory, and memory that it shares. */
    write_pages(map_area(MAP_PRIVATE, FALSE), 300, 300, 4000);
    write_pages(map_area(MAP_SHARED, TRUE), 300, 300, 5000);
    printf("ready\n");
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}

typedef struct {
    MfRoot *root;
    MfDomain *domain;
    GPid child;
    int to_child;
    int from_child;

    MfEstimate *estimate;
    guint64 hash_sum;
    guint done_permyriad;
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const char *arguments[] = {"/proc/self/exe", "-uuid", UUID, NULL};
    char word[6] = "";

    g_assert_true(g_spawn_async_with_pipes(
        NULL, (char **)arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &scene->child,
        &scene->to_child, &scene->from_child, NULL, &scene->error));
    g_assert_cmpint(read(scene->from_child, word, sizeof(word)), ==, sizeof(word));
    scene->root = mf_root_new("/", &scene->error);
    g_assert_no_error(scene->error);
    scene->domain = mf_domain_new(UUID, "vm1");
    scene->domain->pid = scene->child;
    scene->estimate = mf_estimate_new(10000, 10000);
}

static void
end_child(Scene *scene)
{
    if (scene->child > 0) {
        close(scene->to_child);
        close(scene->from_child);
        g_assert_cmpint(waitpid(scene->child, NULL, 0), ==, scene->child);
        scene->child = 0;
    }
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    end_child(scene);
    g_assert_no_error(scene->error);
    mf_estimate_free(scene->estimate);
    mf_domain_free(scene->domain);
    mf_root_unref(scene->root);
}

static void
on_page(guint64 hash, gboolean is_zero, gpointer data)
{
    Scene *scene = data;

    if (is_zero) {
        mf_estimate_add_zero_page(scene->estimate);
    } else {
        mf_estimate_add_page(scene->estimate, hash);
        scene->hash_sum += hash;
    }
}

static void
on_advance(guint done_permyriad, gpointer data)
{
    Scene *scene = data;

    g_assert_cmpuint(done_permyriad, >=, scene->done_permyriad);
    scene->done_permyriad = done_permyriad;
}

static const MfSamplerSink sink = {on_page, on_advance};

static gboolean
sample(Scene *scene, guint64 rate_bytes, GCancellable *cancellable)
{
    g_autoptr(MfSampler) sampler = mf_sampler_new(scene->root, rate_bytes, &scene->error);

    g_assert_no_error(scene->error);
    scene->done_permyriad = 0;
    return mf_sampler_read(sampler, scene->domain, &sink, scene, cancellable, &scene->error);
}

static void
test_known_pages(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_true(sample(scene, RATE_ANY, NULL));
    MfEstimateResult result = mf_estimate_get_result(scene->estimate);

    g_assert_cmpuint(result.pages, ==, PRESENT_PAGES);
    g_assert_cmpuint(result.zero_pages, ==, ZERO_PAGES);
    g_assert_cmpuint(result.saved_low_pages, ==, SAVED_PAGES);
    g_assert_cmpuint(result.saved_high_pages, ==, SAVED_PAGES);
    g_assert_cmpuint(scene->done_permyriad, ==, 10000);
}

/* Nobody can compare the hashes of two runs. */
static void
test_each_sampler_has_its_key(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_true(sample(scene, RATE_ANY, NULL));
    guint64 first_sum = scene->hash_sum;
    scene->hash_sum = 0;
    g_assert_true(sample(scene, RATE_ANY, NULL));
    g_assert_cmpuint(first_sum, !=, scene->hash_sum);
}

/* Reading adds nothing: what was absent is so afterwards. */
static void
test_nothing_comes_about(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    for (guint i = 0; i < 2; i++) {
        g_assert_true(sample(scene, RATE_ANY, NULL));
    }
    g_assert_cmpuint(mf_estimate_get_result(scene->estimate).pages, ==, 2 * PRESENT_PAGES);
}

static void
test_the_rate_is_kept(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    guint64 rate_bytes = 4 * MIB;
    gint64 begun_usec = g_get_monotonic_time();
    guint64 read_bytes = PRESENT_PAGES * (guint64)sysconf(_SC_PAGESIZE);

    g_assert_true(sample(scene, rate_bytes, NULL));
    g_assert_cmpint(g_get_monotonic_time() - begun_usec, >=,
                    (gint64)(read_bytes * G_USEC_PER_SEC / rate_bytes));
}

static void
test_it_can_be_cancelled(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    g_cancellable_cancel(cancellable);
    /* At this rate it would take hours. */
    g_assert_false(sample(scene, 4096, cancellable));
    g_assert_error(scene->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&scene->error);
}

static void
test_who_is_not_the_domain_is_not_read(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *uuid = scene->domain->uuid;

    scene->domain->uuid = g_strdup("00000000-0000-0000-0000-000000000000");
    g_assert_false(sample(scene, RATE_ANY, NULL));
    mf_assert_error(scene->error, MF_ERROR_GONE, "is not the QEMU of domain 0000");
    g_free(scene->domain->uuid);
    scene->domain->uuid = g_steal_pointer(&uuid);
    end_child(scene);
    g_assert_false(sample(scene, RATE_ANY, NULL));
    mf_assert_error(scene->error, MF_ERROR_GONE, "/mem");
    g_assert_cmpuint(mf_estimate_get_result(scene->estimate).pages, ==, 0);
}

#define ADD(path, function) g_test_add((path), Scene, NULL, scene_open, (function), scene_close)

int
main(int argc, char **argv)
{
    if (argc > 1 && g_str_equal(argv[1], "-uuid")) {
        return play_qemu();
    }
    g_test_init(&argc, &argv, NULL);
    ADD("/sampler/known-pages", test_known_pages);
    ADD("/sampler/each-sampler-has-its-key", test_each_sampler_has_its_key);
    ADD("/sampler/nothing-comes-about", test_nothing_comes_about);
    ADD("/sampler/the-rate-is-kept", test_the_rate_is_kept);
    ADD("/sampler/it-can-be-cancelled", test_it_can_be_cancelled);
    ADD("/sampler/who-is-not-the-domain-is-not-read", test_who_is_not_the_domain_is_not_read);
    return g_test_run();
}
