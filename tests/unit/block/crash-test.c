/*
 * Nothing is lost: what a guest has flushed is there after a loss of power at
 * any time, with any part of the rest.
 *
 * A few writers work on an image through a format on top of "blklogwrites".
 * Then images are made of the log: everything up to a flush, and of what came
 * between it and the next one an arbitrary subset, the last of it torn.  Each
 * must open, be without corruption (qemu-img is asked where it is installed)
 * and hold at least what was flushed.  The seed is printed; CRASH_TEST_SEED
 * repeats a run, CRASH_TEST_IMAGES sets how many are made.
 *
 * And a process that writes is killed again and again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/driver.h"
#include "node.h"

enum {
    SECTOR = 512, N_WORKERS = 6, ZONE_SECTORS = 2000,
    N_SECTORS = N_WORKERS * ZONE_SECTORS + 500,     /* the rest: discards */
    N_OPS = 150, MAX_RUN = 300,
    LOG_FLUSH = 1, LOG_FUA = 2, LOG_DISCARD = 4,
};

static char *dir;
static GRand *dice;

/* The log is the disk here: nobody pulls the host's plug. */
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return 0;
}

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

/* --- what a sector holds: its number and a version ----------------------------------- */

static void fill_sector(uint8_t *p, uint32_t sector, uint32_t version)
{
    uint32_t x = sector * 2654435761u ^ version * 40503u ^ 0x5bd1e995;

    store_le32(p, sector);
    store_le32(p + 4, version);
    for (unsigned i = 8; i < SECTOR; i += 4) {
        x = x * 1664525 + 1013904223;
        store_le32(p + i, x);
    }
}

/* Its version; 0 for zeroes, -1 for neither. */
static int64_t version_of(const uint8_t *p, uint32_t sector)
{
    uint8_t want[SECTOR] = { 0 };

    if (!memcmp(p, want, SECTOR)) {
        return 0;
    }
    fill_sector(want, sector, load_le32(p + 4));
    return memcmp(p, want, SECTOR) ? -1 : (int64_t)load_le32(p + 4);
}

/* --- writers ----------------------------------------------------------------------------- */

typedef struct Sector {
    uint32_t submitted, completed;
    uint32_t last_zero;         /* the last version that was zeroes */
} Sector;

/* When the log had `entries`, these versions were safe. */
typedef struct Safe {
    uint64_t entries;
    uint32_t first, n;          /* sectors */
    uint32_t *version;
} Safe;

typedef struct Story {
    BlockNode *top, *log;
    Sector sector[N_SECTORS];
    GArray *safe;               /* of Safe, by entries */
    unsigned n_running;
} Story;

static Story *story;

static void clear_safe(void *safe)
{
    g_free(((Safe *)safe)->version);
}

static Safe snapshot(uint32_t first, uint32_t n)
{
    Safe s = { 0, first, n, g_new(uint32_t, n) };

    for (uint32_t i = 0; i < n; i++) {
        s.version[i] = story->sector[first + i].completed;
    }
    return s;
}

static void now_safe(Safe s)
{
    s.entries = blklogwrites_entries(story->log);
    g_array_append_val(story->safe, s);
}

static void flush(void)
{
    Safe s = snapshot(0, N_SECTORS);    /* when it begins */

    g_assert_cmpint(node_flush(story->top), ==, 0);
    now_safe(s);
}

static void write_run(uint32_t first, uint32_t n, bool zeroes, bool fua)
{
    g_autofree uint8_t *buf = g_malloc(n * SECTOR);
    struct iovec v = { buf, n * SECTOR };
    int ret;

    for (uint32_t i = 0; i < n; i++) {
        Sector *s = &story->sector[first + i];

        s->submitted++;
        if (zeroes) {
            s->last_zero = s->submitted;
        }
        fill_sector(buf + i * SECTOR, first + i, s->submitted);
    }
    ret = zeroes ? node_write_zeroes(story->top, first * SECTOR, n * SECTOR,
                                     fua ? BLOCK_FUA : BLOCK_MAY_UNMAP)
          : node_write(story->top, first * SECTOR, n * SECTOR,
                       iov_all(&v, 1), fua ? BLOCK_FUA : 0);
    g_assert_cmpint(ret, ==, 0);
    for (uint32_t i = 0; i < n; i++) {
        story->sector[first + i].completed = story->sector[first + i]
                                             .submitted;
    }
    if (fua) {
        now_safe(snapshot(first, n));
    }
}

