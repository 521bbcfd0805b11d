/*
 * The user's terminal in raw mode, and back.
 *
 *     cooked --enter--> raw --exit, fatal signal, SIGTSTP--> cooked
 *                       raw <------- SIGCONT --------------- (stopped)
 *
 * Only a foreground process may touch the modes: under timeout(1) or with "&"
 * it would be stopped by SIGTTOU, or spoil the shell's.  Such a process enters
 * raw mode when it is brought to the foreground.
 *
 * Locks: none.  Whatever signal handlers read is written before they are
 *        installed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "terminal.h"

#include "chardev/chardev.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static int term_fd = -1;
static struct termios found, raw;
static volatile sig_atomic_t wanted;    /* raw mode is to hold */
static volatile sig_atomic_t is_raw;
static pid_t owner_pid;                 /* not a child after fork() */
static bool keep_signals;
static void (*on_resume)(void);

bool terminal_is_ours(int fd)
{
    pid_t foreground = tcgetpgrp(fd);

    return foreground < 0 || foreground == getpgrp();
}

/* tcsetattr() from the background would stop us. */
static void set_modes(const struct termios *modes)
{
    sigset_t ttou, before;

    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ttou, &before);
    tcsetattr(term_fd, TCSANOW, modes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void make_raw(void)
{
    raw = found;
    raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL
                     | IXON);
    raw.c_oflag |= OPOST;       /* our own messages end in a bare newline */
    raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (!keep_signals) {
        raw.c_lflag &= ~ISIG;
    }
    raw.c_cflag &= ~(CSIZE | PARENB);
    raw.c_cflag |= CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
}

static void enter(void)
{
    if (!wanted || !terminal_is_ours(term_fd)) {
        return;
    }
    if (!is_raw && tcgetattr(term_fd, &found) < 0) {
        return;
    }
    make_raw();
    is_raw = 1;                 /* first: a signal may come in between */
    set_modes(&raw);
}

static void leave(void)
{
    if (is_raw && getpid() == owner_pid) {
        is_raw = 0;
        set_modes(&found);
    }
}

void chr_restore_terminal(void)
{
    int saved_errno = errno;

    wanted = 0;
    leave();
    errno = saved_errno;
}

/* Restore, then die of the signal as if we had not handled it. */
static void on_fatal(int sig)
{
    chr_restore_terminal();
    signal(sig, SIG_DFL);
    raise(sig);                 /* pending until we return */
}

static void on_stop(int sig)
{
    int saved_errno = errno;
    struct sigaction dfl = { .sa_handler = SIG_DFL }, ours;
    sigset_t set, before;

    leave();
    sigaction(SIGTSTP, &dfl, &ours);
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    raise(SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);    /* stops here */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGTSTP, &ours, NULL);
    enter();                    /* SIGCONT may have come before this */
    errno = saved_errno;
}

static void on_continue(int sig)
{
    int saved_errno = errno;

    enter();
    if (on_resume) {
        on_resume();
    }
    errno = saved_errno;
}

/* Signals that someone else handles are left to him. */
static void handle(int sig, void (*handler)(int))
{
    struct sigaction sa;

    if (sigaction(sig, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO)
        && sa.sa_handler == SIG_DFL) {
        sa.sa_handler = handler;
        sa.sa_flags = SA_RESTART;
        sigemptyset(&sa.sa_mask);
        sigaction(sig, &sa, NULL);
    }
}

static void handle_signals(void)
{
    static const int fatal[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGILL,
        SIGFPE, SIGTRAP, SIGALRM, SIGXCPU, SIGSYS,
    };

    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        handle(fatal[i], on_fatal);
    }
    handle(SIGTSTP, on_stop);
    handle(SIGCONT, on_continue);
}

void terminal_enter_raw(int fd, bool signals, void (*resumed)(void))
{
    static bool at_exit;

    if (!isatty(fd)) {
        return;
    }
    term_fd = fd;
    owner_pid = getpid();
    keep_signals = signals;
    on_resume = resumed;
    wanted = 1;
    if (!at_exit) {
        atexit(chr_restore_terminal);
        at_exit = true;
    }
    handle_signals();
    enter();
}
