/*
 * CPU features by CPUID word, with QEMU's names for -cpu.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_FEATURES_H
#define CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* The words: leaf, subleaf, register; the table is in src/cpu/cpuid.c. */
typedef enum {
    FW_1_EDX, FW_1_ECX, FW_7_0_EBX, FW_7_0_ECX, FW_7_0_EDX, FW_7_1_EAX,
    FW_7_2_EDX,    FW_80000001_EDX, FW_80000001_ECX, FW_80000007_EDX, FW_80000008_EBX,
    FW_D_1_EAX, FW_6_EAX, FW_KVM_EAX, N_FEATURE_WORDS
} FeatureWord;

#define FEAT(word, bit) ((word) * 32u + (bit))

/* FEAT_SSE2 and so on: the enum is made from the list of names. */
enum {
#define FEATURE(id, word, bit, name) FEAT_##id = FEAT(word, bit),
#include "cpu/features.def"
#undef FEATURE
};

static inline bool feat_has(const uint32_t *words, unsigned feature)
{
    return words[feature / 32] >> (feature % 32) & 1;
}

/* QEMU's name of a feature, or NULL; and the reverse, -1 when unknown
 * ("sse4_1", "sse4-1" and "sse4.1" are the same). */
const char *feature_name(unsigned feature);
int feature_by_name(const char *name);

#endif
