/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "accel/tcg/jit/jit.h"
#include "base/opts.h"
#include "base/qsbr.h"

Machine *guest_machine;
uint8_t *guest_ram;
GString *guest_log;
uint32_t guest_io_reg[1024];
unsigned guest_n_io;
Region guest_rom;

static Region alias, io, ports;
static GMutex mutex;
static GCond exited;
static unsigned n_exits;
static uint8_t exit_value;

/* --- the board ------------------------------------------------------------ */

static uint64_t reg_read(void *opaque, hwaddr offset, unsigned size)
{
    __atomic_add_fetch(&guest_n_io, 1, __ATOMIC_RELAXED);
    return guest_io_reg[offset / 4];
}

static void reg_write(void *opaque, hwaddr offset, uint64_t val, unsigned size)
{
    __atomic_add_fetch(&guest_n_io, 1, __ATOMIC_RELAXED);
    guest_io_reg[offset / 4] = val;
}

static const IoOps reg_ops = {
    .read = reg_read, .write = reg_write, .size_min = 4, .size_max = 4,
};

static void port_write(void *opaque, hwaddr offset, uint64_t val,
                       unsigned size)
{
    g_mutex_lock(&mutex);
    if (offset == PORT_LOG) {
        g_string_append_c(guest_log, val);
    } else if (offset == PORT_EXIT) {
        exit_value = val;
        n_exits++;
        g_cond_broadcast(&exited);
    }
    g_mutex_unlock(&mutex);
}

static uint64_t port_read(void *opaque, hwaddr offset, unsigned size)
{
    return offset & 0xff;
}

static const IoOps port_ops = {
    .read = port_read, .write = port_write, .size_max = 1, .lockless = true,
};

static bool board_init(Machine *m, GError **err)
{
    region_map(mem_root(), 0, &m->ram, 0);
    region_init_alias(&alias, NULL, "alias", &m->ram, 0, m->ram_bytes);
    region_map(mem_root(), GUEST_ALIAS, &alias, 0);
    g_assert_true(region_init_rom(&guest_rom, NULL, "rom", 4096, err));
    region_map(mem_root(), GUEST_ROM, &guest_rom, 0);
    region_init_io(&io, NULL, "io", &reg_ops, NULL, 4096);
    region_map(mem_root(), GUEST_IO, &io, 0);
    region_init_io(&ports, NULL, "ports", &port_ops, NULL, 0x100);
    region_map(io_root(), 0, &ports, 0);
    return cpus_create(m, err);
}

static const MachineType guest_type = {
    .name = "guest", .doc = "RAM and vCPUs", .max_cpus = 8,
    .default_cpu = "max", .size = sizeof(Machine), .init = board_init,
};

/* RHEA_TEST_ACCEL: what would follow -accel tcg, */
static Opt *test_options(void)
{
    const char *text = g_getenv("RHEA_TEST_ACCEL");
    g_autoptr(GError) err = NULL;
    Opt *all;

    if (!text) {
        return NULL;
    }
    all = opt_new_dict();
    opt_put(all, "tcg", opt_parse_keyval(text, NULL, NULL, &err));
    g_assert_no_error(err);
    return all;
}

void guest_init(unsigned n_cpus)
{
    g_autoptr(Opt) opt = test_options();

    guest_init_accel(n_cpus, "tcg", opt);
}

bool guest_init_jit(unsigned n_cpus)
{
    if (!g_getenv("RHEA_TEST_ACCEL")) {
        g_setenv("RHEA_TEST_ACCEL", "jit=on", true);
    }
    guest_init(n_cpus);
    return jit_enabled;
}

void guest_init_accel(unsigned n_cpus, const char *accel_name, Opt *options)
{
    g_autoptr(GError) err = NULL;
    uint64_t offset;

    guest_log = g_string_new(NULL);
    machine_lock();
    guest_machine = machine_new(&guest_type);
    guest_machine->ram_bytes = GUEST_RAM_BYTES;
    guest_machine->topo = (CpuTopology) { n_cpus, n_cpus, n_cpus, 1, 1, 1 };
    guest_machine->cpu_model = "max";
    if (!accel_select(guest_machine, accel_name, options, &err)
        || !machine_init(guest_machine, &err)
        || !machine_done(guest_machine, &err)) {
        g_error("%s", err->message);
    }
    guest_ram = guest_machine->ram.ram->host;
    g_assert_nonnull(ram_from_host(guest_ram, &offset));
    machine_unlock();
}

void guest_free(void)
{
    cpus_destroy(guest_machine);
    cache_exit();
    qsbr_drain();
}

/* --- state -------------------------------------------------------------------- */

X86Cpu *guest_cpu(unsigned i)
{
    return g_ptr_array_index(guest_machine->cpus, i);
}

void guest_reset(void)
{
    machine_lock();
    machine_reset(guest_machine);
    memset(guest_ram, 0, GUEST_RAM_BYTES);
    ram_mark_dirty(guest_machine->ram.ram, 0, GUEST_RAM_BYTES);
    for (unsigned i = 1; i < guest_machine->cpus->len; i++) {
        guest_cpu(i)->state->wait_sipi = true;
    }
    memset(guest_io_reg, 0, sizeof(guest_io_reg));
    guest_n_io = 0;
    g_string_truncate(guest_log, 0);
    machine_unlock();
}

