/*
 * -smbios: what the user says about the machine's tables.
 *
 * Spec:  QEMU's manual, "-smbios"; DMTF DSP0134 for what a field can hold.
 * Locks: machine lock, before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/smbios.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FILE_BYTES = 65535, MAX_STRINGS = 255 };

SmbiosConfig smbios_config = {
    .processor = { .max_mhz = 2000, .now_mhz = 2000, .family = 1 },
};

const char *const smbios_entry_names[] = { "auto", "32", "64", NULL };

/* The numbers are one less than the standard's. */
static const char *const onboard_kinds[] = {
    "other", "unknown", "video", "scsi", "ethernet", "tokenring", "sound",
    "pata", "sata", "sas", NULL
};

/* --- fields -------------------------------------------------------------------------- */

typedef struct Field {
    const char *key;            /* NULL ends a table */
    size_t offset;
    uint64_t max;               /* of a number; 0: a text */
    const char *const *names;
    bool is_bool;
} Field;

#define CONFIG(f) offsetof(SmbiosConfig, f)
#define TEXT(k, at)       { (k), (at), 0, NULL, false }
#define NUMBER(k, at, m)  { (k), (at), (m), NULL, false }

static const Field bios_fields[] = {
    TEXT("vendor", CONFIG(bios.vendor)),
    TEXT("version", CONFIG(bios.version)),
    TEXT("date", CONFIG(bios.date)),
    TEXT("release", CONFIG(bios.release)),
    { "uefi", CONFIG(bios.uefi), 0, NULL, true },
    {}
};

static const Field system_fields[] = {
    TEXT("manufacturer", CONFIG(system.manufacturer)),
    TEXT("product", CONFIG(system.product)),
    TEXT("version", CONFIG(system.version)),
    TEXT("serial", CONFIG(system.serial)),
    TEXT("uuid", CONFIG(system.uuid)),
    TEXT("sku", CONFIG(system.sku)),
    TEXT("family", CONFIG(system.family)),
    {}
};

static const Field board_fields[] = {
    TEXT("manufacturer", CONFIG(board.manufacturer)),
    TEXT("product", CONFIG(board.product)),
    TEXT("version", CONFIG(board.version)),
    TEXT("serial", CONFIG(board.serial)),
    TEXT("asset", CONFIG(board.asset)),
    TEXT("location", CONFIG(board.location)),
    {}
};

static const Field chassis_fields[] = {
    TEXT("manufacturer", CONFIG(chassis.manufacturer)),
    TEXT("version", CONFIG(chassis.version)),
    TEXT("serial", CONFIG(chassis.serial)),
    TEXT("asset", CONFIG(chassis.asset)),
    TEXT("sku", CONFIG(chassis.sku)),
    {}
};

static const Field processor_fields[] = {
    TEXT("sock_pfx", CONFIG(processor.socket)),
    TEXT("manufacturer", CONFIG(processor.manufacturer)),
    TEXT("version", CONFIG(processor.version)),
    TEXT("serial", CONFIG(processor.serial)),
    TEXT("asset", CONFIG(processor.asset)),
    TEXT("part", CONFIG(processor.part)),
    NUMBER("max-speed", CONFIG(processor.max_mhz), UINT16_MAX),
    NUMBER("current-speed", CONFIG(processor.now_mhz), UINT16_MAX),
    NUMBER("processor-family", CONFIG(processor.family), UINT16_MAX),
    NUMBER("processor-id", CONFIG(processor.id), UINT64_MAX),
    {}
};

static const Field port_fields[] = {
    TEXT("internal_reference", offsetof(SmbiosPort, internal)),
    TEXT("external_reference", offsetof(SmbiosPort, external)),
    NUMBER("connector_type", offsetof(SmbiosPort, connector), UINT8_MAX),
    NUMBER("port_type", offsetof(SmbiosPort, port), UINT8_MAX),
    {}
};

