/*
 * KVM: instructions that it cannot execute are executed by the interpreter.
 *
 * KVM ends a run with KVM_INTERNAL_ERROR_EMULATION where it had to emulate an
 * instruction and does not know it: cmpxchg16b, int3 or xrstor in the kernel of
 * a guest on a host that interprets such code, vector stores to devices on any.
 * The one instruction is then executed here, on the vCPU's own state, and the
 * vCPU goes back into KVM.
 *
 * A store to a page table is nothing that KVM notices, when it did not make it
 * itself: shadow pages made from that table would never change.  Where an
 * instruction stored what looks like an entry into what looks like a table,
 * KVM is made to forget its translations.
 *
 * Where the host's kernel interprets all of the guest's, accesses to devices
 * that follow each other closely are executed here too: see kvm_go_ahead().
 *
 * Locks: the vCPU's thread; `mutex` for what is counted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include "accel/tcg/single.h"
#include "base/log.h"
#include "base/trace.h"

enum {
    STUCK_MAX = 1000,           /* rescues in a row at one place */
    SITES_MAX = 4096,
    LOGGED_MAX = 64,            /* sites told on stderr or in the log */
    STORE_MAX = 16,             /* bytes of a store that is looked at */
    RUN_MAX = 512,              /* instructions executed in a row */
    RUN_GAP = 6,                /* of them others than x87 and vectors */
    AHEAD_MAX = 4096,           /* instructions executed after an access */
    AHEAD_GAP = 24,             /* of them in a row without another */
    AHEAD_WAIT = 16,            /* accesses before it is tried again */
    WINDOW_MAX = 256,           /* instructions until interrupts are let in */
    PTE_PRESENT = 1, PF_USER = 1 << 2, PF_FETCH = 1 << 4,
};
#define PTE_RESERVED UINT64_C(0x000f000000000000)

static GMutex mutex;
static uint64_t n_by_op[N_OPS];
static uint64_t n_forgotten;    /* translations */
static unsigned n_logged;

/* --- what an instruction may touch beyond PART_STEP ----------------------------------- */

/* Integer, string and control-flow instructions touch nothing else, nor do
 * segments and the cheap ones of the system; they are what is rescued most. */
static bool touches_step_only(unsigned op)
{
    return (op > OP_UD && op <= OP_INTO && op != OP_INT1)
           || (op >= OP_MOV_RM_SEG && op <= OP_WRGSBASE_RM)
           || (op >= OP_CLI && op <= OP_INVPCID_R_M)
           || (op >= OP_SERIALIZE && op <= OP_CLDEMOTE_M)
           || op == OP_NOP || op == OP_PAUSE || op == OP_BOUND_R_M;
}

/* x87, MMX, vectors: what KVM's emulator lacks most of. */
static bool is_fpu(unsigned op)
{
    return op >= OP_FXSAVE_M;
}

static unsigned parts_of(const X86State *s, const Insn *insn)
{
    unsigned parts = s->rflags & FL_TF ? PART_DEBUG : 0;

    if (!insn) {
        return parts;
    }
    if (touches_step_only(insn->op)) {
        return parts;
    }
    if (insn->op == OP_HLT) {
        /* Else halting is ours, and registers may travel with the run. */
        return kvm_apic_in_kernel() ? parts | PART_MP : parts;
    }
    parts |= PART_FPU | PART_MSRS | PART_DEBUG;
    return insn->op == OP_WRMSR ? parts | PART_TSC : parts;
}

/* --- page tables -------------------------------------------------------------------------- */

static bool like_entry(uint64_t e)
{
    return !(e & PTE_RESERVED) && (e == 0 || e & PTE_PRESENT);
}

/* Nothing in it that cannot be an entry, and one at least that is. */
bool kvm_like_table(const uint8_t *page)
{
    bool any = false;

    for (unsigned i = 0; i < 4096; i += 8) {
        uint64_t e = load_le64(page + i);

        if (e & PTE_RESERVED) {
            return false;
        }
        any |= (e & PTE_PRESENT) && e >> 12;
    }
    return any;
}

