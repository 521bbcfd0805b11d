/*
 * PCI functions and buses: header masks, BARs, INTx, MSI, MSI-X, DMA.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>
#include <unistd.h>

#include "core/msi-fd.h"
#include "hw/boot/boot.h"
#include "pctest.h"

typedef struct {
    PciDevice pci;
    Region mem, io, big;
    uint8_t io_reg;
    unsigned n_config_writes;
} Toy;

static PcTest *t;
static Toy *toy;
static unsigned devfn;

static uint64_t mem_read(void *opaque, hwaddr at, unsigned size)
{
    return 0xa0 + at;
}

static uint64_t io_read(void *opaque, hwaddr at, unsigned size)
{
    return ((Toy *)opaque)->io_reg;
}

static void io_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    ((Toy *)opaque)->io_reg = val;
}

static const IoOps mem_ops = { .read = mem_read, .size_max = 4 };
static const IoOps io_ops = { .read = io_read, .write = io_write,
                              .size_max = 1 };

static void written(PciDevice *pci, unsigned at, unsigned size)
{
    container_of(pci, Toy, pci)->n_config_writes++;
}

static bool toy_realize(Device *dev, GError **err)
{
    PciDevice *pci = pci_device_of(dev);
    Toy *s = container_of(pci, Toy, pci);

    pci_set_ids(pci, 0x1234, 0x5678, 0x0c0310, 0x42);
    pci_set_interrupt_pin(pci, 1);
    region_init_io(&s->mem, &dev->obj, "toy-mem", &mem_ops, s, 4096);
    region_init_io(&s->io, &dev->obj, "toy-io", &io_ops, s, 16);
    region_init_io(&s->big, &dev->obj, "toy-big", &mem_ops, s, 16 * MiB);
    pci_register_bar(pci, 0, PCI_BAR_MEM32, &s->mem);
    pci_register_bar(pci, 1, PCI_BAR_IO, &s->io);
    pci_register_bar(pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &s->big);
    pci->on_config_write = written;
    return msi_init(pci, 4, true, true)
           && msix_init_bar(pci, 40, 4, err);
}

static void toy_unrealize(Device *dev)
{
    Toy *s = container_of(pci_device_of(dev), Toy, pci);

    region_destroy(&s->mem);
    region_destroy(&s->io);
    region_destroy(&s->big);
}

static const DeviceType toy_type = {
    .name = "toy-pci", .doc = "for tests", .parent = &pci_device_type,
    .size = sizeof(Toy), .realize = toy_realize, .unrealize = toy_unrealize,
};
DEVICE_TYPE(toy_type)

static uint32_t conf(unsigned at, unsigned size)
{
    return pc_conf_read(t, devfn, at, size);
}

static void set_conf(unsigned at, uint32_t val, unsigned size)
{
    pc_conf_write(t, devfn, at, val, size);
}

static void fresh(void)
{
    device_reset(&toy->pci.dev);
}

/* --- configuration mechanism 1 ---------------------------------------------------- */

static void test_conf1(void)
{
    pc_out(0xcf8, 4, 0x80000000);
    g_assert_cmphex(pc_in(0xcf8, 4), ==, 0x80000000);
    g_assert_cmphex(pc_in(0xcfc, 4), ==, 0x12378086);
    g_assert_cmphex(pc_in(0xcfc, 2), ==, 0x8086);
    g_assert_cmphex(pc_in(0xcfe, 2), ==, 0x1237);
    g_assert_cmphex(pc_in(0xcff, 1), ==, 0x12);
    /* Reserved bits read zero; narrow writes do not reach the register. */
    pc_out(0xcf8, 4, 0xffffffff);
    g_assert_cmphex(pc_in(0xcf8, 4), ==, 0x80fffffc);
    pc_out(0xcf8, 2, 0x1234);
    g_assert_cmphex(pc_in(0xcf8, 4), ==, 0x80fffffc);
    g_assert_cmphex(pc_in(0xcf8, 1), ==, 0xff);
    /* Nobody there, another bus, disabled. */
    g_assert_cmphex(pc_conf_read(t, PCI_DEVFN_OF(30, 0), 0, 4), ==, 0xffffffff);
    pc_out(0xcf8, 4, 0x80010000);
    g_assert_cmphex(pc_in(0xcfc, 4), ==, 0xffffffff);
    pc_out(0xcf8, 4, 0x00000000);
    g_assert_cmphex(pc_in(0xcfc, 4), ==, 0xffffffff);
}

