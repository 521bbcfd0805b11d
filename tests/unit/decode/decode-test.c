/*
 * The decoder by itself: what Zydis cannot be asked about.  Features, flat
 * segments, the stack's mode, repeat prefixes, the limit of 15 bytes, flags.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "cpu/features.h"
#include "cpu/state.h"

enum {
    M64 = DM_CODE64 | DM_SS32 | DM_FLAT,
    M32 = DM_CODE32 | DM_SS32,
    M32_FLAT = M32 | DM_FLAT,
    M16 = DM_CODE16,
    REAL = DM_CODE16 | DM_REAL,
};

/* Decode hexadecimal digits and blanks with all features but those of `but`,
 * a list that ends with -1. */
static Insn decode_but(unsigned mode, const char *hex, const int *but)
{
    uint32_t feat[N_FEATURE_WORDS];
    uint8_t bytes[32];
    unsigned n = 0;
    Insn i;

    memset(feat, 0xff, sizeof(feat));
    for (; *but >= 0; but++) {
        feat[*but / 32] &= ~(UINT32_C(1) << (*but % 32));
    }
    for (const char *c = hex; *c; c++) {
        if (*c != ' ') {
            bytes[n++] = g_ascii_xdigit_value(c[0]) << 4
                         | g_ascii_xdigit_value(c[1]);
            c++;
        }
    }
    memset(&i, 0xee, sizeof(i));
    insn_decode(&i, bytes, n, mode, feat);
    return i;
}

static Insn decode(unsigned mode, const char *hex)
{
    return decode_but(mode, hex, (int[]) { -1 });
}

#define WITHOUT(...) ((int[]) { __VA_ARGS__, -1 })

static void test_features(void)
{
    static const struct {
        const char *hex;
        int feature;
        unsigned with, without;
    } cases[] = {
        { "f30fbcc1", FEAT_BMI1, OP_TZCNT_R_RM, OP_BSF_R_RM },
        { "f30fbdc1", FEAT_ABM, OP_LZCNT_R_RM, OP_BSR_R_RM },
        { "f30fb8c1", FEAT_POPCNT, OP_POPCNT_R_RM, OP_UD },
        { "f30f09", FEAT_WBNOINVD, OP_WBNOINVD, OP_WBINVD },
        { "0f1c00", FEAT_CLDEMOTE, OP_CLDEMOTE_M, OP_NOP },
        { "0f1800", FEAT_SSE, OP_PREFETCH_M, OP_NOP },
        { "9f", FEAT_LAHF_LM, OP_LAHF, OP_UD },
        { "0f44c1", FEAT_CMOV, OP_CMOVCC_R_RM, OP_UD },
        { "dac1", FEAT_CMOV, OP_FCMOVCC_ST0_STi, OP_UD },
        { "0f38f000", FEAT_MOVBE, OP_MOVBE_R_M, OP_UD },
        { "480fc70f", FEAT_CX16, OP_CMPXCHG16B_M, OP_UD },
        { "0fc70f", FEAT_CX8, OP_CMPXCHG8B_M, OP_UD },
        { "c5f058c2", FEAT_AVX, OP_VADDPS_X_X_XM, OP_UD },
        { "c5f1fcc2", FEAT_AVX2, OP_VPADDB_X_X_XM, OP_VPADDB_X_X_XM },
        { "c5f5fcc2", FEAT_AVX2, OP_VPADDB_X_X_XM, OP_UD },
        { "c4e271dcc2", FEAT_AVX, OP_VAESENC_X_X_XM, OP_UD },
        { "c4e271dcc2", FEAT_AES, OP_VAESENC_X_X_XM, OP_UD },
        { "c4e270f2c2", FEAT_BMI1, OP_ANDN_R_R_RM, OP_UD },
        { "c4e270f2c2", FEAT_AVX, OP_ANDN_R_R_RM, OP_ANDN_R_R_RM },
        { "f3480faec0", FEAT_FSGSBASE, OP_RDFSBASE_RM, OP_UD },
        { "0f01ca", FEAT_SMAP, OP_CLAC, OP_UD },
        { "0f05", FEAT_SYSCALL, OP_SYSCALL, OP_UD },
    };

    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        g_assert_cmpstr(insn_op_name(decode(M64, cases[n].hex).op), ==,
                        insn_op_name(cases[n].with));
        g_assert_cmpstr(
            insn_op_name(decode_but(M64, cases[n].hex,
                                    WITHOUT(cases[n].feature)).op), ==,
            insn_op_name(cases[n].without));
    }
    /* LAHF is not a feature of 32-bit code. */
    g_assert_cmpuint(decode_but(M32, "9f", WITHOUT(FEAT_LAHF_LM)).op, ==,
                     OP_LAHF);
}

