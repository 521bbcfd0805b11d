/*
 * What templates are written with: private to the files that make host code.
 * compile.c tells how they work together.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_TEMPLATE_H
#define TCG_JIT_TEMPLATE_H

#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/emit.h"
#include "accel/tcg/jit/fp.h"
#include "accel/tcg/jit/jit.h"

#define OFF(field) ((uint32_t)offsetof(Env, field))
/* A vCPU's JitCpu. */
#define JOFF(field) ((uint32_t)(jit_cpu_offset() + offsetof(JitCpu, field)))
#define GPR(n) ((uint32_t)(offsetof(Env, s.gpr) + 8 * (n)))
#define SP ((unsigned)jit_host_reg[R_RSP])

/* A JitSlot, from GS. */
static inline uint32_t t_slot_at(int slot)
{
    return JOFF(slots) + slot * sizeof(JitSlot);
}

enum {
    MAX_STUBS = 12 * BLOCK_MAX_INSNS,
    LOOP_MAX_INSNS = 3 * BLOCK_MAX_INSNS / 4,   /* which is compiled twice */
    MAX_SITES = 12,
};

/* `size` bytes at [ea] + disp of the guest's memory; see t_check_aligned(). */
typedef struct Access {
    unsigned ea;                /* host register */
    int32_t disp;
    unsigned size, align;
    bool write;
    bool natural;               /* a multiple of `size`, most likely */
    int slot;                   /* -1: none */
    bool group;                 /* the slot's addend is looked at later */
    uint8_t table;              /* `ea` is an index: host register with the tag
                                 * and the base; or 0 */
    bool no_addend;             /* nor is it wanted in RAX */
    bool may_exit;              /* nothing has happened yet: EXIT_SLOT */
} Access;

/*
 * Guest registers whose homes have something else for a while, up to an
 * instruction.  addend.c
 */
typedef struct Borrowed {
    unsigned n;
    struct {
        uint8_t guest, until;
        uint8_t base;           /* of a table, is added; or R_ZERO */
        uint32_t from;          /* what is there, from GS */
    } r[JIT_GROUPS + 2];
} Borrowed;

/* Code out of the way: a slow path, an exit, or a slot's miss. */
typedef struct Stub {
    uint8_t *site[MAX_SITES];   /* rel32 that lead here */
    unsigned n_sites;
    uint8_t *back;              /* where a slow path goes on */
    JitEdge *edge;              /* exit; NULL: slow path or exit at RDX */
    unsigned insn;
    bool exit_rdx;
    uint8_t *again;             /* an exit for want of the code of the RIP in
                                 * RDX: where to look for it once more */
    bool save, reload;          /* flags */
    JitReplay replay;           /* how to get them first, if not REPLAY_NONE */
    int sp_off;                 /* of an exit: as Ctx's */
    Borrowed borrowed;          /* as Ctx's */
    uint8_t live;               /* FP_* that must be live at `back` */
    bool load_fp;               /* only that */
    bool jump;                  /* nothing but a jump to `back` */
    bool miss;                  /* of a slot: */
    bool clobber;               /* flags are in cc_raw */
    unsigned slow;              /* the stub for when the TLB misses too, */
    int often;                  /* and when it has missed often; -1: none */
    uint8_t *have;              /* where RAX is the addend; NULL: only `back` */
    Access access;
} Stub;

/*
 * A block that jumps to its own start is compiled twice: the second time for
 * all turns but the first, with what is known at the jump.
 */
typedef struct Loop {
    bool wanted;                /* compile it so */
    uint8_t *top;               /* of the second; NULL: not there yet */
    JitReplay replay;
    uint8_t live;
    JitEdge *edge[2];           /* back to the top, or out */
    unsigned n;
    int slots[2 * LOOP_MAX_INSNS];      /* in order, the same in both */
    unsigned n_slots;
    uint8_t *again;             /* where its turns are checked; turns.c */
} Loop;

/*
 * Accesses of a loop that are checked once for several turns.  turns.c
 */
enum { TURN_GROUPS = 6, TURN_EDGES = 12, TURNS_MAX = 256, TURN_COPIES = 4,
       TURN_STEPS = 128, TURN_GUESSES = 2, TURN_NESTS = 3 };