/* What a store may change, before and after. */
typedef struct Watch {
    bool on;
    hwaddr gpa;
    uint8_t *hva;
    uint8_t before[STORE_MAX];
} Watch;

static void watch_begin(Watch *w, TcgSingle *t, const X86State *s)
{
    w->on = s->cr0 & CR0_PG && tcg_single_operand(t, &w->gpa, &w->hva)
            && w->hva;
    if (w->on) {
        w->gpa &= ~UINT64_C(7);
        w->hva = (uint8_t *)((uintptr_t)w->hva & ~(uintptr_t)7);
        memcpy(w->before, w->hva,
               MIN(STORE_MAX, 4096 - (w->gpa & 0xfff)));
    }
}

static void watch_end(const Watch *w)
{
    unsigned n = w->on ? MIN(STORE_MAX, 4096 - (w->gpa & 0xfff)) : 0;

    for (unsigned i = 0; i < n; i += 8) {
        uint64_t now = load_le64(w->hva + i), old = load_le64(w->before + i);

        if (now != old && like_entry(now) && like_entry(old)
            && kvm_like_table((uint8_t *)((uintptr_t)w->hva
                                      & ~(uintptr_t)0xfff))) {
            trace("kvm-forget", "gpa 0x%" PRIx64, w->gpa);
            __atomic_add_fetch(&n_forgotten, 1, __ATOMIC_RELAXED);
            kvm_forget_translations(w->gpa);
            return;
        }
    }
}

/* --- counting -------------------------------------------------------------------------------- */

static void count(KvmCpu *k, uint64_t rip, unsigned op)
{
    RescueSite *site;

    k->n_rescues++;
    g_mutex_lock(&mutex);
    n_by_op[op]++;
    site = g_hash_table_lookup(k->sites, &rip);
    if (!site && g_hash_table_size(k->sites) < SITES_MAX) {
        site = g_new0(RescueSite, 1);
        site->rip = rip;
        site->op = op;
        g_hash_table_insert(k->sites, &site->rip, site);
        if (n_logged++ < LOGGED_MAX) {
            log_debug(LOG_UNIMP, "kvm: %s at 0x%" PRIx64 " is executed by "
                      "the interpreter\n", insn_op_name(op), rip);
        }
    }
    if (site) {
        site->n++;
    }
    g_mutex_unlock(&mutex);
}

static int by_count(gconstpointer a, gconstpointer b)
{
    uint64_t x = n_by_op[*(const uint16_t *)a];
    uint64_t y = n_by_op[*(const uint16_t *)b];

    return x < y ? 1 : x > y ? -1 : 0;
}

void kvm_print_rescues(GString *out)
{
    uint16_t ops[N_OPS];
    unsigned n = 0;

    g_mutex_lock(&mutex);
    for (unsigned i = 0; i < N_OPS; i++) {
        if (n_by_op[i]) {
            ops[n++] = i;
        }
    }
    qsort(ops, n, sizeof(ops[0]), by_count);
    g_string_append(out, "rescued:");
    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(out, " %s %" PRIu64, insn_op_name(ops[i]),
                               n_by_op[ops[i]]);
    }
    g_string_append_printf(out, "%s\ntranslations forgotten: %" PRIu64 "\n",
                           n ? "" : " nothing", n_forgotten);
    for (unsigned i = 0; i < machine()->cpus->len; i++) {
        KvmCpu *k = kvm_cpu(g_ptr_array_index(machine()->cpus, i));

        g_string_append_printf(out, "CPU %u: %" PRIu64 " rescues at %u "
                               "places, %" PRIu64 " system calls "
                               "finished, %" PRIu64 " instructions executed "
                               "between accesses to devices, %" PRIu64
                               " strings\n", i,
                               k->n_rescues,
                               k->sites ? g_hash_table_size(k->sites) : 0,
                               k->n_syscalls, k->n_ahead, k->strings.n_run);
    }
    g_mutex_unlock(&mutex);
}

