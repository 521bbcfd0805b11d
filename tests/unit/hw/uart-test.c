/*
 * The 16550A, between isa-serial and a host that is played by hand (linked
 * with --wrap for the chr_* functions).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev/chardev.h"
#include "devtest.h"

enum { RBR = 0x3f8, THR = 0x3f8, DLL = 0x3f8, IER, IIR, FCR = IIR, LCR, MCR,
       LSR, MSR, SCR };

/* --- the host --------------------------------------------------------------- */

static struct {
    CharFrontend *fe;
    GString *sent;
    size_t room;                /* how many bytes it takes before it is full */
    void (*writable)(void *opaque);
    void *opaque;
    unsigned accepts;
    bool on_break;
    unsigned baud, data_bits, stop_bits;
    char parity;
} host;

bool __wrap_chr_attach(CharFrontend *fe, Chardev *chr, GError **err);
bool __wrap_chr_attach(CharFrontend *fe, Chardev *chr, GError **err)
{
    host.fe = fe;
    return true;
}

void __wrap_chr_detach(CharFrontend *fe);
void __wrap_chr_detach(CharFrontend *fe)
{
    host.fe = NULL;
}

size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len);
size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    size_t n = MIN(len, host.room);

    g_string_append_len(host.sent, (const char *)buf, n);
    host.room -= n;
    return n;
}

void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *opaque),
                              void *opaque);
void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *opaque),
                              void *opaque)
{
    host.writable = fn;
    host.opaque = opaque;
}

void __wrap_chr_accept_input(CharFrontend *fe);
void __wrap_chr_accept_input(CharFrontend *fe)
{
    host.accepts++;
}

void __wrap_chr_set_break(CharFrontend *fe, bool on);
void __wrap_chr_set_break(CharFrontend *fe, bool on)
{
    host.on_break = on;
}

void __wrap_chr_set_serial_params(CharFrontend *fe, unsigned baud, char parity,
                                  unsigned data_bits, unsigned stop_bits);
void __wrap_chr_set_serial_params(CharFrontend *fe, unsigned baud, char parity,
                                  unsigned data_bits, unsigned stop_bits)
{
    host.baud = baud;
    host.parity = parity;
    host.data_bits = data_bits;
    host.stop_bits = stop_bits;
}

static void host_takes(size_t n)
{
    void (*fn)(void *) = host.writable;

    host.room = n;
    host.writable = NULL;
    if (fn) {
        fn(host.opaque);
    }
}

static size_t host_types(const char *text)
{
    size_t n = MIN(strlen(text), host.fe->can_read(host.fe->opaque));

    if (n) {
        host.fe->read(host.fe->opaque, (const uint8_t *)text, n);
    }
    return n;
}

static DevTest *new_uart(const char *props)
{
    if (host.sent) {
        g_string_free(host.sent, true);
    }
    memset(&host, 0, sizeof(host));
    host.sent = g_string_new(NULL);
    host.room = SIZE_MAX;
    return dev_test_new("isa-serial", props);
}

static void test_reset(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    g_assert_cmphex(dev_inb(t, IER), ==, 0x00);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    g_assert_cmphex(dev_inb(t, LCR), ==, 0x00);
    g_assert_cmphex(dev_inb(t, MCR), ==, 0x00);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmphex(dev_inb(t, MSR), ==, 0xb0);
    g_assert_cmpint(t->lines[4].level, ==, 0);
}

