/*
 * The command block, PIO, resets and interrupts of ATA drives.
 *
 * Spec:   ATA/ATAPI-7 volumes 1 and 2 (T13/1532D), sections 5 to 9; ATA8-ACS.
 * Models: both drives of a channel, nIEN, SRST, HOB, device reset.  Commands
 *         take no time of their own; what the disk's image takes, they take.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/ide.h"

#include <assert.h>

#include "base/log.h"
#include "base/trace.h"

/* --- interrupts -------------------------------------------------------------------- */

IdeDrive *ide_selected(IdeChannel *ch)
{
    return ch->drives[!!(ch->device & IDE_DEV)];
}

/* Only the selected drive drives INTRQ, and only with nIEN clear. */
void ide_update_irq(IdeChannel *ch)
{
    IdeDrive *s = ide_selected(ch);
    bool level = s && s->intrq && !(ch->control & IDE_NIEN);

    if (level != ch->level) {
        ch->level = level;
        ch->ops->interrupt(ch, level);
    }
}

static void set_intrq(IdeDrive *s, bool level)
{
    s->intrq = level;
    ide_update_irq(s->ch);
}

/* --- steps ---------------------------------------------------------------------------- */

static void (*const steps[STEP_N])(IdeDrive *) = {
    [STEP_DONE] = ide_done,
    [STEP_ATA_READ_BLOCK] = ata_read_block,
    [STEP_ATA_WRITE_BLOCK] = ata_write_block,
    [STEP_ATA_DMA] = ata_dma,
    [STEP_ATA_FLUSH] = ata_flush,
    [STEP_ATA_VERIFY] = ata_verify,
    [STEP_ATA_TRIM_PIO] = ata_trim_pio,
    [STEP_ATA_TRIM] = ata_trim,
    [STEP_CD_PACKET] = atapi_packet,
    [STEP_CD_BLOCK] = atapi_block,
    [STEP_CD_READ] = atapi_read,
    [STEP_CD_DMA] = atapi_dma,
    [STEP_CD_PARAMETERS] = atapi_parameters,
};

/* What the host has at once is done when the guest's access ends, without a
 * turn of the main loop. */
static void take_step(IdeDrive *s, uint8_t *which)
{
    uint8_t step = *which;

    *which = STEP_NONE;
    if (step != STEP_NONE) {
        BlockCtx *outer = blk_batch_begin(s->conf.blk);

        steps[step](s);
        blk_batch_end(s->conf.blk, outer);
    }
}

/* --- phases -------------------------------------------------------------------------- */

static void go_idle(IdeDrive *s)
{
    s->phase = IDE_IDLE;
    s->step = STEP_NONE;
    s->buf_at = s->buf_len = s->buf_have = 0;
    s->buf_used = 0;
    s->left = s->block = 0;
    s->fua = s->writing = false;
}

static void tell_dma(IdeDrive *s, bool failed)
{
    if (s->phase == IDE_DMA) {
        s->ch->ops->ended(s->ch, failed);
    }
}

void ide_done(IdeDrive *s)
{
    tell_dma(s, false);
    go_idle(s);
    s->status = IDE_DRDY | (s->is_cd ? 0 : IDE_DSC);
    set_intrq(s, true);
}

void ide_fail(IdeDrive *s, uint8_t error)
{
    trace("ide-fail", "unit %d command 0x%02x error 0x%02x", s->unit,
          s->command, error);
    tell_dma(s, true);
    go_idle(s);
    s->error = error;
    s->status = IDE_DRDY | IDE_ERR | (s->is_cd ? 0 : IDE_DSC);
    set_intrq(s, true);
}

void ide_pio_in(IdeDrive *s, uint32_t at, uint32_t len,
                IdeStep next)
{
    assert(at + len <= IDE_BUFFER_BYTES && len);
    s->phase = IDE_PIO_IN;
    s->buf_at = at;
    s->buf_len = at + len;
    s->step = next;
    s->status = IDE_DRDY | IDE_DRQ | (s->is_cd ? 0 : IDE_DSC);
    set_intrq(s, true);
}

void ide_pio_out(IdeDrive *s, uint32_t len, bool interrupt,
                 IdeStep next)
{
    assert(len <= IDE_BUFFER_BYTES && len);
    s->phase = IDE_PIO_OUT;
    s->buf_at = 0;
    s->buf_len = len;
    s->step = next;
    s->status = IDE_DRDY | IDE_DRQ | (s->is_cd ? 0 : IDE_DSC);
    if (interrupt) {
        set_intrq(s, true);
    }
}

void ide_dma(IdeDrive *s, IdeStep next)
{
    s->phase = IDE_DMA;
    s->step = next;
    s->status = IDE_DRDY | IDE_DRQ | (s->is_cd ? 0 : IDE_DSC);
    ide_dma_start(s->ch);
}

void ide_dma_cut(IdeDrive *s)
{
    tell_dma(s, true);
    go_idle(s);
    s->status = IDE_DRDY | (s->is_cd ? 0 : IDE_DSC);
}

