/*
 * Litmus tests: what several vCPUs may see of one another's stores.
 *
 * Spec: SDM volume 3A, 9.2 (memory ordering); the names are those of Alglave,
 *       Maranget, Tautschnig, "Herding cats", and Sewell et al., "x86-TSO".
 *
 * Each thread runs its few instructions on thousands of places one after the
 * other, every place fresh, and notes what it loaded.  Before each the threads
 * wait for one another, but only before the first for long: on a busy host the
 * other one may not be running at all.  The test then looks at each place: what
 * x86-TSO forbids is an error, what only a weaker order than sequential
 * consistency allows is counted.
 *
 * A place is four lines: X, Y, Z and one unused.  Stores of round n write 2n+1
 * and 2n+2, so whatever is smaller was there before: nothing need be cleared.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include <unistd.h>

enum { N_THREADS = 4, N_PLACES = 8192, PLACE_BYTES = 256 };
enum { CODE = 0x10000, CODE_STEP = 0x1000, PROGRESS = 0x20000, SPLIT = 0x30ffd,
       GDT = 0x38000, IDT = 0x39000, TABLES = 0x100000, PLACES = 0x400000,
       NOTES = 0x200000, NOTES_STEP = 0x20000 };

/*
 * One thread.  RSI: its place; RDI: its notes; EBX: 2n+1; ECX: places left;
 * R14: its progress; R15: another thread's.  A body loads to RAX and RDX and
 * may use EBP (2n+2), R8 to R11.
 */
#define THREAD(name, body)                                                  \
    GUEST_CODE(litmus_##name, "64",                                         \
        "mov $3000000, %r12d\n jmp 5f\n"                                    \
        "1: mov $300, %r12d\n 5: inc %r13d\n mov %r13d, (%r14)\n"           \
        "2: cmp %r13d, (%r15)\n jae 3f\n dec %r12d\n jnz 2b\n"              \
        "3: " body "\n"                                                     \
        "mov %rax, (%rdi)\n mov %rdx, 8(%rdi)\n"                            \
        "add $256, %rsi\n add $16, %rdi\n dec %ecx\n jnz 1b\n" GUEST_EXIT);

#define X "(%rsi)"
#define Y "64(%rsi)"