static void test_writable_bits(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    for (unsigned v = 0; v < 256; v++) {
        dev_outb(t, LCR, v & 0x7f);
        g_assert_cmphex(dev_inb(t, LCR), ==, v & 0x7f);
        dev_outb(t, IER, v);
        g_assert_cmphex(dev_inb(t, IER), ==, v & 0x0f);
        dev_outb(t, MCR, v);
        g_assert_cmphex(dev_inb(t, MCR), ==, v & 0x1f);
        dev_outb(t, SCR, v);
        g_assert_cmphex(dev_inb(t, SCR), ==, v);
        dev_outb(t, LCR, 0x80);
        dev_outb(t, DLL, v);
        dev_outb(t, IER, ~v);
        g_assert_cmphex(dev_inb(t, DLL), ==, v);
        g_assert_cmphex(dev_inb(t, IER), ==, (~v & 0xff));
        dev_outb(t, LCR, 0x00);
        g_assert_cmphex(dev_inb(t, IER), ==, v & 0x0f);
    }
    dev_outb(t, MCR, 0);
    dev_inb(t, MSR);
    dev_outb(t, LSR, 0xff);
    dev_outb(t, MSR, 0xff);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmphex(dev_inb(t, MSR), ==, 0xb0);
}

/* LCR and the divisor, as a real port on the host would see them. */
static void test_line_parameters(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);
    static const struct {
        uint8_t lcr;
        char parity;
        unsigned data, stop;
    } rows[] = {
        { 0x03, 'N', 8, 1 }, { 0x02, 'N', 7, 1 }, { 0x00, 'N', 5, 1 },
        { 0x07, 'N', 8, 2 }, { 0x0b, 'O', 8, 1 }, { 0x1b, 'E', 8, 1 },
        { 0x2a, 'M', 7, 1 }, { 0x3a, 'S', 7, 1 }, { 0x01, 'N', 6, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        dev_outb(t, LCR, rows[i].lcr);
        g_assert_cmpint(host.parity, ==, rows[i].parity);
        g_assert_cmpuint(host.data_bits, ==, rows[i].data);
        g_assert_cmpuint(host.stop_bits, ==, rows[i].stop);
    }
    dev_outb(t, LCR, 0x83);
    dev_outb(t, DLL, 1);
    dev_outb(t, IER, 0);
    g_assert_cmpuint(host.baud, ==, 115200);
    dev_outb(t, IER, 1);
    g_assert_cmpuint(host.baud, ==, 115200 / 257);
    dev_outb(t, LCR, 0x43);
    g_assert_true(host.on_break);
    dev_outb(t, LCR, 0x03);
    g_assert_false(host.on_break);
}

static void test_transmit(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);
    IrqProbe *irq = &t->lines[4];

    dev_outb(t, THR, 'a');
    g_assert_cmpstr(host.sent->str, ==, "a");
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    /* Enabling the interrupt while THR is empty raises it, each time. */
    dev_outb(t, IER, 0x02);
    g_assert_cmpint(irq->level, ==, 1);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x02);
    g_assert_cmpint(irq->level, ==, 0);         /* read as the source: gone */
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    dev_outb(t, IER, 0x02);                     /* no change: no interrupt */
    g_assert_cmpint(irq->level, ==, 0);
    dev_outb(t, IER, 0x00);
    dev_outb(t, IER, 0x02);
    g_assert_cmpint(irq->level, ==, 1);
    /* Each byte gives an edge. */
    unsigned edges = irq->n_rising;

    dev_outb(t, THR, 'b');
    g_assert_cmpuint(irq->n_rising, ==, edges + 1);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x02);
}

/* The host takes nothing for a while: nothing is lost, THRE says so. */
static void test_slow_host(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, FCR, 0x01);
    dev_outb(t, IER, 0x02);
    dev_inb(t, IIR);
    host.room = 0;
    dev_outb(t, THR, 'A');                      /* in TSR */
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x20);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc2);
    for (int i = 1; i < 40; i++) {
        dev_outb(t, THR, 'A' + i);
        g_assert_cmphex(dev_inb(t, LSR), ==, 0x00);
    }
    g_assert_cmpint(t->lines[4].level, ==, 0);
    host_takes(1);
    g_assert_cmpuint(host.sent->len, ==, 1);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x00);
    host_takes(38);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x20);
    g_assert_cmpint(t->lines[4].level, ==, 1);
    host_takes(SIZE_MAX);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmpuint(host.sent->len, ==, 40);
    for (int i = 0; i < 40; i++) {
        g_assert_cmpint(host.sent->str[i], ==, 'A' + i);
    }
}

