/*
 * The human monitor: a command line on a chardev ("(qemu) ").
 *
 * A command is a row in a table, registered by whoever owns its subject.
 * Commands write with hmp_printf(), which only collects text: a terminal that
 * nobody reads never holds up the machine.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QMP_HMP_H
#define QMP_HMP_H

#include "chardev/chardev.h"

typedef struct Hmp Hmp;

typedef struct HmpCommand {
    const char *name;           /* "quit|q": the first is the real one */
    const char *args;           /* for help: "[-f]", "" */
    const char *help;           /* one line */
    unsigned n_min, n_max;      /* arguments accepted */
    /* argv[0] is the name as typed.  */
    void (*fn)(Hmp *mon, unsigned argc, char **argv);
} HmpCommand;

#define HMP_MANY 64             /* for n_max: an expression, a free text */

/* Add a command, or what `info NAME` shows.  The row must stay; a later row of
 * the same name replaces an earlier one. */
void hmp_register(const HmpCommand *cmd);
void hmp_register_info(const HmpCommand *cmd);

/* A monitor on `chr`; it does not take the keyboard of a mux from others. */
Hmp *hmp_new(Chardev *chr, GError **err);
void hmp_free(Hmp *mon);
/* What is still to be shown, as far as the host takes it; at exit. */
void hmp_flush_all(void);

/* Run one line outside any terminal; what it printed, in `out`. */
void hmp_run(const char *line, int cpu_index, GString *out);

/* --- for commands -------------------------------------------------------- */
void hmp_printf(Hmp *mon, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void hmp_puts(Hmp *mon, const char *text);
/* The CPU chosen with `cpu N`. */
unsigned hmp_cpu_index(const Hmp *mon);
void hmp_set_cpu_index(Hmp *mon, unsigned index);
/* argv[1] to argv[argc - 1] with spaces between; g_free(). */
char *hmp_join(unsigned argc, char **argv, unsigned first);
/* "0x1000+8*2", "$rip-4", "'a'": false, after saying why, when it is none. */
bool hmp_eval(Hmp *mon, const char *text, uint64_t *val);

/* --- set by src/cli, which sees processors ------------------------------- */
/* A register by name, without "$". */
extern bool (*hmp_read_register)(unsigned cpu, const char *name,
                                 uint64_t *val);
/* Memory as that CPU sees it. */
extern bool (*hmp_read_virtual)(unsigned cpu, uint64_t gva, void *buf,
                                size_t len);
/* `n` instructions from `addr` on (gpa or gva) as text, one a line. */
extern void (*hmp_disassemble)(unsigned cpu, uint64_t addr, unsigned n,
                               bool physical, GString *out);

#endif
