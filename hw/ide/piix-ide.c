/*
 * PIIX3 IDE: two channels at their legacy ports, bus-master DMA.
 *
 * Spec:   Intel 82371FB/82371SB (PIIX/PIIX3) datasheet 290550-002, function 1;
 *         SFF-8038i revision 1.0.
 * Models: decoding by COMMAND, timing registers that hold what is
 *         written, scatter lists read once, entry by entry.  DMA reaches RAM
 *         only: of what lies elsewhere reads give FF and writes are lost.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/piix-ide.h"

#include "base/trace.h"
#include "hw/pci/pci.h"

enum { IDETIM = 0x40, SIDETIM = 0x44 };

enum { BMICX = 0, BMISX = 2, BMIDTPX = 4, BM_BYTES = 8 };
enum { BMIC_START = 1 << 0, BMIC_READ = 1 << 3 };
enum {
    BMIS_ACTIVE = 1 << 0, BMIS_ERROR = 1 << 1, BMIS_INTR = 1 << 2,
    BMIS_CAPABLE = 3 << 5,
};

enum { PRD_BYTES = 8, MAX_PIECES = 1024, SINK_BYTES = 64 * 1024 };
#define PRD_EOT BIT(31)

/* Where a transfer stands in the guest's list. */
typedef struct Position {
    uint32_t next;              /* address of the next entry */
    uint32_t gpa, left;         /* in the one at hand */
    bool at_end;                /* it was the last */
} Position;

typedef struct Channel {
    IdeChannel ide;
    uint8_t bmic, bmis;
    uint32_t bmidtp;
    Position pos;

    Region cmd_io, ctl_io;
    Position mark;              /* of the piece that is mapped */
    struct iovec *pieces;       /* MAX_PIECES */
    bool *is_ram;
    unsigned n_pieces;
    uint8_t *sink;              /* for what is not RAM */
} Channel;

typedef struct PiixIde {
    PciDevice pci;
    Irq irq[2];                 /* out */
    Channel ch[2];
    Region bm_io;
} PiixIde;

static PiixIde *piix_of(Device *dev)
{
    return container_of(dev, PiixIde, pci.dev);
}

static PiixIde *piix_of_channel(IdeChannel *ide)
{
    Channel *ch = container_of(ide, Channel, ide);

    return container_of(ch - ide->index, PiixIde, ch[0]);
}

IdeChannel *piix_ide_channel(Device *dev, unsigned index)
{
    return &piix_of(dev)->ch[index].ide;
}

/* --- scatter lists ------------------------------------------------------------------ */

/* The next entry; false at the end, or when it cannot be read. */
static bool next_entry(PciDevice *pci, Position *pos)
{
    uint8_t prd[PRD_BYTES] = { 0 };
    uint32_t count;

    /* Who is no bus master finds entries of 64 KiB, nowhere and without end. */
    if (pos->at_end
        || (pci_get16(pci, PCI_COMMAND) & PCI_COMMAND_MASTER
            && pci_dma_read(pci, pos->next, prd, sizeof(prd)) != MEM_OK)) {
        return false;
    }
    count = load_le32(prd + 4);
    pos->gpa = load_le32(prd) & ~1u;
    pos->left = count & 0xfffe ? count & 0xfffe : 65536;
    pos->at_end = count & PRD_EOT;
    pos->next += PRD_BYTES;
    return true;
}

static void add_piece(Channel *ch, PciDevice *pci, size_t want, bool to_guest)
{
    uint64_t len = want;
    void *hva = pci_dma_map(pci, ch->pos.gpa, &len, to_guest);
    struct iovec *v = &ch->pieces[ch->n_pieces];

    ch->is_ram[ch->n_pieces++] = hva;
    if (!hva) {
        len = MIN(want, 4096 - (ch->pos.gpa & 4095));
        memset(ch->sink, 0xff, len);
        hva = ch->sink;
    }
    *v = (struct iovec) { hva, len };
    ch->pos.gpa += len;
    ch->pos.left -= len;
}

