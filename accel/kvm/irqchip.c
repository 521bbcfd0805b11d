/*
 * KVM's interrupt chips: lines, messages, routes, and their state in the form
 * of core/irqchip.h.
 *
 * GSIs 0 to 15 reach the 8259 input and the IOAPIC pin of that number, but
 * that 0, the timer's, is pin 2, as the MADT tells; 16 to 23 reach IOAPIC pins
 * alone; messages have GSIs from 24 on.  With our IOAPIC (split), KVM learns
 * its entries as routes 0 to 23, by which it knows whose EOI to report.
 *
 * Spec:  Documentation/virt/kvm/api.rst: 4.24 to 4.27, 4.52, 4.71, 4.75.
 * Locks: machine lock; messages from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "core/msi-fd.h"
#include "loop/timer.h"

enum { FIRST_MSI_GSI = IOAPIC_N_PINS, N_GSIS_MAX = 1024, CASCADE = 2 };

typedef struct Message {
    bool used;
    uint64_t addr;
    uint32_t data;
} Message;

static Message messages[N_GSIS_MAX];    /* by GSI */
static GMutex routes_mutex;

/* --- routes ----------------------------------------------------------------------- */

static void add_chip_route(struct kvm_irq_routing *r, unsigned gsi,
                           unsigned chip, unsigned pin)
{
    r->entries[r->nr++] = (struct kvm_irq_routing_entry) {
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = { .irqchip = chip, .pin = pin },
    };
}

static bool set_routes(void)
{
    struct kvm_irq_routing *r =
        g_malloc0(sizeof(*r) + (N_GSIS_MAX + 48) * sizeof(r->entries[0]));
    int result;

    for (unsigned i = 0; kvm.chips == CHIPS_ON && i < IOAPIC_N_PINS; i++) {
        if (i < 16 && i != CASCADE) {
            add_chip_route(r, i, i < 8 ? KVM_IRQCHIP_PIC_MASTER
                                       : KVM_IRQCHIP_PIC_SLAVE, i & 7);
        }
        if (i != CASCADE) {
            add_chip_route(r, i, KVM_IRQCHIP_IOAPIC, i == 0 ? CASCADE : i);
        }
    }
    for (unsigned i = 0; i < N_GSIS_MAX; i++) {
        const Message *m = &messages[i];

        if (m->used) {
            r->entries[r->nr++] = (struct kvm_irq_routing_entry) {
                .gsi = i, .type = KVM_IRQ_ROUTING_MSI,
                .u.msi = { .address_lo = m->addr, .address_hi = m->addr >> 32,
                           .data = m->data },
            };
        }
    }
    result = kvm_vm(KVM_SET_GSI_ROUTING, r);
    g_free(r);
    return result == 0;
}

int kvm_msi_route_new(uint64_t addr, uint32_t data)
{
    int gsi = -1;

    g_mutex_lock(&routes_mutex);
    for (unsigned i = FIRST_MSI_GSI; i < N_GSIS_MAX && gsi < 0; i++) {
        if (!messages[i].used) {
            gsi = i;
        }
    }
    if (gsi >= 0) {
        messages[gsi] = (Message) { true, addr, data };
        if (!set_routes()) {
            messages[gsi].used = false;
            gsi = -1;
        }
    }
    g_mutex_unlock(&routes_mutex);
    return gsi;
}

bool kvm_msi_route_set(int gsi, uint64_t addr, uint32_t data)
{
    Message old;
    bool ok;

    g_mutex_lock(&routes_mutex);
    old = messages[gsi];
    messages[gsi] = (Message) { true, addr, data };
    ok = set_routes();
    if (!ok) {
        messages[gsi] = old;
    }
    g_mutex_unlock(&routes_mutex);
    return ok;
}

void kvm_msi_route_free(int gsi)
{
    g_mutex_lock(&routes_mutex);
    messages[gsi].used = false;
    set_routes();
    g_mutex_unlock(&routes_mutex);
}

