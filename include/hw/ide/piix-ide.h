/*
 * PIIX3 IDE: the south bridge's function 1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IDE_PIIX_IDE_H
#define HW_IDE_PIIX_IDE_H

#include "hw/ide/ide.h"

/* Its two buses, ide.0 and ide.1; outputs "irq"[2] are ISA lines 14 and 15. */
IdeChannel *piix_ide_channel(Device *dev, unsigned index);

#endif