static const Field slot_fields[] = {
    TEXT("slot_designation", offsetof(SmbiosSlot, designation)),
    NUMBER("slot_type", offsetof(SmbiosSlot, type), UINT8_MAX),
    NUMBER("slot_data_bus_width", offsetof(SmbiosSlot, width), UINT8_MAX),
    NUMBER("current_usage", offsetof(SmbiosSlot, usage), UINT8_MAX),
    NUMBER("slot_length", offsetof(SmbiosSlot, length), UINT8_MAX),
    NUMBER("slot_id", offsetof(SmbiosSlot, id), UINT16_MAX),
    NUMBER("slot_characteristics1", offsetof(SmbiosSlot, characteristics[0]),
           UINT8_MAX),
    NUMBER("slot_characteristics2", offsetof(SmbiosSlot, characteristics[1]),
           UINT8_MAX),
    TEXT("pci_device", offsetof(SmbiosSlot, pci_id)),
    {}
};

static const Field memory_fields[] = {
    TEXT("loc_pfx", CONFIG(memory.locator)),
    TEXT("bank", CONFIG(memory.bank)),
    TEXT("manufacturer", CONFIG(memory.manufacturer)),
    TEXT("serial", CONFIG(memory.serial)),
    TEXT("asset", CONFIG(memory.asset)),
    TEXT("part", CONFIG(memory.part)),
    NUMBER("speed", CONFIG(memory.speed_mhz), UINT16_MAX),
    {}
};

static const Field onboard_fields[] = {
    TEXT("designation", offsetof(SmbiosOnboard, designation)),
    { "kind", offsetof(SmbiosOnboard, kind), 0, onboard_kinds, false },
    NUMBER("instance", offsetof(SmbiosOnboard, instance), UINT8_MAX),
    TEXT("pcidev", offsetof(SmbiosOnboard, pci_id)),
    {}
};

/* The last one counts, as with every option. */
static bool take_text(Opt *dict, const Field *f, char **at, GError **err)
{
    const char *text = NULL;

    if (!opt_get_string(dict, f->key, &text, err)) {
        return false;
    }
    if (text) {
        g_free(*at);
        *at = g_strdup(text);
    }
    return true;
}

static bool take_fields(Opt *dict, const Field *f, void *into, GError **err)
{
    for (; f->key; f++) {
        void *at = (char *)into + f->offset;
        bool ok = f->is_bool ? opt_get_bool(dict, f->key, at, err)
                  : f->names ? opt_get_enum(dict, f->key, f->names, at, err)
                  : f->max ? opt_get_uint(dict, f->key, at, f->max, err)
                  : take_text(dict, f, at, err);

        if (!ok) {
            return false;
        }
    }
    return true;
}

/* --- what needs a second look -------------------------------------------------- */

static bool parse_release(GError **err)
{
    unsigned major, minor;
    char rest;

    if (!smbios_config.bios.release) {
        return true;
    }
    if (sscanf(smbios_config.bios.release, "%u.%u%c", &major, &minor, &rest)
        != 2 || major > UINT8_MAX || minor > UINT8_MAX) {
        return opt_fail(err,
                        "parameter 'release' expects two numbers up to 255, "
                        "as in 1.2, not '%s'", smbios_config.bios.release);
    }
    smbios_config.bios.major = major;
    smbios_config.bios.minor = minor;
    return true;
}

static bool parse_uuid(GError **err)
{
    const char *s = smbios_config.system.uuid;
    unsigned n = 0;

    if (!s) {
        return true;
    }
    if (!g_uuid_string_is_valid(s)) {
        return opt_fail(err, "parameter 'uuid' expects the form xxxxxxxx-xxxx-"
                        "xxxx-xxxx-xxxxxxxxxxxx, not '%s'", s);
    }
    for (; *s; s++) {
        uint8_t *byte = &smbios_config.system.id[n / 2];

        if (*s != '-') {
            *byte = *byte << 4 | g_ascii_xdigit_value(*s);
            n++;
        }
    }
    return true;
}

static bool add_oem(const char *text, GError **err)
{
    if (!smbios_config.oem_strings) {
        smbios_config.oem_strings = g_ptr_array_new_with_free_func(g_free);
    }
    if (smbios_config.oem_strings->len == MAX_STRINGS) {
        return opt_fail(err, "there can be %d OEM strings", MAX_STRINGS);
    }
    if (!*text) {
        return opt_fail(err, "parameter 'value' expects a text");
    }
    g_ptr_array_add(smbios_config.oem_strings, g_strdup(text));
    return true;
}

