/*
 * PIIX3 IDE with a disk and a CD: registers, commands, PIO, DMA, packets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "block/drive.h"
#include "hw/ide/piix-ide.h"
#include "hw/pci/pci.h"
#include "pctest.h"

enum { CMD = 0x1f0, CTL = 0x3f6, CMD1 = 0x170, CTL1 = 0x376, BM = 0xc000 };
enum { DISK_SECTORS = 40000, CD_BLOCKS = 300, PRDT = 0x1000, DATA = 0x10000 };
#define IDE_DEVFN PCI_DEVFN_OF(1, 1)

static PcTest *pc;
static Device *ide;
static struct { int level; unsigned n; } irq[2];
static BlockBackend *hd, *cd;
static char *hd_file, *cd_file;

static uint8_t hd_byte(uint64_t at)
{
    return at / 512 * 11 + at % 512 * 3 + 5;
}

static uint8_t cd_byte(uint64_t at)
{
    return at / 2048 * 17 + at % 2048 * 5 + 1;
}

/* --- helpers ------------------------------------------------------------------------ */

static void on_irq(void *opaque, int n, int level)
{
    irq[n].n += level && !irq[n].level;
    irq[n].level = level;
}

/* Until the image has answered. */
static void settle(void)
{
    while (pc_in(CTL, 1) & IDE_BSY || pc_in(CTL1, 1) & IDE_BSY) {
        blk_drain(hd);
        blk_drain(cd);
    }
}

static void reset_all(void)
{
    device_reset(ide);
    pc_conf_write(pc, IDE_DEVFN, 0x20, BM, 4);
    pc_conf_write(pc, IDE_DEVFN, PCI_COMMAND,
                  PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
    pc_conf_write(pc, IDE_DEVFN, 0x40, 0x80008000, 4);
    pc_out(CMD + IDE_DEVICE, 1, IDE_LBA);
    pc_in(CMD + IDE_STATUS, 1);
    irq[0].n = irq[1].n = 0;
}

static void command28(uint8_t command, uint32_t lba, uint8_t count)
{
    pc_out(CMD + IDE_DEVICE, 1, IDE_LBA | (lba >> 24 & 15));
    pc_out(CMD + IDE_COUNT, 1, count);
    pc_out(CMD + IDE_LBA_LOW, 1, lba & 0xff);
    pc_out(CMD + IDE_LBA_MID, 1, lba >> 8 & 0xff);
    pc_out(CMD + IDE_LBA_HIGH, 1, lba >> 16 & 0xff);
    pc_out(CMD + IDE_COMMAND, 1, command);
    settle();
}

static void command48(uint8_t command, uint64_t lba, uint16_t count)
{
    pc_out(CMD + IDE_DEVICE, 1, IDE_LBA);
    pc_out(CMD + IDE_COUNT, 1, count >> 8);
    pc_out(CMD + IDE_LBA_LOW, 1, lba >> 24 & 0xff);
    pc_out(CMD + IDE_LBA_MID, 1, lba >> 32 & 0xff);
    pc_out(CMD + IDE_LBA_HIGH, 1, lba >> 40 & 0xff);
    pc_out(CMD + IDE_COUNT, 1, count & 0xff);
    pc_out(CMD + IDE_LBA_LOW, 1, lba & 0xff);
    pc_out(CMD + IDE_LBA_MID, 1, lba >> 8 & 0xff);
    pc_out(CMD + IDE_LBA_HIGH, 1, lba >> 16 & 0xff);
    pc_out(CMD + IDE_COMMAND, 1, command);
    settle();
}

static void check_status(uint8_t want)
{
    g_assert_cmphex(pc_in(CTL, 1), ==, want);
}

static void check_good(void)
{
    check_status(IDE_DRDY | IDE_DSC);
}

static void check_failed(uint8_t error)
{
    check_status(IDE_DRDY | IDE_DSC | IDE_ERR);
    g_assert_cmphex(pc_in(CMD + IDE_ERROR, 1), ==, error);
    pc_in(CMD + IDE_STATUS, 1);
}

static void read_words(uint16_t port, uint16_t *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        to[i] = pc_in(port, 2);
    }
}

static void identify(uint16_t words[256])
{
    command28(0xec, 0, 0);
    check_status(IDE_DRDY | IDE_DSC | IDE_DRQ);
    read_words(CMD, words, 256);
    check_good();
}

/* --- registers -------------------------------------------------------------------------- */

