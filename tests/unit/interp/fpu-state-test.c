/*
 * The state of x87 and vectors as a whole: XSAVE against the host, the formats
 * of the x87 environment, pointers, when instructions are not available, FERR#.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fpubench.h"

/* --- XSAVE ----------------------------------------------------------------------- */

enum { XS_BYTES = 1024 };

/*
 * What an area says, whatever the optimisations: components that it does not
 * hold are in their initial state, and pointers are left out.
 */
static void canonical_area(uint8_t *b)
{
    static const uint8_t init[24] = { 0x7f, 0x03 };
    uint64_t bv = load_le64(b + 512), xcomp = load_le64(b + 520);
    bool compact = xcomp >> 63;

    memset(b + 5, 0, 19);
    memset(b + 28, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        memset(b + 32 + 16 * i + 10, 0, 6);
    }
    if (!(bv & XCR0_X87)) {
        memcpy(b, init, 24);
        memset(b + 32, 0, 128);
    }
    if (!(bv & XCR0_SSE)) {
        memset(b + 160, 0, 256);
    }
    if (compact && !(bv & XCR0_SSE)) {
        store_le32(b + 24, 0x1f80);
    }
    if (!(bv & XCR0_AVX) || (compact && !(xcomp & XCR0_AVX))) {
        memset(b + 576, 0, 256);
    }
    memset(b + 512, 0, 8);
}

static void init_components(X86State *s)
{
    if (one_in(3)) {
        s->fcw = FCW_DEFAULT;
        s->fsw = s->ftw = 0;
        memset(s->fpr, 0, sizeof(s->fpr));
    }
    for (unsigned i = 0, sse = one_in(3), avx = one_in(3); i < 16; i++) {
        memset(&s->vec[i].q[0], 0, sse ? 16 : 0);
        memset(&s->vec[i].q[2], 0, avx ? 16 : 0);
    }
    s->mxcsr = one_in(3) ? MX_DEFAULT : s->mxcsr;
}

static unsigned n_failed;

static void xsave_trial(const uint8_t *code, unsigned len)
{
    static X86State before, native, ours;
    static uint8_t mem[XS_BYTES], native_mem[XS_BYTES], our_mem[XS_BYTES];
    uint8_t *area = native_data + (one_in(8) ? 16 : 0)
                    + below(2) * NATIVE_PAGE;
    g_autoptr(GString) diff = g_string_new(NULL);
    NativeResult nr;
    bool restore;
    Insn insn;
    int vector;

    g_assert_cmpint(insn_decode(&insn, code, len, bench_env.mode, NULL), ==,
                    DECODE_OK);
    restore = insn.op == OP_XRSTOR_M;
    bench_runs[insn.op]++;
    some_state(&before);
    init_components(&before);
    before.gpr[R_RAX] = rnd() & 7;
    before.gpr[R_RDX] = 0;
    before.gpr[R_RDI] = (uintptr_t)area;

    /* An area as XSAVE leaves them, then bent. */
    some_bytes(mem, XS_BYTES);
    memset(mem + 512, 0, 64);
    for (unsigned i = 0; i < 8; i++) {
        X86Fp r;

        some_f80(&r);
        memcpy(mem + 32 + 16 * i, &r, 16);
    }
    store_le16(mem, (rnd() & 0xf3f) | 0x40);
    store_le16(mem + 2, rnd() & 0x7fff);
    store_le32(mem + 24, rnd() & 0xffff);
    store_le64(mem + 512, rnd() & 7);
    if (restore && one_in(2)) {
        store_le64(mem + 520, BIT64(63) | (rnd() & 7));
    }
    if (one_in(6)) {
        static const uint16_t at[] = { 26, 514, 516, 523, 530, 540, 575 };

        mem[at[below(G_N_ELEMENTS(at))]] |= 1 << (4 + below(4));
    }

    memcpy(area, mem, XS_BYTES);
    native = before;
    nr = native_run(&native, code, len, 0);
    memcpy(native_mem, area, XS_BYTES);

    memcpy(area, mem, XS_BYTES);
    ours = before;
    bench_bounce = one_in(4);
    bench_map(one_in(2));
    vector = bench_run(&ours, &insn);
    memcpy(our_mem, area, XS_BYTES);
    if (nr.vector < 0 && vector == EXC_GP && native.mxcsr & 1 << 17) {
        return;
    }

    if (vector != nr.vector) {
        g_string_append_printf(diff, "exception: native %d, ours %d\n",
                               nr.vector, vector);
    }
    /* A component in its initial state: the host may see it otherwise. */
    native_diff(&native, &ours, FL_ARITH | FL_DF, diff);
    if (!restore && vector < 0) {
        canonical_area(native_mem);
        canonical_area(our_mem);
    }
    for (unsigned i = 0; i < XS_BYTES; i++) {
        if (native_mem[i] != our_mem[i]) {
            g_string_append_printf(diff, "area %u: native %02x, ours %02x\n",
                                   i, native_mem[i], our_mem[i]);
        }
    }
    if (diff->len && n_failed++ < 4) {
        memcpy(area, mem, XS_BYTES);
        g_print("# eax %x, XSTATE_BV %" PRIx64 ", XCOMP_BV %" PRIx64 "\n",
                (unsigned)before.gpr[R_RAX], load_le64(mem + 512),
                load_le64(mem + 520));
        bench_fail(&insn, code, &before, diff->str);
    }
}

