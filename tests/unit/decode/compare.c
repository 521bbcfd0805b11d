/*
 * Our decoder against Zydis 4.0: validity, length, mnemonic, every operand.
 *
 * The exceptions are here and in docs/decoder.md, nowhere else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"

#include <Zydis/Zydis.h>

bool compare_row_hit[4096];

static ZydisDecoder decoders[N_MODES];
static char why[512];

static const struct {
    ZydisMachineMode machine;
    ZydisStackWidth stack;
} modes[N_MODES] = {
    [MODE_64] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
    [MODE_32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
    [MODE_16] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
    [MODE_REAL] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
};

void compare_init(void)
{
    for (unsigned m = 0; m < N_MODES; m++) {
        ZydisDecoder *d = &decoders[m];

        ZydisDecoderInit(d, modes[m].machine, modes[m].stack);
        ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_TRUE);
    }
}

bool compare_is_invalid(const uint8_t *p, unsigned n)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];

    return !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[MODE_64], p, n, &z,
                                                zo));
}

/* Instruction sets that Zydis knows and we do not have: #UD here. */
static bool not_ours(const ZydisDecodedInstruction *z)
{
    switch (z->encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
        break;
    default:
        return true;
    }
    switch (z->meta.isa_ext) {
    case ZYDIS_ISA_EXT_AMD3DNOW:
    case ZYDIS_ISA_EXT_AMD_INVLPGB:
    case ZYDIS_ISA_EXT_AMX_BF16:
    case ZYDIS_ISA_EXT_AMX_INT8:
    case ZYDIS_ISA_EXT_AMX_TILE:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_CET:
    case ZYDIS_ISA_EXT_CLZERO:
    case ZYDIS_ISA_EXT_ENQCMD:
    case ZYDIS_ISA_EXT_FMA4:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_HRESET:
    case ZYDIS_ISA_EXT_KEYLOCKER:
    case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
    case ZYDIS_ISA_EXT_KNC:
    case ZYDIS_ISA_EXT_KNCE:
    case ZYDIS_ISA_EXT_KNCV:
    case ZYDIS_ISA_EXT_MCOMMIT:
    case ZYDIS_ISA_EXT_MONITORX:
    case ZYDIS_ISA_EXT_MPX:
    case ZYDIS_ISA_EXT_PADLOCK:
    case ZYDIS_ISA_EXT_PCONFIG:
    case ZYDIS_ISA_EXT_PT:
    case ZYDIS_ISA_EXT_RDPRU:
    case ZYDIS_ISA_EXT_RTM:
    case ZYDIS_ISA_EXT_SGX:
    case ZYDIS_ISA_EXT_SGX_ENCLV:
    case ZYDIS_ISA_EXT_SMX:
    case ZYDIS_ISA_EXT_SNP:
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_TBM:
    case ZYDIS_ISA_EXT_TDX:
    case ZYDIS_ISA_EXT_TSX_LDTRK:
    case ZYDIS_ISA_EXT_UINTR:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VMFUNC:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
    case ZYDIS_ISA_EXT_WAITPKG:
    case ZYDIS_ISA_EXT_XOP:
        return true;
    case ZYDIS_ISA_EXT_SVM:
        return z->mnemonic != ZYDIS_MNEMONIC_VMMCALL;
    case ZYDIS_ISA_EXT_VTX:
        return z->mnemonic != ZYDIS_MNEMONIC_VMCALL;
    default:
        return z->meta.isa_set == ZYDIS_ISA_SET_LWP;
    }
}

/* Zydis' names that differ from ours by more than what mnemonic() does. */
static const struct { const char *ours, *zydis; } names[] = {
    { "FADD_ST0_I", "fiadd" }, { "FMUL_ST0_I", "fimul" },
    { "FSUB_ST0_I", "fisub" }, { "FSUBR_ST0_I", "fisubr" },
    { "FDIV_ST0_I", "fidiv" }, { "FDIVR_ST0_I", "fidivr" },
    { "FCOM_ST0_I", "ficom" }, { "FCOMP_ST0_I", "ficomp" },
    { "RETF", "ret" },
};

static const char *const zydis_cc[16] = {
    "o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "p", "np", "l",
    "nl", "le", "nle",
};

