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
#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "core/machine.h"

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

/* Stop what is under way without a trace. */
static void cancel(IdeDrive *s)
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

static void retry_one(Device *dev, void *opaque)
{
    if (type_is(dev->obj.type, &ide_drive_type)) {
        IdeDrive *s = ide_drive_of(dev);

        take_step(s, &s->retry);
    }
}

static void on_run_state(void *opaque, RunState now)
{
    if (now == RUN_STATE_RUNNING) {
        device_foreach(NULL, retry_one, NULL);
    }
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

/* Power-on, hardware and software reset; SRST leaves modes as they are. */
static void reset_drive(IdeDrive *s, bool hard)
{
    cancel(s);
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
            reset_drive(ch->drives[i], false);
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
        reset_drive(s, false);
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

/* --- bus and drives ------------------------------------------------------------------------------ */

const BusType ide_bus_type = { .name = "IDE", .max_devices = 2 };

void ide_channel_init(IdeChannel *ch, Device *owner, const char *name,
                      unsigned index, const IdeDmaOps *ops)
{
    ch->ops = ops;
    ch->index = index;
    bus_init(&ch->bus, &ide_bus_type, owner, name);
}

void ide_channel_destroy(IdeChannel *ch)
{
    bus_destroy(&ch->bus);
}

static void resized(void *dev)
{
    IdeDrive *s = dev;

    s->n_sectors = blk_length(s->conf.blk) / IDE_SECTOR_BYTES;
}

static void medium_changed(void *dev, bool inserted)
{
    IdeDrive *s = dev;

    s->n_sectors = blk_length(s->conf.blk) / IDE_SECTOR_BYTES;
    s->cd.changed = s->cd.event = true;
    s->cd.tray_open = !inserted;        /* it takes a tray that moves */
}

/* The button at the drive: a guest that has locked it decides, unless it is
 * pressed with a needle. */
static void eject_request(void *dev, bool force)
{
    IdeDrive *s = dev;

    s->cd.eject_request = true;
    if (force) {
        s->cd.tray_locked = false;
    }
}

static bool is_tray_locked(void *dev)
{
    return ((IdeDrive *)dev)->cd.tray_locked;
}

static bool is_tray_open(void *dev)
{
    return ((IdeDrive *)dev)->cd.tray_open;
}

static const BlkDevOps hd_ops = { .name = "ide-hd", .resized = resized };
static const BlkDevOps cd_ops = {
    .name = "ide-cd", .resized = resized, .medium_changed = medium_changed,
    .eject_request = eject_request, .is_tray_locked = is_tray_locked,
    .is_tray_open = is_tray_open,
};

static bool take_unit(IdeDrive *s, GError **err)
{
    IdeChannel *ch = container_of(s->dev.bus, IdeChannel, bus);

    if (s->unit < 0) {
        s->unit = ch->drives[0] ? 1 : 0;
    }
    if (s->unit > 1) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'unit' cannot be %d: 0 or 1 is wanted",
                    s->unit);
        return false;
    }
    if (ch->drives[s->unit]) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "unit %d of IDE bus '%s' is in use: there are units 0 and "
                    "1 on each bus, ide.0 and ide.1", s->unit, ch->bus.name);
        return false;
    }
    s->ch = ch;
    return true;
}

static bool drive_realize(Device *dev, GError **err)
{
    static bool hooked;
    IdeDrive *s = ide_drive_of(dev);

    s->is_cd = g_str_equal(dev->obj.type->name, "ide-cd");
    if (!take_unit(s, err)
        || !block_conf_realize(&s->conf, s->is_cd ? &cd_ops : &hd_ops, s,
                               s->is_cd, err)) {
        return false;
    }
    if (s->conf.logical_bytes != 512) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "logical_block_size must be 512 for IDE");
        block_conf_unrealize(&s->conf);
        return false;
    }
    if (!hooked) {
        hooked = true;
        machine_add_state_hook(on_run_state, NULL);
    }
    s->n_sectors = blk_length(s->conf.blk) / IDE_SECTOR_BYTES;
    if (!s->is_cd) {
        block_conf_geometry(&s->conf, s->n_sectors);
    }
    s->buf = g_malloc0(IDE_BUFFER_BYTES);
    s->ch->drives[s->unit] = s;
    return true;
}

static void drive_unrealize(Device *dev)
{
    IdeDrive *s = ide_drive_of(dev);

    cancel(s);
    set_intrq(s, false);
    s->ch->drives[s->unit] = NULL;
    block_conf_unrealize(&s->conf);
    g_clear_pointer(&s->buf, g_free);
}

static void drive_reset(Device *dev)
{
    IdeDrive *s = ide_drive_of(dev);

    reset_drive(s, true);
    ide_update_irq(s->ch);
}

/* --- state ---------------------------------------------------------------------------------------- */

/* A command in work is brought to a place where registers tell all: waiting
 * for PIO, or done. */
static void pre_save(void *dev)
{
    IdeDrive *s = dev;

    while (s->in_flight) {
        blk_drain(s->conf.blk);
    }
    s->buf_used = s->phase == IDE_IDLE ? 0 : MAX(s->buf_len, s->buf_have);
}

static bool fits(const IdeDrive *s, uint8_t step)
{
    return step < STEP_N
           && (step <= STEP_DONE || (step >= STEP_CD_PACKET) == s->is_cd);
}

