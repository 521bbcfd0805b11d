/*
 * "throttle-group": limits that drives and "throttle" nodes share.
 *
 *     -object throttle-group,id=g,limits.iops-total=100
 *     -drive file=a.img,throttling.group=g -drive file=b.img,throttling.group=g
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/throttle.h"
#include "core/user-object.h"

typedef struct GroupObject {
    Object obj;
    ThrottleLimits limits;      /* properties */
    ThrottleGroup *group;       /* found by the object's id */
} GroupObject;

static GroupObject *group_of(Object *obj)
{
    return container_of(obj, GroupObject, obj);
}

/* limits.bps-total= is x-bps-total=, as -object had it first. */
static bool group_prepare(Opt *dict, GError **err)
{
    Opt *limits = opt_peek(dict, "limits");

    if (!limits) {
        return true;
    }
    if (opt_kind(limits) != OPT_DICT) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "parameter 'limits' "
                    "expects limits.bps-total= and the like");
        return false;
    }
    for (unsigned i = 0; i < opt_len(limits); i++) {
        g_autofree char *key = g_strconcat("x-", opt_key_at(limits, i), NULL);

        if (opt_has(dict, key)) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "'limits.%s' and "
                        "its alias '%s' can't be used at the same time",
                        opt_key_at(limits, i), key);
            return false;
        }
        opt_put(dict, key, opt_copy(opt_at(limits, i)));
    }
    opt_remove(dict, "limits");
    return true;
}

static bool group_complete(Object *obj, GError **err)
{
    GroupObject *s = group_of(obj);

    if (!throttle_limits_check(&s->limits, err)) {
        return false;
    }
    if (throttle_group_find(obj->id)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "there is a throttle "
                    "group '%s' already: a drive's", obj->id);
        return false;
    }
    s->group = throttle_group_get(obj->id);
    throttle_group_set(s->group, &s->limits);
    return true;
}

static void group_finalize(Object *obj)
{
    throttle_group_unref(group_of(obj)->group);
}

#define LIMIT(n, i, what)                                                   \
    PROP_U64(GroupObject, limits.of[i].avg, "x-" n, 0,                      \
             what " a second; 0: no limit"),                                \
    PROP_U64(GroupObject, limits.of[i].max, "x-" n "-max", 0,               \
             what " a second in a burst"),                                  \
    PROP_U64(GroupObject, limits.of[i].burst_s, "x-" n "-max-length", 1,    \
             "seconds that a burst may last")

static const Property group_props[] = {
    LIMIT("bps-total", THROTTLE_BPS_TOTAL, "bytes"),
    LIMIT("bps-read", THROTTLE_BPS_READ, "bytes read"),
    LIMIT("bps-write", THROTTLE_BPS_WRITE, "bytes written"),
    LIMIT("iops-total", THROTTLE_IOPS_TOTAL, "requests"),
    LIMIT("iops-read", THROTTLE_IOPS_READ, "reads"),
    LIMIT("iops-write", THROTTLE_IOPS_WRITE, "writes"),
    PROP_U64(GroupObject, limits.op_bytes, "x-iops-size", 0,
             "bytes above which a request counts as several"),
    {}
};

static const UserObjectType group_type = {
    .type = {
        .name = "throttle-group", .doc = "limits that drives share",
        .parent = &user_object_type, .size = sizeof(GroupObject),
        .props = group_props, .finalize = group_finalize,
    },
    .prepare = group_prepare, .complete = group_complete,
};
USER_OBJECT_TYPE(group_type)
