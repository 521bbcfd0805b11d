/*
 * KVM: doorbells, eventfds that interrupt, the dirty log, the probe.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/msi-fd.h"
#include "mem/doorbell.h"

GUEST_CODE(code_store, "32",
           "movl $1, 0x00203000\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

/* A byte in each page from 4 MiB to EBX. */
GUEST_CODE(code_store_many, "32",
           "mov $0x400000, %edi\n"
           "0: movb $1, (%edi)\n"
           "add $0x1000, %edi\n"
           "cmp %ebx, %edi\n"
           "jne 0b\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

/* Counts interrupts at 5000h; 5004h: it takes them. */
GUEST_CODE(code_count, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "mov $0xfee00000, %rdi\n"
           "movl $0x1ff, 0xf0(%rdi)\n"
           "movl $0, 0x80(%rdi)\n"
           "movl $1, 0x5004\n"
           "0: cli\n"
           "cmpl $100, 0x5000\n"
           "jae 1f\n"
           "sti\n"
           "hlt\n"
           "jmp 0b\n"
           "1: movl $1, 0x5008\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_count_handler, "64",
           "incl 0x5000\n"
           "movl $0, 0xb0(%rdi)\n"
           "iretq\n");

/* Each CPU adds to a word of its own (RDI), until 5008h is set. */
GUEST_CODE(code_add, "64",
           "0: incl (%rdi)\n"
           "push %rax\n"
           "pop %rax\n"
           "cmpl $0, 0x5008\n"
           "je 0b\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

static void *changes(void *opaque)
{
    for (unsigned i = 0; i < 200; i++) {
        kvm_forget_translations(0x1000);
        g_usleep(300);
    }
    store_le32(guest_ram + 0x5008, 1);
    return NULL;
}

/* Slots go and come back while others run; nobody sees them gone. */
static void test_gate(void)
{
    uint64_t n_exits[2], n_rescues[2];
    GThread *thread;

    guest_reset();
    for (unsigned i = 0; i < 2; i++) {
        KvmCpu *k = kvm_cpu(guest_cpu(i));

        guest_cpu(i)->state->wait_sipi = false;
        start_long(code_add, code_add_end);
        guest_long(i, 0x1000, 0x100000);
        guest_cpu(i)->state->gpr[R_RDI] = 0x5000 + 4 * i;
        n_exits[i] = k->n_exits[KVM_EXIT_MMIO];
        n_rescues[i] = k->n_rescues;
    }
    thread = g_thread_new("changes", changes, NULL);
    g_assert_cmphex(guest_run(2), ==, 0);
    g_thread_join(thread);
    for (unsigned i = 0; i < 2; i++) {
        KvmCpu *k = kvm_cpu(guest_cpu(i));

        g_assert_cmpuint(load_le32(guest_ram + 0x5000 + 4 * i), >, 1000);
        g_assert_cmpuint(k->n_exits[KVM_EXIT_MMIO], ==, n_exits[i]);
        g_assert_cmpuint(k->n_rescues, ==, n_rescues[i]);
    }
}

static void test_doorbell(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    uint64_t n = 0;

    g_assert_true(kvm_ioeventfd(false, GUEST_IO + 0x10, 4, true, 0x12345678,
                                fd, true));
    guest_reset();
    GUEST_LOAD(0x1000, code_mmio);
    guest_protected(0, 0x1000);
    guest_run(1);
    g_assert_cmpint(read(fd, &n, sizeof(n)), ==, sizeof(n));
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmphex(guest_io_reg[4], ==, 0);    /* it went to the doorbell */
    g_assert_true(kvm_ioeventfd(false, GUEST_IO + 0x10, 4, true, 0x12345678,
                                fd, false));
    close(fd);
}

static int bell_fd(void *opaque)
{
    return *(int *)opaque;
}

static void write_called(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    (*(unsigned *)opaque)++;
}

static uint64_t read_nothing(void *opaque, hwaddr at, unsigned size)
{
    return 0;
}

/* The same by a region that says so, wherever it is mapped. */
static void test_region_doorbell(void)
{
    static const IoOps ops = { .read = read_nothing, .write = write_called };
    int fd = eventfd(0, EFD_NONBLOCK);
    unsigned n_calls = 0;
    uint64_t n = 0;
    Region r;

    region_init_io(&r, NULL, "bell", &ops, &n_calls, 4);
    doorbell_add(&r, &(Doorbell) { .size = 4, .fd = bell_fd, .opaque = &fd });
    for (int mapped = 1; mapped >= 0; mapped--) {
        guest_io_reg[4] = 0;
        if (mapped) {
            region_map(mem_root(), GUEST_IO + 0x10, &r, 10);
        } else {
            region_unmap(&r);
        }
        guest_reset();
        GUEST_LOAD(0x1000, code_mmio);
        guest_protected(0, 0x1000);
        guest_run(1);
        g_assert_cmpint(read(fd, &n, sizeof(n)) == sizeof(n), ==, mapped);
        g_assert_cmpint(guest_io_reg[4] == 0, ==, mapped);
        g_assert_cmpuint(n_calls, ==, 0);
    }
    region_destroy(&r);
    doorbell_remove_all(&r);
    close(fd);
}

/* --- posted writes ------------------------------------------------------------------ */

GUEST_CODE(code_posted, "32",
           "mov $200, %ecx\n"
           "0: mov %cl, 0x60002000(%ecx)\n"
           "mov %cl, %al\n"
           "out %al, $0xfa\n"
           "loop 0b\n"
           "in $0x92, %al\n"
           GUEST_EXIT);

static GByteArray *posted;      /* by when they were made */

static void posted_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    uint8_t b = val;

    g_assert_cmpuint(size, ==, 1);
    g_byte_array_append(posted, &b, 1);
}

/* All arrive, in their order, and before what comes after them. */
static void test_posted(void)
{
    static const IoOps ops = { .read = read_nothing, .write = posted_write,
                               .size_max = 1 };
    static const Doorbell all = { .size = 256, .posted = true };
    static const Doorbell one = { .size = 1, .posted = true };
    KvmCpu *k = kvm_cpu(guest_cpu(0));
    uint64_t n_exits;
    Region window, port;

    region_init_io(&window, NULL, "window", &ops, NULL, 256);
    region_init_io(&port, NULL, "port", &ops, NULL, 1);
    doorbell_add(&window, &all);
    doorbell_add(&port, &one);
    region_map(mem_root(), GUEST_IO + 0x2000, &window, 0);
    region_map(io_root(), 0xfa, &port, 1);
    posted = g_byte_array_new();
    guest_reset();
    GUEST_LOAD(0x1000, code_posted);
    guest_protected(0, 0x1000);
    n_exits = k->n_exits[KVM_EXIT_IO] + k->n_exits[KVM_EXIT_MMIO];
    guest_run(1);
    n_exits = k->n_exits[KVM_EXIT_IO] + k->n_exits[KVM_EXIT_MMIO] - n_exits;
    g_assert_cmpuint(posted->len, ==, 400);
    for (unsigned i = 0; i < 400; i++) {
        g_assert_cmpuint(posted->data[i], ==, 200 - i / 2);
    }
    if (kvm_check(KVM_CAP_COALESCED_PIO)) {
        g_assert_cmpuint(n_exits, <, 20);
    }
    region_unmap(&window);
    region_unmap(&port);
    region_destroy(&window);
    region_destroy(&port);
    doorbell_remove_all(&window);
    doorbell_remove_all(&port);
    g_byte_array_unref(posted);
}

#define MSI_ADDR UINT64_C(0xfee00000)

static void wait_for_word(hwaddr gpa, uint32_t want)
{
    while (__atomic_load_n((uint32_t *)(guest_ram + gpa), __ATOMIC_ACQUIRE)
           != want) {
        g_thread_yield();
    }
}

static void ring(int fd)
{
    const uint64_t one = 1;

    g_assert_cmpint(write(fd, &one, sizeof(one)), ==, sizeof(one));
}

/* No device, no lock: 100 interrupts, by this message and that. */
static gpointer ring_hundred(gpointer opaque)
{
    int fd = GPOINTER_TO_INT(opaque);
    int route = msi_fd_ops->connect(fd, MSI_ADDR, 0x41);

    g_assert_cmpint(route, >=, IOAPIC_N_PINS);
    wait_for_word(0x5004, 1);
    for (unsigned i = 0; i < 100; i++) {
        wait_for_word(0x5000, i);
        if (i == 40) {
            g_assert_true(msi_fd_ops->change(route, MSI_ADDR, 0x42));
        }
        if (i == 70) {          /* what nobody read is read when one can */
            msi_fd_ops->disconnect(fd, route);
            ring(fd);
            route = msi_fd_ops->connect(fd, MSI_ADDR, 0x41);
            g_assert_cmpint(route, >=, IOAPIC_N_PINS);
        } else {
            ring(fd);
        }
    }
    /* There are KVMs that let an interrupt in between STI and HLT: then it
     * sleeps on, with all that it waits for done. */
    while (!__atomic_load_n((uint32_t *)(guest_ram + 0x5008),
                            __ATOMIC_ACQUIRE)) {
        ring(fd);
        g_usleep(1000);
    }
    msi_fd_ops->disconnect(fd, route);
    return NULL;
}

static void test_msi_fd(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    GThread *thread;

    if (!kvm_apic_in_kernel()) {
        g_assert_null(msi_fd_ops);
        close(fd);
        return;
    }
    guest_reset();
    set_up_gate(0x41);
    set_up_gate(0x42);
    GUEST_LOAD(0x2000, code_count_handler);
    start_long(code_count, code_count_end);
    map_apic_page();
    thread = g_thread_new("ring", ring_hundred, GINT_TO_POINTER(fd));
    g_assert_cmphex(guest_run(1), ==, 0);
    g_thread_join(thread);
    close(fd);
}

/* A wire that cannot be made leaves nothing behind. */
static void test_msi_fd_failures(void)
{
    int fd, first, route;

    if (!msi_fd_ops) {
        g_test_skip("these need KVM's local APIC");
        return;
    }
    fd = eventfd(0, EFD_NONBLOCK);
    first = msi_fd_ops->connect(fd, MSI_ADDR, 0x41);
    g_assert_cmpint(first, >=, IOAPIC_N_PINS);
    fail_next(KVM_SET_GSI_ROUTING, ENOMEM, 1);
    g_assert_false(msi_fd_ops->change(first, MSI_ADDR, 0x42));
    msi_fd_ops->disconnect(fd, first);
    fail_next(KVM_SET_GSI_ROUTING, ENOMEM, 1);
    g_assert_cmpint(msi_fd_ops->connect(fd, MSI_ADDR, 0x41), ==, -1);
    fail_next(KVM_IRQFD, EBADF, 1);
    g_assert_cmpint(msi_fd_ops->connect(fd, MSI_ADDR, 0x41), ==, -1);
    g_assert_cmpint(msi_fd_ops->connect(-1, MSI_ADDR, 0x41), ==, -1);
    fail_next(KVM_IRQFD, EINTR, 3);
    route = msi_fd_ops->connect(fd, MSI_ADDR, 0x41);
    g_assert_cmpint(route, ==, first);
    fail_next(KVM_SET_GSI_ROUTING, EAGAIN, 3);
    g_assert_true(msi_fd_ops->change(route, MSI_ADDR, 0x42));
    msi_fd_ops->disconnect(fd, route);
    close(fd);
}

/* All there are, and no more; a line with an eventfd for its EOI. */
static void test_routes(void)
{
    g_autoptr(GArray) gsis = g_array_new(FALSE, FALSE, sizeof(int));
    int fd, resample, gsi;

    if (!kvm_apic_in_kernel()) {
        g_test_skip("these need KVM's local APIC");
        return;
    }
    while ((gsi = kvm_msi_route_new(MSI_ADDR, 0x4041)) >= 0) {
        g_assert_cmpint(gsi, ==, IOAPIC_N_PINS + gsis->len);
        g_array_append_val(gsis, gsi);
    }
    g_assert_cmpuint(gsis->len, >=, 1000);
    for (unsigned i = 0; i < gsis->len; i++) {
        kvm_msi_route_free(g_array_index(gsis, int, i));
    }
    g_assert_cmpint(kvm_msi_route_new(MSI_ADDR, 0x41), ==, IOAPIC_N_PINS);
    kvm_msi_route_free(IOAPIC_N_PINS);
    fd = eventfd(0, EFD_NONBLOCK);
    resample = eventfd(0, EFD_NONBLOCK);
    /* EOIs are KVM's to tell only where the IOAPIC is. */
    g_assert_cmpint(kvm_irqfd(fd, resample, 20, true), ==,
                    kvm.chips == CHIPS_ON);
    if (kvm.chips == CHIPS_ON) {
        g_assert_true(kvm_irqfd(fd, resample, 20, false));
    }
    close(fd);
    close(resample);
}

static void test_dirty_log(void)
{
    RamBlock *rb = guest_machine->ram.ram;

    guest_reset();
    ram_test_clear_dirty(rb, 0, GUEST_RAM_BYTES, DIRTY_MIGRATION);
    GUEST_LOAD(0x1000, code_store);
    ram_test_clear_dirty(rb, 0, GUEST_RAM_BYTES, DIRTY_MIGRATION);
    guest_protected(0, 0x1000);
    guest_run(1);
    g_assert_true(ram_test_clear_dirty(rb, 0x203000, 4096, DIRTY_MIGRATION));
    g_assert_false(ram_test_clear_dirty(rb, 0x203000, 4096,
                                        DIRTY_MIGRATION));
    g_assert_false(ram_test_clear_dirty(rb, 0x300000, 0x100000,
                                        DIRTY_MIGRATION));
    /* Another client has seen nothing yet. */
    g_assert_true(ram_test_clear_dirty(rb, 0x203000, 4096, DIRTY_VGA));
}

static void test_dirty_many(void)
{
    uint64_t end = 12 * MiB;
    RamBlock *rb = guest_machine->ram.ram;
    KvmCpu *k = kvm_cpu(guest_cpu(0));
    uint64_t n_full = k->n_exits[KVM_EXIT_DIRTY_RING_FULL];

    guest_reset();
    GUEST_LOAD(0x1000, code_store_many);
    ram_test_clear_dirty(rb, 0, GUEST_RAM_BYTES, DIRTY_MIGRATION);
    guest_protected(0, 0x1000);
    guest_cpu(0)->state->gpr[R_RBX] = end;
    guest_run(1);
    for (uint64_t at = 4 * MiB; at < end; at += 4096) {
        g_assert_true(ram_test_clear_dirty(rb, at, 4096, DIRTY_MIGRATION));
    }
    g_assert_false(ram_test_clear_dirty(rb, end, 4 * MiB, DIRTY_MIGRATION));
    g_assert_cmpint(k->n_exits[KVM_EXIT_DIRTY_RING_FULL] > n_full, ==,
                    kvm.ring_bytes != 0);
}

/* The probe is quick, and says why when it says no. */
static void test_probe(void)
{
    g_autoptr(GError) err = NULL;
    int64_t start = g_get_monotonic_time();
    bool fast = kvm_probe(&err);

    /* 2 ms is the promise; a busy host makes that hard to test. */
    g_test_message("probe: %s in %" PRId64 " us", fast ? "fast"
                   : err->message, g_get_monotonic_time() - start);
    g_assert_true(fast || err);
}

void add_vm_tests(void)
{
    g_test_add_func("/kvm/slots/gate", test_gate);
    g_test_add_func("/kvm/doorbell", test_doorbell);
    g_test_add_func("/kvm/region-doorbell", test_region_doorbell);
    g_test_add_func("/kvm/posted", test_posted);
    g_test_add_func("/kvm/msi-fd", test_msi_fd);
    g_test_add_func("/kvm/msi-fd/failures", test_msi_fd_failures);
    g_test_add_func("/kvm/routes", test_routes);
    g_test_add_func("/kvm/dirty-log", test_dirty_log);
    g_test_add_func("/kvm/dirty-log/many", test_dirty_many);
    g_test_add_func("/kvm/probe", test_probe);
}
