/*
 * System management mode: what SMI saves and sets, RSM, what waits meanwhile,
 * memory that only the handler sees.
 *
 * Spec: Intel SDM volume 3C chapter 32; AMD APM volume 2 section 10.2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/features.h"
#include "guest.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, GDT = 0x20000, IDT = 0x21000,
    SMBASE = 0x30000, SMBASE2 = 0x58000, MAP = 0xfe00, ENTRY = 0x8000,
    WINDOW = 0xa0000, WINDOW_BYTES = 0x10000, REPORT = 0x9000,
};

static Region window;           /* RAM in SMM, other RAM below it */
static X86State *s;

static void smi(void)
{
    cpu_interrupt(guest_cpu(0), CPU_PEND_SMI);
}

/* --- entry and RSM ---------------------------------------------------------------- */

/* Reports CR0, CR4, RFLAGS, CS, DR7; changes the saved RBX. */
GUEST_CODE(handler, "16",
    "mov %cr0, %eax\n mov %eax, %ds:(0x9000)\n"
    "mov %cr4, %eax\n mov %eax, %ds:(0x9004)\n"
    "pushfl\n popl %eax\n mov %eax, %ds:(0x9008)\n"
    "mov %cs, %eax\n mov %eax, %ds:(0x900c)\n"
    "mov %dr7, %eax\n mov %eax, %ds:(0x9010)\n"
    "incl %ds:(0x9014)\n"
    /* Segments reach all of memory. */
    "mov $0x123456, %edi\n movl $0x5a5a, (%edi)\n"
    "incl %cs:(0xffe0)\n"
    "rsm\n");

GUEST_CODE(after64, "64", "mov $3, %al\n" GUEST_EXIT);

static void start_long(void)
{
    guest_reset();
    GUEST_LOAD(CODE, after64);
    GUEST_LOAD(SMBASE + ENTRY, handler);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    for (unsigned i = 0; i < N_GPR; i++) {
        if (i != R_RSP) {
            s->gpr[i] = UINT64_C(0x1111111111111111) * i;
        }
    }
    s->seg[SEG_FS].base = UINT64_C(0xffff800012345678);
    s->rflags |= FL_CF | FL_IF | FL_DF;
    s->dr[7] = 0x401;
    s->dr[0] = 0x7777777;
    guest_cpu(0)->accel->put_state(guest_cpu(0));
}

static uint64_t saved(unsigned at, unsigned size)
{
    return load_le(guest_ram + SMBASE + MAP + at, size);
}

static void test_long(void)
{
    g_autofree X86State *before = NULL;

    start_long();
    before = g_memdup2(s, sizeof(*s));
    before->rflags |= 2;
    smi();
    g_assert_cmpuint(guest_run(1), ==, 3);
    /* The handler's world. */
    g_assert_cmphex(load_le32(guest_ram + REPORT), ==,
                    before->cr0 & ~(uint64_t)(CR0_PE | CR0_PG));
    g_assert_cmphex(load_le32(guest_ram + REPORT + 4), ==, 0);
    g_assert_cmphex(load_le32(guest_ram + REPORT + 8), ==, 2);
    g_assert_cmphex(load_le32(guest_ram + REPORT + 12), ==, SMBASE >> 4);
    g_assert_cmphex(load_le32(guest_ram + REPORT + 16), ==, 0x400);
    g_assert_cmphex(load_le32(guest_ram + 0x123456), ==, 0x5a5a);
    /* The map. */
    g_assert_cmphex(saved(0xfc, 4), ==, 0x20064);
    g_assert_cmphex(saved(0x100, 4), ==, SMBASE);
    g_assert_cmphex(saved(0x178, 8), ==, CODE);
    g_assert_cmphex(saved(0x1f8, 8), ==, 0);
    g_assert_cmphex(saved(0x1e0, 8), ==, before->gpr[R_RBX] + 1);
    g_assert_cmphex(saved(0x180, 8), ==, before->gpr[R_R15]);
    g_assert_cmphex(saved(0x158, 8), ==, before->cr0);
    g_assert_cmphex(saved(0x150, 8), ==, before->cr3);
    g_assert_cmphex(saved(0x148, 8), ==, before->cr4);
    g_assert_cmphex(saved(0x0d0, 8), ==, before->efer);
    g_assert_cmphex(saved(0x170, 8), ==, before->rflags);
    g_assert_cmphex(saved(0x0c9, 1), ==, 0);
    g_assert_cmphex(saved(0x048, 8), ==, before->seg[SEG_FS].base);
    g_assert_cmphex(saved(0x010, 2), ==, before->seg[SEG_CS].selector);
    g_assert_cmphex(saved(0x012, 2), ==, before->seg[SEG_CS].attr);
    g_assert_cmphex(saved(0x068, 8), ==, GDT);
    g_assert_cmphex(saved(0x084, 4), ==, before->idtr.limit);
    /* All is as before, but for what the handler and three instructions did. */
    before->gpr[R_RBX]++;
    before->gpr[R_RAX] = 3;
    g_assert_cmpmem(s->gpr, sizeof(s->gpr), before->gpr, sizeof(s->gpr));
    g_assert_cmpmem(s->seg, sizeof(s->seg), before->seg, sizeof(s->seg));
    g_assert_cmphex(s->rflags, ==, before->rflags);
    g_assert_cmphex(s->cr0, ==, before->cr0);
    g_assert_cmphex(s->cr4, ==, before->cr4);
    g_assert_cmphex(s->efer, ==, before->efer);
    g_assert_cmphex(s->dr[7], ==, before->dr[7]);
    g_assert_cmphex(s->dr[0], ==, before->dr[0]);
    g_assert_false(s->smm);
    g_assert_false(s->nmi_blocked);
    g_assert_cmpuint(s->smi_count, ==, 1);
}

