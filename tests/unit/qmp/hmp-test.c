/*
 * The human monitor: commands, expressions, line editing, sharing a terminal,
 * and a terminal that nobody reads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop/timer.h"
#include "qmp/hmp.h"

#include <sys/socket.h>
#include <unistd.h>

#define BANNER "QEMU 10.0.0 monitor - type 'help' for more information\r\n"
#define PROMPT "(qemu) "

/* --- without a terminal -------------------------------------------------- */

static void expect_run(const char *line, const char *out)
{
    g_autoptr(GString) got = g_string_new(NULL);

    hmp_run(line, 0, got);
    g_assert_cmpstr(got->str, ==, out);
}

static void expect_part(const char *line, const char *part)
{
    g_autoptr(GString) got = g_string_new(NULL);

    hmp_run(line, 0, got);
    if (!strstr(got->str, part)) {
        g_error("'%s': '%s' is not in '%s'", line, part, got->str);
    }
}

static void cmd_echo(Hmp *mon, unsigned argc, char **argv)
{
    g_autofree char *text = hmp_join(argc, argv, 1);

    hmp_printf(mon, "%u:%s\n", argc - 1, text);
}

static const HmpCommand echo = {
    "echo|say", "text", "show the text", 1, HMP_MANY, cmd_echo
};
static const HmpCommand info_echo = {
    "echo", "", "show nothing", 0, 1, cmd_echo
};

static void test_commands(void)
{
    hmp_register(&echo);
    hmp_register_info(&info_echo);
    expect_run("", "");
    expect_run("  # a comment", "");
    expect_run("nonsense 1 2", "unknown command: 'nonsense'\n");
    expect_run("info nonsense", "unknown command: 'info nonsense'\n");
    expect_run("echo one  two", "2:one two\n");
    expect_run(" say \"one  two\" \"a\\\"b\"", "2:one  two a\"b\n");
    expect_part("echo", "too few arguments; accepted: echo text\n");
    expect_part("quit now", "too many arguments");
    expect_run("info echo x", "1:x\n");
    expect_part("info echo x y", "info echo: too many");
    expect_run("help echo", "echo|say text -- show the text\n");
    expect_run("? q", "quit|q -- quit the emulator\n");
    expect_part("help", "\nsystem_reset -- ");
    expect_part("help info", "\ninfo status -- ");
    expect_part("info", "info mtree [-f] -- ");
    expect_part("help log", "guest_errors");
    expect_run("help nonsense", "unknown command: 'nonsense'\n");

    expect_part("info version", "10.0.0");
    expect_run("info status", "VM status: paused (prelaunch)\n");
    expect_part("log nonsense", "'nonsense'");
    expect_run("log int,mmu", "");
    expect_run("log none", "");
    expect_part("trace-event nonsense-* on", "nonsense-*");
    expect_part("trace-event x maybe", "on and off");
    expect_run("trace-event chr-* off", "");
    expect_part("info trace-events chr-*", "chr-socket-opened : state 0\n");
    expect_part("info mtree -x", "-f");
    expect_part("chardev-send-break nobody", "'nobody'");
    expect_part("stop", "no machine");
}

static bool read_register(unsigned cpu, const char *name, uint64_t *val)
{
    *val = 0x1000 + cpu;
    return g_str_equal(name, "rip");
}

static bool read_virtual(unsigned cpu, uint64_t gva, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = gva + i;
    }
    return gva < 0x1010;
}

static void test_expressions(void)
{
    g_autofree char *deep = g_strnfill(5000, '(');
    g_autofree char *line = g_strconcat("p ", deep, NULL);

    hmp_read_register = read_register;
    expect_run("p 1+2*3", "7\n");
    expect_run("print (1 + 2) * 3", "9\n");
    expect_run("p/x 0x10|1", "0x11\n");
    expect_run("p -1", "-1\n");
    expect_run("p/u -1", "18446744073709551615\n");
    expect_run("p/o 8", "010\n");
    expect_run("p/c 'a'+1", "'b'\n");
    expect_run("p ~0 & 0xff ^ 1", "254\n");
    expect_run("p/x $rip+4", "0x1004\n");
    expect_run("p 7 % 4 - 10 / 5", "1\n");
    expect_part("p 1/0", "division by zero");
    expect_part("p 1%0", "division by zero");
    expect_part("p $rex", "'rex'");
    expect_part("p 1+", "invalid expression");
    expect_part("p (1", "')' is missing");
    expect_part("p 1 2", "unexpected '2'");
    expect_part("p 'ab'", "invalid");
    expect_part("p/q 1", "invalid format");
    expect_part(line, "too many levels");
    /* The host's own division traps on this one. */
    expect_run("p 0x8000000000000000 / -1", "0\n");
}