typedef struct TurnGroup {
    enum {
        TURN_BASE,              /* base, as it moves */
        TURN_INDEX,             /* index, as it moves; the base does not */
        TURN_OFFSET,            /* base, as it moves; the index does not */
        TURN_BOTH,
        TURN_FIXED,             /* neither is a register */
        TURN_STILL,             /* base, which does not move; no index */
    } form;
    uint8_t base, index;        /* R_PC: RIP; R_ZERO: none */
    uint8_t scale;
    bool low;                   /* the index has 32 bits */
    bool wide;                  /* it is bounded */
    bool choose;                /* its two pages may lie apart: all accesses
                                 * are in one place, which tells which */
    int64_t by;                 /* bytes it moves with each turn */
    int64_t lo, hi;             /* of the first turn, from base and index */
    bool write;
    unsigned align;             /* as in group.c */
    int64_t aligned;
    unsigned insn;              /* the first that is in it */
    unsigned reg;               /* where its addend is */
    unsigned reg2, bound;       /* the second page's, and from which index */
    int slot;
    int slot2;                  /* of its last byte, if it may be in the next
                                 * page: a bounded index; or -1 */
} TurnGroup;

/* An instruction of a turn. */
typedef struct TurnStep {
    uint8_t insn;
    uint8_t group;              /* of its memory operand, which is ... */
    uint8_t via;                /* (nest) from this guest register, R_ZERO: the
                                 * addend alone, */
    int32_t disp;               /* at this distance */
    bool known;                 /* a jump that is nothing */
} TurnStep;

/* Before the turns, guest register b (R_ZERO: 0) is a and `by`. */
typedef struct TurnGuess {
    uint8_t a, b;
    int16_t by;
} TurnGuess;

typedef struct Turns {
    bool on;                    /* being emitted */
    unsigned first, last;       /* instructions */
    bool nest;                  /* there are loops inside, all turns of which
                                 * are in ... */
    TurnStep path[TURN_STEPS];
    unsigned n_path, at;        /* at: is being emitted */
    TurnGuess guess[TURN_GUESSES];
    unsigned n_guesses;
    unsigned turns;             /* at first */
    unsigned copies;            /* of the instructions */
    unsigned need;              /* FP_* */
    bool keeps_flags;
    JitReplay entry;            /* flags on entry, if not in cc_raw; without
                                 * keeps_flags only what stays */
    bool apart;                 /* groups with a choice make it */
    unsigned n_choices;
    unsigned chosen;            /* host register */
    unsigned n_groups;
    TurnGroup group[TURN_GROUPS];
    int16_t slots[BLOCK_MAX_INSNS][2 * TURN_GROUPS];    /* by `first` */
    unsigned counter;           /* host register */
    uint16_t borrowed;          /* guest registers whose homes are used */
    uint16_t guests;            /* others that are there, in order, ... */
    uint16_t changed;           /* ... and those of them that are written */
    int8_t home[16];            /* of guest registers meanwhile */
    uint8_t *more;              /* where more turns are checked */
    uint8_t *copy[TURN_COPIES];
    uint8_t *to_more;           /* a rel32 */
    uint8_t *join[2];           /* the rel32 that leave */
    unsigned n_joins;
    uint8_t *late[TURN_COPIES + 1];     /* the same, with nothing given back */
    unsigned n_late;
} Turns;

/* Jumps back to where turns are checked. */
typedef struct TurnEdges {
    JitEdge *edge[TURN_EDGES];
    uint8_t *to[TURN_EDGES];
    unsigned n;
} TurnEdges;

/* Accesses that have been checked together: group.c. */
typedef struct Group {
    unsigned base, end;         /* up to this instruction */
    uint32_t addend;            /* where that is, from GS; */
    int home;                   /* and in this host register; -1: none */
} Group;

/* Accesses with one base and any index: table.c. */
typedef struct Table {
    unsigned base, end;         /* up to this instruction */
    int slot;
    unsigned tag, addend;       /* host registers, with the base */
} Table;

