/*
 * CPUID: models, -cpu text, and the leaves as a guest reads them.
 *
 * Spec:   Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.
 * Models: leaves 0-7, 0xA-0xB, 0xD, 0x15, 0x16, 0x1F, the hypervisor's, and
 *         0x80000000 to 0x8000001E.
 * Locks:  a model is constant once made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include <stdio.h>

#include "base/log.h"
#include "base/opts.h"
#include "cpu/features.h"
#include "cpu/lapic.h"
#include "models.h"

struct CpuModel {
    const ModelRow *row;
    char *vendor;               /* 12 letters, or NULL for the row's */
    char *model_id;
    unsigned family, model, stepping;
    uint32_t level, xlevel;
    uint32_t words[N_FEATURE_WORDS];
    const AccelOps *accel;
    bool hypervisor;
    uint8_t phys_bits;
};

/* --- names of features ------------------------------------------------------------- */

static const struct {
    unsigned feature;
    const char *name;
} features[] = {
#define FEATURE(id, word, bit, nm) { FEAT(word, bit), nm },
#include "cpu/features.def"
#undef FEATURE
};

const char *feature_name(unsigned feature)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (features[i].feature == feature) {
            return features[i].name;
        }
    }
    return NULL;
}

/* "sse4_1", "sse4-1" and "sse4.1" are one name. */
static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a == '_' || *a == '.' ? '-' : *a;
        char y = *b == '_' || *b == '.' ? '-' : *b;

        if (x != y) {
            return false;
        }
    }
    return *a == *b;
}

