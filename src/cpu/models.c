/*
 * The named CPU models.
 *
 * Each row says what it adds to an older one.  The values of family, model and
 * stepping are those of QEMU's models of the same name, because guests
 * (libvirt's capabilities, Windows' activation) see them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "models.h"

#include <stddef.h>

#define X86_64_V1 "fpu,vme,de,pse,tsc,msr,pae,mce,cx8,apic,sep,mtrr,pge,mca," \
                  "cmov,pat,pse36,clflush,mmx,fxsr,sse,sse2,syscall,nx,lm"

const ModelRow cpu_model_rows[] = {
    { "base", NULL, "", "", VENDOR_INTEL, 0, 0, 0, 0, 0, "base" },
    { "486", NULL, "fpu,vme,pse", "", VENDOR_INTEL, 4, 8, 0, 1, 0, "" },
    { "pentium", NULL, "fpu,vme,de,pse,tsc,msr,mce,cx8,mmx,apic", "",
      VENDOR_INTEL, 5, 4, 3, 1, 0, "" },
    { "pentium2", "pentium", "pae,sep,mtrr,pge,mca,cmov,pat,pse36,fxsr", "",
      VENDOR_INTEL, 6, 5, 2, 2, 0, "" },
    { "pentium3", "pentium2", "sse", "", VENDOR_INTEL, 6, 7, 3, 3, 0, "" },
    { "athlon", "pentium3", "mmxext,sse2", "", VENDOR_AMD, 6, 2, 3, 2,
      0x80000008, "QEMU Virtual CPU version 2.5+" },
    { "qemu32", "pentium3", "sse2,pni,clflush", "", VENDOR_INTEL, 6, 6, 3, 4,
      0x80000004, "QEMU Virtual CPU version 2.5+" },
    { "kvm32", "qemu32", "", "", VENDOR_INTEL, 15, 6, 1, 5, 0x80000008,
      "Common 32-bit KVM processor" },
    { "n270", "qemu32", "ssse3,ss,ht,movbe,nx,lahf-lm", "", VENDOR_INTEL, 6,
      28, 2, 10, 0x80000008, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz" },
    { "coreduo", "qemu32", "ss,ht,nx", "", VENDOR_INTEL, 6, 14, 8, 10,
      0x80000008, "Genuine Intel(R) CPU           T2600  @ 2.16GHz" },
    { "qemu64", NULL, X86_64_V1 ",pni,cx16,lahf-lm,svm", "", VENDOR_AMD, 15,
      107, 1, 13, 0x8000000a, "QEMU Virtual CPU version 2.5+" },
    { "kvm64", NULL, X86_64_V1 ",pni,cx16", "", VENDOR_INTEL, 15, 6, 1, 13,
      0x80000008, "Common KVM processor" },
    { "core2duo", "kvm64", "ss,ht,ssse3,lahf-lm", "", VENDOR_INTEL, 6, 15, 11,
      10, 0x80000008, "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz" },
    { "phenom", "kvm64",
      "popcnt,ht,mmxext,fxsr-opt,pdpe1gb,rdtscp,lahf-lm,abm,sse4a,cr8legacy,"
      "misalignsse", "", VENDOR_AMD, 16, 2, 3, 5, 0x8000001a,
      "AMD Phenom(tm) 9550 Quad-Core Processor" },
    { "Conroe", "kvm64", "ssse3,lahf-lm", "", VENDOR_INTEL, 6, 15, 3, 10,
      0x80000008, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)" },
    { "Penryn", "Conroe", "sse4.1", "", VENDOR_INTEL, 6, 23, 3, 10, 0x80000008,
      "Intel Core 2 Duo P9xxx (Penryn Class Core 2)" },
    { "Nehalem", "Penryn", "sse4.2,popcnt", "", VENDOR_INTEL, 6, 26, 3, 11,
      0x80000008, "Intel Core i7 9xx (Nehalem Class Core i7)" },
    { "Westmere", "Nehalem", "aes,pclmulqdq,arat", "", VENDOR_INTEL, 6, 44, 1,
      11, 0x80000008, "Westmere E56xx/L56xx/X56xx (Nehalem-C)" },
    { "SandyBridge", "Westmere", "avx,xsave,tsc-deadline,x2apic,rdtscp,"
      "xsaveopt", "", VENDOR_INTEL, 6, 42, 1, 13, 0x80000008,
      "Intel Xeon E312xx (Sandy Bridge)" },
    { "IvyBridge", "SandyBridge", "f16c,rdrand,fsgsbase,smep,erms", "",
      VENDOR_INTEL, 6, 58, 9, 13, 0x80000008,
      "Intel Xeon E3-12xx v2 (Ivy Bridge)" },
    { "Haswell", "IvyBridge", "fma,pcid,movbe,bmi1,hle,avx2,bmi2,invpcid,rtm,"
      "abm", "", VENDOR_INTEL, 6, 60, 4, 13, 0x80000008,
      "Intel Core Processor (Haswell)" },
    { "Haswell-noTSX", "Haswell", "", "hle,rtm", VENDOR_INTEL, 6, 60, 1, 13,
      0x80000008, "Intel Core Processor (Haswell, no TSX)" },
    { "Broadwell", "Haswell", "rdseed,adx,smap,3dnowprefetch", "",
      VENDOR_INTEL, 6, 61, 2, 13, 0x80000008,
      "Intel Core Processor (Broadwell)" },
    { "Broadwell-noTSX", "Broadwell", "", "hle,rtm", VENDOR_INTEL, 6, 61, 2,
      13, 0x80000008, "Intel Core Processor (Broadwell, no TSX)" },
    { "Skylake-Client", "Broadwell", "xsavec,xgetbv1", "", VENDOR_INTEL, 6, 94,
      3, 13, 0x80000008, "Intel Core Processor (Skylake)" },
    { "Skylake-Client-noTSX-IBRS", "Skylake-Client", "spec-ctrl", "hle,rtm",
      VENDOR_INTEL, 6, 94, 3, 13, 0x80000008,
      "Intel Core Processor (Skylake, IBRS, no TSX)" },
    { "Skylake-Server", "Skylake-Client", "pdpe1gb,clflushopt,clwb,avx512f,"
      "avx512dq,avx512bw,avx512cd,avx512vl", "", VENDOR_INTEL, 6, 85, 4, 13,
      0x80000008, "Intel Xeon Processor (Skylake)" },
    { "Cascadelake-Server", "Skylake-Server", "avx512vnni,spec-ctrl,ssbd", "",
      VENDOR_INTEL, 6, 85, 6, 13, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cooperlake", "Cascadelake-Server",
      "avx512-bf16,stibp,arch-capabilities", "", VENDOR_INTEL, 6, 85, 10, 13,
      0x80000008, "Intel Xeon Processor (Cooperlake)" },
    { "KnightsMill", "Broadwell", "avx512f,avx512cd,avx512er,avx512pf,"
      "avx512-vpopcntdq,avx512-4vnniw,avx512-4fmaps,pdpe1gb",
      "hle,rtm,pcid,invpcid,smap", VENDOR_INTEL, 6, 133, 0, 13, 0x80000008,
      "Intel Xeon Phi Processor (Knights Mill)" },
    { "Denverton", "Westmere",
      "movbe,tsc-deadline,xsave,rdrand,x2apic,3dnowprefetch,pdpe1gb,rdtscp,"
      "fsgsbase,smep,erms,mpx,rdseed,smap,clflushopt,sha-ni,spec-ctrl,"
      "arch-capabilities,ssbd,xsaveopt,xsavec,xgetbv1", "", VENDOR_INTEL, 6,
      95, 1, 21, 0x80000008, "Intel Atom Processor (Denverton)" },
    { "Snowridge", "Denverton",
      "clwb,umip,gfni,cldemote,movdiri,movdir64b,core-capability", "",
      VENDOR_INTEL, 6, 134, 1, 27, 0x80000008,
      "Intel Atom Processor (SnowRidge)" },
    { "Icelake-Server", "Cascadelake-Server",
      "avx512vbmi,umip,pku,avx512vbmi2,gfni,vaes,vpclmulqdq,avx512bitalg,"
      "avx512-vpopcntdq,la57,wbnoinvd", "", VENDOR_INTEL, 6, 106, 0, 0x14,
      0x80000008, "Intel Xeon Processor (Icelake)" },
    { "SapphireRapids", "Icelake-Server",
      "sha-ni,avx512ifma,rdpid,fsrm,serialize,movdiri,movdir64b,xsaves,"
      "avx-vnni,avx512-bf16,avx512-fp16,fzrm,fsrs,fsrc,bus-lock-detect",
      "hle,rtm", VENDOR_INTEL, 6, 143, 4, 0x20, 0x80000008,
      "Intel Xeon Processor (SapphireRapids)" },
    { "GraniteRapids", "SapphireRapids", "mcdt-no", "", VENDOR_INTEL, 6, 173,
      0, 0x20, 0x80000008, "Intel Xeon Processor (GraniteRapids)" },
    { "SierraForest", "Snowridge",
      "avx,f16c,fma,avx2,bmi1,bmi2,abm,adx,pcid,invpcid,pku,vaes,vpclmulqdq,"
      "rdpid,fsrm,serialize,avx-vnni,cmpccxadd,xsaves,wbnoinvd,"
      "bus-lock-detect", "mpx,core-capability", VENDOR_INTEL, 6, 175, 0, 0x23,
      0x80000008, "Intel Xeon Processor (SierraForest)" },
    { "Opteron_G1", "kvm64", "", "cx16", VENDOR_AMD, 15, 6, 1, 5, 0x80000008,
      "AMD Opteron 240 (Gen 1 Class Opteron)" },
    { "Opteron_G2", "kvm64", "lahf-lm", "", VENDOR_AMD, 15, 6, 1, 5,
      0x80000008, "AMD Opteron 22xx (Gen 2 Class Opteron)" },
    { "Opteron_G3", "Opteron_G2", "popcnt,monitor,abm,misalignsse,sse4a,"
      "rdtscp", "", VENDOR_AMD, 16, 2, 3, 5, 0x80000008,
      "AMD Opteron 23xx (Gen 3 Class Opteron)" },
    { "Opteron_G4", "Opteron_G3", "pclmulqdq,ssse3,sse4.1,sse4.2,aes,xsave,"
      "avx,pdpe1gb,3dnowprefetch,xop,fma4", "monitor", VENDOR_AMD, 21, 1, 2,
      13, 0x8000001a, "AMD Opteron 62xx class CPU" },
    { "Opteron_G5", "Opteron_G4", "fma,f16c,tbm", "", VENDOR_AMD, 21, 2, 0,
      13, 0x8000001a, "AMD Opteron 63xx class CPU" },
    { "EPYC", "Opteron_G3",
      "mmxext,fxsr-opt,pdpe1gb,pclmulqdq,ssse3,fma,sse4.1,sse4.2,movbe,aes,"
      "xsave,avx,f16c,rdrand,cr8legacy,3dnowprefetch,osvw,topoext,fsgsbase,"
      "bmi1,avx2,smep,bmi2,rdseed,adx,smap,clflushopt,sha-ni,xsaveopt,xsavec,"
      "xgetbv1,arat", "monitor", VENDOR_AMD, 23, 1, 2, 13, 0x8000001e,
      "AMD EPYC Processor" },
    { "Dhyana", "EPYC", "", "pclmulqdq,aes,sha-ni", VENDOR_HYGON, 24, 0, 1, 13,
      0x8000001e, "Hygon Dhyana Processor" },
    { "EPYC-Rome", "EPYC", "clwb,umip,rdpid,clzero,xsaveerptr,wbnoinvd,xsaves",
      "", VENDOR_AMD, 23, 49, 0, 13, 0x8000001e, "AMD EPYC-Rome Processor" },
    { "EPYC-Milan", "EPYC-Rome", "pcid,erms,invpcid,pku,vaes,vpclmulqdq,fsrm",
      "", VENDOR_AMD, 25, 1, 1, 13, 0x8000001e, "AMD EPYC-Milan Processor" },
    { "EPYC-Genoa", "EPYC-Milan", "la57,gfni,avx512f,avx512dq,avx512ifma,"
      "avx512cd,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni,"
      "avx512bitalg,avx512-vpopcntdq,avx512-bf16", "", VENDOR_AMD, 25, 17, 0,
      13, 0x80000022, "AMD EPYC-Genoa Processor" },
    { "EPYC-Turin", "EPYC-Genoa", "avx-vnni,movdiri,movdir64b,"
      "avx512-vp2intersect", "", VENDOR_AMD, 26, 0, 0, 13, 0x80000022,
      "AMD EPYC-Turin Processor" },
    /* A model that nobody made: a compiler's dispatch by model (GCC's "arch="
     * clones) would take a known one to have all of its instructions, AVX-512
     * as well. */
    { "max", NULL, "", "", VENDOR_INTEL, 6, 27, 8, 0x1f, 0x80000008,
      "QEMU TCG CPU version 2.5+" },
    {}
};
