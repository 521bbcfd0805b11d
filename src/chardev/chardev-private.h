/*
 * What a back end fills in, and what it may call.
 *
 *     front end  --chr_write-->  CharBackend.write  -->  host
 *     front end  <--read-------  chr_input()        <--  host
 *
 * Locks: machine lock for everything.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_PRIVATE_H
#define CHARDEV_PRIVATE_H

#include "base/log.h"
#include "base/trace.h"
#include "chardev/chardev.h"
#include "loop/timer.h"

#include <sys/types.h>

#define CHR_CHUNK       4096    /* most bytes moved in one step */
#define CHR_PENDING_MAX (64 * KiB)

typedef struct CharBackend {
    const char *name;
    const char *const *keys;    /* options, for messages; NULL-terminated */
    size_t size;                /* of the structure that embeds Chardev */
    bool (*open)(Chardev *chr, Opt *dict, GError **err);
    void (*close)(Chardev *chr);
    /* How many bytes were taken, without blocking; `len` when the peer is
     * gone. */
    size_t (*write)(Chardev *chr, const uint8_t *buf, size_t len);

    /* The rest may be NULL. */
    /* chr_writable() is to be called when write() may take bytes again;
     * NULL when write() takes everything. */
    void (*want_writable)(Chardev *chr);
    /* Block until then, at most `ms`; false when that was not enough. */
    bool (*wait)(Chardev *chr, int ms);
    void (*accept_input)(Chardev *chr);
    void (*set_break)(Chardev *chr, bool on);
    void (*set_params)(Chardev *chr, unsigned baud, char parity,
                       unsigned data_bits, unsigned stop_bits);
    /* For the mux: */
    void (*send_break)(Chardev *chr);
    bool (*attach)(Chardev *chr, CharFrontend *fe);
    void (*detach)(Chardev *chr, CharFrontend *fe);
    void (*fe_accept_input)(Chardev *chr, CharFrontend *fe);
} CharBackend;

struct Chardev {
    const CharBackend *ops;     /* (C) */
    char *id;                   /* (C) */
    char *where;                /* `info chardev`: "unix:/tmp/x,server=on" */
    int log_fd;                 /* logfile=, -1 for none */
    CharFrontend *fe;           /* of all but a mux */
    bool opened;                /* the peer is there */

    GByteArray *pending;        /* read from the host, not by the front end */
    bool delivering;
    Timer kick;                 /* chr_writable() from the loop */
};

/* How many bytes the front end takes, less those pending. */
size_t chr_can_input(Chardev *chr);
/* Bytes from the host; what the front end does not take is kept for it. */
void chr_input(Chardev *chr, const uint8_t *buf, size_t len);
void chr_event(Chardev *chr, CharEvent ev);
/* OPENED or CLOSED, when that is news. */
void chr_set_opened(Chardev *chr, bool opened);
void chr_writable(Chardev *chr);
/* chr_write() without a front end: into the back end and its log. */
size_t chr_backend_write(Chardev *chr, const uint8_t *buf, size_t len);

bool chr_error(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Make, open and register one; `id` may be NULL.  Used for mux bases. */
Chardev *chr_make(const CharBackend *ops, const char *id, Opt *dict,
                  GError **err);

extern const CharBackend chr_null, chr_stdio, chr_file, chr_pipe, chr_pty,
                         chr_socket, chr_udp, chr_ringbuf, chr_tty, chr_mux;

/* A mux over the chardev `base`, which it owns from then on. */
Chardev *chr_mux_new(const char *id, Chardev *base, GError **err);

#endif
