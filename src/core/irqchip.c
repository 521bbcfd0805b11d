/*
 * State tables of the interrupt and timer chips, and who prints them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irqchip.h"

#include "base/opts.h"

bool nmi_masked;
const IrqchipOwner *irqchip_owner;

/* --- tables: what comes from a stream is checked before it is used --------- */

static bool refuse(GError **err, const char *what)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "the saved state of the %s is not one it can be in", what);
    return false;
}

static bool pic_post_load(void *opaque, int version, GError **err)
{
    const PicState *s = opaque;

    if (s->lowest > 7 || s->init_state > 4 || s->init_state == 1) {
        return refuse(err, "8259");
    }
    return true;
}

const State pic_state = {
    .name = "i8259", .version = 1, .post_load = pic_post_load,
    .fields = (const StateField[]) {
        STATE_U8(PicState, lines), STATE_U8(PicState, irr),
        STATE_U8(PicState, imr), STATE_U8(PicState, isr),
        STATE_U8(PicState, elcr), STATE_U8(PicState, lowest),
        STATE_U8(PicState, icw2), STATE_U8(PicState, icw3),
        STATE_U8(PicState, init_state), STATE_BOOL(PicState, read_isr),
        STATE_BOOL(PicState, poll), STATE_BOOL(PicState, special_mask),
        STATE_BOOL(PicState, expect_icw4), STATE_BOOL(PicState, single),
        STATE_BOOL(PicState, ltim), STATE_BOOL(PicState, auto_eoi),
        STATE_BOOL(PicState, sfnm), STATE_BOOL(PicState, rotate_on_auto_eoi),
        {}
    },
};

static bool ioapic_post_load(void *opaque, int version, GError **err)
{
    IoapicState *s = opaque;

    s->lines &= (1u << IOAPIC_N_PINS) - 1;
    s->id &= 0xf000000;
    return true;
}

const State ioapic_state = {
    .name = "ioapic", .version = 1, .post_load = ioapic_post_load,
    .fields = (const StateField[]) {
        STATE_U32(IoapicState, id), STATE_U32(IoapicState, lines),
        STATE_U8(IoapicState, ioregsel), STATE_U64_ARRAY(IoapicState, redir),
        {}
    },
};

/* Ticks and counts far outside what time can reach would overflow sums. */
static bool pit_post_load(void *opaque, int version, GError **err)
{
    const PitState *s = opaque;
    const int64_t far = INT64_C(1) << 52;

    for (int i = 0; i < PIT_N_CHANNELS; i++) {
        const PitChannel *c = &s->ch[i];

        if (c->count < 1 || c->count > 0x10000
            || c->next_count < 1 || c->next_count > 0x10000
            || c->mode > 5 || c->rw > 3 || c->latch_left > 2
            || c->start < -far || c->start > far
            || c->paused < 0 || c->paused > far
            || c->switch_at < -far
            || (c->switch_at > far && c->switch_at != INT64_MAX)) {
            return refuse(err, "8254");
        }
    }
    return true;
}

static const State pit_channel_state = {
    .name = "i8254-channel", .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(PitChannel, count), STATE_U32(PitChannel, next_count),
        STATE_I64(PitChannel, start), STATE_I64(PitChannel, switch_at),
        STATE_I64(PitChannel, paused), STATE_U16(PitChannel, latch),
        STATE_U8(PitChannel, latch_left), STATE_U8(PitChannel, status),
        STATE_U8(PitChannel, write_lsb), STATE_U8(PitChannel, mode),
        STATE_U8(PitChannel, rw), STATE_BOOL(PitChannel, bcd),
        STATE_BOOL(PitChannel, gate), STATE_BOOL(PitChannel, status_latched),
        STATE_BOOL(PitChannel, read_msb), STATE_BOOL(PitChannel, write_msb),
        STATE_BOOL(PitChannel, started), STATE_BOOL(PitChannel, null_count),
        {}
    },
};

const State pit_state = {
    .name = "i8254", .version = 1, .post_load = pit_post_load,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(PitState, ch, &pit_channel_state),
        {}
    },
};

/* --- `info pic` -------------------------------------------------------------- */

typedef struct Printer {
    IrqchipPrintFn *fn;
    void *opaque;
} Printer;

static GSList *printers;

void irqchip_add_print(IrqchipPrintFn *fn, void *opaque)
{
    Printer *p = g_new(Printer, 1);

    *p = (Printer) { fn, opaque };
    printers = g_slist_append(printers, p);
}

void irqchip_remove_print(IrqchipPrintFn *fn, void *opaque)
{
    for (GSList *i = printers; i; i = i->next) {
        Printer *p = i->data;

        if (p->fn == fn && p->opaque == opaque) {
            printers = g_slist_delete_link(printers, i);
            g_free(p);
            return;
        }
    }
}

void irqchip_print(GString *out)
{
    for (GSList *i = printers; i; i = i->next) {
        Printer *p = i->data;

        p->fn(p->opaque, out);
    }
}
