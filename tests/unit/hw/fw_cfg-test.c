/*
 * fw_cfg: items, directory, DMA, and descriptors that a hostile guest writes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "hw/boot/boot.h"
#include "hw/nvram/fw_cfg.h"
#include "pctest.h"

enum { DESC = 0x1000, BUF = 0x2000 };

static PcTest *t;
static FwCfg *s;

static void read_port(uint16_t key, void *buf, size_t len)
{
    pc_out(FW_CFG_PORT, 2, key);
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = pc_in(FW_CFG_PORT + 1, 1);
    }
}

/* Run a descriptor; the control word it leaves. */
static uint32_t dma(uint32_t control, uint32_t len, uint64_t gpa)
{
    uint8_t desc[16];

    store_be32(desc, control);
    store_be32(desc + 4, len);
    store_be64(desc + 8, gpa);
    as_write(&as_memory, DESC, desc, sizeof(desc));
    pc_out(FW_CFG_PORT + 4, 4, 0);
    pc_out(FW_CFG_PORT + 8, 4, GUINT32_SWAP_LE_BE(DESC));
    return GUINT32_SWAP_LE_BE((uint32_t)pc_load(DESC, 4));
}

static void test_ports(void)
{
    char sig[6];
    uint8_t id[4];

    read_port(FW_CFG_SIGNATURE, sig, 6);
    g_assert_cmpmem(sig, 6, "QEMU\0\0", 6);
    read_port(FW_CFG_ID, id, 4);
    g_assert_cmphex(load_le32(id), ==, 3);
    /* Selecting again starts over; unknown items are zeros. */
    read_port(FW_CFG_SIGNATURE, sig, 1);
    g_assert_cmpint(sig[0], ==, 'Q');
    g_assert_cmpint(pc_in(FW_CFG_PORT + 1, 1), ==, 'E');
    read_port(0x1234, id, 4);
    g_assert_cmphex(load_le32(id), ==, 0);
    /* A write to the data port changes nothing, nor does a byte's select. */
    read_port(FW_CFG_SIGNATURE, sig, 0);
    pc_out(FW_CFG_PORT + 1, 1, 'X');
    pc_out(FW_CFG_PORT, 1, 1);
    g_assert_cmpint(pc_in(FW_CFG_PORT + 1, 1), ==, 'Q');
    /* The DMA port shows its signature. */
    g_assert_cmphex(pc_in(FW_CFG_PORT + 4, 4), ==, load_le32("QEMU"));
    g_assert_cmphex(pc_in(FW_CFG_PORT + 8, 4), ==, load_le32(" CFG"));
}

