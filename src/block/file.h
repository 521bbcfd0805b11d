/*
 * What the two halves of the file driver share: the file, and a request to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include "ctx.h"
#include "node.h"

enum { FILE_MAX_IOV = 1024 };   /* IOV_MAX of Linux */

/* May a call be made in the loop, without a thread? */
typedef enum FileAtOnce {
    FILE_ASK,                   /* the kernel says when it would wait */
    FILE_WATCH,                 /* it seldom waits: until it has */
    FILE_NEVER,
} FileAtOnce;

typedef struct FileRequest FileRequest;

/* Writes that take turns: file-lane.c. */
typedef struct FileLane {
    GMutex lock;
    FileRequest *first, **last; /* waiting; by `lock` */
    FileRequest *done;          /* by the worker */
    bool busy;                  /* it runs */
} FileLane;

typedef struct File {
    int fd;
    BlockLock lock;
    const BlockAio *aio;        /* (C) NULL: threads */
    bool device;
    bool local;                 /* (C) its file system stores on this host */
    bool no_punch, no_zero;     /* the host has said that it cannot */
    int failed_flush;           /* an error that lost data: for good */
    FileAtOnce at_once[2];      /* reads, writes */
    int64_t watch_from_ns;      /* FILE_WATCH: not before */
    unsigned n_flushes;         /* on their way */
    FileLane lane;
} File;

struct FileRequest {
    File *f;
    enum { FILE_READ, FILE_WRITE, FILE_FLUSH, FILE_ZERO, FILE_PUNCH,
           FILE_RESIZE } what;
    uint64_t at, bytes;
    IoVec v;
    int rw_flags, prealloc;

    Co *co;                     /* in a lane: who waits, */
    FileRequest *next;
    int ret;                    /* and for what */
};

/* In coroutines.  Reads and writes, the quickest way there is: */
int file_transfer(BlockNode *n, FileRequest *r);
/* and everything else. */
int file_in_thread(BlockNode *n, FileRequest *r);
int file_flush_host(BlockNode *n);

/* In a thread: a read or write, to its end. */
int file_do_rw(FileRequest *r);

void file_lane_init(FileLane *l);
void file_lane_destroy(FileLane *l);
/* In coroutines: file_do_rw() of a write, after those that came before. */
int file_write_in_turn(BlockNode *n, FileRequest *r);

/* Which ways there are, once the file is open. */
void file_find_ways(BlockNode *n);

#endif
