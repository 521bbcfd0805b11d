/*
 * The monitor's commands about what can be seen.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

#include "hw/display/display.h"
#include "qmp/hmp.h"

/* screendump FILE [-f FORMAT] [DEVICE [HEAD]], as QEMU has it. */
static void do_screendump(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    const char *file = NULL, *format = NULL;

    for (unsigned i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-f") && i + 1 < argc) {
            format = argv[++i];
        } else if (!file) {
            file = argv[i];
        }
    }
    if (!file) {
        hmp_puts(mon, "Error: a file name is wanted\n");
    } else if (!display_dump(file, format, &err)) {
        hmp_printf(mon, "Error: %s\n", err->message);
    }
}

static void info_screen(Hmp *mon, unsigned argc, char **argv)
{
    g_autofree char *text = display_text();

    hmp_puts(mon, text ? text : "no text mode is on display\n");
}

void hmp_display_register(void)
{
    static const HmpCommand screendump = {
        "screendump", "filename [-f ppm|png]",
        "save what the display shows as a picture", 1, 5, do_screendump
    };
    static const HmpCommand screen = {
        "screen", "", "show the text on the display", 0, 0, info_screen
    };

    hmp_register(&screendump);
    hmp_register_info(&screen);
}
