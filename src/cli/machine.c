/*
 * The machine by the command line: its type, processors, kernel, what
 * it does on reset and power-off, its clock; then the accelerator and the
 * board.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "cpu/cpu.h"
#include "hw/acpi/smbios.h"
#include "hw/acpi/user-tables.h"
#include "hw/boot/boot.h"
#include "hw/nvram/fw_cfg.h"
#include "loop/timer.h"

/* --- type ---------------------------------------------------------------- */

static const MachineType *default_type(void)
{
    return machine_type_find("pc");
}

static const MachineType *find_type(const char *name, GError **err)
{
    const MachineType *t = name ? machine_type_find(name) : default_type();
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GPtrArray) names = NULL;
    const char *near;

    if (t) {
        if (t->deprecated) {
            warn("machine type '%s' is deprecated", t->name);
        }
        return t;
    }
    if (!name) {
        options_fail(err, "no machine specified, and there is no default");
        return NULL;
    }
    list = machine_type_list();
    names = g_ptr_array_new();
    for (unsigned i = 0; i < list->len; i++) {
        const MachineType *known = list->pdata[i];

        g_ptr_array_add(names, (gpointer)known->name);
        if (known->alias) {
            g_ptr_array_add(names, (gpointer)known->alias);
        }
    }
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    options_fail(err, "unsupported machine type '%s'%s%s%s; "
                 "-machine help lists them", name,
                 near ? "; did you mean '" : "", near ? near : "",
                 near ? "'?" : "");
    return NULL;
}

/* "pc-i440fx-6.1" and before laid processors out by sockets. */
static bool fills_sockets_first(const MachineType *t)
{
    const char *version = strrchr(t->name, '-');
    unsigned major, minor;

    return version && sscanf(version, "-%u.%u", &major, &minor) == 2
        && (major < 6 || (major == 6 && minor <= 1));
}

/* --- processors ---------------------------------------------------------- */

static bool setup_smp(Options *o, Machine *m, GError **err)
{
    Opt *smp = options_dict(o, "machine.smp");

    if (!smp_resolve(smp, fills_sockets_first(m->type), &m->topo, err)) {
        return options_at(o, smp, err);
    }
    if (m->topo.maxcpus > m->type->max_cpus) {
        options_fail(err, "Invalid SMP CPUs %u. The max CPUs supported by "
                     "machine '%s' is %u", m->topo.maxcpus, m->type->name,
                     m->type->max_cpus);
        return options_at(o, smp, err);
    }
    return true;
}

/* --- kernel, firmware ---------------------------------------------------- */

static bool check_order(const char *order, GError **err)
{
    for (const char *c = order; c && *c; c++) {
        if (*c < 'a' || *c > 'p') {
            return options_fail(err, "-boot: Invalid boot device '%c'; "
                                "accepted: a to p (c disk, d CD-ROM, "
                                "n network)", *c);
        }
        if (strchr(c + 1, *c)) {
            return options_fail(err, "-boot: Boot device '%c' was given "
                                "twice", *c);
        }
    }
    return true;
}

/* -1, where it is taken, stands for "not at all". */
static bool take_ms(Opt *boot, const char *key, int64_t *ms, GError **err)
{
    if (!opt_get_int(boot, key, ms, err)) {
        return false;
    }
    return (*ms >= -1 && *ms <= 0xffff)
           || options_fail(err, "-boot: parameter '%s' expects milliseconds "
                           "from 0 to 65535, not %" PRIi64, key, *ms);
}

static bool setup_boot(Options *o, Machine *m, GError **err)
{
    Opt *boot = options_dict(o, "machine.boot");
    const char *order = NULL, *once = NULL, *splash = NULL;

    if (!opt_get_string(boot, "order", &order, err)
        || !opt_get_string(boot, "once", &once, err)
        || !opt_get_string(boot, "splash", &splash, err)
        || !take_ms(boot, "splash-time", &boot_options.splash_ms, err)
        || !take_ms(boot, "reboot-timeout", &boot_options.reboot_ms, err)
        || !opt_get_bool(boot, "menu", &m->boot_menu, err)
        || !opt_get_bool(boot, "strict", &boot_options.strict, err)
        || !opt_all_read(boot, "-boot", NULL, err)) {
        return options_at(o, boot, err);
    }
    if (!check_order(order, err) || !check_order(once, err)) {
        return false;
    }
    m->boot_order = g_strdup(order);
    boot_options.once = g_strdup(once);
    return true;
}

