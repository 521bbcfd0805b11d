/*
 * pci-testdev: registers that count writes, for tests of port and memory I/O.
 *
 * Spec:   QEMU, docs/specs/pci-testdev.rst; kvm-unit-tests' vmexit and
 *         pci-testdev are its users.
 * Models: the header and the counted bytes in memory (BAR 0) and in ports
 *         (BAR 1), each three times: always by an exit, as a doorbell for any
 *         value, as a doorbell for one value; a BAR of any size (BAR 2).
 * Locks:  machine lock.
 *
 *     -device pci-testdev[,membar=SIZE[,membar-backed=on]]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/trace.h"
#include "hw/pci/pci.h"
#include "mem/doorbell.h"

/* The header at the start of BAR 0 and of BAR 1. */
enum {
    REG_TEST = 0x00, REG_WIDTH = 0x01, REG_OFFSET = 0x04, REG_DATA = 0x08,
    REG_COUNT = 0x0c, REG_NAME = 0x10, HEADER_BYTES = 0x40,
};

enum {
    MEM_BAR, PIO_BAR, BIG_BAR,
    N_TESTED_BARS = BIG_BAR,
    MEM_BYTES = 4096, MEM_TARGETS = 2048,
    PIO_BYTES = 256, PIO_TARGETS = 128,
    TARGET_STEP = 4,
    CLASS_OTHERS = 0x00ff00,
    MATCH = 0xfa, OTHER = 0xce,
};

static const struct {
    const char *name;
    uint8_t data;
    bool doorbell, match;
} tests[] = {
    { "no-eventfd", OTHER, false, false },
    { "wildcard-eventfd", OTHER, true, false },
    { "datamatch-eventfd", MATCH, true, true },
};
#define N_TESTS G_N_ELEMENTS(tests)

typedef struct TestBar {
    unsigned bar;               /* (C) */
    Region io;
    uint8_t test;
    uint32_t count[N_TESTS];
    int fd[N_TESTS];            /* -1: nobody has asked for it */
} TestBar;

typedef struct PciTestdev {
    PciDevice pci;
    TestBar bars[N_TESTED_BARS];
    Region big;
    uint64_t big_bytes;         /* properties */
    bool big_is_ram;
} PciTestdev;

static PciTestdev *testdev_of(Device *dev)
{
    return container_of(dev, PciTestdev, pci.dev);
}

static unsigned target_of(const TestBar *b, unsigned test)
{
    return (b->bar == MEM_BAR ? MEM_TARGETS : PIO_TARGETS)
           + test * TARGET_STEP;
}

/* --- counting ------------------------------------------------------------------ */

/* What an accelerator has counted in our stead. */
static void drain(TestBar *b, unsigned test)
{
    uint64_t n;

    if (b->fd[test] >= 0 && read(b->fd[test], &n, sizeof(n)) == sizeof(n)) {
        b->count[test] += n;
    }
}

/* Doorbells hand over one pointer: to the place where the eventfd is. */
static int doorbell_fd(void *opaque)
{
    int *fd = opaque;

    if (*fd < 0) {
        *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return *fd;
}

static uint64_t bar_read(void *opaque, hwaddr at, unsigned size)
{
    TestBar *b = opaque;
    uint8_t header[HEADER_BYTES] = { 0 };
    uint64_t val = 0;

    if (b->test < N_TESTS && at + size <= sizeof(header)) {
        drain(b, b->test);
        header[REG_WIDTH] = 1;
        store_le32(header + REG_OFFSET, target_of(b, b->test));
        store_le32(header + REG_DATA, tests[b->test].data);
        store_le32(header + REG_COUNT, b->count[b->test]);
        g_snprintf((char *)header + REG_NAME, sizeof(header) - REG_NAME,
                   "%s-%s", b->bar == MEM_BAR ? "mmio" : "portio",
                   tests[b->test].name);
        val = load_le(header + at, size);
    }
    return val;
}

static void bar_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    TestBar *b = opaque;

    trace("pci-testdev-write", "bar %u at 0x%" PRIx64 " val 0x%" PRIx64,
          b->bar, at, val);
    if (at == REG_TEST) {
        b->test = val;
        if (b->test < N_TESTS) {
            drain(b, b->test);
            b->count[b->test] = 0;
        }
        return;
    }
    for (unsigned i = 0; i < N_TESTS && size == 1; i++) {
        if (at == target_of(b, i)
            && (!tests[i].match || val == tests[i].data)) {
            b->count[i]++;
        }
    }
}

