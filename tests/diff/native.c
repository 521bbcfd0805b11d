/*
 * The child process in which cases run natively.
 *
 * Parent and child share three pieces of memory: code (the child may read and
 * execute it), cases and results.  The parent fills them for a batch and wakes
 * the child by a futex; the child runs one case after the other and wakes the
 * parent.  A case ends at the gate or with a signal; the handler does not
 * return, it goes back to the loop, since all that sigreturn would do is load
 * registers that are loaded anew anyway.
 *
 * A filter keeps system calls that random code might make from the kernel.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

bool native_avx;

/* Shared by both. */
typedef struct Shared {
    uint32_t go;                /* futex: cases to run; 0: done */
    uint32_t at;                /* which is running */
    DiffState in[N_SLOTS];
    uint8_t image[N_SLOTS][RW_BYTES];
    uint8_t read_only[DIFF_PAGE];
    DiffResult out[N_SLOTS];
} Shared;

static Shared *shared;
static uint8_t *code;           /* the parent's view */
static pid_t child;
static unsigned n_begun;
static const DiffCase *begun[N_SLOTS];

/* --- the stub ------------------------------------------------------------------ */

/* Like the head of DiffState; then what the stub keeps. */
struct {
    uint64_t gpr[16];
    uint64_t rip, cs, rflags, rsp, ss;
    uint64_t fs_base, gs_base;
    uint64_t ds, es, fs, gs;
    int64_t vector;
    uint64_t error, cr2;
    uint64_t host_rsp, host_fs;
} diff_regs __attribute__((visibility("hidden"), aligned(64)));
uint8_t diff_xs[1024] __attribute__((aligned(64), visibility("hidden")));
uint8_t diff_stack[64 * KiB]
    __attribute__((aligned(64), visibility("hidden")));
uint32_t diff_mask __attribute__((visibility("hidden")));

#define GPR(reg, n) "mov " #n "*8+diff_regs(%rip), %" #reg "\n\t"
#define PUT(reg, n) "mov %" #reg ", " #n "*8+diff_regs(%rip)\n\t"

void diff_enter(void);
extern const char diff_back[], diff_signal[];
asm(".text\n"
    ".globl diff_enter\n"
    "diff_enter:\n\t"
    "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\t"
    "push %r15\n\t"
    "mov %rsp, 240+diff_regs(%rip)\n\t"
    "rdfsbase %rax\n\t"
    "mov %rax, 248+diff_regs(%rip)\n\t"
    "mov diff_mask(%rip), %eax\n\t"
    "xor %edx, %edx\n\t"
    "xrstor diff_xs(%rip)\n\t"
    "mov 184+diff_regs(%rip), %eax\n\tmov %eax, %ds\n\t"
    "mov 192+diff_regs(%rip), %eax\n\tmov %eax, %es\n\t"
    "mov 200+diff_regs(%rip), %eax\n\tmov %eax, %fs\n\t"
    "mov 208+diff_regs(%rip), %eax\n\tmov %eax, %gs\n\t"
    "mov 168+diff_regs(%rip), %rax\n\twrfsbase %rax\n\t"
    "mov 176+diff_regs(%rip), %rax\n\twrgsbase %rax\n\t"
    GPR(rax, 0) GPR(rcx, 1) GPR(rdx, 2) GPR(rbx, 3) GPR(rbp, 5)
    GPR(rsi, 6) GPR(rdi, 7) GPR(r8, 8) GPR(r9, 9) GPR(r10, 10)
    GPR(r11, 11) GPR(r12, 12) GPR(r13, 13) GPR(r14, 14) GPR(r15, 15)
    "lea 128+diff_regs(%rip), %rsp\n\t"
    "iretq\n"
    /* What the gate leads to. */
    ".globl diff_back\n"
    "diff_back:\n\t"
    PUT(rsp, 4)
    "mov 240+diff_regs(%rip), %rsp\n\t"
    "pushf\n\t"
    "pop 144+diff_regs(%rip)\n\t"
    "push $0x202\n\t"
    "popf\n\t"
    PUT(rax, 0) PUT(rcx, 1) PUT(rdx, 2) PUT(rbx, 3) PUT(rbp, 5)
    PUT(rsi, 6) PUT(rdi, 7) PUT(r8, 8) PUT(r9, 9) PUT(r10, 10)
    PUT(r11, 11) PUT(r12, 12) PUT(r13, 13) PUT(r14, 14) PUT(r15, 15)
    "call diff_segments\n\t"
    "mov %ss, %eax\n\tmov %rax, 160+diff_regs(%rip)\n\t"
    "movq $-1, 216+diff_regs(%rip)\n\t"
    "mov diff_mask(%rip), %eax\n\t"
    "xor %edx, %edx\n\t"
    "xsave diff_xs(%rip)\n"
    "diff_out:\n\t"
    "cld\n\t"
    "mov $0x2b, %eax\n\tmov %eax, %ss\n\t"
    "fninit\n\t"
    "push $0x1f80\n\t"
    "ldmxcsr (%rsp)\n\t"
    "pop %rax\n\t"
    "testl $4, diff_mask(%rip)\n\t"
    "jz 1f\n\t"
    "vzeroupper\n"
    "1: pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\t"
    "pop %rbx\n\t"
    "ret\n"
    /* Selectors and bases out, the child's own FS in. */
    "diff_segments:\n\t"
    "xor %eax, %eax\n\t"
    "mov %ds, %eax\n\tmov %rax, 184+diff_regs(%rip)\n\t"
    "mov %es, %eax\n\tmov %rax, 192+diff_regs(%rip)\n\t"
    "mov %fs, %eax\n\tmov %rax, 200+diff_regs(%rip)\n\t"
    "mov %gs, %eax\n\tmov %rax, 208+diff_regs(%rip)\n\t"
    "rdfsbase %rax\n\tmov %rax, 168+diff_regs(%rip)\n\t"
    "rdgsbase %rax\n\tmov %rax, 176+diff_regs(%rip)\n\t"
    "xor %eax, %eax\n\tmov %eax, %fs\n\t"
    "mov 248+diff_regs(%rip), %rax\n\twrfsbase %rax\n\t"
    "ret\n"
    /* The handler: AC may be set, FS is the case's. */
    ".globl diff_signal\n"
    "diff_signal:\n\t"
    "push $0x202\n\t"
    "popf\n\t"
    "call diff_segments\n\t"
    "mov %rdi, %rsi\n\t"
    "mov %rdx, %rdi\n\t"
    "and $-16, %rsp\n\t"
    "call diff_caught\n\t"
    "mov 240+diff_regs(%rip), %rsp\n\t"
    "jmp diff_out\n");

