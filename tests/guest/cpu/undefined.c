/*
 * What a processor must refuse, whatever its CPUID says; and what it may do
 * exactly if that says so.
 *
 * Spec: Intel SDM volume 2, appendix A; volume 3A 2.5, 4.10.1; volume 4.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { UD = 6, GP = 13, NONE = 0xff };
enum { CR4_PCIDE = 1 << 17, CR4_LA57 = 1 << 12 };

static bool feature(uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4];

    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

/* --- opcodes ---------------------------------------------------------------------- */

static uint64_t line[16] __attribute__((aligned(64)));

/* Memory operands at RBX. */
#define OPCODE(name, want, bytes)                                           \
    do {                                                                    \
        uint8_t got_ = TRY(".byte " bytes, "b"(line), "c"(0), "a"(0),       \
                           "d"(0));                                         \
        check(got_ == (want), "%s: vector %u", name, got_);                 \
    } while (0)

static void opcodes(void)
{
    OPCODE("CLFLUSH", feature(1, 3, 19) ? NONE : UD, "0x0f, 0xae, 0x3b");
    OPCODE("CLFLUSHOPT", feature(7, 1, 23) ? NONE : UD,
           "0x66, 0x0f, 0xae, 0x3b");
    OPCODE("CLWB", feature(7, 1, 24) ? NONE : UD, "0x66, 0x0f, 0xae, 0x33");
    OPCODE("CLWB of a register", feature(7, 2, 5) ? NONE : UD,
           "0x66, 0x0f, 0xae, 0xf0");
    OPCODE("PCOMMIT", UD, "0x66, 0x0f, 0xae, 0xf8");
    OPCODE("SFENCE", NONE, "0x0f, 0xae, 0xf8");
    OPCODE("MFENCE", NONE, "0x0f, 0xae, 0xf0");
    OPCODE("LFENCE", NONE, "0x0f, 0xae, 0xe8");
    OPCODE("UMONITOR", feature(7, 2, 5) ? NONE : UD, "0xf3, 0x0f, 0xae, 0xf3");
    OPCODE("UMWAIT", feature(7, 2, 5) ? NONE : UD, "0xf2, 0x0f, 0xae, 0xf1");
    OPCODE("TPAUSE", feature(7, 2, 5) ? NONE : UD, "0x66, 0x0f, 0xae, 0xf1");
    OPCODE("SERIALIZE", feature(7, 3, 14) ? NONE : UD, "0x0f, 0x01, 0xe8");
    OPCODE("CLDEMOTE, or a NOP", NONE, "0x0f, 0x1c, 0x03");
    OPCODE("MOVDIRI", feature(7, 2, 27) ? NONE : UD, "0x0f, 0x38, 0xf9, 0x03");
    OPCODE("MOVDIRI of a register", UD, "0x0f, 0x38, 0xf9, 0xc3");
    OPCODE("MOVDIR64B of a register", UD, "0x66, 0x0f, 0x38, 0xf8, 0xc3");
    OPCODE("MOVBE of a register", UD, "0x0f, 0x38, 0xf0, 0xc0");
    OPCODE("LEA of a register", UD, "0x8d, 0xc0");
    OPCODE("RDPRU", feature(0x80000008, 1, 4) ? NONE : UD, "0x0f, 0x01, 0xfd");
    OPCODE("VMXON", UD, "0xf3, 0x0f, 0xc7, 0x33");
    OPCODE("VMRUN", UD, "0x0f, 0x01, 0xd8");
    OPCODE("CLGI", UD, "0x0f, 0x01, 0xdd");
    OPCODE("STGI", UD, "0x0f, 0x01, 0xdc");
    OPCODE("INVEPT", UD, "0x66, 0x0f, 0x38, 0x80, 0x03");
    OPCODE("INVVPID", UD, "0x66, 0x0f, 0x38, 0x81, 0x03");
    OPCODE("ENCLS", UD, "0x0f, 0x01, 0xcf");
    if (!feature(7, 1, 11)) {
        OPCODE("XBEGIN", UD, "0xc7, 0xf8, 0, 0, 0, 0");
        OPCODE("XTEST", UD, "0x0f, 0x01, 0xd6");
    }
    OPCODE("GETSEC", UD, "0x0f, 0x37");
    OPCODE("RDPKRU without CR4.PKE", UD, "0x0f, 0x01, 0xee");
    OPCODE("ENQCMD", UD, "0xf2, 0x0f, 0x38, 0xf8, 0x03");
    OPCODE("WRUSS", UD, "0x66, 0x0f, 0x38, 0xf5, 0x03");
    OPCODE("INCSSP, or a NOP", UD, "0xf3, 0x0f, 0xae, 0xe8");
    OPCODE("RDSSP is a NOP", NONE, "0xf3, 0x0f, 0x1e, 0xc8");
    OPCODE("ENDBR64 is a NOP", NONE, "0xf3, 0x0f, 0x1e, 0xfa");
    OPCODE("XSAVE without CR4.OSXSAVE", UD, "0x0f, 0xae, 0x23");
    OPCODE("UD0", UD, "0x0f, 0xff, 0xc0");
    OPCODE("UD1", UD, "0x0f, 0xb9, 0xc0");
    OPCODE("0F 04", UD, "0x0f, 0x04");
    OPCODE("0F A6", UD, "0x0f, 0xa6, 0xc0");
    OPCODE("LOCK MOV", UD, "0xf0, 0x89, 0x03");
    OPCODE("LOCK NOP", UD, "0xf0, 0x90");
    OPCODE("LOCK ADD of a register", UD, "0xf0, 0x01, 0xc0");
    OPCODE("MOV to CS", UD, "0x8e, 0xc8");
    OPCODE("MOV CR1", UD, "0x0f, 0x20, 0xc8");
    OPCODE("MOV DR8", UD, "0x44, 0x0f, 0x21, 0xc0");
    OPCODE("PUSH CS", UD, "0x0e");
    OPCODE("a long jump", UD, "0xea, 0, 0, 0, 0, 8, 0");
    OPCODE("AAA", UD, "0x37");
    OPCODE("SALC", UD, "0xd6");
    OPCODE("16 bytes", GP, "0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,"
           "0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90");
    OPCODE("15 bytes", NONE, "0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,"
           "0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90");
}

