/*
 * Loops whose accesses are known ahead, translated and interpreted: registers,
 * memory, flags and faults must agree.
 *
 * A case is a loop inside a loop.  Bases and indices move by constants,
 * forwards and backwards, or stay, or are bounded; pages lie in random order,
 * now and then one is missing or read-only, so that faults come in the middle
 * of a run; now and then floating-point exceptions are unmasked.
 * RHEA_TEST_ROUNDS multiplies the number of cases, RHEA_TEST_SEED changes
 * them, RHEA_TEST_ACCEL adds options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "turns.h"

/* --- a case ---------------------------------------------------------- */

static void put(Case *k, uint64_t v, unsigned n)
{
    turns_put(k, v, n);
}

/* What registers are for.  RCX counts turns, R13 outer turns. */
static const uint8_t bases[] = { R_RSI, R_RDI, R_RBX, R_R9, R_R14 };
static const uint8_t indices[] = { R_RBP, R_R8, R_R10 };
static const uint8_t values[] = { R_RAX, R_RDX, R_R11, R_R12 };

/* Opcode (with 0F, and 66, F3 or F2 before) of reg, rm; ModRM of a memory operand
 * or a register. */
static void put_op(Case *k, unsigned prefix, uint32_t opc, bool wide,
                   unsigned reg, bool mem, unsigned rm)
{
    unsigned rex = 0x40 | (wide ? 8 : 0) | (reg & 8) >> 1, base, index, at;
    unsigned scale = below(4), form = below(8);

    base = ANY(bases);
    index = ANY(indices);
    if (prefix) {
        put(k, prefix, 1);
    }
    at = k->n;
    put(k, rex, 1);
    if (opc > 0xff) {
        put(k, opc >> 8, 1);
    }
    put(k, opc & 0xff, 1);
    reg = (reg & 7) << 3;
    if (!mem) {
        k->code[at] |= rm >> 3;
        put(k, 0xc0 | reg | (rm & 7), 1);
    } else if (form < 4) {                  /* [base + disp8] */
        k->code[at] |= base >> 3;
        put(k, 0x40 | reg | (base & 7), 1);
        put(k, below(2) ? 16 * below(4) : below(256), 1);
    } else if (form < 7) {                  /* [base + index * s + disp32] */
        k->code[at] |= base >> 3 | (index & 8) >> 2;
        put(k, 0x80 | reg | 4, 1);
        put(k, scale << 6 | (index & 7) << 3 | (base & 7), 1);
        put(k, below(2) ? 16 * below(16) : below(5000) - 2500, 4);
    } else if (below(2)) {                  /* absolute */
        put(k, reg | 4, 1);
        put(k, 0x25, 1);
        put(k, MIDDLE + below(8192), 4);
    } else {                                /* RIP-relative */
        put(k, reg | 5, 1);
        put(k, MIDDLE + below(8192) - CODE, 4);
    }
}

static void put_insn(Case *k)
{
    /* ADD, ADC, SUB, CMP, MOV; then MOVZX, MOVSX, IMUL. */
    static const uint8_t alu[] = { 0x00, 0x02, 0x10, 0x12, 0x28, 0x2a, 0x38,
                                   0x3a, 0x88, 0x8a };
    static const uint8_t table[] = { 0x03, 0x33, 0x2b, 0x01, 0x8b, 0x89 };
    static const uint16_t ext[] = { 0xfb6, 0xfb7, 0xfbe, 0xfbf };
    static const uint32_t sse[] = { 0x66006f, 0x66007f, 0xf3006f, 0xf3007f,
                                    0x000010, 0x000011, 0x000058, 0xf20059,
                                    0xf3005e, 0x6600fe, 0xf30010, 0xf20011,
                                    0x00005c, 0x660028 };
    unsigned reg = ANY(values);

    switch (below(9)) {
    case 8:                                 /* a table of words */
        put(k, 0xc0b60f44 | (reg & 7) << 24, 4);    /* movzx r8d, reg */
        k->code[k->n - 4] |= reg >> 3;
        put(k, 0x43 | (reg & 8) >> 1, 1);
        put(k, ANY(table), 1);              /* op reg, [r9 + r8 * 4] */
        put(k, 0x04 | (reg & 7) << 3, 1);
        put(k, 0x81, 1);
        break;
    case 0: case 1: case 2:
        put_op(k, below(8) ? 0 : 0x66, ANY(alu) | (below(4) != 0), below(2),
               reg, below(3), ANY(values));
        break;
    case 3:
        put_op(k, 0, ANY(ext), below(2), reg, below(2), ANY(values));
        break;
    case 4:                                 /* inc, dec */
        put_op(k, 0, 0xff, below(2), below(2), below(2), ANY(values));
        break;
    case 5:                                 /* setcc, cmovcc */
        if (below(2)) {
            put_op(k, 0, 0xf90 | below(16), false, 0, below(2), ANY(values));
        } else {
            put_op(k, 0, 0xf40 | below(16), below(2), reg, below(2),
                   ANY(values));
        }
        break;
    default: {
        uint32_t op = ANY(sse);

        put_op(k, op >> 16, 0xf00 | (op & 0xff), false, below(4), below(3),
               below(4));
        break;
    }
    }
}

