/*
 * A flat guest without devices: RAM, vCPUs of the emulator, and a few ports to
 * tell the test something.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GUEST_H
#define GUEST_H

#include "accel/tcg/tcg.h"
#include "base/opts.h"
#include "cpu/lapic.h"
#include "loop/loop.h"

enum {
    GUEST_RAM_BYTES = 16 << 20,
    GUEST_ALIAS = 0x40000000,   /* all of RAM once more */
    GUEST_ROM = 0x50000000,     /* a page of ROM */
    GUEST_IO = 0x60000000,      /* a page of scratch registers */
    PORT_EXIT = 0xf4,           /* a vCPU is done; its test code follows */
    PORT_LOG = 0xe9,            /* guest_log collects bytes */
};

/*
 * x86's assembler text, into .rodata.  Other hosts' tests are compiled twice:
 * once for the text, which scripts/guest-code has assembled, and once to be
 * linked with that.
 */
#if defined(__x86_64__)
#define GUEST_ASM(name, text)                                               \
    asm(".pushsection .rodata\n" text "\n.popsection")
#elif defined(GUEST_TEXT)
#define GUEST_ASM(name, text)                                               \
    static const char name##_text[]                                         \
        __attribute__((section("guest_text"), used, aligned(1))) = text
#else
#define GUEST_ASM(name, text) _Static_assert(1, "elsewhere")
#endif

/*
 * Guest code in the test's source: GUEST_CODE(name, "64", "asm …") defines
 * name[] and name_end[].
 */
#define GUEST_CODE(name, bits, text)                                        \
    GUEST_ASM(name, ".globl " #name "\n" #name ":\n"                        \
                    ".code" bits "\n" text "\n"                             \
                    ".code64\n"                                             \
                    ".globl " #name "_end\n" #name "_end:\n"                \
                    ".byte 0\n");                                           \
    extern const uint8_t name[], name##_end[]

/* End of a test: `code` in AL, then nothing. */
#define GUEST_EXIT "out %al, $0xf4\n0: jmp 0b\n"

extern Machine *guest_machine;
extern uint8_t *guest_ram;
extern GString *guest_log;
extern uint32_t guest_io_reg[1024];
extern unsigned guest_n_io;     /* accesses to them */
extern Region guest_rom;

/* Once per process. */
void guest_init(unsigned n_cpus);
void guest_init_accel(unsigned n_cpus, const char *accel_name, Opt *options);
/* The same, translated if RHEA_TEST_ACCEL does not say otherwise.  False: this
 * host has no translator. */
bool guest_init_jit(unsigned n_cpus);
void guest_free(void);
X86Cpu *guest_cpu(unsigned i);
static inline Env *guest_env(unsigned i)
{
    return guest_cpu(i)->accel_data;
}

/* Reset everything: RAM zero, CPUs at reset (all but 0 wait for SIPI). */
void guest_reset(void);
/* Copy code to RAM. */
void guest_load(uint64_t gpa, const uint8_t *code, const uint8_t *end);
#define GUEST_LOAD(gpa, name) guest_load(gpa, name, name##_end)

/* Put CPU `i` at `rip` in a mode, with flat segments, ready to run. */
void guest_real(unsigned i, uint16_t cs, uint16_t ip);
void guest_protected(unsigned i, uint32_t eip);         /* no paging */
/* Paging on; identity tables for 2 GiB by 2 MiB pages at `tables`. */
void guest_long(unsigned i, uint64_t rip, uint64_t tables);

/* A CPU's MXCSR and XMM0 to XMM3, flags and CR2 clear, #XM allowed. */
void guest_vectors(unsigned i, uint32_t mxcsr, const uint8_t *xmm);
/* Give a CPU in long mode GDT and IDT at these places, and a gate. */
void guest_tables(unsigned i, uint64_t gdt, uint64_t idt);
void guest_gate(uint64_t idt, unsigned vector, uint64_t handler);

/* Run until `n` exits were seen; the test fails after some seconds.  Returns
 * the value of the last exit. */
uint8_t guest_run(unsigned n_exits);
/* Instructions run by all CPUs. */
uint64_t guest_insns(void);

#endif
