/*
 * The emulator's core: softTLB, decoded blocks, run loop.  Private to
 * accel/tcg; handlers need env.h only.  docs/emulator.md tells the story.
 *
 * Invariants:
 *
 *  1. A TLB, fetch TLB and jump cache are touched by their vCPU's thread while
 *     it is `running`, else by whoever holds the sync mutex.
 *  2. A page of RAM that holds decoded code has DIRTY_CODE clear in its dirty
 *     byte, and then no TLB has a write tag for it, save those of vCPUs that
 *     have not yet answered the request to drop it (CodePage.n_acks counts
 *     them): until all have, blocks of that page are compared with memory each
 *     time they are entered.
 *  3. Block.insns never changes after publication but for `fn`, which
 *     invalidation overwrites so that whoever is inside leaves at the next
 *     instruction.  Memory of a block is freed by QSBR.
 *  4. A link joins blocks of the same page and mode; it is set and cleared
 *     under the cache mutex, and a stale block is linked from nowhere.
 *
 * Locks: cache mutex, then sync mutex; neither is held while waiting for the
 * machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_TCG_H
#define TCG_TCG_H

#include "accel/tcg/env.h"
#include "mem/mem.h"

#define PAGE_BYTES UINT64_C(4096)
#define PAGE_OFFSET(a) ((a) & (PAGE_BYTES - 1))
#define PAGE_START(a) ((a) & ~(PAGE_BYTES - 1))

/* --- softTLB: mmu.c ------------------------------------------------------- */

enum {                          /* TlbEntry.aux, below the physical page */
    TLBE_VALID  = 1 << 0,
    TLBE_SLOW   = 1 << 1,       /* not RAM by whole pages: `addend` is the gva
                                 * page, both tags are empty */
    TLBE_W      = 1 << 2,       /* may be written, and D is set */
    TLBE_CODE   = 1 << 3,       /* no write tag: code was there at the fill */
    TLBE_ROM    = 1 << 4,       /* no write tag: stores do not reach RAM */
    TLBE_GLOBAL = 1 << 5,
    TLBE_LARGE  = 1 << 6,       /* part of a 2M or 4M page */
    TLBE_HUGE   = 1 << 7,       /* part of a 1G page */
};

/* Who accesses: also the index of the table. */
enum { MMU_SUPER, MMU_SUPER_AC, MMU_USER, N_MMU };

typedef struct Tlb {
    TlbEntry e[TLB_SIZE];
    /* Which entries were filled since the last flush: [1] global ones. */
    uint16_t journal[2][TLB_SIZE];
    unsigned n_journal[2];
    uint64_t noted[2][TLB_SIZE / 64];
} Tlb;

/* Where the tables are, from Env: one allocation holds all. */
static inline size_t tcg_tlb_offset(unsigned who)
{
    return ALIGN_UP(sizeof(Env), 4096) + who * ALIGN_UP(sizeof(Tlb), 4096);
}

enum { FETCH_BITS = 8, FETCH_SIZE = 1 << FETCH_BITS };

/* Where instructions of a page come from. */
typedef struct FetchEntry {
    uint64_t page;              /* linear */
    uint32_t gen;               /* valid if it is the bank's */
    hwaddr gpa;
    uint8_t *hva;               /* NULL: not RAM by whole pages */
    RamBlock *rb;
    uint64_t rb_offset;
} FetchEntry;

/* The fetch TLB of user mode or of supervisor mode, and the generation of the
 * jump cache's entries that rest on it. */
typedef struct FetchBank {
    uint32_t gen;               /* of entries; never 0 */
    uint32_t jump_gen;          /* in tags of the jump cache; never 0 */
    uint32_t last_gen, last_jump_gen;   /* the highest given out so far */
    bool local;                 /* some entry is not of a global page ... */
    bool global;                /* ... and some one is */
    uint64_t filter[64];        /* pages entered since `gen` ... */
    uint64_t tops[8];           /* ... and their top bits: see tlb_top() */
    FetchEntry e[FETCH_SIZE];
} FetchBank;

/* What a load of CR3 takes from a FetchBank and may bring back. */
typedef struct SavedBank {
    bool valid;
    uint32_t gen, jump_gen;
    uint32_t epoch;             /* TcgCpu.jump_epoch that jump_gen is of */
    uint64_t filter[64], tops[8];
} SavedBank;

enum { JUMP_BITS = 14, JUMP_SIZE = 1 << JUMP_BITS };