int feature_by_name(const char *name)
{
    static const struct {
        const char *other, *name;
    } synonyms[] = {
        { "sse3", "pni" }, { "i64", "lm" }, { "xd", "nx" },
        { "ffxsr", "fxsr-opt" }, { "lzcnt", "abm" }, { "sha", "sha-ni" },
        { "hypervisor", "hypervisor" }, { "cr8-legacy", "cr8legacy" },
        { "pclmuldq", "pclmulqdq" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(synonyms); i++) {
        if (same_name(synonyms[i].other, name)) {
            name = synonyms[i].name;
            break;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (same_name(features[i].name, name)) {
            return features[i].feature;
        }
    }
    return -1;
}

bool cpu_has(const X86Cpu *cpu, unsigned feature)
{
    return feat_has(cpu->model->words, feature);
}

unsigned cpu_phys_bits(const X86Cpu *cpu)
{
    return cpu->model->phys_bits;
}

const uint32_t *cpu_feature_words(const X86Cpu *cpu)
{
    return cpu->model->words;
}

/* --- models --------------------------------------------------------------------------- */

static const ModelRow *row_by_name(const char *name)
{
    for (const ModelRow *row = cpu_model_rows; row->name; row++) {
        if (!strcmp(row->name, name)) {
            return row;
        }
    }
    return NULL;
}

static void change_words(uint32_t *w, const char *names, bool set)
{
    g_auto(GStrv) list = g_strsplit(names, ",", -1);

    for (unsigned i = 0; list[i]; i++) {
        if (*list[i]) {
            int f = feature_by_name(list[i]);

            g_assert(f >= 0);
            w[f / 32] = set ? w[f / 32] | BIT(f % 32)
                            : w[f / 32] & ~BIT(f % 32);
        }
    }
}

/* Versions that are more than the model's name says: the names they stand
 * for. */
static const char *version_name(const char *name)
{
    static const struct {
        const char *version, *name;
    } rows[] = {
        { "Nehalem-v2", "Nehalem-IBRS" }, { "Westmere-v2", "Westmere-IBRS" },
        { "SandyBridge-v2", "SandyBridge-IBRS" },
        { "IvyBridge-v2", "IvyBridge-IBRS" },
        { "Haswell-v2", "Haswell-noTSX" }, { "Haswell-v3", "Haswell-IBRS" },
        { "Haswell-v4", "Haswell-noTSX-IBRS" },
        { "Broadwell-v2", "Broadwell-noTSX" },
        { "Broadwell-v3", "Broadwell-IBRS" },
        { "Broadwell-v4", "Broadwell-noTSX-IBRS" },
        { "Skylake-Client-v2", "Skylake-Client-IBRS" },
        { "Skylake-Client-v3", "Skylake-Client-noTSX-IBRS" },
        { "Skylake-Client-v4", "Skylake-Client-noTSX-IBRS" },
        { "Skylake-Server-v2", "Skylake-Server-IBRS" },
        { "Skylake-Server-v3", "Skylake-Server-noTSX-IBRS" },
        { "Skylake-Server-v4", "Skylake-Server-noTSX-IBRS" },
        { "Skylake-Server-v5", "Skylake-Server-noTSX-IBRS" },
        { "Cascadelake-Server-v3", "Cascadelake-Server-noTSX" },
        { "Cascadelake-Server-v4", "Cascadelake-Server-noTSX" },
        { "Cascadelake-Server-v5", "Cascadelake-Server-noTSX" },
        { "Icelake-Server-v2", "Icelake-Server-noTSX" },
        { "Icelake-Server-v3", "Icelake-Server-noTSX" },
        { "Icelake-Server-v4", "Icelake-Server-noTSX" },
        { "Icelake-Server-v5", "Icelake-Server-noTSX" },
        { "Icelake-Server-v6", "Icelake-Server-noTSX" },
        { "EPYC-v2", "EPYC-IBPB" }, { "EPYC-v3", "EPYC-IBPB" },
        { "EPYC-v4", "EPYC-IBPB" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!strcmp(rows[i].version, name)) {
            return rows[i].name;
        }
    }
    return name;
}

/* What the suffix of a name changes in the model that it is cut off. */
static void apply_suffixes(const char *name, const ModelRow *row, uint32_t *w)
{
    const char *rest = version_name(name);

    if (!g_str_has_prefix(rest, row->name)) {
        return;
    }
    rest += strlen(row->name);
    if (strstr(rest, "-noTSX")) {
        change_words(w, "hle,rtm", false);
    }
    if (strstr(rest, "-IBRS")) {
        change_words(w, "spec-ctrl", true);
    }
    if (strstr(rest, "-IBPB")) {
        change_words(w, "ibpb", true);
    }
}

/* "Haswell-v4", "EPYC-IBPB", "Nehalem-x86_64-cpu": the model itself. */
static const ModelRow *row_find(const char *name)
{
    g_autofree char *base = g_strdup(version_name(name));
    char *dash;

    if (!strcmp(name, "host")) {
        return row_by_name("max");
    }
    if (g_str_has_suffix(base, "-x86_64-cpu")) {
        base[strlen(base) - strlen("-x86_64-cpu")] = '\0';
    }
    while (!row_by_name(base)) {
        dash = strrchr(base, '-');
        if (!dash || (strcmp(dash, "-IBRS") && strcmp(dash, "-IBPB")
                      && strcmp(dash, "-noTSX")
                      && !(dash[1] == 'v' && g_ascii_isdigit(dash[2])))) {
            return NULL;
        }
        *dash = '\0';
    }
    return row_by_name(base);
}

static void row_words(const ModelRow *row, uint32_t *w)
{
    if (row->parent) {
        row_words(row_by_name(row->parent), w);
    }
    change_words(w, row->add, true);
    change_words(w, row->drop, false);
}

/* Names of what is in `a` and not in `b`. */
static char *missing_names(const uint32_t *a, const uint32_t *b)
{
    GString *out = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        unsigned f = features[i].feature;

        if (feat_has(a, f) && !feat_has(b, f)) {
            g_string_append_printf(out, "%s%s", out->len ? " " : "",
                                   features[i].name);
        }
    }
    return g_string_free(out, FALSE);
}

/* What an accelerator can always give, whatever the model's name. */
static void mask_to_accel(CpuModel *m, const uint32_t *asked, bool explain,
                          bool enforce, bool *lacking)
{
    static bool told;
    uint32_t have[N_FEATURE_WORDS] = { 0 };
    g_autofree char *missing = NULL;

    m->accel->features(have);
    missing = missing_names(asked, have);
    *lacking = *missing && enforce;
    if (*missing && explain && !told) {
        warn("-cpu %s: not available with this accelerator and "
             "host, left out: %s", m->row->name, missing);
        told = true;
    }
    for (unsigned i = 0; i < N_FEATURE_WORDS; i++) {
        m->words[i] &= have[i];
    }
}

static bool bad_cpu(GError **err, const char *text, const char *what)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "-cpu %s: %s", text, what);
    return false;
}

