/*
 * fw_cfg: selector, data port and DMA.
 *
 * Spec:   QEMU, docs/specs/fw_cfg.rst.
 * Models: the port interface with DMA, the file directory, writable files by
 *         DMA.  Writes to the data port are ignored, as since QEMU 2.4.
 * Locks:  machine lock.
 *
 * Invariants:
 *  1. `files` is sorted by name and file i has key FW_CFG_FILE_FIRST + i.
 *  2. DMA touches RAM only: a transfer into a device, perhaps this one, cannot
 *     re-enter it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/nvram/fw_cfg.h"

#include "base/log.h"
#include "base/trace.h"

enum { CTL, DATA, CTL_BYTES, DMA_AT = 4, DMA_BYTES = 8, ALL_BYTES = 12 };

enum {                          /* FW_CFG_ID */
    ID_TRADITIONAL = 1 << 0, ID_DMA = 1 << 1,
};
enum {                          /* control word of a DMA descriptor */
    DMA_ERROR = 1 << 0, DMA_READ = 1 << 1, DMA_SKIP = 1 << 2,
    DMA_SELECT = 1 << 3, DMA_WRITE = 1 << 4, DMA_SELECT_SHIFT = 16,
};
enum { DESC_BYTES = 16, DIR_ENTRY_BYTES = 64 };

typedef struct {
    uint8_t *data;
    uint64_t len;
    FwCfgRead *read;            /* in place of data */
    const FwCfgFileOps *ops;
    void *opaque;
    char *name;                 /* files */
} Item;

struct FwCfg {
    Device dev;
    bool dma_enabled;           /* property */
    uint16_t file_slots;        /* property */
    Region all, ctl, dma;
    GHashTable *items;          /* key -> Item *; without the files */
    GPtrArray *files;           /* of Item * */

    uint16_t key;
    uint64_t offset;            /* of the next byte in the item */
    uint64_t dma_gpa;           /* as far as it was written */
};

static FwCfg *the_one;

FwCfg *fw_cfg_of(Device *dev)
{
    return container_of(dev, FwCfg, dev);
}

FwCfg *fw_cfg_find(void)
{
    return the_one;
}

/* --- items ------------------------------------------------------------------------- */

static void item_free(gpointer p)
{
    Item *it = p;

    g_free(it->data);
    g_free(it->name);
    g_free(it);
}

static Item *item_new(const void *data, size_t len)
{
    Item *it = g_new0(Item, 1);

    it->data = g_memdup2(data, len);
    it->len = len;
    return it;
}

static Item *find(FwCfg *s, uint16_t key)
{
    key &= ~FW_CFG_WRITE_CHANNEL;
    if (key >= FW_CFG_FILE_FIRST
        && key < FW_CFG_FILE_FIRST + s->files->len) {
        return g_ptr_array_index(s->files, key - FW_CFG_FILE_FIRST);
    }
    return g_hash_table_lookup(s->items, GUINT_TO_POINTER(key));
}

static void put_item(FwCfg *s, uint16_t key, Item *it)
{
    g_hash_table_replace(s->items, GUINT_TO_POINTER(key), it);
}

void fw_cfg_add_bytes(FwCfg *s, uint16_t key, const void *data, size_t len)
{
    put_item(s, key, item_new(data, len));
}

void fw_cfg_add_string(FwCfg *s, uint16_t key, const char *text)
{
    fw_cfg_add_bytes(s, key, text, strlen(text) + 1);
}

void fw_cfg_add_u16(FwCfg *s, uint16_t key, uint16_t val)
{
    val = GUINT16_TO_LE(val);
    fw_cfg_add_bytes(s, key, &val, sizeof(val));
}

void fw_cfg_add_u32(FwCfg *s, uint16_t key, uint32_t val)
{
    val = GUINT32_TO_LE(val);
    fw_cfg_add_bytes(s, key, &val, sizeof(val));
}

void fw_cfg_add_u64(FwCfg *s, uint16_t key, uint64_t val)
{
    val = GUINT64_TO_LE(val);
    fw_cfg_add_bytes(s, key, &val, sizeof(val));
}

void fw_cfg_add_reader(FwCfg *s, uint16_t key, uint64_t len, FwCfgRead *read,
                       void *opaque)
{
    Item *it = item_new(NULL, 0);

    it->len = len;
    it->read = read;
    it->opaque = opaque;
    put_item(s, key, it);
}

/* --- files --------------------------------------------------------------------------- */

