/*
 * Between the files of the KVM test: guests that several of them run, and each
 * file's tests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_KVM_TEST_H
#define TESTS_UNIT_KVM_TEST_H

#include "guest.h"

#include "accel/kvm/kvm.h"

/* A store to and a load from registers at GUEST_IO + 10h. */
extern const uint8_t code_mmio[], code_mmio_end[];
void run_mmio(void);

/* CPU 0 is to run `code` at 1000h in long mode, with page tables at 1 MiB. */
void start_long(const uint8_t *code, const uint8_t *end);
/* One of the guests that the emulator runs as well: "int3" and others. */
void set_up(const char *name);
/* In long mode: a gate to 2000h, tables for LIDT at 6100h and LGDT at 6110h. */
void set_up_gate(unsigned vector);
/* The local APIC's page becomes readable to a guest of start_long(). */
void map_apic_page(void);

/* Run until the machine is in this state. */
void run_to_state(RunState want);
/* The next `n` of these requests fail with `error`. */
void fail_next(unsigned long request, int error, int n);

void add_state_tests(void);
void add_debug_tests(void);
void add_exit_tests(void);
void add_failure_tests(void);
void add_string_tests(void);
void add_vm_tests(void);

#endif
