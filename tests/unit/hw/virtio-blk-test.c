/*
 * The virtio disk: requests of every kind and layout, in both kinds of rings,
 * in the main loop and in an iothread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "block/drive.h"
#include "core/user-object.h"
#include "vdriver.h"

enum { DISK_SECTORS = 20000, HEADER = VD_DATA, STATUS = VD_DATA + 0x400,
       DATA = VD_DATA + 0x1000, TABLE = VD_DATA + 0x800,
       SLOT = 0x4000 };         /* from one request in flight to the next */

static PcTest *pc;
static VdMode mode;
static char *file;
static VDriver *d;
static BlockBackend *blk;

/* What the back end is to do: faults by the function it is called by. */
static struct {
    int error;                  /* of the next requests */
    unsigned n_calls, n_reads, n_writes;
    bool may_unmap;
    uint64_t bytes;
} fake;

typedef struct {
    BlkDone *done;
    void *opaque;
} Failure;

static void fail_later(void *opaque)
{
    Failure *f = opaque;

    f->done(f->opaque, -fake.error);
    g_free(f);
}

static bool fails(BlkDone *done, void *opaque)
{
    fake.n_calls++;
    if (!fake.error) {
        return false;
    }
    loop_call(blk_loop(blk), fail_later,
              g_memdup2(&(Failure) { done, opaque }, sizeof(Failure)));
    return true;
}

void __real_blk_read(BlockBackend *, uint64_t, uint64_t, const struct iovec *,
                     unsigned, BlkDone *, void *);
void __wrap_blk_read(BlockBackend *, uint64_t, uint64_t, const struct iovec *,
                     unsigned, BlkDone *, void *);
void __wrap_blk_read(BlockBackend *b, uint64_t at, uint64_t bytes,
                     const struct iovec *iov, unsigned n, BlkDone *done,
                     void *opaque)
{
    fake.n_reads++;
    fake.bytes = bytes;
    if (!fails(done, opaque)) {
        __real_blk_read(b, at, bytes, iov, n, done, opaque);
    }
}

void __real_blk_write(BlockBackend *, uint64_t, uint64_t,
                      const struct iovec *, unsigned, unsigned, BlkDone *,
                      void *);
void __wrap_blk_write(BlockBackend *, uint64_t, uint64_t,
                      const struct iovec *, unsigned, unsigned, BlkDone *,
                      void *);
void __wrap_blk_write(BlockBackend *b, uint64_t at, uint64_t bytes,
                      const struct iovec *iov, unsigned n, unsigned flags,
                      BlkDone *done, void *opaque)
{
    fake.n_writes++;
    fake.bytes = bytes;
    if (!fails(done, opaque)) {
        __real_blk_write(b, at, bytes, iov, n, flags, done, opaque);
    }
}

void __real_blk_flush(BlockBackend *, BlkDone *, void *);
void __wrap_blk_flush(BlockBackend *, BlkDone *, void *);
void __wrap_blk_flush(BlockBackend *b, BlkDone *done, void *opaque)
{
    if (!fails(done, opaque)) {
        __real_blk_flush(b, done, opaque);
    }
}

void __real_blk_write_zeroes(BlockBackend *, uint64_t, uint64_t, unsigned,
                             BlkDone *, void *);
void __wrap_blk_write_zeroes(BlockBackend *, uint64_t, uint64_t, unsigned,
                             BlkDone *, void *);
void __wrap_blk_write_zeroes(BlockBackend *b, uint64_t at, uint64_t bytes,
                             unsigned flags, BlkDone *done, void *opaque)
{
    fake.may_unmap = flags & BLOCK_MAY_UNMAP;
    __real_blk_write_zeroes(b, at, bytes, flags, done, opaque);
}

/* --- helpers ---------------------------------------------------------------------- */

static uint8_t disk_byte(uint64_t at)
{
    return at / 512 * 7 + at % 512 * 5 + 3;
}

static void open_disk(const char *props)
{
    g_autofree char *all = g_strdup_printf("drive=d%s%s", props ? "," : "",
                                           props ? props : "");

    memset(&fake, 0, sizeof(fake));
    d = vd_new(pc, "virtio-blk-pci", all, mode);
    vd_start(d, UINT64_MAX, 1, 0, true);
}

static void close_disk(void)
{
    vd_free(g_steal_pointer(&d));
}