bool kvm_irqfd(int fd, int resample, int gsi, bool assign)
{
    struct kvm_irqfd e = {
        .fd = fd, .gsi = gsi,
        .flags = (assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN)
                 | (resample >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0),
        .resamplefd = MAX(resample, 0),
    };

    return kvm_apic_in_kernel() && kvm_vm(KVM_IRQFD, &e) == 0;
}

/* An eventfd as the wire of a message. */
static int connect_fd(int fd, uint64_t addr, uint32_t data)
{
    int gsi = kvm_msi_route_new(addr, data);

    if (gsi >= 0 && !kvm_irqfd(fd, -1, gsi, true)) {
        kvm_msi_route_free(gsi);
        gsi = -1;
    }
    return gsi;
}

static void disconnect_fd(int fd, int gsi)
{
    if (!kvm_irqfd(fd, -1, gsi, false)) {
        warn("KVM: an eventfd stays connected to GSI %d", gsi);
    }
    kvm_msi_route_free(gsi);
}

static const MsiFdOps fd_ops = {
    .connect = connect_fd, .change = kvm_msi_route_set,
    .disconnect = disconnect_fd,
};

void kvm_msi(uint64_t addr, uint32_t data)
{
    struct kvm_msi m = {
        .address_lo = addr, .address_hi = addr >> 32, .data = data,
    };
    int result = kvm_vm(KVM_SIGNAL_MSI, &m);

    if (result < 0) {
        guest_error("kvm", "message 0x%08x at 0x%" PRIx64 " refused: %s",
                    data, addr, g_strerror(-result));
    }
}

/* --- lines ---------------------------------------------------------------------------- */

static void set_line(unsigned gsi, int level)
{
    struct kvm_irq_level l = { .irq = gsi, .level = level };

    trace("kvm-line", "gsi %u level %d", gsi, level);
    kvm_vm(KVM_IRQ_LINE, &l);
}

/* --- state: 8259 ----------------------------------------------------------------------- */

static void pic_from_kvm(PicState *to, const struct kvm_pic_state *from,
                         bool master)
{
    /* KVM does not model these. */
    uint8_t icw3 = to->icw3 ? to->icw3 : master ? BIT(CASCADE) : CASCADE;

    *to = (PicState) {
        .lines = from->last_irr, .irr = from->irr, .imr = from->imr,
        .isr = from->isr, .elcr = from->elcr,
        .lowest = (from->priority_add - 1) & 7, .icw2 = from->irq_base,
        .icw3 = icw3,
        .init_state = from->init_state ? from->init_state + 1 : 0,
        .read_isr = from->read_reg_select, .poll = from->poll,
        .special_mask = from->special_mask, .expect_icw4 = from->init4,
        .auto_eoi = from->auto_eoi,
        .sfnm = from->special_fully_nested_mode,
        .rotate_on_auto_eoi = from->rotate_on_auto_eoi,
    };
}

static void pic_to_kvm(struct kvm_pic_state *to, const PicState *from,
                       bool master)
{
    *to = (struct kvm_pic_state) {
        .last_irr = from->lines, .irr = from->irr, .imr = from->imr,
        .isr = from->isr, .priority_add = (from->lowest + 1) & 7,
        .irq_base = from->icw2, .read_reg_select = from->read_isr,
        .poll = from->poll, .special_mask = from->special_mask,
        .init_state = from->init_state ? from->init_state - 1 : 0,
        .auto_eoi = from->auto_eoi,
        .rotate_on_auto_eoi = from->rotate_on_auto_eoi,
        .special_fully_nested_mode = from->sfnm, .init4 = from->expect_icw4,
        .elcr = from->elcr, .elcr_mask = master ? 0xf8 : 0xde,
    };
}

static bool get_pic(PicState pic[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct kvm_irqchip c = { .chip_id = i };    /* master is 0 */

        if (kvm_vm(KVM_GET_IRQCHIP, &c) < 0) {
            return false;
        }
        pic_from_kvm(&pic[i], &c.chip.pic, i == 0);
    }
    return true;
}

