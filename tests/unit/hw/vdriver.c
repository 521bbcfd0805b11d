/*
 * See vdriver.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vdriver.h"

#include <linux/virtio_pci.h>

enum { COMMON = 0x0000, ISR = 0x1000, CONFIG = 0x2000, NOTIFY = 0x3000 };
enum { PACKED_AVAIL = 1 << 7, PACKED_USED = 1 << 15 };
enum { MSIX_CONTROL = 2, MSI_DATA = 0x40 };

static VDriver *current;

static void on_msi(uint64_t addr, uint32_t data)
{
    if (current && data >= MSI_DATA && data < MSI_DATA + 16) {
        __atomic_add_fetch(&current->msi_count[data - MSI_DATA], 1,
                           __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&current->n_msis, 1, __ATOMIC_SEQ_CST);
    }
}

/* --- registers ---------------------------------------------------------------- */

static uint64_t modern(VDriver *d, unsigned at, unsigned size)
{
    return pc_load(VD_MODERN_GPA + at, size);
}

static void set_modern(VDriver *d, unsigned at, unsigned size, uint64_t val)
{
    pc_store(VD_MODERN_GPA + at, size, val);
}

uint64_t vd_common(VDriver *d, unsigned at, unsigned size)
{
    return modern(d, COMMON + at, size);
}

void vd_set_common(VDriver *d, unsigned at, unsigned size, uint64_t val)
{
    set_modern(d, COMMON + at, size, val);
}

uint8_t vd_status(VDriver *d)
{
    return d->mode == VD_LEGACY ? pc_in(VD_LEGACY_PORT + VIRTIO_PCI_STATUS, 1)
           : vd_common(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

void vd_set_status(VDriver *d, uint8_t status)
{
    if (d->mode == VD_LEGACY) {
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_STATUS, 1, status);
    } else {
        vd_set_common(d, VIRTIO_PCI_COMMON_STATUS, 1, status);
    }
}

uint64_t vd_offered(VDriver *d)
{
    uint64_t bits = 0;

    if (d->mode == VD_LEGACY) {
        return pc_in(VD_LEGACY_PORT + VIRTIO_PCI_HOST_FEATURES, 4);
    }
    for (unsigned i = 0; i < 2; i++) {
        vd_set_common(d, VIRTIO_PCI_COMMON_DFSELECT, 4, i);
        bits |= vd_common(d, VIRTIO_PCI_COMMON_DF, 4) << 32 * i;
    }
    return bits;
}

static bool msix_on(VDriver *d)
{
    return msix_enabled(pci_device_of(d->dev));
}

static unsigned legacy_config(VDriver *d)
{
    return VD_LEGACY_PORT + VIRTIO_PCI_CONFIG_OFF(msix_on(d));
}

uint64_t vd_config(VDriver *d, unsigned at, unsigned size)
{
    return d->mode == VD_LEGACY ? pc_in(legacy_config(d) + at, size)
           : modern(d, CONFIG + at, size);
}

void vd_set_config(VDriver *d, unsigned at, unsigned size, uint64_t val)
{
    if (d->mode == VD_LEGACY) {
        pc_out(legacy_config(d) + at, size, val);
    } else {
        set_modern(d, CONFIG + at, size, val);
    }
}

uint8_t vd_isr(VDriver *d)
{
    return d->mode == VD_LEGACY ? pc_in(VD_LEGACY_PORT + VIRTIO_PCI_ISR, 1)
           : modern(d, ISR, 1);
}

int vd_intx(VDriver *d)
{
    return pci_device_of(d->dev)->intx_driven;
}

/* --- setting up ------------------------------------------------------------------ */

VDriver *vd_new(PcTest *pc, const char *type, const char *props, VdMode mode)
{
    VDriver *d = g_new0(VDriver, 1);
    g_autofree char *all = g_strdup_printf(
        "%s%s%s", props ? props : "", props && mode == VD_PACKED ? "," : "",
        mode == VD_PACKED ? "packed=on" : "");

    d->pc = pc;
    d->mode = mode;
    d->dev = pc_add_pci(pc, type, NULL, *all ? all : NULL);
    d->devfn = pci_device_of(d->dev)->devfn;
    pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_0, VD_LEGACY_PORT, 4);
    pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_1, VD_MSIX_GPA, 4);
    pc_conf_write(pc, d->devfn, PCI_BASE_ADDRESS_4, VD_MODERN_GPA, 4);
    pc_conf_write(pc, d->devfn, PCI_COMMAND,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                  2);
    current = d;
    msi_set_receiver(on_msi);
    return d;
}

void vd_free(VDriver *d)
{
    current = NULL;
    device_delete(d->dev);
    g_free(d);
}

