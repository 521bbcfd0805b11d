/*
 * Virtio over PCI.
 *
 *   BAR0  I/O     the legacy interface
 *   BAR1  memory  MSI-X
 *   BAR2  I/O     kicks, with modern-pio-notify
 *   BAR4  memory  the modern one: common configuration at 0, ISR at 1000h, the
 *                 device's configuration at 2000h, kicks from 3000h on
 *
 * Spec:   virtio 1.2, section 4.1; legacy: virtio 0.9.5, section 2.1.
 * Models: INTx and MSI-X, vendor capabilities 1 to 5.
 * Locks:  machine lock; kicks by any thread and without it.  An iothread's
 *         MSI-X messages are sent by itself, its INTx by the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-pci.h"

#include <linux/virtio_pci.h>

#include "base/log.h"
#include "base/opts.h"
#include "core/msi-fd.h"
#include "mem/doorbell.h"

enum { LEGACY_BAR = 0, MSIX_BAR = 1, PIO_BAR = 2, MODERN_BAR = 4 };
enum {
    COMMON_AT = 0x0000, ISR_AT = 0x1000, CONFIG_AT = 0x2000,
    NOTIFY_AT = 0x3000, PART_BYTES = 0x1000, NOTIFY_STEP = 4,
};
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { COMMON_BYTES = 60, LEGACY_BYTES = 20, LEGACY_MSIX_BYTES = 24 };
enum { COMMON_NOTIFY_DATA = 56, COMMON_QUEUE_RESET = 58 };
enum { LEGACY_PAGE_BYTES = 4096 };

static VirtioPci *virtio_pci_of(Device *dev)
{
    return container_of(dev, VirtioPci, pci.dev);
}

/* --- interrupts ------------------------------------------------------------------ */

static void update_intx(void *opaque)
{
    VirtioPci *s = opaque;

    pci_set_irq(&s->pci, !msix_enabled(&s->pci)
                         && __atomic_load_n(&s->v.isr, __ATOMIC_ACQUIRE));
}

static void notify(Virtio *v, VirtQueue *vq)
{
    VirtioPci *s = container_of(v, VirtioPci, v);
    uint16_t vector = __atomic_load_n(vq ? &vq->vector : &v->config_vector,
                                      __ATOMIC_RELAXED);

    if (!vq || !msix_enabled(&s->pci)) {
        __atomic_fetch_or(&v->isr, vq ? ISR_QUEUE : ISR_CONFIG,
                          __ATOMIC_ACQ_REL);
    }
    if (msix_enabled(&s->pci)) {
        if (vector != VQ_NO_VECTOR) {
            msix_notify(&s->pci, vector);
        }
    } else if (machine_lock_held()) {
        update_intx(s);
    } else {
        timer_mod(&s->intx, 0);
    }
}

static bool may_dma(Virtio *v)
{
    VirtioPci *s = container_of(v, VirtioPci, v);

    return __atomic_load_n(&s->pci.bus_master, __ATOMIC_ACQUIRE);
}

static const VirtioBus pci_bus_ops = { .notify = notify, .may_dma = may_dma };

static uint8_t read_isr(VirtioPci *s)
{
    uint8_t isr = virtio_take_isr(&s->v);

    update_intx(s);
    return isr;
}

/* A vector that is not there reads back as none. */
static void set_vector(VirtioPci *s, uint16_t *vector, uint16_t val)
{
    if (val >= msix_n_vectors(&s->pci)) {
        val = VQ_NO_VECTOR;
    }
    __atomic_store_n(vector, val, __ATOMIC_RELAXED);
}

/* The queues' vectors become eventfds where that spares somebody something. */
static void use_eventfds(VirtioPci *s)
{
    for (unsigned i = 0; msi_fd_ops && s->ioeventfd && i < s->v.n_queues;
         i++) {
        if (s->v.vqs[i]->vector != VQ_NO_VECTOR) {
            msix_eventfd(&s->pci, s->v.vqs[i]->vector);
        }
    }
}