static void test_signature(void)
{
    pc_out(CTL, 1, IDE_SRST);
    g_assert_cmphex(pc_in(CTL, 1), ==, IDE_BSY);
    pc_out(CTL, 1, 0);
    check_good();
    g_assert_cmphex(pc_in(CMD + IDE_ERROR, 1), ==, 1);
    g_assert_cmphex(pc_in(CMD + IDE_COUNT, 1), ==, 1);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 1);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_MID, 1), ==, 0);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_HIGH, 1), ==, 0);
    g_assert_cmphex(pc_in(CMD1 + IDE_LBA_MID, 1), ==, 0x14);
    g_assert_cmphex(pc_in(CMD1 + IDE_LBA_HIGH, 1), ==, 0xeb);
    g_assert_cmphex(pc_in(CMD1 + IDE_STATUS, 1), ==, 0);
}

static void test_hob(void)
{
    pc_out(CMD + IDE_LBA_LOW, 1, 0x12);
    pc_out(CMD + IDE_LBA_LOW, 1, 0x34);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 0x34);
    pc_out(CTL, 1, IDE_HOB);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 0x12);
    pc_out(CMD + IDE_LBA_MID, 1, 0);    /* a write clears HOB */
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 0x34);
}

static void test_missing_slave(void)
{
    pc_out(CMD + IDE_DEVICE, 1, IDE_DEV);
    g_assert_cmphex(pc_in(CMD + IDE_STATUS, 1), ==, 0);
    pc_out(CMD + IDE_COMMAND, 1, 0xec);
    g_assert_cmphex(pc_in(CMD + IDE_STATUS, 1), ==, 0);
    g_assert_cmpuint(irq[0].n, ==, 0);
}

static void test_interrupt(void)
{
    command28(0xe7, 0, 0);
    g_assert_cmpint(irq[0].level, ==, 1);
    pc_in(CTL, 1);                      /* the alternate one changes nothing */
    g_assert_cmpint(irq[0].level, ==, 1);
    g_assert_cmphex(pc_in(BM + 2, 1) & 4, ==, 4);
    pc_in(CMD + IDE_STATUS, 1);
    g_assert_cmpint(irq[0].level, ==, 0);
    pc_out(CTL, 1, IDE_NIEN);
    command28(0xe7, 0, 0);
    g_assert_cmpint(irq[0].level, ==, 0);
    pc_out(CTL, 1, 0);
    g_assert_cmpint(irq[0].level, ==, 1);
}

static void test_decode(void)
{
    pc_conf_write(pc, IDE_DEVFN, 0x40, 0, 2);
    check_good();                       /* IDETIM: OVMF leaves it clear */
    pc_conf_write(pc, IDE_DEVFN, PCI_COMMAND, 0, 2);
    g_assert_cmphex(pc_in(CTL, 1), ==, 0xff);
    reset_all();
}

/* --- commands without data ------------------------------------------------------------------- */

static void test_identify(void)
{
    uint16_t w[256];
    uint8_t sum = 0;

    identify(w);
    g_assert_cmphex(w[0], ==, 0x0040);
    g_assert_cmpuint(w[1], ==, DISK_SECTORS / 16 / 63);
    g_assert_cmpuint(w[3], ==, 16);
    g_assert_cmpuint(w[6], ==, 63);
    g_assert_cmphex(w[27], ==, 'Q' << 8 | 'E');
    g_assert_cmpuint(w[60] | w[61] << 16, ==, DISK_SECTORS);
    g_assert_cmpuint(w[100] | w[101] << 16, ==, DISK_SECTORS);
    g_assert_cmphex(w[83] & 0x2400, ==, 0x2400);    /* 48-bit, flushes */
    for (unsigned i = 0; i < 256; i++) {
        sum += (w[i] & 0xff) + (w[i] >> 8);
    }
    g_assert_cmphex(sum, ==, 0);
}

static void test_aborted(void)
{
    static const uint8_t not_there[] = {
        0x00, 0x08, 0x22, 0x26, 0x36, 0x51, 0x87, 0xa0, 0xa1, 0xb1, 0xc0,
        0xc7, 0xcd, 0xd1, 0xda, 0xde, 0xed, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5,
        0xf6, 0xf9, 0xff,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(not_there); i++) {
        command28(not_there[i], 0, 1);
        check_failed(IDE_ABRT);
    }
}