/* --- one rescue ------------------------------------------------------------------------------- */

/* cpu->state becomes the interpreter's: nothing is copied back and forth. */
struct TcgSingle *kvm_single(KvmCpu *k)
{
    X86Cpu *cpu = k->cpu;
    TcgSingle *t = k->single;

    if (t) {
        return t;
    }
    t = tcg_single_new(cpu);
    if (t) {
        *tcg_single_state(t) = *cpu->state;
        cpu->state = tcg_single_state(t);
        k->single = t;
        k->sites = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                         g_free);
    }
    return t;
}

void kvm_rescue_free(KvmCpu *k)
{
    if (k->single) {
        tcg_single_free(k->single);
        g_hash_table_destroy(k->sites);
    }
    k->single = NULL;
}

/* KVM may have queued #UD before it gave up. */
static void drop_queued_ud(KvmCpu *k)
{
    if ((k->events.exception.injected || k->events.exception.pending)
        && k->events.exception.nr == EXC_UD) {
        k->events.exception.injected = 0;
        k->events.exception.pending = 0;
    }
}

static CpuRun wild_jump(KvmCpu *k)
{
    g_autofree char *what = g_strdup_printf(
        "there is no memory where it executes: a wild jump, last seen well "
        "at 0x%" PRIx64, k->last_good_rip);

    kvm_report(k->cpu, what);
    return CPU_RUN_ERROR;
}

/* --- SYSCALL on software KVMs -------------------------------------------------------------- */

/*
 * There SYSCALL in user mode may load RIP, RCX, R11 and RFLAGS and leave the
 * CPL at 3: the first fetch of the kernel's entry ends in #PF.  Kernels with
 * SMAP begin the handler with CLAC, which comes here: take the frame back and
 * do what SYSCALL left undone.
 */
static bool finish_syscall(KvmCpu *k, const Insn *insn)
{
    static const uint32_t msrs[] = { 0xc0000081, 0xc0000082, 0xc0000084 };
    enum { ERROR, RIP, CS, RFLAGS, RSP, SS, N };
    X86State *s = k->cpu->state;
    uint64_t frame[N], star_lstar_mask[3];
    uint16_t cs;

    if (!insn || insn->op != OP_CLAC || !kvm_is_software()
        || !(s->efer & EFER_LMA)
        || !cpu_debug_read(k->cpu, s->gpr[R_RSP], frame, sizeof(frame))
        || (frame[ERROR] & (PF_USER | PF_FETCH)) != (PF_USER | PF_FETCH)
        || frame[RIP] != s->cr2 || (frame[CS] & 3) != 3
        || !kvm_read_msrs(k, msrs, star_lstar_mask, 3)
        || frame[RIP] != star_lstar_mask[1]) {
        return false;
    }
    cs = star_lstar_mask[0] >> 32 & 0xfffc;
    s->seg[SEG_CS] = (X86Seg) { .selector = cs, .limit = UINT32_MAX,
                                .attr = SEGA_G | SEGA_P | SEGA_S | SEGA_L
                                        | SEGA_CODE | SEGA_R | SEGA_A };
    s->seg[SEG_SS] = (X86Seg) { .selector = cs + 8, .limit = UINT32_MAX,
                                .attr = SEGA_G | SEGA_P | SEGA_S | SEGA_DB
                                        | SEGA_W | SEGA_A };
    s->rip = frame[RIP];
    s->gpr[R_RSP] = frame[RSP];
    s->rflags = ((s->gpr[R_R11] & ~star_lstar_mask[2]) | 2) & ~(uint64_t)FL_RF;
    k->dirty |= PART_STEP;
    k->n_syscalls++;
    return true;
}