/*
 * `tag` is jump_gen << 32 | mode of when the translation was known; if it is
 * Env.jump_tag it still is.  If only `n_invalidated` is still right, the block
 * exists, and holds if RIP's page is still `ram_page`.
 */
typedef struct JumpEntry {
    uint64_t rip;               /* and CS.base: see Env.jump_base */
    uint64_t tag;
    const struct Block *block;
    uint32_t n_invalidated;     /* low half of TcgCpu.n_invalidated */
    uint32_t ram_page;          /* block->ram_addr >> 12 */
} JumpEntry;

/* A decoded instruction that no shared block can hold: it crosses a page or
 * is not in RAM.  Compared with memory each time. */
typedef struct LooseInsn {
    uint64_t gva;
    uint32_t mode;
    uint8_t n_bytes;
    uint8_t bytes[15];
    struct Block *block;
} LooseInsn;

enum { N_LOOSE = 64 };

/* Drop write tags for host addresses [start, start + len). */
typedef struct DropRequest {
    uint8_t *start;
    uint64_t len;
    struct CodePage *page;      /* acknowledge to it; NULL: mark dirty */
} DropRequest;

/* One piece of an access that goes through env->bounce. */
typedef struct BouncePart {
    hwaddr gpa;
    uint8_t *hva;               /* RAM or ROM; NULL: through as_*() */
    bool readonly;              /* writes go through as_*() all the same */
    unsigned len;
} BouncePart;

/* A breakpoint of DR0 to DR3 that is enabled in DR7. */
typedef struct Breakpoint {
    uint64_t first, last;       /* linear addresses */
    uint8_t dr6;                /* its bit */
    bool on_read;               /* data: reads too */
} Breakpoint;

/*
 * Paging-structure caches (SDM 3A 4.10.3): where the table of the last level
 * (by 2 MiB) or of the last but one (by 1 GiB) is, so that a refill reads one
 * entry.  `host` is RAM that can be written.
 */
typedef struct WalkEntry {
    uint64_t tag;               /* gva >> 21 or 30 */
    uint32_t gen;               /* valid if it is TcgCpu.walk_gen */
    bool user, write, no_exec;  /* rights joined down to here */
    uint8_t *host;
} WalkEntry;

enum { WALK_PT = 64, WALK_PD = 8 };

/* The range of the flat view that holds a 2 MiB piece of physical memory. */
typedef struct PhysEntry {
    uint64_t tag;               /* gpa >> 21, + 1 */
    const FlatRange *range;
} PhysEntry;

enum { N_PHYS = 64 };

/* The outcome of a page walk. */
typedef struct Walk {
    hwaddr gpa;                 /* A20 applied */
    unsigned shift;             /* log2 of the page size: 12, 21, 22, 30 */
    bool user, write, no_exec, global;  /* rights joined over all levels */
    bool dirty;
    bool key_read, key_write;   /* protection keys allow it (super: WP) */
} Walk;

enum { ACC_PROBE = ACC_EXEC + 1 };      /* no rights, no A and D, no fault */

/* Ways that are seldom gone, forced by options for tests. */
typedef struct TcgTest {
    bool few_entries;           /* x-tlb-four */
    uint32_t flush_each;        /* x-flush-each: 0, or every how many blocks */
    bool poll;                  /* x-poll */
} TcgTest;

extern TcgTest tcg_test;

enum { FEW_ENTRIES = 4 };

