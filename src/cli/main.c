/*
 * main(): the phases of cli.h, one after the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "block/block.h"
#include "chardev/chardev.h"
#include "loop/loop.h"
#include "qmp/hmp.h"

/* Under the machine lock: vCPU threads and devices come to life in here. */
static bool bring_up(Options *o, GError **err)
{
    Machine *m = NULL;
    bool ok;

    machine_lock();
    ok = block_init(err)
        && backends_setup(o, err)
        && objects_setup(o, err)
        && drives_setup(o, err)
        && (m = machine_setup(o, err))
        && devices_setup(o, err)
        && drives_check(o, err)
        && machine_done(m, err)
        && monitors_setup(o, err)
        && host_daemon_ready(err);
    if (ok && m->autostart) {
        machine_start(m);
    }
    machine_unlock();
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(Options) o = options_new();
    g_autoptr(GError) err = NULL;
    int status;

    setlocale(LC_CTYPE, "");    /* numbers stay in C's */
    log_set_program(argv[0]);
    if (!options_parse(o, argc, argv, &err)) {
        report_error("%s", err->message);
        return 1;
    }
    if (o->done) {
        return fflush(stdout) || ferror(stdout);
    }
    if (probe_answer(o, &status)) {
        return status || fflush(stdout) || ferror(stdout);
    }
    atexit(host_cleanup);
    if (!host_setup(o, &err) || !bring_up(o, &err)) {
        report_error("%s", err->message);
        host_arm_exit(1);
        chr_shutdown();
        return 1;
    }
    loop_main_run();
    status = machine_exit_status();
    host_arm_exit(status);
    machine_lock();
    drives_shutdown();
    hmp_flush_all();
    chr_shutdown();
    machine_unlock();
    return status;
}