static void set_status(VirtioPci *s, uint8_t val)
{
    if (val & VIRTIO_CONFIG_S_DRIVER_OK) {
        use_eventfds(s);
    }
    virtio_set_status(&s->v, val);
    if (!val) {
        update_intx(s);
    }
}

/* --- the modern interface ------------------------------------------------------------ */

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
        set_vector(s, &vq->vector, val);
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
        set_vector(s, &v->config_vector, val);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        set_status(s, val);
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

static uint64_t isr_read(void *opaque, hwaddr at, unsigned size)
{
    return at == 0 ? read_isr(opaque) : 0;
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

/* --- the window in configuration space ------------------------------------------------- */

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

/* --- the legacy interface ----------------------------------------------------------------- */

static unsigned legacy_config_at(const VirtioPci *s)
{
    return msix_enabled(&s->pci) ? LEGACY_MSIX_BYTES : LEGACY_BYTES;
}

static uint64_t legacy_read(void *opaque, hwaddr at, unsigned size)
{
    VirtioPci *s = opaque;
    Virtio *v = &s->v;
    VirtQueue *vq = virtio_selected(v);

    if (at >= legacy_config_at(s)) {
        return virtio_config_read(v, at - legacy_config_at(s), size);
    }
    switch (at) {
    case VIRTIO_PCI_HOST_FEATURES:
        return virtio_offered(v, true, 0);
    case VIRTIO_PCI_GUEST_FEATURES:
        return virtio_features(v, 0);
    case VIRTIO_PCI_QUEUE_PFN:
        return vq && vq->enabled ? vq->desc_gpa / LEGACY_PAGE_BYTES : 0;
    case VIRTIO_PCI_QUEUE_NUM:
        return vq ? vq->max_size : 0;
    case VIRTIO_PCI_QUEUE_SEL:
        return v->queue_sel;
    case VIRTIO_PCI_STATUS:
        return virtio_status(v);
    case VIRTIO_PCI_ISR:
        return read_isr(s);
    case VIRTIO_MSI_CONFIG_VECTOR:
        return v->config_vector;
    case VIRTIO_MSI_QUEUE_VECTOR:
        return vq ? vq->vector : VQ_NO_VECTOR;
    default:
        return 0;
    }
}

/* Linux before 2.6.34 never made its devices bus masters. */
static void legacy_status(VirtioPci *s, uint8_t val)
{
    if (val & VIRTIO_CONFIG_S_DRIVER_OK && !may_dma(&s->v)) {
        pci_config_write(&s->pci, PCI_COMMAND,
                         pci_get16(&s->pci, PCI_COMMAND) | PCI_COMMAND_MASTER,
                         2);
    }
    set_status(s, val);
}

static void legacy_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    VirtioPci *s = opaque;
    Virtio *v = &s->v;
    VirtQueue *vq = virtio_selected(v);

    if (at >= legacy_config_at(s)) {
        virtio_config_write(v, at - legacy_config_at(s), val, size);
        return;
    }
    switch (at) {
    case VIRTIO_PCI_GUEST_FEATURES:
        virtio_set_features(v, true, 0, val);
        break;
    case VIRTIO_PCI_QUEUE_PFN:
        virtio_queue_set_pfn(v, val, LEGACY_PAGE_BYTES,
                             VIRTIO_PCI_VRING_ALIGN);
        break;
    case VIRTIO_PCI_QUEUE_SEL:
        v->queue_sel = val;
        break;
    case VIRTIO_PCI_QUEUE_NOTIFY:
        virtio_kick(v, val);
        break;
    case VIRTIO_PCI_STATUS:
        legacy_status(s, val);
        break;
    case VIRTIO_MSI_CONFIG_VECTOR:
        set_vector(s, &v->config_vector, val);
        break;
    case VIRTIO_MSI_QUEUE_VECTOR:
        if (vq) {
            set_vector(s, &vq->vector, val);
        }
        break;
    }
}

static const IoOps legacy_ops = {
    .read = legacy_read, .write = legacy_write, .size_min = 1, .size_max = 4,
};

