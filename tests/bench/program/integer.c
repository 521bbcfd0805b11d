/*
 * Rows of integer code: loops, pointers, calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rows.h"

#include <stdlib.h>

#define NOINLINE __attribute__((noinline, noclone))

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Primes below 256 Ki, a byte for each number. */
static uint64_t row_sieve(uint64_t n)
{
    enum { SIZE = 256 * 1024 };
    static uint8_t composite[SIZE];
    uint64_t found = 0;

    while (n--) {
        for (unsigned i = 0; i < SIZE; i++) {
            composite[i] = 0;
        }
        for (unsigned i = 2; i < SIZE; i++) {
            if (!composite[i]) {
                found++;
                for (unsigned j = 2 * i; j < SIZE; j += i) {
                    composite[j] = 1;
                }
            }
        }
    }
    return found;
}

/* CRC-32 by a table of 256 words, over 64 KiB. */
uint64_t row_crc(uint64_t n)
{
    enum { SIZE = 64 * 1024 };
    static uint32_t table[256];
    static uint8_t data[SIZE];
    uint32_t crc = ~0u, seed = 1;

    for (unsigned i = 0; i < 256; i++) {
        uint32_t c = i;

        for (unsigned k = 0; k < 8; k++) {
            c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
        }
        table[i] = c;
    }
    for (unsigned i = 0; i < SIZE; i++) {
        data[i] = next_random(&seed);
    }
    while (n--) {
        for (unsigned i = 0; i < SIZE; i++) {
            crc = table[(uint8_t)(crc ^ data[i])] ^ crc >> 8;
        }
    }
    return crc;
}

/* A ring through all 64-byte lines of 4 MiB, 65,536 steps a turn. */
static uint64_t row_chase(uint64_t n)
{
    enum { LINES = 65536, WORDS = 8 };
    uint64_t (*ring)[WORDS] = aligned_alloc(4096, LINES * sizeof(*ring));
    static uint32_t order[LINES];
    uint32_t seed = 7;
    uint64_t at = 0, sum = 0;

    if (!ring) {
        die("memory");
    }
    for (unsigned i = 0; i < LINES; i++) {
        order[i] = i;
    }
    for (unsigned i = LINES - 1; i > 0; i--) {
        unsigned j = next_random(&seed) % (i + 1);
        uint32_t t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
    for (unsigned i = 0; i < LINES; i++) {
        ring[order[i]][0] = order[(i + 1) % LINES];
    }
    while (n--) {
        for (unsigned i = 0; i < LINES; i++) {
            at = ring[at][0];
        }
        sum = sum * 31 + ring[at][0];
    }
    free(ring);
    return sum;
}

/* A stack machine with computed goto, counting what Collatz's rule does. */
enum {
    PUSH, DROP, ADD, MUL, AND1, SHR1, DUP, JZ, JMP, DEC, STORE, LOAD, JNE1, END
};

static NOINLINE uint64_t interpret(const int32_t *code, uint64_t *var)
{
    static const void *const go[] = {
        &&push, &&drop, &&add, &&mul, &&and1, &&shr1, &&dup, &&jz, &&jmp,
        &&dec, &&store, &&load, &&jne1, &&end,
    };
    uint64_t stack[16], *sp = stack;
    const int32_t *pc = code;

#define NEXT goto *go[*pc++]
    NEXT;
push:  *++sp = *pc++;                                     NEXT;
drop:  sp--;                                              NEXT;
add:   sp--; sp[0] += sp[1];                              NEXT;
mul:   sp--; sp[0] *= sp[1];                              NEXT;
and1:  sp[0] &= 1;                                        NEXT;
shr1:  sp[0] >>= 1;                                       NEXT;
dup:   sp++; sp[0] = sp[-1];                              NEXT;
jz:    pc = *sp-- ? pc + 1 : code + *pc;                  NEXT;
jmp:   pc = code + *pc;                                   NEXT;
dec:   sp[0]--;                                           NEXT;
store: var[*pc++] = *sp--;                                NEXT;
load:  *++sp = var[*pc++];                                NEXT;
jne1:  pc = *sp != 1 ? code + *pc : pc + 1;               NEXT;
end:   return var[1];
#undef NEXT
}

static uint64_t row_bytecode(uint64_t n)
{
    /* var 0: the number; 1: steps.  For 0 from 300 down to 2, until 1. */
    static const int32_t code[] = {
        /*  0 */ LOAD, 0,
        /*  2 */ DUP, AND1, JZ, 12,
        /*  6 */ PUSH, 3, MUL, PUSH, 1, ADD,
        /* 12 */ SHR1,
        /* 13 */ LOAD, 1, PUSH, 1, ADD, STORE, 1,
        /* 20 */ JNE1, 2,
        /* 22 */ DROP,
        /* 23 */ LOAD, 0, DEC, DUP, STORE, 0,
        /* 29 */ JNE1, 32,
        /* 31 */ END,
        /* 32 */ DROP, JMP, 0,
    };
    uint64_t sum = 0;

    while (n--) {
        uint64_t var[2] = { 300, 0 };

        sum = sum * 31 + interpret(code, var);
    }
    return sum;
}

static NOINLINE unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t row_recursion(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        sum += fib(22 + (n & 1));
    }
    return sum;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint64_t row_qsort(uint64_t n)
{
    enum { SIZE = 10000 };
    static uint32_t data[SIZE];
    uint32_t seed = 3;
    uint64_t sum = 0;

    while (n--) {
        for (unsigned i = 0; i < SIZE; i++) {
            data[i] = next_random(&seed);
        }
        qsort(data, SIZE, sizeof(data[0]), compare);
        sum = sum * 31 + data[SIZE / 3];
    }
    return sum;
}

const Row rows_integer[] = {
    { "sieve", row_sieve },
    { "crc", row_crc },
    { "chase", row_chase },
    { "bytecode", row_bytecode },
    { "recursion", row_recursion },
    { "qsort", row_qsort },
    { NULL },
};
