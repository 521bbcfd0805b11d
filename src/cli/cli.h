/*
 * From argv to a running machine, in phases:
 *
 *   options_parse   argv, config files -> one option tree      options.c
 *   probe_answer    "help" in any of its places: print, exit   probe.c
 *   host_setup      logs, daemon, pidfile, signals             host.c
 *   backends_setup  chardevs, serials, monitors                backends.c
 *   drives_setup    -blockdev, -drive                          drives.c
 *   machine_setup   type, memory, topology, board              machine.c
 *   devices_setup   -device, -object                           devices.c
 *
 * The tree has QEMU's shape: what is sugar for a machine property lands below
 * "machine" ("-smp 4" is machine.smp.cpus=4), lists hold the repeated options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CLI_H
#define CLI_H

#include "base/opts.h"
#include "core/machine.h"

typedef enum {
    SECTION_STANDARD, SECTION_BOOT, SECTION_CHAR, SECTION_DEVICE,
    SECTION_DISPLAY, SECTION_NET, SECTION_BLOCK, SECTION_DEBUG, SECTION_N
} OptionSection;
extern const char *const option_sections[SECTION_N];

typedef struct Options Options;
typedef struct OptionRow OptionRow;
typedef bool OptionFn(Options *o, const OptionRow *row, const char *arg,
                      GError **err);

typedef enum {
    OPTION_SET,         /* path = the argument, or `value` when it has none */
    OPTION_ADD,         /* append the argument to the list at path */
    OPTION_MERGE,       /* keyval, merged into the dict at path */
    OPTION_ADD_DICT,    /* keyval, appended to the list at path */
    OPTION_CALL,        /* fn */
    OPTION_ACCEPT,      /* harmless to ignore, and ignored */
    OPTION_NOT_YET,     /* QEMU's, ours one day */
    OPTION_REMOVED,     /* QEMU's of old: `value` says what to write now */
} OptionKind;

struct OptionRow {
    const char *name;           /* NULL ends the table */
    const char *alias;          /* a second name, or NULL */
    bool has_arg;
    OptionKind kind;
    OptionSection section;
    const char *path;           /* dotted, in the tree */
    const char *implied;        /* keyval: key of a first bare word */
    const char *value;
    const char *const *repeats; /* keyval: keys whose values are all kept, as a
                                 * list; of others the last one counts */
    bool file_has_parts;        /* keyval: file=NAME beside file.locking= is
                                 * file.filename=NAME */
    OptionFn *fn;
    const char *args;           /* "[cpus=]n[,…]", as help shows it */
    const char *help;           /* lines; NULL: in no help */
};

/* The table, by section; table.c. */
extern const OptionRow option_rows[];
/* Config groups of -readconfig: name -> as the option of that name. */
const OptionRow *option_row_find(const char *name);

/* Where somebody asked for help: -OPTION with dict DICT. */
typedef struct Probe {
    const OptionRow *row;
    Opt *dict;                  /* in the tree; NULL for scalars */
} Probe;

struct Options {
    Opt *tree;
    GHashTable *where;          /* Opt * -> char *: "-device e1000,foo=1" */
    GArray *probes;             /* of Probe, in order */
    bool done;                  /* -version or -help: answered, stop */
};

/* --- options.c ----------------------------------------------------------- */
Options *options_new(void);
void options_free(Options *o);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)
/* False with one complete message.  Nothing but the tree is touched, unless
 * o->done: then the answer is on stdout. */
bool options_parse(Options *o, int argc, char **argv, GError **err);
/* Apply one option as if it stood on the command line; `where` names it in
 * messages. */
bool options_apply(Options *o, const OptionRow *row, const char *arg,
                   const char *where, GError **err);
/* As OPTION_MERGE or OPTION_ADD_DICT with a dict already parsed (taken). */
bool options_apply_dict(Options *o, const OptionRow *row, Opt *dict,
                        const char *where, GError **err);
/* The node at a dotted path, or NULL. */
Opt *options_get(const Options *o, const char *path);
/* A scalar's text, or NULL when it was not given. */
const char *options_string(const Options *o, const char *path);
bool options_flag(const Options *o, const char *path);
/* The dict at `path`, made when absent. */
Opt *options_dict(const Options *o, const char *path);
/* Put "WHERE: " before err's message, when it is known where node came from.
 * Returns false. */
bool options_at(const Options *o, const Opt *node, GError **err);

bool options_fail(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* --- readconfig.c -------------------------------------------------------- */
bool readconfig_file(Options *o, const char *path, GError **err);
bool readconfig_text(Options *o, const char *path, const char *text,
                     GError **err);

/* --- help.c, probe.c ----------------------------------------------------- */
void help_print_version(void);
void help_print(void);
/* docs/command-line.md, from the table. */
void help_print_manual(GString *out);
/* Answer the first probe, if any: true when one was, *status is for exit(). */
bool probe_answer(Options *o, int *status);

/* --- smp.c --------------------------------------------------------------- */
/* QEMU's rules for what -smp leaves out.  `old` is for machine versions up to
 * 6.1, which fill sockets before cores. */
bool smp_resolve(Opt *smp, bool old, CpuTopology *topo, GError **err);

/* --- host.c -------------------------------------------------------------- */
bool host_setup(Options *o, GError **err);
/* Tell the parent of -daemonize that all is well and let go of the terminal. */
bool host_daemon_ready(GError **err);
/* Every way out passes here: pidfile, terminal. */
void host_cleanup(void);
/* From now on the process leaves within two seconds, come what may. */
void host_arm_exit(int status);

/* --- backends.c, machine.c, devices.c ------------------------------------ */
bool backends_setup(Options *o, GError **err);
void backends_give_serials(Machine *m);
/* Once the machine is there: -monitor, -mon, mon: prefixes. */
bool monitors_setup(Options *o, GError **err);
Machine *machine_setup(Options *o, GError **err);
/* Size and kind of what becomes the machine's RAM; other RAM from then on. */
bool memory_setup(Options *o, Machine *m, GError **err);
void memory_settled(void);
bool globals_setup(Options *o, GError **err);
/* "SCSI is" and the like when `driver` is QEMU's and not ours yet, with what to
 * write in its place, or NULL; else NULL. */
const char *device_is_for_later(const char *driver, const char **accepted);
bool objects_setup(Options *o, GError **err);
bool devices_setup(Options *o, GError **err);
/* drives.c: before the machine; once all devices are there; at the end. */
bool drives_setup(Options *o, GError **err);
bool drives_check(Options *o, GError **err);
void drives_shutdown(void);
/* hmp-cpu.c: the monitor's commands about processors. */
void hmp_cpu_register(void);
/* hmp-display.c */
void hmp_block_register(void);
void hmp_display_register(void);

#endif
