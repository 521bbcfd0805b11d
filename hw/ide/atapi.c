/*
 * ATAPI CD-ROM drives: packets, and how their data goes in and out.
 *
 * Spec:   ATA/ATAPI-7 volume 2, section 9.9 (PACKET protocols); SFF-8020i.
 * Models: PIO and DMA data; the commands are in mmc.c.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mmc.h"

#include <errno.h>

#include "base/trace.h"

enum {
    IDENTIFY_PACKET = 0xa1, IDENTIFY_DEVICE = 0xec, PACKET = 0xa0,
    SET_FEATURES = 0xef, EXECUTE_DIAGNOSTIC = 0x90, IDLE_IMMEDIATE = 0xe1,
    STANDBY_IMMEDIATE = 0xe0, CHECK_POWER = 0xe5, SLEEP = 0xe6,
};
enum { REASON_COMMAND = 1, REASON_TO_HOST = 2 };        /* count register */
enum { CHECK = 1 << 4 };        /* sense key's place in the error register */

/* --- ends --------------------------------------------------------------------------- */

void atapi_good(IdeDrive *s)
{
    s->cd.sense_key = s->cd.asc = s->cd.ascq = 0;
    s->count.now = REASON_COMMAND | REASON_TO_HOST;
    ide_done(s);
}

void atapi_check(IdeDrive *s, uint8_t key, uint8_t asc, uint8_t ascq)
{
    trace("atapi-check", "packet 0x%02x: %x/%02x/%02x", s->cd.packet[0], key,
          asc, ascq);
    s->cd.sense_key = key;
    s->cd.asc = asc;
    s->cd.ascq = ascq;
    s->count.now = REASON_COMMAND | REASON_TO_HOST;
    ide_fail(s, key << 4 | IDE_ABRT);
}

/* --- data to the host ------------------------------------------------------------------ */

/* The next block of what is in the buffer: buf[buf_len..buf_have). */
static void offer_block(IdeDrive *s)
{
    uint32_t at = s->buf_len, n = MIN(MAX(s->cd.limit, 2), s->buf_have - at);

    /* A block that is not the last must be even. */
    if (n & 1 && at + n < s->buf_have) {
        n--;
    }
    s->count.now = REASON_TO_HOST;
    s->mid.now = n;
    s->high.now = n >> 8;
    ide_pio_in(s, at, n, STEP_CD_BLOCK);
}

/* A PIO block has been read. */
void atapi_block(IdeDrive *s)
{
    if (s->buf_len < s->buf_have) {
        offer_block(s);
    } else if (s->left) {
        atapi_read(s);
    } else {
        atapi_good(s);
    }
}

/* DMA has been started by the host: all of what is in the buffer. */
void atapi_dma(IdeDrive *s)
{
    if (!ide_dma_put(s, s->buf, s->buf_have)) {
        atapi_check(s, SENSE_ABORTED, 0, 0);
        return;
    }
    if (s->left) {
        atapi_read(s);
    } else {
        atapi_good(s);
    }
}

static void send(IdeDrive *s)
{
    s->buf_at = s->buf_len = 0;
    if (!s->buf_have) {
        atapi_good(s);
    } else if (!s->cd.dma) {
        offer_block(s);
    } else if (s->phase == IDE_DMA) {
        atapi_dma(s);           /* more of the same */
    } else {
        s->writing = false;
        s->count.now = REASON_TO_HOST;
        ide_dma(s, STEP_CD_DMA);
    }
}

void atapi_reply(IdeDrive *s, size_t len, size_t most)
{
    s->left = 0;
    s->buf_have = MIN(len, most);
    send(s);
}

/* --- blocks of the medium ------------------------------------------------------------------ */

enum { COOKED_BYTES = 2048, RAW_BYTES = 2352, READ_AT_ONCE = 32 };

uint32_t atapi_raw_bytes(uint8_t kind)
{
    return (kind & RAW_SYNC ? 12 : 0) + (kind & RAW_HEADER ? 4 : 0)
           + (kind & RAW_DATA ? COOKED_BYTES : 0)
           + (kind & RAW_ECC ? 288 : 0);
}

static uint8_t bcd(unsigned n)
{
    return n / 10 << 4 | n % 10;
}

/* Mode 1 sectors around the data: sync, header, and where the image has none,
 * zeroes for EDC and ECC. */
