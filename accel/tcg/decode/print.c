/*
 * Instructions as text, for logs and test failures: near Intel's syntax, with
 * the operation's own name where several mnemonics share one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "cpu/state.h"

static const char *const op_names[N_OPS] = {
#define OP(name, ...) #name,
#include "accel/tcg/decode/ops.def"
#undef OP
};

static const char *const gpr_names[4][16] = {
    { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b",
      "r10b", "r11b", "r12b", "r13b", "r14b", "r15b" },
    { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w",
      "r11w", "r12w", "r13w", "r14w", "r15w" },
    { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d",
      "r10d", "r11d", "r12d", "r13d", "r14d", "r15d" },
    { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
      "r10", "r11", "r12", "r13", "r14", "r15" },
};
static const char *const high_names[4] = { "ah", "ch", "dh", "bh" };
static const char *const seg_names[16] = {
    "es", "cs", "ss", "ds", "fs", "gs", "?", "?", "?", "?", "?", "?", "?",
    "?", "?", "?",
};
static const char *const cc_names[16] = {
    "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l",
    "ge", "le", "g",
};

const char *insn_op_name(unsigned op)
{
    return op < N_OPS ? op_names[op] : "?";
}

static unsigned operand_width(const Insn *insn, unsigned opnd)
{
    static const uint8_t widths[8] = { 0, 1, 2, 4, 8, 10, 16, 0 };

    if ((opnd & OPD_WIDTH) == W_Z) {
        return insn->size == 2 ? 2 : 4;
    }
    return opnd & OPD_WIDTH ? widths[opnd >> 5] : insn->size;
}

static const char *gpr_name(unsigned reg, unsigned width)
{
    switch (width) {
    case 1:                     /* an offset in the register file */
        return reg & 1 ? high_names[reg >> 3 & 3]
                       : gpr_names[0][reg >> 3 & 15];
    case 2: return gpr_names[1][reg & 15];
    case 4: return gpr_names[2][reg & 15];
    default: return gpr_names[3][reg & 15];
    }
}

static void print_vector(const Insn *insn, unsigned n, GString *to)
{
    g_string_append_printf(to, "%cmm%u", insn->size == 32 ? 'y' : 'x', n);
}

static void print_memory(const Insn *insn, GString *to)
{
    unsigned width = insn->ea & EA_A16 ? 2 : insn->ea & EA_A32 ? 4 : 8;
    bool any = false;

    if (insn->ea & EA_SEG) {
        g_string_append_printf(to, "%s:", seg_names[insn->seg]);
    }
    g_string_append_c(to, '[');
    if (insn->ea & EA_RIP) {
        g_string_append(to, "rip");
        any = true;
    } else if (insn->base < 16) {
        g_string_append(to, gpr_name(insn->base, width));
        any = true;
    }
    if (insn->index < 16) {
        g_string_append(to, any ? "+" : "");
        if (insn_info(insn->op)->opnd[1] == OPD_XRM
            && insn_info(insn->op)->opnd[2] == OPD_XV
            && strstr(op_names[insn->op], "GATHER")) {
            print_vector(insn, insn->index, to);
        } else {
            g_string_append(to, gpr_name(insn->index, width));
        }
        if (insn->scale) {
            g_string_append_printf(to, "*%u", 1u << insn->scale);
        }
        any = true;
    }
    if (!any) {
        g_string_append_printf(to, "0x%" PRIx64,
                               (int64_t)insn->disp & size_mask(width));
    } else if (insn->disp) {
        g_string_append_printf(to, "%c0x%" PRIx64, insn->disp < 0 ? '-' : '+',
                               insn->disp < 0 ? -(int64_t)insn->disp
                                              : (int64_t)insn->disp);
    }
    g_string_append_c(to, ']');
}

static void print_number(int64_t v, unsigned width, GString *to)
{
    if (width >= 1 && width <= 8) {
        v &= size_mask(width);
    }
    g_string_append_printf(to, "0x%" PRIx64, v);
}

