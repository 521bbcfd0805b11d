/*
 * The decoder with the interpreter: any bytes as guest code, in real,
 * protected and long mode, with registers and tables that the input chooses.
 * Whatever it does to its machine, the emulator stays in order and can be
 * stopped.
 *
 * The first byte chooses the mode and whether there are exception handlers
 * (which are the same bytes again), the next eight the registers; the rest is
 * code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "../unit/tcg/guest.h"
#include "fuzz.h"

enum { CODE = 0x8000, CODE_BYTES = 0x1000, TABLES = 0x100000, GDT = 0x1000,
       IDT = 0x2000, RUN_US = 1000 };

static void choose_registers(X86State *s, const uint8_t *seed)
{
    uint64_t x = load_le64(seed) | 1;

    for (unsigned i = 0; i < N_GPR; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        /* Mostly small, so that many point into RAM. */
        s->gpr[i] = x & 7 ? x % GUEST_RAM_BYTES : x;
    }
    s->gpr[R_RSP] = 0x7000 + (x & 0xff);
}

static void choose_mode(uint8_t choice)
{
    switch (choice % 3) {
    case 0:
        guest_real(0, 0, CODE);
        break;
    case 1:
        guest_protected(0, CODE);
        break;
    default:
        guest_long(0, CODE, TABLES);
        if (choice & 0x80) {
            guest_tables(0, GDT, IDT);
            for (unsigned v = 0; v < 32; v++) {
                guest_gate(IDT, v, CODE + v);
            }
        }
        break;
    }
}

/* Until it has shut itself down, or has had its time. */
static void run(void)
{
    int64_t end = g_get_monotonic_time() + RUN_US;

    machine_lock();
    machine_start(guest_machine);
    machine_unlock();
    while (g_get_monotonic_time() < end && machine_running(guest_machine)) {
        loop_iterate(loop_main(), false);
    }
    machine_lock();
    machine_stop(guest_machine, RUN_STATE_PAUSED);
    machine_unlock();
    while (loop_iterate(loop_main(), false)) {
        /* a reset that was asked for at the last moment */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (!ready) {
        guest_init(1);
        guest_machine->no_reboot = true;
        ready = true;
    }
    if (size < 10) {
        return 0;
    }
    guest_reset();
    choose_mode(data[0]);
    choose_registers(guest_cpu(0)->state, data + 1);
    memcpy(guest_ram + CODE, data + 9, MIN(size - 9, CODE_BYTES));
    run();
    if (guest_env(0)->cpl > 3 || guest_cpu(0)->state->gpr[R_ZERO] != 0) {
        abort();
    }
    return 0;
}
