/*
 * Eventfds that send messages: whoever writes to one, in this process or in
 * another, needs neither a lock nor a thread of ours to interrupt the guest.
 *
 * An accelerator whose local APICs are the kernel's can do that; with others
 * `msi_fd_ops` is NULL, and the owner of the eventfd reads it.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_MSI_FD_H
#define CORE_MSI_FD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MsiFdOps {
    /* From now on a write to `fd` sends `data` to `addr`, as does one that
     * nobody has read yet.  The route; -1: it cannot be done (now). */
    int (*connect)(int fd, uint64_t addr, uint32_t data);
    /* Another message from now on.  False: the route is as it was. */
    bool (*change)(int route, uint64_t addr, uint32_t data);
    /* What was written has been sent; what is written from now on stays. */
    void (*disconnect)(int fd, int route);
} MsiFdOps;

extern const MsiFdOps *msi_fd_ops;

#endif
