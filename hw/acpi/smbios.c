/*
 * SMBIOS: what machine, processors and memory this claims to be.
 *
 * Spec:   DMTF DSP0134, version 3.4: sections 5.2 (entry points), 7
 *         (structures), as of 2.8.
 * Models: types 0, 1, 3, 4, 16, 17, 19, 32 and 127; with -smbios 2, 8, 9, 11, 41
 *         and whatever comes from files, which replaces ours of that type.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/smbios.h"

#include "config.h"
#include "cpu/cpu.h"
#include "hw/boot/boot.h"
#include "hw/pci/pci.h"

enum {
    NO_HANDLE = 0xffff, NO_ERROR_INFO = 0xfffe, DIMM_BYTES_SHIFT = 34,
    FAMILY_IS_WIDE = 0xfe,      /* look at the second family field */
};

/* Handles as type * 100h + n, as QEMU's are. */
static uint16_t handle(unsigned type, unsigned n)
{
    return type << 8 | (n & 0xff);
}

/* Is the type for us to describe? */
static bool is_ours(unsigned type)
{
    return !(smbios_config.loaded[type / 64] >> (type % 64) & 1);
}

typedef struct {
    GByteArray *out;
    unsigned n_structures, max_bytes;

    uint32_t start;             /* of the structure being made */
    GByteArray *strings;
    unsigned n_strings;
} Builder;

static void put(Builder *b, uint64_t v, unsigned size)
{
    uint8_t buf[8];

    store_le64(buf, v);
    g_byte_array_append(b->out, buf, size);
}

/* The number of a string of this structure; 0 for none. */
static void put_string(Builder *b, const char *s, const char *deflt)
{
    s = s ? s : deflt;
    if (!s || !*s) {
        put(b, 0, 1);
        return;
    }
    g_byte_array_append(b->strings, (const uint8_t *)s, strlen(s) + 1);
    put(b, ++b->n_strings, 1);
}

static void begin(Builder *b, unsigned type, uint16_t id)
{
    b->start = b->out->len;
    b->strings = g_byte_array_new();
    b->n_strings = 0;
    put(b, type, 1);
    put(b, 0, 1);               /* length: end() knows */
    put(b, id, 2);
}

static void end(Builder *b)
{
    b->out->data[b->start + 1] = b->out->len - b->start;
    g_byte_array_append(b->out, b->strings->data, b->strings->len);
    put(b, 0, b->n_strings ? 1 : 2);
    g_byte_array_unref(b->strings);
    b->n_structures++;
    b->max_bytes = MAX(b->max_bytes, b->out->len - b->start);
}

/* --- structures ---------------------------------------------------------------------- */

static void put_bios(Builder *b)
{
    begin(b, 0, handle(0, 0));
    put_string(b, smbios_config.bios.vendor, "Rhea");
    put_string(b, smbios_config.bios.version, RHEA_VERSION);
    put(b, 0xe800, 2);
    put_string(b, smbios_config.bios.date, "04/01/2014");
    put(b, 0, 1);               /* 64 KiB */
    put(b, 1 << 3, 8);          /* characteristics: not given */
    put(b, 0, 1);
    /* Targeted content; a virtual machine. */
    put(b, 1 << 2 | smbios_config.bios.uefi << 3 | 1 << 4, 1);
    put(b, smbios_config.bios.major, 1);
    put(b, smbios_config.bios.minor, 1);
    put(b, 0xffff, 2);          /* no embedded controller */
    end(b);
}

