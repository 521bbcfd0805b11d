/*
 * Virtio over PCI: the modern interface.
 *
 *   BAR2  I/O     kicks, with modern-pio-notify
 *   BAR4  memory  common configuration at 0, ISR at 1000h, the device's
 *                 configuration at 2000h, kicks from 3000h on
 *
 * Spec:   virtio 1.2, section 4.1.
 * Models: vendor capabilities 1 to 5.
 * Locks:  machine lock; kicks by any thread and without it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "virtio-pci-parts.h"

#include <linux/virtio_pci.h>

enum { PIO_BAR = 2, MODERN_BAR = 4 };
enum {
    COMMON_AT = 0x0000, ISR_AT = 0x1000, CONFIG_AT = 0x2000,
    NOTIFY_AT = 0x3000, PART_BYTES = 0x1000, NOTIFY_STEP = 4,
};
enum { COMMON_NOTIFY_DATA = 56, COMMON_QUEUE_RESET = 58 };

/* --- common configuration -------------------------------------------------------------- */

/* Queue registers read zero where there is no queue. */
static uint64_t read_queue(VirtioPci *s, const VirtQueue *vq, unsigned at)
{
    switch (at) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return vq->size;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return vq->vector;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return vq->enabled;
    case VIRTIO_PCI_COMMON_Q_NOFF:
    case COMMON_NOTIFY_DATA:
        return vq->index;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        return (uint32_t)vq->desc_gpa;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return vq->desc_gpa >> 32;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        return (uint32_t)vq->avail_gpa;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return vq->avail_gpa >> 32;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        return (uint32_t)vq->used_gpa;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return vq->used_gpa >> 32;
    default:
        return 0;
    }
}

static uint64_t common_read(void *opaque, hwaddr at, unsigned size)
{
    VirtioPci *s = opaque;
    Virtio *v = &s->v;
    const VirtQueue *vq;

    switch (at) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return v->offered_sel;
    case VIRTIO_PCI_COMMON_DF:
        return virtio_offered(v, false, v->offered_sel);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return v->features_sel;
    case VIRTIO_PCI_COMMON_GF:
        return virtio_features(v, v->features_sel);
    case VIRTIO_PCI_COMMON_MSIX:
        return v->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return v->n_queues;
    case VIRTIO_PCI_COMMON_STATUS:
        return virtio_status(v);
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return __atomic_load_n(&v->generation, __ATOMIC_ACQUIRE);
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return v->queue_sel;
    default:
        vq = virtio_selected(v);
        return vq ? read_queue(s, vq, at) : 0;
    }
}

static void set_half(uint64_t *reg, unsigned at, uint64_t val)
{
    *reg = bits_set(*reg, at & 4 ? 32 : 0, 32, val);
}

static void write_queue(VirtioPci *s, VirtQueue *vq, unsigned at,
                        uint64_t val)
{
    switch (at) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        virtio_queue_set_size(&s->v, val);
        return;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        virtio_pci_set_vector(s, &vq->vector, val);
        return;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        if (val == 1) {
            virtio_queue_enable(&s->v);
        }
        return;
    case COMMON_QUEUE_RESET:
        if (val == 1 && virtio_has(&s->v, VIRTIO_RING_RESET)) {
            virtio_queue_reset(&s->v, vq);
        }
        return;
    }
    if (vq->enabled) {
        return;                 /* its addresses are the device's now */
    }
    switch (at) {
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        set_half(&vq->desc_gpa, at - VIRTIO_PCI_COMMON_Q_DESCLO, val);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        set_half(&vq->avail_gpa, at - VIRTIO_PCI_COMMON_Q_AVAILLO, val);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        set_half(&vq->used_gpa, at - VIRTIO_PCI_COMMON_Q_USEDLO, val);
        break;
    }
}

static void common_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    VirtioPci *s = opaque;
    Virtio *v = &s->v;
    VirtQueue *vq;

    switch (at) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        v->offered_sel = val;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        v->features_sel = val;
        break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_set_features(v, false, v->features_sel, val);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        virtio_pci_set_vector(s, &v->config_vector, val);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        virtio_pci_set_status(s, val);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        v->queue_sel = val;
        break;
    default:
        vq = virtio_selected(v);
        if (vq) {
            write_queue(s, vq, at, val);
        }
        break;
    }
}

