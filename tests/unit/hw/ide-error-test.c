/*
 * IDE when the image fails: what werror= and rerror= do with each kind of
 * request; stopped ones are kept, saved, loaded and tried again by `cont`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "block/drive.h"
#include "hw/ide/piix-ide.h"
#include "hw/pci/pci.h"
#include "pctest.h"

enum { CMD = 0x1f0, CTL = 0x3f6, BM = 0xc000, PRDT = 0x1000, DATA = 0x10000 };
enum { SECTORS = 4000 };
#define IDE_DEVFN PCI_DEVFN_OF(1, 1)

static PcTest *pc;
static Device *ide;
static BlockBackend *hd;
static char *file;
static struct { unsigned n; bool is_read; int error; } stopped;

static uint8_t byte_at(uint64_t at)
{
    return at / 512 * 11 + at % 512 * 3 + 5;
}

static void on_stop(BlockBackend *blk, bool is_read, int error)
{
    stopped.n++;
    stopped.is_read = is_read;
    stopped.error = error;
    machine_set_state(pc->m, RUN_STATE_IO_ERROR);
}

/* Until it is done, or stands still for an error. */
static void settle(void)
{
    while (pc_in(CTL, 1) & IDE_BSY && machine_running(pc->m)) {
        blk_drain(hd);
    }
}

static void go_on(void)
{
    machine_set_state(pc->m, RUN_STATE_RUNNING);
    settle();
}

static void command(uint8_t code, uint32_t lba, uint8_t count)
{
    pc_out(CMD + IDE_DEVICE, 1, IDE_LBA);
    pc_out(CMD + IDE_COUNT, 1, count);
    pc_out(CMD + IDE_LBA_LOW, 1, lba & 0xff);
    pc_out(CMD + IDE_LBA_MID, 1, lba >> 8 & 0xff);
    pc_out(CMD + IDE_LBA_HIGH, 1, lba >> 16 & 0xff);
    pc_out(CMD + IDE_COMMAND, 1, code);
    settle();
}

/* The disk's image from now on: these rules in front of the file. */
static void use_rules(const char *rules)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *line = g_strdup_printf(
        "driver=raw,discard=unmap,file.driver=blkdebug,"
        "file.image.driver=file,file.image.filename=%s%s%s", file,
        *rules ? "," : "", rules);
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, &err);
    BlockNode *n;

    g_assert_no_error(err);
    blk_eject(hd);
    n = block_open(dict, &err);
    g_assert_no_error(err);
    blk_insert(hd, n, &err);
    g_assert_no_error(err);
    node_unref(n);
}

#define RULE(n, what) "file.inject-error." #n "." what

static void begin(const char *rules, BlkOnError on_read, BlkOnError on_write)
{
    machine_set_state(pc->m, RUN_STATE_RUNNING);
    use_rules(rules);
    blk_set_on_error(hd, on_read, on_write);
    device_reset(ide);
    pc_conf_write(pc, IDE_DEVFN, 0x20, BM, 4);
    pc_conf_write(pc, IDE_DEVFN, PCI_COMMAND,
                  PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
    pc_in(CMD + IDE_STATUS, 1);
    stopped.n = 0;
}

static void check_stopped(bool is_read, int error)
{
    g_assert_cmpuint(stopped.n, ==, 1);
    g_assert_cmpint(stopped.is_read, ==, is_read);
    g_assert_cmpint(stopped.error, ==, error);
    g_assert_cmphex(pc_in(CTL, 1) & IDE_BSY, ==, IDE_BSY);
    stopped.n = 0;
}

static void check_good(void)
{
    g_assert_cmpuint(stopped.n, ==, 0);
    g_assert_cmphex(pc_in(CTL, 1), ==, IDE_DRDY | IDE_DSC);
}

static void check_failed(uint8_t error)
{
    g_assert_cmphex(pc_in(CTL, 1), ==, IDE_DRDY | IDE_DSC | IDE_ERR);
    g_assert_cmphex(pc_in(CMD + IDE_ERROR, 1), ==, error);
    pc_in(CMD + IDE_STATUS, 1);
}

static void read_sector(uint32_t lba)
{
    g_assert_cmphex(pc_in(CTL, 1), ==, IDE_DRDY | IDE_DSC | IDE_DRQ);
    for (unsigned i = 0; i < 512; i += 2) {
        uint64_t at = lba * 512 + i;

        g_assert_cmphex(pc_in(CMD, 2), ==,
                        byte_at(at) | byte_at(at + 1) << 8);
    }
    settle();
}

static void write_sector(uint32_t lba)
{
    for (unsigned i = 0; i < 512; i += 2) {
        uint64_t at = lba * 512 + i;

        pc_out(CMD, 2, byte_at(at) | byte_at(at + 1) << 8);
    }
    settle();
}

static void check_file(uint32_t lba, bool written)
{
    uint8_t buf[512];

    g_assert_cmpint(blk_read_buf(hd, lba * 512, buf, 512), ==, 0);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmphex(buf[i], ==, written ? byte_at(lba * 512 + i) : 0);
    }
}

