/*
 * The DMA controllers and page registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "devtest.h"
#include "hw/isa/i8257.h"

static Region ram;

static DevTest *new_dma(void)
{
    DevTest *t = dev_test_new("i8257", NULL);

    dev_outb(t, 0xd6, 0xc0);            /* channel 4: cascade */
    dev_outb(t, 0xd4, 0x00);
    return t;
}

/* Channel `ch` of the first controller: page, address, bytes, mode. */
static void program(DevTest *t, unsigned ch, uint8_t page, uint16_t addr,
                    unsigned n, uint8_t mode)
{
    static const uint8_t pages[] = { 0x87, 0x83, 0x81, 0x82 };

    dev_outb(t, 0x0a, 4 | ch);
    dev_outb(t, 0x0c, 0);
    dev_outb(t, 0x0b, mode | ch);
    dev_outb(t, 2 * ch, addr);
    dev_outb(t, 2 * ch, addr >> 8);
    dev_outb(t, 2 * ch + 1, n - 1);
    dev_outb(t, 2 * ch + 1, (n - 1) >> 8);
    dev_outb(t, pages[ch], page);
    dev_outb(t, 0x0a, ch);
}

static void put(hwaddr gpa, const char *text)
{
    as_write(&as_memory, gpa, text, strlen(text));
}

static void check(hwaddr gpa, const char *text)
{
    char buf[64] = { 0 };

    as_read(&as_memory, gpa, buf, strlen(text));
    g_assert_cmpstr(buf, ==, text);
}

static void test_registers(void)
{
    g_autoptr(DevTest) t = new_dma();

    for (unsigned reg = 0; reg < 8; reg++) {
        dev_outb(t, 0x0c, 0);
        dev_outb(t, reg, 0x34 + reg);
        dev_outb(t, reg, 0x12);
        g_assert_cmphex(dev_inb(t, reg), ==, 0x34 + reg);
        g_assert_cmphex(dev_inb(t, reg), ==, 0x12);
        dev_outb(t, 0xd8, 0);
        dev_outb(t, 0xc0 + 2 * reg, 0x78 + reg);
        dev_outb(t, 0xc1 + 2 * reg, 0x56);
        g_assert_cmphex(dev_inb(t, 0xc0 + 2 * reg), ==, 0x78 + reg);
        g_assert_cmphex(dev_inb(t, 0xc0 + 2 * reg), ==, 0x56);
    }
    /* The flip-flop is cleared by any write to 0Ch, and by master clear. */
    dev_inb(t, 0x00);
    dev_outb(t, 0x0c, 0xff);
    g_assert_cmphex(dev_inb(t, 0x00), ==, 0x34);
    dev_outb(t, 0x0d, 0);
    g_assert_cmphex(dev_inb(t, 0x00), ==, 0x34);
    g_assert_cmphex(dev_inb(t, 0x0f), ==, 0x0f);
}

static void test_masks(void)
{
    g_autoptr(DevTest) t = new_dma();

    g_assert_cmphex(dev_inb(t, 0x0f), ==, 0x0f);
    for (unsigned ch = 0; ch < 4; ch++) {
        dev_outb(t, 0x0a, ch);
        g_assert_cmphex(dev_inb(t, 0x0f), ==, 0x0f & ~(1 << ch));
        dev_outb(t, 0x0a, 4 | ch);
    }
    dev_outb(t, 0x0e, 0);
    g_assert_cmphex(dev_inb(t, 0x0f), ==, 0x00);
    dev_outb(t, 0x0f, 0xf5);
    g_assert_cmphex(dev_inb(t, 0x0f), ==, 0x05);
}

static void test_pages(void)
{
    g_autoptr(DevTest) t = new_dma();

    for (unsigned i = 0; i < 16; i++) {
        dev_outb(t, 0x80 + i, 0xa0 + i);
    }
    for (unsigned i = 0; i < 16; i++) {
        g_assert_cmphex(dev_inb(t, 0x80 + i), ==, 0xa0 + i);
    }
}

static void test_transfers(void)
{
    g_autoptr(DevTest) t = new_dma();
    uint8_t buf[16] = { 0 };
    bool tc;

    put(0x5fffc, "abcdefgh");
    program(t, 2, 0x05, 0xfffc, 4, 0x48);       /* memory to device */
    g_assert_cmpuint(isa_dma_transfer(t->dev, 2, buf, 2, &tc), ==, 2);
    g_assert_false(tc);
    g_assert_cmphex(dev_inb(t, 0x04), ==, 0xfe);
    g_assert_cmphex(dev_inb(t, 0x04), ==, 0xff);
    g_assert_cmpuint(isa_dma_transfer(t->dev, 2, buf + 2, 9, &tc), ==, 2);
    g_assert_true(tc);
    g_assert_cmpstr((char *)buf, ==, "abcd");
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x04);
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x00);        /* read: cleared */
    g_assert_cmphex(dev_inb(t, 0x0f) & 4, ==, 4);       /* and masked */
    g_assert_cmpuint(isa_dma_transfer(t->dev, 2, buf, 9, &tc), ==, 0);

    program(t, 1, 0x05, 0x1000, 5, 0x44);       /* device to memory */
    g_assert_cmpuint(isa_dma_transfer(t->dev, 1, "12345", 5, &tc), ==, 5);
    check(0x51000, "12345");
    program(t, 1, 0x05, 0x1000, 5, 0x40);       /* verify: counts only */
    g_assert_cmpuint(isa_dma_transfer(t->dev, 1, "XXXXX", 5, &tc), ==, 5);
    check(0x51000, "12345");
    program(t, 1, 0x05, 0x1004, 5, 0x64);       /* downwards */
    isa_dma_transfer(t->dev, 1, "54321", 5, &tc);
    check(0x51000, "12345");
    /* Addresses wrap within the page. */
    program(t, 1, 0x05, 0xffff, 2, 0x44);
    isa_dma_transfer(t->dev, 1, "pq", 2, &tc);
    check(0x5ffff, "p");
    check(0x50000, "q");
}

