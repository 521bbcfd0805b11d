/*
 * Virtio devices: status, features, configuration, queues, threads.
 *
 * Spec:   virtio 1.2, chapters 2 and 3; legacy interface: virtio 0.9.5.
 * Models: see hw/virtio/virtio.h.
 * Locks:  see there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"
#include "base/trace.h"
#include "core/machine.h"

static GPtrArray *all;          /* of Virtio *, realized; machine lock */

/* --- threads -------------------------------------------------------------------- */

typedef struct Call {
    void (*fn)(void *opaque);
    void *opaque;
    bool done;
    GMutex lock;
    GCond cond;
} Call;

static void run_call(void *opaque)
{
    Call *c = opaque;

    c->fn(c->opaque);
    g_mutex_lock(&c->lock);
    c->done = true;
    g_cond_signal(&c->cond);
    g_mutex_unlock(&c->lock);
}

void virtio_in_loop(Virtio *v, void (*fn)(void *opaque), void *opaque)
{
    Call c = { .fn = fn, .opaque = opaque };

    if (v->loop == loop_main() || loop_is_current(v->loop)) {
        fn(opaque);
        return;
    }
    g_mutex_init(&c.lock);
    g_cond_init(&c.cond);
    loop_call(v->loop, run_call, &c);
    g_mutex_lock(&c.lock);
    while (!c.done) {
        g_cond_wait(&c.cond, &c.lock);
    }
    g_mutex_unlock(&c.lock);
    g_mutex_clear(&c.lock);
    g_cond_clear(&c.cond);
}

/* --- telling the driver ------------------------------------------------------------ */

uint8_t virtio_take_isr(Virtio *v)
{
    return __atomic_exchange_n(&v->isr, 0, __ATOMIC_ACQ_REL);
}

uint8_t virtio_status(const Virtio *v)
{
    return __atomic_load_n(&v->status, __ATOMIC_ACQUIRE);
}

void virtio_config_changed(Virtio *v)
{
    __atomic_add_fetch(&v->generation, 1, __ATOMIC_ACQ_REL);
    if (virtio_status(v) & VIRTIO_CONFIG_S_DRIVER_OK) {
        v->bus->notify(v, NULL);
    }
}

void virtio_broken(Virtio *v, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    guest_error(v->ops->name, "%s", text);
    v->broken = true;
    if (virtio_is_modern(v)) {
        __atomic_fetch_or(&v->status, VIRTIO_CONFIG_S_NEEDS_RESET,
                          __ATOMIC_ACQ_REL);
        virtio_config_changed(v);
    }
}

/* --- running queues: in the loop ----------------------------------------------------- */

static void start(Virtio *v)
{
    if (!v->started) {
        v->started = true;
        if (v->ops->start) {
            v->ops->start(v);
        }
    }
}

static void run_queue(VirtQueue *vq)
{
    Virtio *v = vq->v;

    if (v->paused || !vq_is_ready(vq)) {
        return;
    }
    /* Drivers from before virtio 1.0 use their queues while they probe. */
    if (!v->started && !virtio_is_modern(v)) {
        start(v);
    }
    if (v->started) {
        v->ops->kick(v, vq);
    }
}

void virtio_run_again(Virtio *v)
{
    timer_mod(&v->again, 0);
}

static void on_again(void *opaque)
{
    Virtio *v = opaque;

    for (unsigned i = 0; i < v->n_queues; i++) {
        if (v->vqs[i]->again) {
            v->vqs[i]->again = false;
            run_queue(v->vqs[i]);
        }
    }
}

static void on_kick_fd(int fd, GIOCondition events, void *opaque)
{
    uint64_t n;

    if (read(fd, &n, sizeof(n)) == sizeof(n)) {
        run_queue(opaque);
    }
}

static bool poll_ready(void *opaque)
{
    return vq_has_work(opaque);
}

static void poll_run(void *opaque)
{
    run_queue(opaque);
}

static void poll_want_kicks(void *opaque, bool on)
{
    vq_polled(opaque, !on);
}

static const LoopPollOps poll_ops = {
    .ready = poll_ready, .run = poll_run, .want_kicks = poll_want_kicks,
};

/* From here on the queue is kicked by its eventfd only, if there is one. */
int virtio_kick_fd(void *opaque)
{
    VirtQueue *vq = opaque;
    int fd;

    if (vq->kick_fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            return -1;
        }
        vq->watch = loop_watch(vq->v->loop, fd, G_IO_IN, on_kick_fd, vq);
        __atomic_store_n(&vq->kick_fd, fd, __ATOMIC_RELEASE);
    }
    return vq->kick_fd;
}

