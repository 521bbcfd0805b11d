/*
 * Every integer handler that a user program can reach, against the host.
 *
 * All one-, two- and three-byte opcodes are tried with random prefixes,
 * operands and operands' places (in a page, over two, at the end of what is
 * mapped), natively and by the handler, by its fast twin or its slow one:
 * registers, flags, memory, faults must agree.  So in 64-bit mode, in flat
 * 32-bit code, and in 16- and 32-bit code with segments of our own.  RHEA_TEST_ROUNDS
 * multiplies the number of trials, RHEA_TEST_SEED changes them, RHEA_TEST_OP
 * runs the operations whose names begin so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/io.h"
#include "accel/tcg/interp/segment.h"
#include "native.h"
#include "tests/common/rnd.h"

/* --- random values ----------------------------------------------------------- */

static uint64_t some_value(void)
{
    static const uint64_t special[] = {
        0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
        0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
        0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe,
    };

    switch (below(5)) {
    case 0:
        return special[below(G_N_ELEMENTS(special))];
    case 1:
        return rnd() >> below(64);
    case 2:
        return below(80);
    case 3:
        return ~(rnd() >> below(64));
    default:
        return rnd();
    }
}

/* --- the environment of a handler ------------------------------------------- */

/* A mode to test in. */
typedef struct TestMode {
    const char *name;
    uint32_t mode;              /* DM_* */
    NativeSegs native;
} TestMode;

static const TestMode *tm;
static Env test_env;
static X86Cpu test_cpu;

static bool is64(void)
{
    return (tm->mode & DM_CODE_MASK) == DM_CODE64;
}

/* --- the LDT that both sides have --------------------------------------------- */

enum { LDT_CODE16, LDT_CODE32, LDT_DATA, LDT_STACK16, LDT_STACK32, LDT_DOWN,
       LDT_READ_ONLY, LDT_ABSENT, LDT_EXEC_ONLY, LDT_BIG,
       N_LDT };
#define LDT_GVA UINT64_C(0xffff800000000000)    /* nobody else is there */
static uint64_t ldt[N_LDT];
static uint16_t selector_of[N_LDT];

static bool add_segment(unsigned n, uint64_t base, uint32_t limit,
                        uint16_t attr)
{
    uint32_t raw = attr & SEGA_G ? limit >> 12 : limit;

    attr |= SEGA_S | SEGA_DPL | SEGA_A;         /* as Linux makes them */
    ldt[n] = (raw & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)attr << 40
             | (uint64_t)(raw >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;
    selector_of[n] = native_ldt(n, base, limit, attr);
    return selector_of[n];
}

/* The hidden part of a register that the kernel loaded. */
static void set_segment(unsigned seg, uint16_t selector)
{
    X86Seg *s = &test_env.s.seg[seg];

    if (selector == NATIVE_CS32 || selector == NATIVE_DS32) {
        *s = (X86Seg) {
            .selector = selector, .limit = UINT32_MAX,
            .attr = SEGA_G | SEGA_P | SEGA_DB | SEGA_DPL | SEGA_S | SEGA_W
                    | SEGA_A | (seg == SEG_CS ? SEGA_CODE : 0),
        };
    } else if (selector) {
        seg_from_desc(s, selector, ldt[selector >> 3]);
    } else {
        *s = (X86Seg) { .attr = SEGA_NULL };
    }
}
static TlbEntry test_tlb[TLB_SIZE];
static bool use_bounce;

static bool mapped(uint64_t gva, unsigned n)
{
    uint64_t base = (uintptr_t)native_data;

    return gva - base <= NATIVE_DATA_PAGES * NATIVE_PAGE - n;
}

static bool fault_at(Env *env, uint64_t gva, unsigned n, bool write)
{
    if (!mem_canonical(env, gva)) {
        return exc_set(env, EXC_GP, true, 0);
    }
    env->exc_cr2 = mapped(gva, 1) ? ALIGN_DOWN(gva + n - 1, NATIVE_PAGE) : gva;
    return exc_set(env, EXC_PF, true, write ? 6 : 4);
}

const void *mem_read_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!mapped(gva, size)) {
        fault_at(env, gva, size, false);
        return NULL;
    }
    return use_bounce ? memcpy(env->bounce, (const void *)gva, size)
                      : (const void *)gva;
}

void *mem_write_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!mapped(gva, size)) {
        fault_at(env, gva, size, true);
        return NULL;
    }
    if (!use_bounce) {
        return (void *)gva;
    }
    memset(env->bounce, 0xcc, sizeof(env->bounce));
    env->bounce_gva = gva;
    env->bounce_size = size;
    return env->bounce;
}

void *mem_rmw_slow(Env *env, uint64_t gva, unsigned size)
{
    void *p = mem_write_slow(env, gva, size);

    return p == env->bounce ? memcpy(p, (void *)gva, size) : p;
}

void *mem_lock_slow(Env *env, uint64_t gva, unsigned size)
{
    return mem_rmw_slow(env, gva, size);
}

void mem_written_slow(Env *env)
{
    memcpy((void *)env->bounce_gva, env->bounce, env->bounce_size);
}