static void test_words(void)
{
    g_autoptr(DevTest) t = new_dma();
    bool tc;

    dev_outb(t, 0xd4, 5);
    dev_outb(t, 0xd6, 0x45);                    /* channel 5 writes */
    dev_outb(t, 0xd8, 0);
    dev_outb(t, 0xc4, 0x00);                    /* word 1000h: 2000h */
    dev_outb(t, 0xc4, 0x10);
    dev_outb(t, 0xc6, 2);                       /* three words */
    dev_outb(t, 0xc6, 0);
    dev_outb(t, 0x8b, 0x07);                    /* bit 0 is not wired */
    dev_outb(t, 0xd4, 1);
    g_assert_cmpuint(isa_dma_transfer(t->dev, 5, "abcdefgh", 7, &tc), ==, 6);
    g_assert_true(tc);
    check(0x62000, "abcdef");
    g_assert_cmphex(dev_inb(t, 0xd0), ==, 0x02);
}

static void test_autoinit(void)
{
    g_autoptr(DevTest) t = new_dma();
    bool tc;

    program(t, 3, 0x05, 0x3000, 2, 0x54);
    isa_dma_transfer(t->dev, 3, "ab", 2, &tc);
    g_assert_true(tc);
    isa_dma_transfer(t->dev, 3, "c", 1, &tc);
    check(0x53000, "cb");
    g_assert_cmphex(dev_inb(t, 0x0f) & 8, ==, 0);
}

static unsigned n_ready;

static void on_ready(void *opaque)
{
    n_ready++;
    isa_dma_request(opaque, 2, false);
}

static void test_request(void)
{
    g_autoptr(DevTest) t = new_dma();

    n_ready = 0;
    isa_dma_attach(t->dev, 2, on_ready, t->dev);
    isa_dma_request(t->dev, 2, true);           /* masked: later */
    g_assert_cmpuint(n_ready, ==, 0);
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x40);
    dev_outb(t, 0x08, 0x04);                    /* controller off */
    program(t, 2, 0, 0, 1, 0x44);
    g_assert_cmpuint(n_ready, ==, 0);
    dev_outb(t, 0x08, 0x00);
    g_assert_cmpuint(n_ready, ==, 1);
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x00);
    isa_dma_request(t->dev, 2, true);           /* at once */
    g_assert_cmpuint(n_ready, ==, 2);
    dev_outb(t, 0xd4, 4);                       /* the cascade is masked */
    isa_dma_request(t->dev, 2, true);
    g_assert_cmpuint(n_ready, ==, 2);
    dev_outb(t, 0xd4, 0);
    g_assert_cmpuint(n_ready, ==, 3);
    isa_dma_attach(t->dev, 2, NULL, NULL);
}

static void test_software_request(void)
{
    g_autoptr(DevTest) t = new_dma();

    program(t, 3, 0x05, 0x4000, 100, 0x80);
    dev_outb(t, 0x0a, 7);                       /* the mask does not matter */
    dev_outb(t, 0x09, 7);
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x08);
    dev_outb(t, 0xd2, 0x04);                    /* a cascade has none */
    g_assert_cmphex(dev_inb(t, 0xd0), ==, 0x10);
    dev_outb(t, 0xd2, 0x00);
    g_assert_cmphex(dev_inb(t, 0xd0), ==, 0x00);
}

static void test_memory_to_memory(void)
{
    g_autoptr(DevTest) t = new_dma();

    put(0x54000, "source!!");
    put(0x65000, "........");
    program(t, 0, 0x05, 0x4000, 7, 0x88);
    program(t, 1, 0x06, 0x5000, 7, 0x84);
    dev_outb(t, 0x08, 0x01);
    dev_outb(t, 0x09, 0x04);
    check(0x65000, "source!.");
    g_assert_cmphex(dev_inb(t, 0x08), ==, 0x03);
    g_assert_cmphex(dev_inb(t, 0x0d), ==, '!');
    program(t, 0, 0x05, 0x4000, 7, 0x88);
    program(t, 1, 0x06, 0x5000, 7, 0x84);
    dev_outb(t, 0x08, 0x03);                    /* the source stays */
    dev_outb(t, 0x09, 0x04);
    check(0x65000, "sssssss.");
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_dma();
    bool tc;

    program(t, 2, 0x05, 0x6000, 6, 0x44);
    isa_dma_transfer(t->dev, 2, "ab", 2, &tc);
    dev_test_reload(t);
    g_assert_cmpuint(isa_dma_transfer(t->dev, 2, "cdefgh", 6, &tc), ==, 4);
    check(0x56000, "abcdef");
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    region_init_ram(&ram, NULL, "ram", MiB, NULL);
    region_map(mem_root(), 0, &ram, 0);
    g_test_add_func("/i8257/registers", test_registers);
    g_test_add_func("/i8257/masks", test_masks);
    g_test_add_func("/i8257/pages", test_pages);
    g_test_add_func("/i8257/transfers", test_transfers);
    g_test_add_func("/i8257/words", test_words);
    g_test_add_func("/i8257/autoinit", test_autoinit);
    g_test_add_func("/i8257/request", test_request);
    g_test_add_func("/i8257/software-request", test_software_request);
    g_test_add_func("/i8257/memory-to-memory", test_memory_to_memory);
    g_test_add_func("/i8257/save-load", test_save_load);
    return g_test_run();
}
