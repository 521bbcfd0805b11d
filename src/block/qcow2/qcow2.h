/*
 * What the files of the qcow2 driver share.
 *
 * Spec:  "Qcow2 image file format", docs/interop/qcow2 of QEMU's
 *        documentation: versions 2 and 3.
 *
 * An image is a file of clusters.  Two tables of two levels each: L1 and L2
 * say where a guest's cluster is, the refcount table and its blocks how often
 * a cluster of the file is referred to.
 *
 * Invariants, which make a crash cost clusters (leaks) and never data:
 *  1. An L2 entry is written after the data that it points to and after the
 *     reference count of that cluster are on stable storage; an L1 entry after
 *     its L2 table; an entry of the refcount table after its block.
 *  2. A reference count goes down (and so the cluster may be used anew) after
 *     all that pointed to the cluster has been changed on stable storage and
 *     no request that looked it up is in flight: until then it is in `frees`.
 *  3. A guest cluster has at most one allocation under way (`allocs`); writes,
 *     zeroes and discards of that cluster wait for it.
 * So counts on the disk are never too low, but while the dirty bit is set
 * (lazy refcounts): then they are made anew when the image is opened.
 *
 * Locks:  `lock`, a CoMutex, guards all tables and lists here.  Data moves
 *         without it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "../node.h"
#include "block/image.h"

enum {
    QCOW2_MAGIC = 0x514649fb,
    QCOW2_V2_HEADER_BYTES = 72,
    QCOW2_V3_HEADER_BYTES = 104,
    QCOW2_HEADER_BYTES = 112,           /* with compression_type: ours */
    QCOW2_MIN_CLUSTER_BITS = 9, QCOW2_MAX_CLUSTER_BITS = 21,
    QCOW2_MAX_BACKING_BYTES = 1023,
    QCOW2_MAX_L1_BYTES = 32 << 20,
    QCOW2_MAX_REFTABLE_BYTES = 8 << 20,
    QCOW2_MAX_SNAPSHOTS = 65536,
    QCOW2_MAX_SNAPSHOT_BYTES = 64 << 20,        /* of their table */
    QCOW2_MAX_SNAPSHOT_EXTRA = 1024,
};

/* incompatible_features, compatible_features, autoclear_features */
#define INCOMPAT_DIRTY          BIT64(0)
#define INCOMPAT_CORRUPT        BIT64(1)
#define INCOMPAT_DATA_FILE      BIT64(2)
#define INCOMPAT_COMPRESSION    BIT64(3)
#define INCOMPAT_EXTENDED_L2    BIT64(4)
#define INCOMPAT_KNOWN          (INCOMPAT_DIRTY | INCOMPAT_CORRUPT \
                                 | INCOMPAT_COMPRESSION)
#define COMPAT_LAZY_REFCOUNTS   BIT64(0)
#define AUTOCLEAR_BITMAPS       BIT64(0)
#define AUTOCLEAR_KNOWN         AUTOCLEAR_BITMAPS

/* Header extensions. */
enum {
    EXT_END = 0,
    EXT_BACKING_FORMAT = 0xe2792aca,
    EXT_FEATURE_NAMES = 0x6803f857,
    EXT_BITMAPS = 0x23852875,
    EXT_CRYPTO = 0x0537be77,
    EXT_DATA_FILE = 0x44415441,
};

/* Entries of L1 and L2 tables. */
#define ENTRY_COPIED        BIT64(63)   /* its reference count is exactly one */
#define ENTRY_COMPRESSED    BIT64(62)
#define ENTRY_ZERO          BIT64(0)
#define ENTRY_OFFSET        UINT64_C(0x00fffffffffffe00)
#define L1_RESERVED         UINT64_C(0x7f000000000001ff)
#define L2_RESERVED         UINT64_C(0x3f000000000001fe)
#define REFTABLE_OFFSET     (~UINT64_C(0x1ff))

enum { COMPRESSION_ZLIB, COMPRESSION_ZSTD };

/* --- tables in memory (table.c) ------------------------------------------- */

