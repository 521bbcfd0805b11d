/*
 * The emulator's side: the same addresses as a user program's in a guest
 * without devices.
 *
 * The guest's kernel is a page of HLT: each vector's gate leads to one of them,
 * so that a run ends halted, the exception's frame on the kernel's stack.  The
 * gate at which cases end is the child's, and leads to where nothing is here:
 * #PF there is the end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "accel/tcg/jit/jit.h"
#include "../unit/tcg/guest.h"

enum {                          /* physical */
    GPA_TABLES = 0x100000, GPA_KERNEL = 0x200000, GPA_CODE = 0x400000,
    GPA_DATA = 0x500000, GPA_GATE = 0x600000,
};
/* The kernel: one page each. */
#define KERNEL UINT64_C(0xffff800000000000)
enum { K_HLT = 0, K_GDT = 0x1000, K_IDT = 0x2000, K_TSS = 0x3000,
       K_STACK = 0x4000, K_STACK_TOP = 0x5000, K_BYTES = 0x5000 };

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX (UINT64_C(1) << 63)

static uint64_t next_table = GPA_TABLES + DIFF_PAGE;

/* --- the address space ------------------------------------------------------------ */

static void map_page(uint64_t gva, uint64_t gpa, uint64_t rights)
{
    uint64_t table = GPA_TABLES;

    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *e = (uint64_t *)(guest_ram + table) + (gva >> shift & 511);

        if (!*e) {
            *e = next_table | PTE_P | PTE_W | PTE_U | PTE_A;
            next_table += DIFF_PAGE;
        }
        table = *e & ~UINT64_C(0xfff);
    }
    ((uint64_t *)(guest_ram + table))[gva >> 12 & 511] =
        gpa | PTE_P | PTE_A | PTE_D | rights;
}

static void map_range(uint64_t gva, uint64_t gpa, uint64_t n, uint64_t rights)
{
    for (uint64_t i = 0; i < n; i += DIFF_PAGE) {
        map_page(gva + i, gpa + i, rights);
    }
}

/* Descriptors as Linux has them for programs; the others are not for them. */
static void make_tables(void)
{
    uint64_t *gdt = (uint64_t *)(guest_ram + GPA_KERNEL + K_GDT);
    uint16_t *idt = (uint16_t *)(guest_ram + GPA_KERNEL + K_IDT);
    uint64_t stack = KERNEL + K_STACK_TOP;

    gdt[1] = UINT64_C(0x00cf9b000000ffff);
    gdt[2] = UINT64_C(0x00af9b000000ffff);      /* kernel code */
    gdt[3] = UINT64_C(0x00cf93000000ffff);
    gdt[4] = UINT64_C(0x00cffb000000ffff);      /* 23h */
    gdt[5] = UINT64_C(0x00cff3000000ffff);      /* 2Bh */
    gdt[6] = UINT64_C(0x00affb000000ffff);      /* 33h */
    gdt[15] = UINT64_C(0x0040f50000000000)      /* 7Bh: its limit tells which */
              | native_cpu();                   /* processor this is */
    for (unsigned v = 0; v < 256; v++) {
        uint64_t to = KERNEL + K_HLT + v;
        uint16_t *g = idt + 8 * v;

        g[0] = to;
        g[1] = 0x10;
        g[2] = v == EXC_BP || v == EXC_OF ? 0xee00 : 0x8e00;
        g[3] = to >> 16;
        memcpy(g + 4, (uint8_t *)&to + 4, 4);
    }
    memcpy(guest_ram + GPA_KERNEL + K_TSS + 4, &stack, 8);
    guest_ram[GPA_KERNEL + K_TSS + 102] = 104;  /* no I/O map */
    memset(guest_ram + GPA_KERNEL + K_HLT, 0xf4, 257);
}

/*
 * What does not end: after some time of this thread's processor in the same run
 * a signal sets what the run loop polls.  The interpreter comes first and gets
 * little; who runs the case after it is given as much as it takes.
 */
enum { TICK_NS = 4000000, TICKS_FIRST = 2, TICKS_AFTER = 1000 };
static uint32_t running;        /* (A) counts runs; odd: inside */
static uint32_t ticks_left;