static void test_xsave(void)
{
    static const uint8_t codes[][4] = {
        { 0x48, 0x0f, 0xae, 0x27 },             /* xsave64 [rdi] */
        { 0x48, 0x0f, 0xae, 0x37 },             /* xsaveopt64 */
        { 0x48, 0x0f, 0xc7, 0x27 },             /* xsavec64 */
        { 0x48, 0x0f, 0xae, 0x2f },             /* xrstor64 */
    };

    if (!native_has_avx() || !__builtin_cpu_supports("avx2")) {
        g_test_skip("no XSAVE here");
        return;
    }
    for (unsigned i = 0; i < 2000 * bench_rounds; i++) {
        xsave_trial(codes[i % G_N_ELEMENTS(codes)], 4);
    }
}

/* XSAVES and XRSTORS are privileged: against each other, and their checks. */
static void test_xsaves(void)
{
    static const uint8_t save[] = { 0x48, 0x0f, 0xc7, 0x2f },
                         restore[] = { 0x48, 0x0f, 0xc7, 0x1f };
    static X86State before, after;
    Insn xsaves, xrstors;

    insn_decode(&xsaves, save, 4, bench_env.mode, NULL);
    insn_decode(&xrstors, restore, 4, bench_env.mode, NULL);
    g_assert_cmpuint(xsaves.op, ==, OP_XSAVES_M);
    g_assert_cmpuint(xrstors.op, ==, OP_XRSTORS_M);
    bench_runs[OP_XSAVES_M]++;
    bench_runs[OP_XRSTORS_M]++;
    bench_map(true);
    for (unsigned i = 0; i < 200; i++) {
        g_autoptr(GString) diff = g_string_new(NULL);

        some_state(&before);
        init_components(&before);
        before.rip = (uintptr_t)native_code + 4;
        before.pkru = one_in(2) ? 0 : 0x55;
        before.xcr0 |= XCR0_PKRU;
        before.gpr[R_RAX] = before.xcr0;
        before.gpr[R_RDX] = 0;
        before.gpr[R_RDI] = (uintptr_t)native_data;
        memset(native_data, 0xa5, XS_BYTES);

        after = before;
        bench_env.cpl = 3;
        g_assert_cmpint(bench_run(&after, &xsaves), ==, EXC_GP);
        bench_env.cpl = 0;
        after = before;
        g_assert_cmpint(bench_run(&after, &xsaves), ==, -1);
        g_assert_cmphex(load_le64(native_data + 520), ==,
                        BIT64(63) | before.xcr0);

        some_state(&after);
        memset(native_data + 528, 0, 48);
        memcpy(after.gpr, before.gpr, sizeof(after.gpr));
        after.xcr0 = before.xcr0;
        after.rflags = before.rflags;
        g_assert_cmpint(bench_run(&after, &xrstors), ==, -1);
        native_diff(&before, &after, FL_ARITH, diff);
        g_assert_cmpstr(diff->str, ==, "");
        g_assert_cmphex(after.pkru, ==, before.pkru);

        native_data[527] = 0;                   /* not compacted */
        g_assert_cmpint(bench_run(&after, &xrstors), ==, EXC_GP);
        bench_env.cpl = 3;
    }
}