/* -L: the first folder that has it; else as it was written. */
static char *find_firmware(Options *o, const char *name)
{
    Opt *dirs = options_get(o, "data-dirs");

    if (strchr(name, '/') || g_file_test(name, G_FILE_TEST_EXISTS)) {
        return g_strdup(name);
    }
    for (unsigned i = 0; dirs && i < opt_len(dirs); i++) {
        g_autofree char *path =
            g_build_filename(opt_string(opt_at(dirs, i)), name, NULL);

        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            return g_steal_pointer(&path);
        }
    }
    return g_strdup(name);
}

static bool setup_fw_cfg(Options *o, GError **err)
{
    Opt *files = options_get(o, "fw_cfg");

    for (unsigned i = 0; files && i < opt_len(files); i++) {
        if (!fw_cfg_add_option(opt_at(files, i), err)) {
            return options_at(o, opt_at(files, i), err);
        }
    }
    return true;
}

/* Options that may be given often: add() takes each. */
static bool setup_each(Options *o, const char *option,
                       bool (*add)(Opt *dict, GError **err), GError **err)
{
    Opt *list = options_get(o, option);

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        if (!add(opt_at(list, i), err)) {
            return options_at(o, opt_at(list, i), err);
        }
    }
    return true;
}

static bool setup_kernel(Options *o, Machine *m, GError **err)
{
    static const char *const keys[] = { "initrd", "append", "dtb" };
    const char *firmware = options_string(o, "machine.firmware");
    Opt *dirs = options_get(o, "data-dirs");

    m->kernel = g_strdup(options_string(o, "machine.kernel"));
    m->initrd = g_strdup(options_string(o, "machine.initrd"));
    m->append = g_strdup(options_string(o, "machine.append"));
    m->dtb = g_strdup(options_string(o, "machine.dtb"));
    m->firmware = firmware ? find_firmware(o, firmware) : NULL;
    for (unsigned i = 0; !m->kernel && i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *path = g_strdup_printf("machine.%s", keys[i]);

        if (options_get(o, path)) {
            return options_fail(err, "-%s only allowed with -kernel option",
                                keys[i]);
        }
    }
    for (unsigned i = 0; dirs && i < opt_len(dirs); i++) {
        boot_add_data_folder(opt_string(opt_at(dirs, i)));
    }
    return setup_fw_cfg(o, err)
           && setup_each(o, "smbios", smbios_add_option, err)
           && setup_each(o, "acpitable", acpi_user_table_add, err)
           && setup_each(o, "option-rom", boot_add_option_rom, err)
           && setup_boot(o, m, err);
}

/* --- what to do when the guest stops ------------------------------------- */

static bool setup_actions(Options *o, Machine *m, GError **err)
{
    static const char *const reboots[] = { "reset", "shutdown", NULL };
    static const char *const shutdowns[] = { "poweroff", "pause", NULL };
    static const char *const panics[] = {
        [PANIC_SHUTDOWN] = "shutdown", [PANIC_PAUSE] = "pause",
        [PANIC_EXIT_FAILURE] = "exit-failure", [PANIC_NONE] = "none", NULL
    };
    static const char *const watchdogs[] = {
        "reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug",
        "none", NULL
    };
    Opt *action = options_dict(o, "action");
    int reboot = 0, shutdown = 0, panic = PANIC_SHUTDOWN, watchdog = 0;

    if (!opt_get_enum(action, "reboot", reboots, &reboot, err)
        || !opt_get_enum(action, "shutdown", shutdowns, &shutdown, err)
        || !opt_get_enum(action, "panic", panics, &panic, err)
        || !opt_get_enum(action, "watchdog", watchdogs, &watchdog, err)
        || !opt_all_read(action, "-action", NULL, err)) {
        return options_at(o, action, err);
    }
    m->no_reboot = reboot == 1;
    m->no_shutdown = shutdown == 1;
    m->on_panic = panic;
    return true;
}