/* The instruction that was decoded, with what it needs of the state. */
CpuRun kvm_execute_here(KvmCpu *k, const Insn *insn)
{
    TcgSingle *t = k->single;
    X86State *s = k->cpu->state;
    unsigned parts = parts_of(s, insn);
    SingleResult result;
    Watch watch;

    if (!kvm_get(k, parts)) {
        kvm_report(k->cpu, "an instruction that KVM cannot execute, on a "
                   "state that it does not give");
        return CPU_RUN_ERROR;
    }
    watch_begin(&watch, t, s);
    result = tcg_single_execute(t);
    watch_end(&watch);
    k->dirty |= PART_STEP | parts;
    if (result == SINGLE_TRIPLE_FAULT) {
        return CPU_RUN_TRIPLE_FAULT;
    }
    k->last_good_rip = s->rip;
    return s->halted && !kvm_apic_in_kernel() ? CPU_RUN_HALT : CPU_RUN_EXIT;
}

/* The same for one that KVM gave up on. */
static CpuRun rescue(KvmCpu *k, const Insn *insn)
{
    X86State *s = k->cpu->state;
    uint64_t rip = s->rip;
    CpuRun why;

    count(k, rip, insn ? insn->op : OP_UD);
    why = kvm_execute_here(k, insn);
    k->n_stuck = s->rip == rip ? k->n_stuck + 1 : 0;
    if (why == CPU_RUN_EXIT && k->n_stuck > STUCK_MAX) {
        kvm_report(k->cpu, "an instruction that neither KVM nor the "
                   "interpreter gets past");
        return CPU_RUN_ERROR;
    }
    return why;
}

/*
 * Vector code comes in runs, and each way into KVM and back costs as much as
 * hundreds of instructions here: go on as long as there is more of it.
 */
static bool goes_on(KvmCpu *k, const Insn **insn, unsigned *gap)
{
    return !cpu_pending(k->cpu)
           && tcg_single_decode(k->single, insn) == SINGLE_DONE && *insn
           && (is_fpu((*insn)->op)
               ? (*gap = 0, true)
               : touches_step_only((*insn)->op) && ++*gap <= RUN_GAP);
}

/* A debugger steps over what is done here as over what KVM does. */
static CpuRun after_one(KvmCpu *k, CpuRun why)
{
    return why == CPU_RUN_EXIT && k->debug.step
           ? kvm_debug_stop(k, CPU_STOP_STEP, 0) : why;
}

CpuRun kvm_rescue(KvmCpu *k)
{
    const Insn *insn;
    unsigned gap = 0;
    CpuRun why;

    if (!kvm_single(k) || !kvm_get(k, PART_STEP)) {
        kvm_report(k->cpu, "an instruction that KVM cannot execute");
        return CPU_RUN_ERROR;
    }
    drop_queued_ud(k);
    if (tcg_single_decode(k->single, &insn) == SINGLE_FETCH) {
        return wild_jump(k);
    }
    if (finish_syscall(k, insn)) {
        return after_one(k, CPU_RUN_EXIT);
    }
    if (insn && insn->op == OP_INT3 && k->debug.int3 && !k->pass_int3) {
        k->stopped_in_rescue = true;
        return kvm_debug_stop(k, CPU_STOP_INT3, 0);
    }
    k->pass_int3 = false;
    why = after_one(k, rescue(k, insn));
    if (insn && is_fpu(insn->op) && !k->debugging) {
        for (unsigned i = 1; i < RUN_MAX && why == CPU_RUN_EXIT
                             && goes_on(k, &insn, &gap); i++) {
            why = rescue(k, insn);
        }
    }
    return why;
}

/* --- accesses in a row ------------------------------------------------------------------------ */

/*
 * Where the host's kernel interprets the guest's, the way out and back costs as
 * much as a hundred instructions do here, and drivers seldom touch a device
 * once: they poll, fill FIFOs, write an index and then the data.  So, having
 * served an access, go on here as long as another follows soon.  Where none
 * did, the next few accesses of that kind go straight back.
 */