static void test_set_features(void)
{
    uint16_t w[256];

    pc_out(CMD + IDE_FEATURE, 1, 0x03);
    command28(0xef, 0, 0x42);           /* ultra DMA 2 */
    check_good();
    identify(w);
    g_assert_cmphex(w[88], ==, 0x043f);
    g_assert_cmphex(w[63] & 0xff00, ==, 0);
    pc_out(CMD + IDE_FEATURE, 1, 0x03);
    command28(0xef, 0, 0x46);           /* a mode that it has not */
    check_failed(IDE_ABRT);
    pc_out(CMD + IDE_FEATURE, 1, 0x82);
    command28(0xef, 0, 0);
    check_good();
    g_assert_false(blk_write_cache(hd));
    identify(w);
    g_assert_cmphex(w[85] & 0x20, ==, 0);
    pc_out(CMD + IDE_FEATURE, 1, 0x02);
    command28(0xef, 0, 0);
    g_assert_true(blk_write_cache(hd));
    pc_out(CMD + IDE_FEATURE, 1, 0x77);
    command28(0xef, 0, 0);
    check_failed(IDE_ABRT);
}

static void test_small_ones(void)
{
    command28(0x10, 0, 0);              /* RECALIBRATE */
    check_good();
    command28(0x70, DISK_SECTORS - 1, 0);
    check_good();
    command28(0x70, DISK_SECTORS, 0);
    check_failed(IDE_IDNF);
    command28(0xe5, 0, 0);              /* CHECK POWER MODE */
    g_assert_cmphex(pc_in(CMD + IDE_COUNT, 1), ==, 0xff);
    command28(0xf8, 0, 0);              /* READ NATIVE MAX */
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==,
                    (DISK_SECTORS - 1) & 0xff);
    command28(0x40, 100, 0);            /* VERIFY 256 */
    check_good();
    command28(0x40, DISK_SECTORS - 10, 20);
    check_failed(IDE_IDNF);
    command28(0x90, 0, 0);
    g_assert_cmphex(pc_in(CMD + IDE_ERROR, 1), ==, 1);
    command48(0xea, 0, 0);
    check_good();
}

static void test_smart(void)
{
    uint16_t w[256];

    pc_out(CMD + IDE_FEATURE, 1, 0xda);
    command28(0xb0, 0xc24f00, 0);       /* RETURN STATUS: good */
    check_good();
    g_assert_cmphex(pc_in(CMD + IDE_LBA_MID, 1), ==, 0x4f);
    pc_out(CMD + IDE_FEATURE, 1, 0xd0);
    command28(0xb0, 0xc24f00, 0);
    read_words(CMD, w, 256);
    g_assert_cmphex(w[0], ==, 1);
    pc_out(CMD + IDE_FEATURE, 1, 0xd0);
    command28(0xb0, 0, 0);              /* without the key */
    check_failed(IDE_ABRT);
}

/* --- PIO ------------------------------------------------------------------------------------------ */

static void check_sector(uint64_t lba)
{
    for (unsigned i = 0; i < 256; i++) {
        uint16_t got = pc_in(CMD, 2);

        g_assert_cmphex(got, ==, hd_byte(lba * 512 + 2 * i)
                                 | hd_byte(lba * 512 + 2 * i + 1) << 8);
    }
}

static void test_pio_read(void)
{
    command28(0x20, 1234, 3);
    for (unsigned i = 0; i < 3; i++) {
        check_status(IDE_DRDY | IDE_DSC | IDE_DRQ);
        g_assert_cmpuint(irq[0].n, ==, i + 1);
        pc_in(CMD + IDE_STATUS, 1);
        check_sector(1234 + i);
    }
    check_good();
    g_assert_cmpuint(irq[0].n, ==, 4);
    g_assert_cmphex(pc_in(CMD + IDE_LBA_LOW, 1), ==, 1236 & 0xff);
    command48(0x24, 77, 300);           /* more than is read ahead at once */
    for (unsigned i = 0; i < 300; i++) {
        check_sector(77 + i);
        settle();
    }
    check_good();
}

