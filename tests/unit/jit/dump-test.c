/*
 * jit-dump=on: what is in the file is the code that was made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../tcg/guest.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "accel/tcg/jit/jit.h"
#include "accel/tcg/jit/jitdump.h"

enum { CODE = 0x10000, TABLES = 0x100000 };

GUEST_CODE(loop, "64",
    "mov $100, %ecx\n xor %ebx, %ebx\n"
    "1: add %rcx, %rbx\n dec %ecx\n jnz 1b\n" GUEST_EXIT);

static size_t count_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t n_equal = 0;

    for (size_t i = 0; i < n; i++) {
        n_equal += a[i] == b[i];
    }
    return n_equal;
}

static void test_dump(void)
{
    g_autofree char *name = g_strdup_printf("/tmp/jit-%d.dump", (int)getpid());
    g_autofree char *data = NULL;
    g_autoptr(GError) err = NULL;
    const JitDumpHeader *h;
    unsigned n_loads = 0, n_of_loop = 0;
    gsize size, at, n_bytes = 0, n_equal = 0;

    guest_reset();
    GUEST_LOAD(CODE, loop);
    guest_long(0, CODE, TABLES);
    guest_run(1);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_RBX], ==, 5050);

    g_file_get_contents(name, &data, &size, &err);
    g_assert_no_error(err);
    unlink(name);
    h = (const JitDumpHeader *)data;
    g_assert_cmpuint(size, >=, sizeof(*h));
    g_assert_cmphex(h->magic, ==, 0x4a695444);
    g_assert_cmpuint(h->version, ==, 1);
    g_assert_cmpuint(h->total_size, ==, 40);
    g_assert_cmpuint(h->elf_mach, ==, EM_X86_64);
    g_assert_cmpuint(h->pid, ==, getpid());
    for (at = h->total_size; at < size;) {
        const char *symbol;
        JitDumpLoad r;

        g_assert_cmpuint(size - at, >=, sizeof(r));
        memcpy(&r, data + at, sizeof(r));
        symbol = data + at + sizeof(r);
        g_assert_cmpuint(r.id, ==, JITDUMP_CODE_LOAD);
        g_assert_cmpuint(r.code_index, ==, n_loads++);
        g_assert_cmpuint(r.total_size, ==,
                         sizeof(r) + strlen(symbol) + 1 + r.code_size);
        g_assert_cmpuint(r.code_addr, >=, (uintptr_t)jit_space.rx);
        g_assert_cmpuint(r.code_addr + r.code_size, <=,
                         (uintptr_t)jit_space.rx + jit_space.size);
        /* Jumps have been linked since. */
        n_equal += count_equal((uint8_t *)symbol + strlen(symbol) + 1,
                               (const uint8_t *)r.code_addr, r.code_size);
        n_bytes += r.code_size;
        n_of_loop += !strcmp(symbol, "guest_10000");
        at += r.total_size;
    }
    g_assert_cmpuint(at, ==, size);
    g_assert_cmpuint(n_of_loop, ==, 1);
    g_assert_cmpuint(n_equal, >=, n_bytes - n_bytes / 10);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    g_test_add_func("/jit/dump", test_dump);
    status = g_test_run();
    guest_free();
    return status;
}
