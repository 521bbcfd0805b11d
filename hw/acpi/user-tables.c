/*
 * -acpitable: tables that come as files, with their header or without.
 *
 * Spec:   ACPI 6.4, 5.2.6 (header); Microsoft, OEM Activation: a SLIC's ids
 *         are those of RSDT, XSDT and FADT.
 * Locks:  machine lock.
 *
 *     -acpitable sig=TEST,rev=1,data=a.bin:b.bin -acpitable file=slic.aml
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/user-tables.h"

#include <string.h>

#include "base/bits.h"

enum { HEADER_BYTES = 36, AT_SIGNATURE = 0, AT_REVISION = 8, AT_OEM_ID = 10,
       AT_OEM_TABLE_ID = 16, AT_OEM_REVISION = 24, AT_COMPILER_ID = 28,
       AT_COMPILER_REVISION = 32 };
enum { MAX_BYTES = 1 << 20 };

static GPtrArray *tables;       /* of GByteArray */

static bool append_files(GByteArray *to, const char *names, GError **err)
{
    g_auto(GStrv) each = g_strsplit(names, ":", -1);

    for (unsigned i = 0; each[i]; i++) {
        g_autofree char *data = NULL;
        size_t len;

        if (!g_file_get_contents(each[i], &data, &len, err)) {
            return false;
        }
        if (len > MAX_BYTES - to->len) {
            return opt_fail(err, "'%s': a table has at most %d bytes", each[i],
                            MAX_BYTES);
        }
        g_byte_array_append(to, (const uint8_t *)data, len);
    }
    return true;
}

/* Letters of the header, padded with spaces; 4 of a signature must be there. */
static bool set_text(GByteArray *t, Opt *dict, const char *key, unsigned at,
                     unsigned room, GError **err)
{
    const char *text = NULL;

    if (!opt_get_string(dict, key, &text, err)) {
        return false;
    }
    if (!text) {
        return true;
    }
    if (strlen(text) > room || (at == AT_SIGNATURE && strlen(text) != room)) {
        return opt_fail(err,
                        "parameter '%s' expects %s%u letters, not '%s'", key,
                        at == AT_SIGNATURE ? "" : "up to ", room, text);
    }
    memset(t->data + at, ' ', room);
    memcpy(t->data + at, text, strlen(text));
    return true;
}

static bool set_number(GByteArray *t, Opt *dict, const char *key, unsigned at,
                       uint64_t max, GError **err)
{
    uint64_t val;

    if (!opt_has(dict, key)) {
        return true;
    }
    if (!opt_get_uint(dict, key, &val, max, err)) {
        return false;
    }
    if (max == UINT8_MAX) {
        t->data[at] = val;
    } else {
        store_le32(t->data + at, val);
    }
    return true;
}

/* Before what may be missing: a mistyped name is why. */
static bool names_known(Opt *dict, GError **err)
{
    static const char *const names[] = {
        "file", "data", "sig", "rev", "oem_id", "oem_table_id", "oem_rev",
        "asl_compiler_id", "asl_compiler_rev", NULL
    };

    for (unsigned i = 0; i < opt_len(dict); i++) {
        if (!g_strv_contains(names, opt_key_at(dict, i))) {
            return opt_all_read(dict, "-acpitable", names, err);
        }
    }
    return true;
}

static bool fill(GByteArray *t, Opt *dict, GError **err)
{
    static const uint8_t ids[] = "BOCHS BXPC    \1\0\0\0BXPC\1\0\0\0";
    const char *file = NULL, *data = NULL;

    if (!names_known(dict, err)
        || !opt_get_string(dict, "file", &file, err)
        || !opt_get_string(dict, "data", &data, err)) {
        return false;
    }
    if (!file == !data) {
        return opt_fail(err, "either 'file', with a header, or 'data', without "
                        "one, is wanted");
    }
    if (data) {
        if (!opt_has(dict, "sig")) {
            return opt_fail(err, "parameter 'sig' is missing: 'data' has no "
                            "header that tells it");
        }
        g_byte_array_set_size(t, HEADER_BYTES);
        memset(t->data, 0, HEADER_BYTES);
        memcpy(t->data + AT_OEM_ID, ids, HEADER_BYTES - AT_OEM_ID);
    }
    if (!append_files(t, file ? file : data, err)) {
        return false;
    }
    if (t->len < HEADER_BYTES) {
        return opt_fail(err, "'%s' has %u bytes, and a table's header %d", file,
                        t->len, HEADER_BYTES);
    }
    return set_text(t, dict, "sig", AT_SIGNATURE, 4, err)
           && set_number(t, dict, "rev", AT_REVISION, UINT8_MAX, err)
           && set_text(t, dict, "oem_id", AT_OEM_ID, 6, err)
           && set_text(t, dict, "oem_table_id", AT_OEM_TABLE_ID, 8, err)
           && set_number(t, dict, "oem_rev", AT_OEM_REVISION, UINT32_MAX, err)
           && set_text(t, dict, "asl_compiler_id", AT_COMPILER_ID, 4, err)
           && set_number(t, dict, "asl_compiler_rev", AT_COMPILER_REVISION,
                         UINT32_MAX, err);
}

bool acpi_user_table_add(Opt *dict, GError **err)
{
    GByteArray *t = g_byte_array_new();

    if (!fill(t, dict, err)) {
        g_byte_array_unref(t);
        return false;
    }
    if (!tables) {
        tables = g_ptr_array_new_with_free_func(
            (GDestroyNotify)g_byte_array_unref);
    }
    g_ptr_array_add(tables, t);
    return true;
}

const GPtrArray *acpi_user_tables(void)
{
    return tables;
}

const uint8_t *acpi_user_oem_ids(void)
{
    for (unsigned i = 0; tables && i < tables->len; i++) {
        const GByteArray *t = tables->pdata[i];

        if (!memcmp(t->data, "SLIC", 4)) {
            return t->data + AT_OEM_ID;
        }
    }
    return NULL;
}