static void test_hints(void)
{
    g_assert_cmpuint(decode(M64, "f30f1efa").op, ==, OP_NOP);
    g_assert_cmpuint(decode(M64, "f30f1ec8").op, ==, OP_NOP);
    g_assert_cmpuint(decode(M64, "0f1f840000000000").op, ==, OP_NOP);
    g_assert_cmpuint(decode(M64, "90").op, ==, OP_NOP);
    g_assert_cmpuint(decode(M64, "4190").op, ==, OP_XCHG_RM_R);
    g_assert_cmpuint(decode(M64, "4190").rm, ==, R_R8);
    g_assert_cmpuint(decode(M64, "f390").op, ==, OP_PAUSE);
}

static void test_segments(void)
{
    static const struct {
        unsigned mode;
        const char *hex;
        unsigned seg;
        bool base;
    } cases[] = {
        { M64, "8b00", SEG_DS, false }, { M64, "8b4500", SEG_SS, false },
        { M64, "8b0424", SEG_SS, false }, { M64, "418b4500", SEG_DS, false },
        { M64, "648b00", SEG_FS, true }, { M64, "658b00", SEG_GS, true },
        { M64, "2e8b00", SEG_DS, false }, { M64, "368b00", SEG_DS, false },
        { M64, "643e8b00", SEG_FS, true }, { M64, "3e648b00", SEG_FS, true },
        { M32_FLAT, "8b00", SEG_DS, false }, { M32, "8b00", SEG_DS, true },
        { M32_FLAT, "268b00", SEG_ES, false },
        { M32_FLAT, "648b00", SEG_FS, true },
        { M32_FLAT, "64268b00", SEG_ES, false },
        { M16, "8b02", SEG_SS, true }, { M16, "8b00", SEG_DS, true },
        { M16, "8b4600", SEG_SS, true }, { M16, "8b060000", SEG_DS, true },
        /* Implicit: the source; STOS, SCAS and INS only know ES. */
        { M64, "a4", SEG_DS, false }, { M64, "65a4", SEG_GS, true },
        { M64, "64aa", SEG_ES, false }, { M32_FLAT, "65aa", SEG_ES, false },
        { M32, "aa", SEG_ES, true }, { M32, "2ed7", SEG_CS, true },
        { M64, "64d7", SEG_FS, true },
    };

    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        Insn i = decode(cases[n].mode, cases[n].hex);

        g_assert_cmpuint(i.seg, ==, cases[n].seg);
        g_assert_cmpint(!!(i.ea & EA_SEG), ==, cases[n].base);
    }
}

static void test_stack(void)
{
    g_assert_cmpuint(decode(M64, "50").stack, ==, STACK_64);
    g_assert_cmpuint(decode(M32_FLAT, "50").stack, ==, STACK_32);
    g_assert_cmpuint(decode(M32, "50").stack, ==, STACK_SEG32);
    g_assert_cmpuint(decode(REAL, "50").stack, ==, STACK_SEG16);
    g_assert_cmpuint(decode(DM_CODE16 | DM_SS32, "50").stack, ==,
                     STACK_SEG32);

    g_assert_cmpuint(decode(M64, "50").size, ==, 8);
    g_assert_cmpuint(decode(M64, "6650").size, ==, 2);
    g_assert_cmpuint(decode(M64, "664850").size, ==, 8);
    g_assert_cmpuint(decode(M64, "6a80").size, ==, 8);
    g_assert_cmpint(decode(M64, "6a80").imm, ==, -128);
    g_assert_cmpuint(decode(M64, "6668 0080").len, ==, 4);
    g_assert_cmpuint(decode(M64, "c3").size, ==, 8);
    g_assert_cmpuint(decode(M64, "66c3").size, ==, 8);
    g_assert_cmpuint(decode(M64, "cb").size, ==, 4);
    g_assert_cmpuint(decode(M64, "48cb").size, ==, 8);
    g_assert_cmpuint(decode(M32, "66c3").size, ==, 2);
    /* Near branches: Intel's processors ignore 66 in 64-bit mode. */
    g_assert_cmpuint(decode(M64, "66e800000000").len, ==, 6);
    g_assert_cmpuint(decode(M32, "66e80000").len, ==, 4);
    g_assert_cmphex(decode(M32, "c8341207").imm, ==, 0x71234);
}