static void test_pacing(void)
{
    g_autoptr(DevTest) t = new_uart("pacing=on");
    /* 8N1 at 9600: ten bits. */
    const int64_t byte_ns = 10 * NS_PER_SEC / 9600;

    dev_outb(t, LCR, 0x03);
    dev_outb(t, FCR, 0x01);
    dev_outb(t, IER, 0x02);
    dev_inb(t, IIR);
    for (int i = 0; i < 4; i++) {
        dev_outb(t, THR, 'a' + i);
    }
    g_assert_cmpstr(host.sent->str, ==, "a");
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x00);
    dev_advance(byte_ns - 1000);
    g_assert_cmpstr(host.sent->str, ==, "a");
    dev_advance(2000);
    g_assert_cmpstr(host.sent->str, ==, "ab");
    dev_advance(2 * byte_ns);
    g_assert_cmpstr(host.sent->str, ==, "abcd");
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x20);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc2);
    dev_advance(byte_ns);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
}

static void test_receive(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);
    IrqProbe *irq = &t->lines[4];

    dev_outb(t, IER, 0x01);
    g_assert_cmpuint(host_types("xy"), ==, 1);  /* no FIFO: one at a time */
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x61);
    g_assert_cmpint(irq->level, ==, 1);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x04);
    unsigned accepts = host.accepts;

    g_assert_cmpint(dev_inb(t, RBR), ==, 'x');
    g_assert_cmpuint(host.accepts, >, accepts);
    g_assert_cmpint(irq->level, ==, 0);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmpint(dev_inb(t, RBR), ==, 'x');  /* nothing new */
}

static void test_fifo_trigger(void)
{
    static const unsigned levels[] = { 1, 4, 8, 14 };
    g_autoptr(DevTest) t = new_uart(NULL);
    IrqProbe *irq = &t->lines[4];

    dev_outb(t, IER, 0x01);
    for (unsigned i = 0; i < 4; i++) {
        dev_outb(t, FCR, 0x07 | i << 6);
        g_assert_cmphex(dev_inb(t, IIR), ==, 0xc1);
        for (unsigned n = 1; n <= 16; n++) {
            g_assert_cmpuint(host_types("z"), ==, 1);
            g_assert_cmpint(irq->level, ==, n >= levels[i]);
            g_assert_cmphex(dev_inb(t, IIR), ==, n >= levels[i] ? 0xc4 : 0xc1);
        }
        g_assert_cmpuint(host_types("z"), ==, 0);       /* full */
        for (unsigned n = 16; n > 0; n--) {
            g_assert_cmpint(irq->level, ==, n >= levels[i]);
            dev_inb(t, RBR);
        }
        g_assert_cmpint(irq->level, ==, 0);
    }
}

/* Characters below the trigger level: told after four character times. */
static void test_character_timeout(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);
    const int64_t byte_ns = 10 * NS_PER_SEC / 9600;
    IrqProbe *irq = &t->lines[4];

    dev_outb(t, LCR, 0x03);
    dev_outb(t, FCR, 0xc1);
    dev_outb(t, IER, 0x01);
    host_types("ab");
    dev_advance(3 * byte_ns);
    host_types("c");                            /* restarts the wait */
    dev_advance(3 * byte_ns);
    g_assert_cmpint(irq->level, ==, 0);
    dev_advance(byte_ns + 10);
    g_assert_cmpint(irq->level, ==, 1);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xcc);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xcc); /* until the data is read */
    g_assert_cmpint(dev_inb(t, RBR), ==, 'a');
    g_assert_cmpint(irq->level, ==, 0);
    dev_advance(4 * byte_ns + 10);              /* and again for the rest */
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xcc);
    dev_inb(t, RBR);
    dev_inb(t, RBR);
    dev_advance(10 * byte_ns);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc1);
}

