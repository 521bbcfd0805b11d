/*
 * Page faults and the way back: a handler at level 0 maps what level 3 or 0
 * touched, after it has looked at CR2, the error code and the whole frame; with
 * all arithmetic flags, on an own stack (IST) and across a page's end; and
 * IRETs whose frame is not there yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "accel/tcg/interp/host.h"

enum {
    CODE = 0x10000, USER = 0x12000, HANDLER = 0x14000, BACK = 0x15000,
    GDT = 0x30000, IDT = 0x31000, TSS = 0x32004, STACK = 0x36ff8,
    RSP0 = 0x38000, IST1 = 0x3a000, TABLES = 0x100000, PD = TABLES + 0x8000,
    PT = TABLES + 0x9000, STEPS = 0x200000, FRAMES = 0x400000,
    N_PAGES = 256, N_STEPS = 512,
};
#define WINDOW UINT64_C(0xc0000000)

/* CR2, the error code and the frame into R13; a page that is read becomes
 * readable, one that is written, writable. */
GUEST_CODE(handler, "64",
    "push %rax\n push %rcx\n push %rdx\n"
    "mov %cr2, %rax\n rol $7, %r13\n xor %rax, %r13\n"
    "lea 24(%rsp), %rdx\n mov $6, %ecx\n"
    "1: rol $7, %r13\n xor (%rdx), %r13\n add $8, %rdx\n loop 1b\n"
    "mov %rax, %rdx\n shr $12, %rdx\n and $0x1ff, %edx\n"
    "mov %edx, %ecx\n shl $12, %ecx\n add $0x400005, %ecx\n"
    "testb $2, 24(%rsp)\n jz 2f\n or $2, %ecx\n"
    "2: mov %rcx, 0x109000(,%rdx,8)\n invlpg (%rax)\n incl 0x20000\n"
    "pop %rdx\n pop %rcx\n pop %rax\n add $8, %rsp\n iretq\n");

/* At RSI: an address and flags for each step. */
GUEST_CODE(toucher, "64",
    "mov $0x200000, %esi\n mov $512, %r12d\n xor %r13d, %r13d\n"
    "mov %rsp, %r15\n mov $0x1234, %ebx\n"
    "1: mov (%rsi), %rdi\n pushq 8(%rsi)\n popfq\n"
    ".globl user_read\nuser_read: mov (%rdi), %rax\n"
    "pushfq\n pop %rdx\n rol $7, %r13\n xor %rdx, %r13\n"
    "mov 16(%rsi), %rdi\n pushq 24(%rsi)\n popfq\n"
    ".globl user_add\nuser_add: adc %rbx, (%rdi)\n"
    "pushfq\n pop %rdx\n rol $7, %r13\n xor %rdx, %r13\n"
    "mov 32(%rsi), %rsp\n mov $-5, %rdx\n inc %rdx\n"
    ".globl user_push\nuser_push: push %rbx\n mov %r15, %rsp\n"
    "pushfq\n pop %rdx\n rol $7, %r13\n xor %rdx, %r13\n"
    "add $40, %rsi\n dec %r12d\n jnz 1b\n" GUEST_EXIT);
extern const uint8_t user_read[], user_add[], user_push[];

typedef struct Step {
    uint64_t read, read_flags, add, add_flags, push_sp;
} Step;

static uint64_t seed = 1;

static uint64_t random_number(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return seed >> 20;
}

static void *ram(uint64_t gpa)
{
    return guest_ram + gpa;
}

/* --- what is to come out ------------------------------------------------- */

typedef struct Model {
    bool user;
    uint64_t always;            /* flags */
    uint64_t r13, sp, cs, ss;
    uint8_t rights[N_PAGES];    /* 1: readable, 2: writable */
    uint64_t *words;            /* of the window */
    unsigned n_faults;
} Model;

static void mix(Model *m, uint64_t v)
{
    m->r13 = (m->r13 << 7 | m->r13 >> 57) ^ v;
}

static void touch(Model *m, uint64_t gva, bool write, uint64_t rip,
                  uint64_t flags, uint64_t sp)
{
    uint8_t *rights = &m->rights[(gva - WINDOW) >> 12];

    if (*rights & (write ? 2 : 1)) {
        return;
    }
    mix(m, gva);
    mix(m, (*rights ? 1 : 0) | (write ? 2 : 0) | (m->user ? 4 : 0));
    mix(m, rip);
    mix(m, m->cs);
    mix(m, flags | m->always | FL_RF);
    mix(m, sp);
    mix(m, m->ss);
    *rights |= write ? 3 : 1;
    m->n_faults++;
}

