/*
 * Hypercalls: VMCALL and VMMCALL outside virtualization.
 *
 * Spec:   Linux, Documentation/virt/kvm/x86/hypercalls.rst: number in RAX,
 *         arguments in RBX, RCX, RDX, RSI, result in RAX; both instructions on
 *         processors of either vendor.
 * Models: SEND_IPI; the others do not exist here and say so.  Where CPUID shows
 *         no hypervisor (-cpu model,-hypervisor) the instructions are not
 *         defined.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/stack.h"
#include "cpu/features.h"
#include "cpu/lapic.h"

enum { HC_SEND_IPI = 10 };
enum { HC_EPERM = -1, HC_EINVAL = -22, HC_ENOSYS = -1000 };

/* What of an ICR may be said: a vector and a mode, the rest is ours. */
#define ICR_ALLOWED 0x7ff

/* To each processor of the 64-bit (32 bits: two words of 32) map that starts at
 * APIC id `first`; how many there were. */
static int64_t send_ipi(const uint64_t map[2], unsigned word_bits,
                        uint32_t first, uint64_t icr)
{
    int64_t n = 0;

    if (icr & ~(uint64_t)ICR_ALLOWED) {
        return HC_EINVAL;
    }
    for (unsigned i = 0; i < 2 * word_bits; i++) {
        uint64_t id = (uint64_t)first + i;

        if ((map[i / word_bits] >> i % word_bits & 1) && id < UINT32_MAX
            && cpu_by_apic_id(id)
            && apic_bus_deliver(id, false, icr >> 8 & 7, icr, false)) {
            n++;
        }
    }
    return n;
}

static const Insn *hypercall(Env *env, const Insn *insn)
{
    unsigned bits = in_code64(env) ? 64 : 32;
    uint64_t nr = reg_get(env, R_RAX, bits);
    uint64_t map[2] = { reg_get(env, R_RBX, bits), reg_get(env, R_RCX, bits) };
    int64_t result = HC_ENOSYS;
    uint32_t r[4];

    cpu_cpuid(env->cpu, 1, 0, r);
    if (!(r[2] >> FEAT_HYPERVISOR % 32 & 1)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl) {
        result = HC_EPERM;
    } else if (nr == HC_SEND_IPI) {
        result = send_ipi(map, bits, env->s.gpr[R_RDX],
                          reg_get(env, R_RSI, bits));
    }
    reg_set(env, R_RAX, bits, result);
    return insn_exit(env, insn);
}

const HandlerRow interp_hypercall[] = {
    { OP_VMCALL, ALL(hypercall), {}, {} },
    { OP_VMMCALL, ALL(hypercall), {}, {} },
    {}
};
