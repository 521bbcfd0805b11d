/*
 * Until exception.c is there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/env.h"
__attribute__((weak)) bool env_deliver_exception(Env *env) { return false; }
__attribute__((weak)) bool env_deliver_interrupt(Env *env, int vector) { return false; }
