/*
 * The guest's time-stamp counter.
 *
 * It is CLK_VIRTUAL scaled: 1 GHz under an emulating accelerator, one tick a
 * nanosecond, so that TSC, local APIC and HPET never drift apart; the host's
 * rate where the guest reads the host's counter.  It stands still while the
 * machine is stopped.
 *
 * At 1 GHz it follows the host's own counter, when that is one to trust, along
 * a line in pieces of a millisecond; at each piece's beginning, it is
 * CLK_VIRTUAL again.  Pieces do not change and never lie over each other, so it is
 * one rising function of the host's counter for all vCPUs, whether they ask
 * here or compute it from a copy of the piece.
 *
 * Locks: `lock`, for the line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/tsc.h"

#include "cpu/cpu.h"

#include <pthread.h>

#include "loop/timer.h"

uint64_t cpu_tsc_hz(void)
{
    const AccelOps *a = accel();

    return a && a->tsc_hz ? a->tsc_hz() : NS_PER_SEC;
}

#ifdef __x86_64__
#include <cpuid.h>
#include <x86intrin.h>

enum {
    PIECE_NS = 1000000,
    RATE_NS = 200000,           /* the least to know the rate from */
    MARK_NS = 32000000,
    LOOK_TICKS = 1024,          /* at most, to look at both clocks */
};

typedef struct Look {
    uint64_t host;              /* ticks */
    int64_t ns;                 /* CLK_VIRTUAL */
} Look;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static TscPiece piece;
static uint64_t told;           /* nobody has been told more, nor will be by
                                 * `piece` */
static Look marks[2];           /* earlier looks, the rate is from marks[0] */

static bool look(Look *l)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t first, after;

        _mm_lfence();
        first = __rdtsc();
        _mm_lfence();
        l->ns = clock_ns(CLK_VIRTUAL);
        _mm_lfence();
        after = __rdtsc();
        if (after - first < LOOK_TICKS) {
            l->host = first + (after - first) / 2;
            return true;
        }
    }
    return false;
}

/* The kernel's opinion of it: it counts at one rate and alike everywhere.
 * Under the lock. */
static bool trusted(void)
{
    static int known = -1;
    g_autofree char *name = NULL;
    uint32_t a, b, c, d;

    if (known < 0) {
        known = __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1 << 8
                && g_file_get_contents("/sys/devices/system/clocksource/"
                                       "clocksource0/current_clocksource",
                                       &name, NULL, NULL)
                && g_str_equal(g_strchomp(name), "tsc");
    }
    return known;
}

static uint64_t at(const TscPiece *p, uint64_t delta)
{
    return p->ticks + (delta * p->mult >> 32);
}

/* The piece from `l` on, where it shows `ticks`. */
static void begin_piece(const Look *l, uint64_t ticks, uint32_t epoch)
{
    uint64_t host = l->host - marks[0].host;
    int64_t ns = l->ns - marks[0].ns, ahead = ticks - l->ns;
    unsigned __int128 span;

    piece.span = 0;
    if (ns < RATE_NS || ahead > PIECE_NS / 2) {
        return;
    }
    span = (unsigned __int128)host * PIECE_NS / ns;
    if (span < PIECE_NS / 64 || span >= UINT32_MAX) {
        return;
    }
    /* At its end, it is to be CLK_VIRTUAL again. */
    piece = (TscPiece) {
        .base = l->host, .span = span, .ticks = ticks, .epoch = epoch,
        .mult = ((uint64_t)(PIECE_NS - ahead) << 32) / (uint64_t)span,
    };
    told = at(&piece, piece.span);
}

static void forget(uint32_t epoch)
{
    piece = (TscPiece) { .epoch = epoch };
    marks[0] = marks[1] = (Look) { 0 };
    told = 0;
}

/* Under the lock. */
static uint64_t ns_now(uint32_t epoch)
{
    uint64_t delta, now;
    Look l;

    if (epoch != piece.epoch) {
        forget(epoch);
    }
    _mm_lfence();
    delta = __rdtsc() - piece.base;
    if (piece.span && delta <= piece.span) {
        return at(&piece, delta);
    }
    if (!look(&l)) {
        piece.span = 0;
        now = MAX((uint64_t)clock_ns(CLK_VIRTUAL), told);
        told = now;
        return now;
    }
    now = MAX((uint64_t)l.ns, told);
    told = now;
    if (!marks[0].host) {
        marks[0] = marks[1] = l;
    }
    begin_piece(&l, now, epoch);
    if (l.ns - marks[1].ns > MARK_NS) {
        marks[0] = marks[1];
        marks[1] = l;
    }
    return now;
}

static uint64_t virtual_ns(TscPiece *copy)
{
    uint32_t epoch;
    uint64_t ns;

    pthread_mutex_lock(&lock);
    epoch = clock_epoch();
    if (epoch && trusted()) {
        ns = ns_now(epoch);
        *copy = piece;
    } else {
        ns = clock_ns(CLK_VIRTUAL);
        *copy = (TscPiece) { 0 };
    }
    pthread_mutex_unlock(&lock);
    return ns;
}

TscPiece cpu_tsc_piece(void)
{
    TscPiece copy = { 0 };

    if (cpu_tsc_hz() == NS_PER_SEC) {
        virtual_ns(&copy);
    }
    return copy;
}
#else
static uint64_t virtual_ns(TscPiece *copy)
{
    return clock_ns(CLK_VIRTUAL);
}

TscPiece cpu_tsc_piece(void)
{
    return (TscPiece) { 0 };
}
#endif

static uint64_t ticks_now(void)
{
    uint64_t hz = cpu_tsc_hz();
    TscPiece unused;

    return hz == NS_PER_SEC
               ? virtual_ns(&unused)
               : (unsigned __int128)clock_ns(CLK_VIRTUAL) * hz / NS_PER_SEC;
}

uint64_t cpu_read_tsc(X86Cpu *cpu)
{
    return ticks_now() + cpu->state->tsc_offset;
}

void cpu_write_tsc(X86Cpu *cpu, uint64_t val)
{
    cpu->state->tsc_offset = val - ticks_now();
}