/* Zydis' mnemonic of our instruction. */
static const char *mnemonic(const Insn *i, TestMode mode)
{
    static char buf[64];
    const char *name = insn_op_name(i->op), *size = "?bw?d???q";
    size_t len = strcspn(name, "_");
    bool wide = mode == MODE_64 && i->size == 8;

    for (unsigned n = 0; n < G_N_ELEMENTS(names); n++) {
        if (g_str_has_prefix(name, names[n].ours)) {
            return names[n].zydis;
        }
    }
    g_snprintf(buf, sizeof(buf), "%.*s", (int)len, name);
    switch (i->op) {
    case OP_JCC_I:
        g_snprintf(buf, sizeof(buf), "j%s", zydis_cc[i->aux]);
        break;
    case OP_SETCC_RM:
        g_snprintf(buf, sizeof(buf), "set%s", zydis_cc[i->aux]);
        break;
    case OP_CMOVCC_R_RM:
        g_snprintf(buf, sizeof(buf), "cmov%s", zydis_cc[i->aux]);
        break;
    case OP_FCMOVCC_ST0_STi: {
        static const char *const cc[] = { [2] = "b", [3] = "nb", [4] = "e",
            [5] = "ne", [6] = "be", [7] = "nbe", [10] = "u", [11] = "nu" };

        g_snprintf(buf, sizeof(buf), "fcmov%s", cc[i->aux]);
        break;
    }
    case OP_MOVS: case OP_STOS: case OP_LODS: case OP_SCAS: case OP_CMPS:
    case OP_INS: case OP_OUTS:
        g_snprintf(buf, sizeof(buf), "%.*s%c", (int)len, name, size[i->size]);
        break;
    case OP_CBW: return i->size == 2 ? "cbw" : i->size == 4 ? "cwde" : "cdqe";
    case OP_CWD: return i->size == 2 ? "cwd" : i->size == 4 ? "cdq" : "cqo";
    case OP_JCXZ_I:
        return i->flags & INSN_A16 ? "jcxz" : i->flags & INSN_A32 ? "jecxz"
                                                                  : "jrcxz";
    case OP_PUSHA: case OP_POPA: case OP_PUSHF: case OP_POPF: case OP_IRET:
        if (i->size != 2) {
            g_strlcat(buf, i->size == 4 ? "d" : "q", sizeof(buf));
        }
        break;
    case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM: return "movzx";
    case OP_MOVSX8_R_RM: case OP_MOVSX16_R_RM: return "movsx";
    case OP_MOVSX32_R_RM: return "movsxd";
    case OP_JMPF_I: case OP_JMPF_M: return "jmp";
    case OP_CALLF_I: case OP_CALLF_M: return "call";
    case OP_LFP_R_M:
        g_snprintf(buf, sizeof(buf), "l%cs", "ecsdfg"[i->aux]);
        break;
    case OP_SALC: case OP_XLAT: break;
    case OP_INT_I: return "int";
    case OP_FNSTSW_AX: case OP_FNSTSW_M: return "fnstsw";
    case OP_FNSAVE_M: return "fnsave";
    case OP_SYSRET: case OP_SYSEXIT:
        break;
    case OP_FXSAVE_M: case OP_FXRSTOR_M: case OP_XSAVE_M: case OP_XRSTOR_M:
    case OP_XSAVEOPT_M: case OP_XSAVEC_M: case OP_XSAVES_M: case OP_XRSTORS_M:
        g_strlcat(buf, wide ? "64" : "", sizeof(buf));
        break;
    case OP_MOVD_X_RM: case OP_MOVD_RM_X: case OP_MOVD_P_RM: case OP_MOVD_RM_P:
        return wide ? "movq" : "movd";
    case OP_VMOVD_X_RM: case OP_VMOVD_RM_X: return wide ? "vmovq" : "vmovd";
    case OP_PINSRD_X_RM_I: return wide ? "pinsrq" : "pinsrd";
    case OP_PEXTRD_RM_X_I: return wide ? "pextrq" : "pextrd";
    case OP_VPINSRD_X_X_RM_I: return wide ? "vpinsrq" : "vpinsrd";
    case OP_VPEXTRD_RM_X_I: return wide ? "vpextrq" : "vpextrd";
    }
    for (char *c = buf; *c; c++) {
        *c = g_ascii_tolower(*c);
    }
    return buf;
}