void virtio_kick(Virtio *v, unsigned index)
{
    static const uint64_t one = 1;
    VirtQueue *vq = virtio_queue(v, index);
    bool locked;
    int fd;

    if (!vq) {
        return;
    }
    fd = __atomic_load_n(&vq->kick_fd, __ATOMIC_ACQUIRE);
    if (fd >= 0) {
        /* A counter that is full is readable. */
        if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
            warn("%s: eventfd: %s", v->ops->name, g_strerror(errno));
        }
        return;
    }
    locked = machine_lock_held();
    if (!locked) {
        machine_lock();
    }
    run_queue(vq);
    if (!locked) {
        machine_unlock();
    }
}

static void run_all(Virtio *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        run_queue(v->vqs[i]);
    }
}

/* --- status ----------------------------------------------------------------------------- */

void virtio_drain(Virtio *v)
{
    if (v->ops->drain) {
        v->ops->drain(v);
    }
}

static void reset_in_loop(void *opaque)
{
    Virtio *v = opaque;

    virtio_drain(v);
    if (v->ops->reset) {
        v->ops->reset(v, NULL);
    }
    timer_del(&v->again);
    for (unsigned i = 0; i < v->n_queues; i++) {
        vq_reset(v->vqs[i]);
    }
    v->started = v->broken = false;
    v->features = 0;
    v->ring = &vring_split;
}

void virtio_reset(Virtio *v)
{
    virtio_in_loop(v, reset_in_loop, v);
    __atomic_store_n(&v->status, 0, __ATOMIC_RELEASE);
    virtio_take_isr(v);
    v->generation = 0;
    v->config_vector = VQ_NO_VECTOR;
    v->queue_sel = 0;
    v->offered_sel = v->features_sel = 0;
}

static void start_in_loop(void *opaque)
{
    Virtio *v = opaque;

    start(v);
    run_all(v);                 /* buffers that were there before the status */
}

