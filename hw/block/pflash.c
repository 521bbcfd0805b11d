/*
 * cfi.pflash01: a NOR flash chip with Intel's commands, for firmware and its
 * variables.
 *
 * As long as the chip is in the mode for reading its array, reads are those of a
 * ROM, and code runs from it; commands put registers in front of the array.
 *
 * Spec:   JEDEC JESD68 (common flash interface) and JEP137; Intel 28F640J3A.
 * Models: one chip on an 8-bit bus: program by bytes and by its buffer, erase,
 *         locks of blocks, identifier, query.  Commands end at once, so there
 *         is nothing to suspend.
 * Differs: Clear Status clears the ready bit as well, until the next
 *         operation: OVMF tells flash from ROM and RAM by that.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/block/pflash.h"

#include "base/log.h"
#include "base/opts.h"
#include "base/trace.h"
#include "block/backend.h"

enum {                          /* commands */
    READ_ARRAY = 0xff, READ_ARRAY_TOO = 0x00, READ_ID = 0x90, QUERY = 0x98,
    READ_STATUS = 0x70, CLEAR_STATUS = 0x50, PROGRAM = 0x40,
    PROGRAM_TOO = 0x10, BUFFER = 0xe8, ERASE = 0x20, ERASE_TOO = 0x28,
    LOCK = 0x60, SUSPEND = 0xb0, CONFIRM = 0xd0, LOCK_BLOCK = 0x01,
};
enum {                          /* status register */
    SR_LOCKED = 1 << 1, SR_PROGRAM = 1 << 4, SR_ERASE = 1 << 5,
    SR_READY = 1 << 7,
};
enum { VENDOR = 0x89, BUFFER_BYTES = 32, MAX_BLOCKS = 4096, QUERY_BYTES = 0x40 };

/* Second and later cycles of a command. */
enum { STEP_NONE, STEP_PROGRAM, STEP_ERASE, STEP_LOCK, STEP_COUNT, STEP_DATA,
       STEP_CONFIRM, N_STEPS };

typedef struct {
    Device dev;
    BlockBackend *blk;          /* properties */
    uint32_t n_blocks, block_bytes;

    Region chip, array, registers;
    uint64_t size_bytes;
    bool read_only;

    uint8_t mode;               /* READ_ARRAY, READ_STATUS, READ_ID, QUERY */
    uint8_t status, step;
    uint32_t at;                /* block that a command began with */
    uint8_t n_buffer, n_wanted; /* bytes */
    uint32_t buffer_at[BUFFER_BYTES];
    uint8_t buffer[BUFFER_BYTES];
    uint64_t locked[MAX_BLOCKS / 64];
} Pflash;

static Pflash *pflash_of(Device *dev)
{
    return container_of(dev, Pflash, dev);
}

static void set_mode(Pflash *s, uint8_t mode)
{
    s->mode = mode;
    region_set_enabled(&s->registers, mode != READ_ARRAY);
}

/* --- the array ---------------------------------------------------------------- */

static bool is_locked(const Pflash *s, uint32_t at)
{
    uint32_t block = at / s->block_bytes;

    return s->locked[block / 64] >> (block % 64) & 1;
}

/* The array has changed there: so must the image. */
static void store(Pflash *s, uint32_t at, uint32_t bytes, uint8_t bad)
{
    ram_mark_dirty(s->array.ram, at, bytes);
    if (s->blk && blk_write_buf(s->blk, at, s->array.ram->host + at, bytes)) {
        warn("flash '%s': its image cannot be written", blk_label(s->blk));
        s->status |= bad;
    }
}

/* Programming clears bits, erasing sets them. */
static void program(Pflash *s, uint32_t at, uint8_t val)
{
    uint8_t *byte = s->array.ram->host + at;

    if (is_locked(s, at)) {
        s->status |= SR_PROGRAM | SR_LOCKED;
    } else if ((*byte & val) != *byte) {
        *byte &= val;
        store(s, at, 1, SR_PROGRAM);
    }
}

static void erase(Pflash *s, uint32_t at)
{
    trace("pflash-erase", "at 0x%" PRIx32, at);
    if (is_locked(s, at)) {
        s->status |= SR_ERASE | SR_LOCKED;
        return;
    }
    memset(s->array.ram->host + at, 0xff, s->block_bytes);
    store(s, at, s->block_bytes, SR_ERASE);
}

