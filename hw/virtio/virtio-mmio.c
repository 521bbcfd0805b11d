/*
 * Virtio over memory-mapped registers.
 *
 * Spec:   virtio 1.2, section 4.2; version 1 (force-legacy): section 4.2.4.
 * Models: one device on a bus of its own; a slot without a device has id 0.
 * Locks:  machine lock; an iothread's interrupts are raised by the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-mmio.h"

#include <linux/virtio_mmio.h>

#include "base/log.h"
#include "base/opts.h"

enum { MAGIC = 0x74726976, VENDOR = 0x554d4551, QUEUE_RESET = 0x0c0 };
enum { SHM_FIRST = 0x0ac, SHM_END = 0x0c0 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2, LEGACY_ALIGN = 4096 };

static VirtioMmio *mmio_of(Device *dev)
{
    return container_of(dev, VirtioMmio, dev);
}

/* --- interrupts --------------------------------------------------------------------- */

static void update_irq(void *opaque)
{
    VirtioMmio *s = opaque;

    irq_set(&s->irq, s->v && __atomic_load_n(&s->v->isr, __ATOMIC_ACQUIRE));
}

static void notify(Virtio *v, VirtQueue *vq)
{
    VirtioMmio *s = container_of(v->shell->bus, VirtioMmio, bus);

    __atomic_fetch_or(&v->isr, vq ? ISR_QUEUE : ISR_CONFIG, __ATOMIC_ACQ_REL);
    if (machine_lock_held()) {
        update_irq(s);
    } else {
        timer_mod(&s->raise, 0);
    }
}

static const VirtioBus mmio_bus_ops = { .notify = notify };

/* --- registers ------------------------------------------------------------------------ */

static uint64_t read_legacy(VirtioMmio *s, hwaddr at)
{
    const VirtQueue *vq = virtio_selected(s->v);

    switch (at) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return virtio_offered(s->v, true, s->v->offered_sel);
    case VIRTIO_MMIO_QUEUE_PFN:
        return vq && vq->enabled && s->page_bytes
               ? vq->desc_gpa / s->page_bytes : 0;
    default:
        return 0;
    }
}

static uint64_t read_modern(VirtioMmio *s, hwaddr at)
{
    const VirtQueue *vq = virtio_selected(s->v);

    switch (at) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return virtio_offered(s->v, false, s->v->offered_sel);
    case VIRTIO_MMIO_QUEUE_READY:
        return vq && vq->enabled;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return __atomic_load_n(&s->v->generation, __ATOMIC_ACQUIRE);
    case SHM_FIRST ... SHM_END - 1:
        return UINT32_MAX;      /* there is no shared memory */
    default:
        return 0;
    }
}

static uint64_t mmio_read(void *opaque, hwaddr at, unsigned size)
{
    VirtioMmio *s = opaque;
    Virtio *v = s->v;
    const VirtQueue *vq = v ? virtio_selected(v) : NULL;

    if (at >= VIRTIO_MMIO_CONFIG) {
        return v ? virtio_config_read(v, at - VIRTIO_MMIO_CONFIG, size) : 0;
    }
    if (size != 4) {
        guest_error("virtio-mmio", "read of %u bytes at 0x%x", size,
                    (unsigned)at);
        return 0;
    }
    switch (at) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return s->force_legacy ? 1 : 2;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_ID:
        return v ? v->ops->id : 0;
    }
    if (!v) {
        return 0;
    }
    switch (at) {
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return vq ? vq->max_size : 0;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return __atomic_load_n(&v->isr, __ATOMIC_ACQUIRE);
    case VIRTIO_MMIO_STATUS:
        return virtio_status(v);
    default:
        return s->force_legacy ? read_legacy(s, at) : read_modern(s, at);
    }
}

