/*
 * rhea-img bench: requests of one size, many at once, and how long they take.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "img.h"

#include "loop/timer.h"

enum { MAX_BUFFER_BYTES = INT32_MAX };

typedef struct Bench {
    ImgOpen how;
    BlockNode *n;
    uint64_t count, depth, offset, bytes, step, flush_interval;
    bool write, no_drain;
    uint8_t pattern;

    uint64_t next, limit;       /* requests; up to the next flush */
    unsigned n_running;
    Co *starter;
    int ret;
} Bench;

/* Where the next one goes: around the image, step by step. */
static uint64_t take_place(Bench *b)
{
    uint64_t at = b->offset;

    b->offset += b->step;
    if (b->offset >= b->n->length) {
        b->offset = b->n->length ? b->offset % b->n->length : 0;
    }
    b->next++;
    return at;
}

static int one(Bench *b, uint8_t *buf)
{
    uint64_t at = take_place(b);

    if (at > b->n->length || b->bytes > b->n->length - at) {
        return -EIO;
    }
    if (b->write) {
        struct iovec v = { buf, b->bytes };

        return node_write(b->n, at, b->bytes, iov_all(&v, 1),
                          img_write_flags(b->how.cache));
    }
    return node_read_buf(b->n, at, buf, b->bytes);
}

static void worker(void *opaque)
{
    Bench *b = opaque;
    uint8_t *buf = block_alloc(b->bytes);
    int ret = buf ? 0 : -ENOMEM;

    if (buf) {
        memset(buf, b->pattern, b->bytes);
    }
    while (!ret && !b->ret && b->next < b->limit) {
        bool flush = b->no_drain && b->flush_interval
                     && (b->next + 1) % b->flush_interval == 0;

        ret = one(b, buf);
        if (!ret && flush) {
            ret = node_flush(b->n);
        }
    }
    block_free(buf);
    b->ret = b->ret ? b->ret : ret;
    if (!--b->n_running && b->starter) {
        block_ctx_wake(node_ctx(b->n), b->starter);
    }
}

/* All requests up to b->limit, `depth` of them at once. */
static void run_some(Bench *b)
{
    uint64_t n = MIN(b->depth, b->limit - b->next);

    b->n_running = n + 1;
    for (uint64_t i = 0; i < n; i++) {
        if (!co_start(worker, b)) {
            b->ret = b->ret ? b->ret : -ENOMEM;
            b->n_running--;
        }
    }
    if (--b->n_running) {
        b->starter = co_self();
        co_yield();
        b->starter = NULL;
    }
}

static void run_bench(void *opaque)
{
    Bench *b = opaque;

    while (!b->ret && b->next < b->count) {
        bool flushes = b->flush_interval && !b->no_drain;

        b->limit = flushes ? MIN(b->count, b->next + b->flush_interval)
                           : b->count;
        run_some(b);
        if (!b->ret && flushes && b->next % b->flush_interval == 0) {
            b->ret = node_flush(b->n);
        }
    }
}

static int bench(Bench *b, const char *filename)
{
    int64_t start_ns;

    b->how.write = b->write;
    b->n = img_open(filename, &b->how);
    if (!b->n) {
        return 1;
    }
    printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %" PRIu64
           " in parallel (starting at offset %" PRIu64 ", step size %" PRIu64
           ")\n", b->count, b->write ? "write" : "read", b->bytes, b->depth,
           b->offset, b->step);
    if (b->flush_interval) {
        printf("Sending flush every %" PRIu64 " requests\n",
               b->flush_interval);
    }
    fflush(stdout);
    start_ns = clock_ns(CLK_HOST);
    img_run(run_bench, b);
    if (b->ret < 0) {
        img_error("Failed request: %s", g_strerror(-b->ret));
    } else {
        printf("Run completed in %3.3f seconds.\n",
               (double)(clock_ns(CLK_HOST) - start_ns) / NS_PER_SEC);
    }
    node_unref(b->n);
    return b->ret < 0;
}

static bool number(const char *text, uint64_t least, uint64_t most,
                   const char *what, uint64_t *val)
{
    if (!parse_uint(text, val) || *val < least || *val > most) {
        img_error("Invalid %s specified", what);
        return false;
    }
    return true;
}

static bool size(const char *text, const char *what, uint64_t *bytes)
{
    if (!parse_size(text, 1, bytes) || *bytes > BLOCK_MAX_LENGTH) {
        img_error("Invalid %s specified. You may use k, M, G, T, P or E "
                  "suffixes for kilobytes, megabytes, gigabytes, terabytes, "
                  "petabytes and exabytes.", what);
        return false;
    }
    return true;
}

static bool is_aio(const char *name)
{
    if (strcmp(name, "threads") && strcmp(name, "native")
        && strcmp(name, "io_uring")) {
        img_error("Invalid aio option: %s", name);
        return false;
    }
    return true;
}

/* False: it has been said why. */
static bool option(Bench *b, int c)
{
    uint64_t val;

    switch (c) {
    case 'c':
        return number(optarg, 0, INT32_MAX, "request count", &b->count);
    case 'd':
        return number(optarg, 1, INT32_MAX, "queue depth", &b->depth);
    case 'i':
        b->how.aio = optarg;
        return is_aio(optarg);
    case 'n':
        b->how.aio = "native";
        return true;
    case 'o':
        return size(optarg, "offset", &b->offset);
    case 's':
        if (!size(optarg, "buffer size", &b->bytes)) {
            return false;
        }
        if (b->bytes > MAX_BUFFER_BYTES) {
            img_error("Invalid buffer size specified. Must be between 0 and "
                      "%d.", MAX_BUFFER_BYTES);
            return false;
        }
        return true;
    case 'S':
        return size(optarg, "step_size", &b->step);
    case 'w':
        b->write = true;
        return true;
    case OPT_NO_DRAIN:
        b->no_drain = true;
        return true;
    case OPT_FLUSH_INTERVAL:
        return number(optarg, 0, INT32_MAX, "flush interval",
                      &b->flush_interval);
    case OPT_PATTERN:
        if (!number(optarg, 0, 0xff, "pattern byte", &val)) {
            return false;
        }
        b->pattern = val;
        return true;
    default:
        return img_common_option(c, &b->how);
    }
}

int img_bench(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "flush-interval", required_argument, 0, OPT_FLUSH_INTERVAL },
        { "pattern", required_argument, 0, OPT_PATTERN },
        { "no-drain", no_argument, 0, OPT_NO_DRAIN },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "object", required_argument, 0, OPT_OBJECT },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    Bench b = { .count = 75000, .depth = 64, .bytes = 4096, .step = 0 };
    int c;

    while ((c = img_getopt(argc, argv, "c:d:f:ni:o:qs:S:t:wU", words))
           != -1) {
        if (c == 't') {
            b.how.cache = optarg;
            if (!img_check_cache(optarg, false)) {
                return 1;
            }
        } else if (c == 'q') {
            b.how.quiet = true; /* and the figures are printed all the same */
        } else if (!option(&b, c)) {
            return 1;
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    if (!b.write && b.flush_interval) {
        return img_error("--flush-interval is only available in write tests");
    }
    if (b.flush_interval && b.flush_interval < b.depth) {
        return img_error("Flush interval can't be smaller than depth");
    }
    b.step = b.step ? b.step : b.bytes;
    return bench(&b, argv[optind]);
}
