/*
 * rhea-img: "-r", a limit of what is written in a second.
 *
 * Zeroes that are told and not written do not count.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "img.h"

bool img_parse_rate(const char *text, uint64_t *bytes)
{
    ThrottleLimits limits;

    throttle_limits_init(&limits);
    if (!img_parse_size(text, "rate limit", bytes)) {
        return false;
    }
    limits.of[THROTTLE_BPS_WRITE].avg = *bytes;
    if (!throttle_limits_check(&limits, NULL)) {
        img_error("Invalid rate limit specified! %s bytes a second are more "
                  "than can be counted.", text);
        return false;
    }
    return true;
}

ThrottleMember *img_rate_start(uint64_t bytes, BlockNode *n)
{
    ThrottleGroup *group;
    ThrottleLimits limits;
    ThrottleMember *m;

    if (!bytes) {
        return NULL;
    }
    throttle_limits_init(&limits);
    limits.of[THROTTLE_BPS_WRITE].avg = bytes;
    group = throttle_group_get("rate limit");
    throttle_group_set(group, &limits);
    m = throttle_member_new(group, node_ctx(n));
    throttle_group_unref(group);        /* the member holds it */
    return m;
}

void img_rate_wait(ThrottleMember *m, uint64_t bytes)
{
    if (m) {
        throttle_wait(m, true, bytes);
    }
}
