/*
 * Commands of ATA disks.
 *
 * Spec:   ATA/ATAPI-7 volume 1 (T13/1532D), section 6; ATA8-ACS for DATA SET
 *         MANAGEMENT.
 * Models: the general, PACKET-less feature set, 48-bit, power management,
 *         write cache, FLUSH CACHE, SMART, DSM/TRIM; what is not there aborts:
 *         security, HPA, queueing, streaming, CFA, media.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/ide.h"

#include <errno.h>

#include "base/trace.h"

enum {                          /* commands */
    DATA_SET_MANAGEMENT = 0x06, RECALIBRATE = 0x10,
    READ_SECTORS = 0x20, READ_SECTORS_NORETRY, READ_SECTORS_EXT = 0x24,
    READ_DMA_EXT = 0x25, READ_NATIVE_MAX_EXT = 0x27, READ_MULTIPLE_EXT = 0x29,
    WRITE_SECTORS = 0x30, WRITE_SECTORS_NORETRY, WRITE_SECTORS_EXT = 0x34,
    WRITE_DMA_EXT = 0x35, WRITE_MULTIPLE_EXT = 0x39, WRITE_DMA_FUA_EXT = 0x3d,
    READ_VERIFY = 0x40, READ_VERIFY_NORETRY, READ_VERIFY_EXT = 0x42,
    SEEK = 0x70, EXECUTE_DIAGNOSTIC = 0x90, INITIALIZE_PARAMETERS = 0x91,
    SMART = 0xb0, READ_MULTIPLE = 0xc4, WRITE_MULTIPLE = 0xc5,
    SET_MULTIPLE = 0xc6, READ_DMA = 0xc8, READ_DMA_NORETRY, WRITE_DMA = 0xca,
    WRITE_DMA_NORETRY, WRITE_MULTIPLE_FUA_EXT = 0xce,
    STANDBY_IMMEDIATE = 0xe0, IDLE_IMMEDIATE, STANDBY, IDLE, CHECK_POWER = 0xe5,
    SLEEP, FLUSH_CACHE, FLUSH_CACHE_EXT = 0xea, IDENTIFY_DEVICE = 0xec,
    SET_FEATURES = 0xef, READ_NATIVE_MAX = 0xf8,
};

/* --- addresses ------------------------------------------------------------------------ */

/* Where the registers point, or UINT64_MAX for a cylinder, head or sector that
 * is none. */
static uint64_t get_address(const IdeDrive *s)
{
    unsigned cyl = s->high.now << 8 | s->mid.now;

    if (s->lba48) {
        return (uint64_t)s->high.hob << 40 | (uint64_t)s->mid.hob << 32
               | (uint64_t)s->low.hob << 24 | (uint64_t)s->high.now << 16
               | s->mid.now << 8 | s->low.now;
    }
    if (s->device & IDE_LBA) {
        return (uint64_t)(s->device & 15) << 24 | s->high.now << 16
               | s->mid.now << 8 | s->low.now;
    }
    if (!s->low.now || s->low.now > s->secs
        || (s->device & 15) >= s->heads) {
        return UINT64_MAX;
    }
    return ((uint64_t)cyl * s->heads + (s->device & 15)) * s->secs
           + s->low.now - 1;
}

static void put_address(IdeDrive *s, uint64_t lba)
{
    if (s->lba48) {
        s->low = (IdeReg) { lba, lba >> 24 };
        s->mid = (IdeReg) { lba >> 8, lba >> 32 };
        s->high = (IdeReg) { lba >> 16, lba >> 40 };
    } else if (s->device & IDE_LBA) {
        s->low.now = lba;
        s->mid.now = lba >> 8;
        s->high.now = lba >> 16;
        s->device = (s->device & 0xf0) | (lba >> 24 & 15);
    } else {
        uint64_t track = lba / s->secs, cyl = track / s->heads;

        s->low.now = lba % s->secs + 1;
        s->mid.now = cyl;
        s->high.now = cyl >> 8;
        s->device = (s->device & 0xf0) | track % s->heads;
    }
}

static uint32_t get_count(const IdeDrive *s)
{
    uint32_t n = s->lba48 ? s->count.hob << 8 | s->count.now : s->count.now;

    return n ? n : s->lba48 ? 65536 : 256;
}

