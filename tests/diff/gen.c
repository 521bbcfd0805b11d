/*
 * Cases from seeds: instructions over all rows of the decoder's table, with
 * prefixes, operands where something may happen, and a state to begin with.
 *
 * At the start every opcode is decoded with every prefix that selects and every
 * ModRM.reg, which finds encodings for each row.  An instruction is made from
 * a row: its other fields are drawn at random, as long as it stays that row.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

uint64_t *gen_row_hits;
uint32_t *gen_row_seeds;

/* --- random numbers --------------------------------------------------------------- */

static uint64_t rng;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng * UINT64_C(0x2545f4914f6cdd1d);
}

static void seed_rng(uint64_t seed)
{
    /* splitmix64's finish: neighbours must not look alike. */
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    rng = (seed ^ seed >> 31) | 1;
}

static unsigned below(unsigned n)
{
    return ((rnd() >> 32) * n) >> 32;
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
        0x00800000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x3f800000,
        0x0010000000000000, 0x7ff0000000000000, 0x7ff8000000000000,
        0x7ff0000000000001, 0x3ff0000000000000, 0xc0e0000000000000,
        0x0000000100000001, 0x7f7fffff00000001, 0xff8000007f800000,
    };

    switch (below(6)) {
    case 0:
    case 1:
        return special[below(G_N_ELEMENTS(special))];
    case 2:
        return rnd() >> below(64);
    case 3:
        return below(80);
    case 4:
        return ~(rnd() >> below(64));
    default:
        return rnd();
    }
}

/* --- memory ----------------------------------------------------------------------- */

enum { N_IMAGES = 16, N_POKES = 24 };
static uint8_t images[N_IMAGES][RW_BYTES];

static void some_fp(uint8_t *p)
{
    static const uint16_t exps[] = { 0, 1, 0x3fff, 0x4000, 0x7ffe, 0x7fff,
                                     0x3fbf, 0x403e, 0x3c01, 0x43fe };
    uint64_t mant = one_in(3) ? some_value() : rnd() | UINT64_C(1) << 63;
    uint16_t exp = one_in(2) ? exps[below(G_N_ELEMENTS(exps))]
                   : one_in(2) ? 0x3fff + below(80) - 40 : rnd();

    store_le64(p, mant);
    store_le16(p + 8, exp | (one_in(2) ? 0x8000 : 0));
}

static void make_image(uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i += 16) {
        store_le64(p + i, some_value());
        store_le64(p + i + 8, some_value());
        if (one_in(8)) {
            some_fp(p + i);
        } else if (one_in(16)) {
            for (unsigned k = 0; k < 10; k++) {
                p[i + k] = below(10) | below(10) << 4;  /* BCD */
            }
        }
    }
}

void gen_read_only(uint8_t *page)
{
    seed_rng(1);
    make_image(page, DIFF_PAGE);
}

void gen_memory(const DiffCase *c, uint8_t *data)
{
    uint64_t keep = rng, stack = c->in.gpr[R_RSP] - DIFF_DATA;

    memcpy(data, images[c->mem_seed % N_IMAGES], RW_BYTES);
    seed_rng(c->mem_seed);
    for (unsigned i = 0; i < N_POKES; i++) {
        store_le64(data + below(RW_BYTES / 8) * 8, some_value());
    }
    rng = keep;
    memset(data, 0, c->mem_from);
    memset(data + c->mem_to, 0, RW_BYTES - c->mem_to);
    if (c->stack_to >= 0 && stack <= RW_BYTES - 8) {
        uint64_t to = slot_address(c->slot)
                      + c->at[MIN((unsigned)c->stack_to, c->n)];

        memcpy(data + stack, &to, c->mode == MODE_64 ? 8 : 4);
    }
}

/* --- rows ------------------------------------------------------------------------- */

/* One encoding of a row. */
typedef struct Seed {
    uint8_t vex, map, pp, w, l, opcode, modrm;
} Seed;

enum { SEEDS = 12 };
typedef struct Row {
    unsigned n;                 /* found */
    Seed seed[SEEDS];
} Row;

