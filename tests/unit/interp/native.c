/*
 * Running instructions natively.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "native.h"

#include <asm/ldt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

uint8_t *native_code, *native_data;

/* XSAVE area in the standard format; without AVX only its legacy part. */
enum { XS_ST = 32, XS_XMM = 160, XS_BV = 512, XS_YMM = 576, XS_BYTES = 1024,
       XS_MASK = XCR0_X87 | XCR0_SSE | XCR0_AVX };

/* What the stub loads and stores: it reaches this by absolute names. */
struct {
    uint64_t gpr[16];
    uint64_t rflags, rip, host_rsp;
    uint64_t avx;
} native_regs __attribute__((visibility("hidden")));
uint8_t native_xs[XS_BYTES]
    __attribute__((aligned(64), visibility("hidden")));

static volatile sig_atomic_t running;
static NativeResult result;
static bool have_avx;

/*
 * native_stub(): to the code and back.  The code ends with a jump to
 * native_back, through a pointer beside it.  native_out is where the signal
 * handler goes on, with everything saved.
 */
void native_stub(void);
extern const char native_back[], native_out[];
asm(".text\n"
    ".globl native_stub\n"
    "native_stub:\n\t"
    "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\t"
    "push %r15\n\t"
    "lea native_regs(%rip), %rbx\n\t"
    "mov %rsp, 144(%rbx)\n\t"
    "cmpq $0, 152(%rbx)\n\t"
    "je 1f\n\t"
    "mov $7, %eax\n\t"
    "xor %edx, %edx\n\t"
    "xrstor native_xs(%rip)\n\t"
    "jmp 2f\n"
    "1: fxrstor native_xs(%rip)\n"
    "2: push 128(%rbx)\n\t"
    "popf\n\t"
    "mov 0(%rbx), %rax\n\t"
    "mov 8(%rbx), %rcx\n\t"
    "mov 16(%rbx), %rdx\n\t"
    "mov 32(%rbx), %rsp\n\t"
    "mov 40(%rbx), %rbp\n\t"
    "mov 48(%rbx), %rsi\n\t"
    "mov 56(%rbx), %rdi\n\t"
    "mov 64(%rbx), %r8\n\t"
    "mov 72(%rbx), %r9\n\t"
    "mov 80(%rbx), %r10\n\t"
    "mov 88(%rbx), %r11\n\t"
    "mov 96(%rbx), %r12\n\t"
    "mov 104(%rbx), %r13\n\t"
    "mov 112(%rbx), %r14\n\t"
    "mov 120(%rbx), %r15\n\t"
    "mov 24(%rbx), %rbx\n\t"
    "jmp *136+native_regs(%rip)\n"
    ".globl native_back\n"
    "native_back:\n\t"
    "mov %rax, 0+native_regs(%rip)\n\t"
    "mov %rcx, 8+native_regs(%rip)\n\t"
    "mov %rdx, 16+native_regs(%rip)\n\t"
    "mov %rbx, 24+native_regs(%rip)\n\t"
    "mov %rsp, 32+native_regs(%rip)\n\t"
    "mov %rbp, 40+native_regs(%rip)\n\t"
    "mov %rsi, 48+native_regs(%rip)\n\t"
    "mov %rdi, 56+native_regs(%rip)\n\t"
    "mov %r8, 64+native_regs(%rip)\n\t"
    "mov %r9, 72+native_regs(%rip)\n\t"
    "mov %r10, 80+native_regs(%rip)\n\t"
    "mov %r11, 88+native_regs(%rip)\n\t"
    "mov %r12, 96+native_regs(%rip)\n\t"
    "mov %r13, 104+native_regs(%rip)\n\t"
    "mov %r14, 112+native_regs(%rip)\n\t"
    "mov %r15, 120+native_regs(%rip)\n\t"
    "mov 144+native_regs(%rip), %rsp\n\t"
    "pushf\n\t"
    "pop 128+native_regs(%rip)\n\t"
    "cmpq $0, 152+native_regs(%rip)\n\t"
    "je 1f\n\t"
    "mov $7, %eax\n\t"
    "xor %edx, %edx\n\t"
    "xsave native_xs(%rip)\n\t"
    "jmp native_out\n"
    "1: fxsave native_xs(%rip)\n"
    ".globl native_out\n"
    "native_out:\n\t"
    "cld\n\t"
    "fninit\n\t"
    "push $0x1f80\n\t"
    "ldmxcsr (%rsp)\n\t"
    "pop %rax\n\t"
    "cmpq $0, 152+native_regs(%rip)\n\t"
    "je 1f\n\t"
    "vzeroupper\n"
    "1: pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\t"
    "pop %rbx\n\t"
    "ret\n");