/* --- one instruction on a given state ---------------------------------------------- */

static int run(X86State *s, const char *hex)
{
    uint8_t code[15];
    unsigned n = 0;
    Insn insn;

    for (; hex[0]; hex += hex[2] ? 3 : 2) {
        code[n++] = g_ascii_xdigit_value(hex[0]) << 4
                    | g_ascii_xdigit_value(hex[1]);
    }
    g_assert_cmpint(insn_decode(&insn, code, n, bench_env.mode, NULL), ==,
                    DECODE_OK);
    g_assert_nonnull(bench_handler(&insn));
    return bench_run(s, &insn);
}

static void quiet_state(X86State *s)
{
    some_state(s);
    s->mxcsr = MX_DEFAULT;
    s->fcw = FCW_DEFAULT;
    s->fsw = 0;
    s->ftw = 0;
    s->gpr[R_RBX] = (uintptr_t)native_data;
}

/* --- availability -------------------------------------------------------------------- */

enum { KIND_SSE, KIND_AVX, KIND_MMX, KIND_X87, KIND_FWAIT, KIND_NOWAIT,
       KIND_FXSAVE, KIND_XSAVE };

static int expected(int kind, const X86State *s)
{
    bool em = s->cr0 & CR0_EM, ts = s->cr0 & CR0_TS, mp = s->cr0 & CR0_MP;
    bool pending = s->fsw & FSW_ES;

    switch (kind) {
    case KIND_SSE:
        return em || !(s->cr4 & CR4_OSFXSR) ? EXC_UD : ts ? EXC_NM : -1;
    case KIND_AVX:
        return !(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & 6) != 6 ? EXC_UD
               : ts ? EXC_NM : -1;
    case KIND_MMX:
        return em ? EXC_UD : ts ? EXC_NM : pending ? EXC_MF : -1;
    case KIND_X87:
        return em || ts ? EXC_NM : pending ? EXC_MF : -1;
    case KIND_FWAIT:
        return mp && ts ? EXC_NM : pending ? EXC_MF : -1;
    case KIND_NOWAIT:
    case KIND_FXSAVE:
        return em || ts ? EXC_NM : -1;
    default:
        return !(s->cr4 & CR4_OSXSAVE) ? EXC_UD : ts ? EXC_NM : -1;
    }
}

