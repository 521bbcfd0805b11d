/*
 * The file that jitdump.c writes.  Numbers are the host's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JITDUMP_H
#define TCG_JITDUMP_H

#include <stdbool.h>
#include <stdint.h>

enum { JITDUMP_MAGIC = 0x4a695444, JITDUMP_CODE_LOAD = 0 };

typedef struct JitDumpHeader {
    uint32_t magic, version;
    uint32_t total_size;        /* of this */
    uint32_t elf_mach, pad, pid;
    uint64_t timestamp, flags;
} JitDumpHeader;

/* Before a name with its 0, and the code. */
typedef struct JitDumpLoad {
    uint32_t id, total_size;    /* of all of it */
    uint64_t timestamp;
    uint32_t pid, tid;
    uint64_t vma, code_addr, code_size, code_index;
} JitDumpLoad;

/* False: a line has been printed. */
bool jitdump_open(void);
/* `n` bytes of code that will run at `at`. */
void jitdump_code(const char *name, const void *bytes, const void *at,
                  uint32_t n);

#endif
