/*
 * The manual's chapters on system programming, one file each, against what they
 * say.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    guest_init(1);
    fault_tests();
    gate_tests();
    vm86_tests();
    task_tests();
    debug_tests();
    real_tests();
    long_tests();
    fpu_tests();
    machine_tests();
    status = g_test_run();
    guest_free();
    return status;
}