static void print_operand(const Insn *insn, unsigned opnd, GString *to)
{
    unsigned width = operand_width(insn, opnd);
    bool mem = insn->flags & INSN_MEM;

    switch (opnd & OPD_KIND) {
    case OPD_REG:
        g_string_append(to, gpr_name(insn->reg, width));
        break;
    case OPD_VREG:
        g_string_append(to, gpr_name(insn_vvvv(insn), width));
        break;
    case OPD_RM:
    case OPD_XRM:
    case OPD_PRM:
        if (mem) {
            if (insn_mem_size(insn)) {
                g_string_append_printf(to, "m%u ", insn_mem_size(insn) * 8);
            }
            print_memory(insn, to);
        } else if ((opnd & OPD_KIND) == OPD_RM) {
            g_string_append(to, gpr_name(insn->rm, width));
        } else if ((opnd & OPD_KIND) == OPD_XRM) {
            print_vector(insn, insn->rm, to);
        } else {
            g_string_append_printf(to, "mm%u", insn->rm);
        }
        break;
    case OPD_XREG: print_vector(insn, insn->reg, to); break;
    case OPD_XV: print_vector(insn, insn_vvvv(insn), to); break;
    case OPD_XIS4: print_vector(insn, (uint8_t)insn->imm, to); break;
    case OPD_PREG: g_string_append_printf(to, "mm%u", insn->reg); break;
    case OPD_ST0: g_string_append(to, "st0"); break;
    case OPD_ST: g_string_append_printf(to, "st%u", insn->rm); break;
    case OPD_SEG: g_string_append(to, seg_names[insn->reg & 15]); break;
    case OPD_CR: g_string_append_printf(to, "cr%u", insn->reg); break;
    case OPD_DR: g_string_append_printf(to, "dr%u", insn->reg); break;
    case OPD_CL: g_string_append(to, "cl"); break;
    case OPD_DX: g_string_append(to, "dx"); break;
    case OPD_IMM:
        print_number((int64_t)((uint64_t)insn->imm << 4) >> 4,
                     insn->size > 8 ? 1 : insn->size, to);
        break;
    case OPD_REL:
        g_string_append_printf(to, "$+%u%+" PRId64, insn->len, insn->imm);
        break;
    case OPD_FAR:
        g_string_append_printf(to, "0x%x:0x%x", (unsigned)(insn->imm >> 32),
                               (unsigned)insn->imm);
        break;
    case OPD_MOFFS:
        g_string_append_printf(to, "%s%s[0x%" PRIx64 "]",
                               insn->ea & EA_SEG ? seg_names[insn->seg] : "",
                               insn->ea & EA_SEG ? ":" : "", insn->imm);
        break;
    }
}

static void print_mnemonic(const Insn *insn, GString *to)
{
    const char *name = insn_op_name(insn->op);
    size_t len = strcspn(name, "_");

    if (insn->op == OP_JCC_I || insn->op == OP_SETCC_RM
        || insn->op == OP_CMOVCC_R_RM || insn->op == OP_FCMOVCC_ST0_STi) {
        g_string_append_len(to, name, len - 2);
        g_string_append(to, cc_names[insn->aux]);
        return;
    }
    /* MOVZX8 and so on: the operands tell the width. */
    if (g_str_has_prefix(name, "MOVZX") || g_str_has_prefix(name, "MOVSX")) {
        len = 5;
    }
    g_string_append_len(to, name, len);
    if (insn_info(insn->op)->implicit & IS_STRING && insn->size <= 8) {
        g_string_append_c(to, "?bw?d???q"[insn->size]);
    }
}

void insn_print(const Insn *insn, GString *to)
{
    const InsnInfo *info = insn_info(insn->op);
    size_t start = to->len;

    g_string_append(to, insn->flags & INSN_LOCK ? "lock " : "");
    g_string_append(to, insn->flags & INSN_REP ? "rep " : "");
    g_string_append(to, insn->flags & INSN_REPNE ? "repne " : "");
    print_mnemonic(insn, to);
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        if (info->opnd[i]) {
            g_string_append(to, i ? ", " : " ");
            print_operand(insn, info->opnd[i], to);
        }
    }
    for (char *c = to->str + start; *c; c++) {
        *c = g_ascii_tolower(*c);
    }
}
