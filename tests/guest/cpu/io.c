/*
 * Instructions whose operands are I/O: each must read and write as if it were
 * memory, over the end of a page too, and even hold code.
 *
 * Spec: Intel SDM volume 2.  The memory is pc-testdev's, 64 KiB of storage that
 * is reached by callbacks only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

#define IO UINT64_C(0xff000000)
enum { LATCH = 0xe0 };

static volatile uint64_t *const io = (volatile uint64_t *)IO;
static uint8_t ram[4096] __attribute__((aligned(4096)));

static void arithmetic(void)
{
    io[0] = 0x1234;
    asm("orl $0x8001, %0" : "+m"(io[0]));
    check(io[0] == 0x9235, "OR");
    asm("addw $2, %0" : "+m"(io[0]));
    check(io[0] == 0x9237, "ADD");
    asm("stc\n adcb $0xff, %0" : "+m"(io[0]));
    check(io[0] == 0x9237, "ADC");
    asm("negq %0" : "+m"(io[0]));
    check(io[0] == (uint64_t)-0x9237, "NEG");
    asm("notl %0" : "+m"(io[0]));
    check(io[0] == 0xffffffff00009236, "NOT");
    asm("lock incq %0" : "+m"(io[0]));
    check(io[0] == 0xffffffff00009237, "LOCK INC");
    asm("lock btsl $0, 4%0\n lock btcl $31, 4%0" : "+o"(io[0]));
    check(io[0] == 0x7fffffff00009237, "LOCK BTS, BTC");
    asm("shll $4, %0" : "+m"(io[0]));
    check(io[0] == 0x7fffffff00092370, "SHL");
    asm("shldl $8, %1, %0" : "+m"(io[0]) : "r"(0xab000000));
    check(io[0] == 0x7fffffff092370ab, "SHLD");
    io[1] = 0x0fedcba987654321;
    uint64_t a = 0x1122334455667788;

    asm volatile("xchgw %w0, %1" : "+r"(a), "+m"(io[1]));
    check(a == 0x1122334455664321 && io[1] == 0x0fedcba987657788, "XCHG");
    a = 1;
    asm volatile("lock xaddl %k0, %1" : "+r"(a), "+m"(io[1]));
    check(a == 0x87657788 && io[1] == 0x0fedcba987657789, "LOCK XADD");
    uint64_t old = 0x0fedcba987657789;

    asm volatile("lock cmpxchgq %2, %1" : "+a"(old), "+m"(io[1]) : "r"(7l));
    check(io[1] == 7, "LOCK CMPXCHG, equal");
    asm volatile("lock cmpxchgq %2, %1" : "+a"(old), "+m"(io[1]) : "r"(9l));
    check(io[1] == 7 && old == 7, "LOCK CMPXCHG, not equal");
    uint64_t lo = 0x7fffffff092370ab, hi = 7;

    asm volatile("lock cmpxchg16b %2" : "+a"(lo), "+d"(hi), "+m"(io[0])
                 : "b"(0x11l), "c"(0x22l));
    check(io[0] == 0x11 && io[1] == 0x22, "LOCK CMPXCHG16B");
    io[0] = 51;
    asm("imulq $-3, %1, %0" : "=r"(a) : "m"(io[0]));
    check(a == (uint64_t)-153, "IMUL");
    a = 1000;
    asm("divl %1" : "+a"(a) : "m"(io[0]), "d"(0));
    check((uint32_t)a == 19, "DIV");
    io[0] = 0xc000;
    asm("bsrq %1, %0" : "=r"(a) : "m"(io[0]));
    check(a == 15, "BSR");
    asm("movsbq 1(%1), %0" : "=r"(a) : "r"(io) : "memory");
    check(a == (uint64_t)-64, "MOVSX");
    asm volatile("movnti %0, %1" : : "r"(0x55aal), "m"(io[2]));
    check(io[2] == 0x55aa, "MOVNTI");
}

static void stack(void)
{
    uint64_t a = 0, sp = IO + 0x800, after;

    asm volatile("mov %%rsp, %%r14\n mov %[sp], %%rsp\n push $-7\n"
                 "pushw $0x1234\n pushfq\n popq %[a]\n popw %w[a]\n"
                 "popq %[a]\n push %[a]\n popq 8(%%rsp)\n"
                 "mov %%rsp, %[after]\n mov %%r14, %%rsp"
                 : [a] "+r"(a), [after] "=r"(after) : [sp] "r"(sp)
                 : "r14", "memory");
    check(a == (uint64_t)-7 && after == sp && io[0x808 / 8] == a,
          "PUSH and POP");
    io[0x400 / 8] = 0xc3;       /* RET */
    asm volatile("call *%0" : : "r"(IO + 0x400) : "memory");
    check(true, "code that is I/O");
    *(volatile uint32_t *)(IO + 0xffe) = 0x00c3c031;
    a = 5;
    asm volatile("call *%1" : "+a"(a) : "r"(IO + 0xffe) : "memory");
    check(a == 0, "over the end of a page");
    asm volatile("mov %%rsp, %%r14\n mov %1, %%rsp\n call 1f\n jmp 2f\n"
                 "1: enter $32, $1\n leave\n ret\n 2: mov %%rsp, %0\n"
                 "mov %%r14, %%rsp" : "=r"(after) : "r"(sp)
                 : "r14", "memory");
    check(after == sp, "CALL, ENTER, LEAVE, RET");
}

