// What tests ask of this driver beyond CUDA: failures at will, counts of calls, and what is alive.

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>

std::recursive_mutex everything;

namespace {

struct Plan {
    std::string kind;
    uint64_t calls = 0;  // until the one that fails; 0 for none
};

// MIMI_TEST_FAIL=allocation:3 makes the third allocation of the process fail.
Plan plan_of_environment() {
    const char* text = getenv("MIMI_TEST_FAIL");
    const char* colon = text ? strchr(text, ':') : nullptr;
    if (!colon) return {};
    return {std::string(text, colon), strtoull(colon + 1, nullptr, 10)};
}

Plan of_process = plan_of_environment();
thread_local Plan of_thread;

std::map<std::string, uint64_t> calls;
std::map<std::string, int64_t> living;

bool is_due(Plan& plan, const char* kind) { return plan.calls && plan.kind == kind && --plan.calls == 0; }

}  // namespace

bool is_to_fail(const char* kind) {
    Lock lock(everything);
    bool process = is_due(of_process, kind), thread = is_due(of_thread, kind);
    return process || thread;
}

void count(const char* function) {
    Lock lock(everything);
    calls[function]++;
}

void alive(const char* kind, int change) {
    Lock lock(everything);
    living[kind] += change;
}

void fail(const std::string& message) {
    fprintf(stderr, "driver for tests: %s\n", message.c_str());
    abort();
}

void trace(const char* what) {
    static const bool wanted = getenv("MIMI_TEST_TRACE") != nullptr;
    if (wanted) fprintf(stderr, "driver for tests: %s\n", what);
}

extern "C" {

// Lets a later call of this thread fail: the n-th of its kind, counted from 1; 0 for none. Kinds: allocation, pinned,
// launch, replay, record, and wait, after which the device is lost.
void mimi_test_fail(const char* kind, uint64_t n) { of_thread = {kind, n}; }

// Calls of a function so far, as of cuLaunchKernel.
uint64_t mimi_test_calls(const char* function) {
    Lock lock(everything);
    auto found = calls.find(function);
    return found == calls.end() ? 0 : found->second;
}

// What was made and not yet given back: allocation, pinned, stream, event, module, graph, context.
int64_t mimi_test_alive(const char* kind) {
    Lock lock(everything);
    auto found = living.find(kind);
    return found == living.end() ? 0 : found->second;
}
}