static void test_chs(void)
{
    pc_out(CMD + IDE_COUNT, 1, 1);
    pc_out(CMD + IDE_LBA_LOW, 1, 5);    /* cylinder 2, head 3, sector 5 */
    pc_out(CMD + IDE_LBA_MID, 1, 2);
    pc_out(CMD + IDE_LBA_HIGH, 1, 0);
    pc_out(CMD + IDE_DEVICE, 1, 3);
    pc_out(CMD + IDE_COMMAND, 1, 0x20);
    settle();
    check_sector((2 * 16 + 3) * 63 + 4);
    pc_out(CMD + IDE_COUNT, 1, 17);     /* INITIALIZE DEVICE PARAMETERS */
    pc_out(CMD + IDE_DEVICE, 1, 3);
    pc_out(CMD + IDE_COMMAND, 1, 0x91);
    pc_out(CMD + IDE_COUNT, 1, 1);
    pc_out(CMD + IDE_LBA_LOW, 1, 17);
    pc_out(CMD + IDE_LBA_MID, 1, 1);
    pc_out(CMD + IDE_COMMAND, 1, 0x20);
    settle();
    check_sector((1 * 4 + 3) * 17 + 16);
    pc_out(CMD + IDE_LBA_LOW, 1, 18);   /* there is no sector 18 */
    pc_out(CMD + IDE_COMMAND, 1, 0x20);
    settle();
    check_failed(IDE_IDNF);
}

static void test_multiple(void)
{
    command28(0xc6, 0, 8);
    check_good();
    command28(0xc4, 500, 20);           /* 8, 8, 4 */
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpuint(irq[0].n, ==, 2 + i / 8);
        check_sector(500 + i);
        pc_in(CMD + IDE_STATUS, 1);
    }
    check_good();
    command28(0xc6, 0, 3);
    check_failed(IDE_ABRT);
    command28(0xc6, 0, 0);
    command28(0xc4, 0, 1);
    check_failed(IDE_ABRT);
}

static void write_sectors(uint8_t command, uint64_t lba, unsigned n,
                          uint16_t word)
{
    command48(command, lba, n);
    for (unsigned i = 0; i < 256 * n; i++) {
        g_assert_cmphex(pc_in(CTL, 1) & IDE_DRQ, ==, IDE_DRQ);
        pc_out(CMD, 2, word);
        settle();
    }
    check_good();
}

static void check_image(uint64_t lba, unsigned n, uint16_t word)
{
    uint8_t buf[512];

    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(blk_read_buf(hd, (lba + i) * 512, buf, 512), ==, 0);
        g_assert_cmphex(load_le16(buf), ==, word);
        g_assert_cmphex(load_le16(buf + 510), ==, word);
    }
}

static void test_pio_write(void)
{
    write_sectors(0x34, 20000, 3, 0xbeef);
    check_image(20000, 3, 0xbeef);
    write_sectors(0x39, 20010, 20, 0xcafe);
    check_image(20010, 20, 0xcafe);
    command28(0x30, DISK_SECTORS, 1);
    check_failed(IDE_IDNF);
}

/* --- DMA -------------------------------------------------------------------------------------------- */

static void put_prd(unsigned i, uint32_t gpa, uint32_t bytes, bool last)
{
    pc_store(PRDT + 8 * i, 4, gpa);
    pc_store(PRDT + 8 * i + 4, 4, (bytes & 0xffff) | (last ? 1u << 31 : 0));
}

static void start_dma(bool to_memory)
{
    pc_out(BM + 4, 4, PRDT);
    pc_out(BM + 2, 1, 6);
    pc_out(BM, 1, to_memory ? 9 : 1);
    settle();
}

static void stop_dma(void)
{
    pc_out(BM, 1, 0);
    pc_in(CMD + IDE_STATUS, 1);
}

static void test_dma_read(void)
{
    put_prd(0, DATA, 1000, false);
    put_prd(1, DATA + 1000, 24, false);
    put_prd(2, DATA + 4096, 65536 - 1024, true);
    command28(0xc8, 3000, 128);
    g_assert_cmphex(pc_in(CTL, 1) & IDE_BSY, ==, 0);
    g_assert_cmpuint(irq[0].n, ==, 0);  /* not before it is started */
    start_dma(true);
    g_assert_cmphex(pc_in(BM + 2, 1) & 7, ==, 4);
    check_good();
    g_assert_cmphex(pc_load(DATA + 999, 1), ==, hd_byte(3000 * 512 + 999));
    g_assert_cmphex(pc_load(DATA + 1023, 1), ==, hd_byte(3000 * 512 + 1023));
    g_assert_cmphex(pc_load(DATA + 4096, 1), ==, hd_byte(3002 * 512));
    stop_dma();
}

