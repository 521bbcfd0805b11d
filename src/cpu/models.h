/*
 * The named CPU models, as rows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SRC_CPU_MODELS_H
#define SRC_CPU_MODELS_H

#include <stdint.h>

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

#endif