/* A processor without long mode has the other map. */
GUEST_CODE(handler32, "16", "incl %cs:(0xffdc)\n rsm\n");
GUEST_CODE(after32, "32", "mov $4, %al\n" GUEST_EXIT);

static void test_legacy(void)
{
    X86Cpu *cpu = guest_cpu(0);
    CpuModel *long_mode = cpu->model;

    cpu->model = cpu_model_new("max,-lm", cpu->accel, NULL);
    guest_reset();
    GUEST_LOAD(CODE, after32);
    GUEST_LOAD(SMBASE + ENTRY, handler32);
    guest_protected(0, CODE);
    s->gpr[R_RBX] = 0xfffffffe;
    s->seg[SEG_GS].base = 0x1234;
    smi();
    g_assert_cmpuint(guest_run(1), ==, 4);
    g_assert_cmphex(saved(0xfc, 4), ==, 0x20000);
    g_assert_cmphex(saved(0xf8, 4), ==, SMBASE);
    g_assert_cmphex(saved(0x1f0, 4), ==, CODE);
    g_assert_cmphex(saved(0x1fc, 4), ==, s->cr0);
    g_assert_cmphex(saved(0x1ac, 4), ==, s->seg[SEG_CS].selector);
    g_assert_cmphex(saved(0x1e0, 4), ==, s->gpr[R_RSP]);
    g_assert_cmphex(s->gpr[R_RBX], ==, 0xffffffff);
    g_assert_cmphex(s->seg[SEG_GS].base, ==, 0x1234);
    g_assert_cmphex(s->seg[SEG_CS].attr, ==,
                    SEGA_P | SEGA_S | SEGA_CODE | SEGA_R | SEGA_A | SEGA_G
                    | SEGA_DB);
    cpu_model_free(cpu->model);
    cpu->model = long_mode;
}

GUEST_CODE(relocate, "16", "movl $0x58000, %cs:(0xff00)\n rsm\n");
GUEST_CODE(second, "16", "movl $0x77, %cs:(0xffe0)\n rsm\n");

static void test_relocation(void)
{
    start_long();
    GUEST_LOAD(SMBASE + ENTRY, relocate);
    GUEST_LOAD(SMBASE2 + ENTRY, second);
    smi();
    guest_run(1);
    g_assert_cmphex(s->smbase, ==, SMBASE2);
    smi();
    guest_long(0, CODE, TABLES);
    guest_run(1);
    g_assert_cmphex((uint32_t)s->gpr[R_RBX], ==, 0x77);
    g_assert_cmphex(load_le32(guest_ram + SMBASE2 + MAP + 0x100), ==, SMBASE2);
    /* INIT keeps it, reset does not. */
    cpu_reset_state(guest_cpu(0), true);
    g_assert_cmphex(s->smbase, ==, SMBASE2);
    guest_reset();
    g_assert_cmphex(s->smbase, ==, SMBASE);
}

/* --- HLT ------------------------------------------------------------------------------ */

