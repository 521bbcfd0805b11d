/*
 * Address spaces and flat views.
 *
 * Flattening walks the tree from the highest priority down and gives each
 * region what is still free of its window, so that nothing is sorted out
 * afterwards.  Addresses are 128 bits wide while they are being clipped,
 * because a root may span all 2^64 bytes and an alias may start below its
 * target.
 *
 * Locks: machine lock, but as_view() and view_find() need none (QSBR).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/mem.h"

#include "base/qsbr.h"
#include "loop/loop.h"
#include "private.h"

typedef __int128 Addr;

static unsigned depth;          /* of mem_begin() */
static bool changed;
static GPtrArray *spaces;       /* of AddressSpace * */

AddressSpace as_memory, as_io, as_smm;

/* --- flattening ------------------------------------------------------------ */

static Addr region_span(const Region *r)
{
    return r->size_bytes == UINT64_MAX ? (Addr)1 << 64 : (Addr)r->size_bytes;
}

/* The index of the first range of `out` that ends after `at`. */
static unsigned range_after(const GArray *out, Addr at)
{
    unsigned lo = 0, hi = out->len;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const FlatRange *f = &g_array_index(out, FlatRange, mid);

        if ((Addr)f->start + f->size_bytes > at) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

/* Give `r` whatever is free of [start, end); its offset 0 is at `base`. */
static void fill_gaps(GArray *out, Region *r, Addr base, Addr start, Addr end,
                      bool readonly)
{
    unsigned i = range_after(out, start);

    while (start < end) {
        Addr stop = end;

        if (i < out->len) {
            const FlatRange *f = &g_array_index(out, FlatRange, i);

            if (f->start <= start) {
                start = (Addr)f->start + f->size_bytes;
                i++;
                continue;
            }
            stop = MIN(end, (Addr)f->start);
        }
        FlatRange f = {
            .start = start, .size_bytes = stop - start, .region = r,
            .offset = start - base, .readonly = readonly,
        };
        g_array_insert_val(out, i, f);
        i++;
        start = stop;
    }
}

/* `nesting` stops a cycle of aliases, which only our own bug could make. */
static void render(GArray *out, Region *r, Addr base, Addr start, Addr end,
                   bool readonly, unsigned nesting)
{
    if (!r->enabled) {
        return;
    }
    start = MAX(start, base);
    end = MIN(end, base + region_span(r));
    if (start >= end) {
        return;
    }
    g_assert(nesting < 32);
    readonly |= r->readonly;
    switch (r->kind) {
    case REGION_CONTAINER:
        for (unsigned i = 0; i < r->children->len; i++) {
            Region *child = g_ptr_array_index(r->children, i);

            render(out, child, base + child->at, start, end, readonly,
                   nesting + 1);
        }
        break;
    case REGION_ALIAS:
        render(out, r->alias, base - (Addr)r->alias_offset, start, end,
               readonly, nesting + 1);
        break;
    case REGION_ROM:
        readonly = true;
        /* fall through */
    case REGION_RAM:
    case REGION_IO:
        fill_gaps(out, r, base, start, end, readonly);
        break;
    }
}

static bool can_merge(const FlatRange *a, const FlatRange *b)
{
    return a->region == b->region && a->readonly == b->readonly
           && a->start + a->size_bytes == b->start
           && a->offset + a->size_bytes == b->offset;
}

FlatView *view_new(Region *root)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    FlatView *view = g_new0(FlatView, 1);
    unsigned n = 0;

    if (root) {
        render(out, root, 0, 0, (Addr)1 << 64, false, 0);
    }
    for (unsigned i = 0; i < out->len; i++) {
        FlatRange *f = &g_array_index(out, FlatRange, i);
        FlatRange *last = n ? &g_array_index(out, FlatRange, n - 1) : NULL;

        if (last && can_merge(last, f)) {
            last->size_bytes += f->size_bytes;
        } else {
            g_array_index(out, FlatRange, n++) = *f;
        }
    }
    view->n_ranges = n;
    view->ranges = (FlatRange *)g_array_free(out, FALSE);
    for (unsigned i = 0; i < n; i++) {
        view->ranges[i].ram = view->ranges[i].region->ram;
        if (view->ranges[i].ram) {
            ram_ref(view->ranges[i].ram);
        }
    }
    return view;
}