static void test_available(void)
{
    static const struct {
        int kind;
        const char *code;
    } insns[] = {
        { KIND_SSE, "0f 58 c1" }, { KIND_SSE, "0f 28 03" },     /* movaps */
        { KIND_SSE, "0f 11 03" }, { KIND_SSE, "0f c2 c1 02" },  /* cmpps */
        { KIND_SSE, "66 0f 70 c1 1b" }, { KIND_SSE, "0f ae 1b" },
        { KIND_SSE, "66 0f 6e c0" }, { KIND_SSE, "f2 0f 2a c0" },
        { KIND_SSE, "66 0f 3a 63 c1 00" }, { KIND_SSE, "66 0f 3a 22 c0 01" },
        { KIND_SSE, "66 0f 71 f1 01" }, { KIND_SSE, "0f 2f c1" },
        { KIND_AVX, "c5 f0 58 c2" }, { KIND_AVX, "c5 f4 58 c2" },
        { KIND_AVX, "c5 f8 28 03" }, { KIND_AVX, "c5 f8 77" },
        { KIND_AVX, "c5 f8 ae 1b" }, { KIND_AVX, "c4 e2 71 98 c2" },
        { KIND_MMX, "0f fc c1" }, { KIND_MMX, "0f 77" },
        { KIND_MMX, "0f 6e c0" }, { KIND_MMX, "0f 71 f1 01" },
        { KIND_X87, "d8 c1" }, { KIND_X87, "d9 03" }, { KIND_X87, "d9 e8" },
        { KIND_X87, "df e9" }, { KIND_X87, "d9 c9" }, { KIND_X87, "dd d8" },
        { KIND_X87, "d9 2b" }, { KIND_X87, "d9 fe" }, { KIND_X87, "d9 d0" },
        { KIND_FWAIT, "9b" },
        { KIND_NOWAIT, "db e2" }, { KIND_NOWAIT, "db e3" },
        { KIND_NOWAIT, "df e0" }, { KIND_NOWAIT, "d9 3b" },
        { KIND_NOWAIT, "d9 33" }, { KIND_NOWAIT, "dd 33" },
        { KIND_FXSAVE, "0f ae 03" }, { KIND_FXSAVE, "0f ae 0b" },
        { KIND_XSAVE, "0f ae 23" }, { KIND_XSAVE, "0f ae 2b" },
        { KIND_XSAVE, "0f c7 23" },
    };
    X86State s;

    bench_map(true);
    memset(native_data, 0, NATIVE_PAGE);
    for (unsigned i = 0; i < G_N_ELEMENTS(insns); i++) {
        if (insns[i].kind == KIND_AVX && !native_has_avx()) {
            continue;
        }
        for (unsigned bits = 0; bits < 1 << 7; bits++) {
            int want, got;

            quiet_state(&s);
            s.cr0 = CR0_PE | CR0_NE | (bits & 1 ? CR0_MP : 0)
                    | (bits & 2 ? CR0_EM : 0) | (bits & 4 ? CR0_TS : 0);
            s.cr4 = CR4_OSXMMEXCPT | (bits & 8 ? CR4_OSFXSR : 0)
                    | (bits & 16 ? CR4_OSXSAVE : 0);
            s.xcr0 = bits & 32 ? 7 : 3;
            if (bits & 64) {
                s.fcw &= ~MX_ZE;
                s.fsw = MX_ZE | FSW_ES | FSW_B;
            }
            memset(native_data, 0, 1024);
            want = expected(insns[i].kind, &s);
            got = run(&s, insns[i].code);
            if (want != got) {
                g_print("# %s, case %x: %d, not %d\n", insns[i].code, bits,
                        got, want);
                g_test_fail();
            }
        }
    }
}

static void test_simd_exceptions(void)
{
    X86State s;

    quiet_state(&s);
    s.mxcsr = MX_DEFAULT & ~(MX_ZE << 7);
    s.vec[0].q[0] = s.vec[0].q[1] = 0x3f8000003f800000;
    s.vec[1].q[0] = s.vec[1].q[1] = 0;
    g_assert_cmpint(run(&s, "0f 5e c1"), ==, EXC_XM);           /* divps */
    g_assert_cmphex(s.mxcsr, ==, (MX_DEFAULT & ~(MX_ZE << 7)) | MX_ZE);
    g_assert_cmphex(s.vec[0].q[0], ==, 0x3f8000003f800000);
    s.cr4 &= ~CR4_OSXMMEXCPT;
    g_assert_cmpint(run(&s, "0f 5e c1"), ==, EXC_UD);

    quiet_state(&s);
    store_le32(native_data, 0x10000);
    g_assert_cmpint(run(&s, "0f ae 13"), ==, EXC_GP);           /* ldmxcsr */
    g_assert_cmphex(s.mxcsr, ==, MX_DEFAULT);
}

/* --- pointers and formats --------------------------------------------------------------- */

enum { FP_64 = DM_CODE64 | DM_SS32 | DM_FLAT,
       FP_32 = DM_CODE32 | DM_SS32 | DM_FLAT, FP_16 = DM_CODE16 | DM_FLAT,
       FP_REAL = DM_CODE16 | DM_FLAT | DM_REAL };

