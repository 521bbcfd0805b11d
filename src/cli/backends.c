/*
 * Character devices by the command line: -chardev, then serial ports, debug
 * console and monitors in their short forms, with QEMU's defaults.
 *
 *                        serial 0       monitor
 *   -nographic           mon:stdio, shared (C-a c switches)
 *     and -serial        as given       stdio, unless one is "mon:..."
 *     and -monitor       stdio          as given
 *   otherwise            a port that goes nowhere, and no monitor
 *   -nodefaults          none           none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

#include "base/log.h"
#include "chardev/chardev.h"
#include "qmp/hmp.h"

static GPtrArray *serials;      /* of Chardev *, NULL for "none" */
static GPtrArray *monitors;     /* of Chardev * that want a monitor */

/* QEMU's text consoles need a display; what they would show is lost. */
static const char *without_vc(const char *text)
{
    return strcmp(text, "vc") == 0 || g_str_has_prefix(text, "vc:") ? "null"
                                                                    : text;
}

/* A short form; "mon:x" puts a monitor on it as well. */
static bool short_form(const char *text, const char *id, Chardev **chr,
                       GError **err)
{
    *chr = NULL;
    if (!chr_new_from_short(without_vc(text), id, chr, err)) {
        return false;
    }
    if (g_str_has_prefix(text, "mon:") && *chr) {
        g_ptr_array_add(monitors, *chr);
    }
    return true;
}

static bool setup_chardevs(Options *o, GError **err)
{
    Opt *list = options_get(o, "chardev");
    const char *echr = options_string(o, "echr");
    uint64_t code;

    if (echr) {
        if (!parse_uint(echr, &code) || code > 255) {
            return options_fail(err, "-echr %s: a character code from 0 to "
                                "255 expected", echr);
        }
        chr_escape = code;
    }
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        Opt *dict = opt_at(list, i);

        if ((!opt_has(dict, "id")
             && !options_fail(err, "chardev: no id specified"))
            || !chr_new(dict, err)) {
            return options_at(o, dict, err);
        }
    }
    return true;
}

static bool add_serial(const char *text, const Opt *where, Options *o,
                       GError **err)
{
    g_autofree char *id = g_strdup_printf("serial%u", serials->len);
    Chardev *chr;

    if (!short_form(text, id, &chr, err)) {
        return options_at(o, where, err);
    }
    g_ptr_array_add(serials, chr);
    return true;
}

/* Ports that -device adds replace the default one. */
static bool user_adds_serial(Options *o)
{
    Opt *list = options_get(o, "device");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        const Opt *driver = opt_peek(opt_at(list, i), "driver");
        const char *name = driver ? opt_string(driver) : NULL;

        if (name && strcmp(name, "isa-serial") == 0) {
            return true;
        }
    }
    return false;
}

static bool is_none(const char *text)
{
    return strcmp(text, "none") == 0;
}

static bool add_monitor(const char *text, const Opt *where, Options *o,
                        GError **err)
{
    g_autofree char *id = g_strdup_printf("compat_monitor%u", monitors->len);
    Chardev *chr;

    if (is_none(text)) {
        return true;
    }
    if (!short_form(text, id, &chr, err)) {
        return options_at(o, where, err);
    }
    if (chr && !g_str_has_prefix(text, "mon:")) {
        g_ptr_array_add(monitors, chr);
    }
    return true;
}

/* -mon [chardev=]id,mode=readline */
static bool add_mon(Options *o, Opt *dict, GError **err)
{
    static const char *const modes[] = { "readline", "control", NULL };
    const char *id = NULL, *name = NULL;
    bool pretty = false;
    int mode = 0;
    Chardev *chr;

    if (!opt_get_string(dict, "chardev", &id, err)
        || !opt_get_string(dict, "id", &name, err)
        || !opt_get_bool(dict, "pretty", &pretty, err)
        || !opt_get_enum(dict, "mode", modes, &mode, err)
        || !opt_all_read(dict, "-mon", NULL, err)) {
        return false;
    }
    if (mode == 1) {
        return options_fail(err, "mode=control is not implemented yet");
    }
    if (!id) {
        return options_fail(err, "parameter 'chardev' is missing");
    }
    chr = chr_find(id);
    if (!chr) {
        return options_fail(err, "chardev \"%s\" not found", id);
    }
    g_ptr_array_add(monitors, chr);
    return true;
}