static void put_system(Builder *b, Machine *m)
{
    const uint8_t *uuid = smbios_config.system.uuid ? smbios_config.system.id
                                                    : m->uuid;

    begin(b, 1, handle(1, 0));
    put_string(b, smbios_config.system.manufacturer, "QEMU");
    put_string(b, smbios_config.system.product, m->type->doc);
    put_string(b, smbios_config.system.version, m->type->name);
    put_string(b, smbios_config.system.serial, NULL);
    /* The first three fields are little-endian since 2.6. */
    put(b, load_be32(uuid), 4);
    put(b, load_be16(uuid + 4), 2);
    put(b, load_be16(uuid + 6), 2);
    g_byte_array_append(b->out, uuid + 8, 8);
    put(b, 6, 1);               /* woken by the power switch */
    put_string(b, smbios_config.system.sku, NULL);
    put_string(b, smbios_config.system.family, NULL);
    end(b);
}

static void put_board(Builder *b, Machine *m)
{
    begin(b, 2, handle(2, 0));
    put_string(b, smbios_config.board.manufacturer, "QEMU");
    put_string(b, smbios_config.board.product, m->type->doc);
    put_string(b, smbios_config.board.version, m->type->name);
    put_string(b, smbios_config.board.serial, NULL);
    put_string(b, smbios_config.board.asset, NULL);
    put(b, 1, 1);               /* a hosting board */
    put_string(b, smbios_config.board.location, NULL);
    put(b, handle(3, 0), 2);    /* in that chassis */
    put(b, 10, 1);              /* motherboard */
    put(b, 0, 1);               /* no contained objects */
    end(b);
}

static void put_chassis(Builder *b, Machine *m)
{
    begin(b, 3, handle(3, 0));
    put_string(b, smbios_config.chassis.manufacturer, "QEMU");
    put(b, 1, 1);               /* other */
    put_string(b, smbios_config.chassis.version, m->type->name);
    put_string(b, smbios_config.chassis.serial, NULL);
    put_string(b, smbios_config.chassis.asset, NULL);
    put(b, 3, 1);               /* boot-up, power, thermal: safe */
    put(b, 3, 1);
    put(b, 3, 1);
    put(b, 2, 1);               /* security: unknown */
    put(b, 0, 4);               /* OEM */
    put(b, 0, 4);               /* height, cords, elements */
    put_string(b, smbios_config.chassis.sku, NULL);
    end(b);
}

static void put_processor(Builder *b, Machine *m, unsigned socket)
{
    unsigned cores = m->topo.dies * m->topo.cores;
    unsigned threads = cores * m->topo.threads;
    X86Cpu *cpu = m->cpus && m->cpus->len ? g_ptr_array_index(m->cpus, 0)
                                          : NULL;
    g_autofree char *name = g_strdup_printf("%s %u",
        smbios_config.processor.socket ? smbios_config.processor.socket
                                       : "CPU", socket);
    uint32_t id[4] = { 0 };

    if (cpu && cpu->model) {
        cpu_cpuid(cpu, 1, 0, id);
    }
    begin(b, 4, handle(4, socket));
    put_string(b, name, NULL);
    put(b, 3, 1);               /* central processor */
    put(b, MIN(smbios_config.processor.family, FAMILY_IS_WIDE), 1);
    put_string(b, smbios_config.processor.manufacturer, "QEMU");
    put(b, smbios_config.processor.id ? smbios_config.processor.id
           : (uint64_t)id[3] << 32 | id[0], 8);
    put_string(b, smbios_config.processor.version, m->type->name);
    put(b, 0, 1);               /* voltage */
    put(b, 0, 2);               /* external clock: unknown */
    put(b, smbios_config.processor.max_mhz, 2);
    put(b, smbios_config.processor.now_mhz, 2);
    put(b, 0x41, 1);            /* populated and enabled */
    put(b, 1, 1);               /* upgrade: other */
    put(b, NO_HANDLE, 2);       /* caches L1, L2, L3: not described */
    put(b, NO_HANDLE, 2);
    put(b, NO_HANDLE, 2);
    put_string(b, smbios_config.processor.serial, NULL);
    put_string(b, smbios_config.processor.asset, NULL);
    put_string(b, smbios_config.processor.part, NULL);
    put(b, MIN(cores, 255), 1);
    put(b, MIN(cores, 255), 1);
    put(b, MIN(threads, 255), 1);
    put(b, 1 << 1, 2);          /* characteristics: unknown */
    put(b, smbios_config.processor.family, 2);
    put(b, MIN(cores, 0xfffe), 2);
    put(b, MIN(cores, 0xfffe), 2);
    put(b, MIN(threads, 0xfffe), 2);
    end(b);
}

