/*
 * Virtio over PCI, whatever the device: the function, its registers, rings that
 * are as they should be and rings that lie.  A disk stands for all devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "block/drive.h"
#include "hw/virtio/virtio-mmio.h"
#include "mem/doorbell.h"
#include "vdriver.h"

enum { RAM_BYTES = 16 << 20, ID_BYTES = 20, HEADER = VD_DATA,
       ID = VD_DATA + 0x100, STATUS = VD_DATA + 0x200, TABLE = VD_DATA + 0x1000 };

static PcTest *pc;
static VdMode mode;
static const char *const mode_names[] = { "legacy", "modern", "packed" };

static VDriver *new_disk(const char *props)
{
    g_autofree char *all = g_strdup_printf("drive=d,serial=0123456789%s%s",
                                           props ? "," : "",
                                           props ? props : "");

    return vd_new(pc, "virtio-blk-pci", all, mode);
}

/* The shortest request that comes back: GET_ID. */
static void fill_get_id(VdBuf bufs[3])
{
    pc_store(HEADER, 8, VIRTIO_BLK_T_GET_ID);
    pc_store(HEADER + 8, 8, 0);
    pc_store(ID, 8, 0);
    pc_store(STATUS, 1, 0xff);
    bufs[0] = (VdBuf) { HEADER, 16, false };
    bufs[1] = (VdBuf) { ID, ID_BYTES, true };
    bufs[2] = (VdBuf) { STATUS, 1, true };
}

static uint16_t add_get_id(VDriver *d, uint64_t table)
{
    VdBuf bufs[3];

    fill_get_id(bufs);
    return vd_add(d, 0, bufs, 3, table);
}

static void check_get_id(VDriver *d, uint16_t want_id)
{
    uint16_t id;

    g_assert_cmpuint(vd_wait(d, 0, &id), ==, ID_BYTES + 1);
    g_assert_cmpuint(id, ==, want_id);
    g_assert_cmphex(pc_load(STATUS, 1), ==, VIRTIO_BLK_S_OK);
    g_assert_cmphex(pc_load(ID, 8), ==, 0x3736353433323130);
}

static void one_request(VDriver *d)
{
    uint16_t id = add_get_id(d, 0);

    vd_kick(d, 0);
    check_get_id(d, id);
}

/* --- the function ------------------------------------------------------------------ */