static void put_move(Case *k, unsigned reg, bool wide, int by)
{
    unsigned rex = 0x40 | (wide ? 8 : 0);

    switch (below(4)) {
    case 0:
        put(k, rex | reg >> 3, 1);          /* sub reg, -by */
        put(k, 0x81, 1);
        put(k, 0xe8 | (reg & 7), 1);
        put(k, -by, 4);
        break;
    case 1:
        put(k, rex | reg >> 3 | (reg & 8) >> 1, 1);     /* lea */
        put(k, 0x8d, 1);
        put(k, 0x80 | (reg & 7) << 3 | (reg & 7), 1);
        if ((reg & 7) == 4) {
            put(k, 0x24, 1);
        }
        put(k, by, 4);
        break;
    default:
        put(k, rex | reg >> 3, 1);          /* add reg, by */
        put(k, 0x81, 1);
        put(k, 0xc0 | (reg & 7), 1);
        put(k, by, 4);
        break;
    }
}

/* Forwards or backwards. */
static int any_step(void)
{
    static const int16_t steps[] = { 1, 2, 4, 8, 16, 16, 16, 32, 24, 100, 256,
                                     300, -1, -4, -8, -16, -16, -40, -256 };

    return ANY(steps);
}

/* How an index changes: by a constant, in 64 or 32 bits, or bounded. */
static void put_index(Case *k, unsigned reg)
{
    unsigned from = ANY(values);

    switch (below(6)) {
    case 0:
        put_move(k, reg, true, any_step());
        break;
    case 1:
        put_move(k, reg, false, 1 + below(9));
        break;
    case 2:                                 /* movzx reg, byte of `from` */
        put(k, 0x40 | (reg & 8) >> 1 | from >> 3, 1);
        put(k, 0xb60f, 2);
        put(k, 0xc0 | (reg & 7) << 3 | (from & 7), 1);
        break;
    case 3:                                 /* add reg, from; and reg, 63 */
        put(k, 0x40 | (from & 8) >> 1 | reg >> 3, 1);
        put(k, 0x01, 1);
        put(k, 0xc0 | (from & 7) << 3 | (reg & 7), 1);
        put(k, 0x40 | reg >> 3, 1);
        put(k, 0x83, 1);
        put(k, 0xe0 | (reg & 7), 1);
        put(k, 63, 1);
        break;
    case 4:                                 /* mov reg, esi's like; no */
        put(k, 0x40 | (reg & 8) >> 1, 1);
        put(k, 0x89, 1);                    /* mov ecx, reg: its low half */
        put(k, 0xc8 | (reg & 7), 1);
        k->code[k->n - 3] = 0x40 | reg >> 3;
        break;
    }
}

