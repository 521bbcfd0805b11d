/*
 * Between the ATAPI transport and the MMC commands.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IDE_MMC_H
#define HW_IDE_MMC_H

#include "hw/ide/ide.h"

enum {                          /* sense keys */
    SENSE_NOT_READY = 2, SENSE_MEDIUM = 3, SENSE_ILLEGAL = 5,
    SENSE_ATTENTION = 6, SENSE_ABORTED = 11,
};
enum {                          /* parts of a raw sector: IdeCd.block_kind */
    RAW_SYNC = 1, RAW_HEADER = 2, RAW_DATA = 4, RAW_ECC = 8,
};

void mmc_command(IdeDrive *s);
void mmc_parameters(IdeDrive *s);

void atapi_good(IdeDrive *s);
void atapi_check(IdeDrive *s, uint8_t key, uint8_t asc, uint8_t ascq);
/* `len` bytes of the buffer, of which the host wants at most `most`. */
void atapi_reply(IdeDrive *s, size_t len, size_t most);
/* Bytes of a sector with these parts. */
uint32_t atapi_raw_bytes(uint8_t kind);

#endif
