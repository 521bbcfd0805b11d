/*
 * rhea-img compare: do two images hold the same bytes.
 *
 * Exit status: 0 the same, 1 different, 2 not opened, 3 and 4 not read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

enum { BUFFER_BYTES = 2 << 20, SECTOR_BYTES = 512 };

typedef struct Compare {
    BlockNode *a, *b;
    bool strict, quiet;
    uint8_t *buf_a, *buf_b;
    int status;
} Compare;

static void G_GNUC_PRINTF(2, 3) say(const Compare *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!c->quiet) {
        vprintf(fmt, ap);
    }
    va_end(ap);
}

static int cannot_read(uint64_t at, BlockNode *n, int ret)
{
    img_error("Error while reading offset %" PRIu64 " of %s: %s", at,
              node_filename(n), g_strerror(-ret));
    return 4;
}

/* The first sector of two buffers that differs; `bytes`: none. */
static uint64_t find_difference(const uint8_t *a, const uint8_t *b,
                                uint64_t bytes)
{
    uint64_t at = 0;

    if (!memcmp(a, b, bytes)) {
        return bytes;
    }
    while (!memcmp(a + at, b + at, MIN(SECTOR_BYTES, bytes - at))) {
        at += SECTOR_BYTES;
    }
    return at;
}

static uint64_t find_data(const uint8_t *a, uint64_t bytes)
{
    uint64_t at = 0;

    if (mem_is_zero(a, bytes)) {
        return bytes;
    }
    while (mem_is_zero(a + at, MIN(SECTOR_BYTES, bytes - at))) {
        at += SECTOR_BYTES;
    }
    return at;
}

static bool is_zero(const BlockStatus *st)
{
    return st->flags & BLOCK_ZERO;
}

/* [at, at + bytes) that is zero in one of them (or NULL) and data in `n`. */
static int check_zero(Compare *c, BlockNode *n, uint8_t *buf, uint64_t at,
                      uint64_t bytes)
{
    while (bytes) {
        uint64_t len = MIN(bytes, BUFFER_BYTES), same;
        int ret = node_read_buf(n, at, buf, len);

        if (ret < 0) {
            return cannot_read(at, n, ret);
        }
        same = find_data(buf, len);
        if (same < len) {
            say(c, "Content mismatch at offset %" PRIu64 "!\n", at + same);
            return 1;
        }
        at += len;
        bytes -= len;
    }
    return 0;
}

/* The second image is read while the first one is. */
typedef struct Second {
    Compare *c;
    uint64_t at, len;
    int ret;
    bool done;
    Co *waiter;
} Second;

static void read_second(void *opaque)
{
    Second *s = opaque;

    s->ret = node_read_buf(s->c->b, s->at, s->c->buf_b, s->len);
    s->done = true;
    if (s->waiter) {
        block_ctx_wake(node_ctx(s->c->b), s->waiter);
    }
}

static int read_both(Compare *c, uint64_t at, uint64_t len)
{
    Second s = { .c = c, .at = at, .len = len };
    int ret;

    if (!co_start(read_second, &s)) {
        s.ret = -ENOMEM;
        s.done = true;
    }
    ret = node_read_buf(c->a, at, c->buf_a, len);
    if (!s.done) {
        s.waiter = co_self();
        co_yield();
    }
    return ret < 0 ? cannot_read(at, c->a, ret)
           : s.ret < 0 ? cannot_read(at, c->b, s.ret) : 0;
}

static int check_data(Compare *c, uint64_t at, uint64_t bytes)
{
    while (bytes) {
        uint64_t len = MIN(bytes, BUFFER_BYTES), same;
        int ret = read_both(c, at, len);

        if (ret) {
            return ret;
        }
        same = find_difference(c->buf_a, c->buf_b, len);
        if (same < len) {
            say(c, "Content mismatch at offset %" PRIu64 "!\n", at + same);
            return 1;
        }
        at += len;
        bytes -= len;
        img_progress(100.0 * at / MAX(c->a->length, c->b->length));
    }
    return 0;
}

