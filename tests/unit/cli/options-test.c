/*
 * argv and config files into the option tree.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

/* A command line in; the tree as JSON, or the message, out. */
static char *parse(const char *line, Options **keep)
{
    g_autoptr(GError) err = NULL;
    Options *o = options_new();
    g_auto(GStrv) argv = NULL;
    g_autofree char *whole = g_strdup_printf("rhea %s", line);
    GString *out = g_string_new(NULL);
    int argc;

    g_assert_true(g_shell_parse_argv(whole, &argc, &argv, NULL));
    if (options_parse(o, argc, argv, &err)) {
        opt_to_json(o->tree, out);
    } else {
        g_string_append(out, err->message);
    }
    if (keep) {
        *keep = o;
    } else {
        options_free(o);
    }
    return g_string_free(out, FALSE);
}

static void test_tree(void)
{
    static const struct { const char *line, *out; } cases[] = {
        { "", "{}" },
        { "-M pc", "{\"machine\": {\"type\": \"pc\"}}" },
        { "--machine pc,accel=kvm:tcg -m 2G -smp 4,cores=2",
          "{\"machine\": {\"type\": \"pc\", \"accel\": \"kvm:tcg\", "
          "\"memory\": {\"size\": \"2G\"}, "
          "\"smp\": {\"cpus\": \"4\", \"cores\": \"2\"}}}" },
        { "-smp 4 -smp cores=2 -smp 8",
          "{\"machine\": {\"smp\": {\"cpus\": \"8\", \"cores\": \"2\"}}}" },
        { "-M smp.cpus=4 -M pc -smp threads=2",
          "{\"machine\": {\"smp\": {\"cpus\": \"4\", \"threads\": \"2\"}, "
          "\"type\": \"pc\"}}" },
        { "-accel kvm -accel tcg,thread=single",
          "{\"accel\": [{\"accel\": \"kvm\"}, {\"accel\": \"tcg\", "
          "\"thread\": \"single\"}]}" },
        { "-enable-kvm -no-reboot -no-shutdown -S -nographic",
          "{\"machine\": {\"accel\": \"kvm\"}, \"action\": {\"reboot\": "
          "\"shutdown\", \"shutdown\": \"pause\"}, \"S\": \"on\", "
          "\"nographic\": \"on\"}" },
        { "-serial stdio -serial none -monitor none",
          "{\"serial\": [\"stdio\", \"none\"], \"monitor\": [\"none\"]}" },
        { "-kernel k -initrd i -append 'console=ttyS0 a,b' -bios f -dtb d",
          "{\"machine\": {\"kernel\": \"k\", \"initrd\": \"i\", "
          "\"append\": \"console=ttyS0 a,b\", \"firmware\": \"f\", "
          "\"dtb\": \"d\"}}" },
        { "-device e1000,id=n,,x -device '{\"driver\": \"a\", \"n\": 1}'",
          "{\"device\": [{\"driver\": \"e1000\", \"id\": \"n,x\"}, "
          "{\"driver\": \"a\", \"n\": 1}]}" },
        { "-chardev socket,id=c,path=/x,server,nowait",
          "{\"chardev\": [{\"backend\": \"socket\", \"id\": \"c\", "
          "\"path\": \"/x\", \"server\": \"on\", \"wait\": \"off\"}]}" },
        { "-global isa-debug-exit.iobase=0x501",
          "{\"global\": [{\"driver\": \"isa-debug-exit\", \"property\": "
          "\"iobase\", \"value\": \"0x501\"}]}" },
        { "-global driver=a,property=b,value=c",
          "{\"global\": [{\"driver\": \"a\", \"property\": \"b\", "
          "\"value\": \"c\"}]}" },
        { "-no-hpet -no-acpi",
          "{\"machine\": {\"hpet\": \"off\", \"acpi\": \"off\"}}" },
        { "-name x,process=y -rtc base=utc,clock=vm -boot d",
          "{\"name\": {\"guest\": \"x\", \"process\": \"y\"}, \"rtc\": "
          "{\"base\": \"utc\", \"clock\": \"vm\"}, \"machine\": {\"boot\": "
          "{\"order\": \"d\"}}}" },
        { "-no-user-config -k de -qmp none", "{}" },
        { "disk.img", "{\"drive\": [{\"index\": \"0\", "
          "\"media\": \"disk\", \"file\": \"disk.img\"}]}" },
        { "-drive file=x", "{\"drive\": [{\"file\": \"x\"}]}" },
        /* wrong */
        { "-foo", "-foo: invalid option; see -help" },
        { "-kernal k", "-kernal: invalid option; did you mean -kernel?" },
        { "--nograpic", "--nograpic: invalid option; did you mean "
          "-nographic?" },
        { "-m", "-m: requires an argument" },
        { "-usb", "-usb: not implemented yet" },
        { "-no-kvm", "-no-kvm: no longer an option; write -accel tcg" },
        { "-redir x", "-redir x: no longer an option; write -nic "
          "user,hostfwd=..." },
        { "-global x", "-global x: driver.property=value expected" },
        { "-device '{\"driver\"'", "-device {\"driver\": JSON: ':' expected "
          "at character 10" },
        { "-M smp=4 -smp 4", "-smp 4: 'machine.smp' was given as a plain "
          "value before" },
        { "-smp 4 -M smp=4", "-M smp=4: parameter 'smp' is given both with "
          "and without a dotted part" },
        { "-M accel.x=1 -M accel=y", "-M accel=y: parameter 'accel' is given "
          "both with and without a dotted part" },
        { "-qmp stdio", "-qmp stdio: only 'none' is implemented yet" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *out = parse(cases[i].line, NULL);

        g_assert_cmpstr(out, ==, cases[i].out);
    }
}

static void test_where(void)
{
    g_autoptr(Options) o = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = parse("-device a -device e1000,foo=1 -smp 4 "
                                 "-smp cores=3", &o);
    Opt *second = opt_at(options_get(o, "device"), 1);

    options_fail(&err, "x");
    g_assert_false(options_at(o, second, &err));
    g_assert_cmpstr(err->message, ==, "-device e1000,foo=1: x");
    g_clear_error(&err);
    options_fail(&err, "x");
    options_at(o, options_get(o, "machine.smp"), &err);
    g_assert_cmpstr(err->message, ==, "-smp cores=3: x");
    g_clear_error(&err);
    options_fail(&err, "x");
    options_at(o, NULL, &err);
    g_assert_cmpstr(err->message, ==, "x");
}

static void test_probes(void)
{
    static const struct { const char *line, *row; } cases[] = {
        { "-M help", "machine" }, { "-M pc,?", "machine" },
        { "-accel help", "accel" }, { "-M none -cpu help", "cpu" },
        { "-device help", "device" }, { "-device e1000,help", "device" },
        { "-netdev help", "netdev" }, { "-d help", "d" },
        { "-trace help", "trace" }, { "-cpu help -device help", "cpu" },
        { "-kernel help", NULL }, { "-append help", NULL },
        { "-cpu host", NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) o = NULL;
        g_autofree char *out = parse(cases[i].line, &o);

        g_assert_cmpint(o->probes->len > 0, ==, cases[i].row != NULL);
        if (cases[i].row) {
            g_assert_cmpstr(g_array_index(o->probes, Probe, 0).row->name, ==,
                            cases[i].row);
        }
    }
}

static void test_readconfig(void)
{
    static const struct { const char *text, *out; } cases[] = {
        { "", "{}" },
        { "# c\n\n  [device \"n0\"]\n  driver = \"e1000\"\n addr=\"05.1\"\n",
          "{\"device\": [{\"id\": \"n0\", \"driver\": \"e1000\", "
          "\"addr\": \"05.1\"}]}" },
        { "[machine]\ntype = \"pc\"\naccel = \"kvm\"\n[memory]\n"
          "size = \"1G\"\n[smp-opts]\ncpus = \"4\"\n",
          "{\"machine\": {\"type\": \"pc\", \"accel\": \"kvm\", \"memory\": "
          "{\"size\": \"1G\"}, \"smp\": {\"cpus\": \"4\"}}}" },
        { "[global]\ndriver=\"a\"\nproperty=\"b\"\nvalue=\"c,=\"\n",
          "{\"global\": [{\"driver\": \"a\", \"property\": \"b\", "
          "\"value\": \"c,=\"}]}" },
        { "x = \"1\"", "f:1: no group defined" },
        { "\n[nope]", "f:2: there is no option group 'nope'" },
        { "[device", "f:1: ']' expected at the end of the line" },
        { "[device \"a]", "f:1: the group's id must be in quotes" },
        { "[device \"a\"]\nfoo\n",
          "f:2: parse error: key = \"value\" expected" },
        { "[device]\nfoo = 1\n",
          "f:2: parse error: key = \"value\" expected" },
        { "[netdev]\n", "f:1: [netdev]: not implemented yet" },
        { "[kernel]\n", "f:1: there is no option group 'kernel'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Options) o = options_new();
        g_autoptr(GError) err = NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        if (readconfig_text(o, "f", cases[i].text, &err)) {
            opt_to_json(o->tree, out);
        } else {
            g_string_append(out, err->message);
        }
        g_assert_cmpstr(out->str, ==, cases[i].out);
    }
}

/* Rows that contradict themselves would only show when somebody uses them. */
static void test_table(void)
{
    for (const OptionRow *row = option_rows; row->name; row++) {
        g_test_message("-%s", row->name);
        g_assert_true(option_row_find(row->name) == row);
        if (row->alias) {
            g_assert_true(option_row_find(row->alias) == row);
        }
        switch (row->kind) {
        case OPTION_SET:
            g_assert_true(row->path && (row->has_arg || row->value));
            break;
        case OPTION_ADD:
        case OPTION_MERGE:
        case OPTION_ADD_DICT:
            g_assert_true(row->path && row->has_arg);
            break;
        case OPTION_CALL:
            g_assert_nonnull(row->fn);
            break;
        case OPTION_REMOVED:
            g_assert_nonnull(row->value);
            break;
        default:
            break;
        }
        g_assert_false(row->help && g_str_has_suffix(row->help, "."));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/tree", test_tree);
    g_test_add_func("/options/where", test_where);
    g_test_add_func("/options/probes", test_probes);
    g_test_add_func("/options/readconfig", test_readconfig);
    g_test_add_func("/options/table", test_table);
    return g_test_run();
}