static void check_now(uint32_t first, uint32_t n)
{
    g_autofree uint8_t *buf = g_malloc(n * SECTOR);

    g_assert_cmpint(node_read_buf(story->top, first * SECTOR, buf,
                                  n * SECTOR), ==, 0);
    for (uint32_t i = 0; i < n; i++) {
        const Sector *s = &story->sector[first + i];
        int64_t want = s->completed == s->last_zero ? 0 : s->completed;

        g_assert_cmpint(version_of(buf + i * SECTOR, first + i), ==, want);
    }
}

static void work(void *opaque)
{
    uint32_t zone = GPOINTER_TO_UINT(opaque) * ZONE_SECTORS;

    for (unsigned i = 0; i < N_OPS; i++) {
        int32_t what = g_rand_int_range(dice, 0, 100);
        uint32_t n = g_rand_int_range(dice, 1, what % 2 ? MAX_RUN : 20);
        uint32_t first = zone + g_rand_int_range(dice, 0, ZONE_SECTORS - n);

        if (what < 70) {
            write_run(first, n, false, what < 5);
        } else if (what < 80) {
            write_run(first, n, true, what < 72);
        } else if (what < 85) {
            node_discard(story->top, (N_SECTORS - 500 + what) * SECTOR,
                         n * SECTOR);
        } else if (what < 94) {
            check_now(first, n);
        } else {
            flush();
        }
    }
    story->n_running--;
}

/* --- formats ---------------------------------------------------------------------------- */

typedef struct Format {
    const char *name, *driver;
    const char *create;         /* options; NULL: an empty file */
    const char *open;           /* more options to open it */
    bool checked;               /* qemu-img knows what is wrong with it */
} Format;

static const Format formats[] = {
    { "raw", "raw", NULL, "discard=unmap", false },
    { "qcow2", "qcow2", "cluster_size=65536", "discard=unmap", true },
    { "qcow2-small", "qcow2", "cluster_size=512", "discard=unmap", true },
    { "qcow2-lazy", "qcow2", "cluster_size=4096,lazy_refcounts=on",
      "discard=unmap", true },
};

static void create(const Format *f, const char *path)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *line = g_strdup_printf("filename=%s,size=%u%s%s", path,
                                            N_SECTORS * SECTOR,
                                            f->create ? "," : "",
                                            f->create ? f->create : "");
    g_autoptr(Opt) opts = opt_parse_keyval(line, NULL, NULL, &err);

    g_assert_no_error(err);
    block_driver_find(f->driver)->create(opts, &err);
    g_assert_no_error(err);
}

static BlockNode *open_image(const Format *f, const char *path,
                             const char *log, GError **err)
{
    g_autofree char *line = log
        ? g_strdup_printf("driver=%s,%s,file.driver=blklogwrites,"
                          "file.file.driver=file,file.file.filename=%s,"
                          "file.log.driver=file,file.log.filename=%s",
                          f->driver, f->open, path, log)
        : g_strdup_printf("driver=%s,%s,file.driver=file,file.filename=%s",
                          f->driver, f->open, path);
    g_autoptr(Opt) opts = opt_parse_keyval(line, NULL, NULL, NULL);

    return block_open(opts, err);
}

static void copy(const char *from, const char *to)
{
    g_autofree char *data = NULL;
    size_t len;

    g_assert_true(g_file_get_contents(from, &data, &len, NULL));
    g_assert_true(g_file_set_contents(to, data, len, NULL));
}

/* A second opinion; leaks are no loss. */
static void ask_qemu_img(const Format *f, const char *path, bool repair)
{
    static char *tool;
    g_autofree char *out = NULL;
    g_autofree char *say = NULL;
    int status;

    tool = tool ? tool : g_find_program_in_path("qemu-img");
    if (!tool || !f->checked) {
        return;
    }
    /* A dirty image with lazy refcounts is to be repaired. */
    const char *argv[] = { tool, "check", "-f", f->driver, path,
                           repair ? "-r" : NULL, "all", NULL };

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_DEFAULT, NULL, NULL, &out, &say,
                               &status, NULL));
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0
                               && WEXITSTATUS(status) != 3)) {
        g_error("qemu-img check: %s%s", out, say);
    }
}

