/*
 * Who may use x87, MMX, SSE and AVX: CR0.EM, MP, TS and NE, CR4's OS bits, XCR0,
 * pending and unmasked exceptions, and which of them comes first.
 *
 * Spec: Intel SDM volume 3A 2.5, 13.1, tables 2-2 and 12-1; volume 1 8.7, 11.5.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"
#include "cpu/features.h"

enum { NONE = 0x80, DE = 0, UD = 6, NM = 7, GP = 13, MF = 16, XM = 19 };
enum { EM = CR0_EM, MP = CR0_MP, TS = CR0_TS, FX = CR4_OSFXSR,
       XE = CR4_OSXMMEXCPT, XS = CR4_OSXSAVE };

/* X(name, CR0 set, CR4 set, vector, code): code that does not fault goes on to
 * INT 80h. */
#define CASES(X)                                                            \
    X(x87, 0, 0, NONE, "fnop")                                              \
    X(x87_em, EM, 0, NM, "fnop")                                            \
    X(x87_ts, TS, 0, NM, "fnop")                                            \
    X(wait_em, EM, 0, NONE, "wait")                                         \
    X(wait_ts, TS, 0, NONE, "wait")                                         \
    X(wait_mp, MP, 0, NONE, "wait")                                         \
    X(wait_mp_ts, MP | TS, 0, NM, "wait")                                   \
    X(wait_all, MP | EM | TS, 0, NM, "wait")                                \
    X(fnstsw_ts, TS, 0, NM, "fnstsw %ax")                                   \
    X(fninit_em, EM, 0, NM, "fninit")                                       \
    X(mmx, 0, 0, NONE, "pxor %mm0, %mm0")                                   \
    X(mmx_em, EM, 0, UD, "pxor %mm0, %mm0")                                 \
    X(mmx_ts, TS, 0, NM, "pxor %mm0, %mm0")                                 \
    X(mmx_em_ts, EM | TS, 0, UD, "pxor %mm0, %mm0")                         \
    X(emms_em, EM, 0, UD, "emms")                                           \
    X(sse, 0, FX, NONE, "xorps %xmm0, %xmm0")                               \
    X(sse_no_os, 0, 0, UD, "xorps %xmm0, %xmm0")                            \
    X(sse_no_os_ts, TS, 0, UD, "xorps %xmm0, %xmm0")                        \
    X(sse_em, EM, FX, UD, "xorps %xmm0, %xmm0")                             \
    X(sse_ts, TS, FX, NM, "xorps %xmm0, %xmm0")                             \
    X(sse_em_ts, EM | TS, FX, UD, "xorps %xmm0, %xmm0")                     \
    X(sse_int, 0, 0, UD, "paddb %xmm0, %xmm0")                              \
    X(ldmxcsr_no_os, 0, 0, UD, "ldmxcsr 0x20000")                           \
    X(ldmxcsr_bad, 0, FX, GP, "movl $0x10000, 0x20000\n ldmxcsr 0x20000")   \
    X(prefetch_em, EM, 0, NONE, "prefetcht0 0x20000")                       \
    X(sfence_em, EM, 0, NONE, "sfence")                                     \
    X(movnti_em, EM, 0, NONE, "movnti %eax, 0x20000")                       \
    X(fxsave, 0, 0, NONE, "fxsave 0x20000")                                 \
    X(fxsave_em, EM, 0, NM, "fxsave 0x20000")                               \
    X(fxsave_ts, TS, 0, NM, "fxsave 0x20000")                               \
    X(fxsave_odd, 0, 0, GP, "fxsave 0x20008")                               \
    X(xgetbv_no_os, 0, 0, UD, "xor %ecx, %ecx\n xgetbv")                    \
    X(xgetbv, 0, XS, NONE, "xor %ecx, %ecx\n xgetbv")                       \
    X(xgetbv_bad, 0, XS, GP, "mov $2, %ecx\n xgetbv")                       \
    X(xsetbv_none, 0, XS, GP,                                               \
      "xor %ecx, %ecx\n xor %edx, %edx\n xor %eax, %eax\n xsetbv")          \
    X(xsetbv_no_sse, 0, XS, GP,                                             \
      "xor %ecx, %ecx\n xor %edx, %edx\n mov $5, %eax\n xsetbv")            \
    X(xsave_no_os, 0, 0, UD, "xsave 0x20000")                               \
    X(xsave_ts, TS, XS, NM, "xsave 0x20000")                                \
    X(xsave_odd, 0, XS, GP, "xsave 0x20010")                                \
    X(avx_no_os, 0, FX, UD, "vxorps %ymm0, %ymm0, %ymm0")                   \
    X(avx_no_xcr0, 0, FX | XS, UD, "vxorps %ymm0, %ymm0, %ymm0")            \
    X(avx, 0, FX | XS, NONE, "xor %ecx, %ecx\n xor %edx, %edx\n"            \
      "mov $7, %eax\n xsetbv\n vxorps %ymm0, %ymm0, %ymm0")                 \
    X(avx_ts, 0, FX | XS, NM, "xor %ecx, %ecx\n xor %edx, %edx\n"           \
      "mov $7, %eax\n xsetbv\n mov %cr0, %eax\n or $8, %eax\n"              \
      "mov %eax, %cr0\n vxorps %ymm0, %ymm0, %ymm0")                        \
    X(simd_no_os, 0, FX, UD, "movl $0x1d80, 0x20000\n ldmxcsr 0x20000\n"    \
      "movl $0x3f800000, 0x20010\n movss 0x20010, %xmm0\n"                 \
      "xorps %xmm1, %xmm1\n divss %xmm1, %xmm0")                            \
    X(simd, 0, FX | XE, XM, "movl $0x1d80, 0x20000\n ldmxcsr 0x20000\n"     \
      "movl $0x3f800000, 0x20010\n movss 0x20010, %xmm0\n"                 \
      "xorps %xmm1, %xmm1\n divss %xmm1, %xmm0")                            \
    X(pending_fnop, 0, 0, MF, DIV0 "fnop")                                  \
    X(pending_wait, 0, 0, MF, DIV0 "wait")                                  \
    X(pending_mmx, 0, 0, MF, DIV0 "pxor %mm0, %mm0")                        \
    X(pending_mmx_em, 0, 0, UD, DIV0 "mov %cr0, %eax\n or $4, %eax\n"       \
      "mov %eax, %cr0\n pxor %mm0, %mm0")                                   \
    X(pending_ts, 0, 0, NM, DIV0 "mov %cr0, %eax\n or $8, %eax\n"           \
      "mov %eax, %cr0\n fnop")                                              \
    X(pending_fninit, 0, 0, NONE, DIV0 "fninit")                            \
    X(pending_fnstsw, 0, 0, NONE, DIV0 "fnstsw %ax")                        \
    X(pending_fnclex, 0, 0, NONE, DIV0 "fnclex\n fnop")                     \
    X(pending_sse, 0, FX, NONE, DIV0 "xorps %xmm0, %xmm0")                  \
    X(masked, 0, 0, NONE, "fninit\n fld1\n fldz\n fdivrp\n wait")