static void write_legacy(VirtioMmio *s, hwaddr at, uint32_t val)
{
    switch (at) {
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (!s->v->features_sel) {
            virtio_set_features(s->v, true, 0, val);
        }
        break;
    case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        if (val && !(val & (val - 1))) {
            s->page_bytes = val;
        }
        break;
    case VIRTIO_MMIO_QUEUE_ALIGN:
        if (val && !(val & (val - 1))) {
            s->align = val;
        }
        break;
    case VIRTIO_MMIO_QUEUE_PFN:
        if (s->page_bytes) {
            virtio_queue_set_pfn(s->v, val, s->page_bytes, s->align);
        }
        break;
    }
}

static void set_half(uint64_t *reg, bool high, uint32_t val)
{
    *reg = bits_set(*reg, high ? 32 : 0, 32, val);
}

static void write_queue(VirtioMmio *s, VirtQueue *vq, hwaddr at, uint32_t val)
{
    if (at == VIRTIO_MMIO_QUEUE_READY) {
        if (val & 1) {
            virtio_queue_enable(s->v);
        } else if (vq->enabled) {
            virtio_queue_reset(s->v, vq);
        }
        return;
    }
    if (at == QUEUE_RESET) {
        if (val == 1 && virtio_has(s->v, VIRTIO_RING_RESET)) {
            virtio_queue_reset(s->v, vq);
        }
        return;
    }
    if (vq->enabled) {
        return;
    }
    switch (at) {
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&vq->desc_gpa, at == VIRTIO_MMIO_QUEUE_DESC_HIGH, val);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_half(&vq->avail_gpa, at == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, val);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_half(&vq->used_gpa, at == VIRTIO_MMIO_QUEUE_USED_HIGH, val);
        break;
    }
}

static void write_modern(VirtioMmio *s, hwaddr at, uint32_t val)
{
    VirtQueue *vq = virtio_selected(s->v);

    if (at == VIRTIO_MMIO_DRIVER_FEATURES) {
        virtio_set_features(s->v, false, s->v->features_sel, val);
    } else if (vq) {
        write_queue(s, vq, at, val);
    }
}

static void set_status(VirtioMmio *s, uint8_t val)
{
    virtio_set_status(s->v, val);
    if (!val) {
        s->page_bytes = 0;
        s->align = LEGACY_ALIGN;
        update_irq(s);
    }
}

static void mmio_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    VirtioMmio *s = opaque;
    Virtio *v = s->v;

    if (!v) {
        return;
    }
    if (at >= VIRTIO_MMIO_CONFIG) {
        virtio_config_write(v, at - VIRTIO_MMIO_CONFIG, val, size);
        return;
    }
    if (size != 4) {
        guest_error("virtio-mmio", "write of %u bytes at 0x%x", size,
                    (unsigned)at);
        return;
    }
    switch (at) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        v->offered_sel = val;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        v->features_sel = val;
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        v->queue_sel = MIN(val, UINT16_MAX);
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
        virtio_queue_set_size(v, val);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        virtio_kick(v, val & 0xffff);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        __atomic_fetch_and(&v->isr, ~val, __ATOMIC_ACQ_REL);
        update_irq(s);
        break;
    case VIRTIO_MMIO_STATUS:
        set_status(s, val);
        break;
    default:
        if (s->force_legacy) {
            write_legacy(s, at, val);
        } else {
            write_modern(s, at, val);
        }
        break;
    }
}

static const IoOps mmio_ops = {
    .read = mmio_read, .write = mmio_write, .size_min = 1, .size_max = 4,
};

/* --- the slot --------------------------------------------------------------------------- */

const BusType virtio_bus_type = { .name = "virtio-bus" };

static bool mmio_realize(Device *dev, GError **err)
{
    VirtioMmio *s = mmio_of(dev);
    static unsigned n_made;
    g_autofree char *name = g_strdup_printf("virtio-mmio-bus.%u", n_made++);

    region_init_io(&s->io, &dev->obj, "virtio-mmio", &mmio_ops, s,
                   VIRTIO_MMIO_BYTES);
    device_add_region(dev, &s->io);
    bus_init(&s->bus, &virtio_bus_type, dev, name);
    timer_init(&s->raise, loop_main(), CLK_HOST, update_irq, s);
    return true;
}