static const IoOps bar_ops = {
    .read = bar_read, .write = bar_write, .size_min = 1, .size_max = 4,
    .unaligned = true,
};

/* --- the device ------------------------------------------------------------------- */

static void testdev_reset(Device *dev)
{
    PciTestdev *s = testdev_of(dev);

    for (unsigned i = 0; i < N_TESTED_BARS; i++) {
        TestBar *b = &s->bars[i];

        b->test = 0;
        for (unsigned test = 0; test < N_TESTS; test++) {
            drain(b, test);
            b->count[test] = 0;
        }
    }
}

static void testdev_unrealize(Device *dev)
{
    PciTestdev *s = testdev_of(dev);

    for (unsigned i = 0; i < N_TESTED_BARS; i++) {
        TestBar *b = &s->bars[i];

        region_destroy(&b->io);
        doorbell_remove_all(&b->io);
        for (unsigned test = 0; test < N_TESTS; test++) {
            if (b->fd[test] >= 0) {
                close(b->fd[test]);
            }
        }
    }
    if (s->big_bytes) {
        region_destroy(&s->big);
    }
}

static void add_bar(PciTestdev *s, unsigned bar)
{
    TestBar *b = &s->bars[bar];
    bool mem = bar == MEM_BAR;

    *b = (TestBar) { .bar = bar };
    region_init_io(&b->io, &s->pci.dev.obj,
                   mem ? "pci-testdev-mmio" : "pci-testdev-portio", &bar_ops,
                   b, mem ? MEM_BYTES : PIO_BYTES);
    for (unsigned i = 0; i < N_TESTS; i++) {
        b->fd[i] = -1;
        if (tests[i].doorbell) {
            Doorbell d = {
                .offset = target_of(b, i), .size = 1, .match = tests[i].match,
                .data = tests[i].data, .fd = doorbell_fd, .opaque = &b->fd[i],
            };

            doorbell_add(&b->io, &d);
        }
    }
    pci_register_bar(&s->pci, bar, mem ? PCI_BAR_MEM32 : PCI_BAR_IO, &b->io);
}

static bool add_big_bar(PciTestdev *s, GError **err)
{
    Object *obj = &s->pci.dev.obj;

    if (s->big_bytes < 4096 || s->big_bytes & (s->big_bytes - 1)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "pci-testdev: property 'membar' expects a power of two "
                    "from 4096 bytes, not %" PRIu64, s->big_bytes);
        return false;
    }
    if (!s->big_is_ram) {
        region_init_container(&s->big, obj, "pci-testdev-membar",
                              s->big_bytes);
    } else if (!region_init_ram(&s->big, obj, "pci-testdev-membar",
                                s->big_bytes, err)) {
        return false;
    }
    pci_register_bar(&s->pci, BIG_BAR, PCI_BAR_MEM64 | PCI_BAR_PREFETCH,
                     &s->big);
    return true;
}

static bool testdev_realize(Device *dev, GError **err)
{
    PciTestdev *s = testdev_of(dev);

    if (s->big_bytes && !add_big_bar(s, err)) {
        return false;
    }
    pci_set_ids(&s->pci, 0x1b36, 0x0005, CLASS_OTHERS, 0);
    for (unsigned i = 0; i < N_TESTED_BARS; i++) {
        add_bar(s, i);
    }
    return true;
}

static void testdev_pre_save(void *opaque)
{
    PciTestdev *s = opaque;

    for (unsigned i = 0; i < N_TESTED_BARS; i++) {
        for (unsigned test = 0; test < N_TESTS; test++) {
            drain(&s->bars[i], test);
        }
    }
}

static const State bar_state = {
    .name = "pci-testdev-bar", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(TestBar, test), STATE_U32_ARRAY(TestBar, count), {}
    },
};

static const State testdev_state = {
    .name = "pci-testdev", .version = 1, .pre_save = testdev_pre_save,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(PciTestdev, bars, &bar_state), {}
    },
};

static const Property testdev_props[] = {
    PROP_SIZE(PciTestdev, big_bytes, "membar", 0,
              "bytes of BAR 2, 64 bits wide; 0: there is none"),
    PROP_BOOL(PciTestdev, big_is_ram, "membar-backed", false,
              "memory answers there"),
    {}
};

static const DeviceType testdev_type = {
    .name = "pci-testdev", .doc = "registers that count writes, for tests",
    .parent = &pci_device_type, .size = sizeof(PciTestdev),
    .props = testdev_props, .state = &testdev_state,
    .realize = testdev_realize, .unrealize = testdev_unrealize,
    .reset = testdev_reset,
};
DEVICE_TYPE(testdev_type)