/* --- the function ---------------------------------------------------------------------------- */

static uint64_t power_of_two(uint64_t at_least)
{
    uint64_t size = 4;

    while (size < at_least) {
        size *= 2;
    }
    return size;
}

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

static void add_doorbells(VirtioPci *s, Region *r, bool by_address)
{
    for (unsigned i = 0; s->ioeventfd && i < s->v.n_queues; i++) {
        Doorbell d = {
            .offset = by_address ? i * notify_step(s)
                      : r == &s->legacy ? VIRTIO_PCI_QUEUE_NOTIFY : 0,
            .size = 2, .match = !by_address, .data = i,
            .fd = virtio_kick_fd, .opaque = virtio_queue(&s->v, i),
        };

        doorbell_add(r, &d);
    }
}

static void add_part(VirtioPci *s, Region *r, const char *name,
                     const IoOps *ops, hwaddr at, uint64_t bytes)
{
    region_init_io(r, &s->pci.dev.obj, name, ops, s, bytes);
    region_map(&s->modern, at, r, 0);
}

static void add_modern(VirtioPci *s)
{
    uint64_t kicks = MAX(notify_step(s) * VIRTIO_MAX_QUEUES, PART_BYTES);
    unsigned cap;

    region_init_container(&s->modern, &s->pci.dev.obj, "virtio-modern",
                          power_of_two(NOTIFY_AT + kicks));
    add_part(s, &s->common, "virtio-common", &common_ops, COMMON_AT,
             PART_BYTES);
    add_part(s, &s->isr, "virtio-isr", &isr_ops, ISR_AT, PART_BYTES);
    add_part(s, &s->config, "virtio-config", &config_ops, CONFIG_AT,
             PART_BYTES);
    region_init_io(&s->notify, &s->pci.dev.obj, "virtio-notify", &notify_ops,
                   s, kicks);
    add_doorbells(s, &s->notify, true);
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
        add_doorbells(s, &s->notify_pio, false);
        pci_register_bar(&s->pci, PIO_BAR, PCI_BAR_IO, &s->notify_pio);
        add_cap(s, VIRTIO_PCI_CAP_NOTIFY_CFG, PIO_BAR, 0, 4, 4);
    }
    add_window(s);
}

static void add_legacy(VirtioPci *s)
{
    region_init_io(&s->legacy, &s->pci.dev.obj, "virtio-legacy", &legacy_ops,
                   s, power_of_two(LEGACY_MSIX_BYTES
                                   + s->v.ops->config_bytes));
    add_doorbells(s, &s->legacy, false);
    pci_register_bar(&s->pci, LEGACY_BAR, PCI_BAR_IO, &s->legacy);
}

/* Which interfaces, by the type's name, the properties and the device. */
static bool choose(VirtioPci *s, GError **err)
{
    const char *name = s->pci.dev.obj.type->name;
    Virtio *v = &s->v;

    v->has_legacy = s->disable_legacy != 1 && v->ops->pci_id;
    v->has_modern = !s->disable_modern;
    if (g_str_has_suffix(name, "-non-transitional")) {
        v->has_legacy = false;
        v->has_modern = true;
    } else if (g_str_has_suffix(name, "-transitional")) {
        v->has_legacy = v->has_modern = true;
    }
    if (v->iommu_platform && v->has_legacy) {
        if (s->disable_legacy != 0 || !v->has_modern) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "iommu_platform=on"
                        " needs disable-legacy=on: legacy drivers cannot "
                        "translate addresses");
            return false;
        }
        v->has_legacy = false;
    }
    if (!v->has_legacy && !v->has_modern) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "disable-legacy=on and "
                    "disable-modern=on leave no interface at all");
        return false;
    }
    return true;
}

static void set_ids(VirtioPci *s)
{
    const VirtioOps *ops = s->v.ops;

    if (s->v.has_legacy) {
        pci_set_ids(&s->pci, 0x1af4, ops->pci_id, ops->pci_class, 0);
        pci_set_subsystem(&s->pci, 0x1af4, ops->id);
    } else {
        pci_set_ids(&s->pci, 0x1af4, 0x1040 + ops->id, ops->pci_class, 1);
    }
    pci_set_interrupt_pin(&s->pci, 1);
}