static bool same_name(const Insn *i, const char *zydis, TestMode mode)
{
    switch (i->op) {
    case OP_PREFETCH_M:
    case OP_PREFETCHW_M:        /* the hints differ in name only */
        return g_str_has_prefix(zydis, "prefetch");
    case OP_FNOP:               /* feni8087_nop ... */
        return g_str_has_suffix(zydis, "nop");
    case OP_FSTP_STi:
        return g_str_has_prefix(zydis, "fstp");
    case OP_WBNOINVD:
        return g_str_has_prefix(zydis, "wb");
    }
    return strcmp(mnemonic(i, mode), zydis) == 0;
}

/* Register `n` of the bank that begins at `first`. */
static bool bank_is(unsigned n, ZydisRegister first, ZydisRegister z)
{
    return (unsigned)z == (unsigned)first + n;
}

static bool gpr_is(unsigned reg, unsigned width, ZydisRegister z)
{
    switch (width) {
    case 1:
        if (reg & 1) {
            return bank_is(reg >> 3, ZYDIS_REGISTER_AH, z);
        }
        return reg < 32 ? bank_is(reg >> 3, ZYDIS_REGISTER_AL, z)
                        : bank_is((reg >> 3) - 4, ZYDIS_REGISTER_SPL, z);
    case 2: return bank_is(reg, ZYDIS_REGISTER_AX, z);
    case 4: return bank_is(reg, ZYDIS_REGISTER_EAX, z);
    default: return bank_is(reg, ZYDIS_REGISTER_RAX, z);
    }
}

static bool memory_is(const Insn *i, const ZydisDecodedOperand *z,
                      TestMode mode)
{
    unsigned bytes = i->ea & EA_A16 ? 2 : i->ea & EA_A32 ? 4 : 8;
    unsigned size = insn_mem_size(i);
    bool vsib = z->mem.type == ZYDIS_MEMOP_TYPE_VSIB;
    bool override;

    if (z->type != ZYDIS_OPERAND_TYPE_MEMORY) {
        return false;
    }
    if (i->ea & EA_RIP) {
        if (z->mem.base != (bytes == 8 ? ZYDIS_REGISTER_RIP
                                       : ZYDIS_REGISTER_EIP)) {
            return false;
        }
    } else if (i->base == R_ZERO ? z->mem.base != ZYDIS_REGISTER_NONE
               : !gpr_is(i->base, bytes, z->mem.base)) {
        return false;
    }
    if (vsib) {
        if ((unsigned)ZydisRegisterGetId(z->mem.index) != i->index) {
            return false;
        }
    } else if (i->index == R_ZERO ? z->mem.index != ZYDIS_REGISTER_NONE
               : !gpr_is(i->index, bytes, z->mem.index)) {
        return false;
    }
    if (i->index != R_ZERO && z->mem.scale != 1 << i->scale) {
        return false;
    }
    if (((i->disp ^ z->mem.disp.value) & size_mask(bytes)) != 0) {
        return false;
    }
    if (i->op != OP_LEA_R_M
        && !bank_is(i->seg, ZYDIS_REGISTER_ES, z->mem.segment)) {
        return false;
    }
    override = i->seg == SEG_FS || i->seg == SEG_GS;
    if (i->op != OP_LEA_R_M
        && !!(i->ea & EA_SEG) != (mode != MODE_64 || override)) {
        return false;
    }
    /* The state areas' sizes depend on the mode; gathers are per element. */
    if (insn_info(i->op)->mem != MEM_ADDR && !vsib && size < 512
        && !(z->size == 512 && size == 1)       /* CLFLUSH: line or byte */
        && i->op != OP_MOVSX32_R_RM             /* 66: a word, not more */
        && z->size != size * 8) {
        g_snprintf(why, sizeof(why), "memory of %u bytes, not %u", size,
                   z->size / 8);
        return false;
    }
    return true;
}

/* The vector registers of scalars and conversions are XMM whatever L is. */
static bool vec_is(unsigned reg, ZydisRegister z)
{
    return (ZydisRegisterGetClass(z) == ZYDIS_REGCLASS_XMM
            || ZydisRegisterGetClass(z) == ZYDIS_REGCLASS_YMM)
           && (unsigned)ZydisRegisterGetId(z) == reg;
}