static void test_ids(void)
{
    static const struct {
        const char *type, *props;
        uint16_t device;
        uint8_t revision;
        uint16_t subsystem;
        bool legacy, modern;
    } rows[] = {
        { "virtio-blk-pci", "drive=d", 0x1001, 0, 2, true, true },
        { "virtio-blk-pci", "drive=d,disable-modern=on", 0x1001, 0, 2, true,
          false },
        { "virtio-blk-pci", "drive=d,disable-legacy=on", 0x1042, 1, 0x1100,
          false, true },
        { "virtio-blk-pci", "drive=d,iommu_platform=on", 0x1042, 1, 0x1100,
          false, true },
        { "virtio-blk-pci-transitional", "drive=d", 0x1001, 0, 2, true,
          true },
        { "virtio-blk-pci-non-transitional", "drive=d", 0x1042, 1, 0x1100,
          false, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        VDriver *d = vd_new(pc, rows[i].type, rows[i].props, VD_MODERN);
        PciDevice *pci = pci_device_of(d->dev);

        g_assert_cmphex(pc_conf_read(pc, d->devfn, PCI_VENDOR_ID, 2), ==,
                        0x1af4);
        g_assert_cmphex(pc_conf_read(pc, d->devfn, PCI_DEVICE_ID, 2), ==,
                        rows[i].device);
        g_assert_cmphex(pc_conf_read(pc, d->devfn, PCI_CLASS_REVISION, 4), ==,
                        0x01000000u | rows[i].revision);
        g_assert_cmphex(pc_conf_read(pc, d->devfn, PCI_SUBSYSTEM_ID, 2), ==,
                        rows[i].subsystem);
        g_assert_cmpint(pci->bars[0].region != NULL, ==, rows[i].legacy);
        g_assert_cmpint(pci->bars[4].region != NULL, ==, rows[i].modern);
        vd_free(d);
    }
}

static void refused(const char *props, const char *why)
{
    g_auto(GStrv) list = g_strsplit(props, ",", -1);
    Device *dev = device_new(type_find("virtio-blk-pci"));
    GError *err = NULL;

    for (unsigned i = 0; list[i]; i++) {
        char *eq = strchr(list[i], '=');

        *eq = '\0';
        prop_set(&dev->obj, list[i], eq + 1, &err);
        g_assert_no_error(err);
    }
    g_assert_false(device_realize(dev, &pc->pci->bus, &err));
    if (!strstr(err->message, why)) {
        g_error("'%s' for %s", err->message, props);
    }
    g_error_free(err);
    object_unref(&dev->obj);
}

static void test_mistakes(void)
{
    refused("drive=d,disable-legacy=on,disable-modern=on", "no interface");
    refused("drive=d,iommu_platform=on,disable-modern=on",
            "needs disable-legacy=on");
    refused("drive=d,vectors=3000", "vectors=3000");
    refused("drive=d,queue-size=100", "power of two");
    refused("drive=d,num-queues=0", "1 to 1024");
    refused("drive=d,scsi=on", "not passed through");
    refused("drive=d,max-discard-sectors=0", "1 to 4194303");
    refused("serial=x", "drive property not set");
}

static void test_capabilities(void)
{
    VDriver *d = new_disk("modern-pio-notify=on,page-per-vq=on");
    unsigned found[8] = { 0 }, at = pc_conf_read(pc, d->devfn, 0x34, 1);

    for (int n = 0; at && n < 48; n++) {
        if (pc_conf_read(pc, d->devfn, at, 1) == PCI_CAP_ID_VNDR) {
            unsigned type = pc_conf_read(pc, d->devfn, at + 3, 1);

            found[type & 7]++;
            if (type == VIRTIO_PCI_CAP_NOTIFY_CFG
                && pc_conf_read(pc, d->devfn, at + 4, 1) == 4) {
                g_assert_cmphex(pc_conf_read(pc, d->devfn, at + 16, 4), ==,
                                4096);
            }
        }
        at = pc_conf_read(pc, d->devfn, at + 1, 1);
    }
    g_assert_cmpuint(found[VIRTIO_PCI_CAP_COMMON_CFG], ==, 1);
    g_assert_cmpuint(found[VIRTIO_PCI_CAP_NOTIFY_CFG], ==, 2);
    g_assert_cmpuint(found[VIRTIO_PCI_CAP_ISR_CFG], ==, 1);
    g_assert_cmpuint(found[VIRTIO_PCI_CAP_DEVICE_CFG], ==, 1);
    g_assert_cmpuint(found[VIRTIO_PCI_CAP_PCI_CFG], ==, 1);
    vd_free(d);
}

/* The capability that reaches the BARs from configuration space. */
static void test_window(void)
{
    VDriver *d = new_disk(NULL);
    unsigned cap = container_of(d->dev, VirtioPci, pci.dev)->cfg_cap;
    unsigned data = cap + 16;

    g_assert_cmpuint(cap, !=, 0);
    pc_conf_write(pc, d->devfn, cap + 4, 4, 1);         /* BAR 4 */
    pc_conf_write(pc, d->devfn, cap + 8, VIRTIO_PCI_COMMON_NUMQ, 4);
    pc_conf_write(pc, d->devfn, cap + 12, 2, 4);
    g_assert_cmphex(pc_conf_read(pc, d->devfn, data, 2), ==, 1);
    pc_conf_write(pc, d->devfn, cap + 8, VIRTIO_PCI_COMMON_STATUS, 4);
    pc_conf_write(pc, d->devfn, cap + 12, 1, 4);
    pc_conf_write(pc, d->devfn, data, VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_STATUS, 1), ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE);
    /* Nowhere, unaligned, of a strange length: nothing happens. */
    pc_conf_write(pc, d->devfn, cap + 8, 0x7ffffff0, 4);
    pc_conf_write(pc, d->devfn, data, 0, 1);
    pc_conf_write(pc, d->devfn, cap + 8, VIRTIO_PCI_COMMON_STATUS, 4);
    pc_conf_write(pc, d->devfn, cap + 12, 3, 4);
    pc_conf_write(pc, d->devfn, data, 0, 1);
    pc_conf_write(pc, d->devfn, cap + 12, 1, 4);
    pc_conf_write(pc, d->devfn, cap + 4, 3, 1);
    pc_conf_write(pc, d->devfn, data, 0, 1);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_STATUS, 1), ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vd_free(d);
}

/* --- registers ------------------------------------------------------------------------ */

