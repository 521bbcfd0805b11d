/*
 * Commands of a CD-ROM and DVD-ROM drive.
 *
 * Spec:   MMC-6 (T10/1836-D); SPC-3 for INQUIRY and REQUEST SENSE; SFF-8020i
 *         for what older guests expect.
 * Models: one data track; a medium of more than 1.4 GB is a DVD.  Audio and
 *         writing are not there.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mmc.h"

enum {
    TEST_UNIT_READY = 0x00, REQUEST_SENSE = 0x03, INQUIRY = 0x12,
    MODE_SELECT_6 = 0x15, MODE_SENSE_6 = 0x1a, START_STOP = 0x1b,
    PREVENT_REMOVAL = 0x1e, READ_CAPACITY = 0x25, READ_10 = 0x28,
    SEEK_10 = 0x2b, READ_SUBCHANNEL = 0x42, READ_TOC = 0x43,
    GET_CONFIGURATION = 0x46, GET_EVENT_STATUS = 0x4a,
    READ_DISC_INFORMATION = 0x51, READ_TRACK_INFORMATION = 0x52,
    MODE_SELECT_10 = 0x55, MODE_SENSE_10 = 0x5a, READ_12 = 0xa8,
    READ_DVD_STRUCTURE = 0xad, SET_CD_SPEED = 0xbb, MECHANISM_STATUS = 0xbd,
    READ_CD = 0xbe, READ_CD_MSF = 0xb9,
};

#define CD_MAX_BLOCKS (80 * 60 * 75 - 150)      /* 80 minutes */
enum { PROFILE_NONE = 0, PROFILE_CD_ROM = 8, PROFILE_DVD_ROM = 16 };

/* --- what is in the drive ------------------------------------------------------------ */

static uint64_t n_blocks(const IdeDrive *s)
{
    return s->n_sectors / 4;
}

static bool is_there(const IdeDrive *s)
{
    return !s->cd.tray_open && blk_is_inserted(s->conf.blk) && n_blocks(s);
}