/* The registers name the sector that failed. */
static void fail_at(IdeDrive *s, uint64_t lba, uint8_t error)
{
    put_address(s, lba);
    ide_fail(s, error);
}

/* Sectors [lba, lba + left) of the command; false: it has failed. */
static bool take_range(IdeDrive *s)
{
    uint64_t lba = get_address(s);
    uint32_t n = get_count(s);

    if (lba >= s->n_sectors) {
        ide_fail(s, IDE_IDNF);
        return false;
    }
    if (n > s->n_sectors - lba) {       /* nothing of it is done */
        fail_at(s, s->n_sectors, IDE_IDNF);
        return false;
    }
    s->lba = lba;
    s->left = n;
    return true;
}

/* Sectors that exist, of at most `n` from s->lba on. */
static uint32_t within(const IdeDrive *s, uint32_t n)
{
    return s->lba >= s->n_sectors ? 0 : MIN(n, s->n_sectors - s->lba);
}

static void advance(IdeDrive *s, uint32_t n)
{
    s->lba += n;
    s->left -= n;
    if (!s->left) {
        put_address(s, s->lba - 1);
    }
}

/* --- PIO reads --------------------------------------------------------------------------- */

/* Offer the next block of what has been read. */
static void offer_block(IdeDrive *s)
{
    uint32_t n = MIN(s->block, s->left), at = s->buf_len;

    advance(s, n);
    ide_pio_in(s, at, n * IDE_SECTOR_BYTES,
               s->left ? STEP_ATA_READ_BLOCK : STEP_DONE);
}

static void read_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && s->n_now > s->block) {
        /* Some sector of many: go block by block, to name it. */
        s->buf_have = 0;
        s->n_now = s->block;
        ata_read_block(s);
        return;
    }
    if (ret < 0 && ide_io_error(s, true, &ret, STEP_ATA_READ_BLOCK)) {
        s->buf_have = s->buf_len = 0;
        return;
    }
    if (ret < 0) {
        fail_at(s, s->lba, IDE_UNC);
        return;
    }
    s->buf_have = s->n_now * IDE_SECTOR_BYTES;
    s->buf_len = 0;
    offer_block(s);
}

/* The host has read a block (or none yet) and there is more. */
void ata_read_block(IdeDrive *s)
{
    uint32_t most = IDE_BUFFER_BYTES / IDE_SECTOR_BYTES, n;

    /* A block of a command ends at its end, or at what was read ahead: both
     * are whole blocks, but for the last. */
    if (s->left && s->buf_have - s->buf_len >= MIN(s->block, s->left)
                                               * IDE_SECTOR_BYTES) {
        offer_block(s);
        return;
    }
    if (s->n_now == s->block) {
        most = s->block;        /* after an error: one by one */
    }
    n = within(s, MIN(s->left, most / s->block * s->block));
    if (!n) {
        fail_at(s, s->lba, IDE_IDNF);
        return;
    }
    s->n_now = n;
    s->vec = (struct iovec) { s->buf, n * IDE_SECTOR_BYTES };
    blk_read(s->conf.blk, s->lba * IDE_SECTOR_BYTES, s->vec.iov_len, &s->vec,
             1, read_done, ide_io_begin(s));
}

static void pio_read(IdeDrive *s, uint32_t block)
{
    if (!block) {
        ide_abort(s);           /* READ MULTIPLE when that is off */
        return;
    }
    if (take_range(s)) {
        s->block = block;
        s->n_now = 0;
        s->buf_have = s->buf_len = 0;
        ata_read_block(s);
    }
}

/* --- PIO writes ---------------------------------------------------------------------------- */

static void ask_block(IdeDrive *s, bool interrupt)
{
    uint32_t n = MIN(s->block, s->left);

    ide_pio_out(s, n * IDE_SECTOR_BYTES, interrupt, STEP_ATA_WRITE_BLOCK);
}

static void write_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, false, &ret, STEP_ATA_WRITE_BLOCK)) {
        return;
    }
    if (ret < 0) {
        /* The standard has no bit for a failed write: ABRT is what drivers
         * take for one. */
        fail_at(s, s->lba, IDE_ABRT);
        return;
    }
    advance(s, s->n_now);
    if (s->left) {
        ask_block(s, true);
    } else {
        ide_done(s);
    }
}

