// Runs a grid of threads on one thread of the host.
//
// A block's threads take turns: each runs until it ends or waits at a barrier. A thread that never waits is a plain call;
// one that waits keeps the stack it is on, and the next thread gets another. Blocks and threads go forwards or backwards, so
// that what depends on their order gives two results. Shared memory is filled with 0xff, a NaN, before each block.

#include "device.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>

#include "table.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

extern "C" {
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The most that a block can have on the architectures of interest, and room behind it that must stay untouched.
enum { DYNAMIC_SHARED = 227 * 1024, BEHIND = 4096 };
alignas(128) char mimi_dynamic_shared[DYNAMIC_SHARED + BEHIND];

// The shared variables of all kernels, as the linker has placed them; none where no kernel has any.
extern char __start_mimi_shared[] __attribute__((weak));
extern char __stop_mimi_shared[] __attribute__((weak));
}

namespace {

[[noreturn]] void fail(const std::string& message);

// ---- Stacks that are switched between

constexpr size_t STACK = 64 * 1024, GUARD = 4096;

struct Context {
#if defined(__x86_64__)
    void* stack_pointer;
#else
    ucontext_t context;
#endif
};

#if defined(__x86_64__)
// Saves what a call must preserve on the stack, and goes on where `to` was left.
extern "C" void mimi_switch(Context* from, Context* to);
asm(R"(
.text
.globl mimi_switch
.hidden mimi_switch
.type mimi_switch, @function
mimi_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

void prepare(Context& context, char* stack, void (*entry)()) {
    // Six registers and the return address; at a function's entry the stack is 8 bytes past a multiple of 16.
    void** top = reinterpret_cast<void**>(stack + STACK - 64);
    top[0] = reinterpret_cast<void*>(entry);
    top[1] = nullptr;
    context.stack_pointer = top - 6;
    memset(top - 6, 0, 6 * sizeof(void*));
}
#else
void mimi_switch(Context* from, Context* to) { swapcontext(&from->context, &to->context); }

void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = STACK;
    context.context.uc_link = nullptr;
    makecontext(&context.context, entry, 0);
}
#endif

// ---- A block

enum Wait { NEW, READY, AT_BARRIER, IN_WARP, ENDED };

struct Fiber {
    Context context;
    char* stack;
};

struct Thread {
    uint3 index;
    Wait wait;
    Fiber* fiber;
    const char* at;         // the barrier or exchange that it waits in
    unsigned mask;          // of the exchange
    unsigned long long value;
};

struct Warp {
    unsigned long long values[32];  // of the last exchange: all lanes read them before the next one
    unsigned waiting;               // lanes that wait in an exchange
    bool released;                  // whether lanes can go on
};

struct Block {
    const Kernel* kernel;
    const void* arguments;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    unsigned started, current, live;
    unsigned barrier_sum;
    bool backwards;
    Context scheduler;
} block;

std::vector<Fiber*> idle;
Fiber* running;

std::string where() {
    char text[256];
    snprintf(text, sizeof text, "kernel %s, block (%u, %u, %u), thread %u", block.kernel->name, blockIdx.x, blockIdx.y,
             blockIdx.z, block.current);
    return text;
}

[[noreturn]] void fail(const std::string& message) {
    fprintf(stderr, "mimi host: %s: %s\n", where().c_str(), message.c_str());
    fflush(stderr);
    abort();
}

unsigned nth(unsigned i) { return block.backwards ? unsigned(block.threads.size()) - 1 - i : i; }

bool same(const char* a, const char* b) { return a == b || !strcmp(a, b); }

void enter(unsigned thread) {
    block.current = thread;
    threadIdx = block.threads[thread].index;
}

// What a fiber does: it runs threads that have not begun, until one waits and takes the fiber with it.
void work() {
    for (;;) {
        while (block.started < block.threads.size()) {
            unsigned thread = nth(block.started++);
            enter(thread);
            block.threads[thread].fiber = running;
            block.threads[thread].wait = READY;
            block.kernel->call(block.arguments);
            block.threads[block.current].wait = ENDED;
            block.live--;
            // It has waited on the way: others have begun since.
            if (block.threads[block.current].at) break;
        }
        mimi_switch(&running->context, &block.scheduler);
    }
}

Fiber* fiber() {
    if (!idle.empty()) {
        Fiber* last = idle.back();
        idle.pop_back();
        return last;
    }
    Fiber* made = new Fiber;
    // Who overflows it meets a page that nobody may touch.
    void* pages = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, GUARD, PROT_NONE)) fail("no memory for another stack");
    made->stack = static_cast<char*>(pages) + GUARD;
    prepare(made->context, made->stack, work);
    return made;
}