enum { G_INT, G_VEC, G_FPU, G_BRANCH, N_GROUPS };
static Row *rows[N_DIFF_MODES];
static GArray *group[N_DIFF_MODES][N_GROUPS];
static const uint32_t *features;
static bool is_strict;

unsigned gen_mode_bits(unsigned mode)
{
    return (mode == MODE_64 ? DM_CODE64 : DM_CODE32) | DM_SS32 | DM_FLAT
           | DM_CPL3;
}

const char *gen_not_ours(unsigned op)
{
    switch (op) {
    case OP_UD:
        return "undefined";
    case OP_SYSCALL: case OP_SYSRET: case OP_SYSENTER: case OP_SYSEXIT:
        return "system call: tests/unit/tcg, tests/guest";
    case OP_RDTSC: case OP_RDTSCP: case OP_RDPMC: case OP_RDRAND_RM:
    case OP_RDSEED_RM: case OP_RDPID_RM: case OP_CPUID: case OP_XGETBV:
    case OP_RDPKRU: case OP_WRPKRU:
        return "other values each time, or of the machine";
    case OP_SGDT_M: case OP_SIDT_M: case OP_SLDT_RM: case OP_STR_RM:
    case OP_SMSW_RM:
        return "Linux emulates them for programs";
    case OP_XSAVE_M: case OP_XSAVEOPT_M: case OP_XSAVEC_M: case OP_XRSTOR_M:
    case OP_XSAVES_M: case OP_XRSTORS_M:
        return "more state natively: fpu-state";
    case OP_VMCALL: case OP_VMMCALL:
        return "calls the hypervisor";
    case OP_MONITOR: case OP_MWAIT: case OP_RSM: case OP_XSETBV:
    case OP_SWAPGS: case OP_INVPCID_R_M:
        return "of the supervisor, by maker";
    case OP_CLDEMOTE_M: case OP_MOVDIR64B_R_M: case OP_MOVDIRI_M_R:
    case OP_SERIALIZE:
        return "hidden from programs on some hosts";
    default:
        return NULL;
    }
}

static bool is_branch(unsigned op)
{
    switch (op) {
    case OP_JMP_I: case OP_JCC_I: case OP_LOOP_I: case OP_LOOPE_I:
    case OP_LOOPNE_I: case OP_JCXZ_I: case OP_CALL_I:
        return true;
    default:
        return false;
    }
}

static unsigned group_of(unsigned op, const DecodeRow *r)
{
    if (is_branch(op) || op == OP_RET || op == OP_JMP_RM
        || op == OP_CALL_RM) {
        return G_BRANCH;
    }
    if (op >= OP_FADD_ST0_M32 && r->imm == IM_FOP) {
        return G_FPU;
    }
    return r->size == SZ_8 || r->size == SZ_16 || r->size == SZ_X
           || r->size == SZ_VL ? G_VEC : G_INT;
}

/* Prefixes that select, opcode and ModRM; 16 bytes more may be read. */
static uint8_t *put_head(uint8_t *p, const Seed *s, unsigned mode)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

    if (s->vex) {
        *p++ = 0xc4;
        *p++ = 0xe0 | s->map;
        *p++ = s->w << 7 | (s->vex == 2 ? 0 : 0x78) | s->l << 2 | s->pp;
        *p++ = s->opcode;
        return p;
    }
    if (s->pp) {
        *p++ = prefix[s->pp];
    }
    if (s->w) {
        *p++ = 0x48;
    }
    if (s->map) {
        *p++ = 0x0f;
    }
    if (s->map > 1) {
        *p++ = s->map == 2 ? 0x38 : 0x3a;
    }
    *p++ = s->opcode;
    return p;
}