static void put_header(unsigned slot, uint32_t type, uint64_t sector)
{
    pc_store(HEADER + slot * SLOT, 8, type);
    pc_store(HEADER + slot * SLOT + 8, 8, sector);
    pc_store(STATUS + slot * SLOT, 1, 0xee);
}

static uint16_t add_request(unsigned slot, uint32_t type, uint64_t sector,
                            uint32_t bytes, bool to_guest, bool indirect)
{
    VdBuf bufs[3] = {
        { HEADER + slot * SLOT, 16, false },
        { DATA + slot * SLOT, bytes, to_guest },
        { STATUS + slot * SLOT, 1, true },
    };

    put_header(slot, type, sector);
    if (!bytes) {
        bufs[1] = bufs[2];
    }
    return vd_add(d, 0, bufs, bytes ? 3 : 2,
                  indirect ? TABLE + slot * SLOT : 0);
}

static uint8_t request(uint32_t type, uint64_t sector, uint32_t bytes,
                       bool to_guest)
{
    uint16_t id = add_request(0, type, sector, bytes, to_guest, false), got;
    uint32_t used;

    vd_kick(d, 0);
    used = vd_wait(d, 0, &got);
    g_assert_cmpuint(got, ==, id);
    g_assert_cmpuint(used, ==, (to_guest ? bytes : 0) + 1);
    return pc_load(STATUS, 1);
}

static void fill(uint64_t gpa, uint32_t bytes, unsigned seed)
{
    for (uint32_t i = 0; i < bytes; i++) {
        pc_store(gpa + i, 1, (i * 13 + seed) & 255);
    }
}

static bool has_fill(uint64_t gpa, uint32_t bytes, unsigned seed)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (pc_load(gpa + i, 1) != ((i * 13 + seed) & 255)) {
            return false;
        }
    }
    return true;
}

static bool is_disk(uint64_t gpa, uint64_t sector, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (pc_load(gpa + i, 1) != disk_byte(sector * 512 + i)) {
            return false;
        }
    }
    return true;
}

/* --- reading and writing -------------------------------------------------------------- */

static void test_read(void)
{
    open_disk(NULL);
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 3, 8192, true), ==, 0);
    g_assert_true(is_disk(DATA, 3, 8192));
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, DISK_SECTORS - 1, 512, true), ==,
                    0);
    g_assert_true(is_disk(DATA, DISK_SECTORS - 1, 512));
    close_disk();
}

static void test_write(void)
{
    open_disk(NULL);
    fill(DATA, 8192, 1);
    g_assert_cmphex(request(VIRTIO_BLK_T_OUT, 100, 8192, false), ==, 0);
    fill(DATA, 8192, 2);
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 100, 8192, true), ==, 0);
    g_assert_true(has_fill(DATA, 8192, 1));
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 116, 512, true), ==, 0);
    g_assert_true(is_disk(DATA, 116, 512));
    close_disk();
}

/* Headers, data and status cut at every place. */
static void test_layouts(void)
{
    open_disk(NULL);
    for (unsigned cut = 1; cut < 16; cut++) {
        VdBuf bufs[] = {
            { HEADER, cut, false }, { HEADER + cut, 16 - cut, false },
            { DATA, cut, true }, { DATA + cut, 1024 - cut + 1, true },
        };

        put_header(0, VIRTIO_BLK_T_IN, cut);
        vd_add(d, 0, bufs, 4, 0);
        vd_kick(d, 0);
        g_assert_cmpuint(vd_wait(d, 0, NULL), ==, 1025);
        g_assert_cmphex(pc_load(DATA + 1024, 1), ==, 0);
        g_assert_true(is_disk(DATA, cut, 1024));
    }
    for (unsigned cut = 1; cut < 600; cut += 37) {
        /* One buffer to write from, header first. */
        VdBuf bufs[] = {
            { DATA, cut, false }, { DATA + cut, 16 + 1024 - cut, false },
            { STATUS, 1, true },
        };

        pc_store(DATA, 8, VIRTIO_BLK_T_OUT);
        pc_store(DATA + 8, 8, 200);
        fill(DATA + 16, 1024, cut);
        vd_add(d, 0, bufs, 3, TABLE);
        vd_kick(d, 0);
        g_assert_cmpuint(vd_wait(d, 0, NULL), ==, 1);
        g_assert_cmphex(request(VIRTIO_BLK_T_IN, 200, 1024, true), ==, 0);
        g_assert_true(has_fill(DATA, 1024, cut));
    }
    close_disk();
}