static const IoOps common_ops = {
    .read = common_read, .write = common_write, .size_min = 1, .size_max = 4,
};

/* --- its other parts --------------------------------------------------------------------- */

static uint64_t isr_read(void *opaque, hwaddr at, unsigned size)
{
    return at == 0 ? virtio_pci_read_isr(opaque) : 0;
}

static void ignore_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
}

static const IoOps isr_ops = {
    .read = isr_read, .write = ignore_write, .size_min = 1, .size_max = 4,
};

static uint64_t config_read(void *opaque, hwaddr at, unsigned size)
{
    return virtio_config_read(&((VirtioPci *)opaque)->v, at, size);
}

static void config_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    virtio_config_write(&((VirtioPci *)opaque)->v, at, val, size);
}

static const IoOps config_ops = {
    .read = config_read, .write = config_write, .size_min = 1, .size_max = 4,
};

static uint64_t notify_read(void *opaque, hwaddr at, unsigned size)
{
    return 0;
}

static unsigned notify_step(const VirtioPci *s)
{
    return s->page_per_vq ? PART_BYTES : NOTIFY_STEP;
}

static void notify_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    VirtioPci *s = opaque;

    virtio_kick(&s->v, at / notify_step(s));
}

static void pio_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    virtio_kick(&((VirtioPci *)opaque)->v, val);
}

static const IoOps notify_ops = {
    .read = notify_read, .write = notify_write, .size_min = 1, .size_max = 4,
    .lockless = true,
};
static const IoOps pio_ops = {
    .read = notify_read, .write = pio_write, .size_min = 1, .size_max = 4,
    .lockless = true,
};

/* --- the window in configuration space ---------------------------------------------------- */

/* For firmware that cannot reach memory BARs: capability 5 names a place in
 * BAR 4, and its data register is a window to it. */
static void window_access(VirtioPci *s, bool write)
{
    uint8_t *cap = s->pci.config + s->cfg_cap, *data;
    uint32_t at = load_le32(cap + offsetof(struct virtio_pci_cap, offset));
    uint32_t size = load_le32(cap + offsetof(struct virtio_pci_cap, length));
    uint8_t bar = cap[offsetof(struct virtio_pci_cap, bar)];
    Region *parts[] = { &s->common, &s->isr, &s->config, &s->notify };

    data = cap + sizeof(struct virtio_pci_cap);
    if (bar != MODERN_BAR || (size != 1 && size != 2 && size != 4)
        || at & (size - 1)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        Region *r = parts[i];
        uint64_t val = 0;

        if (at < r->at || at - r->at >= r->size_bytes
            || size > r->size_bytes - (at - r->at)) {
            continue;
        }
        if (write) {
            region_io_write(r, at - r->at, size, load_le(data, size));
        } else {
            region_io_read(r, at - r->at, size, &val);
            store_le(data, size, val);
        }
    }
}

static bool touches_window(const VirtioPci *s, unsigned at, unsigned size)
{
    unsigned data = s->cfg_cap + sizeof(struct virtio_pci_cap);

    return s->cfg_cap && at < data + 4 && data < at + size;
}

static void on_config_read(PciDevice *pci, unsigned at, unsigned size)
{
    VirtioPci *s = container_of(pci, VirtioPci, pci);

    if (touches_window(s, at, size)) {
        window_access(s, false);
    }
}

static void on_config_write(PciDevice *pci, unsigned at, unsigned size)
{
    VirtioPci *s = container_of(pci, VirtioPci, pci);

    if (touches_window(s, at, size)) {
        window_access(s, true);
    }
}

/* --- all of it --------------------------------------------------------------------------- */

