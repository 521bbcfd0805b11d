/*
 * SMBus host controller with nothing on its bus.
 *
 * Spec:   Intel 82371AB (PIIX4) datasheet 290562-001, section 7.3.
 * Models: all host registers; every transaction ends at once with "device
 *         error", which is what an address that no one acknowledges gives.
 *         Not: interrupts (drivers of this controller poll) and slaves.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/smbus-host.h"

#include "base/trace.h"

enum {
    HSTSTS, SLVSTS, HSTCNT, HSTCMD, HSTADD, HSTDAT0, HSTDAT1, BLKDAT, SLVCNT,
    SHDWCMD, SLVEVT, SLVDAT = 12, SMB_BYTES = 16
};
enum {
    HSTSTS_INTER = 1 << 1, HSTSTS_DEV_ERR = 1 << 2, HSTSTS_BUS_ERR = 1 << 3,
    HSTSTS_FAILED = 1 << 4,
    HSTSTS_CLEAR = HSTSTS_INTER | HSTSTS_DEV_ERR | HSTSTS_BUS_ERR
                   | HSTSTS_FAILED,
    HSTCNT_INTEREN = 1 << 0, HSTCNT_KILL = 1 << 1, HSTCNT_PROT = 7 << 2,
    HSTCNT_START = 1 << 6,
};

static uint64_t smb_read(void *opaque, hwaddr at, unsigned size)
{
    SmbusHost *s = opaque;

    switch (at) {
    case HSTSTS:
        return s->status;
    case SLVSTS:
        return s->slave_status;
    case HSTCNT:
        s->block_index = 0;     /* reading it rewinds the block buffer */
        return s->control;
    case HSTCMD:
        return s->command;
    case HSTADD:
        return s->address;
    case HSTDAT0:
        return s->data0;
    case HSTDAT1:
        return s->data1;
    case BLKDAT:
        s->block_index %= sizeof(s->block);
        return s->block[s->block_index++];
    case SLVCNT:
        return s->slave_control;
    case SHDWCMD:
        return s->shadow_command;
    case SLVEVT:
    case SLVEVT + 1:
        return s->slave_event >> 8 * (at - SLVEVT);
    case SLVDAT:
    case SLVDAT + 1:
        return s->slave_data >> 8 * (at - SLVDAT);
    }
    return 0xff;
}

static void start(SmbusHost *s)
{
    trace("smbus-start", "address 0x%02x command 0x%02x", s->address,
          s->command);
    s->status |= HSTSTS_DEV_ERR;
}

static void smb_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    SmbusHost *s = opaque;

    switch (at) {
    case HSTSTS:
        s->status &= ~(val & HSTSTS_CLEAR);
        break;
    case SLVSTS:
        s->slave_status &= ~val;
        break;
    case HSTCNT:
        s->control = val & (HSTCNT_INTEREN | HSTCNT_PROT);
        if (val & HSTCNT_KILL) {
            s->status |= HSTSTS_FAILED;
        } else if (val & HSTCNT_START) {
            start(s);
        }
        break;
    case HSTCMD:
        s->command = val;
        break;
    case HSTADD:
        s->address = val;
        break;
    case HSTDAT0:
        s->data0 = val;
        break;
    case HSTDAT1:
        s->data1 = val;
        break;
    case BLKDAT:
        s->block_index %= sizeof(s->block);
        s->block[s->block_index++] = val;
        break;
    case SLVCNT:
        s->slave_control = val & 0x0f;
        break;
    case SLVEVT:
    case SLVEVT + 1:
        s->slave_event = bits_set(s->slave_event, 8 * (at - SLVEVT), 8, val);
        break;
    }
}

static const IoOps smb_ops = {
    .read = smb_read, .write = smb_write, .size_min = 1, .size_max = 1,
};

void smbus_host_reset(SmbusHost *s)
{
    s->status = s->slave_status = s->control = s->command = s->address = 0;
    s->data0 = s->data1 = s->slave_control = s->shadow_command = 0;
    s->slave_event = s->slave_data = 0;
    s->block_index = 0;
    memset(s->block, 0, sizeof(s->block));
}

void smbus_host_map(SmbusHost *s, uint16_t base)
{
    if (base == s->base) {
        return;
    }
    if (s->base) {
        region_unmap(&s->io);
    }
    if (base) {
        region_map(io_root(), base, &s->io, 1);
    }
    s->base = base;
}

void smbus_host_init(SmbusHost *s, Device *owner)
{
    region_init_io(&s->io, &owner->obj, "smbus-host", &smb_ops, s, SMB_BYTES);
}

void smbus_host_destroy(SmbusHost *s)
{
    region_destroy(&s->io);
    s->base = 0;
}

const State smbus_host_state = {
    .name = "smbus-host", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(SmbusHost, status), STATE_U8(SmbusHost, slave_status),
        STATE_U8(SmbusHost, control), STATE_U8(SmbusHost, command),
        STATE_U8(SmbusHost, address), STATE_U8(SmbusHost, data0),
        STATE_U8(SmbusHost, data1), STATE_U8(SmbusHost, slave_control),
        STATE_U8(SmbusHost, shadow_command),
        STATE_U16(SmbusHost, slave_event), STATE_U16(SmbusHost, slave_data),
        STATE_BYTES(SmbusHost, block), STATE_U8(SmbusHost, block_index), {}
    },
};