typedef struct TcgCpu {
    Env *env;
    X86Cpu *cpu;
    Tlb *tlb[N_MMU];
    unsigned who;               /* MMU_* of the present CPL and AC */
    bool check_alignment;       /* #AC: env->tlb is always empty */

    uint16_t pcid;              /* whose entries the TLBs hold */
    struct PcidStore *pcids;    /* other PCIDs' entries, or NULL */
    AddressSpace *as;           /* physical memory: SMM has its own */
    uint32_t map_gen;           /* memory map that the TLBs know */
    uint64_t a20_mask;
    uint64_t paging;            /* what the TLBs were filled under */
    uint32_t cs_limit;          /* that the jump cache was filled under */
    uint64_t n_invalidated;     /* blocks, as of the last look */
    uint8_t phys_bits;
    bool has_1g;

    Breakpoint watch[4], exec[4];   /* data, instructions; see env->s.dr */
    unsigned n_watch, n_exec;
    uint64_t dr[5];             /* DR0 to DR3 and DR7 that they were made of */

    uint32_t walk_gen;          /* never 0 */
    WalkEntry walk_pt[WALK_PT], walk_pd[WALK_PD];
    PhysEntry phys[N_PHYS];     /* void when the map changes */
    uint64_t apic_page;         /* as of the last full flush */
    uint64_t pdpte[4];          /* PAE outside long mode: registers */

    FetchBank fetch[2];         /* by CPL == 3 */
    uint32_t jump_epoch;        /* jump_gen changed for both banks */
    uint64_t large[16], huge[16];   /* large pages in the TLBs, as filters */
    uint64_t large_tops[8];         /* their top bits: see tlb_top() */
    uint16_t keys;              /* protection keys of pages in the TLBs */
    JumpEntry jump[JUMP_SIZE];
    LooseInsn loose[N_LOOSE];

    /* MONITOR: a line, and what was in it when it was armed. */
    bool monitor_armed;
    uint64_t monitor_gva;
    uint8_t monitor_line[64];

    const struct Block *link_from;  /* left it for want of a link */
    BouncePart part[2];             /* of the access in env->bounce */
    unsigned n_parts;
    unsigned lock_size;             /* env->locked_code: of the access */

    /* Under the sync mutex. */
    bool running;               /* inside run(), not at a safe point */
    GArray *drops;              /* of DropRequest */

    uint32_t n_drops;               /* whenever entries were dropped */
    uint64_t n_fills, n_lookups;    /* statistics */

    /* x-tlb-four: what was filled last, table << 16 | index + 1. */
    uint32_t few[FEW_ENTRIES];
    unsigned few_next;
} TcgCpu;

/* walk.c: false with #PF recorded (ACC_PROBE: without). */
bool mmu_walk(Env *env, uint64_t gva, int acc, unsigned who, Walk *w);
/* What backs the physical page at `gpa` (A20 applied): its range if all of it
 * is RAM or ROM, else NULL. */
const FlatRange *phys_page(TcgCpu *t, hwaddr gpa);
/* Is `gva` canonical?  Always outside long mode. */
bool mmu_canonical(const Env *env, uint64_t gva);

/* Could an implicit supervisor access be made?  Then the TLB knows the page;
 * false with the exception recorded. */
bool mem_sys_probe(Env *env, uint64_t gva, bool write);

/* What one page of linear addresses translates to, for instruction fetch.
 * NULL with the exception recorded. */
const FetchEntry *mmu_fetch(Env *env, uint64_t gva);
/* The same if it is known already. */
static inline const FetchEntry *mmu_fetch_known(const Env *env, uint64_t gva)
{
    const FetchBank *bank = &env->tcg->fetch[env->cpl == 3];
    const FetchEntry *f = &bank->e[gva >> 12 & (FETCH_SIZE - 1)];

    return f->page == PAGE_START(gva) && f->gen == bank->gen ? f : NULL;
}
/* Linear to physical as a debugger wants it: no fault, no A or D.  False when
 * not mapped. */
bool mmu_probe(Env *env, uint64_t gva, hwaddr *gpa);
/* The rest of env_update_mode(): choose the table, flush after changes. */
void mmu_update_mode(Env *env);
/* A zeroed environment with its TLBs; NULL: no memory. */
Env *mmu_env_new(void);
void mmu_env_free(Env *env);
void mmu_init(TcgCpu *t);
/* Take over what DR0 to DR3 and DR7 say. */
void mmu_update_breakpoints(Env *env);
/* Do what other threads asked: drop write tags, note a new memory map. */
void mmu_drop_writes(TcgCpu *t, const DropRequest *req);
/* Flush if the memory map or A20 changed since, or system management mode was
 * entered or left. */
void mmu_follow_map(Env *env);
/* Guest RAM at `hva` was stored to by this vCPU: dirty log, decoded code. */
void mmu_ram_written(uint8_t *hva, unsigned len);
/* The page at `hva` was: dirty log only. */
void mmu_mark_dirty(uint8_t *hva);
/* tlb.c: enter a translation.  hva NULL: slow. */
TlbEntry *tlb_enter(TcgCpu *t, unsigned who, uint64_t page, uint8_t *hva,
                    bool direct_write, uint64_t aux);
/* A table in which nothing hits. */
extern TlbEntry tlb_none[TLB_SIZE];
/* lockstep.c: `len` bytes of RAM are about to be stored to; NULL: what is
 * accessed is none.  Called while it is set. */
extern void (*lockstep_store_hook)(Env *env, uint8_t *hva, unsigned len);
/* An entry that was valid when it left the table; a global one in its place
 * stays. */
