/*
 * The disk benchmark, a static binary for a guest: obeys lines on its standard
 * input, and works on the block device that is its argument with O_DIRECT.
 *
 *   ROW N AT MIB    N requests of a row in that part of the device, which
 *                   starts at AT MiB: =ROW SECONDS CHECKSUM
 *   off             powers off
 *
 * The checksum is one of what was read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 4096, BIG = 1 << 20, MAX_THREADS = 16 };

typedef struct {
    const char *name;
    unsigned bytes, threads;
    int random, write, flush;
} Row;

static const Row rows[] = {
    { "seqread", BIG, 1, 0, 0, 0 }, { "seqwrite", BIG, 1, 0, 1, 0 },
    { "read4k", SMALL, 1, 1, 0, 0 }, { "write4k", SMALL, 1, 1, 1, 0 },
    { "read4kx16", SMALL, 16, 1, 0, 0 }, { "write4kx16", SMALL, 16, 1, 1, 0 },
    { "flush", SMALL, 1, 1, 1, 1 },
};

static int fd;
static uint64_t part, part_bytes;

static void die(const char *what)
{
    printf("=error %s: %s\n", what, strerror(errno));
    fflush(stdout);
    reboot(RB_POWER_OFF);
    _exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

typedef struct {
    const Row *row;
    uint64_t first, n;          /* of the row's requests, this thread's */
    uint64_t sum;
    pthread_t thread;
} Job;

static uint64_t place(const Row *row, uint64_t i)
{
    uint64_t n = part_bytes / row->bytes;

    if (row->random) {
        i = i * 6364136223846793005ull + 1442695040888963407ull;
        i ^= i >> 29;
        i *= 0xbf58476d1ce4e5b9ull;
        i ^= i >> 32;
    }
    return part + i % n * row->bytes;
}

static void *work(void *arg)
{
    Job *j = arg;
    const Row *row = j->row;
    uint64_t *buf;

    if (posix_memalign((void **)&buf, 4096, row->bytes)) {
        die("memory");
    }
    memset(buf, 0x5a, row->bytes);
    for (uint64_t i = j->first; i < j->first + j->n; i++) {
        uint64_t at = place(row, i);
        ssize_t got = row->write ? pwrite(fd, buf, row->bytes, at)
                                 : pread(fd, buf, row->bytes, at);

        if (got != row->bytes) {
            die(row->name);
        }
        if (row->flush && fdatasync(fd) < 0) {
            die("fdatasync");
        }
        j->sum += row->write ? 1 : buf[0] * (i + 1);
    }
    free(buf);
    return NULL;
}

static void run(const Row *row, uint64_t n)
{
    static Job jobs[MAX_THREADS];
    double start = now();
    uint64_t sum = 0;

    for (unsigned i = 0; i < row->threads; i++) {
        jobs[i] = (Job) { .row = row, .first = n * i / row->threads };
        jobs[i].n = n * (i + 1) / row->threads - jobs[i].first;
        if (row->threads == 1) {
            work(&jobs[i]);
        } else if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i])) {
            die("thread");
        }
    }
    for (unsigned i = 0; i < row->threads; i++) {
        if (row->threads > 1) {
            pthread_join(jobs[i].thread, NULL);
        }
        sum += jobs[i].sum;
    }
    printf("=%s %.6f %016llx\n", row->name, now() - start,
           (unsigned long long)sum);
    fflush(stdout);
}

static void quiet_terminal(void)
{
    struct termios t;

    if (tcgetattr(0, &t) == 0) {
        t.c_lflag &= ~(ECHO | ECHONL);
        tcsetattr(0, TCSANOW, &t);
    }
}

int main(int argc, char **argv)
{
    char line[128], name[32];
    unsigned long long n, at, mib;

    fd = open(argc > 1 ? argv[1] : "", O_RDWR | O_DIRECT);
    if (fd < 0) {
        die(argc > 1 ? argv[1] : "no device");
    }
    quiet_terminal();
    printf("=ready %.6f\n", now());
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        const Row *row = NULL;

        if (sscanf(line, "%31s %llu %llu %llu", name, &n, &at, &mib) != 4
            || !mib) {
            break;              /* off */
        }
        part = at * BIG;
        part_bytes = mib * BIG;
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (!strcmp(rows[i].name, name)) {
                row = &rows[i];
            }
        }
        if (!row) {
            printf("=error no row %s\n", name);
            fflush(stdout);
            continue;
        }
        run(row, n);
    }
    reboot(RB_POWER_OFF);
    return 0;
}
