/*
 * ACPI machine language, built as a tree of terms.
 *
 *     Aml *dev = aml_device("RTC");
 *     aml_add(dev, aml_name("_HID", aml_eisaid("PNP0B00")));
 *     Aml *crs = aml_resources();
 *     aml_add(crs, aml_io(0x70, 0x70, 1, 8));
 *     aml_add(dev, aml_name("_CRS", crs));
 *
 * Every function that takes an Aml takes it over; what aml_add() returns is
 * its first argument.  Names are ASL's ("PCI0", "\\_SB.PCI0", "^PRQ0").
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include "base/bits.h"

typedef struct Aml Aml;

/* Put `child` at the end of `parent`. */
Aml *aml_add(Aml *parent, Aml *child);
/* Encode `term` at the end of `out`. */
void aml_emit(Aml *term, GByteArray *out);
void aml_free(Aml *term);

/* --- containers --------------------------------------------------------------- */
Aml *aml_list(void);                            /* terms in a row */
Aml *aml_scope(const char *path);
Aml *aml_device(const char *name);
Aml *aml_method(const char *name, unsigned n_args, bool serialized);
Aml *aml_if(Aml *predicate);
Aml *aml_else(void);
Aml *aml_package(void);                         /* at most 255 elements */
Aml *aml_resources(void);                       /* ResourceTemplate */

/* --- data and names -------------------------------------------------------------- */
Aml *aml_name(const char *name, Aml *value);
Aml *aml_ref(const char *path);                 /* an object by its name */
Aml *aml_int(uint64_t v);
Aml *aml_string(const char *s);
Aml *aml_buffer(const void *data, size_t len);
Aml *aml_eisaid(const char *id);                /* "PNP0A03" */
Aml *aml_local(unsigned n);
Aml *aml_arg(unsigned n);

typedef enum { AML_SYSTEM_MEMORY = 0, AML_SYSTEM_IO = 1, AML_PCI_CONFIG = 2 }
    AmlSpace;
Aml *aml_opregion(const char *name, AmlSpace space, uint64_t at,
                  uint64_t len);
/* `access_bytes` is 1, 2 or 4; other bits of a unit are preserved. */
Aml *aml_field(const char *region, unsigned access_bytes, bool locked);
/* In a field; name NULL leaves the bits out. */
Aml *aml_field_unit(const char *name, unsigned bits);

/* --- statements and expressions ------------------------------------------------------ */
Aml *aml_return(Aml *value);
Aml *aml_store(Aml *value, Aml *target);
Aml *aml_and(Aml *a, Aml *b);
Aml *aml_or(Aml *a, Aml *b);
Aml *aml_equal(Aml *a, Aml *b);
Aml *aml_index(Aml *buffer, Aml *at);
Aml *aml_deref(Aml *reference);
Aml *aml_notify(Aml *object, Aml *value);

/* --- resource descriptors ------------------------------------------------------------ */
Aml *aml_io(uint16_t min, uint16_t max, uint8_t align, uint8_t len);
Aml *aml_irq(unsigned irq);
Aml *aml_dma(unsigned channel);
Aml *aml_memory32(uint32_t base, uint32_t len, bool writable);
/* Consumer of level-triggered, active-high, shared lines. */
Aml *aml_interrupts(const uint32_t *gsi, unsigned n);
/* What a bridge passes on: bus numbers, ports, memory; both ends included. */
Aml *aml_bus_range(uint16_t first, uint16_t last);
Aml *aml_io_range(uint16_t first, uint16_t last);
Aml *aml_memory_range(uint64_t first, uint64_t last, bool cacheable);

#endif
