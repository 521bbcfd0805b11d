/*
 * Quiescent-state based reclamation: what a reader may still be looking at is
 * freed only after every registered thread has passed a safe point.
 *
 * A thread that reads published pointers (flat views, decoded blocks) without
 * a lock registers once.  Between two calls of qsbr_quiescent() it may hold
 * such pointers; at the call it must hold none.  A thread about to block goes
 * offline first, so that it never holds up reclamation.
 *
 *     register --> online --quiescent--> online
 *                  online --offline--> offline --online--> online
 *                  online --unregister--> gone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_QSBR_H
#define BASE_QSBR_H

#include <glib.h>

void qsbr_register(void);
void qsbr_unregister(void);

/* The calling thread holds no published pointer now.  Cheap: one store. */
void qsbr_quiescent(void);
void qsbr_offline(void);
void qsbr_online(void);

/*
 * Call `free_fn(data)` once every registered online thread has been
 * quiescent after this call.  Runs in whichever thread notices (never one
 * that is inside a read section of its own); `free_fn` takes no locks but
 * its own.  May be called by any thread, registered or not, under any lock.
 */
void qsbr_defer(GDestroyNotify free_fn, gpointer data);

/* Free everything deferred; no other thread may be reading (shutdown). */
void qsbr_drain(void);

#endif
