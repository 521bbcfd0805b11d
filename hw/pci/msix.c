/*
 * MSI-X: a table of messages in a BAR, each with its mask and pending bit.
 *
 * Spec:   PCI Local Bus Specification 3.0, section 6.8.2.
 * Models: 1 to 2048 vectors, vector and function masks, pending bits.
 * Locks:  machine lock for the guest's writes; msix_notify() from any thread:
 *         table words are atomic.  A sender that finds its vector masked sets
 *         the pending bit, then looks again, and whoever clears the bit sends:
 *         so no message is lost or doubled.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "pci-private.h"

enum { ENTRY_WORDS = 4, ADDR_LO = 0, ADDR_HI = 1, DATA = 2, CTRL = 3 };

static uint32_t *word_at(Msix *m, unsigned vector, unsigned field)
{
    return (uint32_t *)m->table + vector * ENTRY_WORDS + field;
}

static uint32_t word(Msix *m, unsigned vector, unsigned field)
{
    return __atomic_load_n(word_at(m, vector, field), __ATOMIC_SEQ_CST);
}

static uint8_t flags_high(const PciDevice *pci)
{
    return __atomic_load_n(&pci->config[pci->msix_cap + PCI_MSIX_FLAGS + 1],
                           __ATOMIC_SEQ_CST);
}

bool msix_enabled(const PciDevice *pci)
{
    return pci->msix.n && flags_high(pci) & PCI_MSIX_FLAGS_ENABLE >> 8;
}

unsigned msix_n_vectors(const PciDevice *pci)
{
    return pci->msix.n;
}

static bool masked(PciDevice *pci, unsigned vector)
{
    return flags_high(pci) & PCI_MSIX_FLAGS_MASKALL >> 8
           || word(&pci->msix, vector, CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static bool message(PciDevice *pci, unsigned vector, uint64_t *addr,
                    uint32_t *data)
{
    Msix *m = &pci->msix;

    *addr = (uint64_t)word(m, vector, ADDR_HI) << 32
            | word(m, vector, ADDR_LO);
    *data = word(m, vector, DATA);
    return __atomic_load_n(&pci->bus_master, __ATOMIC_ACQUIRE);
}

bool msix_may_send(PciDevice *pci, unsigned vector, uint64_t *addr,
                   uint32_t *data)
{
    return msix_enabled(pci) && !masked(pci, vector)
           && message(pci, vector, addr, data);
}

static void send(PciDevice *pci, unsigned vector)
{
    uint64_t addr;
    uint32_t data;

    if (!msix_fd_send(&pci->msix, vector)
        && message(pci, vector, &addr, &data)) {
        msi_send(addr, data);
    }
}

static bool claim_pending(Msix *m, unsigned vector)
{
    uint32_t bit = BIT(vector % 32);

    return __atomic_fetch_and((uint32_t *)m->pba + vector / 32, ~bit, __ATOMIC_SEQ_CST)
           & bit;
}

void msix_notify(PciDevice *pci, unsigned vector)
{
    Msix *m = &pci->msix;

    if (vector >= m->n || !msix_enabled(pci)) {
        return;
    }
    if (!masked(pci, vector)) {
        send(pci, vector);
        return;
    }
    __atomic_fetch_or((uint32_t *)m->pba + vector / 32, BIT(vector % 32),
                      __ATOMIC_SEQ_CST);
    if (!masked(pci, vector) && claim_pending(m, vector)) {
        send(pci, vector);
    }
}

/* After something was unmasked. */
static void send_pending(PciDevice *pci, unsigned first, unsigned n)
{
    if (!msix_enabled(pci)) {
        return;
    }
    for (unsigned v = first; v < first + n; v++) {
        if (!masked(pci, v) && claim_pending(&pci->msix, v)) {
            send(pci, v);
        }
    }
}

void msix_config_written(PciDevice *pci, unsigned at, unsigned size)
{
    unsigned reg = pci->msix_cap + PCI_MSIX_FLAGS + 1;

    if (at <= reg && reg < at + size) {
        msix_fds_update(pci, 0, pci->msix.n);
        send_pending(pci, 0, pci->msix.n);
    }
}

static uint64_t table_read(void *opaque, hwaddr at, unsigned size)
{
    PciDevice *pci = opaque;

    return word(&pci->msix, at / 16, at % 16 / 4);
}