static void test_repeat(void)
{
    enum { REPS = INSN_REP | INSN_REPNE };

    g_assert_cmpuint(decode(M64, "f3a4").flags & REPS, ==, INSN_REP);
    g_assert_cmpuint(decode(M64, "f2a4").flags & REPS, ==, INSN_REP);
    g_assert_cmpuint(decode(M64, "f3a6").flags & REPS, ==, INSN_REP);
    g_assert_cmpuint(decode(M64, "f2a6").flags & REPS, ==, INSN_REPNE);
    g_assert_cmpuint(decode(M64, "f2f3ae").flags & REPS, ==, INSN_REP);
    g_assert_cmpuint(decode(M64, "f3f2ae").flags & REPS, ==, INSN_REPNE);
    g_assert_cmpuint(decode(M64, "f36c").flags & REPS, ==, INSN_REP);
    g_assert_cmpuint(decode(M64, "f3c3").flags & REPS, ==, 0);
    g_assert_cmpuint(decode(M64, "f38b00").flags & REPS, ==, 0);
    g_assert_cmpuint(decode(M64, "67a4").flags & INSN_A32, ==, INSN_A32);
    g_assert_cmpuint(decode(M32, "67a4").flags & INSN_A16, ==, INSN_A16);
    g_assert_cmpuint(decode(M64, "486d").size, ==, 4);
}

static void test_lock(void)
{
    g_assert_cmpuint(decode(M64, "f00107").flags & INSN_LOCK, ==, INSN_LOCK);
    g_assert_cmpuint(decode(M64, "f001c7").op, ==, OP_UD);
    g_assert_cmpuint(decode(M64, "f00307").op, ==, OP_UD);
    g_assert_cmpuint(decode(M64, "f03907").op, ==, OP_UD);
    g_assert_cmpuint(decode(M64, "f08907").op, ==, OP_UD);
    g_assert_cmpuint(decode(M64, "f00fba2700").op, ==, OP_UD);
    g_assert_cmpuint(decode(M64, "f00fba2f00").op, ==, OP_BTS_RM_I);
    g_assert_cmpuint(decode(M64, "f0c5f058c2").op, ==, OP_UD);
    g_assert_cmpuint(decode(REAL, "c5f058c2").op, ==, OP_UD);
    g_assert_cmpuint(decode(REAL, "c507").op, ==, OP_LFP_R_M);
    g_assert_cmpuint(decode(REAL, "c507").aux, ==, SEG_DS);
    g_assert_cmpuint(decode(REAL, "6207").op, ==, OP_BOUND_R_M);
    g_assert_cmpuint(decode(M64, "62f17c4858c0").op, ==, OP_UD);
    g_assert_cmpuint(decode(REAL, "0f00d8").op, ==, OP_UD);
    g_assert_cmpuint(decode(M16, "0f00d8").op, ==, OP_LTR_RM);
}

static void test_length(void)
{
    static const uint8_t nops[16] = {
        0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
        0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90,
    };
    Insn i;

    g_assert_cmpint(insn_decode(&i, nops + 1, 15, M64, NULL), ==, DECODE_OK);
    g_assert_cmpuint(i.len, ==, 15);
    g_assert_cmpint(insn_decode(&i, nops, 16, M64, NULL), ==,
                    DECODE_TOO_LONG);
    g_assert_cmpint(insn_decode(&i, nops, 15, M64, NULL), ==,
                    DECODE_TOO_LONG);
    g_assert_cmpint(insn_decode(&i, nops, 14, M64, NULL), ==, DECODE_MORE);
    g_assert_cmpint(insn_decode(&i, nops, 0, M64, NULL), ==, DECODE_MORE);
}