static void test_features(void)
{
    VDriver *d = new_disk("num-queues=2,event_idx=off");
    uint64_t offered = vd_offered(d);

    g_assert_true(offered & BIT64(VIRTIO_BLK_F_MQ));
    g_assert_true(offered & BIT64(VIRTIO_RING_F_INDIRECT_DESC));
    g_assert_false(offered & BIT64(VIRTIO_RING_F_EVENT_IDX));
    if (mode == VD_LEGACY) {
        g_assert_true(offered & BIT64(VIRTIO_F_NOTIFY_ON_EMPTY));
        g_assert_true(offered & BIT64(VIRTIO_F_ANY_LAYOUT));
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_GUEST_FEATURES, 4, 0xffffffff);
        g_assert_cmphex(pc_in(VD_LEGACY_PORT + VIRTIO_PCI_GUEST_FEATURES, 4),
                        ==, offered);
    } else {
        g_assert_true(offered & BIT64(VIRTIO_F_VERSION_1));
        g_assert_false(offered & BIT64(VIRTIO_F_NOTIFY_ON_EMPTY));
        g_assert_cmpint(offered >> VIRTIO_F_RING_PACKED & 1, ==,
                        mode == VD_PACKED);
        vd_set_common(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
        g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_DF, 4), ==, 0);
        /* A driver that takes what was not offered is told so. */
        vd_set_status(d, 3);
        vd_set_common(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
        vd_set_common(d, VIRTIO_PCI_COMMON_GF, 4, 0xffffffff);
        vd_set_status(d, 3 | VIRTIO_CONFIG_S_FEATURES_OK);
        g_assert_cmphex(vd_status(d), ==, 3);
    }
    vd_start(d, UINT64_MAX, 1, 0, false);
    /* Too late. */
    if (mode != VD_LEGACY) {
        vd_set_common(d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
        vd_set_common(d, VIRTIO_PCI_COMMON_GF, 4, 0);
        g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_GF, 4), ==,
                        (uint32_t)d->features);
    }
    one_request(d);
    vd_free(d);
}

static void test_registers(void)
{
    VDriver *d = new_disk("num-queues=2,queue-size=64");

    if (mode == VD_LEGACY) {
        vd_free(d);
        return;
    }
    g_assert_cmpuint(vd_common(d, VIRTIO_PCI_COMMON_NUMQ, 2), ==, 2);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
    g_assert_cmpuint(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 64);
    g_assert_cmpuint(vd_common(d, VIRTIO_PCI_COMMON_Q_NOFF, 2), ==, 1);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 128);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 0);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 33);
    g_assert_cmpuint(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 64);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);
    g_assert_cmpuint(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 32);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x12340);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 5);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), ==,
                    0x500012340);
    /* Vectors that are there, and those that are not. */
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), ==, 2);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 3);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), ==, 0xffff);
    /* A queue that is on keeps its registers; reset gives them back. */
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x99990);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4), ==, 0x12340);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 32);
    vd_set_status(d, 0);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), ==, 0);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 64);
    /* There is no queue 2. */
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), ==, 0);
    g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), ==, 0);
    vd_kick(d, 2);
    vd_free(d);
}

static void test_interrupts(void)
{
    VDriver *d = new_disk(NULL);

    /* INTx: a level, and a status that reading clears. */
    vd_start(d, 0, 1, 0, false);
    one_request(d);
    g_assert_cmpint(vd_intx(d), ==, 1);
    g_assert_cmphex(vd_isr(d), ==, 1);
    g_assert_cmpint(vd_intx(d), ==, 0);
    g_assert_cmphex(vd_isr(d), ==, 0);
    /* MSI-X: the queue's own message. */
    vd_start(d, 0, 1, 0, true);
    one_request(d);
    g_assert_cmpuint(d->msi_count[1], ==, 1);
    g_assert_cmpuint(d->n_msis, ==, 1);
    g_assert_cmpint(vd_intx(d), ==, 0);
    /* Masked at the table: pending, and sent when it is unmasked. */
    pc_store(VD_MSIX_GPA + 16 + 12, 4, 1);
    one_request(d);
    g_assert_cmpuint(d->msi_count[1], ==, 1);
    pc_store(VD_MSIX_GPA + 16 + 12, 4, 0);
    g_assert_cmpuint(d->msi_count[1], ==, 2);
    vd_free(d);
}