/* A jump that the block follows has led elsewhere: behind the block. */
typedef struct Astray {
    uint8_t *site;              /* rel32 that leads here */
    unsigned i;
    bool in_e;
    JitReplay replay;
    uint8_t live;
    Borrowed borrowed;
} Astray;

typedef struct Ctx {
    Emit e;
    Block *b;
    JitCode *jc;
    const Insn *insn;
    unsigned i;
    unsigned who;               /* MMU_* of the block */
    uint32_t tlb;               /* offset of its table from GS */
    unsigned word;              /* bytes of RIP and of stack slots: 8 or 4 */
    bool fixed;                 /* rip_base is ... */
    uint64_t base;              /* ... this */
    bool in_r, in_e;
    JitReplay replay;           /* where they are in any case */
    bool keep_r;                /* the instruction needs flags in RFLAGS */
    bool done;                  /* control does not go on after this one */
    uint8_t *site[MAX_SITES];   /* of this instruction's slow path */
    unsigned n_sites;
    bool site_save;
    JitReplay site_replay;
    unsigned n_misses;          /* its stubs of slots */
    bool mem_site, mem_flags;   /* it may go through an empty slot */
    JitReplay mem_replay;
    int mem_sp_off;
    bool no_slot;               /* it may not */
    int32_t disp;               /* of the operand: t_operand() */
    unsigned mem_base, mem_scale;       /* H_AX or a home; 0, but in turns.c */
    bool slow_exits;            /* its slow path is the interpreter */
    bool plain;                 /* no groups */
    Loop loop;
    Turns turns;
    TurnEdges turn_edges;
    uint8_t *nest_join;         /* a rel32 behind turns of a nest, which ... */
    unsigned nest_last;         /* ... leads behind this instruction */
    unsigned n_nests;
    const uint64_t *gpr;        /* as the block is entered now: a guess */
    Group group[JIT_GROUPS];
    Table table;
    Borrowed borrowed;
    const Group *rax_group;     /* RAX is its addend ... */
    bool rax_keep;              /* ... and this instruction leaves it alone */
    int sp_off;                 /* in a group: RSP is SP and this */
    Stub stubs[MAX_STUBS];
    unsigned n_stubs;
    uint8_t live;               /* FP_* known to be live */
    uint8_t x87_seg;            /* what env->x87_seg is known to be; or 0 */
    JitLanding *landings;
    Astray astray[2 * BLOCK_PARTS];
    unsigned n_astray;
    uint8_t *start;             /* of this piece of code */
    JitFpSite fp_sites[18 * BLOCK_MAX_INSNS];
    unsigned n_fp_sites;
} Ctx;

/* --- operand.c: flags -------------------------------------------------- */

/* RFLAGS to env->cc_raw and back.  Use RAX. */
void t_save_flags(Emit *e);
void t_load_flags(Emit *e);
/* Both, when flags may be nowhere but in `replay`. */
void t_save_from(Emit *e, const JitReplay *q);
/* What a way out has to do for them. */
static inline JitReplay t_replay_now(const Ctx *c)
{
    return c->in_r ? (JitReplay) { 0 } : c->replay;
}
/* They are needed in RFLAGS. */
void t_need_r(Ctx *c);
/* RFLAGS are about to be overwritten by something of ours.  Uses RAX. */
void t_clobber(Ctx *c);

/* --- replay.c ---------------------------------------------------------- */

/* The flags once more, into RFLAGS.  Uses RCX. */
void t_replay(Emit *e, const JitReplay *q);
/* What gives the flags of this instruction again, afterwards. */
JitReplay t_replay_of(const Ctx *c);
/* The same where they are known to say "equal". */
JitReplay t_replay_equal(JitReplay q);
/* Is it good whatever happens to registers? */
static inline bool t_replay_stays(const JitReplay *q)
{
    return q->op == REPLAY_CMP && q->a == q->b;
}
/* This instruction comes: is the present `replay` good until it is over? */
void t_replay_check(Ctx *c, bool sets_all);
/* Must the arithmetic flags be in RFLAGS before `n`: does it read some, or leave
 * some as they are?  *writes: those that it changes. */
bool t_needs_flags(const Insn *n, unsigned *writes);
/* May it write the register? */
bool t_may_write(const Insn *n, unsigned reg);