void tlb_put_back(TcgCpu *t, unsigned who, unsigned index, const TlbEntry *e);
/* The same for what instruction fetch knows; not what rests on global pages. */
void tlb_save_bank(TcgCpu *t, unsigned user, SavedBank *to);
void tlb_put_back_bank(TcgCpu *t, unsigned user, const SavedBank *from);
/* `page` is in a page of 2^shift bytes, shift > 12. */
void tlb_note_large(TcgCpu *t, uint64_t page, unsigned shift);
/* Bit of a 512-bit filter: 512 GiB of 48-bit addresses, 8 MiB of the first. */
static inline unsigned tlb_top(uint64_t gva)
{
    return (gva >> 39 ? gva >> 39 : gva >> 23) & 511;
}
/* pcid.c: save the TLBs' entries that are not global, bring some back, forget
 * one PCID's or all, visit all. */
typedef struct PcidStore PcidStore;
void pcid_save(TcgCpu *t, uint16_t pcid);
void pcid_restore(TcgCpu *t, uint16_t pcid);
void pcid_forget(TcgCpu *t, uint16_t pcid);
void pcid_forget_all(TcgCpu *t);
void pcid_foreach(TcgCpu *t, void (*fn)(TlbEntry *e, unsigned index,
                                        const void *opaque),
                  const void *opaque);
void pcid_free(TcgCpu *t);
/* Blocks were invalidated, `n` ever: the jump cache is void. */
void tcg_forget_blocks(TcgCpu *t, uint64_t n);

/* Guest RAM, which other threads may write at any time. */
void guest_copy(void *to, const void *from, unsigned len);
bool guest_equal(const void *guest, const void *copy, unsigned len);

/* --- decoded blocks: cache.c ---------------------------------------------- */

enum { BLOCK_MAX_INSNS = 64, LINE_BYTES = 64 };

typedef struct CodePage CodePage;

/* A run of bytes of a page. */
typedef struct BlockPart {
    uint16_t off, len;
} BlockPart;

enum {
    BLOCK_PARTS = 10,           /* of a longer form, at most */
    BLOCK_TARGETS = 16,         /* that are remembered */
};

typedef struct Block {
    /* What insn_jump() reads, in one cache line. */
    struct Block *link[2];      /* (A) in-page successors ... */
    uint32_t link_off[2];       /* ... and their offsets; set once */
    uint32_t n_insns;
    uint16_t off, len;          /* bytes, in the page: see n_tail */

    uint64_t ram_addr;          /* key: RamBlock.ram_addr + offset ... */
    uint32_t mode;              /* ... and DM_* */
    bool stale;                 /* (A) */
    CodePage *page;             /* NULL: loose */
    struct Block *hash_next;    /* (A) */
    struct Block *page_next;
    uint8_t *bytes;             /* as decoded */
    /* The last instruction may end in the next page, whose bytes are compared
     * each time it runs.  Its handler does so, and then calls this. */
    uint8_t n_tail;
    InsnFn *cross_fn;

    /* The translator's. */
    struct JitCode *jit;        /* NULL: not compiled; under the mutex */
    void *jit_code;             /* (A) where jumps enter it, never NULL */
    InsnFn *jit_fn0;            /* handler of the first instruction */
    uint32_t jit_runs;
    uint8_t jit_n_samples;      /* (A) */
    uint8_t jit_n_near;         /* (A) of these, soon after the one before, */
    uint64_t jit_last_tsc;      /* (A) which was then */
    uint32_t *jit_samples;      /* (A) for each instruction: slot.c */
    /* The same and what follows it, which is what is compiled; under the
     * mutex.  Lookups never find that. */
    struct Block *longer, *shorter;
    bool is_longer;
    /* A longer form goes on elsewhere in its page where it follows a jump. */
    uint8_t n_more;
    BlockPart more[BLOCK_PARTS - 1];
    bool jit_straight;          /* (A) no more such forms */
    /* (A) where its indirect jump has led, offsets in its page */
    uint8_t jit_n_to;           /* 0 to BLOCK_TARGETS, and round */
    uint16_t jit_to[BLOCK_TARGETS];

    Insn insns[];               /* n_insns and the end */
} Block;

/* What insn_jump() takes off the budget: how many instructions of the block
 * have been executed with `insn`.  Any number for a copy outside of it. */
static inline int64_t block_charge(const Block *b, const Insn *insn)
{
    return insn - b->insns + 1;
}