static unsigned profile(const IdeDrive *s)
{
    return !is_there(s) ? PROFILE_NONE
           : n_blocks(s) > CD_MAX_BLOCKS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static void put_msf(uint8_t *at, uint32_t lba)
{
    uint32_t frame = lba + 150;

    at[0] = 0;
    at[1] = frame / 75 / 60;
    at[2] = frame / 75 % 60;
    at[3] = frame % 75;
}

static void put_place(uint8_t *at, uint32_t lba, bool msf)
{
    if (msf) {
        put_msf(at, lba);
    } else {
        store_be32(at, lba);
    }
}

static void illegal_field(IdeDrive *s)
{
    atapi_check(s, SENSE_ILLEGAL, 0x24, 0);
}

/* --- the drive itself -------------------------------------------------------------------- */

static void request_sense(IdeDrive *s)
{
    uint8_t *b = memset(s->buf, 0, 18);

    b[0] = 0x70;
    b[2] = s->cd.sense_key;
    b[7] = 10;
    b[12] = s->cd.asc;
    b[13] = s->cd.ascq;
    atapi_reply(s, 18, s->cd.packet[4]);
}

static void put_text(uint8_t *at, unsigned bytes, const char *text)
{
    memset(at, ' ', bytes);
    memcpy(at, text, MIN(strlen(text), bytes));
}

static void inquiry(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    unsigned most = p[3] << 8 | p[4];
    const char *serial = s->conf.serial ? s->conf.serial : "";
    uint8_t *b = memset(s->buf, 0, 96);

    if (!(p[1] & 1)) {
        if (p[2]) {
            illegal_field(s);
            return;
        }
        b[0] = 5;               /* CD-ROM */
        b[1] = 0x80;            /* removable */
        b[3] = 0x21;            /* ATAPI-2, response format 1 */
        b[4] = 31;
        put_text(b + 8, 8, "QEMU");
        put_text(b + 16, 16, "QEMU DVD-ROM");
        put_text(b + 32, 4, s->version);
        atapi_reply(s, 36, most);
        return;
    }
    b[0] = 5;
    b[1] = p[2];
    switch (p[2]) {
    case 0x00:
        b[3] = 3;
        b[4] = 0x00;
        b[5] = 0x80;
        b[6] = 0x83;
        atapi_reply(s, 7, most);
        break;
    case 0x80:
        b[3] = MIN(strlen(serial), 20);
        memcpy(b + 4, serial, b[3]);
        atapi_reply(s, 4 + b[3], most);
        break;
    case 0x83:
        b[3] = 4 + 20;
        b[4] = 2;               /* ASCII, vendor specific, of the unit */
        b[7] = 20;
        put_text(b + 8, 20, *serial ? serial : "rhea");
        atapi_reply(s, 28, most);
        break;
    default:
        illegal_field(s);
        break;
    }
}

static void start_stop(IdeDrive *s)
{
    bool load_eject = s->cd.packet[4] & 2, start = s->cd.packet[4] & 1;

    if (s->cd.packet[4] >> 4) {         /* power conditions: nothing turns */
        atapi_good(s);
        return;
    }
    if (load_eject && !start) {
        if (s->cd.tray_locked) {
            atapi_check(s, blk_is_inserted(s->conf.blk) ? SENSE_ILLEGAL
                        : SENSE_NOT_READY, 0x53, 2);
            return;
        }
        s->cd.tray_open = true;
        s->cd.event = true;
    } else if (load_eject && s->cd.tray_open) {
        s->cd.tray_open = false;
        s->cd.event = true;
        s->cd.changed = blk_is_inserted(s->conf.blk);
    }
    atapi_good(s);
}

static void prevent_removal(IdeDrive *s)
{
    s->cd.tray_locked = s->cd.packet[4] & 1;
    atapi_good(s);
}

static void mechanism_status(IdeDrive *s)
{
    unsigned most = load_be16(s->cd.packet + 8);
    uint8_t *b = memset(s->buf, 0, 8);

    b[1] = s->cd.tray_open ? 1 << 4 : 0;
    b[5] = 1;                   /* one slot, no table of slots */
    atapi_reply(s, 8, most);
}

static void get_event_status(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    unsigned most = load_be16(p + 7);
    uint8_t *b = memset(s->buf, 0, 8);

    if (!(p[1] & 1)) {          /* only polled */
        illegal_field(s);
        return;
    }
    b[3] = 1 << 4;              /* supported: media */
    if (!(p[4] & 1 << 4)) {
        b[1] = 2;
        b[2] = 0x80;            /* no event of a class asked for */
        atapi_reply(s, 4, most);
        return;
    }
    b[1] = 6;
    b[2] = 4;                   /* media class */
    if (s->cd.event) {
        b[4] = is_there(s) ? 2 : 3;     /* new media, media removal */
        s->cd.event = false;
    } else if (s->cd.eject_request) {
        b[4] = 1;
        s->cd.eject_request = false;
    }
    b[5] = (s->cd.tray_open ? 1 : 0) | (is_there(s) ? 2 : 0);
    atapi_reply(s, 8, most);
}

/* --- mode pages ------------------------------------------------------------------------------ */

static unsigned put_page(const IdeDrive *s, uint8_t *b, uint8_t page)
{
    switch (page) {
    case 0x01:                  /* error recovery */
        b[0] = 0x01;
        b[1] = 6;
        b[3] = 5;               /* retries */
        return 8;
    case 0x2a:                  /* capabilities */
        b[0] = 0x2a;
        b[1] = 0x12;
        b[2] = 0x3b;            /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
        b[4] = 0x70;            /* mode 2 forms, multi-session */
        b[5] = 0x03 | 1 << 6;   /* CD-DA commands, bar code */
        b[6] = 1 << 5 | 1 << 3 | 1 | (s->cd.tray_locked ? 1 << 1 : 0);
        store_be16(b + 8, 706);         /* kB/s at most */
        store_be16(b + 10, 2);
        store_be16(b + 12, 512);        /* buffer, KiB */
        store_be16(b + 14, 706);        /* kB/s now */
        return 20;
    default:
        return 0;
    }
}

static void mode_sense(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    bool short_form = p[0] == MODE_SENSE_6;
    unsigned most = short_form ? p[4] : load_be16(p + 7);
    unsigned head = short_form ? 4 : 8, len = head;
    uint8_t page = p[2] & 0x3f, *b = memset(s->buf, 0, 256);

    if (p[2] >> 6 == 3) {       /* saved values: there are none */
        atapi_check(s, SENSE_ILLEGAL, 0x39, 0);
        return;
    }
    if (page == 0x3f) {
        len += put_page(s, b + len, 0x01);
        len += put_page(s, b + len, 0x2a);
    } else {
        len += put_page(s, b + len, page);
    }
    if (len == head) {
        illegal_field(s);
        return;
    }
    if (p[2] >> 6 == 1) {       /* what may be changed: nothing */
        for (unsigned at = head; at < len; at += 2 + b[at + 1]) {
            memset(b + at + 2, 0, b[at + 1]);
        }
    }
    if (short_form) {
        b[0] = len - 1;
        b[1] = is_there(s) ? 1 : 0x70;
    } else {
        store_be16(b, len - 2);
        b[2] = s->cd.tray_open ? 0x71 : is_there(s) ? 1 : 0x70;
    }
    atapi_reply(s, len, most);
}

static void mode_select(IdeDrive *s)
{
    unsigned len = s->cd.packet[0] == MODE_SELECT_6 ? s->cd.packet[4]
                   : load_be16(s->cd.packet + 7);

    if (!len) {
        atapi_good(s);
    } else if (s->cd.dma || len > IDE_BUFFER_BYTES) {
        illegal_field(s);
    } else {
        s->count.now = 0;
        s->mid.now = len;
        s->high.now = len >> 8;
        ide_pio_out(s, ALIGN_UP(len, 2), true, STEP_CD_PARAMETERS);
    }
}

/* The host would change pages of which nothing can be changed. */
void mmc_parameters(IdeDrive *s)
{
    unsigned head = s->cd.packet[0] == MODE_SELECT_6 ? 4 : 8;

    if (s->buf_len > head && (s->buf[head] & 0x3f) != 0x01
        && (s->buf[head] & 0x3f) != 0x2a) {
        atapi_check(s, SENSE_ILLEGAL, 0x26, 0);
        return;
    }
    atapi_good(s);
}

/* --- GET CONFIGURATION ------------------------------------------------------------------------- */

static uint8_t *put_feature(uint8_t *b, unsigned code, uint8_t flags,
                            const uint8_t *data, unsigned len)
{
    store_be16(b, code);
    b[2] = flags;
    b[3] = len;
    memcpy(b + 4, data, len);
    return b + 4 + len;
}

static void get_configuration(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    unsigned kind = p[1] & 3, start = load_be16(p + 2), now = profile(s);
    uint8_t profiles[8] = {
        0, PROFILE_DVD_ROM, now == PROFILE_DVD_ROM, 0,
        0, PROFILE_CD_ROM, now == PROFILE_CD_ROM, 0,
    };
    const struct {
        unsigned code;
        uint8_t flags, data[8], len;    /* flags: version, persistent, now */
    } features[] = {
        { 0x0001, 0x0b, { 0, 0, 0, 7, 1 }, 8 },         /* core: ATAPI */
        { 0x0003, 0x03, { 0x29 }, 4 },  /* removable: tray, eject, lock */
        { 0x0010, now != 0, { 0, 0, 8, 0, 0, 1, 1 }, 8 },       /* reads */
        { 0x001e, now == PROFILE_CD_ROM, { 0 }, 4 },            /* CD */
        { 0x001f, now == PROFILE_DVD_ROM, { 0 }, 0 },           /* DVD */
        { 0x0100, 0x03, { 0 }, 0 },     /* power management */
        { 0x0105, 0x07, { 0, 0, 0, 30 }, 4 },   /* timeouts */
    };
    uint8_t *b = memset(s->buf, 0, 256), *at = b + 8;

    if (kind == 3) {
        illegal_field(s);
        return;
    }
    if (kind == 2 ? start == 0 : start == 0) {
        at = put_feature(at, 0, 0x03, profiles, sizeof(profiles));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        bool want = kind == 2 ? features[i].code == start
                    : features[i].code >= start
                      && (kind == 0 || features[i].flags & 1);

        if (want) {
            at = put_feature(at, features[i].code, features[i].flags,
                             features[i].data, features[i].len);
        }
    }
    store_be32(b, at - b - 4);
    store_be16(b + 6, now);
    atapi_reply(s, at - b, load_be16(p + 7));
}

/* --- the medium ------------------------------------------------------------------------------------ */

static void read_capacity(IdeDrive *s)
{
    store_be32(s->buf, MIN(n_blocks(s) - 1, UINT32_MAX));
    store_be32(s->buf + 4, 2048);
    atapi_reply(s, 8, 8);
}

static void read_blocks(IdeDrive *s, uint64_t lba, uint32_t n, uint8_t kind)
{
    if (lba >= n_blocks(s) ? n || lba > n_blocks(s)
        : n > n_blocks(s) - lba) {
        atapi_check(s, SENSE_ILLEGAL, 0x21, 0);
        return;
    }
    if (!n || !kind) {
        atapi_good(s);
        return;
    }
    s->lba = lba;
    s->left = n;
    s->cd.block_kind = kind;
    atapi_read(s);
}

/* Expected type, and which parts: Mode 1 is all there is. */
static void read_cd(IdeDrive *s, uint32_t lba, uint32_t n)
{
    const uint8_t *p = s->cd.packet;
    unsigned type = p[1] >> 2 & 7, header = p[9] >> 5 & 3;
    uint8_t kind = 0;

    if ((type != 0 && type != 2) || p[9] & 6 || p[10] & 7) {
        illegal_field(s);       /* other modes, C2 errors, sub-channels */
        return;
    }
    kind |= p[9] & 0x80 ? RAW_SYNC : 0;
    kind |= header & 1 ? RAW_HEADER : 0;
    kind |= p[9] & 0x10 ? RAW_DATA : 0;
    kind |= p[9] & 0x08 ? RAW_ECC : 0;
    read_blocks(s, lba, n, kind);
}

static uint32_t from_msf(const uint8_t *at)
{
    uint32_t frame = (at[0] * 60 + at[1]) * 75 + at[2];

    return frame < 150 ? UINT32_MAX : frame - 150;
}

static void read_cd_msf(IdeDrive *s)
{
    uint32_t from = from_msf(s->cd.packet + 3);
    uint32_t to = from_msf(s->cd.packet + 6);

    if (from == UINT32_MAX || to == UINT32_MAX || from > to) {
        illegal_field(s);
        return;
    }
    read_cd(s, from, to - from);
}

/* Format 0: the tracks; 1: the last session's first; 2: all entries. */
static unsigned put_toc(const IdeDrive *s, uint8_t *b, unsigned format,
                        uint8_t start, bool msf)
{
    uint32_t end = MIN(n_blocks(s), UINT32_MAX);
    uint8_t *at = b + 4;

    b[2] = b[3] = 1;            /* first and last */
    switch (format) {
    case 0:
        if (start > 1 && start != 0xaa) {
            return 0;
        }
        if (start <= 1) {
            at[1] = 0x14;       /* data, copying allowed */
            at[2] = 1;
            put_place(at + 4, 0, msf);
            at += 8;
        }
        at[1] = 0x14;
        at[2] = 0xaa;
        put_place(at + 4, end, msf);
        return at + 8 - b;
    case 1:
        at[1] = 0x14;
        at[2] = 1;
        put_place(at + 4, 0, msf);
        return 12;
    case 2:
        for (unsigned i = 0; i < 4; i++, at += 11) {
            static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };

            at[0] = 1;          /* session */
            at[1] = 0x14;
            at[3] = points[i];
            if (i < 2) {
                at[8] = 1;      /* first, last track */
            } else {
                put_msf(at + 7, i == 2 ? end : 0);
            }
        }
        return at - b;
    default:
        return 0;
    }
}

