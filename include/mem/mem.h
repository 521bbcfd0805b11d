/*
 * Guest memory: RAM blocks, regions, address spaces, flat views.
 *
 * A Region is a stretch of bytes that is RAM, ROM, I/O callbacks, an alias of
 * part of another region, or a container of others.  Regions form a tree by
 * region_map(); an AddressSpace is the tree seen from one root.  A committed
 * tree is flattened into an immutable FlatView: a sorted array of ranges that
 * readers search without a lock (reclaimed by QSBR).
 *
 * Invariants:
 *  1. A Region is mapped in at most one container.
 *  2. The tree changes under the machine lock, between mem_begin() and
 *     mem_commit() (a lone change commits itself); views change at the
 *     outermost commit only, and committing waits for no one.
 *  3. Guest RAM is reached through as_*() or a bounded as_map() only.
 *
 * Callbacks run with the machine lock held (taken by as_*() when the caller
 * does not hold it) unless the region says `lockless`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include "base/bits.h"

typedef uint64_t hwaddr;

typedef struct Object Object;
typedef struct Region Region;
typedef struct AddressSpace AddressSpace;
typedef struct RamBlock RamBlock;
typedef struct MemListener MemListener;
typedef struct FlatView FlatView;

typedef enum {
    MEM_OK,
    MEM_DECODE_ERROR,           /* nothing there: reads give all ones */
    MEM_DEVICE_ERROR,           /* the device refused */
} MemResult;

typedef struct IoOps {
    /* `offset` is within the region; `size` is one the chip decodes. */
    uint64_t (*read)(void *opaque, hwaddr offset, unsigned size);
    void (*write)(void *opaque, hwaddr offset, uint64_t val, unsigned size);
    /*
     * What the chip decodes, in bytes (0 means 1 and 8).  The core splits
     * wider accesses, lowest address first, and widens narrower ones: a read
     * of size_min whose bytes are cut out, a write of size_min with the other
     * bytes zero.  Unaligned accesses are split unless `unaligned`.
     */
    unsigned size_min, size_max;
    bool unaligned;
    bool lockless;              /* callbacks need no machine lock */
} IoOps;

/* One span of guest RAM with a host mapping. */
struct RamBlock {
    char *name;
    uint8_t *host;              /* (C) page-aligned */
    uint64_t size_bytes;        /* (C) multiple of 4096 */
    uint64_t ram_addr;          /* (C) its place in the space of all RAM */
    int fd;                     /* (C) memfd or file, -1 when anonymous */
    bool readonly;
    uint8_t *dirty;             /* (A) a byte a page: DirtyClient bits */
    int refs;
};

typedef enum {
    REGION_CONTAINER, REGION_IO, REGION_RAM, REGION_ROM, REGION_ALIAS
} RegionKind;

/* Embedded in its owner; fields are private to src/mem but for reading. */
struct Region {
    const char *name;           /* owned */
    Object *owner;
    RegionKind kind;
    uint64_t size_bytes;        /* UINT64_MAX stands for 2^64 */
    bool enabled;
    bool readonly;              /* an alias that turns RAM into ROM */

    const IoOps *ops;           /* REGION_IO; ROM writes go here when set */
    void *opaque;
    RamBlock *ram;              /* REGION_RAM, REGION_ROM */
    Region *alias;              /* REGION_ALIAS */
    hwaddr alias_offset;

    Region *parent;
    hwaddr at;                  /* offset in parent */
    int priority;               /* higher hides lower */
    GPtrArray *children;        /* of Region *, REGION_CONTAINER */
};

/* --- regions; all under the machine lock ------------------------------- */

/* `owner` may be NULL; `name` is copied.  `ops` must outlive the region. */
void region_init_io(Region *r, Object *owner, const char *name,
                    const IoOps *ops, void *opaque, uint64_t size_bytes);
/* RAM that reads zero.  False with `err` when the host has not enough. */
bool region_init_ram(Region *r, Object *owner, const char *name,
                     uint64_t size_bytes, GError **err);
/* ROM of that size, filled with zero; the owner writes ram->host. */
bool region_init_rom(Region *r, Object *owner, const char *name,
                     uint64_t size_bytes, GError **err);
void region_init_container(Region *r, Object *owner, const char *name,
                           uint64_t size_bytes);
/* `size` bytes of `target` from `offset`. */
void region_init_alias(Region *r, Object *owner, const char *name,
                       Region *target, hwaddr offset, uint64_t size_bytes);
/* Unmap if mapped, drop RAM; the Region may then be initialised anew. */
void region_destroy(Region *r);

void region_map(Region *parent, hwaddr at, Region *child, int priority);
void region_unmap(Region *child);
bool region_mapped(const Region *r);
void region_set_enabled(Region *r, bool enabled);
/* Move a mapped region; as unmap and map in one commit. */
void region_move(Region *r, hwaddr at);
/* Redirect an alias, or change whether it may be written (PAM registers). */
void region_set_alias_offset(Region *r, hwaddr offset);
void region_set_readonly(Region *r, bool readonly);

/* Group changes: views are rebuilt at the outermost commit. */
void mem_begin(void);
void mem_commit(void);

/* --- address spaces ---------------------------------------------------- */

struct AddressSpace {
    const char *name;
    Region *root;
    FlatView *view;             /* (A) current; read by as_view() */
    GPtrArray *listeners;
};

/* System memory and the 64 KiB of I/O ports; roots are containers. */
extern AddressSpace as_memory, as_io;
Region *mem_root(void);
Region *io_root(void);
/* Memory as a processor in system management mode sees it: system memory, and
 * over it what the board maps there.  Made at the first call; until then its
 * `root` is NULL, and nothing is ever in that mode. */