static unsigned add_cap(VirtioPci *s, uint8_t type, uint8_t bar, uint32_t at,
                        uint32_t bytes, unsigned extra)
{
    unsigned len = sizeof(struct virtio_pci_cap) + extra;
    unsigned cap = pci_add_capability(&s->pci, PCI_CAP_ID_VNDR, len);
    uint8_t *c = s->pci.config + cap;

    g_assert(cap);              /* six of 20 bytes and MSI-X always fit */
    c[offsetof(struct virtio_pci_cap, cap_len)] = len;
    c[offsetof(struct virtio_pci_cap, cfg_type)] = type;
    c[offsetof(struct virtio_pci_cap, bar)] = bar;
    store_le32(c + offsetof(struct virtio_pci_cap, offset), at);
    store_le32(c + offsetof(struct virtio_pci_cap, length), bytes);
    return cap;
}

static void add_window(VirtioPci *s)
{
    uint8_t *w;

    s->cfg_cap = add_cap(s, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 4);
    w = s->pci.wmask + s->cfg_cap;
    w[offsetof(struct virtio_pci_cap, bar)] = 0xff;
    store_le32(w + offsetof(struct virtio_pci_cap, offset), 0xffffffff);
    store_le32(w + offsetof(struct virtio_pci_cap, length), 0xffffffff);
    store_le32(w + sizeof(struct virtio_pci_cap), 0xffffffff);
}

static void add_part(VirtioPci *s, Region *r, const char *name,
                     const IoOps *ops, hwaddr at, uint64_t bytes)
{
    region_init_io(r, &s->pci.dev.obj, name, ops, s, bytes);
    region_map(&s->modern, at, r, 0);
}

void virtio_pci_add_modern(VirtioPci *s)
{
    uint64_t kicks = MAX(notify_step(s) * VIRTIO_MAX_QUEUES, PART_BYTES);
    unsigned cap;

    region_init_container(&s->modern, &s->pci.dev.obj, "virtio-modern",
                          virtio_pci_bar_bytes(NOTIFY_AT + kicks));
    add_part(s, &s->common, "virtio-common", &common_ops, COMMON_AT,
             PART_BYTES);
    add_part(s, &s->isr, "virtio-isr", &isr_ops, ISR_AT, PART_BYTES);
    add_part(s, &s->config, "virtio-config", &config_ops, CONFIG_AT,
             PART_BYTES);
    region_init_io(&s->notify, &s->pci.dev.obj, "virtio-notify", &notify_ops,
                   s, kicks);
    virtio_pci_add_doorbells(s, &s->notify, 0, notify_step(s));
    region_map(&s->modern, NOTIFY_AT, &s->notify, 0);
    pci_register_bar(&s->pci, MODERN_BAR, PCI_BAR_MEM64 | PCI_BAR_PREFETCH,
                     &s->modern);
    add_cap(s, VIRTIO_PCI_CAP_COMMON_CFG, MODERN_BAR, COMMON_AT, PART_BYTES,
            0);
    add_cap(s, VIRTIO_PCI_CAP_ISR_CFG, MODERN_BAR, ISR_AT, PART_BYTES, 0);
    add_cap(s, VIRTIO_PCI_CAP_DEVICE_CFG, MODERN_BAR, CONFIG_AT, PART_BYTES,
            0);
    cap = add_cap(s, VIRTIO_PCI_CAP_NOTIFY_CFG, MODERN_BAR, NOTIFY_AT, kicks,
                  4);
    pci_set32(&s->pci, cap + sizeof(struct virtio_pci_cap), notify_step(s));
    if (s->modern_pio_notify) {
        region_init_io(&s->notify_pio, &s->pci.dev.obj, "virtio-notify-pio",
                       &pio_ops, s, 4);
        virtio_pci_add_doorbells(s, &s->notify_pio, 0, 0);
        pci_register_bar(&s->pci, PIO_BAR, PCI_BAR_IO, &s->notify_pio);
        add_cap(s, VIRTIO_PCI_CAP_NOTIFY_CFG, PIO_BAR, 0, 4, 4);
    }
    add_window(s);
    s->pci.on_config_read = on_config_read;
    s->pci.on_config_write = on_config_write;
}
