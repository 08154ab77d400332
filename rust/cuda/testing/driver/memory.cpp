// Device memory, which is the host's: each allocation between pages that cannot be touched, with a known pattern in what is
// left of its own pages. New memory is all ones, so that floats in it are NaN.

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

namespace {

const size_t ALIGNMENT = 256;
const unsigned char GUARD = 0xa5, NEW = 0xff;

struct Allocation {
    Context* context;
    char *pages, *start;
    size_t length, bytes;  // of all pages, and of the allocation
};

std::map<Address, Allocation> allocations;
std::map<const char*, size_t> pinned;
// Stretches behind pieces of an allocation, that its owner lends out.
std::map<Address, size_t> watched;
size_t taken = 0;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t memory() {
    const char* text = getenv("MIMI_TEST_MEMORY");
    return text ? size_t(strtoull(text, nullptr, 10)) : size_t(16) << 30;
}

Allocation map_pages(size_t bytes) {
    size_t page = size_t(sysconf(_SC_PAGESIZE)), inner = round_up(round_up(bytes, ALIGNMENT), page);
    size_t length = inner + 2 * page;
    void* pages = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return {};
    char* first = static_cast<char*>(pages) + page;
    if (mprotect(first, inner, PROT_READ | PROT_WRITE)) fail("pages cannot be made writable");
    // At the end of its pages, so that the first read behind it ends the process.
    char* start = first + inner - round_up(bytes, ALIGNMENT);
    memset(first, GUARD, inner);
    memset(start, NEW, bytes);
    return {current, static_cast<char*>(pages), start, length, bytes};
}

bool is_untouched(const char* from, const char* to) {
    for (; from < to; from++) {
        if (static_cast<unsigned char>(*from) != GUARD) return false;
    }
    return true;
}

void check(const Allocation& allocation, const char* after) {
    size_t page = size_t(sysconf(_SC_PAGESIZE));
    const char *first = allocation.pages + page, *end = allocation.pages + allocation.length - page;
    if (!is_untouched(first, allocation.start) || !is_untouched(allocation.start + allocation.bytes, end)) {
        fail(std::string(after) + " has written outside of an allocation of " + std::to_string(allocation.bytes) + " bytes");
    }
}

void check_watched(Address address, size_t bytes, const char* after) {
    const char* start = reinterpret_cast<const char*>(address);
    if (!is_untouched(start, start + bytes)) fail(std::string(after) + " has written behind a piece of memory");
}

}  // namespace

void check_guards(const char* after) {
    for (auto& [address, allocation] : allocations) check(allocation, after);
    for (auto& [address, bytes] : watched) check_watched(address, bytes, after);
}

bool is_device_memory(Context* context, Address address, size_t bytes) {
    auto found = allocations.upper_bound(address);
    if (found == allocations.begin()) return false;
    const Allocation& allocation = (--found)->second;
    Address offset = address - found->first;
    return allocation.context == context && offset <= allocation.bytes && bytes <= allocation.bytes - offset;
}

bool is_pinned(const void* start, size_t bytes) {
    const char* from = static_cast<const char*>(start);
    auto found = pinned.upper_bound(from);
    if (found == pinned.begin()) return false;
    --found;
    size_t offset = size_t(from - found->first);
    return offset <= found->second && bytes <= found->second - offset;
}

extern "C" {

Result cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory();
    return SUCCESS;
}

Result cuMemAlloc_v2(Address* address, size_t bytes) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    if (Result error = refuse_in_capture()) return error;
    if (bytes == 0) return INVALID_VALUE;
    if (is_to_fail("allocation") || bytes > memory() || taken > memory() - bytes) return OUT_OF_MEMORY;
    Allocation allocation = map_pages(bytes);
    if (!allocation.pages) return OUT_OF_MEMORY;
    taken += bytes;
    *address = reinterpret_cast<Address>(allocation.start);
    allocations[*address] = allocation;
    alive("allocation", 1);
    return SUCCESS;
}

Result cuMemFree_v2(Address address) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    if (Result error = refuse_in_capture()) return error;
    auto found = allocations.find(address);
    if (found == allocations.end()) return INVALID_VALUE;
    if (has_work()) fail("memory is freed while there is work that may use it");
    const Allocation& allocation = found->second;
    check(allocation, "work before the memory was freed");
    watched.erase(watched.lower_bound(address), watched.lower_bound(address + allocation.bytes));
    munmap(allocation.pages, allocation.length);
    taken -= allocation.bytes;
    allocations.erase(found);
    alive("allocation", -1);
    return SUCCESS;
}

Result cuMemHostAlloc(void** start, size_t bytes, unsigned) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    if (Result error = refuse_in_capture()) return error;
    if (is_to_fail("pinned")) return OUT_OF_MEMORY;
    char* memory = static_cast<char*>(malloc(bytes));
    if (!memory) return OUT_OF_MEMORY;
    memset(memory, NEW, bytes);
    pinned[memory] = bytes;
    alive("pinned", 1);
    *start = memory;
    return SUCCESS;
}

Result cuMemFreeHost(void* start) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    if (Result error = refuse_in_capture()) return error;
    auto found = pinned.find(static_cast<char*>(start));
    if (found == pinned.end()) return INVALID_VALUE;
    if (has_work()) fail("pinned memory is freed while there is work that may use it");
    pinned.erase(found);
    free(start);
    alive("pinned", -1);
    return SUCCESS;
}

// Tells of a piece of an allocation, in stream order: one that is taken is new memory, and what lies behind it is watched
// until it is given back. So the pieces of an arena are checked as allocations are.
void mimi_test_piece(void* stream, Address address, size_t bytes, size_t behind, int is_taken) {
    Lock lock(everything);
    auto take = [=] {
        memset(reinterpret_cast<void*>(address), NEW, bytes);
        memset(reinterpret_cast<void*>(address + bytes), GUARD, behind);
        watched[address + bytes] = behind;
        return SUCCESS;
    };
    auto give_back = [=] {
        if (watched.erase(address + bytes)) check_watched(address + bytes, behind, "work before a piece was given back");
        return SUCCESS;
    };
    if (is_taken) put(stream, take);
    else put(stream, give_back);
}
}