static void test_numbers(void)
{
    uint8_t b[8];

    fw_cfg_add_u16(s, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_u64(s, FW_CFG_RAM_SIZE, UINT64_C(0x123456789a));
    read_port(FW_CFG_NB_CPUS, b, 4);
    g_assert_cmphex(load_le32(b), ==, 0x1234);
    read_port(FW_CFG_RAM_SIZE, b, 8);
    g_assert_cmphex(load_le64(b), ==, UINT64_C(0x123456789a));
    fw_cfg_add_u16(s, FW_CFG_NB_CPUS, 7);
    read_port(FW_CFG_NB_CPUS, b, 2);
    g_assert_cmphex(load_le16(b), ==, 7);
    read_port(FW_CFG_NB_CPUS | FW_CFG_WRITE_CHANNEL, b, 2);
    g_assert_cmphex(load_le16(b), ==, 7);
}

static void test_directory(void)
{
    uint8_t dir[4 + 3 * 64];
    GError *err = NULL;
    g_autofree char *name = g_strnfill(56, 'n');

    g_assert_true(fw_cfg_add_file(s, "etc/b", "bb", 2, NULL));
    g_assert_true(fw_cfg_add_file(s, "etc/a", "a", 1, NULL));
    read_port(FW_CFG_FILE_DIR, dir, sizeof(dir));
    g_assert_cmpuint(load_be32(dir), ==, 3);
    g_assert_cmpstr((char *)dir + 4 + 8, ==, "etc/a");
    g_assert_cmpuint(load_be32(dir + 4), ==, 1);
    g_assert_cmphex(load_be16(dir + 4 + 4), ==, 0x20);
    g_assert_cmpstr((char *)dir + 68 + 8, ==, "etc/b");
    g_assert_cmphex(load_be16(dir + 68 + 4), ==, 0x21);
    g_assert_cmpstr((char *)dir + 132 + 8, ==, "opt/user");
    read_port(0x21, dir, 3);
    g_assert_cmpmem(dir, 3, "bb\0", 3);
    read_port(0x22 | FW_CFG_WRITE_CHANNEL, dir, 4);
    g_assert_cmpmem(dir, 4, "text", 4);

    g_assert_false(fw_cfg_add_file(s, "etc/a", "a", 1, &err));
    g_assert_nonnull(strstr(err->message, "already"));
    g_clear_error(&err);
    g_assert_false(fw_cfg_add_file(s, name, "a", 1, &err));
    g_assert_nonnull(strstr(err->message, "55 characters"));
    g_clear_error(&err);
    g_assert_true(fw_cfg_set_file(s, "etc/a", "new", 3));
    g_assert_false(fw_cfg_set_file(s, "etc/c", "new", 3));
    read_port(0x20, dir, 3);
    g_assert_cmpmem(dir, 3, "new", 3);
}

static void test_dma(void)
{
    pc_store(BUF, 8, ~UINT64_C(0));
    g_assert_cmphex(dma(0x0000000a, 6, BUF), ==, 0);    /* select 0, read */
    g_assert_cmphex(pc_load(BUF, 4), ==, load_le32("QEMU"));
    g_assert_cmphex(pc_load(BUF + 4, 4), ==, 0xffff0000);
    g_assert_cmphex(dma(0x00000008, 0, 0), ==, 0);      /* select */
    g_assert_cmphex(dma(0x00000004, 2, 0), ==, 0);      /* skip */
    g_assert_cmphex(dma(0x00000002, 2, BUF), ==, 0);    /* read */
    g_assert_cmphex(pc_load(BUF, 2), ==, load_le16("MU"));
}

static void test_dma_hostile(void)
{
    /* Not RAM: beyond it, at its end, wrapping, MMIO-less hole. */
    g_assert_cmphex(dma(0x0000000a, 4, 0xf0000000), ==, 1);
    g_assert_cmphex(dma(0x0000000a, 0x1000, 64 * MiB - 4), ==, 1);
    g_assert_cmphex(dma(0x0000000a, 16, UINT64_MAX - 4), ==, 1);
    g_assert_cmphex(dma(0x0000000a, UINT32_MAX, 0x100000), ==, 1);
    /* Over the descriptor itself: it was read once. */
    g_assert_cmphex(dma(0x0000000a, 4, DESC), ==, 0);
    /* Writing what cannot be written. */
    g_assert_cmphex(dma(0x00000018, 4, BUF), ==, 1);
    g_assert_cmphex(dma(0x12340018, 4, BUF), ==, 1);
    /* Skips add up without wrapping; reading there gives zeros. */
    dma(0x00000008, 0, 0);
    for (int i = 0; i < 3; i++) {
        g_assert_cmphex(dma(0x00000004, UINT32_MAX, 0), ==, 0);
    }
    g_assert_cmphex(dma(0x00000002, 4, BUF), ==, 0);
    g_assert_cmphex(pc_load(BUF, 4), ==, 0);
    /* A descriptor outside of RAM. */
    pc_out(FW_CFG_PORT + 4, 4, 0xffffffff);
    pc_out(FW_CFG_PORT + 8, 4, 0xffffffff);
    pc_out(FW_CFG_PORT + 4, 4, 0);
    pc_out(FW_CFG_PORT + 8, 4, GUINT32_SWAP_LE_BE(64 * MiB - 8));
    g_assert_cmphex(dma(0x0000000a, 4, BUF), ==, 0);
}

static unsigned n_selected;
static size_t written_at, written_len;

static void selected(void *opaque)
{
    n_selected++;
}

static void written(void *opaque, const uint8_t *data, size_t at, size_t len)
{
    written_at = at;
    written_len = len;
    g_assert_cmpmem(data + at, len, "WXYZ", len);
}

static void test_callbacks(void)
{
    static const FwCfgFileOps ops = { selected, written, true };
    uint8_t b[4];

    g_assert_true(fw_cfg_add_file_ops(s, "etc/0-first", "12345678", 8, &ops,
                                      NULL, NULL));
    read_port(0x20, b, 4);
    g_assert_cmpuint(n_selected, ==, 1);
    g_assert_cmpmem(b, 4, "1234", 4);
    as_write(&as_memory, BUF, "WXYZ", 4);
    g_assert_cmphex(dma(0x00200008, 0, 0), ==, 0);
    g_assert_cmphex(dma(0x00000004, 4, 0), ==, 0);
    g_assert_cmphex(dma(0x00000010, 4, BUF), ==, 0);
    g_assert_cmpuint(written_at, ==, 4);
    g_assert_cmpuint(written_len, ==, 4);
    g_assert_cmphex(dma(0x00000010, 1, BUF), ==, 1);    /* behind the end */
    g_assert_cmphex(dma(0x00200018, 9, BUF), ==, 1);
    g_assert_cmphex(dma(0x0020000a, 8, BUF), ==, 0);
    as_read(&as_memory, BUF, b, 4);
    g_assert_cmpmem(b, 4, "1234", 4);
    pc_reload(device_of(object_find("fwcfg")));
}

static bool count_up(void *opaque, uint64_t at, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = at + i;
    }
    return at < 100;
}