/* --- replays ------------------------------------------------------------------------------ */

typedef struct Entry {
    uint64_t at, bytes, flags;
    size_t data;                /* where in the log */
} Entry;

static GArray *read_log(const char *path, char **text)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Entry));
    size_t len, at = SECTOR;
    uint64_t n;

    g_assert_true(g_file_get_contents(path, text, &len, NULL));
    g_assert_cmphex(load_le64(*text), ==, UINT64_C(0x6a736677736872));
    g_assert_cmpuint(load_le64(*text + 8), ==, 1);
    g_assert_cmpuint(load_le32(*text + 24), ==, SECTOR);
    n = load_le64(*text + 16);
    for (uint64_t i = 0; i < n; i++) {
        Entry e = {
            load_le64(*text + at) * SECTOR, load_le64(*text + at + 8)
            * SECTOR, load_le64(*text + at + 16), at + SECTOR
        };

        g_array_append_val(list, e);
        at += SECTOR + (e.flags & LOG_DISCARD ? 0 : e.bytes);
        g_assert_cmpuint(at, <=, len);
    }
    return list;
}

static void apply(int fd, const Entry *e, const char *text, uint64_t bytes)
{
    if (e->flags & LOG_DISCARD) {
        g_assert_cmpint(fallocate(fd, FALLOC_FL_PUNCH_HOLE
                                  | FALLOC_FL_KEEP_SIZE, e->at, e->bytes),
                        ==, 0);
    } else if (bytes) {
        g_assert_cmpint(pwrite(fd, text + e->data, bytes, e->at), ==, bytes);
    }
}

/* What must be there at least, once the log has `entries`. */
static void safe_versions(uint64_t entries, uint32_t *least)
{
    memset(least, 0, N_SECTORS * sizeof(*least));
    for (unsigned i = 0; i < story->safe->len; i++) {
        const Safe *s = &g_array_index(story->safe, Safe, i);

        for (uint32_t k = 0; s->entries <= entries && k < s->n; k++) {
            least[s->first + k] = MAX(least[s->first + k], s->version[k]);
        }
    }
}

static void check_image(const Format *f, const char *path,
                        const uint32_t *least)
{
    g_autofree uint8_t *buf = g_malloc(N_SECTORS * SECTOR);
    g_autoptr(GError) err = NULL;
    BlockNode *n = open_image(f, path, NULL, &err);

    g_assert_no_error(err);
    g_assert_cmpint(node_read_buf(n, 0, buf, N_SECTORS * SECTOR), ==, 0);
    for (uint32_t i = 0; i < N_WORKERS * ZONE_SECTORS; i++) {
        int64_t got = version_of(buf + i * SECTOR, i);
        const Sector *s = &story->sector[i];
        bool ok = got > 0 ? got >= least[i] && got <= s->submitted
                  : got == 0 && (!least[i] || s->last_zero >= least[i]);

        if (!ok) {
            g_error("%s: sector %u has version %" PRIi64 ", and %u was "
                    "flushed", f->name, i, got, least[i]);
        }
    }
    node_unref(n);
}

/* entries[0..done) of `list` are on the disk; of those up to the next flush
 * some. */
static void crash(const Format *f, const GArray *list, const char *text,
                  const char *base, unsigned done, const char *path)
{
    g_autofree uint32_t *least = g_new(uint32_t, N_SECTORS);
    unsigned end = done, at;
    double part = g_rand_double(dice);
    int fd;

    while (end < list->len
           && !(g_array_index(list, Entry, end).flags & LOG_FLUSH)) {
        end++;
    }
    at = g_rand_int_range(dice, done, end + 1);     /* told so far */
    copy(base, path);
    fd = open(path, O_RDWR);
    for (unsigned i = done; i < end; i++) {
        const Entry *e = &g_array_index(list, Entry, i);
        bool must = i < at && e->flags & LOG_FUA;
        uint64_t bytes = e->bytes;

        if (!must && g_rand_double(dice) > part) {
            continue;
        }
        if (!must && g_rand_int_range(dice, 0, 8) == 0) {
            bytes = g_rand_int_range(dice, 0, bytes / SECTOR + 1) * SECTOR;
        }
        apply(fd, e, text, bytes);
    }
    close(fd);
    safe_versions(at, least);
    ask_qemu_img(f, path, strstr(f->create ? f->create : "", "lazy"));
    check_image(f, path, least);
}

