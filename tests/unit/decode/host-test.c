/*
 * Instruction lengths against the processor we run on.
 *
 * An instruction is put so that a page ends inside or right after it, with
 * nothing mapped behind.  If the processor needs the byte behind, it faults
 * there: so for the length L that we decode it must fault with L - 1 bytes and
 * must not with L.  What we call undefined must raise SIGILL.  The instructions
 * really run, in a child with every signal caught, with registers that point
 * nowhere; those that could still do harm are left out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"

#include <cpuid.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0      /* clang's way to tell of sanitizers */
#endif
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) \
    && !defined(__SANITIZE_THREAD__) && !__has_feature(address_sanitizer) \
    && !__has_feature(thread_sanitizer)

/* Far from everything else, so that wild branches and accesses miss. */
#define CODE_PAGE ((uint8_t *)0x100000000000)
#define CODE_END (CODE_PAGE + 4096)
#define DATA_PAGE ((uint8_t *)0x200000001000)   /* RAX */
#define STACK_TOP ((uint8_t *)0x180000010000)

typedef struct Report {
    unsigned n_cases, n_bad;
    bool finished;
    uint8_t bytes[16];          /* being run */
    char text[32][160];
} Report;

static Report *report;
static uint32_t host_feat[N_FEATURE_WORDS];
static bool host_amd;

/* --- running one instruction ---------------------------------------------- */

static struct {
    int signo;
    const uint8_t *rip, *addr;
} outcome;

/* Used by the assembly. */
void *host_target, *host_sp;
extern char host_landing[];
void host_run(void);