static bool put_pic(const PicState pic[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct kvm_irqchip c = { .chip_id = i };

        pic_to_kvm(&c.chip.pic, &pic[i], i == 0);
        if (kvm_vm(KVM_SET_IRQCHIP, &c) < 0) {
            return false;
        }
    }
    return true;
}

/* --- state: IOAPIC --------------------------------------------------------------------- */

static bool get_ioapic(IoapicState *s)
{
    struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

    if (kvm_vm(KVM_GET_IRQCHIP, &c) < 0) {
        return false;
    }
    s->id = (c.chip.ioapic.id & 0xf) << 24;
    s->ioregsel = c.chip.ioapic.ioregsel;
    s->lines = c.chip.ioapic.irr;
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++) {
        s->redir[i] = c.chip.ioapic.redirtbl[i].bits;
    }
    return true;
}

static bool put_ioapic(const IoapicState *s)
{
    struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

    c.chip.ioapic.base_address = 0xfec00000;
    c.chip.ioapic.id = s->id >> 24;
    c.chip.ioapic.ioregsel = s->ioregsel;
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++) {
        c.chip.ioapic.redirtbl[i].bits = s->redir[i];
        /* KVM's IRR of an edge pin is a request not delivered yet. */
        if (s->redir[i] & BIT(15)) {
            c.chip.ioapic.irr |= s->lines & BIT(i);
        }
    }
    return kvm_vm(KVM_SET_IRQCHIP, &c) == 0;
}

/* Our IOAPIC, KVM's local APICs: level entries become routes, so that KVM
 * exits at their EOI. */
static void ioapic_changed(const IoapicState *s)
{
    bool changed = false;

    g_mutex_lock(&routes_mutex);
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++) {
        uint64_t e = s->redir[i];
        Message now = {
            .used = !(e & BIT(16)),
            .addr = 0xfee00000 | (e >> 56) << 12 | (e & BIT(11) ? 4 : 0),
            .data = (e & 0x7ff) | (e & BIT(15)) | BIT(14),
        };

        if (messages[i].used != now.used
            || (now.used && (messages[i].addr != now.addr
                             || messages[i].data != now.data))) {
            messages[i] = now;
            changed = true;
        }
    }
    if (changed) {
        set_routes();
    }
    g_mutex_unlock(&routes_mutex);
}

/* --- state: 8254 ------------------------------------------------------------------------ */

/* KVM's times are of the host's monotonic clock. */
static int64_t mono_to_ticks(int64_t ns)
{
    int64_t virtual_ns = clock_ns(CLK_VIRTUAL) - (clock_ns(CLK_HOST) - ns);

    return (__int128)virtual_ns * PIT_HZ / NS_PER_SEC;
}

static int64_t ticks_to_mono(int64_t ticks)
{
    int64_t virtual_ns = (__int128)ticks * NS_PER_SEC / PIT_HZ;

    return clock_ns(CLK_HOST) - (clock_ns(CLK_VIRTUAL) - virtual_ns);
}

static bool get_pit(PitState *s)
{
    struct kvm_pit_state2 p;

    if (kvm_vm(KVM_GET_PIT2, &p) < 0) {
        return false;
    }
    for (unsigned i = 0; i < PIT_N_CHANNELS; i++) {
        const struct kvm_pit_channel_state *c = &p.channels[i];
        PitChannel *to = &s->ch[i];

        *to = (PitChannel) {
            .count = c->count ? MIN(c->count, 0x10000) : 0x10000,
            .start = mono_to_ticks(c->count_load_time),
            .switch_at = INT64_MAX, .latch = c->latched_count,
            .latch_left = c->count_latched == 3 ? 2 : c->count_latched ? 1 : 0,
            .status = c->status, .write_lsb = c->write_latch,
            .mode = c->mode > 5 ? c->mode & 3 : c->mode,
            .rw = c->rw_mode & 3, .bcd = c->bcd, .gate = c->gate,
            .status_latched = c->status_latched,
            .read_msb = c->read_state == 4 || c->count_latched == 2,
            .write_msb = c->write_state == 4, .started = true,
        };
        to->next_count = to->count;
    }
    return true;
}