static bool id_is(unsigned reg, ZydisRegister z)
{
    return (unsigned)ZydisRegisterGetId(z) == reg;
}

/* Zydis shows ST(0) second. */
static bool st_either_way(const Insn *i)
{
    return i->op == OP_FCOM_ST0_STi || i->op == OP_FCOMP_ST0_STi
           || i->op == OP_FUCOM_ST0_STi || i->op == OP_FUCOMP_ST0_STi
           || i->op == OP_FXCH_ST0_STi;
}

/*
 * A general register whose width does not matter, because the result is zero-
 * extended (MOVMSKPS, PEXTRB, CRC32), or 16 bits are used of it (LAR), or the
 * address size rules (MOVDIR64B).
 */
static bool any_width(const Insn *i)
{
    return i->size > 8 || i->op == OP_CRC32_R_RM || i->op == OP_LAR_R_RM
           || i->op == OP_LSL_R_RM || i->op == OP_MOVDIR64B_R_M;
}

static bool operand_is(const Insn *i, unsigned opnd,
                       const ZydisDecodedOperand *z,
                       const ZydisDecodedInstruction *zi, TestMode mode)
{
    static const uint8_t widths[8] = { 0, 1, 2, 4, 8, 10, 16, 0 };
    unsigned width = (opnd & OPD_WIDTH) == W_Z ? MIN(i->size, 4)
                     : opnd & OPD_WIDTH ? widths[opnd >> 5] : i->size;
    bool mem = i->flags & INSN_MEM;
    bool reg = z->type == ZYDIS_OPERAND_TYPE_REGISTER;
    bool imm = z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    uint64_t value = (uint64_t)i->imm << 4 >> 4;

    switch (opnd & OPD_KIND) {
    case OPD_RM:
        return mem ? memory_is(i, z, mode)
                   : reg && (gpr_is(i->rm, width, z->reg.value)
                             || (any_width(i) && id_is(i->rm, z->reg.value)));
    case OPD_XRM:
        return mem ? memory_is(i, z, mode)
                   : reg && vec_is(i->rm, z->reg.value);
    case OPD_PRM:
        return mem ? memory_is(i, z, mode)
                   : reg && bank_is(i->rm, ZYDIS_REGISTER_MM0, z->reg.value);
    case OPD_REG:
        return reg && (gpr_is(i->reg, width, z->reg.value)
                       || (any_width(i) && id_is(i->reg, z->reg.value)));
    case OPD_VREG: return reg && gpr_is(insn_vvvv(i), width, z->reg.value);
    case OPD_XREG: return reg && vec_is(i->reg, z->reg.value);
    case OPD_XV: return reg && vec_is(insn_vvvv(i), z->reg.value);
    case OPD_XIS4: return reg && vec_is((uint8_t)i->imm, z->reg.value);
    case OPD_PREG:
        return reg && bank_is(i->reg, ZYDIS_REGISTER_MM0, z->reg.value);
    case OPD_ST0:
        return reg && (z->reg.value == ZYDIS_REGISTER_ST0
                       || st_either_way(i));
    case OPD_ST:
        return reg && (bank_is(i->rm, ZYDIS_REGISTER_ST0, z->reg.value)
                       || st_either_way(i));
    case OPD_SEG:
        return reg && bank_is(i->reg, ZYDIS_REGISTER_ES, z->reg.value);
    case OPD_CR:
        return reg && bank_is(i->reg, ZYDIS_REGISTER_CR0, z->reg.value);
    case OPD_DR:
        return reg && bank_is(i->reg, ZYDIS_REGISTER_DR0, z->reg.value);
    case OPD_CL: return reg && z->reg.value == ZYDIS_REGISTER_CL;
    case OPD_DX: return reg && z->reg.value == ZYDIS_REGISTER_DX;
    case OPD_IMM:
        if (i->op == OP_ENTER) {
            return imm && z->imm.value.u == (i->imm & 0xffff);
        }
        if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
            return imm && z->imm.value.u == value;
        }
        /* Signed ones are compared as Zydis cuts them. */
        return imm && (z->imm.value.u == (uint64_t)i->imm
                       || (z->imm.is_signed && i->size && i->size <= 8
                           && ((z->imm.value.u ^ i->imm)
                               & size_mask(i->size)) == 0)
                       || (!z->imm.is_signed && i->size && i->size <= 8
                           && z->imm.value.u
                              == (i->imm & size_mask(i->size))));
    case OPD_REL: return imm && z->imm.value.s == i->imm;
    case OPD_FAR:
        return z->type == ZYDIS_OPERAND_TYPE_POINTER
               && z->ptr.segment == (uint64_t)i->imm >> 32
               && z->ptr.offset == (uint32_t)i->imm;
    case OPD_MOFFS:
        return z->type == ZYDIS_OPERAND_TYPE_MEMORY
               && z->mem.base == ZYDIS_REGISTER_NONE
               && z->mem.disp.value == i->imm
               && bank_is(i->seg, ZYDIS_REGISTER_ES, z->mem.segment);
    }
    return false;
}

