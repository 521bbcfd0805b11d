/*
 * Every right of a page against a second opinion: random tables of 4 levels,
 * pages of three sizes, accesses of both kinds of program in every mode, and
 * what the error code, CR2 and the A and D bits say afterwards.
 *
 * Tables are changed with INVLPG; CR0.WP, CR4.SMAP, RFLAGS.AC and PKRU are
 * changed without, for the processor looks at them at each access.
 *
 * Spec: Intel SDM volume 3A chapter 4 (4.5 to 4.8).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

#define BIT(n) (UINT64_C(1) << (n))
enum { N_TABLES = 20000, N_ACCESSES = 8 };
enum { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128 };
#define NX BIT(63)
enum { READ, WRITE, FETCH };
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };
#define CR0_WP BIT(16)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define EFER_NXE BIT(11)
#define EFER_MSR 0xc0000080
#define TEST_GVA UINT64_C(0x8000000000)         /* PML4 entry 1 */
#define USER_GVA UINT64_C(0x10000000000)        /* PML4 entry 2 */
/* What TEST_GVA maps, aligned to any page: its first byte is a RET, and writes
 * leave it one. */
#define TARGET UINT64_C(0)

extern uint64_t page_root[];
extern uint8_t access_code[], access_end[];

/* tables[0] is the PDPT of TEST_GVA, then PD and PT; those of USER_GVA. */
static uint64_t tables[6][512] __attribute__((aligned(4096)));
static uint8_t user_page[4096] __attribute__((aligned(4096)));
static bool has_smep, has_smap, has_pku, has_1g, has_nx;
static unsigned phys_bits;

/* --- one access ------------------------------------------------------------------ */

asm(".text\n"
    "access_code: cmp $1, %esi\n ja 2f\n je 1f\n"
    "mov (%rdi), %al\n int $0x80\n"
    "1: mov %al, (%rdi)\n int $0x80\n"
    "2: call *%rdi\n int $0x80\n"
    "access_end:\n");

static volatile uint64_t resume, resume_rsp, result, error, cr2;

static void on_event(Frame *f)
{
    result = f->vector;
    error = f->error;
    cr2 = READ_CR(2);
    f->rip = resume;
    f->rsp = resume_rsp;
    f->cs = SEL_CODE;
    f->ss = SEL_DATA;
    f->rflags = 2;
}

/* 14 for a page fault, 80h for none. */
static unsigned access(bool user, unsigned kind, bool ac)
{
    uint64_t flags = 2 | (ac ? BIT(18) : 0);

    asm volatile(
        "lea 1f(%%rip), %%rax\n mov %%rax, %[resume]\n mov %%rsp, %[rsp]\n"
        "mov $0xc3, %%eax\n test %[user], %[user]\n jnz 2f\n"
        "push %[flags]\n popfq\n jmp access_code\n"
        "2: push %[ss]\n push %[stack]\n push %[flags]\n push %[cs]\n"
        "push %[entry]\n iretq\n 1:"
        : [resume] "=m"(resume), [rsp] "=m"(resume_rsp)
        : "D"(TEST_GVA), "S"(kind), [user] "r"((uint32_t)user),
          [flags] "r"(flags), [ss] "i"(SEL_USER_DATA), [cs] "i"(SEL_USER),
          [stack] "r"(USER_GVA + 4096), [entry] "r"(USER_GVA)
        : "rax", "memory", "cc");
    return result;
}

/* --- the second opinion ------------------------------------------------------------ */

typedef struct Mode {
    bool wp, smep, smap, pke, nxe, ac, user;
    unsigned kind;
    uint32_t pkru;
} Mode;

/* The error code that `m` gets on a walk of entries e[4] down to the leaf at
 * `last`, or -1. */
static int expected(const uint64_t *e, unsigned last, const Mode *m)
{
    int code = (m->kind == WRITE ? PF_W : 0) | (m->user ? PF_U : 0)
               | (m->kind == FETCH && (m->nxe || m->smep) ? PF_I : 0);
    bool user = true, write = true, no_exec = false, bad = false, keyed = false;

    for (unsigned level = 4; level >= last; level--) {
        uint64_t v = e[level], rsvd = BIT(51);

        if (!(v & P)) {
            return code;
        }
        rsvd |= m->nxe ? 0 : NX;
        rsvd |= level == 4 || (level == 3 && !has_1g) ? PS : 0;
        rsvd |= level == last && level > 1 ? BIT(13) : 0;
        if (v & rsvd) {
            return code | PF_P | PF_RSVD;
        }
        user &= !!(v & U);
        write &= !!(v & W);
        no_exec |= !!(v & NX);
    }
    if (m->kind == FETCH) {
        bad = no_exec || (m->user ? !user : user && m->smep);
    } else {
        unsigned key = m->pkru >> (e[last] >> 59 & 15) * 2 & 3;

        bad = m->user ? !user : user && m->smap && !m->ac;
        bad |= m->kind == WRITE && !write && (m->user || m->wp);
        keyed = m->pke && user
                && ((key & 1) || (m->kind == WRITE && (key & 2)
                                  && (m->user || m->wp)));
    }
    return bad || keyed ? code | PF_P | (keyed ? PF_PK : 0) : -1;
}

/* --- random tables ------------------------------------------------------------------ */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static bool one_in(unsigned n)
{
    return rnd() % n == 0;
}

static uint64_t *slot(unsigned level)
{
    return level == 4 ? &page_root[1] : &tables[3 - level][0];
}