static void try_seed(const Seed *s, unsigned mode)
{
    uint8_t code[32] = { 0 }, *p = put_head(code, s, mode);
    unsigned row_no;
    Insn insn;
    Row *r;

    p[0] = s->modrm;
    p[1] = 0x23;                /* SIB: (E)BX, no index; or vector 4 */
    if (insn_decode_row(&insn, code, sizeof(code), gen_mode_bits(mode),
                        features, &row_no) != DECODE_OK
        || gen_not_ours(insn.op)) {
        return;
    }
    r = &rows[mode][row_no];
    if (r->n < SEEDS) {
        r->seed[r->n] = *s;
    } else if (below(r->n + 1) < SEEDS) {
        r->seed[below(SEEDS)] = *s;
    }
    if (r->n++ == 0) {
        unsigned g = group_of(insn.op, &decode_rows[row_no]);

        g_array_append_val(group[mode][g], row_no);
        gen_row_seeds[row_no] |= 1u << mode;
    }
}

static bool is_prefix(unsigned b, unsigned mode)
{
    return b == 0x0f || (b & 0xe7) == 0x26 || (b >= 0x64 && b <= 0x67)
           || b == 0xf0 || b == 0xf2 || b == 0xf3
           || (mode == MODE_64 && (b & 0xf0) == 0x40);
}

static void find_seeds(unsigned mode)
{
    unsigned n_w = mode == MODE_64 ? 2 : 1;

    for (unsigned k = 0; k < 4 * 4 * 256 * n_w; k++) {
        Seed s = { .opcode = k, .pp = k >> 8 & 3, .map = k >> 10 & 3,
                   .w = k >> 12 };

        if (s.map == 0 && (is_prefix(s.opcode, mode) || s.opcode == 0x62)) {
            continue;
        }
        for (unsigned m = 0; m < 8 * 9; m++) {
            s.modrm = m < 8 ? m << 3 | 4 : 0xc0 | (m - 8);
            if (s.map == 0 && (s.opcode & 0xfe) == 0xc4
                && (mode == MODE_64 || s.modrm >= 0xc0)) {
                continue;       /* VEX */
            }
            try_seed(&s, mode);
        }
    }
    for (unsigned k = 0; k < 3 * 2 * 2 * 2 * 4 * 256; k++) {
        Seed s = { .opcode = k, .pp = k >> 8 & 3, .w = k >> 10 & 1,
                   .l = k >> 11 & 1, .vex = 1 + (k >> 12 & 1),
                   .map = 1 + (k >> 13) };

        for (unsigned m = 0; m < 16; m++) {
            s.modrm = m < 8 ? m << 3 | 4 : 0xc1 | (m - 8) << 3;
            try_seed(&s, mode);
        }
    }
}

void gen_init(const uint32_t *feat, bool strict)
{
    features = feat;
    is_strict = strict;
    gen_row_hits = g_new0(uint64_t, decode_n_rows);
    gen_row_seeds = g_new0(uint32_t, decode_n_rows);
    seed_rng(2);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        make_image(images[i], RW_BYTES);
    }
    for (unsigned m = 0; m < N_DIFF_MODES; m++) {
        rows[m] = g_new0(Row, decode_n_rows);
        for (unsigned g = 0; g < N_GROUPS; g++) {
            group[m][g] = g_array_new(FALSE, FALSE, sizeof(unsigned));
        }
        find_seeds(m);
    }
}

/* --- one instruction ------------------------------------------------------------------ */

/* An address for `n` bytes. */
static uint32_t some_address(unsigned n, unsigned align)
{
    uint32_t a, end = DIFF_DATA + DATA_BYTES;

    n = MAX(n, 1);
    switch (below(20)) {
    case 0:                     /* both pages */
    case 1:
        a = DIFF_DATA + DIFF_PAGE - below(n + 1);
        break;
    case 2:                     /* not to be written, in part */
        a = DIFF_DATA + RW_BYTES - below(n + 1);
        break;
    case 3:                     /* the end */
        a = end - below(n + 1);
        break;
    case 4:                     /* the beginning */
        a = one_in(2) ? DIFF_DATA - below(n + 1) : end - n;
        break;
    case 5:
        a = one_in(4) ? (uint32_t)rnd() : DIFF_DATA + RW_BYTES + below(4000);
        break;
    default:
        a = DIFF_DATA + below(RW_BYTES - 64);
        break;
    }
    return one_in(12) ? a : a & -MAX(align, 1);
}