/* No memory for a device that is not a bus master, but for old Linux. */
static void test_bus_master(void)
{
    VDriver *d = new_disk(NULL);
    uint16_t id;
    uint32_t bytes;

    vd_start(d, 0, 1, 0, false);
    pc_conf_write(pc, d->devfn, PCI_COMMAND,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    add_get_id(d, 0);
    vd_kick(d, 0);
    vd_run();
    g_assert_false(vd_used(d, 0, &id, &bytes));
    g_assert_cmphex(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
    if (mode == VD_LEGACY) {
        vd_start(d, 0, 1, 0, false);
        g_assert_true(pc_conf_read(pc, d->devfn, PCI_COMMAND, 2)
                      & PCI_COMMAND_MASTER);
        one_request(d);
    }
    vd_free(d);
}

/* Before DRIVER_OK a legacy driver may use its queues, a modern one not. */
static void test_early_kick(void)
{
    VDriver *d = new_disk(NULL);
    uint16_t id, got;
    uint32_t bytes;

    vd_set_status(d, 3);
    vd_negotiate(d, 0);
    vd_set_up_queue(d, 0, 0, false);
    id = add_get_id(d, 0);
    vd_kick(d, 0);
    if (mode != VD_LEGACY) {
        vd_run();
        g_assert_false(vd_used(d, 0, &got, &bytes));
        vd_set_status(d, vd_status(d) | VIRTIO_CONFIG_S_DRIVER_OK);
    }
    check_get_id(d, id);
    vd_free(d);
}

/* --- good rings --------------------------------------------------------------------------- */

static void test_wrap(void)
{
    VDriver *d = new_disk("queue-size=8");

    vd_start(d, UINT64_MAX, 1, 8, false);
    for (unsigned i = 0; i < 70000; i++) {
        uint16_t id = add_get_id(d, i % 3 == 0 ? TABLE : 0), got;
        uint32_t bytes;

        vd_kick(d, 0);
        if (!vd_used(d, 0, &got, &bytes) || got != id) {
            g_error("element %u was not used", i);
        }
    }
    vd_free(d);
}

static void test_suppression(void)
{
    VDriver *d = new_disk("queue-size=8");
    VdQueue *q = &d->q[0];

    if (mode == VD_PACKED) {
        vd_start(d, BIT64(VIRTIO_RING_F_EVENT_IDX), 1, 8, true);
        pc_store(q->avail + 2, 2, 1);           /* disabled */
        one_request(d);
        g_assert_cmpuint(d->n_msis, ==, 0);
        pc_store(q->avail, 2, 6 | 0x8000);      /* when entry 6 is used */
        pc_store(q->avail + 2, 2, 2);
        one_request(d);                         /* 3 to 5 */
        g_assert_cmpuint(d->n_msis, ==, 0);
        one_request(d);                         /* 6, 7, 0 */
        g_assert_cmpuint(d->n_msis, ==, 1);
        /* And the device says that it wants the next kick. */
        g_assert_cmphex(pc_load(q->used + 2, 2), ==, 2);
        g_assert_cmphex(pc_load(q->used, 2), ==, 1);
        vd_free(d);
        return;
    }
    vd_start(d, 0, 1, 8, true);
    pc_store(q->avail, 2, 1);                   /* NO_INTERRUPT */
    one_request(d);
    g_assert_cmpuint(d->n_msis, ==, 0);
    pc_store(q->avail, 2, 0);
    one_request(d);
    g_assert_cmpuint(d->n_msis, ==, 1);
    if (mode == VD_LEGACY) {
        vd_start(d, BIT64(VIRTIO_F_NOTIFY_ON_EMPTY), 1, 8, true);
        pc_store(q->avail, 2, 1);
        one_request(d);
        g_assert_cmpuint(d->n_msis, ==, 1);
    }
    vd_start(d, BIT64(VIRTIO_RING_F_EVENT_IDX), 1, 8, true);
    q = &d->q[0];
    pc_store(q->avail + 4 + 2 * q->size, 2, 2); /* used_event */
    one_request(d);                             /* the first always does */
    g_assert_cmpuint(d->n_msis, ==, 1);
    one_request(d);
    g_assert_cmpuint(d->n_msis, ==, 1);
    one_request(d);
    g_assert_cmpuint(d->n_msis, ==, 2);
    one_request(d);
    g_assert_cmpuint(d->n_msis, ==, 2);
    g_assert_cmpuint(pc_load(q->used + 4 + 8 * q->size, 2), ==, 4);
    vd_free(d);
}

/* What an accelerator does instead of calling. */
static void test_doorbell(void)
{
    VDriver *d = new_disk("num-queues=2");
    VirtioPci *s = container_of(d->dev, VirtioPci, pci.dev);
    Region *r = mode == VD_LEGACY ? &s->legacy : &s->notify;
    const uint64_t one = 1;
    unsigned n;
    const Doorbell *bell = doorbell_of(r, &n);
    uint16_t id;

    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpuint(bell[1].offset, ==, mode == VD_LEGACY ? 16 : 4);
    g_assert_cmpint(bell[1].match, ==, mode == VD_LEGACY);
    g_assert_cmpuint(bell[1].data, ==, 1);
    vd_start(d, UINT64_MAX, 1, 0, true);
    id = add_get_id(d, 0);
    g_assert_cmpint(write(bell->fd(bell->opaque), &one, sizeof(one)), ==,
                    sizeof(one));
    check_get_id(d, id);
    one_request(d);             /* and by the register */
    vd_free(d);
    d = new_disk("ioeventfd=off");
    s = container_of(d->dev, VirtioPci, pci.dev);
    g_assert_null(doorbell_of(&s->notify, &n));
    vd_free(d);
}

static void test_queue_reset(void)
{
    VDriver *d = new_disk("num-queues=2");

    vd_start(d, UINT64_MAX, 2, 0, false);
    one_request(d);
    if (mode == VD_LEGACY) {
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_SEL, 2, 0);
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_PFN, 4, 0);
        g_assert_cmphex(pc_in(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_PFN, 4), ==,
                        0);
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_SEL, 2, 1);
        g_assert_cmphex(pc_in(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_PFN, 4), !=,
                        0);
    } else {
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
        vd_set_common(d, 58, 2, 1);
        g_assert_cmphex(vd_common(d, 58, 2), ==, 0);
        g_assert_cmphex(vd_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), ==, 0);
    }
    vd_set_up_queue(d, 0, 0, false);
    one_request(d);
    vd_free(d);
}

