/*
 * What the sides must agree on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

#include "cpu/state.h"

bool compare_void(const DiffResult *r)
{
    return r->s.vector >= V_SYSCALL;
}

/* A component in its initial state need not be in the area. */
static void normalise(uint8_t *b)
{
    static const uint8_t init[24] = { 0x7f, 0x03 };
    uint64_t bv = load_le64(b + XS_BV);

    if (!(bv & 1)) {
        memcpy(b, init, sizeof(init));
        memset(b + XS_ST, 0, 128);
    }
    if (!(bv & 2)) {
        memset(b + XS_XMM, 0, 256);
    }
    if (!(bv & 4)) {
        memset(b + XS_YMM, 0, 256);
    }
    memset(b + 5, 0, 19);       /* FOP, FIP, FDP: docs/undefined-flags.md */
    memset(b + 28, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        memset(b + XS_ST + 16 * i + 10, 0, 6);
    }
}

static void one(GString *s, const char *what, uint64_t want, uint64_t got,
                const char *names[2])
{
    if (want != got) {
        g_string_append_printf(s, "  %-8s %s %016" PRIx64 ", %s %016" PRIx64
                               "\n", what, names[0], want, names[1], got);
    }
}

static void some(GString *s, const char *what, unsigned n, const uint8_t *want,
                 const uint8_t *got, unsigned bytes, const char *names[2])
{
    if (memcmp(want, got, bytes) == 0) {
        return;
    }
    for (unsigned k = 0; k < 2; k++) {
        const uint8_t *p = k ? got : want;

        g_string_append_printf(s, "  %s%-5u %s ", k ? "   " : what, n,
                               names[k]);
        for (unsigned i = bytes; i--;) {
            g_string_append_printf(s, "%02x%s", p[i],
                                   i && i % 8 == 0 ? "." : "");
        }
        g_string_append_c(s, '\n');
    }
}

/* The operation at RIP, or OP_UD. */
static unsigned op_at(const DiffCase *c, uint64_t rip)
{
    Insn insn;

    for (unsigned i = 0; i < c->n; i++) {
        if (rip == slot_address(c->slot) + c->at[i]) {
            insn_decode(&insn, c->code + c->at[i], 15, gen_mode_bits(c->mode),
                        NULL);
            return insn.op;
        }
    }
    return OP_UD;
}

/*
 * What an instruction that faults leaves open: which of two faults, where in a
 * page CR2 points, and what it had done by then.  docs/undefined-flags.md.
 */
static void forgive_fault(const DiffCase *c, DiffResult *a, DiffResult *b)
{
    switch (op_at(c, b->s.rip)) {
    case OP_CMPS:
        if (a->s.vector != V_END) {
            b->s.vector = a->s.vector;
            b->s.error = a->s.error;
            b->s.cr2 = a->s.cr2;
        }
        break;
    case OP_VMASKMOVPS_M_X_X: case OP_VMASKMOVPD_M_X_X:
    case OP_VPMASKMOVD_M_X_X: case OP_VPMASKMOVQ_M_X_X:
        a->s.cr2 &= ~UINT64_C(0xfff);
        b->s.cr2 &= ~UINT64_C(0xfff);
        break;
    case OP_FNSAVE_M: case OP_FNSTENV_M: case OP_FXSAVE_M:
        memcpy(b->data, a->data, sizeof(b->data));
        /* fall through */
    case OP_FRSTOR_M: case OP_FLDENV_M: case OP_FXRSTOR_M:
        if (a->s.vector == EXC_PF) {
            b->s.cr2 = a->s.cr2;
            b->s.error = a->s.error;
        }
        break;
    case OP_POPA:
        memcpy(b->s.gpr, a->s.gpr, sizeof(b->s.gpr));
        break;
    case OP_PUSHA:
        memcpy(b->data, a->data, sizeof(b->data));
        break;
    default:
        break;
    }
}

/* How, and when, processors look at the alignment of these is their own. */
static bool odd_alignment(unsigned op)
{
    switch (op) {
    case OP_VCVTPH2PS_X_XM: case OP_VCVTPS2PH_XM_X_I: case OP_PUSHA:
    case OP_RETF: case OP_RETF_I: case OP_IRET: case OP_JMPF_M:
    case OP_CALLF_M: case OP_FXSAVE_M: case OP_FXRSTOR_M:
        return true;
    default:
        return false;
    }
}