/* --- operand.c: registers ---------------------------------------------- */

static inline bool t_is_mem(const Ctx *c)
{
    return c->insn->flags & INSN_MEM;
}

/* AH and its like. */
static inline bool t_is_high(unsigned n, unsigned size)
{
    return size == 1 && n & 1;
}

static inline int t_home(const Emit *e, unsigned n, unsigned size)
{
    return e->home[size == 1 ? n >> 3 : n];
}

/* A register without a home, and where it is: an operand in memory, with
 * which an instruction of four bytes must not write. */
static inline bool t_in_env(const Ctx *c, unsigned n, unsigned size)
{
    return t_home(&c->e, n, size) < 0 && !t_is_high(n, size);
}

static inline uint32_t t_gpr(unsigned n, unsigned size)
{
    return GPR(size == 1 ? n >> 3 : n);
}

/* The operand in a host register: its home, or `scratch`. */
unsigned t_src(Ctx *c, unsigned n, unsigned size, unsigned scratch);
/* The same in `scratch` itself. */
void t_src_copy(Ctx *c, unsigned n, unsigned size, unsigned scratch);
/* Where to put a result: its home, or `scratch`; then call t_dst(). */
unsigned t_out(Ctx *c, unsigned n, unsigned size, unsigned scratch);
/* The result is in `from`.  No flags. */
void t_dst(Ctx *c, unsigned n, unsigned size, unsigned from);

/* --- operand.c: operands ----------------------------------------------- */

/* The offset of the memory operand, in a guest register's home or `to`. */
unsigned t_offset_to(Ctx *c, unsigned to, bool must);
/* The linear address of the memory operand; outside 64-bit code, in FS or GS,
 * first the slow path for what is not all of the address space. */
unsigned t_address(Ctx *c);
/* The same less a constant, which is added to *disp. */
unsigned t_address_disp(Ctx *c, int32_t *disp);
/* RDX = RIP of `off` of the page, which may be outside of it. */
void t_rip_to(Ctx *c, unsigned to, int64_t off);
/* That RIP in a fixed page. */
static inline uint64_t t_fixed_rip(const Ctx *c, int64_t off)
{
    return c->base + off;
}
/* rip_base = RIP, which is in RDX, less `off`.  Five bytes or more at first. */
void t_set_base(Ctx *c, unsigned off);
/* The rm operand in a register, RCX if it has to be loaded. */
unsigned t_rm_value(Ctx *c);
/* An immediate of `size` bytes, as instructions have it: four at most. */
void t_imm(Ctx *c, unsigned size, int64_t v);

/* An opcode whose bit 0 tells bytes from wider operands. */
static inline uint32_t t_sized(uint32_t opc, unsigned size)
{
    return opc | (size > 1);
}

/* --- mem.c ------------------------------------------------------------- */

/* A rel32 here leads to this instruction's slow path. */
void t_slow_site(Ctx *c);
void t_jcc_slow(Ctx *c, unsigned cond);
/*
 * `size` bytes of the memory operand hit the TLB, or the slow path is taken.
 * The host address is then [c->mem_base + result << c->mem_scale + c->disp],
 * RAX and 0 as a rule.  Uses RCX.
 */
unsigned t_operand(Ctx *c, unsigned size, bool write);
unsigned t_operand_aligned(Ctx *c, unsigned size, unsigned align, bool write);
/* The same for an operand of the stack that the instruction implies, at the
 * address in `ea` and `disp`; c->disp is 0. */
void t_check_stack(Ctx *c, unsigned ea, int32_t disp, unsigned size,
                   bool write);
/* The same; the slow path too unless the address is a multiple of `align`:
 * `size`, 16 or 32, or 1. */
void t_check_access(Ctx *c, const Access *a);
/* A slot for an access of this instruction; -1: none.  slot.c */
int t_choose_slot(Ctx *c, bool stack, bool write);
/* Behind the block: a slot did not have it. */
void t_slot_miss(Ctx *c, Stub *s);
/* An operation on the operand of the last t_operand(). */
void t_mem_insn(Ctx *c, unsigned size, uint32_t opc, unsigned reg,
                unsigned ea);