static void make_case(Case *k)
{
    unsigned outer, top, exits[2], n_exits = 0, n = 2 + below(9);
    bool table = below(3);      /* at R9, maybe in two pages */

    k->n = 0;
    outer = k->n;
    put(k, 0xb9, 1);                        /* mov ecx, turns */
    put(k, 1 + below(below(3) ? 40 : 700), 4);
    top = k->n;
    for (unsigned i = 0; i < n; i++) {
        if (!below(4)) {
            unsigned base = ANY(bases);

            put_move(k, table && base == R_R9 ? R_RSI : base, true,
                     any_step());
        } else if (!below(5)) {
            put_index(k, ANY(indices));
        }
        put_insn(k);
        if (n_exits < 2 && !below(12)) {    /* out of the loop */
            put(k, 0x800f | below(16) << 8, 2);
            exits[n_exits++] = k->n;
            put(k, 0, 4);
        }
    }
    switch (below(3)) {
    case 0: put(k, 0xe983, 2); put(k, 1, 1); break;     /* sub ecx, 1 */
    case 1: put(k, 0xc9ff, 2); break;                   /* dec ecx */
    default: put(k, 0xff498d, 3); put(k, 0xc985, 2); break; /* lea, test */
    }
    put(k, 0x850f, 2);                      /* jnz top */
    put(k, top - (k->n + 4), 4);
    while (n_exits--) {
        uint32_t to = below(2) ? k->n : FAR - CODE;
        uint32_t rel = to - (exits[n_exits] + 4);

        memcpy(k->code + exits[n_exits], &rel, 4);
    }
    put(k, 0x9c, 1);                        /* pushf */
    put(k, 0x58, 1);                        /* pop rax */
    put(k, 0x24, 1);                        /* and al, ~AF */
    put(k, 0xef, 1);
    put(k, 0x50, 1);                        /* push rax; lea rsp, [rsp + 8] */
    put(k, 0x0824648d48, 5);
    put(k, 0xcdff41, 3);                    /* dec r13d */
    put(k, 0x850f, 2);
    put(k, outer - (k->n + 4), 4);
    put(k, 0xfeebf4e6, 4);                  /* out %al, $0xf4; jmp . */

    for (unsigned i = 0; i < 16; i++) {
        k->gpr[i] = rnd();
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++) {
        k->gpr[bases[i]] = MIDDLE + (below(2) ? 16 * below(4096)
                                              : below(65536));
    }
    if (table) {
        k->gpr[R_R9] = MIDDLE + PAGE_BYTES * below(16) - 16 * below(64);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(indices); i++) {
        k->gpr[indices[i]] = below(4) ? below(256) : -(uint64_t)below(256);
    }
    k->gpr[R_R13] = 1 + below(4);
    k->mxcsr = below(3) ? 0x1f80 : 0x1f80 & ~(1 << (7 + below(6)));
    turns_pages(k);
}

static void test_random(void)
{
    turns_random(make_case, 400, 2);
}

static void test_nests(void)
{
    turns_random(nest_case, 400, 16);
}

/*
 * The page that empty slots name, read before flags are set, after, and through
 * an addend in a borrowed register: #GP with everything as it was.
 */
GUEST_CODE(turns_empty, "64",
    "mov %cr3, %rax\n mov %rax, %cr3\n cmp $5, %edx\n"
    "1: mov (%rbx), %rax\n add $8, %rbx\n add %r14, %rdx\n"
    "sub $1, %ecx\n jnz 1b\n" GUEST_EXIT);
GUEST_CODE(turns_empty_2, "64",
    "mov %cr3, %rax\n mov %rax, %cr3\n"
    "1: add (%rsi), %r14\n add (%rdi), %r10\n add %r11, %r15\n"
    "mov (%rbx,%r9,8), %rax\n add $1, %r9\n sub $1, %ecx\n jnz 1b\n"
    GUEST_EXIT);

static void test_empty_slot(void)
{
    static Outcome want, got;
    static Case k;

    guest_reset();
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *code = i & 1 ? turns_empty_2 : turns_empty;

        make_case(&k);
        k.n = (i & 1 ? turns_empty_2_end : turns_empty_end) - code;
        memcpy(k.code, code, k.n);
        for (unsigned n = 0; n < 512; n++) {
            k.pt[n] |= 3;
        }
        k.gpr[R_RBX] = UINT64_C(0x8000000000000100);
        k.gpr[R_RSI] = k.gpr[R_RDI] = MIDDLE;
        k.gpr[R_R9] = 0;
        k.gpr[R_RDX] = i < 2 ? 3 : 7;           /* CF, or not */
        k.gpr[R_RCX] = 40;
        turns_run(&k, UINT32_MAX, &want);
        turns_run(&k, 0, &got);
        g_assert_cmpuint(want.exit, ==, 1);
        g_assert_cmphex(want.gpr[R_RCX], ==, 40);
        if (memcmp(&want, &got, sizeof(want))) {
            turns_tell(&k, &want, &got);
        }
    }
}

/* --- code that is overwritten --------------------------------------- */

/* Stores walk up to the loop itself and make it count by three. */
GUEST_CODE(turns_own, "64",
    "lea 1f(%rip), %rdi\n sub $4000, %rdi\n mov $1004, %esi\n"
    "xor %edx, %edx\n jmp 1f\n .align 64\n"
    "1: .rept 4\n lea 1(%rdx), %edx\n nop\n .endr\n"
    "movl $0x9003528d, (%rdi)\n add $4, %rdi\n sub $1, %esi\n jnz 1b\n"
    GUEST_EXIT);

