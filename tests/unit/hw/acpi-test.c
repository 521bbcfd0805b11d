/*
 * ACPI: the AML encoder, the loader script, and the tables as iasl sees them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "hw/acpi/acpi.h"
#include "hw/acpi/smbios.h"
#include "hw/acpi/user-tables.h"
#include "pctest.h"

static PcTest *t;

/* --- AML ------------------------------------------------------------------------------ */

static void check_bytes(Aml *a, const char *hex)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GString) got = g_string_new(NULL);

    aml_emit(a, out);
    for (unsigned i = 0; i < out->len; i++) {
        g_string_append_printf(got, "%02x", out->data[i]);
    }
    g_assert_cmpstr(got->str, ==, hex);
}

static void test_aml_data(void)
{
    check_bytes(aml_int(0), "00");
    check_bytes(aml_int(1), "01");
    check_bytes(aml_int(255), "0aff");
    check_bytes(aml_int(256), "0b0001");
    check_bytes(aml_int(0x12345678), "0c78563412");
    check_bytes(aml_int(UINT64_C(1) << 32), "0e0000000001000000");
    check_bytes(aml_int(UINT64_MAX), "ff");
    check_bytes(aml_eisaid("PNP0A03"), "0c41d00a03");
    check_bytes(aml_string("ab"), "0d616200");
    check_bytes(aml_ref("A"), "415f5f5f");
    check_bytes(aml_ref("\\_SB.PCI0"), "5c2e5f53425f50434930");
    check_bytes(aml_ref("^^A.B.C"), "5e5e2f03415f5f5f425f5f5f435f5f5f");
    check_bytes(aml_ref("\\"), "5c00");
    check_bytes(aml_buffer("xy", 2), "11050a02" "7879");
}

