/*
 * The command line, one row an option: the parser, -help and
 * docs/command-line.md all read this table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

const char *const option_sections[SECTION_N] = {
    [SECTION_STANDARD] = "Standard options",
    [SECTION_BOOT] = "Boot image or kernel",
    [SECTION_CHAR] = "Serial lines, monitors, character devices",
    [SECTION_DEVICE] = "Devices and objects",
    [SECTION_DISPLAY] = "Display",
    [SECTION_NET] = "Network",
    [SECTION_BLOCK] = "Disks",
    [SECTION_DEBUG] = "Debugging and running",
};

/* --- options that need code of their own --------------------------------- */

static bool call_version(Options *o, const OptionRow *row, const char *arg,
                         GError **err)
{
    help_print_version();
    o->done = true;
    return true;
}

static bool call_help(Options *o, const OptionRow *row, const char *arg,
                      GError **err)
{
    help_print();
    o->done = true;
    return true;
}

static bool call_readconfig(Options *o, const OptionRow *row, const char *arg,
                            GError **err)
{
    return readconfig_file(o, arg, err);
}

/* driver.property=value, or driver=,property=,value=.  The value is taken as
 * it stands: commas are not special. */
static bool call_global(Options *o, const OptionRow *row, const char *arg,
                        GError **err)
{
    static const OptionRow list = {
        .name = "global", .kind = OPTION_ADD_DICT, .path = "global"
    };
    g_autofree char *where = g_strdup_printf("-global %s", arg);
    const char *dot = strchr(arg, '.'), *eq = strchr(arg, '=');
    Opt *dict;

    if (dot && eq && dot < eq) {
        g_autofree char *driver = g_strndup(arg, dot - arg);
        g_autofree char *property = g_strndup(dot + 1, eq - dot - 1);

        dict = opt_new_dict();
        opt_put(dict, "driver", opt_new_string(driver));
        opt_put(dict, "property", opt_new_string(property));
        opt_put(dict, "value", opt_new_string(eq + 1));
    } else {
        dict = opt_parse_keyval(arg, NULL, NULL, err);
        if (!dict) {
            return false;
        }
        if (!opt_has(dict, "driver") || !opt_has(dict, "property")
            || !opt_has(dict, "value")) {
            opt_free(dict);
            return options_fail(err, "driver.property=value expected");
        }
    }
    return options_apply_dict(o, &list, dict, where, err);
}

/* Nothing to connect to yet; "none" is what it asks for anyway. */
static bool call_only_none(Options *o, const OptionRow *row, const char *arg,
                           GError **err)
{
    if (strcmp(arg, "none") == 0) {
        return true;
    }
    return options_fail(err, "only 'none' is implemented yet");
}

/* An option that is short for a -drive; a comma in the name is a comma. */
static bool add_drive(Options *o, const OptionRow *row, const char *arg,
                      Opt *dict, GError **err)
{
    static const OptionRow list = {
        .name = "drive", .kind = OPTION_ADD_DICT, .path = "drive"
    };
    g_autofree char *where = g_strdup_printf("-%s %s", row->name, arg);

    opt_put(dict, "file", opt_new_string(arg));
    return options_apply_dict(o, &list, dict, where, err);
}

/* -pflash FILE: -drive if=pflash,file=FILE */
static bool call_flash(Options *o, const OptionRow *row, const char *arg,
                       GError **err)
{
    Opt *dict = opt_new_dict();

    opt_put(dict, "if", opt_new_string("pflash"));
    return add_drive(o, row, arg, dict, err);
}

/* -hda FILE and so on: -drive file=FILE,index=...,media=... */
static bool call_disk(Options *o, const OptionRow *row, const char *arg,
                      GError **err)
{
    Opt *dict = opt_new_dict();

    opt_put(dict, "index", opt_new_string(row->value));
    opt_put(dict, "media", opt_new_string(strcmp(row->name, "cdrom") == 0
                                          ? "cdrom" : "disk"));
    return add_drive(o, row, arg, dict, err);
}

static const char *const smbios_repeats[] = { "value", "path", NULL };

#define NO_ARG(nm, knd, sec, ...) \
    { .name = nm, .kind = OPTION_##knd, .section = SECTION_##sec, \
      __VA_ARGS__ }
#define WITH_ARG(nm, knd, sec, ...) \
    { .name = nm, .kind = OPTION_##knd, .section = SECTION_##sec, \
      .has_arg = true, __VA_ARGS__ }