void guest_load(uint64_t gpa, const uint8_t *code, const uint8_t *end)
{
    as_write(&as_memory, gpa, code, end - code);
}

static void put(unsigned i)
{
    X86Cpu *cpu = guest_cpu(i);

    cpu->state->wait_sipi = false;
    cpu->accel->put_state(cpu);
}

void guest_real(unsigned i, uint16_t cs, uint16_t ip)
{
    X86State *s = guest_cpu(i)->state;

    s->seg[SEG_CS].selector = cs;
    s->seg[SEG_CS].base = cs << 4;
    s->rip = ip;
    s->gpr[R_RSP] = 0x7000 - 0x1000 * i;
    put(i);
}

static void flat_segments(X86State *s, bool code64)
{
    for (unsigned n = 0; n < N_SEG; n++) {
        s->seg[n] = (X86Seg) {
            .selector = 0x10, .limit = UINT32_MAX,
            .attr = SEGA_P | SEGA_S | SEGA_W | SEGA_A | SEGA_DB | SEGA_G,
        };
    }
    s->seg[SEG_CS].selector = 8;
    s->seg[SEG_CS].attr = SEGA_P | SEGA_S | SEGA_CODE | SEGA_R | SEGA_A
                          | SEGA_G | (code64 ? SEGA_L : SEGA_DB);
}

void guest_protected(unsigned i, uint32_t eip)
{
    X86State *s = guest_cpu(i)->state;

    flat_segments(s, false);
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP;
    s->rip = eip;
    s->gpr[R_RSP] = 0x7000 - 0x1000 * i;
    put(i);
}

void guest_long(unsigned i, uint64_t rip, uint64_t tables)
{
    X86State *s = guest_cpu(i)->state;
    uint64_t *t = (uint64_t *)(guest_ram + tables);

    /* PML4, PDPT, two PDs; the kernel half mirrors the first gigabyte. */
    t[0] = (tables + 0x1000) | 7;
    t[511] = (tables + 0x1000) | 7;
    t[512] = (tables + 0x2000) | 7;
    t[512 + 510] = (tables + 0x2000) | 7;
    t[512 + 1] = (tables + 0x3000) | 7;
    for (unsigned n = 0; n < 1024; n++) {
        t[1024 + n] = n * 2 * MiB | 0x87;
    }
    flat_segments(s, true);
    s->cr3 = tables;
    s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s->rip = rip;
    s->gpr[R_RSP] = 0x7000 - 0x1000 * i;
    put(i);
}

void guest_tables(unsigned i, uint64_t gdt, uint64_t idt)
{
    X86State *s = guest_cpu(i)->state;
    uint64_t *d = (uint64_t *)(guest_ram + gdt);

    d[1] = UINT64_C(0x00af9b000000ffff);        /* code */
    d[2] = UINT64_C(0x00cf93000000ffff);        /* data */
    s->gdtr = (X86Table) { gdt, 0x17 };
    s->idtr = (X86Table) { idt, 0xfff };
}

void guest_vectors(unsigned i, uint32_t mxcsr, const uint8_t *xmm)
{
    X86State *s = guest_cpu(i)->state;

    s->cr4 |= CR4_OSXMMEXCPT;
    s->cr2 = 0;
    s->rflags = 2;
    s->mxcsr = mxcsr;
    for (unsigned n = 0; n < 4; n++) {
        memcpy(&s->vec[n], xmm + 16 * n, 16);
    }
    put(i);
}

void guest_gate(uint64_t idt, unsigned vector, uint64_t handler)
{
    uint16_t *gate = (uint16_t *)(guest_ram + idt + 16 * vector);

    gate[0] = handler;
    gate[1] = 8;
    gate[2] = 0x8e00;
    gate[3] = handler >> 16;
}

/* --- running ------------------------------------------------------------------- */

static void dump(void)
{
    for (unsigned i = 0; i < guest_machine->cpus->len; i++) {
        g_autoptr(GString) out = g_string_new(NULL);

        cpu_print_registers(guest_cpu(i), out);
        g_printerr("%s", out->str);
    }
}

/* All takes longer on a busy host and under a sanitizer: RHEA_TEST_SLOW. */
static double patience(void)
{
    const char *slow = g_getenv("RHEA_TEST_SLOW");
    double load = 0;

    if (getloadavg(&load, 1) != 1) {
        load = 0;
    }
    return (slow ? g_ascii_strtod(slow, NULL) : 1)
           * CLAMP(load / g_get_num_processors(), 1, 10);
}

uint8_t guest_run(unsigned want)
{
    int64_t deadline = g_get_monotonic_time()
                       + patience() * 50 * G_TIME_SPAN_SECOND;
    bool ok = true;

    machine_lock();
    n_exits = 0;
    machine_start(guest_machine);
    machine_unlock();
    g_mutex_lock(&mutex);
    while (n_exits < want && ok) {
        ok = g_cond_wait_until(&exited, &mutex, deadline);
    }
    g_mutex_unlock(&mutex);
    machine_lock();
    machine_stop(guest_machine, RUN_STATE_PAUSED);
    machine_unlock();
    if (!ok) {
        dump();
        g_error("the guest did not exit");
    }
    return exit_value;
}

uint64_t guest_insns(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < guest_machine->cpus->len; i++) {
        n += guest_cpu(i)->n_insns;
    }
    return n;
}