__asm__(
    ".text\n"
    ".globl host_run, host_landing\n"
    "host_run:\n"
    "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "    mov %rsp, host_sp(%rip)\n"
    "    movabs $0x200000001000, %rax\n"
    "    lea 0x40(%rax), %rbx\n"
    "    lea 0x80(%rax), %rcx\n"
    "    lea 0xc0(%rax), %rdx\n"
    "    lea 0x100(%rax), %rsi\n"
    "    lea 0x140(%rax), %rdi\n"
    "    lea 0x180(%rax), %rbp\n"
    "    lea 0x1c0(%rax), %r8\n"
    "    lea 0x200(%rax), %r9\n"
    "    lea 0x240(%rax), %r10\n"
    "    lea 0x280(%rax), %r11\n"
    "    lea 0x2c0(%rax), %r12\n"
    "    lea 0x300(%rax), %r13\n"
    "    lea 0x340(%rax), %r14\n"
    "    lea 0x380(%rax), %r15\n"
    "    movabs $0x180000008000, %rsp\n"
    "    jmp *host_target(%rip)\n"
    "host_landing:\n"
    "    mov host_sp(%rip), %rsp\n"
    "    fninit\n"
    "    pushq $0x1f80; ldmxcsr (%rsp); pop %rax\n"
    "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "    ret\n");

static void on_signal(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;

    outcome.signo = signo;
    outcome.rip = (const uint8_t *)regs[REG_RIP];
    outcome.addr = info->si_addr;
    regs[REG_RIP] = (greg_t)host_landing;
    regs[REG_RSP] = (greg_t)host_sp;
    regs[REG_EFL] = 0x202;
}

/* Run the first `n` bytes with the page ending behind them.  True: it wanted
 * more. */
static bool wants_more(const uint8_t *bytes, unsigned n)
{
    uint8_t *at = CODE_END - n;

    memset(CODE_END - 256, 0xcc, 256 - n);      /* short branches back */
    memcpy(at, bytes, n);
    memset(STACK_TOP - 0x8000 - 512, 0, 1024);
    host_target = at;
    host_run();
    return outcome.signo == SIGSEGV && outcome.rip == at
           && outcome.addr == CODE_END;
}

/* --- which ones ----------------------------------------------------------- */

static bool harmful(const Insn *i)
{
    switch (i->op) {
    case OP_SYSCALL:
    case OP_SYSENTER:
    case OP_INT_I:
    case OP_WRFSBASE_RM:
    case OP_POP_SEG:
    case OP_MOV_SEG_RM:
    case OP_LFP_R_M:
    case OP_WRPKRU:
    case OP_MWAIT:
    case OP_VMCALL:             /* a host that is a guest hears these */
    case OP_VMMCALL:
        return true;
    default:
        return false;
    }
}

/* Defined, but SIGILL for a reason other than decoding. */
static bool may_be_undefined(const Insn *i)
{
    switch (i->op) {
    case OP_RSM:
    case OP_MONITOR:            /* above CPL 0 */
    case OP_CLAC:
    case OP_STAC:
    case OP_RDPKRU:             /* CR4.PKE */
    case OP_SYSRET:
    case OP_RDFSBASE_RM:        /* CR4.FSGSBASE */
    case OP_RDGSBASE_RM:
    case OP_WRGSBASE_RM:
    case OP_SYSEXIT:            /* AMD: not in 64-bit mode */
    case OP_INVPCID_R_M:
        return true;
    default:
        return false;
    }
}

/* Where AMD's processors are known not to do as Intel's, whom we follow. */
static bool amd_differs(const Insn *i, const uint8_t *bytes)
{
    static const struct { uint8_t b[4], mask[4]; } undefined[] = {
        /* LOCK MOV CR0 is MOV CR8; LOCK VERW reads memory first. */
        { { 0xf0, 0x0f, 0x20 }, { 0xff, 0xff, 0xfd } },
        { { 0xf0, 0x0f, 0x00, 0x28 }, { 0xff, 0xff, 0xff, 0x38 } },
        /* VPERMQ and VPERMPD without W. */
        { { 0xc4, 0xe3, 0x7d, 0x00 }, { 0xff, 0xff, 0xff, 0xfe } },
    };

    if (i->op == OP_UD) {
        for (unsigned n = 0; n < G_N_ELEMENTS(undefined); n++) {
            if (((load_le32(bytes) ^ load_le32(undefined[n].b))
                 & load_le32(undefined[n].mask)) == 0) {
                return true;
            }
        }
    }
    /* They heed 66 on near branches; 0F 0D with a register is no NOP. */
    return (insn_info(i->op)->opnd[0] == OPD_REL
            && memchr(bytes, 0x66, i->len))
           || (i->op == OP_NOP && memmem(bytes, i->len, "\x0f\x0d", 2));
}

/* #GP for being privileged, or for reserved bits of zeroed memory. */
static bool system_op(const Insn *i)
{
    switch (i->op) {
    case OP_LLDT_RM: case OP_LTR_RM: case OP_LGDT_M: case OP_LIDT_M:
    case OP_LMSW_RM: case OP_INVLPG_M: case OP_SLDT_RM: case OP_STR_RM:
    case OP_SGDT_M: case OP_SIDT_M: case OP_SMSW_RM: case OP_XRSTORS_M:
    case OP_XSAVES_M: case OP_XRSTOR_M:
        return true;
    default:
        return false;
    }
}

static void complain(const Insn *i, const uint8_t *bytes, const char *what)
{
    unsigned n = report->n_bad++;
    g_autoptr(GString) s = g_string_new(NULL);

    if (n >= G_N_ELEMENTS(report->text)) {
        return;
    }
    for (unsigned k = 0; k < 15; k++) {
        g_string_append_printf(s, "%02x ", bytes[k]);
    }
    g_string_append_printf(s, "| %u ", i->len);
    insn_print(i, s);
    g_snprintf(report->text[n], sizeof(report->text[n]), "%s: %s", what,
               s->str);
}

static void one_case(const uint8_t *bytes)
{
    unsigned mode = test_dm(MODE_64);
    DecodeResult r;
    Insn i;

    r = insn_decode(&i, bytes, 15, mode, host_feat);
    if ((r != DECODE_OK && r != DECODE_UD) || harmful(&i)) {
        return;
    }
    if (r == DECODE_UD && !compare_is_invalid(bytes, 15)) {
        return;                 /* something we do not have */
    }
    if (host_amd && amd_differs(&i, bytes)) {
        return;
    }
    report->n_cases++;
    memcpy(report->bytes, bytes, 15);
    if (r == DECODE_UD) {
        if (wants_more(bytes, 15) || outcome.signo != SIGILL) {
            complain(&i, bytes, "defined");
        }
        return;
    }
    if (i.len > 1 && !wants_more(bytes, i.len - 1)) {
        complain(&i, bytes, "shorter");
    }
    if (wants_more(bytes, i.len)) {
        complain(&i, bytes, "longer");
    } else if (outcome.signo == SIGILL && !may_be_undefined(&i)) {
        complain(&i, bytes, "undefined");
    }
}

static const uint8_t tail[14] = {
    0xe5, 0x92, 0x83, 0x74, 0xa5, 0x16, 0xf7, 0x38, 0x59, 0xea, 0x1b, 0x5c,
};
static const uint8_t modrms[] = {
    0x00, 0x0d, 0x14, 0x1e, 0x20, 0x2c, 0x35, 0x38, 0x4c, 0x53, 0x84, 0xbb,
    0xc0, 0xc9, 0xd2, 0xdb, 0xe4, 0xed, 0xf6, 0xff,
};

static void with_modrm(uint8_t *buf, unsigned at)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modrms); m++) {
        buf[at] = modrms[m];
        memcpy(buf + at + 1, tail, sizeof(tail));
        one_case(buf);
    }
}

