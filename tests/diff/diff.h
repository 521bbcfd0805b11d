/*
 * The differential tester: random sequences of instructions, run by the
 * interpreter, by the translator, and natively in a child process; what they
 * leave must be equal.
 *
 *   gen.c      makes a case from a 64-bit seed
 *   native.c   the child: runs a batch natively
 *   guest.c    the same addresses as user space of a guest of the emulator
 *   compare.c  what must agree, and what a processor leaves open
 *   shrink.c   makes a failing case small, and prints it
 *   diff-test.c  batches, coverage, figures
 *
 * Guest and child have the same linear addresses, so that one state serves
 * both:
 *
 *   DIFF_CODE   read, execute     N_SLOTS cases, one of 16 over a page's end
 *   DIFF_DATA   two pages read and write, one read only; nothing around
 *   DIFF_GATE   the end of a case: leads out
 *
 * Nothing else lies below 4 GiB in the child, and what lies above is where
 * random numbers do not go.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_DIFF_H
#define TESTS_DIFF_H

#include "accel/tcg/decode/tables.h"

#include <stddef.h>
#include <string.h>

enum {
    DIFF_PAGE = 4096,
    DIFF_CODE = 0x10000000, N_SLOTS = 256, SLOT_BYTES = 256, SLOT_OFF = 200,
    CODE_BYTES = N_SLOTS * SLOT_BYTES + DIFF_PAGE,
    DIFF_DATA = 0x20000000, RW_BYTES = 2 * DIFF_PAGE,
    DATA_BYTES = RW_BYTES + DIFF_PAGE,
    DIFF_GATE = 0x4e6d9000, GATE_32 = 32,
    MAX_INSNS = 16,
};

/* A vector beyond the processor's. */
enum { V_END = -1,              /* ran to its end */
       V_SYSCALL = 100,         /* would have called the kernel: no case */
       V_STUCK = 101 };         /* does not end: no case */

enum { MODE_64, MODE_32, N_DIFF_MODES };

/* Selectors that Linux gives a program. */
enum { SEL_CS32 = 0x23, SEL_DS = 0x2b, SEL_CS64 = 0x33 };

/* What instructions may change, but memory.  In memory shared with the child,
 * which knows the offsets of the first fields: see native.c. */
typedef struct DiffState {
    uint64_t gpr[16];
    uint64_t rip, cs, rflags, rsp, ss;  /* as IRET takes them; in: rsp unused */
    uint64_t fs_base, gs_base;
    uint64_t ds, es, fs, gs;            /* selectors */
    int64_t vector;
    uint64_t error, cr2;
    uint64_t pad[6];
    uint8_t xs[1024] __attribute__((aligned(64)));  /* XSAVE, standard */
} DiffState;

enum { XS_ST = 32, XS_XMM = 160, XS_BV = 512, XS_YMM = 576 };

typedef struct DiffInsn {
    uint8_t bytes[15], len;
    int8_t target;              /* of a direct branch: 0 to n; -1: none */
    uint8_t rel;                /* bytes of its displacement, at the end */
    uint8_t rip_disp;           /* offset of a RIP-relative displacement */
    uint32_t rip_to;            /* where it leads */
    uint16_t row;
} DiffInsn;

typedef struct DiffCase {
    uint64_t seed;
    unsigned mode, slot;
    unsigned n;
    DiffInsn insn[MAX_INSNS];
    bool branches;              /* not all of them need run */
    DiffState in;
    uint64_t mem_seed;          /* of the data; */
    uint16_t mem_from, mem_to;  /* zero but for these bytes */
    /* Places that get the address of an instruction: */
    int8_t code_reg, code_to;   /* a register, -1: none */
    int8_t stack_to;            /* the top of the stack */
    uint32_t image;             /* where the last one stores x87's state, or 0 */
    /* As assembled. */
    uint8_t code[SLOT_BYTES];
    unsigned n_code, at[MAX_INSNS + 1];
} DiffCase;

/* What one of the three left. */
typedef struct DiffResult {
    DiffState s;
    uint8_t data[RW_BYTES];
} DiffResult;

static inline uint32_t slot_address(unsigned slot)
{
    return DIFF_CODE + slot * SLOT_BYTES + SLOT_OFF;
}

/* --- gen.c */

/* Find an encoding for every row; `feat`: of guest and host. */
/* `strict`: what is undefined is the same on all sides. */
void gen_init(const uint32_t *feat, bool strict);
void gen_case(DiffCase *c, uint64_t seed, unsigned slot);
/* Bytes from the instructions; false if they do not fit. */
bool gen_assemble(DiffCase *c);
void gen_memory(const DiffCase *c, uint8_t *data);
void gen_read_only(uint8_t *page);
/* How often a row's instruction was run to its end; why it is not tried. */
extern uint64_t *gen_row_hits;
extern uint32_t *gen_row_seeds;
const char *gen_not_ours(unsigned op);
unsigned gen_mode_bits(unsigned mode);

/* --- native.c */

/* The page at DIFF_GATE, and where it leads. */
void native_make_gate(uint8_t *page);
uint64_t native_end(void);
/* The only processor that the child runs on. */
unsigned native_cpu(void);
/* Before there are threads.  False: not on this host, with a reason. */
bool native_start(const char **why);
void native_stop(void);
/* All of DIFF_CODE: programs can read it. */
void native_code(const uint8_t *bytes);
/* Processor time of the child. */
double native_seconds(void);
/* Run the cases natively; results[i] must live until native_wait(). */
void native_begin(const DiffCase *const *cases, unsigned n);
void native_wait(DiffResult *results);
extern bool native_avx;

/* --- guest.c */

void guest_side_init(void);
/* For the child as well. */
void guest_side_code(const DiffCase *const *cases, unsigned n);
/* Run it; jit: translated at once. */
void guest_side_run(const DiffCase *c, bool jit, DiffResult *out);

/* --- compare.c */

/* NULL: equal.  Else what differs, a line each. */
char *compare_results(const DiffCase *c, const DiffResult *want,
                      const DiffResult *got, const char *want_name,
                      const char *got_name);
/* The case tells nothing. */
bool compare_void(const DiffResult *r);

/* --- shrink.c */

void shrink_init(bool native, bool jit);
/* A case alone: NULL or what differs. */
char *shrink_try(DiffCase *c);
void shrink_report(const DiffCase *c, const char *why);

#endif