/* --- hypercalls -------------------------------------------------------------------- */

extern uint64_t page_root[];
static uint64_t edge_tables[3][512] __attribute__((aligned(4096)));
static uint8_t edge_page[4096] __attribute__((aligned(4096)));

/* At the end of the lower half: the next instruction has no address. */
static void hypercall_at_edge(void)
{
    uint8_t vector;

    edge_tables[0][511] = (uintptr_t)edge_tables[1] | 3;
    edge_tables[1][511] = (uintptr_t)edge_tables[2] | 3;
    edge_tables[2][511] = (uintptr_t)edge_page | 3;
    page_root[255] = (uintptr_t)edge_tables[0] | 3;
    WRITE_CR(3, READ_CR(3));
    edge_page[4093] = 0x0f;
    edge_page[4094] = 0x01;
    edge_page[4095] = 0xc1;
    vector = TRY("mov $0x7ffffffffffd, %%r12\n jmp *%%r12", "a"(-1l));
    check(vector == GP && caught_rip == 0x800000000000,
          "VMCALL at the end of the lower half: vector %u at 0x%lx", vector,
          caught_rip);
    edge_page[4093] = edge_page[4094] = edge_page[4095] = 0x90;
    vector = TRY("mov $0x7ffffffffffd, %%r12\n jmp *%%r12", "a"(-1l));
    check(vector == GP && caught_rip == 0x800000000000,
          "NOP there: vector %u at 0x%lx", vector, caught_rip);
    vector = TRY("mov $0x800000000000, %%r12\n jmp *%%r12", "a"(-1l));
    check(vector == GP && caught_rip != 0x800000000000,
          "JMP beyond it: vector %u at 0x%lx", vector, caught_rip);
}

static void hypercalls(void)
{
    bool hypervisor = feature(1, 2, 31);

    OPCODE("VMCALL", hypervisor ? NONE : UD, "0x0f, 0x01, 0xc1");
    OPCODE("VMMCALL", hypervisor ? NONE : UD, "0x0f, 0x01, 0xd9");
    if (hypervisor) {
        hypercall_at_edge();
    }
}

/* --- CR4 -------------------------------------------------------------------------- */

static uint8_t try_cr4(uint64_t v)
{
    return TRY("mov %%rax, %%cr4", "a"(v));
}

static uint8_t try_invpcid(uint64_t type, const uint64_t *desc)
{
    return TRY("invpcid (%%rbx), %%rax", "a"(type), "b"(desc));
}