static void test_limits(void)
{
    open_disk("logical_block_size=4096,physical_block_size=4096");
    static const struct {
        uint64_t sector;
        uint32_t bytes;
        uint8_t status;
    } rows[] = {
        { 0, 4096, 0 }, { 8, 8192, 0 }, { 0, 512, 1 }, { 1, 4096, 1 },
        { DISK_SECTORS - 8, 4096, 0 }, { DISK_SECTORS - 8, 8192, 1 },
        { DISK_SECTORS, 4096, 1 }, { UINT64_MAX & ~7, 4096, 1 },
        { (UINT64_MAX >> 9) + 1, 4096, 1 }, { 0, 0, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmphex(request(VIRTIO_BLK_T_IN, rows[i].sector,
                                rows[i].bytes, true), ==, rows[i].status);
        if (rows[i].status) {
            g_assert_cmphex(request(VIRTIO_BLK_T_OUT, rows[i].sector,
                                    rows[i].bytes, false), ==, 1);
        }
    }
    close_disk();
}

/* Several in one kick; those that follow each other are made one. */
static void test_merging(void)
{
    open_disk(NULL);
    for (unsigned i = 0; i < 8; i++) {
        add_request(i, VIRTIO_BLK_T_IN, 10 + 2 * i, 1024, true, i & 1);
    }
    add_request(8, VIRTIO_BLK_T_IN, 100, 1024, true, false);
    vd_kick(d, 0);
    for (unsigned i = 0; i < 9; i++) {
        vd_wait(d, 0, NULL);
    }
    g_assert_cmpuint(fake.n_reads, ==, 2);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_true(is_disk(DATA + i * SLOT, 10 + 2 * i, 1024));
        g_assert_cmphex(pc_load(STATUS + i * SLOT, 1), ==, 0);
    }
    g_assert_true(is_disk(DATA + 8 * SLOT, 100, 1024));
    /* A failure is each one's. */
    fake.error = EIO;
    for (unsigned i = 0; i < 3; i++) {
        add_request(i, VIRTIO_BLK_T_IN, 10 + 2 * i, 1024, true, false);
    }
    vd_kick(d, 0);
    for (unsigned i = 0; i < 3; i++) {
        vd_wait(d, 0, NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(pc_load(STATUS + i * SLOT, 1), ==,
                        VIRTIO_BLK_S_IOERR);
    }
    close_disk();
    open_disk("request-merging=off");
    for (unsigned i = 0; i < 4; i++) {
        add_request(i, VIRTIO_BLK_T_IN, 10 + 2 * i, 1024, true, false);
    }
    vd_kick(d, 0);
    for (unsigned i = 0; i < 4; i++) {
        vd_wait(d, 0, NULL);
    }
    g_assert_cmpuint(fake.n_reads, ==, 4);
    close_disk();
}

/* --- the other requests -------------------------------------------------------------------- */

static uint8_t erase(uint32_t type, uint64_t sector, uint32_t n,
                     uint32_t flags, unsigned bytes)
{
    pc_store(DATA, 8, sector);
    pc_store(DATA + 8, 4, n);
    pc_store(DATA + 12, 4, flags);
    return request(type, 0, bytes, false);
}

static void test_erase(void)
{
    open_disk(NULL);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 4, 0, 16), ==, 0);
    g_assert_false(fake.may_unmap);
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 299, 6 * 512, true), ==, 0);
    g_assert_true(is_disk(DATA, 299, 512));
    g_assert_true(is_disk(DATA + 5 * 512, 304, 512));
    for (unsigned i = 512; i < 5 * 512; i++) {
        g_assert_cmphex(pc_load(DATA + i, 1), ==, 0);
    }
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 4, 1, 16), ==, 0);
    g_assert_true(fake.may_unmap);
    g_assert_cmphex(erase(VIRTIO_BLK_T_DISCARD, 400, 8, 0, 16), ==, 0);
    g_assert_cmphex(erase(VIRTIO_BLK_T_DISCARD, 400, 8, 1, 16), ==,
                    VIRTIO_BLK_S_UNSUPP);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 4, 2, 16), ==,
                    VIRTIO_BLK_S_UNSUPP);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 4, 0, 32), ==,
                    VIRTIO_BLK_S_UNSUPP);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 4, 0, 8), ==,
                    VIRTIO_BLK_S_UNSUPP);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, DISK_SECTORS - 2, 3, 0,
                          16), ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmphex(erase(VIRTIO_BLK_T_DISCARD, UINT64_MAX, 1, 0, 16), ==,
                    VIRTIO_BLK_S_IOERR);
    close_disk();
    open_disk("discard=off,max-write-zeroes-sectors=4");
    g_assert_cmphex(erase(VIRTIO_BLK_T_DISCARD, 400, 8, 0, 16), ==,
                    VIRTIO_BLK_S_UNSUPP);
    g_assert_cmphex(erase(VIRTIO_BLK_T_WRITE_ZEROES, 300, 5, 0, 16), ==,
                    VIRTIO_BLK_S_IOERR);
    close_disk();
}