/* Does the instruction that was decoded reach a device? */
static bool reaches_device(TcgSingle *t, const Insn *insn)
{
    uint8_t *hva;
    hwaddr gpa;

    return (insn->op >= OP_INS && insn->op <= OP_OUT_DX_R)
           || (tcg_single_operand(t, &gpa, &hva) && !hva);
}

/* What accesses of one kind led to the last time. */
static int8_t *habit(KvmCpu *k)
{
    const struct kvm_run *run = k->run;
    uint64_t key = run->exit_reason == KVM_EXIT_IO ? run->io.port
                   : run->mmio.phys_addr >> 2;

    return &k->ahead[key % N_HABITS];
}

bool kvm_may_go_ahead(KvmCpu *k)
{
    int8_t *h = habit(k);

    if (!kvm.software || kvm_apic_in_kernel() || k->debugging
        || !kvm_single(k)) {
        return false;
    }
    if (*h < 0) {
        ++*h;
        return false;
    }
    *h = -AHEAD_WAIT;
    k->habit = h;
    return true;
}

CpuRun kvm_go_ahead(KvmCpu *k)
{
    X86Cpu *cpu = k->cpu;
    CpuRun why = CPU_RUN_EXIT;
    const Insn *insn;

    if (!kvm_get(k, PART_STEP) || x86_cpl(cpu->state) == 3) {
        return why;
    }
    for (unsigned n = 0, gap = 0;
         n < AHEAD_MAX && gap < AHEAD_GAP && why == CPU_RUN_EXIT
         && !cpu_pending(cpu)
         && tcg_single_decode(k->single, &insn) == SINGLE_DONE && insn
         && (touches_step_only(insn->op) || insn->op == OP_HLT);
         n++, gap++) {
        if (reaches_device(k->single, insn)) {
            gap = 0;
            *k->habit = 0;
        }
        why = kvm_execute_here(k, insn);
        k->n_ahead++;
    }
    return why;
}

/* --- until interrupts are let in ------------------------------------------------------------ */

/*
 * An interrupt waits for IF.  A KVM that interprets looks for that now and
 * then only (after 400 us here), and few kernels keep interrupts out for more
 * than some instructions: those are executed here.
 */

bool kvm_may_go_to_window(KvmCpu *k)
{
    if (!kvm.software || kvm_apic_in_kernel() || k->debugging
        || !kvm_single(k)) {
        return false;
    }
    if (k->window_wait) {
        k->window_wait--;
        return false;
    }
    return true;
}

CpuRun kvm_go_to_window(KvmCpu *k)
{
    const uint32_t interrupts = CPU_PEND_APIC | CPU_PEND_EXTINT;
    const struct kvm_vcpu_events *e = &k->events;
    X86Cpu *cpu = k->cpu;
    const X86State *s = cpu->state;
    CpuRun why = CPU_RUN_EXIT;
    const Insn *insn;
    unsigned n = 0;

    k->window_wait = AHEAD_WAIT;
    if (!kvm_get(k, PART_STEP) || x86_cpl(s) == 3 || e->interrupt.injected
        || e->nmi.injected || e->exception.injected || e->exception.pending) {
        return why;
    }
    while (n < WINDOW_MAX && why == CPU_RUN_EXIT
           && !(s->rflags & FL_IF && !s->interrupt_shadow)
           && !(cpu_pending(cpu) & ~interrupts)
           && tcg_single_decode(k->single, &insn) == SINGLE_DONE && insn
           && (touches_step_only(insn->op) || insn->op == OP_HLT)) {
        why = kvm_execute_here(k, insn);
        n++;
    }
    k->n_ahead += n;
    if (n && n < WINDOW_MAX) {
        k->window_wait = 0;
    }
    return why;
}