void mem_locked_done_slow(Env *env, const void *p)
{
    mem_written_slow(env);
}

bool mem_probe_write(Env *env, uint64_t gva, unsigned len)
{
    return mapped(gva, len) || fault_at(env, gva, len, true);
}

bool mem_sys_read(Env *env, uint64_t gva, void *buf, unsigned size)
{
    if (gva - LDT_GVA > sizeof(ldt) - size) {
        return exc_set(env, EXC_PF, true, 0);
    }
    memcpy(buf, (char *)ldt + (gva - LDT_GVA), size);
    return true;
}

bool mem_sys_write(Env *env, uint64_t gva, const void *buf, unsigned size)
{
    return exc_set(env, EXC_PF, true, 2);
}

bool io_allowed(Env *env, uint16_t port, unsigned size)
{
    return exc_set(env, EXC_GP, true, 0);
}

bool io_breakpoint_at(Env *env, uint16_t port, unsigned size)
{
    return false;
}

uint64_t env_io_read(Env *env, uint16_t port, unsigned size)
{
    return 0;
}

void env_io_write(Env *env, uint16_t port, unsigned size, uint64_t val)
{
}

void env_update_mode(Env *env)
{
}

static bool jumped;

const Insn *insn_jump(Env *env, const Insn *insn, uint64_t rip)
{
    jumped = true;
    env->s.rip = rip;
    return NULL;
}

const Insn *insn_jump_far(Env *env, const Insn *insn)
{
    return NULL;
}

static const HandlerRow *const tables[] = {
    interp_arith, interp_mul, interp_shift, interp_bits, interp_move,
    interp_stack, interp_locked, interp_branch, interp_string,
    interp_segment, interp_system,
};

/* Register, memory, locked; by column.  And whether it has been run. */
static InsnFn *handlers[N_OPS][3][4];
static InsnFn *const *cond_handlers[N_OPS][4];
static bool has_run[N_OPS][3][4];

/* Of segment.c and system.c only what a program may do, and leaves no trace
 * in this process. */
static bool for_users(unsigned op)
{
    switch (op) {
    case OP_MOV_RM_SEG: case OP_MOV_SEG_RM: case OP_POP_SEG: case OP_LFP_R_M:
    case OP_LAR_R_RM: case OP_LSL_R_RM: case OP_VERR_RM: case OP_VERW_RM:
    case OP_ARPL_RM_R: case OP_INTO: case OP_BOUND_R_M: case OP_INT3:
        return true;
    }
    for (const HandlerRow *r = interp_segment; r->op; r++) {
        if (r->op == op) {
            return false;
        }
    }
    for (const HandlerRow *r = interp_system; r->op; r++) {
        if (r->op == op) {
            return false;
        }
    }
    return true;
}

static void find_rows(void)
{
    for (unsigned t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const HandlerRow *r = tables[t]; r->op; r++) {
            if (!for_users(r->op)) {
                continue;
            }
            for (unsigned i = 0; i < 4; i++) {
                InsnFn **h = &handlers[r->op][0][i];

                h[0] = r->reg[i] ? r->reg[i] : h[0];
                h[4] = r->mem[i] ? r->mem[i] : h[4];
                h[8] = r->lock[i] ? r->lock[i] : h[8];
                if (r->cond[i]) {
                    cond_handlers[r->op][i] = r->cond[i];
                }
            }
        }
    }
}

static InsnFn *handler(const Insn *insn, bool run)
{
    static const uint8_t column[33] = { [2] = 1, [4] = 2, [8] = 3 };
    unsigned form = insn->flags & INSN_LOCK ? 2 : insn->flags & INSN_MEM;
    unsigned col = column[insn->size];

    if (form == 2 && !(insn->flags & INSN_MEM)) {
        return NULL;
    }
    if (run) {
        has_run[insn->op][form][col] = true;
    }
    if (form == 0 && cond_handlers[insn->op][col]) {
        return cond_handlers[insn->op][col][insn->aux];
    }
    return handlers[insn->op][form][col];
}

static const Insn *stop(Env *env, const Insn *insn)
{
    env->s.rip = insn_rip(env, insn);
    return NULL;
}

static void map_data(bool on)
{
    for (unsigned i = 0; i < NATIVE_DATA_PAGES; i++) {
        uint64_t gva = (uintptr_t)native_data + i * NATIVE_PAGE;
        uint64_t tag = on ? -gva : -(gva ^ 2 * NATIVE_PAGE);

        test_tlb[(gva >> 12) & (TLB_SIZE - 1)] = (TlbEntry) {
            .nrpage = tag, .nwpage = tag,
        };
    }
}