/* The same, LOCKed if it is so. */
void t_mem_op(Ctx *c, unsigned size, uint32_t opc, unsigned reg, unsigned ea);

/* --- group.c ----------------------------------------------------------- */

/* One check for this and following accesses, if it is worth while. */
void t_group_begin(Ctx *c);
/* The register that `n` addresses memory with and nothing else, in full width of
 * the mode; -1: none. */
int t_operand_base(const Ctx *c, const Insn *n);
/* The groups that the memory operand, the stack slot of this instruction are
 * in; or NULL. */
const Group *t_grouped(const Ctx *c);
const Group *t_grouped_stack(const Ctx *c);
/* Will the memory operand of instruction `i` be in one of the present groups? */
bool t_grouped_later(const Ctx *c, unsigned i);
/* Let c->mem_base be the group's addend. */
void t_group_addend(Ctx *c, const Group *g);
/* There are none any more, and homes are their registers'. */
void t_groups_end(Ctx *c);
/* c->sp_off may be other than 0 in the present instruction. */
bool t_sp_waits(const Ctx *c);
/* Now it is 0.  No flags. */
void t_sp_settle(Ctx *c);

/* Only it names registers that it writes, RSP included. */
bool t_simple(const Insn *n);

/* --- addend.c ---------------------------------------------------------- */

/* May control go on behind it to the next one, without what leaves for good? */
bool t_goes_through(const Block *b, unsigned i);
/* RAX is the addend of a group that begins: put it in a home, if that pays. */
void t_addend_home(Ctx *c, Group *g);
/* Are there so many homes to lend up to instruction `end`? */
bool t_homes_free(const Ctx *c, unsigned end, unsigned n);
/* Then let one have what is at `from`, and `base`, if that is a register. */
unsigned t_lend_home(Ctx *c, unsigned end, uint32_t from, unsigned base);
/* Homes that are lent up to the present instruction are given back. */
void t_homes_due(Ctx *c);
/* All of them are.  No flags. */
void t_homes_back(Ctx *c);
/* The same on a way out, and lent again on the way back. */
void t_give_back(Emit *e, const Borrowed *b);
/* One home's value to JitCpu.borrowed, or back. */
static inline void t_home_kept(Emit *e, unsigned guest, bool back)
{
    e_gs(e, 8, back ? 0x8b : 0x89, jit_host_reg[guest],
         JOFF(borrowed) + 8 * guest);
}
void t_lend(Emit *e, const Borrowed *b);
/* What lent homes have, once more. */
void t_fill_homes(Emit *e, const Borrowed *b);
/* A bit for each guest register. */
unsigned t_borrowed(const Borrowed *b);

/* --- table.c ----------------------------------------------------------- */

/* If the present instruction begins to use one. */
void t_table_begin(Ctx *c);
/* Is its memory operand in the table?  Then as t_operand(). */
bool t_in_table(const Ctx *c);
unsigned t_table_operand(Ctx *c, unsigned size);
/* The table's slot has missed: let a->ea be the address less a->disp; and what
 * homes have, before it goes on. */
void t_table_miss_begin(Ctx *c, const Stub *s, Access *a);
void t_table_miss_end(Ctx *c, const Stub *s);

/* --- ahead.c, turns.c -------------------------------------------------- */

/* c->turns: the loop that begins with the present instruction; false: none, or
 * it is not known ahead.  keep_flags: between turns, too; apart: pages of a
 * group may lie anywhere. */
bool t_turns_known(Ctx *c, bool keep_flags, bool apart);

/* Guest registers that `n` names.  *high: AH or its like. */
unsigned t_named(const Insn *n, bool *high);

/* Turns without checks of a loop that begins with the present instruction, if
 * there is one; and after an instruction, where such turns go on. */
void t_turns_begin(Ctx *c);
void t_turns_end(Ctx *c);
/* The memory operand in such a turn: as t_operand(). */
unsigned t_turns_operand(Ctx *c);
/* A poll, then to `to`, where the turns of the loop at `off` are checked.
 * Flags are in cc_raw. */
void t_turns_again(Ctx *c, unsigned off, uint8_t *to);

