/*
 * A device in the test's own process: a bare ISA bus, probes on its lines,
 * time moved by hand.
 *
 *     g_autoptr(DevTest) t = dev_test_new("apm", "smm=on");
 *     IrqProbe *smi = dev_test_probe(t, "smi");
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_DEVTEST_H
#define TESTS_UNIT_HW_DEVTEST_H

#include "core/machine.h"
#include "hw/isa/isa.h"
#include "loop/timer.h"

typedef struct IrqProbe {
    int level;
    unsigned n_rising, n_falling;
} IrqProbe;

typedef struct DevTest {
    IsaBus bus;
    Device *dev;                /* the device under test */
    IrqProbe lines[ISA_N_IRQS]; /* the bus's */
    GPtrArray *others;          /* of Device *: see dev_test_add() */
    GPtrArray *probes;          /* of IrqProbe * */
} DevTest;

/* g_test_init(), clocks by hand, the machine lock held: for main(). */
void dev_test_init(int *argc, char ***argv);

/* A realized and reset device of `type` on a new bus.  `props` is
 * "name=val,name=val" or NULL. */
DevTest *dev_test_new(const char *type, const char *props);
void dev_test_free(DevTest *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DevTest, dev_test_free)
/* Another device on the same bus, that the next ones may name by `id`.  To be
 * added before the device under test: then `t->dev` is NULL until
 * dev_test_add() is called with NULL id. */
DevTest *dev_test_bare(void);
Device *dev_test_add(DevTest *t, const char *type, const char *props,
                     const char *id);

/* Watch output `name`[n] of the device under test. */
IrqProbe *dev_test_probe(DevTest *t, const char *name);
IrqProbe *dev_test_probe_n(DevTest *t, const char *name, unsigned n);
Irq irq_probe_in(IrqProbe *probe);
/* Drive input `n` of the device under test. */
void dev_test_line(DevTest *t, int n, int level);

uint8_t dev_inb(DevTest *t, uint16_t port);
uint16_t dev_inw(DevTest *t, uint16_t port);
uint32_t dev_inl(DevTest *t, uint16_t port);
void dev_outb(DevTest *t, uint16_t port, uint8_t val);
void dev_outw(DevTest *t, uint16_t port, uint16_t val);
void dev_outl(DevTest *t, uint16_t port, uint32_t val);
/* The device's i-th region, as a board would map it. */
uint64_t dev_mmio_read(DevTest *t, unsigned i, hwaddr at, unsigned size);
void dev_mmio_write(DevTest *t, unsigned i, hwaddr at, uint64_t val,
                    unsigned size);

/* Save, reset, load into the same device, as a snapshot would. */
void dev_test_reload(DevTest *t);

static inline void dev_advance(int64_t ns)
{
    clock_test_advance(ns);
}

#endif
