/*
 * SMBIOS: what -smbios says arrives where the standard puts it; what it says
 * wrongly is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "hw/acpi/smbios.h"
#include "pctest.h"

static PcTest *t;

/* --- reading tables --------------------------------------------------------------------- */

/* The n-th structure of a type, walked to as an OS does; NULL: none. */
static const uint8_t *find(const Smbios *s, unsigned type, unsigned n)
{
    const uint8_t *p = s->tables->data, *end = p + s->tables->len;

    while (p < end) {
        const uint8_t *here = p;

        g_assert_cmpuint(end - p, >=, 6);
        g_assert_cmpuint(p[1], >=, 4);
        if (p[0] == type && n-- == 0) {
            return p;
        }
        p += p[1];
        while (p[0] || p[1]) {
            p++;
            g_assert_true(p + 1 < end);
        }
        p += 2;
        if (here[0] == 127) {
            g_assert_true(p == end);
        }
    }
    return NULL;
}

static const char *text(const uint8_t *p, unsigned at)
{
    const char *s = (const char *)p + p[1];

    g_assert_cmpuint(at, <, p[1]);
    if (!p[at]) {
        return NULL;
    }
    for (unsigned i = 1; i < p[at]; i++) {
        s += strlen(s) + 1;
        g_assert_cmpint(*s, !=, 0);
    }
    return s;
}

static void option(const char *line)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, &err);

    g_assert_no_error(err);
    smbios_add_option(dict, &err);
    g_assert_no_error(err);
}

static void refused(const char *line, const char *why)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(line, NULL, NULL, NULL);

    g_assert_false(smbios_add_option(dict, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, why)) {
        g_error("'%s' said: %s", line, err->message);
    }
}

static Smbios *build(bool firmware)
{
    g_autoptr(GError) err = NULL;
    Smbios *s = smbios_build(t->m, firmware, &err);

    g_assert_no_error(err);
    return s;
}

/* --- tests ------------------------------------------------------------------------------- */

static void test_defaults(void)
{
    g_autoptr(Smbios) direct = NULL, firmware = NULL;

    smbios_config_reset();
    direct = build(false);
    firmware = build(true);
    g_assert_cmpstr(text(find(direct, 0, 0), 4), ==, "Rhea");
    g_assert_null(find(firmware, 0, 0));    /* SeaBIOS describes itself */
    g_assert_cmpstr(text(find(firmware, 1, 0), 4), ==, "QEMU");
    for (unsigned type = 2; type < 127; type++) {
        bool ours = type == 3 || type == 4 || type == 16 || type == 17
                    || type == 19 || type == 32;

        g_assert_cmpint(!!find(direct, type, 0), ==, ours);
    }
}

static void test_fields(void)
{
    g_autoptr(Smbios) s = NULL;
    const uint8_t *p;

    smbios_config_reset();
    option("type=0,vendor=V,version=1.x,date=01/02/2003,release=4.5,uefi=on");
    option("type=1,manufacturer=M,product=P,version=v,serial=S,sku=K,"
           "family=F,uuid=00112233-4455-6677-8899-aabbccddeeff");
    option("type=2,manufacturer=B,product=BP,version=bv,serial=bs,asset=ba,"
           "location=slot");
    option("type=3,manufacturer=C,version=cv,serial=cs,asset=ca,sku=ck");
    option("type=4,sock_pfx=LGA,manufacturer=I,version=iv,serial=is,asset=ia,"
           "part=ip,max-speed=5000,current-speed=4000,processor-family=0x105,"
           "processor-id=0x1122334455667788");
    option("type=17,loc_pfx=D,bank=b0,manufacturer=S,serial=1,asset=2,part=3,"
           "speed=3200");
    s = build(true);

    p = find(s, 0, 0);
    g_assert_cmpstr(text(p, 4), ==, "V");
    g_assert_cmpstr(text(p, 5), ==, "1.x");
    g_assert_cmpstr(text(p, 8), ==, "01/02/2003");
    g_assert_cmphex(p[0x13], ==, 1 << 2 | 1 << 3 | 1 << 4);
    g_assert_cmpuint(p[0x14], ==, 4);
    g_assert_cmpuint(p[0x15], ==, 5);

    p = find(s, 1, 0);
    g_assert_cmpstr(text(p, 4), ==, "M");
    g_assert_cmpstr(text(p, 5), ==, "P");
    g_assert_cmpstr(text(p, 6), ==, "v");
    g_assert_cmpstr(text(p, 7), ==, "S");
    g_assert_cmpmem(p + 8, 16, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa"
                    "\xbb\xcc\xdd\xee\xff", 16);
    g_assert_cmpstr(text(p, 0x19), ==, "K");
    g_assert_cmpstr(text(p, 0x1a), ==, "F");

    p = find(s, 2, 0);
    g_assert_cmpuint(p[1], ==, 15);
    g_assert_cmpstr(text(p, 4), ==, "B");
    g_assert_cmpstr(text(p, 5), ==, "BP");
    g_assert_cmpstr(text(p, 6), ==, "bv");
    g_assert_cmpstr(text(p, 7), ==, "bs");
    g_assert_cmpstr(text(p, 8), ==, "ba");
    g_assert_cmpstr(text(p, 0x0a), ==, "slot");
    g_assert_cmpmem(p + 0x0b, 2, find(s, 3, 0) + 2, 2); /* in that chassis */

    p = find(s, 3, 0);
    g_assert_cmpstr(text(p, 4), ==, "C");
    g_assert_cmpstr(text(p, 6), ==, "cv");
    g_assert_cmpstr(text(p, 7), ==, "cs");
    g_assert_cmpstr(text(p, 8), ==, "ca");
    g_assert_cmpstr(text(p, 0x15), ==, "ck");

    p = find(s, 4, 0);
    g_assert_cmpuint(p[1], ==, 0x30);
    g_assert_cmpstr(text(p, 4), ==, "LGA 0");
    g_assert_cmphex(p[6], ==, 0xfe);
    g_assert_cmphex(load_le16(p + 0x28), ==, 0x105);
    g_assert_cmphex(load_le64(p + 8), ==, 0x1122334455667788);
    g_assert_cmpuint(load_le16(p + 0x14), ==, 5000);
    g_assert_cmpuint(load_le16(p + 0x16), ==, 4000);
    g_assert_cmpstr(text(p, 0x20), ==, "is");
    g_assert_cmpstr(text(p, 0x21), ==, "ia");
    g_assert_cmpstr(text(p, 0x22), ==, "ip");

    p = find(s, 17, 0);
    g_assert_cmpuint(p[1], ==, 0x28);
    g_assert_cmpstr(text(p, 0x10), ==, "D 0");
    g_assert_cmpstr(text(p, 0x11), ==, "b0");
    g_assert_cmpuint(load_le16(p + 0x15), ==, 3200);
    g_assert_cmpstr(text(p, 0x17), ==, "S");
    g_assert_cmpstr(text(p, 0x18), ==, "1");
    g_assert_cmpstr(text(p, 0x19), ==, "2");
    g_assert_cmpstr(text(p, 0x1a), ==, "3");
    g_assert_cmpuint(load_le16(p + 0x20), ==, 3200);
}

