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
#include "cpu/tsc.h"

typedef struct JitOptions {
    bool on;
    uint64_t max_bytes;         /* of code and what belongs to it */
    uint32_t threshold;         /* runs of a block before it is compiled */
    bool tlb_miss;              /* test: every access takes the slow path */
    bool no_chain;              /* test: no block jumps to another */
    bool bare_host;             /* test: no BMI2 */
    bool perf_map;              /* write /tmp/perf-PID.map */
    bool dump;                  /* write /tmp/jit-PID.dump */
} JitOptions;

typedef struct JitStats {
    uint64_t n_blocks, n_bytes, max_bytes;
    uint64_t n_compiled, n_flushes, n_links, n_killed;
} JitStats;

/* False: not on this host; a line saying so has been printed. */
bool jit_init(const JitOptions *o);
void jit_stats(JitStats *out);
/* What compiled code has called since the beginning, and for which
 * instructions most. */
void jit_print_calls(GString *out);
extern bool jit_enabled;

/* Return addresses of CALLs that compiled code made at one privilege. */
typedef struct JitReturns {
    uint64_t bottom, sp;
    uint64_t tag;               /* jump_tag they are good under */
    uint32_t generation;        /* of the code cache */
} JitReturns;

/*
 * Slots: what an access has found in the TLB, kept for the next accesses of the
 * same instruction.  slot.c
 */
enum {
    JIT_SLOTS = 256,            /* for each table of the TLB */
    JIT_SLOT_MISSES = 128,      /* of one, then it is asked how fast they came */
    JIT_SLOTS_STACK = 2,        /* the first, for reading and for writing */
    JIT_SLOTS_PIECE = 8,        /* forgotten together */
    JIT_SAMPLES = 16,           /* runs of a block that are looked at */
    JIT_SLOT_PIECES = N_MMU * JIT_SLOTS / JIT_SLOTS_PIECE,
};

typedef struct JitSlot {
    uint64_t tag;               /* as TlbEntry.nrpage or nwpage */
    uint64_t addend;
    uint64_t tag2, addend2;     /* what it was before */
} JitSlot;

/* How often compiled code has called, for `info jit`. */
typedef struct JitCounts {
    uint64_t entered;           /* from the dispatcher */
    uint64_t lookups, transfers;
    uint64_t faults;            /* delivered without leaving */
    uint64_t handlers[N_OPS];   /* by OP_*, transfers too */
} JitCounts;

enum {
    JIT_RETURN_BYTES = 64 * KiB,        /* of a stack of returns: a call at a
                                         * multiple of this is refused */
    /* From an entry to its RIP; no multiple of 4096, since a load waits for a
     * store that is so far away. */
    JIT_RETURN_RIP = JIT_RETURN_BYTES + 2048,
    JIT_KEYS_MAX = 16383,       /* times 2 is less than 1 << 15 */
};
enum { JIT_JUMP_BITS = 15, JIT_JUMPS = 1 << JIT_JUMP_BITS, JIT_TAGS = 16 };
#define JIT_STOP (UINT64_C(1) << 48)

typedef struct JitJump {
    uint64_t key;
    void *r, *e;                /* code, flags as in entry_* */
    uint64_t place;             /* jit_place() of it.  32 bytes: the index is a
                                 * part of RIP */
} JitJump;

enum { JIT_PLACE_BITS = 14, JIT_PLACES = 1 << JIT_PLACE_BITS };

/* The same by what is in RAM, which other address spaces share. */
typedef struct JitPlace {
    uint64_t place;
    uint64_t base;              /* JitCode.base */
    uint32_t r, e;              /* from jit_space.rx */
} JitPlace;

enum { JIT_GROUPS = 3 };        /* at a time; group.c */

/* A vCPU's part, which lies behind its TLBs: compiled code reaches all of this
 * at constant distances from GS. */