static void read_toc(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    unsigned format = p[2] & 15, len;

    if (!format) {
        format = p[9] >> 6;     /* SFF-8020i's place */
    }
    memset(s->buf, 0, 64);
    len = put_toc(s, s->buf, format, p[6], p[1] & 2);
    if (!len) {
        illegal_field(s);
        return;
    }
    store_be16(s->buf, len - 2);
    atapi_reply(s, len, load_be16(p + 7));
}

static void read_disc_information(IdeDrive *s)
{
    uint8_t *b = memset(s->buf, 0, 34);

    if (s->cd.packet[1] & 7) {
        illegal_field(s);
        return;
    }
    store_be16(b, 32);
    b[2] = 0x0e;                /* complete, last session complete */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20;                /* unrestricted use */
    memset(b + 16, 0xff, 8);    /* no place to go on writing */
    atapi_reply(s, 34, load_be16(s->cd.packet + 7));
}

static void read_track_information(IdeDrive *s)
{
    uint8_t *b = memset(s->buf, 0, 36);

    store_be16(b, 34);
    b[2] = b[3] = 1;            /* track, session */
    b[5] = 4;                   /* data */
    b[6] = 1;                   /* Mode 1 */
    store_be32(b + 24, MIN(n_blocks(s), UINT32_MAX));
    atapi_reply(s, 36, load_be16(s->cd.packet + 7));
}

