/*
 * Objects, properties, state tables, lines.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/qsbr.h"
#include "core/device.h"
#include "loop/timer.h"

static const char *const colours[] = { "red", "green", NULL };

typedef struct {
    Device dev;
    Irq out[2];
    bool flag;
    uint8_t small;
    uint64_t size;
    char *name;
    int colour;
    int32_t addr;
    uint8_t mac[6];

    uint32_t reg;
    uint16_t array[3];
    bool on;
    Timer timer;
    unsigned n_realized, n_reset, n_input;
    int level;
    bool fail;
} Toy;

static Toy *toy_of(Device *dev)
{
    return container_of(dev, Toy, dev);
}

static bool toy_realize(Device *dev, GError **err)
{
    if (toy_of(dev)->fail) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "told to fail");
        return false;
    }
    toy_of(dev)->n_realized++;
    return true;
}

static void toy_unrealize(Device *dev)
{
    toy_of(dev)->n_realized--;
}

static void toy_reset(Device *dev)
{
    toy_of(dev)->reg = 7;
    toy_of(dev)->n_reset++;
}

static void toy_input(void *opaque, int n, int level)
{
    toy_of(opaque)->n_input = n;
    toy_of(opaque)->level = level;
}

static void toy_fire(void *opaque)
{
}

static void toy_init(Object *obj)
{
    Toy *t = toy_of(device_of(obj));

    timer_init(&t->timer, loop_main(), CLK_VIRTUAL, toy_fire, t);
}

static const Property toy_props[] = {
    PROP_BOOL(Toy, flag, "flag", true, "a switch"),
    PROP_U8(Toy, small, "small", 3, "a small number"),
    PROP_SIZE(Toy, size, "size", 4096, "a size"),
    PROP_STRING(Toy, name, "name", "toy", "a name"),
    PROP_ENUM(Toy, colour, "colour", 1, colours, "a colour"),
    PROP_PCI_ADDR(Toy, addr, "addr", "an address"),
    { .name = "mac", .doc = "a MAC", .kind = PROP_KIND_MAC,
      .offset = offsetof(Toy, mac) },
    {}
};

static const Output toy_outputs[] = { OUTPUT_ARRAY(Toy, out, "out"), {} };

static bool sub_needed(void *opaque)
{
    return ((Toy *)opaque)->on;
}

static bool refuse_big(void *opaque, int version, GError **err)
{
    return ((Toy *)opaque)->reg < 0x10000;
}

static const State toy_sub = {
    .name = "toy/array", .version = 1, .needed = sub_needed,
    .fields = (const StateField[]) { STATE_U16_ARRAY(Toy, array), {} },
};

static const State toy_state = {
    .name = "toy", .version = 2, .min_version = 1,
    .fields = (const StateField[]) {
        STATE_U32(Toy, reg), STATE_BOOL(Toy, on), STATE_TIMER(Toy, timer), {}
    },
    .subsections = (const State *const[]) { &toy_sub, NULL },
    .post_load = refuse_big,
};

static const DeviceType toy_type = {
    .name = "toy", .alias = "plaything", .doc = "for tests",
    .parent = &device_type, .size = sizeof(Toy), .props = toy_props,
    .outputs = toy_outputs, .state = &toy_state, .init = toy_init,
    .realize = toy_realize, .unrealize = toy_unrealize, .reset = toy_reset,
    .input = toy_input, .n_inputs = 4,
};
DEVICE_TYPE(toy_type)

static void assert_refused(Object *obj, const char *name, const char *val,
                           const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(prop_set(obj, name, val, &err));
    g_assert_cmpstr(err->message, ==, message);
}

static void test_props(void)
{
    Device *dev = device_new(type_find("plaything"));
    Toy *t = toy_of(dev);
    Object *obj = &dev->obj;

    g_assert_true(t->flag);
    g_assert_cmpuint(t->size, ==, 4096);
    g_assert_cmpstr(t->name, ==, "toy");
    g_assert_cmpint(t->addr, ==, -1);
    g_assert_true(prop_set(obj, "flag", "off", NULL));
    g_assert_false(t->flag);
    g_assert_true(prop_set(obj, "size", "2M", NULL));
    g_assert_cmpuint(t->size, ==, 2 * MiB);
    g_assert_true(prop_set(obj, "colour", "red", NULL));
    g_assert_cmpint(t->colour, ==, 0);
    g_assert_true(prop_set(obj, "addr", "1f.7", NULL));
    g_assert_cmphex(t->addr, ==, 0xff);
    g_assert_true(prop_set(obj, "addr", "0x5", NULL));
    g_assert_cmphex(t->addr, ==, 0x28);
    g_assert_true(prop_set(obj, "mac", "52:54:00:12:34:56", NULL));
    g_assert_cmphex(t->mac[5], ==, 0x56);
    assert_refused(obj, "small", "256", "property 'toy.small' cannot be "
                   "'256': a number from 0 to 255 is wanted");
    assert_refused(obj, "colour", "blue", "property 'toy.colour' cannot be "
                   "'blue': one of red, green is wanted");
    assert_refused(obj, "colur", "red", "device 'toy' has no property "
                   "'colur'; did you mean 'colour'?");
    g_assert_false(prop_set(obj, "addr", "20", NULL));
    g_assert_false(prop_set(obj, "addr", "1.8", NULL));
    g_assert_false(prop_set(obj, "mac", "52:54:00:12:34", NULL));
    g_assert_true(device_realize(dev, NULL, NULL));
    g_assert_false(prop_set(obj, "flag", "on", NULL));
    device_delete(dev);
}

static void test_globals(void)
{
    g_autoptr(GError) err = NULL;
    Device *dev;

    prop_add_global("toy", "small", "9", true);
    prop_add_global("device", "no-such-thing", "1", false);
    dev = device_new(&toy_type);
    g_assert_cmpuint(toy_of(dev)->small, ==, 9);
    g_assert_true(prop_set(&dev->obj, "small", "4", NULL));
    g_assert_true(device_realize(dev, NULL, &err));
    g_assert_cmpuint(toy_of(dev)->small, ==, 4);
    device_delete(dev);
}

static void test_life(void)
{
    Device *dev = device_new(&toy_type);
    g_autoptr(GError) err = NULL;
    g_autofree char *path = NULL;

    toy_of(dev)->fail = true;
    object_ref(&dev->obj);
    g_assert_false(device_realize(dev, NULL, &err));
    g_assert_cmpstr(err->message, ==, "told to fail");
    toy_of(dev)->fail = false;
    object_add_child(object_root(), &dev->obj, "mine");
    object_ref(&dev->obj);
    g_assert_true(device_realize(dev, NULL, NULL));
    path = object_path(&dev->obj);
    g_assert_cmpstr(path, ==, "/machine/mine");
    g_assert_true(object_find("mine") == &dev->obj);
    g_assert_true(object_find(path) == &dev->obj);
    device_reset(dev);
    g_assert_cmpuint(toy_of(dev)->reg, ==, 7);
    device_delete(dev);
    g_assert_cmpuint(toy_of(dev)->n_realized, ==, 0);
    object_unref(&dev->obj);
    g_assert_null(object_find("mine"));
}

static void test_lines(void)
{
    Device *a = device_new(&toy_type), *b = device_new(&toy_type);
    IrqOr or = { 0 };

    device_connect(a, "out", 1, device_in(b, 3));
    irq_set(&toy_of(a)->out[0], 1);
    g_assert_cmpint(toy_of(b)->level, ==, 0);
    irq_set(&toy_of(a)->out[1], 1);
    g_assert_cmpint(toy_of(b)->level, ==, 1);
    g_assert_cmpuint(toy_of(b)->n_input, ==, 3);
    or.out = device_in(b, 0);
    Irq x = irq_or_in(&or, 0), y = irq_or_in(&or, 31);
    irq_set(&x, 1);
    irq_set(&y, 1);
    irq_set(&x, 0);
    g_assert_cmpint(toy_of(b)->level, ==, 1);
    irq_set(&y, 0);
    g_assert_cmpint(toy_of(b)->level, ==, 0);
    object_unref(&a->obj);
    object_unref(&b->obj);
}

static bool load_all(Device *dev, GByteArray *bytes, size_t n, GError **err)
{
    const uint8_t *data = bytes->data;
    size_t len = n;

    return device_load(dev, &data, &len, err) && len == 0;
}

static void test_state(void)
{
    Device *a = device_new(&toy_type), *b = device_new(&toy_type);
    g_autoptr(GByteArray) one = g_byte_array_new(), two = g_byte_array_new();
    g_autoptr(GString) text = g_string_new(NULL);

    toy_of(a)->reg = 0x1234;
    toy_of(a)->on = true;
    toy_of(a)->array[2] = 0xbeef;
    timer_mod(&toy_of(a)->timer, 1000);
    device_save(a, one);
    g_assert_true(load_all(b, one, one->len, NULL));
    g_assert_cmphex(toy_of(b)->array[2], ==, 0xbeef);
    g_assert_cmpint(timer_expire_ns(&toy_of(b)->timer), ==, 1000);
    device_save(b, two);
    g_assert_cmpmem(one->data, one->len, two->data, two->len);
    state_dump(&toy_state, a, text);
    g_assert_nonnull(strstr(text->str, "toy.reg: 0x1234\n"));
    /* Every cut is refused, and so is what post_load does not like. */
    for (size_t n = 0; n < one->len; n++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(load_all(b, one, n, &err));
        g_assert_nonnull(err);
    }
    toy_of(a)->reg = 0x10000;
    g_byte_array_set_size(one, 0);
    device_save(a, one);
    g_assert_false(load_all(b, one, one->len, NULL));
    timer_del(&toy_of(a)->timer);
    timer_del(&toy_of(b)->timer);
    object_unref(&a->obj);
    object_unref(&b->obj);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/core/props", test_props);
    g_test_add_func("/core/life", test_life);
    g_test_add_func("/core/lines", test_lines);
    g_test_add_func("/core/state", test_state);
    g_test_add_func("/core/globals", test_globals);
    return g_test_run();
}
