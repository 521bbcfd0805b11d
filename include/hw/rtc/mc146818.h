/*
 * The RTC's battery-backed RAM, which a board fills with what firmware wants
 * to know: memory size, disks, boot order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_RTC_MC146818_H
#define HW_RTC_MC146818_H

#include "core/device.h"

#define RTC_CMOS_BYTES 128

extern const DeviceType mc146818_type;      /* "mc146818rtc" */

/* `index` is below RTC_CMOS_BYTES; clock registers (0 to 0Dh, 32h) excepted. */
void rtc_cmos_set(Device *rtc, unsigned index, uint8_t val);
uint8_t rtc_cmos_get(Device *rtc, unsigned index);

#endif
