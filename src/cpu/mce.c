/*
 * Machine checks: what the monitor's `mce` does to the banks.
 *
 * Spec:   Intel SDM volume 3B chapter 16, section 16.3.2 (banks) and table
 *         16-8 (overwriting).
 * Locks:  the vCPU is stopped, or the caller is its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#define MCI_STATUS_VAL   BIT64(63)
#define MCI_STATUS_OVER  BIT64(62)
#define MCI_STATUS_UC    BIT64(61)
#define MCI_STATUS_MISCV BIT64(59)
#define MCI_STATUS_ADDRV BIT64(58)

static void record(uint64_t bank[4], const CpuMce *e, uint64_t over)
{
    bank[1] = e->status | over;
    bank[2] = e->status & MCI_STATUS_ADDRV ? e->addr : 0;
    bank[3] = e->status & MCI_STATUS_MISCV ? e->misc : 0;
}

CpuMceResult cpu_inject_mce(X86Cpu *cpu, const CpuMce *e)
{
    X86State *s = cpu->state;
    uint64_t *bank, over;

    if (e->bank >= MCE_N_BANKS) {
        return CPU_MCE_NO_BANK;
    }
    if (!(e->status & MCI_STATUS_VAL)) {
        return CPU_MCE_INVALID;
    }
    bank = s->mce_bank[e->bank];
    over = bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;
    if (e->status & MCI_STATUS_UC) {
        /* A disabled bank logs, and stays silent. */
        bool silent = s->mcg_ctl != ~UINT64_C(0) || bank[0] != ~UINT64_C(0);

        record(bank, e, over);
        if (silent) {
            return CPU_MCE_SILENT;
        }
        s->mcg_pending = e->mcg_status;
        cpu_interrupt(cpu, CPU_PEND_MCE);
        return CPU_MCE_RAISED;
    }
    /* A corrected error never replaces an uncorrected one. */
    if (over && bank[1] & MCI_STATUS_UC) {
        bank[1] |= MCI_STATUS_OVER;
    } else {
        record(bank, e, over);
    }
    return CPU_MCE_SILENT;
}
