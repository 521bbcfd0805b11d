/*
 * Virtqueues: a driver that was honest until it had set up its rings.  Bytes
 * become descriptors, indices, events, requests, kicks and resets, for a disk,
 * a source of entropy and a console.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/hw/vdriver.h"
#include "block/drive.h"
#include "fuzz.h"

enum { RAM_BYTES = 8 << 20, N_QUEUES = 4, QUEUE_SIZE = 16, MAX_OPS = 256 };

static const struct {
    const char *type, *props;
    unsigned n_queues;
} devices[] = {
    { "virtio-blk-pci", "drive=d,num-queues=2,queue-size=16", 2 },
    { "virtio-rng-pci", NULL, 1 },
    { "virtio-serial-pci", "max_ports=2", 4 },
};

static PcTest *pc;

static void set_up(void)
{
    static char name[] = "virtqueue-fuzz";
    char *args[] = { name, NULL }, **argv = args;
    int argc = 1;
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval("if=none,id=d,driver=null-co,"
                                           "size=64M", NULL, NULL, &err);

    pc = pc_test_init(&argc, &argv, RAM_BYTES);
    drive_new(dict, BLOCK_IF_IDE, false, &err);
    g_assert_no_error(err);
}

typedef struct {
    const uint8_t *at;
    size_t left;
} Feed;

static uint64_t take(Feed *f, unsigned n)
{
    uint64_t val = 0;

    for (unsigned i = 0; i < n && f->left; i++, f->left--) {
        val |= (uint64_t)*f->at++ << (8 * i);
    }
    return val;
}

/* Addresses at and beyond every edge, and plain ones. */
static uint64_t address(Feed *f)
{
    static const uint64_t edges[] = {
        0, RAM_BYTES - 1, RAM_BYTES, VD_RINGS, VD_RINGS + 0x1000,
        VD_MODERN_GPA, VD_MSIX_GPA, 0xfffff000, UINT64_MAX - 7, 0xa0000,
    };
    unsigned i = take(f, 1);

    return i < G_N_ELEMENTS(edges) ? edges[i] + take(f, 1) % 16
           : VD_DATA + take(f, 2);
}

static uint32_t length(Feed *f)
{
    static const uint32_t edges[] = {
        0, 1, 15, 16, 17, 512, 4096, 65536, RAM_BYTES, 0x7fffffff, UINT32_MAX
    };
    unsigned i = take(f, 1);

    return i < G_N_ELEMENTS(edges) ? edges[i] : take(f, 2);
}

static void put_desc(VDriver *d, VdQueue *q, Feed *f, uint64_t table)
{
    VdQueue in_table = { .desc = table };
    unsigned i = take(f, 1) % QUEUE_SIZE;
    uint64_t gpa = address(f);
    uint32_t bytes = length(f);

    /* In a packed ring `flags` and `next` change places. */
    vd_desc(table ? &in_table : q, i, gpa, bytes, take(f, 2), take(f, 2));
}

static void add_element(VDriver *d, unsigned queue, Feed *f)
{
    unsigned n = 1 + take(f, 1) % 4;
    uint64_t header = VD_DATA + 256 * take(f, 1);
    VdBuf bufs[4];

    pc_store(header, 8, take(f, 1) % 16);
    pc_store(header + 8, 8, take(f, 2));
    bufs[0] = (VdBuf) { header, 16, false };
    for (unsigned i = 1; i < n; i++) {
        uint64_t gpa = address(f);

        bufs[i] = (VdBuf) { gpa, length(f), take(f, 1) & 1 };
    }
    vd_add(d, queue, bufs, n, take(f, 1) & 1 ? VD_DATA + 0x800 : 0);
}

static void step(VDriver *d, unsigned n_queues, Feed *f)
{
    uint8_t op = take(f, 1);
    unsigned queue = (op >> 5) % n_queues;
    VdQueue *q = &d->q[queue];

    switch (op & 15) {
    case 0:
    case 1:
        put_desc(d, q, f, 0);
        break;
    case 2:
        put_desc(d, q, f, VD_DATA + 0x800);
        break;
    case 3:
    case 4:
        add_element(d, queue, f);
        break;
    case 5:
        vd_make_avail(q, take(f, 1));
        break;
    case 6:
        pc_store(q->avail + take(f, 1) % 48, 2, take(f, 2));
        break;
    case 7:
        pc_store(VD_RINGS + queue * VD_RING_STEP + take(f, 1) * 2, 2,
                 take(f, 2));
        break;
    case 8:
    case 9:
    case 10:
        vd_kick(d, queue);
        break;
    case 11:
        vd_run();
        break;
    case 12:
        vd_start(d, take(f, 8), n_queues, QUEUE_SIZE, op & 16);
        break;
    case 13:
        vd_set_common(d, 22, 2, queue);
        vd_set_common(d, take(f, 1) % 64, 1 << take(f, 1) % 3, take(f, 4));
        break;
    case 14:
        vd_set_config(d, take(f, 1) % 64, 1 << take(f, 1) % 3, take(f, 4));
        break;
    default:
        if (op & 16) {
            pc_reload(d->dev);
        } else {
            vd_set_status(d, take(f, 1));
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Feed f = { data, size };
    unsigned which, n_queues;
    VDriver *d;

    if (!pc) {
        set_up();
    }
    which = take(&f, 1);
    n_queues = devices[which % G_N_ELEMENTS(devices)].n_queues;
    d = vd_new(pc, devices[which % G_N_ELEMENTS(devices)].type,
               devices[which % G_N_ELEMENTS(devices)].props,
               which / 4 % VD_N_MODES);
    vd_start(d, UINT64_MAX, n_queues, QUEUE_SIZE, which & 64);
    for (unsigned i = 0; i < MAX_OPS && f.left; i++) {
        step(d, n_queues, &f);
    }
    vd_free(d);
    return 0;
}