static void test_pointers(void)
{
    X86State s;

    quiet_state(&s);
    bench_map(true);
    s.seg[SEG_CS].selector = 0x33;
    s.seg[SEG_DS].selector = 0x2b;
    g_assert_cmpint(run(&s, "d9 e8"), ==, -1);                  /* fld1 */
    g_assert_cmphex(s.fop, ==, 0x1e8);
    g_assert_cmphex(s.fip, ==, (uintptr_t)native_code);
    g_assert_cmphex(s.fcs, ==, 0x33);
    store_le32(native_data + 8, 0x3f800000);
    g_assert_cmpint(run(&s, "d8 43 08"), ==, -1);       /* fadd [rbx+8] */
    g_assert_cmphex(s.fop, ==, 0x043);
    g_assert_cmphex(s.fdp, ==, (uintptr_t)native_data + 8);
    g_assert_cmphex(s.fds, ==, 0x2b);
    s.fip = 1;
    g_assert_cmpint(run(&s, "d9 7b 08"), ==, -1);       /* fnstcw: control */
    g_assert_cmphex(s.fip, ==, 1);
}

/* Store, compare with `want`, load again. */
static void check_format(unsigned mode, const char *store, const char *load,
                         const uint8_t *want, unsigned n, uint64_t fip,
                         uint64_t fdp, unsigned selectors)
{
    uint8_t *data = native_data;
    X86State s, t;

    quiet_state(&s);
    s.fcw = 0x27f;
    s.fsw = 0x3841;             /* TOP 7; IE and SF, masked */
    s.ftw = 0xe0;
    memset(s.fpr, 0, sizeof(s.fpr));
    s.fpr[6].mant = 1;                              /* special */
    s.fpr[7].mant = BIT64(63);
    s.fpr[7].exp_sign = 0x3fff;                     /* valid; 5 is zero */
    s.fip = 0x87654321;
    s.fdp = 0x12345678;
    s.fcs = 0x1234;
    s.fds = 0x5678;
    s.fop = 0x5a5;
    memset(data, 0xcc, 64);
    bench_env.mode = mode;
    g_assert_cmpint(run(&s, store), ==, -1);
    g_assert_cmpmem(data, n, want, n);
    g_assert_cmphex(data[n], ==, 0xcc);
    g_assert_cmphex(s.fcw, ==, 0x27f);
    t = s;
    t.fcw = t.fsw = t.ftw = t.fop = t.fcs = t.fds = 0;
    t.fip = t.fdp = 0;
    g_assert_cmpint(run(&t, load), ==, -1);
    g_assert_cmphex(t.fcw, ==, 0x27f);
    g_assert_cmphex(t.fsw, ==, 0x3841);
    g_assert_cmphex(t.ftw, ==, 0xe0);
    g_assert_cmphex(t.fip, ==, fip);
    g_assert_cmphex(t.fdp, ==, fdp);
    g_assert_cmphex(t.fcs, ==, selectors ? 0x1234 : 0);
    g_assert_cmphex(t.fds, ==, selectors ? 0x5678 : 0);
    bench_env.mode = FP_64 | DM_CPL3;
}

static void test_formats(void)
{
    static const uint8_t prot32[28] = {
        0x7f, 0x02, 0xff, 0xff, 0x41, 0x38, 0xff, 0xff, 0xff, 0x27, 0xff, 0xff,
        0x21, 0x43, 0x65, 0x87, 0x34, 0x12, 0xa5, 0x05, 0x78, 0x56, 0x34, 0x12,
        0x78, 0x56, 0xff, 0xff,
    };
    static const uint8_t prot16[14] = {
        0x7f, 0x02, 0x41, 0x38, 0xff, 0x27, 0x21, 0x43, 0x34, 0x12, 0x78, 0x56,
        0x78, 0x56,
    };
    /* Linear: 87654321 + 12340 and 12345678 + 56780. */
    static const uint8_t real32[28] = {
        0x7f, 0x02, 0xff, 0xff, 0x41, 0x38, 0xff, 0xff, 0xff, 0x27, 0xff, 0xff,
        0x61, 0x66, 0xff, 0xff, 0xa5, 0x65, 0x76, 0x08, 0xf8, 0xbd, 0xff, 0xff,
        0x00, 0x90, 0x23, 0x01,
    };
    static const uint8_t real16[14] = {
        0x7f, 0x02, 0x41, 0x38, 0xff, 0x27, 0x61, 0x66, 0xa5, 0x65, 0xf8, 0xbd,
        0x00, 0x90,
    };

    bench_map(true);
    check_format(FP_64, "d9 33", "d9 23", prot32, 28, 0x87654321, 0x12345678,
                 1);
    check_format(FP_64, "66 d9 33", "66 d9 23", prot16, 14, 0x4321, 0x5678, 1);
    check_format(FP_64 | DM_REAL, "d9 33", "d9 23", real32, 28, 0x87666661,
                 0x1239bdf8, 0);
    check_format(FP_64 | DM_REAL, "66 d9 33", "66 d9 23", real16, 14, 0x66661,
                 0x9bdf8, 0);
    check_format(FP_64 | DM_VM86, "66 d9 33", "66 d9 23", real16, 14, 0x66661,
                 0x9bdf8, 0);
}

