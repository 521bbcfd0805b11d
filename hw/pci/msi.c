/*
 * MSI: one to 32 messages, chosen by the low bits of one data word.
 *
 * Spec:   PCI Local Bus Specification 3.0, section 6.8.1.
 * Models: 32- and 64-bit addresses, per-vector masking with pending bits.
 * Locks:  machine lock for the guest's writes; msi_notify() from any thread:
 *         registers are read by aligned atomic loads, pending bits are atomic.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/pci.h"

static uint16_t flags_of(const PciDevice *pci)
{
    return pci_get16(pci, pci->msi_cap + PCI_MSI_FLAGS);
}

/* Offsets in the capability; those behind the address depend on its width. */
static unsigned data_at(const PciDevice *pci, unsigned cap)
{
    return cap + (pci->config[cap + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_64BIT
                  ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
}

static unsigned mask_at(const PciDevice *pci, unsigned cap)
{
    return cap + (pci->config[cap + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_64BIT
                  ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
}

static uint32_t load(const PciDevice *pci, unsigned at)
{
    return GUINT32_FROM_LE(__atomic_load_n((uint32_t *)(pci->config + at),
                                           __ATOMIC_SEQ_CST));
}

bool msi_init(PciDevice *pci, unsigned n_vectors, bool addr64, bool maskable)
{
    unsigned len = (addr64 ? 14 : 10) + (maskable ? 10 : 0);
    unsigned cap, at;
    uint16_t flags;

    g_assert(n_vectors && n_vectors <= 32 && !(n_vectors & (n_vectors - 1)));
    cap = pci_add_capability(pci, PCI_CAP_ID_MSI, len);
    if (!cap) {
        return false;
    }
    flags = __builtin_ctz(n_vectors) << 1
            | (addr64 ? PCI_MSI_FLAGS_64BIT : 0)
            | (maskable ? PCI_MSI_FLAGS_MASKBIT : 0);
    pci_set16(pci, cap + PCI_MSI_FLAGS, flags);
    store_le16(pci->wmask + cap + PCI_MSI_FLAGS,
               PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
    store_le32(pci->wmask + cap + PCI_MSI_ADDRESS_LO, 0xfffffffc);
    if (addr64) {
        store_le32(pci->wmask + cap + PCI_MSI_ADDRESS_HI, 0xffffffff);
    }
    at = data_at(pci, cap);
    store_le16(pci->wmask + at, 0xffff);
    if (maskable) {
        store_le32(pci->wmask + mask_at(pci, cap),
                   0xffffffff >> (32 - n_vectors));
    }
    pci->msi_cap = cap;
    return true;
}

bool msi_enabled(const PciDevice *pci)
{
    return pci->msi_cap && flags_of(pci) & PCI_MSI_FLAGS_ENABLE;
}

/* Messages the guest enabled, at most what the device asked for. */
static unsigned n_enabled(const PciDevice *pci)
{
    uint16_t flags = flags_of(pci);

    return 1u << MIN(flags >> 4 & 7, flags >> 1 & 7);
}

static void send(PciDevice *pci, unsigned vector)
{
    unsigned cap = pci->msi_cap;
    uint64_t addr = load(pci, cap + PCI_MSI_ADDRESS_LO);
    uint32_t data = load_le16(pci->config + data_at(pci, cap));

    if (flags_of(pci) & PCI_MSI_FLAGS_64BIT) {
        addr |= (uint64_t)load(pci, cap + PCI_MSI_ADDRESS_HI) << 32;
    }
    /* A message is a memory write: it needs the bus. */
    if (__atomic_load_n(&pci->bus_master, __ATOMIC_ACQUIRE)) {
        msi_send(addr, (data & ~(n_enabled(pci) - 1)) | vector);
    }
}

/* Claim the pending bit; the one who gets it sends. */
static bool claim_pending(PciDevice *pci, unsigned vector)
{
    uint32_t *pending = (uint32_t *)(pci->config + mask_at(pci, pci->msi_cap)
                                     + 4);

    return __atomic_fetch_and(pending, GUINT32_TO_LE(~BIT(vector)),
                              __ATOMIC_SEQ_CST) & GUINT32_TO_LE(BIT(vector));
}

void msi_notify(PciDevice *pci, unsigned vector)
{
    unsigned mask;

    if (!msi_enabled(pci)) {
        return;
    }
    vector &= n_enabled(pci) - 1;
    if (!(flags_of(pci) & PCI_MSI_FLAGS_MASKBIT)) {
        send(pci, vector);
        return;
    }
    mask = mask_at(pci, pci->msi_cap);
    if (!(load(pci, mask) & BIT(vector))) {
        send(pci, vector);
        return;
    }
    /* Pending first, then look again: a guest that unmasks in between either
     * sees the bit or is seen. */
    __atomic_fetch_or((uint32_t *)(pci->config + mask + 4),
                      GUINT32_TO_LE(BIT(vector)), __ATOMIC_SEQ_CST);
    if (!(load(pci, mask) & BIT(vector)) && claim_pending(pci, vector)) {
        send(pci, vector);
    }
}

void msi_config_written(PciDevice *pci, unsigned at, unsigned size)
{
    unsigned cap = pci->msi_cap, mask;

    if (at + size <= cap || at >= cap + 24 || !msi_enabled(pci)
        || !(flags_of(pci) & PCI_MSI_FLAGS_MASKBIT)) {
        return;
    }
    mask = load(pci, mask_at(pci, cap));
    for (unsigned v = 0; v < n_enabled(pci); v++) {
        if (!(mask & BIT(v)) && claim_pending(pci, v)) {
            send(pci, v);
        }
    }
}