/* --- commands ------------------------------------------------------------------- */

/* A cycle that does not belong there: both bits say so. */
static void bad_sequence(Pflash *s)
{
    s->status |= SR_READY | SR_PROGRAM | SR_ERASE;
    s->step = STEP_NONE;
}

static void first_cycle(Pflash *s, uint32_t at, uint8_t val)
{
    s->at = at - at % s->block_bytes;
    switch (val) {
    case READ_ARRAY:
    case READ_ARRAY_TOO:
        set_mode(s, READ_ARRAY);
        return;
    case READ_ID:
    case QUERY:
        set_mode(s, val);
        return;
    case CLEAR_STATUS:
        s->status = 0;
        set_mode(s, READ_ARRAY);
        return;
    case PROGRAM:
    case PROGRAM_TOO:
        s->step = STEP_PROGRAM;
        break;
    case ERASE:
    case ERASE_TOO:
        s->step = STEP_ERASE;
        break;
    case LOCK:
        s->step = STEP_LOCK;
        break;
    case BUFFER:
        s->step = STEP_COUNT;
        s->status |= SR_READY;  /* the buffer is free */
        break;
    case READ_STATUS:
    case SUSPEND:
    case CONFIRM:               /* resume */
        break;
    default:
        guest_error("cfi.pflash01", "unknown command 0x%02x", val);
        set_mode(s, READ_ARRAY);
        return;
    }
    set_mode(s, READ_STATUS);
}

static void set_lock(Pflash *s, uint8_t how)
{
    uint32_t block = s->at / s->block_bytes;

    if (how == LOCK_BLOCK) {
        s->locked[block / 64] |= BIT64(block % 64);
    } else if (how == CONFIRM) {        /* all of them, as the 28FxxxJ3 */
        memset(s->locked, 0, sizeof(s->locked));
    } else {
        bad_sequence(s);
        return;
    }
    s->status |= SR_READY;
}

static void take_count(Pflash *s, uint8_t val)
{
    if (val >= BUFFER_BYTES) {
        bad_sequence(s);
        return;
    }
    s->n_wanted = val + 1;
    s->n_buffer = 0;
    s->step = STEP_DATA;
}

static void take_data(Pflash *s, uint32_t at, uint8_t val)
{
    if (at - at % s->block_bytes != s->at) {
        bad_sequence(s);
        return;
    }
    s->buffer_at[s->n_buffer] = at;
    s->buffer[s->n_buffer++] = val;
    if (s->n_buffer == s->n_wanted) {
        s->step = STEP_CONFIRM;
    }
}

static void next_cycle(Pflash *s, uint32_t at, uint8_t val)
{
    uint8_t step = s->step;

    switch (step) {
    case STEP_COUNT:
        take_count(s, val);
        return;
    case STEP_DATA:
        take_data(s, at, val);
        return;
    }
    s->step = STEP_NONE;
    if ((step == STEP_ERASE || step == STEP_CONFIRM) && val != CONFIRM) {
        bad_sequence(s);
        return;
    }
    switch (step) {
    case STEP_PROGRAM:
        program(s, at, val);
        break;
    case STEP_ERASE:
        erase(s, s->at);
        break;
    case STEP_LOCK:
        set_lock(s, val);
        return;
    case STEP_CONFIRM:
        for (unsigned i = 0; i < s->n_buffer; i++) {
            program(s, s->buffer_at[i], s->buffer[i]);
        }
        break;
    }
    s->status |= SR_READY;
}

static void pflash_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Pflash *s = opaque;

    if (s->read_only) {
        return;                 /* write-protected: a ROM */
    }
    if (s->step != STEP_NONE) {
        next_cycle(s, at, val);
    } else {
        first_cycle(s, at, val);
    }
}

/* --- registers --------------------------------------------------------------------- */

/* By size, as of the 28F320J3A, 640 and 128; others have none. */
static uint8_t device_id(const Pflash *s)
{
    switch (s->size_bytes) {
    case 4 * MiB:
        return 0x16;
    case 8 * MiB:
        return 0x17;
    case 16 * MiB:
        return 0x18;
    default:
        return 0;
    }
}

