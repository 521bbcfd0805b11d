/*
 * The process: logs, background, pidfile, signals, the way out.
 *
 * SIGTERM, SIGINT and SIGHUP ask the main loop for an orderly shutdown; a
 * timer ends the process when that takes more than a second and a half,
 * whatever a vCPU or a host call is doing.  Whichever way it goes, the
 * terminal is put back and the pidfile removed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log-filter.h"
#include "base/log.h"
#include "base/trace.h"
#include "chardev/chardev.h"

enum { EXIT_PATIENCE_US = 1500 * 1000 };

/* --- pidfile ------------------------------------------------------------- */

static char *pidfile;           /* absolute; NULL when there is none to remove */
static pid_t pidfile_owner;

/* Open and lock the file; retried when its last owner removed it meanwhile. */
static int lock_pidfile(const char *path, GError **err)
{
    for (;;) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat by_fd, by_path;
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

        if (fd < 0) {
            options_fail(err, "cannot create PID file: Could not create '%s': "
                         "%s", path, g_strerror(errno));
            return -1;
        }
        if (fcntl(fd, F_SETLK, &lock) < 0) {
            int why = errno;

            close(fd);
            options_fail(err, "cannot create PID file: Cannot lock pid file "
                         "'%s': %s", path,
                         why == EAGAIN || why == EACCES
                         ? "another process holds it" : g_strerror(why));
            return -1;
        }
        if (fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0
            && by_fd.st_ino == by_path.st_ino
            && by_fd.st_dev == by_path.st_dev) {
            return fd;
        }
        close(fd);
    }
}

static bool write_pidfile(const char *path, GError **err)
{
    int fd = lock_pidfile(path, err);   /* stays open: it holds the lock */
    char text[32];
    int len;

    if (fd < 0) {
        return false;
    }
    len = g_snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, len) != len) {
        return options_fail(err, "cannot write PID file '%s': %s", path,
                            g_strerror(errno));
    }
    pidfile_owner = getpid();
    pidfile = realpath(path, NULL);     /* -daemonize leaves the folder */
    return true;
}

/* --- the way out --------------------------------------------------------- */

/* Async-signal-safe. */
static void leave_nothing_behind(void)
{
    chr_restore_terminal();
    if (pidfile && pidfile_owner == getpid()) {
        unlink(pidfile);
    }
}

void host_cleanup(void)
{
    leave_nothing_behind();
    g_clear_pointer(&pidfile, free);
}

static volatile sig_atomic_t forced_status;

static void out_of_patience(int sig)
{
    leave_nothing_behind();
    _exit(forced_status);
}

static void start_patience(void)
{
    static const struct itimerval once = {
        .it_value.tv_usec = EXIT_PATIENCE_US % 1000000,
        .it_value.tv_sec = EXIT_PATIENCE_US / 1000000,
    };

    setitimer(ITIMER_REAL, &once, NULL);
}

void host_arm_exit(int status)
{
    forced_status = status;
    start_patience();
}

/* --- signals ------------------------------------------------------------- */

static int signal_fd = -1;
static volatile sig_atomic_t last_signal;
static volatile pid_t last_sender;

static void on_terminate(int sig, siginfo_t *si, void *context)
{
    uint64_t one = 1;
    int saved = errno;

    last_signal = sig;
    last_sender = si->si_code <= 0 ? si->si_pid : 0;
    forced_status = 1;
    start_patience();
    if (write(signal_fd, &one, sizeof(one)) < 0) {
        /* An eventfd that overflows has woken its reader long since. */
    }
    errno = saved;
}

static char *process_name(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    char *name = NULL;

    return g_file_get_contents(path, &name, NULL, NULL) ? name : NULL;
}

/* In the main loop. */
static void serve_signal(int fd, GIOCondition events, void *opaque)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0) {
        return;
    }
    if (last_sender) {
        g_autofree char *name = process_name(last_sender);

        report_error("terminating on signal %d from pid %d (%s)",
                     (int)last_signal, (int)last_sender,
                     name && *name ? name : "<unknown process>");
    } else {
        report_error("terminating on signal %d", (int)last_signal);
    }
    machine_request_shutdown(SHUTDOWN_HOST_SIGNAL);
}

/* A crash of ours: leave a usable terminal, then crash as usual. */
static void on_crash(int sig)
{
    leave_nothing_behind();
    raise(sig);                 /* SA_RESETHAND: the default action */
}

static void catch_signals(void)
{
    static const int quits[] = { SIGTERM, SIGINT, SIGHUP };
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT,
                                   SIGQUIT };
    struct sigaction terminate = {
        .sa_sigaction = on_terminate, .sa_flags = SA_SIGINFO | SA_RESTART,
    };
    struct sigaction crash = {
        .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER,
    };
    struct sigaction patience = { .sa_handler = out_of_patience };
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction old;

    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop_watch(loop_main(), signal_fd, G_IO_IN, serve_signal, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGALRM, &patience, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(quits); i++) {
        sigaction(quits[i], NULL, &old);
        /* Started by nohup: stay. */
        if (quits[i] != SIGHUP || old.sa_handler != SIG_IGN) {
            sigaction(quits[i], &terminate, NULL);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(crashes); i++) {
        sigaction(crashes[i], NULL, &old);
        /* Sanitizers come first. */
        if (old.sa_handler == SIG_DFL) {
            sigaction(crashes[i], &crash, NULL);
        }
    }
}

/* --- background ---------------------------------------------------------- */

static int daemon_pipe = -1;