static int run_handler(X86State *s, const Insn *decoded)
{
    Env *env = &test_env;
    Insn code[2] = { *decoded, { .fn = stop } };
    const Insn *at = code;

    code[0].fn = handler(decoded, true);
    code[0].off = 0;
    code[1].off = decoded->len;
    env->s = *s;
    env->s.gpr[R_ZERO] = 0;
    env->s.cr0 = CR0_PE | CR0_PG;
    env->s.efer = EFER_LMA;
    env->s.ldtr = (X86Seg) { .base = LDT_GVA, .limit = sizeof(ldt) - 1,
                             .attr = SEGA_P | SYS_LDT };
    set_segment(SEG_CS, tm->native.cs);
    set_segment(SEG_SS, tm->native.ss);
    set_segment(SEG_DS, tm->native.ds);
    set_segment(SEG_ES, tm->native.es);
    set_segment(SEG_FS, 0);
    set_segment(SEG_GS, 0);
    env_set_rflags(env, s->rflags);
    env->rip_base = is64() ? (uintptr_t)native_code : tm->native.rip;
    env->exc_vector = -1;
    jumped = false;
    while (at) {
        at = at->fn(env, at);
    }
    *s = env->s;
    s->rflags = env_get_rflags(env);
    if (!is64()) {
        for (unsigned i = 0; i < 8; i++) {
            s->gpr[i] = (uint32_t)s->gpr[i];
        }
    }
    return env->exc_vector;
}

static void env_setup(void)
{
    Env *env = &test_env;

    env->cpu = &test_cpu;
    env->tlb = test_tlb;
    env->cpl = 3;
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        test_tlb[i].nrpage = test_tlb[i].nwpage = -(uint64_t)(i ^ 2) << 12;
    }
}

/* --- operands ------------------------------------------------------------------ */

/* The bytes that operands lie in: over a page boundary, and the end, before a
 * page that is not there. */
enum { SPAN = 256, SPANS = 2 * SPAN };
static uint8_t *span(unsigned i)
{
    return native_data + (i == 0 ? 2 * NATIVE_PAGE - SPAN / 2
                                 : NATIVE_DATA_PAGES * NATIVE_PAGE - SPAN);
}

static void spans_get(uint8_t *to)
{
    memcpy(to, span(0), SPAN);
    memcpy(to + SPAN, span(1), SPAN);
}

static void spans_set(const uint8_t *from)
{
    memcpy(span(0), from, SPAN);
    memcpy(span(1), from + SPAN, SPAN);
}

/* What to put into a register for that linear address. */
static uint64_t offset_of(unsigned seg, uint64_t gva)
{
    return is64() ? gva : (uint32_t)(gva - test_env.s.seg[seg].base);
}

static uint64_t some_address(void)
{
    if (one_in(40)) {
        /* Nothing there.  A random address might be cut to 32 bits and then
         * hit something of this process, but for these. */
        return !is64() || one_in(2) ? (uintptr_t)native_data - 8 - below(56)
               : one_in(2) ? rnd() << 32 : 0;
    }
    if (one_in(10)) {
        return (uintptr_t)span(1) + SPAN - below(24);
    }
    if (one_in(4)) {
        return (uintptr_t)span(0) + SPAN / 2 - below(24);
    }
    return (uintptr_t)span(below(2)) + 64 + below(SPAN - 128);
}

/* --- one trial ------------------------------------------------------------------ */

static const char *only_op;
static unsigned rounds = 1;
static bool undefined_count;    /* this host's undefined flags are ours */
static unsigned n_failed, n_trials, n_op_failed[N_OPS];

static uint64_t unpack_flags(unsigned f)
{
    return (f & IF_CF ? FL_CF : 0) | (f & IF_PF ? FL_PF : 0)
           | (f & IF_AF ? FL_AF : 0) | (f & IF_ZF ? FL_ZF : 0)
           | (f & IF_SF ? FL_SF : 0) | (f & IF_OF ? FL_OF : 0);
}

static void fail(const Insn *insn, const uint8_t *code, const X86State *before,
                 const uint8_t *mem, const char *what)
{
    g_autoptr(GString) s = g_string_new(NULL);

    insn_print(insn, s);
    g_string_append_printf(s, "  [%s]\n  bytes", insn_op_name(insn->op));
    for (unsigned i = 0; i < insn->len; i++) {
        g_string_append_printf(s, " %02x", code[i]);
    }
    g_string_append_printf(s, "\n  before: flags %03x",
                           (unsigned)before->rflags);
    for (unsigned i = 0; i < N_GPR; i++) {
        g_string_append_printf(s, "%s r%u %016" PRIx64, i % 4 ? "" : "\n",
                               i, before->gpr[i]);
    }
    g_print("# %s\n%s\n", s->str, what);
    g_test_fail();
}

/* The memory operand lands in the spans: by the base register, if that is
 * possible. */
static bool place_operand(X86State *s, const Insn *insn)
{
    uint64_t to = offset_of(insn->seg, some_address()), off;

    if (insn->ea & EA_RIP || insn->base == R_ZERO
        || insn->base == insn->index || insn->seg == SEG_CS
        || insn->seg >= SEG_FS) {
        return false;
    }
    off = s->gpr[insn->base]
          + (insn->index == R_ZERO ? 0 : s->gpr[insn->index] << insn->scale)
          + (int64_t)insn->disp;
    if (insn->ea & EA_A16) {
        /* Now and then let it wrap (two operands of BOUND: in which order?) */
        to = one_in(60) && insn->op != OP_BOUND_R_M ? 0xffff - below(8) : to;
        s->gpr[insn->base] = (s->gpr[insn->base] & ~UINT64_C(0xffff))
                             | (uint16_t)(s->gpr[insn->base] + to - off);
    } else {
        s->gpr[insn->base] += to - off;
    }
    return true;
}