static void test_header(void)
{
    fresh();
    g_assert_cmphex(conf(PCI_VENDOR_ID, 4), ==, 0x56781234);
    g_assert_cmphex(conf(PCI_CLASS_REVISION, 4), ==, 0x0c031042);
    g_assert_cmphex(conf(PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x11001af4);
    set_conf(PCI_VENDOR_ID, 0xdeadbeef, 4);
    g_assert_cmphex(conf(PCI_VENDOR_ID, 4), ==, 0x56781234);

    set_conf(PCI_COMMAND, 0xffff, 2);
    g_assert_cmphex(conf(PCI_COMMAND, 2), ==, 0x0547);
    set_conf(PCI_COMMAND, 0, 1);
    g_assert_cmphex(conf(PCI_COMMAND, 2), ==, 0x0500);
    set_conf(PCI_INTERRUPT_LINE, 0x0b, 1);
    g_assert_cmphex(conf(PCI_INTERRUPT_LINE, 2), ==, 0x010b);

    /* Status: only what the device set can be cleared, by writing ones. */
    toy->pci.config[PCI_STATUS + 1] |= PCI_STATUS_REC_MASTER_ABORT >> 8;
    set_conf(PCI_STATUS, 0, 2);
    g_assert_cmphex(conf(PCI_STATUS, 2), ==, 0x2010);
    set_conf(PCI_STATUS, 0xffff, 2);
    g_assert_cmphex(conf(PCI_STATUS, 2), ==, 0x0010);
    g_assert_cmpuint(toy->n_config_writes, >, 0);
    /* Behind the end. */
    g_assert_cmphex(pci_config_read(&toy->pci, 256, 4), ==, 0xffffffff);
    pci_config_write(&toy->pci, 254, 1, 4);
}

/* --- BARs ---------------------------------------------------------------------------- */

static void test_bar_sizing(void)
{
    fresh();
    set_conf(PCI_BASE_ADDRESS_0, 0xffffffff, 4);
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_0, 4), ==, 0xfffff000);
    set_conf(PCI_BASE_ADDRESS_1, 0xffffffff, 4);
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_1, 4), ==, 0xfffffff1);
    set_conf(PCI_BASE_ADDRESS_2, 0xffffffff, 4);
    set_conf(PCI_BASE_ADDRESS_3, 0xffffffff, 4);
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_2, 4), ==, 0xff00000c);
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_3, 4), ==, 0xffffffff);
    set_conf(PCI_BASE_ADDRESS_5, 0xffffffff, 4);
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_5, 4), ==, 0);
    set_conf(PCI_ROM_ADDRESS, 0xffffffff, 4);
    g_assert_cmphex(conf(PCI_ROM_ADDRESS, 4), ==, 0);
    /* With decode on, all ones must not hide what is at the top. */
    set_conf(PCI_COMMAND, 7, 2);
    g_assert_cmphex(toy->pci.bars[0].gpa, ==, UINT64_MAX);
    g_assert_cmphex(toy->pci.bars[2].gpa, ==, UINT64_MAX);
    fresh();
    g_assert_cmphex(conf(PCI_BASE_ADDRESS_0, 4), ==, 0);
}