static void test_memory(void)
{
    hmp_read_virtual = read_virtual;
    expect_run("x $rip", "0000000000001000: 0x03020100\n");
    expect_run("x/4xb 0x1000",
               "0000000000001000: 0x00 0x01 0x02 0x03\n");
    expect_run("x /3xg 0x1000",
               "0000000000001000: 0x0706050403020100 0x0f0e0d0c0b0a0908\n"
               "0000000000001010: Cannot access memory\n");
    expect_run("x/2dh 0xfe", "00000000000000fe: -2 256\n");
    expect_run("x/2c 0x41", "0000000000000041: 'A' 'B'\n");
    expect_part("x/i 0", "disassembler");
    expect_part("x/999999999999xb 0x2000", "Cannot access memory");
}

/* --- with a terminal ----------------------------------------------------- */

static int peer;
static Chardev *chr;

static void open_terminal(const char *more)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = NULL;
    g_autofree char *opts = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    opts = g_strdup_printf("socket,id=mon0,fd=%d%s", fds[0], more);
    dict = opt_parse_keyval(opts, "backend", NULL, NULL);
    chr = chr_new(dict, &err);
    g_assert_no_error(err);
    peer = fds[1];
}

static void run_pending(void)
{
    for (int i = 0; i < 100 && loop_iterate(loop_main(), false); i++) {
    }
}

static char *shown(void)
{
    char buf[65536];
    ssize_t n;

    run_pending();
    n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT);
    return g_strndup(buf, MAX(n, 0));
}

static void expect_shown(const char *text)
{
    g_autofree char *got = shown();

    g_assert_cmpstr(got, ==, text);
}

static void type(const char *text)
{
    g_assert_cmpint(write(peer, text, strlen(text)), ==, strlen(text));
}

static void expect_typed(const char *keys, const char *last_line)
{
    g_autofree char *got = NULL;

    type(keys);
    type("\r");
    got = shown();
    g_assert_true(g_str_has_suffix(got, "\r\n" PROMPT));
    got[strlen(got) - strlen("\r\n" PROMPT)] = '\0';
    g_assert_cmpstr(strrchr(got, '\n') + 1, ==, last_line);
}

static void test_terminal(void)
{
    Hmp *mon;

    open_terminal("");
    mon = hmp_new(chr, NULL);
    g_assert_nonnull(mon);
    expect_shown(BANNER PROMPT);
    type("e");
    expect_shown("e");                  /* as typed, for expect scripts */
    type("cho a\r\n");
    expect_shown("cho a\r\n1:a\r\n" PROMPT);
    type("\r");
    expect_shown("\r\n" PROMPT);
    hmp_free(mon);
    chr_free(chr);
    close(peer);
}

#define UP    "\033[A"
#define DOWN  "\033[B"
#define RIGHT "\033[C"
#define LEFT  "\033OD"
#define HOME  "\033[1~"
#define END   "\033[F"
#define DELETE "\033[3~"

static void test_editing(void)
{
    Hmp *mon;

    open_terminal("");
    mon = hmp_new(chr, NULL);
    expect_shown(BANNER PROMPT);
    expect_typed("echo acd" LEFT LEFT "b", "1:abcd");
    expect_typed("cho x" HOME "e", "1:x");
    expect_typed("cho y\001e\005z", "1:yz");
    expect_typed("echo ab\bc\177d", "1:ad");
    expect_typed("echo abc" LEFT LEFT DELETE, "1:ac");
    expect_typed("echo abc\002\002\004", "1:ac");
    expect_typed("rubbish\025echo u", "1:u");
    expect_typed("echo one two\027three", "2:one three");
    expect_typed("echo keep cut\033b\013", "1:keep");
    expect_typed(" b" HOME "echo" END " c", "2:b c");
    expect_typed("echo x" LEFT RIGHT "y\033[99;5Z\033?", "1:xy");
    expect_typed(UP UP UP, "1:keep");
    expect_typed("\020\020\016\016echo new" UP DOWN, "1:new");
    expect_typed(UP, "1:new");
    expect_typed("ec\t tab", "1:tab");
    hmp_free(mon);
    chr_free(chr);
    close(peer);
}