static const char *compare_operands(const Insn *i,
                                    const ZydisDecodedInstruction *z,
                                    const ZydisDecodedOperand *zo,
                                    TestMode mode)
{
    const InsnInfo *info = insn_info(i->op);

    for (unsigned n = 0; n < 4 && info->opnd[n]; n++) {
        g_snprintf(why, sizeof(why), "operand %u", n);
        if (n >= z->operand_count
            || !operand_is(i, info->opnd[n], &zo[n], z, mode)) {
            return why;
        }
    }
    return NULL;
}

static unsigned pack_flags(ZydisAccessedFlagsMask m)
{
    return (m & ZYDIS_CPUFLAG_CF ? IF_CF : 0)
           | (m & ZYDIS_CPUFLAG_PF ? IF_PF : 0)
           | (m & ZYDIS_CPUFLAG_AF ? IF_AF : 0)
           | (m & ZYDIS_CPUFLAG_ZF ? IF_ZF : 0)
           | (m & ZYDIS_CPUFLAG_SF ? IF_SF : 0)
           | (m & ZYDIS_CPUFLAG_OF ? IF_OF : 0)
           | (m & ZYDIS_CPUFLAG_DF ? IF_DF : 0);
}

/* Where Zydis' idea of the flags is wrong, or another. */
static bool other_flags(const Insn *i)
{
    switch (i->op) {
    case OP_SBB_RM_I: case OP_SBB_RM_R: case OP_SBB_R_RM:   /* AF is defined */
    case OP_BEXTR_R_RM_R:                   /* CF and OF are cleared */
    case OP_VPTEST_X_XM:                    /* the rest is cleared */
    case OP_VTESTPS_X_XM: case OP_VTESTPD_X_XM:
    case OP_CMPS: case OP_SCAS:             /* the old ZF does not matter */
    /* We count flags that are pushed or kept in R11 as read. */
    case OP_INT_I: case OP_INT1: case OP_INT3: case OP_INTO: case OP_SYSCALL:
    case OP_VMCALL:
    /* Undefined by the SDM. */
    case OP_MOV_CR_RM: case OP_MOV_RM_CR: case OP_MOV_DR_RM: case OP_MOV_RM_DR:
        return true;
    }
    /* A constant count of 0 writes nothing. */
    return insn_info(i->op)->flags_may && !insn_flags(i).may
           && !insn_flags(i).set;
}

static const char *compare_flags(const Insn *i,
                                 const ZydisDecodedInstruction *z)
{
    static const ZydisAccessedFlags none;
    const ZydisAccessedFlags *zf = z->cpu_flags ? z->cpu_flags : &none;
    InsnFlags f = insn_flags(i);
    unsigned read = pack_flags(zf->tested), undef = pack_flags(zf->undefined);
    unsigned set = pack_flags(zf->modified | zf->set_0 | zf->set_1);

    if (other_flags(i)) {
        return NULL;
    }
    if (f.read != read || (f.set | f.may | f.undef) != (set | undef)
        || f.undef != undef) {
        g_snprintf(why, sizeof(why), "flags r %x w %x c %x u %x, "
                   "Zydis r %x w %x u %x", f.read, f.set, f.may, f.undef,
                   read, set, undef);
        return why;
    }
    return NULL;
}

