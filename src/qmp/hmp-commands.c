/*
 * The monitor's basic commands: running, resetting, logging, help.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hmp-private.h"

#include "base/log.h"
#include "base/trace.h"
#include "core/machine.h"

/* --- help ---------------------------------------------------------------- */

static void print_row(Hmp *mon, const char *before, const HmpCommand *cmd)
{
    hmp_printf(mon, "%s%s%s%s -- %s\n", before, cmd->name,
               *cmd->args ? " " : "", cmd->args, cmd->help);
}

static void print_table(Hmp *mon, const char *before, const GPtrArray *table)
{
    for (unsigned i = 0; i < table->len; i++) {
        print_row(mon, before, table->pdata[i]);
    }
}

static void cmd_help(Hmp *mon, unsigned argc, char **argv)
{
    const HmpCommand *cmd;

    if (argc == 1) {
        print_table(mon, "", hmp_commands());
        return;
    }
    if (g_str_equal(argv[1], "info")) {
        if (argc == 2) {
            print_table(mon, "info ", hmp_info_commands());
            return;
        }
        cmd = hmp_find(hmp_info_commands(), argv[2]);
        if (cmd) {
            print_row(mon, "info ", cmd);
            return;
        }
    } else {
        if (g_str_equal(argv[1], "log")) {
            g_autofree char *items = log_items_help();

            hmp_puts(mon, items);
            return;
        }
        cmd = hmp_find(hmp_commands(), argv[1]);
        if (cmd) {
            print_row(mon, "", cmd);
            return;
        }
    }
    hmp_printf(mon, "unknown command: '%s'\n", argv[argc - 1]);
}

static void cmd_info(Hmp *mon, unsigned argc, char **argv)
{
    const HmpCommand *cmd;

    if (argc == 1) {
        print_table(mon, "info ", hmp_info_commands());
        return;
    }
    cmd = hmp_find(hmp_info_commands(), argv[1]);
    if (!cmd) {
        hmp_printf(mon, "unknown command: 'info %s'\n", argv[1]);
        return;
    }
    hmp_call(mon, "info ", cmd, argc - 1, argv + 1);
}

/* --- the machine --------------------------------------------------------- */

static Machine *need_machine(Hmp *mon)
{
    if (!machine()) {
        hmp_puts(mon, "Error: there is no machine\n");
    }
    return machine();
}

static void cmd_quit(Hmp *mon, unsigned argc, char **argv)
{
    hmp_leave(mon);
    if (machine()) {
        machine_request_shutdown(SHUTDOWN_HOST_QUIT);
    } else {
        loop_main_quit();
    }
}

static void cmd_stop(Hmp *mon, unsigned argc, char **argv)
{
    Machine *m = need_machine(mon);

    if (m && machine_running(m)) {
        machine_stop(m, RUN_STATE_PAUSED);
    }
}

static void cmd_cont(Hmp *mon, unsigned argc, char **argv)
{
    Machine *m = need_machine(mon);

    if (!m) {
        return;
    }
    if (m->state == RUN_STATE_SHUTDOWN
        || m->state == RUN_STATE_INTERNAL_ERROR) {
        hmp_puts(mon, "Error: Resetting the Virtual Machine is required\n");
        return;
    }
    machine_start(m);
}

static void cmd_reset(Hmp *mon, unsigned argc, char **argv)
{
    if (need_machine(mon)) {
        machine_request_reset(SHUTDOWN_HOST_RESET);
    }
}

static void cmd_wakeup(Hmp *mon, unsigned argc, char **argv)
{
    if (!need_machine(mon)) {
        return;
    }
    if (!machine_suspended()) {
        hmp_puts(mon, "Error: Unable to wake up: guest is not in suspended "
                 "state\n");
        return;
    }
    machine_request_wakeup(WAKE_OTHER);
}

static void cmd_powerdown(Hmp *mon, unsigned argc, char **argv)
{
    if (need_machine(mon)) {
        machine_powerdown();
    }
}

static void cmd_nmi(Hmp *mon, unsigned argc, char **argv)
{
    if (machine_raise_nmi) {
        machine_raise_nmi();
    } else {
        hmp_puts(mon, "Error: machine does not provide NMIs\n");
    }
}

static void cmd_cpu(Hmp *mon, unsigned argc, char **argv)
{
    Machine *m = need_machine(mon);
    uint64_t n;

    if (!m) {
        return;
    }
    if (!parse_uint(argv[1], &n) || n >= m->cpus->len) {
        hmp_printf(mon, "Error: no CPU '%s': 0 to %d are accepted\n", argv[1],
                   (int)m->cpus->len - 1);
        return;
    }
    hmp_set_cpu_index(mon, n);
}

/* --- logs and traces ----------------------------------------------------- */

static void report(Hmp *mon, GError *err)
{
    hmp_printf(mon, "Error: %s\n", err->message);
}

static void cmd_log(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    bool helped;

    if (g_str_equal(argv[1], "help") || g_str_equal(argv[1], "?")) {
        g_autofree char *items = log_items_help();

        hmp_puts(mon, items);
    } else if (!log_set_items(argv[1], &helped, &err)) {
        report(mon, err);
    }
}

static void cmd_logfile(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;

    if (!log_set_file(argv[1], &err)) {
        report(mon, err);
    }
}

static void cmd_trace_event(Hmp *mon, unsigned argc, char **argv)
{
    bool on;

    if (!parse_bool(argv[2], &on)) {
        hmp_printf(mon, "Error: '%s': on and off are accepted\n", argv[2]);
    } else if (!trace_enable(argv[1], on)) {
        hmp_printf(mon, "Error: no trace event matches '%s'\n", argv[1]);
    }
}

static void cmd_break(Hmp *mon, unsigned argc, char **argv)
{
    Chardev *chr = chr_find(argv[1]);

    if (chr) {
        chr_send_break(chr);
    } else {
        hmp_printf(mon, "Error: Chardev '%s' not found\n", argv[1]);
    }
}

static const HmpCommand basics[] = {
    { "help|?", "[command]", "show the commands, or one of them", 0, 2,
      cmd_help },
    { "info", "[subject]", "show the state of something; see 'help info'", 0,
      HMP_MANY, cmd_info },
    { "quit|q", "", "quit the emulator", 0, 0, cmd_quit },
    { "stop|s", "", "stop the guest", 0, 0, cmd_stop },
    { "cont|c", "", "let the guest run", 0, 0, cmd_cont },
    { "system_reset", "", "reset the machine", 0, 0, cmd_reset },
    { "system_powerdown", "", "press the power button", 0, 0, cmd_powerdown },
    { "system_wakeup", "", "end a suspend to RAM", 0, 0, cmd_wakeup },
    { "nmi", "", "send an NMI to every CPU", 0, 0, cmd_nmi },
    { "cpu", "index", "choose the CPU that commands are about", 1, 1,
      cmd_cpu },
    { "log", "item1[,...]", "what to log; see 'help log'", 1, 1, cmd_log },
    { "logfile", "filename", "where to log", 1, 1, cmd_logfile },
    { "trace-event", "name on|off", "switch the trace events that match", 2, 2,
      cmd_trace_event },
    { "chardev-send-break", "id", "send a break through a chardev", 1, 1,
      cmd_break },
};

void hmp_register_basics(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(basics); i++) {
        hmp_register(&basics[i]);
    }
}