static bool parse_number(const char *val, uint64_t max, uint64_t *out)
{
    return parse_uint(val, out) && *out <= max;
}

/* Properties of the processor that are not feature bits. */
static bool set_other(CpuModel *m, const char *key, const char *val,
                      bool *known, bool *check, bool *enforce)
{
    static const char *const ignored[] = {
        "kvm", "migratable", "pmu", "l3-cache", "host-cache-info",
        "fill-mtrr-mask", "min-level", "min-xlevel", "cpuid-0xb",
        "full-cpuid-auto-level", "lmce", "tcg-cpuid", "vmware-cpuid-freq",
        "hv-passthrough", "legacy-cache", NULL
    };
    uint64_t n;

    *known = true;
    if (!strcmp(key, "check")) {
        return parse_bool(val, check);
    } else if (!strcmp(key, "enforce")) {
        return parse_bool(val, enforce);
    } else if (!strcmp(key, "vendor")) {
        m->vendor = g_strdup(val);
        return strlen(val) == 12;
    } else if (!strcmp(key, "model-id") || !strcmp(key, "model_id")) {
        g_free(m->model_id);
        m->model_id = g_strdup(val);
        return true;
    } else if (!strcmp(key, "family")) {
        return parse_number(val, 0xff + 0xf, &n) && (m->family = n, true);
    } else if (!strcmp(key, "model")) {
        return parse_number(val, 0xff, &n) && (m->model = n, true);
    } else if (!strcmp(key, "stepping")) {
        return parse_number(val, 0xf, &n) && (m->stepping = n, true);
    } else if (!strcmp(key, "level")) {
        return parse_number(val, UINT32_MAX, &n) && (m->level = n, true);
    } else if (!strcmp(key, "xlevel")) {
        return parse_number(val, UINT32_MAX, &n) && (m->xlevel = n, true);
    } else if (!strcmp(key, "phys-bits")) {
        return parse_number(val, 52, &n) && n >= 32
               && (m->phys_bits = n, true);
    } else if (!strcmp(key, "host-phys-bits")
               || !strcmp(key, "host-phys-bits-limit")
               || !strcmp(key, "tsc-frequency")
               || g_str_has_prefix(key, "hv-")
               || g_str_has_prefix(key, "hv_")
               || g_strv_contains(ignored, key)) {
        return true;
    }
    *known = false;
    return false;
}

static bool unknown_feature(GError **err, const char *text, const char *name)
{
    const char *known[G_N_ELEMENTS(features) + 1] = { NULL };
    const char *near;
    g_autofree char *what = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        known[i] = features[i].name;
    }
    near = nearest_name(name, known);
    what = g_strdup_printf("unknown feature '%s'%s%s%s", name,
                           near ? "; did you mean '" : "", near ? near : "",
                           near ? "'?" : "");
    return bad_cpu(err, text, what);
}

