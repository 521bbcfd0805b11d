/*
 * Limits of throughput: leaky buckets that drives share.
 *
 * A group has six buckets, bytes and requests by reads, writes and both.  Each
 * leaks `avg` units a second; a request may start while what is in every
 * bucket of its direction is no more than the bucket holds, and then pours its
 * own units in.  A bucket holds a tenth of a second's worth, or with a burst
 * `max` units; with a burst of several seconds it is `max` a second for as
 * long, and a second bucket that leaks `max` keeps to that rate.
 *
 * Members (backends, "throttle" nodes) take turns, request by request; within
 * a member it is first come, first served.
 *
 * Locks: the group's own, a leaf: members may be in different loops.  A
 *        member's functions are called in its loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "base/opts.h"
#include "block/block.h"
#include "loop/timer.h"

enum {
    THROTTLE_BPS_TOTAL, THROTTLE_BPS_READ, THROTTLE_BPS_WRITE,
    THROTTLE_IOPS_TOTAL, THROTTLE_IOPS_READ, THROTTLE_IOPS_WRITE,
    THROTTLE_N
};

typedef struct ThrottleLimits {
    struct {
        uint64_t avg;           /* units a second; 0: no limit */
        uint64_t max;           /* of a burst; 0: none */
        uint64_t burst_s;       /* how long it may last: 1 or more */
    } of[THROTTLE_N];
    uint64_t op_bytes;          /* more count as several requests; 0: never */
} ThrottleLimits;

void throttle_limits_init(ThrottleLimits *l);
bool throttle_limits_any(const ThrottleLimits *l);
/* Take "PREFIXbps-total", "PREFIXbps-total-max", ...-max-length and so on
 * through "PREFIXiops-size" out of `dict`, and check them. */
bool throttle_limits_get(ThrottleLimits *l, Opt *dict, const char *prefix,
                         GError **err);
bool throttle_limits_check(const ThrottleLimits *l, GError **err);

typedef struct ThrottleGroup ThrottleGroup;
ThrottleGroup *throttle_group_find(const char *name);
/* Found or made; one reference. */
ThrottleGroup *throttle_group_get(const char *name);
void throttle_group_unref(ThrottleGroup *g);
const char *throttle_group_name(const ThrottleGroup *g);
void throttle_group_set(ThrottleGroup *g, const ThrottleLimits *l);
void throttle_group_limits(ThrottleGroup *g, ThrottleLimits *l);

/* The clock of all groups: the host's, for data that is to get out of a
 * stopped machine, too.  Tests set another. */
extern ClockId throttle_clock;

typedef struct ThrottleMember ThrottleMember;
ThrottleMember *throttle_member_new(ThrottleGroup *g, BlockCtx *ctx);
/* Nobody waits in it. */
void throttle_member_free(ThrottleMember *m);
ThrottleGroup *throttle_member_group(const ThrottleMember *m);
/* To another loop; nobody waits in it. */
void throttle_member_move(ThrottleMember *m, BlockCtx *ctx);
/* In a coroutine: return when a request of that size may start. */
void throttle_wait(ThrottleMember *m, bool write, uint64_t bytes);
/* Drains: from here on nothing is held back (it counts, though). */
void throttle_release_begin(ThrottleMember *m);
void throttle_release_end(ThrottleMember *m);

#endif