static void native_signal(int sig, siginfo_t *info, void *opaque)
{
    static const int reg[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    ucontext_t *uc = opaque;
    greg_t *g = uc->uc_mcontext.gregs;

    if (!running) {
        signal(sig, SIG_DFL);       /* a bug of the test: die of it */
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        native_regs.gpr[i] = g[reg[i]];
    }
    native_regs.rflags = g[REG_EFL];
    native_regs.rip = g[REG_RIP];
    /* The frame is an XSAVE area itself. */
    memcpy(native_xs, uc->uc_mcontext.fpregs, have_avx ? 832 : 512);
    result.vector = g[REG_TRAPNO];
    result.error = g[REG_ERR];
    result.cr2 = g[REG_CR2];
    g[REG_RIP] = (uintptr_t)native_out;
    g[REG_RSP] = native_regs.host_rsp;
    g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000)
                    | (uint64_t)NATIVE_DS32 << 48 | 0x33;
    g[REG_EFL] &= ~(FL_DF | FL_TF | FL_AC);
}

bool native_init(void)
{
    static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    struct sigaction sa = {
        .sa_sigaction = native_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK,
    };
    static uint8_t stack_bytes[64 * KiB];
    stack_t stack = { .ss_sp = stack_bytes, .ss_size = sizeof(stack_bytes) };
    size_t bytes = NATIVE_DATA_PAGES * NATIVE_PAGE + 2 * NATIVE_GUARD;

    if (native_code) {
        return true;
    }
    native_code = mmap(NULL, 2 * NATIVE_PAGE,
                       PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    native_data = mmap(NULL, bytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (native_code == MAP_FAILED || native_data == MAP_FAILED) {
        return false;
    }
    native_data += NATIVE_GUARD;
    if (mprotect(native_data, NATIVE_DATA_PAGES * NATIVE_PAGE,
                 PROT_READ | PROT_WRITE) < 0 || sigaltstack(&stack, NULL) < 0) {
        return false;
    }
    sigemptyset(&sa.sa_mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(sigs); i++) {
        sigaction(sigs[i], &sa, NULL);
    }
    have_avx = __builtin_cpu_supports("avx");
    native_regs.avx = have_avx;
    return true;
}

bool native_has_avx(void)
{
    return have_avx;
}

static void load_fpu(const X86State *s)
{
    uint8_t *b = native_xs;

    memset(b, 0, XS_BYTES);
    store_le16(b, s->fcw);
    store_le16(b + 2, s->fsw);
    b[4] = s->ftw;
    store_le16(b + 6, s->fop);
    store_le64(b + 8, s->fip);
    store_le64(b + 16, s->fdp);
    store_le32(b + 24, s->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(b + XS_ST + 16 * i, &s->fpr[((s->fsw >> 11) + i) & 7], 10);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(b + XS_XMM + 16 * i, &s->vec[i].q[0], 16);
        memcpy(b + XS_YMM + 16 * i, &s->vec[i].q[2], 16);
    }
    store_le64(b + XS_BV, XS_MASK);
}

static void store_fpu(X86State *s)
{
    const uint8_t *b = native_xs;
    uint64_t bv = have_avx ? load_le64(b + XS_BV) : XCR0_X87 | XCR0_SSE;
    static const uint8_t init[XS_XMM] = { 0x7f, 0x03 };

    /* A component in its initial state is not stored. */
    if (!(bv & XCR0_X87)) {
        memcpy(native_xs, init, 24);
        memset(native_xs + XS_ST, 0, 128);
    }
    if (!(bv & XCR0_SSE)) {
        memset(native_xs + XS_XMM, 0, 256);
    }
    if (!(bv & XCR0_AVX)) {
        memset(native_xs + XS_YMM, 0, 256);
    }
    s->fcw = load_le16(b);
    s->fsw = load_le16(b + 2);
    s->ftw = b[4];
    s->fop = load_le16(b + 6) & 0x7ff;
    s->fip = load_le64(b + 8);
    s->fdp = load_le64(b + 16);
    s->mxcsr = load_le32(b + 24);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&s->fpr[((s->fsw >> 11) + i) & 7], b + XS_ST + 16 * i, 10);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&s->vec[i].q[0], b + XS_XMM + 16 * i, 16);
        memcpy(&s->vec[i].q[2], b + XS_YMM + 16 * i, 16);
    }
}

