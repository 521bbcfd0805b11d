/*
 * Strings and bits of strings near the ends of pages, of every operand size,
 * against a model: memory, registers, CF.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, CASES = 0x180000, DATA = 0x200000,
    DATA_BYTES = 0x8000, N_CASES = 200,
};

typedef struct Case {
    uint64_t rsi, rdi, rcx, rax;
} Case;

static uint8_t model[DATA_BYTES];

static Case *cases(void)
{
    return (Case *)(guest_ram + CASES);
}

/* One case after the other: what comes out is left in its place. */
GUEST_CODE(head, "64",
    "mov $0x180000, %ebx\n mov $200, %ebp\n"
    "1: mov (%rbx), %rsi\n mov 8(%rbx), %rdi\n mov 16(%rbx), %rcx\n"
    "mov 24(%rbx), %rax\n");
GUEST_CODE(tail, "64",
    "setc %dl\n mov %rsi, (%rbx)\n mov %rdi, 8(%rbx)\n mov %rcx, 16(%rbx)\n"
    "mov %dl, 24(%rbx)\n add $32, %rbx\n dec %ebp\n"
    ".byte 0x0f, 0x85\n");                      /* jnz back */

static void load(const uint8_t *op, unsigned n)
{
    static const uint8_t end[] = { 0xe6, 0xf4, 0xeb, 0xfe };
    unsigned n_head = head_end - head, n_tail = tail_end - tail;
    uint64_t at = CODE;
    int32_t back;

    memcpy(guest_ram + at, head, n_head);
    memcpy(guest_ram + at + n_head, op, n);
    memcpy(guest_ram + at + n_head + n, tail, n_tail);
    at += n_head + n + n_tail;
    back = (int32_t)(CODE + 10 - (at + 4));     /* past the two MOVs */
    memcpy(guest_ram + at, &back, 4);
    memcpy(guest_ram + at + 4, end, sizeof(end));
}

/* Anywhere, but most of all around a page's end. */
static uint64_t place(void)
{
    unsigned page = 2 + g_random_int() % 4;

    return DATA + page * 0x1000
           + (g_random_int() & 3 ? g_random_int_range(-80, 80)
                                 : g_random_int_range(0, 0x1000));
}

static void begin(const uint8_t *op, unsigned n)
{
    guest_reset();
    load(op, n);
    for (unsigned i = 0; i < DATA_BYTES; i++) {
        model[i] = guest_ram[DATA + i] = g_random_int();
    }
}

static void run(void)
{
    guest_long(0, CODE, TABLES);
    guest_run(1);
    g_assert_cmpint(memcmp(guest_ram + DATA, model, DATA_BYTES), ==, 0);
}

/* --- strings ------------------------------------------------------------- */

static void string_model(Case *k, bool movs, unsigned size, bool rep, bool down)
{
    int64_t by = down ? -(int64_t)size : size;

    for (uint64_t n = rep ? k->rcx : 1; n; n--) {
        const void *from = movs ? (void *)&model[k->rsi - DATA] : &k->rax;
        uint64_t v = 0;

        memcpy(&v, from, size);
        memcpy(&model[k->rdi - DATA], &v, size);
        k->rsi += movs ? by : 0;
        k->rdi += by;
        k->rcx -= rep;
    }
}

static void run_string(bool movs, unsigned size, bool rep, bool down)
{
    Case want[N_CASES];
    uint8_t op[4];
    unsigned n = 0;

    op[n++] = down ? 0xfd : 0xfc;
    if (rep) {
        op[n++] = 0xf3;
    }
    if (size == 2 || size == 8) {
        op[n++] = size == 2 ? 0x66 : 0x48;
    }
    op[n++] = (movs ? 0xa4 : 0xaa) | (size > 1);
    begin(op, n);
    for (unsigned i = 0; i < N_CASES; i++) {
        uint64_t count = i % 8 ? g_random_int() % 40
                         : g_random_int() % (0x1001 / size);

        want[i] = (Case) { place(), place(), count,
                           g_random_int() * UINT64_C(0x100000001) };
        cases()[i] = want[i];
    }
    for (unsigned i = 0; i < N_CASES; i++) {
        string_model(&want[i], movs, size, rep, down);
    }
    run();
    for (unsigned i = 0; i < N_CASES; i++) {
        g_assert_cmphex(cases()[i].rsi, ==, want[i].rsi);
        g_assert_cmphex(cases()[i].rdi, ==, want[i].rdi);
        g_assert_cmphex(cases()[i].rcx, ==, want[i].rcx);
    }
}

static void test_strings(void)
{
    for (unsigned kind = 0; kind < 32; kind++) {
        run_string(kind & 1, 1 << (kind >> 1 & 3), kind & 8, kind & 16);
    }
}

/* --- bits ---------------------------------------------------------------- */

enum { TEST, SET, RESET, COMPLEMENT };

static void run_bits(unsigned what, unsigned size, bool lock)
{
    static const uint8_t opcode[] = { 0xa3, 0xab, 0xb3, 0xbb };
    bool want[N_CASES];
    uint8_t op[5];
    unsigned n = 0;

    if (lock) {
        op[n++] = 0xf0;
    }
    if (size != 4) {
        op[n++] = size == 2 ? 0x66 : 0x48;
    }
    op[n++] = 0x0f;
    op[n++] = opcode[what];
    op[n++] = 1 << 3 | 6;                       /* [rsi], rcx */
    begin(op, n);
    for (unsigned i = 0; i < N_CASES; i++) {
        int64_t index = g_random_int_range(-8000, 8000);
        uint64_t at = place();
        uint8_t *byte = &model[at - DATA + (index >> 3)];
        uint8_t bit = 1 << (index & 7);

        cases()[i] = (Case) {
            at, 0, (uint64_t)index ^ (size < 8 ? UINT64_C(1) << 40 : 0), 0,
        };
        want[i] = *byte & bit;
        *byte = what == SET ? *byte | bit : what == RESET ? *byte & ~bit
                : what == COMPLEMENT ? *byte ^ bit : *byte;
    }
    run();
    for (unsigned i = 0; i < N_CASES; i++) {
        g_assert_cmpuint(cases()[i].rax & 0xff, ==, want[i]);
    }
}

static void test_bits(void)
{
    for (unsigned what = TEST; what <= COMPLEMENT; what++) {
        for (unsigned size = 2; size <= 8; size *= 2) {
            run_bits(what, size, false);
            if (what != TEST) {
                run_bits(what, size, true);
            }
        }
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    g_random_set_seed(1);
    guest_init(1);
    g_test_add_func("/tcg/ops/strings", test_strings);
    g_test_add_func("/tcg/ops/bits", test_bits);
    status = g_test_run();
    guest_free();
    return status;
}
