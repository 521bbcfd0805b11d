/*
 * The benchmark program.  The same static binary runs on the host and, as
 * /init, in guests; it obeys lines on its standard input:
 *
 *   features        =features BITS, the NEED_* bits of this processor
 *   ROW N           runs a row: =ROW SECONDS CHECKSUM
 *   run N COMMAND   runs a shell command N times in the folder of programs:
 *                   =run SECONDS SUM-OF-ITS-OUTPUT STATUS
 *   off             ends; as /init: powers off
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rows.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

const char *self_path, *code32_path;
static const Row *const tables[] = { rows_integer, rows_vector, rows_system };

void die(const char *what)
{
    printf("=error %s: %s\n", what, strerror(errno));
    fflush(stdout);
    if (getpid() == 1) {
        reboot(RB_POWER_OFF);
    }
    _exit(1);
}

static unsigned features(void)
{
    unsigned a, b, c, d, have = 0;

    if (__builtin_cpu_supports("avx2")) {
        have |= NEED_AVX2;
    }
    if (__builtin_cpu_supports("fma")) {
        have |= NEED_FMA;
    }
    if (__get_cpuid(1, &a, &b, &c, &d) && c >> 25 & 1) {
        have |= NEED_AES;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1) {
        have |= NEED_SHA;
    }
    return have;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void run_row(const char *name, uint64_t n)
{
    for (unsigned t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const Row *r = tables[t]; r->name; r++) {
            if (!strcmp(r->name, name)) {
                double start = now();
                uint64_t sum = r->run(n);

                printf("=%s %.9f %016llx\n", name, now() - start,
                       (unsigned long long)sum);
                return;
            }
        }
    }
    printf("=error no row %s\n", name);
}

/* FNV-1a over all that a command writes. */
static int run_once(const char *command, uint64_t *sum)
{
    uint8_t buf[65536];
    int fd[2], status = -1;
    ssize_t n;
    pid_t pid;

    if (pipe(fd) || (pid = fork()) < 0) {
        die("fork");
    }
    if (!pid) {
        dup2(fd[1], 1);
        dup2(fd[1], 2);
        close(fd[0]);
        close(fd[1]);
        if (pipe(fd)) {         /* an empty input; there may be no /dev */
            _exit(127);
        }
        dup2(fd[0], 0);
        close(fd[0]);
        close(fd[1]);
        clearenv();
        setenv("PATH", "/usr/bin:/bin", 1);
        setenv("LC_ALL", "C", 1);
        setenv("HOME", "/tmp", 1);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    close(fd[1]);
    while ((n = read(fd[0], buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            *sum = (*sum ^ buf[i]) * 0x100000001b3;
        }
    }
    close(fd[0]);
    waitpid(pid, &status, 0);
    return status;
}

static void run_command(uint64_t n, const char *command)
{
    uint64_t sum = 0xcbf29ce484222325;
    int status = 0;
    double start = now();

    while (n-- && !status) {
        status = run_once(command, &sum);
    }
    printf("=run %.9f %016llx %d\n", now() - start, (unsigned long long)sum,
           status);
}

static void become_init(void)
{
    struct termios t;

    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mkdir("/tmp", 01777);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("tmp", "/tmp", "tmpfs", 0, NULL);
    if (!tcgetattr(0, &t)) {
        t.c_lflag &= ~(ECHO | ISIG);
        t.c_oflag &= ~OPOST;
        tcsetattr(0, TCSANOW, &t);
    }
}

int main(int argc, char **argv)
{
    char line[4096], name[64];
    unsigned long long n;
    int at;

    if (argc > 1 && !strcmp(argv[1], "nothing")) {
        return 0;
    }
    if (getpid() == 1) {
        become_init();
        self_path = "/init";
        code32_path = "/code32";
    } else if (argc > 1) {
        self_path = argv[0];
        code32_path = argv[1];
        if (argc > 2 && (chroot(argv[2]) || chdir("/"))) {
            die("chroot");
        }
    } else {
        fprintf(stderr, "usage: %s CODE32 [ROOT]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("=ready 0 0\n");
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!strcmp(line, "features")) {
            printf("=features %u 0\n", features());
        } else if (!strcmp(line, "off")) {
            break;
        } else if (sscanf(line, "run %llu %n", &n, &at) == 1) {
            run_command(n, line + at);
        } else if (sscanf(line, "%63s %llu", name, &n) == 2) {
            run_row(name, n);
        } else if (line[0]) {
            printf("=error what is this: %s\n", line);
        }
    }
    if (getpid() == 1) {
        sync();
        reboot(RB_POWER_OFF);
    }
    return 0;
}
