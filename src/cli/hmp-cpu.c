/*
 * The monitor's commands that see processors, and what its expressions and
 * memory dumps need of them.
 *
 * A running machine is paused for as long as it takes to look.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

#include "accel/tcg/decode/info.h"
#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "qmp/hmp.h"

/* --- looking at a stopped vCPU ------------------------------------------- */

static bool look_begin(void)
{
    Machine *m = machine();
    bool running = m && machine_running(m);

    if (running) {
        machine_pause_cpus();
    }
    return running;
}

static void look_end(bool was_running)
{
    if (was_running) {
        machine_resume_cpus();
    }
}

static X86Cpu *cpu_or_complain(Hmp *mon, unsigned index)
{
    X86Cpu *cpu = cpu_by_index(index);

    if (!cpu) {
        hmp_puts(mon, "No CPU available\n");
    }
    return cpu;
}

/* --- info ---------------------------------------------------------------- */

/* -a or one CPU: call print() for each. */
static void print_cpus(Hmp *mon, unsigned argc, char **argv,
                       void (*print)(X86Cpu *, GString *))
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool all = argc > 1 && strcmp(argv[1], "-a") == 0;
    uint64_t index = hmp_cpu_index(mon);
    bool running;
    X86Cpu *cpu;

    if (argc > 1 && !all && !parse_uint(argv[1], &index)) {
        hmp_printf(mon, "Error: -a or a CPU's index expected, not '%s'\n",
                   argv[1]);
        return;
    }
    cpu = cpu_or_complain(mon, all ? 0 : MIN(index, UINT_MAX));
    if (!cpu) {
        return;
    }
    running = look_begin();
    if (all) {
        for (unsigned i = 0; (cpu = cpu_by_index(i)); i++) {
            print(cpu, text);
        }
    } else {
        print(cpu, text);
    }
    look_end(running);
    hmp_puts(mon, text->str);
}

static void info_registers(Hmp *mon, unsigned argc, char **argv)
{
    print_cpus(mon, argc, argv, cpu_print_registers);
}

static void print_lapic(X86Cpu *cpu, GString *out)
{
    lapic_print(cpu->apic, out);
}

static void info_lapic(Hmp *mon, unsigned argc, char **argv)
{
    print_cpus(mon, argc, argv, print_lapic);
}

static void info_cpus(Hmp *mon, unsigned argc, char **argv)
{
    X86Cpu *cpu;

    for (unsigned i = 0; (cpu = cpu_by_index(i)); i++) {
        hmp_printf(mon, "%c CPU #%u: thread_id=%d\n",
                   i == hmp_cpu_index(mon) ? '*' : ' ', i, cpu->thread_id);
    }
}

/* What the accelerator counts: rescues, exits, slots. */
static void info_kvm(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (accel() && accel()->print_info) {
        accel()->print_info(text);
    } else {
        g_string_append(text, "kvm support: disabled\n");
    }
    hmp_puts(mon, text->str);
}

static void info_tlb(Hmp *mon, unsigned argc, char **argv)
{
    print_cpus(mon, argc, argv, cpu_print_tlb);
}

static void info_mem(Hmp *mon, unsigned argc, char **argv)
{
    print_cpus(mon, argc, argv, cpu_print_mem);
}

/* --- addresses ----------------------------------------------------------- */

static bool one_number(Hmp *mon, unsigned argc, char **argv, uint64_t *val)
{
    g_autofree char *text = hmp_join(argc, argv, 1);

    return hmp_eval(mon, text, val);
}

static void cmd_gva2gpa(Hmp *mon, unsigned argc, char **argv)
{
    X86Cpu *cpu = cpu_or_complain(mon, hmp_cpu_index(mon));
    bool running, mapped;
    uint64_t gva;
    hwaddr gpa;

    if (!cpu || !one_number(mon, argc, argv, &gva)) {
        return;
    }
    running = look_begin();
    mapped = cpu_debug_translate(cpu, gva, &gpa);
    look_end(running);
    if (mapped) {
        hmp_printf(mon, "gpa: 0x%" PRIx64 "\n", gpa);
    } else {
        hmp_puts(mon, "Unmapped\n");
    }
}

