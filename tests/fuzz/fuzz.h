/*
 * A fuzz target is one function that must survive any bytes.  clang's
 * libFuzzer drives it in a -Dfuzz=true build; everywhere else replay.c does,
 * with the corpus and some cheap mutations of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
