/*
 * Devices that QEMU has and we have not yet: what to say, instead of guessing
 * that a name was misspelt.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#define DISKS "accepted for disks: virtio-blk-pci, ide-hd, ide-cd"

static const struct {
    const char *what, *accepted;
    const char *patterns[17];   /* up to a NULL */
} later[] = {
    { "SCSI is", DISKS,
      { "virtio-scsi*", "scsi-*", "lsi*", "megasas*", "mptsas*", "pvscsi",
        "am53c974", "dc390", "vhost-scsi*", "vhost-user-scsi*" } },
    { "AHCI is", DISKS, { "ahci", "ich9-ahci" } },
    { "NVMe is", DISKS, { "nvme*" } },
    { "floppies are", NULL, { "floppy", "isa-fdc" } },
    { "SD cards are", NULL, { "sd-card", "sdhci-pci" } },
    { "USB is", NULL,
      { "usb-*", "*-usb-*", "qemu-xhci", "pci-ohci", "piix*-usb*" } },
    { "networking is", "accepted: -nic none",
      { "virtio-net*", "e1000*", "rtl8139", "pcnet", "ne2k_*", "vmxnet3",
        "i82*", "tulip", "igb" } },
    { "this display adapter is", "accepted: VGA",
      { "virtio-vga*", "virtio-gpu*", "qxl*", "cirrus-vga", "bochs-display",
        "vmware-svga", "ramfb", "ati-vga", "isa-vga", "isa-cirrus-vga",
        "secondary-vga" } },
    { "bridges are", "accepted: the bus pci.0",
      { "pci-bridge", "pcie-*", "ioh3420", "pxb*", "x3130-*", "xio3130-*",
        "i82801b11-bridge" } },
    { "hot-plugged memory is", NULL,
      { "pc-dimm", "nvdimm", "virtio-mem*", "virtio-pmem*", "ivshmem*" } },
    { "sound is", NULL,
      { "AC97", "intel-hda", "ich9-intel-hda", "hda-*", "sb16", "ES1370",
        "gus", "adlib", "cs4231a", "virtio-sound*" } },
    { "a watchdog is", NULL, { "i6300esb", "ib700" } },
    { "an IOMMU is", NULL, { "intel-iommu", "amd-iommu", "virtio-iommu*" } },
    { "this device is", NULL,
      { "virtio-*", "vhost-*", "vmgenid", "vmcoreinfo", "pvpanic-pci",
        "tpm-*", "edu", "loader", "guest-loader", "hyperv-testdev",
        "pci-serial*", "sga", "isa-ipmi*", "ipmi-*", "vfio-pci*",
        "isa-ide" } },
};

const char *device_is_for_later(const char *driver, const char **accepted)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(later); i++) {
        for (unsigned n = 0; later[i].patterns[n]; n++) {
            if (g_pattern_match_simple(later[i].patterns[n], driver)) {
                *accepted = later[i].accepted;
                return later[i].what;
            }
        }
    }
    return NULL;
}