/* The offset after a branch and the INT3 behind it. */
static uint64_t code_end(const Insn *insn)
{
    return (is64() ? (uintptr_t)native_code : tm->native.rip) + insn->len + 1;
}

/* A stack pointer; with a 16-bit stack the rest of ESP is noise. */
static uint64_t some_stack(void)
{
    uint64_t sp = offset_of(SEG_SS, some_address());

    return tm->mode & DM_SS32 ? sp : (sp & 0xffff) | (rnd() & 0xffff0000);
}

/* One that the LDT has, or nearly. */
static uint16_t some_selector(void)
{
    return one_in(8) ? below(4) : (below(N_LDT + 1) << 3 | 4 | below(4));
}

/* What the operation needs so as not to fault all the time. */
static void prepare(X86State *s, const Insn *insn, uint8_t *mem)
{
    uint64_t end = code_end(insn);
    unsigned implicit = insn_info(insn->op)->implicit;
    unsigned src = insn->ea & EA_SEG ? insn->seg : SEG_DS;

    if (implicit & (IS_PUSH | IS_POP)) {
        s->gpr[R_RSP] = some_stack();
    }
    if (insn->op == OP_LEAVE || insn->op == OP_ENTER) {
        s->gpr[R_RBP] = some_stack();
    }
    if (implicit & IS_STRING) {
        s->gpr[R_RSI] = offset_of(src, some_address());
        s->gpr[R_RDI] = offset_of(SEG_ES, one_in(4)
                                  ? s->gpr[R_RSI] + below(9) - 4
                                    + (is64() ? 0 : test_env.s.seg[src].base)
                                  : some_address());
        if (insn->flags & (INSN_REP | INSN_REPNE)) {
            s->gpr[R_RCX] = below(64 / insn->size);
        }
        if (insn->op == OP_XLAT) {
            s->gpr[R_RBX] = offset_of(src, some_address());
        }
        if (one_in(2)) {
            s->rflags |= FL_DF;
        }
        /* Runs of equal elements, for the comparisons. */
        if (one_in(2)) {
            memset(mem, s->gpr[R_RAX], SPANS);
            s->gpr[R_RAX] = (uint8_t)s->gpr[R_RAX]
                            * UINT64_C(0x0101010101010101);
            mem[below(SPANS)] ^= 1;
        }
    }
    switch (insn->op) {
    case OP_LOOP_I: case OP_LOOPE_I: case OP_LOOPNE_I: case OP_JCXZ_I:
        s->gpr[R_RCX] = below(3) | (one_in(4) ? UINT64_C(1) << 32 : 0);
        break;
    case OP_JMP_RM: case OP_CALL_RM:
        if (!(insn->flags & INSN_MEM)) {
            s->gpr[insn->rm] = end;
        }
        break;
    case OP_BT_RM_R: case OP_BTS_RM_R: case OP_BTR_RM_R: case OP_BTC_RM_R:
        if (insn->flags & INSN_MEM) {
            /* Within the span, but for rare wild operands. */
            s->gpr[insn->reg] = (s->gpr[insn->reg]
                                 & ~(size_mask(insn->size)))
                                | ((uint64_t)(below(1024) - 512)
                                   & size_mask(insn->size));
        }
        break;
    case OP_LAR_R_RM: case OP_LSL_R_RM: case OP_VERR_RM: case OP_VERW_RM:
    case OP_MOV_SEG_RM:
        if (!(insn->flags & INSN_MEM)) {
            s->gpr[insn->rm] = (s->gpr[insn->rm] & ~UINT64_C(0xffff))
                               | some_selector();
        }
        break;
    default:
        break;
    }
}

/* Put `v` where the operand, or the top of the stack, is. */
static void poke(uint8_t *mem, uint64_t gva, const void *v, unsigned n)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t off = gva - (uintptr_t)span(i);

        if (off <= SPAN - n) {
            memcpy(mem + i * SPAN + off, v, n);
        }
    }
}

