/*
 * The virtio console device with its ports, and the entropy device: what goes
 * over the control queue, bytes both ways, ends that are not there or slow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>
#include <linux/virtio_console.h>

#include "core/user-object.h"
#include "hw/virtio/rng.h"
#include "hw/virtio/virtio-serial.h"
#include "vdriver.h"

enum { RX = VD_DATA, TX = VD_DATA + 0x4000, CONTROL_RX = VD_DATA + 0x8000,
       CONTROL_TX = VD_DATA + 0xc000, MESSAGE_BYTES = 8, SLOT = 256 };

static PcTest *pc;
static VdMode mode;
static VDriver *d;
static Bus *bus;

/* --- the chardev, played by the test ------------------------------------------------ */

static struct {
    CharFrontend *fe;
    GString *out;
    size_t room;                /* bytes it takes */
    bool connected;
    void (*writable)(void *opaque);
    void *opaque;
} chr;

bool __wrap_chr_attach(CharFrontend *fe, Chardev *c, GError **err);
bool __wrap_chr_attach(CharFrontend *fe, Chardev *c, GError **err)
{
    chr.fe = fe;
    return true;
}

void __wrap_chr_detach(CharFrontend *fe);
void __wrap_chr_detach(CharFrontend *fe)
{
    chr.fe = chr.fe == fe ? NULL : chr.fe;
}

size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len);
size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    len = MIN(len, chr.room);
    g_string_append_len(chr.out, (const char *)buf, len);
    chr.room -= len;
    return len;
}

void __wrap_chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len);
void __wrap_chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    g_string_append_len(chr.out, (const char *)buf, len);
}

void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *),
                              void *opaque);
void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *),
                              void *opaque)
{
    chr.writable = fn;
    chr.opaque = opaque;
}

void __wrap_chr_accept_input(CharFrontend *fe);
void __wrap_chr_accept_input(CharFrontend *fe)
{
}

bool __wrap_chr_connected(CharFrontend *fe);
bool __wrap_chr_connected(CharFrontend *fe)
{
    return chr.connected;
}

static void take_more(size_t room)
{
    void (*fn)(void *) = chr.writable;

    chr.room = room;
    chr.writable = NULL;
    g_assert_nonnull(fn);
    fn(chr.opaque);
}

/* --- helpers ----------------------------------------------------------------------------- */

static VserPort *add_port(const char *type, const char *name, unsigned nr)
{
    Device *dev = device_new(type_find(type));
    g_autofree char *number = g_strdup_printf("%u", nr);
    g_autoptr(GError) err = NULL;

    if (name) {
        prop_set(&dev->obj, "name", name, &err);
    }
    prop_set(&dev->obj, "nr", number, &err);
    g_assert_no_error(err);
    device_realize(dev, bus, &err);
    g_assert_no_error(err);
    return container_of(dev, VserPort, dev);
}

static void open_device(const char *props)
{
    chr.out = g_string_new(NULL);
    chr.room = SIZE_MAX;
    chr.connected = true;
    chr.writable = NULL;
    d = vd_new(pc, "virtio-serial-pci", props, mode);
    bus = &((VirtioSerial *)container_of(d->dev, VirtioPci, pci.dev)
            ->v.dev)->bus;
}

static void close_device(void)
{
    vd_free(d);
    g_string_free(chr.out, true);
}

static void give_control_buffers(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        VdBuf b = { CONTROL_RX + i * SLOT, SLOT, true };

        vd_add(d, 2, &b, 1, 0);
    }
    vd_kick(d, 2);
}

static void say(uint32_t nr, uint16_t event, uint16_t value)
{
    VdBuf b = { CONTROL_TX, MESSAGE_BYTES, false };

    pc_store(CONTROL_TX, 4, nr);
    pc_store(CONTROL_TX + 4, 2, event);
    pc_store(CONTROL_TX + 6, 2, value);
    vd_add(d, 3, &b, 1, 0);
    vd_kick(d, 3);
    vd_wait(d, 3, NULL);
}