static void test_fcr(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, FCR, 0xc0);                     /* counts only with bit 0 */
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    host_types("a");
    dev_outb(t, FCR, 0x01);                     /* a change clears both */
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    host_types("abc");
    dev_outb(t, FCR, 0x01);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x61);
    dev_outb(t, FCR, 0x03);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    host.room = 0;
    dev_outb(t, THR, '1');
    dev_outb(t, THR, '2');
    dev_outb(t, FCR, 0x05);                     /* keeps what is in TSR */
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x20);
    host_takes(SIZE_MAX);
    g_assert_cmpstr(host.sent->str, ==, "1");
    host_types("abc");
    dev_outb(t, FCR, 0x00);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
}

static void test_overrun(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, MCR, 0x10);
    dev_outb(t, IER, 0x04);
    dev_outb(t, THR, '1');
    dev_outb(t, THR, '2');                      /* without FIFO: the newer */
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x06);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x63);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x61);
    g_assert_cmpint(dev_inb(t, RBR), ==, '2');
    dev_outb(t, FCR, 0x01);
    for (int i = 0; i < 16; i++) {
        dev_outb(t, THR, 'a' + i);
    }
    g_assert_cmphex(dev_inb(t, LSR) & 0x02, ==, 0);
    dev_outb(t, THR, 'X');                      /* with it: the older */
    g_assert_cmphex(dev_inb(t, LSR) & 0x02, ==, 0x02);
    for (int i = 0; i < 16; i++) {
        g_assert_cmpint(dev_inb(t, RBR), ==, 'a' + i);
    }
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x60);
}

static void test_break(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, FCR, 0x01);
    dev_outb(t, IER, 0x05);
    host_types("a");
    host.fe->event(host.fe->opaque, CHR_BREAK);
    host_types("b");
    /* Told when it comes to the top; bit 7 as soon as it is in the FIFO. */
    g_assert_cmphex(dev_inb(t, LSR), ==, 0xe1);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc4);
    dev_inb(t, RBR);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc6);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0xf1);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x61);
    g_assert_cmpint(dev_inb(t, RBR), ==, 0);
    g_assert_cmpint(dev_inb(t, RBR), ==, 'b');
}

/* Line status over data over THRE over modem status. */
static void test_interrupt_priority(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, MCR, 0x10);
    dev_inb(t, MSR);
    dev_outb(t, MCR, 0x12);                     /* CTS changes */
    dev_outb(t, THR, '1');
    dev_outb(t, THR, '2');
    dev_outb(t, IER, 0x0f);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x06);
    dev_inb(t, LSR);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x04);
    dev_inb(t, RBR);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x02);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x00);
    g_assert_cmpint(t->lines[4].level, ==, 1);
    dev_inb(t, MSR);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0x01);
    g_assert_cmpint(t->lines[4].level, ==, 0);
}

static void test_loopback(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, MCR, 0x10);
    g_assert_cmphex(dev_inb(t, MSR) & 0xf0, ==, 0);
    g_assert_cmpuint(host_types("h"), ==, 0);   /* its input is cut off */
    dev_outb(t, THR, 'q');
    g_assert_cmpuint(host.sent->len, ==, 0);
    g_assert_cmpint(dev_inb(t, RBR), ==, 'q');
    dev_outb(t, MCR, 0x00);
    g_assert_cmpuint(host_types("h"), ==, 1);
}

static void test_modem_lines(void)
{
    static const struct { uint8_t mcr, msr; } rows[] = {
        { 0x12, 0x11 },         /* RTS: CTS, and its delta */
        { 0x13, 0x32 },         /* DTR: DSR */
        { 0x17, 0x70 },         /* OUT1: RI; no delta as it rises */
        { 0x1f, 0xf8 },         /* OUT2: DCD */
        { 0x1b, 0xb4 },         /* RI falls: TERI */
        { 0x10, 0x0b },
    };
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, MCR, 0x10);
    g_assert_cmphex(dev_inb(t, MSR), ==, 0x0b);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        dev_outb(t, MCR, rows[i].mcr);
        g_assert_cmphex(dev_inb(t, MSR), ==, rows[i].msr);
        g_assert_cmphex(dev_inb(t, MSR), ==, rows[i].msr & 0xf0);
    }
}