static void test_bar_moves(void)
{
    fresh();
    set_conf(PCI_BASE_ADDRESS_0, 0xf0000000, 4);
    set_conf(PCI_BASE_ADDRESS_1, 0xc000, 4);
    set_conf(PCI_BASE_ADDRESS_2, 0x01000000, 4);
    set_conf(PCI_BASE_ADDRESS_3, 0x00000008, 4);
    g_assert_cmphex(pc_load(0xf0000004, 1), ==, 0xff);
    set_conf(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(pc_load(0xf0000004, 1), ==, 0xa4);
    g_assert_cmphex(pc_load(UINT64_C(0x801000001), 1), ==, 0xa1);
    g_assert_cmphex(pc_in(0xc000, 1), ==, 0xff);
    set_conf(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
    pc_out(0xc000, 1, 0x5a);
    g_assert_cmphex(pc_in(0xc00f, 1), ==, 0x5a);
    /* Moved by one byte of the register. */
    set_conf(PCI_BASE_ADDRESS_0 + 3, 0xf1, 1);
    g_assert_cmphex(pc_load(0xf0000004, 1), ==, 0xff);
    g_assert_cmphex(pc_load(0xf1000004, 1), ==, 0xa4);
    set_conf(PCI_BASE_ADDRESS_1, 0xc100, 2);
    g_assert_cmphex(pc_in(0xc000, 1), ==, 0xff);
    g_assert_cmphex(pc_in(0xc100, 1), ==, 0x5a);
    /* RAM stays in front of a BAR that is put over it. */
    pc_store(0x100000, 1, 0x77);
    set_conf(PCI_BASE_ADDRESS_0, 0x100000, 4);
    g_assert_cmphex(pc_load(0x100000, 1), ==, 0x77);
    set_conf(PCI_COMMAND, 0, 2);
    g_assert_cmphex(pc_in(0xc100, 1), ==, 0xff);
}

static void test_bar_reload(void)
{
    fresh();
    set_conf(PCI_BASE_ADDRESS_0, 0xf0000000, 4);
    set_conf(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pc_reload(&toy->pci.dev);
    g_assert_cmphex(pc_load(0xf0000004, 1), ==, 0xa4);
    fresh();
    g_assert_cmphex(pc_load(0xf0000004, 1), ==, 0xff);
}

static void test_foreign_state(void)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const uint8_t *at;
    size_t left;
    GError *err = NULL;

    fresh();
    device_save(&toy->pci.dev, bytes);
    /* name length, "pci-device", version, block length, then config. */
    bytes->data[1 + 10 + 4 + 4] ^= 1;
    at = bytes->data;
    left = bytes->len;
    g_assert_false(device_load(&toy->pci.dev, &at, &left, &err));
    g_assert_nonnull(strstr(err->message, "byte 0x00 is 0x35"));
    g_error_free(err);
    toy->pci.config[0] = 0x34;
    fresh();
}

static void test_addresses(void)
{
    GError *err = NULL;
    Device *dev = device_new(&toy_type);

    /* Taken; function 1 of a slot that is not multifunction; none such. */
    g_assert_true(prop_set(&dev->obj, "addr", "3", NULL));
    g_assert_false(device_realize(dev, &t->pci->bus, &err));
    g_assert_nonnull(strstr(err->message, "addr=03.0"));
    g_clear_error(&err);
    object_unref(&dev->obj);
    dev = device_new(&toy_type);
    g_assert_true(prop_set(&dev->obj, "addr", "3.1", NULL));
    g_assert_false(device_realize(dev, &t->pci->bus, &err));
    g_assert_nonnull(strstr(err->message, "multifunction=on"));
    g_clear_error(&err);
    object_unref(&dev->obj);

    /* Next free slot; gone again, its BARs and lines with it. */
    dev = pc_add_pci(t, "toy-pci", NULL, NULL);
    g_assert_cmpuint(pci_device_of(dev)->devfn, ==, PCI_DEVFN_OF(2, 0));
    pc_conf_write(t, PCI_DEVFN_OF(2, 0), PCI_BASE_ADDRESS_0, 0xf2000000, 4);
    pc_conf_write(t, PCI_DEVFN_OF(2, 0), PCI_COMMAND, 2, 2);
    pci_set_irq(pci_device_of(dev), 1);
    g_assert_true(pci_bus_irq_level(t->pci, 1));
    device_delete(dev);
    g_assert_false(pci_bus_irq_level(t->pci, 1));
    g_assert_cmphex(pc_load(0xf2000004, 1), ==, 0xff);
    g_assert_cmphex(pc_conf_read(t, PCI_DEVFN_OF(2, 0), 0, 4), ==, 0xffffffff);
}

/* What a direct boot does in firmware's stead. */
static void test_platform_setup(void)
{
    machine_reset(t->m);
    boot_platform_setup(t->m);
    g_assert_cmphex(conf(PCI_COMMAND, 2) & 7, ==, 3);
    g_assert_cmphex(conf(PCI_INTERRUPT_LINE, 1), ==, 11);
    /* Largest first, from E0000000h; the 64-bit one fits there as well. */
    g_assert_cmphex(toy->pci.bars[2].gpa, ==, 0xe0000000);
    g_assert_cmphex(toy->pci.bars[0].gpa, ==, 0xe1000000);
    g_assert_cmphex(toy->pci.bars[4].gpa, ==, 0xe1001000);
    g_assert_cmphex(toy->pci.bars[1].gpa, ==, 0xc000);
    g_assert_cmphex(pc_load(0xe1000004, 1), ==, 0xa4);
    g_assert_cmphex(pc_conf_read(t, 0, 0x5f, 1), ==, 0x33);
    fresh();
}

/* --- INTx ------------------------------------------------------------------------------ */

static void test_intx(void)
{
    fresh();
    pci_set_irq(&toy->pci, 1);
    g_assert_cmphex(conf(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
    g_assert_true(pci_bus_irq_level(t->pci, 2));
    set_conf(PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    g_assert_false(pci_bus_irq_level(t->pci, 2));
    g_assert_cmphex(conf(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
    set_conf(PCI_COMMAND, 0, 2);
    g_assert_true(pci_bus_irq_level(t->pci, 2));
    pc_reload(&toy->pci.dev);
    g_assert_true(pci_bus_irq_level(t->pci, 2));
    pci_set_irq(&toy->pci, 0);
    pci_set_irq(&toy->pci, 0);
    g_assert_false(pci_bus_irq_level(t->pci, 2));
    pci_set_irq(&toy->pci, 1);
    fresh();
    g_assert_false(pci_bus_irq_level(t->pci, 2));
}

/* --- messages ---------------------------------------------------------------------------- */

static struct {
    unsigned n;
    uint64_t addr;
    uint32_t data;
} got;

static void receive(uint64_t addr, uint32_t data)
{
    got.n++;
    got.addr = addr;
    got.data = data;
}

static void test_msi(void)
{
    unsigned cap = toy->pci.msi_cap;

    fresh();
    got.n = 0;
    g_assert_cmphex(conf(cap, 1), ==, PCI_CAP_ID_MSI);
    g_assert_cmphex(conf(cap + PCI_MSI_FLAGS, 2), ==, 0x0184);
    msi_notify(&toy->pci, 0);
    g_assert_cmpuint(got.n, ==, 0);

    set_conf(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    set_conf(cap + PCI_MSI_ADDRESS_LO, 0xfee01000, 4);
    set_conf(cap + PCI_MSI_ADDRESS_HI, 0x1, 4);
    set_conf(cap + PCI_MSI_DATA_64, 0x4133, 2);
    set_conf(cap + PCI_MSI_FLAGS, 0x0021, 2);       /* on, 4 of 4 */
    msi_notify(&toy->pci, 2);
    g_assert_cmpuint(got.n, ==, 1);
    g_assert_cmphex(got.addr, ==, UINT64_C(0x1fee01000));
    g_assert_cmphex(got.data, ==, 0x4132);
    set_conf(cap + PCI_MSI_FLAGS, 0x0011, 2);       /* only 2: folded */
    msi_notify(&toy->pci, 3);
    g_assert_cmphex(got.data, ==, 0x4133);
    g_assert_cmpuint(got.n, ==, 2);

    /* Masked, pending, unmasked; and once only. */
    set_conf(cap + PCI_MSI_MASK_64, 0x2, 4);
    msi_notify(&toy->pci, 1);
    msi_notify(&toy->pci, 1);
    g_assert_cmpuint(got.n, ==, 2);
    g_assert_cmphex(conf(cap + PCI_MSI_PENDING_64, 4), ==, 2);
    set_conf(cap + PCI_MSI_MASK_64, 0, 1);
    g_assert_cmpuint(got.n, ==, 3);
    g_assert_cmphex(conf(cap + PCI_MSI_PENDING_64, 4), ==, 0);

    set_conf(PCI_COMMAND, 0, 2);
    msi_notify(&toy->pci, 1);
    g_assert_cmpuint(got.n, ==, 3);
}

static void test_msix(void)
{
    unsigned cap = toy->pci.msix_cap;
    uint64_t table = 0xf3000000, pba = table + 0x800;

    fresh();
    got.n = 0;
    g_assert_cmphex(conf(cap + PCI_MSIX_FLAGS, 2), ==, 39);
    g_assert_cmphex(conf(cap + PCI_MSIX_TABLE, 4), ==, 4);
    g_assert_cmphex(conf(cap + PCI_MSIX_PBA, 4), ==, 0x804);
    g_assert_cmpuint(msix_n_vectors(&toy->pci), ==, 40);
    set_conf(PCI_BASE_ADDRESS_4, table, 4);
    set_conf(PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(pc_load(table + 12, 4), ==, 1);

    pc_store(table + 39 * 16, 4, 0xfee00003);
    pc_store(table + 39 * 16 + 8, 4, 0x55);
    set_conf(cap + PCI_MSIX_FLAGS, 0xc000, 2);      /* on, all masked */
    msix_notify(&toy->pci, 39);
    msix_notify(&toy->pci, 40);                     /* none such */
    g_assert_cmphex(pc_load(pba + 4, 4), ==, 0x80);
    pc_store(table + 39 * 16 + 12, 4, 0xfffffffe);
    g_assert_cmphex(pc_load(table + 39 * 16 + 12, 4), ==, 0);
    g_assert_cmpuint(got.n, ==, 0);
    pc_reload(&toy->pci.dev);
    set_conf(cap + PCI_MSIX_FLAGS + 1, 0x80, 1);
    g_assert_cmpuint(got.n, ==, 1);
    g_assert_cmphex(got.addr, ==, 0xfee00000);
    g_assert_cmphex(got.data, ==, 0x55);
    g_assert_cmphex(pc_load(pba, 8), ==, 0);
    pc_store(pba, 8, ~UINT64_C(0));
    g_assert_cmphex(pc_load(pba, 8), ==, 0);
    msix_notify(&toy->pci, 39);
    g_assert_cmpuint(got.n, ==, 2);

    /* One vector's mask. */
    pc_store(table + 39 * 16 + 12, 4, 1);
    msix_notify(&toy->pci, 39);
    g_assert_cmpuint(got.n, ==, 2);
    pc_store(table + 39 * 16 + 12, 4, 0);
    g_assert_cmpuint(got.n, ==, 3);
    set_conf(cap + PCI_MSIX_FLAGS, 0, 2);
    msix_notify(&toy->pci, 39);
    g_assert_cmpuint(got.n, ==, 3);
}

/* An accelerator that takes messages by eventfd. */
static struct {
    bool refuses;
    int fd, n_connects, n_changes;
    uint64_t addr;
    uint32_t data;
} wire = { .fd = -1 };

static int wire_connect(int fd, uint64_t addr, uint32_t data)
{
    g_assert_cmpint(wire.fd, ==, -1);
    if (wire.refuses) {
        return -1;
    }
    wire.fd = fd;
    wire.addr = addr;
    wire.data = data;
    wire.n_connects++;
    return 7;
}

static bool wire_change(int route, uint64_t addr, uint32_t data)
{
    g_assert_cmpint(route, ==, 7);
    if (wire.refuses) {
        return false;
    }
    wire.addr = addr;
    wire.data = data;
    wire.n_changes++;
    return true;
}

static void wire_disconnect(int fd, int route)
{
    g_assert_cmpint(fd, ==, wire.fd);
    g_assert_cmpint(route, ==, 7);
    wire.fd = -1;
}

static uint64_t fd_count(int fd)
{
    uint64_t n;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void fd_write(int fd)
{
    const uint64_t one = 1;

    g_assert_cmpint(write(fd, &one, sizeof(one)), ==, sizeof(one));
    while (loop_iterate(loop_main(), false)) {
    }
}

/* MSI-X on, vector 3 not masked. */
static void enable_vector(uint64_t table)
{
    fresh();
    got.n = 0;
    set_conf(PCI_BASE_ADDRESS_4, table, 4);
    set_conf(PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
    pc_store(table + 3 * 16, 4, 0xfee01000);
    pc_store(table + 3 * 16 + 8, 4, 0x31);
    pc_store(table + 3 * 16 + 12, 4, 0);
    set_conf(toy->pci.msix_cap + PCI_MSIX_FLAGS, 0x8000, 2);
}

/* Nobody reads the eventfd but we. */
static void test_msix_fd(void)
{
    uint64_t table = 0xf3000000, pba = table + 0x800;
    int fd;

    enable_vector(table);
    g_assert_cmpint(msix_eventfd(&toy->pci, 40), ==, -1);
    fd = msix_eventfd(&toy->pci, 3);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(msix_eventfd(&toy->pci, 3), ==, fd);
    fd_write(fd);
    g_assert_cmpuint(got.n, ==, 1);
    g_assert_cmphex(got.data, ==, 0x31);
    pc_store(table + 3 * 16 + 12, 4, 1);
    fd_write(fd);
    g_assert_cmphex(pc_load(pba, 8), ==, 8);
    pc_store(table + 3 * 16 + 12, 4, 0);
    g_assert_cmpuint(got.n, ==, 2);
    msix_notify(&toy->pci, 3);
    g_assert_cmpuint(got.n, ==, 3);
}

/* The accelerator does, as long as the vector may send. */
static void test_msix_fd_connected(void)
{
    static const MsiFdOps ops = {
        .connect = wire_connect, .change = wire_change,
        .disconnect = wire_disconnect,
    };
    uint64_t table = 0xf3000000, pba = table + 0x800;
    unsigned flags = toy->pci.msix_cap + PCI_MSIX_FLAGS;
    int fd = msix_eventfd(&toy->pci, 3);

    msi_fd_ops = &ops;
    enable_vector(table);
    g_assert_cmpint(wire.fd, ==, fd);
    g_assert_cmphex(wire.addr, ==, 0xfee01000);
    g_assert_cmphex(wire.data, ==, 0x31);
    fd_write(fd);
    g_assert_cmpuint(fd_count(fd), ==, 1);
    msix_notify(&toy->pci, 3);
    g_assert_cmpuint(fd_count(fd), ==, 1);
    g_assert_cmpuint(got.n, ==, 0);

    pc_store(table + 3 * 16 + 8, 4, 0x32);
    g_assert_cmphex(wire.data, ==, 0x32);
    g_assert_cmpint(wire.n_changes, ==, 1);
    g_assert_cmpint(wire.n_connects, ==, 1);
    pc_reload(&toy->pci.dev);
    g_assert_cmphex(wire.data, ==, 0x32);
    g_assert_cmpint(wire.fd, ==, fd);
    /* Masked, off, no bus master, reset: ours; and back. */
    pc_store(table + 3 * 16 + 12, 4, 1);
    g_assert_cmpint(wire.fd, ==, -1);
    fd_write(fd);
    g_assert_cmphex(pc_load(pba, 8), ==, 8);
    pc_store(table + 3 * 16 + 12, 4, 0);
    g_assert_cmpint(wire.fd, ==, fd);
    g_assert_cmphex(pc_load(pba, 8), ==, 0);
    g_assert_cmpuint(fd_count(fd), ==, 1);
    set_conf(flags, 0xc000, 2);
    g_assert_cmpint(wire.fd, ==, -1);
    set_conf(flags, 0x8000, 2);
    g_assert_cmpint(wire.fd, ==, fd);
    set_conf(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(wire.fd, ==, -1);
    set_conf(PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(wire.fd, ==, fd);

    /* It has no route left: messages as ever. */
    wire.refuses = true;
    pc_store(table + 3 * 16 + 8, 4, 0x33);
    g_assert_cmpint(wire.fd, ==, -1);
    g_assert_cmpuint(got.n, ==, 0);
    fd_write(fd);
    msix_notify(&toy->pci, 3);
    g_assert_cmpuint(got.n, ==, 2);
    g_assert_cmphex(got.data, ==, 0x33);
    wire.refuses = false;
    enable_vector(table);
    g_assert_cmpint(wire.fd, ==, fd);
    fresh();
    g_assert_cmpint(wire.fd, ==, -1);
    msi_fd_ops = NULL;
}

/* --- DMA ----------------------------------------------------------------------------------- */

static void test_dma(void)
{
    uint32_t word = 0;
    uint64_t len = 4;

    fresh();
    pc_store(0x200000, 4, 0x12345678);
    g_assert_cmpint(pci_dma_read(&toy->pci, 0x200000, &word, 4), ==,
                    MEM_DECODE_ERROR);
    g_assert_cmphex(word, ==, 0xffffffff);
    g_assert_cmpint(pci_dma_write(&toy->pci, 0x200000, &word, 4), ==,
                    MEM_DECODE_ERROR);
    g_assert_null(pci_dma_map(&toy->pci, 0x200000, &len, false));
    set_conf(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    g_assert_cmpint(pci_dma_read(&toy->pci, 0x200000, &word, 4), ==, MEM_OK);
    g_assert_cmphex(word, ==, 0x12345678);
    word = 0xcafe;
    g_assert_cmpint(pci_dma_write(&toy->pci, 0x200000, &word, 4), ==, MEM_OK);
    g_assert_cmphex(pc_load(0x200000, 4), ==, 0xcafe);
}

/* --- option ROM -------------------------------------------------------------------------------- */

static void test_rom(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(),
                                             "pci-test-XXXXXX", NULL);
    g_autofree char *props = NULL;
    int fd = g_mkstemp(path);
    uint8_t rom[3000] = { 0x55, 0xaa, 6 };
    Device *dev;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, (char *)rom, sizeof(rom), NULL));
    props = g_strdup_printf("romfile=%s", path);
    dev = pc_add_pci(t, "toy-pci", "6.0", props);
    g_assert_true(pci_load_rom(pci_device_of(dev), NULL, NULL));
    pc_conf_write(t, PCI_DEVFN_OF(6, 0), PCI_ROM_ADDRESS, 0xffffffff, 4);
    g_assert_cmphex(pc_conf_read(t, PCI_DEVFN_OF(6, 0), PCI_ROM_ADDRESS, 4),
                    ==, 0xfffff001);
    pc_conf_write(t, PCI_DEVFN_OF(6, 0), PCI_ROM_ADDRESS, 0xf4000000, 4);
    pc_conf_write(t, PCI_DEVFN_OF(6, 0), PCI_COMMAND, 2, 2);
    g_assert_cmphex(pc_load(0xf4000000, 2), ==, 0xffff);
    pc_conf_write(t, PCI_DEVFN_OF(6, 0), PCI_ROM_ADDRESS, 0xf4000001, 4);
    g_assert_cmphex(pc_load(0xf4000000, 2), ==, 0xaa55);
    pc_store(0xf4000000, 2, 0);
    g_assert_cmphex(pc_load(0xf4000000, 2), ==, 0xaa55);
    device_delete(dev);
    g_assert_cmphex(pc_load(0xf4000000, 2), ==, 0xffff);
    g_unlink(path);
}

/* What kvm-unit-tests does with pci-testdev, by port and by address. */
static void test_testdev(void)
{
    Device *dev = pc_add_pci(t, "pci-testdev", "7.0", "membar=1048576");
    unsigned at = PCI_DEVFN_OF(7, 0);

    g_assert_cmphex(pc_conf_read(t, at, PCI_VENDOR_ID, 4), ==, 0x00051b36);
    pc_conf_write(t, at, PCI_BASE_ADDRESS_0, 0xf5000000, 4);
    pc_conf_write(t, at, PCI_BASE_ADDRESS_1, 0xc100, 4);
    pc_conf_write(t, at, PCI_BASE_ADDRESS_2, 0xffffffff, 4);
    g_assert_cmphex(pc_conf_read(t, at, PCI_BASE_ADDRESS_2, 4), ==,
                    0xfff0000c);
    pc_conf_write(t, at, PCI_COMMAND, 3, 2);
    for (unsigned test = 0; test < 4; test++) {
        uint32_t offset, data;

        pc_store(0xf5000000, 1, test);
        pc_out(0xc100, 1, test);
        g_assert_cmphex(pc_load(0xf5000001, 1), ==, test < 3 ? 1 : 0);
        g_assert_cmphex(pc_in(0xc101, 1), ==, test < 3 ? 1 : 0);
        if (test == 3) {
            break;
        }
        offset = pc_load(0xf5000004, 4);
        data = pc_load(0xf5000008, 4);
        for (unsigned i = 1; i < 5; i++) {
            pc_store(0xf5000000 + offset, 1, data);
            g_assert_cmphex(pc_load(0xf500000c, 4), ==, i);
        }
        pc_store(0xf5000000 + offset, 2, data);     /* not its width */
        pc_store(0xf5000000 + offset, 1, data ^ 1);
        g_assert_cmphex(pc_load(0xf500000c, 4), ==, test < 2 ? 5 : 4);
        g_assert_cmphex(pc_in(0xc10c, 4), ==, 0);
        pc_out(0xc100 + pc_in(0xc104, 4), 1, pc_in(0xc108, 4));
        g_assert_cmphex(pc_in(0xc10c, 4), ==, 1);
    }
    pc_reload(dev);
    g_assert_cmphex(pc_load(0xf5000001, 1), ==, 0);
    pc_store(0xf5000000, 1, 0);
    g_assert_cmphex(pc_load(0xf500000c, 4), ==, 0);
    g_assert_cmphex(pc_load(0xf5000010, 4), ==, 0x6f696d6d);    /* "mmio" */
    device_delete(dev);
}

/* `info qtree`: a line each, under the device. */
static void test_print(void)
{
    g_autoptr(GString) out = g_string_new(NULL);

    device_print_tree(out);
    g_assert_nonnull(strstr(out->str, "\n        class 0x0600, addr 00:00.0, "
                            "pci id 8086:1237 (sub 1af4:1100)\n"));
}

int main(int argc, char **argv)
{
    t = pc_test_init(&argc, &argv, 64 * MiB);
    toy = container_of(pci_device_of(pc_add_pci(t, "toy-pci", "3.0", NULL)),
                       Toy, pci);
    devfn = toy->pci.devfn;
    msi_set_receiver(receive);

    g_test_add_func("/pci/print", test_print);
    g_test_add_func("/pci/conf1", test_conf1);
    g_test_add_func("/pci/header", test_header);
    g_test_add_func("/pci/bar/sizing", test_bar_sizing);
    g_test_add_func("/pci/bar/moves", test_bar_moves);
    g_test_add_func("/pci/bar/reload", test_bar_reload);
    g_test_add_func("/pci/state/foreign", test_foreign_state);
    g_test_add_func("/pci/addresses", test_addresses);
    g_test_add_func("/pci/platform-setup", test_platform_setup);
    g_test_add_func("/pci/intx", test_intx);
    g_test_add_func("/pci/msi", test_msi);
    g_test_add_func("/pci/msix", test_msix);
    g_test_add_func("/pci/msix-fd/ours", test_msix_fd);
    g_test_add_func("/pci/msix-fd/connected", test_msix_fd_connected);
    g_test_add_func("/pci/dma", test_dma);
    g_test_add_func("/pci/rom", test_rom);
    g_test_add_func("/pci/testdev", test_testdev);
    return g_test_run();
}