static void test_completion(void)
{
    Hmp *mon;

    open_terminal("");
    mon = hmp_new(chr, NULL);
    expect_shown(BANNER PROMPT);
    type("sys\t");
    expect_shown("system_");
    type("\t");
    expect_shown("\r\nsystem_powerdown system_reset system_wakeup\r\n" PROMPT
                        "system_");
    type("\025info ech\t");
    g_free(shown());
    expect_typed("", "0:");
    type("zzz\t");
    expect_shown("zzz");
    hmp_free(mon);
    chr_free(chr);
    close(peer);
}

/* --- on a mux ------------------------------------------------------------ */

static size_t always(void *opaque)
{
    return 1000;
}

static void collect(void *opaque, const uint8_t *buf, size_t len)
{
    g_string_append_len(opaque, (const char *)buf, len);
}

static void test_mux(void)
{
    g_autoptr(GString) got = g_string_new(NULL);
    CharFrontend serial = { .can_read = always, .read = collect,
                            .opaque = got };
    Hmp *mon;

    open_terminal(",mux=on");
    chr_attach(&serial, chr, NULL);
    mon = hmp_new(chr, NULL);           /* last, but it keeps back */
    expect_shown("");
    type("root\r");
    run_pending();
    g_assert_cmpstr(got->str, ==, "root\r");
    type("\001c");
    expect_shown(BANNER PROMPT);
    type("echo 1\r\001cls\r");
    expect_shown("echo 1\r\n1:1\r\n" PROMPT "\r\n");
    g_assert_cmpstr(got->str, ==, "root\rls\r");
    type("\001cecho");
    expect_shown("\r\n" PROMPT "echo");
    chr_detach(&serial);
    hmp_free(mon);

    mon = hmp_new(chr, NULL);           /* the other order */
    chr_attach(&serial, chr, NULL);
    expect_shown("");
    type("x");
    run_pending();
    g_assert_cmpstr(got->str, ==, "root\rls\rx");
    hmp_free(mon);
    chr_detach(&serial);
    chr_free(chr);
    close(peer);
}

/* Nobody reads: commands return, memory is bounded, later all is well. */
static void cmd_flood(Hmp *mon, unsigned argc, char **argv)
{
    g_autofree char *text = g_strnfill(MiB, 'f');

    for (int i = 0; i < 10; i++) {
        hmp_puts(mon, text);
    }
}

static const HmpCommand flood = { "flood", "", "print much", 0, 0, cmd_flood };

static void test_stuck_terminal(void)
{
    Hmp *mon;
    size_t total = 0;
    g_autofree char *last = g_strdup("");

    hmp_register(&flood);
    open_terminal("");
    mon = hmp_new(chr, NULL);
    expect_shown(BANNER PROMPT);
    for (int i = 0; i < 50; i++) {
        type("flood\r");
        run_pending();
    }
    for (int i = 0; i < 100000; i++) {
        g_autofree char *text = shown();

        total += strlen(text);
        if (!*text) {
            break;
        }
        g_free(last);
        last = g_steal_pointer(&text);
    }
    g_assert_cmpuint(total, >=, 3 * MiB);
    g_assert_true(g_str_has_suffix(last, PROMPT)
                  || strstr(last, "output cut"));
    type("\recho still here\r");
    {
        g_autofree char *text = shown();

        g_assert_nonnull(strstr(text, "2:still here"));
    }
    hmp_free(mon);
    chr_free(chr);
    close(peer);
}

static void test_quit(void)
{
    open_terminal("");
    g_assert_nonnull(hmp_new(chr, NULL));
    type("quit\recho no\r");
    loop_main_run();
    hmp_flush_all();
    expect_shown(BANNER PROMPT "quit\r\n");
    chr_shutdown();
    close(peer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp/commands", test_commands);
    g_test_add_func("/hmp/expressions", test_expressions);
    g_test_add_func("/hmp/memory", test_memory);
    g_test_add_func("/hmp/terminal", test_terminal);
    g_test_add_func("/hmp/editing", test_editing);
    g_test_add_func("/hmp/completion", test_completion);
    g_test_add_func("/hmp/mux", test_mux);
    g_test_add_func("/hmp/stuck-terminal", test_stuck_terminal);
    g_test_add_func("/hmp/quit", test_quit);
    return g_test_run();
}
