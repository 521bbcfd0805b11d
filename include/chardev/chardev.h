/*
 * Character devices: where a UART's, a monitor's or a debug port's bytes come
 * from and go to (-chardev, -serial, -monitor).
 *
 * One back end, one front end; `mux=on` lets several front ends share a back
 * end, with C-a c switching between them.
 *
 * Locks: machine lock, unless the owner of the front end runs in an iothread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include "base/bits.h"
#include "base/opts.h"
#include "loop/loop.h"

typedef struct Chardev Chardev;
typedef struct CharFrontend CharFrontend;

typedef enum {
    CHR_OPENED,                 /* the peer is there */
    CHR_CLOSED,
    CHR_BREAK,
    CHR_MUX_IN, CHR_MUX_OUT,    /* this front end got or lost the keyboard */
} CharEvent;

/* The user's side of a chardev, embedded in a device. */
struct CharFrontend {
    /* How many bytes read() can take now; 0 stops input until
     * chr_accept_input(). */
    size_t (*can_read)(void *opaque);
    void (*read)(void *opaque, const uint8_t *buf, size_t len);
    void (*event)(void *opaque, CharEvent ev);      /* may be NULL */
    void *opaque;
    bool keeps_back;            /* on a mux: leaves the keyboard to others */
    Chardev *chr;               /* set by chr_attach() */

    void (*writable)(void *opaque);     /* private: chr_wait_writable() */
    void *writable_opaque;
};

/* Take `chr` for `fe`, whose callbacks are filled in.  Fails when it is taken
 * and not a mux.  A NULL `chr` is accepted: writes vanish, nothing is read. */
bool chr_attach(CharFrontend *fe, Chardev *chr, GError **err);
void chr_detach(CharFrontend *fe);

/* Write without blocking; how many bytes were taken (len when no chardev is
 * attached or the peer is gone). */
size_t chr_write(CharFrontend *fe, const uint8_t *buf, size_t len);
/* Write everything, waiting for the host as long as it takes data: what it
 * does not take within two seconds is dropped. */
void chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len);
/* Call fn(opaque) once when chr_write() may take bytes again; NULL cancels. */
void chr_wait_writable(CharFrontend *fe, void (*fn)(void *opaque),
                       void *opaque);
/* can_read() has become positive. */
void chr_accept_input(CharFrontend *fe);
bool chr_connected(CharFrontend *fe);
/* RS-232 lines and parameters, for back ends that are real ports. */
void chr_set_break(CharFrontend *fe, bool on);
void chr_set_serial_params(CharFrontend *fe, unsigned baud, char parity,
                           unsigned data_bits, unsigned stop_bits);

/* From -chardev or chardev-add: a dict with "backend", "id", ….  With
 * "mux=on" the result is the multiplexer, over a back end named "ID-base". */
Chardev *chr_new(Opt *dict, GError **err);
/* From the short forms of -serial and -monitor: "stdio", "mon:stdio",
 * "file:x", "unix:p,server,nowait", "chardev:id", "none" (*chr is NULL).
 * "mon:" makes a multiplexer, to which the caller adds a monitor. */
bool chr_new_from_short(const char *text, const char *id, Chardev **chr,
                        GError **err);
Chardev *chr_find(const char *id);
const char *chr_id(const Chardev *chr);
bool chr_is_mux(const Chardev *chr);
/* To the front end, as if the peer had sent one. */
void chr_send_break(Chardev *chr);
void chr_free(Chardev *chr);
/* "stdio", "mux", …: NULL-terminated, for `-chardev help`. */
const char *const *chr_backend_names(void);
/* `info chardev` */
void chr_print(GString *out);
/* A ringbuf's oldest bytes, at most `max`, taken out; NULL when `chr` is none. */
GByteArray *chr_ringbuf_take(Chardev *chr, size_t max);

/* Every buffered byte out to the host, as far as it takes them; close files;
 * restore the terminal.  Called on every way out of the process. */
void chr_shutdown(void);
/* Async-signal-safe: put the terminal back as it was found. */
void chr_restore_terminal(void);

/* For mux: what C-a does besides switching; set by src/cli. */
extern void (*chr_mux_quit)(void);          /* C-a x */
extern void (*chr_mux_save)(void);          /* C-a s */
extern void (*chr_mux_break)(void);         /* C-a b, with CHR_BREAK */
extern unsigned char chr_escape;            /* C-a unless -echr */

#endif