static void unmap(IdeChannel *ide, bool to_guest, bool good)
{
    Channel *ch = container_of(ide, Channel, ide);
    PciDevice *pci = &piix_of_channel(ide)->pci;

    for (unsigned i = 0; i < ch->n_pieces; i++) {
        struct iovec *v = &ch->pieces[i];

        if (ch->is_ram[i]) {
            /* A read that failed may have written all the same. */
            pci_dma_unmap(pci, v->iov_base, v->iov_len, to_guest,
                          v->iov_len);
        }
    }
    ch->n_pieces = 0;
    if (!good) {
        ch->pos = ch->mark;     /* to be done again, or never */
    }
}

static size_t map(IdeChannel *ide, size_t bytes, bool to_guest,
                  struct iovec **iov, unsigned *n_iov)
{
    Channel *ch = container_of(ide, Channel, ide);
    PciDevice *pci = &piix_of_channel(ide)->pci;
    size_t got = 0;

    ch->mark = ch->pos;
    ch->n_pieces = 0;
    while (got < bytes && ch->n_pieces < MAX_PIECES) {
        if (!ch->pos.left && !next_entry(pci, &ch->pos)) {
            break;
        }
        size_t before = ch->pos.left;

        add_piece(ch, pci, MIN(bytes - got, ch->pos.left), to_guest);
        got += before - ch->pos.left;
    }
    if (got < bytes && got % IDE_SECTOR_BYTES && got > IDE_SECTOR_BYTES) {
        unmap(ide, to_guest, false);    /* whole sectors of it */
        return map(ide, ALIGN_DOWN(got, IDE_SECTOR_BYTES), to_guest, iov,
                   n_iov);
    }
    *iov = ch->pieces;
    *n_iov = ch->n_pieces;
    return got;
}

/* --- bus master ------------------------------------------------------------------------- */

static bool is_started(IdeChannel *ide, bool to_guest)
{
    return container_of(ide, Channel, ide)->bmic & BMIC_START;
}

/* "Active" stays set when the list has more than the command took. */
static void ended(IdeChannel *ide, bool failed)
{
    Channel *ch = container_of(ide, Channel, ide);

    if (failed || (ch->pos.at_end && !ch->pos.left)) {
        ch->bmis &= ~BMIS_ACTIVE;
    }
}

static void interrupt(IdeChannel *ide, bool level)
{
    PiixIde *s = piix_of_channel(ide);

    if (level) {
        s->ch[ide->index].bmis |= BMIS_INTR;
    }
    irq_set(&s->irq[ide->index], level);
}

static const IdeDmaOps dma_ops = {
    .map = map, .unmap = unmap, .is_started = is_started, .ended = ended,
    .interrupt = interrupt,
};

static void write_command(Channel *ch, uint8_t val)
{
    bool was = ch->bmic & BMIC_START;

    ch->bmic = val & (BMIC_START | BMIC_READ);
    if (val & BMIC_START && !was) {
        ch->bmis |= BMIS_ACTIVE;
        ch->pos = (Position) { .next = ch->bmidtp };
        ide_dma_start(&ch->ide);
    } else if (!(val & BMIC_START) && was) {
        ide_dma_stop(&ch->ide);
        ch->bmis &= ~BMIS_ACTIVE;
    }
}

static uint64_t bm_read(void *opaque, hwaddr at, unsigned size)
{
    PiixIde *s = opaque;
    Channel *ch = &s->ch[at / BM_BYTES];
    unsigned reg = at % BM_BYTES;

    switch (reg) {
    case BMICX:
        return ch->bmic;
    case BMISX:
        return ch->bmis;
    case BMIDTPX ... BMIDTPX + 3:
        return ch->bmidtp >> 8 * (reg - BMIDTPX) & 0xff;
    default:
        return 0xff;
    }
}