static void test_lists(void)
{
    g_autoptr(Smbios) s = NULL;
    const uint8_t *p;

    smbios_config_reset();
    option("type=8,internal_reference=J1,external_reference=COM,"
           "connector_type=8,port_type=9");
    option("type=8,external_reference=USB");
    option("type=9,slot_designation=Slot1,slot_type=6,slot_data_bus_width=5,"
           "current_usage=4,slot_length=3,slot_id=0x102,"
           "slot_characteristics1=4,slot_characteristics2=1,pcidev=pm");
    option("type=9,slot_designation=Slot2");
    option("type=11,value.0=first,value.1=second");
    option("type=11,value=third");
    option("type=41,designation=Onboard LAN,kind=ethernet,instance=7,"
           "pcidev=pm");
    s = build(true);

    p = find(s, 8, 0);
    g_assert_cmpuint(p[1], ==, 9);
    g_assert_cmpstr(text(p, 4), ==, "J1");
    g_assert_cmpstr(text(p, 6), ==, "COM");
    g_assert_cmpuint(p[7], ==, 8);
    g_assert_cmpuint(p[8], ==, 9);
    g_assert_null(text(find(s, 8, 1), 4));

    p = find(s, 9, 0);
    g_assert_cmpstr(text(p, 4), ==, "Slot1");
    g_assert_cmpmem(p + 5, 4, "\6\5\4\3", 4);
    g_assert_cmphex(load_le16(p + 9), ==, 0x102);
    g_assert_cmpmem(p + 0x0b, 2, "\4\1", 2);
    g_assert_cmphex(load_le32(p + 0x0d), ==, 0x0b000000);   /* 01.3 */
    g_assert_cmphex(load_le32(find(s, 9, 1) + 0x0d), ==, 0xffffffff);

    p = find(s, 11, 0);
    g_assert_cmpuint(p[1], ==, 5);
    g_assert_cmpuint(p[4], ==, 3);
    g_assert_cmpmem(p + 5, 20, "first\0second\0third\0", 20);

    p = find(s, 41, 0);
    g_assert_cmpuint(p[1], ==, 11);
    g_assert_cmpstr(text(p, 4), ==, "Onboard LAN");
    g_assert_cmphex(p[5], ==, 0x85);
    g_assert_cmpuint(p[6], ==, 7);
    g_assert_cmphex(load_le32(p + 7), ==, 0x0b000000);
}