typedef struct JitCpu {
    /* The stack of compiled code and that of C below it; see return.c. */
    uint64_t sp, c_sp;
    uint64_t neg_bottom;        /* minus where sp starts */
    uint64_t group_addend[JIT_GROUPS];  /* group.c */
    uint64_t borrowed[16];      /* addend.c, turns.c: guest registers; */
    int32_t turns;              /* that come, and until the next try, */
    int32_t turn_retry;
    uint32_t turn_bound[8];     /* first index of a second page */
    uint64_t align_mask[6];     /* of a page and multiples of 1, 2 ... 32 */
    uint64_t slots_used[JIT_SLOT_PIECES / 8];   /* a byte for each piece */
    JitSlot slots[N_MMU * JIT_SLOTS];
    uint32_t slot_misses[N_MMU * JIT_SLOTS];    /* until it is asked, */
    uint64_t slot_tsc[N_MMU * JIT_SLOTS];       /* since then */
    uint64_t target;            /* RIP that jit_lookup() is asked for */
    TscPiece tsc;               /* clock.c */
    uint64_t jumped;            /* key of a block that was interpreted last and
                                 * ends with an indirect jump; 0: none */
    JitReturns returns[2];      /* by CPL == 3 */
    JitReturns *present;        /* that sp is of */
    void *stacks;               /* what they are in; NULL: cannot compile */
    size_t stacks_bytes;

    /* Where the code of a RIP is: an entry is good if `-(RIP + key)`. */
    uint64_t key[N_MMU];        /* (A) stands for jump_tag, by TcgCpu.who; and
                                 * JIT_STOP: leave at the next jump */
    uint64_t tag[N_MMU];        /* which it does */
    uint64_t key_tags[JIT_TAGS], keys_of_tags[JIT_TAGS];
    uint32_t n_keys;
    JitJump jumps[JIT_JUMPS];
    JitPlace places[JIT_PLACES];

    JitCounts counts;
} JitCpu;

static inline size_t jit_cpu_offset(void)
{
    return tcg_tlb_offset(N_MMU);
}

static inline size_t jit_cpu_bytes(void)
{
    return ALIGN_UP(sizeof(JitCpu), 4096);
}

static inline JitCpu *jit_cpu(Env *env)
{
    return (JitCpu *)((char *)env + jit_cpu_offset());
}

/* Without memory for this, a vCPU interprets. */
void jit_cpu_init(Env *env);
void jit_cpu_free(Env *env);
/* The key without JIT_STOP, which other threads set and clear. */
static inline uint64_t jit_key(Env *env)
{
    return __atomic_load_n(&jit_cpu(env)->key[env->tcg->who], __ATOMIC_RELAXED)
           & ~JIT_STOP;
}