/* C code that runs on the alternate stack. */
void diff_caught(ucontext_t *uc, int sig);
void diff_caught(ucontext_t *uc, int sig)
{
    static const uint8_t reg[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    const greg_t *g = uc->uc_mcontext.gregs;

    for (unsigned i = 0; i < 16; i++) {
        diff_regs.gpr[i] = g[reg[i]];
    }
    diff_regs.rip = g[REG_RIP];
    diff_regs.rflags = g[REG_EFL];
    diff_regs.cs = g[REG_CSGSFS] & 0xffff;
    diff_regs.ss = (uint64_t)g[REG_CSGSFS] >> 48;
    diff_regs.vector = sig == SIGSYS ? V_SYSCALL : g[REG_TRAPNO];
    diff_regs.error = g[REG_ERR];
    diff_regs.cr2 = g[REG_CR2];
    /* The frame is an XSAVE area itself. */
    memcpy(diff_xs, uc->uc_mcontext.fpregs, native_avx ? 832 : 512 + 64);
}

/* --- the child ------------------------------------------------------------------ */

static void futex(uint32_t *word, int op, uint32_t val)
{
    syscall(SYS_futex, word, op, val, NULL, NULL, 0);
}

static bool filter_syscalls(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = { G_N_ELEMENTS(f), f };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

/* Run case `i`. */
static void run_one(unsigned i)
{
    DiffState *in = &shared->in[i];
    DiffResult *out = &shared->out[i];

    memcpy((void *)(uintptr_t)DIFF_DATA, shared->image[i], RW_BYTES);
    memcpy(&diff_regs, in, 30 * 8);
    diff_regs.rsp = in->gpr[4];
    memcpy(diff_xs, in->xs, sizeof(diff_xs));
    diff_enter();
    memcpy(&out->s, &diff_regs, 30 * 8);
    memcpy(out->s.xs, diff_xs, sizeof(diff_xs));
    if (out->s.vector == V_END) {
        out->s.rip = DIFF_GATE;
        out->s.cs = SEL_CS64;
    }
    memcpy(out->data, (void *)(uintptr_t)DIFF_DATA, RW_BYTES);
}

static bool map_at(uint32_t at, size_t n, int prot, int flags, int fd)
{
    void *want = (void *)(uintptr_t)at;

    return mmap(want, n, prot, flags | MAP_FIXED_NOREPLACE | MAP_POPULATE,
                fd, 0) == want;
}

uint64_t native_end(void)
{
    return (uintptr_t)diff_back;
}

void native_make_gate(uint8_t *page)
{
    /* jmp *2(rip), its operand aligned: AC may be set. */
    static const uint8_t jump[8] = { 0xff, 0x25, 2, 0, 0, 0 };
    uint64_t end = native_end();

    for (unsigned at = 0; at <= GATE_32; at += GATE_32) {
        memcpy(page + at, jump, sizeof(jump));
        memcpy(page + at + sizeof(jump), &end, sizeof(end));
    }
}

unsigned native_cpu(void)
{
    static int cpu = -1;
    cpu_set_t set;

    if (cpu < 0) {
        for (cpu = 0; sched_getaffinity(0, sizeof(set), &set) == 0
                      && cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set);) {
            cpu++;
        }
    }
    return cpu;
}

static void stay_there(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(native_cpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static bool child_memory(int code_fd)
{
    uint8_t *gate = (uint8_t *)(uintptr_t)DIFF_GATE;
    uint8_t *data = (uint8_t *)(uintptr_t)DIFF_DATA;

    if (!map_at(DIFF_CODE, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED,
                code_fd)
        || !map_at(DIFF_DATA, DATA_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1)
        || !map_at(DIFF_GATE, DIFF_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1)) {
        return false;
    }
    native_make_gate(gate);
    memcpy(data + RW_BYTES, shared->read_only, DIFF_PAGE);
    return mprotect(gate, DIFF_PAGE, PROT_READ | PROT_EXEC) == 0
           && mprotect(data + RW_BYTES, DIFF_PAGE, PROT_READ) == 0;
}

static G_NORETURN void child_main(int code_fd, pid_t parent)
{
    static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP,
                                SIGSYS };
    stack_t stack = { .ss_sp = diff_stack, .ss_size = sizeof(diff_stack) };
    struct sigaction sa = {
        .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
    };

    sa.sa_sigaction = (void (*)(int, siginfo_t *, void *))diff_signal;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stay_there();
    if (getppid() != parent || !child_memory(code_fd)) {
        _exit(1);
    }
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(sigs); i++) {
        sigaction(sigs[i], &sa, NULL);
    }
    if (!filter_syscalls()) {
        _exit(1);
    }
    for (;;) {
        uint32_t n;

        __atomic_store_n(&shared->go, 0, __ATOMIC_RELEASE);
        futex(&shared->go, FUTEX_WAKE, 1);
        while (!(n = __atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))) {
            futex(&shared->go, FUTEX_WAIT, 0);
        }
        for (unsigned i = 0; i < n; i++) {
            shared->at = i;
            run_one(i);
        }
    }
}