static void test_moffs(void)
{
    Insn i = decode(M64, "a1 0807060504030201");

    g_assert_cmpuint(i.op, ==, OP_MOV_R_MOFFS);
    g_assert_cmphex(i.imm, ==, 0x0102030405060708);
    i = decode(M64, "67a1 04030280");
    g_assert_cmpuint(i.op, ==, OP_MOV_R_RM);
    g_assert_cmpuint(i.base, ==, R_ZERO);
    g_assert_cmphex((uint32_t)i.disp, ==, 0x80020304);
    g_assert_cmpuint(i.ea & EA_A32, ==, EA_A32);
    i = decode(REAL, "26a3 3412");
    g_assert_cmpuint(i.op, ==, OP_MOV_RM_R);
    g_assert_cmpuint(i.seg, ==, SEG_ES);
    g_assert_cmphex(i.disp, ==, 0x1234);
}

static void test_flags(void)
{
    Insn i = decode(M64, "74fe");

    g_assert_cmphex(insn_flags(&i).read, ==, IF_ZF);
    i = decode(M64, "c1e000");
    g_assert_cmphex(insn_flags(&i).set | insn_flags(&i).may, ==, 0);
    i = decode(M64, "c1e005");
    g_assert_cmphex(insn_flags(&i).set | insn_flags(&i).undef, ==, IF_ARITH);
    i = decode(M64, "d3e0");
    g_assert_cmphex(insn_flags(&i).set, ==, 0);
    g_assert_cmphex(insn_flags(&i).may, ==, IF_ARITH);
    i = decode(M64, "f3a6");
    g_assert_cmphex(insn_flags(&i).set, ==, 0);
    i = decode(M64, "a6");
    g_assert_cmphex(insn_flags(&i).set, ==, IF_ARITH);
}

static void test_x87_opcode(void)
{
    g_assert_cmphex(decode(M64, "d9c9").imm, ==, 0x1c9);
    g_assert_cmphex(decode(M64, "66de4d10").imm, ==, 0x64d);
    g_assert_cmpuint(decode(M64, "dac1").aux, ==, 2);
    g_assert_cmpuint(decode(M64, "db18").size, ==, 4);
    g_assert_cmpuint(decode(M64, "db28").size, ==, 10);
}

static void test_print(void)
{
    static const struct { unsigned mode; const char *hex, *text; } cases[] = {
        { M64, "f0480fb10a", "lock cmpxchg m64 [rdx], rcx" },
        { M64, "88e0", "mov al, ah" }, { M64, "4088e0", "mov al, spl" },
        { M64, "660f6f0501000000", "movdqa xmm0, m128 [rip+0x1]" },
        { M64, "c5f458c2", "vaddps ymm0, ymm1, ymm2" },
        { M64, "c4e269920c98", "vgatherdps xmm1, m128 [rax+xmm3*4], xmm2" },
        { M64, "0f84fbffffff", "je $+6-5" }, { M64, "f3a5", "rep movsd" },
        { REAL, "ea 34120010", "jmpf 0x1000:0x1234" },
        { REAL, "8b42fe", "mov ax, m16 ss:[bp+si-0x2]" },
        { M64, "480fbe00", "movsx rax, m8 [rax]" },
        { M64, "d8c1", "fadd st0, st1" }, { M64, "0f20c0", "mov rax, cr0" },
    };

    for (unsigned n = 0; n < G_N_ELEMENTS(cases); n++) {
        g_autoptr(GString) s = g_string_new(NULL);
        Insn i = decode(cases[n].mode, cases[n].hex);

        insn_print(&i, s);
        g_assert_cmpstr(s->str, ==, cases[n].text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/decode/features", test_features);
    g_test_add_func("/decode/hints", test_hints);
    g_test_add_func("/decode/segments", test_segments);
    g_test_add_func("/decode/stack", test_stack);
    g_test_add_func("/decode/repeat", test_repeat);
    g_test_add_func("/decode/lock", test_lock);
    g_test_add_func("/decode/length", test_length);
    g_test_add_func("/decode/moffs", test_moffs);
    g_test_add_func("/decode/flags", test_flags);
    g_test_add_func("/decode/x87-opcode", test_x87_opcode);
    g_test_add_func("/decode/print", test_print);
    return g_test_run();
}
