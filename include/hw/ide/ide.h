/*
 * ATA and ATAPI drives on a channel of two; what a host adapter needs of them.
 *
 *   adapter (piix.c) -- IdeChannel --+-- IdeDrive 0     core.c: registers, PIO
 *                                    +-- IdeDrive 1     ata.c, atapi.c: commands
 *                                                       drive.c: the devices
 *
 * Each drive has its own copy of the command block: the host writes to both at
 * once, but for the command itself, and reads the selected one's.
 *
 * A command ends in ide_done() or ide_abort(); in between it is in a phase:
 *
 *   IDLE --command--> BUSY --ide_pio_in()---> PIO_IN --block read--> BUSY ...
 *                      |  \--ide_pio_out()--> PIO_OUT -block full--> BUSY ...
 *                      |   \-ide_dma()------> DMA (until the host starts it)
 *                      +--ide_done()--> IDLE
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include "hw/block/block.h"

typedef struct IdeDrive IdeDrive;
typedef struct IdeChannel IdeChannel;

enum {                          /* command block, from its base */
    IDE_DATA, IDE_ERROR, IDE_FEATURE = IDE_ERROR, IDE_COUNT, IDE_LBA_LOW,
    IDE_LBA_MID, IDE_LBA_HIGH, IDE_DEVICE, IDE_STATUS,
    IDE_COMMAND = IDE_STATUS,
};
enum {                          /* status */
    IDE_ERR = 1 << 0, IDE_DRQ = 1 << 3, IDE_DSC = 1 << 4, IDE_DF = 1 << 5,
    IDE_DRDY = 1 << 6, IDE_BSY = 1 << 7,
};
enum {                          /* error */
    IDE_ABRT = 1 << 2, IDE_IDNF = 1 << 4, IDE_UNC = 1 << 6,
};
enum { IDE_DEV = 1 << 4, IDE_LBA = 1 << 6 };            /* device */
enum { IDE_NIEN = 1 << 1, IDE_SRST = 1 << 2, IDE_HOB = 1 << 7 };  /* control */

enum {
    IDE_SECTOR_BYTES = 512, IDE_MAX_MULTIPLE = 16,
    IDE_BUFFER_BYTES = 256 * IDE_SECTOR_BYTES,
};

/* A register with its previous contents, for 48-bit commands. */
typedef struct IdeReg {
    uint8_t now, hob;
} IdeReg;

/* What a command does next: by number, so that it can be saved. */
typedef enum {
    STEP_NONE, STEP_DONE,
    STEP_ATA_READ_BLOCK, STEP_ATA_WRITE_BLOCK, STEP_ATA_DMA, STEP_ATA_FLUSH,
    STEP_ATA_VERIFY, STEP_ATA_TRIM_PIO, STEP_ATA_TRIM,
    STEP_CD_PACKET, STEP_CD_BLOCK, STEP_CD_READ, STEP_CD_DMA,
    STEP_CD_PARAMETERS, STEP_N
} IdeStep;

typedef enum { IDE_IDLE, IDE_BUSY, IDE_PIO_IN, IDE_PIO_OUT, IDE_DMA }
    IdePhase;

/*
 * How the adapter moves DMA data.  Pieces of guest memory for `bytes` from
 * where the last one ended: an iovec array good until unmap(); fewer bytes
 * when the host's list is at its end.
 */
typedef struct IdeDmaOps {
    size_t (*map)(IdeChannel *ch, size_t bytes, bool to_guest,
                  struct iovec **iov, unsigned *n_iov);
    void (*unmap)(IdeChannel *ch, bool to_guest, bool good);
    /* The drive is ready for DMA, or has ended it. */
    bool (*is_started)(IdeChannel *ch, bool to_guest);
    void (*ended)(IdeChannel *ch, bool failed);
    void (*interrupt)(IdeChannel *ch, bool level);
} IdeDmaOps;

struct IdeChannel {
    Bus bus;
    IdeDrive *drives[2];
    const IdeDmaOps *ops;       /* (C) */
    unsigned index;             /* (C) */

    uint8_t device;             /* DEV bit of the last write */
    uint8_t control;

    bool level;                 /* of its interrupt line */
};

typedef struct IdeCd {          /* what only a CD-ROM drive has */
    uint8_t sense_key, asc, ascq;
    bool tray_open, tray_locked;
    bool changed;               /* medium: unit attention to be told */
    bool event;                 /* for GET EVENT STATUS NOTIFICATION */
    bool eject_request;         /* the user's: the same */
    uint8_t packet[12];
    uint16_t limit;             /* bytes a PIO block, as the host said */
    bool dma;                   /* this command's data */
    uint8_t block_kind;         /* READ CD: what of a block goes out */
} IdeCd;

struct IdeDrive {
    Device dev;
    BlockConf conf;
    int32_t unit;               /* property: 0, 1; -1: the first free */
    char *model, *version;      /* properties */
    uint64_t wwn;
    uint16_t rotation_rate;
    bool is_cd;                 /* (C) */
    IdeChannel *ch;             /* (C) */
    uint64_t n_sectors;         /* of 512 bytes; a CD's blocks have four */

    IdeReg feature, count, low, mid, high;
    uint8_t device, status, error;
    uint8_t phase;              /* IdePhase */
    uint8_t command;
    bool intrq;
    uint8_t multiple;           /* sectors a block, 0: off */
    uint8_t dma_mode;           /* as SET FEATURES: 0x20 | n, 0x40 | n, 0 */
    uint8_t heads, secs;        /* translation in use */
    bool smart_on, lba48;       /* lba48: the command in work is one */
    bool sleeping;
    bool write_cache, look_ahead;