static void all_cases(void)
{
    static const struct { uint8_t n, b[2]; } prefixes[] = {
        { 0, {} }, { 1, { 0x66 } }, { 1, { 0xf3 } }, { 1, { 0xf2 } },
        { 1, { 0x48 } }, { 1, { 0xf0 } }, { 2, { 0x67, 0x4c } },
        { 2, { 0x66, 0x41 } }, { 2, { 0xf2, 0x66 } }, { 2, { 0x65, 0xf3 } },
    };
    uint8_t buf[40];

    for (unsigned x = 0; x < G_N_ELEMENTS(prefixes); x++) {
        memcpy(buf, prefixes[x].b, 2);
        for (unsigned map = 0; map < 4; map++) {
            unsigned at = prefixes[x].n;

            if (map) {
                buf[at++] = 0x0f;
            }
            if (map > 1) {
                buf[at++] = map == 2 ? 0x38 : 0x3a;
            }
            for (unsigned op = 0; op < 256; op++) {
                buf[at] = op;
                with_modrm(buf, at + 1);
            }
        }
    }
    for (unsigned map = 1; map < 4; map++) {
        for (unsigned op = 0; op < 256; op++) {
            for (unsigned last = 0; last < 16; last++) {
                buf[0] = 0xc4;
                buf[1] = 0xe0 | map;
                buf[2] = (last & 8) << 4 | (last & 7)
                         | (op & 1 ? 0x78 : 0x50);
                buf[3] = op;
                with_modrm(buf, 4);
                buf[2] ^= 0x28;
                buf[4] = modrms[(op + last) % G_N_ELEMENTS(modrms)];
                one_case(buf);
            }
        }
    }
}

/* --- alignment ------------------------------------------------------------ */

/* [rax + 8] with memory there: #GP tells that it must be aligned. */
static void one_alignment(const uint8_t *bytes)
{
    unsigned align;
    Insn i;

    if (insn_decode(&i, bytes, 15, test_dm(MODE_64), host_feat) != DECODE_OK
        || !(i.flags & INSN_MEM) || i.disp != 8 || harmful(&i)
        || may_be_undefined(&i) || system_op(&i)) {
        return;
    }
    /* AMD's SHA takes any address. */
    if (host_amd && g_str_has_prefix(insn_op_name(i.op), "SHA")) {
        return;
    }
    report->n_cases++;
    memcpy(report->bytes, bytes, 15);
    memset(DATA_PAGE, 0, 4096);
    outcome.addr = NULL;
    wants_more(bytes, i.len);
    align = insn_info(i.op)->align;
    align = align == AL_SIZE ? insn_mem_size(&i) : align;
    /* The kernel reports #GP without an address. */
    if ((outcome.signo == SIGSEGV && !outcome.addr) != (align > 8)) {
        complain(&i, bytes, align > 8 ? "unaligned" : "aligned");
    }
}