/* One of "+feat", "-feat", "feat", "feat=on", "key=value". */
static bool apply_item(CpuModel *m, const char *text, const char *item,
                       uint32_t *asked, bool *check, bool *enforce,
                       GError **err)
{
    const char *eq = strchr(item, '=');
    g_autofree char *name = NULL;
    const char *val = eq ? eq + 1 : "on";
    bool on = true, known;
    int f;

    if (*item == '+' || *item == '-') {
        on = *item == '+';
        name = g_strdup(item + 1);
    } else {
        name = eq ? g_strndup(item, eq - item) : g_strdup(item);
    }
    f = feature_by_name(name);
    if (f < 0) {
        if (!set_other(m, name, val, &known, check, enforce)) {
            g_autofree char *what = g_strdup_printf(
                "'%s' cannot be '%s'", name, val);

            return known ? bad_cpu(err, text, what)
                         : unknown_feature(err, text, name);
        }
        return true;
    }
    if (eq && !parse_bool(val, &on)) {
        g_autofree char *what = g_strdup_printf(
            "feature '%s' cannot be '%s': on or off is wanted", name, val);

        return bad_cpu(err, text, what);
    }
    m->words[f / 32] = on ? m->words[f / 32] | BIT(f % 32)
                          : m->words[f / 32] & ~BIT(f % 32);
    asked[f / 32] = on ? asked[f / 32] | BIT(f % 32)
                       : asked[f / 32] & ~BIT(f % 32);
    if (f == FEAT_HYPERVISOR) {
        m->hypervisor = on;
    }
    return true;
}

static bool unknown_model(GError **err, const char *name)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    const char *near;

    for (const ModelRow *row = cpu_model_rows; row->name; row++) {
        g_ptr_array_add(known, (gpointer)row->name);
    }
    g_ptr_array_add(known, (gpointer) "host");
    g_ptr_array_add(known, NULL);
    near = nearest_name(name, (const char *const *)known->pdata);
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "unable to find CPU model '%s'%s%s%s", name,
                near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
    return false;
}

/* "max" and "host" where guests run on a processor: that one's name, for
 * kernels choose by it which flaws to work around. */
static void take_identity(CpuModel *m)
{
    uint32_t r[4];
    char text[49] = "";

    m->accel->host_cpuid(0, 0, r);
    m->level = r[0];
    store_le32(text, r[1]);
    store_le32(text + 4, r[3]);
    store_le32(text + 8, r[2]);
    m->vendor = g_strdup(text);
    m->accel->host_cpuid(1, 0, r);
    m->stepping = r[0] & 0xf;
    m->family = r[0] >> 8 & 0xf;
    m->model = r[0] >> 4 & 0xf;
    if (m->family == 0xf || m->family == 6) {
        m->model |= r[0] >> 12 & 0xf0;
    }
    m->family += m->family == 0xf ? r[0] >> 20 & 0xff : 0;
    m->accel->host_cpuid(0x80000000, 0, r);
    m->xlevel = r[0];
    for (unsigned i = 0; i < 3 && r[0] >= 0x80000004; i++) {
        uint32_t part[4];

        m->accel->host_cpuid(0x80000002 + i, 0, part);
        memcpy(text + 16 * i, part, 16);
    }
    g_free(m->model_id);
    m->model_id = g_strdup(g_strchug(text));
    if (r[0] >= 0x80000008) {
        m->accel->host_cpuid(0x80000008, 0, r);
        m->phys_bits = CLAMP(r[0] & 0xff, 32, 52);
    }
}

/* What a hypervisor gives whatever the model's name. */
static void add_hypervisor_features(CpuModel *m)
{
    static const uint16_t usual[] = {
        FEAT_KVMCLOCK, FEAT_KVM_NOPIODELAY, FEAT_KVMCLOCK2, FEAT_KVM_ASYNCPF,
        FEAT_KVM_STEAL_TIME, FEAT_KVM_PV_EOI, FEAT_KVMCLOCK_STABLE_BIT,
        FEAT_X2APIC,
    };
    uint32_t have[N_FEATURE_WORDS] = { 0 };

    m->accel->features(have);
    for (unsigned i = 0; i < G_N_ELEMENTS(usual); i++) {
        unsigned f = usual[i];

        if (feat_has(have, f)) {
            m->words[f / 32] |= BIT(f % 32);
        }
    }
}

