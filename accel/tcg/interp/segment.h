/*
 * Segments: addresses through them, descriptors, loading of registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_SEGMENT_H
#define TCG_INTERP_SEGMENT_H

#include "accel/tcg/interp/stack.h"

/*
 * seg_linear() without recording anything: may `len` bytes at `off` be read,
 * or written, through `seg`?
 */
bool seg_check(const Env *env, unsigned seg, uint64_t off, uint64_t len,
               bool write, uint64_t *gva);

/* --- descriptors ---------------------------------------------------------- */

/* Types of system descriptors. */
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4,
    SYS_TASK_GATE = 5, SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS = 9,
    SYS_TSS_BUSY = 11, SYS_CALL = 12, SYS_INT = 14, SYS_TRAP = 15,
};

/* A descriptor as it lies in its table, and where. */
typedef struct Desc {
    uint64_t lo;
    uint64_t at;                /* linear address */
} Desc;

TEMPLATE unsigned desc_type(uint64_t d) { return d >> 40 & 15; }
TEMPLATE bool desc_s(uint64_t d) { return d >> 44 & 1; }
TEMPLATE unsigned desc_dpl(uint64_t d) { return d >> 45 & 3; }
TEMPLATE bool desc_p(uint64_t d) { return d >> 47 & 1; }
TEMPLATE bool desc_l(uint64_t d) { return d >> 53 & 1; }
TEMPLATE bool desc_db(uint64_t d) { return d >> 54 & 1; }
TEMPLATE bool desc_code(uint64_t d) { return desc_s(d) && (desc_type(d) & 8); }
TEMPLATE bool desc_conforming(uint64_t d) { return desc_type(d) & 4; }
TEMPLATE bool desc_writable(uint64_t d)
{
    return desc_s(d) && (desc_type(d) & 10) == 2;
}
TEMPLATE uint32_t desc_base(uint64_t d)
{
    return (d >> 16 & 0xffffff) | (d >> 56) << 24;
}
TEMPLATE uint32_t desc_limit(uint64_t d)
{
    uint32_t limit = (d & 0xffff) | (d >> 32 & 0xf0000);

    return d >> 55 & 1 ? limit << 12 | 0xfff : limit;
}
TEMPLATE uint16_t desc_attr(uint64_t d)
{
    return d >> 40 & 0xf0ff;
}

/* The hidden part from a descriptor. */
static inline void seg_from_desc(X86Seg *seg, uint16_t selector, uint64_t d)
{
    seg->selector = selector;
    seg->attr = desc_attr(d);
    seg->limit = desc_limit(d);
    seg->base = desc_base(d);
}

/* As real mode loads it; the limit and the rights stay in real mode, and are
 * fixed in virtual-8086 mode. */
void seg_load_real(Env *env, unsigned seg, uint16_t selector);

/* A null selector in `seg`. */
void seg_load_null(Env *env, unsigned seg, uint16_t selector);

/*
 * Read a descriptor of the GDT or LDT: false with `vector`(selector + ext)
 * recorded when it is outside its table, or what the read raised.
 */
bool desc_read(Env *env, uint16_t selector, int vector, unsigned ext,
               Desc *out);
/* The second half of a 16-byte system descriptor; it must be inside too, and
 * its type bits 0. */
bool desc_read_high(Env *env, uint16_t selector, const Desc *d, int vector,
                    unsigned ext, uint64_t *high);
/* Set its accessed bit, if it is clear, in memory and in *d. */
bool desc_set_accessed(Env *env, Desc *d);
/* Set or clear the busy bit of a TSS descriptor. */
bool desc_set_busy(Env *env, const Desc *d, bool busy);

/* --- loading -------------------------------------------------------------- */

/* MOV to, POP of and L?S into ES, SS, DS, FS, GS with every check; nothing is
 * changed when it returns false. */
bool seg_load(Env *env, unsigned seg, uint16_t selector);

/*
 * Would loading `selector` as SS for privilege `cpl` be right?  False with
 * `vector` recorded, #SS if not present.  *d: the descriptor, accessed bit set
 * by the caller.
 */
bool seg_check_ss(Env *env, uint16_t selector, unsigned cpl, int vector,
                  unsigned ext, Desc *d);

/* After a return to an outer level: data segments that may not be seen there
 * become null. */
void seg_drop_inner(Env *env, unsigned cpl);

bool ldt_load(Env *env, uint16_t selector, int vector, unsigned ext);

#endif