static bool post_load(void *dev, int version, GError **err)
{
    IdeDrive *s = dev;
    bool pio = s->phase == IDE_PIO_IN || s->phase == IDE_PIO_OUT;

    if (s->phase > IDE_DMA || s->buf_len > IDE_BUFFER_BYTES
        || s->buf_have > IDE_BUFFER_BYTES || s->buf_at > s->buf_len
        || s->multiple > IDE_MAX_MULTIPLE || s->block > IDE_MAX_MULTIPLE
        || !fits(s, s->step) || !fits(s, s->retry) || s->lba >= BIT64(48)
        || (!s->is_cd && s->left > 65536)
        || (s->step == STEP_ATA_READ_BLOCK && s->buf_have < s->buf_len)
        || (pio && (s->buf_at == s->buf_len || !s->step))
        || (!s->block && (s->step == STEP_ATA_READ_BLOCK
                          || s->step == STEP_ATA_WRITE_BLOCK
                          || s->retry == STEP_ATA_READ_BLOCK))
        || (s->phase == IDE_BUSY && !s->retry)
        || (!s->is_cd && (!s->heads || !s->secs))) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "ide: not a state that a drive can be in");
        return false;
    }
    s->generation++;
    return true;
}

static void drive_update(Device *dev)
{
    ide_update_irq(ide_drive_of(dev)->ch);
}

static const State reg_state = {
    .name = "reg", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(IdeReg, now), STATE_U8(IdeReg, hob), {}
    },
};

static const State cd_state = {
    .name = "cd", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(IdeCd, sense_key), STATE_U8(IdeCd, asc),
        STATE_U8(IdeCd, ascq), STATE_BOOL(IdeCd, tray_open),
        STATE_BOOL(IdeCd, tray_locked), STATE_BOOL(IdeCd, changed),
        STATE_BOOL(IdeCd, event), STATE_BOOL(IdeCd, eject_request),
        STATE_U8_ARRAY(IdeCd, packet),
        STATE_U16(IdeCd, limit), STATE_BOOL(IdeCd, dma),
        STATE_U8(IdeCd, block_kind), {}
    },
};

static const State drive_state = {
    .name = "ide_drive", .version = 1, .pre_save = pre_save,
    .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_STRUCT(IdeDrive, feature, &reg_state),
        STATE_STRUCT(IdeDrive, count, &reg_state),
        STATE_STRUCT(IdeDrive, low, &reg_state),
        STATE_STRUCT(IdeDrive, mid, &reg_state),
        STATE_STRUCT(IdeDrive, high, &reg_state),
        STATE_U8(IdeDrive, device), STATE_U8(IdeDrive, status),
        STATE_U8(IdeDrive, error), STATE_U8(IdeDrive, phase),
        STATE_U8(IdeDrive, command), STATE_BOOL(IdeDrive, intrq),
        STATE_U8(IdeDrive, multiple), STATE_U8(IdeDrive, dma_mode),
        STATE_U8(IdeDrive, heads), STATE_U8(IdeDrive, secs),
        STATE_BOOL(IdeDrive, smart_on), STATE_BOOL(IdeDrive, lba48),
        STATE_BOOL(IdeDrive, sleeping), STATE_BOOL(IdeDrive, write_cache),
        STATE_BOOL(IdeDrive, look_ahead),
        STATE_U64(IdeDrive, lba), STATE_U32(IdeDrive, left),
        STATE_U32(IdeDrive, block), STATE_U32(IdeDrive, buf_at),
        STATE_U32(IdeDrive, buf_len), STATE_U32(IdeDrive, buf_have),
        STATE_U8(IdeDrive, step), STATE_U8(IdeDrive, retry),
        STATE_BOOL(IdeDrive, writing), STATE_BOOL(IdeDrive, fua),
        { .name = "buf", .kind = STATE_KIND_BUFFER,
          .offset = offsetof(IdeDrive, buf),
          .count_offset = offsetof(IdeDrive, buf_used),
          .max = IDE_BUFFER_BYTES },
        STATE_STRUCT(IdeDrive, cd, &cd_state), {}
    },
};

static const Property drive_props[] = {
    BLOCK_PROPS(IdeDrive, conf),
    PROP_I32(IdeDrive, unit, "unit", -1, "0 (master) or 1 (slave)"),
    PROP_STRING(IdeDrive, model, "model", NULL, "its name, up to 40 letters"),
    PROP_STRING(IdeDrive, version, "ver", "2.5+", "its firmware's version"),
    PROP_U64(IdeDrive, wwn, "wwn", 0, "world wide name; 0: none"),
    PROP_U16(IdeDrive, rotation_rate, "rotation_rate", 0,
             "turns a minute; 1: an SSD; 0: not told"),
    {}
};

const DeviceType ide_drive_type = {
    .name = "ide-device", .doc = "a drive on an IDE channel",
    .parent = &device_type, .size = sizeof(IdeDrive), .abstract = true,
    .bus = &ide_bus_type, .props = drive_props, .state = &drive_state,
    .realize = drive_realize, .unrealize = drive_unrealize,
    .reset = drive_reset, .update = drive_update,
};
DEVICE_TYPE(ide_drive_type)

static const Property hd_props[] = {
    BLOCK_LCHS_PROPS(IdeDrive, conf),
    BLOCK_TRANS_PROP(IdeDrive, conf),
    {}
};

static const DeviceType ide_hd_type = {
    .name = "ide-hd", .doc = "virtual IDE disk", .parent = &ide_drive_type,
    .size = sizeof(IdeDrive), .props = hd_props,
};
DEVICE_TYPE(ide_hd_type)

static const DeviceType ide_cd_type = {
    .name = "ide-cd", .doc = "virtual IDE CD-ROM", .parent = &ide_drive_type,
    .size = sizeof(IdeDrive),
};
DEVICE_TYPE(ide_cd_type)