CpuModel *cpu_model_new(const char *text, const AccelOps *ops, GError **err)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    const ModelRow *row = items[0] ? row_find(items[0]) : NULL;
    uint32_t asked[N_FEATURE_WORDS] = { 0 };
    bool check = true, enforce = false, lacking, all;
    CpuModel *m;

    if (!row) {
        unknown_model(err, items[0] ? items[0] : "");
        return NULL;
    }
    m = g_new0(CpuModel, 1);
    *m = (CpuModel) {
        .row = row, .model_id = g_strdup(row->model_id),
        .family = row->family, .model = row->model,
        .stepping = row->stepping, .level = row->level,
        .xlevel = row->xlevel, .accel = ops, .hypervisor = true,
        .phys_bits = 40,
    };
    all = !strcmp(row->name, "max");
    if (all) {
        ops->features(m->words);
        /* Left to those who ask: a kernel would use 5-level paging. */
        m->words[FEAT_LA57 / 32] &= ~BIT(FEAT_LA57 % 32);
        /* With MWAIT a kernel's idle loop polls, and others write to it in
         * place of sending an interrupt: HLT wakes sooner. */
        m->words[FEAT_MONITOR / 32] &= ~BIT(FEAT_MONITOR % 32);
        if (ops->host_cpuid) {
            take_identity(m);
        }
    } else {
        row_words(row, m->words);
        apply_suffixes(items[0], row, m->words);
        memcpy(asked, m->words, sizeof(asked));
        /* SVM is named by the model for KVM's sake; QEMU's TCG has it too. */
        asked[FEAT_SVM / 32] &= ~BIT(FEAT_SVM % 32);
    }
    if (ops->host_cpuid) {
        add_hypervisor_features(m);
    }
    for (unsigned i = 1; items[i]; i++) {
        if (!apply_item(m, text, items[i], asked, &check, &enforce, err)) {
            cpu_model_free(m);
            return NULL;
        }
    }
    /* There is no processor with INVPCID alone. */
    if (!feat_has(m->words, FEAT_PCID)) {
        m->words[FEAT_INVPCID / 32] &= ~BIT(FEAT_INVPCID % 32);
    }
    mask_to_accel(m, asked, check || enforce, enforce, &lacking);
    if (lacking) {
        bad_cpu(err, text, "enforce: features are missing");
        cpu_model_free(m);
        return NULL;
    }
    return m;
}

void cpu_model_free(CpuModel *m)
{
    if (m) {
        g_free(m->vendor);
        g_free(m->model_id);
        g_free(m);
    }
}

void cpu_model_list(void)
{
    printf("Available CPUs:\n");
    for (const ModelRow *row = cpu_model_rows; row->name; row++) {
        printf("  %-28s %s\n", row->name,
               !strcmp(row->name, "max")
               ? "Enables all features supported by the accelerator"
               : row->model_id);
    }
    printf("  %-28s %s\n", "host",
           "the host's CPU with KVM; 'max' under the emulator");
    printf("\nRecognized CPUID flags:\n ");
    for (unsigned i = 0, col = 1; i < G_N_ELEMENTS(features); i++) {
        unsigned len = strlen(features[i].name) + 1;

        if (col + len > 78) {
            printf("\n ");
            col = 1;
        }
        printf(" %s", features[i].name);
        col += len;
    }
    printf("\n");
}

/* --- leaves ------------------------------------------------------------------------------- */

static const char *vendor_text(const CpuModel *m)
{
    if (m->vendor) {
        return m->vendor;
    }
    return m->row->vendor == VENDOR_AMD ? "AuthenticAMD"
           : m->row->vendor == VENDOR_HYGON ? "HygonGenuine" : "GenuineIntel";
}

static bool is_amd(const CpuModel *m)
{
    return !strcmp(vendor_text(m), "AuthenticAMD")
           || !strcmp(vendor_text(m), "HygonGenuine");
}

static void leaf_vendor(const CpuModel *m, uint32_t max, uint32_t r[4])
{
    const char *v = vendor_text(m);

    r[0] = max;
    r[1] = load_le32(v);
    r[3] = load_le32(v + 4);
    r[2] = load_le32(v + 8);
}

