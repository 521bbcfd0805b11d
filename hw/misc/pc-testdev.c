/*
 * pc-testdev: what tests of processors need of a board and no PC has.
 *
 * Spec:   none but the programs that drive it, kvm-unit-tests (x86) first.
 * Models: a port that remembers, and shows the same to accesses of any width
 *         and to bytes; a latch for each ISA interrupt line; 64 KiB of memory that is I/O, so that
 *         each access of an instruction is seen.  "Flush" asks a hypervisor to
 *         forget its mapping of a page: nothing that a guest could see.
 * Locks:  machine lock.
 *
 *     -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=4
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/bits.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

enum {
    PORT_LATCH = 0xe0, PORT_FLUSH = 0xe4, PORT_BYTES = 0xe8,
    PORT_LINES = 0x2000,        /* a port for each line */
};
#define MEM_GPA   0xff000000
#define MEM_BYTES (64 * KiB)

typedef struct {
    IsaDevice isa;
    Region latch_io, flush_io, bytes_io, lines_io, mem_io;
    Irq lines[ISA_N_IRQS];

    uint8_t latch[4];           /* ports E0h to E3h, written one by one or not */
    uint16_t levels;
    uint8_t mem[MEM_BYTES];
} PcTestdev;

static PcTestdev *testdev_of(Device *dev)
{
    return container_of(dev, PcTestdev, isa.dev);
}

/* The core has checked that the access lies in the region. */
static uint64_t bytes_load(const uint8_t *from, unsigned size)
{
    uint64_t val = 0;

    memcpy(&val, from, size);
    return val;
}

static uint64_t latch_read(void *opaque, hwaddr reg, unsigned size)
{
    PcTestdev *s = opaque;

    return bytes_load(&s->latch[reg], size);
}

static void latch_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    PcTestdev *s = opaque;

    memcpy(&s->latch[reg], &val, size);
}

static const IoOps latch_ops = {
    .read = latch_read, .write = latch_write, .size_min = 1, .size_max = 4,
};

/* The core makes bytes of whatever comes. */
static const IoOps bytes_ops = {
    .read = latch_read, .write = latch_write, .size_min = 1, .size_max = 1,
};

static uint64_t flush_read(void *opaque, hwaddr reg, unsigned size)
{
    return ~UINT64_C(0);
}

static void flush_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    trace("pc-testdev-flush", "page 0x%" PRIx64, val);
}

static const IoOps flush_ops = {
    .read = flush_read, .write = flush_write, .size_min = 4, .size_max = 4,
};

static void testdev_update(Device *dev)
{
    PcTestdev *s = testdev_of(dev);

    for (unsigned i = 0; i < ISA_N_IRQS; i++) {
        irq_set(&s->lines[i], s->levels >> i & 1);
    }
}

static uint64_t lines_read(void *opaque, hwaddr line, unsigned size)
{
    PcTestdev *s = opaque;

    return s->levels >> line & 1;
}

static void lines_write(void *opaque, hwaddr line, uint64_t val, unsigned size)
{
    PcTestdev *s = opaque;

    trace("pc-testdev-line", "line %" PRIu64 " level %d", line, !!val);
    s->levels = (s->levels & ~BIT(line)) | (val ? BIT(line) : 0);
    irq_set(&s->lines[line], !!val);
}

static const IoOps lines_ops = {
    .read = lines_read, .write = lines_write, .size_min = 1, .size_max = 1,
};

static uint64_t mem_read(void *opaque, hwaddr at, unsigned size)
{
    PcTestdev *s = opaque;

    return bytes_load(&s->mem[at], size);
}

static void mem_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    PcTestdev *s = opaque;

    memcpy(&s->mem[at], &val, size);
}

static const IoOps mem_ops = {
    .read = mem_read, .write = mem_write, .size_min = 1, .size_max = 8,
    .unaligned = true,
};

static void testdev_reset(Device *dev)
{
    PcTestdev *s = testdev_of(dev);

    memset(s->latch, 0, sizeof(s->latch));
    s->levels = 0;
    memset(s->mem, 0, sizeof(s->mem));
    testdev_update(dev);
}

static void testdev_unrealize(Device *dev)
{
    PcTestdev *s = testdev_of(dev);

    region_destroy(&s->mem_io);
    isa_unmap_io(&s->isa, &s->lines_io);
    isa_unmap_io(&s->isa, &s->bytes_io);
    isa_unmap_io(&s->isa, &s->flush_io);
    isa_unmap_io(&s->isa, &s->latch_io);
    for (unsigned i = 0; i < ISA_N_IRQS; i++) {
        isa_irq_release(&s->isa, &s->lines[i]);
    }
}

/* None of these can fail: the ports are constants. */
static bool testdev_realize(Device *dev, GError **err)
{
    PcTestdev *s = testdev_of(dev);

    isa_map_io(&s->isa, PORT_LATCH, &s->latch_io, &latch_ops, s,
               "pc-testdev-latch", sizeof(s->latch), err);
    isa_map_io(&s->isa, PORT_FLUSH, &s->flush_io, &flush_ops, s,
               "pc-testdev-flush", 4, err);
    isa_map_io(&s->isa, PORT_BYTES, &s->bytes_io, &bytes_ops, s,
               "pc-testdev-bytes", 4, err);
    isa_map_io(&s->isa, PORT_LINES, &s->lines_io, &lines_ops, s,
               "pc-testdev-lines", ISA_N_IRQS, err);
    for (unsigned i = 0; i < ISA_N_IRQS; i++) {
        s->lines[i] = isa_irq(&s->isa, i);
    }
    /* Over a firmware image that is 16 MiB large. */
    region_init_io(&s->mem_io, &dev->obj, "pc-testdev-mem", &mem_ops, s,
                   MEM_BYTES);
    region_map(mem_root(), MEM_GPA, &s->mem_io, 1);
    return true;
}

static const State testdev_state = {
    .name = "pc-testdev", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8_ARRAY(PcTestdev, latch), STATE_U16(PcTestdev, levels), STATE_U8_ARRAY(PcTestdev, mem), {}
    },
};

static const DeviceType testdev_type = {
    .name = "pc-testdev", .doc = "ports, lines and I/O memory for CPU tests",
    .parent = &isa_device_type, .size = sizeof(PcTestdev),
    .state = &testdev_state,
    .realize = testdev_realize, .unrealize = testdev_unrealize,
    .reset = testdev_reset, .update = testdev_update,
};
DEVICE_TYPE(testdev_type)
