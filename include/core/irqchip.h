/*
 * The state of the platform's interrupt and timer chips, as a guest sees it:
 * 8259 pair, IOAPIC, 8254.  It lives here, below accelerators and devices, so
 * that chips which an accelerator owns and our own save, load and print
 * through the same tables, and a VM may move between them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_IRQCHIP_H
#define CORE_IRQCHIP_H

#include "core/state.h"

/* --- 8259A: one of a pair -------------------------------------------------- */

typedef struct PicState {
    uint8_t lines;              /* levels at IR0 to IR7 */
    uint8_t irr, imr, isr;
    uint8_t elcr;               /* level-triggered inputs (4D0h, 4D1h) */
    uint8_t lowest;             /* the input of lowest priority, usually 7 */
    uint8_t icw2;               /* vector of IR0: bits 7 to 3 */
    uint8_t icw3;               /* master: inputs with slaves; slave: its id */
    uint8_t init_state;         /* the ICW expected next: 2, 3, 4; 0: none */
    bool read_isr;              /* what a read of the even port gives */
    bool poll;                  /* the next read is a poll */
    bool special_mask;
    bool expect_icw4;
    bool single;                /* ICW1: no cascade */
    bool ltim;                  /* ICW1: all inputs level-triggered */
    bool auto_eoi;              /* ICW4 */
    bool sfnm;                  /* ICW4: special fully nested mode */
    bool rotate_on_auto_eoi;    /* OCW2 */
} PicState;
extern const State pic_state;   /* of a PicState */

/* --- 82093AA --------------------------------------------------------------- */

#define IOAPIC_N_PINS 24

typedef struct IoapicState {
    uint32_t id;                /* bits 27 to 24, in place */
    uint32_t lines;             /* levels at the pins */
    uint8_t ioregsel;
    uint64_t redir[IOAPIC_N_PINS];
} IoapicState;
extern const State ioapic_state;

/* --- 8254 ------------------------------------------------------------------- */

/*
 * Times are in ticks of the input clock since the virtual clock's zero, so
 * nothing ever drifts.  A count that was written waits in `next_count`: for
 * the next tick, the end of a cycle or a trigger, as the mode has it.
 */
typedef struct PitChannel {
    uint32_t count;             /* being counted down: 1 to 65536 */
    uint32_t next_count;        /* the count register */
    int64_t start;              /* tick when `count` was loaded */
    int64_t switch_at;          /* tick when next_count is, if null_count */
    int64_t paused;             /* ticks counted, while GATE holds it */
    uint16_t latch;             /* of a counter latch command */
    uint8_t latch_left;         /* bytes of it not read yet; 0: not latched */
    uint8_t status;             /* of a status latch command */
    uint8_t write_lsb;          /* the first byte of a 16-bit count */
    uint8_t mode;               /* 0 to 5 */
    uint8_t rw;                 /* 1: LSB, 2: MSB, 3: LSB then MSB */
    bool bcd;
    bool gate;
    bool status_latched;
    bool read_msb, write_msb;   /* rw 3: the high byte is next */
    bool started;               /* a count was loaded since the mode was set */
    bool null_count;            /* next_count is not loaded yet */
} PitChannel;

#define PIT_N_CHANNELS 3
#define PIT_HZ 1193182

typedef struct PitState {
    PitChannel ch[PIT_N_CHANNELS];
} PitState;
extern const State pit_state;

/* --- chips that an accelerator owns ------------------------------------------ */

/*
 * The devices of these chips stay, for their place in the machine, their state
 * and their registers as seen by debuggers; they pass on what happens to them.
 * get and put copy between KVM and the structures above.  Machine lock.
 */
typedef struct IrqchipOwner {
    bool pic, ioapic, pit;
    /* A line: 0 to 15 are the 8259 inputs of that number, and the IOAPIC pins
     * but that line 0 is pin 2; from 16 on IOAPIC pins alone. */
    void (*set_line)(unsigned gsi, int level);
    bool (*get_pic)(PicState pic[2]);
    bool (*put_pic)(const PicState pic[2]);
    bool (*get_ioapic)(IoapicState *s);
    bool (*put_ioapic)(const IoapicState *s);
    bool (*get_pit)(PitState *s);
    bool (*put_pit)(const PitState *s);
    /* Our IOAPIC with the accelerator's local APICs: its entries changed, for
     * whoever tells it of EOIs. */
    void (*ioapic_changed)(const IoapicState *s);
} IrqchipOwner;
extern const IrqchipOwner *irqchip_owner;       /* NULL: all are ours */

/* --- all of them ------------------------------------------------------------ */

/* Port 70h bit 7: NMIs from port 61h sources are held back.  Machine lock. */
extern bool nmi_masked;

/* `info pic` prints every chip that has announced itself. */
typedef void IrqchipPrintFn(void *opaque, GString *out);
void irqchip_add_print(IrqchipPrintFn *fn, void *opaque);
void irqchip_remove_print(IrqchipPrintFn *fn, void *opaque);
void irqchip_print(GString *out);

#endif