static void wrap(IdeDrive *s, uint32_t n)
{
    g_autofree uint8_t *cooked = g_memdup2(s->buf, n * COOKED_BYTES);
    uint8_t kind = s->cd.block_kind, *at = s->buf;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t frame = s->lba + i + 150;

        if (kind & RAW_SYNC) {
            memset(at, 0xff, 12);
            at[0] = at[11] = 0;
            at += 12;
        }
        if (kind & RAW_HEADER) {
            at[0] = bcd(frame / 75 / 60 % 100);
            at[1] = bcd(frame / 75 % 60);
            at[2] = bcd(frame % 75);
            at[3] = 1;
            at += 4;
        }
        if (kind & RAW_DATA) {
            memcpy(at, cooked + i * COOKED_BYTES, COOKED_BYTES);
            at += COOKED_BYTES;
        }
        if (kind & RAW_ECC) {
            memset(at, 0, 288);
            at += 288;
        }
    }
    s->buf_have = at - s->buf;
}

static void read_done(void *opaque, int ret)
{
    IdeIo *io = opaque;
    IdeDrive *s = io->s;

    if (!ide_io_end(io)) {
        return;
    }
    if (ret < 0 && ide_io_error(s, true, &ret, STEP_CD_READ)) {
        return;
    }
    if (ret == -ENOMEDIUM) {
        atapi_check(s, SENSE_NOT_READY, 0x3a, 0);
        return;
    }
    if (ret < 0) {
        atapi_check(s, SENSE_MEDIUM, 0x11, 0);
        return;
    }
    s->buf_have = s->n_now * COOKED_BYTES;
    if (s->cd.block_kind != RAW_DATA) {
        wrap(s, s->n_now);
    }
    s->lba += s->n_now;
    s->left -= s->n_now;
    send(s);
}

void atapi_read(IdeDrive *s)
{
    uint64_t blocks = s->n_sectors / 4;
    uint32_t n = MIN(s->left, READ_AT_ONCE);

    if (s->lba >= blocks || n > blocks - s->lba || !s->cd.block_kind) {
        s->left = 0;
        atapi_check(s, SENSE_ILLEGAL, 0x21, 0);
        return;
    }
    s->n_now = n;
    s->vec = (struct iovec) { s->buf, n * COOKED_BYTES };
    blk_read(s->conf.blk, s->lba * COOKED_BYTES, s->vec.iov_len, &s->vec, 1,
             read_done, ide_io_begin(s));
}

/* --- packets ------------------------------------------------------------------------------- */

/* The 12 bytes are there. */
void atapi_packet(IdeDrive *s)
{
    memcpy(s->cd.packet, s->buf, sizeof(s->cd.packet));
    trace("atapi-packet", "0x%02x %02x %02x %02x %02x %02x", s->cd.packet[0],
          s->cd.packet[1], s->cd.packet[2], s->cd.packet[3],
          s->cd.packet[4], s->cd.packet[5]);
    s->left = s->buf_have = s->buf_len = s->buf_at = 0;
    mmc_command(s);
}

/* So are the parameters that it asked for. */
void atapi_parameters(IdeDrive *s)
{
    mmc_parameters(s);
}

static void packet(IdeDrive *s)
{
    uint16_t limit = s->high.now << 8 | s->mid.now;

    s->cd.dma = s->feature.now & 1;
    if (!limit && !s->cd.dma) {
        limit = 0xfffe;         /* what drivers of old mean by it */
    }
    s->cd.limit = limit == 0xffff ? 0xfffe : MAX(limit, 2);
    s->count.now = REASON_COMMAND;
    ide_pio_out(s, sizeof(s->cd.packet), false, STEP_CD_PACKET);
}

void atapi_command(IdeDrive *s)
{
    switch (s->command) {
    case PACKET:
        packet(s);
        break;
    case IDENTIFY_PACKET:
        atapi_identify(s, s->buf);
        ide_pio_in(s, 0, IDE_SECTOR_BYTES, STEP_DONE);
        break;
    case IDENTIFY_DEVICE:       /* "I am none": the signature says what */
        ide_set_signature(s);
        ide_abort(s);
        break;
    case EXECUTE_DIAGNOSTIC:
        ide_set_signature(s);
        ide_done(s);
        s->status = 0;
        s->error = 1;
        break;
    case SET_FEATURES:
        ide_set_features(s);
        break;
    case CHECK_POWER:
        s->count.now = 0xff;
        ide_done(s);
        break;
    case IDLE_IMMEDIATE: case STANDBY_IMMEDIATE: case SLEEP:
        ide_done(s);
        break;
    default:
        ide_abort(s);
        break;
    }
}

void atapi_reset(IdeDrive *s)
{
    bool changed = s->cd.changed, open = s->cd.tray_open;

    s->cd = (IdeCd) { .changed = changed, .tray_open = open };
}
