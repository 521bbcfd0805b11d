/*
 * Compiled code for profilers: /tmp/jit-PID.dump, from which `perf inject --jit`
 * makes symbols and code to annotate.
 *
 * perf record finds the file because a page of it is mapped to be executed;
 * stamps are CLOCK_MONOTONIC's, so it wants `-k mono`.
 *
 * Spec:  Linux, tools/perf/Documentation/jitdump-specification.txt, version 1.
 * Locks: the cache mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jitdump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "loop/timer.h"

static FILE *file;
static uint64_t n_loads;

bool jitdump_open(void)
{
    g_autofree char *name = g_strdup_printf("/tmp/jit-%d.dump", (int)getpid());
    JitDumpHeader h = {
        .magic = JITDUMP_MAGIC, .version = 1, .total_size = sizeof(h),
        .elf_mach = EM_X86_64, .pid = getpid(),
        .timestamp = clock_ns(CLK_HOST),
    };
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                  0600);

    file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file
        || mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC,
                MAP_PRIVATE, fd, 0) == MAP_FAILED
        || fwrite(&h, sizeof(h), 1, file) != 1 || fflush(file)) {
        warn("accelerator 'tcg': jit-dump: %s: %s", name, strerror(errno));
        return false;
    }
    return true;
}

void jitdump_code(const char *name, const void *bytes, const void *at,
                  uint32_t n)
{
    size_t n_name = strlen(name) + 1;
    JitDumpLoad r = {
        .id = JITDUMP_CODE_LOAD, .total_size = sizeof(r) + n_name + n,
        .timestamp = clock_ns(CLK_HOST), .pid = getpid(),
        .tid = syscall(SYS_gettid), .vma = (uintptr_t)at,
        .code_addr = (uintptr_t)at, .code_size = n, .code_index = n_loads++,
    };

    fwrite(&r, sizeof(r), 1, file);
    fwrite(name, n_name, 1, file);
    fwrite(bytes, n, 1, file);
    fflush(file);
}