static void put_memory_array(Builder *b, Machine *m, unsigned n_dimms)
{
    uint64_t kib = m->ram_bytes / KiB;

    begin(b, 16, handle(16, 0));
    put(b, 1, 1);               /* location: other */
    put(b, 3, 1);               /* system memory */
    put(b, 6, 1);               /* multi-bit ECC */
    put(b, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(b, NO_ERROR_INFO, 2);
    put(b, n_dimms, 2);
    put(b, kib < 0x80000000 ? 0 : m->ram_bytes, 8);
    end(b);
}

static void put_memory_device(Builder *b, unsigned n, uint64_t bytes)
{
    uint64_t mib = bytes / MiB;
    g_autofree char *name = g_strdup_printf("%s %u",
        smbios_config.memory.locator ? smbios_config.memory.locator : "DIMM",
        n);

    begin(b, 17, handle(17, n));
    put(b, handle(16, 0), 2);
    put(b, NO_ERROR_INFO, 2);
    put(b, 0xffff, 2);          /* widths: unknown */
    put(b, 0xffff, 2);
    put(b, mib < 0x7fff ? mib : 0x7fff, 2);
    put(b, 9, 1);               /* DIMM */
    put(b, 0, 1);               /* of no set */
    put_string(b, name, NULL);
    put_string(b, smbios_config.memory.bank, NULL);
    put(b, 7, 1);               /* RAM */
    put(b, 1 << 1, 2);          /* other */
    put(b, smbios_config.memory.speed_mhz, 2);      /* 0: unknown */
    put_string(b, smbios_config.memory.manufacturer, "QEMU");
    put_string(b, smbios_config.memory.serial, NULL);
    put_string(b, smbios_config.memory.asset, NULL);
    put_string(b, smbios_config.memory.part, NULL);
    put(b, 0, 1);               /* rank: unknown */
    put(b, mib < 0x7fff ? 0 : mib, 4);
    put(b, smbios_config.memory.speed_mhz, 2);      /* as configured */
    put(b, 0, 6);               /* voltages: unknown */
    end(b);
}

static void put_mapped_range(Builder *b, unsigned n, const E820Entry *e)
{
    uint64_t first = e->start / KiB, last = (e->start + e->len) / KiB - 1;
    bool far = last > UINT32_MAX - 1;

    begin(b, 19, handle(19, n));
    put(b, far ? UINT32_MAX : first, 4);
    put(b, far ? UINT32_MAX : last, 4);
    put(b, handle(16, 0), 2);
    put(b, 1, 1);               /* partition width */
    put(b, far ? e->start : 0, 8);
    put(b, far ? e->start + e->len - 1 : 0, 8);
    end(b);
}

static void put_memory(Builder *b, Machine *m)
{
    g_autoptr(GArray) e820 = e820_from_map(m);
    unsigned n = (m->ram_bytes + (BIT64(DIMM_BYTES_SHIFT) - 1))
                 >> DIMM_BYTES_SHIFT;
    unsigned n_ranges = 0;

    if (is_ours(16)) {
        put_memory_array(b, m, n);
    }
    for (unsigned i = 0; i < n && is_ours(17); i++) {
        uint64_t at = (uint64_t)i << DIMM_BYTES_SHIFT;

        put_memory_device(b, i, MIN(m->ram_bytes - at,
                                    BIT64(DIMM_BYTES_SHIFT)));
    }
    for (unsigned i = 0; i < e820->len && is_ours(19); i++) {
        const E820Entry *e = &g_array_index(e820, E820Entry, i);

        /* The stretch below 1 MiB belongs to the first module as well. */
        if (e->type == E820_RAM && e->start) {
            E820Entry whole = *e;

            if (whole.start == MiB) {
                whole.start = 0;
                whole.len += MiB;
            }
            put_mapped_range(b, n_ranges++, &whole);
        }
    }
}

/* --- what only the user knows of ------------------------------------------------------- */

/* Segment, bus, device and function; all ones for a slot without a device. */
static bool put_pci_address(Builder *b, unsigned type, const char *id,
                            GError **err)
{
    Object *o = id ? object_find(id) : NULL;

    if (!id) {
        put(b, UINT32_MAX, 4);
        return true;
    }
    if (!o || !type_is(o->type, &pci_device_type)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "-smbios type=%u: "
                    "there is no PCI device '%s'", type, id);
        return false;
    }
    put(b, 0, 2);
    put(b, 0, 1);               /* bus 0: the only one */
    put(b, pci_device_of(container_of(o, Device, obj))->devfn, 1);
    return true;
}