static void test_id(void)
{
    open_disk("serial=a-serial-number-of-30-letters");
    memset(&fake, 0, sizeof(fake));
    g_assert_cmphex(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), ==, 0);
    g_assert_cmphex(pc_load(DATA, 8), ==, GUINT64_FROM_LE(
                        *(const uint64_t *)"a-serial"));
    g_assert_cmphex(pc_load(DATA + 19, 1), ==, '3');
    close_disk();
}

static void test_others(void)
{
    static const uint32_t unknown[] = { 2, 3, 7, 9, 12, 99, 0x7fffffff };

    open_disk(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(unknown); i++) {
        g_assert_cmphex(request(unknown[i], 0, 512, false), ==,
                        VIRTIO_BLK_S_UNSUPP);
        g_assert_cmphex(request(unknown[i], 0, 0, false), ==,
                        VIRTIO_BLK_S_UNSUPP);
    }
    g_assert_cmphex(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), ==, 0);
    fake.error = EIO;
    g_assert_cmphex(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), ==,
                    VIRTIO_BLK_S_IOERR);
    close_disk();
}

/* --- configuration ---------------------------------------------------------------------------- */

#define CONFIG(field, size) \
    vd_config(d, offsetof(struct virtio_blk_config, field), size)

static void test_config(void)
{
    open_disk("logical_block_size=512,physical_block_size=4096,"
              "min_io_size=8192,opt_io_size=65536,num-queues=3,queue-size=64,"
              "cyls=10,heads=4,secs=17,max-discard-sectors=1000,"
              "discard_granularity=8192");
    g_assert_cmpuint(CONFIG(capacity, 8), ==, DISK_SECTORS);
    g_assert_cmpuint(CONFIG(seg_max, 4), ==, 62);
    g_assert_cmpuint(CONFIG(geometry.cylinders, 2), ==, 10);
    g_assert_cmpuint(CONFIG(geometry.heads, 1), ==, 4);
    g_assert_cmpuint(CONFIG(geometry.sectors, 1), ==, 17);
    g_assert_cmpuint(CONFIG(blk_size, 4), ==, 512);
    g_assert_cmpuint(CONFIG(physical_block_exp, 1), ==, 3);
    g_assert_cmpuint(CONFIG(min_io_size, 2), ==, 16);
    g_assert_cmpuint(CONFIG(opt_io_size, 4), ==, 128);
    g_assert_cmpuint(CONFIG(num_queues, 2), ==, 3);
    g_assert_cmpuint(CONFIG(max_discard_sectors, 4), ==, 1000);
    g_assert_cmpuint(CONFIG(max_discard_seg, 4), ==, 1);
    g_assert_cmpuint(CONFIG(discard_sector_alignment, 4), ==, 16);
    g_assert_cmpuint(CONFIG(max_write_zeroes_sectors, 4), ==, 4194303);
    /* Beyond its end, and across it. */
    g_assert_cmpuint(vd_config(d, 60, 4), ==, 0);
    close_disk();
}

static void test_write_cache(void)
{
    unsigned wce = offsetof(struct virtio_blk_config, wce);

    open_disk(NULL);
    g_assert_cmpuint(vd_config(d, wce, 1), ==, 1);
    vd_set_config(d, wce, 1, 0);
    g_assert_cmpuint(vd_config(d, wce, 1), ==, 0);
    g_assert_false(blk_write_cache(blk));
    vd_start(d, UINT64_MAX, 1, 0, false);
    g_assert_true(blk_write_cache(blk));        /* a reset restores it */
    /* A driver that can neither flush nor switch gets what it can bear. */
    vd_start(d, 0, 1, 0, false);
    g_assert_false(blk_write_cache(blk));
    vd_set_config(d, wce, 1, 1);
    g_assert_false(blk_write_cache(blk));
    vd_start(d, BIT64(VIRTIO_BLK_F_FLUSH), 1, 0, false);
    g_assert_true(blk_write_cache(blk));
    close_disk();
    g_assert_true(blk_write_cache(blk));
    open_disk("config-wce=off,write-cache=off");
    g_assert_false(vd_offered(d) & (BIT64(VIRTIO_BLK_F_FLUSH)
                                    | BIT64(VIRTIO_BLK_F_CONFIG_WCE)));
    close_disk();
    blk_set_write_cache(blk, true);
}

