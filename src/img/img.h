/*
 * rhea-img: what its commands share.
 *
 * Each command is a file with one function, which reads its own options and
 * returns the exit status.  Names, output and status are qemu-img's: scripts
 * read them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef IMG_H
#define IMG_H

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/log.h"
#include "block/driver.h"
#include "block/image.h"
#include "block/throttle.h"
#include "loop/loop.h"

/* --- opening (open.c) ----------------------------------------------------- */

typedef struct ImgOpen {
    const char *format;         /* NULL: probed */
    const char *cache;          /* as -t; NULL: writeback */
    const char *aio;            /* NULL: threads */
    bool image_opts;            /* the name is a list of options */
    bool write;
    bool no_backing;
    bool force_share;           /* -U */
    bool check;                 /* damage is what we look for */
    bool unmap;                 /* discard=unmap */
    bool quiet;
} ImgOpen;

/* NULL after one line that says why. */
BlockNode *img_open(const char *name, const ImgOpen *how);
/* -t, -T: false after a line. */
bool img_check_cache(const char *cache, bool source);
/* FUA for each write: writethrough and directsync. */
unsigned img_write_flags(const char *cache);
/* A node that is the whole of a chain's end; for "-b base": by file name. */
BlockNode *img_find_in_chain(BlockNode *top, const char *filename);
/* stat()'s blocks of the files that hold it; -1: none. */
int64_t img_disk_bytes(BlockNode *n);

/* -r (rate.c): false after a line; no limit for 0 bytes a second, or NULL. */
bool img_parse_rate(const char *text, uint64_t *bytes);
ThrottleMember *img_rate_start(uint64_t bytes, BlockNode *n);
/* In a coroutine, before so many bytes are written. */
void img_rate_wait(ThrottleMember *m, uint64_t bytes);

/* fn(opaque) in a coroutine, to its end. */
void img_run(CoFn *fn, void *opaque);

/* --- options and messages (main.c) ---------------------------------------- */

/* One line and "Try ... --help"; 1. */
int img_usage(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* "rhea-img: " and the text; 1. */
int img_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* getopt_long() with qemu-img's messages: '?' is answered there. */
int img_getopt(int argc, char **argv, const char *letters,
               const struct option *words);
/* What `c` from img_getopt() says of the image, where a command has no use of
 * its own for it: -f, -U, --image-opts; --object is refused.  False: the
 * command fails, and why has been said. */
bool img_common_option(int c, ImgOpen *how);
bool img_is_json(const char *output, bool *json);
/* Bytes from "10M"; false after a line. */
bool img_parse_size(const char *text, const char *what, uint64_t *bytes);
/* Append "-o" lists: a=b,c=d. */
bool img_add_options(Opt *dict, const char *list);

/* Long options without a letter. */
enum {
    OPT_OUTPUT = 256, OPT_BACKING_CHAIN, OPT_OBJECT, OPT_IMAGE_OPTS,
    OPT_PREALLOCATION, OPT_SHRINK, OPT_TARGET_IMAGE_OPTS, OPT_SIZE,
    OPT_SALVAGE, OPT_TARGET_IS_ZERO, OPT_START, OPT_LENGTH, OPT_BITMAPS,
    OPT_SKIP_BROKEN, OPT_ADD, OPT_REMOVE, OPT_CLEAR, OPT_ENABLE, OPT_DISABLE,
    OPT_MERGE, OPT_FORCE, OPT_FLUSH_INTERVAL, OPT_PATTERN, OPT_NO_DRAIN,
};

/* --- output (output.c) ---------------------------------------------------- */

/* As qemu-img prints it: indented by four, in its order of keys. */
void img_print_json(const Opt *node);
/* "64 MiB" */
char *img_size_text(uint64_t bytes);
void img_print_snapshots(BlockNode *n, const char *indent);

/* Progress on stdout, when asked for. */
void img_progress_start(bool shown);
void img_progress(double percent);
void img_progress_end(void);

/* --- commands ------------------------------------------------------------- */

int img_amend(int argc, char **argv);
int img_bench(int argc, char **argv);
int img_bitmap(int argc, char **argv);
int img_check(int argc, char **argv);
int img_commit(int argc, char **argv);
int img_compare(int argc, char **argv);
int img_convert(int argc, char **argv);
int img_create(int argc, char **argv);
int img_dd(int argc, char **argv);
int img_info(int argc, char **argv);
int img_map(int argc, char **argv);
int img_measure(int argc, char **argv);
int img_rebase(int argc, char **argv);
int img_resize(int argc, char **argv);
int img_snapshot(int argc, char **argv);

#endif