/* --- clock --------------------------------------------------------------- */

/* "2006-06-17T16:01:21" or "2006-06-17", in UTC. */
static bool parse_datetime(const char *s, int64_t *ns)
{
    struct tm tm = { 0 };
    const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t t;

    if (!end || *end) {
        memset(&tm, 0, sizeof(tm));
        end = strptime(s, "%Y-%m-%d", &tm);
    }
    if (!end || *end) {
        return false;
    }
    t = timegm(&tm);
    return !__builtin_mul_overflow((int64_t)t, INT64_C(1000000000), ns);
}

static bool setup_rtc(Options *o, GError **err)
{
    static const char *const clocks[] = {
        [RTC_FROM_HOST] = "host", [RTC_FROM_MONOTONIC] = "rt",
        [RTC_FROM_VIRTUAL] = "vm", NULL
    };
    static const char *const drifts[] = { "none", "slew", NULL };
    Opt *rtc = options_dict(o, "rtc");
    int source = RTC_FROM_HOST, drift = 0;
    const char *base = "utc";
    int64_t now_ns = g_get_real_time() * 1000;

    if (!opt_get_string(rtc, "base", &base, err)
        || !opt_get_enum(rtc, "clock", clocks, &source, err)
        || !opt_get_enum(rtc, "driftfix", drifts, &drift, err)
        || !opt_all_read(rtc, "-rtc", NULL, err)) {
        return options_at(o, rtc, err);
    }
    if (strcmp(base, "localtime") == 0) {
        time_t t = now_ns / 1000000000;
        struct tm tm;

        localtime_r(&t, &tm);
        now_ns += tm.tm_gmtoff * INT64_C(1000000000);
    } else if (strcmp(base, "utc") != 0 && !parse_datetime(base, &now_ns)) {
        options_fail(err, "parameter 'base' expects utc, localtime or a date "
                     "such as '2006-06-17T16:01:21' or '2006-06-17', not '%s'",
                     base);
        return options_at(o, rtc, err);
    }
    clock_set_rtc(source, now_ns);
    if (drift == 1) {
        const Type *t = type_find("mc146818rtc");

        if (t && prop_find(t, "lost_tick_policy")) {
            prop_add_global("mc146818rtc", "lost_tick_policy", "slew", false);
        }
    }
    return true;
}

/* --- identity ------------------------------------------------------------ */

static bool parse_uuid(const char *s, uint8_t uuid[16])
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    unsigned n = 0;

    if (strlen(s) != sizeof(form) - 1) {
        return false;
    }
    for (unsigned i = 0; form[i]; i++) {
        int digit = g_ascii_xdigit_value(s[i]);

        if (form[i] == '-' ? s[i] != '-' : digit < 0) {
            return false;
        }
        if (form[i] == 'x') {
            uuid[n / 2] = uuid[n / 2] << 4 | digit;
            n++;
        }
    }
    return true;
}

static bool setup_identity(Options *o, Machine *m, GError **err)
{
    const char *uuid = options_string(o, "uuid");

    m->name = g_strdup(options_string(o, "name.guest"));
    if (uuid && !parse_uuid(uuid, m->uuid)) {
        return options_fail(err, "-uuid %s: failed to parse UUID string: "
                            "wrong format", uuid);
    }
    return true;
}

/* --- -machine's own properties ------------------------------------------- */

/*
 * QEMU's that ask for what we do anyway, or name something that we have not:
 * each with the values that change nothing.
 */
static const struct { const char *name, *values; } no_effect[] = {
    { "usb", "off" }, { "nvdimm", "off" },
    { "hmat", "off" }, { "smbus", "on" }, { "pit", "on auto" },
    { "pic", "on auto" }, { "default-bus-bypass-iommu", "off" },
    { "suppress-vmdesc", "on off" }, { "aux-ram-share", "off" },
    { "igd-passthru", "off" }, { "sata", "off" },
    { "enforce-config-section", "on off" },
};