/* What is known of registers while a case is made. */
typedef struct Known {
    uint32_t gpr;               /* bits: those that have their first value */
    bool fs, gs;
} Known;

static uint64_t seg_base(const DiffCase *c, unsigned seg)
{
    return seg == SEG_FS ? c->in.fs_base : seg == SEG_GS ? c->in.gs_base : 0;
}

/* Where it must be the last one: what it stores is not all compared. */
static bool only_last(unsigned op)
{
    return op == OP_FNSTENV_M || op == OP_FNSAVE_M || op == OP_FXSAVE_M;
}

/* FS or GS, if it has that prefix (or something that looks so). */
static unsigned seg_of(const DiffInsn *d)
{
    return memchr(d->bytes, 0x64, MIN(d->len, 4))
           || memchr(d->bytes, 0x65, MIN(d->len, 4)) ? SEG_FS : SEG_DS;
}

/* ModRM and what belongs to it, for memory at `to`; the end of it. */
static uint8_t *put_memory(uint8_t *p, DiffCase *c, DiffInsn *d,
                           const Known *k, unsigned reg, uint64_t to,
                           uint8_t *rex, bool vsib, bool absolute)
{
    bool is64 = c->mode == MODE_64;
    unsigned base = below(is64 ? 16 : 8), how = below(16);
    int64_t disp;

    for (unsigned i = 0; i < 8 && !(k->gpr >> base & 1); i++) {
        base = below(is64 ? 16 : 8);
    }
    if (absolute || (!vsib && how == 0)) {            /* [disp32] */
        *p++ = reg << 3 | 4;
        *p++ = 0x25;
        *rex &= ~3;
        store_le32(p, to);
        return p + 4;
    }
    if (!vsib && how == 1 && is64) {    /* [rip + disp32] */
        *p++ = reg << 3 | 5;
        d->rip_disp = 1;        /* the caller knows where */
        d->rip_to = to;
        return p + 4;
    }
    disp = (int32_t)(to - c->in.gpr[base]);
    if (how >= 13 || vsib || (base & 7) == 4) {
        unsigned index = below(8), scale = below(4);

        if (is64) {
            *rex = (*rex & ~3) | (base >> 3) | (rnd() & 2);
            index |= (*rex & 2) << 2;
        }
        if (!vsib) {
            /* An index only if it is small, or it leads nowhere. */
            if (index == 4 || !(k->gpr >> index & 1)
                || c->in.gpr[index] + (1 << 28) > 1 << 29) {
                index = 4;
                *rex &= ~2;
            } else {
                disp -= c->in.gpr[index] << scale;
            }
        }
        if (disp == (int8_t)disp && one_in(2)) {
            *p++ = 0x40 | reg << 3 | 4;
            *p++ = scale << 6 | (index & 7) << 3 | (base & 7);
            *p++ = disp;
            return p;
        }
        *p++ = 0x80 | reg << 3 | 4;
        *p++ = scale << 6 | (index & 7) << 3 | (base & 7);
        store_le32(p, disp);
        return p + 4;
    }
    if (is64) {
        *rex = (*rex & ~3) | base >> 3;
    }
    if (disp == 0 && (base & 7) != 5) {
        *p++ = reg << 3 | (base & 7);
        return p;
    }
    if (disp == (int8_t)disp) {
        *p++ = 0x40 | reg << 3 | (base & 7);
        *p++ = disp;
        return p;
    }
    *p++ = 0x80 | reg << 3 | (base & 7);
    store_le32(p, disp);
    return p + 4;
}

static void some_tail(uint8_t *p)
{
    for (unsigned i = 0; i < 10; i++) {
        p[i] = one_in(2) ? rnd() : some_value();
    }
}

/* The encoding of `s` with everything else at random; false: it became
 * something else. */