/* --- the parent ------------------------------------------------------------------ */

/* Until the child has set `go` to 0: false if it died or hangs. */
static bool child_ready(void)
{
    struct timespec t = { .tv_nsec = 100000000 };
    uint32_t go;

    for (unsigned i = 0; (go = __atomic_load_n(&shared->go,
                                               __ATOMIC_ACQUIRE)); i++) {
        int status;

        syscall(SYS_futex, &shared->go, FUTEX_WAIT, go, &t, NULL, 0);
        if (child > 0 && waitpid(child, &status, WNOHANG) == child) {
            child = 0;
            return false;
        }
        if (i > 100) {
            return false;
        }
    }
    return true;
}

static int code_fd;

static bool start_child(void)
{
    pid_t parent = getpid();

    __atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
    child = fork();
    if (child == 0) {
        child_main(code_fd, parent);
    }
    return child > 0 && child_ready();
}

double native_seconds(void)
{
    struct timespec t = { 0 };
    clockid_t clock;

    if (child > 0 && clock_getcpuclockid(child, &clock) == 0) {
        clock_gettime(clock, &t);
    }
    return t.tv_sec + t.tv_nsec / 1e9;
}

void native_stop(void)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        child = 0;
    }
}

bool native_start(const char **why)
{
    size_t bytes = ALIGN_UP(sizeof(Shared), DIFF_PAGE);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    *why = "a sanitizer has the addresses";
    return false;
#endif
    if (!(getauxval(AT_HWCAP2) & 2)) {
        *why = "the kernel does not let programs set FS and GS bases";
        return false;
    }
    native_avx = __builtin_cpu_supports("avx");
    diff_mask = native_avx ? 7 : 3;
    shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    code_fd = memfd_create("diff-code", MFD_CLOEXEC);
    *why = "no memory to share";
    if (shared == MAP_FAILED || code_fd < 0
        || ftruncate(code_fd, CODE_BYTES) < 0) {
        return false;
    }
    code = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, code_fd,
                0);
    if (code == MAP_FAILED) {
        return false;
    }
    gen_read_only(shared->read_only);
    *why = "the child does not start (seccomp, or its addresses)";
    if (!start_child()) {
        native_stop();
        return false;
    }
    return true;
}

void native_code(const uint8_t *bytes)
{
    if (code) {
        memcpy(code, bytes, CODE_BYTES);
    }
}

void native_begin(const DiffCase *const *cases, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const DiffCase *c = cases[i];

        begun[i] = c;
        shared->in[i] = c->in;
        gen_memory(c, shared->image[i]);
    }
    n_begun = n;
    __atomic_store_n(&shared->go, n, __ATOMIC_RELEASE);
    futex(&shared->go, FUTEX_WAKE, 1);
}

void native_wait(DiffResult *results)
{
    unsigned n = n_begun, bad = n;

    while (!child_ready()) {
        /* It died, or does not end: leave that case out. */
        bad = shared->at;
        native_stop();
        g_printerr("the child did not survive case %#" PRIx64 "\n",
                   begun[bad]->seed);
        shared->in[bad].rip = DIFF_GATE;
        shared->in[bad].cs = SEL_CS64;
        if (!start_child()) {
            g_error("the child does not start again");
        }
        __atomic_store_n(&shared->go, n, __ATOMIC_RELEASE);
        futex(&shared->go, FUTEX_WAKE, 1);
    }
    for (unsigned i = 0; i < n; i++) {
        results[i] = shared->out[i];
        if (i == bad) {
            results[i].s.vector = V_STUCK;
        }
    }
}