static uint32_t signature(const CpuModel *m)
{
    unsigned family = MIN(m->family, 0xfu), ext = m->family - family;

    return m->stepping | (m->model & 0xf) << 4 | family << 8
           | (uint32_t)(m->model >> 4) << 16 | ext << 20;
}

static unsigned log2_up(unsigned n)
{
    return n > 1 ? g_bit_storage(n - 1) : 0;
}

static const CpuTopology *topo(void)
{
    static const CpuTopology one = { 1, 1, 1, 1, 1, 1 };

    return machine() ? &machine()->topo : &one;
}

static unsigned per_socket(void)
{
    return topo()->dies * topo()->cores * topo()->threads;
}

static void leaf_1(X86Cpu *cpu, uint32_t r[4])
{
    const CpuModel *m = cpu->model;
    const X86State *s = cpu->state;

    r[0] = signature(m);
    r[1] = cpu->apic_id << 24 | per_socket() << 16 | 8 << 8;
    r[2] = m->words[FW_1_ECX] & ~(BIT(27) | BIT(31));
    r[3] = m->words[FW_1_EDX];
    if (m->hypervisor) {
        r[2] |= BIT(31);
    }
    if (s->cr4 & CR4_OSXSAVE) {
        r[2] |= BIT(27);
    }
    if (cpu->apic && !lapic_enabled(cpu->apic)) {
        r[3] &= ~BIT(9);
    }
    if (per_socket() > 1) {
        r[3] |= BIT(28);
    }
}

typedef struct {
    uint32_t size_bytes, ways, sets;
    uint8_t type, level;        /* 1 data, 2 instruction, 3 unified */
    bool shared;                /* by a socket, else by a core */
} Cache;

static const Cache caches[] = {
    { 32 * 1024, 8, 64, 1, 1, false },
    { 32 * 1024, 8, 64, 2, 1, false },
    { 2 * 1024 * 1024, 16, 2048, 3, 2, false },
    { 16 * 1024 * 1024, 16, 16384, 3, 3, true },
};

/* Leaf 4 (Intel) and 0x8000001D (AMD) have the same shape. */
static void leaf_cache(uint32_t subleaf, bool intel, uint32_t r[4])
{
    const Cache *c;
    unsigned sharing;

    if (subleaf >= G_N_ELEMENTS(caches)) {
        return;
    }
    c = &caches[subleaf];
    sharing = c->shared ? 1u << log2_up(per_socket())
                        : 1u << log2_up(topo()->threads);
    r[0] = c->type | c->level << 5 | 1 << 8 | (sharing - 1) << 14;
    if (intel) {
        r[0] |= ((1u << log2_up(topo()->cores * topo()->dies)) - 1) << 26;
    }
    r[1] = 63 | (c->ways - 1) << 22;
    r[2] = c->sets - 1;
    r[3] = c->level == 3 ? 2 : 1;
}

static void leaf_topology(X86Cpu *cpu, uint32_t subleaf, uint32_t r[4])
{
    unsigned smt = log2_up(topo()->threads);
    unsigned core = log2_up(topo()->cores) + log2_up(topo()->dies);

    r[2] = subleaf & 0xff;
    r[3] = cpu->apic_id;
    if (subleaf == 0) {
        r[0] = smt;
        r[1] = topo()->threads;
        r[2] |= 1 << 8;
    } else if (subleaf == 1) {
        r[0] = smt + core;
        r[1] = per_socket();
        r[2] |= 2 << 8;
    }
}

/* Extended state components: SDM 1, 13.1; standard offsets as Intel's. */
typedef struct {
    unsigned bit, size_bytes, offset;
    bool supervisor;
} XComponent;

static const XComponent xcomponents[] = {
    { 2, 256, 576, false },     /* AVX: upper halves of YMM */
    { 5, 64, 1088, false },     /* AVX-512: mask registers */
    { 6, 512, 1152, false },    /* upper halves of ZMM0 to ZMM15 */
    { 7, 1024, 1664, false },   /* ZMM16 to ZMM31 */
    { 9, 8, 2688, false },      /* PKRU */
};