static void replay(const Format *f, const char *base, const char *log)
{
    const char *want = g_getenv("CRASH_TEST_IMAGES");
    unsigned n_images = want ? atoi(want) : f->checked ? 15 : 100;
    g_autofree char *text = NULL;
    g_autofree char *path = path_of("crashed");
    g_autoptr(GArray) list = read_log(log, &text);
    unsigned done = 0, n_flushes = 0;
    int fd = open(base, O_RDWR);
    g_autofree unsigned *stops = g_new(unsigned, n_images);

    for (unsigned i = 0; i < list->len; i++) {
        n_flushes += !!(g_array_index(list, Entry, i).flags & LOG_FLUSH);
    }
    g_test_message("%s: %u entries, %u flushes", f->name, list->len,
                   n_flushes);
    g_assert_cmpuint(n_flushes, >, 10);
    for (unsigned i = 0; i < n_images; i++) {
        unsigned flush_no = (uint64_t)i * (n_flushes + 1) / n_images;
        unsigned seen = 0, to = done;

        /* Forward to behind that flush. */
        for (to = 0; to < list->len && seen < flush_no; to++) {
            seen += !!(g_array_index(list, Entry, to).flags & LOG_FLUSH);
        }
        for (; done < to; done++) {
            const Entry *e = &g_array_index(list, Entry, done);

            apply(fd, e, text, e->bytes);
        }
        crash(f, list, text, base, done, path);
    }
    for (; done < list->len; done++) {
        const Entry *e = &g_array_index(list, Entry, done);

        apply(fd, e, text, e->bytes);
    }
    close(fd);
    g_unlink(path);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_power(gconstpointer opaque)
{
    const Format *f = opaque;
    g_autofree char *image = path_of("image"), *log = path_of("log");
    g_autofree char *base = path_of("base");
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *a = NULL;

    if (!block_driver_find(f->driver)) {
        g_test_skip("there is no such driver");
        return;
    }
    create(f, image);
    copy(image, base);
    g_close(creat(log, 0600), NULL);
    story = g_new0(Story, 1);
    story->safe = g_array_new(FALSE, FALSE, sizeof(Safe));
    g_array_set_clear_func(story->safe, clear_safe);
    story->top = open_image(f, image, log, &err);
    g_assert_no_error(err);
    story->log = node_file(story->top);
    story->n_running = N_WORKERS;
    for (unsigned i = 0; i < N_WORKERS; i++) {
        g_assert_true(co_start(work, GUINT_TO_POINTER(i)));
    }
    while (story->n_running) {
        block_ctx_poll(node_ctx(story->top));
    }
    node_unref(story->top);
    replay(f, base, log);

    /* The whole log is the image. */
    g_autofree uint32_t *all = g_new0(uint32_t, N_SECTORS);

    for (uint32_t i = 0; i < N_WORKERS * ZONE_SECTORS; i++) {
        const Sector *s = &story->sector[i];

        all[i] = s->completed == s->last_zero ? 0 : s->completed;
    }
    ask_qemu_img(f, base, false);
    check_image(f, base, all);
    g_array_unref(story->safe);
    g_clear_pointer(&story, g_free);
    g_unlink(image);
    g_unlink(base);
    g_unlink(log);
}

/* The child writes, and tells of each run that has been written: what the
 * process gave to the host stays there when it is killed. */
static void be_killed(const Format *f, const char *path, int fd,
                      uint32_t version)
{
    g_autofree uint8_t *buf = g_malloc(MAX_RUN * SECTOR);
    g_autoptr(GError) err = NULL;
    BlockNode *n = open_image(f, path, NULL, &err);

    g_assert_no_error(err);
    for (;; ) {
        uint32_t count = g_rand_int_range(dice, 1, MAX_RUN);
        uint32_t first = g_rand_int_range(dice, 0, N_SECTORS - count);
        uint32_t told[3] = { first, count, ++version };

        for (uint32_t i = 0; i < count; i++) {
            fill_sector(buf + i * SECTOR, first + i, version);
        }
        if (node_write_buf(n, first * SECTOR, buf, count * SECTOR)
            || (version % 16 == 0 && node_flush(n))
            || (version % 16 == 0
                && write(fd, told, sizeof(told)) != sizeof(told))) {
            _exit(1);
        }
    }
}

/* The file's descriptor is unbuffered: each message is one write(). */
static uint32_t collect(int fd, uint32_t *least)
{
    uint32_t told[3], version = 0;

    while (read(fd, told, sizeof(told)) == sizeof(told)) {
        for (uint32_t i = 0; i < told[1]; i++) {
            least[told[0] + i] = told[2];
        }
        version = told[2];
    }
    return version;
}

static void check_survivors(const Format *f, const char *path,
                            const uint32_t *least)
{
    g_autofree uint8_t *buf = g_malloc(N_SECTORS * SECTOR);
    g_autoptr(GError) err = NULL;
    BlockNode *n = open_image(f, path, NULL, &err);

    g_assert_no_error(err);
    g_assert_cmpint(node_read_buf(n, 0, buf, N_SECTORS * SECTOR), ==, 0);
    for (uint32_t i = 0; i < N_SECTORS; i++) {
        g_assert_cmpint(version_of(buf + i * SECTOR, i), >=, least[i]);
    }
    node_unref(n);
}

/* Children use the block layer; who forks has none of its threads. */
static void in_child(const Format *f, const char *path, const uint32_t *least)
{
    pid_t pid = fork();
    int status;

    if (!pid) {
        if (least) {
            check_survivors(f, path, least);
        } else {
            create(f, path);
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_kill(gconstpointer opaque)
{
    const Format *f = opaque;
    g_autofree char *path = path_of("killed");
    g_autofree uint32_t *least = g_new0(uint32_t, N_SECTORS);
    uint32_t version = 0;

    if (!block_driver_find(f->driver)) {
        g_test_skip("there is no such driver");
        return;
    }
    in_child(f, path, NULL);
    for (unsigned round = 0; round < 8; round++) {
        uint32_t first[3], last;
        int p[2], status;
        pid_t pid;

        g_assert_cmpint(pipe(p), ==, 0);
        g_rand_int(dice);
        pid = fork();
        if (!pid) {
            close(p[0]);
            be_killed(f, path, p[1], version);
        }
        close(p[1]);
        /* At least one flush, and then some time. */
        g_assert_cmpint(read(p[0], first, sizeof(first)), ==, sizeof(first));
        for (uint32_t i = 0; i < first[1]; i++) {
            least[first[0] + i] = first[2];
        }
        g_usleep(g_rand_int_range(dice, 0, 30000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        g_assert_true(WIFSIGNALED(status));
        last = collect(p[0], least);
        close(p[0]);
        version = MAX(last, first[2]) + 1000000;
        ask_qemu_img(f, path, strstr(f->create ? f->create : "", "lazy"));
        in_child(f, path, least);
    }
    g_unlink(path);
}

int main(int argc, char **argv)
{
    const char *seed = g_getenv("CRASH_TEST_SEED");
    uint32_t number = seed ? strtoul(seed, NULL, 0) : g_random_int();
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_test_message("CRASH_TEST_SEED=%u", number);
    dice = g_rand_new_with_seed(number);
    dir = g_dir_make_tmp("rhea-crash-XXXXXX", NULL);
    /* First: it forks. */
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strdup_printf("/crash/kill/%s",
                                                formats[i].name);

        g_test_add_data_func(name, &formats[i], test_kill);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strdup_printf("/crash/power/%s",
                                                formats[i].name);

        g_test_add_data_func(name, &formats[i], test_power);
    }
    ret = g_test_run();
    g_rmdir(dir);
    g_free(dir);
    g_rand_free(dice);
    return ret;
}