static void pcids(void)
{
    uint64_t cr4 = READ_CR(4), cr3 = READ_CR(3), cr0 = READ_CR(0);
    uint64_t desc[2] = { 0, 0 };
    bool has_pcid = feature(1, 2, 17), has_invpcid = feature(7, 1, 10);

    check(!has_invpcid || has_pcid, "INVPCID comes with PCID");
    if (has_pcid) {
        WRITE_CR(3, cr3 | 1);
        check(try_cr4(cr4 | CR4_PCIDE) == GP, "PCIDE with bits in CR3");
        WRITE_CR(3, cr3);
        check(try_cr4(cr4 | CR4_PCIDE) == NONE, "PCIDE");
        check(TRY("mov %%rax, %%cr0", "a"(cr0 & 0x7fffffff)) == GP,
              "PG stays while PCIDE");
        WRITE_CR(4, cr4);
    } else {
        check(try_cr4(cr4 | CR4_PCIDE) == GP, "no PCIDE");
    }
    if (!has_invpcid) {
        check(try_invpcid(2, desc) == UD, "no INVPCID");
        return;
    }
    check(try_invpcid(1, desc) == NONE, "INVPCID 1 of PCID 0");
    desc[0] = 1;
    check(try_invpcid(1, desc) == GP, "INVPCID 1 of PCID 1 without PCIDE");
    check(try_invpcid(4, desc) == GP, "INVPCID 4");
    WRITE_CR(4, cr4 | CR4_PCIDE);
    desc[0] = 10;
    check(try_invpcid(2, desc) == NONE, "INVPCID 2");
    check(try_invpcid(0, desc) == NONE, "INVPCID 0");
    desc[0] = 1 << 12;
    check(try_invpcid(0, desc) == GP, "INVPCID of a reserved bit");
    desc[0] = 10;
    desc[1] = UINT64_C(0xaaaaaaaaaaaaa000);
    check(try_invpcid(0, desc) == GP, "INVPCID 0 of no address");
    check(TRY("invlpg (%%rax)", "a"(desc[1])) == NONE, "INVLPG of no address");
    WRITE_CR(4, cr4);
}

/* --- canonical addresses ------------------------------------------------------------ */

/* Registers that hold addresses take what the processor could have, not what the
 * present mode does: SDM volume 1, 3.3.7.1. */
static void addresses(void)
{
    static const struct { uint32_t n; const char *name; } msrs[] = {
        { 0xc0000100, "FS_BASE" }, { 0xc0000101, "GS_BASE" },
        { 0xc0000102, "KERNEL_GS_BASE" }, { 0xc0000082, "LSTAR" },
        { 0xc0000083, "CSTAR" }, { 0x175, "SYSENTER_ESP" },
        { 0x176, "SYSENTER_EIP" },
    };
    static const uint64_t good48 = UINT64_C(0xffff800000001000);
    static const uint64_t good57 = UINT64_C(0xff55555555000000);
    static const uint64_t bad = UINT64_C(0xaaaaaaaaaaaa0000);
    uint8_t wide = feature(7, 2, 16) ? NONE : GP;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) old, t;

    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        uint64_t was = rdmsr(msrs[i].n);

        check(try_wrmsr(msrs[i].n, good48) == NONE && rdmsr(msrs[i].n) == good48,
              "%s of 48 bits", msrs[i].name);
        check(try_wrmsr(msrs[i].n, good57) == wide, "%s of 57 bits",
              msrs[i].name);
        check(try_wrmsr(msrs[i].n, bad) == GP, "%s of none", msrs[i].name);
        wrmsr(msrs[i].n, was);
    }
    asm volatile("sgdt %0" : "=m"(old));
    t = old;
    t.base = good57;
    check(TRY("lgdt (%%rbx)\n lgdt (%%rcx)", "b"(&t), "c"(&old)) == wide,
          "LGDT of 57 bits");
    t.base = bad;
    check(TRY("lgdt (%%rbx)", "b"(&t)) == GP, "LGDT of none");
    asm volatile("sidt %0" : "=m"(old));
    t = old;
    t.base = good57;
    check(TRY("lidt (%%rbx)\n lidt (%%rcx)", "b"(&t), "c"(&old)) == wide,
          "LIDT of 57 bits");
    check(try_cr4(READ_CR(4) | CR4_LA57) == GP,
          "CR4.LA57 cannot change in 64-bit mode");
}

int main(void)
{
    opcodes();
    hypercalls();
    pcids();
    addresses();
    return 0;
}