static void enable_msix(VDriver *d, bool on)
{
    unsigned cap = pci_find_capability(pci_device_of(d->dev),
                                       PCI_CAP_ID_MSIX);

    for (unsigned i = 0; on && i < msix_n_vectors(pci_device_of(d->dev));
         i++) {
        pc_store(VD_MSIX_GPA + 16 * i, 4, 0xfee00000);
        pc_store(VD_MSIX_GPA + 16 * i + 4, 4, 0);
        pc_store(VD_MSIX_GPA + 16 * i + 8, 4, MSI_DATA + i);
        pc_store(VD_MSIX_GPA + 16 * i + 12, 4, 0);
    }
    pc_conf_write(d->pc, d->devfn, cap + MSIX_CONTROL,
                  on ? PCI_MSIX_FLAGS_ENABLE : 0, 2);
}

void vd_negotiate(VDriver *d, uint64_t wanted)
{
    if (d->mode != VD_LEGACY) {
        wanted |= BIT64(VIRTIO_F_VERSION_1);
    }
    if (d->mode == VD_PACKED) {
        wanted |= BIT64(VIRTIO_F_RING_PACKED);
    }
    d->features = wanted & vd_offered(d);
    if (d->mode == VD_LEGACY) {
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_GUEST_FEATURES, 4, d->features);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        vd_set_common(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        vd_set_common(d, VIRTIO_PCI_COMMON_GF, 4, d->features >> 32 * i);
    }
    vd_set_status(d, vd_status(d) | VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_cmphex(vd_status(d) & VIRTIO_CONFIG_S_FEATURES_OK, !=, 0);
}

static void place_rings(VDriver *d, VdQueue *q)
{
    q->desc = VD_RINGS + q->index * VD_RING_STEP;
    q->avail = q->desc + 16 * q->size;
    q->used = ALIGN_UP(q->avail + 6 + 2 * q->size, UINT64_C(4096));
    for (uint64_t at = q->desc; at < q->desc + VD_RING_STEP; at += 8) {
        pc_store(at, 8, 0);
    }
}

static void set_up_modern(VDriver *d, VdQueue *q, bool msix)
{
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, q->index);
    if (q->size) {
        vd_set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->size);
    }
    q->size = vd_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2);
    place_rings(d, q);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_MSIX, 2,
                  msix ? q->index + 1 : VQ_NO_VECTOR);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, q->desc);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q->avail);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, q->used);
    vd_set_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void vd_set_up_queue(VDriver *d, unsigned n, unsigned size, bool msix)
{
    VdQueue *q = &d->q[n];

    *q = (VdQueue) { .index = n, .size = size, .avail_wrap = true,
                     .used_wrap = true };
    if (d->mode != VD_LEGACY) {
        set_up_modern(d, q, msix);
        return;
    }
    pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_SEL, 2, n);
    q->size = pc_in(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_NUM, 2);
    place_rings(d, q);
    if (msix) {
        pc_out(VD_LEGACY_PORT + VIRTIO_MSI_QUEUE_VECTOR, 2, n + 1);
    }
    pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_PFN, 4, q->desc / 4096);
}