static void put_ports(Builder *b)
{
    GArray *list = smbios_config.ports;

    for (unsigned i = 0; list && i < list->len; i++) {
        const SmbiosPort *p = &g_array_index(list, SmbiosPort, i);

        begin(b, 8, handle(8, i));
        put_string(b, p->internal, NULL);
        put(b, 0, 1);           /* internal connector: none */
        put_string(b, p->external, NULL);
        put(b, p->connector, 1);
        put(b, p->port, 1);
        end(b);
    }
}

static bool put_slots(Builder *b, GError **err)
{
    GArray *list = smbios_config.slots;
    bool ok = true;

    for (unsigned i = 0; list && ok && i < list->len; i++) {
        const SmbiosSlot *s = &g_array_index(list, SmbiosSlot, i);

        begin(b, 9, handle(9, i));
        put_string(b, s->designation, NULL);
        put(b, s->type, 1);
        put(b, s->width, 1);
        put(b, s->usage, 1);
        put(b, s->length, 1);
        put(b, s->id, 2);
        put(b, s->characteristics[0], 1);
        put(b, s->characteristics[1], 1);
        ok = put_pci_address(b, 9, s->pci_id, err);
        put(b, 0, 1);           /* width in lanes */
        put(b, 0, 1);           /* no peer groups */
        end(b);
    }
    return ok;
}

static void put_oem_strings(Builder *b)
{
    GPtrArray *list = smbios_config.oem_strings;

    if (list) {
        begin(b, 11, handle(11, 0));
        put(b, list->len, 1);
        for (unsigned i = 0; i < list->len; i++) {
            g_byte_array_append(b->strings, list->pdata[i],
                                strlen(list->pdata[i]) + 1);
            b->n_strings++;
        }
        end(b);
    }
}

static bool put_onboard(Builder *b, GError **err)
{
    GArray *list = smbios_config.onboard;
    bool ok = true;

    for (unsigned i = 0; list && ok && i < list->len; i++) {
        const SmbiosOnboard *o = &g_array_index(list, SmbiosOnboard, i);

        begin(b, 41, handle(41, i));
        put_string(b, o->designation, NULL);
        put(b, 0x80 | (o->kind + 1), 1);        /* enabled */
        put(b, o->instance, 1);
        ok = put_pci_address(b, 41, o->pci_id, err);
        end(b);
    }
    return ok;
}

/* --- entry points ----------------------------------------------------------------------- */

enum {
    EP21_BYTES = 0x1f, EP21_SUM = 4, EP21_DMI = 0x10, EP21_DMI_SUM = 0x15,
    EP21_ADDR = 0x18, EP30_BYTES = 0x18, EP30_SUM = 5, EP30_ADDR = 0x10,
};

