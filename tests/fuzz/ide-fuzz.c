/*
 * A PIIX3 IDE controller with a disk and a CD-ROM drive: the input is what a
 * guest does with its ports, its descriptor tables in memory and its PCI
 * configuration, and when the image answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/hw/pctest.h"
#include "block/drive.h"
#include "fuzz.h"
#include "hw/ide/piix-ide.h"
#include "hw/pci/pci.h"

enum { BM = 0xc000, PRDT = 0x1000, RAM_BYTES = 1024 * 1024, MAX_OPS = 2000 };
#define IDE_DEVFN PCI_DEVFN_OF(1, 1)

static PcTest *pc;
static Device *ide;
static BlockBackend *blk[2];

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

static void add_drive(unsigned bus, const char *type, const char *line)
{
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(type_find(type));

    blk[bus] = drive_new(dict, BLOCK_IF_NONE, false, &err);
    g_assert_no_error(err);
    prop_set(&dev->obj, "drive", type, &err);
    device_realize(dev, &piix_ide_channel(ide, bus)->bus, &err);
    g_assert_no_error(err);
}

static void init(void)
{
    static char name[] = "ide-fuzz";
    char *args[] = { name, NULL }, **argv = args;
    int argc = 1;

    pc = pc_test_init(&argc, &argv, RAM_BYTES);
    ide = pc_add_pci(pc, "piix3-ide", "1.1", NULL);
    add_drive(0, "ide-hd", "driver=null-co,size=64M,if=none,id=ide-hd,"
              "discard=unmap");
    add_drive(1, "ide-cd", "driver=null-co,size=1M,if=none,id=ide-cd,"
              "readonly=on");
}

static void begin(void)
{
    device_reset(ide);
    pc_conf_write(pc, IDE_DEVFN, 0x20, BM, 4);
    pc_conf_write(pc, IDE_DEVFN, 0x40, 0x80008000, 4);
    pc_conf_write(pc, IDE_DEVFN, PCI_COMMAND,
                  PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
}

/* Command, control and bus-master registers of both channels. */
static uint16_t take_port(Input *in)
{
    static const uint16_t bases[] = { 0x1f0, 0x170, 0x3f0, 0x370 };
    uint8_t which = take(in, 1);

    return which & 0x80 ? BM + (which & 0xf)
           : bases[which >> 4 & 3] + (which & 0xf);
}

static void settle(void)
{
    blk_drain(blk[0]);
    blk_drain(blk[1]);
}


/* A whole command at once: random bytes seldom make one. */
static void send_command(Input *in)
{
    uint16_t base = take(in, 1) & 1 ? 0x170 : 0x1f0;
    uint8_t code = take(in, 1);

    pc_out(base + IDE_DEVICE, 1, IDE_LBA | (take(in, 1) & 0x1f));
    for (unsigned reg = IDE_FEATURE; reg < IDE_DEVICE; reg++) {
        pc_out(base + reg, 1, take(in, 1));
    }
    pc_out(base + IDE_COMMAND, 1, code);
    for (unsigned i = 0; code == 0xa0 && i < 6; i++) {
        pc_out(base, 2, take(in, 2));
    }
}

static void send_data(Input *in)
{
    uint16_t base = take(in, 1) & 1 ? 0x170 : 0x1f0;
    unsigned n = take(in, 1), size = n & 1 ? 4 : 2;
    bool read = n & 2;
    uint32_t val = take(in, 4);

    for (n *= 2; n; n--) {
        if (read) {
            pc_in(base, size);
        } else {
            pc_out(base, size, val++);
        }
    }
}

static void put_descriptor(Input *in)
{
    unsigned i = take(in, 1);

    pc_store(PRDT + 8 * i, 4, take(in, 1) & 1 ? take(in, 4)
             : take(in, 3) % RAM_BYTES);
    pc_store(PRDT + 8 * i + 4, 4, take(in, 2) | (take(in, 1) & 1) << 31);
}

static void start_dma(Input *in)
{
    uint16_t bm = BM + (take(in, 1) & 1 ? 8 : 0);

    pc_out(bm + 4, 4, PRDT + (take(in, 1) & 0x1f) * 8);
    pc_out(bm, 1, take(in, 1) & 9);
}

static void play(Input *in)
{
    uint16_t port;
    unsigned size;

    switch (take(in, 1) % 12) {
    case 0: case 1:
        port = take_port(in);
        size = 1 << take(in, 1) % 3;
        pc_out(port, size, take(in, size));
        break;
    case 2:
        port = take_port(in);
        pc_in(port, 1 << take(in, 1) % 3);
        break;
    case 3: case 4:
        send_command(in);
        break;
    case 5:
        send_data(in);
        break;
    case 6:
        put_descriptor(in);
        break;
    case 7:
        start_dma(in);
        break;
    case 8: case 9:
        settle();
        break;
    case 10:
        pc_conf_write(pc, IDE_DEVFN, take(in, 1) & 0xfc, take(in, 4), 4);
        break;
    case 11:
        if (take(in, 1) & 1) {
            pc_reload(ide);
        } else {
            device_reset(ide);
        }
        begin();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, data + size };

    if (!pc) {
        init();
    }
    begin();
    for (unsigned n = 0; in.at < in.end && n < MAX_OPS; n++) {
        play(&in);
    }
    settle();
    return 0;
}