static bool set_prop(Options *o, Machine *m, const char *key, Opt *val,
                     GError **err)
{
    g_autofree char *text = opt_to_string(val);

    if (prop_find(m->obj.type, key)) {
        return prop_set_opt(&m->obj, key, val, err);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(no_effect); i++) {
        g_auto(GStrv) values = NULL;

        if (strcmp(no_effect[i].name, key) != 0) {
            continue;
        }
        values = g_strsplit(no_effect[i].values, " ", -1);
        if (g_strv_contains((const char *const *)values, text)) {
            return true;
        }
        return options_fail(err, "-machine %s=%s: not implemented yet", key,
                            text);
    }
    return prop_set_opt(&m->obj, key, val, err);    /* the usual message */
}

static bool setup_props(Options *o, Machine *m, GError **err)
{
    static const char *const elsewhere[] = {
        "type", "accel", "smp", "memory", "kernel", "initrd", "append", "dtb",
        "firmware", "boot", "kernel-irqchip", "memory-backend", "mem-merge",
        "dump-guest-core", NULL
    };
    Opt *dict = options_dict(o, "machine");

    for (unsigned i = 0; i < opt_len(dict); i++) {
        const char *key = opt_key_at(dict, i);

        if (!g_strv_contains(elsewhere, key)
            && !set_prop(o, m, key, opt_at(dict, i), err)) {
            return options_at(o, dict, err);
        }
    }
    return true;
}

/* --- accelerator --------------------------------------------------------- */

/* An accelerator's property by an option of another name; its own goes first. */
static void older_way(Opt *own, const char *accel, const char *key,
                      const char *value)
{
    if (!value) {
        return;
    }
    if (!opt_peek(own, accel)) {
        opt_put(own, accel, opt_new_dict());
    }
    if (!opt_has(opt_peek(own, accel), key)) {
        opt_put(opt_peek(own, accel), key, opt_new_string(value));
    }
}

/* -accel given several times is their order, each with its properties. */
static bool setup_accel(Options *o, Machine *m, GError **err)
{
    Opt *list = options_get(o, "accel");
    const char *names = options_string(o, "machine.accel");
    const char *irqchip = options_string(o, "machine.kernel-irqchip");
    g_autoptr(GString) order = g_string_new(NULL);
    g_autoptr(Opt) own = opt_new_dict();

    if (list && names) {
        return options_fail(err, "The -accel and \"-machine accel=\" options "
                            "are incompatible");
    }
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        Opt *dict = opt_at(list, i);
        const char *name = NULL;

        if (!opt_get_string(dict, "accel", &name, err)) {
            return options_at(o, dict, err);
        }
        if (!name) {
            options_fail(err, "parameter 'accel' is missing");
            return options_at(o, dict, err);
        }
        g_string_append_printf(order, "%s%s", i ? ":" : "", name);
        opt_put(own, name, opt_copy(dict));
        opt_remove(opt_peek(own, name), "accel");
    }
    if (list) {
        names = order->str;
    }
    older_way(own, "kvm", "kernel-irqchip", irqchip);
    older_way(own, "tcg", "perf-map", options_string(o, "perfmap"));
    older_way(own, "tcg", "jit-dump", options_string(o, "jitdump"));
    return accel_select(m, names, own, err);
}

/* --- all of it ----------------------------------------------------------- */

/* Displays are adapters to look at by the monitor: there is no window. */
static bool check_displays(Options *o, GError **err)
{
    Opt *display = options_dict(o, "display");
    Opt *nets = options_get(o, "net");
    const char *type = "none", *vga = options_string(o, "vga");
    const char *vnc = options_string(o, "vnc");

    if (!opt_get_string(display, "type", &type, err)) {
        return options_at(o, display, err);
    }
    if (strcmp(type, "none") != 0) {
        return options_fail(err, "-display %s: not implemented yet; "
                            "accepted: none", type);
    }
    if (vga && strcmp(vga, "none") != 0 && strcmp(vga, "std") != 0) {
        return options_fail(err, "-vga %s: not implemented yet; accepted: "
                            "std, none", vga);
    }
    if (vnc && strcmp(vnc, "none") != 0) {
        return options_fail(err, "-vnc %s: not implemented yet; accepted: "
                            "none", vnc);
    }
    for (unsigned i = 0; nets && i < opt_len(nets); i++) {
        const char *net = "";

        if (!opt_get_string(opt_at(nets, i), "type", &net, err)
            || (strcmp(net, "none") != 0
                && !options_fail(err, "not implemented yet; accepted: "
                                 "none"))) {
            return options_at(o, opt_at(nets, i), err);
        }
    }
    return true;
}