/* Behind the drive's back. */
static void wipe(uint32_t lba)
{
    static const uint8_t zeroes[512];
    int fd = g_open(file, O_WRONLY);

    g_assert_cmpint(pwrite(fd, zeroes, 512, lba * 512), ==, 512);
    close(fd);
}

static void start_dma(bool to_memory, uint32_t bytes)
{
    pc_store(PRDT, 4, DATA);
    pc_store(PRDT + 4, 4, (bytes & 0xffff) | 1u << 31);
    pc_out(BM + 4, 4, PRDT);
    pc_out(BM + 2, 1, 6);
    pc_out(BM, 1, to_memory ? 9 : 1);
    settle();
}

#define ONCE_AT(n, type, sector, error)                                     \
    RULE(n, "event=none,") RULE(n, "iotype=" type ",")                      \
    RULE(n, "once=on,") RULE(n, "sector=" sector ",") RULE(n, "errno=" error)

/* --- stop -------------------------------------------------------------------------------- */

static void test_pio_read(void)
{
    begin(ONCE_AT(0, "read", "101", "5"), BLK_ON_ERROR_STOP,
          BLK_ON_ERROR_STOP);
    command(0x20, 100, 3);
    /* Three at once fail; one by one, the first two come. */
    for (unsigned i = 0; i < 3; i++) {
        read_sector(100 + i);
    }
    check_good();
    begin(ONCE_AT(0, "read", "101", "5") "," ONCE_AT(1, "read", "101", "5"),
          BLK_ON_ERROR_STOP, BLK_ON_ERROR_STOP);
    command(0x20, 100, 3);
    read_sector(100);
    check_stopped(true, 5);
    go_on();
    read_sector(101);
    read_sector(102);
    check_good();
}

static void test_pio_write(void)
{
    begin(ONCE_AT(0, "write", "201", "28") "," ONCE_AT(1, "write", "201",
                                                       "28"),
          BLK_ON_ERROR_REPORT, BLK_ON_ERROR_ENOSPC);
    wipe(200);
    command(0x30, 200, 2);
    write_sector(200);
    write_sector(201);
    check_stopped(false, 28);
    go_on();
    check_stopped(false, 28);           /* still no space */
    go_on();
    check_good();
    check_file(200, true);
    check_file(201, true);
    /* Other errors are the guest's. */
    begin(ONCE_AT(0, "write", "201", "5"), BLK_ON_ERROR_REPORT,
          BLK_ON_ERROR_ENOSPC);
    command(0x30, 201, 1);
    write_sector(201);
    g_assert_cmphex(pc_in(CTL, 1) & IDE_ERR, ==, IDE_ERR);
    g_assert_cmpuint(stopped.n, ==, 0);
}

static void test_dma(void)
{
    begin(ONCE_AT(0, "read", "300", "5") "," ONCE_AT(1, "write", "310", "5"),
          BLK_ON_ERROR_STOP, BLK_ON_ERROR_STOP);
    command(0xc8, 300, 8);
    start_dma(true, 4096);
    check_stopped(true, 5);
    g_assert_cmphex(pc_in(BM + 2, 1) & 5, ==, 1);       /* active, no IRQ */
    go_on();
    check_good();
    for (unsigned i = 0; i < 4096; i++) {
        g_assert_cmphex(pc_load(DATA + i, 1), ==, byte_at(300 * 512 + i));
    }
    pc_out(BM, 1, 0);
    wipe(310);
    for (unsigned i = 0; i < 512; i++) {
        pc_store(DATA + i, 1, byte_at(310 * 512 + i));
    }
    command(0xca, 310, 1);
    start_dma(false, 512);
    check_stopped(false, 5);
    go_on();
    check_good();
    check_file(310, true);
    pc_out(BM, 1, 0);
}

static void test_flush_verify(void)
{
    begin(RULE(0, "event=none,") RULE(0, "iotype=flush,") RULE(0, "once=on")
          "," ONCE_AT(1, "read", "50", "5"), BLK_ON_ERROR_STOP,
          BLK_ON_ERROR_STOP);
    blk_write_buf(hd, 900 * 512, "x", 1);       /* something to flush */
    command(0xe7, 0, 0);
    check_stopped(false, 5);
    go_on();
    check_good();
    command(0x40, 48, 4);
    check_stopped(true, 5);
    go_on();
    check_good();
}