static void all_alignments(void)
{
    static const uint8_t prefix[4] = { 0x66, 0x66, 0xf3, 0xf2 };
    uint8_t buf[24] = { 0 };

    if (mmap(DATA_PAGE, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
        != DATA_PAGE) {
        _exit(1);
    }
    for (unsigned n = 0; n < 3 * 256 * 8 * 4; n++) {
        unsigned map = n >> 13, op = n & 255, pp = n >> 8 & 3;
        unsigned modrm = 0x40 | (n >> 10 & 7) << 3, at = 0;

        if (pp) {
            buf[at++] = prefix[pp];
        }
        buf[at++] = 0x0f;
        if (map) {
            buf[at++] = map == 1 ? 0x38 : 0x3a;
        }
        memcpy(buf + at, (uint8_t[]) { op, modrm, 8, 0 }, 4);
        one_alignment(buf);
        for (unsigned v = 0; v < 8; v++) {
            memcpy(buf, (uint8_t[]) { 0xc4, 0xe1 + map,
                   (v & 1) << 7 | (v & 2) << 1 | (v & 4 ? 0x78 : 0x70) | pp,
                   op, modrm, 8, 0 }, 7);
            one_alignment(buf);
        }
        memcpy(buf, (uint8_t[]) { 0x48, 0x0f, op, modrm, 8, 0 }, 6);
        if (!map && !pp) {
            one_alignment(buf);
        }
    }
}

/* --- the child ------------------------------------------------------------ */

static void child(void (*cases)(void))
{
    struct sigaction sa = {
        .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK,
    };
    stack_t ss = { .ss_size = 1 << 16 };
    void *code, *stack;

    ss.ss_sp = g_malloc(ss.ss_size);
    sigaltstack(&ss, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);
    sigaction(SIGTRAP, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    code = mmap(CODE_PAGE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    stack = mmap(STACK_TOP - 0x10000, 0x10000, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (code == CODE_PAGE && stack == STACK_TOP - 0x10000) {
        alarm(60);              /* should one of them stop us */
        cases();
        report->finished = true;
    }
    _exit(0);
}

static bool host_features(void)
{
    static const struct { uint32_t leaf, sub; uint8_t reg; } words[] = {
        [FW_1_EDX] = { 1, 0, 3 }, [FW_1_ECX] = { 1, 0, 2 },
        [FW_7_0_EBX] = { 7, 0, 1 }, [FW_7_0_ECX] = { 7, 0, 2 },
        [FW_7_0_EDX] = { 7, 0, 3 }, [FW_7_1_EAX] = { 7, 1, 0 },
        [FW_80000001_EDX] = { 0x80000001, 0, 3 },
        [FW_80000001_ECX] = { 0x80000001, 0, 2 },
        [FW_80000008_EBX] = { 0x80000008, 0, 1 },
        [FW_D_1_EAX] = { 0xd, 1, 0 },
    };
    unsigned r[4];

    for (unsigned w = 0; w < G_N_ELEMENTS(words); w++) {
        if (words[w].leaf
            && __get_cpuid_count(words[w].leaf, words[w].sub, &r[0], &r[1],
                                 &r[2], &r[3])) {
            host_feat[w] = r[words[w].reg];
        }
    }
    __get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
    host_amd = r[1] == signature_AMD_ebx;
    return host_amd || r[1] == signature_INTEL_ebx;
}

static void run_cases(void (*cases)(void))
{
    int status;
    pid_t pid;

    if (!host_features()) {
        g_test_skip("neither Intel's nor AMD's processor");
        return;
    }
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(report != MAP_FAILED);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        child(cases);
    }
    waitpid(pid, &status, 0);
    for (unsigned n = 0; n < MIN(report->n_bad, 32); n++) {
        g_test_message("%s", report->text[n]);
    }
    if (!report->finished) {
        g_test_message("status %x in case %u: %02x %02x %02x %02x %02x %02x",
                       status, report->n_cases, report->bytes[0],
                       report->bytes[1], report->bytes[2], report->bytes[3],
                       report->bytes[4], report->bytes[5]);
    }
    g_test_message("%u instructions", report->n_cases);
    g_assert_true(report->finished);
    g_assert_cmpuint(report->n_bad, ==, 0);
    munmap(report, sizeof(*report));
}

static void test_lengths(void)
{
    run_cases(all_cases);
}

static void test_alignment(void)
{
    run_cases(all_alignments);
}

#else

static void test_lengths(void)
{
}

static void test_alignment(void)
{
    g_test_skip("needs an x86-64 host and no sanitizer");
}

#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    compare_init();
    g_test_add_func("/decode/host/lengths", test_lengths);
    g_test_add_func("/decode/host/alignment", test_alignment);
    return g_test_run();
}