/* The directory: a count, then size, key, zero and name of each; big-endian. */
static void write_directory(FwCfg *s)
{
    size_t len = 4 + s->files->len * DIR_ENTRY_BYTES;
    g_autofree uint8_t *dir = g_malloc0(len);

    store_be32(dir, s->files->len);
    for (unsigned i = 0; i < s->files->len; i++) {
        Item *it = g_ptr_array_index(s->files, i);
        uint8_t *e = dir + 4 + i * DIR_ENTRY_BYTES;

        store_be32(e, it->len);
        store_be16(e + 4, FW_CFG_FILE_FIRST + i);
        memcpy(e + 8, it->name, strlen(it->name));
    }
    fw_cfg_add_bytes(s, FW_CFG_FILE_DIR, dir, len);
}

/* Where `name` is or would be among the files. */
static unsigned place_of(FwCfg *s, const char *name, bool *there)
{
    unsigned i;

    *there = false;
    for (i = 0; i < s->files->len; i++) {
        Item *it = g_ptr_array_index(s->files, i);
        int order = strcmp(name, it->name);

        if (order <= 0) {
            *there = order == 0;
            break;
        }
    }
    return i;
}

bool fw_cfg_add_file_ops(FwCfg *s, const char *name, const void *data,
                         size_t len, const FwCfgFileOps *ops, void *opaque,
                         GError **err)
{
    bool there;
    unsigned i = place_of(s, name, &there);
    Item *it;

    if (strlen(name) >= FW_CFG_NAME_BYTES || there
        || s->files->len >= s->file_slots || len > UINT32_MAX) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "fw_cfg: file '%s' %s", name,
                    there ? "is there already"
                    : strlen(name) >= FW_CFG_NAME_BYTES
                    ? "has a name of over 55 characters"
                    : len > UINT32_MAX ? "is over 4 GiB"
                    : "does not fit: all of x-file-slots are taken");
        return false;
    }
    it = item_new(data, len);
    it->name = g_strdup(name);
    it->ops = ops;
    it->opaque = opaque;
    g_ptr_array_insert(s->files, i, it);
    write_directory(s);
    return true;
}

bool fw_cfg_add_file(FwCfg *s, const char *name, const void *data, size_t len,
                     GError **err)
{
    return fw_cfg_add_file_ops(s, name, data, len, NULL, NULL, err);
}

bool fw_cfg_set_file(FwCfg *s, const char *name, const void *data, size_t len)
{
    bool there;
    unsigned i = place_of(s, name, &there);
    Item *it;

    if (!there || len > UINT32_MAX) {
        return false;
    }
    it = g_ptr_array_index(s->files, i);
    g_free(it->data);
    it->data = g_memdup2(data, len);
    it->len = len;
    write_directory(s);
    return true;
}

/* --- reading and writing ----------------------------------------------------------------- */

static void select_item(FwCfg *s, uint16_t key)
{
    Item *it = find(s, key);

    trace("fw-cfg-select", "key 0x%04x %s", key,
          it ? it->name ? it->name : "" : "none");
    s->key = key;
    s->offset = 0;
    if (it && it->ops && it->ops->select) {
        it->ops->select(it->opaque);
    }
}

/* Bytes from the current place; zeros behind the end. */
static void read_item(FwCfg *s, uint8_t *buf, size_t len)
{
    Item *it = find(s, s->key);
    uint64_t left = it && s->offset < it->len ? it->len - s->offset : 0;
    size_t n = MIN(len, left);

    if (n && it->read) {
        if (!it->read(it->opaque, s->offset, buf, n)) {
            memset(buf, 0, n);
        }
    } else if (n) {
        memcpy(buf, it->data + s->offset, n);
    }
    memset(buf + n, 0, len - n);
    s->offset += n;
}

static uint64_t ctl_read(void *opaque, hwaddr at, unsigned size)
{
    uint8_t b = 0;

    if (at == DATA) {
        read_item(opaque, &b, 1);
    }
    return b;
}

static void ctl_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    if (at == CTL && size == 2) {
        select_item(opaque, val);
    }
}

static const IoOps ctl_ops = {
    .read = ctl_read, .write = ctl_write, .size_min = 1, .size_max = 2,
};

/* --- DMA ------------------------------------------------------------------------------------ */

typedef enum { MOVE_TO_GUEST, MOVE_FROM_GUEST } Direction;

/* `len` bytes between the item and RAM; false at the first byte that is not
 * RAM. */