static bool add_oem_file(const char *path, GError **err)
{
    g_autofree char *text = NULL;
    size_t len;

    if (!g_file_get_contents(path, &text, &len, err)) {
        return false;
    }
    if (!len || len > MAX_FILE_BYTES / 2 || strlen(text) != len) {
        return opt_fail(err,
                        "'%s' does not hold a text of 1 to %d bytes without "
                        "zeros", path, MAX_FILE_BYTES / 2);
    }
    return add_oem(text, err);
}

/* One text or a list of them. */
static bool each_text(Opt *dict, const char *key,
                      bool (*add)(const char *, GError **), GError **err)
{
    Opt *node = opt_get(dict, key);
    unsigned n = !node ? 0 : opt_kind(node) == OPT_LIST ? opt_len(node) : 1;

    for (unsigned i = 0; i < n; i++) {
        Opt *one = opt_kind(node) == OPT_LIST ? opt_at(node, i) : node;

        if (opt_kind(one) != OPT_STRING) {
            return opt_fail(err, "parameter '%s' expects a text", key);
        }
        if (!add(opt_string(one), err)) {
            return false;
        }
    }
    return true;
}

static bool add_oem_strings(Opt *dict, GError **err)
{
    return each_text(dict, "value", add_oem, err)
           && each_text(dict, "path", add_oem_file, err);
}

static bool add_port(Opt *dict, GError **err)
{
    SmbiosPort p = { 0 };

    if (!take_fields(dict, port_fields, &p, err)) {
        return false;
    }
    if (!smbios_config.ports) {
        smbios_config.ports = g_array_new(FALSE, FALSE, sizeof(p));
    }
    g_array_append_val(smbios_config.ports, p);
    return true;
}

static bool add_slot(Opt *dict, GError **err)
{
    SmbiosSlot s = { 0 };
    Field pcidev = TEXT("pcidev", offsetof(SmbiosSlot, pci_id));

    /* Two names: the one of the manual and the one like type 41's. */
    if (!take_fields(dict, slot_fields, &s, err)
        || !take_text(dict, &pcidev, &s.pci_id, err)) {
        return false;
    }
    if (!smbios_config.slots) {
        smbios_config.slots = g_array_new(FALSE, FALSE, sizeof(s));
    }
    g_array_append_val(smbios_config.slots, s);
    return true;
}

static bool add_onboard(Opt *dict, GError **err)
{
    SmbiosOnboard o = { .instance = 1 };

    if (!take_fields(dict, onboard_fields, &o, err)) {
        return false;
    }
    if (!smbios_config.onboard) {
        smbios_config.onboard = g_array_new(FALSE, FALSE, sizeof(o));
    }
    g_array_append_val(smbios_config.onboard, o);
    return true;
}

/* --- files --------------------------------------------------------------------------- */

static bool test(const uint64_t *set, unsigned type)
{
    return set[type / 64] >> (type % 64) & 1;
}

static void mark(uint64_t *set, unsigned type)
{
    set[type / 64] |= BIT64(type % 64);
}

/* A structure, its strings and the empty one at their end; nothing more. */
static bool check_structure(const uint8_t *p, size_t len, GError **err)
{
    size_t at;

    if (len < 4 || p[1] < 4 || p[1] + 2u > len) {
        return opt_fail(err,
                        "it holds no SMBIOS structure: %zu bytes, of which "
                        "the header claims %u", len, len < 2 ? 0 : p[1]);
    }
    if (p[0] > 126) {
        return opt_fail(err,
                        "type %u cannot be given by a file; accepted: 0 to "
                        "126", p[0]);
    }
    at = p[1];
    if (!p[at]) {
        at++;                   /* no string at all: two zeros */
    }
    while (at < len && p[at]) {
        at += strnlen((const char *)p + at, len - at) + 1;
    }
    return at + 1 == len
           || opt_fail(err,
                       "its strings do not end with an empty one where the "
                       "file ends");
}

