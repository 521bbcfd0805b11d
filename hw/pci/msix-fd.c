/*
 * MSI-X vectors as eventfds.
 *
 * While a vector may send (enabled, not masked, a bus master), the accelerator
 * reads its eventfd, if it can.  At all other times the main loop does, and
 * then does what msix_notify() does: a masked vector becomes pending.  What was
 * written while the reader changed stays in the eventfd for the next one.
 *
 * Spec:  PCI Local Bus Specification 3.0, section 6.8.2.
 * Locks: machine lock; msix_fd_send() any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/trace.h"
#include "core/msi-fd.h"
#include "loop/loop.h"
#include "pci-private.h"

struct MsixFd {
    PciDevice *pci;
    unsigned vector;
    int fd;                     /* -1: none */
    bool connected;             /* (A) to `route`, with this message: */
    int route;
    uint64_t addr;
    uint32_t data;
    GSource *watch;             /* while it is not */
};

static void on_readable(int fd, GIOCondition events, void *opaque)
{
    MsixFd *f = opaque;
    uint64_t n;

    if (read(fd, &n, sizeof(n)) == sizeof(n)) {
        msix_notify(f->pci, f->vector);
    }
}

static void disconnect(MsixFd *f)
{
    if (f->connected) {
        trace("msix-fd", "vector %u off", f->vector);
        __atomic_store_n(&f->connected, false, __ATOMIC_RELEASE);
        msi_fd_ops->disconnect(f->fd, f->route);
    }
}

static void connect(MsixFd *f, uint64_t addr, uint32_t data)
{
    loop_unwatch(f->watch);
    f->watch = NULL;
    f->route = msi_fd_ops->connect(f->fd, addr, data);
    trace("msix-fd", "vector %u route %d", f->vector, f->route);
    f->addr = addr;
    f->data = data;
    __atomic_store_n(&f->connected, f->route >= 0, __ATOMIC_RELEASE);
}

static bool has_message(const MsixFd *f, uint64_t addr, uint32_t data)
{
    return f->connected && f->addr == addr && f->data == data;
}

static void update(MsixFd *f)
{
    uint64_t addr;
    uint32_t data;
    bool may = msix_may_send(f->pci, f->vector, &addr, &data) && msi_fd_ops;

    if (may && has_message(f, addr, data)) {
        return;
    }
    if (may && f->connected && msi_fd_ops->change(f->route, addr, data)) {
        f->addr = addr;
        f->data = data;
        return;
    }
    disconnect(f);
    if (may) {
        connect(f, addr, data);
    }
    if (!f->connected && !f->watch) {
        f->watch = loop_watch(loop_main(), f->fd, G_IO_IN, on_readable, f);
    }
}

void msix_fds_update(PciDevice *pci, unsigned first, unsigned n)
{
    Msix *m = &pci->msix;

    for (unsigned v = first; m->fds && v < first + n; v++) {
        if (m->fds[v].fd >= 0) {
            update(&m->fds[v]);
        }
    }
}

int msix_eventfd(PciDevice *pci, unsigned vector)
{
    Msix *m = &pci->msix;
    MsixFd *fds = m->fds;

    if (vector >= m->n) {
        return -1;
    }
    if (!fds) {
        fds = g_new0(MsixFd, m->n);
        for (unsigned v = 0; v < m->n; v++) {
            fds[v] = (MsixFd) { .pci = pci, .vector = v, .fd = -1 };
        }
        __atomic_store_n(&m->fds, fds, __ATOMIC_RELEASE);
    }
    if (fds[vector].fd < 0) {
        fds[vector].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        msix_fds_update(pci, vector, 1);
    }
    return fds[vector].fd;
}

bool msix_fd_send(Msix *m, unsigned vector)
{
    MsixFd *fds = __atomic_load_n(&m->fds, __ATOMIC_ACQUIRE);
    const uint64_t one = 1;

    return fds && __atomic_load_n(&fds[vector].connected, __ATOMIC_ACQUIRE)
           && write(fds[vector].fd, &one, sizeof(one)) == sizeof(one);
}

void msix_fds_free(Msix *m)
{
    for (unsigned v = 0; m->fds && v < m->n; v++) {
        MsixFd *f = &m->fds[v];

        if (f->fd >= 0) {
            disconnect(f);
            loop_unwatch(f->watch);
            close(f->fd);
        }
    }
    g_clear_pointer(&m->fds, g_free);
}