static void test_reload(void)
{
    VDriver *d = new_disk("num-queues=2");

    vd_start(d, UINT64_MAX, 2, 0, true);
    for (int i = 0; i < 10; i++) {
        one_request(d);
        pc_reload(d->dev);
    }
    g_assert_cmpuint(d->msi_count[1], >, 0);
    vd_free(d);
}

/* The guest's memory map changes under the rings. */
static void test_remap(void)
{
    VDriver *d = new_disk(NULL);
    Region hole;

    vd_start(d, UINT64_MAX, 1, 0, false);
    one_request(d);
    region_init_io(&hole, NULL, "hole", NULL, NULL, 4096);
    region_map(mem_root(), VD_RINGS, &hole, 10);
    vd_kick(d, 0);
    vd_run();
    g_assert_cmpint(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET, ==,
                    mode == VD_LEGACY ? 0 : VIRTIO_CONFIG_S_NEEDS_RESET);
    region_unmap(&hole);
    region_destroy(&hole);
    vd_start(d, UINT64_MAX, 1, 0, false);
    one_request(d);
    vd_free(d);
}

/* --- without PCI ----------------------------------------------------------------------------- */

enum { MMIO = 0xd0000000 };

static uint32_t reg(unsigned at)
{
    return pc_load(MMIO + at, 4);
}

static void set_reg(unsigned at, uint32_t val)
{
    pc_store(MMIO + at, 4, val);
}

static void mmio_line(void *opaque, int n, int level)
{
    *(int *)opaque = level;
}

static Device *add_mmio_disk(Bus *bus, GError **err)
{
    Device *dev = device_new(type_find("virtio-blk-device"));

    prop_set(&dev->obj, "drive", "d", err);
    prop_set(&dev->obj, "serial", "0123456789", err);
    if (!device_realize(dev, bus, err)) {
        object_unref(&dev->obj);
        return NULL;
    }
    device_reset(dev);
    return dev;
}

static void set_up_mmio(VdQueue *q, bool legacy)
{
    q->size = 8;
    q->desc = VD_RINGS;
    q->avail = q->desc + 16 * q->size;
    q->used = ALIGN_UP(q->avail + 6 + 2 * q->size, UINT64_C(4096));
    for (unsigned i = 0; i < 8192; i += 8) {
        pc_store(VD_RINGS + i, 8, 0);
    }
    set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
    g_assert_cmpuint(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), ==, 256);
    set_reg(VIRTIO_MMIO_QUEUE_NUM, q->size);
    if (legacy) {
        set_reg(VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
        set_reg(VIRTIO_MMIO_QUEUE_ALIGN, 4096);
        set_reg(VIRTIO_MMIO_QUEUE_PFN, q->desc / 4096);
        g_assert_cmphex(reg(VIRTIO_MMIO_QUEUE_PFN), ==, q->desc / 4096);
        return;
    }
    set_reg(VIRTIO_MMIO_QUEUE_DESC_LOW, q->desc);
    set_reg(VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->avail);
    set_reg(VIRTIO_MMIO_QUEUE_USED_LOW, q->used);
    set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
    g_assert_cmphex(reg(VIRTIO_MMIO_QUEUE_READY), ==, 1);
}