static bool add_file(const char *path, GError **err)
{
    g_autofree char *data = NULL;
    const uint8_t *p;
    size_t len;

    if (!g_file_get_contents(path, &data, &len, err)) {
        return false;
    }
    p = (const uint8_t *)data;
    if (len > MAX_FILE_BYTES) {
        return opt_fail(err,
                        "'%s' has %zu bytes; at most %d are possible", path,
                        len, MAX_FILE_BYTES);
    }
    if (!check_structure(p, len, err)) {
        g_prefix_error(err, "'%s': ", path);
        return false;
    }
    if (test(smbios_config.given, p[0])) {
        return opt_fail(err, "'%s': type %u is described by fields already",
                        path, p[0]);
    }
    mark(smbios_config.loaded, p[0]);
    if (!smbios_config.files) {
        smbios_config.files = g_byte_array_new();
    }
    g_byte_array_append(smbios_config.files, p, len);
    smbios_config.n_files++;
    smbios_config.max_file_bytes = MAX(smbios_config.max_file_bytes, len);
    return true;
}

/* --- all of it ----------------------------------------------------------------------- */

/* What a type has: fields of the configuration, code, or both. */
static const struct {
    unsigned type;
    const Field *fields;
    bool (*add)(Opt *dict, GError **err);
    bool (*check)(GError **err);
} types[] = {
    { 0, bios_fields, NULL, parse_release },
    { 1, system_fields, NULL, parse_uuid },
    { 2, board_fields, NULL, NULL },
    { 3, chassis_fields, NULL, NULL },
    { 4, processor_fields, NULL, NULL },
    { 8, NULL, add_port, NULL },
    { 9, NULL, add_slot, NULL },
    { 11, NULL, add_oem_strings, NULL },
    { 17, memory_fields, NULL, NULL },
    { 41, NULL, add_onboard, NULL },
};

static bool add_type(unsigned type, Opt *dict, GError **err)
{
    g_autofree char *what = g_strdup_printf("-smbios type=%u", type);
    unsigned i = 0;

    while (i < G_N_ELEMENTS(types) && types[i].type != type) {
        i++;
    }
    if (i == G_N_ELEMENTS(types)) {
        return opt_fail(err,
                        "parameter 'type' cannot be %u; accepted: 0, 1, 2, "
                        "3, 4, 8, 9, 11, 17, 41 (others by file=)", type);
    }
    if (test(smbios_config.loaded, type)) {
        return opt_fail(err, "type %u has come from a file already", type);
    }
    mark(smbios_config.given, type);
    return (!types[i].fields
            || take_fields(dict, types[i].fields, &smbios_config, err))
           && (!types[i].add || types[i].add(dict, err))
           && (!types[i].check || types[i].check(err))
           && opt_all_read(dict, what, NULL, err);
}

bool smbios_add_option(Opt *dict, GError **err)
{
    const char *file = NULL;
    uint64_t type = 0;

    if (!opt_get_string(dict, "file", &file, err)
        || !opt_get_uint(dict, "type", &type, UINT8_MAX, err)) {
        return false;
    }
    if (!file == !opt_has(dict, "type")) {
        return opt_fail(err, "-smbios needs either type= and fields, or file=");
    }
    return file ? opt_all_read(dict, "-smbios file=", NULL, err)
                  && add_file(file, err)
           : add_type(type, dict, err);
}

bool smbios_is_given(unsigned type)
{
    return test(smbios_config.given, type);
}

static void free_texts(const Field *f, void *from)
{
    for (; f->key; f++) {
        if (!f->max && !f->names && !f->is_bool) {
            g_free(*(char **)((char *)from + f->offset));
        }
    }
}

static void free_list(GArray *list, const Field *fields)
{
    for (unsigned i = 0; list && i < list->len; i++) {
        free_texts(fields, list->data + i * g_array_get_element_size(list));
    }
    if (list) {
        g_array_unref(list);
    }
}

void smbios_config_reset(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i].fields) {
            free_texts(types[i].fields, &smbios_config);
        }
    }
    free_list(smbios_config.ports, port_fields);
    free_list(smbios_config.slots, slot_fields);
    free_list(smbios_config.onboard, onboard_fields);
    g_clear_pointer(&smbios_config.oem_strings, g_ptr_array_unref);
    g_clear_pointer(&smbios_config.files, g_byte_array_unref);
    smbios_config = (SmbiosConfig) {
        .processor = { .max_mhz = 2000, .now_mhz = 2000, .family = 1 },
    };
}
