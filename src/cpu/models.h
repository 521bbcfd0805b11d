/*
 * CPU models: the named ones, as rows, and one as it was asked for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SRC_CPU_MODELS_H
#define SRC_CPU_MODELS_H

#include "cpu/cpu.h"
#include "cpu/features.h"

typedef enum { VENDOR_INTEL, VENDOR_AMD, VENDOR_HYGON } CpuVendor;

typedef struct ModelRow {
    const char *name;
    const char *parent;         /* features are its features… */
    const char *add, *drop;     /* …with these names added and dropped */
    CpuVendor vendor;
    uint8_t family, model, stepping;
    uint32_t level, xlevel;
    const char *model_id;       /* brand string */
} ModelRow;

/* Ends with a row without name. */
extern const ModelRow cpu_model_rows[];

/* cpu-model.c makes it, cpuid.c tells guests. */
struct CpuModel {
    const ModelRow *row;
    char *vendor;               /* 12 letters, or NULL for the row's */
    char *model_id;
    unsigned family, model, stepping;
    uint32_t level, xlevel;
    uint32_t words[N_FEATURE_WORDS];
    const AccelOps *accel;
    bool hypervisor;
    uint8_t phys_bits;
};

#endif