/* A block has arrived. */
void ata_write_block(IdeDrive *s)
{
    uint32_t n = s->buf_len / IDE_SECTOR_BYTES;

    if (n > s->left || within(s, n) < n) {
        fail_at(s, MAX(s->lba, s->n_sectors), IDE_IDNF);
        return;
    }
    s->n_now = n;
    s->vec = (struct iovec) { s->buf, n * IDE_SECTOR_BYTES };
    blk_write(s->conf.blk, s->lba * IDE_SECTOR_BYTES, s->vec.iov_len, &s->vec,
              1, s->fua ? BLOCK_FUA : 0, write_done, ide_io_begin(s));
}

static void pio_write(IdeDrive *s, uint32_t block, bool fua)
{
    if (!block) {
        ide_abort(s);
        return;
    }
    if (take_range(s)) {
        s->block = block;
        s->fua = fua;
        ask_block(s, false);
    }
}

/* --- DMA -------------------------------------------------------------------------------------- */

enum { DMA_MAX_SECTORS = 2048 };        /* at once */

static void dma_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;
    bool to_guest = !s->writing;

    s->ch->ops->unmap(s->ch, to_guest, ret == 0);
    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, to_guest, &ret, STEP_ATA_DMA)) {
        return;
    }
    if (ret < 0) {
        fail_at(s, s->lba, to_guest ? IDE_UNC : IDE_ABRT);
        return;
    }
    advance(s, s->n_now);
    if (s->left) {
        ata_dma(s);
    } else {
        ide_done(s);
    }
}

/* The host has started its side, or the last piece is done. */
void ata_dma(IdeDrive *s)
{
    uint32_t n = within(s, MIN(s->left, DMA_MAX_SECTORS));
    struct iovec *iov;
    unsigned n_iov;
    size_t got;

    if (!n) {
        fail_at(s, s->lba, IDE_IDNF);
        return;
    }
    got = s->ch->ops->map(s->ch, n * IDE_SECTOR_BYTES, !s->writing, &iov,
                          &n_iov);
    n = got / IDE_SECTOR_BYTES;
    if (!n) {
        /* The list ends before the command does, and that is all: no
         * interrupt, and the adapter says "not active". */
        s->ch->ops->unmap(s->ch, !s->writing, false);
        ide_dma_cut(s);
        return;
    }
    s->n_now = n;
    if (s->writing) {
        blk_write(s->conf.blk, s->lba * IDE_SECTOR_BYTES,
                  n * IDE_SECTOR_BYTES, iov, n_iov, s->fua ? BLOCK_FUA : 0,
                  dma_done, ide_io_begin(s));
    } else {
        blk_read(s->conf.blk, s->lba * IDE_SECTOR_BYTES, n * IDE_SECTOR_BYTES,
                 iov, n_iov, dma_done, ide_io_begin(s));
    }
}

static void dma(IdeDrive *s, bool write, bool fua)
{
    if (!s->dma_mode) {
        ide_abort(s);
        return;
    }
    if (take_range(s)) {
        s->writing = write;
        s->fua = fua;
        ide_dma(s, STEP_ATA_DMA);
    }
}

/* --- without data ---------------------------------------------------------------------------------- */

static void flush_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, false, &ret, STEP_ATA_FLUSH)) {
        return;
    }
    if (ret < 0) {
        ide_fail(s, IDE_ABRT);
        return;
    }
    ide_done(s);
}

void ata_flush(IdeDrive *s)
{
    blk_flush(s->conf.blk, flush_done, ide_io_begin(s));
}

static void verify_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, true, &ret, STEP_ATA_VERIFY)) {
        return;
    }
    if (ret < 0) {
        fail_at(s, s->lba, IDE_UNC);
        return;
    }
    advance(s, s->n_now);
    if (s->left) {
        ata_verify(s);
    } else {
        ide_done(s);
    }
}

/* Read what is to be verified, and look at nothing but the result. */
void ata_verify(IdeDrive *s)
{
    uint32_t n = within(s, MIN(s->left, IDE_BUFFER_BYTES / IDE_SECTOR_BYTES));

    if (!n) {
        fail_at(s, s->lba, IDE_IDNF);
        return;
    }
    s->n_now = n;
    s->vec = (struct iovec) { s->buf, n * IDE_SECTOR_BYTES };
    blk_read(s->conf.blk, s->lba * IDE_SECTOR_BYTES, s->vec.iov_len, &s->vec,
             1, verify_done, ide_io_begin(s));
}