static void bm_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    PiixIde *s = opaque;
    Channel *ch = &s->ch[at / BM_BYTES];
    unsigned reg = at % BM_BYTES;

    switch (reg) {
    case BMICX:
        write_command(ch, val);
        break;
    case BMISX:
        ch->bmis = (val & BMIS_CAPABLE)
                   | (ch->bmis & BMIS_ACTIVE)
                   | (ch->bmis & ~val & (BMIS_ERROR | BMIS_INTR));
        break;
    case BMIDTPX ... BMIDTPX + 3:
        ch->bmidtp = bits_set(ch->bmidtp, 8 * (reg - BMIDTPX), 8, val)
                     & ~3u;
        break;
    }
}

static const IoOps bm_ops = {
    .read = bm_read, .write = bm_write, .size_min = 1, .size_max = 1,
};

/* --- ports ---------------------------------------------------------------------------------- */

static uint64_t cmd_read(void *opaque, hwaddr reg, unsigned size)
{
    Channel *ch = opaque;
    uint64_t val = 0;

    if (reg == IDE_DATA) {
        return ide_read_data(&ch->ide, size);
    }
    for (unsigned i = 0; i < size; i++) {
        val |= (uint64_t)ide_read(&ch->ide, reg + i) << (8 * i);
    }
    return val;
}

static void cmd_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Channel *ch = opaque;

    if (reg == IDE_DATA) {
        ide_write_data(&ch->ide, size, val);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        ide_write(&ch->ide, reg + i, val >> (8 * i));
    }
}

static const IoOps cmd_ops = {
    .read = cmd_read, .write = cmd_write, .size_min = 1, .size_max = 4,
};

static uint64_t ctl_read(void *opaque, hwaddr reg, unsigned size)
{
    return ide_read_alt_status(&((Channel *)opaque)->ide);
}

static void ctl_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    ide_write_control(&((Channel *)opaque)->ide, val);
}

static const IoOps ctl_ops = {
    .read = ctl_read, .write = ctl_write, .size_min = 1, .size_max = 1,
};

static void set_mapped(Region *r, hwaddr port, bool on)
{
    if (on != region_mapped(r)) {
        if (on) {
            region_map(io_root(), port, r, 0);
        } else {
            region_unmap(r);
        }
    }
}

/* COMMAND enables I/O.  IDETIM's enable bits are kept and change nothing: OVMF
 * leaves them clear and waits half a minute for drives on ports that float. */
static void update_ports(PiixIde *s)
{
    static const hwaddr cmd[] = { 0x1f0, 0x170 }, ctl[] = { 0x3f6, 0x376 };
    bool io = pci_get16(&s->pci, PCI_COMMAND) & PCI_COMMAND_IO;

    mem_begin();
    for (unsigned i = 0; i < 2; i++) {
        set_mapped(&s->ch[i].cmd_io, cmd[i], io);
        set_mapped(&s->ch[i].ctl_io, ctl[i], io);
    }
    mem_commit();
}

static void config_written(PciDevice *pci, unsigned at, unsigned size)
{
    update_ports(container_of(pci, PiixIde, pci));
}

/* --- the function ------------------------------------------------------------------------------ */

static void init_channel(PiixIde *s, unsigned i)
{
    static const char *const buses[] = { "ide.0", "ide.1" };
    Device *dev = &s->pci.dev;
    Channel *ch = &s->ch[i];

    ide_channel_init(&ch->ide, dev, buses[i], i, &dma_ops);
    region_init_io(&ch->cmd_io, &dev->obj, "ide-command", &cmd_ops, ch, 8);
    region_init_io(&ch->ctl_io, &dev->obj, "ide-control", &ctl_ops, ch, 1);
    ch->pieces = g_new(struct iovec, MAX_PIECES);
    ch->is_ram = g_new(bool, MAX_PIECES);
    ch->sink = g_malloc(SINK_BYTES);
}