static void on_timer(int sig)
{
    static uint32_t last;
    uint32_t now = __atomic_load_n(&running, __ATOMIC_ACQUIRE);
    Env *env = guest_env(0);

    if (now == last && now & 1 && ticks_left && --ticks_left == 0) {
        __atomic_or_fetch(&guest_cpu(0)->pending, CPU_PEND_EXIT,
                          __ATOMIC_SEQ_CST);
        __atomic_store_n(&env->jit_go, 0, __ATOMIC_SEQ_CST);
    }
    last = now;
}

static void start_timer(void)
{
    struct sigevent e = { .sigev_notify = SIGEV_THREAD_ID,
                          .sigev_signo = SIGRTMIN };
    struct itimerspec each = { { .tv_nsec = TICK_NS }, { .tv_nsec = TICK_NS } };
    timer_t timer;

    signal(SIGRTMIN, on_timer);
    e._sigev_un._tid = syscall(SYS_gettid);
    g_assert_cmpint(timer_create(CLOCK_THREAD_CPUTIME_ID, &e, &timer), ==, 0);
    timer_settime(timer, 0, &each, NULL);
}

void guest_side_init(void)
{
    X86State *s;

    guest_reset();
    map_range(KERNEL, GPA_KERNEL, K_BYTES, PTE_W);
    map_range(DIFF_CODE, GPA_CODE, CODE_BYTES, PTE_U);
    map_range(DIFF_DATA, GPA_DATA, RW_BYTES, PTE_U | PTE_W | PTE_NX);
    map_range(DIFF_DATA + RW_BYTES, GPA_DATA + RW_BYTES, DIFF_PAGE,
              PTE_U | PTE_NX);
    map_page(DIFF_GATE, GPA_GATE, PTE_U);
    native_make_gate(guest_ram + GPA_GATE);
    gen_read_only(guest_ram + GPA_DATA + RW_BYTES);
    make_tables();

    s = guest_cpu(0)->state;
    s->cr3 = GPA_TABLES;
    s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE
             | CR4_DE | CR4_UMIP | CR4_OSXSAVE;
    s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG | CR0_AM | CR0_MP;
    s->xcr0 = native_avx || __builtin_cpu_supports("avx") ? 7 : 3;
    s->gdtr = (X86Table) { KERNEL + K_GDT, 127 };
    s->idtr = (X86Table) { KERNEL + K_IDT, 0xfff };
    s->tr = (X86Seg) { .selector = 0x40, .base = KERNEL + K_TSS, .limit = 103,
                       .attr = SEGA_P | 11 };
    s->ldtr = (X86Seg) { .attr = SEGA_NULL };
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    start_timer();
}

void guest_side_code(const DiffCase *const *cases, unsigned n)
{
    static uint8_t buf[CODE_BYTES];

    for (unsigned i = 0; i < n; i++) {
        memcpy(buf + slot_address(cases[i]->slot) - DIFF_CODE, cases[i]->code,
               cases[i]->n_code);
    }
    as_write(&as_memory, GPA_CODE, buf, CODE_BYTES);
    native_code(buf);
}

/* --- state ------------------------------------------------------------------------ */

static X86Seg flat(uint64_t selector, uint64_t base)
{
    static const uint16_t data = SEGA_P | SEGA_S | SEGA_DPL | SEGA_W | SEGA_A
                                 | SEGA_DB | SEGA_G;
    uint16_t code = data | SEGA_CODE;

    if (!(selector & ~3)) {
        return (X86Seg) { .selector = selector, .base = base,
                          .attr = SEGA_NULL };
    }
    return (X86Seg) {
        .selector = selector, .limit = UINT32_MAX, .base = base,
        .attr = selector == SEL_CS64 ? (code & ~SEGA_DB) | SEGA_L
                : selector == SEL_CS32 ? code : data,
    };
}