static bool put_pit(const PitState *s)
{
    struct kvm_pit_state2 p = { .flags = 0 };

    for (unsigned i = 0; i < PIT_N_CHANNELS; i++) {
        const PitChannel *from = &s->ch[i];

        p.channels[i] = (struct kvm_pit_channel_state) {
            .count = from->next_count, .latched_count = from->latch,
            .count_latched = from->latch_left == 2 ? 3 : from->latch_left,
            .status_latched = from->status_latched, .status = from->status,
            .read_state = from->rw == 3 ? from->read_msb ? 4 : 3 : from->rw,
            .write_state = from->rw == 3 ? from->write_msb ? 4 : 3 : from->rw,
            .write_latch = from->write_lsb, .rw_mode = from->rw,
            .mode = from->mode, .bcd = from->bcd, .gate = from->gate,
            .count_load_time = ticks_to_mono(from->start),
        };
    }
    return kvm_vm(KVM_SET_PIT2, &p) == 0;
}

/* --- init ---------------------------------------------------------------------------------- */

static IrqchipOwner owner = {
    .set_line = set_line, .get_pic = get_pic, .put_pic = put_pic,
    .get_ioapic = get_ioapic, .put_ioapic = put_ioapic,
    .get_pit = get_pit, .put_pit = put_pit,
};

static bool make_pit(GError **err)
{
    struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
    int result;

    if (!kvm_check(KVM_CAP_PIT2)) {
        return true;            /* ours will do */
    }
    result = kvm_vm(KVM_CREATE_PIT2, &config);
    if (result < 0) {
        return kvm_fail(err, result, "cannot make the 8254");
    }
    kvm.pit = true;
    if (kvm_is_software()) {
        /* A guest that is slower than its ticks would do nothing but catch up
         * with those that it missed. */
        struct kvm_reinject_control discard = { .pit_reinject = 0 };

        kvm_vm(KVM_REINJECT_CONTROL, &discard);
    }
    return true;
}

bool kvm_irqchip_init(GError **err)
{
    int result;

    if (kvm.chips == CHIPS_OFF) {
        return true;
    }
    msi_set_receiver(kvm_msi);
    if (kvm_check(KVM_CAP_IRQFD) && kvm_check(KVM_CAP_IRQ_ROUTING)) {
        msi_fd_ops = &fd_ops;
    }
    irqchip_owner = &owner;
    if (kvm.chips == CHIPS_SPLIT) {
        if (!kvm_check(KVM_CAP_SPLIT_IRQCHIP)
            || !kvm_enable(kvm.vm_fd, KVM_CAP_SPLIT_IRQCHIP, IOAPIC_N_PINS,
                           0)) {
            return kvm_fail(err, -ENOSYS, "kernel-irqchip=split");
        }
        owner.ioapic_changed = ioapic_changed;
        return true;
    }
    result = kvm_vm(KVM_CREATE_IRQCHIP, NULL);
    if (result < 0) {
        return kvm_fail(err, result, "cannot make the interrupt chips; "
                        "kernel-irqchip=off does without");
    }
    if (!make_pit(err)) {
        return false;
    }
    owner.pic = owner.ioapic = true;
    owner.pit = kvm.pit;
    if (!set_routes()) {
        return kvm_fail(err, -EINVAL, "cannot route interrupts");
    }
    return true;
}

void kvm_print_chips(GString *out)
{
    static const char *const names[] = { "on", "split", "off" };

    g_string_append_printf(out, "kernel-irqchip: %s; 8254: %s\n",
                           names[kvm.chips], kvm.pit ? "KVM's" : "ours");
}