/* The last byte of a block went by. */
static void block_done(IdeDrive *s)
{
    s->phase = IDE_BUSY;
    s->status = (s->status & ~IDE_DRQ) | IDE_BSY;
    take_step(s, &s->step);
}

uint32_t ide_read_data(IdeChannel *ch, unsigned size)
{
    IdeDrive *s = ide_selected(ch);
    uint32_t val;

    if (!s || s->phase != IDE_PIO_IN) {
        return s ? 0 : size_mask(size);
    }
    size = MIN(size, s->buf_len - s->buf_at);
    val = 0;
    memcpy(&val, s->buf + s->buf_at, size);
    s->buf_at += size;
    if (s->buf_at == s->buf_len) {
        block_done(s);
    }
    return GUINT32_FROM_LE(val);
}

void ide_write_data(IdeChannel *ch, unsigned size, uint32_t val)
{
    IdeDrive *s = ide_selected(ch);

    if (!s || s->phase != IDE_PIO_OUT) {
        return;
    }
    size = MIN(size, s->buf_len - s->buf_at);
    store_le(s->buf + s->buf_at, size, val);
    s->buf_at += size;
    if (s->buf_at == s->buf_len) {
        block_done(s);
    }
}

/* --- requests to the image -------------------------------------------------------------- */

IdeIo *ide_io_begin(IdeDrive *s)
{
    IdeIo *io = g_slice_new(IdeIo);

    *io = (IdeIo) { s, s->generation };
    s->in_flight = true;
    s->status |= IDE_BSY;
    return io;
}

bool ide_io_end(IdeIo *io)
{
    IdeDrive *s = io->s;
    bool ours = io->generation == s->generation;

    g_slice_free(IdeIo, io);
    if (ours) {
        s->in_flight = false;
        s->status &= ~IDE_BSY;
    }
    return ours;
}

bool ide_io_error(IdeDrive *s, bool is_read, int *ret,
                  IdeStep retry)
{
    switch (blk_error(s->conf.blk, is_read, -*ret)) {
    case BLK_STOP:
        s->status |= IDE_BSY;
        s->retry = retry;
        return true;
    case BLK_IGNORE:
        *ret = 0;
        return false;
    case BLK_REPORT:
        break;
    }
    return false;
}

void ide_cancel(IdeDrive *s)
{
    s->generation++;
    s->retry = STEP_NONE;
    if (s->in_flight) {
        s->in_flight = false;
        blk_drain(s->conf.blk);
    }
    tell_dma(s, true);
    go_idle(s);
}

void ide_retry(IdeDrive *s)
{
    take_step(s, &s->retry);
}

/* --- DMA --------------------------------------------------------------------------------- */

void ide_dma_start(IdeChannel *ch)
{
    IdeDrive *s = ide_selected(ch);

    if (!s || s->phase != IDE_DMA || !s->step
        || !ch->ops->is_started(ch, !s->writing)) {
        return;
    }
    s->status = (s->status & ~IDE_DRQ) | IDE_BSY;
    take_step(s, &s->step);
}

void ide_dma_stop(IdeChannel *ch)
{
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *s = ch->drives[i];

        if (s && s->phase == IDE_DMA && s->in_flight) {
            blk_drain(s->conf.blk);
        }
    }
}

bool ide_dma_put(IdeDrive *s, const void *data, size_t len)
{
    struct iovec *iov;
    unsigned n;
    size_t got = s->ch->ops->map(s->ch, len, true, &iov, &n);

    iov_put(iov_all(iov, n), data, got);
    s->ch->ops->unmap(s->ch, true, true);
    return got == len;
}

bool ide_dma_get(IdeDrive *s, void *data, size_t len)
{
    struct iovec *iov;
    unsigned n;
    size_t got = s->ch->ops->map(s->ch, len, false, &iov, &n);

    iov_get(iov_all(iov, n), data, got);
    s->ch->ops->unmap(s->ch, false, true);
    return got == len;
}

/* --- reset ---------------------------------------------------------------------------------- */

/* What a drive shows after a reset: which kind it is. */
void ide_set_signature(IdeDrive *s)
{
    s->count = (IdeReg) { 1, 0 };
    s->low = (IdeReg) { 1, 0 };
    s->mid = (IdeReg) { s->is_cd ? 0x14 : 0, 0 };
    s->high = (IdeReg) { s->is_cd ? 0xeb : 0, 0 };
}

void ide_drive_reset(IdeDrive *s, bool hard)
{
    ide_cancel(s);
    ide_set_signature(s);
    s->feature = (IdeReg) { 0, 0 };
    s->device = 0;
    s->command = 0;
    s->error = 1;               /* diagnostics: no error */
    s->status = s->is_cd ? 0 : IDE_DRDY | IDE_DSC;
    s->intrq = false;
    s->lba48 = s->sleeping = false;
    s->lba = 0;
    if (hard) {
        s->multiple = IDE_MAX_MULTIPLE;
        s->dma_mode = 0x45;     /* what firmware of the time set up */
        s->smart_on = true;
        s->look_ahead = true;
        s->write_cache = true;
        s->heads = s->conf.heads;
        s->secs = s->conf.secs;
        memset(s->buf, 0, IDE_BUFFER_BYTES);
    }
    if (s->is_cd) {
        atapi_reset(s);
    }
}