struct CodePage {
    CodePage *hash_next;        /* (A) */
    RamBlock *rb;
    uint64_t rb_offset;
    uint64_t ram_addr;
    uint8_t *hva;
    uint64_t lines;             /* (A) that blocks cover, LINE_BYTES each */
    Block *blocks;
    unsigned n_acks;            /* (A) vCPUs that may have a write tag */
    unsigned n_idle_writes;     /* since it has held no block */
    unsigned n_cross_misses;    /* the next page's bytes were others */
    uint64_t jit_base;          /* (A) the translator's: jit/fixed.c */
    bool dead;                  /* freed when n_acks is 0 */
    GList fifo;
};

/* Blocks by address and mode: found without a lock. */
enum { BLOCK_HASH_BITS = 16 };
extern Block *cache_blocks[1 << BLOCK_HASH_BITS];       /* (A) */

static inline unsigned block_hash(uint64_t ram_addr, uint32_t mode)
{
    return ((ram_addr ^ (uint64_t)mode << 40) * UINT64_C(0x9e3779b97f4a7c15))
           >> (64 - BLOCK_HASH_BITS);
}

static inline Block *block_find(uint64_t ram_addr, uint32_t mode)
{
    Block *b = __atomic_load_n(&cache_blocks[block_hash(ram_addr, mode)],
                               __ATOMIC_ACQUIRE);

    while (b && (b->ram_addr != ram_addr || b->mode != mode)) {
        b = __atomic_load_n(&b->hash_next, __ATOMIC_ACQUIRE);
    }
    return b;
}

void cache_init(uint64_t max_bytes);
void cache_exit(void);
/* The block at `gva`, whose page is `f`; NULL with an exception recorded. */
const Block *cache_get(Env *env, const FetchEntry *f, uint64_t gva,
                       uint32_t mode);
/* Make `to` the successor of `from` at its offset. */
void cache_link(const Block *from, const Block *to);
/* RAM was written: drop overlapping blocks.  vCPU threads; any other thread. */
void cache_written(RamBlock *rb, uint64_t offset, uint64_t len);
void cache_written_foreign(RamBlock *rb, uint64_t offset, uint64_t len);
/* The block has gone from the memory map and may be freed. */
void cache_drop_ram(const RamBlock *rb);
/* A vCPU has dropped its write tag. */
void cache_page_acked(CodePage *page);
/* Is the page still waiting for that? */
static inline bool block_unsure(const Block *b)
{
    return b->page && __atomic_load_n(&b->page->n_acks, __ATOMIC_ACQUIRE);
}
/* The block at offset `off` of a page; under the mutex. */
Block *cache_find_in_page(const CodePage *page, unsigned off, uint32_t mode);
/* A longer form of `b`, to be compiled in its place; NULL: there is none. */
Block *cache_longer(Env *env, Block *b);
void cache_lock(void);
void cache_unlock(void);
/* Does the block still agree with memory? */
bool block_agrees(const Block *b);
/* Number of blocks ever invalidated: a change voids jump caches. */
extern uint64_t cache_n_invalidated;    /* (A) */
/* Of blocks ever made: who comes to one through compiled code, to which nothing
 * in C has led, sees all of it after reading this. */
extern uint32_t cache_n_published;      /* (A) */
void cache_stats(uint64_t *n_blocks, uint64_t *n_bytes);
uint64_t cache_limit(void);

/* Whether blocks hold one instruction each (-accel one-insn-per-tb). */
extern bool tcg_one_insn;

/* --- running: run.c ------------------------------------------------------- */

CpuRun tcg_run(X86Cpu *cpu);

/* --- vCPUs together: vcpus.c ---------------------------------------------- */

void tcg_add_cpu(TcgCpu *t);
void tcg_remove_cpu(TcgCpu *t);
/* Ask every vCPU but `self` to drop its write tags; returns how many will call
 * cache_page_acked().  Those not running are served at once. */
unsigned tcg_request_drop(TcgCpu *self, const DropRequest *req);
/* Between instructions: answer requests, wait out exclusive sections.  Returns
 * running, or, to `leave`, not. */
void tcg_safe_point(TcgCpu *t, bool leave);
/* Stop every other vCPU at a safe point; true memory state may differ on
 * return: translate anew. */
void tcg_exclusive_begin(Env *env);
void tcg_exclusive_end(Env *env);
/* The memory map changed: (A) generation, and tell all vCPUs. */
extern uint32_t tcg_map_gen;
void tcg_map_changed(void);
void tcg_foreach_cpu(void (*fn)(TcgCpu *, void *), void *opaque);

/* An SMI, between instructions.  interp/smm.c */
void smm_enter(Env *env);

/* --- features.c ----------------------------------------------------------- */

/* What the emulator can give a guest: FEAT_* bits in N_FEATURE_WORDS words. */
void tcg_features(uint32_t *words);

#endif