void view_free(gpointer opaque)
{
    FlatView *view = opaque;

    for (unsigned i = 0; i < view->n_ranges; i++) {
        if (view->ranges[i].ram) {
            ram_unref(view->ranges[i].ram);
        }
    }
    g_free(view->ranges);
    g_free(view);
}

const FlatView *as_view(AddressSpace *as)
{
    return __atomic_load_n(&as->view, __ATOMIC_ACQUIRE);
}

const FlatRange *view_find(const FlatView *view, hwaddr gpa)
{
    unsigned lo = 0, hi = view->n_ranges;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const FlatRange *f = &view->ranges[mid];

        if (gpa < f->start) {
            hi = mid;
        } else if (gpa - f->start >= f->size_bytes) {
            lo = mid + 1;
        } else {
            return f;
        }
    }
    return NULL;
}

/* --- commits ---------------------------------------------------------------- */

static bool range_same(const FlatRange *a, const FlatRange *b)
{
    return a->start == b->start && a->size_bytes == b->size_bytes
           && a->region == b->region && a->offset == b->offset
           && a->ram == b->ram && a->readonly == b->readonly;
}

static bool view_same(const FlatView *a, const FlatView *b)
{
    if (a->n_ranges != b->n_ranges) {
        return false;
    }
    for (unsigned i = 0; i < a->n_ranges; i++) {
        if (!range_same(&a->ranges[i], &b->ranges[i])) {
            return false;
        }
    }
    return true;
}

static bool view_has(const FlatView *view, const FlatRange *want)
{
    const FlatRange *f = view_find(view, want->start);

    return f && range_same(f, want);
}

/* Tell `l` what is in `view` and not in `other`. */
static unsigned tell(MemListener *l, const FlatView *view,
                     const FlatView *other, bool add)
{
    void (*fn)(MemListener *, const FlatRange *) = add ? l->add : l->del;
    unsigned n = 0;

    for (unsigned i = 0; i < view->n_ranges; i++) {
        if (!other || !view_has(other, &view->ranges[i])) {
            n++;
            if (fn) {
                fn(l, &view->ranges[i]);
            }
        }
    }
    return n;
}

static void as_update(AddressSpace *as)
{
    FlatView *old = as->view, *new = view_new(as->root);

    if (view_same(old, new)) {
        /* The change was in another space.  Who keeps pointers into the view
         * until a listener tells of a change must not lose it. */
        view_free(new);
        return;
    }
    __atomic_store_n(&as->view, new, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < as->listeners->len; i++) {
        MemListener *l = g_ptr_array_index(as->listeners, i);
        unsigned n = tell(l, old, new, false);

        n += tell(l, new, old, true);
        if (n && l->commit) {
            l->commit(l);
        }
    }
    qsbr_defer(view_free, old);
}

void mem_begin(void)
{
    depth++;
}

void mem_commit(void)
{
    g_assert(depth);
    if (--depth || !changed) {
        return;
    }
    changed = false;
    for (unsigned i = 0; spaces && i < spaces->len; i++) {
        as_update(g_ptr_array_index(spaces, i));
    }
}

void mem_changed(void)
{
    mem_begin();
    changed = true;
    mem_commit();
}

/* --- address spaces --------------------------------------------------------- */

void as_init(AddressSpace *as, Region *root, const char *name)
{
    *as = (AddressSpace) {
        .name = name, .root = root, .view = view_new(root),
        .listeners = g_ptr_array_new(),
    };
    if (!spaces) {
        spaces = g_ptr_array_new();
    }
    g_ptr_array_add(spaces, as);
}