static void mmio_unrealize(Device *dev)
{
    VirtioMmio *s = mmio_of(dev);

    timer_del(&s->raise);
    bus_destroy(&s->bus);
    region_destroy(&s->io);
}

static void mmio_reset(Device *dev)
{
    VirtioMmio *s = mmio_of(dev);

    s->page_bytes = 0;
    s->align = LEGACY_ALIGN;
    timer_del(&s->raise);
    update_irq(s);
}

static void mmio_update(Device *dev)
{
    update_irq(mmio_of(dev));
}

static bool mmio_post_load(void *opaque, int version, GError **err)
{
    VirtioMmio *s = opaque;

    if (s->page_bytes & (s->page_bytes - 1) || !s->align
        || s->align & (s->align - 1)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "virtio-mmio: sizes that are no powers of two");
        return false;
    }
    return true;
}

static const Property mmio_props[] = {
    PROP_BOOL(VirtioMmio, force_legacy, "force-legacy", true,
              "version 1 of the registers"),
    {}
};

static const Output mmio_outputs[] = { OUTPUT(VirtioMmio, irq, "irq"), {} };

static const State mmio_state = {
    .name = "virtio-mmio", .version = 1, .post_load = mmio_post_load,
    .fields = (const StateField[]) {
        STATE_U32(VirtioMmio, page_bytes), STATE_U32(VirtioMmio, align), {}
    },
};

static const DeviceType virtio_mmio_type = {
    .name = "virtio-mmio", .doc = "a slot for a virtio device",
    .parent = &device_type, .size = sizeof(VirtioMmio), .internal = true,
    .props = mmio_props, .outputs = mmio_outputs, .state = &mmio_state,
    .realize = mmio_realize, .unrealize = mmio_unrealize,
    .reset = mmio_reset, .update = mmio_update,
};
DEVICE_TYPE(virtio_mmio_type)

/* --- what is plugged in ------------------------------------------------------------------- */

static VirtioChild *child_of(Device *dev)
{
    return container_of(dev, VirtioChild, dev);
}

static VirtioMmio *slot_of(Device *dev)
{
    return container_of(dev->bus, VirtioMmio, bus);
}

static bool child_realize(Device *dev, GError **err)
{
    VirtioChild *c = child_of(dev);
    VirtioMmio *s = slot_of(dev);

    if (s->v) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "bus '%s' has its device: it takes one", s->bus.name);
        return false;
    }
    c->v.has_legacy = s->force_legacy;
    c->v.has_modern = !s->force_legacy;
    if (s->force_legacy && (c->v.packed || c->v.iommu_platform)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "packed=on and iommu_platform=on need force-legacy=off "
                    "of the virtio-mmio");
        return false;
    }
    if (!virtio_realize(&c->v, err)) {
        return false;
    }
    s->v = &c->v;
    return true;
}

static void child_unrealize(Device *dev)
{
    VirtioMmio *s = slot_of(dev);

    virtio_unrealize(&child_of(dev)->v);
    s->v = NULL;
    update_irq(s);
}

static void child_reset(Device *dev)
{
    virtio_reset(&child_of(dev)->v);
}

void virtio_child_setup(Object *obj, const VirtioOps *ops, void *dev)
{
    VirtioChild *c = container_of(obj, VirtioChild, dev.obj);

    c->v.ops = ops;
    c->v.bus = &mmio_bus_ops;
    c->v.shell = &c->dev;
    c->v.dev = dev;
}

static const Property child_props[] = { VIRTIO_PROPS(VirtioChild, v), {} };

static const State child_state = {
    .name = "virtio-child", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioChild, v, &virtio_state), {}
    },
};

const DeviceType virtio_child_type = {
    .name = "virtio-device", .doc = "a virtio device on a virtio-mmio",
    .parent = &device_type, .size = sizeof(VirtioChild), .abstract = true,
    .bus = &virtio_bus_type, .props = child_props, .state = &child_state,
    .realize = child_realize, .unrealize = child_unrealize,
    .reset = child_reset,
};
DEVICE_TYPE(virtio_child_type)