static void test_aml_lengths(void)
{
    /* PkgLength counts itself: 1 byte up to 63, 2 up to 4095, 3 above. */
    static const struct { unsigned body; const char *head; } rows[] = {
        { 58, "103f" }, { 59, "104104" }, { 4089, "104fff" },
        { 4090, "10810001" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Aml *a = aml_scope("X");
        g_autoptr(GByteArray) out = g_byte_array_new();
        char head[16] = "";

        for (unsigned n = 0; n < rows[i].body; n++) {
            aml_add(a, aml_int(0));
        }
        aml_emit(a, out);
        for (unsigned n = 0; n < strlen(rows[i].head) / 2; n++) {
            g_snprintf(head + 2 * n, 3, "%02x", out->data[n]);
        }
        g_assert_cmpstr(head, ==, rows[i].head);
        g_assert_cmpuint(out->len, ==, rows[i].body + 4
                         + strlen(rows[i].head) / 2);
    }
}

static void test_aml_resources(void)
{
    static const uint32_t gsi[] = { 5, 10 };

    check_bytes(aml_add(aml_resources(), aml_io(0x70, 0x70, 1, 8)),
                "110d0a0a" "4701700070000108" "7900");
    check_bytes(aml_irq(8), "220001");
    check_bytes(aml_interrupts(gsi, 2), "890a000902050000000a000000");
    check_bytes(aml_memory32(0xfed00000, 0x400, false),
                "86090000" "0000d0fe" "00040000");
    check_bytes(aml_io_range(0xd00, 0xffff),
                "880d00010c03" "0000" "000d" "ffff" "0000" "00f3");
}

/* --- loader script ------------------------------------------------------------------------ */

static uint64_t next_gpa;

static uint64_t place(void *opaque, const char *name, uint64_t bytes,
                      uint32_t align, BiosZone zone)
{
    uint64_t gpa = ALIGN_UP(next_gpa, align);

    next_gpa = gpa + bytes;
    return gpa;
}

static void test_loader(void)
{
    g_autoptr(BiosLoader) l = bios_loader_new();
    GByteArray *a = g_byte_array_new(), *b = g_byte_array_new();
    GError *err = NULL;
    uint8_t sum = 0;

    g_byte_array_set_size(a, 10);
    memset(a->data, 1, 10);
    a->data[9] = 0;
    g_byte_array_set_size(b, 12);
    memset(b->data, 0, 12);
    b->data[4] = 7;
    bios_loader_allocate(l, "a", a, 16, BIOS_ZONE_HIGH);
    bios_loader_allocate(l, "b", b, 1, BIOS_ZONE_FSEG);
    bios_loader_pointer(l, "b", 4, 4, "a");
    bios_loader_checksum(l, "a", 9, 0, 10);
    g_assert_cmpuint(l->script->len, ==, 4 * 128);
    next_gpa = 0xe0001;
    bios_loader_run(l, l->script->data, l->script->len, place, NULL, &err);
    g_assert_no_error(err);
    g_assert_cmphex(load_le32(b->data + 4), ==, 0xe0017);
    for (unsigned i = 0; i < 10; i++) {
        sum += a->data[i];
    }
    g_assert_cmpuint(sum, ==, 0);
}

static void test_loader_hostile(void)
{
    g_autoptr(BiosLoader) l = bios_loader_new();
    uint8_t cmd[128] = { 0 };

    bios_loader_allocate(l, "a", g_byte_array_append(g_byte_array_new(),
                         cmd, 16), 16, BIOS_ZONE_HIGH);
    next_gpa = 0x1000;
    g_assert_true(bios_loader_run(l, l->script->data, 128, place, NULL, NULL));
    g_assert_false(bios_loader_run(l, l->script->data, 127, place, NULL,
                                   NULL));
    /* A pointer and checksums that end outside; an unknown command. */
    cmd[0] = 2;
    cmd[4] = cmd[60] = 'a';
    cmd[120] = 4;
    store_le32(cmd + 116, 13);
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    store_le32(cmd + 116, UINT32_MAX);
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    store_le32(cmd + 116, 12);
    g_assert_true(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    cmd[120] = 3;
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    memset(cmd, 0, sizeof(cmd));
    cmd[0] = 3;
    cmd[4] = 'a';
    store_le32(cmd + 64, 8);
    store_le32(cmd + 68, UINT32_MAX);
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    store_le32(cmd + 60, 16);
    store_le32(cmd + 68, 1);
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    cmd[0] = 9;
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
    memset(cmd + 4, 'a', 56);           /* a name without an end */
    cmd[0] = 1;
    g_assert_false(bios_loader_run(l, cmd, 128, place, NULL, NULL));
}

/* --- the tables ------------------------------------------------------------------------------- */

static uint8_t sum_of(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--) {
        sum += *p++;
    }
    return sum;
}

static BiosLoader *build(void)
{
    BiosLoader *l = acpi_build(t->m);
    GError *err = NULL;

    g_assert_nonnull(l);
    next_gpa = 0xe0000;
    bios_loader_run(l, l->script->data, l->script->len, place, NULL, &err);
    g_assert_no_error(err);
    return l;
}

/* Table `signature` through RSDP and XSDT. */
static const uint8_t *table(BiosLoader *l, const char *signature)
{
    BiosFile *rsdp = bios_loader_file(l, ACPI_RSDP_FILE);
    BiosFile *f = bios_loader_file(l, ACPI_TABLES_FILE);
    const uint8_t *xsdt = f->data->data
                          + (load_le64(rsdp->data->data + 24) - f->gpa);

    for (unsigned i = 36; i < load_le32(xsdt + 4); i += 8) {
        const uint8_t *p = f->data->data + (load_le64(xsdt + i) - f->gpa);

        if (!memcmp(p, signature, 4)) {
            return p;
        }
    }
    return NULL;
}

static const uint8_t *dsdt_of(BiosLoader *l)
{
    BiosFile *f = bios_loader_file(l, ACPI_TABLES_FILE);

    return f->data->data + (load_le32(table(l, "FACP") + 40) - f->gpa);
}

static void test_tables(void)
{
    g_autoptr(BiosLoader) l = build();
    BiosFile *rsdp = bios_loader_file(l, ACPI_RSDP_FILE);
    BiosFile *f = bios_loader_file(l, ACPI_TABLES_FILE);
    static const char *const names[] = { "FACP", "APIC", "WAET" };
    const uint8_t *fadt, *madt, *facs;
    unsigned n_cpus = 0;

    g_assert_cmpuint(sum_of(rsdp->data->data, 20), ==, 0);
    g_assert_cmpuint(sum_of(rsdp->data->data, 36), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        const uint8_t *p = table(l, names[i]);

        g_assert_nonnull(p);
        g_assert_cmpuint(sum_of(p, load_le32(p + 4)), ==, 0);
    }
    fadt = table(l, "FACP");
    g_assert_cmpuint(load_le32(fadt + 4), ==, 244);
    g_assert_cmphex(load_le32(fadt + 40), ==, load_le64(fadt + 140));
    g_assert_cmphex(load_le32(fadt + 76), ==, 0x608);
    g_assert_cmphex(fadt[128], ==, 0x0f);
    facs = f->data->data + (load_le32(fadt + 36) - f->gpa);
    g_assert_cmphex(load_le32(fadt + 36) % 64, ==, 0);
    g_assert_cmpmem(facs, 4, "FACS", 4);

    madt = table(l, "APIC");
    for (unsigned at = 44; at < load_le32(madt + 4); at += madt[at + 1]) {
        g_assert_cmpuint(madt[at + 1], >, 0);
        if (madt[at] == 0) {
            g_assert_cmpuint(load_le32(madt + at + 4), ==, n_cpus < 2);
            n_cpus++;
        }
    }
    g_assert_cmpuint(n_cpus, ==, 4);
    g_assert_cmpmem(dsdt_of(l), 4, "DSDT", 4);
}

static bool add_user_table(const char *fmt, const char *path, GError **err)
{
    g_autofree char *text = g_strdup_printf(fmt, path);
    g_autoptr(Opt) dict = opt_parse_keyval(text, NULL, NULL, NULL);

    return acpi_user_table_add(dict, err);
}

/* -acpitable: bytes below a header of ours, and a whole table. */
static void test_user(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(),
                                             "acpi-test-XXXXXX", NULL);
    uint8_t whole[40] = "SLIC";
    g_autoptr(GError) err = NULL;
    const uint8_t *p;

    close(g_mkstemp(path));
    g_assert_true(g_file_set_contents(path, "salad", 5, NULL));
    g_assert_true(add_user_table("sig=TEST,rev=7,oem_id=RH,oem_rev=0x1234,"
                                 "data=%1$s:%1$s", path, NULL));
    g_assert_false(add_user_table("data=%s", path, &err));
    g_assert_nonnull(strstr(err->message, "'sig' is missing"));
    g_clear_error(&err);
    g_assert_false(add_user_table("file=%s", path, &err));
    g_assert_nonnull(strstr(err->message, "has 5 bytes, and a table's header "
                                          "36"));
    g_clear_error(&err);
    g_assert_false(add_user_table("sig=LONGER,data=%s", path, &err));
    g_assert_nonnull(strstr(err->message, "'sig' expects 4 letters"));
    g_clear_error(&err);
    g_assert_false(add_user_table("sig=TEST,data=%s,file=x", path, &err));
    memcpy(whole + 10, "OEMIDSTABLEID!", 14);
    whole[9] = 0x5a;                    /* not its checksum */
    g_assert_true(g_file_set_contents(path, (char *)whole, sizeof(whole),
                                      NULL));
    g_assert_true(add_user_table("file=%s", path, NULL));
    g_unlink(path);

    g_autoptr(BiosLoader) l = build();

    p = table(l, "TEST");
    g_assert_nonnull(p);
    g_assert_cmpuint(load_le32(p + 4), ==, 46);
    g_assert_cmpuint(p[8], ==, 7);
    g_assert_cmpmem(p + 10, 14, "RH    BXPC    ", 14);
    g_assert_cmphex(load_le32(p + 24), ==, 0x1234);
    g_assert_cmpmem(p + 36, 10, "saladsalad", 10);
    g_assert_cmpuint(sum_of(p, 46), ==, 0);
    p = table(l, "SLIC");
    g_assert_cmpuint(load_le32(p + 4), ==, 40);
    g_assert_cmpuint(sum_of(p, 40), ==, 0);
    g_assert_cmpmem(table(l, "FACP") + 10, 14, "OEMIDSTABLEID!", 14);
    g_assert_cmpmem(table(l, "APIC") + 10, 6, "BOCHS ", 6);
}

