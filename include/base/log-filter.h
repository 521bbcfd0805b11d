/*
 * -dfilter: which addresses the logs of code are about (-d in_asm,exec,cpu).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_LOG_FILTER_H
#define BASE_LOG_FILTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Comma-separated ranges, "START+LENGTH", "START-LENGTH" (that many bytes up to
 * START) and "START..END", numbers in C's notation; instead of those before.
 * Not while code is logged.
 */
bool log_filter_set(const char *ranges, GError **err);
/* Is `gva` in one of them, or are there none? */
bool log_filter_has(uint64_t gva);

#endif
