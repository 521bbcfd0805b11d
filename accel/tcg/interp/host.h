/*
 * Whose manners the host has.
 *
 * Where Intel's and AMD's processors differ in what the manuals leave open, the
 * interpreter does as the family of its host does, so that it, the translator
 * and the host agree: docs/undefined-flags.md.  A host that is neither counts as
 * Intel's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_HOST_H
#define TCG_INTERP_HOST_H

#include <stdbool.h>

/* Found once, before main(), by the compiler's run-time library. */
static inline bool host_is_amd(void)
{
#ifdef __x86_64__
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

#endif