static GByteArray *entry_21(const Builder *b)
{
    uint8_t e[EP21_BYTES] = { '_', 'S', 'M', '_', 0, EP21_BYTES, 2, 8 };

    store_le16(e + 8, b->max_bytes);
    memcpy(e + EP21_DMI, "_DMI_", 5);
    store_le16(e + 0x16, b->out->len);
    store_le16(e + 0x1c, b->n_structures);
    e[0x1e] = 0x28;
    return g_byte_array_append(g_byte_array_new(), e, sizeof(e));
}

static GByteArray *entry_30(const Builder *b)
{
    uint8_t e[EP30_BYTES] = { '_', 'S', 'M', '3', '_', 0, EP30_BYTES, 3, 0, 0,
                              1 };

    store_le32(e + 0x0c, b->out->len);
    return g_byte_array_append(g_byte_array_new(), e, sizeof(e));
}

static void set_sum(uint8_t *p, unsigned len, unsigned at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (unsigned i = 0; i < len; i++) {
        sum += p[i];
    }
    p[at] = -sum;
}

void smbios_locate(Smbios *s, uint64_t tables_gpa)
{
    uint8_t *e = s->anchor->data;

    if (s->anchor->len == EP21_BYTES) {
        store_le32(e + EP21_ADDR, tables_gpa);
        set_sum(e + EP21_DMI, EP21_BYTES - EP21_DMI, EP21_DMI_SUM - EP21_DMI);
        set_sum(e, EP21_BYTES, EP21_SUM);
    } else {
        store_le64(e + EP30_ADDR, tables_gpa);
        set_sum(e, EP30_BYTES, EP30_SUM);
    }
}

void smbios_free(Smbios *s)
{
    if (s) {
        g_byte_array_unref(s->tables);
        g_byte_array_unref(s->anchor);
        g_free(s);
    }
}

static void put_files(Builder *b)
{
    if (smbios_config.files) {
        g_byte_array_append(b->out, smbios_config.files->data,
                            smbios_config.files->len);
        b->n_structures = smbios_config.n_files;
        b->max_bytes = smbios_config.max_file_bytes;
    }
}

static bool put_all(Builder *b, Machine *m, bool firmware, GError **err)
{
    put_files(b);
    if (is_ours(0) && (!firmware || smbios_is_given(0))) {
        put_bios(b);
    }
    if (is_ours(1)) {
        put_system(b, m);
    }
    if (smbios_is_given(2)) {
        put_board(b, m);
    }
    if (is_ours(3)) {
        put_chassis(b, m);
    }
    for (unsigned i = 0; i < m->topo.sockets && is_ours(4); i++) {
        put_processor(b, m, i);
    }
    put_ports(b);
    if (!put_slots(b, err)) {
        return false;
    }
    put_oem_strings(b);
    put_memory(b, m);
    if (is_ours(32)) {
        begin(b, 32, handle(32, 0));
        put(b, 0, 6);
        put(b, 0, 1);           /* no error at the last boot */
        end(b);
    }
    if (!put_onboard(b, err)) {
        return false;
    }
    begin(b, 127, handle(127, 0));
    end(b);
    return true;
}

Smbios *smbios_build(Machine *m, bool firmware, GError **err)
{
    g_autoptr(Smbios) s = g_new0(Smbios, 1);
    Builder b = { .out = g_byte_array_new() };
    bool small;

    s->tables = b.out;
    s->anchor = g_byte_array_new();
    if (!put_all(&b, m, firmware, err)) {
        return NULL;
    }
    small = b.out->len <= UINT16_MAX && b.max_bytes <= UINT16_MAX
            && b.n_structures <= UINT16_MAX;
    if (smbios_config.entry == SMBIOS_ENTRY_32 && !small) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "%u bytes of SMBIOS "
                    "tables are too many for -machine smbios-entry-point-type"
                    "=32; accepted: auto, 64", b.out->len);
        return NULL;
    }
    g_byte_array_unref(s->anchor);
    s->anchor = small && smbios_config.entry != SMBIOS_ENTRY_64
                ? entry_21(&b) : entry_30(&b);
    smbios_locate(s, 0);
    return g_steal_pointer(&s);
}