static void initialize_parameters(IdeDrive *s)
{
    unsigned heads = (s->device & 15) + 1, secs = s->count.now;

    if (!secs) {
        ide_abort(s);
        return;
    }
    s->heads = heads;
    s->secs = secs;
    ide_done(s);
}

static void set_multiple(IdeDrive *s)
{
    uint8_t n = s->count.now;

    if (n > IDE_MAX_MULTIPLE || n & (n - 1)) {
        ide_abort(s);
        return;
    }
    s->multiple = n;
    ide_done(s);
}

static void seek(IdeDrive *s)
{
    if (get_address(s) >= s->n_sectors) {
        ide_fail(s, IDE_IDNF);
        return;
    }
    ide_done(s);
}

static void read_native_max(IdeDrive *s)
{
    uint64_t last = s->n_sectors - 1;

    if (!s->lba48) {
        s->device |= IDE_LBA;
        last = MIN(last, 0xfffffff);
    }
    put_address(s, last);
    ide_done(s);
}

/* --- SET FEATURES ------------------------------------------------------------------------------------ */

/* The subcommand's mode: 0 and 1 PIO, 0x20 multiword DMA, 0x40 ultra DMA. */
static bool set_transfer_mode(IdeDrive *s, uint8_t mode)
{
    switch (mode >> 3) {
    case 0:
        return mode <= 1;
    case 1:
        return mode - 8 <= 4;
    case 4:
    case 8:
        if ((mode & 7) > (mode >> 3 == 4 ? 2 : 5)) {
            return false;
        }
        s->dma_mode = mode;
        return true;
    default:
        return false;
    }
}

void ide_set_features(IdeDrive *s)
{
    bool ok = true;

    switch (s->feature.now) {
    case 0x02:
    case 0x82:                  /* write cache */
        if (s->is_cd) {
            ok = false;
            break;
        }
        s->write_cache = s->feature.now == 0x02;
        blk_set_write_cache(s->conf.blk, s->write_cache);
        if (!s->write_cache) {
            ata_flush(s);       /* what is in it goes to the disk first */
            return;
        }
        break;
    case 0x03:
        ok = set_transfer_mode(s, s->count.now);
        break;
    case 0x05: case 0x85:       /* power management: nothing turns */
    case 0x42: case 0xc2:       /* acoustic management */
    case 0x66: case 0xcc:       /* keep or revert settings over SRST */
        break;
    case 0x55: case 0xaa:       /* read look-ahead */
        s->look_ahead = s->feature.now == 0xaa;
        break;
    default:
        ok = false;
        break;
    }
    if (ok) {
        ide_done(s);
    } else {
        ide_abort(s);
    }
}

/* --- TRIM ----------------------------------------------------------------------------------------------- */

enum { TRIM_ENTRY_BYTES = 8, TRIM_MAX_BLOCKS = 8 };

static void trim_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, false, &ret, STEP_ATA_TRIM)) {
        return;
    }
    if (ret < 0) {
        ide_abort(s);
        return;
    }
    s->buf_at += TRIM_ENTRY_BYTES;
    ata_trim(s);
}

/* One range after the other: buf[buf_at..buf_have). */
void ata_trim(IdeDrive *s)
{
    while (s->buf_at < s->buf_have) {
        uint64_t entry = load_le64(s->buf + s->buf_at);
        uint64_t lba = entry & (BIT64(48) - 1), n = entry >> 48;

        if (!n) {
            s->buf_at += TRIM_ENTRY_BYTES;
            continue;
        }
        if (lba >= s->n_sectors || n > s->n_sectors - lba) {
            ide_fail(s, IDE_IDNF | IDE_ABRT);
            return;
        }
        blk_discard(s->conf.blk, lba * IDE_SECTOR_BYTES, n * IDE_SECTOR_BYTES,
                    trim_done, ide_io_begin(s));
        return;
    }
    ide_done(s);
}