static void trial(const uint8_t *code, const Insn *insn, unsigned len)
{
    static X86State before, native, ours;
    static uint8_t mem[SPANS], native_mem[SPANS], our_mem[SPANS];
    const InsnInfo *info = insn_info(insn->op);
    uint64_t flags = FL_ARITH | FL_DF;
    uint64_t end = code_end(insn), gva = 0, stack;
    g_autoptr(GString) diff = NULL;
    NativeResult nr;
    int vector;

    memset(&before, 0, sizeof(before));
    before.fcw = 0x37f;
    before.mxcsr = 0x1f80;
    before.rflags = (rnd() & FL_ARITH) | 2;
    for (unsigned i = 0; i < N_GPR; i++) {
        before.gpr[i] = some_value();
        if (i < 8 && !is64()) {
            before.gpr[i] = (uint32_t)before.gpr[i];
        }
    }
    for (unsigned i = 0; i < SPANS; i += 8) {
        store_le64(mem + i, some_value());
    }
    prepare(&before, insn, mem);
    if (insn->flags & INSN_MEM && info->mem != MEM_ADDR
        && insn->op != OP_LEA_R_M && insn->op != OP_NOP
        && !place_operand(&before, insn)) {
        return;
    }
    if (!is64()) {
        for (unsigned i = 0; i < 8; i++) {
            before.gpr[i] = (uint32_t)before.gpr[i];
        }
    }
    if (insn->flags & INSN_MEM) {
        uint16_t selector = some_selector();

        memcpy(test_env.s.gpr, before.gpr, sizeof(before.gpr));
        test_env.s.gpr[R_ZERO] = 0;
        gva = insn_offset(&test_env, insn);
        if (!is64()) {
            gva = (uint32_t)(gva + test_env.s.seg[insn->seg].base);
        }
        if (insn->ea & EA_A16 && mapped(gva, 1)
            && gva - (uintptr_t)span(0) >= SPAN - 8
            && gva - (uintptr_t)span(1) >= SPAN) {
            return;             /* wrapped to what is not kept */
        }
        switch (insn->op) {
        case OP_LAR_R_RM: case OP_LSL_R_RM: case OP_VERR_RM: case OP_VERW_RM:
        case OP_MOV_SEG_RM:
            poke(mem, gva, &selector, 2);
            break;
        case OP_LFP_R_M:
            poke(mem, gva + insn->size, &selector, 2);
            break;
        case OP_BOUND_R_M:
            poke(mem, gva + (one_in(2) ? insn->size : 0),
                 &before.gpr[insn->reg], insn->size);
            break;
        }
        if (insn->op == OP_CMPXCHG16B_M && !one_in(4)) {
            before.gpr[insn->base] -= gva & 15;
            gva &= ~UINT64_C(15);
        }
        if (insn->op == OP_JMP_RM || insn->op == OP_CALL_RM) {
            poke(mem, gva, &end, insn->size);
        }
        /* Comparisons succeed now and then. */
        if (insn->op == OP_CMPXCHG_RM_R && one_in(2)) {
            poke(mem, gva, &before.gpr[R_RAX], 8);
        } else if (insn->op == OP_CMPXCHG8B_M && one_in(2)) {
            poke(mem, gva, &before.gpr[R_RAX], 4);
            poke(mem, gva + 4, &before.gpr[R_RDX], 4);
        } else if (insn->op == OP_CMPXCHG16B_M && one_in(2)) {
            poke(mem, gva, &before.gpr[R_RAX], 8);
            poke(mem, gva + 8, &before.gpr[R_RDX], 8);
        }
    }
    stack = is64() ? before.gpr[R_RSP]
            : (uint32_t)((before.gpr[R_RSP]
                          & (tm->mode & DM_SS32 ? UINT32_MAX : UINT16_MAX))
                         + test_env.s.seg[SEG_SS].base);
    if (insn->op == OP_RET || insn->op == OP_RET_I) {
        poke(mem, stack, &end, insn->size);
    }
    if (insn->op == OP_POP_SEG) {
        uint16_t selector = some_selector();

        poke(mem, stack, &selector, 2);
    }
    if (insn->op == OP_POPF) {
        uint64_t fl = (rnd() & (FL_ARITH | FL_DF)) | FL_IF | 2;

        if (!mapped(stack, 1) || stack % 8) {
            stack = ALIGN_DOWN((uintptr_t)span(1) + 64, 8);
            before.gpr[R_RSP] = offset_of(SEG_SS, stack);
        }

        poke(mem, stack, &fl, insn->size);
    }

    spans_set(mem);
    native = before;
    if (is64()) {
        nr = native_run(&native, code, len, 0);
    } else {
        nr = native_run_segs(&native, code, len, &tm->native,
                             (tm->mode & DM_CODE_MASK) == DM_CODE16);
    }
    spans_get(native_mem);

    spans_set(mem);
    ours = before;
    use_bounce = one_in(4);
    map_data(one_in(2));
    vector = run_handler(&ours, insn);
    spans_get(our_mem);
    n_trials++;

    if (len > insn->len && vector < 0) {
        /* A branch: INT3 follows, which the taken branch leaps over. */
        if (!jumped) {
            vector = EXC_BP;
            ours.rip++;
        }
    }
    if (is64() && vector == EXC_GP && nr.vector == EXC_SS) {
        vector = EXC_SS;        /* the dispatcher's business */
    }
    if (vector == EXC_OF || vector == EXC_BP) {
        if (len == insn->len) {
            ours.rip += insn->len;      /* a trap */
        }
    }
    if (insn->op == OP_PUSHF) {
        /* IF, and what else the kernel has for us. */
        for (unsigned i = 0; i < SPANS; i++) {
            our_mem[i] |= native_mem[i] & ~our_mem[i]
                          & ((uintptr_t)span(i / SPAN) + i % SPAN
                             == stack - insn->size + 1 ? 2 : 0);
        }
    }
    if (insn_info(insn->op)->implicit & IS_BITMEM && insn->flags & INSN_MEM
        && gva - 64 - (uintptr_t)span(0) > SPAN - 128
        && gva - 64 - (uintptr_t)span(1) > SPAN - 128) {
        return;                 /* the bit may be outside what is kept */
    }
    if (insn->op == OP_POPA && vector >= 0) {
        memcpy(ours.gpr, native.gpr, sizeof(ours.gpr));     /* some are in */
    }
    if (insn->op == OP_ENTER && vector >= 0) {
        memcpy(our_mem, native_mem, SPANS);     /* some was pushed already */
    }
    if (!undefined_count) {
        flags &= ~unpack_flags(info->flags_undef);
    }

    diff = g_string_new(NULL);
    if (insn->op == OP_CMPS && vector >= 0 && nr.vector >= 0) {
        vector = nr.vector;     /* of two faults, either */
    }
    if (vector != nr.vector) {
        g_string_append_printf(diff, "exception: native %d, ours %d\n",
                               nr.vector, vector);
    } else if (vector == EXC_PF && nr.cr2 != test_env.exc_cr2
               && insn->op != OP_CMPS) {
        g_string_append_printf(diff, "CR2: native %" PRIx64 ", ours %" PRIx64
                               "\n", nr.cr2, test_env.exc_cr2);
    }
    native_diff(&native, &ours, flags, diff);
    for (unsigned i = 0; i < SPANS; i++) {
        if (native_mem[i] != our_mem[i]) {
            g_string_append_printf(diff, "memory %p: native %02x, ours %02x\n",
                                   span(i / SPAN) + i % SPAN, native_mem[i],
                                   our_mem[i]);
        }
    }
    if (diff->len) {
        n_failed++;
        if (n_op_failed[insn->op]++ < 2) {
            fail(insn, code, &before, mem, diff->str);
        }
    }
}