/* A cluster of the file, as it is there: big-endian. */
typedef struct Table {
    uint64_t offset;
    uint8_t *data;
    uint32_t dirty_from, dirty_to;      /* bytes; equal: clean */
    struct Table *prev, *next;          /* most recently used first */
} Table;

typedef struct TableCache {
    GHashTable *by_offset;
    Table *first, *last;
    unsigned n, max, n_dirty;
} TableCache;

/* --- the image ------------------------------------------------------------ */

typedef struct Snapshot {
    uint64_t l1_offset;
    uint32_t l1_size;
    char *id, *name;
    uint32_t date_s, date_ns;
    uint64_t vm_clock_ns, vm_state_bytes, disk_bytes;
    uint64_t icount;
    uint8_t *extra;             /* what follows the fields known here */
    uint32_t extra_bytes;
} Snapshot;

/* Guest clusters that are being given host clusters. */
typedef struct Alloc {
    uint64_t first, end;        /* guest clusters */
    struct Alloc *next;
} Alloc;

typedef struct FreeRange {
    uint64_t at, bytes;         /* in the file: all touched clusters */
    bool discard;               /* the guest said so: tell the file */
} FreeRange;

typedef struct Qcow2 {
    BlockNode *n;

    /* header */
    unsigned version, cluster_bits, refcount_order, header_bytes;
    unsigned compression;
    uint64_t incompatible, compatible, autoclear;
    char *backing_file, *backing_format;
    uint64_t backing_offset;
    uint8_t *extensions;        /* those that are kept as they are */
    size_t extensions_bytes;
    uint64_t bitmaps_at, bitmaps_bytes;         /* their directory */
    uint32_t n_bitmaps;

    uint64_t cluster;           /* bytes */
    unsigned l2_bits;           /* log2 of entries of an L2 table */
    uint64_t *l1;               /* host order */
    uint32_t l1_size;
    uint64_t l1_offset;
    uint32_t l1_dirty_from, l1_dirty_to;        /* entries */
    TableCache l2;

    uint64_t *reftable;
    uint64_t reftable_size;     /* entries in memory and on the disk */
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint64_t ref_dirty_from, ref_dirty_to;
    bool reftable_moving;
    TableCache blocks;
    GHashTable *metadata;       /* cluster number: TABLE_* */

    Snapshot *snapshots;
    uint32_t n_snapshots;
    uint64_t snapshots_offset, snapshots_bytes;

    CoMutex lock;
    Alloc *allocs;
    CoQueue alloc_done;
    unsigned n_in_place;        /* requests at work in clusters looked up */
    CoQueue in_place_done;
    GArray *frees;              /* of FreeRange */
    uint64_t freed_bytes;
    uint64_t free_hint;         /* no free cluster is before this one */
    uint64_t high_water;        /* bytes: nothing was ever behind it */
    uint64_t tail;              /* where compressed data goes on, or 0 */
    bool barrier;               /* flush before an L2 table is written */
    bool began;                 /* what the first write does to bits */
    bool corrupt_told;
    bool pass_discards;
    bool checking;              /* opened to look for damage: tolerate it */

    uint64_t z_entry;           /* what z_data was unpacked from, 0: nothing */
    uint8_t *z_data;
} Qcow2;

static inline uint64_t qcow2_in_cluster(const Qcow2 *s, uint64_t at)
{
    return at & (s->cluster - 1);
}

static inline uint64_t qcow2_clusters(const Qcow2 *s, uint64_t bytes)
{
    return (bytes >> s->cluster_bits)
           + ((bytes & (s->cluster - 1)) != 0);
}

/* L1 entries that `bytes` of disk need. */
static inline uint64_t qcow2_l1_needed(const Qcow2 *s, uint64_t bytes)
{
    unsigned shift = s->cluster_bits + s->l2_bits;

    return (bytes >> shift) + ((bytes & (BIT64(shift) - 1)) != 0);
}

static inline Qcow2 *qcow2_of(BlockNode *n)
{
    return n->state;
}

/* A compressed cluster's place: bytes of the file from *at on. */
uint64_t qcow2_packed_range(const Qcow2 *s, uint64_t entry, uint64_t *at);