void ide_channel_reset(IdeChannel *ch)
{
    ch->device = ch->control = 0;
    ide_update_irq(ch);
}

static void soft_reset(IdeChannel *ch)
{
    for (unsigned i = 0; i < 2; i++) {
        if (ch->drives[i]) {
            ide_drive_reset(ch->drives[i], false);
            ch->drives[i]->status = IDE_BSY;
        }
    }
    ch->device = 0;
}

void ide_write_control(IdeChannel *ch, uint8_t val)
{
    uint8_t old = ch->control;

    ch->control = val;
    if (val & IDE_SRST && !(old & IDE_SRST)) {
        soft_reset(ch);
    } else if (!(val & IDE_SRST) && old & IDE_SRST) {
        for (unsigned i = 0; i < 2; i++) {
            IdeDrive *s = ch->drives[i];

            if (s) {
                s->status = s->is_cd ? 0 : IDE_DRDY | IDE_DSC;
            }
        }
    }
    ide_update_irq(ch);
}

/* --- registers ------------------------------------------------------------------------------- */

static uint8_t read_reg(const IdeDrive *s, unsigned reg)
{
    bool hob = s->ch->control & IDE_HOB;
    const IdeReg *r;

    switch (reg) {
    case IDE_ERROR:
        return s->error;
    case IDE_COUNT:
        r = &s->count;
        break;
    case IDE_LBA_LOW:
        r = &s->low;
        break;
    case IDE_LBA_MID:
        r = &s->mid;
        break;
    case IDE_LBA_HIGH:
        r = &s->high;
        break;
    case IDE_DEVICE:
        return s->device | 0xa0;
    default:
        return 0;
    }
    return hob ? r->hob : r->now;
}

uint8_t ide_read(IdeChannel *ch, unsigned reg)
{
    IdeDrive *s = ide_selected(ch);
    uint8_t val;

    if (!s) {
        /* Drive 0 answers for a missing drive 1, but says nothing. */
        s = ch->drives[0];
        return s && reg != IDE_STATUS ? read_reg(s, reg) : 0;
    }
    if (reg != IDE_STATUS) {
        return read_reg(s, reg);
    }
    val = s->status;
    set_intrq(s, false);
    return val;
}

uint8_t ide_read_alt_status(IdeChannel *ch)
{
    IdeDrive *s = ide_selected(ch);

    return s ? s->status : 0;
}

static void write_reg(IdeReg *r, uint8_t val)
{
    r->hob = r->now;
    r->now = val;
}

/* DEVICE RESET is what a busy drive listens to. */
static void start_command(IdeDrive *s, uint8_t command)
{
    bool busy = s->status & (IDE_BSY | IDE_DRQ);
    BlockCtx *outer;

    trace("ide-command", "bus %u unit %d command 0x%02x", s->ch->index,
          s->unit, command);
    if (command == 0x08 && s->is_cd) {
        ide_drive_reset(s, false);
        s->error = 1;
        return;
    }
    if (busy) {
        guest_error("ide", "command 0x%02x while busy", command);
        return;
    }
    s->command = command;
    s->error = 0;
    s->status = IDE_DRDY | IDE_BSY;
    s->phase = IDE_BUSY;
    s->lba48 = s->fua = false;
    set_intrq(s, false);
    outer = blk_batch_begin(s->conf.blk);
    if (s->is_cd) {
        atapi_command(s);
    } else {
        ata_command(s);
    }
    blk_batch_end(s->conf.blk, outer);
}

void ide_write(IdeChannel *ch, unsigned reg, uint8_t val)
{
    if (reg == IDE_COMMAND) {
        /* EXECUTE DEVICE DIAGNOSTIC is for both, whoever is selected. */
        if (val == 0x90) {
            ch->device &= ~IDE_DEV;
        }
        for (unsigned i = 0; i < 2; i++) {
            IdeDrive *s = ch->drives[i];

            if (s && val == 0x90 && i && !(s->status & IDE_BSY)) {
                s->error = 1;
                ide_set_signature(s);
            }
        }
        if (ide_selected(ch) && !(ch->control & IDE_SRST)) {
            start_command(ide_selected(ch), val);
        }
        return;
    }
    ch->control &= ~IDE_HOB;
    if (reg == IDE_DEVICE) {
        ch->device = val;
    }
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *s = ch->drives[i];

        /* A busy drive's registers are its own. */
        if (!s || (s->status & (IDE_BSY | IDE_DRQ) && reg != IDE_DEVICE)) {
            continue;
        }
        switch (reg) {
        case IDE_FEATURE:
            write_reg(&s->feature, val);
            break;
        case IDE_COUNT:
            write_reg(&s->count, val);
            break;
        case IDE_LBA_LOW:
            write_reg(&s->low, val);
            break;
        case IDE_LBA_MID:
            write_reg(&s->mid, val);
            break;
        case IDE_LBA_HIGH:
            write_reg(&s->high, val);
            break;
        case IDE_DEVICE:
            s->device = val;
            break;
        }
    }
    ide_update_irq(ch);
}