/* Registers in, registers out; `entry` is 64-bit code. */
static void run(X86State *s, const void *entry)
{
    memcpy(native_regs.gpr, s->gpr, sizeof(native_regs.gpr));
    native_regs.rflags = (s->rflags & (FL_ARITH | FL_DF)) | FL_IF | 2;
    native_regs.rip = (uintptr_t)entry;
    load_fpu(s);
    result = (NativeResult) { .vector = -1 };

    running = 1;
    native_stub();
    running = 0;

    memcpy(s->gpr, native_regs.gpr, sizeof(native_regs.gpr));
    s->rflags = (s->rflags & ~(uint64_t)(FL_ARITH | FL_DF))
                | (native_regs.rflags & (FL_ARITH | FL_DF));
    store_fpu(s);
}

NativeResult native_run(X86State *s, const void *code, unsigned len,
                        unsigned off)
{
    static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };  /* jmp *0(rip) */
    uint8_t *p = native_code + off;
    const void *back = native_back;

    memcpy(p, code, len);
    memcpy(p + len, jump, sizeof(jump));
    memcpy(p + len + sizeof(jump), &back, sizeof(back));
    run(s, p);
    s->rip = result.vector < 0 ? (uintptr_t)p + len : native_regs.rip;
    return result;
}

/*
 * Between 64-bit code and the segments: a page in low memory, since neither
 * side's far jump reaches further.
 */
enum { GATE_IN = 0, GATE_OUT = 32, GATE_FAR = 64, GATE_SS = 72,
       GATE_SS_BACK = 74 };

static uint8_t *make_gate(void)
{
    uint8_t *g = mmap(NULL, NATIVE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    const void *back = native_back;
    uint32_t at = (uintptr_t)g;
    uint8_t *p;

    if (g == MAP_FAILED) {
        return NULL;
    }
    p = g + GATE_IN;
    memcpy(p, "\x8e\x14\x25", 3);           /* mov GATE_SS, ss */
    store_le32(p + 3, at + GATE_SS);
    memcpy(p + 7, "\xff\x2c\x25", 3);       /* jmp far *GATE_FAR */
    store_le32(p + 10, at + GATE_FAR);
    p = g + GATE_OUT;
    memcpy(p, "\x8e\x14\x25", 3);           /* mov GATE_SS_BACK, ss */
    store_le32(p + 3, at + GATE_SS_BACK);
    memcpy(p + 7, "\xff\x25\0\0\0\0", 6);    /* jmp *0(rip) */
    memcpy(p + 13, &back, sizeof(back));
    store_le16(g + GATE_SS_BACK, NATIVE_DS32);
    return g;
}

NativeResult native_run_segs(X86State *s, const void *code, unsigned len,
                             const NativeSegs *segs, bool code16)
{
    static uint8_t *gate;
    uint64_t high[16];
    uint8_t *p = native_code;

    if (!gate) {
        gate = make_gate();
        g_assert(gate);
    }
    memcpy(p, code, len);
    p += len;
    if (code16) {
        *p++ = 0x66;
    }
    *p++ = 0xea;                /* jmp far 33:GATE_OUT */
    store_le32(p, (uintptr_t)gate + GATE_OUT);
    store_le16(p + 4, 0x33);
    store_le32(gate + GATE_FAR, segs->rip);
    store_le16(gate + GATE_FAR + 4, segs->cs);
    store_le16(gate + GATE_SS, segs->ss);
    for (unsigned i = 0; i < 16; i++) {
        high[i] = i < 8 ? 0 : s->gpr[i];
        s->gpr[i] = (uint32_t)s->gpr[i];
    }
    asm volatile("mov %0, %%ds\n\tmov %1, %%es"
                 : : "r"(segs->ds), "r"(segs->es));
    run(s, gate + GATE_IN);
    asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(NATIVE_DS32));
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : high[i];
    }
    s->rip = result.vector < 0 ? segs->rip + len : native_regs.rip;
    return result;
}