static bool is_branch(unsigned op)
{
    switch (op) {
    case OP_JMP_I: case OP_JMP_RM: case OP_JCC_I: case OP_LOOP_I:
    case OP_LOOPE_I: case OP_LOOPNE_I: case OP_JCXZ_I: case OP_CALL_I:
    case OP_CALL_RM: case OP_RET: case OP_RET_I:
        return true;
    default:
        return false;
    }
}

/* Make the displacement of a direct branch 1: it is 1 or 4 bytes at the end. */
static bool set_displacement(uint8_t *code, const Insn *insn)
{
    uint8_t old[4], *p = code + insn->len;
    Insn now;

    if (insn->op == OP_JMP_RM || insn->op == OP_CALL_RM || insn->op == OP_RET
        || insn->op == OP_RET_I) {
        return true;
    }
    for (unsigned n = 1; n <= 4 && n < insn->len; n *= 2) {
        memcpy(old, p - n, n);
        memcpy(p - n, "\1\0\0\0", n);
        insn_decode(&now, code, insn->len, tm->mode, NULL);
        if (now.op == insn->op && now.len == insn->len && now.imm == 1) {
            return true;
        }
        memcpy(p - n, old, n);
    }
    return false;
}

/* Try the encoding if it is one of ours; `n` trials. */
static void encoding(uint8_t *code, unsigned len, unsigned n)
{
    unsigned run;
    Insn insn;

    if (insn_decode(&insn, code, len, tm->mode, NULL) != DECODE_OK
        || !handler(&insn, false)) {
        return;
    }
    if (only_op && !g_str_has_prefix(insn_op_name(insn.op), only_op)) {
        return;
    }
    if ((insn.ea & EA_SEG && (is64() || insn.seg == SEG_CS
                              || insn.seg >= SEG_FS))
        || insn.op == OP_MOVDIRI_M_R) {
        return;
    }
    if (((insn.op == OP_MOV_SEG_RM || insn.op == OP_POP_SEG)
         && insn.reg >= SEG_FS)
        || (insn.op == OP_LFP_R_M
            && (insn.aux >= SEG_FS || insn.size == 8))   /* AMD: no REX.W */
        || (insn.op == OP_CALL_RM && insn.rm == R_RSP)) {
        return;                 /* this process needs them */
    }
    if ((insn.op == OP_MOV_RM_SEG || insn.op == OP_PUSH_SEG)
        && ((is64() && insn.reg < SEG_FS) || insn.reg == SEG_CS)) {
        return;
    }
    if (insn.op == OP_NOP && memmem(code, insn.len, "\x0f\x0d", 2)
        && !(insn.flags & INSN_MEM)) {
        return;                 /* AMD: #UD */
    }
    if (insn_info(insn.op)->implicit & IS_BITMEM && insn.flags & INSN_MEM
        && (insn.reg == insn.base || insn.reg == insn.index)) {
        return;                 /* goes anywhere */
    }
    if (insn.op == OP_MOV_R_MOFFS || insn.op == OP_MOV_MOFFS_R) {
        uint64_t at = offset_of(insn.seg, some_address());
        unsigned width = insn.flags & INSN_A16 ? 2 : insn.flags & INSN_A32 ? 4 : 8;

        memcpy(code + insn.len - width, &at, width);
    }
    if (insn.op == OP_ENTER) {
        code[insn.len - 1] &= 7;        /* stay in the span */
    }
    run = insn.len;
    if (is_branch(insn.op)) {
        if (!set_displacement(code, &insn)) {
            return;
        }
        code[run++] = 0xcc;
    }
    insn_decode(&insn, code, run, tm->mode, NULL);
    /* AMD and Intel do not agree on 66 in 64-bit mode, and nowhere else does
     * the code lie in the first 64K; F2 and F3 before LOOPE and LOOPNE count for
     * AMD. */
    if (is_branch(insn.op)
        && ((memchr(code, 0x66, 5) && tm->mode & DM_FLAT)
            || memchr(code, 0xf2, 5) || memchr(code, 0xf3, 5))) {
        return;
    }
    for (unsigned i = 0; i < n * rounds; i++) {
        trial(code, &insn, run);
    }
}

