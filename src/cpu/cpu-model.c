/*
 * CPU models: -cpu text to what a guest will be told.
 *
 * Spec:   QEMU's names of models and features.
 * Locks:  a model is constant once made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "models.h"

#include <stdio.h>

#include "base/log.h"
#include "base/opts.h"
#include "cpu/cpu.h"
#include "cpu/features.h"

/* --- names of features ---------------------------------------------------- */

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

/* --- models --------------------------------------------------------------- */

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