uint64_t cpu_xcr0_supported(const X86Cpu *cpu)
{
    uint64_t mask = 0;

    if (cpu_has(cpu, FEAT_XSAVE)) {
        mask = XCR0_X87 | XCR0_SSE;
        mask |= cpu_has(cpu, FEAT_AVX) ? XCR0_AVX : 0;
        mask |= cpu_has(cpu, FEAT_AVX512F) ? XCR0_AVX512 : 0;
        mask |= cpu_has(cpu, FEAT_PKU) ? XCR0_PKRU : 0;
    }
    return mask;
}

static uint32_t xsave_bytes(uint64_t mask, bool compact)
{
    uint32_t end = 576;

    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        const XComponent *c = &xcomponents[i];

        if (mask & BIT64(c->bit)) {
            end = compact ? end + c->size_bytes : c->offset + c->size_bytes;
        }
    }
    return end;
}

static void leaf_xsave(X86Cpu *cpu, uint32_t subleaf, uint32_t r[4])
{
    uint64_t mask = cpu_xcr0_supported(cpu);

    if (!mask) {
        return;
    }
    if (subleaf == 0) {
        r[0] = mask;
        r[3] = mask >> 32;
        r[1] = xsave_bytes(cpu->state->xcr0, false);
        r[2] = xsave_bytes(mask, false);
    } else if (subleaf == 1) {
        r[0] = cpu->model->words[FW_D_1_EAX];
        if (r[0] & 2) {
            r[1] = xsave_bytes(cpu->state->xcr0 | cpu->state->ia32_xss, true);
        }
    } else {
        for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
            if (subleaf == xcomponents[i].bit && (mask & BIT64(subleaf))) {
                r[0] = xcomponents[i].size_bytes;
                r[1] = xcomponents[i].offset;
                r[2] = xcomponents[i].supervisor;
            }
        }
    }
}

static void leaf_hypervisor(const CpuModel *m, uint32_t leaf, uint32_t r[4])
{
    const char *sign = !strcmp(m->accel->name, "kvm") ? "KVMKVMKVM\0\0\0"
                                                      : "TCGTCGTCGTCG";

    switch (leaf) {
    case 0x40000000:
        r[0] = 0x40000010;
        r[1] = load_le32(sign);
        r[2] = load_le32(sign + 4);
        r[3] = load_le32(sign + 8);
        break;
    case 0x40000001:
        r[0] = m->words[FW_KVM_EAX];
        break;
    case 0x40000010:            /* frequencies in kHz: TSC and APIC bus */
        r[0] = cpu_tsc_hz() / 1000;
        r[1] = 1000000;
        break;
    }
}

static void leaf_brand(const CpuModel *m, uint32_t leaf, uint32_t r[4])
{
    char text[48] = { 0 };

    strncpy(text, m->model_id, sizeof(text) - 1);
    for (unsigned i = 0; i < 4; i++) {
        r[i] = load_le32(text + (leaf - 0x80000002) * 16 + i * 4);
    }
}

