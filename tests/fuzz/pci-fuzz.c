/*
 * PCI configuration space: functions whose BARs move, whose decoding, MSI and
 * MSI-X are switched on and off, and accesses to wherever they are now.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/hw/pctest.h"
#include "fuzz.h"
#include "hw/pci/pci.h"

enum { RAM_BYTES = 1024 * 1024, MAX_OPS = 1000, N_SLOTS = 8 };

static PcTest *pc;

typedef struct {
    const uint8_t *at, *end;
} Input;

static uint32_t take(Input *in, unsigned size)
{
    uint32_t val = 0;

    while (size--) {
        val = val << 8 | (in->at < in->end ? *in->at++ : 0);
    }
    return val;
}

static void init(void)
{
    static const char *const types[] = {
        "VGA", "piix3-ide", "virtio-rng-pci", "virtio-serial-pci", "PIIX4_PM",
    };
    static char name[] = "pci-fuzz";
    char *args[] = { name, NULL }, **argv = args;
    int argc = 1;

    pc = pc_test_init(&argc, &argv, RAM_BYTES);
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree char *addr = g_strdup_printf("%02x.0", i + 2);

        if (type_find(types[i])) {
            pc_add_pci(pc, types[i], addr, NULL);
        }
    }
}

static unsigned take_devfn(Input *in)
{
    uint8_t b = take(in, 1);

    return PCI_DEVFN_OF(b % N_SLOTS, b & 0x80 ? b >> 4 & 7 : 0);
}

/* Where a BAR of the function is now, or an address of the input's. */
static uint32_t take_address(Input *in, unsigned *is_io)
{
    unsigned devfn = take_devfn(in), bar = take(in, 1) % 6;
    uint32_t base = pc_conf_read(pc, devfn, PCI_BASE_ADDRESS_0 + 4 * bar, 4);

    *is_io = base & 1;
    return (base & (*is_io ? ~3u : ~15u)) + take(in, 2);
}

static void access_bar(Input *in)
{
    unsigned is_io, size = 1 << take(in, 1) % 3;
    uint32_t at = take_address(in, &is_io);
    bool write = take(in, 1) & 1;

    if (is_io && write) {
        pc_out(at, size, take(in, size));
    } else if (is_io) {
        pc_in(at, size);
    } else if (write) {
        pc_store(at, size, take(in, size));
    } else {
        pc_load(at, size);
    }
}

static void write_config(Input *in)
{
    unsigned devfn = take_devfn(in), size = 1 << take(in, 1) % 3;
    unsigned at = take(in, 1) & ~(size - 1);

    pc_conf_write(pc, devfn, at, take(in, size), size);
}

/* What systems do: a BAR gets an address, decoding is switched on. */
static void place_bar(Input *in)
{
    unsigned devfn = take_devfn(in), bar = take(in, 1) % 7;
    unsigned at = bar == 6 ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * bar;

    pc_conf_write(pc, devfn, at, take(in, 4), 4);
    pc_conf_write(pc, devfn, PCI_COMMAND, take(in, 1) & 7, 2);
}

static void play(Input *in)
{
    switch (take(in, 1) % 8) {
    case 0: case 1:
        write_config(in);
        break;
    case 2: case 3:
        place_bar(in);
        break;
    case 4:
        pc_conf_read(pc, take_devfn(in), take(in, 1) & 0xfc, 4);
        break;
    case 5: case 6:
        access_bar(in);
        break;
    case 7:                     /* CF8h and CFCh as a guest may misuse them */
        pc_out(0xcf8 + (take(in, 1) & 7), 1 << take(in, 1) % 3, take(in, 4));
        break;
    }
}

static void reset_one(Device *dev, void *opaque)
{
    if (type_is(dev->obj.type, &pci_device_type)) {
        device_reset(dev);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, data + size };

    if (!pc) {
        init();
    }
    for (unsigned n = 0; in.at < in.end && n < MAX_OPS; n++) {
        play(&in);
    }
    device_foreach(NULL, reset_one, NULL);
    return 0;
}