static void test_reader(void)
{
    uint8_t b[4];

    fw_cfg_add_reader(s, FW_CFG_KERNEL_DATA, 200, count_up, NULL);
    read_port(FW_CFG_KERNEL_DATA, b, 4);
    g_assert_cmphex(load_le32(b), ==, 0x03020100);
    g_assert_cmphex(dma(FW_CFG_KERNEL_DATA << 16 | 8, 0, 0), ==, 0);
    g_assert_cmphex(dma(0x04, 150, 0), ==, 0);
    g_assert_cmphex(dma(0x02, 4, BUF), ==, 0);
    g_assert_cmphex(pc_load(BUF, 4), ==, 0);
}

static void refuse(const char *text, const char *part)
{
    GError *err = NULL;
    Opt *dict = opt_parse_keyval(text, "name", NULL, &err);

    g_assert_no_error(err);
    g_assert_false(fw_cfg_add_option(dict, &err));
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
    opt_free(dict);
}

static void test_options(void)
{
    refuse("opt/a", "either file= or string=");
    refuse("string=a", "needs name=");
    refuse("opt/a,string=a,file=b", "either file= or string=");
    refuse("opt/a,file=/does/not/exist", "/does/not/exist");
    refuse("opt/a,strin=a", "strin");
    refuse("opt/0123456789012345678901234567890123456789012345678901234,"
           "string=a", "55 characters");
}

/* --- the option ROM ----------------------------------------------------------------- */

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t n = 0;

    while (len--) {
        n += *p++;
    }
    return n;
}

/* SeaBIOS takes it only with right checksums and a boot entry. */
static void test_linux_rom(void)
{
    uint8_t dir[4 + 64 * 64], rom[512];
    const uint8_t *pnp;
    unsigned key = 0;
    GError *err = NULL;

    boot_add_linux_rom(s, &err);
    g_assert_no_error(err);
    read_port(FW_CFG_FILE_DIR, dir, sizeof(dir));
    for (unsigned i = 0; i < load_be32(dir) && i < 64; i++) {
        const uint8_t *e = dir + 4 + 64 * i;

        if (!strcmp((const char *)e + 8, "genroms/" BOOT_LINUX_ROM)) {
            g_assert_cmpuint(load_be32(e), ==, sizeof(rom));
            key = load_be16(e + 4);
        }
    }
    g_assert_cmpuint(key, !=, 0);
    read_port(key, rom, sizeof(rom));
    g_assert_cmphex(load_le16(rom), ==, 0xaa55);
    g_assert_cmpuint(rom[2], ==, sizeof(rom) / 512);
    g_assert_cmphex(sum(rom, sizeof(rom)), ==, 0);
    pnp = rom + load_le16(rom + 0x1a);
    g_assert_cmpmem(pnp, 4, "$PnP", 4);
    g_assert_cmphex(sum(pnp, 16 * pnp[5]), ==, 0);
    g_assert_cmphex(rom[load_le16(pnp + 0x1a)], ==, 0xfa);      /* cli */
}

#ifdef __x86_64__
extern const uint8_t linux_rom[], linux_rom_end[];
extern const uint8_t linux_rom_copy[], linux_rom_copy_end[];

/* Other hosts' copy is what the assembler makes of the source here. */
static void test_linux_rom_bytes(void)
{
    g_assert_cmpmem(linux_rom_copy, linux_rom_copy_end - linux_rom_copy,
                    linux_rom, linux_rom_end - linux_rom);
}
#endif

int main(int argc, char **argv)
{
    GError *err = NULL;
    Device *dev;
    Opt *dict;

    t = pc_test_init(&argc, &argv, 64 * MiB);
    dict = opt_parse_keyval("opt/user,string=text", "name", NULL, &err);
    g_assert_no_error(err);
    fw_cfg_add_option(dict, &err);
    g_assert_no_error(err);
    opt_free(dict);
    dev = device_new(&fw_cfg_io_type);
    object_add_child(object_root(), &dev->obj, "fwcfg");
    device_realize(dev, NULL, &err);
    g_assert_no_error(err);
    region_map(io_root(), FW_CFG_PORT, device_region(dev, 0), 0);
    s = fw_cfg_find();

    g_test_add_func("/fw_cfg/ports", test_ports);
    g_test_add_func("/fw_cfg/numbers", test_numbers);
    g_test_add_func("/fw_cfg/directory", test_directory);
    g_test_add_func("/fw_cfg/dma", test_dma);
    g_test_add_func("/fw_cfg/dma-hostile", test_dma_hostile);
    g_test_add_func("/fw_cfg/reader", test_reader);
    g_test_add_func("/fw_cfg/callbacks", test_callbacks);
    g_test_add_func("/fw_cfg/options", test_options);
    g_test_add_func("/fw_cfg/linux-rom", test_linux_rom);
#ifdef __x86_64__
    g_test_add_func("/fw_cfg/linux-rom-bytes", test_linux_rom_bytes);
#endif
    return g_test_run();
}
