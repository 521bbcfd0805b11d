/*
 * Regions, views, access and the dirty log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/qsbr.h"
#include "loop/loop.h"
#include "mem/mem.h"

typedef struct {
    uint64_t reg[4];
    hwaddr last_offset;
    unsigned last_size, n_reads, n_writes;
    uint64_t last_val;
} Probe;

static uint64_t probe_read(void *opaque, hwaddr offset, unsigned size)
{
    Probe *p = opaque;

    p->last_offset = offset;
    p->last_size = size;
    p->n_reads++;
    g_assert_true(machine_lock_held());
    return UINT64_C(0x1122334455667788) >> (8 * (offset & 7));
}

static void probe_write(void *opaque, hwaddr offset, uint64_t val,
                        unsigned size)
{
    Probe *p = opaque;

    p->last_offset = offset;
    p->last_size = size;
    p->last_val = val;
    p->n_writes++;
}

static const IoOps any_ops = { .read = probe_read, .write = probe_write };
static const IoOps word_ops = {
    .read = probe_read, .write = probe_write, .size_min = 4, .size_max = 4,
};

static uint8_t read8(hwaddr gpa)
{
    uint8_t v;

    as_read(&as_memory, gpa, &v, 1);
    return v;
}

/* The region of higher priority hides the other; unmapping shows it again. */
static void test_priority(void)
{
    Region low, high;

    g_assert_true(region_init_ram(&low, NULL, "low", 0x4000, NULL));
    g_assert_true(region_init_ram(&high, NULL, "high", 0x1000, NULL));
    memset(low.ram->host, 1, 0x4000);
    memset(high.ram->host, 2, 0x1000);
    region_map(mem_root(), 0x10000, &low, 0);
    region_map(mem_root(), 0x11000, &high, 1);
    g_assert_cmpint(read8(0x10fff), ==, 1);
    g_assert_cmpint(read8(0x11000), ==, 2);
    g_assert_cmpint(read8(0x11fff), ==, 2);
    g_assert_cmpint(read8(0x12000), ==, 1);
    g_assert_cmpuint(as_view(&as_memory)->n_ranges, ==, 3);
    region_set_enabled(&high, false);
    g_assert_cmpint(read8(0x11000), ==, 1);
    g_assert_cmpuint(as_view(&as_memory)->n_ranges, ==, 1);
    region_set_enabled(&high, true);
    region_move(&high, 0x13000);
    g_assert_cmpint(read8(0x11000), ==, 1);
    g_assert_cmpint(read8(0x13000), ==, 2);
    region_destroy(&high);
    g_assert_cmpint(read8(0x13000), ==, 1);
    region_destroy(&low);
    g_assert_cmpint(read8(0x10000), ==, 0xff);
}

/* Aliases clip to their target and may make it read-only. */
static void test_alias(void)
{
    Region ram, alias, hole;
    uint8_t v = 9;

    g_assert_true(region_init_ram(&ram, NULL, "ram", 0x3000, NULL));
    for (unsigned i = 0; i < 3; i++) {
        memset(ram.ram->host + i * 0x1000, i + 1, 0x1000);
    }
    region_init_alias(&alias, NULL, "alias", &ram, 0x1000, 0x4000);
    region_map(mem_root(), 0x100000, &alias, 0);
    g_assert_cmpint(read8(0x100000), ==, 2);
    g_assert_cmpint(read8(0x101fff), ==, 3);
    g_assert_cmpint(read8(0x102000), ==, 0xff);
    region_set_alias_offset(&alias, 0);
    g_assert_cmpint(read8(0x100000), ==, 1);
    region_set_readonly(&alias, true);
    as_write(&as_memory, 0x100000, &v, 1);
    g_assert_cmpint(read8(0x100000), ==, 1);
    region_set_readonly(&alias, false);
    as_write(&as_memory, 0x100000, &v, 1);
    g_assert_cmpint(ram.ram->host[0], ==, 9);
    /* A container clips its children to its own size. */
    region_init_container(&hole, NULL, "hole", 0x1000);
    region_unmap(&alias);
    region_map(&hole, 0x800, &alias, 0);
    region_map(mem_root(), 0x200000, &hole, 0);
    g_assert_cmpint(read8(0x200800), ==, 9);
    g_assert_cmpint(read8(0x2007ff), ==, 0xff);
    g_assert_cmpint(read8(0x201000), ==, 0xff);
    region_destroy(&alias);
    region_destroy(&hole);
    region_destroy(&ram);
}

