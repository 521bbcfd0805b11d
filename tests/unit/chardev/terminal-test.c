/*
 * The terminal is given back as it was found, on every way out; a shell's job
 * control works; standard descriptors keep their flags.
 *
 * A process plays the shell: it owns a pty as its terminal and runs a job that
 * opens the stdio chardev in its foreground.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chr-harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

typedef enum { JOB_WAITS, JOB_EXITS, JOB_ABORTS } JobKind;

static bool is_raw(void)
{
    struct termios t;

    g_assert_cmpint(tcgetattr(0, &t), ==, 0);
    return !(t.c_lflag & ICANON) && !(t.c_lflag & ECHO);
}

static void wait_raw(bool raw)
{
    for (int i = 0; i < 5000 && is_raw() != raw; i++) {
        g_usleep(1000);
    }
    g_assert_cmpint(is_raw(), ==, raw);
}

static void no_core(void)
{
    struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
}

/* The job: what main() does around the chardev. */
static void run_job(JobKind kind)
{
    Chardev *chr;
    Front f;

    no_core();
    chr_new_from_short("stdio", "serial0", &chr, NULL);
    front_init(&f, chr);
    g_assert_cmpint(fcntl(0, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(fcntl(1, F_GETFL) & O_NONBLOCK, ==, 0);
    while (f.got->len == 0 || f.got->str[0] != 'q') {
        loop_iterate(loop_main(), true);
    }
    switch (kind) {
    case JOB_WAITS:
        front_free(&f);
        chr_shutdown();
        _exit(0);
    case JOB_EXITS:
        exit(3);
    case JOB_ABORTS:
        abort();
    }
}

/* Start a job in the foreground or not, as a shell does. */
static pid_t start_job(JobKind kind, bool foreground)
{
    pid_t pid = fork();

    if (pid == 0) {
        setpgid(0, 0);
        if (foreground) {
            tcsetpgrp(0, getpid());
        }
        signal(SIGTTOU, SIG_DFL);
        run_job(kind);
    }
    setpgid(pid, pid);
    if (foreground) {
        tcsetpgrp(0, pid);
    }
    return pid;
}

static int wait_job(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    return status;
}

static void die_of(int sig)
{
    pid_t pid = start_job(JOB_WAITS, true);
    int status;

    wait_raw(true);
    kill(pid, sig);
    status = wait_job(pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, sig);
    g_assert_false(is_raw());
}

/* Type at the job, through the terminal. */
static int master;

static void type(const char *text)
{
    g_assert_cmpint(write(master, text, strlen(text)), ==, strlen(text));
}

static void shell_ways_out(void)
{
    int status;
    pid_t pid = start_job(JOB_WAITS, true);

    wait_raw(true);
    type("q");
    g_assert_cmpint(wait_job(pid), ==, 0);
    g_assert_false(is_raw());

    pid = start_job(JOB_EXITS, true);
    wait_raw(true);
    type("q");
    status = wait_job(pid);
    g_assert_cmpint(WEXITSTATUS(status), ==, 3);
    g_assert_false(is_raw());

    pid = start_job(JOB_ABORTS, true);
    wait_raw(true);
    type("q");
    status = wait_job(pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_false(is_raw());

    die_of(SIGTERM);
    die_of(SIGINT);
    die_of(SIGHUP);
    die_of(SIGQUIT);

    pid = start_job(JOB_WAITS, true);   /* stdio has signal=on: C-c works */
    wait_raw(true);
    type("\x03");
    status = wait_job(pid);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    g_assert_false(is_raw());
}

static void shell_job_control(void)
{
    pid_t pid = start_job(JOB_WAITS, true);
    int status;

    for (int i = 0; i < 2; i++) {
        wait_raw(true);
        type("\x1a");                   /* C-z */
        status = wait_job(pid);
        g_assert_true(WIFSTOPPED(status));
        g_assert_false(is_raw());
        tcsetpgrp(0, getpgrp());
        kill(-pid, SIGCONT);            /* bg: hands off the terminal */
        g_usleep(20000);
        g_assert_false(is_raw());
        tcsetpgrp(0, pid);              /* fg */
        kill(-pid, SIGCONT);
    }
    wait_raw(true);
    type("q");
    g_assert_cmpint(wait_job(pid), ==, 0);
    g_assert_false(is_raw());
}

/* Under timeout(1) or with "&": neither stopped nor a spoilt terminal. */
static void shell_background(void)
{
    pid_t pid = start_job(JOB_WAITS, false);
    int status;

    tcsetpgrp(0, getpgrp());
    g_usleep(50000);
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED | WNOHANG), ==, 0);
    g_assert_false(is_raw());
    type("for the shell\n");
    g_usleep(20000);
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED | WNOHANG), ==, 0);
    tcflush(0, TCIFLUSH);
    tcsetpgrp(0, pid);
    kill(pid, SIGCONT);
    wait_raw(true);
    type("q");
    g_assert_cmpint(wait_job(pid), ==, 0);
    g_assert_false(is_raw());
}

/* Run `fn` in a session whose terminal is a fresh pty. */
static void in_shell(void (*fn)(void))
{
    char name[64];
    int status, slave;
    pid_t pid;

    master = posix_openpt(O_RDWR | O_NOCTTY);
    g_assert_cmpint(grantpt(master), ==, 0);
    g_assert_cmpint(unlockpt(master), ==, 0);
    g_assert_cmpint(ptsname_r(master, name, sizeof(name)), ==, 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        slave = open(name, O_RDWR);
        ioctl(slave, TIOCSCTTY, 0);
        dup2(slave, 0);
        dup2(slave, 1);
        signal(SIGTTOU, SIG_IGN);
        alarm(60);
        fn();
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    close(master);
    g_assert_cmpint(status, ==, 0);
}

static void test_ways_out(void)
{
    in_shell(shell_ways_out);
}

static void test_job_control(void)
{
    in_shell(shell_job_control);
}

static void test_background(void)
{
    in_shell(shell_background);
}

/* Standard output is a pipe that nobody empties: short writes, flags kept. */
static void test_pipe(void)
{
    g_autofree char *big = g_strnfill(MiB, 'x');
    int fds[2], saved = dup(1), saved_in = dup(0), null;
    size_t taken;
    Chardev *chr;
    Front f;

    g_assert_cmpint(pipe(fds), ==, 0);
    null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(fds[1], 1);
    chr_new_from_short("stdio", "serial0", &chr, NULL);
    front_init(&f, chr);
    taken = put(&f, big);
    g_assert_cmpuint(taken, <, MiB);
    g_assert_cmpuint(taken, >=, 4096);
    g_assert_cmpint(fcntl(1, F_GETFL) & O_NONBLOCK, ==, 0);
    run_pending();                      /* the end of /dev/null, unnoticed */
    g_assert_true(chr_connected(&f.fe));
    front_free(&f);
    chr_free(chr);
    dup2(saved, 1);
    dup2(saved_in, 0);
    close(saved);
    close(saved_in);
    close(null);
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv)
{
    /* Who started us may have nohup, or be a shell that does so with "&". */
    signal(SIGHUP, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/terminal/pipe", test_pipe);
    g_test_add_func("/terminal/ways-out", test_ways_out);
    g_test_add_func("/terminal/job-control", test_job_control);
    g_test_add_func("/terminal/background", test_background);
    return g_test_run();
}