static void cmd_gpa2hva(Hmp *mon, unsigned argc, char **argv)
{
    const FlatRange *r;
    uint64_t gpa;

    if (!one_number(mon, argc, argv, &gpa)) {
        return;
    }
    r = view_find(as_view(&as_memory), gpa);
    if (!r) {
        hmp_printf(mon, "No memory is mapped at address 0x%" PRIx64 "\n",
                   gpa);
    } else if (!r->ram) {
        hmp_printf(mon, "Memory at address 0x%" PRIx64 " is not RAM\n", gpa);
    } else {
        hmp_printf(mon, "Host virtual address for 0x%" PRIx64 " (%s) is %p\n",
                   gpa, r->ram->name,
                   (void *)(r->ram->host + r->offset + (gpa - r->start)));
    }
}

/* --- machine checks ------------------------------------------------------- */

static void cmd_mce(Hmp *mon, unsigned argc, char **argv)
{
    bool all = strcmp(argv[1], "-b") == 0, running;
    unsigned first = all ? 2 : 1;
    CpuMceResult result = CPU_MCE_SILENT;
    uint64_t n[6], index;
    CpuMce e;

    if (argc != first + 6) {
        hmp_puts(mon, "Error: mce: six numbers are expected\n");
        return;
    }
    for (unsigned i = 0; i < 6; i++) {
        if (!hmp_eval(mon, argv[first + i], &n[i])) {
            return;
        }
    }
    if (!accel() || !accel()->mce) {
        hmp_puts(mon, "Error: this accelerator delivers no machine checks\n");
        return;
    }
    index = n[0];
    if (index > UINT_MAX || !cpu_or_complain(mon, index)) {
        return;
    }
    e = (CpuMce) {
        .bank = n[1], .status = n[2], .mcg_status = n[3], .addr = n[4],
        .misc = n[5],
    };
    running = look_begin();
    result = cpu_inject_mce(cpu_by_index(index), &e);
    if (all && result == CPU_MCE_RAISED) {
        /* Uncorrected errors are told to every processor. */
        CpuMce other = { .bank = 1, .status = BIT64(63) | BIT64(61) };
        X86Cpu *cpu;

        other.mcg_status = n[3] & ~UINT64_C(2);
        for (unsigned i = 0; (cpu = cpu_by_index(i)); i++) {
            if (i != index) {
                cpu_inject_mce(cpu, &other);
            }
        }
    }
    look_end(running);
    if (result == CPU_MCE_NO_BANK) {
        hmp_printf(mon, "Error: there is no bank %" PRIu64 ": 0 to %d are "
                   "accepted\n", e.bank, MCE_N_BANKS - 1);
    } else if (result == CPU_MCE_INVALID) {
        hmp_puts(mon, "Error: status has VAL (bit 63) clear\n");
    }
}

static void info_jit(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (accel() && accel()->print_jit) {
        accel()->print_jit(text);
        hmp_puts(mon, text->str);
    } else {
        hmp_puts(mon, "the accelerator translates no code\n");
    }
}

/* --- registers and memory for expressions -------------------------------- */

