/*
 * The translator: hot blocks become host code.  docs/translator.md.
 *
 * Locks: everything here but jit_run() and what compiled code calls is under
 * the cache mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_H
#define TCG_JIT_H

#include "accel/tcg/tcg.h"

typedef struct JitOptions {
    bool on;
    uint64_t max_bytes;         /* of code and what belongs to it */
    uint32_t threshold;         /* runs of a block before it is compiled */
    bool tlb_miss;              /* test: every access takes the slow path */
    bool no_chain;              /* test: no block jumps to another */
    bool perf_map;              /* write /tmp/perf-PID.map */
} JitOptions;

typedef struct JitStats {
    uint64_t n_blocks, n_bytes, max_bytes;
    uint64_t n_compiled, n_flushes, n_links, n_killed;
} JitStats;

/* False: not on this host; a line saying so has been printed. */
bool jit_init(const JitOptions *o);
void jit_stats(JitStats *out);
extern bool jit_enabled;

/* A new block is about to be published. */
void jit_block_new(Block *b);
/* It has become stale. */
void jit_block_killed(Block *b);
/* --- between jit.c and compile.c --------------------------------------------- */

typedef struct JitEdge JitEdge;
typedef struct JitCode JitCode;

enum { EXIT_EDGE, EXIT_INTERP };

/* A way out of compiled code; in the code cache's data. */
struct JitEdge {
    const Block *block;
    JitEdge *next_in;           /* of those linked to the same block */
    uint8_t *patch;             /* rel32 in the writable view; NULL: none */
    uint8_t *stub;              /* where it leads when not linked (writable) */
    uint16_t kind, insn;
    uint16_t off;               /* EDGE: of the target in its page */
    bool linked;                /* under the cache mutex */
    bool flags_live;            /* arithmetic flags are in RFLAGS */
};

struct JitCode {
    JitCode *prev, *next;
    Block *block;
    uint8_t *entry_r, *entry_e; /* flags in RFLAGS, in cc_raw (writable view) */
    uint8_t *stale_r, *stale_e;
    JitEdge *in;                /* linked to this */
    uint32_t n_bytes;
    InsnFn *fns[];
};

/* The code cache: code grows up, data grows down (writable view). */
typedef struct JitSpace {
    uint8_t *rw, *rx;           /* the same memory twice */
    uint64_t size;
    uint8_t *code, *data;       /* free between these */
    uint8_t *leave, *leave_null, *fallback;     /* thunks (writable view) */
} JitSpace;

extern JitSpace jit_space;
extern JitOptions jit_options;

void *jit_alloc(size_t n);
/* NULL: not worth it. */
JitCode *jit_compile(Block *b);
void jit_make_thunks(void);
/* The code of a block that has none: leaves for the dispatcher. */
extern void *jit_no_code;
/* What compiled code calls for an instruction without a template, or whose
 * fast path did not do: 0 to go on, 1 to leave. */
uint64_t jit_fallback(Env *env, const JitCode *jc, unsigned i);

/* Host registers of the guest's, -1: in memory. */
extern const int8_t jit_host_reg[16];
#endif