/* DMA is ready to give us the ranges. */
void ata_trim_pio(IdeDrive *s)
{
    uint32_t bytes = MIN(s->left, TRIM_MAX_BLOCKS) * IDE_SECTOR_BYTES;

    if (!ide_dma_get(s, s->buf, bytes)) {
        ide_abort(s);
        return;
    }
    s->buf_at = 0;
    s->buf_have = s->buf_len = bytes;
    ata_trim(s);
}

static void data_set_management(IdeDrive *s)
{
    s->left = get_count(s);
    if (s->feature.now != 1 || s->left > TRIM_MAX_BLOCKS || !s->dma_mode) {
        ide_abort(s);
        return;
    }
    s->writing = true;
    ide_dma(s, STEP_ATA_TRIM_PIO);
}

/* --- all of them -------------------------------------------------------------------------------------------- */

static void identify(IdeDrive *s)
{
    ata_identify(s, s->buf);
    ide_pio_in(s, 0, IDE_SECTOR_BYTES, STEP_DONE);
}

static bool is_ext(uint8_t command)
{
    switch (command) {
    case DATA_SET_MANAGEMENT:
    case READ_SECTORS_EXT: case READ_DMA_EXT: case READ_NATIVE_MAX_EXT:
    case READ_MULTIPLE_EXT: case WRITE_SECTORS_EXT: case WRITE_DMA_EXT:
    case WRITE_MULTIPLE_EXT: case WRITE_DMA_FUA_EXT: case READ_VERIFY_EXT:
    case WRITE_MULTIPLE_FUA_EXT: case FLUSH_CACHE_EXT:
        return true;
    default:
        return false;
    }
}

void ata_command(IdeDrive *s)
{
    s->lba48 = is_ext(s->command);
    switch (s->command) {
    case DATA_SET_MANAGEMENT:
        data_set_management(s);
        break;
    case RECALIBRATE ... RECALIBRATE + 15:
        ide_done(s);
        break;
    case READ_SECTORS: case READ_SECTORS_NORETRY: case READ_SECTORS_EXT:
        pio_read(s, 1);
        break;
    case READ_MULTIPLE: case READ_MULTIPLE_EXT:
        pio_read(s, s->multiple);
        break;
    case WRITE_SECTORS: case WRITE_SECTORS_NORETRY: case WRITE_SECTORS_EXT:
        pio_write(s, 1, false);
        break;
    case WRITE_MULTIPLE: case WRITE_MULTIPLE_EXT:
        pio_write(s, s->multiple, false);
        break;
    case WRITE_MULTIPLE_FUA_EXT:
        pio_write(s, s->multiple, true);
        break;
    case READ_DMA: case READ_DMA_NORETRY: case READ_DMA_EXT:
        dma(s, false, false);
        break;
    case WRITE_DMA: case WRITE_DMA_NORETRY: case WRITE_DMA_EXT:
        dma(s, true, false);
        break;
    case WRITE_DMA_FUA_EXT:
        dma(s, true, true);
        break;
    case READ_VERIFY: case READ_VERIFY_NORETRY: case READ_VERIFY_EXT:
        if (take_range(s)) {
            ata_verify(s);
        }
        break;
    case SEEK ... SEEK + 15:
        seek(s);
        break;
    case EXECUTE_DIAGNOSTIC:
        ide_set_signature(s);
        s->error = 1;
        ide_done(s);
        break;
    case INITIALIZE_PARAMETERS:
        initialize_parameters(s);
        break;
    case SET_MULTIPLE:
        set_multiple(s);
        break;
    case SMART:
        ide_smart(s);
        break;
    case STANDBY_IMMEDIATE: case STANDBY: case SLEEP:
        ata_flush(s);           /* before it might lose power */
        break;
    case IDLE_IMMEDIATE: case IDLE:
        ide_done(s);
        break;
    case CHECK_POWER:
        s->count.now = 0xff;    /* active or idle */
        ide_done(s);
        break;
    case FLUSH_CACHE: case FLUSH_CACHE_EXT:
        ata_flush(s);
        break;
    case IDENTIFY_DEVICE:
        identify(s);
        break;
    case SET_FEATURES:
        ide_set_features(s);
        break;
    case READ_NATIVE_MAX: case READ_NATIVE_MAX_EXT:
        s->lba48 = s->command == READ_NATIVE_MAX_EXT;
        read_native_max(s);
        break;
    default:
        ide_abort(s);
        break;
    }
}
