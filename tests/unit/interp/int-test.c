/*
 * Every integer handler that a user program can reach, against the host.
 *
 * All one-, two- and three-byte opcodes are tried with random prefixes,
 * operands and operands' places (in a page, over two, at the end of what is
 * mapped), natively in 64-bit mode and by the handler, by its fast twin or its
 * slow one: registers, flags, memory, faults must agree.  RHEA_TEST_ROUNDS
 * multiplies the number of trials, RHEA_TEST_SEED changes them, RHEA_TEST_OP
 * runs the operations whose names begin so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/io.h"
#include "native.h"

/* --- random values ----------------------------------------------------------- */

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(unsigned n)
{
    return (rnd() >> 33) % n;
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

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

static Env test_env;
static X86Cpu test_cpu;
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
    return exc_set(env, EXC_PF, true, 0);
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

static const HandlerRow *const tables[] = {
    interp_arith, interp_mul, interp_shift, interp_bits, interp_move,
    interp_stack, interp_locked, interp_branch, interp_string,
};

/* Register, memory, locked; by column.  And whether it has been run. */
static InsnFn *handlers[N_OPS][3][4];
static InsnFn *const *cond_handlers[N_OPS][4];
static bool has_run[N_OPS][3][4];

static void find_rows(void)
{
    for (unsigned t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const HandlerRow *r = tables[t]; r->op; r++) {
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
    env_set_rflags(env, s->rflags);
    env->rip_base = (uintptr_t)native_code;
    env->exc_vector = -1;
    jumped = false;
    while (at) {
        at = at->fn(env, at);
    }
    *s = env->s;
    s->rflags = env_get_rflags(env);
    return env->exc_vector;
}

static void env_setup(void)
{
    Env *env = &test_env;

    env->cpu = &test_cpu;
    env->tlb = test_tlb;
    env->mode = DM_CODE64 | DM_SS32 | DM_FLAT | DM_CPL3;
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

static uint64_t some_address(void)
{
    if (one_in(40)) {
        return one_in(2) ? rnd() : 0;
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
    uint64_t to = some_address(), off;

    if (insn->ea & (EA_RIP | EA_A32 | EA_A16 | EA_SEG)
        || insn->base == R_ZERO
        || (insn->base == insn->index)) {
        return false;
    }
    off = s->gpr[insn->base]
          + (insn->index == R_ZERO ? 0 : s->gpr[insn->index] << insn->scale)
          + (int64_t)insn->disp;
    s->gpr[insn->base] += to - off;
    return true;
}

/* What the operation needs so as not to fault all the time. */
static void prepare(X86State *s, const Insn *insn, uint8_t *mem)
{
    uint64_t end = (uintptr_t)native_code + insn->len + 1;
    unsigned implicit = insn_info(insn->op)->implicit;

    if (implicit & (IS_PUSH | IS_POP)) {
        s->gpr[R_RSP] = some_address();
    }
    if (insn->op == OP_LEAVE || insn->op == OP_ENTER) {
        s->gpr[R_RBP] = some_address();
    }
    if (implicit & IS_STRING) {
        s->gpr[R_RSI] = some_address();
        s->gpr[R_RDI] = one_in(4) ? s->gpr[R_RSI] + below(9) - 4
                                  : some_address();
        if (insn->flags & (INSN_REP | INSN_REPNE)) {
            s->gpr[R_RCX] = below(64 / insn->size);
        }
        if (insn->op == OP_XLAT) {
            s->gpr[R_RBX] = some_address();
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
            s->gpr[insn->reg] = (s->gpr[insn->reg]
                                 & ~(size_mask(insn->size)))
                                | ((uint64_t)(below(1024) - 512)
                                   & size_mask(insn->size));
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
    uint64_t end = (uintptr_t)native_code + insn->len + 1, gva = 0;
    g_autoptr(GString) diff = NULL;
    NativeResult nr;
    int vector;

    memset(&before, 0, sizeof(before));
    before.fcw = 0x37f;
    before.mxcsr = 0x1f80;
    before.rflags = (rnd() & FL_ARITH) | 2;
    for (unsigned i = 0; i < N_GPR; i++) {
        before.gpr[i] = some_value();
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
    if (insn->flags & INSN_MEM) {
        memcpy(test_env.s.gpr, before.gpr, sizeof(before.gpr));
        test_env.s.gpr[R_ZERO] = 0;
        gva = insn_offset(&test_env, insn);
        if (insn->op == OP_CMPXCHG16B_M && !one_in(4)) {
            before.gpr[insn->base] -= gva & 15;
            gva &= ~UINT64_C(15);
        }
        if (insn->op == OP_JMP_RM || insn->op == OP_CALL_RM) {
            poke(mem, gva, &end, 8);
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
    if (insn->op == OP_RET || insn->op == OP_RET_I) {
        poke(mem, before.gpr[R_RSP], &end, 8);
    }
    if (insn->op == OP_POPF) {
        uint64_t fl = (rnd() & (FL_ARITH | FL_DF)) | FL_IF | 2;

        if (!mapped(before.gpr[R_RSP], 1) || before.gpr[R_RSP] % 8) {
            before.gpr[R_RSP] = ALIGN_DOWN((uintptr_t)span(1) + 64, 8);
        }

        poke(mem, before.gpr[R_RSP], &fl, 8);
    }

    spans_set(mem);
    native = before;
    nr = native_run(&native, code, len, 0);
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
    if (vector == EXC_GP && nr.vector == EXC_SS) {
        vector = EXC_SS;        /* the dispatcher's business */
    }
    if (insn->op == OP_PUSHF) {
        /* IF, and what else the kernel has for us. */
        for (unsigned i = 0; i < SPANS; i++) {
            our_mem[i] |= native_mem[i] & ~our_mem[i]
                          & ((uintptr_t)span(i / SPAN) + i % SPAN
                             == ours.gpr[R_RSP] + 1 ? 2 : 0);
        }
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
    for (unsigned n = 1; n <= 4; n += 3) {
        memcpy(old, p - 4, 4);
        memcpy(p - n, "\1\0\0\0", n);
        insn_decode(&now, code, insn->len, test_env.mode, NULL);
        if (now.op == insn->op && now.len == insn->len && now.imm == 1) {
            return true;
        }
        memcpy(p - 4, old, 4);
    }
    return false;
}

/* Try the encoding if it is one of ours; `n` trials. */
static void encoding(uint8_t *code, unsigned len, unsigned n)
{
    unsigned run;
    Insn insn;

    if (insn_decode(&insn, code, len, test_env.mode, NULL) != DECODE_OK
        || !handler(&insn, false)) {
        return;
    }
    if (only_op && !g_str_has_prefix(insn_op_name(insn.op), only_op)) {
        return;
    }
    if (insn.ea & EA_SEG || insn.op == OP_MOVDIRI_M_R) {
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
        uint64_t at = some_address();

        if (insn.flags & (INSN_A32 | INSN_A16)) {
            return;
        }
        memcpy(code + insn.len - 8, &at, 8);
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
    insn_decode(&insn, code, run, test_env.mode, NULL);
    /* AMD and Intel do not agree on 66; F2 and F3 before LOOPE and LOOPNE count
     * for AMD. */
    if (is_branch(insn.op)
        && (memchr(code, 0x66, 5) || memchr(code, 0xf2, 5)
            || memchr(code, 0xf3, 5))) {
        return;
    }
    for (unsigned i = 0; i < n * rounds; i++) {
        trial(code, &insn, run);
    }
}

enum { ENCODINGS = 40, TRIALS = 8 };

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

    for (unsigned i = 0; i < G_N_ELEMENTS(prefix); i++) {
        if (one_in(4)) {
            *p++ = prefix[i];
        }
    }
    if (one_in(2)) {
        *p++ = 0x40 | (rnd() & 15);
    }
    return p;
}

/* Groups have many operations in one opcode. */
static unsigned encodings_of(unsigned slot)
{
    bool group = (slot >= 0x80 && slot <= 0x83) || (slot >= 0xc0 && slot < 0xc2)
                 || (slot >= 0xd0 && slot < 0xd4) || (slot & ~9u) == 0xf6
                 || slot == 0x1ba || slot == 0x1c7;

    return (group ? 80 : slot < 512 ? 12 : 16) * ENCODINGS;
}

static void test_legacy(void)
{
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

static void test_vex(void)
{
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

/* Handlers that 64-bit mode cannot reach. */
static bool unreachable(unsigned op, unsigned form, unsigned col)
{
    switch (op) {
    case OP_AAA: case OP_AAS: case OP_DAA: case OP_DAS: case OP_AAM_I:
    case OP_AAD_I: case OP_SALC: case OP_PUSHA: case OP_POPA:
    case OP_INS: case OP_OUTS: case OP_MOVDIRI_M_R: case OP_PUSH_SEG:
        return true;
    case OP_MOVNTI_M_R:
        return col < 2;
    case OP_BLSI_R_RM: case OP_BLSMSK_R_RM: case OP_BLSR_R_RM:
        return col == 1;
    case OP_XLAT:
        return col > 0;
    case OP_PUSH_RM: case OP_PUSH_I: case OP_POP_RM: case OP_PUSHF:
    case OP_POPF: case OP_ENTER: case OP_LEAVE:
        return col == 2;
    default:
        return is_branch(op) && col < 3;
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
        rng ^= strtoull(env, NULL, 0) * 0x9e3779b9;
    }
    __builtin_cpu_init();
    undefined_count = __builtin_cpu_is("amdfam19h");
    find_rows();
    env_setup();
    g_test_add_func("/int/legacy", test_legacy);
    g_test_add_func("/int/vex", test_vex);
    g_test_add_func("/int/coverage", test_coverage);
    return g_test_run();
}