static uint64_t adc_flags(uint64_t a, uint64_t b, uint64_t flags)
{
    uint64_t cf = flags & FL_CF ? 1 : 0, r = a + b + cf;
    uint64_t fl = flags & ~(uint64_t)(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF
                                      | FL_OF);

    fl |= r < a || (cf && r == a) ? FL_CF : 0;
    fl |= __builtin_parity(r & 0xff) ? 0 : FL_PF;
    fl |= (a ^ b ^ r) & 0x10 ? FL_AF : 0;
    fl |= r ? 0 : FL_ZF;
    fl |= r >> 63 ? FL_SF : 0;
    fl |= ((a ^ r) & (b ^ r)) >> 63 ? FL_OF : 0;
    return fl;
}

static void model_step(Model *m, const Step *st)
{
    uint64_t flags, *word;

    touch(m, st->read, false, USER + (user_read - toucher), st->read_flags,
          m->sp);
    mix(m, st->read_flags | m->always);
    touch(m, st->add, true, USER + (user_add - toucher), st->add_flags, m->sp);
    word = &m->words[(st->add - WINDOW) / 8];
    flags = adc_flags(*word, 0x1234, st->add_flags);
    *word += 0x1234 + (st->add_flags & FL_CF ? 1 : 0);
    mix(m, flags | m->always);
    /* INC of -5 keeps CF. */
    flags &= ~(uint64_t)(FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF);
    flags |= FL_SF | FL_PF;
    touch(m, st->push_sp - 8, true, USER + (user_push - toucher), flags,
          st->push_sp);
    m->words[(st->push_sp - 8 - WINDOW) / 8] = 0x1234;
    mix(m, flags | m->always);
}

/* --- running ------------------------------------------------------------- */

static uint64_t random_flags(void)
{
    static const uint32_t bit[] = {
        FL_CF, FL_PF, FL_AF, FL_ZF, FL_SF, FL_OF, FL_DF, FL_ID, FL_AC,
    };
    uint64_t fl = 2, n = random_number();

    for (unsigned i = 0; i < G_N_ELEMENTS(bit); i++) {
        fl |= n >> i & 1 ? bit[i] : 0;
    }
    return n & 0x600 ? fl & ~(uint64_t)FL_AC : fl;
}

static void prepare(unsigned ist, uint64_t rsp0)
{
    X86State *s = guest_cpu(0)->state;
    uint64_t *t;

    guest_reset();
    GUEST_LOAD(USER, toucher);
    GUEST_LOAD(HANDLER, handler);
    guest_long(0, USER, TABLES);
    t = ram(TABLES);
    t[512 + 3] = PD | 7;
    *(uint64_t *)ram(PD) = PT | 7;
    guest_tables(0, GDT, IDT);
    t = ram(GDT);
    t[5] = UINT64_C(0x00cff3000000ffff);        /* level 3: data, code */
    t[6] = UINT64_C(0x00affb000000ffff);
    s->gdtr.limit = 0x37;
    guest_gate(IDT, EXC_PF, HANDLER);
    ((uint16_t *)ram(IDT + 16 * EXC_PF))[2] |= ist;
    s->tr = (X86Seg) { .selector = 0x38, .base = TSS, .limit = 0x67,
                       .attr = SEGA_P | 0xb };
    *(uint64_t *)ram(TSS + 4) = rsp0;
    *(uint64_t *)ram(TSS + 36) = IST1;
}

static void make_steps(Step *st)
{
    for (unsigned i = 0; i < N_STEPS; i++) {
        uint64_t page[3];

        for (unsigned k = 0; k < 3; k++) {
            page[k] = WINDOW + random_number() % N_PAGES * 4096
                      + random_number() % 511 * 8;
        }
        st[i] = (Step) { page[0], random_flags(), page[1], random_flags(),
                         page[2] + 8 };
    }
}