void virtio_set_status(Virtio *v, uint8_t status)
{
    uint8_t old = virtio_status(v);

    trace("virtio-status", "%s 0x%02x -> 0x%02x", v->ops->name, old, status);
    if (!status) {
        virtio_reset(v);
        return;
    }
    if (status & VIRTIO_CONFIG_S_FEATURES_OK
        && !(old & VIRTIO_CONFIG_S_FEATURES_OK)
        && (v->features & ~v->offered
            || (v->iommu_platform
                && !virtio_has(v, VIRTIO_F_ACCESS_PLATFORM)))) {
        guest_error(v->ops->name, "features 0x%" PRIx64 " of 0x%" PRIx64,
                    v->features, v->offered);
        status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    status |= old & VIRTIO_CONFIG_S_NEEDS_RESET;
    __atomic_store_n(&v->status, status, __ATOMIC_RELEASE);
    if (status & VIRTIO_CONFIG_S_DRIVER_OK
        && !(old & VIRTIO_CONFIG_S_DRIVER_OK)) {
        virtio_in_loop(v, start_in_loop, v);
    }
}

/* --- features ------------------------------------------------------------------------------ */

uint32_t virtio_offered(const Virtio *v, bool legacy, uint32_t sel)
{
    uint64_t bits = v->offered;

    if (legacy) {
        return sel ? 0 : bits;
    }
    bits &= ~(BIT64(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT64(VIRTIO_F_ANY_LAYOUT));
    return sel > 1 ? 0 : bits >> 32 * sel;
}

uint32_t virtio_features(const Virtio *v, uint32_t sel)
{
    return sel > 1 ? 0 : v->features >> 32 * sel;
}

typedef struct {
    Virtio *v;
    uint64_t features;
} FeatureCall;

static void take_features(void *opaque)
{
    FeatureCall *c = opaque;
    Virtio *v = c->v;

    v->features = c->features;
    v->ring = virtio_has(v, VIRTIO_F_RING_PACKED) ? &vring_packed
                                                  : &vring_split;
    for (unsigned i = 0; i < v->n_queues; i++) {
        vq_unmap(v->vqs[i]);    /* the rings' sizes depend on the features */
    }
}

void virtio_set_features(Virtio *v, bool legacy, uint32_t sel, uint32_t bits)
{
    FeatureCall c = { v, bits & virtio_offered(v, true, 0) };

    if (v->started || sel > 1
        || virtio_status(v) & VIRTIO_CONFIG_S_FEATURES_OK) {
        return;
    }
    if (!legacy) {
        c.features = bits_set(v->features, 32 * sel, 32, bits);
    }
    virtio_in_loop(v, take_features, &c);
}

/* --- queues --------------------------------------------------------------------------------- */

VirtQueue *virtio_add_queue(Virtio *v, unsigned max_size)
{
    VirtQueue *vq = g_new0(VirtQueue, 1);

    g_assert(v->n_queues < VIRTIO_MAX_QUEUES && max_size <= VQ_MAX_SIZE);
    vq->v = v;
    vq->index = v->n_queues;
    vq->max_size = max_size;
    vq->kick_fd = -1;
    v->vqs = g_renew(VirtQueue *, v->vqs, v->n_queues + 1);
    v->vqs[v->n_queues++] = vq;
    return vq;
}

VirtQueue *virtio_queue(Virtio *v, unsigned index)
{
    return index < v->n_queues ? v->vqs[index] : NULL;
}

VirtQueue *virtio_selected(Virtio *v)
{
    return virtio_queue(v, v->queue_sel);
}

void virtio_queue_set_size(Virtio *v, uint32_t size)
{
    VirtQueue *vq = virtio_selected(v);
    bool packed = virtio_has(v, VIRTIO_F_RING_PACKED);

    if (!vq || vq->enabled) {
        return;
    }
    if (!size || size > vq->max_size || (!packed && size & (size - 1))) {
        guest_error(v->ops->name, "queue %u cannot have %u entries",
                    vq->index, size);
        return;
    }
    vq->size = size;
}

void virtio_queue_enable(Virtio *v)
{
    VirtQueue *vq = virtio_selected(v);

    if (vq && !vq->enabled) {
        trace("virtio-queue-enable", "%s queue %u size %u desc 0x%" PRIx64,
              v->ops->name, vq->index, vq->size, vq->desc_gpa);
        __atomic_store_n(&vq->enabled, true, __ATOMIC_RELEASE);
    }
}

typedef struct {
    Virtio *v;
    VirtQueue *vq;
} QueueCall;

static void queue_reset_in_loop(void *opaque)
{
    QueueCall *c = opaque;

    virtio_drain(c->v);
    if (c->v->ops->reset) {
        c->v->ops->reset(c->v, c->vq);
    }
    vq_reset(c->vq);
}

void virtio_queue_reset(Virtio *v, VirtQueue *vq)
{
    QueueCall c = { v, vq };

    virtio_in_loop(v, queue_reset_in_loop, &c);
}

void virtio_queue_set_pfn(Virtio *v, uint32_t pfn, uint32_t page_bytes,
                          uint32_t align)
{
    VirtQueue *vq = virtio_selected(v);
    uint16_t size, vector;

    if (!vq) {
        return;
    }
    /* The driver does not say the ring's size, nor the vector anew. */
    size = vq->size;
    vector = vq->vector;
    if (vq->enabled) {
        virtio_queue_reset(v, vq);
        vq->size = size;
        vq->vector = pfn ? vector : VQ_NO_VECTOR;
    }
    if (pfn) {
        vq->desc_gpa = (uint64_t)pfn * page_bytes;
        vq->avail_gpa = vq->desc_gpa + 16 * vq->size;
        vq->used_gpa = ALIGN_UP(vq->avail_gpa + 4 + 2 * vq->size + 2,
                                (uint64_t)align);
        virtio_queue_enable(v);
    }
}

/* --- configuration ---------------------------------------------------------------------------- */

uint64_t virtio_config_read(Virtio *v, uint64_t at, unsigned size)
{
    unsigned bytes = v->ops->config_bytes;

    if (at >= bytes || size > bytes - at) {
        return 0;
    }
    v->ops->get_config(v, v->config);
    return load_le(v->config + at, size);
}

void virtio_config_write(Virtio *v, uint64_t at, uint64_t val, unsigned size)
{
    unsigned bytes = v->ops->config_bytes;

    if (at >= bytes || size > bytes - at || !v->ops->set_config) {
        return;
    }
    v->ops->get_config(v, v->config);
    store_le(v->config + at, size, val);
    v->ops->set_config(v, v->config, at, size);
}

/* --- life --------------------------------------------------------------------------------------- */

static void pause_one(void *opaque)
{
    Virtio *v = opaque;

    v->paused = true;
    virtio_drain(v);
}

static void resume_one(void *opaque)
{
    Virtio *v = opaque;

    v->paused = false;
    if (v->ops->resume) {
        v->ops->resume(v);
    }
    run_all(v);
}

static void on_run_state(void *opaque, RunState now)
{
    for (unsigned i = 0; i < all->len; i++) {
        Virtio *v = g_ptr_array_index(all, i);

        virtio_in_loop(v, now == RUN_STATE_RUNNING ? resume_one : pause_one,
                       v);
    }
}

static uint64_t ring_features(const Virtio *v)
{
    return (v->indirect_desc ? BIT64(VIRTIO_RING_F_INDIRECT_DESC) : 0)
           | (v->event_idx ? BIT64(VIRTIO_RING_F_EVENT_IDX) : 0)
           | (v->notify_on_empty ? BIT64(VIRTIO_F_NOTIFY_ON_EMPTY) : 0)
           | (v->any_layout ? BIT64(VIRTIO_F_ANY_LAYOUT) : 0)
           | (v->has_modern ? BIT64(VIRTIO_F_VERSION_1) : 0)
           | (v->iommu_platform ? BIT64(VIRTIO_F_ACCESS_PLATFORM) : 0)
           | (v->packed ? BIT64(VIRTIO_F_RING_PACKED) : 0)
           | (v->queue_reset ? BIT64(VIRTIO_RING_RESET) : 0);
}

static void free_queues(Virtio *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        g_free(v->vqs[i]);
    }
    g_clear_pointer(&v->vqs, g_free);
    v->n_queues = 0;
}

static void stop_watching(void *opaque)
{
    Virtio *v = opaque;

    for (unsigned i = 0; i < v->n_queues; i++) {
        loop_remove_poller(g_steal_pointer(&v->vqs[i]->poller));
        loop_unwatch(g_steal_pointer(&v->vqs[i]->watch));
        if (v->vqs[i]->kick_fd >= 0) {
            close(v->vqs[i]->kick_fd);
        }
    }
}

static void start_polling(void *opaque)
{
    Virtio *v = opaque;

    for (unsigned i = 0; i < v->n_queues; i++) {
        v->vqs[i]->poller = loop_add_poller(v->loop, &poll_ops, v->vqs[i]);
    }
}

/* An iothread's queues are kicked by eventfds, whoever kicks. */
static bool make_kick_fds(Virtio *v, GError **err)
{
    for (unsigned i = 0; v->loop != loop_main() && i < v->n_queues; i++) {
        if (virtio_kick_fd(v->vqs[i]) < 0) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                        "no eventfd for queue %u of %u: %s", i, v->n_queues,
                        g_strerror(errno));
            virtio_in_loop(v, stop_watching, v);
            v->ops->unrealize(v);
            return false;
        }
    }
    return true;
}