/* --- cross.c ----------------------------------------------------------- */

/* Does instruction `i` end in the next page? */
static inline bool t_crosses(const Block *b, unsigned i)
{
    return b->n_tail && i + 1 == b->n_insns;
}
/* The present one does: as it was decoded, or the interpreter runs it.  Clobbers
 * RFLAGS. */
void t_cross_check(Ctx *c);

/* --- compile.c --------------------------------------------------------- */

/* Are the flags before instruction `first` overwritten before anything can
 * look? */
bool t_flags_dead(const Block *b, unsigned first);
/* The host instruction just emitted may raise a signal. */
void t_add_site(Ctx *c, bool flags_live, JitReplay replay);

/* --- flow.c ------------------------------------------------------------ */

Stub *t_add_stub(Ctx *c);
/* Slots of this instruction that miss go on to `s` when the TLB misses too. */
void t_misses_to(Ctx *c, const Stub *s);
Stub *t_add_exit(Ctx *c, unsigned kind, unsigned off);
/* A rel32 here leads to the stub. */
void t_stub_site(Ctx *c, Stub *s);
/* A short jump over what comes until t_over_end(). */
enum { JAE8 = 0x73, JE8 = 0x74, JNE8 = 0x75 };
uint8_t *t_over_begin(Ctx *c, unsigned opc);
void t_over_end(Ctx *c, uint8_t *from);
/* Does nobody look at flags that come to `off` of the page?  As far as is known:
 * see JitEdge.flags_gone. */
bool t_unwanted_at(const Ctx *c, int64_t off);
/* Flags are to be in RFLAGS or cc_raw, and stay there. */
void t_settle(Ctx *c);
/* They are to be in cc_raw. */
void t_flags_to_env(Ctx *c);
/* A poll, then to what the exit's edge will be linked to.  Clobbers RFLAGS. */
void t_go_linked(Ctx *c, Stub *s);
/* A relative target; `committed`: the instruction has had its effects. */
void t_go_rel(Ctx *c, int64_t off, bool committed);
/*
 * To the RIP in RDX through the jump table; a miss goes to `miss`.  Before the
 * jump SP moves by `pop`.
 */
void t_go_indirect(Ctx *c, Stub *miss, int pop, const uint64_t *rip);
/* Then the interpreter runs this instruction. */
Stub *t_miss_interp(Ctx *c);

/* --- indirect.c -------------------------------------------------------- */

/* Does the block go on where its JMP leads? */
static inline bool t_follows(const Ctx *c)
{
    return c->i + 1 < c->b->n_insns;
}

bool t_jmp_rm(Ctx *c);
/* Behind the block: where jumps that it follows have led elsewhere. */
void t_astray(Ctx *c);

static inline void t_align8(Emit *e)
{
    e_nops(e, -(uintptr_t)e->p & 7);
}

/* --- templates by subject: false if they have none for c->insn --------- */

bool t_alu(Ctx *c);
bool t_move(Ctx *c);
bool t_flow(Ctx *c);
bool t_system(Ctx *c);
bool t_bmi(Ctx *c);
bool t_bit(Ctx *c);
bool t_clock(Ctx *c);
bool t_string(Ctx *c);
bool t_vec(Ctx *c);
bool t_x87(Ctx *c);
/* x87 or vector registers are about to be used; false: not on this host.
 * vec.c */
bool t_live(Ctx *c, unsigned need);
unsigned t_fp_need(Ctx *c, const Insn *n);
/* env->x87_base is to be this page's.  x87.c */
void t_x87_base(Ctx *c);
/* The host instruction just emitted may raise SIGFPE. */
void t_fp_site(Ctx *c);
/* Check the slot below RSP: its address is then in RDX, unless it is in a
 * group.  move.c */
void t_push_check(Ctx *c);
/* Push RCX there; RAX and RDX are as t_push_check() has left them. */
void t_push_word(Ctx *c);
/* The same for an immediate that is sign-extended. */
void t_push_imm(Ctx *c, int32_t v);
/* Where the stack's top is: in SP's home, or RDX.  move.c */
unsigned t_stack_top(Ctx *c);

#endif