#define NOT_YET(nm, sec)     { .name = nm, .kind = OPTION_NOT_YET, \
      .section = SECTION_##sec }
#define NOT_YET_ARG(nm, sec) { .name = nm, .kind = OPTION_NOT_YET, \
      .section = SECTION_##sec, .has_arg = true }
#define REMOVED(nm, hint)    { .name = nm, .kind = OPTION_REMOVED, \
      .section = SECTION_DEBUG, .value = hint }
#define REMOVED_ARG(nm, hint) { .name = nm, .kind = OPTION_REMOVED, \
      .section = SECTION_DEBUG, .value = hint, .has_arg = true }

const OptionRow option_rows[] = {
    NO_ARG("help", CALL, STANDARD, .alias = "h", .fn = call_help,
        .help = "display this help and exit"),
    NO_ARG("version", CALL, STANDARD, .fn = call_version,
        .help = "display version information and exit"),
    WITH_ARG("machine", MERGE, STANDARD, .alias = "M", .path = "machine",
        .implied = "type", .args = "[type=]name[,prop[=value][,...]]",
        .help = "the machine ('-machine help' for a list);\n"
                "accel=accel1[:accel2[:...]] selects the accelerator;\n"
                "acpi=, hpet=, smm=on|off switch parts of the machine;\n"
                "kernel-boot=firmware starts -kernel by way of the firmware;\n"
                "smbios-entry-point-type=auto|32|64;\n"
                "smp.*, memory.*, boot.*, kernel, initrd, append, dtb and\n"
                "firmware are -smp, -m, -boot, -kernel and so on"),
    WITH_ARG("cpu", SET, STANDARD, .path = "cpu", .value = "",
        .args = "model[,+feature][,-feature][,feature=on|off]",
        .help = "the processor ('-cpu help' for a list)"),
    WITH_ARG("accel", ADD_DICT, STANDARD, .path = "accel",
        .implied = "accel", .args = "[accel=]accelerator[,prop[=value]]",
        .help = "the accelerator ('-accel help' for a list); given more\n"
                "than once, the first that works here is used"),
    NO_ARG("enable-kvm", SET, STANDARD, .path = "machine.accel",
        .value = "kvm", .help = "the same as -machine accel=kvm"),
    WITH_ARG("smp", MERGE, STANDARD, .path = "machine.smp",
        .implied = "cpus",
        .args = "[[cpus=]n][,maxcpus=n][,sockets=n][,dies=n][,cores=n]"
                "[,threads=n]",
        .help = "the number of processors (default 1) and how they sit in\n"
                "sockets, dies, cores and threads; their product is maxcpus"),
    WITH_ARG("m", MERGE, STANDARD, .path = "machine.memory",
        .implied = "size", .args = "[size=]megs[,slots=n,maxmem=size]",
        .help = "memory; a bare number is MiB, with k, M, G, T as it says"),
    WITH_ARG("mem-path", NOT_YET, STANDARD),
    NO_ARG("mem-prealloc", SET, STANDARD, .path = "mem-prealloc",
        .value = "on", .help = "touch all guest memory before starting"),
    WITH_ARG("name", MERGE, STANDARD, .path = "name", .implied = "guest",
        .args = "[guest=]string1[,process=string2][,debug-threads=on|off]",
        .help = "the guest's name; the process is named string2"),
    WITH_ARG("uuid", SET, STANDARD, .path = "uuid",
        .args = "%08x-%04x-%04x-%04x-%012x", .help = "the machine's UUID"),
    WITH_ARG("rtc", MERGE, STANDARD, .path = "rtc", .implied = "base",
        .args = "[base=utc|localtime|<datetime>][,clock=host|rt|vm]"
                "[,driftfix=none|slew]",
        .help = "what the real-time clock says at start, and which clock\n"
                "it follows"),
    WITH_ARG("boot", MERGE, STANDARD, .path = "machine.boot",
        .implied = "order",
        .args = "[order=drives][,once=drives][,menu=on|off][,strict=on|off]"
                "\n      [,splash=file][,splash-time=ms][,reboot-timeout=ms]",
        .help = "from what to boot: a, b (floppy), c (disk), d (CD), n-p "
                "(network)"),
    WITH_ARG("k", ACCEPT, STANDARD, .args = "language",
        .help = "keyboard layout: accepted, for there is no display yet"),
    NO_ARG("nodefaults", SET, STANDARD, .path = "nodefaults", .value = "on",
        .help = "no device that was not asked for"),
    NO_ARG("no-user-config", ACCEPT, STANDARD,
        .help = "accepted: there are no per-user files to skip"),
    WITH_ARG("readconfig", CALL, STANDARD, .fn = call_readconfig,
        .args = "file", .help = "read options from an ini file"),
    NOT_YET_ARG("writeconfig", STANDARD),
    NO_ARG("usb", NOT_YET, STANDARD),
    NOT_YET_ARG("usbdevice", STANDARD),
    NOT_YET_ARG("numa", STANDARD),
    WITH_ARG("smbios", ADD_DICT, STANDARD, .path = "smbios",
        .repeats = smbios_repeats,
        .args = "file=file|type=n[,field=value][,...]",
        .help = "what SMBIOS says: a structure from a file, or fields of\n"
                "type 0: vendor, version, date, release=n.n, uefi=on|off;\n"
                "type 1: manufacturer, product, version, serial, uuid, sku, "
                "family;\n"
                "type 2: manufacturer, product, version, serial, asset, "
                "location;\n"
                "type 3: manufacturer, version, serial, asset, sku;\n"
                "type 4: sock_pfx, manufacturer, version, serial, asset, "
                "part,\n"
                "max-speed, current-speed, processor-family, "
                "processor-id;\n"
                "type 8: internal_reference, external_reference, "
                "connector_type,\n"
                "port_type (a port each);\n"
                "type 9: slot_designation, slot_type, slot_data_bus_width,\n"
                "current_usage, slot_length, slot_id,\n"
                "slot_characteristics1, slot_characteristics2, pcidev;\n"
                "type 11: value=text, path=file (as often as you like);\n"
                "type 17: loc_pfx, bank, manufacturer, serial, asset, part, "
                "speed;\n"
                "type 41: designation, kind, instance, pcidev"),
    WITH_ARG("acpitable", ADD_DICT, STANDARD, .path = "acpitable",
        .args = "[sig=str][,rev=n][,oem_id=str][,oem_table_id=str][,oem_rev=n]"
                "\n      [,asl_compiler_id=str][,asl_compiler_rev=n]"
                "[,data=file1[:file2]...|,file=...]",
        .help = "another ACPI table, without or with a header in the file;\n"
                "a SLIC's ids become those of RSDT and FADT"),
    NO_ARG("no-hpet", SET, STANDARD, .path = "machine.hpet", .value = "off",
        .help = "the same as -machine hpet=off"),
    NO_ARG("no-acpi", SET, STANDARD, .path = "machine.acpi", .value = "off",
        .help = "the same as -machine acpi=off"),
    NO_ARG("no-fd-bootchk", SET, STANDARD, .path = "machine.fd-bootchk",
        .value = "off", .help = "the same as -machine fd-bootchk=off"),
    NOT_YET_ARG("tpmdev", STANDARD),
    NOT_YET_ARG("audio", STANDARD),
    NOT_YET_ARG("audiodev", STANDARD),

    WITH_ARG("kernel", SET, BOOT, .path = "machine.kernel", .args = "file",
        .help = "boot this bzImage, PVH or multiboot kernel"),
    WITH_ARG("initrd", SET, BOOT, .path = "machine.initrd",
        .args = "file",
        .help = "its initial ram disk (multiboot: modules, by commas)"),
    WITH_ARG("append", SET, BOOT, .path = "machine.append",
        .args = "cmdline", .help = "its command line"),
    WITH_ARG("dtb", SET, BOOT, .path = "machine.dtb", .args = "file",
        .help = "its device tree"),
    WITH_ARG("bios", SET, BOOT, .path = "machine.firmware", .args = "file",
        .help = "the firmware, run from the reset vector"),
    WITH_ARG("L", ADD, BOOT, .path = "data-dirs", .args = "path",
        .help = "also look there for firmware"),
    NOT_YET_ARG("shim", BOOT),
    WITH_ARG("fw_cfg", ADD_DICT, BOOT, .path = "fw_cfg", .implied = "name",
        .args = "[name=]name,file=file|string=text",
        .help = "a file that firmware and guest find under that name"),
    WITH_ARG("option-rom", ADD_DICT, BOOT, .path = "option-rom",
        .implied = "romfile", .args = "[romfile=]file[,bootindex=n]",
        .help = "an option ROM for the firmware to run"),

    WITH_ARG("serial", ADD, CHAR, .path = "serial", .args = "dev",
        .help = "the next serial port's other end: stdio, mon:stdio,\n"
                "file:PATH, pipe:PATH, pty, unix:PATH[,server,nowait],\n"
                "tcp:HOST:PORT[,server,nowait], null, chardev:ID; none "
                "leaves the port out"),
    WITH_ARG("chardev", ADD_DICT, CHAR, .path = "chardev",
        .implied = "backend",
        .args = "backend,id=id[,mux=on|off][,logfile=PATH][,...]",
        .help = "a character device ('-chardev help' for the kinds)"),
    WITH_ARG("monitor", ADD, CHAR, .path = "monitor", .args = "dev",
        .help = "a monitor there; none: no monitor"),
    WITH_ARG("mon", ADD_DICT, CHAR, .path = "mon", .implied = "chardev",
        .args = "[chardev=]id[,mode=readline]",
        .help = "a monitor on a -chardev"),
    WITH_ARG("qmp", CALL, CHAR, .fn = call_only_none, .args = "none",
        .help = "the control protocol: not yet"),
    WITH_ARG("qmp-pretty", CALL, CHAR, .fn = call_only_none),
    WITH_ARG("debugcon", ADD, CHAR, .path = "debugcon", .args = "dev",
        .help = "a debug console at port 0xe9"),
    WITH_ARG("parallel", ADD, CHAR, .path = "parallel", .args = "dev",
        .help = "a printer on the next parallel port; none: no port"),
    WITH_ARG("echr", SET, CHAR, .path = "echr", .args = "chr",
        .help = "the escape character of multiplexed terminals, as its\n"
                "code, in place of ctrl-a (1)"),

    WITH_ARG("device", ADD_DICT, DEVICE, .path = "device",
        .implied = "driver", .args = "driver[,prop[=value][,...]]",
        .help = "add a device ('-device help' for a list, '-device "
                "driver,help'\nfor its properties)"),
    WITH_ARG("global", CALL, DEVICE, .fn = call_global,
        .args = "driver.property=value",
        .help = "set a property of every such device"),
    WITH_ARG("object", ADD_DICT, DEVICE, .path = "object",
        .implied = "qom-type", .args = "type,id=id[,prop=value[,...]]",
        .help = "add an object ('-object help' for a list):\n"
                "throttle-group,limits.bps-total=n,... for drives that share\n"
                "limits"),
    NOT_YET_ARG("set", DEVICE),
    NOT_YET_ARG("fsdev", DEVICE),
    NOT_YET_ARG("virtfs", DEVICE),
    NOT_YET_ARG("watchdog-action", DEVICE),

    NO_ARG("nographic", SET, DISPLAY, .path = "nographic", .value = "on",
        .help = "no display; serial port and monitor share the terminal\n"
                "(ctrl-a h for help)"),
    WITH_ARG("display", MERGE, DISPLAY, .path = "display",
        .implied = "type", .args = "none",
        .help = "no display, which is also the default"),
    WITH_ARG("vga", SET, DISPLAY, .path = "vga", .value = "",
        .args = "std|none",
        .help = "the display adapter; std is the default where there is\n"
                "firmware; look at it with the monitor's screendump"),
    NO_ARG("full-screen", ACCEPT, DISPLAY,
        .help = "accepted: there is no window"),
    WITH_ARG("vnc", SET, DISPLAY, .path = "vnc", .value = "",
        .args = "none", .help = "no VNC server; others: not yet"),
    NOT_YET_ARG("spice", DISPLAY),
    NOT_YET("rotate", DISPLAY),

    WITH_ARG("net", ADD_DICT, NET, .path = "net", .implied = "type",
        .args = "none", .help = "network: not yet; none has none"),
    WITH_ARG("nic", ADD_DICT, NET, .path = "net", .implied = "type",
        .args = "none", .help = "the same"),
    NOT_YET_ARG("netdev", NET),

    WITH_ARG("drive", ADD_DICT, BLOCK, .path = "drive",
        .file_has_parts = true,
        .args = "[file=file][,format=f][,if=ide|virtio|none]"
                "[,index=i][,bus=b,unit=u]\n"
                "      [,media=disk|cdrom][,id=id][,readonly=on|off]"
                "[,snapshot=on|off]\n"
                "      [,cache=writeback|none|writethrough|directsync|unsafe]"
                "\n      [,aio=threads|native|io_uring][,discard=ignore|unmap]"
                "\n      [,detect-zeroes=on|off|unmap][,rerror=report|ignore"
                "|stop]\n      [,werror=report|ignore|stop|enospc]\n"
                "      [,throttling.bps-total=n][,throttling.iops-total=n]"
                "[,throttling.group=id]",
        .help = "a disk: its image, where it goes and how it is treated;\n"
                "throttling.* are bps- and iops-total, -read, -write, each\n"
                "with -max and -max-length for bursts, and iops-size; bps=,\n"
                "iops_rd= and the like are older words for them"),
    WITH_ARG("blockdev", ADD_DICT, BLOCK, .path = "blockdev",
        .implied = "driver",
        .args = "[driver=]driver,node-name=name[,read-only=on|off]\n"
                "      [,cache.direct=on|off][,cache.no-flush=on|off]"
                "[,discard=ignore|unmap]\n"
                "      [,detect-zeroes=on|off|unmap][,prop=value][,...]",
        .help = "a node of the block layer, for -device ...,drive=name\n"
                "('-blockdev help' for the drivers)"),
    WITH_ARG("hda", CALL, BLOCK, .fn = call_disk, .value = "0",
        .args = "file", .help = "the first hard disk; the same as a file name"
                                " alone"),
    WITH_ARG("hdb", CALL, BLOCK, .fn = call_disk, .value = "1",
        .args = "file", .help = "the second"),
    WITH_ARG("hdc", CALL, BLOCK, .fn = call_disk, .value = "2",
        .args = "file", .help = "the third"),
    WITH_ARG("hdd", CALL, BLOCK, .fn = call_disk, .value = "3",
        .args = "file", .help = "the fourth"),
    WITH_ARG("cdrom", CALL, BLOCK, .fn = call_disk, .value = "2",
        .args = "file", .help = "the CD in the drive that is the third disk"),
    NO_ARG("snapshot", SET, BLOCK, .path = "snapshot", .value = "on",
        .help = "what is written to disks goes to temporary files"),
    NOT_YET_ARG("fda", BLOCK), NOT_YET_ARG("fdb", BLOCK),
    WITH_ARG("pflash", CALL, BLOCK, .fn = call_flash, .args = "file",
        .help = "flash with the firmware, then with its variables"),
    NOT_YET_ARG("sd", BLOCK), NOT_YET_ARG("mtdblock", BLOCK),
    NOT_YET_ARG("iscsi", BLOCK),

    NO_ARG("S", SET, DEBUG, .path = "S", .value = "on",
        .help = "do not start the processors ('cont' in the monitor does)"),
    NO_ARG("no-reboot", SET, DEBUG, .path = "action.reboot",
        .value = "shutdown", .help = "exit where the guest would reboot"),
    NO_ARG("no-shutdown", SET, DEBUG, .path = "action.shutdown",
        .value = "pause", .help = "stop, do not exit, on power-off"),
    WITH_ARG("action", MERGE, DEBUG, .path = "action",
        .args = "reboot=reset|shutdown,shutdown=poweroff|pause,\n"
                "      panic=pause|shutdown|exit-failure|none,watchdog=reset"
                "|shutdown|\n      poweroff|inject-nmi|pause|debug|none",
        .help = "what to do when the guest does that"),
    WITH_ARG("d", SET, DEBUG, .path = "d", .value = "",
        .args = "item1,...",
        .help = "log these ('-d help' for a list)"),
    WITH_ARG("dfilter", SET, DEBUG, .path = "dfilter",
        .args = "range,...",
        .help = "of -d in_asm, exec and cpu only code in these ranges:\n"
                "start+length, start-length, start..end"),
    WITH_ARG("D", SET, DEBUG, .path = "D", .args = "file",
        .help = "log to this file (default: stderr)"),
    WITH_ARG("trace", ADD_DICT, DEBUG, .path = "trace",
        .implied = "enable", .args = "[[enable=]pattern][,events=file]"
                                     "[,file=file]",
        .help = "trace events that match ('-trace help' for a list)"),
    WITH_ARG("pidfile", SET, DEBUG, .path = "pidfile", .args = "file",
        .help = "write the process id there, and lock it"),
    NO_ARG("daemonize", SET, DEBUG, .path = "daemonize", .value = "on",
        .help = "go into the background once the machine is ready"),
    WITH_ARG("msg", MERGE, DEBUG, .path = "msg",
        .args = "timestamp=on|off[,guest-name=on|off]",
        .help = "how messages begin"),
    WITH_ARG("overcommit", MERGE, DEBUG, .path = "overcommit",
        .args = "[mem-lock=on|off][,cpu-pm=on|off]",
        .help = "mem-lock=on locks all memory; cpu-pm=on is accepted"),
    WITH_ARG("sandbox", MERGE, DEBUG, .path = "sandbox",
        .implied = "enable", .args = "off[,...]",
        .help = "system call filter: not yet, so only off"),
    WITH_ARG("run-with", MERGE, DEBUG, .path = "run-with",
        .args = "[exit-with-parent=on|off]",
        .help = "exit-with-parent=on: exit when the parent process does"),
    NO_ARG("perfmap", SET, DEBUG, .path = "perfmap", .value = "on",
        .help = "the same as -accel tcg,perf-map=on"),
    NO_ARG("jitdump", SET, DEBUG, .path = "jitdump", .value = "on",
        .help = "the same as -accel tcg,jit-dump=on"),
    NOT_YET_ARG("runas", DEBUG),
    NOT_YET_ARG("chroot", DEBUG),
    NOT_YET_ARG("gdb", DEBUG),
    NOT_YET("s", DEBUG),
    NOT_YET_ARG("icount", DEBUG),
    NOT_YET_ARG("qtest", DEBUG), NOT_YET_ARG("qtest-log", DEBUG),
    NOT_YET("preconfig", DEBUG),
    NOT_YET_ARG("loadvm", DEBUG),
    NOT_YET_ARG("incoming", DEBUG),
    NOT_YET("only-migratable", DEBUG),
    NOT_YET_ARG("dump-vmstate", DEBUG),
    NOT_YET_ARG("seed", DEBUG),
    NOT_YET_ARG("add-fd", DEBUG),
    NOT_YET_ARG("compat", DEBUG),
    NOT_YET_ARG("plugin", DEBUG),
    NOT_YET_ARG("semihosting-config", DEBUG),
    NOT_YET("semihosting", DEBUG),
    NOT_YET("enable-sync-profile", DEBUG),
    NOT_YET_ARG("xen-domid", DEBUG), NOT_YET("xen-attach", DEBUG),
    NOT_YET("xen-domid-restrict", DEBUG), NOT_YET_ARG("prom-env", DEBUG),

    REMOVED("no-kvm", "write -accel tcg"),
    REMOVED("no-kvm-irqchip", "write -machine kernel-irqchip=off"),
    REMOVED("no-kvm-pit", "there is nothing to write in its place"),
    REMOVED("no-kvm-pit-reinjection",
            "write -global kvm-pit.lost_tick_policy=discard"),
    REMOVED("enable-hax", "write -accel kvm or -accel tcg"),
    REMOVED_ARG("redir", "write -nic user,hostfwd=..."),
    REMOVED_ARG("tftp", "write -nic user,tftp=..."),
    REMOVED_ARG("bootp", "write -nic user,bootfile=..."),
    REMOVED_ARG("smb", "write -nic user,smb=..."),
    REMOVED_ARG("soundhw", "write -audiodev and -device intel-hda"),
    REMOVED("localtime", "write -rtc base=localtime"),
    REMOVED_ARG("startdate", "write -rtc base=..."),
    REMOVED("rtc-td-hack", "write -rtc driftfix=slew"),
    REMOVED("tdf", "write -rtc driftfix=slew"),
    REMOVED_ARG("clock", "there is nothing to write in its place"),
    REMOVED("win2k-hack", "write -global ide-device.win2k-install-hack=on"),
    REMOVED_ARG("balloon", "write -device virtio-balloon"),
    REMOVED_ARG("watchdog", "write -device"),
    REMOVED("no-quit", "write -display gtk,window-close=off"),
    REMOVED("alt-grab", "write -display sdl,grab-mod=lshift-lctrl-lalt"),
    REMOVED("ctrl-grab", "write -display sdl,grab-mod=rctrl"),
    REMOVED("no-frame", "there is nothing to write in its place"),
    REMOVED("sdl", "write -display sdl"),
    REMOVED("curses", "write -display curses"),
    REMOVED("portrait", "write -rotate 90"),
    REMOVED("show-cursor", "write -display sdl,show-cursor=on"),
    REMOVED("nodefconfig", "write -no-user-config"),
    REMOVED_ARG("hdachs", "write -device ide-hd,cyls=,heads=,secs="),
    REMOVED_ARG("drive-add", "write -drive"),
    REMOVED_ARG("bt", "there is nothing to write in its place"),
    REMOVED_ARG("tb-size", "write -accel tcg,tb-size=..."),
    REMOVED("singlestep", "write -accel tcg,one-insn-per-tb=on"),
    REMOVED("enable-fips", "there is nothing to write in its place"),
    REMOVED("async-teardown", "write -run-with async-teardown=on"),
    REMOVED("realtime", "write -overcommit mem-lock=on"),
    {}
};