static void load_state(X86State *s, const DiffState *in)
{
    const uint8_t *b = in->xs;

    memcpy(s->gpr, in->gpr, sizeof(in->gpr));
    s->gpr[R_ZERO] = 0;
    s->rip = in->rip;
    s->rflags = in->rflags;
    s->seg[SEG_CS] = flat(in->cs, 0);
    s->seg[SEG_SS] = flat(in->ss, 0);
    s->seg[SEG_DS] = flat(in->ds, 0);
    s->seg[SEG_ES] = flat(in->es, 0);
    s->seg[SEG_FS] = flat(in->fs, in->fs_base);
    s->seg[SEG_GS] = flat(in->gs, in->gs_base);
    s->cr2 = 0;
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->fcw = load_le16(b);
    s->fsw = load_le16(b + 2);
    s->ftw = b[4];
    s->fop = s->fcs = s->fds = 0;
    s->fip = s->fdp = 0;
    s->mxcsr = load_le32(b + 24);
    for (unsigned i = 0; i < 8; i++) {
        X86Fp *r = &s->fpr[((s->fsw >> 11) + i) & 7];

        memset(r, 0, sizeof(*r));
        memcpy(r, b + XS_ST + 16 * i, 10);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&s->vec[i].q[0], b + XS_XMM + 16 * i, 16);
        memcpy(&s->vec[i].q[2], b + XS_YMM + 16 * i, 16);
    }
    s->interrupt_shadow = 0;
    s->halted = false;
}

static void store_state(const X86State *s, DiffState *out)
{
    uint8_t *b = out->xs;

    memcpy(out->gpr, s->gpr, sizeof(out->gpr));
    out->ds = s->seg[SEG_DS].selector;
    out->es = s->seg[SEG_ES].selector;
    out->fs = s->seg[SEG_FS].selector;
    out->gs = s->seg[SEG_GS].selector;
    out->fs_base = s->seg[SEG_FS].base;
    out->gs_base = s->seg[SEG_GS].base;
    memset(b, 0, sizeof(out->xs));
    store_le16(b, s->fcw);
    store_le16(b + 2, s->fsw);
    b[4] = s->ftw;
    store_le32(b + 24, s->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(b + XS_ST + 16 * i, &s->fpr[((s->fsw >> 11) + i) & 7], 10);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(b + XS_XMM + 16 * i, &s->vec[i].q[0], 16);
        memcpy(b + XS_YMM + 16 * i, &s->vec[i].q[2], 16);
    }
    store_le64(b + XS_BV, 7);
}

/* What the exception pushed. */
static void store_frame(const X86State *s, DiffState *out)
{
    unsigned n = (KERNEL + K_STACK_TOP - s->gpr[R_RSP]) / 8;
    uint64_t frame[6] = { 0 };
    uint64_t *f = frame;

    out->vector = s->rip - KERNEL - K_HLT - 1;
    if (n != 5 && n != 6) {
        out->vector = V_STUCK;
        return;
    }
    memcpy(frame, guest_ram + GPA_KERNEL + K_STACK_TOP - 8 * n, 8 * n);
    out->error = n == 6 ? *f++ : 0;
    out->rip = f[0];
    out->cs = f[1];
    out->rflags = f[2];
    out->gpr[R_RSP] = f[3];
    out->ss = f[4];
    out->cr2 = s->cr2;
    if (out->vector == EXC_PF && out->cs == SEL_CS64
        && out->rip == native_end()) {
        out->vector = V_END;
        out->rip = DIFF_GATE;
        out->error = out->cr2 = 0;
    }
}

/* --- a run -------------------------------------------------------------------------- */

void guest_side_run(const DiffCase *c, bool jit, DiffResult *out)
{
    X86Cpu *cpu = guest_cpu(0);
    Env *env = cpu->accel_data;
    CpuRun run;

    memset(&out->s, 0, sizeof(out->s));
    gen_memory(c, guest_ram + GPA_DATA);
    load_state(&env->s, &c->in);
    env_set_rflags(env, env->s.rflags);
    env->exc_vector = -1;
    env->exc_canonical = false;
    env->exit = 0;
    if (c->seed >> 60 == 0) {
        cpu->accel->put_state(cpu);     /* with empty TLBs */
    }
    jit_options.threshold = jit ? 0 : UINT32_MAX;
    cpu_clear_pending(cpu, CPU_PEND_EXIT | CPU_PEND_WORK);
    ticks_left = jit ? TICKS_AFTER : TICKS_FIRST;
    __atomic_add_fetch(&running, 1, __ATOMIC_RELEASE);
    run = cpu->accel->run(cpu);
    __atomic_add_fetch(&running, 1, __ATOMIC_RELEASE);
    cpu->accel->get_state(cpu);
    store_state(&env->s, &out->s);
    if (run == CPU_RUN_HALT) {
        store_frame(&env->s, &out->s);
    } else {
        out->s.vector = V_STUCK;
    }
    memcpy(out->data, guest_ram + GPA_DATA, RW_BYTES);
}