static void test_off(void)
{
    t->m->acpi = false;
    g_assert_null(acpi_build(t->m));
    t->m->acpi = true;
}

/* What iasl says about `file` in `dir`. */
static char *iasl(const char *dir, const char *option, const char *file)
{
    const char *argv[] = { "iasl", option, file, NULL };
    g_autofree char *out = NULL, *errors = NULL;

    g_assert_true(g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH,
                               NULL, NULL, &out, &errors, NULL, NULL));
    return g_strconcat(out, errors, NULL);
}

static void iasl_roundtrip(const char *dir, const char *name,
                           const uint8_t *table_bytes)
{
    g_autofree char *dat = g_strconcat(name, ".dat", NULL);
    g_autofree char *dsl = g_strconcat(name, ".dsl", NULL);
    g_autofree char *path = g_build_filename(dir, dat, NULL);
    g_autofree char *dsl_path = g_build_filename(dir, dsl, NULL);
    g_autofree char *first = NULL, *second = NULL;

    g_assert_true(g_file_set_contents(path, (const char *)table_bytes,
                                      load_le32(table_bytes + 4), NULL));
    first = iasl(dir, "-d", dat);
    if (strstr(first, "rror") || strstr(first, "arning")
        || !g_file_test(dsl_path, G_FILE_TEST_EXISTS)) {
        g_error("iasl -d %s:\n%s", name, first);
    }
    second = iasl(dir, "-vs", dsl);
    if (!strstr(second, " 0 Errors, 0 Warnings, 0 Remarks")) {
        g_error("iasl %s:\n%s", name, second);
    }
}