static void read_subchannel(IdeDrive *s)
{
    uint8_t *b = memset(s->buf, 0, 4);

    b[1] = 0x15;                /* no audio status */
    atapi_reply(s, 4, load_be16(s->cd.packet + 7));
}

/* Format 0, the physical layout of layer 0, and ff, the list of formats. */
static void read_dvd_structure(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    unsigned most = load_be16(p + 8);
    uint32_t last = n_blocks(s) - 1;
    uint8_t *b = memset(s->buf, 0, 2052);

    if (p[7] == 0xff) {
        store_be16(b, 6);
        b[4] = 0x00;
        b[5] = 1 << 6;          /* can be read */
        store_be16(b + 6, 2052);
        atapi_reply(s, 8, most);
        return;
    }
    if (p[7] || profile(s) != PROFILE_DVD_ROM || p[6]) {
        if (p[7] == 0 && profile(s) != PROFILE_DVD_ROM) {
            atapi_check(s, SENSE_ILLEGAL, 0x30, 2);     /* wrong medium */
        } else {
            illegal_field(s);
        }
        return;
    }
    store_be16(b, 2050);
    b[4] = 1;                   /* DVD-ROM, version 1 */
    b[5] = 0x0f;                /* 120 mm, no rate given */
    b[6] = 1;                   /* one layer, embossed */
    store_be32(b + 8, 0x30000); /* where data begins */
    store_be32(b + 12, 0x30000 + last);
    atapi_reply(s, 2052, most);
}