/* Accesses are split and widened to what the chip decodes. */
static void test_sizes(void)
{
    Probe p = { 0 };
    Region any, word;
    uint64_t v;

    region_init_io(&any, NULL, "any", &any_ops, &p, 0x100);
    region_init_io(&word, NULL, "word", &word_ops, &p, 0x100);
    region_map(mem_root(), 0x1000, &any, 0);
    region_map(mem_root(), 0x2000, &word, 0);
    g_assert_cmpint(as_load(&as_memory, 0x1000, 8, &v), ==, MEM_OK);
    g_assert_cmphex(v, ==, UINT64_C(0x1122334455667788));
    g_assert_cmpuint(p.n_reads, ==, 1);
    /* Unaligned: 1, 2, 4 and 1 bytes. */
    p.n_reads = 0;
    as_load(&as_memory, 0x1001, 4, &v);
    g_assert_cmphex(v, ==, 0x44556677);
    g_assert_cmpuint(p.n_reads, ==, 3);
    /* Narrow reads of a 32-bit chip see their own bytes. */
    as_load(&as_memory, 0x2002, 1, &v);
    g_assert_cmphex(v, ==, 0x66);
    g_assert_cmpuint(p.last_size, ==, 4);
    g_assert_cmpuint(p.last_offset, ==, 0);
    as_store(&as_memory, 0x2002, 1, 0xab);
    g_assert_cmphex(p.last_val, ==, 0xab0000);
    p.n_writes = 0;
    as_store(&as_memory, 0x2000, 8, UINT64_C(0x0102030405060708));
    g_assert_cmpuint(p.n_writes, ==, 2);
    g_assert_cmphex(p.last_val, ==, 0x01020304);
    /* Nothing there. */
    g_assert_cmpint(as_load(&as_memory, 0x9000, 4, &v), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(v, ==, 0xffffffff);
    /* Over the region's end into nothing. */
    g_assert_cmpint(as_load(&as_memory, 0x10fc, 8, &v), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(v >> 32, ==, 0xffffffff);
    region_destroy(&any);
    region_destroy(&word);
    /* Destroyed between look-up and access: a decode error, no crash. */
    g_assert_cmpint(region_io_read(&any, 0, 4, &v), ==, MEM_DECODE_ERROR);
}

typedef struct {
    MemListener l;
    unsigned adds, dels, commits;
    uint64_t code_offset, code_len;
} Listener;

static void on_add(MemListener *l, const FlatRange *f)
{
    container_of(l, Listener, l)->adds++;
}

static void on_del(MemListener *l, const FlatRange *f)
{
    container_of(l, Listener, l)->dels++;
}

static void on_commit(MemListener *l)
{
    container_of(l, Listener, l)->commits++;
}

static void on_code(MemListener *l, RamBlock *rb, uint64_t offset,
                    uint64_t len)
{
    container_of(l, Listener, l)->code_offset = offset;
    container_of(l, Listener, l)->code_len = len;
}

/* Listeners hear differences only, once for each batch. */
static void test_listener(void)
{
    Listener li = { .l = { .add = on_add, .del = on_del,
                           .commit = on_commit } };
    Probe p = { 0 };
    const FlatView *view;
    Region a, b;

    region_init_io(&a, NULL, "a", &any_ops, &p, 0x1000);
    region_init_io(&b, NULL, "b", &any_ops, &p, 0x1000);
    region_map(mem_root(), 0, &a, 0);
    as_add_listener(&as_memory, &li.l);
    g_assert_cmpuint(li.adds, ==, 1);
    mem_begin();
    region_map(mem_root(), 0x4000, &b, 0);
    region_move(&a, 0x8000);
    g_assert_cmpuint(li.commits, ==, 1);
    mem_commit();
    g_assert_cmpuint(li.adds, ==, 3);
    g_assert_cmpuint(li.dels, ==, 1);
    g_assert_cmpuint(li.commits, ==, 2);

    /* Nothing changes: the view stays, for whoever looks at it. */
    view = as_view(&as_memory);
    mem_begin();
    region_move(&a, 0x9000);
    region_move(&a, 0x8000);
    mem_commit();
    g_assert_true(as_view(&as_memory) == view);
    g_assert_cmpuint(li.commits, ==, 2);
    as_remove_listener(&as_memory, &li.l);
    region_destroy(&a);
    region_destroy(&b);
    g_assert_cmpuint(li.commits, ==, 2);
}

/* Each client of the dirty log has its own view; code pages are told. */
static void test_dirty(void)
{
    Listener li = { .l = { .code_written = on_code } };
    Region ram;
    uint8_t buf[32] = { 1 };

    g_assert_true(region_init_ram(&ram, NULL, "ram", 0x4000, NULL));
    region_map(mem_root(), 0, &ram, 0);
    as_add_listener(&as_memory, &li.l);
    g_assert_true(ram_test_clear_dirty(ram.ram, 0, 0x4000, DIRTY_VGA));
    g_assert_false(ram_test_clear_dirty(ram.ram, 0, 0x4000, DIRTY_VGA));
    g_assert_true(ram_test_clear_dirty(ram.ram, 0, 0x4000, DIRTY_MIGRATION));
    as_write(&as_memory, 0x1ff0, buf, sizeof(buf));
    g_assert_cmpuint(li.code_len, ==, 0);
    g_assert_false(ram_test_clear_dirty(ram.ram, 0, 0x1000, DIRTY_VGA));
    g_assert_true(ram_test_clear_dirty(ram.ram, 0x1000, 0x1000, DIRTY_VGA));
    g_assert_true(ram_test_clear_dirty(ram.ram, 0x2000, 0x1000, DIRTY_VGA));
    g_assert_true(ram_test_clear_dirty(ram.ram, 0x2000, 1, DIRTY_MIGRATION));
    *ram_dirty_byte(ram.ram, 0x2000) &= ~DIRTY_CODE;
    as_write(&as_memory, 0x1ff0, buf, sizeof(buf));
    g_assert_cmphex(li.code_offset, ==, 0x2000);
    g_assert_cmpuint(li.code_len, ==, 16);
    as_remove_listener(&as_memory, &li.l);
    region_destroy(&ram);
}

/* A map stays good while its region goes away. */
static void test_map(void)
{
    Region ram, rom;
    uint64_t len = 0x10000, offset;
    uint8_t *p;

    g_assert_true(region_init_ram(&ram, NULL, "ram", 0x2000, NULL));
    g_assert_true(region_init_rom(&rom, NULL, "rom", 0x1000, NULL));
    region_map(mem_root(), 0x1000, &ram, 0);
    region_map(mem_root(), 0x8000, &rom, 0);
    p = as_map(&as_memory, 0x1800, &len, true);
    g_assert_nonnull(p);
    g_assert_cmpuint(len, ==, 0x1800);
    g_assert_true(ram_from_host(p, &offset) == ram.ram);
    g_assert_cmphex(offset, ==, 0x800);
    region_destroy(&ram);
    qsbr_drain();
    p[0] = 1;
    p[len - 1] = 1;
    as_unmap(&as_memory, p, len, true, len);
    len = 16;
    g_assert_null(as_map(&as_memory, 0x8000, &len, true));
    len = 16;
    p = as_map(&as_memory, 0x8000, &len, false);
    g_assert_nonnull(p);
    as_unmap(&as_memory, p, len, false, 0);
    region_destroy(&rom);
    len = 16;
    g_assert_null(as_map(&as_memory, 0x8000, &len, false));
    qsbr_drain();
}

/* Addresses up to the last one. */
static void test_top(void)
{
    Region ram, alias;
    uint8_t buf[4] = { 1, 2, 3, 4 };

    g_assert_true(region_init_ram(&ram, NULL, "ram", 0x1000, NULL));
    region_map(mem_root(), UINT64_MAX - 0xfff, &ram, 0);
    g_assert_cmpint(as_write(&as_memory, UINT64_MAX - 3, buf, 4), ==, MEM_OK);
    g_assert_cmpint(read8(UINT64_MAX), ==, 4);
    region_init_alias(&alias, NULL, "all", mem_root(), 0, UINT64_MAX);
    AddressSpace as;
    as_init(&as, &alias, "alias");
    as_read(&as, UINT64_MAX - 3, buf, 4);
    g_assert_cmpint(buf[0], ==, 1);
    as_destroy(&as);
    region_destroy(&alias);
    region_destroy(&ram);
    qsbr_drain();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/mem/priority", test_priority);
    g_test_add_func("/mem/alias", test_alias);
    g_test_add_func("/mem/sizes", test_sizes);
    g_test_add_func("/mem/listener", test_listener);
    g_test_add_func("/mem/dirty", test_dirty);
    g_test_add_func("/mem/map", test_map);
    g_test_add_func("/mem/top", test_top);
    return g_test_run();
}