/* Returns the level of the leaf. */
static unsigned make_tables(uint64_t *e)
{
    unsigned last = has_1g && one_in(8) ? 3 : one_in(3) ? 2 : 1;

    for (unsigned level = 4; level >= last; level--) {
        uint64_t v = level == last ? TARGET : (uint64_t)slot(level - 1);

        v |= one_in(20) ? 0 : P;
        v |= one_in(4) ? 0 : W;
        v |= one_in(4) ? 0 : U;
        v |= one_in(8) && has_nx ? NX : 0;
        v |= rnd() & (A | (level == last ? D : 0));
        v |= level == last && level > 1 ? PS : 0;
        v |= one_in(50) ? BIT(51) : 0;
        v |= one_in(50) && level == 4 ? PS : 0;
        v |= one_in(50) && level == last && level > 1 ? BIT(13) : 0;
        v |= level == last && has_pku ? (rnd() & 15) << 59 : 0;
        v |= (rnd() & 7) << 52;         /* ignored bits */
        e[level] = *slot(level) = v;
    }
    return last;
}

static void set_mode(Mode *m, bool all)
{
    static uint64_t cr0, cr4, efer;
    uint64_t cr4_now;

    if (!cr0) {
        cr0 = READ_CR(0) & ~CR0_WP;
        cr4 = READ_CR(4) & ~(CR4_SMEP | CR4_SMAP | CR4_PKE);
        efer = rdmsr(EFER_MSR) & ~EFER_NXE;
    }
    if (all) {
        m->nxe = has_nx && !one_in(4);
        m->smep = has_smep && one_in(2);
        m->pke = has_pku && one_in(2);
        wrmsr(EFER_MSR, efer | (m->nxe ? EFER_NXE : 0));
    }
    m->wp = one_in(2);
    m->smap = has_smap && one_in(2);
    m->ac = has_smap && one_in(2);
    m->user = one_in(2);
    m->kind = rnd() % 3;
    m->pkru = m->pke ? rnd() & rnd() & ~3u : 0;    /* 0 is the stack's key */
    WRITE_CR(0, cr0 | (m->wp ? CR0_WP : 0));
    cr4_now = cr4 | (m->smep ? CR4_SMEP : 0) | (m->smap ? CR4_SMAP : 0)
              | (m->pke ? CR4_PKE : 0);
    if (READ_CR(4) != cr4_now) {
        WRITE_CR(4, cr4_now);
    }
    if (m->pke) {
        asm volatile("wrpkru" : : "a"(m->pkru), "c"(0), "d"(0) : "memory");
    }
}

static bool one_table(void)
{
    uint64_t e[5];
    unsigned last = make_tables(e);
    Mode m = { 0 };

    invlpg(TEST_GVA);
    for (unsigned i = 0; i < N_ACCESSES; i++) {
        uint64_t before = *slot(last), after;
        unsigned got;
        int want;
        bool ok;

        set_mode(&m, i == 0);
        if (i == 0) {
            invlpg(TEST_GVA);           /* NXE need not do it */
        }
        want = expected(e, last, &m);
        got = access(m.user, m.kind, m.ac);
        after = *slot(last);
        if (want < 0) {
            ok = got == 0x80
                 && after == (before | A | (m.kind == WRITE ? D : 0));
            for (unsigned level = 4; level > last; level--) {
                ok &= !!(*slot(level) & A);
            }
        } else {
            ok = got == 14 && error == (uint64_t)want && cr2 == TEST_GVA
                 && after == before;
        }
        if (!ok) {
            print("# leaf at level %u, kind %u, user %u, wp %u, smep %u, "
                  "smap %u, ac %u, pke %u, nxe %u\n", last, m.kind, m.user,
                  m.wp, m.smep, m.smap, m.ac, m.pke, m.nxe);
            for (unsigned level = 4; level >= last; level--) {
                print("# level %u: 0x%lx\n", level, e[level]);
            }
            print("# leaf before 0x%lx, after 0x%lx; vector %u error 0x%lx "
                  "cr2 0x%lx, expected %d\n", before, after, got, error, cr2,
                  want);
            return false;
        }
    }
    return true;
}

int main(void)
{
    uint32_t r[4];
    unsigned bad = 0;

    cpuid(7, 0, r);
    has_smep = r[1] >> 7 & 1;
    has_smap = r[1] >> 20 & 1;
    has_pku = r[2] >> 3 & 1;
    cpuid(0x80000001, 0, r);
    has_1g = r[3] >> 26 & 1;
    has_nx = r[3] >> 20 & 1;
    cpuid(0x80000008, 0, r);
    phys_bits = r[0] & 0xff;
    check(phys_bits < 52, "bit 51 of an entry is reserved");

    asm volatile("movb $0xc3, %a0" : : "i"(TARGET) : "memory");
    for (uint8_t *p = access_code; p < access_end; p++) {
        user_page[p - access_code] = *p;
    }
    page_root[2] = (uint64_t)tables[3] | P | W | U;
    tables[3][0] = (uint64_t)tables[4] | P | W | U;
    tables[4][0] = (uint64_t)tables[5] | P | W | U;
    tables[5][0] = (uint64_t)user_page | P | W | U;
    set_gate(0x80, 3, 0);
    handlers[14] = handlers[0x80] = on_event;
    for (unsigned i = 0; i < N_TABLES && bad < 5; i++) {
        bad += !one_table();
    }
    check(bad == 0, "rights, error codes, CR2, A and D of %u tables",
          N_TABLES);
    return 0;
}