static void test_ports(void)
{
    static const struct { uint16_t port; int irq; } com[] = {
        { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
    };
    g_autoptr(DevTest) t = new_uart(NULL);

    for (int i = 1; i < 4; i++) {
        dev_test_add(t, "isa-serial", NULL, NULL);
    }
    for (int i = 0; i < 4; i++) {
        dev_outb(t, com[i].port + 7, 0x50 + i);
    }
    for (int i = 0; i < 4; i++) {
        g_assert_cmphex(dev_inb(t, com[i].port + 7), ==, 0x50 + i);
        dev_outb(t, com[i].port + 1, 0x02);
        g_assert_cmpint(t->lines[com[i].irq].level, ==, 1);
    }
    /* COM1 and COM3 share a line. */
    dev_outb(t, com[0].port + 1, 0x00);
    g_assert_cmpint(t->lines[4].level, ==, 1);
    dev_outb(t, com[2].port + 1, 0x00);
    g_assert_cmpint(t->lines[4].level, ==, 0);

    dev_test_add(t, "isa-serial", "index=0,iobase=0x1000,irq=11", NULL);
    dev_outb(t, 0x1007, 0x77);
    g_assert_cmphex(dev_inb(t, 0x1007), ==, 0x77);
    dev_outb(t, 0x1001, 0x02);
    g_assert_cmpint(t->lines[11].level, ==, 1);
}

static void refused(const char *prop, const char *val, const char *message)
{
    g_autoptr(DevTest) t = dev_test_bare();
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(type_find("isa-serial"));

    prop_set(&dev->obj, prop, val, &err);
    g_assert_no_error(err);
    g_assert_false(device_realize(dev, &t->bus.bus, &err));
    g_assert_nonnull(strstr(err->message, message));
    object_unref(&dev->obj);
}

static void test_bad_properties(void)
{
    refused("index", "4", "index 4 is not 0 to 3");
    refused("irq", "16", "irq 16 is not 0 to 15");
    refused("iobase", "0x10000", "0x10000");
    refused("iobase", "0xfff9", "0xfff9");
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_uart(NULL);

    dev_outb(t, LCR, 0x03);
    dev_outb(t, FCR, 0xc1);
    dev_outb(t, IER, 0x03);
    dev_inb(t, IIR);
    host_types("abc");
    host.room = 0;
    dev_outb(t, THR, '1');
    dev_outb(t, THR, '2');
    dev_test_reload(t);
    g_assert_cmphex(dev_inb(t, LSR), ==, 0x01);
    host_takes(SIZE_MAX);
    g_assert_cmpstr(host.sent->str, ==, "12");
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xc2);
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(dev_inb(t, IIR), ==, 0xcc);
    g_assert_cmpint(dev_inb(t, RBR), ==, 'a');
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/uart/reset", test_reset);
    g_test_add_func("/uart/writable-bits", test_writable_bits);
    g_test_add_func("/uart/line-parameters", test_line_parameters);
    g_test_add_func("/uart/transmit", test_transmit);
    g_test_add_func("/uart/slow-host", test_slow_host);
    g_test_add_func("/uart/pacing", test_pacing);
    g_test_add_func("/uart/receive", test_receive);
    g_test_add_func("/uart/fifo-trigger", test_fifo_trigger);
    g_test_add_func("/uart/character-timeout", test_character_timeout);
    g_test_add_func("/uart/fcr", test_fcr);
    g_test_add_func("/uart/overrun", test_overrun);
    g_test_add_func("/uart/break", test_break);
    g_test_add_func("/uart/interrupt-priority", test_interrupt_priority);
    g_test_add_func("/uart/loopback", test_loopback);
    g_test_add_func("/uart/modem-lines", test_modem_lines);
    g_test_add_func("/uart/ports", test_ports);
    g_test_add_func("/uart/bad-properties", test_bad_properties);
    g_test_add_func("/uart/save-load", test_save_load);
    return g_test_run();
}