static void test_dma_write(void)
{
    for (unsigned i = 0; i < 2048; i += 2) {
        pc_store(DATA + i, 2, 0x5a00 | i / 512);
    }
    put_prd(0, DATA, 2048, true);
    command48(0x3d, 21000, 4);          /* with FUA */
    start_dma(false);
    check_good();
    for (unsigned i = 0; i < 4; i++) {
        check_image(21000 + i, 1, 0x5a00 | i);
    }
    stop_dma();
}

static void test_dma_short_list(void)
{
    put_prd(0, DATA, 512, true);
    command28(0xc8, 0, 2);
    start_dma(true);
    g_assert_cmphex(pc_in(BM + 2, 1) & 5, ==, 0);       /* "not active" */
    g_assert_cmphex(pc_in(CTL, 1), ==, IDE_DRDY | IDE_DSC);
    g_assert_cmpuint(irq[0].n, ==, 0);
    pc_out(BM, 1, 0);
    test_dma_read();

    /* More than the command takes: "active" until it is stopped. */
    put_prd(0, DATA, 1024, true);
    command28(0xc8, 0, 1);
    start_dma(true);
    g_assert_cmphex(pc_in(BM + 2, 1) & 5, ==, 5);
    check_good();
    stop_dma();
    g_assert_cmphex(pc_in(BM + 2, 1) & 5, ==, 4);
}

static void test_dma_nowhere(void)
{
    put_prd(0, 0xf0000000, 512, true);  /* no RAM there */
    command28(0xc8, 0, 1);
    start_dma(true);
    check_good();
    stop_dma();
    pc_conf_write(pc, IDE_DEVFN, PCI_COMMAND, PCI_COMMAND_IO, 2);
    command28(0xc8, 0, 1);              /* not a bus master */
    start_dma(true);
    g_assert_cmphex(pc_in(BM + 2, 1) & 5, ==, 5);
    check_good();
    stop_dma();
}

static void put_range(uint32_t gpa, uint32_t lba, uint16_t n)
{
    pc_store(gpa, 4, lba);
    pc_store(gpa + 4, 4, (uint32_t)n << 16);
}

static void test_trim(void)
{
    for (unsigned i = 0; i < 512; i++) {
        pc_store(DATA + i, 1, 0);
    }
    put_range(DATA, 100, 8);
    put_prd(0, DATA, 512, true);
    pc_out(CMD + IDE_FEATURE, 1, 1);
    command48(0x06, 0, 1);
    start_dma(false);
    check_good();
    stop_dma();
    put_range(DATA + 8, DISK_SECTORS, 8);
    pc_out(CMD + IDE_FEATURE, 1, 1);
    command48(0x06, 0, 1);
    start_dma(false);
    check_failed(IDE_IDNF | IDE_ABRT);
    stop_dma();
}

/* --- packets --------------------------------------------------------------------------------------------- */

static unsigned packet(const uint8_t *p, uint8_t *reply, unsigned room,
                       unsigned limit)
{
    unsigned got = 0;

    pc_out(CMD1 + IDE_DEVICE, 1, 0);
    pc_out(CMD1 + IDE_FEATURE, 1, 0);
    pc_out(CMD1 + IDE_LBA_MID, 1, limit & 0xff);
    pc_out(CMD1 + IDE_LBA_HIGH, 1, limit >> 8);
    pc_out(CMD1 + IDE_COMMAND, 1, 0xa0);
    g_assert_cmphex(pc_in(CMD1 + IDE_COUNT, 1), ==, 1);
    for (unsigned i = 0; i < 12; i += 2) {
        pc_out(CMD1, 2, load_le16(p + i));
    }
    settle();
    while (pc_in(CTL1, 1) & IDE_DRQ) {
        unsigned n = pc_in(CMD1 + IDE_LBA_MID, 1)
                     | pc_in(CMD1 + IDE_LBA_HIGH, 1) << 8;

        g_assert_cmphex(pc_in(CMD1 + IDE_COUNT, 1), ==, 2);
        g_assert_cmpuint(n, <=, limit);
        g_assert_cmpuint(got + n, <=, room);
        for (unsigned i = 0; i < n; i += 2) {
            store_le16(reply + got + i, pc_in(CMD1, 2));
        }
        got += n;
        settle();
    }
    g_assert_cmphex(pc_in(CMD1 + IDE_COUNT, 1), ==, 3);
    return got;
}

