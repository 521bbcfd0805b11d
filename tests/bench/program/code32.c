/*
 * The benchmark program's 32-bit part: sieve, table CRC, recursion, as 32-bit
 * compilers make them.  Freestanding, so that no 32-bit libraries are needed.
 *
 * code32 N: does its work N times; the exit status is a checksum below 127.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#define NOINLINE __attribute__((noinline, noclone))

enum { SIZE = 64 * 1024 };
static uint8_t composite[SIZE];
static uint32_t table[256];

static NOINLINE uint32_t sieve(void)
{
    uint32_t found = 0;

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
    return found;
}

static NOINLINE uint32_t crc32(uint32_t crc)
{
    for (unsigned i = 0; i < SIZE; i++) {
        crc = table[(uint8_t)(crc ^ composite[i])] ^ crc >> 8;
    }
    return crc;
}

static NOINLINE uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t number(const char *s)
{
    uint32_t n = 0;

    while (*s) {
        n = n * 10 + (uint32_t)(*s++ - '0');
    }
    return n;
}

__attribute__((noreturn)) static void leave(uint32_t status)
{
    for (;;) {
        __asm__ volatile("int $0x80" :: "a"(1), "b"(status));
    }
}

__attribute__((used, noreturn)) static void begin(uint32_t *stack)
{
    uint32_t n = stack[0] > 1 ? number((char *)stack[2]) : 1, sum = 0;

    for (unsigned i = 0; i < 256; i++) {
        uint32_t c = i;

        for (unsigned k = 0; k < 8; k++) {
            c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
        }
        table[i] = c;
    }
    while (n--) {
        sum = sum * 31 + sieve();
        sum = crc32(sum);
        sum += fib(20);
    }
    leave(sum % 127);
}

__asm__(".globl _start\n"
        "_start: mov %esp, %eax\n"
        "        and $-16, %esp\n"
        "        sub $12, %esp\n"
        "        push %eax\n"
        "        call begin\n");