void as_destroy(AddressSpace *as)
{
    as->root = NULL;
    as_update(as);
    g_ptr_array_remove(spaces, as);
    qsbr_defer(view_free, as->view);
    g_ptr_array_free(as->listeners, TRUE);
    *as = (AddressSpace) {};
}

Region *mem_root(void)
{
    static Region root;

    if (!as_memory.root) {
        region_init_container(&root, NULL, "system", UINT64_MAX);
        as_init(&as_memory, &root, "memory");
    }
    return &root;
}

Region *io_root(void)
{
    static Region root;

    if (!as_io.root) {
        region_init_container(&root, NULL, "io", 65536);
        as_init(&as_io, &root, "I/O");
    }
    return &root;
}

Region *smm_root(void)
{
    static Region root, below;

    if (!as_smm.root) {
        region_init_container(&root, NULL, "system-smm", UINT64_MAX);
        region_init_alias(&below, NULL, "system", mem_root(), 0, UINT64_MAX);
        region_map(&root, 0, &below, 0);
        as_init(&as_smm, &root, "memory-smm");
    }
    return &root;
}

__attribute__((constructor)) static void roots_init(void)
{
    mem_root();
    io_root();
}

void as_add_listener(AddressSpace *as, MemListener *l)
{
    g_ptr_array_add(as->listeners, l);
    if (tell(l, as->view, NULL, true) && l->commit) {
        l->commit(l);
    }
}

void as_remove_listener(AddressSpace *as, MemListener *l)
{
    g_ptr_array_remove(as->listeners, l);
}

/* --- info mtree -------------------------------------------------------------- */

static const char *kind_name(const Region *r, bool readonly)
{
    switch (r->kind) {
    case REGION_CONTAINER: return "container";
    case REGION_IO:        return "i/o";
    case REGION_ALIAS:     return "alias";
    case REGION_ROM:       return "rom";
    case REGION_RAM:       return readonly ? "rom" : "ram";
    }
    return "?";
}

static void print_tree(const Region *r, hwaddr base, unsigned indent,
                       GString *out)
{
    uint64_t last = base + (r->size_bytes ? r->size_bytes - 1 : 0);

    if (r->size_bytes == UINT64_MAX) {
        last = UINT64_MAX;
    }
    g_string_append_printf(out, "%*s%016" PRIx64 "-%016" PRIx64
                           " (prio %d, %s): ", (int)indent, "", base, last,
                           r->priority, kind_name(r, r->readonly));
    if (r->kind == REGION_ALIAS) {
        g_string_append_printf(out, "alias %s @%s %016" PRIx64, r->name,
                               r->alias->name, r->alias_offset);
    } else {
        g_string_append(out, r->name);
    }
    g_string_append_printf(out, "%s\n", r->enabled ? "" : " [disabled]");
    for (unsigned i = 0; r->children && i < r->children->len; i++) {
        const Region *child = g_ptr_array_index(r->children, i);

        print_tree(child, base + child->at, indent + 2, out);
    }
}

static void print_flat(const FlatView *view, GString *out)
{
    for (unsigned i = 0; i < view->n_ranges; i++) {
        const FlatRange *f = &view->ranges[i];

        g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64
                               " (prio %d, %s): %s", f->start,
                               f->start + f->size_bytes - 1,
                               f->region->priority,
                               kind_name(f->region, f->readonly),
                               f->region->name);
        if (f->offset) {
            g_string_append_printf(out, " @%016" PRIx64, f->offset);
        }
        g_string_append_c(out, '\n');
    }
}

void mem_print(GString *out, bool flat)
{
    for (unsigned i = 0; spaces && i < spaces->len; i++) {
        AddressSpace *as = g_ptr_array_index(spaces, i);

        if (flat) {
            g_string_append_printf(out, "FlatView of %s\n", as->name);
            print_flat(as->view, out);
        } else {
            g_string_append_printf(out, "address-space: %s\n", as->name);
            print_tree(as->root, 0, 2, out);
        }
        g_string_append_c(out, '\n');
    }
}