static void strings(void)
{
    const uint8_t *from = ram;
    volatile uint8_t *to = (volatile uint8_t *)IO + 0xfc0;
    uint64_t n = 300;
    bool same = true;

    for (unsigned i = 0; i < sizeof(ram); i++) {
        ram[i] = i * 7;
    }
    asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    for (unsigned i = 0; i < 300; i++) {
        same &= *(volatile uint8_t *)(IO + 0xfc0 + i) == ram[i];
    }
    check(same && n == 0 && (uint64_t)to == IO + 0xfc0 + 300, "REP MOVS");
    *(volatile uint8_t *)(IO + 0xfc0 + 200) ^= 1;
    from = ram;
    to = (volatile uint8_t *)IO + 0xfc0;
    n = 75;
    asm volatile("repe cmpsl" : "+S"(from), "+D"(to), "+c"(n) : : "cc");
    check(n == 24 && from == ram + 204, "REPE CMPS");
    to = (volatile uint8_t *)IO + 0xfc0;
    n = 300;
    asm volatile("repne scasb" : "+D"(to), "+c"(n) : "a"(ram[77]) : "cc");
    check((uint64_t)to == IO + 0xfc0 + 78, "REPNE SCAS");
    to = (volatile uint8_t *)IO + 0x2000 - 12;
    n = 3;
    asm volatile("std\n rep stosq\n cld" : "+D"(to), "+c"(n)
                 : "a"(0x0102030405060708) : "memory");
    check(*(volatile uint64_t *)(IO + 0x2000 - 12) == 0x0102030405060708
          && *(volatile uint64_t *)(IO + 0x2000 - 28) == 0x0102030405060708,
          "REP STOS downwards, over a page's end");
    for (unsigned i = 0; i < 16; i++) {
        ram[i] = 'a' + i;
    }
    from = ram;
    n = 16;
    asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(LATCH) : "memory");
    check(inb(LATCH) == 'p', "REP OUTS");
    to = (volatile uint8_t *)IO + 0xff0;
    n = 1000;
    asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(LATCH) : "memory");
    check(*(volatile uint8_t *)(IO + 0xff0 + 999) == 'p' && n == 0,
          "REP INS to I/O");
}

static void crossing(void)
{
    volatile uint32_t *at = (volatile uint32_t *)(IO + 0x2ffd);
    uint32_t v = 0x11223344;

    *at = v;
    check(*at == v && *(volatile uint8_t *)(IO + 0x3000) == 0x11,
          "a double word over two pages");
    asm volatile("lock addl $1, %0" : "+m"(*at));
    check(*at == v + 1, "locked over two pages");
}

static void vectors(void)
{
    static uint32_t out[8] __attribute__((aligned(32)));
    static const uint32_t in[4] __attribute__((aligned(16))) = { 1, 2, 3, 4 };
    volatile uint32_t *to = (volatile uint32_t *)(IO + 0x5000);

    asm volatile("movaps %1, %%xmm1\n movaps %%xmm1, (%2)\n"
                 "movups %%xmm1, 0xff8(%2)\n paddd (%2), %%xmm1\n"
                 "movdqa %%xmm1, %0" : "=m"(out) : "m"(in), "r"(to)
                 : "memory");
    check(out[0] == 2 && out[3] == 8, "16 bytes");
    check(to[0xff8 / 4] == 1 && to[0x1004 / 4] == 4, "over two pages");
    check(TRY("movaps %%xmm1, 8(%[to])", [to] "r"(to)) == 13, "MOVAPS aligned");
    asm volatile("fninit\n fildll (%0)\n fistpll 0x40(%0)\n emms"
                 : : "r"(to) : "memory");
    check(to[0x40 / 4] == 1 && to[0x44 / 4] == 2, "x87");
}

static void system(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) now;
    uint16_t tr;

    asm volatile("sgdt (%0)\n lgdt (%0)\n sgdt %1"
                 : : "r"(IO + 0x6ffc), "m"(now) : "memory");
    check(now.limit == *(volatile uint16_t *)(IO + 0x6ffc), "SGDT and LGDT");
    asm volatile("str %0" : "=r"(tr));
    *(volatile uint16_t *)(IO + 0x6000) = tr;
    *(volatile uint8_t *)(now.base + tr + 5) &= ~2;
    asm volatile("ltr (%0)" : : "r"(IO + 0x6000) : "memory");
    check(*(volatile uint8_t *)(now.base + tr + 5) == 0x8b, "LTR");
    io[0] = ~UINT64_C(0);
    asm volatile("smsw %0" : "=m"(io[0]));
    check(io[0] == ((READ_CR(0) & 0xffff) | 0xffffffffffff0000),
          "SMSW stores two bytes");
    io[0] = (uint64_t)&&there;
    io[1] = SEL_CODE;
    asm volatile goto("rex.w ljmp *(%0)" : : "r"(IO) : "memory" : there);
    check(false, "far JMP");
    return;
there:
    check(true, "far JMP");
}

int main(void)
{
    arithmetic();
    stack();
    strings();
    crossing();
    vectors();
    system();
    return 0;
}
