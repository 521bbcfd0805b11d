/*
 * A PC's skeleton in the test's process: RAM, i440FX, PIIX3 and whatever a
 * test adds, without CPUs.  One per process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_PCTEST_H
#define TESTS_UNIT_HW_PCTEST_H

#include "core/machine.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "loop/timer.h"

typedef struct PcTest {
    Machine *m;
    Device *host;
    PciBus *pci;
    Device *piix3;
    IsaBus *isa;
    int isa_level[16];
} PcTest;

/* RAM below E0000000h and from 4 GiB; g_test_init(), clock by hand. */
PcTest *pc_test_init(int *argc, char ***argv, uint64_t ram_bytes);

/* A realized device at `addr` ("03.0"; NULL: anywhere) with "name=val,..." properties. */
Device *pc_add_pci(PcTest *t, const char *type, const char *addr,
                   const char *props);

/* Configuration accesses through CF8h and CFCh. */
uint32_t pc_conf_read(PcTest *t, unsigned devfn, unsigned at, unsigned size);
void pc_conf_write(PcTest *t, unsigned devfn, unsigned at, uint32_t val,
                   unsigned size);
uint64_t pc_in(uint16_t port, unsigned size);
void pc_out(uint16_t port, unsigned size, uint64_t val);
uint64_t pc_load(uint64_t gpa, unsigned size);
void pc_store(uint64_t gpa, unsigned size, uint64_t val);

/* What machine_request_*() asked for since the last call; runs the loop. */
bool pc_was_reset(PcTest *t);
bool pc_was_shut_down(PcTest *t);

/* Save, reset, load. */
void pc_reload(Device *dev);

#endif