enum { ENCODINGS = 48, TRIALS = 4 };

static void some_tail(uint8_t *p)
{
    for (unsigned i = 0; i < 12; i++) {
        p[i] = one_in(2) ? rnd() : some_value();
    }
    if (one_in(2)) {
        p[0] |= 0xc0;
    }
}

static uint8_t *some_prefixes(uint8_t *p)
{
    static const uint8_t prefix[] = { 0x66, 0xf3, 0xf2, 0xf0, 0x67 };

    if (!is64() && one_in(3)) {
        *p++ = 0x26 | below(4) << 3;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(prefix); i++) {
        if (one_in(4)) {
            *p++ = prefix[i];
        }
    }
    if (is64() && one_in(2)) {
        *p++ = 0x40 | (rnd() & 15);
    }
    return p;
}

/* Groups have many operations in one opcode. */
static unsigned encodings_of(unsigned slot)
{
    bool group = (slot >= 0x80 && slot <= 0x83) || (slot >= 0xc0 && slot < 0xc2)
                 || slot == 0x8c || (slot & ~1u) == 0xc6
                 || (slot >= 0xd0 && slot < 0xd4) || (slot & ~9u) == 0xf6
                 || slot == 0x1ba || slot == 0x1c7;

    /* Leaving 64-bit mode and coming back takes its time. */
    return (group ? 80 : slot < 512 ? 12 : 16) * ENCODINGS / (is64() ? 1 : 16);
}

static void start_mode(const TestMode *m)
{
    tm = m;
    test_env.mode = m->mode;
    test_env.cpl = 3;
    set_segment(SEG_CS, tm->native.cs);
    set_segment(SEG_SS, tm->native.ss);
    set_segment(SEG_DS, tm->native.ds);
    set_segment(SEG_ES, tm->native.es);
}

static void test_legacy(const void *opaque)
{
    start_mode(opaque);
    for (unsigned slot = 0; slot < 4 * 256; slot++) {
        unsigned map = slot >> 8;

        for (unsigned i = 0; i < encodings_of(slot); i++) {
            uint8_t code[40], *p = some_prefixes(code);

            if (map) {
                *p++ = 0x0f;
            }
            if (map > 1) {
                *p++ = map == 2 ? 0x38 : 0x3a;
            }
            *p++ = slot;
            some_tail(p);
            encoding(code, p - code + 12, TRIALS);
        }
    }
}

static void test_vex(const void *opaque)
{
    start_mode(opaque);
    for (unsigned slot = 0; slot < 4 * 2 * 256; slot++) {
        for (unsigned i = 0; i < 8 * ENCODINGS; i++) {
            uint8_t code[40] = {
                0xc4, (rnd() & 0xe0) | (2 + (slot >> 10)),
                (rnd() & 0x80) | below(16) << 3 | (slot >> 8 & 3), slot,
            };

            some_tail(code + 4);
            if (one_in(2)) {
                code[2] |= 0x78;
            }
            encoding(code, 16, TRIALS);
        }
    }
}

/* Handlers that no encoding reaches. */
static bool unreachable(unsigned op, unsigned form, unsigned col)
{
    switch (op) {
    case OP_MOVDIRI_M_R:
        return true;
    case OP_INS: case OP_OUTS: case OP_RET: case OP_RET_I: case OP_JMP_I:
    case OP_CALL_I:
        return col == 3 || form == 1;
    case OP_MOVNTI_M_R:
        return col < 2;
    case OP_BLSI_R_RM: case OP_BLSMSK_R_RM: case OP_BLSR_R_RM:
        return col == 1;
    case OP_XLAT:
        return col > 0;
    case OP_POP_SEG: case OP_LFP_R_M:
        return col == 3;
    default:
        return false;
    }
}

