/*
 * fw_cfg, "fw_cfg_io": what the machine tells its firmware, item by item.
 *
 * Items have a key; files have a name as well, and get keys of their own in
 * order of name.  All are added before the machine starts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_NVRAM_FW_CFG_H
#define HW_NVRAM_FW_CFG_H

#include "base/opts.h"
#include "core/device.h"

enum {                          /* keys; docs/specs/fw_cfg of QEMU */
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03, FW_CFG_NOGRAPHIC = 0x04, FW_CFG_NB_CPUS = 0x05,
    FW_CFG_MACHINE_ID = 0x06, FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08, FW_CFG_KERNEL_CMDLINE = 0x09,
    FW_CFG_INITRD_ADDR = 0x0a, FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c, FW_CFG_NUMA = 0x0d, FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f, FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11, FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13, FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15, FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17, FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19, FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_WRITE_CHANNEL = 0x4000, FW_CFG_ARCH_LOCAL = 0x8000,
    FW_CFG_ACPI_TABLES = 0x8000, FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_IRQ0_OVERRIDE = 0x8002, FW_CFG_E820_TABLE = 0x8003,
    FW_CFG_HPET = 0x8004,
};

#define FW_CFG_PORT 0x510       /* where the PC has it */
#define FW_CFG_NAME_BYTES 56

typedef struct FwCfg FwCfg;

extern const DeviceType fw_cfg_io_type;

/* The machine's, or NULL; the device's region 0 goes to FW_CFG_PORT. */
FwCfg *fw_cfg_find(void);
FwCfg *fw_cfg_of(Device *dev);

/* Data is copied; a key that is there gets the new value. */
void fw_cfg_add_bytes(FwCfg *s, uint16_t key, const void *data, size_t len);
void fw_cfg_add_string(FwCfg *s, uint16_t key, const char *text);
void fw_cfg_add_u16(FwCfg *s, uint16_t key, uint16_t val);
void fw_cfg_add_u32(FwCfg *s, uint16_t key, uint32_t val);
void fw_cfg_add_u64(FwCfg *s, uint16_t key, uint64_t val);

/* An item whose bytes are fetched when the guest reads them: `len` bytes from
 * `at`, which are within the item.  False makes them zeros. */
typedef bool FwCfgRead(void *opaque, uint64_t at, void *buf, size_t len);
void fw_cfg_add_reader(FwCfg *s, uint16_t key, uint64_t len, FwCfgRead *read,
                       void *opaque);

/* False when the name is too long, taken, or all slots are. */
bool fw_cfg_add_file(FwCfg *s, const char *name, const void *data, size_t len,
                     GError **err);
/*
 * A file with callbacks, which may be NULL: `select` before the guest reads it,
 * so that it can be brought up to date by fw_cfg_set_file(); `written` after
 * the guest wrote to [at, at + len), when it is writable.
 */
typedef struct FwCfgFileOps {
    void (*select)(void *opaque);
    void (*written)(void *opaque, const uint8_t *data, size_t at, size_t len);
    bool writable;
} FwCfgFileOps;
bool fw_cfg_add_file_ops(FwCfg *s, const char *name, const void *data,
                         size_t len, const FwCfgFileOps *ops, void *opaque,
                         GError **err);
/* Replace a file's bytes; false when there is none such. */
bool fw_cfg_set_file(FwCfg *s, const char *name, const void *data,
                     size_t len);

/* -fw_cfg [name=]NAME,file=PATH|string=TEXT: checked now, given to the device
 * when it is realized. */
bool fw_cfg_add_option(Opt *dict, GError **err);

#endif