/* Compiled code is to leave at its next poll.  Any thread. */
static inline void jit_stop(Env *env)
{
    for (unsigned who = 0; who < N_MMU; who++) {
        __atomic_or_fetch(&jit_cpu(env)->key[who], JIT_STOP, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&env->jit_past, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&env->jit_go, 0, __ATOMIC_SEQ_CST);
}

/* It need not: before looking why it was to. */
static inline void jit_resume(Env *env)
{
    /* In this order: a jit_stop() in between must not leave JIT_STOP or
     * jit_past alone. */
    __atomic_store_n(&env->jit_go, PAGE_BYTES, __ATOMIC_SEQ_CST);
    for (unsigned who = 0; who < N_MMU; who++) {
        __atomic_and_fetch(&jit_cpu(env)->key[who], ~JIT_STOP,
                           __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&env->jit_past, UINT64_MAX, __ATOMIC_RELEASE);
}

/* Is code of this mode compiled?  64-bit and flat 32-bit code is. */
static inline bool jit_mode(uint32_t mode)
{
    const uint32_t flat = DM_FLAT | DM_SS32;

    return !(mode & (DM_TF | DM_SHADOW | DM_REAL | DM_VM86))
           && ((mode & DM_CODE_MASK) == DM_CODE64
               || ((mode & DM_CODE_MASK) == DM_CODE32
                   && (mode & flat) == flat));
}

static inline JitJump *jit_jump(Env *env, uint64_t rip)
{
    return &jit_cpu(env)->jumps[rip >> 2 & (JIT_JUMPS - 1)];
}

/* Entries of the TLB were dropped: so are all slots. */
void jit_slots_clear(Env *env);
/* A new block is about to be published. */
void jit_block_new(Block *b);
/* It has become stale. */
void jit_block_killed(Block *b);
/* The vCPU is about to run after it was maybe stopped: its copy of the TSC's
 * line may be an old one.  clock.c */
void jit_clock_check(Env *env);
/* --- between jit.c and compile.c ------------------------------------------ */

typedef struct JitEdge JitEdge;
typedef struct JitCode JitCode;

enum {
    EXIT_EDGE,                  /* to a block of the same page */
    EXIT_INTERP,                /* this instruction is to be interpreted */
    EXIT_PLAIN,                 /* from here on without groups: group.c */
    EXIT_FAULT,                 /* a signal: env->jit_fault_* */
    EXIT_SLOT,                  /* as INTERP: slot `off` has often missed */
};

/* A way out of compiled code; in the code cache's data. */
struct JitEdge {
    const Block *block;
    JitEdge *next_in;           /* of those linked to the same block */
    uint8_t *patch;             /* rel32 in the writable view; NULL: none */
    uint8_t *stub;              /* where it leads when not linked (writable) */
    uint16_t kind, insn;
    uint16_t off;               /* EDGE: of the target in its page; SLOT */
    uint16_t n_exits;           /* PLAIN */
    bool linked;                /* under the cache mutex */
    bool flags_live;            /* arithmetic flags are in RFLAGS */
    bool flags_gone;            /* they are nowhere: only to be linked to code
                                 * that does not want them */
    uint8_t live;               /* FP_* that are */
};

/*
 * How to get arithmetic flags again: an instruction on guest registers that
 * have not changed since.  replay.c
 */
enum { REPLAY_NONE, REPLAY_CMP, REPLAY_TEST, REPLAY_ADD, REPLAY_SUB };

typedef struct JitReplay {
    uint8_t op, size;
    uint8_t a, b;               /* b: R_ZERO: the immediate */
    int32_t imm;
} JitReplay;

/* The same from the registers in Env, as for cc_raw. */
uint16_t jit_replay(const Env *env, const JitReplay *q);

/* Instructions of a piece of code that may raise SIGFPE or SIGSEGV. */
typedef struct JitFpSite {
    uint32_t end;               /* of its code, from `start` */
    uint8_t insn;
    bool flags_live;            /* arithmetic flags are not in cc_raw, but ... */
    JitReplay replay;           /* ... this, or in RFLAGS */
    uint16_t borrowed;          /* guest registers in JitCpu.borrowed ... */
    uint16_t guests;            /* ... whose homes have these, in order */
    int16_t sp_off;             /* RSP is its home and this */
} JitFpSite;

typedef struct JitFpMap {
    struct JitFpMap *next;
    const Block *block;
    uint8_t *start;             /* writable view */
    uint32_t n;
    JitFpSite site[];           /* in order of `end` */
} JitFpMap;

/* Of all code there is, stale too. */
extern JitFpMap *jit_fp_maps;

/* Where a RET comes back to the middle of a block; in the data. */
typedef struct JitLanding {
    struct JitLanding *next;
    uint8_t *patch;             /* as far_r */
} JitLanding;

struct JitCode {
    JitCode *prev, *next;
    uint64_t base;              /* rip_base that it is for, or JIT_BASE_ANY */
    Block *block;               /* what was compiled ... */
    Block *found;               /* ... and the block whose longer form it is,
                                 * or the same */
    uint8_t *entry_r, *entry_e; /* flags in RFLAGS, in cc_raw (writable view) */
    uint8_t *far_r, *far_e;     /* the same with RIP in RDX: from anywhere,
                                 * and patched when the block becomes stale */
    uint8_t *entry_live;        /* entry_r when `live` is; NULL: none */
    uint8_t live;
    bool flags_dead;            /* flags on entry may be anything */
    JitEdge *in;                /* linked to this */
    JitLanding *landings;
    uint8_t *code, *cold;       /* and what is out of the way */
    uint32_t n_bytes, n_cold;
    InsnFn *fns[];
};

/*
 * The code cache (writable view).  Code that runs lies close together, for the
 * host's instruction caches; what is seldom run is behind it: slow paths,
 * misses of slots, exits.
 */
typedef struct JitSpace {
    uint8_t *rw, *rx;           /* the same memory twice */
    uint64_t size;
    uint8_t *code;              /* grows up to ... */
    uint8_t *code_end;
    uint8_t *cold, *data;       /* grow up and down: free between these */
    uint8_t *leave, *leave_null, *fallback;     /* thunks (writable view) */
    uint8_t *lookup, *transfer, *near_miss;
    uint8_t *bottom, *stale_r;
} JitSpace;

extern JitSpace jit_space;
extern JitOptions jit_options;

/* near.c: of a page.  Code reads it as addresses of code by offset. */
typedef struct JitNear JitNear;
/* For an indirect jump of the block; NULL: not worth it. */
JitNear *jit_near_table(const Block *b);
void jit_near_killed(const Block *b);
/* All code is gone. */
void jit_near_flush(void);
/*
 * Compiled code jumps to `off` of a table's page and does not find it there:
 * the code, or NULL to leave with RIP.  `table` is the executable view.  hot.c
 */
void *jit_near(Env *env, const void *table, unsigned off);
void *jit_near_cold(const void *table, unsigned off);

/* fixed.c: what the code of a page is for. */
enum { JIT_BASE_NONE, JIT_BASE_ANY };   /* or its only rip_base */
/* May compiled code of the block be entered at this rip_base?  No lock; no: ask
 * jit_base_choose(), and interpret. */
bool jit_base_agrees(const Block *b, uint64_t base);
/* What code of the block, which is not stale, is to be for, now that it runs
 * at this rip_base: JitCode.base.  Code for another is dropped. */
uint64_t jit_base_choose(const Block *b, uint64_t base);

/* slot.c: where accesses through an empty slot end. */
bool jit_slots_init(void);
bool jit_slots_guard(const void *hva);
void jit_slots_new(Env *env);
/* The block is about to run in the interpreter: what its accesses would be. */
void jit_slots_sample(Env *env, Block *b);
/* What was seen of instruction `i`, as if in `taken` runs. */
uint32_t jit_slots_seen(const Block *b, unsigned i, unsigned taken);
/* A slot has missed so often.  Does it do more harm than good? */
bool jit_slot_thrashes(Env *env, unsigned slot);
/* Then instruction `i` shall have none, when its block is compiled again.  Under
 * the mutex. */
void jit_slot_give_up(Block *b, unsigned i);
/* A slot for an access of instruction `i`, as an index; -1: better none. */
int jit_slot_choose(const Block *b, unsigned i, unsigned who, bool stack,
                    bool write);
/* Has the access been in one page only? */
bool jit_slot_one_page(const Block *b, unsigned i);
/* Does the block mostly run again before others have taken its slots? */
bool jit_again_soon(const Block *b);
/* Are its addresses multiples of the operand's size? */
bool jit_slot_aligned(const Block *b, unsigned i);

void *jit_alloc(size_t n);
/* `base`: JitCode.base; gpr: guest registers as the block is about to be
 * entered, as a guess what they will be.  NULL: not worth it. */
JitCode *jit_compile(Block *b, uint64_t base, const uint64_t *gpr);
/* The rest of `b` from an instruction on, each access checked on its own and
 * flags in cc_raw; under the mutex, with room. */
uint8_t *jit_compile_plain(JitCode *jc, unsigned insn);
void jit_make_thunks(void);
/* The code of a block that has none: leaves for the dispatcher. */
extern void *jit_no_code;
/* hot.c: before compiled code is entered at the present privilege. */
void jit_returns_begin(Env *env, uint32_t generation);
/* After it has been left. */
void jit_returns_end(Env *env);
/* jump_tag may have changed. */
void jit_set_key(Env *env);
/* Compiled code is at `jc` for RIP, where the block `b` is, under jump_tag.
 * False: it is for another RIP. */
bool jit_jump_fill(Env *env, uint64_t rip, const Block *b, const JitCode *jc);
/* What a block is found by, and never 0. */
static inline uint64_t jit_place(uint64_t ram_addr, uint32_t mode)
{
    return ram_addr ^ (uint64_t)mode << 48 ^ UINT64_C(1) << 63;
}
/* All code is gone. */
void jit_forget(Env *env);

/*
 * What compiled code calls for an instruction without a template, or whose
 * fast path did not do: 0 to go on, 1 to leave, or code to go on with at RIP,
 * when a page fault was delivered.  `what`: number of the
 * instruction, FP_* (fp.h) << 8 that must be live when code goes on, and
 * JIT_LOAD_FP to do only that, before the instruction.  hot.c
 */
enum { JIT_LOAD_FP = 1 << 16 };
/* It neither reads nor writes arithmetic flags. */
#define JIT_NO_FLAGS (1u << 31)
uint64_t jit_fallback(Env *env, const JitCode *jc, uint32_t what);
/*
 * Compiled code wants to go to `rip` and the jump table does not know it: 1 if
 * it does now, 0 to leave.  Touches no vectors and no guest registers.  hot.c
 */
uint64_t jit_lookup(Env *env, uint64_t rip);
/*
 * Compiled code's instruction `i` ends its block and changes the mode, the
 * level or what else the dispatcher would have to look at: it is run by its
 * handler, and the code to go on with at the new RIP is returned.  NULL: the
 * dispatcher shall look.  hot.c, jit.c
 */
void *jit_transfer(Env *env, const JitCode *jc, unsigned i);
void *jit_transfer_cold(Env *env, const JitCode *jc, unsigned i);
/* The code to go on with at the new RIP; NULL: the dispatcher shall look. */
void *jit_go_on(Env *env, uint32_t generation);
/* SYSCALL, SYSRET, STAC, CLAC in the ways that are usual; false: nothing was done.
 * syscall.c */
bool jit_syscall(Env *env, const Insn *insn);
/* IRET in the way that is usual; false: nothing was done.  gate.c */
bool jit_iret(Env *env, const Insn *insn);
/* The same for the page fault in env->exc_*: it is delivered. */
bool jit_page_fault(Env *env);
/* RDTSC and RDTSCP when JitCpu.tsc does not have it; clock.c */
const Insn *jit_run_rdtsc(Env *env, const Insn *insn);
/* signal.c: catch SIGFPE and SIGSEGV of compiled code; once. */
void jit_signals_init(void);
/* Let this thread have them. */
void jit_signals_let(void);
/* EXIT_FAULT: *to is where the interpreter runs the instruction that raised it,
 * with flags and registers as that finds them. */
void jit_fault_edge(Env *env, JitEdge *to);
/* return.c */
void jit_jumps_clear(JitCpu *j);
/* Code for RIP under the present key, flags in cc_raw; NULL: not known. */
void *jit_code_at(Env *env, uint64_t rip);
/* Run code until it leaves: NULL, RIP is set; or the way out it took. */
JitEdge *jit_enter(Env *env, void *code);
extern uint32_t jit_generation; /* counts flushes */

/* Arithmetic flags as compiled code keeps them in cc_raw. */
static inline uint16_t jit_raw_flags(uint32_t fl)
{
    return (fl >> 11 & 1) | (fl & 0xd5) << 8 | 2 << 8;
}
static inline void jit_from_raw(Env *env, uint16_t raw)
{
    cc_set(env, (raw >> 8 & 0xd5) | (raw & 1 ? FL_OF : 0));
}

/* Host registers of the guest's, -1: in memory. */
extern const int8_t jit_host_reg[16];
#endif