extern AddressSpace as_smm;
Region *smm_root(void);

void as_init(AddressSpace *as, Region *root, const char *name);
void as_destroy(AddressSpace *as);

/*
 * Copy bytes from or to guest addresses, over any mix of RAM and I/O.  `len`
 * bytes; reads of nothing give FF.  Returns the first error, having done the
 * rest.  Any thread; takes the machine lock for I/O callbacks when the caller
 * does not hold it, so iothreads must keep to RAM: see as_map().
 */
MemResult as_read(AddressSpace *as, hwaddr gpa, void *buf, size_t len);
MemResult as_write(AddressSpace *as, hwaddr gpa, const void *buf, size_t len);

/* One access of 1, 2, 4 or 8 bytes as a CPU would make it. */
MemResult as_load(AddressSpace *as, hwaddr gpa, unsigned size, uint64_t *val);
MemResult as_store(AddressSpace *as, hwaddr gpa, unsigned size, uint64_t val);

/*
 * A host pointer to at most *len bytes of RAM at `gpa`; *len is cut to what
 * is contiguous.  NULL when `gpa` is not RAM (or is ROM and `write`).  Ended
 * by as_unmap() with the bytes actually written, which marks them dirty.  The
 * pointer is good until then (the RamBlock is referenced).
 */
void *as_map(AddressSpace *as, hwaddr gpa, uint64_t *len, bool write);
void as_unmap(AddressSpace *as, void *hva, uint64_t len, bool write,
              uint64_t written);

/* --- flat views -------------------------------------------------------- */

typedef struct FlatRange {
    hwaddr start;
    uint64_t size_bytes;
    Region *region;
    hwaddr offset;              /* of `start` in the region */
    RamBlock *ram;              /* what backs it, or NULL for I/O */
    bool readonly;              /* writes do not reach RAM */
} FlatRange;

struct FlatView {
    FlatRange *ranges;          /* sorted, disjoint */
    unsigned n_ranges;
};

/* The current view; good until the thread's next qsbr_quiescent(). */
const FlatView *as_view(AddressSpace *as);
/* The range that holds `gpa`, or NULL. */
const FlatRange *view_find(const FlatView *view, hwaddr gpa);
/*
 * One access to an I/O range, split and widened to the chip's sizes; takes
 * the machine lock if needed.  `offset` is within the region.  A region that
 * was destroyed since the caller found it in a view gives MEM_DECODE_ERROR;
 * its memory stays until the caller's next qsbr_quiescent().
 */
MemResult region_io_read(Region *r, hwaddr offset, unsigned size,
                         uint64_t *val);
MemResult region_io_write(Region *r, hwaddr offset, unsigned size,
                          uint64_t val);

/*
 * Accelerators follow the map.  add/del: ranges that appeared or vanished at
 * a commit, del first, under the machine lock.  `commit` ends each commit
 * that changed something.  All may be NULL.
 */
struct MemListener {
    void (*del)(MemListener *, const FlatRange *);
    void (*add)(MemListener *, const FlatRange *);
    void (*commit)(MemListener *);
    /* A ROM/RAM range was written by as_write or a device, whose pages have
     * DIRTY_CODE clear: the emulator drops translations.  Any thread. */
    void (*code_written)(MemListener *, RamBlock *, uint64_t offset,
                         uint64_t len);
    /* A client other than DIRTY_CODE is about to look at the range: writes that
     * bypass the log and are not in it yet must be entered.  Any thread. */
    void (*dirty_sync)(MemListener *, RamBlock *, uint64_t offset,
                       uint64_t len);
    /* A client other than DIRTY_CODE cleared its bits in the range: writes
     * that bypass the log must come through it again.  Any thread. */
    void (*dirty_cleared)(MemListener *, RamBlock *, uint64_t offset,
                          uint64_t len);
};
/* The listener sees the present view as `add`s before this returns. */
void as_add_listener(AddressSpace *as, MemListener *l);
void as_remove_listener(AddressSpace *as, MemListener *l);

/* --- RAM and its dirty log --------------------------------------------- */

/*
 * Independent clients of one log.  A set bit means "written since this client
 * last looked".  For DIRTY_CODE the sense is the emulator's: clear means the
 * page holds translated code, and a write must be reported.
 */
typedef enum {
    DIRTY_VGA       = 1 << 0,
    DIRTY_MIGRATION = 1 << 1,
    DIRTY_CODE      = 1 << 2,
    DIRTY_ALL       = 7,
} DirtyClient;

/* `len` bytes from `offset` were written: set every client's bits and tell
 * the listener about pages that hold code.  Any thread. */
void ram_mark_dirty(RamBlock *rb, uint64_t offset, uint64_t len);
/* Test and clear `client`'s bits in the range: was any page written? */
bool ram_test_clear_dirty(RamBlock *rb, uint64_t offset, uint64_t len,
                          DirtyClient client);
/* The dirty byte of one page, for the emulator's TLB fill. */
uint8_t *ram_dirty_byte(RamBlock *rb, uint64_t offset);

/* The block at a host pointer, with the offset; NULL when not guest RAM. */
RamBlock *ram_from_host(const void *hva, uint64_t *offset);
void ram_foreach(void (*fn)(RamBlock *rb, void *opaque), void *opaque);
/* Host memory policy for blocks made from now on: -mem-prealloc and so on. */
typedef struct RamPolicy { bool merge, dump, prealloc, shared; } RamPolicy;
extern RamPolicy ram_policy;

/* Print the trees and flat views, as `info mtree [-f]`. */
void mem_print(GString *out, bool flat);

#endif