static uint8_t sense(void)
{
    static const uint8_t p[12] = { 0x03, 0, 0, 0, 18 };
    uint8_t reply[20];

    g_assert_cmpuint(packet(p, reply, 20, 0xfffe), ==, 18);
    return reply[12];
}

static void test_inquiry(void)
{
    static const uint8_t p[12] = { 0x12, 0, 0, 0, 36 };
    uint8_t r[40];

    g_assert_cmpuint(packet(p, r, 40, 0xfffe), ==, 36);
    g_assert_cmphex(r[0], ==, 5);
    g_assert_cmphex(r[1], ==, 0x80);
    g_assert_cmpmem(r + 16, 12, "QEMU DVD-ROM", 12);
}

static void test_cd_read(void)
{
    static const uint8_t p[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 40 };
    g_autofree uint8_t *r = g_malloc(40 * 2048);

    g_assert_cmpuint(packet(p, r, 40 * 2048, 6000), ==, 40 * 2048);
    for (unsigned i = 0; i < 40 * 2048; i++) {
        g_assert_cmphex(r[i], ==, cd_byte(7 * 2048 + i));
    }
    static const uint8_t past[12] = { 0x28, 0, 0, 0, 1, 0x2c, 0, 0, 1 };

    packet(past, r, 2048, 0xfffe);
    g_assert_cmphex(pc_in(CTL1, 1) & IDE_ERR, ==, IDE_ERR);
    g_assert_cmphex(sense(), ==, 0x21);
}

static void test_cd_raw(void)
{
    static const uint8_t p[12] = { 0xbe, 0, 0, 0, 0, 3, 0, 0, 1, 0xf8 };
    uint8_t r[2400];

    g_assert_cmpuint(packet(p, r, sizeof(r), 0xfffe), ==, 2352);
    g_assert_cmphex(r[0] | r[11], ==, 0);
    g_assert_cmphex(r[1], ==, 0xff);
    g_assert_cmphex(r[13], ==, 0x02);   /* 00:02:03 */
    g_assert_cmphex(r[14], ==, 0x03);
    g_assert_cmphex(r[16], ==, cd_byte(3 * 2048));
}

static void test_cd_dma(void)
{
    static const uint8_t p[12] = { 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 50 };

    put_prd(0, DATA, 65534, false);
    put_prd(1, DATA + 65534, 50 * 2048 - 65534, true);
    pc_out(CMD1 + IDE_FEATURE, 1, 1);
    pc_out(CMD1 + IDE_COMMAND, 1, 0xa0);
    for (unsigned i = 0; i < 12; i += 2) {
        pc_out(CMD1, 2, load_le16(p + i));
    }
    settle();
    pc_out(BM + 8 + 4, 4, PRDT);
    pc_out(BM + 8, 1, 9);
    settle();
    g_assert_cmphex(pc_in(CTL1, 1), ==, IDE_DRDY);
    for (unsigned i = 0; i < 50 * 2048; i += 511) {
        g_assert_cmphex(pc_load(DATA + i, 1), ==, cd_byte(9 * 2048 + i));
    }
    pc_out(BM + 8, 1, 0);
    g_assert_cmpuint(irq[1].n, >, 0);
}

static void test_toc(void)
{
    static const uint8_t p0[12] = { 0x43, 0, 0, 0, 0, 0, 1, 0, 64 };
    static const uint8_t p1[12] = { 0x43, 2, 1, 0, 0, 0, 0, 0, 64 };
    static const uint8_t p2[12] = { 0x43, 2, 2, 0, 0, 0, 0, 0, 64 };
    static const uint8_t p3[12] = { 0x43, 2, 5, 0, 0, 0, 0, 0, 64 };
    uint8_t r[64];

    g_assert_cmpuint(packet(p0, r, 64, 0xfffe), ==, 20);
    g_assert_cmpuint(load_be32(r + 16), ==, CD_BLOCKS);
    g_assert_cmpuint(packet(p1, r, 64, 0xfffe), ==, 12);
    g_assert_cmpuint(r[10], ==, 2);     /* 00:02:00 */
    g_assert_cmpuint(packet(p2, r, 64, 0xfffe), ==, 48);
    g_assert_cmpuint(packet(p3, r, 64, 0xfffe), ==, 0);
    g_assert_cmphex(sense(), ==, 0x24);
}