static bool has_error(int64_t vector)
{
    return (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

char *compare_results(const DiffCase *c, const DiffResult *want,
                      const DiffResult *got, const char *want_name,
                      const char *got_name)
{
    static const char *const regs[16] = {
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    };
    static DiffResult both[2];
    DiffState *a = &both[0].s, *b = &both[1].s;
    const char *names[2] = { want_name, got_name };
    uint64_t flags = FL_ARITH | FL_DF | FL_TF | FL_IF | FL_NT | FL_AC | FL_ID;
    GString *s = NULL;

    both[0] = *want;
    both[1] = *got;
    if (b->vector != V_END) {
        forgive_fault(c, &both[0], &both[1]);
    }
    if (c->image) {
        /* Pointers and opcode: docs/undefined-flags.md. */
        memset(both[0].data + (c->image - DIFF_DATA) + 6, 0, 26);
        memset(both[1].data + (c->image - DIFF_DATA) + 6, 0, 26);
    }
    want = &both[0];
    got = &both[1];
    if ((a->vector == EXC_AC && odd_alignment(op_at(c, a->rip)))
        || (b->vector == EXC_AC && odd_alignment(op_at(c, b->rip)))) {
        return NULL;
    }
    normalise(a->xs);
    normalise(b->xs);
    if (a->vector != V_END && a->vector == b->vector) {
        flags |= FL_RF;
    }
    a->rflags &= flags;
    b->rflags &= flags;
    for (unsigned i = 0; i < 2; i++) {
        DiffState *x = &both[i].s;

        x->rsp = 0;
        /* One null selector is as good as another: not all survive the
         * kernel. */
        x->ds = x->ds < 4 ? 0 : x->ds;
        x->es = x->es < 4 ? 0 : x->es;
        x->fs = x->fs < 4 ? 0 : x->fs;
        x->gs = x->gs < 4 ? 0 : x->gs;
        if (!has_error(x->vector)) {
            x->error = 0;
        }
        if (x->vector != EXC_PF) {
            x->cr2 = 0;
        } else if (x->cr2 >= UINT64_C(0x7ffffffff000)) {
            x->error |= 1;      /* Linux says so of all that is not a user's */
        }
        /* Outside 64-bit mode the upper halves do not exist. */
        for (unsigned r = 0; c->mode == MODE_32 && r < 16; r++) {
            x->gpr[r] = r < 8 ? (uint32_t)x->gpr[r] : 0;
        }
        if (x->cs == SEL_CS32) {
            x->gpr[4] = (uint32_t)x->gpr[4];    /* so it was pushed */
        }
        memset(x->pad, 0, sizeof(x->pad));
        memset(x->xs + XS_BV, 0, 64);
        memset(x->xs + 416, 0, 96);
        memset(x->xs + 832, 0, sizeof(x->xs) - 832);
    }
    if (memcmp(a, b, sizeof(*a)) == 0
        && memcmp(want->data, got->data, RW_BYTES) == 0) {
        return NULL;
    }
    s = g_string_new(NULL);
    if (a->vector != b->vector) {
        g_string_append_printf(s, "  %-8s %s %d, %s %d\n", "vector", names[0],
                               (int)a->vector, names[1], (int)b->vector);
    }
    for (unsigned i = 0; i < 16; i++) {
        one(s, regs[i], a->gpr[i], b->gpr[i], names);
    }
#define ONE(field) one(s, #field, a->field, b->field, names)
    ONE(rip); ONE(rflags); ONE(cs); ONE(ss); ONE(ds); ONE(es); ONE(fs);
    ONE(gs); ONE(fs_base); ONE(gs_base); ONE(error); ONE(cr2);
#undef ONE
    one(s, "fcw", load_le16(a->xs), load_le16(b->xs), names);
    one(s, "fsw", load_le16(a->xs + 2), load_le16(b->xs + 2), names);
    one(s, "ftw", a->xs[4], b->xs[4], names);
    one(s, "mxcsr", load_le32(a->xs + 24), load_le32(b->xs + 24), names);
    for (unsigned i = 0; i < 8; i++) {
        some(s, "st", i, a->xs + XS_ST + 16 * i, b->xs + XS_ST + 16 * i, 10,
             names);
    }
    for (unsigned i = 0; i < 16; i++) {
        some(s, "xmm", i, a->xs + XS_XMM + 16 * i, b->xs + XS_XMM + 16 * i, 16,
             names);
        some(s, "yhi", i, a->xs + XS_YMM + 16 * i, b->xs + XS_YMM + 16 * i, 16,
             names);
    }
    for (unsigned i = 0, shown = 0; i < RW_BYTES && shown < 16; i++) {
        if (want->data[i] != got->data[i]) {
            g_string_append_printf(s, "  [%08x] %s %02x, %s %02x\n",
                                   DIFF_DATA + i, names[0], want->data[i],
                                   names[1], got->data[i]);
            shown++;
        }
    }
    return g_string_free(s, FALSE);
}