uint16_t native_ldt(unsigned n, uint32_t base, uint32_t limit, uint16_t attr)
{
    struct user_desc d = {
        .entry_number = n, .base_addr = base,
        .limit = attr & SEGA_G ? limit >> 12 : limit,
        .seg_32bit = !!(attr & SEGA_DB),
        .contents = attr >> 2 & 3,
        .read_exec_only = !(attr & SEGA_W),
        .limit_in_pages = !!(attr & SEGA_G),
        .seg_not_present = !(attr & SEGA_P),
        .useable = !!(attr & SEGA_AVL),
    };

    if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)) != 0) {
        return 0;
    }
    return n << 3 | 7;
}

bool native_diff(const X86State *want, const X86State *got,
                 uint64_t rflags_mask, GString *out)
{
    static const char *const name[16] = {
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    };
    gsize before = out->len;

#define DIFF(what, field, bits, fmt)                                        \
    if (want->field != got->field) {                                        \
        g_string_append_printf(out, what ": native %0" #bits fmt            \
                               ", ours %0" #bits fmt "\n",                  \
                               want->field, got->field);                    \
    }
    for (unsigned i = 0; i < 16; i++) {
        if (want->gpr[i] != got->gpr[i]) {
            g_string_append_printf(out, "%s: native %016" PRIx64
                                   ", ours %016" PRIx64 "\n", name[i],
                                   want->gpr[i], got->gpr[i]);
        }
        if (memcmp(&want->vec[i], &got->vec[i], sizeof(X86Vec)) != 0) {
            g_string_append_printf(out, "ymm%u: native", i);
            for (int q = 3; q >= 0; q--) {
                g_string_append_printf(out, " %016" PRIx64,
                                       want->vec[i].q[q]);
            }
            g_string_append(out, "\n        ours");
            for (int q = 3; q >= 0; q--) {
                g_string_append_printf(out, " %016" PRIx64, got->vec[i].q[q]);
            }
            g_string_append_c(out, '\n');
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(&want->fpr[i], &got->fpr[i], 10) != 0) {
            g_string_append_printf(out, "fpr%u: native %04x.%016" PRIx64
                                   ", ours %04x.%016" PRIx64 "\n", i,
                                   want->fpr[i].exp_sign, want->fpr[i].mant,
                                   got->fpr[i].exp_sign, got->fpr[i].mant);
        }
    }
    DIFF("rip", rip, 16, PRIx64)
    DIFF("fcw", fcw, 4, "x")
    DIFF("fsw", fsw, 4, "x")
    DIFF("ftw", ftw, 2, "x")
    DIFF("mxcsr", mxcsr, 8, "x")
#undef DIFF
    if ((want->rflags ^ got->rflags) & rflags_mask) {
        g_string_append_printf(out, "rflags: native %04x, ours %04x\n",
                               (unsigned)(want->rflags & rflags_mask),
                               (unsigned)(got->rflags & rflags_mask));
    }
    return out->len != before;
}