static uint8_t read_id(const Pflash *s, uint32_t at)
{
    switch (at % s->block_bytes) {
    case 0:
        return VENDOR;
    case 1:
        return device_id(s);
    case 2:
        return is_locked(s, at);
    default:
        return 0;
    }
}

static uint8_t query(const Pflash *s, uint32_t at)
{
    uint8_t table[QUERY_BYTES] = {
        [0x10] = 'Q', 'R', 'Y',
        [0x13] = 1, 0, 0x31, 0,         /* Intel's commands; their table */
        [0x1b] = 0x27, 0x36, 0, 0,      /* 2.7 to 3.6 V */
        [0x1f] = 7, 7, 10, 0, 4, 4, 4, 0,       /* times, 2^n us and ms */
        [0x27] = __builtin_ctzll(s->size_bytes),
        [0x28] = 0, 0,                  /* eight bits */
        [0x2a] = __builtin_ctz(BUFFER_BYTES), 0,
        [0x2c] = 1, (s->n_blocks - 1) & 0xff, (s->n_blocks - 1) >> 8,
        [0x2f] = (s->block_bytes / 256) & 0xff, s->block_bytes / 256 >> 8,
        [0x31] = 'P', 'R', 'I', '1', '1',
        [0x36] = 0x08,                  /* locks */
        [0x3b] = 1,                     /* status register's lock bit */
        [0x3d] = 0x33,                  /* 3.3 V */
    };

    at &= 0xff;
    return at < sizeof(table) ? table[at] : 0;
}

static uint64_t pflash_read(void *opaque, hwaddr at, unsigned size)
{
    const Pflash *s = opaque;

    switch (s->mode) {
    case READ_ID:
        return read_id(s, at);
    case QUERY:
        return query(s, at);
    case READ_STATUS:
        return s->status;
    default:
        return s->array.ram->host[at];
    }
}

static const IoOps pflash_ops = {
    .read = pflash_read, .write = pflash_write, .size_min = 1, .size_max = 1,
};

/* --- life ------------------------------------------------------------------------------ */

static const BlkDevOps dev_ops = { .name = "cfi.pflash01" };

static bool fail(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static bool fail(GError **err, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "cfi.pflash01: %s", text);
    return false;
}

static bool check_size(Pflash *s, GError **err)
{
    if (s->block_bytes < 256 || s->block_bytes > MiB
        || s->block_bytes & (s->block_bytes - 1)) {
        return fail(err, "sector-length=%u: a power of two from 256 to 1M is "
                    "wanted", s->block_bytes);
    }
    if (!s->n_blocks && s->blk) {
        uint64_t length = blk_length(s->blk);

        if (!length || length % s->block_bytes
            || length / s->block_bytes > MAX_BLOCKS) {
            return fail(err, "drive '%s' has %" PRIu64 " bytes; a multiple of "
                        "%u, up to %u times, is wanted", blk_label(s->blk),
                        length, s->block_bytes, MAX_BLOCKS);
        }
        s->n_blocks = length / s->block_bytes;
    }
    if (!s->n_blocks || s->n_blocks > MAX_BLOCKS) {
        return fail(err, "num-blocks=%u: 1 to %u are accepted, or a drive "
                    "that tells", s->n_blocks, MAX_BLOCKS);
    }
    s->size_bytes = (uint64_t)s->n_blocks * s->block_bytes;
    if (s->size_bytes % 4096) {
        return fail(err, "%" PRIu64 " bytes are not whole pages",
                    s->size_bytes);
    }
    if (s->blk && blk_length(s->blk) < s->size_bytes) {
        return fail(err, "drive '%s' has %" PRIu64 " bytes, the chip %" PRIu64,
                    blk_label(s->blk), blk_length(s->blk), s->size_bytes);
    }
    return true;
}

static bool fill(Pflash *s, GError **err)
{
    int ret;

    if (!s->blk) {
        memset(s->array.ram->host, 0xff, s->size_bytes);
        return true;
    }
    ret = blk_read_buf(s->blk, 0, s->array.ram->host, s->size_bytes);
    return ret == 0 || fail(err, "drive '%s' cannot be read: %s",
                            blk_label(s->blk), g_strerror(-ret));
}

