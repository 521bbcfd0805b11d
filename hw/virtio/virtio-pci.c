/*
 * Virtio over PCI: the function, its interrupts, the legacy interface.
 *
 *   BAR0  I/O     the legacy interface
 *   BAR1  memory  MSI-X
 *   BAR2, BAR4    the modern interface: virtio-pci-modern.c
 *
 * Spec:   virtio 1.2, section 4.1; legacy: virtio 0.9.5, section 2.1.
 * Models: INTx and MSI-X.
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
#include "virtio-pci-parts.h"

enum { LEGACY_BAR = 0, MSIX_BAR = 1 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { LEGACY_BYTES = 20, LEGACY_MSIX_BYTES = 24 };
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

uint8_t virtio_pci_read_isr(VirtioPci *s)
{
    uint8_t isr = virtio_take_isr(&s->v);

    update_intx(s);
    return isr;
}

void virtio_pci_set_vector(VirtioPci *s, uint16_t *vector, uint16_t val)
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

void virtio_pci_set_status(VirtioPci *s, uint8_t val)
{
    if (val & VIRTIO_CONFIG_S_DRIVER_OK) {
        use_eventfds(s);
    }
    virtio_set_status(&s->v, val);
    if (!val) {
        update_intx(s);
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
        return virtio_pci_read_isr(s);
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
    virtio_pci_set_status(s, val);
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
        virtio_pci_set_vector(s, &v->config_vector, val);
        break;
    case VIRTIO_MSI_QUEUE_VECTOR:
        if (vq) {
            virtio_pci_set_vector(s, &vq->vector, val);
        }
        break;
    }
}

static const IoOps legacy_ops = {
    .read = legacy_read, .write = legacy_write, .size_min = 1, .size_max = 4,
};

/* --- the function ---------------------------------------------------------------------------- */

uint64_t virtio_pci_bar_bytes(uint64_t at_least)
{
    uint64_t size = 4;

    while (size < at_least) {
        size *= 2;
    }
    return size;
}

void virtio_pci_add_doorbells(VirtioPci *s, Region *r, unsigned at,
                              unsigned step)
{
    for (unsigned i = 0; s->ioeventfd && i < s->v.n_queues; i++) {
        Doorbell d = {
            .offset = at + i * step, .size = 2, .match = !step, .data = i,
            .fd = virtio_kick_fd, .opaque = virtio_queue(&s->v, i),
        };

        doorbell_add(r, &d);
    }
}

static void add_legacy(VirtioPci *s)
{
    region_init_io(&s->legacy, &s->pci.dev.obj, "virtio-legacy", &legacy_ops,
                   s, virtio_pci_bar_bytes(LEGACY_MSIX_BYTES
                                   + s->v.ops->config_bytes));
    virtio_pci_add_doorbells(s, &s->legacy, VIRTIO_PCI_QUEUE_NOTIFY, 0);
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
        virtio_pci_add_modern(s);
    }
    if (s->v.has_legacy) {
        add_legacy(s);
    }
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