static void test_iasl(void)
{
    g_autoptr(BiosLoader) l = build();
    static const char *const names[] = { "FACP", "APIC", "WAET" };
    g_autofree char *dir = NULL, *cmd = NULL;
    g_autofree char *found = g_find_program_in_path("iasl");

    if (!found) {
        g_test_skip("iasl is not installed");
        return;
    }
    dir = g_dir_make_tmp("acpi-test-XXXXXX", NULL);
    g_assert_nonnull(dir);
    iasl_roundtrip(dir, "DSDT", dsdt_of(l));
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        iasl_roundtrip(dir, names[i], table(l, names[i]));
    }
    if (g_getenv("ACPI_TEST_KEEP")) {
        g_test_message("tables are in %s", dir);
        return;
    }
    cmd = g_strdup_printf("rm -r '%s'", dir);
    g_assert_true(g_spawn_command_line_sync(cmd, NULL, NULL, NULL, NULL));
}

/* --- SMBIOS ------------------------------------------------------------------------------------- */

/* The structure behind `p`: over the strings and their double zero. */
static const uint8_t *next_structure(const uint8_t *p, const uint8_t *end)
{
    p += p[1];
    while (p + 2 <= end && (p[0] || p[1])) {
        p++;
    }
    return p + 2;
}

static void test_smbios(void)
{
    static const uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
                                      0x66, 0x77, 8, 9, 10, 11, 12, 13, 14,
                                      15 };
    static const uint8_t stored[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44,
                                        0x77, 0x66, 8, 9, 10, 11, 12, 13, 14,
                                        15 };
    static const uint8_t order[] = { 0, 1, 3, 4, 4, 4, 4, 16, 17, 19, 32,
                                     127 };
    g_autoptr(Smbios) s = NULL;
    const uint8_t *p, *end;

    memcpy(t->m->uuid, uuid, 16);
    s = smbios_build(t->m, false, NULL);
    smbios_locate(s, 0xe1000);
    g_assert_cmpuint(s->anchor->len, ==, 0x1f);
    g_assert_cmpuint(sum_of(s->anchor->data, 0x1f), ==, 0);
    g_assert_cmpuint(sum_of(s->anchor->data + 0x10, 0x0f), ==, 0);
    g_assert_cmphex(load_le32(s->anchor->data + 0x18), ==, 0xe1000);
    g_assert_cmpuint(load_le16(s->anchor->data + 0x16), ==, s->tables->len);
    g_assert_cmpuint(load_le16(s->anchor->data + 0x1c), ==,
                     G_N_ELEMENTS(order));
    p = s->tables->data;
    end = p + s->tables->len;
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        g_assert_true(p < end);
        g_assert_cmpuint(p[0], ==, order[i]);
        if (p[0] == 1) {
            g_assert_cmpuint(p[1], ==, 0x1b);
            g_assert_cmpmem(p + 8, 16, stored, 16);
            g_assert_cmpstr((char *)p + p[1], ==, "QEMU");
        }
        if (p[0] == 17) {
            g_assert_cmpuint(p[1], ==, 0x28);
            g_assert_cmpuint(load_le16(p + 0x0c), ==, 64);
        }
        p = next_structure(p, end);
    }
    g_assert_true(p == end);
}

int main(int argc, char **argv)
{
    static const char *const isa[] = { "mc146818rtc", "i8042", "isa-serial",
                                       "isa-serial", "pvpanic", "hpet",
                                       "ioapic", "fw_cfg_io" };

    t = pc_test_init(&argc, &argv, 64 * MiB);
    pc_add_pci(t, "PIIX4_PM", "01.3", "disable_s3=0");
    t->m->topo = (CpuTopology) { 2, 4, 4, 1, 1, 1 };
    for (unsigned i = 0; i < G_N_ELEMENTS(isa); i++) {
        const Type *type = type_find(isa[i]);
        Device *dev = type ? device_new(type) : NULL;

        if (dev) {
            device_realize(dev, type_is(type, &isa_device_type)
                                ? &t->isa->bus : NULL, NULL);
        }
    }

    g_test_add_func("/aml/data", test_aml_data);
    g_test_add_func("/aml/lengths", test_aml_lengths);
    g_test_add_func("/aml/resources", test_aml_resources);
    g_test_add_func("/acpi/loader", test_loader);
    g_test_add_func("/acpi/loader-hostile", test_loader_hostile);
    g_test_add_func("/acpi/tables", test_tables);
    g_test_add_func("/acpi/off", test_off);
    g_test_add_func("/acpi/iasl", test_iasl);
    g_test_add_func("/acpi/user", test_user);   /* stays: after the others */
    g_test_add_func("/smbios", test_smbios);
    return g_test_run();
}