static void destroy_regions(VirtioPci *s)
{
    Region *all[] = { &s->common, &s->isr, &s->config, &s->notify, &s->modern,
                      &s->notify_pio, &s->legacy };

    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i]->name) {
            region_destroy(all[i]);
            doorbell_remove_all(all[i]);
        }
    }
}

static bool virtio_pci_realize(Device *dev, GError **err)
{
    VirtioPci *s = virtio_pci_of(dev);
    uint32_t n = s->n_vectors;

    if (!choose(s, err) || !virtio_realize(&s->v, err)) {
        return false;
    }
    timer_init(&s->intx, loop_main(), CLK_HOST, update_intx, s);
    set_ids(s);
    if (n == UINT32_MAX) {
        n = s->v.n_vectors ? s->v.n_vectors : s->v.n_queues + 1;
    }
    if (n && !msix_init_bar(&s->pci, n, MSIX_BAR, err)) {
        virtio_unrealize(&s->v);
        return false;
    }
    if (s->v.has_modern) {
        add_modern(s);
    }
    if (s->v.has_legacy) {
        add_legacy(s);
    }
    s->pci.on_config_read = on_config_read;
    s->pci.on_config_write = on_config_write;
    return true;
}

static void virtio_pci_unrealize(Device *dev)
{
    VirtioPci *s = virtio_pci_of(dev);

    destroy_regions(s);         /* with them the queues' doorbells */
    virtio_unrealize(&s->v);
    timer_del(&s->intx);
    s->cfg_cap = 0;
}

static void virtio_pci_reset(Device *dev)
{
    VirtioPci *s = virtio_pci_of(dev);

    virtio_reset(&s->v);
    timer_del(&s->intx);
}

static void virtio_pci_update(Device *dev)
{
    VirtioPci *s = virtio_pci_of(dev);

    use_eventfds(s);
    update_intx(s);
}

void virtio_pci_setup(Object *obj, const VirtioOps *ops, void *dev)
{
    VirtioPci *s = container_of(obj, VirtioPci, pci.dev.obj);

    s->v.ops = ops;
    s->v.bus = &pci_bus_ops;
    s->v.shell = &s->pci.dev;
    s->v.dev = dev;
}

static const char *const on_off_auto[] = { "auto", "on", "off", NULL };

static const Property virtio_pci_props[] = {
    VIRTIO_PROPS(VirtioPci, v),
    PROP_U32(VirtioPci, n_vectors, "vectors", UINT32_MAX,
             "MSI-X vectors; 0: none; by default as many as are of use"),
    PROP_ENUM(VirtioPci, disable_legacy, "disable-legacy", 0, on_off_auto,
              "leave out the interface from before virtio 1.0"),
    PROP_BOOL(VirtioPci, disable_modern, "disable-modern", false,
              "leave out the interface of virtio 1.0"),
    PROP_BOOL(VirtioPci, page_per_vq, "page-per-vq", false,
              "a page for the kicks of each queue"),
    PROP_BOOL(VirtioPci, modern_pio_notify, "modern-pio-notify", false,
              "a port for kicks as well"),
    PROP_BOOL(VirtioPci, ioeventfd, "ioeventfd", true,
              "kicks do not make the processor wait"),
    {}
};

static const State virtio_pci_state = {
    .name = "virtio-pci", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioPci, v, &virtio_state), {}
    },
};

const DeviceType virtio_pci_type = {
    .name = "virtio-pci", .doc = "a virtio device on a PCI bus",
    .parent = &pci_device_type, .size = sizeof(VirtioPci), .abstract = true,
    .props = virtio_pci_props, .state = &virtio_pci_state,
    .realize = virtio_pci_realize, .unrealize = virtio_pci_unrealize,
    .reset = virtio_pci_reset, .update = virtio_pci_update,
};
DEVICE_TYPE(virtio_pci_type)