static void test_own_code(void)
{
    uint64_t rdx = 0;

    for (unsigned k = 0; k < 3; k++) {
        guest_reset();
        GUEST_LOAD(CODE, turns_own);
        guest_long(0, CODE, TABLES);
        jit_options.threshold = k == 0 ? UINT32_MAX : k == 1 ? 0 : 20;
        guest_run(1);
        rdx = k ? rdx : guest_env(0)->s.gpr[R_RDX];
        g_assert_cmphex(guest_env(0)->s.gpr[R_RDX], ==, rdx);
    }
    g_assert_cmpuint(rdx, >, 4 * 1004);
}

/* --- ways out in the middle ------------------------------------------- */

/* To another page, with flags that registers without homes were compared for. */
GUEST_CODE(turns_way_out, "64",
    "mov $0x2f000, %esp\n mov $0x600000, %esi\n mov $1000, %ecx\n"
    "mov $5, %r10d\n mov $0x12345, %r14d\n xor %ebx, %ebx\n"
    "1: add (%rsi), %rax\n add $8, %rsi\n add $7, %r10\n"
    "cmp %r14, %r10\n ja 8f\n sub $3, %r14\n"
    "sub $1, %ecx\n jnz 1b\n mov $0x1111, %ebx\n" GUEST_EXIT
    ".skip 4096\n 8: pushfq\n pop %rbx\n" GUEST_EXIT);

static void test_way_out(void)
{
    for (unsigned first = 100; first < 12000; first += 397) {
        uint64_t want[2] = { 0 };

        for (unsigned k = 0; k < 3; k++) {
            const uint64_t *gpr = guest_env(0)->s.gpr;

            guest_reset();
            GUEST_LOAD(CODE, turns_way_out);
            /* The immediate of MOV R14D: how many turns there are. */
            memcpy(guest_ram + CODE + 5 + 5 + 5 + 6 + 2, &first, 4);
            guest_long(0, CODE, TABLES);
            jit_options.threshold = k == 0 ? UINT32_MAX : k == 1 ? 0 : 20;
            guest_run(1);
            want[0] = k ? want[0] : gpr[R_RBX];
            want[1] = k ? want[1] : gpr[R_RSI];
            g_assert_cmphex(gpr[R_RBX], ==, want[0]);
            g_assert_cmphex(gpr[R_RSI], ==, want[1]);
        }
    }
}

/* --- stopping ----------------------------------------------------------- */

/* A loop without end stops when it is told to, in the middle of its turns. */
GUEST_CODE(turns_endless, "64",
    "mov $0x600000, %esi\n xor %ebx, %ebx\n"
    "1: mov %rbx, 8(%rsi)\n add $1, %rbx\n cmp $-1, %rbx\n jne 1b\n"
    GUEST_EXIT);
GUEST_CODE(turns_other, "64",
    "mov $0x600008, %esi\n mov (%rsi), %rdi\n add $100000, %rdi\n"
    "1: cmp %rdi, (%rsi)\n jb 1b\n" GUEST_EXIT);

static void test_stop(void)
{
    uint64_t before = 0;

    jit_options.threshold = 0;
    guest_reset();
    GUEST_LOAD(CODE, turns_endless);
    GUEST_LOAD(CODE + 0x1000, turns_other);
    guest_long(0, CODE, TABLES);
    guest_long(1, CODE + 0x1000, TABLES);
    for (unsigned k = 0; k < 20; k++) {
        g_assert_cmphex(guest_run(1), ==, 0);
        g_assert_cmpuint(guest_env(0)->s.gpr[R_RBX], >, before);
        before = guest_env(0)->s.gpr[R_RBX];
        guest_long(1, CODE + 0x1000, TABLES);
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    if (guest_init_jit(2)) {
        g_test_add_func("/jit/turns/random", test_random);
        g_test_add_func("/jit/turns/nests", test_nests);
        g_test_add_func("/jit/turns/empty_slot", test_empty_slot);
        g_test_add_func("/jit/turns/own_code", test_own_code);
        g_test_add_func("/jit/turns/way_out", test_way_out);
        g_test_add_func("/jit/turns/stop", test_stop);
    }
    status = g_test_run();
    guest_free();
    return status;
}