bool virtio_realize(Virtio *v, GError **err)
{
    v->loop = loop_main();
    v->ring = &vring_split;
    v->offered = ring_features(v);
    v->config = g_malloc0(MAX(v->ops->config_bytes, 1));
    if (!v->ops->realize(v, err) || !make_kick_fds(v, err)) {
        free_queues(v);
        g_clear_pointer(&v->config, g_free);
        return false;
    }
    v->scratch = g_new(struct iovec, VQ_MAX_DESCS);
    v->queue_image_bytes = v->n_queues * VIRTIO_QUEUE_IMAGE_BYTES;
    v->queue_image = g_malloc0(v->queue_image_bytes);
    timer_init(&v->again, v->loop, CLK_HOST, on_again, v);
    for (unsigned i = 0; i < v->n_queues; i++) {
        vq_reset(v->vqs[i]);
    }
    v->config_vector = VQ_NO_VECTOR;
    if (v->loop != loop_main()) {
        virtio_in_loop(v, start_polling, v);    /* sees all of the above */
    }
    if (!all) {
        all = g_ptr_array_new();
        machine_add_state_hook(on_run_state, NULL);
    }
    g_ptr_array_add(all, v);
    return true;
}

void virtio_unrealize(Virtio *v)
{
    virtio_in_loop(v, reset_in_loop, v);
    virtio_in_loop(v, stop_watching, v);
    g_ptr_array_remove(all, v);
    v->ops->unrealize(v);
    free_queues(v);
    g_clear_pointer(&v->scratch, g_free);
    g_clear_pointer(&v->queue_image, g_free);
    g_clear_pointer(&v->config, g_free);
}