static bool piix_ide_realize(Device *dev, GError **err)
{
    PiixIde *s = piix_of(dev);
    PciDevice *pci = &s->pci;

    pci_set_ids(pci, 0x8086, 0x7010, 0x010180, 0);
    for (unsigned i = 0; i < 4; i++) {
        pci->wmask[IDETIM + i] = i & 1 ? 0xf3 : 0xff;
    }
    pci->wmask[SIDETIM] = 0xff;
    pci->wmask[PCI_INTERRUPT_LINE] = 0;
    pci->on_config_write = config_written;
    region_init_io(&s->bm_io, &dev->obj, "piix-bmdma", &bm_ops, s,
                   2 * BM_BYTES);
    pci_register_bar(pci, 4, PCI_BAR_IO, &s->bm_io);
    for (unsigned i = 0; i < 2; i++) {
        init_channel(s, i);
    }
    return true;
}

static void piix_ide_unrealize(Device *dev)
{
    PiixIde *s = piix_of(dev);

    for (unsigned i = 0; i < 2; i++) {
        Channel *ch = &s->ch[i];

        set_mapped(&ch->cmd_io, 0, false);
        set_mapped(&ch->ctl_io, 0, false);
        region_destroy(&ch->cmd_io);
        region_destroy(&ch->ctl_io);
        ide_channel_destroy(&ch->ide);
        g_free(ch->pieces);
        g_free(ch->is_ram);
        g_free(ch->sink);
    }
    region_destroy(&s->bm_io);
}

static void piix_ide_reset(Device *dev)
{
    PiixIde *s = piix_of(dev);

    pci_set16(&s->pci, PCI_STATUS,
              PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
    store_le32(s->pci.config + IDETIM, 0);
    s->pci.config[SIDETIM] = 0;
    for (unsigned i = 0; i < 2; i++) {
        Channel *ch = &s->ch[i];

        ch->bmic = ch->bmis = 0;
        ch->bmidtp = 0;
        ch->pos = (Position) { 0 };
        ide_channel_reset(&ch->ide);
    }
    update_ports(s);
}

static void piix_ide_update(Device *dev)
{
    PiixIde *s = piix_of(dev);

    update_ports(s);
    for (unsigned i = 0; i < 2; i++) {
        irq_set(&s->irq[i], s->ch[i].ide.level);
    }
}

static const State position_state = {
    .name = "position", .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(Position, next), STATE_U32(Position, gpa),
        STATE_U32(Position, left), STATE_BOOL(Position, at_end), {}
    },
};

static const State ide_state = {
    .name = "registers", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(IdeChannel, device), STATE_U8(IdeChannel, control),
        STATE_BOOL(IdeChannel, level), {}
    },
};

static const State channel_state = {
    .name = "channel", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(Channel, ide, &ide_state),
        STATE_U8(Channel, bmic), STATE_U8(Channel, bmis),
        STATE_U32(Channel, bmidtp),
        STATE_STRUCT(Channel, pos, &position_state), {}
    },
};

/* The drives' requests end before their channel is written down. */
static void piix_pre_save(void *dev)
{
    PiixIde *s = dev;

    for (unsigned i = 0; i < 2; i++) {
        for (unsigned unit = 0; unit < 2; unit++) {
            IdeDrive *d = s->ch[i].ide.drives[unit];

            while (d && d->in_flight) {
                blk_drain(d->conf.blk);
            }
        }
    }
}

static const State piix_ide_state = {
    .name = "piix_ide", .version = 1, .pre_save = piix_pre_save,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(PiixIde, ch, &channel_state), {}
    },
};

static const Output piix_ide_outputs[] = {
    OUTPUT_ARRAY(PiixIde, irq, "irq"), {}
};

static const DeviceType piix3_ide_type = {
    .name = "piix3-ide", .doc = "Intel 82371SB IDE, two channels",
    .parent = &pci_device_type, .size = sizeof(PiixIde), .internal = true,
    .outputs = piix_ide_outputs, .state = &piix_ide_state,
    .realize = piix_ide_realize, .unrealize = piix_ide_unrealize,
    .reset = piix_ide_reset, .update = piix_ide_update,
};
DEVICE_TYPE(piix3_ide_type)