THREAD(wx_ry, "mov %rbx, " X "\n mov " Y ", %rax")
THREAD(wy_rx, "mov %rbx, " Y "\n mov " X ", %rax")
THREAD(wx_mfence_ry, "mov %rbx, " X "\n mfence\n mov " Y ", %rax")
THREAD(wy_mfence_rx, "mov %rbx, " Y "\n mfence\n mov " X ", %rax")
THREAD(wx_lock_ry, "mov %rbx, " X "\n lock orl $0, -8(%rsp)\n mov " Y ", %rax")
THREAD(wy_lock_rx, "mov %rbx, " Y "\n lock orl $0, -8(%rsp)\n mov " X ", %rax")
/* An exclusive section: two pages. */
THREAD(wx_split_ry, "mov %rbx, " X "\n lock incq 0x30ffd\n mov " Y ", %rax")
THREAD(wy_split_rx, "mov %rbx, " Y "\n lock incq 0x30ffd\n mov " X ", %rax")
THREAD(xx_ry, "mov %rbx, %r8\n xchg %r8, " X "\n mov " Y ", %rax")
THREAD(xy_rx, "mov %rbx, %r8\n xchg %r8, " Y "\n mov " X ", %rax")
/* Serializing instructions, and IN. */
#define BOTH(name, insns)                                                   \
    THREAD(wx_##name##_ry, "mov %rbx, " X "\n" insns "mov " Y ", %rax")     \
    THREAD(wy_##name##_rx, "mov %rbx, " Y "\n" insns "mov " X ", %rax")
#define MSR_KERNEL_GS_BASE "0xc0000102"
BOTH(cpuid, "mov %rbx, %r8\n mov %ecx, %r9d\n xor %eax, %eax\n cpuid\n"
            "mov %r9d, %ecx\n mov %r8, %rbx\n")
BOTH(iret, "mov %rsp, %r8\n mov %ss, %r9\n push %r9\n push %r8\n pushfq\n"
           "push $8\n lea 4f(%rip), %r9\n push %r9\n iretq\n 4: ")
BOTH(wrmsr, "mov %ecx, %r9d\n xor %eax, %eax\n xor %edx, %edx\n"
            "mov $" MSR_KERNEL_GS_BASE ", %ecx\n wrmsr\n mov %r9d, %ecx\n")
BOTH(invlpg, "invlpg (%rsp)\n")
BOTH(cr3, "mov %cr3, %r8\n mov %r8, %cr3\n")
BOTH(dr0, "mov %dr0, %r8\n mov %r8, %dr0\n")
BOTH(lidt, "sidt -16(%rsp)\n lidt -16(%rsp)\n")
BOTH(wbinvd, "wbinvd\n")
BOTH(serialize, ".byte 0x0f, 0x01, 0xe8\n")
BOTH(in, "in $0x80, %al\n")
/* One's own store is seen at once, the other's not before. */
THREAD(wx_rx_ry, "mov %rbx, " X "\n mov " X ", %rdx\n mov " Y ", %rax")
THREAD(wy_ry_rx, "mov %rbx, " Y "\n mov " Y ", %rdx\n mov " X ", %rax")
THREAD(wx_wy, "mov %rbx, " X "\n mov %rbx, " Y)
THREAD(ry_rx, "mov " Y ", %rax\n mov " X ", %rdx")
THREAD(rx_ry, "mov " X ", %rax\n mov " Y ", %rdx")
THREAD(rx_rx, "mov " X ", %rax\n mov " X ", %rdx")
THREAD(wx, "mov %rbx, " X)
THREAD(wy, "mov %rbx, " Y)
THREAD(rx_wy, "mov " X ", %rax\n mov %rbx, " Y)
THREAD(ry_wx, "mov " Y ", %rax\n mov %rbx, " X)
THREAD(wx_wy2, "mov %rbx, " X "\n mov %rbp, " Y)
THREAD(wy_wx2, "mov %rbx, " Y "\n mov %rbp, " X)
THREAD(wx2_wy, "mov %rbp, " X "\n mov %rbx, " Y)
THREAD(wy2_rx, "mov %rbp, " Y "\n mov " X ", %rax")
THREAD(wy2_mfence_rx, "mov %rbp, " Y "\n mfence\n mov " X ", %rax")
/* All of a line by a string instruction, then the flag. */
THREAD(stos_wy, "mov %rdi, %r8\n mov %ecx, %r9d\n mov %rbx, %rax\n"
       "mov %rsi, %rdi\n mov $8, %ecx\n rep stosq\n mov %rbx, " Y "\n"
       "mov %r9d, %ecx\n mov %r8, %rdi")
THREAD(ry_rx7, "mov " Y ", %rax\n mov 56" X ", %rdx")
/* By vectors, and by pieces of them. */
THREAD(wx_vector_wy, "movq %rbx, %xmm0\n punpcklqdq %xmm0, %xmm0\n"
       "movdqa %xmm0, " X "\n mov %rbx, " Y)
THREAD(ry_rx1, "mov " Y ", %rax\n mov 8" X ", %rdx")
/* Eight bytes anywhere in a line are written and read as one. */
THREAD(wx_unaligned, "mov %rbx, %r8\n shl $32, %r8\n or %rbx, %r8\n"
       "mov %r8, 51(%rsi)")
THREAD(rx_unaligned, "mov 51(%rsi), %rax\n mov %rax, %rdx\n shr $32, %rdx\n"
       "mov %eax, %eax")
/* Sixteen by CMPXCHG16B: both halves or none. */
#define SAVE16 "mov %rbx, %r8\n mov %ecx, %r9d\n"
#define LOAD16 "xor %eax, %eax\n xor %edx, %edx\n xor %ebx, %ebx\n"           \
    "xor %ecx, %ecx\n lock cmpxchg16b " X "\n"
#define BACK16 "mov %r8, %rbx\n mov %r9d, %ecx"
THREAD(wx_16, SAVE16 LOAD16 "mov %r8, %rbx\n mov %r8, %rcx\n"
       "4: lock cmpxchg16b " X "\n jne 4b\n" BACK16)
THREAD(rx_16, SAVE16 LOAD16 BACK16)

typedef struct {
    const uint8_t *code, *end;
} Thread;
#define T(name) { litmus_##name, litmus_##name##_end }

/* What the threads loaded at one place, and what is there at the end. */
typedef struct {
    uint64_t a[N_THREADS], d[N_THREADS];        /* RAX, RDX */
    uint64_t x, y;
    uint64_t one, two;                          /* what was stored */
} Outcome;

typedef enum { PLAIN, RELAXED, FORBIDDEN } Verdict;

typedef struct {
    const char *name;
    Thread thread[N_THREADS];
    Verdict (*judge)(const Outcome *o);
    bool must_relax;            /* seen on hardware all the time */
} Litmus;

/* Values of this round are "new". */
static bool is_new(const Outcome *o, uint64_t v)
{
    return v >= o->one;
}

static Verdict forbidden_if(bool bad)
{
    return bad ? FORBIDDEN : PLAIN;
}

/* --- judges: what x86-TSO says ---------------------------------------------------- */

static bool both_old(const Outcome *o)
{
    return !is_new(o, o->a[0]) && !is_new(o, o->a[1]);
}

static Verdict judge_sb(const Outcome *o)
{
    return both_old(o) ? RELAXED : PLAIN;
}

static Verdict judge_sb_fenced(const Outcome *o)
{
    return forbidden_if(both_old(o));
}

static Verdict judge_sb_forward(const Outcome *o)
{
    return o->d[0] != o->one || o->d[1] != o->one ? FORBIDDEN : judge_sb(o);
}

/* The second thread loads the flag, then what it announces. */
static Verdict judge_mp(const Outcome *o)
{
    return forbidden_if(is_new(o, o->a[1]) && !is_new(o, o->d[1]));
}

static Verdict judge_lb(const Outcome *o)
{
    return forbidden_if(is_new(o, o->a[0]) && is_new(o, o->a[1]));
}

/* Two readers agree on the order of two writers' stores. */
static Verdict judge_iriw(const Outcome *o)
{
    return forbidden_if(is_new(o, o->a[2]) && !is_new(o, o->d[2])
                        && is_new(o, o->a[3]) && !is_new(o, o->d[3]));
}

static Verdict judge_wrc(const Outcome *o)
{
    return forbidden_if(is_new(o, o->a[1]) && is_new(o, o->a[2])
                        && !is_new(o, o->d[2]));
}

static Verdict judge_2_2w(const Outcome *o)
{
    return forbidden_if(o->x == o->one && o->y == o->one);
}

static Verdict judge_r(const Outcome *o)
{
    return o->y == o->two && !is_new(o, o->a[1]) ? RELAXED : PLAIN;
}

static Verdict judge_r_fenced(const Outcome *o)
{
    return forbidden_if(judge_r(o) == RELAXED);
}

static Verdict judge_s(const Outcome *o)
{
    return forbidden_if(o->x == o->two && is_new(o, o->a[1]));
}

static Verdict judge_coherence(const Outcome *o)
{
    return forbidden_if(o->a[1] > o->d[1]);
}

static Verdict judge_halves(const Outcome *o)
{
    return forbidden_if(o->a[1] != o->d[1]);
}

static const Litmus all[] = {
    { "sb", { T(wx_ry), T(wy_rx) }, judge_sb, true },
    { "sb-mfence", { T(wx_mfence_ry), T(wy_mfence_rx) }, judge_sb_fenced },
    { "sb-lock", { T(wx_lock_ry), T(wy_lock_rx) }, judge_sb_fenced },
    { "sb-split-lock", { T(wx_split_ry), T(wy_split_rx) }, judge_sb_fenced },
    { "sb-xchg", { T(xx_ry), T(xy_rx) }, judge_sb_fenced },
    { "sb-cpuid", { T(wx_cpuid_ry), T(wy_cpuid_rx) }, judge_sb_fenced },
    { "sb-iret", { T(wx_iret_ry), T(wy_iret_rx) }, judge_sb_fenced },
    { "sb-wrmsr", { T(wx_wrmsr_ry), T(wy_wrmsr_rx) }, judge_sb_fenced },
    { "sb-invlpg", { T(wx_invlpg_ry), T(wy_invlpg_rx) }, judge_sb_fenced },
    { "sb-cr3", { T(wx_cr3_ry), T(wy_cr3_rx) }, judge_sb_fenced },
    { "sb-dr0", { T(wx_dr0_ry), T(wy_dr0_rx) }, judge_sb_fenced },
    { "sb-lidt", { T(wx_lidt_ry), T(wy_lidt_rx) }, judge_sb_fenced },
    { "sb-wbinvd", { T(wx_wbinvd_ry), T(wy_wbinvd_rx) }, judge_sb_fenced },
    { "sb-serialize", { T(wx_serialize_ry), T(wy_serialize_rx) }, judge_sb_fenced },
    { "sb-in", { T(wx_in_ry), T(wy_in_rx) }, judge_sb_fenced },
    { "sb-one-fence", { T(wx_mfence_ry), T(wy_rx) }, judge_sb },
    { "sb-forward", { T(wx_rx_ry), T(wy_ry_rx) }, judge_sb_forward },
    { "mp", { T(wx_wy), T(ry_rx) }, judge_mp },
    { "mp-stos", { T(stos_wy), T(ry_rx7) }, judge_mp },
    { "mp-vector", { T(wx_vector_wy), T(ry_rx1) }, judge_mp },
    { "lb", { T(rx_wy), T(ry_wx) }, judge_lb },
    { "iriw", { T(wx), T(wy), T(rx_ry), T(ry_rx) }, judge_iriw },
    { "wrc", { T(wx), T(rx_wy), T(ry_rx) }, judge_wrc },
    { "2+2w", { T(wx_wy2), T(wy_wx2) }, judge_2_2w },
    { "r", { T(wx_wy), T(wy2_rx) }, judge_r },
    { "r-mfence", { T(wx_wy), T(wy2_mfence_rx) }, judge_r_fenced },
    { "s", { T(wx2_wy), T(ry_wx) }, judge_s },
    { "coherence", { T(wx), T(rx_rx) }, judge_coherence },
    { "unaligned", { T(wx_unaligned), T(rx_unaligned) }, judge_halves },
    { "cmpxchg16b", { T(wx_16), T(rx_16) }, judge_halves },
};

/* --- running ------------------------------------------------------------------------ */

static unsigned thread_count(const Litmus *l)
{
    unsigned n = 0;

    while (n < N_THREADS && l->thread[n].code) {
        n++;
    }
    return n;
}

static void start(unsigned i, unsigned n, uint64_t one)
{
    uint64_t *gpr = guest_cpu(i)->state->gpr;

    guest_long(i, CODE + CODE_STEP * i, TABLES);
    guest_tables(i, GDT, IDT);
    gpr[R_RSI] = PLACES;
    gpr[R_RDI] = NOTES + NOTES_STEP * i;
    gpr[R_RBX] = one;
    gpr[R_RBP] = one + 1;
    gpr[R_RCX] = N_PLACES;
    gpr[R_R13] = 0;
    gpr[R_R14] = PROGRESS + 64 * i;
    gpr[R_R15] = PROGRESS + 64 * ((i + 1) % n);
}

static Outcome outcome(unsigned place, unsigned n, uint64_t one)
{
    const uint64_t *vars = (uint64_t *)(guest_ram + PLACES
                                        + PLACE_BYTES * place);
    Outcome o = { .x = vars[0], .y = vars[8], .one = one, .two = one + 1 };

    for (unsigned i = 0; i < n; i++) {
        const uint64_t *note = (uint64_t *)(guest_ram + NOTES + NOTES_STEP * i
                                            + 16 * place);

        o.a[i] = note[0];
        o.d[i] = note[1];
    }
    return o;
}

static void fail(const Litmus *l, const Outcome *o)
{
    for (unsigned i = 0; i < thread_count(l); i++) {
        g_printerr("thread %u: rax %" PRIu64 " rdx %" PRIu64 "\n", i, o->a[i],
                   o->d[i]);
    }
    g_error("%s: x86-TSO forbids this; x %" PRIu64 " y %" PRIu64 ", stored "
            "were %" PRIu64 " and %" PRIu64, l->name, o->x, o->y, o->one,
            o->two);
}

static void test_litmus(const void *opaque)
{
    const Litmus *l = opaque;
    unsigned n = thread_count(l), rounds = 0;
    uint64_t n_relaxed = 0;
    bool must_relax = l->must_relax && g_test_slow()
                      && sysconf(_SC_NPROCESSORS_ONLN) > 1;
    int64_t begin = g_get_monotonic_time();
    int64_t until = begin + (g_test_slow() ? 10 : 0.05) * G_TIME_SPAN_SECOND;
    int64_t until_relaxed = begin + G_TIME_SPAN_MINUTE;

    guest_reset();
    for (unsigned i = 0; i < n; i++) {
        guest_load(CODE + CODE_STEP * i, l->thread[i].code, l->thread[i].end);
    }
    do {
        uint64_t one = 2 * rounds + 1;

        memset(guest_ram + PROGRESS, 0, 64 * n);
        for (unsigned i = 0; i < n; i++) {
            start(i, n, one);
        }
        guest_run(n);
        for (unsigned p = 0; p < N_PLACES; p++) {
            Outcome o = outcome(p, n, one);
            Verdict v = l->judge(&o);

            n_relaxed += v == RELAXED;
            if (v == FORBIDDEN) {
                fail(l, &o);
            }
        }
        rounds++;
    } while (g_get_monotonic_time() < until
             || (must_relax && !n_relaxed
                 && g_get_monotonic_time() < until_relaxed));
    g_test_message("%u places, %" PRIu64 " relaxed", rounds * N_PLACES,
                   n_relaxed);
    /* One core runs one vCPU after the other, and shows nothing; with two, not
     * to see it would mean that the threads never met. */
    if (must_relax) {
        g_assert_cmpuint(n_relaxed, >, 0);
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(N_THREADS);
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        g_autofree char *path = g_strdup_printf("/tcg/litmus/%s", all[i].name);

        g_test_add_data_func(path, &all[i], test_litmus);
    }
    status = g_test_run();
    guest_free();
    return status;
}
