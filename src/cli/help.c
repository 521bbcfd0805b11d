/*
 * -version, -help, and the manual's page, all from the table.
 *
 * Launchers parse the first line of both outputs, and look for lines that
 * start with an option's name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config.h"

static const char version_line[] =
    "QEMU emulator version " RHEA_QEMU_VERSION " (Rhea " RHEA_VERSION ")\n";

void help_print_version(void)
{
    fputs(version_line, stdout);
    fputs("Rhea is a virtual machine monitor of its own that takes QEMU's "
          "command line.\nIt shares no code with QEMU; the line above is what "
          "QEMU's launchers look for.\n", stdout);
}

/* Column 16, as in QEMU's help. */
static void print_row(const OptionRow *row)
{
    g_auto(GStrv) lines = g_strsplit(row->help, "\n", -1);
    int n;

    if (row->alias && strlen(row->alias) == 1 && !row->has_arg) {
        n = printf("-%s or -%s", row->alias, row->name);
    } else {
        n = printf("-%s%s%s", row->name, row->args ? " " : "",
                   row->args ? row->args : "");
    }
    if (n >= 16) {
        putchar('\n');
        n = 0;
    }
    for (unsigned i = 0; lines[i]; i++) {
        printf("%*s%s\n", 16 - n, "", lines[i]);
        n = 0;
    }
    if (row->alias && row->has_arg) {
        printf("-%s %s\n%16sthe same as -%s\n", row->alias, row->args, "",
               row->name);
    }
}

void help_print(void)
{
    fputs(version_line, stdout);
    printf("Rhea, a virtual machine monitor for x86 PCs that takes QEMU's "
           "command line.\n"
           "It runs guests on /dev/kvm where that works and on its own "
           "emulator where it\ndoes not.  It shares no code with QEMU.\n\n"
           "usage: %s [options]\n", log_program());
    for (int s = 0; s < SECTION_N; s++) {
        bool headed = false;

        for (const OptionRow *row = option_rows; row->name; row++) {
            if ((int)row->section != s || !row->help) {
                continue;
            }
            if (!headed) {
                printf("\n%s:\n", option_sections[s]);
                headed = true;
            }
            print_row(row);
        }
    }
    printf("\nOptions may also be written --option.  In values, ',,' is a "
           "comma.\nWith -nographic, press 'ctrl-a h' to get some help.\n");
}

/* --- the manual ---------------------------------------------------------- */

/* `text` on one line. */
static void append_flat(GString *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            if (out->str[out->len - 1] != ',') {
                g_string_append_c(out, ' ');
            }
            text += strspn(text, "\n ") - 1;
            continue;
        }
        g_string_append_c(out, *text);
    }
}

static void append_code(GString *out, const char *name, const char *args)
{
    g_string_append_printf(out, "`-%s", name);
    if (args) {
        g_string_append_c(out, ' ');
        append_flat(out, args);
    }
    g_string_append_c(out, '`');
}

/* Names of the rows of a kind, as one paragraph. */
static void append_names(GString *out, OptionKind kind)
{
    const char *sep = "";

    for (const OptionRow *row = option_rows; row->name; row++) {
        if (row->kind == kind) {
            g_string_append_printf(out, "%s`-%s`", sep, row->name);
            sep = ",\n";
            if (kind == OPTION_REMOVED) {
                g_string_append_printf(out, " (%s)", row->value);
            }
        }
    }
    g_string_append(out, ".\n");
}

void help_print_manual(GString *out)
{
    g_string_append(out,
        "# Command line\n\n"
        "<!-- Made from src/cli/table.c by the test `cli-manual`; do not "
        "edit:\n     RHEA_UPDATE=1 meson test -C build cli-manual -->\n\n"
        "Options are QEMU's: `-option` or `--option`, values as "
        "`key=value,key=value`,\nwhere `,,` stands for a comma, `key` alone "
        "for `key=on`, `nokey` for `key=off`,\n`a.b=c` for a nested value and "
        "`a.0=x,a.1=y` for a list.  A value that starts\nwith `{` is JSON.  "
        "Sizes are `512`, `4k`, `2G`.  `help` or `?` as a value lists\nwhat is "
        "accepted.\n");
    for (int s = 0; s < SECTION_N; s++) {
        bool headed = false;

        for (const OptionRow *row = option_rows; row->name; row++) {
            if ((int)row->section != s || !row->help) {
                continue;
            }
            if (!headed) {
                g_string_append_printf(out, "\n## %s\n\n",
                                       option_sections[s]);
                headed = true;
            }
            g_string_append(out, "- ");
            append_code(out, row->name, row->args);
            if (row->alias) {
                g_string_append(out, ", ");
                append_code(out, row->alias, NULL);
            }
            g_string_append(out, ":\n  ");
            append_flat(out, row->help);
            g_string_append(out, ".\n");
        }
    }
    g_string_append(out, "\n## Not implemented yet\n\n"
                    "These fail with a message that says so:\n");
    append_names(out, OPTION_NOT_YET);
    g_string_append(out, "\n## Removed\n\n"
                    "QEMU dropped these; the message says what to write:\n");
    append_names(out, OPTION_REMOVED);
}
