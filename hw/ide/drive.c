/*
 * IDE's bus and the drives on it, as devices: media, properties, state.
 *
 * Models: ide-hd and ide-cd, two on a channel; trays and their buttons.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/ide.h"

#include "base/opts.h"
#include "core/machine.h"

/* --- the bus ------------------------------------------------------------------------- */

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

/* --- media ------------------------------------------------------------------------------ */

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

/* --- life ------------------------------------------------------------------------------- */

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

static void retry_one(Device *dev, void *opaque)
{
    if (type_is(dev->obj.type, &ide_drive_type)) {
        ide_retry(ide_drive_of(dev));
    }
}

static void on_run_state(void *opaque, RunState now)
{
    if (now == RUN_STATE_RUNNING) {
        device_foreach(NULL, retry_one, NULL);
    }
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

    ide_cancel(s);
    s->intrq = false;
    ide_update_irq(s->ch);
    s->ch->drives[s->unit] = NULL;
    block_conf_unrealize(&s->conf);
    g_clear_pointer(&s->buf, g_free);
}

static void drive_reset(Device *dev)
{
    IdeDrive *s = ide_drive_of(dev);

    ide_drive_reset(s, true);
    ide_update_irq(s->ch);
}

/* --- state ------------------------------------------------------------------------------ */

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
