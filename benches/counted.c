/* A plugin for qemu 7 to 9 that counts the instructions of one frame on another processor, as callgrind does on this one: those from the
   first call of a function whose name contains "counted" to the end, and the functions that take the most.

       cargo bench --target aarch64-unknown-linux-gnu -p mimi-codec --bench frame --no-run     # prints the PROGRAM
       gcc -O2 -shared -fPIC benches/counted.c -o counted.so
       export MIMI_BENCH_MODEL=... MIMI_BENCH_DTYPE=float32
       qemu-aarch64 -L /usr/aarch64-linux-gnu PROGRAM encode STREAM                            # fills the windows
       qemu-aarch64 -L /usr/aarch64-linux-gnu -plugin ./counted.so PROGRAM encode STREAM

   The declarations are those of qemu-plugin.h that are needed here: few distributions have the file. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Id;
typedef struct qemu_plugin_tb Block;
typedef struct qemu_plugin_insn Instruction;
void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, Block *));
void qemu_plugin_register_vcpu_tb_exec_inline(Block *, int add, void *counter, uint64_t value);
void qemu_plugin_register_vcpu_tb_exec_cb(Block *, void (*)(unsigned, void *), int flags, void *);
size_t qemu_plugin_tb_n_insns(const Block *);
Instruction *qemu_plugin_tb_get_insn(const Block *, size_t);
const char *qemu_plugin_insn_symbol(const Instruction *);
void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void *), void *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { MOST = 100000, SHOWN = 12 };
static struct Function {
    char *name;
    uint64_t count;
} functions[MOST];
static size_t used;
static bool found, started;

static struct Function *function(const char *name) {
    for (size_t i = 0; i < used; i++)
        if (!strcmp(functions[i].name, name)) return &functions[i];
    if (used == MOST) abort();
    functions[used].name = strdup(name);
    return &functions[used++];
}

static void entered(unsigned processor, void *data) {
    if (started) return;
    started = true;
    for (size_t i = 0; i < used; i++) functions[i].count = 0;
}

static void translated(Id id, Block *block) {
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0));
    struct Function *here = function(name ? name : "no name");
    if (!found && strstr(here->name, "counted")) {
        found = true;
        qemu_plugin_register_vcpu_tb_exec_cb(block, entered, 0, NULL);
    }
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &here->count, qemu_plugin_tb_n_insns(block));
}

static int more(const void *left, const void *right) {
    uint64_t a = ((const struct Function *)left)->count, b = ((const struct Function *)right)->count;
    return (a < b) - (a > b);
}

static void ended(Id id, void *data) {
    uint64_t total = 0;
    for (size_t i = 0; i < used; i++) total += functions[i].count;
    fprintf(stderr, "%s: %.1f million instructions\n", started ? "counted" : "not found, all", total / 1e6);
    qsort(functions, used, sizeof *functions, more);
    for (size_t i = 0; i < used && i < SHOWN; i++)
        fprintf(stderr, "%5.1f %% %s\n", 100.0 * functions[i].count / total, functions[i].name);
}

__attribute__((visibility("default"))) int qemu_plugin_install(Id id, const void *info, int count, char **options) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