/* --- header.c --- */
bool qcow2_parse_header(Qcow2 *s, const uint8_t *head, size_t len,
                        GError **err);
bool qcow2_parse_extensions(Qcow2 *s, const uint8_t *head, size_t len,
                            GError **err);
/* The fields of fixed size, as they are in `s`. */
void qcow2_put_header(const Qcow2 *s, uint8_t *head);
int qcow2_write_header(Qcow2 *s);
/* With extensions and the backing file's name: the whole first cluster. */
int qcow2_write_header_cluster(Qcow2 *s);
bool qcow2_is_lazy(const Qcow2 *s);
/* The header's word about the bitmaps, as it is in `s`. */
void qcow2_set_bitmaps_extension(Qcow2 *s);
/* Before the first change: bits that do not survive a writer. */
int qcow2_begin_writing(Qcow2 *s);
/* Say once what is wrong with the image, set the corrupt bit; -EIO. */
int qcow2_corrupt(Qcow2 *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* --- table.c --- */
void qcow2_cache_init(TableCache *c, unsigned max);
void qcow2_cache_free(TableCache *c);
/* The table at `offset`, good until the next call for the same cache.  With
 * `fresh` it is zero and not read. */
int qcow2_table(Qcow2 *s, TableCache *c, uint64_t offset, bool fresh,
                Table **out);
void qcow2_dirty(TableCache *c, Table *t, uint32_t from, uint32_t bytes);
/* What is in the cluster at `offset` is no table any more. */
void qcow2_forget(TableCache *c, uint64_t offset);
int qcow2_write_blocks(Qcow2 *s);       /* reference counts, with their table */
int qcow2_write_tables(Qcow2 *s);       /* those, then L2 tables */
/* All metadata down to stable storage, and what that frees. */
int qcow2_sync(Qcow2 *s);

/* --- refcount.c --- */
int qcow2_get_refcount(Qcow2 *s, uint64_t cluster, uint64_t *count);
/* All clusters touched by the range.  Down only where invariant 2 holds. */
int qcow2_change_refcounts(Qcow2 *s, uint64_t at, uint64_t bytes, int by);
int qcow2_set_refcount(Qcow2 *s, uint64_t cluster, uint64_t count);
uint64_t qcow2_max_refcount(const Qcow2 *s);
uint64_t qcow2_load_count(const uint8_t *block, unsigned order, uint64_t i);
void qcow2_store_count(uint8_t *block, unsigned order, uint64_t i,
                       uint64_t count);
/* Between 1 and `want` clusters in a row with reference count 1. */
int qcow2_alloc(Qcow2 *s, uint64_t want, uint64_t *at, uint64_t *got);
/* Exactly `n` in a row. */
int qcow2_alloc_run(Qcow2 *s, uint64_t n, uint64_t *at);
/* The refcount table has more entries than place in the file: a new place. */
int qcow2_move_reftable(Qcow2 *s);
/* For `bytes` of compressed data. */
int qcow2_alloc_packed(Qcow2 *s, uint64_t bytes, uint64_t *at);
/* Give back later: when all that pointed there is gone. */
void qcow2_free_later(Qcow2 *s, uint64_t at, uint64_t bytes, bool discard);
int qcow2_apply_frees(Qcow2 *s);
/* Would data at [at, at + bytes) of the file overwrite tables? */
bool qcow2_is_metadata(Qcow2 *s, uint64_t at, uint64_t bytes);
/* May the table at `at` be written as one of this kind?  -EIO: something else
 * is said to be there as well. */
typedef enum { TABLE_L2 = 1, TABLE_BLOCK = 2 } TableKind;
int qcow2_check_table(Qcow2 *s, uint64_t at, TableKind kind);
void qcow2_add_metadata(Qcow2 *s, uint64_t at, TableKind kind);
void qcow2_remove_metadata(Qcow2 *s, uint64_t at);

/* --- map.c --- */
typedef enum { MAP_NONE, MAP_ZERO, MAP_DATA, MAP_PACKED } MapKind;
typedef struct Mapping {
    MapKind kind;
    uint64_t at;                /* in the file; 0: nowhere */
    uint64_t bytes;             /* of guest, from the byte asked for */
    uint64_t entry;             /* the first one */
    bool writable;              /* data that may be overwritten in place */
} Mapping;
/* What is at `at`, and how far it goes on like that up to `bytes`. */
int qcow2_lookup(Qcow2 *s, uint64_t at, uint64_t bytes, Mapping *m);
/* The L2 table for `at`, made or copied so that it may be written. */
int qcow2_l2_for_write(Qcow2 *s, uint64_t at, Table **t, uint64_t *index);
/* Entries [index, index + n) of it; what they pointed to is freed later. */
int qcow2_set_entries(Qcow2 *s, Table *t, uint64_t index, uint64_t n,
                      uint64_t first, uint64_t step, bool discard);
uint64_t qcow2_l2_entry(const Table *t, uint64_t index);
int qcow2_grow_l1(Qcow2 *s, uint64_t entries);

/* --- io.c --- */
int qcow2_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
               unsigned flags);