/* The next message is this one; it lies in buffer `slot`. */
static void heard(unsigned slot, uint32_t nr, uint16_t event, uint16_t value,
                  const char *text)
{
    uint64_t at = CONTROL_RX + slot * SLOT;
    uint32_t bytes = vd_wait(d, 2, NULL);

    g_assert_cmpuint(bytes, ==, MESSAGE_BYTES + (text ? strlen(text) + 1 : 0));
    g_assert_cmpuint(pc_load(at, 4), ==, nr);
    g_assert_cmpuint(pc_load(at + 4, 2), ==, event);
    g_assert_cmpuint(pc_load(at + 6, 2), ==, value);
    for (unsigned i = 0; text && i <= strlen(text); i++) {
        g_assert_cmpuint(pc_load(at + MESSAGE_BYTES + i, 1), ==, text[i]);
    }
}

static void heard_nothing(unsigned queue)
{
    uint16_t id;
    uint32_t bytes;

    vd_run();
    g_assert_false(vd_used(d, queue, &id, &bytes));
}

static void write_text(unsigned queue, const char *text)
{
    VdBuf b = { TX, strlen(text), false };

    for (unsigned i = 0; text[i]; i++) {
        pc_store(TX + i, 1, text[i]);
    }
    vd_add(d, queue, &b, 1, 0);
    vd_kick(d, queue);
}

static void give_buffer(unsigned queue, unsigned bytes)
{
    VdBuf b = { RX, bytes, true };

    vd_add(d, queue, &b, 1, 0);
    vd_kick(d, queue);
}

static void type_text(const char *text)
{
    g_assert_cmpuint(chr.fe->can_read(chr.fe->opaque), >=, strlen(text));
    chr.fe->read(chr.fe->opaque, (const uint8_t *)text, strlen(text));
}

static void got_text(unsigned queue, const char *text)
{
    g_assert_cmpuint(vd_wait(d, queue, NULL), ==, strlen(text));
    for (unsigned i = 0; text[i]; i++) {
        g_assert_cmpuint(pc_load(RX + i, 1), ==, text[i]);
    }
}