static bool find_register(const X86State *s, const char *name, uint64_t *val)
{
    static const char *const gprs[N_GPR] = {
        "ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    };
    static const char *const segs[N_SEG] = {
        "es", "cs", "ss", "ds", "fs", "gs"
    };
    bool wide = name[0] == 'r', half = name[0] == 'e';
    const char *rest = name + ((wide && !g_ascii_isdigit(name[1])) || half);
    uint64_t mask = half ? UINT32_MAX : wide ? UINT64_MAX : UINT16_MAX;

    for (unsigned i = 0; i < N_GPR; i++) {
        if (strcmp(rest, gprs[i]) == 0) {
            *val = s->gpr[i] & mask;
            return true;
        }
    }
    for (unsigned i = 0; i < N_SEG; i++) {
        if (strcmp(name, segs[i]) == 0) {
            *val = s->seg[i].selector;
            return true;
        }
    }
    if (strcmp(name, "pc") == 0) {
        *val = s->rip + s->seg[SEG_CS].base;    /* linear, for "x/i $pc" */
        return true;
    }
    if (strcmp(rest, "ip") == 0) {
        *val = half ? (uint32_t)s->rip : s->rip;
        return true;
    }
    if (strcmp(rest, "flags") == 0) {
        *val = s->rflags;
        return true;
    }
    if (strlen(name) == 3 && name[0] == 'c' && name[1] == 'r') {
        *val = name[2] == '0' ? s->cr0 : name[2] == '2' ? s->cr2
             : name[2] == '3' ? s->cr3 : s->cr4;
        return strchr("0234", name[2]) != NULL;
    }
    return false;
}

static bool read_register(unsigned index, const char *name, uint64_t *val)
{
    X86Cpu *cpu = cpu_by_index(index);
    bool running, found;

    if (!cpu) {
        return false;
    }
    running = look_begin();
    found = find_register(cpu->state, name, val);
    look_end(running);
    return found;
}

static bool read_virtual(unsigned index, uint64_t gva, void *buf, size_t len)
{
    X86Cpu *cpu = cpu_by_index(index);
    bool running, ok;

    if (!cpu) {
        return false;
    }
    running = look_begin();
    ok = cpu_debug_read(cpu, gva, buf, len);
    look_end(running);
    return ok;
}

/* --- disassembly --------------------------------------------------------- */

/* Up to 15 bytes at `addr`: how many could be read. */
static unsigned read_code(X86Cpu *cpu, uint64_t addr, bool physical,
                          uint8_t *buf)
{
    unsigned n;

    for (n = 0; n < 15; n++) {
        bool ok = physical
            ? as_read(cpu_memory(cpu), addr + n, buf + n, 1) == MEM_OK
            : cpu_debug_read(cpu, addr + n, buf + n, 1);

        if (!ok) {
            break;
        }
    }
    return n;
}

static unsigned code_mode(const X86State *s)
{
    if (s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEGA_L) {
        return DM_CODE64;
    }
    return s->seg[SEG_CS].attr & SEGA_DB ? DM_CODE32 : DM_CODE16;
}

static void disassemble(unsigned index, uint64_t addr, unsigned n,
                        bool physical, GString *out)
{
    X86Cpu *cpu = cpu_by_index(index);
    bool running = look_begin();

    for (unsigned i = 0; cpu && i < n; i++) {
        uint8_t code[15];
        unsigned got = read_code(cpu, addr, physical, code);
        Insn insn = { 0 };

        g_string_append_printf(out, "0x%08" PRIx64 ":  ", addr);
        if (!got) {
            g_string_append(out, "Cannot access memory\n");
            break;
        }
        if (insn_decode(&insn, code, got, code_mode(cpu->state), NULL)
            == DECODE_OK) {
            insn_print(&insn, out);
        } else {
            g_string_append(out, "(bad)");
            insn.len = 1;
        }
        g_string_append_c(out, '\n');
        addr += insn.len;
    }
    look_end(running);
}

void hmp_cpu_register(void)
{
    static const HmpCommand infos[] = {
        { "registers", "[-a|index]", "a processor's registers, or all", 0, 1,
          info_registers },
        { "lapic", "[-a|index]", "a processor's local APIC", 0, 1,
          info_lapic },
        { "tlb", "[-a|index]", "a processor's page tables, page by page", 0, 1,
          info_tlb },
        { "mem", "[-a|index]", "a processor's page tables, by ranges", 0, 1,
          info_mem },
        { "cpus", "", "the processors and their threads", 0, 0, info_cpus },
        { "jit", "", "the translator's memory and what was done with it", 0,
          0, info_jit },
        { "kvm", "", "whether KVM runs the guest, and how it fares", 0, 0,
          info_kvm },
    };

    static const HmpCommand commands[] = {
        { "gva2gpa", "addr", "the physical address of a virtual one", 1,
          HMP_MANY, cmd_gva2gpa },
        { "gpa2hva", "addr", "where this process has a physical address", 1,
          HMP_MANY, cmd_gpa2hva },
        { "mce", "[-b] cpu bank status mcgstatus addr misc",
          "a machine check; -b: told to every CPU", 6, 7, cmd_mce },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(infos); i++) {
        hmp_register_info(&infos[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        hmp_register(&commands[i]);
    }
    hmp_read_register = read_register;
    hmp_read_virtual = read_virtual;
    hmp_disassemble = disassemble;
}
