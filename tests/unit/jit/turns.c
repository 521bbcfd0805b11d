/*
 * A case of turns.h is made, run and compared.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "turns.h"

#include <stdlib.h>

void turns_put(Case *k, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        k->code[k->n++] = v >> (8 * i);
    }
}

void turns_pages(Case *k)
{
    for (unsigned i = 0; i < 512; i++) {
        k->pt[i] = DATA + i * PAGE_BYTES;
    }
    for (unsigned i = 0; i < 300; i++) {    /* the rest stay together */
        unsigned a = below(512), b = below(512);
        uint64_t page = k->pt[a];

        k->pt[a] = k->pt[b];
        k->pt[b] = page;
    }
    for (unsigned i = 0; i < 512; i++) {
        k->pt[i] |= 3;
    }
    for (unsigned i = below(4); i--; ) {
        k->pt[256 + below(40) - 12] &= ~UINT64_C(3) | below(2);
    }
}

GUEST_CODE(turns_fault, "64",
    "and $~0x10, %rsp\n 0: andl $~0x10, 0x18(%rsp)\n andl $~0x10, 0x10(%rsp)\n"
    "mov $1, %al\n" GUEST_EXIT);

/* Another page that loops jump out to. */
GUEST_CODE(turns_far, "64",
    "pushf\n pop %rax\n and $~0x10, %al\n push %rax\n lea 8(%rsp), %rsp\n"
    GUEST_EXIT);

static uint8_t first_data[DATA_BYTES];

void turns_run(const Case *k, uint32_t threshold, Outcome *o)
{
    X86State *s = guest_cpu(0)->state;
    uint64_t *pd;

    jit_options.threshold = threshold;
    memset(guest_ram + STACK - STACK_BYTES, 0, STACK_BYTES);
    memcpy(guest_ram + DATA, first_data, DATA_BYTES);
    guest_load(CODE, k->code, k->code + k->n);
    GUEST_LOAD(HANDLER, turns_fault);
    GUEST_LOAD(FAR, turns_far);
    guest_long(0, CODE, TABLES);
    memcpy(guest_ram + PT, k->pt, sizeof(k->pt));
    pd = (uint64_t *)(guest_ram + TABLES + 0x2000);
    memset(pd + 1, 0, 511 * sizeof(*pd));       /* nothing else in reach */
    pd[DATA / (2 * MiB)] = PT | 3;
    guest_tables(0, GDT, IDT);
    for (unsigned i = 0; i < 32; i++) {
        guest_gate(IDT, i, HANDLER);
    }
    memcpy(s->gpr, k->gpr, sizeof(k->gpr));
    s->gpr[R_RSP] = STACK;
    guest_vectors(0, k->mxcsr, first_data);
    o->exit = guest_run(1);
    memcpy(o->gpr, s->gpr, sizeof(o->gpr));
    o->cr2 = s->cr2;
    o->mxcsr = s->mxcsr;
    for (unsigned i = 0; i < 4; i++) {
        memcpy(o->xmm[i], &s->vec[i], 16);
    }
    memcpy(o->stack, guest_ram + STACK - STACK_BYTES, STACK_BYTES);
    memcpy(o->data, guest_ram + DATA, DATA_BYTES);
}

void turns_tell(const Case *k, const Outcome *want, const Outcome *got)
{
    GString *hex = g_string_new(NULL);

    for (unsigned i = 0; i < k->n; i++) {
        g_string_append_printf(hex, "%02x", k->code[i]);
    }
    g_test_message("code: %s", hex->str);
    for (unsigned i = 0; i < 16; i++) {
        g_test_message("gpr %u: at first %" PRIx64 ", %" PRIx64
                       ", translated %" PRIx64, i, k->gpr[i], want->gpr[i],
                       got->gpr[i]);
    }
    g_test_message("exit %u %u, CR2 %" PRIx64 " %" PRIx64 ", MXCSR %x %x %x",
                   want->exit, got->exit, want->cr2, got->cr2, k->mxcsr,
                   want->mxcsr, got->mxcsr);
    for (unsigned i = 0; i < STACK_BYTES; i++) {
        if (want->stack[i] != got->stack[i]) {
            g_test_message("stack -%x: %02x, translated %02x",
                           STACK_BYTES - i, want->stack[i], got->stack[i]);
        }
    }
    for (unsigned i = 0, n = 0; i < DATA_BYTES && n < 8; i++) {
        if (want->data[i] != got->data[i]) {
            g_test_message("data +%x: %02x, translated %02x", i,
                           want->data[i], got->data[i]);
            n++;
        }
    }
    g_test_fail();
    g_string_free(hex, true);
}

void turns_data(void)
{
    for (unsigned i = 0; i < sizeof(first_data); i++) {
        first_data[i] = rnd() >> 40;
    }
}

void turns_random(void (*make)(Case *k), unsigned n, unsigned soon)
{
    static Outcome want, got;
    static Case k;
    const char *rounds = g_getenv("RHEA_TEST_ROUNDS");
    const char *seed = g_getenv("RHEA_TEST_SEED");
    unsigned n_bad = 0;

    n *= rounds ? atoi(rounds) : 1;
    rnd_seed(seed ? strtoull(seed, NULL, 0) : 0);
    turns_data();
    guest_reset();
    for (unsigned i = 0; i < n && n_bad < 3; i++) {
        make(&k);
        turns_run(&k, UINT32_MAX, &want);
        turns_run(&k, below(soon) ? 20 : 0, &got);
        if (memcmp(&want, &got, sizeof(want))) {
            turns_tell(&k, &want, &got);
            n_bad++;
        }
    }
}
