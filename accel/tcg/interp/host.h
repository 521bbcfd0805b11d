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
#ifdef __x86_64__
#include <cpuid.h>
#endif

/* Found once, before main(), by the compiler's run-time library. */
static inline bool host_is_amd(void)
{
#ifdef __x86_64__
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

/* Is this a host on which all of that was measured, sequences of instructions
 * included?  For tests.  AMD's family 19h was when instructions were measured
 * one by one, and has not been since. */
static inline bool host_is_measured(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d, family, model;

    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return false;
    }
    family = (a >> 8 & 15) + (a >> 20 & 255);
    model = (a >> 4 & 15) | (a >> 12 & 0xf0);
    return !host_is_amd() && family == 6 && (model == 0x8f || model == 0xcf);
#else
    return false;
#endif
}

#endif