static void unrealize(Device *dev)
{
    Pflash *s = pflash_of(dev);

    region_destroy(&s->registers);
    region_destroy(&s->array);
    region_destroy(&s->chip);
    if (s->blk) {
        blk_detach(s->blk);
    }
}

static bool realize(Device *dev, GError **err)
{
    Pflash *s = pflash_of(dev);

    s->read_only = s->blk && blk_is_read_only(s->blk);
    if (!check_size(s, err)
        || (s->blk && !blk_attach(s->blk, &dev_ops, s, !s->read_only, false,
                                  err))) {
        return false;
    }
    if (!region_init_rom(&s->array, &dev->obj, "flash", s->size_bytes, err)) {
        goto no_array;
    }
    s->array.ops = &pflash_ops;         /* writes are commands */
    s->array.opaque = s;
    region_init_io(&s->registers, &dev->obj, "flash-registers", &pflash_ops,
                   s, s->size_bytes);
    region_init_container(&s->chip, &dev->obj, "cfi.pflash01", s->size_bytes);
    region_map(&s->chip, 0, &s->array, 0);
    region_map(&s->chip, 0, &s->registers, 1);
    set_mode(s, READ_ARRAY);
    if (!fill(s, err)) {
        unrealize(dev);
        return false;
    }
    device_add_region(dev, &s->chip);
    return true;
no_array:
    if (s->blk) {
        blk_detach(s->blk);
    }
    return false;
}

static void reset(Device *dev)
{
    Pflash *s = pflash_of(dev);

    s->status = SR_READY;
    s->step = STEP_NONE;
    s->at = s->n_buffer = s->n_wanted = 0;
    memset(s->buffer, 0, sizeof(s->buffer));
    memset(s->buffer_at, 0, sizeof(s->buffer_at));
    memset(s->locked, 0, sizeof(s->locked));
    set_mode(s, READ_ARRAY);
}

const uint8_t *pflash_bytes(Device *dev, uint64_t *size_bytes)
{
    Pflash *s = pflash_of(dev);

    *size_bytes = s->size_bytes;
    return s->array.ram->host;
}

static bool post_load(void *opaque, int version, GError **err)
{
    Pflash *s = opaque;
    bool buffering = s->step >= STEP_DATA;

    if ((s->mode != READ_ARRAY && s->mode != READ_STATUS && s->mode != READ_ID
         && s->mode != QUERY)
        || s->step >= N_STEPS || s->at >= s->size_bytes
        || s->at % s->block_bytes || s->n_wanted > BUFFER_BYTES
        || s->n_buffer > s->n_wanted
        || (s->step == STEP_DATA && s->n_buffer == s->n_wanted)
        || (buffering && !s->n_wanted)) {
        return fail(err, "no state that it can be in");
    }
    for (unsigned i = 0; i < BUFFER_BYTES; i++) {
        if (s->buffer_at[i] >= s->size_bytes) {
            return fail(err, "a byte beyond its end");
        }
    }
    set_mode(s, s->mode);
    return true;
}

static const State pflash_state = {
    .name = "cfi.pflash01", .version = 1, .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_U8(Pflash, mode), STATE_U8(Pflash, status),
        STATE_U8(Pflash, step), STATE_U32(Pflash, at),
        STATE_U8(Pflash, n_buffer), STATE_U8(Pflash, n_wanted),
        STATE_U32_ARRAY(Pflash, buffer_at), STATE_BYTES(Pflash, buffer),
        STATE_U64_ARRAY(Pflash, locked),
        {}
    },
};

static const Property pflash_props[] = {
    PROP_DRIVE(Pflash, blk, "drive", "what it holds; none: erased, forgotten"),
    PROP_U32(Pflash, n_blocks, "num-blocks", 0,
             "erase blocks; 0: as many as the drive has"),
    PROP_U32(Pflash, block_bytes, "sector-length", 4096,
             "bytes of an erase block"),
    {}
};

static const DeviceType pflash_type = {
    .name = PFLASH, .doc = "NOR flash with Intel's commands",
    .parent = &device_type, .size = sizeof(Pflash), .props = pflash_props,
    .state = &pflash_state,
    .realize = realize, .unrealize = unrealize, .reset = reset,
};
DEVICE_TYPE(pflash_type)
