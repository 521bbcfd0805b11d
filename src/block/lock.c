/*
 * Locks on image files, which name their holder when they are in the way.
 *
 * What a process does with an image is a read lock on byte 100 + n, what it
 * does not let others do one on byte 200 + n, for the n of each permission;
 * QEMU looks at the same bytes.  They are locks of the open file description,
 * so that closing another descriptor does not lose them.
 *
 * Spec:  fcntl(2), "Open file description locks"; QEMU's documentation of
 *        shared disk files and its `locking` option.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"

enum { PERM_BASE = 100, UNSHARED_BASE = 200, N_PERMS = 4 };

/* Our permissions' bits are in the order of the lock bytes. */
static const char *const perm_texts[N_PERMS] = {
    "consistent read", "write", "write-unchanged", "resize",
};

/* --- who is it? ---------------------------------------------------------------------- */

/* Does fdinfo of PID's fd tell of such a lock? */
static bool holds_lock(const char *pid, const char *fd)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/fdinfo/%s", pid, fd);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL)
           && strstr(text, "\nlock:") && strstr(text, "OFDLCK");
}

static bool is_holder(const char *pid, const struct stat *image)
{
    g_autofree char *dir = g_strdup_printf("/proc/%s/fd", pid);
    DIR *d = opendir(dir);
    struct dirent *e;
    bool found = false;

    while (d && !found && (e = readdir(d))) {
        struct stat st;

        found = fstatat(dirfd(d), e->d_name, &st, 0) == 0
                && st.st_dev == image->st_dev && st.st_ino == image->st_ino
                && holds_lock(pid, e->d_name);
    }
    if (d) {
        closedir(d);
    }
    return found;
}

static char *command_of(const char *pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/cmdline", pid);
    g_autofree char *text = NULL;
    size_t len = 0;

    if (!g_file_get_contents(path, &text, &len, NULL) || !len) {
        return g_strdup("?");
    }
    for (size_t i = 0; i + 1 < len; i++) {
        if (!text[i] || text[i] == '\n') {
            text[i] = ' ';
        }
    }
    if (len > 160) {
        memcpy(text + 157, "...", 4);
    }
    return g_strdup(text);
}

/* "process 123 (qemu-system-x86_64 -hda x.img)", or as much as can be seen. */
static char *describe_holder(int fd)
{
    DIR *d = opendir("/proc");
    struct stat image;
    struct dirent *e;
    char *text = NULL;

    while (d && !text && fstat(fd, &image) == 0 && (e = readdir(d))) {
        int pid = atoi(e->d_name);

        if (pid <= 0 || pid == getpid() || !is_holder(e->d_name, &image)) {
            continue;
        }
        g_autofree char *command = command_of(e->d_name);

        text = g_strdup_printf("process %d (%s)", pid, command);
    }
    if (d) {
        closedir(d);
    }
    return text ? text : g_strdup("this process or one of another user");
}

/* --- locking ---------------------------------------------------------------------------- */

static int set_lock(int fd, short type, off_t byte)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1,
    };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Has anybody else locked the byte? */
static bool is_taken(int fd, off_t byte)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1,
    };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int change(BlockLock *l, unsigned perm, unsigned unshared)
{
    for (unsigned i = 0; i < N_PERMS; i++) {
        unsigned bit = BIT(i);
        int ret = 0;

        if ((perm ^ l->perm) & bit) {
            ret = set_lock(l->fd, perm & bit ? F_RDLCK : F_UNLCK,
                           PERM_BASE + i);
            l->perm ^= ret ? 0 : bit;
        }
        if (!ret && (unshared ^ l->unshared) & bit) {
            ret = set_lock(l->fd, unshared & bit ? F_RDLCK : F_UNLCK,
                           UNSHARED_BASE + i);
            l->unshared ^= ret ? 0 : bit;
        }
        if (ret) {
            return ret;
        }
    }
    return 0;
}

static bool in_the_way(BlockLock *l, const char *filename, unsigned i,
                       bool they_use, GError **err)
{
    g_autofree char *holder = describe_holder(l->fd);

    g_set_error(err, BLOCK_ERROR, BLOCK_ERROR_LOCKED,
                they_use ? "'%s' is in use by %s, whose access (%s) cannot be "
                           "shared: end that process first"
                         : "'%s' is in use by %s, which shares no %s access: "
                           "end that process first, or use -snapshot",
                filename, holder, perm_texts[i]);
    return false;
}

static bool check(BlockLock *l, const char *filename, unsigned perm,
                  unsigned unshared, GError **err)
{
    for (unsigned i = 0; i < N_PERMS; i++) {
        if (perm & BIT(i) && is_taken(l->fd, UNSHARED_BASE + i)) {
            return in_the_way(l, filename, i, false, err);
        }
        if (unshared & BIT(i) && is_taken(l->fd, PERM_BASE + i)) {
            return in_the_way(l, filename, i, true, err);
        }
    }
    return true;
}

bool block_lock_set(BlockLock *l, const char *filename, unsigned perm,
                    unsigned shared, GError **err)
{
    unsigned unshared = ~shared & BLOCK_PERM_ALL;
    unsigned old_perm = l->perm, old_unshared = l->unshared;
    int ret;

    if (!l->enabled || (perm == old_perm && unshared == old_unshared)) {
        return true;
    }
    /* Ours first, then look at the others': of two that come at once, one
     * sees the other. */
    ret = change(l, perm | old_perm, unshared | old_unshared);
    if (ret == -ENOLCK || ret == -EINVAL || ret == -EOPNOTSUPP) {
        l->enabled = false;     /* a file system without locks */
        return true;
    }
    if (ret || !check(l, filename, perm & ~old_perm,
                      unshared & ~old_unshared, err)) {
        change(l, old_perm, old_unshared);
        return !ret ? false
               : block_fail_errno(err, -ret, "cannot lock '%s'", filename);
    }
    change(l, perm, unshared);
    return true;
}