int qcow2_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                unsigned flags);
int qcow2_pack_cluster(BlockNode *n, const uint8_t *plain, uint64_t bytes,
                       uint8_t *packed);
int qcow2_write_packed(BlockNode *n, uint64_t at, const uint8_t *packed,
                       uint64_t len);
int qcow2_status(BlockNode *n, uint64_t at, uint64_t bytes, BlockStatus *st);
/* Take the lock and hold it while nobody allocates in the range; see to what
 * comes before any change. */
int qcow2_lock_range(Qcow2 *s, uint64_t at, uint64_t bytes);
/* Does the guest's range read as zeroes whatever the backing file holds? */
int qcow2_is_zero_range(Qcow2 *s, uint64_t at, uint64_t bytes);

/* --- zero.c --- */
int qcow2_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                       unsigned flags);
int qcow2_discard(BlockNode *n, uint64_t at, uint64_t bytes);

/* --- pack.c: in a worker thread --- */
/* `out` gets exactly out_bytes; -EIO when the data is bad. */
int qcow2_unpack(BlockCtx *ctx, unsigned kind, const uint8_t *in,
                 size_t in_bytes, uint8_t *out, size_t out_bytes);
/* The length, or -ENOSPC when it does not get smaller. */
int qcow2_pack(BlockCtx *ctx, unsigned kind, const uint8_t *in,
               size_t in_bytes, uint8_t *out, size_t out_bytes);
bool qcow2_compression_known(unsigned kind);

/* --- snapshot.c --- */
bool qcow2_read_snapshots(Qcow2 *s, uint32_t n, GError **err);
void qcow2_free_snapshots(Qcow2 *s);
extern const BlockSnapshotOps qcow2_snapshot_ops;

/* --- bitmap.c --- */
bool qcow2_change_bitmap(BlockNode *n, const BlockBitmapCall *call,
                         GError **err);
/* For `info`; NULL: there are none, or they cannot be read. */
Opt *qcow2_list_bitmaps(BlockNode *n);

/* --- check.c --- */
int qcow2_check(BlockNode *n, unsigned fix, BlockCheck *check);

/* --- create.c --- */
bool qcow2_create(Opt *opts, GError **err);
bool qcow2_measure(Opt *opts, BlockNode *from, BlockMeasure *m, GError **err);

/* --- amend.c --- */
bool qcow2_amend(BlockNode *n, Opt *opts, GError **err);

/* --- resize.c --- */
int qcow2_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                   GError **err);
/* Entries and host clusters for [from, to), so that writes are in place. */
int qcow2_preallocate(Qcow2 *s, uint64_t from, uint64_t to);
/* The same for all of the disk, outside coroutines. */
int qcow2_preallocate_all(BlockNode *n);
/* Room in the host's file system for what has places. */
int qcow2_fill(BlockNode *n, uint64_t from, uint64_t to, BlockPrealloc how);
int qcow2_make_empty(BlockNode *n);
bool qcow2_change_backing(BlockNode *n, const char *file, const char *format,
                          GError **err);

#endif