/* --- errors that wait ----------------------------------------------------------------------------- */

static unsigned n_stops;

static void on_stop(BlockBackend *b, bool is_read, int error)
{
    n_stops++;
}

static void run_for_a_while(void)
{
    for (int i = 0; i < 50; i++) {
        vd_run();
        g_usleep(200);
    }
}

static void stop_with_three(void)
{
    uint16_t id;
    uint32_t bytes;

    n_stops = 0;
    fake.error = ENOSPC;
    for (unsigned i = 0; i < 3; i++) {
        fill(DATA + i * SLOT, 1024, i + 40);
        add_request(i, VIRTIO_BLK_T_OUT, 500 + 10 * i, 1024, false, i == 1);
    }
    vd_kick(d, 0);
    run_for_a_while();
    g_assert_cmpuint(n_stops, ==, 3);
    g_assert_false(vd_used(d, 0, &id, &bytes));
    fake.error = 0;
}

static void go_on(void)
{
    machine_set_state(pc->m, RUN_STATE_IO_ERROR);
    machine_set_state(pc->m, RUN_STATE_RUNNING);
}

static void check_three(void)
{
    for (unsigned i = 0; i < 3; i++) {
        vd_wait(d, 0, NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(pc_load(STATUS + i * SLOT, 1), ==, 0);
        g_assert_cmphex(request(VIRTIO_BLK_T_IN, 500 + 10 * i, 1024, true),
                        ==, 0);
        g_assert_true(has_fill(DATA, 1024, i + 40));
    }
}

static void test_stop(void)
{
    blk_stop_machine = on_stop;
    open_disk("werror=stop,rerror=stop");
    stop_with_three();
    go_on();
    check_three();
    /* Through save and load. */
    stop_with_three();
    pc_reload(d->dev);
    go_on();
    check_three();
    /* A reset forgets them. */
    stop_with_three();
    vd_start(d, UINT64_MAX, 1, 0, true);
    go_on();
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 3, 512, true), ==, 0);
    close_disk();
    open_disk("werror=ignore,rerror=report");
    fake.error = EIO;
    g_assert_cmphex(request(VIRTIO_BLK_T_OUT, 500, 512, false), ==, 0);
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 500, 512, true), ==,
                    VIRTIO_BLK_S_IOERR);
    close_disk();
    blk_set_on_error(blk, BLK_ON_ERROR_AUTO, BLK_ON_ERROR_AUTO);
    blk_stop_machine = NULL;
}

/* --- resets and pauses with requests in flight ------------------------------------------------------ */

static void add_many(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        add_request(i, VIRTIO_BLK_T_IN, 10 + 20 * i, 4096, true, i & 1);
    }
    vd_kick(d, 0);
}

static void test_reset_in_flight(void)
{
    open_disk(NULL);
    for (unsigned i = 0; i < 20; i++) {
        add_many(16);
        vd_start(d, UINT64_MAX, 1, 0, true);
        g_assert_cmphex(request(VIRTIO_BLK_T_IN, i, 512, true), ==, 0);
        g_assert_true(is_disk(DATA, i, 512));
        add_many(16);
        device_reset(d->dev);
        pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_0, VD_LEGACY_PORT, 4);
        pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_1, VD_MSIX_GPA, 4);
        pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_4, VD_MODERN_GPA, 4);
        pc_conf_write(pc, d->devfn, PCI_COMMAND, 7, 2);
        vd_start(d, UINT64_MAX, 1, 0, true);
    }
    add_many(16);
    close_disk();
}

static void test_save_in_flight(void)
{
    open_disk(NULL);
    for (unsigned i = 0; i < 10; i++) {
        add_many(16);
        pc_reload(d->dev);
        for (unsigned j = 0; j < 16; j++) {
            vd_wait(d, 0, NULL);
        }
        g_assert_true(is_disk(DATA + 15 * SLOT, 310, 4096));
    }
    close_disk();
}