static char *write_file(const void *data, size_t len)
{
    char *path = NULL;
    int fd = g_file_open_tmp("smbios-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, data, len, NULL));
    return path;
}

static void refused_file(const void *data, size_t len, const char *why)
{
    g_autofree char *path = write_file(data, len);
    g_autofree char *line = g_strdup_printf("file=%s", path);

    refused(line, why);
    g_unlink(path);
}

static void test_files(void)
{
    static const char system[] = "\1\7\x34\x12\1\0\0" "Loaded\0";
    static const char vendor[] = "\x7e\4\0\x7e\0";
    g_autofree char *path = write_file(system, sizeof(system));
    g_autofree char *line = g_strdup_printf("file=%s", path);
    g_autofree char *other = write_file(vendor, sizeof(vendor));
    g_autofree char *other_line = g_strdup_printf("file=%s", other);
    g_autofree char *oem_line = g_strdup_printf("type=11,path=%s", path);
    g_autoptr(Smbios) s = NULL;

    smbios_config_reset();
    option(line);
    option(other_line);
    s = build(false);
    g_assert_cmpstr(text(find(s, 1, 0), 4), ==, "Loaded");
    g_assert_null(find(s, 1, 1));           /* in place of ours */
    g_assert_nonnull(find(s, 126, 0));
    g_assert_nonnull(find(s, 127, 0));

    refused("type=1,serial=x", "type 1 has come from a file already");
    refused(oem_line, "without zeros");
    refused_file("", 0, "no SMBIOS structure");
    refused_file("\2\xff\0\0\0\0", 6, "no SMBIOS structure: 6 bytes");
    refused_file("\2\3\0\0\0\0", 6, "no SMBIOS structure");
    refused_file("\x7f\4\0\0\0\0", 6, "type 127 cannot be given by a file");
    refused_file("\2\4\0\0\0\0\0", 7, "do not end");
    refused_file("\2\4\0\0ab\0", 7, "do not end");
    refused_file("\2\4\0\0ab", 6, "do not end");
    refused_file("\2\4\0\0ab\0\0x", 9, "do not end");
    option("type=3,serial=x");
    refused_file("\3\4\0\0\0\0", 6, "type 3 is described by fields");
    g_unlink(path);
    g_unlink(other);
}

static void test_mistakes(void)
{
    g_autoptr(GError) err = NULL;
    Smbios *s;

    smbios_config_reset();
    refused("vendor=x", "either type= and fields, or file=");
    refused("type=1,file=x", "either type= and fields, or file=");
    refused("type=5", "accepted: 0, 1, 2");
    refused("type=300", "'type'");
    refused("type=1,sreial=x", "did you mean 'serial'");
    refused("type=1,uuid=12", "'uuid'");
    refused("type=0,release=1", "'release'");
    refused("type=0,release=1.300", "'release'");
    refused("type=0,uefi=maybe", "'uefi'");
    refused("type=4,max-speed=70000", "'max-speed'");
    refused("type=41,kind=toaster", "'kind'");
    refused("type=11,value=", "expects a text");
    refused("type=11,path=/nowhere/x", "/nowhere/x");
    refused("file=/nowhere/x", "/nowhere/x");

    option("type=41,pcidev=nobody");
    s = smbios_build(t->m, false, &err);
    g_assert_null(s);
    g_assert_nonnull(strstr(err->message, "no PCI device 'nobody'"));
}

static void test_entry_points(void)
{
    g_autofree char *big = g_strnfill(30000, 'x');
    g_autofree char *line = g_strdup_printf("type=11,value.0=%s,value.1=%s,"
                                            "value.2=%s", big, big, big);
    g_autoptr(GError) err = NULL;
    g_autoptr(Smbios) auto2 = NULL, s64 = NULL, s32 = NULL, auto3 = NULL;

    smbios_config_reset();
    auto2 = build(false);
    g_assert_cmpmem(auto2->anchor->data, 4, "_SM_", 4);
    smbios_config.entry = SMBIOS_ENTRY_64;
    s64 = build(false);
    g_assert_cmpmem(s64->anchor->data, 5, "_SM3_", 5);
    smbios_locate(s64, 0x123456789a);
    g_assert_cmphex(load_le64(s64->anchor->data + 0x10), ==, 0x123456789a);
    smbios_config.entry = SMBIOS_ENTRY_32;
    s32 = build(false);
    g_assert_cmpmem(s32->anchor->data, 4, "_SM_", 4);

    option(line);
    g_assert_null(smbios_build(t->m, false, &err));
    g_assert_nonnull(strstr(err->message, "smbios-entry-point-type=32"));
    smbios_config.entry = SMBIOS_ENTRY_AUTO;
    auto3 = build(false);
    g_assert_cmpmem(auto3->anchor->data, 5, "_SM3_", 5);
    g_assert_cmpuint(load_le32(auto3->anchor->data + 0x0c), ==,
                     auto3->tables->len);
    g_assert_cmpuint(find(auto3, 11, 0)[4], ==, 3);
}

int main(int argc, char **argv)
{
    Device *pm;

    t = pc_test_init(&argc, &argv, 64 * MiB);
    pm = pc_add_pci(t, "PIIX4_PM", "01.3", NULL);
    g_free(pm->obj.id);
    pm->obj.id = g_strdup("pm");

    g_test_add_func("/smbios/defaults", test_defaults);
    g_test_add_func("/smbios/fields", test_fields);
    g_test_add_func("/smbios/lists", test_lists);
    g_test_add_func("/smbios/files", test_files);
    g_test_add_func("/smbios/mistakes", test_mistakes);
    g_test_add_func("/smbios/entry-points", test_entry_points);
    return g_test_run();
}
