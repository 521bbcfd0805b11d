/*
 * Port 61h: speaker, gate of timer 2, refresh toggle, NMI sources.
 *
 * Spec:   82371SB (PIIX3) datasheet, "NMI Status and Control Register".
 * Models: every bit.  The speaker makes no sound yet; pit_frequency_hz() and
 *         SPKR_DATA are what a sound back end will listen to.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/irqchip.h"
#include "core/machine.h"
#include "hw/isa/isa.h"
#include "hw/timer/i8254.h"

#define SPKR_PORT 0x61

enum {
    NMI_SC_GATE2       = 0x01,  /* timer 2 counts */
    NMI_SC_SPKR_DATA   = 0x02,  /* timer 2's output reaches the speaker */
    NMI_SC_SERR_OFF    = 0x04,  /* and clears SERR_STATUS */
    NMI_SC_IOCHK_OFF   = 0x08,  /* and clears IOCHK_STATUS */
    NMI_SC_WRITABLE    = 0x0f,
    NMI_SC_REFRESH     = 0x10,  /* toggles with each refresh */
    NMI_SC_OUT2        = 0x20,
    NMI_SC_IOCHK_STATUS = 0x40,
    NMI_SC_SERR_STATUS = 0x80,
};

enum { IN_IOCHK, IN_SERR, N_INPUTS };

typedef struct {
    IsaDevice isa;
    Region io;
    Device *pit;                /* property */
    uint32_t port;              /* property */

    uint8_t nmi_sc;             /* all bits but REFRESH and OUT2 */
} PcSpk;

static PcSpk *pcspk_of(Device *dev)
{
    return container_of(dev, PcSpk, isa.dev);
}

static uint64_t pcspk_read(void *opaque, hwaddr reg, unsigned size)
{
    PcSpk *s = opaque;

    return s->nmi_sc
           | (pit_cycles(s->pit, 1) & 1 ? NMI_SC_REFRESH : 0)
           | (pit_out(s->pit, 2) ? NMI_SC_OUT2 : 0);
}

static void pcspk_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    PcSpk *s = opaque;

    trace("pcspk-write", "val 0x%02" PRIx64, val);
    s->nmi_sc = (s->nmi_sc & ~NMI_SC_WRITABLE) | (val & NMI_SC_WRITABLE);
    if (val & NMI_SC_SERR_OFF) {
        s->nmi_sc &= ~NMI_SC_SERR_STATUS;
    }
    if (val & NMI_SC_IOCHK_OFF) {
        s->nmi_sc &= ~NMI_SC_IOCHK_STATUS;
    }
    pit_set_gate(s->pit, 2, val & NMI_SC_GATE2);
}

static const IoOps pcspk_ops = {
    .read = pcspk_read, .write = pcspk_write, .size_min = 1, .size_max = 1,
};

/* An error line: latched and told to the CPU, unless it is switched off. */
static void pcspk_input(void *opaque, int n, int level)
{
    PcSpk *s = opaque;
    uint8_t off = n == IN_SERR ? NMI_SC_SERR_OFF : NMI_SC_IOCHK_OFF;
    uint8_t status = n == IN_SERR ? NMI_SC_SERR_STATUS : NMI_SC_IOCHK_STATUS;

    if (!level || (s->nmi_sc & (off | status))) {
        return;
    }
    s->nmi_sc |= status;
    if (!nmi_masked && machine_raise_nmi) {
        machine_raise_nmi();
    }
}

static void pcspk_reset(Device *dev)
{
    PcSpk *s = pcspk_of(dev);

    s->nmi_sc = 0;
    pit_set_gate(s->pit, 2, false);
}

static bool pcspk_realize(Device *dev, GError **err)
{
    PcSpk *s = pcspk_of(dev);

    if (!s->pit) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-pcspk: property 'pit' must name an isa-pit");
        return false;
    }
    return isa_map_io(&s->isa, s->port, &s->io, &pcspk_ops, s, "pcspk", 1,
                      err);
}

static void pcspk_unrealize(Device *dev)
{
    PcSpk *s = pcspk_of(dev);

    isa_unmap_io(&s->isa, &s->io);
}

static const Type *const pit_link = &pit_type;

static const Property pcspk_props[] = {
    PROP_LINK(PcSpk, pit, "pit", &pit_link, "the isa-pit whose channel 2 it is"),
    PROP_U32(PcSpk, port, "iobase", SPKR_PORT, "port"),
    {}
};

static const State pcspk_state = {
    .name = "pcspk", .version = 1,
    .fields = (const StateField[]) { STATE_U8(PcSpk, nmi_sc), {} },
};

static const DeviceType pcspk_type = {
    .name = "isa-pcspk", .doc = "port 61h: speaker and NMI status",
    .parent = &isa_device_type, .size = sizeof(PcSpk), .internal = true,
    .props = pcspk_props, .state = &pcspk_state,
    .input = pcspk_input, .n_inputs = N_INPUTS,
    .realize = pcspk_realize, .unrealize = pcspk_unrealize,
    .reset = pcspk_reset,
};
DEVICE_TYPE(pcspk_type)