/* Nothing happens while the machine stands still. */
static void test_pause(void)
{
    uint16_t id;
    uint32_t bytes;

    open_disk(NULL);
    machine_set_state(pc->m, RUN_STATE_PAUSED);
    add_many(4);
    run_for_a_while();
    g_assert_false(vd_used(d, 0, &id, &bytes));
    machine_set_state(pc->m, RUN_STATE_RUNNING);
    for (unsigned i = 0; i < 4; i++) {
        vd_wait(d, 0, NULL);
    }
    close_disk();
}

/* --- iothread ------------------------------------------------------------------------------------------- */

static void test_iothread(void)
{
    open_disk("iothread=io,num-queues=4");
    g_assert_true(blk_loop(blk) != loop_main());
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 3, 8192, true), ==, 0);
    g_assert_true(is_disk(DATA, 3, 8192));
    for (unsigned i = 0; i < 20; i++) {
        add_many(16);
        for (unsigned j = 0; j < 16; j++) {
            vd_wait(d, 0, NULL);
        }
        g_assert_true(is_disk(DATA + 7 * SLOT, 150, 4096));
        add_many(16);
        vd_start(d, UINT64_MAX, 1, 0, i & 1);
    }
    for (unsigned i = 0; i < 10; i++) {
        add_many(16);           /* the kick may be on its way still */
        machine_set_state(pc->m, RUN_STATE_PAUSED);
        pc_reload(d->dev);
        machine_set_state(pc->m, RUN_STATE_RUNNING);
        for (unsigned j = 0; j < 16; j++) {
            vd_wait(d, 0, NULL);
        }
    }
    vd_start(d, UINT64_MAX, 1, 0, false);       /* INTx, by the main loop */
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 3, 512, true), ==, 0);
    run_for_a_while();
    g_assert_cmpint(vd_intx(d), ==, 1);
    machine_set_state(pc->m, RUN_STATE_PAUSED);
    machine_set_state(pc->m, RUN_STATE_RUNNING);
    g_assert_cmphex(request(VIRTIO_BLK_T_IN, 3, 512, true), ==, 0);
    close_disk();
    g_assert_true(blk_loop(blk) == loop_main());
}

/* --- main -------------------------------------------------------------------------------------------------- */

/* In place: the device has it open. */
static void make_image(const char *path)
{
    g_autofree char *bytes = g_malloc(DISK_SECTORS * 512);
    int fd = g_open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    for (uint64_t i = 0; i < DISK_SECTORS * 512; i++) {
        bytes[i] = disk_byte(i);
    }
    g_assert_cmpint(pwrite(fd, bytes, DISK_SECTORS * 512, 0), ==,
                    DISK_SECTORS * 512);
    close(fd);
}

static void add_parts(const char *image)
{
    g_autofree char *text = g_strdup_printf(
        "if=none,id=d,format=raw,discard=unmap,file=%s", image);
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) drive = opt_parse_keyval(text, NULL, NULL, &err);
    g_autoptr(Opt) io = opt_parse_keyval("qom-type=iothread,id=io", NULL, NULL,
                                         &err);

    blk = drive_new(drive, BLOCK_IF_IDE, false, &err);
    g_assert_no_error(err);
    user_object_add(io, &err);
    g_assert_no_error(err);
}

static void run(const void *data)
{
    make_image(file);
    ((void (*)(void))(uintptr_t)data)();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        { "read", test_read }, { "write", test_write },
        { "layouts", test_layouts }, { "limits", test_limits },
        { "merging", test_merging }, { "erase", test_erase },
        { "id", test_id }, { "others", test_others },
        { "config", test_config }, { "write-cache", test_write_cache },
        { "stop", test_stop }, { "reset-in-flight", test_reset_in_flight },
        { "save-in-flight", test_save_in_flight }, { "pause", test_pause },
        { "iothread", test_iothread },
    };
    static const char *const names[] = { "legacy", "modern", "packed" };
    g_autofree char *dir = g_dir_make_tmp("rhea-virtio-XXXXXX", NULL);
    int ret;

    mode = argc > 1 && g_str_equal(argv[argc - 1], "legacy") ? VD_LEGACY
           : argc > 1 && g_str_equal(argv[argc - 1], "packed") ? VD_PACKED
           : VD_MODERN;
    pc = pc_test_init(&argc, &argv, 16 * MiB);
    file = g_build_filename(dir, "disk.img", NULL);
    make_image(file);
    add_parts(file);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/virtio-blk/%s/%s",
                                                names[mode], tests[i].name);

        g_test_add_data_func(path, (void *)(uintptr_t)tests[i].fn, run);
    }
    ret = g_test_run();
    g_unlink(file);
    g_rmdir(dir);
    return ret;
}
