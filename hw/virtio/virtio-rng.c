/*
 * Virtio entropy device.
 *
 * Spec:   virtio 1.2, section 5.4.
 * Models: one queue, filled in order; max-bytes in each period.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-rng.h"

#include <linux/virtio_ids.h>

#include "base/opts.h"

enum { QUEUE_SIZE = 8, MOST_AT_ONCE = 64 * 1024 };

static VirtioRng *rng_of(Virtio *v)
{
    return v->dev;
}

static void work(VirtioRng *s);

static void on_ready(void *opaque)
{
    work(opaque);
}

static void on_period(void *opaque)
{
    VirtioRng *s = opaque;

    s->left_bytes = s->max_bytes;
    work(s);
}

/* Random bytes into the element; how many. */
static uint32_t fill(VirtioRng *s, VqElem *e)
{
    uint64_t want = MIN(MIN(e->in_bytes, MOST_AT_ONCE), s->left_bytes);
    uint32_t got = 0;

    for (unsigned i = 0; i < e->n_in && got < want; i++) {
        const struct iovec *v = &e->iov[e->n_out + i];
        size_t n = MIN(v->iov_len, want - got);
        size_t here = rng_read(s->rng, v->iov_base, n);

        got += here;
        if (here < n) {
            break;
        }
    }
    return got;
}

static void work(VirtioRng *s)
{
    VirtQueue *vq = virtio_queue(s->v, 0);
    unsigned left = vq->size;

    while (s->left_bytes && !s->v->paused && left--) {
        VqElem *e = vq_pop(vq, sizeof(*e));
        uint32_t got;

        if (!e) {
            return;
        }
        got = fill(s, e);
        if (!got && e->in_bytes) {
            vq_unpop(e);
            rng_wait(s->rng, on_ready, s);
            return;
        }
        s->left_bytes -= got;
        if (s->max_bytes != INT64_MAX && !timer_pending(&s->period)) {
            timer_mod(&s->period, clock_ns(CLK_VIRTUAL)
                                  + s->period_ms * NS_PER_MS);
        }
        vq_push(e, got);
        vq_notify(vq);
    }
    if (s->left_bytes && !s->v->paused && !vq_is_empty(vq)) {
        vq->again = true;
        virtio_run_again(s->v);
    }
}

static void kick(Virtio *v, VirtQueue *vq)
{
    work(rng_of(v));
}

static void reset(Virtio *v, VirtQueue *vq)
{
    VirtioRng *s = rng_of(v);

    rng_wait(s->rng, NULL, NULL);
    timer_del(&s->period);
    s->left_bytes = s->max_bytes;
}

static void get_config(Virtio *v, uint8_t *config)
{
}

static bool realize(Virtio *v, GError **err)
{
    VirtioRng *s = rng_of(v);

    s->v = v;
    if (!s->period_ms) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'period' cannot be 0: milliseconds are wanted");
        return false;
    }
    if (!s->max_bytes || s->max_bytes > INT64_MAX) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'max-bytes' cannot be %" PRIu64 ": 1 to "
                    "%" PRIi64 " is wanted", s->max_bytes, INT64_MAX);
        return false;
    }
    s->left_bytes = s->max_bytes;
    timer_init(&s->period, loop_main(), CLK_VIRTUAL, on_period, s);
    virtio_add_queue(v, QUEUE_SIZE);
    return true;
}

static void unrealize(Virtio *v)
{
    reset(v, NULL);
}

const VirtioOps virtio_rng_ops = {
    .name = "virtio-rng", .id = VIRTIO_ID_RNG, .pci_id = 0x1005,
    .pci_class = 0x00ff00, .realize = realize, .unrealize = unrealize,
    .get_config = get_config, .kick = kick, .reset = reset,
};

static bool post_load(void *opaque, int version, GError **err)
{
    VirtioRng *s = opaque;

    if (s->left_bytes > s->max_bytes) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "virtio-rng: more bytes left than there were");
        return false;
    }
    return true;
}

const State virtio_rng_state = {
    .name = "virtio-rng", .version = 1, .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_U64(VirtioRng, left_bytes), STATE_TIMER(VirtioRng, period), {}
    },
};