/* What is done to a memory operand. */
static const char *compare_memory(const Insn *i,
                                  const ZydisDecodedInstruction *z,
                                  const ZydisDecodedOperand *zo)
{
    static const char *const words[] = { "none", "load", "store", "rmw",
                                         "addr" };
    unsigned mem = MEM_NONE;

    if (!(i->flags & INSN_MEM)) {
        return NULL;
    }
    for (unsigned n = 0; n < z->operand_count; n++) {
        if (zo[n].type == ZYDIS_OPERAND_TYPE_MEMORY
            && zo[n].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
            bool w = zo[n].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
            bool r = zo[n].actions & ZYDIS_OPERAND_ACTION_MASK_READ;

            mem = zo[n].mem.type == ZYDIS_MEMOP_TYPE_AGEN ? MEM_ADDR
                  : w && r ? MEM_RMW : w ? MEM_STORE : MEM_LOAD;
        }
    }
    /* Hints touch no memory in a way that matters; nor does INVLPG. */
    if (mem == MEM_LOAD && (insn_info(i->op)->mem == MEM_ADDR
                            || i->op == OP_NOP)) {
        return NULL;
    }
    if (mem != insn_info(i->op)->mem) {
        g_snprintf(why, sizeof(why), "memory %s, Zydis %s",
                   words[insn_info(i->op)->mem], words[mem]);
        return why;
    }
    return NULL;
}

/* Where Zydis says invalid and the processor does not. */
static bool zydis_errs(const Insn *i, TestMode mode)
{
    /* They raise #GP (SYSRET #UD) when executed. */
    if (mode == MODE_REAL) {
        return i->op == OP_SYSENTER || i->op == OP_SYSEXIT
               || i->op == OP_SYSRET;
    }
    return false;
}

const char *compare(const uint8_t *p, unsigned n, TestMode mode)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    ZyanStatus status;
    DecodeResult result;
    unsigned row;
    Insn i;

    result = insn_decode_row(&i, p, n, test_dm(mode), NULL, &row);
    status = ZydisDecoderDecodeFull(&decoders[mode], p, n, &z, zo);
    if (result == DECODE_OK) {
        compare_row_hit[row] = true;
    }
    if (!ZYAN_SUCCESS(status)) {
        switch (status) {
        case ZYDIS_STATUS_NO_MORE_DATA:
            return result == DECODE_MORE || result == DECODE_UD
                   ? NULL : "Zydis wants more";
        case ZYDIS_STATUS_INSTRUCTION_TOO_LONG:
            return result == DECODE_TOO_LONG || result == DECODE_UD
                   ? NULL : "Zydis finds it too long";
        }
        if (result == DECODE_UD || result == DECODE_MORE
            || zydis_errs(&i, mode)) {
            return NULL;
        }
        g_snprintf(why, sizeof(why), "Zydis says invalid (%x)", status);
        return why;
    }
    if (result != DECODE_OK) {
        if (result == DECODE_UD
            && (not_ours(&z) || z.mnemonic == ZYDIS_MNEMONIC_UD0
                || z.mnemonic == ZYDIS_MNEMONIC_UD1
                || z.mnemonic == ZYDIS_MNEMONIC_UD2)) {
            return NULL;
        }
        g_snprintf(why, sizeof(why), "invalid (%d), Zydis %s (%s)", result,
                   ZydisMnemonicGetString(z.mnemonic),
                   ZydisISASetGetString(z.meta.isa_set));
        return why;
    }
    if (not_ours(&z)) {
        g_snprintf(why, sizeof(why), "Zydis has foreign %s",
                   ZydisMnemonicGetString(z.mnemonic));
        return why;
    }
    if (!same_name(&i, ZydisMnemonicGetString(z.mnemonic), mode)) {
        g_snprintf(why, sizeof(why), "mnemonic %s, Zydis %s",
                   mnemonic(&i, mode), ZydisMnemonicGetString(z.mnemonic));
        return why;
    }
    if (i.len != z.length) {
        g_snprintf(why, sizeof(why), "length %u, Zydis %u", i.len, z.length);
        return why;
    }
    return compare_operands(&i, &z, zo, mode) ? why
           : compare_flags(&i, &z) ? why : compare_memory(&i, &z, zo);
}
