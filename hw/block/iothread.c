/*
 * "iothread": a thread with a loop, to which disks can be given.
 *
 *     -object iothread,id=io0 -device virtio-blk-pci,drive=d,iothread=io0
 *
 * Before the loop sleeps in the kernel it spins for up to poll-max-ns; see
 * src/loop/poll.c.  What was started in one round goes to the host together,
 * whatever aio-max-batch says.
 *
 * Locks: machine lock; the loop's own thread takes none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/block/iothread.h"

#include <errno.h>

#include "base/opts.h"
#include "block/block.h"
#include "core/user-object.h"

typedef struct IoThread {
    Object obj;
    Loop *loop;                 /* (C) */
    int64_t poll_max_ns, poll_grow, poll_shrink, aio_max_batch;
} IoThread;

static IoThread *iothread_of(Object *obj)
{
    return container_of(obj, IoThread, obj);
}

Loop *iothread_loop(Object *iothread)
{
    return iothread_of(iothread)->loop;
}

static bool check_not_negative(const char *name, int64_t val, GError **err)
{
    if (val < 0) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property '%s' cannot be %" PRId64 ": 0 to %" PRId64
                    " is wanted", name, val, INT64_MAX);
        return false;
    }
    return true;
}

static void start_polling(void *opaque)
{
    IoThread *s = opaque;

    loop_set_polling(s->loop, s->poll_max_ns, s->poll_grow, s->poll_shrink);
}

static bool iothread_complete(Object *obj, GError **err)
{
    IoThread *s = iothread_of(obj);

    if (!check_not_negative("poll-max-ns", s->poll_max_ns, err)
        || !check_not_negative("poll-grow", s->poll_grow, err)
        || !check_not_negative("poll-shrink", s->poll_shrink, err)
        || !check_not_negative("aio-max-batch", s->aio_max_batch, err)) {
        return false;
    }
    s->loop = loop_new_thread("iothread");
    if (!s->loop || !block_ctx(s->loop)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "iothread '%s' cannot be had: %s (its limit is 'ulimit -n' "
                    "or 'ulimit -u')", obj->id, g_strerror(errno));
        return false;
    }
    loop_call(s->loop, start_polling, s);
    return true;
}

static void iothread_finalize(Object *obj)
{
    IoThread *s = iothread_of(obj);

    if (s->loop) {
        block_ctx_free(s->loop);
        loop_free(s->loop);
    }
}

static const Property iothread_props[] = {
    PROP_I64(IoThread, poll_max_ns, "poll-max-ns", 32768,
             "longest time to spin before it sleeps; 0: never"),
    PROP_I64(IoThread, poll_grow, "poll-grow", 0,
             "factor by which it spins longer after a wait; 0: 2"),
    PROP_I64(IoThread, poll_shrink, "poll-shrink", 0,
             "divisor after a wait that was too long; 0: no spinning then"),
    PROP_I64(IoThread, aio_max_batch, "aio-max-batch", 0, "accepted"),
    {}
};

static const UserObjectType iothread_type = {
    .type = {
        .name = "iothread", .doc = "a thread for disks",
        .parent = &user_object_type, .size = sizeof(IoThread),
        .props = iothread_props, .finalize = iothread_finalize,
    },
    .complete = iothread_complete,
};
USER_OBJECT_TYPE(iothread_type)

const Type *const iothread_type_ptr = &iothread_type.type;
