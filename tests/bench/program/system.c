/*
 * Rows of system calls, processes, memory; 32-bit code; several processors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rows.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t row_getppid(uint64_t n)
{
    uint64_t bad = 0;
    long parent = getppid();

    for (n *= 1000; n--;) {
        bad += syscall(SYS_getppid) != parent;
    }
    return bad;
}

/* Of the processors in `all`, run on the first or the last only. */
static void pin(const cpu_set_t *all, int last)
{
    cpu_set_t one;
    int cpu = -1;

    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, all) && (cpu < 0 || last)) {
            cpu = i;
        }
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one)) {
        die("sched_setaffinity");
    }
}

/* `apart`: each on a processor of its own, where there are two. */
static uint64_t ping_pong(uint64_t n, int apart)
{
    int there[2], back[2];
    cpu_set_t all;
    uint64_t sum = 0;
    uint8_t c = 1;
    pid_t pid;

    sched_getaffinity(0, sizeof(all), &all);
    if (pipe(there) || pipe(back) || (pid = fork()) < 0) {
        die("pipe");
    }
    if (!pid) {
        pin(&all, apart);
        close(there[1]);
        while (read(there[0], &c, 1) == 1) {
            c = c * 5 + 1;
            if (write(back[1], &c, 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    pin(&all, 0);
    close(there[0]);
    for (n *= 100; n--;) {
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) {
            die("pipe");
        }
        sum = sum * 31 + c;
    }
    close(there[1]);
    close(back[0]);
    close(back[1]);
    waitpid(pid, NULL, 0);
    sched_setaffinity(0, sizeof(all), &all);
    return sum;
}

static uint64_t row_pipe(uint64_t n)
{
    return ping_pong(n, 1);
}

static uint64_t row_pipe1(uint64_t n)
{
    return ping_pong(n, 0);
}

static uint64_t row_fork(uint64_t n)
{
    uint64_t sum = 0;

    for (n *= 10; n--;) {
        pid_t pid = fork();
        int status;

        if (pid < 0) {
            die("fork");
        }
        if (!pid) {
            _exit(n & 0x7f);
        }
        waitpid(pid, &status, 0);
        sum = sum * 31 + WEXITSTATUS(status);
    }
    return sum;
}

/* Run a program to its end; its status. */
static int run(const char *path, const char *arg)
{
    int status;
    pid_t pid = vfork();

    if (pid < 0) {
        die("vfork");
    }
    if (!pid) {
        execl(path, path, arg, NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static uint64_t row_exec(uint64_t n)
{
    uint64_t sum = 0;

    for (n *= 10; n--;) {
        sum = sum * 31 + run(self_path, "nothing");
    }
    return sum;
}

static uint64_t row_pages(uint64_t n)
{
    enum { SIZE = 4 << 20 };
    uint64_t sum = 0;

    while (n--) {
        uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED) {
            die("mmap");
        }
        madvise(p, SIZE, MADV_NOHUGEPAGE);
        for (unsigned i = 0; i < SIZE; i += 4096) {
            p[i] = 1;
            sum += p[i + 4095];
        }
        munmap(p, SIZE);
    }
    return sum;
}

/* A function of eleven bytes, written anew and called: 100 times a turn. */
static uint64_t row_smc(uint64_t n)
{
    uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t (*fn)(void) = (uint64_t (*)(void))p;
    uint64_t sum = 0;

    if (p == MAP_FAILED) {
        die("mmap");
    }
    for (n *= 100; n--;) {
        p[0] = 0x48;                    /* mov rax, imm64 */
        p[1] = 0xb8;
        memcpy(p + 2, &n, 8);
        p[10] = 0xc3;                   /* ret */
        __asm__ volatile("" ::: "memory");
        sum = sum * 31 + fn();
    }
    munmap(p, 4096);
    return sum;
}

/* The status is seven bits of a sum over what it computed. */
static uint64_t row_code32(uint64_t n)
{
    char arg[24];
    int status;

    snprintf(arg, sizeof(arg), "%llu", (unsigned long long)n);
    status = run(code32_path, arg);
    if (status == 127) {
        die("32-bit program");
    }
    return status;
}

static uint64_t side_by_side(unsigned k, uint64_t n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < k; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            die("fork");
        }
        if (!pid) {
            _exit(row_crc(n) & 0x7f);
        }
    }
    for (unsigned i = 0; i < k; i++) {
        int status;

        wait(&status);
        sum = sum * 31 + WEXITSTATUS(status);
    }
    return sum;
}

static uint64_t row_cpus2(uint64_t n)
{
    return side_by_side(2, n);
}

static uint64_t row_cpus4(uint64_t n)
{
    return side_by_side(4, n);
}

const Row rows_system[] = {
    { "getppid", row_getppid },
    { "pipe", row_pipe },
    { "pipe1", row_pipe1 },
    { "fork", row_fork },
    { "exec", row_exec },
    { "pages", row_pages },
    { "smc", row_smc },
    { "code32", row_code32 },
    { "cpus2", row_cpus2 },
    { "cpus4", row_cpus4 },
    { NULL },
};