void resume(Fiber* next) {
    running = next;
    mimi_switch(&block.scheduler, &next->context);
}

// The thread leaves its fiber's stack as it is until the scheduler comes back to it.
void wait(Wait kind, const char* name) {
    Thread& thread = block.threads[block.current];
    thread.wait = kind;
    thread.at = name;
    Fiber* own = running;
    mimi_switch(&own->context, &block.scheduler);
}

// Lets a warp go on whose lanes have all come to the same exchange.
bool release_warp(unsigned index) {
    unsigned first = index * 32, lanes = unsigned(block.threads.size()) - first;
    if (lanes > 32) lanes = 32;
    bool released = false;
    for (unsigned lane = 0; lane < lanes; lane++) {
        Thread& thread = block.threads[first + lane];
        if (thread.wait != IN_WARP) continue;
        unsigned mask = thread.mask;
        block.current = first + lane;
        if (!(mask >> lane & 1)) fail(std::string(thread.at) + " with a mask without the own lane");
        if (lanes < 32 && mask != 0xffffffffu && mask >> lanes) fail(std::string(thread.at) + " with lanes that are not there");
        unsigned expected = lanes < 32 ? mask & ((1u << lanes) - 1) : mask;
        bool all = true;
        for (unsigned other = 0; other < lanes; other++) {
            if (!(expected >> other & 1)) continue;
            Thread& peer = block.threads[first + other];
            if (peer.wait == ENDED) fail(std::string(thread.at) + " waits for a lane that has ended");
            if (peer.wait != IN_WARP || peer.mask != mask) all = false;
            else if (!same(peer.at, thread.at)) fail(std::string(thread.at) + " meets " + peer.at);
        }
        if (!all) continue;
        Warp& warp = block.warps[index];
        memset(warp.values, 0xff, sizeof warp.values);
        for (unsigned other = 0; other < lanes; other++) {
            if (!(expected >> other & 1)) continue;
            Thread& peer = block.threads[first + other];
            warp.values[other] = peer.value;
            peer.wait = READY;
            warp.waiting--;
        }
        released = true;
        // Lanes of another mask would find these values gone: one exchange of a warp at a time.
        break;
    }
    return released;
}

void release_barrier() {
    const char* name = nullptr;
    unsigned sum = 0;
    for (unsigned i = 0; i < block.threads.size(); i++) {
        Thread& thread = block.threads[i];
        block.current = i;
        if (thread.wait != AT_BARRIER) {
            if (thread.wait == ENDED) fail("has ended, and others wait at a barrier");
            fail(std::string("waits in ") + thread.at + ", and others at a barrier");
        }
        if (name && !same(name, thread.at)) fail(std::string(name) + " meets " + thread.at);
        name = thread.at;
        sum += unsigned(thread.value);
        thread.wait = READY;
    }
    block.barrier_sum = sum;
}

void run_block(uint32_t shared) {
    if (&__start_mimi_shared) memset(__start_mimi_shared, 0xff, size_t(__stop_mimi_shared - __start_mimi_shared));
    memset(mimi_dynamic_shared, 0xff, shared + BEHIND);
    block.started = 0;
    block.live = unsigned(block.threads.size());
    for (Thread& thread : block.threads) {
        thread.wait = NEW;
        thread.at = nullptr;
    }
    while (block.started < block.threads.size()) {
        Fiber* own = fiber();
        resume(own);
        // Left by a thread that waits, or with nothing to do.
        if (block.threads[block.current].wait == ENDED) idle.push_back(own);
    }
    while (block.live > 0) {
        bool released = false;
        for (unsigned warp = 0; warp < block.warps.size(); warp++) {
            if (block.warps[warp].waiting) released |= block.warps[warp].released = release_warp(warp);
        }
        if (!released) {
            for (unsigned i = 0; i < block.threads.size(); i++) {
                if (block.threads[i].wait != IN_WARP) continue;
                block.current = i;
                fail(std::string(block.threads[i].at) + " waits for lanes that do not come");
            }
            release_barrier();
            for (Warp& warp : block.warps) warp.released = true;
        }
        for (unsigned i = 0; i < block.threads.size(); i++) {
            unsigned thread = nth(i);
            if (!block.warps[thread / 32].released || block.threads[thread].wait != READY) continue;
            enter(thread);
            Fiber* own = block.threads[thread].fiber;
            resume(own);
            if (block.threads[thread].wait == ENDED) idle.push_back(own);
        }
        for (Warp& warp : block.warps) warp.released = false;
    }
    block.current = 0;
    static const std::string untouched(BEHIND, char(0xff));
    if (memcmp(mimi_dynamic_shared + shared, untouched.data(), BEHIND)) {
        fail("has written behind its dynamic shared memory");
    }
}

