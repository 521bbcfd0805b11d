/*
 * IDENTIFY DEVICE and IDENTIFY PACKET DEVICE.
 *
 * Spec:  ATA/ATAPI-7 volume 1 (T13/1532D), sections 6.17 and 6.18.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/ide.h"

static void put(uint8_t *data, unsigned word, uint16_t val)
{
    store_le16(data + 2 * word, val);
}

static void put32(uint8_t *data, unsigned word, uint32_t val)
{
    store_le32(data + 2 * word, val);
}

/* Text in words, the first letter in the high byte, blanks behind it. */
static void put_text(uint8_t *data, unsigned word, unsigned bytes,
                     const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < bytes; i++) {
        data[(2 * word + i) ^ 1] = i < len ? text[i] : ' ';
    }
}

/* A number that tells the drives of a machine apart. */
static void put_serial(const IdeDrive *s, uint8_t *data)
{
    g_autofree char *own = g_strdup_printf("QM%05u", 2 * s->ch->index
                                           + s->unit + 1);

    put_text(data, 10, 20, s->conf.serial ? s->conf.serial : own);
}

static void put_modes(const IdeDrive *s, uint8_t *data)
{
    unsigned ultra = s->dma_mode >> 3 == 8 ? BIT(s->dma_mode & 7) : 0;
    unsigned multi = s->dma_mode >> 3 == 4 ? BIT(s->dma_mode & 7) : 0;

    put(data, 53, 7);           /* words 54-58, 64-70 and 88 are valid */
    put(data, 63, 7 | multi << 8);
    put(data, 64, 3);           /* PIO 3 and 4 */
    put(data, 65, 120);         /* cycle times in ns */
    put(data, 66, 120);
    put(data, 67, 120);
    put(data, 68, 120);
    put(data, 88, 0x3f | ultra << 8);
    put(data, 93, 1 | 1 << 14 | 0x2000);        /* 80 wires, both passed */
}

static void put_checksum(uint8_t *data)
{
    uint8_t sum = 0;

    data[510] = 0xa5;
    for (unsigned i = 0; i < 511; i++) {
        sum += data[i];
    }
    data[511] = -sum;
}

static void put_commands(const IdeDrive *s, uint8_t *data)
{
    bool wcache = blk_write_cache(s->conf.blk);

    /* Supported: SMART, power, write cache, look-ahead, NOP. */
    put(data, 82, 1 << 14 | 1 << 6 | 1 << 5 | 1 << 3 | 1 << 0);
    /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit. */
    put(data, 83, 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10);
    /* SMART error logging and self-test, WRITE FUA EXT, a world wide name. */
    put(data, 84, 1 << 14 | 1 << 6 | (s->wwn ? 1 << 8 : 0) | 3);
    put(data, 85, 1 << 14 | (s->look_ahead ? 1 << 6 : 0)
                  | (wcache ? 1 << 5 : 0) | 1 << 3
                  | (s->smart_on ? 1 : 0));
    put(data, 86, 1 << 13 | 1 << 12 | 1 << 10);
    put(data, 87, 1 << 14 | 1 << 6 | (s->wwn ? 1 << 8 : 0) | 3);
}

void ata_identify(IdeDrive *s, uint8_t *data)
{
    uint32_t chs = s->conf.cyls * s->conf.heads * s->conf.secs;
    uint64_t lba28 = MIN(s->n_sectors, 0xfffffff);
    uint64_t cyls = MIN(s->n_sectors / (s->heads * s->secs), 65535);
    unsigned per_physical = s->conf.physical_bytes / IDE_SECTOR_BYTES;

    memset(data, 0, 512);
    put(data, 0, 0x0040);       /* fixed drive */
    put(data, 1, s->conf.cyls);
    put(data, 3, s->conf.heads);
    put(data, 4, IDE_SECTOR_BYTES * s->conf.secs);      /* obsolete, as 5 */
    put(data, 5, IDE_SECTOR_BYTES);
    put(data, 6, s->conf.secs);
    put_serial(s, data);
    put(data, 20, 3);
    put(data, 21, 512);         /* buffer, in sectors */
    put(data, 22, 4);
    put_text(data, 23, 8, s->version);
    put_text(data, 27, 40, s->model ? s->model : "QEMU HARDDISK");
    put(data, 47, 0x8000 | IDE_MAX_MULTIPLE);
    put(data, 48, 1);           /* 32-bit data port accesses work */
    put(data, 49, 1 << 11 | 1 << 10 | 1 << 9 | 1 << 8); /* IORDY, LBA, DMA */
    put(data, 50, 1 << 14);
    put(data, 51, 0x200);
    put(data, 52, 0x200);
    put(data, 54, cyls);
    put(data, 55, s->heads);
    put(data, 56, s->secs);
    put32(data, 57, cyls * s->heads * s->secs);
    put(data, 59, s->multiple ? 0x100 | s->multiple : 0);
    put32(data, 60, MAX(lba28, MIN(chs, s->n_sectors)));
    put_modes(s, data);
    put(data, 69, 1 << 14);     /* TRIM gives zeroes or what was there */
    put(data, 80, 0xf0);        /* ATA-4 to ATA-7 */
    put(data, 81, 0x16);
    put_commands(s, data);
    put32(data, 100, s->n_sectors);
    put32(data, 102, s->n_sectors >> 32);
    put(data, 105, 8);          /* blocks of ranges in one TRIM */
    if (per_physical > 1) {
        put(data, 106, 0x6000 | (31 - __builtin_clz(per_physical)));
    } else {
        put(data, 106, 0x4000);
    }
    for (unsigned i = 0; s->wwn && i < 4; i++) {
        put(data, 108 + i, s->wwn >> (48 - 16 * i));
    }
    put(data, 169, 1);          /* TRIM */
    put(data, 217, s->rotation_rate);
    put_checksum(data);
}

void atapi_identify(IdeDrive *s, uint8_t *data)
{
    memset(data, 0, 512);
    /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes. */
    put(data, 0, 2 << 14 | 5 << 8 | 1 << 7 | 2 << 5);
    put_serial(s, data);
    put(data, 20, 3);
    put(data, 21, 512);
    put(data, 22, 4);
    put_text(data, 23, 8, s->version);
    put_text(data, 27, 40, s->model ? s->model : "QEMU DVD-ROM");
    put(data, 48, 1);
    put(data, 49, 1 << 11 | 1 << 9 | 1 << 8);
    put_modes(s, data);
    put(data, 71, 30);          /* ns to release the bus, to clear BSY */
    put(data, 72, 30);
    put(data, 80, 0x1e);        /* ATA-1 to ATA-4 */
    put(data, 82, 1 << 14 | 1 << 9 | 1 << 4);   /* NOP, RESET, PACKET */
    put(data, 83, 1 << 14);
    put(data, 84, 1 << 14);
    put(data, 85, 1 << 14 | 1 << 9 | 1 << 4);
    put(data, 87, 1 << 14);
    put_checksum(data);
}