static int get_status(BlockNode *n, uint64_t at, uint64_t bytes,
                      BlockStatus *st)
{
    int ret = node_status_above(n, NULL, at, bytes, st);

    if (ret < 0) {
        img_error("Sector allocation test failed for %s: %s",
                  node_filename(n), g_strerror(-ret));
        return 3;
    }
    st->bytes = MIN(st->bytes, bytes);
    return 0;
}

/* What both have. */
static int compare_common(Compare *c, uint64_t end)
{
    const unsigned kind = BLOCK_ZERO | BLOCK_DATA | BLOCK_ALLOCATED;

    for (uint64_t at = 0; at < end; ) {
        BlockStatus a, b;
        uint64_t bytes;
        int status = get_status(c->a, at, end - at, &a);

        status = status ? status : get_status(c->b, at, end - at, &b);
        if (status) {
            return status;
        }
        bytes = MIN(a.bytes, b.bytes);
        if (c->strict && (a.flags & kind) != (b.flags & kind)) {
            say(c, "Strict mode: Offset %" PRIu64 " block status "
                "mismatch!\n", at);
            return 1;
        }
        if (is_zero(&a) && is_zero(&b)) {
            status = 0;
        } else if (is_zero(&a)) {
            status = check_zero(c, c->b, c->buf_b, at, bytes);
        } else if (is_zero(&b)) {
            status = check_zero(c, c->a, c->buf_a, at, bytes);
        } else {
            status = check_data(c, at, bytes);
        }
        if (status) {
            return status;
        }
        at += bytes;
        img_progress(100.0 * at / MAX(c->a->length, c->b->length));
    }
    return 0;
}

/* The longer one's rest must be zero. */
static int compare_rest(Compare *c, uint64_t at)
{
    BlockNode *n = c->a->length > c->b->length ? c->a : c->b;

    say(c, "Warning: Image size mismatch!\n");
    while (at < n->length) {
        BlockStatus st;
        int status = get_status(n, at, n->length - at, &st);

        if (!status && !is_zero(&st)) {
            status = check_zero(c, n, c->buf_a, at, st.bytes);
        }
        if (status) {
            return status;
        }
        at += st.bytes;
        img_progress(100.0 * at / n->length);
    }
    return 0;
}

static void compare(void *opaque)
{
    Compare *c = opaque;
    uint64_t common = MIN(c->a->length, c->b->length);

    if (c->strict && c->a->length != c->b->length) {
        say(c, "Strict mode: Image size mismatch!\n");
        c->status = 1;
        return;
    }
    c->buf_a = block_alloc(BUFFER_BYTES);
    c->buf_b = block_alloc(BUFFER_BYTES);
    c->status = compare_common(c, common);
    if (!c->status && c->a->length != c->b->length) {
        c->status = compare_rest(c, common);
    }
    if (!c->status) {
        say(c, "Images are identical.\n");
    }
    block_free(c->buf_a);
    block_free(c->buf_b);
}

int img_compare(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    ImgOpen how = { 0 };
    const char *format_b = NULL;
    bool progress = false;
    Compare k = { .status = 2 };
    int c;

    while ((c = img_getopt(argc, argv, "f:F:T:pqsU", words)) != -1) {
        switch (c) {
        case 'F':
            format_b = optarg;
            break;
        case 'T':
            how.cache = optarg;
            break;
        case 'p':
            progress = true;
            break;
        case 'q':
            k.quiet = true;
            break;
        case 's':
            k.strict = true;
            break;
        default:
            if (!img_common_option(c, &how)) {
                return 2;
            }
        }
    }
    if (optind != argc - 2) {
        return img_usage("Expecting two image file names");
    }
    if (!img_check_cache(how.cache, true)) {
        return 2;
    }
    k.a = img_open(argv[optind], &how);
    how.format = format_b;
    k.b = k.a ? img_open(argv[optind + 1], &how) : NULL;
    if (k.b) {
        img_progress_start(progress && !k.quiet);
        img_run(compare, &k);
        img_progress_end();
    }
    node_unref(k.a);
    node_unref(k.b);
    return k.status;
}