/* --- all of them --------------------------------------------------------------------------------------- */

enum { ANY_TIME = 1, NEEDS_MEDIUM = 2 };

static const struct {
    uint8_t code;
    uint8_t flags;              /* ANY_TIME: a unit attention waits */
    void (*run)(IdeDrive *s);   /* NULL: below */
} commands[] = {
    { TEST_UNIT_READY, NEEDS_MEDIUM, atapi_good },
    { REQUEST_SENSE, ANY_TIME, request_sense },
    { INQUIRY, ANY_TIME, inquiry },
    { MODE_SELECT_6, 0, mode_select },
    { MODE_SENSE_6, 0, mode_sense },
    { START_STOP, 0, start_stop },
    { PREVENT_REMOVAL, 0, prevent_removal },
    { READ_CAPACITY, NEEDS_MEDIUM, read_capacity },
    { READ_10, NEEDS_MEDIUM, NULL },
    { SEEK_10, NEEDS_MEDIUM, NULL },
    { READ_SUBCHANNEL, NEEDS_MEDIUM, read_subchannel },
    { READ_TOC, NEEDS_MEDIUM, read_toc },
    { GET_CONFIGURATION, ANY_TIME, get_configuration },
    { GET_EVENT_STATUS, ANY_TIME, get_event_status },
    { READ_DISC_INFORMATION, NEEDS_MEDIUM, read_disc_information },
    { READ_TRACK_INFORMATION, NEEDS_MEDIUM, read_track_information },
    { MODE_SELECT_10, 0, mode_select },
    { MODE_SENSE_10, 0, mode_sense },
    { READ_12, NEEDS_MEDIUM, NULL },
    { READ_DVD_STRUCTURE, NEEDS_MEDIUM, read_dvd_structure },
    { SET_CD_SPEED, 0, atapi_good },
    { MECHANISM_STATUS, 0, mechanism_status },
    { READ_CD, NEEDS_MEDIUM, NULL },
    { READ_CD_MSF, NEEDS_MEDIUM, read_cd_msf },
};

static void run_addressed(IdeDrive *s)
{
    const uint8_t *p = s->cd.packet;
    uint32_t lba = load_be32(p + 2);

    switch (p[0]) {
    case READ_10:
        read_blocks(s, lba, load_be16(p + 7), RAW_DATA);
        break;
    case READ_12:
        read_blocks(s, lba, load_be32(p + 6), RAW_DATA);
        break;
    case READ_CD:
        read_cd(s, lba, p[6] << 16 | p[7] << 8 | p[8]);
        break;
    case SEEK_10:
        if (lba >= n_blocks(s)) {
            atapi_check(s, SENSE_ILLEGAL, 0x21, 0);
        } else {
            atapi_good(s);
        }
        break;
    }
}

void mmc_command(IdeDrive *s)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].code != s->cd.packet[0]) {
            continue;
        }
        if (s->cd.changed && !(commands[i].flags & ANY_TIME)) {
            s->cd.changed = false;
            if (is_there(s)) {
                atapi_check(s, SENSE_ATTENTION, 0x28, 0);
                return;
            }
        }
        if (commands[i].flags & NEEDS_MEDIUM && !is_there(s)) {
            atapi_check(s, SENSE_NOT_READY, 0x3a, s->cd.tray_open ? 2 : 1);
            return;
        }
        if (commands[i].run) {
            commands[i].run(s);
        } else {
            run_addressed(s);
        }
        return;
    }
    atapi_check(s, SENSE_ILLEGAL, 0x20, 0);
}