static void go(bool user, unsigned ist, uint64_t rsp0)
{
    X86State *s = guest_cpu(0)->state;
    /* At level 3 OUT wants IOPL, which POPF leaves alone there. */
    Model m = {
        .user = user, .always = user ? FL_IOPL : 0, .sp = STACK,
        .cs = user ? 0x33 : 8, .ss = user ? 0x2b : 0x10,
        .words = g_new0(uint64_t, N_PAGES * 512),
    };

    prepare(ist, rsp0);
    make_steps(ram(STEPS));
    if (user) {
        for (unsigned i = 0; i < N_SEG; i++) {
            s->seg[i].selector = i == SEG_CS ? 0x33 : 0x2b;
            s->seg[i].attr |= SEGA_DPL;
        }
    }
    s->gpr[R_RSP] = m.sp;
    s->rflags |= m.always;
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    for (unsigned i = 0; i < N_STEPS; i++) {
        model_step(&m, (Step *)ram(STEPS) + i);
    }
    guest_run(1);
    g_assert_cmpuint(*(uint32_t *)ram(0x20000), ==, m.n_faults);
    g_assert_cmphex(s->gpr[R_R13], ==, m.r13);
    g_assert_true(!memcmp(ram(FRAMES), m.words, N_PAGES * 4096));
    g_free(m.words);
}

static void test_levels(void)
{
    go(true, 0, RSP0);
    go(false, 1, RSP0);
}

static void test_stacks(void)
{
    go(true, 1, RSP0);
    go(true, 0, RSP0 + 8);
    go(true, 0, RSP0 + 0x20);
    go(true, 0, UINT64_C(0xffffffff80000000) + RSP0);
}

/* --- IRET ---------------------------------------------------------------- */

/* To BACK, at level 3 or 0 as CS in the frame says, which comes back by INT. */
GUEST_CODE(irets, "64",
    "mov $256, %r12d\n mov $0xc0000800, %esi\n xor %r13d, %r13d\n"
    ".globl irets_next\nirets_next: mov %rsi, %rsp\n add $0x1000, %rsi\n"
    ".globl irets_iret\nirets_iret: iretq\n"
    ".globl irets_back\nirets_back: dec %r12d\n jnz irets_next\n" GUEST_EXIT);
extern const uint8_t irets_iret[], irets_back[];
#define MIX(reg) "rol $7, %r13\n xor %" reg ", %r13\n"
GUEST_CODE(back, "64",
    "mov %rsp, %rdx\n mov $0x36000, %esp\n pushfq\n pop %rax\n"
    MIX("rax") MIX("rdx") "mov %cs, %eax\n" MIX("rax") "mov %ss, %eax\n"
    MIX("rax") "mov %gs, %eax\n" MIX("rax") "int $0x80\n");

static void test_iret(void)
{
    X86State *s = guest_cpu(0)->state;
    Model m = { .cs = 8, .ss = 0x10 };
    uint64_t kept = 0, gs = 3;

    prepare(1, RSP0);
    s->seg[SEG_GS] = (X86Seg) { .selector = gs, .attr = SEGA_NULL };
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    GUEST_LOAD(USER, irets);
    GUEST_LOAD(BACK, back);
    guest_gate(IDT, 0x80, USER + (irets_back - irets));
    ((uint16_t *)ram(IDT + 16 * 0x80))[2] |= 0x6000;
    for (unsigned i = 0; i < N_PAGES; i++) {
        uint64_t *f = ram(FRAMES + i * 4096 + 0x800);
        uint64_t at = WINDOW + i * 4096 + 0x800;
        bool user = random_number() & 1, null = random_number() & 1;

        f[0] = BACK;
        f[1] = user ? 0x33 : 8;
        f[2] = random_flags();
        f[3] = random_number();
        f[4] = user ? 0x2b : null ? 0 : 0x10;
        m.sp = at;
        /* Intel's read RFLAGS first. */
        touch(&m, at + (host_is_amd() ? 0 : 16), false,
              USER + (irets_iret - irets), kept | FL_PF | 2, at);
        mix(&m, f[2]);
        mix(&m, f[3]);
        mix(&m, f[1]);
        mix(&m, f[4]);
        gs = user ? 0 : gs;         /* which a null selector is there */
        mix(&m, gs);
        kept = f[2] & (FL_DF | FL_ID | FL_AC);
        m.ss = user ? 0 : f[4];
    }
    guest_run(1);
    g_assert_cmpuint(*(uint32_t *)ram(0x20000), ==, m.n_faults);
    g_assert_cmphex(s->gpr[R_R13], ==, m.r13);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    g_test_add_func("/tcg/paging/levels", test_levels);
    g_test_add_func("/tcg/paging/stacks", test_stacks);
    g_test_add_func("/tcg/paging/iret", test_iret);
    status = g_test_run();
    guest_free();
    return status;
}