/* Outside 64-bit mode FXSAVE knows eight XMM registers. */
static void test_fxsave32(void)
{
    uint8_t *data = native_data;
    X86State s, t;

    quiet_state(&s);
    s.fip = 0x11223344;
    s.fcs = 0x23;
    memset(data, 0xcc, 512);
    memset(s.vec, 0x11, sizeof(s.vec));
    bench_env.mode = FP_64 & ~DM_CODE_MASK;     /* addresses stay 64 bits */
    bench_map(true);
    t = s;
    {
        /* Decoded as 64-bit code, so that the operand is reached. */
        Insn insn;

        insn_decode(&insn, (const uint8_t[]) { 0x0f, 0xae, 0x03 }, 3, FP_64,
                    NULL);
        g_assert_cmpint(bench_run(&t, &insn), ==, -1);
        g_assert_cmphex(load_le64(data + 8), ==, 0x2311223344);
        g_assert_cmphex(data[160 + 127], ==, 0x11);
        g_assert_cmphex(data[160 + 128], ==, 0xcc);

        memset(data + 160, 0x22, 256);
        insn_decode(&insn, (const uint8_t[]) { 0x0f, 0xae, 0x0b }, 3, FP_64,
                    NULL);
        g_assert_cmpint(bench_run(&t, &insn), ==, -1);
        g_assert_cmphex(t.vec[7].b[0], ==, 0x22);
        g_assert_cmphex(t.vec[8].b[0], ==, 0x11);
    }
    bench_env.mode = FP_64 | DM_CPL3;
}

/* --- FERR# ---------------------------------------------------------------------------------- */

static int ferr_level;

static void note_ferr(Env *env, bool level)
{
    ferr_level = level;
}

static void test_ferr(void)
{
    X86State s;

    quiet_state(&s);
    tcg_ferr = note_ferr;
    ferr_level = -1;
    s.cr0 &= ~CR0_NE;
    s.fcw &= ~MX_ZE;
    g_assert_cmpint(run(&s, "d9 e8"), ==, -1);          /* fld1 */
    g_assert_cmpint(run(&s, "d9 ee"), ==, -1);          /* fldz */
    g_assert_cmpint(run(&s, "de f9"), ==, -1);          /* fdivp: 1 / 0 */
    g_assert_cmphex(s.fsw & (FSW_ES | MX_ZE), ==, FSW_ES | MX_ZE);
    g_assert_cmphex(x87_top(&(Env) { .s = s }), ==, 6);     /* not popped */
    g_assert_cmpint(ferr_level, ==, -1);
    g_assert_cmpint(run(&s, "9b"), ==, -1);             /* fwait */
    g_assert_cmpint(ferr_level, ==, 1);
    g_assert_cmpint(run(&s, "db e2"), ==, -1);          /* fnclex */
    g_assert_cmpint(ferr_level, ==, 0);
    g_assert_cmphex(s.fsw & FSW_ES, ==, 0);
    tcg_ferr = NULL;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!bench_init()) {
        return g_test_run();
    }
    g_test_add_func("/fpu-state/xsave", test_xsave);
    g_test_add_func("/fpu-state/xsaves", test_xsaves);
    g_test_add_func("/fpu-state/available", test_available);
    g_test_add_func("/fpu-state/simd-exceptions", test_simd_exceptions);
    g_test_add_func("/fpu-state/pointers", test_pointers);
    g_test_add_func("/fpu-state/formats", test_formats);
    g_test_add_func("/fpu-state/fxsave-32", test_fxsave32);
    g_test_add_func("/fpu-state/ferr", test_ferr);
    return g_test_run();
}