    uint64_t lba;               /* next sector (block) of the command */
    uint32_t left;              /* sectors, from `lba` on */
    uint32_t block;             /* sectors a PIO block */
    uint32_t buf_at, buf_len;   /* of the PIO block: next byte, its end */
    uint32_t buf_have;          /* bytes read ahead in `buf` */
    uint32_t buf_used;          /* that matter: for the state table */
    uint8_t *buf;               /* IDE_BUFFER_BYTES */
    IdeCd cd;

    uint8_t step;               /* IdeStep: after a PIO block, or when DMA
                                 * starts */
    uint8_t retry;              /* what `cont` does again */
    bool writing;               /* DMA: from the guest */
    bool fua;

    /* Requests to the image: a save waits for them. */
    bool in_flight;
    unsigned generation;        /* a completion of another one is late */
    struct iovec vec;
    uint32_t n_now;             /* sectors in flight */
};

extern const BusType ide_bus_type;
extern const DeviceType ide_drive_type;         /* abstract */

static inline IdeDrive *ide_drive_of(Device *dev)
{
    return container_of(dev, IdeDrive, dev);
}

/* --- for adapters ------------------------------------------------------------------- */

void ide_channel_init(IdeChannel *ch, Device *owner, const char *name,
                      unsigned index, const IdeDmaOps *ops);
void ide_channel_destroy(IdeChannel *ch);
void ide_channel_reset(IdeChannel *ch);
/* Command block, control block; data in 2 or 4 bytes. */
uint8_t ide_read(IdeChannel *ch, unsigned reg);
void ide_write(IdeChannel *ch, unsigned reg, uint8_t val);
uint32_t ide_read_data(IdeChannel *ch, unsigned size);
void ide_write_data(IdeChannel *ch, unsigned size, uint32_t val);
uint8_t ide_read_alt_status(IdeChannel *ch);
void ide_write_control(IdeChannel *ch, uint8_t val);
/* The host set the start bit: go on if the drive waits for it; and what it
 * waits for. */
void ide_dma_start(IdeChannel *ch);
/* It cleared it: wait for what is under way. */
void ide_dma_stop(IdeChannel *ch);
IdeDrive *ide_selected(IdeChannel *ch);
void ide_update_irq(IdeChannel *ch);

/* --- for drives ------------------------------------------------------------------------ */

/* Power-on, hardware and software reset; SRST leaves modes as they are. */
void ide_drive_reset(IdeDrive *s, bool hard);
/* Stop what is under way without a trace. */
void ide_cancel(IdeDrive *s);
/* After `cont`: what failed and stopped the machine, once more. */
void ide_retry(IdeDrive *s);

/* The steps, for the table in core.c. */
void ata_read_block(IdeDrive *s);
void ata_write_block(IdeDrive *s);
void ata_dma(IdeDrive *s);
void ata_flush(IdeDrive *s);
void ata_verify(IdeDrive *s);
void ata_trim_pio(IdeDrive *s);
void ata_trim(IdeDrive *s);
void atapi_packet(IdeDrive *s);
void atapi_block(IdeDrive *s);
void atapi_read(IdeDrive *s);
void atapi_dma(IdeDrive *s);
void atapi_parameters(IdeDrive *s);

/* --- for commands --------------------------------------------------------------------- */

void ata_command(IdeDrive *s);          /* ata.c */
void ata_reset(IdeDrive *s);
void ata_identify(IdeDrive *s, uint8_t *data);  /* identify.c: 512 bytes */
void atapi_identify(IdeDrive *s, uint8_t *data);
void atapi_command(IdeDrive *s);        /* atapi.c */
void atapi_reset(IdeDrive *s);
void ide_set_features(IdeDrive *s);     /* ata.c, both kinds */
void ide_smart(IdeDrive *s);            /* smart.c */
void ide_set_signature(IdeDrive *s);

/* The command is done, with an interrupt. */
void ide_done(IdeDrive *s);
/* It failed: these bits in the error register. */
void ide_fail(IdeDrive *s, uint8_t error);
static inline void ide_abort(IdeDrive *s)
{
    ide_fail(s, IDE_ABRT);
}
/* Offer buf[at..at + len) to the host; next() when it has read all. */
void ide_pio_in(IdeDrive *s, uint32_t at, uint32_t len,
                IdeStep next);
/* Ask the host for `len` bytes; the first block of a command comes without an
 * interrupt. */
void ide_pio_out(IdeDrive *s, uint32_t len, bool interrupt,
                 IdeStep next);
/* Wait for the host to start DMA, then next(). */
void ide_dma(IdeDrive *s, IdeStep next);
/* The host's side ended before the command: over, without an interrupt. */
void ide_dma_cut(IdeDrive *s);
/* To the guest by DMA: `len` bytes from `data`; false: its list is short. */
bool ide_dma_put(IdeDrive *s, const void *data, size_t len);
bool ide_dma_get(IdeDrive *s, void *data, size_t len);

/* A request began; its completion asks ide_io_end(), which is false when the
 * drive was reset meanwhile (and then nothing is to be done). */
typedef struct IdeIo {
    IdeDrive *s;
    unsigned generation;
} IdeIo;
IdeIo *ide_io_begin(IdeDrive *s);
bool ide_io_end(IdeIo *io);
/* A failed request: true when it is dealt with (stopped: retry() runs on
 * `cont`); else *ret is what remains, 0 when the error is ignored. */
bool ide_io_error(IdeDrive *s, bool is_read, int *ret,
                  IdeStep retry);

#endif