static void table_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    PciDevice *pci = opaque;
    unsigned vector = at / 16, field = at % 16 / 4;

    trace("msix-table-write", "vector %u word %u val 0x%x", vector, field,
          (uint32_t)val);
    if (field == CTRL) {
        val &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
    } else if (field == ADDR_LO) {
        val &= ~3u;
    }
    __atomic_store_n(word_at(&pci->msix, vector, field), (uint32_t)val,
                     __ATOMIC_SEQ_CST);
    msix_fds_update(pci, vector, 1);
    if (field == CTRL && !val) {
        send_pending(pci, vector, 1);
    }
}

static const IoOps table_ops = {
    .read = table_read, .write = table_write, .size_min = 4, .size_max = 4,
};

static uint64_t pba_read(void *opaque, hwaddr at, unsigned size)
{
    PciDevice *pci = opaque;

    return __atomic_load_n((uint32_t *)pci->msix.pba + at / 4,
                           __ATOMIC_SEQ_CST);
}

static void pba_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    /* Read-only: software "should never write" it. */
}

static const IoOps pba_ops = {
    .read = pba_read, .write = pba_write, .size_min = 4, .size_max = 4,
};

bool msix_init(PciDevice *pci, unsigned n_vectors, Region *region,
               unsigned bar, uint32_t table_at, uint32_t pba_at,
               GError **err)
{
    Msix *m = &pci->msix;
    unsigned cap;

    g_assert(n_vectors && bar < PCI_N_BARS && !(table_at & 7)
             && !(pba_at & 7));
    if (n_vectors > 2048) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: vectors=%u: MSI-X has at most 2048",
                    pci->dev.obj.type->name, n_vectors);
        return false;
    }
    cap = pci_add_capability(pci, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    if (!cap) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                    "%s: no room for an MSI-X capability",
                    pci->dev.obj.type->name);
        return false;
    }
    pci_set16(pci, cap + PCI_MSIX_FLAGS, n_vectors - 1);
    pci_set32(pci, cap + PCI_MSIX_TABLE, table_at | bar);
    pci_set32(pci, cap + PCI_MSIX_PBA, pba_at | bar);
    store_le16(pci->wmask + cap + PCI_MSIX_FLAGS,
               PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);

    m->n = n_vectors;
    m->table_bytes = n_vectors * 16;
    m->table = g_malloc0(m->table_bytes);
    m->pba_bytes = ALIGN_UP(n_vectors, 64) / 8;
    m->pba = g_malloc0(m->pba_bytes);
    region_init_io(&m->table_io, &pci->dev.obj, "msix-table", &table_ops, pci,
                   m->table_bytes);
    region_init_io(&m->pba_io, &pci->dev.obj, "msix-pba", &pba_ops, pci,
                   m->pba_bytes);
    region_map(region, table_at, &m->table_io, 1);
    region_map(region, pba_at, &m->pba_io, 1);
    pci->msix_cap = cap;
    msix_reset(pci);
    return true;
}

bool msix_init_bar(PciDevice *pci, unsigned n_vectors, unsigned bar,
                   GError **err)
{
    /* Pending bits in the upper half, as drivers have always found them. */
    uint32_t size = 4096, half;

    while (size / 2 < n_vectors * 16 && size < 128 * KiB) {
        size *= 2;
    }
    half = size / 2;
    region_init_container(&pci->msix.bar, &pci->dev.obj, "msix", size);
    if (!msix_init(pci, n_vectors, &pci->msix.bar, bar, 0, half, err)) {
        region_destroy(&pci->msix.bar);
        return false;
    }
    pci_register_bar(pci, bar, PCI_BAR_MEM32, &pci->msix.bar);
    return true;
}

void msix_reset(PciDevice *pci)
{
    Msix *m = &pci->msix;

    if (!m->n) {
        return;
    }
    memset(m->table, 0, m->table_bytes);
    memset(m->pba, 0, m->pba_bytes);
    for (unsigned v = 0; v < m->n; v++) {
        *word_at(m, v, CTRL) = PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
    msix_fds_update(pci, 0, m->n);
}

void msix_free(PciDevice *pci)
{
    Msix *m = &pci->msix;

    if (!m->n) {
        return;
    }
    msix_fds_free(m);
    m->n = 0;
    region_destroy(&m->table_io);
    region_destroy(&m->pba_io);
    if (m->bar.kind == REGION_CONTAINER && m->bar.size_bytes) {
        region_destroy(&m->bar);
    }
    g_clear_pointer(&m->table, g_free);
    g_clear_pointer(&m->pba, g_free);
    memset(m, 0, sizeof(*m));
}