/* The parent waits for one byte: the exit status. */
static void daemon_parent(int fd)
{
    uint8_t status = 1;
    ssize_t n;

    do {
        n = read(fd, &status, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 ? status : 1);
}

static bool daemon_fork(GError **err)
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) < 0 || (pid = fork()) < 0) {
        return options_fail(err, "-daemonize: %s", g_strerror(errno));
    }
    if (pid > 0) {
        close(fds[1]);
        daemon_parent(fds[0]);
    }
    close(fds[0]);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    daemon_pipe = fds[1];
    setsid();
    /* Once more, so that no terminal opened later becomes ours. */
    pid = fork();
    if (pid < 0) {
        return options_fail(err, "-daemonize: %s", g_strerror(errno));
    }
    if (pid > 0) {
        _exit(0);
    }
    umask(027);
    signal(SIGTSTP, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    return true;
}

bool host_daemon_ready(GError **err)
{
    uint8_t ok = 0;
    int null;

    if (daemon_pipe < 0) {
        return true;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || chdir("/") < 0) {
        return options_fail(err, "-daemonize: %s", g_strerror(errno));
    }
    for (int fd = 0; fd <= 2; fd++) {
        dup2(null, fd);
    }
    close(null);
    if (write(daemon_pipe, &ok, 1) != 1) {
        return options_fail(err, "-daemonize: the parent process is gone");
    }
    close(daemon_pipe);
    daemon_pipe = -1;
    return true;
}

/* --- options ------------------------------------------------------------- */

static bool setup_logs(Options *o, GError **err)
{
    const char *file = options_string(o, "D");
    const char *items = options_string(o, "d");
    Opt *traces = options_get(o, "trace");
    const char *ranges = options_string(o, "dfilter");
    bool helped;

    if (ranges && !log_filter_set(ranges, err)) {
        return false;
    }
    if (file && !log_set_file(file, err)) {
        return false;
    }
    if (items && !log_set_items(items, &helped, err)) {
        return false;
    }
    for (unsigned i = 0; traces && i < opt_len(traces); i++) {
        Opt *t = opt_at(traces, i);
        const char *glob = NULL, *events = NULL, *to = NULL;

        if (!opt_get_string(t, "enable", &glob, err)
            || !opt_get_string(t, "events", &events, err)
            || !opt_get_string(t, "file", &to, err)
            || !opt_all_read(t, "-trace", NULL, err)
            || (to && !trace_set_file(to, err))
            || (events && !trace_enable_from_file(events, err))) {
            return options_at(o, t, err);
        }
        if (glob && !trace_enable(glob, true)) {
            warn("-trace %s: no trace event matches; -trace help lists them",
                 glob);
        }
    }
    return true;
}

static bool setup_messages(Options *o, GError **err)
{
    Opt *msg = options_dict(o, "msg");
    bool guest_name = false;

    if (!opt_get_bool(msg, "timestamp", &log_timestamps, err)
        || !opt_get_bool(msg, "guest-name", &guest_name, err)
        || !opt_all_read(msg, "-msg", NULL, err)) {
        return false;
    }
    if (guest_name) {
        const char *name = options_string(o, "name.guest");

        if (name) {
            log_set_guest_name(name);
        }
    }
    return true;
}

static bool setup_process(Options *o, GError **err)
{
    Opt *name = options_dict(o, "name");
    Opt *run = options_dict(o, "run-with");
    Opt *over = options_dict(o, "overcommit");
    Opt *sandbox = options_dict(o, "sandbox");
    const char *guest = NULL, *process = NULL, *level = NULL;
    bool threads = true, with_parent = false, lock = false, cpu_pm = false;
    bool enable = false;

    if (!opt_get_string(name, "guest", &guest, err)
        || !opt_get_string(name, "process", &process, err)
        || !opt_get_bool(name, "debug-threads", &threads, err)
        || !opt_all_read(name, "-name", NULL, err)
        || !opt_get_bool(run, "exit-with-parent", &with_parent, err)
        || !opt_all_read(run, "-run-with", NULL, err)
        || !opt_get_bool(over, "mem-lock", &lock, err)
        || !opt_get_bool(over, "cpu-pm", &cpu_pm, err)
        || !opt_all_read(over, "-overcommit", NULL, err)
        || !opt_get_bool(sandbox, "enable", &enable, err)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        static const char *const parts[] = {
            "obsolete", "elevateprivileges", "spawn", "resourcecontrol"
        };

        if (!opt_get_string(sandbox, parts[i], &level, err)) {
            return false;
        }
    }
    if (!opt_all_read(sandbox, "-sandbox", NULL, err)) {
        return false;
    }
    if (enable) {
        return options_fail(err, "-sandbox on: not implemented yet");
    }
    if (process) {
        prctl(PR_SET_NAME, process);
    }
    if (with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    }
    if (lock && mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        return options_fail(err, "-overcommit mem-lock=on: cannot lock "
                            "memory: %s", g_strerror(errno));
    }
    return true;
}

bool host_setup(Options *o, GError **err)
{
    const char *path = options_string(o, "pidfile");

    if (options_flag(o, "daemonize")) {
        if (options_flag(o, "nographic")) {
            return options_fail(err, "-nographic cannot be used with "
                                "-daemonize");
        }
        if (!daemon_fork(err)) {
            return false;
        }
    }
    catch_signals();
    return setup_messages(o, err) && setup_logs(o, err)
        && (!path || write_pidfile(path, err)) && setup_process(o, err);
}
