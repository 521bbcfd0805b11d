/*
 * rhea-img: disk images, with qemu-img's commands.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <locale.h>
#include <stdarg.h>

#include "config.h"
#include "img.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
#define COMMAND(name, usage) { #name, img_##name, usage }
    COMMAND(amend, "[--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] "
            "-o options filename"),
    COMMAND(bench, "[-c count] [-d depth] [-f fmt] "
            "[--flush-interval=flush_interval] [-i aio] [-n] [--no-drain] "
            "[-o offset] [--pattern=pattern] [-q] [-s buffer_size] "
            "[-S step_size] [-t cache] [-w] [-U] filename"),
    COMMAND(bitmap, "(--merge SOURCE | --add | --remove | --clear | --enable "
            "| --disable)... [-b source_file [-F source_fmt]] [-g "
            "granularity] [--image-opts | -f fmt] filename bitmap"),
    COMMAND(check, "[--image-opts] [-q] [-f fmt] [--output=ofmt] "
            "[-r [leaks | all]] [-T src_cache] [-U] filename"),
    COMMAND(commit, "[--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-d] "
            "[-p] [-r rate_limit] filename"),
    COMMAND(compare, "[--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] "
            "[-q] [-s] [-U] filename1 filename2"),
    COMMAND(convert, "[--image-opts] [--target-image-opts] "
            "[--target-is-zero] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] "
            "[-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F "
            "backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] "
            "[-m num_coroutines] [-W] [-r rate_limit] [--salvage] filename [filename2 [...]] "
            "output_filename"),
    COMMAND(create, "[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] "
            "[-o options] filename [size]"),
    COMMAND(dd, "[--image-opts] [-U] [-f fmt] [-O output_fmt] "
            "[bs=block_size] [count=blocks] [skip=blocks] if=input "
            "of=output"),
    COMMAND(info, "[--image-opts] [-f fmt] [--output=ofmt] "
            "[--backing-chain] [-U] filename"),
    COMMAND(map, "[--image-opts] [-f fmt] [--start-offset=offset] "
            "[--max-length=len] [--output=ofmt] [-U] filename"),
    COMMAND(measure, "[--output=ofmt] [-O output_fmt] [-o options] [--size N "
            "| [--image-opts] [-f fmt] [-l snapshot_param] filename]"),
    COMMAND(rebase, "[--image-opts] [-q] [-f fmt] [-t cache] [-T src_cache] "
            "[-p] [-u] -b backing_file [-F backing_fmt] filename"),
    COMMAND(resize, "[--image-opts] [-f fmt] [--preallocation=prealloc] [-q] "
            "[--shrink] filename [+ | -]size"),
    COMMAND(snapshot, "[--image-opts] [-U] [-q] [-l | -a snapshot | -c "
            "snapshot | -d snapshot] filename"),
};

/* --- messages ------------------------------------------------------------- */

int img_error(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
    report_error("%s", text);
    return 1;
}

int img_usage(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    report_error("%s", text);
    fprintf(stderr, "Try '%s --help' for more information\n", log_program());
    return 1;
}

static int help(void)
{
    printf("rhea-img version %s\n"
           "usage: %s [standard options] command [command options]\n"
           "Disk images: qemu-img's commands, options and output.\n\n"
           "    '-h', '--help'       display this help and exit\n"
           "    '-V', '--version'    output version information and exit\n\n"
           "Command syntax:\n", RHEA_VERSION, log_program());
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        printf("  %s %s\n", commands[i].name, commands[i].usage);
    }
    printf("\nSupported formats:");
    for (unsigned i = 0; block_drivers[i]; i++) {
        if (!block_drivers[i]->protocol
            && block_drivers[i] != block_driver_find("overlay")) {
            printf(" %s", block_drivers[i]->name);
        }
    }
    printf("\n");
    exit(0);
}

/* --- options -------------------------------------------------------------- */

int img_getopt(int argc, char **argv, const char *letters,
               const struct option *words)
{
    g_autofree char *all = g_strconcat(":h", letters, NULL);
    int c = getopt_long(argc, argv, all, words, NULL);

    if (c == ':') {
        img_usage("missing argument for option '%s'", argv[optind - 1]);
        return '?';
    }
    if (c == '?') {
        img_usage("unrecognized option '%s'", argv[optind - 1]);
        return '?';
    }
    if (c == 'h') {
        help();
    }
    return c;
}

bool img_is_json(const char *output, bool *json)
{
    *json = output && !strcmp(output, "json");
    if (output && !*json && strcmp(output, "human")) {
        img_error("--output must be used with human or json as argument.");
        return false;
    }
    return true;
}

bool img_parse_size(const char *text, const char *what, uint64_t *bytes)
{
    if (!parse_size(text, 1, bytes)) {
        img_error("Invalid %s specified! You may use k, M, G, T, P or E "
                  "suffixes for kilobytes, megabytes, gigabytes, terabytes, "
                  "petabytes and exabytes.", what);
        return false;
    }
    return true;
}

bool img_add_options(Opt *dict, const char *list)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(list, NULL, NULL, &err);

    if (!o) {
        img_error("Invalid option list: %s", list);
        return false;
    }
    for (unsigned i = 0; i < opt_len(o); i++) {
        opt_put(dict, opt_key_at(o, i), opt_copy(opt_at(o, i)));
    }
    return true;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    int status = -1;

    setlocale(LC_CTYPE, "");
    log_set_program(argv[0]);
    if (!block_init(&err)) {
        img_error("%s", err->message);
        return 1;
    }
    if (argc < 2) {
        return img_usage("Not enough arguments");
    }
    if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
        return help();
    }
    if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
        printf("rhea-img version %s\n", RHEA_VERSION);
        return 0;
    }
    if (argv[1][0] == '-') {
        return img_usage("unrecognized option '%s'", argv[1]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands) && status < 0; i++) {
        if (!strcmp(commands[i].name, argv[1])) {
            machine_lock();
            status = commands[i].run(argc - 1, argv + 1);
            machine_unlock();
        }
    }
    if (status < 0) {
        return img_usage("Command not found: %s", argv[1]);
    }
    if (fflush(stdout) || ferror(stdout)) {
        status = status ? status : 1;
    }
    return status;
}