GUEST_CODE(halts, "64", "hlt\n mov $5, %al\n" GUEST_EXIT);
GUEST_CODE(may_wake, "16",
    "mov %cs:(0xfec9), %bl\n mov %bl, %ds:(0x9000)\n"
    "testb $1, %ds:(0x9004)\n jnz 1f\n"
    "mov $6, %al\n out %al, $0xf4\n"
    "2: testb $1, %ds:(0x9004)\n jz 2b\n rsm\n"
    "1: movb $0, %cs:(0xfec9)\n rsm\n");

/* Auto-HALT restart: back to sleep, unless the handler clears the bit. */
static void test_halt(void)
{
    guest_reset();
    GUEST_LOAD(CODE, halts);
    GUEST_LOAD(SMBASE + ENTRY, may_wake);
    guest_long(0, CODE, TABLES);
    s->halted = true;
    s->rip++;
    smi();
    g_assert_cmpuint(guest_run(1), ==, 6);
    g_assert_cmphex(guest_ram[REPORT], ==, 1);
    /* The first handler's RSM, HLT again, then the second. */
    guest_ram[REPORT] = 0;
    guest_ram[REPORT + 4] = 1;
    smi();
    g_assert_cmpuint(guest_run(1), ==, 5);
    g_assert_cmphex(guest_ram[REPORT], ==, 1);
    g_assert_cmpuint(s->smi_count, ==, 2);
}

/* --- what waits ------------------------------------------------------------------------ */

/* Exits in the middle, so that the test can raise things, and waits until it
 * may go on. */
GUEST_CODE(pauses, "16",
    "mov $1, %al\n out %al, $0xf4\n"
    "1: cmpb $0, %ds:(0x9000)\n je 1b\n decb %ds:(0x9000)\n rsm\n");

static void go_on(void)
{
    guest_ram[REPORT]++;
}

GUEST_CODE(nmi_handler, "64", "mov $9, %al\n" GUEST_EXIT);

static void test_nmi_waits(void)
{
    start_long();
    GUEST_LOAD(SMBASE + ENTRY, pauses);
    GUEST_LOAD(CODE + 0x100, nmi_handler);
    guest_gate(IDT, 2, CODE + 0x100);
    smi();
    g_assert_cmpuint(guest_run(1), ==, 1);
    g_assert_true(s->smm);
    g_assert_true(s->nmi_blocked);
    cpu_nmi(guest_cpu(0));
    go_on();
    /* It comes after RSM, before the interrupted program goes on. */
    g_assert_cmpuint(guest_run(1), ==, 9);
    g_assert_false(s->smm);
}

static void test_smi_waits(void)
{
    start_long();
    GUEST_LOAD(SMBASE + ENTRY, pauses);
    smi();
    g_assert_cmpuint(guest_run(1), ==, 1);
    g_assert_cmpuint(s->smi_count, ==, 1);
    smi();
    go_on();
    g_assert_cmpuint(guest_run(1), ==, 1);      /* a second time */
    g_assert_cmpuint(s->smi_count, ==, 2);
    go_on();
    g_assert_cmpuint(guest_run(1), ==, 3);
}

GUEST_CODE(pauses_twice, "16",
    "mov $1, %al\n out %al, $0xf4\n"
    "1: cmpb $0, %ds:(0x9000)\n je 1b\n"
    "mov $2, %al\n" GUEST_EXIT);

static void test_init_waits(void)
{
    start_long();
    GUEST_LOAD(SMBASE + ENTRY, pauses_twice);
    smi();
    g_assert_cmpuint(guest_run(1), ==, 1);
    cpu_interrupt(guest_cpu(0), CPU_PEND_INIT);
    go_on();
    g_assert_cmpuint(guest_run(1), ==, 2);
    g_assert_true(s->smm);
    g_assert_cmphex(cpu_pending(guest_cpu(0)) & CPU_PEND_INIT, !=, 0);
    cpu_clear_pending(guest_cpu(0), CPU_PEND_INIT);
}

/* --- memory ---------------------------------------------------------------------------- */

/* Both worlds have code and data at the same addresses. */
GUEST_CODE(outside, "64",
    "mov $0xa0000, %ebx\n call *%rbx\n mov 0xa0100, %r8\n"
    "mov $0, %al\n out %al, $0xf4\n"
    "1: cmpb $0, 0x9008\n je 1b\n"
    "call *%rbx\n mov 0xa0100, %r9\n mov $1, %al\n" GUEST_EXIT);