/* ZE pending, unmasked. */
#define DIV0 "fninit\n movw $0x37b, 0x20000\n fldcw 0x20000\n" \
             "fld1\n fldz\n fdivrp %st, %st(1)\n"

#define CODE_OF(name, cr0, cr4, vector, text) \
    SNIPPET(name, "32", text "\n int $0x80\n");
CASES(CODE_OF)

typedef struct Case {
    const char *name;
    uint32_t cr0, cr4;
    uint8_t vector;
    const uint8_t *code, *end;
} Case;

static const Case cases[] = {
#define ROW_OF(name, cr0, cr4, vector, text) \
    { #name, cr0, cr4, vector, name, name##_end },
    CASES(ROW_OF)
};

static void test_case(const void *opaque)
{
    const Case *c = opaque;

    if (g_str_has_prefix(c->name, "avx")
        && !cpu_has(guest_cpu(0), FEAT_AVX)) {
        g_test_skip("the host has no AVX");
        return;
    }
    start32();
    s->cr0 |= c->cr0;
    s->cr4 |= c->cr4;
    s->xcr0 = XCR0_X87;
    s->mxcsr = 0x1f80;
    g_assert_cmpint(go(c->code, c->end), ==, c->vector);
}

void fpu_tests(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/fpu/%s", cases[i].name);

        g_test_add_data_func(name, &cases[i], test_case);
    }
}
