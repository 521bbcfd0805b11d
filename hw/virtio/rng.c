/*
 * Sources of random bytes.
 *
 *     -object rng-random,id=r,filename=/dev/hwrng -device virtio-rng-pci,rng=r
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"

static RngBackend *rng_of(Object *obj)
{
    return container_of(obj, RngBackend, obj);
}

size_t rng_read(RngBackend *rng, void *buf, size_t len)
{
    ssize_t got = rng && rng->fd >= 0 ? read(rng->fd, buf, len)
                  : getrandom(buf, len, 0);

    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        warn("%s: %s", rng && rng->filename ? rng->filename : "getrandom",
             g_strerror(errno));
    }
    if (!got && len && !rng->ended) {
        warn("%s: no more bytes: the guest waits for good", rng->filename);
        rng->ended = true;
    }
    return MAX(got, 0);
}

static void on_readable(int fd, GIOCondition events, void *opaque)
{
    RngBackend *rng = opaque;

    loop_unwatch(g_steal_pointer(&rng->watch));
    rng->ready(rng->opaque);
}

void rng_wait(RngBackend *rng, void (*fn)(void *opaque), void *opaque)
{
    if (!rng || rng->fd < 0 || rng->ended) {
        return;                 /* the kernel never lets one wait */
    }
    loop_unwatch(g_steal_pointer(&rng->watch));
    rng->ready = fn;
    rng->opaque = opaque;
    if (fn) {
        rng->watch = loop_watch(loop_main(), rng->fd, G_IO_IN, on_readable,
                                rng);
    }
}

static void rng_init(Object *obj)
{
    rng_of(obj)->fd = -1;
}

static void rng_finalize(Object *obj)
{
    RngBackend *rng = rng_of(obj);

    rng_wait(rng, NULL, NULL);
    if (rng->fd >= 0) {
        close(rng->fd);
    }
}

const Type rng_backend_type = {
    .name = "rng-backend", .doc = "a source of random bytes",
    .parent = &user_object_type, .size = sizeof(RngBackend),
    .abstract = true, .init = rng_init, .finalize = rng_finalize,
};
const Type *const rng_backend_type_ptr = &rng_backend_type;

static const UserObjectType rng_builtin_type = {
    .type = {
        .name = "rng-builtin", .doc = "random bytes from the kernel",
        .parent = &rng_backend_type, .size = sizeof(RngBackend),
    },
};
USER_OBJECT_TYPE(rng_builtin_type)

static bool rng_random_complete(Object *obj, GError **err)
{
    RngBackend *rng = rng_of(obj);

    rng->fd = open(rng->filename, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (rng->fd < 0) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "filename=%s: %s: a device that gives random bytes is "
                    "wanted", rng->filename, g_strerror(errno));
        return false;
    }
    return true;
}

static const Property rng_random_props[] = {
    PROP_STRING(RngBackend, filename, "filename", "/dev/urandom",
                "where to read them"),
    {}
};

static const UserObjectType rng_random_type = {
    .type = {
        .name = "rng-random", .doc = "random bytes from a file or device",
        .parent = &rng_backend_type, .size = sizeof(RngBackend),
        .props = rng_random_props,
    },
    .complete = rng_random_complete,
};
USER_OBJECT_TYPE(rng_random_type)