static bool transfer(FwCfg *s, hwaddr gpa, uint64_t len, Direction way)
{
    Item *it = find(s, s->key);

    while (len) {
        uint64_t n = len;
        uint8_t *hva = as_map(&as_memory, gpa, &n, way == MOVE_TO_GUEST);

        if (!hva) {
            return false;
        }
        if (way == MOVE_TO_GUEST) {
            read_item(s, hva, n);
        } else {
            memcpy(it->data + s->offset, hva, n);
            s->offset += n;
        }
        as_unmap(&as_memory, hva, n, way == MOVE_TO_GUEST, n);
        gpa += n;
        len -= n;
    }
    return true;
}

/* Writing is all or nothing: a writable file, and inside of it. */
static bool dma_write(FwCfg *s, hwaddr gpa, uint32_t len)
{
    Item *it = find(s, s->key);
    uint64_t at = s->offset;

    if (!it || !it->ops || !it->ops->writable || at > it->len
        || len > it->len - at
        || !transfer(s, gpa, len, MOVE_FROM_GUEST)) {
        return false;
    }
    if (it->ops->written) {
        it->ops->written(it->opaque, it->data, at, len);
    }
    return true;
}

static bool dma_execute(FwCfg *s, uint32_t control, uint32_t len, hwaddr gpa)
{
    if (control & DMA_SELECT) {
        select_item(s, control >> DMA_SELECT_SHIFT);
    }
    if (control & (DMA_READ | DMA_WRITE) && gpa + len < gpa) {
        return false;
    }
    if (control & DMA_READ) {
        return transfer(s, gpa, len, MOVE_TO_GUEST);
    }
    if (control & DMA_WRITE) {
        return dma_write(s, gpa, len);
    }
    if (control & DMA_SKIP) {
        s->offset += len;
    }
    return true;
}

/* All of `len` bytes at `gpa` as RAM, to copy from or to. */
static bool ram_copy(hwaddr gpa, void *buf, uint64_t len, bool write)
{
    uint64_t n = len;
    void *hva = as_map(&as_memory, gpa, &n, write);

    if (!hva) {
        return false;
    }
    if (n == len) {
        memcpy(write ? hva : buf, write ? buf : hva, len);
    }
    as_unmap(&as_memory, hva, n, write, n == len ? n : 0);
    return n == len;
}

static void dma_start(FwCfg *s)
{
    hwaddr gpa = s->dma_gpa;
    uint8_t desc[DESC_BYTES];
    uint32_t control;

    s->dma_gpa = 0;
    /* Read once: another CPU may be writing it. */
    if (!ram_copy(gpa, desc, sizeof(desc), false)) {
        guest_error("fw_cfg", "DMA descriptor at 0x%" PRIx64 " is not in RAM",
                    gpa);
        return;
    }
    control = load_be32(desc);
    trace("fw-cfg-dma", "control 0x%x len %u at 0x%" PRIx64, control,
          load_be32(desc + 4), load_be64(desc + 8));
    control = dma_execute(s, control, load_be32(desc + 4),
                          load_be64(desc + 8)) ? 0 : DMA_ERROR;
    store_be32(desc, control);
    ram_copy(gpa, desc, 4, true);
}

static uint64_t dma_read(void *opaque, hwaddr at, unsigned size)
{
    static const char signature[DMA_BYTES] = "QEMU CFG";

    return load_le(signature + at, size);
}

/* Two big-endian halves; the second starts the transfer. */
static void dma_port_write(void *opaque, hwaddr at, uint64_t val,
                           unsigned size)
{
    FwCfg *s = opaque;
    uint32_t half = GUINT32_SWAP_LE_BE((uint32_t)val);

    if (at == 0) {
        s->dma_gpa = (uint64_t)half << 32;
    } else {
        s->dma_gpa |= half;
        dma_start(s);
    }
}

static const IoOps dma_ops = {
    .read = dma_read, .write = dma_port_write, .size_min = 4, .size_max = 4,
};

/* --- -fw_cfg ------------------------------------------------------------------------------------ */

typedef struct {
    char *name, *data;
    gsize len;
} UserFile;

static GPtrArray *user_files;   /* of UserFile * */

static bool is_user_file(const char *name)
{
    for (unsigned i = 0; user_files && i < user_files->len; i++) {
        const UserFile *f = g_ptr_array_index(user_files, i);

        if (!strcmp(f->name, name)) {
            return true;
        }
    }
    return false;
}

