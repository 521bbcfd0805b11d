/*
 * The monitor's own parts among themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HMP_PRIVATE_H
#define HMP_PRIVATE_H

#include "qmp/hmp.h"
#include "readline.h"

/* The tables, sorted by name; of const HmpCommand *. */
GPtrArray *hmp_commands(void);
GPtrArray *hmp_info_commands(void);
const HmpCommand *hmp_find(const GPtrArray *table, const char *name);
/* Run `cmd` if the number of arguments is right, else say what is. */
void hmp_call(Hmp *mon, const char *before, const HmpCommand *cmd,
              unsigned argc, char **argv);

const GPtrArray *hmp_history(const Hmp *mon);   /* NULL for hmp_run() */
/* Show no prompt any more. */
void hmp_leave(Hmp *mon);

void hmp_register_basics(void);         /* hmp-commands.c */
void hmp_register_infos(void);          /* hmp-info.c */
void hmp_register_memory(void);         /* hmp-memory.c */

#endif