static void drive_mmio(bool legacy, int *line)
{
    VdQueue q = { 0 };

    g_assert_cmpuint(reg(VIRTIO_MMIO_DEVICE_ID), ==, 2);
    set_reg(VIRTIO_MMIO_STATUS, 3);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES, legacy ? 0 : 1);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set_reg(VIRTIO_MMIO_DRIVER_FEATURES, 0);
    if (!legacy) {
        set_reg(VIRTIO_MMIO_STATUS, 11);
        g_assert_cmphex(reg(VIRTIO_MMIO_STATUS), ==, 11);
    }
    set_up_mmio(&q, legacy);
    set_reg(VIRTIO_MMIO_STATUS, legacy ? 7 : 15);
    for (unsigned i = 1; i < 20; i++) {
        VdBuf bufs[3];

        fill_get_id(bufs);
        vd_desc(&q, 0, bufs[0].gpa, 16, VQ_DESC_NEXT, 1);
        vd_desc(&q, 1, bufs[1].gpa, ID_BYTES, VQ_DESC_NEXT | VQ_DESC_WRITE,
                2);
        vd_desc(&q, 2, bufs[2].gpa, 1, VQ_DESC_WRITE, 0);
        vd_make_avail(&q, 0);
        set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        g_assert_cmpuint(pc_load(q.used + 2, 2), ==, i);
        g_assert_cmphex(pc_load(ID, 8), ==, 0x3736353433323130);
        g_assert_cmpint(*line, ==, 1);
        g_assert_cmphex(reg(VIRTIO_MMIO_INTERRUPT_STATUS), ==, 1);
        set_reg(VIRTIO_MMIO_INTERRUPT_ACK, 1);
        g_assert_cmpint(*line, ==, 0);
    }
    g_assert_cmpuint(pc_load(MMIO + VIRTIO_MMIO_CONFIG, 8), ==, 131072);
    set_reg(VIRTIO_MMIO_STATUS, 0);
    g_assert_cmphex(reg(VIRTIO_MMIO_STATUS), ==, 0);
}

static void test_mmio(void)
{
    for (int legacy = 0; legacy < 2; legacy++) {
        Device *dev = device_new(type_find("virtio-mmio")), *disk;
        g_autoptr(GError) err = NULL;
        int line = 0;

        prop_set(&dev->obj, "force-legacy", legacy ? "on" : "off", &err);
        device_realize(dev, NULL, &err);
        g_assert_no_error(err);
        device_connect(dev, "irq", 0, (Irq) { mmio_line, &line, 0 });
        device_reset(dev);
        region_map(mem_root(), MMIO, device_region(dev, 0), 10);
        g_assert_cmphex(reg(VIRTIO_MMIO_MAGIC_VALUE), ==, 0x74726976);
        g_assert_cmphex(reg(VIRTIO_MMIO_VERSION), ==, legacy ? 1 : 2);
        g_assert_cmphex(reg(VIRTIO_MMIO_DEVICE_ID), ==, 0);
        set_reg(VIRTIO_MMIO_STATUS, 3);         /* nobody is there */
        g_assert_cmphex(reg(VIRTIO_MMIO_STATUS), ==, 0);

        disk = add_mmio_disk(&container_of(dev, VirtioMmio, dev)->bus, &err);
        g_assert_no_error(err);
        drive_mmio(legacy, &line);
        pc_reload(disk);
        drive_mmio(legacy, &line);
        g_assert_null(add_mmio_disk(&container_of(dev, VirtioMmio, dev)->bus,
                                    &err));
        g_assert_nonnull(err);
        device_delete(dev);
    }
}

/* --- rings that lie -------------------------------------------------------------------------- */