static bool setup_monitors(Options *o, bool by_default, GError **err)
{
    Opt *list = options_get(o, "monitor");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        const Opt *text = opt_at(list, i);

        if (!add_monitor(opt_string(text), text, o, err)) {
            return false;
        }
    }
    list = options_get(o, "mon");
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        if (!add_mon(o, opt_at(list, i), err)) {
            return options_at(o, opt_at(list, i), err);
        }
    }
    return !by_default || add_monitor("stdio", NULL, o, err);
}

/* What is sugar for a device with a chardev: one for each time it is given. */
typedef struct {
    const char *option, *driver;
} PortOption;

static bool add_port(Options *o, const PortOption *port, unsigned n,
                     const Opt *text, GError **err)
{
    static const OptionRow device = {
        .name = "device", .kind = OPTION_ADD_DICT, .path = "device"
    };
    g_autofree char *id = g_strdup_printf("%s%u", port->option, n);
    g_autofree char *where = g_strdup_printf("-%s %s", port->option,
                                             opt_string(text));
    Chardev *chr;
    Opt *dict;

    if (!short_form(opt_string(text), id, &chr, err)) {
        return options_at(o, text, err);
    }
    if (!chr) {
        return true;            /* "mon:none" */
    }
    dict = opt_new_dict();
    opt_put(dict, "driver", opt_new_string(port->driver));
    opt_put(dict, "chardev", opt_new_string(chr_id(chr)));
    return options_apply_dict(o, &device, dict, where, err);
}

static bool setup_ports(Options *o, GError **err)
{
    static const PortOption ports[] = {
        { "debugcon", "isa-debugcon" },
        { "parallel", "isa-parallel" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        Opt *list = options_get(o, ports[i].option);

        for (unsigned n = 0; list && n < opt_len(list); n++) {
            const Opt *text = opt_at(list, n);

            if (!is_none(opt_string(text))
                && !add_port(o, &ports[i], n, text, err)) {
                return false;
            }
        }
    }
    return true;
}

static void quit_by_key(void)
{
    machine_request_shutdown(SHUTDOWN_HOST_QUIT);
}

bool backends_setup(Options *o, GError **err)
{
    Opt *list = options_get(o, "serial");
    bool nodefaults = options_flag(o, "nodefaults");
    bool nographic = options_flag(o, "nographic");
    bool own_serial = list || user_adds_serial(o);
    bool own_monitor = options_get(o, "monitor") || options_get(o, "mon");
    bool both;

    serials = g_ptr_array_new();
    monitors = g_ptr_array_new();
    chr_mux_quit = quit_by_key;
    if (!setup_chardevs(o, err)) {
        return false;
    }
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        const Opt *text = opt_at(list, i);

        own_monitor |= g_str_has_prefix(opt_string(text), "mon:");
        if (!add_serial(opt_string(text), text, o, err)) {
            return false;
        }
    }
    both = nographic && !own_serial && !own_monitor && !nodefaults;
    if (!own_serial && !nodefaults
        && !add_serial(both ? "mon:stdio" : nographic ? "stdio" : "null",
                       NULL, o, err)) {
        return false;
    }
    return setup_monitors(o, nographic && !own_monitor && !nodefaults && !both,
                          err)
        && setup_ports(o, err);
}

void backends_give_serials(Machine *m)
{
    for (unsigned i = 0; i < serials->len; i++) {
        g_ptr_array_add(m->serials, serials->pdata[i]);
    }
}

bool monitors_setup(Options *o, GError **err)
{
    hmp_cpu_register();
    hmp_display_register();
    hmp_block_register();
    for (unsigned i = 0; i < monitors->len; i++) {
        if (!hmp_new(monitors->pdata[i], err)) {
            return false;
        }
    }
    return true;
}