/* Saved while it waits; the machine that loads it finishes it. */
static void test_saved(void)
{
    IdeDrive *s = piix_ide_channel(ide, 0)->drives[0];
    GByteArray *saved[2] = { g_byte_array_new(), g_byte_array_new() };
    Device *devs[2] = { ide, &s->dev };

    begin(ONCE_AT(0, "write", "401", "28"), BLK_ON_ERROR_STOP,
          BLK_ON_ERROR_STOP);
    wipe(401);
    command(0x30, 401, 1);
    write_sector(401);
    check_stopped(false, 28);
    for (unsigned i = 0; i < 2; i++) {
        device_save(devs[i], saved[i]);
    }
    device_reset(ide);
    g_assert_cmphex(s->status & IDE_BSY, ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) err = NULL;
        const uint8_t *at = saved[i]->data;
        size_t left = saved[i]->len;

        device_load(devs[i], &at, &left, &err);
        g_assert_no_error(err);
        device_update(devs[i]);
        g_byte_array_unref(saved[i]);
    }
    check_file(401, false);
    go_on();
    check_good();
    check_file(401, true);
}

/* A reset forgets what was stopped. */
static void test_reset(void)
{
    begin(ONCE_AT(0, "write", "501", "28"), BLK_ON_ERROR_STOP,
          BLK_ON_ERROR_STOP);
    wipe(501);
    command(0x30, 501, 1);
    write_sector(501);
    check_stopped(false, 28);
    pc_out(CTL, 1, IDE_SRST);
    pc_out(CTL, 1, 0);
    go_on();
    check_good();
    check_file(501, false);
}

/* --- report, ignore ------------------------------------------------------------------------ */

static void test_report(void)
{
    begin(RULE(0, "event=none,") RULE(0, "sector=601"), BLK_ON_ERROR_REPORT,
          BLK_ON_ERROR_REPORT);
    command(0x20, 600, 2);
    read_sector(600);
    check_failed(IDE_UNC);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 601 & 0xff);
    command(0xc8, 600, 2);
    start_dma(true, 1024);
    g_assert_cmphex(pc_in(CTL, 1) & (IDE_ERR | IDE_BSY), ==, IDE_ERR);
    pc_out(BM, 1, 0);
    g_assert_cmpuint(stopped.n, ==, 0);
}

static void test_ignore(void)
{
    begin(RULE(0, "event=none,") RULE(0, "sector=701"), BLK_ON_ERROR_IGNORE,
          BLK_ON_ERROR_IGNORE);
    command(0x40, 700, 4);
    check_good();
    command(0x30, 701, 1);
    write_sector(701);
    check_good();
    command(0xca, 701, 1);
    start_dma(false, 512);
    check_good();
    pc_out(BM, 1, 0);
}

static void make_file(const char *dir)
{
    g_autofree char *data = g_malloc(SECTORS * 512);

    file = g_build_filename(dir, "hd.img", NULL);
    for (size_t i = 0; i < SECTORS * 512; i++) {
        data[i] = byte_at(i);
    }
    g_assert_true(g_file_set_contents(file, data, SECTORS * 512, NULL));
}

static void make_drive(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *line = g_strdup_printf(
        "file=%s,format=raw,if=none,id=hd", file);
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);
    Device *dev = device_new(type_find("ide-hd"));

    hd = drive_new(dict, BLOCK_IF_NONE, false, &err);
    g_assert_no_error(err);
    prop_set(&dev->obj, "drive", "hd", &err);
    device_realize(dev, &piix_ide_channel(ide, 0)->bus, &err);
    g_assert_no_error(err);
    blk_stop_machine = on_stop;
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-ide-XXXXXX", NULL);
    int ret;

    pc = pc_test_init(&argc, &argv, 16 * MiB);
    make_file(dir);
    ide = pc_add_pci(pc, "piix3-ide", "1.1", NULL);
    make_drive();
    g_test_add_func("/ide-error/pio-read", test_pio_read);
    g_test_add_func("/ide-error/pio-write", test_pio_write);
    g_test_add_func("/ide-error/dma", test_dma);
    g_test_add_func("/ide-error/flush-verify", test_flush_verify);
    g_test_add_func("/ide-error/saved", test_saved);
    g_test_add_func("/ide-error/reset", test_reset);
    g_test_add_func("/ide-error/report", test_report);
    g_test_add_func("/ide-error/ignore", test_ignore);
    ret = g_test_run();
    g_unlink(file);
    g_rmdir(dir);
    g_free(file);
    return ret;
}