static void test_coverage(void)
{
    static const char *const form_names[] = { "reg", "mem", "lock" };

    g_print("# %u trials\n", n_trials);
    for (unsigned op = 0; op < N_OPS; op++) {
        if (n_op_failed[op]) {
            g_print("# %s: %u failed\n", insn_op_name(op), n_op_failed[op]);
        }
    }
    if (only_op) {
        return;
    }
    for (unsigned op = 0; op < N_OPS; op++) {
        for (unsigned f = 0; f < 3; f++) {
            for (unsigned c = 0; c < 4; c++) {
                InsnFn *fn = handlers[op][f][c];

                /* Operations without sizes fill all columns. */
                bool all = fn && fn == handlers[op][f][c ^ 1]
                           && fn == handlers[op][f][c ^ 2];
                bool any = has_run[op][f][0] || has_run[op][f][1]
                           || has_run[op][f][2] || has_run[op][f][3];
                bool both = handlers[op][0][c] == handlers[op][1][c]
                            && (has_run[op][0][c] || has_run[op][1][c]);

                if (fn && !has_run[op][f][c] && !(all && any) && !both
                    && !unreachable(op, f, c)) {
                    g_print("# never run: %s %s %u\n", insn_op_name(op),
                            form_names[f], 8 << c);
                    g_test_fail();
                }
            }
        }
    }
}

static TestMode mode64 = {
    .name = "64", .mode = DM_CODE64 | DM_SS32 | DM_FLAT | DM_CPL3,
};
static TestMode modes[] = {
    { "32", DM_CODE32 | DM_SS32 | DM_FLAT | DM_CPL3,
      { NATIVE_CS32, NATIVE_DS32, NATIVE_DS32, NATIVE_DS32, 0 } },
    { "16", DM_CODE16 | DM_CPL3, {} },
    { "32-segments", DM_CODE32 | DM_SS32 | DM_CPL3, {} },
    { "16-stack32", DM_CODE16 | DM_SS32 | DM_CPL3, {} },
    { "32-down", DM_CODE32 | DM_CPL3, {} },
};

/* False where the kernel has no LDT for us. */
static bool make_modes(void)
{
    uint64_t code = (uintptr_t)native_code, data = (uintptr_t)native_data;
    uint32_t end = NATIVE_DATA_PAGES * NATIVE_PAGE;
    uint16_t code_attr = SEGA_P | SEGA_CODE | SEGA_R;
    uint16_t data_attr = SEGA_P | SEGA_W;
    bool ok;

    modes[0].native.rip = code;
    ok = add_segment(LDT_CODE16, code - 0x100, 0x7fff, code_attr)
         && add_segment(LDT_CODE32, code - 0x200, 0xfffff,
                        code_attr | SEGA_DB)
         && add_segment(LDT_DATA, data - 0x1234, 0x1234 + end - 9, data_attr)
         && add_segment(LDT_STACK16, data - 0x40, 0x40 + end - 17, data_attr)
         && add_segment(LDT_STACK32, data - 0x12345, 0x12345 + end - 13,
                        data_attr | SEGA_DB)
         && add_segment(LDT_DOWN, data + end + 16 - 0x10000,
                        0x10000 - 16 - end + NATIVE_PAGE, data_attr | SEGA_E)
         && add_segment(LDT_READ_ONLY, data, 0xfff, SEGA_P)
         && add_segment(LDT_ABSENT, data, 0xfff, SEGA_W)
         && add_segment(LDT_EXEC_ONLY, code, 0xfff, SEGA_P | SEGA_CODE)
         && add_segment(LDT_BIG, data, 0x12345fff,
                        SEGA_P | SEGA_W | SEGA_G | SEGA_DB);
    modes[1].native = (NativeSegs) {
        selector_of[LDT_CODE16], selector_of[LDT_STACK16],
        selector_of[LDT_DATA], selector_of[LDT_DATA], 0x100,
    };
    modes[2].native = (NativeSegs) {
        selector_of[LDT_CODE32], selector_of[LDT_STACK32],
        selector_of[LDT_DATA], selector_of[LDT_STACK32], 0x200,
    };
    modes[3].native = (NativeSegs) {
        selector_of[LDT_CODE16], selector_of[LDT_STACK32],
        selector_of[LDT_DOWN], selector_of[LDT_DATA], 0x100,
    };
    modes[4].native = (NativeSegs) {
        selector_of[LDT_CODE32], selector_of[LDT_DOWN],
        selector_of[LDT_DOWN], selector_of[LDT_DATA], 0x200,
    };
    return ok;
}

int main(int argc, char **argv)
{
    const char *env;

    g_test_init(&argc, &argv, NULL);
    if (!native_init()) {
        return 77;
    }
    only_op = g_getenv("RHEA_TEST_OP");
    env = g_getenv("RHEA_TEST_ROUNDS");
    rounds = env ? MAX(atoi(env), 1) : 1;
    env = g_getenv("RHEA_TEST_SEED");
    if (env) {
        rnd_seed(strtoull(env, NULL, 0));
    }
    __builtin_cpu_init();
    undefined_count = host_is_measured();
    find_rows();
    env_setup();
    g_test_add_data_func("/legacy/64", &mode64, test_legacy);
    g_test_add_data_func("/vex/64", &mode64, test_vex);
    if (make_modes()) {
        for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
            g_autofree char *name = g_strdup_printf("/legacy/%s", modes[i].name);

            g_test_add_data_func(name, &modes[i], test_legacy);
        }
        g_test_add_data_func("/vex/32", &modes[0], test_vex);
        g_test_add_func("/coverage/all", test_coverage);
    }
    return g_test_run();
}