static void leaf_extended(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf,
                          uint32_t r[4])
{
    const CpuModel *m = cpu->model;
    /* What an AMD processor repeats from leaf 1 EDX in 0x80000001 EDX. */
    const uint32_t repeated = 0x0183f3ff;

    switch (leaf) {
    case 0x80000000:
        leaf_vendor(m, m->xlevel, r);
        break;
    case 0x80000001:
        r[0] = signature(m);
        r[2] = m->words[FW_80000001_ECX];
        r[3] = m->words[FW_80000001_EDX];
        if (is_amd(m)) {
            r[3] |= m->words[FW_1_EDX] & repeated;
            r[2] |= per_socket() > 1 ? BIT(1) : 0;
        }
        break;
    case 0x80000002 ... 0x80000004:
        leaf_brand(m, leaf, r);
        break;
    case 0x80000005:
        if (is_amd(m)) {
            r[0] = 0x01ff01ff;
            r[1] = 0x01ff01ff;
            r[2] = r[3] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
        }
        break;
    case 0x80000006:
        r[2] = 2048u << 16 | 8 << 12 | 1 << 8 | 64;
        if (is_amd(m)) {
            r[1] = 0x42004200;
            r[3] = 32u << 18 | 8 << 12 | 1 << 8 | 64;
        }
        break;
    case 0x80000007:
        r[3] = m->words[FW_80000007_EDX];
        break;
    case 0x80000008:
        r[0] = m->phys_bits | (cpu_has(cpu, FEAT_LA57) ? 57 : 48) << 8;
        if (!cpu_has(cpu, FEAT_LM)) {
            r[0] = (cpu_has(cpu, FEAT_PSE36) ? 36 : 32) | 32 << 8;
        }
        r[1] = m->words[FW_80000008_EBX];
        if (per_socket() > 1) {
            r[2] = log2_up(per_socket()) << 12 | (per_socket() - 1);
        }
        break;
    case 0x8000001d:
        if (cpu_has(cpu, FEAT_TOPOEXT)) {
            leaf_cache(subleaf, false, r);
        }
        break;
    case 0x8000001e:
        if (cpu_has(cpu, FEAT_TOPOEXT)) {
            r[0] = cpu->apic_id;
            r[1] = cpu->apic_id / topo()->threads | (topo()->threads - 1) << 8;
        }
        break;
    }
}

void cpu_cpuid(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    memset(r, 0, 4 * sizeof(r[0]));
    if (leaf >= 0x40000000 && leaf < 0x40000100) {
        if (m->hypervisor) {
            leaf_hypervisor(m, leaf, r);
        }
        return;
    }
    if (leaf & 0x80000000) {
        if (leaf <= m->xlevel) {
            leaf_extended(cpu, leaf, subleaf, r);
            return;
        }
        leaf = m->level;        /* beyond the end: the last basic leaf */
    }
    if (leaf > m->level) {
        leaf = m->level;
    }
    switch (leaf) {
    case 0:
        leaf_vendor(m, m->level, r);
        break;
    case 1:
        leaf_1(cpu, r);
        break;
    case 2:
        if (!is_amd(m)) {
            r[0] = 0x00feff01;  /* see leaf 4; TLBs in leaf 0x18 */
        }
        break;
    case 4:
        if (!is_amd(m)) {
            leaf_cache(subleaf, true, r);
        }
        break;
    case 5:
        if (cpu_has(cpu, FEAT_MONITOR)) {
            r[0] = r[1] = 64;
            r[2] = 3;
        }
        break;
    case 6:
        r[0] = m->words[FW_6_EAX];
        break;
    case 7:
        if (subleaf == 0) {
            r[0] = m->words[FW_7_2_EDX] ? 2 : m->words[FW_7_1_EAX] ? 1 : 0;
            r[1] = m->words[FW_7_0_EBX];
            r[2] = m->words[FW_7_0_ECX] & ~BIT(4);
            r[3] = m->words[FW_7_0_EDX];
            r[2] |= cpu->state->cr4 & CR4_PKE ? BIT(4) : 0;
        } else if (subleaf == 1) {
            r[0] = m->words[FW_7_1_EAX];
        } else if (subleaf == 2) {
            r[3] = m->words[FW_7_2_EDX];
        }
        break;
    case 0xb:
    case 0x1f:
        leaf_topology(cpu, subleaf, r);
        break;
    case 0xd:
        leaf_xsave(cpu, subleaf, r);
        break;
    case 0x15:
        if (!is_amd(m) && cpu_tsc_hz() <= UINT32_MAX) {
            r[0] = r[1] = 1;    /* TSC over crystal */
            r[2] = cpu_tsc_hz();
        }
        break;
    case 0x16:
        r[0] = r[1] = MIN(cpu_tsc_hz() / 1000000, UINT16_MAX);
        r[2] = 100;
        break;
    }
}