static bool draw(DiffCase *c, DiffInsn *d, const Seed *s, const Known *k,
                 unsigned row_no, bool plain)
{
    static const uint8_t segs[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    bool is64 = c->mode == MODE_64, mem = s->modrm < 0xc0, lock = false;
    uint8_t buf[48] = { 0 }, *p = buf, *head, *rex_at = NULL, *modrm;
    uint8_t rex = is64 ? rnd() & 7 : 0, reg = s->modrm >> 3 & 7;
    unsigned seg = SEG_DS, got_row, size, align;
    const InsnInfo *info;
    bool vsib;
    Insn insn;

    if (!plain) {
        if (one_in(12)) {
            unsigned i = below(6);

            *p++ = segs[i];
            seg = i < 4 ? SEG_DS : i == 4 ? SEG_FS : SEG_GS;
        }
        if (one_in(16)) {
            *p++ = 0x67;
        }
        if (mem && one_in(s->vex ? 200 : 12)) {
            *p++ = 0xf0;
            lock = true;
        }
        if (s->pp > 1 && one_in(10)) {
            *p++ = 0x66;
        }
        reg = one_in(4) ? reg : below(8);
    }
    head = p;
    p = put_head(p, s, c->mode);
    if (s->vex) {
        if (is64) {
            head[1] = (head[1] & 0x1f) | (~rex & 7) << 5;
        } else {
            rex = 0;
        }
        if (!plain) {
            head[2] = (head[2] & 0x87)
                      | (one_in(3) ? 15 : below(is64 ? 16 : 8) | (is64 ? 0 : 8))
                        << 3;
        }
    } else if (is64 && (s->w || !one_in(3))) {
        /* Between prefixes and opcode; put_head() made one for W. */
        unsigned skip = s->pp ? 1 : 0;

        if (!s->w) {
            memmove(head + skip + 1, head + skip, p - head - skip);
            p++;
        }
        rex_at = head + skip;
        *rex_at = 0x40 | s->w << 3 | rex;
    } else {
        rex = 0;
    }
    modrm = p;
    *modrm = mem ? reg << 3 | 4u
             : 0xc0 | reg << 3 | (plain ? s->modrm & 7 : below(8));
    modrm[1] = 0x23;
    some_tail(modrm + (mem ? 2 : 1));
    if (insn_decode_row(&insn, buf, 30, gen_mode_bits(c->mode), features,
                        &got_row) != DECODE_OK || got_row != row_no) {
        return false;
    }
    info = insn_info(insn.op);
    if (insn.flags & INSN_MEM && insn.op != OP_MOV_R_MOFFS
        && insn.op != OP_MOV_MOFFS_R && modrm < buf + insn.len) {
        uint8_t imm[10], *end, new_rex = rex;
        uint64_t to;

        /* Operand and immediate: where the one ends, the other begins. */
        size = insn_mem_size(&insn);
        align = info->align == AL_SIZE ? size : MAX(info->align, 1);
        vsib = insn.index < 16 && insn.size >= 16
               && insn.op >= OP_VPGATHERDD_X_M_X
               && insn.op <= OP_VGATHERQPD_X_M_X;
        memcpy(imm, modrm + 2, sizeof(imm));
        to = some_address(size, align);
        if (only_last(insn.op)) {
            to = DIFF_DATA + below(RW_BYTES - 600) / align * align;
        }
        to -= seg_base(c, seg);
        d->rip_disp = 0;
        end = put_memory(modrm, c, d, k, reg, to, &new_rex, vsib,
                         only_last(insn.op));
        c->image = only_last(insn.op) ? (uint32_t)to : c->image;
        if (d->rip_disp) {
            d->rip_disp = modrm + 1 - buf;
        }
        memcpy(end, imm, sizeof(imm));
        if (s->vex) {
            head[1] = (head[1] & 0x1f) | (~new_rex & 7) << 5;
            if (!is64) {
                head[1] |= 0xe0;
            }
        } else if (rex_at) {
            *rex_at = 0x40 | s->w << 3 | new_rex;
        } else if (new_rex & 3) {
            return false;
        }
    } else if (insn.op == OP_MOV_R_MOFFS || insn.op == OP_MOV_MOFFS_R) {
        store_le64(modrm, some_address(insn.size, 1) - seg_base(c, seg));
    } else if (insn.op == OP_ENTER) {
        modrm[0] = one_in(4) ? rnd() : below(64);
        modrm[1] = one_in(8) ? rnd() & 1 : 0;
        modrm[2] &= one_in(8) ? 31 : 3;
    } else if (insn.op == OP_INT_I && modrm[0] == 0x80) {
        return false;
    }
    if (insn_decode_row(&insn, buf, 30, gen_mode_bits(c->mode), features,
                        &got_row) != DECODE_OK
        || got_row != row_no || insn.len > 15) {
        return false;
    }
    if (lock && !(insn.flags & INSN_LOCK)) {
        return false;
    }
    memcpy(d->bytes, buf, 15);
    d->len = insn.len;
    d->row = row_no;
    d->target = -1;
    return true;
}

/* --- restrictions ---------------------------------------------------------------------- */

static bool has_byte(const DiffInsn *d, uint8_t b)
{
    return memchr(d->bytes, b, MIN(d->len, 4)) != NULL;
}

static bool acceptable(DiffCase *c, const DiffInsn *d, const Insn *insn,
                       unsigned i)
{
    if (is_branch(insn->op) || insn->op == OP_RET || insn->op == OP_RET_I
        || insn->op == OP_JMP_RM || insn->op == OP_CALL_RM) {
        /* The makers do not agree on 66, nor on F2 and F3 before LOOP. */
        return !(has_byte(d, 0x66) || has_byte(d, 0xf2)
                 || has_byte(d, 0xf3));
    }
    switch (insn->op) {
    case OP_LFP_R_M: case OP_JMPF_M: case OP_CALLF_M: case OP_RETF:
    case OP_RETF_I: case OP_IRET:
        return insn->size != 8 || !__builtin_cpu_is("amd");
    case OP_NOP:
        /* AMD: #UD */
        return insn->flags & INSN_MEM || !memmem(d->bytes, d->len,
                                                 "\x0f\x0d", 2);
    case OP_BT_RM_R: case OP_BTS_RM_R: case OP_BTR_RM_R: case OP_BTC_RM_R:
        return true;
    default:
        return true;
    }
}

/* After instruction `insn` registers may have changed. */
static void forget(Known *k, const Insn *insn)
{
    const InsnInfo *info = insn_info(insn->op);

    if (insn->op == OP_WRFSBASE_RM || (insn->op == OP_MOV_SEG_RM)) {
        k->fs = k->gs = false;
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned r = N_GPR;

        switch (info->opnd[i] & OPD_KIND) {
        case OPD_REG:
            r = insn->reg;
            break;
        case OPD_RM:
            r = insn->flags & INSN_MEM ? N_GPR : insn->rm;
            break;
        case OPD_VREG:
            r = insn_vvvv(insn);
            break;
        }
        if (insn->size == 1 && r != N_GPR) {
            r /= 8;
        }
        if (r < N_GPR) {
            k->gpr &= ~(1u << r);
        }
    }
    k->gpr &= ~(1u << R_RAX | 1u << R_RDX);
    if (info->implicit & IS_STRING) {
        k->gpr &= ~(1u << R_RCX);
    }
}

static void set_branch(DiffCase *c, DiffInsn *d, const Insn *insn, unsigned i,
                       unsigned n)
{
    d->rel = decode_rows[d->row].imm == IM_SB ? 1 : 4;
    if (insn->op != OP_JMP_I && insn->op != OP_CALL_I && i && one_in(6)) {
        d->target = below(i + 1);
    } else {
        d->target = i + 1 + below(n - i);
    }
    c->branches = true;
}

/* --- state --------------------------------------------------------------------------------- */

static void some_fpu(DiffCase *c)
{
    uint8_t *b = c->in.xs;
    uint16_t fsw = one_in(3) ? (rnd() & 0x7f00) : 0;

    if (one_in(20)) {
        fsw |= rnd() & 0x7f;
    }
    store_le16(b, one_in(2) ? 0x37f : (rnd() & 0xf40) | 0x40
                  | (one_in(6) ? rnd() & 0x3f : 0x3f));
    if (fsw & ~load_le16(b) & 0x3f) {
        fsw |= 0x8080;
    }
    store_le16(b + 2, fsw);
    b[4] = one_in(3) ? 0xff : one_in(3) ? 0 : rnd();
    store_le32(b + 24, one_in(2) ? 0x1f80
               : (rnd() & 0xe07f) | (one_in(6) ? rnd() & 0x1f80 : 0x1f80));
    for (unsigned i = 0; i < 8; i++) {
        some_fp(b + XS_ST + 16 * i);
    }
    for (unsigned i = 0; i < 64; i++) {
        store_le64(b + (i < 32 ? XS_XMM + 8 * i : XS_YMM + 8 * (i - 32)),
                   some_value());
    }
    store_le64(b + XS_BV, 7);
}

static uint64_t some_flags(void)
{
    uint64_t fl = (rnd() & FL_ARITH) | FL_IF | 2;

    return fl | (one_in(8) ? FL_DF : 0) | (one_in(40) ? FL_TF : 0)
           | (one_in(40) ? FL_AC : 0) | (one_in(40) ? FL_NT : 0)
           | (one_in(20) ? FL_ID : 0);
}

static void some_state(DiffCase *c, Known *k)
{
    DiffState *s = &c->in;
    bool is64 = c->mode == MODE_64;

    memset(s, 0, sizeof(*s));
    k->gpr = 0;
    k->fs = k->gs = true;
    for (unsigned i = 0; i < 16; i++) {
        bool pointer = i == R_RSP ? !one_in(12)
                       : i == R_RSI || i == R_RDI || i == R_RBX ? !one_in(4)
                       : i > R_RDX ? one_in(2) : one_in(6);

        s->gpr[i] = some_value();
        if (pointer) {
            s->gpr[i] = some_address(i == R_RSP ? 32 : 8, 8);
            k->gpr |= 1u << i;
        } else if (s->gpr[i] + 128 < 256) {
            k->gpr |= 1u << i;      /* good as an index */
        }
        if (!is64) {
            s->gpr[i] = (uint32_t)s->gpr[i];
        }
    }
    if (!one_in(3)) {
        s->gpr[R_RCX] = below(40);
    }
    s->cs = is64 ? SEL_CS64 : SEL_CS32;
    s->ss = SEL_DS;
    s->ds = is64 && one_in(2) ? 0 : SEL_DS;
    s->es = is64 && one_in(2) ? 0 : SEL_DS;
    s->fs = one_in(2) ? 0 : SEL_DS;
    s->gs = one_in(2) ? 0 : SEL_DS;
    s->fs_base = one_in(3) ? 0 : one_in(2) ? DIFF_DATA + below(64)
                 : one_in(4) ? (int64_t)rnd() >> 17 : below(0x10000);
    s->gs_base = one_in(3) ? 0 : one_in(2) ? -below(0x10000) : below(65536);
    s->rflags = some_flags();
    some_fpu(c);
}

/* --- a case --------------------------------------------------------------------------------- */

bool gen_assemble(DiffCase *c)
{
    uint32_t base = slot_address(c->slot);
    uint8_t *p = c->code;

    c->at[0] = 0;
    for (unsigned i = 0; i < c->n; i++) {
        c->at[i + 1] = c->at[i] + c->insn[i].len;
    }
    if (c->at[c->n] + 7 > SLOT_BYTES) {
        return false;
    }
    for (unsigned i = 0; i < c->n; i++) {
        const DiffInsn *d = &c->insn[i];
        int32_t next = base + c->at[i + 1];

        memcpy(p, d->bytes, d->len);
        if (d->rip_disp) {
            store_le32(p + d->rip_disp, d->rip_to - next);
        }
        if (d->target >= 0) {
            int32_t rel = c->at[MIN((unsigned)d->target, c->n)] - c->at[i + 1];

            if (d->rel == 4) {
                store_le32(p + d->len - 4, rel);
            } else {
                p[d->len - 1] = rel == (int8_t)rel ? rel : 0;
            }
        }
        p += d->len;
    }
    if (c->mode == MODE_64) {
        *p++ = 0xe9;
        store_le32(p, DIFF_GATE - (base + c->at[c->n] + 5));
        p += 4;
    } else {
        *p++ = 0xea;
        store_le32(p, DIFF_GATE + GATE_32);
        store_le16(p + 4, SEL_CS64);
        p += 6;
    }
    c->n_code = p - c->code;
    c->in.rip = base;
    c->in.rsp = c->in.gpr[R_RSP];
    if (c->code_reg >= 0) {
        c->in.gpr[c->code_reg] = base
                                 + c->at[MIN((unsigned)c->code_to, c->n)];
    }
    return true;
}

/* Flags that mean nothing here are made to mean something at once. */
static void define_flags(DiffCase *c)
{
    DiffInsn *d = &c->insn[c->n++];

    *d = (DiffInsn) { .bytes = { 0x3d, rnd(), rnd(), rnd(), rnd() }, .len = 5,
                      .target = -1 };
}

static bool add_insn(DiffCase *c, Known *k, unsigned n)
{
    static const uint8_t weights[] = {
        G_INT, G_INT, G_INT, G_INT, G_INT, G_VEC, G_VEC, G_VEC, G_FPU,
        G_BRANCH,
    };
    unsigned g = weights[below(G_N_ELEMENTS(weights))], row_no;
    GArray *rs = group[c->mode][g];
    const Row *r;
    DiffInsn *d = &c->insn[c->n];
    Insn insn;

    if (rs->len == 0) {
        return false;
    }
    row_no = g_array_index(rs, unsigned, below(rs->len));
    r = &rows[c->mode][row_no];
    memset(d, 0, sizeof(*d));
    if (!draw(c, d, &r->seed[below(MIN(r->n, SEEDS))], k, row_no, one_in(8))) {
        return false;
    }
    insn_decode(&insn, d->bytes, 15, gen_mode_bits(c->mode), features);
    if (!acceptable(c, d, &insn, c->n)) {
        return false;
    }
    if (only_last(insn.op) && (c->n != n - 1 || seg_of(d) >= SEG_FS)) {
        return false;
    }
    if (is_branch(insn.op)) {
        set_branch(c, d, &insn, c->n, n);
    } else if (insn.op == OP_RET || insn.op == OP_JMP_RM
               || insn.op == OP_CALL_RM || insn.op == OP_RET_I) {
        c->branches = true;
    }
    forget(k, &insn);
    c->n++;
    if (c->image) {
        return true;
    }
    /* The translator's DIV leaves what its look at the range made. */
    if (insn.op == OP_DIV_RM || insn.op == OP_IDIV_RM
        || (!is_strict && insn_flags(&insn).undef)) {
        define_flags(c);
    }
    return true;
}

void gen_case(DiffCase *c, uint64_t seed, unsigned slot)
{
    unsigned n, tries = 0;
    Known k;

    memset(c, 0, sizeof(*c));
    c->seed = seed;
    c->slot = slot;
    seed_rng(seed);
    c->mode = one_in(5) ? MODE_32 : MODE_64;
    c->mem_seed = rnd();
    c->mem_to = RW_BYTES;
    some_state(c, &k);
    n = one_in(3) ? 1 : 1 + below(MAX_INSNS - 2);
    while (c->n < n && tries++ < 400 && !c->image) {
        if (!add_insn(c, &k, n)) {
            c->image = 0;
        }
    }
    c->code_reg = one_in(4) ? (int)below(c->mode == MODE_64 ? 16 : 8) : -1;
    c->code_to = below(c->n + 1);
    c->stack_to = one_in(3) ? (int)below(c->n + 1) : -1;
    while (!gen_assemble(c)) {
        c->n--;
    }
}