const Kernel* find(const char* name) {
    for (unsigned i = 0; i < mimi_kernel_count; i++) {
        if (!strcmp(mimi_kernels[i].name, name)) return &mimi_kernels[i];
    }
    return nullptr;
}

int order_of_environment() {
    const char* order = getenv("MIMI_HOST_ORDER");
    return order && !strcmp(order, "backwards");
}

std::mutex one_at_a_time;
thread_local int order = order_of_environment();

}  // namespace

extern "C" {

unsigned mimi_block_barrier(const char* name, unsigned value) {
    block.threads[block.current].value = value;
    wait(AT_BARRIER, name);
    return block.barrier_sum;
}

const unsigned long long* mimi_warp_exchange(const char* name, unsigned mask, unsigned long long value) {
    Thread& thread = block.threads[block.current];
    thread.mask = mask;
    thread.value = value;
    unsigned warp = block.current / 32;
    block.warps[warp].waiting++;
    wait(IN_WARP, name);
    return block.warps[warp].values;
}

// Whether blocks and threads go backwards in what the calling thread launches from now on. MIMI_HOST_ORDER=backwards in the
// environment says so from the start.
void mimi_host_order(int backwards) { order = backwards; }

// Runs a kernel: 0, or 1 where there is none of the name, 2 where the grid, the block or the shared memory are not what a
// device takes. Mistakes that the threads make end the process.
int mimi_host_launch(const char* name, const uint32_t grid[3], const uint32_t threads[3], uint32_t shared,
                     const void* arguments) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    const Kernel* kernel = find(name);
    if (!kernel) return 1;
    uint64_t count = uint64_t(threads[0]) * threads[1] * threads[2];
    bool empty = !grid[0] || !grid[1] || !grid[2] || !count;
    if (empty || count > 1024 || threads[2] > 64 || grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535 ||
        shared > DYNAMIC_SHARED)
        return 2;
    std::vector<char> copy(static_cast<const char*>(arguments), static_cast<const char*>(arguments) + kernel->size);
    block.kernel = kernel;
    block.arguments = copy.data();
    block.backwards = order != 0;
    block.threads.assign(size_t(count), Thread());
    block.warps.assign(size_t(count + 31) / 32, Warp());
    blockDim = {threads[0], threads[1], threads[2]};
    gridDim = {grid[0], grid[1], grid[2]};
    for (unsigned i = 0; i < count; i++) {
        block.threads[i].index = {i % threads[0], i / threads[0] % threads[1], i / threads[0] / threads[1]};
    }
    uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t at = block.backwards ? blocks - 1 - i : i;
        blockIdx = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
        run_block(shared);
    }
    return 0;
}

// Bytes of a kernel's arguments; 0 where there is none of the name.
uint64_t mimi_host_arguments(const char* name) {
    const Kernel* kernel = find(name);
    return kernel ? kernel->size : 0;
}

// Where a field of a struct of the text lies, and its bytes; an empty field stands for the struct itself. -1 where there is
// none.
int mimi_host_field(const char* structure, const char* field, uint64_t* offset, uint64_t* size) {
    for (unsigned i = 0; i < mimi_field_count; i++) {
        if (strcmp(mimi_fields[i].structure, structure) || strcmp(mimi_fields[i].name, field)) continue;
        *offset = mimi_fields[i].offset;
        *size = mimi_fields[i].size;
        return 0;
    }
    return -1;
}
}