static void test_tray(void)
{
    static const uint8_t lock[12] = { 0x1e, 0, 0, 0, 1 };
    static const uint8_t unlock[12] = { 0x1e };
    static const uint8_t open[12] = { 0x1b, 0, 0, 0, 2 };
    static const uint8_t shut[12] = { 0x1b, 0, 0, 0, 3 };
    static const uint8_t ready[12] = { 0 };
    static const uint8_t event[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    uint8_t r[16];

    packet(lock, r, 0, 2);
    packet(open, r, 0, 2);
    g_assert_cmphex(pc_in(CTL1, 1) & IDE_ERR, ==, IDE_ERR);
    g_assert_cmphex(sense(), ==, 0x53);
    packet(unlock, r, 0, 2);
    packet(open, r, 0, 2);
    g_assert_cmphex(pc_in(CTL1, 1) & IDE_ERR, ==, 0);
    packet(ready, r, 0, 2);
    g_assert_cmphex(sense(), ==, 0x3a);
    g_assert_cmpuint(packet(event, r, 16, 0xfffe), ==, 8);
    g_assert_cmphex(r[5] & 1, ==, 1);
    packet(shut, r, 0, 2);
    packet(ready, r, 0, 2);
    g_assert_cmphex(sense(), ==, 0x28); /* it may be another one */
    packet(ready, r, 0, 2);
    g_assert_cmphex(pc_in(CTL1, 1) & IDE_ERR, ==, 0);
}

static void test_cd_others(void)
{
    static const uint8_t capacity[12] = { 0x25 };
    static const uint8_t mode[12] = { 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64 };
    static const uint8_t config[12] = { 0x46, 0, 0, 0, 0, 0, 0, 1, 0 };
    static const uint8_t unknown[12] = { 0xe3 };
    uint8_t r[256];

    g_assert_cmpuint(packet(capacity, r, 8, 0xfffe), ==, 8);
    g_assert_cmpuint(load_be32(r), ==, CD_BLOCKS - 1);
    g_assert_cmpuint(packet(mode, r, 64, 0xfffe), ==, 28);
    g_assert_cmphex(r[8], ==, 0x2a);
    g_assert_cmpuint(packet(config, r, 256, 0xfffe), >, 40);
    g_assert_cmpuint(load_be16(r + 6), ==, 8);
    packet(unknown, r, 0, 2);
    g_assert_cmphex(sense(), ==, 0x20);
    pc_out(CMD1 + IDE_COMMAND, 1, 0xec);        /* IDENTIFY DEVICE */
    g_assert_cmphex(pc_in(CTL1, 1) & IDE_ERR, ==, IDE_ERR);
    g_assert_cmphex(pc_in(CMD1 + IDE_LBA_HIGH, 1), ==, 0xeb);
}

/* --- state ------------------------------------------------------------------------------------------------- */

static void load(Device *dev, const GByteArray *from)
{
    g_autoptr(GError) err = NULL;
    const uint8_t *at = from->data;
    size_t left = from->len;

    device_load(dev, &at, &left, &err);
    g_assert_no_error(err);
    device_update(dev);
}

/* Saved in the middle of a PIO read, and loaded: the read goes on. */
static void test_reload(void)
{
    IdeDrive *s = piix_ide_channel(ide, 0)->drives[0];
    GByteArray *saved[2] = { g_byte_array_new(), g_byte_array_new() };

    command28(0x20, 900, 10);
    check_sector(900);
    for (unsigned i = 0; i < 100; i++) {
        pc_in(CMD, 2);
    }
    device_save(ide, saved[0]);
    device_save(&s->dev, saved[1]);
    device_reset(ide);                  /* and its drives */
    load(ide, saved[0]);
    load(&s->dev, saved[1]);
    for (unsigned i = 100; i < 256; i++) {
        g_assert_cmphex(pc_in(CMD, 2) & 0xff, ==,
                        hd_byte(901 * 512 + 2 * i));
    }
    for (unsigned i = 2; i < 10; i++) {
        check_sector(900 + i);
    }
    check_good();
    g_byte_array_unref(saved[0]);
    g_byte_array_unref(saved[1]);
}

static void test_reset_in_flight(void)
{
    put_prd(0, DATA, 65536, true);
    pc_out(BM + 4, 4, PRDT);
    pc_out(CMD + IDE_COUNT, 1, 128);
    pc_out(CMD + IDE_COMMAND, 1, 0xc8);
    pc_out(BM, 1, 9);
    pc_out(CTL, 1, IDE_SRST);
    pc_out(CTL, 1, 0);
    check_good();
    blk_drain(hd);
    check_good();
    g_assert_cmpint(irq[0].level, ==, 0);
    pc_out(BM, 1, 0);
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

static char *make_image(const char *dir, const char *name, size_t bytes,
                        uint8_t (*byte)(uint64_t))
{
    char *path = g_build_filename(dir, name, NULL);
    g_autofree char *data = g_malloc(bytes);

    for (size_t i = 0; i < bytes; i++) {
        data[i] = byte(i);
    }
    g_assert_true(g_file_set_contents(path, data, bytes, NULL));
    return path;
}

static BlockBackend *add_drive(unsigned bus, const char *type,
                               const char *file, const char *more)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = g_strdup_printf(
        "file=%s,format=raw,if=none,id=%s%s", file, type, more);
    g_autoptr(Opt) dict = opt_parse_keyval(text, NULL, NULL, &err);
    BlockBackend *blk = drive_new(dict, BLOCK_IF_IDE, false, &err);
    Device *dev = device_new(type_find(type));

    g_assert_no_error(err);
    prop_set(&dev->obj, "drive", type, &err);
    device_realize(dev, &piix_ide_channel(ide, bus)->bus, &err);
    g_assert_no_error(err);
    return blk;
}

static void run(const void *data)
{
    reset_all();
    ((void (*)(void))(uintptr_t)data)();
    settle();
}

#define FN(name) ((void *)(uintptr_t)test_##name)

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-ide-XXXXXX", NULL);
    int ret;

    pc = pc_test_init(&argc, &argv, 16 * MiB);
    hd_file = make_image(dir, "hd.img", DISK_SECTORS * 512, hd_byte);
    cd_file = make_image(dir, "cd.img", CD_BLOCKS * 2048, cd_byte);
    ide = pc_add_pci(pc, "piix3-ide", "1.1", NULL);
    for (unsigned i = 0; i < 2; i++) {
        device_connect(ide, "irq", i, (Irq) { on_irq, NULL, i });
    }
    hd = add_drive(0, "ide-hd", hd_file, ",discard=unmap");
    cd = add_drive(1, "ide-cd", cd_file, ",media=cdrom");
    g_test_add_data_func("/ide/signature", FN(signature), run);
    g_test_add_data_func("/ide/hob", FN(hob), run);
    g_test_add_data_func("/ide/missing-slave", FN(missing_slave), run);
    g_test_add_data_func("/ide/interrupt", FN(interrupt), run);
    g_test_add_data_func("/ide/decode", FN(decode), run);
    g_test_add_data_func("/ide/identify", FN(identify), run);
    g_test_add_data_func("/ide/aborted", FN(aborted), run);
    g_test_add_data_func("/ide/set-features", FN(set_features), run);
    g_test_add_data_func("/ide/small-ones", FN(small_ones), run);
    g_test_add_data_func("/ide/smart", FN(smart), run);
    g_test_add_data_func("/ide/pio-read", FN(pio_read), run);
    g_test_add_data_func("/ide/chs", FN(chs), run);
    g_test_add_data_func("/ide/multiple", FN(multiple), run);
    g_test_add_data_func("/ide/pio-write", FN(pio_write), run);
    g_test_add_data_func("/ide/dma-read", FN(dma_read), run);
    g_test_add_data_func("/ide/dma-write", FN(dma_write), run);
    g_test_add_data_func("/ide/dma-short-list", FN(dma_short_list), run);
    g_test_add_data_func("/ide/dma-nowhere", FN(dma_nowhere), run);
    g_test_add_data_func("/ide/trim", FN(trim), run);
    g_test_add_data_func("/ide/inquiry", FN(inquiry), run);
    g_test_add_data_func("/ide/cd-read", FN(cd_read), run);
    g_test_add_data_func("/ide/cd-raw", FN(cd_raw), run);
    g_test_add_data_func("/ide/cd-dma", FN(cd_dma), run);
    g_test_add_data_func("/ide/toc", FN(toc), run);
    g_test_add_data_func("/ide/tray", FN(tray), run);
    g_test_add_data_func("/ide/cd-others", FN(cd_others), run);
    g_test_add_data_func("/ide/reload", FN(reload), run);
    g_test_add_data_func("/ide/reset-in-flight", FN(reset_in_flight), run);
    ret = g_test_run();
    g_unlink(hd_file);
    g_unlink(cd_file);
    g_rmdir(dir);
    return ret;
}