static void check_broken(VDriver *d, const char *what)
{
    uint16_t id;
    uint32_t bytes;

    vd_kick(d, 0);
    vd_run();
    if (vd_used(d, 0, &id, &bytes)) {
        g_error("%s: an element was used", what);
    }
    if (mode != VD_LEGACY) {
        if (!(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
            g_error("%s: the device works on", what);
        }
        g_assert_cmpuint(d->msi_count[0], ==, 1);
        /* The driver cannot take it back. */
        vd_set_status(d, 15);
        g_assert_true(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET);
    }
    vd_kick(d, 0);
    vd_run();
    vd_start(d, UINT64_MAX, 1, 8, true);
    one_request(d);
    g_assert_cmphex(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
}

/* Buffers that no element can have, in both kinds of rings. */
static void test_bad_buffers(void)
{
    static const struct {
        const char *what;
        VdBuf bufs[3];
        unsigned n;
    } rows[] = {
        { "no byte", { { HEADER, 16, 0 }, { ID, 0, 1 }, { STATUS, 1, 1 } },
          3 },
        { "no memory", { { HEADER, 16, 0 }, { 0xf0000000, 20, 1 },
          { STATUS, 1, 1 } }, 3 },
        { "across the end", { { HEADER, 16, 0 }, { RAM_BYTES - 8, 20, 1 },
          { STATUS, 1, 1 } }, 3 },
        { "far end of all", { { HEADER, 16, 0 }, { UINT64_MAX - 4, 20, 1 },
          { STATUS, 1, 1 } }, 3 },
        { "giant", { { HEADER, 16, 0 }, { ID, 0xffffffff, 1 },
          { STATUS, 1, 1 } }, 3 },
        { "order", { { ID, 20, 1 }, { HEADER, 16, 0 }, { STATUS, 1, 1 } },
          3 },
        { "a register", { { HEADER, 16, 0 }, { VD_MODERN_GPA, 20, 1 },
          { STATUS, 1, 1 } }, 3 },
        { "no status", { { HEADER, 16, 0 } }, 1 },
        { "no header", { { STATUS, 1, 1 } }, 1 },
        { "short header", { { HEADER, 15, 0 }, { STATUS, 1, 1 } }, 2 },
    };
    VDriver *d = new_disk("queue-size=8");

    vd_start(d, UINT64_MAX, 1, 8, true);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        vd_add(d, 0, rows[i].bufs, rows[i].n, 0);
        check_broken(d, rows[i].what);
        vd_add(d, 0, rows[i].bufs, rows[i].n, TABLE);
        check_broken(d, rows[i].what);
    }
    vd_free(d);
}

enum { NEXT = VQ_DESC_NEXT, WRITE = VQ_DESC_WRITE,
       INDIRECT = VQ_DESC_INDIRECT };

static void test_bad_split_rings(void)
{
    VDriver *d = new_disk("queue-size=8");
    VdQueue *q = &d->q[0], table = { .desc = TABLE, .size = 1024 };

    vd_start(d, UINT64_MAX, 1, 8, true);
    q = &d->q[0];

    vd_make_avail(q, q->size);
    check_broken(d, "head outside");

    vd_make_avail(q, 0xffff);
    check_broken(d, "head far outside");

    vd_desc(q, 0, HEADER, 16, NEXT, q->size);
    vd_make_avail(q, 0);
    check_broken(d, "next outside");

    vd_desc(q, 0, HEADER, 16, NEXT, 1);
    vd_desc(q, 1, HEADER, 16, NEXT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "loop");

    vd_desc(q, 0, HEADER, 16, NEXT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "loop of one");

    vd_desc(q, 0, TABLE, 16, INDIRECT, 0);
    vd_desc(&table, 0, TABLE, 16, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "indirect in indirect");

    vd_desc(q, 0, TABLE, 32, INDIRECT | NEXT, 1);
    vd_desc(q, 1, HEADER, 16, 0, 0);
    vd_desc(&table, 0, HEADER, 16, 0, 0);
    vd_make_avail(q, 0);
    check_broken(d, "indirect and more");

    vd_desc(q, 0, HEADER, 16, NEXT, 1);
    vd_desc(q, 1, TABLE, 16, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "indirect behind others");

    vd_desc(q, 0, TABLE, 24, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "a table and a half");

    vd_desc(q, 0, TABLE, 0, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "no table");

    vd_desc(q, 0, RAM_BYTES - 16, 32, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "a table across the end");

    vd_desc(q, 0, TABLE, 32, INDIRECT, 0);
    vd_desc(&table, 0, HEADER, 16, NEXT, 2);
    vd_make_avail(q, 0);
    check_broken(d, "next outside the table");

    for (unsigned i = 0; i < 1024; i++) {
        vd_desc(&table, i, HEADER, 16, NEXT, (i + 1) % 1024);
    }
    vd_desc(q, 0, TABLE, 16 * 1024, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "a loop in a table");

    q->avail_idx += 100;
    vd_make_avail(q, 0);
    check_broken(d, "available index too far");

    q->avail_idx -= 2;
    vd_make_avail(q, 0);
    check_broken(d, "available index goes back");

    vd_start(d, 0, 1, 8, true);
    vd_desc(q, 0, TABLE, 16, INDIRECT, 0);
    vd_make_avail(q, 0);
    check_broken(d, "indirect without leave");
    vd_free(d);
}

/* The `at`th entry from the next one on; not round the ring's end. */
static void packed_entry(VdQueue *q, unsigned at, uint64_t gpa,
                         uint32_t bytes, uint16_t flags)
{
    at += q->avail_idx;
    pc_store(q->desc + 16 * at, 8, gpa);
    pc_store(q->desc + 16 * at + 8, 4, bytes);
    pc_store(q->desc + 16 * at + 12, 2, 0);
    pc_store(q->desc + 16 * at + 14, 2, flags | 1 << 7);
}

static void test_bad_packed_rings(void)
{
    VDriver *d = new_disk("queue-size=8");
    VdQueue *q;

    vd_start(d, UINT64_MAX, 1, 8, true);
    q = &d->q[0];
    for (unsigned i = 0; i < q->size; i++) {
        packed_entry(q, i, HEADER, 16, NEXT);
    }
    check_broken(d, "a chain round the ring");

    packed_entry(q, 0, TABLE, 16, INDIRECT | NEXT);
    check_broken(d, "indirect and more");

    packed_entry(q, 1, TABLE, 16, INDIRECT);
    packed_entry(q, 0, HEADER, 16, NEXT);
    check_broken(d, "indirect behind others");

    packed_entry(q, 0, TABLE, 24, INDIRECT);
    check_broken(d, "a table and a half");

    packed_entry(q, 0, TABLE, 0, INDIRECT);
    check_broken(d, "no table");
    vd_free(d);
}

/* Rings where there is no memory, or not where they must be. */
static void test_bad_places(void)
{
    static const uint64_t places[] = {
        0xf0000000, RAM_BYTES - 64, VD_RINGS + 1, UINT64_MAX - 15,
        VD_MODERN_GPA,
    };
    VDriver *d = new_disk("queue-size=64");

    for (unsigned i = 0; i < G_N_ELEMENTS(places) * 3; i++) {
        if (mode == VD_PACKED && i / 3 == 1 && i % 3) {
            continue;           /* event areas are small: it fits there */
        }
        vd_set_status(d, 0);
        vd_set_status(d, 3);
        vd_negotiate(d, UINT64_MAX);
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8, VD_RINGS);
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, VD_RINGS + 0x1000);
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_USEDLO, 8, VD_RINGS + 0x2000);
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO + 8 * (i % 3), 8,
                      places[i / 3]);
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
        vd_set_status(d, 15);
        vd_kick(d, 0);
        vd_run();
        g_assert_true(vd_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET);
    }
    vd_start(d, UINT64_MAX, 1, 0, false);
    one_request(d);
    vd_free(d);
}