void vd_start(VDriver *d, uint64_t wanted, unsigned n_queues, unsigned size,
              bool msix)
{
    vd_set_status(d, 0);
    enable_msix(d, msix);
    memset(d->msi_count, 0, sizeof(d->msi_count));
    d->n_msis = 0;
    vd_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    vd_negotiate(d, wanted);
    if (msix && d->mode == VD_LEGACY) {
        pc_out(VD_LEGACY_PORT + VIRTIO_MSI_CONFIG_VECTOR, 2, 0);
    } else if (msix) {
        vd_set_common(d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
    }
    for (unsigned i = 0; i < n_queues; i++) {
        vd_set_up_queue(d, i, size, msix);
    }
    vd_set_status(d, vd_status(d) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* What orders driver and device, as a driver does it: RAM starts at 0. */
static uint16_t *ram16(uint64_t gpa)
{
    return (uint16_t *)(machine()->ram.ram->host + gpa);
}

static uint16_t acquire16(uint64_t gpa)
{
    return __atomic_load_n(ram16(gpa), __ATOMIC_ACQUIRE);
}

static void release16(uint64_t gpa, uint16_t val)
{
    __atomic_store_n(ram16(gpa), val, __ATOMIC_RELEASE);
}

/* --- rings ---------------------------------------------------------------------------- */

void vd_desc(VdQueue *q, unsigned i, uint64_t gpa, uint32_t bytes,
             uint16_t flags, uint16_t next)
{
    pc_store(q->desc + 16 * i, 8, gpa);
    pc_store(q->desc + 16 * i + 8, 4, bytes);
    pc_store(q->desc + 16 * i + 12, 2, flags);
    pc_store(q->desc + 16 * i + 14, 2, next);
}

void vd_make_avail(VdQueue *q, uint16_t head)
{
    pc_store(q->avail + 4 + 2 * (q->avail_idx % q->size), 2, head);
    q->avail_idx++;
    release16(q->avail + 2, q->avail_idx);
}

static uint16_t flags_of(const VdBuf *b, bool last)
{
    return (b->write ? VQ_DESC_WRITE : 0) | (last ? 0 : VQ_DESC_NEXT);
}

static uint16_t take_entry(VdQueue *q)
{
    uint16_t at = q->next_desc;

    q->next_desc = (at + 1) % q->size;
    return at;
}

static uint16_t add_split(VdQueue *q, const VdBuf *bufs, unsigned n,
                          uint64_t table)
{
    uint16_t head = q->next_desc;

    if (table) {
        VdQueue in_table = { .desc = table };

        for (unsigned i = 0; i < n; i++) {
            vd_desc(&in_table, i, bufs[i].gpa, bufs[i].bytes,
                    flags_of(&bufs[i], i + 1 == n), i + 1);
        }
        vd_desc(q, take_entry(q), table, 16 * n, VQ_DESC_INDIRECT, 0);
    } else {
        for (unsigned i = 0; i < n; i++) {
            uint16_t at = take_entry(q);

            vd_desc(q, at, bufs[i].gpa, bufs[i].bytes,
                    flags_of(&bufs[i], i + 1 == n), q->next_desc);
        }
    }
    vd_make_avail(q, head);
    return head;
}

static void packed_desc(uint64_t at, const VdBuf *b, uint16_t id,
                        uint16_t flags)
{
    pc_store(at, 8, b->gpa);
    pc_store(at + 8, 4, b->bytes);
    pc_store(at + 12, 2, id);
    release16(at + 14, flags);
}

static uint16_t add_packed(VdQueue *q, const VdBuf *bufs, unsigned n,
                           uint64_t table)
{
    uint16_t id = q->avail_idx;
    VdBuf whole = { table, 16 * n, false };

    for (unsigned i = 0; table && i < n; i++) {
        packed_desc(table + 16 * i, &bufs[i], 0,
                    bufs[i].write ? VQ_DESC_WRITE : 0);
    }
    if (table) {
        bufs = &whole;
        n = 1;
    }
    q->chain[id] = n;
    for (unsigned i = 0; i < n; i++) {
        packed_desc(q->desc + 16 * q->avail_idx, &bufs[i], id,
                    (table ? VQ_DESC_INDIRECT
                     : flags_of(&bufs[i], i + 1 == n))
                    | (q->avail_wrap ? PACKED_AVAIL : PACKED_USED));
        if (++q->avail_idx == q->size) {
            q->avail_idx = 0;
            q->avail_wrap = !q->avail_wrap;
        }
    }
    return id;
}

uint16_t vd_add(VDriver *d, unsigned queue, const VdBuf *bufs, unsigned n,
                uint64_t table)
{
    return d->mode == VD_PACKED ? add_packed(&d->q[queue], bufs, n, table)
           : add_split(&d->q[queue], bufs, n, table);
}

void vd_kick(VDriver *d, unsigned queue)
{
    if (d->mode == VD_LEGACY) {
        pc_out(VD_LEGACY_PORT + VIRTIO_PCI_QUEUE_NOTIFY, 2, queue);
    } else {
        set_modern(d, NOTIFY + 4 * queue, 2, queue);
    }
}

static bool used_packed(VdQueue *q, uint16_t *id, uint32_t *bytes)
{
    uint64_t at = q->desc + 16 * q->used_idx;
    uint16_t flags = acquire16(at + 14);
    bool avail = flags & PACKED_AVAIL, used = flags & PACKED_USED;

    if (avail != used || used != q->used_wrap) {
        return false;
    }
    *id = pc_load(at + 12, 2);
    *bytes = pc_load(at + 8, 4);
    q->used_idx += q->chain[*id];
    if (q->used_idx >= q->size) {
        q->used_idx -= q->size;
        q->used_wrap = !q->used_wrap;
    }
    return true;
}

bool vd_used(VDriver *d, unsigned queue, uint16_t *id, uint32_t *bytes)
{
    VdQueue *q = &d->q[queue];
    uint64_t at = q->used + 4 + 8 * (q->used_idx % q->size);

    if (d->mode == VD_PACKED) {
        return used_packed(q, id, bytes);
    }
    if (acquire16(q->used + 2) == q->used_idx) {
        return false;
    }
    *id = pc_load(at, 4);
    *bytes = pc_load(at + 4, 4);
    q->used_idx++;
    return true;
}

void vd_run(void)
{
    machine_unlock();
    loop_iterate(loop_main(), false);
    g_thread_yield();
    machine_lock();
}

uint32_t vd_wait(VDriver *d, unsigned queue, uint16_t *id)
{
    gint64 until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    uint32_t bytes;
    uint16_t which;

    while (!vd_used(d, queue, &which, &bytes)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        vd_run();
    }
    if (id) {
        *id = which;
    }
    return bytes;
}