bool fw_cfg_add_option(Opt *dict, GError **err)
{
    static const char *const known[] = { "name", "file", "string", NULL };
    const char *name = NULL, *file = NULL, *text = NULL;
    UserFile *f;

    if (!opt_get_string(dict, "name", &name, err)
        || !opt_get_string(dict, "file", &file, err)
        || !opt_get_string(dict, "string", &text, err)
        || !opt_all_read(dict, "-fw_cfg", known, err)) {
        return false;
    }
    if (!name || !*name || !file == !text) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "-fw_cfg needs name= and either file= or string=");
        return false;
    }
    if (strlen(name) >= FW_CFG_NAME_BYTES) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "-fw_cfg name=%s: a name has at most 55 characters", name);
        return false;
    }
    if (is_user_file(name)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "-fw_cfg name=%s: there is a file of that name already",
                    name);
        return false;
    }
    if (!g_str_has_prefix(name, "opt/")) {
        warn("-fw_cfg name=%s: names of one's own begin with 'opt/'", name);
    }
    f = g_new0(UserFile, 1);
    if (file) {
        if (!g_file_get_contents(file, &f->data, &f->len, err)) {
            g_prefix_error(err, "-fw_cfg name=%s: ", name);
            g_free(f);
            return false;
        }
    } else {
        f->data = g_strdup(text);
        f->len = strlen(text);  /* without the zero, as in QEMU */
    }
    f->name = g_strdup(name);
    if (!user_files) {
        user_files = g_ptr_array_new();
    }
    g_ptr_array_add(user_files, f);
    return true;
}

/* --- life ---------------------------------------------------------------------------------------- */

static void fw_cfg_unrealize(Device *dev)
{
    FwCfg *s = fw_cfg_of(dev);

    mem_begin();
    region_destroy(&s->ctl);
    region_destroy(&s->dma);
    region_destroy(&s->all);
    mem_commit();
    g_clear_pointer(&s->items, g_hash_table_unref);
    g_clear_pointer(&s->files, g_ptr_array_unref);
    if (the_one == s) {
        the_one = NULL;
    }
}

static bool fw_cfg_realize(Device *dev, GError **err)
{
    FwCfg *s = fw_cfg_of(dev);

    s->items = g_hash_table_new_full(NULL, NULL, NULL, item_free);
    s->files = g_ptr_array_new_with_free_func(item_free);
    fw_cfg_add_bytes(s, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_u32(s, FW_CFG_ID,
                   ID_TRADITIONAL | (s->dma_enabled ? ID_DMA : 0));
    write_directory(s);

    region_init_container(&s->all, &dev->obj, "fw_cfg", ALL_BYTES);
    region_init_io(&s->ctl, &dev->obj, "fw_cfg-ctl", &ctl_ops, s, CTL_BYTES);
    region_init_io(&s->dma, &dev->obj, "fw_cfg-dma", &dma_ops, s, DMA_BYTES);
    region_map(&s->all, 0, &s->ctl, 0);
    if (s->dma_enabled) {
        region_map(&s->all, DMA_AT, &s->dma, 0);
    }
    device_add_region(dev, &s->all);
    the_one = s;
    for (unsigned i = 0; user_files && i < user_files->len; i++) {
        UserFile *f = g_ptr_array_index(user_files, i);

        if (!fw_cfg_add_file(s, f->name, f->data, f->len, err)) {
            fw_cfg_unrealize(dev);
            return false;
        }
    }
    return true;
}

static void fw_cfg_reset(Device *dev)
{
    FwCfg *s = fw_cfg_of(dev);

    s->key = FW_CFG_SIGNATURE;
    s->offset = 0;
    s->dma_gpa = 0;
}

static const Property fw_cfg_props[] = {
    PROP_BOOL(FwCfg, dma_enabled, "dma_enabled", true, "transfers by DMA"),
    PROP_U16(FwCfg, file_slots, "x-file-slots", 0x20, "room for files"),
    {}
};

static const State fw_cfg_state = {
    .name = "fw_cfg", .version = 1,
    .fields = (const StateField[]) {
        STATE_U16(FwCfg, key), STATE_U64(FwCfg, offset),
        STATE_U64(FwCfg, dma_gpa), {}
    },
};

const DeviceType fw_cfg_io_type = {
    .name = "fw_cfg_io", .doc = "firmware configuration ports",
    .parent = &device_type, .size = sizeof(FwCfg), .internal = true,
    .props = fw_cfg_props, .state = &fw_cfg_state,
    .realize = fw_cfg_realize, .unrealize = fw_cfg_unrealize,
    .reset = fw_cfg_reset,
};
DEVICE_TYPE(fw_cfg_io_type)
