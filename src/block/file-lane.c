/*
 * Writes to a file that take turns.
 *
 * The file systems that store on this host let one writer at a time into a
 * file's page cache.  Sixteen threads with a page each would wake up, queue for
 * the inode's lock and wake each other; one thread that does what has gathered
 * until it is awake does the same work, and all of them complete together.
 *
 * Locks: `lock` of the lane guards what waits; the rest is in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "file.h"

enum { MAX_BATCH_BYTES = 256 * 1024 };  /* the first has waited for the last */

void file_lane_init(FileLane *l)
{
    g_mutex_init(&l->lock);
    l->last = &l->first;
}

void file_lane_destroy(FileLane *l)
{
    g_mutex_clear(&l->lock);
}

/* In the worker: what is there now. */
static FileRequest *take_batch(FileLane *l)
{
    FileRequest *batch, **at = &batch;
    uint64_t bytes = 0;

    g_mutex_lock(&l->lock);
    batch = l->first;
    while (*at && (at == &batch || bytes + (*at)->bytes <= MAX_BATCH_BYTES)) {
        bytes += (*at)->bytes;
        at = &(*at)->next;
    }
    l->first = *at;
    if (!l->first) {
        l->last = &l->first;
    }
    *at = NULL;
    g_mutex_unlock(&l->lock);
    return batch;
}

static int do_batch(void *opaque)
{
    FileLane *l = opaque;

    l->done = take_batch(l);
    for (FileRequest *r = l->done; r; r = r->next) {
        r->ret = file_do_rw(r);
    }
    return 0;
}

static bool has_waiting(FileLane *l)
{
    bool any;

    g_mutex_lock(&l->lock);
    any = l->first;
    g_mutex_unlock(&l->lock);
    return any;
}

/* A coroutine.  Those that it wakes run when it has yielded or ended. */
static void run_lane(void *opaque)
{
    BlockNode *n = opaque;
    FileLane *l = &((File *)n->state)->lane;

    do {
        block_ctx_in_thread(n->ctx, do_batch, l);
        for (FileRequest *r = l->done, *next; r; r = next) {
            next = r->next;
            block_ctx_wake(n->ctx, r->co);
        }
    } while (has_waiting(l));
    l->busy = false;
}

/* The only request: nobody came while there was no coroutine. */
static void take_back(FileLane *l)
{
    g_mutex_lock(&l->lock);
    l->first = NULL;
    l->last = &l->first;
    g_mutex_unlock(&l->lock);
    l->busy = false;
}

int file_write_in_turn(BlockNode *n, FileRequest *r)
{
    FileLane *l = &r->f->lane;

    r->co = co_self();
    r->next = NULL;
    g_mutex_lock(&l->lock);
    *l->last = r;
    l->last = &r->next;
    g_mutex_unlock(&l->lock);
    if (!l->busy) {
        l->busy = true;
        if (!co_start(run_lane, n)) {
            take_back(l);
            return -ENOMEM;
        }
    }
    co_yield();
    return r->ret;
}