/* A port that the guest has found and opened: number 1, queues 4 and 5. */
static VserPort *open_port(void)
{
    VserPort *port = add_port("virtserialport", "org.rhea.0", 1);

    vd_start(d, UINT64_MAX, 6, 0, true);
    give_control_buffers(8);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    heard(0, 1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(1, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "org.rhea.0");
    heard(2, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    return port;
}

/* --- ports --------------------------------------------------------------------------------- */

static void test_handshake(void)
{
    open_device("max_ports=4");
    VserPort *console = add_port("virtconsole", NULL, UINT32_MAX);

    g_assert_cmpuint(console->nr, ==, 0);
    g_assert_cmpuint(add_port("virtserialport", "b", UINT32_MAX)->nr, ==, 1);
    chr.connected = false;
    vd_start(d, UINT64_MAX, 6, 0, true);
    g_assert_cmpuint(vd_config(d, 4, 4), ==, 4);
    /* Messages wait for buffers, in order. */
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    heard_nothing(2);
    give_control_buffers(8);
    heard(0, 0, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    heard(1, 1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
    say(0, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(2, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
    heard(3, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(4, 1, VIRTIO_CONSOLE_PORT_NAME, 1, "b");
    heard_nothing(2);           /* nobody is at its other end */
    chr.fe->event(chr.fe->opaque, CHR_OPENED);
    heard(5, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    chr.fe->event(chr.fe->opaque, CHR_CLOSED);
    heard(6, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
    device_delete(&console->dev);
    heard(7, 0, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL);
    /* Ports and messages that are not there. */
    say(3, VIRTIO_CONSOLE_PORT_READY, 1);
    say(UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(1, 99, 1);
    heard_nothing(2);
    close_device();
}

static void test_output(void)
{
    open_device(NULL);
    open_port();
    write_text(5, "hello");
    vd_wait(d, 5, NULL);
    g_assert_cmpstr(chr.out->str, ==, "hello");
    /* A slow reader holds the buffer back, and nothing is said twice. */
    chr.room = 3;
    write_text(5, "slow reader");
    heard_nothing(5);
    take_more(4);
    heard_nothing(5);
    pc_reload(d->dev);
    machine_set_state(pc->m, RUN_STATE_PAUSED);
    machine_set_state(pc->m, RUN_STATE_RUNNING);
    take_more(100);
    vd_wait(d, 5, NULL);
    g_assert_cmpstr(chr.out->str, ==, "helloslow reader");
    /* Nobody there: it goes nowhere, at once. */
    chr.connected = false;
    chr.room = 0;
    write_text(5, "lost");
    vd_wait(d, 5, NULL);
    g_assert_cmpstr(chr.out->str, ==, "helloslow reader");
    close_device();
}

/* The device and a port of it; a reset of the device empties both. */
static void reload_with(Device *port)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    const uint8_t *at;
    size_t left;

    device_save(port, state);
    pc_reload(d->dev);
    at = state->data;
    left = state->len;
    device_load(port, &at, &left, &err);
    g_assert_no_error(err);
}

static void test_input(void)
{
    VserPort *port;

    open_device(NULL);
    port = open_port();
    g_assert_cmpuint(chr.fe->can_read(chr.fe->opaque), ==, 0);
    give_buffer(4, 4);
    type_text("abcdefgh");
    got_text(4, "abcd");
    heard_nothing(4);
    g_assert_cmpuint(chr.fe->can_read(chr.fe->opaque), ==, 0);
    reload_with(&port->dev);
    give_buffer(4, 100);
    got_text(4, "efgh");
    /* Closed by the guest: the host keeps what it has. */
    give_buffer(4, 100);
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    g_assert_cmpuint(chr.fe->can_read(chr.fe->opaque), ==, 0);
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    type_text("again");
    got_text(4, "again");
    vd_set_status(d, 0);
    g_assert_cmpuint(chr.fe->can_read(chr.fe->opaque), ==, 0);
    close_device();
}

/* One port, no control queue: what the first drivers knew. */
static void test_single(void)
{
    open_device("max_ports=1");
    add_port("virtconsole", NULL, 0);
    vd_start(d, UINT64_MAX, 2, 0, false);
    g_assert_cmphex(vd_offered(d) & BIT64(VIRTIO_CONSOLE_F_MULTIPORT), ==, 0);
    write_text(1, "out");
    vd_wait(d, 1, NULL);
    g_assert_cmpstr(chr.out->str, ==, "out");
    give_buffer(0, 10);
    type_text("in");
    got_text(0, "in");
    /* And before there is any queue. */
    vd_set_status(d, 0);
    vd_set_config(d, 8, 4, '!');
    g_assert_cmpstr(chr.out->str, ==, "out!");
    close_device();
}

static void refused(const char *type, const char *name, unsigned nr,
                    const char *why)
{
    Device *dev = device_new(type_find(type));
    g_autofree char *number = g_strdup_printf("%u", nr);
    g_autoptr(GError) err = NULL;

    prop_set(&dev->obj, "name", name, &err);
    prop_set(&dev->obj, "nr", number, &err);
    g_assert_no_error(err);
    g_assert_false(device_realize(dev, bus, &err));
    if (!strstr(err->message, why)) {
        g_error("'%s' is not about '%s'", err->message, why);
    }
    object_unref(&dev->obj);
}

static void test_mistakes(void)
{
    g_autofree char *long_name = g_strnfill(300, 'x');

    open_device("max_ports=3");
    add_port("virtserialport", "a", 1);
    refused("virtserialport", "b", 0, "port 0 is for a virtconsole");
    refused("virtserialport", "b", 1, "of that number");
    refused("virtserialport", "a", 2, "named a");
    refused("virtserialport", "b", 3, "less than max_ports=3");
    refused("virtserialport", long_name, 2, "too long");
    add_port("virtserialport", "c", 2);
    refused("virtserialport", "d", UINT32_MAX, "all ports");
    close_device();
}

/* --- entropy ---------------------------------------------------------------------------------- */

static uint32_t ask_random(unsigned bytes)
{
    VdBuf bufs[2] = { { RX, bytes / 2, true },
                      { RX + bytes / 2, bytes - bytes / 2, true } };

    for (unsigned i = 0; i < bytes; i += 8) {
        pc_store(RX + i, 8, 0);
    }
    vd_add(d, 0, bufs, 2, 0);
    vd_kick(d, 0);
    return vd_wait(d, 0, NULL);
}

static void test_random(void)
{
    d = vd_new(pc, "virtio-rng-pci", NULL, mode);
    vd_start(d, UINT64_MAX, 1, 0, true);
    g_assert_cmpuint(ask_random(1000), ==, 1000);
    g_assert_true(pc_load(RX, 8) | pc_load(RX + 8, 8));
    g_assert_true(pc_load(RX + 984, 8) | pc_load(RX + 992, 8));
    vd_free(d);
}

static void test_quota(void)
{
    d = vd_new(pc, "virtio-rng-pci", "max-bytes=100,period=50", mode);
    vd_start(d, UINT64_MAX, 1, 0, true);
    g_assert_cmpuint(ask_random(80), ==, 80);
    g_assert_cmpuint(ask_random(80), ==, 20);
    VdBuf b = { RX, 80, true };

    vd_add(d, 0, &b, 1, 0);
    vd_kick(d, 0);
    heard_nothing(0);
    pc_reload(d->dev);
    clock_test_advance(49 * NS_PER_MS);
    heard_nothing(0);
    clock_test_advance(NS_PER_MS);
    g_assert_cmpuint(vd_wait(d, 0, NULL), ==, 80);
    vd_free(d);
}

static void test_random_file(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(),
                                             "rhea-rng-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_autofree char *text = g_strdup_printf("qom-type=rng-random,id=r,"
                                            "filename=%s", path);
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) good = opt_parse_keyval(text, NULL, NULL, &err);
    g_autoptr(Opt) bad = opt_parse_keyval("qom-type=rng-random,id=s,"
                                          "filename=/nowhere", NULL, NULL,
                                          &err);

    g_assert_cmpint(write(fd, "0123456789", 10), ==, 10);
    close(fd);
    g_assert_null(user_object_add(bad, &err));
    g_assert_nonnull(strstr(err->message, "filename=/nowhere"));
    g_clear_error(&err);
    user_object_add(good, &err);
    g_assert_no_error(err);
    d = vd_new(pc, "virtio-rng-pci", "rng=r", mode);
    vd_start(d, UINT64_MAX, 1, 0, true);
    g_assert_cmpuint(ask_random(6), ==, 6);
    g_assert_cmpuint(pc_load(RX, 1), ==, '0');
    g_assert_cmpuint(ask_random(6), ==, 4);
    vd_free(d);
    object_unparent(object_find("r"));
    g_unlink(path);
}

/* --- main --------------------------------------------------------------------------------------- */

static void run(const void *data)
{
    ((void (*)(void))(uintptr_t)data)();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        { "serial/handshake", test_handshake },
        { "serial/output", test_output }, { "serial/input", test_input },
        { "serial/single", test_single },
        { "serial/mistakes", test_mistakes },
        { "rng/random", test_random }, { "rng/quota", test_quota },
        { "rng/file", test_random_file },
    };
    static const char *const names[] = { "legacy", "modern", "packed" };

    mode = argc > 1 && g_str_equal(argv[argc - 1], "legacy") ? VD_LEGACY
           : argc > 1 && g_str_equal(argv[argc - 1], "packed") ? VD_PACKED
           : VD_MODERN;
    pc = pc_test_init(&argc, &argv, 16 * MiB);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/virtio-%s/%s", names[mode],
                                                tests[i].name);

        g_test_add_data_func(path, (void *)(uintptr_t)tests[i].fn, run);
    }
    return g_test_run();
}