/* --- main ------------------------------------------------------------------------------------ */

static void run(const void *data)
{
    ((void (*)(void))(uintptr_t)data)();
}

static void add(const char *name, void (*fn)(void), unsigned modes)
{
    for (unsigned i = 0; i < VD_N_MODES; i++) {
        g_autofree char *path = g_strdup_printf("/virtio/%s/%s",
                                                mode_names[i], name);

        if (modes & BIT(i) && mode == i) {
            g_test_add_data_func(path, (void *)(uintptr_t)fn, run);
        }
    }
}

static void add_drive(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval("if=none,id=d,driver=null-co,"
                                           "size=64M", NULL, NULL, &err);

    drive_new(dict, BLOCK_IF_IDE, false, &err);
    g_assert_no_error(err);
}

int main(int argc, char **argv)
{
    enum { LEGACY = BIT(VD_LEGACY), MODERN = BIT(VD_MODERN),
           PACKED = BIT(VD_PACKED), ALL = 7 };

    mode = argc > 1 && g_str_equal(argv[argc - 1], "legacy") ? VD_LEGACY
           : argc > 1 && g_str_equal(argv[argc - 1], "packed") ? VD_PACKED
           : VD_MODERN;
    pc = pc_test_init(&argc, &argv, RAM_BYTES);
    add_drive();
    add("ids", test_ids, MODERN);
    add("mistakes", test_mistakes, MODERN);
    add("capabilities", test_capabilities, MODERN);
    add("window", test_window, MODERN);
    add("mmio", test_mmio, MODERN);
    add("features", test_features, ALL);
    add("registers", test_registers, MODERN);
    add("interrupts", test_interrupts, ALL);
    add("bus-master", test_bus_master, ALL);
    add("early-kick", test_early_kick, ALL);
    add("wrap", test_wrap, ALL);
    add("suppression", test_suppression, ALL);
    add("doorbell", test_doorbell, ALL);
    add("queue-reset", test_queue_reset, ALL);
    add("reload", test_reload, ALL);
    add("remap", test_remap, ALL);
    add("bad-buffers", test_bad_buffers, ALL);
    add("bad-rings", test_bad_split_rings, LEGACY | MODERN);
    add("bad-rings", test_bad_packed_rings, PACKED);
    add("bad-places", test_bad_places, MODERN | PACKED);
    return g_test_run();
}