/*
 * Is there a VGA?  By default where there is firmware to draw on it: a kernel
 * that is entered directly has none that would set a mode.
 */
static bool has_vga(Options *o)
{
    const char *vga = options_string(o, "vga");
    const char *type = options_string(o, "machine.type");
    const char *boot = options_string(o, "machine.kernel-boot");
    Opt *devices = options_get(o, "device");

    for (unsigned i = 0; devices && i < opt_len(devices); i++) {
        Opt *driver = opt_peek(opt_at(devices, i), "driver");

        if (driver && !g_strcmp0(opt_string(driver), "VGA")) {
            return true;
        }
    }
    if (vga) {
        return strcmp(vga, "std") == 0;
    }
    return !options_flag(o, "nodefaults") && g_strcmp0(type, "none") != 0
           && (!options_string(o, "machine.kernel")
               || options_string(o, "machine.firmware")
               || !g_strcmp0(boot, "firmware"));
}

/* -vga std, said or by default, is a device in the place where PCs have it. */
static bool add_vga(Options *o, Machine *m, GError **err)
{
    g_autoptr(Opt) dict = opt_new_dict();
    Opt *devices = options_get(o, "device");

    for (unsigned i = 0; devices && i < opt_len(devices); i++) {
        Opt *driver = opt_peek(opt_at(devices, i), "driver");

        if (driver && !g_strcmp0(opt_string(driver), "VGA")) {
            return true;        /* the user makes it */
        }
    }
    opt_put(dict, "driver", opt_new_string("VGA"));
    opt_put(dict, "addr", opt_new_string("2.0"));
    return !has_vga(o) || device_add(dict, err);
}

/* "kernel_irqchip" is kernel-irqchip, as older command lines have it. */
static void canonical_keys(Opt *dict)
{
    for (unsigned i = 0; i < opt_len(dict); i++) {
        g_autofree char *key = g_strdelimit(g_strdup(opt_key_at(dict, i)), "_",
                                            '-');

        if (strcmp(key, opt_key_at(dict, i)) != 0 && !opt_has(dict, key)) {
            g_autofree char *old = g_strdup(opt_key_at(dict, i));

            opt_put(dict, key, opt_copy(opt_at(dict, i)));
            opt_remove(dict, old);
            i = -1;             /* its place has changed */
        }
    }
}

Machine *machine_setup(Options *o, GError **err)
{
    const MachineType *t = find_type(options_string(o, "machine.type"), err);
    Machine *m;

    if (!t || !check_displays(o, err) || !globals_setup(o, err)) {
        return NULL;
    }
    canonical_keys(options_dict(o, "machine"));
    m = machine_new(t);
    m->no_defaults = options_flag(o, "nodefaults");
    m->autostart = !options_flag(o, "S");
    if (options_get(o, "cpu")) {
        m->cpu_model = options_string(o, "cpu");
    }
    if (!memory_setup(o, m, err) || !setup_smp(o, m, err)
        || !setup_kernel(o, m, err) || !setup_actions(o, m, err)
        || !setup_rtc(o, err) || !setup_identity(o, m, err)
        || !setup_props(o, m, err)) {
        return NULL;
    }
    m->graphics = m->graphics && has_vga(o) && !options_flag(o, "nographic");
    backends_give_serials(m);
    if (!setup_accel(o, m, err) || !machine_init(m, err)) {
        return NULL;
    }
    memory_settled();
    return add_vga(o, m, err) ? m : NULL;
}