GUEST_CODE(adds_one, "64", "add $1, %rcx\n ret\n");
GUEST_CODE(inside, "16",
    "lcall $0xa000, $0\n"
    "mov $0xa0100, %edi\n mov (%edi), %eax\n mov %eax, %ds:(0x9000)\n"
    "mov %cx, %ds:(0x9004)\n rsm\n");
GUEST_CODE(adds_16, "16", "add $16, %cx\n lret\n");

static void test_memory(void)
{
    uint8_t *smram = window.ram->host;

    guest_reset();
    GUEST_LOAD(CODE, outside);
    GUEST_LOAD(WINDOW, adds_one);
    GUEST_LOAD(SMBASE + ENTRY, inside);
    store_le64(guest_ram + WINDOW + 0x100, 0x1111);
    memcpy(smram, adds_16, adds_16_end - adds_16);
    store_le64(smram + 0x100, 0x2222);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    s->gpr[R_RCX] = 0;
    g_assert_cmpuint(guest_run(1), ==, 0);
    smi();
    guest_ram[REPORT + 8] = 1;
    g_assert_cmpuint(guest_run(1), ==, 1);
    g_assert_cmphex(s->gpr[R_R8], ==, 0x1111);
    g_assert_cmphex(s->gpr[R_R9], ==, 0x1111);
    g_assert_cmphex(s->gpr[R_RCX], ==, 2);
    g_assert_cmphex(load_le32(guest_ram + REPORT), ==, 0x2222);
    g_assert_cmphex(load_le16(guest_ram + REPORT + 4), ==, 17);
}

/* --- RSM ------------------------------------------------------------------------------- */

GUEST_CODE(rsm_outside, "64", "rsm\n");
GUEST_CODE(ud_handler, "64", "mov $2, %al\n" GUEST_EXIT);

static void test_undefined(void)
{
    guest_reset();
    GUEST_LOAD(CODE, rsm_outside);
    GUEST_LOAD(CODE + 0x100, ud_handler);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    guest_gate(IDT, EXC_UD, CODE + 0x100);
    g_assert_cmpuint(guest_run(1), ==, 2);
}

/* Each of these in the map is a state that no processor can be in. */
static void test_shutdown(void)
{
    static const struct {
        unsigned at;
        uint64_t val;
    } cases[] = {
        { 0x158, UINT64_C(0x80000010) },        /* PG without PE */
        { 0x158, CR0_PE | CR0_NW | CR0_PG },    /* NW without CD */
        { 0x158, UINT64_C(0x180000011) },
        { 0x148, BIT64(30) },                   /* reserved in CR4 */
        { 0x148, 0 },                           /* long mode without PAE */
        { 0x0d0, 2 },                           /* reserved in EFER */
        { 0x0d0, EFER_LME },                    /* LMA is not LME and PG */
        { 0x150, BIT64(62) },                   /* CR3 */
        { 0x160, BIT64(40) },                   /* DR7 */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Env *env = guest_env(0);

        start_long();
        GUEST_LOAD(SMBASE + ENTRY, pauses);
        smi();
        g_assert_cmpuint(guest_run(1), ==, 1);
        store_le64(guest_ram + SMBASE + MAP + cases[i].at, cases[i].val);
        go_on();
        g_assert_cmpint(tcg_run(env->cpu), ==, CPU_RUN_TRIPLE_FAULT);
        g_assert_false(s->smm);
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    s = guest_cpu(0)->state;
    machine_lock();
    g_assert_true(region_init_ram(&window, NULL, "smram", WINDOW_BYTES, NULL));
    region_map(smm_root(), WINDOW, &window, 1);
    machine_unlock();
    g_test_add_func("/smm/long", test_long);
    g_test_add_func("/smm/legacy", test_legacy);
    g_test_add_func("/smm/relocation", test_relocation);
    g_test_add_func("/smm/halt", test_halt);
    g_test_add_func("/smm/nmi-waits", test_nmi_waits);
    g_test_add_func("/smm/smi-waits", test_smi_waits);
    g_test_add_func("/smm/init-waits", test_init_waits);
    g_test_add_func("/smm/memory", test_memory);
    g_test_add_func("/smm/undefined", test_undefined);
    g_test_add_func("/smm/shutdown", test_shutdown);
    status = g_test_run();
    machine_lock();
    region_destroy(&window);
    machine_unlock();
    guest_free();
    return status;
}
