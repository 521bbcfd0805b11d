/*
 * SMART of a disk in good health.
 *
 * Spec:  ATA/ATAPI-7 volume 1 (T13/1532D), section 6.51; the attribute table's
 *        layout is ATA-3's.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide/ide.h"

enum {                          /* feature register */
    READ_DATA = 0xd0, READ_THRESHOLDS, AUTOSAVE, EXECUTE_OFFLINE = 0xd4,
    READ_LOG, ENABLE = 0xd8, DISABLE, RETURN_STATUS, AUTO_OFFLINE,
};
enum { SUMMARY_LOG = 1, SELF_TEST_LOG = 6 };

/* Attribute: id, flags (pre-failure, online), value, worst, raw, threshold. */
static const struct {
    uint8_t id, flags, value, worst;
    uint32_t raw;
    uint8_t threshold;
} attributes[] = {
    { 1, 0x03, 100, 100, 0, 6 },        /* read error rate */
    { 3, 0x03, 100, 100, 16, 0 },       /* spin-up time */
    { 4, 0x02, 100, 100, 100, 20 },     /* start/stop count */
    { 5, 0x03, 100, 100, 0, 36 },       /* reallocated sectors */
    { 9, 0x03, 100, 100, 1, 0 },        /* power-on hours */
    { 12, 0x03, 100, 100, 0, 0 },       /* power cycles */
    { 190, 0x03, 69, 69, 31, 50 },      /* temperature, 100 minus degrees */
};

static void put_checksum(uint8_t *data)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 511; i++) {
        sum += data[i];
    }
    data[511] = -sum;
}

static void put_data(uint8_t *data)
{
    store_le16(data, 1);        /* revision */
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        uint8_t *at = data + 2 + 12 * i;

        at[0] = attributes[i].id;
        at[1] = attributes[i].flags;
        at[3] = attributes[i].value;
        at[4] = attributes[i].worst;
        store_le32(at + 5, attributes[i].raw);
    }
    data[362] = 2;              /* off-line data collection: done */
    store_le16(data + 364, 288);
    data[367] = 1 << 4 | 1 << 3 | 1;    /* self-test, off-line */
    store_le16(data + 368, 3);
    data[370] = 1;              /* error logging */
    data[372] = 2;              /* minutes: short self-test */
    data[373] = 54;             /* extended */
}

static void put_thresholds(uint8_t *data)
{
    store_le16(data, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        data[2 + 12 * i] = attributes[i].id;
        data[3 + 12 * i] = attributes[i].threshold;
    }
}

static bool put_log(uint8_t *data, uint8_t log)
{
    switch (log) {
    case 0:                     /* the directory: a sector each */
        data[0] = 1;
        data[2 * SUMMARY_LOG] = 1;
        data[2 * SELF_TEST_LOG] = 1;
        return true;
    case SUMMARY_LOG:
        data[0] = 1;            /* version; no errors */
        return true;
    case SELF_TEST_LOG:
        store_le16(data, 1);
        return true;
    default:
        return false;
    }
}

static void give(IdeDrive *s, bool checksum)
{
    if (checksum) {
        put_checksum(s->buf);
    }
    ide_pio_in(s, 0, IDE_SECTOR_BYTES, STEP_DONE);
}

void ide_smart(IdeDrive *s)
{
    uint8_t what = s->feature.now;

    if (s->mid.now != 0x4f || s->high.now != 0xc2
        || (!s->smart_on && what != ENABLE)) {
        ide_abort(s);
        return;
    }
    memset(s->buf, 0, IDE_SECTOR_BYTES);
    switch (what) {
    case READ_DATA:
        put_data(s->buf);
        give(s, true);
        break;
    case READ_THRESHOLDS:
        put_thresholds(s->buf);
        give(s, true);
        break;
    case READ_LOG:
        if (s->count.now != 1 || !put_log(s->buf, s->low.now)) {
            ide_abort(s);
            return;
        }
        give(s, s->low.now != 0);
        break;
    case ENABLE:
    case DISABLE:
        s->smart_on = what == ENABLE;
        ide_done(s);
        break;
    case RETURN_STATUS:         /* 4Fh, C2h stay: no threshold exceeded */
    case AUTOSAVE:
    case AUTO_OFFLINE:
    case EXECUTE_OFFLINE:
        ide_done(s);
        break;
    default:
        ide_abort(s);
        break;
    }
}
